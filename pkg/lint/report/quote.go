package report

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// A line longer than longLine bytes is looked at around the caret only: a file
// may be one line of 16 MiB with ten thousand findings. What looks like a secret
// is recognised by what stands before it, so beyond what is shown the quoter
// reads margin bytes on either side, and learns once for each line what looks
// like a secret longer than that.
const (
	longLine = 4096
	margin   = 256
)

// quoter shows lines of the sources with secrets masked.
type quoter struct {
	sources map[string][]byte
	starts  map[string][]int
	counts  map[string][]mark
	secrets map[string][]rule.Span      // in order, none within another
	long    map[string]map[int][][2]int // of long lines, by their start
	public  map[string][]string         // texts that look like secrets and are none, longest first
}

func newQuoter(r *lint.Result) *quoter {
	q := &quoter{
		sources: r.Sources, starts: map[string][]int{}, counts: map[string][]mark{}, secrets: map[string][]rule.Span{},
		long: map[string]map[int][][2]int{}, public: map[string][]string{},
	}
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
	for file, words := range q.public {
		slices.SortFunc(words, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
		q.public[file] = slices.Compact(words)
	}
	for file, list := range q.secrets {
		slices.SortFunc(list, func(a, b rule.Span) int { return cmp.Or(a.From-b.From, b.To-a.To) })
		merged := list[:0]
		for _, s := range list {
			if n := len(merged); n > 0 && s.From < merged[n-1].To {
				merged[n-1].To = max(merged[n-1].To, s.To)
				continue
			}
			merged = append(merged, s)
		}
		q.secrets[file] = merged
	}
	return q
}

// lineStarts are the offsets at which the lines of a file begin.
func (q *quoter) lineStarts(file string) []int {
	starts := q.starts[file]
	if starts == nil {
		starts = lint.LineStarts(q.sources[file])
		q.starts[file] = starts
	}
	return starts
}

func (q *quoter) start(file string, line int) (from, to int, ok bool) {
	data, have := q.sources[file]
	if !have || line < 1 {
		return 0, 0, false
	}
	starts := q.lineStarts(file)
	if line > len(starts) {
		return 0, 0, false
	}
	from, to = starts[line-1], len(data)
	if line < len(starts) {
		to = starts[line]
	}
	return from, from + len(bytes.TrimRight(data[from:to], "\r\n")), true
}

// mark says how many characters of a file stand before an offset.
type mark struct{ offset, runes int }

// marks count the characters of a file once, so that no finding has to count
// those of its line from the start.
func (q *quoter) marks(file string) []mark {
	marks := q.counts[file]
	if marks == nil {
		data := q.sources[file]
		at := mark{}
		marks = append(marks, at)
		for next := longLine; at.offset < len(data); {
			_, size := utf8.DecodeRune(data[at.offset:])
			at = mark{at.offset + size, at.runes + 1}
			if at.offset >= next {
				marks = append(marks, at)
				next = at.offset + longLine
			}
		}
		q.counts[file] = marks
	}
	return marks
}

// runes is the number of characters between two offsets of a file.
func (q *quoter) runes(file string, from, to int) int {
	data := q.sources[file]
	if to-from <= longLine {
		return utf8.RuneCount(data[from:to])
	}
	before := func(offset int) int {
		marks := q.marks(file)
		i, exact := slices.BinarySearchFunc(marks, offset, func(m mark, offset int) int { return m.offset - offset })
		if !exact {
			i--
		}
		return marks[i].runes + utf8.RuneCount(data[marks[i].offset:offset])
	}
	return before(to) - before(from)
}

// columnOffset is the offset of a 1-based column of the line [from, to).
func (q *quoter) columnOffset(file string, from, to, col int) int {
	data := q.sources[file]
	at := mark{from, 1}
	if col > longLine {
		marks := q.marks(file)
		first := q.runes(file, 0, from)
		i, exact := slices.BinarySearchFunc(marks, first+col-1, func(m mark, runes int) int { return m.runes - runes })
		if !exact {
			i--
		}
		if m := marks[i]; m.offset > from {
			at = mark{m.offset, m.runes - first + 1}
		}
	}
	for at.runes < col && at.offset < to {
		_, size := utf8.DecodeRune(data[at.offset:to])
		at = mark{at.offset + size, at.runes + 1}
	}
	return min(at.offset, to)
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
		at, end = q.columnOffset(pos.File, from, to, pos.Col), 0
	}
	if end <= at {
		end = at + wordLength(data[at:min(to, at+longLine)])
	}
	// What is read, [lo, hi), and what of it may be shown.
	lo, hi, left, right := from, to, from, to
	var long [][2]int
	if to-from > longLine {
		long = q.longSecrets(pos.File, from, to)
		left, right = max(from, at-limit), min(to, at+2*limit)
		lo, hi = max(from, left-margin), min(to, right+margin)
		for lo > from && !utf8.RuneStart(data[lo]) {
			lo--
		}
		if start, stop, _ := q.hidden(pos.File, long, lo); stop > 0 {
			lo = max(from, start)
		}
	}
	line, starts, ends := q.masked(pos.File, long, lo, hi, to, []int{at, left}, []int{end, right})
	line = q.redacted(pos.File, line, starts, ends)
	caretFrom, caretTo := starts[0], ends[0]
	caretFrom = min(caretFrom, caretTo)
	before, width = columns(line[:caretFrom]), columns(line[caretFrom:caretTo])
	if hi < to {
		line = line[:ends[1]] + "..." // there is more
	}
	skip := 0
	if lo > from {
		skip = columns(line[:min(starts[1], caretFrom)])
	}
	if lo == from && columns(line) <= limit {
		return line, before, width, true
	}
	// A long line: a window around the caret.
	if before > limit/2 {
		skip = max(skip, before-limit/4)
	}
	cut := line
	if skip > 0 {
		cut = cutLeft(line, skip)
	}
	if skip > 0 || lo > from {
		cut = "..." + cut
		before = before - skip + 3
	}
	cut = cutRight(cut, limit)
	width = min(width, max(1, limit-before))
	return cut, before, width, true
}

