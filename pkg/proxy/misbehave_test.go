package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/route"
)

// rawUpstream answers every connection's requests with bytes of the test's
// choice, so that it can break HTTP. It reports how often it was asked.
func rawUpstream(t *testing.T, answer func(c net.Conn, nth int)) (base string, asked *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				io.Copy(io.Discard, r.Body)
				answer(c, int(asked.Add(1)))
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String() + "/v1", asked
}

const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	firstEvent = `data: {"id":"c1","model":"up","choices":[{"index":0,"delta":{"content":"Hi"}}]}` + "\n\n"
)

// TestUpstreamMisbehaviour: whatever an upstream does, the client gets one
// well-formed error, and nothing is left behind.
func TestUpstreamMisbehaviour(t *testing.T) {
	send := func(s string) func(net.Conn, int) {
		return func(c net.Conn, _ int) { io.WriteString(c, s) }
	}
	hang := func(s string) func(net.Conn, int) {
		return func(c net.Conn, _ int) {
			io.WriteString(c, s)
			io.Copy(io.Discard, c) // until the gateway gives up
		}
	}
	tests := []struct {
		name   string
		stream bool
		answer func(net.Conn, int)
		status int
		// message is part of the error's; in a stream that has begun it comes as
		// an event.
		message string
		begun   bool
		retried bool
	}{
		{name: "closes without an answer", answer: send(""), status: 500, message: "litellm.InternalServerError: InternalServerError: OpenAIException - Connection error.", retried: true},
		{name: "closes within the head", answer: send("HTTP/1.1 200 OK\r\nContent-"), status: 500, message: "litellm.InternalServerError: InternalServerError: OpenAIException - Connection error.", retried: true},
		{name: "speaks no HTTP", answer: send("220 smtp.example ready\r\n"), status: 500, message: "litellm.InternalServerError: InternalServerError: OpenAIException - Connection error.", retried: true},
		{name: "answers HTML", answer: send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 30\r\n\r\n<html><h1>Bad gateway</h1></ht"), status: 502, message: "litellm.BadGatewayError", retried: true},
		{name: "answers HTML with 502", answer: send("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 22\r\n\r\n<h1>Bad gateway</h1>\r\n"), status: 502, message: "litellm.BadGatewayError", retried: true},
		{name: "answers nothing", answer: send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"), status: 502, message: "litellm.BadGatewayError", retried: true},
		{name: "cuts the answer", answer: send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"id\":"), status: 500, message: "litellm.InternalServerError: InternalServerError: OpenAIException - Connection error.", retried: true},
		{name: "answers an error with status 200", answer: send("HTTP/1.1 200 OK\r\nContent-Length: 47\r\n\r\n" + `{"error":{"message":"overloaded","code":"503"}}`), status: 503, message: "overloaded", retried: true},
		{name: "hangs before its head", answer: hang(""), status: 408, message: "litellm.Timeout", retried: true},
		{name: "hangs within its body", answer: hang("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), status: 408, message: "litellm.Timeout", retried: true},
		{name: "claims a body without end", answer: send("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n{"), status: 502, message: "litellm.", retried: true},
		{name: "refuses the key", answer: send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 86\r\n\r\n" + `{"error":{"message":"Incorrect API key provided: sk-upstream","type":"invalid_request"}}`[:86]), status: 401, message: "litellm.AuthenticationError"},

		{name: "stream: closes without an answer", stream: true, answer: send(""), status: 500, message: "litellm.InternalServerError: InternalServerError: OpenAIException - Connection error.", retried: true},
		{name: "stream: closes before the first event", stream: true, answer: send(streamHead + "0\r\n\r\n"), status: 502, message: "closed the stream before its first event", retried: true},
		{name: "stream: only the end mark", stream: true, answer: send(streamHead + chunk("data: [DONE]\n\n") + "0\r\n\r\n"), status: 502, message: "closed the stream before its first event", retried: true},
		{name: "stream: only comments", stream: true, answer: send(streamHead + chunk(": wait\n\n") + "0\r\n\r\n"), status: 502, message: "closed the stream before its first event", retried: true},
		{name: "stream: HTML", stream: true, answer: send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 22\r\n\r\n<h1>Bad gateway</h1>\r\n"), status: 502, message: "litellm.BadGatewayError", retried: true},
		{name: "stream: the first event is an error", stream: true, answer: send(streamHead + chunk(`data: {"error":{"message":"slow down","type":"rate_limit","code":429}}`+"\n\n") + "0\r\n\r\n"), status: 429, message: "slow down", retried: true},
		{name: "stream: refused with 429", stream: true, answer: send("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 33\r\n\r\n" + `{"error":{"message":"slow down"}}`), status: 429, message: "litellm.RateLimitError", retried: true},
		{name: "stream: the first event is broken", stream: true, answer: send(streamHead + chunk("data: {\"id\":\n\n") + "0\r\n\r\n"), status: 500, message: "not valid JSON", retried: true},
		{name: "stream: hangs before the first event", stream: true, answer: hang(streamHead), status: 408, message: "litellm.Timeout", retried: true},
		{name: "stream: an error in mid-stream", stream: true, begun: true, answer: send(streamHead + chunk(firstEvent) + chunk(`data: {"error":{"message":"broke","type":"server_error"}}`+"\n\n") + "0\r\n\r\n"), status: 200, message: "broke"},
		{name: "stream: ends in the middle", stream: true, begun: true, answer: send(streamHead + chunk(firstEvent) + "0\r\n\r\n"), status: 200, message: "before the answer was complete"},
		{name: "stream: cut within a frame", stream: true, begun: true, answer: send(streamHead + chunk(firstEvent+`data: {"id":"c1","mo`)), status: 200, message: "before the answer was complete"},
		{name: "stream: cut within a chunk", stream: true, begun: true, answer: send(streamHead + chunk(firstEvent) + "ffff\r\ndata: {"), status: 200, message: "before the answer was complete"},
		{name: "stream: hangs in the middle", stream: true, begun: true, answer: hang(streamHead + chunk(firstEvent)), status: 200, message: "litellm.Timeout"},
		{name: "stream: a broken event in the middle", stream: true, begun: true, answer: send(streamHead + chunk(firstEvent+"data: {\"id\"\n\n") + "0\r\n\r\n"), status: 200, message: "not valid JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base, asked := rawUpstream(t, tt.answer)
			retries := 1
			calls := make(chan call.Call, 1)
			_, url := gateway(t, Config{
				Deployments: []*call.Deployment{deployment(t, "d1", base)},
				Router:      route.Options{NumRetries: &retries, InitialDelay: 1, Jitter: new(float64), Timeout: 150 * time.Millisecond},
				Sink:        func(b []call.Call) { calls <- b[0] },
			})
			resp, body := post(t, url+"/v1/chat/completions", fmt.Sprintf(`{"model":"fast","stream":%v,"messages":[]}`, tt.stream))
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, tt.status, body)
			}
			want := int32(1)
			if tt.retried {
				want = 2
			}
			if asked.Load() != want {
				t.Errorf("the upstream was asked %d times, want %d", asked.Load(), want)
			}
			if tt.begun {
				rest, ok := strings.CutPrefix(body, strings.Replace(firstEvent, `"up"`, `"fast"`, 1))
				if !ok {
					t.Fatalf("the first event is not in %q", body)
				}
				rest, ok = strings.CutPrefix(rest, "data: ")
				if !ok || !strings.HasSuffix(rest, "\n\n") || strings.Contains(body, "[DONE]") {
					t.Fatalf("the stream must end with one error event: %q", body)
				}
				body = strings.TrimSuffix(rest, "\n\n")
			}
			var e struct {
				Error *struct {
					Message, Code string
					Type, Param   *string
				}
			}
			dec := json.NewDecoder(strings.NewReader(body))
			if err := dec.Decode(&e); err != nil || e.Error == nil || dec.More() {
				t.Fatalf("not one error envelope: %q (%v)", body, err)
			}
			if !strings.Contains(e.Error.Message, tt.message) {
				t.Errorf("message %q, want %q", e.Error.Message, tt.message)
			}
			if !tt.begun && e.Error.Code != fmt.Sprint(tt.status) {
				t.Errorf("code %q, want the status as text", e.Error.Code)
			}
			if strings.Contains(body, "sk-upstream") {
				t.Errorf("the provider key is in %q", body)
			}
			if c := <-calls; c.Err == nil || c.Status != tt.status {
				t.Errorf("recorded status %d, error %v", c.Status, c.Err)
			}
		})
	}
}

// TestEmptyStreamIsRetriedOnAnotherDeployment: D22.
func TestEmptyStreamIsRetriedOnAnotherDeployment(t *testing.T) {
	empty, _ := rawUpstream(t, func(c net.Conn, _ int) { io.WriteString(c, streamHead+"0\r\n\r\n") })
	good := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, okStream)
	})
	first := deployment(t, "a", empty)
	first.Weight = 1
	second := deployment(t, "b", good)
	second.Weight = 1e-12
	_, url := gateway(t, Config{Deployments: []*call.Deployment{first, second}})
	resp, body := post(t, url+"/v1/chat/completions", `{"model":"fast","stream":true,"messages":[]}`)
	if resp.StatusCode != 200 || !strings.HasSuffix(body, "data: [DONE]\n\n") || resp.Header.Get("x-litellm-model-id") != "b" || resp.Header.Get("x-litellm-attempted-retries") != "1" {
		t.Errorf("%d %v %q", resp.StatusCode, resp.Header, body)
	}
}

