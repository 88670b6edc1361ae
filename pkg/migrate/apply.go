package migrate

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	stateLockTimeout = "55P03"
	stateDeadlock    = "40P01"
	stateCancelled   = "57014"
)

// apply runs one migration to its end: applied, failed, cancelled, or, with
// deadlock, rolled back because the advisory lock must be given up before
// another try can succeed.
func (s *session) apply(ctx context.Context, m Migration, sc script) (a Applied, deadlock bool, err error) {
	p := s.p
	a = Applied{Name: m.Name, Mode: sc.mode, Statements: len(sc.statements)}
	begin := time.Now()
	if err := s.guards(ctx, sc.mode); err != nil {
		return a, false, s.failure(ctx, "setting up the session for "+m.Name, err)
	}
	if err := s.repairInvalid(ctx, sc); err != nil {
		return a, false, err
	}
	if err := s.checkIndexes(ctx, m, sc); err != nil {
		return a, false, err
	}
	invalid, err := s.invalidIndexes(ctx)
	if err != nil {
		return a, false, s.failure(ctx, "looking for invalid indexes", err)
	}
	p.emit(Event{Event: EventMigrationStarted, Migration: m.Name, Mode: sc.mode, Statements: len(sc.statements), Doing: sc.doing()})

	id := newID(sc.mode)
	if err := s.insertStarted(ctx, id, m); err != nil {
		return a, false, s.failure(ctx, "recording the start of "+m.Name, err)
	}
	for attempt := 1; ; attempt++ {
		stop := s.watch(ctx, m)
		out := s.run(ctx, id, m, sc)
		stop()
		if out.err == nil {
			if attempt > 1 {
				a.Attempts = attempt
			}
			a.DurationMS = time.Since(begin).Milliseconds()
			p.emit(Event{Event: EventMigrationFinished, Migration: m.Name, Mode: sc.mode, DurationMS: a.DurationMS})
			return a, false, nil
		}
		// Whatever happens to ctx now, the history must say what happened.
		book, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.CancelGrace)
		done, retry, deadlocked, err := s.afterFailure(ctx, book, id, m, sc, out, attempt, invalid)
		cancel()
		if done {
			a.DurationMS = time.Since(begin).Milliseconds()
			return a, deadlocked, err
		}
		if !sleep(ctx, retry) {
			book, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.CancelGrace)
			defer cancel()
			return a, false, s.recordCancelled(ctx, book, id, m)
		}
	}
}

// outcome is how one attempt ended.
type outcome struct {
	err       error
	open      bool // the file left a transaction open
	committed bool // the script is kept, only the note about it is missing
}

// run executes the script once, in its mode, with the note that it is done.
func (s *session) run(ctx context.Context, id string, m Migration, sc script) outcome {
	pg := s.conn.PgConn()
	var out outcome
	out.err = s.interruptible(ctx, func(ctx context.Context) error {
		if sc.mode == Atomic {
			if _, err := pg.Exec(ctx, "BEGIN").ReadAll(); err != nil {
				return err
			}
		}
		if err := s.script(ctx, m, sc); err != nil {
			return err
		}
		if sc.mode != Atomic || pg.TxStatus() != 'T' {
			return nil
		}
		// What the file set for its session must not reach the note: another
		// role may not be allowed to write it.
		if _, err := pg.Exec(ctx, resetSession).ReadAll(); err != nil {
			return err
		}
		if err := s.markApplied(ctx, id); err != nil {
			return err
		}
		if _, err := pg.Exec(ctx, "COMMIT").ReadAll(); err != nil {
			return err
		}
		out.committed = true
		return nil
	})
	if out.err != nil {
		return out
	}
	if pg.TxStatus() != 'I' {
		out.open, out.err = true, errors.New("left a transaction open; nothing of it was kept")
		return out
	}
	// From here on the file's work is kept, whatever happens to ctx.
	noted := out.committed
	out.committed = true
	book, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.p.o.CancelGrace)
	defer cancel()
	err := stubborn(func() error { return s.forget(book, sc.mode) })
	if noted {
		return out // the next statement meets whatever is wrong
	}
	if err == nil {
		err = stubborn(func() error { return s.markApplied(book, id) })
	}
	out.err = err
	return out
}

// stubborn tries again when a request to cancel, meant for an earlier
// statement, arrived late.
func stubborn(f func() error) error {
	err := f()
	if isState(err, stateCancelled) {
		err = f()
	}
	return err
}

