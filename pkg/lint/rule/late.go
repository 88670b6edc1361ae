package rule

import (
	"slices"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

const hardened = `allowPrivilegeEscalation: false, seccompProfile: {type: RuntimeDefault}, capabilities: {drop: ["ALL"]}}`

// Rules that were added to the catalogue after the groups were written: the
// database's and Redis' environment, wildcards, hardening, migration Jobs.
func init() {
	registerLateConfig()
	registerLateManifests()
}

func registerLateConfig() {
	register(
		&Rule{
			ID: "DB025", Name: "flush-above-grace", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "spend is written more rarely than a pod has time to end",
			When:   "proxy_batch_write_at is above the grace period less the preStop hook.",
			Why:    "what is not written when the pod is killed is lost, and the last flush does not come in time.",
			Remedy: "lower proxy_batch_write_at, or raise terminationGracePeriodSeconds.",
			Source: []string{"LiteLLM spend writer"},
			Bad:    k8s("      proxy_batch_write_at: 60\n", "      proxy_batch_write_at: 700\n"),
			Good:   k8sGood("proxy_batch_write_at: 60"),
			Check: func(u *Unit) []Hit {
				const path = general + "proxy_batch_write_at"
				v := u.Setting(path)
				n, ok := v.number()
				grace := u.Facts.Grace
				if !ok || !grace.IsSet() {
					return nil
				}
				left := grace.Value - u.Facts.PreStop.Value
				return when(n > left, u.At(path), path, sevWarn, "spend is written every %s seconds, a pod has %s to end: %s less the preStop hook",
					trimFloat(n), trimFloat(left), grace)
			},
		},
		&Rule{
			ID: "DB026", Name: "tls-not-verified", Severity: "info", Priority: 2, Fix: Manual,
			Title:  "the database's certificate is not verified",
			When:   "the URL says sslmode=require without sslaccept=strict and without a root certificate, or, for LiteLLM, a verify mode, which Prisma does not know.",
			Why:    "the connection is encrypted, to whoever answers: a machine in between can read keys and prompts.",
			Remedy: "append sslaccept=strict and sslcert=/path/to/ca.pem (LiteLLM), or sslmode=verify-full&sslrootcert=/path/to/ca.pem (llmgw).",
			Source: []string{"Prisma's PostgreSQL connector"},
			Bad:    Example{Config: dbModel, Env: databaseOf("postgresql://u:p@mydb.abc.rds.amazonaws.com/litellm?sslmode=require")},
			Good:   Example{Config: dbModel, Env: databaseOf("postgresql://u:p@mydb.abc.rds.amazonaws.com/litellm?sslmode=require&sslaccept=strict&sslcert=/ca.pem")},
			Check: func(u *Unit) []Hit {
				v, url, ok := u.knownURL()
				if !ok || localHost(url.Hostname()) {
					return nil
				}
				q := url.Query()
				path := v.path("DATABASE_URL")
				switch mode := q.Get("sslmode"); {
				case mode == "require" && q.Get("sslaccept") != "strict" && q.Get("sslcert") == "" && q.Get("sslrootcert") == "":
					return hit(v.Pos, path, sevInfo, "sslmode=require encrypts, but does not check who answers")
				case strings.HasPrefix(mode, "verify-") && u.Target == facts.LiteLLM && q.Get("sslaccept") != "strict":
					return hit(v.Pos, path, sevInfo, "Prisma does not know sslmode="+mode+": nothing is verified")
				}
				return nil
			},
		},
		&Rule{
			ID: "LOG010", Name: "callback-limit", Severity: "warning", Priority: 3, Fix: Manual,
			Title:  "more callbacks than LiteLLM takes",
			When:   "callbacks, success_callback or failure_callback has more entries than LITELLM_MAX_CALLBACKS (30).",
			Why:    "the surplus ones are refused, and each one runs on every request.",
			Remedy: "merge them, or raise LITELLM_MAX_CALLBACKS.",
			Source: []string{"LiteLLM troubleshooting guide, callbacks"},
			Bad:    Example{Config: oneModel + "litellm_settings: {callbacks: [" + manyCallbacks(31) + "]}\n", Show: "litellm_settings:\n  callbacks: [cb1, cb2, ..., cb31]"},
			Good:   Example{Config: oneModel + "litellm_settings: {callbacks: [prometheus, otel]}\n"},
			Also:   map[string]string{"CFG022": "callbacks of that number are no names llmgw knows", "SEC031": "as CFG022"},
			Check: func(u *Unit) []Hit {
				limit := 30
				if v := u.variable("LITELLM_MAX_CALLBACKS"); v.State == Known {
					if n, err := strconv.Atoi(strings.TrimSpace(v.Text)); err == nil {
						limit = n
					}
				}
				var out []Hit
				for _, key := range []string{"callbacks", "success_callback", "failure_callback"} {
					path := settings + key
					if n := len(u.strs(u.Node(path))); n > limit {
						out = append(out, hitf(u.At(path), path, sevWarn, "%d callbacks, and LiteLLM takes %d", n, limit))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RDS011", Name: "socket-timeout-env-ineffective", Severity: "info", Priority: 3, Fix: Safe, Target: facts.LiteLLM,
			Title:  "REDIS_SOCKET_TIMEOUT does not reach the cache",
			When:   "REDIS_SOCKET_TIMEOUT is set.",
			Why:    "the cache's client passes 5 seconds of its own; the variable only reaches Sentinels.",
			Remedy: "write litellm_settings.cache_params.socket_timeout instead.",
			Source: []string{"LiteLLM Redis caching guide"},
			Bad:    Example{Config: oneModel, Env: "OPENAI_API_KEY=x\nREDIS_SOCKET_TIMEOUT=0.5\n", Show: "REDIS_SOCKET_TIMEOUT=0.5"},
			Good:   Example{Config: oneModel, Env: "OPENAI_API_KEY=x\n", Show: "litellm_settings: {cache_params: {socket_timeout: 0.5}}"},
			Check: func(u *Unit) []Hit {
				v := u.variable("REDIS_SOCKET_TIMEOUT")
				return when(v.State != Absent && u.Config != nil && len(u.sentinels()) == 0, v.Pos, "REDIS_SOCKET_TIMEOUT", sevInfo, "REDIS_SOCKET_TIMEOUT has no effect on the cache")
			},
		},
		&Rule{
			ID: "RDS012", Name: "redis-env-nonstring", Severity: "warning", Priority: 3, Fix: Manual, Target: facts.LiteLLM,
			Title:  "a Redis variable arrives as text where LiteLLM needs a number",
			When:   "REDIS_MAX_CONNECTIONS, REDIS_SOCKET_CONNECT_TIMEOUT, REDIS_HEALTH_CHECK_INTERVAL, REDIS_RETRY_ON_TIMEOUT or REDIS_DECODE_RESPONSES is set.",
			Why:    "the text is handed to the client as it is, which can keep it from starting.",
			Remedy: "write it under litellm_settings.cache_params, as a number or a boolean.",
			Source: []string{"LiteLLM Redis caching guide"},
			Bad:    Example{Config: oneModel, Env: "OPENAI_API_KEY=x\nREDIS_MAX_CONNECTIONS=200\n", Show: "REDIS_MAX_CONNECTIONS=200"},
			Good:   Example{Config: oneModel, Env: "OPENAI_API_KEY=x\n", Show: "litellm_settings: {cache_params: {max_connections: 200}}"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, name := range []string{"REDIS_MAX_CONNECTIONS", "REDIS_SOCKET_CONNECT_TIMEOUT", "REDIS_HEALTH_CHECK_INTERVAL", "REDIS_RETRY_ON_TIMEOUT", "REDIS_DECODE_RESPONSES"} {
					if v := u.variable(name); v.State != Absent {
						out = append(out, hitf(v.Pos, name, sevWarn, "%s reaches LiteLLM's Redis client as text", name))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RTE021", Name: "context-fallback-missing", Severity: "info", Priority: 2, Fix: Manual,
			Title:  "a group has fallbacks, but none for prompts that are too long",
			When:   "context_window_fallbacks is used, and a group with generic fallbacks has no entry in it.",
			Why:    "a prompt that does not fit goes to the generic fallback, which may be no larger.",
			Remedy: "add the group to context_window_fallbacks.",
			Source: []string{"LiteLLM reliability guide"},
			Bad:    Example{Config: twoModels + "router_settings:\n  fallbacks: [{\"fast\": [\"large\"]}]\n  context_window_fallbacks: [{\"large\": [\"fast\"]}]\n"},
			Good:   Example{Config: twoModels + "router_settings:\n  fallbacks: [{\"fast\": [\"large\"]}]\n  context_window_fallbacks: [{\"fast\": [\"large\"]}]\n"},
			Check: func(u *Unit) []Hit {
				covered := map[string]bool{}
				for _, f := range u.fallbacks() {
					if f.kind == "context_window_fallbacks" {
						covered[f.source] = true
					}
				}
				if len(covered) == 0 || covered["*"] {
					return nil
				}
				var out []Hit
				for _, f := range u.fallbacks() {
					if f.kind == "fallbacks" && f.source != "*" && !covered[f.source] {
						out = append(out, hitf(f.node.Where(), f.node.Path(), sevInfo, "%q has fallbacks, but none in context_window_fallbacks", f.source))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RTE022", Name: "wildcard-tail", Severity: "info", Priority: 2, Fix: Manual,
			Title:  "a wildcard that LiteLLM reads wider",
			When:   "a model_name holds * and does not end in it.",
			Why:    "LiteLLM compares the beginning only, so that *-mini also serves gpt-4o-mini-audio; llmgw compares the whole name.",
			Remedy: "end it in * to serve the same on both (*-mini*).",
			Source: []string{"LiteLLM wildcard routing"},
			Bad:    Example{Config: "model_list: [{model_name: \"*-mini\", litellm_params: {model: \"openai/*\", api_key: os.environ/OPENAI_API_KEY}}]\n"},
			Good:   Example{Config: "model_list: [{model_name: \"*-mini*\", litellm_params: {model: \"openai/*\", api_key: os.environ/OPENAI_API_KEY}}]\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for m := range u.models() {
					if strings.Contains(m.Name, "*") && !strings.HasSuffix(m.Name, "*") {
						n := m.Node.Get("model_name")
						out = append(out, hitf(n.Where(), n.Path(), sevInfo, "LiteLLM compares only the beginning of %q, llmgw the whole of it", m.Name))
					}
				}
				return out
			},
		},
	)
}

func manyCallbacks(n int) string {
	var out []string
	for i := range n {
		out = append(out, "cb"+strconv.Itoa(i+1))
	}
	return strings.Join(out, ", ")
}

// sentinels are the Sentinel nodes of Redis, from wherever they are named.
func (u *Unit) sentinels() []*config.Node {
	if n := u.Node(settings + "cache_params.sentinel_nodes"); n != nil {
		return []*config.Node{n}
	}
	if u.Env.Has("REDIS_SENTINEL_NODES") {
		return []*config.Node{nil}
	}
	return nil
}

func registerLateManifests() {
	off := []Profile{Dev}
	const scrape = "---\napiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: litellm}\nspec:\n  selector: {matchLabels: {app: litellm}}\n  endpoints:\n    - {port: http, path: /metrics/"
	register(
		&Rule{
			ID: "LOG015", Name: "metrics-scrape-auth", Severity: "warning", Priority: 2, Fix: Manual, Off: off,
			Title:  "metrics are scraped without a key, or with the master key",
			When:   "a ServiceMonitor or PodMonitor has no credentials while require_auth_for_metrics_endpoint is true, or its credentials are the master key's.",
			Why:    "without a key every scrape is refused; with the master key, whoever may read Prometheus' configuration is administrator.",
			Remedy: "make a key of its own for Prometheus, and name it under authorization.credentials.",
			Source: []string{"LiteLLM Prometheus guide"},
			Bad:    k8s("", scrape+"}\n").and("      json_logs: true\n", "      json_logs: true\n      require_auth_for_metrics_endpoint: true\n"),
			Good:   k8s("", scrape+", authorization: {credentials: {name: prometheus, key: token}}}\n").and("      json_logs: true\n", "      json_logs: true\n      require_auth_for_metrics_endpoint: true\n"),
			Check:  scrapeAuth,
		},
		&Rule{
			ID: "MIG014", Name: "job-limits", Severity: "warning", Priority: 2, Fix: Manual, Off: off,
			Title:  "a migration Job without limits in time",
			When:   "a migration Job has no activeDeadlineSeconds, or is deleted less than 600 seconds after its end.",
			Why:    "a Job that waits for a lock waits for ever and blocks the release; one that vanishes at once takes its log with it.",
			Remedy: "write activeDeadlineSeconds: 3600 and leave ttlSecondsAfterFinished out, or at 600 and above.",
			Source: []string{"litellm-helm migration Job"},
			Bad:    k8s("spec:\n  activeDeadlineSeconds: 3600\n", "spec:\n"),
			Good:   k8sGood("activeDeadlineSeconds: 3600"),
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, w := range u.Jobs() {
					if w.Form != "" {
						continue
					}
					spec := w.Object.Node.Get("spec")
					if w.Kind == "CronJob" {
						spec = spec.Get("jobTemplate").Get("spec")
					}
					if !spec.Has("activeDeadlineSeconds") {
						out = append(out, hitf(w.NamePos, "activeDeadlineSeconds", sevWarn, "Job %s may run for ever", w.Name))
					}
					if ttl := spec.Get("ttlSecondsAfterFinished"); ttl != nil {
						if n, ok := ttl.Int(); ok && n < 600 {
							out = append(out, hitf(ttl.Where(), "ttlSecondsAfterFinished", sevWarn, "Job %s is deleted %d seconds after its end, with its log", w.Name, n))
						}
					}
				}
				return out
			},
		},
		&Rule{
			ID: "MIG015", Name: "job-env", Severity: "warning", Priority: 2, Fix: Manual, Off: off,
			Title:  "the migration Job does not see the database's URL",
			When:   "the pods get DATABASE_URL through an envFrom that the migration Job does not have, and the Job names no database itself.",
			Why:    "the Job fails, or migrates another database.",
			Remedy: "give the Job the same envFrom, or DATABASE_URL.",
			Source: []string{"LiteLLM issue 30311"},
			Bad: k8s("            - {name: DATABASE_URL, valueFrom: {secretKeyRef: {name: litellm, key: database}}}\n", "").
				and("          resources:\n            requests:", "          envFrom: [{secretRef: {name: litellm-database}}]\n          resources:\n            requests:"),
			Good: k8sGood("the Job: {name: DATABASE_URL, valueFrom: {secretKeyRef: {name: litellm, key: database}}}"),
			Also: map[string]string{"CFG014": "the Secret behind envFrom is not among the inputs"},
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				v, direct := u.Container.LookupEnv("DATABASE_URL")
				var out []Hit
				for _, w := range u.Jobs() {
					c := w.Migration()
					if c == nil || w.Form != "" {
						continue
					}
					_, url := c.LookupEnv("DATABASE_URL")
					_, host := c.LookupEnv("DATABASE_HOST")
					if url || host || len(c.EnvFrom) > 0 && c.EnvOpen() {
						continue
					}
					for _, from := range u.Container.EnvFrom {
						gives := direct && strings.HasSuffix(v.From, "Ref "+from.Name) || !direct && !from.Resolved && !u.Env.Has("DATABASE_HOST")
						has := slices.ContainsFunc(c.EnvFrom, func(f manifest.EnvFrom) bool { return f.Kind == from.Kind && f.Name == from.Name })
						if !gives || has {
							continue
						}
						h := hitf(orPos(c.EnvPos, c.Name.Pos), "envFrom", sevWarn, "Job %s has no DATABASE_URL; the pods get theirs from %s %s", w.Name, from.Kind, from.Name)
						h.Related = []finding.Related{{Pos: from.Pos, Message: "envFrom of the pods"}}
						out = append(out, h)
						break
					}
				}
				return out
			},
		},
		&Rule{
			ID: "K8S041", Name: "no-network-policy", Severity: "info", Priority: 3, Fix: Manual, Off: off,
			Title:  "any pod may reach the gateway's pods",
			When:   "no NetworkPolicy among the inputs selects the pods of the gateway.",
			Why:    "every pod of the cluster reaches the gateway, and the gateway reaches every address: one hole elsewhere is enough to use its keys.",
			Remedy: "add a NetworkPolicy that lets in the ingress and Prometheus, and out DNS, Postgres, Redis and the upstreams; llmgw render k8s writes one.",
			Source: []string{"Kubernetes, network policies"},
			Bad:    k8s(basePolicy, ""),
			Good:   k8sGood(basePolicy),
			Check: func(u *Unit) []Hit {
				w := u.Workload
				if w == nil {
					return nil
				}
				for _, o := range u.objects("NetworkPolicy", "CiliumNetworkPolicy") {
					if o.Namespace != "" && w.Namespace != "" && o.Namespace != w.Namespace {
						continue
					}
					sel := o.Node.Get("spec").Get("podSelector")
					if o.Kind == "CiliumNetworkPolicy" {
						sel = o.Node.Get("spec").Get("endpointSelector")
					}
					if manifest.Selects(sel, w.PodLabels) {
						return nil
					}
				}
				return []Hit{hitf(w.NamePos, "metadata.name", sevInfo, "no NetworkPolicy among the inputs selects the pods of %s %s", w.Kind, w.Name)}
			},
		},
		&Rule{
			ID: "K8S038", Name: "pod-hardening", Severity: "info", Priority: 2, Fix: Manual, Off: off,
			Title:  "the container may do more than it needs",
			When:   "allowPrivilegeEscalation is not false, there is no seccomp profile, or a service account's token is mounted.",
			Why:    "each of them is one step more for somebody who got in.",
			Remedy: "set allowPrivilegeEscalation: false, seccompProfile: {type: RuntimeDefault} and, on the pod, automountServiceAccountToken: false.",
			Source: []string{"Kubernetes pod security standards, restricted"},
			Bad:    k8s(hardened, `capabilities: {drop: ["ALL"]}}`),
			Good:   k8sGood("securityContext: {allowPrivilegeEscalation: false, seccompProfile: {type: RuntimeDefault}}"),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				s := u.Container.Security
				var open []string
				if !s.PrivilegeEscalation.Set || s.PrivilegeEscalation.Value {
					open = append(open, "allowPrivilegeEscalation is not false")
				}
				if !s.Seccomp.Set {
					open = append(open, "there is no seccomp profile")
				}
				if s.AutomountToken.True() {
					open = append(open, "the service account's token is mounted")
				}
				return when(len(open) > 0, orPos(s.ContainerPos, u.Container.Name.Pos), "securityContext", sevInfo, "%s", strings.Join(open, ", "))
			},
		},
	)
}

// scrapeAuth compares what the scrapers send with what the gateway asks for.
func scrapeAuth(u *Unit) []Hit {
	if u.Workload == nil {
		return nil
	}
	required := u.On(settings + "require_auth_for_metrics_endpoint")
	master, _ := u.Env.Lookup("LITELLM_MASTER_KEY")
	var key *config.Node
	if n := u.nodeAt(master.Pos); n != nil {
		key = n.Parent().Get("valueFrom").Get("secretKeyRef")
	}
	var out []Hit
	for _, o := range u.objects("ServiceMonitor", "PodMonitor") {
		list := o.Node.Get("spec").Get("endpoints")
		if o.Kind == "PodMonitor" {
			list = o.Node.Get("spec").Get("podMetricsEndpoints")
		}
		if !strings.Contains(strings.ToLower(o.Name), "litellm") && !strings.Contains(strings.ToLower(o.Name), "llmgw") && o.Name != u.Workload.Name {
			continue
		}
		for _, e := range list.Items() {
			sent := e.Get("authorization").Get("credentials")
			if sent == nil {
				sent = e.Get("bearerTokenSecret")
			}
			switch {
			case sent == nil && e.Get("basicAuth") == nil && required:
				out = append(out, hitf(e.Pos, "endpoints", sevWarn, "%s scrapes without a key, and the gateway asks for one", o))
			case sent != nil && key != nil && text(sent, "name") == text(key, "name") && text(sent, "key") == text(key, "key"):
				out = append(out, hitf(sent.Where(), "endpoints", sevWarn, "%s scrapes with the master key", o))
			}
		}
	}
	return out
}

func text(n *config.Node, key string) string {
	s, _ := n.Get(key).Scalar()
	return s
}
