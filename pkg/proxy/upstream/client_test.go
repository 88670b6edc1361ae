package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func TestMain(m *testing.M) {
	if os.Getenv(benchmarkUpstream) != "" {
		serveBenchmark()
		return
	}
	goleak.VerifyTestMain(m)
}

func parse(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func client(t testing.TB, o Options) *Client {
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

func trust(t testing.TB, w Trust) *tls.Config {
	t.Helper()
	c, err := w.Config()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask makes one request and reads its answer to the end.
func ask(t testing.TB, c *Client, base, body string) (call.Response, string, error) {
	t.Helper()
	resp, lease, err := c.Do(t.Context(), &call.Request{
		Method: "POST", URL: parse(t, base), Header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer k"}},
		Body: []byte(body), Deadline: time.Now().Add(5 * time.Second),
	})
	if err != nil {
		return resp, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	for deadline := time.Now().Add(5 * time.Second); !lease.Done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the lease does not end")
		}
	}
	return resp, string(text), err
}

// scripted serves each connection by a function of its number.
func scripted(t testing.TB, serve func(nth int, c net.Conn, br *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				serve(n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "http://" + l.Addr().String() + "/v1/x?a=b%20c"
}

func readRequest(br *bufio.Reader) (*http.Request, string, error) {
	r, err := http.ReadRequest(br)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(r.Body)
	return r, string(b), err
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// Below the 60 seconds of common balancers: what is used must not be what the
// other side is about to close.
func TestIdleConnectionsDoNotOutliveBalancers(t *testing.T) {
	if c := client(t, Options{}); c.o.IdleTimeout != 45*time.Second {
		t.Errorf("idle connections live %s", c.o.IdleTimeout)
	}
}

func TestARealServerUnderstandsEveryRequest(t *testing.T) {
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.URL.RequestURI() != "/v1/x?a=b%20c" || r.Header.Get("Authorization") != "Bearer k" || r.ContentLength != int64(len(b)) {
			http.Error(w, fmt.Sprint(err, r.URL, r.Header), 400)
			return
		}
		if r.Header.Get("Accept") != "" {
			http.Error(w, "headers of a client library", 400)
		}
		w.Header().Set("X-Twice", "1")
		w.Header().Add("X-Twice", "2")
		w.Write(b)
		if len(b) > 10 {
			w.(http.Flusher).Flush() // chunked
		}
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := client(t, Options{})
	for _, n := range []int{0, 1, 100, 5000, oneWrite, oneWrite + 1, 3 << 20} {
		body := strings.Repeat("x", n)
		resp, text, err := ask(t, c, s.URL+"/v1/x?a=b%20c", body)
		if err != nil || resp.Status != 200 || text != body {
			t.Fatalf("%d bytes: %v, status %d, %d bytes back", n, err, resp.Status, len(text))
		}
		if got := resp.Header["X-Twice"]; len(got) != 2 || got[0] != "1" || got[1] != "2" {
			t.Errorf("a repeated header came as %q", got)
		}
	}
	if connections.Load() != 1 {
		t.Errorf("%d connections for requests one after the other", connections.Load())
	}
}

func TestTLS(t *testing.T) {
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, r.Proto)
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			connections.Add(1)
		}
	}
	s.Config.ErrorLog = nil
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	if _, _, err := ask(t, client(t, Options{}), s.URL, "x"); err == nil || !strings.Contains(err.Error(), "tls:") {
		t.Errorf("an unknown authority: %v", err)
	}
	connections.Store(0)
	c := client(t, Options{TLS: trust(t, Trust{Insecure: true})})
	for range 3 {
		if _, text, err := ask(t, c, s.URL, strings.Repeat("x", 100<<10)); err != nil || text != "HTTP/1.1" {
			t.Fatalf("%q, %v", text, err)
		}
	}
	if connections.Load() != 1 {
		t.Errorf("%d connections", connections.Load())
	}
}

func TestAConnectionThatDiedWhileIdleIsNotSeen(t *testing.T) {
	var served atomic.Int32
	base := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
		if _, _, err := readRequest(br); err != nil {
			return
		}
		served.Add(1)
		io.WriteString(c, ok) // and closes
	})
	c := client(t, Options{})
	for i := range 20 {
		if _, text, err := ask(t, c, base, "{}"); err != nil || text != "ok" {
			t.Fatalf("request %d: %q, %v", i, text, err)
		}
	}
	if served.Load() != 20 {
		t.Errorf("served %d times", served.Load())
	}
}

func TestARequestThatAPeerClosedUponIsSentAnewOnce(t *testing.T) {
	var got atomic.Int32
	base := scripted(t, func(nth int, c net.Conn, br *bufio.Reader) {
		for i := 0; ; i++ {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			got.Add(1)
			if i == 1 && nth == 1 {
				return // reads the second request and closes without a word
			}
			io.WriteString(c, ok)
		}
	})
	c := client(t, Options{})
	for range 2 {
		if _, text, err := ask(t, c, base, "{}"); err != nil || text != "ok" {
			t.Fatal(text, err)
		}
	}
	if got.Load() != 3 {
		t.Errorf("%d requests arrived, want the second one twice", got.Load())
	}
}

