package catalog

import (
	_ "embed"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// Params are the parameters of a deployment that decide its provider and
// endpoint.
type Params struct {
	CustomProvider  string // custom_llm_provider
	APIBase         string // api_base or base_url
	UseLiteLLMProxy bool   // use_litellm_proxy
	// Model is the model to ask for; only Endpoint looks at it, where one
	// provider speaks several formats: Claude on azure_ai is Anthropic's.
	Model string
}

// Reason says how a provider was found, or why none was.
type Reason string

// The ways to a provider, in the order in which they are tried.
const (
	ByProxySwitch Reason = "use_litellm_proxy"
	ByParameter   Reason = "custom_llm_provider"
	ByPrefix      Reason = "prefix"
	ByBase        Reason = "api_base"
	ByModelName   Reason = "model name"
	ByStar        Reason = "*"
	NoModel       Reason = "no model"
	NoProvider    Reason = "no provider"
)

// Found reports whether a provider was found.
func (r Reason) Found() bool { return r != NoModel && r != NoProvider }

// Split takes a litellm_params.model apart: the provider it names, and the
// model to ask that provider for. The provider is empty when none is found; it
// may be one that LookupProvider does not know, if custom_llm_provider says so.
func Split(model string, p Params) (provider, modelID string, reason Reason) {
	if model == "" {
		return "", "", NoModel
	}
	prefix, rest, slash := strings.Cut(model, "/")
	if p.UseLiteLLMProxy {
		if slash && prefix == "litellm_proxy" {
			return prefix, rest, ByProxySwitch
		}
		return "litellm_proxy", model, ByProxySwitch
	}
	if c := p.CustomProvider; c != "" {
		if slash && prefix == c {
			return c, rest, ByParameter
		}
		return c, model, ByParameter
	}
	if slash {
		if known, ok := LookupProvider(prefix); ok {
			if prefix == "azure" && studioModel(rest) {
				return "openai", model, ByPrefix
			}
			if prefix == "ai21" && strings.HasPrefix(rest, "jamba") {
				return "ai21_chat", rest, ByPrefix
			}
			if prefix == "anthropic" && rest == "claude-2" {
				return "anthropic_text", rest, ByPrefix
			}
			if prefix == "azure_ai" && azureOpenAIHost(p.APIBase) {
				return "azure", rest, ByBase
			}
			if known.KeepPrefix {
				return prefix, model, ByPrefix
			}
			return prefix, rest, ByPrefix
		}
	}
	if p.APIBase != "" {
		if name := providerOfBase(p.APIBase); name != "" {
			return name, model, ByBase
		}
	}
	if model == "*" {
		return "openai", model, ByStar
	}
	if name := providerOfName(model); name != "" {
		return name, model, ByModelName
	}
	return "", model, NoProvider
}

// azureOpenAIHost reports whether a base is an Azure OpenAI resource, which
// speaks another format than the models of Azure AI.
func azureOpenAIHost(base string) bool {
	u, err := url.Parse(base)
	return err == nil && strings.HasSuffix(strings.ToLower(u.Hostname()), ".openai.azure.com")
}

// NoProviderText is the error that clients and operators look for when a model
// string names no provider.
func NoProviderText(model string) string {
	return "LLM Provider NOT provided. Pass in the LLM provider you are trying to call. You passed model=" + model +
		"\n Pass model as E.g. For 'Huggingface' inference endpoints pass in `completion(model='huggingface/starcoder',..)` Learn more: https://docs.litellm.ai/docs/providers"
}

// studioModel tells the models of Azure AI Studio that LiteLLM has always sent
// through the OpenAI format. They must match a model's name exactly: anything
// else behind azure/ is a deployment that somebody named.
func studioModel(name string) bool {
	switch {
	case strings.HasPrefix(name, "mistral"), strings.HasPrefix(name, "codestral"), strings.HasPrefix(name, "open-mi"), strings.HasPrefix(name, "ministral"):
		return hasModel("mistral", name)
	case strings.HasPrefix(name, "command-a"):
		return hasModel("cohere", name)
	}
	return false
}

//go:embed data/bases.tsv
var basesTSV string

type knownBase struct{ host, path, provider string }

var knownBases = sync.OnceValue(func() []knownBase {
	var list []knownBase
	for line := range strings.Lines(basesTSV) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		base, provider, ok := strings.Cut(line, "\t")
		if !ok {
			panic("catalog: data/bases.tsv: no provider: " + line)
		}
		host, path, _ := strings.Cut(base, "/")
		list = append(list, knownBase{host, strings.TrimSuffix(path, "/"), provider})
	}
	return list
})

// providerOfBase compares a base with the endpoints whose provider is known:
// the host must be equal and the path must begin with the endpoint's. The
// longest path wins.
func providerOfBase(base string) string {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		if u, err = url.Parse("https://" + base); err != nil {
			return ""
		}
	}
	host, path := strings.ToLower(u.Hostname()), strings.Trim(u.Path, "/")
	best, length := "", -1
	for _, k := range knownBases() {
		if k.host == host && len(k.path) > length && (k.path == "" || path == k.path || strings.HasPrefix(path, k.path+"/")) {
			best, length = k.provider, len(k.path)
		}
	}
	return best
}

type shape struct {
	provider string
	re       *regexp.Regexp
}

// shapes are the names that models of some providers have, tried in order.
// LiteLLM goes by the list of models it was released with and so refuses a
// model that is younger than itself; a name's shape does not age.
var shapes = sync.OnceValue(func() []shape {
	var list []shape
	for _, s := range [...][2]string{
		{"text-completion-openai", `^(babbage-002|davinci-002|gpt-3\.5-turbo-instruct.*|ft:(babbage|davinci)-002.*)$`},
		{"vertex_ai", `^text-embedding-(00\d|large-exp)`},
		{"openai", `^(gpt-(\d|image|audio|realtime|live)|o[1-9](-|$)|chatgpt-|codex-|text-embedding-|dall-e-|tts-1|whisper-1|(omni|text)-moderation-|sora-\d|computer-use-preview)`},
		{"openai", `ft:gpt-(3\.5-turbo|4)`},
		{"bedrock", `^((us|us-gov|eu|apac|jp|au|ca|global)\.)?(anthropic|amazon|meta|mistral|cohere|ai21|stability|deepseek|openai|qwen|writer|twelvelabs|luma|moonshot|minimax|google|nvidia|zai)\.[a-z0-9]`},
		{"anthropic", `^claude-`},
		{"vertex_ai", `^(gemini|gemma|imagen|veo|text-bison|chat-bison|code-bison|codechat-bison|textembedding-gecko|text-multilingual-embedding|medlm)[-@]`},
		{"cohere_chat", `^command-(r|a)`},
		{"cohere", `^(command(-light|-nightly)?$|embed-(english|multilingual|v)|rerank-)`},
		{"ai21_chat", `^(jamba-|j2-)`},
		{"nlp_cloud", `^(dolphin|chatdolphin)$`},
		{"replicate", `^[^:]+:[0-9a-f]{64}$`},
		{"amazon_nova", `^amazon_nova`},
	} {
		list = append(list, shape{s[0], regexp.MustCompile(s[1])})
	}
	return list
})

func providerOfName(model string) string {
	for _, s := range shapes() {
		if s.re.MatchString(model) {
			return s.provider
		}
	}
	return ""
}
