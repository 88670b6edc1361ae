package sdktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// upstream answers by the name of the model it is asked for, in the words of
// OpenAI's API.
type upstream struct {
	t *testing.T
	// gone is closed when the client of an endless stream has left.
	gone chan struct{}
	once atomic.Int32
	// others answers everything but chat completions.
	others http.Handler
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if u.others != nil && !strings.HasSuffix(r.URL.Path, "/chat/completions") {
		u.others.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		u.t.Error(err)
	}
	var req struct {
		Model    string `json:"model"`
		Stream   bool   `json:"stream"`
		Messages []struct {
			Role string `json:"role"`
		} `json:"messages"`
		Options struct {
			Usage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		u.t.Errorf("%v: %s", err, body)
	}
	if got := r.Header.Get("Authorization"); got != "Bearer sk-upstream" {
		u.t.Errorf("the upstream is sent %q", got)
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Stainless") || strings.HasPrefix(name, "X-Litellm") {
			u.t.Errorf("the upstream is sent the client's %s", name)
		}
	}
	switch req.Model {
	case "up-limited":
		w.Header().Set("Retry-After", "7")
		refuse(w, 429, "Rate limit reached for gpt-4o-mini", "tokens", "null", `"rate_limit_exceeded"`)
	case "up-picky":
		refuse(w, 400, "Invalid value: 'x'", "invalid_request_error", `"messages[0].role"`, `"invalid_value"`)
	case "up-once":
		if u.once.Add(1)%2 == 1 {
			w.Header().Set("Retry-After-Ms", "1")
			refuse(w, 503, "try again", "server_error", "null", "null")
			return
		}
		complete(w, `{"role":"assistant","content":"second try","refusal":null}`, "stop")
	case "up-tools":
		last := req.Messages[len(req.Messages)-1].Role
		switch {
		case last == "tool" && req.Stream:
			u.stream(w, req.Options.Usage, delta(`{"role":"assistant","content":"It is sunny."}`), finish("stop"))
		case req.Stream:
			u.stream(w, req.Options.Usage,
				delta(`{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}`),
				delta(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"ci"}}]}`),
				delta(`{"tool_calls":[{"index":0,"function":{"arguments":"ty\":\"Köln\"}"}}]}`),
				delta(`{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Rom\"}"}}]}`),
				finish("tool_calls"))
		default:
			complete(w, `{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Köln\"}"}},{"id":"call_2","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Rom\"}"}}]}`, "tool_calls")
		}
	case "up-json":
		complete(w, `{"role":"assistant","content":"{\"city\":\"Köln\"}","refusal":null}`, "stop")
	case "up-breaks":
		u.send(w, delta(`{"content":"Hel"}`)+"data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\"code\":503}}\n\n")
	case "up-cut":
		u.send(w, delta(`{"content":"Hel"}`)+delta(`{"content":"lo"}`)[:40])
	case "up-unicode":
		// Characters cut in the middle, as networks do.
		all := delta(`{"content":"Grüße, 世界 👋"}`) + finish("stop") + "data: [DONE]\n\n"
		w.Header().Set("Content-Type", "text/event-stream")
		for _, b := range []byte(all) {
			w.Write([]byte{b})
			w.(http.Flusher).Flush()
		}
	case "up-endless":
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			io.WriteString(w, delta(`{"content":"x"}`))
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
		u.gone <- struct{}{}
	default:
		if !req.Stream {
			complete(w, `{"role":"assistant","content":"Hello","refusal":null}`, "stop")
			return
		}
		u.stream(w, req.Options.Usage, delta(`{"role":"assistant","content":""}`), delta(`{"content":"Hel"}`), delta(`{"content":"lo"}`), finish("stop"))
	}
}

func refuse(w http.ResponseWriter, status int, message, typ, param, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"message":%q,"type":%q,"param":%s,"code":%s}}`, message, typ, param, code)
}

const usage = `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":4}}`

func complete(w http.ResponseWriter, message, finish string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"up-2026","choices":[{"index":0,"message":%s,"logprobs":null,"finish_reason":%q}],"usage":%s}`, message, finish, usage)
}

const chunkHead = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"up-2026",`

func delta(d string) string {
	return chunkHead + `"choices":[{"index":0,"delta":` + d + `,"logprobs":null,"finish_reason":null}]}` + "\n\n"
}

func finish(reason string) string {
	return chunkHead + `"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"` + reason + `"}]}` + "\n\n"
}

func (u *upstream) stream(w http.ResponseWriter, wantsUsage bool, events ...string) {
	if wantsUsage {
		events = append(events, chunkHead+`"choices":[],"usage":`+usage+"}\n\n")
	} else {
		u.t.Error("a stream is not asked for its usage")
	}
	u.send(w, append(events, "data: [DONE]\n\n")...)
}

func (u *upstream) send(w http.ResponseWriter, events ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range events {
		io.WriteString(w, e)
		w.(http.Flusher).Flush()
	}
}
