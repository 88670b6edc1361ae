package mock

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// exchange is one request and its answer.
type exchange struct {
	m       *Mock
	w       http.ResponseWriter
	r       *http.Request
	n       uint64
	route   route
	peek    peeked
	bodyLen int
	nonce   string
	fault   FaultKind
	latency Dist
	ttft    Dist
	itl     Dist
	rng     *rand.Rand
	vars    vars
	draws   uint64
	// kind and ready are the type and the body of an answer that is made before;
	// nil is JSON, made when it is sent.
	kind  []string
	ready []byte
}

func (c *exchange) rand() *rand.Rand {
	if c.rng == nil {
		c.rng = newRand(c.m.opt.Seed, c.n)
	}
	return c.rng
}

func (c *exchange) draw(d *Dist) time.Duration {
	if d.kind == distFixed {
		return time.Duration(d.a)
	}
	c.draws++
	return d.draw(c.rand(), c.n+c.draws-1)
}

var defaultModel = []byte(`"mock"`)

func (c *exchange) run() {
	if c.peek.model == nil {
		c.peek.model = defaultModel
	}
	c.latency, c.ttft, c.itl = c.m.opt.Latency, c.m.opt.TTFT, c.m.opt.ITL
	c.vars = vars{id: mix(c.m.opt.Seed ^ mix(c.n)), nonce: c.nonce, prompt: (c.bodyLen + 3) / 4}
	if c.route != routeEmbeddings {
		c.vars.completion = c.m.opt.Chunks
		if n := c.peek.maxTokens; n > 0 && n < c.vars.completion {
			c.vars.completion = n
		}
	}
	if c.m.limit != nil && !c.m.limit.take(c.w.Header(), c.vars.prompt+c.vars.completion) {
		c.m.stats.limited.Add(1)
		writeError(c.w, http.StatusTooManyRequests, "")
		return
	}
	if c.fault = c.pickFault(); c.fault != faultNone {
		c.m.stats.faults[c.fault].Add(1)
		if c.faultBeforeAnswer() {
			return
		}
	}
	if c.peek.stream && c.route != routeEmbeddings {
		c.stream()
		return
	}
	if !c.wait(&c.latency) {
		return
	}
	buf := bodies.Get().(*[]byte)
	b := c.body((*buf)[:0])
	c.whole(b)
	if cap(b) <= 256<<10 {
		*buf = b[:0]
		bodies.Put(buf)
	}
}

// wait sleeps for one draw of d; false means that nobody waits any more.
func (c *exchange) wait(d *Dist) bool {
	if d.Zero() {
		return true
	}
	return c.sleep(time.Now().Add(c.draw(d)))
}

func (c *exchange) sleep(until time.Time) bool {
	select {
	case <-c.m.quit:
		return true // closing: answer at once
	default:
	}
	return c.m.opt.Sleep(c.r.Context().Done(), until)
}

func (c *exchange) answer() *answer {
	chunks := c.m.chunks
	if c.route == routeCompletions {
		return c.m.answers[c.route].get(c.peek.model, func(model string) *answer { return completionsAnswer(model, chunks) })
	}
	return c.m.answers[c.route].get(c.peek.model, func(model string) *answer { return chatAnswer(model, chunks) })
}

// body appends the whole answer to dst.
func (c *exchange) body(dst []byte) []byte {
	if c.ready != nil {
		return append(dst, c.ready...)
	}
	short := c.vars.completion < c.m.opt.Chunks
	switch c.route {
	case routeEmbeddings:
		return appendEmbeddings(dst, &c.peek, c.peek.model, &c.vars)
	case routeResponses:
		return responsesBody(string(c.peek.model), c.m.chunks[:c.vars.completion], short).append(dst, &c.vars)
	case routeCompletions:
		if short {
			return completionsBody(string(c.peek.model), c.m.chunks[:c.vars.completion], "length").append(dst, &c.vars)
		}
	default:
		if short {
			return chatBody(string(c.peek.model), c.m.chunks[:c.vars.completion], "length").append(dst, &c.vars)
		}
	}
	return c.answer().body.append(dst, &c.vars)
}

// whole sends an answer that does not stream, with the faults that happen
// while it is sent.
func (c *exchange) whole(b []byte) {
	h := c.w.Header()
	h["Content-Type"] = jsonType
	if c.kind != nil {
		h["Content-Type"] = c.kind
	}
	switch c.fault {
	case faultWrongType:
		h.Set("Content-Type", "text/plain; charset=utf-8")
	case faultBadJSON:
		b = b[:len(b)/2]
	case faultTruncate:
		c.flush()
		_, _ = c.w.Write(b[:len(b)/2])
		return
	case faultHeadersOnly:
		h["Content-Length"] = []string{strconv.Itoa(len(b))}
		c.flush()
		c.hangUp(false)
		return
	case faultCut, faultResetMid:
		h["Content-Length"] = []string{strconv.Itoa(len(b))}
		_, _ = c.w.Write(b[:len(b)/2])
		c.flush()
		c.hangUp(c.fault == faultResetMid)
		return
	case faultStall:
		h["Content-Length"] = []string{strconv.Itoa(len(b))}
		_, _ = c.w.Write(b[:len(b)/2])
		c.flush()
		c.hang()
		c.hangUp(false)
		return
	}
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	n, err := c.w.Write(b)
	c.m.stats.bytesOut.Add(uint64(n))
	if err != nil {
		return
	}
	c.m.stats.answered.Add(1)
	c.count()
}

