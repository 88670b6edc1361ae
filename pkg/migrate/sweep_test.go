//go:build unix

package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/pgurl"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/testenv"
)

// TestMain runs a deploy instead of the tests where childURL is set, so that a
// test has a process that it can kill.
func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		os.Exit(child(url, os.Getenv(childFolder)))
	}
	os.Exit(m.Run())
}

const (
	childURL    = "LLMGW_TEST_DEPLOY_URL"
	childFolder = "LLMGW_TEST_DEPLOY_FOLDER"
)

func child(url, folder string) int {
	set, err := ReadDir(os.DirFS(folder), folder)
	if err == nil {
		var target *pgurl.Target
		if target, err = pgurl.Parse(redact.New(url), pgurl.Options{Purpose: pgurl.Migrate, Version: "child"}); err == nil {
			_, err = New(target, set, Options{Wait: true, LockTimeout: 2 * time.Minute, CancelGrace: 3 * time.Second}).Deploy(context.Background())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startChild is a deploy in a process of its own.
func startChild(t *testing.T, url, folder string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childURL+"="+url, childFolder+"="+folder)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &errs
}

// swept has a file for each way of running one: two atomic ones, a concurrent
// build, one with a transaction of its own.
var swept = map[string]string{
	"1": `CREATE TABLE one(i int); INSERT INTO one VALUES (1)`,
	"2": `CREATE TABLE two(i int)`,
	"3": `CREATE INDEX CONCURRENTLY three ON one(i)`,
	"4": `BEGIN; CREATE TABLE four(i int); COMMIT`,
}

// made tells whether what a migration of swept makes is there and whole.
func made(t *testing.T, url, name string) bool {
	t.Helper()
	switch name {
	case "3":
		return valid(t, url, "three") == "true"
	case "1":
		return there(t, url, "one") && value(t, url, "SELECT count(*) FROM one") == "1"
	}
	return there(t, url, map[string]string{"2": "two", "4": "four"}[name])
}

// sessionsEnd waits for the backends of a broken run.
func sessionsEnd(t *testing.T, url string) {
	t.Helper()
	eventually(t, "the old sessions end", func() bool {
		return value(t, url, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()") == "0"
	})
}

// checkBroken looks at what a broken deploy left, and goes on from there. What
// must hold: nobody has the lock; a migration counts as applied exactly if what
// it makes is there, or its row is open and says that nobody knows, which a row
// of ours may only say of a file that is no single transaction; nothing is
// applied twice. Then one more deploy ends it, without an operator unless such a
// row is open; the operator looks whether the thing is there and resolves
// accordingly.
func checkBroken(t *testing.T, url string, set *Set, isMade func(*testing.T, string, string) bool) (operator bool) {
	t.Helper()
	sessionsEnd(t, url)
	if !lockFree(t, url) {
		t.Error("wrong state: the lock is still held")
	}
	for _, m := range set.Migrations {
		applied, open, known := rowsOf(t, url, m.Name)
		if have := isMade(t, url, m.Name); applied > 1 || (applied == 1) != have && (open == 0 || known) {
			t.Errorf("wrong state: migration %s: %d applied rows, %d open ones, what it makes is there: %v\n%v", m.Name, applied, open, have, history(t, url))
		}
	}
	o := Options{RetryFailed: true, RepairInvalid: true}
	_, err := provider(t, url, set, o).Deploy(context.Background())
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "P3009" {
		operator = true
		for _, m := range set.Migrations {
			_, open, known := rowsOf(t, url, m.Name)
			switch {
			case open == 0:
				continue
			case known:
				t.Errorf("wrong state: an operator is asked about %s, which is one transaction of ours", m.Name)
			}
			if isMade(t, url, m.Name) {
				resolve(t, url, set, applied(m.Name), "")
			} else {
				resolve(t, url, set, rolledBack(m.Name), "")
			}
		}
		_, err = provider(t, url, set, o).Deploy(context.Background())
	}
	if err != nil {
		t.Errorf("wrong state: a deploy afterwards: %v\n%v", err, history(t, url))
	}
	for _, m := range set.Migrations {
		if applied, _, _ := rowsOf(t, url, m.Name); applied != 1 || !isMade(t, url, m.Name) {
			t.Errorf("wrong state: in the end %s has %d applied rows and is made: %v\n%v", m.Name, applied, isMade(t, url, m.Name), history(t, url))
		}
	}
	return operator
}

// rowsOf counts the rows of a migration in the history. known says that the open
// ones are all of ours and of one transaction each: then the server has kept
// nothing. Prisma writes its row beside the script's transaction, so its open row
// says nothing.
func rowsOf(t *testing.T, url, name string) (applied, open int, known bool) {
	t.Helper()
	if !there(t, url, `"_prisma_migrations"`) {
		return 0, 0, true
	}
	s, err := provider(t, url, files(t, nil), Options{}).connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	rows, err := s.rows(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	known = true
	for _, r := range rows {
		switch {
		case r.Name != name:
		case r.Applied():
			applied++
		case r.Failed():
			open++
			mode, ours := r.ours()
			known = known && ours && mode == Atomic
		}
	}
	return applied, open, known
}

// breakage is how a deploy is broken at a message of its connection.
type breakage struct {
	name      string
	delivered bool // the server still gets the message
	dead      bool // and nobody can connect afterwards
	kill      bool // the process is killed, not the connection cut
}

var breakages = []breakage{
	{name: "cut before the server gets it"}, {name: "cut after the server got it", delivered: true}, {name: "cut and nothing answers any more", dead: true},
	{name: "killed before the server gets it", kill: true}, {name: "killed after the server got it", kill: true, delivered: true},
}

// TestADeployIsBrokenAtEveryMessage cuts the connection, or kills the process,
// at each message that a deploy sends: every one under `make long`, a sample in
// the gate.
func TestADeployIsBrokenAtEveryMessage(t *testing.T) {
	set := files(t, swept)
	folder := t.TempDir()
	writeFolder(t, folder, swept)
	total := deployThrough(t, testenv.Postgres(t), 0, breakage{}, set, folder)
	if total < 30 {
		t.Fatalf("a deploy sends only %d messages", total)
	}
	step := int64(sample(23))
	if testing.Short() {
		step = 31
	}
	var points, operators, wrong atomic.Int32
	t.Run("at", func(t *testing.T) {
		for i, b := range breakages {
			for at := 1 + int64(i)%step; at <= total; at += step { // other points for each kind
				t.Run(fmt.Sprintf("%d %s", at, b.name), func(t *testing.T) {
					t.Parallel()
					defer func() {
						if points.Add(1); t.Failed() {
							wrong.Add(1)
						}
					}()
					url := testenv.Postgres(t)
					deployThrough(t, url, at, b, set, folder)
					if checkBroken(t, url, set, made) {
						operators.Add(1)
					}
				})
			}
		}
	})
	t.Logf("figures: %d messages, %d breaks tried, %d of them inside a file that is no single transaction (an operator resolves), wrong states: %d", total, points.Load(), operators.Load(), wrong.Load())
}

// deployThrough runs a deploy by way of a proxy that breaks it; 0 breaks
// nothing and returns the number of messages.
func deployThrough(t *testing.T, url string, at int64, b breakage, set *Set, folder string) int64 {
	t.Helper()
	for try := 0; ; try++ {
		proxy := &cutter{server: hostOf(t, url), at: at, delivered: b.delivered, deadAfter: b.dead}
		started, gone := make(chan *exec.Cmd, 1), make(chan struct{})
		if b.kill {
			proxy.atCut = func() {
				_ = (<-started).Process.Kill()
				<-gone
			}
		}
		startCutter(t, proxy)
		var err error
		if b.kill {
			cmd, errs := startChild(t, proxy.through(url), folder)
			started <- cmd
			err = cmd.Wait()
			close(gone)
			if !proxy.cut.Load() && err != nil {
				err = fmt.Errorf("%w: %s", err, errs)
			} else {
				err = nil // killed; at the last message it may have been over before
			}
		} else {
			o := Options{CancelGrace: 3 * time.Second}
			if b.dead {
				o.CancelGrace = 300 * time.Millisecond
			}
			_, err = provider(t, proxy.through(url), set, o).Deploy(context.Background())
			if e, ok := errors.AsType[*Error](err); proxy.cut.Load() && ok && e.Unreachable() {
				err = nil
			}
		}
		messages, cut := proxy.messages.Load(), proxy.cut.Load()
		proxy.close()
		switch {
		case at != 0 && !cut && try < 5:
			// A machine too slow for the short connect_timeout: nothing was broken.
			continue
		case err != nil:
			t.Errorf("%v (%T), broken: %v", err, err, cut)
		}
		return messages
	}
}

func writeFolder(t *testing.T, dir string, list map[string]string) {
	t.Helper()
	for name, text := range list {
		if err := os.MkdirAll(dir+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name+"/migration.sql", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
