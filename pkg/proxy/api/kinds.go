package api

import (
	"net/http"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// A kind of model call: what it is called, where it is found, and how it is
// sent.
type kind struct {
	op wire.Op
	// name is for sentences, label stands in LiteLLM's error texts.
	name, label string
	// cache is the kind in the words of supported_call_types; empty kinds are
	// never cached.
	cache string
	// tail is the path behind /engines/MODEL and /openai/deployments/MODEL.
	tail  string
	paths []string
	// needs are the members without which the gateway refuses a request; null is
	// as good as none where notNull is set.
	needs   []splice.Member
	notNull bool
	// serve replaces the handler of JSON calls.
	serve func(a *API, x *exchange) int
}

// missing refuses a request that lacks what every upstream would miss.
func (k *kind) missing(q *splice.Request) *call.Error {
	for _, m := range k.needs {
		if q.Has(m) && !(k.notNull && string(q.Raw(m)) == "null") {
			continue
		}
		if k.op == wire.Responses && q.Has(splice.Prompt) {
			continue // a stored prompt may hold the input
		}
		return call.NewError(http.StatusBadRequest, "invalid_request_error", m.String(), k.label+": Missing required parameter: '"+m.String()+"'.")
	}
	return nil
}

var kinds = [...]kind{
	{op: wire.Chat, needs: []splice.Member{splice.Messages}, notNull: true, name: "chat completions", label: "/chat/completions", cache: "completion", tail: "/chat/completions",
		paths: []string{"/v1/chat/completions", "/chat/completions"}},
	{op: wire.Completions, needs: []splice.Member{splice.Prompt}, name: "text completions", label: "/completions", cache: "text_completion", tail: "/completions",
		paths: []string{"/v1/completions", "/completions"}},
	{op: wire.Embeddings, needs: []splice.Member{splice.Input}, notNull: true, name: "embeddings", label: "/embeddings", cache: "embedding", tail: "/embeddings",
		paths: []string{"/v1/embeddings", "/embeddings"}},
	{op: wire.Responses, needs: []splice.Member{splice.Input}, notNull: true, name: "responses", label: "/responses", tail: "/responses",
		paths: []string{"/v1/responses", "/responses", "/openai/v1/responses"}},
	{op: wire.Moderations, needs: []splice.Member{splice.Input}, name: "moderations", label: "/moderations",
		paths: []string{"/v1/moderations", "/moderations"}},
	{op: wire.Rerank, needs: []splice.Member{splice.Query, splice.Documents}, name: "reranking", label: "/rerank", cache: "rerank",
		paths: []string{"/v1/rerank", "/rerank", "/v2/rerank"}},
	{op: wire.Images, needs: []splice.Member{splice.Prompt}, name: "image generation", label: "/image/generations", tail: "/images/generations",
		paths: []string{"/v1/images/generations", "/images/generations"}},
	{op: wire.Speech, needs: []splice.Member{splice.Input}, name: "speech", label: "/audio/speech", tail: "/audio/speech",
		paths: []string{"/v1/audio/speech", "/audio/speech"}, serve: serveMedia},
	{op: wire.Transcriptions, name: "transcriptions", label: "/audio/transcriptions", tail: "/audio/transcriptions",
		paths: []string{"/v1/audio/transcriptions", "/audio/transcriptions"}, serve: serveMedia},
	{op: wire.Translations, name: "translations", label: "/audio/translations", tail: "/audio/translations",
		paths: []string{"/v1/audio/translations", "/audio/translations"}, serve: serveMedia},
	{op: wire.ImageEdits, name: "image edits", label: "/image/edits", tail: "/images/edits",
		paths: []string{"/v1/images/edits", "/images/edits"}, serve: serveMedia},
	{op: wire.ImageVariations, name: "image variations", label: "/image/variations", tail: "/images/variations",
		paths: []string{"/v1/images/variations", "/images/variations"}, serve: serveMedia},
}

// deploymentRoutes are the routes whose path names the model. Chat comes before
// completions, whose tail is a part of it.
var deploymentRoutes = func() (list []route) {
	for i := range kinds {
		if k := &kinds[i]; k.tail != "" {
			serve := k.serve
			if serve == nil {
				serve = serveChat
			}
			list = append(list, route{name: k.paths[0], method: http.MethodPost, serve: serve, kind: k})
		}
	}
	return list
}()
