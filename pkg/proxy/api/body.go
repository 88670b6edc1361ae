package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

const (
	// keepBuffer is the largest buffer that is kept for the next request: one
	// prompt of 10 MB must not pin its memory for good.
	keepBuffer = 256 << 10
	// firstBuffer is what is allocated on a client's word about its length.
	firstBuffer = 1 << 20
	// bodyPatience is how long a body may take unless Options say otherwise, and
	// bodyRate the bytes per second that extend it.
	bodyPatience = 60 * time.Second
	bodyRate     = 64 << 10
)

// readBody reads the request's body into buf and returns it. Nothing is read
// of a body that announces too much.
func (a *API) readBody(w http.ResponseWriter, r *http.Request, buf []byte, limit int64) ([]byte, *call.Error) {
	size := r.ContentLength
	if size > limit {
		return buf, tooLarge(w, size, limit)
	}
	if size > int64(cap(buf)) {
		buf = make([]byte, 0, min(size, firstBuffer))
	}
	rc := http.NewResponseController(w)
	begin := time.Now()
	if r.ProtoMajor == 2 {
		defer endReading(rc, r)()
	}
	_ = readUntil(rc, r, begin.Add(a.o.BodyPatience)) // not every test's writer has deadlines
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) && int64(len(buf)) != size {
			buf = append(buf, 0)[:len(buf)]
			_ = readUntil(rc, r, begin.Add(a.o.BodyPatience+time.Duration(len(buf)/bodyRate)*time.Second))
		}
		n, err := readSome(r.Body, buf)
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return buf, tooLarge(w, int64(len(buf)), limit)
		}
		if err == io.EOF {
			_ = rc.SetReadDeadline(time.Time{})
			return buf, nil
		}
		if err != nil {
			w.Header()["Connection"] = closeValue
			return buf, bodyError(r.Context(), err, a.o.BodyPatience)
		}
	}
}

// endReading ends the reading of a body with its request. On HTTP/1.1 the server
// does that, with the connection's; one of HTTP/2 carries other requests, too.
func endReading(rc *http.ResponseController, r *http.Request) (stop func() bool) {
	return context.AfterFunc(r.Context(), func() { _ = rc.SetReadDeadline(time.Unix(1, 0)) })
}

// readUntil bounds the reading of a body. Of a request that has ended nothing more
// is read.
func readUntil(rc *http.ResponseController, r *http.Request, t time.Time) error {
	err := rc.SetReadDeadline(t)
	if r.Context().Err() != nil {
		err = rc.SetReadDeadline(time.Unix(1, 0))
	}
	return err
}

// readSome reads into the free part of buf. A full buffer still has to see the
// end of the body.
func readSome(r io.Reader, buf []byte) (int, error) {
	if free := buf[len(buf):cap(buf)]; len(free) > 0 {
		return r.Read(free)
	}
	var one [1]byte
	n, err := r.Read(one[:])
	if n > 0 {
		return 0, errors.New("the body is longer than its Content-Length")
	}
	return 0, err
}

func bodyError(ctx context.Context, err error, patience time.Duration) *call.Error {
	if context.Cause(ctx) == call.ErrCut {
		return gone(ctx, err)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return call.NewError(http.StatusRequestTimeout, "timeout_error", "", fmt.Sprintf(
			"Request body took longer than %s to arrive", patience))
	}
	e := call.NewError(http.StatusBadRequest, "invalid_request_error", "", "Invalid request format: the request body ended before its announced length")
	e.Class = call.ClassClientGone
	e.Status = http.StatusBadRequest
	e.Err = err
	return e
}

func tooLarge(w http.ResponseWriter, size, limit int64) *call.Error {
	w.Header()["Connection"] = closeValue
	return sizeError(size, limit)
}

func sizeError(size, limit int64) *call.Error {
	return call.NewError(http.StatusBadRequest, "bad_request_error", "", fmt.Sprintf(
		"Request size is too large. Request size is %s MB. Max size is %s MB", megabytes(size), megabytes(limit)))
}

func megabytes(n int64) string {
	s := strconv.FormatFloat(float64(n)/(1<<20), 'f', -1, 64)
	for _, c := range s {
		if c == '.' {
			return s
		}
	}
	return s + ".0"
}

// readAnswer reads a complete answer into buf.
func readAnswer(body io.Reader, length int64, buf []byte, limit int64) ([]byte, error) {
	if length > limit {
		return buf[:0], errAnswerTooLarge
	}
	if length > int64(cap(buf)) {
		buf = make([]byte, 0, min(length, 4*firstBuffer))
	}
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) && int64(len(buf)) != length {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := readSome(body, buf)
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return buf, errAnswerTooLarge
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

var errAnswerTooLarge = errors.New("the upstream's answer is larger than the limit for answers that are not streamed")

// keep returns buf for reuse, unless it has grown too large.
func keep(buf []byte) []byte {
	if cap(buf) > keepBuffer {
		return nil
	}
	return buf[:0]
}
