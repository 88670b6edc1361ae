package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/testenv"
)

// twin answers chat completions and responses, streamed or not, keeps what it
// was asked last, and fails while it is told to.
func twin(t *testing.T, name string) (base string, fails *atomic.Bool, last *atomic.Value) {
	fails, last = new(atomic.Bool), new(atomic.Value)
	base = upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		last.Store(string(body))
		response := `{"model":"gpt","object":"response","id":"resp_` + name + `","status":"completed","output":[],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`
		switch {
		case fails.Load():
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"error":{"message":"boom"}}`)
		case strings.HasSuffix(r.URL.Path, "/responses") && strings.Contains(string(body), `"stream":true`):
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_%s\",\"model\":\"gpt\"}}\n\n", name)
			fmt.Fprintf(w, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":%s}\n\n", response)
		case strings.HasSuffix(r.URL.Path, "/responses"):
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, response)
		default:
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"id":"1","object":"chat.completion","model":"gpt","choices":[{"index":0,"message":{"role":"assistant","content":"`+name+`"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}`)
		}
	})
	return base, fails, last
}

// twins is a gateway in front of two of them.
func twins(t *testing.T, settings string) (url string, failsA, failsB *atomic.Bool, lastA, lastB *atomic.Value) {
	a, failsA, lastA := twin(t, "a")
	b, failsB, lastB := twin(t, "b")
	return twinGateway(t, a, b, settings), failsA, failsB, lastA, lastB
}

func twinGateway(t *testing.T, a, b, settings string) string {
	c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: pair, litellm_params: {model: openai/gpt, api_key: k, api_base: '%s'}, model_info: {id: A}}
