package api

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// Usage of a mocked answer, LiteLLM's numbers.
const (
	mockPrompt     = 10
	mockCompletion = 20
)

// mockClasses are the errors that a mock_response can ask for by name.
var mockClasses = map[string]call.Class{
	"litellm.RateLimitError":              call.ClassRateLimit,
	"litellm.InternalServerError":         call.ClassInternalServer,
	"litellm.ContextWindowExceededError":  call.ClassContextWindowExceeded,
	"litellm.ContentPolicyViolationError": call.ClassContentPolicyViolation,
	"litellm.AuthenticationError":         call.ClassAuthentication,
	"litellm.BadRequestError":             call.ClassBadRequest,
	"litellm.ServiceUnavailableError":     call.ClassServiceUnavailable,
	"litellm.Timeout":                     call.ClassTimeout,
}

// serveMock answers without an upstream: text is the answer, or the name of an
// error.
func (c *chat) serveMock(d *call.Deployment, text string) *call.Error {
	if class, ok := mockClasses[text]; ok {
		return &call.Error{
			Class: class, RetryAfter: -1,
			Message: fmt.Sprintf("litellm.%s: this is a mocked error, asked for by mock_response", class),
		}
	}
	switch k := c.x.route.kind; k.op {
	case wire.Chat:
	case wire.Embeddings:
		return c.mockEmbeddings()
	case wire.Completions:
		if c.call.Stream {
			return unfit(c.call.Model, "its mock_response is streamed for chat completions alone")
		}
		c.call.Usage = mockedUsage
		c.writeAnswer(nil, marshal(map[string]any{
			"id": "cmpl-" + newID(), "object": "text_completion", "created": time.Now().Unix(), "model": c.call.Model,
			"choices": []any{map[string]any{"index": 0, "text": text, "logprobs": nil, "finish_reason": "stop"}}, "usage": newMockUsage(),
		}))
		return nil
	default:
		return unfit(c.call.Model, "it answers with mock_response, which "+k.name+" cannot be made of")
	}
	c.call.Usage = call.Usage{PromptTokens: mockPrompt, CompletionTokens: mockCompletion, TotalTokens: mockPrompt + mockCompletion, Known: true}
	id, created := "chatcmpl-"+newID(), time.Now().Unix()
	if !c.call.Stream {
		c.writeAnswer(nil, marshal(mockCompletionBody{
			ID: id, Created: created, Model: c.call.Model, Object: "chat.completion",
			Choices: []mockChoice{{FinishReason: "stop", Message: &mockMessage{Content: &text, Role: "assistant"}}},
			Usage:   newMockUsage(),
		}))
		return nil
	}
	c.begin(&call.Response{}, noLease{})
	flusher, _ := c.x.w.(http.Flusher)
	send := func(v any) error {
		_, err := fmt.Fprintf(c.x.w, "data: %s\n\n", marshal(v))
		if err == nil && flusher != nil {
			flusher.Flush()
		}
		return err
	}
	chunk := mockCompletionBody{ID: id, Created: created, Model: c.call.Model, Object: "chat.completion.chunk"}
	for i, word := range strings.SplitAfter(text, " ") {
		delta := &mockMessage{Content: &word}
		if i == 0 {
			delta.Role = "assistant"
		}
		chunk.Choices = []mockChoice{{Delta: delta}}
		if send(chunk) != nil {
			return c.leftMock()
		}
	}
	chunk.Choices = []mockChoice{{FinishReason: "stop", Delta: &mockMessage{}}}
	if send(chunk) != nil {
		return c.leftMock()
	}
	if c.wantsUsage {
		chunk.Choices, chunk.Usage = []mockChoice{}, newMockUsage()
		if send(chunk) != nil {
			return c.leftMock()
		}
	}
	if _, err := fmt.Fprint(c.x.w, "data: [DONE]\n\n"); err != nil {
		return c.leftMock()
	}
	return nil
}

