package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// PassThrough is one entry of general_settings.pass_through_endpoints: a route
// of the operator's own whose requests go to another service as they are.
type PassThrough struct {
	// Path is where it is served; Subpaths serves everything below it, too.
	Path     string
	Subpaths bool
	// Target is where requests go.
	Target *url.URL
	// Header is sent with every request, references resolved.
	Header http.Header
	// ForwardHeaders sends the client's headers too, but for the key that it
	// identified itself with.
	ForwardHeaders bool
	// Query is sent where the client does not say otherwise; MergeQuery keeps the
	// target's own query beside the client's.
	Query      url.Values
	MergeQuery bool
	// Methods are those that are served; nil means GET, POST, PUT, PATCH, DELETE.
	Methods []string
	// Open needs no key.
	Open bool
	// KeyHeader is a header that carries the key here, BasicKey takes the key from
	// the user name of basic authentication.
	KeyHeader string
	BasicKey  bool
	// Cost is the price of one request in dollars.
	Cost float64
	// Timeout bounds the wait for an answer and every gap in it.
	Timeout time.Duration
	// Secrets are what must not be shown of Header.
	Secrets []redact.Secret
}

var passMethods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// passTable finds endpoints by path. Those of one path differ in their methods.
type passTable struct {
	exact map[string][]*PassThrough
	below []*PassThrough // with subpaths, the longest path first
}

func newPassTable(list []PassThrough) *passTable {
	if len(list) == 0 {
		return nil
	}
	t := &passTable{exact: map[string][]*PassThrough{}}
	for i := range list {
		p := list[i]
		if p.Methods == nil {
			p.Methods = passMethods
		}
		t.exact[p.Path] = append(t.exact[p.Path], &p)
		if p.Subpaths {
			t.below = append(t.below, &p)
		}
	}
	slices.SortStableFunc(t.below, func(a, b *PassThrough) int { return cmp.Compare(len(b.Path), len(a.Path)) })
	return t
}

// find returns the endpoint of a path, or the methods that the path has.
func (t *passTable) find(method, path string) (p *PassThrough, allowed []string) {
	if t == nil {
		return nil, nil
	}
	for _, p := range t.exact[path] {
		if slices.Contains(p.Methods, method) {
			return p, nil
		}
		allowed = append(allowed, p.Methods...)
	}
	for _, p := range t.below {
		if !strings.HasPrefix(path, strings.TrimSuffix(p.Path, "/")+"/") {
			continue
		}
		if slices.Contains(p.Methods, method) {
			return p, nil
		}
		allowed = append(allowed, p.Methods...)
	}
	return nil, allowed
}

// passThrough answers requests to the operator's own routes. It reports false
// for every other path.
func (a *API) passThrough(x *exchange) (status int, taken bool) {
	p, allowed := a.pass.find(x.r.Method, x.path)
	if p == nil {
		if len(allowed) == 0 {
			return 0, false
		}
		slices.Sort(allowed)
		if x.r.ContentLength != 0 {
			x.w.Header()["Connection"] = closeValue
		}
		x.w.Header()["Allow"] = []string{strings.Join(slices.Compact(allowed), ", ")}
		return detail(x.w, http.StatusMethodNotAllowed, "Method Not Allowed"), true
	}
	x.slot = a.state.inFlight.enter()
	if err := a.overloaded(); err != nil {
		return a.refuse(x, err), true
	}
	open, err := a.admit(x)
	if err != nil {
		return a.refuse(x, err), true
	}
	if !p.Open && !open {
		if err := a.identify(x, p.identified(x.r)); err != nil {
			return a.refuse(x, err), true
		}
	}
	return a.forward(x, p), true
}

// identified is the request as it is identified: with the key in the header
// where keys are expected.
func (p *PassThrough) identified(r *http.Request) *http.Request {
	key := ""
	if p.BasicKey {
		key, _, _ = r.BasicAuth()
	} else if p.KeyHeader != "" {
		key = r.Header.Get(p.KeyHeader)
		if text, ok := strings.CutPrefix(key, "Bearer "); ok {
			key = text
		}
	}
	if key == "" {
		return r
	}
	return &http.Request{URL: r.URL, Header: http.Header{"Authorization": {"Bearer " + key}, "X-Litellm-Api-Key": {"Bearer " + key}}}
}

