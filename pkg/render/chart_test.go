package render_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/render"
	"github.com/llmgw/llmgw/pkg/render/helm"
)

func chartFixtures() []fixture {
	litellm := func(o render.Options) render.Options {
		o.Target, o.LiteLLMVersion, o.Chart, o.Namespace = facts.LiteLLM, "v1.106.2", true, "llm"
		return o
	}
	return []fixture{
		{name: "llmgw", o: render.Options{Chart: true, Namespace: "llm"}},
		{name: "llmgw with argocd", o: render.Options{Chart: true, Namespace: "llm", Migrations: "argocd", Ceiling: budget(100)}},
		{name: "llmgw with overrides", o: render.Options{Chart: true, Namespace: "llm", Overrides: render.Overrides{Set: []string{"podAnnotations.a=b", "tolerations[0].key=x"}}}},
		{name: "litellm", o: litellm(render.Options{})},
		{name: "litellm without hooks", o: litellm(render.Options{Migrations: "init", UI: no(), NoHPA: true})},
	}
}

func objects(t *testing.T, list []render.Object) string {
	t.Helper()
	var b strings.Builder
	for _, o := range list {
		b.WriteString("---\n")
		b.Write(o.YAML)
	}
	return b.String()
}

func TestTheWrittenChartGivesTheSameObjects(t *testing.T) {
	t.Parallel()
	for _, f := range chartFixtures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			res, err := run(t, f.o, production)
			if err != nil {
				t.Fatalf("%v %+v", err, res.Findings)
			}
			dir := filepath.Join(t.TempDir(), "chart")
			if _, err := res.WriteChart(dir); err != nil {
				t.Fatal(err)
			}
			texts, err := helm.Engine{}.Render(os.DirFS(dir), render.Release{Name: "any", Namespace: "llm", Service: "llmgw", KubeVersion: "1.31"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			list, err := render.ParseObjects(texts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(objects(t, res.Objects), objects(t, list)); diff != "" {
				t.Error(diff)
			}
			if _, err := res.WriteChart(dir); err != nil {
				t.Errorf("written again: %v", err)
			}
		})
	}
}

func TestTheChartFollowsItsOwnInputs(t *testing.T) {
	t.Parallel()
	res, err := run(t, render.Options{Chart: true}, production)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "chart")
	if _, err := res.WriteChart(dir); err != nil {
		t.Fatal(err)
	}
	texts, err := helm.Engine{}.Render(os.DirFS(dir), render.Release{Name: "gw", Service: "Helm", KubeVersion: "1.31"}, map[string]any{"requestTimeout": 900})
	if err != nil {
		t.Fatal(err)
	}
	list, err := render.ParseObjects(texts)
	if err != nil {
		t.Fatal(err)
	}
	out := objects(t, list)
	for _, want := range []string{"terminationGracePeriodSeconds: 920", "value: \"900\"", "helm.sh/hook: pre-install,pre-upgrade", "helm.sh/hook-weight: \"-5\""} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not there", want)
		}
	}
}

func TestChartsRefuseWhatHelmCannotOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    render.Options
		code string
	}{
		{render.Options{Chart: true, Migrations: "job"}, "E-JOB-HELM"},
		{render.Options{Chart: true, Secrets: "template"}, "E-SECRETS"},
	} {
		res, err := run(t, c.o, production)
		if got := codes(res, finding.Error); err == nil || len(got) != 1 || got[0] != c.code {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestWriteChartLeavesOtherDirectoriesAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "values.yaml"), []byte("mine: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := run(t, render.Options{Chart: true}, production)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := res.WriteChart(dir); err == nil || names(t, dir) != "values.yaml" {
		t.Errorf("error %v, the directory holds %s", err, names(t, dir))
	}
}

// TestHelmAgrees asks the helm program, where it is in the PATH.
func TestHelmAgrees(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("helm")
	if err != nil {
		t.Skip("helm is not in the PATH: helm lint and helm template are not asked; install helm 3 for it")
	}
	for _, f := range chartFixtures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			res, err := run(t, f.o, production)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "llmgw")
			if _, err := res.WriteChart(dir); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), path, "lint", "--strict", dir).CombinedOutput()
			if err != nil || strings.Contains(string(out), "[WARNING]") || strings.Contains(string(out), "[INFO]") {
				t.Errorf("helm lint: %v\n%s", err, out)
			}
			text, err := exec.CommandContext(t.Context(), path, "template", "any", dir, "-n", "llm", "--kube-version", "1.31").Output()
			if err != nil {
				t.Fatal(err)
			}
			list, err := render.ParseObjects(map[string]string{"all": string(text)})
			if err != nil {
				t.Fatal(err)
			}
			ours := strings.ReplaceAll(objects(t, res.Objects), "app.kubernetes.io/managed-by: llmgw", "app.kubernetes.io/managed-by: Helm")
			if diff := cmp.Diff(ours, objects(t, list)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
