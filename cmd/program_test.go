package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built is the program as it is released, but without the commit, so that it
// calls itself dev. The tests that need it share it.
var built struct {
	once sync.Once
	dir  string
	text []byte
	err  error
}

// program is its path. It lies in a folder of its own, which anybody may enter
// if they may enter the temporary one.
func program(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "llmgw-cmd-test"); built.err != nil {
			return
		}
		if built.err = os.Chmod(built.dir, 0o755); built.err != nil {
			return
		}
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(built.dir, "llmgw"), "..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		built.text, built.err = build.CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("go build: %v\n%s", built.err, built.text)
	}
	return filepath.Join(built.dir, "llmgw")
}

// tests are all of them; behind them the shared program goes.
type tests struct{ m *testing.M }

func (t tests) Run() int {
	defer func() { _ = os.RemoveAll(built.dir) }() // "" is nothing
	return t.m.Run()
}
