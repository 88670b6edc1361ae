package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// secure is a server with TLS that says by which certificate its client named
// itself.
func secure(t *testing.T, change func(*tls.Config)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		name := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		io.WriteString(w, name)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10}
	if change != nil {
		change(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func writePEM(t *testing.T, blocks ...*pem.Block) string {
	t.Helper()
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(b)...)
	}
	name := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func bundle(t *testing.T, s *httptest.Server) string {
	return writePEM(t, &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// clientCertificate makes a certificate with its key in one file.
func clientCertificate(t *testing.T, name string) string {
	t.Helper()
	both := ""
	certFile, keyFile := testenv.Certificate(t, name)
	for _, file := range []string{certFile, keyFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		both += string(text)
	}
	file := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(file, []byte(both), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCertificatesAreCheckedAsTold(t *testing.T) {
	good := secure(t, nil)
	old := secure(t, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 })
	asks := secure(t, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	elsewhere := strings.Replace(good.URL, "127.0.0.1", "localhost", 1)
	for _, tt := range []struct {
		name  string
		trust Trust
		url   string
		says  string // the answer, or part of the error
		fails bool
	}{
		{name: "the system knows no such authority", url: good.URL, says: "tls: ", fails: true},
		{name: "a bundle knows it", trust: Trust{CAFile: bundle(t, good)}, url: good.URL, says: "nobody"},
		{name: "a bundle does not vouch for other names", trust: Trust{CAFile: bundle(t, good)}, url: elsewhere, says: "localhost", fails: true},
		{name: "no checks", trust: Trust{Insecure: true}, url: elsewhere, says: "nobody"},
		{name: "no checks beside a bundle", trust: Trust{Insecure: true, CAFile: "/nowhere"}, url: good.URL, says: "nobody"},
		{name: "TLS 1.1 is refused even without checks", trust: Trust{Insecure: true}, url: old.URL, says: "protocol version", fails: true},
		{name: "a client certificate", trust: Trust{Insecure: true, CertFile: clientCertificate(t, "gateway")}, url: asks.URL, says: "gateway"},
		{name: "no client certificate where one is wanted", trust: Trust{Insecure: true}, url: asks.URL, says: "", fails: true},
		{name: "TLS to a port without it", trust: Trust{Insecure: true}, url: "https" + strings.TrimPrefix(plain.URL, "http"), says: "api_base meant to begin with http://", fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Once as the client's own, once as the request's, beside a client that
			// trusts differently.
			told := trust(t, tt.trust)
			for name, c := range map[string]*Client{"client": client(t, Options{TLS: told}), "request": client(t, Options{})} {
				r := &call.Request{Method: "POST", URL: parse(t, tt.url), Body: []byte("x"), Deadline: time.Now().Add(10 * time.Second)}
				if name == "request" {
					r.TLS = told
				}
				var text []byte
				resp, _, err := c.Do(t.Context(), r)
				if err == nil {
					text, err = io.ReadAll(resp.Body)
				}
				if (err != nil) != tt.fails || err != nil && !strings.Contains(err.Error(), tt.says) || err == nil && string(text) != tt.says {
					t.Errorf("%s: %q, %v", name, text, err)
				}
			}
		})
	}
}

func TestFilesOfCertificatesThatCannotBeUsed(t *testing.T) {
	empty := writePEM(t)
	for _, tt := range []struct {
		trust Trust
		says  string
	}{
		{Trust{CAFile: "/no/such/bundle.pem"}, "/no/such/bundle.pem"},
		{Trust{CAFile: empty}, "holds no certificate in PEM form"},
		{Trust{CertFile: empty}, "client certificate and its key"},
		{Trust{CertFile: bundle(t, secure(t, nil))}, "client certificate and its key"},
	} {
		if _, err := tt.trust.Config(); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.trust, err)
		}
	}
}

// TestConnectionsOfDifferentTrustAreKeptApart: what one deployment does not
// check must not carry the key of another.
func TestConnectionsOfDifferentTrustAreKeptApart(t *testing.T) {
	s := secure(t, nil)
	c := client(t, Options{})
	do := func(told *tls.Config) error {
		resp, _, err := c.Do(t.Context(), &call.Request{Method: "POST", URL: parse(t, s.URL), TLS: told, Body: []byte("x"), Deadline: time.Now().Add(10 * time.Second)})
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		return err
	}
	if err := do(trust(t, Trust{Insecure: true})); err != nil {
		t.Fatal(err)
	}
	if err := do(nil); err == nil {
		t.Error("a request that checks certificates went over a connection that did not")
	}
}

func TestAConnectionIsNotUsedBeyondItsAge(t *testing.T) {
	var connections atomic.Int32
	base := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
		connections.Add(1)
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			io.WriteString(c, ok)
		}
	})
	for _, tt := range []struct {
		age  time.Duration
		want int32
	}{{time.Nanosecond, 5}, {time.Hour, 1}, {0, 1}, {-1, 1}} {
		connections.Store(0)
		c := client(t, Options{MaxAge: tt.age})
		for range 5 {
			if _, text, err := ask(t, c, base, "{}"); err != nil || text != "ok" {
				t.Fatal(text, err)
			}
		}
		if connections.Load() != tt.want {
			t.Errorf("age %s: %d connections, want %d", tt.age, connections.Load(), tt.want)
		}
	}
}

