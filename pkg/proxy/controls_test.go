package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// witness is an upstream that remembers what it was sent.
type witness struct {
	mu     sync.Mutex
	bodies []string
	header http.Header
	delay  time.Duration
	fail   int // so many answers are refusals
}

func (u *witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	u.bodies, u.header = append(u.bodies, string(body)), r.Header.Clone()
	delay, fail := u.delay, u.fail > 0
	u.fail--
	u.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if fail {
		w.WriteHeader(500)
		io.WriteString(w, `{"error":{"message":"try again","type":"server_error"}}`)
		return
	}
	io.WriteString(w, okAnswer)
}

// last is the last body, and how many there were since the last time.
func (u *witness) last() (string, int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.bodies)
	if n == 0 {
		return "", 0
	}
	body := u.bodies[n-1]
	u.bodies = nil
	return body, n
}

func (u *witness) set(delay time.Duration, fail int) {
	u.mu.Lock()
	u.delay, u.fail = delay, fail
	u.mu.Unlock()
}

const controlsConfig = `
model_list:
- {model_name: fast, litellm_params: {model: openai/up, api_key: k, api_base: "UPSTREAM"}, model_info: {id: dep-fast}}
- {model_name: other, litellm_params: {model: openai/up-other, api_key: k, api_base: "UPSTREAM"}}
- {model_name: hangs, litellm_params: {model: openai/up-hangs, api_key: k, api_base: "UPSTREAM"}}
router_settings: {num_retries: 0, disable_cooldowns: true, retry_after: 0}
litellm_settings: {request_timeout: 30, model_alias_map: {nick: other}, model_group_settings: {forward_client_headers_to_llm_api: [other]}}
general_settings: {master_key: ` + testKey + `, user_header_name: X-Person, forward_openai_org_id: true}
`

func controlsGateway(t *testing.T) (u *witness, url string, calls func() []call.Call) {
	u = &witness{}
	base := upstreamFunc(t, u.ServeHTTP)
	c, findings := load(t, strings.ReplaceAll(controlsConfig, "UPSTREAM", base))
	for _, f := range findings {
		t.Log(f.Message)
	}
	var mu sync.Mutex
	var list []call.Call
	c.Sink = func(batch []call.Call) {
		mu.Lock()
		for _, k := range batch {
			k.EndUser, k.Model = strings.Clone(k.EndUser), strings.Clone(k.Model)
			list = append(list, k)
		}
		mu.Unlock()
	}
	p, url := gateway(t, c)
	return u, url + "/v1/chat/completions", func() []call.Call {
		p.queue.Flush()
		mu.Lock()
		defer mu.Unlock()
		out := list
		list = nil
		return out
	}
}

func TestMembersForTheGatewayStayHere(t *testing.T) {
	u, url, _ := controlsGateway(t)
	for _, member := range []string{
		`"metadata":{"tags":["a"],"trace_id":"t","generation_name":"g","user_api_key":"x"}`, `"litellm_metadata":{"a":1}`, `"tags":["a"]`, `"timeout":5`, `"request_timeout":5`,
		`"stream_timeout":5`, `"num_retries":0`, `"max_retries":0`, `"fallbacks":["other"]`, `"context_window_fallbacks":[]`, `"context_window_fallback_dict":{}`, `"content_policy_fallbacks":[]`,
		`"disable_fallbacks":true`, `"cache":{"no-cache":true,"no-store":true,"ttl":5,"s-maxage":5,"namespace":"n"}`, `"caching":true`, `"ttl":5`, `"no-log":true`, `"guardrails":[]`, `"drop_params":true`,
		`"additional_drop_params":["temperature"]`, `"allowed_openai_params":["x"]`, `"litellm_session_id":"s"`, `"litellm_trace_id":"t"`, `"litellm_call_id":"c"`, `"custom_llm_provider":"openai"`,
		`"api_version":"x"`, `"mock_tool_calls":[]`, `"enforced_params":[]`, `"disable_global_guardrails":true`, `"include_fallback_errors":true`,
	} {
		resp, answer := post(t, url, `{"model":"fast",`+member+`,"messages":[],"temperature":0.5,"vendor":{"x":1}}`)
		body, n := u.last()
		if want := `{"model":"up","messages":[],"temperature":0.5,"vendor":{"x":1}}`; resp.StatusCode != 200 || n != 1 || body != want {
			t.Errorf("%s: %d %s, %d calls, upstream %s", member, resp.StatusCode, answer, n, body)
		}
	}
	// What is the upstream's passes.
	for _, member := range []string{`"user":"u"`, `"safety_identifier":"s"`, `"service_tier":"flex"`, `"store":false`, `"stream_options":null`} {
		post(t, url, `{"model":"fast",`+member+`,"messages":[]}`)
		if body, _ := u.last(); !strings.Contains(body, member) {
			t.Errorf("%s does not arrive: %s", member, body)
		}
	}
}

