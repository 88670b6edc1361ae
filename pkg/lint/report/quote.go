package report

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// quoter shows lines of the sources with secrets masked.
type quoter struct {
	sources map[string][]byte
	starts  map[string][]int
	secrets map[string][]rule.Span
	public  map[string][]string // texts that look like secrets and are none, longest first
}

func newQuoter(r *lint.Result) *quoter {
	q := &quoter{sources: r.Sources, starts: map[string][]int{}, secrets: map[string][]rule.Span{}, public: map[string][]string{}}
	if r.Model == nil {
		return q
	}
	for _, s := range r.Model.Secrets() {
		if s.Public {
			q.public[s.File] = append(q.public[s.File], s.Text)
			continue
		}
		q.secrets[s.File] = append(q.secrets[s.File], s)
	}
	for _, words := range q.public {
		slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	}
	for _, list := range q.secrets {
		slices.SortFunc(list, func(a, b rule.Span) int { return a.From - b.From })
	}
	return q
}

func (q *quoter) start(file string, line int) (from, to int, ok bool) {
	data, have := q.sources[file]
	if !have || line < 1 {
		return 0, 0, false
	}
	starts := q.starts[file]
	if starts == nil {
		at := 0
		for _, line := range lint.SplitLines(data) {
			starts = append(starts, at)
			at += len(line)
		}
		q.starts[file] = starts
	}
	if line > len(starts) {
		return 0, 0, false
	}
	from, to = starts[line-1], len(data)
	if line < len(starts) {
		to = starts[line]
	}
	return from, from + len(bytes.TrimRight(data[from:to], "\r\n")), true
}

// line is the text of a position's line, and where the caret goes: so many
// columns in, so many wide.
func (q *quoter) line(pos finding.Position, limit int) (text string, before, width int, ok bool) {
	from, to, ok := q.start(pos.File, pos.Line)
	if !ok || from == to {
		return "", 0, 0, false
	}
	data := q.sources[pos.File]
	if pos.Line == 1 && bytes.HasPrefix(data, []byte("\ufeff")) {
		from += len("\ufeff")
	}
	// The span: stated, or from the column to the end of the word.
	at, end := pos.Offset, min(pos.End, to)
	if pos.End == 0 || at < from || at > to {
		at, end = columnOffset(data[from:to], pos.Col)+from, 0
	}
	if end <= at {
		end = at + wordLength(data[at:to])
	}
	var b strings.Builder
	column := map[int]int{}
	put := func(i int, s string) {
		column[i] = b.Len()
		b.WriteString(s)
	}
	for i := from; i < to; {
		if s, hidden := q.secretAt(pos.File, i); hidden {
			stop := min(s.To, to)
			put(i, maskText(string(data[i:stop])))
			for j := i + 1; j < stop; j++ {
				column[j] = column[i]
			}
			i = stop
			continue
		}
		r, size := utf8.DecodeRune(data[i:to])
		switch {
		case r == '\t':
			put(i, " ")
		case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f, r >= 0x80 && r < 0xa0:
			put(i, "?")
		default:
			put(i, string(data[i:i+size]))
		}
		i += size
	}
	column[to] = b.Len()
	line := b.String()
	masked := q.redacted(pos.File, line)
	caretFrom, caretTo := column[min(at, to)], column[min(end, to)]
	if masked != line {
		// Something looked like a secret that no key announced: show the line, and
		// the caret only where it surely still fits.
		if !strings.HasPrefix(masked, line[:caretTo]) {
			caretFrom, caretTo = 0, 0
		}
		line = masked
	}
	caretTo = min(caretTo, len(line))
	caretFrom = min(caretFrom, caretTo)
	before, width = runewidth.StringWidth(line[:caretFrom]), runewidth.StringWidth(line[caretFrom:caretTo])
	if runewidth.StringWidth(line) <= limit {
		return line, before, width, true
	}
	// A long line: a window around the caret.
	skip := 0
	if before > limit/2 {
		skip = before - limit/4
	}
	cut := runewidth.TruncateLeft(line, skip, "")
	if skip > 0 {
		cut = "..." + cut
		before = before - skip + 3
	}
	cut = runewidth.Truncate(cut, limit, "...")
	width = min(width, max(1, limit-before))
	return cut, before, width, true
}

func (q *quoter) secretAt(file string, i int) (rule.Span, bool) {
	for _, s := range q.secrets[file] {
		if i >= s.From && i < s.To {
			return s, true
		}
		if s.From > i {
			break
		}
	}
	return rule.Span{}, false
}

// redacted masks what looks like a secret although no key announced it. The
// keys of the tutorials stay: they are what the finding is about.
func (q *quoter) redacted(file, line string) string {
	for _, word := range q.public[file] {
		if before, after, ok := strings.Cut(line, word); ok {
			return q.redacted(file, before) + word + q.redacted(file, after)
		}
	}
	// A reference names a variable; it is no secret.
	if i := strings.Index(line, "os.environ/"); i >= 0 {
		end := i + len("os.environ/")
		for end < len(line) && (line[end] == '_' || line[end] >= '0' && line[end] <= '9' || line[end]|0x20 >= 'a' && line[end]|0x20 <= 'z') {
			end++
		}
		return redact.Text(line[:i]) + line[i:end] + q.redacted(file, line[end:])
	}
	return redact.Text(line)
}

// Masked is a text that quotes lines of a file, with the file's secrets masked.
func Masked(r *lint.Result, file, text string) string {
	q := newQuoter(r)
	data := r.Sources[file]
	secrets := []string{}
	for _, s := range q.secrets[file] {
		if s.To <= len(data) {
			secrets = append(secrets, string(data[s.From:s.To]))
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, maskText(s))
	}
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		lines[i] = q.redacted(file, line)
	}
	return strings.Join(lines, "")
}

// maskText keeps the quotes of a scalar and, of a long secret, four
// characters.
func maskText(s string) string {
	quote := ""
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		quote = s[:1]
		s = strings.Trim(s, quote)
	}
	if len(s) > 12 && utf8.ValidString(s[:4]) && !strings.Contains(s[:4], ":") {
		return quote + s[:4] + redact.Mask + quote
	}
	return quote + redact.Mask + quote
}

// columnOffset is the byte offset of a 1-based column in a line.
func columnOffset(line []byte, col int) int {
	i := 0
	for n := 1; n < col && i < len(line); n++ {
		_, size := utf8.DecodeRune(line[i:])
		i += size
	}
	return i
}

func wordLength(rest []byte) int {
	n := bytes.IndexAny(rest, " \t:,}]#")
	switch {
	case n < 0:
		return len(rest)
	case n == 0 && len(rest) > 0:
		return 1
	}
	return n
}
