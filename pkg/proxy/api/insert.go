package api

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// What an operator wants to have in streams of chat completions beside the
// upstream's events. None of this is looked at unless it is switched on.

// inserted is a stream's output with what belongs into it; first says that
// nothing has been sent before.
func (c *chat) inserted(out []byte, first bool) []byte {
	if c.x.route.kind.op != wire.Chat {
		return out
	}
	if c.a.o.StreamCost && bytes.Contains(out, usageName) {
		out = c.withCost(out)
	}
	if first && len(c.call.Failures) > 0 {
		out = c.withFailures(out)
	}
	return out
}

var usageName = []byte(`"usage"`)

// withCost puts the cost into the usage of the events that report one.
func (c *chat) withCost(out []byte) []byte {
	var b []byte
	from := 0
	for at := 0; at < len(out); {
		end := len(out)
		if i := bytes.IndexByte(out[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if brace := usageEnd(out[at:end]); brace > 0 {
			if cost, ok := c.streamCost(); ok {
				b = append(b, out[from:at+brace]...)
				b = appendDollars(append(b, `,"cost":`...), cost)
				from = at + brace
			}
		}
		at = end
	}
	if b == nil {
		return out
	}
	return append(b, out[from:]...)
}

// usageEnd is where the brace stands that ends the usage of a line of an event;
// 0 where there is no usage that has members.
func usageEnd(line []byte) int {
	i := bytes.IndexByte(line, '{')
	if i < 0 || !bytes.HasPrefix(line, []byte("data:")) {
		return 0
	}
	object := line[i:]
	for name, value := range members(object) {
		if string(name) == "usage" && value[0] == '{' && bytes.IndexByte(value, ':') > 0 && json.Valid(value) {
			return i + cap(object) - cap(value) + len(value) - 1 // value is a part of object
		}
	}
	return 0
}

// streamCost is what the stream costs by the usage it has reported. What costs
// nothing has none, as in LiteLLM.
func (c *chat) streamCost() (float64, bool) {
	if c.a.o.Charge == nil || c.exchange == nil {
		return 0, false
	}
	priced := c.call
	priced.Usage, priced.Cost = c.exchange.Outcome().Usage, call.Cost{}
	c.a.o.Charge(&priced)
	return priced.Cost.Total, priced.Cost.Known && priced.Cost.Total > 0
}

// withFailures puts the errors of the groups that failed behind the first event.
func (c *chat) withFailures(out []byte) []byte {
	end := len(out)
	for _, mark := range [...]string{"\n\n", "\r\n\r\n"} {
		if i := bytes.Index(out, []byte(mark)); i >= 0 {
			end = min(end, i+len(mark))
		}
	}
	type fallback struct {
		Model  string          `json:"fallback_model"`
		Errors json.RawMessage `json:"errors"`
	}
	model := c.call.ServedBy()
	event := marshal(struct {
		ID       string   `json:"id"`
		Object   string   `json:"object"`
		Created  int64    `json:"created"`
		Model    string   `json:"model"`
		Choices  []string `json:"choices"`
		Fallback fallback `json:"litellm_fallback"`
	}{"litellm-fallback-metadata", "chat.completion.chunk", time.Now().Unix(), model, []string{}, fallback{model, json.RawMessage(fallbackErrors(c.call.Failures))}})
	b := make([]byte, 0, len(out)+len(event)+16)
	b = append(b, out[:end]...)
	b = append(append(append(b, "data: "...), event...), "\n\n"...)
	return append(b, out[end:]...)
}
