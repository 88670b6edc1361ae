package migrate

import (
	"strings"
	"unicode/utf8"
)

// A token is one lexical piece of SQL that matters to us: a word, a quoted
// name, or a single character of punctuation. Strings, dollar quotes, numbers
// and comments are skipped, but strings leave a token so that they count as
// contents.
type token struct {
	kind tokenKind
	text string // words in upper case, names without their quotes
	pos  int    // byte offset
	end  int    // byte offset behind it
}

type tokenKind int

const (
	tokenWord tokenKind = iota
	tokenName           // "quoted"
	tokenString
	tokenPunct
)

// A statement is one SQL statement of a script, without its semicolon.
type statement struct {
	start, end int // byte offsets of its text, comments in front excluded
	tokens     []token
	body       string // the text of its last string or dollar quote, for DO
}

// scan cuts a script into statements the way PostgreSQL's own lexer sees it:
// semicolons inside strings, names, dollar quotes, comments, parentheses and
// SQL function bodies (BEGIN ATOMIC … END) do not end one. Text is never
// changed; a script that ends inside a quote is cut as far as it goes, and
// the server will say what is wrong with it.
func scan(sql string) []statement {
	s := scanner{sql: sql}
	return s.run()
}

type scanner struct {
	sql  string
	pos  int
	list []statement
	cur  statement

	parens int
	atomic int // depth of BEGIN ATOMIC … END and CASE … END
}

func (s *scanner) run() []statement {
	s.reset()
	for s.pos < len(s.sql) {
		start := s.pos
		c := s.sql[s.pos]
		switch {
		case isSpace(c):
			s.pos++
		case c == '-' && s.at(1) == '-':
			s.skipLine()
		case c == '/' && s.at(1) == '*':
			s.skipComment()
		case c == '\'':
			s.pos++
			s.skipString(false)
			s.addString(start, start+1)
		case (c == 'E' || c == 'e') && s.at(1) == '\'':
			s.pos += 2
			s.skipString(true)
			s.addString(start, start+2)
		case (c == 'U' || c == 'u') && s.at(1) == '&' && (s.at(2) == '\'' || s.at(2) == '"'):
			s.pos += 2 // the quote is next
			if s.sql[s.pos] == '"' {
				s.name(start)
				continue
			}
			s.pos++
			s.skipString(false)
			s.addString(start, start+3)
		case strings.IndexByte("BbXxNn", c) >= 0 && s.at(1) == '\'':
			s.pos += 2
			s.skipString(false)
			s.addString(start, start+2)
		case c == '"':
			s.name(start)
		case c == '$':
			s.dollar(start)
		case isWordStart(c):
			s.word(start)
		case c >= '0' && c <= '9':
			for s.pos < len(s.sql) && (isWordPart(s.sql[s.pos]) && s.sql[s.pos] != '$' || s.sql[s.pos] == '.') {
				s.pos++
			}
			s.add(tokenString, "", start)
		case c == ';' && s.parens <= 0 && s.atomic == 0:
			s.finish(start)
			s.pos++
		default:
			switch c {
			case '(':
				s.parens++
			case ')':
				s.parens--
			}
			s.pos++
			s.add(tokenPunct, string(c), start)
		}
	}
	s.finish(len(s.sql))
	return s.list
}

func (s *scanner) at(n int) byte {
	if s.pos+n < len(s.sql) {
		return s.sql[s.pos+n]
	}
	return 0
}

func (s *scanner) reset() {
	s.cur = statement{start: -1}
	s.parens, s.atomic = 0, 0
}

func (s *scanner) finish(end int) {
	if len(s.cur.tokens) > 0 {
		s.cur.end = end
		s.cur.end = s.cur.start + len(strings.TrimRight(s.sql[s.cur.start:end], " \t\r\n\f\v"))
		s.list = append(s.list, s.cur)
	}
	s.reset()
}

func (s *scanner) add(kind tokenKind, text string, pos int) {
	if s.cur.start < 0 {
		s.cur.start = pos
	}
	s.cur.tokens = append(s.cur.tokens, token{kind, text, pos, s.pos})
}

// addString notes a string whose contents begin at from and end before the
// closing quote at the current position.
func (s *scanner) addString(pos, from int) {
	s.add(tokenString, "", pos)
	if end := s.pos - 1; end > from {
		s.cur.body = s.sql[from:end]
	}
}

func (s *scanner) skipLine() {
	if i := strings.IndexAny(s.sql[s.pos:], "\n\r"); i >= 0 {
		s.pos += i
		return
	}
	s.pos = len(s.sql)
}

