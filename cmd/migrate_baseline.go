package cmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/llmgw/llmgw/pkg/migrate"
)

func newMigrateBaselineCommand(a *app) *cobra.Command {
	var f migrateFlags
	var lock lockFlags
	var q migrate.BaselineRequest
	var detect bool
	c := &cobra.Command{
		Use:   "baseline",
		Short: "Give a database without a history the one that its schema shows",
		Long: `Compare the schema with what each migration makes and record those that are there
as applied, as migrate resolve --applied would. What is not there stays pending.
A migration of which only a part is there stops the baseline: --fix-missing adds
what is missing, in one transaction, if nothing but additions are needed.

Nothing is deleted and no file is written. On a database of llmgw's own set,
--set litellm with LiteLLM's files makes a history that LiteLLM and Prisma accept.

Exit codes: 0 recorded; 1 there is a history already, or something is there in
part, or the lock is held; 2 wrong flags, files or URL; 3 the database cannot be
reached or lets nobody in.`,
		Example: `  llmgw migrate baseline --dry-run --migrations-from litellm_proxy_extras-0.4.108-py3-none-any.whl
  llmgw migrate baseline --through 20260101000000_add_column --migrations-dir ./migrations`,
		Args: cobra.NoArgs,
	}
	fs := c.Flags()
	f.declare(fs)
	lock.declare(fs, &f.o)
	fs.StringVar(&q.Through, "through", "", "record every migration up to and with this `name`, whatever the schema shows")
	fs.BoolVar(&detect, "detect", true, "look at the schema (the default without --through)")
	fs.BoolVar(&q.Repair, "repair", false, "go on although there is a history: record what is there and is not recorded")
	fs.BoolVar(&q.FixMissing, "fix-missing", false, "add what migrations that are there in part lack")
	fs.BoolVar(&f.o.DryRun, "dry-run", false, "say what would be recorded, and change nothing")
	f.head(fs)
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case q.Through != "" && c.Flags().Changed("detect") && detect:
			return usagef("--through and --detect are given both; drop one")
		case q.Through == "" && !detect && f.version == "":
			return usagef("--detect=false needs --through NAME or --litellm-version")
		}
		if f.version != "" {
			head, err := f.headOf()
			if err != nil {
				return err
			}
			if q.Through != "" {
				return usagef("--through and --litellm-version are given both; drop one")
			}
			q.Through = head
		}
		lock.apply(c, &f.o)
		return f.run(c, a, func(ctx context.Context, p *migrate.Provider) (answer, error) {
			r, err := p.Baseline(ctx, q)
			return answer{result: r, text: func(w io.Writer, ok bool) error { return baselineText(w, r, ok) }}, err
		})
	}
	return c
}

func baselineText(w io.Writer, r *migrate.BaselineResult, ok bool) error {
	if !ok {
		return nil // the error names what is missing
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "warning: %s: %s\n", warning.Migration, warning.Message)
	}
	verb := "Recorded as applied"
	if r.DryRun {
		verb = "Would be recorded as applied (dry run, nothing was changed)"
	}
	for _, s := range r.Added {
		fmt.Fprintf(w, "Added: %s\n", s)
	}
	fmt.Fprintf(w, "%s: %d of %d migrations\n", verb, len(r.Marked), r.Found)
	for _, n := range r.Marked {
		fmt.Fprintf(w, "  %s\n", n)
	}
	if len(r.Pending) > 0 {
		fmt.Fprintf(w, "Pending, for migrate deploy: %d\n", len(r.Pending))
		for _, n := range r.Pending {
			fmt.Fprintf(w, "  %s\n", n)
		}
	}
	return nil
}
