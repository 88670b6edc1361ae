package provider

import (
	"slices"

	"github.com/llmgw/llmgw/internal/redact"
)

// Settings are what litellm_settings says about the upstreams of entries that do
// not say it themselves.
type Settings struct {
	// Keys are the providers' keys by the name of their setting (KeySettings).
	Keys map[string]redact.Secret
	// ADRefresh is enable_azure_ad_token_refresh: what has neither key nor login
	// is called as the identity that the process runs with.
	ADRefresh bool
	// APIBase and APIVersion are those of OpenAI and Azure, Organization is
	// OpenAI's.
	APIBase, APIVersion, Organization string
}

// settingsBase are the providers that Settings.APIBase is for.
var settingsBase = []string{"openai", "text-completion-openai", "aiohttp_openai", "azure", "azure_text"}

// GeneralKey is the setting whose key goes to every provider that has no other.
const GeneralKey = "api_key"

// keySource is where a key can come from, besides the entry itself.
type keySource uint8

const (
	ownKey     keySource = iota // the provider's setting
	generalKey                  // GeneralKey
	variable                    // the provider's variable
)

// keyRule says which setting is a provider's own, and what is asked in which
// order. LiteLLM has no one order.
type keyRule struct {
	setting string
	order   []keySource
}

var (
	generalFirst  = []keySource{generalKey, ownKey, variable}
	ownFirst      = []keySource{ownKey, variable, generalKey}
	variableFirst = []keySource{variable, generalKey, ownKey}
)

// keyRules are the providers that have a setting of their own, or another order
// than variableFirst. LiteLLM also sends openai_key to providers that have no
// key at all; here a provider's key goes to that provider.
var keyRules = map[string]keyRule{
	"openai":                 {"openai_key", generalFirst},
	"text-completion-openai": {"openai_key", generalFirst},
	"aiohttp_openai":         {"openai_key", generalFirst},
	"azure":                  {"azure_key", generalFirst},
	"azure_text":             {"azure_key", generalFirst},
	"azure_ai":               {"azure_key", variableFirst},
	"databricks":             {"databricks_key", generalFirst},
	"openrouter":             {"openrouter_key", generalFirst},
	"groq":                   {"groq_key", variableFirst},
	"amazon_nova":            {"amazon_nova_api_key", ownFirst},
	"cometapi":               {"cometapi_key", ownFirst},
	"ovhcloud":               {"ovhcloud_key", ownFirst},
	"ollama_chat":            {"ollama_key", ownFirst},
	"xai":                    {"xai_key", []keySource{ownKey, variable}},
	"xinference":             {"", generalFirst},
	"inception":              {"", generalFirst},
}

// ownAlone are the providers that get no GeneralKey.
var ownAlone = []string{
	"deepseek", "heroku", "together_ai", "ollama", "fireworks_ai", "snowflake", "datarobot", "hosted_vllm", "llamafile", "lm_studio", "lemonade",
	"docker_model_runner",
}

// KeySettings are the settings that hold a key.
func KeySettings() []string {
	list := []string{GeneralKey}
	for _, r := range keyRules {
		if r.setting != "" && !slices.Contains(list, r.setting) {
			list = append(list, r.setting)
		}
	}
	slices.Sort(list)
	return list
}

// key is the key of a provider for an entry without one.
func (s *Settings) key(provider, fromVariable string) redact.Secret {
	rule, has := keyRules[provider]
	switch {
	case has:
	case slices.Contains(ownAlone, provider):
		rule.order = []keySource{variable}
	default:
		rule.order = variableFirst
	}
	for _, source := range rule.order {
		key := redact.New(fromVariable)
		switch source {
		case ownKey:
			key = s.Keys[rule.setting]
		case generalKey:
			key = s.Keys[GeneralKey]
		}
		if !key.IsZero() {
			return key
		}
	}
	return redact.Secret{}
}
