package syntax

import (
	"net/url"
	"strings"
)

// parser builds nodes from the tokens of a scanner.
type parser struct {
	scanner
	limits  Limits
	depth   int
	nodes   int
	anchors map[string]*Node
	tags    map[string]string // %TAG handles of the document
	slab    []Node            // nodes are made in batches
}

const slabSize = 64

func (p *parser) stream() ([]Document, error) {
	var docs []Document
	for first := true; ; first = false {
		t, err := p.peek()
		if err != nil {
			return nil, err
		}
		if t.kind == tStreamEnd {
			return docs, nil
		}
		start := t.start
		p.anchors, p.tags = nil, nil
		if first && t.kind == tDocEnd {
			return nil, p.fail(t.start, -1, Other, `"..." ends a document, and there is none before it`, "delete the line")
		}
		if !first || t.kind == tDirective || t.kind == tDocStart {
			if start, err = p.documentStart(); err != nil {
				return nil, err
			}
			if start < 0 {
				return docs, nil
			}
		}
		root, err := p.documentContent()
		if err != nil {
			return nil, err
		}
		docs = append(docs, Document{Root: root, Start: start})
		for {
			t, err := p.peek()
			if err != nil {
				return nil, err
			}
			if t.kind != tDocEnd {
				break
			}
			if _, err := p.next(); err != nil {
				return nil, err
			}
		}
	}
}

// documentStart reads directives and "---"; it returns -1 at the end.
func (p *parser) documentStart() (int, error) {
	directive := -1
	for {
		t, err := p.next()
		if err != nil {
			return 0, err
		}
		switch t.kind {
		case tStreamEnd:
			if directive >= 0 {
				return 0, p.fail(directive, -1, Other, `a line that begins with "%" needs a document behind it`, "put the text in quotes")
			}
			return -1, nil
		case tDocEnd:
		case tDirective:
			directive = t.start
			if t.handle != "" {
				if p.tags == nil {
					p.tags = map[string]string{}
				}
				p.tags[t.handle] = t.value
			}
		case tDocStart:
			return t.start, nil
		default:
			return 0, p.fail(t.start, -1, Other, `"---" was expected before `+t.kind.word(), `begin a new document with "---", or delete the line above`)
		}
	}
}

func (p *parser) documentContent() (*Node, error) {
	t, err := p.peek()
	if err != nil {
		return nil, err
	}
	switch t.kind {
	case tDirective, tDocStart, tDocEnd, tStreamEnd:
		return p.empty(t.start)
	}
	root, err := p.node(true, false)
	if err != nil {
		return nil, err
	}
	// What follows a finished root on the same level belongs to nothing.
	t, err = p.peek()
	if err != nil {
		return nil, err
	}
	switch t.kind {
	case tDocStart, tDocEnd, tStreamEnd:
		return root, nil
	case tDirective:
		return nil, p.fail(t.start, -1, Other, `a "%" line cannot stand behind a document`, `end the document with "..." before it, or put the text in quotes`)
	}
	return nil, p.fail(t.start, -1, NotHere, t.kind.word()+" cannot stand here, behind the end of the document",
		"check the indentation; a configuration is one mapping of \"key: value\" lines")
}

// new counts the node, so that a hostile file cannot cost more than the limits.
func (p *parser) newNode(at int) (*Node, error) {
	if p.nodes++; p.nodes > p.limits.Nodes {
		return nil, p.fail(at, -1, TooLarge, "the file holds more than "+itoa(p.limits.Nodes)+" values", "")
	}
	if len(p.slab) == 0 {
		p.slab = make([]Node, slabSize)
	}
	n := &p.slab[0]
	p.slab = p.slab[1:]
	n.Props, n.Start, n.End = at, at, at
	return n, nil
}

func (p *parser) empty(at int) (*Node, error) { return p.newNode(at) }

