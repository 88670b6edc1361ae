package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// guard wraps the connections of a listener without TLS.
type guard struct {
	net.Listener
	patience time.Duration
}

func (l guard) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newGuarded(c, l.patience), nil
}

// handshakePatience bounds a TLS handshake.
const handshakePatience = 10 * time.Second

// secureGuard does the handshakes of a listener: only then is known which
// connections speak HTTP/2, which frames its requests in one way, and which
// must be guarded.
type secureGuard struct {
	net.Listener
	config *tls.Config
	log    *slog.Logger
	// patience is that of guarded.
	patience time.Duration
	ready    chan net.Conn
	failed   chan error
	ctx      context.Context
	cancel   context.CancelFunc
	begin    sync.Once
	greets   sync.WaitGroup
}

func newSecureGuard(l net.Listener, config *tls.Config, patience time.Duration, log *slog.Logger) *secureGuard {
	s := &secureGuard{Listener: l, config: config, log: log, patience: patience, ready: make(chan net.Conn), failed: make(chan error, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *secureGuard) Close() error {
	s.cancel()
	return s.Listener.Close()
}

func (s *secureGuard) Accept() (net.Conn, error) {
	s.begin.Do(func() { go s.run() })
	select {
	case c := <-s.ready:
		return c, nil
	case err := <-s.failed:
		s.failed <- err
		return nil, err
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (s *secureGuard) run() {
	for wait := time.Duration(0); ; {
		c, err := s.Listener.Accept()
		if err == nil {
			wait = 0
			s.greets.Go(func() { s.greet(c) })
			continue
		}
		// What net/http asks, too: descriptors may have run out.
		if t, ok := err.(interface{ Temporary() bool }); ok && t.Temporary() && s.ctx.Err() == nil {
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			time.Sleep(wait)
			continue
		}
		// Who is in the middle of a handshake is still served: the listener may
		// have been given up for another process.
		s.greets.Wait()
		s.failed <- err
		return
	}
}

// greet does one handshake and hands the connection on.
func (s *secureGuard) greet(plain net.Conn) {
	c := tls.Server(plain, s.config)
	ctx, cancel := context.WithTimeout(s.ctx, handshakePatience)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		var record tls.RecordHeaderError
		if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
			_ = plain.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(plain, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		}
		plain.Close()
		s.log.Debug("TLS handshake with " + plain.RemoteAddr().String() + ": " + err.Error())
		return
	}
	var ready net.Conn = c
	if c.ConnectionState().NegotiatedProtocol != "h2" {
		ready = &guardedTLS{newGuarded(c, s.patience), c}
	}
	select {
	case s.ready <- ready:
	case <-s.ctx.Done():
		c.Close()
	}
}

func looksLikeHTTP(b [5]byte) bool {
	switch string(b[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// guardedTLS tells net/http about its TLS.
type guardedTLS struct {
	*guarded
	secure *tls.Conn
}

// ConnectionState is asked for by net/http.
func (c *guardedTLS) ConnectionState() tls.ConnectionState { return c.secure.ConnectionState() }
