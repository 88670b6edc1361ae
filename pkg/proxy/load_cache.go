package proxy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/cache"
)

// CacheConfig is the response cache, and where its Redis is.
type CacheConfig struct {
	cache.Options
	// Redis is nil for a cache in memory.
	Redis *redisconn.Params
}

// RedisConfig is the Redis that instances share their router's state in.
type RedisConfig struct {
	Params *redisconn.Params
	// Namespace is put before keys, as LiteLLM's cache class does.
	Namespace string
	// Interval is how often others are asked; 0 means a second.
	Interval time.Duration
}

// cache reads litellm_settings.cache and cache_params, and which Redis the
// router shares its state in.
func (l *loader) cache() {
	s := l.tree.Section("litellm_settings")
	l.routerRedis()
	kind := l.tree.CacheType()
	if kind == "" && l.cacheResponses() {
		return
	}
	if n := s.Get("cache"); kind == "" && !n.IsNull() {
		if text, ok := n.Str(); ok {
			if slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(strings.TrimSpace(text))) {
				l.report(finding.Warning, n, "litellm_settings.cache is the text %q; write true without quotes, LiteLLM breaks on it. It is taken as true", text)
				kind = "local"
				if t, ok := s.Get("cache_params").Get("type").Str(); ok {
					kind = t
				} else if s.Get("cache_params").Len() == 0 {
					kind = "redis"
				}
			}
		}
	}
	if kind == "" {
		return
	}
	p := s.Get("cache_params")
	c := &CacheConfig{}
	c.Kind = kind
	c.Namespace = l.text(p.Get("namespace"))
	c.TTL = l.seconds(p.Get("ttl"))
	c.MemoryTTL = l.seconds(p.Get("default_in_memory_ttl"))
	c.RedisTTL = l.seconds(first(p.Get("default_in_redis_ttl"), p.Get("default_redis_ttl"), s.Get("default_redis_ttl")))
	l.cacheSize(c)
	switch mode := l.text(p.Get("mode")); mode {
	case "", "default_on":
	case "default_off":
		c.OptIn = true
	default:
		l.report(finding.Warning, p.Get("mode"), "cache_params.mode is %q; use default_on or default_off. default_off is used", mode)
		c.OptIn = true
	}
	if n := p.Get("supported_call_types"); !n.IsNull() {
		c.CallTypes = append([]string{}, l.names(n)...)
	}
	switch kind {
	case "local":
		if first(p.Get("host"), p.Get("url"), p.Get("redis_startup_nodes"), p.Get("sentinel_nodes")) != nil && p.Get("type").IsNull() {
			l.report(finding.Warning, p, "cache_params names a Redis but no type, which means the memory of each process: answers are not shared. Write type: redis")
		}
	case "redis":
		if c.Redis = l.cacheRedis(p); c.Redis == nil {
			return
		}
	default:
		l.report(finding.Warning, first(p.Get("type"), p), "a response cache of type %q is not served; answers are not cached. Use redis or local", kind)
		return
	}
	if kind == "redis" && l.c.Redis == nil {
		l.c.Redis = &RedisConfig{Params: c.Redis, Namespace: c.Namespace}
	}
	if c.CallTypes != nil && len(c.CallTypes) == 0 {
		return // Redis for the router's state alone
	}
	l.c.Cache = c
}

// cacheSize reads how large a cache is, who shares answers, and which models.
func (l *loader) cacheSize(c *CacheConfig) {
	own := l.tree.Section("llmgw")
	if n := l.number(own.Get("cache_size_mb"), 1, 1<<20); n != nil {
		c.Memory = int64(*n * (1 << 20))
	}
	switch scope := l.text(own.Get("tenant_scope")); scope {
	case "", "none":
	case "key", "team":
		c.Scope = scope
	default:
		l.report(finding.Warning, own.Get("tenant_scope"), "llmgw.tenant_scope is %q; use none, key or team. Until then every key has answers of its own", scope)
		c.Scope = "key"
	}
	for _, group := range l.tree.Section("router_settings").Get("caching_groups").Items() {
		names := l.names(group)
		slices.Sort(names)
		for _, name := range names {
			if c.Groups == nil {
				c.Groups = map[string]string{}
			}
			c.Groups[name] = strings.Join(names, ",")
		}
	}
}

