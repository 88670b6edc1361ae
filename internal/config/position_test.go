package config

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/llmgw/llmgw/internal/config/syntax"
	"github.com/llmgw/llmgw/internal/finding"
)

func TestEveryScalarSpansTheBytesPyYAMLSays(t *testing.T) {
	scalars, documents := readVectors(t)
	compared := 0
	for _, v := range append(scalars, documents...) {
		if v.Spans == nil {
			continue
		}
		docs, _, err := syntax.Parse([]byte(v.YAML), syntax.Limits{})
		if err != nil {
			t.Errorf("%q: %v", v.YAML, err)
			continue
		}
		var got []*syntax.Node
		var walk func(*syntax.Node)
		walk = func(n *syntax.Node) {
			if n.Kind == syntax.Scalar {
				got = append(got, n)
			}
			for _, c := range n.Content {
				walk(c)
			}
		}
		for _, d := range docs {
			walk(d.Root)
		}
		if len(got) != len(v.Spans) {
			t.Errorf("%q: %d scalars, PyYAML has %d", v.YAML, len(got), len(v.Spans))
			continue
		}
		for i, want := range v.Spans {
			n := got[i]
			if want == nil { // PyYAML gives the position of the anchor or tag
				continue
			}
			compared++
			if n.Start == n.End && want[0] == want[1] && n.Start < want[0] && strings.Contains(v.YAML, "?") {
				continue // a key without a colon: ours stands behind the key, PyYAML's at the next token
			}
			if n.Start != want[0] || want[1] >= 0 && n.End != want[1] {
				t.Errorf("%q: scalar %q spans %d:%d, PyYAML says %v", v.YAML, n.Value, n.Start, n.End, *want)
			}
		}
	}
	if compared < 2000 {
		t.Errorf("only %d spans compared", compared)
	}
}

func TestPositionsCountLinesAndCharactersAsEditorsDo(t *testing.T) {
	for _, c := range []struct{ name, yaml, path, key, value string }{
		{"after an umlaut", "größe: {ö: ä}\n", "größe.ö", "1:9", "1:12"},
		{"after an emoji", "😀: [😀, b]\n", "😀[1]", "", "1:8"},
		{"behind a byte order mark", "\ufeffa: b\n", "a", "1:1", "1:4"},
		{"with CRLF line ends", "a: 1\r\nb:\r\n  c: d\r\n", "b.c", "3:3", "3:6"},
		{"with a quoted key", "\"a b\": 'c'\n", `["a b"]`, "1:1", "1:8"},
		{"of an anchored value", "a: &x !!str b\n", "a", "1:1", "1:13"},
		{"of a key with an anchor", "&k a: b\n", "a", "1:4", "1:7"},
		{"of a value that is not there", "a:\nb: 1\n", "a", "1:1", "1:3"},
		{"of a list item", "a:\n- b\n-   c\n", "a[1]", "", "3:5"},
		{"of an alias", "a: &x {b: 1}\nc: *x\n", "c.b", "2:4", "2:4"},
		{"of a merged key", "a: &x {b: 1}\nc:\n  <<: *x\n", "c.b", "3:3", "3:7"},
		{"of a second document line", "---\na: 1\n", "a", "2:1", "2:4"},
		{"of a literal", "a: |\n  x\n", "a", "1:1", "1:4"},
		{"after tabs in a flow list", "a: [b,\tc]\n", "a[1]", "", "1:8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, _, err := ParseYAML("f", []byte(c.yaml))
			if err != nil {
				t.Fatal(err)
			}
			n := root.Lookup(c.path)
			if n == nil {
				t.Fatalf("no %s", c.path)
			}
			if got := n.Path(); got != c.path {
				t.Errorf("path %s, want %s", got, c.path)
			}
			at := func(p finding.Position) string { return strings.TrimPrefix(p.String(), "f:") }
			if c.key != "" && at(n.KeyPos) != c.key {
				t.Errorf("key at %s, want %s", at(n.KeyPos), c.key)
			}
			if at(n.Pos) != c.value {
				t.Errorf("value at %s, want %s", at(n.Pos), c.value)
			}
		})
	}
}

