package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PlanResult is what a deploy would do, and what speaks against it.
type PlanResult struct {
	Database   Database           `json:"database"`
	Set        string             `json:"set"`
	From       string             `json:"from"`
	Found      int                `json:"found"`
	Migrations []PlannedMigration `json:"migrations"`
	Pending    []string           `json:"pending"`
	// Tables are those that the pending files touch.
	Tables []TableFacts `json:"tables"`
	// Foreign are tables of the schema that no migration makes; they are left
	// alone.
	Foreign  []string `json:"foreign_tables"`
	Blockers []Holder `json:"blockers"` // transactions that are open for long
	Holder   *Holder  `json:"lock_holder,omitempty"`
	// Refusals are why a deploy with these options would refuse.
	Refusals []Refusal `json:"refusals"`
	Warnings []Warning `json:"warnings"`
	Offline  bool      `json:"offline,omitempty"`
}

// PlannedMigration is one pending file.
type PlannedMigration struct {
	Name       string   `json:"name"`
	Mode       Mode     `json:"mode"`
	Statements int      `json:"statements"`
	Locks      []Lock   `json:"locks"`
	Hazards    []Hazard `json:"hazards"`
	// Phase is expand for what old pods do not notice, contract for what breaks
	// them.
	Phase string `json:"phase"`
}

// Lock is a level that a file takes on a table.
type Lock struct {
	Table string `json:"table"`
	Level string `json:"level"`
	// New: the table is made by a file of this plan, so nobody waits for it.
	New bool `json:"new,omitempty"`
}

// TableFacts is the size of a table.
type TableFacts struct {
	Name        string `json:"name"`
	Rows        int64  `json:"rows"` // the planner's estimate, -1 unknown
	Bytes       int64  `json:"bytes"`
	Partitions  int    `json:"partitions,omitempty"`
	Partitioned bool   `json:"partitioned,omitempty"`
}

// Refusal is one reason.
type Refusal struct {
	Rule      string `json:"rule,omitempty"`
	Code      string `json:"code,omitempty"`
	Migration string `json:"migration,omitempty"`
	Message   string `json:"message"`
}

// Err is the verdict: nil when a deploy would go through.
func (r *PlanResult) Err() *Error {
	if len(r.Refusals) == 0 {
		return nil
	}
	f := r.Refusals[0]
	return &Error{Code: f.Code, Rule: f.Rule, Migration: f.Migration, kind: kindRefused, Message: fmt.Sprintf("deploy would refuse (%s): %s", plural(len(r.Refusals), "reason", "reasons"), f.Message)}
}

