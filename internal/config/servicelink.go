package config

import (
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
)

// serviceLinks refuses "tcp://10.0.0.1:6379" where a port number is read.
// Kubernetes sets NAME_PORT to such an address for every service of the
// namespace, so that a service called redis takes the place of REDIS_PORT.
func (l *loader) serviceLinks() {
	const fix = "set enableServiceLinks: false in the pod's spec, or set the variable in the container's env"
	told := map[string]bool{}
	report := func(pos finding.Position, path, name string) {
		if told[name] {
			return
		}
		told[name] = true
		message := name + " holds an address that Kubernetes put there for a service of that name (service links), not a port number"
		if path != "" {
			message = path + ": " + message
		}
		l.add(finding.Finding{Severity: finding.Error, Pos: pos, Path: path, Message: message, Fix: fix})
	}
	for n := range l.tree.root.Walk() {
		if n.Ref != "" && isServiceLink(n.Ref, n.text) {
			report(n.Pos, n.Path(), n.Ref)
		}
	}
	for _, name := range l.tree.env.Names() {
		if !isServiceLink(name, l.tree.env.Get(name)) {
			continue
		}
		if _, known := litellm.LookupEnv(name); known && l.reads(name) {
			v, _ := l.tree.env.Lookup(name)
			report(v.Pos, "", name)
		}
	}
}

func isServiceLink(name, value string) bool {
	return (strings.HasSuffix(name, "_PORT") || name == "PORT") && strings.HasPrefix(value, "tcp://")
}

// reads reports whether a port variable has an effect here: the ones of Redis
// and of the database only when the one or the other is in use.
func (l *loader) reads(name string) bool {
	switch {
	case strings.HasPrefix(name, "REDIS_"):
		return l.tree.UsesRedis()
	case strings.HasPrefix(name, "DATABASE_"):
		return l.tree.env.Has(strings.TrimSuffix(name, "_PORT") + "_HOST")
	}
	return true
}

// UsesRedis reports whether the configuration or the environment asks for
// Redis: the router's own, a response cache of that type, the coordination
// Redis, or the variables that every Redis client reads.
func (t *Tree) UsesRedis() bool {
	if router := t.Section("router_settings"); !router.Get("redis_host").IsNull() || !router.Get("redis_url").IsNull() {
		return true
	}
	if !t.Get("general_settings.coordination_redis").IsNull() {
		return true
	}
	if t.CacheType() == "redis" {
		return true
	}
	for _, name := range []string{"REDIS_HOST", "REDIS_URL", "REDIS_CLUSTER_NODES", "REDIS_SENTINEL_NODES"} {
		if t.env.Has(name) {
			return true
		}
	}
	return false
}

// CacheType is the backend of the response cache, empty when it is off. A cache
// without cache_params is Redis from the environment; with cache_params that
// lack a type it is the memory of each process.
func (t *Tree) CacheType() string {
	settings := t.Section("litellm_settings")
	if on, ok := settings.Get("cache").Bool(); !ok || !on {
		return ""
	}
	params := settings.Get("cache_params")
	if params.Len() == 0 {
		return "redis"
	}
	if kind, ok := params.Get("type").Str(); ok {
		return kind
	}
	return "local"
}

// UsesDatabase reports whether a database is configured, in the file or by
// variables.
func (t *Tree) UsesDatabase() bool {
	return !t.Get("general_settings.database_url").IsNull() || t.env.Get("DATABASE_URL") != "" || t.env.Get("DATABASE_HOST") != "" ||
		t.hidden("DATABASE_URL") || t.hidden("DATABASE_HOST")
}

// hidden reports whether a variable is set to a value that cannot be known.
func (t *Tree) hidden(name string) bool {
	v, ok := t.env.Lookup(name)
	return ok && !v.Known
}
