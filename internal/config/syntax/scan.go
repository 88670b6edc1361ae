package syntax

import "unicode/utf8"

type tokenKind uint8

const (
	tStreamEnd tokenKind = iota
	tDirective
	tDocStart
	tDocEnd
	tBlockSeqStart
	tBlockMapStart
	tBlockEnd
	tFlowSeqStart
	tFlowMapStart
	tFlowSeqEnd
	tFlowMapEnd
	tBlockEntry
	tFlowEntry
	tKey
	tValue
	tAlias
	tAnchor
	tTag
	tScalar
)

// word names a token in messages.
func (k tokenKind) word() string {
	switch k {
	case tStreamEnd:
		return "the end of the file"
	case tDirective:
		return `a "%" directive`
	case tDocStart:
		return `"---"`
	case tDocEnd:
		return `"..."`
	case tBlockSeqStart, tBlockEntry:
		return `a list item "-"`
	case tBlockMapStart, tKey:
		return "a key"
	case tBlockEnd:
		return "the end of the block"
	case tFlowSeqStart:
		return `"["`
	case tFlowMapStart:
		return `"{"`
	case tFlowSeqEnd:
		return `"]"`
	case tFlowMapEnd:
		return `"}"`
	case tFlowEntry:
		return `","`
	case tValue:
		return `":"`
	case tAlias:
		return "an alias"
	case tAnchor:
		return "an anchor"
	case tTag:
		return "a tag"
	default:
		return "a value"
	}
}

type token struct {
	kind       tokenKind
	style      Style
	start, end int
	value      string // scalar text, anchor and alias names, tag suffix, directive name
	handle     string // of a tag; the prefix in a %TAG directive
}

// simpleKey is a place where a key without "?" may turn out to have begun.
type simpleKey struct {
	ok, required bool
	token        int // number of the token that would be the key
	pos          int
	line         int // offset of the start of its line
}

// scanner turns the text into tokens. A "key:" is known to be a key only at its
// colon, so tokens are queued while one may still have to be put before them.
type scanner struct {
	text     string
	pos      int
	line     int // offset of the start of the current line
	flow     int // open brackets
	indent   int // column of the current block, -1 outside
	indents  []int
	queue    []token
	head     int // index into queue of the next token to hand out
	taken    int // tokens handed out
	done     bool
	allowKey bool
	keys     []simpleKey // one per flow level
	notes    []Note
}

func (s *scanner) note(kind NoteKind, at int, text string) {
	if len(s.notes) < maxNotes {
		s.notes = append(s.notes, Note{Kind: kind, Offset: at, Text: text})
	}
}

func (s *scanner) skipBOM() {
	const bom = "\ufeff"
	if len(s.text) >= len(bom) && s.text[:len(bom)] == bom {
		s.pos, s.line = len(bom), len(bom)
	}
}

func (s *scanner) fail(at, context int, code Code, problem, fix string) error {
	return &Error{Offset: at, Context: context, Code: code, Problem: problem, Fix: fix}
}

// at returns the byte at an offset from here, 0 at the end of the text. The text
// holds no zero bytes.
func (s *scanner) at(i int) byte {
	if s.pos+i < len(s.text) {
		return s.text[s.pos+i]
	}
	return 0
}

func (s *scanner) column() int { return s.pos - s.line }

// blank reports whether there is a blank, a line break or the end at pos+i.
func (s *scanner) blank(i int) bool {
	switch c := s.at(i); {
	case c == 0, c == ' ', c == '\t', c == '\n', c == '\r':
		return true
	case c < utf8.RuneSelf:
		return false
	}
	return lineBreak(s.text, s.pos+i) > 0
}

// newline steps over a line break and returns its text, empty if there is none.
func (s *scanner) newline() string {
	n := lineBreak(s.text, s.pos)
	if n == 0 {
		return ""
	}
	text := breakText(s.text, s.pos, n)
	s.pos += n
	s.line = s.pos
	return text
}

// peek returns the next token without taking it.
func (s *scanner) peek() (*token, error) {
	for {
		more, err := s.needMore()
		if err != nil {
			return nil, err
		}
		if !more {
			return &s.queue[s.head], nil
		}
		if err := s.fetch(); err != nil {
			return nil, err
		}
	}
}

// next takes the next token.
func (s *scanner) next() (token, error) {
	t, err := s.peek()
	if err != nil {
		return token{}, err
	}
	tok := *t
	s.head++
	s.taken++
	if s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
	}
	return tok, nil
}

func (s *scanner) needMore() (bool, error) {
	if s.done {
		return false, nil
	}
	if s.head == len(s.queue) {
		return true, nil
	}
	if err := s.dropStaleKeys(); err != nil {
		return false, err
	}
	for _, k := range s.keys {
		if k.ok && k.token == s.taken {
			return true, nil
		}
	}
	return false, nil
}

