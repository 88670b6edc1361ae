// Package lint is doctor: it reads gateway configs, environment files and
// Kubernetes manifests, runs the catalogue of package rule over them, and
// returns what it found, with positions.
//
// It reads the files it is told to read and nothing else; it opens no
// connection and prints nothing. What a rule knows is in package rule, how a
// result looks on paper in package report.
package lint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Options say what to check and how. The zero value checks the default inputs
// of the working directory with the production profile.
type Options struct {
	Paths      []string // files and directories; "-" is Stdin
	ConfigPath string   // a gateway config, whatever it looks like
	EnvFiles   []string
	Stdin      io.Reader
	StdinName  string // name for "-" in findings
	Dir        string // working directory; "" is the process's

	Flags rule.Flags // facts and what decides about rules

	Only, Skip      []string // ids, names or groups
	NoInlineIgnores bool
	// Unsafe lets Fix make the fixes that somebody may not want, too.
	Unsafe bool
	// NoSettings leaves .llmgw-doctor.yaml unread.
	NoSettings bool
	Now        time.Time // for dates in suppressions; zero is the present

	// Live looks at the running systems; nil leaves them alone. It gets what the
	// inputs say, which may be nothing.
	Live func(ctx context.Context, m *rule.Model) Sight

	// Documents are texts that stand for files, such as the objects of a
	// cluster; they are read beside the paths.
	Documents []Document

	// Chart renders a Helm chart, each template's text by its path; nil leaves
	// charts alone.
	Chart func(files fs.FS) (map[string]string, error)

	// Texts are files that the caller has read already, by path.
	Texts map[string][]byte
	// Environment, if set, is the process's own, known in full.
	Environment *config.Env

	overlay map[string][]byte // texts in place of files, for trying fixes out
}

// Document is a text that stands for a file.
type Document struct {
	Name string
	Data []byte
}

// Input is one file that was looked at.
type Input struct {
	Path   string `json:"path"`
	Kind   string `json:"kind"` // config, kubernetes, env, helm-values, compose, ...
	SHA256 string `json:"sha256,omitempty"`
	// Note says why the file, or a part of it, was not judged.
	Note string `json:"note,omitempty"`
}

// Suppressed is a finding that somebody accepted.
type Suppressed struct {
	rule.Hit
	Reason string
	By     finding.Position
	From   string // comment, annotation, config file
}

// Skipped is a rule that could not be judged.
type Skipped struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Sight is what a look at running systems brought.
type Sight struct {
	Hits    []rule.Hit
	Skipped []Skipped
	// What the database says about its connections; unset when unknown. It
	// counts where the flags say nothing.
	MaxConnections, SuperuserReserved, Reserved facts.Int
	// Missed says that a check of a system that is there could not run.
	Missed bool
}

// Problem is an input that could not be read. The others were checked.
type Problem struct {
	Path    string
	Message string
}

// Result is what a run found.
type Result struct {
	Profile    rule.Profile
	Target     facts.Target
	Inputs     []Input
	Findings   []rule.Hit
	Suppressed []Suppressed
	Skipped    []Skipped
	Problems   []Problem
	Notes      []string // what was left out, for the reader's eye
	FailOn     string   // from the settings file, "" when it does not say
	Model      *rule.Model
	Sources    map[string][]byte // text of the files, for carets
	Ran        []string          // ids of the rules that were judged or skipped

	Baseline  []rule.Hit // findings that the baseline knows
	Gone      []Known    // entries of the baseline that nothing matches any more
	Untouched int        // findings on lines that did not change
	Live      bool       // running systems were looked at
	Missed    bool       // one that is there could not be looked at in full
}

// ErrNothing says that no input holds anything to judge.
var ErrNothing = errors.New("nothing to lint")

