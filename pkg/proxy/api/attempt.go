package api

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// Attempt implements call.Attempter.
func (c *chat) Attempt(ctx context.Context, d *call.Deployment, l call.Limits) (failure *call.Error) {
	if d, failure = c.lend(d); failure != nil {
		return failure
	}
	c.limit = l.Timeout
	if c.call.Stream {
		c.limit = l.Stream
	}
	mocked := c.mocked && c.x.route.kind.op == wire.Chat || d.MockResponse != nil
	if mocked && c.late.delay > 0 {
		if err := pause(ctx, c.late.delay); err != nil {
			return gone(ctx, err)
		}
	}
	switch {
	case c.late.timeout:
		return c.timeOut(ctx, d, l)
	case c.media != nil:
		return c.attemptMedia(ctx, d, l)
	case c.mocked && c.x.route.kind.op == wire.Chat:
		return c.serveMock(d, c.mock)
	case d.MockResponse != nil:
		return c.serveMock(d, *d.MockResponse)
	}
	lane, unfit := c.lane(d)
	if unfit != nil {
		return unfit
	}
	if c.in == nil {
		panic("attempt after the answer has begun")
	}
	if c.affinity.Origin != "" {
		c.readable(d)
	}
	o := wire.Options{Request: &c.request, Model: d.Model, Restamp: c.restamp(d), Name: c.responseID(d), Seal: c.sealing(d), User: c.stamp(), Repeats: c.a.o.Repeats}
	if c.call.Stream {
		o.AskUsage, o.HideUsage = c.usage(d)
	}
	c.exchange = lane.Open(o)
	defer func() {
		if failure != call.Begun {
			c.closeExchange()
		}
	}()
	if c.out == nil {
		c.out = takeBuffer()
	}
	// Nearly always longer by a few bytes than the client's body: a buffer that
	// holds both needs no second allocation.
	if size := len(c.in.b) + 512; cap(c.out.b) < size {
		c.out.b = make([]byte, 0, size)
	}
	var err error
	if c.out.b, err = c.exchange.AppendRequest(c.out.b[:0]); err != nil {
		return c.a.o.Classify.Stream(d, err)
	}
	if failure = c.exchanged(ctx, d, lane, l); c.repeats(failure) {
		if c.out.b, err = c.exchange.AppendRequest(c.out.b[:0]); err != nil {
			return c.a.o.Classify.Stream(d, err)
		}
		failure = c.exchanged(ctx, d, lane, l)
	}
	return failure
}

// exchanged sends the request and serves what comes back.
func (c *chat) exchanged(ctx context.Context, d *call.Deployment, lane wire.Lane, l call.Limits) *call.Error {
	if c.call.Stream {
		return c.stream(ctx, d, lane, l)
	}
	return c.complete(ctx, d, lane, l)
}

// lane is the way to a deployment for this kind of call.
func (c *chat) lane(d *call.Deployment) (wire.Lane, *call.Error) {
	k := c.x.route.kind
	if k.op == wire.Chat {
		if lane, ok := d.Lane.(wire.Lane); ok {
			return lane, nil
		}
	} else if ways, ok := d.Lanes.(wire.Lanes); ok {
		lane, err := ways.Lane(k.op)
		if err == nil {
			return lane, nil
		}
		return nil, unfit(c.call.Model, err.Error())
	}
	return nil, unfit(c.call.Model, "it does not take "+k.name)
}

// unfit refuses a call that the deployment cannot serve.
func unfit(model, why string) *call.Error {
	e := call.NewError(http.StatusBadRequest, "invalid_request_error", "model", "The deployment behind model="+model+" cannot serve this call: "+why)
	e.Class = call.ClassBadRequest
	return e
}

func (c *chat) closeExchange() {
	c.outcome()
	c.exchange.Close()
	c.exchange = nil
}

// outcome notes what the answer says about itself, so far.
func (c *chat) outcome() {
	if c.exchange != nil {
		o := c.exchange.Outcome()
		if !c.measured {
			c.call.Usage = o.Usage
		}
		c.call.AnswerBytes = o.TextBytes
		if t := c.call.Trace; t != nil {
			t.AnswerID, t.Model, t.Finish = string(o.ID), string(o.Model), string(o.FinishReason)
		}
	}
}

// charge works out the cost of an answer that is complete.
func (c *chat) charge() {
	if c.a.o.Charge != nil {
		c.a.o.Charge(&c.call)
	}
}

// usage decides whether to ask a stream for its usage, and whether to keep the
// answer from a client that did not.
func (c *chat) usage(d *call.Deployment) (ask, strip bool) {
	if c.wantsUsage || !d.StreamOptions || c.x.route.kind.op == wire.Responses {
		return false, false
	}
	if always := c.a.o.StreamUsage; always != nil {
		return *always, false
	}
	return true, true
}

// restamp is the model name that the client gets to see; empty leaves the
// upstream's.
func (c *chat) restamp(d *call.Deployment) string {
	switch {
	case d.KeepModel:
		return ""
	case c.call.Fallbacks == 0:
		return c.call.Model
	case c.call.Stream && c.x.route.kind.op == wire.Chat:
		return c.call.ServedBy()
	}
	return ""
}

// send makes the upstream request, with what authorized has returned. The lease is over when it returns an error.
func (c *chat) send(ctx context.Context, header http.Header, deadline time.Time) (call.Response, call.Lease, error) {
	header = c.forwarded(header)
	if c.a.o.ForwardTrace {
		header = c.traced(header)
	}
	target := c.target
	request := call.Request{Method: http.MethodPost, URL: target.URL, TLS: target.TLS, Header: header, Body: c.out.b, Deadline: deadline}
	resp, lease, err := c.upstream().Do(ctx, &request)
	if err != nil {
		c.sent(lease)
	}
	return resp, lease, err
}

// sent ends a lease. A buffer that is still being read is left to the garbage
// collector.
func (c *chat) sent(lease call.Lease) {
	if !lease.Done() {
		c.out = nil
	}
}

// broken says why an exchange did not come to its end.
func (c *chat) broken(client, attempt context.Context, d *call.Deployment, l call.Limits, err error) *call.Error {
	if !c.call.UpstreamStart.IsZero() {
		c.call.UpstreamTime = time.Since(c.call.UpstreamStart)
	}
	switch cause := context.Cause(attempt); {
	case context.Cause(client) == call.ErrCut:
		return gone(client, err)
	case errors.Is(cause, errTooLong):
		l.Total = c.a.o.MaxStreamDuration
		return c.a.o.Classify.Timeout(d, l, true)
	case errors.Is(cause, errStalled), !c.call.Stream && timedOut(err):
		return c.a.o.Classify.Timeout(d, l, c.call.Stream)
	case client.Err() != nil && attempt.Err() != nil:
		return gone(client, err)
	}
	return c.a.o.Classify.Transport(d, err)
}

func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// gone is the end of a request whose context has ended.
func gone(client context.Context, err error) *call.Error {
	if context.Cause(client) != call.ErrCut {
		return clientGone(err)
	}
	e := call.NewError(http.StatusServiceUnavailable, "internal_server_error", "", "The gateway is shutting down and had to cut this request: "+
		"it had not finished when the time for requests in flight was over")
	e.Err = err
	return e
}

func clientGone(err error) *call.Error {
	return &call.Error{Class: call.ClassClientGone, Message: "Client disconnected the request", RetryAfter: -1, Err: err}
}
