package provider

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

func TestAzureAddresses(t *testing.T) {
	const resource = "https://r1.openai.azure.com"
	for _, tt := range []struct {
		name, yaml string
		env        map[string]string
		op         wire.Op
		want       string
	}{
		{"AZ-1", "{model: azure/my-dep, api_base: '" + resource + "', api_version: 2025-02-01-preview, api_key: azk}", nil, wire.Chat, resource + "/openai/deployments/my-dep/chat/completions?api-version=2025-02-01-preview"},
		{"the default version", "{model: azure/my-dep, api_base: '" + resource + "/', api_key: azk}", nil, wire.Embeddings, resource + "/openai/deployments/my-dep/embeddings?api-version=2025-02-01-preview"},
		{"the variables", "{model: azure/my-dep}", map[string]string{"AZURE_API_BASE": resource, "AZURE_API_VERSION": "2024-10-21", "AZURE_API_KEY": "azk"}, wire.Completions, resource + "/openai/deployments/my-dep/completions?api-version=2024-10-21"},
		{"images", "{model: azure/my-dep, api_base: '" + resource + "', api_key: azk}", nil, wire.Images, resource + "/openai/deployments/my-dep/images/generations?api-version=2025-02-01-preview"},
		{"sound", "{model: azure/my-dep, api_base: '" + resource + "', api_key: azk}", nil, wire.Transcriptions, resource + "/openai/deployments/my-dep/audio/transcriptions?api-version=2025-02-01-preview"},
		{"a full base", "{model: azure/x, api_base: '" + resource + "/openai/deployments/my-dep', api_key: azk, api_version: '2024-10-21'}", nil, wire.Chat, resource + "/openai/deployments/my-dep/chat/completions?api-version=2024-10-21"},
		{"a full base with the endpoint and the version", "{model: azure/x, api_base: '" + resource + "/openai/deployments/my-dep/chat/completions?api-version=2023-05-15', api_key: azk}", nil, wire.Chat, resource + "/openai/deployments/my-dep/chat/completions?api-version=2023-05-15"},
		{"v1", "{model: azure/my-dep, api_base: '" + resource + "', api_key: azk, api_version: v1}", nil, wire.Chat, resource + "/openai/v1/chat/completions"},
		{"preview", "{model: azure/my-dep, api_base: '" + resource + "', api_key: azk, api_version: preview}", nil, wire.Chat, resource + "/openai/v1/chat/completions?api-version=preview"},
		{"a v1 base", "{model: azure/my-dep, api_base: '" + resource + "/openai/v1', api_key: azk, api_version: latest}", nil, wire.Chat, resource + "/openai/v1/chat/completions"},
		{"responses", "{model: azure/my-dep, api_base: '" + resource + "', api_key: azk, api_version: 2025-03-01-preview}", nil, wire.Responses, resource + "/openai/responses?api-version=2025-03-01-preview"},
		{"responses without a version", "{model: azure/my-dep, api_base: '" + resource + "', api_key: azk}", nil, wire.Responses, resource + "/openai/v1/responses?api-version=preview"},
		{"a gateway", "{model: azure/my-dep, api_base: 'https://gateway.ai.cloudflare.com/v1/acc/gw/azure-openai/res', api_key: azk, api_version: '2024-10-21'}", nil, wire.Chat, "https://gateway.ai.cloudflare.com/v1/acc/gw/azure-openai/res/my-dep/chat/completions?api-version=2024-10-21"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := deploy(t, tt.yaml, tt.env)
			lane, err := d.Lanes.(wire.Lanes).Lane(tt.op)
			if err != nil {
				t.Fatal(err)
			}
			if got := lane.Target().URL.String(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if h := lane.Target().Header; h.Get("Api-Key") != "azk" || h.Get("Authorization") != "" {
				t.Errorf("headers %v", h)
			}
		})
	}
}