func TestAFreshConnectionIsNotTriedTwice(t *testing.T) {
	var got atomic.Int32
	base := scripted(t, func(_ int, _ net.Conn, br *bufio.Reader) {
		_, _, _ = readRequest(br)
		got.Add(1)
	})
	_, _, err := ask(t, client(t, Options{}), base, "{}")
	if err == nil || !errors.Is(err, io.EOF) || got.Load() != 1 {
		t.Errorf("%v after %d requests", err, got.Load())
	}
}

func TestWhatAPeerSaysBetweenRequestsIsNoAnswer(t *testing.T) {
	said := make(chan struct{}, 1)
	base := scripted(t, func(nth int, c net.Conn, br *bufio.Reader) {
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			io.WriteString(c, ok)
			if nth == 1 {
				time.Sleep(5 * time.Millisecond)
				io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nlate")
				said <- struct{}{}
			}
		}
	})
	c := client(t, Options{})
	if _, text, err := ask(t, c, base, "{}"); err != nil || text != "ok" {
		t.Fatal(text, err)
	}
	<-said
	time.Sleep(5 * time.Millisecond)
	if resp, text, err := ask(t, c, base, "{}"); err != nil || resp.Status != 200 || text != "ok" {
		t.Errorf("%d %q, %v", resp.Status, text, err)
	}
}

