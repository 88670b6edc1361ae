package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/migrate"
)

// progress shows events on standard error: on a terminal one line that lives,
// with what is running, for how long, and who is in its way; elsewhere one whole
// line an event.
type progress struct {
	a    *app
	kind string // tui, plain, none

	mu     sync.Mutex
	w      io.Writer
	width  int
	colour bool
	line   state
	shown  bool
	stop   chan struct{}
	done   chan struct{}
}

// state is what the living line says.
type state struct {
	migration  string
	began      time.Time
	doing      string // the statement, of a file that has one
	statements int
	done       int
	note       string // progress of an index build
	blocked    string
	n          int // of those that were begun
	of         int // how many there are to apply; 0 unknown
}

// newProgress chooses the form; a wrong word was refused before.
func newProgress(a *app, kind string) *progress {
	p := &progress{a: a, kind: kind, w: a.err, width: 80}
	if kind == "auto" {
		p.kind = "plain"
		if a.errTTY && os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == "" {
			p.kind = "tui"
		}
	}
	if a.quiet {
		p.kind = "none"
	}
	if p.kind != "tui" {
		return p
	}
	if f, ok := a.err.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			p.width = w
		}
	}
	p.colour = a.colorOn(a.errTTY)
	p.stop, p.done = make(chan struct{}), make(chan struct{})
	go p.tick()
	return p
}

// checkProgress refuses what cannot be shown.
func checkProgress(a *app, kind string) error {
	switch kind {
	case "auto", "plain", "none":
		return nil
	case "tui":
		if !a.errTTY {
			return usagef("--progress tui needs a terminal; use plain")
		}
		return nil
	}
	return usagef("--progress %s: use auto, tui, plain or none", kind)
}

func (p *progress) tick() {
	defer close(p.done)
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.mu.Lock()
			if p.line.migration != "" {
				p.draw()
			}
			p.mu.Unlock()
		case <-p.stop:
			return
		}
	}
}

// event takes one event in.
func (p *progress) event(e migrate.Event) {
	switch p.kind {
	case "none":
		return
	case "plain":
		showEvent(p.a, e)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Event {
	case migrate.EventPlanned:
		p.clear()
		fmt.Fprintln(p.w, e.Message)
		p.line = state{of: p.line.n + e.Pending, n: p.line.n}
	case migrate.EventMigrationStarted:
		p.line = state{of: p.line.of, migration: e.Migration, began: time.Now(), doing: e.Doing, statements: e.Statements, n: p.line.n + 1}
		p.draw()
	case migrate.EventStatementDone:
		p.line.done, p.line.note, p.line.blocked = e.Statement, "", ""
	case migrate.EventProgress:
		p.line.note, p.line.blocked = e.Message, ""
		p.draw()
	case migrate.EventBlockedBy:
		p.line.blocked = redact.Text(e.Message)
		p.draw()
	case migrate.EventMigrationFinished:
		p.clear()
		fmt.Fprintf(p.w, "%s %s  %s\n", p.mark("✓", "32"), e.Migration, time.Duration(e.DurationMS)*time.Millisecond)
		p.line = state{n: p.line.n, of: p.line.of}
	case migrate.EventMigrationFailed:
		p.clear()
		if e.Migration != "" {
			fmt.Fprintf(p.w, "%s %s\n", p.mark("✗", "31"), e.Migration)
		}
		p.line = state{n: p.line.n, of: p.line.of}
	default:
		p.clear()
		showEvent(p.a, e)
	}
}

func (p *progress) mark(sign, code string) string {
	if p.colour {
		return "\x1b[" + code + "m" + sign + "\x1b[0m"
	}
	return sign
}

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// text is the living line: 3 of 7 statements, 12 s, building index: 40%.
func (s state) text(now time.Time) string {
	elapsed := now.Sub(s.began).Round(100 * time.Millisecond)
	turn := int(now.Sub(s.began)/(200*time.Millisecond)) % len(spinner)
	out := string(spinner[max(turn, 0)])
	if s.of > 1 {
		out += fmt.Sprintf(" [%d/%d]", s.n, s.of)
	}
	out += fmt.Sprintf(" %s  %s", s.migration, elapsed)
	switch {
	case s.doing != "" && s.blocked == "" && s.note == "":
		out += "  " + s.doing
	case s.done > 0: // the server has told how far it is
		out += fmt.Sprintf("  statement %d/%d", min(s.done+1, s.statements), s.statements)
	case s.statements > 1:
		out += fmt.Sprintf("  %d statements", s.statements)
	}
	switch {
	case s.blocked != "":
		out += "  " + s.blocked
	case s.note != "":
		out += "  " + s.note
	}
	return out
}

func (p *progress) draw() {
	text := []rune(p.line.text(time.Now()))
	// Who is in the way matters more than the whole of a long name.
	if name := []rune(p.line.migration); len(text) > p.width-1 && len(name) > 24 {
		short := p.line
		short.migration = string(name[:23]) + "…"
		text = []rune(short.text(time.Now()))
	}
	if len(text) > p.width-1 {
		text = append(text[:p.width-2], '…')
	}
	fmt.Fprint(p.w, "\r\x1b[2K"+strings.ReplaceAll(string(text), "\n", " "))
	p.shown = true
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[2K")
		p.shown = false
	}
}

// end takes the line away. It is safe to call twice.
func (p *progress) end() {
	if p.kind != "tui" || p.stop == nil {
		return
	}
	close(p.stop)
	<-p.done
	p.stop = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}
