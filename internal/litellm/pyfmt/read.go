package pyfmt

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Read reads the repr of a built-in Python value: None, booleans, numbers,
// strings, bytes, lists, tuples, dictionaries, and the float words nan and inf
// that repr writes. It gives nil, bool, int64 (or *big.Int), float64, string,
// []byte, []any, Tuple and Dict. Anything that would have to be evaluated is an
// error; errors name a byte offset and never quote the text, which may hold a
// secret.
func Read(text string) (any, error) {
	p := parser{s: text}
	p.blank()
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.blank()
	if p.i < len(p.s) {
		return nil, p.fail("text after the value")
	}
	return v, nil
}

type parser struct {
	s string
	i int
}

func (p *parser) fail(what string) error {
	return fmt.Errorf("reading a Python value at byte %d: %s", p.i, what)
}

func (p *parser) blank() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *parser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *parser) word(w string) bool {
	if !strings.HasPrefix(p.s[p.i:], w) {
		return false
	}
	if end := p.i + len(w); end < len(p.s) && isWord(p.s[end]) {
		return false
	}
	p.i += len(w)
	return true
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, p.fail("nested too deep")
	}
	switch c := p.peek(); {
	case c == '[':
		list, _, err := p.seq(']', depth)
		return list, err
	case c == '(':
		list, comma, err := p.seq(')', depth)
		if err == nil && len(list) == 1 && !comma {
			return list[0], nil // parentheses around one value are just that
		}
		return Tuple(list), err
	case c == '{':
		return p.dict(depth)
	case c == '\'' || c == '"':
		return p.str()
	case c == 'b' && p.i+1 < len(p.s) && (p.s[p.i+1] == '\'' || p.s[p.i+1] == '"'):
		p.i++
		return p.bytes()
	case c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9':
		return p.number()
	}
	switch {
	case p.word("None"):
		return nil, nil
	case p.word("True"):
		return true, nil
	case p.word("False"):
		return false, nil
	case p.word("nan"):
		return math.NaN(), nil
	case p.word("inf"):
		return math.Inf(1), nil
	case p.i >= len(p.s):
		return nil, p.fail("the text ends where a value should be")
	}
	return nil, p.fail("not a value")
}

func (p *parser) seq(right byte, depth int) (list []any, comma bool, err error) {
	p.i++
	list = []any{}
	for {
		p.blank()
		if p.peek() == right {
			p.i++
			return list, comma, nil
		}
		if len(list) > 0 && !comma {
			return nil, false, p.fail("a comma or closing bracket should be here")
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, false, err
		}
		list = append(list, v)
		p.blank()
		if comma = p.peek() == ','; comma {
			p.i++
		}
	}
}

func (p *parser) dict(depth int) (any, error) {
	p.i++
	d := Dict{}
	for comma := true; ; {
		p.blank()
		if p.peek() == '}' {
			p.i++
			return d, nil
		}
		if !comma {
			return nil, p.fail("a comma or closing brace should be here")
		}
		key, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		p.blank()
		if p.peek() != ':' {
			return nil, p.fail("a colon should be here")
		}
		p.i++
		p.blank()
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		d = append(d, Member{key, v})
		p.blank()
		if comma = p.peek() == ','; comma {
			p.i++
		}
	}
}

