package migrate

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// liveModel reads the schema from the catalogue, in the model's words.
func (s *session) liveModel(ctx context.Context) (*model, error) {
	m := newModel()
	schema := s.p.target.Schema
	rows, err := s.conn.Query(ctx, `SELECT c.relname::text, c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> $2`, schema, historyName)
	if err != nil {
		return nil, err
	}
	var table, a, b, e string
	var yes, no bool
	if _, err := pgx.ForEachRow(rows, []any{&table, &yes}, func() error {
		m.tables[table] = &tableDef{name: table, partitioned: yes}
		return nil
	}); err != nil {
		return nil, err
	}
	rows, err = s.conn.Query(ctx, `SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attnotnull, a.attgenerated <> ''
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum`, schema)
	if err != nil {
		return nil, err
	}
	if _, err := pgx.ForEachRow(rows, []any{&table, &a, &b, &e, &yes, &no}, func() error {
		t := m.tables[table]
		if t == nil {
			return nil
		}
		typ, _ := normalType(b, oneStatement(b))
		c := &columnDef{name: a, typ: typ, notNull: yes, generated: no}
		if !no {
			c.def = defaultExpr(e)
		}
		t.columns = append(t.columns, c)
		return nil
	}); err != nil {
		return nil, err
	}
	rows, err = s.conn.Query(ctx, `SELECT c.relname::text, k.conname::text, pg_get_constraintdef(k.oid), k.convalidated FROM pg_constraint k
		JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND k.contype IN ('p', 'u', 'f', 'c') ORDER BY 1, 2`, schema)
	if err != nil {
		return nil, err
	}
	if _, err := pgx.ForEachRow(rows, []any{&table, &a, &b, &yes}, func() error {
		t := m.tables[table]
		if t == nil {
			return nil
		}
		p := &ddlReader{sql: b, tokens: oneStatement(b)}
		if k := p.constraint(); k != nil {
			k.name, k.notValid = a, !yes
			t.constraints = append(t.constraints, k)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	rows, err = s.conn.Query(ctx, `SELECT t.relname::text, x.relname::text, pg_get_indexdef(i.indexrelid), i.indisvalid AND i.indisready
		FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
		WHERE n.nspname = $1 AND NOT t.relispartition AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) ORDER BY 1, 2`, schema)
	if err != nil {
		return nil, err
	}
	if _, err := pgx.ForEachRow(rows, []any{&table, &a, &b, &yes}, func() error {
		t := m.tables[table]
		if t == nil {
			return nil
		}
		for _, one := range ddl(b) {
			if one.index != nil {
				one.index.invalid = !yes
				t.indexes = append(t.indexes, one.index)
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	rows, err = s.conn.Query(ctx, `SELECT t.typname::text, array_to_string(array_agg(e.enumlabel ORDER BY e.enumsortorder), E'\x01') FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
		JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = $1 GROUP BY 1`, schema)
	if err != nil {
		return nil, err
	}
	_, err = pgx.ForEachRow(rows, []any{&a, &b}, func() error {
		m.enums[a] = strings.Split(b, "\x01")
		return nil
	})
	return m, err
}

func oneStatement(text string) []token {
	list := scan(text)
	if len(list) == 0 {
		return nil
	}
	return list[0].tokens
}

// Difference is one way in which a database is not what was expected.
type Difference struct {
	// Kind is missing, different, invalid or extra.
	Kind     string `json:"kind"`
	Object   string `json:"object"` // table, column, index, constraint, enum, view
	Table    string `json:"table,omitempty"`
	Name     string `json:"name"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	// Severity is error for what breaks a program that relies on it, info for
	// what only the database has.
	Severity string `json:"severity"`
	// SQL adds what is missing; it is empty where nothing additive can help.
	SQL string `json:"sql,omitempty"`
}

// Label names the object for a reader.
func (d Difference) Label() string {
	if d.Table == "" || d.Object == "table" {
		return d.Object + " " + d.Name
	}
	return d.Object + " " + d.Table + "." + d.Name
}

// missingFrom lists what want has and live lacks or has in another form. Where
// two constraints or indexes do the same under different names, they are the
// same.
func (want *model) missingFrom(live *model) []Difference {
	var list, last []Difference
	for _, name := range sortedKeys(want.enums) {
		values := want.enums[name]
		have, ok := live.enums[name]
		switch {
		case !ok:
			list = append(list, Difference{Kind: "missing", Object: "enum", Name: name, Expected: strings.Join(values, ", "), SQL: "CREATE TYPE " + quoteName(name) + " AS ENUM (" + quoteTexts(values) + ")"})
		default:
			for _, v := range values {
				if !slices.Contains(have, v) {
					list = append(list, Difference{Kind: "missing", Object: "enum value", Table: name, Name: v, SQL: "ALTER TYPE " + quoteName(name) + " ADD VALUE IF NOT EXISTS " + quoteTexts([]string{v})})
				}
			}
		}
	}
	for _, name := range sortedKeys(want.tables) {
		w, h := want.tables[name], live.tables[name]
		if h == nil {
			list = append(list, Difference{Kind: "missing", Object: "table", Table: name, Name: name, SQL: w.createSQL()})
			h = &tableDef{name: name}
			h.columns = append(h.columns, w.columns...)
			for _, k := range w.constraints {
				if k.kind == 'p' {
					h.constraints = append(h.constraints, k)
				}
			}
		}
		for _, c := range w.columns {
			o := h.column(c.name)
			d := Difference{Object: "column", Table: name, Name: c.name, Expected: c.words()}
			switch {
			case o == nil:
				d.Kind = "missing"
				if !c.notNull || c.def != "" {
					d.SQL = "ALTER TABLE " + quoteName(name) + " ADD COLUMN IF NOT EXISTS " + c.sql()
				}
			case !o.same(c):
				d.Kind, d.Found = "different", o.words()
			default:
				continue
			}
			list = append(list, d)
		}
		for _, k := range w.constraints {
			d := Difference{Object: "constraint", Table: name, Name: k.name, Expected: k.body()}
			o := h.constraint(k.name)
			switch {
			case o != nil && o.same(k):
				continue
			case o != nil:
				d.Kind, d.Found = "different", o.body()
			case slices.ContainsFunc(h.constraints, func(x *constraintDef) bool { return x.same(k) }):
				continue
			default:
				d.Kind, d.SQL = "missing", "ALTER TABLE "+quoteName(name)+" ADD CONSTRAINT "+quoteName(k.name)+" "+k.body()
			}
			if k.kind == 'f' {
				last = append(last, d)
			} else {
				list = append(list, d)
			}
		}
		for _, x := range w.indexes {
			d := Difference{Object: "index", Table: name, Name: x.name, Expected: x.describe()}
			o := h.index(x.name)
			switch {
			case o != nil && o.invalid:
				d.Kind, d.Found = "invalid", "left by a concurrent build that failed"
			case o != nil && o.same(x):
				continue
			case o != nil:
				d.Kind, d.Found = "different", o.describe()
			case slices.ContainsFunc(h.indexes, func(o *indexDef) bool { return !o.invalid && o.same(x) }):
				continue
			default:
				d.Kind, d.SQL = "missing", x.sql(false, "")
			}
			last = append(last, d)
		}
	}
	list = append(list, last...)
	for i := range list {
		list[i].Severity = "error"
	}
	return list
}

// extraIn lists what live has beside want.
func (want *model) extraIn(live *model) []Difference {
	var list []Difference
	add := func(object, table, name, found string) {
		list = append(list, Difference{Kind: "extra", Object: object, Table: table, Name: name, Found: found, Severity: "info"})
	}
	for _, name := range sortedKeys(live.tables) {
		h, w := live.tables[name], want.tables[name]
		if w == nil {
			add("table", name, name, "")
			continue
		}
		for _, c := range h.columns {
			if w.column(c.name) == nil {
				add("column", name, c.name, c.words())
			}
		}
		for _, k := range h.constraints {
			if w.constraint(k.name) == nil && !slices.ContainsFunc(w.constraints, func(x *constraintDef) bool { return x.same(k) }) {
				add("constraint", name, k.name, k.body())
			}
		}
		for _, x := range h.indexes {
			if w.index(x.name) == nil && !slices.ContainsFunc(w.indexes, func(o *indexDef) bool { return o.same(x) }) {
				add("index", name, x.name, x.describe())
			}
		}
	}
	for _, name := range sortedKeys(live.enums) {
		if _, ok := want.enums[name]; !ok {
			add("enum", "", name, strings.Join(live.enums[name], ", "))
		}
	}
	return list
}

func (c *columnDef) same(o *columnDef) bool {
	return c.typ == o.typ && c.notNull == o.notNull && loose(c.def) == loose(o.def)
}

func (k *constraintDef) same(o *constraintDef) bool {
	if k.kind != o.kind {
		return false
	}
	a, b := *k, *o
	a.check, b.check = loose(a.check), loose(b.check)
	return a.body() == b.body()
}

func (x *indexDef) same(o *indexDef) bool {
	return x.unique == o.unique && x.method == o.method && loose(x.where) == loose(o.where) &&
		slices.EqualFunc(x.keys, o.keys, func(a, b string) bool { return a == b || loose(a) == loose(b) }) && slices.Equal(x.include, o.include)
}

// words is a column's definition without its name.
func (c *columnDef) words() string {
	out := c.typ
	if c.notNull {
		out += " not null"
	}
	if c.def != "" {
		out += " default " + c.def
	}
	return out
}

func quoteTexts(list []string) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = "'" + strings.ReplaceAll(v, "'", "''") + "'"
	}
	return strings.Join(out, ", ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