// plain reports whether every byte of a text is one column wide. Asking
// package runewidth costs a hundred times more than looking.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// columns is the width of a text on a terminal.
func columns(s string) int {
	if plain(s) {
		return len(s)
	}
	return runewidth.StringWidth(s)
}

// cutLeft takes so many columns away at the front.
func cutLeft(s string, width int) string {
	if plain(s) {
		return s[min(width, len(s)):]
	}
	return runewidth.TruncateLeft(s, width, "")
}

// cutRight keeps so many columns, three of them dots where there were more.
func cutRight(s string, width int) string {
	if plain(s) && width > 3 {
		if len(s) <= width {
			return s
		}
		return s[:width-3] + "..."
	}
	return runewidth.Truncate(s, width, "...")
}

// masked is a stretch of a line with its secrets masked and no control
// characters; a secret that begins in it is taken whole. The offsets into the
// file become offsets into the text, as [redact.TextAt] does it.
func (q *quoter) masked(file string, long [][2]int, lo, hi, to int, starts, ends []int) (string, []int, []int) {
	data := q.sources[file]
	b := make([]byte, 0, hi-lo+16)
	newStarts, newEnds := make([]int, len(starts)), make([]int, len(ends))
	for i := range starts {
		newStarts[i] = -1
	}
	for i := range ends {
		newEnds[i] = -1
	}
	for i := lo; i < hi; {
		front, next := len(b), i
		if start, stop, announced := q.hidden(file, long, i); stop > 0 {
			next = min(stop, to)
			if announced && start == i {
				b = append(b, maskText(data[i:next])...)
			} else {
				b = append(b, redact.Mask...) // its first characters are no use, or on the line before
			}
		} else {
			r, size := utf8.DecodeRune(data[i:to])
			next += size
			switch {
			case r == '\t':
				b = append(b, ' ')
			case r == utf8.RuneError && size == 1, r < ' ', r == 0x7f, r >= 0x80 && r < 0xa0:
				b = append(b, '?')
			default:
				b = append(b, data[i:next]...)
			}
		}
		for j, at := range starts {
			if newStarts[j] < 0 && at < next {
				newStarts[j] = front
			}
		}
		for j, at := range ends {
			switch {
			case newEnds[j] >= 0:
			case at <= i:
				newEnds[j] = front
			case at <= next:
				newEnds[j] = len(b)
			}
		}
		i = next
	}
	for j, at := range newStarts {
		if at < 0 {
			newStarts[j] = len(b)
		}
	}
	for j, at := range newEnds {
		if at < 0 {
			newEnds[j] = len(b)
		}
	}
	return string(b), newStarts, newEnds
}

