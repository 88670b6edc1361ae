package rule

import (
	"reflect"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

func init() {
	register(
		&Rule{
			ID: "CFG015", Name: "conflicting-sections", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "one setting, two numbers",
			When:   "num_retries, allowed_fails, fallbacks, context_window_fallbacks, content_policy_fallbacks or default_fallbacks stands in litellm_settings and router_settings with different values.",
			Why:    "router_settings wins; the other number is what people quote in an incident.",
			Remedy: "keep one of them.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: oneModel + "litellm_settings: {request_timeout: 60, num_retries: 3}\nrouter_settings: {num_retries: 2}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {request_timeout: 60, num_retries: 2}\nrouter_settings: {num_retries: 2}\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, key := range []string{"num_retries", "allowed_fails", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks"} {
					a, b := u.Node(settings+key), u.Node(router+key)
					if a == nil || b == nil || reflect.DeepEqual(plain(a), plain(b)) {
						continue
					}
					h := hitf(entrySpan(a), settings+key, sevWarn, "%s is also in router_settings, with another value, which wins", key)
					h.Related = []finding.Related{{Pos: b.Where(), Message: router + key}}
					out = append(out, h)
				}
				return out
			},
		},
		&Rule{
			ID: "LOG013", Name: "callback-twice", Severity: "warning", Priority: 3, Fix: Safe,
			Title:  "a callback is listed twice",
			When:   "the same name stands in callbacks and in success_callback or failure_callback.",
			Why:    "its events are sent twice.",
			Remedy: "keep it in callbacks.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: oneModel + "litellm_settings: {callbacks: [langfuse], success_callback: [langfuse]}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {callbacks: [langfuse]}\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, key := range []string{"success_callback", "failure_callback"} {
					for _, n := range u.strs(u.Node(settings + key)) {
						if name, _ := n.Scalar(); name != "" && u.listHas(settings+"callbacks", name) {
							out = append(out, hitf(n.Where(), n.Path(), sevWarn, "%s is in callbacks too: its events are sent twice", name))
						}
					}
				}
				return out
			},
		},
	)
}

// plain is a node's value without positions, for comparisons.
func plain(n *config.Node) any {
	switch {
	case n == nil:
		return nil
	case n.Kind == config.Map:
		m := map[string]any{}
		for _, c := range n.Items() {
			m[c.Key] = plain(c)
		}
		return m
	case n.Kind == config.List:
		var l []any
		for _, c := range n.Items() {
			l = append(l, plain(c))
		}
		return l
	}
	text, _ := n.Scalar()
	return text
}
