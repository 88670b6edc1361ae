package proxy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// lockedLog is written by many goroutines.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// faultyConn panics where it is read after so many reads.
type faultyConn struct {
	net.Conn
	left *atomic.Int32
}

func (c faultyConn) Read(p []byte) (int, error) {
	if c.left.Add(-1) < 0 {
		panic("a bug, with the key sk-planted0123456789abcdef in its hands")
	}
	return c.Conn.Read(p)
}

// TestABugEndsOneRequestAndShowsNothing: before an answer it is a failure like
// others, within one the answer is cut and not ended, and neither client nor
// log learns what was at hand.
func TestABugEndsOneRequestAndShowsNothing(t *testing.T) {
	base := cheapUpstream(t, 20, 3*time.Millisecond)
	var left atomic.Int32
	log := &lockedLog{}
	c := Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	c.Upstream.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return faultyConn{conn, &left}, err
	}
	p, url := gateway(t, c)
	body := `{"model":"fast","stream":true,"messages":[]}`

	left.Store(0)
	resp, answer := post(t, url+"/v1/chat/completions", body)
	if resp.StatusCode != 500 || !strings.HasPrefix(answer, `{"error":{`) {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}

	left.Store(2)
	conn, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, raw(chatLine, sized(body), body))
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	b, _ := io.ReadAll(conn)
	if text := string(b); !strings.HasPrefix(text, "HTTP/1.1 200 ") || strings.HasSuffix(text, "0\r\n\r\n") || strings.Contains(text, `{"error"`) {
		t.Errorf("a bug within a stream: %q", text)
	}

	if text := log.String(); strings.Contains(text, "planted0123456789abcdef") || strings.Count(text, "internal error") != 2 {
		t.Errorf("the log: %s", text)
	}
	left.Store(1000)
	if resp, answer := post(t, url+"/v1/chat/completions", body); resp.StatusCode != 200 || !strings.HasSuffix(answer, "data: [DONE]\n\n") {
		t.Errorf("the next request: %d %s", resp.StatusCode, answer)
	}
	if n := p.live.Load().api.InFlight(); n != 0 {
		t.Errorf("%d requests are in flight", n)
	}
}