// script sends the file as one query and reports each statement's end. The
// server keeps those answers back until it has a buffer full of them or the
// whole file is done, so they tell what was done rather than what is doing.
func (s *session) script(ctx context.Context, m Migration, sc script) error {
	results := s.conn.PgConn().Exec(ctx, sc.sql)
	n := 0
	begin := time.Now()
	for results.NextResult() {
		rows := results.ResultReader()
		for rows.NextRow() { // a SELECT's rows are of no interest
		}
		tag, err := rows.Close()
		if err != nil {
			break // results.Close returns it
		}
		n++
		s.p.emit(Event{Event: EventStatementDone, Migration: m.Name, Statement: n, Statements: len(sc.statements), Tag: tag.String(), DurationMS: time.Since(begin).Milliseconds()})
		begin = time.Now()
	}
	return results.Close()
}

// interruptible runs f so that the end of ctx cancels the statement on the
// server rather than the connection: a request to cancel is sent until f
// returns, and only after CancelGrace is the connection dropped.
func (s *session) interruptible(ctx context.Context, f func(context.Context) error) error {
	inner, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		grace := time.NewTimer(s.p.o.CancelGrace)
		defer grace.Stop()
		for {
			request, cancel := context.WithTimeout(inner, 5*time.Second)
			_ = s.conn.PgConn().CancelRequest(request)
			cancel()
			again := time.NewTimer(500 * time.Millisecond)
			select {
			case <-done:
				again.Stop()
				return
			case <-grace.C:
				again.Stop()
				drop()
				return
			case <-again.C:
			}
		}
	}()
	err := f(inner)
	close(done)
	<-stopped
	return err
}

// afterFailure puts the history in order after a failed attempt. done means
// that err is the answer; otherwise the file is tried again after a pause.
func (s *session) afterFailure(ctx, book context.Context, id string, m Migration, sc script, out outcome, attempt int, invalid map[uint32]string) (done bool, pause time.Duration, deadlock bool, err error) {
	p := s.p
	if s.conn.IsClosed() {
		if ctx.Err() != nil {
			e := p.cancelled(ctx, fmt.Sprintf("during %s; the server did not stop its statement in time and its outcome is unknown", m.Name), nil)
			e.Migration = m.Name
			return true, 0, false, e
		}
		return true, 0, false, s.recover(ctx, id, m, sc, out)
	}
	if err := stubborn(func() error {
		_, err := s.conn.PgConn().Exec(book, "ROLLBACK").ReadAll()
		return err
	}); err != nil {
		return true, 0, false, s.failure(book, "rolling back "+m.Name, err)
	}
	if err := stubborn(func() error { return s.forget(book, sc.mode) }); err != nil {
		return true, 0, false, s.failure(book, "cleaning up after "+m.Name, err)
	}
	state := stateOf(out.err)
	var cleaned []string
	if sc.mode == Bare {
		if cleaned, err = s.dropNewInvalid(book, invalid); err != nil {
			cleaned = append(cleaned, "and an invalid index could not be dropped: "+err.Error())
		}
	}
	if ctx.Err() != nil && (state == stateCancelled || sc.mode == Atomic) {
		if sc.mode == Native {
			// Its own COMMITs may have kept a part of it.
			e := p.cancelled(ctx, fmt.Sprintf("during %s, which has transactions of its own: a part of it may be kept, so it is left as failed", m.Name), nil)
			e.Migration = m.Name
			_ = s.markFailed(book, id, "llmgw: "+e.Message)
			return true, 0, false, e
		}
		return true, 0, false, s.recordCancelled(ctx, book, id, m)
	}
	// A retry is safe only where nothing was kept.
	if sc.mode != Native && (state == stateLockTimeout || state == stateDeadlock) {
		last := attempt > p.o.MaxRetries
		p.emit(Event{Event: EventMigrationRetry, Migration: m.Name, Attempt: attempt, SQLState: state, Message: messageOf(out.err)})
		switch {
		case state == stateDeadlock && sc.mode == Bare && !p.o.NoLock:
			// Somebody may wait for the advisory lock inside a statement and hold
			// the snapshot that this build waits for. Only giving up the lock ends
			// that; the caller takes it again and reads the history anew.
			if err := s.markRolledBack(book, id, "llmgw: deadlock, rolled back\n"+messageOf(out.err)); err != nil {
				return true, 0, false, s.failure(book, "marking "+m.Name+" rolled back", err)
			}
			return true, 0, true, s.failed(m, sc, out)
		case !last:
			return false, backoff(attempt), false, nil
		}
		logs := fmt.Sprintf("llmgw: given up after %s, rolled back\n%s", plural(attempt, "try", "tries"), messageOf(out.err))
		if err := s.markRolledBack(book, id, logs); err != nil {
			return true, 0, false, s.failure(book, "marking "+m.Name+" rolled back", err)
		}
		e := s.failed(m, sc, out)
		e.Hint = fmt.Sprintf("Tried %s; nothing was kept, and the next deploy runs it again.", plural(attempt, "time", "times"))
		if blockers := s.blockers(book); blockers != "" {
			e.Hint += " Long transactions now: " + blockers
		}
		return true, 0, false, e
	}
	e := s.failed(m, sc, out)
	e.Hint = nextAfter(sc.mode, m.Name)
	if len(cleaned) > 0 {
		e.Hint = "Dropped the invalid index that it left: " + strings.Join(cleaned, ", ") + ". " + e.Hint
	}
	logs := e.Error()
	if err := s.markFailed(book, id, logs); err != nil {
		return true, 0, false, s.failure(book, "recording the failure of "+m.Name, err)
	}
	return true, 0, false, e
}