func TestBadRequestsEndInOneError(t *testing.T) {
	base, asked := rawUpstream(t, func(c net.Conn, _ int) {})
	c := Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}}
	c.API.MaxBody = 1 << 20
	_, url := gateway(t, c)
	nested := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	tests := []struct {
		name, path, body string
		header           []string
		status           int
		message          string
	}{
		{name: "no body", body: "", status: 400, message: "the body is empty"},
		{name: "no JSON", body: "model=fast", status: 400, message: "not valid JSON"},
		{name: "an array", body: "[]", status: 400, message: "must be a JSON object"},
		{name: "half an object", body: `{"model":"fast"`, status: 400, message: "ends too early"},
		{name: "text behind the object", body: `{"model":"fast"}{}`, status: 400, message: "unexpected text behind"},
		{name: "too deep", body: `{"model":"fast","messages":` + nested + `}`, status: 400, message: "nested deeper"},
		{name: "model twice", body: `{"model":"fast","model":"gpt-5-pro"}`, status: 400, message: `duplicate key "model" in request body`},
		{name: "model twice, once escaped", body: `{"model":"fast","mod\u0065l":"gpt-5-pro"}`, status: 400, message: `duplicate key "model" in request body`},
		{name: "a stripped member twice", body: `{"model":"fast","timeout":1,"timeout":2}`, status: 400, message: `duplicate key "timeout"`},
		{name: "a model that is a number", body: `{"model":7}`, status: 400, message: "'model' must be a string."},
		{name: "a stream that is text", body: `{"model":"fast","stream":"yes"}`, status: 400, message: "Invalid value for 'stream'"},
		{name: "no model", body: `{"messages":[]}`, status: 400, message: "{'error': '/chat/completions: Invalid model name passed in model=None. Call `/v1/models` to view available models for your key.'}"},
		{name: "an unknown model", body: `{"model":"gpt-4o"}`, status: 400, message: "{'error': '/chat/completions: Invalid model name passed in model=gpt-4o. Call `/v1/models` to view available models for your key.'}"},
		{name: "larger than the limit", body: `{"model":"` + strings.Repeat("x", 1<<20) + `"}`, status: 400, message: "Request size is too large. Request size is 1.0000114440917969 MB. Max size is 1.0 MB"},
		{name: "a form", body: `{}`, header: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 400, message: "Content-Type"},
		{name: "a client's own upstream", body: `{"model":"fast","api_base":"http://evil"}`, status: 401, message: "Rejected Request: api_base is not allowed in request body."},
		{name: "an impossible timeout", body: `{"model":"fast","timeout":"soon"}`, status: 400, message: "expected a number of seconds"},
		{name: "an impossible timeout header", body: `{"model":"fast"}`, header: []string{"x-litellm-timeout", "-1"}, status: 400, message: "expected a number of seconds"},
		{name: "an impossible number of retries", body: `{"model":"fast"}`, header: []string{"x-litellm-num-retries", "many"}, status: 400, message: "expected a whole number"},
		{name: "a number of retries that is none", body: `{"model":"fast","num_retries":"many"}`, status: 400, message: "num_retries is \"many\", expected a whole number"},
		{name: "half a retry", body: `{"model":"fast","max_retries":1.5}`, status: 400, message: "max_retries is \"1.5\", expected a whole number"},
		{name: "fewer retries than none", body: `{"model":"fast","num_retries":-1}`, status: 400, message: "num_retries is \"-1\", expected a whole number"},
		{name: "fallbacks of the wrong kind", body: `{"model":"fast","fallbacks":"x"}`, status: 400, message: "Invalid 'fallbacks'"},
		{name: "no key", body: `{}`, header: []string{"Authorization", ""}, status: 401, message: "Authentication Error, No api key passed in."},
		{name: "an endpoint of a later release", path: "/v1/messages", body: `{}`, status: 501, message: "does not serve"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.path == "" {
				tt.path = "/v1/chat/completions"
			}
			resp, body := post(t, url+tt.path, tt.body, tt.header...)
			var e struct {
				Error struct{ Message, Code string }
			}
			if err := json.Unmarshal([]byte(body), &e); err != nil {
				t.Fatalf("no envelope: %q", body)
			}
			if resp.StatusCode != tt.status || e.Error.Code != fmt.Sprint(tt.status) || !strings.Contains(e.Error.Message, tt.message) {
				t.Errorf("%d %s\nwant %d with %q", resp.StatusCode, body, tt.status, tt.message)
			}
		})
	}
	if asked.Load() != 0 {
		t.Errorf("the upstream was asked %d times", asked.Load())
	}
}

