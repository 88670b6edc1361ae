package migrate

import "slices"

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