func backoff(attempt int) time.Duration {
	d := min(time.Duration(attempt)*500*time.Millisecond, 5*time.Second)
	return time.Duration(float64(d) * (0.75 + mathrand.Float64()/2))
}

func (s *session) recordCancelled(ctx, book context.Context, id string, m Migration) error {
	e := s.p.cancelled(ctx, fmt.Sprintf("during %s, which was rolled back; the next deploy runs it again", m.Name), nil)
	e.Migration = m.Name
	logs := fmt.Sprintf("llmgw: cancelled by %s, rolled back", e.Cause)
	if err := stubborn(func() error { return s.markRolledBack(book, id, logs) }); err != nil {
		return s.failure(book, "marking "+m.Name+" rolled back", err)
	}
	return e
}

// nextAfter says what was kept of a file that failed, and what to do.
func nextAfter(mode Mode, name string) string {
	switch mode {
	case Atomic:
		return "Nothing of it was kept. Mend the cause, then llmgw migrate deploy --retry-failed."
	case Native:
		return fmt.Sprintf("It has transactions of its own, so a part may be kept. Mend the cause and look, then llmgw migrate resolve --rolled-back %q (it runs again) or --applied.", name)
	}
	return fmt.Sprintf("Mend the cause, then llmgw migrate resolve --rolled-back %q (it runs again) or --applied.", name)
}

// failed is P3018 with what the server said, and where.
func (s *session) failed(m Migration, sc script, out outcome) *Error {
	e := &Error{Code: "P3018", Migration: m.Name, Message: messageOf(out.err), err: out.err}
	pe, ok := errors.AsType[*pgconn.PgError](out.err)
	if !ok {
		if out.open {
			e.Rule = "TXN002"
		}
		return e
	}
	e.SQLState = pe.Code
	if pe.Detail != "" {
		e.extra = append(e.extra, "DETAIL: "+pe.Detail)
	}
	if pe.Hint != "" {
		e.extra = append(e.extra, "HINT: "+pe.Hint)
	}
	e.Line = lineOf(sc.sql, pe.Position)
	if e.Line > 0 {
		e.extra = append(e.extra, "", "Position:")
		lines := strings.Split(sc.sql, "\n")
		for i := max(0, e.Line-6); i < e.Line && i < len(lines); i++ {
			e.extra = append(e.extra, fmt.Sprintf("%3d %s", i+1, strings.TrimRight(lines[i], "\r")))
		}
	}
	return e
}

// recover finds out, on a new connection, what became of a file whose
// connection broke. In atomic mode the row itself tells: the note and the
// script are one transaction. The old session may still be at work, so the
// advisory lock, which it holds as long as it lives, is waited for.
func (s *session) recover(ctx context.Context, id string, m Migration, sc script, out outcome) error {
	e := &Error{
		Code: "P1017", kind: kindUnreachable, Migration: m.Name, err: out.err,
		Message: fmt.Sprintf("Server has closed the connection during %s", m.Name),
	}
	if s.p.o.NoLock || sc.mode != Atomic && !out.committed {
		e.Hint = "What became of it is unknown; its row is left as failed."
		return e
	}
	e.Hint = "It ran in one transaction, so it was applied as a whole or not at all. Run deploy again, with --retry-failed if it says P3009."
	limit, cancel := context.WithTimeout(ctx, s.p.o.CancelGrace)
	defer cancel()
	quiet := *s.p
	quiet.o.OnEvent = func(Event) {}
	quiet.o.ConnectWait, quiet.o.LockTimeout = s.p.o.CancelGrace, s.p.o.CancelGrace
	again, err := quiet.connect(limit)
	if err != nil {
		return e
	}
	defer again.close()
	if _, err := again.lock(limit); err != nil {
		return e
	}
	defer func() { _ = again.unlock(limit) }()
	rows, err := again.rows(limit)
	if err != nil {
		return e
	}
	for _, row := range rows {
		switch {
		case row.ID != id:
		case row.Applied():
			e.Hint = "It had been applied as a whole before that. Run deploy again for the rest."
		case sc.mode != Atomic:
			if err := again.markApplied(limit, id); err == nil {
				e.Hint = "It had been applied as a whole before that. Run deploy again for the rest."
			}
		default:
			if err := again.markRolledBack(limit, id, "llmgw: connection lost, rolled back by the server"); err == nil {
				e.Hint = "The server rolled it back. Run deploy again."
			}
		}
	}
	return e
}

