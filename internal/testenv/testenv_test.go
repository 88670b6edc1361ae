//go:build unix

package testenv

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func query(t *testing.T, url, sql string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return string(results[len(results)-1].Rows[0][0])
}

func TestEachPostgresDatabaseIsEmptyAndItsOwn(t *testing.T) {
	a, b := Postgres(t), Postgres(t)
	if a == b {
		t.Fatalf("two calls returned the same database %s", a)
	}
	query(t, a, "CREATE TABLE x(i int); SELECT 'ok'")
	if n := query(t, b, "SELECT count(*)::text FROM pg_class WHERE relname = 'x'"); n != "0" {
		t.Errorf("the second database sees the first one's table")
	}
}

func TestATemplateIsPreparedOnceAndCopied(t *testing.T) {
	calls, name := 0, fmt.Sprint("once_", time.Now().UnixNano())
	prepare := func(url string) error {
		calls++
		conn, err := pgx.Connect(context.Background(), url)
		if err != nil {
			return err
		}
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), "CREATE TABLE seeded AS SELECT 42 AS answer")
		return err
	}
	for range 3 {
		if got := query(t, PostgresFrom(t, name, prepare), "SELECT answer::text FROM seeded"); got != "42" {
			t.Errorf("answer = %s", got)
		}
	}
	if calls != 1 {
		t.Errorf("prepared %d times", calls)
	}
}

func TestAPostgresServerStopsAndComesBackWithItsData(t *testing.T) {
	s := PostgresServer(t, PostgresOptions{Settings: map[string]string{"fsync": "on", "synchronous_commit": "on"}})
	query(t, s.URL("postgres"), "CREATE TABLE kept(i int); SELECT 'ok'")
	s.Stop()
	if conn, err := pgx.Connect(context.Background(), s.URL("postgres")); err == nil {
		conn.Close(context.Background())
		t.Fatal("the stopped server still answers")
	}
	s.Start(t)
	if n := query(t, s.URL("postgres"), "SELECT count(*)::text FROM kept"); n != "0" {
		t.Errorf("count = %s", n)
	}
}

func TestRedisAnswersAndAServerOfItsOwnAsksForItsPassword(t *testing.T) {
	if a, b := Redis(t), Redis(t); a == b {
		t.Fatalf("two calls returned the same database %s", a)
	}
	s := RedisServer(t, "--requirepass", "p4ss")
	if !strings.Contains(s.URL("0"), "p4ss") {
		t.Errorf("URL %s does not carry the password", s.URL("0"))
	}
	s.Stop()
	if err := pingRedis(s); err == nil {
		t.Error("the stopped server still answers")
	}
	s.Start(t)
}

// TestCrashChild is the process that the next test kills.
func TestCrashChild(t *testing.T) {
	if os.Getenv("TESTENV_CRASH_CHILD") == "" {
		t.Skip("runs only as the child of TestServersGoAwayWhenTheTestProcessIsKilled")
	}
	Postgres(t)
	Redis(t)
	fmt.Printf("\nready %s %d %s %d\n",
		shared.server.Dir(), shared.server.process.cmd.Process.Pid,
		sharedRedis.server.Dir(), sharedRedis.server.process.cmd.Process.Pid)
	time.Sleep(time.Minute)
}

func TestServersGoAwayWhenTheTestProcessIsKilled(t *testing.T) {
	Need(t, "postgres")
	Need(t, "redis-server")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run", "^TestCrashChild$")
	cmd.Env = append(os.Environ(), "TESTENV_CRASH_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dirs [2]string
	var pids [2]int
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if n, _ := fmt.Sscanf(lines.Text(), "ready %s %d %s %d", &dirs[0], &pids[0], &dirs[1], &pids[1]); n == 4 {
			break
		}
	}
	if pids[1] == 0 {
		t.Fatal("the child never got its servers")
	}
	_ = cmd.Process.Kill()
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait()
	for i := range dirs {
		deadline := time.Now().Add(15 * time.Second)
		for {
			_, err := os.Stat(dirs[i])
			if os.IsNotExist(err) && !alive(pids[i]) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("server %d still alive: %v, folder %s: %v", pids[i], alive(pids[i]), dirs[i], err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// alive tells a running process from a zombie that nobody has reaped yet.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	if runtime.GOOS == "linux" {
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(data), ") Z ") {
			return false
		}
	}
	return true
}

func TestReapRemovesOnlyFoldersWithoutAWatchdog(t *testing.T) {
	base := t.TempDir()
	old := time.Now().Add(-time.Hour)
	dead, held, young := filepath.Join(base, dirPrefix+"dead"), filepath.Join(base, dirPrefix+"held"), filepath.Join(base, dirPrefix+"young")
	for _, dir := range []string{dead, held, young} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := lockFile(held)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for _, dir := range []string{dead, held} {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	reap(base)
	for dir, want := range map[string]bool{dead: false, held: true, young: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s still there: %v, want %v", filepath.Base(dir), err == nil, want)
		}
	}
}

// recorder stands in for a test, to see how it ends.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(f string, a ...any) { r.skipped = fmt.Sprintf(f, a...); runtime.Goexit() }

func (r *recorder) Fatalf(f string, a ...any) { r.failed = fmt.Sprintf(f, a...); runtime.Goexit() }

func needing(program string) *recorder {
	r, done := &recorder{}, make(chan struct{})
	go func() { defer close(done); Need(r, program) }()
	<-done
	return r
}

func TestAMissingProgramSkipsExceptInCI(t *testing.T) {
	if testing.Short() {
		if r := needing("sh"); !strings.Contains(r.skipped, "-short starts no sh") {
			t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
		}
		return
	}
	t.Setenv("CI", "")
	r := needing("no-such-program-here")
	if !strings.HasPrefix(r.skipped, "testenv: skipped, no-such-program-here missing") || r.failed != "" {
		t.Errorf("outside CI: skipped %q, failed %q", r.skipped, r.failed)
	}
	t.Setenv("CI", "true")
	r = needing("no-such-program-here")
	if r.failed == "" || r.skipped != "" {
		t.Errorf("in CI: skipped %q, failed %q", r.skipped, r.failed)
	}
}
