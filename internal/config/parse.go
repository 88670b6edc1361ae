package config

import (
	"errors"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config/syntax"
	"github.com/llmgw/llmgw/internal/finding"
)

// maxAliased bounds how many values aliases and merge keys may repeat, so that
// a file of a few lines cannot grow into gigabytes.
const maxAliased = 250_000

// maxRemarks bounds the findings on one file.
const maxRemarks = 500

// ParseYAMLDocuments reads every document of a YAML stream. See [ParseYAML].
func ParseYAMLDocuments(file string, data []byte) ([]*Node, []finding.Finding, error) {
	b := &builder{index: newLineIndex(file, data)}
	docs, notes, err := syntax.Parse(data, syntax.Limits{})
	b.notes(notes)
	if err != nil {
		return nil, b.findings, b.syntaxError(err)
	}
	var roots []*Node
	for i, d := range docs {
		b.doc = i
		root, err := b.node(d.Root)
		if err != nil {
			return nil, b.findings, b.syntaxError(err)
		}
		roots = append(roots, root)
	}
	finding.Sort(b.findings)
	return roots, b.findings, nil
}

const slabSize = 64

// builder turns syntax nodes into Nodes.
type builder struct {
	index    *lineIndex
	doc      int
	findings []finding.Finding
	open     map[*syntax.Node]bool // anchored nodes being built, to find cycles
	aliased  int
	depth    int
	slab     []Node            // nodes are made in batches
	secret   bool              // the value being built stands under the name of a secret
	via      *finding.Position // set while building what an alias stands for
	viaKey   *finding.Position // set while building what a merge key stands for
	keys     map[string]string // one copy per key text
}

func (b *builder) remark(f finding.Finding) {
	if len(b.findings) < maxRemarks {
		b.findings = append(b.findings, f)
	}
}

func (b *builder) trapAt(n *syntax.Node, message, fix string) {
	if b.via != nil {
		return // said where it is written
	}
	b.remark(finding.Finding{ID: "CFG019", Name: "yaml-trap", Severity: finding.Warning,
		Pos: b.index.pos(n.Start, n.End), Message: message, Fix: fix})
}

// notes turns what the parser remarked into findings, one for tabs however many
// there are: a file that is indented with tabs inside brackets is full of them.
func (b *builder) notes(list []syntax.Note) {
	tabs := 0
	for _, n := range list {
		f := finding.Finding{ID: "CFG019", Name: "yaml-trap", Severity: finding.Warning, Pos: b.index.pos(n.Offset, n.Offset+1)}
		switch n.Kind {
		case syntax.TabBlank:
			if tabs++; tabs > 1 {
				continue
			}
			f.Message = "a tab stands between the words; LiteLLM's reader refuses the file because of it"
			f.Fix = "write a blank instead, here and wherever else a tab stands for blanks"
		case syntax.AnchorTwice:
			f.Message = "the anchor &" + n.Text + " is defined a second time; LiteLLM's reader refuses the file because of it"
			f.Fix = "give it another name"
		case syntax.QuestionMark:
			f.Message = `an unquoted "?" inside brackets; LiteLLM's reader refuses the file because of it`
			f.Fix = "put the value in quotes"
		}
		b.remark(f)
	}
}

// pos is where a node stands: at the alias, if it came by one.
func (b *builder) pos(start, end int) finding.Position {
	if b.via != nil {
		return *b.via
	}
	return b.index.pos(start, end)
}

func (b *builder) node(y *syntax.Node) (*Node, error) {
	if y.Kind == syntax.Alias {
		return b.alias(y)
	}
	if b.via != nil {
		if b.aliased++; b.aliased > maxAliased {
			return nil, &syntax.Error{Offset: b.via.Offset, Context: -1, Code: syntax.TooLarge,
				Problem: "aliases repeat more than " + strconv.Itoa(maxAliased) + " values"}
		}
	}
	// Aliases within aliases can nest deeper than anything that is written.
	if b.depth++; b.depth > 2*syntax.MaxDepth {
		return nil, &syntax.Error{Offset: y.Start, Context: -1, Code: syntax.TooLarge,
			Problem: "aliases nest deeper than " + strconv.Itoa(2*syntax.MaxDepth) + " levels"}
	}
	defer func() { b.depth-- }()
	if len(b.slab) == 0 {
		b.slab = make([]Node, slabSize)
	}
	n := &b.slab[0]
	b.slab = b.slab[1:]
	n.Style, n.Pos, n.Doc = Style(y.Style), b.pos(y.Start, y.End), b.doc
	if b.via != nil {
		n.Anchored = b.index.pos(y.Start, y.End)
	}
	if y.Anchor != "" {
		if b.open == nil {
			b.open = map[*syntax.Node]bool{}
		}
		b.open[y] = true
		defer delete(b.open, y)
	}
	switch y.Kind {
	case syntax.Scalar:
		b.scalar(n, y)
		return n, nil
	case syntax.Sequence:
		n.Kind = List
		b.collectionTag(y, "!!seq")
		n.children = make([]*Node, 0, len(y.Content))
		for _, item := range y.Content {
			c, err := b.node(item)
			if err != nil {
				return nil, err
			}
			c.parent, c.index = n, len(n.children)
			n.children = append(n.children, c)
		}
		return n, nil
	default:
		n.Kind = Map
		b.collectionTag(y, "!!map")
		return n, b.mapping(n, y)
	}
}

