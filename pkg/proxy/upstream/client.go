// Package upstream sends prepared requests to upstreams over HTTP/1.1 and hands
// back their answers. It knows nothing of models, keys or JSON, follows no
// redirects, keeps no cookies and decodes no compression: what it is given goes
// out, what comes back is returned.
//
// It has a client of its own, because net/http's costs a gateway two goroutines
// and eight kilobytes of buffers per connection and two hand-overs between
// goroutines per request: here the goroutine that serves a request writes it and
// reads the answer. Upstreams behind an outbound proxy use net/http.
//
// Time limits are the caller's: a request's Deadline bounds everything of it,
// its context ends it at any moment. Here only connecting is bounded, and how
// long a connection is kept.
package upstream

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
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
	// MaxAge is how long a connection may be used in all; 0 means 5 min, less
	// than zero means for ever. A new one looks its name up again, so that
	// traffic follows an upstream that has moved. Each connection gets up to a
	// tenth less, so that those made together do not end together.
	MaxAge time.Duration
	// DialTimeout bounds connecting, and the TLS handshake once more; 0 means
	// 10 s.
	DialTimeout time.Duration
	// IPv4 reaches upstreams over that alone.
	IPv4 bool
	// KeepIdle, KeepInterval and KeepCount are when the system asks a silent
	// connection whether its other end is there; 0 means 30 s, as long again, and
	// nine times.
	KeepIdle, KeepInterval time.Duration
	KeepCount              int
	// TLS says how certificates are checked where a request does not; nil means
	// by the system's authorities.
	TLS *tls.Config
	// Proxy chooses an outbound proxy by scheme and host; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// NetHTTP sends everything through net/http, for comparisons.
	NetHTTP bool
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

// dialer opens connections that the system keeps an eye on.
func (o *Options) dialer() *net.Dialer {
	keep := net.KeepAliveConfig{Enable: true, Idle: o.KeepIdle, Interval: o.KeepInterval, Count: o.KeepCount}
	if keep.Idle <= 0 {
		keep.Idle = 30 * time.Second
	}
	if keep.Interval <= 0 {
		keep.Interval = 30 * time.Second
	}
	return &net.Dialer{Timeout: o.DialTimeout, KeepAliveConfig: keep}
}

// Client is an Upstream. It is safe for concurrent use.
type Client struct {
	o Options

	hosts   atomic.Pointer[map[Target]*host] // copied when one is added or dropped
	wanted  map[Target]bool                  // nil: all; guarded by adding
	adding  sync.Mutex
	idle    atomic.Int64
	closed  atomic.Bool
	sweeper *time.Timer
	// cut is set when all requests in flight end; cutting ends those that have
	// no connection of ours.
	cut     atomic.Bool
	cutting context.Context
	endAll  context.CancelFunc
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
		o.Dial = o.dialer().DialContext
	}
	if o.IPv4 {
		dial := o.Dial
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if network == "tcp" {
				network = "tcp4"
			}
			return dial(ctx, network, address)
		}
	}
	switch {
	case o.MaxAge == 0:
		o.MaxAge = 5 * time.Minute
	case o.MaxAge < 0:
		o.MaxAge = 100 * 365 * 24 * time.Hour
	}
	if o.TLS == nil {
		o.TLS, _ = Trust{}.Config() // reads no file
	}
	c := &Client{o: o}
	c.cutting, c.endAll = context.WithCancel(context.Background())
	c.hosts.Store(&map[Target]*host{})
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
		if h.proxied != nil {
			h.proxied.Close()
		}
	}
}

// Cut ends all requests in flight, and those to come, whatever their contexts
// say: a request whose answer is wanted also when its client has left has none
// that ends.
func (c *Client) Cut() {
	c.cut.Store(true)
	c.endAll()
	for _, h := range *c.hosts.Load() {
		h.mu.Lock()
		for conn := h.busy; conn != nil; conn = conn.next {
			_ = conn.SetDeadline(past)
		}
		h.mu.Unlock()
	}
}

// Target names where connections lead, and what they trust.
type Target struct {
	Scheme, Host string
	TLS          *tls.Config
}

// host keeps the idle connections to one address, the youngest on top: under
// little load the others grow old and are closed.
type host struct {
	client  *Client
	address string      // with a port
	name    string      // for TLS; empty for plain text
	tls     *tls.Config // nil for plain text
	proxied *proxied    // where an outbound proxy is in the way; nothing else is used then
	mu      sync.Mutex
	idle    []*conn
	busy    *conn // the first of those in use, which know each other
	gone    bool  // no connection is kept any more
}

