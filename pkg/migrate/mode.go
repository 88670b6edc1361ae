package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// Mode is how a file is run.
type Mode string

const (
	// Atomic: one transaction holds the script and the note that it is done.
	Atomic Mode = "atomic"
	// Bare: one statement that cannot run inside a transaction.
	Bare Mode = "bare"
	// Online: an index-only file, rewritten so that tables can be written to
	// meanwhile.
	Online Mode = "online"
	// Split: a file's statements one by one, because one of them cannot run
	// inside a transaction.
	Split Mode = "split"
	// Native: the file has its own BEGIN and COMMIT and is sent as it is.
	Native Mode = "native"
)

// script is a file's text with what the tokenizer found in it.
type script struct {
	sql        string // what is sent: the file without a byte order mark
	statements []statement
	mode       Mode
	refusal    *Error // the file cannot be run as it is
	split      bool   // it can be run statement by statement
}

// prepare chooses the mode of a migration.
func prepare(m Migration) script {
	s := script{sql: strings.TrimPrefix(m.SQL, "\ufeff"), mode: Atomic}
	s.statements = scan(s.sql)
	control, outside := false, []statement(nil)
	for _, st := range s.statements {
		control = control || isTransactionControl(st)
		if isNonTransactional(st, len(s.statements) == 1) {
			outside = append(outside, st)
		}
	}
	switch {
	case len(outside) > 0 && len(s.statements) > 1:
		what := outside[0].describe()
		s.refusal = &Error{
			Code: "P3018", Rule: "TXN001", SQLState: "25001", Migration: m.Name, kind: kindRefused,
			Line:    1 + strings.Count(s.sql[:outside[0].start], "\n"),
			Message: what + " cannot run inside a transaction block, and a file with several statements is one",
			Hint:    "give the statement a migration of its own, or run the file statement by statement with --split-concurrent: what ran before a failure is then kept",
		}
		s.split = !control
	case len(outside) == 1:
		s.mode = Bare
	case control:
		s.mode = Native
		if line, open := leavesOpen(s); open {
			s.refusal = &Error{
				Code: "P3018", Rule: "TXN002", SQLState: "25001", Migration: m.Name, kind: kindRefused, Line: line,
				Message: "the file begins a transaction and never ends it, so nothing of it would be kept",
				Hint:    "add COMMIT at the end, or drop BEGIN: a file is run in a transaction anyway",
			}
		}
	}
	return s
}

func isTransactionControl(st statement) bool {
	if len(st.tokens) == 0 || st.tokens[0].kind != tokenWord {
		return false
	}
	switch st.tokens[0].text {
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE":
		return true
	case "START":
		return st.starts("START", "TRANSACTION")
	case "PREPARE":
		return st.starts("PREPARE", "TRANSACTION")
	}
	return false
}

// leavesOpen follows BEGIN and COMMIT through the file.
func leavesOpen(s script) (line int, open bool) {
	for _, st := range s.statements {
		switch {
		case st.starts("BEGIN"), st.starts("START", "TRANSACTION"):
			if !open {
				line = 1 + strings.Count(s.sql[:st.start], "\n")
			}
			open = true
		case st.starts("COMMIT", "PREPARED"), st.starts("ROLLBACK", "PREPARED"):
		case st.starts("ROLLBACK", "TO"), st.starts("ROLLBACK", "WORK", "TO"), st.starts("ROLLBACK", "TRANSACTION", "TO"):
		case st.starts("COMMIT"), st.starts("END"), st.starts("ROLLBACK"), st.starts("ABORT"), st.starts("PREPARE", "TRANSACTION"):
			chain := false
			for i, t := range st.tokens {
				if t.text == "CHAIN" && (i == 0 || st.tokens[i-1].text != "NO") {
					chain = true
				}
			}
			open = chain
		}
	}
	return line, open
}

