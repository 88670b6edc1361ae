// Package report puts a result of doctor on paper: text for people, json and
// github for machines. It only formats; it never decides what is a finding,
// and it shows no secret of the files it quotes.
package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Options say how to format.
type Options struct {
	Color          bool
	Width          int // columns; 100 when 0
	MinSeverity    finding.Severity
	ShowDuplicates bool
	Version        string // of llmgw, for json
	FailOn         string // what the exit code says is a failure; error when ""
}

type printer struct {
	w *bufio.Writer
	o Options
	q *quoter
}

const (
	reset  = "\x1b[0m"
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
)

func (p *printer) paint(code, text string) string {
	if !p.o.Color {
		return text
	}
	return code + text + reset
}

var severityColor = map[finding.Severity]string{finding.Error: red, finding.Warning: yellow, finding.Info: cyan}

// Text writes the report for people.
func Text(w io.Writer, r *lint.Result, o Options) error {
	if o.Width == 0 {
		o.Width = 100
	}
	p := &printer{w: bufio.NewWriter(w), o: o, q: newQuoter(r)}
	shown := shown(r.Findings, o.MinSeverity)
	more := map[string][]rule.Hit{}
	if !o.ShowDuplicates {
		first := shown[:0:0]
		for _, h := range shown {
			key := statement(h)
			if _, told := more[key]; told {
				more[key] = append(more[key], h)
				continue
			}
			more[key] = nil
			first = append(first, h)
		}
		shown = first
	}
	for _, h := range shown {
		p.hit(h, more[statement(h)])
	}
	p.summary(r)
	return p.w.Flush()
}

// statement is what two findings share that say the same of one file.
func statement(h rule.Hit) string {
	return strings.Join(append([]string{h.ID, h.Severity.String(), h.Pos.File, h.Message}, h.Detail...), "\x00")
}

func shown(hits []rule.Hit, least finding.Severity) []rule.Hit {
	var out []rule.Hit
	for _, h := range hits {
		if h.Severity >= least {
			out = append(out, h)
		}
	}
	return out
}

func (p *printer) hit(h rule.Hit, more []rule.Hit) {
	fmt.Fprintf(p.w, "%s: %s %s: %s\n", p.paint(bold, h.Pos.String()), p.paint(severityColor[h.Severity]+bold, h.Severity.String()),
		h.ID+" "+h.Name, h.Message)
	p.snippet(h.Pos, severityColor[h.Severity])
	for _, line := range h.Detail {
		fmt.Fprintf(p.w, "  %s\n", line)
	}
	for _, r := range h.Related {
		p.wrapped("see", r.Pos.String()+": "+r.Message)
	}
	if len(h.Detail) == 0 || h.Fix != "" {
		p.wrapped("why", h.Why)
	}
	p.wrapped("fix", h.Fix)
	if len(more) > 0 {
		var lines []string
		for _, m := range more[:min(len(more), 10)] {
			lines = append(lines, fmt.Sprint(m.Pos.Line))
		}
		text := fmt.Sprintf("+%d more, line %s", len(more), strings.Join(lines, ", "))
		if len(more) > 10 {
			text += ", ..."
		}
		p.wrapped("also", text)
	}
	fmt.Fprintf(p.w, "  %s\n\n", p.paint(dim, "more  llmgw doctor explain "+h.ID))
}

// wrapped writes a labelled paragraph.
func (p *printer) wrapped(label, text string) {
	if text == "" {
		return
	}
	const indent = 8
	prefix := fmt.Sprintf("  %-6s", label)
	line := ""
	flush := func() {
		fmt.Fprintf(p.w, "%s%s\n", prefix, line)
		prefix, line = strings.Repeat(" ", indent), ""
	}
	for _, word := range strings.Fields(text) {
		if line != "" && indent+columns(line)+1+columns(word) > p.o.Width {
			flush()
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	flush()
}

// snippet quotes the source line with a caret under the span.
func (p *printer) snippet(pos finding.Position, color string) {
	line, before, width, ok := p.q.line(pos, max(40, p.o.Width-10))
	if !ok {
		return
	}
	fmt.Fprintf(p.w, "%5d | %s\n", pos.Line, line)
	if width > 0 {
		fmt.Fprintf(p.w, "      | %s%s\n", strings.Repeat(" ", before), p.paint(color, strings.Repeat("^", width)))
	}
}

func plural(n int, one string) string {
	if n == 1 || one == "info" {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func need(n int) string {
	if n == 1 {
		return "1 rule needs"
	}
	return fmt.Sprintf("%d rules need", n)
}

// Summary is the last line of the report.
func Summary(r *lint.Result, least finding.Severity) string {
	e, w, i := r.Counts()
	if e+w+i == 0 && len(r.Inputs) == 0 && !r.Live {
		return "nothing was checked."
	}
	s := "no findings"
	if e+w+i > 0 {
		s = plural(e, "error") + ", " + plural(w, "warning") + ", " + plural(i, "info")
	}
	var notes []string
	if n := len(r.Suppressed); n > 0 {
		notes = append(notes, fmt.Sprintf("%d suppressed", n))
	}
	if n := len(r.Baseline); n > 0 {
		notes = append(notes, fmt.Sprintf("%d in baseline", n))
	}
	if n := r.Untouched; n > 0 {
		notes = append(notes, fmt.Sprintf("%d on unchanged lines not shown", n))
	}
	if hidden := len(r.Findings) - len(shown(r.Findings, least)); hidden > 0 {
		notes = append(notes, fmt.Sprintf("%d below %s not shown", hidden, least))
	}
	if len(notes) > 0 {
		s += " (" + strings.Join(notes, ", ") + ")"
	}
	s += " in " + plural(len(r.Inputs), "file")
	if r.Live {
		s += " and running systems"
	}
	s += "."
	closed, system := map[string]bool{}, map[string]bool{}
	for _, k := range r.Skipped {
		if known, ok := rule.Lookup(k.ID); ok && known.Live {
			system[k.ID] = true
			continue
		}
		closed[k.ID] = true
	}
	var not []string
	if n := len(closed); n > 0 {
		not = append(not, need(n)+" an environment that is known in full")
	}
	if n := len(system); n > 0 {
		not = append(not, need(n)+" a running system that could not be asked")
	}
	if len(not) > 0 {
		s += " Not checked: " + strings.Join(not, ", ") + "."
	}
	return s
}

func (p *printer) summary(r *lint.Result) {
	fmt.Fprintln(p.w, Summary(r, p.o.MinSeverity))
	for _, e := range r.Gone {
		fmt.Fprintf(p.w, "no longer found: %s in %s (%s); --write-baseline forgets it\n", e.Rule, e.File, e.Message)
	}
}
