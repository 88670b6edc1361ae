package migrate

import (
	"slices"
	"strings"
)

// model is a schema: what a chain of migrations makes of an empty one as far as
// its statements say, or what a database has. Statements that compute (DO with
// its own SQL, functions, data) leave no trace in it.
type model struct {
	tables map[string]*tableDef
	enums  map[string][]string
}

func newModel() *model {
	return &model{tables: map[string]*tableDef{}, enums: map[string][]string{}}
}

// simulate runs the migrations' statements over an empty model.
func simulate(list []Migration) *model {
	m := newModel()
	for _, one := range list {
		m.run(one)
	}
	return m
}

func (m *model) run(one Migration) {
	if one.absent || one.Err != nil {
		return
	}
	for _, a := range ddl(strings.TrimPrefix(one.SQL, "\ufeff")) {
		m.apply(a)
	}
}

func (m *model) apply(a action) {
	switch a.kind {
	case actCreateTable:
		if m.tables[a.table] == nil {
			d := *a.def
			d.columns, d.constraints = cloneColumns(d.columns), cloneConstraints(d.constraints)
			m.tables[a.table] = &d
		}
		return
	case actDropTable:
		delete(m.tables, a.table)
		for _, t := range m.tables { // CASCADE, or the statement would have failed
			t.dropConstraints(func(k *constraintDef) bool { return k.kind == 'f' && k.refTable == a.table })
		}
		return
	case actCreateType:
		m.enums[a.name] = slices.Clone(a.values)
		return
	case actAddValue:
		if v := m.enums[a.name]; !slices.Contains(v, first(a.values)) {
			m.enums[a.name] = append(v, a.values...)
		}
		return
	case actDropType:
		delete(m.enums, a.name)
		return
	case actDropIndex:
		for _, t := range m.tables {
			t.indexes = slices.DeleteFunc(t.indexes, func(x *indexDef) bool { return x.name == a.name })
		}
		return
	case actRenameIndex:
		for _, t := range m.tables {
			if t.index(a.to) != nil || t.constraint(a.to) != nil {
				return
			}
		}
		for _, t := range m.tables {
			if x := t.index(a.name); x != nil {
				x.name = a.to
			}
			if k := t.constraint(a.name); k != nil {
				k.name = a.to
			}
		}
		return
	}
	t := m.tables[a.table]
	if t == nil {
		return
	}
	switch a.kind {
	case actRenameTable:
		if m.tables[a.to] != nil {
			return
		}
		delete(m.tables, a.table)
		t.name, m.tables[a.to] = a.to, t
		for _, x := range t.indexes {
			x.table = a.to
		}
		for _, other := range m.tables {
			for _, k := range other.constraints {
				if k.refTable == a.table {
					k.refTable = a.to
				}
			}
		}
	case actAddColumn:
		if t.column(a.name) == nil {
			c := *a.column
			t.columns = append(t.columns, &c)
			t.constraints = append(t.constraints, cloneConstraints(a.def.constraints)...)
		}
	case actDropColumn:
		t.columns = slices.DeleteFunc(t.columns, func(c *columnDef) bool { return c.name == a.name })
		t.indexes = slices.DeleteFunc(t.indexes, func(x *indexDef) bool { return x.uses(a.name) })
		t.dropConstraints(func(k *constraintDef) bool { return slices.Contains(k.columns, a.name) })
		for _, other := range m.tables {
			other.dropConstraints(func(k *constraintDef) bool {
				return k.kind == 'f' && k.refTable == a.table && slices.Contains(k.refColumns, a.name)
			})
		}
	case actRenameColumn:
		c := t.column(a.name)
		if c == nil || t.column(a.to) != nil {
			return
		}
		c.name = a.to
		for _, x := range t.indexes {
			x.rename(a.name, a.to)
		}
		for _, k := range t.constraints {
			replace(k.columns, a.name, a.to)
		}
		for _, other := range m.tables {
			for _, k := range other.constraints {
				if k.refTable == a.table {
					replace(k.refColumns, a.name, a.to)
				}
			}
		}
	case actSetType:
		if c := t.column(a.name); c != nil {
			c.typ = a.column.typ
		}
	case actSetNotNull, actDropNotNull:
		if c := t.column(a.name); c != nil {
			c.notNull = a.kind == actSetNotNull
		}
	case actSetDefault:
		if c := t.column(a.name); c != nil {
			c.def = a.column.def
		}
	case actDropDefault:
		if c := t.column(a.name); c != nil {
			c.def = ""
		}
	case actAddConstraint:
		if t.constraint(a.name) != nil {
			return
		}
		k := *a.constraint
		k.columns, k.refColumns = slices.Clone(k.columns), slices.Clone(k.refColumns)
		if k.usingIndex != "" {
			if x := t.index(k.usingIndex); x != nil {
				k.columns = slices.Clone(x.keys)
				t.indexes = slices.DeleteFunc(t.indexes, func(o *indexDef) bool { return o == x })
			}
		}
		t.constraints = append(t.constraints, &k)
		if k.kind == 'p' {
			for _, n := range k.columns {
				if c := t.column(n); c != nil {
					c.notNull = true
				}
			}
		}
	case actValidate:
		if k := t.constraint(a.name); k != nil {
			k.notValid = false
		}
	case actDropConstraint:
		t.dropConstraints(func(k *constraintDef) bool { return k.name == a.name })
	case actRenameConstraint:
		if k := t.constraint(a.name); k != nil {
			k.name = a.to
		}
	case actCreateIndex:
		x := *a.index
		if x.name == "" {
			x.name = objectName(x.table, strings.Join(x.keys, "_"), "idx")
		}
		for _, other := range m.tables {
			if other.index(x.name) != nil {
				return
			}
		}
		x.keys = slices.Clone(x.keys)
		t.indexes = append(t.indexes, &x)
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func replace(list []string, from, to string) {
	for i := range list {
		if list[i] == from {
			list[i] = to
		}
	}
}

func cloneColumns(list []*columnDef) []*columnDef {
	out := make([]*columnDef, len(list))
	for i, c := range list {
		one := *c
		out[i] = &one
	}
	return out
}

func cloneConstraints(list []*constraintDef) []*constraintDef {
	out := make([]*constraintDef, len(list))
	for i, k := range list {
		one := *k
		one.columns, one.refColumns = slices.Clone(k.columns), slices.Clone(k.refColumns)
		out[i] = &one
	}
	return out
}

func (d *tableDef) index(name string) *indexDef {
	for _, x := range d.indexes {
		if x.name == name {
			return x
		}
	}
	return nil
}

func (d *tableDef) constraint(name string) *constraintDef {
	for _, k := range d.constraints {
		if k.name == name {
			return k
		}
	}
	return nil
}

func (d *tableDef) dropConstraints(drop func(*constraintDef) bool) {
	d.constraints = slices.DeleteFunc(d.constraints, drop)
}

// keyColumn is the column of a key without its order.
func keyColumn(key string) string {
	for _, order := range []string{" NULLS FIRST", " NULLS LAST", " DESC"} {
		key = strings.TrimSuffix(key, order)
	}
	return key
}

func (x *indexDef) uses(column string) bool {
	for _, k := range x.keys {
		if keyColumn(k) == column || !isIdentifier(keyColumn(k)) && mentions(k, column) {
			return true
		}
	}
	return slices.Contains(x.include, column) || mentions(x.where, column)
}

func (x *indexDef) rename(from, to string) {
	for i, k := range x.keys {
		if keyColumn(k) == from {
			x.keys[i] = to + strings.TrimPrefix(k, from)
		} else if !isIdentifier(keyColumn(k)) {
			x.keys[i] = renameIn(k, from, to)
		}
	}
	x.where = renameIn(x.where, from, to)
}

func quoteWord(name string) string {
	if isPlain(name) {
		return name
	}
	return `"` + name + `"`
}

// SQL of definitions, in the model's words.

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteNames(list []string) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = quoteName(n)
	}
	return strings.Join(out, ", ")
}

