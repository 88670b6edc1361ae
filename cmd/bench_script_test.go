package cmd

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func init() {
	scriptCommands["starts"] = starts
	scriptCommands["interrupts"] = interrupts
}

// scriptExec makes a command that runs llmgw as the script would.
func scriptExec(ts *testscript.TestScript, args []string) (*exec.Cmd, context.CancelFunc) {
	// A program that does not end must not hold the test for ever.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	var path string
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, "llmgw"); isFile(p) {
			path = p
			break
		}
	}
	if path == "" {
		cancel()
		ts.Fatalf("llmgw is not in PATH")
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "XDG_STATE_HOME", "NO_COLOR", "TMPDIR", "GOCOVERDIR", "GORACE"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd, cancel
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// starts runs llmgw in the background and puts the URL on its first line of
// output into a variable: starts URL mock --port 0. The process is ended with
// SIGTERM at the end of the script and must exit with 0.
func starts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: starts VARIABLE ARGS...")
	}
	cmd, cancel := scriptExec(ts, args[1:])
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		_ = cmd.Wait()
		ts.Fatalf("llmgw %s printed no URL: %v", strings.Join(args[1:], " "), err)
	}
	ts.Setenv(args[0], strings.TrimSpace(line))
	ts.Setenv(args[0]+"_PID", strconv.Itoa(cmd.Process.Pid))
	ts.Defer(func() {
		defer cancel()
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			ts.Fatalf("llmgw %s did not end well: %v", strings.Join(args[1:], " "), err)
		}
	})
}

// interrupts runs llmgw, sends SIGINT with its first line on standard error,
// demands an exit code and leaves its output in the file "interrupted":
// interrupts 130 bench $URL -d 1h.
func interrupts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupts CODE ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd, cancel := scriptExec(ts, args[1:])
	defer cancel()
	f, err := os.Create(ts.MkAbs("interrupted"))
	ts.Check(err)
	defer f.Close()
	cmd.Stdout = f
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	r := bufio.NewReader(stderr)
	first, err := r.ReadString('\n')
	if err == nil {
		_ = cmd.Process.Signal(os.Interrupt)
	}
	for err == nil {
		_, err = r.ReadString('\n')
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d after ^C, want %d; its first line was %q", got, want, first)
	}
}
