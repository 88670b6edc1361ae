package lint

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Whatever the settings file holds, it is read or refused with its position.
func FuzzSettings(f *testing.F) {
	f.Add("version: 1\nprofile: vpc\nassume: {max_connections: 860, client_timeout: 120}\nrules: {K8S019: \"off\", RTE010: {severity: warning, max_attempts: 20}}\npaths: [{match: \"envs/**\", profile: dev}]\nignore: [{rule: SEC021, file: x, reason: y, until: 2027-03-01}]\nfail_on: error\n")
	f.Add("rules: [a]\npaths: {a: b}\nignore: 3\nassume: []")
	f.Fuzz(func(t *testing.T, text string) {
		root, _, err := config.ParseYAML(SettingsFile, []byte(text))
		if err != nil {
			return
		}
		s := &settings{path: SettingsFile, severity: map[string]string{}}
		if s.read(root) != nil {
			return
		}
		for id, word := range s.severity {
			if _, ok := rule.Lookup(id); !ok {
				t.Fatalf("accepted a severity for %s", id)
			}
			if _, err := finding.ParseSeverity(word); word != "off" && err != nil {
				t.Fatalf("accepted the severity %q", word)
			}
		}
		for _, e := range s.ignores {
			if len(e.ids) == 0 || e.reason == "" {
				t.Fatalf("accepted an exception without rule or reason")
			}
			matchPath(e.glob, "a/b.yaml")
		}
		var flags rule.Flags
		s.apply(&flags)
	})
}

// Files that doctor wrote itself may come back in any shape.
func FuzzOwnFiles(f *testing.F) {
	f.Add(`{"schema":"llmgw.doctor.baseline/1","findings":[{"rule":"SEC002","file":"a","fingerprint":"x"}]}`)
	f.Add(`{"schema":"llmgw.doctor.state/1","salts":{"":"abc"}}`)
	f.Add("diff --git a b\n+++ b\n@@ -1,2 +3,4 @@\n")
	f.Fuzz(func(t *testing.T, text string) {
		known, err := ParseBaseline("x", []byte(text))
		for _, k := range known {
			if k.Fingerprint == "" {
				t.Fatal("an entry without a fingerprint")
			}
		}
		if err == nil {
			(&Result{}).Accept(known)
		}
		if m, err := ParseState("x", []byte(text)); err == nil && m == nil {
			t.Fatal("no state and no error")
		}
		for name, lines := range ParseDiff(text) {
			if name == "" {
				t.Fatal("lines of no file")
			}
			for n := range lines {
				if n < 1 {
					t.Fatalf("line %d of %s", n, name)
				}
			}
		}
	})
}

// A fix of whatever is found leaves files that are read as before, with no
// error that was not there, and comes to an end.
func FuzzFix(f *testing.F) {
	for _, r := range rule.All() {
		if r.Fix == rule.Manual || r.Live {
			continue
		}
		files := r.Bad.Files()
		f.Add(files["config.yaml"], files["litellm.env"], files["k8s.yaml"])
	}
	f.Add("a: &x {set_verbose: true}\nlitellm_settings: *x\r\ngeneral_settings:\t{alerting: [slack]} # c\n", "LITELLM_LOG='DEBUG' # y\r\nA=b", "")
	f.Fuzz(func(t *testing.T, config, env, manifest string) {
		dir := t.TempDir()
		o := Options{Dir: dir, NoSettings: true, Unsafe: true, Now: time.Unix(1700000000, 0)}
		for name, text := range map[string]string{"config.yaml": config, "x.env": env, "k8s.yaml": manifest} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			o.Paths = append(o.Paths, name)
		}
		unread := 0
		for round := range 12 {
			r, err := Run(context.Background(), o)
			if err != nil {
				if round > 0 {
					t.Fatalf("after a fix the files cannot be checked: %v", err)
				}
				return
			}
			if round == 0 {
				unread = len(r.Problems)
			}
			if len(r.Problems) > unread {
				t.Fatalf("after a fix: %+v", r.Problems)
			}
			fixed, _, err := Fix(context.Background(), o, r)
			if err != nil {
				t.Fatal(err)
			}
			if len(fixed) == 0 {
				return
			}
			for _, x := range fixed {
				if strings.Count(string(x.Old), "#") > strings.Count(string(x.New), "#")+len(x.Findings) {
					t.Fatalf("%d fixes took away more comments than that:\n%s\n---\n%s", len(x.Findings), x.Old, x.New)
				}
				if err := x.Write(dir); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Fatal("still fixing after 12 rounds")
	})
}
