package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHealthChecksRoute breaks an upstream, and watches calls avoid it before
// any of them has failed.
func TestHealthChecksRoute(t *testing.T) {
	var broken atomic.Bool
	var asked, probed atomic.Int64
	count := func(r *http.Request) string {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), DefaultProbePrompt) {
			probed.Add(1)
		} else {
			asked.Add(1)
		}
		return string(body)
	}
	broken.Store(true)
	bad := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body := count(r)
		if !strings.Contains(body, `"max_tokens":7`) && strings.Contains(body, DefaultProbePrompt) {
			t.Errorf("the probe is %s", body)
		}
		w.Header().Set("Content-Type", "application/json")
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"error":{"message":"the engine is dead","type":"server_error"}}`)
			return
		}
		io.WriteString(w, okAnswer)
	})
	good, _ := counting(t)
	yaml := fmt.Sprintf(`
model_list:
- {model_name: fast, litellm_params: {model: openai/a, api_key: k, api_base: '%s'}, model_info: {id: bad, health_check_max_tokens: 7, health_check_timeout: 5}}
- {model_name: fast, litellm_params: {model: openai/b, api_key: k, api_base: '%s'}, model_info: {id: good}}
- {model_name: 'star/*', litellm_params: {model: openai/*, api_key: k, api_base: '%s'}, model_info: {id: star}}
- {model_name: 'asked/*', litellm_params: {model: openai/*, api_key: k, api_base: '%s'}, model_info: {id: asked, health_check_model: openai/gpt-4o-mini}}
general_settings: {background_health_checks: true, health_check_interval: 0.05, enable_health_check_routing: true, health_check_staleness_threshold: 60}
`, bad, good, good, good)
	c, findings := load(t, yaml)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	_, url := gateway(t, c)
	type answer struct {
		Healthy   []map[string]string `json:"healthy_endpoints"`
		Unhealthy []map[string]string `json:"unhealthy_endpoints"`
		Good      int                 `json:"healthy_count"`
		Bad       int                 `json:"unhealthy_count"`
	}
	state := func(query string) (a answer) {
		status, body := admin(t, "GET", url+"/health"+query, "")
		if err := json.Unmarshal([]byte(body), &a); err != nil || status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		return a
	}
	wait := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("never: %s", what)
			}
		}
	}
	wait("the broken one is found", func() bool { a := state(""); return a.Bad == 1 && a.Good == 2 })
	if a := state(""); a.Unhealthy[0]["model_id"] != "bad" || a.Unhealthy[0]["api_base"] != bad || !strings.Contains(a.Unhealthy[0]["error"], "the engine is dead") || a.Unhealthy[0]["model"] != "openai/a" {
		t.Errorf("%+v", a)
	}
	if a := state("?model_id=good"); a.Good != 1 || a.Bad != 0 {
		t.Errorf("%+v", a)
	}
	if status, body := admin(t, "GET", url+"/health?model_id=nobody", ""); status != 404 || body != `{"detail":{"error":"Model with ID nobody not found"}}` {
		t.Errorf("%d %s", status, body)
	}
	asked.Store(0)
	for range 30 {
		if resp, body := post(t, url+"/v1/chat/completions", askOnce); resp.StatusCode != 200 || resp.Header.Get("x-litellm-attempted-retries") != "0" {
			t.Fatalf("%d %s %v asked %d %+v", resp.StatusCode, body, resp.Header, asked.Load(), state(""))
		}
	}
	if asked.Load() != 0 {
		t.Errorf("%d calls went to a deployment that is known to be broken", asked.Load())
	}
	broken.Store(false)
	wait("it is well again", func() bool { return state("").Bad == 0 })
	wait("calls reach it again", func() bool {
		post(t, url+"/v1/chat/completions", askOnce)
		return asked.Load() > 0
	})
}

func TestHealthOnDemand(t *testing.T) {
	base, asked := counting(t)
	url := configured(t, base, "general_settings: {health_check_details: false}", nil)
	time.Sleep(20 * time.Millisecond)
	if asked.Load() != 0 {
		t.Error("deployments are checked although nobody asked")
	}
	status, body := admin(t, "GET", url+"/health", "")
	if status != 200 || !strings.Contains(body, `"healthy_count":1`) || strings.Contains(body, base) || asked.Load() != 1 {
		t.Errorf("%d %s after %d probes", status, body, asked.Load())
	}
}

func TestEveryModeIsAskedInItsOwnWay(t *testing.T) {
	var bodies sync.Map
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies.Store(r.URL.Path, string(body))
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"x","object":"list","data":[],"results":[],"model":"m","choices":[],"output":[]}`)
	})
	var yaml strings.Builder
	yaml.WriteString("model_list:\n")
	for _, mode := range []string{"chat", "completion", "embedding", "responses", "rerank", "image_generation", "audio_speech", "audio_transcription"} {
		fmt.Fprintf(&yaml, "- {model_name: %s, litellm_params: {model: hosted_vllm/m, api_key: k, api_base: '%s'}, model_info: {mode: %s}}\n", mode, base, mode)
	}
	c, _ := load(t, yaml.String())
	_, url := gateway(t, c)
	status, body := admin(t, "GET", url+"/health", "")
	if status != 200 || !strings.Contains(body, `"unhealthy_count":0`) || !strings.Contains(body, `"healthy_count":7`) {
		t.Errorf("%d %s", status, body)
	}
	for path, part := range map[string]string{
		"/v1/chat/completions": `"messages":[{"content":"test from litellm"`, "/v1/completions": `"prompt":"test from litellm"`,
		"/v1/embeddings": `"input":["test from litellm"]`, "/v1/responses": `"input":"test from litellm"`, "/v1/images/generations": `"prompt"`,
		"/v1/audio/speech": `"voice":"alloy"`,
	} {
		if got, _ := bodies.Load(path); got == nil || !strings.Contains(got.(string), part) {
			t.Errorf("%s was asked %v", path, got)
		}
	}
}

// TestVariablesSayHowDeploymentsAreAsked asks deployments of several kinds, and
// reads what they were asked.
func TestVariablesSayHowDeploymentsAreAsked(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]map[string]any{}
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		model, _ := body["model"].(string)
		mu.Lock()
		asked[model] = body
		mu.Unlock()
		if model == "slow" {
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	entry := func(model, info string) string {
		return fmt.Sprintf("- {model_name: %[1]s, litellm_params: {model: 'openai/%[1]s', api_key: k, api_base: '%[2]s'}, model_info: {%[3]s}}\n", model, base, info)
	}
	yaml := "model_list:\n" + entry("gpt-4o", "") + entry("o3-mini", "") + entry("own", "health_check_max_tokens: 7") +
		entry("o3", "health_check_max_tokens_reasoning: 77, health_check_max_tokens_non_reasoning: 33") + entry("gpt-4o-mini", "health_check_max_tokens_reasoning: 77, health_check_max_tokens_non_reasoning: 33") +
		entry("instruct", "mode: completion") + entry("star-*", "health_check_model: openai/star")
	for _, tt := range []struct {
		name   string
		env    []string
		prompt string
		want   map[string]float64
	}{
		{"by default", nil, DefaultProbePrompt, map[string]float64{"gpt-4o": 16, "o3-mini": 16, "own": 7, "o3": 77, "gpt-4o-mini": 33, "star": 0}},
		{"one bound for all", []string{"BACKGROUND_HEALTH_CHECK_MAX_TOKENS=21", "DEFAULT_HEALTH_CHECK_PROMPT=are you there"}, "are you there",
			map[string]float64{"gpt-4o": 21, "o3-mini": 21, "own": 7, "o3": 77, "gpt-4o-mini": 33, "star": 21}},
		{"another for those that think", []string{"BACKGROUND_HEALTH_CHECK_MAX_TOKENS=21", "BACKGROUND_HEALTH_CHECK_MAX_TOKENS_REASONING=99"}, DefaultProbePrompt,
			map[string]float64{"gpt-4o": 21, "o3-mini": 99, "own": 7, "o3": 77, "gpt-4o-mini": 33, "star": 21}},
		{"what is no number", []string{"BACKGROUND_HEALTH_CHECK_MAX_TOKENS=many"}, DefaultProbePrompt, map[string]float64{"gpt-4o": 16}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clear(asked)
			c, findings := load(t, yaml, tt.env...)
			if bad := strings.Contains(fmt.Sprint(tt.env), "many"); bad != (len(findings) == 1) || bad && !strings.Contains(findings[0].Message, "BACKGROUND_HEALTH_CHECK_MAX_TOKENS is not a usable number") {
				t.Fatal(findings)
			}
			_, url := gateway(t, c)
			if status, body := admin(t, "GET", url+"/health", ""); status != 200 || !strings.Contains(body, `"unhealthy_count":0`) {
				t.Fatalf("%d %s", status, body)
			}
			mu.Lock()
			defer mu.Unlock()
			for model, want := range tt.want {
				body := asked[model]
				got, _ := body["max_tokens"].(float64)
				if n, ok := body["max_completion_tokens"].(float64); ok {
					got = n
				}
				if got != want || !strings.Contains(fmt.Sprint(body["messages"]), tt.prompt) {
					t.Errorf("%s was asked %v, want %g tokens", model, body, want)
				}
			}
			if asked["instruct"]["prompt"] != tt.prompt {
				t.Errorf("%v", asked["instruct"])
			}
		})
	}
	c, _ := load(t, "general_settings: {background_health_checks: true}\nmodel_list:\n"+entry("slow", ""), "HEALTH_CHECK_TIMEOUT_SECONDS=0.05", "DEFAULT_HEALTH_CHECK_INTERVAL=0.1")
	if c.Health.Interval != 100*time.Millisecond {
		t.Errorf("a round every %s", c.Health.Interval)
	}
	_, url := gateway(t, c)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, body := admin(t, "GET", url+"/health", "")
		if strings.Contains(body, `"unhealthy_count":1`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the check has no end: " + body)
		}
	}
}
