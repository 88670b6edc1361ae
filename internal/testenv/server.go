//go:build unix

package testenv

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const dirPrefix = "llmgw-testenv-"

// home is the folder of one server together with the watchdog that outlives
// the test process just long enough to stop the server and remove the folder.
type home struct {
	dir      string
	leash    *os.File // closing it, or dying, tells the watchdog to clean up
	watchdog *exec.Cmd
	cred     *syscall.Credential // nil: run as we are
}

// The watchdog is a shell, so that no second program must be built. It waits
// for the end of its standard input, which is a pipe that only the test
// process holds; any kind of death closes it. Descriptor 3 is the folder's
// lock, held for the watchdog's life: a folder whose lock can be taken has
// no watchdog any more (the machine went down) and may be reaped.
const watchdogScript = `
trap '' HUP INT TERM
cat >/dev/null
cd /
if [ -s "$1/pid" ]; then
	read -r pid <"$1/pid"
	kill -CONT "$pid" 2>/dev/null
	kill -QUIT "$pid" 2>/dev/null
	n=0
	while kill -0 "$pid" 2>/dev/null && [ $n -lt 50 ]; do n=$((n+1)); sleep 0.1; done
	kill -KILL "$pid" 2>/dev/null
fi
rm -rf "$1"
`

var reapOnce sync.Once

func newHome(dropRoot bool) (*home, error) {
	base := baseDir()
	reapOnce.Do(func() { reap(base) })
	dir, err := os.MkdirTemp(base, dirPrefix)
	if err != nil {
		return nil, fmt.Errorf("making a folder for a test server: %w", err)
	}
	h := &home{dir: dir}
	if dropRoot && os.Geteuid() == 0 {
		if h.cred, err = unprivileged(); err != nil {
			os.RemoveAll(dir)
			return nil, err
		}
		if err := os.Chown(dir, int(h.cred.Uid), int(h.cred.Gid)); err != nil {
			os.RemoveAll(dir)
			return nil, fmt.Errorf("handing the server's folder to its user: %w", err)
		}
	}
	if err := h.watch(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return h, nil
}

// baseDir is the temporary folder, unless the server's user could not enter it.
func baseDir() string {
	dir := os.TempDir()
	if os.Geteuid() != 0 {
		return dir
	}
	for p := dir; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return "/tmp"
		}
		if p == filepath.Dir(p) {
			return dir
		}
	}
}

// unprivileged finds a user for servers that refuse to run as root.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: false}, nil
		}
	}
	return nil, errors.New("running as root, and there is neither a user postgres nor nobody to run the server as")
}

func (h *home) watch() error {
	lock, err := lockFile(h.dir)
	if err != nil {
		return err
	}
	defer lock.Close() // the watchdog's copy keeps the lock
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making the watchdog's pipe: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "llmgw-testenv-watchdog", h.dir)
	cmd.Dir = "/"
	cmd.Stdin = r
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ^C is for the test, not for its watchdog
	if err := cmd.Start(); err != nil {
		w.Close()
		return fmt.Errorf("starting the watchdog of a test server: %w", err)
	}
	h.leash, h.watchdog = w, cmd
	return nil
}

func lockFile(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir+"/lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return f, nil
}

// reap removes what watchdogs could not: folders left by a machine that went
// down. A folder is left alone while its lock is held, or while it is too
// young to have one.
func reap(base string) {
	found, _ := filepath.Glob(filepath.Join(base, dirPrefix+"*"))
	for _, dir := range found {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := lockFile(dir)
		if err != nil {
			continue
		}
		if data, err := os.ReadFile(dir + "/pid"); err == nil {
			pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
			// The number may belong to somebody else by now.
			if line, cerr := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && cerr == nil &&
				pid > 1 && strings.Contains(string(line), dir) {
				_ = syscall.Kill(pid, syscall.SIGQUIT)
			}
		}
		os.RemoveAll(dir)
		lock.Close()
	}
}

// close lets the watchdog clean up now and waits for it.
func (h *home) close() {
	h.leash.Close()
	_ = h.watchdog.Wait()
}

func (h *home) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = h.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC", "PGDATA=", "HOME="+h.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: h.cred, Setpgid: true}
	return cmd
}

// process is a running server. There is no goroutine behind it, so that leak
// checks of the tests see only their own.
type process struct {
	home *home
	cmd  *exec.Cmd
	gone bool
}

// start runs cmd with its output in the home's log and waits until ready
// says so; it notices when the process ends instead.
func (h *home) start(cmd *exec.Cmd, ready func() error) (*process, error) {
	log, err := os.OpenFile(h.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the server's log: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(cmd.Path), err)
	}
	p := &process{home: h, cmd: cmd}
	if err := os.WriteFile(h.dir+"/pid", []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644); err != nil {
		p.stop(syscall.SIGKILL)
		return nil, fmt.Errorf("noting the server's process: %w", err)
	}
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := ready()
		if err == nil {
			return p, nil
		}
		if p.exited() {
			return nil, fmt.Errorf("%s ended while starting:\n%s", filepath.Base(cmd.Path), tail(h.logPath(), 20))
		}
		if time.Now().After(deadline) {
			p.stop(syscall.SIGKILL)
			return nil, fmt.Errorf("%s not ready after a minute: %w\n%s", filepath.Base(cmd.Path), err, tail(h.logPath(), 20))
		}
		time.Sleep(15 * time.Millisecond)
	}
}

func (h *home) logPath() string { return h.dir + "/log" }

func (p *process) exited() bool {
	if p.gone {
		return true
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WNOHANG, nil)
	if pid == p.cmd.Process.Pid || errors.Is(err, syscall.ECHILD) {
		p.gone = true
	}
	return p.gone
}

func (p *process) stop(sig syscall.Signal) {
	if p.exited() {
		return
	}
	_ = p.cmd.Process.Signal(sig)
	deadline := time.Now().Add(20 * time.Second)
	for !p.exited() {
		if time.Now().After(deadline) {
			_ = p.cmd.Process.Kill()
			_, _ = p.cmd.Process.Wait()
			p.gone = true
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	os.Remove(p.home.dir + "/pid")
}

// freePort asks the kernel for a loopback port that is free now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