func TestAnswersThatDisagreeAboutTheirEndAreNotTrusted(t *testing.T) {
	tests := []struct {
		name, answer string
		text         string
		err          error // nil: the answer is good
		reuse        bool
	}{
		{name: "a length", answer: ok, text: "ok", reuse: true},
		{name: "chunks", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", text: "ok", reuse: true},
		{name: "chunks with a trailer", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n", text: "ok", reuse: true},
		{name: "until the end", answer: "HTTP/1.1 200 OK\r\n\r\nok", text: "ok"},
		{name: "HTTP/1.0", answer: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", text: "ok"},
		{name: "Connection: close", answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", text: "ok"},
		{name: "no content", answer: "HTTP/1.1 204 No Content\r\n\r\n", reuse: true},
		{name: "an interim answer first", answer: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok, text: "ok", reuse: true},
		{name: "bare line feeds", answer: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", text: "ok", reuse: true},
		{name: "the same length twice", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", text: "ok", reuse: true},
		{name: "two lengths", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokx", err: errBadAnswer},
		{name: "a negative length", answer: "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", err: errBadAnswer},
		{name: "a length in hex", answer: "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", err: errBadAnswer},
		{name: "a length and chunks", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", text: "ok"},
		{name: "another transfer encoding", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", err: errBadAnswer},
		{name: "a blank before the colon", answer: "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", err: errBadAnswer},
		{name: "a folded header", answer: "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", err: errBadAnswer},
		{name: "a bare carriage return in a header", answer: "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 9\r\n\r\n", err: errBadAnswer},
		{name: "a protocol switch", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", err: errBadAnswer},
		{name: "another protocol", answer: "SSH-2.0-OpenSSH_9.9\r\n\r\n", err: errBadAnswer},
		{name: "HTTP/2", answer: "HTTP/2.0 200 OK\r\n\r\n", err: errBadAnswer},
		{name: "a head that ends early", answer: "HTTP/1.1 200 OK\r\nX: ", err: io.ErrUnexpectedEOF},
		{name: "a body that ends early", answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", err: io.ErrUnexpectedEOF},
		{name: "a chunk that ends early", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", err: io.ErrUnexpectedEOF},
		{name: "chunks without an end", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", err: io.ErrUnexpectedEOF},
		{name: "an endless head", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", maxHead) + "\r\n\r\n", err: errBadAnswer},
		{name: "a long head", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 3*readBuffer) + "\r\nContent-Length: 2\r\n\r\nok", text: "ok", reuse: true},
		{name: "more than the body", answer: ok + "HTTP/1.1 200 OK\r\n", text: "ok"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var connections atomic.Int32
			base := scripted(t, func(nth int, c net.Conn, br *bufio.Reader) {
				connections.Add(1)
				for {
					if _, _, err := readRequest(br); err != nil {
						return
					}
					io.WriteString(c, tt.answer)
					if !tt.reuse {
						return
					}
				}
			})
			c := client(t, Options{})
			for range 2 {
				_, text, err := ask(t, c, base, "{}")
				if !errors.Is(err, tt.err) || tt.err == nil && (err != nil || text != tt.text) {
					t.Fatalf("%q, %v; want %q, %v", text, err, tt.text, tt.err)
				}
			}
			if reused := connections.Load() == 1; reused != tt.reuse {
				t.Errorf("connection reused: %v, want %v", reused, tt.reuse)
			}
		})
	}
}

func TestAStreamGivenUpDoesNotPoisonTheNextRequest(t *testing.T) {
	base := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for {
			_, body, err := readRequest(br)
			if err != nil {
				return
			}
			if body == "stream" {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n5\r\nevent\r\n")
				continue
			}
			io.WriteString(c, ok)
		}
	})
	c := client(t, Options{})
	for range 50 {
		resp, _, err := c.Do(t.Context(), &call.Request{Method: "POST", URL: parse(t, base), Body: []byte("stream")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resp.Body.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 5)); err == nil {
			t.Fatal("read after close")
		}
		if _, text, err := ask(t, c, base, "{}"); err != nil || text != "ok" {
			t.Fatalf("%q, %v", text, err)
		}
	}
}

func TestDeadlineAndCancellation(t *testing.T) {
	base := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
		_, body, err := readRequest(br)
		if err != nil {
			return
		}
		if body == "head" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
		}
		io.Copy(io.Discard, br)
	})
	c := client(t, Options{})
	for _, body := range []string{"nothing", "head"} {
		t.Run(body+": deadline", func(t *testing.T) {
			resp, _, err := c.Do(t.Context(), &call.Request{Method: "POST", URL: parse(t, base), Body: []byte(body), Deadline: time.Now().Add(30 * time.Millisecond)})
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
		t.Run(body+": cancelled", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(30*time.Millisecond, cancel)
			resp, _, err := c.Do(ctx, &call.Request{Method: "POST", URL: parse(t, base), Body: []byte(body)})
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAnEarlyRefusalOfALargeBodyIsHeard(t *testing.T) {
	looked := make(chan struct{})
	base := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
		if _, err := br.ReadString('\n'); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		<-looked // reads no more
	})
	resp, lease, err := client(t, Options{}).Do(t.Context(), &call.Request{Method: "POST", URL: parse(t, base), Body: bytes.Repeat([]byte("x"), 32<<20), Deadline: time.Now().Add(5 * time.Second)})
	if err != nil || resp.Status != 413 {
		t.Fatalf("%d, %v", resp.Status, err)
	}
	if lease.Done() {
		t.Error("the body cannot have been written")
	}
	close(looked)
	resp.Body.Close()
	for deadline := time.Now().Add(5 * time.Second); !lease.Done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the write does not end with the connection")
		}
	}
}

func TestIdleConnectionsAreBoundedAndGrowOld(t *testing.T) {
	var open atomic.Int32
	base := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
		open.Add(1)
		defer open.Add(-1)
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			io.WriteString(c, ok)
		}
	})
	c := client(t, Options{MaxIdlePerHost: 3, IdleTimeout: 50 * time.Millisecond})
	var bodies []io.ReadCloser
	for range 8 {
		resp, _, err := c.Do(t.Context(), &call.Request{Method: "POST", URL: parse(t, base), Body: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, resp.Body)
	}
	for _, b := range bodies {
		io.Copy(io.Discard, b)
	}
	until := func(what string, want int32) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); open.Load() > want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d connections are open, want %d", what, open.Load(), want)
			}
		}
	}
	until("idle", 3)
	until("old", 0)
	if c.idle.Load() != 0 {
		t.Errorf("%d counted as idle", c.idle.Load())
	}
}

func TestAnOutboundProxyIsUsed(t *testing.T) {
	var asked atomic.Int32
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "by "+r.URL.Host)
	}))
	defer p.Close()
	u := parse(t, p.URL)
	c := client(t, Options{Proxy: func(*http.Request) (*url.URL, error) { return u, nil }})
	for range 2 {
		if _, text, err := ask(t, c, "http://upstream.example/v1", "{}"); err != nil || text != "by upstream.example" {
			t.Fatalf("%q, %v", text, err)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// FuzzHead: what we accept, net/http accepts, with the same status and length.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		ok, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0 404 \r\n\r\n",
		"HTTP/1.1 200\r\nX: y\r\nX: z\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 7\n\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := endOfHead([]byte(s))
		if n == 0 {
			return
		}
		got, err := parseHead(s[:n])
		if err != nil || got.status < 200 {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(strings.NewReader(s)), &http.Request{Method: "POST"})
		if err != nil {
			t.Fatalf("we accept %q, net/http says %v", s[:n], err)
		}
		if want.StatusCode != got.status {
			t.Errorf("status %d, net/http %d", got.status, want.StatusCode)
		}
		chunked := len(want.TransferEncoding) > 0
		if got.status != 204 && got.status != 304 && (chunked != got.chunked || !chunked && want.ContentLength != got.length) {
			t.Errorf("%q: chunked %v length %d, net/http %v %d", s[:n], got.chunked, got.length, chunked, want.ContentLength)
		}
	})
}
