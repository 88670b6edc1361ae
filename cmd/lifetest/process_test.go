//go:build unix

package lifetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llmgw/llmgw/cmd"
	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/mock"
)

// asProgram makes the test's binary behave as llmgw. What it starts inherits it.
const asProgram = "LLMGW_LIFETEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cmd.Execute(os.Args, cmd.SystemStreams()))
	}
	testenv.EndAtOnce()
	os.Exit(m.Run())
}

// long tells whether there is time.
func long() bool { return os.Getenv("LLMGW_LONG") != "" }

// span is how long a load goes on.
func span() time.Duration {
	if long() {
		return time.Minute
	}
	return 6 * time.Second
}

const key = "sk-lifetest-0123456789"

// program puts the program into a folder of the test. LLMGW_BIN names a built
// one, for figures that are those of a release.
func program(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "llmgw")
	install(t, path)
	return path
}

// install puts a fresh copy of the program at a path, as a package manager does.
func install(t testing.TB, path string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short starts no gateways; go test ./cmd/lifetest does")
	}
	from := os.Getenv("LLMGW_BIN")
	if from == "" {
		var err error
		if from, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// upstream is a mock in this process; a stream of it takes about a second.
func upstream(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	m := mock.New(mock.Options{Chunks: chunks, ITL: mock.Fixed(50 * time.Millisecond), Models: []string{"mock"}})
	go func() {
		defer close(done)
		if err := m.Serve(ctx, l, nil); err != nil {
			t.Errorf("upstream: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return "http://" + l.Addr().String() + "/v1"
}

const chunks = 20

// freePort finds a port that nobody has at the moment.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// config writes a configuration with so many deployments.
func config(t testing.TB, path, base string, deployments int, more string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("model_list:\n")
	for i := range deployments {
		fmt.Fprintf(&b, "  - model_name: fake\n    litellm_params: {model: openai/mock, api_base: %q, api_key: k%d}\n", base, i)
	}
	fmt.Fprintf(&b, "general_settings: {master_key: %s}\nllmgw: {startup_doctor: false}\n%s\n", key, more)
	// In one step, as a ConfigMap or an editor replaces a file.
	if err := os.WriteFile(path+".new", []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// process is a gateway that runs.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	log  string // the file of its standard error, and of what follows it
	port int
	end  chan error
}

// serve starts a gateway and waits until it is ready.
func serve(t testing.TB, prog string, port int, env []string, args ...string) *process {
	t.Helper()
	p := launch(t, prog, port, env, args...)
	p.untilReady()
	return p
}

func launch(t testing.TB, prog string, port int, env []string, args ...string) *process {
	t.Helper()
	args = append([]string{"serve", "--host", "127.0.0.1", "--port", strconv.Itoa(port)}, args...)
	p := &process{t: t, cmd: exec.Command(prog, args...), port: port, end: make(chan error, 1)}
	log, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.log = log.Name()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(append(os.Environ(), asProgram+"=1", "LITELLM_LOG=INFO", "NO_COLOR=1"), env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.end <- p.cmd.Wait() }()
	t.Cleanup(func() {
		// Whatever is left of it, a successor included.
		_ = p.cmd.Process.Kill()
		for _, pid := range p.successors() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			text := p.text()
			lines := strings.Split(text, "\n")
			var kept []string
			for _, l := range lines {
				if !strings.Contains(l, "HTTP/1.1\" 200") {
					kept = append(kept, l)
				}
			}
			t.Logf("log of the gateway:\n%s", strings.Join(kept[max(0, len(kept)-60):], "\n"))
		}
	})
	return p
}

func (p *process) text() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// count is how often the log has a text.
func (p *process) count(text string) int { return strings.Count(p.text(), text) }

var successorLine = regexp.MustCompile(`a new process serves, this one drains pid=(\d+)`)

// successors are the processes that took over, in order.
func (p *process) successors() (pids []int) {
	for _, m := range successorLine.FindAllStringSubmatch(p.text(), -1) {
		n, _ := strconv.Atoi(m[1])
		pids = append(pids, n)
	}
	return pids
}

func (p *process) url() string { return "http://127.0.0.1:" + strconv.Itoa(p.port) }

func (p *process) untilReady() {
	p.t.Helper()
	until(p.t, time.Minute, func() bool {
		select {
		case err := <-p.end:
			p.end <- err
			p.t.Fatalf("the gateway ended: %v\n%s", err, p.text())
		default:
		}
		return status(p.url()+"/health/readiness") == 200
	}, "the gateway is ready")
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits for its end and returns the exit code.
func (p *process) wait(d time.Duration) int {
	p.t.Helper()
	select {
	case err := <-p.end:
		p.end <- err
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return exit.ExitCode()
		}
		if err != nil {
			p.t.Fatal(err)
		}
		return 0
	case <-time.After(d):
		p.t.Fatalf("the process did not end within %s", d)
	}
	return -1
}

// stop ends a gateway and demands a clean end.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(time.Minute); code != 0 {
		p.t.Errorf("exit code %d\n%s", code, p.text())
	}
}

// until waits for something.
func until(t testing.TB, d time.Duration, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %s: %s", d, what)
}

var oneShot = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

// status is that of a GET, 0 when there was no answer.
func status(url string) int {
	resp, err := oneShot.Get(url)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// alive reports whether a process runs; one that has ended and was not fetched
// does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !errors.Is(err, os.ErrNotExist)
	}
	_, rest, _ := bytes.Cut(b, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z'
}
