package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// A predicate is one thing that is true of a schema after a migration.
type predicate struct {
	class predicateClass
	label string
	holds func(*model) bool
	// key tells whether an earlier migration had made the same thing already:
	// then its presence does not date the schema.
	key string
}

func (p predicate) id() string { return p.label + " " + p.key }

type predicateClass int

const (
	creates predicateClass = iota // something is there
	alters                        // something has a property
	drops                         // something is not there
)

// predicates says what is true after the action, as far as its words say. What
// computes (data, functions, triggers) says nothing.
func (a action) predicates() []predicate {
	column := func(c *columnDef) []predicate {
		find := func(m *model) *columnDef {
			if m.tables[a.table] == nil {
				return nil
			}
			return m.tables[a.table].column(c.name)
		}
		label := fmt.Sprintf("column %s.%s %s", a.table, c.name, c.typ)
		return []predicate{
			{class: creates, label: label, holds: func(m *model) bool { return find(m) != nil }},
			// Of another type it is as good as missing, but a column that is not
			// there at all is not missing twice.
			{class: alters, label: label, holds: func(m *model) bool { have := find(m); return have != nil && have.typ == c.typ }},
		}
	}
	constraint := func(k *constraintDef) predicate {
		return predicate{class: creates, label: fmt.Sprintf("constraint %s on %s", k.name, a.table), key: k.body(), holds: func(m *model) bool {
			t := m.tables[a.table]
			return t != nil && slices.ContainsFunc(t.constraints, func(x *constraintDef) bool {
				return x.same(k) || k.usingIndex != "" && x.name == k.name
			})
		}}
	}
	withColumn := func(class predicateClass, what string, is func(*columnDef) bool) []predicate {
		return []predicate{{class: class, label: fmt.Sprintf("column %s.%s %s", a.table, a.name, what), holds: func(m *model) bool {
			t := m.tables[a.table]
			if t == nil {
				return false
			}
			c := t.column(a.name)
			return c != nil && is(c)
		}}}
	}
	hasTable := func(name string) func(*model) bool { return func(m *model) bool { return m.tables[name] != nil } }
	hasColumn := func(name string) func(*model) bool {
		return func(m *model) bool { return m.tables[a.table] != nil && m.tables[a.table].column(name) != nil }
	}
	not := func(label string, f func(*model) bool) predicate {
		return predicate{class: drops, label: "no " + label, holds: func(m *model) bool { return !f(m) }}
	}
	switch a.kind {
	case actCreateTable:
		list := []predicate{{class: creates, label: "table " + a.table, holds: hasTable(a.table)}}
		for _, c := range a.def.columns {
			list = append(list, column(c)...)
		}
		for _, k := range a.def.constraints {
			list = append(list, constraint(k))
		}
		return list
	case actDropTable:
		return []predicate{not("table "+a.table, hasTable(a.table))}
	case actRenameTable:
		return []predicate{{class: creates, label: "table " + a.to, holds: hasTable(a.to)}, not("table "+a.table, hasTable(a.table))}
	case actAddColumn:
		list := column(a.column)
		for _, k := range a.def.constraints {
			list = append(list, constraint(k))
		}
		return list
	case actDropColumn:
		return []predicate{not("column "+a.table+"."+a.name, hasColumn(a.name))}
	case actRenameColumn:
		return []predicate{{class: creates, label: "column " + a.table + "." + a.to, holds: hasColumn(a.to)}, not("column "+a.table+"."+a.name, hasColumn(a.name))}
	case actSetType:
		return withColumn(alters, "of type "+a.column.typ, func(c *columnDef) bool { return c.typ == a.column.typ })
	case actSetNotNull:
		return withColumn(alters, "not null", func(c *columnDef) bool { return c.notNull })
	case actDropNotNull:
		return withColumn(alters, "null", func(c *columnDef) bool { return !c.notNull })
	case actSetDefault:
		return withColumn(alters, "default "+a.column.def, func(c *columnDef) bool { return loose(c.def) == loose(a.column.def) })
	case actDropDefault:
		return withColumn(alters, "without default", func(c *columnDef) bool { return c.def == "" })
	case actAddConstraint:
		return []predicate{constraint(a.constraint)}
	case actDropConstraint:
		return []predicate{not("constraint "+a.name, func(m *model) bool { t := m.tables[a.table]; return t != nil && t.constraint(a.name) != nil })}
	case actRenameConstraint, actRenameIndex:
		return []predicate{{class: alters, label: "index or constraint " + a.to, holds: func(m *model) bool { return m.named(a.to) }}}
	case actCreateIndex:
		return []predicate{{class: creates, label: "index " + a.name, key: a.index.describe(), holds: func(m *model) bool {
			t := m.tables[a.table]
			return t != nil && slices.ContainsFunc(t.indexes, func(x *indexDef) bool { return !x.invalid && x.same(a.index) })
		}}}
	case actDropIndex:
		return []predicate{not("index "+a.name, func(m *model) bool { return m.named(a.name) })}
	case actCreateType:
		return []predicate{{class: creates, label: "type " + a.name, holds: func(m *model) bool { _, ok := m.enums[a.name]; return ok }}}
	case actAddValue:
		return []predicate{{class: creates, label: fmt.Sprintf("value %s of type %s", first(a.values), a.name), holds: func(m *model) bool { return slices.Contains(m.enums[a.name], first(a.values)) }}}
	}
	return nil
}

