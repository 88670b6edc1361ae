package proxy

import (
	"crypto/rand"
	"encoding/base64"
	"slices"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/provider"
)

// Names of the models that a gateway without a configuration offers.
const (
	ZeroChatModel      = "mock-chat"
	ZeroEmbeddingModel = "mock-embedding"
)

// ZeroConfig is the gateway without a configuration: two mock models that cost
// nothing and, for each provider whose key is in the environment, all of its
// models under its own prefix. Of several names of one service (openai,
// text-completion-openai, aiohttp_openai) the first in the catalogue stands for
// all. It returns the providers found.
func ZeroConfig(getenv func(string) string, userAgent string) (Config, []string) {
	hello := "Hello from llmgw. This answer is made up: set a provider's key, such as OPENAI_API_KEY, or give a configuration with --config."
	nothing := ""
	c := Config{Deployments: []*call.Deployment{
		{ID: ZeroChatModel, Group: ZeroChatModel, Provider: "mock", Model: ZeroChatModel, Mode: "chat", MockResponse: &hello},
		{ID: ZeroEmbeddingModel, Group: ZeroEmbeddingModel, Provider: "mock", Model: ZeroEmbeddingModel, Mode: "embedding", MockResponse: &nothing},
	}}
	var found []string
	type service struct{ base, key string }
	seen := map[service]bool{}
	for _, p := range catalog.Providers() {
		if !p.Supported() || len(p.KeyVars) == 0 || !slices.ContainsFunc(p.KeyVars, func(name string) bool { return getenv(name) != "" }) {
			continue
		}
		group := p.Name + "/*"
		d := &call.Deployment{ID: group, Group: group}
		e := provider.Entry{Model: group, Getenv: getenv, UserAgent: userAgent}
		if e.Deploy(d, wire.Chat) != nil {
			continue // without an address of its own
		}
		same := service{d.APIBase, d.APIKey.Reveal()}
		if seen[same] {
			continue
		}
		seen[same] = true
		c.Deployments = append(c.Deployments, d)
		found = append(found, p.Name)
	}
	return c, found
}

// NewKey returns a fresh key in LiteLLM's form.
func NewKey() redact.Secret {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return redact.New("sk-" + base64.RawURLEncoding.EncodeToString(raw[:]))
}