func (p *parser) number() (any, error) {
	start := p.i
	if c := p.peek(); c == '-' || c == '+' {
		p.i++
		if p.word("inf") {
			return math.Inf(1 - 2*strings.Count(p.s[start:start+1], "-")), nil
		}
	}
	digits := p.i
	float := false
	for p.i < len(p.s) {
		c := p.s[p.i]
		if c == '.' || c == 'e' || c == 'E' {
			float = true
		} else if (c == '-' || c == '+') && (p.s[p.i-1] == 'e' || p.s[p.i-1] == 'E') {
			float = true
		} else if c < '0' || c > '9' {
			break
		}
		p.i++
	}
	text := p.s[start:p.i]
	if p.i < len(p.s) && isWord(p.s[p.i]) {
		return nil, p.fail("not a number")
	}
	if float {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil && !math.IsInf(f, 0) {
			p.i = start
			return nil, p.fail("not a number")
		}
		return f, nil
	}
	if d := p.s[digits:p.i]; d == "" || len(d) > 1 && d[0] == '0' && strings.Trim(d, "0") != "" {
		p.i = start
		return nil, p.fail("not a number")
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if len(text) > 4300 { // Python's own limit
		p.i = start
		return nil, p.fail("a number of too many digits")
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		p.i = start
		return nil, p.fail("not a number")
	}
	return n, nil
}

func (p *parser) str() (any, error) {
	var b strings.Builder
	quote := p.s[p.i]
	p.i++
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == quote:
			p.i++
			return b.String(), nil
		case c == '\n':
			return nil, p.fail("a line ends inside a string")
		case c != '\\':
			b.WriteByte(c)
			p.i++
			continue
		}
		r, raw, err := p.escape(false)
		if err != nil {
			return nil, err
		}
		if raw {
			b.WriteByte(byte(r))
		} else if r >= 0 {
			b.WriteRune(r)
		}
	}
	return nil, p.fail("a string does not end")
}

func (p *parser) bytes() (any, error) {
	b := []byte{}
	quote := p.s[p.i]
	p.i++
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == quote:
			p.i++
			return b, nil
		case c == '\n' || c >= utf8.RuneSelf:
			return nil, p.fail("not a character of a bytes value")
		case c != '\\':
			b = append(b, c)
			p.i++
			continue
		}
		r, _, err := p.escape(true)
		if err != nil {
			return nil, err
		}
		if r >= 0 {
			b = append(b, byte(r))
		}
	}
	return nil, p.fail("a bytes value does not end")
}

// escape reads one backslash sequence. raw marks the surrogates that stand for
// a byte which is not UTF-8; -1 is an escaped end of line, which is nothing.
func (p *parser) escape(bytes bool) (r rune, raw bool, err error) {
	p.i++
	c := p.peek()
	p.i++
	switch c {
	case '\n':
		return -1, false, nil
	case '\\', '\'', '"':
		return rune(c), false, nil
	case 'n':
		return '\n', false, nil
	case 'r':
		return '\r', false, nil
	case 't':
		return '\t', false, nil
	case 'a':
		return '\a', false, nil
	case 'b':
		return '\b', false, nil
	case 'f':
		return '\f', false, nil
	case 'v':
		return '\v', false, nil
	case 'x':
		n, err := p.hex(2)
		return rune(n), false, err
	case 'u', 'U':
		if bytes {
			break
		}
		n, err := p.hex(map[byte]int{'u': 4, 'U': 8}[c])
		if err != nil {
			return 0, false, err
		}
		switch {
		case n >= 0xdc80 && n <= 0xdcff:
			return rune(n - 0xdc00), true, nil
		case n > utf8.MaxRune:
			return 0, false, p.fail("no such character")
		}
		return rune(n), false, nil // a lone surrogate becomes the replacement character
	}
	if c >= '0' && c <= '7' {
		n := rune(c - '0')
		for range 2 {
			if d := p.peek(); d >= '0' && d <= '7' {
				n = n*8 + rune(d-'0')
				p.i++
			}
		}
		if bytes {
			n &= 0xff
		}
		return n, false, nil
	}
	p.i -= 2
	return 0, false, p.fail("an escape sequence that is not known")
}

func (p *parser) hex(digits int) (uint64, error) {
	if p.i+digits > len(p.s) {
		return 0, p.fail("an escape sequence that is too short")
	}
	n, err := strconv.ParseUint(p.s[p.i:p.i+digits], 16, 32)
	if err != nil || p.s[p.i] == '+' {
		return 0, p.fail("an escape sequence that is not hexadecimal")
	}
	p.i += digits
	return n, nil
}
