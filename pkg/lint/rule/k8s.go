package rule

import (
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

const (
	baseResources = "          resources:\n            requests: {cpu: \"1\", memory: 4Gi}\n            limits: {cpu: \"1\", memory: 4Gi}\n"
	baseReadiness = "          readinessProbe: {httpGet: {path: /health/readiness, port: 4000}, timeoutSeconds: 10}\n"
	baseLiveness  = "          livenessProbe: {httpGet: {path: /health/liveliness, port: 4000}, timeoutSeconds: 10, failureThreshold: 6}\n"
	baseRolling   = "rollingUpdate: {maxUnavailable: 0, maxSurge: 1}"
	baseSecurity  = "securityContext: {readOnlyRootFilesystem: true, runAsNonRoot: true, runAsUser: 101, allowPrivilegeEscalation: false, seccompProfile: {type: RuntimeDefault}, capabilities: {drop: [\"ALL\"]}}"
	gib           = 1 << 30
)

func llmgwManifest(preStop string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: gateway}\nspec:\n  selector: {matchLabels: {app: gateway}}\n  template:\n    metadata: {labels: {app: gateway}}\n    spec:\n      containers:\n        - name: gateway\n          image: ghcr.io/llmgw/llmgw:1.0.0\n          lifecycle: {preStop: " + preStop + "}\n"
}

type namedProbe struct {
	manifest.Probe
	name string
}

// probes are the probes that are set.
func (u *Unit) probes() []namedProbe {
	c := u.Container
	var out []namedProbe
	for _, p := range []namedProbe{{c.Readiness, "readinessProbe"}, {c.Liveness, "livenessProbe"}, {c.Startup, "startupProbe"}} {
		if p.Set {
			out = append(out, p)
		}
	}
	return out
}

func probePorts(u *Unit) []Hit {
	c := u.Container
	if c == nil {
		return nil
	}
	port := "4000"
	if v := u.variable("PORT"); v.State == Known && v.Text != "" {
		port = v.Text
	} else if v.State == Unknown {
		return nil
	}
	if a, ok := u.Args.Get("port"); ok {
		port = a.Value
	}
	health := ""
	if u.EnvOn("SEPARATE_HEALTH_APP") || u.variable("SEPARATE_HEALTH_APP").Text == "1" {
		health = "4001"
		if v := u.variable("SEPARATE_HEALTH_PORT"); v.State == Known {
			health = v.Text
		}
	}
	var out []Hit
	for _, p := range u.probes() {
		asked := p.Port.Value
		if p.Kind != "httpGet" || asked == "" || asked == health {
			continue
		}
		// The listener counts; a containerPort with that name or number only says
		// what somebody believed.
		ok := asked == port
		for _, declared := range c.Ports {
			number := strconv.Itoa(declared.Number)
			if asked == number && !u.Args.Has("port") || asked == declared.Name && (number == port || number == health) {
				ok = true
			}
			if asked == declared.Name && !u.Args.Has("port") && u.variable("PORT").State == Absent {
				ok = true
			}
		}
		if !ok {
			out = append(out, hitf(p.Port.Pos, p.name+".httpGet.port", sevError, "the %s asks port %s, but the gateway listens on %s", p.name, asked, port))
		}
	}
	return out
}

func (u *Unit) resourcesAt() finding.Position {
	return orPos(u.Container.Resources.Pos, u.Container.Name.Pos)
}

func (u *Unit) securityAt() finding.Position {
	if u.Container == nil {
		return finding.Position{}
	}
	return orPos(u.Container.Security.ContainerPos, u.Container.Name.Pos)
}

func (u *Unit) livenessAt() finding.Position {
	if u.Container == nil {
		return finding.Position{}
	}
	return u.Container.Liveness.Pos
}

func preStopAt(u *Unit) finding.Position {
	if u.Container == nil {
		return finding.Position{}
	}
	return u.Container.PreStop.Pos
}

func (u *Unit) readOnlyLiteLLM() bool {
	return u.Container != nil && u.Container.Security.ReadOnlyRoot.True()
}

// unwritable checks that variables name paths on writable volumes.
func (u *Unit) unwritable(sev finding.Severity, who string, names ...string) []Hit {
	var bad []string
	for _, name := range names {
		v := u.variable(name)
		switch {
		case v.State == Absent && u.Env.Closed():
			bad = append(bad, name+" is not set")
		case v.State == Known && !u.writable(v.Text):
			bad = append(bad, name+" is "+v.Text+", where no writable volume is mounted")
		}
	}
	return when(len(bad) > 0, u.Container.Security.ReadOnlyRoot.Pos, "volumeMounts", sev, "under the read-only root %s has nowhere to write: %s", who, quoteList(bad))
}

// writable reports whether a path lies on a volume that can be written.
func (u *Unit) writable(path string) bool {
	for _, m := range u.Container.Mounts {
		if m.ReadOnly || m.Path != path && !strings.HasPrefix(path, strings.TrimSuffix(m.Path, "/")+"/") {
			continue
		}
		v, ok := u.Workload.Volume(m.Name)
		// A volume we do not see may come from a StatefulSet's claim template.
		if !ok || v.Kind != "configMap" && v.Kind != "secret" && v.Kind != "projected" && v.Kind != "downwardAPI" {
			return true
		}
	}
	return false
}

// configPath is the file the process is told to read.
func (u *Unit) configPath() (string, finding.Position) {
	if v := u.variable("CONFIG_FILE_PATH"); v.State == Known && v.Text != "" {
		return v.Text, v.Pos
	}
	if a, ok := u.Args.Get("config"); ok {
		return a.Value, a.Pos
	}
	return "", finding.Position{}
}

func orNode(n, other *config.Node) *config.Node {
	if n == nil {
		return other
	}
	return n
}

func orPos(p, other finding.Position) finding.Position {
	if p.IsZero() {
		return other
	}
	return p
}

func workloadPos(w *manifest.Workload, pos func(*manifest.Workload) finding.Position) finding.Position {
	if w == nil {
		return finding.Position{}
	}
	return pos(w)
}

func workloadName(w *manifest.Workload) string {
	if w == nil {
		return ""
	}
	return w.Name
}

func gibibytes(bytes float64) string { return trimFloat(bytes/gib) + "Gi" }