// Plan looks at what is pending. It takes no lock and changes nothing.
func (p *Provider) Plan(ctx context.Context) (*PlanResult, error) {
	r := &PlanResult{
		Database: p.address(), Set: p.set.Name, From: p.set.From, Found: len(p.set.Migrations),
		Migrations: []PlannedMigration{}, Pending: []string{}, Tables: []TableFacts{}, Foreign: []string{}, Blockers: []Holder{}, Refusals: []Refusal{}, Warnings: []Warning{},
	}
	if err := p.set.checkProvider(); err != nil {
		return r, err
	}
	s, err := p.connect(ctx)
	if err != nil {
		return r, err
	}
	defer s.close()
	r.Database = s.database()
	refuse := func(err error) {
		if e, ok := errors.AsType[*Error](err); ok {
			r.Refusals = append(r.Refusals, Refusal{Rule: e.Rule, Code: e.Code, Migration: e.Migration, Message: strings.TrimSpace(e.Message + " " + e.Hint)})
		}
	}
	if err := s.checkWritable(); err != nil {
		refuse(err)
	}
	o, err := s.survey(ctx)
	if e, ok := errors.AsType[*Error](err); ok && e.Unmanaged() {
		refuse(e)
		o = compare(p.set, nil)
	} else if err != nil {
		return r, err
	}
	r.Set, r.From, r.Found = p.set.Name, p.set.From, len(p.set.Migrations)
	if e := checkOwner(p.set, o.rows); e != nil {
		return r, e
	}
	r.Warnings = append(r.Warnings, o.warnings(p.set)...)
	if len(o.failed) > 0 {
		refuse(failedRows(o.failed))
	}
	if p.o.Strict && len(o.edited)+len(o.missing) > 0 {
		refuse(&Error{Code: "LM0008", Message: strictMessage(o)})
	}
	todo := p.upTo(o.pending)
	r.Pending = names(todo)
	if len(todo) > 0 && todo[0].absent {
		return r, needFilesFor(r.Pending)
	}
	if r.Holder, err = s.holder(ctx); err != nil {
		r.Holder = nil
	}
	r.Blockers = s.longTransactions(ctx)
	var scripts []script
	for _, m := range todo {
		if m.Err != nil {
			refuse(m.Err)
			continue
		}
		scripts = append(scripts, prepare(m))
	}
	if err := s.checkPrivileges(ctx, scripts); err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != "P3018" {
			return r, err
		}
		refuse(err)
	}
	j, err := s.judge(ctx)
	if err != nil {
		return r, s.failure(ctx, "reading the schema", err)
	}
	r.Foreign = p.foreignTables(j.schema)
	touched := map[string]bool{}
	for _, m := range todo {
		if m.Err != nil {
			continue
		}
		sc := prepare(m)
		if err := p.consent(&sc); err != nil {
			refuse(err)
		}
		if w := p.elsewhere(m, sc); w != nil {
			r.Warnings = append(r.Warnings, *w)
		}
		one, guards := p.plan(j, m, sc)
		one.Hazards = append(one.Hazards, s.syntax(ctx, m, sc)...)
		for _, g := range guards {
			refuse(g)
		}
		for _, l := range one.Locks {
			touched[l.Table] = true
		}
		r.Migrations = append(r.Migrations, one)
	}
	for _, name := range sortedKeys(touched) {
		if z, ok := j.sizes[name]; ok {
			r.Tables = append(r.Tables, TableFacts{Name: name, Rows: z.rows, Bytes: z.bytes, Partitions: z.partitions, Partitioned: z.partitioned})
		}
	}
	return r, nil
}

// PlanOffline judges the whole set, or what comes after since, without a
// database.
func PlanOffline(set *Set, version int, since string) *PlanResult {
	r := &PlanResult{
		Set: set.Name, From: set.From, Found: len(set.Migrations), Offline: true,
		Migrations: []PlannedMigration{}, Pending: []string{}, Tables: []TableFacts{}, Foreign: []string{}, Blockers: []Holder{}, Refusals: []Refusal{}, Warnings: []Warning{},
	}
	p := &Provider{set: set}
	j := &judge{version: version, schema: newModel(), created: map[string]bool{}}
	after := since == ""
	for _, m := range set.Migrations {
		if m.Err != nil {
			if after {
				r.Refusals = append(r.Refusals, Refusal{Rule: "FILE001", Migration: m.Name, Message: m.Err.Error()})
			}
		} else {
			sc := prepare(m)
			one, _ := p.plan(j, m, sc)
			j.created = map[string]bool{}
			if after {
				r.Pending = append(r.Pending, m.Name)
				r.Migrations = append(r.Migrations, one)
				if sc.refusal != nil {
					r.Refusals = append(r.Refusals, Refusal{Rule: sc.refusal.Rule, Code: sc.refusal.Code, Migration: m.Name, Message: sc.refusal.Message})
				}
			}
		}
		after = after || m.Name == since
	}
	return r
}

