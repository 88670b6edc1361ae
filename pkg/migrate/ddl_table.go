package migrate

import (
	"slices"
	"strings"
)

func (p *ddlReader) createTable() []action {
	a := action{kind: actCreateTable, ifNotExists: p.accept("IF", "NOT", "EXISTS")}
	a.schema, a.table = p.qualified()
	d := &tableDef{name: a.table}
	a.def = d
	if p.accept("PARTITION", "OF") {
		a.kind = actOther
		return []action{a}
	}
	if !p.punct("(") {
		d.like = true
		return []action{a}
	}
	for !p.done() {
		end := p.until(func(t token) bool { return isPunct(t, ",") })
		q := &ddlReader{sql: p.sql, tokens: p.tokens[:end], i: p.i}
		switch {
		case q.peek("LIKE"):
			d.like = true
		case q.peek("CONSTRAINT"), q.peek("PRIMARY"), q.peek("UNIQUE"), q.peek("FOREIGN"), q.peek("CHECK"), q.peek("EXCLUDE"):
			if c := q.constraint(); c != nil {
				d.constraints = append(d.constraints, c)
			}
		default:
			c, more := q.columnDef()
			d.columns = append(d.columns, c)
			d.constraints = append(d.constraints, more...)
		}
		p.i = end
		if p.punct(")") {
			break
		}
		p.i++
	}
	for p.i < len(p.tokens) {
		if p.accept("PARTITION", "BY") {
			d.partitioned = true
			break
		}
		p.i++
	}
	d.finish()
	return []action{a}
}

var columnWords = []string{"NOT", "NULL", "DEFAULT", "PRIMARY", "UNIQUE", "REFERENCES", "CHECK", "CONSTRAINT", "COLLATE", "GENERATED", "USING", "STORAGE", "COMPRESSION"}

// columnDef reads name type [constraints].
func (p *ddlReader) columnDef() (*columnDef, []*constraintDef) {
	c := &columnDef{name: p.ident()}
	end := p.until(func(t token) bool {
		return t.kind == tokenWord && slices.Contains(columnWords, t.text) || isPunct(t, ",")
	})
	c.typ, c.serial = normalType(p.sql, p.tokens[min(p.i, end):end])
	if c.serial {
		c.notNull, c.def = true, serialDefault
	}
	p.i = end
	var list []*constraintDef
	name := ""
	for !p.done() {
		switch {
		case p.accept("CONSTRAINT"):
			name = p.ident()
			continue
		case p.accept("NOT", "NULL"):
			c.notNull = true
		case p.accept("NULL"):
		case p.accept("DEFAULT"):
			end := p.until(func(t token) bool {
				return t.kind == tokenWord && slices.Contains(columnWords, t.text) && t.text != "NULL" || isPunct(t, ",")
			})
			c.def = defaultExpr(p.text(p.i, end))
			p.i = end
		case p.accept("PRIMARY", "KEY"):
			list = append(list, &constraintDef{name: name, kind: 'p', columns: []string{c.name}})
		case p.accept("UNIQUE"):
			list = append(list, &constraintDef{name: name, kind: 'u', columns: []string{c.name}})
		case p.peek("REFERENCES"):
			k := &constraintDef{name: name, kind: 'f', columns: []string{c.name}}
			p.references(k)
			list = append(list, k)
		case p.accept("CHECK"):
			from := p.i
			p.punct("(")
			p.i = p.until(func(token) bool { return false })
			p.punct(")")
			list = append(list, &constraintDef{name: name, kind: 'c', columns: []string{c.name}, check: verbatim(p.text(from, p.i))})
		case p.accept("GENERATED"):
			p.accept("ALWAYS")
			p.accept("BY", "DEFAULT")
			p.accept("AS")
			if p.accept("IDENTITY") {
				c.identity, c.notNull = true, true
			} else {
				c.generated = true
			}
		default:
			p.i++
		}
		name = ""
	}
	return c, list
}

// references reads REFERENCES table(columns) with its actions.
func (p *ddlReader) references(k *constraintDef) {
	p.accept("REFERENCES")
	_, k.refTable = p.qualified()
	k.refColumns = p.names()
	for !p.done() {
		var action *string
		switch {
		case p.accept("ON", "DELETE"):
			action = &k.onDelete
		case p.accept("ON", "UPDATE"):
			action = &k.onUpdate
		case p.accept("NOT", "VALID"):
			k.notValid = true
			continue
		case p.peek("MATCH"), p.peek("DEFERRABLE"), p.peek("INITIALLY"):
			p.i++
			continue
		default:
			if p.peek("NOT") || p.peek("NULL") || p.peek("DEFAULT") || p.peek("UNIQUE") || p.peek("PRIMARY") || p.peek("CHECK") {
				return
			}
			p.i++
			continue
		}
		switch {
		case p.accept("SET", "NULL"):
			*action = "SET NULL"
		case p.accept("SET", "DEFAULT"):
			*action = "SET DEFAULT"
		case p.accept("NO", "ACTION"):
		default:
			*action = strings.ToUpper(p.ident())
		}
	}
}

