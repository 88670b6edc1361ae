package render

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/llmgw/llmgw/templates"
)

// WriteChart writes the embedded chart with a values.yaml that holds what was
// derived, comments and all, so that `helm install NAME DIR` gives the same
// objects. A directory that holds another chart is left alone.
func (r *Result) WriteChart(dir string) ([]string, error) {
	files, err := r.chartFiles()
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory %s: %w", dir, reason(err))
	}
	if len(entries) > 0 && !begins(filepath.Join(dir, "values.yaml"), mark) {
		return nil, fmt.Errorf("%s is not empty and was not written by llmgw render: choose another directory", dir)
	}
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return nil, fmt.Errorf("make the directory %s: %w", filepath.Dir(target), reason(err))
		}
		if err := writeFile(target, files[name], 0o644); err != nil {
			return nil, err
		}
	}
	return names, nil
}

var (
	chartVersion = regexp.MustCompile(`(?m)^version: .*$`)
	appVersion   = regexp.MustCompile(`(?m)^appVersion: .*$`)
)

// chartFiles are the files of the chart with the derived values in them.
func (r *Result) chartFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	chart := templates.Chart()
	err := fs.WalkDir(chart, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path.Clean(name)], err = fs.ReadFile(chart, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded chart: %w", err)
	}
	if files["values.yaml"], err = r.valuesFile(files["values.yaml"]); err != nil {
		return nil, fmt.Errorf("write values.yaml: %w", err)
	}
	image, _ := lookup(r.values, "image", "version").(string)
	text := files["Chart.yaml"]
	if ownRelease.MatchString(r.version) {
		text = chartVersion.ReplaceAll(text, []byte("version: "+strings.TrimPrefix(r.version, "v")))
	}
	files["Chart.yaml"] = appVersion.ReplaceAllLiteral(text, fmt.Appendf(nil, "appVersion: %q", image))
	return files, nil
}

// valuesFile puts values into the chart's own values.yaml, whose comments say
// what each means.
func (r *Result) valuesFile(defaults []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(defaults, &doc); err != nil {
		return nil, err
	}
	if err := setNode(doc.Content[0], r.values); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	buf.WriteString(r.firstLine())
	for _, line := range r.Header {
		fmt.Fprintf(&buf, "# %s\n", line)
	}
	buf.WriteByte('\n')
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	return buf.Bytes(), enc.Close()
}

// setNode gives a node a value, with its comments kept.
func setNode(n *yaml.Node, value any) error {
	values, isMap := value.(map[string]any)
	if isMap && n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			i := slices.IndexFunc(n.Content, func(c *yaml.Node) bool { return c.Value == key })
			// Keys stand at even places; a value of the same text is no key.
			for i >= 0 && i%2 == 1 {
				next := slices.IndexFunc(n.Content[i+1:], func(c *yaml.Node) bool { return c.Value == key })
				if next < 0 {
					i = -1
					break
				}
				i += 1 + next
			}
			if i < 0 {
				var v yaml.Node
				if err := v.Encode(values[key]); err != nil {
					return err
				}
				n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &v)
				continue
			}
			if err := setNode(n.Content[i+1], values[key]); err != nil {
				return err
			}
		}
		return nil
	}
	var v yaml.Node
	if err := v.Encode(value); err != nil {
		return err
	}
	v.HeadComment, v.LineComment, v.FootComment = n.HeadComment, n.LineComment, n.FootComment
	*n = v
	return nil
}
