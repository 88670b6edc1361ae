package splice

import (
	"bytes"
	"slices"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// ResponseEvents passes on the event stream of OpenAI's Responses API. Its
// events are named and numbered, the model stands inside the response object of
// the first and the last of them, and no [DONE] ends them but an event whose
// type says that the response is over. Everything but the model's name passes
// byte for byte.
type ResponseEvents struct {
	model   []byte // quoted; empty leaves the upstream's
	name    func(id []byte) string
	seal    func(event []byte) []byte
	buffers     // buf is what is not yet a whole event
	seen    int // begin of the line in buf that is not yet whole
	looked  int // bytes of buf that were searched for its end

	started, done bool
	events, text  int
	usage         call.Usage
	id, named     []byte
	err           error
	nest          nest
}

// Reset prepares for a new stream; an empty model leaves the upstream's.
func (t *ResponseEvents) Reset(model string) {
	t.Close()
	quoted, id, named := t.model[:0], keep(t.id), keep(t.named)
	*t = ResponseEvents{}
	t.model, t.id, t.named = quoted, id, named
	if model != "" {
		t.model = appendQuoted(t.model, model)
	}
}

// Name gives responses other ids than the upstream's. It follows Reset.
func (t *ResponseEvents) Name(name func(id []byte) string) { t.name = name }

// Seal edits the JSON of every event before it is read. It follows Reset.
func (t *ResponseEvents) Seal(seal func(event []byte) []byte) { t.seal = seal }

// Space returns room for the next read.
func (t *ResponseEvents) Space() []byte {
	t.takeInput()
	if cap(t.buf)-len(t.buf) < firstBuffer/2 {
		t.grow()
	}
	return t.buf[len(t.buf):cap(t.buf)]
}

// Advance takes the n bytes read into Space and returns what goes to the
// client: whole events. It is valid until the next call.
func (t *ResponseEvents) Advance(n int) ([]byte, error) {
	t.clearOutput()
	if t.err != nil {
		return nil, t.err
	}
	t.buf = t.buf[:len(t.buf)+n]
	begin := 0
	for t.err == nil {
		end := t.eventEnd()
		if end < 0 {
			break
		}
		t.event(t.buf[begin:end])
		begin, t.seen = end, end
	}
	if begin > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[begin:])]
		t.seen -= begin
		t.looked = max(t.looked-begin, 0)
	}
	if len(t.buf) == 0 {
		t.giveInput()
	}
	if t.err == nil && len(t.buf) > DefaultMaxEvent {
		t.err = &StreamError{Kind: TooLarge}
	}
	if t.err == nil && !t.started {
		// A page or an error document has no lines of events; it is not waited for
		// to its end.
		if b := first(t.buf); b == '<' || b == '{' || b == '[' {
			if len(t.buf) > 64<<10 {
				t.err = &StreamError{Kind: NotStream, Body: bytes.Clone(t.buf)}
			}
		}
	}
	return t.out, t.err
}

// eventEnd is the offset behind the empty line that ends the next event, or -1.
func (t *ResponseEvents) eventEnd() int {
	for {
		from := max(t.seen, t.looked)
		nl := bytes.IndexByte(t.buf[from:], '\n')
		if nl < 0 {
			t.looked = len(t.buf)
			return -1
		}
		line := t.buf[t.seen : from+nl]
		t.seen = from + nl + 1
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return t.seen
		}
	}
}

// event passes one event on.
func (t *ResponseEvents) event(raw []byte) {
	data, at, lines := eventData(raw)
	if t.seal != nil && lines == 1 {
		if sealed := t.seal(data); len(sealed) != len(data) {
			raw = slices.Concat(raw[:at], sealed, raw[at+len(data):])
			data = raw[at : at+len(sealed)]
		}
	}
	if lines == 0 { // a comment, or a stray empty line
		if !t.started {
			if b := first(raw); b == '<' || b == '{' || b == '[' {
				t.err = &StreamError{Kind: NotStream, Body: bytes.Clone(t.buf)}
				return
			}
		}
		t.out = append(t.out, raw...)
		return
	}
	t.events++
	if lines > 1 || len(data) == 0 || data[0] != '{' {
		if string(data) == "[DONE]" {
			t.done = true // some servers of the API send it all the same
		}
		t.started = true
		t.out = append(t.out, raw...)
		return
	}
	var e responseEvent
	c := cursor{b: data, bad: -1, lax: true, nest: &t.nest}
	e.read(&c)
	if c.bad >= 0 {
		t.err = &StreamError{Kind: Malformed, Body: bytes.Clone(data)}
		return
	}
	switch kind := string(data[e.kind.start:e.kind.end]); kind {
	case "error":
		if !t.started {
			t.err = &StreamError{Kind: Fault, Body: bytes.Clone(data)}
			return
		}
		t.done = true
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		t.done = true
	case "":
		if e.fault {
			t.err = &StreamError{Kind: Fault, Body: bytes.Clone(data)}
			return
		}
	}
	t.started = true
	t.text += e.text
	if e.usage.Known {
		t.usage = e.usage
	}
	if e.id.end > e.id.start {
		t.id = append(t.id[:0], data[e.id.start:e.id.end]...)
	}
	if m := e.model; len(t.named) == 0 && m.end > m.start+2 {
		t.named = append(t.named, data[m.start+1:m.end-1]...)
	}
	if t.name != nil && e.id.end > e.id.start {
		t.renamed(raw, at, &e)
		return
	}
	if m := e.model; m.end > m.start && len(t.model) > 0 {
		t.out = append(t.out, raw[:at+m.start]...)
		t.out = append(t.out, t.model...)
		t.out = append(t.out, raw[at+m.end:]...)
		return
	}
	t.out = append(t.out, raw...)
}