// TestANameIsLookedUpForEachConnection: traffic follows an upstream that moves
// as its connections come of age.
func TestANameIsLookedUpForEachConnection(t *testing.T) {
	answers := func(text string) string {
		u := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
			for {
				if _, _, err := readRequest(br); err != nil {
					return
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"+text)
			}
		})
		return parse(t, u).Host
	}
	var where atomic.Value
	where.Store(answers("old"))
	c := client(t, Options{MaxAge: time.Nanosecond, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "upstream.example:80" {
			t.Errorf("asked for %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, where.Load().(string))
	}})
	for _, want := range []string{"old", "old", "new", "new"} {
		if want == "new" && where.Load() != "" {
			where.CompareAndSwap(where.Load(), answers("new"))
		}
		if _, text, err := ask(t, c, "http://upstream.example/v1", "{}"); err != nil || text != want {
			t.Errorf("%q, %v; want %q", text, err, want)
		}
	}
}

// TestBothFamiliesAreTried: localhost has two addresses, and only one of them
// is served.
func TestBothFamiliesAreTried(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err)
			continue
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })}}
		s.Start()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		hosts := []string{l.Addr().String()}
		if ips, err := net.DefaultResolver.LookupHost(t.Context(), "localhost"); err == nil {
			host, _, _ := net.SplitHostPort(l.Addr().String())
			for _, ip := range ips {
				if ip == host {
					hosts = append(hosts, "localhost:"+port)
				}
			}
		}
		c := New(Options{})
		for _, h := range hosts {
			if _, text, err := ask(t, c, "http://"+h+"/v1", "{}"); err != nil || text != "ok" {
				t.Errorf("%s: %q, %v", h, text, err)
			}
		}
		c.Close()
		s.Close()
	}
}

// TestOnlyWhatNeedsAProxyGoesThroughIt: hosts of NO_PROXY are reached directly,
// with our own client.
func TestOnlyWhatNeedsAProxyGoesThroughIt(t *testing.T) {
	var proxied atomic.Int32
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied.Add(1)
		io.WriteString(w, "by proxy")
	}))
	defer p.Close()
	direct := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "direct") }))
	defer direct.Close()
	via, here := parse(t, p.URL), parse(t, direct.URL).Host
	c := client(t, Options{Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Host == here {
			return nil, nil
		}
		return via, nil
	}})
	for range 2 {
		if _, text, err := ask(t, c, direct.URL, "{}"); err != nil || text != "direct" {
			t.Errorf("%q, %v", text, err)
		}
		if _, text, err := ask(t, c, "http://elsewhere.example/v1", "{}"); err != nil || text != "by proxy" {
			t.Errorf("%q, %v", text, err)
		}
	}
	if proxied.Load() != 2 {
		t.Errorf("the proxy was asked %d times", proxied.Load())
	}
}

