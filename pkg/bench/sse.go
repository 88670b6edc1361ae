package bench

import (
	"bytes"
	"encoding/json"
)

// eventScanner finds the events of a stream and what matters in them, by byte
// search. Only events marked for validation are decoded.
type eventScanner struct {
	buf   []byte // bytes of the event that is not complete yet
	from  int    // where the search for its end goes on
	nonce string // expected before the text of every content event; "" when the target does not echo

	events   int
	content  int
	next     int // number expected in the next content event
	lost     int
	repeated int
	crossed  int
	done     bool
	failed   bool // an error event
	after    bool // something followed [DONE]
	prompt   int
	tokens   int
	reported bool // tokens come from the server's usage
	validate bool
	invalid  bool
	errText  []byte
}

func (s *eventScanner) reset(nonce string, validate bool) {
	*s = eventScanner{buf: s.buf[:0], nonce: nonce, validate: validate}
}

// maxEvent bounds one event; a larger one is a broken stream.
const maxEvent = 64 << 20

// feed takes the next bytes of the stream and reports how many content events
// they completed; ok is false when an event grows without end.
func (s *eventScanner) feed(b []byte) (content int, ok bool) {
	s.buf = append(s.buf, b...)
	start := 0
	for {
		end, next := eventEnd(s.buf, max(s.from, start))
		if end < 0 {
			break
		}
		if s.event(s.buf[start:end]) {
			content++
		}
		start, s.from = next, next
	}
	if start > 0 {
		s.buf = s.buf[:copy(s.buf, s.buf[start:])]
	}
	// The separator may be cut in two or, with \r\n, in four.
	s.from = max(0, len(s.buf)-3)
	return content, len(s.buf) <= maxEvent
}

// eventEnd finds the empty line after an event, from index i on.
func eventEnd(b []byte, i int) (end, next int) {
	for {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return -1, 0
		}
		i += j + 1
		rest := b[i:]
		if len(rest) > 0 && rest[0] == '\n' {
			return i, i + 1
		}
		if len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n' {
			return i, i + 2
		}
	}
}

var (
	dataField    = []byte("data:")
	doneMark     = []byte("[DONE]")
	contentKeys  = [][]byte{[]byte(`"content"`), []byte(`"reasoning_content"`), []byte(`"text"`), []byte(`"delta"`)}
	toolCallsKey = []byte(`"tool_calls"`)
	usageKey     = []byte(`"usage"`)
	errorKey     = []byte(`"error"`)
)

// event reads one event and reports whether it brought content.
func (s *eventScanner) event(e []byte) bool {
	i := bytes.Index(e, dataField)
	if i < 0 || i > 0 && e[i-1] != '\n' {
		return false // a comment, such as a keep-alive
	}
	data := bytes.TrimSpace(e[i+len(dataField):])
	if s.done {
		s.after = true
	}
	if bytes.Equal(data, doneMark) {
		s.done = true
		return false
	}
	s.events++
	if s.validate && !json.Valid(data) {
		s.invalid = true
	}
	content := hasContent(data)
	if content {
		s.content++
		s.checkNonce(data)
		return true
	}
	if k := bytes.Index(data, usageKey); k >= 0 {
		if n, ok := numberAfter(data[k:], `"completion_tokens"`); ok {
			s.tokens, s.reported = n, true
		}
		if n, ok := numberAfter(data[k:], `"prompt_tokens"`); ok {
			s.prompt = n
		}
	}
	if k := bytes.Index(data, errorKey); k >= 0 && k < 3 {
		s.failed = true
		s.errText = append(s.errText[:0], data[:min(len(data), 500)]...)
	}
	return false
}

// hasContent reports whether a chunk carries text or a tool call: a role, an
// empty text and a finish reason are none.
func hasContent(data []byte) bool {
	for _, key := range contentKeys {
		if v := valueAfter(data, key); len(v) > 1 && v[0] == '"' && v[1] != '"' {
			return true
		}
	}
	if v := valueAfter(data, toolCallsKey); len(v) > 1 && v[0] == '[' && v[1] != ']' {
		return true
	}
	return false
}

// valueAfter returns the bytes from the value of the first member called key.
func valueAfter(data, key []byte) []byte {
	i := bytes.Index(data, key)
	if i < 0 {
		return nil
	}
	v := data[i+len(key):]
	for len(v) > 0 && (v[0] == ' ' || v[0] == ':') {
		v = v[1:]
	}
	return v
}

func numberAfter(data []byte, key string) (int, bool) {
	v := valueAfter(data, []byte(key))
	n, digits := 0, 0
	for _, c := range v {
		if c < '0' || c > '9' || digits > 9 {
			break
		}
		n = n*10 + int(c-'0')
		digits++
	}
	return n, digits > 0
}

// checkNonce compares the nonce and the number that the mock writes into every
// content event with what this request must get next.
func (s *eventScanner) checkNonce(data []byte) {
	if s.nonce == "" {
		return
	}
	i := bytes.Index(data, []byte(s.nonce))
	if i < 0 || i+len(s.nonce) >= len(data) || data[i+len(s.nonce)] != '.' {
		s.crossed++
		return
	}
	n := 0
	for _, c := range data[i+len(s.nonce)+1:] {
		if c < '0' || c > '9' || n > 1<<30 {
			break
		}
		n = n*10 + int(c-'0')
	}
	switch {
	case n < s.next:
		s.repeated++
	default:
		s.lost += n - s.next
		s.next = n + 1
	}
}
