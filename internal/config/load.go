package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/llmgw/llmgw/internal/config/syntax"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
)

// Load reads the configuration that the sources name: the file and what it
// includes, .env, environment_variables, references. The findings are
// everything worth saying about it at once, from a typo to a missing variable;
// one of severity Error means that nothing should be started with it. The error
// is set when there is no tree at all, and then the findings hold the reason
// too.
func Load(s Sources) (*Tree, []finding.Finding, error) {
	l := &loader{Sources: s}
	env := s.Env
	if env == nil {
		env = NewEnv(false)
	}
	l.tree = &Tree{root: &Node{Kind: Map, Pos: finding.Position{Line: 1, Col: 1}}, env: env.Clone()}
	if err := l.dotEnv(); err != nil {
		return nil, l.findings, err
	}
	if err := l.files(); err != nil {
		return nil, l.findings, err
	}
	l.keys()
	l.environmentVariables()
	if s.KeepReferences {
		for n := range l.tree.root.Walk() {
			if n.Kind == String {
				n.Ref, _ = reference(n.text)
			}
		}
	} else {
		l.resolve()
	}
	l.malformedReferences()
	l.serviceLinks()
	finding.Sort(l.findings)
	return l.tree, l.findings, nil
}

type loader struct {
	Sources
	tree     *Tree
	findings []finding.Finding
	// onlyHere are names that environment_variables alone sets.
	onlyHere map[string]*Node
}

func (l *loader) add(f finding.Finding) { l.findings = append(l.findings, f) }

// fail adds the finding of an error and returns the error.
func (l *loader) fail(e *SyntaxError) error {
	l.add(e.finding())
	return e
}

// bucketVariable makes LiteLLM read its configuration from object storage and
// leave the file alone.
const bucketVariable = "LITELLM_CONFIG_BUCKET_NAME"

// files finds and reads the main file and its includes.
func (l *loader) files() error {
	if l.Data != nil {
		return l.mainFile(l.File, l.Data)
	}
	if l.VariableWins && l.tree.env.Get(bucketVariable) != "" {
		return l.fail(&SyntaxError{Pos: l.varPos(bucketVariable),
			Message: bucketVariable + " is set: LiteLLM would read its configuration from a bucket, which this build cannot do",
			Fix:     "mount the file and name it with --config, and unset " + bucketVariable})
	}
	path, err := l.choose()
	if err != nil || path == "" {
		return err
	}
	data, err := l.read(path)
	if err != nil {
		return l.fail(readError(path, err, finding.Position{File: display(path)}, "Config file not found: "))
	}
	return l.mainFile(display(path), data)
}

func (l *loader) varPos(name string) finding.Position {
	v, _ := l.tree.env.Lookup(name)
	return v.Pos
}

// choose picks the path by the rule of the command.
func (l *loader) choose() (string, error) {
	const name = "CONFIG_FILE_PATH"
	v, set := l.tree.env.Lookup(name)
	if set && v.Known && v.Value == "" && l.VariableWins {
		l.add(finding.Finding{Severity: finding.Warning, Pos: v.Pos, Message: "CONFIG_FILE_PATH is set but empty and counts as not set; LiteLLM would load no configuration",
			Fix: "unset it"})
	}
	switch {
	case v.Value == "" || l.Path != "" && !l.VariableWins:
		return l.Path, nil
	case !l.VariableWins:
		return v.Value, nil
	}
	if ext := strings.ToLower(filepath.Ext(v.Value)); ext != ".yaml" && ext != ".yml" {
		return "", l.fail(&SyntaxError{Pos: v.Pos,
			Message: fmt.Sprintf("CONFIG_FILE_PATH is %q, which is not a .yaml or .yml file; LiteLLM would load nothing and serve without authentication", short(v.Value)),
			Fix:     "name the file, or unset CONFIG_FILE_PATH and use --config"})
	}
	if _, err := l.read(v.Value); err != nil && errors.Is(err, fs.ErrNotExist) {
		return "", l.fail(&SyntaxError{Pos: v.Pos,
			Message: fmt.Sprintf("CONFIG_FILE_PATH names %s, which does not exist; LiteLLM would load nothing and serve without authentication", short(v.Value)),
			Fix:     "correct CONFIG_FILE_PATH, or unset it and use --config"})
	}
	if l.Path != "" && !sameFile(l.abs(l.Path), l.abs(v.Value)) {
		l.add(finding.Finding{Severity: finding.Warning, Pos: v.Pos,
			Message: fmt.Sprintf("CONFIG_FILE_PATH names %s and --config names %s; CONFIG_FILE_PATH wins", short(v.Value), short(l.Path)),
			Why:     "LiteLLM reads both, one for the server and one for the database step",
			Fix:     "unset one of the two"})
	}
	return v.Value, nil
}

