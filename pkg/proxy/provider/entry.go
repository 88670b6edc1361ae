package provider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/provider/openai"
)

// Entry is what litellm_params of one deployment says about its upstream, with
// references resolved. ReadEntry makes one from a configuration.
type Entry struct {
	// Model is litellm_params.model, provider prefix included.
	Model string
	// Provider is custom_llm_provider.
	Provider string
	// UseLiteLLMProxy is use_litellm_proxy.
	UseLiteLLMProxy bool
	// APIBase is api_base or base_url; empty means the provider's.
	APIBase string
	// APIKey is the provider key; zero means the provider's variable.
	APIKey redact.Secret
	// Organization is sent to OpenAI; empty means OPENAI_ORGANIZATION.
	Organization string
	// ExtraHeaders are sent with every request.
	ExtraHeaders http.Header
	// Params are members for request bodies that do not have them.
	Params []splice.Param
	// Drop is additional_drop_params.
	Drop []string
	// Settings stand in for what the entry does not say.
	Settings Settings
	// Getenv looks up variables; nil means none are set.
	Getenv func(string) string
	// UserAgent is sent to the upstream.
	UserAgent string
	// APIVersion is Azure's api_version; empty means AZURE_API_VERSION.
	APIVersion string
	// BaseModel is the model behind an Azure deployment's name.
	BaseModel string
	// ADToken is azure_ad_token: a token of Entra ID, or where to get one.
	ADToken redact.Secret
	// Login is what else the entry says about tokens of Entra ID.
	Login EntraLogin
}

// DisabledError says why a deployment cannot serve. It is disabled by name and
// never sent in a format that its provider does not speak.
type DisabledError struct {
	// Provider is empty when the model string names none.
	Provider string
	// Reason is a whole sentence.
	Reason string
}

// Error returns the reason.
func (e *DisabledError) Error() string { return e.Reason }

// silent are the providers whose streams are not asked for usage: LiteLLM does
// not send them stream_options, and most of them report usage without.
var silent = []string{
	"mistral", "codestral", "perplexity", "deepinfra", "cerebras", "nvidia_nim", "xinference", "databricks", "ai21", "ai21_chat",
	"anyscale", "featherless_ai", "nscale", "hyperbolic", "v0", "morph", "aiml", "lemonade", "jina_ai", "veniceai", "abliteration",
	"llamagate", "gmi", "sarvam", "aihubmix", "crusoe", "salad_cloud", "nadir", "empiriolabs",
}

// Deploy fills what the provider room knows about a deployment: provider, model,
// address, key, headers, and the lane for op. The error is a *DisabledError.
func (e *Entry) Deploy(d *call.Deployment, op wire.Op) error {
	getenv := e.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	params := catalog.Params{CustomProvider: e.Provider, APIBase: e.APIBase, UseLiteLLMProxy: e.UseLiteLLMProxy}
	name, model, reason := catalog.Split(e.Model, params)
	if !reason.Found() {
		return &DisabledError{Reason: catalog.NoProviderText(e.Model)}
	}
	if params.APIBase == "" && slices.Contains(settingsBase, name) {
		params.APIBase = e.Settings.APIBase
	}
	target, known := catalog.Endpoint(name, params, getenv)
	switch {
	case !known:
		return &DisabledError{name, fmt.Sprintf("provider %q is not known: use a provider from the list, or openai/%s with api_base for a server that speaks OpenAI's format", name, strings.TrimPrefix(model, "openai/"))}
	case !target.Provider.Supported():
		return &DisabledError{name, fmt.Sprintf("provider %q is not supported by this version: its wire format (%s) is not implemented, and sending it OpenAI's would fail", name, target.Provider.Family)}
	case target.Base == "":
		return &DisabledError{name, target.Missing}
	case op == wire.Completions && !target.Provider.Text:
		return &DisabledError{name, fmt.Sprintf("provider %q does not serve text completions", name)}
	}
	d.Provider, d.Model, d.APIBase = name, model, target.Base
	d.APIKey = e.APIKey
	if d.APIKey.IsZero() {
		fromVariable := ""
		if target.KeyVar != "" {
			fromVariable = getenv(target.KeyVar)
		}
		d.APIKey = e.Settings.key(name, fromVariable)
	}
	d.Organization = e.Organization
	if d.Organization == "" && name == "openai" {
		d.Organization = e.Settings.Organization
	}
	if d.Organization == "" && name == "openai" {
		d.Organization = getenv("OPENAI_ORGANIZATION")
	}
	d.ExtraHeaders = e.headers(name, target, d.APIKey, getenv)
	d.Secrets = []redact.Secret{d.APIKey}
	for name, values := range d.ExtraHeaders {
		if config.SecretName(name) {
			for _, v := range values {
				d.Secrets = append(d.Secrets, redact.New(v))
			}
		}
	}
	if err := e.entra(name, d, getenv); err != nil {
		return &DisabledError{name, err.Error()}
	}
	d.StreamOptions = op != wire.Embeddings && !slices.Contains(silent, name)
	azure, err := e.azure(name, target, d, getenv)
	if err != nil {
		return &DisabledError{name, err.Error()}
	}
	ways := &lanes{entry: *e, d: d, text: target.Provider.Text || azure != nil, azure: azure}
	lane, err := ways.Lane(op)
	if err != nil {
		return &DisabledError{name, err.Error()}
	}
	d.Lane, d.Lanes = lane, ways
	return nil
}

