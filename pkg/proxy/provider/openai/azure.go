package openai

import (
	"net/url"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// AzureEndpoint returns the URL for op at an Azure OpenAI resource. The base is
// the resource, the resource with its /openai/deployments/NAME, or its /openai/v1,
// and the version a date or one of v1, latest and preview, which mean the last.
func AzureEndpoint(base, deployment, version string, op wire.Op) (*url.URL, error) {
	u, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	folder := strings.TrimRight(u.EscapedPath(), "/")
	newest := version == "v1" || version == "latest" || version == "preview" || strings.HasSuffix(folder, "/openai/v1")
	deployed := strings.Contains(folder, "/openai/deployments/")
	q := u.Query()
	switch {
	case deployed && op != wire.Responses:
		// It is the full base already, with or without the endpoint's name.
		folder = strings.TrimSuffix(folder, paths[wire.Chat])
	case op == wire.Responses || newest && !deployed:
		folder, _, _ = strings.Cut(folder, "/openai/deployments/")
		folder = strings.TrimSuffix(folder, "/responses")
		folder = strings.TrimSuffix(folder, "/openai/v1")
		folder = strings.TrimSuffix(folder, "/openai")
		folder += "/openai"
		if newest {
			folder += "/v1"
		}
	case strings.HasSuffix(u.Hostname(), "gateway.ai.cloudflare.com"):
		folder += "/" + url.PathEscape(deployment)
	default:
		folder = strings.TrimSuffix(folder, "/openai") + "/openai/deployments/" + url.PathEscape(deployment)
	}
	switch {
	case q.Has("api-version"):
	case !newest || version == "preview":
		q.Set("api-version", version)
	}
	u.RawQuery = q.Encode()
	return below(u, folder, paths[op])
}
