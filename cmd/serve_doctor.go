package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// startupDoctor is what doctor's rules say about the configuration that is
// about to be served, beyond what serve has found itself.
type startupDoctor struct {
	hits             []rule.Hit // errors and warnings
	errors, warnings int
	file             string
}

// startupDoctorOn reports whether the rules run at the start.
func startupDoctorOn(tree *config.Tree) bool {
	on, ok := tree.Get("llmgw.startup_doctor").Bool()
	return on || !ok
}

// examine runs doctor's static rules. said are the findings that are printed
// anyway.
func examine(ctx context.Context, tree *config.Tree, said []finding.Finding) (*startupDoctor, error) {
	o := lint.Options{Texts: map[string][]byte{}, Environment: tree.Env(), NoSettings: true}
	// LiteLLM is in development unless LITELLM_MODE says production; pods are
	// never somebody's desk.
	o.Flags.Target, o.Flags.Profile = facts.LLMGW, rule.Dev
	if strings.EqualFold(tree.Env().Get("LITELLM_MODE"), "production") || tree.Env().Get("KUBERNETES_SERVICE_HOST") != "" {
		o.Flags.Profile = rule.Production
	}
	for i, f := range tree.Files() {
		o.Texts[f.Name] = f.Data
		if i == 0 {
			o.ConfigPath = f.Name
		}
	}
	if o.ConfigPath == "" {
		return &startupDoctor{}, nil
	}
	r, err := lint.Run(ctx, o)
	if err != nil {
		return nil, err
	}
	d := &startupDoctor{file: o.ConfigPath}
	for _, h := range r.Findings {
		known := slices.ContainsFunc(said, func(f finding.Finding) bool {
			return f.ID == h.ID && f.Pos.File == h.Pos.File && f.Pos.Line == h.Pos.Line
		})
		switch {
		case known || h.Severity == finding.Info:
			continue
		case h.Severity == finding.Error:
			d.errors++
		default:
			d.warnings++
		}
		d.hits = append(d.hits, h)
	}
	return d, nil
}

// block is all of it as one text.
func (d *startupDoctor) block() string {
	if len(d.hits) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "doctor: %s, %s in %s (llmgw doctor -c %s says why; llmgw.startup_doctor: false ends this)\n", countOf(d.errors, "error"), countOf(d.warnings, "warning"), d.file, d.file)
	for _, h := range d.hits {
		fmt.Fprintf(&b, "  %s: %s %s: %s\n", h.Pos, h.Severity, h.ID, redact.Text(h.Message))
	}
	return b.String()
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// doctorAtStart are the rules while they run beside the start.
type doctorAtStart struct {
	a    *app
	s    *settings
	done chan struct{} // closed when text is there
	text string
	late chan struct{} // closed when a late text is printed; nil when none is awaited
}

// askDoctor starts the rules. With --strict it waits for them, and an error of
// theirs is one not to start with.
func (f *serveFlags) askDoctor(ctx context.Context, a *app, s *settings, tree *config.Tree, said []finding.Finding) (*doctorAtStart, error) {
	d := &doctorAtStart{a: a, s: s, done: make(chan struct{})}
	if s.zero || !f.strict && !startupDoctorOn(tree) {
		close(d.done)
		return d, nil
	}
	if f.strict {
		defer close(d.done)
		found, err := examine(ctx, tree, said)
		if err != nil {
			return nil, usagef("--strict: %w", err)
		}
		if d.text = found.block(); found.errors > 0 {
			fmt.Fprint(a.err, d.text)
			return nil, usagef("not started, for the %s of doctor above: --strict is on", countOf(found.errors, "error"))
		}
		return d, nil
	}
	go func() {
		defer close(d.done)
		found, err := examine(ctx, tree, said)
		if err != nil {
			return // serve starts, doctor judges: what it cannot judge stops nobody
		}
		d.text = found.block()
	}()
	return d, nil
}

// patience is how long a start waits for the rules; those of a huge
// configuration are printed when they are there.
const patience = 250 * time.Millisecond

// print writes what the rules found as one block. Where that comes late, late is
// called when it is over.
func (d *doctorAtStart) print(late func()) {
	select {
	case <-d.done:
		d.write()
	case <-time.After(patience):
		d.late = make(chan struct{})
		go func() {
			defer close(d.late)
			<-d.done
			d.write()
			late()
		}()
	}
}

func (d *doctorAtStart) write() {
	switch {
	case d.text == "":
	case d.s.log.json:
		d.s.logger(d.a).Warn(d.text)
	default:
		fmt.Fprint(d.a.err, d.text)
	}
}

// wait ends what is still running.
func (d *doctorAtStart) wait() {
	<-d.done
	if d.late != nil {
		<-d.late
	}
}
