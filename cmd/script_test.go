package cmd

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/llmgw/llmgw/internal/testenv"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) {
	run := func() { os.Exit(Execute(os.Args, SystemStreams())) }
	testscript.Main(m, map[string]func(){"llmgw": run, "litellm": run})
}

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
