package config

import (
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

func TestQuotedTextsReadBackAsTheyWere(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, text string) {
		quoted := Quote(text)
		for _, source := range []string{"k: " + quoted + "\n", "- " + quoted + "\n", "[" + quoted + ", x]\n", "{k: " + quoted + "}\n", quoted + ": v\n"} {
			root, findings, err := ParseYAML("f", []byte(source))
			if err != nil || len(findings) > 0 {
				t.Errorf("%q written as %s: %v %v", text, source, err, findings)
				continue
			}
			n := root.At(0)
			if got, ok := n.Str(); (!ok || got != text) && n.Key != text {
				t.Errorf("%q written as %s reads back as %q", text, source, got)
			}
		}
		// And so do readers of YAML 1.2.
		var got struct{ K string }
		if err := yaml.Unmarshal([]byte("k: "+quoted+"\n"), &got); err != nil || got.K != text {
			t.Errorf("%q written as %s reads back as %q elsewhere (%v)", text, quoted, got.K, err)
		}
	}
	scalars, _ := readVectors(t)
	for _, v := range scalars {
		check(t, v.YAML)
	}
	for _, text := range []string{"", " ", "a ", "\n", "a\nb", "1", "1.5", "1e6", "0x1f", "0o17", "yes", "y", "null", "~", "12:30", "2024-01-01", "a: b", "a #b", "#", "-", "- a", "*", "&a", "!a", "%a", "@a", "`a", "'", "\"", "\\",
		"os.environ/KEY", "http://x/?a=b", "ä", "😀", "\u0085", "\u2028", "\ufeff", "\x7f", "\x01", "---", "...", "=", "<<", "Infinity", "nan", "+1", "_1"} {
		check(t, text)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.String().Draw(t, "text")) })
}
