package rule

import (
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// insert is the edit that adds an entry to a section of the config: in front
// of its first entry with that entry's indentation, or inside its braces. It
// is nil where the text cannot be edited with certainty.
func (u *Unit) insert(section, entry string) []finding.Edit {
	n := u.Section(section)
	if n == nil || n.Kind != config.Map || n.Len() == 0 || !n.Anchored.IsZero() || u.Config.Root.Has("include") {
		return nil
	}
	first := n.At(0)
	at := first.KeyPos
	if at.End == 0 || at.File != u.Config.File || !first.Anchored.IsZero() {
		return nil
	}
	for c := range n.Walk() {
		if !c.Anchored.IsZero() {
			return nil
		}
	}
	edit := finding.Edit{File: at.File, Offset: at.Offset, End: at.Offset}
	if n.Style == config.Flow {
		edit.Text = entry + ", "
	} else {
		edit.Text = entry + u.newline() + strings.Repeat(" ", at.Col-1)
	}
	return []finding.Edit{edit}
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
