package proxy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// echoing is an upstream that keeps the last body it got.
func echoing(t *testing.T) (base string, last func() string, asked *atomic.Int32) {
	t.Helper()
	var mu sync.Mutex
	var body string
	asked = new(atomic.Int32)
	base = upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		body = string(b)
		mu.Unlock()
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	return base, func() string { mu.Lock(); defer mu.Unlock(); return body }, asked
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func inUTF16(s string, mark bool) string {
	var b strings.Builder
	if mark {
		b.WriteString("\xff\xfe")
	}
	for _, u := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(u))
		b.WriteByte(byte(u >> 8))
	}
	return b.String()
}

// TestHostileBodiesEndInOneErrorOrPassUntouched: what the gateway need not read
// it passes on byte by byte, what it cannot read it refuses.
func TestHostileBodiesEndInOneErrorOrPassUntouched(t *testing.T) {
	base, last, asked := echoing(t)
	_, url := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	var million strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&million, `,"k%d":%d`, i, i)
	}
	deep := func(n int) string {
		return strings.Repeat(`{"a":[`, n/2) + "1" + strings.Repeat("]}", n/2)
	}
	with := func(rest string) string {
		if !strings.Contains(rest, `"messages"`) {
			rest = `"messages":[],` + rest
		}
		return `{"model":"fast",` + rest + `}`
	}
	tests := []struct {
		name, body string
		header     []string
		status     int // 200: it must arrive unchanged but for the model
	}{
		{name: "a million members", body: `{"model":"fast"` + million.String() + `}`, status: 400},
		{name: "a million members before the model", body: `{` + million.String()[1:] + `,"model":"fast"}`, status: 400},
		{name: "one member a million times", body: with(strings.Repeat(`"x":1,`, 1_000_000) + `"y":2`), status: 400},
		{name: "a member with a million members", body: with(`"x":{` + million.String()[1:] + `}`), status: 200},
		{name: "4,000 members", body: with(strings.Repeat(`"x":1,`, 4000) + `"y":2`), status: 200},
		{name: "9,000 levels", body: with(`"x":` + deep(9000)), status: 200},
		{name: "a million levels", body: with(`"x":` + deep(1_000_000)), status: 400},
		{name: "a million levels without an end", body: `{"model":"fast","x":` + strings.Repeat("[", 1_000_000), status: 400},
		{name: "a million levels at the top", body: strings.Repeat("[", 1_000_000), status: 400},
		{name: "1e999", body: with(`"temperature":1e999,"max_tokens":1e999,"n":-1e999`), status: 200},
		{name: "a number of a million digits", body: with(`"max_tokens":` + strings.Repeat("9", 1_000_000)), status: 200},
		{name: "1e999 seconds", body: with(`"timeout":1e999`), status: 400},
		{name: "NaN seconds", body: with(`"timeout":NaN`), status: 400},
		{name: "1e999 retries", body: with(`"num_retries":1e999`), status: 200},
		{name: "lone surrogates", body: with(`"messages":[{"content":"\ud800 \udfff \ud83d"}],"user":"\ud800"`), status: 200},
		{name: "a lone surrogate in the model", body: `{"model":"fast\ud800"}`, status: 400},
		{name: "a NUL in the model", body: `{"model":"fast\u0000"}`, status: 400},
		{name: "a line break in the model", body: `{"model":"fast\r\nX-Evil: 1"}`, status: 400},
		{name: "a line break in the user", body: with(`"user":"a\r\nX-Evil: 1","messages":[]`), status: 200},
		{name: "invalid UTF-8 in the model", body: "{\"model\":\"fast\xff\"}", status: 400},
		{name: "raw control characters", body: "{\"model\":\"fast\",\"messages\":[{\"content\":\"\x00\x01\x1b\"}]}", status: 200},
		{name: "a byte order mark", body: "\xef\xbb\xbf" + smallChat, status: 400},
		{name: "UTF-16", body: inUTF16(smallChat, false), status: 400},
		{name: "UTF-16 with its mark", body: inUTF16(smallChat, true), status: 400},
		{name: "gzip", body: zipped(smallChat), header: []string{"Content-Encoding", "gzip"}, status: 400},
		{name: "gzip that says nothing", body: zipped(smallChat), status: 400},
		{name: "gzip that is none", body: smallChat, header: []string{"Content-Encoding", "gzip"}, status: 200},
		{name: "another charset", body: smallChat, header: []string{"Content-Type", "application/json; charset=utf-16"}, status: 200},
		{name: "a model of 1 MB", body: `{"model":"` + strings.Repeat("x", 1<<20) + `"}`, status: 400},
		{name: "a key of 1 MB", body: with(`"` + strings.Repeat("x", 1<<20) + `":1`), status: 200},
		{name: "keys in escapes", body: `{"\u006d\u006f\u0064\u0065\u006c":"fast","messages":[]}`, status: 200},
		{name: "a model that is an object", body: `{"model":{"a":"fast"}}`, status: 400},
		{name: "null for a model", body: `{"model":null}`, status: 400},
		{name: "null", body: `null`, status: 400},
		{name: "a string", body: `"model"`, status: 400},
		{name: "single quotes", body: `{'model':'fast'}`, status: 400},
		{name: "a comma too many", body: `{"model":"fast",}`, status: 400},
		{name: "no comma", body: `{"model":"fast" "messages":[]}`, status: 400},
		{name: "a comment", body: `{"model":"fast"/* x */}`, status: 400},
		{name: "blanks only", body: "  \r\n\t ", status: 400},
		{name: "two objects", body: smallChat + smallChat, status: 400},
		{name: "NUL behind the object", body: smallChat + "\x00", status: 400},
		{name: "a stream that is 1", body: with(`"stream":1`), status: 400},
		{name: "stream options that are a list", body: with(`"stream":false,"stream_options":[1]`), status: 400},
		{name: "a timeout of 1 MB", body: with(`"timeout":"` + strings.Repeat("x", 1<<20) + `"`), status: 400},
		{name: "a user of 1 MB", body: with(`"user":"` + strings.Repeat("x", 1<<20) + `"`), status: 200},
		{name: "metadata that is a number", body: with(`"metadata":7`), status: 200},
		{name: "a member called like Python's attributes", body: with(`"__class__":"x","__proto__":{"model":"y"},"constructor":1`), status: 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked.Store(0)
			resp, answer := post(t, url+"/v1/chat/completions", tt.body, tt.header...)
			if resp.StatusCode != tt.status {
				t.Fatalf("%d %.300s, want %d", resp.StatusCode, answer, tt.status)
			}
			if tt.status != 200 {
				wellFormed(t, answer)
				if asked.Load() != 0 {
					t.Error("the upstream was asked")
				}
				return
			}
			if resp.Header.Get("X-Evil") != "" {
				t.Error("a header was smuggled")
			}
			want := strings.Replace(tt.body, `"fast"`, `"gpt-4o-mini"`, 1)
			for _, gone := range []string{`"num_retries":1e999`, `"metadata":7`} { // the gateway's own, and what LiteLLM never sends
				want = strings.Replace(strings.Replace(want, gone+",", "", 1), ","+gone, "", 1)
			}
			if got := last(); got != want {
				t.Errorf("the upstream got %.200q of %d bytes, want %.200q of %d", got, len(got), want, len(want))
			}
		})
	}
}

