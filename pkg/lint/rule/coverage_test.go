package rule

import "testing"

// Every statement of the production page has a rule, and every name in the
// table is one.
func TestTheProductionPageIsCovered(t *testing.T) {
	for _, s := range Coverage() {
		if len(s.Rules) == 0 && !s.Live {
			t.Errorf("section %s, %q has no rule", s.Section, s.Says)
		}
		for _, id := range s.Rules {
			if _, ok := byID[id]; !ok {
				t.Errorf("section %s, %q names %s, which is no rule", s.Section, s.Says, id)
			}
		}
	}
}

// A rule that another one subsumes must exist.
func TestSubsumptionNamesRules(t *testing.T) {
	for id, weaker := range subsumes {
		for _, name := range append([]string{id}, weaker...) {
			if byID[name] == nil {
				t.Errorf("%s is no rule", name)
			}
		}
	}
}

func TestIDsAreGroupedAndFormed(t *testing.T) {
	for _, r := range All() {
		found := false
		for _, g := range Groups() {
			found = found || r.Group() == g
		}
		if !found || len(r.ID) < 5 || len(r.ID) > 6 {
			t.Errorf("%s is in no group", r.ID)
		}
	}
	if got := Nearest("SEC02"); got == "" {
		t.Error("no suggestion for SEC02")
	}
}

// What the catalogue asks for is registered under its name, priority and kind,
// or left out for a reason that is written down.
func TestTheCatalogueIsImplementedOrSaysWhyNot(t *testing.T) {
	asked := map[string]bool{}
	for _, e := range Catalogue() {
		asked[e.ID] = true
		r := byID[e.ID]
		switch {
		case r == nil && e.LeftOut == "":
			t.Errorf("%s %s (P%d) is not registered, and the catalogue says no reason", e.ID, e.Name, e.Priority)
		case r == nil && e.Priority < 3:
			t.Errorf("%s %s is P%d and cannot be left out", e.ID, e.Name, e.Priority)
		case r == nil:
		case e.LeftOut != "":
			t.Errorf("%s is registered, and the catalogue says that it is left out", e.ID)
		case r.Name != e.Name || r.Priority != e.Priority || r.Live != e.Live:
			t.Errorf("%s is %s, P%d, live %t; the catalogue says %s, P%d, live %t", e.ID, r.Name, r.Priority, r.Live, e.Name, e.Priority, e.Live)
		}
	}
	for _, r := range All() {
		if !asked[r.ID] {
			t.Errorf("%s is registered and not in the catalogue", r.ID)
		}
	}
}
