package helm

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/pkg/render"
)

func TestOverridesAreLaidOverInHelmsOrder(t *testing.T) {
	file := func(text string) render.Overrides {
		return render.Overrides{Files: []render.ValuesFile{{Name: "values.yaml", Data: []byte(text)}}}
	}
	base := func() map[string]any {
		return map[string]any{"a": "base", "b": map[string]any{"c": 1, "d": 2}, "list": []any{1, 2}}
	}
	for _, c := range []struct {
		name string
		over render.Overrides
		want map[string]any
		err  string
	}{
		{"nothing", render.Overrides{}, base(), ""},
		{"a file merges mappings", file("b: {c: 9}"), map[string]any{"a": "base", "b": map[string]any{"c": float64(9), "d": 2}, "list": []any{1, 2}}, ""},
		{"a file replaces lists", file("list: [3]"), map[string]any{"a": "base", "b": map[string]any{"c": 1, "d": 2}, "list": []any{float64(3)}}, ""},
		{"a file replaces a mapping by a word", file("b: x"), map[string]any{"a": "base", "b": "x", "list": []any{1, 2}}, ""},
		{"each later kind wins", render.Overrides{
			Files: []render.ValuesFile{{Name: "values.yaml", Data: []byte("a: file")}},
			JSON:  []string{`a="json"`}, Set: []string{"a=set"}, SetString: []string{"a=1"},
		}, map[string]any{"a": "1", "b": map[string]any{"c": 1, "d": 2}, "list": []any{1, 2}}, ""},
		{"--set reads numbers", render.Overrides{Set: []string{"b.c=7"}}, map[string]any{"a": "base", "b": map[string]any{"c": int64(7), "d": 2}, "list": []any{1, 2}}, ""},
		{"a file that is a list", file("- a"), nil, "values.yaml is not a YAML mapping of values"},
		{"a file that is no YAML", file("a: ["), nil, "values.yaml is not a YAML mapping of values"},
		{"JSON that is none", render.Overrides{JSON: []string{"a={"}}, nil, "--set-json a=...: "},
		{"--set without a value", render.Overrides{Set: []string{"a"}}, nil, "--set a=...: "},
		{"an error does not show the value", render.Overrides{JSON: []string{"a=sk-planted{"}}, nil, "--set-json a=...: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			values := base()
			got, err := Engine{}.Override(values, c.over)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "planted") {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(base(), values); diff != "" {
				t.Errorf("the derived values were changed: %s", diff)
			}
		})
	}
}

func chartOf(template string) fstest.MapFS {
	return fstest.MapFS{
		"Chart.yaml":          {Data: []byte("apiVersion: v2\nname: c\nversion: 0.1.0\nkubeVersion: \">=1.27.0-0\"\n")},
		"values.yaml":         {Data: []byte("count: 1\nkept: yes it is\n")},
		"values.schema.json":  {Data: []byte(`{"type":"object","properties":{"count":{"type":"integer","minimum":1}}}`)},
		"templates/one.yaml":  {Data: []byte(template)},
		"templates/_help.tpl": {Data: []byte(`{{ define "double" }}{{ mul 2 . }}{{ end }}`)},
	}
}

func TestTheEngineIsHelms(t *testing.T) {
	for _, c := range []struct {
		name, template, kube string
		values               map[string]any
		want, err            string
	}{
		{"the chart's own values", `n: {{ .Values.count }}`, "1.30", map[string]any{}, "n: 1", ""},
		{"values laid over them", `n: {{ .Values.count }} {{ .Values.kept }}`, "1.30", map[string]any{"count": 5}, "n: 5 yes it is", ""},
		{"a null takes a value away", `{{ hasKey .Values "kept" }}`, "1.30", map[string]any{"kept": nil}, "false", ""},
		{"helpers and Sprig", `{{ include "double" 21 }} {{ "x" | upper }}`, "1.30", nil, "42 X", ""},
		{"the release", `{{ .Release.Name }}/{{ .Release.Namespace }} {{ .Release.Service }} {{ .Release.IsInstall }}`, "1.30", nil, "r/ns llmgw true", ""},
		{"the cluster's release", `{{ .Capabilities.KubeVersion.Version }}`, "1.31", nil, "v1.31", ""},
		{"no cluster is asked", `{{ len (lookup "v1" "Secret" "ns" "x") }}`, "1.30", nil, "0", ""},
		{"what the chart refuses, in its words", `{{ fail "E-X: not like this" }}`, "1.30", nil, "", "E-X: not like this"},
		{"what the chart requires", `{{ required "E-Y: say it" (get .Values "absent") }}`, "1.30", nil, "", "E-Y: say it"},
		{"a value out of bounds", `x`, "1.30", map[string]any{"count": 0}, "", "minimum: got 0, want 1"},
		{"a template with a mistake", `{{ .Values.count | nosuch }}`, "1.30", nil, "", `function "nosuch" not defined`},
		{"no release of Kubernetes", `x`, "many", nil, "", `kube version "many"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := Engine{}.Render(chartOf(c.template), render.Release{Name: "r", Namespace: "ns", Service: "llmgw", KubeVersion: c.kube}, c.values)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q, want %q on one line", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := out["c/templates/one.yaml"]; !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAChartWithoutItsDescriptionIsRefused(t *testing.T) {
	_, err := Engine{}.Render(fstest.MapFS{"values.yaml": {Data: []byte("a: 1")}}, render.Release{Name: "r", KubeVersion: "1.30"}, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "load the chart: ") {
		t.Errorf("error %v", err)
	}
}