// cacheResponses makes a response cache where router_settings alone asks for one:
// in the router's own Redis, else in memory. It reports whether it has.
func (l *loader) cacheResponses() bool {
	r := l.tree.Section("router_settings")
	if on := l.flag(r.Get("cache_responses")); on == nil || !*on {
		return false
	}
	c := &CacheConfig{}
	c.Kind = "local"
	// coordination_redis is no place for answers.
	if params, _ := redisconn.FromRouter(r, l.env); params.Mode != redisconn.None && l.c.Redis != nil {
		c.Kind, c.Redis, c.Namespace = "redis", l.c.Redis.Params, l.c.Redis.Namespace
	}
	l.cacheSize(c)
	l.c.Cache = c
	return true
}

// cacheRedis is the Redis of cache_params; nil, and said, when it cannot be
// used.
func (l *loader) cacheRedis(p *config.Node) *redisconn.Params {
	params, findings := redisconn.FromCache(p, l.env)
	l.redisFindings(findings, "answers are not cached")
	if params.Mode == redisconn.None {
		return nil
	}
	return params
}

// routerRedis is the Redis of router_settings, when it names one.
func (l *loader) routerRedis() {
	params, findings := redisconn.FromRouter(l.tree.Section("router_settings"), l.env)
	l.redisFindings(findings, "the router keeps its state to itself")
	if params.Mode != redisconn.None {
		l.c.Redis = &RedisConfig{Params: params, Namespace: l.text(l.tree.Get("router_settings.cache_kwargs.namespace"))}
		return
	}
	if n := l.tree.Section("general_settings").Get("coordination_redis"); !n.IsNull() {
		params, findings := redisconn.FromCache(n, l.env)
		l.redisFindings(findings, "the router keeps its state to itself")
		if params.Mode != redisconn.None {
			l.c.Redis = &RedisConfig{Params: params}
		}
	}
}

// redisFindings passes findings on. None of them keeps the gateway from
// starting: LiteLLM starts too.
func (l *loader) redisFindings(list []finding.Finding, without string) {
	for _, f := range list {
		if f.Severity == finding.Error {
			f.Message += "; " + without
		}
		l.findings = append(l.findings, f)
	}
}

// breaker reads the circuit breaker's variables.
func breaker(getenv func(string) string) (o redisconn.GuardOptions) {
	if n, err := strconv.Atoi(strings.TrimSpace(getenv("REDIS_CIRCUIT_BREAKER_FAILURE_THRESHOLD"))); err == nil && n > 0 && n < 1e6 {
		o.Failures = n
	}
	if f, err := strconv.ParseFloat(strings.TrimSpace(getenv("REDIS_CIRCUIT_BREAKER_RECOVERY_TIMEOUT")), 64); err == nil && f > 0 && f < maxSeconds {
		o.Recovery = time.Duration(f * float64(time.Second))
	}
	return o
}

// redisSecrets are the passwords of the Redis servers.
func (c *Config) redisSecrets() (list []redact.Secret) {
	for _, p := range []*redisconn.Params{c.cacheParams(), c.routerParams()} {
		if p != nil {
			list = append(list, p.Password, p.SentinelPassword)
		}
	}
	return list
}

func (c *Config) cacheParams() *redisconn.Params {
	if c.Cache == nil {
		return nil
	}
	return c.Cache.Redis
}

func (c *Config) routerParams() *redisconn.Params {
	if c.Redis == nil {
		return nil
	}
	return c.Redis.Params
}
