package sdktest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/mock"
)

// everything is an upstream that serves every endpoint.
func everything(t *testing.T) http.Handler {
	m := mock.New(mock.Options{Seed: 1})
	t.Cleanup(m.Close)
	return m
}

// endpoints checks what OpenAI's SDKs understood of each endpoint, and which of
// their exceptions they raised.
func endpoints(t *testing.T, got map[string]json.RawMessage) {
	t.Helper()
	for name, want := range map[string]string{
		"structured":        `"Köln"`,
		"completion":        `{"object":"text_completion","model":"fast","text":true,"used":3}`,
		"completionStream":  `{"models":["fast"],"n":3}`,
		"embeddings":        `{"model":"fast","n":2,"first":"number","size":16,"used":true}`,
		"embeddingsFloat":   `4`,
		"embeddingsBase64":  `16`,
		"response":          `{"model":"fast","status":"completed","text":true,"used":true}`,
		"responseStream":    `{"first":"response.created","last":"response.completed","deltas":true,"model":"fast","text":true}`,
		"image":             `{"n":2,"png":"PNG"}`,
		"imageEdit":         `1`,
		"imageVariation":    `1`,
		"speech":            `{"type":"audio/mpeg","some":true}`,
		"transcription":     `"5 bytes of sound"`,
		"transcriptionText": `"5 bytes of sound\n"`,
		"translation":       `"5 bytes of sound"`,
		"moderation":        `{"model":"fast","flagged":false,"categories":true}`,
		"model":             `{"id":"fast","object":"model","created":1677610602,"owned_by":"openai"}`,
		"azure":             `"fast"`,
	} {
		expect(t, got, name, want)
	}
	for name, want := range map[string]struct {
		class  string
		status int
		says   string
	}{
		"noModel":  {"NotFoundError", 404, "does not exist"},
		"noFiles":  {"InternalServerError", 501, "is an endpoint of LiteLLM that this version of llmgw does not serve"},
		"error400": {"BadRequestError", 400, "litellm.BadRequestError: OpenAIException - "},
		"error401": {"AuthenticationError", 401, "litellm.AuthenticationError"},
		"error403": {"PermissionDeniedError", 403, "litellm.PermissionDeniedError"},
		"error404": {"NotFoundError", 404, "litellm.NotFoundError"},
		"error422": {"UnprocessableEntityError", 422, "litellm.BadRequestError"},
		"error429": {"RateLimitError", 429, "litellm.RateLimitError"},
		"error500": {"InternalServerError", 500, "litellm.InternalServerError"},
		"error503": {"InternalServerError", 503, "litellm.ServiceUnavailableError"},
	} {
		var f struct {
			Failed, Message string
			Status          int
		}
		if err := json.Unmarshal(got[name], &f); err != nil || f.Failed != want.class || f.Status != want.status || !strings.Contains(f.Message, want.says) {
			t.Errorf("%s: %s", name, got[name])
		}
	}
}
