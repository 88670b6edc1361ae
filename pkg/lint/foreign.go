package lint

import (
	"os"
	"path"
	"path/filepath"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// values reads the values of a chart: the workload that the chart makes of
// them, and the config they carry.
func (r *reader) values(name string, data []byte, doc *config.Node) {
	if manifest.IsOwnValues(doc) {
		workloads, found := manifest.OwnValues(name, data, doc)
		r.foreign = append(r.foreign, workloads...)
		r.found(found)
		for _, n := range doc.Get("config").Get("files").Items() {
			if e, ok := manifest.EmbeddedText(workloads[0].Object, n, data); ok {
				r.embedded(name, e)
			}
		}
		return
	}
	if doc.Has("gateway") && !doc.Has("proxy_config") {
		what := "are values of LiteLLM's chart of components: doctor reads those of litellm-helm; check the rendered manifests, helm template ... | llmgw doctor -"
		r.note("%s %s", name, what)
		r.unread = append(r.unread, name+" "+what)
		return
	}
	workloads, found := manifest.Values(name, data, doc)
	r.foreign = append(r.foreign, workloads...)
	r.found(found)
	n := doc.Get("proxy_config")
	if n.IsNull() {
		return
	}
	// The subtree alone, every byte of it where it stands.
	text := only(data, n)
	docs, _, err := config.ParseYAMLDocuments(name, text)
	if err != nil || len(docs) != 1 || docs[0].Kind != config.Map {
		r.note("proxy_config in %s uses an anchor from outside it, or is no mapping; it is not checked", name)
		return
	}
	r.config(&rule.Config{File: name, Root: docs[0], Data: text, Dir: r.o.Dir, Object: workloads[0].Object, Key: "proxy_config", Exact: true}, name)
}

// compose reads the services of a compose file and the env_files beside it.
func (r *reader) compose(name string, data []byte, doc *config.Node) []finding.Finding {
	workloads, found := manifest.ComposeServices(name, data, doc, func(at string) ([]config.Var, bool) {
		if !filepath.IsAbs(at) {
			at = path.Join(path.Dir(filepath.ToSlash(name)), at)
		}
		if text, ok := r.sources[at]; ok {
			vars, _ := config.ParseDotEnv(at, text)
			return vars, true
		}
		if _, err := os.Stat(r.onDisk(at)); err != nil {
			return nil, false // often kept out of the repository: CFG014 tells it
		}
		text, ok := r.open(at)
		if !ok || unreadable(text) != "" {
			return nil, false
		}
		vars, found := config.ParseDotEnv(at, text)
		r.input(at, "env", text, "env_file of "+name)
		r.found(found)
		r.comments = append(r.comments, scanSuppressions(at, text)...)
		return vars, true
	})
	r.foreign = append(r.foreign, workloads...)
	return found
}
