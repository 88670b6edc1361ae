package mock

import (
	"bytes"
	"strings"
)

// peeked are the members of a request that change the answer. Model and
// encoding are raw JSON text, quotes included.
type peeked struct {
	model        []byte
	stream       bool
	includeUsage bool
	maxTokens    int // 0 when absent
	base64       bool
	dimensions   int
	inputs       int // elements of an embedding input; 1 for a text
}

// peek walks the top level of one JSON object. It checks structure only as far
// as it must to find its members; the values of others are skipped, not read.
// The last of several equal members wins, as in most decoders.
func peek(body []byte) (peeked, bool) {
	p := peeked{inputs: 1}
	s := scanner{b: body}
	if !s.open('{') {
		return p, false
	}
	for first := true; ; first = false {
		key, more, ok := s.member(first)
		if !ok {
			return p, false
		}
		if !more {
			s.space()
			return p, s.i == len(s.b)
		}
		start := s.i
		if !s.skip() {
			return p, false
		}
		val := s.b[start:s.i]
		switch string(key) {
		case "model":
			if len(val) >= 2 && val[0] == '"' {
				p.model = val
			}
		case "stream":
			p.stream = string(val) == "true"
		case "stream_options":
			p.includeUsage = hasTrue(val, "include_usage")
		case "max_tokens", "max_completion_tokens", "max_output_tokens":
			p.maxTokens = atoi(val)
		case "dimensions":
			p.dimensions = atoi(val)
		case "encoding_format":
			p.base64 = string(val) == `"base64"`
		case "input":
			p.inputs = countInputs(val)
		}
	}
}

// hasTrue reports whether the object val has the member name with value true.
func hasTrue(val []byte, name string) bool {
	s := scanner{b: val}
	if !s.open('{') {
		return false
	}
	found := false
	for first := true; ; first = false {
		key, more, ok := s.member(first)
		if !ok || !more {
			return ok && found
		}
		start := s.i
		if !s.skip() {
			return false
		}
		if string(key) == name {
			found = string(s.b[start:s.i]) == "true"
		}
	}
}

// countInputs counts the texts of an embedding input: a list of texts or of
// token lists has one per element, a text or one token list is a single input.
func countInputs(val []byte) int {
	s := scanner{b: val}
	if !s.open('[') {
		return 1
	}
	n, numbers := 0, false
	for {
		s.space()
		if s.i < len(s.b) && s.b[s.i] == ']' {
			break
		}
		if n > 0 {
			if !s.take(',') {
				return 1
			}
			s.space()
		}
		if s.i < len(s.b) && (s.b[s.i] == '-' || s.b[s.i] >= '0' && s.b[s.i] <= '9') {
			numbers = true
		}
		if !s.skip() {
			return 1
		}
		n++
	}
	if numbers || n == 0 {
		return 1
	}
	return n
}

func atoi(val []byte) int {
	n := 0
	for _, c := range val {
		if c < '0' || c > '9' || n > 1<<24 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) open(c byte) bool {
	s.space()
	return s.take(c)
}

// member reads up to the value of the next member. more is false at the end of
// the object.
func (s *scanner) member(first bool) (key []byte, more, ok bool) {
	s.space()
	if s.take('}') {
		return nil, false, true
	}
	if !first {
		if !s.take(',') {
			return nil, false, false
		}
		s.space()
	}
	start := s.i
	if !s.str() {
		return nil, false, false
	}
	key = s.b[start+1 : s.i-1]
	s.space()
	if !s.take(':') {
		return nil, false, false
	}
	s.space()
	return key, true, true
}

// str skips a string, quotes included.
func (s *scanner) str() bool {
	if !s.take('"') {
		return false
	}
	for {
		j := bytes.IndexByte(s.b[s.i:], '"')
		if j < 0 {
			return false
		}
		end := s.i + j
		k := end
		for k > s.i && s.b[k-1] == '\\' {
			k--
		}
		s.i = end + 1
		if (end-k)%2 == 0 {
			return true
		}
	}
}

// skip skips one value of any kind.
func (s *scanner) skip() bool {
	if s.i >= len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case '"':
		return s.str()
	case '{', '[':
		depth := 0
		for s.i < len(s.b) {
			switch s.b[s.i] {
			case '"':
				if !s.str() {
					return false
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
				if depth == 0 {
					s.i++
					return true
				}
			}
			s.i++
		}
		return false
	}
	start := s.i
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return s.i > start
		}
		s.i++
	}
	return s.i > start
}

// NonceMark precedes the nonce of a request in its prompt. The nonce is 16
// lower-case hexadecimal digits; it comes back before the text of every
// content event, with the number of the event: "0123456789abcdef.7 ".
const NonceMark = "nonce:"

// NonceLen is the length of a nonce in a body.
const NonceLen = 16

func findNonce(body []byte) string {
	for {
		i := bytes.Index(body, []byte(NonceMark))
		if i < 0 {
			return ""
		}
		body = body[i+len(NonceMark):]
		if len(body) >= NonceLen && isHex(body[:NonceLen]) {
			return string(body[:NonceLen])
		}
	}
}

func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// validNonce admits only what needs no escaping in JSON.
func validNonce(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}