// node reads one node. block allows block collections; indentless allows a list
// at the indentation of its key.
func (p *parser) node(block, indentless bool) (*Node, error) {
	if p.depth++; p.depth > p.limits.Depth {
		return nil, p.fail(p.pos, -1, TooLarge, "values are nested deeper than "+itoa(p.limits.Depth)+" levels", "")
	}
	defer func() { p.depth-- }()

	t, err := p.peek()
	if err != nil {
		return nil, err
	}
	if t.kind == tAlias {
		tok, err := p.next()
		if err != nil {
			return nil, err
		}
		n, err := p.newNode(tok.start)
		if err != nil {
			return nil, err
		}
		n.Kind, n.End, n.Value = Alias, tok.end, tok.value
		n.Target = p.anchors[tok.value]
		if n.Target == nil {
			return nil, p.fail(tok.start, -1, BadAlias, `"*" starts a YAML alias, and there is no anchor of that name above it`,
				`put the value in quotes: "*..."`)
		}
		return n, nil
	}

	n, err := p.newNode(t.start)
	if err != nil {
		return nil, err
	}
	hasTag := false
	for t.kind == tAnchor && n.Anchor == "" || t.kind == tTag && !hasTag {
		tok, err := p.next()
		if err != nil {
			return nil, err
		}
		if tok.kind == tAnchor {
			n.Anchor = tok.value
			if p.anchors[tok.value] != nil {
				p.note(AnchorTwice, tok.start, tok.value)
			}
		} else {
			hasTag = true
			if n.Tag, err = p.resolveTag(tok); err != nil {
				return nil, err
			}
		}
		n.Start, n.End = tok.end, tok.end
		if t, err = p.peek(); err != nil {
			return nil, err
		}
	}
	if n.Anchor != "" {
		if p.anchors == nil {
			p.anchors = map[string]*Node{}
		}
		p.anchors[n.Anchor] = n
	}
	switch {
	case indentless && t.kind == tBlockEntry:
		n.Start = t.start
		return n, p.indentlessList(n)
	case t.kind == tScalar:
		tok, err := p.next()
		if err != nil {
			return nil, err
		}
		n.Style, n.Start, n.End, n.Value = tok.style, tok.start, tok.end, tok.value
		return n, nil
	case t.kind == tFlowSeqStart:
		return n, p.flowList(n)
	case t.kind == tFlowMapStart:
		return n, p.flowMapping(n)
	case block && t.kind == tBlockSeqStart:
		return n, p.blockList(n)
	case block && t.kind == tBlockMapStart:
		return n, p.blockMapping(n)
	case n.Anchor != "" || hasTag:
		return n, nil
	}
	return nil, p.noNode(t)
}

func (p *parser) noNode(t *token) error {
	fix := "give the value, or put the text in quotes"
	if t.kind == tValue || t.kind == tBlockMapStart {
		fix = "check the indentation and the colons of this line"
	}
	return p.fail(t.start, -1, CannotStart, t.kind.word()+" cannot stand where a value is expected", fix)
}

// standardTag is the prefix of the tags that "!!" stands for.
const standardTag = "tag:yaml.org,2002:"

func (p *parser) resolveTag(t token) (string, error) {
	suffix := t.value
	if u, err := url.PathUnescape(suffix); err == nil {
		suffix = u
	}
	full := suffix
	switch {
	case t.handle == "" && suffix == "!":
		return "!", nil
	case t.handle == "":
	case p.tags[t.handle] != "":
		full = p.tags[t.handle] + suffix
	case t.handle == "!":
		full = "!" + suffix
	case t.handle == "!!":
		full = standardTag + suffix
	default:
		return "", p.fail(t.start, -1, Other, `"!" starts a YAML tag, and its handle is not declared`, "delete the tag, or put the value in quotes")
	}
	if rest, ok := strings.CutPrefix(full, standardTag); ok {
		return "!!" + rest, nil
	}
	return full, nil
}

func (p *parser) add(n, child *Node) {
	n.Content = append(n.Content, child)
	if child.End > n.End {
		n.End = child.End
	}
}

func (p *parser) blockList(n *Node) error {
	open, err := p.next()
	if err != nil {
		return err
	}
	n.Kind, n.Style, n.Start, n.End = Sequence, Block, open.start, open.start
	for {
		t, err := p.next()
		if err != nil {
			return err
		}
		switch t.kind {
		case tBlockEnd:
			return nil
		case tBlockEntry:
		default:
			return p.fail(t.start, n.Start, NotHere, t.kind.word()+` cannot stand here, among the items of the list that begins above`,
				"indent it like the other items, and begin it with \"- \"")
		}
		n.End = max(n.End, t.end)
		if err := p.item(n, t.end, tBlockEntry, tBlockEnd); err != nil {
			return err
		}
	}
}

func (p *parser) indentlessList(n *Node) error {
	n.Kind, n.Style = Sequence, Block
	for {
		t, err := p.peek()
		if err != nil || t.kind != tBlockEntry {
			return err
		}
		entry, err := p.next()
		if err != nil {
			return err
		}
		n.End = max(n.End, entry.end)
		if err := p.item(n, entry.end, tBlockEntry, tKey, tValue, tBlockEnd); err != nil {
			return err
		}
	}
}

// item reads a list item, which is empty if one of the given tokens follows.
func (p *parser) item(n *Node, at int, empty ...tokenKind) error {
	child, err := p.nodeUnless(at, true, false, empty...)
	if err != nil {
		return err
	}
	p.add(n, child)
	return nil
}

func (p *parser) nodeUnless(at int, block, indentless bool, empty ...tokenKind) (*Node, error) {
	t, err := p.peek()
	if err != nil {
		return nil, err
	}
	for _, kind := range empty {
		if t.kind == kind {
			return p.empty(at)
		}
	}
	return p.node(block, indentless)
}

