package lint

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/manifest"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// yaml reads a YAML or JSON file. named is true for files the user named, so
// that what is skipped in a directory is an error here; forced makes it a
// gateway config.
func (r *reader) yaml(name string, data []byte, named, forced bool) {
	if why := unreadable(data); why != "" {
		if named {
			r.problem(name, "%s", why)
		} else {
			r.note("%s %s; it is not checked", name, why)
		}
		return
	}
	docs, found, err := config.ParseYAMLDocuments(name, data)
	if err != nil {
		if templated(data) {
			const advice = "is a Helm template; render it first: helm template ... | llmgw doctor -"
			if named {
				r.problem(name, advice)
			} else {
				r.note("%s %s", name, advice)
			}
			return
		}
		r.input(name, "yaml", data, "not well-formed")
		r.syntax(name, found, err)
		return
	}
	kinds := []string{}
	for i, doc := range docs {
		for range doc.Walk() {
			r.size++
		}
		class := manifest.Classify(doc)
		if forced {
			class = manifest.GatewayConfig
		}
		kind := class.String()
		switch class {
		case manifest.GatewayConfig:
			switch {
			case doc.Kind != config.Map && !doc.IsNull():
				r.hits = append(r.hits, rule.HitOf("CFG001", finding.Position{File: name, Line: doc.Pos.Line, Col: doc.Pos.Col},
					"the config is "+doc.Kind.String()+", not a mapping of sections"))
				continue
			case len(docs) > 1 && i > 0 && manifest.Classify(docs[0]) == manifest.GatewayConfig:
				r.hits = append(r.hits, rule.HitOf("CFG001", doc.Pos, "a second YAML document starts here; LiteLLM reads one"))
				continue
			}
			c := &rule.Config{File: name, Root: doc, Data: data, Dir: r.o.Dir, Exact: true}
			if len(docs) > 1 {
				// A config among other documents: blank the others, so that it can be
				// loaded alone with its positions.
				c.Data = only(data, doc)
			}
			r.config(c, name)
		case manifest.Kubernetes:
			r.kubernetes(name, data, doc)
		case manifest.HelmValues:
			r.values(name, data, doc)
		case manifest.Compose:
			found = append(found, r.compose(name, data, doc)...)
		case manifest.Kustomization:
			what := "is a kustomization: its patches are not applied; check the built manifests, kustomize build . | llmgw doctor -"
			r.note("%s %s", name, what)
			r.unread = append(r.unread, name+" "+what)
		case manifest.Empty:
			kind = "empty"
		default:
			if named {
				r.note("%s is neither a gateway config nor a Kubernetes object; nothing in it is checked (force it with -c)", name)
			}
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	if len(docs) == 0 {
		kinds = []string{"empty"}
		if forced {
			r.config(&rule.Config{File: name, Root: &config.Node{Kind: config.Map, Pos: finding.Position{File: name, Line: 1, Col: 1}}, Data: []byte("{}"), Exact: true}, name)
		}
	}
	r.input(name, strings.Join(kinds, "+"), data, "")
	r.found(found)
	r.comments = append(r.comments, scanSuppressions(name, data)...)
}

// syntax reports a file that is not YAML.
func (r *reader) syntax(name string, found []finding.Finding, err error) {
	var e *config.SyntaxError
	pos, message, fix := finding.Position{File: name, Line: 1, Col: 1}, err.Error(), ""
	if errors.As(err, &e) {
		pos, message, fix = e.Pos, e.Message, e.Fix
	}
	h := rule.HitOf("CFG001", pos, message)
	if fix != "" {
		h.Fix = fix
	}
	r.hits = append(r.hits, h)
	for _, f := range found {
		if f.ID != "CFG001" {
			r.found([]finding.Finding{f})
		}
	}
}

// found takes over the reader's findings that have a place in the catalogue.
func (r *reader) found(list []finding.Finding) {
	for _, f := range list {
		known, ok := rule.Lookup(f.ID)
		if f.ID == "" || !ok {
			continue
		}
		h := rule.HitOf(known.ID, f.Pos, f.Message)
		h.Path, h.Detail, h.Related, h.Edits = f.Path, f.Detail, f.Related, f.Edits
		if f.Why != "" {
			h.Why = f.Why
		}
		if f.Fix != "" {
			h.Fix = f.Fix
		}
		h.Severity = severityOf(known, f)
		if near, ok := strings.CutPrefix(h.Fix, "did you mean "); ok {
			h.Message += "; " + h.Fix
			h.Fix = "rename it to " + strings.TrimSuffix(near, "?") + "."
		}
		r.hits = append(r.hits, h)
	}
}

// severityOf judges what the reader of configurations only remarks on: it keeps
// the last of two keys and goes on, doctor says that this is wrong.
func severityOf(known *rule.Rule, f finding.Finding) finding.Severity {
	switch known.ID {
	case "CFG004":
		if strings.HasPrefix(f.Fix, "did you mean ") || strings.HasPrefix(f.Path, "router_settings.") {
			return finding.Warning
		}
		return finding.Info
	case "CFG005":
		section, name, ok := strings.Cut(f.Path, ".")
		if !ok {
			section, name = litellm.SectionTop, f.Path
		}
		if m, ok := litellm.Misplaced(section, name); ok && (m.Owner == litellm.SectionGeneral || m.ID == "M21") {
			return finding.Error
		}
		return finding.Warning
	}
	return known.Highest()
}

func templated(data []byte) bool {
	return bytes.Contains(data, []byte("{{")) && bytes.Contains(data, []byte("}}"))
}

// config takes a gateway config over: with what it includes, and with the
// remarks of the reader that serve uses too.
func (r *reader) config(c *rule.Config, name string) {
	tree, found, err := config.Load(config.Sources{Data: c.Data, File: name, Dir: c.Dir, Env: config.NewEnv(false), KeepReferences: true})
	for _, f := range found {
		switch f.ID {
		case "CFG003", "CFG004", "CFG005", "CFG012", "CFG013", "CFG020":
			if f.ID == "CFG013" && strings.HasSuffix(f.Path, ".set_verbose") {
				continue // the production page writes it out; LOG001 speaks when it is on
			}
			if !c.Exact {
				f.Pos, f.Edits, f.Related = c.At, nil, nil
			}
			r.found([]finding.Finding{f})
		}
	}
	if err == nil && tree != nil && c.Root.Has("include") {
		c.Root = tree.Root()
		for _, f := range tree.Files() {
			if f.Name == name || r.sources[f.Name] != nil {
				continue
			}
			r.input(f.Name, "config", f.Data, "included by "+name)
			r.seen[filepath.Clean(f.Name)] = true
			r.comments = append(r.comments, scanSuppressions(f.Name, f.Data)...)
		}
	}
	r.configs = append(r.configs, c)
}

func (r *reader) kubernetes(name string, data []byte, doc *config.Node) {
	for _, o := range manifest.Objects(name, data, []*config.Node{doc}) {
		r.objects = append(r.objects, o)
		r.annotations(o)
		if o.Kind == "Application" || o.Kind == "ApplicationSet" {
			r.application(name, data, o)
		}
		for _, e := range o.EmbeddedConfigs(data) {
			r.embedded(name, e)
		}
	}
}

// embedded reads the config that a ConfigMap carries.
func (r *reader) embedded(name string, e manifest.Embedded) {
	docs, found, err := config.ParseYAMLDocuments(name, e.Text)
	if !e.Exact {
		for i := range found {
			found[i].Pos = e.At
			found[i].Edits = nil
		}
	}
	if err != nil {
		if templated(e.Text) {
			r.note("%s in %s of %s is a template; it is not checked", e.Key, e.Object, name)
			return
		}
		var syntax *config.SyntaxError
		if !e.Exact && errors.As(err, &syntax) {
			err = &config.SyntaxError{Pos: e.At, Message: fmt.Sprintf("line %d of %s: %s", syntax.Pos.Line, e.Key, syntax.Message), Fix: syntax.Fix}
		}
		r.syntax(name, found, err)
		return
	}
	if len(docs) != 1 || manifest.Classify(docs[0]) != manifest.GatewayConfig {
		return
	}
	if !e.Exact {
		for n := range docs[0].Walk() {
			n.Pos = e.At
			if n.KeyPos.Line > 0 {
				n.KeyPos = e.At
			}
		}
	}
	r.found(found)
	r.config(&rule.Config{File: name, Root: docs[0], Data: e.Text, Object: e.Object, Key: e.Key, Exact: e.Exact, At: e.At}, name)
}

// only is the text of one document, everything else blank.
func only(data []byte, doc *config.Node) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		switch {
		case b == '\n' || b == '\r' || i >= doc.Pos.Offset && i < doc.Pos.End:
			out[i] = b
		default:
			out[i] = ' '
		}
	}
	return out
}

const annotationPrefix = "ignore.llmgw.dev/"

func (r *reader) annotations(o *manifest.Object) {
	for key, text := range o.Annotations {
		id, ok := strings.CutPrefix(key, annotationPrefix)
		if !ok {
			continue
		}
		s := &suppression{
			ids: []string{strings.ToUpper(id)}, reason: strings.TrimSpace(text.Value), pos: text.Pos, from: "annotation",
			file: o.File, lineFrom: o.FirstLine, lineTo: o.LastLine, used: map[string]bool{},
		}
		if s.reason == "" {
			s.problem = "the annotation gives no reason"
		}
		r.comments = append(r.comments, s)
	}
}