func TestTimeoutsAndRetriesOfARequest(t *testing.T) {
	u, url, _ := controlsGateway(t)
	u.set(1500*time.Millisecond, 0)
	for _, tt := range []struct {
		name, members string
		header        []string
		limit         string
	}{
		{"timeout", `"timeout":0.2`, nil, "0.2"}, {"request_timeout", `"request_timeout":0.2`, nil, "0.2"}, {"as text", `"timeout":"0.2"`, nil, "0.2"},
		{"stream_timeout", `"stream_timeout":0.2,"stream":true`, nil, "0.2"}, {"timeout for a stream", `"timeout":0.2,"stream":true`, nil, "0.2"},
		{"header", `"x":1`, []string{"x-litellm-timeout", "0.2"}, "0.2"}, {"header over body", `"timeout":30`, []string{"x-litellm-timeout", "0.2"}, "0.2"},
		{"stream header", `"stream":true`, []string{"x-litellm-stream-timeout", "0.2"}, "0.2"}, {"stream header over body", `"stream":true,"stream_timeout":30`, []string{"x-litellm-stream-timeout", "0.2"}, "0.2"},
	} {
		begin := time.Now()
		resp, body := post(t, url, `{"model":"hangs","messages":[],`+tt.members+`}`, tt.header...)
		if resp.StatusCode != 408 || !strings.Contains(body, "litellm.Timeout") || time.Since(begin) > 1400*time.Millisecond || resp.Header.Get("X-Litellm-Timeout") != tt.limit {
			t.Errorf("%s: %d %s after %s, limit %q", tt.name, resp.StatusCode, body, time.Since(begin), resp.Header.Get("X-Litellm-Timeout"))
		}
	}
	u.last()
	for _, tt := range []struct {
		name, members string
		header        []string
		calls, status int
	}{
		{"none", `"x":1`, nil, 1, 500}, {"num_retries", `"num_retries":2`, nil, 3, 200}, {"max_retries", `"max_retries":2`, nil, 3, 200}, {"too few", `"num_retries":1`, nil, 2, 500},
		{"header", `"x":1`, []string{"x-litellm-num-retries", "2"}, 3, 200}, {"header over body", `"num_retries":0`, []string{"x-litellm-num-retries", "2"}, 3, 200},
		{"0 is none", `"num_retries":0,"timeout":0`, nil, 1, 500},
	} {
		u.set(0, 2)
		resp, body := post(t, url, `{"model":"fast","messages":[],`+tt.members+`}`, tt.header...)
		if _, n := u.last(); n != tt.calls || resp.StatusCode != tt.status {
			t.Errorf("%s: %d calls, %d %s", tt.name, n, resp.StatusCode, body)
		}
	}
}

func TestFallbacksOfARequest(t *testing.T) {
	u, url, _ := controlsGateway(t)
	for _, tt := range []struct{ members, arrives string }{
		{`"fallbacks":["other"]`, `"model":"up-other"`}, {`"fallbacks":[{"model":"other","temperature":0.1}]`, `"temperature":0.1`}, {`"fallbacks":["other"],"disable_fallbacks":true`, ""},
	} {
		u.set(0, 1)
		resp, body := post(t, url, `{"model":"fast","messages":[],`+tt.members+`}`)
		last, n := u.last()
		if tt.arrives == "" {
			if resp.StatusCode != 500 || n != 1 {
				t.Errorf("%s: %d %s", tt.members, resp.StatusCode, body)
			}
			continue
		}
		if resp.StatusCode != 200 || n != 2 || !strings.Contains(last, tt.arrives) || resp.Header.Get("X-Litellm-Attempted-Fallbacks") != "1" {
			t.Errorf("%s: %d %s, %d calls, upstream %s", tt.members, resp.StatusCode, body, n, last)
		}
	}
}

func TestWhichModelARequestIsAbout(t *testing.T) {
	u, url, _ := controlsGateway(t)
	root := strings.TrimSuffix(url, "/v1/chat/completions")
	for _, tt := range []struct{ path, body, upstream string }{
		{"/v1/chat/completions", `"model":"fast"`, "up"}, {"/v1/chat/completions", `"model":"dep-fast"`, "up"}, {"/v1/chat/completions", `"model":"nick"`, "up-other"},
		{"/engines/other/chat/completions", `"model":"fast"`, "up-other"}, {"/openai/deployments/other/chat/completions?api-version=2024-10-21", `"x":1`, "up-other"},
	} {
		resp, answer := post(t, root+tt.path, `{`+tt.body+`,"messages":[]}`)
		body, _ := u.last()
		var sent struct{ Model string }
		if json.Unmarshal([]byte(body), &sent) != nil || sent.Model != tt.upstream || resp.StatusCode != 200 {
			t.Errorf("%s %s: %d %s, upstream %s", tt.path, tt.body, resp.StatusCode, answer, body)
		}
	}
}

