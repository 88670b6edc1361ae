//go:build unix

package upstream

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// canAsk says that sockets can be read without waiting.
const canAsk = true

// tryRead reads what the socket has, and reports whether that is the end of the
// waiting. It gives an empty buffer back before the wait, and takes one
// when there may be something to put into it.
func (s *source) tryRead(fd uintptr) bool {
	if s.buf == nil {
		s.buf = readBuffers.Get().(*[readBuffer]byte)
	}
	var err error
	for {
		s.got, err = unix.Read(int(fd), s.buf[s.w:])
		if err != unix.EINTR {
			break
		}
	}
	switch {
	case err == unix.EAGAIN:
		s.got = 0
		s.release()
		return false
	case err != nil:
		// In the same words as a connection's own Read.
		s.got = 0
		s.askError = &net.OpError{Op: "read", Net: "tcp", Source: s.conn.LocalAddr(), Addr: s.conn.RemoteAddr(), Err: os.NewSyscallError("read", err)}
	case s.got == 0:
		s.askError = io.EOF
	}
	return true
}