// wellFormed checks an error's envelope: one JSON object, nothing behind it.
func wellFormed(t *testing.T, body string) {
	t.Helper()
	var e struct {
		Error *struct {
			Message *string
			Type    *string
			Code    *string
		}
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error == nil || e.Error.Message == nil || *e.Error.Message == "" || e.Error.Code == nil {
		t.Errorf("this is no error: %.300q, %v", body, err)
	}
	if len(body) > 40<<10 {
		t.Errorf("an error of %d bytes: %.300q", len(body), body)
	}
}

// TestEveryMemberThatIsReadOrKeptBackIsRefusedTwice, in any spelling.
func TestEveryMemberThatIsReadOrKeptBackIsRefusedTwice(t *testing.T) {
	base, _, asked := echoing(t)
	_, url := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	n := 0
	for m := splice.Model; m <= splice.APIVersion; m++ {
		name := m.String()
		if name == "" {
			continue
		}
		n++
		value := map[string]string{"stream": "true", "stream_options": "{}"}[name]
		if value == "" {
			value = `"fast"`
		}
		escaped := fmt.Sprintf(`\u%04x%s`, name[0], name[1:])
		for _, second := range []string{name, escaped} {
			resp, answer := post(t, url+"/v1/chat/completions", fmt.Sprintf(`{"messages":[],"%s":%s,"x":1,"%s":%s}`, name, value, second, value))
			if resp.StatusCode != 400 || !strings.Contains(answer, fmt.Sprintf(`duplicate key \"%s\" in request body`, name)) && name != "messages" {
				t.Errorf("%s twice: %d %s", name, resp.StatusCode, answer)
			}
		}
	}
	if n < 50 || asked.Load() != 0 {
		t.Errorf("%d members, the upstream was asked %d times", n, asked.Load())
	}
}

// TestAClientMayLeaveAtEveryByte: after each byte of its request, by a close or
// by a reset. Nothing is left of it, and the next client is served.
func TestAClientMayLeaveAtEveryByte(t *testing.T) {
	base, _, _ := echoing(t)
	p, url := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	for _, request := range []string{good, raw(chatLine, "Transfer-Encoding: chunked\r\n", inChunks(smallChat))} {
		for cut := range len(request) + 1 {
			c, err := net.Dial("tcp", p.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, request[:cut])
			if cut%2 == 0 {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			c.Close()
		}
	}
	waitFor(t, func() bool { return p.live.Load().api.InFlight() == 0 })
	if resp, answer := post(t, url+"/v1/chat/completions", smallChat); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
}

// TestAClientMayLeaveAtAnyPlaceOfAStream: the upstream is told each time.
func TestAClientMayLeaveAtAnyPlaceOfAStream(t *testing.T) {
	var open atomic.Int32
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		defer open.Add(-1)
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, firstEvent); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	p, _ := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	body := `{"model":"fast","stream":true,"messages":[]}`
	for n := 1; n < 1500; n += 37 {
		c, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c, raw(chatLine, sized(body), body))
		if _, err := io.ReadFull(c, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if n%2 == 0 {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}
	waitFor(t, func() bool { return open.Load() == 0 && p.live.Load().api.InFlight() == 0 })
}

// TestNoiseDoesNotHarm: random bytes, and requests with random bytes changed.
func TestNoiseDoesNotHarm(t *testing.T) {
	base, _, _ := echoing(t)
	p, url := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	r := rand.New(rand.NewPCG(7, 7))
	n := 400
	if testing.Short() {
		n = 50
	}
	for i := range n {
		var b []byte
		if i%2 == 0 {
			b = make([]byte, r.IntN(5000))
			for j := range b {
				b[j] = byte(r.Uint32())
			}
		} else {
			b = []byte(good)
			for range 1 + r.IntN(5) {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
		}
		c, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = c.Write(b)
		_ = c.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(c)
		c.Close()
		if e, ok := err.(net.Error); ok && e.Timeout() {
			t.Fatalf("%q is never answered", b)
		}
		for br := bufio.NewReader(bytes.NewReader(answer)); ; {
			if _, err := br.Peek(1); err != nil {
				break
			}
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatalf("%q is answered with %q", b, answer)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatalf("%q is answered with %q", b, answer)
			}
		}
	}
	if resp, answer := post(t, url+"/v1/chat/completions", smallChat); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
}

// TestExpectations: a client that asks before it sends its body gets its answer
// without the body where the key is wrong, and its 100 where it is right.
func TestExpectations(t *testing.T) {
	base, _, asked := echoing(t)
	p, _ := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	for _, tt := range []struct {
		name, head string
		first      int
	}{
		{"a good key", raw(chatLine, sized(smallChat)+"Expect: 100-continue\r\n", ""), 100},
		{"a wrong key", strings.Replace(raw(chatLine, sized(smallChat)+"Expect: 100-continue\r\n", ""), testKey, "sk-wrong", 1), 400},
		{"a body beyond the limit", raw(chatLine, "Content-Length: 99999999999\r\nExpect: 100-continue\r\n", ""), 400},
		{"an unknown path", raw("POST /nothing HTTP/1.1", sized(smallChat)+"Expect: 100-continue\r\n", ""), 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked.Store(0)
			c, err := net.Dial("tcp", p.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			io.WriteString(c, tt.head)
			br := bufio.NewReader(c)
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.first {
				t.Fatalf("answered %d, want %d", resp.StatusCode, tt.first)
			}
			if tt.first != 100 {
				if asked.Load() != 0 {
					t.Error("the upstream was asked")
				}
				return
			}
			io.WriteString(c, smallChat)
			if resp, err = http.ReadResponse(br, nil); err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v, %v", resp, err)
			}
			io.Copy(io.Discard, resp.Body)
		})
	}
}

// TestManyIdleConnectionsCostLittle: they hold no goroutines beyond the
// server's own, and do not keep others from being served.
func TestManyIdleConnectionsCostLittle(t *testing.T) {
	base, _, _ := echoing(t)
	p, url := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	var all []net.Conn
	defer func() {
		for _, c := range all {
			c.Close()
		}
	}()
	for i := range 500 {
		c, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		switch i % 3 { // silent, in a head, in a body
		case 1:
			io.WriteString(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		case 2:
			io.WriteString(c, raw(chatLine, "Content-Length: 100\r\n", `{"model":`))
		}
	}
	for range 20 {
		if resp, answer := post(t, url+"/v1/chat/completions", smallChat); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, answer)
		}
	}
}

