package api

import (
	"bytes"
	"sync/atomic"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// Prompts and answers are kept for log targets only where an operator has asked
// for them, and within bounds: they wait in memory until they are written.
const (
	maxContent = 256 << 10 // of one prompt or answer; what is longer is cut
	allContent = 64 << 20  // of all that wait; beyond it calls are told without
)

// content counts what is kept.
type content struct{ bytes atomic.Int64 }

// take reserves room.
func (k *content) take(n int) bool {
	if k.bytes.Add(int64(n)) > allContent {
		k.bytes.Add(int64(-n))
		return false
	}
	return true
}

// ReleaseContent gives back the room of a call's prompt and answer, when they
// were written or will not be.
func (a *API) ReleaseContent(c *call.Call) {
	if n := len(c.Prompt) + len(c.Answer); n > 0 {
		a.content.bytes.Add(int64(-n))
		c.Prompt, c.Answer = nil, nil
	}
}

// keepPrompt keeps what the model is given.
func (c *chat) keepPrompt() {
	if !c.a.o.KeepContent || c.call.NoLog {
		return
	}
	for _, m := range [...]splice.Member{splice.Messages, splice.Input, splice.Prompt} {
		if raw := c.request.Raw(m); len(raw) > 0 {
			raw = raw[:min(len(raw), maxContent)]
			if c.a.content.take(len(raw)) {
				c.call.Prompt = bytes.Clone(raw)
			}
			return
		}
	}
}

// addAnswer keeps what the client is given; a stream comes in pieces.
func (c *chat) addAnswer(out []byte) {
	if !c.a.o.KeepContent || c.call.NoLog {
		return
	}
	out = out[:min(len(out), maxContent-len(c.call.Answer))]
	if len(out) > 0 && c.a.content.take(len(out)) {
		c.call.Answer = append(c.call.Answer, out...)
	}
}
