package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// set gives litellm_settings.request_timeout the value 600.
func set(t testing.TB, text string) (string, bool) {
	t.Helper()
	tree, _, err := config.Load(config.Sources{Data: []byte(text), File: "config.yaml", KeepReferences: true})
	if err != nil || len(tree.Files()) == 0 {
		return "", false
	}
	main := tree.Files()[0]
	edit, ok := setKey(main, tree.Root(), "litellm_settings", "request_timeout", "600")
	if !ok {
		return "", false
	}
	out, err := rewrite(main, []finding.Edit{edit}, map[string]string{"litellm_settings.request_timeout": "600"})
	if err != nil {
		return err.Error(), false
	}
	return string(out), true
}

func TestAKeyIsWrittenIntoEveryLayout(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, in, want string }{
		{"block section", "litellm_settings:\n  json_logs: true # logs\n", "litellm_settings:\n  request_timeout: 600\n  json_logs: true # logs\n"},
		{"comment before the first key", "litellm_settings:\n  # logs\n  json_logs: true\n", "litellm_settings:\n  # logs\n  request_timeout: 600\n  json_logs: true\n"},
		{"deep indentation", "litellm_settings:\n        json_logs: true\n", "litellm_settings:\n        request_timeout: 600\n        json_logs: true\n"},
		{"flow section", "litellm_settings: {json_logs: true}\n", "litellm_settings: {request_timeout: 600, json_logs: true}\n"},
		{"empty flow section", "litellm_settings: {}\n", "litellm_settings: {request_timeout: 600}\n"},
		{"empty section", "litellm_settings:\nmodel_list: []\n", "litellm_settings:\n  request_timeout: 600\nmodel_list: []\n"},
		{"empty section with a comment", "litellm_settings: # later\nmodel_list: []\n", "litellm_settings:\n  request_timeout: 600 # later\nmodel_list: []\n"},
		{"null section", "litellm_settings: null\n", "litellm_settings: {request_timeout: 600}\n"},
		{"no section", "# ours\nmodel_list: []\n", "# ours\nlitellm_settings:\n  request_timeout: 600\nmodel_list: []\n"},
		{"no section, document markers", "---\nmodel_list: []\n...\n", "---\nlitellm_settings:\n  request_timeout: 600\nmodel_list: []\n...\n"},
		{"no section, indented file", "  model_list: []\n  a: 1\n", "  litellm_settings:\n    request_timeout: 600\n  model_list: []\n  a: 1\n"},
		{"no line break at the end", "model_list: []", "litellm_settings:\n  request_timeout: 600\nmodel_list: []"},
		{"the whole file in flow style", "{model_list: []}", "{litellm_settings: {request_timeout: 600}, model_list: []}"},
		{"JSON", `{"model_list": [], "litellm_settings": {"a": 1}}`, `{"model_list": [], "litellm_settings": {request_timeout: 600, "a": 1}}`},
		{"Windows line ends", "litellm_settings:\r\n  json_logs: true\r\n", "litellm_settings:\r\n  request_timeout: 600\r\n  json_logs: true\r\n"},
		{"replaced", "litellm_settings:\n  request_timeout: 30 # short\n", "litellm_settings:\n  request_timeout: 600 # short\n"},
		{"replaced in quotes", "litellm_settings: {request_timeout: \"30\", x: 'ä'}\n", "litellm_settings: {request_timeout: 600, x: 'ä'}\n"},
		{"written without a value", "litellm_settings:\n  request_timeout:\n  x: 1\n", "litellm_settings:\n  request_timeout: 600\n  x: 1\n"},
		{"umlauts before it", "größe: ö\nlitellm_settings:\n  ä: ü\n", "größe: ö\nlitellm_settings:\n  request_timeout: 600\n  ä: ü\n"},
		{"an anchor on the section", "litellm_settings: &a\n  x: 1\nother: *a\n", ""},
		{"an alias as the section", "base: &a {x: 1}\nlitellm_settings: *a\n", ""},
		{"a section that is a list", "litellm_settings: [1]\n", ""},
		{"an empty file", "", "litellm_settings:\n  request_timeout: 600\n"},
		{"only a comment", "# nothing yet", "# nothing yet\nlitellm_settings:\n  request_timeout: 600\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, ok := set(t, c.in)
			if c.want == "" {
				if ok && strings.Count(got, "600") != 1 {
					t.Errorf("edited to %q", got)
				}
				return
			}
			if !ok {
				t.Fatalf("not edited: %s", got)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzSetKey: whatever the file looks like, an edit either does what it is
// for, with everything else as it was, or is not made.
func FuzzSetKey(f *testing.F) {
	for _, seed := range []string{
		"litellm_settings:\n  a: |\n    text\n", "a: {b: [1,\n 2]}\nlitellm_settings:\n- x\n", "? a\n: b\n", "litellm_settings: !!map\n  a: 1\n",
		"litellm_settings: &x {a: 1}\nb:\n  <<: *x\n", "\"litellm_settings\" :\n \"k\": v\n", "--- {a: b}\n", "%YAML 1.1\n---\na: b\n",
		"litellm_settings:\n  <<: {a: 1}\n", "&root\na: 1\n", "a: >+\n  folded\n\n\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out, ok := set(t, text)
		if !ok {
			return
		}
		root, _, err := config.ParseYAML("config.yaml", []byte(out))
		if err != nil {
			t.Fatalf("%q became %q: %v", text, out, err)
		}
		if v, _ := root.Lookup("litellm_settings.request_timeout").Scalar(); v != "600" {
			t.Fatalf("%q became %q", text, out)
		}
	})
}
