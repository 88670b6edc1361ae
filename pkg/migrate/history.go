package migrate

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const historyName = "_prisma_migrations"

// Row is one line of the history.
type Row struct {
	ID         string
	Name       string
	Checksum   string
	Started    time.Time
	Finished   *time.Time
	RolledBack *time.Time
	Steps      int
	Logs       *string
}

// Failed reports a row that stands in the way of every deploy: begun, not
// finished, and not marked rolled back.
func (r Row) Failed() bool { return r.Finished == nil && r.RolledBack == nil }

// Applied reports a finished row that counts.
func (r Row) Applied() bool { return r.Finished != nil && r.RolledBack == nil }

// history is the table's qualified name. It is never left to search_path,
// which a migration may have changed.
func (s *session) history() string {
	return pgx.Identifier{s.p.target.Schema, historyName}.Sanitize()
}

// tables lists the tables of the schema. Partitioned ones count: a database
// whose only table is one is not empty.
func (s *session) tables(ctx context.Context) (others []string, history bool, err error) {
	rows, err := s.conn.Query(ctx, `SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'spatial_ref_sys' ORDER BY 1`, s.p.target.Schema)
	if err != nil {
		return nil, false, err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, false, err
	}
	for _, name := range all {
		if name == historyName {
			history = true
		} else {
			others = append(others, name)
		}
	}
	return others, history, nil
}

func (s *session) createHistory(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s (
	id VARCHAR(36) PRIMARY KEY NOT NULL,
	checksum VARCHAR(64) NOT NULL,
	finished_at TIMESTAMPTZ,
	migration_name VARCHAR(255) NOT NULL,
	logs TEXT,
	rolled_back_at TIMESTAMPTZ,
	started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
	applied_steps_count INTEGER NOT NULL DEFAULT 0
)`, s.history()))
	return err
}

func (s *session) rows(ctx context.Context) ([]Row, error) {
	// Times as text of a form of our own: the session's DateStyle may be any.
	at := func(column string) string {
		return fmt.Sprintf(`pg_catalog.to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`, column)
	}
	rows, err := s.conn.Query(ctx, fmt.Sprintf(`SELECT id::text, migration_name::text, checksum::text, %s, %s, %s, applied_steps_count, logs
		FROM %s ORDER BY started_at ASC`, at("started_at"), at("finished_at"), at("rolled_back_at"), s.history()))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (Row, error) {
		var x Row
		var started string
		var finished, rolledBack *string
		if err := r.Scan(&x.ID, &x.Name, &x.Checksum, &started, &finished, &rolledBack, &x.Steps, &x.Logs); err != nil {
			return x, err
		}
		var err error
		if x.Started, err = time.Parse(time.RFC3339, started); err != nil {
			return x, err
		}
		if x.Finished, err = parseTime(finished); err == nil {
			x.RolledBack, err = parseTime(rolledBack)
		}
		return x, err
	})
}

// record is what a schema holds of its past.
type record struct {
	there  bool // the history has its table
	rows   []Row
	others []string // the other tables
}

// record reads it, a history without a table as one without rows, and settles
// which set that history belongs to.
func (s *session) record(ctx context.Context) (record, error) {
	var had record
	var err error
	if had.others, had.there, err = s.tables(ctx); err != nil {
		return had, s.failure(ctx, "listing the tables", err)
	}
	if had.there {
		if had.rows, err = s.rows(ctx); err != nil {
			return had, s.failure(ctx, "reading the history", err)
		}
	}
	s.p.adopt(had.rows)
	return had, nil
}

func parseTime(text *string) (*time.Time, error) {
	if text == nil {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, *text)
	return &t, err
}

// The history's writes go through the extended protocol with text parameters:
// they hold whatever a migration did to the session's string syntax. The
// server's clock is used, so that pods with clocks of their own do not
// misorder the rows.

func (s *session) insertStarted(ctx context.Context, id string, m Migration) error {
	return s.write(ctx, fmt.Sprintf(`INSERT INTO %s (id, checksum, started_at, migration_name) VALUES ($1, $2, pg_catalog.clock_timestamp(), $3)`, s.history()),
		id, m.checksum(), m.Name)
}

func (s *session) markApplied(ctx context.Context, id string) error {
	return s.write(ctx, fmt.Sprintf(`UPDATE %s SET applied_steps_count = applied_steps_count + 1, finished_at = pg_catalog.clock_timestamp() WHERE id = $1`, s.history()), id)
}

func (s *session) markFailed(ctx context.Context, id, logs string) error {
	return s.write(ctx, fmt.Sprintf(`UPDATE %s SET logs = $2 WHERE id = $1`, s.history()), id, logs)
}

func (s *session) markRolledBack(ctx context.Context, id, logs string) error {
	return s.write(ctx, fmt.Sprintf(`UPDATE %s SET rolled_back_at = pg_catalog.clock_timestamp(), logs = $2 WHERE id = $1 AND finished_at IS NULL`, s.history()), id, logs)
}

func (s *session) write(ctx context.Context, sql string, args ...string) error {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	result := s.conn.PgConn().ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil {
		return result.Err
	}
	if result.CommandTag.RowsAffected() != 1 {
		return &pgconn.PgError{Severity: "ERROR", Code: "P0002", Message: "the row in " + historyName + " is gone"}
	}
	return nil
}

// An id is a version 4 UUID, as Prisma writes. Ours end in six bytes that say
// who wrote the row and in which mode the file ran, so that a later run knows
// whether the server can have kept anything of a file that did not finish.
const idMark = "llmgw"

func newID(mode Mode) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	b[10] = mode[0] // a, b, n
	copy(b[11:], idMark)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// ours reports that llmgw wrote the row, and how it ran the file.
func (r Row) ours() (mode Mode, ours bool) {
	mark := fmt.Sprintf("%x", idMark)
	if len(r.ID) != 36 || r.ID[26:] != mark {
		return "", false
	}
	for _, m := range []Mode{Atomic, Bare, Native, Online, Split} {
		if r.ID[24:26] == fmt.Sprintf("%x", m[:1]) {
			return m, true
		}
	}
	return "", false
}

// Tool names who wrote the row.
func (r Row) Tool() string {
	if _, ok := r.ours(); ok {
		return "llmgw"
	}
	if r.Steps == 0 && r.Finished != nil {
		return "resolve"
	}
	return "prisma"
}
