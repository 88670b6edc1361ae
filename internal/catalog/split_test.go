package catalog

import (
	"strings"
	"testing"
)

func TestAModelStringNamesItsProvider(t *testing.T) {
	for _, c := range []struct {
		model    string
		params   Params
		provider string
		id       string
		reason   Reason
	}{
		{"openai/gpt-4o", Params{}, "openai", "gpt-4o", ByPrefix},
		{"openai/meta-llama/Llama-3-8b", Params{}, "openai", "meta-llama/Llama-3-8b", ByPrefix},
		{"openrouter/openai/gpt-4o", Params{}, "openrouter", "openai/gpt-4o", ByPrefix},
		{"bedrock/us-east-1/anthropic.claude-v2", Params{}, "bedrock", "us-east-1/anthropic.claude-v2", ByPrefix},
		{"ragflow/chat/1/m", Params{}, "ragflow", "ragflow/chat/1/m", ByPrefix},
		{"ai21/jamba-1.5-mini", Params{}, "ai21_chat", "jamba-1.5-mini", ByPrefix},
		{"ai21/j2-ultra", Params{}, "ai21", "j2-ultra", ByPrefix},
		{"anthropic/claude-2", Params{}, "anthropic_text", "claude-2", ByPrefix},
		{"anthropic/claude-opus-4-6", Params{}, "anthropic", "claude-opus-4-6", ByPrefix},
		{"azure/gpt-4o", Params{}, "azure", "gpt-4o", ByPrefix},
		{"azure/mistral-prod", Params{}, "azure", "mistral-prod", ByPrefix},
		{"azure_ai/gpt-4o", Params{APIBase: "https://r.openai.azure.com"}, "azure", "gpt-4o", ByBase},
		{"azure_ai/gpt-4o", Params{APIBase: "https://r.services.ai.azure.com"}, "azure_ai", "gpt-4o", ByPrefix},
		{"openai/", Params{}, "openai", "", ByPrefix},
		{"OPENAI/gpt-4o", Params{}, "", "OPENAI/gpt-4o", NoProvider},
		{"/gpt-4o", Params{}, "", "/gpt-4o", NoProvider},
		{"foo/bar", Params{}, "", "foo/bar", NoProvider},
		{"", Params{}, "", "", NoModel},
		{"*", Params{}, "openai", "*", ByStar},

		{"gpt-4o", Params{CustomProvider: "groq"}, "groq", "gpt-4o", ByParameter},
		{"groq/x", Params{CustomProvider: "groq"}, "groq", "x", ByParameter},
		{"openai/x", Params{CustomProvider: "groq"}, "groq", "openai/x", ByParameter},
		{"foo/bar", Params{CustomProvider: "openai"}, "openai", "foo/bar", ByParameter},
		{"openai/openai/x", Params{CustomProvider: "openai"}, "openai", "openai/x", ByParameter},
		{"x", Params{CustomProvider: "nosuch"}, "nosuch", "x", ByParameter},
		{"claude-2", Params{UseLiteLLMProxy: true}, "litellm_proxy", "claude-2", ByProxySwitch},
		{"litellm_proxy/claude-2", Params{UseLiteLLMProxy: true}, "litellm_proxy", "claude-2", ByProxySwitch},

		{"m", Params{APIBase: "https://api.groq.com/openai/v1"}, "groq", "m", ByBase},
		{"m", Params{APIBase: "https://API.GROQ.COM/openai/v1/"}, "groq", "m", ByBase},
		{"m", Params{APIBase: "api.groq.com/openai/v1"}, "groq", "m", ByBase},
		{"gpt-4o", Params{APIBase: "https://api.groq.com/openai/v1"}, "groq", "gpt-4o", ByBase},
		{"m", Params{APIBase: "https://api.groq.com"}, "", "m", NoProvider},
		{"m", Params{APIBase: "https://evil.example/api.groq.com/openai/v1"}, "", "m", NoProvider},
		{"m", Params{APIBase: "https://api.groq.com.evil.example/openai/v1"}, "", "m", NoProvider},
		{"m", Params{APIBase: "https://api.x.ai/v1"}, "xai", "m", ByBase},
		{"m", Params{APIBase: "https://codestral.mistral.ai/v1/fim/completions"}, "text-completion-codestral", "m", ByBase},
		{"m", Params{APIBase: "https://llm.chutes.ai/v1/"}, "chutes", "m", ByBase},
		{"m", Params{APIBase: "http://localhost:8000/v1"}, "", "m", NoProvider},
		{"m", Params{APIBase: "http://[::1"}, "", "m", NoProvider},
		{"openai/m", Params{APIBase: "https://api.groq.com/openai/v1"}, "openai", "m", ByPrefix},

		{"gpt-4o-mini", Params{}, "openai", "gpt-4o-mini", ByModelName},
		{"o3-mini", Params{}, "openai", "o3-mini", ByModelName},
		{"ft:gpt-4o-2024-08-06:x", Params{}, "openai", "ft:gpt-4o-2024-08-06:x", ByModelName},
		{"gpt-3.5-turbo-instruct", Params{}, "text-completion-openai", "gpt-3.5-turbo-instruct", ByModelName},
		{"gpt-oss-120b", Params{}, "", "gpt-oss-120b", NoProvider},
		{"claude-opus-4-6", Params{}, "anthropic", "claude-opus-4-6", ByModelName},
		{"gemini-2.5-flash", Params{}, "vertex_ai", "gemini-2.5-flash", ByModelName},
		{"command-a-03-2025", Params{}, "cohere_chat", "command-a-03-2025", ByModelName},
		{"embed-english-v3.0", Params{}, "cohere", "embed-english-v3.0", ByModelName},
		{"us.anthropic.claude-sonnet-4-5-20250929-v1:0", Params{}, "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", ByModelName},
		{"amazon.titan-embed-text-v2:0", Params{}, "bedrock", "amazon.titan-embed-text-v2:0", ByModelName},
		{"openai.gpt-oss-120b-1:0", Params{}, "bedrock", "openai.gpt-oss-120b-1:0", ByModelName},
		{"foo.bar", Params{}, "", "foo.bar", NoProvider},
		{"llama-2-70b-chat:2796ee9483c3fd7aa2e171d38f4ca12251a30609463dcfd4cd76703f22e96cdf", Params{}, "replicate", "llama-2-70b-chat:2796ee9483c3fd7aa2e171d38f4ca12251a30609463dcfd4cd76703f22e96cdf", ByModelName},
		{"llama3", Params{}, "", "llama3", NoProvider},
	} {
		provider, id, reason := Split(c.model, c.params)
		if provider != c.provider || id != c.id || reason != c.reason {
			t.Errorf("Split(%q, %+v) = %q, %q, %q; want %q, %q, %q", c.model, c.params, provider, id, reason, c.provider, c.id, c.reason)
		}
		if reason.Found() != (provider != "") {
			t.Errorf("Split(%q): reason %q and provider %q disagree", c.model, reason, provider)
		}
	}
}

