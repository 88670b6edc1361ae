package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// conn is one connection to an upstream. Whoever has taken it is alone with it.
type conn struct {
	net.Conn
	host    *host
	in      source
	raw     syscall.RawConn // nil where the socket cannot be looked at
	peek    func(fd uintptr) bool
	alive   bool
	since   time.Time // idle
	expires time.Time // not used after it
	used    bool      // has served a request before

	// busy says that it is in use and among those of its host, next and prev are
	// its neighbours there. The host's lock guards them.
	busy       bool
	next, prev *conn
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.host.mu.Lock()
	c.host.end(c)
	c.host.mu.Unlock()
	return c.Conn.Close()
}

func newConn(plain net.Conn, h *host) *conn {
	c := &conn{Conn: plain, host: h}
	if s, ok := plain.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	c.in.open(plain, c.raw)
	c.peek = func(fd uintptr) bool {
		c.alive = nothingToRead(fd)
		return true
	}
	return c
}

// quiet reports whether an idle connection can be used: the peer has neither
// closed it nor said anything. What it says between requests (a 408 before it
// closes) would be taken for the answer to the next one.
func (c *conn) quiet() bool {
	if !c.in.empty() {
		return false
	}
	if c.raw == nil {
		return true
	}
	_ = c.SetReadDeadline(time.Time{})
	return c.raw.Read(c.peek) == nil && c.alive
}

var heads = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// errBadAnswer is an answer that is not HTTP/1.1 as it is written.
var errBadAnswer = errors.New("malformed HTTP answer")

// Do implements call.Upstream. A request on a connection that had been kept is
// sent anew on a fresh one when nothing of an answer came: the peer had closed
// it at the same moment.
func (c *Client) Do(ctx context.Context, r *call.Request) (call.Response, call.Lease, error) {
	if err := sendable(r.Header); err != nil {
		closeUpload(r)
		return call.Response{}, written{}, err
	}
	h := c.host(r.URL, r.TLS)
	if h.proxied != nil {
		return h.proxied.Do(ctx, r)
	}
	if conn := h.take(); conn != nil {
		resp, lease, nothing, err := conn.exchange(ctx, r)
		if err == nil || !nothing || r.Upload != nil || ctx.Err() != nil || expired(r.Deadline) {
			return resp, lease, err
		}
		if !lease.Done() {
			return resp, lease, err // the body is still being written
		}
	}
	dialing, cancel := within(ctx, c.cutting, r.Deadline)
	defer cancel()
	conn, err := h.dial(dialing)
	if err != nil {
		closeUpload(r)
		return call.Response{}, written{}, err
	}
	resp, lease, _, err := conn.exchange(ctx, r)
	return resp, lease, err
}

// within is a context that also ends with another, and at a deadline where there
// is one.
func within(ctx, other context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	var end context.CancelFunc
	if deadline.IsZero() {
		ctx, end = context.WithCancel(ctx)
	} else {
		ctx, end = context.WithDeadline(ctx, deadline)
	}
	stop := context.AfterFunc(other, end)
	return ctx, func() { stop(); end() }
}

func expired(deadline time.Time) bool { return !deadline.IsZero() && time.Now().After(deadline) }

// written is the lease of a body that has been written.
type written struct{}

func (written) Done() bool { return true }

// writing is the lease of a body that is written on a goroutine of its own.
type writing struct{ state atomic.Int32 }

const (
	stillWriting int32 = iota
	answerRead         // before the writer came to its end; the writer has the connection
	wasWritten
)

// lateWrite is how long a body may take to be written after its answer was
// read whole: the writer has only to notice that it is done, unless the
// upstream answered without reading the request.
const lateWrite = 50 * time.Millisecond

func (w *writing) Done() bool { return w.state.Load() == wasWritten }

var past = time.Unix(1, 0)

// exchange sends a request and reads the head of its answer. nothing says that
// it failed before a byte of an answer came.
func (c *conn) exchange(ctx context.Context, r *call.Request) (resp call.Response, lease call.Lease, nothing bool, err error) {
	returned := false
	defer func() {
		if !returned {
			c.Close() // a bug: the request ends, and its connection with it
		}
	}()
	resp, lease, nothing, err = c.attempt(ctx, r)
	returned = true
	return resp, lease, nothing, err
}

