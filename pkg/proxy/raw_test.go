package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

// raw builds a request with a key, so that only its form can be what is wrong.
func raw(requestLine, headers, body string) string {
	return requestLine + "\r\nHost: x\r\nAuthorization: Bearer " + testKey + "\r\nContent-Type: application/json\r\n" + headers + "\r\n" + body
}

const smallChat = `{"model":"fast","messages":[]}`

const chatLine = "POST /v1/chat/completions HTTP/1.1"

func sized(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }

func inChunks(body string) string { return chunk(body) + "0\r\n\r\n" }

func oneByOne(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteString(chunk(s[i : i+1]))
	}
	return b.String()
}

// exchangeRaw sends bytes and returns the status of every answer, and whether
// the connection ended. It waits for so many answers; for 0 it waits for the
// end, and ends its own side when nothing happens, but not at once: a server
// may take that for a client that has left.
func exchangeRaw(t testing.TB, dial func() (net.Conn, error), send string, answers int) (statuses []int, ended bool) {
	t.Helper()
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	over := make(chan struct{})
	defer close(over)
	go func() {
		_, _ = io.WriteString(c, send) // an early refusal may cut it
		if answers > 0 {
			return
		}
		select {
		case <-time.After(250 * time.Millisecond):
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
		case <-over:
		}
	}()
	br := bufio.NewReader(c)
	for answers == 0 || len(statuses) < answers {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			timeout, ok := err.(net.Error)
			return statuses, !ok || !timeout.Timeout()
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
	}
	return statuses, false
}

// onBothListeners runs f before a gateway without TLS and one with it.
func onBothListeners(t *testing.T, c func() Config, f func(t *testing.T, dial func() (net.Conn, error))) {
	t.Run("plain", func(t *testing.T) {
		p, _ := gateway(t, c())
		f(t, func() (net.Conn, error) { return net.Dial("tcp", p.Addr().String()) })
	})
	t.Run("TLS", func(t *testing.T) {
		secured := c()
		secured.Listener.CertFile, secured.Listener.KeyFile = testenv.Certificate(t, "localhost")
		p, _ := gateway(t, secured)
		f(t, func() (net.Conn, error) {
			return tls.Dial("tcp", p.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test's own
		})
	})
}

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
