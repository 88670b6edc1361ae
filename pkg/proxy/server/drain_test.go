package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A listener that ignores attempts still gives out the connections that were
// made before, and lets nobody connect: clients go on trying until it is closed,
// and then are refused, which they may answer by going elsewhere.
func TestAttemptsAreIgnoredAndConnectionsKept(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sockets take filters on Linux only, and the filter is what is tried: run the test on Linux")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	waiting, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	if !ignoreAttempts(l) {
		t.Skip("this kernel refuses a filter on a socket (a sandbox as gVisor, or seccomp): run the test on a Linux of its own")
	}
	if c, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond); err == nil {
		c.Close()
		t.Fatal("a connection was made")
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(waiting, "ping")
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "ping" {
		t.Errorf("%q, %v", b, err)
	}
}

// Under load no request may fail when a drain begins: kept connections get an
// answer that ends them, and connections that are being made are answered.
func TestADrainLosesNoRequest(t *testing.T) {
	for name, handedOver := range map[string]bool{"to its end": false, "to another process": true} {
		t.Run(name, func(t *testing.T) {
			var running atomic.Int64
			s := serving(t, Options{InFlight: running.Load, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				running.Add(1)
				defer running.Add(-1)
				time.Sleep(2 * time.Millisecond)
				io.WriteString(w, "ok")
			})})
			url := "http://" + s.Addr().String()
			failed := make(chan error, 100)
			var sent atomic.Int64
			ended := make(chan struct{})
			for i := range 6 {
				transport := &http.Transport{DisableKeepAlives: i%2 == 0}
				defer transport.CloseIdleConnections()
				go func() {
					defer func() { ended <- struct{}{} }()
					for {
						req, _ := http.NewRequest("POST", url, http.NoBody)
						resp, err := transport.RoundTrip(req)
						if err != nil {
							if !refused(err) {
								failed <- err
							}
							return
						}
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
						sent.Add(1)
					}
				}()
			}
			time.Sleep(100 * time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			if cut := s.Drain(ctx, handedOver); cut != 0 {
				t.Errorf("%d were cut", cut)
			}
			for range 6 {
				<-ended
			}
			close(failed)
			for err := range failed {
				// A socket that nobody took over resets what it has not accepted.
				if !handedOver {
					t.Error(err)
				}
			}
			if sent.Load() == 0 {
				t.Error("nothing was sent")
			}
		})
	}
}

// refused reports whether a client was told to go elsewhere before it sent
// anything.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
