package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/llmgw/llmgw/internal/config/syntax"
	"github.com/llmgw/llmgw/internal/finding"
)

// dotEnv reads the file of --env-file, and ./.env under the rule of
// LITELLM_MODE. Variables that are set already win.
func (l *loader) dotEnv() error {
	env := l.tree.env
	if l.EnvFile != "" {
		data, err := l.read(l.EnvFile)
		if err != nil {
			return l.fail(readError(l.EnvFile, err, finding.Position{File: display(l.EnvFile)}, "env file not found: "))
		}
		l.setFrom(display(l.EnvFile), data)
	}
	if mode, set := env.Lookup("LITELLM_MODE"); !l.DotEnv || set && mode.Value != "DEV" {
		return nil
	}
	const name = ".env"
	data, err := l.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	at := finding.Position{File: name}
	if err != nil {
		// A .env that cannot be read stops nothing in LiteLLM either; but say it.
		e := readError(name, err, at, "")
		l.add(finding.Finding{Severity: finding.Warning, Pos: at, Message: e.Message, Fix: e.Fix})
		return nil
	}
	set, all := l.setFrom(name, data)
	l.tree.dotEnv = name
	l.add(finding.Finding{Severity: finding.Info, Pos: at,
		Message: fmt.Sprintf("%s is read because LITELLM_MODE is unset or DEV: %d of its %d variables were not set already", name, set, all)})
	return nil
}

// setFrom sets the variables of a file that are not set yet.
func (l *loader) setFrom(name string, data []byte) (set, all int) {
	vars, findings := ParseDotEnvWith(name, data, l.tree.env)
	l.findings = append(l.findings, findings...)
	for _, v := range vars {
		if !l.tree.env.Has(v.Name) {
			l.tree.env.Set(v)
			set++
		}
	}
	return set, len(vars)
}

// ParseDotEnv reads the text of a .env file by the rules of python-dotenv:
// NAME=VALUE, "export " before it, # comments, quotes, ${NAME} and
// ${NAME:-default}. Of a name that comes twice the last one is returned.
func ParseDotEnv(file string, data []byte) ([]Var, []finding.Finding) {
	return ParseDotEnvWith(file, data, nil)
}

// ParseDotEnvWith also expands ${NAME} from an environment, which wins over the
// file.
func ParseDotEnvWith(file string, data []byte, env *Env) ([]Var, []finding.Finding) {
	if len(data) > syntax.MaxBytes || !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, []finding.Finding{{ID: "CFG001", Severity: finding.Warning, Pos: finding.Position{File: file},
			Message: file + " is not UTF-8 text of NAME=VALUE lines and is not read", Fix: "save it as UTF-8 text"}}
	}
	p := &dotEnvParser{file: file, env: env, index: newLineIndex(file, data), seen: map[string]int{}}
	p.text = string(data)
	p.pos = len(p.text) - len(strings.TrimPrefix(p.text, "\ufeff"))
	p.run()
	return p.vars, p.findings
}

type dotEnvParser struct {
	file, text string
	pos        int
	env        *Env
	index      *lineIndex
	vars       []Var
	seen       map[string]int // name -> index in vars
	findings   []finding.Finding
}

func (p *dotEnvParser) run() {
	for {
		p.skip(unicode.IsSpace)
		if p.pos >= len(p.text) {
			return
		}
		start := p.pos
		if !p.statement() {
			p.pos = start
			p.skip(notEOL)
			if len(p.findings) < maxRemarks {
				p.findings = append(p.findings, finding.Finding{ID: "CFG001", Severity: finding.Warning, Pos: p.index.pos(start, p.pos),
					Message: "the line cannot be read as NAME=VALUE and is skipped", Fix: `write NAME=VALUE; put a value with quotes in it between the other kind of quotes`})
			}
		}
	}
}

func notEOL(r rune) bool  { return r != '\n' && r != '\r' }
func isBlank(r rune) bool { return unicode.IsSpace(r) && notEOL(r) }

// skip steps over the characters that ok accepts and returns them.
func (p *dotEnvParser) skip(ok func(rune) bool) string {
	start := p.pos
	for p.pos < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.pos:])
		if !ok(r) {
			break
		}
		p.pos += n
	}
	return p.text[start:p.pos]
}

func (p *dotEnvParser) at() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return '\n'
}

