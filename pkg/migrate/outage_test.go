//go:build linux

package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

func TestAServerWithoutTLSIsNamed(t *testing.T) {
	url := testenv.Postgres(t)
	begin := time.Now()
	_, err := provider(t, url+"?sslmode=require", files(t, nil), Options{ConnectWait: time.Minute}).Deploy(context.Background())
	if e := wantCode(t, err, "P1011"); !e.Unreachable() || !strings.Contains(e.Error(), "the server offers no TLS, and the URL requires it") {
		t.Errorf("%s", e)
	}
	if time.Since(begin) > 10*time.Second {
		t.Error("a refusal was retried")
	}
}

func TestAServerThatDiesInMidMigrationLosesNothing(t *testing.T) {
	s := testenv.PostgresServer(t, testenv.PostgresOptions{Settings: map[string]string{"synchronous_commit": "on"}})
	url := s.URL("postgres")
	list := map[string]string{"1": initSQL, "2": `CREATE TABLE "B"(id int); SELECT pg_sleep(30);`, "3": `CREATE TABLE "C"(id int)`}
	rec := newRecorder()
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, files(t, list), Options{OnEvent: rec.on, CancelGrace: 500 * time.Millisecond}).Deploy(context.Background())
		done <- err
	}()
	eventually(t, "the second migration runs", func() bool {
		return value(t, url, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND state = 'active' AND pid <> pg_backend_pid()") == "1"
	})
	s.Stop()
	err := <-done
	if e := wantCode(t, err, "P1017"); !e.Unreachable() || e.Migration != "2" || !strings.Contains(e.Hint, "--retry-failed") {
		t.Errorf("%+v", e)
	}
	s.Start(t)
	eventually(t, "the server is back", func() bool {
		_, err := provider(t, url, files(t, nil), Options{}).Status(context.Background())
		return err == nil
	})
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,f,N")
	if there(t, url, `"B"`) {
		t.Error("half of the file is there")
	}
	list["2"] = `CREATE TABLE "B"(id int);`
	deploy(t, url, files(t, list), Options{}, "P3009")
	deploy(t, url, files(t, list), Options{RetryFailed: true}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T", "2: 1,t,f,N", "3: 1,t,f,N")
}

// TestAFullDiskIsOneSentence puts the database on a file system of 8 MB.
func TestAFullDiskIsOneSentence(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root, and only root can mount the small file system that fills up: run the test as root")
	}
	s := testenv.PostgresServer(t)
	dir := filepath.Join(s.Dir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=12m,mode=0777"); err != nil {
		t.Skipf("a small tmpfs cannot be mounted here (%v): run the test where root may mount (docker run --privileged)", err)
	}
	t.Cleanup(func() {
		s.Stop()
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
	})
	space := filepath.Join(dir, "space")
	if err := os.Mkdir(space, 0o700); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(s.Dir(), "data"))
	if err != nil {
		info, err = os.Stat(s.Dir())
	}
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(space, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	url := s.URL("postgres")
	sql(t, url, fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", space))
	list := map[string]string{"1": initSQL, "2": `CREATE TABLE "B"(t text) TABLESPACE small; INSERT INTO "B" SELECT repeat(md5(g::text), 50) FROM generate_series(1, 20000) g;`}
	_, err = provider(t, url, files(t, list), Options{}).Deploy(context.Background())
	e := wantCode(t, err, "P3018")
	if e.SQLState != "53100" || !strings.Contains(e.Message, "No space left on device") || e.Migration != "2" {
		t.Errorf("%+v", e)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,f,T")
	if there(t, url, `"B"`) || !lockFree(t, url) {
		t.Error("something is left")
	}
	list["2"] = `CREATE TABLE "B"(t text) TABLESPACE small;`
	deploy(t, url, files(t, list), Options{RetryFailed: true}, "")
}

// TestACutDuringAnOnlineBuildIsSaidAndRepaired kills the session that builds;
// the next run finds the failed row, and repair-indexes what is invalid.
func TestACutDuringAnOnlineBuildIsSaidAndRepaired(t *testing.T) {
	url := testenv.Postgres(t)
	list := map[string]string{"1": initSQL}
	deploy(t, url, files(t, list), Options{}, "")
	sql(t, url, `INSERT INTO "A" VALUES (1)`)
	// An open transaction keeps the build waiting.
	blocker := open(t, url)
	if _, err := blocker.Exec(context.Background(), `BEGIN; INSERT INTO "A" VALUES (2)`); err != nil {
		t.Fatal(err)
	}
	list["2"] = `CREATE INDEX "A_idx" ON "A"(id)`
	set := files(t, list)
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, set, Options{OnlineIndexes: true}).Deploy(context.Background())
		done <- err
	}()
	eventually(t, "the build waits", func() bool {
		return value(t, url, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'") == "1"
	})
	sql(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'")
	err := <-done
	if e, ok := errors.AsType[*Error](err); !ok || e.Migration != "2" {
		t.Errorf("%v", err)
	}
	if _, err := blocker.Exec(context.Background(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,f,N")
	resolve(t, url, set, rolledBack("2"), "")
	r := deploy(t, url, set, Options{OnlineIndexes: true, RepairInvalid: true}, "")
	if valid(t, url, "A_idx") != "true" || len(r.Applied) != 1 {
		t.Errorf("%s %+v", valid(t, url, "A_idx"), r)
	}
}
