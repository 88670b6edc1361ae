package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
)

// Replace is the edit that puts the given YAML text in place of the value of n.
// It is not possible for a value that came by an alias or a merge key, which
// stands elsewhere, and for an absent value of a "? key".
func (n *Node) Replace(text string) (finding.Edit, bool) {
	if n == nil || !n.Anchored.IsZero() {
		return finding.Edit{}, false
	}
	e := finding.Edit{File: n.Pos.File, Offset: n.Pos.Offset, End: n.Pos.End, Text: text}
	switch {
	case n.Pos.Offset < n.Pos.End:
	case !n.noColon: // key: or "- "
		e.Text = " " + text
	case n.parent != nil && n.parent.Style == Flow:
		e.Text = ": " + text
	default:
		return finding.Edit{}, false
	}
	return e, true
}

// Splice applies edits to a text. Two insertions at one place keep their order.
func Splice(data []byte, edits []finding.Edit) ([]byte, error) {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b finding.Edit) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.End, b.End))
	})
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		if e.Offset < at || e.End < e.Offset || e.End > len(data) {
			return nil, fmt.Errorf("edit of bytes %d to %d of %s overlaps another or lies outside the file", e.Offset, e.End, e.File)
		}
		out.Write(data[at:e.Offset])
		out.WriteString(e.Text)
		at = e.End
	}
	out.Write(data[at:])
	return out.Bytes(), nil
}

// Quote writes a text as a YAML scalar that reads back as that text, also for
// readers of YAML 1.2 and inside brackets: plain if that is safe, else in double
// quotes.
func Quote(text string) string {
	plain := text != "" && resolvePlain(text).kind == String && resolvePlain(text).trap == noTrap &&
		strings.IndexByte("-?:,[]{}#&*!|>'\"%@` ", text[0]) < 0 && text[len(text)-1] != ' ' && text[len(text)-1] != ':' &&
		!strings.Contains(text, ": ") && !strings.Contains(text, " #") && !strings.HasPrefix(text, "0o") && !strings.HasPrefix(text, "---") && !strings.HasPrefix(text, "...")
	for i := 0; plain && i < len(text); i++ {
		c := text[i]
		plain = c >= ' ' && c < 0x7F && strings.IndexByte(",[]{}?", c) < 0
	}
	if plain {
		if _, err := strconv.ParseFloat(text, 64); err != nil { // 1e6 is text in YAML 1.1 and a number in 1.2
			return text
		}
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < ' ' || r >= 0x7F && r < 0xA0 || r == '\u2028' || r == '\u2029' || r == '\ufeff' || r == 0xFFFE || r == 0xFFFF:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
