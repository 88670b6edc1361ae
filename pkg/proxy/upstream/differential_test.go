package upstream

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// read is what a client made of an answer.
type read struct {
	Status int
	Header http.Header
	Body   string
	Failed bool // before or within the body
}

func hear(resp call.Response, err error) read {
	if err != nil {
		return read{Failed: true}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	h := resp.Header.Clone()
	for _, name := range []string{"Connection", "Transfer-Encoding", "Trailer"} { // net/http takes them out
		h.Del(name)
	}
	return read{Status: resp.Status, Header: h, Body: string(body), Failed: err != nil}
}

// TestOddAnswersAreReadAsNetHTTPReadsThem: the two clients agree about each
// answer, but for those where the table says why not, and no answer harms the
// next request.
func TestOddAnswersAreReadAsNetHTTPReadsThem(t *testing.T) {
	list := oddAnswers()
	differ := 0
	for _, tt := range list {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int32
			base := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
				connections.Add(1)
				for {
					_, body, err := readRequest(br)
					if err != nil {
						return
					}
					if body == "next" {
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
						continue
					}
					tt.write(c)
					if !tt.keep {
						return
					}
				}
			})
			own, theirs := New(Options{}), newProxied(Options{}, nil, context.Background())
			defer own.Close()
			defer theirs.Close()
			ask := func(u call.Upstream, method, body string) read {
				resp, lease, err := u.Do(t.Context(), &call.Request{
					Method: method, URL: parse(t, base), Header: http.Header{}, Body: []byte(body), Deadline: time.Now().Add(20 * time.Second),
				})
				defer lease.Done()
				return hear(resp, err)
			}
			got := ask(own, tt.method, "odd")
			want := ask(theirs, tt.method, "odd")
			d := cmp.Diff(want, got)
			switch {
			case tt.differs == "" && d != "":
				t.Errorf("net/http reads it differently (-net/http +own):\n%s", short(d))
			case tt.differs == "" && !got.Failed && got.Status == 0:
				t.Error("neither an answer nor an error")
			case tt.differs != "" && d == "":
				t.Errorf("both read it alike, though the table says: %s", tt.differs)
			case tt.differs == strict && !got.Failed:
				t.Errorf("it is not refused: %+v", got)
			}
			for range 2 {
				if next := ask(own, "POST", "next"); next.Failed || next.Body != "next" || next.Status != 200 {
					t.Fatalf("the next request got %+v", next)
				}
			}
		})
		if tt.differs != "" {
			differ++
		}
	}
	if len(list) < 80 {
		t.Errorf("%d answers", len(list))
	}
	t.Logf("%d answers, %d of them read differently on purpose", len(list), differ)
}

func short(s string) string { return s[:min(len(s), 1500)] }

// wireConn is a connection that has everything to read already.
type wireConn struct {
	net.Conn
	r io.Reader
}

func (c *wireConn) Read(p []byte) (int, error)         { return c.r.Read(p) }
func (c *wireConn) Write(p []byte) (int, error)        { return len(p), nil }
func (c *wireConn) Close() error                       { return nil }
func (c *wireConn) SetDeadline(time.Time) error        { return nil }
func (c *wireConn) SetReadDeadline(t time.Time) error  { return nil }
func (c *wireConn) SetWriteDeadline(t time.Time) error { return nil }

// pieces hands its text out in reads of n bytes.
type pieces struct {
	text string
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.n)], p.text)
	p.text = p.text[n:]
	return n, nil
}

// readOwn reads one answer from bytes, and reports whether the connection would
// be used again and what was left on it.
func readOwn(text, method string, piece int) (got read, kept bool, rest string) {
	source := &pieces{text, piece}
	client := New(Options{})
	defer client.Close()
	h := &host{client: client}
	c := newConn(&wireConn{r: source}, h)
	c.expires = time.Now().Add(time.Hour)
	resp, _, _, err := c.exchange(background, &call.Request{Method: method, URL: anyURL, Body: []byte("{}")})
	got = hear(resp, err)
	h.mu.Lock()
	kept = len(h.idle) == 1
	h.mu.Unlock()
	left, _ := io.ReadAll(&c.in)
	return got, kept, string(left)
}

// FuzzAnswer: what we make of an answer does not depend on how it is cut, what
// we accept net/http accepts and reads alike, and a connection that is kept has
// nothing of the answer left on it.
func FuzzAnswer(f *testing.F) {
	for _, tt := range oddAnswers() {
		if len(tt.answer) > 0 && len(tt.answer) < 8<<10 {
			f.Add(tt.answer, tt.method == "HEAD", uint16(len(tt.answer)/2))
		}
	}
	f.Fuzz(func(t *testing.T, text string, head bool, piece uint16) {
		stuck := time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("stuck on %q, reads of %d bytes", text, piece%4096+1)) })
		defer stuck.Stop()
		method := "POST"
		if head {
			method = "HEAD"
		}
		whole, kept, rest := readOwn(text, method, max(len(text), 1))
		cut, keptCut, _ := readOwn(text, method, int(piece%4096)+1)
		if d := cmp.Diff(whole, cut); d != "" {
			t.Fatalf("%q: reads of %d bytes change the result:\n%s", text, piece%4096+1, d)
		}
		if kept && !keptCut {
			t.Errorf("%q: reads of %d bytes lose the connection", text, piece%4096+1)
		}
		if kept && rest != "" {
			t.Errorf("%q: a connection is kept with %q on it", text, rest)
		}
		br := bufio.NewReader(strings.NewReader(text))
		var resp *http.Response
		var err error
		for range 10 {
			resp, err = http.ReadResponse(br, &http.Request{Method: method})
			if err != nil || resp.StatusCode >= 200 {
				break
			}
		}
		if err != nil {
			if !whole.Failed {
				t.Fatalf("%q: we accept what net/http does not: %v", text, err)
			}
			return
		}
		theirs := hear(call.Response{Status: resp.StatusCode, Header: resp.Header, Body: resp.Body}, nil)
		if whole.Failed {
			if len(whole.Body) > len(theirs.Body) || !strings.HasPrefix(theirs.Body, whole.Body) {
				t.Errorf("%q: before the failure we read %q, net/http %q", text, whole.Body, theirs.Body)
			}
			return
		}
		if head { // net/http leaves a length beside chunks where no body follows
			theirs.Header.Del("Content-Length")
			whole.Header.Del("Content-Length")
		}
		if d := cmp.Diff(theirs, whole); d != "" {
			t.Errorf("%q (-net/http +own):\n%s", text, d)
		}
		if kept {
			if left, _ := io.ReadAll(br); !bytes.Equal(left, []byte(rest)) {
				t.Errorf("%q: net/http leaves %q, we %q", text, left, rest)
			}
		}
	})
}

var (
	background = context.Background()
	anyURL     = &url.URL{Scheme: "http", Host: "upstream.example"}
)
