package proxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// echo is what the service behind a pass-through endpoint was sent.
type echo struct {
	Method, Path, Query, Body string
	Header                    map[string]string
}

func echoServer(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e := echo{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Body: string(body), Header: map[string]string{}}
		for name := range r.Header {
			e.Header[name] = r.Header.Get(name)
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/teapot"):
			w.Header().Set("X-Up", "1")
			w.WriteHeader(418)
			io.WriteString(w, "short and stout")
			return
		case strings.HasSuffix(r.URL.Path, "/events"):
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n\n", i)
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Millisecond)
			}
			return
		case strings.HasSuffix(r.URL.Path, "/cut"):
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case strings.HasSuffix(r.URL.Path, "/slow"):
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
			return
		}
		w.Header().Set("X-Up", "1")
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(e)
	}))
	t.Cleanup(s.Close)
	return s
}

func passGateway(t *testing.T) (p *Proxy, url string) {
	up := echoServer(t)
	c, findings := load(t, strings.ReplaceAll(`
general_settings:
  master_key: `+testKey+`
  pass_through_endpoints:
  - {path: /own, target: "UPSTREAM/v2/rerank?fixed=1", headers: {Authorization: "Bearer os.environ/UP_KEY", X-Extra: os.environ/UP_KEY, content-type: application/json}, cost_per_request: 0.25}
  - {path: /below, target: "UPSTREAM/base/", include_subpath: true, forward_headers: true, default_query_params: {a: 1, b: two}, headers: {X-Fixed: mine}}
  - {path: /open, target: "UPSTREAM/open", auth: false, methods: [POST]}
  - {path: /open, target: "UPSTREAM/listed", auth: false, methods: [get]}
  - {path: /v1/ocr, target: "UPSTREAM/ocr", merge_query_params: true}
  - {path: /langfuse-like, target: "UPSTREAM/lf", custom_auth_parser: langfuse, headers: {LANGFUSE_PUBLIC_KEY: os.environ/UP_KEY, LANGFUSE_SECRET_KEY: sec}}
  - {path: /other-header, target: "UPSTREAM/oh", forward_headers: true, headers: {litellm_user_api_key: X-Own-Key}}
  - {path: /down, target: "http://127.0.0.1:1/x"}
  - {path: /slow, target: "UPSTREAM/slow", timeout: 0.2}
  - {path: /nowhere, target: "not a url"}
  - {path: /v1/chat/completions, target: "UPSTREAM/x"}
  - {path: /guarded, target: "UPSTREAM/x", guardrails: {pii: null}}
  - {path: /unset, target: "UPSTREAM/x", headers: {A: "Bearer os.environ/NOT_SET"}}
`, "UPSTREAM", up.URL), "UP_KEY=sk-planted-upstream")
	var disabled []string
	for _, f := range findings {
		if f.Severity == finding.Error {
			disabled = append(disabled, f.Message)
		}
	}
	want := []string{
		"pass_through_endpoints[9] is disabled: target must be an http or https address",
		"pass_through_endpoints[10] is disabled: /v1/chat/completions is an endpoint of the gateway itself",
		"pass_through_endpoints[11] is disabled: it has guardrails",
		"pass_through_endpoints[12] is disabled: general_settings.pass_through_endpoints[12].headers.A refers to NOT_SET, which is not set",
	}
	for i, w := range want {
		if i >= len(disabled) || !strings.Contains(disabled[i], w) {
			t.Fatalf("findings: %q", disabled)
		}
	}
	var secrets []string
	for _, s := range c.Secrets() {
		secrets = append(secrets, s.Reveal())
	}
	if !slices.Contains(secrets, "sk-planted-upstream") {
		t.Error("the upstream's key is not masked in foreign text")
	}
	return gateway(t, c)
}

func asEcho(t *testing.T, body string) (e echo) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("%v: %q", err, body)
	}
	return e
}

