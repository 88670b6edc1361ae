//go:build unix

package migrate

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/testenv"
)

func hostOf(t testing.TB, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestWrongPasswordAndNoAccess(t *testing.T) {
	url := testenv.Postgres(t)
	sql(t, url, "CREATE ROLE wrongpw LOGIN PASSWORD 'right'; CREATE ROLE nologin NOLOGIN PASSWORD 'right'")
	t.Cleanup(func() { sql(t, url, "DROP ROLE wrongpw; DROP ROLE nologin") })
	set := files(t, nil)
	for _, tt := range []struct{ role, password, code, say string }{
		{"wrongpw", "hunter2-wrong", "P1000", "Authentication failed against database server, the provided database credentials for `wrongpw` are not valid."},
		{"nobody-of-that-name", "hunter2-wrong", "P1000", "nobody-of-that-name"},
		{"nologin", "right", "P1010", "denied access"},
	} {
		begin := time.Now()
		_, err := provider(t, asRole(url, tt.role, tt.password), set, Options{ConnectWait: time.Minute}).Deploy(context.Background())
		e := wantCode(t, err, tt.code)
		if !e.Unreachable() || !strings.Contains(e.Error(), tt.say) || strings.Contains(e.Error(), tt.password) {
			t.Errorf("%s: %s", tt.role, e)
		}
		if time.Since(begin) > 10*time.Second {
			t.Errorf("%s: a refusal was retried", tt.role)
		}
	}
	sql(t, url, "REVOKE CONNECT ON DATABASE "+value(t, url, "SELECT quote_ident(current_database())")+" FROM PUBLIC")
	_, err := provider(t, asRole(url, "wrongpw", "right"), set, Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "P1010"); e.SQLState != "42501" {
		t.Errorf("%s", e)
	}
}

func TestAServerThatComesUpLateIsWaitedFor(t *testing.T) {
	s := testenv.PostgresServer(t)
	s.Stop()
	rec := newRecorder()
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, s.URL("postgres"), files(t, map[string]string{"1": initSQL}), Options{ConnectWait: time.Minute, OnEvent: rec.on}).Deploy(context.Background())
		done <- err
	}()
	rec.wait(t, EventConnectRetry)
	s.Start(t)
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.Stop()
	_, err := provider(t, s.URL("postgres"), files(t, nil), Options{}).Status(context.Background())
	if e := wantCode(t, err, "P1001"); !e.Unreachable() || !strings.Contains(e.Error(), "Please make sure your database server is running at `127.0.0.1:") {
		t.Errorf("%s", e)
	}
}

func TestAReplicaAndAReadOnlyDatabaseAreNamed(t *testing.T) {
	s := testenv.PostgresServer(t, testenv.PostgresOptions{Files: map[string][]byte{"standby.signal": {}}, Settings: map[string]string{"hot_standby": "on"}})
	set := files(t, map[string]string{"1": initSQL})
	_, err := provider(t, s.URL("postgres"), set, Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "LM0004"); !e.Usage() || !strings.Contains(e.Error(), "read-only replica") || strings.Contains(e.Error(), testenv.Password) {
		t.Errorf("%s", e)
	}
	if _, e := status(t, s.URL("postgres"), set); e == nil || !e.Pending() {
		t.Errorf("status works on a replica: %v", e)
	}
	url := testenv.Postgres(t)
	sql(t, url, "ALTER DATABASE "+value(t, url, "SELECT current_database()")+" SET default_transaction_read_only = on")
	_, err = provider(t, url, set, Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "LM0004"); !strings.Contains(e.Error(), "default_transaction_read_only") {
		t.Errorf("%s", e)
	}
}

