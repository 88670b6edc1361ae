package server

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endListening ends a listening socket at a moment at which nothing waits to be
// accepted, as far as that goes: between the look and the end lie microseconds.
// To close it takes longer, until whoever waits in accept has let go of it.
func endListening(l net.Listener) {
	c, ok := l.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for range 1000 {
			if n, err := unix.Poll(p, 0); n == 0 && err == nil {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		_ = unix.Shutdown(int(fd), unix.SHUT_RDWR)
	})
}

// ignoreAttempts makes a listening socket ignore new connections: a filter drops
// the packets with which they begin (SYN without ACK), and lets everything else
// pass, so that connections that are half made still come to be. It must not be
// used on a socket that another process accepts from.
func ignoreAttempts(l net.Listener) bool {
	c, ok := l.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	const synAndACK, syn = 0x12, 0x02
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13}, // the flags of the TCP header
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: synAndACK},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 18},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_ = raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter)
	})
	return err == nil
}
