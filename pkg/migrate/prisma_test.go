package migrate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/testenv"
)

// peer is real Prisma: its schema engine under Node, from the cache that `go
// run ./internal/testenv/fetch prisma` fills.
type peer struct {
	t    *testing.T
	node string
	dir  string
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: runs Node; leave -short out for it")
	}
	node := testenv.Need(t, "node")
	modules := testenv.NeedFile(t, filepath.Join(testenv.CacheDir(t), "prisma", "node_modules"), "Prisma's engine", "go run ./internal/testenv/fetch prisma")
	dir := t.TempDir()
	script, err := os.ReadFile("testdata/prisma.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "prisma.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return &peer{t: t, node: node, dir: dir}
}

// with is the peer for a subtest.
func (p *peer) with(t *testing.T) *peer { return &peer{t: t, node: p.node, dir: p.dir} }

// folder writes a set to disk, where Prisma wants it.
func (p *peer) folder(list map[string]string) string {
	p.t.Helper()
	raw := map[string]string{"migration_lock.toml": "provider = \"postgresql\"\n"}
	for name, sql := range list {
		raw[name+"/migration.sql"] = sql
	}
	return p.rawFolder(raw)
}

func (p *peer) rawFolder(files map[string]string) string {
	p.t.Helper()
	dir := p.t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	return dir
}

// engine is one Node for all tests: it starts in a second, and answers in some
// hundredths of one. It ends with the test program, whose pipe it reads.
var engine struct {
	mu  sync.Mutex
	in  *os.File
	out *bufio.Reader
}

// ask runs one command of Prisma's and returns its whole answer.
func (p *peer) ask(url, command, folder string, migration ...string) string {
	p.t.Helper()
	engine.mu.Lock()
	defer engine.mu.Unlock()
	if engine.in == nil {
		childIn, in, err := os.Pipe()
		if err != nil {
			p.t.Fatal(err)
		}
		out, childOut, err := os.Pipe()
		if err != nil {
			p.t.Fatal(err)
		}
		// Not in this test's folder, which will not outlive it.
		modules, err := filepath.EvalSymlinks(filepath.Join(p.dir, "node_modules"))
		if err != nil {
			p.t.Fatal(err)
		}
		script, err := os.ReadFile("testdata/prisma.mjs")
		if err != nil {
			p.t.Fatal(err)
		}
		home := filepath.Dir(modules)
		// Node looks for packages beside the program's own file.
		file := filepath.Join(home, "llmgw-peer.mjs")
		if err := os.WriteFile(file, script, 0o600); err != nil {
			p.t.Fatal(err)
		}
		cmd := exec.Command(p.node, file, "serve")
		cmd.Env = append(os.Environ(), "NODE_NO_WARNINGS=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = childIn, childOut, os.Stderr
		if err := cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
		childIn.Close()
		childOut.Close()
		engine.in, engine.out = in, bufio.NewReader(out)
	}
	q := map[string]string{"url": url, "command": command, "folder": folder}
	if len(migration) > 0 {
		q["migration"] = migration[0]
	}
	line, err := json.Marshal(q)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := engine.in.Write(append(line, '\n')); err != nil {
		p.t.Fatalf("Prisma: %v", err)
	}
	answer, err := engine.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("Prisma: %v", err)
	}
	return answer
}

// run returns Prisma's error code; "" is success, "error" an error without one.
func (p *peer) run(url, command, folder string, migration ...string) string {
	p.t.Helper()
	return p.answer([]byte(p.ask(url, command, folder, migration...)), nil)
}

// command is Prisma in a process of its own, to be killed or raced.
func (p *peer) command(url, command, folder string, migration ...string) *exec.Cmd {
	cmd := exec.Command(p.node, append([]string{"prisma.mjs", command, folder}, migration...)...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "NODE_NO_WARNINGS=1")
	return cmd
}

func (p *peer) answer(out []byte, err error) string {
	p.t.Helper()
	var a struct {
		Error *struct{ Code, Message string }
	}
	if jerr := json.Unmarshal(out, &a); jerr != nil {
		stderr := ""
		if ee, ok := errors.AsType[*exec.ExitError](err); ok {
			stderr = string(ee.Stderr)
		}
		p.t.Fatalf("Prisma said %q, %v\n%s", out, err, stderr)
	}
	switch {
	case a.Error == nil:
		return ""
	case a.Error.Code == "":
		return "error"
	}
	return a.Error.Code
}