// Run checks the inputs. An error means that nothing was judged; with
// [ErrNothing] the result still says what was seen and left out. Inputs that
// could not be read beside others that could are Problems of the result.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	selected, err := selection(o.Only, o.Skip)
	if err != nil {
		return nil, err
	}
	in := newReader(o)
	set, err := in.settings()
	if err != nil {
		return nil, err
	}
	set.apply(&o.Flags)
	if !o.NoSettings && o.Flags.Memory == nil {
		if o.Flags.Memory, err = in.state(); err != nil {
			return nil, err
		}
	}
	if o.Flags.Profile == "" {
		o.Flags.Profile = rule.Production
	}
	if err := in.read(ctx); err != nil {
		return nil, err
	}
	r := &Result{Profile: o.Flags.Profile, Inputs: in.inputs, Problems: in.problems, Notes: in.notes, Sources: in.sources, FailOn: set.failOn}
	if in.nothing() && (o.Live == nil || len(o.Documents) > 0 || len(o.Paths) > 0 || o.ConfigPath != "") {
		if len(in.problems) > 0 {
			return r, nil
		}
		return r, in.nothingError()
	}
	model := rule.NewModel(o.Flags, in.configs, in.envFiles, in.objects, in.workloads)
	hits := slices.Clone(in.hits)
	if o.Live != nil {
		seen := o.Live(ctx, model)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.Live, r.Missed = true, seen.Missed
		r.Skipped = append(r.Skipped, seen.Skipped...)
		hits = append(hits, seen.Hits...)
		if f := &o.Flags; seen.MaxConnections.IsSet() && !f.MaxConnections.IsSet() && !f.MaxDBConnections.IsSet() {
			f.MaxConnections = seen.MaxConnections
			if !f.DBReserve.IsSet() {
				f.SuperuserReserved, f.Reserved = f.SuperuserReserved.Or(seen.SuperuserReserved), f.Reserved.Or(seen.Reserved)
			}
			model = rule.NewModel(o.Flags, in.configs, in.envFiles, in.objects, in.workloads)
		}
	}
	r.Model = model
	r.Target = model.Units[0].Target

	ran := map[string]bool{}
	for _, known := range rule.All() {
		if !selected(known) || set.off(known.ID) || known.Live && o.Live == nil || known.OptIn && !set.named(known.ID) && !named(o.Only, known) {
			continue
		}
		ran[known.ID] = true
		r.Ran = append(r.Ran, known.ID)
		for _, u := range model.Units {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if known.Closed && !u.Env.Closed() && (u.Config != nil || u.Container != nil) {
				r.skip(known.ID, "the environment is not known in full")
			}
			if u.Workload != nil && !known.Reads(u.Workload.Form) {
				continue
			}
			found := known.Run(u)
			if extra := len(found) - mostHits; extra > 0 {
				r.Notes = append(r.Notes, fmt.Sprintf("%s: %d more findings in %s are left out", known.ID, extra, found[0].Pos.File))
				found = found[:mostHits]
			}
			hits = append(hits, found...)
		}
	}
	hits = append(hits, in.openEnvironment(model)...)
	for i := range hits {
		model.Repair(&hits[i])
	}
	hits = slices.DeleteFunc(hits, func(h rule.Hit) bool {
		known, ok := rule.Lookup(h.ID)
		return ok && (!selected(known) || set.off(known.ID))
	})
	hits = rule.Subsume(hits)
	for i := range hits {
		set.judge(&hits[i], o.Flags.Profile)
	}
	hits = slices.DeleteFunc(hits, func(h rule.Hit) bool { return h.ID == "" })
	hits = rule.Dedup(sorted(hits))
	r.suppress(hits, in.suppressions(set, o), ran, selected, set, o)
	r.Findings = sorted(r.Findings)
	for i := range r.Findings {
		r.template(&r.Findings[i])
	}
	return r, nil
}

// mostHits bounds what one rule says about one deployment.
const mostHits = 10_000

func (r *Result) skip(id, reason string) {
	if !slices.ContainsFunc(r.Skipped, func(s Skipped) bool { return s.ID == id }) {
		r.Skipped = append(r.Skipped, Skipped{id, reason})
	}
}

// sorted orders hits as finding.Sort orders findings.
func sorted(hits []rule.Hit) []rule.Hit {
	out := slices.Clone(hits)
	slices.SortStableFunc(out, func(a, b rule.Hit) int {
		return cmp.Or(
			cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col),
			cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Message, b.Message),
		)
	})
	return out
}