func (s *scanner) push(kind tokenKind, start, end int) {
	s.queue = append(s.queue, token{kind: kind, start: start, end: end})
}

func (s *scanner) insert(number int, t token) {
	i := s.head + number - s.taken
	s.queue = append(s.queue, token{})
	copy(s.queue[i+1:], s.queue[i:])
	s.queue[i] = t
}

// maxKey is the length up to which a key may stand without a "?" before it.
const maxKey = 1024

func (s *scanner) dropStaleKeys() error {
	for i := range s.keys {
		k := &s.keys[i]
		if !k.ok || k.line == s.line && s.pos-k.pos <= maxKey {
			continue
		}
		if k.line == s.line && utf8.RuneCountInString(s.text[k.pos:s.pos]) <= maxKey {
			continue
		}
		if k.required {
			return s.noColon(k)
		}
		k.ok = false
	}
	return nil
}

func (s *scanner) noColon(k *simpleKey) error {
	return s.fail(k.pos, -1, NoColon, `could not find expected ':' on this line`,
		`write "key: value" with a blank after the colon, or indent the line if it continues the one above`)
}

func (s *scanner) saveKey() error {
	if !s.allowKey {
		return nil
	}
	if err := s.removeKey(); err != nil {
		return err
	}
	s.keys[s.flow] = simpleKey{
		ok: true, required: s.flow == 0 && s.indent == s.column(),
		token: s.taken + len(s.queue) - s.head, pos: s.pos, line: s.line,
	}
	return nil
}

func (s *scanner) removeKey() error {
	k := &s.keys[s.flow]
	if k.ok && k.required {
		return s.noColon(k)
	}
	k.ok = false
	return nil
}

func (s *scanner) unwind(column int) {
	if s.flow > 0 {
		return
	}
	for s.indent > column {
		s.indent = s.indents[len(s.indents)-1]
		s.indents = s.indents[:len(s.indents)-1]
		s.push(tBlockEnd, s.pos, s.pos)
	}
}

func (s *scanner) addIndent(column int) bool {
	if s.indent >= column {
		return false
	}
	s.indents = append(s.indents, s.indent)
	s.indent = column
	return true
}

// toNextToken skips blanks, comments and line breaks.
func (s *scanner) toNextToken() error {
	for {
		switch c := s.at(0); {
		case c == ' ':
			s.pos++
		case c == '\t':
			if err := s.tab(); err != nil {
				return err
			}
		case c == '#':
			for s.pos < len(s.text) && lineBreak(s.text, s.pos) == 0 {
				s.pos++
			}
		default:
			if s.newline() == "" {
				return nil
			}
			if s.flow == 0 {
				s.allowKey = true
			}
		}
	}
}

// tab steps over a tab that only separates; in the indentation it is an error,
// because nobody can say how wide it is.
func (s *scanner) tab() error {
	start := s.pos
	for s.at(0) == '\t' || s.at(0) == ' ' {
		s.pos++
	}
	indentation := s.flow == 0
	for i := s.line; i < start && indentation; i++ {
		indentation = s.text[i] == ' '
	}
	if indentation && s.at(0) != '#' && s.at(0) != 0 && lineBreak(s.text, s.pos) == 0 {
		return s.fail(start, -1, Tab, "a tab in the indentation; tabs are not allowed for indentation",
			"indent with blanks")
	}
	if s.flow == 0 {
		s.allowKey = false
	}
	s.note(TabBlank, start, "")
	return nil
}

// fetch puts at least one more token into the queue.
func (s *scanner) fetch() error {
	if err := s.toNextToken(); err != nil {
		return err
	}
	if err := s.dropStaleKeys(); err != nil {
		return err
	}
	s.unwind(s.column())
	c := s.at(0)
	if c == 0 {
		return s.fetchEnd()
	}
	if s.column() == 0 {
		if c == '%' {
			return s.fetchDirective()
		}
		if s.marker("---") || s.marker("...") {
			return s.fetchMarker()
		}
	}
	switch c {
	case '[', '{':
		return s.openFlow(c)
	case ']', '}':
		return s.closeFlow(c)
	case ',':
		if err := s.removeKey(); err != nil {
			return err
		}
		s.allowKey = true
		s.push(tFlowEntry, s.pos, s.pos+1)
		s.pos++
		return nil
	case '-':
		if s.blank(1) {
			return s.fetchIndicator(tBlockEntry, tBlockSeqStart, "a list item cannot begin here")
		}
	case '?':
		if s.flow > 0 || s.blank(1) {
			return s.fetchIndicator(tKey, tBlockMapStart, `a "? key" cannot begin here`)
		}
	case ':':
		if s.flow > 0 || s.blank(1) {
			return s.fetchValue()
		}
	case '*', '&':
		if err := s.saveKey(); err != nil {
			return err
		}
		s.allowKey = false
		return s.scanAnchor(c)
	case '!':
		if err := s.saveKey(); err != nil {
			return err
		}
		s.allowKey = false
		return s.scanTag()
	case '|', '>':
		if s.flow == 0 {
			if err := s.removeKey(); err != nil {
				return err
			}
			s.allowKey = true
			return s.scanBlockScalar(c)
		}
	case '\'', '"':
		if err := s.saveKey(); err != nil {
			return err
		}
		s.allowKey = false
		return s.scanQuoted(c)
	}
	if !s.startsPlain(c) {
		return s.cannotStart(c)
	}
	if err := s.saveKey(); err != nil {
		return err
	}
	s.allowKey = false
	return s.scanPlain()
}

