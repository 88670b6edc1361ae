package migrate

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/redact"
)

// Holder is the session that has the advisory lock.
type Holder struct {
	PID             int    `json:"pid"`
	ApplicationName string `json:"application_name,omitempty"`
	ClientAddr      string `json:"client_addr,omitempty"`
	State           string `json:"state,omitempty"`
	SinceSeconds    int64  `json:"since_seconds"` // in this state
	Query           string `json:"query,omitempty"`
	// Orphaned: idle for long, the lock is probably left over from a session
	// that a pooler keeps.
	Orphaned bool `json:"orphaned"`
}

func (h Holder) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pid %d", h.PID)
	if h.ApplicationName != "" {
		fmt.Fprintf(&b, " (%s)", h.ApplicationName)
	}
	if h.ClientAddr != "" {
		fmt.Fprintf(&b, " from %s", h.ClientAddr)
	}
	if h.State != "" {
		fmt.Fprintf(&b, ", %s for %s", h.State, time.Duration(h.SinceSeconds)*time.Second)
	}
	if h.Query != "" {
		fmt.Fprintf(&b, ", last statement: %s", h.Query)
	}
	return b.String()
}

// lock polls for the advisory lock. Between two tries the session is idle
// outside of any statement and transaction: whoever waited inside
// pg_advisory_lock would hold a snapshot, and a concurrent index build of the
// lock's holder would wait for that snapshot, for ever.
func (s *session) lock(ctx context.Context) (waited time.Duration, err error) {
	if s.p.o.NoLock {
		return 0, nil
	}
	begin := time.Now()
	deadline := begin.Add(s.p.o.LockTimeout)
	pause := 250 * time.Millisecond
	told := time.Time{}
	for {
		var got bool
		if err := s.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", LockKey).Scan(&got); err != nil {
			return time.Since(begin), s.failure(ctx, "asking for the advisory lock", err)
		}
		if got {
			waited = time.Since(begin)
			s.p.emit(Event{Event: EventLockAcquired, DurationMS: waited.Milliseconds()})
			return waited, nil
		}
		if time.Since(told) > 10*time.Second || time.Now().After(deadline) {
			told = time.Now()
			holder, herr := s.holder(ctx)
			if herr != nil && ctx.Err() == nil && s.conn.IsClosed() {
				return time.Since(begin), s.failure(ctx, "looking for the holder of the advisory lock", herr)
			}
			if time.Now().After(deadline) {
				return time.Since(begin), s.lockTimeout(holder)
			}
			s.p.emit(Event{Event: EventLockWait, Holder: holder, DurationMS: time.Since(begin).Milliseconds(), Message: holderSentence(holder)})
		}
		wait := min(time.Duration(float64(pause)*(0.75+mathrand.Float64()/2)), max(time.Until(deadline), time.Millisecond))
		if !sleep(ctx, wait) {
			return time.Since(begin), s.p.cancelled(ctx, "while waiting for the advisory lock; nothing was changed", nil)
		}
		pause = min(pause*3/2, 2*time.Second)
	}
}

func (s *session) unlock(ctx context.Context) error {
	if s.p.o.NoLock {
		return nil
	}
	var held bool
	if err := s.conn.QueryRow(ctx, "SELECT pg_advisory_unlock($1)", LockKey).Scan(&held); err != nil {
		return err
	}
	if !held {
		return errors.New("the advisory lock was lost on the way")
	}
	return nil
}

// holder finds who has the lock; nil if nobody has it any more.
func (s *session) holder(ctx context.Context) (*Holder, error) {
	var h Holder
	var query string
	err := s.conn.QueryRow(ctx, `SELECT l.pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), ''), coalesce(a.state, ''),
			coalesce(extract(epoch FROM clock_timestamp() - a.state_change)::bigint, 0), left(regexp_replace(coalesce(a.query, ''), '\s+', ' ', 'g'), 120)
		FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = $1 AND l.objsubid = 1
		  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		LIMIT 1`, uint32(LockKey)).Scan(&h.PID, &h.ApplicationName, &h.ClientAddr, &h.State, &h.SinceSeconds, &query)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h.Query = redact.Text(query)
	h.Orphaned = h.State == "idle" && h.SinceSeconds >= 10
	return &h, nil
}

