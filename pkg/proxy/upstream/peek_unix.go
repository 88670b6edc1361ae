//go:build unix

package upstream

import "golang.org/x/sys/unix"

// nothingToRead reports whether a socket is open and silent.
func nothingToRead(fd uintptr) bool {
	var one [1]byte
	_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err == unix.EAGAIN || err == unix.EWOULDBLOCK || err == unix.EINTR
}
