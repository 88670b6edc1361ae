package config

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
)

// maxIncludes bounds how many files one configuration may consist of.
const maxIncludes = 200

// pending is a file that is named by an include and not read yet.
type pending struct {
	path  string
	from  string   // the file that names it
	at    *Node    // the entry that names it
	chain []string // the files on the way to it, for cycles
}

// includes reads the files that the main file names, and the files that those
// name, first come first served. Lists are joined, everything else is replaced
// as a whole by the file that comes later.
func (l *loader) includes(name string) error {
	queue, err := l.takeIncludes(l.tree.root, []string{name})
	if err != nil {
		return err
	}
	var read []string
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		file, data, err := l.locate(next, name)
		if slices.Contains(next.chain, file) {
			return l.fail(&SyntaxError{ID: "CFG012", Pos: next.at.Pos,
				Message: "include goes in a circle: " + strings.Join(append(next.chain, file), " -> "),
				Fix:     "delete one of the include entries"})
		}
		if slices.Contains(read, file) {
			l.add(finding.Finding{ID: "CFG012", Severity: finding.Info, Pos: next.at.Pos,
				Message: file + " is included a second time; it is read once", Fix: "delete the entry"})
			continue
		}
		if len(read) == maxIncludes {
			return l.fail(&SyntaxError{ID: "CFG012", Pos: next.at.Pos,
				Message: fmt.Sprintf("more than %d files are included", maxIncludes), Fix: "join some of them"})
		}
		read = append(read, file)
		if err != nil {
			e := readError(file, err, next.at.Pos, "Included file not found: ")
			e.ID = "CFG012"
			e.Fix = "paths are relative to the file that holds the include"
			return l.fail(e)
		}
		root, err := l.parse(file, data, FromInclude)
		if err != nil {
			return err
		}
		if root == nil {
			continue
		}
		more, err := l.takeIncludes(root, append(slices.Clone(next.chain), file))
		if err != nil {
			return err
		}
		queue = append(queue, more...)
		l.merge(root)
	}
	return nil
}

// locate finds an included file: next to the file that names it, else, as older
// releases had it, next to the main file.
func (l *loader) locate(p pending, main string) (file string, data []byte, err error) {
	entry := filepath.ToSlash(p.path)
	if filepath.IsAbs(p.path) || path.IsAbs(entry) {
		data, err = l.read(entry)
		return entry, data, err
	}
	beside := func(name string) string {
		if name == "-" {
			return path.Clean(entry)
		}
		return path.Join(path.Dir(filepath.ToSlash(name)), entry)
	}
	file, old := beside(p.from), beside(main)
	data, err = l.read(file)
	if old == file {
		return file, data, err
	}
	switch oldData, oldErr := l.read(old); {
	case oldErr != nil:
	case err == nil:
		l.add(finding.Finding{ID: "CFG012", Severity: finding.Warning, Pos: p.at.Pos,
			Message: fmt.Sprintf("%s and %s both exist; the first is read, older LiteLLM releases read the second", file, old), Fix: "rename one of the two"})
	default:
		l.add(finding.Finding{ID: "CFG012", Severity: finding.Warning, Pos: p.at.Pos,
			Message: fmt.Sprintf("%s does not exist, %s next to the main file is read instead", file, old), Fix: "move it, or correct the path"})
		return old, oldData, nil
	}
	return file, data, err
}

// takeIncludes removes the include key from a file and returns what it names.
func (l *loader) takeIncludes(root *Node, chain []string) ([]pending, error) {
	n := root.Get("include")
	if n == nil {
		return nil, nil
	}
	entries := []*Node{n}
	switch n.Kind {
	case Null:
		entries = nil
	case List:
		entries = n.children
	case String:
		l.add(finding.Finding{ID: "CFG012", Severity: finding.Warning, Pos: n.Pos, Path: "include",
			Message: "include is one text; LiteLLM stops on that and wants a list", Fix: "write it as a list"})
	}
	var list []pending
	for _, e := range entries {
		file, ok := e.Str()
		if !ok || strings.TrimSpace(file) == "" {
			return nil, l.fail(&SyntaxError{ID: "CFG012", Pos: e.Pos,
				Message: "'include' must be a list of file paths, and this is " + describe(e), Fix: `write include: ["models.yaml"]`})
		}
		list = append(list, pending{path: file, from: chain[len(chain)-1], at: e, chain: chain})
	}
	root.remove("include")
	return list, nil
}

// describe says what a value is, for "expected x, found y".
func describe(n *Node) string {
	if text, ok := n.Str(); ok && strings.TrimSpace(text) == "" {
		return "an empty text"
	}
	return n.Kind.String()
}

func (n *Node) remove(key string) {
	i := slices.IndexFunc(n.children, func(c *Node) bool { return c.Key == key })
	if i < 0 {
		return
	}
	n.children = slices.Delete(n.children, i, i+1)
	n.reindex()
}

// reindex repairs what depends on the order of the children.
func (n *Node) reindex() {
	n.byKey = nil
	if n.Kind == Map && len(n.children) >= indexFrom {
		n.byKey = make(map[string]*Node, len(n.children))
	}
	for i, c := range n.children {
		c.parent, c.index = n, i
		if n.byKey != nil {
			n.byKey[c.Key] = c
		}
	}
}

// merge puts the sections of an included file into the tree.
func (l *loader) merge(from *Node) {
	root := l.tree.root
	for _, theirs := range from.children {
		mine := root.Get(theirs.Key)
		switch {
		case mine == nil:
			root.children = append(root.children, theirs)
		case mine.Kind == List && theirs.Kind == List:
			joined := *mine
			joined.children = slices.Concat(mine.children, theirs.children)
			root.children[mine.index] = &joined
			joined.reindex()
		default:
			l.replaced(mine, theirs)
			root.children[mine.index] = theirs
		}
		root.reindex()
	}
}

// replaced warns of an included section that wipes another one, and names the
// keys that are gone.
func (l *loader) replaced(mine, theirs *Node) {
	if mine.IsNull() {
		return
	}
	var lost []string
	for _, c := range mine.children {
		if mine.Kind == Map && !theirs.Has(c.Key) {
			lost = append(lost, c.Key)
		}
	}
	message := fmt.Sprintf("%s:%d replaces %s from %s:%d (include does not merge mappings)",
		theirs.KeyPos.File, theirs.KeyPos.Line, theirs.Key, mine.KeyPos.File, mine.KeyPos.Line)
	if len(lost) > 0 {
		message += "; lost keys: " + strings.Join(lost, ", ")
	}
	l.add(finding.Finding{ID: "CFG020", Name: "include-replaces-section", Severity: finding.Warning,
		Pos: theirs.KeyPos, Path: theirs.Key, Message: message,
		Fix:     "write the whole section in one file",
		Related: []finding.Related{{Pos: mine.KeyPos, Message: "without effect"}}})
}
