package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
)

// A stream waits for minutes, a thousand of them at once: what it holds
// meanwhile is what the gateway's memory is made of.
func TestAWaitingStreamHoldsASmallStackAndNoBuffers(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector memory is another; run it without -race")
	}
	for _, tt := range []struct {
		name   string
		secure bool
		heap   int64 // net/http's buffers are 10 KB of it, and its two connections 2
	}{
		{"plain", false, 26 << 10},
		{"TLS", true, 50 << 10}, // its records are 4 KB, as is the buffer for what they hold
	} {
		t.Run(tt.name, func(t *testing.T) { waitingStream(t, tt.secure, tt.heap) })
	}
}

func waitingStream(t *testing.T, secure bool, most int64) {
	const streams = 200
	const body = `{"model":"slow","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	base := "http://" + ln.Addr().String()
	if secure {
		s := httptest.NewUnstartedServer(nil)
		s.StartTLS()
		s.Close()
		ln = tls.NewListener(ln, s.TLS)
		base = "https://" + ln.Addr().String()
	}
	c, _ := load(t, `
model_list:
- {model_name: slow, litellm_params: {model: openai/m, api_key: k, api_base: "`+base+`/v1", ssl_verify: false}}
general_settings: {master_key: `+testKey+`}`)
	_, url := gateway(t, c)
	address := strings.TrimPrefix(url, "http://")

	// Neither end has a goroutine per stream, so that all there are are the
	// gateway's.
	var open []net.Conn
	begin := func() {
		client, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(client, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", testKey, len(body), body)
		up, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadRequest(bufio.NewReaderSize(up, 16))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		event := `data: {"id":"1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"one"}}]}` + "\n\n"
		fmt.Fprintf(up, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(event), event)
		resp, err := http.ReadResponse(bufio.NewReaderSize(client, 16), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		if line, err := bufio.NewReaderSize(resp.Body, 16).ReadString('\n'); err != nil || !strings.Contains(line, `"one"`) {
			t.Fatal(line, err)
		}
		open = append(open, client, up)
	}
	begin() // what is made once
	before := settled()
	for range streams {
		begin()
	}
	after := settled()
	stack, heap := (after[0]-before[0])/streams, (after[1]-before[1])/streams
	t.Logf("a stream that waits holds %d bytes of stack and %d of heap", stack, heap)
	// 8 KB of the handler and 4 of the goroutine with which net/http notices
	// that the client has left.
	if stack > 13<<10 {
		t.Errorf("%d bytes of stack: the handler's frames no longer fit into a quarter of 16 KB while it waits", stack)
	}
	if heap > most {
		t.Errorf("%d bytes of heap", heap)
	}
	for _, c := range open {
		c.Close()
	}
}

// settled are the bytes of stacks and of live objects, when the collector has
// done what it can.
func settled() [2]int64 {
	for range 4 {
		runtime.GC()
	}
	s := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return [2]int64{int64(s[0].Value.Uint64()), int64(s[1].Value.Uint64())}
}
