package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// budgeted is a gateway whose first group has two deployments of two providers.
func budgeted(t *testing.T, entry, settings, more string) string {
	a, _, _ := twin(t, "a")
	b, _, _ := twin(t, "b")
	c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: pair, litellm_params: {model: openai/gpt-4o, api_key: k, api_base: '%s', weight: 1000%s}, model_info: {id: A}}
- {model_name: pair, litellm_params: {model: hosted_vllm/x, api_key: k, api_base: '%s', weight: 1}, model_info: {id: B}}
- {model_name: alone, litellm_params: {model: openai/gpt-4o, api_key: k, api_base: '%s'}, model_info: {id: C}}
router_settings: {num_retries: 0%s}
%s
`, a, entry, b, a, settings, more))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	return started(t, c)
}

func TestAProviderOverItsBudgetIsLeftOut(t *testing.T) {
	url := budgeted(t, "", ", provider_budget_config: {openai: {budget_limit: 1e-9, time_period: 1d}}", "")
	if got := askPair(t, url, ""); got != "A" {
		t.Fatalf("the first call went to %s", got)
	}
	_, body := admin(t, "GET", url+"/provider/budgets", "")
	if !strings.Contains(body, `{"providers":{"openai":{"budget_limit":1e-9,"time_period":"1d","spend":`) || strings.Contains(body, `"spend":0,`) {
		t.Errorf("%s", body)
	}
	for range 5 {
		if got := askPair(t, url, ""); got != "B" {
			t.Errorf("a call over budget went to %s", got)
		}
	}
	resp, body := post(t, url+"/v1/chat/completions", `{"model":"alone","messages":[]}`)
	if resp.StatusCode != 429 || !strings.Contains(body, `{"error":{"message":"No deployments available - crossed budget: Exceeded budget for provider openai: `) ||
		!strings.Contains(body, ` \u003e= 1e-09\n`) && !strings.Contains(body, ` >= 1e-09\n`) || !strings.Contains(body, `"type":"internal_server_error","param":null,"code":"429"}`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	resp, body = post(t, url+"/v1/chat/completions", `{"model":"alone","messages":[],"fallbacks":["pair"]}`)
	if resp.StatusCode != 200 {
		t.Errorf("a fallback: %d %s", resp.StatusCode, body)
	}
}

func TestADeploymentOverItsBudgetIsLeftOut(t *testing.T) {
	url := budgeted(t, ", max_budget: 1e-9, budget_duration: 1h", "", "")
	askPair(t, url, "")
	eventually(t, func() bool { return askPair(t, url, "") == "B" })
	if resp, body := post(t, url+"/v1/chat/completions", `{"model":"alone","messages":[]}`); resp.StatusCode != 200 {
		t.Errorf("another deployment of the provider: %d %s", resp.StatusCode, body)
	}
}

func TestATagOverItsBudgetIsRefused(t *testing.T) {
	url := budgeted(t, "", "", "litellm_settings: {tag_budget_config: {batch: {max_budget: 1e-9, budget_duration: 1d}}}")
	tagged := `{"model":"alone","messages":[],"metadata":{"tags":["batch"]}}`
	post(t, url+"/v1/chat/completions", tagged)
	eventually(t, func() bool {
		resp, body := post(t, url+"/v1/chat/completions", tagged)
		return resp.StatusCode == 429 && strings.Contains(body, "Exceeded budget for tag='batch'")
	})
	if resp, body := post(t, url+"/v1/chat/completions", `{"model":"alone","messages":[]}`); resp.StatusCode != 200 {
		t.Errorf("without the tag: %d %s", resp.StatusCode, body)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Error("it did not happen within 5 s")
}

func TestBudgetsThatCannotBeEnforcedAreNamed(t *testing.T) {
	for _, tt := range []struct{ provider, says string }{
		{"openai: {budget_limit: 1, time_period: soon}", `router_settings.provider_budget_config.openai: the budget is not enforced: "soon" is no duration`},
		{"openai: {budget_limit: 1}", "it has no window"},
		{"openai: {time_period: 1d}", "its limit must be a number of dollars"},
		{"openai: {budget_limit: 0, time_period: 1d}", "a budget of 0 bounds nothing"},
		{"openai: {budget_limit: -1, time_period: 1d}", "a negative budget lets no call through"},
		{"groq: {budget_limit: 1, time_period: 1d}", `no deployment has the provider "groq"`},
	} {
		_, findings := load(t, `
model_list: [{model_name: a, litellm_params: {model: openai/gpt-4o, api_key: k}}]
router_settings: {provider_budget_config: {`+tt.provider+`}}
`)
		if len(findings) != 1 || !strings.Contains(findings[0].Message, tt.says) {
			t.Errorf("%s: %v", tt.provider, findings)
		}
	}
}
