//go:build linux

package cmd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/testenv"
)

// memoryGroup makes a control group with a limit and returns its folder and the
// file that says how much was used at most.
func memoryGroup(t *testing.T, limit int64) (procs, peak string) {
	t.Helper()
	name := fmt.Sprintf("llmgw-test-%d", os.Getpid())
	for _, v := range []struct{ base, limit, peak string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"},
		{"/sys/fs/cgroup", "memory.max", "memory.peak"},
	} {
		dir := filepath.Join(v.base, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			for range 50 { // a process that has ended leaves a moment later
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		if os.WriteFile(filepath.Join(dir, v.limit), []byte(strconv.FormatInt(limit, 10)), 0o600) == nil {
			return filepath.Join(dir, "cgroup.procs"), filepath.Join(dir, v.peak)
		}
	}
	t.Skip("no control group can be made under /sys/fs/cgroup: run the test as root where that is writable (docker run --privileged)")
	return "", ""
}

// TestMigrateNeeds40MBAndNoWritableDisk runs each command that a Job or an init
// container runs in a control group of 40 MB, on file systems that are all
// read-only, as a user without rights: with our own set, and with LiteLLM's chain
// out of its wheel.
func TestMigrateNeeds40MBAndNoWritableDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds the program; leave -short out for it")
	}
	if os.Geteuid() != 0 {
		t.Skip("not root, and only root can run a program as another user with a limit on its memory: run the test as root")
	}
	program := program(t)
	dir := filepath.Dir(program)
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if info, err := os.Stat(d); err != nil || info.Mode()&0o001 == 0 {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Skipf("another user cannot enter %s, and it cannot be changed (%v): set TMPDIR to a folder that all may enter", d, err)
			}
		}
	}
	procs, peak := memoryGroup(t, 40<<20)
	run := func(t *testing.T, url string, args ...string) {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			full := append([]string{"migrate"}, args...)
			if args[0] != "lint" {
				full = append(full, "--database-url", url)
			}
			// The shell joins the group as root and takes the right to write from every
			// file system in its own view of them; the program runs as nobody.
			shell := fmt.Sprintf(`echo $$ > %s && cd / && mount --make-rprivate / &&
				for m in $(awk '{print $5}' /proc/self/mountinfo); do mount -o remount,bind,ro $m 2>/dev/null; done
				if touch %s/written 2>/dev/null; then echo "a file system can be written"; exit 1; fi
				exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH=/nonexistent TMPDIR=/nonexistent "$@"`, procs, dir)
			cmd := exec.Command("unshare", append([]string{"-m", "sh", "-c", shell, "sh", program}, full...)...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if cmd.ProcessState != nil {
				t.Logf("peak RSS %d MB with the program's own pages", cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss/1024)
			}
		})
	}
	url := testenv.Postgres(t)
	name := "llmgw_0001_budgets_and_access"
	for _, args := range [][]string{
		{"deploy", "--to", name}, {"deploy", "--dry-run"}, {"deploy", "--set", "llmgw", "--wait", "--format", "jsonl"}, {"deploy"}, {"status"}, {"wait"},
		{"baseline", "--repair"}, {"resolve", "--all-through", name, "--verify"}, {"plan"}, {"diff"}, {"repair-indexes"}, {"unlock"}, {"lint", "--min-severity", "error"},
	} {
		run(t, url, args...)
	}
	t.Run("LiteLLM's chain", func(t *testing.T) {
		wheel := filepath.Join(testenv.CacheDir(t), "extras", "litellm_proxy_extras-0.4.108-py3-none-any.whl")
		text, err := os.ReadFile(testenv.NeedFile(t, wheel, "LiteLLM's migrations", "make chain, or go run ./internal/testenv/fetch extras"))
		if err != nil {
			t.Fatal(err)
		}
		readable := filepath.Join(dir, "litellm_proxy_extras-0.4.108-py3-none-any.whl")
		if err := os.WriteFile(readable, text, 0o644); err != nil {
			t.Fatal(err)
		}
		url, bare := testenv.Postgres(t), testenv.Postgres(t)
		from := []string{"--migrations-from", readable}
		for _, args := range [][]string{{"plan"}, {"deploy", "--wait", "--format", "jsonl"}, {"deploy"}, {"status"}, {"wait"}, {"resolve", "--all-through", "20250326162113_baseline"}, {"diff"}} {
			run(t, url, append(args, from...)...)
		}
		// The schema without its history, as db push leaves it.
		runMigrate(t, append([]string{"deploy", "-q", "--database-url", bare}, from...)...)
		conn, err := pgx.Connect(context.Background(), bare)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), `DROP TABLE "_prisma_migrations"`); err != nil {
			t.Fatal(err)
		}
		run(t, bare, append([]string{"baseline"}, from...)...)
	})
	if used, err := os.ReadFile(peak); err == nil {
		n, _ := strconv.ParseInt(strings.TrimSpace(string(used)), 10, 64)
		t.Logf("the group used %.1f MB at most, of 40", float64(n)/(1<<20))
	}
}
