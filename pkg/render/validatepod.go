package render

import (
	"fmt"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
)

// pod checks one pod template: what the restricted Pod Security profile
// demands, and what a scheduler and a drain need to know.
func (c *checker) pod(p *pod) {
	where := p.owner.Kind + "/" + p.owner.Name
	if p.spec["automountServiceAccountToken"] != false {
		c.breaks("TOKEN", "%s mounts a service account token", where)
	}
	if p.spec["enableServiceLinks"] != false {
		c.breaks("LINKS", "%s lets the cluster inject *_PORT variables", where)
	}
	if lookup(p.spec, "securityContext", "seccompProfile", "type") != "RuntimeDefault" {
		c.breaks("SECURITY", "%s runs without a seccomp profile", where)
	}
	scratch := map[string]bool{} // volume to "has a size limit"
	var scratchSum float64
	for _, v := range items(p.spec["volumes"]) {
		dir, ok := mapping(v)["emptyDir"].(map[string]any)
		if !ok {
			continue
		}
		limit, ok := amount(dir["sizeLimit"])
		if !ok {
			c.breaks("SCRATCH", "%s: volume %s has no sizeLimit", where, mapping(v)["name"])
		}
		scratch[text(mapping(v)["name"])] = true
		scratchSum += limit
	}
	reference := text(c.container("gateway")["image"])
	for _, ct := range p.containers {
		name := where + " container " + text(ct["name"])
		c.security(name, ct)
		c.sizes(name, ct)
		c.probes(name, ct)
		c.environment(name, ct, scratch)
		if ct["image"] != reference {
			c.breaks("IMAGE", "%s runs %v, the gateway %s", name, ct["image"], reference)
		}
	}
	main := p.containers[len(p.containers)-1]
	if limit, ok := amount(lookup(main, "resources", "limits", "ephemeral-storage")); ok && limit < scratchSum {
		c.breaks("SCRATCH", "%s: scratch volumes hold more than the ephemeral-storage limit", where)
	}
	if p == c.gateway {
		c.gatewaySize(main)
	}
}

func (c *checker) security(name string, ct map[string]any) {
	s := mapping(ct["securityContext"])
	drops := fmt.Sprint(lookup(s, "capabilities", "drop"))
	switch {
	case s["runAsNonRoot"] != true, s["allowPrivilegeEscalation"] != false, drops != "[ALL]", s["privileged"] == true:
		c.breaks("SECURITY", "%s is not restricted: runAsNonRoot, no privilege escalation, no capabilities", name)
	case s["readOnlyRootFilesystem"] != true && !c.p.o.WritableRoot:
		c.breaks("SECURITY", "%s has a writable root file system", name)
	}
}

// sizes: every request is there and equals its limit.
func (c *checker) sizes(name string, ct map[string]any) {
	for _, resource := range []string{"cpu", "memory", "ephemeral-storage"} {
		request, limit := lookup(ct, "resources", "requests", resource), lookup(ct, "resources", "limits", resource)
		v, ok := amount(request)
		if !ok || v <= 0 || fmt.Sprint(request) != fmt.Sprint(limit) {
			c.breaks("RESOURCES", "%s: %s request %v and limit %v must be equal and positive", name, resource, request, limit)
		}
	}
}

// gatewaySize: the container has what its workers were promised.
func (c *checker) gatewaySize(ct map[string]any) {
	cpu, _ := amount(lookup(ct, "resources", "limits", "cpu"))
	memory, _ := amount(lookup(ct, "resources", "limits", "memory"))
	wantCPU, _ := amount(lookup(c.p.values, "resources", "cpu"))
	wantMemory, _ := amount(lookup(c.p.values, "resources", "memory"))
	if cpu < wantCPU || memory < wantMemory {
		c.p.warn("K-OVERRIDE", "the gateway gets less than %v CPU and %v memory, which its workers need", lookup(c.p.values, "resources", "cpu"), lookup(c.p.values, "resources", "memory"))
	}
	var limit float64
	if v := text(env(ct, "GOMEMLIMIT")["value"]); v != "" {
		limit, _ = amount(strings.TrimSuffix(v, "B"))
		if limit > memory {
			c.breaks("RESOURCES", "GOMEMLIMIT %s is above the memory limit", v)
		}
	}
}

