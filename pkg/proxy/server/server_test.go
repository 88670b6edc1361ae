package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serving(t *testing.T, o Options) *Server {
	t.Helper()
	o.Host = "127.0.0.1"
	if o.Handler == nil {
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// Balancers keep connections for 60 seconds: a server must outlast them, or
// they send a request into a connection that is being closed.
func TestKeepAlive(t *testing.T) {
	if s := serving(t, Options{}); s.http.IdleTimeout != 75*time.Second {
		t.Errorf("idle client connections live %s", s.http.IdleTimeout)
	}
	s := serving(t, Options{KeepAlive: 100 * time.Millisecond})
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for range 2 { // kept between requests
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection ends with %v", err)
	}
}

func TestHalfATLSPairIsRefused(t *testing.T) {
	for _, o := range []Options{{CertFile: "x"}, {KeyFile: "x"}} {
		if _, err := Listen(o); err == nil || !strings.Contains(err.Error(), "Both --ssl_certfile_path and --ssl_keyfile_path") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "x.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(Options{CertFile: file, KeyFile: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file that is no certificate: %v", err)
	}
}

func TestAddressesThatCannotBeHadAreExplained(t *testing.T) {
	taken := serving(t, Options{})
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Host: "127.0.0.1", Port: taken.Addr().Port}, "already in use"},
		{Options{Host: "192.0.2.1"}, "not an address of this machine"},
		{Options{Host: "127.0.0.1", HealthPort: taken.Addr().Port}, "health port"},
	} {
		if s, err := Listen(tt.o); err == nil {
			s.Close()
			t.Errorf("%+v: taken", tt.o)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.o, err)
		}
	}
}

// A head that does not come, or does not end, costs its sender the connection.
func TestSlowAndHugeHeadsAreCut(t *testing.T) {
	s := serving(t, Options{})
	if s.http.ReadHeaderTimeout <= 0 || s.http.ReadHeaderTimeout > time.Minute {
		t.Errorf("a head may take %s", s.http.ReadHeaderTimeout)
	}
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n")
	long := "X-A: " + strings.Repeat("a", 1<<10) + "\r\n"
	var werr error
	for range 1024 {
		if _, werr = io.WriteString(c, long); werr != nil {
			break
		}
	}
	answer, _ := io.ReadAll(c)
	if werr == nil && !strings.Contains(string(answer), " 431 ") {
		t.Errorf("1 MB of headers is answered with %q", answer)
	}
}

func TestADrainWaitsForWhatIsInFlightAndSaysWhatItCut(t *testing.T) {
	n := int64(1)
	s := serving(t, Options{InFlight: func() int64 { return n }})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if cut := s.Drain(ctx, false); cut != 1 {
		t.Errorf("%d cut", cut)
	}
	s = serving(t, Options{InFlight: func() int64 { return 0 }})
	if cut := s.Drain(t.Context(), false); cut != 0 {
		t.Errorf("%d cut", cut)
	}
}
