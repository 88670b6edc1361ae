package lint

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// A suppression is one statement that a finding is accepted: a comment, an
// annotation on a Kubernetes object, or an entry of .llmgw-doctor.yaml.
type suppression struct {
	ids    []string // rule ids as written, upper case
	reason string
	until  time.Time // zero: for ever
	pos    finding.Position
	from   string // comment, annotation, config file
	edit   *finding.Edit

	file      string // findings of this file only
	glob      string // .llmgw-doctor.yaml: pattern instead of file
	wholeFile bool
	lineFrom  int // inclusive; lines of the file the suppression covers
	lineTo    int

	used    map[string]bool
	problem string // why it has no effect
}

// expired reports whether the date of the suppression has passed.
func (s *suppression) expired(now time.Time) bool {
	return !s.until.IsZero() && !now.Before(s.until.AddDate(0, 0, 1))
}

func (s *suppression) covers(f rule.Hit) bool {
	if s.glob != "" {
		if !matchPath(s.glob, f.Pos.File) {
			return false
		}
		return s.lineFrom == 0 || s.lineFrom == f.Pos.Line
	}
	if f.Pos.File != s.file {
		return false
	}
	return s.wholeFile || (f.Pos.Line >= s.lineFrom && f.Pos.Line <= s.lineTo)
}

func (s *suppression) names(id string) bool {
	for _, want := range s.ids {
		if want == id {
			return true
		}
	}
	return false
}

// never lists the rules that a comment or annotation cannot silence: without
// them nothing else about the file can be trusted, or the host is already
// compromised.
var never = map[string]bool{"CFG001": true, "CFG016": true, "SEC023": true}

var (
	directive = regexp.MustCompile(`^#+\s*llmgw:(ignore-until|ignore-file|ignore)\b(.*)$`)
	dateForm  = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
)

// scanSuppressions reads the ignore comments of one file. It looks at lines
// only, so it works on YAML, on environment files, and on the block scalar of
// a ConfigMap alike.
func scanSuppressions(file string, data []byte) []*suppression {
	if !bytes.Contains(data, []byte("llmgw:ignore")) {
		return nil
	}
	var (
		out     []*suppression
		pending []*suppression // comments on a line of their own, waiting for the next content line
		sc      commentScanner
		offset  int
	)
	for n, raw := range SplitLines(data) {
		line := strings.TrimRight(string(raw), "\r\n")
		if n == 0 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		num := n + 1
		at := sc.comment(line)
		content := line
		if at >= 0 {
			content = line[:at]
		}
		blank := strings.TrimSpace(content) == ""
		if !blank {
			for _, s := range pending {
				s.lineFrom, s.lineTo = num, num
			}
			pending = nil
		}
		if at >= 0 {
			if s := parseDirective(file, line[at:]); s != nil {
				s.pos = finding.Position{
					File: file, Line: num, Col: len([]rune(line[:at])) + 1,
					Offset: offset + at, End: offset + len(line),
				}
				s.edit = removal(file, raw, offset, at, blank)
				switch {
				case s.wholeFile:
				case blank:
					pending = append(pending, s)
				default:
					s.lineFrom, s.lineTo = num, num
				}
				out = append(out, s)
			}
		}
		offset += len(raw)
	}
	return out
}

// SplitLines cuts a file into lines with their ends, as editors and the reader
// of configs count them: at \n, \r\n, or a lone \r.
func SplitLines(data []byte) [][]byte {
	var out [][]byte
	start := 0
	for i, b := range data {
		if b == '\n' || b == '\r' && (i+1 == len(data) || data[i+1] != '\n') {
			out = append(out, data[start:i+1])
			start = i + 1
		}
	}
	return append(out, data[start:])
}

// LineStarts are the offsets of the lines that SplitLines cuts.
func LineStarts(data []byte) []int {
	out := []int{0}
	for i, b := range data {
		if b == '\n' || b == '\r' && (i+1 == len(data) || data[i+1] != '\n') {
			out = append(out, i+1)
		}
	}
	return out
}

// removal is the edit that deletes a comment, with its line when nothing else
// stands on it.
func removal(file string, raw []byte, offset, at int, own bool) *finding.Edit {
	if own {
		return &finding.Edit{File: file, Offset: offset, End: offset + len(raw)}
	}
	trimmed := len(bytes.TrimRight(raw[:at], " \t"))
	return &finding.Edit{File: file, Offset: offset + trimmed, End: offset + len(bytes.TrimRight(raw, "\r\n"))}
}

