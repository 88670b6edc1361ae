package config

import (
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
)

// Kind is what a value is, read as LiteLLM's YAML 1.1 reader reads it.
type Kind int

// The kinds. A date is a String with [Node.Date] set.
const (
	Null Kind = iota
	Bool
	Int
	Float
	String
	Map
	List
)

// String names the kind as messages do.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "a boolean"
	case Int:
		return "an integer"
	case Float:
		return "a number"
	case String:
		return "text"
	case Map:
		return "a mapping"
	case List:
		return "a list"
	default:
		return "unknown"
	}
}

// Style is how a value is written in the source.
type Style int

// The styles. Block and Flow are for mappings and lists.
const (
	Plain Style = iota
	SingleQuoted
	DoubleQuoted
	Literal
	Folded
	Block
	Flow
)

// Node is one value of a document with the place it was written at. Nodes are
// read only once [Load] or [ParseYAML] has returned; every method accepts a nil
// receiver, which stands for "not there", so that lookups chain.
type Node struct {
	Kind  Kind
	Style Style

	// Key is the key under which a mapping holds this node, as text; empty in
	// lists and for the root. KeyPos spans the key as written, quotes included.
	Key    string
	KeyPos finding.Position
	// KeyKind is what the key is when it is not text: an unquoted yes or 8.
	KeyKind Kind
	// Pos spans the value as written, quotes and brackets included, anchors and
	// tags before it excluded. A value that is not written (`key:`) has an empty
	// span right behind the colon.
	Pos finding.Position
	// Anchored is where the value really stands when it came by an alias or a
	// merge key; zero otherwise. Pos then spans the alias, and KeyPos the alias
	// or the "<<", so that several nodes share one place: do not edit there.
	Anchored finding.Position
	// Doc is the index of the document within its file.
	Doc int

	// Ref is the variable name if the source said os.environ/NAME.
	Ref string
	// RefMissing says that the variable of Ref is not set; the value is Null.
	RefMissing bool
	// Unknown says that the variable of Ref is or may be set, to a value that
	// cannot be known here; the value is an empty String.
	Unknown bool
	// Origin says where the effective value came from.
	Origin Origin
	// Shadowed are values of equal keys earlier in this mapping: written, and
	// without effect.
	Shadowed []*Node
	// Date says that LiteLLM reads this unquoted text as a date.
	Date bool

	noColon  bool   // the value is not written, and neither is the colon: {a}
	text     string // scalar text as written, decoded
	b        bool
	i        int64
	f        float64
	parent   *Node
	index    int // position in the parent
	children []*Node
	byKey    map[string]*Node // only for large mappings
}

// indexFrom is the number of entries from which a mapping gets a lookup table.
const indexFrom = 12

// Get returns the value of a key of a mapping, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil || n.Kind != Map {
		return nil
	}
	if n.byKey != nil {
		return n.byKey[key]
	}
	for _, c := range n.children {
		if c.Key == key {
			return c
		}
	}
	return nil
}

// Has reports whether a mapping holds the key, with whatever value.
func (n *Node) Has(key string) bool { return n.Get(key) != nil }

// Items returns the values of a list, or of a mapping in file order. The slice
// must not be changed.
func (n *Node) Items() []*Node {
	if n == nil {
		return nil
	}
	return n.children
}

// Len is the number of items.
func (n *Node) Len() int {
	if n == nil {
		return 0
	}
	return len(n.children)
}

// At returns the i-th item, or nil.
func (n *Node) At(i int) *Node {
	if n == nil || i < 0 || i >= len(n.children) {
		return nil
	}
	return n.children[i]
}

// Parent returns the mapping or list that holds n, nil for the root.
func (n *Node) Parent() *Node {
	if n == nil {
		return nil
	}
	return n.parent
}

// Index is the position of n in its parent.
func (n *Node) Index() int {
	if n == nil {
		return 0
	}
	return n.index
}

// Walk yields n and everything below it, parents first, in file order.
func (n *Node) Walk() iter.Seq[*Node] {
	return func(yield func(*Node) bool) { n.walk(yield) }
}

func (n *Node) walk(yield func(*Node) bool) bool {
	if n == nil {
		return true
	}
	if !yield(n) {
		return false
	}
	for _, c := range n.children {
		if !c.walk(yield) {
			return false
		}
	}
	return true
}

