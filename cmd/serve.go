package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/startcheck"
	"github.com/llmgw/llmgw/pkg/proxy"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry"
)

func newServeCommand(a *app) *cobra.Command {
	f := &serveFlags{}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `serve runs the gateway with a LiteLLM configuration. It answers on LiteLLM's
paths, with LiteLLM's errors and headers, and takes LiteLLM's flags and
environment variables; flags may be written with - or _.

Without a configuration, a database and a master key it starts on 127.0.0.1 with
mock models and prints a key and a first request to paste.

On SIGTERM readiness turns 503, requests in flight finish (up to
--shutdown-timeout), and the process ends. SIGHUP reads the configuration and the
TLS certificate anew; what has an error is reported, and the old one stays.

Exit codes: 0 drained after a signal, or nothing to complain about; 1 requests
were cut at the deadline, or --validate-config found the configuration invalid;
2 usage or configuration: all reasons are printed at once.`,
		Example: `  llmgw serve
  llmgw serve --config config.yaml --port 4000
  llmgw serve --config config.yaml --validate-config`,
		Args: func(c *cobra.Command, args []string) error {
			// LiteLLM's releases differ in whether --telemetry takes a value; when
			// it stands apart it arrives here.
			if c.Flags().Changed("telemetry") && len(args) == 1 && isBoolWord(args[0]) {
				return nil
			}
			if len(args) > 0 {
				return usagef("Unknown command: %s", args[0])
			}
			return nil
		},
	}
	f.declare(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		f.set = c.Flags()
		return serve(c.Context(), a, f)
	}
	return c
}

func serve(ctx context.Context, a *app, f *serveFlags) error {
	if f.version {
		return printBareVersion(a)
	}
	if err := f.refuseUnbuilt(); err != nil {
		return err
	}
	switch {
	case f.health:
		return f.askHealth(ctx, a)
	case f.test:
		return f.askChat(ctx, a)
	}
	if f.validateConfig && f.config == "" {
		return usagef("--validate_config requires --config <path>")
	}
	life, err := newLife(a, f)
	if err != nil {
		return usagef("%w", err)
	}
	tree, findings, err := f.load(a.in)
	if _, bad := errors.AsType[*exitError](err); bad {
		return err // --env-file
	}
	if f.validateConfig {
		return validateConfig(a, tree, findings, err)
	}
	if err != nil {
		return refuse(a, findings, err)
	}
	s, err := f.settings(tree)
	if err != nil {
		return err
	}
	if s.log.json {
		a.records = telemetry.NewLogger(a.err, slog.LevelInfo, true)
	}
	life.read(tree)
	if life.supervises(s) {
		return life.supervise(ctx, s)
	}
	for _, line := range s.remarks {
		a.warnf("%s", line)
	}
	f.sayWithoutEffect(a)

	findings = s.check(tree, findings)
	if startcheck.Refused(findings) {
		return refuse(a, findings, nil)
	}

	said, err := f.askDoctor(ctx, a, s, tree, findings)
	if err != nil {
		return err
	}
	defer said.wait()

	proxy.TuneRuntime(os.Getenv)
	if s.profile == 0 {
		runtime.MemProfileRate = 0 // the tables of a profile that nobody can ask for are a megabyte
	}
	var g *gateway
	if s.zero {
		g, err = newZeroGateway(ctx, a, s, life, tree)
	} else {
		gate, gerr := f.schema(ctx, a, tree)
		if gerr != nil {
			return gerr
		}
		if f.skipStartup {
			_, err := fmt.Fprintln(a.out, setupComplete)
			return err
		}
		if gate != nil {
			defer gate.Close()
			s.schemaMissing = gate.Missing
		}
		g, err = newGateway(ctx, a, s, life, tree, findings)
	}
	if err != nil {
		return err
	}
	defer g.close()
	if err := g.proxy.Listen(); err != nil {
		g.proxy.Close()
		return usagef("%w", err)
	}
	g.announce(a, s)
	g.settle = newSettler()
	defer g.settle.stop()
	said.print(func() { g.settle.after(aMoment) })
	g.reloader = &reloader{a: a, f: f, s: s, ctx: ctx}
	g.reloader.keep(tree)
	g.reloader.remember(g.findings)
	life.ready()
	g.settle.after(aMoment)
	return g.run(ctx)
}

