package config

import (
	"fmt"
	"math"
	"strconv"

	"github.com/llmgw/llmgw/internal/config/syntax"
	"github.com/llmgw/llmgw/internal/finding"
)

// entry is a key and its value on the way into a mapping.
type entry struct {
	key   *syntax.Node
	value *Node
	text  string
	kind  Kind
	pos   finding.Position
}

// mapping fills n. Keys brought in by "<<" come first and yield to the
// mapping's own, as in PyYAML.
func (b *builder) mapping(n *Node, y *syntax.Node) error {
	n.children = make([]*Node, 0, len(y.Content)/2)
	seen := &keySet{of: n}
	for i := 0; i < len(y.Content); i += 2 {
		if isMerge(y.Content[i]) {
			if err := b.merge(n, y.Content[i], y.Content[i+1], seen); err != nil {
				return err
			}
		}
	}
	for i := 0; i < len(y.Content); i += 2 {
		k := y.Content[i]
		if isMerge(k) {
			continue
		}
		e, err := b.key(k)
		if err != nil {
			return err
		}
		v := y.Content[i+1]
		outer := b.secret
		b.secret = outer || SecretName(e.text)
		e.value, err = b.node(v)
		b.secret = outer
		if err != nil {
			return err
		}
		e.value.noColon = v.Kind == syntax.Scalar && v.End == k.End && v.Start == v.End
		at, twice := seen.find(e.kind, e.text)
		if twice && seen.isOwn(at) && b.via == nil {
			first := n.children[at].KeyPos
			n.Shadowed = append(n.Shadowed, n.children[at])
			b.remark(finding.Finding{ID: "CFG002", Name: "duplicate-key", Severity: finding.Warning, Pos: e.pos,
				Message: fmt.Sprintf("the key %q is here a second time, first on line %d; the last one wins", short(e.text), first.Line),
				Fix:     "keep one of the two, or merge their contents",
				Related: []finding.Related{{Pos: first, Message: "first here, without effect"}}})
		}
		seen.setOwn(b.put(n, e, seen))
	}
	if len(n.children) >= indexFrom {
		n.byKey = make(map[string]*Node, len(n.children))
		for _, c := range n.children {
			n.byKey[c.Key] = c
		}
	}
	return nil
}

// put adds an entry, or replaces the value of an equal key, and returns its
// place.
func (b *builder) put(n *Node, e entry, seen *keySet) int {
	c := e.value
	c.Key, c.KeyKind, c.KeyPos, c.parent = e.text, e.kind, e.pos, n
	if at, ok := seen.find(e.kind, e.text); ok {
		// Python keeps the first of two equal keys (1 and true), and the last value.
		c.Key, c.KeyKind = n.children[at].Key, n.children[at].KeyKind
		c.index = at
		n.children[at] = c
		return at
	}
	c.index = len(n.children)
	n.children = append(n.children, c)
	seen.added()
	return c.index
}

// keySet finds equal keys of a mapping that is being built: by comparing while
// they are few, by a table when they are many.
type keySet struct {
	of    *Node
	table map[string]int
	own   []bool // by place: whether the key was written here, not merged in
}

func (s *keySet) find(kind Kind, text string) (int, bool) {
	if s.table != nil {
		at, ok := s.table[keyID(kind, text)]
		return at, ok
	}
	id := ""
	for i, c := range s.of.children {
		if kind == String && c.KeyKind == String {
			if c.Key == text {
				return i, true
			}
			continue
		}
		if kind == String || c.KeyKind == String {
			continue
		}
		if id == "" {
			id = keyID(kind, text)
		}
		if keyID(c.KeyKind, c.Key) == id {
			return i, true
		}
	}
	return 0, false
}

// added tells the set of a new last child.
func (s *keySet) added() {
	children := s.of.children
	switch {
	case s.table != nil:
		last := children[len(children)-1]
		s.table[keyID(last.KeyKind, last.Key)] = len(children) - 1
	case len(children) > indexFrom:
		s.table = make(map[string]int, 2*len(children))
		for i, c := range children {
			s.table[keyID(c.KeyKind, c.Key)] = i
		}
	}
}

func (s *keySet) isOwn(at int) bool { return at < len(s.own) && s.own[at] }

func (s *keySet) setOwn(at int) {
	for len(s.own) <= at {
		s.own = append(s.own, false)
	}
	s.own[at] = true
}

