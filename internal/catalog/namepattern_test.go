package catalog

import (
	"regexp"
	"strings"
	"testing"
)

// expressions are those of the table, and a few that try the splitting.
func expressions() []string {
	list := []string{`^a\.b$`, `a|^b(c|d)$|[|]x`, `^ab?c`, `^a+|b\|c`, `x{2}`, `^$`, `\d+$`, `^gpt-[5-9].*-chat`, `(^|-)x`}
	for line := range strings.Lines(capabilitiesTSV) {
		if cells := strings.Split(line, "\t"); len(cells) == 4 && line[0] != '#' && cells[0] != "pattern" {
			list = append(list, cells[0])
		}
	}
	return list
}

func TestPatternsOfNamesMatchWhatTheirExpressionsMatch(t *testing.T) {
	names := []string{"", "a.b", "axb", "ab", "ac", "bc", "bd", "bcd", "|x", "b|c", "xx", "abc", "x9", "gpt-6-chat", "my-x", "my-reranker", "tts-1", "gpt-4o-mini-tts", "x-tts-2", "gpt-4o-transcribe", "embedder"}
	for _, models := range embedded().byVendor {
		for _, m := range models {
			names = append(names, strings.ToLower(m.id))
		}
	}
	plain := 0
	for _, e := range expressions() {
		s, re := newNamePattern(e), regexp.MustCompile(e)
		for _, p := range s {
			if p.re == nil {
				plain++
			}
		}
		for _, name := range names {
			if got, want := s.matches(name), re.MatchString(name); got != want {
				t.Errorf("%s and %q: %t, the expression says %t", e, name, got, want)
			}
		}
	}
	if plain < 40 {
		t.Errorf("only %d alternatives are plain texts", plain)
	}
}

func FuzzNamePattern(f *testing.F) {
	for _, e := range expressions() {
		f.Add(e, "gpt-4o")
	}
	f.Fuzz(func(t *testing.T, e, name string) {
		re, err := regexp.Compile(e)
		if err != nil || strings.Contains(e, "(?") || strings.Contains(e, `\Q`) {
			return // flags and quotations reach over bars; the table has none
		}
		for _, alt := range alternatives(e) {
			if _, err := regexp.Compile(alt); err != nil {
				return
			}
		}
		if got, want := newNamePattern(e).matches(name), re.MatchString(name); got != want {
			t.Errorf("%s and %q: %t, the expression says %t", e, name, got, want)
		}
	})
}
