package migrate

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// The texts of the results. Some of their lines are looked for by the scripts
// that run Prisma, LiteLLM's among them, and are kept to the letter:
// "No pending migrations to apply." and "All migrations have been successfully
// applied."

// head says which database and which files a result is about.
func (r *DeployResult) head() string {
	return fmt.Sprintf("PostgreSQL %s, database %q, schema %q at %s\n%s found in %s", r.Database.ServerVersion, r.Database.Name, r.Database.Schema, hostPort(r.Database),
		plural(r.Found, "migration", "migrations"), r.From)
}

// Text writes the result of a deploy that succeeded, or what a failed one had
// applied before it failed.
func (r *DeployResult) Text(w io.Writer, ok bool) error { return r.text(w, ok, false) }

// Brief is Text for somebody who saw each migration go by.
func (r *DeployResult) Brief(w io.Writer, ok bool) error { return r.text(w, ok, true) }

func (r *DeployResult) text(w io.Writer, ok, brief bool) error {
	var b strings.Builder
	seen := brief && len(r.Applied) > 0
	if !seen {
		b.WriteString(r.head() + "\n")
	}
	if n := len(r.Baselined); n > 0 {
		fmt.Fprintf(&b, "%s recorded as applied, as the schema shows\n", plural(n, "migration", "migrations"))
	}
	if seen {
		var took int64
		for _, a := range r.Applied {
			took += a.DurationMS
		}
		fmt.Fprintf(&b, "\n%s applied in %s.\n", plural(len(r.Applied), "migration", "migrations"), milliseconds(took))
	} else if len(r.Applied) > 0 {
		b.WriteString("\nThe following migration(s) have been applied:\n\n")
		for _, a := range r.Applied {
			fmt.Fprintf(&b, "  %s  %s, %s", a.Name, plural(a.Statements, "statement", "statements"), milliseconds(a.DurationMS))
			if a.Mode != Atomic {
				fmt.Fprintf(&b, ", %s", a.Mode)
			}
			if a.Attempts > 1 {
				fmt.Fprintf(&b, ", at attempt %d", a.Attempts)
			}
			b.WriteString("\n")
		}
	}
	for _, m := range r.Skipped {
		fmt.Fprintf(&b, "\n%s is recorded without its indexes; build them with:\n", m.Name)
		for _, one := range m.SQL {
			fmt.Fprintf(&b, "  %s\n", one)
		}
	}
	switch {
	case r.DryRun && ok && len(r.Pending) > 0:
		fmt.Fprintf(&b, "\nWould apply %s (dry run, nothing was changed):\n\n", plural(len(r.Pending), "migration", "migrations"))
		for _, n := range r.Pending {
			fmt.Fprintf(&b, "  %s\n", n)
		}
	case !ok:
		if len(r.Pending) > 0 {
			fmt.Fprintf(&b, "\nNot applied: %s\n", few(r.Pending))
		}
	case len(r.Applied) == 0:
		b.WriteString("\nNo pending migrations to apply.\n")
	case len(r.Pending) > 0:
		fmt.Fprintf(&b, "\nStopped as asked by --to; still pending: %s\n", few(r.Pending))
	default:
		b.WriteString("\nAll migrations have been successfully applied.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// PrismaText writes the result as Prisma's CLI does.
func (r *DeployResult) PrismaText(w io.Writer, ok bool) error {
	var b strings.Builder
	b.WriteString(datasourceLine(r.Database) + "\n\n" + foundLine(r.Found) + "\n\n")
	for _, a := range r.Applied {
		fmt.Fprintf(&b, "Applying migration `%s`\n", a.Name)
	}
	switch {
	case !ok:
		if r.Failed != nil && r.Failed.Code == "P3018" && r.Failed.Rule == "" {
			fmt.Fprintf(&b, "Applying migration `%s`\n", r.Failed.Name)
		}
	case len(r.Applied) == 0:
		b.WriteString("\nNo pending migrations to apply.\n")
	default:
		b.WriteString("\nThe following migration(s) have been applied:\n\nmigrations/\n")
		for _, a := range r.Applied {
			fmt.Fprintf(&b, "  └─ %s/\n    └─ migration.sql\n", a.Name)
		}
		b.WriteString("      \nAll migrations have been successfully applied.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func datasourceLine(d Database) string {
	return fmt.Sprintf("Datasource \"db\": PostgreSQL database %q, schema %q at %q", d.Name, d.Schema, hostPort(d))
}

func foundLine(n int) string {
	switch n {
	case 0:
		return "No migration found in prisma/migrations"
	case 1:
		return "1 migration found in prisma/migrations"
	}
	return fmt.Sprintf("%d migrations found in prisma/migrations", n)
}

func hostPort(d Database) string {
	if strings.Contains(d.Host, ":") {
		return fmt.Sprintf("[%s]:%d", d.Host, d.Port)
	}
	return fmt.Sprintf("%s:%d", d.Host, d.Port)
}

func milliseconds(ms int64) string {
	if ms == 0 {
		return "<1ms"
	}
	d := time.Duration(ms) * time.Millisecond
	if d >= 10*time.Second {
		d = d.Round(time.Second)
	}
	return d.String()
}

// stateWords are the states as a person reads them.
var stateWords = map[State]string{
	StateApplied: "applied", StatePending: "pending", StateFailed: "failed", StateRolledBack: "rolled back - will run again",
	StateEdited: "edited after it was applied", StateMissing: "applied, missing locally", StateBaselined: "baselined",
}

// Text writes the table and the verdict.
func (r *StatusResult) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "PostgreSQL %s, database %q, schema %q at %s\n", r.Database.ServerVersion, r.Database.Name, r.Database.Schema, hostPort(r.Database))
	fmt.Fprintf(&b, "%s found in %s\n\n", plural(r.Found, "migration", "migrations"), r.From)
	width, state := len("MIGRATION"), len("STATE")
	for _, m := range r.Migrations {
		width, state = max(width, len([]rune(m.Name))), max(state, len(stateWords[m.State]))
	}
	if len(r.Migrations) > 0 {
		fmt.Fprintf(&b, "%-*s  %-*s  %-20s  %8s  %s\n", width, "MIGRATION", state, "STATE", "APPLIED AT", "TOOK", "BY")
		for _, m := range r.Migrations {
			at, took := "", ""
			if m.AppliedAt != nil {
				at = m.AppliedAt.UTC().Format("2006-01-02T15:04:05Z")
			}
			if m.DurationMS != nil {
				took = milliseconds(*m.DurationMS)
			}
			b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s  %-*s  %-20s  %8s  %s", width, m.Name, state, stateWords[m.State], at, took, m.Tool), " ") + "\n")
		}
		b.WriteString("\n")
	}
	if r.Holder != nil {
		fmt.Fprintf(&b, "A migration is under way: %s.\n\n", holderSentence(r.Holder))
	}
	switch {
	case r.unmanaged != nil:
		b.WriteString("The database has tables but no migration history.\n")
	case len(r.Failed) > 0:
		fmt.Fprintf(&b, "Following %s failed: %s\n", haveWord(len(r.Failed)), few(r.Failed))
		b.WriteString("No deploy goes on before that is resolved.\n")
		if len(r.Pending) > 0 {
			fmt.Fprintf(&b, "Pending behind it: %s\n", few(r.Pending))
		}
	case r.Diverged:
		fmt.Fprintf(&b, "The histories differ. Last common migration: %s. Pending: %s. Only in the database: %s.\n",
			orNone(r.LastCommon), few(r.Pending), few(r.Missing))
	case len(r.Pending) > 0:
		fmt.Fprintf(&b, "%s pending. To apply: llmgw migrate deploy\n", plural(len(r.Pending), "migration is", "migrations are"))
	default:
		b.WriteString("Database schema is up to date!\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// few lists the first names; the whole list is in the JSON.
func few(list []string) string {
	if len(list) > 5 {
		return strings.Join(list[:5], ", ") + more(len(list)-5)
	}
	return strings.Join(list, ", ")
}

func haveWord(n int) string {
	if n == 1 {
		return "migration has"
	}
	return "migrations have"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// PrismaText writes the status as Prisma's CLI does, with the exit code it
// would have: the table is left out, rolled-back rows hide their migration,
// and failed rows are silent while something is pending.
func (r *StatusResult) PrismaText(stdout, stderr io.Writer) (exit int, err error) {
	var out, errs strings.Builder
	out.WriteString(datasourceLine(r.Database) + "\n\n" + foundLine(r.Found) + "\n")
	var pending, failed []string
	for _, m := range r.Migrations {
		switch m.State {
		case StatePending:
			pending = append(pending, m.Name)
		case StateFailed:
			failed = append(failed, m.Name)
		}
	}
	switch {
	case len(r.Missing) > 0 && len(pending) > 0:
		exit = 1
		fmt.Fprintf(&errs, "Your local migration history and the migrations table from your database are different:\n\nThe last common migration is: %s\n\n", orNull(r.LastCommon))
		fmt.Fprintf(&errs, "The %s have not yet been applied:\n%s\n\n", noun(pending), strings.Join(pending, "\n"))
		fmt.Fprintf(&errs, "The %s from the database are not found locally in prisma/migrations:\n%s\n", noun(r.Missing), strings.Join(r.Missing, "\n"))
	case len(pending) > 0:
		exit = 1
		fmt.Fprintf(&out, "Following %s have not yet been applied:\n%s\n\n", noun(pending), strings.Join(pending, "\n"))
		out.WriteString("To apply migrations in development run prisma migrate dev.\nTo apply migrations in production run prisma migrate deploy.\n")
	case len(failed) > 0:
		exit = 1
		fmt.Fprintf(&errs, "Following %s have failed:\n%s\n\n", noun(failed), strings.Join(failed, "\n"))
		fmt.Fprintf(&errs, "During development if the failed migration(s) have not been deployed to a production database you can then fix the migration(s) and run prisma migrate dev.\n\n"+
			"The failed migration(s) can be marked as rolled back or applied:\n      \n"+
			"- If you rolled back the migration(s) manually:\nprisma migrate resolve --rolled-back %q\n\n"+
			"- If you fixed the database manually (hotfix):\nprisma migrate resolve --applied %q\n\n"+
			"Read more about how to resolve migration issues in a production database:\nhttps://pris.ly/d/migrate-resolve\n", failed[0], failed[0])
	case !r.Managed:
		exit = 1
		errs.WriteString("The current database is not managed by Prisma Migrate.\n        \n" +
			"Read more about how to baseline an existing production database:\nhttps://pris.ly/d/migrate-baseline\n")
	default:
		out.WriteString("\nDatabase schema is up to date!\n")
	}
	if _, err = io.WriteString(stdout, out.String()); err == nil {
		_, err = io.WriteString(stderr, errs.String())
	}
	return exit, err
}

func noun(list []string) string {
	if len(list) == 1 {
		return "migration"
	}
	return "migrations"
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return s
}
