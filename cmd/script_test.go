package cmd

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/llmgw/llmgw/internal/testenv"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) {
	testenv.EndAtOnce()
	run := func() {
		endAfter(os.Getenv(limitVariable))
		os.Exit(Execute(os.Args, SystemStreams()))
	}
	testscript.Main(tests{m}, map[string]func(){"llmgw": run, "litellm": run})
}

// limitVariable says how long a program of a script may run. A server that
// starts where a script expects a refusal would hold the script for as long as
// all tests may take.
const limitVariable = "SCRIPT_LIMIT"

func endAfter(limit string) {
	d, err := time.ParseDuration(limit)
	if err != nil {
		return
	}
	time.AfterFunc(d, func() {
		fmt.Fprintf(os.Stderr, "%s=%s is over and the program still runs:\n", limitVariable, d)
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		os.Exit(limitCode)
	})
}

// limitCode is timeout(1)'s; llmgw has no use for it.
const limitCode = 124

// TestScripts runs the whole program as a user would: one txtar file a
// behaviour, named command_behaviour.txtar.
func TestScripts(t *testing.T) {
	commands := maps.Clone(scriptCommands)
	// An empty PostgreSQL database of the script's own: database VARIABLE. Begin
	// with [!postgres] skip.
	commands["database"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: database VARIABLE")
		}
		ts.Setenv(args[0], testenv.Postgres(t))
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// A developer's own gateway settings must not leak into a script.
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("NO_COLOR", "1")
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv(limitVariable, "1m")
			return nil
		},
		Cmds: commands,
		Condition: func(cond string) (bool, error) {
			if cond != "postgres" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			if testing.Short() { // starts no servers
				return false, nil
			}
			found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
			_, err := exec.LookPath("postgres")
			return err == nil || len(found) > 0 || os.Getenv("CI") == "true", nil
		},
	})
}
