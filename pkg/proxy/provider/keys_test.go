package provider

import (
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// TestKeysOfSettings holds what was seen of LiteLLM: which of a provider's
// setting (S), the general setting (G) and the variable (V) is sent.
func TestKeysOfSettings(t *testing.T) {
	for _, tt := range []struct{ model, setting, s, v, sv, g, gs, gv, gsv string }{
		{"openai/m", "openai_key", "S", "V", "S", "G", "G", "G", "G"},
		{"text-completion-openai/m", "openai_key", "S", "V", "S", "G", "G", "G", "G"},
		{"azure/m", "azure_key", "S", "V", "S", "G", "G", "G", "G"},
		{"databricks/m", "databricks_key", "S", "V", "S", "G", "G", "G", "G"},
		{"openrouter/m", "openrouter_key", "S", "V", "S", "G", "G", "G", "G"},
		{"groq/m", "groq_key", "S", "V", "V", "G", "G", "V", "V"},
		{"azure_ai/m", "azure_key", "S", "V", "V", "G", "G", "V", "V"},
		{"amazon_nova/m", "amazon_nova_api_key", "S", "V", "S", "G", "S", "V", "S"},
		{"cometapi/m", "cometapi_key", "S", "V", "S", "G", "S", "V", "S"},
		{"ovhcloud/m", "ovhcloud_key", "S", "V", "S", "G", "S", "V", "S"},
		{"ollama_chat/m", "ollama_key", "S", "V", "S", "G", "S", "V", "S"},
		{"xai/m", "xai_key", "S", "V", "S", "", "S", "V", "S"},
		{"mistral/m", "", "", "V", "V", "G", "G", "V", "V"},
		{"perplexity/m", "", "", "V", "V", "G", "G", "V", "V"},
		{"deepseek/m", "", "", "V", "V", "", "", "V", "V"},
		{"together_ai/m", "", "", "V", "V", "", "", "V", "V"},
		{"hosted_vllm/m", "", "", "V", "V", "", "", "V", "V"},
	} {
		for given, want := range map[string]string{"": "", "S": tt.s, "V": tt.v, "SV": tt.sv, "G": tt.g, "GS": tt.gs, "GV": tt.gv, "GSV": tt.gsv} {
			name, _, _ := strings.Cut(tt.model, "/")
			known, ok := catalog.LookupProvider(name)
			if !ok {
				t.Fatal(name)
			}
			e := Entry{Model: tt.model, APIBase: "https://there.example/v1", Settings: Settings{Keys: map[string]redact.Secret{}}}
			if strings.Contains(given, "G") {
				e.Settings.Keys[GeneralKey] = redact.New("G")
			}
			if strings.Contains(given, "S") {
				// The keys of all others must not be sent.
				for _, setting := range KeySettings() {
					if setting != GeneralKey {
						e.Settings.Keys[setting] = redact.New("another's")
					}
				}
				if tt.setting != "" {
					e.Settings.Keys[tt.setting] = redact.New("S")
				}
			}
			e.Getenv = func(variable string) string {
				if strings.Contains(given, "V") && variable == known.KeyVars[0] {
					return "V"
				}
				return ""
			}
			for _, own := range []string{"", "own"} {
				e.APIKey = redact.New(own)
				var d call.Deployment
				if err := e.Deploy(&d, wire.Chat); err != nil {
					t.Fatal(tt.model, err)
				}
				if own != "" {
					want = own
				}
				if got := d.APIKey.Reveal(); got != want {
					t.Errorf("%s with %q: %q, want %q", tt.model, given, got, want)
				}
			}
		}
	}
}

func TestAddressesOfSettings(t *testing.T) {
	env := map[string]string{"OPENAI_BASE_URL": "https://env/v1", "AZURE_API_BASE": "https://env", "GROQ_API_BASE": "https://env/v1", "AZURE_API_VERSION": "2024-02-01", "OPENAI_ORGANIZATION": "org-env"}
	s := Settings{APIBase: "https://set/v1", APIVersion: "2023-05-15", Organization: "org-set"}
	for _, tt := range []struct{ model, base, wantBase, organization, url string }{
		{"openai/m", "", "https://set/v1", "org-set", "https://set/v1/chat/completions"},
		{"openai/m", "https://own/v1", "https://own/v1", "org-set", "https://own/v1/chat/completions"},
		{"groq/m", "", "https://env/v1", "", "https://env/v1/chat/completions"},
		{"azure/m", "https://own", "https://own", "", "https://own/openai/deployments/m/chat/completions?api-version=2023-05-15"},
	} {
		e := Entry{Model: tt.model, APIBase: tt.base, APIKey: redact.New("k"), Settings: s, Getenv: func(name string) string { return env[name] }}
		var d call.Deployment
		if err := e.Deploy(&d, wire.Chat); err != nil {
			t.Fatal(err)
		}
		lane, _ := d.Lane.(wire.Lane)
		if d.APIBase != tt.wantBase || d.Organization != tt.organization || lane.Target().URL.String() != tt.url {
			t.Errorf("%s: %s %s %s", tt.model, d.APIBase, d.Organization, lane.Target().URL)
		}
	}
}
