package route

import (
	"strings"
	"testing"
)

func FuzzWildcard(f *testing.F) {
	f.Add("openai/*", "openai/gpt")
	f.Add("a*b*c", "abbc")
	f.Add("**", "x")
	f.Add("*", "")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.Count(pattern, "*") == 0 || strings.Count(pattern, "*") > 6 || len(name) > 60 {
			return
		}
		p := newPattern(&group{name: pattern})
		captured, ok := p.match(name)
		if !ok {
			return
		}
		// What the stars stand for, put in their place, is the name.
		var b strings.Builder
		for i, part := range p.parts {
			b.WriteString(part)
			if i < len(captured) {
				b.WriteString(captured[i])
			}
		}
		if b.String() != name {
			t.Errorf("%q matched %q with %q", pattern, name, captured)
		}
	})
}

func TestWildcardAnchors(t *testing.T) {
	p := newPattern(&group{name: "a.b*-mini"})
	for name, want := range map[string]bool{
		"a.bc-mini": true, "a.b-mini": true, "a.bc-mini-2024": false, "xa.bc-mini": false, "aXbc-mini": false,
	} {
		if _, ok := p.match(name); ok != want {
			t.Errorf("a.b*-mini matches %s: %v, want %v", name, ok, want)
		}
	}
}