// TestTLSThroughAProxyThatWantsAPassword: CONNECT, then the upstream's own TLS.
func TestTLSThroughAProxyThatWantsAPassword(t *testing.T) {
	s := secure(t, nil)
	var connects atomic.Int32
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				br := bufio.NewReader(c)
				r, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				if r.Method != "CONNECT" || r.Header.Get("Proxy-Authorization") != "Basic dXNlcjpwYXNz" {
					io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
					return
				}
				connects.Add(1)
				up, err := net.Dial("tcp", parse(t, s.URL).Host)
				if err != nil {
					return
				}
				defer up.Close()
				io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
				go func() { io.Copy(up, br); up.Close() }()
				io.Copy(c, up)
			}()
		}
	}()
	for _, tt := range []struct {
		user string
		good bool
	}{{"user:pass@", true}, {"user:wrong@", false}} {
		via := parse(t, "http://"+tt.user+l.Addr().String())
		c := client(t, Options{TLS: trust(t, Trust{CAFile: bundle(t, s)}), Proxy: func(*http.Request) (*url.URL, error) { return via, nil }})
		for range 2 {
			_, text, err := ask(t, c, s.URL, "{}")
			if tt.good != (err == nil) || tt.good && text != "nobody" {
				t.Errorf("%s: %q, %v", tt.user, text, err)
			}
			if err != nil && (strings.Contains(err.Error(), "wrong") || errors.Is(err, io.EOF)) {
				t.Errorf("the error is %v", err)
			}
		}
	}
	if connects.Load() != 1 {
		t.Errorf("%d tunnels, want one for both requests", connects.Load())
	}
}

// TestAHeadThatWouldEndEarlyIsNotSent: a key with the line break of its file
// must not become a request of its own.
func TestAHeadThatWouldEndEarlyIsNotSent(t *testing.T) {
	var got atomic.Int32
	base := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for {
			if _, _, err := readRequest(br); err != nil {
				return
			}
			got.Add(1)
			io.WriteString(c, ok)
		}
	})
	c := client(t, Options{})
	for _, h := range []http.Header{
		{"Authorization": {"Bearer secretkey\n"}}, {"X": {"a\r\nY: b"}}, {"X": {"a\x00"}}, {"X\r\nY": {"b"}}, {"X Y": {"b"}}, {"": {"b"}}, {"X": {"fine", "a\r"}},
	} {
		_, lease, err := c.Do(t.Context(), &call.Request{Method: "POST", URL: parse(t, base), Header: h, Body: []byte("x")})
		if err == nil || !strings.Contains(err.Error(), "cannot be sent") || strings.Contains(err.Error(), "secretkey") || !lease.Done() {
			t.Errorf("%q: %v", h, err)
		}
	}
	if got.Load() != 0 {
		t.Errorf("%d requests arrived", got.Load())
	}
}

// TestRequestsWithoutABodySayNothingOfItsLength, as clients do; those that may
// have one say 0. URLs of one request are not remembered.
func TestRequestsWithoutABodySayNothingOfItsLength(t *testing.T) {
	base := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
		for {
			r, _, err := readRequest(br)
			if err != nil {
				return
			}
			said := r.Header.Get("Content-Length")
			if r.Method == "HEAD" {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Said: "+said+"\r\n\r\n")
				continue
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Said: "+said+"\r\n\r\n")
		}
	})
	c := client(t, Options{})
	before := uriCount.Load()
	for method, want := range map[string]string{"GET": "", "HEAD": "", "POST": "0", "PUT": "0", "DELETE": "0"} {
		resp, _, err := c.Do(t.Context(), &call.Request{Method: method, URL: parse(t, base), Once: true, Deadline: time.Now().Add(10 * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Header.Get("X-Said") != want {
			t.Errorf("%s says %q, %v", method, resp.Header.Get("X-Said"), err)
		}
	}
	if uriCount.Load() != before {
		t.Error("URLs of one request are remembered")
	}
}
