package route

import (
	"net/http"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// RetryPolicy is the number of retries by class of error; nil fields fall back
// to Default, and without that to the budget of the call.
type RetryPolicy struct {
	BadRequest, Authentication, Timeout, RateLimit, ContentPolicy,
	InternalServer, ServiceUnavailable, NotFound, Default *int
}

func (p *RetryPolicy) retries(err *call.Error) *int {
	var n *int
	if statusOf(err) == http.StatusNotFound && p.NotFound != nil {
		return p.NotFound
	}
	switch err.Class {
	case call.ClassContentPolicyViolation:
		if n = p.ContentPolicy; n == nil {
			n = p.BadRequest
		}
	case call.ClassBadRequest, call.ClassContextWindowExceeded, call.ClassUnsupportedParams:
		n = p.BadRequest
	case call.ClassAuthentication:
		n = p.Authentication
	case call.ClassTimeout:
		n = p.Timeout
	case call.ClassRateLimit:
		n = p.RateLimit
	case call.ClassInternalServer:
		n = p.InternalServer
	case call.ClassServiceUnavailable:
		n = p.ServiceUnavailable
	}
	if n == nil {
		n = p.Default
	}
	return n
}

// budget returns how many retries an error may have, and whether a policy says
// so: a policy overrules the table in retryable.
func (s *snapshot) budget(p *call.Plan, group string, d *call.Deployment, err *call.Error) (n int, byPolicy bool) {
	if p.NumRetries != nil && *p.NumRetries <= 0 {
		return 0, false
	}
	policy := s.o.GroupRetryPolicy[group]
	if policy == nil {
		policy = s.o.RetryPolicy
	}
	if policy != nil {
		if n := policy.retries(err); n != nil {
			return *n, true
		}
	}
	switch {
	case p.NumRetries != nil:
		return *p.NumRetries, false
	case d.NumRetries != nil:
		return *d.NumRetries, false
	case s.o.NumRetries != nil:
		return *s.o.NumRetries, false
	}
	return DefaultNumRetries, false
}

// retryable is LiteLLM's table of which failures are worth another attempt in
// the same group.
func (r *run) retryable(g *group, order int, err *call.Error) bool {
	o := &r.s.o
	left := r.left(g, order)
	status := statusOf(err)
	switch {
	case err.Class == call.ClassContextWindowExceeded && o.ContextWindowFallbacks != nil,
		err.Class == call.ClassContentPolicyViolation && o.ContentPolicyFallbacks != nil:
		return false
	case status == http.StatusNotFound:
		return false
	case status == http.StatusTooManyRequests && !left && (len(o.Fallbacks) > 0 || len(r.p.Fallbacks) > 0):
		return false
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return len(g.nodes) > 1 && left
	case !retryableStatus(status):
		return false
	}
	return left
}

// statusOf is the status by which the router judges: that of the class, except
// where only the status says more (an APIError, a 504 among the timeouts).
func statusOf(err *call.Error) int { return err.StatusCode() }

func retryableStatus(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusConflict ||
		status == http.StatusTooManyRequests || status >= 500
}
