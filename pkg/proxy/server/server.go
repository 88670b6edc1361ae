// Package server owns the listeners of the gateway: binding, TLS and its
// reload, time limits of connections, and the drain at the end. What is served
// is not its business.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// Options configure a Server.
type Options struct {
	// Host and Port are where to listen; port 0 takes a free one.
	Host string
	Port int
	// Handler serves requests.
	Handler http.Handler
	// HealthPort opens a second listener, for Health alone, unless it is 0.
	HealthPort int
	Health     http.Handler
	// CertFile and KeyFile turn TLS on.
	CertFile, KeyFile string
	// KeepAlive is how long an idle client connection is kept; 0 means 75 s,
	// above the 60 s of common load balancers.
	KeepAlive time.Duration
	// HeaderTimeout bounds the reading of a request's head; 0 means 30 s.
	HeaderTimeout time.Duration
	// WriteTimeout is how long a client may take nothing of an answer; 0 means
	// 60 s.
	WriteTimeout time.Duration
	// InFlight counts the requests that a drain waits for.
	InFlight func() int64
	// Log is for what operators must know; nil discards.
	Log *slog.Logger
	// Bind opens a listening socket, or takes one that was handed on; nil opens.
	Bind func(name, address string) (net.Listener, error)
	// OnRequest is told of every request; nil is not.
	OnRequest func()
	// Cut is the cause with which requests end that a drain cuts.
	Cut error
	// OnCut is told when that happens; nil is not.
	OnCut func()
	// Wrap is put around the listener, for tests that count system calls.
	Wrap func(net.Listener) net.Listener
}

const (
	defaultHeaderTimeout = 30 * time.Second
	defaultWriteTimeout  = 60 * time.Second
	// maxHeader bounds the size of a request's head.
	maxHeader = 128 << 10
	// DefaultKeepAlive is used when none is configured.
	DefaultKeepAlive = 75 * time.Second
)

// Server is a bound gateway.
type Server struct {
	o        Options
	http     *http.Server
	health   *http.Server
	listener net.Listener
	probes   net.Listener
	cert     atomic.Pointer[tls.Certificate]

	// draining is set from the beginning of a drain: every answer then ends its
	// connection. stopped is set when nothing new is accepted.
	draining, stopped atomic.Bool
	open              atomic.Int64 // connections
	// base is above the contexts of all requests, cut ends it.
	base context.Context
	cut  context.CancelCauseFunc
	// clients are the connections whose reading a cut ends.
	clients connections
	// moved is when something last happened on a connection, while draining.
	moved atomic.Int64
}

// The names by which sockets are asked for.
const (
	gatewaySocket = "gateway"
	healthSocket  = "health"
)

// Listen binds. Nothing is served before Serve; errors are sentences for the
// person who started the gateway.
func Listen(o Options) (*Server, error) {
	if o.KeepAlive <= 0 {
		o.KeepAlive = DefaultKeepAlive
	}
	if o.HeaderTimeout <= 0 {
		o.HeaderTimeout = defaultHeaderTimeout
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = defaultWriteTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o}
	s.base, s.cut = context.WithCancelCause(context.Background())
	if (o.CertFile == "") != (o.KeyFile == "") {
		//lint:ignore ST1005 the sentence operators know
		return nil, errors.New("Both --ssl_certfile_path and --ssl_keyfile_path are required for SSL.")
	}
	if o.CertFile != "" {
		if err := s.Reload(); err != nil {
			return nil, err
		}
	}
	var err error
	if s.listener, err = Bind(o.Bind, gatewaySocket, o.Host, o.Port); err != nil {
		return nil, err
	}
	if o.HealthPort != 0 {
		if s.probes, err = Bind(o.Bind, healthSocket, o.Host, o.HealthPort); err != nil {
			s.listener.Close()
			return nil, fmt.Errorf("health port: %w", err)
		}
		s.health = s.newHTTP(o.Health)
	}
	s.http = s.newHTTP(s.wrap(o.Handler))
	s.http.ConnState = s.connState
	s.http.BaseContext = func(net.Listener) context.Context { return s.base }
	return s, nil
}

func (s *Server) newHTTP(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.o.HeaderTimeout,
		IdleTimeout:       s.o.KeepAlive,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
}

// Bind listens, and explains why it cannot. It never takes another port. open
// is Options.Bind, name what it calls the socket.
func Bind(open func(name, address string) (net.Listener, error), name, host string, port int) (net.Listener, error) {
	address := net.JoinHostPort(host, strconv.Itoa(port))
	if open == nil {
		open = func(_, address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	l, err := open(name, address)
	var dns *net.DNSError
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d on %s is already in use; stop what listens there or choose another with --port", port, host)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("not allowed to listen on %s; ports below 1024 need privileges, choose another with --port", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.As(err, &dns):
		return nil, fmt.Errorf("%q is not an address of this machine; use 0.0.0.0 for all of them, or 127.0.0.1", host)
	}
	return nil, fmt.Errorf("listen on %s: %w", address, err)
}

// Addr is the address in use.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// HealthAddr is the address of the probes' own listener, nil without one.
func (s *Server) HealthAddr() *net.TCPAddr {
	if s.probes == nil {
		return nil
	}
	return s.probes.Addr().(*net.TCPAddr)
}

// Reload reads the certificate anew. The old one stays in use when the new one
// cannot be read.
func (s *Server) Reload() error {
	if s.o.CertFile == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(s.o.CertFile, s.o.KeyFile)
	if err != nil {
		return fmt.Errorf("read the TLS certificate %s with the key %s: %w", s.o.CertFile, s.o.KeyFile, err)
	}
	s.cert.Store(&cert)
	return nil
}

// Serve serves until Drain or Close; it returns the reason for any other end.
func (s *Server) Serve() error {
	results := make(chan error, 2)
	n := 1
	go func() { results <- s.serveMain() }()
	if s.health != nil {
		n++
		go func() { results <- s.health.Serve(s.probes) }()
	}
	var first error
	for range n {
		err := <-results
		if err == nil || errors.Is(err, http.ErrServerClosed) || s.stopped.Load() {
			continue
		}
		if first == nil {
			first = err
			s.Close()
		}
	}
	return first
}

func (s *Server) serveMain() error {
	l := s.listener
	if s.o.Wrap != nil {
		l = s.o.Wrap(l)
	}
	if s.o.CertFile == "" {
		return s.http.Serve(guard{l, s.o.WriteTimeout})
	}
	s.http.TLSConfig = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.cert.Load(), nil },
	}
	return s.http.Serve(newSecureGuard(l, s.http.TLSConfig, s.o.WriteTimeout, s.o.Log))
}

// Close cuts everything at once.
func (s *Server) Close() {
	s.cut(s.o.Cut)
	_ = s.http.Close()
	_ = s.listener.Close()
	if s.health != nil {
		_ = s.health.Close()
		_ = s.probes.Close()
	}
}
