package config

import (
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/redact"
)

// Value is one setting of a typed view: the effective value, and where it came
// from.
type Value[T any] struct {
	V T
	// Node is the value as written; nil when a default or a variable applies.
	Node *Node
	// Origin says where V came from.
	Origin Origin
	// Pos is where to point when talking about the setting: its key, else the
	// section, else line 1.
	Pos finding.Position
	// Path is the full path of the setting, general_settings.master_key.
	Path string
	// Bad says that the written value cannot be read as a T; V is the default.
	Bad bool
	// Unknown says that the setting is given by a variable whose value cannot be
	// known here; V is the default.
	Unknown bool
}

// Set reports whether the setting has a value other than its default.
func (v Value[T]) Set() bool { return v.Origin.Kind != FromDefault }

// view reads settings of one mapping.
type view struct {
	tree    *Tree
	section string // path of the mapping
	node    *Node  // nil when absent
}

func (t *Tree) view(section string) view {
	return view{tree: t, section: section, node: t.Section(section)}
}

// where is the place to point at for a key that is not there.
func (v view) where() finding.Position {
	if v.node != nil {
		return v.node.Where()
	}
	file := ""
	if len(v.tree.files) > 0 {
		file = v.tree.files[0].Name
	}
	return finding.Position{File: file, Line: 1, Col: 1}
}

// read gives the setting of a key; where the file has none, or null, the first
// variable that is set; else the default.
func read[T any](v view, key string, def T, get func(*Node) (T, bool), variables ...string) Value[T] {
	out := Value[T]{V: def, Path: join(v.section, key), Pos: v.where(), Origin: Origin{Kind: FromDefault}}
	n := v.node.Get(key)
	if n != nil {
		out.Pos = n.Where()
	}
	if !n.IsNull() {
		out.Node, out.Origin = n, n.Origin
		if n.Unknown {
			out.Unknown = true
			return out
		}
		if x, ok := get(n); ok {
			out.V = x
			return out
		}
		out.Bad = true
		return out
	}
	for _, name := range variables {
		e, ok := v.tree.env.Lookup(name)
		if !ok || e.Known && e.Value == "" {
			continue
		}
		out.Origin = Origin{Kind: FromVariable, Name: name, Via: e.Source, Pos: e.Pos}
		if !e.Known {
			out.Unknown = true
			return out
		}
		text := e.Value
		if known, ok := litellm.LookupEnv(name); ok && known.Type == litellm.Bool {
			if b, _, ok := litellm.ParseEnvBool(name, text); ok {
				text = "false"
				if b {
					text = "true"
				}
			}
		}
		if x, ok := get(&Node{Kind: String, text: text}); ok {
			out.V = x
			return out
		}
		out.Bad = true
		return out
	}
	return out
}

func asBool(n *Node) (bool, bool)     { return n.Bool() }
func asFloat(n *Node) (float64, bool) { return n.Number() }
func asText(n *Node) (string, bool)   { return n.Scalar() }
func asSecret(n *Node) (redact.Secret, bool) {
	text, ok := n.Scalar()
	return redact.New(text), ok
}

func asInt(n *Node) (int, bool) {
	i, ok := n.Int()
	return int(i), ok && int64(int(i)) == i
}

// asDuration keeps the text of a duration ("30d"); package duration reads it.
func asDuration(n *Node) (string, bool) {
	text, ok := n.Scalar()
	return strings.TrimSpace(text), ok && n.Kind != Bool
}

// asWords reads a list of texts, or a single one.
func asWords(n *Node) ([]string, bool) {
	if n.Kind != List {
		text, ok := n.Str()
		if !ok {
			return nil, false
		}
		return []string{text}, true
	}
	words := make([]string, 0, len(n.children))
	for _, c := range n.children {
		text, ok := c.Scalar()
		if !ok {
			return nil, false
		}
		words = append(words, text)
	}
	return words, true
}

func (v view) bool(key string, def bool, variables ...string) Value[bool] {
	return read(v, key, def, asBool, variables...)
}

func (v view) int(key string, def int, variables ...string) Value[int] {
	return read(v, key, def, asInt, variables...)
}

func (v view) float(key string, def float64, variables ...string) Value[float64] {
	return read(v, key, def, asFloat, variables...)
}

func (v view) text(key, def string, variables ...string) Value[string] {
	return read(v, key, def, asText, variables...)
}

func (v view) secret(key string, variables ...string) Value[redact.Secret] {
	return read(v, key, redact.Secret{}, asSecret, variables...)
}

func (v view) duration(key, def string) Value[string] { return read(v, key, def, asDuration) }

func (v view) words(key string) Value[[]string] { return read(v, key, nil, asWords) }

// positive takes a number of zero for "not set", as LiteLLM does for timeouts.
func positive[T int | float64](v Value[T], other func() Value[T]) Value[T] {
	if v.Set() && !v.Bad && !v.Unknown && v.V == 0 || !v.Set() {
		o := other()
		if v.Node != nil || !o.Set() {
			o.Pos = v.Pos
		}
		return o
	}
	return v
}
