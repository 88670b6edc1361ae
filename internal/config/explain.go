package config

import (
	"fmt"
	"strings"

	"github.com/llmgw/llmgw/internal/config/syntax"
)

// explain looks at the lines around a syntax error for causes that a parser
// cannot know: pasted documentation, unrendered templates.
func (b *builder) explain(e *SyntaxError, code syntax.Code) {
	if from, to := b.admonition(e.Pos.Line); from > 0 {
		marker := strings.TrimSpace(b.index.line(from))
		offset := b.index.starts[from-1]
		e.Pos = b.index.pos(offset, offset+len(b.index.line(from)))
		e.Message = fmt.Sprintf("this line is documentation markup (%q), probably copied from the docs page", short(marker))
		e.Fix = fmt.Sprintf("delete lines %d-%d", from, to)
		return
	}
	if line := b.template(e.Pos.Line); line > 0 {
		text := b.index.line(line)
		start := b.index.starts[line-1] + strings.Index(text, "{{")
		e.Pos = b.index.pos(start, start+2)
		e.Message = "the file is a template: {{ ... }} has to be rendered before it is YAML"
		e.Fix = `render it first (for Helm: "helm template"), or put the text in quotes if it is meant as it stands`
		return
	}
	if code == syntax.BadAlias && e.Fix == `put it in quotes: "*"` {
		before := string(b.index.data[b.index.starts[e.Pos.Line-1]:e.Pos.Offset])
		if before, ok := strings.CutSuffix(strings.TrimRight(before, " "), ":"); ok {
			if key := before[strings.LastIndexAny(before, " {,")+1:]; isWordText(key) {
				e.Fix = "write " + key + `: "*"`
			}
		}
		return
	}
	for n := e.Pos.Line; n >= max(1, e.Pos.Line-1); n-- {
		line := b.index.line(n)
		key, _, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || !isWordText(key) {
			continue
		}
		if code == syntax.NotHere || code == syntax.NoColon {
			at := b.index.starts[n-1] + len(line) - len(strings.TrimLeft(line, " "))
			e.Pos = b.index.pos(at, at+len(key))
			e.Message = "could not find expected ':' on this line"
		}
		e.Fix = fmt.Sprintf("write %s: with a colon and a blank instead of the \"=\"", strings.TrimPrefix(key, "- "))
		return
	}
	if code == syntax.NotHere || code == syntax.NoColon {
		b.missingBlank(e)
	}
}

// missingBlank finds the "key:value" without a blank that makes the line after
// it, or itself, unreadable.
func (b *builder) missingBlank(e *SyntaxError) {
	for n := e.Pos.Line; n >= max(1, e.Pos.Line-1); n-- {
		line := b.index.line(n)
		key, rest, ok := strings.Cut(strings.TrimLeft(line, " "), ":")
		if !ok || rest == "" || !isWordText(key) || strings.HasPrefix(rest, " ") || strings.HasPrefix(rest, "//") {
			continue
		}
		at := b.index.starts[n-1] + strings.IndexByte(line, ':')
		e.Pos = b.index.pos(at, at+1)
		e.Message = fmt.Sprintf("a blank is missing behind the colon of %q", short(strings.TrimPrefix(key, "- ")))
		e.Fix = "write a blank behind the colon"
		return
	}
}

func isWordText(s string) bool {
	s = strings.TrimPrefix(s, "- ")
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

// admonition finds a ":::note" block at or near a line: its first and last line.
func (b *builder) admonition(line int) (from, to int) {
	for n := max(1, line-1); n <= line+1; n++ {
		if strings.HasPrefix(strings.TrimSpace(b.index.line(n)), ":::") {
			from = n
			break
		}
	}
	if from == 0 {
		return 0, 0
	}
	to = from
	for n := from + 1; n <= min(from+40, len(b.index.starts)); n++ {
		if strings.HasPrefix(strings.TrimSpace(b.index.line(n)), ":::") {
			return from, n
		}
	}
	return from, to
}

// template finds the line that shows an unrendered template, the line of the
// error first.
func (b *builder) template(line int) int {
	text := b.index.line(line)
	if i := strings.Index(text, "{{"); i >= 0 && !strings.Contains(text[:i], "#") {
		return line
	}
	for n := 1; n <= len(b.index.starts) && n <= 5000; n++ {
		if strings.HasPrefix(strings.TrimSpace(b.index.line(n)), "{{") {
			return n
		}
	}
	return 0
}
