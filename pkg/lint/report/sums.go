package report

import (
	"bufio"
	"fmt"
	"io"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Sums writes the pool math and the chain of timeouts of what was read, one
// block for each deployment.
func Sums(w io.Writer, r *lint.Result, pool, chain bool) error {
	b := bufio.NewWriter(w)
	for i, u := range r.Model.Units {
		if i > 0 {
			fmt.Fprintln(b)
		}
		heading(b, u)
		if pool {
			if !u.DatabaseInUse() {
				fmt.Fprintln(b, "  pool: no database is in use")
			} else {
				p := facts.Pool(u.Facts.Pool())
				for _, line := range p.Explain() {
					fmt.Fprintf(b, "  %s\n", line)
				}
				if !p.AvailableKnown {
					fmt.Fprintln(b, "  available not known: pass --max-connections or --max-db-connections")
				}
			}
		}
		if chain {
			for _, line := range facts.Chain(u.Facts.Chain()).Ladder() {
				fmt.Fprintf(b, "  %s\n", line)
			}
		}
	}
	return b.Flush()
}

// heading names the deployment that a block is about.
func heading(b *bufio.Writer, u *rule.Unit) {
	switch {
	case u.Workload != nil && u.Config != nil:
		fmt.Fprintf(b, "%s with %s\n", u.Workload.Object, u.Config.File)
	case u.Workload != nil:
		fmt.Fprintf(b, "%s\n", u.Workload.Object)
	case u.Config != nil:
		fmt.Fprintf(b, "%s\n", u.Config.File)
	}
}

// Plan writes a deployment for the expected load, with every number's origin
// and the lines to paste. What the inputs say (workers, timeouts, surge) holds.
func Plan(w io.Writer, r *lint.Result, in facts.PlanInput) error {
	b := bufio.NewWriter(w)
	for i, u := range r.Model.Units {
		if i > 0 {
			fmt.Fprintln(b)
		}
		heading(b, u)
		d, in := u.Facts, in
		in.Target, in.RPS, in.Workers, in.Ceiling = u.Target, u.Model.Flags.ExpectedRPS, d.Workers, d.Ceiling
		in.Surge, in.Runner, in.Request, in.PreStop = d.Surge, d.Runner, d.Request, d.PreStop
		if u.Workload == nil {
			in.Surge, in.PreStop = facts.Surge{}, facts.Seconds{} // nothing is deployed yet
		}
		p := facts.Plan(in)
		for _, line := range p.Explanations {
			fmt.Fprintf(b, "  %s\n", line)
		}
		config, pods := p.Lines()
		fmt.Fprintln(b, "\n# config.yaml")
		for _, line := range config {
			fmt.Fprintln(b, line)
		}
		fmt.Fprintln(b, "\n# pods")
		for _, line := range pods {
			fmt.Fprintln(b, line)
		}
	}
	return b.Flush()
}