func TestColumnsOfAHugeLineAreExact(t *testing.T) {
	line := strings.Repeat("äb", 50_000)
	data := []byte("x\n" + line)
	x := newLineIndex("f", data)
	for _, offset := range []int{2, 4, 5, 1025, 3000, 77_777 - 1, len(data) - 1, len(data)} {
		for offset < len(data) && !utf8.RuneStart(data[offset]) {
			offset++
		}
		want := utf8.RuneCount(data[2:offset]) + 1
		if p := x.pos(offset, offset); p.Line != 2 || p.Col != want {
			t.Errorf("offset %d: %d:%d, want 2:%d", offset, p.Line, p.Col, want)
		}
	}
}

// source draws a document in which values of all styles stand in all places.
func source(t *rapid.T) string {
	eol := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "eol")
	var b strings.Builder
	if rapid.Bool().Draw(t, "bom") {
		b.WriteString("\ufeff")
	}
	plain := rapid.SampledFrom([]string{"1", "x", "true", "a b", "ä", "os.environ/K", "1.5", "2024-01-01", "http://h:1/p?q#f", "~"})
	flow := rapid.SampledFrom([]string{"'it''s'", `"q\n"`, "[1, 'b' ,{c: d}]", "{a: 1, 'ü': [x]}", "[]", "{}", "{a}", "&n v", "!!str 5", "''", "*base"})
	key := rapid.SampledFrom([]string{"k", "'q k'", `"d"`, "ö", "&a k", "a b", "k "})
	comment := rapid.SampledFrom([]string{"", "", " # c", "   "})
	b.WriteString("base: &base {z: 1}" + eol)
	n := 0
	var block func(depth int)
	block = func(depth int) {
		indent := strings.Repeat("  ", depth)
		for range rapid.IntRange(1, 4).Draw(t, "entries") {
			n++
			k := key.Draw(t, "key")
			// Keys differ by a number, so that none shadows another.
			k = strings.Replace(strings.Replace(k, "k", fmt.Sprintf("k%d", n), 1), "ö", fmt.Sprintf("ö%d", n), 1)
			k = strings.Replace(strings.Replace(k, `"d"`, fmt.Sprintf(`"d%d"`, n), 1), "a b", fmt.Sprintf("a b%d", n), 1)
			k = strings.Replace(k, "&a", fmt.Sprintf("&a%d", n), 1)
			b.WriteString(indent + k + ":")
			switch kind := rapid.IntRange(0, 7).Draw(t, "kind"); {
			case kind < 2:
				b.WriteString(" " + plain.Draw(t, "plain"))
			case kind < 4:
				b.WriteString("  " + strings.ReplaceAll(flow.Draw(t, "flow"), "&n", fmt.Sprintf("&n%d", n)))
			case kind == 4:
				b.WriteString(" |" + rapid.SampledFrom([]string{"", "-", "+"}).Draw(t, "chomp") + eol + indent + "   line one" + eol + indent + "   # two")
				b.WriteString(eol)
				continue
			case kind == 5: // empty
			case depth < 3 && kind == 6:
				b.WriteString(comment.Draw(t, "comment") + eol)
				block(depth + 1)
				continue
			default:
				b.WriteString(eol)
				for range rapid.IntRange(1, 3).Draw(t, "items") {
					b.WriteString(indent + "  - " + plain.Draw(t, "item") + eol)
				}
				continue
			}
			b.WriteString(comment.Draw(t, "comment") + eol)
		}
	}
	block(0)
	return b.String()
}