func TestWhoTheEndUserIs(t *testing.T) {
	_, url, calls := controlsGateway(t)
	for _, tt := range []struct {
		members string
		header  []string
		want    string
	}{
		{`"user":"body"`, nil, "body"}, {`"user":"body"`, []string{"x-litellm-customer-id", "customer"}, "customer"}, {`"user":"body"`, []string{"x-litellm-end-user-id", "end"}, "end"},
		{`"user":"body"`, []string{"x-litellm-end-user-id", "end", "x-litellm-customer-id", "customer"}, "customer"}, {`"user":"body"`, []string{"X-Person", "person"}, "person"},
		{`"litellm_metadata":{"user":"lm"}`, nil, "lm"}, {`"metadata":{"user_id":"meta"}`, nil, "meta"}, {`"safety_identifier":"safe"`, nil, "safe"},
		{`"safety_identifier":"safe","metadata":{"user_id":"meta"},"user":"body"`, nil, "body"}, {`"user":5`, nil, ""}, {`"x":1`, nil, ""},
	} {
		post(t, url, `{"model":"fast","messages":[],`+tt.members+`}`, tt.header...)
		if list := calls(); len(list) != 1 || list[0].EndUser != tt.want {
			t.Errorf("%s %v: %q, want %q", tt.members, tt.header, list[0].EndUser, tt.want)
		}
	}
}

func TestHeadersOfClientsGoUpstreamOnlyWhereAllowed(t *testing.T) {
	u, url, _ := controlsGateway(t)
	headers := []string{"X-Mine", "1", "X-Stainless-Os", "Linux", "X-Litellm-Tags", "a", "X-Api-Key", "secret", "Anthropic-Beta", "b", "Cookie", "c=d", "OpenAI-Organization", "org", "X-Trace", "t"}
	for _, model := range []string{"fast", "other"} {
		post(t, url, `{"model":"`+model+`","messages":[]}`, headers...)
		u.mu.Lock()
		h := u.header
		u.mu.Unlock()
		passes := model == "other"
		for name, want := range map[string]bool{
			"X-Mine": passes, "X-Trace": passes, "Anthropic-Beta": passes, "X-Stainless-Os": false, "X-Litellm-Tags": false, "X-Api-Key": false, "Cookie": false, "Openai-Organization": true,
		} {
			if (h.Get(name) != "") != want {
				t.Errorf("%s for %s: %q", name, model, h.Get(name))
			}
		}
		if h.Get("Authorization") != "Bearer k" {
			t.Errorf("authorization: %q", h.Get("Authorization"))
		}
	}
}

func TestHeadersOfAnAnswer(t *testing.T) {
	u, url, _ := controlsGateway(t)
	resp, _ := post(t, url, `{"model":"fast","messages":[]}`, "x-litellm-call-id", "my-call")
	for name, want := range map[string]string{
		"X-Litellm-Call-Id": "my-call", "X-Litellm-Model-Id": "dep-fast", "X-Litellm-Model-Group": "fast", "X-Litellm-Model-Name": "openai/up", "X-Litellm-Attempted-Retries": "0",
		"X-Litellm-Attempted-Fallbacks": "0", "X-Litellm-Key-Spend": "0.0", "X-Litellm-Response-Cost": "", "X-Litellm-Response-Cost-Original": "0.0", "X-Litellm-Callback-Duration-Ms": "0.0",
		"Llm_provider-Content-Type": "application/json", "Content-Type": "application/json",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"X-Litellm-Response-Duration-Ms", "X-Litellm-Overhead-Duration-Ms", "X-Litellm-Model-Api-Base"} {
		if resp.Header.Get(name) == "" {
			t.Errorf("%s is missing", name)
		}
	}
	u.set(0, 1)
	resp, _ = post(t, url, `{"model":"fast","messages":[]}`)
	for name, want := range map[string]string{
		"X-Litellm-Response-Cost": "0", "X-Litellm-Key-Spend": "0.0", "X-Litellm-Timeout": "30", "Llm_provider-Content-Type": "application/json", "X-Litellm-Model-Id": "dep-fast",
	} {
		if got := resp.Header.Get(name); got != want || resp.StatusCode != 500 {
			t.Errorf("of a failure (%d), %s: %q, want %q", resp.StatusCode, name, got, want)
		}
	}
}
