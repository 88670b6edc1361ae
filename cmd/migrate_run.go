package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/pkg/migrate"
)

// lockFlags are what the commands that write share.
type lockFlags struct{ timeout time.Duration }

func (l *lockFlags) declare(fs *pflag.FlagSet, o *migrate.Options) {
	fs.BoolVar(&o.Wait, "wait", false, "wait for another migration to finish")
	durationVar(fs, &l.timeout, "lock-timeout", 0, "how long to try for the advisory lock (default 10s; 15m with --wait)")
	fs.BoolVar(&o.NoLock, "no-lock", false, "do without the advisory lock (default $PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK)")
}

func (l *lockFlags) apply(c *cobra.Command, o *migrate.Options) {
	o.LockTimeout = orTiny(l.timeout, c.Flags().Changed("lock-timeout"))
}

// answer is what a command of migrate found, and how it is written as text.
type answer struct {
	result any
	text   func(w io.Writer, ok bool) error
	// prisma writes the text of --prisma-compat; nil is text.
	prisma func(w io.Writer, ok bool) error
	// said means that the text carries a bad verdict already, so that no error
	// follows on standard error.
	said bool
	// code is the exit code whatever the error says, which is then not printed.
	code *int
	// silent writes nothing at all: the exit code is the answer.
	silent bool
}

// run is the frame of every command of migrate: outputs, events, the provider,
// the work, the result in each format, the exit code.
func (f *migrateFlags) run(c *cobra.Command, a *app, do func(ctx context.Context, p *migrate.Provider) (answer, error)) error {
	if err := checkProgress(a, f.progress); err != nil {
		return err
	}
	outs, err := f.out.open(a)
	if err != nil {
		return err
	}
	defer outs.discard()
	show := newProgress(a, f.progress)
	defer show.end()
	f.live = show.kind == "tui" && a.outTTY
	f.o.OnEvent = func(e migrate.Event) {
		for _, o := range outs.list {
			if o.format == "jsonl" {
				_ = json.NewEncoder(o.w).Encode(e)
			}
		}
		if !f.prisma {
			show.event(e)
		}
	}
	p, ctx, cancel, err := f.prepare(c, a)
	if err != nil {
		return err
	}
	defer cancel()
	r, err := do(ctx, p)
	show.end()
	return f.conclude(c, a, outs, r, err)
}

// finishOffline is run for a command that needs no database.
func (f *migrateFlags) finishOffline(c *cobra.Command, a *app, r answer, err error) error {
	outs, oerr := f.out.open(a)
	if oerr != nil {
		return oerr
	}
	defer outs.discard()
	return f.conclude(c, a, outs, r, err)
}

// conclude writes the result and ends with the code.
func (f *migrateFlags) conclude(c *cobra.Command, a *app, outs *outputs, r answer, err error) error {
	code := f.code(err)
	if r.code != nil {
		code = *r.code
	}
	var werr error
	if !r.silent {
		e := envelope{Schema: "llmgw.migrate." + c.Name() + "/1", Command: c.Name(), OK: code == exitFine, ExitCode: code}
		werr = outs.each(func(w io.Writer, format string) error {
			switch format {
			case "json", "jsonl":
				if format == "jsonl" {
					e.Event = "summary"
				}
				joined, jerr := join(e, r.result)
				if jerr != nil {
					return jerr
				}
				if format == "json" {
					return writeJSON(w, joined)
				}
				return json.NewEncoder(w).Encode(joined)
			}
			switch {
			case f.prisma && r.prisma != nil:
				return r.prisma(w, err == nil)
			case r.text != nil:
				return r.text(w, err == nil)
			}
			return nil
		})
	}
	f.terminationLog(code, err)
	if r.code != nil || r.said {
		err = nil
	}
	return f.finish(c, a, outs, code, err, werr)
}

// join makes one object of the envelope's members and the result's.
func join(e envelope, result any) (json.RawMessage, error) {
	head, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(result); err != nil {
		return nil, err
	}
	body := bytes.TrimSpace(buf.Bytes())
	if len(body) <= 2 || body[0] != '{' { // {} or null
		return head, nil
	}
	return append(append(head[:len(head)-1], ','), body[1:]...), nil
}

// terminationLog leaves one line for `kubectl describe pod` where Kubernetes
// asks for it: the file exists in every container and nowhere else.
func (f *migrateFlags) terminationLog(code int, err error) {
	path := os.Getenv("LLMGW_TERMINATION_LOG")
	if path == "" {
		path = "/dev/termination-log"
	}
	file, oerr := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if oerr != nil {
		return
	}
	defer file.Close()
	fmt.Fprintln(file, terminationLine(code, err))
}

func terminationLine(code int, err error) string {
	if err == nil {
		return "ok"
	}
	e, ours := errors.AsType[*migrate.Error](err)
	if !ours {
		return fmt.Sprintf("exit %d: %s", code, firstLine(err.Error()))
	}
	parts := []string{fmt.Sprintf("exit %d", code)}
	for _, p := range []string{e.Code, e.Migration} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if e.SQLState != "" {
		parts = append(parts, "SQLSTATE "+e.SQLState)
	}
	line := strings.Join(parts, " ") + ": " + firstLine(e.Message)
	if next := nextCommand(e); next != "" {
		line += " (next: " + next + ")"
	}
	return line
}

func nextCommand(e *migrate.Error) string {
	switch {
	case e.FailedRow() && e.Migration != "":
		return fmt.Sprintf("fix the cause, then llmgw migrate resolve --rolled-back %q", e.Migration)
	case e.Unmanaged():
		return "llmgw migrate baseline --dry-run"
	case e.Locked():
		return "llmgw migrate unlock"
	case e.Pending():
		return "llmgw migrate deploy"
	}
	return ""
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
