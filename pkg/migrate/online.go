package migrate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A step is one statement that runs by itself, outside of any transaction.
type step struct {
	sql string
	// schema and index name what a CREATE INDEX CONCURRENTLY makes, to look at
	// it afterwards.
	schema, index string
}

// indexOnly reports whether the script does nothing but create and drop
// indexes.
func (sc script) indexOnly() bool {
	n := 0
	for _, a := range ddl(sc.sql) {
		if a.kind != actCreateIndex && a.kind != actDropIndex {
			return false
		}
		n++
	}
	return n > 0
}

// deferrable reports whether an index-only script can wait for the others: it
// makes no unique index, which a foreign key might need, and no later script
// names what it makes or drops.
func (sc script) deferrable(later []script) bool {
	names := map[string]bool{}
	for _, a := range ddl(sc.sql) {
		if a.index != nil && (a.index.unique || a.name == "") {
			return false
		}
		names[a.name] = true
	}
	for _, o := range later {
		for _, a := range ddl(o.sql) {
			if names[a.name] || names[a.to] {
				return false
			}
		}
	}
	return true
}

// onlineSteps turns an index-only script into statements that let the tables be
// written to meanwhile. They can run again after a failure.
func (s *session) onlineSteps(ctx context.Context, sc script) ([]step, error) {
	var list []step
	for _, a := range ddl(sc.sql) {
		schema := a.schema
		if schema == "" {
			schema = s.p.target.Schema
		}
		if a.kind == actDropIndex {
			// On a partitioned table an index cannot be dropped concurrently.
			var partitioned bool
			if err := s.conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'I')`, schema, a.name).Scan(&partitioned); err != nil {
				return nil, err
			}
			how := "CONCURRENTLY "
			if partitioned {
				how = ""
			}
			list = append(list, step{sql: "DROP INDEX " + how + "IF EXISTS " + pgx.Identifier{schema, a.name}.Sanitize()})
			continue
		}
		x := *a.index
		if x.name == "" {
			x.name = objectName(x.table, strings.Join(x.keys, "_"), "idx")
		}
		steps, err := s.buildSteps(ctx, schema, x)
		if err != nil {
			return nil, err
		}
		list = append(list, steps...)
	}
	return list, nil
}

// buildSteps builds one index concurrently; on a partitioned table, which the
// server cannot do, for each partition, with the parent's index put together at
// the end.
func (s *session) buildSteps(ctx context.Context, schema string, x indexDef) ([]step, error) {
	rows, err := s.conn.Query(ctx, `SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, schema, x.table)
	if err != nil {
		return nil, err
	}
	var oid uint32
	var space, name string
	var partitioned bool
	found := false
	if _, err := pgx.ForEachRow(rows, []any{&oid, &space, &name, &partitioned}, func() error { found = true; return nil }); err != nil {
		return nil, err
	}
	if !found || !partitioned || x.only {
		return []step{{sql: x.sql(!x.only, schema), schema: schema, index: x.name}}, nil
	}
	parent := x
	parent.only = true
	list := []step{{sql: onOnly(parent, schema)}}
	rows, err = s.conn.Query(ctx, `SELECT n.nspname::text, c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = $1 ORDER BY 1, 2`, oid)
	if err != nil {
		return nil, err
	}
	type child struct{ schema, name string }
	var children []child
	if _, err := pgx.ForEachRow(rows, []any{&space, &name}, func() error { children = append(children, child{space, name}); return nil }); err != nil {
		return nil, err
	}
	for _, c := range children {
		part := x
		part.table, part.name = c.name, objectName(c.name, strings.Join(columnsOf(x), "_"), "idx")
		inner, err := s.buildSteps(ctx, c.schema, part)
		if err != nil {
			return nil, err
		}
		list = append(list, inner...)
		list = append(list, step{sql: "ALTER INDEX " + pgx.Identifier{schema, x.name}.Sanitize() + " ATTACH PARTITION " + pgx.Identifier{c.schema, part.name}.Sanitize()})
	}
	return list, nil
}

func onOnly(x indexDef, schema string) string {
	return strings.Replace(x.sql(false, schema), " ON ", " ON ONLY ", 1)
}

func columnsOf(x indexDef) []string {
	var list []string
	for _, k := range x.keys {
		if c := keyColumn(k); isIdentifier(c) {
			list = append(list, c)
		} else {
			list = append(list, "expr")
		}
	}
	return list
}

// splitSteps are a file's own statements, one by one.
func splitSteps(sc script) []step {
	var list []step
	for _, st := range sc.statements {
		one := step{sql: sc.sql[st.start:st.end]}
		if x, ok := st.index(); ok && x.concurrently {
			one.schema, one.index = x.schema, x.name
		}
		list = append(list, one)
	}
	return list
}