func (b *builder) collectionTag(y *syntax.Node, own string) {
	switch y.Tag {
	case "", "!", own:
	case "!!set", "!!omap", "!!pairs":
		b.trapAt(y, "the tag "+tagText(y.Tag)+" is not read here, LiteLLM builds something else from it", "delete the tag")
	default:
		b.trapAt(y, "LiteLLM's reader refuses this value: it does not know the tag "+tagText(y.Tag), "delete the tag")
	}
}

// tagText shows a standard tag. Any other may be a password that begins with
// "!".
func tagText(tag string) string {
	if !strings.HasPrefix(tag, "!!") || len(tag) > 40 {
		return `that begins with "!"`
	}
	return strconv.Quote(tag)
}

// word shows a value in a message, unless it stands under the name of a secret.
func (b *builder) word(s string) string {
	if b.secret {
		return "this value"
	}
	return short(s)
}

func (b *builder) quoteIt(s string) string {
	if b.secret {
		return "put it in quotes"
	}
	return `put it in quotes: "` + short(s) + `"`
}

func (b *builder) alias(y *syntax.Node) (*Node, error) {
	if b.open[y.Target] {
		return nil, &syntax.Error{Offset: y.Start, Context: -1, Code: syntax.BadAlias,
			Problem: "the anchor &" + y.Value + " contains itself", Fix: "write the value out"}
	}
	if b.via == nil {
		p := b.index.pos(y.Start, y.End)
		b.via = &p
		defer func() { b.via = nil }()
	}
	return b.node(y.Target)
}

// resolve applies the tag or the style of a scalar, else reads it as a word.
func (b *builder) resolve(y *syntax.Node) scalarValue {
	switch {
	case (y.Tag == "" || y.Tag == "!") && y.Style == syntax.Plain:
		return resolvePlain(y.Value)
	case y.Tag == "", y.Tag == "!", y.Tag == "!!str", y.Tag == "!!binary":
		return scalarValue{kind: String}
	}
	odd := scalarValue{kind: String, odd: "the tag " + tagText(y.Tag) + " does not fit"}
	v := resolvePlain(y.Value)
	switch y.Tag {
	case "!!null":
		return scalarValue{kind: Null}
	case "!!bool":
		switch strings.ToLower(y.Value) {
		case "yes", "true", "on":
			return scalarValue{kind: Bool, b: true}
		case "no", "false", "off":
			return scalarValue{kind: Bool}
		}
	case "!!int":
		if v.kind == Int {
			return v
		}
	case "!!float":
		if f, ok := taggedFloat(y.Value); ok {
			return scalarValue{kind: Float, f: f}
		}
	case "!!timestamp":
		if isDate(y.Value) {
			return scalarValue{kind: String, trap: trapDate}
		}
	default:
		odd.odd = "it does not know the tag " + tagText(y.Tag)
	}
	return odd
}

func (b *builder) scalar(n *Node, y *syntax.Node) {
	v := b.resolve(y)
	n.Kind, n.b, n.i, n.f, n.text = v.kind, v.b, v.i, v.f, y.Value
	if v.odd != "" {
		b.trapAt(y, "LiteLLM's reader refuses this value: "+v.odd, "put the value in quotes")
	}
	switch v.trap {
	case trapDate:
		n.Date = true
		if v.odd == "" {
			b.trapAt(y, "LiteLLM reads "+b.word(y.Value)+" as a date, not as text", b.quoteIt(y.Value))
		}
	case trapBase60:
		b.trapAt(y, "LiteLLM reads "+b.word(y.Value)+" as a number in base 60"+b.number(v), b.quoteIt(y.Value))
	case trapOctal:
		if v.i > 7 || strings.Trim(y.Value, "0_") != "" && v.i != 0 && len(strings.TrimLeft(y.Value, "+-0_")) > 1 {
			b.trapAt(y, "LiteLLM reads "+b.word(y.Value)+" as an octal number"+b.number(v)+", because of the leading zero",
				"delete the zero, or put the value in quotes")
		}
	}
}

func (b *builder) number(v scalarValue) string {
	if b.secret {
		return ""
	}
	return ", " + formatNumber(v)
}

func formatNumber(v scalarValue) string {
	if v.kind == Int && float64(v.i) == v.f {
		return strconv.FormatInt(v.i, 10)
	}
	return strconv.FormatFloat(v.f, 'g', -1, 64)
}

// short keeps a word from the file short enough for a sentence.
func short(s string) string {
	if len(s) <= 60 {
		return s
	}
	cut := 57
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "..."
}

// syntaxError turns an error of package syntax into one with a position, and
// adds what a look at the line can tell.
func (b *builder) syntaxError(err error) error {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return err
	}
	s := &SyntaxError{Pos: b.index.pos(e.Offset, min(e.Offset+1, len(b.index.data))), Message: e.Problem, Fix: e.Fix}
	if e.Context >= 0 && e.Context != e.Offset {
		s.Begins = b.index.pos(e.Context, e.Context)
	}
	if e.Code != syntax.Unreadable && e.Code != syntax.TooLarge {
		b.explain(s, e.Code)
	}
	b.findings = append(b.findings, s.finding())
	return s
}