// refuse prints every reason not to start and ends with the code for it.
func refuse(a *app, reasons []finding.Finding, err error) error {
	reasons = errorsOf(reasons)
	if len(reasons) == 0 {
		return usagef("%w", err)
	}
	for _, r := range reasons {
		printFinding(a, "error", r)
	}
	what := "1 reason"
	if len(reasons) > 1 {
		what = fmt.Sprintf("%d reasons", len(reasons))
	}
	return usagef("not started, for the %s above", what)
}

// refuseMissing makes reasons not to start of references to variables that are
// not set.
func refuseMissing(list []finding.Finding) {
	for i := range list {
		if list[i].ID == "CFG007" {
			list[i].Severity = finding.Error
		}
	}
}

func errorsOf(list []finding.Finding) (errs []finding.Finding) {
	for _, f := range list {
		if f.Severity == finding.Error {
			errs = append(errs, f)
		}
	}
	return errs
}

func printFinding(a *app, word string, f finding.Finding) {
	where := ""
	if !f.Pos.IsZero() {
		where = f.Pos.String() + ": "
	}
	fmt.Fprintf(a.err, "%s: %s%s\n", word, where, redact.Text(sentence(f)))
	if f.Fix != "" {
		fmt.Fprintf(a.err, "  fix: %s\n", f.Fix)
	}
}

func sentence(f finding.Finding) string {
	if f.Why != "" {
		return f.Message + " (" + f.Why + ")"
	}
	return f.Message
}

// validateConfig answers in LiteLLM's two lines.
func validateConfig(a *app, tree *config.Tree, findings []finding.Finding, err error) error {
	invalid := func(text string) error {
		fmt.Fprintf(a.err, "LiteLLM: config validation failed: %s\n", text)
		return badAnswer(nil)
	}
	if err != nil {
		return invalid(err.Error())
	}
	bad := errorsOf(startcheck.Report(findings, startcheck.Check(tree, startcheck.Facts{Host: defaultHost, Port: defaultPort})))
	if len(bad) > 0 {
		for _, f := range bad[1:] {
			defer printFinding(a, "error", f)
		}
		text := bad[0].Message
		if !bad[0].Pos.IsZero() {
			text = bad[0].Pos.String() + ": " + text
		}
		return invalid(redact.Text(text))
	}
	_, err = fmt.Fprintf(a.out, "LiteLLM: config OK (%d models)\n", len(tree.Models()))
	return err
}

// gateway is a proxy with what the process owns around it.
type gateway struct {
	proxy    *proxy.Proxy
	access   *telemetry.Access
	findings []finding.Finding // of the configuration that is served
	closers  []func()
	reloader *reloader
	life     *life
	settle   *settler
}

func (g *gateway) close() {
	for i := len(g.closers) - 1; i >= 0; i-- {
		g.closers[i]()
	}
}

// run serves until the process is told to end.
func (g *gateway) run(ctx context.Context) error {
	ctx, follow := g.life.follow(ctx, g)
	defer follow()
	err := g.proxy.Run(ctx)
	var cut *proxy.CutError
	if errors.As(err, &cut) {
		return badAnswer(err)
	}
	if err != nil {
		return unreachable(fmt.Errorf("serve: %w", err))
	}
	return nil
}

// emulated is the release that the gateway answers as.
const emulated = litellm.Compat

// setupComplete is what LiteLLM says then, and what jobs look for.
const setupComplete = "LiteLLM: Setup complete. Skipping server startup as requested."
