package finding

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSeveritiesAreTheirWords(t *testing.T) {
	for severity, word := range map[Severity]string{Info: "info", Warning: "warning", Error: "error"} {
		if got := severity.String(); got != word {
			t.Errorf("%d prints as %q, want %q", severity, got, word)
		}
		if got, err := ParseSeverity(word); err != nil || got != severity {
			t.Errorf("ParseSeverity(%q) = %v, %v", word, got, err)
		}
		b, err := json.Marshal(severity)
		if err != nil || string(b) != `"`+word+`"` {
			t.Errorf("%v in JSON is %s, %v", severity, b, err)
		}
		var back Severity
		if err := json.Unmarshal(b, &back); err != nil || back != severity {
			t.Errorf("%s read back is %v, %v", b, back, err)
		}
	}
	for _, text := range []string{`"fatal"`, `"Error"`, `2`, `null2`, `""`} {
		var s Severity
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s was read as %v", text, s)
		}
	}
}

func TestAPositionPrintsWhatItKnows(t *testing.T) {
	for _, c := range []struct {
		name string
		pos  Position
		want string
		zero bool
	}{
		{"nothing", Position{}, "", true},
		{"a file", Position{File: "<env>"}, "<env>", false},
		{"a line", Position{File: "a.yaml", Line: 3}, "a.yaml:3", false},
		{"a column", Position{File: "a.yaml", Line: 3, Col: 7, Offset: 40, End: 44}, "a.yaml:3:7", false},
		{"standard input", Position{File: "-", Line: 1, Col: 1}, "-:1:1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.pos.String(); got != c.want || c.pos.IsZero() != c.zero {
				t.Errorf("%q, zero %t; want %q, %t", got, c.pos.IsZero(), c.want, c.zero)
			}
		})
	}
}

func TestTheOrderDoesNotDependOnTheOrderOfFinding(t *testing.T) {
	at := func(file string, line, col int) Position { return Position{File: file, Line: line, Col: col} }
	want := []Finding{
		{ID: "B", Pos: at("a", 1, 1), Severity: Info},
		{ID: "A", Pos: at("a", 1, 9), Severity: Error},
		{ID: "A", Pos: at("a", 2, 1), Severity: Error},
		{ID: "C", Pos: at("a", 2, 1), Severity: Error},
		{ID: "A", Pos: at("a", 2, 1), Severity: Warning, Message: "one"},
		{ID: "A", Pos: at("a", 2, 1), Severity: Warning, Message: "two"},
		{ID: "A", Pos: at("a", 10, 1), Severity: Info},
		{ID: "A", Pos: at("b", 1, 1), Severity: Error},
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		got := slices.Clone(want)
		r.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
	if e, w, i := Count(want); e != 4 || w != 2 || i != 2 {
		t.Errorf("counted %d errors, %d warnings, %d infos", e, w, i)
	}
}

func TestAFindingInJSONLeavesOutWhatIsNotKnown(t *testing.T) {
	b, err := json.Marshal(Finding{ID: "DB001", Severity: Error, Pos: Position{File: "a.yaml", Line: 2, Col: 3, Offset: 9, End: 12}, Message: "m"})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"id":"DB001","severity":"error","position":{"file":"a.yaml","line":2,"col":3},"message":"m"}`; string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}
