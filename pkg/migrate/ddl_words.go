package migrate

import "strings"

// ddlReader walks through the tokens of one statement.
type ddlReader struct {
	sql    string
	tokens []token
	i      int
}

func (p *ddlReader) peek(words ...string) bool {
	if len(p.tokens)-p.i < len(words) {
		return false
	}
	for j, w := range words {
		if t := p.tokens[p.i+j]; t.kind != tokenWord || t.text != w {
			return false
		}
	}
	return true
}

func (p *ddlReader) accept(words ...string) bool {
	if !p.peek(words...) {
		return false
	}
	p.i += len(words)
	return true
}

func (p *ddlReader) punct(text string) bool {
	if p.i < len(p.tokens) && p.tokens[p.i].kind == tokenPunct && p.tokens[p.i].text == text {
		p.i++
		return true
	}
	return false
}

func (p *ddlReader) done() bool { return p.i >= len(p.tokens) }

// ident reads a name, as the server folds and cuts it.
func (p *ddlReader) ident() string {
	if p.done() {
		return ""
	}
	t := p.tokens[p.i]
	switch t.kind {
	case tokenWord:
		p.i++
		return cutName(strings.ToLower(t.text))
	case tokenName:
		p.i++
		return cutName(t.text)
	}
	return ""
}

// cutName cuts a name to the 63 bytes that the server keeps of it.
func cutName(name string) string {
	if len(name) <= 63 {
		return name
	}
	end := 63
	for end > 0 && name[end]&0xc0 == 0x80 {
		end--
	}
	return name[:end]
}

func (p *ddlReader) qualified() (schema, name string) {
	name = p.ident()
	if name != "" && p.punct(".") {
		schema, name = name, p.ident()
	}
	return schema, name
}

// list reads (a, b, c) as names.
func (p *ddlReader) names() []string {
	var list []string
	if !p.punct("(") {
		return nil
	}
	for !p.done() && !p.punct(")") {
		if n := p.ident(); n != "" {
			list = append(list, n)
		} else {
			p.i++
		}
	}
	return list
}

// strings reads ('a', 'b').
func (p *ddlReader) strings() []string {
	var list []string
	p.punct("(")
	for ; p.i < len(p.tokens); p.i++ {
		if t := p.tokens[p.i]; t.kind == tokenString {
			list = append(list, unquote(p.sql[t.pos:t.end]))
		} else if isPunct(t, ")") {
			break
		}
	}
	return list
}

func unquote(s string) string {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "E"), "e")
	return strings.ReplaceAll(strings.Trim(s, "'"), "''", "'")
}

// until returns the index of the first token at this depth for which stop
// says so, or the end.
func (p *ddlReader) until(stop func(t token) bool) int {
	depth := 0
	for i := p.i; i < len(p.tokens); i++ {
		t := p.tokens[i]
		if depth == 0 && stop(t) {
			return i
		}
		if t.kind == tokenPunct {
			switch t.text {
			case "(", "[":
				depth++
			case ")", "]":
				if depth--; depth < 0 {
					return i
				}
			}
		}
	}
	return len(p.tokens)
}

// text is the source of the tokens from i to before j.
func (p *ddlReader) text(i, j int) string {
	if i >= j || i >= len(p.tokens) {
		return ""
	}
	return p.sql[p.tokens[i].pos:p.tokens[j-1].end]
}

func isPunct(t token, text string) bool { return t.kind == tokenPunct && t.text == text }
