//go:build unix

package migrate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

// contested is what both tools want to apply at the same time.
var contested = map[string]string{
	"1": `CREATE TABLE "A"(id int primary key); INSERT INTO "A" SELECT generate_series(1, 2000);`,
	"2": `CREATE TABLE b(i int); SELECT pg_sleep(0.02);`,
	"3": `CREATE INDEX CONCURRENTLY "A_idx" ON "A"(id)`,
	"4": `ALTER TABLE "A" ADD COLUMN more int; SELECT pg_sleep(0.02);`,
	"5": `CREATE INDEX CONCURRENTLY "A_more" ON "A"(more)`,
}

func madeContested(t *testing.T, url, name string) bool {
	t.Helper()
	switch name {
	case "1":
		return there(t, url, `"A"`) && value(t, url, `SELECT count(*) FROM "A"`) == "2000"
	case "2":
		return there(t, url, "b")
	case "4":
		return value(t, url, `SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('"A"') AND attname = 'more'`) == "1"
	}
	return valid(t, url, map[string]string{"3": "A_idx", "5": "A_more"}[name]) == "true"
}

// TestBothToolsAtOnceWithRandomKills lets llmgw and Prisma deploy the same files
// to one database at the same time and kills one of them, none, or both, at a
// random moment. The state afterwards must be one that the table allows, and an
// llmgw deploy, with an operator who resolves what Prisma left open, must end
// it; Prisma then finds nothing to do. LLMGW_ROUNDS says how often; 200 under
// `make long`.
func TestBothToolsAtOnceWithRandomKills(t *testing.T) {
	p := newPeer(t)
	rounds := 3
	if long() {
		rounds = 200
	}
	if n, err := strconv.Atoi(os.Getenv("LLMGW_ROUNDS")); err == nil {
		rounds = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("LLMGW_SEED"), 10, 64); err == nil {
		seed = n
	}
	random := rand.New(rand.NewPCG(seed, 1))
	set := files(t, contested)
	folder := p.folder(contested)
	tally := map[string]int{}
	wrong := 0
	held := p.held()
	defer func() {
		prisma, _ := held()
		_ = prisma.cmd.Process.Kill()
		_ = prisma.cmd.Wait()
	}()
	for i := range rounds {
		kill, at, delay, first := random.IntN(4), random.IntN(2*len(contested)), time.Duration(random.IntN(30))*time.Millisecond, random.IntN(2)
		apart := time.Duration(random.IntN(80)) * time.Millisecond
		// Without a kill, with one killed, with both.
		victim := []string{"nobody", "llmgw", "Prisma", "both"}[kill]
		ok := t.Run(fmt.Sprintf("%d %s killed at %d", i, victim, at), func(t *testing.T) {
			p := p.with(t)
			url := testenv.Postgres(t)
			prisma, said := held()
			held = p.held() // the next one warms up meanwhile
			var ours *exec.Cmd
			var errs interface{ String() string }
			start := []func(){
				func() { ours, errs = startChild(t, url, folder) },
				func() { prisma.ask(url, "apply", folder) },
			}
			start[first]()
			time.Sleep(apart)
			start[1-first]()
			oursEnded, prismaEnded := make(chan error, 1), make(chan error, 1)
			go func() { oursEnded <- ours.Wait() }()
			go func() { prismaEnded <- prisma.cmd.Wait() }()
			stop := make(chan struct{})
			killer := make(chan struct{})
			go func() {
				defer close(killer)
				if kill == 0 {
					return
				}
				// Progress is counted in steps: a row begun, a row ended.
				for steps(t, url) < at {
					select {
					case <-stop:
						return
					case <-time.After(3 * time.Millisecond):
					}
				}
				time.Sleep(delay)
				if kill&1 != 0 {
					_ = ours.Process.Kill()
				}
				if kill&2 != 0 {
					_ = prisma.cmd.Process.Kill()
				}
			}()
			ourErr, theirErr := <-oursEnded, <-prismaEnded
			close(stop)
			<-killer
			tally["llmgw: "+ended(ourErr, errs.String())]++
			tally["Prisma: "+ended(theirErr, said())]++
			if kill&1 == 0 && ourErr != nil && !strings.Contains(errs.String(), "P3009") {
				t.Errorf("wrong state: llmgw, which nobody killed, ended with %v: %s", ourErr, errs)
			}
			if checkBroken(t, url, set, madeContested) {
				tally["an operator resolved"]++
			}
			if got := p.run(url, "apply", folder); got != "" {
				t.Errorf("wrong state: Prisma afterwards: %q", got)
			}
		})
		if !ok {
			wrong++
		}
	}
	t.Logf("figures: %d rounds (seed %d), wrong states: %d", rounds, seed, wrong)
	for what, n := range tally {
		t.Logf("figures: %4d %s", n, what)
	}
}

// heldPrisma has loaded everything and waits for its question.
type heldPrisma struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
}

// held starts one; the function it returns waits until it is ready.
func (p *peer) held() func() (*heldPrisma, func() string) {
	cmd := p.command("", "held", "")
	var said bytes.Buffer
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	w.Close()
	return func() (*heldPrisma, func() string) {
		ready := make([]byte, len("ready\n"))
		if _, err := io.ReadFull(out, ready); err != nil {
			p.t.Fatalf("Prisma did not start: %v", err)
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			_, _ = io.Copy(&said, out)
			out.Close()
		}()
		return &heldPrisma{p.t, cmd, in}, func() string { <-read; return said.String() }
	}
}

func (h *heldPrisma) ask(url, command, folder string) {
	line, err := json.Marshal(map[string]string{"url": url, "command": command, "folder": folder})
	if err == nil {
		_, err = h.in.Write(append(line, '\n'))
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// steps counts what a run has written into the history so far.
func steps(t *testing.T, url string) int {
	if !there(t, url, `"_prisma_migrations"`) {
		return 0
	}
	n, _ := strconv.Atoi(value(t, url, `SELECT count(*) + count(finished_at) FROM "_prisma_migrations"`))
	return n
}

// ended is how a process ended, for the tally.
func ended(err error, said string) string {
	if err == nil {
		return "well"
	}
	if strings.Contains(err.Error(), "signal: killed") {
		return "killed"
	}
	for _, code := range []string{"P1002", "P3009", "P3018", "P1017", "40P01", "deadlock", "duplicate key", "already exists"} {
		if strings.Contains(said, code) {
			return code
		}
	}
	return err.Error() + " " + said
}
