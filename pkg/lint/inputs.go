package lint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/manifest"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Bounds on what a run reads. A config of 10,000 models is below 2 MiB.
const (
	maxFile  = 16 << 20
	maxFiles = 10_000
)

// defaults are looked for when no path is given.
var defaults = []string{"config.yaml", "litellm_config.yaml", "k8s", "deploy"}

// reader collects the inputs of a run.
type reader struct {
	o         Options
	inputs    []Input
	problems  []Problem
	notes     []string
	sources   map[string][]byte
	configs   []*rule.Config
	envFiles  []*rule.EnvFile
	objects   []*manifest.Object
	workloads []*manifest.Workload
	hits      []rule.Hit
	comments  []*suppression
	files     int
	unread    []string // kinds that were recognised and are not judged yet
	seen      map[string]bool
}

func newReader(o Options) *reader {
	return &reader{o: o, sources: map[string][]byte{}, seen: map[string]bool{}}
}

func (r *reader) problem(path, format string, args ...any) {
	r.problems = append(r.problems, Problem{path, fmt.Sprintf(format, args...)})
}

func (r *reader) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(r.notes, n) {
		r.notes = append(r.notes, n)
	}
}

// onDisk is a path as the process opens it.
func (r *reader) onDisk(path string) string {
	if r.o.Dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.o.Dir, path)
}

// read reads every input and joins the manifests.
func (r *reader) read(ctx context.Context) error {
	if r.o.ConfigPath != "" {
		if data, ok := r.open(r.o.ConfigPath); ok {
			r.yaml(r.o.ConfigPath, data, true, true)
		}
	}
	for _, f := range r.o.EnvFiles {
		if data, ok := r.open(f); ok {
			r.env(f, data)
		}
	}
	paths := r.o.Paths
	if len(paths) == 0 && r.o.ConfigPath == "" {
		paths = r.defaultPaths()
	}
	for _, p := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.path(ctx, p); err != nil {
			return err
		}
	}
	var found []finding.Finding
	r.workloads, found = manifest.Workloads(r.objects)
	r.found(found)
	return nil
}

func (r *reader) defaultPaths() []string {
	var out []string
	for _, p := range defaults {
		if _, err := os.Stat(r.onDisk(p)); err == nil {
			out = append(out, p)
		}
	}
	entries, _ := os.ReadDir(r.onDisk("."))
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".env") && !e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}

func (r *reader) path(ctx context.Context, path string) error {
	if path == "-" {
		name := r.o.StdinName
		if name == "" {
			name = "-"
		}
		if r.o.Stdin == nil {
			r.problem(name, "there is no standard input")
			return nil
		}
		data, err := io.ReadAll(io.LimitReader(r.o.Stdin, maxFile+1))
		switch {
		case err != nil:
			r.problem(name, "cannot read standard input: %s", cause(err))
		case len(data) > maxFile:
			r.problem(name, "is larger than %d MiB", maxFile>>20)
		default:
			r.content(name, data, true)
		}
		return nil
	}
	info, err := os.Stat(r.onDisk(path))
	if err != nil {
		r.problem(path, "cannot be read: %s", cause(err))
		return nil
	}
	if info.IsDir() {
		return r.walk(ctx, path)
	}
	if data, ok := r.open(path); ok {
		r.content(path, data, true)
	}
	return nil
}

// open reads a regular file of reasonable size, once.
func (r *reader) open(path string) ([]byte, bool) {
	key := filepath.Clean(path)
	if r.seen[key] {
		return nil, false
	}
	r.seen[key] = true
	r.files++
	if data, ok := r.o.overlay[key]; ok {
		return data, true
	}
	f, err := os.Open(r.onDisk(path))
	if err != nil {
		r.problem(path, "cannot be read: %s", cause(err))
		return nil, false
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		r.problem(path, "cannot be read: %s", cause(err))
		return nil, false
	case info.IsDir():
		r.problem(path, "is a directory; a file is needed here")
		return nil, false
	case !info.Mode().IsRegular():
		r.problem(path, "is not a regular file; use - to read standard input")
		return nil, false
	case info.Size() > maxFile:
		r.problem(path, "has %d MiB; files above %d MiB are not read", info.Size()>>20, maxFile>>20)
		return nil, false
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		r.problem(path, "cannot be read: %s", cause(err))
		return nil, false
	}
	if len(data) > maxFile {
		r.problem(path, "grew above %d MiB while it was read", maxFile>>20)
		return nil, false
	}
	return data, true
}

// cause is the part of a file error that the user needs.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

// walk visits a directory. Directories behind symbolic links are not entered,
// so a loop cannot catch it.
func (r *reader) walk(ctx context.Context, root string) error {
	top := r.onDisk(root)
	if real, err := filepath.EvalSymlinks(top); err == nil {
		top = real
	}
	err := filepath.WalkDir(top, func(at string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rel, relErr := filepath.Rel(top, at)
		if relErr != nil {
			rel = at
		}
		name := filepath.ToSlash(filepath.Join(root, rel))
		if err != nil {
			r.problem(name, "cannot be read: %s", cause(err))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			if at == top {
				return nil
			}
			if d.Name() == ".git" || d.Name() == "node_modules" {
				return fs.SkipDir
			}
			if d.Name() == "templates" || d.Name() == "charts" {
				if _, err := os.Stat(filepath.Join(filepath.Dir(at), "Chart.yaml")); err == nil {
					r.note("%s holds a Helm chart's templates: render them first, helm template ... | llmgw doctor -", name)
					return fs.SkipDir
				}
			}
			return nil
		}
		switch ext := strings.ToLower(filepath.Ext(d.Name())); {
		case ext == ".env" || d.Name() == ".env":
			if !r.given(name) {
				r.note("%s is not read: name it with --env-file if the gateway runs with it", name)
			}
			return nil
		case ext != ".yaml" && ext != ".yml" && ext != ".json", strings.HasPrefix(d.Name(), ".llmgw-doctor"), d.Name() == "Chart.yaml":
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(at)
			if err != nil || info.IsDir() {
				r.note("%s is a symbolic link that leads to no file; it is not followed", name)
				return nil
			}
		}
		if r.files >= maxFiles {
			return fmt.Errorf("%s: more than %d files; name the directories that matter", root, maxFiles)
		}
		if data, ok := r.open(name); ok {
			r.content(name, data, false)
		}
		return nil
	})
	return err
}

