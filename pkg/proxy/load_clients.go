package proxy

import (
	"net/http"
)

// clients reads what callers' headers mean, and which of them go upstream.
func (l *loader) clients() {
	g := l.tree.Section("general_settings")
	c := &l.c.API.Clients
	if name := l.text(g.Get("user_header_name")); name != "" {
		c.UserHeaders = append(c.UserHeaders, http.CanonicalHeaderKey(name))
	}
	for _, n := range g.Get("user_header_mappings").Items() {
		name := l.text(n.Get("header_name"))
		if name != "" && l.text(n.Get("litellm_user_role")) == "customer" {
			c.UserHeaders = append(c.UserHeaders, http.CanonicalHeaderKey(name))
		}
	}
	l.clientAuth(g)
	c.ForwardAll = set(l.flag(g.Get("forward_client_headers_to_llm_api")), true)
	c.ForwardOrganization = set(l.flag(g.Get("forward_openai_org_id")), true)
	for _, n := range l.tree.Section("litellm_settings").Get("model_group_settings").Get("forward_client_headers_to_llm_api").Items() {
		if name := l.text(n); name != "" {
			if c.ForwardGroups == nil {
				c.ForwardGroups = map[string]bool{}
			}
			c.ForwardGroups[name] = true
		}
	}
}