// TestGoldenAZ3 pins D23 of docs/compatibility.md, with TestGoldenOAI3: Azure's
// first event, which has no choices and no model, reaches nobody.
func TestGoldenAZ3(t *testing.T) {
	d := deploy(t, "{model: azure/my-dep, api_base: 'https://r1.openai.azure.com', azure_ad_token: tok}", nil)
	lane := d.Lane.(wire.Lane)
	if h := lane.Target().Header; h.Get("Authorization") != "Bearer tok" || h.Get("Api-Key") != "" {
		t.Errorf("headers %v", h)
	}
	var r splice.Request
	if err := r.Scan([]byte(`{"model":"gpt","messages":[{"role":"user","content":"hi"}],"stream":true}`)); err != nil {
		t.Fatal(err)
	}
	x := lane.Open(wire.Options{Request: &r, Restamp: "gpt"})
	defer x.Close()
	if body, _ := x.AppendRequest(nil); string(body) != `{"model":"my-dep","messages":[{"role":"user","content":"hi"}],"stream":true}` {
		t.Errorf("sent %s", body)
	}
	// AZ-3: the first event has no choices.
	const (
		first = `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}` + "\n\n"
		rest  = `data: {"choices":[{"content_filter_results":{},"delta":{"content":"","role":"assistant"},"finish_reason":null,"index":0}],"created":5,"id":"chatcmpl-a","model":"MODEL","object":"chat.completion.chunk"}` + "\n\n" +
			`data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":null,"index":0}],"created":5,"id":"chatcmpl-a","model":"MODEL","object":"chat.completion.chunk"}` + "\n\n" +
			`data: {"choices":[{"delta":{},"finish_reason":"stop","index":0}],"created":5,"id":"chatcmpl-a","model":"MODEL","object":"chat.completion.chunk"}` + "\n\ndata: [DONE]\n\n"
	)
	n := copy(x.Space(), first)
	if out, err := x.Advance(n); err != nil || len(out) != 0 {
		t.Errorf("the first event comes out: %s, %v", out, err)
	}
	n = copy(x.Space(), replaceModel(rest, "gpt-4o-2024-11-20"))
	if out, err := x.Advance(n); err != nil || string(out) != replaceModel(rest, "gpt") || !x.Done() {
		t.Errorf("%s, %v", out, err)
	}
	if id := string(x.Outcome().ID); id != "chatcmpl-a" {
		t.Errorf("id %q", id)
	}
}

func replaceModel(s, model string) string {
	out := ""
	for i := 0; i < len(s); i++ {
		if len(s)-i >= 5 && s[i:i+5] == "MODEL" {
			out += model
			i += 4
			continue
		}
		out += s[i : i+1]
	}
	return out
}

// TestAzureFilter is AZ-5.
func TestAzureFilter(t *testing.T) {
	d := deploy(t, "{model: azure/my-dep, api_base: 'https://r1.openai.azure.com', api_key: k}", nil)
	e := Classifier{}.Status(d, http.StatusBadRequest, nil, []byte(`{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"violence":{"filtered":true,"severity":"medium"}}}}}`))
	if e.StatusCode() != 400 || e.Class.String() != "ContentPolicyViolationError" {
		t.Errorf("%d %s", e.StatusCode(), e.Class)
	}
	if want := `{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"violence":{"filtered":true,"severity":"medium"}}}`; string(e.Inner) != want {
		t.Errorf("innererror %s", e.Inner)
	}
}

func TestAWildcardOfAzureLeadsToTheDeploymentThatIsNamed(t *testing.T) {
	const resource = "https://r1.openai.azure.com"
	d := deploy(t, "{model: 'azure/*', api_base: '"+resource+"', api_key: azk}", nil)
	lane := d.Lane.(wire.Lane)
	for model, want := range map[string]string{
		"gpt-4o": resource + "/openai/deployments/gpt-4o/chat/completions?api-version=2025-02-01-preview",
		"a/../b": resource + "/openai/deployments/a%2F..%2Fb/chat/completions?api-version=2025-02-01-preview",
		"a?b#c":  resource + "/openai/deployments/a%3Fb%23c/chat/completions?api-version=2025-02-01-preview",
		"..":     "", ".": "", "": "",
	} {
		target, err := wire.TargetFor(lane, model)
		if want == "" {
			if err == nil {
				t.Errorf("%q leads to %s", model, target.URL)
			}
			continue
		}
		if err != nil || target.URL.String() != want || target.Header.Get("Api-Key") != "azk" {
			t.Errorf("%q leads to %v, %v", model, target, err)
		}
		if again, _ := wire.TargetFor(lane, model); again != target {
			t.Errorf("%q is worked out twice", model)
		}
	}
	for i := range 3000 { // clients choose the names
		if _, err := wire.TargetFor(lane, fmt.Sprint("made-up-", i)); err != nil {
			t.Fatal(err)
		}
	}
	one, _ := wire.TargetFor(lane, "made-up-2999")
	if two, _ := wire.TargetFor(lane, "made-up-2999"); one == two {
		t.Error("every name is remembered")
	}
	fixed := deploy(t, "{model: azure/dep, api_base: '"+resource+"', api_key: azk}", nil).Lane.(wire.Lane)
	if target, err := wire.TargetFor(fixed, "whatever"); err != nil || target != fixed.Target() {
		t.Errorf("%v, %v", target, err)
	}
}
