package rule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

const (
	baseResources = "          resources:\n            requests: {cpu: \"1\", memory: 4Gi}\n            limits: {cpu: \"1\", memory: 4Gi}\n"
	baseReadiness = "          readinessProbe: {httpGet: {path: /health/readiness, port: 4000}, timeoutSeconds: 10}\n"
	baseLiveness  = "          livenessProbe: {httpGet: {path: /health/liveliness, port: 4000}, timeoutSeconds: 10, failureThreshold: 6}\n"
	baseRolling   = "rollingUpdate: {maxUnavailable: 0, maxSurge: 1}"
	baseSecurity  = "securityContext: {readOnlyRootFilesystem: true, runAsNonRoot: true, runAsUser: 101, capabilities: {drop: [\"ALL\"]}}"
	gib           = 1 << 30
)

func init() {
	off := []Profile{Dev}
	register(
		&Rule{
			ID: "K8S001", Name: "resources-missing", Severity: "warning", Priority: 1, Fix: Safe, Off: off,
			Title:  "no resource requests or limits",
			When:   "requests.cpu, requests.memory or limits.memory is missing on the serving container.",
			Why:    "nothing is guaranteed on the node, and an autoscaler has no percentage to scale on.",
			Remedy: "set requests and limits.",
			Source: []string{"LiteLLM production guide, section 2", "kube-linter, unset-cpu-requirements and unset-memory-requirements"},
			Bad:    k8s(baseResources, ""),
			Good:   k8sGood(baseResources),
			Check: func(u *Unit) []Hit {
				c := u.Container
				if c == nil {
					return nil
				}
				var missing []string
				r := c.Resources
				for _, f := range []struct {
					name string
					set  bool
				}{{"requests.cpu", r.RequestsCPU.Set}, {"requests.memory", r.RequestsMemory.Set}, {"limits.memory", r.LimitsMemory.Set}} {
					if !f.set {
						missing = append(missing, f.name)
					}
				}
				if len(missing) == 0 {
					return nil
				}
				h := hitf(u.resourcesAt(), "resources", sevWarn, "the container states no %s", quoteList(missing))
				size := facts.Size(facts.SizeInput{Target: u.Target, Workers: u.W.Value})
				h.Fix = fmt.Sprintf("request and limit %s CPU and %s of memory.", trimFloat(float64(max(1, u.W.Value))), gibibytes(float64(size.Memory)))
				return []Hit{h}
			},
		},
		&Rule{
			ID: "K8S002", Name: "cpu-below-workers", Severity: "warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "fewer CPUs than workers",
			When:   "requests.cpu is below the number of workers.",
			Why:    "one CPU per worker is the rule; less makes the workers wait for each other.",
			Remedy: "use fewer workers, or request more CPU.",
			Source: []string{"LiteLLM production guide, section 2"},
			Bad:    k8s(`requests: {cpu: "1", memory: 4Gi}`, `requests: {cpu: 500m, memory: 4Gi}`),
			Good:   k8sGood(`requests: {cpu: "1", memory: 4Gi}`),
			Check: func(u *Unit) []Hit {
				if u.Container == nil || !u.Container.Resources.RequestsCPU.Set {
					return nil
				}
				q := u.Container.Resources.RequestsCPU
				return when(q.Value < float64(u.W.Value), q.Pos, "resources.requests.cpu", sevWarn, "%s CPU for %s workers", q.Text, u.W)
			},
		},
		&Rule{
			ID: "K8S003", Name: "memory-below-floor", Severity: "error/warning", Priority: 1, Fix: Manual, Target: facts.LiteLLM, Off: off,
			Title:  "too little memory for LiteLLM",
			When:   "limits.memory, else requests.memory, is below 2Gi per worker (error) or 4Gi per worker (warning).",
			Why:    "the memory of the query engine grows to its largest write and stays there; below the floor one big write is an OOM kill.",
			Remedy: "give 4Gi per worker.",
			Source: []string{"LiteLLM production guide, section 2", "LiteLLM issues 25219 and 27954"},
			Bad:    k8s(`limits: {cpu: "1", memory: 4Gi}`, `limits: {cpu: "1", memory: 1Gi}`),
			Good:   k8sGood(`limits: {cpu: "1", memory: 4Gi}`),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				q := u.Container.Resources.LimitsMemory
				if !q.Set {
					q = u.Container.Resources.RequestsMemory
				}
				if !q.Set {
					return nil
				}
				sev := sevWarn
				if q.Value < float64(2*gib*u.W.Value) {
					sev = sevError
				}
				return when(q.Value < float64(4*gib*u.W.Value), q.Pos, "resources.limits.memory", sev, "%s of memory for %s workers; 4Gi each is the recommendation", q.Text, u.W)
			},
		},
		&Rule{
			ID: "K8S004", Name: "memory-request-below-limit", Severity: "info", Priority: 2, Fix: Safe, Off: off,
			Title:  "memory that is not reserved",
			When:   "requests.memory is below limits.memory.",
			Why:    "a node that runs short kills the pod although it is below its limit.",
			Remedy: "make both equal.",
			Source: []string{"LiteLLM production guide, section 2"},
			Bad:    k8s(`requests: {cpu: "1", memory: 4Gi}`, `requests: {cpu: "1", memory: 2Gi}`),
			Good:   k8sGood(`requests: {cpu: "1", memory: 4Gi}`),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				r := u.Container.Resources
				return when(r.RequestsMemory.Set && r.LimitsMemory.Set && r.RequestsMemory.Value < r.LimitsMemory.Value, r.RequestsMemory.Pos, "resources.requests.memory", sevInfo,
					"%s of memory is requested, %s is the limit", r.RequestsMemory.Text, r.LimitsMemory.Text)
			},
		},
		&Rule{
			ID: "K8S005", Name: "workers-per-pod", Severity: "warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "several workers in one pod",
			When:   "a Kubernetes workload runs more than one worker per container.",
			Why:    "one process per pod keeps latency predictable, lets the autoscaler read the CPU, and makes restarts hitless.",
			Remedy: "use --num_workers 1 and more replicas.",
			Source: []string{"LiteLLM production guide, sections 3 and 3a", "LiteLLM issue 26886"},
			Bad:    k8s(`"--num_workers", "1"`, `"--num_workers", "4"`).and(`requests: {cpu: "1", memory: 4Gi}`, `requests: {cpu: "4", memory: 16Gi}`).and(`limits: {cpu: "1", memory: 4Gi}`, `limits: {cpu: "4", memory: 16Gi}`),
			Good:   k8sGood(`args: ["--num_workers", "1"]`),
			Also:   []string{"PRF002", "DB003", "PRF003"},
			Check: func(u *Unit) []Hit {
				pos := u.Args.Pos
				if p := u.W.Pos; !p.IsZero() {
					pos = p
				}
				return when(u.Container != nil && u.W.Value > 1, pos, "--num_workers", sevWarn, "%s workers share one pod", u.W)
			},
		},
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
			ID: "K8S013", Name: "strategy-recreate", Severity: "error", Priority: 1, Fix: Safe, Off: off,
			Title:  "every rollout is an outage",
			When:   "the Deployment's strategy is Recreate.",
			Why:    "all pods go before the first new one comes.",
			Remedy: "use RollingUpdate with maxUnavailable: 0 and maxSurge: 1.",
			Source: []string{"LiteLLM production guide, section 3c", "kube-linter, no-rolling-update-strategy"},
			Bad:    k8s("    type: RollingUpdate\n    "+baseRolling, "    type: Recreate"),
			Good:   k8sGood("type: RollingUpdate"),
			Check: func(u *Unit) []Hit {
				w := u.Workload
				return when(w != nil && w.Kind == "Deployment" && w.Strategy.Type.Value == "Recreate", workloadPos(w, func(w *manifest.Workload) finding.Position { return w.Strategy.Type.Pos }), "spec.strategy.type", sevError, "every rollout is an outage: the strategy is Recreate")
			},
		},
		&Rule{
			ID: "K8S014", Name: "max-unavailable", Severity: "warning", Priority: 1, Fix: Safe, Off: off,
			Title:  "a rollout removes capacity before it adds any",
			When:   "RollingUpdate without an explicit maxUnavailable of 0.",
			Why:    "25% of the pods go before their successors are ready.",
			Remedy: "write rollingUpdate: {maxUnavailable: 0, maxSurge: 1}.",
			Source: []string{"LiteLLM production guide, section 3c"},
			Bad:    k8s("    "+baseRolling+"\n", ""),
			Good:   k8sGood(baseRolling),
			Also:   []string{"DB003"},
			Check: func(u *Unit) []Hit {
				w := u.Workload
				if w == nil || w.Kind != "Deployment" && w.Kind != "Rollout" || w.Strategy.Type.Value == "Recreate" || w.Strategy.MaxUnavailable.IsZero() {
					return nil
				}
				pos := w.SpecPos
				if w.Strategy.Set {
					pos = w.Strategy.Pos
				}
				what := "maxUnavailable is not set: 25% by default"
				if m := w.Strategy.MaxUnavailable; m.Set {
					pos = m.Pos
					what = fmt.Sprintf("maxUnavailable is %d%s", m.Value, map[bool]string{true: "%"}[m.Percent])
				}
				return hit(pos, "spec.strategy.rollingUpdate.maxUnavailable", sevWarn, "a rollout removes capacity before it adds any: "+what)
			},
		},
		&Rule{
			ID: "K8S015", Name: "surge-and-unavailable-zero", Severity: "error", Priority: 1, Fix: Safe, Off: off,
			Title:  "a rollout that cannot move",
			When:   "maxUnavailable and maxSurge are both 0.",
			Why:    "Kubernetes refuses the object.",
			Remedy: "write maxSurge: 1.",
			Source: []string{"Kubernetes API"},
			Bad:    k8s(baseRolling, "rollingUpdate: {maxUnavailable: 0, maxSurge: 0}"),
			Good:   k8sGood(baseRolling),
			Check: func(u *Unit) []Hit {
				w := u.Workload
				return when(w != nil && w.Strategy.MaxSurge.IsZero() && w.Strategy.MaxUnavailable.IsZero(), workloadPos(w, func(w *manifest.Workload) finding.Position { return w.Strategy.MaxSurge.Pos }), "spec.strategy.rollingUpdate", sevError, "maxSurge and maxUnavailable are both 0")
			},
		},
		&Rule{
			ID: "K8S016", Name: "single-replica", Severity: "warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "one pod",
			When:   "the smallest number of replicas is below 2.",
			Why:    "a restart or a drained node is an outage.",
			Remedy: "run 2 or more.",
			Source: []string{"LiteLLM production guide, section 3", "kube-linter, minimum-three-replicas"},
			Bad:    k8s("minReplicas: 3", "minReplicas: 1"),
			Good:   k8sGood("minReplicas: 3"),
			Check: func(u *Unit) []Hit {
				if u.Workload == nil || u.Workload.Kind == "DaemonSet" || u.Rmin.Value >= 2 {
					return nil
				}
				pos := u.Workload.SpecPos
				if p := u.Rmin.Pos; !p.IsZero() {
					pos = p
				} else if s := u.Workload.Scaler; s != nil {
					pos = s.Object.Node.Get("spec").Where()
				}
				return hit(pos, "spec.replicas", sevWarn, "a restart or a drained node is an outage: the smallest number of pods is "+strconv.Itoa(u.Rmin.Value))
			},
		},
		&Rule{
			ID: "K8S017", Name: "pdb-missing", Severity: "info", Priority: 2, Fix: Manual, Off: off,
			Title:  "nothing limits how many pods a node drain takes",
			When:   "there are two pods or more and no PodDisruptionBudget among the inputs selects them.",
			Why:    "draining nodes may take all pods at once.",
			Remedy: "add a PodDisruptionBudget with maxUnavailable: 1.",
			Source: []string{"LiteLLM Helm chart, values"},
			Bad:    k8s("kind: PodDisruptionBudget\nmetadata: {name: litellm}\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: litellm}}}", "kind: PodDisruptionBudget\nmetadata: {name: other}\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: other}}}"),
			Good:   k8sGood("kind: PodDisruptionBudget\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: litellm}}}"),
			Check: func(u *Unit) []Hit {
				return when(u.Workload != nil && u.Rmin.Value >= 2 && len(u.Workload.Budgets) == 0, workloadPos(u.Workload, func(w *manifest.Workload) finding.Position { return w.NamePos }), "metadata.name", sevInfo, "no PodDisruptionBudget selects the pods of %s", workloadName(u.Workload))
			},
		},
		&Rule{
			ID: "K8S018", Name: "hpa-cpu-target", Severity: "warning", Priority: 1, Fix: Safe, Off: off,
			Title:  "the autoscaler reacts late",
			When:   "the autoscaler has no CPU metric, or a target above 60%.",
			Why:    "a new pod needs up to minutes to become ready; at 80% it comes too late.",
			Remedy: "set the CPU target to 60.",
			Source: []string{"LiteLLM production guide, section 2", "LiteLLM issue 35975"},
			Bad:    k8s("averageUtilization: 60", "averageUtilization: 80"),
			Good:   k8sGood("averageUtilization: 60"),
			Check: func(u *Unit) []Hit {
				if u.Workload == nil || u.Workload.Scaler == nil {
					return nil
				}
				s := u.Workload.Scaler
				for _, m := range s.Metrics {
					if m.Resource == "cpu" {
						return when(m.Target.Set && m.Target.Value > 60, m.Pos, "averageUtilization", sevWarn, "the autoscaler adds pods at %d%% CPU; 60 leaves them time to start", m.Target.Value)
					}
				}
				if s.Kind == "ScaledObject" {
					return nil // KEDA scales on what it is told to
				}
				return hit(s.MetricsPos, "spec.metrics", sevWarn, "the autoscaler does not look at the CPU")
			},
		},
		&Rule{
			ID: "K8S019", Name: "hpa-memory-metric", Severity: "warning/info", Priority: 1, Fix: Manual, Off: off,
			Title:  "the autoscaler looks at memory",
			When:   "the autoscaler has a memory metric: warning below 80%, info from 80% on.",
			Why:    "LiteLLM's production page says 80; its later guidance leaves memory out, because memory rises and never comes back, so the pods stay.",
			Remedy: "remove the metric, or use 80 if you follow the older page.",
			Source: []string{"LiteLLM production guide, section 2", "LiteLLM issues 27988 and 35975"},
			Bad:    k8s("averageUtilization: 60}}}\n", "averageUtilization: 60}}}\n    - {type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 65}}}\n"),
			Good:   k8sGood("{name: cpu, target: {type: Utilization, averageUtilization: 60}}"),
			Check: func(u *Unit) []Hit {
				if u.Workload == nil || u.Workload.Scaler == nil {
					return nil
				}
				for _, m := range u.Workload.Scaler.Metrics {
					if m.Resource == "memory" {
						sev := sevInfo
						if m.Target.Set && m.Target.Value < 80 {
							sev = sevWarn
						}
						return []Hit{hitf(m.Pos, "averageUtilization", sev, "the autoscaler looks at memory (%d%%), which rises and does not come back", m.Target.Value)}
					}
				}
				return nil
			},
		},
		&Rule{
			ID: "K8S020", Name: "replicas-with-hpa", Severity: "warning", Priority: 2, Fix: Safe, Off: off,
			Title:  "two writers of the number of pods",
			When:   "spec.replicas is set on a workload that an autoscaler targets.",
			Why:    "every apply resets what the autoscaler decided.",
			Remedy: "delete spec.replicas.",
			Source: []string{"Kubernetes, HorizontalPodAutoscaler"},
			Bad:    k8s("spec:\n  strategy:", "spec:\n  replicas: 6\n  strategy:"),
			Good:   k8sGood("spec: {strategy: ...}"),
			Check: func(u *Unit) []Hit {
				w := u.Workload
				return when(w != nil && w.Scaler != nil && w.Replicas.Set, workloadPos(w, func(w *manifest.Workload) finding.Position { return w.Replicas.Pos }), "spec.replicas", sevWarn, "every apply resets the number of pods that the autoscaler chose")
			},
		},
		&Rule{
			ID: "K8S021", Name: "hpa-target-missing", Severity: "error", Priority: 2, Fix: Manual, Off: off,
			Title:  "an autoscaler of something that does not exist",
			When:   "the scaleTargetRef of an autoscaler is not among the inputs.",
			Why:    "it scales nothing.",
			Remedy: "correct the name.",
			Source: []string{"kube-linter, dangling-horizontalpodautoscaler"},
			Bad:    k8s("scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: litellm}", "scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: litelm}"),
			Good:   k8sGood("scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: litellm}"),
			Also:   []string{"K8S016", "MIG001", "RDS002"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, o := range u.Model.Objects {
					if o.Kind != "HorizontalPodAutoscaler" && o.Kind != "ScaledObject" {
						continue
					}
					name := o.Node.Lookup("spec.scaleTargetRef.name")
					text, _ := name.Scalar()
					if !slices.ContainsFunc(u.Model.Workloads, func(w *manifest.Workload) bool { return w.Scaler != nil && w.Scaler.Object == o }) &&
						!slices.ContainsFunc(u.Model.Objects, func(other *manifest.Object) bool {
							return other.Name == text && other.Kind != o.Kind && other.Node.Lookup("spec.replicas") != nil
						}) {
						out = append(out, hitf(entrySpan(orNode(name, o.Node)), "spec.scaleTargetRef.name", sevError, "%s scales %q, which is not among the inputs", o, text))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "K8S022", Name: "rootfs-writable", Severity: "warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "the root filesystem is writable",
			When:   "readOnlyRootFilesystem is not true on the serving container.",
			Why:    "whoever gets into the process can change the program. LiteLLM and llmgw both run without.",
			Remedy: "set readOnlyRootFilesystem: true, for LiteLLM with the writable volumes of K8S023 to K8S025.",
			Source: []string{"LiteLLM production guide, read-only file system", "kube-linter, no-read-only-root-fs"},
			Bad:    k8s(baseSecurity, `securityContext: {runAsNonRoot: true, runAsUser: 101, capabilities: {drop: ["ALL"]}}`),
			Good:   k8sGood(baseSecurity),
			Check: func(u *Unit) []Hit {
				return when(u.Container != nil && !u.Container.Security.ReadOnlyRoot.True(), u.securityAt(), "securityContext.readOnlyRootFilesystem", sevWarn, "the root filesystem is writable")
			},
		},
		&Rule{
			ID: "K8S023", Name: "readonly-migration-dir", Severity: "error", Priority: 1, Fix: Safe, Target: facts.LiteLLM, Off: off,
			Title:  "migrations have nowhere to write",
			When:   "the root filesystem is read-only, the pod runs migrations, and LITELLM_MIGRATION_DIR is absent or not on a writable volume.",
			Why:    "\"Permission denied\" at start-up.",
			Remedy: "set LITELLM_MIGRATION_DIR and mount an emptyDir (64Mi) there.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad: k8s("{name: DISABLE_SCHEMA_UPDATE, value: \"true\"}", "{name: DISABLE_SCHEMA_UPDATE, value: \"false\"}").
				and("            - {name: migrations, mountPath: /app/migrations}\n", ""),
			Good: k8s("{name: DISABLE_SCHEMA_UPDATE, value: \"true\"}", "{name: DISABLE_SCHEMA_UPDATE, value: \"false\"}"),
			Check: func(u *Unit) []Hit {
				if !u.readOnlyLiteLLM() || !u.DatabaseInUse() || u.schemaUpdatesOff() {
					return nil
				}
				return u.unwritable(sevError, "migrations", "LITELLM_MIGRATION_DIR")
			},
		},
		&Rule{
			ID: "K8S024", Name: "readonly-ui-dirs", Severity: "warning", Priority: 1, Fix: Safe, Target: facts.LiteLLM, Off: off,
			Title:  "the admin UI has nowhere to write",
			When:   "the root filesystem is read-only, the UI is not switched off, and LITELLM_UI_PATH or LITELLM_ASSETS_PATH is absent or not on a writable volume.",
			Why:    "the admin UI is missing; the API works.",
			Remedy: "set both, mount emptyDirs there, and copy the files in an init container; or set DISABLE_ADMIN_UI=true.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("            - {name: assets, mountPath: /app/var/litellm/assets}\n", ""),
			Good:   k8sGood("volumeMounts: [{name: assets, mountPath: /app/var/litellm/assets}]"),
			Check: func(u *Unit) []Hit {
				if !u.readOnlyLiteLLM() || u.EnvOn("DISABLE_ADMIN_UI") || u.EnvMaybe("DISABLE_ADMIN_UI") || u.Args.Has("api_only") {
					return nil
				}
				return u.unwritable(sevWarn, "the admin UI", "LITELLM_UI_PATH", "LITELLM_ASSETS_PATH")
			},
		},
		&Rule{
			ID: "K8S025", Name: "readonly-cache-dirs", Severity: "error", Priority: 1, Fix: Safe, Target: facts.LiteLLM, Off: off,
			Title:  "Prisma has nowhere to unpack",
			When:   "the root filesystem is read-only, a database is in use, and PRISMA_BINARY_CACHE_DIR or XDG_CACHE_HOME is absent or not on a writable volume.",
			Why:    "the query engine cannot start, and with it the database connection.",
			Remedy: "set both to paths on an emptyDir (500Mi).",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("            - {name: cache, mountPath: /app/cache}\n", ""),
			Good:   k8sGood("volumeMounts: [{name: cache, mountPath: /app/cache}]"),
			Check: func(u *Unit) []Hit {
				if !u.readOnlyLiteLLM() || !u.DatabaseInUse() {
					return nil
				}
				return u.unwritable(sevError, "Prisma", "PRISMA_BINARY_CACHE_DIR", "XDG_CACHE_HOME")
			},
		},
		&Rule{
			ID: "K8S026", Name: "runs-as-root", Severity: "warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "the container may run as root",
			When:   "runAsNonRoot is true neither on the container nor on the pod.",
			Why:    "whoever gets out of the process is root on whatever he reaches.",
			Remedy: "set runAsNonRoot: true and runAsUser: 101.",
			Source: []string{"LiteLLM production guide, read-only file system", "kube-linter, run-as-non-root"},
			Bad:    k8s("runAsNonRoot: true, runAsUser: 101, ", ""),
			Good:   k8sGood(baseSecurity),
			Check: func(u *Unit) []Hit {
				return when(u.Container != nil && !u.Container.Security.RunAsNonRoot.True(), u.securityAt(), "securityContext.runAsNonRoot", sevWarn, "the container may run as root")
			},
		},
		&Rule{
			ID: "K8S027", Name: "capabilities-kept", Severity: "info", Priority: 2, Fix: Safe, Off: off,
			Title:  "the container keeps Linux capabilities",
			When:   "capabilities.drop does not contain ALL.",
			Why:    "nothing in the gateway needs one.",
			Remedy: "write capabilities: {drop: [\"ALL\"]}.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s(`, capabilities: {drop: ["ALL"]}`, ""),
			Good:   k8sGood(baseSecurity),
			Check: func(u *Unit) []Hit {
				return when(u.Container != nil && !u.Container.Security.DropsAll, u.securityAt(), "securityContext.capabilities", sevInfo, "the container keeps Linux capabilities that it does not need")
			},
		},
		&Rule{
			ID: "K8S028", Name: "non-root-flag", Severity: "info", Priority: 2, Fix: Safe, Target: facts.LiteLLM, Off: off,
			Title:  "LiteLLM does not know that it is not root",
			When:   "runAsNonRoot or a read-only root is set, and LITELLM_NON_ROOT is not true.",
			Why:    "the image chooses its writable paths by it.",
			Remedy: "set LITELLM_NON_ROOT=true.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("            - {name: LITELLM_NON_ROOT, value: \"true\"}\n", ""),
			Good:   k8sGood(`{name: LITELLM_NON_ROOT, value: "true"}`),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				s := u.Container.Security
				return when((s.RunAsNonRoot.True() || s.ReadOnlyRoot.True()) && !u.EnvOn("LITELLM_NON_ROOT") && !strings.EqualFold(u.variable("LITELLM_NON_ROOT").Text, "true") && !u.EnvMaybe("LITELLM_NON_ROOT") && u.Env.Closed(), u.containerName(), "LITELLM_NON_ROOT", sevInfo, "LITELLM_NON_ROOT is not true")
			},
		},
		&Rule{
			ID: "K8S029", Name: "floating-image-tag", Severity: "warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "an image tag that moves",
			When:   "the image of a gateway container, init containers included, has no tag or one of latest, main, stable, main-latest, main-stable, and no digest.",
			Why:    "two pods of one Deployment can run different releases and different schemas, and a bad release arrives by itself.",
			Remedy: "pin a version, best with its digest.",
			Source: []string{"LiteLLM security best practices", "kube-linter, latest-tag"},
			Bad:    k8s("image: ghcr.io/berriai/litellm:v1.91.4\n          args", "image: ghcr.io/berriai/litellm:main-stable\n          args"),
			Good:   k8sGood("image: ghcr.io/berriai/litellm:v1.91.4"),
			Also:   []string{"MIG007"},
			Check: func(u *Unit) []Hit {
				if u.Workload == nil {
					return nil
				}
				var out []Hit
				for _, w := range append([]*manifest.Workload{u.Workload}, u.Jobs()...) {
					for _, c := range slices.Concat(w.Containers, w.Init) {
						if c.Gateway && c.Image.Set && c.Image.Digest == "" && slices.Contains([]string{"", "latest", "main", "stable", "main-latest", "main-stable"}, c.Image.Tag) {
							tag := "no tag"
							if c.Image.Tag != "" {
								tag = "the tag " + c.Image.Tag
							}
							out = append(out, hitf(c.Image.Pos, "image", sevWarn, "the image has %s, which moves", tag))
						}
					}
				}
				return out
			},
		},
		&Rule{
			ID: "K8S030", Name: "emptydir-unbounded", Severity: "info", Priority: 2, Fix: Safe, Off: off,
			Title:  "an emptyDir without a limit",
			When:   "an emptyDir volume of the pod has no sizeLimit.",
			Why:    "a runaway file fills the node's disk.",
			Remedy: "set sizeLimit: 100Mi for the UI, 10Mi for its assets, 500Mi for the cache, 64Mi for migrations.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("{name: cache, emptyDir: {sizeLimit: 500Mi}}", "{name: cache, emptyDir: {}}"),
			Good:   k8sGood("{name: cache, emptyDir: {sizeLimit: 500Mi}}"),
			Check: func(u *Unit) []Hit {
				if u.Workload == nil {
					return nil
				}
				var out []Hit
				for _, v := range u.Workload.Volumes {
					if v.Kind == "emptyDir" && !v.SizeLimit.Set {
						out = append(out, hitf(v.KindPos, "volumes", sevInfo, "the emptyDir %s has no sizeLimit", v.Name))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "K8S031", Name: "config-not-mounted", Severity: "error", Priority: 1, Fix: Manual, Off: off,
			Title:  "the config is not where the process looks for it",
			When:   "--config or CONFIG_FILE_PATH is an absolute path and no volumeMount is it or contains it.",
			Why:    "the process stops, or starts without its configuration.",
			Remedy: "mount the ConfigMap there, or correct the path.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s(`"--config", "/app/config.yaml"`, `"--config", "/etc/litellm.yaml"`),
			Good:   k8sGood(`args: ["--config", "/app/config.yaml"]`),
			Check: func(u *Unit) []Hit {
				if u.Container == nil || u.Env.Has("LITELLM_CONFIG_BUCKET_NAME") {
					return nil
				}
				path, pos := u.configPath()
				if !strings.HasPrefix(path, "/") {
					return nil
				}
				for _, m := range u.Container.Mounts {
					if m.Path == path || strings.HasPrefix(path, strings.TrimSuffix(m.Path, "/")+"/") {
						return nil
					}
				}
				return hit(pos, "--config", sevError, "nothing is mounted at "+path)
			},
		},
		&Rule{
			ID: "K8S032", Name: "readonly-root-path", Severity: "warning", Priority: 2, Fix: Manual, Target: facts.LiteLLM, Off: off,
			Title:  "a root path that the UI cannot be rewritten for",
			When:   "the root filesystem is read-only and SERVER_ROOT_PATH is set.",
			Why:    "the files of the UI must be rewritten when the image is built; at run time they cannot change.",
			Remedy: "rewrite them in the Dockerfile.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("            - {name: LITELLM_MODE, value: \"PRODUCTION\"}\n", "            - {name: LITELLM_MODE, value: \"PRODUCTION\"}\n            - {name: SERVER_ROOT_PATH, value: /gateway}\n"),
			Good:   k8sGood("# SERVER_ROOT_PATH is not set"),
			Check: func(u *Unit) []Hit {
				v := u.variable("SERVER_ROOT_PATH")
				return when(u.readOnlyLiteLLM() && v.State == Known && v.Text != "" && v.Text != "/", v.Pos, "SERVER_ROOT_PATH", sevWarn, "SERVER_ROOT_PATH needs UI files that were rewritten when the image was built")
			},
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
		&Rule{
			ID: "K8S035", Name: "prestop-needs-shell", Severity: "error", Priority: 1, Fix: Manual, Target: facts.LLMGW, Off: off,
			Title:  "a preStop hook for a shell that is not there",
			When:   "the container runs llmgw, and preStop executes sh, bash or sleep.",
			Why:    "the image holds one static binary; the hook fails at once, and the pod gets no time.",
			Remedy: "use preStop: {sleep: {seconds: 5}} on Kubernetes 1.30 and newer, or exec [\"/llmgw\", \"sleep\", \"5\"].",
			Source: []string{"the llmgw image"},
			Bad:    Example{Manifest: llmgwManifest("{exec: {command: [sh, -c, sleep 5]}}")},
			Good:   Example{Manifest: llmgwManifest("{sleep: {seconds: 5}}")},
			Check: func(u *Unit) []Hit {
				return when(u.Container != nil && u.Container.PreStop.Shell && strings.Contains(u.Container.Image.Ref, "llmgw"), preStopAt(u), "lifecycle.preStop", sevError, "the llmgw image has no shell and no sleep program")
			},
		},
		&Rule{
			ID: "K8S036", Name: "selector-matches-job", Severity: "error", Priority: 1, Fix: Manual, Off: off,
			Title:  "the Deployment's selector also matches another pod",
			When:   "the labels of another pod template, such as a migration Job's, satisfy the selector of the gateway.",
			Why:    "the Service sends requests to the Job's pod, and the autoscaler counts its CPU.",
			Remedy: "give the Job's pods labels of their own.",
			Source: []string{"Kubernetes, label selectors"},
			Bad:    k8s("labels: {app: litellm-migrate}", "labels: {app: litellm}"),
			Good:   k8sGood("labels: {app: litellm-migrate}"),
			Check: func(u *Unit) []Hit {
				if u.Workload == nil || len(u.Workload.Selector) == 0 {
					return nil
				}
				var out []Hit
				for _, w := range u.Model.Workloads {
					if w == u.Workload || w.Namespace != u.Workload.Namespace || len(w.PodLabels) == 0 {
						continue
					}
					matches := true
					for k, v := range u.Workload.Selector {
						matches = matches && w.PodLabels[k] == v
					}
					if matches {
						out = append(out, hitf(w.NamePos, "metadata.name", sevError, "the pods of %s %s match the selector of %s %s", w.Kind, w.Name, u.Workload.Kind, u.Workload.Name))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "K8S039", Name: "service-links", Severity: "error/warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "Kubernetes injects variables of its own",
			When:   "enableServiceLinks is not false; error when a Service is called redis, litellm, llmgw or database.",
			Why:    "a Service named redis sets REDIS_PORT to tcp://..., which the gateway then takes for its Redis port.",
			Remedy: "set enableServiceLinks: false on the pod.",
			Source: []string{"Kubernetes, Service environment variables"},
			Bad:    k8s("      enableServiceLinks: false\n", ""),
			Good:   k8sGood("enableServiceLinks: false"),
			Check: func(u *Unit) []Hit {
				w := u.Workload
				if w == nil || w.ServiceLinks.Set && !w.ServiceLinks.Value {
					return nil
				}
				pos := w.PodSpecPos
				if w.ServiceLinks.Set {
					pos = w.ServiceLinks.Pos
				}
				for _, o := range u.Model.Objects {
					if o.Kind == "Service" && slices.Contains([]string{"redis", "litellm", "llmgw", "database"}, o.Name) && (o.Namespace == w.Namespace || o.Namespace == "" || w.Namespace == "") {
						h := hitf(pos, "enableServiceLinks", sevError, "the Service %s sets %s_PORT in the gateway's environment", o.Name, strings.ToUpper(o.Name))
						h.Related = []finding.Related{{Pos: o.NamePos, Message: "Service " + o.Name}}
						return []Hit{h}
					}
				}
				return hit(pos, "enableServiceLinks", sevWarn, "every Service of the namespace adds variables to the gateway's environment")
			},
		},
	)
}

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