// forward sends a request on and its answer back.
func (a *API) forward(x *exchange, p *PassThrough) int {
	c := call.Call{Caller: x.caller, Route: p.Path, Model: "unknown", Start: time.Now(), ID: headerValue(x.r.Header, "X-Litellm-Call-Id")}
	if c.ID == "" || len(c.ID) > 256 {
		c.ID = newID()
	}
	err := a.exchangePassed(x, p, &c)
	if err != nil && !err.Sent {
		h := x.w.Header()
		h["X-Litellm-Call-Id"] = []string{c.ID}
		h["X-Litellm-Key-Spend"] = zero
		c.Status = writeError(x.w, err)
	}
	c.Err, c.End = err, time.Now()
	a.o.Record.Record(&c)
	if err != nil && err.Sent && err.Class != call.ClassClientGone {
		panic(http.ErrAbortHandler) // what has begun must not end as if it were whole
	}
	return c.Status
}

func (a *API) exchangePassed(x *exchange, p *PassThrough, c *call.Call) *call.Error {
	target, failure := a.url(x, p)
	if failure != nil {
		return failure
	}
	base := *target
	base.RawQuery = ""
	x.w.Header()["X-Litellm-Model-Api-Base"] = []string{base.String()}
	in := takeBuffer()
	lease := call.Lease(noLease{})
	defer func() {
		if lease.Done() { // else the buffer is still being read: the garbage collector has it
			release(&in)
		}
	}()
	var up *upload
	if in.b, up, failure = a.receive(x.w, x.r, in.b, a.passLimit); failure != nil {
		return failure
	}
	request := call.Request{Method: x.r.Method, URL: target, Once: true, Header: a.passHeaders(x.r, p), Body: in.b}
	attempt, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	dog := watch(x.w, p.Timeout, 0, cancel)
	defer dog.stop()
	if up != nil {
		request.Upload, request.Length, request.Body = up, x.r.ContentLength, nil
		up.heard = dog.heard
		defer up.end()
	}
	begin := time.Now()
	defer func() { c.UpstreamTime = time.Since(begin) }()
	broken := func(err error) *call.Error {
		var ours *call.Error
		if up != nil {
			up.answered(x.w.Header())
			ours = up.failed(x.r.Context())
		}
		switch {
		case ours != nil:
			return ours
		case errors.Is(context.Cause(attempt), errStalled):
			return call.NewError(http.StatusGatewayTimeout, "timeout_error", "", "The service behind "+p.Path+" has not answered in "+p.Timeout.String())
		case context.Cause(x.r.Context()) == call.ErrCut:
			return gone(x.r.Context(), err)
		case x.r.Context().Err() != nil:
			c.Status = call.ClassClientGone.Status()
			e := clientGone(err)
			e.Sent = true
			return e
		}
		e := call.NewError(http.StatusInternalServerError, "internal_server_error", "", "The service behind "+p.Path+" cannot be reached: "+call.Why(err))
		e.Err = err
		return e
	}
	resp, l, err := a.o.Upstream.Do(attempt, &request)
	lease = l
	if err != nil {
		return broken(err)
	}
	defer resp.Body.Close()
	h := x.w.Header()
	for name, values := range resp.Header {
		if !hopHeaders[name] && name != "Date" && name != "Server" && name != "X-Litellm-Model-Api-Base" {
			h[name] = values
		}
	}
	if resp.Length >= 0 {
		h["Content-Length"] = []string{itoa(new([]byte), int(resp.Length))}
	}
	c.Cost = call.Cost{Total: p.Cost, Known: true}
	h["X-Litellm-Call-Id"] = []string{c.ID}
	h["X-Litellm-Key-Spend"] = []string{string(appendDollars(nil, p.Cost))}
	c.Status, c.FirstByte = resp.Status, time.Now()
	if up != nil {
		up.answered(h)
	}
	x.w.WriteHeader(resp.Status)
	flusher, _ := x.w.(http.Flusher)
	piece := takeBuffer()
	defer release(&piece)
	if cap(piece.b) < 32<<10 {
		piece.b = make([]byte, 0, 32<<10)
	}
	space := piece.b[:cap(piece.b)]
	for {
		n, err := resp.Body.Read(space)
		dog.heard()
		if n > 0 {
			dog.writing(true)
			_, werr := x.w.Write(space[:n])
			if werr == nil && resp.Length < 0 && flusher != nil {
				flusher.Flush()
			}
			dog.writing(false)
			if werr != nil {
				c.Status = call.ClassClientGone.Status()
				e := clientGone(werr)
				e.Sent = true
				return e
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			e := broken(err)
			e.Sent = true
			return e
		}
	}
}

// rest is the path below the endpoint's, as the client wrote it.
func (a *API) rest(x *exchange, p *PassThrough) (string, bool) {
	if x.path == p.Path {
		return "", true
	}
	path := x.r.URL.EscapedPath()
	if x.path != x.r.URL.Path {
		path = strings.TrimPrefix(path, a.o.RootPath)
	}
	return strings.CutPrefix(path, strings.TrimSuffix(p.Path, "/"))
}

// url is where a request goes.
func (a *API) url(x *exchange, p *PassThrough) (*url.URL, *call.Error) {
	u := *p.Target
	rest, ok := a.rest(x, p)
	if !ok {
		return nil, call.NewError(http.StatusBadRequest, "invalid_request_error", "", "Invalid path below "+p.Path+": "+p.Path+" itself must not be escaped")
	}
	if rest != "" {
		decoded, err := url.PathUnescape(rest)
		for part := range strings.SplitSeq(decoded, "/") {
			if part == "." || part == ".." {
				err = errors.New("it leads upwards")
			}
		}
		if err != nil {
			return nil, call.NewError(http.StatusBadRequest, "invalid_request_error", "", "Invalid path below "+p.Path+": "+err.Error())
		}
		// The target's host and path stay what the operator wrote.
		u.RawPath = strings.TrimSuffix(p.Target.EscapedPath(), "/") + "/" + strings.TrimLeft(rest, "/")
		if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
			return nil, call.NewError(http.StatusBadRequest, "invalid_request_error", "", "Invalid path below "+p.Path)
		}
	}
	client := x.r.URL.Query()
	if len(p.Query) == 0 && !p.MergeQuery {
		if x.r.URL.RawQuery != "" {
			u.RawQuery = x.r.URL.RawQuery
		}
		return &u, nil
	}
	all := url.Values{}
	for _, from := range []url.Values{map[bool]url.Values{true: p.Target.Query()}[p.MergeQuery], p.Query, client} {
		for name, values := range from {
			all[name] = values
		}
	}
	u.RawQuery = all.Encode()
	return &u, nil
}

