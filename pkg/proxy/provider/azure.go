package provider

import (
	"net/url"
	"strings"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/provider/openai"
)

// The API versions that are used where nothing says which.
const (
	azureVersion          = "2025-02-01-preview"
	azureResponsesVersion = "preview"
)

// azure is what differs from OpenAI's own endpoint: where a deployment is found,
// and the header of its key.
type azure struct {
	base, deployment, version, responses, baseModel string
}

// azure returns nil for other providers.
func (e *Entry) azure(name string, t catalog.Target, d *call.Deployment, getenv func(string) string) (*azure, error) {
	if t.Provider.Family != catalog.Azure {
		return nil, nil
	}
	a := &azure{base: t.Base, deployment: d.Model, version: e.APIVersion, responses: e.APIVersion, baseModel: e.BaseModel}
	if own := e.Settings.APIVersion; a.version == "" && own != "" {
		a.version, a.responses = own, own
	}
	if a.version == "" {
		a.version = getenv("AZURE_API_VERSION")
	}
	if a.version == "" {
		a.version = azureVersion
	}
	if a.responses == "" {
		a.responses = getenv("AZURE_API_VERSION")
	}
	if a.responses == "" {
		a.responses = getenv("AZURE_DEFAULT_RESPONSES_API_VERSION")
	}
	if a.responses == "" {
		a.responses = azureResponsesVersion
	}
	// Nothing is sent before the address is known to be one.
	_, err := a.url(wire.Chat, a.deployment)
	return a, err
}

// options adds what is Azure's.
func (a *azure) options(o *openai.Options, op wire.Op) {
	o.URL = a.url
	o.PerModel = strings.Contains(a.deployment, "*")
	o.KeyHeader = "Api-Key"
	if op == wire.Chat {
		o.RenameMaxTokens = func(model string) bool {
			if a.baseModel != "" {
				model = a.baseModel
			}
			return openai.Reasons(model)
		}
	}
}

// url returns where a kind of call goes.
func (a *azure) url(op wire.Op, deployment string) (*url.URL, error) {
	version := a.version
	if op == wire.Responses {
		version = a.responses
	}
	return openai.AzureEndpoint(a.base, deployment, version, op)
}
