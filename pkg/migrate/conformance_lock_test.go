package migrate

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/testenv"
)

// Prisma dies of 40P01 here, or kills the waiter.
func TestMC32AConcurrentIndexWhileAnotherToolWaitsInsideTheLock(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL})
	deploy(t, url, set, Options{}, "")
	set = files(t, map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY "A_idx" ON "A"(id)`})
	rec := newRecorder()
	waiterDone := make(chan error, 1)
	// The waiter does what Prisma does: it blocks inside the statement, with a
	// snapshot.
	o := Options{Wait: true, LockTimeout: time.Minute}
	started := make(chan struct{})
	o.OnEvent = func(e Event) {
		rec.on(e)
		if e.Event != EventMigrationStarted || rec.count(EventMigrationStarted) > 1 {
			return
		}
		conn := open(t, url)
		go func() {
			_, err := conn.Exec(context.Background(), "SELECT pg_advisory_lock(72707369)")
			if err == nil {
				_, err = conn.Exec(context.Background(), "SELECT pg_advisory_unlock(72707369)")
			}
			waiterDone <- err
		}()
		eventually(t, "the other tool waits", func() bool {
			return value(t, url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "1"
		})
		close(started)
	}
	deploy(t, url, set, o, "")
	<-started
	waiterErr := <-waiterDone
	got := history(t, url)
	if waiterErr == nil {
		// We were the victim, gave up the lock, and did it again.
		if diff := cmp.Diff([]string{"1: 1,t,f,N", "2: 0,f,t,T", "2: 1,t,f,N"}, got); diff != "" {
			t.Error(diff)
		}
		if rec.count(EventLockAcquired) != 2 {
			t.Errorf("the lock was taken %d times, want 2", rec.count(EventLockAcquired))
		}
	} else if diff := cmp.Diff([]string{"1: 1,t,f,N", "2: 1,t,f,N"}, got); diff != "" {
		t.Error(diff) // the server chose the waiter
	}
	if value(t, url, `SELECT indisvalid FROM pg_index WHERE indexrelid = '"A_idx"'::regclass`) != "true" {
		t.Error("the index is not valid")
	}
	if !lockFree(t, url) {
		t.Error("the lock is still held")
	}
}

// holdLock takes the advisory lock on a session of its own until the test ends
// or release is called.
func holdLock(t *testing.T, url string) (release func()) {
	t.Helper()
	conn := open(t, url+"?application_name=somebody-else")
	if _, err := conn.Exec(context.Background(), "SELECT pg_advisory_lock(72707369)"); err != nil {
		t.Fatal(err)
	}
	return func() { conn.Close(context.Background()) }
}

func TestMC40ALockHeldTooLong(t *testing.T) {
	url := testenv.Postgres(t)
	release := holdLock(t, url)
	set := files(t, map[string]string{"1": initSQL})
	_, err := provider(t, url, set, Options{LockTimeout: 300 * time.Millisecond}).Deploy(context.Background())
	e := wantCode(t, err, "P1002")
	if !e.Locked() || !strings.Contains(e.Error(), "Context: Timed out trying to acquire a postgres advisory lock (SELECT pg_advisory_lock(72707369)). Timeout: 300ms.") ||
		!strings.Contains(e.Hint, "somebody-else") || !strings.Contains(e.Hint, "pid ") || !strings.Contains(e.Hint, "--wait") {
		t.Errorf("text %s", e)
	}
	if there(t, url, "_prisma_migrations") {
		t.Error("something was begun without the lock")
	}
	r, _ := status(t, url, set)
	if r.Holder == nil || r.Holder.ApplicationName != "somebody-else" {
		t.Errorf("status does not show the holder: %+v", r.Holder)
	}
	// With --wait it goes on as soon as the lock is free.
	rec := newRecorder()
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, set, Options{Wait: true, OnEvent: rec.on}).Deploy(context.Background())
		done <- err
	}()
	rec.wait(t, EventLockWait)
	// It waits outside of any statement, so that a concurrent build elsewhere
	// is not held up.
	if n := value(t, url, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'llmgw-migrate%' AND backend_xmin IS NOT NULL"); n != "0" {
		t.Errorf("%s waiting sessions hold a snapshot", n)
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantHistory(t, url, "1: 1,t,f,N")
}

func TestMC41ManyDeploysAtOnce(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL, "2": `CREATE TABLE b(i int); SELECT pg_sleep(0.05)`, "3": `CREATE INDEX CONCURRENTLY x ON b(i)`})
	const n = 5
	errs := make(chan error, n)
	applied := make(chan int, n)
	for range n {
		go func() {
			r, err := provider(t, url, set, Options{Wait: true}).Deploy(context.Background())
			applied <- len(r.Applied)
			errs <- err
		}()
	}
	total := 0
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
		total += <-applied
	}
	if total != 3 {
		t.Errorf("%d migrations applied in all, want 3", total)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N", "3: 1,t,f,N")
}

// sleeping reports that some session executes pg_sleep.
func sleeping(t *testing.T, url string) bool {
	return value(t, url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'") == "1"
}

// Prisma leaves the statement running and the row unfinished.
func TestMC42ASignalCancelsAndLeavesNothing(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL, "2": `CREATE TABLE b(i int); SELECT pg_sleep(60)`, "3": "SELECT 1"})
	ctx, cancel := context.WithCancelCause(context.Background())
	o := Options{CancelledBy: func(cause error) string { return cause.Error() }}
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, set, o).Deploy(ctx)
		done <- err
	}()
	eventually(t, "the sleep runs", func() bool { return sleeping(t, url) })
	begin := time.Now()
	cancel(fmt.Errorf("SIGTERM"))
	e := wantCode(t, <-done, "LM1430")
	if !e.Cancelled() || e.Cause != "SIGTERM" || time.Since(begin) > 10*time.Second {
		t.Errorf("%+v after %v", e, time.Since(begin))
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T")
	if got := value(t, url, `SELECT logs FROM "_prisma_migrations" WHERE migration_name = '2'`); got != "llmgw: cancelled by SIGTERM, rolled back" {
		t.Errorf("logs %q", got)
	}
	if there(t, url, "b") || !lockFree(t, url) {
		t.Error("the table is there or the lock is held")
	}
	// The next run needs nobody.
	deploy(t, url, files(t, map[string]string{"1": initSQL, "2": `CREATE TABLE b(i int)`, "3": "SELECT 1"}), Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T", "2: 1,t,f,N", "3: 1,t,f,N")
}

func TestMC42ASignalDuringAConcurrentIndex(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	// An open transaction with a snapshot holds the build up.
	blocker := open(t, url)
	if _, err := blocker.Exec(context.Background(), `BEGIN ISOLATION LEVEL REPEATABLE READ`); err != nil {
		t.Fatal(err)
	}
	if _, err := blocker.Exec(context.Background(), `SELECT * FROM "A"`); err != nil {
		t.Fatal(err)
	}
	set := files(t, map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY "A_idx" ON "A"(id)`})
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, set, Options{CancelledBy: func(error) string { return "SIGINT" }}).Deploy(ctx)
		done <- err
	}()
	eventually(t, "the build waits", func() bool {
		return value(t, url, `SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'`) == "1"
	})
	cancel(fmt.Errorf("interrupted"))
	// Dropping the invalid index waits for the same transaction, if done
	// concurrently.
	eventually(t, "the drop waits too", func() bool {
		return value(t, url, `SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DROP INDEX CONC%' AND wait_event_type = 'Lock'`) == "1"
	})
	if _, err := blocker.Exec(context.Background(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-done, "LM1430")
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T")
	if there(t, url, `"A_idx"`) {
		t.Error("the invalid index was left behind")
	}
	deploy(t, url, set, Options{}, "")
	if value(t, url, `SELECT indisvalid FROM pg_index WHERE indexrelid = '"A_idx"'::regclass`) != "true" {
		t.Error("the index is not valid")
	}
}

func TestMC42ASignalDuringAFileWithItsOwnTransactions(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": `BEGIN; CREATE TABLE b(i int); COMMIT; SELECT pg_sleep(60)`})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, set, Options{}).Deploy(ctx)
		done <- err
	}()
	eventually(t, "the sleep runs", func() bool { return sleeping(t, url) })
	cancel()
	if e := wantCode(t, <-done, "LM1430"); !strings.Contains(e.Message, "left as failed") {
		t.Errorf("text %s", e)
	}
	wantHistory(t, url, "1: 0,f,f,T")
}
