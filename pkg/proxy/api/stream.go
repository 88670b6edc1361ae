package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// errStalled is the cause with which the watchdog ends a stream.
var errStalled = errors.New("nothing came for too long")

// errTooLong is the cause of the end of a stream that took longer than any may.
var errTooLong = errors.New("the stream took too long")

// drainPatience is how long the end of a finished stream is waited for, so that
// its connection can be used again.
const drainPatience = 100 * time.Millisecond

// streaming is a stream on its way. It lies in the chat, not on the stack: a
// stream waits with its stack, which is to be small.
type streaming struct {
	client, attempt context.Context
	cancel          context.CancelCauseFunc
	dog             *watchdog
	deployment      *call.Deployment
	limits          call.Limits
	resp            call.Response
	lease           call.Lease
	waiter          call.Waiter // the body, if it can wait without a buffer

	// What was read last: out goes to the client, and is valid until the exchange
	// is used again.
	out             []byte
	readErr, tapErr error
	unfinished      bool // the exchange has not been told of the end
}

// stream begins to serve an answer of server-sent events. Until the first event
// nothing is sent, so that a failure before it is an ordinary error, or another
// attempt. When the first event is there it returns call.Begun, and follow sends
// it and the rest: what follows needs a stack without the router's frames.
func (c *chat) stream(ctx context.Context, d *call.Deployment, lane wire.Lane, l call.Limits) (failure *call.Error) {
	s := &c.live
	*s = streaming{client: ctx, deployment: d, limits: l}
	s.attempt, s.cancel = context.WithCancelCause(ctx)
	defer func() {
		if failure != call.Begun {
			c.leave()
		}
	}()
	c.pings(d)
	s.dog = watch(c.x.w, l.Stream, c.a.o.MaxStreamDuration, s.cancel)

	c.call.UpstreamStart = time.Now()
	header, failure := c.authorized(ctx, s.attempt, d, lane, l, true)
	if failure != nil {
		return failure
	}
	var err error
	if s.resp, s.lease, err = c.send(s.attempt, header, time.Time{}); err != nil {
		return c.broken(ctx, s.attempt, d, l, err)
	}
	if s.resp.Status >= 300 || s.resp.Status < 200 {
		defer c.sent(s.lease)
		if c.answer == nil {
			c.answer = takeBuffer()
		}
		c.answer.b, _ = readAnswer(s.resp.Body, s.resp.Length, c.answer.b, errorBodyLimit)
		c.call.UpstreamTime = time.Since(c.call.UpstreamStart)
		return c.refused(d, &s.resp, c.answer.b)
	}
	s.waiter, _ = s.resp.Body.(call.Waiter)
	for {
		c.await()
		c.read()
		if len(s.out) > 0 {
			return call.Begun
		}
		if over, failure := c.deliver(); over {
			c.call.UpstreamTime = time.Since(c.call.UpstreamStart)
			c.sent(s.lease)
			return failure
		}
	}
}

// follow serves a stream that has begun. A failure is an event, and
// the stream ends without [DONE].
func (c *chat) follow() *call.Error {
	failure := call.Begun // unless it ends by itself
	defer func() {
		c.leave()
		c.closeExchange()
		c.plan.Ended(failure)
	}()
	for {
		if over, err := c.deliver(); over {
			failure = c.finished(err)
			return failure
		}
		c.await()
		c.read()
	}
}

// leave gives up what is still held of a stream.
func (c *chat) leave() {
	s := &c.live
	if s.dog != nil {
		s.dog.stop()
	}
	if s.resp.Body != nil {
		s.resp.Body.Close()
	}
	s.cancel(nil)
	*s = streaming{}
}

// finished ends a stream that has begun, and returns what is to be counted.
func (c *chat) finished(failure *call.Error) *call.Error {
	c.call.UpstreamTime = time.Since(c.call.UpstreamStart)
	if failure == nil {
		return nil
	}
	// The answer has begun: the failure is its last event.
	failed := *failure
	failed.Sent = true
	if failed.Class == call.ClassClientGone {
		c.call.Status = failed.StatusCode()
		return &failed
	}
	c.stopPings()
	c.writeErrorEvent(&failed)
	return &failed
}

