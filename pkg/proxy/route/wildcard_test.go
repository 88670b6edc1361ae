package route

import (
	"slices"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/proxy/call"
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

func TestTheMoreSpecificWildcardWins(t *testing.T) {
	list := []*call.Deployment{
		d("star", "*", func(x *call.Deployment) { x.Model = "*" }), d("openai", "openai/*"), d("gpt4", "openai/gpt-4*"), d("mini", "*-mini"), d("also", "openai/*"),
	}
	r := mustNew(t, list, Options{Provider: func(m string) string {
		if strings.HasPrefix(m, "gpt-") {
			return "openai"
		}
		return ""
	}})
	for ask, want := range map[string]string{
		"openai/gpt-4-turbo": "gpt4", "openai/o1": "openai also", "anything": "star", "x-mini": "mini", "openai/gpt-4-mini": "gpt4",
		"gpt-5": "star", // it matches as it is
	} {
		got := each(t, r, 60, call.Plan{Model: ask}, nil)
		for id := range got {
			if !slices.Contains(strings.Fields(want), id) {
				t.Errorf("%s went to %v, want %s", ask, got, want)
			}
		}
		if len(got) != len(strings.Fields(want)) {
			t.Errorf("%s went to %v, want %s", ask, got, want)
		}
	}
	bare := mustNew(t, list[1:3], Options{Provider: func(string) string { return "openai" }})
	if got := each(t, bare, 5, call.Plan{Model: "gpt-4o"}, nil); got["gpt4"] != 5 {
		t.Errorf("a bare name went to %v, want the wildcard of its provider", got)
	}
}

func TestAnUnknownNameBesideWildcardsTakesTheDefaultFallback(t *testing.T) {
	list := []*call.Deployment{d("a", "g"), d("b", "openai/*")}
	o := Options{Fallbacks: []Fallback{{"*", []string{"g"}}}}
	if got := each(t, mustNew(t, list, o), 3, call.Plan{Model: "typo"}, nil); got["a"] != 3 {
		t.Errorf("went to %v", got)
	}
	if mustNew(t, list[:1], o).Has("typo") {
		t.Error("without a wildcard an unknown name is refused before the router")
	}
}
