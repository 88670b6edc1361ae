package cmd

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/report"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// doctorKnown are the flags that tell old findings from new ones.
type doctorKnown struct {
	path    string
	write   bool
	since   string
	state   bool
	known   []lint.Known
	touched lint.Touched
}

func (d *doctorKnown) declare(fs *pflag.FlagSet) {
	fs.StringVar(&d.path, "baseline", "", "findings to accept, as --write-baseline wrote them (default "+lint.BaselineFile+" where it exists)")
	fs.BoolVar(&d.write, "write-baseline", false, "accept the findings of this run: write them to the baseline, and exit 0")
	fs.BoolVar(&d.state, "record-state", false, "remember fingerprints of the salt keys in "+rule.StateFile+", so that later runs see a change (SEC010)")
	fs.StringVar(&d.since, "changed-since", "", "only findings on lines that differ from this git `ref`; all files are read all the same")
}

// read reads what the flags name, before the work begins.
func (d *doctorKnown) read(c *cobra.Command) (err error) {
	if d.write && d.since != "" {
		return usagef("--write-baseline needs all findings, and --changed-since leaves some out: give one of them")
	}
	asked := d.path != ""
	if !asked {
		d.path = lint.BaselineFile
	}
	if lint.BaselineExists(d.path) || asked && !d.write {
		if d.known, err = lint.ReadBaseline(d.path); err != nil {
			return usagef("%w", err)
		}
	}
	if d.since != "" {
		if d.touched, err = lint.ChangedSince(c.Context(), "", d.since); err != nil {
			return usagef("--changed-since: %w", err)
		}
	}
	return nil
}

// apply takes what is known out of the result, and writes it down when asked.
func (d *doctorKnown) apply(a *app, r *lint.Result) error {
	if r == nil {
		return nil
	}
	r.Accept(d.known)
	if d.since != "" {
		r.OnlyTouched(d.touched)
	}
	if d.state {
		n, err := r.WriteState("")
		if err != nil {
			return usagef("--record-state: %w", err)
		}
		a.infof("fingerprints of %d salt keys written to %s", n, rule.StateFile)
	}
	if !d.write {
		return nil
	}
	n, err := r.WriteBaseline(d.path, d.known, time.Now())
	if err != nil {
		return usagef("%w", err)
	}
	a.infof("%d findings written to %s", n, d.path)
	r.Baseline, r.Findings, r.Gone = append(r.Baseline, r.Findings...), nil, nil
	return nil
}

// githubSummary appends the findings to the page of a GitHub job, where there
// is one.
func githubSummary(r *lint.Result, o report.Options) error {
	path := os.Getenv("GITHUB_STEP_SUMMARY")
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("GITHUB_STEP_SUMMARY: cannot write %s: %s", path, reason(err))
	}
	return errors.Join(report.GitHubSummary(f, r, o), f.Close())
}
