package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// heldBody is the largest body that is read whole before it is passed on: it can
// be sent again when a connection turns out to be dead, and leaves in one write.
// Longer ones pass through as they come.
const heldBody = 64 << 10

// upload is a client's body that is passed on while it comes. It ends with the
// request: whoever reads it is made to stop, and waited for.
type upload struct {
	api     *API
	request *http.Request
	body    io.Reader
	control *http.ResponseController
	limit   int64 // 0: none
	n       int64
	begin   time.Time
	heard   func() // told of progress
	failure atomic.Pointer[call.Error]
	whole   atomic.Bool // read to its end
	ended   atomic.Bool // nobody wants more of it
	once    sync.Once
	closed  chan struct{}
	stop    func() bool // takes back what endReading arranged; may be nil
}

// receive reads a small body whole into buf, and begins an upload of any other.
// limit is 0 where nothing bounds what is not held.
func (a *API) receive(w http.ResponseWriter, r *http.Request, buf []byte, limit int64) ([]byte, *upload, *call.Error) {
	size := r.ContentLength
	switch {
	case limit > 0 && size > limit:
		return buf, nil, tooLarge(w, size, limit)
	case size >= 0 && size <= heldBody:
		buf, failure := a.readBody(w, r, buf, heldBody)
		return buf, nil, failure
	}
	u := &upload{api: a, request: r, body: r.Body, limit: limit, control: http.NewResponseController(w), begin: time.Now(), heard: func() {}, closed: make(chan struct{})}
	if r.ProtoMajor == 2 {
		u.stop = endReading(u.control, r)
	}
	if size < 0 {
		// Few bodies without a length are long; the others get one.
		if cap(buf) < heldBody {
			buf = make([]byte, 0, heldBody)
		}
		n, err := io.ReadFull(u, buf[:heldBody])
		switch buf = buf[:n]; {
		case err == nil:
			u.body = io.MultiReader(bytes.NewReader(buf), r.Body)
			u.n = 0
		case u.whole.Load():
			u.unwatch()
			return buf, nil, nil
		default:
			u.unwatch()
			w.Header()["Connection"] = closeValue
			return buf, nil, u.failure.Load()
		}
	}
	// The answer may come before the body is over.
	_ = u.control.EnableFullDuplex() // HTTP/2 does it anyway
	return buf, u, nil
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	if u.ended.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	_ = readUntil(u.control, u.request, u.begin.Add(u.api.o.BodyPatience+time.Duration(u.n/bodyRate)*time.Second)) // not every test's writer has deadlines
	n, err := u.body.Read(p)
	u.n += int64(n)
	u.heard()
	switch {
	case u.limit > 0 && u.n > u.limit:
		return 0, u.fail(sizeError(u.n, u.limit))
	case errors.Is(err, io.EOF):
		u.whole.Store(true)
		_ = u.control.SetReadDeadline(time.Time{})
	case err != nil:
		return n, u.fail(bodyError(u.request.Context(), err, u.api.o.BodyPatience))
	}
	return n, err
}

func (u *upload) fail(e *call.Error) error {
	if !u.ended.Load() {
		u.failure.CompareAndSwap(nil, e)
	}
	return e
}

// failed is why the client's side broke off, nil where it has not.
func (u *upload) failed(ctx context.Context) *call.Error {
	if ctx.Err() != nil {
		// A read that fails ends the request's context first, and then says why.
		<-u.closed
	}
	return u.failure.Load()
}

// Close implements io.Closer: nobody reads any more.
func (u *upload) Close() error {
	u.once.Do(func() { close(u.closed) })
	return nil
}

func (u *upload) unwatch() {
	if u.stop != nil {
		u.stop()
	}
}

// answered is called before the answer begins. What is not read by then may never
// be, and must not be taken for the next request.
func (u *upload) answered(h http.Header) {
	if !u.whole.Load() {
		h["Connection"] = closeValue
	}
}

// end makes whoever reads stop, and waits for that: the request is nobody's after
// its handler.
func (u *upload) end() {
	u.unwatch()
	u.ended.Store(true)
	if !u.whole.Load() {
		_ = u.control.SetReadDeadline(time.Unix(1, 0))
		defer func() { _ = u.control.SetReadDeadline(time.Now().Add(lingering)) }()
	}
	<-u.closed
}

// lingering is how long the server may read on behind an answer that came early,
// so that a client that is still writing finds it.
const lingering = 500 * time.Millisecond
