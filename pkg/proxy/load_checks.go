package proxy

import (
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/route"
)

// checks reads optional_pre_call_checks and what belongs to them.
func (l *loader) checks(r *config.Node) {
	o := &l.c.Router
	for _, n := range r.Get("optional_pre_call_checks").Items() {
		switch word := l.text(n); word {
		case "enforce_model_rate_limits":
			o.EnforceLimits = true
		case "prompt_caching":
			o.Affinity.Prompt = true
		case "router_budget_limiting":
			// Wherever there is a budget, it is enforced.
		case "forward_client_headers_by_model_group":
			l.report(finding.Info, n, "%s: forward_client_headers_by_model_group changes nothing, here as in LiteLLM; litellm_settings.model_group_settings says which headers go where", n.Path())
		default:
			l.affinity(n, word, &o.Affinity.Kinds)
		}
	}
	o.Affinity.TTL = l.seconds(r.Get("deployment_affinity_ttl_seconds"))
	for _, group := range r.Get("model_group_affinity_config").Items() {
		var k route.Kinds
		for _, n := range group.Items() {
			l.affinity(n, l.text(n), &k)
		}
		if o.Affinity.Groups == nil {
			o.Affinity.Groups = map[string]route.Kinds{}
		}
		// This one is not taken away by a group that names others.
		k.Encrypted = k.Encrypted || o.Affinity.Encrypted
		o.Affinity.Groups[group.Key] = k
	}
	a := api.Affinity{Prompt: o.Affinity.Prompt}
	add := func(k route.Kinds) {
		a.User, a.Session, a.Response = a.User || k.User, a.Session || k.Session, a.Response || k.Response
		a.Encrypted = a.Encrypted || k.Encrypted
	}
	add(o.Affinity.Kinds)
	for _, k := range o.Affinity.Groups {
		add(k)
	}
	l.c.API.Affinity = a
}

// affinity reads one word for a way of staying with a deployment.
func (l *loader) affinity(n *config.Node, word string, k *route.Kinds) {
	switch word {
	case "deployment_affinity":
		k.User = true
	case "session_affinity":
		k.Session = true
	case "responses_api_deployment_check":
		k.Response = true
	case "encrypted_content_affinity":
		k.Encrypted = true
	case "":
	default:
		l.report(finding.Warning, n, "%s: %q is not a check that LiteLLM knows; it is left out", n.Path(), word)
	}
}
