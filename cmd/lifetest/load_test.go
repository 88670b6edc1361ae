//go:build unix

package lifetest

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load sends requests of every kind until it is stopped. Nothing of it is ever
// tried again: what a client library would hide by a retry counts as failed.
type load struct {
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup
	target func() string
	idle   func() // closes kept connections

	answers, streams, aborted, gets atomic.Int64
	second                          atomic.Int64 // answers by HTTP/2
	mu                              sync.Mutex
	failed                          []string
	slowest                         time.Duration
}

// startLoad begins: callers with kept connections, callers that connect anew for
// each request, and streams, each as fast as pause lets them. gets are addresses
// that are asked beside, with a connection each. Over TLS half of the kept
// connections speak HTTP/2, on which many requests are in flight at once.
func startLoad(url string, callers int, pause time.Duration, gets ...string) *load {
	l := &load{target: func() string { return url }}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	// The tests' certificates are their own.
	trust := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a test
	kept := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100, TLSClientConfig: trust}, Timeout: time.Minute}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust}, Timeout: time.Minute}
	second := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: trust.Clone()}, Timeout: time.Minute}
	l.idle = func() { kept.CloseIdleConnections(); second.CloseIdleConnections() }
	for i := range callers {
		c := kept
		switch {
		case i%2 == 1:
			c = fresh
		case i%4 == 2 && strings.HasPrefix(url, "https:"):
			c = second
		}
		l.run(pause, func() { l.answer(c) })
		l.run(pause, func() { l.stream(c, false) })
	}
	for _, g := range gets {
		l.run(5*pause, func() { l.get(fresh, g) })
	}
	return l
}

func (l *load) run(pause time.Duration, f func()) {
	l.wait.Go(func() {
		for l.ctx.Err() == nil {
			f()
			select {
			case <-time.After(pause):
			case <-l.ctx.Done():
			}
		}
	})
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

func (l *load) request(ctx context.Context, stream bool) *http.Request {
	body := fmt.Sprintf(`{"model":"fake","stream":%t,"messages":[{"role":"user","content":"hi"}]}`, stream)
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, l.target()+"/v1/chat/completions", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.GetBody = nil // without it net/http cannot try again
	return req
}

func (l *load) answer(c *http.Client) {
	begin := time.Now()
	resp, err := c.Do(l.request(context.Background(), false))
	if err != nil {
		l.fail("answer: %v", err)
		return
	}
	defer resp.Body.Close()
	if resp.ProtoMajor == 2 {
		l.second.Add(1)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !strings.Contains(string(b), `"finish_reason":"`) {
		l.fail("answer: %d %v %.200s", resp.StatusCode, err, b)
		return
	}
	l.took(time.Since(begin))
	l.answers.Add(1)
}

func (l *load) took(d time.Duration) {
	l.mu.Lock()
	l.slowest = max(l.slowest, d)
	l.mu.Unlock()
}

// stream reads a stream to its end, or leaves it in the middle.
func (l *load) stream(c *http.Client, abort bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	resp, err := c.Do(l.request(ctx, true))
	if err != nil {
		l.fail("stream: %v", err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		b, _ := io.ReadAll(resp.Body)
		l.fail("stream: %d %.200s", resp.StatusCode, b)
		return
	}
	lines := bufio.NewScanner(resp.Body)
	events, done := 0, false
	for lines.Scan() {
		text := lines.Text()
		switch {
		case text == "data: [DONE]":
			done = true
		case strings.HasPrefix(text, "data: {\"error\""):
			l.fail("stream: %s", text)
			return
		case strings.HasPrefix(text, "data: "):
			events++
		}
		if abort && events == chunks/4 {
			l.aborted.Add(1)
			return
		}
	}
	if err := lines.Err(); err != nil || !done || events < chunks {
		l.fail("stream cut after %d events: done %t, %v", events, done, err)
		return
	}
	l.streams.Add(1)
}

func (l *load) get(c *http.Client, url string) {
	resp, err := c.Get(url)
	if err != nil {
		l.fail("GET %s: %v", url, err)
		return
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != 200 {
		l.fail("GET %s: %d %v", url, resp.StatusCode, err)
		return
	}
	l.gets.Add(1)
}

// stop ends the load and demands that nothing has failed.
func (l *load) stop(t testing.TB) {
	t.Helper()
	l.cancel()
	l.wait.Wait()
	l.idle()
	t.Logf("%d answers (%d by HTTP/2), %d streams of %d events, %d aborted, %d other requests; %d failed; slowest answer %s",
		l.answers.Load(), l.second.Load(), l.streams.Load(), chunks, l.aborted.Load(), l.gets.Load(), len(l.failed), l.slowest.Round(time.Millisecond))
	for _, f := range l.failed[:min(len(l.failed), 10)] {
		t.Error(f)
	}
	if l.answers.Load() == 0 || l.streams.Load() == 0 {
		t.Error("the load sent nothing")
	}
}
