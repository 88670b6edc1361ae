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
