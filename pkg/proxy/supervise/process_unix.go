//go:build unix

package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Supported says whether sockets can be handed on here.
const Supported = true

// variable carries what a process is given: the starter's process id, so that it
// means nothing to anyone further down, the role, whether the addresses of the
// sockets count, and the names of the sockets.
const variable = "LLMGW_INHERITED"

const addressesCount = "addresses-count"

// The descriptors of a process that was started here, behind the three of
// everyone.
const (
	upFD = 3 + iota
	downFD
	firstSocketFD
)

// Inherit takes what the process was given. It is called once, early.
func Inherit() (*Inherited, error) {
	i := &Inherited{Sockets: &Sockets{}}
	if text, ok := os.LookupEnv(variable); ok {
		_ = os.Unsetenv(variable)
		parts := strings.SplitN(text, " ", 4)
		if len(parts) == 4 && parts[0] == strconv.Itoa(os.Getppid()) {
			i.Role = Role(parts[1])
			i.Sockets.fixed = parts[2] == addressesCount
			names := strings.Fields(parts[3])
			unix.CloseOnExec(upFD)
			unix.CloseOnExec(downFD)
			i.up, i.down = os.NewFile(upFD, "up"), os.NewFile(downFD, "down")
			return i, i.Sockets.take(names, files(firstSocketFD, len(names)))
		}
	}
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	mine := os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid())
	names := os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	if n <= 0 || !mine {
		return i, nil
	}
	i.FromManager, i.Sockets.fixed = true, true
	if err := i.Sockets.take(systemdNames(names, n), files(3, n)); err != nil {
		return i, fmt.Errorf("sockets of the service manager: %w", err)
	}
	return i, nil
}

func files(first, n int) (list []*os.File) {
	for fd := first; fd < first+n; fd++ {
		unix.CloseOnExec(fd)
		list = append(list, os.NewFile(uintptr(fd), "socket"))
	}
	return list
}

// Program is where the program of this process lies. A file that is put in its
// place is what is started next, also where the path is a symbolic link.
var Program = func() string {
	path := os.Args[0]
	if !strings.ContainsRune(path, '/') {
		if found, err := exec.LookPath(path); err == nil {
			path = found
		}
	}
	if abs, err := filepath.Abs(path); err == nil {
		if info, err := os.Stat(abs); err == nil && info.Mode().IsRegular() {
			return abs
		}
	}
	path, _ = os.Executable()
	return path
}()

// spec is a process to be started.
type spec struct {
	role Role
	// stdin is what it reads from its standard input; nil shares ours.
	stdin []byte
	// without are variables that it must not see.
	without []string
}

// child is a process that was started here.
type child struct {
	pid  int
	up   *os.File // from it
	down *os.File // to it
}

// start runs the program of this process with the same arguments and hands it
// the sockets. The descriptors are handed on by number: what os/exec does to
// files would make the sockets, which are shared, block.
func (s *Sockets) start(o spec) (*child, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var opened []*os.File
	defer func() {
		for _, f := range opened {
			_ = f.Close()
		}
	}()
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err == nil {
			opened = append(opened, r, w)
		}
		return r, w, err
	}
	upR, upW, err := pipe()
	if err != nil {
		return nil, err
	}
	downR, downW, err := pipe()
	if err != nil {
		return nil, err
	}
	stdin := os.Stdin
	var feed *os.File
	if o.stdin != nil {
		if stdin, feed, err = pipe(); err != nil {
			return nil, err
		}
	}
	number := func(f *os.File) (fd uintptr) {
		c, err := f.SyscallConn()
		if err == nil {
			_ = c.Control(func(n uintptr) { fd = n })
		}
		return fd
	}
	fds := []uintptr{0, 1, 2, number(upW), number(downR)}
	if feed != nil {
		fds[0] = number(stdin)
	}
	var names []string
	var copies []int
	defer func() {
		for _, fd := range copies {
			_ = unix.Close(fd)
		}
	}()
	for _, k := range s.open {
		fd, err := duplicate(k.listener)
		if errors.Is(err, net.ErrClosed) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("hand on the %s socket: %w", k.name, err)
		}
		copies = append(copies, fd)
		fds, names = append(fds, uintptr(fd)), append(names, k.name)
	}
	count := "-"
	if s.fixed || o.role == Worker || o.role == FirstWorker {
		count = addressesCount // a worker takes what its supervisor holds
	}
	env := []string{variable + "=" + strconv.Itoa(os.Getpid()) + " " + string(o.role) + " " + count + " " + strings.Join(names, " ")}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		keep := name != variable
		for _, w := range o.without {
			keep = keep && name != w
		}
		if keep {
			env = append(env, v)
		}
	}
	pid, err := syscall.ForkExec(Program, os.Args, &syscall.ProcAttr{Env: env, Files: fds})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", Program, err)
	}
	opened = []*os.File{upW, downR}
	if feed != nil {
		opened = append(opened, stdin)
		go func() {
			_, _ = feed.Write(o.stdin)
			_ = feed.Close()
		}()
	}
	return &child{pid: pid, up: upR, down: downW}, nil
}

// duplicate copies a listener's descriptor, without touching its mode.
func duplicate(l net.Listener) (fd int, err error) {
	t, ok := l.(syscall.Conn)
	if !ok {
		return 0, errors.New("not a socket")
	}
	c, err := t.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := c.Control(func(n uintptr) { fd, err = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return 0, e
	}
	return fd, err
}

func (c *child) tell(word string) { _, _ = c.down.WriteString(word + "\n") }

// wait returns the exit code; a death by a signal is 128 and its number.
func (c *child) wait() int {
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(c.pid, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return 1
		case status.Signaled():
			return 128 + int(status.Signal())
		}
		return status.ExitStatus()
	}
}

func (c *child) kill() { _ = syscall.Kill(c.pid, syscall.SIGKILL) }

func (c *child) close() {
	_ = c.up.Close()
	_ = c.down.Close()
}

// Signals of operators.
var (
	Reload  os.Signal = syscall.SIGHUP
	Replace os.Signal = syscall.SIGUSR2
)
