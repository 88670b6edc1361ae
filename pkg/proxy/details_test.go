package proxy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

func TestReadinessNamesTheCallbacksThatAreServed(t *testing.T) {
	c, _ := load(t, `
model_list: [{model_name: a, litellm_params: {model: openai/m, api_key: sk-x, api_base: "http://127.0.0.1:1"}}]
general_settings: {master_key: `+testKey+`}
litellm_settings: {callbacks: [prometheus, langfuse], success_callback: [prometheus], failure_callback: [otel]}`)
	_, url := gateway(t, c)
	resp, body := asked(t, url+"/health/readiness/details", true)
	var got struct {
		Callbacks []string `json:"success_callbacks"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 200 || !slices.Equal(got.Callbacks, []string{"prometheus"}) {
		t.Errorf("%d %s (%v)", resp.StatusCode, body, err)
	}
}

func TestListingsRefuseAKindOfFallbackThatDoesNotExist(t *testing.T) {
	c, _ := load(t, `
model_list: [{model_name: a, litellm_params: {model: openai/m, api_key: sk-x, api_base: "http://127.0.0.1:1"}}]
general_settings: {master_key: `+testKey+`}`)
	_, url := gateway(t, c)
	for kind, want := range map[string]int{"general": 200, "context_window": 200, "bogus": 400} {
		resp, body := asked(t, url+"/v1/models?include_metadata=true&fallback_type="+kind, true)
		if resp.StatusCode != want || want == 400 && body != `{"detail":"Invalid fallback_type. Must be one of: ['general', 'context_window', 'content_policy']"}` {
			t.Errorf("%s: %d %s", kind, resp.StatusCode, body)
		}
	}
}

func TestACutIsCounted(t *testing.T) {
	for n, want := range map[int64]string{1: "1 request was cut: it had not finished 2s", 2: "2 requests were cut: they had not finished 2s"} {
		if e := (&CutError{Requests: n, After: 2 * time.Second}); !strings.HasPrefix(e.Error(), want) {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
}

func TestSwitchesThatAreOffAreNotCalledUnserved(t *testing.T) {
	for word, said := range map[string]bool{"True": true, "1": true, "False": false, "0": false} {
		tree, _, err := config.Load(config.Sources{Data: []byte("model_list: []\n"), File: "c.yaml", Env: config.ProcessEnv([]string{"LITELLM_DROP_PARAMS=" + word})})
		if err != nil {
			t.Fatal(err)
		}
		_, findings := Load(tree, "llmgw/test")
		if got := slices.ContainsFunc(findings, func(f finding.Finding) bool { return strings.Contains(f.Message, "LITELLM_DROP_PARAMS") }); got != said {
			t.Errorf("%s: %v", word, findings)
		}
	}
}

func TestSettingsThatAreReadAreNotCalledUnserved(t *testing.T) {
	for yaml, want := range map[string]string{
		"general_settings: {dangerously_allow_unsafe_proxy: true}":              "",
		"general_settings: {dangerously_permit_weak_or_unset_master_key: true}": "",
		"llmgw: {compat: latest}":                                            "",
		"llmgw: {compat: litellm-1.83}":                                      "",
		"llmgw: {compat: litellm-1.80}":                                      "llmgw.compat must be latest or litellm-1.83",
		"model_list: [{model_name: [a], litellm_params: {model: openai/m}}]": "model_name must be text, not a list",
		"model_list: [{model_name: a, litellm_params: {model: openai/m, custom_llm_provider: bogus}}]":       "or openai/m with api_base",
		"model_list: [{model_name: a, litellm_params: {model: openai/m, api_base: 'http://h', weight: -1}}]": "weight must be a number of at least 0",
		"router_settings: {retry_policy: {TimeoutErrorRetries: 1}}":                                          "",
	} {
		_, findings := load(t, yaml)
		var said []string
		for _, f := range findings {
			said = append(said, f.Message)
		}
		if text := strings.Join(said, "; "); want == "" && text != "" || !strings.Contains(text, want) || len(said) > 1 {
			t.Errorf("%s: %q\nwant %q", yaml, text, want)
		}
	}
}
