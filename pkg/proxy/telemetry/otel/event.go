package otel

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// logRecord is an event of a call: a message of its prompt, or a choice of its
// answer.
type logRecord struct {
	trace [16]byte
	span  [8]byte
	at    time.Time
	name  string
	body  any
	attrs []attr
}

// maxEvents bounds the events of one call: a client may send any number of
// messages.
const maxEvents = 256

const severityInfo = 9

// message and choice are what is read of prompts and answers.
type chatMessage struct {
	Role    string          `json:"role"`
	ID      string          `json:"id"`
	Content json.RawMessage `json:"content"`
}

type chatChoice struct {
	Index   int64       `json:"index"`
	Finish  *string     `json:"finish_reason"`
	Message chatMessage `json:"message"`
	Delta   chatMessage `json:"delta"`
}

// events are LiteLLM's events of a call, which belong to the span of its last
// attempt. What was said is in them only where EventContent asks for it.
func (e *Exporter) events(c *call.Call) (list []logRecord) {
	d := c.Deployment
	if d == nil || c.Err != nil || c.NoLog || call.OperationOf(c.Route).GenAI != "chat" {
		return nil
	}
	record := func(name string) *logRecord {
		list = append(list, logRecord{trace: c.Trace.TraceID, span: c.Trace.Attempt(c.Attempts), at: c.End, name: name})
		r := &list[len(list)-1]
		r.attrs = append(make([]attr, 0, 4), attr{"event_name", name}, attr{"gen_ai.system", d.Provider})
		return r
	}
	var messages []chatMessage
	_ = json.Unmarshal(c.Prompt, &messages) // a prompt that was cut has no messages to tell of
	for _, m := range messages[:min(len(messages), maxEvents)] {
		r := record("gen_ai.content.prompt")
		role := valid(m.Role, "user")
		body := []attr{{"role", role}}
		if m.ID != "" && role == "tool" {
			r.attrs = append(r.attrs, attr{"id", valid(m.ID, "")})
		}
		if text := said(m.Content); e.o.EventContent && text != "" {
			r.attrs = append(r.attrs, attr{"gen_ai.prompt", text})
			body = append(body, attr{"content", text})
		}
		r.body = body
	}
	for _, choice := range choices(c) {
		if len(list) >= 2*maxEvents {
			break
		}
		r := record("gen_ai.content.completion")
		r.attrs = append(r.attrs, attr{"index", choice.Index})
		body := []attr{{"index", choice.Index}}
		if choice.Finish != nil {
			finish := valid(*choice.Finish, "")
			r.attrs, body = append(r.attrs, attr{"finish_reason", finish}), append(body, attr{"finish_reason", finish})
		}
		message := []attr{{"role", valid(choice.Message.Role, "assistant")}}
		if text := said(choice.Message.Content); e.o.EventContent && text != "" {
			r.attrs = append(r.attrs, attr{"message.content", text})
			message = append(message, attr{"content", text})
		}
		r.body = append(body, attr{"message", message})
	}
	return list
}

func valid(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// said is a content: text as it is, parts as JSON.
func said(raw json.RawMessage) string {
	var text string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return ""
	case json.Unmarshal(raw, &text) == nil:
		return text
	}
	return string(raw)
}

// choices are those of an answer; a stream's are put together.
func choices(c *call.Call) []chatChoice {
	var answer struct {
		Choices []chatChoice `json:"choices"`
	}
	if !c.Stream {
		_ = json.Unmarshal(c.Answer, &answer)
		return answer.Choices
	}
	var list []chatChoice
	var texts [][]byte
	for line := range bytes.Lines(c.Answer) {
		data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: "))
		answer.Choices = nil
		if !ok || json.Unmarshal(data, &answer) != nil {
			continue
		}
		for i := range answer.Choices {
			part := &answer.Choices[i]
			at := slices.IndexFunc(list, func(have chatChoice) bool { return have.Index == part.Index })
			if at < 0 {
				if len(list) >= maxEvents {
					continue
				}
				at = len(list)
				list, texts = append(list, chatChoice{Index: part.Index}), append(texts, nil)
			}
			if part.Finish != nil {
				list[at].Finish = part.Finish
			}
			if part.Delta.Role != "" {
				list[at].Message.Role = part.Delta.Role
			}
			texts[at] = append(texts[at], said(part.Delta.Content)...)
		}
	}
	for i := range list {
		list[i].Message.Content, _ = json.Marshal(string(texts[i])) // text always can be
	}
	return list
}

func (r *logRecord) encode() []byte {
	var m message
	m.fixed64(1, nanos(r.at))
	m.varint(2, severityInfo)
	m.text(3, "INFO")
	m.nested(5, func(m *message) { m.any(r.body) })
	m.attributes(6, r.attrs)
	m.fixed32(8, flagSampled)
	m.bytes(9, r.trace[:])
	m.bytes(10, r.span[:])
	m.fixed64(11, nanos(r.at))
	m.text(12, r.name)
	return m
}