// lanes prepares the ways to one deployment when they are first asked for: a
// gateway with ten thousand models does not hold twelve for each.
type lanes struct {
	entry Entry
	d     *call.Deployment
	text  bool // the provider serves text completions
	azure *azure
	made  [wire.Ops]atomic.Pointer[wire.Lane]
}

var _ wire.Lanes = (*lanes)(nil)

// Lane implements wire.Lanes.
func (w *lanes) Lane(op wire.Op) (wire.Lane, error) {
	if l := w.made[op].Load(); l != nil {
		return *l, nil
	}
	name := w.d.Provider
	if op == wire.Completions && !w.text {
		return nil, fmt.Errorf("provider %q does not serve text completions", name)
	}
	o := openai.Options{
		Rewrite:   splice.Rewrite{Metadata: metadataMode(name), Params: w.entry.paramsFor(op), Drop: w.entry.Drop},
		DropEmpty: name == "azure_ai",
		UserAgent: w.entry.UserAgent,
	}
	if op == wire.Responses && name == "openai" {
		o.Rewrite.Metadata = splice.MetadataKeep // part of the API there
	}
	if p, ok := catalog.LookupProvider(name); ok && p.MaxTokens && op == wire.Chat {
		o.Rewrite.OldMaxTokens = true
	}
	vendor(name, op, w.d.APIBase, &o)
	if name == "openai" && op == wire.Chat {
		o.RenameMaxTokens = openai.Reasons
	}
	if w.azure != nil {
		o.DropEmpty = true
		if op == wire.Responses {
			o.Rewrite.Metadata = splice.MetadataKeep
		}
		w.azure.options(&o, op)
	}
	l, err := openai.Prepare(w.d, op, o)
	if err != nil {
		return nil, err
	}
	// Two that come at once agree on the first.
	w.made[op].CompareAndSwap(nil, &l)
	return *w.made[op].Load(), nil
}

// metadataMode says what becomes of a request's metadata. LiteLLM sends it to
// no provider; OpenAI's stored completions need it, and another gateway does.
func metadataMode(provider string) splice.MetadataMode {
	switch provider {
	case "openai":
		return splice.MetadataStored
	case "litellm_proxy":
		return splice.MetadataKeep
	}
	return splice.MetadataDrop
}

// headers adds what a provider wants besides the usual.
func (e *Entry) headers(name string, t catalog.Target, key redact.Secret, getenv func(string) string) http.Header {
	h := http.Header{}
	if name == "openrouter" {
		if v := getenv("OR_SITE_URL"); v != "" {
			h.Set("Http-Referer", v)
		}
		if v := getenv("OR_APP_NAME"); v != "" {
			h.Set("X-Title", v)
		}
	}
	if t.Provider.KeyHeader != "" && !key.IsZero() {
		h.Set(t.Provider.KeyHeader, key.Reveal())
	}
	for name, values := range e.ExtraHeaders {
		h[http.CanonicalHeaderKey(name)] = values
	}
	return h
}

// paramsFor leaves out what the kind of call does not have.
func (e *Entry) paramsFor(op wire.Op) []splice.Param {
	if op == wire.Responses {
		return slices.DeleteFunc(slices.Clone(e.Params), func(p splice.Param) bool {
			return slices.Contains(requestParams, p.Name) && !slices.Contains(responsesParams, p.Name)
		})
	}
	if op == wire.Chat || op == wire.Completions {
		return slices.DeleteFunc(slices.Clone(e.Params), func(p splice.Param) bool { return p.Name == "dimensions" })
	}
	return slices.DeleteFunc(slices.Clone(e.Params), func(p splice.Param) bool {
		return p.Name != "dimensions" && p.Name != "user" && slices.Contains(requestParams, p.Name)
	})
}

// AddParam adds a member for request bodies. The first of a name wins.
func (e *Entry) AddParam(name string, value any) error {
	if slices.ContainsFunc(e.Params, func(p splice.Param) bool { return p.Name == name }) {
		return nil
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("%s cannot be written as JSON: %w", name, err)
	}
	e.Params = append(e.Params, splice.Param{Name: name, Value: []byte(strings.TrimSuffix(b.String(), "\n"))})
	return nil
}