// hopHeaders belong to one connection.
var hopHeaders = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Te": true,
	"Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Content-Length": true, "Host": true, "Expect": true,
}

// passHeaders are the headers of the request that goes on. The credential that
// the caller identified itself with is the gateway's and stays here.
func (a *API) passHeaders(r *http.Request, p *PassThrough) http.Header {
	h := http.Header{}
	if p.ForwardHeaders {
		stays := p.credential(r, a.o.KeyHeader)
		for _, list := range r.Header["Connection"] { // it names others of its kind
			for name := range strings.SplitSeq(list, ",") {
				stays[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
			}
		}
		for name, values := range r.Header {
			if hopHeaders[name] || stays[name] || strings.HasPrefix(name, "X-Litellm-") {
				continue
			}
			h[name] = values
		}
	} else {
		// A type belongs to its body.
		if kind := r.Header["Content-Type"]; kind != nil {
			h["Content-Type"] = kind
		}
		h["Accept"] = []string{cmp.Or(headerValue(r.Header, "Accept"), "*/*")}
		h["Accept-Encoding"] = []string{"identity"}
		h["User-Agent"] = []string{"llmgw/" + cmp.Or(a.o.Build, "dev")}
	}
	for name, values := range p.Header {
		h[name] = values
	}
	return h
}

// credential are the headers that hold the caller's key.
func (p *PassThrough) credential(r *http.Request, configured string) map[string]bool {
	own := map[string]bool{}
	if p.Open {
		return own
	}
	names := []string{"X-Litellm-Api-Key", "Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key"}
	if configured != "" {
		names = []string{http.CanonicalHeaderKey(configured)}
	}
	switch {
	case p.BasicKey:
		names = []string{"Authorization"}
	case p.KeyHeader != "" && r.Header.Get(p.KeyHeader) != "":
		names = []string{http.CanonicalHeaderKey(p.KeyHeader)}
	}
	key := ""
	for _, name := range names {
		if key = bare(headerValue(r.Header, name)); key != "" {
			own[name] = true
			break
		}
	}
	for name, values := range r.Header { // the same key in another place
		if len(values) > 0 && key != "" && bare(values[0]) == key {
			own[name] = true
		}
	}
	return own
}

// bare is a header's value without a scheme.
func bare(v string) string {
	v = strings.TrimSpace(v)
	for _, scheme := range [...]string{"Bearer ", "bearer ", "Basic "} {
		if rest, ok := strings.CutPrefix(v, scheme); ok {
			return strings.TrimSpace(rest)
		}
	}
	return v
}

// BasicHeader is the Authorization of a user and a password.
func BasicHeader(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
