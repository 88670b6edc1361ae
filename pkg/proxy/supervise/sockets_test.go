package supervise

import (
	"net"
	"os"
	"slices"
	"testing"
)

func TestNamesOfTheServiceManagersSockets(t *testing.T) {
	for _, tt := range []struct {
		text string
		n    int
		want []string
	}{
		{"", 1, []string{Gateway}},
		{"gateway:health:metrics:profile", 4, []string{Gateway, Health, Metrics, Profile}},
		{"llmgw.socket", 2, []string{Gateway, Gateway}},
		{"health:x:y", 1, []string{Health}},
	} {
		if got := systemdNames(tt.text, tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("%q of %d: %v, want %v", tt.text, tt.n, got, tt.want)
		}
	}
}

// given are sockets as another process hands them on.
func given(t *testing.T, fixed bool) (*Sockets, *net.TCPAddr) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Skipf("this system hands no socket on (%v): run the test on a Unix", err)
	}
	l.Close()
	s := &Sockets{fixed: fixed}
	if err := s.take([]string{Gateway}, []*os.File{f}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, l.Addr().(*net.TCPAddr)
}

func TestAGivenSocketIsUsedWhereItIsWhatIsWanted(t *testing.T) {
	s, addr := given(t, false)
	l, err := s.Listen(Gateway, addr.String())
	if err != nil || l.Addr().String() != addr.String() {
		t.Fatalf("%v, %v", l, err)
	}
	// It can be had once.
	if _, err := s.Listen(Gateway, addr.String()); err == nil {
		t.Error("the same address twice")
	}

	s, addr = given(t, false)
	l, err = s.Listen(Gateway, "127.0.0.1:0")
	if err != nil || l.Addr().String() != addr.String() {
		t.Errorf("any port: %v, %v", l, err)
	}

	// Another port is wanted now: the old socket is given up.
	s, addr = given(t, false)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	l, err = s.Listen(Gateway, free.Addr().String())
	if err != nil || l.Addr().String() != free.Addr().String() {
		t.Errorf("another port: %v, %v", l, err)
	}
	if c, err := net.Dial("tcp", addr.String()); err == nil {
		c.Close()
		t.Error("the socket that nobody uses still takes connections")
	}

	// The service manager decides.
	s, addr = given(t, true)
	l, err = s.Listen(Gateway, "127.0.0.1:1")
	if err != nil || l.Addr().String() != addr.String() {
		t.Errorf("the manager's socket: %v, %v", l, err)
	}

	s, addr = given(t, false)
	s.CloseGiven()
	if c, err := net.Dial("tcp", addr.String()); err == nil {
		c.Close()
		t.Error("a socket that is not used is kept")
	}
}