// blockers names transactions that have been open for a while, which is what
// table locks usually wait for.
func (s *session) blockers(ctx context.Context) string {
	rows, err := s.conn.Query(ctx, `SELECT format('pid %s (%s, %s) for %s s', pid, coalesce(nullif(application_name, ''), 'no name'), state, extract(epoch FROM clock_timestamp() - xact_start)::bigint)
		FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - interval '1 second' ORDER BY xact_start LIMIT 3`)
	if err != nil {
		return ""
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return ""
	}
	return strings.Join(list, "; ")
}

// invalidIndexes lists the schema's indexes that a failed concurrent build
// left behind.
func (s *session) invalidIndexes(ctx context.Context) (map[uint32]string, error) {
	rows, err := s.conn.Query(ctx, `SELECT i.indexrelid::oid, format('%I.%I', n.nspname, c.relname) FROM pg_index i
		JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE NOT (i.indisvalid AND i.indisready) AND c.relkind = 'i' AND n.nspname NOT LIKE 'pg\_%'`)
	if err != nil {
		return nil, err
	}
	found := map[uint32]string{}
	var oid uint32
	var name string
	_, err = pgx.ForEachRow(rows, []any{&oid, &name}, func() error { found[oid] = name; return nil })
	return found, err
}

// dropNewInvalid removes the invalid indexes that were not there before this
// file ran.
func (s *session) dropNewInvalid(ctx context.Context, before map[uint32]string) (dropped []string, err error) {
	now, err := s.invalidIndexes(ctx)
	if err != nil {
		return nil, err
	}
	for oid, name := range now {
		if _, old := before[oid]; old {
			continue
		}
		if _, derr := s.conn.PgConn().Exec(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+name).ReadAll(); derr != nil {
			// The plain form waits for less and cannot deadlock with a snapshot.
			if _, derr = s.conn.PgConn().Exec(ctx, "DROP INDEX IF EXISTS "+name).ReadAll(); derr != nil {
				return dropped, derr
			}
		}
		dropped = append(dropped, name)
	}
	return dropped, nil
}

// checkIndexes refuses what is known to go wrong with an index before the
// file is begun: CREATE INDEX IF NOT EXISTS over an invalid index of that name,
// which the server would skip, so that the migration counts as applied without
// its index; and a concurrent build on a partitioned table, which the server
// cannot do.
func (s *session) checkIndexes(ctx context.Context, m Migration, sc script) error {
	for _, st := range sc.statements {
		x, ok := st.index()
		if !ok {
			continue
		}
		schema := x.tableSchema
		if schema == "" {
			schema = s.p.target.Schema
		}
		var partitioned, invalid bool
		err := s.conn.QueryRow(ctx, `SELECT
			EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'p'),
			EXISTS (SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE n.nspname = $1 AND c.relname = $3 AND c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready))`, schema, x.table, x.name).Scan(&partitioned, &invalid)
		if err != nil {
			return s.failure(ctx, "looking at the indexes of "+m.Name, err)
		}
		e := &Error{Code: "P3018", kind: kindRefused, Migration: m.Name, Line: 1 + strings.Count(sc.sql[:st.start], "\n")}
		switch {
		case x.concurrently && partitioned:
			e.Rule, e.SQLState = "PART001", "0A000"
			e.Message = fmt.Sprintf("cannot create index on partitioned table %q concurrently", x.table)
			e.Hint = "--online-indexes builds it on each partition and puts the parent's index together from them."
			return e
		case x.ifNotExists && invalid:
			e.Rule = "IDX001"
			e.Message = fmt.Sprintf("index %q exists but is invalid, left by a concurrent build that failed; IF NOT EXISTS would keep it so", x.name)
			e.Hint = fmt.Sprintf("--repair-invalid drops it and builds it anew; by hand: DROP INDEX CONCURRENTLY %s;", pgx.Identifier{schema, x.name}.Sanitize())
			return e
		}
	}
	return nil
}

func stateOf(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code
	}
	return ""
}

func isState(err error, state string) bool { return err != nil && stateOf(err) == state }

func messageOf(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Message
	}
	return err.Error()
}