// suppress splits the hits into findings and suppressed ones, and reports
// suppressions that cannot or did not work.
func (r *Result) suppress(hits []rule.Hit, list []*suppression, ran map[string]bool, selected func(*rule.Rule) bool, set *settings, o Options) {
	var extra []rule.Hit
	live := list[:0:0]
	for _, s := range list {
		if s.problem == "" {
			s.problem = s.unknownRule()
		}
		if s.problem != "" {
			h := rule.HitOf("CFG016", s.pos, s.problem+"; it has no effect")
			extra = append(extra, h)
			continue
		}
		live = append(live, s)
	}
	inFile := map[string][]*suppression{}
	var anywhere []*suppression
	for _, s := range live {
		if s.glob == "" {
			inFile[s.file] = append(inFile[s.file], s)
		} else {
			anywhere = append(anywhere, s)
		}
	}
	for _, h := range hits {
		var by *suppression
		for _, s := range slices.Concat(inFile[h.Pos.File], anywhere) {
			if s.names(h.ID) && s.covers(h) && !s.expired(o.Now) && (!never[h.ID] || s.glob != "") {
				by = s
				s.used[h.ID] = true
				break
			}
		}
		if by == nil {
			r.Findings = append(r.Findings, h)
			continue
		}
		r.Suppressed = append(r.Suppressed, Suppressed{h, by.reason, by.pos, by.from})
	}
	for _, s := range live {
		for _, id := range s.ids {
			if s.used[id] || !ran[id] {
				continue
			}
			message := fmt.Sprintf("%s is ignored here, but has nothing to say", id)
			switch {
			case s.expired(o.Now):
				message = fmt.Sprintf("the exception for %s ended on %s", id, s.until.Format(time.DateOnly))
			case never[id] && s.glob == "":
				message = fmt.Sprintf("%s cannot be ignored by a %s", id, s.from)
			}
			h := rule.HitOf("CFG017", s.pos, message)
			if s.edit != nil && len(s.ids) == 1 {
				h.Edits = []finding.Edit{*s.edit}
			}
			extra = append(extra, h)
		}
	}
	for _, h := range extra {
		known, _ := rule.Lookup(h.ID)
		if !selected(known) || set.off(known.ID) {
			continue
		}
		set.judge(&h, o.Flags.Profile)
		if h.ID != "" {
			r.Findings = append(r.Findings, h)
		}
	}
}

func (s *suppression) unknownRule() string {
	for i, id := range s.ids {
		known, ok := rule.Lookup(id)
		if !ok {
			if near := rule.Nearest(id); near != "" {
				return fmt.Sprintf("there is no rule %s; did you mean %s?", id, near)
			}
			return fmt.Sprintf("there is no rule %s", id)
		}
		s.ids[i] = known.ID
	}
	return ""
}

// named reports whether a list names a rule itself, not its group.
func named(words []string, known *rule.Rule) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		r, ok := rule.Lookup(strings.TrimSpace(w))
		return ok && r == known
	})
}

// selection builds the filter of --only and --skip.
func selection(only, skip []string) (func(*rule.Rule) bool, error) {
	read := func(flag string, words []string) (map[string]bool, error) {
		out := map[string]bool{}
		for _, w := range words {
			if w = strings.TrimSpace(w); w == "" {
				continue
			}
			if slices.Contains(rule.Groups(), strings.ToUpper(w)) {
				out[strings.ToUpper(w)] = true
				continue
			}
			known, ok := rule.Lookup(w)
			if !ok {
				if near := rule.Nearest(w); near != "" {
					return nil, fmt.Errorf("%s %s: no such rule or group; did you mean %s?", flag, w, near)
				}
				return nil, fmt.Errorf("%s %s: no such rule or group; groups are %s", flag, w, strings.Join(rule.Groups(), ", "))
			}
			out[known.ID] = true
		}
		return out, nil
	}
	want, err := read("--only", only)
	if err != nil {
		return nil, err
	}
	drop, err := read("--skip", skip)
	if err != nil {
		return nil, err
	}
	return func(r *rule.Rule) bool {
		if len(want) > 0 && !want[r.ID] && !want[r.Group()] {
			return false
		}
		return !drop[r.ID] && !drop[r.Group()]
	}, nil
}

// Counts are the findings by severity.
func (r *Result) Counts() (errors, warnings, infos int) {
	for _, h := range r.Findings {
		switch h.Severity {
		case finding.Error:
			errors++
		case finding.Warning:
			warnings++
		default:
			infos++
		}
	}
	return errors, warnings, infos
}

// Fails reports whether a finding reaches the threshold: error, warning, info
// or never.
func (r *Result) Fails(threshold string) (bool, error) {
	if threshold == "never" {
		return false, nil
	}
	least, err := finding.ParseSeverity(threshold)
	if err != nil {
		return false, fmt.Errorf("--fail-on %q is not one of error, warning, info, never", threshold)
	}
	return slices.ContainsFunc(r.Findings, func(h rule.Hit) bool { return h.Severity >= least }), nil
}
