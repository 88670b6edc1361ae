package render

import (
	"bytes"
	"fmt"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// setKey is the edit that gives a key of a top-level section a value, every
// other byte of the file untouched: the value is replaced where it stands, or
// a line is put before the section's first key, or a section before the file's
// first key. ok is false where the section cannot be edited as text, because
// it comes by an alias or from an included file.
func setKey(file config.File, root *config.Node, section, key, value string) (edit finding.Edit, ok bool) {
	at := func(offset, end int, text string) (finding.Edit, bool) {
		return finding.Edit{File: file.Name, Offset: offset, End: end, Text: text}, offset >= 0 && offset <= end && end <= len(file.Data)
	}
	newline := "\n"
	if bytes.Contains(file.Data, []byte("\r\n")) {
		newline = "\r\n"
	}
	parent := root.Get(section)
	if parent != nil && parent.KeyPos.File != "" && parent.KeyPos.File != file.Name || parent != nil && !parent.Anchored.IsZero() {
		return finding.Edit{}, false
	}
	if old := parent.Get(key); old != nil {
		if !old.IsScalar() && !old.IsNull() || !old.Anchored.IsZero() || old.Pos.File != file.Name {
			return finding.Edit{}, false
		}
		if old.Pos.Offset == old.Pos.End { // `key:` with nothing behind the colon
			value = " " + value
		}
		return at(old.Pos.Offset, old.Pos.End, value)
	}
	switch {
	case parent == nil:
		// Before the first key rather than at the end: what the file ends with
		// (a block text, a document end marker) then does not matter.
		first := firstOwn(root, file.Name)
		switch {
		case root.Style == config.Flow:
			return at(root.Pos.Offset+1, root.Pos.Offset+1, section+": {"+key+": "+value+"}"+comma(root))
		case first == nil:
			end := len(file.Data)
			lead := ""
			if end > 0 && file.Data[end-1] != '\n' {
				lead = newline
			}
			return at(end, end, lead+section+":"+newline+"  "+key+": "+value+newline)
		}
		indent := indentation(file.Data, first.KeyPos.Offset)
		return at(first.KeyPos.Offset, first.KeyPos.Offset, section+":"+newline+indent+"  "+key+": "+value+newline+indent)
	case parent.Kind == config.Null && parent.Pos.Offset == parent.Pos.End:
		indent := indentation(file.Data, parent.KeyPos.Offset)
		return at(parent.Pos.Offset, parent.Pos.End, newline+indent+"  "+key+": "+value)
	case parent.Kind == config.Null:
		return at(parent.Pos.Offset, parent.Pos.End, "{"+key+": "+value+"}")
	case parent.Kind != config.Map:
		return finding.Edit{}, false
	case parent.Style == config.Flow:
		return at(parent.Pos.Offset+1, parent.Pos.Offset+1, key+": "+value+comma(parent))
	}
	first := firstOwn(parent, file.Name)
	if first == nil {
		return finding.Edit{}, false
	}
	return at(first.KeyPos.Offset, first.KeyPos.Offset, key+": "+value+newline+indentation(file.Data, first.KeyPos.Offset))
}

func comma(n *config.Node) string {
	if n.Len() > 0 {
		return ", "
	}
	return ""
}

// firstOwn is the first key that a mapping itself holds in the file, as
// opposed to one merged in.
func firstOwn(n *config.Node, file string) *config.Node {
	var first *config.Node
	for _, item := range n.Items() {
		if item.KeyPos.File != file || !item.Anchored.IsZero() && item.Anchored.Offset < n.Pos.Offset {
			continue
		}
		if first == nil || item.KeyPos.Offset < first.KeyPos.Offset {
			first = item
		}
	}
	return first
}

// indentation is the white space before a place on its line.
func indentation(data []byte, offset int) string {
	start := bytes.LastIndexByte(data[:offset], '\n') + 1
	for i := start; i < offset; i++ {
		if data[i] != ' ' {
			return string(bytes.Repeat([]byte{' '}, offset-start))
		}
	}
	return string(data[start:offset])
}

// rewrite applies edits to the main file and checks that they did what they
// were meant to and nothing else: the result must parse, hold the wanted
// values, and be otherwise the same document.
func rewrite(file config.File, edits []finding.Edit, want map[string]string) ([]byte, error) {
	if len(edits) == 0 {
		return file.Data, nil
	}
	out, err := config.Splice(file.Data, edits)
	if err != nil {
		return nil, err
	}
	before, _, err := config.ParseYAML(file.Name, file.Data)
	if err != nil {
		return nil, err
	}
	after, _, err := config.ParseYAML(file.Name, out)
	if err != nil {
		return nil, fmt.Errorf("%s is laid out in a way that cannot be edited as text: %w", file.Name, err)
	}
	for path, value := range want {
		if got, _ := after.Lookup(path).Scalar(); got != value {
			return nil, fmt.Errorf("%s is laid out in a way that cannot be edited as text: %s did not take its value", file.Name, path)
		}
	}
	for n := range before.Walk() {
		if !n.IsScalar() {
			continue
		}
		path := n.Path()
		if _, changed := want[path]; changed {
			continue
		}
		was, _ := n.Scalar()
		if got, ok := after.Lookup(path).Scalar(); !ok || got != was {
			return nil, fmt.Errorf("%s is laid out in a way that cannot be edited as text: %s would change", file.Name, path)
		}
	}
	return out, nil
}
