package provider

import (
	"net/url"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/provider/openai"
)

// knowDevelopers are the providers that are sent messages of the role developer
// as they are, the later ones because LiteLLM does; for all others it makes
// system of it.
var knowDevelopers = []string{
	"openai", "aiohttp_openai", "azure", "azure_text",
	"xinference", "aiml", "veniceai", "abliteration", "llamagate", "gmi", "sarvam", "aihubmix", "crusoe", "empiriolabs",
}

// vendor sets what single providers of OpenAI's format have of their own.
func vendor(name string, op wire.Op, base string, o *openai.Options) {
	o.Rewrite.SystemRole = op == wire.Chat && !slices.Contains(knowDevelopers, name)
	switch {
	case name == "fireworks_ai" && (op == wire.Chat || op == wire.Completions):
		o.Sent = fireworksName
	case name == "perplexity" && op == wire.Embeddings && !strings.HasSuffix(base, "/v1"):
		// Chats are served at the root, embeddings are not.
		o.URL = func(op wire.Op, _ string) (*url.URL, error) { return openai.Endpoint(base+"/v1", op) }
	case name == "datarobot" && op == wire.Chat:
		o.URL = func(op wire.Op, _ string) (*url.URL, error) {
			u, err := openai.Endpoint(base, op)
			if err == nil {
				u.Path += "/"
				if u.RawPath != "" {
					u.RawPath += "/"
				}
			}
			return u, err
		}
	}
}

// fireworksName is the resource that a short name of Fireworks' stands for.
func fireworksName(model string) string {
	switch {
	case strings.HasPrefix(model, "accounts/"), strings.HasPrefix(model, "FW-"), strings.Contains(model, "#"):
		return model
	case strings.HasPrefix(model, "routers/"), strings.HasPrefix(model, "models/"):
		return "accounts/fireworks/" + model
	case strings.HasSuffix(model, "-fast"), model == "auto", model == "auto-instant", model == "firerouter", strings.HasPrefix(model, "firerouter/"):
		return "accounts/fireworks/routers/" + model
	}
	return "accounts/fireworks/models/" + model
}
