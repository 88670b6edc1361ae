package telemetry

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// sidePatience is how long what is being served may take to end.
const sidePatience = 2 * time.Second

// Side is a small listener beside the gateway's: for metrics, or for profiles.
type Side struct {
	listener net.Listener
	server   *http.Server
	wait     sync.WaitGroup
	open     atomic.Int64 // connections
}

// ListenSide serves h on an address of its own until Close. what names it in
// errors. open opens the socket, or takes one that was handed on; nil opens.
func ListenSide(what string, open func(address string) (net.Listener, error), host string, port int, h http.Handler) (*Side, error) {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	if open == nil {
		open = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	l, err := open(address)
	if err != nil {
		return nil, fmt.Errorf("%s cannot listen on %s: %w; choose another port", what, address, err)
	}
	s := &Side{listener: l, server: &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}}
	s.server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.open.Add(-1)
		}
	}
	s.wait.Go(func() { _ = s.server.Serve(l) })
	return s, nil
}

// Addr is the address in use.
func (s *Side) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// Close ends the listener and what it serves.
func (s *Side) Close() {
	// The listener first: a connection that it has just given out is not yet
	// known to the server. Shutdown would not answer it either: net/http drops a
	// request that it has read when one has begun.
	_ = s.listener.Close()
	s.wait.Wait()
	s.server.SetKeepAlivesEnabled(false)
	for end := time.Now().Add(sidePatience); s.open.Load() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	_ = s.server.Close()
}

// OnlyMetrics serves h on /metrics and nothing else.
func OnlyMetrics(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" && r.URL.Path != "/metrics/" {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Profiles serves the runtime's profiles. They show what the process does and
// holds, so they are for the machine itself only: whoever asks through another
// name than that of the loopback is refused, which keeps web pages out.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "profiles are served to this machine only", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
