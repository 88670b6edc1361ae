package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// deployPooled migrates through a transaction pooler, by consent: a session
// cannot be kept there, so each file is one transaction that takes a lock of
// its own on the usual key and ends with it. Files that need more than one
// transaction, or none, are refused.
func (s *session) deployPooled(ctx context.Context, r *DeployResult) error {
	p := s.p
	deadline := time.Now().Add(p.o.LockTimeout)
	begin := time.Now()
	told := false
	for round := 0; ; {
		if ctx.Err() != nil {
			return p.cancelled(ctx, "between two migrations; what ran before is applied", nil)
		}
		got, err := s.beginPooled(ctx)
		if err != nil {
			return s.failure(ctx, "beginning a transaction", err)
		}
		if !got {
			s.rollback(ctx)
			if time.Now().After(deadline) {
				holder, _ := s.holder(ctx)
				return s.lockTimeout(holder)
			}
			if !told {
				told = true
				p.emit(Event{Event: EventLockWait, Message: "the lock is held by another migration"})
			}
			if !sleep(ctx, 250*time.Millisecond) {
				return p.cancelled(ctx, "while waiting for the advisory lock; nothing was changed", nil)
			}
			continue
		}
		if round == 0 {
			r.Lock.WaitedMS = time.Since(begin).Milliseconds()
			p.emit(Event{Event: EventLockAcquired, DurationMS: r.Lock.WaitedMS})
		}
		more, err := s.pooledRound(ctx, r, round)
		if err != nil {
			s.rollback(ctx)
			return err
		}
		if !more {
			return nil
		}
		round++
		deadline = time.Now().Add(p.o.LockTimeout)
	}
}

func (s *session) rollback(ctx context.Context) {
	if s.conn.IsClosed() {
		return
	}
	book, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookLimit)
	defer cancel()
	_, _ = s.conn.PgConn().Exec(book, "ROLLBACK").ReadAll()
}

// beginPooled begins a transaction with our limits, which end with it, and asks
// for the lock.
func (s *session) beginPooled(ctx context.Context) (bool, error) {
	lock := max(s.p.o.DDLLockTimeout, 0)
	setup := fmt.Sprintf("BEGIN; SET LOCAL search_path = %s; SET LOCAL lock_timeout = %d; SET LOCAL statement_timeout = %d",
		pgx.Identifier{s.p.target.Schema}.Sanitize(), lock.Milliseconds(), s.p.o.StatementTimeout.Milliseconds())
	if _, err := s.conn.PgConn().Exec(ctx, setup).ReadAll(); err != nil {
		return false, err
	}
	if s.p.o.NoLock {
		return true, nil
	}
	var got bool
	err := s.conn.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", LockKey).Scan(&got)
	return got, err
}

// pooledRound applies the first pending file inside the transaction that was
// begun, and ends it.
func (s *session) pooledRound(ctx context.Context, r *DeployResult, round int) (more bool, err error) {
	p := s.p
	o, err := s.survey(ctx)
	if err != nil {
		return false, err
	}
	r.Set, r.From, r.Found = p.set.Name, p.set.From, len(p.set.Migrations)
	if e := checkOwner(p.set, o.rows); e != nil {
		return false, e
	}
	if round == 0 {
		r.Warnings = append(r.Warnings, o.warnings(p.set)...)
	}
	r.Pending = names(o.pending)
	if len(o.failed) > 0 {
		return false, failedRows(o.failed)
	}
	if p.o.Strict && len(o.edited)+len(o.missing) > 0 {
		return false, &Error{Code: "LM0008", kind: kindRefused, Message: strictMessage(o)}
	}
	todo := p.upTo(o.pending)
	if len(todo) > 0 && todo[0].absent {
		return false, needFilesFor(names(todo))
	}
	scripts := make([]script, len(todo))
	for i, m := range todo {
		if m.Err != nil {
			return false, m.Err
		}
		scripts[i] = prepare(m)
		if scripts[i].refusal != nil {
			return false, scripts[i].refusal
		}
		if scripts[i].mode != Atomic {
			return false, &Error{
				Code: "LM0002", Rule: "TXN001", kind: kindUsage, Migration: m.Name,
				Message: fmt.Sprintf("%s cannot run in one transaction, and through a transaction pooler there is nothing else", m.Name),
				Hint:    "Give the database's own address in DIRECT_URL or --database-url.",
			}
		}
	}
	if round == 0 {
		if err := s.checkGuards(ctx, todo, scripts); err != nil {
			return false, err
		}
		if len(todo) > 0 {
			if err := s.checkPrivileges(ctx, scripts); err != nil {
				return false, err
			}
		}
	}
	if p.o.DryRun {
		s.rollback(ctx)
		return false, nil
	}
	if err := s.prepareSchema(ctx); err != nil {
		return false, err
	}
	if len(todo) == 0 {
		_, err := s.conn.Exec(ctx, "COMMIT")
		if err != nil {
			return false, s.failure(ctx, "ending the transaction", err)
		}
		return false, nil
	}
	m, sc, id := todo[0], scripts[0], newID(Atomic)
	from := time.Now()
	p.emit(Event{Event: EventMigrationStarted, Migration: m.Name, Mode: Atomic, Statements: len(sc.statements), Doing: sc.doing()})
	err = s.interruptible(ctx, func(ctx context.Context) error {
		if err := s.insertStarted(ctx, id, m); err != nil {
			return err
		}
		if err := s.script(ctx, m, sc); err != nil {
			return err
		}
		if s.conn.PgConn().TxStatus() != 'T' {
			return errors.New("left its transaction")
		}
		if _, err := s.conn.PgConn().Exec(ctx, resetSession).ReadAll(); err != nil {
			return err
		}
		if err := s.markApplied(ctx, id); err != nil {
			return err
		}
		_, err := s.conn.PgConn().Exec(ctx, "COMMIT").ReadAll()
		return err
	})
	if err == nil {
		a := Applied{Name: m.Name, Mode: Atomic, Statements: len(sc.statements), DurationMS: time.Since(from).Milliseconds()}
		p.emit(Event{Event: EventMigrationFinished, Migration: m.Name, Mode: Atomic, DurationMS: a.DurationMS})
		r.Applied = append(r.Applied, a)
		r.Pending = without(r.Pending, m.Name)
		return true, nil
	}
	return false, s.pooledFailure(ctx, m, sc, id, err)
}

// pooledFailure writes the failed row in a transaction of its own. After a
// signal there is none to write: the row went with the transaction.
func (s *session) pooledFailure(ctx context.Context, m Migration, sc script, id string, err error) error {
	if s.conn.IsClosed() {
		return &Error{
			Code: "P1017", kind: kindUnreachable, Migration: m.Name, err: err,
			Message: fmt.Sprintf("Server has closed the connection during %s", m.Name),
			Hint:    "It ran in one transaction with its row, so it was applied as a whole or not at all. Run deploy again.",
		}
	}
	s.rollback(ctx)
	if ctx.Err() != nil {
		e := s.p.cancelled(ctx, fmt.Sprintf("during %s, which was rolled back; the next deploy runs it again", m.Name), nil)
		e.Migration = m.Name
		return e
	}
	e := s.failed(m, sc, outcome{err: err})
	if state := stateOf(err); state == stateLockTimeout || state == stateDeadlock {
		e.Hint = "Nothing was kept, and the next deploy runs it again."
		return e
	}
	book, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.p.o.CancelGrace)
	defer cancel()
	if _, err := s.conn.PgConn().Exec(book, "BEGIN").ReadAll(); err != nil {
		return s.failure(book, "recording the failure of "+m.Name, err)
	}
	werr := s.prepareSchema(book)
	if werr == nil {
		werr = s.insertStarted(book, id, m)
	}
	if werr == nil {
		werr = s.markFailed(book, id, e.Error())
	}
	if werr == nil {
		_, werr = s.conn.PgConn().Exec(book, "COMMIT").ReadAll()
	}
	if werr != nil {
		s.rollback(book)
		return s.failure(book, "recording the failure of "+m.Name, werr)
	}
	return e
}

// notify tells servers that listen to drop what they remember of the schema.
func (s *session) notify(ctx context.Context, head string) error {
	if _, err := s.conn.Exec(ctx, "SELECT pg_notify('llmgw_schema', $1)", head); err != nil {
		return s.failure(ctx, "telling listeners of the new schema", err)
	}
	return nil
}
