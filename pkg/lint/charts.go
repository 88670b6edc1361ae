package lint

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// RenderedSuffix marks what a chart gave, which is no file.
const RenderedSuffix = " (rendered)"

// isChart reports whether a directory is a Helm chart with templates.
func (r *reader) isChart(dir string) bool {
	for _, name := range []string{"Chart.yaml", "templates"} {
		if _, err := os.Stat(filepath.Join(r.onDisk(dir), name)); err != nil {
			return false
		}
	}
	return true
}

// chart renders a chart and reads what comes out, as helm template | doctor -
// would. named is true for charts that the user named: a chart that was met on
// the way and does not render is a note.
func (r *reader) chart(dir string, named bool) {
	complain := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); named {
			r.problem(dir, "%s", text)
		} else {
			r.note("%s %s", dir, text)
		}
	}
	files := boundedFS{os.DirFS(r.onDisk(dir))}
	first, err := r.o.Chart(files)
	if err != nil {
		complain("is a Helm chart that cannot be rendered: %s; give its values with -f or --set, or pipe them in: helm template ... | llmgw doctor -", err)
		return
	}
	data, starts := joined(first)
	if len(bytes.TrimSpace(data)) == 0 {
		complain("is a Helm chart whose templates give nothing")
		return
	}
	name := filepath.ToSlash(dir) + RenderedSuffix
	r.yaml(name, data, named, false)
	again, err := r.o.Chart(files)
	if err != nil {
		return
	}
	for _, file := range slices.Sorted(maps.Keys(first)) {
		if again[file] == first[file] {
			continue
		}
		line := starts[file]
		a, b := strings.Split(first[file], "\n"), strings.Split(again[file], "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				break
			}
			line++
		}
		key, _, _ := strings.Cut(strings.TrimSpace(a[min(line-starts[file], len(a)-1)]), ":")
		h := rule.HitOf("K8S042", finding.Position{File: name, Line: line, Col: 1}, fmt.Sprintf("two renders of %s differ, first at %s", file, key))
		h.Path = file
		r.hits = append(r.hits, h)
	}
}

// template adds to a finding in what a chart gave the template it came from.
func (r *Result) template(h *rule.Hit) {
	for _, o := range r.Model.ObjectsOf(h.Pos.File) {
		if o.Source == "" || h.Pos.Line < o.FirstLine || h.Pos.Line > o.LastLine {
			continue
		}
		file := o.Source
		if dir, ok := strings.CutSuffix(h.Pos.File, RenderedSuffix); ok {
			// The first part is the chart's name; here its directory is known.
			if _, rest, ok := strings.Cut(o.Source, "/"); ok {
				file = path.Join(dir, rest)
			}
		}
		h.Related = append(slices.Clip(h.Related), finding.Related{Pos: finding.Position{File: file}, Message: "the template it comes from"})
		return
	}
}

// joined is the text of all templates as helm template prints it, and the line
// at which the text of each begins.
func joined(files map[string]string) ([]byte, map[string]int) {
	var b bytes.Buffer
	starts := map[string]int{}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		text := files[file]
		switch path.Ext(file) {
		case ".yaml", ".yml", ".json":
		default:
			continue // NOTES.txt
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		fmt.Fprintf(&b, "---\n# Source: %s\n", file)
		starts[file] = bytes.Count(b.Bytes(), []byte("\n")) + 1
		b.WriteString(text)
		if !strings.HasSuffix(text, "\n") {
			b.WriteByte('\n')
		}
	}
	return b.Bytes(), starts
}

// boundedFS is a chart's directory without what a chart does not need: large
// files and hidden directories.
type boundedFS struct{ fs.FS }

func (f boundedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(f.FS, name)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool {
		if e.IsDir() {
			return strings.HasPrefix(e.Name(), ".") || e.Name() == "node_modules"
		}
		info, err := e.Info()
		return err != nil || !info.Mode().IsRegular() || info.Size() > maxFile/4
	}), err
}

// application reads the values that an Argo CD Application hands to a chart.
func (r *reader) application(name string, data []byte, o *manifest.Object) {
	spec := o.Node.Get("spec")
	if o.Kind == "ApplicationSet" {
		spec = spec.Get("template").Get("spec")
	}
	sources := []*config.Node{spec.Get("source")}
	sources = append(sources, spec.Get("sources").Items()...)
	for _, s := range sources {
		helm := s.Get("helm")
		if helm == nil {
			continue
		}
		if n := helm.Get("parameters"); n.Len() > 0 && ours(helm.Get("valuesObject"), s) {
			r.note("%s: the parameters of %s win over its values; they are not judged", name, o)
		}
		if n := helm.Get("valuesObject"); n != nil {
			if manifest.Classify(n) == manifest.HelmValues {
				r.values(name, data, n)
			}
			continue // it wins over values
		}
		e, ok := manifest.EmbeddedValue(o, helm.Get("values"), data)
		if !ok {
			continue
		}
		if !e.Exact {
			r.note("%s: the values of %s are not a block of lines (values: |); they are not judged", name, o)
			continue
		}
		docs, found, err := config.ParseYAMLDocuments(name, e.Text)
		if err != nil {
			if templated(e.Text) {
				r.note("%s: the values of %s are a template; they are not judged", name, o)
				continue
			}
			r.syntax(name, found, err)
			continue
		}
		if len(docs) == 1 && manifest.Classify(docs[0]) == manifest.HelmValues {
			r.found(found)
			r.values(name, e.Text, docs[0])
		}
	}
}

// ours reports whether a source looks like a chart of the gateway.
func ours(values, source *config.Node) bool {
	chart, _ := source.Get("chart").Scalar()
	return values != nil && manifest.Classify(values) == manifest.HelmValues || strings.Contains(chart, "litellm") || strings.Contains(chart, "llmgw")
}
