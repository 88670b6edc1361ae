package migrate

import (
	"slices"
	"strings"
)

// An action is one change that a statement makes, as far as its words say. A
// statement of ALTER TABLE may hold several.
type action struct {
	kind   actionKind
	schema string
	table  string
	name   string // of the column, constraint, index, type or value
	to     string // the new name

	column     *columnDef
	constraint *constraintDef
	index      *indexDef
	def        *tableDef
	values     []string // of an enum

	ifExists     bool
	ifNotExists  bool
	concurrently bool
	// conditional: inside a DO block, which decides by itself.
	conditional bool
	stmt        int // which statement of the file
	pos         int // byte offset in the file
}

type actionKind int

const (
	actOther actionKind = iota
	actCreateTable
	actDropTable
	actRenameTable
	actAddColumn
	actDropColumn
	actRenameColumn
	actSetType
	actSetNotNull
	actDropNotNull
	actSetDefault
	actDropDefault
	actAddConstraint
	actDropConstraint
	actValidate
	actRenameConstraint
	actCreateIndex
	actDropIndex
	actRenameIndex
	actReindex
	actCreateType
	actAddValue
	actDropType
	actAlterTable // something else about a table
	actInsert
	actUpdate
	actDelete
	actTruncate
	actSet
	actVacuum
)

// columnDef is a column as a statement or the catalogue describes it, in the
// catalogue's words.
type columnDef struct {
	name      string
	typ       string
	notNull   bool
	def       string // "" is none
	serial    bool
	generated bool // GENERATED ALWAYS AS (…) STORED
	identity  bool
}

// constraintDef is a primary key, unique, foreign key or check constraint.
type constraintDef struct {
	name       string
	kind       byte // p, u, f, c
	columns    []string
	refTable   string
	refColumns []string
	onDelete   string
	onUpdate   string
	check      string
	notValid   bool
	usingIndex string
}

// indexDef is an index.
type indexDef struct {
	name    string
	table   string
	unique  bool
	method  string
	keys    []string // columns with their order, or expressions
	include []string
	where   string
	only    bool
	invalid bool // in the catalogue
}

// tableDef is a table with what hangs on it.
type tableDef struct {
	name        string
	columns     []*columnDef
	constraints []*constraintDef
	indexes     []*indexDef
	partitioned bool
	like        bool // CREATE TABLE … (LIKE …) or AS: its columns are not in the words
}

// ddl reads the actions of a script.
func ddl(sql string) []action {
	var list []action
	for i, st := range scan(sql) {
		list = append(list, statementActions(sql, st, i)...)
	}
	return list
}

func statementActions(sql string, st statement, n int) []action {
	p := &ddlReader{sql: sql, tokens: st.tokens}
	list := p.statement()
	if len(list) == 0 {
		list = []action{{kind: actOther}}
	}
	if st.starts("DO") {
		list = doActions(st)
	}
	for i := range list {
		list[i].stmt, list[i].pos = n, st.start
	}
	return list
}

