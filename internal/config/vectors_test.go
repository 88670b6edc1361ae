package config

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/finding"
)

// vector is one text and what PyYAML's safe_load made of it
// (testdata/pyyaml/vectors.py writes them).
type vector struct {
	Name  string
	YAML  string `json:"yaml"`
	Value json.RawMessage
	Error string
	Line  int
	Spans []*[2]int
}

func readVectors(t testing.TB) (scalars, documents []vector) {
	t.Helper()
	data, err := os.ReadFile("testdata/pyyaml/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Scalars, Documents []vector }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file.Scalars, file.Documents
}

// refused reports whether a finding says that LiteLLM's reader fails on the file.
func refused(findings []finding.Finding) bool {
	for _, f := range findings {
		if f.ID == "CFG019" && strings.Contains(f.Message, "LiteLLM's reader refuses") {
			return true
		}
	}
	return false
}

func pyValue(n *Node) any {
	switch n.Kind {
	case Null:
		return []any{"null", ""}
	case Bool:
		return []any{"bool", strconv.FormatBool(n.b)}
	case Int:
		if float64(n.i) != n.f {
			return []any{"bigint", ""}
		}
		return []any{"int", strconv.FormatInt(n.i, 10)}
	case Float:
		return []any{"float", n.f}
	case String:
		if n.Date {
			return []any{"date", ""}
		}
		return []any{"str", n.text}
	case List:
		items := []any{}
		for _, c := range n.children {
			items = append(items, pyValue(c))
		}
		return []any{"list", items}
	default:
		items := []any{}
		for _, c := range n.children {
			key := &Node{Kind: c.KeyKind, text: c.Key}
			if c.KeyKind != String {
				v := resolvePlain(c.Key)
				key.b, key.i, key.f = v.b, v.i, v.f
			} else if resolvePlain(c.Key).trap == trapDate {
				key.Date = true
			}
			items = append(items, []any{pyValue(key), pyValue(c)})
		}
		return []any{"map", items}
	}
}

// equal compares what we read with what PyYAML read. Where a tag makes PyYAML
// build bytes or sets, the text stays with us.
func equal(got any, want any) bool {
	g, w := got.([]any), want.([]any)
	if _, ok := g[0].([]any); ok || len(g) == 0 {
		return equalAll(g, w)
	}
	kind := w[0].(string)
	switch kind {
	case "bytes", "set":
		return true
	case "int":
		if g[0] == "bigint" {
			return len(w[1].(string)) > 18
		}
	case "float":
		if g[0] != "float" {
			return false
		}
		f, err := strconv.ParseFloat(w[1].(string), 64)
		gf := g[1].(float64)
		return err == nil && (f == gf || math.IsNaN(f) && math.IsNaN(gf))
	}
	if g[0] != kind {
		return false
	}
	if list, ok := w[1].([]any); ok {
		return equalAll(g[1].([]any), list)
	}
	return g[1] == w[1]
}

func equalAll(g, w []any) bool {
	if len(g) != len(w) {
		return false
	}
	for i := range g {
		gi, wi := g[i].([]any), w[i].([]any)
		if len(gi) == 2 && len(wi) == 2 {
			if _, pair := wi[0].([]any); pair {
				if !equal(gi[0], wi[0]) || !equal(gi[1], wi[1]) {
					return false
				}
				continue
			}
		}
		if !equal(gi, wi) {
			return false
		}
	}
	return true
}

func TestReadsWhatPyYAMLReads(t *testing.T) {
	scalars, documents := readVectors(t)
	if len(scalars) < 1500 || len(documents) < 90 {
		t.Fatalf("only %d scalars and %d documents", len(scalars), len(documents))
	}
	for _, v := range append(scalars, documents...) {
		docs, findings, err := ParseYAMLDocuments("f.yaml", []byte(v.YAML))
		if err == nil && len(docs) > 1 && !strings.Contains(v.Error, "another document") {
			t.Errorf("%s: %d documents", v.Name, len(docs))
			continue
		}
		if v.Error != "" {
			if err == nil && !refused(findings) && len(docs) < 2 {
				t.Errorf("%q (%s): accepted without a word; PyYAML says %q", v.YAML, v.Name, v.Error)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q (%s): refused: %v; PyYAML reads %s", v.YAML, v.Name, err, v.Value)
			continue
		}
		if refused(findings) {
			t.Errorf("%q (%s): said to be refused, PyYAML reads it: %v", v.YAML, v.Name, findings)
		}
		var want any
		if err := json.Unmarshal(v.Value, &want); err != nil {
			t.Fatal(err)
		}
		root := &Node{}
		if len(docs) == 1 {
			root = docs[0]
		}
		if strings.Contains(v.YAML, "!!omap") {
			continue // a list of pairs in Python; read as the list of mappings it is written as
		}
		if got := pyValue(root); !equal(got, want) {
			t.Errorf("%q (%s):\n got %v\nwant %v", v.YAML, v.Name, got, want)
		}
	}
}
