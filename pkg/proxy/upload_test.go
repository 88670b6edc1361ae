package proxy

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// uploads is a gateway before a service that tells what it was sent: /x reads it
// all, /early answers before, /never reads and says nothing.
func uploads(t *testing.T, settings string) (p *Proxy, url string, cut chan error) {
	t.Helper()
	cut = make(chan error, 10)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(413)
			io.WriteString(w, "no more")
			return
		case "/never":
			time.Sleep(time.Second)
			return
		}
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		if err != nil {
			cut <- err
			return
		}
		fmt.Fprintf(w, "%d of %d %s", n, r.ContentLength, hex.EncodeToString(h.Sum(nil)[:4]))
	}))
	t.Cleanup(up.Close)
	c, findings := load(t, strings.ReplaceAll(`
general_settings:
  master_key: `+testKey+`
  `+settings+`
  pass_through_endpoints:
  - {path: /x, target: "UPSTREAM/x"}
  - {path: /early, target: "UPSTREAM/early"}
  - {path: /never, target: "UPSTREAM/never", timeout: 0.3}
  - {path: /down, target: "http://127.0.0.1:1/"}
`, "UPSTREAM", up.URL))
	for _, f := range findings {
		t.Error(f.Message)
	}
	c.API.BodyPatience = 300 * time.Millisecond
	p, url = gateway(t, c)
	return p, url, cut
}

// lengthless hides how long a body is.
type lengthless struct{ io.Reader }

func upload(t *testing.T, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("POST", url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestBodiesPassThroughAsTheyComeWhateverTheirLength(t *testing.T) {
	_, url, _ := uploads(t, "")
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 80 << 20} { // the last is beyond what other requests may have
		data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		sum := sha256.Sum256(data)
		for _, known := range []bool{true, false} {
			var body io.Reader = bytes.NewReader(data)
			length := fmt.Sprint(size)
			if !known {
				body = lengthless{body}
				if size >= 64<<10 {
					length = "-1"
				}
			}
			resp, text := upload(t, url+"/x", body)
			if want := fmt.Sprintf("%d of %s %s", size, length, hex.EncodeToString(sum[:4])); resp.StatusCode != 200 || text != want || resp.Close {
				t.Errorf("%d bytes: %d %s (closed: %t), want %s", size, resp.StatusCode, text, resp.Close, want)
			}
		}
	}
}

func TestAnUploadHasTheLimitOfTheConfiguration(t *testing.T) {
	_, url, cut := uploads(t, "max_request_size_mb: 1")
	data := make([]byte, 1<<20+1)
	if resp, text := upload(t, url+"/x", bytes.NewReader(data[:1<<20])); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	for _, body := range []io.Reader{bytes.NewReader(data), lengthless{bytes.NewReader(data)}} {
		if resp, text := upload(t, url+"/x", body); resp.StatusCode != 400 || !strings.Contains(text, "Request size is too large") || !resp.Close {
			t.Errorf("%d %s (closed: %t)", resp.StatusCode, text, resp.Close)
		}
	}
	select {
	case <-cut: // the one without a length had begun
	case <-time.After(5 * time.Second):
		t.Error("the service has taken a body that was cut for whole")
	}
}

// begun sends the beginning of a request and returns the connection.
func begun(t *testing.T, url, path, head string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", path, testKey, head)
	return c, bufio.NewReader(c)
}

func TestAnAnswerThatComesEarlyIsPassedOnAndEndsTheUpload(t *testing.T) {
	_, url, _ := uploads(t, "")
	for _, head := range []string{"Content-Length: 100000000", "Transfer-Encoding: chunked"} {
		c, br := begun(t, url, "/early", head)
		// A beginning that is too long to be held, then nothing. What follows must
		// not be read as another request.
		beginning := strings.Repeat("x", 100_000)
		if strings.HasPrefix(head, "Transfer") {
			beginning = fmt.Sprintf("%x\r\n%s\r\n", len(beginning), beginning)
		}
		io.WriteString(c, beginning)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(head, err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != 413 || string(body) != "no more" || err != nil || !resp.Close {
			t.Errorf("%s: %d %q, %v, closed: %t", head, resp.StatusCode, body, err, resp.Close)
		}
		fmt.Fprintf(c, "GET /health/liveliness HTTP/1.1\r\nHost: x\r\n\r\n")
		if rest, _ := io.ReadAll(br); len(rest) > 0 {
			t.Errorf("%s: behind the answer came %q", head, rest)
		}
	}
}

func TestAnUploadThatStopsOrBreaksOffIsNotTakenForWhole(t *testing.T) {
	p, url, cut := uploads(t, "")
	whole := func(what string) {
		t.Helper()
		select {
		case <-cut:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the service has not seen the end of the request", what)
		}
	}
	c, br := begun(t, url, "/x", "Content-Length: 1000000")
	io.WriteString(c, strings.Repeat("x", 100_000))
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 408 || !resp.Close || !strings.Contains(string(body), "took longer than 300ms") {
		t.Errorf("a client that stops gets %d %s", resp.StatusCode, body)
	}
	whole("a client that stops")

	c, _ = begun(t, url, "/x", "Content-Length: 1000000")
	io.WriteString(c, strings.Repeat("x", 100_000))
	c.Close()
	whole("a client that leaves")

	if resp, text := upload(t, url+"/never", bytes.NewReader(make([]byte, 10<<20))); resp.StatusCode != 504 {
		t.Errorf("a service that does not answer: %d %s", resp.StatusCode, text)
	}
	if resp, text := upload(t, url+"/down", bytes.NewReader(make([]byte, 10<<20))); resp.StatusCode != 500 || !strings.Contains(text, "cannot be reached") {
		t.Errorf("a service that is not there: %d %s", resp.StatusCode, text)
	}
	for deadline := time.Now().Add(5 * time.Second); p.live.Load().api.InFlight() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are in flight", p.live.Load().api.InFlight())
		}
	}
}
