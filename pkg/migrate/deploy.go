package migrate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DeployResult is what `deploy` did. It is valid beside an error, too: then it
// says how far it came.
type DeployResult struct {
	Database Database  `json:"database"`
	Set      string    `json:"set"`
	From     string    `json:"from"`
	Found    int       `json:"found"`
	Applied  []Applied `json:"applied"`
	Pending  []string  `json:"pending"`
	Failed   *Failure  `json:"failed,omitempty"`
	Lock     LockInfo  `json:"lock"`
	Warnings []Warning `json:"warnings"`
	// Baselined were recorded as applied before the rest was run.
	Baselined []string `json:"baselined,omitempty"`
	// Skipped were recorded without building their indexes.
	Skipped []Skipped `json:"skipped,omitempty"`
	DryRun  bool      `json:"dry_run,omitempty"`
}

// Applied is one migration that this run applied.
type Applied struct {
	Name       string `json:"name"`
	Mode       Mode   `json:"mode"`
	Statements int    `json:"statements"`
	DurationMS int64  `json:"duration_ms"`
	Attempts   int    `json:"attempts,omitempty"` // if more than one
}

// Failure is where a run stopped.
type Failure struct {
	Name     string `json:"name,omitempty"`
	Code     string `json:"code,omitempty"`
	Rule     string `json:"rule,omitempty"`
	SQLState string `json:"sqlstate,omitempty"`
	Line     int    `json:"line,omitempty"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// LockInfo says how the advisory lock was had.
type LockInfo struct {
	Key      int64 `json:"key"`
	WaitedMS int64 `json:"waited_ms"`
	Disabled bool  `json:"disabled,omitempty"`
}

// Deploy applies what is pending. The result is never nil.
func (p *Provider) Deploy(ctx context.Context) (*DeployResult, error) {
	r := &DeployResult{
		Database: p.address(),
		Set:      p.set.Name, From: p.set.From, Found: len(p.set.Migrations),
		Applied: []Applied{}, Pending: []string{}, Warnings: []Warning{},
		Lock: LockInfo{Key: LockKey, Disabled: p.o.NoLock}, DryRun: p.o.DryRun,
	}
	err := p.deploy(ctx, r)
	if r.Failed = failureOf(err); r.Failed != nil {
		p.emit(Event{Event: EventMigrationFailed, Migration: r.Failed.Name, Code: r.Failed.Code, SQLState: r.Failed.SQLState, Message: r.Failed.Message})
	}
	return r, err
}

func (p *Provider) deploy(ctx context.Context, r *DeployResult) error {
	if err := p.set.checkProvider(); err != nil {
		return err
	}
	if p.o.To != "" {
		if _, ok := p.set.find(p.o.To); !ok {
			return &Error{kind: kindUsage, Message: fmt.Sprintf("--to %s: no such migration in %s", p.o.To, p.set.From)}
		}
	}
	s, err := p.writable(ctx)
	if s != nil {
		r.Database = s.database()
	}
	pooled := err != nil && s != nil && s.pooler && p.o.AllowPooler
	if err != nil && !pooled {
		return err
	}
	defer s.close()
	if pooled {
		if err := s.deployPooled(ctx, r); err != nil {
			return err
		}
	} else if err := s.deployDirect(ctx, r); err != nil {
		return err
	}
	if p.o.Notify && len(r.Applied) > 0 {
		return s.notify(ctx, r.Applied[len(r.Applied)-1].Name)
	}
	return nil
}

// deployDirect has a session of its own and holds the lock all the time.
func (s *session) deployDirect(ctx context.Context, r *DeployResult) error {
	for restart := 0; ; restart++ {
		again, err := s.underLock(ctx, r, restart)
		if err != nil || !again {
			return err
		}
	}
}

// underLock takes the lock, reads the history and applies what is pending.
// again is true when the lock was given up because of a deadlock with somebody
// who waits for it; the history must be read anew then.
func (s *session) underLock(ctx context.Context, r *DeployResult, restart int) (again bool, err error) {
	p := s.p
	if err := s.guards(ctx, Native); err != nil {
		return false, s.failure(ctx, "setting up the session", err)
	}
	waited, err := s.lock(ctx)
	r.Lock.WaitedMS += waited.Milliseconds()
	if err != nil {
		return false, err
	}
	defer func() {
		if uerr := s.release(ctx); uerr != nil && err == nil {
			r.Warnings = append(r.Warnings, Warning{Message: "giving the advisory lock back: " + uerr.Error()})
		}
	}()

	o, err := s.survey(ctx)
	if e, ok := errors.AsType[*Error](err); ok && e.Unmanaged() && p.o.AutoBaseline {
		if err := s.autoBaseline(ctx, r); err != nil {
			return false, err
		}
		if p.o.DryRun {
			return false, nil
		}
		o, err = s.survey(ctx)
	}
	if err != nil {
		return false, err
	}
	r.Set, r.From, r.Found = p.set.Name, p.set.From, len(p.set.Migrations)
	if err := checkOwner(p.set, o.rows); err != nil {
		return false, err
	}
	if restart == 0 {
		r.Warnings = append(r.Warnings, o.warnings(p.set)...)
		for _, w := range r.Warnings {
			p.emit(Event{Event: EventWarning, Migration: w.Migration, Message: w.Message})
		}
	}
	r.Pending = names(o.pending)
	if o.failed, err = s.retryFailed(ctx, o.failed); err != nil {
		return false, err
	}
	if len(o.failed) > 0 {
		return false, failedRows(o.failed)
	}
	// A row that was just marked rolled back makes its migration pending.
	if p.o.RetryFailed {
		if o, err = s.survey(ctx); err != nil {
			return false, err
		}
		r.Pending = names(o.pending)
	}
	if p.o.Strict && len(o.edited)+len(o.missing) > 0 {
		return false, &Error{Code: "LM0008", kind: kindRefused, Message: strictMessage(o),
			Hint: "Nothing was changed. Put the files back as they were applied, or deploy without --strict."}
	}
	todo := p.upTo(o.pending)
	if len(todo) > 0 && todo[0].absent {
		return false, needFilesFor(names(todo))
	}
	// Everything that can be known from the files is known before the first
	// change.
	scripts := make([]script, len(todo))
	for i, m := range todo {
		if m.Err != nil {
			return false, m.Err
		}
		scripts[i] = prepare(m)
		if err := p.consent(&scripts[i]); err != nil {
			return false, err
		}
	}
	if restart == 0 {
		for i, m := range todo {
			if w := p.elsewhere(m, scripts[i]); w != nil {
				r.Warnings = append(r.Warnings, *w)
				p.emit(Event{Event: EventWarning, Migration: w.Migration, Message: w.Message})
			}
		}
	}
	todo, scripts = p.reorder(todo, scripts)
	if err := s.checkGuards(ctx, todo, scripts); err != nil {
		return false, err
	}
	if len(todo) > 0 {
		if err := s.checkPrivileges(ctx, scripts); err != nil {
			return false, err
		}
	}
	if p.o.DryRun {
		return false, nil
	}
	if len(todo) > 0 {
		p.emit(Event{Event: EventPlanned, Pending: len(todo), Message: r.head() + fmt.Sprintf(", %d to apply", len(todo))})
	}
	if err := s.prepareSchema(ctx); err != nil {
		return false, err
	}
	for i, m := range todo {
		if ctx.Err() != nil {
			return false, p.cancelled(ctx, fmt.Sprintf("before %s; what ran before is applied", m.Name), nil)
		}
		if p.o.SkipIndexMigrations && scripts[i].indexOnly() {
			skipped, err := s.skipIndexes(ctx, m, scripts[i])
			if err != nil {
				return false, err
			}
			r.Skipped = append(r.Skipped, skipped)
			r.Pending = without(r.Pending, m.Name)
			continue
		}
		mode, steps, err := s.route(ctx, m, scripts[i])
		if err != nil {
			return false, err
		}
		var a Applied
		var deadlock bool
		if mode == Online || mode == Split {
			a, deadlock, err = s.stepwise(ctx, m, mode, steps)
		} else {
			a, deadlock, err = s.apply(ctx, m, scripts[i])
		}
		if deadlock && restart < p.o.MaxRetries {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		r.Applied = append(r.Applied, a)
		r.Pending = without(r.Pending, m.Name)
	}
	return false, nil
}

// elsewhere warns of a file that names the default schema while another one is
// migrated: its statement goes there, or fails.
func (p *Provider) elsewhere(m Migration, sc script) *Warning {
	if p.target.Schema == "public" {
		return nil
	}
	for _, st := range sc.statements {
		for i := 0; i+1 < len(st.tokens); i++ {
			t, dot := st.tokens[i], st.tokens[i+1]
			if (t.kind == tokenName && t.text == "public" || t.kind == tokenWord && strings.EqualFold(t.text, "public")) && dot.kind == tokenPunct && dot.text == "." {
				return &Warning{Migration: m.Name, Message: fmt.Sprintf("line %d names the schema \"public\", whatever schema= says: its statement does not act on schema %q", 1+strings.Count(sc.sql[:st.start], "\n"), p.target.Schema)}
			}
		}
	}
	return nil
}

// consent refuses a script that cannot be run as it is, unless an option says
// how to run it all the same.
func (p *Provider) consent(sc *script) error {
	switch {
	case sc.refusal == nil:
		sc.split = false
	case sc.split && (p.o.SplitConcurrent || (p.o.OnlineIndexes || p.o.SkipIndexMigrations) && sc.indexOnly()):
		sc.refusal = nil
	default:
		return sc.refusal
	}
	return nil
}

// reorder puts index-only files behind the others, where that is asked for and
// does no harm.
func (p *Provider) reorder(todo []Migration, scripts []script) ([]Migration, []script) {
	if !p.o.OnlineIndexes {
		return todo, scripts
	}
	var first, last []int
	for i, sc := range scripts {
		if sc.indexOnly() && sc.deferrable(scripts[i+1:]) {
			last = append(last, i)
		} else {
			first = append(first, i)
		}
	}
	var migrations []Migration
	var ordered []script
	for _, i := range append(first, last...) {
		migrations, ordered = append(migrations, todo[i]), append(ordered, scripts[i])
	}
	return migrations, ordered
}

// upTo cuts the pending ones behind --to.
func (p *Provider) upTo(todo []Migration) []Migration {
	for i, m := range todo {
		if p.o.To != "" && m.Name != p.o.To && p.before(p.o.To, m.Name) {
			return todo[:i]
		}
	}
	return todo
}

// before reports whether a comes before b in the set's own order.
func (p *Provider) before(a, b string) bool {
	for _, m := range p.set.Migrations {
		switch m.Name {
		case a:
			return true
		case b:
			return false
		}
	}
	return false
}

// survey reads the history and compares; a missing table is an empty history,
// unless there are other tables.
func (s *session) survey(ctx context.Context) (outlook, error) {
	had, err := s.record(ctx)
	if err != nil {
		return outlook{}, err
	}
	if !had.there && len(had.others) > 0 {
		return outlook{}, s.unmanaged(had.others)
	}
	return compare(s.p.set, had.rows), nil
}

// autoBaseline gives the database the history that its schema shows.
func (s *session) autoBaseline(ctx context.Context, r *DeployResult) error {
	b := &BaselineResult{}
	if err := s.baseline(ctx, BaselineRequest{}, nil, b); err != nil {
		return err
	}
	r.Baselined, r.Pending = b.Marked, b.Pending
	if s.p.o.DryRun {
		return nil
	}
	// Where nothing is recorded there is still a history from now on.
	return s.prepareSchema(ctx)
}

func (s *session) unmanaged(tables []string) *Error {
	shown := tables
	if len(shown) > 3 {
		shown = shown[:3]
	}
	return &Error{
		Code: "P3005", kind: kindUnmanaged,
		Message: "The database schema is not empty. " + readBaseline,
		Hint: fmt.Sprintf("Schema %q has %s and no migration history.", s.p.target.Schema,
			plural(len(tables), "table", "tables")+" ("+strings.Join(shown, ", ")+more(len(tables)-len(shown))+")"),
	}
}

func (s *session) prepareSchema(ctx context.Context) error {
	if !s.schemaThere {
		if _, err := s.conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{s.p.target.Schema}.Sanitize()); err != nil {
			return s.failure(ctx, "creating the schema", err)
		}
		s.schemaThere = true
	}
	_, there, err := s.tables(ctx)
	if err != nil {
		return s.failure(ctx, "listing the tables", err)
	}
	if there {
		return nil
	}
	if err := s.createHistory(ctx); err != nil {
		return s.failure(ctx, "creating the history table", err)
	}
	return nil
}

// retryFailed marks failed rows of our own rolled back when the server cannot
// have kept anything: the file ran in one transaction with its own mark. It
// returns the rows for which that is not known.
func (s *session) retryFailed(ctx context.Context, failed []Row) ([]Row, error) {
	if !s.p.o.RetryFailed || s.p.o.DryRun || s.p.o.NoLock {
		return failed, nil
	}
	var rest []Row
	for _, row := range failed {
		if mode, ours := row.ours(); !ours || mode != Atomic {
			rest = append(rest, row)
			continue
		}
		logs := "llmgw: rolled back by the server, tried again"
		if row.Logs != nil && *row.Logs != "" {
			logs += "\n" + *row.Logs
		}
		if err := s.markRolledBack(ctx, row.ID, logs); err != nil {
			return nil, s.failure(ctx, "marking "+row.Name+" rolled back", err)
		}
	}
	return rest, nil
}

// failure turns an error of a statement that is not a migration's into ours.
func (s *session) failure(ctx context.Context, doing string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if ctx.Err() != nil {
		return s.p.cancelled(ctx, "while "+doing, nil)
	}
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		e := &Error{Code: "", SQLState: pe.Code, Message: fmt.Sprintf("%s: ERROR: %s (SQLSTATE %s)", doing, pe.Message, pe.Code), err: err}
		switch {
		case pe.Code == "42501":
			e.kind = kindRefused
		case pe.Code == "42P01" && strings.Contains(pe.Message, historyName):
			e.Code, e.Message = "P1014", "The underlying table for model `_prisma_migrations` does not exist."
		case pe.Code == "57P01":
			e.Code, e.kind, e.Message = "P1017", kindUnreachable, "Server has closed the connection: "+pe.Message+" ("+doing+")"
		}
		return e
	}
	if lost(err) || s.conn.IsClosed() {
		return &Error{Code: "P1017", kind: kindUnreachable, Message: fmt.Sprintf("Server has closed the connection while %s", doing), err: err}
	}
	return &Error{Message: fmt.Sprintf("%s: %s", doing, err), err: err}
}

// lost reports an error of the connection rather than of a statement.
func lost(err error) bool {
	if _, ok := errors.AsType[*pgconn.PgError](err); ok {
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "EOF") || strings.Contains(text, "conn closed") || strings.Contains(text, "closed network connection") || strings.Contains(text, "connection reset")
}

func strictMessage(o outlook) string {
	var parts []string
	if len(o.edited) > 0 {
		parts = append(parts, fmt.Sprintf("changed after it was applied: %s", strings.Join(o.edited, ", ")))
	}
	if len(o.missing) > 0 {
		parts = append(parts, fmt.Sprintf("applied but not in the set: %s", strings.Join(o.missing, ", ")))
	}
	return "--strict: " + strings.Join(parts, "; ")
}

func names(list []Migration) []string {
	out := make([]string, len(list))
	for i, m := range list {
		out[i] = m.Name
	}
	return out
}

func without(list []string, name string) []string {
	out := list[:0:0]
	for _, n := range list {
		if n != name {
			out = append(out, n)
		}
	}
	if out == nil {
		return []string{}
	}
	return out
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}
