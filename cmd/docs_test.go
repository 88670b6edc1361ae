package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryDeliberateDifferenceHasItsTest reads docs/compatibility.md: a row
// that claims to be true must name a test that exists.
func TestEveryDeliberateDifferenceHasItsTest(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "compatibility.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (D\d+) \|.*\| (\w+) \| ([^|]+) \|$`).FindAllStringSubmatch(string(page), -1)
	if len(rows) != 43 {
		t.Fatalf("found %d rows, want D1 to D43", len(rows))
	}
	acceptance := regexp.MustCompile(`(?m)^\| (A\d+) \|.*\| (\w+) \| ([^|]+) \|$`).FindAllStringSubmatch(string(page), -1)
	if len(acceptance) != 10 {
		t.Errorf("found %d rows of what is relied on, want A1 to A10", len(acceptance))
	}
	for _, row := range append(rows, acceptance...) {
		id, state, test := row[1], row[2], strings.TrimSpace(row[3])
		switch state {
		case "later":
			continue
		case "yes":
		default:
			t.Errorf("%s: state %q is neither yes nor later", id, state)
			continue
		}
		for _, name := range strings.Split(test, ", ") {
			if !testExists(t, name) {
				t.Errorf("%s is said to be true, but its test %q does not exist", id, name)
			}
		}
	}
}

// testExists finds a test named as docs/compatibility.md names it: a script, or
// a function whose name begins so.
func testExists(t *testing.T, name string) bool {
	t.Helper()
	if command, behaviour, ok := strings.Cut(name, "/"); ok && !strings.Contains(name, ":") {
		_, err := os.Stat(filepath.Join("testdata", "script", command+"_"+behaviour+".txtar"))
		return err == nil
	}
	_, function, ok := strings.Cut(name, ": ")
	if !ok {
		return false
	}
	out, err := exec.Command("git", "grep", "-lE", `func `+regexp.QuoteMeta(function)+`[A-Za-z0-9]*\(`, "--", "../*_test.go").Output()
	if err != nil {
		// No git (an unpacked archive): look through the files.
		return grepTests(t, function)
	}
	return len(out) > 0
}

func grepTests(t *testing.T, function string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || found || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		found = found || strings.Contains(string(text), "func "+function)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
