package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

// cutConn hands text out in reads of n bytes.
type cutConn struct {
	net.Conn
	text string
	n    int
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.text == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.text)
	c.text = c.text[n:]
	return n, nil
}

func throughGuard(text string, cut int) (string, error) {
	b, err := io.ReadAll(newGuarded(&cutConn{text: text, n: cut}, time.Minute))
	return string(b), err
}

const (
	plainRequest = "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.example\r\nUser-Agent: OpenAI/Python 2.0.0\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\nContent-Type: application/json\r\nAuthorization: Bearer sk-0123456789abcdef0123456789abcdef\r\nX-Stainless-Lang: python\r\nX-Stainless-Package-Version: 2.0.0\r\nX-Stainless-Runtime: CPython\r\nContent-Length: 5\r\n\r\nhello"
	chunkRequest = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"
)

func TestTheGuardReturnsWhatCameBeforeABadRequest(t *testing.T) {
	bad := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	for _, before := range []string{"", plainRequest, chunkRequest, plainRequest + "\r\n", plainRequest + chunkRequest + plainRequest} {
		got, err := throughGuard(before+bad, 1<<20)
		if got != before || !errors.Is(err, errFraming) {
			t.Errorf("%q, %v; want %q", got, err, before)
		}
		for cut := 1; cut < 200; cut++ {
			if got, err := throughGuard(before+bad, cut); !errors.Is(err, errFraming) || !strings.HasPrefix(before+bad, got) || strings.Contains(got, "0\r\n\r\n"+"0") {
				t.Fatalf("reads of %d bytes: %q, %v", cut, got, err)
			}
		}
	}
}

// FuzzGuard: what passes does not depend on how it is cut and comes out
// unchanged.
func FuzzGuard(f *testing.F) {
	for _, s := range []string{
		plainRequest, chunkRequest, plainRequest + chunkRequest, "GET / HTTP/1.1\r\n\r\n\r\n", "GET / HTTP/1.1\n\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", strings.Repeat("a", 300<<10),
	} {
		f.Add(s, uint16(7))
	}
	f.Fuzz(func(t *testing.T, text string, cut uint16) {
		whole, err := throughGuard(text, max(len(text), 1))
		pieces, cutErr := throughGuard(text, int(cut%512)+1)
		if (err == nil) != (cutErr == nil) || err == nil && (whole != text || pieces != text) {
			t.Errorf("%q: %v with %d bytes, in pieces %v with %d", text, err, len(whole), cutErr, len(pieces))
		}
		if !strings.HasPrefix(text, whole) || !strings.HasPrefix(text, pieces) {
			t.Errorf("%q came out as %q and %q", text, whole, pieces)
		}
	})
}

func BenchmarkGuard(b *testing.B) {
	g := newGuarded(nil, time.Minute)
	request := []byte(plainRequest)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := g.look(request); !ok {
			b.Fatal("refused")
		}
	}
}

func TestTLSIsTheNewOneAndHTTP2ComesThrough(t *testing.T) {
	certFile, keyFile := testenv.Certificate(t, "localhost")
	s := serving(t, Options{CertFile: certFile, KeyFile: keyFile, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || !r.TLS.HandshakeComplete {
			t.Error("the handler knows nothing of TLS")
		}
		io.WriteString(w, r.Proto)
	})})
	address := s.Addr().String()
	for _, h2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: h2} //nolint:gosec // a test's own
		for range 2 {
			resp, err := (&http.Client{Transport: tr}).Get("https://" + address)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]; string(b) != want {
				t.Errorf("%s, want %s", b, want)
			}
		}
		tr.CloseIdleConnections()
	}
	for version, good := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}) //nolint:gosec // a test's own
		if (err == nil) != good {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			c.Close()
		}
	}
	plain, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(plain, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, _ := io.ReadAll(plain); !strings.HasPrefix(string(b), "HTTP/1.0 400 ") {
		t.Errorf("plain HTTP to a port with TLS is answered with %q", b)
	}
	// Handshakes that never come do not hold up the others, nor the end.
	for range 50 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a test's own
	resp, err := (&http.Client{Transport: tr}).Get("https://" + address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	tr.CloseIdleConnections()
}
