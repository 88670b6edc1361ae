package syntax

import "strings"

// anchorEnd are the characters that may follow an anchor or alias directly.
const anchorEnd = "?:,]}%@`"

const wordChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_'
}

// scanAnchor reads &name or *name.
func (s *scanner) scanAnchor(c byte) error {
	start := s.pos
	s.pos++
	for isWord(s.at(0)) {
		s.pos++
	}
	name := s.text[start+1 : s.pos]
	if name == "" || !s.blank(0) && strings.IndexByte(anchorEnd, s.at(0)) < 0 {
		if c == '*' {
			fix := `put the value in quotes: "*..."`
			if s.blank(0) || strings.IndexByte(",]}#", s.at(0)) >= 0 {
				fix = `put it in quotes: "*"`
			}
			return s.fail(start, -1, BadAlias, `"*" starts a YAML alias`, fix)
		}
		return s.fail(start, -1, Other, `"&" starts a YAML anchor, and no name follows`, "put the value in quotes")
	}
	kind := tAnchor
	if c == '*' {
		kind = tAlias
	}
	s.queue = append(s.queue, token{kind: kind, start: start, end: s.pos, value: name})
	return nil
}

// tagChar reports whether a character may stand in a tag.
func tagChar(c byte) bool {
	return isWord(c) || c != 0 && strings.IndexByte(";/?:@&=+$,.!~*'()[]%", c) >= 0
}

// scanTag reads !name, !!name, !handle!name, !<uri> and the bare "!".
func (s *scanner) scanTag() error {
	start := s.pos
	bad := func() error {
		return s.fail(start, -1, Other, `"!" starts a YAML tag, and this is not one`, "put the value in quotes")
	}
	s.pos++
	t := token{kind: tTag, start: start}
	switch {
	case s.at(0) == '<':
		from := s.pos + 1
		for s.pos++; tagChar(s.at(0)); s.pos++ {
		}
		t.value = s.text[from:s.pos]
		if s.at(0) != '>' || t.value == "" {
			return bad()
		}
		s.pos++
	case s.blank(0):
		t.value = "!"
	default:
		t.handle = "!"
		from := s.pos
		for isWord(s.at(0)) {
			s.pos++
		}
		if s.at(0) == '!' {
			s.pos++
			t.handle = s.text[start:s.pos]
			from = s.pos
		}
		for tagChar(s.at(0)) {
			s.pos++
		}
		t.value = s.text[from:s.pos]
		if t.value == "" {
			return bad()
		}
	}
	if !s.blank(0) {
		return bad()
	}
	t.end = s.pos
	s.queue = append(s.queue, t)
	return nil
}

// fetchDirective reads a "%" line.
func (s *scanner) fetchDirective() error {
	s.unwind(-1)
	if err := s.removeKey(); err != nil {
		return err
	}
	s.allowKey = false
	start := s.pos
	for s.pos < len(s.text) && lineBreak(s.text, s.pos) == 0 {
		s.pos++
	}
	line := s.text[start:s.pos]
	if i := strings.Index(line, " #"); i >= 0 {
		line = line[:i]
	}
	if i := strings.IndexByte(line, '\t'); i >= 0 {
		s.note(TabBlank, start+i, "")
	}
	fields := strings.Fields(line[1:])
	t := token{kind: tDirective, start: start, end: s.pos}
	switch {
	case len(fields) == 0 || strings.Trim(fields[0], wordChars) != "":
		return s.fail(start, -1, CannotStart, `"%" cannot start a line here`, "put the value in quotes")
	case fields[0] == "YAML":
		if len(fields) != 2 || !strings.HasPrefix(fields[1], "1.") || len(fields[1]) == 2 || strings.Trim(fields[1][2:], "0123456789") != "" {
			return s.fail(start, -1, Other, "the file asks for a YAML version other than 1.1", "delete the %YAML line")
		}
	case fields[0] == "TAG":
		if len(fields) != 3 || !strings.HasPrefix(fields[1], "!") || !strings.HasSuffix(fields[1], "!") {
			return s.fail(start, -1, Other, "a %TAG line needs a handle and a prefix", "")
		}
		t.handle, t.value = fields[1], fields[2]
	}
	s.queue = append(s.queue, t)
	return nil
}
