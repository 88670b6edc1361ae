package migrate

import (
	"fmt"
	"strings"
)

// kind sorts errors by what the caller should do, which is what exit codes
// are made of.
type kind int

const (
	kindFailed      kind = iota // the work was begun or looked at, and the answer is bad
	kindUsage                   // the command or its configuration is wrong
	kindUnreachable             // the database cannot be reached or lets nobody in
	kindLocked                  // somebody else migrates
	kindRefused                 // a guard said no before anything ran
	kindUnmanaged               // tables, but no history
	kindBlocked                 // a failed row stands in the way
	kindCancelled               // a signal or a deadline
	kindPending                 // status: something is to be applied
	kindDrift                   // diff: the schema is another one
	kindDiverged                // status: both sides have what the other lacks
)

// Error is what went wrong with a migration, with the code that Prisma has for
// it (P1001, P3009) or one of our own (LM0002). Message begins in lower case
// unless it is a text that other programs look for.
type Error struct {
	Code      string
	Rule      string // of the guard that refused: TXN001
	SQLState  string
	Migration string
	Line      int // of the migration's file, 0 if unknown
	Message   string
	Hint      string
	// Cause is the signal or limit that ended the run, for LM1430.
	Cause string

	kind  kind
	extra []string // further lines of Prisma's text
	err   error
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Code != "" {
		b.WriteString(e.Code)
		if e.Rule != "" {
			b.WriteString(" (" + e.Rule + ")")
		}
		b.WriteString(": ")
	}
	if e.Code == "P3018" {
		b.WriteString(e.failedText())
	} else {
		b.WriteString(e.Message)
		for _, line := range e.extra {
			b.WriteString("\n" + line)
		}
	}
	if e.Hint != "" {
		b.WriteString("\n" + e.Hint)
	}
	return b.String()
}

// failedText is P3018 as the tools that read it expect it: they look for
// "Migration name:" and "Database error code:".
func (e *Error) failedText() string {
	var b strings.Builder
	b.WriteString("A migration failed to apply. New migrations cannot be applied before the error is recovered from.\n\n")
	fmt.Fprintf(&b, "Migration name: %s\n\n", e.Migration)
	if e.SQLState != "" {
		fmt.Fprintf(&b, "Database error code: %s\n\n", e.SQLState)
	}
	b.WriteString("Database error:\nERROR: " + e.Message)
	for _, line := range e.extra {
		b.WriteString("\n" + line)
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "\nAt: %s/migration.sql:%d", e.Migration, e.Line)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.err }

// The questions that exit codes are made of.

// Usage reports a mistake in the command, its input or the URL.
func (e *Error) Usage() bool { return e.kind == kindUsage }

// Unreachable reports that the database could not be reached or let nobody in.
func (e *Error) Unreachable() bool { return e.kind == kindUnreachable }

// Locked reports that the advisory lock was not to be had in time.
func (e *Error) Locked() bool { return e.kind == kindLocked }

// Refused reports that a guard refused before anything was run.
func (e *Error) Refused() bool { return e.kind == kindRefused }

// Unmanaged reports tables without a history.
func (e *Error) Unmanaged() bool { return e.kind == kindUnmanaged }

// FailedRow reports a failed migration: an earlier one that stands in the way,
// or one that failed just now.
func (e *Error) FailedRow() bool {
	return e.kind == kindBlocked || e.kind == kindFailed && e.Code == "P3018"
}

// Pending is status' verdict that something is to be applied.
func (e *Error) Pending() bool { return e.kind == kindPending }

// Diverged is status' verdict that database and folder each have migrations
// that the other lacks.
func (e *Error) Diverged() bool { return e.kind == kindDiverged }

// Drift is diff's verdict that the schema is not what the migrations make.
func (e *Error) Drift() bool { return e.kind == kindDrift }

// Cancelled reports that a signal or a deadline ended the run.
func (e *Error) Cancelled() bool { return e.kind == kindCancelled }

const (
	readResolve  = "Read more about how to resolve migration issues in a production database: https://pris.ly/d/migrate-resolve"
	readBaseline = "Read more about how to baseline an existing production database: https://pris.ly/d/migrate-baseline"
)

// PrismaText is the error as Prisma prints it, without its "Error:" line.
func (e *Error) PrismaText() string {
	switch e.Code {
	case "P1003":
		before, _, _ := strings.Cut(e.Message, " on the server at ")
		return before
	case "P3018":
		text := e.failedText()
		return strings.Replace(text, "recovered from.\n", "recovered from. "+readResolve+"\n", 1)
	}
	return strings.Join(append([]string{e.Message}, e.extra...), "\n")
}
