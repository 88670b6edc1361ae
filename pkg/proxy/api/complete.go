package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// complete serves an answer in one piece.
func (c *chat) complete(ctx context.Context, d *call.Deployment, lane wire.Lane, l call.Limits) *call.Error {
	base := ctx
	if !c.a.o.CancelOnDisconnect {
		// The answer is paid for: it is fetched also when nobody waits for it.
		base = context.WithoutCancel(ctx)
	}
	begin := time.Now()
	c.call.UpstreamStart = begin
	header, failure := c.authorized(ctx, base, d, lane, l, false)
	if failure != nil {
		return failure
	}
	resp, lease, err := c.send(base, header, begin.Add(l.Timeout))
	if err != nil {
		return c.broken(ctx, base, d, l, err)
	}
	if c.answer == nil {
		c.answer = takeBuffer()
	}
	success := resp.Status >= 200 && resp.Status < 300
	limit := c.a.o.MaxAnswer
	if !success {
		limit = errorBodyLimit
	}
	closed := false
	defer func() {
		if !closed {
			resp.Body.Close() // a bug: the request ends, and its connection with it
		}
	}()
	c.answer.b, err = readAnswer(resp.Body, resp.Length, c.answer.b, limit)
	closed = true
	resp.Body.Close()
	c.call.UpstreamTime = time.Since(begin)
	c.sent(lease)
	switch {
	case !success:
		// A refusal that was cut off is still a refusal.
		return c.refused(d, &resp, c.answer.b)
	case errors.Is(err, errAnswerTooLarge):
		e := c.a.o.Classify.Transport(d, err)
		e.Class, e.Status = call.ClassAPIResponseValidation, http.StatusBadGateway
		return e
	case err != nil:
		return c.broken(ctx, base, d, l, err)
	}
	if c.written == nil {
		c.written = takeBuffer()
	}
	if size := len(c.answer.b) + 256; cap(c.written.b) < size {
		c.written.b = make([]byte, 0, size)
	}
	c.written.b, err = c.exchange.AppendAnswer(c.written.b[:0], c.answer.b)
	switch {
	case errors.Is(err, splice.ErrNotJSON):
		return c.a.o.Classify.Invalid(d, resp.Status, resp.Header, c.answer.b[:min(len(c.answer.b), errorBodyLimit)])
	case err != nil:
		return c.a.o.Classify.Stream(d, err)
	}
	if c.kept.parts != nil {
		var failure *call.Error
		if c.written.b, failure = c.mergeParts(d, c.written.b); failure != nil {
			return failure
		}
	}
	c.writeAnswer(resp.Header, c.written.b)
	c.keepAnswer(c.written.b)
	return nil
}

// errorBodyLimit is how much of a failure's text is read.
const errorBodyLimit = 64 << 10

// writeAnswer sends a complete answer with its headers.
func (c *chat) writeAnswer(upstream http.Header, body []byte) {
	w, h := c.x.w, c.x.w.Header()
	upstreamHeaders(h, upstream, c.secrets())
	c.outcome()
	c.measure(body)
	c.charge()
	c.remaining(h, upstream)
	c.a.callHeaders(h, &c.call, &c.values)
	c.cacheKey(h)
	c.call.FirstByte = time.Now()
	timings(h, &c.call, &c.values, c.call.FirstByte)
	c.phases(h, c.call.FirstByte)
	h["Content-Type"] = jsonType
	h["Content-Length"] = c.values.one(itoa(&c.values.text, len(body)))
	c.call.Status = http.StatusOK
	c.addAnswer(body)
	if _, err := w.Write(body); err != nil || c.plan.ClientGone() {
		c.call.Status = call.ClassClientGone.Status()
	}
}
