package cmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/pkg/migrate"
)

// runFlags are how deploy runs files; plan judges with the same.
type runFlags struct{}

func (runFlags) declare(c *cobra.Command, o *migrate.Options) {
	fs := c.Flags()
	fs.BoolVar(&o.OnlineIndexes, "online-indexes", false, "build the indexes of index-only migrations CONCURRENTLY, after the others; on partitioned tables for each partition")
	fs.BoolVar(&o.SkipIndexMigrations, "skip-index-migrations", false, "record index-only migrations and print their SQL instead of running it")
	fs.BoolVar(&o.SplitConcurrent, "split-concurrent", false, "run a file statement by statement when one cannot run in a transaction")
	fs.BoolVar(&o.RepairInvalid, "repair-invalid", false, "drop an invalid index whose name a file wants to use")
	fs.BoolVar(&o.AcceptRewrite, "accept-rewrite", false, "let a file write a large table anew under a lock")
	fs.BoolVar(&o.AllowDrop, "allow-drop", false, "let a file drop tables and columns that hold something")
}

func newMigratePlanCommand(a *app) *cobra.Command {
	var f migrateFlags
	var offline bool
	var version int
	var previous string
	c := &cobra.Command{
		Use:   "plan",
		Short: "Say what a deploy would do: locks, table sizes, hazards, what stands in the way",
		Long: `Read the pending migrations and say for each which locks it takes on which table,
how large that table is, what is dangerous about it and how long it may take; who
would be in the way now; which rights are missing. Nothing is changed, and no
lock is taken. The statements' syntax is checked by the server's own parser.

As a gate it takes deploy's flags of consent and fails when that deploy would
refuse. --offline looks at the files alone, without table sizes.

Exit codes: 0 a deploy would go ahead; 1 it would refuse (16 with
--detailed-exitcode); 2 wrong flags, files or URL; 3 the database cannot be
reached or lets nobody in.`,
		Example: `  llmgw migrate plan --migrations-from litellm_proxy_extras-0.4.108-py3-none-any.whl
  llmgw migrate plan --online-indexes --format json
  llmgw migrate plan --offline --pg-version 15 --migrations-dir ./migrations`,
		Args: cobra.NoArgs,
	}
	fs := c.Flags()
	f.declare(fs)
	runFlags{}.declare(c, &f.o)
	f.head(fs)
	fs.StringVar(&f.o.To, "to", "", "stop after the migration with this `name`")
	fs.BoolVar(&offline, "offline", false, "judge the files alone, without a database")
	fs.IntVar(&version, "pg-version", 0, "with --offline: PostgreSQL's major `version` (default 15)")
	fs.StringVar(&previous, "previous-version", "", "with --offline: leave out what this `release` of LiteLLM, or the migration of this name, has already")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if head, err := f.headOf(); err != nil {
			return err
		} else if head != "" {
			f.o.To = head
		}
		if !offline {
			if c.Flags().Changed("pg-version") || previous != "" {
				return usagef("--pg-version and --previous-version belong to --offline: a database says both by itself")
			}
			return f.run(c, a, func(ctx context.Context, p *migrate.Provider) (answer, error) {
				r, err := p.Plan(ctx)
				reached := err == nil
				if reached {
					err = asError(r.Err())
				}
				return answer{result: r, said: reached, text: func(w io.Writer, _ bool) error {
					if !reached {
						return nil
					}
					return r.Text(w)
				}}, err
			})
		}
		set, since, num, err := f.files(previous, version)
		if err != nil {
			return err
		}
		r := migrate.PlanOffline(set, num, since)
		return f.finishOffline(c, a, answer{result: r, said: true, text: func(w io.Writer, _ bool) error { return r.Text(w) }}, asError(r.Err()))
	}
	return c
}

