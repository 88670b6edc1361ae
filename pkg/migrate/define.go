package migrate

import "strings"

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
