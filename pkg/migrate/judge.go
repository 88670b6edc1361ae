package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Hazard is what a statement may do to a running system, or a mistake in a file.
type Hazard struct {
	Rule      string `json:"rule"`
	Severity  string `json:"severity"` // error, warning, info
	Migration string `json:"migration,omitempty"`
	Line      int    `json:"line,omitempty"`
	Table     string `json:"table,omitempty"`
	Lock      string `json:"lock,omitempty"` // PostgreSQL's name of the level
	Rows      *int64 `json:"rows,omitempty"`
	Bytes     *int64 `json:"bytes,omitempty"`
	// Duration is a class: instant (< 1 s), short (< 10 s), long, very long.
	Duration string `json:"duration,omitempty"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
	// New: it is about a table that the files at hand make.
	New bool `json:"new,omitempty"`
}

// The lock levels of statements, in PostgreSQL's words.
const (
	lockShare             = "SHARE"
	lockShareRowExclusive = "SHARE ROW EXCLUSIVE"
	lockShareUpdateExcl   = "SHARE UPDATE EXCLUSIVE"
	lockRowExclusive      = "ROW EXCLUSIVE"
	lockAccessExclusive   = "ACCESS EXCLUSIVE"
	largeRows             = 1_000_000
	largeBytes            = 1 << 30
	mediumRows            = 100_000
	spendLogs             = "LiteLLM_SpendLogs"
	severityError         = "error"
	severityWarning       = "warning"
	severityInfo          = "info"
)

// lockOf is the level that an action takes on its table.
func lockOf(a action) string {
	switch a.kind {
	case actCreateIndex, actReindex:
		if a.concurrently {
			return lockShareUpdateExcl
		}
		return lockShare
	case actAddConstraint:
		if a.constraint.kind == 'f' {
			return lockShareRowExclusive
		}
	case actValidate:
		return lockShareUpdateExcl
	case actRenameIndex:
		return lockShareUpdateExcl
	case actDropIndex:
		if a.concurrently {
			return lockShareUpdateExcl
		}
	case actInsert, actUpdate, actDelete:
		return lockRowExclusive
	case actCreateTable, actCreateType, actAddValue, actDropType, actSet, actVacuum, actOther:
		return ""
	}
	return lockAccessExclusive
}

// tableSize is what a database says about a table; rows is -1 when it was never
// counted.
type tableSize struct {
	rows, bytes int64
	partitions  int
	partitioned bool
}

// judge looks at migrations in their order, keeping track of the schema.
type judge struct {
	version int // of the server, 150000
	schema  *model
	sizes   map[string]tableSize // nil: nobody was asked
	created map[string]bool      // in this run; such tables are empty
	invalid map[string]bool      // indexes
}

func (j *judge) size(table string) (tableSize, bool) {
	if j.created[table] {
		return tableSize{}, true
	}
	z, ok := j.sizes[table]
	return z, ok
}

// large reports a table on which a scan or a build hurts.
func (z tableSize) large() bool {
	return z.rows > largeRows || z.bytes > largeBytes
}

// bySize is the severity of something that takes time in proportion.
func (j *judge) bySize(table string) string {
	z, known := j.size(table)
	switch {
	case j.created[table]:
		return severityInfo
	case table == spendLogs && (!known || z.rows != 0 || z.bytes > 1<<20):
		return severityError
	case !known:
		return severityWarning
	case z.large():
		return severityError
	case z.rows > mediumRows:
		return severityWarning
	}
	return severityInfo
}

// duration is a class; factor says how much slower than a scan it is.
func (j *judge) duration(table string, factor int64) string {
	z, known := j.size(table)
	if !known {
		return ""
	}
	rows := z.rows
	if rows < 0 {
		rows = z.bytes / 200
	}
	switch rows *= factor; {
	case rows < 500_000:
		return "instant"
	case rows < 5_000_000:
		return "short"
	case rows < 100_000_000:
		return "long"
	}
	return "very long"
}

func (j *judge) fill(h *Hazard) {
	if z, known := j.size(h.Table); known && h.Table != "" && !j.created[h.Table] {
		h.Rows, h.Bytes = &z.rows, &z.bytes
	}
}

// migration judges one file and moves the schema on.
func (j *judge) migration(m Migration) []Hazard {
	var list []Hazard
	sql := strings.TrimPrefix(m.SQL, "\ufeff")
	add := func(pos int, h Hazard) {
		h.Migration, h.Line, h.New = m.Name, 1+strings.Count(sql[:pos], "\n"), j.created[h.Table]
		j.fill(&h)
		list = append(list, h)
	}
	if len(m.SQL) != len(sql) {
		add(0, Hazard{Rule: "FILE001", Severity: severityWarning, Message: "the file begins with a byte order mark, on which Prisma fails"})
	}
	sc := prepare(m)
	if len(sc.statements) == 0 {
		add(0, Hazard{Rule: "FILE001", Severity: severityWarning, Message: "the file holds no statement"})
	}
	if sc.refusal != nil {
		list = append(list, Hazard{Rule: sc.refusal.Rule, Severity: severityError, Migration: m.Name, Line: sc.refusal.Line, Message: sc.refusal.Message, Hint: sc.refusal.Hint})
	}
	setsLockTimeout := false
	for _, a := range ddl(sql) {
		if a.kind == actSet {
			setsLockTimeout = setsLockTimeout || a.name == "lock_timeout"
			if !a.conditional {
				add(a.pos, Hazard{Rule: "TXN003", Severity: severityWarning, Message: "SET " + a.name + " lasts for the session and with Prisma reaches the next files; llmgw takes it back", Hint: "SET LOCAL ends with the transaction."})
			}
		}
		for _, h := range j.action(a) {
			add(a.pos, h)
		}
		if lockOf(a) == lockAccessExclusive && !setsLockTimeout && a.table != "" && !j.created[a.table] && a.kind != actCreateTable {
			add(a.pos, Hazard{Rule: "LOCK006", Severity: severityInfo, Table: a.table, Lock: lockAccessExclusive, Message: "no lock_timeout of its own: behind a long transaction every query on the table would queue up; --ddl-lock-timeout guards it"})
		}
		if a.kind == actCreateTable && j.schema.tables[a.table] == nil {
			j.created[a.table] = true
		}
		if a.kind == actRenameTable {
			if z, ok := j.sizes[a.table]; ok {
				j.sizes[a.to] = z
			}
			j.created[a.to] = j.created[a.table]
		}
		j.schema.apply(a)
	}
	return list
}

// action judges one change.
func (j *judge) action(a action) []Hazard {
	var list []Hazard
	add := func(rule, severity, message, hint string, factor int64) {
		h := Hazard{Rule: rule, Severity: severity, Table: a.table, Lock: lockOf(a), Message: message, Hint: hint}
		if factor > 0 {
			h.Duration = j.duration(a.table, factor)
		}
		list = append(list, h)
	}
	table := j.schema.tables[a.table]
	switch a.kind {
	case actCreateIndex:
		old := j.indexNamed(a.name)
		switch {
		case a.ifNotExists && a.name != "" && (j.invalid[a.name] || old != nil && old.invalid):
			add("IDX001", severityError, fmt.Sprintf("index %s exists and is invalid; IF NOT EXISTS would keep it so", a.name), "--repair-invalid drops it and builds it anew.", 0)
		case a.ifNotExists && old != nil && !old.same(a.index):
			add("IDX001", severityError, fmt.Sprintf("index %s exists with another definition (%s); IF NOT EXISTS would keep that", a.name, old.describe()), "Drop or rename the old one first.", 0)
		case a.ifNotExists && old != nil:
			return list // nothing happens
		}
		if z, _ := j.size(a.table); a.concurrently && z.partitioned {
			add("PART001", severityError, fmt.Sprintf("%s is partitioned: an index cannot be built concurrently on it", a.table), "--online-indexes builds it on each partition.", 0)
		} else if !a.concurrently {
			add("LOCK001", j.bySize(a.table), fmt.Sprintf("CREATE INDEX %s blocks writes to %s while it builds", a.name, a.table), "--online-indexes builds it concurrently.", 4)
		}
	case actDropIndex:
		if !a.concurrently {
			severity := severityWarning
			for _, t := range j.schema.tables {
				if t.index(a.name) != nil && j.created[t.name] {
					severity, a.table = severityInfo, t.name
				}
			}
			add("LOCK002", severity, fmt.Sprintf("DROP INDEX %s locks its table against everything, for a moment", a.name), "DROP INDEX CONCURRENTLY does not.", 0)
		}
	case actAddConstraint:
		k := a.constraint
		switch {
		case table != nil && table.constraint(k.name) != nil && a.conditional:
		case k.kind == 'f' && !k.notValid:
			add("LOCK003", atLeast(j.bySize(a.table), j.bySize(k.refTable)), fmt.Sprintf("foreign key %s blocks writes to %s and %s while it looks at every row", k.name, a.table, k.refTable), "ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a migration of its own.", 1)
		case k.kind == 'c' && !k.notValid:
			add("LOCK003", j.bySize(a.table), fmt.Sprintf("check %s locks %s against everything while it looks at every row", k.name, a.table), "ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a migration of its own.", 1)
		case (k.kind == 'u' || k.kind == 'p') && k.usingIndex == "":
			add("LOCK004", j.bySize(a.table), fmt.Sprintf("constraint %s locks %s against everything while its index builds", k.name, a.table), "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX.", 4)
		}
	case actSetNotNull:
		add("LOCK005", j.bySize(a.table), fmt.Sprintf("SET NOT NULL on %s.%s locks the table against everything while it looks at every row", a.table, a.name), "A validated CHECK (… IS NOT NULL) spares the look since PostgreSQL 12.", 1)
	case actSetType:
		old := ""
		if table != nil && table.column(a.name) != nil {
			old = table.column(a.name).typ
		}
		if old != a.column.typ && rewrites(old, a.column.typ) {
			from := old
			if from == "" {
				from = "an unknown type"
			}
			add("REWR001", j.bySize(a.table), fmt.Sprintf("%s.%s from %s to %s rewrites the table and its indexes under a lock against everything", a.table, a.name, from, a.column.typ), "Online: a new column, a trigger that fills it, a backfill in batches, then a swap. --accept-rewrite runs it as it is.", 10)
		}
	case actAddColumn:
		c := a.column
		if a.ifNotExists && table != nil && table.column(c.name) != nil {
			return list
		}
		why := ""
		switch {
		case c.generated:
			why = "a stored generated column"
		case c.serial || c.identity:
			why = "a sequence"
		case c.def != "" && j.version < 110000:
			why = "a default, before PostgreSQL 11"
		case isVolatile(c.def):
			why = "a default that is computed for each row"
		}
		if why != "" {
			add("REWR002", j.bySize(a.table), fmt.Sprintf("column %s.%s with %s rewrites the table under a lock against everything", a.table, c.name, why), "Add the column without it, fill it in batches, set the default afterwards. --accept-rewrite runs it as it is.", 10)
		}
		for _, k := range a.def.constraints {
			if k.kind == 'f' {
				add("LOCK003", j.bySize(k.refTable), fmt.Sprintf("column %s.%s references %s and blocks writes to it for a moment", a.table, c.name, k.refTable), "", 0)
			}
			if k.kind == 'u' || k.kind == 'p' {
				add("LOCK004", j.bySize(a.table), fmt.Sprintf("column %s.%s is unique: its index builds under a lock against everything", a.table, c.name), "", 4)
			}
		}
		if c.notNull && c.def == "" && !c.identity && !c.serial && !c.generated && !j.created[a.table] {
			add("COMPAT001", severityError, fmt.Sprintf("column %s.%s is NOT NULL without a default: it fails on rows that are there, and pods of the release before cannot insert any more", a.table, c.name), "Give it a default.", 0)
		}
	case actDropColumn, actDropTable, actRenameColumn, actRenameTable:
		exists := table != nil && (a.kind == actDropTable || a.kind == actRenameTable || table.column(a.name) != nil)
		if !exists && (a.ifExists || a.conditional) || j.created[a.table] {
			return list
		}
		what := map[actionKind]string{actDropColumn: "DROP COLUMN " + a.name, actDropTable: "DROP TABLE", actRenameColumn: "RENAME COLUMN " + a.name, actRenameTable: "RENAME"}[a.kind]
		add("COMPAT001", severityError, fmt.Sprintf("%s on %s breaks pods of the release before, which still use it", what, a.table), "Roll the pods out first, or stop them. --allow-drop runs it as it is.", 0)
	case actInsert, actUpdate, actDelete, actTruncate:
		severity := severityInfo
		if a.kind != actInsert {
			severity = j.bySize(a.table)
		}
		if severity == severityError {
			severity = severityWarning
		}
		add("DATA001", severity, fmt.Sprintf("changes data in %s: rows stay locked until the end, and the old ones are left to VACUUM", a.table), "", 5)
	}
	return list
}

func (j *judge) indexNamed(name string) *indexDef {
	for _, t := range j.schema.tables {
		if x := t.index(name); x != nil {
			return x
		}
	}
	return nil
}

func atLeast(a, b string) string {
	order := []string{severityInfo, severityWarning, severityError}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// rewrites reports whether the change of type makes the server write the table
// anew. From an unknown type it may.
func rewrites(from, to string) bool {
	base := func(t string) (name string, limit, scale int) {
		name, rest, ok := strings.Cut(t, "(")
		limit = -1
		if ok {
			inner, tail, _ := strings.Cut(rest, ")")
			name += tail
			a, b, _ := strings.Cut(inner, ",")
			limit, _ = strconv.Atoi(a)
			scale, _ = strconv.Atoi(b)
		}
		return name, limit, scale
	}
	f, fl, fs := base(from)
	t, tl, ts := base(to)
	wider := tl < 0 || fl >= 0 && tl >= fl
	switch {
	case f == "character varying" && (t == "text" || t == "character varying" && wider),
		f == "text" && t == "character varying" && tl < 0,
		f == "numeric" && t == "numeric" && wider && (tl < 0 || fs == ts),
		f == t && wider && (strings.HasPrefix(t, "time") || t == "bit varying"),
		f == "cidr" && t == "inet":
		return false
	}
	return true
}

// isVolatile reports a default that differs from row to row.
func isVolatile(def string) bool {
	l := strings.ToLower(def)
	for _, f := range []string{"random(", "gen_random_uuid(", "uuid_generate", "clock_timestamp(", "nextval(", "timeofday(", "txid_current("} {
		if strings.Contains(strings.ReplaceAll(l, " ", ""), f) {
			return true
		}
	}
	return false
}

// orderHazards tells of names that Prisma's command line puts in another order
// than its engine and llmgw do.
func orderHazards(set *Set) []Hazard {
	byBytes := make([]string, 0, len(set.Migrations))
	for _, m := range set.Migrations {
		byBytes = append(byBytes, m.Name)
	}
	byLocale := slices.Clone(byBytes)
	slices.SortStableFunc(byLocale, localeCompare)
	for i, n := range byBytes {
		if byLocale[i] != n {
			return []Hazard{{Rule: "ORD001", Severity: severityWarning, Migration: n, Message: fmt.Sprintf("by their bytes %s comes here, by a dictionary %s does: Prisma's command line of 6.x and 7.x takes the dictionary's order", n, byLocale[i]), Hint: "Give all names a prefix of 14 digits."}}
		}
	}
	return nil
}

// localeCompare orders as JavaScript's localeCompare does for the characters of
// such names: punctuation, digits, letters without regard to case; a small
// letter before its capital if nothing else tells.
func localeCompare(a, b string) int {
	weight := func(r rune) int {
		switch {
		case r >= '0' && r <= '9':
			return 1000 + int(r)
		case r >= 'a' && r <= 'z', r > 127:
			return 2000 + int(r)
		case r == ' ':
			return 1
		case r == '_':
			return 2
		case r == '-':
			return 3
		}
		return 10 + int(r)
	}
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	for i := 0; i < len(x) && i < len(y); i++ {
		if d := weight(x[i]) - weight(y[i]); d != 0 {
			return d
		}
	}
	if d := len(x) - len(y); d != 0 {
		return d
	}
	return -strings.Compare(a, b)
}

// Lint judges the files of a set without a database. since leaves out what
// comes before and with that migration.
func Lint(set *Set, version int, since string) []Hazard {
	j := &judge{version: version, schema: newModel(), created: map[string]bool{}}
	var list []Hazard
	for _, n := range set.Notes {
		list = append(list, Hazard{Rule: "FILE001", Severity: severityWarning, Message: n})
	}
	if err := set.checkProvider(); err != nil {
		list = append(list, Hazard{Rule: "FILE001", Severity: severityError, Message: err.Error()})
	}
	list = append(list, orderHazards(set)...)
	quiet := since != ""
	for _, m := range set.Migrations {
		if m.Err != nil {
			list = append(list, Hazard{Rule: "FILE001", Severity: severityError, Migration: m.Name, Message: m.Err.Error()})
			continue
		}
		found := j.migration(m)
		j.created = map[string]bool{} // for the next file the table has rows
		if !quiet {
			list = append(list, found...)
		}
		if m.Name == since {
			quiet = false
		}
	}
	return list
}
