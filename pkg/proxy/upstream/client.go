// Package upstream sends prepared requests to upstreams over HTTP/1.1 and hands
// back their answers. It knows nothing of models, keys or JSON, follows no
// redirects, keeps no cookies and decodes no compression: what it is given goes
// out, what comes back is returned.
package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
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

// Buffer sizes of an upstream connection. A head and a body of up to this size
// leave in one write; reading needs less, because answers are read into the
// caller's buffer.
const (
	writeBuffer = 20 << 10
	readBuffer  = 4 << 10
)

// Client is an Upstream on net/http's Transport.
type Client struct {
	transport *http.Transport
	exchanges sync.Pool
}

var _ call.Upstream = (*Client)(nil)

// New returns a client. Close it when no request is in flight any more.
func New(o Options) *Client {
	orDefault := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	orDefault(&o.IdleTimeout, 45*time.Second)
	orDefault(&o.DialTimeout, 10*time.Second)
	if o.MaxIdlePerHost == 0 {
		o.MaxIdlePerHost = 1024
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: o.DialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	c := &Client{transport: &http.Transport{
		Proxy:                  o.Proxy,
		DialContext:            o.Dial,
		MaxIdleConns:           o.MaxIdle,
		MaxIdleConnsPerHost:    o.MaxIdlePerHost,
		IdleConnTimeout:        o.IdleTimeout,
		TLSHandshakeTimeout:    o.DialTimeout,
		DisableCompression:     true,
		ForceAttemptHTTP2:      false,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxResponseHeaderBytes: 256 << 10,
		WriteBufferSize:        writeBuffer,
		ReadBufferSize:         readBuffer,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: o.InsecureSkipVerify, //nolint:gosec // SSL_VERIFY=False is the operator's word
			ClientSessionCache: tls.NewLRUClientSessionCache(256),
		},
	}}
	c.exchanges.New = func() any { return newExchange(&c.exchanges) }
	return c
}

// Close drops idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Do sends r. The transport sends a request anew on another connection when the
// peer had closed the kept one before answering anything (see exchange.body and
// the nil Idempotency-Key of Header).
func (c *Client) Do(ctx context.Context, r *call.Request) (call.Response, call.Lease, error) {
	x := c.exchanges.Get().(*exchange)
	req := x.request(ctx, r)
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return call.Response{}, x, err
	}
	return call.Response{
		Status: resp.StatusCode,
		Header: resp.Header,
		Length: resp.ContentLength,
		Body:   resp.Body,
	}, x, nil
}

// Header returns h as a header that Do can send again and again: with an
// Idempotency-Key without values, by which net/http takes a POST as repeatable
// on another connection, and which it does not send.
func Header(h http.Header) http.Header {
	out := h.Clone()
	if out == nil {
		out = http.Header{}
	}
	if _, ok := out["Idempotency-Key"]; !ok {
		out["Idempotency-Key"] = nil
	}
	return out
}

// exchange holds what one attempt needs of memory beside net/http's own, and
// counts the writes that the transport has begun and not ended.
type exchange struct {
	pool    *sync.Pool
	reader  bytes.Reader
	body    io.ReadCloser // a NopCloser around reader: net/http sends head and body of these in one write
	getBody func() (io.ReadCloser, error)
	data    []byte
	trace   httptrace.ClientTrace
	writing atomic.Int32
}

func newExchange(pool *sync.Pool) *exchange {
	x := &exchange{pool: pool}
	x.body = io.NopCloser(&x.reader)
	x.getBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(x.data)), nil }
	x.trace.GotConn = func(httptrace.GotConnInfo) { x.writing.Add(1) }
	x.trace.WroteRequest = func(httptrace.WroteRequestInfo) { x.writing.Add(-1) }
	return x
}

func (x *exchange) request(ctx context.Context, r *call.Request) *http.Request {
	x.data = r.Body
	req := (&http.Request{
		Method:        r.Method,
		URL:           r.URL,
		Host:          r.URL.Host,
		Header:        r.Header,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		ContentLength: int64(len(r.Body)),
	}).WithContext(httptrace.WithClientTrace(ctx, &x.trace))
	if len(r.Body) > 0 {
		x.reader.Reset(r.Body)
		req.Body = x.body
		req.GetBody = x.getBody
	}
	return req
}

// Done implements call.Lease. An exchange whose writes have not all ended is
// left to the garbage collector: the transport still holds it.
func (x *exchange) Done() bool {
	if x.writing.Load() != 0 {
		return false
	}
	x.data = nil
	x.reader.Reset(nil)
	x.pool.Put(x)
	return true
}
