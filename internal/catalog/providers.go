package catalog

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Family is a wire format. Providers of one family are reached by the same
// code.
type Family string

// The families that llmgw speaks or means to speak. Providers of any other
// family cannot be used; their Family is a word of its own.
const (
	OpenAI    Family = "openai"
	Azure     Family = "azure"
	Anthropic Family = "anthropic"
	Gemini    Family = "gemini"
	Vertex    Family = "vertex"
	Bedrock   Family = "bedrock"
	Cohere    Family = "cohere"
)

// supported are the families this build speaks. Add one in the commit that
// makes it work.
var supported = []Family{OpenAI, Azure}

// Supported reports whether this build speaks the format.
func (f Family) Supported() bool { return slices.Contains(supported, f) }

// Auth is the form in which a credential is sent.
type Auth string

// The forms of credentials.
const (
	Bearer      Auth = "bearer"         // Authorization: Bearer KEY
	APIKey      Auth = "api-key"        // api-key: KEY (Azure)
	XAPIKey     Auth = "x-api-key"      // x-api-key: KEY (Anthropic)
	XGoogAPIKey Auth = "x-goog-api-key" // x-goog-api-key: KEY (Gemini)
	GoogleOAuth Auth = "google-oauth"   // a token of Google's default credentials
	AWSSigV4    Auth = "aws-sigv4"      // a signed request
	NoAuth      Auth = "none"
)

// Provider is one provider: a prefix of model strings, a wire format and the
// way to its endpoint.
type Provider struct {
	Name   string
	Family Family
	// Base is the address used when neither the deployment nor one of BaseVars
	// gives one; empty when one of them must.
	Base     string
	BaseVars []string // tried in order
	KeyVars  []string // tried in order, after the deployment's api_key
	Auth     Auth
	Priority int
	// Keyless providers work without a key.
	Keyless bool
	// Suffix is appended to a base that does not end with it ("/v1").
	Suffix string
	// Text is true when the provider serves /completions in OpenAI's format.
	Text bool
	// MaxTokens is true for providers that want max_tokens where OpenAI wants
	// max_completion_tokens.
	MaxTokens bool
	// KeyHeader is a second header that carries the key, or empty.
	KeyHeader string
	// KeepPrefix leaves the provider's name in the model sent upstream.
	KeepPrefix bool
	Doc        string
}

// Supported reports whether this build can call the provider.
func (p Provider) Supported() bool { return p.Family.Supported() }

//go:embed data/providers.tsv
var providersTSV string

type providerTable struct {
	all    []Provider
	byName map[string]int
}

var providers = sync.OnceValue(func() *providerTable {
	t := &providerTable{byName: map[string]int{}}
	header := true
	for line := range strings.Lines(providersTSV) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if header {
			header = false
			continue
		}
		c := strings.Split(line, "\t")
		if len(c) != 9 {
			panic("catalog: data/providers.tsv: not nine cells: " + line)
		}
		for i := range c {
			if c[i] == "-" {
				c[i] = ""
			}
		}
		prio, err := strconv.Atoi(c[6])
		if err != nil {
			panic("catalog: data/providers.tsv: " + c[0] + ": " + err.Error())
		}
		p := Provider{
			Name: c[0], Family: Family(c[1]), Base: c[2], BaseVars: strings.Fields(c[3]), KeyVars: strings.Fields(c[4]),
			Auth: Auth(c[5]), Priority: prio, Doc: c[8],
		}
		for _, opt := range strings.Fields(c[7]) {
			name, value, _ := strings.Cut(opt, "=")
			switch name {
			case "text":
				p.Text = true
			case "keyless":
				p.Keyless = true
			case "suffix":
				p.Suffix = value
			case "max_tokens":
				p.MaxTokens = true
			case "header":
				p.KeyHeader = value
			case "keepprefix":
				p.KeepPrefix = true
			default:
				panic("catalog: data/providers.tsv: " + c[0] + ": unknown option " + opt)
			}
		}
		t.byName[p.Name] = len(t.all)
		t.all = append(t.all, p)
	}
	return t
})

// Providers returns every known provider. The slice is the caller's; the
// slices inside are shared and must not be changed.
func Providers() []Provider {
	list := slices.Clone(providers().all)
	own := further.Load()
	if own == nil {
		return list
	}
	for i, p := range list {
		if mine, ok := (*own)[p.Name]; ok {
			list[i] = mine
		}
	}
	for name, p := range *own {
		if _, builtin := providers().byName[name]; !builtin {
			list = append(list, p)
		}
	}
	return list
}

// LookupProvider finds a provider by its name.
func LookupProvider(name string) (Provider, bool) {
	if own := further.Load(); own != nil {
		if p, ok := (*own)[name]; ok {
			return p, true
		}
	}
	t := providers()
	i, ok := t.byName[name]
	if !ok {
		return Provider{}, false
	}
	return t.all[i], true
}

// NotSupported is the sentence for a deployment that is switched off because
// this build does not speak its provider's format. where names the deployment:
// model_list[7] "claude-bedrock".
func NotSupported(where, provider string) string {
	return fmt.Sprintf("%s: provider %q is not supported by this version; the deployment is disabled", where, provider)
}
