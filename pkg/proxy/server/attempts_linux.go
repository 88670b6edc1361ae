package server

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

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
