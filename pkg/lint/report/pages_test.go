package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/lint/rule"
)

var update = flag.Bool("update", false, "rewrite docs/rules")

// docs/rules is generated from the catalogue and must not drift from it.
func TestRulePagesAreCurrent(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "docs", "rules")
	var index bytes.Buffer
	if err := RulesMarkdown(&index); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"README.md": index.String()}
	for _, r := range rule.All() {
		want[r.ID+".md"] = Page(r)
	}
	if *update {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != text {
			t.Errorf("docs/rules/%s is not current; run go test ./pkg/lint/report -update", name)
		}
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if want[e.Name()] == "" {
			t.Errorf("docs/rules/%s is the page of no rule", e.Name())
		}
	}
}

// Every rule has what its page needs.
func TestEveryRuleExplainsItself(t *testing.T) {
	for _, r := range rule.All() {
		for what, text := range map[string]string{"title": r.Title, "when": r.When, "why": r.Why, "remedy": r.Remedy} {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s has no %s", r.ID, what)
			}
		}
		if len(r.Source) == 0 {
			t.Errorf("%s names no source", r.ID)
		}
		if r.Check == nil && !r.Engine && !r.Live {
			t.Errorf("%s has no check", r.ID)
		}
		if strings.TrimSpace(r.Bad.Text()) == strings.TrimSpace(r.Good.Text()) && r.Bad.Flags == r.Good.Flags {
			t.Errorf("%s shows the same text as bad and good", r.ID)
		}
	}
}
