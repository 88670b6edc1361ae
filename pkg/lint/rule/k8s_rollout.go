package rule

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

func init() {
	off := []Profile{Dev}
	register(
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
			Also:   map[string]string{"DB003": "the surge of a rollout changes the sum, and no ceiling is given"},
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
			Also:   map[string]string{"K8S016": "without its autoscaler the Deployment has one replica", "MIG001": "as above", "RDS002": "as above"},
			Check: func(u *Unit) []Hit {
				if !u.first() {
					return nil
				}
				scaled := map[*manifest.Object]bool{}
				for _, w := range u.Model.Workloads {
					if w.Scaler != nil {
						scaled[w.Scaler.Object] = true
					}
				}
				counted := map[string]bool{}
				for _, o := range u.Model.Objects {
					if o.Node.Lookup("spec.replicas") != nil {
						counted[o.Name] = true
					}
				}
				var out []Hit
				for _, o := range u.objects("HorizontalPodAutoscaler", "ScaledObject") {
					name := o.Node.Lookup("spec.scaleTargetRef.name")
					text, _ := name.Scalar()
					if !scaled[o] && !counted[text] {
						out = append(out, hitf(entrySpan(orNode(name, o.Node)), "spec.scaleTargetRef.name", sevError, "%s scales %q, which is not among the inputs", o, text))
					}
				}
				return out
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
				for _, w := range u.sameLabel(u.Workload.Selector) {
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
			ID: "K8S040", Name: "pdb-blocks-drains", Severity: "error", Priority: 2, Fix: Manual, Off: []Profile{Dev},
			Title:  "a disruption budget that never lets a node drain",
			When:   "minAvailable of a PodDisruptionBudget is the smallest number of pods, or 100%, or maxUnavailable is 0.",
			Why:    "no pod may ever leave, so nodes cannot be drained or upgraded.",
			Remedy: "write maxUnavailable: 1.",
			Source: []string{"Kubernetes, PodDisruptionBudget"},
			Bad:    k8s("spec: {maxUnavailable: 1, selector: {matchLabels: {app: litellm}}}", "spec: {minAvailable: 3, selector: {matchLabels: {app: litellm}}}"),
			Good:   k8sGood("spec: {maxUnavailable: 1, selector: {matchLabels: {app: litellm}}}"),
			Check: func(u *Unit) []Hit {
				if u.Workload == nil {
					return nil
				}
				var out []Hit
				for _, o := range u.Workload.Budgets {
					least, most := o.Node.Lookup("spec.minAvailable"), o.Node.Lookup("spec.maxUnavailable")
					text, _ := least.Scalar()
					n, whole := atoi(text)
					switch t, _ := most.Scalar(); {
					case text == "100%" || whole && n >= u.Rmin.Value:
						out = append(out, hitf(entrySpan(least), "spec.minAvailable", sevError, "%s never lets a pod go: minAvailable is %s, the smallest number of pods %d", o, text, u.Rmin.Value))
					case t == "0" || t == "0%":
						out = append(out, hitf(entrySpan(most), "spec.maxUnavailable", sevError, "%s never lets a pod go: maxUnavailable is %s", o, t))
					}
				}
				return out
			},
		},
	)
}