func TestPassThroughSendsRequestsOn(t *testing.T) {
	p, url := passGateway(t)

	resp, body := post(t, url+"/own?x=1", `{"a": 1}`, "X-Mine", "1", "Cookie", "c=d")
	e := asEcho(t, body)
	if resp.StatusCode != 200 || e.Method != "POST" || e.Path != "/v2/rerank" || e.Query != "x=1" || e.Body != `{"a": 1}` {
		t.Errorf("%d %+v", resp.StatusCode, e)
	}
	if e.Header["Authorization"] != "Bearer sk-planted-upstream" || e.Header["X-Extra"] != "sk-planted-upstream" || e.Header["X-Mine"] != "" || e.Header["Cookie"] != "" {
		t.Errorf("headers: %v", e.Header)
	}
	for name, want := range map[string]string{"X-Up": "1", "X-Litellm-Key-Spend": "0.25", "Content-Type": "application/json"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if base := resp.Header.Get("X-Litellm-Model-Api-Base"); !strings.HasSuffix(base, "/v2/rerank") || resp.Header.Get("X-Litellm-Call-Id") == "" {
		t.Errorf("headers: %v", resp.Header)
	}

	_, body = post(t, url+"/below/sub%20dir/x?b=mine&c=3", "plain", "X-Mine", "1", "X-Litellm-Tags", "t", "Content-Type", "text/plain", "Connection", "close, X-Hop", "X-Hop", "1")
	e = asEcho(t, body)
	if e.Path != "/base/sub%20dir/x" || e.Query != "a=1&b=mine&c=3" || e.Body != "plain" {
		t.Errorf("%+v", e)
	}
	if e.Header["Authorization"] != "" || e.Header["X-Mine"] != "1" || e.Header["X-Fixed"] != "mine" || e.Header["X-Litellm-Tags"] != "" || e.Header["X-Hop"] != "" || e.Header["Content-Type"] != "text/plain" {
		t.Errorf("the gateway's key and hop-by-hop headers stay here: %v", e.Header)
	}
	// A provider's own key passes where the gateway's came in another header.
	_, body = post(t, url+"/below", "{}", "Authorization", "Bearer providers-own", "X-Litellm-Api-Key", testKey, "Api-Key", testKey)
	if e = asEcho(t, body); e.Path != "/base/" || e.Header["Authorization"] != "Bearer providers-own" || strings.Contains(body, testKey) {
		t.Errorf("%s", body)
	}

	_, body = post(t, url+"/v1/ocr?x=1", "{}")
	if e = asEcho(t, body); e.Path != "/ocr" || e.Query != "x=1" {
		t.Errorf("a route that the gateway lacks: %+v", e)
	}
	_, body = post(t, url+"/open", "{}", "Authorization", "")
	if e = asEcho(t, body); e.Path != "/open" {
		t.Errorf("%+v", e)
	}
	if resp, body = asked(t, url+"/open", false); asEcho(t, body).Path != "/listed" {
		t.Errorf("the method decides: %d %s", resp.StatusCode, body)
	}
	resp, body = post(t, url+"/below/teapot", "{}")
	if resp.StatusCode != 418 || body != "short and stout" || resp.Header.Get("X-Up") != "1" {
		t.Errorf("an upstream's refusal is passed on: %d %s", resp.StatusCode, body)
	}
	p.queue.Flush()
	if n := p.Totals(); len(n) == 0 {
		t.Errorf("the calls are not counted: %v", n)
	}
}

func TestPassThroughAsksForTheKeyWhereItIsTold(t *testing.T) {
	_, url := passGateway(t)
	for _, tt := range []struct {
		name, path string
		header     []string
		status     int
	}{
		{"none", "/own", []string{"Authorization", ""}, 401},
		{"a wrong one", "/own", []string{"Authorization", "Bearer sk-other"}, 400},
		{"the user name of basic authentication", "/langfuse-like", []string{"Authorization", "Basic c2stdGVzdC1tYXN0ZXIta2V5Onh4"}, 200},
		{"a wrong user name", "/langfuse-like", []string{"Authorization", "Basic c2stb3RoZXI6eHg="}, 400},
		{"a header of its own", "/other-header", []string{"X-Own-Key", testKey, "Authorization", "Bearer providers-own"}, 200},
		{"a wrong one there", "/other-header", []string{"X-Own-Key", "sk-other", "Authorization", ""}, 400},
	} {
		resp, body := post(t, url+tt.path, "{}", tt.header...)
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %d %s", tt.name, resp.StatusCode, body)
			continue
		}
		if tt.status != 200 {
			continue
		}
		switch e := asEcho(t, body); tt.path {
		case "/langfuse-like":
			if e.Header["Authorization"] != "Basic c2stcGxhbnRlZC11cHN0cmVhbTpzZWM=" {
				t.Errorf("%v", e.Header)
			}
		case "/other-header":
			if e.Header["X-Own-Key"] != "" || e.Header["Authorization"] != "Bearer providers-own" {
				t.Errorf("%v", e.Header)
			}
		}
	}
}

