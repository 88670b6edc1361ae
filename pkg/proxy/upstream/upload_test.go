package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// bodySource is a body that tells when it is closed.
type bodySource struct {
	io.Reader
	closed chan struct{}
}

func (s *bodySource) Close() error {
	close(s.closed)
	return nil
}

func newSource(r io.Reader) *bodySource { return &bodySource{r, make(chan struct{})} }

func (s *bodySource) ended(t *testing.T) {
	t.Helper()
	select {
	case <-s.closed:
	case <-time.After(5 * time.Second):
		t.Fatal("the body is still being read")
	}
}

// broken gives some bytes, then an error.
type broken struct{ left int }

var errBroken = errors.New("the client is gone")

func (b *broken) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errBroken
	}
	n := min(len(p), b.left)
	b.left -= n
	return n, nil
}

func TestABodyIsSentAsItComes(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 30_000)
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(body, data) && len(body) > 0 {
			w.WriteHeader(400)
		}
		if r.ContentLength < 0 {
			io.WriteString(w, "chunks")
			return
		}
		io.WriteString(w, "length")
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	for _, netHTTP := range []bool{false, true} {
		connections.Store(0)
		c := client(t, Options{NetHTTP: netHTTP})
		for _, tt := range []struct {
			body   io.Reader
			length int64
			want   string
		}{
			{bytes.NewReader(data), int64(len(data)), "length"}, {bytes.NewReader(data), -1, "chunks"}, {strings.NewReader(""), -1, "chunks"},
			{io.MultiReader(bytes.NewReader(data[:1]), bytes.NewReader(data[1:])), -1, "chunks"},
		} {
			b := newSource(tt.body)
			resp, lease, err := c.Do(t.Context(), &call.Request{Method: "POST", URL: parse(t, s.URL), Upload: b, Length: tt.length})
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.Status != 200 || string(text) != tt.want {
				t.Errorf("%d %q, %v", resp.Status, text, err)
			}
			b.ended(t)
			lease.Done()
		}
		if n := connections.Load(); n != 1 {
			t.Errorf("%d connections for requests one after the other", n)
		}
	}
}

// What cannot be had to its end must not look whole to the upstream.
func TestABodyThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	for _, tt := range []struct {
		name   string
		body   io.Reader
		length int64
	}{
		{"of known length", &broken{100_000}, 200_000}, {"of unknown length", &broken{100_000}, -1}, {"shorter than announced", strings.NewReader("short"), 100_000},
		{"longer than announced", strings.NewReader(strings.Repeat("x", 1000)), 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan error, 1)
			base := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
				_, _, err := readRequest(br)
				got <- err
			})
			b := newSource(tt.body)
			if _, _, err := client(t, Options{}).Do(t.Context(), &call.Request{Method: "POST", URL: parse(t, base), Upload: b, Length: tt.length, Deadline: time.Now().Add(5 * time.Second)}); err == nil {
				t.Error("no error")
			}
			b.ended(t)
			if err := <-got; err == nil {
				t.Error("the upstream has read a whole request")
			}
		})
	}
}

func TestABodyIsClosedWhateverHappens(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	silent := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
		_, _, _ = readRequest(br)
		_, _ = br.ReadByte()
	})
	early := scripted(t, func(_ int, c net.Conn, br *bufio.Reader) {
		_, _ = br.ReadString('\n')
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		time.Sleep(20 * time.Millisecond)
	})
	for _, netHTTP := range []bool{false, true} {
		for _, tt := range []struct {
			name   string
			ctx    context.Context
			r      call.Request
			status int
		}{
			{"nobody listens", t.Context(), call.Request{URL: parse(t, "http://127.0.0.1:1/")}, 0},
			{"nobody waits", gone, call.Request{URL: parse(t, silent)}, 0},
			{"a header that cannot be sent", t.Context(), call.Request{URL: parse(t, silent), Header: http.Header{"X": {"a\nb"}}}, 0},
			{"no answer in time", t.Context(), call.Request{URL: parse(t, silent), Deadline: time.Now().Add(50 * time.Millisecond)}, 0},
			{"an answer before the end", t.Context(), call.Request{URL: parse(t, early), Deadline: time.Now().Add(5 * time.Second)}, 413},
		} {
			b := newSource(io.LimitReader(zeros{}, 64<<20))
			tt.r.Method, tt.r.Upload, tt.r.Length = "POST", b, 64<<20
			resp, _, err := client(t, Options{NetHTTP: netHTTP}).Do(tt.ctx, &tt.r)
			if err == nil {
				if text, _ := io.ReadAll(resp.Body); string(text) != "big" {
					t.Errorf("%s: %q", tt.name, text)
				}
				resp.Body.Close()
			}
			if resp.Status != tt.status && !netHTTP || (err == nil) != (resp.Status != 0) {
				t.Errorf("%s: %d, %v", tt.name, resp.Status, err)
			}
			b.ended(t)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
