package splice

import (
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// MaxMembers is the largest number of top-level members of a request. Real
// requests have a few dozen; the bound keeps a hostile body from costing more
// memory than its own size.
const MaxMembers = 4096

// entry is one top-level member as it stands in the body.
type entry struct {
	// name and nameEnd enclose the name without quotes, value and end the value.
	name, nameEnd, value, end int32
	member                    Member
	escaped                   bool
}

// Request is a scanned request body. It holds spans into the body, which must
// stay unchanged for as long as the Request is used. The zero value is ready
// for Scan; a Request may be scanned again and again.
type Request struct {
	body    []byte
	entries []entry
	// at holds for each known member its entry + 1, or 0 when absent.
	at [members]uint16
	// close is the offset of the object's closing brace.
	close  int
	stream bool
	// usage is include_usage of stream_options: its value and span.
	usage      bool
	usageSpan  span
	optionsNil bool
	nest       nest
}

// span is half open; the zero span is absent (no value starts at offset 0).
type span struct{ start, end int }

// Scan reads body to its end. It returns a *call.Error of status 400 when the
// body is not one JSON object, when a member that the gateway reads or strips
// stands there twice, or when model or stream have an impossible type.
func (r *Request) Scan(body []byte) error {
	r.body = body
	if cap(r.entries) > 256 {
		r.entries = nil // one odd request must not pin its memory
	}
	r.entries = r.entries[:0]
	r.at = [members]uint16{}
	r.stream, r.usage, r.usageSpan, r.optionsNil = false, false, span{}, false

	if len(body) > math.MaxInt32 {
		return invalid("", "Invalid request format: the body is larger than 2 GiB")
	}
	c := cursor{b: body, bad: -1, nest: &r.nest}
	if !c.space() {
		return invalid("", "Invalid request format: the body is empty, a JSON object is expected")
	}
	if body[c.i] != '{' {
		return r.notObject(&c)
	}
	for k, ok := c.first(); ok; k, ok = c.next() {
		e := entry{name: int32(k.start), nameEnd: int32(k.end), value: int32(c.i), escaped: k.escaped}
		e.member = lookupKey(body[k.start:k.end], k.escaped)
		if e.member != other {
			if r.at[e.member] != 0 {
				return invalid(names[e.member], fmt.Sprintf("duplicate key %q in request body", names[e.member]))
			}
			r.at[e.member] = uint16(len(r.entries) + 1)
		} else if foldsModel(body[k.start:k.end], k.escaped) {
			return invalid(names[Model], `a key differs from "model" in upper and lower case only: write "model"`)
		}
		switch e.member {
		case StreamOptions:
			if err := r.options(&c); err != nil {
				return err
			}
		case Stream:
			if c.skip() {
				switch string(body[e.value:c.i]) {
				case "true":
					r.stream = true
				case "false", "null":
				default:
					return invalid("stream", "Invalid value for 'stream': expected true or false")
				}
			}
		case Model:
			if c.skip() && body[e.value] != '"' {
				return invalid("model", "'model' must be a string.")
			}
		default:
			c.skip()
		}
		if c.bad >= 0 {
			break
		}
		e.end = int32(c.i)
		if len(r.entries) == MaxMembers {
			return invalid("", fmt.Sprintf("Invalid request format: more than %d top-level members", MaxMembers))
		}
		r.entries = append(r.entries, e)
	}
	if c.bad >= 0 {
		return malformed(&c)
	}
	r.close = c.i - 1
	if c.space() {
		return invalid("request_body", fmt.Sprintf("Invalid JSON payload: unexpected text behind the JSON object at byte %d", c.i))
	}
	return nil
}

// options reads stream_options at the cursor.
func (r *Request) options(c *cursor) error {
	if c.b[c.i] == 'n' {
		r.optionsNil = true
		c.skip()
		return nil
	}
	if c.b[c.i] != '{' {
		return invalid("stream_options", "Invalid type for 'stream_options': expected an object")
	}
	for k, ok := c.first(); ok; k, ok = c.next() {
		start := c.i
		if !c.skip() {
			return nil
		}
		if !keyIs(c.b[k.start:k.end], k.escaped, "include_usage") {
			continue
		}
		if r.usageSpan.end != 0 {
			return invalid("stream_options", `duplicate key "include_usage" in stream_options`)
		}
		r.usageSpan = span{start, c.i}
		r.usage = string(c.b[start:c.i]) == "true"
	}
	return nil
}

// notObject tells broken JSON from JSON of another kind.
func (r *Request) notObject(c *cursor) error {
	if !c.skip() {
		return malformed(c)
	}
	if c.space() {
		return invalid("request_body", fmt.Sprintf("Invalid JSON payload: unexpected text at byte %d", c.i))
	}
	return invalid("", "Invalid request format: the body must be a JSON object")
}

func invalid(param, message string) error {
	return call.NewError(http.StatusBadRequest, "invalid_request_error", param, message)
}

func malformed(c *cursor) error {
	switch {
	case c.deep:
		return invalid("", fmt.Sprintf("Invalid request format: the body is nested deeper than %d levels", MaxDepth))
	case c.bad >= len(c.b):
		return invalid("request_body", fmt.Sprintf("Invalid JSON payload: the JSON body ends too early, after %d bytes", len(c.b)))
	}
	return invalid("request_body", fmt.Sprintf("Invalid JSON payload: the body is not valid JSON at byte %d", c.bad))
}

// lookupKey finds the member of a name as written.
func lookupKey(raw []byte, escaped bool) Member {
	if !escaped {
		return lookup(raw)
	}
	// An escape takes at most six bytes for one, and no known name is longer
	// than the buffer.
	const longest = 48
	if len(raw) > 6*longest {
		return other
	}
	var buf [6 * longest]byte
	return lookup(appendUnescaped(buf[:0], raw))
}

// foldsModel reports whether a name is "model" in other letters. Such a member
// would pass as an unknown one, and an upstream whose decoder ignores case,
// which Go's does, would serve it instead of the model that was checked here.
func foldsModel(raw []byte, escaped bool) bool {
	const name = "model"
	if escaped {
		if len(raw) > 6*len(name) {
			return false
		}
		var buf [6 * len(name)]byte
		raw = appendUnescaped(buf[:0], raw)
	}
	if len(raw) != len(name) {
		return false
	}
	for i, c := range raw {
		if c|0x20 != name[i] {
			return false
		}
	}
	return true
}

// keyIs compares a name as written.
func keyIs(raw []byte, escaped bool, name string) bool {
	if !escaped {
		return string(raw) == name
	}
	if len(raw) > 6*len(name) {
		return false
	}
	var buf [128]byte
	return string(appendUnescaped(buf[:0], raw)) == name
}

// Body returns the scanned body.
func (r *Request) Body() []byte { return r.body }

// Each calls visit for every top-level member, in the order of the body, with
// its name and value as they are written.
func (r *Request) Each(visit func(m Member, name, value []byte)) {
	for i := range r.entries {
		e := &r.entries[i]
		visit(e.member, r.body[e.name:e.nameEnd], r.body[e.value:e.end])
	}
}

// Has reports whether the member is present, null included.
func (r *Request) Has(m Member) bool { return r.at[m] != 0 }

// Raw returns the bytes of the member's value, or nil when it is absent.
func (r *Request) Raw(m Member) []byte {
	if r.at[m] == 0 {
		return nil
	}
	e := &r.entries[r.at[m]-1]
	return r.body[e.value:e.end]
}

// Text returns the text of a member whose value is a string. Without escapes it
// is part of the body and must not be changed.
func (r *Request) Text(m Member) (text []byte, ok bool) {
	raw := r.Raw(m)
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	raw = raw[1 : len(raw)-1]
	for _, c := range raw {
		if c == '\\' {
			return appendUnescaped(nil, raw), true
		}
	}
	return raw, true
}

// Number returns the value of a member that is a number, or a string that
// holds nothing but one, as LiteLLM accepts for timeouts.
func (r *Request) Number(m Member) (value float64, ok bool) {
	raw := r.Raw(m)
	if len(raw) > 2 && raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	if len(raw) == 0 || len(raw) > 32 || !('0' <= raw[0] && raw[0] <= '9' || raw[0] == '-') {
		return 0, false
	}
	if n, ok := integer(raw); ok {
		return float64(n), true
	}
	value, err := strconv.ParseFloat(string(raw), 64)
	return value, err == nil
}

// Bool returns the value of a member that is true or false.
func (r *Request) Bool(m Member) (value, ok bool) {
	switch string(r.Raw(m)) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// Streams reports whether the client asked for server-sent events.
func (r *Request) Streams() bool { return r.stream }

// WantsUsage reports whether the client asked for the usage event.
func (r *Request) WantsUsage() bool { return r.usage }

// SetsUsage reports whether the client says anything about the usage event, be
// it yes or no.
func (r *Request) SetsUsage() bool { return r.usageSpan.end != 0 }

// MaxOutput returns the largest number of tokens the client allows for the
// answer, under any of the names in use, or 0.
func (r *Request) MaxOutput() int64 {
	for _, m := range [...]Member{MaxCompletionTokens, MaxOutputTokens, MaxTokens} {
		if raw := r.Raw(m); raw != nil {
			if n, ok := integer(raw); ok && n > 0 {
				return n
			}
		}
	}
	return 0
}

// PromptBytes returns the length of what the model will read, for an estimate
// of its tokens.
func (r *Request) PromptBytes() (n int) {
	for _, m := range [...]Member{Messages, Input, Prompt, Instructions, System, Tools} {
		n += len(r.Raw(m))
	}
	return n
}

// integer reads a plain decimal number.
func integer(raw []byte) (n int64, ok bool) {
	neg := len(raw) > 0 && raw[0] == '-'
	if neg {
		raw = raw[1:]
	}
	if len(raw) == 0 || len(raw) > 18 {
		return 0, false
	}
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}
