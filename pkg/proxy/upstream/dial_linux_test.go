package upstream

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestConnectionsAreKeptAnEyeOn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tt := range []struct {
		name string
		o    Options
		want []int // seconds, seconds, times; 0 is the system's
	}{
		{"by default", Options{}, []int{30, 30, 0}},
		{"as variables say", Options{KeepIdle: 7 * time.Second, KeepInterval: 8 * time.Second, KeepCount: 4}, []int{7, 8, 4}},
	} {
		conn, err := tt.o.dialer().DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var on int
		var got []int
		_ = raw.Control(func(fd uintptr) {
			on, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			for _, option := range []int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT} {
				n, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option)
				got = append(got, n)
			}
		})
		conn.Close()
		if tt.want[2] == 0 {
			tt.want[2] = got[2]
		}
		if on != 1 || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %d %v, want %v", tt.name, on, got, tt.want)
		}
	}
}

func TestUpstreamsAreReachedOverIPv4Alone(t *testing.T) {
	for _, tt := range []struct {
		on   bool
		want string
	}{{false, "tcp"}, {true, "tcp4"}} {
		var network string
		c := New(Options{IPv4: tt.on, Dial: func(_ context.Context, n, _ string) (net.Conn, error) {
			network = n
			return nil, net.ErrClosed
		}})
		if _, err := c.o.Dial(t.Context(), "tcp", "somewhere:1"); err != net.ErrClosed || network != tt.want {
			t.Errorf("%q %v, want %q", network, err, tt.want)
		}
		c.Close()
	}
	c := New(Options{IPv4: true})
	defer c.Close()
	if _, err := c.o.Dial(t.Context(), "tcp", "[::1]:1"); err == nil {
		t.Error("an address of the next version is called")
	}
}
