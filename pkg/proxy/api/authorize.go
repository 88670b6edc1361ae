package api

import (
	"context"
	"net/http"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// authorized returns the headers of an attempt. It waits only where the
// deployment is called with a token and none is valid, for as long as the attempt
// may take.
func (c *chat) authorized(client, attempt context.Context, d *call.Deployment, lane wire.Lane, l call.Limits, stream bool) (http.Header, *call.Error) {
	c.bearer = nil
	t, err := wire.TargetFor(lane, d.Model)
	if err != nil {
		return nil, unfit(c.call.Model, err.Error())
	}
	c.target = t
	if t.Token == nil {
		h, _, _ := t.Headers(attempt, stream)
		return h, nil
	}
	wait := attempt
	if !stream && l.Timeout > 0 { // a stream's watchdog ends its context
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(attempt, l.Timeout)
		defer cancel()
	}
	h, b, err := t.Headers(wait, stream)
	switch {
	case err == nil:
		c.bearer = b
		return h, nil
	case wait.Err() != nil && attempt.Err() == nil:
		return nil, c.a.o.Classify.Timeout(d, l, stream)
	case attempt.Err() != nil:
		return nil, c.broken(client, attempt, d, l, err)
	}
	return nil, c.a.o.Classify.Token(d, err)
}

// learns reports whether a refusal is a reason to send the same request once
// more at once: another token is on its way, or the lane knows better now.
func (c *chat) learns(d *call.Deployment, status int, body []byte) bool {
	if status == http.StatusUnauthorized && c.bearer != nil && d.Token != nil {
		return d.Token.Refused(c.bearer)
	}
	return c.exchange != nil && c.exchange.Refused(status, body)
}

// repeats reports whether an attempt is made once more. What is still being sent
// cannot be used again.
func (c *chat) repeats(failure *call.Error) bool {
	again := c.again
	c.again = false
	return again && failure != nil && failure != call.Begun && c.out != nil
}
