package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/pgurl"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/migrate"
)

func newMigrateCommand(a *app) *cobra.Command {
	c := group(&cobra.Command{
		Use:   "migrate",
		Short: "Bring a PostgreSQL database to the schema that a gateway needs, as prisma migrate does",
		Long: `Apply Prisma-style migrations without Node and without Prisma: the same history
table, checksums, order and error codes, on the same advisory lock.

Without files of LiteLLM's, llmgw's own embedded set is used: the tables that
serve needs, with LiteLLM's names and types. LiteLLM's own set comes from
--migrations-dir, from --migrations-from with a litellm-proxy-extras package, or
from LITELLM_MIGRATION_DIR.

The database is named by the first of: --database-url, LLMGW_MIGRATE_DATABASE_URL,
DIRECT_URL, general_settings.database_url of -c, DATABASE_URL, DATABASE_HOST with
DATABASE_USER, DATABASE_PASSWORD and DATABASE_NAME.`,
	})
	c.AddCommand(newMigrateDeployCommand(a), newMigrateStatusCommand(a), newMigrateResolveCommand(a), newMigratePlanCommand(a),
		newMigrateBaselineCommand(a), newMigrateWaitCommand(a), newMigrateRepairIndexesCommand(a), newMigrateDiffCommand(a), newMigrateLintCommand(a), newMigrateUnlockCommand(a))
	return c
}

// migrateFlags are what deploy and status share.
type migrateFlags struct {
	databaseURL, databaseURLFile string
	config, envFile              string
	set, dir, from               string
	connectWait, timeout         time.Duration
	detailed, prisma, prismaTLS  bool
	strict                       bool
	live                         bool // one terminal shows the progress and the result
	progress                     string
	version                      string
	out                          *outputFlags

	defaultTimeout time.Duration

	o migrate.Options
}

func (f *migrateFlags) declare(fs *pflag.FlagSet) {
	fs.StringVar(&f.databaseURL, "database-url", "", "the database's `URL`, in Prisma's form")
	fs.StringVar(&f.databaseURLFile, "database-url-file", "", "`file` that holds the URL, so that it is not in the process list")
	fs.StringVarP(&f.config, "config", "c", "", "LiteLLM's config `file`, for general_settings.database_url (default $CONFIG_FILE_PATH)")
	fs.StringVar(&f.envFile, "env-file", "", "`file` of NAME=VALUE lines; sets no variable that is set already")
	fs.StringVar(&f.set, "set", "auto", "which migrations: auto, litellm (needs its files), llmgw (embedded)")
	fs.StringVar(&f.dir, "migrations-dir", "", "`folder` with one folder for each migration")
	fs.StringVar(&f.from, "migrations-from", "", "litellm-proxy-extras `package` (.whl or .tar.gz) to take the migrations from")
	durationVar(fs, &f.connectWait, "connect-wait", time.Minute, "how long to retry a database that does not answer; 0 is once")
	durationVar(fs, &f.timeout, "timeout", 0, "limit for the whole command (default $LITELLM_PRISMA_MIGRATE_DEPLOY_TIMEOUT, else none)")
	fs.BoolVar(&f.strict, "strict", false, "edited and missing migrations are errors")
	fs.BoolVar(&f.detailed, "detailed-exitcode", false, "exit codes 10 pending, 11 failed, 12 diverged, 13 drift, 14 not managed, 15 locked, 16 refused")
	fs.BoolVar(&f.prisma, "prisma-compat", false, "Prisma's texts, and its exit codes 0 and 1")
	fs.BoolVar(&f.prismaTLS, "prisma-tls-compat", false, "read sslmode=verify-ca and verify-full as prefer, as Prisma does")
	fs.StringVar(&f.progress, "progress", "auto", "progress on standard error: auto, tui (a live line), plain, none")
	f.out = outputVar(fs, "text", "json", "jsonl")
}

// head declares --litellm-version.
func (f *migrateFlags) head(fs *pflag.FlagSet) {
	fs.StringVar(&f.version, "litellm-version", "", "go up to the last migration of this `release` of LiteLLM (default the newest of the set)")
}