func (c *chat) writeErrorEvent(err *call.Error) {
	if c.x.route.kind.op == wire.Responses {
		_, _ = c.x.w.Write(responseErrorEvent(err))
	} else {
		_, _ = c.x.w.Write(errorEvent(err))
	}
}

// await returns when there is something to relay. Buffers are others' meanwhile.
func (c *chat) await() {
	if w := c.live.waiter; w != nil {
		c.exchange.Idle()
		w.Wait()
	}
}

// read takes what comes next.
func (c *chat) read() {
	s := &c.live
	var n int
	n, s.readErr = s.resp.Body.Read(c.exchange.Space())
	s.dog.heard()
	s.out, s.tapErr = c.exchange.Advance(n)
	s.unfinished = s.readErr != nil && s.tapErr == nil && !c.exchange.Done() && errors.Is(s.readErr, io.EOF)
	if s.unfinished && len(s.out) == 0 {
		s.unfinished = false
		s.out, s.tapErr = c.exchange.Finish()
	}
}

// deliver passes on what was read. The stream is over when it says so, well if
// there is no error.
func (c *chat) deliver() (over bool, failure *call.Error) {
	s := &c.live
	if s.unfinished {
		s.unfinished = false
		if err := c.push(s.out, nil); err != nil {
			return true, err
		}
		s.out, s.tapErr = c.exchange.Finish()
	}
	done := c.exchange.Done()
	if len(s.out) > 0 {
		// What the end of the response follows at once leaves with it.
		flusher, _ := c.x.w.(http.Flusher)
		if s.readErr != nil && s.tapErr == nil && done && c.kept.events == nil {
			flusher = nil
		}
		if err := c.push(s.out, flusher); err != nil {
			return true, err
		}
	}
	switch {
	case s.tapErr != nil:
		return true, c.a.o.Classify.Stream(s.deployment, s.tapErr)
	case done:
		if s.readErr == nil {
			c.drain()
		}
		c.keepStream()
		return true, nil
	case s.readErr != nil:
		return true, c.cut(s.readErr)
	}
	return false, nil
}

// push sends events to the client, the head of the answer before the first.
func (c *chat) push(out []byte, f http.Flusher) *call.Error {
	defer c.ping.pause()()
	dog := c.live.dog
	first := c.call.Status == 0
	if first {
		c.begin(&c.live.resp, c.live.lease)
	}
	sent := out
	if c.a.o.StreamCost || len(c.call.Failures) > 0 {
		sent = c.inserted(out, first)
	}
	dog.writing(true)
	_, err := c.x.w.Write(sent)
	if err == nil && f != nil {
		f.Flush()
	}
	dog.writing(false)
	if err != nil {
		return clientGone(err)
	}
	c.gather(out)
	c.addAnswer(out)
	return nil
}

// begin sends the head of the answer and lets go of the request: from here on
// there is no other attempt.
func (c *chat) begin(resp *call.Response, lease call.Lease) {
	c.sent(lease)
	c.call.PromptBytes = c.request.PromptBytes()
	release(&c.in)
	release(&c.out)
	release(&c.answer)
	_ = c.request.Scan(nil)
	c.call.Status = http.StatusOK
	if c.ping != nil && c.ping.begun {
		c.call.FirstByte = time.Now()
		return // the head went out with the first ping
	}
	h := c.x.w.Header()
	upstreamHeaders(h, resp.Header, c.secrets())
	c.remaining(h, resp.Header)
	c.a.callHeaders(h, &c.call, &c.values)
	c.cacheKey(h)
	c.call.FirstByte = time.Now()
	timings(h, &c.call, &c.values, c.call.FirstByte)
	c.phases(h, c.call.FirstByte)
	h["Content-Type"] = eventType
	h["Cache-Control"] = noCache
	h["X-Accel-Buffering"] = noBuffering
	c.x.w.WriteHeader(http.StatusOK)
}