func TestATableThatIsLockedIsTriedAgainUnderTheSameRow(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	set := files(t, map[string]string{"1": initSQL, "2": `ALTER TABLE "A" ADD COLUMN b int`})
	blocker := open(t, url)
	if _, err := blocker.Exec(context.Background(), `BEGIN`); err != nil {
		t.Fatal(err)
	}
	if _, err := blocker.Exec(context.Background(), `SELECT * FROM "A"`); err != nil {
		t.Fatal(err)
	}
	// Given up: nothing stands in the way of the next run.
	_, err := provider(t, url, set, Options{DDLLockTimeout: 50 * time.Millisecond, MaxRetries: 1}).Deploy(context.Background())
	if e := wantCode(t, err, "P3018"); e.SQLState != "55P03" || !strings.Contains(e.Hint, "Tried 2 times") {
		t.Errorf("%s", e)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T")
	// Released meanwhile: applied, in one row.
	o := Options{DDLLockTimeout: 50 * time.Millisecond}
	o.OnEvent = func(e Event) {
		if e.Event == EventMigrationRetry {
			_, _ = blocker.Exec(context.Background(), "ROLLBACK")
		}
	}
	r := deploy(t, url, set, o, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T", "2: 1,t,f,N")
	if r.Applied[0].Attempts < 2 {
		t.Errorf("attempts %d", r.Applied[0].Attempts)
	}
}

func TestTablesOfOthersAreNamedBeforeTheFirstChange(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": `CREATE TABLE "A"(id int); CREATE TABLE b(id int); CREATE TABLE c(id int)`}), Options{}, "")
	sql(t, url, `CREATE ROLE notowner LOGIN PASSWORD 'pw'; GRANT ALL ON SCHEMA public TO notowner; GRANT ALL ON ALL TABLES IN SCHEMA public TO notowner; ALTER TABLE c OWNER TO notowner`)
	t.Cleanup(func() {
		sql(t, url, "REASSIGN OWNED BY notowner TO postgres; DROP OWNED BY notowner; DROP ROLE notowner")
	})
	set := files(t, map[string]string{
		"1": `CREATE TABLE "A"(id int); CREATE TABLE b(id int); CREATE TABLE c(id int)`,
		"2": `CREATE TABLE mine(id int); ALTER TABLE mine ADD COLUMN x int; ALTER TABLE IF EXISTS ONLY c ADD COLUMN x int`,
		"3": `ALTER TABLE "A" ADD COLUMN x int; CREATE INDEX ON public.b(id); DROP TABLE IF EXISTS b, c`,
	})
	_, err := provider(t, asRole(url, "notowner", "pw"), set, Options{}).Deploy(context.Background())
	e := wantCode(t, err, "P3018")
	if e.Rule != "PRIV001" || e.SQLState != "42501" || !strings.Contains(e.Message, `must be owner of table "A", "b"`) ||
		!strings.Contains(e.Hint, `ALTER TABLE "public"."A" OWNER TO "notowner"; ALTER TABLE "public"."b" OWNER TO "notowner";`) {
		t.Errorf("%s", e)
	}
	if there(t, url, "mine") {
		t.Error("something was begun")
	}
	// A member of the owner's role may do it.
	sql(t, url, "GRANT postgres TO notowner")
	deploy(t, asRole(url, "notowner", "pw"), set, Options{}, "")
	sql(t, url, "REVOKE postgres FROM notowner")
}

func TestALongStatementSaysWhoBlocksIt(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	blocker := open(t, url+"?application_name=a-report")
	for _, text := range []string{"BEGIN", `SELECT * FROM "A"`} {
		if _, err := blocker.Exec(context.Background(), text); err != nil {
			t.Fatal(err)
		}
	}
	rec := newRecorder()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		set := files(t, map[string]string{"1": initSQL, "2": `ALTER TABLE "A" ADD COLUMN b int`})
		_, err := provider(t, url, set, Options{DDLLockTimeout: -1, OnEvent: rec.on}).Deploy(ctx)
		done <- err
	}()
	rec.wait(t, EventBlockedBy)
	rec.mu.Lock()
	e := rec.list[len(rec.list)-1]
	rec.mu.Unlock()
	if len(e.Blockers) != 1 || e.Blockers[0].ApplicationName != "a-report" || !strings.Contains(e.Message, "blocked by pid") {
		t.Errorf("%+v", e)
	}
	cancel()
	wantCode(t, <-done, "LM1430")
}

func TestAnIndexBuildSaysHowFarItIs(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	writer := open(t, url)
	for _, text := range []string{"BEGIN", `INSERT INTO "A" VALUES (1)`} {
		if _, err := writer.Exec(context.Background(), text); err != nil {
			t.Fatal(err)
		}
	}
	rec := newRecorder()
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, files(t, map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY x ON "A"(id)`}), Options{OnEvent: rec.on}).Deploy(context.Background())
		done <- err
	}()
	rec.wait(t, EventProgress)
	rec.wait(t, EventBlockedBy)
	if _, err := writer.Exec(context.Background(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheLockOfAnIdleSessionLooksOrphaned(t *testing.T) {
	h := Holder{PID: 42, State: "idle", SinceSeconds: 700, Orphaned: true, ApplicationName: "prisma"}
	if s := holderSentence(&h); !strings.Contains(s, "pg_terminate_backend(42)") || !strings.Contains(s, "11m40s") {
		t.Error(s)
	}
}

func TestDeployLeavesNoGoroutineAndNoSession(t *testing.T) {
	url := testenv.Postgres(t)
	defer goleak.VerifyNone(t)
	deploy(t, url, failing(t), Options{}, "P3018")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, _ = provider(t, url, files(t, map[string]string{"2_bad": "SELECT pg_sleep(10)"}), Options{}).Deploy(ctx)
	eventually(t, "the sessions end", func() bool {
		return value(t, url, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'llmgw-migrate%' AND datname = current_database()") == "0"
	})
}

func TestNoSecretIsInAnyResult(t *testing.T) {
	url := testenv.Postgres(t)
	var all strings.Builder
	p := provider(t, url, failing(t), Options{OnEvent: func(e Event) { fmt.Fprintf(&all, "%+v\n", e) }})
	r, err := p.Deploy(context.Background())
	fmt.Fprintf(&all, "%+v %v\n", r, err)
	s, serr := p.Status(context.Background())
	fmt.Fprintf(&all, "%+v %v\n", s, serr)
	_ = r.Text(&all, false)
	_ = r.PrismaText(&all, false)
	_ = s.Text(&all)
	if strings.Contains(all.String(), testenv.Password) {
		t.Error("the password is in the output")
	}
}

// pgbouncer runs a pooler of its own in front of a server.
func pgbouncer(t *testing.T, server, mode string) (port int) {
	t.Helper()
	program := testenv.Need(t, "pgbouncer")
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "llmgw-pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := newCutter(t, "127.0.0.1:1", 0, false, false) // a free port
	port, _ = strconv.Atoi(l.listener.Addr().String()[strings.LastIndex(l.listener.Addr().String(), ":")+1:])
	l.close()
	ini := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf("[databases]\n* = host=%s port=%s user=postgres\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%d\nauth_type=any\npool_mode=%s\nunix_socket_dir=\nignore_startup_parameters=extra_float_digits\n",
		u.Hostname(), u.Port(), port, mode)
	if err := os.WriteFile(ini, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, ini)
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return port
}

// Prisma takes the lock, and it stays behind on the pooler's connection.
func TestMC49ATransactionPoolerIsRefused(t *testing.T) {
	s := testenv.PostgresServer(t)
	set := files(t, map[string]string{"1": initSQL})
	for mode, code := range map[string]string{"transaction": "LM0002", "statement": "LM0002", "session": ""} {
		t.Run(mode, func(t *testing.T) {
			sql(t, s.URL("postgres"), "CREATE DATABASE "+mode)
			direct := s.URL(mode)
			pooled := strings.Replace(direct, fmt.Sprint(":", s.Port), fmt.Sprint(":", pgbouncer(t, direct, mode)), 1)
			for i := range 3 {
				r, err := provider(t, pooled, set, Options{ConnectWait: 20 * time.Second}).Deploy(context.Background())
				e := wantCode(t, err, code)
				if e != nil && (!e.Usage() || !strings.Contains(e.Hint, "DIRECT_URL") || !r.Database.Pooler) {
					t.Errorf("try %d: %s", i, e)
				}
				if !lockFree(t, direct) {
					t.Fatalf("try %d: a lock was left behind", i)
				}
			}
			if applied := there(t, direct, `"A"`); applied != (code == "") {
				t.Errorf("applied: %v", applied)
			}
			// Looking is allowed through any pooler.
			if _, err := provider(t, pooled, set, Options{}).Status(context.Background()); err != nil {
				t.Errorf("status: %v", err)
			}
		})
	}
}

func TestArchivesOfLiteLLMsPackage(t *testing.T) {
	set := extras(t)
	if set.Name != "litellm" || set.Provider != "postgresql" || len(set.Migrations) < 200 || set.Migrations[0].Name != "20250326162113_baseline" {
		t.Errorf("%s %s %d", set.Name, set.Provider, len(set.Migrations))
	}
	if !slices.ContainsFunc(set.Migrations, func(m Migration) bool { return strings.Contains(m.Name, " ") && m.Err == nil }) {
		t.Error("the name with spaces is missing")
	}
}