// headOf is the last migration of the release that was asked for.
func (f *migrateFlags) headOf() (string, error) {
	if f.version == "" {
		return "", nil
	}
	if strings.TrimPrefix(f.version, "v") == litellm.Compat {
		return litellm.MigrationHead(), nil
	}
	return "", usagef("--litellm-version %s: this build knows the migrations of LiteLLM %s only; give the last migration by its name, or the files of that release with --migrations-from", f.version, litellm.Compat)
}

// waits gives the flags the defaults of a command that waits.
func (f *migrateFlags) waits(fs *pflag.FlagSet) {
	f.connectWait, f.defaultTimeout = 10*time.Minute, 10*time.Minute
	fs.Lookup("connect-wait").DefValue = "10m0s"
	fs.Lookup("timeout").Usage = "limit for the whole command (default 10m)"
}

func newMigrateDeployCommand(a *app) *cobra.Command {
	var f migrateFlags
	var lock lockFlags
	var ddlLock, statement, grace time.Duration
	var retries int
	c := &cobra.Command{
		Use:   "deploy",
		Short: "Apply the migrations that are pending",
		Long: `Apply the migrations that are pending, in order, each in one transaction together
with the note that it ran. The first failure stops the run.

One deploy runs at a time, llmgw's and Prisma's alike; --wait lets the others
finish. A signal cancels the running statement and rolls it back, and the next
deploy goes on from there. Where this differs from Prisma on purpose: files are
checked before the first change, settings of one file do not reach the next, a
transaction that a file leaves open is a failure, a transaction pooler is refused.

Exit codes: 0 applied, or nothing to do; 1 a migration failed, is blocked or the
lock is held; 2 wrong flags, files or URL (a pooler, a replica); 3 the database
cannot be reached or lets nobody in; 130, 143 ended by a signal.`,
		Example: `  llmgw migrate deploy --database-url postgresql://user:password@localhost:5432/litellm
  llmgw migrate deploy -c config.yaml --wait --format jsonl --timeout 25m
  llmgw migrate deploy --migrations-from litellm_proxy_extras-0.4.110-py3-none-any.whl`,
		Args: cobra.NoArgs,
	}
	fs := c.Flags()
	f.declare(fs)
	lock.declare(fs, &f.o)
	durationVar(fs, &ddlLock, "ddl-lock-timeout", 5*time.Second, "how long a statement may wait for a table before the file is rolled back and tried again; 0 is no limit")
	durationVar(fs, &statement, "statement-timeout", 0, "limit for each statement (default none)")
	fs.IntVar(&retries, "max-retries", 10, "how often to try a file again after a lock timeout or a deadlock")
	durationVar(fs, &grace, "cancel-grace", 20*time.Second, "how long a cancelled statement may take to stop; keep it below the pod's grace period")
	fs.StringVar(&f.o.To, "to", "", "stop after the migration with this `name`")
	fs.BoolVar(&f.o.DryRun, "dry-run", false, "say what would be applied, and change nothing")
	fs.BoolVar(&f.o.RetryFailed, "retry-failed", false, "run a failed migration again if llmgw ran it in one transaction, of which the server kept nothing")
	runFlags{}.declare(c, &f.o)
	fs.BoolVar(&f.o.AllowPooler, "allow-pooler", false, "run through a transaction pooler: each file in one transaction with a lock of its own")
	fs.BoolVar(&f.o.Notify, "notify", false, "afterwards send NOTIFY llmgw_schema, with the head as payload, for programs that listen")
	fs.BoolVar(&f.o.AutoBaseline, "auto-baseline", false, "give a database without a history the one that its schema shows, as migrate baseline does")
	f.head(fs)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if head, err := f.headOf(); err != nil {
			return err
		} else if head != "" {
			if f.o.To != "" {
				return usagef("--to and --litellm-version are given both; drop one")
			}
			f.o.To = head
		}
		if retries < 0 {
			return usagef("--max-retries %d is negative", retries)
		}
		lock.apply(c, &f.o)
		f.o.DDLLockTimeout = orNegative(ddlLock)
		f.o.MaxRetries = int(orNegative(time.Duration(retries)))
		f.o.StatementTimeout = statement
		f.o.CancelGrace = orTiny(grace, true)
		return f.deploy(c, a)
	}
	return c
}

// Options counts zero as "the default"; a zero that the user wrote is another
// thing.
func orTiny(d time.Duration, given bool) time.Duration {
	if d == 0 && given {
		return time.Nanosecond
	}
	return d
}