// plan describes one file and says which guards a deploy would put in its way.
func (p *Provider) plan(j *judge, m Migration, sc script) (PlannedMigration, []*Error) {
	mode := sc.mode
	switch {
	case p.o.OnlineIndexes && sc.indexOnly():
		mode = Online
	case sc.split:
		mode = Split
	}
	one := PlannedMigration{Name: m.Name, Mode: mode, Statements: len(sc.statements), Locks: []Lock{}, Phase: "expand"}
	guards := p.guard(j, m, sc)
	seen := map[string]bool{}
	for _, a := range ddl(sc.sql) {
		level, table := lockOf(a), a.table
		if a.kind == actDropIndex || a.kind == actRenameIndex {
			for _, t := range j.schema.tables {
				if t.index(a.name) != nil {
					table = t.name
				}
			}
		}
		if mode == Online && level == lockShare || mode == Online && a.kind == actDropIndex {
			level = lockShareUpdateExcl
		}
		if level != "" && table != "" && !seen[table+level] {
			seen[table+level] = true
			one.Locks = append(one.Locks, Lock{Table: table, Level: level})
		}
	}
	one.Hazards = j.migration(m)
	if one.Hazards == nil {
		one.Hazards = []Hazard{}
	}
	for i, l := range one.Locks {
		one.Locks[i].New = j.created[l.Table]
	}
	for i, h := range one.Hazards {
		if h.Rule == "COMPAT001" {
			one.Phase = "contract"
		}
		if mode == Online && (h.Rule == "LOCK001" || h.Rule == "PART001" || h.Rule == "LOCK002") {
			one.Hazards[i].Severity, one.Hazards[i].Hint, one.Hazards[i].Lock = severityInfo, "built concurrently by --online-indexes", lockShareUpdateExcl
		}
	}
	return one, guards
}

// guard lists what a deploy refuses to do without an explicit word: to lose
// data, and to write a large table anew under a lock.
func (p *Provider) guard(j *judge, m Migration, sc script) []*Error {
	var list []*Error
	look := &judge{version: j.version, schema: j.schema, sizes: j.sizes, created: j.created, invalid: j.invalid}
	for _, a := range ddl(sc.sql) {
		z, known := j.size(a.table)
		line := 1 + strings.Count(sc.sql[:min(a.pos, len(sc.sql))], "\n")
		table := j.schema.tables[a.table]
		filled := known && !j.created[a.table] && (z.rows > 0 || z.rows < 0 && z.bytes > 0)
		switch {
		case p.o.AllowDrop:
		case !filled || table == nil:
		case a.kind == actDropTable, a.kind == actTruncate, a.kind == actDropColumn && table.column(a.name) != nil:
			what := "the table and its rows"
			if a.kind == actDropColumn {
				what = fmt.Sprintf("column %q and what is in it", a.name)
			}
			list = append(list, &Error{Code: "LM0013", Rule: "COMPAT001", Migration: m.Name, Line: line, kind: kindRefused,
				Message: fmt.Sprintf("%s (line %d) would lose %s of %q", m.Name, line, what, a.table), Hint: "Nothing was changed. --allow-drop lets it."})
		}
		if !p.o.AcceptRewrite {
			for _, h := range look.action(a) {
				if (h.Rule == "REWR001" || h.Rule == "REWR002") && known && z.large() && !j.created[a.table] {
					list = append(list, &Error{Code: "LM0014", Rule: h.Rule, Migration: m.Name, Line: line, kind: kindRefused,
						Message: fmt.Sprintf("%s (line %d): %s (%s, %s)", m.Name, line, h.Message, rowsText(z.rows), bytesText(z.bytes)), Hint: "Nothing was changed. --accept-rewrite runs it as it is."})
				}
			}
		}
	}
	return list
}

// checkGuards is guard over all files of a deploy, before the first change.
func (s *session) checkGuards(ctx context.Context, todo []Migration, scripts []script) error {
	if s.p.o.AllowDrop && s.p.o.AcceptRewrite {
		return nil
	}
	risky := false
	for _, sc := range scripts {
		for _, a := range ddl(sc.sql) {
			risky = risky || slices.Contains([]actionKind{actDropTable, actTruncate, actDropColumn, actSetType, actAddColumn}, a.kind)
		}
	}
	if !risky {
		return nil
	}
	j, err := s.judge(ctx)
	if err != nil {
		return s.failure(ctx, "reading the schema", err)
	}
	for i, m := range todo {
		for _, e := range s.p.guard(j, m, scripts[i]) {
			return e
		}
		j.migration(m)
	}
	return nil
}

