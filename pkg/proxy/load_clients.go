package proxy

import (
	"net/http"

	"golang.org/x/net/http/httpguts"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
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
	s := l.tree.Section("litellm_settings")
	on := func(n *config.Node) bool { return set(l.flag(n), true) }
	c.ForwardKeys = on(first(g.Get("forward_llm_provider_auth_headers"), s.Get("forward_llm_provider_auth_headers")))
	c.TellCaller, c.StampUser = on(s.Get("add_user_information_to_llm_headers")), on(s.Get("overwrite_user_with_key_hash"))
	l.staticHeaders(s.Get("headers"))
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

// staticHeaders reads litellm_settings.headers: what every call carries that
// carries no headers of its client's.
func (l *loader) staticHeaders(n *config.Node) {
	if n.IsNull() {
		return
	}
	if n.Kind != config.Map {
		l.report(finding.Warning, n, "%s must be a mapping of names to texts; it is left out", n.Path())
		return
	}
	for _, item := range n.Items() {
		text, ok := item.Scalar()
		name := http.CanonicalHeaderKey(item.Key)
		switch {
		case !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(text):
			l.report(finding.Warning, item, "%s cannot be a header; it is left out", item.Path())
			continue
		case framing[name]:
			l.report(finding.Warning, item, "%s is left out: what frames or encodes a body is not to be set", item.Path())
			continue
		}
		if l.c.API.Clients.Static == nil {
			l.c.API.Clients.Static = http.Header{}
		}
		l.c.API.Clients.Static[name] = []string{text}
	}
}

// framing are headers that say where a body ends, or what it is.
var framing = map[string]bool{
	"Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Host": true, "Accept-Encoding": true, "Content-Type": true,
	"Upgrade": true, "Te": true, "Trailer": true, "Expect": true, "Keep-Alive": true,
}