// doActions reads what a DO block does behind its own conditions: the
// statements behind BEGIN, THEN and ELSE.
func doActions(st statement) []action {
	var list []action
	for _, inner := range scan(st.body) {
		tokens := inner.tokens
		depth, from := 0, 0
		for i, t := range tokens {
			switch {
			case t.kind == tokenPunct && t.text == "(":
				depth++
			case t.kind == tokenPunct && t.text == ")":
				depth--
			case depth == 0 && t.kind == tokenWord && slices.Contains([]string{"THEN", "BEGIN", "ELSE", "LOOP"}, t.text):
				from = i + 1
			}
		}
		p := &ddlReader{sql: st.body, tokens: tokens[from:]}
		for _, a := range p.statement() {
			a.conditional = true
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		list = []action{{kind: actOther, conditional: true}}
	}
	return list
}

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

func (p *ddlReader) statement() []action {
	switch {
	case p.accept("CREATE"):
		return p.create()
	case p.accept("ALTER"):
		return p.alter()
	case p.accept("DROP"):
		return p.drop()
	case p.accept("INSERT", "INTO"):
		s, t := p.qualified()
		return []action{{kind: actInsert, schema: s, table: t}}
	case p.accept("UPDATE"):
		p.accept("ONLY")
		s, t := p.qualified()
		return []action{{kind: actUpdate, schema: s, table: t}}
	case p.accept("DELETE", "FROM"):
		p.accept("ONLY")
		s, t := p.qualified()
		return []action{{kind: actDelete, schema: s, table: t}}
	case p.accept("TRUNCATE"):
		p.accept("TABLE")
		p.accept("ONLY")
		s, t := p.qualified()
		return []action{{kind: actTruncate, schema: s, table: t}}
	case p.accept("SET"):
		p.accept("SESSION")
		local := p.accept("LOCAL")
		return []action{{kind: actSet, name: p.ident(), conditional: local}}
	case p.accept("REINDEX"):
		p.i = p.until(func(t token) bool {
			return t.kind == tokenWord && slices.Contains([]string{"INDEX", "TABLE"}, t.text)
		})
		isTable := p.peek("TABLE")
		p.i++
		a := action{kind: actReindex, concurrently: p.accept("CONCURRENTLY")}
		if s, n := p.qualified(); isTable {
			a.schema, a.table = s, n
		} else {
			a.schema, a.name = s, n
		}
		return []action{a}
	case p.accept("VACUUM"), p.accept("CLUSTER"):
		return []action{{kind: actVacuum}}
	case p.accept("ANALYZE"), p.accept("SELECT"), p.accept("COMMENT"):
		return nil
	}
	return nil
}

func (p *ddlReader) create() []action {
	p.accept("OR", "REPLACE")
	if p.accept("TABLE") || p.accept("UNLOGGED", "TABLE") {
		return p.createTable()
	}
	if p.accept("TYPE") {
		s, n := p.qualified()
		if !p.accept("AS", "ENUM") {
			return []action{{kind: actOther, schema: s, name: n}}
		}
		return []action{{kind: actCreateType, schema: s, name: n, values: p.strings()}}
	}
	unique := p.accept("UNIQUE")
	if p.accept("INDEX") {
		return p.createIndex(unique)
	}
	return nil
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

// finish names what the statement left to the server and marks the columns of
// the primary key.
func (d *tableDef) finish() {
	for _, c := range d.constraints {
		c.setName(d.name)
		if c.kind == 'p' {
			for _, n := range c.columns {
				if col := d.column(n); col != nil {
					col.notNull = true
				}
			}
		}
	}
}

func (d *tableDef) column(name string) *columnDef {
	for _, c := range d.columns {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (c *constraintDef) setName(table string) {
	if c.name != "" {
		return
	}
	suffix := map[byte]string{'p': "pkey", 'u': "key", 'f': "fkey", 'c': "check"}[c.kind]
	first := ""
	if c.kind != 'p' {
		first = strings.Join(c.columns, "_")
	}
	c.name = objectName(table, first, suffix)
}

// objectName makes a name as the server does for what has none: the longer of
// the two parts is cut until all fits into 63 bytes.
func objectName(a, b, suffix string) string {
	over := len(suffix) + 1
	if b != "" {
		over++
	}
	la, lb := len(a), len(b)
	for la+lb+over > 63 {
		if la > lb {
			la--
		} else {
			lb--
		}
	}
	name := a[:la]
	if b != "" {
		name += "_" + b[:lb]
	}
	return name + "_" + suffix
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

func (p *ddlReader) drop() []action {
	a := action{}
	switch {
	case p.accept("TABLE"):
		a.kind = actDropTable
	case p.accept("INDEX"):
		a.kind, a.concurrently = actDropIndex, p.accept("CONCURRENTLY")
	case p.accept("TYPE"):
		a.kind = actDropType
	default:
		return nil
	}
	a.ifExists = p.accept("IF", "EXISTS")
	var list []action
	for {
		one := a
		s, n := p.qualified()
		if n == "" {
			return list
		}
		one.schema, one.name = s, n
		if a.kind == actDropTable {
			one.table, one.name = n, ""
		}
		list = append(list, one)
		if !p.punct(",") {
			return list
		}
	}
}

func (p *ddlReader) alter() []action {
	switch {
	case p.accept("TABLE"):
		return p.alterTable()
	case p.accept("INDEX"):
		a := action{kind: actRenameIndex, ifExists: p.accept("IF", "EXISTS")}
		a.schema, a.name = p.qualified()
		if p.accept("RENAME", "TO") {
			a.to = p.ident()
			return []action{a}
		}
	case p.accept("TYPE"):
		s, n := p.qualified()
		if p.accept("ADD", "VALUE") {
			a := action{kind: actAddValue, schema: s, name: n, ifNotExists: p.accept("IF", "NOT", "EXISTS")}
			a.values = p.strings()
			if len(a.values) > 1 {
				a.values = a.values[:1] // BEFORE or AFTER another one
			}
			return []action{a}
		}
	}
	return nil
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
