package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/report"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// results are reports on the bad example of every rule with files, on a clean
// config, and on an input that cannot be read.
func results(t *testing.T) map[string]*lint.Result {
	t.Helper()
	out := map[string]*lint.Result{}
	check := func(name string, files map[string]string, flags rule.Flags) {
		dir := t.TempDir()
		o := lint.Options{Dir: dir, Flags: flags, NoSettings: true}
		for path, text := range files {
			at := filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(path, ".env") {
				o.EnvFiles = append(o.EnvFiles, path)
			} else if !strings.HasPrefix(path, ".") {
				o.Paths = append(o.Paths, path)
			}
		}
		slices.Sort(o.Paths)
		r, err := lint.Run(context.Background(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = r
	}
	for i, r := range rule.All() {
		if testing.Short() && i%8 > 0 {
			continue // each report tells of all rules
		}
		if files := r.Bad.Files(); len(files) > 0 {
			check(r.ID, files, r.Bad.Flags)
		}
	}
	check("clean", map[string]string{"config.yaml": "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: os.environ/K}}]\nlitellm_settings: {request_timeout: 600, json_logs: true}\n"}, rule.Flags{})
	check("unreadable", map[string]string{"config.yaml": "model_list: []\n", "other.yaml": "\x00\x01"}, rule.Flags{})
	check("ignored", map[string]string{"config.yaml": "model_list: []\nlitellm_settings:\n  set_verbose: true # llmgw:ignore LOG001 -- on purpose\n"}, rule.Flags{})
	return out
}

var schemaText = regexp.MustCompile("(?s)const schema = `(.*)`\\s*$")

// sarifSchema is the official schema, which go-sarif carries in its source.
func sarifSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/owenrumney/go-sarif/v3").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "pkg/report/v210/sarif/schema.go"))
	if err != nil {
		t.Fatal(err)
	}
	m := schemaText.FindSubmatch(source)
	if m == nil {
		t.Fatal("go-sarif's source holds no schema")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("https://sarif.example/schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("https://sarif.example/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every SARIF log satisfies the official schema, and a reader that others wrote
// finds the results that the log was written from.
func TestSARIFSatisfiesTheOfficialSchema(t *testing.T) {
	schema := sarifSchema(t)
	broken, _ := jsonschema.UnmarshalJSON(strings.NewReader(`{"version":"2.1.0","runs":[{"tool":{"driver":{}},"surplus":1}]}`))
	if schema.Validate(broken) == nil {
		t.Fatal("the schema accepts a log without a tool's name")
	}
	for name, r := range results(t) {
		var b bytes.Buffer
		if err := report.SARIF(&b, r, report.Options{Version: "1.2.3"}); err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		log, err := sarif.FromBytes(b.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, want := len(log.Runs[0].Results), len(r.Findings)+len(r.Suppressed); got != want {
			t.Errorf("%s: %d results, want %d", name, got, want)
		}
		for i, res := range log.Runs[0].Results {
			if i < len(r.Findings) {
				applied(t, r, r.Findings[i], res)
			}
			if at := log.Runs[0].Tool.Driver.Rules[res.RuleIndex]; *at.ID != *res.RuleID {
				t.Errorf("%s: rule index %d is %s, not %s", name, res.RuleIndex, *at.ID, *res.RuleID)
			}
		}
	}
}

// GitLab drops the second of two issues with the same fingerprint, and refuses
// severities that it does not know.
func TestGitLabIssuesAreTellable(t *testing.T) {
	for name, r := range results(t) {
		var b bytes.Buffer
		if err := report.GitLab(&b, r, report.Options{}); err != nil {
			t.Fatal(err)
		}
		var issues []struct {
			Description, Fingerprint, Severity string
			CheckName                          string `json:"check_name"`
			Location                           struct {
				Path  string
				Lines struct{ Begin int }
			}
		}
		if err := json.Unmarshal(b.Bytes(), &issues); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(issues) != len(r.Findings) {
			t.Errorf("%s: %d issues for %d findings", name, len(issues), len(r.Findings))
		}
		seen := map[string]bool{}
		for _, i := range issues {
			if seen[i.Fingerprint] {
				t.Errorf("%s: fingerprint twice: %s", name, i.Description)
			}
			seen[i.Fingerprint] = true
			if !slices.Contains([]string{"info", "minor", "major", "critical", "blocker"}, i.Severity) {
				t.Errorf("%s: severity %q", name, i.Severity)
			}
			if i.Location.Path == "" || i.Location.Lines.Begin < 1 || i.CheckName == "" {
				t.Errorf("%s: %+v says no place", name, i)
			}
		}
	}
}

// The numbers of a JUnit report add up, and failures are what fails the run.
func TestJUnitCountsWhatFails(t *testing.T) {
	for name, r := range results(t) {
		for _, threshold := range []string{"error", "warning", "never"} {
			var b bytes.Buffer
			if err := report.JUnit(&b, r, report.Options{FailOn: threshold}); err != nil {
				t.Fatal(err)
			}
			var doc struct {
				XMLName  xml.Name `xml:"testsuites"`
				Tests    int      `xml:"tests,attr"`
				Failures int      `xml:"failures,attr"`
				Errors   int      `xml:"errors,attr"`
				Suites   []struct {
					Name  string `xml:"name,attr"`
					Cases []struct {
						Name    string     `xml:"name,attr"`
						Failure []struct{} `xml:"failure"`
					} `xml:"testcase"`
				} `xml:"testsuite"`
			}
			if err := xml.Unmarshal(b.Bytes(), &doc); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			cases, failed, told := 0, 0, 0
			for _, s := range doc.Suites {
				cases += len(s.Cases)
				for _, c := range s.Cases {
					told += len(c.Failure)
					if len(c.Failure) > 0 {
						failed++
					}
				}
			}
			if cases != doc.Tests || failed != doc.Failures {
				t.Errorf("%s: says %d tests and %d failures, has %d and %d", name, doc.Tests, doc.Failures, cases, failed)
			}
			e, w, _ := r.Counts()
			want := map[string]int{"error": e, "warning": e + w, "never": 0}[threshold]
			if told != want {
				t.Errorf("%s --fail-on %s: %d failures told, want %d", name, threshold, told, want)
			}
			if doc.Errors != len(r.Problems) {
				t.Errorf("%s: %d errors for %d problems", name, doc.Errors, len(r.Problems))
			}
		}
	}
}

// applied checks that a fix of the log, applied by lines and columns, gives what
// --fix gives.
func applied(t *testing.T, r *lint.Result, h rule.Hit, res *sarif.Result) {
	t.Helper()
	for _, f := range res.Fixes {
		for _, change := range f.ArtifactChanges {
			name := *change.ArtifactLocation.URI
			want, err := config.Splice(r.Sources[name], slices.DeleteFunc(slices.Clone(h.Edits), func(e finding.Edit) bool { return e.File != name }))
			if err != nil {
				t.Fatal(err)
			}
			lines := lint.SplitLines(r.Sources[name])
			offset := func(line, col int) int {
				n := 0
				for _, l := range lines[:line-1] {
					n += len(l)
				}
				return n + len(string([]rune(string(lines[line-1]))[:col-1]))
			}
			var edits []finding.Edit
			for _, c := range change.Replacements {
				d := c.DeletedRegion
				edits = append(edits, finding.Edit{File: name, Offset: offset(*d.StartLine, *d.StartColumn), End: offset(*d.EndLine, *d.EndColumn), Text: *c.InsertedContent.Text})
			}
			got, err := config.Splice(r.Sources[name], edits)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: the fix of the log gives\n%s\nwant\n%s (%v)", h.ID, got, want, err)
			}
		}
	}
}
