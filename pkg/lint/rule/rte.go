package rule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
)

const twoModels = "model_list:\n  - model_name: fast\n    litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY}\n  - model_name: large\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}\n"

const fourModels = "model_list:\n  - {model_name: a, litellm_params: {model: openai/a, api_key: os.environ/K}}\n  - {model_name: b, litellm_params: {model: openai/b, api_key: os.environ/K}}\n  - {model_name: c, litellm_params: {model: openai/c, api_key: os.environ/K}}\n  - {model_name: d, litellm_params: {model: openai/d, api_key: os.environ/K}}\n"

func init() {
	register(
		&Rule{
			ID: "RTE001", Name: "usage-based-routing", Severity: "warning", Priority: 1, Fix: Unsafe,
			Title:  "usage-based routing",
			When:   "routing_strategy is usage-based-routing or usage-based-routing-v2.",
			Why:    "it adds Redis round trips to every request, and is not recommended for production.",
			Remedy: "use simple-shuffle, with rpm and tpm as weights.",
			Source: []string{"LiteLLM production guide, section 4"},
			Bad:    Example{Config: oneModel + "router_settings: {routing_strategy: usage-based-routing-v2}\n"},
			Good:   Example{Config: oneModel + "router_settings: {routing_strategy: simple-shuffle}\n"},
			Check: func(u *Unit) []Hit {
				const path = router + "routing_strategy"
				v := u.Setting(path)
				return when(v.State == Known && strings.HasPrefix(v.Text, "usage-based-routing") && slices.Contains(strategies, v.Text), u.spanOf(v), path, sevWarn, "%s costs Redis round trips on every request", v.Text)
			},
		},
		&Rule{
			ID: "RTE002", Name: "unknown-strategy", Severity: "error", Priority: 1, Fix: Unsafe,
			Title:  "an unknown routing strategy",
			When:   "routing_strategy is none of the known words.",
			Why:    "the proxy does not start, or falls back to its default in silence.",
			Remedy: "use one of " + strings.Join(strategies, ", ") + ".",
			Source: []string{"LiteLLM routing guide"},
			Bad:    Example{Config: oneModel + "router_settings: {routing_strategy: least_busy}\n"},
			Good:   Example{Config: oneModel + "router_settings: {routing_strategy: least-busy}\n"},
			Check: func(u *Unit) []Hit {
				const path = router + "routing_strategy"
				v := u.Setting(path)
				if v.State != Known || slices.Contains(strategies, v.Text) {
					return nil
				}
				h := hitf(u.spanOf(v), path, sevError, "%q is not a routing strategy", v.Text)
				if near := nearestOf(v.Text, strategies); near != "" {
					h.Message += "; did you mean " + near + "?"
					h.Fix = "write " + near + "."
				}
				return []Hit{h}
			},
		},
		&Rule{
			ID: "RTE003", Name: "stateful-strategy-without-redis", Severity: "warning", Priority: 2, Fix: Manual, Closed: true,
			Title:  "a strategy that needs shared state, without Redis",
			When:   "usage-based or latency-based routing, several processes, and no Redis.",
			Why:    "every process decides on its own slice of the traffic.",
			Remedy: "add Redis, or use simple-shuffle.",
			Source: []string{"LiteLLM Redis requirements"},
			Bad: k8s("      redis_host: os.environ/REDIS_HOST\n      redis_port: os.environ/REDIS_PORT\n      redis_password: os.environ/REDIS_PASSWORD\n", "").
				and("            - {name: REDIS_HOST, valueFrom: {secretKeyRef: {name: litellm, key: redis-host}}}\n", "").
				and("routing_strategy: simple-shuffle", "routing_strategy: latency-based-routing"),
			Good: k8s("      redis_host: os.environ/REDIS_HOST\n      redis_port: os.environ/REDIS_PORT\n      redis_password: os.environ/REDIS_PASSWORD\n", "").
				and("            - {name: REDIS_HOST, valueFrom: {secretKeyRef: {name: litellm, key: redis-host}}}\n", ""),
			Check: func(u *Unit) []Hit {
				const path = router + "routing_strategy"
				v := u.Setting(path)
				stateful := v.State == Known && (strings.HasPrefix(v.Text, "usage-based-routing") || v.Text == "latency-based-routing")
				return when(stateful && u.Several() && u.Env.Closed() && !u.RedisInUse(), u.spanOf(v), path, sevWarn, "%s decides per process: there is no Redis", v.Text)
			},
		},
		&Rule{
			ID: "RTE004", Name: "fallback-target-unknown", Severity: "error/info", Priority: 1, Fix: Manual,
			Title:  "a fallback leads to a model that does not exist",
			When:   "a target of fallbacks, context_window_fallbacks, content_policy_fallbacks or default_fallbacks is no model_name, id, alias or match of a wildcard. info when models are kept in the database.",
			Why:    "the safety net is not there when it is needed.",
			Remedy: "correct the name.",
			Source: []string{"LiteLLM reliability guide"},
			Bad:    Example{Config: twoModels + "router_settings: {fallbacks: [{\"fast\": [\"slow\"]}]}\n"},
			Good:   Example{Config: twoModels + "router_settings: {fallbacks: [{\"fast\": [\"large\"]}]}\n"},
			Check: func(u *Unit) []Hit {
				sev := sevError
				if u.On(general + "store_model_in_db") {
					sev = sevInfo
				}
				var out []Hit
				for _, f := range u.fallbacks() {
					for _, t := range f.targets {
						name, _ := t.Scalar()
						if name == "" || strings.HasPrefix(name, refPrefix) || u.knownModel(name) {
							continue
						}
						h := hitf(t.Pos, t.Path(), sev, "the fallback %q is no model of this config", name)
						if near := nearestOf(name, u.modelNames()); near != "" {
							h.Message += "; did you mean " + near + "?"
						}
						out = append(out, h)
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RTE005", Name: "fallback-source-unknown", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "a fallback rule for a model that does not exist",
			When:   "the key of a fallback entry matches no model, is not *, and models are not kept in the database.",
			Why:    "the rule never applies.",
			Remedy: "correct the name.",
			Source: []string{"LiteLLM reliability guide"},
			Bad:    Example{Config: twoModels + "router_settings: {fallbacks: [{\"fats\": [\"large\"]}]}\n"},
			Good:   Example{Config: twoModels + "router_settings: {fallbacks: [{\"fast\": [\"large\"]}]}\n"},
			Check: func(u *Unit) []Hit {
				if u.On(general + "store_model_in_db") {
					return nil
				}
				var out []Hit
				for _, f := range u.fallbacks() {
					if f.source != "" && f.source != "*" && !u.knownModel(f.source) {
						out = append(out, hitf(f.node.Where(), f.node.Path(), sevWarn, "the fallback rule for %q never applies: there is no such model", f.source))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RTE006", Name: "fallback-loop", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "fallbacks lead back to where they began",
			When:   "a group lists itself, or its fallbacks reach it again.",
			Why:    "attempts are spent on a group that has just failed, while the client waits.",
			Remedy: "break the circle.",
			Source: []string{"LiteLLM reliability guide"},
			Bad:    Example{Config: fourModels + "router_settings: {fallbacks: [{a: [b]}, {b: [a]}]}\n"},
			Good:   Example{Config: fourModels + "router_settings: {fallbacks: [{a: [b]}, {b: [c]}]}\n"},
			Check:  fallbackLoop,
		},
		&Rule{
			ID: "RTE007", Name: "fallback-chain-over-limit", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "more fallbacks than are tried",
			When:   "one list holds more targets than max_fallbacks, 5 by default.",
			Why:    "the later targets are never tried.",
			Remedy: "shorten the list, or raise router_settings.max_fallbacks.",
			Source: []string{"LiteLLM issue 37301"},
			Bad:    Example{Config: fourModels + "router_settings: {max_fallbacks: 2, fallbacks: [{a: [b, c, d]}]}\n"},
			Good:   Example{Config: fourModels + "router_settings: {max_fallbacks: 3, fallbacks: [{a: [b, c, d]}]}\n"},
			Check: func(u *Unit) []Hit {
				limit := u.Facts.MaxFallbacks.Or(facts.AssumedInt(facts.DefaultMaxFallbacks, "default"))
				var out []Hit
				for _, f := range u.fallbacks() {
					if len(f.targets) > limit.Value {
						out = append(out, hitf(f.node.Where(), f.node.Path(), sevWarn, "%d fallbacks are listed for %q, but only %d are tried", len(f.targets), f.source, limit.Value))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RTE008", Name: "cooldowns-off", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "failing deployments stay in rotation",
			When:   "router_settings.disable_cooldowns is true.",
			Why:    "requests keep going to a deployment that is over its limit or down.",
			Remedy: "set cooldown_time to what suits you instead.",
			Source: []string{"LiteLLM debugging guide"},
			Bad:    Example{Config: oneModel + "router_settings: {disable_cooldowns: true}\n"},
			Good:   Example{Config: oneModel + "router_settings: {cooldown_time: 5}\n"},
			Check: func(u *Unit) []Hit {
				const path = router + "disable_cooldowns"
				return when(u.On(path), u.At(path), path, sevWarn, "failing deployments stay in rotation: cooldowns are off")
			},
		},
		&Rule{
			ID: "RTE009", Name: "single-deployment-cooldown", Severity: "warning", Priority: 1, Fix: Manual, Target: facts.LiteLLM,
			Title:  "a model with one deployment can be cooled down as a whole",
			When:   "router_settings has an allowed_fails other than the global default, or an allowed_fails_policy, and a group without wildcard has one deployment and no fallback.",
			Why:    "with explicit settings a lone deployment is cooled down too, and the whole model answers 429.",
			Remedy: "add a second deployment or a fallback, or drop allowed_fails.",
			Source: []string{"LiteLLM issues 7823 and 8668"},
			Bad:    Example{Config: oneModel + "router_settings: {allowed_fails: 1}\n"},
			Good:   Example{Config: twoModels + "router_settings: {allowed_fails: 1, fallbacks: [{fast: [large]}, {large: [fast]}]}\n"},
			Check:  loneDeployment,
		},
		&Rule{
			ID: "RTE010", Name: "attempt-amplification", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "one request can become very many",
			When:   "num_retries is written and (num_retries + 1) x (1 + fallbacks) is above 12 for some group.",
			Why:    "during a provider incident one client call becomes a burst, and the client's own retries multiply it again.",
			Remedy: "lower num_retries, or use retry_policy per kind of error.",
			Source: []string{"LiteLLM issue 7130"},
			Bad:    Example{Config: fourModels + "router_settings: {timeout: 10, num_retries: 4, fallbacks: [{a: [b, c, d]}]}\n"},
			Good:   Example{Config: fourModels + "router_settings: {timeout: 10, num_retries: 1, fallbacks: [{a: [b, c, d]}]}\n"},
			Check: func(u *Unit) []Hit {
				if !u.Facts.Retries.IsSet() {
					return nil
				}
				limit := u.Model.Flags.MaxAttempts
				if limit == 0 {
					limit = 12
				}
				for _, g := range facts.Chain(u.Facts.Chain()).Groups {
					if g.Attempts > limit {
						h := hitf(u.retriesAt(), "num_retries", sevWarn, "one request for %q can become %d attempts: (%d retries + 1) x %d groups", g.Group, g.Attempts, u.Facts.Retries.Value, len(g.Steps))
						h.Props = map[string]any{"attempts": g.Attempts, "group": g.Group}
						return []Hit{h}
					}
				}
				return nil
			},
		},
		&Rule{
			ID: "RTE011", Name: "max-retries-inert", Severity: "info", Priority: 2, Fix: Safe, Target: facts.LiteLLM,
			Title:  "max_retries of a deployment does nothing",
			When:   "litellm_params.max_retries is written.",
			Why:    "routed calls set the provider client's retries to 0.",
			Remedy: "delete it, and use num_retries.",
			Source: []string{"LiteLLM issue 2620"},
			Bad:    Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, max_retries: 5}\n"},
			Good:   Example{Config: oneModel},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for m := range u.models() {
					if n := m.Params.Get("max_retries"); n != nil {
						out = append(out, hitf(entrySpan(n), n.Path(), sevInfo, "max_retries of a deployment does nothing"))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RTE014", Name: "alias-target-unknown", Severity: "error", Priority: 2, Fix: Manual,
			Title:  "an alias leads to a model that does not exist",
			When:   "a target of model_group_alias matches nothing, and models are not kept in the database.",
			Why:    "the alias answers that there is no such model.",
			Remedy: "correct the name.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: oneModel + "router_settings: {model_group_alias: {\"gpt-4\": \"chta\"}}\n"},
			Good:   Example{Config: oneModel + "router_settings: {model_group_alias: {\"gpt-4\": \"chat\"}}\n"},
			Check: func(u *Unit) []Hit {
				if u.On(general + "store_model_in_db") {
					return nil
				}
				var out []Hit
				for _, n := range u.Node(router + "model_group_alias").Items() {
					target := n
					if n.Kind == config.Map {
						target = n.Get("model")
					}
					name, _ := target.Scalar()
					if name != "" && !strings.HasPrefix(name, refPrefix) && !u.knownModel(name) {
						out = append(out, hitf(entrySpan(n), n.Path(), sevError, "the alias %q leads to %q, which is no model of this config", n.Key, name))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RTE017", Name: "provider-prefix-missing", Severity: "warning", Priority: 1, Fix: Unsafe,
			Title:  "a model behind an api_base without a provider",
			When:   "api_base is set and what stands before the first / of litellm_params.model is no known provider.",
			Why:    "the router cannot tell which protocol the server speaks.",
			Remedy: "put openai/ in front for a server that speaks OpenAI's protocol, or hosted_vllm/.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: "model_list:\n  - model_name: qwen\n    litellm_params: {model: Qwen/Qwen3-32B, api_base: \"http://vllm.ml.svc:8000/v1\"}\n"},
			Good:   Example{Config: "model_list:\n  - model_name: qwen\n    litellm_params: {model: openai/Qwen/Qwen3-32B, api_base: \"http://vllm.ml.svc:8000/v1\"}\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for m := range u.models() {
					v := u.Resolve(m.Params.Get("model"))
					if v.State != Known || m.Params.Get("api_base").IsNull() || !m.Params.Get("custom_llm_provider").IsNull() {
						continue
					}
					prefix, _, found := strings.Cut(v.Text, "/")
					if found && isProvider(prefix) {
						continue
					}
					h := hitf(u.spanOf(v), v.Path, sevWarn, "%s has an api_base, but its model %q names no provider", m.Name, v.Text)
					h.Fix = fmt.Sprintf("write model: openai/%s if the server speaks OpenAI's protocol.", v.Text)
					out = append(out, h)
				}
				return out
			},
		},
		&Rule{
			ID: "RTE018", Name: "azure-base-missing", Severity: "error", Priority: 2, Fix: Manual, Closed: true,
			Title:  "an Azure deployment without api_base",
			When:   "model begins with azure/, there is no api_base and no litellm_credential_name, and neither AZURE_API_BASE nor litellm_settings.api_base is set.",
			Why:    "there is no endpoint of Azure that serves everybody.",
			Remedy: "add api_base.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: azure/gpt-4o, api_key: os.environ/AZURE_API_KEY}\n", Env: "AZURE_API_KEY=0123456789abcdef\n"},
			Good:   Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: azure/gpt-4o, api_key: os.environ/AZURE_API_KEY, api_base: \"https://x.openai.azure.com\"}\n", Env: "AZURE_API_KEY=0123456789abcdef\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for m := range u.models() {
					v := u.Resolve(m.Params.Get("model"))
					if v.State == Known && strings.HasPrefix(v.Text, "azure/") && m.Params.Get("api_base").IsNull() && m.Params.Get("litellm_credential_name").IsNull() && u.EnvAbsent("AZURE_API_BASE") && u.Setting(settings+"api_base").State == Absent {
						out = append(out, hitf(u.spanOf(v), v.Path, sevError, "%s has no api_base, and neither AZURE_API_BASE nor litellm_settings.api_base is set", m.Name))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RTE019", Name: "allowed-fails-inert", Severity: "warning", Priority: 1, Fix: Manual, Target: facts.LiteLLM,
			Title:  "allowed_fails without effect",
			When:   "router_settings.allowed_fails is the global default (3, or what litellm_settings says), or allowed_fails stands in litellm_settings only.",
			Why:    "LiteLLM counts failures only when the router's number differs from the global one; otherwise the failure rate alone decides about a cooldown.",
			Remedy: "write a number other than the default under router_settings, or an allowed_fails_policy.",
			Source: []string{"LiteLLM's cooldown handler"},
			Bad:    Example{Config: oneModel + "router_settings: {allowed_fails: 3}\n"},
			Good:   Example{Config: oneModel + "router_settings: {allowed_fails_policy: {RateLimitErrorAllowedFails: 10}, default_fallbacks: [chat]}\n"},
			Check: func(u *Unit) []Hit {
				own, global := u.Setting(router+"allowed_fails"), u.Setting(settings+"allowed_fails")
				switch {
				case u.Node(router+"allowed_fails_policy").Len() > 0:
					return nil
				case own.State == Known && !u.allowedFailsCount():
					return hit(u.spanOf(own), router+"allowed_fails", sevWarn, "allowed_fails "+own.Text+" is the global default, so LiteLLM does not count failures by it")
				case own.State == Absent && global.State == Known:
					return hit(u.spanOf(global), settings+"allowed_fails", sevWarn, "allowed_fails has no effect in litellm_settings alone")
				}
				return nil
			},
		},
	)
}

var strategies = []string{"simple-shuffle", "least-busy", "latency-based-routing", "cost-based-routing", "usage-based-routing", "usage-based-routing-v2"}

// fallback is one rule: a source (empty for default_fallbacks) and its targets.
type fallback struct {
	kind    string
	source  string
	node    *config.Node
	targets []*config.Node
}

func (u *Unit) fallbacks() []fallback {
	var out []fallback
	for _, section := range []string{"router_settings", "litellm_settings"} {
		for _, kind := range []string{"fallbacks", "context_window_fallbacks", "content_policy_fallbacks"} {
			for _, entry := range u.Node(section + "." + kind).Items() {
				if entry.Kind != config.Map {
					continue
				}
				for _, n := range entry.Items() {
					out = append(out, fallback{kind, n.Key, n, u.strs(n)})
				}
			}
		}
		if n := u.Node(section + ".default_fallbacks"); n != nil {
			out = append(out, fallback{"default_fallbacks", "", n, u.strs(n)})
		}
	}
	return out
}

func (u *Unit) modelNames() []string {
	var out []string
	seen := map[string]bool{}
	for m := range u.models() {
		if !seen[m.Name] {
			seen[m.Name] = true
			out = append(out, m.Name)
		}
	}
	return out
}

// knownModel reports whether a name leads to a deployment.
func (u *Unit) knownModel(name string) bool {
	if u.knownNames == nil {
		u.knownNames = map[string]bool{}
		for m := range u.models() {
			u.knownNames[m.Name] = true
			if id, ok := m.Info.Get("id").Scalar(); ok {
				u.knownNames[id] = true
			}
			if m.Unnamed {
				u.wildcards = append(u.wildcards, "*")
			} else if strings.Contains(m.Name, "*") {
				u.wildcards = append(u.wildcards, m.Name)
			}
		}
	}
	if u.knownNames[name] || u.Section("model_list").Len() == 0 || u.Node(router+"model_group_alias").Get(name) != nil {
		return true
	}
	return slices.ContainsFunc(u.wildcards, func(w string) bool {
		before, after, _ := strings.Cut(w, "*")
		return strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
	})
}

func fallbackLoop(u *Unit) []Hit {
	next := map[string][]string{}
	for _, f := range u.fallbacks() {
		if f.kind != "fallbacks" {
			continue
		}
		for _, t := range f.targets {
			name, _ := t.Scalar()
			next[f.source] = append(next[f.source], name)
		}
	}
	circling := onCircles(next)
	var out []Hit
	for _, f := range u.fallbacks() {
		if f.kind != "fallbacks" || !circling[f.source] {
			continue
		}
		seen := map[string]bool{}
		queue := slices.Clone(next[f.source])
		for len(queue) > 0 {
			at := queue[0]
			queue = queue[1:]
			if at == f.source {
				out = append(out, hitf(f.node.Where(), f.node.Path(), sevWarn, "the fallbacks of %q lead back to it", f.source))
				break
			}
			if !seen[at] {
				seen[at] = true
				queue = append(queue, next[at]...)
			}
		}
		if len(out) > 0 {
			break // the other ends of the circle say the same
		}
	}
	return out
}

// onCircles are the names from which a way leads on for ever: what remains when
// names without a way on are taken away, again and again. Without a circle it
// is empty, after one step per arrow.
func onCircles(next map[string][]string) map[string]bool {
	from := map[string][]string{}
	ways := map[string]int{}
	var ends []string
	for name, targets := range next {
		for _, t := range targets {
			from[t] = append(from[t], name)
			if len(next[t]) == 0 && len(from[t]) == 1 {
				ends = append(ends, t)
			}
		}
		ways[name] = len(targets)
	}
	for len(ends) > 0 {
		end := ends[len(ends)-1]
		ends = ends[:len(ends)-1]
		for _, name := range from[end] {
			if ways[name]--; ways[name] == 0 {
				ends = append(ends, name)
			}
		}
	}
	out := map[string]bool{}
	for name, n := range ways {
		if n > 0 {
			out[name] = true
		}
	}
	return out
}

// allowedFailsCount reports whether the router counts failures by its
// allowed_fails: it must be written and differ from the global number.
func (u *Unit) allowedFailsCount() bool {
	own, _, ok := u.Number(router + "allowed_fails")
	if !ok {
		return false
	}
	global, _, written := u.Number(settings + "allowed_fails")
	if !written {
		global = 3
	}
	return own != global
}

func loneDeployment(u *Unit) []Hit {
	if !u.allowedFailsCount() && u.Node(router+"allowed_fails_policy").Len() == 0 || u.Node(router+"default_fallbacks").Len() > 0 || u.Node(settings+"default_fallbacks").Len() > 0 {
		return nil
	}
	count := map[string]int{}
	for m := range u.models() {
		count[m.Name]++
	}
	protected := map[string]bool{}
	for _, f := range u.fallbacks() {
		protected[f.source] = protected[f.source] || len(f.targets) > 0
	}
	var out []Hit
	for m := range u.models() {
		if m.Name != "" && count[m.Name] == 1 && !strings.Contains(m.Name, "*") && !protected[m.Name] && !protected["*"] {
			n := m.Node.Get("model_name")
			out = append(out, hitf(entrySpan(n), n.Path(), sevWarn, "%q has one deployment and no fallback: once cooled down, the whole model answers 429", m.Name))
		}
	}
	return out
}

func isProvider(prefix string) bool {
	_, ok := catalog.LookupProvider(prefix)
	return ok
}
