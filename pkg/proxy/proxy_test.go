package proxy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/auth"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/provider/openai"
)

const testKey = "sk-test-master-key"

var masterKey = redact.New(testKey)

// deployment is an OpenAI-format deployment called fast at base.
func deployment(t testing.TB, id, base string) *call.Deployment {
	t.Helper()
	d := &call.Deployment{
		ID: id, Group: "fast", Provider: "openai", Model: "gpt-4o-mini",
		APIBase: base, APIKey: redact.New("sk-upstream"), StreamOptions: true,
	}
	lane, err := openai.Prepare(d, wire.Chat, openai.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.Lane = lane
	return d
}

// gateway runs a proxy for a test and returns its base URL. Nothing may be left
// of it afterwards.
func gateway(t testing.TB, c Config) (*Proxy, string) {
	t.Helper()
	if c.Auth == (auth.Options{}) {
		c.Auth = auth.Options{MasterKey: redact.New(testKey)}
	}
	c.Listener.Host = "127.0.0.1"
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	files := descriptors(t)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the gateway does not end")
		}
		// Connections close on goroutines of their own.
		for deadline := time.Now().Add(5 * time.Second); descriptors(t) > files && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		if now := descriptors(t); now > files {
			t.Errorf("%d descriptors are open, %d were before", now, files)
		}
		if tt, ok := t.(*testing.T); ok {
			goleak.VerifyNone(tt, goleak.IgnoreCurrent())
		}
	})
	return p, "http://" + p.Addr().String()
}

// descriptors counts the open files of the process, where the system tells.
func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// upstreamFunc runs an upstream for a test and returns its base URL.
func upstreamFunc(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

func post(t testing.TB, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+testKey)
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the answer: %v (so far %q)", err, data)
	}
	return resp, string(data)
}

const okAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}`

func TestChatSplicesTheBodyAndRestampsTheAnswer(t *testing.T) {
	var got []byte
	var header http.Header
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		header = r.Header.Clone()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-Id", "req_1")
		io.WriteString(w, okAnswer)
	})
	_, url := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	resp, body := post(t, url+"/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"}],"temperature":1.0,"x_unknown":{"a":[1,2]}, "model" : "fast"}`)
	if want := `{"messages":[{"role":"user","content":"hi"}],"temperature":1.0,"x_unknown":{"a":[1,2]}, "model" : "gpt-4o-mini"}`; string(got) != want {
		t.Errorf("upstream body\n got %s\nwant %s", got, want)
	}
	if header.Get("Authorization") != "Bearer sk-upstream" || header.Get("Idempotency-Key") != "" {
		t.Errorf("upstream headers %v", header)
	}
	if want := strings.Replace(okAnswer, "gpt-4o-mini-2024-07-18", "fast", 1); resp.StatusCode != 200 || body != want {
		t.Errorf("got %d %s\nwant %s", resp.StatusCode, body, want)
	}
	for name, want := range map[string]string{
		"x-litellm-model-id": "d1", "x-litellm-model-group": "fast", "x-litellm-model-api-base": base,
		"x-litellm-attempted-retries": "0", "x-litellm-attempted-fallbacks": "0",
		"x-request-id": "req_1", "llm_provider-x-request-id": "req_1", "content-type": "application/json",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	if len(resp.Header.Get("x-litellm-call-id")) != 36 || resp.Header.Get("x-litellm-response-duration-ms") == "" {
		t.Errorf("headers %v", resp.Header)
	}
}

const okStream = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":null}],\"usage\":null}\n\n" +
	"data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n" +
	"data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1,\"total_tokens\":9}}\n\n" +
	"data: [DONE]\n\n"

func TestStreamRestampsEventsAndKeepsUsageFromAClientThatDidNotAsk(t *testing.T) {
	var got []byte
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range strings.SplitAfter(okStream, "\n\n") {
			io.WriteString(w, e)
			w.(http.Flusher).Flush()
		}
	})
	calls := make(chan call.Call, 1)
	_, url := gateway(t, Config{
		Deployments: []*call.Deployment{deployment(t, "d1", base)},
		Sink:        func(b []call.Call) { calls <- b[0] },
	})
	resp, body := post(t, url+"/chat/completions", `{"model":"fast","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
	if want := `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true}}`; string(got) != want {
		t.Errorf("upstream body %s", got)
	}
	events := strings.SplitAfter(okStream, "\n\n")
	want := strings.ReplaceAll(events[0]+events[1]+events[3], "gpt-4o-mini-2024-07-18", "fast")
	if resp.StatusCode != 200 || body != want {
		t.Errorf("got %d\n%s\nwant\n%s", resp.StatusCode, body, want)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream; charset=utf-8" {
		t.Errorf("content type %q", ct)
	}
	c := <-calls
	if c.Usage.PromptTokens != 8 || c.Usage.CompletionTokens != 1 || !c.Usage.Known || c.Status != 200 || c.Err != nil {
		t.Errorf("recorded %+v", c)
	}
}
