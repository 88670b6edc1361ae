package cmd

import (
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCommands are the words our scripts have beyond testscript's own.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"exits": exits,
}

// exits runs llmgw and demands an exit code: exits 2 doctor --nonsense. In place
// of ! exec, which any failure satisfies, a data race included.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("llmgw", args[1:]...)
	got := 0
	if err != nil {
		text := err.Error()
		got, _ = strconv.Atoi(text[strings.LastIndexByte(text, ' ')+1:])
	}
	if got != want {
		ts.Fatalf("llmgw %s: exit code %d (%v), want %d", strings.Join(args[1:], " "), got, err, want)
	}
}