// hidden is the secret around an offset: one that a key announces, or a long
// one that its looks do; to is 0 where there is none.
func (q *quoter) hidden(file string, long [][2]int, i int) (from, to int, announced bool) {
	spans := q.secrets[file]
	n, _ := slices.BinarySearchFunc(spans, i, func(s rule.Span, i int) int { return cmp.Compare(s.To, i+1) })
	if n < len(spans) && spans[n].From <= i {
		from, to, announced = spans[n].From, spans[n].To, true
	}
	n, _ = slices.BinarySearchFunc(long, i, func(s [2]int, i int) int { return cmp.Compare(s[1], i+1) })
	if n < len(long) && long[n][0] <= i && long[n][1] > to {
		if !announced || long[n][0] < from {
			from = long[n][0]
		}
		return from, long[n][1], false
	}
	return from, to, announced
}

// longSecrets are the stretches of a line that look like secrets and that no
// margin is wide enough for, in order, none within another.
func (q *quoter) longSecrets(file string, from, to int) [][2]int {
	lines := q.long[file]
	if lines == nil {
		lines = map[int][][2]int{}
		q.long[file] = lines
	}
	found, known := lines[from]
	if known {
		return found
	}
	for _, s := range redact.Long(string(q.sources[file][from:to]), margin-utf8.UTFMax) {
		if n := len(found); n > 0 && from+s[0] < found[n-1][1] {
			found[n-1][1] = max(found[n-1][1], from+s[1])
			continue
		}
		found = append(found, [2]int{from + s[0], from + s[1]})
	}
	lines[from] = found
	return found
}

// redacted masks what looks like a secret although no key announced it. The
// keys of the tutorials stay: they are what the finding is about. The offsets
// move as those of [redact.TextAt] do.
func (q *quoter) redacted(file, line string, starts, ends []int) string {
	var b strings.Builder
	newStarts, newEnds := slices.Clone(starts), slices.Clone(ends)
	done := 0
	put := func(text string, plain bool) {
		front, stop := b.Len(), done+len(text)
		s, e := slices.Clone(starts), slices.Clone(ends)
		for i := range s {
			s[i] = max(0, min(len(text), s[i]-done))
		}
		for i := range e {
			e[i] = max(0, min(len(text), e[i]-done))
		}
		if !plain {
			text = redact.TextAt(text, s, e)
		}
		b.WriteString(text)
		for i, at := range starts {
			if at >= done {
				newStarts[i] = front + s[i]
			}
		}
		for i, at := range ends {
			if at > done || at == 0 {
				newEnds[i] = front + e[i]
			}
		}
		done = stop
	}
	q.pieces(file, line, put)
	copy(starts, newStarts)
	copy(ends, newEnds)
	return b.String()
}

// pieces cuts a line at the texts that are shown as they are.
func (q *quoter) pieces(file, line string, put func(text string, plain bool)) {
	for _, word := range q.public[file] {
		if before, after, ok := strings.Cut(line, word); ok {
			q.pieces(file, before, put)
			put(word, true)
			q.pieces(file, after, put)
			return
		}
	}
	// A reference names a variable; it is no secret.
	for {
		i := strings.Index(line, "os.environ/")
		if i < 0 {
			break
		}
		end := i + len("os.environ/")
		for end < len(line) && (line[end] == '_' || line[end] >= '0' && line[end] <= '9' || line[end]|0x20 >= 'a' && line[end]|0x20 <= 'z') {
			end++
		}
		put(line[:i], false)
		put(line[i:end], true)
		line = line[end:]
	}
	put(line, false)
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
		text = strings.ReplaceAll(text, s, maskText([]byte(s)))
	}
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		lines[i] = q.redacted(file, line, nil, nil)
	}
	return strings.Join(lines, "")
}

// maskText keeps the quotes of a scalar and, of a long secret, four
// characters.
func maskText(s []byte) string {
	quote := ""
	if len(s) > 0 && (s[0] == '"' || s[0] == '\'') {
		quote = string(s[:1])
		s = bytes.Trim(s, quote)
	}
	if len(s) > 12 && utf8.Valid(s[:4]) && bytes.IndexByte(s[:4], ':') < 0 {
		return quote + string(s[:4]) + redact.Mask + quote
	}
	return quote + redact.Mask + quote
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