// files is the set for a command without a database.
func (f *migrateFlags) files(previous string, version int) (*migrate.Set, string, int, error) {
	if version == 0 {
		version = 15
	}
	if version < 9 || version > 99 {
		return nil, "", 0, usagef("--pg-version %d: give the major version, such as 15", version)
	}
	set, _, err := f.migrations(config.ProcessEnv(nil))
	if err != nil {
		return nil, "", 0, err
	}
	if len(set.Migrations) == 0 {
		return nil, "", 0, usagef("%s holds no migrations: no folder with a migration.sql in it", set.From)
	}
	since := previous
	if strings.TrimPrefix(previous, "v") == litellm.Compat {
		since = litellm.MigrationHead()
	}
	if since != "" && !set.Has(since) {
		return nil, "", 0, usagef("--previous-version %s is neither LiteLLM %s, which this build knows, nor a migration of %s", previous, litellm.Compat, set.From)
	}
	return set, since, version * 10000, nil
}

func newMigrateLintCommand(a *app) *cobra.Command {
	var f migrateFlags
	var version int
	var previous, least string
	c := &cobra.Command{
		Use:   "lint",
		Short: "Judge migration files without a database",
		Long: `Look for what is dangerous in migration files: builds and scans under a lock,
rewrites, what breaks pods of the release before, transactions that do not end,
settings that leak, files that cannot be used, names that sort differently.

Exit codes: 0 no error; 1 at least one error; 2 wrong flags, or nothing to lint.`,
		Example: `  llmgw migrate lint --migrations-dir ./migrations
  llmgw migrate lint --migrations-dir ./migrations --previous-version 20260101000000_add_column`,
		Args: cobra.NoArgs,
	}
	fs := c.Flags()
	f.declare(fs)
	fs.Bool("offline", true, "without a database; lint never asks one")
	fs.IntVar(&version, "pg-version", 0, "PostgreSQL's major `version` (default 15)")
	fs.StringVar(&previous, "previous-version", "", "leave out what this `release` of LiteLLM, or the migration of this name, has already")
	fs.StringVar(&least, "min-severity", "warning", "show findings from this `severity` on: error, warning, info")
	c.RunE = func(c *cobra.Command, _ []string) error {
		order := map[string]int{"info": 0, "warning": 1, "error": 2}
		floor, ok := order[least]
		if !ok {
			return usagef("--min-severity %s: use error, warning or info", least)
		}
		set, since, num, err := f.files(previous, version)
		if err != nil {
			return err
		}
		found, errs := []migrate.Hazard{}, 0
		for _, h := range migrate.Lint(set, num, since) {
			if h.Severity == "error" {
				errs++
			}
			if order[h.Severity] >= floor {
				found = append(found, h)
			}
		}
		result := struct {
			Set      string           `json:"set"`
			From     string           `json:"from"`
			Findings []migrate.Hazard `json:"findings"`
			Errors   int              `json:"errors"`
		}{set.Name, set.From, found, errs}
		text := func(w io.Writer, _ bool) error {
			for _, h := range found {
				migrate.WriteHazard(w, h, true)
			}
			_, err := fmt.Fprintf(w, "%d findings, %d errors in %d migrations of %s\n", len(found), errs, len(set.Migrations), set.From)
			return err
		}
		var verdict error
		if errs > 0 {
			verdict = migrate.LintError(errs)
		}
		return f.finishOffline(c, a, answer{result: result, said: true, text: text}, verdict)
	}
	return c
}

func newMigrateDiffCommand(a *app) *cobra.Command {
	var f migrateFlags
	var q migrate.DiffRequest
	var script bool
	c := &cobra.Command{
		Use:   "diff",
		Short: "Compare the schema with what the migrations make",
		Long: `Compare tables, columns, indexes, constraints and types with what the set's
statements make, without a second database. What only the database has is for
information; what it lacks, or has otherwise, is drift. --script prints the SQL
that adds what is missing; it is never run.

Exit codes: 0 no drift; 1 drift (13 with --detailed-exitcode); 2 wrong flags,
files or URL; 3 the database cannot be reached or lets nobody in.`,
		Args: cobra.NoArgs,
	}
	fs := c.Flags()
	f.declare(fs)
	f.head(fs)
	fs.BoolVar(&script, "script", false, "print the SQL that adds what is missing")
	fs.StringSliceVar(&q.Ignore, "ignore", nil, "leave out tables, or table.object, that match this `glob` (repeatable)")
	fs.BoolVar(&q.Views, "views", false, "list views, too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		head, err := f.headOf()
		if err != nil {
			return err
		}
		f.o.To = head
		return f.run(c, a, func(ctx context.Context, p *migrate.Provider) (answer, error) {
			r, err := p.Diff(ctx, q)
			reached := err == nil || isVerdict(err)
			return answer{result: r, said: reached, text: func(w io.Writer, _ bool) error {
				if !reached {
					return nil
				}
				if script {
					_, werr := io.WriteString(w, r.Script())
					return werr
				}
				for _, d := range r.Differences {
					fmt.Fprintf(w, "%-7s %s %s", d.Severity, d.Kind, d.Label())
					if d.Expected != "" {
						fmt.Fprintf(w, "; expected %s", d.Expected)
					}
					if d.Found != "" {
						fmt.Fprintf(w, "; found %s", d.Found)
					}
					fmt.Fprintln(w)
				}
				_, werr := fmt.Fprintf(w, "%d differences, %d of them drift, from %s (%s)\n", len(r.Differences), r.Errors, r.From, r.Head)
				return werr
			}}, err
		})
	}
	return c
}

