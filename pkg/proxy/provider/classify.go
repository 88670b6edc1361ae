package provider

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/llmgw/llmgw/internal/litellm/pyfmt"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// Classifier turns an upstream's failure into what the client sees and the
// router decides by, with LiteLLM's classes and texts, which clients match on.
type Classifier struct{}

// Status classifies an answer whose status is not a success. body is its
// beginning.
func (Classifier) Status(d *call.Deployment, status int, header http.Header, body []byte) *call.Error {
	return classify(d, status, header, readRefusal(body))
}

// Fault classifies an error that came with status 200: the object that holds
// it, or the error object itself.
func (Classifier) Fault(d *call.Deployment, fault []byte) *call.Error {
	r := readRefusal(fault)
	status := r.status
	if status == 0 {
		status = http.StatusBadGateway
	}
	e := classify(d, status, nil, r)
	if r.status == 0 {
		e.Upstream = http.StatusOK
	}
	return e
}

// Invalid classifies an answer of success that is not what was asked for: a
// page, half an answer, nothing.
func (Classifier) Invalid(d *call.Deployment, status int, header http.Header, body []byte) *call.Error {
	var what string
	switch r := readRefusal(body); {
	case len(body) == 0:
		what = "the upstream's answer is empty"
	case r.page:
		what = r.message
	case header != nil && header.Get("Content-Encoding") != "" && header.Get("Content-Encoding") != "identity":
		what = "the upstream compressed its answer although it was asked not to"
	default:
		what = "the upstream's answer is not valid JSON: " + clipTo(r.message, 200)
	}
	e := build(d, call.ClassBadGateway, "BadGatewayError: ", what)
	e.Upstream = status
	return e
}

// Stream classifies the end of a stream that did not end well. It understands
// the errors that exchanges return.
func (c Classifier) Stream(d *call.Deployment, err error) *call.Error {
	if e := call.AsError(err); e != nil {
		return e
	}
	var s *splice.StreamError
	var f *wire.Fault
	switch {
	case errors.As(err, &f):
		return c.Fault(d, f.Body)
	case errors.Is(err, splice.ErrNotJSON):
		return c.Invalid(d, http.StatusOK, nil, nil)
	case !errors.As(err, &s):
		return c.Transport(d, err)
	}
	switch s.Kind {
	case splice.Fault:
		return c.Fault(d, s.Body)
	case splice.NotStream:
		if r := readRefusal(s.Body); r.status != 0 || r.typ != "" || r.code != "" {
			return c.Fault(d, s.Body)
		} else if r.message != "" {
			e := build(d, call.ClassBadGateway, "BadGatewayError: ", s.Error()+": "+clipTo(r.message, 200))
			e.Upstream = http.StatusOK
			e.Err = err
			return e
		}
	}
	if s.Kind == splice.Repeating { // without what it says: errors are logged
		e := build(d, call.ClassInternalServer, "", s.Error())
		e.Message, e.Upstream, e.Err = "litellm.InternalServerError: "+s.Error(), http.StatusOK, err
		return e
	}
	class, prefix := call.ClassBadGateway, "BadGatewayError: "
	if s.Kind == splice.Truncated || s.Kind == splice.Malformed || s.Kind == splice.TooLarge {
		// A type of the server's side: clients take it as retryable.
		class, prefix = call.ClassInternalServer, "InternalServerError: "
	}
	e := build(d, class, prefix, s.Error())
	e.Upstream = http.StatusOK
	e.Err = err
	return e
}

// Transport classifies a failure to exchange messages at all.
func (Classifier) Transport(d *call.Deployment, err error) *call.Error {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		e := build(d, call.ClassClientGone, "", "Client disconnected the request")
		e.Message = "Client disconnected the request"
		e.Err = err
		return e
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		e := build(d, call.ClassTimeout, "Timeout Error: ", "Request timed out.")
		e.Err = err
		return e
	}
	e := build(d, call.ClassAPIConnection, "APIConnectionError: ", "Connection error. "+call.Why(err))
	e.Err = err
	return e
}

// Token is the failure to have a token to call a deployment with. A login that
// is refused is one of the deployment's configuration, for which others may
// serve; a login that cannot be asked for may work the next time.
func (Classifier) Token(d *call.Deployment, err error) *call.Error {
	var t *call.TokenError
	if errors.As(err, &t) && t.Final {
		e := build(d, call.ClassAuthentication, "AuthenticationError: ", t.Text)
		e.Err = err
		return e
	}
	e := build(d, call.ClassAPIConnection, "APIConnectionError: ", err.Error())
	e.Err = err
	return e
}