// begin notes that a connection is in use; the lock is held.
func (h *host) begin(c *conn) {
	if c.next = h.busy; c.next != nil {
		c.next.prev = c
	}
	h.busy, c.busy = c, true
}

// end notes that a connection is not in use any more; the lock is held.
func (h *host) end(c *conn) {
	if !c.busy {
		return
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		h.busy = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.next, c.prev, c.busy = nil, nil, false
}

func (c *Client) host(u *url.URL, trust *tls.Config) *host {
	key := Target{u.Scheme, u.Host, trust}
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
		if h.tls = trust; h.tls == nil {
			h.tls = c.o.TLS
		}
		if port == "" {
			port = "443"
		}
	} else if port == "" {
		port = "80"
	}
	h.address = net.JoinHostPort(u.Hostname(), port)
	if c.o.NetHTTP || c.throughProxy(u) {
		h.proxied = newProxied(c.o, h.tls, c.cutting)
	}
	grown := make(map[Target]*host, len(old)+1)
	for k, v := range old {
		grown[k] = v
	}
	grown[key] = h
	c.hosts.Store(&grown)
	return h
}

// throughProxy reports whether an outbound proxy is in the way. A choice that
// fails is net/http's to explain.
func (c *Client) throughProxy(u *url.URL) bool {
	if c.o.Proxy == nil {
		return false
	}
	via, err := c.o.Proxy(&http.Request{Method: http.MethodPost, URL: u, Header: http.Header{}})
	return via != nil || err != nil
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
		h.begin(c)
		h.mu.Unlock()
		h.client.idle.Add(-1)
		if now.Sub(c.since) < h.client.o.IdleTimeout && now.Before(c.expires) && c.quiet() {
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
	if !c.since.Before(c.expires) {
		c.Close()
		return
	}
	h.mu.Lock()
	if h.gone || len(h.idle) >= h.client.o.MaxIdlePerHost {
		h.mu.Unlock()
		c.Close()
		return
	}
	h.end(c)
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

// Retain forgets the hosts that are not among some, and closes their idle
// connections; those in use are closed with their request. A request that began
// before may still ask for such a host: it is forgotten anew when it has been
// idle.
func (c *Client) Retain(targets []Target) {
	wanted := map[Target]bool{}
	for _, t := range targets {
		wanted[t] = true
	}
	c.adding.Lock()
	c.wanted = wanted
	c.adding.Unlock()
	c.forget(func(*host) bool { return true })
}

// forget drops hosts that nobody wants, if they are idle enough.
func (c *Client) forget(idle func(*host) bool) {
	c.adding.Lock()
	var gone []*host
	if c.wanted != nil {
		kept := map[Target]*host{}
		for t, h := range *c.hosts.Load() {
			if c.wanted[t] || !idle(h) {
				kept[t] = h
				continue
			}
			gone = append(gone, h)
		}
		if len(gone) > 0 {
			c.hosts.Store(&kept)
		}
	}
	c.adding.Unlock()
	for _, h := range gone {
		h.leave()
	}
}

// leave closes the idle connections, and keeps none from now on.
func (h *host) leave() {
	h.mu.Lock()
	h.gone = true
	h.mu.Unlock()
	h.drop(0)
	if h.proxied != nil {
		h.proxied.Close()
	}
}

func (h *host) empty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.idle) == 0
}

// sweep closes what has grown old, and comes back while anything is idle.
func (c *Client) sweep() {
	for _, h := range *c.hosts.Load() {
		h.drop(c.o.IdleTimeout)
	}
	c.forget((*host).empty)
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
	age := h.client.o.MaxAge
	c.expires = time.Now().Add(age - rand.N(age/10+1))
	if h.tls == nil {
		return h.use(c), nil
	}
	config := h.tls.Clone()
	config.ServerName = h.name
	secure := tls.Client(plain, config)
	hello, cancel := context.WithTimeout(ctx, h.client.o.DialTimeout)
	defer cancel()
	if err := secure.HandshakeContext(hello); err != nil {
		plain.Close()
		return nil, handshakeFailed(err)
	}
	c.Conn = secure
	c.in.open(secure, nil)
	return h.use(c), nil
}

func (h *host) use(c *conn) *conn {
	h.mu.Lock()
	h.begin(c)
	h.mu.Unlock()
	return c
}