// stepwise runs a migration as single statements and records it like any
// other. deadlock is true when the lock has to be given up; the steps can then
// run again from the start, unless they are a file's own.
func (s *session) stepwise(ctx context.Context, m Migration, mode Mode, steps []step) (a Applied, deadlock bool, err error) {
	p := s.p
	a = Applied{Name: m.Name, Mode: mode, Statements: len(steps)}
	begin := time.Now()
	if err := s.guards(ctx, mode); err != nil {
		return a, false, s.failure(ctx, "setting up the session for "+m.Name, err)
	}
	invalid, err := s.invalidIndexes(ctx)
	if err != nil {
		return a, false, s.failure(ctx, "looking for invalid indexes", err)
	}
	p.emit(Event{Event: EventMigrationStarted, Migration: m.Name, Mode: mode, Statements: len(steps)})
	id := newID(mode)
	if err := s.insertStarted(ctx, id, m); err != nil {
		return a, false, s.failure(ctx, "recording the start of "+m.Name, err)
	}
	stop := s.watch(ctx, m)
	defer func() { stop() }()
	for i := 0; i < len(steps); i++ {
		one := steps[i]
		from := time.Now()
		for attempt := 1; ; attempt++ {
			err = s.interruptible(ctx, func(ctx context.Context) error {
				_, err := s.conn.PgConn().Exec(ctx, one.sql).ReadAll()
				return err
			})
			if err == nil {
				break
			}
			book, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.CancelGrace)
			again, giveUp, ferr := s.afterStep(ctx, book, id, m, mode, i, err, attempt, invalid)
			cancel()
			if giveUp || ferr != nil {
				return a, giveUp, ferr
			}
			if !again || !sleep(ctx, backoff(attempt)) {
				return a, false, p.cancelled(ctx, "during "+m.Name, nil)
			}
		}
		p.emit(Event{Event: EventStatementDone, Migration: m.Name, Statement: i + 1, Statements: len(steps), DurationMS: time.Since(from).Milliseconds()})
	}
	book, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.CancelGrace)
	defer cancel()
	if err := stubborn(func() error { return s.forget(book, mode) }); err != nil {
		return a, false, s.failure(book, "cleaning up after "+m.Name, err)
	}
	for _, one := range steps {
		if one.index == "" {
			continue
		}
		schema := one.schema
		if schema == "" {
			schema = p.target.Schema
		}
		ok := true
		err := s.conn.QueryRow(book, `SELECT coalesce(bool_and(i.indisvalid AND i.indisready), true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, schema, one.index).Scan(&ok)
		if err == nil && !ok {
			err = fmt.Errorf("index %q is invalid after its build", one.index)
		}
		if err != nil {
			e := &Error{Code: "P3018", Rule: "IDX001", Migration: m.Name, Message: messageOf(err), Hint: "llmgw migrate repair-indexes --apply builds it again."}
			_ = s.markFailed(book, id, "llmgw: "+e.Message)
			return a, false, e
		}
	}
	if err := s.markApplied(book, id); err != nil {
		return a, false, s.failure(book, "recording the end of "+m.Name, err)
	}
	a.DurationMS = time.Since(begin).Milliseconds()
	p.emit(Event{Event: EventMigrationFinished, Migration: m.Name, Mode: mode, DurationMS: a.DurationMS})
	return a, false, nil
}

// afterStep puts things in order after a step that failed.
func (s *session) afterStep(ctx, book context.Context, id string, m Migration, mode Mode, done int, err error, attempt int, invalid map[uint32]string) (again, giveUp bool, _ error) {
	p := s.p
	if s.conn.IsClosed() {
		e := &Error{Code: "P1017", kind: kindUnreachable, Migration: m.Name, err: err, Message: fmt.Sprintf("Server has closed the connection during %s", m.Name)}
		e.Hint = "What became of its statements is unknown; its row is left as failed. llmgw migrate repair-indexes lists what is invalid."
		return false, false, e
	}
	_, _ = s.conn.PgConn().Exec(book, "ROLLBACK").ReadAll()
	if ferr := stubborn(func() error { return s.forget(book, mode) }); ferr != nil {
		return false, false, s.failure(book, "cleaning up after "+m.Name, ferr)
	}
	if _, derr := s.dropNewInvalid(book, invalid); derr != nil {
		return false, false, s.failure(book, "dropping the invalid index that "+m.Name+" left", derr)
	}
	state := stateOf(err)
	// Nothing of ours is kept, or what is kept does no harm when it runs again.
	repeatable := mode == Online || done == 0
	switch {
	case ctx.Err() != nil && repeatable:
		return false, false, s.recordCancelled(ctx, book, id, m)
	case ctx.Err() != nil:
		e := p.cancelled(ctx, fmt.Sprintf("during %s, of which %s ran: it is left as failed", m.Name, plural(done, "statement", "statements")), nil)
		e.Migration = m.Name
		_ = s.markFailed(book, id, "llmgw: "+e.Message)
		return false, false, e
	case state == stateDeadlock && repeatable && attempt <= p.o.MaxRetries && !p.o.NoLock:
		p.emit(Event{Event: EventMigrationRetry, Migration: m.Name, Attempt: attempt, SQLState: state, Message: messageOf(err)})
		if rerr := s.markRolledBack(book, id, "llmgw: deadlock, rolled back\n"+messageOf(err)); rerr != nil {
			return false, false, s.failure(book, "marking "+m.Name+" rolled back", rerr)
		}
		return false, true, nil
	case (state == stateDeadlock || state == stateLockTimeout) && attempt <= p.o.MaxRetries:
		p.emit(Event{Event: EventMigrationRetry, Migration: m.Name, Attempt: attempt, SQLState: state, Message: messageOf(err)})
		return true, false, nil
	}
	e := s.failed(m, script{}, outcome{err: err})
	if done > 0 {
		e.Hint = fmt.Sprintf("%s of it ran and %s kept.", plural(done, "statement", "statements"), map[bool]string{true: "is", false: "are"}[done == 1])
	}
	if ferr := s.markFailed(book, id, e.Error()); ferr != nil {
		return false, false, s.failure(book, "recording the failure of "+m.Name, ferr)
	}
	return false, false, e
}

// skipIndexes records an index-only migration without building anything; its
// statements are for the operator.
func (s *session) skipIndexes(ctx context.Context, m Migration, sc script) (Skipped, error) {
	out := Skipped{Name: m.Name}
	steps, err := s.onlineSteps(ctx, sc)
	if err != nil {
		return out, s.failure(ctx, "looking at the indexes of "+m.Name, err)
	}
	for _, one := range steps {
		out.SQL = append(out.SQL, one.sql+";")
	}
	if err := s.insertApplied(ctx, m, "llmgw: recorded without building its indexes"); err != nil {
		return out, s.failure(ctx, "recording "+m.Name, err)
	}
	return out, nil
}

// Skipped is an index-only migration that was recorded without being run.
type Skipped struct {
	Name string   `json:"name"`
	SQL  []string `json:"sql"`
}

// route decides how a migration is run, beyond its mode.
func (s *session) route(ctx context.Context, m Migration, sc script) (mode Mode, steps []step, err error) {
	o := s.p.o
	switch {
	case o.OnlineIndexes && sc.indexOnly():
		known, err := s.knownTables(ctx, sc)
		if err != nil {
			return "", nil, s.failure(ctx, "looking at the tables of "+m.Name, err)
		}
		if !known && sc.refusal == nil && sc.mode != Bare {
			return sc.mode, nil, nil // the tables are empty yet, or not there
		}
		if err := s.repairInvalid(ctx, sc); err != nil {
			return "", nil, err
		}
		steps, err := s.onlineSteps(ctx, sc)
		if err != nil {
			return "", nil, s.failure(ctx, "looking at the indexes of "+m.Name, err)
		}
		return Online, steps, nil
	case sc.split:
		return Split, splitSteps(sc), nil
	}
	return sc.mode, nil, nil
}

// knownTables reports whether one of the script's tables has rows.
func (s *session) knownTables(ctx context.Context, sc script) (bool, error) {
	for _, a := range ddl(sc.sql) {
		if a.kind != actCreateIndex {
			continue
		}
		schema := a.schema
		if schema == "" {
			schema = s.p.target.Schema
		}
		var name *string
		if err := s.conn.QueryRow(ctx, "SELECT to_regclass($1)::text", pgx.Identifier{schema, a.table}.Sanitize()).Scan(&name); err != nil {
			return false, err
		}
		if name == nil {
			continue
		}
		var rows bool
		if err := s.conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM "+pgx.Identifier{schema, a.table}.Sanitize()+")").Scan(&rows); err != nil {
			return false, err
		}
		if rows {
			return true, nil
		}
	}
	return false, nil
}

// repairInvalid drops the invalid indexes whose names the script wants to use.
func (s *session) repairInvalid(ctx context.Context, sc script) error {
	if !s.p.o.RepairInvalid {
		return nil
	}
	invalid, err := s.invalidIndexes(ctx)
	if err != nil {
		return s.failure(ctx, "looking for invalid indexes", err)
	}
	for _, a := range ddl(sc.sql) {
		if a.kind != actCreateIndex || a.name == "" {
			continue
		}
		schema := a.schema
		if schema == "" {
			schema = s.p.target.Schema
		}
		for _, name := range invalid {
			if name != formatName(schema, a.name) {
				continue
			}
			if _, err := s.conn.PgConn().Exec(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+name).ReadAll(); err != nil {
				return s.failure(ctx, "dropping the invalid index "+name, err)
			}
			s.p.emit(Event{Event: EventWarning, Message: "dropped the invalid index " + name + " to build it again"})
		}
	}
	return nil
}

// formatName writes a name as format('%I.%I') does.
func formatName(schema, name string) string {
	plain := func(n string) string {
		if isPlain(n) {
			return n
		}
		return quoteName(n)
	}
	return plain(schema) + "." + plain(name)
}
