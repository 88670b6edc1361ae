package config

import (
	"regexp"
	"strings"

	"github.com/llmgw/llmgw/internal/litellm"
)

// variableName recognises a default that is "what this variable says".
var variableName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{3,}$`)

// Effective returns the configuration with everything filled in that the file
// leaves to variables and defaults, each value with its origin. The tree itself
// is not changed.
func (t *Tree) Effective() *Node {
	root := t.root.clone()
	for _, section := range []string{litellm.SectionGeneral, litellm.SectionLiteLLM, litellm.SectionRouter} {
		n := root.Get(section)
		switch {
		case n == nil || n.Kind == Null:
			n = root.put(section, &Node{Kind: Map, Origin: Origin{Kind: FromDefault}})
		case n.Kind != Map:
			continue
		}
		t.fill(section, n)
	}
	t.fillShared(root)
	return root
}

// clone copies a subtree without its parent.
func (n *Node) clone() *Node {
	c := *n
	c.children = make([]*Node, len(n.children))
	for i, child := range n.children {
		c.children[i] = child.clone()
	}
	c.reindex()
	return &c
}

// put sets a key of a mapping.
func (n *Node) put(key string, v *Node) *Node {
	v.Key, v.KeyKind = key, String
	if old := n.Get(key); old != nil {
		n.children[old.index] = v
	} else {
		n.children = append(n.children, v)
	}
	n.reindex()
	return v
}

// fill adds the keys of a section that have a default or a variable.
func (t *Tree) fill(section string, n *Node) {
	byVariable := map[string]string{}
	for _, v := range litellm.Env() {
		if v.Key != "" && t.env.Has(v.Name) {
			byVariable[v.Key] = v.Name
		}
	}
	for _, k := range litellm.SectionKeys(section) {
		if k.Status != litellm.Live || !n.Get(k.Name).IsNull() {
			continue
		}
		if have := n.Get(k.Name); have != nil && k.Name == "master_key" {
			continue // a null there is not the same as an absent key
		}
		name := byVariable[k.Path()]
		if name == "" && variableName.MatchString(k.Default) && t.env.Has(k.Default) {
			name = k.Default
		}
		if name != "" {
			n.put(k.Name, t.fromVariable(name))
			continue
		}
		if k.Default == "" || strings.ContainsAny(k.Default, " '") || variableName.MatchString(k.Default) {
			continue
		}
		v := resolvePlain(k.Default)
		n.put(k.Name, &Node{Kind: v.kind, b: v.b, i: v.i, f: v.f, text: k.Default, Origin: Origin{Kind: FromDefault}})
	}
}

func (t *Tree) fromVariable(name string) *Node {
	v, _ := t.env.Lookup(name)
	n := &Node{Kind: String, text: v.Value, Unknown: !v.Known, Origin: Origin{Kind: FromVariable, Name: name, Via: v.Source, Pos: v.Pos}}
	if known, ok := litellm.LookupEnv(name); ok && known.Type == litellm.Bool {
		if b, _, ok := litellm.ParseEnvBool(name, v.Value); ok {
			n.Kind, n.b = Bool, b
			n.text = "false"
			if b {
				n.text = "true"
			}
		}
	}
	return n
}

// fillShared writes the values whose defaults depend on other keys, as the typed
// views compute them.
func (t *Tree) fillShared(root *Node) {
	router := root.Get(litellm.SectionRouter)
	if router == nil || router.Kind != Map {
		return
	}
	view := t.Router()
	share(router, "num_retries", view.NumRetries, float64(view.NumRetries.V))
	share(router, "max_fallbacks", view.MaxFallbacks, float64(view.MaxFallbacks.V))
	share(router, "allowed_fails", view.AllowedFails, float64(view.AllowedFails.V))
	share(router, "timeout", view.Timeout, view.Timeout.V)
	share(router, "cooldown_time", view.CooldownTime, view.CooldownTime.V)
	if lib := root.Get(litellm.SectionLiteLLM); lib != nil && lib.Kind == Map {
		timeout := t.LiteLLM().RequestTimeout
		share(lib, "request_timeout", timeout, timeout.V)
	}
}

func share[T any](section *Node, key string, v Value[T], number float64) {
	if v.Bad || v.Unknown {
		return
	}
	if own := section.Get(key); own != nil && own.Origin.Kind != FromDefault && v.Node != nil && v.Node.Path() == own.Path() {
		return
	}
	n := &Node{Kind: Float, f: number, text: formatNumber(scalarValue{kind: Float, f: number}), Origin: v.Origin}
	if number == float64(int64(number)) {
		n.Kind, n.i = Int, int64(number)
	}
	section.put(key, n)
}
