package migrate

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llmgw/llmgw/internal/testenv"
)

// turn is one step that each tool does on a database of its own.
type turn struct {
	list map[string]string // migration -> text: a deploy of this folder
	raw  map[string]string // path -> text: the same, for folders of an odd form

	resolve string // applied, rolledback: with the folder, instead of a deploy
	name    string

	// status looks instead of deploying: what Prisma's engine answers contains
	// this, and ours has these states.
	status, states string

	sql string // run as is on both
	do  func(t *testing.T, url string)

	prisma string // Prisma's code; "" is success, "error" one without a code
	ours   string // ours, if different
	agree  bool   // ours is success although Prisma's is not
}

// peerCase is a row of the conformance table, or several.
type peerCase struct {
	mc, name string
	steps    []turn
	// theirs and ours are the histories where we differ on purpose; nil means
	// that histories and tables must be equal.
	theirs, ours []string
	// then is what else must hold of each.
	then func(t *testing.T, theirs, ours string)
}

var (
	peerOne   = map[string]string{"1_init": initSQL}
	peerBad   = map[string]string{"1_init": initSQL, "2_bad": "CREATE TABLE \"B\"(id int); SELECT 1/0;", "3_more": `CREATE TABLE "D"(id int)`}
	peerFixed = map[string]string{"1_init": initSQL, "2_bad": `CREATE TABLE "B"(id int)`, "3_more": `CREATE TABLE "D"(id int)`}
	failed    = turn{list: peerBad, prisma: "error", ours: "P3018"}
)

func marked(kind, name string, list map[string]string, code string) turn {
	return turn{resolve: kind, name: name, list: list, prisma: code}
}

const behind = `"databaseIsBehind","unappliedMigrationNames":`