// probes: none asks a model or, to decide about a restart, the database.
func (c *checker) probes(name string, ct map[string]any) {
	ports := map[string]bool{}
	for _, p := range items(ct["ports"]) {
		ports[text(mapping(p)["name"])] = true
		ports[fmt.Sprint(mapping(p)["containerPort"])] = true
	}
	for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
		v := mapping(ct[probe])
		if v == nil {
			if text(ct["name"]) == "gateway" {
				c.breaks("PROBE", "%s has no %s", name, probe)
			}
			continue
		}
		path := strings.TrimSuffix(text(lookup(v, "httpGet", "path")), "/")
		switch {
		case path == "/health":
			c.breaks("PROBE", "%s: %s on /health calls every model", name, probe)
		case probe != "readinessProbe" && path == "/health/readiness":
			c.breaks("PROBE", "%s: %s on /health/readiness restarts pods when the database is away", name, probe)
		case !ports[fmt.Sprint(lookup(v, "httpGet", "port"))]:
			c.breaks("PROBE", "%s: %s asks port %v, which the container does not have", name, probe, lookup(v, "httpGet", "port"))
		case number(v["periodSeconds"]) < 1 || number(v["failureThreshold"]) < 1 || number(v["timeoutSeconds"]) < 1:
			c.breaks("PROBE", "%s: %s needs period, timeout and threshold above zero", name, probe)
		}
	}
}

// secretWords mark variables whose plain value would be a credential.
var secretWords = []string{"_KEY", "_TOKEN", "_SECRET", "PASSWORD", "_CREDENTIALS", "_WEBHOOK_URL"}

// environment: each variable once, no credential in plain text, migrations
// where they belong, and directories that can be written to.
func (c *checker) environment(name string, ct map[string]any, scratch map[string]bool) {
	seen := map[string]bool{}
	for _, e := range items(ct["env"]) {
		m := mapping(e)
		key := text(m["name"])
		if seen[key] {
			c.breaks("ENV", "%s: %s is set twice", name, key)
		}
		seen[key] = true
		value, plain := m["value"].(string)
		if plain && value != "" && !c.p.o.AllowPlaintext {
			for _, word := range secretWords {
				if strings.HasSuffix(key, word) {
					c.breaks("ENV", "%s: %s holds a credential in plain text", name, key)
				}
			}
			if urlPassword.MatchString(value) {
				c.breaks("ENV", "%s: %s holds a password in plain text", name, key)
			}
		}
	}
	switch schema := env(ct, "DISABLE_SCHEMA_UPDATE"); text(ct["name"]) {
	case "gateway":
		if schema["value"] != "true" {
			c.breaks("SCHEMA", "%s: DISABLE_SCHEMA_UPDATE must be true, or every pod migrates", name)
		}
	case "migrate":
		if schema["value"] != "false" {
			c.breaks("SCHEMA", "%s: DISABLE_SCHEMA_UPDATE must be false, or nothing migrates", name)
		}
	}
	var writable []string
	for _, m := range items(ct["volumeMounts"]) {
		mount := mapping(m)
		if scratch[text(mount["name"])] && mount["readOnly"] != true {
			writable = append(writable, text(mount["mountPath"]))
		}
	}
	if c.p.o.WritableRoot {
		return
	}
	if c.p.target == facts.LLMGW && len(writable) > 0 {
		c.breaks("SCRATCH", "%s mounts %s writable: llmgw writes no file", name, strings.Join(writable, ", "))
	}
	for _, key := range []string{"HOME", "LITELLM_MIGRATION_DIR", "LITELLM_UI_PATH", "LITELLM_ASSETS_PATH", "PRISMA_BINARY_CACHE_DIR", "XDG_CACHE_HOME"} {
		dir := text(env(ct, key)["value"])
		if dir == "" {
			continue
		}
		under := false
		for _, w := range writable {
			under = under || dir == w || strings.HasPrefix(dir, w+"/")
		}
		if !under {
			c.breaks("SCRATCH", "%s: %s=%s cannot be written to", name, key, dir)
		}
	}
}
