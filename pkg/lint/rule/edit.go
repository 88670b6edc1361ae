package rule

import (
	"bytes"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// insert is the edit that adds an entry to a section of the config: on a line
// of its own under the section's key, indented like the first entry, or behind
// the opening brace. It is nil where the text cannot be edited with certainty.
func (u *Unit) insert(section, entry string) []finding.Edit {
	if !u.editable() {
		return nil
	}
	if !u.Config.Root.Has(section) {
		return u.newSection(section, entry)
	}
	n := u.Section(section)
	if n == nil || n.Kind != config.Map || n.Len() == 0 {
		return nil
	}
	for c := range n.Walk() {
		if !c.Anchored.IsZero() {
			return nil // an anchor or a merge key: the text is shared
		}
	}
	first := n.At(0).KeyPos
	data := u.Config.Data
	if first.End == 0 || n.KeyPos.End == 0 || first.Offset > len(data) {
		return nil
	}
	edit := finding.Edit{File: first.File, Offset: first.Offset, End: first.Offset}
	if n.Style == config.Flow {
		edit.Text = entry + ", "
		return []finding.Edit{edit}
	}
	next := bytes.IndexByte(data[n.KeyPos.End:], '\n')
	if next < 0 || n.KeyPos.End+next+1 > first.Offset {
		return nil
	}
	at := n.KeyPos.End + next + 1
	edit.Offset, edit.End = at, at
	edit.Text = strings.Repeat(" ", first.Col-1) + entry + u.newline()
	return []finding.Edit{edit}
}

// newSection adds a section behind the last one of a config that is a file of
// its own.
func (u *Unit) newSection(section, entry string) []finding.Edit {
	data := u.Config.Data
	root := u.Config.Root
	if u.Config.Object != nil || root.Style != config.Block || len(data) == 0 || data[len(data)-1] != '\n' || root.Len() == 0 || root.At(0).KeyPos.Col != 1 || bytes.HasPrefix(data, []byte("---")) || bytes.Contains(data, []byte("\n---")) || bytes.Contains(data, []byte("\n...")) {
		return nil
	}
	last := root.At(root.Len() - 1)
	if last.Style == config.Literal || last.Style == config.Folded {
		return nil
	}
	end := len(data)
	return []finding.Edit{{File: root.At(0).KeyPos.File, Offset: end, End: end, Text: section + ":" + u.newline() + "  " + entry + u.newline()}}
}

// newline is the line ending of the config.
func (u *Unit) newline() string {
	if strings.Contains(string(u.Config.Data[:min(len(u.Config.Data), 4096)]), "\r\n") {
		return "\r\n"
	}
	return "\n"
}

// replaceValue is the edit that writes another scalar.
func replaceValue(n *config.Node, text string) []finding.Edit {
	if n == nil || n.Pos.End <= n.Pos.Offset || !n.Anchored.IsZero() || n.Style == config.Literal || n.Style == config.Folded {
		return nil
	}
	return []finding.Edit{{File: n.Pos.File, Offset: n.Pos.Offset, End: n.Pos.End, Text: text}}
}
