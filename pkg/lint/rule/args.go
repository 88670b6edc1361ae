package rule

import (
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/manifest"
)

// Arg is one flag of the launcher's command line.
type Arg struct {
	Name  string // with underscores
	Value string
	Pos   finding.Position
}

// Int reads the value as a whole number.
func (a Arg) Int() (int, bool) { return atoi(a.Value) }

// Args is the launcher's command line.
type Args struct {
	List  []Arg
	Known bool // a command line was given at all
	Pos   finding.Position
}

// Get finds a flag; the last one wins, as in the launcher.
func (a Args) Get(name string) (Arg, bool) {
	for i := len(a.List) - 1; i >= 0; i-- {
		if a.List[i].Name == name {
			return a.List[i], true
		}
	}
	return Arg{}, false
}

// Has reports whether a flag is given.
func (a Args) Has(name string) bool {
	_, ok := a.Get(name)
	return ok
}

func (u *Unit) arguments() {
	if c := u.Container; c != nil {
		u.Args.List = parseArgs(c.Words())
		u.Args.Known = len(c.Words()) > 0
		switch {
		case !c.ArgsPos.IsZero():
			u.Args.Pos = c.ArgsPos
		case !c.CommandPos.IsZero():
			u.Args.Pos = c.CommandPos
		default:
			u.Args.Pos = c.Name.Pos
		}
	}
	if text := u.Model.Flags.Args; text != "" {
		// As for the other facts, a flag of doctor beats the files.
		u.Args.List = nil
		pos := argsPos
		var words []manifest.Arg
		for _, w := range strings.Fields(text) {
			words = append(words, manifest.Arg{Text: strings.Trim(w, `"'`), Pos: pos})
		}
		u.Args.List = append(u.Args.List, parseArgs(words)...)
		u.Args.Known = true
		if u.Container == nil {
			u.Args.Pos = pos
		}
	}
}

// parseArgs reads flags with the launcher's arities. A word that holds a whole
// shell line is split.
func parseArgs(words []manifest.Arg) []Arg {
	var flat []manifest.Arg
	for _, w := range words {
		if strings.Contains(w.Text, " --") || strings.Contains(w.Text, "\n") {
			for _, part := range strings.Fields(w.Text) {
				flat = append(flat, manifest.Arg{Text: strings.Trim(part, `"'`), Pos: w.Pos})
			}
			continue
		}
		flat = append(flat, w)
	}
	var out []Arg
	for i := 0; i < len(flat); i++ {
		w := flat[i]
		if !strings.HasPrefix(w.Text, "-") || len(w.Text) < 2 {
			continue
		}
		name, value, inline := strings.Cut(strings.TrimLeft(w.Text, "-"), "=")
		name = strings.ReplaceAll(name, "-", "_")
		a := Arg{Name: name, Value: value, Pos: w.Pos}
		flag, known := litellm.LookupFlag(name)
		if known {
			a.Name = flag.Name
		}
		takes := known && !flag.Switch || !known && valueFlags[name]
		if takes && !inline && i+1 < len(flat) && !strings.HasPrefix(flat[i+1].Text, "--") {
			i++
			a.Value = flat[i].Text
		}
		out = append(out, a)
	}
	return out
}

// valueFlags are flags with a value that LiteLLM does not have.
var valueFlags = map[string]bool{
	"config": true, "c": true, "port": true, "host": true, "num_workers": true,
	"max_requests_before_restart": true, "keepalive_timeout": true, "shutdown_timeout": true,
	"database_url": true, "store": true, "env_file": true, "env-file": true,
}

// argsPos is where --args stands.
var argsPos = finding.Position{File: "<args>", Line: 1}

func atoi(text string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	return n, err == nil
}

func parseFloat(text string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return f, err == nil
}
