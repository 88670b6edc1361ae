package rule

import (
	"bytes"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
)

// Span is a stretch of bytes of a file that holds a secret. A Public one holds
// what looks like a secret and is in every tutorial: Text.
type Span struct {
	File     string
	From, To int
	Public   bool
	Text     string
}

// Secrets are the places of the inputs where a secret stands, so that no
// report quotes one. Keys of the tutorials are not secrets.
func (m *Model) Secrets() []Span {
	var out []Span
	add := func(p finding.Position, value string) {
		switch {
		case litellm.WellKnownKey(value):
			out = append(out, Span{File: p.File, Public: true, Text: value})
		case p.End > p.Offset:
			out = append(out, Span{File: p.File, From: p.Offset, To: p.End})
		}
	}
	for _, c := range m.Configs {
		if !c.Exact && c.Object != nil {
			// Its positions are those of the outer key, so the whole text goes.
			if n := c.Object.Node.Get("data").Get(c.Key); n != nil {
				add(n.Pos, "")
			}
			continue
		}
		for n := range c.Root.Walk() {
			text, ok := n.Scalar()
			if ok && sensitive(n, text) {
				add(n.Pos, text)
			}
		}
	}
	for _, f := range m.EnvFiles {
		for i, v := range f.Vars {
			if !secretName(v.Name) && !urlPassword(v.Value) && !providerKey().MatchString(v.Value) {
				continue
			}
			// The position is that of the name; the value goes on to the next
			// variable at most.
			end := len(f.Data)
			if i+1 < len(f.Vars) && f.Vars[i+1].Pos.Offset > v.Pos.End {
				end = f.Vars[i+1].Pos.Offset
			}
			if v.Pos.End > end {
				continue
			}
			if eq := bytes.IndexByte(f.Data[v.Pos.End:end], '='); eq >= 0 {
				p := v.Pos
				p.Offset, p.End = v.Pos.End+eq+1, end
				add(p, v.Value)
			}
		}
	}
	for _, w := range m.Workloads {
		for _, c := range slices.Concat(w.Containers, w.Init) {
			for _, v := range c.Env {
				if v.Known && v.From == "value" && (secretName(v.Name) || urlPassword(v.Value) || providerKey().MatchString(v.Value)) {
					add(v.ValPos, v.Value)
				}
			}
		}
	}
	for _, o := range m.Objects {
		for _, section := range []string{"data", "stringData"} {
			for _, n := range o.Node.Get(section).Items() {
				text, _ := n.Scalar()
				if o.Kind == "Secret" || o.Kind == "ConfigMap" && (secretName(n.Key) || urlPassword(text)) {
					add(n.Pos, text)
				}
			}
		}
	}
	return out
}

// sensitive reports whether a config value must not be quoted.
func sensitive(n *config.Node, text string) bool {
	if strings.HasPrefix(text, refPrefix) || n.Kind == config.Bool {
		return false
	}
	return slices.Contains(secretKeys, n.Key) || secretName(n.Key) || urlPassword(text) || providerKey().MatchString(text)
}
