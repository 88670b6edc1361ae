package api

import (
	"net/http"
	"sync"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// pingComment is a comment, which every reader of server-sent events skips.
var pingComment = []byte(": ping\n\n")

// pinger writes comments into a stream that stays silent, so that balancers and
// clients with idle timeouts keep it: also before the first event. The head of
// the answer then goes out with the first ping, and a failure can only be an
// event. It writes from its timer; the handler's own writes exclude it.
type pinger struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	head  http.Header // what the head says when a ping begins the answer
	every time.Duration
	last  time.Time
	timer *time.Timer
	// begun is set when a ping has sent the head, over when nothing may be
	// written any more.
	begun, over bool
}

// pings begins to keep a stream alive while a deployment answers it.
func (c *chat) pings(d *call.Deployment) {
	every := c.a.o.Ping
	if d.Keepalive != nil {
		every = *d.Keepalive
	}
	if c.ping == nil {
		if every <= 0 {
			return
		}
		h := http.Header{"Content-Type": eventType, "Cache-Control": noCache, "X-Accel-Buffering": noBuffering, "X-Litellm-Call-Id": {c.call.ID}}
		c.ping = &pinger{w: c.x.w, head: h}
	}
	p := c.ping
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every = every
	switch {
	case every <= 0 && p.timer != nil:
		p.timer.Stop()
	case every <= 0:
	case p.timer == nil:
		p.last = time.Now()
		p.timer = time.AfterFunc(every, p.tick)
	default:
		p.timer.Reset(max(every-time.Since(p.last), 0))
	}
}

func (p *pinger) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || p.every <= 0 {
		return
	}
	if wait := p.every - time.Since(p.last); wait > 0 {
		p.timer.Reset(wait)
		return
	}
	if !p.begun && p.head != nil {
		h := p.w.Header()
		for name, v := range p.head {
			h[name] = v
		}
		p.w.WriteHeader(http.StatusOK)
		p.begun = true
	}
	if _, err := p.w.Write(pingComment); err != nil {
		p.over = true // the client is gone, which the stream finds out itself
		return
	}
	if f, ok := p.w.(http.Flusher); ok {
		f.Flush()
	}
	p.last = time.Now()
	p.timer.Reset(p.every)
}

// pause keeps pings out of what the handler writes, until the function that it
// returns is called.
func (p *pinger) pause() func() {
	if p == nil {
		return func() {}
	}
	p.mu.Lock()
	return func() {
		p.head = nil // the answer has begun, with the head of its own
		p.last = time.Now()
		p.mu.Unlock()
	}
}

// stopPings ends them, and reports whether one has begun the answer.
func (c *chat) stopPings() bool {
	p := c.ping
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
	return p.begun
}

// failInStream is fail where a ping has sent the head.
func (c *chat) failInStream(err *call.Error) {
	if err.Class == call.ClassClientGone && err.Status == 0 {
		c.call.Status = err.Class.Status()
		return
	}
	c.call.Status = http.StatusOK
	c.writeErrorEvent(err)
}
