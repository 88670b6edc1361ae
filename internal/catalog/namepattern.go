package catalog

import (
	"regexp"
	"strings"
)

// namePattern is a regular expression as its alternatives. Most of them are plain
// beginnings and ends of names, which cost a comparison and not a search: a
// listing of ten thousand models asks every line of the table for each.
type namePattern []part

// part is one alternative: a text that stands somewhere, at the front, at the
// end, or is the whole; or an expression behind a text at the front.
type part struct {
	text       string
	front, end bool
	re         *regexp.Regexp // nil when text says it all
}

func (s namePattern) matches(name string) bool {
	for i := range s {
		p := &s[i]
		ok := false
		switch {
		case p.re != nil:
			ok = strings.HasPrefix(name, p.text) && p.re.MatchString(name)
		case p.front && p.end:
			ok = name == p.text
		case p.front:
			ok = strings.HasPrefix(name, p.text)
		case p.end:
			ok = strings.HasSuffix(name, p.text)
		default:
			ok = strings.Contains(name, p.text)
		}
		if ok {
			return true
		}
	}
	return false
}

// newNamePattern takes an expression apart; one that cannot be compiled panics.
func newNamePattern(expression string) namePattern {
	var s namePattern
	for _, alt := range alternatives(expression) {
		s = append(s, newPart(alt))
	}
	return s
}

func newPart(alt string) part {
	rest, front := strings.CutPrefix(alt, "^")
	text, tail := literal(rest)
	switch {
	case tail == "":
		return part{text: text, front: front}
	case tail == "$":
		return part{text: text, front: front, end: true}
	case !front:
		text = ""
	}
	return part{text: text, re: regexp.MustCompile(alt)}
}

// literal reads what stands for itself at the beginning of an expression.
func literal(expression string) (text, tail string) {
	var b strings.Builder
	for i := 0; i < len(expression); i++ {
		c, width := expression[i], 1
		switch {
		case c == '\\' && i+1 < len(expression) && strings.IndexByte(`.+*?()[]{}|^$\-/`, expression[i+1]) >= 0:
			c, width = expression[i+1], 2
		case strings.IndexByte(`.+*?()[]{}|^$\`, c) >= 0:
			return b.String(), expression[i:]
		}
		if next := i + width; next < len(expression) && strings.IndexByte("?*+{", expression[next]) >= 0 {
			return b.String(), expression[i:] // the sign repeats this byte
		}
		b.WriteByte(c)
		i += width - 1
	}
	return b.String(), ""
}

// alternatives splits an expression at the bars that stand in no group and no
// class.
func alternatives(expression string) (list []string) {
	depth, class, from := 0, false, 0
	for i := 0; i < len(expression); i++ {
		switch c := expression[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			list, from = append(list, expression[from:i]), i+1
		}
	}
	return append(list, expression[from:])
}
