package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/redact"
)

// watchEvery is how often a long statement is looked at, and how long one must
// run to be called long.
const watchEvery = time.Second

// watch looks at the running file from a second connection and reports who
// blocks it and how far an index build is. The server keeps the answers of a
// script back until its end, so this is the only way to know. It is a courtesy:
// when it cannot look, it stays silent. The returned function ends it.
func (s *session) watch(ctx context.Context, m Migration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !sleep(ctx, watchEvery) {
			return
		}
		conn, err := s.p.open(ctx)
		if err != nil {
			return
		}
		defer func() {
			bye, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = conn.Close(bye)
		}()
		w := watcher{session: s, conn: conn, migration: m.Name}
		for w.look(ctx) == nil && sleep(ctx, watchEvery) {
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

type watcher struct {
	session   *session
	conn      *pgx.Conn
	migration string
	blocked   string // what was said last, so that nothing is said twice
	progress  string
}

func (w *watcher) look(ctx context.Context) error {
	rows, err := w.conn.Query(ctx, `SELECT a.pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), ''), coalesce(a.state, ''),
			coalesce(extract(epoch FROM clock_timestamp() - a.xact_start)::bigint, 0), left(regexp_replace(coalesce(a.query, ''), '\s+', ' ', 'g'), 120)
		FROM pg_stat_activity a WHERE a.pid = ANY(pg_blocking_pids($1)) ORDER BY a.xact_start LIMIT 5`, w.session.pid)
	if err != nil {
		return err
	}
	blockers, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (Holder, error) {
		var h Holder
		err := r.Scan(&h.PID, &h.ApplicationName, &h.ClientAddr, &h.State, &h.SinceSeconds, &h.Query)
		h.Query = redact.Text(h.Query)
		return h, err
	})
	if err != nil {
		return err
	}
	var pids, texts []string
	for _, h := range blockers {
		pids = append(pids, fmt.Sprint(h.PID))
		texts = append(texts, h.String())
	}
	if said := strings.Join(pids, " "); said != w.blocked {
		w.blocked = said
		if said != "" {
			w.session.p.emit(Event{Event: EventBlockedBy, Migration: w.migration, Blockers: blockers, Message: "blocked by " + strings.Join(texts, "; ")})
		}
	}
	if w.session.versionNum < 120000 {
		return nil
	}
	var phase, unit string
	var done, total int64
	err = w.conn.QueryRow(ctx, `SELECT phase, CASE WHEN blocks_total > 0 THEN 'blocks' ELSE 'rows' END,
		coalesce(CASE WHEN blocks_total > 0 THEN blocks_done ELSE tuples_done END, 0), coalesce(CASE WHEN blocks_total > 0 THEN blocks_total ELSE tuples_total END, 0)
		FROM pg_stat_progress_create_index WHERE pid = $1`, w.session.pid).Scan(&phase, &unit, &done, &total)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	said, percent := phase, 0.0
	if total > 0 {
		percent = 100 * float64(done) / float64(total)
		said = fmt.Sprintf("%s, %.0f%% (%d of %d %s)", phase, percent, done, total, unit)
	}
	if said != w.progress {
		w.progress = said
		w.session.p.emit(Event{Event: EventProgress, Migration: w.migration, Phase: phase, Percent: percent, Done: done, Total: total, Message: said})
	}
	return nil
}
