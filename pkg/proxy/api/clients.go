package api

import (
	"encoding/json"
	"net/http"
	"strings"

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
	// ForwardKeys takes X-Api-Key for the client's own provider key where the
	// gateway's came in another header, and lets X-Goog-Api-Key pass with the
	// others.
	ForwardKeys bool
	// TellCaller names the caller to upstreams, in X-Litellm-User_api_key_*.
	TellCaller bool
	// Static is sent with every call for which nothing else is added here.
	Static http.Header
	// StampUser makes the caller's key hash the user of every request.
	StampUser bool
}

// adds reports whether upstreams get headers of a call's own at all.
func (o *Clients) adds() bool {
	return o.ForwardAll || o.ForwardOrganization || o.ForwardGroups != nil || o.TellCaller || o.Static != nil
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
// client's, and what he wants said.
func (c *chat) forwarded(prepared http.Header) http.Header {
	o := &c.a.o.Clients
	d := c.call.Deployment
	if d == nil || !o.adds() {
		return prepared
	}
	out := prepared
	passes := o.ForwardAll || o.ForwardGroups[d.Group]
	if passes {
		out = wire.Forward(prepared, c.x.r.Header)
	}
	own := func() {
		if len(out) == len(prepared) {
			out = out.Clone()
		}
	}
	if passes && o.ForwardKeys {
		for _, name := range [...]string{"X-Api-Key", "X-Goog-Api-Key"} {
			if v := c.x.r.Header[name]; len(v) > 0 && !c.gatewaysKey(name) {
				own()
				out[name] = v
			}
		}
	}
	if o.TellCaller && c.x.caller != nil {
		own()
		c.tellCaller(out)
	}
	if o.Static != nil && len(out) == len(prepared) {
		own()
		for name, v := range o.Static {
			if out[name] == nil {
				out[name] = v
			}
		}
	}
	if v := c.x.r.Header["Openai-Organization"]; o.ForwardOrganization && len(v) > 0 {
		own()
		out["Openai-Organization"] = v
	}
	return out
}

// gatewaysKey reports whether a header holds the key for this gateway.
func (c *chat) gatewaysKey(name string) bool {
	h := c.x.r.Header
	if own := c.a.o.KeyHeader; own != "" {
		return http.CanonicalHeaderKey(own) == name
	}
	litellm, bearer := headerValue(h, "X-Litellm-Api-Key"), headerValue(h, "Authorization")
	if litellm == "" && bearer == "" {
		return true
	}
	// Clients that do not know which one counts send the same key in several.
	v := headerValue(h, name)
	return v != "" && (strings.Contains(litellm, v) || strings.Contains(bearer, v))
}

// providersKey is the client's own key for the provider, where a header may hold
// one.
func (c *chat) providersKey() string {
	if !c.a.o.Clients.ForwardKeys || c.gatewaysKey("X-Api-Key") {
		return ""
	}
	return headerValue(c.x.r.Header, "X-Api-Key")
}

// tellCaller adds who is calling.
func (c *chat) tellCaller(h http.Header) {
	id := c.x.caller
	set := func(name, value string) {
		if value != "" {
			h["X-Litellm-User_api_key_"+name] = []string{headerText(value)}
		}
	}
	set("hash", id.KeyHash)
	set("spend", "0.0")
	set("user_id", id.UserID)
	set("team_id", id.TeamID)
	set("end_user_id", c.call.EndUser)
	set("request_route", c.x.path)
	set("auth_metadata", "{}")
}

// headerText leaves out what a header cannot hold.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// stamp is the user that a request gets in place of its own; empty for none.
func (c *chat) stamp() string {
	if !c.a.o.Clients.StampUser || c.x.caller == nil {
		return ""
	}
	return c.x.caller.KeyHash
}
