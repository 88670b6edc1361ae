package migrate

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// LintError is the verdict of a lint with errors.
func LintError(n int) *Error {
	return &Error{kind: kindRefused, Message: plural(n, "error", "errors")}
}

// WriteHazard writes one finding as text; named adds the migration's name.
func WriteHazard(w io.Writer, h Hazard, named bool) {
	at := ""
	switch {
	case named && h.Migration != "" && h.Line > 0:
		at = fmt.Sprintf("%s/migration.sql:%d: ", h.Migration, h.Line)
	case named && h.Migration != "":
		at = h.Migration + ": "
	case h.Line > 0:
		at = fmt.Sprintf("line %d: ", h.Line)
	}
	fmt.Fprintf(w, "%s%s %s: %s", at, h.Severity, h.Rule, h.Message)
	if h.Duration != "" && h.Duration != "instant" {
		fmt.Fprintf(w, " (%s)", h.Duration)
	}
	if h.Hint != "" && h.Severity != severityInfo {
		fmt.Fprintf(w, ". %s", h.Hint)
	}
	fmt.Fprintln(w)
}

// Text writes the plan for a person.
func (r *PlanResult) Text(w io.Writer) error {
	var b strings.Builder
	if !r.Offline {
		fmt.Fprintf(&b, "PostgreSQL %s, database %q, schema %q at %s\n", r.Database.ServerVersion, r.Database.Name, r.Database.Schema, hostPort(r.Database))
	}
	fmt.Fprintf(&b, "%s found in %s, %d pending\n", plural(r.Found, "migration", "migrations"), r.From, len(r.Pending))
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s%s\n", prefixed(warning.Migration), warning.Message)
	}
	if len(r.Tables) > 0 {
		b.WriteString("\nTables that they touch:\n")
		empty := 0
		for _, t := range r.Tables {
			if t.Rows == 0 && !t.Partitioned {
				empty++
				continue
			}
			fmt.Fprintf(&b, "  %-45s %18s %10s", t.Name, rowsText(t.Rows), bytesText(t.Bytes))
			if t.Partitioned {
				fmt.Fprintf(&b, "  %s", plural(t.Partitions, "partition", "partitions"))
			}
			b.WriteString("\n")
		}
		if empty > 0 {
			fmt.Fprintf(&b, "  %s\n", plural(empty, "empty one", "empty ones"))
		}
	}
	if len(r.Migrations) > 0 {
		b.WriteString("\nWould be applied, in this order:\n")
	}
	quiet := 0
	var errors, warnings []string
	for _, m := range r.Migrations {
		fmt.Fprintf(&b, "  %s  %s%s\n", m.Name, plural(m.Statements, "statement", "statements"), m.remarks())
		said := b.Len()
		for _, l := range m.Locks {
			if !l.New {
				fmt.Fprintf(&b, "      %s on %s\n", l.Level, l.Table)
			}
		}
		for _, h := range m.Hazards {
			if h.Severity == severityInfo && (h.New || h.Rule == "LOCK006") {
				continue // LOCK006 is for every one of them; the JSON has it
			}
			switch h.Severity {
			case severityError:
				errors = append(errors, h.Rule+" in "+m.Name)
			case severityWarning:
				warnings = append(warnings, h.Rule+" in "+m.Name)
			}
			b.WriteString("      ")
			WriteHazard(&b, h, false)
		}
		if b.Len() == said {
			quiet++
		}
	}
	if quiet > 0 {
		fmt.Fprintf(&b, "\n%d of %d touch nothing but tables that these migrations make: nobody waits for them.\n", quiet, len(r.Migrations))
	}
	for _, f := range []struct {
		one  string
		list []string
	}{{"error", errors}, {"warning", warnings}} {
		if len(f.list) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", plural(len(f.list), f.one, f.one+"s"), few(f.list))
		}
	}
	if len(r.Foreign) > 0 {
		fmt.Fprintf(&b, "\nLeft alone, no migration makes them: %s\n", few(r.Foreign))
	}
	if r.Holder != nil {
		fmt.Fprintf(&b, "\nA migration is under way: %s.\n", holderSentence(r.Holder))
	}
	for _, h := range r.Blockers {
		fmt.Fprintf(&b, "\nIn the way now: pid %d (%s, %s), its transaction is open for %s\n", h.PID, orNone(h.ApplicationName), h.State, time.Duration(h.SinceSeconds)*time.Second)
	}
	b.WriteString("\n")
	switch {
	case len(r.Refusals) > 0:
		for _, f := range r.Refusals {
			label := f.Rule
			if label == "" {
				label = f.Code
			}
			fmt.Fprintf(&b, "refused %s: %s\n", label, f.Message)
		}
		fmt.Fprintf(&b, "A deploy would refuse: %s.\n", plural(len(r.Refusals), "reason", "reasons"))
	case len(r.Pending) == 0:
		b.WriteString("No pending migrations to apply.\n")
	default:
		fmt.Fprintf(&b, "A deploy would apply %s.\n", plural(len(r.Pending), "migration", "migrations"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// remarks are what is not as usual: usual is one transaction that old pods do
// not notice.
func (m PlannedMigration) remarks() string {
	out := ""
	switch m.Mode {
	case Atomic:
	case Bare:
		out += ", outside of a transaction"
	case Native:
		out += ", with transactions of its own"
	default:
		out += ", " + string(m.Mode)
	}
	if m.Phase == "contract" {
		out += ", breaks pods of the release before"
	}
	return out
}

func prefixed(name string) string {
	if name == "" {
		return ""
	}
	return name + ": "
}
