package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// BaselineRequest says how far the history of a database without one should
// reach.
type BaselineRequest struct {
	// Through marks every migration up to and with this one applied, whatever
	// the schema looks like; "" looks at the schema.
	Through string
	// Repair goes on although there is a history.
	Repair bool
	// FixMissing adds what partly applied migrations lack, if it can be added.
	FixMissing bool
}

// BaselineResult is what `baseline` found and wrote.
type BaselineResult struct {
	Database   Database   `json:"database"`
	Set        string     `json:"set"`
	From       string     `json:"from"`
	Found      int        `json:"found"`
	Migrations []Detected `json:"migrations"`
	Marked     []string   `json:"marked"`
	Pending    []string   `json:"pending"`
	Partial    []string   `json:"partial"`
	Added      []string   `json:"added"`          // statements that were run
	Fix        []string   `json:"fix,omitempty"`  // statements that would add what is missing
	Rest       []string   `json:"rest,omitempty"` // differences that no addition can mend
	Failed     *Failure   `json:"failed,omitempty"`
	Lock       LockInfo   `json:"lock"`
	Warnings   []Warning  `json:"warnings"`
	DryRun     bool       `json:"dry_run,omitempty"`
}

// Baseline gives a database a history that says what it has. It looks at the
// schema, not at files of LiteLLM's making, and deletes nothing. The result is
// never nil.
func (p *Provider) Baseline(ctx context.Context, q BaselineRequest) (*BaselineResult, error) {
	r := &BaselineResult{
		Database: p.address(), Set: p.set.Name, From: p.set.From, Found: len(p.set.Migrations),
		Migrations: []Detected{}, Marked: []string{}, Pending: []string{}, Partial: []string{}, Added: []string{}, Warnings: []Warning{},
		Lock: LockInfo{Key: LockKey, Disabled: p.o.NoLock}, DryRun: p.o.DryRun,
	}
	err := p.baseline(ctx, q, r)
	r.Failed = failureOf(err)
	return r, err
}

func (p *Provider) baseline(ctx context.Context, q BaselineRequest, r *BaselineResult) error {
	if err := p.set.checkProvider(); err != nil {
		return err
	}
	if q.Through != "" && !p.set.Has(q.Through) {
		return &Error{kind: kindUsage, Message: fmt.Sprintf("--through %s: no such migration in %s", q.Through, p.set.From)}
	}
	return p.inLock(ctx, &r.Database, &r.Lock, &r.Warnings, func(s *session) error {
		had, err := s.record(ctx)
		if err != nil {
			return err
		}
		r.Set, r.From, r.Found = p.set.Name, p.set.From, len(p.set.Migrations)
		if !p.set.FilesAtHand() {
			return needFiles(p.set.Head())
		}
		if !q.Repair {
			if n := foreign(p.set, had.rows); n > 0 {
				return &Error{
					Code: "LM0009", kind: kindRefused,
					Message: fmt.Sprintf("the database has a history already (%s)", plural(n, "row", "rows")),
					Hint:    "migrate status shows it. --repair goes on all the same: it marks what is there and not recorded, and changes no row.",
				}
			}
		}
		if failed := failedOf(had.rows); len(failed) > 0 {
			return failedRows(failed)
		}
		return s.baseline(ctx, q, had.rows, r)
	})
}

// foreign counts the rows that make a history. Those of our own set do not,
// when LiteLLM's takes over from it.
func foreign(set *Set, rows []Row) int {
	n := 0
	for _, row := range rows {
		if set.Name == "litellm" && strings.HasPrefix(row.Name, ownPrefix) {
			continue
		}
		n++
	}
	return n
}

func failedOf(rows []Row) []Row {
	var list []Row
	for _, r := range rows {
		if r.Failed() {
			list = append(list, r)
		}
	}
	return list
}

