// Package rule is the catalogue of doctor: one registered value per rule, with
// its check, its explanation and its example pair, in one file per group.
//
// A check looks at one [Unit] (a gateway config with the workload that runs it)
// and returns hits. Checks are pure: they read no file, open no connection and
// do not depend on the order in which they run. Reading inputs, suppressing and
// reporting are the business of package lint.
package rule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

// Fix says how far `doctor --fix` may go with a rule.
type Fix string

const (
	// Manual fixes need a person.
	Manual Fix = "manual"
	// Safe fixes change nothing but what the finding names.
	Safe Fix = "safe"
	// Unsafe fixes may change behaviour that somebody relies on.
	Unsafe Fix = "unsafe"
)

// Hit is a finding with the numbers it was computed from.
type Hit struct {
	finding.Finding
	Props map[string]any
	// NoFix says that Detail holds what to do, so the rule's general advice
	// would only repeat it.
	NoFix bool
}

// Example is a small input on which a rule speaks, or does not.
type Example struct {
	Config   string            // config.yaml
	Env      string            // litellm.env
	Manifest string            // k8s.yaml
	Extra    map[string]string // further files
	Flags    Flags
	Show     string // what the rule's page shows instead of the files

	onBase   bool
	from, to string
	more     [][2]string
}

// Rule is one entry of the catalogue.
type Rule struct {
	ID       string
	Name     string
	Severity string // "error"; "error/warning" when the condition decides
	Priority int
	Fix      Fix
	Target   facts.Target // the only target it concerns; "" for both
	Title    string       // what a hit says, in one sentence
	When     string       // the condition
	Why      string       // what happens because of it
	Remedy   string       // what to do
	Source   []string     // where the knowledge comes from
	Bad      Example
	Good     Example
	// Also names rules that rightly speak on the bad example too, and why.
	Also map[string]string
	// Closed marks rules that prove an absence and are silent while an
	// environment source is unread.
	Closed bool
	// Engine marks rules whose check is part of reading the inputs.
	Engine bool
	// Live marks rules whose evidence is a running system; package live finds it.
	Live bool
	// OptIn marks rules that speak only when --only or the settings name them.
	OptIn bool
	// Off lists the profiles in which the rule does not run, Soft those in
	// which it is info; OnlyIn, when set, the profiles in which it runs at all.
	Off, Soft, OnlyIn []Profile
	Check             func(u *Unit) []Hit
}

// Group is the letters of the id: CFG, SEC, DB ...
func (r *Rule) Group() string { return groupOf(r.ID) }

func groupOf(id string) string { return id[:len(id)-3] }

// Highest is the severity the rule can reach.
func (r *Rule) Highest() finding.Severity {
	word, _, _ := strings.Cut(r.Severity, "/")
	s, err := finding.ParseSeverity(word)
	if err != nil {
		panic("rule " + r.ID + ": " + err.Error())
	}
	return s
}

// Profile is what the deployment is for.
type Profile string

// The profiles.
const (
	Production Profile = "production"
	Dev        Profile = "dev"
	VPC        Profile = "vpc"
)

// ParseProfile reads the words of --profile.
func ParseProfile(word string) (Profile, error) {
	switch p := Profile(word); p {
	case Production, Dev, VPC:
		return p, nil
	case "":
		return Production, nil
	}
	return "", fmt.Errorf("profile %q is not one of production, dev, vpc", word)
}

var (
	registry []*Rule
	byID     = map[string]*Rule{}
)

func register(rules ...*Rule) {
	for _, r := range rules {
		if byID[r.ID] != nil {
			panic("rule " + r.ID + " is registered twice")
		}
		_ = r.Highest()
		byID[r.ID] = r
		registry = append(registry, r)
	}
}

// groupOrder is the order of the catalogue.
var groupOrder = []string{"CFG", "SEC", "DB", "RDS", "RTE", "TMO", "LOG", "K8S", "MIG", "PRF", "RUN"}