- {model_name: pair, litellm_params: {model: openai/gpt, api_key: k, api_base: '%s'}, model_info: {id: B}}
router_settings: {%s}
`, a, b, settings))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	return started(t, c)
}

// started serves a configuration where several gateways run beside each other:
// the descriptors of one are no measure there.
func started(t *testing.T, c Config) string {
	t.Helper()
	c.Auth.MasterKey = masterKey
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(p.Handler())
	t.Cleanup(func() { server.Close(); p.Close() })
	return server.URL
}

func askPair(t *testing.T, url, members string, header ...string) string {
	t.Helper()
	resp, body := post(t, url+"/v1/chat/completions", `{"model":"pair","messages":[{"role":"user","content":"x"}]`+members+`}`, header...)
	if resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	return resp.Header.Get("X-Litellm-Model-Id")
}

func TestACallerStaysWithItsDeployment(t *testing.T) {
	url, failsA, failsB, _, _ := twins(t, "optional_pre_call_checks: [deployment_affinity]")
	first := askPair(t, url, "")
	for range 30 {
		if got := askPair(t, url, ""); got != first {
			t.Fatalf("the caller went from %s to %s", first, got)
		}
	}
	// What fails is left for the time it fails, and found again.
	failing := map[string]*atomic.Bool{"A": failsA, "B": failsB}[first]
	failing.Store(true)
	if got := askPair(t, url, ""); got == first {
		t.Fatalf("%s answered while it failed", got)
	}
	failing.Store(false)
	if got := askPair(t, url, ""); got != first {
		t.Errorf("the caller did not come back to %s", first)
	}
}

func TestASessionStaysWithItsDeployment(t *testing.T) {
	url, _, _, _, _ := twins(t, "optional_pre_call_checks: [session_affinity]")
	seen := map[string]bool{}
	for i := range 24 {
		session := fmt.Sprintf(`,"metadata":{"session_id":"s%d"}`, i)
		first := askPair(t, url, session)
		seen[first] = true
		for range 4 {
			if got := askPair(t, url, session); got != first {
				t.Fatalf("session %d went from %s to %s", i, first, got)
			}
		}
		if got := askPair(t, url, "", "X-Litellm-Session-Id", fmt.Sprintf("s%d", i)); got != first {
			t.Fatalf("the header's session %d went from %s to %s", i, first, got)
		}
	}
	if len(seen) != 2 {
		t.Errorf("24 sessions all went to one deployment: %v", seen)
	}
	free := map[string]bool{}
	for range 40 {
		free[askPair(t, url, "")] = true
	}
	if len(free) != 2 {
		t.Errorf("calls without a session all went to one deployment: %v", free)
	}
}

func TestAGroupCanHaveAffinitiesOfItsOwn(t *testing.T) {
	url, _, _, _, _ := twins(t, "optional_pre_call_checks: [deployment_affinity], model_group_affinity_config: {pair: [session_affinity]}")
	seen := map[string]bool{}
	for range 40 {
		seen[askPair(t, url, "")] = true
	}
	if len(seen) != 2 {
		t.Errorf("the group's own list did not replace the router's: %v", seen)
	}
}

func TestAPinEndsWithItsTime(t *testing.T) {
	url, _, _, _, _ := twins(t, "optional_pre_call_checks: [deployment_affinity], deployment_affinity_ttl_seconds: 0.05")
	seen := map[string]bool{}
	for range 40 {
		seen[askPair(t, url, "")] = true
		if len(seen) == 2 {
			return
		}
		time.Sleep(60 * time.Millisecond)
	}
	t.Errorf("only %v was asked", seen)
}

// TestAResponseIsContinuedWhereItWasGiven: the id that a client gets leads back
// to the deployment, which gets its own id.
func TestAResponseIsContinuedWhereItWasGiven(t *testing.T) {
	url, _, _, lastA, lastB := twins(t, "optional_pre_call_checks: [responses_api_deployment_check]")
	ask := func(members string) (id, deployment string) {
		t.Helper()
		resp, body := post(t, url+"/v1/responses", `{"model":"pair","input":"x"`+members+`}`)
		if resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		if strings.Contains(members, "stream") {
			var ids []string
			for line := range strings.Lines(body) {
				if data, ok := strings.CutPrefix(line, "data: "); ok {
					var e struct{ Response struct{ ID, Model string } }
					if err := json.Unmarshal([]byte(data), &e); err != nil {
						t.Fatalf("%v in %s", err, data)
					}
					if e.Response.Model != "pair" {
						t.Errorf("the model is %q", e.Response.Model)
					}
					ids = append(ids, e.Response.ID)
				}
			}
			if len(ids) != 2 || ids[0] != ids[1] {
				t.Fatalf("the events name %v", ids)
			}
			return ids[0], resp.Header.Get("X-Litellm-Model-Id")
		}
		var r struct{ ID, Model string }
		if err := json.Unmarshal([]byte(body), &r); err != nil || r.Model != "pair" {
			t.Fatalf("%v %s", err, body)
		}
		return r.ID, resp.Header.Get("X-Litellm-Model-Id")
	}
	for _, form := range []string{"", `,"stream":true`} {
		for range 10 {
			id, first := ask(form)
			if !strings.HasPrefix(id, "resp_bGl0ZWxsbTpj") {
				t.Fatalf("the client got %s", id)
			}
			for range 5 {
				_, got := ask(form + `,"previous_response_id":"` + id + `"`)
				if got != first {
					t.Fatalf("a response of %s was continued by %s", first, got)
				}
				last := map[string]*atomic.Value{"A": lastA, "B": lastB}[first].Load().(string)
				if !strings.Contains(last, `"previous_response_id":"resp_`+strings.ToLower(first)+`"`) {
					t.Fatalf("the upstream got %s", last)
				}
			}
		}
	}
	// Another's id passes as it is.
	for range 5 {
		_, got := ask(`,"previous_response_id":"resp_of_somebody"`)
		last := map[string]*atomic.Value{"A": lastA, "B": lastB}[got].Load().(string)
		if !strings.Contains(last, `"resp_of_somebody"`) {
			t.Fatalf("the upstream got %s", last)
		}
	}
}

func TestAPromptGoesWhereItIsInTheCache(t *testing.T) {
	url, _, _, _, _ := twins(t, "optional_pre_call_checks: [prompt_caching]")
	const mark = `"cache_control":{"type":"ephemeral"}`
	ask := func(prompt string) string {
		t.Helper()
		resp, body := post(t, url+"/v1/chat/completions", `{"model":"pair","messages":[`+prompt+`]}`)
		if resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		return resp.Header.Get("X-Litellm-Model-Id")
	}
	seen := map[string]bool{}
	for i := range 20 {
		system := fmt.Sprintf(`{"role":"system","content":[{"type":"text","text":"%d %s",%s}]}`, i, strings.Repeat("word ", 1200), mark)
		first := ask(system + `,{"role":"user","content":"one"}`)
		seen[first] = true
		for range 3 {
			// The mark has moved on; what was kept before is still the beginning.
			if got := ask(system + `,{"role":"user","content":[{"type":"text","text":"two",` + mark + `}]}`); got != first {
				t.Fatalf("prompt %d went from %s to %s", i, first, got)
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("20 prompts all went to one deployment: %v", seen)
	}
}

// TestTwoGatewaysShareClaims: a caller is served by one deployment through
// either, in LiteLLM's key.
func TestTwoGatewaysShareClaims(t *testing.T) {
	s := testenv.RedisServer(t)
	a, _, _ := twin(t, "a")
	b, _, _ := twin(t, "b")
	settings := fmt.Sprintf("redis_host: 127.0.0.1, redis_port: %d, optional_pre_call_checks: [deployment_affinity, session_affinity]", s.Port)
	one, two := twinGateway(t, a, b, settings), twinGateway(t, a, b, settings)
	first := askPair(t, one, "")
	for range 20 {
		if got := askPair(t, two, ""); got != first {
			t.Fatalf("the other gateway went to %s instead of %s", got, first)
		}
	}
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port)})
	defer client.Close()
	keys := client.Keys(t.Context(), "deployment_affinity:v1:pair:*").Val()
	if len(keys) != 1 || client.Get(t.Context(), keys[0]).Val() != `{"model_id": "`+first+`"}` {
		t.Errorf("Redis has %v", keys)
	}
	if ttl := client.TTL(t.Context(), keys[0]).Val(); ttl < 50*time.Minute || ttl > time.Hour {
		t.Errorf("the claim lasts %s", ttl)
	}
	s.Stop()
	begin := time.Now()
	for range 5 {
		askPair(t, one, "")
	}
	if d := time.Since(begin); d > 15*time.Second {
		t.Errorf("five calls took %s without Redis", d)
	}
}

func limited(t *testing.T, base, info, settings string) string {
	c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: lim, litellm_params: {model: openai/gpt, api_key: k, api_base: '%s'}, model_info: {id: L, %[2]s}}
- {model_name: other, litellm_params: {model: openai/gpt, api_key: k, api_base: '%[1]s'}, model_info: {id: O}}
router_settings: {optional_pre_call_checks: [enforce_model_rate_limits]%[3]s}
`, base, info, settings))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	return started(t, c)
}

