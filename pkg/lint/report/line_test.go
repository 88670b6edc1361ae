package report

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

const limit = 90

// under is what stands over the caret.
func under(line string, before, width int) string {
	return runewidth.Truncate(runewidth.TruncateLeft(line, before, ""), width, "")
}

func quoterOf(text string, spans ...rule.Span) *quoter {
	q := newQuoter(&lint.Result{Sources: map[string][]byte{"f": []byte(text)}})
	q.secrets["f"] = spans
	return q
}

func TestTheCaretOfALongLineStandsUnderItsWord(t *testing.T) {
	for name, filler := range map[string]string{
		"ASCII": "a: b, ", "wide": "世界, ", "tabs": "x\t,\t", "accents": "äöü, ", "one word": "1,",
	} {
		for _, n := range []int{1, 10, 100, 5000} {
			for _, rest := range []int{0, 1, 30, 5000} {
				text := "first: line\r\n" + strings.Repeat(filler, n)
				at := len(text)
				text += "needle" + "," + strings.Repeat(filler, rest) + "\nlast"
				col := len([]rune(strings.Repeat(filler, n))) + 1
				for _, pos := range []finding.Position{{File: "f", Line: 2, Offset: at, End: at + 6}, {File: "f", Line: 2, Col: col}} {
					line, before, width, ok := quoterOf(text).line(pos, limit)
					if got := under(line, before, width); !ok || got != "needle" {
						t.Errorf("%s, %d before, %d behind: caret under %q of %q", name, n, rest, got, line)
					}
					if w := runewidth.StringWidth(line); w > limit+3 {
						t.Errorf("%s, %d before, %d behind: %d columns", name, n, rest, w)
					}
					if cut := strings.HasSuffix(line, "..."); rest >= 5000 && !cut {
						t.Errorf("%s: nothing says that the line goes on: %q", name, line)
					}
				}
			}
		}
	}
}

// Wherever a long line is cut, no part of a secret is left: not of one that a
// key announces, nor of one that its looks do, however long it is.
func TestNoEdgeOfALongLineShowsAPartOfASecret(t *testing.T) {
	body := strings.Repeat("Zq7", 14)
	huge := strings.Repeat("Zq7 ", 600)
	for name, c := range map[string]struct {
		text  string
		known bool
	}{
		"known":               {body, true},
		"known and long":      {strings.Repeat("Zq7", 2000), true},
		"a provider key":      {"sk-" + body, false},
		"a long key":          {"sk-" + strings.Repeat("Zq7", 300), false},
		"a quoted password":   {`password: "` + huge + `"`, false},
		"a password in a URL": {"postgres://u:" + strings.Repeat("Zq7", 400) + "@host", false},
		"a private key":       {"-----BEGIN PRIVATE KEY-----" + huge + "-----END PRIVATE KEY-----", false},
	} {
		t.Run(name, func(t *testing.T) {
			filler := strings.Repeat("x: 1, ", 1500)
			text := filler + c.text + ", " + filler
			q := quoterOf(text)
			if c.known {
				q = quoterOf(text, rule.Span{File: "f", From: len(filler), To: len(filler) + len(c.text)})
			}
			for at := len(filler) - 700; at < len(filler)+len(c.text)+700; at += 1 + len(c.text)/400 {
				line, before, width, ok := q.line(finding.Position{File: "f", Line: 1, Offset: at, End: at + 3}, limit)
				if !ok || strings.Contains(line, "q7Zq7") || strings.Contains(line, "q7 Zq7") || !c.known && strings.Contains(line, "Zq7") {
					t.Fatalf("caret at %d: %q", at-len(filler), line)
				}
				if outside := at+3 <= len(filler) || at >= len(filler)+len(c.text)+1; outside {
					if want := strings.ReplaceAll(text[at:at+3], "\t", " "); under(line, before, width) != want {
						t.Fatalf("caret at %d: under %q, want %q, of %q", at-len(filler), under(line, before, width), want, line)
					}
				}
			}
		})
	}
}

func TestEndColumnsOfALongLineCountCharacters(t *testing.T) {
	text := "ä: 1\n" + strings.Repeat("世ä1", 10_000) + "\xff\xfe" + strings.Repeat("é", 9000) + "\n"
	q := quoterOf(text)
	from, to, _ := q.start("f", 2)
	for at := from; at <= to; at += 977 {
		if got, want := q.runes("f", from, at), len([]rune(text[from:at])); got != want && text[at]&0xC0 != 0x80 {
			t.Errorf("offset %d: %d characters, want %d", at, got, want)
		}
	}
	for col := 1; col < 49_000; col += 1013 {
		at := q.columnOffset("f", from, to, col)
		if got := len([]rune(text[from:at])) + 1; got != col && at != to {
			t.Errorf("column %d is taken for %d", col, got)
		}
	}
}

func TestTextTellsOnceWhatSeveralLinesShare(t *testing.T) {
	hit := func(line int, message string, detail ...string) rule.Hit {
		return rule.Hit{Finding: finding.Finding{ID: "CFG010", Severity: finding.Error, Pos: finding.Position{File: "f", Line: line}, Message: message, Detail: detail}}
	}
	r := &lint.Result{Findings: []rule.Hit{hit(1, "same"), hit(2, "other"), hit(3, "same"), hit(4, "same", "with detail")}}
	for i := range 12 {
		r.Findings = append(r.Findings, hit(10+i, "same"))
	}
	for _, c := range []struct {
		all   bool
		heads int
		also  string
	}{{false, 3, "+13 more, line 3, 10, 11, 12, 13, 14, 15, 16, 17, 18, ..."}, {true, 16, ""}} {
		var b bytes.Buffer
		if err := Text(&b, r, Options{ShowDuplicates: c.all}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(b.String(), "error CFG010"); got != c.heads {
			t.Errorf("%d findings are told, want %d:\n%s", got, c.heads, b.String())
		}
		if has := strings.Contains(b.String(), "also"); has != (c.also != "") || !strings.Contains(b.String(), c.also) {
			t.Errorf("want %q:\n%s", c.also, b.String())
		}
	}
}

// One rule says no more than ten thousand things about a deployment, and the
// reader is told how many were left out.
func TestOneRuleSaysTenThousandThingsAtMost(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{10_000, 10_007} {
		if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("model_list: ["+strings.Repeat("1,", n)+"]\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := lint.Run(context.Background(), lint.Options{Dir: dir, Paths: []string{"config.yaml"}, NoSettings: true, Only: []string{"CFG010"}})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Findings) != 10_000 {
			t.Errorf("%d findings of %d", len(r.Findings), n)
		}
		var want []string
		if n > 10_000 {
			want = []string{"CFG010: 7 more findings in config.yaml are left out"}
		}
		if fmt.Sprint(r.Notes) != fmt.Sprint(want) {
			t.Errorf("notes %q, want %q", r.Notes, want)
		}
	}
}