var (
	noCache     = []string{"no-cache"}
	noBuffering = []string{"no"} // nginx in front must not collect events
)

// cut says why the upstream's bytes ended before the stream did.
func (c *chat) cut(err error) *call.Error {
	s := &c.live
	failure := c.broken(s.client, s.attempt, s.deployment, s.limits, err)
	if failure.Class == call.ClassAPIConnection && c.call.Status != 0 {
		return c.a.o.Classify.Stream(s.deployment, &splice.StreamError{Kind: splice.Truncated})
	}
	return failure
}

// drain reads what follows the last event, which is nothing but the end, so
// that the connection can serve another request.
func (c *chat) drain() {
	s := &c.live
	s.dog.hurry(drainPatience)
	for range 16 {
		c.await()
		if _, err := s.resp.Body.Read(c.exchange.Space()); err != nil {
			return
		}
	}
}

// errorEvent is a failure in mid-stream.
func errorEvent(err *call.Error) []byte {
	e := *err
	if e.Param == "" {
		e.Param = call.None
	}
	body := errorBody(&e, e.StatusCode())
	out := make([]byte, 0, len(body)+8)
	out = append(out, "data: "...)
	out = append(out, body...)
	return append(out, "\n\n"...)
}

// responseErrorEvent is the same in the words of the Responses API. Its type is
// one of the server's side: clients take the others as final.
func responseErrorEvent(err *call.Error) []byte {
	body := marshal(struct {
		Type    string `json:"type"`
		Code    string `json:"code"`
		Message string `json:"message"`
		Param   any    `json:"param"`
	}{Type: "error", Code: "server_error", Message: err.Message})
	out := make([]byte, 0, len(body)+24)
	out = append(out, "event: error\ndata: "...)
	out = append(out, body...)
	return append(out, "\n\n"...)
}

// watchdog ends a stream on which nothing has happened for too long, be it that
// the upstream says nothing or that the client takes nothing. It costs one
// timer per stream and one atomic store per read: the timer looks whether
// something has happened and goes back to sleep.
type watchdog struct {
	begin   time.Time
	last    atomic.Int64 // when something happened, since begin
	limit   atomic.Int64
	total   time.Duration
	blocked atomic.Bool // in a write to the client
	cancel  context.CancelCauseFunc
	control *http.ResponseController
	timer   *time.Timer
}

func watch(w http.ResponseWriter, limit, total time.Duration, cancel context.CancelCauseFunc) *watchdog {
	d := &watchdog{begin: time.Now(), total: total, cancel: cancel, control: http.NewResponseController(w)}
	d.limit.Store(int64(limit))
	d.timer = time.AfterFunc(time.Hour, d.look)
	d.timer.Reset(d.next(0)) // after the field is set: look uses it
	return d
}

// next is when to look again.
func (d *watchdog) next(now time.Duration) time.Duration {
	wait := time.Duration(d.last.Load()+d.limit.Load()) - now
	if d.total > 0 {
		wait = min(wait, d.total-now)
	}
	return max(wait, 0)
}

func (d *watchdog) look() {
	now := time.Since(d.begin)
	wait := d.next(now)
	if wait > 0 {
		d.timer.Reset(wait)
		return
	}
	if d.blocked.Load() {
		_ = d.control.SetWriteDeadline(time.Unix(1, 0))
	}
	if d.total > 0 && now >= d.total {
		d.cancel(errTooLong)
		return
	}
	d.cancel(errStalled)
}

func (d *watchdog) heard() { d.last.Store(int64(time.Since(d.begin))) }

func (d *watchdog) writing(on bool) { d.blocked.Store(on) }

// hurry shortens the limit.
func (d *watchdog) hurry(limit time.Duration) {
	d.heard()
	d.limit.Store(int64(limit))
	if d.timer.Stop() {
		d.timer.Reset(limit)
	}
}

func (d *watchdog) stop() { d.timer.Stop() }