// baseline works under the lock.
func (s *session) baseline(ctx context.Context, q BaselineRequest, rows []Row, r *BaselineResult) error {
	p := s.p
	recorded := map[string]bool{}
	for _, row := range rows {
		if row.RolledBack == nil {
			recorded[row.Name] = true
		}
	}
	for _, m := range p.set.Migrations {
		if m.Err != nil {
			return m.Err
		}
	}
	live, err := s.liveModel(ctx)
	if err != nil {
		return s.failure(ctx, "reading the schema", err)
	}
	r.Migrations = detect(p.set.Migrations, live)
	through := slices.IndexFunc(p.set.Migrations, func(m Migration) bool { return m.Name == q.Through })
	last := -1 // that the schema shows
	for i, d := range r.Migrations {
		if d.State != Absent {
			last = i
		}
	}
	var accepted, mark []Migration
	for i, m := range p.set.Migrations {
		d := r.Migrations[i]
		switch {
		case recorded[m.Name]:
			accepted = append(accepted, m)
			continue
		case q.Through != "":
			if i > through {
				r.Pending = append(r.Pending, m.Name)
				continue
			}
			if d.State != Present {
				text := "marked applied as asked, but the schema does not show it"
				if len(d.Missing) > 0 {
					text += "; missing: " + few(d.Missing)
				}
				r.Warnings = append(r.Warnings, Warning{Migration: m.Name, Message: text})
			}
		case d.State == Absent && q.FixMissing && i < last && readable(m):
			// Later ones may build on it; it is made up for with them.
			r.Partial = append(r.Partial, m.Name)
		case d.State == Absent:
			r.Pending = append(r.Pending, m.Name)
			continue
		case d.State == Partial:
			r.Partial = append(r.Partial, m.Name)
		}
		accepted, mark = append(accepted, m), append(mark, m)
	}
	var fix []Difference
	if len(r.Partial) > 0 {
		for _, d := range simulate(accepted).missingFrom(live) {
			switch {
			case d.SQL != "":
				fix = append(fix, d)
				r.Fix = append(r.Fix, d.SQL+";")
			case d.Kind != "different" || d.Object != "column":
				r.Rest = append(r.Rest, d.Label())
			}
		}
		if !q.FixMissing {
			return s.partial(r)
		}
	}
	if p.o.DryRun {
		r.Marked = names(mark)
		return nil
	}
	if len(mark) == 0 && len(fix) == 0 {
		return nil
	}
	err = s.transaction(ctx, "writing the baseline", func() error {
		if err := s.prepareSchema(ctx); err != nil {
			return err
		}
		for _, d := range fix {
			if _, err := s.conn.Exec(ctx, d.SQL); err != nil {
				return s.failure(ctx, "adding "+d.Label(), err)
			}
			r.Added = append(r.Added, d.SQL+";")
		}
		if len(r.Partial) > 0 {
			if live, err = s.liveModel(ctx); err != nil {
				return s.failure(ctx, "reading the schema", err)
			}
			for i, d := range detect(p.set.Migrations, live) {
				if d.State != Present && slices.Contains(r.Partial, d.Name) {
					d.State = Partial
					r.Migrations[i] = d
					return s.partial(r)
				}
			}
		}
		for _, m := range mark {
			if err := s.insertApplied(ctx, m, ""); err != nil {
				return s.failure(ctx, "marking "+m.Name+" applied", err)
			}
		}
		return nil
	})
	if err != nil {
		r.Added = []string{}
		return err
	}
	r.Marked, r.Fix = names(mark), nil
	return nil
}

// readable reports whether all that the migration does is seen in the schema.
func readable(m Migration) bool {
	for _, a := range ddl(m.SQL) {
		if a.kind == actOther || a.kind == actInsert || a.kind == actUpdate || a.kind == actDelete || a.kind == actTruncate {
			return false
		}
	}
	return true
}

func (s *session) partial(r *BaselineResult) error {
	var lines []string
	for _, d := range r.Migrations {
		if d.State == Partial && slices.Contains(r.Partial, d.Name) {
			lines = append(lines, fmt.Sprintf("%s lacks %s", d.Name, few(d.Missing)))
		}
	}
	shown := lines[:min(3, len(lines))]
	e := &Error{
		Code: "LM0010", kind: kindRefused, Migration: r.Partial[0],
		Message: fmt.Sprintf("%s only in part: %s%s", havePart(len(r.Partial)), strings.Join(shown, "; "), more(len(lines)-len(shown))),
	}
	switch {
	case len(r.Rest) > 0:
		e.Hint = "No addition mends: " + few(r.Rest) + ". Mend it by hand, or mark what you know with migrate resolve."
	case len(r.Fix) > 0:
		e.Hint = fmt.Sprintf("--fix-missing adds what is missing in one transaction (%s): %s", plural(len(r.Fix), "statement", "statements"), strings.Join(r.Fix, " "))
	default:
		e.Hint = "Mend it by hand, or mark what you know with migrate resolve."
	}
	return e
}

func havePart(n int) string {
	if n == 1 {
		return "1 migration is there"
	}
	return fmt.Sprintf("%d migrations are there", n)
}

// verify refuses to call migrations applied whose objects are not there. What
// later migrations undo is not asked for if those are applied, too.
func (s *session) verify(ctx context.Context, todo []Migration, rows []Row) error {
	if len(todo) == 0 {
		return nil
	}
	live, err := s.liveModel(ctx)
	if err != nil {
		return s.failure(ctx, "reading the schema", err)
	}
	var chain []Migration
	asked := map[string]bool{}
	for _, m := range todo {
		if m.absent {
			return needFiles(m.Name)
		}
		asked[m.Name] = true
	}
	for _, m := range s.p.set.Migrations {
		if asked[m.Name] || slices.ContainsFunc(rows, func(r Row) bool { return r.Name == m.Name && r.Applied() }) {
			chain = append(chain, m)
		}
	}
	var lines []string
	name := ""
	for _, d := range detect(chain, live) {
		if !asked[d.Name] || d.Inferred {
			continue
		}
		if missing := missingOf(chain, d.Name, live); len(missing) > 0 {
			if name == "" {
				name = d.Name
			}
			lines = append(lines, fmt.Sprintf("%s lacks %s", d.Name, few(missing)))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return &Error{
		Code: "LM0011", kind: kindRefused, Migration: name,
		Message: "--verify: the database does not have what the migration makes: " + strings.Join(lines, "; "),
		Hint:    "Nothing was marked. migrate diff shows all differences; without --verify the migration is marked all the same.",
	}
}

// missingOf lists the effects of one migration of the chain that the schema
// lacks.
func missingOf(chain []Migration, name string, live *model) []string {
	final := simulate(chain)
	running := newModel()
	var missing []string
	for _, m := range chain {
		actions := ddl(strings.TrimPrefix(m.SQL, "\ufeff"))
		if m.Name == name {
			for _, a := range actions {
				for _, p := range a.predicates() {
					if !p.holds(running) && p.holds(final) && !p.holds(live) {
						missing = append(missing, p.label)
					}
				}
			}
			return missing
		}
		for _, a := range actions {
			running.apply(a)
		}
	}
	return missing
}
