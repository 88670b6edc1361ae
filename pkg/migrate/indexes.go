package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Index is one index that is not as it should be.
type Index struct {
	Name  string `json:"name"`
	Table string `json:"table"`
	// State is invalid (a concurrent build failed), missing (an applied
	// migration or LiteLLM's own start makes it), or leftover (of a REINDEX).
	State string   `json:"state"`
	SQL   []string `json:"sql"`
	// Foreign: on a table that no migration makes; it is left alone.
	Foreign bool `json:"foreign,omitempty"`
	Done    bool `json:"done,omitempty"`

	steps []step
}

// IndexesResult is what repair-indexes found and did.
type IndexesResult struct {
	Database Database  `json:"database"`
	Set      string    `json:"set"`
	Indexes  []Index   `json:"indexes"`
	Applied  bool      `json:"applied"`
	Failed   *Failure  `json:"failed,omitempty"`
	Lock     LockInfo  `json:"lock"`
	Warnings []Warning `json:"warnings"`
}

// afterMigrations are indexes that LiteLLM builds by itself, after the
// migrations, on the tables that are too large to be locked by one.
var afterMigrations = []indexDef{
	{name: "LiteLLM_SpendLogs_api_key_startTime_idx", table: "LiteLLM_SpendLogs", method: "btree", keys: []string{"api_key", "startTime"}},
	{name: "LiteLLM_SpendLogs_litellm_call_id_idx", table: "LiteLLM_SpendLogs", method: "btree", keys: []string{"litellm_call_id"}},
}

// RepairIndexes lists indexes that are invalid or missing; with apply it builds
// them concurrently, one after the other.
func (p *Provider) RepairIndexes(ctx context.Context, apply bool) (*IndexesResult, error) {
	r := &IndexesResult{Database: p.address(), Set: p.set.Name, Indexes: []Index{}, Applied: apply, Warnings: []Warning{}, Lock: LockInfo{Key: LockKey, Disabled: p.o.NoLock}}
	err := p.repairIndexes(ctx, apply, r)
	r.Failed = failureOf(err)
	return r, err
}

func (p *Provider) repairIndexes(ctx context.Context, apply bool, r *IndexesResult) error {
	if !apply {
		s, err := p.connect(ctx)
		if err != nil {
			return err
		}
		defer s.close()
		r.Database = s.database()
		if err := s.findIndexes(ctx, r); err != nil {
			return err
		}
		if n := r.open(); n > 0 {
			return &Error{Code: "LM0012", kind: kindPending, Message: fmt.Sprintf("%s to repair; --apply does it", plural(n, "index", "indexes"))}
		}
		return nil
	}
	return p.inLock(ctx, &r.Database, &r.Lock, &r.Warnings, func(s *session) error {
		if err := s.findIndexes(ctx, r); err != nil {
			return err
		}
		before, err := s.invalidIndexes(ctx)
		if err != nil {
			return s.failure(ctx, "looking for invalid indexes", err)
		}
		for i := range r.Indexes {
			x := &r.Indexes[i]
			if x.Foreign {
				continue
			}
			p.emit(Event{Event: EventMigrationStarted, Migration: x.Name, Mode: Online, Statements: len(x.steps)})
			stop := s.watch(ctx, Migration{Name: x.Name})
			begin := time.Now()
			for _, one := range x.steps {
				for attempt := 1; ; attempt++ {
					err = s.interruptible(ctx, func(ctx context.Context) error {
						_, err := s.conn.PgConn().Exec(ctx, one.sql).ReadAll()
						return err
					})
					if err == nil {
						break
					}
					book, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.CancelGrace)
					if !s.conn.IsClosed() {
						_, _ = s.dropNewInvalid(book, before)
					}
					cancel()
					if stateOf(err) != stateDeadlock || attempt > p.o.MaxRetries || ctx.Err() != nil || !sleep(ctx, backoff(attempt)) {
						break
					}
				}
				if err != nil {
					break
				}
			}
			stop()
			if err != nil {
				if e, ok := errors.AsType[*Error](s.failure(ctx, "building index "+x.Name, err)); ok {
					return e
				}
				return err
			}
			x.Done = true
			p.emit(Event{Event: EventMigrationFinished, Migration: x.Name, Mode: Online, DurationMS: time.Since(begin).Milliseconds()})
		}
		return nil
	})
}

func (r *IndexesResult) open() int {
	n := 0
	for _, x := range r.Indexes {
		if !x.Foreign && !x.Done {
			n++
		}
	}
	return n
}

// findIndexes looks for what is invalid, and for what the applied migrations
// make and the schema lacks.
func (s *session) findIndexes(ctx context.Context, r *IndexesResult) error {
	live, err := s.liveModel(ctx)
	if err != nil {
		return s.failure(ctx, "reading the schema", err)
	}
	had, err := s.record(ctx)
	if err != nil {
		return err
	}
	r.Set = s.p.set.Name
	var chain []Migration
	for _, m := range s.p.set.Migrations {
		if slices.ContainsFunc(had.rows, func(row Row) bool { return row.Name == m.Name && row.Applied() }) {
			chain = append(chain, m)
		}
	}
	want := simulate(chain)
	for _, x := range afterMigrations {
		t := live.tables[x.table]
		if t == nil || want.tables[x.table] != nil && want.tables[x.table].index(x.name) != nil {
			continue
		}
		complete := !slices.ContainsFunc(x.keys, func(k string) bool { return t.column(k) == nil })
		if complete && s.p.set.Name == "litellm" {
			if want.tables[x.table] == nil {
				want.tables[x.table] = &tableDef{name: x.table}
			}
			one := x
			want.tables[x.table].indexes = append(want.tables[x.table].indexes, &one)
		}
	}
	ours := func(table string) bool { return want.tables[table] != nil || strings.HasPrefix(table, "LiteLLM_") }
	for _, table := range sortedKeys(live.tables) {
		for _, x := range live.tables[table].indexes {
			if !x.invalid {
				continue
			}
			one := Index{Name: x.name, Table: table, State: "invalid", Foreign: !ours(table)}
			one.steps = []step{{sql: "DROP INDEX CONCURRENTLY IF EXISTS " + pgx.Identifier{s.p.target.Schema, x.name}.Sanitize()}}
			if live.tables[table].partitioned {
				// The parent's index becomes valid when the last partition has its own.
				one.steps = nil
			}
			if strings.Contains(x.name, "_ccnew") || strings.Contains(x.name, "_ccold") {
				one.State = "leftover"
			} else {
				steps, err := s.buildSteps(ctx, s.p.target.Schema, *x)
				if err != nil {
					return s.failure(ctx, "looking at index "+x.name, err)
				}
				one.steps = append(one.steps, steps...)
			}
			r.Indexes = append(r.Indexes, one)
		}
	}
	for _, d := range want.missingFrom(live) {
		if d.Object != "index" || d.Kind != "missing" || live.tables[d.Table] == nil {
			continue
		}
		x := want.tables[d.Table].index(d.Name)
		steps, err := s.buildSteps(ctx, s.p.target.Schema, *x)
		if err != nil {
			return s.failure(ctx, "looking at index "+x.name, err)
		}
		r.Indexes = append(r.Indexes, Index{Name: d.Name, Table: d.Table, State: "missing", steps: steps})
	}
	for i := range r.Indexes {
		for _, one := range r.Indexes[i].steps {
			r.Indexes[i].SQL = append(r.Indexes[i].SQL, one.sql+";")
		}
	}
	return nil
}