// Lookup follows a path such as model_list[3].litellm_params.api_key. Keys that
// hold a dot or a bracket are written ["like.this"]. It returns nil if any step
// is not there.
func (n *Node) Lookup(path string) *Node {
	for path != "" && n != nil {
		switch {
		case path[0] == '.':
			path = path[1:]
		case strings.HasPrefix(path, `["`):
			end := strings.Index(path, `"]`)
			for end > 0 && path[end-1] == '\\' {
				next := strings.Index(path[end+1:], `"]`)
				if next < 0 {
					return nil
				}
				end += 1 + next
			}
			if end < 0 {
				return nil
			}
			key, err := strconv.Unquote(path[1 : end+1])
			if err != nil {
				return nil
			}
			n, path = n.Get(key), path[end+2:]
		case path[0] == '[':
			end := strings.IndexByte(path, ']')
			if end < 0 || n.Kind != List {
				return nil
			}
			i, err := strconv.Atoi(path[1:end])
			if err != nil {
				return nil
			}
			n, path = n.At(i), path[end+1:]
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			n, path = n.Get(path[:end]), path[end:]
		}
	}
	return n
}

// Path is the logical path of n, in the form that [Node.Lookup] reads.
func (n *Node) Path() string {
	if n == nil || n.parent == nil {
		return ""
	}
	var parts []string
	for at := n; at.parent != nil; at = at.parent {
		switch {
		case at.parent.Kind == List:
			parts = append(parts, "["+strconv.Itoa(at.index)+"]")
		case at.Key == "" || strings.ContainsAny(at.Key, ".[]\"\n\t "):
			parts = append(parts, "["+strconv.Quote(at.Key)+"]")
		default:
			parts = append(parts, "."+at.Key)
		}
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString(parts[i])
	}
	return strings.TrimPrefix(b.String(), ".")
}

// Where is the position to report n at: its key if it has one, else the value.
func (n *Node) Where() finding.Position {
	switch {
	case n == nil:
		return finding.Position{}
	case !n.KeyPos.IsZero():
		return n.KeyPos
	default:
		return n.Pos
	}
}

// IsNull reports whether n is absent or null.
func (n *Node) IsNull() bool { return n == nil || n.Kind == Null }

// IsScalar reports whether n is a single value other than null.
func (n *Node) IsScalar() bool {
	return n != nil && n.Kind != Null && n.Kind != Map && n.Kind != List
}

// Str returns the value of a text.
func (n *Node) Str() (string, bool) {
	if n == nil || n.Kind != String {
		return "", false
	}
	return n.text, true
}

// Scalar returns the text of any single value, numbers and booleans as written.
func (n *Node) Scalar() (string, bool) {
	if !n.IsScalar() {
		return "", false
	}
	return n.text, true
}

// Bool returns a boolean: one that the reader took for one, or the quoted words
// true and false.
func (n *Node) Bool() (value, ok bool) {
	if n == nil {
		return false, false
	}
	switch n.Kind {
	case Bool:
		return n.b, true
	case String:
		switch strings.ToLower(strings.TrimSpace(n.text)) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
	}
	return false, false
}

// Number returns a finite number, also from a text that spells one ("600",
// 1e-6).
func (n *Node) Number() (float64, bool) {
	if n == nil {
		return 0, false
	}
	switch n.Kind {
	case Int, Float:
		return n.f, !math.IsNaN(n.f) && !math.IsInf(n.f, 0)
	case String:
		v, err := parseNumber(n.text)
		return v, err == nil
	}
	return 0, false
}

// Int returns a whole number, also from a text that spells one.
func (n *Node) Int() (int64, bool) {
	if n == nil {
		return 0, false
	}
	if n.Kind == Int {
		return n.i, n.f == float64(n.i)
	}
	if n.Kind == String {
		v, err := strconv.ParseInt(strings.TrimSpace(n.text), 10, 64)
		if err == nil {
			return v, true
		}
	}
	v, ok := n.Number()
	if !ok || v != math.Trunc(v) || math.Abs(v) > 1<<53 {
		return 0, false
	}
	return int64(v), true
}

// Secret returns the scalar text wrapped so that it cannot be printed.
func (n *Node) Secret() redact.Secret {
	text, _ := n.Scalar()
	return redact.New(text)
}

// parseNumber reads the plain decimal spellings, underscores and hexadecimal
// excluded.
func parseNumber(text string) (float64, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsAny(text, "_xXpPnN") {
		return 0, strconv.ErrSyntax
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, err
	}
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, strconv.ErrRange
	}
	return v, nil
}
