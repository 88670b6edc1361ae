package proxy

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/mock"
)

// TestEveryKindOfCallEndsInOneErrorWhateverTheUpstreamDoes: what an upstream can
// do wrong before its answer has begun ends in one envelope, for every kind.
func TestEveryKindOfCallEndsInOneErrorWhateverTheUpstreamDoes(t *testing.T) {
	m := mock.New(mock.Options{Seed: 1})
	up := httptest.NewServer(m)
	t.Cleanup(up.Close)
	t.Cleanup(m.Close)
	faults := map[string]int{
		"400": 400, "401": 401, "413": 413, "429": 429, "500": 500, "503": 503, "hang": 408, "close": 500, "reset": 500,
		"headers-only": 500, "empty": 502, "html": 502, "html-502": 502, "cut": 500, "bad-json": 502, "truncate": 502,
	}
	var list strings.Builder
	for name := range faults {
		fmt.Fprintf(&list, "- {model_name: %q, litellm_params: {model: \"openai/mock/%s\", api_key: k, api_base: %q, timeout: 0.3}}\n", name, name, up.URL+"/v1")
	}
	c, _ := load(t, "model_list:\n"+list.String()+"router_settings: {num_retries: 0, disable_cooldowns: true}\ngeneral_settings: {master_key: "+testKey+"}")
	_, url := gateway(t, c)
	for path, rest := range map[string]string{
		"/v1/chat/completions": `"messages":[]`, "/v1/completions": `"prompt":"x"`, "/v1/embeddings": `"input":"x"`, "/v1/responses": `"input":"x"`,
		"/v1/moderations": `"input":"x"`, "/v1/rerank": `"query":"q","documents":["a"]`, "/v1/images/generations": `"prompt":"x"`, "/v1/audio/speech": `"input":"x"`,
		"/v1/audio/transcriptions": "", "/v1/audio/translations": "", "/v1/images/edits": "", "/v1/images/variations": "",
	} {
		for fault, want := range faults {
			if path == "/v1/audio/speech" && (fault == "bad-json" || fault == "truncate") {
				continue // half of a sound that says no length is a sound
			}
			body, header := `{"model":"`+fault+`",`+rest+`}`, []string(nil)
			if rest == "" {
				var kind string
				body, kind = form(t, "model", fault)
				header = []string{"Content-Type", kind}
			}
			resp, answer := post(t, url+path, body, header...)
			var e struct {
				Error struct{ Message, Code string }
			}
			if err := json.Unmarshal([]byte(answer), &e); err != nil || resp.StatusCode != want || e.Error.Code != fmt.Sprint(want) || !strings.HasPrefix(e.Error.Message, "litellm.") {
				t.Errorf("%s %s: %d %.300q, want %d", path, fault, resp.StatusCode, answer, want)
			}
		}
	}
}
