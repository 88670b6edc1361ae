package migrate

import "strings"

func (p *ddlReader) createIndex(unique bool) []action {
	a := action{kind: actCreateIndex, concurrently: p.accept("CONCURRENTLY"), ifNotExists: p.accept("IF", "NOT", "EXISTS")}
	x := &indexDef{unique: unique, method: "btree"}
	if !p.peek("ON") {
		_, x.name = p.qualified()
	}
	if !p.accept("ON") {
		return nil
	}
	x.only = p.accept("ONLY")
	a.schema, x.table = p.qualified()
	if p.accept("USING") {
		x.method = p.ident()
	}
	x.keys = p.keys()
	for !p.done() {
		switch {
		case p.accept("INCLUDE"):
			x.include = p.names()
		case p.accept("WHERE"):
			x.where = verbatim(p.text(p.i, len(p.tokens)))
			p.i = len(p.tokens)
		default:
			p.i++
		}
	}
	a.table, a.name, a.index = x.table, x.name, x
	return []action{a}
}

// keys reads an index's key list: names with their order, expressions as text.
func (p *ddlReader) keys() []string {
	if !p.punct("(") {
		return nil
	}
	var list []string
	for !p.done() {
		end := p.until(func(t token) bool { return isPunct(t, ",") })
		list = append(list, normalKey(p.sql, p.tokens[p.i:end]))
		p.i = end
		if p.punct(")") {
			break
		}
		p.i++
	}
	return list
}

// normalKey writes one key of an index the way the catalogue does.
func normalKey(sql string, tokens []token) string {
	if len(tokens) == 0 {
		return ""
	}
	order := ""
	for n := len(tokens); n > 1; n = len(tokens) {
		last := tokens[n-1]
		if last.kind != tokenWord {
			break
		}
		if last.text == "ASC" {
			tokens = tokens[:n-1]
			continue
		}
		if last.text == "DESC" || last.text == "FIRST" || last.text == "LAST" || last.text == "NULLS" {
			order = " " + last.text + order
			tokens = tokens[:n-1]
			continue
		}
		break
	}
	// The defaults of each direction are left out.
	switch order {
	case " NULLS LAST":
		order = ""
	case " DESC NULLS FIRST":
		order = " DESC"
	}
	t := tokens[0]
	if len(tokens) == 1 {
		switch t.kind {
		case tokenName:
			return cutName(t.text) + order
		case tokenWord:
			return cutName(strings.ToLower(t.text)) + order
		}
	}
	return verbatim(sql[t.pos:tokens[len(tokens)-1].end]) + order
}
