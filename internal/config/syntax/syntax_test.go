package syntax

import (
	"errors"
	"strings"
	"testing"
)

// spans lists the source text of every node, in document order.
func spans(text string, n *Node) []string {
	list := []string{text[n.Start:n.End]}
	for _, c := range n.Content {
		list = append(list, spans(text, c)...)
	}
	return list
}

func TestCollectionsSpanFromTheirFirstToTheirLastByte(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		want       []string
	}{
		{"a flow mapping with blanks", "a: { b: 1 , c }  # x\n", []string{"a: { b: 1 , c }", "a", "{ b: 1 , c }", "b", "1", "c", ""}},
		{"a flow list over lines", "a: [\n  b,\n  c ]\nd: e\n", []string{"a: [\n  b,\n  c ]\nd: e", "a", "[\n  b,\n  c ]", "b", "c", "d", "e"}},
		{"a block list", "a:\n  - b\n  -   c # x\n\nd: e\n", []string{"a:\n  - b\n  -   c # x\n\nd: e", "a", "- b\n  -   c", "b", "c", "d", "e"}},
		{"a list at the indentation of its key", "a:\n- b\n- c\n", []string{"a:\n- b\n- c", "a", "- b\n- c", "b", "c"}},
		{"a mapping in a list", "- a: 1\n  b: 2\n- c\n", []string{"- a: 1\n  b: 2\n- c", "a: 1\n  b: 2", "a", "1", "b", "2", "c"}},
		{"a block text", "a: |\n  b\n  c\n\nd: e\n", []string{"a: |\n  b\n  c\n\nd: e", "a", "|\n  b\n  c", "d", "e"}},
		{"an empty block text", "a: |- # x\nb: c\n", []string{"a: |- # x\nb: c", "a", "|-", "b", "c"}},
		{"a value that is not written", "a:   \nb: ''\n", []string{"a:   \nb: ''", "a", "", "b", "''"}},
		{"a pair in a list", "[a: b, c]\n", []string{"[a: b, c]", "a: b", "a", "b", "c"}},
		{"an alias", "- &x a\n- *x\n", []string{"- &x a\n- *x", "a", "*x"}},
		{"a text over lines", "a: b\n  c\n\n  d # x\n", []string{"a: b\n  c\n\n  d", "a", "b\n  c\n\n  d"}},
		{"quotes over lines", "a: 'b\n\n  c''d' # x\n", []string{"a: 'b\n\n  c''d'", "a", "'b\n\n  c''d'"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			docs, _, err := Parse([]byte(c.yaml), Limits{})
			if err != nil || len(docs) != 1 {
				t.Fatal(err, len(docs))
			}
			got := spans(c.yaml, docs[0].Root)
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestPropertiesStandBeforeTheContent(t *testing.T) {
	const text = "a: !!str &x\n  b\n"
	docs, _, err := Parse([]byte(text), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	n := docs[0].Root.Content[1]
	if n.Tag != "!!str" || n.Anchor != "x" || text[n.Props:n.End] != "!!str &x\n  b" || text[n.Start:n.End] != "b" {
		t.Errorf("%+v", n)
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		yaml   string
		limits Limits
		want   string
	}{
		{"bytes", "a: 12345", Limits{Bytes: 7}, "larger than 7 bytes"},
		{"depth", "[[[a]]]", Limits{Depth: 3}, "deeper than 3 levels"},
		{"nodes", "[a, b, c]", Limits{Nodes: 3}, "more than 3 values"},
	} {
		_, _, err := Parse([]byte(c.yaml), c.limits)
		var e *Error
		if !errors.As(err, &e) || e.Code != TooLarge || !strings.Contains(e.Problem, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, _, err := Parse([]byte(c.yaml), Limits{}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDocumentsKnowWhereTheyBegin(t *testing.T) {
	docs, _, err := Parse([]byte("# c\na: 1\n--- # x\nb: 2\n...\n---\n"), Limits{})
	if err != nil || len(docs) != 3 {
		t.Fatal(err, len(docs))
	}
	for i, want := range []int{4, 9, 26} {
		if docs[i].Start != want {
			t.Errorf("document %d begins at %d, want %d", i, docs[i].Start, want)
		}
	}
	if last := docs[2].Root; last.Kind != Scalar || last.Value != "" || last.Style != Plain {
		t.Errorf("%+v", last)
	}
}
