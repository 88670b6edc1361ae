package proxy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

// TestRedisGoneFailsNothing: what Redis would have shared is kept per instance,
// calls go on, and readiness does not depend on it.
func TestRedisGoneFailsNothing(t *testing.T) {
	base, _ := counting(t)
	s := testenv.RedisServer(t)
	host, port, _ := strings.Cut(strings.TrimPrefix(s.URL(""), "redis://"), ":")
	port, _, _ = strings.Cut(port, "/")
	if i := strings.LastIndex(host, "@"); i >= 0 {
		host = host[i+1:]
	}
	url := configured(t, base, `
router_settings: {redis_host: "`+host+`", redis_port: `+port+`}
litellm_settings: {cache: true, cache_params: {type: redis, host: "`+host+`", port: `+port+`, ttl: 60}}
general_settings: {master_key: `+testKey+`}`, nil)
	ask := func(text string) int {
		resp, _ := post(t, url+"/v1/chat/completions", `{"model":"fast","messages":[{"role":"user","content":"`+text+`"}]}`)
		return resp.StatusCode
	}
	if status := ask("before"); status != 200 {
		t.Fatalf("with Redis: %d", status)
	}
	s.Stop()
	for _, text := range []string{"before", "after", "later"} {
		begin := time.Now()
		if status := ask(text); status != 200 || time.Since(begin) > 3*time.Second {
			t.Errorf("%s: %d after %s", text, status, time.Since(begin))
		}
	}
	resp, body := asked(t, url+"/health/readiness", false)
	if resp.StatusCode != http.StatusOK || body != `{"status":"healthy","db":"Not connected"}` {
		t.Errorf("readiness: %d %s", resp.StatusCode, body)
	}
}

// TestGooglesSDKIdentifiesItself: the key of Google's clients is in the query,
// on their routes alone.
func TestGooglesSDKIdentifiesItself(t *testing.T) {
	_, url := gateway(t, Config{})
	for path, want := range map[string]int{
		"/v1beta/models/gemini-2:generateContent?key=" + testKey: 501, "/models/gemini-2:streamGenerateContent?alt=sse&key=" + testKey: 501,
		"/v1beta/models/gemini-2:countTokens?key=sk-other": 400, "/v1beta/models/gemini-2:generateContent": 401, "/v1/chat/completions?key=" + testKey: 401, "/v1/models?key=" + testKey: 401,
	} {
		method := http.MethodPost
		if strings.HasPrefix(path, "/v1/models") {
			method = http.MethodGet
		}
		req, _ := http.NewRequest(method, url+path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}