// dripped sends text byte by byte until the other side has had enough, and
// returns what it said.
func dripped(t *testing.T, address, first, slowly string, gap time.Duration) (answer string, sent int) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(c, first)
	said := make(chan string, 1)
	go func() { b, _ := io.ReadAll(c); said <- string(b) }()
	for ; sent < len(slowly); sent++ {
		if _, err := io.WriteString(c, slowly[sent:sent+1]); err != nil {
			break
		}
		select {
		case answer := <-said:
			return answer, sent
		case <-time.After(gap):
		}
	}
	select {
	case answer := <-said:
		return answer, sent
	case <-time.After(20 * time.Second):
		t.Fatalf("the connection does not end after %d bytes", sent)
		return "", sent
	}
}

// TestSlowClientsLoseTheirConnection: slow heads, slow bodies, and clients that
// ask and do not listen.
func TestSlowClientsLoseTheirConnection(t *testing.T) {
	base, _, asked := echoing(t)
	c := Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}}
	c.Listener.HeaderTimeout, c.Listener.WriteTimeout, c.API.BodyPatience = 200*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond
	p, url := gateway(t, c)
	address := p.Addr().String()
	forever := strings.Repeat("x", 2000)

	if answer, sent := dripped(t, address, chatLine+"\r\nHost: x\r\nX: ", forever, 10*time.Millisecond); answer != "" || sent == len(forever) {
		t.Errorf("a slow head is answered with %q after %d bytes", answer, sent)
	}
	if answer, sent := dripped(t, address, raw(chatLine, "Content-Length: 5000\r\n", ""), forever, 10*time.Millisecond); !strings.HasPrefix(answer, "HTTP/1.1 408 ") || sent == len(forever) {
		t.Errorf("a slow body is answered with %q after %d bytes", answer, sent)
	}
	if answer, sent := dripped(t, address, raw(chatLine, "Transfer-Encoding: chunked\r\n", ""), strings.Repeat("1\r\nx\r\n", 400), 10*time.Millisecond); !strings.HasPrefix(answer, "HTTP/1.1 408 ") || sent == 2400 {
		t.Errorf("slow chunks are answered with %q after %d bytes", answer, sent)
	}
	if asked.Load() != 0 {
		t.Errorf("the upstream was asked %d times", asked.Load())
	}
	if resp, answer := post(t, url+"/v1/chat/completions", smallChat); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
}