func isMerge(k *syntax.Node) bool {
	return k.Kind == syntax.Scalar && k.Style == syntax.Plain && k.Value == "<<" && k.Tag == "" || k.Tag == "!!merge"
}

// merge adds the keys of what a "<<" names.
func (b *builder) merge(n *Node, key, value *syntax.Node, seen *keySet) error {
	target := value
	if target.Kind == syntax.Alias {
		target = target.Target
	}
	bad := func(at *syntax.Node) error {
		return &syntax.Error{Offset: at.Start, Context: -1,
			Problem: `"<<" merges a mapping or a list of mappings, and this is neither`,
			Fix:     `name an anchor of a mapping: "<<: *name"`}
	}
	switch target.Kind {
	case syntax.Mapping:
		return b.mergeOne(n, key, value, target, seen)
	case syntax.Sequence:
		if b.open[target] {
			return selfMerge(value)
		}
		// Of several mappings the first that has a key wins.
		for i := len(target.Content) - 1; i >= 0; i-- {
			item := target.Content[i]
			t := item
			if t.Kind == syntax.Alias {
				t = t.Target
			}
			if t.Kind != syntax.Mapping {
				return bad(item)
			}
			if err := b.mergeOne(n, key, item, t, seen); err != nil {
				return err
			}
		}
		return nil
	}
	return bad(value)
}

func selfMerge(use *syntax.Node) error {
	return &syntax.Error{Offset: use.Start, Context: -1, Code: syntax.BadAlias,
		Problem: "the merged mapping contains itself", Fix: "write its keys out"}
}

func (b *builder) mergeOne(n *Node, key, use, target *syntax.Node, seen *keySet) error {
	if b.open[target] {
		return selfMerge(use)
	}
	outer := b.via == nil
	if outer {
		p := b.index.pos(use.Start, use.End)
		b.via = &p
		k := b.index.pos(key.Start, key.End)
		b.viaKey = &k
	}
	m, err := b.node(target)
	if outer {
		b.via, b.viaKey = nil, nil
	}
	if err != nil {
		return err
	}
	keyPos := b.pos(key.Start, key.End)
	for _, c := range m.children {
		b.put(n, entry{value: c, text: c.Key, kind: c.KeyKind, pos: keyPos}, seen)
	}
	return nil
}

// key reads a key, which must be a single value.
func (b *builder) key(k *syntax.Node) (entry, error) {
	y := k
	if y.Kind == syntax.Alias {
		y = y.Target
	}
	if y.Kind != syntax.Scalar {
		what := "a mapping"
		if y.Kind == syntax.Sequence {
			what = "a list"
		}
		return entry{}, &syntax.Error{Offset: k.Start, Context: -1, Code: syntax.CannotStart,
			Problem: what + " cannot be a key", Fix: "put the text in quotes"}
	}
	v := b.resolve(y)
	if v.odd != "" && y.Value != "=" {
		b.trapAt(k, "LiteLLM's reader refuses this unquoted key: "+v.odd, "put the key in quotes")
	}
	pos := b.pos(k.Start, k.End)
	if b.viaKey != nil {
		pos = *b.viaKey
	}
	return entry{key: k, text: b.intern(y.Value), kind: v.kind, pos: pos}, nil
}

// intern keeps one copy of every key, so that the tree does not hold the whole
// text once per model.
func (b *builder) intern(s string) string {
	if b.keys == nil {
		b.keys = map[string]string{}
	}
	if t, ok := b.keys[s]; ok {
		return t
	}
	if len(b.keys) < 10_000 {
		b.keys[s] = s
	}
	return s
}

// keyID is equal for keys that are one key to Python: 8, 010 and 8.0, or 1 and
// true.
func keyID(kind Kind, text string) string {
	if kind == String {
		return "s" + text
	}
	v := resolvePlain(text)
	switch v.kind {
	case Null:
		return "n"
	case Bool:
		if v.b {
			return "d1"
		}
		return "d0"
	case Int:
		if float64(v.i) != v.f {
			return "i" + text
		}
		return "d" + strconv.FormatInt(v.i, 10)
	case Float:
		if v.f == math.Trunc(v.f) && math.Abs(v.f) < 1<<53 {
			return "d" + strconv.FormatInt(int64(v.f), 10)
		}
		return "f" + strconv.FormatFloat(v.f, 'g', -1, 64)
	}
	return "s" + text
}
