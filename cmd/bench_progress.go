package cmd

import (
	"context"
	"os"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/llmgw/llmgw/pkg/bench"
	"github.com/llmgw/llmgw/pkg/bench/tui"
)

func isTerminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()) }

// plainEvery is how often plain progress writes a line.
const plainEvery = 5 * time.Second

// runWithProgress runs the plan and shows how it goes on standard error: a
// screen on a terminal, a line now and then elsewhere.
func runWithProgress(ctx context.Context, a *app, p bench.Plan, progress string) (*bench.Report, error) {
	if progress == "auto" {
		progress = "plain"
		if a.errTTY && os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" {
			progress = "tui"
		}
	}
	if a.quiet {
		progress = "none"
	}
	switch progress {
	case "none":
		p.Refresh = time.Second
		return bench.Run(ctx, p)
	case "tui":
		errFile, _ := a.err.(*os.File)
		if errFile == nil || !isTerminal(errFile) {
			return nil, usagef("--progress tui needs a terminal; use plain")
		}
		if tui.Fits(errFile) {
			return tui.Run(ctx, tui.Options{Output: errFile, Input: os.Stdin, Colour: a.colorOn(a.errTTY)}, p, bench.Run)
		}
	}
	p.Refresh = time.Second
	last := -plainEvery // the first line says at once that the target is good and load is on
	p.Observe = func(s bench.Snapshot) {
		if s.Elapsed-last >= plainEvery || s.Draining {
			last = s.Elapsed
			a.infof("%s", tui.Line(s))
		}
	}
	return bench.Run(ctx, p)
}