// judge starts from the schema and the sizes that the database has.
func (s *session) judge(ctx context.Context) (*judge, error) {
	live, err := s.liveModel(ctx)
	if err != nil {
		return nil, err
	}
	j := &judge{version: s.versionNum, schema: live, sizes: map[string]tableSize{}, created: map[string]bool{}, invalid: map[string]bool{}}
	// A partitioned table has the rows of its partitions. What was never counted
	// is -1, unless it is empty.
	rows, err := s.conn.Query(ctx, `SELECT c.relname::text, c.relkind = 'p',
			coalesce(sum(CASE WHEN l.reltuples < 0 OR l.reltuples = 0 AND l.relpages = 0 AND pg_relation_size(l.oid) > 0 THEN -1 ELSE greatest(l.reltuples, 0) END)::bigint, 0),
			coalesce(sum(pg_total_relation_size(l.oid)), 0)::bigint, coalesce(bool_or(pg_relation_size(l.oid) > 0), false), count(*) FILTER (WHERE l.relispartition)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN LATERAL (SELECT x.* FROM pg_partition_tree(c.oid) t JOIN pg_class x ON x.oid = t.relid WHERE c.relkind = 'p' AND t.isleaf
			UNION ALL SELECT x.* FROM pg_class x WHERE x.oid = c.oid AND c.relkind = 'r') l ON true
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition GROUP BY 1, 2`, s.p.target.Schema)
	if err != nil {
		return nil, err
	}
	var name string
	var z tableSize
	var filled bool
	_, err = pgx.ForEachRow(rows, []any{&name, &z.partitioned, &z.rows, &z.bytes, &filled, &z.partitions}, func() error {
		one := z
		if !filled {
			one.rows = 0
		} else if one.rows == 0 {
			one.rows = -1
		}
		if one.rows < 0 {
			one.rows = -1
		}
		j.sizes[name] = one
		return nil
	})
	return j, err
}

// syntax asks the server's own parser, which is the right version of the right
// grammar: a statement is prepared and never run.
func (s *session) syntax(ctx context.Context, m Migration, sc script) []Hazard {
	var list []Hazard
	for _, st := range sc.statements {
		text := sc.sql[st.start:st.end]
		_, err := s.conn.PgConn().Prepare(ctx, "", text, nil)
		pe, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || pe.Code != "42601" {
			continue // names that an earlier file makes are not there yet
		}
		line := strings.Count(sc.sql[:st.start], "\n") + max(lineOf(text, pe.Position), 1)
		list = append(list, Hazard{Rule: "FILE001", Severity: severityError, Migration: m.Name, Line: line, Message: pe.Message})
	}
	return list
}

// longTransactions are what table locks would wait for.
func (s *session) longTransactions(ctx context.Context) []Holder {
	rows, err := s.conn.Query(ctx, `SELECT pid, coalesce(application_name, ''), coalesce(host(client_addr), ''), coalesce(state, ''), extract(epoch FROM clock_timestamp() - xact_start)::bigint
		FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start < clock_timestamp() - interval '5 seconds' ORDER BY xact_start LIMIT 5`)
	if err != nil {
		return []Holder{}
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (Holder, error) {
		var h Holder
		return h, r.Scan(&h.PID, &h.ApplicationName, &h.ClientAddr, &h.State, &h.SinceSeconds)
	})
	if err != nil || list == nil {
		return []Holder{}
	}
	return list
}

// foreignTables are tables of the schema that no migration of the set makes.
func (p *Provider) foreignTables(live *model) []string {
	known := map[string]bool{}
	for _, m := range p.set.Migrations {
		for _, a := range ddl(m.SQL) {
			known[a.table], known[a.to] = true, true
		}
	}
	list := []string{}
	for _, name := range sortedKeys(live.tables) {
		if !known[name] {
			list = append(list, name)
		}
	}
	return list
}

func rowsText(n int64) string {
	switch {
	case n < 0:
		return "rows never counted"
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f M rows", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%d k rows", n/1000)
	}
	return plural(int(n), "row", "rows")
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
