package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// ClientAuth says which clients may bring a key, and an address that goes with
// it. The zero value lets none.
type ClientAuth struct {
	// All lets every request bring both.
	All bool
	// Models lets requests for a model bring what is listed.
	Models map[string]ClientParams
	// Inside lets addresses lead inside the network; Hosts names those that may.
	Inside bool
	Hosts  []string
	// NamedHosts are those that a model's name may lead to where it is an address.
	NamedHosts []string
}

// ClientParams is what the requests for a model may bring.
type ClientParams struct {
	Names []string
	// Bases are addresses that the operator has written down: whole addresses
	// have to match, and may lead anywhere.
	Bases []*regexp.Regexp
}

// theirs is what a request brings along.
type theirs struct {
	key  redact.Secret
	base string
	// outside keeps the address from leading inside the network.
	outside bool
	made    *call.Deployment // the deployment with it
	of      *call.Deployment // what made was made of
}

func (t *theirs) any() bool { return !t.key.IsZero() }

// allows reports whether a member of a request is allowed; named says that the
// operator has written its value down.
func (o *ClientAuth) allows(model, member, value string) (allowed, named bool) {
	p, ok := o.Models[model]
	if !ok {
		if provider, _, found := strings.Cut(model, "/"); found {
			p = o.Models[provider+"/*"]
		}
	}
	if member == splice.APIBase.String() {
		for _, re := range p.Bases {
			if re.MatchString(value) {
				return true, true
			}
		}
	}
	return o.All || slices.Contains(p.Names, member), false
}

// credentials reads the key and the address that a request brings.
func (c *chat) credentials() *call.Error {
	q, o := &c.request, &c.a.o.ClientAuth
	model := ""
	for _, m := range clientCredentials {
		if !q.Has(m) {
			continue
		}
		if m == splice.UserConfig || !o.All && len(o.Models) == 0 {
			return credentialRefused(m.String())
		}
		if model == "" {
			model = c.model()
		}
		text, ok := q.Text(m)
		value := string(text)
		allowed, named := o.allows(model, m.String(), value)
		switch {
		case !allowed:
			return credentialRefused(m.String())
		case !ok || value == "":
			return call.NewError(http.StatusBadRequest, "invalid_request_error", m.String(), "'"+m.String()+"' must be a text that is not empty.")
		case m == splice.APIKey:
			c.theirs.key = redact.New(value)
			continue
		case c.theirs.base != "" && c.theirs.base != value:
			return call.NewError(http.StatusBadRequest, "invalid_request_error", m.String(), "'api_base' and 'base_url' differ.")
		}
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return call.NewError(http.StatusBadRequest, "invalid_request_error", m.String(), "'"+m.String()+"' must be a URL that starts with http:// or https:// and names a host, without a user name.")
		}
		c.theirs.base = value
		c.theirs.outside = !named && !o.Inside && !slices.Contains(o.Hosts, u.Host) && !slices.Contains(o.Hosts, u.Hostname())
	}
	if own := c.providersKey(); own != "" {
		c.theirs.key = redact.New(own)
	}
	switch {
	case c.theirs.base != "" && !c.theirs.any():
		return call.NewError(http.StatusUnauthorized, "auth_error", call.None,
			"Authentication Error, Rejected Request: api_base needs an api_key beside it. The operator's key is not sent to an address that a request names.")
	case c.theirs.any():
		// What fails says nothing of the deployment, others must not pay for it,
		// and must not get what another's address has answered.
		c.plan.Foreign, c.plan.DisableFallbacks = true, true
	}
	return nil
}

// lend gives a deployment the key and the address of the request.
func (c *chat) lend(d *call.Deployment) (*call.Deployment, *call.Error) {
	t := &c.theirs
	if !t.any() || d.MockResponse != nil {
		return d, nil
	}
	if t.of == d {
		return t.made, nil
	}
	b, ok := d.Lanes.(wire.Borrower)
	if !ok {
		return nil, unfit(c.call.Model, "it takes no key of a client")
	}
	made, err := b.Borrow(d, t.key, t.base)
	if err != nil {
		return nil, unfit(c.call.Model, err.Error())
	}
	sum := sha256.Sum256([]byte(d.ID + "\x00" + t.base + "\x00" + t.key.Reveal()))
	made.ID = hex.EncodeToString(sum[:])
	t.of, t.made = d, made
	return made, nil
}

// upstream is the way to where the request goes.
func (c *chat) upstream() call.Upstream {
	if c.theirs.outside {
		return c.a.o.Outside
	}
	return c.a.o.Upstream
}