// sameMinute leaves enough of the clock's minute for a test that counts in one.
func sameMinute() {
	if left := 60 - time.Now().Second(); left < 8 {
		time.Sleep(time.Duration(left) * time.Second)
	}
}

func TestADeploymentIsHeldToItsLimits(t *testing.T) {
	base, _, last := twin(t, "a")
	ask := func(url string) (*http.Response, string) {
		return post(t, url+"/v1/chat/completions", `{"model":"lim","messages":[]}`)
	}
	for _, tt := range []struct {
		info, says string
		good       int
	}{
		{"rpm: 2", "litellm.RateLimitError: Model rate limit exceeded. RPM limit=2, current usage=3", 2},
		{"tpm: 5", "litellm.RateLimitError: Model rate limit exceeded. TPM limit=5, current usage=7", 1},
	} {
		sameMinute()
		url := limited(t, base, tt.info, "")
		for range tt.good {
			if resp, body := ask(url); resp.StatusCode != 200 {
				t.Fatalf("%s: %d %s", tt.info, resp.StatusCode, body)
			}
		}
		last.Store("")
		resp, body := ask(url)
		if resp.StatusCode != 429 || !strings.Contains(body, tt.says) || !strings.Contains(body, `"type":"throttling_error"`) ||
			!strings.Contains(body, `"param":null,"code":"429"`) || resp.Header.Get("Llm_provider-Retry-After") != "60" || last.Load() != "" {
			t.Errorf("%s: %d %v %s, upstream %v", tt.info, resp.StatusCode, resp.Header, body, last.Load())
		}
	}
	sameMinute()
	url := limited(t, base, "rpm: 1", ", fallbacks: [{lim: [other]}]")
	for i, want := range []string{"L", "O", "O"} {
		if resp, body := ask(url); resp.StatusCode != 200 || resp.Header.Get("X-Litellm-Model-Id") != want {
			t.Errorf("call %d: %d %s %s, want %s", i, resp.StatusCode, resp.Header.Get("X-Litellm-Model-Id"), body, want)
		}
	}
}