func newMigrateUnlockCommand(a *app) *cobra.Command {
	var f migrateFlags
	var terminate, force bool
	c := &cobra.Command{
		Use:   "unlock",
		Short: "Show who holds the migration lock, and end a session that was left behind",
		Long: `Show the session that holds the advisory lock of migrations, llmgw's or Prisma's.
--terminate ends it if it is idle, as one is that a pooler kept; --force ends it
in any case, which rolls back what it is doing. It takes the same role, or
pg_signal_backend.

Exit codes: 0 nobody holds the lock, or its session was ended; 1 somebody holds
it (15 with --detailed-exitcode); 2 wrong flags or URL; 3 the database cannot be
reached or lets nobody in.`,
		Args: cobra.NoArgs,
	}
	fs := c.Flags()
	f.declare(fs)
	fs.BoolVar(&terminate, "terminate", false, "end the holder's session if it is idle")
	fs.BoolVar(&force, "force", false, "end the holder's session in any case")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return f.run(c, a, func(ctx context.Context, p *migrate.Provider) (answer, error) {
			r, err := p.Unlock(ctx, terminate, force)
			return answer{result: r, text: func(w io.Writer, ok bool) error {
				switch {
				case !ok:
				case r.Holder == nil:
					fmt.Fprintln(w, "Nobody holds the migration lock.")
				default:
					fmt.Fprintf(w, "Ended %s; the migration lock is free.\n", r.Holder)
				}
				return nil
			}}, err
		})
	}
	return c
}

func newMigrateRepairIndexesCommand(a *app) *cobra.Command {
	var f migrateFlags
	var lock lockFlags
	var apply bool
	c := &cobra.Command{
		Use:   "repair-indexes",
		Short: "List indexes that are invalid or missing, and build them concurrently",
		Long: `List the indexes that a failed concurrent build left invalid, those that an
applied migration makes and the schema lacks, and those that LiteLLM builds at its
start on its largest table. --apply builds them, one after the other, without
blocking writes. Tables that no migration makes are left alone.

Exit codes: 0 nothing to do, or done; 1 there is something to do, or a build
failed; 2 wrong flags, files or URL; 3 the database cannot be reached or lets
nobody in.`,
		Args: cobra.NoArgs,
	}
	fs := c.Flags()
	f.declare(fs)
	lock.declare(fs, &f.o)
	fs.BoolVar(&apply, "apply", false, "build them (default: list only)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		lock.apply(c, &f.o)
		return f.run(c, a, func(ctx context.Context, p *migrate.Provider) (answer, error) {
			r, err := p.RepairIndexes(ctx, apply)
			return answer{result: r, text: func(w io.Writer, ok bool) error {
				if len(r.Indexes) == 0 && ok {
					fmt.Fprintln(w, "All indexes are valid.")
				}
				for _, x := range r.Indexes {
					state := x.State
					switch {
					case x.Done:
						state += ", built"
					case x.Foreign:
						state += ", left alone: no migration makes its table"
					}
					fmt.Fprintf(w, "%s on %s: %s\n", x.Name, x.Table, state)
					if !x.Done && !x.Foreign {
						for _, s := range x.SQL {
							fmt.Fprintf(w, "    %s\n", s)
						}
					}
				}
				return nil
			}}, err
		})
	}
	return c
}
