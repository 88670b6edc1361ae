package live

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/llmgw/llmgw/internal/atrest"
	"github.com/llmgw/llmgw/internal/pgurl"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Postgres is what the database said.
type Postgres struct {
	Address     string            `json:"address"`
	Failure     *Failure          `json:"failure,omitempty"`
	Local       bool              `json:"local"`
	TLS         *bool             `json:"tls,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"`
	Sessions    []Sessions        `json:"sessions,omitempty"`
	RoleLimit   int               `json:"role_limit"`     // -1 is none
	BaseLimit   int               `json:"database_limit"` // -1 is none
	Blocked     []Wait            `json:"blocked,omitempty"`
	Idle        []Wait            `json:"idle_in_transaction,omitempty"`
	Deadlocks   *Deadlocks        `json:"deadlocks,omitempty"`
	InUse       bool              `json:"in_use"`  // a table of LiteLLM exists
	History     bool              `json:"history"` // _prisma_migrations exists
	Rows        []HistoryRow      `json:"migrations,omitempty"`
	Set         []Migration       `json:"set,omitempty"`
	SetName     string            `json:"set_name,omitempty"`
	Tables      []Table           `json:"tables,omitempty"`
	Partitions  []string          `json:"partitions,omitempty"` // bounds as Postgres writes them
	Partitioned bool              `json:"partitioned"`
	OldestSpend *time.Time        `json:"oldest_spend,omitempty"`
	ActiveKeys  *int              `json:"active_keys,omitempty"`
	Sealed      *Sealed           `json:"sealed,omitempty"`
	HashIn      []string          `json:"hash_in,omitempty"` // tables that hold the signing key's hash
	SaltSet     bool              `json:"salt_set"`
	Overrides   []Override        `json:"overrides,omitempty"`
	StoreModel  *bool             `json:"store_model_in_db,omitempty"` // in LiteLLM_Config
	Clock       *Clock            `json:"clock,omitempty"`
}

// Sessions counts alike sessions.
type Sessions struct {
	App   string `json:"app"`
	User  string `json:"user"`
	State string `json:"state"`
	Count int    `json:"count"`
}

