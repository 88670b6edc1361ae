package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// A prompt that Azure's filter refuses is the client's affair: it hears why, once,
// and the deployment serves on (golden vector AZ-5).
func TestAPromptThatAzureFiltersIsRefusedOnce(t *testing.T) {
	var asked atomic.Int32
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), "bad") {
			_, _ = io.WriteString(w, okAnswer)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy. …","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"violence":{"filtered":true,"severity":"medium"}}}}}`)
	})
	c, findings := load(t, `
model_list:
  - {model_name: gpt, litellm_params: {model: azure/my-dep, api_base: "`+strings.TrimSuffix(base, "/v1")+`", api_version: 2025-02-01-preview, api_key: azk}}
general_settings: {master_key: `+testKey+`}
router_settings: {num_retries: 3, allowed_fails: 0}
`)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	_, url := gateway(t, c)
	resp, body := post(t, url+"/v1/chat/completions", `{"model":"gpt","messages":[{"role":"user","content":"bad"}]}`)
	var e struct {
		Error struct {
			Message, Code string
			Fields        struct {
				InnerError struct{ Code string }
			} `json:"provider_specific_fields"`
		}
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || resp.StatusCode != http.StatusBadRequest ||
		!strings.Contains(e.Error.Message, "litellm.ContentPolicyViolationError") || e.Error.Code != "400" ||
		e.Error.Fields.InnerError.Code != "ResponsibleAIPolicyViolation" {
		t.Errorf("%d %s, %v", resp.StatusCode, body, err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the upstream was asked %d times", n)
	}
	if resp, body := post(t, url+"/v1/chat/completions", `{"model":"gpt","messages":[]}`); resp.StatusCode != http.StatusOK {
		t.Errorf("the deployment is left out: %d %s", resp.StatusCode, body)
	}
}