func (s *scanner) skipComment() {
	depth := 0
	for s.pos < len(s.sql) {
		switch {
		case s.sql[s.pos] == '/' && s.at(1) == '*':
			depth++
			s.pos += 2
		case s.sql[s.pos] == '*' && s.at(1) == '/':
			depth--
			s.pos += 2
			if depth == 0 {
				return
			}
		default:
			s.pos++
		}
	}
}

// skipString ends behind the closing quote. A string goes on after white
// space with a line break in it, by the same rules of escaping.
func (s *scanner) skipString(escapes bool) {
	for s.pos < len(s.sql) {
		switch c := s.sql[s.pos]; {
		case c == '\\' && escapes:
			s.pos = min(s.pos+2, len(s.sql))
		case c == '\'' && s.at(1) == '\'':
			s.pos += 2
		case c == '\'':
			s.pos++
			if !escapes {
				return
			}
			rest := s.sql[s.pos:]
			trimmed := strings.TrimLeft(rest, " \t\r\n\f\v")
			gap := rest[:len(rest)-len(trimmed)]
			if !strings.ContainsAny(gap, "\r\n") || !strings.HasPrefix(trimmed, "'") {
				return
			}
			s.pos += len(gap) + 1
		default:
			s.pos++
		}
	}
}

func (s *scanner) name(start int) {
	s.pos++
	var b strings.Builder
	for s.pos < len(s.sql) {
		if s.sql[s.pos] == '"' {
			if s.at(1) != '"' {
				s.pos++
				break
			}
			s.pos++
		}
		b.WriteByte(s.sql[s.pos])
		s.pos++
	}
	s.add(tokenName, b.String(), start)
}

// dollar skips $tag$ … $tag$, or takes the sign as what it is ($1).
func (s *scanner) dollar(start int) {
	i := s.pos + 1
	for i < len(s.sql) && isWordPart(s.sql[i]) && s.sql[i] != '$' {
		i++
	}
	tagStart := s.pos + 1
	if i >= len(s.sql) || s.sql[i] != '$' || i > tagStart && s.sql[tagStart] >= '0' && s.sql[tagStart] <= '9' {
		s.pos++
		s.add(tokenPunct, "$", start)
		return
	}
	tag := s.sql[s.pos : i+1]
	from := i + 1
	end := strings.Index(s.sql[from:], tag)
	if end < 0 {
		s.pos = len(s.sql)
		s.add(tokenString, "", start)
		return
	}
	s.pos = from + end + len(tag)
	s.add(tokenString, "", start)
	s.cur.body = s.sql[from : from+end]
}

func (s *scanner) word(start int) {
	for s.pos < len(s.sql) && isWordPart(s.sql[s.pos]) {
		s.pos++
	}
	word := strings.ToUpper(s.sql[start:s.pos])
	s.add(tokenWord, word, start)
	// A body in the SQL standard's form: CREATE FUNCTION … BEGIN ATOMIC … END.
	switch word {
	case "ATOMIC":
		if n := len(s.cur.tokens); n >= 2 && s.cur.tokens[n-2].text == "BEGIN" && s.cur.starts("CREATE") && s.atomic == 0 {
			s.atomic = 1
		}
	case "CASE":
		if s.atomic > 0 {
			s.atomic++
		}
	case "END":
		if s.atomic > 0 {
			s.atomic--
		}
	}
}

// starts reports whether the statement begins with these words.
func (st statement) starts(words ...string) bool {
	if len(st.tokens) < len(words) {
		return false
	}
	for i, w := range words {
		if st.tokens[i].kind != tokenWord || st.tokens[i].text != w {
			return false
		}
	}
	return true
}

// has reports whether a word stands anywhere in the statement, outside of
// quotes.
func (st statement) has(word string) bool {
	for _, t := range st.tokens {
		if t.kind == tokenWord && t.text == word {
			return true
		}
	}
	return false
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}

func isWordStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isWordPart(c byte) bool { return isWordStart(c) || c >= '0' && c <= '9' || c == '$' }

// lineOf turns a position that the server reports, in characters from 1, into
// a line of the text that was sent, from 1.
func lineOf(sql string, position int32) int {
	if position <= 0 {
		return 0
	}
	line, n := 1, int32(1)
	for i := 0; i < len(sql) && n < position; n++ {
		r, size := utf8.DecodeRuneInString(sql[i:])
		if r == '\n' {
			line++
		}
		i += size
	}
	return line
}
