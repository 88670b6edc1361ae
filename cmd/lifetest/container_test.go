//go:build linux

package lifetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAnUnprivilegedUserOnAReadOnlyFileSystem runs the gateway as a hardened pod
// does: a root file system of one program and one configuration, read-only, user
// 65532, no capability, no new privileges. Without the rights to build that it
// is skipped.
func TestAnUnprivilegedUserOnAReadOnlyFileSystem(t *testing.T) {
	for _, tool := range []string{"unshare", "mount"} {
		if _, err := exec.LookPath(tool); err != nil || os.Getuid() != 0 {
			t.Skipf("SKIPPED, and nothing else tries it: a read-only root needs root and %s, and this is uid %d: run the test as root", tool, os.Getuid())
		}
	}
	static := os.Getenv("LLMGW_BIN")
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, and nothing else tries it: no mount namespace here (%v %s): run the test where root may unshare (docker run --privileged)", err, out)
	}
	root := t.TempDir()
	for _, dir := range []string{"etc/llmgw", "proc", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	prog := filepath.Join(root, "llmgw")
	install(t, prog)
	if static == "" {
		libraries(t, prog, root) // the test's binary may be linked to the C library
	}
	conf := filepath.Join(root, "etc/llmgw/config.yaml")
	config(t, conf, upstream(t), 1, "litellm_settings: {callbacks: [prometheus]}")
	if err := os.Chmod(conf, 0o644); err != nil {
		t.Fatal(err)
	}
	for dir := root; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, more := range map[string]string{"alone": "", "with a supervisor": " --max-requests-before-restart 50"} {
		t.Run(name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			port := freePort(t)
			script := fmt.Sprintf(`set -e
mount --bind %[1]s %[1]s
mount -o remount,bind,ro %[1]s
if touch %[1]s/x 2>/dev/null; then echo writable; exit 9; fi
exec %[4]s serve --config /etc/llmgw/config.yaml --host 127.0.0.1 --port %[2]d%[3]s`, root, port, more, self)
			p := &process{t: t, port: port, end: make(chan error, 1), log: filepath.Join(t.TempDir(), "log")}
			p.cmd = exec.Command("unshare", "-m", "--propagation", "private", "/bin/sh", "-c", script)
			p.cmd.Env = []string{asProgram + "=1", jail + "=" + root, "LITELLM_LOG=INFO", "PATH=" + os.Getenv("PATH")}
			log, err := os.Create(p.log)
			if err != nil {
				t.Fatal(err)
			}
			p.cmd.Stdout, p.cmd.Stderr = log, log
			begin := time.Now()
			if err := p.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			log.Close()
			go func() { p.end <- p.cmd.Wait() }()
			t.Cleanup(func() {
				_ = p.cmd.Process.Kill()
				if t.Failed() {
					t.Log(p.text())
				}
			})
			p.untilReady()
			t.Logf("ready %s after unshare was called (asked every 20 ms)", time.Since(begin).Round(time.Millisecond))
			for _, pid := range append([]int{p.cmd.Process.Pid}, children(t, p.cmd.Process.Pid)...) {
				facts := statusLines(t, pid, "Uid:", "CapEff:", "CapBnd:", "NoNewPrivs:")
				t.Logf("process %d: %s", pid, strings.Join(facts, ", "))
				for i, want := range []string{"65532", "0000000000000000", "0000000000000000", "1"} {
					if fields := strings.Fields(facts[i]); fields[len(fields)-1] != want {
						t.Errorf("%s, want %s", facts[i], want)
					}
				}
			}
			l := startLoad(p.url(), 2, 10*time.Millisecond)
			time.Sleep(2 * time.Second)
			l.stop(t)
			p.stop()
		})
	}
}

// jail names the root file system that enter goes into.
const jail = "LLMGW_LIFETEST_JAIL"

func init() {
	if root := os.Getenv(jail); root != "" {
		_ = os.Unsetenv(jail)
		fmt.Fprintln(os.Stderr, enter(root))
		os.Exit(9)
	}
}

// enter becomes the program of a pod: what a container engine does, in the same
// order. It returns only with an error.
func enter(root string) error {
	runtime.LockOSThread() // some of it is a thread's own
	if err := unix.Chroot(root); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
			return err
		}
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setresgid(65532, 65532, 65532); err != nil {
		return err
	}
	if err := syscall.Setresuid(65532, 65532, 65532); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return syscall.Exec("/llmgw", append([]string{"/llmgw"}, os.Args[1:]...), os.Environ())
}

func statusLines(t testing.TB, pid int, names ...string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, name) {
				lines = append(lines, strings.Join(strings.Fields(line), " "))
			}
		}
	}
	return lines
}

// libraries copies what a program is linked to into a root file system.
func libraries(t testing.TB, prog, root string) {
	t.Helper()
	out, err := exec.Command("ldd", prog).CombinedOutput()
	if err != nil {
		return // static
	}
	for _, word := range strings.Fields(string(out)) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		b, err := os.ReadFile(word)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, word)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
