package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

// TestEveryCommandOfTheReadme runs every command of README.md's console blocks
// in the repository, in order, and compares what it prints with what the
// README says it prints. Numbers may differ, words may not; a line of … stands
// for any lines.
//
// A command that serves runs until the next heading, so that the commands
// below it can talk to it. Ports are moved to free ones, and the key that the
// zero-configuration start makes takes the place of the one in the README.
func TestEveryCommandOfTheReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds the program and runs servers; leave -short out for it")
	}
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := readmeSections(string(text))
	if len(sections) == 0 {
		t.Fatal("README.md has no console block")
	}
	bin := filepath.Dir(program(t))
	captured := map[int][]string{}
	for _, s := range sections {
		t.Run(s.title, func(t *testing.T) {
			r := &readmeRun{t: t, bin: bin, home: t.TempDir(), tmp: t.TempDir(), swap: map[string]string{}, captured: captured}
			defer r.stopServers()
			for _, c := range s.commands {
				r.run(c)
			}
		})
	}
	if *update {
		if err := os.WriteFile(filepath.Join("..", "README.md"), []byte(recapture(string(text), captured)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// recapture puts what was printed in place of what the README shows.
func recapture(text string, captured map[int][]string) string {
	var out []string
	skip := false
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```"), strings.HasPrefix(line, "$ "):
			skip = false
		}
		if skip {
			continue
		}
		out = append(out, line)
		if got, ok := captured[i+1]; ok {
			out = append(out, got...)
			skip = true
		}
	}
	return strings.Join(out, "\n")
}

// A readmeSection is the commands under one heading.
type readmeSection struct {
	title    string
	commands []readmeCommand
}

type readmeCommand struct {
	line int
	text string
	want []string
}

func readmeSections(text string) []readmeSection {
	var sections []readmeSection
	title, inBlock := "top", false
	var current *readmeSection
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```console"):
			inBlock = true
			if current == nil || current.title != title {
				sections = append(sections, readmeSection{title: title})
				current = &sections[len(sections)-1]
			}
		case strings.HasPrefix(line, "```"):
			inBlock = false
		case inBlock && strings.HasPrefix(line, "$ "):
			current.commands = append(current.commands, readmeCommand{line: i + 1, text: line[2:]})
		case inBlock:
			if n := len(current.commands); n > 0 {
				c := &current.commands[n-1]
				if strings.HasSuffix(c.text, "\\") && len(c.want) == 0 {
					c.text = strings.TrimSuffix(c.text, "\\") + strings.TrimSpace(line)
				} else {
					c.want = append(c.want, line)
				}
			}
		case strings.HasPrefix(line, "#"):
			title, current = strings.TrimSpace(strings.TrimLeft(line, "#")), nil
		}
	}
	return sections
}

type readmeRun struct {
	t         *testing.T
	bin, home string
	tmp       string
	swap      map[string]string // text of the README -> text of this run
	servers   []*readmeServer
	captured  map[int][]string // by line of the README, with -update
}

// capture keeps what a command printed, with the README's own ports, keys and
// paths, unless the README cuts it short with a line of ….
func (r *readmeRun) capture(c readmeCommand, out string) {
	if slices.ContainsFunc(c.want, func(l string) bool { return strings.TrimSpace(l) == "…" }) {
		return
	}
	for from, to := range r.swap {
		out = strings.ReplaceAll(out, to, from)
	}
	out = r.asInReadme(strings.TrimRight(out, "\n"))
	r.captured[c.line] = nil
	if out != "" {
		r.captured[c.line] = strings.Split(out, "\n")
	}
}

// asInReadme puts the README's folders and database in place of this run's.
func (r *readmeRun) asInReadme(out string) string {
	out = strings.NewReplacer(r.tmp, "$TMPDIR", r.home, "~/.local/state").Replace(out)
	out = testDatabase.ReplaceAllString(out, "llmgw@localhost:5432/litellm")
	return testServer.ReplaceAllString(out, `database "litellm", schema "public" at localhost:5432`)
}

var (
	testDatabase = regexp.MustCompile(`\w+:\*\*\*@127\.0\.0\.1:\d+/test_\d+`)
	testServer   = regexp.MustCompile(`database "test_\d+", schema "public" at 127\.0\.0\.1:\d+`)
)

type readmeServer struct {
	cmd  *exec.Cmd
	out  *lockedBuffer
	name string
}

// serves says which commands do not end by themselves; one whose exit code is
// shown does.
func serves(command string) bool {
	return servers.MatchString(command) && !strings.Contains(command, "; echo ")
}

var servers = regexp.MustCompile(`(^|; )(go run \. serve|llmgw (serve|mock|bench refproxy|--config)|litellm)\b`)

// gates are commands that would run this test, or the whole gate, again; CI
// has run them to get here.
var gates = []string{"make test", "make quick", "make bench", "make long"}

// readmeDatabase is the database of the README; a run has one of its own.
const readmeDatabase = "postgresql://llmgw@localhost:5432/litellm"

var portInCommand = regexp.MustCompile(`\b(4000|4001|9000|9001|7001)\b`)

func (r *readmeRun) run(c readmeCommand) {
	r.t.Helper()
	if slices.Contains(gates, c.text) {
		if target := strings.TrimPrefix(c.text, "make "); !makefileHas(r.t, target) {
			r.t.Errorf("README.md:%d: the Makefile has no target %s", c.line, target)
		}
		return
	}
	if strings.Contains(c.text, readmeDatabase) && r.swap[readmeDatabase] == "" {
		r.swap[readmeDatabase] = testenv.Postgres(r.t)
	}
	for _, port := range portInCommand.FindAllString(c.text, -1) {
		r.movePort(port)
	}
	text := c.text
	for _, file := range exampleInCommand.FindAllString(text, -1) {
		text = strings.ReplaceAll(text, file, r.example(file))
	}
	text = r.swapped(text)
	if serves(c.text) {
		r.serve(c, text)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := r.command(ctx, text)
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(text, "; echo ") {
		if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 1 || len(c.want) == 0 && !*update {
			r.t.Errorf("README.md:%d: %s: %v\n%s", c.line, c.text, err, out)
			return
		}
		// Exit 1 is an answer (findings); the README shows it.
	}
	if *update {
		r.capture(c, string(out))
		return
	}
	if diff := unlike(c.want, strings.Split(strings.TrimRight(r.asInReadme(string(out)), "\n"), "\n")); diff != "" {
		r.t.Errorf("README.md:%d: %s: the output is not as shown: %s\n--- got\n%s", c.line, c.text, diff, out)
	}
}

var exampleInCommand = regexp.MustCompile(`examples/[a-z-]+\.yaml`)

// example is the path of an example with this run's ports: a copy if it names
// any.
func (r *readmeRun) example(file string) string {
	text, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		r.t.Fatal(err)
	}
	moved := r.swapped(string(text))
	if moved == string(text) {
		return file
	}
	path := filepath.Join(r.tmp, filepath.Base(file))
	if err := os.WriteFile(path, []byte(moved), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func (r *readmeRun) swapped(text string) string {
	for from, to := range r.swap {
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

func (r *readmeRun) movePort(port string) {
	if _, moved := r.swap[port]; moved {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	r.swap[port] = fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

func (r *readmeRun) command(ctx context.Context, text string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", text)
	cmd.Dir = ".."
	cmd.Env = append(cleanEnv(), "PATH="+r.bin+":"+os.Getenv("PATH"), "XDG_STATE_HOME="+r.home, "TMPDIR="+r.tmp, "NO_COLOR=1")
	if port, ok := r.swap["4000"]; ok {
		cmd.Env = append(cmd.Env, "PORT="+port)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// cleanEnv is the environment without what would configure a gateway.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		for _, p := range []string{"PORT=", "HOST=", "DATABASE_", "REDIS_", "LITELLM_", "CONFIG_FILE_PATH=", "STORE_MODEL_IN_DB=", "XDG_STATE_HOME="} {
			if strings.HasPrefix(kv, p) {
				return true
			}
		}
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasSuffix(name, "_API_KEY")
	})
}

var keyInText = regexp.MustCompile(`sk-[A-Za-z0-9_-]{8,}`)

// serve starts a command that stays, and waits until it has printed what the
// README shows.
func (r *readmeRun) serve(c readmeCommand, text string) {
	r.t.Helper()
	r.movePort("4000") // the default, which the command need not name
	cmd := r.command(context.Background(), strings.TrimSuffix(text, "&"))
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	s := &readmeServer{cmd, out, c.text}
	r.servers = append(r.servers, s)
	deadline := time.Now().Add(90 * time.Second) // go run may have to link first
	for {
		if *update {
			for before := -1; before != len(out.String()) || before == 0; time.Sleep(2 * time.Second) {
				before = len(out.String())
			}
			r.swapKey(c, out.String()) // the README keeps its own key
			r.capture(c, out.String())
			break
		}
		got := strings.Split(strings.TrimRight(r.asInReadme(out.String()), "\n"), "\n")
		diff := unlike(c.want, got)
		if diff == "" {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("README.md:%d: %s: the output is not as shown: %s\n--- got\n%s", c.line, c.text, diff, out)
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.swapKey(c, out.String())
}

// swapKey lets the key that a start makes take the place of the README's.
func (r *readmeRun) swapKey(c readmeCommand, out string) {
	if want, got := keyInText.FindString(strings.Join(c.want, "\n")), keyInText.FindString(out); want != "" && got != "" {
		r.swap[want] = got
	}
}

func (r *readmeRun) stopServers() {
	for _, s := range slices.Backward(r.servers) {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
		err := s.cmd.Wait()
		// go run reports its child's clean end as its own interruption.
		if err != nil && !strings.HasPrefix(s.name, "go run") {
			r.t.Errorf("%s: ended with %v after SIGTERM\n%s", s.name, err, s.out)
		}
	}
}

// unlike compares line by line and says where they part; "" means alike.
func unlike(want, got []string) string {
	g := 0
	for w := 0; w < len(want); w++ {
		if strings.TrimSpace(want[w]) == "…" {
			if w+1 == len(want) {
				return ""
			}
			for g < len(got) && !like(want[w+1], got[g]) {
				g++
			}
			continue
		}
		if g >= len(got) {
			return fmt.Sprintf("line %q is missing", want[w])
		}
		if !like(want[w], got[g]) {
			return fmt.Sprintf("want %q, got %q", want[w], got[g])
		}
		g++
	}
	if g < len(got) && strings.TrimSpace(strings.Join(got[g:], "")) != "" {
		return fmt.Sprintf("line %q is not in the README", got[g])
	}
	return ""
}

var (
	varying = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z|sk-[A-Za-z0-9_-]+|chatcmpl-[A-Za-z0-9-]+|[0-9a-f]{8}-[0-9a-f-]{27}|v?\d+\.\d+\.\d+-[0-9A-Za-z.+-]+|\d[\d.,:]*(ns|us|µs|ms|KB|MB|GB|s|k)?\b|[▁▂▃▄▅▆▇█ ]*[▁▂▃▄▅▆▇█]+`)
	blanks  = regexp.MustCompile(`\s+`)
)

// like compares two lines without what varies from run to run.
func like(want, got string) bool {
	norm := func(s string) string {
		s = varying.ReplaceAllString(s, "#")
		return blanks.ReplaceAllString(strings.TrimRight(s, " "), " ")
	}
	return norm(want) == norm(got)
}

func TestReadmeComparisonSeesDifferences(t *testing.T) {
	for _, tt := range []struct {
		want, got string
		alike     bool
	}{
		{"a 1 b\nc", "a 22.5 b\nc", true},
		{"took 3 ms", "took 12.5 ms", true},
		{"key sk-abcdefgh12", "key sk-zyxwvuts99", true},
		{"a\n…\nz", "a\nb\nc\nz", true},
		{"a\n…", "a\nb", true},
		{"2 errors", "2 warnings", false},
		{"a\nb", "a", false},
		{"a", "a\nb", false},
		{"a\n…\nz", "a\nb", false},
	} {
		diff := unlike(strings.Split(tt.want, "\n"), strings.Split(tt.got, "\n"))
		if (diff == "") != tt.alike {
			t.Errorf("want %q, got %q: %q", tt.want, tt.got, diff)
		}
	}
}

func makefileHas(t *testing.T, target string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(text, []byte("\n"+target+":"))
}

// lockedBuffer collects the output of a running command.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
