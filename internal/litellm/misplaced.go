package litellm

import (
	_ "embed"
	"slices"
	"sync"
)

// Misplacement is a name that LiteLLM accepts where it has no effect.
type Misplacement struct {
	ID       string // M1 to M21: the same mistake in several forms has one id
	Section  string // where it was written
	Name     string
	Owner    string // the section where it is at home; "environment" for a variable
	Right    string // where to write it, in words
	Effect   string // what happens because of it, to follow "so"
	Severity string // error or warning
}

//go:embed data/misplaced.tsv
var misplacedTSV string

var misplaced = sync.OnceValue(func() map[keyID]Misplacement {
	m := map[keyID]Misplacement{}
	table("misplaced.tsv", misplacedTSV, func(r row) {
		e := Misplacement{
			ID: r.str("id"), Section: r.str("section"), Name: r.str("name"), Owner: r.str("owner"),
			Right: r.str("right"), Effect: r.str("effect"), Severity: r.str("severity"),
		}
		id := keyID{e.Section, e.Name}
		if _, dup := m[id]; dup {
			r.fail("%s.%s is listed twice", e.Section, e.Name)
		}
		m[id] = e
	})
	return m
})

// Misplaced tells whether a name has no effect in the section where it was
// found, and where it belongs. It knows the mistakes seen in the wild, and any
// other name of the three big sections and the root that is at home in exactly
// one of the others.
func Misplaced(section, name string) (Misplacement, bool) {
	if m, ok := misplaced()[keyID{section, name}]; ok {
		return m, true
	}
	if k, ok := LookupKey(section, name); ok && k.Status != Internal {
		return Misplacement{}, false
	}
	big := []string{SectionTop, SectionGeneral, SectionLiteLLM, SectionRouter}
	if !slices.Contains(big, section) {
		return Misplacement{}, false
	}
	owner, found := "", false
	for _, o := range keys().owners[name] {
		if !slices.Contains(big, o) {
			continue
		}
		if found {
			return Misplacement{}, false
		}
		owner, found = o, true
	}
	if !found {
		return Misplacement{}, false
	}
	m := Misplacement{Section: section, Name: name, Owner: owner, Right: owner, Effect: "it is ignored", Severity: "warning"}
	switch owner {
	case SectionTop:
		m.Right = "top level"
	case SectionGeneral:
		m.Severity = "error"
	}
	return m, true
}

// Misplacements returns every mistake of the table, sorted by id and name.
func Misplacements() []Misplacement {
	var list []Misplacement
	table("misplaced.tsv", misplacedTSV, func(r row) {
		m := misplaced()[keyID{r.str("section"), r.str("name")}]
		list = append(list, m)
	})
	return list
}
