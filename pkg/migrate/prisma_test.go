package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llmgw/llmgw/internal/testenv"
)

// peer is real Prisma: its schema engine under Node, from the cache that `go
// run ./internal/testenv/fetch prisma` fills.
type peer struct {
	t    *testing.T
	node string
	dir  string
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	if testing.Short() {
		t.Skip("runs Node for each step")
	}
	node := testenv.Need(t, "node")
	modules := testenv.NeedFile(t, filepath.Join(testenv.CacheDir(t), "prisma", "node_modules"), "Prisma's engine", "go run ./internal/testenv/fetch prisma")
	dir := t.TempDir()
	script, err := os.ReadFile("testdata/prisma.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "prisma.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return &peer{t: t, node: node, dir: dir}
}

// folder writes a set to disk, where Prisma wants it.
func (p *peer) folder(list map[string]string) string {
	p.t.Helper()
	dir := p.t.TempDir()
	write := func(path, text string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "migration_lock.toml"), "provider = \"postgresql\"\n")
	for name, sql := range list {
		write(filepath.Join(dir, name, "migration.sql"), sql)
	}
	return dir
}

// run returns Prisma's error code; "" is success, "error" an error without one.
func (p *peer) run(url, command, folder string, migration ...string) string {
	p.t.Helper()
	cmd := p.command(url, command, folder, migration...)
	out, err := cmd.Output()
	return p.answer(out, err)
}

func (p *peer) command(url, command, folder string, migration ...string) *exec.Cmd {
	cmd := exec.Command(p.node, append([]string{"prisma.mjs", command, folder}, migration...)...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "NODE_NO_WARNINGS=1")
	return cmd
}

func (p *peer) answer(out []byte, err error) string {
	p.t.Helper()
	var a struct {
		Error *struct{ Code, Message string }
	}
	if jerr := json.Unmarshal(out, &a); jerr != nil {
		stderr := ""
		if ee, ok := errors.AsType[*exec.ExitError](err); ok {
			stderr = string(ee.Stderr)
		}
		p.t.Fatalf("Prisma said %q, %v\n%s", out, err, stderr)
	}
	switch {
	case a.Error == nil:
		return ""
	case a.Error.Code == "":
		return "error"
	}
	return a.Error.Code
}

// turn is one command of each tool: a deploy of a folder, or a resolve.
type turn struct {
	list    map[string]string
	resolve string // applied, rolledback
	name    string
	sql     string // run as is
	prisma  string // Prisma's code
	ours    string // ours, if different
}

