package migrate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/pgurl"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/testenv"
)

const initSQL = `CREATE TABLE "A"(id int primary key);`

// files makes a set out of name -> text, with a lock file.
func files(t testing.TB, list map[string]string) *Set {
	t.Helper()
	m := fstest.MapFS{"migration_lock.toml": {Data: []byte("provider = \"postgresql\"\n")}}
	for name, sql := range list {
		m[name+"/migration.sql"] = &fstest.MapFile{Data: []byte(sql)}
	}
	return readSet(t, m)
}

func readSet(t testing.TB, m fstest.MapFS) *Set {
	t.Helper()
	s, err := ReadDir(m, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func target(t testing.TB, url string) *pgurl.Target {
	t.Helper()
	target, err := pgurl.Parse(redact.New(url), pgurl.Options{Purpose: pgurl.Migrate, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func provider(t testing.TB, url string, set *Set, o Options) *Provider {
	t.Helper()
	return New(target(t, url), set, o)
}

// deploy runs a deploy that must end with the code; "" is success.
func deploy(t testing.TB, url string, set *Set, o Options, code string) *DeployResult {
	t.Helper()
	r, err := provider(t, url, set, o).Deploy(context.Background())
	wantCode(t, err, code)
	return r
}

func wantCode(t testing.TB, err error, code string) *Error {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatalf("deploy: %v", err)
		}
		return nil
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Code != code {
		t.Fatalf("error %v, want code %s", err, code)
	}
	return e
}

func open(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// sql runs statements as one simple query.
func sql(t testing.TB, url, text string) {
	t.Helper()
	conn := open(t, url)
	defer conn.Close(context.Background())
	if _, err := conn.PgConn().Exec(context.Background(), text).ReadAll(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// value is the first column of the first row as text.
func value(t testing.TB, url, text string) string {
	t.Helper()
	conn := open(t, url)
	defer conn.Close(context.Background())
	var out *string
	if err := conn.QueryRow(context.Background(), "SELECT ("+text+")::text").Scan(&out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if out == nil {
		return "NULL"
	}
	return *out
}

// since reports whether the server is of this major release or later.
func since(t testing.TB, url string, major int) bool {
	t.Helper()
	n, err := strconv.Atoi(value(t, url, "current_setting('server_version_num')"))
	if err != nil {
		t.Fatal(err)
	}
	return n >= major*10000
}

func there(t testing.TB, url, object string) bool {
	t.Helper()
	return value(t, url, fmt.Sprintf("to_regclass('%s') IS NOT NULL", object)) == "true"
}

// wantHistory compares the rows as "name: steps,finished,rolled back,logs",
// logs being N for NULL, E for the empty text and T for any other.
func wantHistory(t testing.TB, url string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, history(t, url), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func history(t testing.TB, url string) []string {
	t.Helper()
	conn := open(t, url)
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), `SELECT format('%s: %s,%s,%s,%s', migration_name, applied_steps_count,
		left((finished_at IS NOT NULL)::text, 1), left((rolled_back_at IS NOT NULL)::text, 1),
		CASE WHEN logs IS NULL THEN 'N' WHEN logs = '' THEN 'E' ELSE 'T' END) FROM "_prisma_migrations" ORDER BY started_at`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// lockFree reports whether nobody has the advisory lock.
func lockFree(t testing.TB, url string) bool {
	t.Helper()
	return value(t, url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == "0"
}

// recorder keeps the events of a run; wait blocks until one of a kind came.
type recorder struct {
	mu     sync.Mutex
	list   []Event
	signal chan struct{}
}

func newRecorder() *recorder { return &recorder{signal: make(chan struct{}, 1)} }

func (r *recorder) on(e Event) {
	r.mu.Lock()
	r.list = append(r.list, e)
	r.mu.Unlock()
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

func (r *recorder) count(event string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.list {
		if e.Event == event {
			n++
		}
	}
	return n
}

func (r *recorder) wait(t testing.TB, event string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for r.count(event) == 0 {
		select {
		case <-r.signal:
		case <-limit:
			t.Fatalf("no event %s", event)
		}
	}
}

// eventually polls a condition that another process brings about.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// asRole rewrites a URL for another user of the same database.
func asRole(url, role, password string) string {
	return strings.Replace(url, "postgres:"+testenv.Password, role+":"+password, 1)
}
