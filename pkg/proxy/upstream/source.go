package upstream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// errLongLine is a line that does not fit into the buffer. What there is of it
// has been returned with the error.
var errLongLine = errors.New("a line longer than the buffer")

// source reads a connection through a buffer that it has only while something
// is in it. A stream that waits for its next event, and a connection that waits
// for its next request, hold none: with a thousand of them this is a fifth of
// the gateway's memory. That needs a socket that can be asked before a buffer is
// at hand; others, TLS among them, are read as usual.
type source struct {
	conn net.Conn
	raw  syscall.RawConn // nil where conn must be read as usual
	ask  func(fd uintptr) bool

	buf  *[readBuffer]byte // buf[r:w] is there to be read; nil when nothing is
	r, w int
	err  error // of the connection; it stays

	got      int // by the last ask
	askError error
}

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// open begins to read a connection, with nothing buffered. raw may be nil.
func (s *source) open(c net.Conn, raw syscall.RawConn) {
	s.release()
	*s = source{conn: c}
	if raw != nil && canAsk {
		s.raw, s.ask = raw, s.tryRead
	}
}

func (s *source) empty() bool { return s.r == s.w }

// bytes are what is buffered. They are valid until the next call that may read.
func (s *source) bytes() []byte {
	if s.buf == nil {
		return nil
	}
	return s.buf[s.r:s.w]
}

// skip drops the first n bytes of what is buffered. The buffer stays, since
// what it holds may still be in use.
func (s *source) skip(n int) { s.r += n }

// release gives an empty buffer back.
func (s *source) release() {
	if s.buf != nil && s.r == s.w {
		readBuffers.Put(s.buf)
		s.buf, s.r, s.w = nil, 0, 0
	}
}

// fill waits until at least one more byte is buffered. There must be room for
// it.
func (s *source) fill() error {
	if s.err != nil {
		return s.err
	}
	if s.r > 0 {
		s.w = copy(s.buf[:], s.buf[s.r:s.w])
		s.r = 0
	}
	n := 0
	if s.raw != nil {
		s.got, s.askError = 0, nil
		if s.err = s.raw.Read(s.ask); s.err == nil {
			n, s.err = s.got, s.askError
		}
	} else {
		if s.buf == nil {
			s.buf = readBuffers.Get().(*[readBuffer]byte)
		}
		// As bufio does it: some readers return nothing and no error.
		for range 100 {
			if n, s.err = s.conn.Read(s.buf[s.w:]); n > 0 || s.err != nil {
				break
			}
		}
		if n == 0 && s.err == nil {
			s.err = io.ErrNoProgress
		}
	}
	s.w += n
	if n > 0 {
		return nil // an error comes with the next
	}
	s.release()
	return s.err
}

// need waits until n bytes are buffered, which must fit.
func (s *source) need(n int) error {
	for s.w-s.r < n {
		if err := s.fill(); err != nil {
			return err
		}
	}
	return nil
}

// line returns the next line with its line feed, valid until the next call that
// may read.
func (s *source) line() ([]byte, error) {
	seen := 0
	for {
		b := s.bytes()
		if i := bytes.IndexByte(b[seen:], '\n'); i >= 0 {
			line := b[:seen+i+1]
			s.skip(len(line))
			return line, nil
		}
		if len(b) == readBuffer {
			s.skip(len(b))
			return b, errLongLine
		}
		seen = len(b)
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// hasLine reports whether line would not wait.
func (s *source) hasLine() bool { return bytes.IndexByte(s.bytes(), '\n') >= 0 }

// Read implements io.Reader. What does not fit into the buffer anyway is read
// past it.
func (s *source) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.empty() {
		if len(p) >= readBuffer {
			if s.err != nil {
				return 0, s.err
			}
			s.release()
			n, s.err = s.conn.Read(p)
			return n, s.err
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n = copy(p, s.bytes())
	s.skip(n)
	return n, nil
}
