package proxy

import (
	"regexp"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/proxy/api"
)

// clientAuth reads who may bring a key and an address. Of a group's entries the
// last that says anything counts, as in LiteLLM.
func (l *loader) clientAuth(g *config.Node) {
	a := &l.c.API.ClientAuth
	a.All = set(l.flag(g.Get("allow_client_side_credentials")), true)
	if check := l.flag(g.Get("user_url_validation")); check != nil {
		a.Inside = !*check
	}
	a.Hosts = l.names(g.Get("user_url_allowed_hosts"))
	l.urlHosts(l.tree.Section("litellm_settings"), g)
	for _, m := range l.tree.Models() {
		n := m.Params.Get("configurable_clientside_auth_params")
		name, _ := m.Node.Get("model_name").Scalar()
		if n.IsNull() || name == "" {
			continue
		}
		if a.Models == nil {
			a.Models = map[string]api.ClientParams{}
		}
		a.Models[name] = l.clientParams(n)
	}
}

func (l *loader) clientParams(n *config.Node) (p api.ClientParams) {
	for _, item := range n.Items() {
		if item.IsScalar() {
			switch name := l.text(item); name {
			case "api_key", "api_base", "base_url":
				p.Names = append(p.Names, name)
			default:
				l.report(finding.Warning, item, "%s: requests cannot bring %q here; api_key, api_base and base_url are served", item.Path(), name)
			}
			continue
		}
		for _, pattern := range item.Items() {
			text := l.text(pattern)
			re, err := regexp.Compile("^(?:" + text + ")$")
			switch {
			case pattern.Key != "api_base":
				l.report(finding.Warning, pattern, "%s is left out: only api_base takes a pattern", pattern.Path())
			case err != nil || text == "":
				l.report(finding.Warning, pattern, "%s is not a regular expression that can be used; it is left out", pattern.Path())
			default:
				p.Bases = append(p.Bases, re, regexp.MustCompile("^"+regexp.QuoteMeta(text)+"$"))
			}
		}
	}
	return p
}