// statement reads one NAME=VALUE; it reports false if there is none.
func (p *dotEnvParser) statement() bool {
	if rest, ok := strings.CutPrefix(p.text[p.pos:], "export"); ok {
		if r, _ := utf8.DecodeRuneInString(rest); rest != "" && isBlank(r) {
			p.pos += len("export")
			p.skip(isBlank)
		}
	}
	v := Var{Known: true, Source: p.file}
	from := p.pos
	switch p.at() {
	case '#':
		p.skip(notEOL)
		return true
	case '\'':
		end := strings.IndexByte(p.text[p.pos+1:], '\'')
		if end <= 0 {
			return false
		}
		v.Name = p.text[p.pos+1 : p.pos+1+end]
		p.pos += end + 2
	default:
		v.Name = p.skip(func(r rune) bool { return r != '=' && r != '#' && !unicode.IsSpace(r) })
		if v.Name == "" {
			return false
		}
	}
	v.Pos = p.index.pos(from, p.pos)
	p.skip(isBlank)
	set := p.at() == '='
	if set {
		p.pos++
		p.skip(isBlank)
		from = p.pos
		value, end, ok := p.value()
		if !ok {
			return false
		}
		v.Value = p.expand(value)
		v.ValuePos = p.index.pos(from, end)
	}
	p.skip(isBlank)
	if p.at() == '#' {
		p.skip(notEOL)
	}
	if p.pos < len(p.text) && notEOL(rune(p.text[p.pos])) {
		return false
	}
	if !set {
		return true // a name without "=" sets nothing
	}
	if i, twice := p.seen[v.Name]; twice {
		p.findings = append(p.findings, finding.Finding{ID: "CFG002", Name: "duplicate-key", Severity: finding.Warning, Pos: v.Pos,
			Message: fmt.Sprintf("%s is here a second time, first on line %d; the last one wins", short(v.Name), p.vars[i].Pos.Line),
			Fix:     "keep one of the two",
			Related: []finding.Related{{Pos: p.vars[i].Pos, Message: "first here, without effect"}}})
		p.vars[i] = v
		return true
	}
	p.seen[v.Name] = len(p.vars)
	p.vars = append(p.vars, v)
	return true
}

// value reads a value and returns where its text ends, comments excluded.
func (p *dotEnvParser) value() (value string, end int, ok bool) {
	quote := p.at()
	if quote != '\'' && quote != '"' {
		start := p.pos
		raw := p.skip(notEOL)
		// A comment begins at a "#" behind a blank.
		for i, r := range raw {
			if r == '#' && i > 0 {
				if before, _ := utf8.DecodeLastRuneInString(raw[:i]); unicode.IsSpace(before) {
					raw = raw[:i]
					break
				}
			}
		}
		raw = strings.TrimRightFunc(raw, unicode.IsSpace)
		// "A= # c": the blanks before the comment were skipped with the "=".
		if strings.HasPrefix(raw, "#") && start > 0 && p.text[start-1] != '=' {
			raw = ""
		}
		return raw, start + len(raw), true
	}
	var b strings.Builder
	for i := p.pos + 1; i < len(p.text); i++ {
		c := p.text[i]
		switch {
		case c == quote:
			p.pos = i + 1
			return b.String(), p.pos, true
		case c == '\\' && i+1 < len(p.text):
			i++
			b.WriteString(unescape(quote, p.text[i]))
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, false
}

// unescape is what a backslash and the character after it stand for.
func unescape(quote, c byte) string {
	if c == '\\' || c == '\'' {
		return string(rune(c))
	}
	if quote == '"' {
		if i := strings.IndexByte(`"abfnrtv`, c); i >= 0 {
			return "\"\a\b\f\n\r\t\v"[i : i+1]
		}
	}
	return `\` + string([]byte{c})
}

// maxExpanded bounds what ${NAME} may grow a value to.
const maxExpanded = 1 << 20

// expand replaces ${NAME} and ${NAME:-default}.
func (p *dotEnvParser) expand(value string) string {
	var b strings.Builder
	for {
		i := strings.Index(value, "${")
		if i < 0 || b.Len() > maxExpanded {
			b.WriteString(value)
			return b.String()
		}
		end := strings.IndexByte(value[i:], '}')
		if end < 0 {
			b.WriteString(value)
			return b.String()
		}
		name, fallback := value[i+2:i+end], ""
		if colon := strings.IndexByte(name, ':'); colon >= 0 {
			if !strings.HasPrefix(name[colon:], ":-") {
				b.WriteString(value[:i+2])
				value = value[i+2:]
				continue
			}
			name, fallback = name[:colon], name[colon+2:]
		}
		b.WriteString(value[:i])
		value = value[i+end+1:]
		if v, ok := p.env.Lookup(name); ok {
			b.WriteString(v.Value)
		} else if at, ok := p.seen[name]; ok {
			b.WriteString(p.vars[at].Value)
		} else {
			b.WriteString(fallback)
		}
	}
}
