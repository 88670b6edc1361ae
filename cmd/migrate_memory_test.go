//go:build linux

package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
	t.Skip("no control group can be made here; it takes root and a writable /sys/fs/cgroup")
	return "", ""
}

// TestMigrateNeeds40MBAndNoWritableDisk runs each command that a Job or an init
// container runs in a control group of 40 MB, as a user who may write nowhere.
func TestMigrateNeeds40MBAndNoWritableDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	if os.Geteuid() != 0 {
		t.Skip("changes the user, which takes root")
	}
	dir := t.TempDir()
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if info, err := os.Stat(d); err != nil || info.Mode()&0o001 == 0 {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Skipf("%s cannot be opened to others", d)
			}
		}
	}
	program := filepath.Join(dir, "llmgw")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	procs, peak := memoryGroup(t, 40<<20)
	url := testenv.Postgres(t)
	name := "llmgw_0001_budgets_and_access"
	for _, args := range [][]string{
		{"deploy", "--to", name}, {"deploy", "--dry-run"}, {"deploy", "--set", "llmgw", "--wait", "--format", "jsonl"}, {"deploy"}, {"status"}, {"wait"},
		{"baseline", "--repair"}, {"resolve", "--all-through", name, "--verify"}, {"plan"}, {"diff"}, {"repair-indexes"}, {"unlock"}, {"lint", "--min-severity", "error"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			full := append([]string{"migrate"}, args...)
			if args[0] != "lint" {
				full = append(full, "--database-url", url)
			}
			// The shell joins the group as root; the program runs as nobody.
			shell := fmt.Sprintf(`echo $$ > %s && cd / && exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH=/nonexistent TMPDIR=/nonexistent "$@"`, procs)
			cmd := exec.Command("sh", append([]string{"-c", shell, "sh", program}, full...)...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if cmd.ProcessState != nil {
				t.Logf("peak RSS %d MB with the program's own pages", cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss/1024)
			}
		})
	}
	if used, err := os.ReadFile(peak); err == nil {
		n, _ := strconv.ParseInt(strings.TrimSpace(string(used)), 10, 64)
		t.Logf("the group used %.1f MB at most, of 40", float64(n)/(1<<20))
	}
}