// TestTheToolsTakeTurns lets each tool go on where the other one stopped.
func TestTheToolsTakeTurns(t *testing.T) {
	p := newPeer(t)
	bad := map[string]string{"1": initSQL, "2": "SELECT 1/0", "3": `CREATE TABLE "D"(id int)`}
	fixed := map[string]string{"1": initSQL, "2": "SELECT 2", "3": `CREATE TABLE "D"(id int)`}
	t.Run("Prisma begins, llmgw goes on, Prisma is content", func(t *testing.T) {
		p := p.with(t)
		url := testenv.Postgres(t)
		if got := p.run(url, "apply", p.folder(map[string]string{"1": initSQL})); got != "" {
			t.Fatal(got)
		}
		r := deploy(t, url, files(t, fixed), Options{Strict: true}, "")
		if len(r.Applied) != 2 || len(r.Warnings) != 0 {
			t.Errorf("%+v", r)
		}
		if got := p.run(url, "apply", p.folder(fixed)); got != "" {
			t.Error(got)
		}
		wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N", "3: 1,t,f,N")
	})
	t.Run("llmgw fails, Prisma resolves and goes on", func(t *testing.T) {
		p := p.with(t)
		url := testenv.Postgres(t)
		deploy(t, url, files(t, bad), Options{}, "P3018")
		folder := p.folder(fixed)
		if got := p.run(url, "apply", folder); got != "P3009" {
			t.Errorf("Prisma on our failed row: %q", got)
		}
		if got := p.run(url, "rolledback", folder, "2"); got != "" {
			t.Error(got)
		}
		if got := p.run(url, "apply", folder); got != "" {
			t.Error(got)
		}
		wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T", "2: 1,t,f,N", "3: 1,t,f,N")
		if r, e := status(t, url, files(t, fixed)); e != nil || states(r) != "1=applied 2=applied 3=applied" {
			t.Errorf("%v %s", e, states(r))
		}
	})
	t.Run("Prisma fails, llmgw is blocked, then goes on", func(t *testing.T) {
		p := p.with(t)
		url := testenv.Postgres(t)
		if got := p.run(url, "apply", p.folder(bad)); got != "error" {
			t.Fatal(got)
		}
		deploy(t, url, files(t, fixed), Options{RetryFailed: true}, "P3009")
		if got := p.run(url, "rolledback", p.folder(bad), "2"); got != "" {
			t.Error(got)
		}
		deploy(t, url, files(t, fixed), Options{}, "")
		wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T", "2: 1,t,f,N", "3: 1,t,f,N")
	})
	// MC32 with a real Prisma for a waiter; MC40, MC41.
	t.Run("both at once, with a concurrent index", func(t *testing.T) {
		p := p.with(t)
		url := testenv.Postgres(t)
		list := map[string]string{"1": initSQL + "INSERT INTO \"A\" SELECT generate_series(1, 1000)", "2": `CREATE INDEX CONCURRENTLY "A_idx" ON "A"(id)`, "3": "SELECT 3"}
		folder := p.folder(list)
		cmd := p.command(url, "apply", folder)
		type answer struct {
			out []byte
			err error
		}
		done := make(chan answer, 1)
		go func() { out, err := cmd.Output(); done <- answer{out, err} }()
		o := Options{Wait: true, LockTimeout: time.Minute}
		_, err := provider(t, url, files(t, list), o).Deploy(context.Background())
		a := <-done
		code := p.answer(a.out, a.err)
		// Prisma may lose the lock race (P1002) or the deadlock; its own failed row
		// would block us, as it should.
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != "P3009" || code == "" {
				t.Fatalf("llmgw: %v, Prisma: %q", err, code)
			}
			return
		}
		if n := value(t, url, `SELECT count(*) FROM "_prisma_migrations" WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL`); n != "3" {
			t.Errorf("Prisma %q, history %v", code, history(t, url))
		}
		if value(t, url, `SELECT indisvalid FROM pg_index WHERE indexrelid = '"A_idx"'::regclass`) != "true" {
			t.Error("the index is not valid")
		}
	})
	t.Run("Prisma waits while llmgw builds an index, and both end well", func(t *testing.T) {
		p := p.with(t)
		url := testenv.Postgres(t)
		list := map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY "A_idx" ON "A"(id)`}
		deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
		cmd := p.command(url, "apply", p.folder(list))
		done := make(chan string, 1)
		began := false
		o := Options{Wait: true, LockTimeout: time.Minute}
		o.OnEvent = func(e Event) {
			if e.Event != EventMigrationStarted || began {
				return
			}
			began = true
			go func() { out, err := cmd.Output(); done <- p.answer(out, err) }()
			eventually(t, "Prisma waits inside the lock", func() bool {
				return value(t, url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "1"
			})
		}
		_, err := provider(t, url, files(t, list), o).Deploy(context.Background())
		code := <-done
		if err != nil {
			t.Fatalf("llmgw: %v (Prisma: %q)\n%v", err, code, history(t, url))
		}
		if value(t, url, `SELECT indisvalid FROM pg_index WHERE indexrelid = '"A_idx"'::regclass`) != "true" {
			t.Error("the index is not valid")
		}
		if got := p.run(url, "apply", p.folder(list)); got != "" {
			t.Errorf("Prisma afterwards: %q", got)
		}
	})
}

// TestPrismaSeesLiteLLMsSetAsWeDo applies LiteLLM's real set with both tools.
func TestPrismaSeesLiteLLMsSetAsWeDo(t *testing.T) {
	p := newPeer(t)
	set := extras(t)
	list := map[string]string{}
	for _, m := range set.Migrations {
		list[m.Name] = m.SQL
	}
	theirs, ours := testenv.Postgres(t), atHead(t)
	folder := p.folder(list)
	if got := p.run(theirs, "apply", folder); got != "" {
		t.Fatalf("Prisma: %q", got)
	}
	rows := `SELECT string_agg(format('%s %s %s %s %s', migration_name, checksum, applied_steps_count, finished_at IS NULL, logs IS NULL), E'\n' ORDER BY started_at) FROM "_prisma_migrations"`
	if diff := cmp.Diff(value(t, theirs, rows), value(t, ours, rows)); diff != "" {
		t.Errorf("histories (-Prisma +llmgw):\n%s", diff)
	}
	var tables []string
	if err := json.Unmarshal([]byte(value(t, theirs, "SELECT json_agg(tablename) FROM pg_tables WHERE schemaname = 'public'")), &tables); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(catalogue(t, theirs, tables), catalogue(t, ours, tables)); diff != "" {
		t.Errorf("catalogues (-Prisma +llmgw):\n%s", diff)
	}
	if got := p.run(ours, "apply", folder); got != "" {
		t.Errorf("Prisma on our database: %q", got)
	}
}
