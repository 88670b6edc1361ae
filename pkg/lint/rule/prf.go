package rule

import (
	"fmt"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

const fourWorkers = `"--num_workers", "4", `

func init() {
	register(
		&Rule{
			ID: "PRF001", Name: "no-worker-recycling", Severity: "info", Priority: 1, Fix: Manual, Target: facts.LiteLLM, Closed: true,
			Title:  "workers are never replaced",
			When:   "the arguments are known, and neither --max_requests_before_restart nor MAX_REQUESTS_BEFORE_RESTART is given.",
			Why:    "recycling bounds a slow growth of memory; it is advice for when you see one.",
			Remedy: "add --max_requests_before_restart 10000 when memory grows.",
			Source: []string{"LiteLLM production guide, section 3b", "LiteLLM issue 12685"},
			Bad:    k8s(`, "--max_requests_before_restart", "10000"`, ""),
			Good:   k8sGood(`args: ["--max_requests_before_restart", "10000"]`),
			Check: func(u *Unit) []Hit {
				_, set := u.recycling()
				return when(u.Args.Known && !set && u.Env.Closed(), u.Args.Pos, "--max_requests_before_restart", sevInfo, "workers are never replaced; --max_requests_before_restart bounds slow memory growth")
			},
		},
		&Rule{
			ID: "PRF002", Name: "recycle-under-uvicorn-workers", Severity: "warning", Priority: 1, Fix: Manual, Target: facts.LiteLLM,
			Title:  "several workers are recycled without Gunicorn",
			When:   "there is more than one worker, recycling is on, and neither --run_gunicorn nor --run_granian is given.",
			Why:    "Gunicorn replaces workers one at a time, while the pod keeps serving.",
			Remedy: "add --run_gunicorn, or run one worker per pod.",
			Source: []string{"LiteLLM production guide, section 3b"},
			Bad:    k8s(`"--num_workers", "1", `, fourWorkers),
			Good:   k8s(`"--num_workers", "1", `, fourWorkers+`"--run_gunicorn", `),
			Check: func(u *Unit) []Hit {
				_, set := u.recycling()
				return when(u.W.Value > 1 && set && !u.Args.Has("run_gunicorn") && !u.Args.Has("run_granian"), u.Args.Pos, "--max_requests_before_restart", sevWarn, "%s workers are recycled without --run_gunicorn", u.W)
			},
		},
		&Rule{
			ID: "PRF003", Name: "recycle-without-jitter", Severity: "info", Priority: 2, Fix: Safe, Target: facts.LiteLLM,
			Title:  "all workers are recycled at once",
			When:   "there is more than one worker, recycling is on, and no jitter is given.",
			Why:    "workers reach the limit together, and capacity drops in one step.",
			Remedy: "add --max_requests_before_restart_jitter with a tenth of the number.",
			Source: []string{"LiteLLM server tuning guide"},
			Bad:    k8s(`"--num_workers", "1", `, fourWorkers+`"--run_gunicorn", `),
			Good:   k8s(`"--num_workers", "1", `, fourWorkers+`"--run_gunicorn", "--max_requests_before_restart_jitter", "1000", `),
			Check: func(u *Unit) []Hit {
				_, set := u.recycling()
				return when(u.W.Value > 1 && set && !u.Args.Has("max_requests_before_restart_jitter") && !u.Env.Has("MAX_REQUESTS_BEFORE_RESTART_JITTER") && !u.Args.Has("run_granian"), u.Args.Pos, "--max_requests_before_restart_jitter", sevInfo, "all workers are recycled at the same time")
			},
		},
		&Rule{
			ID: "PRF004", Name: "recycle-too-often", Severity: "warning", Priority: 2, Fix: Manual, Target: facts.LiteLLM,
			Title:  "workers are recycled very often",
			When:   "the recycling value is below 1000.",
			Why:    "a busy worker restarts every few seconds and pays for its warm-up each time.",
			Remedy: "use 10000 or more.",
			Source: []string{"LiteLLM production guide, section 3b"},
			Bad:    k8s(`"--max_requests_before_restart", "10000"`, `"--max_requests_before_restart", "200"`),
			Good:   k8sGood(`args: ["--max_requests_before_restart", "10000"]`),
			Check: func(u *Unit) []Hit {
				a, set := u.recycling()
				n, ok := a.Int()
				return when(set && ok && n < 1000, orPos(a.Pos, u.Args.Pos), "--max_requests_before_restart", sevWarn, "a worker is replaced after %d requests", n)
			},
		},
		&Rule{
			ID: "PRF005", Name: "gunicorn-one-worker", Severity: "info", Priority: 2, Fix: Manual, Target: facts.LiteLLM,
			Title:  "Gunicorn for one worker",
			When:   "--run_gunicorn is given with one worker.",
			Why:    "Gunicorn is a supervisor for several workers in one container.",
			Remedy: "drop the flag.",
			Source: []string{"LiteLLM production guide, section 3"},
			Bad:    k8s(`"--num_workers", "1", `, `"--num_workers", "1", "--run_gunicorn", `),
			Good:   k8sGood(`args: ["--num_workers", "1"]`),
			Also:   map[string]string{"TMO011": "Gunicorn grants 30 s"},
			Check: func(u *Unit) []Hit {
				return when(u.Args.Has("run_gunicorn") && u.W.Value == 1, u.Args.Pos, "--run_gunicorn", sevInfo, "Gunicorn supervises one worker only")
			},
		},
		&Rule{
			ID: "PRF006", Name: "granian-ignores-recycling", Severity: "warning", Priority: 3, Fix: Manual, Target: facts.LiteLLM,
			Title:  "Granian does not recycle workers",
			When:   "--run_granian is given with a recycling value.",
			Why:    "Granian has no limit of requests per worker: the value is ignored.",
			Remedy: "choose one of the two.",
			Source: []string{"LiteLLM's launcher"},
			Bad:    k8s(`"--num_workers", "1", `, `"--num_workers", "1", "--run_granian", `),
			Good:   k8sGood(`args: ["--num_workers", "1"]`),
			Check: func(u *Unit) []Hit {
				_, set := u.recycling()
				return when(u.Args.Has("run_granian") && set, u.Args.Pos, "--run_granian", sevWarn, "Granian does not recycle workers: the value is ignored")
			},
		},
		&Rule{
			ID: "PRF007", Name: "health-checks-per-replica", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "every process calls every model in the background",
			When:   "background_health_checks is true, more than one process serves, and use_shared_health_check is not true.",
			Why:    "health checks are real calls that cost money; one user measured dollars a day on a single reasoning model.",
			Remedy: "set general_settings.use_shared_health_check: true, with Redis.",
			Source: []string{"LiteLLM issues 13668 and 13782", "LiteLLM guide to shared health checks"},
			Bad:    k8s("      disable_error_logs: true\n", "      disable_error_logs: true\n      background_health_checks: true\n      health_check_interval: 300\n"),
			Good:   k8s("      disable_error_logs: true\n", "      disable_error_logs: true\n      background_health_checks: true\n      use_shared_health_check: true\n      health_check_interval: 300\n"),
			Check: func(u *Unit) []Hit {
				const path = general + "background_health_checks"
				if !u.On(path) || !u.Several() || u.On(general+"use_shared_health_check") || u.EnvOn("USE_SHARED_HEALTH_CHECK") || u.EnvMaybe("USE_SHARED_HEALTH_CHECK") {
					return nil
				}
				interval := 300.0
				if n, _, ok := u.Number(general + "health_check_interval"); ok && n > 0 {
					interval = n
				}
				models := u.Section("model_list").Len()
				calls := float64(models*u.Processes()) * 86400 / interval
				h := hitf(u.At(path), path, sevWarn, "every process calls every model: %.0f health check calls a day", calls)
				h.Detail = []string{fmt.Sprintf("%d deployments x %d processes x 86400 / %v s = %.0f", models, u.Processes(), interval, calls)}
				return []Hit{h}
			},
		},
		&Rule{
			ID: "PRF008", Name: "health-check-interval", Severity: "warning", Priority: 1, Fix: Safe,
			Title:  "paid health checks very often",
			When:   "background_health_checks is true and health_check_interval is below 300.",
			Why:    "each check is a paid call to each model.",
			Remedy: "write health_check_interval: 300.",
			Source: []string{"LiteLLM health check guide"},
			Bad:    Example{Config: oneModel + "general_settings: {background_health_checks: true, health_check_interval: 60}\n"},
			Good:   Example{Config: oneModel + "general_settings: {background_health_checks: true, health_check_interval: 300}\n"},
			Check: func(u *Unit) []Hit {
				const path = general + "health_check_interval"
				n, v, ok := u.Number(path)
				if !u.On(general+"background_health_checks") || !ok || n >= 300 {
					return nil
				}
				h := hitf(u.spanOf(v), path, sevWarn, "every model is called every %v seconds", n)
				if v.Ref == "" {
					h.Edits = replaceValue(v.Node, "300")
				}
				return []Hit{h}
			},
		},
		&Rule{
			ID: "PRF009", Name: "prompts-memory-headroom", Severity: "warning", Priority: 2, Fix: Manual, Target: facts.LiteLLM,
			Title:  "no memory to spare for stored prompts",
			When:   "store_prompts_in_spend_logs is true and limits.memory is at most 4Gi per worker.",
			Why:    "rows with prompts are the largest writes; 4Gi leaves no reserve.",
			Remedy: "give more memory, or stop storing prompts.",
			Source: []string{"LiteLLM production guide", "LiteLLM issue 21908"},
			Bad:    k8s("      disable_error_logs: true\n", "      disable_error_logs: true\n      store_prompts_in_spend_logs: true\n"),
			Good: k8s("      disable_error_logs: true\n", "      disable_error_logs: true\n      store_prompts_in_spend_logs: true\n").
				and(`requests: {cpu: "1", memory: 4Gi}`, `requests: {cpu: "1", memory: 8Gi}`).and(`limits: {cpu: "1", memory: 4Gi}`, `limits: {cpu: "1", memory: 8Gi}`),
			Check: func(u *Unit) []Hit {
				if u.Container == nil || !u.On(general+"store_prompts_in_spend_logs") {
					return nil
				}
				q := u.Container.Resources.LimitsMemory
				return when(q.Set && q.Value <= float64(4*gib*u.W.Value), q.Pos, "resources.limits.memory", sevWarn, "%s leaves no reserve for stored prompts", q.Text)
			},
		},
		&Rule{
			ID: "PRF010", Name: "cost-map-fetch", Severity: "info", Priority: 3, Fix: Safe, Target: facts.LiteLLM, Closed: true, OnlyIn: []Profile{VPC},
			Title:  "the price list is fetched from the internet",
			When:   "the profile is vpc and LITELLM_LOCAL_MODEL_COST_MAP is certainly absent.",
			Why:    "in a closed network that is a slow failure at every start.",
			Remedy: "set LITELLM_LOCAL_MODEL_COST_MAP=True.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: oneModel, Env: "OPENAI_API_KEY=sk-proj-0123456789\n", Flags: Flags{Profile: VPC}},
			Good:   Example{Config: oneModel, Env: "OPENAI_API_KEY=sk-proj-0123456789\nLITELLM_LOCAL_MODEL_COST_MAP=True\n", Flags: Flags{Profile: VPC}},
			Check: func(u *Unit) []Hit {
				return when(u.Config != nil && u.EnvAbsent("LITELLM_LOCAL_MODEL_COST_MAP"), u.Top(), "LITELLM_LOCAL_MODEL_COST_MAP", sevInfo, "the price list is fetched from the internet at every start")
			},
		},
		&Rule{
			ID: "PRF011", Name: "health-mode-missing", Severity: "warning", Priority: 2, Fix: Safe,
			Title:  "a health check of the wrong kind",
			When:   "background_health_checks is true, and a deployment that is no chat model by its name has no model_info.mode.",
			Why:    "the check sends a chat request, so the model is unhealthy for ever.",
			Remedy: "set model_info.mode.",
			Source: []string{"LiteLLM health check guide"},
			Bad:    Example{Config: "model_list:\n  - model_name: embed\n    litellm_params: {model: openai/text-embedding-3-small, api_key: os.environ/K}\ngeneral_settings: {background_health_checks: true}\n"},
			Good:   Example{Config: "model_list:\n  - model_name: embed\n    litellm_params: {model: openai/text-embedding-3-small, api_key: os.environ/K}\n    model_info: {mode: embedding}\ngeneral_settings: {background_health_checks: true}\n"},
			Check: func(u *Unit) []Hit {
				if !u.On(general + "background_health_checks") {
					return nil
				}
				var out []Hit
				for m := range u.models() {
					v := u.Resolve(m.Params.Get("model"))
					if v.State != Known || !m.Info.Get("mode").IsNull() {
						continue
					}
					name := strings.ToLower(v.Text)
					for _, word := range []string{"embed", "dall-e", "image", "whisper", "tts", "rerank", "transcri"} {
						if strings.Contains(name, word) {
							out = append(out, hitf(u.spanOf(v), v.Path, sevWarn, "%s is health-checked with a chat request: model_info.mode is not set", m.Name))
							break
						}
					}
				}
				return out
			},
		},
		&Rule{
			ID: "PRF012", Name: "pods-not-spread", Severity: "info", Priority: 3, Fix: Safe, Off: []Profile{Dev},
			Title:  "all pods may run on one node",
			When:   "there can be more than one pod, and neither topologySpreadConstraints nor podAntiAffinity is set.",
			Why:    "one failed node takes them all.",
			Remedy: "add topologySpreadConstraints over kubernetes.io/hostname.",
			Source: []string{"kube-linter, no-anti-affinity"},
			Bad:    k8s("      topologySpreadConstraints:\n        - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}\n", ""),
			Good:   k8sGood("topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}]"),
			Check: func(u *Unit) []Hit {
				if u.Workload == nil || u.Workload.Kind == "DaemonSet" {
					return nil
				}
				return when(u.R.Value > 1 && !u.Workload.Spread, u.Workload.NamePos, "metadata.name", sevInfo, "all pods may run on one node")
			},
		},
		&Rule{
			ID: "PRF014", Name: "shell-text-in-args", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "shell text where there is no shell",
			When:   "an argument of a container in exec form contains $(command) or `command`.",
			Why:    "Kubernetes expands $(NAME) for variables only: the text reaches the program as it stands.",
			Remedy: "write the number, or start the program through a shell.",
			Source: []string{"Kubernetes, container commands"},
			Bad:    k8s(`"--num_workers", "1", `, `"--num_workers", "$(nproc)", `),
			Good:   k8sGood(`args: ["--num_workers", "1"]`),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				words := u.Container.Words()
				if len(words) > 0 {
					switch first := words[0].Text; first[strings.LastIndexByte(first, '/')+1:] {
					case "sh", "bash", "ash", "dash":
						return nil
					}
				}
				var out []Hit
				for _, w := range words {
					_, rest, ok := strings.Cut(w.Text, "$(")
					inside, _, closed := strings.Cut(rest, ")")
					if (!ok || !closed || u.Env.Has(inside) || identifier(inside) && inside == strings.ToUpper(inside)) && !strings.Contains(w.Text, "`") {
						continue
					}
					out = append(out, Hit{Finding: finding.Finding{Pos: w.Pos, Path: "args", Severity: sevError, Message: fmt.Sprintf("%q reaches the program as it stands: there is no shell", w.Text)}})
				}
				return out
			},
		},
	)
}

// recycling is the number of requests after which a worker is replaced.
func (u *Unit) recycling() (Arg, bool) {
	if a, ok := u.Args.Get("max_requests_before_restart"); ok {
		return a, true
	}
	if v := u.variable("MAX_REQUESTS_BEFORE_RESTART"); v.Present() {
		return Arg{Name: v.Ref, Value: v.Text, Pos: v.Pos}, true
	}
	return Arg{}, false
}
