package splice

import (
	"errors"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// ErrNotJSON says that a complete answer is not one JSON object: a page of some
// balancer, half an answer, or nothing at all.
var ErrNotJSON = errors.New("the upstream's answer is not a JSON object")

// Response is a scanned, complete answer. The zero value is ready for Scan; it
// may be scanned again and again.
type Response struct {
	body   []byte
	answer answer
	nest   nest
}

// Scan reads body to its end; it must stay unchanged for as long as the
// Response is used.
func (r *Response) Scan(body []byte) error {
	r.body = body
	r.answer = answer{}
	c := cursor{b: body, bad: -1, lax: true, nest: &r.nest}
	if !c.space() || body[c.i] != '{' {
		return ErrNotJSON
	}
	r.answer.read(&c)
	if c.bad >= 0 || c.space() {
		r.answer = answer{}
		return ErrNotJSON
	}
	return nil
}

// Reset lets go of the answer.
func (r *Response) Reset() { r.body, r.answer = nil, answer{} }

// Usage returns what the answer reports; Known is false when it reports
// nothing.
func (r *Response) Usage() call.Usage { return r.answer.usage }

// Model returns the model named by the answer as JSON text without quotes, or
// nil.
func (r *Response) Model() []byte {
	if m := r.answer.model; m.end != 0 {
		return r.body[m.start+1 : m.end-1]
	}
	return nil
}

// ID returns the answer's id, or nil.
func (r *Response) ID() []byte { return r.body[r.answer.id.start:r.answer.id.end] }

// FinishReason returns the last choice's finish_reason, or nil.
func (r *Response) FinishReason() []byte { return r.body[r.answer.finish.start:r.answer.finish.end] }

// Fault returns the error object that some upstreams send with status 200, at
// the top level or within a choice, or nil.
func (r *Response) Fault() []byte {
	if r.answer.fault.end == 0 {
		return nil
	}
	return r.body[r.answer.fault.start:r.answer.fault.end]
}

// TextBytes returns the length of what the model wrote, for an estimate of its
// tokens when the upstream reported none.
func (r *Response) TextBytes() int { return r.answer.text }

// AppendNamed is Append with another id in place of the answer's.
func (r *Response) AppendNamed(dst []byte, model string, name func(id []byte) string) []byte {
	m, id := r.answer.model, r.answer.id
	if id.end == 0 {
		return r.Append(dst, model)
	}
	renamed := func() { dst = appendQuoted(dst, name(r.body[id.start:id.end])) }
	restamped := func() {
		if model == "" {
			dst = append(dst, r.body[m.start:m.end]...)
			return
		}
		dst = appendQuoted(dst, model)
	}
	first, second := id.start-1, -1
	switch {
	case m.end == 0:
		dst = append(dst, r.body[:first]...)
		renamed()
		return append(dst, r.body[id.end+1:]...)
	case m.start < first:
		first, second = m.start, first
		dst = append(dst, r.body[:first]...)
		restamped()
		dst = append(dst, r.body[m.end:second]...)
		renamed()
		return append(dst, r.body[id.end+1:]...)
	}
	dst = append(dst, r.body[:first]...)
	renamed()
	dst = append(dst, r.body[id.end+1:m.start]...)
	restamped()
	return append(dst, r.body[m.end:]...)
}

// Append appends the answer with model restamped; an empty model, or an answer
// that names none, leaves the bytes as they are.
func (r *Response) Append(dst []byte, model string) []byte {
	m := r.answer.model
	if model == "" || m.end == 0 {
		return append(dst, r.body...)
	}
	dst = append(dst, r.body[:m.start]...)
	dst = appendQuoted(dst, model)
	return append(dst, r.body[m.end:]...)
}