// renamed passes an event on with another id, and the model's name restamped.
func (t *ResponseEvents) renamed(raw []byte, at int, e *responseEvent) {
	id := span{at + e.id.start - 1, at + e.id.end + 1}
	m := span{at + e.model.start, at + e.model.end}
	name := func() { t.out = appendQuoted(t.out, t.name(raw[id.start+1:id.end-1])) }
	switch {
	case e.model.end == e.model.start || len(t.model) == 0:
		t.out = append(t.out, raw[:id.start]...)
		name()
		t.out = append(t.out, raw[id.end:]...)
	case m.start < id.start:
		t.out = append(append(append(t.out, raw[:m.start]...), t.model...), raw[m.end:id.start]...)
		name()
		t.out = append(t.out, raw[id.end:]...)
	default:
		t.out = append(t.out, raw[:id.start]...)
		name()
		t.out = append(append(append(t.out, raw[id.end:m.start]...), t.model...), raw[m.end:]...)
	}
}

// eventData returns the value of an event's data line, where it begins, and how
// many data lines there are.
func eventData(raw []byte) (data []byte, at, lines int) {
	for i := 0; i < len(raw); {
		end := bytes.IndexByte(raw[i:], '\n')
		if end < 0 {
			end = len(raw) - i
		}
		line := raw[i : i+end]
		if rest, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			if lines++; lines == 1 {
				at = i + len("data:")
				if len(rest) > 0 && rest[0] == ' ' {
					rest = rest[1:]
					at++
				}
				data = bytes.TrimSuffix(rest, []byte{'\r'})
			}
		}
		i += end + 1
	}
	return data, at, lines
}

// responseEvent is what is read of an event.
type responseEvent struct {
	label      // of the response in it
	kind  span // without quotes
	text  int  // length of the text it adds
	fault bool
}

func (e *responseEvent) read(c *cursor) {
	for k, ok := c.first(); ok; k, ok = c.next() {
		start := c.i
		switch string(c.b[k.start:k.end]) {
		case "type":
			if c.skip(); c.b[start] == '"' {
				e.kind = span{start + 1, c.i - 1}
			}
		case "delta":
			if c.skip(); c.b[start] == '"' {
				e.text += c.i - start - 2
			}
		case "error":
			c.skip()
			e.fault = c.b[start] == '{'
		case "response":
			e.readResponse(c)
		default:
			c.skip()
		}
	}
}

func (e *responseEvent) readResponse(c *cursor) {
	if c.b[c.i] != '{' {
		c.skip()
		return
	}
	for k, ok := c.first(); ok; k, ok = c.next() {
		if !e.take(c, k) {
			c.skip()
		}
	}
}

// Finish says that the body has ended.
func (t *ResponseEvents) Finish() ([]byte, error) {
	t.clearOutput()
	if t.err != nil {
		return nil, t.err
	}
	if rest := bytes.TrimSpace(t.buf); len(rest) > 0 {
		if _, _, lines := eventData(t.buf); lines == 0 && !t.started {
			t.err = &StreamError{Kind: NotStream, Body: bytes.Clone(rest)}
			return nil, t.err
		}
		// The last event may lack its empty line: whole it is if its JSON is.
		raw := append(bytes.TrimRight(t.buf, "\r\n"), "\n\n"...)
		if data, _, _ := eventData(raw); len(data) > 0 && whole(data) {
			t.event(raw)
		}
		t.buf = t.buf[:0]
	}
	switch {
	case t.err != nil:
	case t.done:
	case !t.started:
		t.err = &StreamError{Kind: Empty}
	default:
		t.err = &StreamError{Kind: Truncated}
	}
	return t.out, t.err
}

// whole reports whether data is one JSON object.
func whole(data []byte) bool {
	var n nest
	c := cursor{b: data, bad: -1, lax: true, nest: &n}
	if !c.space() || data[c.i] != '{' {
		return false
	}
	c.skip()
	return c.bad < 0 && !c.space()
}

// Done reports that the response is over: what follows is ignored.
func (t *ResponseEvents) Done() bool { return t.done }

// Usage is what the last event reported.
func (t *ResponseEvents) Usage() call.Usage { return t.usage }

// NamedModel is what the upstream calls the model, as JSON text without quotes.
func (t *ResponseEvents) NamedModel() []byte { return t.named }

// ID is the response's id.
func (t *ResponseEvents) ID() []byte { return t.id }

// TextBytes is the length of what the model wrote.
func (t *ResponseEvents) TextBytes() int { return t.text }

// Events counts events.
func (t *ResponseEvents) Events() int { return t.events }
