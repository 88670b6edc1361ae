package syntax

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

func (s *scanner) scalar(style Style, start, end int, value string) {
	s.queue = append(s.queue, token{kind: tScalar, style: style, start: start, end: end, value: value})
}

// scanPlain reads an unquoted scalar, which may go on over lines.
func (s *scanner) scanPlain() error {
	start, end := s.pos, s.pos
	indent := s.indent + 1
	var folded []byte // set from the second piece on
	first := ""
	gap := ""
	for s.at(0) != '#' {
		from := s.pos
		s.plainRun()
		if s.pos == from {
			break
		}
		s.allowKey = false
		switch {
		case from == start:
			first = s.text[from:s.pos]
		default:
			if folded == nil {
				folded = append(folded, first...)
			}
			folded = append(folded, gap...)
			folded = append(folded, s.text[from:s.pos]...)
		}
		end = s.pos
		var more bool
		gap, more = s.plainGap(indent)
		if !more || s.at(0) == '#' || s.flow == 0 && s.column() < indent {
			break
		}
	}
	if folded != nil {
		first = string(folded)
	}
	s.scalar(Plain, start, end, first)
	return nil
}

// plainRun steps over the characters of a plain scalar up to a blank or an
// indicator that ends it.
func (s *scanner) plainRun() {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			return
		case ':':
			if s.blank(1) || s.flow > 0 && strings.IndexByte(",[]{}", s.at(1)) >= 0 {
				return
			}
		case ',', '[', ']', '{', '}':
			if s.flow > 0 {
				return
			}
		case '?':
			if s.flow > 0 {
				s.note(QuestionMark, s.pos, "")
			}
		case 0xC2, 0xE2:
			if lineBreak(s.text, s.pos) > 0 {
				return
			}
		}
		s.pos++
	}
}

// plainGap steps over blanks and line breaks inside a plain scalar and returns
// what they fold to. more is false when there are none, or when the document
// ends here.
func (s *scanner) plainGap(indent int) (gap string, more bool) {
	from := s.pos
	tabs := -1
	for s.at(0) == ' ' || s.at(0) == '\t' {
		if s.at(0) == '\t' && tabs < 0 {
			tabs = s.pos
		}
		s.pos++
	}
	if tabs >= 0 {
		s.note(TabBlank, tabs, "")
	}
	if lineBreak(s.text, s.pos) == 0 {
		return s.text[from:s.pos], s.pos > from
	}
	first := s.newline()
	s.allowKey = true
	if s.marker("---") || s.marker("...") {
		return "", false
	}
	var breaks strings.Builder
	for {
		if s.at(0) == ' ' {
			s.pos++
			continue
		}
		if s.at(0) == '\t' && (s.flow > 0 || s.column() >= indent) {
			s.note(TabBlank, s.pos, "")
			s.pos++
			continue
		}
		br := s.newline()
		if br == "" {
			break
		}
		breaks.WriteString(br)
		if s.marker("---") || s.marker("...") {
			return "", false
		}
	}
	return fold(first, breaks.String()), true
}

// fold is what a line break and the breaks after it turn into.
func fold(first, rest string) string {
	switch {
	case first != "\n":
		return first + rest
	case rest == "":
		return " "
	default:
		return rest
	}
}

// scanQuoted reads a scalar in single or double quotes.
func (s *scanner) scanQuoted(quote byte) error {
	start := s.pos
	s.pos++
	style := SingleQuoted
	if quote == '"' {
		style = DoubleQuoted
	}
	// The common case holds no escapes and no line breaks: no copy.
	for i := s.pos; i < len(s.text); i++ {
		c := s.text[i]
		if c == quote && !(quote == '\'' && i+1 < len(s.text) && s.text[i+1] == '\'') {
			value := s.text[s.pos:i]
			s.pos = i + 1
			s.scalar(style, start, s.pos, value)
			return nil
		}
		if c == quote || c == '\\' || c == '\n' || c == '\r' || c >= utf8.RuneSelf {
			break
		}
	}
	var b strings.Builder
	for {
		if err := s.quotedRun(quote, start, &b); err != nil {
			return err
		}
		if s.at(0) == quote {
			s.pos++
			s.scalar(style, start, s.pos, b.String())
			return nil
		}
		if err := s.quotedGap(quote, start, &b); err != nil {
			return err
		}
	}
}

// quotedRun reads up to a blank, a line break, the end or the closing quote.
func (s *scanner) quotedRun(quote byte, start int, b *strings.Builder) error {
	for {
		c := s.at(0)
		switch {
		case s.blank(0):
			return nil
		case c == quote && quote == '\'' && s.at(1) == '\'':
			b.WriteByte('\'')
			s.pos += 2
		case c == quote:
			return nil
		case c == '\\' && quote == '"':
			if err := s.escape(start, b); err != nil {
				return err
			}
		default:
			b.WriteByte(c)
			s.pos++
		}
	}
}

func (s *scanner) quotedGap(quote byte, start int, b *strings.Builder) error {
	from := s.pos
	for s.at(0) == ' ' || s.at(0) == '\t' {
		s.pos++
	}
	if s.at(0) == 0 {
		return s.fail(start, -1, Other, "the text that begins here has no closing "+string(rune(quote)), "add the closing quote")
	}
	first := s.newline()
	if first == "" {
		b.WriteString(s.text[from:s.pos])
		return nil
	}
	rest, err := s.quotedBreaks(quote, start)
	if err != nil {
		return err
	}
	b.WriteString(fold(first, rest))
	return nil
}