func (c *columnDef) sql() string {
	typ := c.typ
	if c.def == serialDefault {
		typ = map[string]string{"integer": "serial", "bigint": "bigserial", "smallint": "smallserial"}[typ]
	}
	if base := strings.TrimSuffix(typ, "[]"); strings.ToLower(base) != base && !strings.Contains(base, `"`) {
		typ = quoteName(base) + strings.TrimPrefix(typ, base)
	}
	out := quoteName(c.name) + " " + typ
	if c.notNull {
		out += " NOT NULL"
	}
	if c.def != "" && c.def != serialDefault {
		out += " DEFAULT " + c.def
	}
	return out
}

func (k *constraintDef) body() string {
	switch k.kind {
	case 'p':
		return "PRIMARY KEY (" + quoteNames(k.columns) + ")"
	case 'u':
		return "UNIQUE (" + quoteNames(k.columns) + ")"
	case 'c':
		return "CHECK " + k.check
	}
	out := "FOREIGN KEY (" + quoteNames(k.columns) + ") REFERENCES " + quoteName(k.refTable)
	if len(k.refColumns) > 0 {
		out += " (" + quoteNames(k.refColumns) + ")"
	}
	if k.onUpdate != "" {
		out += " ON UPDATE " + k.onUpdate
	}
	if k.onDelete != "" {
		out += " ON DELETE " + k.onDelete
	}
	return out
}

