package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// mockControls are the members by which a client asks for a failure that does
// not happen, or a delay. They work only where the operator says so: a request
// that asked for a failure and got a success would look like a passed test.
var mockControls = [...]splice.Member{
	splice.MockTestingFallbacks, splice.MockTestingContextFallbacks, splice.MockTestingContextWindowFallbacks, splice.MockTestingContentPolicyFallbacks,
	splice.MockTestingRateLimitError, splice.MockTimeout, splice.MockDelay,
}

// maxMockDelay bounds a delay that a client asks for.
const maxMockDelay = 10 * time.Minute

// testing reads the members with which operators try out what they configured.
func (c *chat) testing() *call.Error {
	q := &c.request
	var present []string
	for _, m := range mockControls {
		if q.Has(m) {
			present = append(present, m.String())
		}
	}
	if present == nil {
		return nil
	}
	if !c.a.o.AllowMockTesting {
		return call.NewError(http.StatusBadRequest, "invalid_request_error", "", "Mock testing request params are disabled on this proxy: "+strings.Join(present, ", ")+
			". An admin can enable them by setting `general_settings.dangerously_allow_mock_testing_request_params: true` in config.yaml.")
	}
	on := func(members ...splice.Member) bool {
		for _, m := range members {
			if b, ok := q.Bool(m); ok && b {
				return true
			}
		}
		return false
	}
	fail := func(class call.Class, why string) {
		c.plan.Fail = &call.Error{Class: class, RetryAfter: -1, Message: fmt.Sprintf("litellm.%s: This is a mock exception for model=%s, to trigger %s.", class, c.model(), why)}
	}
	switch {
	case on(splice.MockTestingFallbacks):
		fail(call.ClassInternalServer, "a fallback")
	case on(splice.MockTestingContextFallbacks, splice.MockTestingContextWindowFallbacks):
		fail(call.ClassContextWindowExceeded, "a fallback")
	case on(splice.MockTestingContentPolicyFallbacks):
		fail(call.ClassContentPolicyViolation, "a fallback")
	case on(splice.MockTestingRateLimitError):
		fail(call.ClassRateLimit, "a rate limit error")
		c.plan.Fail.Type = "throttling_error"
	}
	c.late.timeout = on(splice.MockTimeout)
	if n, ok := q.Number(splice.MockDelay); ok && n > 0 {
		c.late.delay = min(time.Duration(n)*time.Second, maxMockDelay)
	}
	return nil
}

// late is what a client has asked for besides a made-up failure.
type late struct {
	timeout bool          // the attempt runs into its time limit
	delay   time.Duration // before a mocked answer
}

// timeOut lets the time limit of an attempt pass.
func (c *chat) timeOut(ctx context.Context, d *call.Deployment, l call.Limits) *call.Error {
	if err := pause(ctx, c.limit); err != nil {
		return gone(ctx, err)
	}
	return c.a.o.Classify.Timeout(d, l, c.call.Stream)
}

// pause waits, or until the client has left.
func pause(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.New("the client left while it was to wait")
	}
}
