package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// Routing says what of a request matters for the choice of a deployment beyond
// its model; what does not matter is not read.
type Routing struct {
	// Tags reads the request's tags, UserAgent which program asks, WebSearch
	// whether it has such a tool.
	Tags, UserAgent, WebSearch bool
}

// routing fills in what the router wants to know of a request.
func routing(o Routing, p *call.Plan, q *splice.Request, h http.Header) {
	if o.Tags {
		p.Tags = requestTags(q, h)
	}
	if o.UserAgent {
		p.UserAgent = headerValue(h, "User-Agent")
	}
	if o.WebSearch {
		p.WebSearch = bytes.Contains(q.Raw(splice.Tools), []byte(`"web_search`))
	}
}

// requestTags are the tags of the header, of the body, and of its metadata.
func requestTags(q *splice.Request, h http.Header) (tags []string) {
	for _, t := range strings.Split(headerValue(h, "X-Litellm-Tags"), ",") {
		if t = strings.TrimSpace(t); t != "" {
			tags = append(tags, t)
		}
	}
	add := func(raw []byte) {
		var list []any
		if json.Unmarshal(raw, &list) != nil {
			return
		}
		for _, item := range list {
			if t, ok := item.(string); ok {
				tags = append(tags, t)
			}
		}
	}
	if q.Has(splice.Tags) {
		add(q.Raw(splice.Tags))
	}
	for _, m := range [...]splice.Member{splice.Metadata, splice.LiteLLMMetadata} {
		if !q.Has(m) {
			continue
		}
		var metadata struct {
			Tags json.RawMessage `json:"tags"`
		}
		if json.Unmarshal(q.Raw(m), &metadata) == nil && metadata.Tags != nil {
			add(metadata.Tags)
		}
	}
	return tags
}

// bytesPerToken turns the length of a prompt into tokens. It is on the large
// side, so that a prompt that fits is not refused; one that does not is refused
// by the upstream, which counts for the same fallbacks.
const bytesPerToken = 4

// promptTokens estimates the tokens of a request's prompt.
func promptTokens(q *splice.Request) int64 { return int64(q.PromptBytes() / bytesPerToken) }