var mockedUsage = call.Usage{PromptTokens: mockPrompt, CompletionTokens: mockCompletion, TotalTokens: mockPrompt + mockCompletion, Known: true}

// mockDimensions is the length of a made-up vector where the request does not
// say one.
const mockDimensions = 1536

// mockEmbeddings answers with unit vectors that depend on the input alone: equal
// texts are equal, others are not.
func (c *chat) mockEmbeddings() *call.Error {
	var body struct {
		Input      json.RawMessage `json:"input"`
		Dimensions int             `json:"dimensions"`
		Encoding   string          `json:"encoding_format"`
	}
	bad := func(param, message string) *call.Error {
		return call.NewError(http.StatusBadRequest, "invalid_request_error", param, message)
	}
	if err := json.Unmarshal(c.in.b, &body); err != nil || body.Dimensions < 0 || body.Dimensions > 1<<14 {
		return bad("dimensions", "dimensions must be a whole number up to 16384")
	}
	var inputs []json.RawMessage
	var tokens []int
	switch {
	case len(body.Input) == 0 || string(body.Input) == "null":
		return bad("input", "/embeddings: Missing required parameter: 'input'.")
	case json.Unmarshal(body.Input, &tokens) == nil && len(tokens) > 0, json.Unmarshal(body.Input, &inputs) != nil:
		inputs = []json.RawMessage{body.Input} // one text, or one list of tokens
	}
	if body.Dimensions == 0 {
		body.Dimensions = mockDimensions
	}
	data := make([]any, len(inputs))
	for i, in := range inputs {
		v := mockVector(in, body.Dimensions)
		var shown any = v
		if body.Encoding == "base64" {
			raw := make([]byte, 0, 4*len(v))
			for _, x := range v {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
			}
			shown = base64.StdEncoding.EncodeToString(raw)
		}
		data[i] = map[string]any{"object": "embedding", "index": i, "embedding": shown}
	}
	n := max(len(body.Input)/4, 1)
	c.call.Usage = call.Usage{PromptTokens: int64(n), TotalTokens: int64(n), Known: true}
	c.writeAnswer(nil, marshal(map[string]any{
		"object": "list", "model": c.call.Model, "data": data, "usage": map[string]int{"prompt_tokens": n, "total_tokens": n},
	}))
	return nil
}

func mockVector(seed []byte, n int) []float32 {
	h := fnv.New64a()
	_, _ = h.Write(seed)
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	v, sum := make([]float32, n), 0.0
	for i := range v {
		x := r.NormFloat64()
		v[i], sum = float32(x), sum+x*x
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
	return v
}

func (c *chat) leftMock() *call.Error {
	c.call.Status = call.ClassClientGone.Status()
	e := clientGone(nil)
	e.Sent = true
	return e
}

type noLease struct{}

func (noLease) Done() bool { return true }

type mockCompletionBody struct {
	ID      string       `json:"id"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Object  string       `json:"object"`
	Choices []mockChoice `json:"choices"`
	Usage   *mockUsage   `json:"usage,omitempty"`
}

type mockChoice struct {
	FinishReason nullString   `json:"finish_reason"`
	Index        int          `json:"index"`
	Message      *mockMessage `json:"message,omitempty"`
	Delta        *mockMessage `json:"delta,omitempty"`
}

type mockMessage struct {
	Content *string `json:"content,omitempty"`
	Role    string  `json:"role,omitempty"`
}

// nullString is null when empty.
type nullString string

// MarshalJSON implements json.Marshaler.
func (s nullString) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return marshal(string(s)), nil
}

type mockUsage struct {
	Completion int `json:"completion_tokens"`
	Prompt     int `json:"prompt_tokens"`
	Total      int `json:"total_tokens"`
}

func newMockUsage() *mockUsage {
	return &mockUsage{Completion: mockCompletion, Prompt: mockPrompt, Total: mockPrompt + mockCompletion}
}
