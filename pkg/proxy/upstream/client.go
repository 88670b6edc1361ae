// Package upstream sends prepared requests to upstreams over HTTP/1.1 and hands
// back their answers. It knows nothing of models, keys or JSON, follows no
// redirects, keeps no cookies and decodes no compression: what it is given goes
// out, what comes back is returned.
//
// It has a client of its own, because net/http's costs a gateway two goroutines
// and eight kilobytes of buffers per connection and two hand-overs between
// goroutines per request: here the goroutine that serves a request writes it and
// reads the answer. Upstreams behind an outbound proxy use net/http.
package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Options tune a Client. The zero value is the default of each field.
type Options struct {
	// MaxIdlePerHost is how many idle connections are kept per upstream host;
	// 0 means 1024. Go's own default of 2 doubles the CPU per request.
	MaxIdlePerHost int
	// MaxIdle bounds idle connections over all hosts; 0 means no bound, so that
	// a busy provider does not evict the connections of a quiet one.
	MaxIdle int
	// IdleTimeout is how long an idle connection is kept; 0 means 45 s, below
	// the 60 s of common load balancers.
	IdleTimeout time.Duration
	// DialTimeout bounds connecting, TLS handshake apart; 0 means 10 s.
	DialTimeout time.Duration
	// InsecureSkipVerify turns certificate checks off (SSL_VERIFY=False).
	InsecureSkipVerify bool
	// Proxy chooses an outbound proxy; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial replaces the dialer, for tests that count system calls.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	// readBuffer is for heads and small answers; what is larger is read past it.
	readBuffer = 4 << 10
	// maxHead bounds the head of an answer.
	maxHead = 256 << 10
	// oneWrite is the largest request that is copied behind its head, so that
	// both leave in one write, and that is written before the answer is read.
	oneWrite = 64 << 10
)

func tlsConfig(o Options) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: o.InsecureSkipVerify, //nolint:gosec // SSL_VERIFY=False is the operator's word
		ClientSessionCache: tls.NewLRUClientSessionCache(256),
	}
}

// Client is an Upstream. It is safe for concurrent use.
type Client struct {
	o       Options
	tls     *tls.Config
	proxied *proxied

	hosts   atomic.Pointer[map[hostKey]*host] // copied when one is added
	adding  sync.Mutex
	idle    atomic.Int64
	closed  atomic.Bool
	sweeper *time.Timer
}

var _ call.Upstream = (*Client)(nil)

// New returns a client. Close it when no request is in flight any more.
func New(o Options) *Client {
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 45 * time.Second
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = 10 * time.Second
	}
	if o.MaxIdlePerHost <= 0 {
		o.MaxIdlePerHost = 1024
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: o.DialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	c := &Client{o: o, tls: tlsConfig(o)}
	if o.Proxy != nil {
		c.proxied = newProxied(o)
	}
	c.hosts.Store(&map[hostKey]*host{})
	c.sweeper = time.AfterFunc(time.Hour, c.sweep)
	c.sweeper.Stop()
	return c
}

// Close drops idle connections, and those in use when they become idle.
func (c *Client) Close() {
	c.closed.Store(true)
	c.sweeper.Stop()
	for _, h := range *c.hosts.Load() {
		h.drop(0)
	}
	if c.proxied != nil {
		c.proxied.Close()
	}
}

// hostKey names where connections lead.
type hostKey struct{ scheme, host string }

// host keeps the idle connections to one address, the youngest on top: under
// little load the others grow old and are closed.
type host struct {
	client  *Client
	address string // with a port
	name    string // for TLS; empty for plain text
	mu      sync.Mutex
	idle    []*conn
}

func (c *Client) host(u *url.URL) *host {
	key := hostKey{u.Scheme, u.Host}
	if h := (*c.hosts.Load())[key]; h != nil {
		return h
	}
	c.adding.Lock()
	defer c.adding.Unlock()
	old := *c.hosts.Load()
	if h := old[key]; h != nil {
		return h
	}
	h := &host{client: c}
	port := u.Port()
	if u.Scheme == "https" {
		h.name = u.Hostname()
		if port == "" {
			port = "443"
		}
	} else if port == "" {
		port = "80"
	}
	h.address = net.JoinHostPort(u.Hostname(), port)
	grown := make(map[hostKey]*host, len(old)+1)
	for k, v := range old {
		grown[k] = v
	}
	grown[key] = h
	c.hosts.Store(&grown)
	return h
}

// take returns an idle connection that is still good, or nil.
func (h *host) take() *conn {
	now := time.Now()
	for {
		h.mu.Lock()
		n := len(h.idle)
		if n == 0 {
			h.mu.Unlock()
			return nil
		}
		c := h.idle[n-1]
		h.idle[n-1] = nil
		h.idle = h.idle[:n-1]
		h.mu.Unlock()
		h.client.idle.Add(-1)
		if now.Sub(c.since) < h.client.o.IdleTimeout && c.quiet() {
			return c
		}
		c.Close()
	}
}

// put keeps a connection for the next request.
func (h *host) put(c *conn) {
	limit := h.client.o.MaxIdle
	if h.client.closed.Load() || limit > 0 && h.client.idle.Load() >= int64(limit) {
		c.Close()
		return
	}
	c.since, c.used = time.Now(), true
	h.mu.Lock()
	if len(h.idle) >= h.client.o.MaxIdlePerHost {
		h.mu.Unlock()
		c.Close()
		return
	}
	h.idle = append(h.idle, c)
	h.mu.Unlock()
	if h.client.idle.Add(1) == 1 {
		h.client.sweeper.Reset(h.client.o.IdleTimeout)
	}
	if h.client.closed.Load() {
		h.drop(0) // Close may have passed before the connection was here
	}
}

// drop closes connections that have been idle for at least age.
func (h *host) drop(age time.Duration) {
	now := time.Now()
	h.mu.Lock()
	n := 0
	for n < len(h.idle) && now.Sub(h.idle[n].since) >= age {
		n++
	}
	old := append([]*conn(nil), h.idle[:n]...)
	kept := copy(h.idle, h.idle[n:])
	clear(h.idle[kept:])
	h.idle = h.idle[:kept]
	h.mu.Unlock()
	h.client.idle.Add(-int64(n))
	for _, c := range old {
		c.Close()
	}
}

// sweep closes what has grown old, and comes back while anything is idle.
func (c *Client) sweep() {
	for _, h := range *c.hosts.Load() {
		h.drop(c.o.IdleTimeout)
	}
	if c.idle.Load() > 0 && !c.closed.Load() {
		c.sweeper.Reset(c.o.IdleTimeout / 2)
	}
}

// dial connects.
func (h *host) dial(ctx context.Context) (*conn, error) {
	plain, err := h.client.o.Dial(ctx, "tcp", h.address)
	if err != nil {
		return nil, err
	}
	c := newConn(plain, h)
	if h.name == "" {
		return c, nil
	}
	config := h.client.tls.Clone()
	config.ServerName = h.name
	secure := tls.Client(plain, config)
	hello, cancel := context.WithTimeout(ctx, h.client.o.DialTimeout)
	defer cancel()
	if err := secure.HandshakeContext(hello); err != nil {
		plain.Close()
		return nil, &tlsError{err}
	}
	c.Conn = secure
	c.reader.Reset(secure)
	return c, nil
}

// tlsError says that a handshake failed, whatever the reason reads like.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return "tls: " + e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }
