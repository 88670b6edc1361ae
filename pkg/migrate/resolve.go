package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ResolveRequest is what `resolve` should write into the history.
type ResolveRequest struct {
	Applied    []string
	RolledBack []string
	// AllThrough marks every migration up to and with this one applied that is
	// not yet.
	AllThrough string
	// Verify refuses to mark a migration applied whose objects are not there.
	Verify bool
	// Reason goes into the rows' logs; Prisma leaves them empty.
	Reason string
}

// ResolveResult is what `resolve` wrote.
type ResolveResult struct {
	Database   Database `json:"database"`
	Set        string   `json:"set"`
	From       string   `json:"from"`
	Applied    []string `json:"applied"`
	RolledBack []string `json:"rolled_back"`
	// Unchanged were rolled back before.
	Unchanged []string  `json:"unchanged"`
	Failed    *Failure  `json:"failed,omitempty"`
	Lock      LockInfo  `json:"lock"`
	Warnings  []Warning `json:"warnings"`
}

// Resolve marks migrations applied or rolled back without running anything.
// All of it is one transaction. The result is never nil.
func (p *Provider) Resolve(ctx context.Context, q ResolveRequest) (*ResolveResult, error) {
	r := &ResolveResult{
		Database: p.address(), Set: p.set.Name, From: p.set.From,
		Applied: []string{}, RolledBack: []string{}, Unchanged: []string{}, Warnings: []Warning{},
		Lock: LockInfo{Key: LockKey, Disabled: p.o.NoLock},
	}
	err := p.resolve(ctx, q, r)
	r.Failed = failureOf(err)
	return r, err
}

func (p *Provider) resolve(ctx context.Context, q ResolveRequest, r *ResolveResult) error {
	if err := p.set.checkProvider(); err != nil {
		return err
	}
	return p.inLock(ctx, &r.Database, &r.Lock, &r.Warnings, func(s *session) error {
		had, err := s.record(ctx)
		if err != nil {
			return err
		}
		if len(q.RolledBack) > 0 && !had.there {
			return &Error{Code: "LM0003", kind: kindUsage, Message: fmt.Sprintf("there is nothing to mark rolled back: schema %q has no %s table, no migration ever began there", p.target.Schema, historyName)}
		}
		r.Set, r.From = p.set.Name, p.set.From
		todo, err := p.marks(q, had.rows)
		if err != nil {
			return err
		}
		if q.Verify {
			if err := s.verify(ctx, todo, had.rows); err != nil {
				return err
			}
		}
		return s.transaction(ctx, "marking migrations", func() error {
			if len(todo) > 0 {
				if err := s.prepareSchema(ctx); err != nil {
					return err
				}
			}
			for _, m := range todo {
				for _, row := range had.rows {
					if row.Name == m.Name && row.Failed() {
						if err := s.markRolledBackByHand(ctx, row.ID, q.Reason); err != nil {
							return s.failure(ctx, "marking "+m.Name+" rolled back", err)
						}
					}
				}
				if err := s.insertApplied(ctx, m, q.Reason); err != nil {
					return s.failure(ctx, "marking "+m.Name+" applied", err)
				}
				r.Applied = append(r.Applied, m.Name)
			}
			for _, name := range q.RolledBack {
				n := 0
				for _, row := range had.rows {
					if row.Name == name && row.Failed() {
						n++
						if err := s.markRolledBackByHand(ctx, row.ID, q.Reason); err != nil {
							return s.failure(ctx, "marking "+name+" rolled back", err)
						}
					}
				}
				if n > 0 {
					r.RolledBack = append(r.RolledBack, name)
				} else {
					r.Unchanged = append(r.Unchanged, name)
				}
			}
			return nil
		})
	})
}

// marks turns a request into the migrations to mark applied; it answers with
// the code that the first impossible wish deserves.
func (p *Provider) marks(q ResolveRequest, rows []Row) ([]Migration, error) {
	byName := map[string][]Row{}
	for _, row := range rows {
		byName[row.Name] = append(byName[row.Name], row)
	}
	var todo []Migration
	unknown := func(name string) error {
		return &Error{Code: "P3017", Migration: name, Message: fmt.Sprintf("The migration %s could not be found. Please make sure that the migration exists, and that you included the whole name of the directory. (example: \"20201207184859_initial_migration\")", name)}
	}
	for _, name := range q.Applied {
		m, ok := p.set.find(name)
		switch {
		case !ok, noFile(m.Err):
			return nil, unknown(name)
		case m.Err != nil:
			return nil, m.Err
		}
		if slices.ContainsFunc(byName[name], Row.Applied) {
			return nil, &Error{Code: "P3008", Migration: name, Message: fmt.Sprintf("The migration `%s` is already recorded as applied in the database.", name)}
		}
		todo = append(todo, m)
	}
	if q.AllThrough != "" {
		if !p.set.Has(q.AllThrough) {
			return nil, unknown(q.AllThrough)
		}
		for _, m := range p.set.Migrations {
			if !slices.ContainsFunc(byName[m.Name], Row.Applied) && !slices.ContainsFunc(todo, func(t Migration) bool { return t.Name == m.Name }) {
				if m.Err != nil {
					return nil, m.Err
				}
				todo = append(todo, m)
			}
			if m.Name == q.AllThrough {
				break
			}
		}
	}
	for _, name := range q.RolledBack {
		switch list := byName[name]; {
		case len(list) == 0:
			return nil, &Error{Code: "P3011", Migration: name, Message: fmt.Sprintf("Migration `%s` cannot be rolled back because it was never applied to the database. Hint: did you pass in the whole migration name? (example: \"20201207184859_initial_migration\")", name)}
		case !slices.ContainsFunc(list, func(r Row) bool { return r.Finished == nil }):
			return nil, &Error{Code: "P3012", Migration: name, Message: fmt.Sprintf("Migration `%s` cannot be rolled back because it is not in a failed state.", name)}
		}
	}
	return todo, nil
}

func noFile(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == "P3015"
}

// insertApplied writes the row that says "applied, without having run".
func (s *session) insertApplied(ctx context.Context, m Migration, logs string) error {
	return s.write(ctx, fmt.Sprintf(`INSERT INTO %s (id, checksum, started_at, finished_at, migration_name, logs, applied_steps_count)
		SELECT $1, $2, t, t, $3, $4, 0 FROM (SELECT pg_catalog.clock_timestamp() AS t) AS c`, s.history()), newID("resolve"), m.checksum(), m.Name, logs)
}

// markRolledBackByHand keeps the row's logs, which say why it failed.
func (s *session) markRolledBackByHand(ctx context.Context, id, reason string) error {
	if reason == "" {
		return s.write(ctx, fmt.Sprintf(`UPDATE %s SET rolled_back_at = pg_catalog.clock_timestamp() WHERE id = $1 AND finished_at IS NULL`, s.history()), id)
	}
	return s.write(ctx, fmt.Sprintf(`UPDATE %s SET rolled_back_at = pg_catalog.clock_timestamp(), logs = pg_catalog.concat_ws(E'\n', nullif(logs, ''), $2::text) WHERE id = $1 AND finished_at IS NULL`, s.history()), id, reason)
}

// writable connects and makes sure that the session can write and can hold a
// lock of its own. The session is returned beside an error about the server,
// closed, for its description.
func (p *Provider) writable(ctx context.Context) (*session, error) {
	s, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	err = s.checkWritable()
	if err == nil && !p.o.NoLock {
		err = s.checkPooler(ctx)
	}
	if err != nil && !(s.pooler && p.o.AllowPooler) {
		s.close()
	}
	return s, err
}

func (s *session) checkWritable() error {
	p := s.p
	switch {
	case s.replica:
		return &Error{
			Code: "LM0004", kind: kindUsage,
			Message: fmt.Sprintf("%s is a read-only replica, and migrations need the primary", p.target),
			Hint:    "Give the primary's address in DIRECT_URL or --database-url.",
		}
	case s.readOnly:
		return &Error{
			Code: "LM0004", kind: kindUsage,
			Message: fmt.Sprintf("%s is read-only for user `%s`: default_transaction_read_only is on", p.target, p.target.Config.User),
			Hint:    "Turn it off for that user or database, or give another one in DIRECT_URL or --database-url.",
		}
	}
	return nil
}

// inLock runs f on a session that can write and has the advisory lock; it says
// which database that is, and how long the lock took.
func (p *Provider) inLock(ctx context.Context, where *Database, info *LockInfo, warnings *[]Warning, f func(*session) error) (err error) {
	s, err := p.writable(ctx)
	if s != nil {
		*where = s.database()
	}
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.guards(ctx, Native); err != nil {
		return s.failure(ctx, "setting up the session", err)
	}
	waited, err := s.lock(ctx)
	info.WaitedMS += waited.Milliseconds()
	if err != nil {
		return err
	}
	defer func() {
		if uerr := s.release(ctx); uerr != nil && err == nil {
			*warnings = append(*warnings, Warning{Message: "giving the advisory lock back: " + uerr.Error()})
		}
	}()
	return f(s)
}

// release gives the lock back, whatever became of ctx.
func (s *session) release(ctx context.Context) error {
	if s.conn.IsClosed() {
		return nil // with the session the lock is gone
	}
	book, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookLimit)
	defer cancel()
	return s.unlock(book)
}

// transaction runs f in one transaction.
func (s *session) transaction(ctx context.Context, doing string, f func() error) error {
	if _, err := s.conn.Exec(ctx, "BEGIN"); err != nil {
		return s.failure(ctx, doing, err)
	}
	if err := f(); err != nil {
		book, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookLimit)
		defer cancel()
		_, _ = s.conn.Exec(book, "ROLLBACK")
		return err
	}
	if _, err := s.conn.Exec(ctx, "COMMIT"); err != nil {
		return s.failure(ctx, doing, err)
	}
	return nil
}

// address is what is known of the database before a connection.
func (p *Provider) address() Database {
	c := p.target.Config
	return Database{Host: c.Host, Port: int(c.Port), Name: c.Database, Schema: p.target.Schema}
}

func failureOf(err error) *Failure {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	name := e.Migration
	if e.Rule == "PRIV001" {
		name = "" // it holds for all of them
	}
	return &Failure{Name: name, Code: e.Code, Rule: e.Rule, SQLState: e.SQLState, Line: e.Line, Message: strings.TrimSpace(e.Message), Hint: e.Hint}
}
