package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// proxied is an Upstream on net/http's Transport, for upstreams behind an
// outbound proxy: CONNECT and its credentials are net/http's business.
type proxied struct {
	transport *http.Transport
	exchanges sync.Pool
	cutting   context.Context // of the client: all requests end with it
}

var _ call.Upstream = (*proxied)(nil)

func newProxied(o Options, trust *tls.Config, cutting context.Context) *proxied {
	c := &proxied{cutting: cutting, transport: &http.Transport{
		Proxy:                  o.Proxy,
		DialContext:            o.Dial,
		MaxIdleConns:           o.MaxIdle,
		MaxIdleConnsPerHost:    o.MaxIdlePerHost,
		IdleConnTimeout:        o.IdleTimeout,
		TLSHandshakeTimeout:    o.DialTimeout,
		DisableCompression:     true,
		ForceAttemptHTTP2:      false,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxResponseHeaderBytes: maxHead,
		TLSClientConfig:        trust,
	}}
	c.exchanges.New = func() any { return newExchange(&c.exchanges) }
	return c
}

// Close implements Client.Close.
func (c *proxied) Close() { c.transport.CloseIdleConnections() }

// Do implements call.Upstream.
func (c *proxied) Do(ctx context.Context, r *call.Request) (call.Response, call.Lease, error) {
	ctx, cancel := within(ctx, c.cutting, r.Deadline)
	x := c.exchanges.Get().(*exchange)
	req := x.request(ctx, r)
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		cancel()
		return call.Response{}, x, err
	}
	return call.Response{
		Status: resp.StatusCode,
		Header: resp.Header,
		Length: resp.ContentLength,
		Body:   cancelBody{resp.Body, cancel},
	}, x, nil
}

// cancelBody ends the time limit with the body.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// repeatable adds an Idempotency-Key without values, by which net/http takes a
// POST as one that may be sent again on another connection, and which it does
// not send.
func repeatable(h http.Header) http.Header {
	h = h.Clone()
	if h == nil {
		h = http.Header{}
	}
	if _, ok := h["Idempotency-Key"]; !ok {
		h["Idempotency-Key"] = nil
	}
	return h
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
		Header:        repeatable(r.Header),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		ContentLength: int64(len(r.Body)),
	}).WithContext(httptrace.WithClientTrace(ctx, &x.trace))
	switch {
	case r.Upload != nil:
		req.Body, req.ContentLength = r.Upload, r.Length
		if r.Length < 0 {
			req.ContentLength = -1
		}
	case len(r.Body) > 0:
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
