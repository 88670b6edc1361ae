package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/litellm"
)

// State is what the history says about one migration.
type State string

const (
	StateApplied    State = "applied"
	StatePending    State = "pending"
	StateFailed     State = "failed"
	StateRolledBack State = "rolled_back" // will run again
	StateEdited     State = "edited"      // applied, and the file is another one now
	StateMissing    State = "missing"     // applied, and there is no such folder
	StateBaselined  State = "baselined"   // recorded as applied without having run
)

// outlook is the set seen against the history.
type outlook struct {
	rows    []Row
	failed  []Row
	pending []Migration
	edited  []string
	missing []string
	// older are pending migrations whose names sort before applied ones.
	older []string
	// lastCommon is the last applied migration that the set has too.
	lastCommon string
}

func compare(set *Set, rows []Row) outlook {
	o := outlook{rows: rows}
	applied := map[string]Row{} // the row that counts: the last one not rolled back
	for _, r := range rows {
		if r.Failed() {
			o.failed = append(o.failed, r)
		}
		if r.RolledBack == nil {
			applied[r.Name] = r
		}
	}
	last := ""
	for _, m := range set.Migrations {
		r, ok := applied[m.Name]
		if !ok {
			o.pending = append(o.pending, m)
			continue
		}
		last = m.Name
		if m.Err == nil && r.Applied() && !m.same(r.Checksum) {
			o.edited = append(o.edited, m.Name)
		}
	}
	o.lastCommon = last
	if last != "" {
		at := slices.IndexFunc(set.Migrations, func(m Migration) bool { return m.Name == last })
		for i, m := range set.Migrations {
			if _, ok := applied[m.Name]; !ok && i < at {
				o.older = append(o.older, m.Name)
			}
		}
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if _, ok := set.find(r.Name); !ok && r.RolledBack == nil && !seen[r.Name] {
			seen[r.Name] = true
			o.missing = append(o.missing, r.Name)
		}
	}
	return o
}

// published reports a migration that LiteLLM has released: one of those it wrote
// itself in recovery has a name that looks the same.
func published(name string) bool {
	for _, m := range litellm.Migrations() {
		if m.Name == name {
			return true
		}
	}
	return false
}

// warnings are the differences that Prisma keeps silent about.
func (o outlook) warnings(set *Set) []Warning {
	var list []Warning
	for _, n := range set.Notes {
		list = append(list, Warning{Rule: "FILE001", Message: n})
	}
	for _, name := range o.edited {
		list = append(list, Warning{Migration: name, Message: "the file was changed after it was applied; the change is not in the database"})
	}
	var local []string
	for _, name := range o.missing {
		if strings.HasSuffix(name, "_baseline_diff") && !published(name) {
			local = append(local, name)
			continue
		}
		list = append(list, Warning{Migration: name, Message: "applied to the database, but not in " + set.From})
	}
	// LiteLLM's recovery may have left hundreds of them.
	const harmless = "written by LiteLLM's own recovery, harmless"
	switch len(local) {
	case 0:
	case 1:
		list = append(list, Warning{Migration: local[0], Message: fmt.Sprintf("applied to the database, but not in %s (%s)", set.From, harmless)})
	default:
		list = append(list, Warning{Message: fmt.Sprintf("%d migrations named *_baseline_diff are applied to the database, but not in %s (%s): %s", len(local), set.From, harmless, few(local))})
	}
	for _, name := range o.older {
		list = append(list, Warning{Migration: name, Message: "sorts before migrations that are applied already; it runs now, out of order"})
	}
	for _, m := range o.pending {
		if m.Err == nil && strings.HasPrefix(m.SQL, "\ufeff") {
			list = append(list, Warning{Rule: "FILE001", Migration: m.Name, Message: "the file begins with a byte order mark, which is not sent to the server; Prisma would fail on it"})
		}
		if m.Err == nil && !m.absent && len(scan(m.SQL)) == 0 {
			list = append(list, Warning{Rule: "FILE001", Migration: m.Name, Message: "the file holds no statement; it counts as applied without doing anything"})
		}
	}
	return list
}

func failedRows(rows []Row) *Error {
	e := &Error{
		Code: "P3009", kind: kindBlocked, Migration: rows[0].Name,
		Message: "migrate found failed migrations in the target database, new migrations will not be applied. " + readResolve,
	}
	for _, r := range rows {
		e.extra = append(e.extra, fmt.Sprintf("The `%s` migration started at %s failed", r.Name, r.Started.UTC().Format("2006-01-02 15:04:05.000 UTC")))
	}
	recoverable := true
	for _, r := range rows {
		mode, ours := r.ours()
		recoverable = recoverable && ours && mode == Atomic
	}
	if recoverable {
		e.Hint = "The server kept nothing of it: it ran in one transaction that was never committed. Once the cause is gone, deploy --retry-failed runs it again."
	}
	return e
}

// adopt lets our own set, when nobody asked for it, give way to LiteLLM's
// manifest on a database that LiteLLM has migrated.
func (p *Provider) adopt(rows []Row) {
	if !p.o.Auto || p.set.Name != "llmgw" {
		return
	}
	for _, r := range rows {
		if _, known := litellm.LookupMigration(r.Name); known && r.RolledBack == nil {
			p.set = Manifest()
			return
		}
	}
}

// checkOwner keeps the two kinds of sets off each other's databases: their
// histories do not mix.
func checkOwner(set *Set, rows []Row) *Error {
	var ours, others []string
	for _, r := range rows {
		if r.RolledBack != nil {
			continue
		}
		if strings.HasPrefix(r.Name, ownPrefix) {
			ours = append(ours, r.Name)
		} else {
			others = append(others, r.Name)
		}
	}
	if set.Name == "llmgw" && len(others) > 0 {
		return needFiles(others[len(others)-1])
	}
	if set.Name == "llmgw" || len(ours) == 0 {
		return nil
	}
	for _, m := range set.Migrations {
		if slices.Contains(others, m.Name) || slices.Contains(ours, m.Name) {
			return nil // somebody has brought the two together knowingly
		}
	}
	return &Error{
		Code: "LM0005", kind: kindUsage,
		Message: fmt.Sprintf("the database was made with llmgw's own migrations (%s), and %s would create its tables a second time", ours[len(ours)-1], set.From),
		Hint:    "Use --set llmgw, or another database.",
	}
}

// needFiles is the answer to a LiteLLM database without LiteLLM's files.
func needFiles(last string) *Error {
	return &Error{
		Code: "LM0007", kind: kindUsage,
		Message: fmt.Sprintf("the database has LiteLLM's migration history (last: %s), and LiteLLM's migration files are not at hand", last),
		Hint:    filesHint,
	}
}

// needFilesFor is the answer when the manifest says that something is pending.
func needFilesFor(pending []string) *Error {
	return &Error{
		Code: "LM0007", kind: kindUsage,
		Message: fmt.Sprintf("%s of LiteLLM %s pending (%s), and LiteLLM's migration files are not at hand", plural(len(pending), "migration", "migrations"), litellm.Compat, few(pending)),
		Hint:    filesHint,
	}
}

const filesHint = "They are in the Python package litellm-proxy-extras of your LiteLLM release: pip download --no-deps litellm-proxy-extras, then " +
	"--migrations-from litellm_proxy_extras-….whl; or --migrations-dir with its migrations folder."
