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
	"github.com/llmgw/llmgw/internal/manifest"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Bounds on what a run reads. A config of 10,000 models is below 2 MiB, and a
// thousand deployments with all their objects are half a million values.
const (
	maxFile  = 16 << 20
	maxFiles = 10_000
)

// maxValues bounds the YAML values of all inputs, and with them the memory. A
// variable for tests.
var maxValues = 4_000_000

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
	foreign   []*manifest.Workload // from values and compose files
	hits      []rule.Hit
	comments  []*suppression
	files     int
	full      string   // the first input that was too much
	size      int      // YAML values read so far
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
	if env := r.o.Environment; env != nil {
		all := &rule.EnvFile{File: "<env>"}
		for _, name := range env.Names() {
			v, _ := env.Lookup(name)
			v.Known = true
			if v.Pos.File == "" {
				v.Pos.File = all.File
			}
			all.Vars = append(all.Vars, v)
		}
		r.envFiles = append(r.envFiles, all)
	}
	for _, f := range r.o.EnvFiles {
		if data, ok := r.open(f); ok {
			r.env(f, data)
		}
	}
	for _, d := range r.o.Documents {
		r.yaml(d.Name, d.Data, false, false)
	}
	paths := r.o.Paths
	if len(paths) == 0 && r.o.ConfigPath == "" && len(r.o.Documents) == 0 {
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
	r.workloads = append(r.workloads, r.foreign...)
	r.found(found)
	return r.container()
}

// container takes the user's word for which container runs the gateway.
func (r *reader) container() error {
	at := strings.Split(r.o.Flags.Container, "/")
	if len(at) != 3 {
		return nil
	}
	found := false
	for _, w := range r.workloads {
		if w.Name != at[1] || at[0] != "" && w.Namespace != "" && w.Namespace != at[0] {
			continue
		}
		for _, c := range w.Containers {
			if c.Gateway = c.Name.Value == at[2]; !c.Gateway {
				c.Target = ""
				continue
			}
			found = true
			if c.Target == "" {
				c.Target = "litellm"
			}
		}
	}
	if !found {
		return fmt.Errorf("--container %s: no workload among the inputs has it", r.o.Flags.Container)
	}
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
		if scheme, _, ok := strings.Cut(path, "://"); ok && (scheme == "http" || scheme == "https") {
			r.problem(path, "is a URL, not a file; to look at a running gateway give --live --url with it")
			return nil
		}
		r.problem(path, "cannot be read: %s", cause(err))
		return nil
	}
	switch {
	case info.IsDir() && r.o.Chart != nil && r.isChart(path):
		r.chart(path, true)
		return nil
	case info.IsDir():
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
	if r.size > maxValues {
		if r.full == "" {
			r.full = path
			r.problem(path, "and what comes after it is not read: the inputs before it hold more than %d values; name the directories that matter", maxValues)
		}
		return nil, false
	}
	if data, ok := r.o.overlay[key]; ok {
		return data, true
	}
	if data, ok := r.o.Texts[path]; ok {
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
			if r.o.Chart != nil && r.isChart(name) {
				r.chart(name, false)
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
	r.envFiles = append(r.envFiles, &rule.EnvFile{File: name, Data: data, Vars: vars})
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