// TestBothToolsWriteTheSameHistory runs the same steps with Prisma on one
// database and with llmgw on another and compares the histories and the tables.
func TestBothToolsWriteTheSameHistory(t *testing.T) {
	p := newPeer(t)
	bad := map[string]string{"1_init": initSQL, "2_bad": "CREATE TABLE \"B\"(id int); SELECT 1/0;", "3_more": `CREATE TABLE "D"(id int)`}
	fixed := map[string]string{"1_init": initSQL, "2_bad": `CREATE TABLE "B"(id int)`, "3_more": `CREATE TABLE "D"(id int)`}
	one := map[string]string{"1_init": initSQL}
	tests := map[string][]turn{
		"MC01 MC02 twice":              {{list: one}, {list: one}},
		"MC03 empty":                   {{list: nil}},
		"MC06 MC07 fails and blocks":   {{list: bad, prisma: "error", ours: "P3018"}, {list: bad, prisma: "P3009"}},
		"MC09 MC10 resolved, goes on":  {{list: bad, prisma: "error", ours: "P3018"}, {resolve: "applied", name: "2_bad", list: bad}, {list: bad}},
		"MC11 MC13 rolled back, fixed": {{list: bad, prisma: "error", ours: "P3018"}, {resolve: "rolledback", name: "2_bad", list: bad}, {list: fixed}},
		"MC14 rolled back twice":       {{list: bad, prisma: "error", ours: "P3018"}, {resolve: "rolledback", name: "2_bad", list: bad}, {resolve: "rolledback", name: "2_bad", list: bad}, {list: fixed}, {resolve: "rolledback", name: "2_bad", list: fixed}},
		"MC15 cannot be rolled back":   {{list: one}, {resolve: "rolledback", name: "1_init", list: one, prisma: "P3012"}, {resolve: "rolledback", name: "9", list: one, prisma: "P3011"}},
		"MC16 cannot be applied":       {{list: one}, {resolve: "applied", name: "1_init", list: one, prisma: "P3008"}, {resolve: "applied", name: "9", list: one, prisma: "P3017"}},
		"MC18 MC20 edited, deleted":    {{list: fixed}, {list: map[string]string{"1_init": initSQL + "--", "4": "SELECT 1"}}},
		"MC22 inserted":                {{list: map[string]string{"1": initSQL, "3": "SELECT 3"}}, {list: map[string]string{"1": initSQL, "2": "SELECT 2", "3": "SELECT 3"}}},
		"MC23 MC26 baseline":           {{sql: initSQL}, {list: one, prisma: "P3005"}, {resolve: "applied", name: "1_init", list: one}, {list: one}},
		"MC24 no tables":               {{sql: "CREATE VIEW v AS SELECT 1 AS x; CREATE TYPE e AS ENUM ('a')"}, {list: one}},
		"MC27 own transaction":         {{list: map[string]string{"1": "BEGIN; CREATE TABLE a(i int); COMMIT; CREATE TABLE b(i int);"}}},
		"MC28 own transaction, fails":  {{list: map[string]string{"1": "BEGIN; CREATE TABLE a(i int); COMMIT; CREATE TABLE b(i int); SELECT 1/0;"}, prisma: "error", ours: "P3018"}},
		"MC30 concurrent index":        {{list: map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY x ON "A"(id)`}}},
		"MC33 functions":               {{list: map[string]string{"1": "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $x$ BEGIN RETURN 1; END; $x$; DO $$ BEGIN PERFORM f(); END $$;"}}},
		"MC35 windows":                 {{list: map[string]string{"1": "CREATE TABLE a(i int);\r\nCREATE TABLE b(i int);\r\n"}}},
		"MC36 empty files":             {{list: map[string]string{"1": "", "2": "-- x"}}},
		"MC38 hidden folder":           {{list: map[string]string{".hidden": "SELECT 1", "1": initSQL}}},
		"MC45 own timeout":             {{list: map[string]string{"1": "SET statement_timeout = 50; SELECT pg_sleep(2)"}, prisma: "error", ours: "P3018"}},
		"MC47 folder gone":             {{list: bad, prisma: "error", ours: "P3018"}, {list: one, prisma: "P3009"}, {resolve: "applied", name: "2_bad", list: one, prisma: "P3017"}, {resolve: "rolledback", name: "2_bad", list: one}, {list: one}},
		"MC51 names":                   {{list: map[string]string{"10_b": "SELECT 1", "9_a": "SELECT 1", "A_up": "SELECT 1", "a_low": "SELECT 1", "with space": "SELECT 1"}}},
		"words of other scripts":       {{list: map[string]string{"1_ünï": `CREATE TABLE "表"(i int)`}}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			p := &peer{t: t, node: p.node, dir: p.dir}
			theirs, ours := testenv.Postgres(t), testenv.Postgres(t)
			for i, s := range steps {
				if s.sql != "" {
					sql(t, theirs, s.sql)
					sql(t, ours, s.sql)
					continue
				}
				folder := p.folder(s.list)
				if s.resolve != "" {
					if got := p.run(theirs, s.resolve, folder, s.name); got != s.prisma {
						t.Fatalf("step %d: Prisma's resolve: %q, want %q", i, got, s.prisma)
					}
					q, want := applied(s.name), s.prisma
					if s.resolve == "rolledback" {
						q = rolledBack(s.name)
					}
					if s.ours != "" {
						want = s.ours
					}
					resolve(t, ours, files(t, s.list), q, want)
					continue
				}
				if got := p.run(theirs, "apply", folder); got != s.prisma {
					t.Fatalf("step %d: Prisma: %q, want %q", i, got, s.prisma)
				}
				want := s.prisma
				if s.ours != "" {
					want = s.ours
				}
				deploy(t, ours, files(t, s.list), Options{}, want)
			}
			if !there(t, theirs, "_prisma_migrations") {
				t.Fatal("Prisma made no history")
			}
			rows := `SELECT string_agg(format('%s %s %s %s %s %s', migration_name, checksum, applied_steps_count, finished_at IS NULL, rolled_back_at IS NULL, coalesce((logs = '')::text, '-')), E'\n' ORDER BY started_at) FROM "_prisma_migrations"`
			if diff := cmp.Diff(value(t, theirs, rows), value(t, ours, rows)); diff != "" {
				t.Errorf("histories (-Prisma +llmgw):\n%s", diff)
			}
			tables := []string{"A", "B", "D", "a", "b", "表", "_prisma_migrations"}
			if diff := cmp.Diff(catalogue(t, theirs, tables), catalogue(t, ours, tables), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("tables (-Prisma +llmgw):\n%s", diff)
			}
		})
	}
}

// TestTheToolsTakeTurns lets each tool go on where the other one stopped.
func TestTheToolsTakeTurns(t *testing.T) {
	p := newPeer(t)
	bad := map[string]string{"1": initSQL, "2": "SELECT 1/0", "3": `CREATE TABLE "D"(id int)`}
	fixed := map[string]string{"1": initSQL, "2": "SELECT 2", "3": `CREATE TABLE "D"(id int)`}
	t.Run("Prisma begins, llmgw goes on, Prisma is content", func(t *testing.T) {
		p := &peer{t: t, node: p.node, dir: p.dir}
		url := testenv.Postgres(t)
		if got := p.run(url, "apply", p.folder(map[string]string{"1": initSQL})); got != "" {
			t.Fatal(got)
		}
		r := deploy(t, url, files(t, fixed), Options{Strict: true}, "")
		if len(r.Applied) != 2 || len(r.Warnings) != 0 {
			t.Errorf("%+v", r)
		}
		if got := p.run(url, "apply", p.folder(fixed)); got != "" {
			t.Error(got)
		}
		wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N", "3: 1,t,f,N")
	})
	t.Run("llmgw fails, Prisma resolves and goes on", func(t *testing.T) {
		p := &peer{t: t, node: p.node, dir: p.dir}
		url := testenv.Postgres(t)
		deploy(t, url, files(t, bad), Options{}, "P3018")
		folder := p.folder(fixed)
		if got := p.run(url, "apply", folder); got != "P3009" {
			t.Errorf("Prisma on our failed row: %q", got)
		}
		if got := p.run(url, "rolledback", folder, "2"); got != "" {
			t.Error(got)
		}
		if got := p.run(url, "apply", folder); got != "" {
			t.Error(got)
		}
		wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T", "2: 1,t,f,N", "3: 1,t,f,N")
		if r, e := status(t, url, files(t, fixed)); e != nil || states(r) != "1=applied 2=applied 3=applied" {
			t.Errorf("%v %s", e, states(r))
		}
	})
	t.Run("Prisma fails, llmgw is blocked, then goes on", func(t *testing.T) {
		p := &peer{t: t, node: p.node, dir: p.dir}
		url := testenv.Postgres(t)
		if got := p.run(url, "apply", p.folder(bad)); got != "error" {
			t.Fatal(got)
		}
		deploy(t, url, files(t, fixed), Options{RetryFailed: true}, "P3009")
		if got := p.run(url, "rolledback", p.folder(bad), "2"); got != "" {
			t.Error(got)
		}
		deploy(t, url, files(t, fixed), Options{}, "")
		wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T", "2: 1,t,f,N", "3: 1,t,f,N")
	})
	// MC32 with a real Prisma for a waiter; MC40, MC41.
	t.Run("both at once, with a concurrent index", func(t *testing.T) {
		p := &peer{t: t, node: p.node, dir: p.dir}
		url := testenv.Postgres(t)
		list := map[string]string{"1": initSQL + "INSERT INTO \"A\" SELECT generate_series(1, 1000)", "2": `CREATE INDEX CONCURRENTLY "A_idx" ON "A"(id)`, "3": "SELECT 3"}
		folder := p.folder(list)
		cmd := p.command(url, "apply", folder)
		type answer struct {
			out []byte
			err error
		}
		done := make(chan answer, 1)
		go func() { out, err := cmd.Output(); done <- answer{out, err} }()
		o := Options{Wait: true, LockTimeout: time.Minute}
		_, err := provider(t, url, files(t, list), o).Deploy(context.Background())
		a := <-done
		code := p.answer(a.out, a.err)
		// Prisma may lose the lock race (P1002) or the deadlock; its own failed row
		// would block us, as it should.
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != "P3009" || code == "" {
				t.Fatalf("llmgw: %v, Prisma: %q", err, code)
			}
			return
		}
		if n := value(t, url, `SELECT count(*) FROM "_prisma_migrations" WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL`); n != "3" {
			t.Errorf("Prisma %q, history %v", code, history(t, url))
		}
		if value(t, url, `SELECT indisvalid FROM pg_index WHERE indexrelid = '"A_idx"'::regclass`) != "true" {
			t.Error("the index is not valid")
		}
	})
	t.Run("Prisma waits while llmgw builds an index, and both end well", func(t *testing.T) {
		p := &peer{t: t, node: p.node, dir: p.dir}
		url := testenv.Postgres(t)
		list := map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY "A_idx" ON "A"(id)`}
		deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
		cmd := p.command(url, "apply", p.folder(list))
		done := make(chan string, 1)
		began := false
		o := Options{Wait: true, LockTimeout: time.Minute}
		o.OnEvent = func(e Event) {
			if e.Event != EventMigrationStarted || began {
				return
			}
			began = true
			go func() { out, err := cmd.Output(); done <- p.answer(out, err) }()
			eventually(t, "Prisma waits inside the lock", func() bool {
				return value(t, url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "1"
			})
		}
		_, err := provider(t, url, files(t, list), o).Deploy(context.Background())
		code := <-done
		if err != nil {
			t.Fatalf("llmgw: %v (Prisma: %q)\n%v", err, code, history(t, url))
		}
		if value(t, url, `SELECT indisvalid FROM pg_index WHERE indexrelid = '"A_idx"'::regclass`) != "true" {
			t.Error("the index is not valid")
		}
		if got := p.run(url, "apply", p.folder(list)); got != "" {
			t.Errorf("Prisma afterwards: %q", got)
		}
	})
}

// TestPrismaSeesLiteLLMsSetAsWeDo applies LiteLLM's real set with both tools.
func TestPrismaSeesLiteLLMsSetAsWeDo(t *testing.T) {
	p := newPeer(t)
	set := extras(t)
	list := map[string]string{}
	for _, m := range set.Migrations {
		list[m.Name] = m.SQL
	}
	theirs, ours := testenv.Postgres(t), testenv.Postgres(t)
	folder := p.folder(list)
	if got := p.run(theirs, "apply", folder); got != "" {
		t.Fatalf("Prisma: %q", got)
	}
	deploy(t, ours, set, Options{}, "")
	rows := `SELECT string_agg(format('%s %s %s %s %s', migration_name, checksum, applied_steps_count, finished_at IS NULL, logs IS NULL), E'\n' ORDER BY started_at) FROM "_prisma_migrations"`
	if diff := cmp.Diff(value(t, theirs, rows), value(t, ours, rows)); diff != "" {
		t.Errorf("histories (-Prisma +llmgw):\n%s", diff)
	}
	var tables []string
	if err := json.Unmarshal([]byte(value(t, theirs, "SELECT json_agg(tablename) FROM pg_tables WHERE schemaname = 'public'")), &tables); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(catalogue(t, theirs, tables), catalogue(t, ours, tables)); diff != "" {
		t.Errorf("catalogues (-Prisma +llmgw):\n%s", diff)
	}
	if got := p.run(ours, "apply", folder); got != "" {
		t.Errorf("Prisma on our database: %q", got)
	}
}