// Wait is a session that waits or is idle within a transaction.
type Wait struct {
	PID     int     `json:"pid"`
	By      []int32 `json:"by,omitempty"`
	App     string  `json:"app,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Deadlocks are two looks at the counter.
type Deadlocks struct {
	First, Second int64
	Gap           float64
}

// HistoryRow is one row of _prisma_migrations.
type HistoryRow struct {
	Name     string    `json:"name"`
	Checksum string    `json:"checksum"`
	Started  time.Time `json:"started"`
	Finished bool      `json:"finished"`
	Rolled   bool      `json:"rolled_back"`
}

// Table is the size and the dead rows of one table.
type Table struct {
	Name       string     `json:"name"`
	Rows       int64      `json:"rows"`
	Bytes      int64      `json:"bytes"`
	Live       int64      `json:"live"`
	Dead       int64      `json:"dead"`
	Autovacuum *time.Time `json:"last_autovacuum,omitempty"`
}

// Sealed counts encrypted values and how many open.
type Sealed struct {
	Candidates int `json:"candidates"`
	Opened     int `json:"opened"`
}

// Override is a section of LiteLLM_Config with its keys.
type Override struct {
	Section string   `json:"section"`
	Keys    []string `json:"keys"`
}

// Clock is another clock's time as seen from here, half of the round trip
// taken off.
type Clock struct {
	Ahead float64 `json:"ahead_seconds"` // of ours
	Error float64 `json:"error_seconds"`
}

// session asks one connection. Every question is a transaction of its own that
// cannot write, so that one that fails or a pooler in between does no harm.
type session struct {
	conn   *pgx.Conn
	missed []Missed
}

// ask runs a query and hands its rows to scan. A question that fails is a
// check that was missed.
func (s *session) ask(ctx context.Context, ids []string, sql string, args []any, scan func(pgx.Rows) error) bool {
	err := func() error {
		if s.conn.IsClosed() {
			return errors.New("the connection is gone")
		}
		tx, err := s.conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it wrote nothing
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '3s'"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '500ms'"); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}()
	if err == nil {
		return true
	}
	for _, id := range ids {
		s.missed = append(s.missed, Missed{id, "Postgres: " + redact.Text(reason(err)), true})
	}
	return false
}

func reason(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Message + " (SQLSTATE " + e.Code + ")"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}

func exists(s *session, ctx context.Context, ids []string, table string) bool {
	var there bool
	s.ask(ctx, ids, `SELECT to_regclass($1) IS NOT NULL`, []any{`"` + table + `"`}, func(r pgx.Rows) error { return r.Scan(&there) })
	return there
}

// connectFailure says at which stage a connection failed.
func connectFailure(err error) *Failure {
	text := reason(err)
	stage := "network"
	_, isName := errors.AsType[*net.DNSError](err)
	pg, isPG := errors.AsType[*pgconn.PgError](err)
	_, unknownCA := errors.AsType[x509.UnknownAuthorityError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, header := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case isName:
		stage = "name"
	case isPG && strings.HasPrefix(pg.Code, "28"):
		stage = "login"
	case isPG && pg.Code == "53300":
		stage = "login"
		text = "too many clients already (SQLSTATE 53300)"
	case isPG:
		stage = "login"
	case unknownCA, invalid, host, verify, header, strings.Contains(text, "tls"), strings.Contains(text, "TLS"):
		stage = "tls"
	case errors.Is(err, context.DeadlineExceeded):
		stage, text = "network", "no answer in time"
	}
	// pgx reports every attempt on a line of its own.
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return &Failure{stage, redact.Text(strings.TrimSpace(lines[len(lines)-1]))}
}

const spendTables = `'LiteLLM_SpendLogs','LiteLLM_SpendLogToolIndex','LiteLLM_AuditLog','LiteLLM_ErrorLogs'`

// postgres looks at the database through one connection.
func (o *Options) postgres(ctx context.Context, u *rule.Unit, target *pgurl.Target) (*Postgres, []Missed) {
	p := &Postgres{Address: target.HostPort(), RoleLimit: -1, BaseLimit: -1, Set: o.Set, SetName: o.SetName}
	c := target.Config.Copy()
	c.RuntimeParams["application_name"] = "llmgw-doctor"
	c.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	p.Local = local(c.Host)
	connect, cancel := context.WithTimeout(ctx, 5*time.Second)
	conn, err := pgx.ConnectConfig(connect, c)
	cancel()
	if err != nil {
		p.Failure = connectFailure(err)
		return p, nil
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	s := &session{conn: conn}
	started := time.Now()
	o.askServer(ctx, s, p)
	o.askTables(ctx, s, p)
	o.askSecrets(ctx, s, p, u)
	// The second look at the deadlocks comes last, so that the time in between
	// is used.
	if p.Deadlocks != nil {
		gap := 10 * time.Second
		if o.gap > 0 {
			gap = o.gap
		}
		if deadline, ok := ctx.Deadline(); ok {
			gap = min(gap, time.Until(deadline)/2)
		}
		if sleep(ctx, gap-time.Since(started)) {
			s.ask(ctx, []string{"RUN015"}, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`, nil,
				func(r pgx.Rows) error { return r.Scan(&p.Deadlocks.Second) })
			p.Deadlocks.Gap = time.Since(started).Seconds()
		}
	}
	return p, s.missed
}