func orNegative(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func newMigrateStatusCommand(a *app) *cobra.Command {
	var f migrateFlags
	var check bool
	var minHead string
	c := &cobra.Command{
		Use:   "status",
		Short: "Say which migrations are applied, pending, failed or edited",
		Long: `Compare the database's history with the migrations. Nothing is written and no
lock is taken.

Unlike Prisma's, the answer names failed migrations beside pending ones, says
that a rolled back one will run again, and shows files that were edited after
they were applied; --prisma-compat answers as Prisma does.

Exit codes: 0 in sync; 1 something is pending, failed or different; 2 wrong flags,
files or URL; 3 the database cannot be reached or lets nobody in.`,
		Example: `  llmgw migrate status --database-url postgresql://user:password@localhost:5432/litellm
  llmgw migrate status --check --min-head llmgw_0001_budgets_and_access`,
		Args: cobra.NoArgs,
	}
	f.declare(c.Flags())
	c.Flags().BoolVar(&check, "check", false, "print nothing but errors: the exit code is the answer")
	c.Flags().StringVar(&minHead, "min-head", "", "be content when the migration with this `name` and all before it are applied")
	c.RunE = func(c *cobra.Command, _ []string) error { return f.status(c, a, check, minHead) }
	return c
}

// prepare turns flags and environment into a provider.
func (f *migrateFlags) prepare(c *cobra.Command, a *app) (p *migrate.Provider, ctx context.Context, cancel context.CancelFunc, err error) {
	env := config.ProcessEnv(os.Environ())
	tree, found, err := config.Load(config.Sources{Path: f.config, Env: env, EnvFile: f.envFile, DotEnv: true, Stdin: a.in})
	if err != nil {
		for _, fd := range found {
			if fd.Severity == finding.Error {
				return nil, nil, nil, usagef("%s: %s", fd.Pos, fd.Message)
			}
		}
		return nil, nil, nil, usagef("%w", err)
	}
	env = tree.Env()
	target, origin, err := f.database(a, tree, env)
	if err != nil {
		return nil, nil, nil, err
	}
	set, auto, err := f.migrations(env)
	if err != nil {
		return nil, nil, nil, err
	}
	if !f.prisma {
		a.infof("database: %s (from %s)", target, origin)
		if len(set.Migrations) == 0 {
			a.warnf("%s holds no migrations: no folder with a migration.sql in it", set.From)
		}
	}
	o := f.o
	o.ConnectWait, o.Strict, o.Auto = f.connectWait, f.strict, auto
	// Prisma's truth table: any word but 0 turns the lock off, "false" too.
	if v := env.Get("PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK"); v != "" && v != "0" && c.Flags().Lookup("no-lock") != nil {
		o.NoLock = true
		a.warnf("PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK is set to %q: two migrations at once are not kept apart", v)
	}
	timeout := f.timeout
	if f.defaultTimeout > 0 && !c.Flags().Changed("timeout") {
		timeout = f.defaultTimeout
	} else if v := env.Get("LITELLM_PRISMA_MIGRATE_DEPLOY_TIMEOUT"); v != "" && !c.Flags().Changed("timeout") {
		if timeout, err = parseDuration(v); err != nil {
			return nil, nil, nil, usagef("LITELLM_PRISMA_MIGRATE_DEPLOY_TIMEOUT: %w", err)
		}
	}
	ctx, cancel = c.Context(), func() {}
	if timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errMigrateTimeout)
	}
	o.CancelledBy = cancelledBy
	o.OnEvent = f.o.OnEvent
	return migrate.New(target, set, o), ctx, cancel, nil
}

var errMigrateTimeout = errors.New("--timeout")

// cancelledBy names the cause of a context's end as the history records it.
func cancelledBy(cause error) string {
	if s, ok := errors.AsType[signalError](cause); ok {
		switch s.sig {
		case os.Interrupt:
			return "SIGINT"
		case syscall.SIGTERM:
			return "SIGTERM"
		}
		return s.sig.String()
	}
	if errors.Is(cause, errMigrateTimeout) {
		return "--timeout"
	}
	return "the caller"
}

