package migrate

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// DiffRequest says what to leave out.
type DiffRequest struct {
	// Ignore are patterns (path.Match) for tables, or for table.object.
	Ignore []string
	// Views lists views, too, which LiteLLM makes outside of its migrations.
	Views bool
}

// DiffResult is how a schema differs from what the migrations make.
type DiffResult struct {
	Database    Database     `json:"database"`
	Set         string       `json:"set"`
	From        string       `json:"from"`
	Head        string       `json:"head"`
	Differences []Difference `json:"differences"`
	Errors      int          `json:"errors"`
}

// Diff compares the schema with what the set makes, up to --to. It needs no
// second database: the set's statements say what they make.
func (p *Provider) Diff(ctx context.Context, q DiffRequest) (*DiffResult, error) {
	r := &DiffResult{Database: p.address(), Set: p.set.Name, From: p.set.From, Head: p.set.Head(), Differences: []Difference{}}
	for _, pattern := range q.Ignore {
		if _, err := path.Match(pattern, ""); err != nil {
			return r, &Error{kind: kindUsage, Message: fmt.Sprintf("--ignore %s is not a pattern: %s", pattern, err)}
		}
	}
	s, err := p.connect(ctx)
	if err != nil {
		return r, err
	}
	defer s.close()
	r.Database = s.database()
	if _, err := s.record(ctx); err != nil {
		return r, err
	}
	r.Set, r.From, r.Head = p.set.Name, p.set.From, p.set.Head()
	if !p.set.FilesAtHand() {
		return r, needFiles(p.set.Head())
	}
	list := p.set.Migrations
	if p.o.To != "" {
		i := slices.IndexFunc(list, func(m Migration) bool { return m.Name == p.o.To })
		if i < 0 {
			return r, &Error{kind: kindUsage, Message: fmt.Sprintf("%s: no such migration in %s", p.o.To, p.set.From)}
		}
		list, r.Head = list[:i+1], p.o.To
	}
	live, err := s.liveModel(ctx)
	if err != nil {
		return r, s.failure(ctx, "reading the schema", err)
	}
	want := simulate(list)
	all := append(want.missingFrom(live), want.extraIn(live)...)
	if q.Views {
		views, err := s.views(ctx)
		if err != nil {
			return r, s.failure(ctx, "listing the views", err)
		}
		for _, v := range views {
			all = append(all, Difference{Kind: "extra", Object: "view", Name: v, Severity: "info"})
		}
	}
	for _, d := range all {
		if ignored(q.Ignore, d) {
			continue
		}
		r.Differences = append(r.Differences, d)
		if d.Severity == "error" {
			r.Errors++
		}
	}
	if r.Errors > 0 {
		return r, &Error{Code: "LM0015", kind: kindDrift, Message: fmt.Sprintf("the schema differs from %s in %s", p.set.From, plural(r.Errors, "place", "places"))}
	}
	return r, nil
}

func ignored(patterns []string, d Difference) bool {
	for _, pattern := range patterns {
		for _, name := range []string{d.Table, d.Name, d.Table + "." + d.Name} {
			if ok, _ := path.Match(pattern, name); ok {
				return true
			}
		}
	}
	return false
}

func (s *session) views(ctx context.Context) ([]string, error) {
	rows, err := s.conn.Query(ctx, `SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('v', 'm') ORDER BY 1`, s.p.target.Schema)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Script is the SQL that adds what is missing; what no addition mends is a
// comment.
func (r *DiffResult) Script() string {
	var b strings.Builder
	for _, d := range r.Differences {
		switch {
		case d.Severity != "error":
		case d.SQL != "":
			b.WriteString(d.SQL + ";\n")
		default:
			fmt.Fprintf(&b, "-- %s is %s: expected %s", d.Label(), d.Kind, d.Expected)
			if d.Found != "" {
				fmt.Fprintf(&b, ", found %s", d.Found)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// UnlockResult is who holds the advisory lock and what was done about it.
type UnlockResult struct {
	Database   Database `json:"database"`
	Holder     *Holder  `json:"lock_holder"`
	Terminated bool     `json:"terminated"`
}

// Unlock shows the holder of the advisory lock. terminate ends its session if
// it is idle, force in any case.
func (p *Provider) Unlock(ctx context.Context, terminate, force bool) (*UnlockResult, error) {
	r := &UnlockResult{Database: p.address()}
	s, err := p.connect(ctx)
	if err != nil {
		return r, err
	}
	defer s.close()
	r.Database = s.database()
	if r.Holder, err = s.holder(ctx); err != nil {
		return r, s.failure(ctx, "looking for the holder of the advisory lock", err)
	}
	h := r.Holder
	switch {
	case h == nil:
		return r, nil
	case !terminate && !force:
		return r, &Error{Code: "LM0016", kind: kindLocked, Message: holderSentence(h), Hint: "--terminate ends its session if it is idle, --force in any case."}
	case h.State != "idle" && !force:
		return r, &Error{Code: "LM0016", kind: kindLocked, Message: "the holder is at work, not idle: " + h.String(), Hint: "It may be a migration that is under way. --force ends it all the same; what it was doing is rolled back."}
	}
	// Whoever took the lock over in the meantime is not meant.
	var done bool
	err = s.conn.QueryRow(ctx, `SELECT coalesce((SELECT pg_terminate_backend(l.pid) FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = $1 AND l.objsubid = 1 AND l.pid = $2
		  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND ($3 OR a.state = 'idle')), false)`, uint32(LockKey), h.PID, force).Scan(&done)
	if err != nil {
		e := s.failure(ctx, "ending the holder's session", err)
		if isState(err, "42501") {
			return r, &Error{Code: "LM0016", SQLState: "42501", kind: kindRefused, Message: fmt.Sprintf("user `%s` may not end the session of %s", p.target.Config.User, h), Hint: "Connect as its owner or with the role pg_signal_backend."}
		}
		return r, e
	}
	if !done {
		return r, &Error{Code: "LM0016", kind: kindLocked, Message: "the holder has changed in the meantime; look again"}
	}
	// The session is gone a moment after it was told to go.
	for range 50 {
		now, err := s.holder(ctx)
		if err != nil {
			return r, s.failure(ctx, "looking for the holder of the advisory lock", err)
		}
		if now == nil || now.PID != h.PID {
			r.Terminated = true
			return r, nil
		}
		if !sleep(ctx, waitEvery/20) {
			return r, p.cancelled(ctx, "while the holder's session ends", nil)
		}
	}
	return r, &Error{Code: "LM0016", kind: kindLocked, Message: fmt.Sprintf("pid %d was told to end and has not yet", h.PID)}
}
