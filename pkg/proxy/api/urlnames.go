package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Some providers take an address for the name of a model, and call it. A client
// must not choose by that where the gateway's requests go.

// leads is the address that a name is, or has behind its provider, and that is
// not allowed; empty where there is none.
func (o *ClientAuth) leads(name string) string {
	if !strings.Contains(name, "://") {
		return ""
	}
	for part := range strings.SplitSeq(name, ",") {
		part = strings.TrimSpace(part)
		_, behind, _ := strings.Cut(part, "/")
		for _, address := range [...]string{part, behind} {
			lower := strings.ToLower(address)
			if (strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")) && !o.allowsHost(address) {
				return address
			}
		}
	}
	return ""
}

// allowsHost reports whether the operator has named an address's host: alone, with
// a port, or with a scheme in front.
func (o *ClientAuth) allowsHost(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	for _, entry := range o.NamedHosts {
		if !strings.Contains(entry, "://") {
			entry = "//" + entry
		}
		e, err := url.Parse(entry)
		if err == nil && strings.EqualFold(e.Hostname(), u.Hostname()) && (e.Scheme == "" || e.Scheme == u.Scheme) && (e.Port() == "" || e.Port() == port) {
			return true
		}
	}
	return false
}

// addressed refuses a model, or a fallback of the request, that is an address.
func (c *chat) addressed() *call.Error {
	o := &c.a.o.ClientAuth
	if o.leads(c.plan.Model) != "" {
		e := call.NewError(http.StatusBadRequest, "invalid_request_error", "", "invalid_request")
		e.Fields = marshal(struct {
			Error   string `json:"error"`
			Param   string `json:"param"`
			Message string `json:"message"`
		}{"invalid_request", "model", "URL-valued 'model' is not allowed. Configure custom endpoints with api_base instead, or add the destination host to `provider_url_destination_allowed_hosts` in litellm_settings."})
		return e
	}
	for _, name := range c.plan.Fallbacks {
		if o.leads(name) != "" {
			return call.NewError(http.StatusUnauthorized, "auth_error", call.None, "Authentication Error, Rejected Request: URL-valued fallback destination '"+clip(name)+
				"' is not allowed. Configure custom endpoints with api_base instead, or add the destination host to `provider_url_destination_allowed_hosts` in litellm_settings.")
		}
	}
	return nil
}