func TestAnEndpointComesFromTheDeploymentThenTheEnvironmentThenTheTable(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for _, c := range []struct {
		name     string
		provider string
		params   Params
		env      func(string) string
		base     string
		from     string
		keyVar   string
		auth     Auth
		missing  string
	}{
		{"openai alone", "openai", Params{}, nil, "https://api.openai.com/v1", "default", "", Bearer, ""},
		{"the deployment's base wins", "openai", Params{APIBase: "http://a/v1/"}, env("OPENAI_BASE_URL", "http://b"), "http://a/v1", "api_base", "", Bearer, ""},
		{"a base variable beats the default", "openai", Params{}, env("OPENAI_API_BASE", "http://b/v1", "OPENAI_API_KEY", "k"), "http://b/v1", "OPENAI_API_BASE", "OPENAI_API_KEY", Bearer, ""},
		{"the first key variable that is set", "together_ai", Params{}, env("TOGETHERAI_API_KEY", "k", "TOGETHER_AI_TOKEN", "t"), "https://api.together.ai/v1", "default", "TOGETHERAI_API_KEY", Bearer, ""},
		{"an empty variable counts as unset", "groq", Params{}, env("GROQ_API_KEY", "", "GROQ_API_BASE", " "), "https://api.groq.com/openai/v1", "default", "", Bearer, ""},
		{"mistral adds its version", "mistral", Params{APIBase: "https://x.example/"}, nil, "https://x.example/v1", "api_base", "", Bearer, ""},
		{"mistral keeps a version", "mistral", Params{APIBase: "https://x.example/v1"}, nil, "https://x.example/v1", "api_base", "", Bearer, ""},
		{"ollama is reached through its OpenAI side", "ollama", Params{}, env("OLLAMA_API_BASE", "http://ollama:11434"), "http://ollama:11434/v1", "OLLAMA_API_BASE", "", Bearer, ""},
		{"vLLM needs an address", "hosted_vllm", Params{}, nil, "", "", "", Bearer, `provider "hosted_vllm" has no default address: set api_base or HOSTED_VLLM_API_BASE`},
		{"a custom server needs one in the file", "custom_openai", Params{}, nil, "", "", "", Bearer, `provider "custom_openai" has no default address: set api_base`},
		{"anthropic", "anthropic", Params{}, env("ANTHROPIC_API_KEY", "k"), "https://api.anthropic.com", "default", "ANTHROPIC_API_KEY", XAPIKey, ""},
		{"anthropic with a token", "anthropic", Params{}, env("ANTHROPIC_AUTH_TOKEN", "k"), "https://api.anthropic.com", "default", "ANTHROPIC_AUTH_TOKEN", Bearer, ""},
		{"a base with a variable", "snowflake", Params{}, env("SNOWFLAKE_ACCOUNT_ID", "acc", "SNOWFLAKE_JWT", "j"), "https://acc.snowflakecomputing.com/api/v2/cortex/v1", "default", "SNOWFLAKE_JWT", Bearer, ""},
		{"a base with a variable that is not set", "snowflake", Params{}, nil, "", "", "", Bearer, `the address of provider "snowflake" needs SNOWFLAKE_ACCOUNT_ID: set it, or api_base`},
		{"a base with a variable, given by the deployment", "snowflake", Params{APIBase: "https://x/v1"}, nil, "https://x/v1", "api_base", "", Bearer, ""},
		{"a region with a default", "bedrock_mantle", Params{}, nil, "https://bedrock-mantle.us-east-1.api.aws/v1", "default", "", Bearer, ""},
		{"a region from a variable", "bedrock_mantle", Params{}, env("AWS_REGION", "eu-west-1"), "https://bedrock-mantle.eu-west-1.api.aws/v1", "default", "", Bearer, ""},
		{"a foundry resource", "azure_ai", Params{APIBase: "https://r.services.ai.azure.com/"}, env("AZURE_AI_API_KEY", "k"), "https://r.services.ai.azure.com/models", "api_base", "AZURE_AI_API_KEY", APIKey, ""},
		{"a foundry model", "azure_ai", Params{APIBase: "https://r.eastus.models.ai.azure.com"}, nil, "https://r.eastus.models.ai.azure.com", "api_base", "", Bearer, ""},
		{"Claude on a foundry resource", "azure_ai", Params{APIBase: "https://r.services.ai.azure.com", Model: "claude-opus-4-6"}, nil, "https://r.services.ai.azure.com/anthropic", "api_base", "", XAPIKey, ""},
		{"a gradient agent", "gradient_ai", Params{}, env("GRADIENT_AI_AGENT_ENDPOINT", "https://agent.example"), "https://agent.example/api/v1", "GRADIENT_AI_AGENT_ENDPOINT", "", Bearer, ""},
		{"azure", "azure", Params{}, env("AZURE_API_BASE", "https://r1.openai.azure.com/", "AZURE_API_KEY", "k"), "https://r1.openai.azure.com", "AZURE_API_BASE", "AZURE_API_KEY", APIKey, ""},
	} {
		got, ok := Endpoint(c.provider, c.params, c.env)
		if !ok || got.Base != c.base || got.BaseFrom != c.from || got.KeyVar != c.keyVar || got.Auth != c.auth || got.Missing != c.missing {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if claude, _ := Endpoint("azure_ai", Params{Model: "claude-x"}, nil); claude.Provider.Family != Anthropic {
		t.Errorf("Claude on azure_ai speaks %s", claude.Provider.Family)
	}
	if other, _ := Endpoint("azure_ai", Params{Model: "mistral-x"}, nil); other.Provider.Family != OpenAI {
		t.Errorf("other models on azure_ai speak %s", other.Provider.Family)
	}
	if _, ok := Endpoint("nosuch", Params{}, nil); ok {
		t.Error("an unknown provider has an endpoint")
	}
}

func TestTheProviderTableHoldsTogether(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Providers() {
		if seen[p.Name] {
			t.Errorf("%s is listed twice", p.Name)
		}
		seen[p.Name] = true
		if p.Family == "" {
			t.Errorf("%s has no family", p.Name)
		}
		if p.Base != "" && !strings.HasPrefix(p.Base, "https://") && !strings.HasPrefix(p.Base, "http://localhost") && !strings.HasPrefix(p.Base, "http://127.0.0.1") {
			t.Errorf("%s: base %q", p.Name, p.Base)
		}
		if p.Supported() && p.Base == "" && p.Auth == "" {
			t.Errorf("%s is supported, but nothing says how to log in", p.Name)
		}
		for _, v := range append(p.BaseVars, p.KeyVars...) {
			if v != strings.ToUpper(v) {
				t.Errorf("%s: variable %s", p.Name, v)
			}
		}
	}
	for _, k := range knownBases() {
		if !seen[k.provider] {
			t.Errorf("base %s names the unknown provider %s", k.host, k.provider)
		}
	}
	for _, s := range shapes() {
		if !seen[s.provider] {
			t.Errorf("a name's shape names the unknown provider %s", s.provider)
		}
	}
	if len(seen) < 170 {
		t.Errorf("only %d providers", len(seen))
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("openai/gpt-4o", "", "")
	f.Add("m", "groq", "https://api.groq.com/openai/v1")
	f.Add("a//b", "", "::%")
	f.Fuzz(func(t *testing.T, model, custom, base string) {
		provider, id, reason := Split(model, Params{CustomProvider: custom, APIBase: base})
		if reason.Found() != (provider != "") {
			t.Errorf("Split(%q, %q, %q) = %q, %q, %q", model, custom, base, provider, id, reason)
		}
		if !strings.HasSuffix(model, id) {
			t.Errorf("model %q became %q", model, id)
		}
	})
}
