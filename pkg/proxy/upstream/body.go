package upstream

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// body is the body of one answer. It gives its connection back at its end.
type body struct {
	conn    *conn // nil when over
	ctx     context.Context
	stop    func() bool
	lease   call.Lease
	reuse   bool
	left    int64 // of a body with a length; -1 until the connection closes
	chunks  chunked
	framed  bool // in chunks
	lastErr error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (n int, err error) {
	if b.conn == nil {
		if b.lastErr == nil {
			b.lastErr = http.ErrBodyReadAfterClose
		}
		return 0, b.lastErr
	}
	switch {
	case b.framed:
		n, err = b.chunks.read(&b.conn.in, p)
	case b.left < 0:
		n, err = b.conn.in.Read(p)
	case b.left == 0:
		err = io.EOF
	default:
		n, err = b.conn.in.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		switch {
		case err == io.EOF && b.left > 0:
			err = io.ErrUnexpectedEOF
		case b.left == 0 && err == nil:
			err = io.EOF
		}
	}
	if err != nil {
		if err != io.EOF && b.ctx != nil && b.ctx.Err() != nil {
			err = b.ctx.Err()
		}
		b.lastErr = err
		b.end(err == io.EOF)
	}
	return n, err
}

// Wait implements call.Waiter.
func (b *body) Wait() {
	if c := b.conn; c != nil && (b.framed || b.left != 0) && c.in.empty() {
		_ = c.in.fill() // Read returns the error
	}
}

// Close implements io.Closer. Before the end it gives the connection up.
func (b *body) Close() error {
	b.end(false)
	return nil
}

// end keeps the connection when its answer was read to the end, else closes it.
func (b *body) end(complete bool) {
	c := b.conn
	if c == nil {
		return
	}
	b.conn = nil
	// A cancellation that is on its way would hit the next request.
	undisturbed := b.stop == nil || b.stop()
	if complete && b.reuse && undisturbed && c.in.empty() {
		c.in.release()
		if w, ok := b.lease.(*writing); ok && !w.Done() {
			_ = c.SetWriteDeadline(time.Now().Add(lateWrite))
			if w.state.CompareAndSwap(stillWriting, answerRead) {
				return
			}
		}
		c.host.put(c)
		return
	}
	c.Close()
}