func (s *scanner) cannotStart(c byte) error {
	what := string(rune(c))
	return s.fail(s.pos, -1, CannotStart, `"`+what+`" cannot start a value`,
		`put the value in quotes: "`+what+`..."`)
}

func (s *scanner) startsPlain(c byte) bool {
	switch c {
	case '-':
		return !s.blank(1)
	case '?', ':':
		return s.flow == 0 && !s.blank(1)
	case ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`':
		return false
	}
	return true
}

// marker reports whether a document marker stands at the start of this line.
func (s *scanner) marker(m string) bool {
	return s.pos+3 <= len(s.text) && s.text[s.pos:s.pos+3] == m && s.blank(3)
}

func (s *scanner) fetchEnd() error {
	s.unwind(-1)
	if err := s.removeKey(); err != nil {
		return err
	}
	s.allowKey = false
	for i := range s.keys {
		s.keys[i].ok = false
	}
	s.push(tStreamEnd, s.pos, s.pos)
	s.done = true
	return nil
}

func (s *scanner) fetchMarker() error {
	s.unwind(-1)
	if err := s.removeKey(); err != nil {
		return err
	}
	s.allowKey = false
	kind := tDocStart
	if s.at(0) == '.' {
		kind = tDocEnd
	}
	s.push(kind, s.pos, s.pos+3)
	s.pos += 3
	return nil
}

func (s *scanner) openFlow(c byte) error {
	if err := s.saveKey(); err != nil {
		return err
	}
	s.flow++
	if len(s.keys) <= s.flow {
		s.keys = append(s.keys, simpleKey{})
	}
	s.keys[s.flow] = simpleKey{}
	s.allowKey = true
	kind := tFlowSeqStart
	if c == '{' {
		kind = tFlowMapStart
	}
	s.push(kind, s.pos, s.pos+1)
	s.pos++
	return nil
}

func (s *scanner) closeFlow(c byte) error {
	if err := s.removeKey(); err != nil {
		return err
	}
	if s.flow > 0 {
		s.keys = s.keys[:s.flow]
		s.flow--
	}
	s.allowKey = false
	kind := tFlowSeqEnd
	if c == '}' {
		kind = tFlowMapEnd
	}
	s.push(kind, s.pos, s.pos+1)
	s.pos++
	return nil
}

// fetchIndicator handles "- " and "? ", which may open a block.
func (s *scanner) fetchIndicator(kind, opens tokenKind, problem string) error {
	if s.flow == 0 {
		if !s.allowKey {
			return s.fail(s.pos, -1, NotHere, problem, "put it on a line of its own, indented below its key, or quote the text")
		}
		if s.addIndent(s.column()) {
			s.push(opens, s.pos, s.pos)
		}
	}
	s.allowKey = kind == tBlockEntry || s.flow == 0
	if err := s.removeKey(); err != nil {
		return err
	}
	s.push(kind, s.pos, s.pos+1)
	s.pos++
	return nil
}

func (s *scanner) fetchValue() error {
	if k := &s.keys[s.flow]; k.ok {
		k.ok = false
		s.insert(k.token, token{kind: tKey, start: k.pos, end: k.pos})
		if s.flow == 0 && s.addIndent(k.pos-k.line) {
			s.insert(k.token, token{kind: tBlockMapStart, start: k.pos, end: k.pos})
		}
		s.allowKey = false
	} else {
		if s.flow == 0 {
			if !s.allowKey {
				return s.fail(s.pos, -1, NotHere, `a second "key:" cannot stand here: mapping values are not allowed in this place`,
					`check the indentation of this line and the one above; a text that holds ": " needs quotes`)
			}
			if s.addIndent(s.column()) {
				s.push(tBlockMapStart, s.pos, s.pos)
			}
		}
		s.allowKey = s.flow == 0
		if err := s.removeKey(); err != nil {
			return err
		}
	}
	s.push(tValue, s.pos, s.pos+1)
	s.pos++
	return nil
}