func (x *indexDef) keyList() string {
	var out []string
	for _, k := range x.keys {
		column := keyColumn(k)
		if isIdentifier(column) {
			out = append(out, quoteName(column)+strings.TrimPrefix(k, column))
			continue
		}
		out = append(out, k) // an expression, in the parentheses that it was written with
	}
	return strings.Join(out, ", ")
}

func isIdentifier(text string) bool {
	return text != "" && !strings.ContainsAny(text, " ()'\"+-*/|")
}

// describe is the index without its name, for comparisons and texts.
func (x *indexDef) describe() string {
	out := "INDEX"
	if x.unique {
		out = "UNIQUE INDEX"
	}
	out += " USING " + x.method + " (" + x.keyList() + ")"
	if len(x.include) > 0 {
		out += " INCLUDE (" + quoteNames(x.include) + ")"
	}
	if x.where != "" {
		out += " WHERE " + x.where
	}
	return out
}

// sql is the statement that makes the index, CONCURRENTLY or not.
func (x *indexDef) sql(concurrently bool, schema string) string {
	out := "CREATE "
	if x.unique {
		out += "UNIQUE "
	}
	out += "INDEX "
	if concurrently {
		out += "CONCURRENTLY "
	}
	table := quoteName(x.table)
	if schema != "" {
		table = quoteName(schema) + "." + table
	}
	out += "IF NOT EXISTS " + quoteName(x.name) + " ON " + table
	if x.method != "btree" {
		out += " USING " + x.method
	}
	out += " (" + x.keyList() + ")"
	if len(x.include) > 0 {
		out += " INCLUDE (" + quoteNames(x.include) + ")"
	}
	if x.where != "" {
		out += " WHERE " + x.where
	}
	return out
}

// createSQL makes the table with its columns and its primary key; other
// constraints and indexes come afterwards.
func (d *tableDef) createSQL() string {
	var parts []string
	for _, c := range d.columns {
		parts = append(parts, "    "+c.sql())
	}
	for _, k := range d.constraints {
		if k.kind == 'p' {
			parts = append(parts, "    CONSTRAINT "+quoteName(k.name)+" "+k.body())
		}
	}
	return "CREATE TABLE IF NOT EXISTS " + quoteName(d.name) + " (\n" + strings.Join(parts, ",\n") + "\n)"
}
