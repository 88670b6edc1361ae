package cmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/llmgw/llmgw/pkg/migrate"
)

func newMigrateResolveCommand(a *app) *cobra.Command {
	var f migrateFlags
	var lock lockFlags
	var q migrate.ResolveRequest
	c := &cobra.Command{
		Use:   "resolve",
		Short: "Mark migrations applied or rolled back without running them",
		Long: `Write into the history what an operator knows: that a migration has been applied
by hand, or that a failed one left nothing behind and may run again. Several
migrations are one transaction. The rows are those that Prisma writes.

--applied creates the history when there is none, which makes it a baseline by
hand; migrate baseline does the same with a look at the tables. --verify refuses
when the objects that a file creates are not in the database.

Exit codes: 0 marked; 1 it cannot be (P3008, P3011, P3012, P3017), the objects
are not there, or the lock is held; 2 wrong flags, files or URL; 3 the database
cannot be reached or lets nobody in.`,
		Example: `  llmgw migrate resolve --rolled-back 20260101000000_add_column
  llmgw migrate resolve --applied 20260101000000_add_column --verify
  llmgw migrate resolve --all-through 20260101000000_add_column --reason "restored from a dump"`,
		Args: cobra.NoArgs,
	}
	fs := c.Flags()
	f.declare(fs)
	lock.declare(fs, &f.o)
	fs.StringArrayVar(&q.Applied, "applied", nil, "mark the migration with this `name` applied (repeatable)")
	fs.StringArrayVar(&q.RolledBack, "rolled-back", nil, "mark the failed migration with this `name` rolled back (repeatable)")
	fs.StringVar(&q.AllThrough, "all-through", "", "mark every migration up to and with this `name` applied")
	fs.BoolVar(&q.Verify, "verify", false, "refuse unless the objects that the files create are in the database")
	fs.StringVar(&q.Reason, "reason", "", "`text` for the history; Prisma leaves it empty")
	c.RunE = func(c *cobra.Command, _ []string) error {
		q.Applied, q.RolledBack = filled(q.Applied), filled(q.RolledBack)
		applied := len(q.Applied) > 0 || q.AllThrough != ""
		var err error
		switch {
		case !applied && len(q.RolledBack) == 0:
			err = usagef("--applied or --rolled-back must be part of the command like:\nllmgw migrate resolve --applied 20201231000000_example\nllmgw migrate resolve --rolled-back 20201231000000_example")
		case applied && len(q.RolledBack) > 0:
			err = usagef("Pass either --applied or --rolled-back, not both.")
		}
		if err != nil {
			if f.prisma {
				return badAnswer(err)
			}
			return err
		}
		lock.apply(c, &f.o)
		return f.run(c, a, func(ctx context.Context, p *migrate.Provider) (answer, error) {
			r, err := p.Resolve(ctx, q)
			text := func(w io.Writer, ok bool) error {
				if !ok {
					return nil
				}
				for _, n := range r.Applied {
					fmt.Fprintf(w, "Migration %s marked as applied.\n", n)
				}
				for _, n := range append(r.RolledBack, r.Unchanged...) {
					fmt.Fprintf(w, "Migration %s marked as rolled back.\n", n)
				}
				if len(r.Applied)+len(r.RolledBack)+len(r.Unchanged) == 0 {
					fmt.Fprintln(w, "Nothing to mark: all of them are applied.")
				}
				return nil
			}
			return answer{result: r, text: text}, err
		})
	}
	return c
}

// filled drops empty names: to Prisma they are as good as no flag.
func filled(list []string) []string {
	var out []string
	for _, n := range list {
		if n != "" {
			out = append(out, n)
		}
	}
	return out
}

func newMigrateWaitCommand(a *app) *cobra.Command {
	var f migrateFlags
	var check bool
	var minHead string
	c := &cobra.Command{
		Use:   "wait",
		Short: "Wait until the database has the migrations, for an init container",
		Long: `Look at the database every two seconds until the migrations are applied. It needs
no right but to read the history, takes no lock and writes nothing; a database
that is ahead of the set is fine.

On a database that LiteLLM has migrated, LiteLLM's manifest is enough: the files
need not be there.

Exit codes: 0 the migrations are applied; 1 they were not in --timeout (10m), and
the database answered; 2 wrong flags, files or URL; 3 the database did not answer
or lets nobody in.`,
		Example: `  llmgw migrate wait -c config.yaml
  llmgw migrate wait --min-head 20260101000000_add_column --timeout 5m`,
		Args: cobra.NoArgs,
	}
	f.declare(c.Flags())
	f.waits(c.Flags())
	c.Flags().BoolVar(&check, "check", false, "print nothing but errors: the exit code is the answer")
	c.Flags().StringVar(&minHead, "min-head", "", "be content when the migration with this `name` and all before it are applied")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return f.run(c, a, func(ctx context.Context, p *migrate.Provider) (answer, error) {
			r, err := p.Wait(ctx, minHead)
			return answer{result: r, silent: check, text: func(w io.Writer, ok bool) error {
				if !ok {
					return nil
				}
				head := minHead
				if head == "" {
					head = r.Head
				}
				_, werr := fmt.Fprintf(w, "Database schema is up to date! (%s)\n", head)
				return werr
			}}, err
		})
	}
	return c
}
