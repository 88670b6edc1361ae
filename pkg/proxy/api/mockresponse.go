package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
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