var peerCases = []peerCase{
	{mc: "MC01 MC02", name: "twice", steps: []turn{{list: peerOne}, {list: peerOne}}},
	{mc: "MC03", name: "empty", steps: []turn{{list: map[string]string{}}}},
	{mc: "MC04", name: "status in sync", steps: []turn{
		{list: peerOne}, {list: peerOne, status: `"hasMigrationsTable":true,"history":null`, states: "1_init=applied"},
		{list: map[string]string{}, status: `"migrationsDirectoryIsBehind","unpersistedMigrationNames":["1_init"]`, states: "1_init=missing"}}},
	{mc: "MC05", name: "status pending", steps: []turn{{list: peerOne}, {list: peerFixed, status: behind + `["2_bad","3_more"]`, states: "1_init=applied 2_bad=pending 3_more=pending"}}},
	{mc: "MC06 MC07", name: "fails and blocks", steps: []turn{failed, {list: peerBad, prisma: "P3009"}}},
	{mc: "MC08", name: "status of a failed one", steps: []turn{failed, {list: peerBad, status: `"failedMigrationNames":["2_bad"],"hasMigrationsTable":true,"history":{"diagnostic":` + behind + `["3_more"]}`, states: "1_init=applied 2_bad=failed 3_more=pending"}}},
	{mc: "MC09 MC10", name: "resolved, goes on", steps: []turn{failed, marked("applied", "2_bad", peerBad, ""), {list: peerBad}}},
	{mc: "MC11 MC13", name: "rolled back, fixed", steps: []turn{failed, marked("rolledback", "2_bad", peerBad, ""), {list: peerFixed}}},
	{mc: "MC12", name: "status after rolled back", steps: []turn{failed, marked("rolledback", "2_bad", peerBad, ""),
		// Prisma does not say that the second one will run again.
		{list: peerBad, status: behind + `["3_more"]`, states: "1_init=applied 2_bad=rolled_back 3_more=pending"}}},
	{mc: "MC14", name: "rolled back twice", steps: []turn{failed, marked("rolledback", "2_bad", peerBad, ""), marked("rolledback", "2_bad", peerBad, ""), {list: peerFixed}, marked("rolledback", "2_bad", peerFixed, "")}},
	{mc: "MC15", name: "cannot be rolled back", steps: []turn{{list: peerOne}, marked("rolledback", "1_init", peerOne, "P3012"), marked("rolledback", "9", peerOne, "P3011")}},
	{mc: "MC16", name: "cannot be applied", steps: []turn{{list: peerOne}, marked("applied", "1_init", peerOne, "P3008"), marked("applied", "9", peerOne, "P3017")}},
	{mc: "MC18", name: "edited", steps: []turn{{list: peerOne},
		{list: map[string]string{"1_init": initSQL + "--"}, status: `"editedMigrationNames":["1_init"]`, states: "1_init=edited"}, {list: map[string]string{"1_init": initSQL + "--"}}}},
	{mc: "MC19", name: "line ends", steps: []turn{{list: map[string]string{"1": "SELECT 1;\nSELECT 2;\n"}},
		{list: map[string]string{"1": "SELECT 1;\r\nSELECT 2;\r\n"}, status: `"editedMigrationNames":[]`, states: "1=applied"}}},
	{mc: "MC20 MC21", name: "deleted, and a new one", steps: []turn{{list: peerFixed}, {list: map[string]string{"1_init": initSQL, "2_bad": peerFixed["2_bad"]}},
		{list: map[string]string{"1_init": initSQL, "4": "SELECT 1"}, status: `"historiesDiverge"`, states: "1_init=applied 4=pending 2_bad=missing 3_more=missing"},
		{list: map[string]string{"1_init": initSQL, "4": "SELECT 1"}}}},
	{mc: "MC22", name: "inserted", steps: []turn{{list: map[string]string{"1": initSQL, "3": "SELECT 3"}}, {list: map[string]string{"1": initSQL, "2": "SELECT 2", "3": "SELECT 3"}}}},
	{mc: "MC23 MC26", name: "baseline", steps: []turn{{sql: initSQL}, {list: peerOne, prisma: "P3005"}, marked("applied", "1_init", peerOne, ""), {list: peerOne}}},
	{mc: "MC24", name: "no tables", steps: []turn{{sql: "CREATE VIEW v AS SELECT 1 AS x; CREATE TYPE e AS ENUM ('a'); CREATE SCHEMA other; CREATE TABLE other.t(i int); CREATE TABLE spatial_ref_sys(i int)"}, {list: peerOne}}},
	{mc: "MC25", name: "only a partitioned table", steps: []turn{{sql: "CREATE TABLE parts(id int) PARTITION BY RANGE (id)"}, {list: peerOne, ours: "P3005"}},
		theirs: []string{"1_init: 1,t,f,N"}, ours: []string{}},
	{mc: "MC27", name: "own transaction", steps: []turn{{list: map[string]string{"1": "BEGIN; CREATE TABLE a(i int); COMMIT; CREATE TABLE b(i int);"}}}},
	{mc: "MC28", name: "own transaction, fails", steps: []turn{{list: map[string]string{"1": "BEGIN; CREATE TABLE a(i int); COMMIT; CREATE TABLE b(i int); SELECT 1/0;"}, prisma: "error", ours: "P3018"}}},
	// Prisma says success and keeps nothing.
	{mc: "MC29", name: "a transaction left open", steps: []turn{{list: map[string]string{"1": "BEGIN; CREATE TABLE a(i int);"}, ours: "P3018"}},
		theirs: []string{"1: 0,f,f,N"}, ours: []string{}, then: func(t *testing.T, theirs, _ string) {
			if there(t, theirs, "a") {
				t.Error("Prisma kept the table")
			}
		}},
	{mc: "MC30", name: "concurrent index", steps: []turn{{list: map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY x ON "A"(id)`}}}},
	{mc: "MC31", name: "two concurrent indexes", steps: []turn{{list: map[string]string{"1": initSQL}}, {list: map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY x ON "A"(id); CREATE INDEX CONCURRENTLY y ON "A"(id);`}, prisma: "error", ours: "P3018"}},
		theirs: []string{"1: 1,t,f,N", "2: 0,f,f,T"}, ours: []string{"1: 1,t,f,N"}},
	{mc: "MC33", name: "functions", steps: []turn{{list: map[string]string{"1": "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $x$ BEGIN RETURN 1; END; $x$; DO $$ BEGIN PERFORM f(); END $$;"}}}},
	{mc: "MC34", name: "a byte order mark", steps: []turn{{list: map[string]string{"1": "\ufeff" + initSQL}, prisma: "error", agree: true}},
		theirs: []string{"1: 0,f,f,T"}, ours: []string{"1: 1,t,f,N"}},
	{mc: "MC35", name: "windows", steps: []turn{{list: map[string]string{"1": "CREATE TABLE a(i int);\r\nCREATE TABLE b(i int);\r\n"}}}},
	{mc: "MC36", name: "empty files", steps: []turn{{list: map[string]string{"1": "", "2": "-- x"}}}},
	{mc: "MC37", name: "a folder without a file", steps: []turn{{raw: map[string]string{"1/migration.sql": initSQL, "2/README": "x"}, prisma: "P3015"}},
		theirs: []string{"1: 1,t,f,N"}, ours: []string{}},
	{mc: "MC38", name: "hidden folder, stray file", steps: []turn{{raw: map[string]string{".hidden/migration.sql": "SELECT 1", "1/migration.sql": initSQL, "x.sql": "SELECT 1/0", "1/nested/deeper.sql": "SELECT 1/0"}}}},
	{mc: "MC39", name: "another provider", steps: []turn{{raw: map[string]string{"migration_lock.toml": `provider = "mysql"`, "1/migration.sql": initSQL}, prisma: "P3019"},
		{raw: map[string]string{"migration_lock.toml": "# nothing\n", "1/migration.sql": initSQL}, prisma: "P3019"}}, theirs: []string{}, ours: []string{}},
	{mc: "MC39", name: "no lock file", steps: []turn{{raw: map[string]string{"1/migration.sql": initSQL}}}},
	{mc: "MC39", name: "a provider without spaces", steps: []turn{{raw: map[string]string{"migration_lock.toml": `provider="postgresql"`, "1/migration.sql": initSQL}, prisma: "P3019", agree: true}},
		theirs: []string{}, ours: []string{"1: 1,t,f,N"}},
	{mc: "MC43", name: "a setting", steps: []turn{{list: map[string]string{"1": "SET lock_timeout = 100", "2": "CREATE TABLE a AS SELECT current_setting('lock_timeout') AS l"}}},
		then: func(t *testing.T, theirs, ours string) {
			if value(t, theirs, "SELECT l FROM a") != "100ms" || value(t, ours, "SELECT l FROM a") == "100ms" {
				t.Error("Prisma lets it into the next file, and we do not")
			}
		}},
	{mc: "MC44", name: "a search path", steps: []turn{{list: map[string]string{"1": "CREATE SCHEMA other; SET search_path = other;"}, prisma: "P1014", agree: true}},
		theirs: []string{"1: 0,f,f,N"}, ours: []string{"1: 1,t,f,N"}},
	{mc: "MC45", name: "own timeout", steps: []turn{{list: map[string]string{"1": "SET statement_timeout = 50; SELECT pg_sleep(2)"}, prisma: "error", ours: "P3018"}}},
	{mc: "MC47", name: "folder gone", steps: []turn{failed, {list: peerOne, prisma: "P3009"}, marked("applied", "2_bad", peerOne, "P3017"), marked("rolledback", "2_bad", peerOne, ""), {list: peerOne}}},
	{mc: "MC48", name: "an unfinished row more", steps: []turn{{list: peerOne}, {sql: `INSERT INTO "_prisma_migrations" (id, checksum, migration_name, started_at) VALUES ('x', 'x', '1_init', now())`},
		{list: peerOne, status: `"failedMigrationNames":["1_init"]`, states: "1_init=failed"}, {list: peerOne, prisma: "P3009"}}},
	{mc: "MC51", name: "names", steps: []turn{{list: map[string]string{"10_b": "SELECT 1", "9_a": "SELECT 1", "A_up": "SELECT 1", "a_low": "SELECT 1", "with space": "SELECT 1", "20250101_Z": "SELECT 1", "2025010100_x": "SELECT 1"}}}},
	{mc: "MC52", name: "concurrent index on a partitioned table", steps: []turn{{list: map[string]string{"1": "CREATE TABLE p(i int) PARTITION BY RANGE (i)"}},
		{list: map[string]string{"1": "CREATE TABLE p(i int) PARTITION BY RANGE (i)", "2": "CREATE INDEX CONCURRENTLY x ON p(i)"}, prisma: "error", ours: "P3018"}},
		theirs: []string{"1: 1,t,f,N", "2: 0,f,f,T"}, ours: []string{"1: 1,t,f,N"}},
	{mc: "MC53", name: "if not exists over an invalid index", steps: []turn{{list: peerOne}, {do: func(t *testing.T, url string) {
		sql(t, url, `INSERT INTO "A" VALUES (1), (2)`)
		if _, err := open(t, url).Exec(context.Background(), `CREATE UNIQUE INDEX CONCURRENTLY "A_idx" ON "A"((1))`); err == nil {
			t.Fatal("the build should fail")
		}
	}}, {list: map[string]string{"1_init": initSQL, "2": `CREATE INDEX CONCURRENTLY IF NOT EXISTS "A_idx" ON "A"(id)`}, ours: "P3018"}},
		theirs: []string{"1_init: 1,t,f,N", "2: 1,t,f,N"}, ours: []string{"1_init: 1,t,f,N"}, then: func(t *testing.T, theirs, _ string) {
			if valid(t, theirs, "A_idx") != "false" {
				t.Error("Prisma's index is valid")
			}
		}},
	{mc: "MC54", name: "a database ahead", steps: []turn{{list: map[string]string{"1": initSQL, "2": "SELECT 1"}}, {list: map[string]string{"1": initSQL}}}},
	{name: "words of other scripts", steps: []turn{{list: map[string]string{"1_ünï": `CREATE TABLE "表"(i int)`}}}},
}