func (s *scanner) quotedBreaks(quote byte, start int) (string, error) {
	var breaks strings.Builder
	for {
		if s.column() == 0 && (s.marker("---") || s.marker("...")) {
			return "", s.fail(start, -1, Other, "the text that begins here has no closing "+string(rune(quote))+" before the document ends",
				"add the closing quote")
		}
		for s.at(0) == ' ' || s.at(0) == '\t' {
			s.pos++
		}
		br := s.newline()
		if br == "" {
			return breaks.String(), nil
		}
		breaks.WriteString(br)
	}
}

var escapes = map[byte]string{
	'0': "\x00", 'a': "\a", 'b': "\b", 't': "\t", '\t': "\t", 'n': "\n", 'v': "\v", 'f': "\f", 'r': "\r",
	'e': "\x1b", ' ': " ", '"': `"`, '\\': `\`, '/': "/", 'N': "\u0085", '_': "\u00a0", 'L': "\u2028", 'P': "\u2029",
}

func (s *scanner) escape(start int, b *strings.Builder) error {
	at := s.pos
	s.pos++
	c := s.at(0)
	if text, ok := escapes[c]; ok && c != 0 {
		b.WriteString(text)
		s.pos++
		return nil
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if digits > 0 {
		s.pos++
		r, ok := s.hex(digits)
		if !ok || r > utf8.MaxRune {
			return s.fail(at, -1, Other, `"\`+string(rune(c))+`" needs `+itoa(digits)+" hexadecimal digits of a character",
				`write "\\" for a backslash, or use single quotes`)
		}
		// A pair of surrogates is how JSON writes one character.
		if utf16.IsSurrogate(r) && s.at(0) == '\\' && s.at(1) == 'u' {
			s.pos += 2
			if low, ok := s.hex(4); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
				r = utf16.DecodeRune(r, low)
			} else {
				s.pos = at + 6
			}
		}
		b.WriteRune(r)
		return nil
	}
	if s.newline() != "" {
		breaks, err := s.quotedBreaks('"', start)
		b.WriteString(breaks)
		return err
	}
	if s.at(0) == 0 {
		return s.fail(start, -1, Other, `the text that begins here has no closing "`, "add the closing quote")
	}
	r, _ := utf8.DecodeRuneInString(s.text[s.pos:])
	return s.fail(at, -1, Other, `"\`+string(r)+`" is not an escape of a text in double quotes`,
		`write "\\" for a backslash, or use single quotes`)
}

// hex reads exactly n hexadecimal digits.
func (s *scanner) hex(n int) (rune, bool) {
	var v rune
	for range n {
		c := s.at(0)
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
		if v < 0 || v > 1<<27 {
			return 0, false
		}
		s.pos++
	}
	return v, true
}

// scanBlockScalar reads "|" and ">" texts.
func (s *scanner) scanBlockScalar(c byte) error {
	start := s.pos
	style := Literal
	if c == '>' {
		style = Folded
	}
	s.pos++
	chomp, increment := byte(0), 0
	for range 2 {
		switch c := s.at(0); {
		case (c == '+' || c == '-') && chomp == 0:
			chomp = c
			s.pos++
		case c >= '0' && c <= '9' && increment == 0:
			if c == '0' {
				return s.fail(s.pos, start, Other, "the indentation of a block text is 1 to 9, not 0", "")
			}
			increment = int(c - '0')
			s.pos++
		}
	}
	end := s.pos
	for s.at(0) == ' ' || s.at(0) == '\t' {
		if s.at(0) == '\t' {
			s.note(TabBlank, s.pos, "")
		}
		s.pos++
	}
	if s.at(0) == '#' && s.pos > end {
		for s.pos < len(s.text) && lineBreak(s.text, s.pos) == 0 {
			s.pos++
		}
	}
	if s.at(0) != 0 && lineBreak(s.text, s.pos) == 0 {
		return s.fail(s.pos, start, Other, `the text of "`+string(rune(c))+`" begins on the next line`,
			`move it there, or put the value in quotes if it starts with "`+string(rune(c))+`"`)
	}
	s.newline()
	indent := max(s.indent+1, 1)
	breaks := ""
	if increment > 0 {
		indent += increment - 1
		breaks = s.blockBreaks(indent)
	} else {
		var widest int
		breaks, widest = s.blockIndent()
		indent = max(indent, widest)
	}
	var b strings.Builder
	last := ""
	for s.column() == indent && s.at(0) != 0 {
		b.WriteString(breaks)
		flush := s.at(0) != ' ' && s.at(0) != '\t'
		from := s.pos
		for s.pos < len(s.text) && lineBreak(s.text, s.pos) == 0 {
			s.pos++
		}
		b.WriteString(s.text[from:s.pos])
		end = s.pos
		last = s.newline()
		breaks = s.blockBreaks(indent)
		if s.column() != indent || s.at(0) == 0 {
			break
		}
		switch {
		case style == Folded && last == "\n" && flush && s.at(0) != ' ' && s.at(0) != '\t':
			if breaks == "" {
				b.WriteByte(' ')
			}
		default:
			b.WriteString(last)
		}
	}
	if chomp != '-' {
		b.WriteString(last)
	}
	if chomp == '+' {
		b.WriteString(breaks)
	}
	s.scalar(style, start, end, b.String())
	return nil
}

// blockIndent finds the indentation of a block text from its first lines.
func (s *scanner) blockIndent() (breaks string, widest int) {
	var b strings.Builder
	for {
		if s.at(0) == ' ' {
			s.pos++
			widest = max(widest, s.column())
			continue
		}
		br := s.newline()
		if br == "" {
			return b.String(), widest
		}
		b.WriteString(br)
	}
}

func (s *scanner) blockBreaks(indent int) string {
	var b strings.Builder
	for {
		for s.column() < indent && s.at(0) == ' ' {
			s.pos++
		}
		br := s.newline()
		if br == "" {
			return b.String()
		}
		b.WriteString(br)
	}
}
