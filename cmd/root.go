// Package cmd is llmgw's command line: one file per command, each of which
// turns flags into one call of a product package and its result into output
// and an exit code. No product logic lives here.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/internal/redact"
)

// Streams are the three standard streams of a command. They are injected so
// that every command runs in a test without a process.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// OutTTY and ErrTTY say whether a person sees the stream: colour and
	// progress follow them.
	OutTTY, ErrTTY bool
}

// SystemStreams are the streams of the process.
func SystemStreams() Streams {
	tty := func(f *os.File) bool { return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()) }
	return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, OutTTY: tty(os.Stdout), ErrTTY: tty(os.Stderr)}
}

// app is what every command needs: the streams and the global flags.
type app struct {
	in             io.Reader
	out, err       io.Writer
	outTTY, errTTY bool

	// answered says that standard output holds the command's result as JSON: an
	// error then goes to standard error alone, since JSON stands there alone.
	answered bool

	color   string
	noColor bool
	quiet   bool

	// records takes what a gateway says as records, where its log is JSON: who
	// collects logs reads one record a line. nil writes text.
	records *slog.Logger
}

// colorOn reports whether to colour a stream that is a terminal or not.
// NO_COLOR and a dumb terminal count only where no flag decides.
func (a *app) colorOn(tty bool) bool {
	switch {
	case a.noColor || a.color == "never":
		return false
	case a.color == "always":
		return true
	}
	return tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// infof writes a progress or information line to standard error, unless
// --quiet.
func (a *app) infof(format string, args ...any) {
	switch {
	case a.quiet:
	case a.records != nil:
		a.records.Info(strings.TrimSpace(strings.TrimPrefix(fmt.Sprintf(format, args...), "INFO:")))
	default:
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// warnf writes a warning to standard error; --quiet does not hide it.
func (a *app) warnf(format string, args ...any) {
	if a.records != nil {
		a.records.Warn(fmt.Sprintf(format, args...))
		return
	}
	fmt.Fprintf(a.err, "warning: "+format+"\n", args...)
}

// Execute runs llmgw and returns the exit code of the process. args is
// os.Args.
func Execute(args []string, s Streams) (code int) {
	ctx, stop := interruptible(context.Background())
	defer stop()
	return execute(ctx, args, s)
}

// execute is Execute under a context of the caller's.
func execute(ctx context.Context, args []string, s Streams) (code int) {
	a := &app{in: s.In, out: s.Out, err: s.Err, outTTY: s.OutTTY, errTTY: s.ErrTTY}
	defer func() {
		if p := recover(); p != nil {
			// One sentence, never a stack with values in it; the stack is for
			// whoever asks for it.
			fmt.Fprintf(a.err, "llmgw: internal error: %s; set LLMGW_TRACEBACK=1 for the stack and please report it\n", redact.Text(fmt.Sprint(p)))
			if os.Getenv("LLMGW_TRACEBACK") == "1" {
				fmt.Fprintf(a.err, "%s\n", redact.Text(string(debug.Stack())))
			}
			code = exitBad
		}
	}()

	root := newRootCommand(a)
	root.SetArgs(rewriteArgs(args))
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitFine
	}
	code = exitCodeOf(err)
	// A command that ended because of a signal says so with its code, unless it
	// has decided on one: serve drains and ends well.
	if sig, ok := errors.AsType[signalError](context.Cause(ctx)); ok {
		if _, decided := errors.AsType[*exitError](err); !decided || errors.Is(err, context.Canceled) {
			code = sig.code()
			err = sig
		}
	}
	if e, ok := errors.AsType[*exitError](err); ok && e.err == nil {
		return code
	}
	message := redact.Text(err.Error())
	fmt.Fprintf(a.err, "%s: %s\n", c.CommandPath(), message)
	if format := c.Flags().Lookup("format"); format != nil && !a.answered && wantsJSON(c.Flags()) {
		_ = writeJSON(a.out, newErrorEnvelope(c.CommandPath(), code, err))
	}
	return code
}

// wantsJSON reports whether the command line asked for JSON on standard output.
func wantsJSON(flags *pflag.FlagSet) bool {
	words := []string{"json", "jsonl"}
	formats, err := flags.GetStringArray("format")
	if err != nil {
		return false
	}
	paths, err := flags.GetStringArray("output")
	if err != nil {
		return false
	}
	o := outputFlags{words: append(append([]string{"text"}, words...), formats...), formats: formats, paths: paths}
	return o.jsonOnStdout()
}

// interruptible returns a context that ends on SIGINT or SIGTERM with the
// signal as its cause. A second signal ends the process at once: the first may
// have begun something that hangs.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case sig := <-signals:
			cancel(signalError{sig})
		case <-done:
			return
		}
		select {
		case sig := <-signals:
			os.Exit(signalError{sig}.code())
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

func newRootCommand(a *app) *cobra.Command {
	var showVersion bool
	root := &cobra.Command{
		Use:   "llmgw",
		Short: "Serve, check, migrate, render and measure an LLM gateway",
		Long: `llmgw is one binary for people who run LLM gateways: a drop-in for the LiteLLM
proxy (serve), a linter for its configuration (doctor), its database migrations
without Node (migrate), production manifests (render) and a load test (bench).

With nothing but flags, as in LiteLLM's containers, llmgw runs serve:
  llmgw --config config.yaml --port 4000`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("Unknown command: %s%s", args[0], didYouMean(args[0], commandNames))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if showVersion {
				return printBareVersion(a)
			}
			return c.Help()
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		// Unknown commands are answered above, in the words LiteLLM uses.
		DisableSuggestions: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			switch a.color {
			case "auto", "always", "never":
				return nil
			}
			return usagef("--color %s: use auto, always or never", a.color)
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetGlobalNormalizationFunc(dashes)
	root.SetFlagErrorFunc(flagError)

	root.Flags().BoolVarP(&showVersion, "version", "v", false, "print the version and the LiteLLM release it answers as")
	p := root.PersistentFlags()
	p.StringVar(&a.color, "color", "auto", "colour: auto, always or never")
	p.BoolVar(&a.noColor, "no-color", false, "same as --color never")
	p.BoolVarP(&a.quiet, "quiet", "q", false, "no progress and information lines on standard error")

	root.AddCommand(
		newServeCommand(a),
		newDoctorCommand(a),
		newMigrateCommand(a),
		newRenderCommand(a),
		newBenchCommand(a),
		newMockCommand(a),
		newConfigCommand(a),
		newVersionCommand(a),
		newSleepCommand(a),
	)
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			group(c)
		}
		if !c.Hidden {
			commandNames = append(commandNames, c.Name())
		}
	}
	return root
}

// commandNames are the visible commands, for "did you mean".
var commandNames []string

// flagError turns pflag's errors into one sentence with the nearest flag.
func flagError(c *cobra.Command, err error) error {
	var notExist *pflag.NotExistError
	if !errors.As(err, &notExist) {
		return usagef("%w; see %s --help", plainValueError(err), c.CommandPath())
	}
	name := notExist.GetSpecifiedName()
	if short := notExist.GetSpecifiedShortnames(); short != "" {
		return usagef("unknown flag -%s; see %s --help", name, c.CommandPath())
	}
	if near, ok := nearestFlag(c.Flags(), name); ok {
		return usagef("unknown flag --%s; did you mean --%s?", name, near)
	}
	return usagef("unknown flag --%s; see %s --help", name, c.CommandPath())
}

// plainValueError says what a flag wants instead of which function of Go could
// not read it.
func plainValueError(err error) error {
	var value *pflag.InvalidValueError
	if !errors.As(err, &value) {
		return err
	}
	want := ""
	switch kind := value.GetFlag().Value.Type(); {
	case strings.HasPrefix(kind, "int"):
		want = "a whole number"
	case strings.HasPrefix(kind, "uint"):
		want = "a whole number of at least 0"
	case strings.HasPrefix(kind, "float"):
		want = "a number"
	case kind == "bool":
		want = "true or false"
	}
	name, given := value.GetFlag().Name, value.GetValue()
	if want == "" {
		return fmt.Errorf("--%s: %w", name, errors.Unwrap(err)) // our own kinds explain themselves
	}
	if errors.Is(err, strconv.ErrRange) {
		want = "a smaller number"
	}
	return fmt.Errorf("--%s %q: give %s%s", name, given, want, unexpanded(given))
}

// unexpanded explains a value that was meant for a shell: containers run their
// arguments without one.
func unexpanded(value string) string {
	if strings.Contains(value, "$(") {
		return "; it was passed literally, no shell has expanded it"
	}
	return ""
}

// group makes a command that only holds others: without one it shows its help
// and fails, since nothing was done.
func group(c *cobra.Command) *cobra.Command {
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, sub := range c.Commands() {
			if !sub.Hidden {
				names = append(names, sub.Name())
			}
		}
		return usagef("Unknown command: %s%s", args[0], didYouMean(args[0], names))
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		var names []string
		for _, sub := range c.Commands() {
			if !sub.Hidden {
				names = append(names, sub.Name())
			}
		}
		return usagef("say what to do: %s", strings.Join(names, ", "))
	}
	return c
}