// TestAClientThatDoesNotListenLosesItsAnswer: it would hold a goroutine and the
// answer for as long as it likes.
func TestAClientThatDoesNotListenLosesItsAnswer(t *testing.T) {
	var asked atomic.Int32
	content := strings.Repeat("x", 16<<20)
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, strings.Replace(okAnswer, "Hello", content, 1))
		asked.Add(1)
	})
	c := Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}}
	c.Listener.WriteTimeout = 100 * time.Millisecond
	p, _ := gateway(t, c)
	deaf, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	_ = deaf.(*net.TCPConn).SetReadBuffer(4 << 10)
	io.WriteString(deaf, good)
	for deadline := time.Now().Add(60 * time.Second); asked.Load() == 0 || p.live.Load().api.InFlight() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the answer is still being held")
		}
	}
}

// TestALargeAnswerReachesASlowReader: slow is not deaf.
func TestALargeAnswerReachesASlowReader(t *testing.T) {
	content := strings.Repeat("x", 3<<20)
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, strings.Replace(okAnswer, "Hello", content, 1))
	})
	c := Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}}
	c.Listener.WriteTimeout = 2 * time.Second
	p, _ := gateway(t, c)
	conn, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	io.WriteString(conn, good)
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 32<<10), nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for space := make([]byte, 32<<10); ; time.Sleep(10 * time.Millisecond) {
		m, err := resp.Body.Read(space)
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
	if int64(n) != resp.ContentLength || n < len(content) {
		t.Errorf("%d bytes of %d", n, resp.ContentLength)
	}
}
