package lint

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Whatever stands in a config or manifest, every rule ends without a panic
// and every finding points into the file.
func FuzzRun(f *testing.F) {
	for _, r := range rule.All() {
		for _, e := range []rule.Example{r.Bad, r.Good} {
			files := e.Files()
			f.Add(files["config.yaml"], files["litellm.env"], "")
		}
	}
	base, _ := rule.Lookup("K8S006")
	f.Add("", "", base.Good.Files()["k8s.yaml"])
	f.Add("model_list: [1, [], {}, {model_name: [a], litellm_params: b}]\ngeneral_settings: []\nrouter_settings: {fallbacks: {a: b}}", "A", "kind: List\napiVersion: v1\nitems: [{kind: Deployment, apiVersion: apps/v1, spec: {template: {spec: {containers: [1, {env: [1, {name: x, valueFrom: 3}]}]}}}}]")
	f.Fuzz(func(t *testing.T, config, env, manifest string) {
		dir := t.TempDir()
		o := Options{Dir: dir, NoSettings: true, Now: time.Unix(1700000000, 0)}
		for name, text := range map[string]string{"config.yaml": config, "x.env": env, "k8s.yaml": manifest} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			o.Paths = append(o.Paths, name)
		}
		r, err := Run(context.Background(), o)
		if err != nil {
			return
		}
		for _, h := range r.Findings {
			lines := len(SplitLines(r.Sources[h.Pos.File]))
			if h.Pos.File == "" || h.Pos.Line < 1 || h.Pos.Line > lines {
				t.Fatalf("%s points to %v of %d lines", h.ID, h.Pos, lines)
			}
			if h.Message == "" || h.Name == "" {
				t.Fatalf("%s says nothing", h.ID)
			}
		}
	})
}

// A suppression never points outside its file, and its edit removes it.
func FuzzSuppressions(f *testing.F) {
	f.Add("a: b # llmgw:ignore DB001 -- x\n# llmgw:ignore-until 2027-01-01 A,B -- y\nc: \"# llmgw:ignore D -- z\"\r\n")
	f.Add("a: |\n  # llmgw:ignore A -- b\n  'open\nb: 'x\n # llmgw:ignore A -- b\n'\n")
	f.Add("# llmgw:ignore-file")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range scanSuppressions("x.yaml", []byte(text)) {
			if s.pos.Offset < 0 || s.pos.End > len(text) || s.pos.Line < 1 || text[s.pos.Offset] != '#' {
				t.Fatalf("position %+v of %q", s.pos, text)
			}
			if s.edit == nil || s.edit.Offset > s.pos.Offset || s.edit.End < s.pos.End || s.edit.End > len(text) {
				t.Fatalf("edit %+v for %+v", s.edit, s.pos)
			}
			if s.problem == "" && (len(s.ids) == 0 || s.reason == "") {
				t.Fatalf("accepted without ids or reason: %+v", s)
			}
		}
	})
}

func TestCommentsInsideTextsAreNoDirectives(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"behind a value":              {"a: b  # llmgw:ignore X1 -- r\n", 1},
		"on its own line":             {"# llmgw:ignore X1 -- r\na: b\n", 1},
		"inside double quotes":        {"a: \"b # llmgw:ignore X1 -- r\"\n", 0},
		"inside single quotes":        {"a: 'b # llmgw:ignore X1 -- r'\n", 0},
		"after a quoted value":        {"a: 'b' # llmgw:ignore X1 -- r\n", 1},
		"without a space before #":    {"a: b# llmgw:ignore X1 -- r\n", 0},
		"in a config inside a block":  {"data:\n  config.yaml: |\n    a: b # llmgw:ignore X1 -- r\n", 1},
		"after an open quote":         {"a: 'b\n  # llmgw:ignore X1 -- r\n  c'\n", 0},
		"after an apostrophe in text": {"a: it's\nb: c # llmgw:ignore X1 -- r\n", 1},
		"in an environment file":      {"A=b # llmgw:ignore X1 -- r\n", 1},
		"in a list of quoted texts":   {"a: [\"x\", 'y'] # llmgw:ignore X1 -- r\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := len(scanSuppressions("x", []byte(c.text))); got != c.want {
				t.Errorf("%d directives in %q, want %d", got, c.text, c.want)
			}
		})
	}
}

func TestPathPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"envs/dev/**", "envs/dev/a/b.yaml", true},
		{"envs/dev/**", "envs/prod/a.yaml", false},
		{"*.yaml", "a/b.yaml", true},
		{"**/config.yaml", "config.yaml", true},
		{"**/config.yaml", "a/b/config.yaml", true},
		{"k8s/*.yaml", "k8s/a/b.yaml", false},
		{"**", "anything/at all", true},
		{"a[b", "a[b", true},
	} {
		if got := matchPath(c.pattern, c.path); got != c.want {
			t.Errorf("%s matches %s: %t", c.pattern, c.path, got)
		}
	}
}

// A run that is told to stop stops.
func TestRunStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Run(ctx, Options{Stdin: io.LimitReader(strings.NewReader("model_list: []"), 100), Paths: []string{"-"}, NoSettings: true})
	if err == nil {
		t.Fatal("no error")
	}
}
