package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Clients of a group with rpm or tpm hear what is left of the minute, as from
// LiteLLM, unless the upstream says what is left of its own.
func TestClientsHearWhatIsLeftOfAGroupsLimits(t *testing.T) {
	theirs := false
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if theirs {
			w.Header().Set("X-Ratelimit-Remaining-Requests", "7")
			w.Header().Set("X-Ratelimit-Remaining-Tokens", "70")
			w.Header().Set("X-Ratelimit-Limit-Requests", "8")
		}
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"stream":true`) {
			_, _ = io.WriteString(w, firstEvent+"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\ndata: [DONE]\n\n")
			return
		}
		_, _ = io.WriteString(w, `{"id":"c","choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":13,"completion_tokens":20,"total_tokens":33}}`)
	})
	c, findings := load(t, `
model_list:
  - {model_name: m, litellm_params: {model: openai/a, api_base: "`+base+`", api_key: k, rpm: 100, tpm: 20000}}
  - {model_name: m, litellm_params: {model: openai/b, api_base: "`+base+`", api_key: k, rpm: 50}}
  - {model_name: free, litellm_params: {model: openai/c, api_base: "`+base+`", api_key: k}}
general_settings: {master_key: `+testKey+`}
`)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	_, url := gateway(t, c)
	left := func(body string) [4]string {
		t.Helper()
		resp, answer := post(t, url+"/v1/chat/completions", body)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, answer)
		}
		h := resp.Header.Get
		return [4]string{h("X-Ratelimit-Limit-Requests"), h("X-Ratelimit-Remaining-Requests"), h("X-Ratelimit-Limit-Tokens"), h("X-Ratelimit-Remaining-Tokens")}
	}
	steps := []struct {
		name, body string
		theirs     bool
		want       [4]string
	}{
		{"the first call", `{"model":"m","messages":[]}`, false, [4]string{"150", "149", "20000", "19967"}},
		{"the second", `{"model":"m","messages":[]}`, false, [4]string{"150", "148", "20000", "19934"}},
		{"a stream, whose tokens come later", `{"model":"m","messages":[],"stream":true}`, false, [4]string{"150", "147", "20000", "19934"}},
		{"after it", `{"model":"m","messages":[]}`, false, [4]string{"150", "146", "20000", "19894"}},
		{"the upstream says it", `{"model":"m","messages":[]}`, true, [4]string{"8", "7", "", "70"}},
		{"no limits", `{"model":"free","messages":[]}`, false, [4]string{}},
	}
	for _, s := range steps {
		theirs = s.theirs
		if got := left(s.body); got != s.want {
			t.Errorf("%s: %v, want %v", s.name, got, s.want)
		}
	}
}