// constraint reads [CONSTRAINT name] PRIMARY KEY | UNIQUE | FOREIGN KEY | CHECK.
func (p *ddlReader) constraint() *constraintDef {
	k := &constraintDef{}
	if p.accept("CONSTRAINT") {
		k.name = p.ident()
	}
	switch {
	case p.accept("PRIMARY", "KEY"):
		k.kind = 'p'
	case p.accept("UNIQUE"):
		k.kind = 'u'
	case p.accept("FOREIGN", "KEY"):
		k.kind = 'f'
		k.columns = p.names()
		p.references(k)
		return k
	case p.accept("CHECK"):
		k.kind = 'c'
		from := p.i
		p.punct("(")
		p.i = p.until(func(token) bool { return false })
		p.punct(")")
		k.check = verbatim(p.text(from, p.i))
		for !p.done() {
			if p.accept("NOT", "VALID") {
				k.notValid = true
				continue
			}
			p.i++
		}
		return k
	default:
		return nil
	}
	if p.accept("USING", "INDEX") {
		k.usingIndex = p.ident()
		return k
	}
	p.accept("NULLS", "NOT", "DISTINCT")
	k.columns = p.names()
	return k
}

func (p *ddlReader) alterTable() []action {
	base := action{ifExists: p.accept("IF", "EXISTS")}
	p.accept("ONLY")
	base.schema, base.table = p.qualified()
	if base.table == "" {
		return nil
	}
	tableMayLack := base.ifExists
	var list []action
	for !p.done() {
		end := p.until(func(t token) bool { return isPunct(t, ",") })
		q := &ddlReader{sql: p.sql, tokens: p.tokens[:end], i: p.i}
		a := base
		q.alterOne(&a)
		a.ifExists = a.ifExists || tableMayLack
		list = append(list, a)
		p.i = end + 1
	}
	return list
}

func (p *ddlReader) alterOne(a *action) {
	a.kind = actAlterTable
	switch {
	case p.accept("RENAME", "TO"):
		a.kind, a.to = actRenameTable, p.ident()
	case p.accept("RENAME", "CONSTRAINT"):
		a.kind, a.name = actRenameConstraint, p.ident()
		p.accept("TO")
		a.to = p.ident()
	case p.accept("RENAME"):
		p.accept("COLUMN")
		a.kind, a.name = actRenameColumn, p.ident()
		p.accept("TO")
		a.to = p.ident()
	case p.accept("VALIDATE", "CONSTRAINT"):
		a.kind, a.name = actValidate, p.ident()
	case p.accept("ADD"):
		if p.peek("CONSTRAINT") || p.peek("PRIMARY") || p.peek("UNIQUE") || p.peek("FOREIGN") || p.peek("CHECK") || p.peek("EXCLUDE") {
			if k := p.constraint(); k != nil {
				k.setName(a.table)
				a.kind, a.constraint, a.name = actAddConstraint, k, k.name
			}
			return
		}
		p.accept("COLUMN")
		a.ifNotExists = p.accept("IF", "NOT", "EXISTS")
		c, more := p.columnDef()
		a.kind, a.column, a.name = actAddColumn, c, c.name
		a.def = &tableDef{name: a.table, constraints: more}
		for _, k := range more {
			k.setName(a.table)
			if k.kind == 'p' {
				c.notNull = true
			}
		}
	case p.accept("DROP"):
		if p.accept("CONSTRAINT") {
			a.kind = actDropConstraint
		} else {
			p.accept("COLUMN")
			a.kind = actDropColumn
		}
		a.ifExists = p.accept("IF", "EXISTS") || a.ifExists
		a.name = p.ident()
	case p.accept("ALTER"):
		p.accept("COLUMN")
		a.name = p.ident()
		switch {
		case p.accept("SET", "DATA", "TYPE"), p.accept("TYPE"):
			end := p.until(func(t token) bool { return t.kind == tokenWord && slices.Contains(columnWords, t.text) })
			typ, _ := normalType(p.sql, p.tokens[min(p.i, end):end])
			a.kind, a.column = actSetType, &columnDef{name: a.name, typ: typ}
		case p.accept("SET", "NOT", "NULL"):
			a.kind = actSetNotNull
		case p.accept("DROP", "NOT", "NULL"):
			a.kind = actDropNotNull
		case p.accept("SET", "DEFAULT"):
			a.kind, a.column = actSetDefault, &columnDef{name: a.name, def: defaultExpr(p.text(p.i, len(p.tokens)))}
		case p.accept("DROP", "DEFAULT"):
			a.kind = actDropDefault
		}
	}
}