func (c *exchange) count() {
	c.m.stats.prompt.Add(uint64(c.vars.prompt))
	c.m.stats.completion.Add(uint64(c.vars.completion))
}

func (c *exchange) flush() {
	if f, ok := c.w.(http.Flusher); ok {
		f.Flush()
	}
}

// hang waits until the client leaves or the mock is closed.
func (c *exchange) hang() {
	select {
	case <-c.r.Context().Done():
	case <-c.m.quit:
	}
}

// hangUp ends the connection without ending the answer, with a reset on
// request. It does not return where the connection cannot be taken over.
func (c *exchange) hangUp(reset bool) {
	if conn, _, err := http.NewResponseController(c.w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
		return
	}
	panic(http.ErrAbortHandler)
}

var (
	streamType  = []string{"text/event-stream; charset=utf-8"}
	noCache     = []string{"no-cache"}
	doneEvent   = []byte("data: [DONE]\n\n")
	errorEvent  = []byte(`data: {"error":{"message":"The server had an error while processing your request.","type":"server_error","param":null,"code":null}}` + "\n\n")
	eventBuffer = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}
)

// stream sends an answer event by event.
func (c *exchange) stream() {
	st := &c.m.stats
	if !c.wait(&c.ttft) {
		return
	}
	st.started.Add(1)
	h := c.w.Header()
	h["Content-Type"] = streamType
	if c.fault == faultWrongType {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	h["Cache-Control"] = noCache
	if c.fault == faultHeadersOnly {
		c.flush()
		c.hangUp(false)
		return
	}
	buf := eventBuffer.Get().(*[]byte)
	defer eventBuffer.Put(buf)
	e := emitter{c: c, buf: (*buf)[:0], coalesce: c.m.opt.Coalesce, fragment: c.m.opt.Fragment}
	defer func() {
		if cap(e.buf) <= 64<<10 {
			*buf = e.buf[:0]
		}
		st.events.Add(e.events)
		st.bytesOut.Add(e.bytes)
	}()

	var ok bool
	if c.route == routeResponses {
		ok = c.streamResponses(&e)
	} else {
		ok = c.streamChunks(&e)
	}
	switch {
	case e.over:
	case !ok || !e.send():
		st.cancelled.Add(1)
	default:
		st.completed.Add(1)
		c.count()
	}
}

func (c *exchange) streamChunks(e *emitter) bool {
	a, v := c.answer(), &c.vars
	half := v.completion / 2
	if a.first != nil {
		e.buf = a.first.append(e.buf, v)
		if !e.event() {
			return false
		}
	}
	next := time.Now()
	for i := range v.completion {
		if i > 0 && !c.itl.Zero() {
			next = next.Add(c.draw(&c.itl))
			if !e.send() || !c.sleep(next) {
				return false
			}
		}
		if i == half && c.fault != faultNone && c.faultMidStream(e, a.events[i]) {
			return false
		}
		e.buf = a.events[i].append(e.buf, v)
		if !e.event() {
			return false
		}
	}
	last := a.stop
	if v.completion < c.m.opt.Chunks {
		last = a.length
	}
	e.buf = last.append(e.buf, v)
	if !e.event() {
		return false
	}
	if c.peek.includeUsage {
		e.buf = a.usage.append(e.buf, v)
		if !e.event() {
			return false
		}
	}
	if c.fault != faultNoDone {
		e.buf = append(e.buf, doneEvent...)
		e.pending++
	}
	return true
}

// faultMidStream plays the faults that strike half way; true means that the
// stream is over.
func (c *exchange) faultMidStream(e *emitter, next template) bool {
	if c.fault == faultErrorEvent {
		e.buf = append(e.buf, errorEvent...)
		e.event()
		e.send()
		e.over = true
		return true
	}
	whole := next.append(nil, &c.vars)
	partial := whole[:len(whole)/2]
	switch c.fault {
	case faultBadJSON:
		e.buf = append(append(e.buf, bytes.TrimRight(partial, "\n")...), "\n\n"...)
		return !e.event()
	case faultCut, faultResetMid, faultTruncate, faultStall:
		e.buf = append(e.buf, partial...)
		e.pending++
		e.send()
		e.over = true
		switch c.fault {
		case faultCut:
			c.hangUp(false)
		case faultResetMid:
			c.hangUp(true)
		case faultStall:
			c.hang()
			c.hangUp(false)
		}
		return true
	}
	return false
}

// emitter turns events into writes.
type emitter struct {
	c                  *exchange
	buf                []byte
	pending            int
	coalesce, fragment int
	events, bytes      uint64
	over               bool // a fault ended the stream
}

// event closes the event that was appended to buf and writes when enough of
// them are there.
func (e *emitter) event() bool {
	e.events++
	e.pending++
	if e.pending < e.coalesce {
		return true
	}
	return e.send()
}

func (e *emitter) send() bool {
	if e.pending == 0 {
		return true
	}
	b := e.buf
	step := len(b)
	if e.fragment > 0 {
		step = e.fragment
	}
	for len(b) > 0 {
		n, err := e.c.w.Write(b[:min(step, len(b))])
		e.bytes += uint64(n)
		if err != nil {
			return false
		}
		b = b[n:]
		e.c.flush()
	}
	e.buf, e.pending = e.buf[:0], 0
	return e.c.r.Context().Err() == nil
}