// isNonTransactional reports whether the statement refuses to run inside a
// transaction block. alone is true for the only statement of a file.
func isNonTransactional(st statement, alone bool) bool {
	if len(st.tokens) == 0 || st.tokens[0].kind != tokenWord {
		return false
	}
	second := ""
	if len(st.tokens) > 1 && st.tokens[1].kind == tokenWord {
		second = st.tokens[1].text
	}
	switch st.tokens[0].text {
	case "VACUUM":
		return true
	case "CREATE":
		switch second {
		case "INDEX":
			return st.starts("CREATE", "INDEX", "CONCURRENTLY")
		case "UNIQUE":
			return st.starts("CREATE", "UNIQUE", "INDEX", "CONCURRENTLY")
		}
		return slices.Contains([]string{"DATABASE", "TABLESPACE", "SUBSCRIPTION"}, second)
	case "DROP":
		return st.starts("DROP", "INDEX", "CONCURRENTLY") ||
			slices.Contains([]string{"DATABASE", "TABLESPACE", "SUBSCRIPTION"}, second)
	case "REINDEX":
		return st.has("CONCURRENTLY") || st.reindexes("SCHEMA", "DATABASE", "SYSTEM")
	case "ALTER":
		return second == "SYSTEM" || second == "TABLE" && st.has("DETACH") && st.has("CONCURRENTLY") ||
			second == "DATABASE" && st.has("TABLESPACE")
	case "CLUSTER":
		return len(st.tokens) == 1 || len(st.tokens) == 2 && second == "VERBOSE"
	case "CALL", "DO":
		// A procedure may commit by itself, but only outside of a transaction
		// block; a DO block shows whether it does.
		if !alone {
			return false
		}
		if st.tokens[0].text == "CALL" {
			return true
		}
		for _, inner := range scan(st.body) {
			for _, t := range inner.tokens {
				if t.kind == tokenWord && (t.text == "COMMIT" || t.text == "ROLLBACK") {
					return true
				}
			}
		}
	}
	return false
}

// reindexes reports what a REINDEX is about, its options aside.
func (st statement) reindexes(objects ...string) bool {
	depth := 0
	for _, t := range st.tokens[1:] {
		switch {
		case t.text == "(" && t.kind == tokenPunct:
			depth++
		case t.text == ")" && t.kind == tokenPunct:
			depth--
		case depth == 0:
			return t.kind == tokenWord && slices.Contains(objects, t.text)
		}
	}
	return false
}

// describe names a statement by its leading words.
func (st statement) describe() string {
	var words []string
	for _, t := range st.tokens {
		if t.kind != tokenWord || len(words) == 4 {
			break
		}
		words = append(words, t.text)
		if t.text == "CONCURRENTLY" || t.text == "VACUUM" || t.text == "SYSTEM" {
			break
		}
	}
	return strings.Join(words, " ")
}

// doing says what a file is about while it runs: its statement, if it has one.
// The server keeps back the answers to a file's statements, so of several it is
// not known which one runs.
func (s script) doing() string {
	if len(s.statements) != 1 {
		return ""
	}
	st := s.statements[0]
	out := st.describe()
	if x, ok := st.index(); ok {
		if x.name != "" {
			out += " " + x.name
		}
		return out + " ON " + x.table
	}
	for _, table := range st.altered() {
		return out + " " + table[1]
	}
	return out
}

// createdIndex is what a CREATE INDEX statement says about its index.
type createdIndex struct {
	name         string // "" when the server chooses it
	schema       string
	table        string
	tableSchema  string
	ifNotExists  bool
	concurrently bool
}

// index reads CREATE [UNIQUE] INDEX [CONCURRENTLY] [[IF NOT EXISTS] name] ON
// [ONLY] table.
func (st statement) index() (createdIndex, bool) {
	var x createdIndex
	i := 0
	next := func(words ...string) bool {
		if len(st.tokens)-i < len(words) {
			return false
		}
		for j, w := range words {
			if t := st.tokens[i+j]; t.kind != tokenWord || t.text != w {
				return false
			}
		}
		i += len(words)
		return true
	}
	if !next("CREATE") {
		return x, false
	}
	next("UNIQUE")
	if !next("INDEX") {
		return x, false
	}
	x.concurrently = next("CONCURRENTLY")
	x.ifNotExists = next("IF", "NOT", "EXISTS")
	if !next("ON") {
		x.schema, x.name = st.qualified(&i)
		if !next("ON") {
			return x, false
		}
	}
	next("ONLY")
	x.tableSchema, x.table = st.qualified(&i)
	return x, x.table != ""
}

// qualified reads [schema.]name and folds unquoted words as the server does.
func (st statement) qualified(i *int) (schema, name string) {
	one := func() string {
		if *i >= len(st.tokens) {
			return ""
		}
		t := st.tokens[*i]
		switch t.kind {
		case tokenWord:
			*i++
			return strings.ToLower(t.text)
		case tokenName:
			*i++
			return t.text
		}
		return ""
	}
	name = one()
	if *i < len(st.tokens) && st.tokens[*i].kind == tokenPunct && st.tokens[*i].text == "." {
		*i++
		schema, name = name, one()
	}
	return schema, name
}

func (m Mode) String() string { return string(m) }

var _ fmt.Stringer = Mode("")