func TestTwoGatewaysHoldADeploymentToOneLimit(t *testing.T) {
	s := testenv.RedisServer(t)
	base, _, _ := twin(t, "a")
	settings := fmt.Sprintf(", redis_host: 127.0.0.1, redis_port: %d", s.Port)
	sameMinute()
	urls := []string{limited(t, base, "rpm: 6", settings), limited(t, base, "rpm: 6", settings)}
	good := 0
	for i := range 12 {
		if resp, _ := post(t, urls[i%2]+"/v1/chat/completions", `{"model":"lim","messages":[]}`); resp.StatusCode == 200 {
			good++
		}
	}
	if good != 6 {
		t.Errorf("%d calls passed a limit of 6", good)
	}
	tokens := []string{limited(t, base, "tpm: 10", settings+", num_retries: 0"), limited(t, base, "tpm: 10", settings+", num_retries: 0")}
	ok := 0
	for i := range 6 {
		if resp, _ := post(t, tokens[i%2]+"/v1/chat/completions", `{"model":"lim","messages":[]}`); resp.StatusCode == 200 {
			ok++
		}
		time.Sleep(50 * time.Millisecond) // what was used is told behind the call
	}
	if ok != 2 {
		t.Errorf("%d calls of 7 tokens passed a limit of 10", ok)
	}
}

// TestEncryptedItemsGoBackToWhereTheyWereMade: items carry the name of their
// deployment, which gets them as it made them; another gets what can be read.
func TestEncryptedItemsGoBackToWhereTheyWereMade(t *testing.T) {
	var last [2]atomic.Value
	var fails [2]atomic.Bool
	var bases [2]string
	for i, name := range []string{"A", "B"} {
		bases[i] = upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			last[i].Store(string(body))
			if fails[i].Load() {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			item := `{"type":"reasoning","id":"rs_` + name + `","encrypted_content":"secret_` + name + `","summary":[{"type":"summary_text","text":"thought"}]}`
			response := `{"id":"resp_1","object":"response","model":"gpt","status":"completed","output":[` + item + `]}`
			if strings.Contains(string(body), `"stream":true`) {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprintf(w, "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"item\":%s}\n\n", item)
				fmt.Fprintf(w, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":%s}\n\n", response)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, response)
		})
	}
	url := twinGateway(t, bases[0], bases[1], "num_retries: 2, retry_after: 0, disable_cooldowns: true, optional_pre_call_checks: [encrypted_content_affinity]")
	ask := func(input, members string) (body, deployment string) {
		t.Helper()
		resp, body := post(t, url+"/v1/responses", `{"model":"pair","input":`+input+members+`}`)
		if resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		return body, resp.Header.Get("X-Litellm-Model-Id")
	}
	for _, form := range []string{"", `,"stream":true`} {
		for range 6 {
			body, first := ask(`"x"`, form)
			if strings.Contains(body, `"secret_`) || !strings.Contains(body, "litellm_enc:") || !strings.Contains(body, `"encitem_`) {
				t.Fatalf("no marks in %s", body)
			}
			var r struct{ Output []json.RawMessage }
			for line := range strings.Lines(body) {
				if data, ok := strings.CutPrefix(line, "data: "); ok && strings.Contains(data, "response.completed") {
					var e struct {
						Response struct{ Output []json.RawMessage }
					}
					_ = json.Unmarshal([]byte(data), &e)
					r.Output = e.Response.Output
				}
			}
			if form == "" {
				_ = json.Unmarshal([]byte(body), &r)
			}
			if len(r.Output) != 1 {
				t.Fatalf("no item in %s", body)
			}
			input := "[" + string(r.Output[0]) + `,{"role":"user","content":"go on"}]`
			i := strings.Index("AB", first)
			for range 4 {
				_, got := ask(input, form)
				sent := last[i].Load().(string)
				if got != first || !strings.Contains(sent, `"id":"rs_`+first+`"`) || !strings.Contains(sent, `"encrypted_content":"secret_`+first+`"`) {
					t.Fatalf("items of %s went to %s as %s", first, got, sent)
				}
			}
			fails[i].Store(true)
			_, got := ask(input, form)
			fails[i].Store(false)
			sent := last[1-i].Load().(string)
			if got == first || strings.Contains(sent, "secret") || strings.Contains(sent, "rs_") || !strings.Contains(sent, "thought") || !strings.Contains(sent, "go on") {
				t.Fatalf("items of %s went to %s as %s", first, got, sent)
			}
		}
	}
}