// database finds and translates the URL.
func (f *migrateFlags) database(a *app, tree *config.Tree, env *config.Env) (*pgurl.Target, string, error) {
	in := pgurl.Inputs{
		Purpose: pgurl.Migrate, Flag: redact.New(f.databaseURL),
		Env: func(name string) (string, bool) { v, ok := env.Lookup(name); return v.Value, ok },
	}
	if f.databaseURLFile != "" {
		if f.databaseURL != "" {
			return nil, "", usagef("--database-url and --database-url-file are given both; drop one")
		}
		data, err := os.ReadFile(f.databaseURLFile)
		if err != nil {
			return nil, "", usagef("cannot read --database-url-file %s: %s", f.databaseURLFile, reason(err))
		}
		if strings.TrimSpace(string(data)) == "" {
			return nil, "", usagef("--database-url-file %s is empty", f.databaseURLFile)
		}
		in.Flag, in.FlagName = redact.New(string(data)), "--database-url-file "+f.databaseURLFile
	}
	if n := tree.Get("general_settings.database_url"); n != nil {
		in.Config, in.ConfigRef, in.ConfigOrigin = n.Secret(), n.Ref, n.Pos.String()
	}
	source, err := pgurl.Sources(in)
	if err != nil {
		return nil, "", usagef("%w", err)
	}
	if source.None() {
		return nil, "", usagef("no database is named: give --database-url, -c with general_settings.database_url, or set DATABASE_URL")
	}
	general := func(key string) (string, bool) {
		n := tree.Get("general_settings." + key)
		if n == nil || n.Kind == config.Bool && !strings.HasPrefix(key, "database_disable") {
			return "", false
		}
		return n.Scalar()
	}
	extra := map[string]string{}
	for _, n := range tree.Get("general_settings.database_extra_connection_params").Items() {
		if v, ok := n.Scalar(); ok {
			extra[n.Key] = v
		}
	}
	override, fill := pgurl.Settings(general, extra, in.Env)
	target, err := pgurl.Parse(source.URL, pgurl.Options{
		Purpose: pgurl.Migrate, Version: buildVersion(), Override: override, Default: fill, PrismaTLS: f.prismaTLS,
	})
	if err != nil {
		return nil, "", usagef("%s: %w", source.Origin, err)
	}
	if w := target.IgnoredWarning(); w != "" {
		a.warnf("%s", w)
	}
	if !f.prisma {
		for _, n := range target.Notes {
			a.infof("note: %s", n)
		}
		for _, o := range source.PassedOver {
			a.infof("note: %s names another database and is passed over", o)
		}
	}
	return target, source.Origin, nil
}

// envelope puts the members that every result has in front of the result's own.
type envelope struct {
	Event    string `json:"event,omitempty"`
	Schema   string `json:"schema"`
	Command  string `json:"command"`
	OK       bool   `json:"ok"`
	ExitCode int    `json:"exit_code"`
}

func (f *migrateFlags) deploy(c *cobra.Command, a *app) error {
	if v := os.Getenv("DISABLE_SCHEMA_UPDATE"); strings.EqualFold(v, "true") && !f.prisma {
		a.infof("note: DISABLE_SCHEMA_UPDATE is for servers; migrate deploy migrates all the same")
	}
	return f.run(c, a, func(ctx context.Context, p *migrate.Provider) (answer, error) {
		r, err := p.Deploy(ctx)
		reached := func(write func(io.Writer, bool) error) func(io.Writer, bool) error {
			return func(w io.Writer, ok bool) error {
				if r.Database.ServerVersion == "" {
					return nil // never got there; the error says it
				}
				return write(w, ok)
			}
		}
		text := func(w io.Writer, ok bool) error {
			if w == a.out && f.live {
				return r.Brief(w, ok)
			}
			return r.Text(w, ok)
		}
		return answer{result: r, text: reached(text), prisma: reached(r.PrismaText)}, err
	})
}

func (f *migrateFlags) status(c *cobra.Command, a *app, check bool, minHead string) error {
	return f.run(c, a, func(ctx context.Context, p *migrate.Provider) (answer, error) {
		r, err := p.Status(ctx)
		if err == nil {
			if minHead != "" {
				if !p.Has(minHead) {
					return answer{silent: true}, usagef("--min-head %s: no such migration in %s", minHead, r.From)
				}
				err = asError(r.ErrBelow(minHead, f.strict))
			} else {
				err = asError(r.Err(f.strict))
			}
		}
		reached := r.Database.ServerVersion != "" && (err == nil || isVerdict(err))
		out := answer{result: r, silent: check, said: reached && !check}
		if !reached {
			return out, err
		}
		out.text = func(w io.Writer, _ bool) error { return r.Text(w) }
		if f.prisma && !check {
			// Prisma's verdict is another one: to it a rolled back migration is fine.
			exit, perr := r.PrismaText(io.Discard, io.Discard)
			if perr != nil {
				return out, perr
			}
			out.code = &exit
			out.prisma = func(w io.Writer, _ bool) error {
				_, perr := r.PrismaText(w, a.err)
				return perr
			}
		}
		return out, err
	})
}

