package api

import (
	"encoding/json"
	"net/http"

	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// Clients says what callers' headers mean, and which of them go upstream.
type Clients struct {
	// UserHeaders are headers that name the end user, canonical, the first that
	// is there wins.
	UserHeaders []string
	// ForwardAll sends X- headers of clients upstream for every model,
	// ForwardGroups for some; ForwardOrganization sends OpenAI-Organization.
	ForwardAll          bool
	ForwardGroups       map[string]bool
	ForwardOrganization bool
}

// endUser is whom the caller acts for: by header, then by the body.
func (c *chat) endUser() string {
	h, q := c.x.r.Header, &c.request
	for _, name := range [...]string{"X-Litellm-Customer-Id", "X-Litellm-End-User-Id"} {
		if v := headerValue(h, name); v != "" {
			return v
		}
	}
	for _, name := range c.a.o.Clients.UserHeaders {
		if v := headerValue(h, name); v != "" {
			return v
		}
	}
	if user, ok := q.Text(splice.User); ok && len(user) > 0 {
		return string(user)
	}
	for _, place := range [...]struct {
		m    splice.Member
		name string
	}{{splice.LiteLLMMetadata, "user"}, {splice.Metadata, "user_id"}} {
		if !q.Has(place.m) {
			continue
		}
		var members map[string]json.RawMessage
		var user string
		if json.Unmarshal(q.Raw(place.m), &members) == nil && json.Unmarshal(members[place.name], &user) == nil && user != "" {
			return user
		}
	}
	if user, ok := q.Text(splice.SafetyIdentifier); ok {
		return string(user)
	}
	return ""
}

// forwarded adds to an upstream's headers what the operator lets pass of the
// client's.
func (c *chat) forwarded(prepared http.Header) http.Header {
	o := &c.a.o.Clients
	d := c.call.Deployment
	if d == nil || !o.ForwardAll && !o.ForwardOrganization && o.ForwardGroups == nil {
		return prepared
	}
	out := prepared
	if o.ForwardAll || o.ForwardGroups[d.Group] {
		out = wire.Forward(prepared, c.x.r.Header)
	}
	if v := c.x.r.Header["Openai-Organization"]; o.ForwardOrganization && len(v) > 0 {
		if len(out) == len(prepared) {
			out = prepared.Clone()
		}
		out["Openai-Organization"] = v
	}
	return out
}
