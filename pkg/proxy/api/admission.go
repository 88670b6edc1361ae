package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Admission says who may ask for what before a key is looked at. The zero value
// lets everybody ask for everything.
type Admission struct {
	// IPs are general_settings.allowed_ips. With LimitIPs nobody else may call,
	// so that an empty list lets nobody in.
	IPs      []netip.Prefix
	LimitIPs bool
	// ForwardedFor takes the client's address from X-Forwarded-For where the
	// connection comes from one of Proxies, or from anywhere without
	// LimitProxies.
	ForwardedFor bool
	Proxies      []netip.Prefix
	LimitProxies bool
	// Routes are the only paths that are served, probes and pages without a key
	// apart; nil means all. Public are paths that need no key. A path that ends
	// in * stands for all that begin like it.
	Routes, Public []string
	// AdminOnly are paths for administrators alone, in the same form.
	AdminOnly []string
}

// unknown is the caller of a route that the operator has made public.
var unknown = &call.Identity{UserID: "default_user_id", Role: call.RoleInternalUser}

// admit says whether a request may be looked at at all. public is true where it
// needs no key.
func (a *API) admit(x *exchange) (public bool, err *call.Error) {
	o := &a.o.Admission
	if o.LimitIPs {
		if client := o.ClientIP(x.r); !within(o.IPs, client) {
			return false, forbidden("Access forbidden: IP address " + client + " not allowed.")
		}
	}
	if o.Routes != nil && !listed(o.Routes, x.path) {
		return false, forbidden("Access forbidden: Route " + x.path + " not allowed")
	}
	return listed(o.Public, x.path), nil
}

// identify says who is calling, and keeps the caller from routes that are not
// for everybody.
func (a *API) identify(x *exchange, r *http.Request) (err *call.Error) {
	if x.caller, err = a.o.Identify.Identify(r); err != nil {
		return err
	}
	return a.adminOnly(x)
}

// adminOnly keeps others than administrators from the routes that are theirs. A
// gateway that is open to all has no administrator.
func (a *API) adminOnly(x *exchange) *call.Error {
	if len(a.o.Admission.AdminOnly) == 0 || x.caller.Role == call.RoleProxyAdmin || !listed(a.o.Admission.AdminOnly, x.path) {
		return nil
	}
	return forbidden("user not allowed to access this route. Route=" + x.path + " is an admin only route")
}

func forbidden(message string) *call.Error {
	return call.NewError(http.StatusForbidden, "auth_error", call.None, message)
}

func listed(paths []string, path string) bool {
	for _, p := range paths {
		if p == path {
			return true
		}
		if begin, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(path, begin) {
			return true
		}
	}
	return false
}

func within(list []netip.Prefix, address string) bool {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// ClientIP is the address that a request comes from. Of X-Forwarded-For only
// what trusted proxies have written is believed: the last address, or with known
// proxies the last that is none of them. What a client itself puts before it
// counts for nothing, where LiteLLM compares the header as a whole.
func (o *Admission) ClientIP(r *http.Request) string {
	peer := r.RemoteAddr
	if host, _, err := net.SplitHostPort(peer); err == nil {
		peer = host
	}
	if !o.ForwardedFor || o.LimitProxies && !within(o.Proxies, peer) {
		return peer
	}
	client := peer
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest := lines[i]; rest != ""; {
			var last string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, last = rest[:comma], rest[comma+1:]
			} else {
				rest, last = "", rest
			}
			if last = forwardedAddress(last); last == "" {
				continue
			}
			if client = last; !o.LimitProxies || !within(o.Proxies, client) {
				return client
			}
		}
	}
	return client
}

// forwardedAddress is one member of X-Forwarded-For without blanks, brackets and
// port. It is client text where it is no address, and bounded as such.
func forwardedAddress(s string) string {
	s = strings.TrimSpace(s)
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	s = strings.Trim(s, "[]")
	if len(s) > 64 {
		s = s[:64]
	}
	return s
}