// named reports an index or constraint of the name.
func (m *model) named(name string) bool {
	for _, t := range m.tables {
		if t.index(name) != nil || t.constraint(name) != nil {
			return true
		}
	}
	return false
}

// Presence is what a database says about one migration, history aside.
type Presence string

const (
	// Present: what the migration makes is there.
	Present Presence = "present"
	// Absent: nothing of it is there.
	Absent Presence = "absent"
	// Partial: some of it is there.
	Partial Presence = "partial"
)

// Detected is the verdict on one migration.
type Detected struct {
	Name  string   `json:"name"`
	State Presence `json:"state"`
	// Inferred: nothing of the migration can be seen in the schema (data, or
	// changes that later migrations undo), so its neighbours decide.
	Inferred bool     `json:"inferred,omitempty"`
	Missing  []string `json:"missing,omitempty"` // of a partial one
}

// detect compares the effects of each migration with a schema. An effect
// counts if the migration brings it about, the schema before it being what the
// migrations before it make, and if no later one undoes it, not even for a while.
func detect(list []Migration, live *model) []Detected {
	all := make([][]predicate, len(list))
	first := map[string]int{} // who made a thing first
	running := newModel()
	for i, m := range list {
		if m.absent || m.Err != nil {
			continue
		}
		actions := ddl(strings.TrimPrefix(m.SQL, "\ufeff"))
		for _, a := range actions {
			for _, p := range a.predicates() {
				if p.holds(running) {
					continue
				}
				all[i] = append(all[i], p)
				if _, again := first[p.id()]; !again {
					first[p.id()] = i
				}
			}
		}
		for _, a := range actions {
			running.apply(a)
		}
		// What a later migration undoes, for good or for a while, tells nothing.
		for j := range all[:i+1] {
			all[j] = slices.DeleteFunc(all[j], func(p predicate) bool { return !p.holds(running) })
		}
	}
	fresh := func(i int) bool {
		return slices.ContainsFunc(all[i], func(p predicate) bool { return p.class == creates && first[p.id()] == i })
	}
	// The frontier is the last migration that has visibly created something.
	frontier := -1
	for i, preds := range all {
		n, held := count(preds, live, creates)
		if fresh(i) && n > 0 && held == n {
			frontier = i
		}
	}
	atFrontier := simulate(list[:frontier+1])
	out := make([]Detected, len(list))
	for i, preds := range all {
		d := Detected{Name: list[i].Name}
		if i > frontier {
			// What holds at the frontier says nothing about what comes after it, and
			// neither does what another migration makes, too.
			preds = slices.DeleteFunc(slices.Clone(preds), func(p predicate) bool {
				return p.holds(atFrontier) || first[p.id()] != i
			})
		}
		made, madeHeld := count(preds, live, creates)
		n, held := len(preds), 0
		for _, p := range preds {
			if p.holds(live) {
				held++
			} else if !slices.Contains(d.Missing, p.label) {
				d.Missing = append(d.Missing, p.label)
			}
		}
		switch {
		case n == 0:
			d.Inferred = true
			if d.State = Absent; i <= frontier {
				d.State = Present
			}
		case held == n:
			d.State = Present
		case made > 0 && madeHeld == 0, held == 0:
			d.State = Absent
		default:
			d.State = Partial
		}
		if d.State != Partial {
			d.Missing = nil
		}
		out[i] = d
	}
	return out
}

func count(preds []predicate, m *model, class predicateClass) (n, held int) {
	for _, p := range preds {
		if p.class == class {
			n++
			if p.holds(m) {
				held++
			}
		}
	}
	return n, held
}
