package lint_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// run checks files of a fresh directory.
func run(t *testing.T, files map[string]string, o lint.Options) *lint.Result {
	t.Helper()
	o.Dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(o.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".env") {
			o.EnvFiles = append(o.EnvFiles, name)
		} else if !strings.HasPrefix(name, ".") && o.Paths == nil {
			o.Paths = []string{"."}
			if _, ok := files["config.yaml"]; ok && files["k8s.yaml"] == "" {
				o.Paths = []string{"config.yaml"}
			}
		}
	}
	o.Chart = miniature()
	r, err := lint.Run(context.Background(), o)
	if err != nil {
		t.Fatalf("lint: %v", err)
	}
	if len(r.Problems) > 0 {
		t.Fatalf("problems: %+v", r.Problems)
	}
	return r
}

func ids(r *lint.Result) []string {
	var out []string
	for _, h := range r.Findings {
		if !slices.Contains(out, h.ID) {
			out = append(out, h.ID)
		}
	}
	slices.Sort(out)
	return out
}

// Every rule speaks on its bad example and is silent on its good one, and
// going from good to bad adds no other finding than the rule names.
func TestEveryRuleSpeaksOnItsBadExampleOnly(t *testing.T) {
	for _, r := range rule.All() {
		if r.Live {
			continue // proven against servers, in package live
		}
		t.Run(r.ID, func(t *testing.T) {
			var only []string
			if r.OptIn {
				only = []string{r.ID}
			}
			bad := run(t, r.Bad.Files(), lint.Options{Flags: r.Bad.Flags, Only: only})
			good := run(t, r.Good.Files(), lint.Options{Flags: r.Good.Flags, Only: only})
			if !slices.Contains(ids(bad), r.ID) {
				t.Errorf("silent on its bad example; found %v", ids(bad))
			}
			if slices.Contains(ids(good), r.ID) {
				t.Errorf("speaks on its good example")
			}
			for _, id := range ids(bad) {
				if id != r.ID && r.Also[id] == "" && !slices.Contains(ids(good), id) {
					t.Errorf("the bad example also brings %s: %s", id, message(bad, id))
				}
			}
			for _, h := range bad.Findings {
				if h.Pos.File == "" || h.Pos.Line == 0 && h.Pos.File != "<args>" {
					t.Errorf("%s has no position: %+v", h.ID, h.Pos)
				}
			}
		})
	}
}

func message(r *lint.Result, id string) string {
	for _, h := range r.Findings {
		if h.ID == id {
			return h.Pos.String() + " " + h.Message
		}
	}
	return ""
}

// The base of the Kubernetes examples is what doctor wants to see.
func TestTheBaseManifestOfTheExamplesIsClean(t *testing.T) {
	r, _ := rule.Lookup("K8S006")
	res := run(t, r.Good.Files(), lint.Options{})
	for _, h := range res.Findings {
		if h.Severity > 0 {
			t.Errorf("%s %s %s", h.Pos, h.ID, h.Message)
		}
	}
}

// miniature renders a chart whose templates use two functions, the way the
// real engine does: one makes another text each time.
func miniature() func(fs.FS) (map[string]string, error) {
	n := 0
	return func(files fs.FS) (map[string]string, error) {
		out := map[string]string{}
		return out, fs.WalkDir(files, "templates", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(files, path)
			n++
			text := strings.ReplaceAll(string(data), "{{ randAlphaNum 17 }}", fmt.Sprintf("key%d", n))
			out["gateway/"+path] = strings.ReplaceAll(text, "{{ required \"masterkey\" .Values.masterkey }}", "given")
			return err
		})
	}
}
