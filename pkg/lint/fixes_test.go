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

// byHand are rules of a fix class that doctor does not edit, and why.
var byHand = map[string]string{
	"CFG013": "the example's key has an effect; only keys without one are deleted",
	"K8S024": "where the UI's files lie in the image is not in the manifest, and an empty volume there hides them",
	"MIG011": "which deployer runs the hook, Helm or Argo CD, is not in the manifest",
	"RDS001": "host, port and password need variables of their own, whose values only a person has",
	"SEC005": "where the secret goes, and under which name, is a person's choice; the one in the file must be replaced anyway",
}

// brings are findings that a fix rightly leads to, and why.
var brings = map[string]map[string]string{
	"TMO003": {"TMO014": "a grace period that is long enough has its own remark"},
	"CFG008": {"CFG014": "the text is a reference now, and no environment is given"},
	"DB001":  {"DB024": "with a sum that fits, the overlap of old and new pods is what remains"},
}

// leaves are the scalars of the documents of a file, by a path in which list
// items that have a name stand under it.
func leaves(t *testing.T, name string, data []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	if strings.HasSuffix(name, ".env") {
		vars, _ := config.ParseDotEnv(name, data)
		for _, v := range vars {
			out[v.Name] = v.Value
		}
		return out
	}
	docs, _, err := config.ParseYAMLDocuments(name, data)
	if err != nil {
		t.Fatalf("%s is no YAML any more: %v\n%s", name, err, data)
	}
	var walk func(path string, n *config.Node)
	walk = func(path string, n *config.Node) {
		switch n.Kind {
		case config.Map:
			for _, c := range n.Items() {
				walk(path+"."+c.Key, c)
			}
		case config.List:
			for i, c := range n.Items() {
				id := fmt.Sprint(i)
				if key, ok := c.Get("name").Scalar(); ok {
					id = key
				}
				walk(path+"["+id+"]", c)
			}
		default:
			text, _ := n.Scalar()
			if inner, ok := n.Str(); ok && strings.HasSuffix(n.Key, ".yaml") {
				for at, v := range leaves(t, n.Key, []byte(inner)) {
					out[path+"/"+at] = v
				}
				return
			}
			out[path] = n.Kind.String() + " " + text
		}
	}
	for i, d := range docs {
		walk(fmt.Sprint(i), d)
	}
	return out
}

// After a fix the finding is gone, no other appears, and the file says nothing
// else than before but in one place.
func TestEveryFixRepairsItsFindingAndNothingElse(t *testing.T) {
	var without []string
	for _, r := range rule.All() {
		if r.Fix == rule.Manual || r.Live {
			continue
		}
		t.Run(r.ID, func(t *testing.T) {
			dir := t.TempDir()
			o := lint.Options{Dir: dir, Flags: r.Bad.Flags, NoSettings: true}
			for name, text := range r.Bad.Files() {
				at := filepath.Join(dir, name)
				if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(name, ".env") {
					o.EnvFiles = append(o.EnvFiles, name)
				} else {
					o.Paths = append(o.Paths, name)
				}
			}
			slices.Sort(o.Paths)
			before, err := lint.Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			edits := map[string][]finding.Edit{}
			for _, h := range before.Findings {
				if h.ID == r.ID {
					for _, e := range h.Edits {
						edits[e.File] = append(edits[e.File], e)
					}
				}
			}
			if len(edits) == 0 {
				without = append(without, r.ID)
				return
			}
			for file, list := range edits {
				old := before.Sources[file]
				text, err := config.Splice(old, list)
				if err != nil {
					t.Fatal(err)
				}
				a, b := leaves(t, file, old), leaves(t, file, text)
				changed := map[string]bool{}
				for path, v := range a {
					if w, ok := b[path]; !ok || w != v {
						changed[path] = true
					}
				}
				for path, v := range b {
					if w, ok := a[path]; !ok || w != v {
						changed[path] = true
					}
				}
				if len(changed) > 8 || len(changed) == 0 && r.ID != "CFG017" {
					t.Errorf("%d places of %s changed: %v", len(changed), file, changed)
				}
				for line := range bytes.Lines(old) {
					if at := bytes.IndexByte(line, '#'); at >= 0 && r.ID != "CFG017" && !bytes.Contains(text, bytes.TrimSpace(line[at:])) {
						t.Errorf("the comment %q is gone", line[at:])
					}
				}
				if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			after, err := lint.Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			known := ids(before)
			for _, h := range after.Findings {
				switch {
				case h.ID == r.ID && len(h.Edits) > 0:
					t.Errorf("still there: %s %s", h.Pos, h.Message)
				case brings[r.ID][h.ID] != "":
				case !slices.Contains(known, h.ID):
					t.Errorf("the fix brings %s %s %s", h.Pos, h.ID, h.Message)
				}
			}
			if slices.Contains(ids(after), r.ID) && len(edits) == 0 {
				t.Errorf("%s is still found", r.ID)
			}
			fixed, _, err := lint.Fix(context.Background(), withUnsafe(o), after)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fixed {
				for _, h := range f.Findings {
					if h.ID == r.ID {
						t.Errorf("a second fix changes %s again", f.Path)
					}
				}
			}
		})
	}
	for _, id := range without {
		if byHand[id] == "" {
			t.Errorf("%s has a fix class and no edit for its example", id)
		}
	}
	for id := range byHand {
		if !slices.Contains(without, id) {
			t.Errorf("%s is edited, and said to be left to a person", id)
		}
	}
}

func withUnsafe(o lint.Options) lint.Options { o.Unsafe = true; return o }
