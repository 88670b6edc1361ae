package lint_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// forms are ways to write the same files.
var forms = map[string]func(name, text string) string{
	"with Windows line ends": func(_, text string) string { return strings.ReplaceAll(text, "\n", "\r\n") },
	"with a comment behind every line, after a tab": func(name, text string) string {
		if strings.HasSuffix(name, ".env") {
			return text
		}
		n := 0
		return eachLine(text, func(line string) string {
			if n++; strings.TrimSpace(line) == "" || strings.Contains(line, "---") {
				return line
			}
			return line + fmt.Sprintf(" \t# note %d, ümlaut", n)
		})
	},
	"with a comment above every line": func(_, text string) string {
		n := 0
		return eachLine(text, func(line string) string {
			n++
			indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
			return indent + fmt.Sprintf("# above %d\n", n) + line
		})
	},
	"with a byte order mark and blank lines": func(name, text string) string {
		text = eachLine(text, func(line string) string { return line + "\n" })
		if strings.HasSuffix(name, ".env") || strings.Contains(text, "data:") {
			return text
		}
		return "\ufeff" + text
	},
}

func eachLine(text string, f func(string) string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(f(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String()
}

// place writes the files of an example in some form and returns the options
// that check them.
func place(t *testing.T, r *rule.Rule, form func(name, text string) string) lint.Options {
	t.Helper()
	o := lint.Options{Dir: t.TempDir(), Flags: r.Bad.Flags, NoSettings: true, Unsafe: true}
	for name, text := range r.Bad.Files() {
		if err := os.WriteFile(filepath.Join(o.Dir, name), []byte(form(name, text)), 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".env") {
			o.EnvFiles = append(o.EnvFiles, name)
		} else {
			o.Paths = append(o.Paths, name)
		}
	}
	slices.Sort(o.Paths)
	return o
}

// However a file is written, a fix repairs its finding, keeps every comment that
// does not stand on a deleted line, keeps the line ends, and has nothing to do
// the second time.
func TestFixesKeepTheFormOfTheFile(t *testing.T) {
	for what, form := range forms {
		t.Run(what, func(t *testing.T) {
			edited := 0
			for _, r := range rule.All() {
				if r.Fix == rule.Manual || r.Live || r.ID == "CFG017" {
					continue
				}
				o := place(t, r, form)
				before, err := lint.Run(context.Background(), o)
				if err != nil {
					t.Fatal(r.ID, err)
				}
				edits := map[string][]finding.Edit{}
				for _, h := range before.Findings {
					if h.ID == r.ID {
						for _, e := range h.Edits {
							edits[e.File] = append(edits[e.File], e)
						}
					}
				}
				if len(edits) > 0 {
					edited++
				}
				for file, list := range edits {
					old := before.Sources[file]
					text, err := config.Splice(old, list)
					if err != nil {
						t.Fatal(r.ID, err)
					}
					comments(t, r.ID, old, text, list)
					if bytes.Contains(old, []byte("\r\n")) && bytes.Count(text, []byte("\n")) != bytes.Count(text, []byte("\r\n")) {
						t.Errorf("%s mixes line ends:\n%q", r.ID, text)
					}
					if err := os.WriteFile(filepath.Join(o.Dir, file), text, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				after, err := lint.Run(context.Background(), o)
				if err != nil {
					t.Fatal(r.ID, err)
				}
				known := ids(before)
				for _, h := range after.Findings {
					if h.ID == r.ID && len(h.Edits) > 0 {
						t.Errorf("%s: there is more to fix after the fix: %s %s", r.ID, h.Pos, h.Message)
					}
					if !slices.Contains(known, h.ID) && brings[r.ID][h.ID] == "" {
						t.Errorf("%s: the fix brings %s %s %s", r.ID, h.Pos, h.ID, h.Message)
					}
				}
			}
			t.Logf("%d rules edited their example", edited)
			if edited < 50 {
				t.Errorf("only %d rules edited their example in this form", edited)
			}
		})
	}
}

// comments checks that a comment is only gone with the line it stood on.
func comments(t *testing.T, id string, old, text []byte, edits []finding.Edit) {
	t.Helper()
	offset := 0
	for line := range bytes.Lines(old) {
		start := offset
		offset += len(line)
		at := bytes.LastIndex(line, []byte("# "))
		if at < 0 || bytes.Contains(text, bytes.TrimSpace(line[at:])) {
			continue
		}
		if !slices.ContainsFunc(edits, func(e finding.Edit) bool { return e.Offset <= start+at && e.End >= start+at }) {
			t.Errorf("%s: the comment %q is gone", id, bytes.TrimSpace(line[at:]))
		}
	}
}

// All fixes of an example together come to an end, and leave a file that is
// read and has no error that was not there.
func TestAllFixesTogetherComeToAnEnd(t *testing.T) {
	for what, form := range forms {
		t.Run(what, func(t *testing.T) {
			for _, r := range rule.All() {
				if r.Live || r.Fix == rule.Manual {
					continue
				}
				o := place(t, r, form)
				first, err := lint.Run(context.Background(), o)
				if err != nil {
					t.Fatal(r.ID, err)
				}
				known := ids(first)
				for round := 0; ; round++ {
					res, err := lint.Run(context.Background(), o)
					if err != nil {
						t.Fatal(r.ID, err)
					}
					fixed, _, err := lint.Fix(context.Background(), o, res)
					if err != nil {
						t.Fatal(r.ID, err)
					}
					if len(fixed) == 0 {
						for _, h := range res.Findings {
							if h.Severity == finding.Error && !slices.Contains(known, h.ID) {
								t.Errorf("%s: after all fixes there is %s %s %s", r.ID, h.Pos, h.ID, h.Message)
							}
						}
						break
					}
					if round == 6 {
						t.Errorf("%s: still fixing %s after %d rounds", r.ID, fixed[0].Findings[0].ID, round)
						break
					}
					for _, f := range fixed {
						if err := f.Write(o.Dir); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		})
	}
}

// What stands behind an anchor stands for several places: it is not edited.
func TestAnchorsAreNotEdited(t *testing.T) {
	for name, text := range map[string]string{
		"a value with an anchor": "x: &level true\nlitellm_settings:\n  set_verbose: *level\n  json_logs: true\n",
		"a merged section":       "defaults: &d\n  set_verbose: true\n  json_logs: true\nlitellm_settings:\n  <<: *d\n  request_timeout: 600\n",
		"an aliased section":     "defaults: &d {set_verbose: true, json_logs: true}\nlitellm_settings: *d\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			o := lint.Options{Dir: dir, Paths: []string{"config.yaml"}, NoSettings: true, Unsafe: true, Only: []string{"LOG001", "LOG004"}}
			r, err := lint.Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(ids(r), "LOG001") {
				t.Errorf("found %v", ids(r))
			}
			fixed, failed, err := lint.Fix(context.Background(), o, r)
			if err != nil || len(fixed) > 0 {
				t.Errorf("fixed %d files, failed %q, %v", len(fixed), failed, err)
			}
		})
	}
}