func (c *conn) attempt(ctx context.Context, r *call.Request) (resp call.Response, lease call.Lease, nothing bool, err error) {
	if err := ctx.Err(); err != nil {
		c.Close()
		closeUpload(r)
		return resp, written{}, true, err
	}
	_ = c.SetDeadline(r.Deadline)
	if c.host.client.cut.Load() {
		_ = c.SetDeadline(past) // ours has replaced the one of the cut
	}
	b := &body{conn: c}
	if ctx.Done() != nil {
		b.ctx = ctx
		b.stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(past) })
	}
	lease, err = c.send(r)
	b.lease = lease
	if err == nil || !c.used {
		// An upstream that does not want to read everything may have said why.
		if err != nil {
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		}
		var headErr error
		resp, nothing, headErr = c.readHead(b, r.Method)
		if headErr == nil {
			if err != nil {
				b.reuse = false
			}
			return resp, lease, false, nil
		}
		if err == nil {
			err = headErr
		}
	} else {
		nothing = true
	}
	b.end(false)
	if cause := ctx.Err(); cause != nil {
		err = cause
	}
	return call.Response{}, lease, nothing, err
}

// send writes the request. What fits leaves in one write, before the answer is
// read; a large body is written while the answer may already come.
func (c *conn) send(r *call.Request) (call.Lease, error) {
	p := heads.Get().(*[]byte)
	b := appendHead((*p)[:0], r)
	if r.Upload == nil && len(b)+len(r.Body) <= oneWrite {
		b = append(b, r.Body...)
		_, err := c.Write(b)
		*p = b
		heads.Put(p)
		if err != nil {
			return written{}, fmt.Errorf("send the request: %w", err)
		}
		return written{}, nil
	}
	*p = b
	lease := &writing{}
	go func() {
		defer closeUpload(r)
		buffers := net.Buffers{b, r.Body}
		_, err := buffers.WriteTo(c.Conn)
		heads.Put(p)
		if err == nil && r.Upload != nil {
			err = c.upload(r)
		}
		readerLeft := !lease.state.CompareAndSwap(stillWriting, wasWritten)
		switch {
		case readerLeft:
			lease.state.Store(wasWritten)
			if err != nil {
				c.Close()
				return
			}
			c.host.put(c)
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			// The answer, if there is one, is read as far as it came.
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
		}
	}()
	return lease, nil
}

// sendable refuses headers that would end the head early, such as a key that
// was read from a file with the line break behind it.
func sendable(h http.Header) error {
	for name, values := range h {
		if !token(name) {
			return fmt.Errorf("the header name %q cannot be sent", name)
		}
		for _, v := range values {
			if !printable(v) {
				return fmt.Errorf("the value of the header %s cannot be sent: it holds a control character, a line break perhaps", name)
			}
		}
	}
	return nil
}

// appendHead appends the request line and headers.
func appendHead(b []byte, r *call.Request) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, requestURI(r)...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.URL.Host...)
	switch {
	case r.Upload != nil && r.Length < 0:
		b = append(b, "\r\nTransfer-Encoding: chunked"...)
	case r.Upload != nil:
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, r.Length, 10)
	case len(r.Body) > 0 || r.Method != http.MethodGet && r.Method != http.MethodHead:
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(r.Body)), 10)
	}
	for name, values := range r.Header {
		for _, v := range values {
			b = append(b, '\r', '\n')
			b = append(b, name...)
			b = append(b, ':', ' ')
			b = append(b, v...)
		}
	}
	return append(b, "\r\n\r\n"...)
}

// uris remembers the encoded form of URLs, which are few and shared.
var (
	uris     sync.Map // *url.URL -> string
	uriCount atomic.Int32
)

func requestURI(r *call.Request) string {
	if !r.Once {
		if s, ok := uris.Load(r.URL); ok {
			return s.(string)
		}
	}
	s := r.URL.RequestURI()
	if r.Once {
		return s
	}
	if uriCount.Load() < 4096 { // reloads make new ones
		uris.Store(r.URL, s)
		uriCount.Add(1)
	}
	return s
}