// Timeout is the failure of an attempt that took too long.
func (Classifier) Timeout(d *call.Deployment, l call.Limits, stream bool) *call.Error {
	if l.Total > 0 {
		return build(d, call.ClassTimeout, "Timeout Error: ", "Stream exceeded max streaming duration of "+pyfmt.Float(l.Total.Seconds())+"s.")
	}
	what, limit := "Request timed out", l.Timeout
	if stream {
		what, limit = "The stream stalled", l.Stream
	}
	if limit > 0 {
		what += " after " + strconv.FormatFloat(limit.Seconds(), 'f', -1, 64) + " seconds"
	}
	return build(d, call.ClassTimeout, "Timeout Error: ", what+".")
}

// Name returns the provider's part of a message: "OpenAIException".
func Name(provider string) string {
	switch provider {
	case "", "openai":
		return "OpenAIException"
	case "vertex_ai", "vertex_ai_beta":
		return "VertexAIException"
	}
	r, n := utf8.DecodeRuneInString(provider)
	return string(unicode.ToUpper(r)) + provider[n:] + "Exception"
}

// build makes the error of a class; inner is the text that LiteLLM repeats in
// front of the provider's name.
func build(d *call.Deployment, class call.Class, inner, text string) *call.Error {
	name := class.String()
	switch class {
	case call.ClassAPIConnection:
		// LiteLLM's name for it towards clients.
		name, inner = "InternalServerError", "InternalServerError: "
	case call.ClassContextWindowExceeded:
		name = "ContextWindowExceededError: litellm.BadRequestError"
	case call.ClassContentPolicyViolation:
		name = "BadRequestError: litellm.ContentPolicyViolationError"
	}
	e := &call.Error{
		Class:      class,
		RetryAfter: -1,
		Message:    "litellm." + name + ": " + inner + Name(d.Provider) + " - " + redact.Text(text, d.Secrets...),
	}
	settleType(e)
	return e
}

// settleType gives an error the type that LiteLLM sends: the upstream's own for
// requests that are wrong, elsewhere the one of the status. The param survives
// where the type or a rate limit does, and on a plain 500.
func settleType(e *call.Error) {
	status := e.StatusCode()
	switch e.Class {
	case call.ClassBadRequest, call.ClassContextWindowExceeded:
		if e.Type == "" {
			e.Type = typeOf(status)
		}
	case call.ClassContentPolicyViolation:
		e.Type = "invalid_request_error"
	case call.ClassRateLimit, call.ClassInternalServer:
		e.Type = typeOf(status)
	default:
		e.Type, e.Param = typeOf(status), ""
	}
}

func typeOf(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusForbidden:
		return "permission_error"
	case status == http.StatusTooManyRequests:
		return "throttling_error"
	case status >= 500:
		return "internal_server_error"
	}
	return "invalid_request_error"
}

// passed are the headers of a refusal that clients act on.
var passed = []string{"Retry-After", "Retry-After-Ms", "X-Should-Retry"}

// classify decides by text where providers agree on a text, else by status.
func classify(d *call.Deployment, status int, header http.Header, r refusal) *call.Error {
	text := r.message
	if text == "" {
		text = "Error code: " + strconv.Itoa(status)
	}
	class, inner, own := decide(status, r)
	e := build(d, class, inner, text)
	e.Upstream = status
	e.Status = own
	e.Type, e.Param, e.Code = redact.Text(r.typ, d.Secrets...), redact.Text(r.param, d.Secrets...), redact.Text(r.code, d.Secrets...)
	if len(r.inner) > 0 && redact.Text(string(r.inner), d.Secrets...) == string(r.inner) {
		e.Inner = r.inner
	}
	if class == call.ClassContentPolicyViolation && e.Code == "" {
		e.Code = "content_policy_violation"
	}
	settleType(e)
	e.RetryAfter = retryAfter(header, time.Now())
	for _, name := range passed {
		if v := header[name]; len(v) > 0 {
			if e.Header == nil {
				e.Header = http.Header{}
			}
			e.Header[name] = v[:1]
		}
	}
	return e
}

// retryAfter reads how long the upstream asks to wait, or -1.
func retryAfter(h http.Header, now time.Time) time.Duration {
	const longest = 24 * time.Hour // beyond that the header is wrong
	bound := func(d time.Duration) time.Duration {
		return min(max(d, 0), longest)
	}
	if v := h.Get("Retry-After-Ms"); v != "" {
		if ms, err := strconv.ParseFloat(v, 64); err == nil && ms >= 0 && ms < 1e12 {
			return bound(time.Duration(ms * float64(time.Millisecond)))
		}
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return -1
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if s >= 0 && s < 1e9 {
			return bound(time.Duration(s * float64(time.Second)))
		}
		return -1
	}
	if at, err := http.ParseTime(v); err == nil {
		return bound(at.Sub(now))
	}
	return -1
}

func clipTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