func (s turn) set(t *testing.T) *Set {
	if s.raw == nil {
		return files(t, s.list)
	}
	m := fstest.MapFS{}
	for name, text := range s.raw {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return readSet(t, m)
}

func (s turn) ourCode() string {
	switch {
	case s.agree:
		return ""
	case s.ours != "":
		return s.ours
	}
	return s.prisma
}

// play does the step with Prisma on one database and with llmgw on the other.
func (s turn) play(t *testing.T, p *peer, theirs, ours string) {
	t.Helper()
	for _, url := range []string{theirs, ours} {
		if s.sql != "" {
			sql(t, url, s.sql)
		}
		if s.do != nil {
			s.do(t, url)
		}
	}
	if s.list == nil && s.raw == nil {
		return
	}
	set := s.set(t)
	folder := ""
	if s.raw != nil {
		folder = p.rawFolder(s.raw)
	} else {
		folder = p.folder(s.list)
	}
	switch {
	case s.status != "":
		if got := p.ask(theirs, "status", folder); !strings.Contains(got, s.status) {
			t.Errorf("Prisma's status is %s, want %s", got, s.status)
		}
		if r, _ := status(t, ours, set); states(r) != s.states {
			t.Errorf("our status is %s, want %s", states(r), s.states)
		}
	case s.resolve != "":
		if got := p.run(theirs, s.resolve, folder, s.name); got != s.prisma {
			t.Fatalf("Prisma's resolve: %q, want %q", got, s.prisma)
		}
		q := applied(s.name)
		if s.resolve == "rolledback" {
			q = rolledBack(s.name)
		}
		resolve(t, ours, set, q, s.ourCode())
	default:
		if got := p.run(theirs, "apply", folder); got != s.prisma {
			t.Fatalf("Prisma: %q, want %q", got, s.prisma)
		}
		deploy(t, ours, set, Options{}, s.ourCode())
	}
}

// TestBothToolsDoTheSame runs the rows of the conformance table with Prisma on
// one database and with llmgw on another, and compares codes, histories and
// tables; where we differ on purpose, each must do what the table says.
func TestBothToolsDoTheSame(t *testing.T) {
	p := newPeer(t)
	for _, c := range peerCases {
		t.Run(strings.TrimSpace(c.mc+" "+c.name), func(t *testing.T) {
			t.Parallel()
			p := p.with(t)
			theirs, ours := testenv.Postgres(t), testenv.Postgres(t)
			for _, s := range c.steps {
				s.play(t, p, theirs, ours)
			}
			if c.then != nil {
				c.then(t, theirs, ours)
			}
			if c.theirs != nil {
				for url, want := range map[string][]string{theirs: c.theirs, ours: c.ours} {
					var got []string
					if there(t, url, "_prisma_migrations") {
						got = history(t, url)
					}
					if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("history, ours: %v (-want +got):\n%s", url == ours, diff)
					}
				}
				return
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

// TestMC40PrismaGivesUpAfterTenSeconds is the other side of MC40: a lock that
// somebody holds.
func TestMC40PrismaGivesUpAfterTenSeconds(t *testing.T) {
	p := newPeer(t)
	t.Parallel() // it only waits
	url := testenv.Postgres(t)
	release := holdLock(t, url)
	defer release()
	out, err := p.command(url, "apply", p.folder(peerOne)).Output()
	if got := p.answer(out, err); got != "P1002" {
		t.Errorf("Prisma: %q", got)
	}
	if there(t, url, "_prisma_migrations") {
		t.Error("Prisma began without the lock")
	}
}

// TestMC42PrismaLeavesItsScriptRunning is what our own cancel is better than:
// Prisma ends, its script does not, and the row blocks the next run.
func TestMC42PrismaLeavesItsScriptRunning(t *testing.T) {
	p := newPeer(t)
	url := testenv.Postgres(t)
	list := map[string]string{"1": `CREATE TABLE b(i int); SELECT pg_sleep(1)`}
	cmd := p.command(url, "apply", p.folder(list))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the sleep runs", func() bool { return sleeping(t, url) })
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	eventually(t, "the script ends by itself", func() bool { return lockFree(t, url) })
	wantHistory(t, url, "1: 0,f,f,N")
	if !there(t, url, "b") {
		t.Error("the script did not run to its end")
	}
	if got := p.run(url, "apply", p.folder(list)); got != "P3009" {
		t.Errorf("Prisma again: %q", got)
	}
	deploy(t, url, files(t, list), Options{RetryFailed: true}, "P3009") // not ours to judge
}

// TestMC46PrismaWithoutTheRight compares the answers to a role that may not
// create anything.
func TestMC46PrismaWithoutTheRight(t *testing.T) {
	p := newPeer(t)
	url := testenv.Postgres(t)
	sql(t, url, "CREATE ROLE mc46p LOGIN PASSWORD 'pw46'; GRANT USAGE ON SCHEMA public TO mc46p; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	t.Cleanup(func() { sql(t, url, "DROP OWNED BY mc46p; DROP ROLE mc46p") })
	if got := p.ask(asRole(url, "mc46p", "pw46"), "apply", p.folder(peerOne)); !strings.Contains(got, "permission denied for schema public") {
		t.Errorf("Prisma: %s", got)
	}
	deploy(t, asRole(url, "mc46p", "pw46"), files(t, peerOne), Options{}, "P3018")
	if there(t, url, "_prisma_migrations") {
		t.Error("something was begun")
	}
}

// TestMC49PrismaOrphansTheLockBehindAPooler is why we refuse one.
func TestMC49PrismaOrphansTheLockBehindAPooler(t *testing.T) {
	p := newPeer(t)
	s := testenv.PostgresServer(t)
	sql(t, s.URL("postgres"), "CREATE DATABASE orphan")
	direct := s.URL("orphan")
	pooled := strings.Replace(direct, fmt.Sprint(":", s.Port), fmt.Sprint(":", pgbouncer(t, direct, "transaction")), 1)
	eventually(t, "the pooler answers", func() bool {
		_, err := provider(t, pooled, files(t, nil), Options{}).Status(context.Background())
		return err == nil
	})
	if got := p.run(pooled, "apply", p.folder(peerOne)); got != "" {
		t.Fatalf("Prisma: %q", got)
	}
	// Prisma has gone.
	if lockFree(t, direct) {
		t.Error("the lock is free")
	}
	r, _ := status(t, direct, files(t, peerOne))
	if r.Holder == nil || r.Holder.State != "idle" {
		t.Errorf("holder %+v", r.Holder)
	}
	_, err := provider(t, direct, files(t, peerOne), Options{LockTimeout: 300 * time.Millisecond}).Deploy(context.Background())
	wantCode(t, err, "P1002")
	// What we offer for it.
	if u, err := provider(t, direct, Own(), Options{}).Unlock(context.Background(), true, false); err != nil || !u.Terminated || !lockFree(t, direct) {
		t.Errorf("%v %+v", err, u)
	}
}

// TestMC50PrismaWithoutADatabase has the two that cannot be connected to.
func TestMC50PrismaWithoutADatabase(t *testing.T) {
	p := newPeer(t)
	folder := p.folder(peerOne)
	url := testenv.Postgres(t) + "_not"
	if got := p.ask(url, "apply", folder); !strings.Contains(got, "does not exist") {
		t.Errorf("Prisma: %s", got)
	}
	deploy(t, url, files(t, peerOne), Options{}, "P1003")
	gone := "postgresql://u@127.0.0.1:1/x"
	if got := p.ask(gone, "apply", folder); !strings.Contains(got, "Can't reach database server at `127.0.0.1:1`") {
		t.Errorf("Prisma: %s", got)
	}
	deploy(t, gone, files(t, peerOne), Options{}, "P1001")
}
