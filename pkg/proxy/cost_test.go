package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/account"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// What a request costs in writes and allocations is fixed here: raising a number
// needs a commit that says why.

// countedConn counts the writes of one side.
type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

type countedListener struct {
	net.Listener
	writes *atomic.Int64
}

func (l countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{c, l.writes}, nil
}

// counted runs a gateway that counts its writes to clients and upstreams.
func counted(t testing.TB, base string) (address string, down, up *atomic.Int64) {
	down, up = new(atomic.Int64), new(atomic.Int64)
	c := Config{Deployments: []*call.Deployment{deployment(t, "d1", base), deployment(t, "d2", base)}}
	for _, d := range c.Deployments {
		d.Price = account.Prices{}.Lookup(d.Provider, d.Model)
	}
	c.API.Emulated, c.API.Build = "1.0.0", "1.0.0"
	c.Listener.Wrap = func(l net.Listener) net.Listener { return countedListener{l, down} }
	c.Upstream.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return countedConn{conn, up}, nil
	}
	p, _ := gateway(t, c)
	return p.Addr().String(), down, up
}

// cheapUpstream answers without net/http, so that its allocations do not count.
// A request for a stream gets n events, gap apart.
func cheapUpstream(t testing.TB, events int, gap time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	whole := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: req_1\r\nContent-Length: %d\r\n\r\n%s", len(okAnswer), okAnswer))
	head := []byte(streamHead)
	event := []byte(chunk(firstEvent))
	tail := []byte(chunk(`data: {"id":"c1","model":"up","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n") + "0\r\n\r\n")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				br := bufio.NewReaderSize(c, 1<<20)
				body := make([]byte, 1<<20)
				for {
					n := 0
					for {
						line, err := br.ReadSlice('\n')
						if err != nil {
							return
						}
						if len(line) == 2 {
							break
						}
						if len(line) > 15 && string(line[:15]) == "Content-Length:" {
							for _, d := range line[15:] {
								if '0' <= d && d <= '9' {
									n = n*10 + int(d-'0')
								}
							}
						}
					}
					if _, err := io.ReadFull(br, body[:n]); err != nil {
						return
					}
					if events == 0 {
						c.Write(whole)
						continue
					}
					c.Write(head)
					for range events {
						if gap > 0 {
							time.Sleep(gap)
						}
						c.Write(event)
					}
					c.Write(tail)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/v1"
}

// rawClient sends the same request again and again and reads the answers
// without an allocation.
type rawClient struct {
	conn    net.Conn
	br      *bufio.Reader
	request []byte
	space   []byte
}

func newRawClient(t testing.TB, address, body string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawClient{
		conn: conn, br: bufio.NewReaderSize(conn, 1<<20), space: make([]byte, 1<<20),
		request: []byte(fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", testKey, len(body), body)),
	}
}

// do sends one request and reads its answer to the end.
func (c *rawClient) do(t testing.TB) {
	if _, err := c.conn.Write(c.request); err != nil {
		t.Fatal(err)
	}
	length, chunked, status := 0, false, 0
	for first := true; ; first = false {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			t.Fatal(err)
		}
		if first {
			status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
		}
		if len(line) == 2 {
			break
		}
		switch {
		case len(line) > 15 && string(line[:15]) == "Content-Length:":
			for _, d := range line[15:] {
				if '0' <= d && d <= '9' {
					length = length*10 + int(d-'0')
				}
			}
		case string(line) == "Transfer-Encoding: chunked\r\n":
			chunked = true
		}
	}
	if status != 200 {
		t.Fatalf("status %d", status)
	}
	if !chunked {
		if _, err := io.ReadFull(c.br, c.space[:length]); err != nil {
			t.Fatal(err)
		}
		return
	}
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, d := range line {
			switch {
			case '0' <= d && d <= '9':
				n = n*16 + int(d-'0')
			case 'a' <= d && d <= 'f':
				n = n*16 + int(d-'a') + 10
			}
		}
		if _, err := io.ReadFull(c.br, c.space[:n+2]); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func chatBody(size int, stream bool) string {
	text := strings.Repeat("lorem ipsum ", size/12)
	return fmt.Sprintf(`{"model":"fast","stream":%v,"messages":[{"role":"user","content":"%s"}]}`, stream, text)
}

func TestARequestIsOneWriteUpAndOneDown(t *testing.T) {
	for _, size := range []int{100, 16 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			address, down, up := counted(t, cheapUpstream(t, 0, 0))
			c := newRawClient(t, address, chatBody(size, false))
			c.do(t) // connects
			down.Store(0)
			up.Store(0)
			const n = 200
			for range n {
				c.do(t)
			}
			if down.Load() != n || up.Load() != n {
				t.Errorf("%d requests took %d writes down and %d up, want as many as requests", n, down.Load(), up.Load())
			}
		})
	}
}

func TestAPacedEventIsAtMostOneWriteDown(t *testing.T) {
	const events = 50
	address, down, up := counted(t, cheapUpstream(t, events, 2*time.Millisecond))
	c := newRawClient(t, address, chatBody(100, true))
	c.do(t)
	down.Store(0)
	up.Store(0)
	c.do(t)
	// The events and the last write with the end mark, no write of its own for
	// the head or for the end of the body.
	if down.Load() > events+1 || up.Load() != 1 {
		t.Errorf("%d events took %d writes down and %d up", events, down.Load(), up.Load())
	}
}

// Ceilings of allocations for one request, all of them net/http's server and ours (a
// bare pair of net/http's server and client needs 85).
const (
	allocSmall  = 50
	allocStream = 75
)

func TestAllocationsPerRequest(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates: run the test without -race")
	}
	for _, tt := range []struct {
		name    string
		size    int
		events  int
		ceiling float64
	}{
		{"small", 100, 0, allocSmall},
		{"16 KB", 16 << 10, 0, allocSmall},
		{"a stream of 50 events", 100, 50, allocStream},
		{"a stream of 500 events costs no more", 100, 500, allocStream},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address, _, _ := counted(t, cheapUpstream(t, tt.events, 0))
			c := newRawClient(t, address, chatBody(tt.size, tt.events > 0))
			for range 50 {
				c.do(t)
			}
			got := testing.AllocsPerRun(300, func() { c.do(t) })
			t.Logf("%v allocations per request", got)
			if got > tt.ceiling {
				t.Errorf("%v allocations per request, the ceiling is %v", got, tt.ceiling)
			}
		})
	}
}

// BenchmarkChat is the whole path over loopback with one client.
func BenchmarkChat(b *testing.B) {
	for _, bb := range []struct {
		name   string
		size   int
		events int
	}{{"small", 100, 0}, {"16KB", 16 << 10, 0}, {"stream50", 100, 50}} {
		b.Run(bb.name, func(b *testing.B) {
			address, _, _ := counted(b, cheapUpstream(b, bb.events, 0))
			c := newRawClient(b, address, chatBody(bb.size, bb.events > 0))
			c.do(b)
			b.ReportAllocs()
			for b.Loop() {
				c.do(b)
			}
		})
	}
}