func (p *parser) blockMapping(n *Node) error {
	open, err := p.next()
	if err != nil {
		return err
	}
	n.Kind, n.Style, n.Start, n.End = Mapping, Block, open.start, open.start
	for {
		t, err := p.next()
		if err != nil {
			return err
		}
		switch t.kind {
		case tBlockEnd:
			return nil
		case tKey:
		case tValue:
			return p.fail(t.start, n.Start, NotHere, `":" without a key before it`, "write the key, or put the text in quotes")
		default:
			return p.fail(t.start, n.Start, NotHere, t.kind.word()+" cannot stand here, among the keys of the mapping that begins above",
				"check the indentation: the keys of one mapping stand in one column")
		}
		key, err := p.nodeUnless(t.end, true, true, tKey, tValue, tBlockEnd)
		if err != nil {
			return err
		}
		p.add(n, key)
		if err := p.value(n, key, true, tKey, tValue, tBlockEnd); err != nil {
			return err
		}
	}
}

// value reads ": value" behind a key, or gives the empty value.
func (p *parser) value(n, key *Node, block bool, empty ...tokenKind) error {
	t, err := p.peek()
	if err != nil {
		return err
	}
	at := key.End
	if t.kind == tValue {
		colon, err := p.next()
		if err != nil {
			return err
		}
		n.End = max(n.End, colon.end)
		child, err := p.nodeUnless(colon.end, block, block, empty...)
		if err != nil {
			return err
		}
		p.add(n, child)
		return nil
	}
	child, err := p.empty(at)
	if err != nil {
		return err
	}
	p.add(n, child)
	return nil
}

// flowEntry steps over the comma before every entry but the first, and reports
// whether there is another entry.
func (p *parser) flowEntry(n *Node, closing tokenKind) (bool, error) {
	t, err := p.peek()
	if err != nil {
		return false, err
	}
	if len(n.Content) > 0 && t.kind != closing {
		if t.kind != tFlowEntry {
			return false, p.flowError(t, n, closing)
		}
		if _, err := p.next(); err != nil {
			return false, err
		}
		if t, err = p.peek(); err != nil {
			return false, err
		}
	}
	if t.kind != closing {
		if t.kind == tStreamEnd {
			return false, p.flowError(t, n, closing)
		}
		return true, nil
	}
	end, err := p.next()
	if err != nil {
		return false, err
	}
	n.End = end.end
	return false, nil
}

func (p *parser) flowError(t *token, n *Node, closing tokenKind) error {
	open := "["
	if closing == tFlowMapEnd {
		open = "{"
	}
	if t.kind == tStreamEnd {
		return p.fail(n.Start, -1, Other, `the "`+open+`" that stands here is not closed`, "add "+closing.word())
	}
	return p.fail(t.start, n.Start, Other, `"," or `+closing.word()+` was expected before `+t.kind.word(),
		`close the "`+open+`" that begins above, separate the entries with ",", or quote the text`)
}

func (p *parser) flowList(n *Node) error {
	open, err := p.next()
	if err != nil {
		return err
	}
	n.Kind, n.Style, n.Start, n.End = Sequence, Flow, open.start, open.end
	for {
		more, err := p.flowEntry(n, tFlowSeqEnd)
		if err != nil || !more {
			return err
		}
		t, err := p.peek()
		if err != nil {
			return err
		}
		if t.kind != tKey {
			child, err := p.node(false, false)
			if err != nil {
				return err
			}
			p.add(n, child)
			continue
		}
		// [a: b] is a list of one mapping.
		tok, err := p.next()
		if err != nil {
			return err
		}
		pair, err := p.newNode(tok.start)
		if err != nil {
			return err
		}
		pair.Kind, pair.Style = Mapping, Flow
		key, err := p.nodeUnless(tok.end, false, false, tValue, tFlowEntry, tFlowSeqEnd)
		if err != nil {
			return err
		}
		p.add(pair, key)
		if err := p.value(pair, key, false, tFlowEntry, tFlowSeqEnd); err != nil {
			return err
		}
		p.add(n, pair)
	}
}

func (p *parser) flowMapping(n *Node) error {
	open, err := p.next()
	if err != nil {
		return err
	}
	n.Kind, n.Style, n.Start, n.End = Mapping, Flow, open.start, open.end
	for {
		more, err := p.flowEntry(n, tFlowMapEnd)
		if err != nil || !more {
			return err
		}
		t, err := p.peek()
		if err != nil {
			return err
		}
		if t.kind != tKey {
			key, err := p.node(false, false)
			if err != nil {
				return err
			}
			p.add(n, key)
			value, err := p.empty(key.End)
			if err != nil {
				return err
			}
			p.add(n, value)
			continue
		}
		tok, err := p.next()
		if err != nil {
			return err
		}
		key, err := p.nodeUnless(tok.end, false, false, tValue, tFlowEntry, tFlowMapEnd)
		if err != nil {
			return err
		}
		p.add(n, key)
		if err := p.value(n, key, false, tFlowEntry, tFlowMapEnd); err != nil {
			return err
		}
	}
}
