package render

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
)

// Derivation is one number of the result with the way it came about.
type Derivation struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Formula string `json:"formula"`
	// Origins name where each number of the formula was taken from.
	Origins []Source `json:"origins,omitempty"`
}

// Source is one number of a formula and its place.
type Source struct {
	Value    string `json:"value"`
	Origin   string `json:"origin"`
	Position string `json:"position,omitempty"`
	Default  bool   `json:"default,omitempty"`
}

// explanation collects derivations in the order of the result.
type explanation struct{ list []Derivation }

func (e *explanation) add(name, value, formula string, sources ...Source) {
	e.list = append(e.list, Derivation{Name: name, Value: value, Formula: formula, Origins: sources})
}

func sourceOf(value string, o facts.Origin) Source {
	s := Source{Value: value, Origin: o.Text, Default: o.Assumed}
	if !o.Pos.IsZero() {
		s.Position = o.Pos.String()
	}
	return s
}

func fromInt(n facts.Int) Source { return sourceOf(fmt.Sprint(n.Value), n.Origin) }

func fromSeconds(s facts.Seconds) Source {
	return sourceOf(strings.TrimSuffix(facts.Seconds{Value: s.Value}.String(), ")"), s.Origin)
}

// ExplainText writes the derivations as a table: name, value, formula, and
// below each the origin of its numbers.
func (r *Result) ExplainText(w io.Writer) error {
	width := 0
	for _, d := range r.Derivations {
		width = max(width, len(d.Name))
	}
	for _, d := range r.Derivations {
		if _, err := fmt.Fprintf(w, "%-*s  %s = %s\n", width, d.Name, d.Value, d.Formula); err != nil {
			return err
		}
		for _, s := range d.Origins {
			line := s.Value + " " + s.Origin
			if s.Position != "" {
				line += " at " + s.Position
			}
			if _, err := fmt.Fprintf(w, "%-*s    %s\n", width, "", line); err != nil {
				return err
			}
		}
	}
	return nil
}

// ExplainJSON writes the derivations as one JSON object.
func (r *Result) ExplainJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Schema  string       `json:"schema"`
		Target  facts.Target `json:"target"`
		Numbers []Derivation `json:"numbers"`
	}{"llmgw.render.explain/1", r.Target, r.Derivations})
}