func holderSentence(h *Holder) string {
	switch {
	case h == nil:
		return "the lock was held a moment ago, and its holder is gone"
	case h.Orphaned:
		return fmt.Sprintf("the lock is held by %s. It looks orphaned: an idle session that a pooler kept. Ending that session frees it: llmgw migrate unlock --terminate, or SELECT pg_terminate_backend(%d)", h, h.PID)
	}
	return fmt.Sprintf("the lock is held by %s", h)
}

func (s *session) lockTimeout(h *Holder) *Error {
	c := s.p.target.Config
	e := &Error{
		Code: "P1002", kind: kindLocked,
		Message: fmt.Sprintf("The database server at `%s`:`%d` was reached but timed out.", c.Host, c.Port),
		extra: []string{
			"", "Please try again.",
			"", fmt.Sprintf("Please make sure your database server is running at `%s`:`%d`.", c.Host, c.Port),
			"", fmt.Sprintf("Context: Timed out trying to acquire a postgres advisory lock (SELECT pg_advisory_lock(%d)). Timeout: %dms. See https://pris.ly/d/migrate-advisory-locking for details.", LockKey, s.p.o.LockTimeout.Milliseconds()),
		},
		Hint: "Another migration is under way: " + holderSentence(h) + ".",
	}
	if !s.p.o.Wait && (h == nil || !h.Orphaned) {
		e.Hint += " --wait waits for it."
	}
	return e
}

// checkPooler finds out whether this connection has a server session of its
// own. A session lock taken through a transaction pooler stays behind on the
// pooler's connection and locks everybody out.
//
// The process id in the connection's key data is the server's own unless a
// pooler made it up. If it was made up, two client connections are compared:
// while the second one is inside a transaction, the first one must still have
// the backend it had before, and the second one must not have got it.
func (s *session) checkPooler(ctx context.Context) error {
	pid := func(c *pgx.Conn) (uint32, error) {
		var n uint32
		err := c.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&n)
		return n, err
	}
	mine, err := pid(s.conn)
	if err != nil {
		return s.failure(ctx, "looking for a pooler", err)
	}
	hint, hinted := s.p.target.Pooled()
	if mine == s.conn.PgConn().PID() && !hinted {
		return nil
	}
	sticky, err := s.sticky(ctx, mine, pid)
	if err != nil {
		return err
	}
	if sticky {
		return nil
	}
	s.pooler = true
	why := "two statements in a row may run on different server sessions"
	if hinted {
		why += " (" + hint + ")"
	}
	return &Error{
		Code: "LM0002", kind: kindUsage,
		Message: fmt.Sprintf("%s is a transaction pooler: %s, so the advisory lock would be orphaned on one of them and lock everybody out", s.p.target, why),
		Hint:    "Give the database's own address in DIRECT_URL or --database-url.",
	}
}

func (s *session) sticky(ctx context.Context, mine uint32, pid func(*pgx.Conn) (uint32, error)) (bool, error) {
	probe, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	other, err := s.p.open(probe)
	if err != nil {
		if ctx.Err() != nil {
			return false, s.p.cancelled(ctx, "while looking for a pooler; nothing was changed", nil)
		}
		return false, s.p.connectError(err)
	}
	defer other.Close(context.WithoutCancel(ctx))
	for range 3 {
		if _, err := other.Exec(probe, "BEGIN"); isState(err, "08P01") {
			return false, nil // a pooler that takes the connection back after each statement
		} else if err != nil {
			return false, s.failure(ctx, "looking for a pooler", err)
		}
		theirs, err := pid(other)
		if err != nil {
			return false, s.failure(ctx, "looking for a pooler", err)
		}
		if theirs == mine {
			return false, nil
		}
		again, err := pid(s.conn)
		if err != nil {
			return false, s.failure(ctx, "looking for a pooler", err)
		}
		if _, err := other.Exec(probe, "ROLLBACK"); err != nil {
			return false, s.failure(ctx, "looking for a pooler", err)
		}
		if again != mine {
			return false, nil
		}
	}
	// The last word has a lock with a key that nobody else uses.
	var b [8]byte
	_, _ = rand.Read(b[:])
	key := int64(binary.BigEndian.Uint64(b[:]) | 1<<62)
	var held bool
	err = s.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&held)
	if err == nil && held {
		err = s.conn.QueryRow(ctx, "SELECT pg_advisory_unlock($1)", key).Scan(&held)
	}
	if err != nil {
		return false, s.failure(ctx, "looking for a pooler", err)
	}
	return held, nil
}