// sleep waits; false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (o *Options) askServer(ctx context.Context, s *session, p *Postgres) {
	p.Settings = map[string]string{}
	s.ask(ctx, []string{"RUN012", "RUN013", "RUN017"}, `SELECT name, setting FROM pg_settings WHERE name IN ('server_version_num','server_version','max_connections','superuser_reserved_connections','reserved_connections','statement_timeout','lock_timeout','idle_in_transaction_session_timeout','autovacuum')`, nil,
		func(r pgx.Rows) error {
			var name, value string
			err := r.Scan(&name, &value)
			p.Settings[name] = value
			return err
		})
	s.ask(ctx, []string{"RUN013"}, `SELECT coalesce(nullif(application_name,''),'(none)'), coalesce(usename::text,'(none)'), coalesce(state,'(hidden)'), count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1,2,3 ORDER BY 4 DESC`, nil,
		func(r pgx.Rows) error {
			var n Sessions
			err := r.Scan(&n.App, &n.User, &n.State, &n.Count)
			n.App = redact.Text(n.App)
			p.Sessions = append(p.Sessions, n)
			return err
		})
	s.ask(ctx, []string{"RUN013"}, `SELECT (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), (SELECT datconnlimit FROM pg_database WHERE datname = current_database())`, nil,
		func(r pgx.Rows) error { return r.Scan(&p.RoleLimit, &p.BaseLimit) })
	s.ask(ctx, []string{"RUN014"}, `SELECT pid, pg_blocking_pids(pid), coalesce(application_name,''), extract(epoch FROM clock_timestamp()-query_start)::float8 FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0 ORDER BY 4 DESC`, nil,
		func(r pgx.Rows) error {
			var w Wait
			err := r.Scan(&w.PID, &w.By, &w.App, &w.Seconds)
			p.Blocked = append(p.Blocked, w)
			return err
		})
	s.ask(ctx, []string{"RUN014"}, `SELECT pid, coalesce(application_name,''), extract(epoch FROM clock_timestamp()-state_change)::float8 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' ORDER BY 3 DESC`, nil,
		func(r pgx.Rows) error {
			var w Wait
			err := r.Scan(&w.PID, &w.App, &w.Seconds)
			p.Idle = append(p.Idle, w)
			return err
		})
	s.ask(ctx, []string{"RUN015"}, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`, nil, func(r pgx.Rows) error {
		p.Deadlocks = &Deadlocks{}
		err := r.Scan(&p.Deadlocks.First)
		p.Deadlocks.Second = p.Deadlocks.First
		return err
	})
	s.ask(ctx, []string{"RUN031"}, `SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`, nil, func(r pgx.Rows) error {
		var on bool
		p.TLS = &on
		return r.Scan(&on)
	})
	before := time.Now()
	s.ask(ctx, []string{"RUN024"}, `SELECT clock_timestamp()`, nil, func(r pgx.Rows) error {
		var at time.Time
		err := r.Scan(&at)
		p.Clock = clock(at, before, time.Now(), 0)
		return err
	})
}

// clock compares a time that was read between two moments of ours.
func clock(at, before, after time.Time, resolution time.Duration) *Clock {
	half := after.Sub(before) / 2
	return &Clock{Ahead: at.Add(resolution / 2).Sub(before.Add(half)).Seconds(), Error: (half + resolution/2).Seconds()}
}

func (o *Options) askTables(ctx context.Context, s *session, p *Postgres) {
	for _, name := range []string{"LiteLLM_VerificationToken", "LiteLLM_SpendLogs", "LiteLLM_ProxyModelTable"} {
		p.InUse = p.InUse || exists(s, ctx, []string{"MIG009"}, name)
	}
	if p.History = exists(s, ctx, []string{"MIG008", "MIG009", "MIG010"}, "_prisma_migrations"); p.History {
		s.ask(ctx, []string{"MIG008", "MIG009", "MIG010"}, `SELECT migration_name, checksum, started_at, finished_at IS NOT NULL, rolled_back_at IS NOT NULL FROM "_prisma_migrations" ORDER BY started_at`, nil,
			func(r pgx.Rows) error {
				var h HistoryRow
				err := r.Scan(&h.Name, &h.Checksum, &h.Started, &h.Finished, &h.Rolled)
				p.Rows = append(p.Rows, h)
				return err
			})
	}
	if p.Set == nil {
		s.missed = append(s.missed, Missed{"MIG010", "the release's migrations are not known (LITELLM_MIGRATION_DIR names their folder)", false})
	}
	s.ask(ctx, []string{"RUN016", "RUN017"}, `SELECT c.relname::text, greatest(c.reltuples, 0)::bigint + coalesce((SELECT sum(greatest(k.reltuples, 0)) FROM pg_partition_tree(c.oid) t JOIN pg_class k ON k.oid = t.relid WHERE c.relkind = 'p'), 0)::bigint,
  CASE WHEN c.relkind = 'p' THEN (SELECT coalesce(sum(pg_total_relation_size(t.relid)), 0)::bigint FROM pg_partition_tree(c.oid) t) ELSE pg_total_relation_size(c.oid) END,
  coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0), s.last_autovacuum, c.relkind = 'p'
FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relname IN (`+spendTables+`) AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())`, nil,
		func(r pgx.Rows) error {
			var t Table
			var parted bool
			err := r.Scan(&t.Name, &t.Rows, &t.Bytes, &t.Live, &t.Dead, &t.Autovacuum, &parted)
			p.Partitioned = p.Partitioned || parted && t.Name == "LiteLLM_SpendLogs"
			p.Tables = append(p.Tables, t)
			return err
		})
	if slices.ContainsFunc(p.Tables, func(t Table) bool { return t.Name == "LiteLLM_SpendLogs" }) {
		s.ask(ctx, []string{"RUN018"}, `SELECT min("startTime")::timestamptz FROM "LiteLLM_SpendLogs"`, nil, func(r pgx.Rows) error { return r.Scan(&p.OldestSpend) })
	}
	if p.Partitioned {
		s.ask(ctx, []string{"RUN036"}, `SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass('"LiteLLM_SpendLogs"')`, nil,
			func(r pgx.Rows) error {
				var bound string
				err := r.Scan(&bound)
				p.Partitions = append(p.Partitions, bound)
				return err
			})
	}
	if exists(s, ctx, []string{"PRF013"}, "LiteLLM_VerificationToken") {
		s.ask(ctx, []string{"PRF013"}, `SELECT count(*) FROM "LiteLLM_VerificationToken" WHERE expires IS NULL OR expires > now()`, nil, func(r pgx.Rows) error {
			p.ActiveKeys = new(int)
			return r.Scan(p.ActiveKeys)
		})
	}
	if exists(s, ctx, []string{"RUN035"}, "LiteLLM_Config") {
		s.ask(ctx, []string{"RUN035"}, `SELECT param_name, param_value::text FROM "LiteLLM_Config" WHERE param_name IN ('general_settings','router_settings','litellm_settings','environment_variables')`, nil,
			func(r pgx.Rows) error {
				var name string
				var value *string
				if err := r.Scan(&name, &value); err != nil || value == nil {
					return err
				}
				var keys map[string]json.RawMessage
				if json.Unmarshal([]byte(*value), &keys) != nil {
					return nil
				}
				over := Override{Section: name}
				for k, v := range keys {
					if text := string(v); text != "null" && text != "[]" { // LiteLLM skips these
						over.Keys = append(over.Keys, k)
					}
				}
				slices.Sort(over.Keys)
				p.Overrides = append(p.Overrides, over)
				if raw, ok := keys["store_model_in_db"]; ok && name == "general_settings" {
					var on bool
					if json.Unmarshal(raw, &on) == nil {
						p.StoreModel = &on
					}
				}
				return nil
			})
	}
}

// sealedText matches a JSON string that may be a stored secret.
var sealedText = regexp.MustCompile(`"([A-Za-z0-9+/=_:\-.]{54,})"`)

func (o *Options) askSecrets(ctx context.Context, s *session, p *Postgres, u *rule.Unit) {
	env := o.env(u)
	signing, _ := env("LITELLM_SALT_KEY")
	if p.SaltSet = signing != ""; !p.SaltSet {
		if signing, _ = o.text(u, "general_settings.master_key"); signing == "" {
			signing, _ = env("LITELLM_MASTER_KEY")
		}
	}
	if signing == "" {
		s.missed = append(s.missed, Missed{"RUN019", "neither LITELLM_SALT_KEY nor the master key is known", true}, Missed{"RUN034", "neither LITELLM_SALT_KEY nor the master key is known", true})
		return
	}
	keys, err := atrest.NewKeys(redact.New(signing))
	if err != nil {
		return
	}
	sealed := &Sealed{}
	for _, q := range []struct{ table, sql string }{
		{"LiteLLM_ProxyModelTable", `SELECT litellm_params::text FROM "LiteLLM_ProxyModelTable" LIMIT 20`},
		{"LiteLLM_CredentialsTable", `SELECT credential_values::text FROM "LiteLLM_CredentialsTable" LIMIT 20`},
	} {
		if !exists(s, ctx, []string{"RUN019"}, q.table) {
			continue
		}
		s.ask(ctx, []string{"RUN019"}, q.sql, nil, func(r pgx.Rows) error {
			var text *string
			if err := r.Scan(&text); err != nil || text == nil {
				return err
			}
			for _, m := range sealedText.FindAllStringSubmatch(*text, -1) {
				if atrest.Detect(m[1]) == atrest.Plain {
					continue
				}
				sealed.Candidates++
				if atrest.Open(m[1], keys).OK {
					sealed.Opened++
				}
			}
			return nil
		})
	}
	if p.Sealed = sealed; sealed.Candidates == 0 {
		s.missed = append(s.missed, Missed{"RUN019", "the database holds no encrypted value", false})
	}
	sum := sha256.Sum256([]byte(signing))
	hash := hex.EncodeToString(sum[:])
	for _, q := range []struct{ table, sql string }{
		{"LiteLLM_VerificationToken", `SELECT EXISTS (SELECT 1 FROM "LiteLLM_VerificationToken" WHERE token = $1)`},
		{"LiteLLM_DailyUserSpend", `SELECT EXISTS (SELECT 1 FROM "LiteLLM_DailyUserSpend" WHERE api_key = $1)`},
	} {
		if !exists(s, ctx, []string{"RUN034"}, q.table) {
			continue
		}
		s.ask(ctx, []string{"RUN034"}, q.sql, []any{hash}, func(r pgx.Rows) error {
			var found bool
			err := r.Scan(&found)
			if found {
				p.HashIn = append(p.HashIn, q.table)
			}
			return err
		})
	}
}
