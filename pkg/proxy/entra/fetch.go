package entra

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// tries bound the questions of one fetch.
const tries = 3

// longestBody bounds what is read of an answer: tokens with many groups in them
// are long, but not that long.
const longestBody = 1 << 20

// problem is why one question was in vain.
type problem struct {
	text  string
	final bool          // asking again does not help
	none  bool          // there is no such identity here: a chain goes on
	after time.Duration // how long the other side asks to wait
}

func (p *problem) Error() string { return p.text }

// fetch gets a token. The error is a *call.TokenError.
func (s *Sources) fetch(ctx context.Context, l *call.Login) (*grant, error) {
	for n := 1; ; n++ {
		try, cancel := context.WithTimeout(ctx, s.o.pace.try)
		g, err := s.ask(try, l)
		cancel()
		if err == nil {
			return g, nil
		}
		p := &problem{text: plain(err)}
		errors.As(err, &p)
		wait := s.o.pace.retry << (n - 1)
		wait += time.Duration(rand.Int64N(int64(wait) + 1))
		if p.after > 0 {
			wait = p.after
		}
		deadline, _ := ctx.Deadline()
		if p.final || n == tries || ctx.Err() != nil || time.Now().Add(wait).After(deadline) {
			return nil, &call.TokenError{Final: p.final, Text: "no token of " + issuer(l) + " for " + describe(l) + ": " + redact.Text(p.text, l.Secrets()...)}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// ask asks once.
func (s *Sources) ask(ctx context.Context, l *call.Login) (*grant, error) {
	form := url.Values{"client_id": {l.Client}, "scope": {l.Scope}, "grant_type": {"client_credentials"}}
	switch l.Way {
	case call.LoginSecret:
		form.Set("client_secret", l.Secret.Reveal())
	case call.LoginPassword:
		form.Set("grant_type", "password")
		form.Set("username", l.User)
		form.Set("password", l.Secret.Reveal())
	case call.LoginAssertion:
		word, err := s.assertion(ctx, &l.Assertion)
		if err != nil {
			return nil, err
		}
		assert(form, word)
	case call.LoginCertificate:
		word, err := signed(l, tokenURL(l), time.Now())
		if err != nil {
			return nil, &problem{text: err.Error(), final: true}
		}
		assert(form, word)
	case call.LoginWorkspace:
	case call.LoginManaged:
		return s.managed(ctx, l)
	case call.LoginChain:
		return s.chain(ctx, l)
	default:
		return nil, &problem{text: "the way to log in is not known", final: true}
	}
	address, why := tokenURL(l), refusedBecause
	if l.Way == call.LoginWorkspace {
		form.Del("client_id")
		address, why = l.Endpoint, refusedByWorkspace
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &problem{text: "the address of the authority cannot be used: check AZURE_AUTHORITY_HOST and tenant_id", final: true}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if l.Way == call.LoginWorkspace {
		req.SetBasicAuth(l.Client, l.Secret.Reveal())
	}
	return s.exchange(s.client, req, why)
}

func assert(form url.Values, word string) {
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", word)
}

// chain asks one after the other until one can be used here.
func (s *Sources) chain(ctx context.Context, l *call.Login) (*grant, error) {
	var none []string
	for i := range l.Chain {
		g, err := s.ask(ctx, &l.Chain[i])
		if err == nil {
			return g, nil
		}
		var p *problem
		if !errors.As(err, &p) || !p.none {
			return nil, err
		}
		none = append(none, describe(&l.Chain[i])+": "+p.text)
	}
	return nil, &problem{text: "none of the ways to log in can be used here: " + strings.Join(none, "; ")}
}

func tokenURL(l *call.Login) string {
	return l.Authority + "/" + url.PathEscape(l.Tenant) + "/oauth2/v2.0/token"
}

// answer is what all token endpoints answer. Metadata services write numbers as
// text.
type answer struct {
	AccessToken string          `json:"access_token"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
	ExpiresOn   json.RawMessage `json:"expires_on"`
	RefreshIn   json.RawMessage `json:"refresh_in"`
	Error       json.RawMessage `json:"error"`
	Description string          `json:"error_description"`
}

func number(raw json.RawMessage) (float64, bool) {
	f, err := strconv.ParseFloat(string(bytes.Trim(raw, `"`)), 64)
	return f, err == nil && f == f
}

// exchange sends a question and reads the answer. why reads a refusal.
func (s *Sources) exchange(client *http.Client, req *http.Request, why func(status int, a *answer, p *problem)) (*grant, error) {
	req.Header.Set("Accept", "application/json")
	asked := time.Now()
	resp, err := client.Do(req)
	where := req.URL.Scheme + "://" + req.URL.Host
	if err != nil {
		return nil, &problem{text: where + " cannot be asked, " + plain(err) + ": check that it can be reached from here"}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, longestBody))
	if err != nil {
		return nil, &problem{text: "the answer of " + where + " breaks off: " + plain(err)}
	}
	var a answer
	broken := json.Unmarshal(body, &a)
	if resp.StatusCode != http.StatusOK {
		p := &problem{final: final(resp.StatusCode), after: retryAfter(resp.Header)}
		p.text = fmt.Sprintf("%s answered %d", where, resp.StatusCode)
		if text := firstLine(a.Description); text != "" {
			p.text += ": " + text
		}
		why(resp.StatusCode, &a, p)
		return nil, p
	}
	switch {
	case broken != nil:
		return nil, &problem{text: where + " answered 200 with something that is not a token: is there another server in the way?"}
	case a.AccessToken == "" || strings.ContainsAny(a.AccessToken, "\r\n\x00"):
		return nil, &problem{text: where + " answered 200 without access_token"}
	}
	g := &grant{token: a.AccessToken, asked: asked}
	seconds, ok := number(a.ExpiresIn)
	if !ok {
		var on float64
		if on, ok = number(a.ExpiresOn); ok {
			seconds = on - float64(time.Now().UnixMilli())/1000
		}
	}
	switch {
	case !ok:
		return nil, &problem{text: where + " answered 200 without expires_in"}
	case seconds < 1:
		return nil, &problem{text: where + " answered with a token that has expired already: is the clock of this machine right?"}
	}
	g.life = time.Duration(min(seconds, 7*24*3600) * float64(time.Second))
	if soon, ok := number(a.RefreshIn); ok && soon >= 1 {
		g.soon = time.Duration(min(soon, 7*24*3600) * float64(time.Second))
	}
	return g, nil
}

// final reports whether asking again after a status is in vain.
func final(status int) bool {
	return status != http.StatusRequestTimeout && status != http.StatusTooManyRequests && status < 500
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(h.Get("Retry-After")))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// refusedBecause says what to look at after a refusal of the authority.
func refusedBecause(status int, a *answer, p *problem) {
	var code string
	_ = json.Unmarshal(a.Error, &code)
	hint := ""
	switch {
	case code == "temporarily_unavailable" || code == "server_error" || code == "slow_down":
		p.final = false
	case strings.Contains(a.Description, "AADSTS90002"), strings.Contains(a.Description, "AADSTS900023"):
		hint = "check tenant_id"
	case code == "invalid_client":
		hint = "check client_id and its secret, certificate or federated credential, and whether that has expired"
	case code == "unauthorized_client":
		hint = "check client_id and tenant_id"
	case code == "invalid_grant":
		hint = "check azure_username and azure_password; accounts that need a second factor cannot be used"
	case code == "invalid_scope", code == "invalid_resource":
		hint = "check azure_scope"
	case status == http.StatusNotFound, 300 <= status && status < 400:
		hint = "check AZURE_AUTHORITY_HOST and tenant_id"
	}
	if hint != "" {
		p.text += "; " + hint
	}
}

// refusedByWorkspace is refusedBecause for a workspace of Databricks.
func refusedByWorkspace(status int, _ *answer, p *problem) {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		p.text += "; check DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET"
	case http.StatusNotFound:
		p.text += "; check api_base: it must be a workspace"
	}
}

// issuer is whose tokens a login gets.
func issuer(l *call.Login) string {
	if l.Way == call.LoginWorkspace {
		return "Databricks"
	}
	return "Entra ID"
}

// firstLine is what a description says before it goes on with identifiers and
// times.
func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text, _, _ = strings.Cut(text, " Trace ID:")
	text = strings.TrimSpace(text)
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "..."
	}
	return strings.TrimSuffix(text, ".")
}

// plain is an error in the words of people. What http.Client says begins with
// the whole address, queries included.
func plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var late net.Error
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &late) && late.Timeout():
		return "there was no answer in time"
	case errors.As(err, &dns):
		return "the host name is not known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the network is not reachable"
	case strings.Contains(err.Error(), "certificate"), strings.Contains(err.Error(), "tls:"):
		return "the TLS handshake failed, see ssl_verify"
	}
	return "the connection was lost"
}

// describe names a login.
func describe(l *call.Login) string {
	switch l.Way {
	case call.LoginManaged:
		if l.Client == "" {
			return "the managed identity of this machine"
		}
		return "the managed identity " + l.Client
	case call.LoginChain:
		return "the identity of this deployment"
	case call.LoginWorkspace:
		return "application " + l.Client
	case call.LoginPassword:
		return "user " + l.User + " and application " + l.Client
	}
	return "application " + l.Client + " of tenant " + l.Tenant
}