func (r *reader) given(name string) bool {
	return slices.ContainsFunc(r.o.EnvFiles, func(f string) bool { return filepath.Clean(f) == filepath.Clean(name) })
}

// content classifies a file and reads it.
func (r *reader) content(name string, data []byte, named bool) {
	if strings.HasSuffix(name, ".env") || filepath.Base(name) == ".env" {
		r.env(name, data)
		return
	}
	ext := strings.ToLower(filepath.Ext(name))
	if ext != ".yaml" && ext != ".yml" && ext != ".json" && looksLikeEnv(data) {
		r.env(name, data)
		return
	}
	r.yaml(name, data, named, false)
}

// looksLikeEnv reports whether every line that says something is KEY=VALUE.
func looksLikeEnv(data []byte) bool {
	found := false
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		line = bytes.TrimPrefix(line, []byte("export "))
		key, _, ok := bytes.Cut(line, []byte("="))
		if !ok || bytes.ContainsAny(key, " :\t{}[]\"") || len(key) == 0 {
			return false
		}
		found = true
	}
	return found
}

func (r *reader) input(name, kind string, data []byte, note string) {
	sum := sha256.Sum256(data)
	r.inputs = append(r.inputs, Input{Path: name, Kind: kind, SHA256: hex.EncodeToString(sum[:]), Note: note})
	r.sources[name] = data
}

func (r *reader) env(name string, data []byte) {
	if why := unreadable(data); why != "" {
		r.problem(name, "%s", why)
		return
	}
	vars, found := config.ParseDotEnv(name, data)
	r.input(name, "env", data, "")
	r.found(found)
	for i := range vars {
		vars[i].Known = true
	}
	r.envFiles = append(r.envFiles, &rule.EnvFile{File: name, Vars: vars})
	r.comments = append(r.comments, scanSuppressions(name, data)...)
}

// unreadable says why bytes cannot be text we read, "" when they can.
func unreadable(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return "is UTF-16; save it as UTF-8"
	case bytes.IndexByte(data, 0) >= 0:
		return "is binary, not text"
	case !utf8.Valid(data):
		return "is not UTF-8; save it as UTF-8"
	}
	return ""
}

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
		case manifest.HelmValues, manifest.Compose, manifest.Kustomization:
			what := map[manifest.Class]string{
				manifest.HelmValues:    "are Helm values: this version of doctor does not read them yet; check the rendered manifests, helm template ... | llmgw doctor -",
				manifest.Compose:       "is a compose file: this version of doctor does not read it yet",
				manifest.Kustomization: "is a kustomization: its patches are not applied; check the built manifests, kustomize build . | llmgw doctor -",
			}[class]
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

// nothing reports whether there is nothing that rules could judge.
func (r *reader) nothing() bool {
	if len(r.configs) > 0 || len(r.envFiles) > 0 || len(r.hits) > 0 {
		return false
	}
	return !slices.ContainsFunc(r.workloads, func(w *manifest.Workload) bool {
		return w.Gateway() != nil || slices.ContainsFunc(w.Init, func(c *manifest.Container) bool { return c.Gateway })
	})
}

func (r *reader) nothingError() error {
	switch {
	case len(r.unread) > 0:
		return fmt.Errorf("%w: %s", ErrNothing, r.unread[0])
	case len(r.o.Paths) == 0 && r.files == 0:
		return fmt.Errorf("%w: there is no config.yaml, litellm_config.yaml, k8s, deploy or *.env here; name a file or a directory", ErrNothing)
	case len(r.objects) > 0:
		return fmt.Errorf("%w: no gateway config, and no container that runs litellm or llmgw", ErrNothing)
	}
	return fmt.Errorf("%w: no gateway config, Kubernetes object or environment file among the inputs", ErrNothing)
}

// openEnvironment is CFG014: once per run, where an absence cannot be proven.
func (r *reader) openEnvironment(m *rule.Model) []rule.Hit {
	for _, u := range m.Units {
		if u.Env.Closed() {
			continue
		}
		if u.Container != nil {
			for _, f := range u.Container.EnvFrom {
				if !f.Resolved {
					h := rule.HitOf("CFG014", u.Container.EnvFromPos, fmt.Sprintf("the environment is not known in full: %s %s is not among the inputs", f.Kind, f.Name))
					h.Path = f.Name
					return []rule.Hit{h}
				}
			}
		}
		if u.Config == nil {
			continue
		}
		missing := []string{}
		for n := range u.Config.Root.Walk() {
			text, _ := n.Scalar()
			if name, ok := strings.CutPrefix(text, "os.environ/"); ok && !u.Env.Has(name) && !slices.Contains(missing, name) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			list := strings.Join(missing[:min(3, len(missing))], ", ")
			if len(missing) > 3 {
				list += fmt.Sprintf(" and %d more", len(missing)-3)
			}
			return []rule.Hit{rule.HitOf("CFG014", u.Config.Line1(), "no environment is given, but the config refers to "+list)}
		}
	}
	return nil
}