// TestReplacingAnyValueBySpliceChangesThatValueOnly is the property that fixes
// and rewrites stand on: for every node that is written in the file, replacing
// the bytes of its span gives a file in which that node has the new value and
// every other one its old.
func TestReplacingAnyValueBySpliceChangesThatValueOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := source(t)
		root, findings, err := ParseYAML("f", []byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for _, f := range findings {
			if f.ID == "CFG002" {
				t.Fatalf("%q: %v", text, f)
			}
		}
		var nodes []*Node
		for n := range root.Walk() {
			if n.Anchored.IsZero() && n.parent != nil && n.Key != "base" && n.parent.Key != "base" {
				nodes = append(nodes, n)
			}
		}
		if len(nodes) == 0 {
			return
		}
		n := nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "node")]
		edit, ok := n.Replace(`"NEW"`)
		if !ok {
			t.Fatalf("%s of %q cannot be replaced", n.Path(), text)
		}
		edited, err := Splice([]byte(text), []finding.Edit{edit})
		if err != nil {
			t.Fatalf("editing %s of %q: %v", n.Path(), text, err)
		}
		after, _, err := ParseYAML("f", edited)
		if err != nil {
			t.Fatalf("after the edit of %s in %q:\n%q: %v", n.Path(), text, edited, err)
		}
		if got, _ := after.Lookup(n.Path()).Str(); got != "NEW" {
			t.Fatalf("edit of %s in %q gave %q: value %q", n.Path(), text, edited, got)
		}
		n.Kind, n.text, n.children, n.byKey, n.Date = String, "NEW", nil, nil, false
		if a, b := fmt.Sprint(pyValue(root)), fmt.Sprint(pyValue(after)); a != b {
			t.Fatalf("edit of %s in %q changed more than that:\n%s\n%s", n.Path(), text, a, b)
		}
	})
}

// TestRenamingAnyKeyBySpliceChangesThatKeyOnly is the same for keys.
func TestRenamingAnyKeyBySpliceChangesThatKeyOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := source(t)
		root, _, err := ParseYAML("f", []byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var nodes []*Node
		for n := range root.Walk() {
			if n.Anchored.IsZero() && n.Key != "" && n.Key != "base" && n.parent.Key != "base" {
				nodes = append(nodes, n)
			}
		}
		if len(nodes) == 0 {
			return
		}
		n := nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "node")]
		edited, err := Splice([]byte(text), []finding.Edit{{Offset: n.KeyPos.Offset, End: n.KeyPos.End, Text: "renamed"}})
		if err != nil {
			t.Fatal(err)
		}
		after, _, err := ParseYAML("f", edited)
		if err != nil {
			t.Fatalf("after renaming %s in %q:\n%q: %v", n.Path(), text, edited, err)
		}
		n.Key, n.KeyKind = "renamed", String
		if a, b := fmt.Sprint(pyValue(root)), fmt.Sprint(pyValue(after)); a != b {
			t.Fatalf("renaming in %q changed more than that:\n%s\n%s", text, a, b)
		}
	})
}

func TestSpliceRefusesEditsThatOverlap(t *testing.T) {
	for _, edits := range [][]finding.Edit{
		{{Offset: 0, End: 3}, {Offset: 2, End: 4}},
		{{Offset: 3, End: 2}},
		{{Offset: 0, End: 11}},
		{{Offset: -1, End: 0}},
	} {
		if _, err := Splice([]byte("0123456789"), edits); err == nil {
			t.Errorf("%v: accepted", edits)
		}
	}
	got, err := Splice([]byte("0123456789"), []finding.Edit{{Offset: 5, End: 5, Text: "b"}, {Offset: 0, End: 2, Text: "a"}, {Offset: 5, End: 6, Text: "c"}})
	if err != nil || !bytes.Equal(got, []byte("a234bc6789")) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAliasesThatGrowOrLoopAreRefused(t *testing.T) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), i-1)
	}
	tower := "a0: &a0 x\n"
	for i := 1; i < 2000; i++ {
		tower += fmt.Sprintf("a%d: &a%d [*a%d]\n", i, i, i-1)
	}
	for _, c := range []struct{ name, yaml, want string }{
		{"a billion laughs", bomb, "repeat more than"},
		{"a tower of aliases", tower, "nest deeper"},
		{"a list in itself", "a: &a [*a]\n", "contains itself"},
		{"a mapping in itself", "a: &a {b: {c: *a}}\n", "contains itself"},
		{"a merge of itself", "a: &a {<<: *a}\n", "contains itself"},
		{"a merge of a list around it", "a: &a [{<<: *a}]\n", "contains itself"},
		{"brackets without end", strings.Repeat("[", 100_000), "nested deeper"},
		{"dashes without end", strings.Repeat("- ", 100_000), "nested deeper"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, findings, err := ParseYAML("f", []byte(c.yaml))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v", err)
			}
			if len(findings) == 0 {
				t.Error("no finding")
			}
		})
	}
}
