package rule

import (
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
)

func init() {
	off := []Profile{Dev}
	register(
		&Rule{
			ID: "K8S006", Name: "readiness-missing", Severity: "error", Priority: 1, Fix: Safe, Off: off,
			Title:  "no readiness probe",
			When:   "the serving container has no readinessProbe.",
			Why:    "traffic reaches pods that cannot serve yet and pods that are going away.",
			Remedy: "add readinessProbe: {httpGet: {path: /health/readiness, port: 4000}, timeoutSeconds: 10}.",
			Source: []string{"LiteLLM production guide, section 3c", "kube-linter, no-readiness-probe"},
			Bad:    k8s(baseReadiness, ""),
			Good:   k8sGood(baseReadiness),
			Check: func(u *Unit) []Hit {
				return when(u.Container != nil && !u.Container.Readiness.Set, u.containerName(), "readinessProbe", sevError, "there is no readiness probe")
			},
		},
		&Rule{
			ID: "K8S007", Name: "readiness-path", Severity: "warning", Priority: 1, Fix: Safe, Off: off,
			Title:  "the readiness probe asks the wrong question",
			When:   "the path of the readiness probe is not /health/readiness.",
			Why:    "liveliness does not know about the database.",
			Remedy: "use the path /health/readiness.",
			Source: []string{"LiteLLM production guide, section 3c"},
			Bad:    k8s("readinessProbe: {httpGet: {path: /health/readiness", "readinessProbe: {httpGet: {path: /health/liveliness"),
			Good:   k8sGood(baseReadiness),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				p := u.Container.Readiness
				path := strings.TrimSuffix(p.Path.Value, "/")
				return when(p.Kind == "httpGet" && path != "/health/readiness" && path != "/health" && !strings.HasSuffix(path, "/health/readiness"), orPos(p.Path.Pos, p.Pos), "readinessProbe.httpGet.path", sevWarn,
					"the readiness probe asks %s, not /health/readiness", p.Path.Value)
			},
		},
		&Rule{
			ID: "K8S008", Name: "probe-calls-models", Severity: "error", Priority: 1, Fix: Safe, Off: off,
			Title:  "a probe that calls every model",
			When:   "a probe of the gateway, or a balancer's health check, asks /health.",
			Why:    "GET /health sends a real request to every model: money, rate limits and false alarms. It needs a key, too, so the probe fails.",
			Remedy: "readiness: /health/readiness; liveness and startup: /health/liveliness.",
			Source: []string{"LiteLLM health check guide", "LiteLLM issues 3957 and 13668"},
			Bad:    k8s("livenessProbe: {httpGet: {path: /health/liveliness", "livenessProbe: {httpGet: {path: /health"),
			Good:   k8sGood(baseLiveness),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				var out []Hit
				for _, p := range u.probes() {
					if p.Kind == "httpGet" && strings.TrimSuffix(p.Path.Value, "/") == "/health" {
						out = append(out, hitf(p.Path.Pos, p.name+".httpGet.path", sevError, "the %s calls every model: it asks /health", p.name))
					}
				}
				for _, o := range u.Workload.Ingresses {
					for _, key := range []string{"alb.ingress.kubernetes.io/healthcheck-path"} {
						if a := o.Annotations[key]; strings.TrimSuffix(a.Value, "/") == "/health" {
							out = append(out, hitf(a.Pos, key, sevError, "the balancer's health check calls every model: it asks /health"))
						}
					}
				}
				return out
			},
		},
		&Rule{
			ID: "K8S009", Name: "liveness-depends-on-db", Severity: "warning/info", Priority: 1, Fix: Safe, Off: off,
			Title:  "a database outage restarts every pod",
			When:   "the path of the liveness probe is /health/readiness (warning), or that of the startup probe (info).",
			Why:    "readiness knows about the database: while it is away every pod is restarted, and nothing is gained.",
			Remedy: "use the path /health/liveliness.",
			Source: []string{"LiteLLM production guide, section 6", "LiteLLM issue 34934"},
			Bad:    k8s("livenessProbe: {httpGet: {path: /health/liveliness", "livenessProbe: {httpGet: {path: /health/readiness"),
			Good:   k8sGood(baseLiveness),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				var out []Hit
				for _, p := range u.probes() {
					if p.Kind != "httpGet" || p.name == "readinessProbe" || !strings.HasSuffix(strings.TrimSuffix(p.Path.Value, "/"), "/health/readiness") {
						continue
					}
					sev := sevWarn
					if p.name == "startupProbe" {
						sev = sevInfo
					}
					out = append(out, hitf(p.Path.Pos, p.name+".httpGet.path", sev, "a database outage makes the %s fail: it asks /health/readiness", p.name))
				}
				return out
			},
		},
		&Rule{
			ID: "K8S010", Name: "liveness-missing", Severity: "info", Priority: 2, Fix: Manual, Off: off,
			Title:  "no liveness probe",
			When:   "the serving container has no livenessProbe.",
			Why:    "a process that is stuck is never restarted.",
			Remedy: "add one on /health/liveliness with failureThreshold 6 and timeoutSeconds 10.",
			Source: []string{"kube-linter, no-liveness-probe"},
			Bad:    k8s(baseLiveness, ""),
			Good:   k8sGood(baseLiveness),
			Check: func(u *Unit) []Hit {
				return when(u.Container != nil && !u.Container.Liveness.Set, u.containerName(), "livenessProbe", sevInfo, "there is no liveness probe")
			},
		},
		&Rule{
			ID: "K8S011", Name: "probe-timeout-low", Severity: "warning", Priority: 1, Fix: Safe, Target: facts.LiteLLM, Off: off,
			Title:  "a probe that is too impatient",
			When:   "timeoutSeconds of the readiness or liveness probe is absent (1 second) or below 5.",
			Why:    "the one event loop answers late under load, and healthy pods are taken out or killed.",
			Remedy: "set timeoutSeconds: 10, and failureThreshold: 6 for liveness.",
			Source: []string{"LiteLLM issues 9998 and 35497"},
			Bad:    k8s("readinessProbe: {httpGet: {path: /health/readiness, port: 4000}, timeoutSeconds: 10}", "readinessProbe: {httpGet: {path: /health/readiness, port: 4000}}"),
			Good:   k8sGood(baseReadiness),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				var out []Hit
				for _, p := range u.probes() {
					if p.name == "startupProbe" || p.Kind == "exec" || p.TimeoutSeconds.Or(1) >= 5 {
						continue
					}
					out = append(out, hitf(orPos(p.TimeoutSeconds.Pos, p.Pos), p.name+".timeoutSeconds", sevWarn, "the %s gives up after %d s", p.name, p.TimeoutSeconds.Or(1)))
				}
				return out
			},
		},
		&Rule{
			ID: "K8S012", Name: "probe-port-mismatch", Severity: "error", Priority: 1, Fix: Manual, Off: off,
			Title:  "a probe asks a port that nobody listens on",
			When:   "the port of a probe is no containerPort, not --port or PORT (4000 by default), and not the health port.",
			Why:    "the pod never becomes ready, or is killed for ever.",
			Remedy: "make the probe's port and --port the same.",
			Source: []string{"kube-linter, readiness-port, liveness-port and startup-port"},
			Bad:    k8s("readinessProbe: {httpGet: {path: /health/readiness, port: 4000}", "readinessProbe: {httpGet: {path: /health/readiness, port: 4100}"),
			Good:   k8sGood(baseReadiness),
			Check:  probePorts,
		},
		&Rule{
			ID: "K8S034", Name: "startup-probe-missing", Severity: "info", Priority: 2, Fix: Manual, Target: facts.LiteLLM, Off: off,
			Title:  "a slow start is taken for a dead process",
			When:   "there is a liveness probe without initialDelaySeconds and no startup probe.",
			Why:    "start-up, with migrations and the price list, can outlast the liveness probe: a restart loop.",
			Remedy: "add startupProbe: {httpGet: {path: /health/liveliness, port: 4000}, periodSeconds: 10, failureThreshold: 30}.",
			Source: []string{"LiteLLM Helm chart"},
			Bad:    k8s("          startupProbe: {httpGet: {path: /health/liveliness, port: 4000}, failureThreshold: 30}\n", ""),
			Good:   k8sGood("startupProbe: {httpGet: {path: /health/liveliness, port: 4000}, failureThreshold: 30}"),
			Check: func(u *Unit) []Hit {
				c := u.Container
				return when(c != nil && c.Liveness.Set && !c.Liveness.InitialDelay.Set && !c.Startup.Set, u.livenessAt(), "startupProbe", sevInfo, "there is no startup probe: a slow start is taken for a dead process")
			},
		},
	)
}
