package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// named answers with the model that it is asked for.
func named(t *testing.T) string {
	return upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		model := "a"
		if strings.Contains(string(body), `"m-b"`) {
			model = "b"
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"1","object":"chat.completion","model":"m-`+model+`","choices":[{"index":0,"message":{"role":"assistant","content":"`+model+`"},"finish_reason":"stop"}]}`)
	})
}

func testingGateway(t *testing.T, settings string) string {
	c, _ := load(t, `
model_list:
- {model_name: a, litellm_params: {model: openai/m-a, api_key: k, api_base: "`+named(t)+`", timeout: 0.2}}
- {model_name: b, litellm_params: {model: openai/m-b, api_key: k, api_base: "`+named(t)+`"}}
- {model_name: mocked, litellm_params: {model: openai/x, api_key: k, mock_response: pong}}
router_settings: {num_retries: 0, fallbacks: [{a: [b]}]}
general_settings: {master_key: `+testKey+settings+`}`)
	_, url := gateway(t, c)
	return url + "/v1/chat/completions"
}

func TestMadeUpFailuresNeedTheOperatorsWord(t *testing.T) {
	url := testingGateway(t, "")
	for _, member := range []string{
		"mock_testing_fallbacks", "mock_testing_context_fallbacks", "mock_testing_context_window_fallbacks", "mock_testing_content_policy_fallbacks", "mock_testing_rate_limit_error", "mock_timeout", "mock_delay",
	} {
		resp, body := post(t, url, `{"model":"a","messages":[],"`+member+`":true}`)
		if resp.StatusCode != 400 || !strings.Contains(body, "Mock testing request params are disabled on this proxy: "+member+". An admin can enable them by setting `general_settings.dangerously_allow_mock_testing_request_params: true`") {
			t.Errorf("%s: %d %s", member, resp.StatusCode, body)
		}
	}
}

func TestMadeUpFailuresTryOutFallbacks(t *testing.T) {
	url := testingGateway(t, ", dangerously_allow_mock_testing_request_params: true")
	for _, tt := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"model":"a","messages":[],"mock_testing_fallbacks":true}`, 200, `"content":"b"`},
		{`{"model":"a","messages":[],"mock_testing_fallbacks":false}`, 200, `"content":"a"`},
		{`{"model":"a","messages":[],"mock_testing_context_fallbacks":true}`, 200, `"content":"b"`},
		{`{"model":"b","messages":[],"mock_testing_context_window_fallbacks":true}`, 400, "litellm.ContextWindowExceededError: This is a mock exception for model=b, to trigger a fallback."},
		{`{"model":"b","messages":[],"mock_testing_content_policy_fallbacks":true}`, 400, "litellm.ContentPolicyViolationError"},
		{`{"model":"b","messages":[],"mock_testing_fallbacks":true}`, 500, "litellm.InternalServerError"},
		{`{"model":"b","messages":[],"mock_testing_rate_limit_error":true}`, 429, `"type":"throttling_error"`},
		{`{"model":"b","messages":[],"mock_testing_fallbacks":true,"fallbacks":["a"]}`, 200, `"content":"a"`},
		{`{"model":"a","messages":[],"mock_testing_fallbacks":true,"disable_fallbacks":true}`, 500, "mock exception for model=a"},
		{`{"model":"a","messages":[],"mock_timeout":true,"disable_fallbacks":true}`, 408, "litellm.Timeout"},
	} {
		resp, body := post(t, url, tt.body)
		if resp.StatusCode != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %d %s", tt.body, resp.StatusCode, body)
		}
		if tt.status == 200 && strings.Contains(tt.says, `"b"`) && resp.Header.Get("X-Litellm-Attempted-Fallbacks") != "1" {
			t.Errorf("%s: %v", tt.body, resp.Header)
		}
	}
	begin := time.Now()
	if resp, body := post(t, url, `{"model":"mocked","messages":[],"mock_delay":1}`); resp.StatusCode != 200 || !strings.Contains(body, "pong") || time.Since(begin) < time.Second {
		t.Errorf("%d %s after %s", resp.StatusCode, body, time.Since(begin))
	}
}
