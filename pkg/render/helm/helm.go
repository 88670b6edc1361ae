// Package helm renders the embedded chart with Helm's own template engine. It
// is the only package that imports helm.sh/helm/v3, and it reaches no cluster:
// the template function that would ask one finds nothing.
package helm

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/strvals"

	"github.com/llmgw/llmgw/pkg/render"
)

// Engine is Helm 3's.
type Engine struct {
	// Lenient takes a value that is not there for nothing, as helm template
	// does; the embedded chart is held to more.
	Lenient bool
}

var _ render.Engine = Engine{}

// Override applies -f, --set-json, --set and --set-string in Helm's order.
func (Engine) Override(values map[string]any, over render.Overrides) (map[string]any, error) {
	out := copyMap(values)
	for _, f := range over.Files {
		v, err := chartutil.ReadValues(f.Data)
		if err != nil {
			return nil, fmt.Errorf("%s is not a YAML mapping of values: %s", f.Name, oneLine(err))
		}
		merge(out, v)
	}
	for _, step := range []struct {
		flag  string
		texts []string
		apply func(string, map[string]any) error
	}{
		{"--set-json", over.JSON, strvals.ParseJSON},
		{"--set", over.Set, strvals.ParseInto},
		{"--set-string", over.SetString, strvals.ParseIntoString},
	} {
		for _, text := range step.texts {
			if err := step.apply(text, out); err != nil {
				key, _, _ := strings.Cut(text, "=")
				return nil, fmt.Errorf("%s %s=...: %s", step.flag, key, oneLine(err))
			}
		}
	}
	return out, nil
}

// merge lays b over a: mappings merge, everything else replaces. A null takes
// a key away, as in Helm.
func merge(a, b map[string]any) {
	for k, v := range b {
		sub, isMap := v.(map[string]any)
		old, wasMap := a[k].(map[string]any)
		switch {
		case isMap && wasMap:
			merge(old, sub)
		default:
			a[k] = v
		}
	}
}

func copyMap(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		if sub, ok := v.(map[string]any); ok {
			v = copyMap(sub)
		}
		out[k] = v
	}
	return out
}

// Render loads the chart and renders every template of it.
func (e Engine) Render(files fs.FS, release render.Release, values map[string]any) (map[string]string, error) {
	ch, err := load(files)
	if err != nil {
		return nil, fmt.Errorf("load the chart: %w", err)
	}
	kube, err := chartutil.ParseKubeVersion(release.KubeVersion)
	if err != nil {
		return nil, fmt.Errorf("kube version %q: %w", release.KubeVersion, err)
	}
	caps := *chartutil.DefaultCapabilities
	caps.KubeVersion = *kube
	top, err := chartutil.ToRenderValues(ch, values, chartutil.ReleaseOptions{Name: release.Name, Namespace: release.Namespace, IsInstall: true, Revision: 1}, &caps)
	if err != nil {
		return nil, schemaError(err)
	}
	if r, ok := top["Release"].(map[string]any); ok {
		r["Service"] = release.Service
	}
	out, err := engine.Engine{Strict: !e.Lenient}.Render(ch, top)
	if err != nil {
		return nil, templateError(err)
	}
	return out, nil
}

func load(files fs.FS) (*chart.Chart, error) {
	var buffered []*loader.BufferedFile
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		buffered = append(buffered, &loader.BufferedFile{Name: path, Data: data})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return loader.LoadFiles(buffered)
}

// schemaError keeps the sentences about the values and drops the headings.
func schemaError(err error) error {
	var kept []string
	for _, line := range strings.Split(err.Error(), "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "-"))
		if line == "" || strings.HasSuffix(line, ":") || strings.HasPrefix(line, "values don't meet") {
			continue
		}
		kept = append(kept, line)
	}
	if len(kept) == 0 {
		return fmt.Errorf("values: %s", oneLine(err))
	}
	return fmt.Errorf("values: %s", strings.Join(kept, "; "))
}

var failText = regexp.MustCompile(`error calling (?:fail|required): (.*)$`)

// templateError keeps what the chart itself said with fail, if it did.
func templateError(err error) error {
	text := oneLine(err)
	if m := failText.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s", m[1])
	}
	return fmt.Errorf("render the chart: %s", text)
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
