// Package config is the one reader of config.yaml, of the environment and of
// .env: it turns them into one tree in which every key and value has its
// position and its origin, with LiteLLM's reading of YAML 1.1, its includes and
// its os.environ/ references.
//
// It reads files and nothing else: it opens no connection, prints nothing,
// changes no process environment, and puts no value of a variable into a
// finding. What a setting means to a request is not its business.
package config

import (
	"io"
	"slices"

	"github.com/llmgw/llmgw/internal/finding"
)

// Sources says what to load and by which rules. The zero value loads nothing
// and gives an empty tree.
type Sources struct {
	// Path is the value of --config; "-" reads Stdin.
	Path string
	// VariableWins makes CONFIG_FILE_PATH win over Path, which is the rule of
	// `serve`; elsewhere the flag wins and the variable is the fallback.
	VariableWins bool
	// Data, when not nil, is the configuration itself, under the name File; Path
	// and CONFIG_FILE_PATH are then not looked at.
	Data []byte
	File string

	// Env is the environment that references are resolved with; nil is an open,
	// empty one.
	Env *Env
	// KeepReferences leaves os.environ/ texts as they are: for commands that
	// check or rewrite a file without the environment it will run in.
	KeepReferences bool
	// EnvFile is read before everything else; it sets no variable that is set
	// already, and does not depend on LITELLM_MODE.
	EnvFile string
	// DotEnv reads ./.env of Dir when LITELLM_MODE is unset or DEV.
	DotEnv bool
	// Dir is the directory that relative paths start from; empty is the working
	// directory.
	Dir string

	// ReadFile replaces os.ReadFile, bounded; nil reads the file system.
	ReadFile func(path string) ([]byte, error)
	// Stdin is read for Path "-".
	Stdin io.Reader
}

// File is one file that was read.
type File struct {
	Name string // as the user knows it
	Data []byte // as it was on disk
}

// Tree is a loaded configuration.
type Tree struct {
	root   *Node
	env    *Env
	files  []File
	dotEnv string
}

// Root is the merged document; never nil, an empty mapping if there is none.
func (t *Tree) Root() *Node { return t.root }

// Get is Root().Lookup(path).
func (t *Tree) Get(path string) *Node { return t.root.Lookup(path) }

// Env is the environment after .env and environment_variables were applied.
func (t *Tree) Env() *Env { return t.env }

// DotEnv is the name of the .env file that was read, empty if none was.
func (t *Tree) DotEnv() string { return t.dotEnv }

// Files are the files that were read, the main file first.
func (t *Tree) Files() []File { return t.files }

// Section returns a top-level section, or nil when it is absent or null.
func (t *Tree) Section(name string) *Node {
	n := t.root.Get(name)
	if n.IsNull() {
		return nil
	}
	return n
}

// Forget drops a section, for who keeps a tree for the sake of the others: that of
// ten thousand models is forty megabytes. Nobody may hold on to a node of it.
func (t *Tree) Forget(section string) {
	gone := t.root.Get(section)
	delete(t.root.byKey, section)
	t.root.children = slices.DeleteFunc(t.root.children, func(n *Node) bool { return n == gone })
	gone.scatter()
}

// scatter takes a tree apart. Nodes are made in batches: one that stays keeps its
// neighbours, and must not keep what they lead to.
func (n *Node) scatter() {
	if n == nil {
		return
	}
	for _, list := range [][]*Node{n.children, n.Shadowed} {
		for _, c := range list {
			c.scatter()
		}
	}
	n.parent, n.children, n.byKey, n.Shadowed = nil, nil, nil, nil
}

// ParseYAML reads one YAML document of any kind. The findings are remarks on
// how LiteLLM reads it (duplicate keys, dates, base-60 numbers); a document
// that is not YAML gives an error of type [*SyntaxError] and one finding of
// severity Error with the same text. An empty file gives a Null node.
func ParseYAML(file string, data []byte) (*Node, []finding.Finding, error) {
	docs, findings, err := ParseYAMLDocuments(file, data)
	if err != nil {
		return nil, findings, err
	}
	switch len(docs) {
	case 0:
		return &Node{Pos: finding.Position{File: file, Line: 1, Col: 1}}, findings, nil
	case 1:
		return docs[0], findings, nil
	}
	e := &SyntaxError{Pos: docs[1].Pos, Message: "a second YAML document starts here; only one is allowed"}
	return nil, append(findings, e.finding()), e
}

// SyntaxError says why a file cannot be used, and where.
type SyntaxError struct {
	ID      string // of the finding; CFG001 when empty
	Pos     finding.Position
	Begins  finding.Position // of the construct that is broken; zero if that adds nothing
	Message string
	Fix     string
}

func (e *SyntaxError) Error() string { return e.Pos.String() + ": " + e.Message }

func (e *SyntaxError) finding() finding.Finding {
	f := finding.Finding{ID: "CFG001", Name: "yaml-syntax", Severity: finding.Error, Pos: e.Pos, Message: e.Message, Fix: e.Fix}
	if e.ID != "" {
		f.ID, f.Name = e.ID, ""
	}
	if !e.Begins.IsZero() {
		f.Related = []finding.Related{{Pos: e.Begins, Message: "it begins here"}}
	}
	return f
}