func TestPassThroughRefusesAndSaysWhy(t *testing.T) {
	_, url := passGateway(t)
	for _, tt := range []struct {
		path   string
		status int
		says   string
	}{
		{"/own/sub", 404, "Not Found"}, {"/below/../own", 400, "leads upwards"}, {"/below/%2e%2e/secret", 400, "leads upwards"}, {"/b%65low/x", 400, "must not be escaped"},
		{"/down", 500, "The service behind /down cannot be reached: The upstream refused the connection."}, {"/slow", 504, "has not answered in 200ms"}, {"/nowhere", 404, "Not Found"}, {"/guarded", 404, "Not Found"},
	} {
		req, _ := http.NewRequest("POST", url+"/x", strings.NewReader("{}"))
		req.URL.Opaque = tt.path // as it stands
		req.Header.Set("Authorization", "Bearer "+testKey)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.says) {
			t.Errorf("%s: %d %s", tt.path, resp.StatusCode, body)
		}
	}
	req, _ := http.NewRequest("DELETE", url+"/open", nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, POST" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestPassThroughPassesEventsOnAsTheyComeAndBreaksOff(t *testing.T) {
	_, url := passGateway(t)
	req, _ := http.NewRequest("POST", url+"/below/events", strings.NewReader("{}"))
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines, first := bufio.NewScanner(resp.Body), time.Time{}
	n := 0
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			if n++; n == 1 {
				first = time.Now()
			}
		}
	}
	resp.Body.Close()
	if n != 3 || time.Since(first) < 60*time.Millisecond {
		t.Errorf("%d events, the last %s after the first", n, time.Since(first))
	}
	req, _ = http.NewRequest("POST", url+"/below/cut", strings.NewReader("{}"))
	req.Header.Set("Authorization", "Bearer "+testKey)
	if resp, err = http.DefaultClient.Do(req); err != nil {
		return // cut before its head had left
	}
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("half an answer looks whole: %q", body)
	}
	resp.Body.Close()
}

func TestPassThroughIsCharged(t *testing.T) {
	up := echoServer(t)
	c, _ := load(t, `{general_settings: {master_key: `+testKey+`, pass_through_request_timeout: 7, pass_through_endpoints: [{path: /own, target: "`+up.URL+`/x", cost_per_request: 0.25}]}}`)
	if c.API.PassThrough[0].Timeout != 7*time.Second {
		t.Errorf("timeout %s", c.API.PassThrough[0].Timeout)
	}
	var calls []call.Call
	c.Sink = func(batch []call.Call) { calls = append(calls, slices.Clone(batch)...) }
	p, url := gateway(t, c)
	post(t, url+"/own", "{}")
	p.queue.Flush()
	if len(calls) != 1 || calls[0].Cost.Total != 0.25 || calls[0].Route != "/own" || calls[0].Status != 200 || calls[0].Caller == nil {
		t.Errorf("%+v", calls)
	}
}