// TestUnknownPathsAnswerLikeTheFramework and wrong methods.
func TestUnknownPathsAnswerLikeTheFramework(t *testing.T) {
	_, url := gateway(t, Config{})
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/nothing/here", 404, `{"detail":"Not Found"}`},
		{"GET", "/v1/chat/completions", 405, `{"detail":"Method Not Allowed"}`},
		{"POST", "/health/liveliness", 405, `{"detail":"Method Not Allowed"}`},
		{"GET", "/health/liveliness", 200, `"I'm alive!"`},
		{"GET", "/health/liveness", 200, `"I'm alive!"`},
		{"GET", "/health/readiness", 200, `{"status":"healthy","db":"Not connected"}`},
		{"OPTIONS", "/health/readiness", 200, ""},
		{"GET", "/test", 200, `{"route":"/test"}`},
	} {
		req, _ := http.NewRequest(tt.method, url+tt.path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || string(body) != tt.body {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.path, resp.StatusCode, body, tt.status, tt.body)
		}
	}
}

// TestAClientThatLeavesCancelsItsStream: the upstream sees it at once.
func TestAClientThatLeavesCancelsItsStream(t *testing.T) {
	left := make(chan struct{})
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, firstEvent)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(left)
	})
	calls := make(chan call.Call, 1)
	_, url := gateway(t, Config{
		Deployments: []*call.Deployment{deployment(t, "d1", base)},
		Sink:        func(b []call.Call) { calls <- b[0] },
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", url+"/v1/chat/completions", strings.NewReader(`{"model":"fast","messages":[],"stream":true}`))
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resp.Body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	resp.Body.Close()
	select {
	case <-left:
	case <-time.After(5 * time.Second):
		t.Fatal("the upstream was not told")
	}
	if c := <-calls; c.Status != 499 {
		t.Errorf("recorded status %d", c.Status)
	}
}

// TestAClientThatLeavesBeforeTheFirstEvent: nothing is retried for nobody.
func TestAClientThatLeavesBeforeTheFirstEvent(t *testing.T) {
	started, left := make(chan struct{}, 9), make(chan struct{}, 9)
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		started <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	calls := make(chan call.Call, 1)
	_, url := gateway(t, Config{
		Deployments: []*call.Deployment{deployment(t, "d1", base)},
		Sink:        func(b []call.Call) { calls <- b[0] },
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", url+"/v1/chat/completions", strings.NewReader(`{"model":"fast","messages":[],"stream":true}`))
	req.Header.Set("Authorization", "Bearer "+testKey)
	go func() { <-started; cancel() }()
	if _, err := http.DefaultClient.Do(req); err == nil {
		t.Fatal("the request must fail")
	}
	<-left
	if c := <-calls; c.Status != 499 || c.Attempts != 1 {
		t.Errorf("recorded status %d after %d attempts", c.Status, c.Attempts)
	}
}

// TestAnAnswerIsFetchedForAClientThatLeft: it is paid for.
func TestAnAnswerIsFetchedForAClientThatLeft(t *testing.T) {
	started, goOn := make(chan struct{}), make(chan struct{})
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(started)
		<-goOn
		if r.Context().Err() != nil {
			t.Error("the upstream call was cancelled")
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	calls := make(chan call.Call, 1)
	_, url := gateway(t, Config{
		Deployments: []*call.Deployment{deployment(t, "d1", base)},
		Sink:        func(b []call.Call) { calls <- b[0] },
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", url+"/v1/chat/completions", strings.NewReader(`{"model":"fast","messages":[]}`))
	req.Header.Set("Authorization", "Bearer "+testKey)
	go func() {
		<-started
		cancel()
		time.AfterFunc(50*time.Millisecond, func() { close(goOn) }) // let the gateway see that the client is gone
	}()
	if _, err := http.DefaultClient.Do(req); err == nil {
		t.Fatal("the request must fail")
	}
	if c := <-calls; c.Status != 499 || !c.Usage.Known || c.Err != nil {
		t.Errorf("recorded %d, usage %+v, error %v", c.Status, c.Usage, c.Err)
	}
}

// TestAuthBeforeBody: an unknown key is refused while its body is still on the
// way (D19).
func TestAuthBeforeBody(t *testing.T) {
	p, _ := gateway(t, Config{})
	c, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-unknown\r\nContent-Length: 60000000\r\n\r\n")
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 400 || !strings.Contains(string(body), "No connected db.") || !resp.Close {
		t.Errorf("%d %s, close %v", resp.StatusCode, body, resp.Close)
	}
	if _, err := br.ReadByte(); err == nil {
		t.Error("the connection must end")
	}
}

// TestInvalidUTF8AndLargeEventsPassUntouched.
func TestInvalidUTF8AndLargeEventsPassUntouched(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	event := `data: {"id":"c","model":"fast","choices":[{"index":0,"delta":{"content":"` + big + "\xff\xfe" + `"},"finish_reason":"stop"}]}` + "\n\n"
	var got string
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = string(b)
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, event+"data: [DONE]\n\n")
	})
	_, url := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	message := `"messages":[{"role":"user","content":"` + "\xff\xfe\xc3" + `"}]`
	_, body := post(t, url+"/v1/chat/completions", `{"model":"fast","stream":true,`+message+`}`)
	if !strings.Contains(got, message) {
		t.Errorf("the upstream got %q", got)
	}
	if body != event+"data: [DONE]\n\n" {
		t.Errorf("the client got %d bytes, want %d", len(body), len(event)+14)
	}
}

// TestDrainFinishesStreams: readiness fails, the stream ends well, the process
// ends (D35).
func TestDrainFinishesStreams(t *testing.T) {
	goOn := make(chan struct{})
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, firstEvent)
		w.(http.Flusher).Flush()
		<-goOn
		io.WriteString(w, `data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	})
	p, url, stop, ended := startGateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	req, _ := http.NewRequest("POST", url+"/v1/chat/completions", strings.NewReader(`{"model":"fast","messages":[],"stream":true}`))
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stop()
	waitFor(t, func() bool {
		r, err := http.Get(url + "/health/readiness")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == 503
	})
	if r, err := http.Get(url + "/health/liveliness"); err != nil || r.StatusCode != 200 {
		t.Errorf("liveness while draining: %v %v", r, err)
	} else {
		r.Body.Close()
	}
	close(goOn)
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasSuffix(string(body), "data: [DONE]\n\n") {
		t.Errorf("the stream ended with %q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	_ = p
	http.DefaultClient.CloseIdleConnections()
}

// TestDrainDeadlineCutsAndSaysSo.
func TestDrainDeadlineCutsAndSaysSo(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, firstEvent)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	_, url, stop, ended := startGateway(t, Config{
		Deployments:     []*call.Deployment{deployment(t, "d1", base)},
		ShutdownTimeout: 50 * time.Millisecond,
	})
	req, _ := http.NewRequest("POST", url+"/v1/chat/completions", strings.NewReader(`{"model":"fast","messages":[],"stream":true}`))
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stop()
	err = <-ended
	if cut, ok := err.(*CutError); !ok || cut.Requests != 1 {
		t.Errorf("run: %v, want one request cut", err)
	}
	text, err := io.ReadAll(resp.Body)
	if got := string(text[bytes.Index(text, []byte("\n\n"))+2:]); err != nil || !strings.HasPrefix(got, `data: {"error":{"message":"The gateway is shutting down and had to cut this request: `) ||
		!strings.HasSuffix(got, `"code":"503"}}`+"\n\n") || strings.Contains(got, "[DONE]") {
		t.Errorf("the client heard %q, %v", text, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func startGateway(t *testing.T, c Config) (p *Proxy, url string, stop func(), ended <-chan error) {
	t.Helper()
	c.Auth.MasterKey = masterKey
	c.Listener.Host = "127.0.0.1"
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(cancel)
	return p, "http://" + p.Addr().String(), cancel, done
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within 5 s")
		}
		time.Sleep(2 * time.Millisecond)
	}
}
