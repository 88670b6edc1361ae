package render_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var codeLiteral = regexp.MustCompile(`"((?:E|K|N)-[A-Z]+(?:-[A-Z]+)*)"`)

// TestEveryCodeIsExplained: a code that can be printed is in the manual, and
// the manual has no code that cannot.
func TestEveryCodeIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "render.md"))
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{"N-SECRET": true} // printed by the command itself
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range codeLiteral.FindAllStringSubmatch(string(text), -1) {
			used[m[1]] = true
		}
	}
	for code := range used {
		if !strings.Contains(string(page), "`"+code+"`") {
			t.Errorf("%s is not in docs/render.md", code)
		}
	}
	for _, m := range regexp.MustCompile("`((?:E|K|N)-[A-Z]+(?:-[A-Z]+)*)`").FindAllStringSubmatch(string(page), -1) {
		if !used[m[1]] {
			t.Errorf("docs/render.md explains %s, which nothing prints", m[1])
		}
	}
}