// parseDirective reads one comment; nil when it is not a directive.
func parseDirective(file, comment string) *suppression {
	m := directive.FindStringSubmatch(comment)
	if m == nil {
		return nil
	}
	s := &suppression{file: file, from: "comment", used: map[string]bool{}}
	s.wholeFile = m[1] == "ignore-file"
	body, reason, found := strings.Cut(m[2], "--")
	s.reason = strings.TrimSpace(reason)
	words := strings.FieldsFunc(body, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
	if m[1] == "ignore-until" {
		if len(words) == 0 || !dateForm.MatchString(words[0]) {
			s.problem = "llmgw:ignore-until needs a date such as 2027-01-31 before the rule ids"
		} else {
			d, err := time.Parse(time.DateOnly, words[0])
			if err != nil {
				s.problem = fmt.Sprintf("%q is not a date of the calendar", words[0])
			}
			s.until = d
			words = words[1:]
		}
	}
	for _, w := range words {
		s.ids = append(s.ids, strings.ToUpper(w))
	}
	switch {
	case s.problem != "":
	case len(s.ids) == 0:
		s.problem = "the comment names no rule"
	case !found || s.reason == "":
		s.problem = "the comment gives no reason"
	}
	return s
}

// commentScanner finds the start of a comment on each line of a YAML or
// environment file. It keeps the little state that decides whether a # is
// text: an open quoted scalar, and block scalars, inside which every line
// stands for itself (a ConfigMap carries a whole config in one).
type commentScanner struct {
	quote  byte // open quote that goes on over lines
	block  bool
	indent int // of the line that opened the block
}

var blockHeader = regexp.MustCompile(`(^|[\s:\-])[|>][+\-0-9]{0,2}\s*(#.*)?$`)

func (c *commentScanner) comment(line string) int {
	indent := len(line) - len(strings.TrimLeft(line, " "))
	if c.block && strings.TrimSpace(line) != "" && indent <= c.indent {
		c.block = false
	}
	i := 0
	if c.quote != 0 {
		end := closingQuote(line, 0, c.quote)
		if end < 0 {
			return -1
		}
		c.quote, i = 0, end+1
	}
	start := true // a quote opens a scalar only where a token may start
	for ; i < len(line); i++ {
		switch ch := line[i]; {
		case ch == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t'):
			c.open(line[:i], indent)
			return i
		case (ch == '"' || ch == '\'') && start:
			end := closingQuote(line, i+1, ch)
			if end < 0 {
				if !c.block {
					c.quote = ch
				}
				return -1
			}
			i, start = end, false
		case ch == ' ' || ch == '\t':
		case ch == '[' || ch == '{' || ch == ',' || ch == ':' || ch == '=':
			start = true
		case ch == '-' && strings.TrimSpace(line[:i]) == "":
			start = true
		default:
			start = false
		}
	}
	c.open(line, indent)
	return -1
}

func (c *commentScanner) open(content string, indent int) {
	if !c.block && blockHeader.MatchString(strings.TrimRight(content, " \t")) {
		c.block, c.indent = true, indent
	}
}

// closingQuote finds the end of a quoted scalar that is open at i.
func closingQuote(line string, i int, quote byte) int {
	for ; i < len(line); i++ {
		switch {
		case quote == '"' && line[i] == '\\':
			i++
		case line[i] == quote:
			if quote == '\'' && i+1 < len(line) && line[i+1] == '\'' {
				i++
				continue
			}
			return i
		}
	}
	return -1
}

// matchPath matches a slash-separated path against a pattern in which * stays
// inside a segment and ** crosses segments. A pattern without a slash matches
// the base name.
func matchPath(pattern, path string) bool {
	pattern, path = strings.TrimPrefix(pattern, "./"), strings.TrimPrefix(path, "./")
	if !strings.Contains(pattern, "/") {
		path = path[strings.LastIndexByte(path, '/')+1:]
	}
	var re strings.Builder
	re.WriteString("^")
	for i := 0; i < len(pattern); i++ {
		switch {
		case strings.HasPrefix(pattern[i:], "**/"):
			re.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(pattern[i:], "**"):
			re.WriteString(".*")
			i++
		case pattern[i] == '*':
			re.WriteString("[^/]*")
		case pattern[i] == '?':
			re.WriteString("[^/]")
		default:
			re.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	re.WriteString("$")
	compiled, err := regexp.Compile(re.String())
	return err == nil && compiled.MatchString(path)
}
