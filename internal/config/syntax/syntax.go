// Package syntax reads YAML 1.1 text into nodes that know the exact bytes they
// were written with: where each key, value, bracket and quote begins and ends.
//
// It accepts what PyYAML accepts and gives the same structure, because that is
// the reader behind the configurations we load. Where PyYAML refuses a text that
// other readers take (a tab as a blank, an anchor defined twice), it accepts and
// leaves a [Note], so that Kubernetes manifests can be read too. It decides
// nothing about the meaning of a scalar; package config does.
package syntax

import (
	"strings"
	"unicode/utf8"
)

// Kind is the shape of a node.
type Kind uint8

// The shapes. An alias has its target in [Node.Target].
const (
	Scalar Kind = iota
	Mapping
	Sequence
	Alias
)

// Style is how a node is written.
type Style uint8

// The styles.
const (
	Plain Style = iota
	SingleQuoted
	DoubleQuoted
	Literal
	Folded
	Block
	Flow
)

// Node is one node. Offsets are bytes into the text given to [Parse].
type Node struct {
	Kind   Kind
	Style  Style
	Tag    string // as "!!int" for the standard ones, else in full; empty when not written
	Anchor string
	Value  string // of a scalar, decoded; the name of an alias
	// Start and End span the content; Props is where the anchor or tag before it
	// starts, equal to Start when there is none. A scalar that is not written has
	// an empty span.
	Props, Start, End int
	Content           []*Node // items, or keys and values in turn
	Target            *Node   // of an alias
}

// Error is the reason why a text is not YAML. Problem is a sentence without a
// final full stop. Context is where the construct began, -1 when that adds
// nothing.
type Error struct {
	Offset  int
	Context int
	Code    Code
	Problem string
	Fix     string
}

func (e *Error) Error() string { return e.Problem }

// Code tells apart the errors that callers say more about.
type Code uint8

// The codes.
const (
	Other       Code = iota
	NoColon          // a line of a mapping without "key:"
	Tab              // a tab in the indentation
	BadAlias         // "*" that starts no alias
	Unreadable       // not UTF-8 text
	TooLarge         // over a limit
	CannotStart      // a character that starts nothing
	NotHere          // "key: value" where none can be
)

// NoteKind says what a note is about.
type NoteKind uint8

// The notes: what we read and PyYAML does not.
const (
	TabBlank NoteKind = iota
	AnchorTwice
	QuestionMark
)

// Note is a remark about a place.
type Note struct {
	Kind   NoteKind
	Offset int
	Text   string
}

// Limits bound what a text may cost. A zero field means the default.
type Limits struct {
	Bytes int // of the text
	Depth int // of nesting
	Nodes int
}

// The default limits.
const (
	MaxBytes = 32 << 20
	MaxDepth = 256
	MaxNodes = 600_000
)

// Document is one document of a stream. Root is an empty plain scalar for a
// document that holds nothing.
type Document struct {
	Root  *Node
	Start int // of the "---" line, or of the content
}

// Parse reads all documents of a text. An empty text has none.
func Parse(data []byte, limits Limits) ([]Document, []Note, error) {
	if limits.Bytes == 0 {
		limits.Bytes = MaxBytes
	}
	if limits.Depth == 0 {
		limits.Depth = MaxDepth
	}
	if limits.Nodes == 0 {
		limits.Nodes = MaxNodes
	}
	if err := readable(data, limits.Bytes); err != nil {
		return nil, nil, err
	}
	p := &parser{scanner: scanner{text: string(data), indent: -1, allowKey: true, keys: make([]simpleKey, 1, 8)}, limits: limits}
	p.skipBOM()
	docs, err := p.stream()
	if err != nil {
		return nil, p.notes, err
	}
	return docs, p.notes, nil
}

// maxNotes bounds the remarks on one text; nobody reads more.
const maxNotes = 100

// lineBreak returns the length of the line break at s[i:], 0 if there is none.
// YAML 1.1 has five of them.
func lineBreak(s string, i int) int {
	if i >= len(s) {
		return 0
	}
	switch s[i] {
	case '\n':
		return 1
	case '\r':
		if i+1 < len(s) && s[i+1] == '\n' {
			return 2
		}
		return 1
	case 0xC2:
		if i+1 < len(s) && s[i+1] == 0x85 {
			return 2
		}
	case 0xE2:
		if i+2 < len(s) && s[i+1] == 0x80 && (s[i+2] == 0xA8 || s[i+2] == 0xA9) {
			return 3
		}
	}
	return 0
}

// breakText is what the line break at s[i:] of length n contributes to a value.
func breakText(s string, i, n int) string {
	if s[i] == 0xE2 {
		return s[i : i+n]
	}
	return "\n"
}

// readable refuses what is not UTF-8 text before anything else looks at it.
func readable(data []byte, max int) error {
	if len(data) > max {
		return &Error{Context: -1, Code: TooLarge,
			Problem: "the file is larger than " + size(max), Fix: "a configuration is text of a few kilobytes; check the path"}
	}
	if len(data) >= 2 && (data[0] == 0xFF && data[1] == 0xFE || data[0] == 0xFE && data[1] == 0xFF) || looksUTF16(data) {
		return &Error{Context: -1, Code: Unreadable, Problem: "the file is UTF-16 text, UTF-8 is expected",
			Fix: "save it as UTF-8"}
	}
	for i := 0; i < len(data); {
		c := data[i]
		if c >= 0x20 && c < 0x7F || c == '\n' || c == '\r' || c == '\t' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			return &Error{Offset: i, Context: -1, Code: Unreadable,
				Problem: "the control character " + charName(rune(c)) + " does not belong in a text file",
				Fix:     controlFix(data, i)}
		}
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return &Error{Offset: i, Context: -1, Code: Unreadable, Problem: "the file is not UTF-8 text from here on",
				Fix: "save it as UTF-8"}
		}
		if r > 0x7F && r < 0xA0 && r != 0x85 || r == 0xFFFE || r == 0xFFFF {
			return &Error{Offset: i, Context: -1, Code: Unreadable,
				Problem: "the control character " + charName(r) + " does not belong in a text file", Fix: "delete it"}
		}
		i += n
	}
	return nil
}

func controlFix(data []byte, i int) string {
	if data[i] == 0 || i < 16 {
		return "this looks like a binary file; check the path"
	}
	return "delete it, or write it as an escape in double quotes"
}

// looksUTF16 recognises UTF-16 without a byte order mark: ASCII with every other
// byte zero.
func looksUTF16(data []byte) bool {
	return len(data) >= 4 && (data[0] == 0 && data[1] != 0 && data[2] == 0 && data[3] != 0 ||
		data[0] != 0 && data[1] == 0 && data[2] != 0 && data[3] == 0)
}

func size(n int) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return itoa(n>>20) + " MiB"
	}
	return itoa(n) + " bytes"
}

func itoa(n int) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}

func charName(r rune) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString("U+")
	for shift := 12; shift >= 0; shift -= 4 {
		b.WriteByte(hex[r>>shift&0xF])
	}
	return b.String()
}