// All returns the catalogue in order.
func All() []*Rule {
	out := slices.Clone(registry)
	slices.SortStableFunc(out, func(a, b *Rule) int {
		if x, y := slices.Index(groupOrder, a.Group()), slices.Index(groupOrder, b.Group()); x != y {
			return x - y
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Groups returns the group letters in order.
func Groups() []string { return slices.Clone(groupOrder) }

// Lookup finds a rule by id or name, in any case.
func Lookup(word string) (*Rule, bool) {
	if r := byID[strings.ToUpper(word)]; r != nil {
		return r, true
	}
	for _, r := range registry {
		if strings.EqualFold(r.Name, word) {
			return r, true
		}
	}
	return nil, false
}

// Nearest suggests an id or group for a word that is neither.
func Nearest(word string) string {
	best, at := "", 3
	for _, r := range registry {
		for _, cand := range []string{r.ID, r.Name} {
			if d := distance(strings.ToLower(word), strings.ToLower(cand)); d < at {
				best, at = cand, d
			}
		}
	}
	return best
}

// distance is the edit distance with transpositions.
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// subsumes lists, per rule, the rules that say less about the same place.
var subsumes = map[string][]string{
	"SEC002": {"SEC003", "SEC004", "SEC005", "SEC006", "CFG011"},
	"SEC008": {"SEC005", "SEC006", "CFG011"},
	"CFG011": {"SEC005", "SEC006"},
	"CFG008": {"SEC005"},
	"K8S008": {"K8S007"},
	"K8S015": {"K8S014"},
	"RTE002": {"RTE001", "RTE003"},
	"DB009":  {"DB010", "DB011"},
	"SEC031": {"CFG022"},
}

// Subsume drops hits that another hit at the same place says better.
func Subsume(hits []Hit) []Hit {
	type place struct {
		file string
		line int
		path string
	}
	at := func(h Hit) place { return place{h.Pos.File, h.Pos.Line, ""} }
	weaker := map[place]map[string]bool{}
	for _, h := range hits {
		for _, id := range subsumes[h.ID] {
			p := at(h)
			if weaker[p] == nil {
				weaker[p] = map[string]bool{}
			}
			weaker[p][id] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(hits), func(h Hit) bool { return weaker[at(h)][h.ID] })
}

// Dedup keeps one hit per rule, file and line. Several files may say the same:
// that is one hit each.
func Dedup(hits []Hit) []Hit {
	type key struct {
		id, file string
		line     int
		col      int
	}
	seen := map[key]bool{}
	var out []Hit
	for _, h := range hits {
		k := key{h.ID, h.Pos.File, h.Pos.Line, 0}
		if strings.HasPrefix(h.ID, "CFG") || h.ID == "SEC005" || h.ID == "SEC006" {
			// A flow mapping holds several entries on one line, each with its own
			// typo or secret.
			k.col = h.Pos.Col
		}
		if seen[k] {
			continue
		}
		seen[k] = true
		out = append(out, h)
	}
	return out
}

// HitOf is the hit of an engine rule.
func HitOf(id string, pos finding.Position, message string) Hit {
	r := byID[id]
	if r == nil {
		panic("no rule " + id)
	}
	return r.fill(Hit{Finding: finding.Finding{Pos: pos, Severity: r.Highest(), Message: message}})
}

// fill adds what every hit of a rule carries.
func (r *Rule) fill(h Hit) Hit {
	h.ID, h.Name = r.ID, r.Name
	if h.Message == "" {
		h.Message = r.Title
	}
	if h.Why == "" {
		h.Why = r.Why
	}
	if h.Fix == "" && !h.NoFix {
		h.Fix = r.Remedy
	}
	return h
}

// Run runs a rule on a unit.
func (r *Rule) Run(u *Unit) []Hit {
	if r.Check == nil || r.Target != "" && r.Target != u.Target {
		return nil
	}
	hits := r.Check(u)
	for i := range hits {
		hits[i] = r.fill(hits[i])
		r.fix(u, &hits[i])
	}
	return hits
}