func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// display is the name under which a file is spoken of.
func display(path string) string {
	if path == "-" {
		return "-"
	}
	return filepath.ToSlash(path)
}

func (l *loader) abs(path string) string {
	if filepath.IsAbs(path) || l.Dir == "" {
		return path
	}
	return filepath.Join(l.Dir, path)
}

// read returns the text of a file, or of standard input, within the limit.
func (l *loader) read(path string) ([]byte, error) {
	if path == "-" {
		if l.Stdin == nil {
			return nil, errors.New("there is no standard input")
		}
		return bounded(l.Stdin)
	}
	if l.ReadFile != nil {
		return l.ReadFile(path)
	}
	f, err := os.Open(l.abs(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, syscall.EISDIR
	}
	return bounded(f)
}

// bounded reads one byte more than the limit, so that the reader after it can
// say that it is too much.
func bounded(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, syntax.MaxBytes+1))
}

// readError says in one sentence why a file cannot be read.
func readError(path string, err error, pos finding.Position, missing string) *SyntaxError {
	e := &SyntaxError{Pos: pos, Fix: "check the path"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Message = missing + display(path)
	case errors.Is(err, syscall.EISDIR):
		e.Message = display(path) + " is a directory, a file is expected"
	case errors.Is(err, fs.ErrPermission):
		e.Message = display(path) + " cannot be read: permission denied"
		e.Fix = "let the user that runs llmgw read it"
	default:
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		e.Message = fmt.Sprintf("%s cannot be read: %v", display(path), err)
	}
	return e
}

// mainFile parses the main file and merges what it includes.
func (l *loader) mainFile(name string, data []byte) error {
	root, err := l.parse(name, data, FromFile)
	if err != nil {
		l.scanLines(name, data)
		return err
	}
	if root == nil && l.Data == nil {
		return l.fail(&SyntaxError{Pos: finding.Position{File: name, Line: 1, Col: 1},
			Message: "Config cannot be None or Empty.", Fix: "there is nothing in the file; begin with model_list:"})
	}
	if root == nil {
		l.tree.root.Pos.File = name
		return nil
	}
	l.tree.root = root
	return l.includes(name)
}

// parse reads one file into a mapping; nil if it holds nothing.
func (l *loader) parse(name string, data []byte, kind OriginKind) (*Node, error) {
	l.tree.files = append(l.tree.files, File{name, data})
	root, findings, err := ParseYAML(name, data)
	l.findings = append(l.findings, findings...)
	if err != nil {
		return nil, err
	}
	switch root.Kind {
	case Null:
		return nil, nil
	case Map:
	default:
		if kind == FromInclude {
			return nil, l.fail(&SyntaxError{ID: "CFG012", Pos: root.Pos, Message: "Included config file is not a YAML mapping: " + name,
				Fix: "begin with a section such as model_list:"})
		}
		return nil, l.fail(&SyntaxError{Pos: root.Pos,
			Message: "the file is " + root.Kind.String() + ", a configuration is a mapping of sections",
			Fix:     "begin with a section such as model_list: or general_settings:"})
	}
	for n := range root.Walk() {
		n.Origin = Origin{Kind: kind, Pos: n.Pos}
	}
	return root, nil
}

// scanLines says what can still be told of a file that does not parse, so that a
// second run does not bring the next surprise.
func (l *loader) scanLines(name string, data []byte) {
	if len(data) > 1<<20 {
		return
	}
	index := newLineIndex(name, data)
	for i := range index.starts {
		key, value, ok := strings.Cut(index.line(i+1), ":")
		if !ok || strings.TrimSpace(key) != "master_key" {
			continue
		}
		value, _, _ = strings.Cut(value, " #")
		if value = strings.Trim(strings.TrimSpace(value), `"'`); litellm.WellKnownKey(value) {
			at := index.starts[i] + len(key) - len(strings.TrimLeft(key, " \t"))
			l.add(finding.Finding{ID: "SEC002", Name: "master-key-well-known", Severity: finding.Error, Pos: index.pos(at, index.starts[i]+len(key)),
				Path: "general_settings.master_key", Message: "the master key is a sample from documentation that everybody knows",
				Fix: "set your own, and write master_key: os.environ/LITELLM_MASTER_KEY"})
		}
	}
}
