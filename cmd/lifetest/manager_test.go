//go:build linux

package lifetest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is what systemd does: it holds a socket, and hears how the service is.
type manager struct {
	t     *testing.T
	conn  *net.UnixConn
	path  string
	heard chan string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, path: filepath.Join(t.TempDir(), "notify"), heard: make(chan string, 100)}
	var err error
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := m.conn.Read(b)
			if err != nil {
				return
			}
			m.heard <- string(b[:n])
		}
	}()
	return m
}

// hears waits for a message that begins so.
func (m *manager) hears(prefix string) string {
	m.t.Helper()
	for {
		select {
		case s := <-m.heard:
			if strings.HasPrefix(s, prefix) {
				return s
			}
		case <-time.After(time.Minute):
			m.t.Fatalf("the service manager never heard %s", prefix)
		}
	}
}

func TestTheServiceManagerHoldsTheSocketAndHearsOfEverything(t *testing.T) {
	for name, more := range map[string]string{"alone": "", "with a supervisor": " --max-requests-before-restart 1000"} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t)
			base, conf, prog := upstream(t), filepath.Join(t.TempDir(), "config.yaml"), program(t)
			config(t, conf, base, 1, "")
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			socket, err := l.(*net.TCPListener).File()
			if err != nil {
				t.Fatal(err)
			}
			p := &process{t: t, port: l.Addr().(*net.TCPAddr).Port, end: make(chan error, 1), log: filepath.Join(t.TempDir(), "log")}
			l.Close()
			// --port is another one: the unit decides.
			p.cmd = exec.Command("/bin/sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec "+prog+" serve --host 127.0.0.1 --port 1 --config "+conf+more)
			p.cmd.ExtraFiles = []*os.File{socket}
			p.cmd.Env = append(os.Environ(), asProgram+"=1", "NOTIFY_SOCKET="+m.path, "LITELLM_LOG=INFO")
			log, err := os.Create(p.log)
			if err != nil {
				t.Fatal(err)
			}
			p.cmd.Stderr = log
			if err := p.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			log.Close()
			socket.Close()
			go func() { p.end <- p.cmd.Wait() }()
			t.Cleanup(func() {
				_ = p.cmd.Process.Kill()
				for _, pid := range p.successors() {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				if t.Failed() {
					t.Log(p.text())
				}
			})
			pid := p.cmd.Process.Pid
			if s := m.hears("READY=1"); !strings.Contains(s, "MAINPID="+strconv.Itoa(pid)) {
				t.Errorf("heard %q of process %d", s, pid)
			}
			if got := status(p.url() + "/health/readiness"); got != 200 {
				t.Errorf("readiness %d on the manager's socket", got)
			}
			p.signal(syscall.SIGHUP)
			if s := m.hears("RELOADING=1"); !strings.Contains(s, "MONOTONIC_USEC=") {
				t.Errorf("heard %q", s)
			}
			m.hears("READY=1")
			p.signal(syscall.SIGUSR2)
			until(t, time.Minute, func() bool { return len(p.successors()) == 1 }, "a new process serves")
			heir := p.successors()[0]
			m.hears("MAINPID=" + strconv.Itoa(heir))
			if b, _ := os.ReadFile("/proc/" + strconv.Itoa(heir) + "/environ"); strings.Contains(string(b), "LISTEN_FDS") {
				t.Error("the new process was told of sockets that are not its own")
			}
			if code := p.wait(time.Minute); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if got := status(p.url() + "/health/readiness"); got != 200 {
				t.Errorf("readiness %d after the replacement", got)
			}
			if err := syscall.Kill(heir, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			m.hears("STOPPING=1")
			until(t, time.Minute, func() bool { return !alive(heir) }, "the new process has ended")
		})
	}
}