// isVerdict tells "the database is not in sync" from "could not find out".
func isVerdict(err error) bool {
	e, ok := errors.AsType[*migrate.Error](err)
	if !ok || e.SQLState != "" {
		return false // the server refused the question
	}
	return e.Unmanaged() || e.Drift() || e.Code == "" && (e.Pending() || e.Diverged() || e.FailedRow() || e.Refused())
}

func asError(e *migrate.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// finish writes the error to standard error, gives the files their names and
// ends with the code. The results on standard output carry the error already,
// so Execute must not write an object of its own.
func (f *migrateFlags) finish(c *cobra.Command, a *app, outs *outputs, code int, err, werr error) error {
	if err != nil {
		e, ours := errors.AsType[*migrate.Error](err)
		if f.prisma && ours && e.Code != "" {
			fmt.Fprintf(a.err, "Error: %s\n\n%s\n", e.Code, redact.Text(e.PrismaText()))
		} else {
			fmt.Fprintf(a.err, "%s: %s\n", c.CommandPath(), redact.Text(err.Error()))
		}
	}
	if werr != nil {
		return &exitError{exitUsage, werr}
	}
	if cerr := outs.commit(); cerr != nil {
		return cerr
	}
	if code == exitFine {
		return nil
	}
	return withCode(code, nil)
}

// code is the exit code that an answer deserves.
func (f *migrateFlags) code(err error) int {
	if err == nil {
		return exitFine
	}
	e, ok := errors.AsType[*migrate.Error](err)
	if !ok {
		if ee, ok := errors.AsType[*exitError](err); ok {
			return ee.code
		}
		return exitBad
	}
	if e.Cancelled() {
		switch e.Cause {
		case "SIGINT":
			return 130
		case "SIGTERM":
			return 143
		}
		return exitBad
	}
	switch {
	case f.prisma:
		return exitBad
	case e.Usage():
		return exitUsage
	case e.Unreachable():
		return exitUnreachable
	case !f.detailed:
		return exitBad
	}
	switch {
	case e.Locked():
		return 15
	case e.Refused():
		return 16
	case e.Unmanaged():
		return 14
	case e.FailedRow():
		return 11
	case e.Diverged():
		return 12
	case e.Drift():
		return 13
	case e.Pending():
		return 10
	}
	return exitBad
}

// showEvent writes progress to standard error, one whole line an event.
func showEvent(a *app, e migrate.Event) {
	switch e.Event {
	case migrate.EventConnectRetry:
		a.infof("waiting for the database: %s", e.Message)
	case migrate.EventWaiting:
		a.infof("waiting: %s", redact.Text(e.Message))
	case migrate.EventLockWait:
		a.infof("waiting for the advisory lock: %s", redact.Text(e.Message))
	case migrate.EventMigrationStarted:
		mode := ""
		if e.Mode != migrate.Atomic {
			mode = ", " + string(e.Mode)
		}
		what := e.Doing
		if what == "" {
			what = fmt.Sprintf("%d statements", e.Statements)
		}
		a.infof("applying %s (%s%s)", e.Migration, what, mode)
	case migrate.EventMigrationRetry:
		a.infof("%s: %s (SQLSTATE %s), attempt %d; trying again", e.Migration, redact.Text(e.Message), e.SQLState, e.Attempt)
	case migrate.EventBlockedBy, migrate.EventProgress:
		a.infof("%s: %s", e.Migration, e.Message)
	case migrate.EventMigrationFinished:
		a.infof("applied %s in %s", e.Migration, time.Duration(e.DurationMS)*time.Millisecond)
	case migrate.EventWarning:
		if e.Migration != "" {
			a.warnf("%s: %s", e.Migration, e.Message)
		} else {
			a.warnf("%s", e.Message)
		}
	}
}
