package rule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

func init() {
	register(
		&Rule{
			ID: "RTE012", Name: "duplicate-deployment", Severity: "warning", Priority: 2, Fix: Safe,
			Title:  "one deployment, listed twice",
			When:   "two entries of model_list have the same model_name and the same litellm_params.",
			Why:    "the endpoint gets twice the weight, and a second region that was meant is missing.",
			Remedy: "delete one, or correct the copy.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: "model_list:\n  - {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K}}\n  - {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K}}\n"},
			Good:   Example{Config: "model_list:\n  - {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K}}\n  - {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K2}}\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				seen := map[string]finding.Position{}
				for m := range u.models() {
					n := m.Node.Get("model_name")
					if m.Name == "" || m.Params.Len() == 0 {
						continue
					}
					key := m.Name + "\x00" + fmt.Sprint(plain(m.Params))
					if first, twice := seen[key]; twice {
						h := hitf(n.Where(), n.Path(), sevWarn, "%q lists this deployment a second time", m.Name)
						h.Related = []finding.Related{{Pos: first, Message: "the first"}}
						out = append(out, h)
						continue
					}
					seen[key] = n.Where()
				}
				return out
			},
		},
		&Rule{
			ID: "RTE013", Name: "uneven-weights", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "weights on some deployments of a group only",
			When:   "in a group of two or more, some deployments have rpm, tpm or weight and others none.",
			Why:    "the weighted choice needs the number on all of them.",
			Remedy: "set it on every deployment of the group.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: "model_list:\n  - {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K, rpm: 600}}\n  - {model_name: a, litellm_params: {model: openai/y, api_key: os.environ/K}}\n"},
			Good:   Example{Config: "model_list:\n  - {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K, rpm: 600}}\n  - {model_name: a, litellm_params: {model: openai/y, api_key: os.environ/K, rpm: 600}}\n"},
			Check: func(u *Unit) []Hit {
				weighted, plainOnes := map[string]bool{}, map[string]*config.Node{}
				var order []string
				for m := range u.models() {
					if m.Name == "" {
						continue
					}
					if m.Params.Has("rpm") || m.Params.Has("tpm") || m.Params.Has("weight") {
						weighted[m.Name] = true
					} else if plainOnes[m.Name] == nil {
						plainOnes[m.Name] = m.Node.Get("model_name")
						order = append(order, m.Name)
					}
				}
				var out []Hit
				for _, name := range order {
					if weighted[name] {
						n := plainOnes[name]
						out = append(out, hitf(n.Where(), n.Path(), sevWarn, "this deployment of %q has no rpm, tpm or weight, others of the group have", name))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RTE015", Name: "pre-call-checks-required", Severity: "warning", Priority: 2, Fix: Safe, Target: facts.LiteLLM,
			Title:  "a limit that nobody enforces",
			When:   "a deployment sets model_info.max_input_tokens, and router_settings.enable_pre_call_checks is not true.",
			Why:    "the limit counts only with the checks on.",
			Remedy: "write router_settings.enable_pre_call_checks: true.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: "model_list:\n  - {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K}, model_info: {max_input_tokens: 100000}}\nrouter_settings: {routing_strategy: simple-shuffle}\n"},
			Good:   Example{Config: "model_list:\n  - {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K}, model_info: {max_input_tokens: 100000}}\nrouter_settings: {routing_strategy: simple-shuffle, enable_pre_call_checks: true}\n"},
			Check: func(u *Unit) []Hit {
				if u.On(router + "enable_pre_call_checks") {
					return nil
				}
				for m := range u.models() {
					if n := m.Info.Get("max_input_tokens"); n != nil {
						h := hitf(entrySpan(n), n.Path(), sevWarn, "max_input_tokens is not enforced: enable_pre_call_checks is not true")
						if u.Setting(router+"enable_pre_call_checks").State == Absent {
							h.Edits = u.insert("router_settings", "enable_pre_call_checks: true")
						}
						return []Hit{h}
					}
				}
				return nil
			},
		},
		&Rule{
			ID: "RTE016", Name: "mixed-providers-strict-params", Severity: "info", Priority: 2, Fix: Manual,
			Title:  "a fallback to a provider that knows other parameters",
			When:   "a fallback leads from a group to one of other providers, and litellm_settings.drop_params is not true.",
			Why:    "a parameter that the second provider refuses turns the fallback into a 400.",
			Remedy: "set litellm_settings.drop_params: true, or additional_drop_params per model.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: "model_list:\n  - {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K}}\n  - {model_name: b, litellm_params: {model: anthropic/y, api_key: os.environ/K}}\nlitellm_settings: {request_timeout: 60}\nrouter_settings: {fallbacks: [{a: [b]}]}\n"},
			Good:   Example{Config: "model_list:\n  - {model_name: a, litellm_params: {model: openai/x, api_key: os.environ/K}}\n  - {model_name: b, litellm_params: {model: anthropic/y, api_key: os.environ/K}}\nlitellm_settings: {request_timeout: 60, drop_params: true}\nrouter_settings: {fallbacks: [{a: [b]}]}\n"},
			Check: func(u *Unit) []Hit {
				if u.On(settings + "drop_params") {
					return nil
				}
				providers := map[string][]string{}
				for m := range u.models() {
					text, _ := m.Params.Get("model").Scalar()
					if prefix, _, ok := strings.Cut(text, "/"); ok {
						if p, known := catalog.LookupProvider(prefix); known && !slices.Contains(providers[m.Name], string(p.Family)) {
							providers[m.Name] = append(providers[m.Name], string(p.Family))
						}
					}
				}
				for _, f := range u.fallbacks() {
					for _, t := range f.targets {
						name, _ := t.Scalar()
						for _, p := range providers[name] {
							if from := providers[f.source]; len(from) > 0 && !slices.Contains(from, p) {
								return hit(f.node.Where(), f.node.Path(), sevInfo, fmt.Sprintf("the fallback of %q to %q changes the provider, and drop_params is not true", f.source, name))
							}
						}
					}
				}
				return nil
			},
		},
		&Rule{
			ID: "RTE020", Name: "cooldown-zero", Severity: "warning", Priority: 2, Fix: Manual, Target: facts.LiteLLM,
			Title:  "cooldown_time: 0 means 5 seconds",
			When:   "router_settings.cooldown_time is 0.",
			Why:    "0 counts as unset.",
			Remedy: "write disable_cooldowns: true if no cooldown is meant, or the seconds that are.",
			Source: []string{"LiteLLM's router"},
			Bad:    Example{Config: oneModel + "router_settings: {cooldown_time: 0}\n"},
			Good:   Example{Config: oneModel + "router_settings: {cooldown_time: 5}\n"},
			Check: func(u *Unit) []Hit {
				n, v, ok := u.Number(router + "cooldown_time")
				return when(ok && n == 0, u.spanOf(v), router+"cooldown_time", sevWarn, "cooldown_time: 0 counts as unset: 5 seconds")
			},
		},
	)
}
