package rule

import (
	"fmt"

	"github.com/llmgw/llmgw/internal/facts"
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
			Also:   map[string]string{"PRF002": "several workers need a manager", "DB003": "each worker has a pool, and no ceiling is given", "PRF003": "they recycle together"},
			Check: func(u *Unit) []Hit {
				pos := u.Args.Pos
				if p := u.W.Pos; !p.IsZero() {
					pos = p
				}
				return when(u.Container != nil && u.W.Value > 1, pos, "--num_workers", sevWarn, "%s workers share one pod", u.W)
			},
		},
	)
}
