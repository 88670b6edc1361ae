package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/startcheck"
	"github.com/llmgw/llmgw/pkg/proxy"
)

func newConfigCommand(a *app) *cobra.Command {
	c := group(&cobra.Command{
		Use:   "config",
		Short: "Check a configuration, or show what it comes to",
	})
	c.AddCommand(newConfigValidateCommand(a), newConfigShowCommand(a))
	return c
}

// configFlags are what both subcommands need to find a configuration.
type configFlags struct {
	path    string
	envFile string
}

func (f *configFlags) declare(flags *pflag.FlagSet) {
	flags.StringVarP(&f.path, "config", "c", "", "configuration `file`; - reads standard input (default $CONFIG_FILE_PATH)")
	flags.StringVar(&f.envFile, "env-file", "", "`file` of NAME=VALUE lines for references; sets no variable that is set already")
}

// load reads the configuration as serve would, with .env under the rule of
// LITELLM_MODE.
func (f *configFlags) load(a *app, args []string) (*config.Tree, []finding.Finding, error) {
	if len(args) == 1 {
		if f.path != "" {
			return nil, nil, usagef("the configuration is given twice: -c %s and %s", f.path, args[0])
		}
		f.path = args[0]
	}
	env := config.ProcessEnv(os.Environ())
	if f.path == "" && env.Get("CONFIG_FILE_PATH") == "" {
		return nil, nil, usagef("say which configuration: -c FILE")
	}
	return config.Load(config.Sources{Path: f.path, Env: env, EnvFile: f.envFile, DotEnv: true, Stdin: a.in})
}

func newConfigValidateCommand(a *app) *cobra.Command {
	var (
		source                           configFlags
		host                             string
		strict, insecure, missGuardrails bool
		out                              *outputFlags
	)
	c := &cobra.Command{
		Use:   "validate [-c] FILE",
		Short: "Say whether serve would start with a configuration, and what it would warn about",
		Long: `Say whether serve would start with a configuration, and what it would warn about.

The file is read as serve reads it: with its includes, the process environment
and ./.env (unless LITELLM_MODE is set to something other than DEV). Everything
is reported at once. doctor looks further.

Exit codes: 0 serve would start (with --strict: and has nothing to warn about);
1 serve would refuse; 2 the file cannot be read or is no configuration.`,
		Example: "  llmgw config validate -c config.yaml\n  llmgw config validate -c config.yaml --format json",
		Args:    atMostOneFile,
	}
	source.declare(c.Flags())
	c.Flags().StringVar(&host, "host", "0.0.0.0", "the `address` serve would listen on; a loopback address allows a missing or sample master key")
	c.Flags().BoolVar(&strict, "strict", false, "warnings count as errors")
	c.Flags().BoolVar(&insecure, "insecure-no-auth", false, "as on serve: allow a missing or sample master key")
	c.Flags().BoolVar(&missGuardrails, "allow-missing-guardrails", false, "as on serve: allow default guardrails that this build lacks")
	out = outputVar(c.Flags(), "text", "json")
	c.RunE = func(_ *cobra.Command, args []string) error {
		outs, err := out.open(a)
		if err != nil {
			return err
		}
		defer outs.discard()
		tree, found, err := source.load(a, args)
		if err != nil && len(found) == 0 {
			return err
		}
		if err == nil {
			facts := startcheck.Facts{Host: host, InsecureNoAuth: insecure, AllowMissingGuardrails: missGuardrails}
			found = startcheck.Report(found, startcheck.All(tree, facts))
			found = startcheck.Report(found, leftOut(tree))
		}
		v := newValidation(tree, found)
		if writeErr := outs.each(v.write); writeErr != nil {
			return writeErr
		}
		if err := outs.commit(); err != nil {
			return err
		}
		switch {
		case err != nil:
			return &exitError{exitUsage, nil}
		case v.Errors > 0 || strict && v.Warnings > 0:
			return badAnswer(nil)
		}
		return nil
	}
	return c
}

// leftOut is what serve would leave out of the configuration and say so:
// deployments it cannot reach, settings it does not act on. None of it keeps
// serve from starting.
func leftOut(tree *config.Tree) []finding.Finding {
	_, list := proxy.Load(tree, "")
	names := map[string]string{}
	for _, m := range tree.Models() {
		names[m.ProviderModel.Path] = m.ProviderModel.V
	}
	for i := range list {
		f := &list[i]
		f.Severity = min(f.Severity, finding.Warning)
		if name := names[f.Path]; name != "" && f.Fix == "" {
			if _, _, reason := catalog.Split(name, catalog.Params{}); reason == catalog.NoProvider {
				prefix, _, _ := strings.Cut(name, "/")
				f.Message = fmt.Sprintf("%s: %q is not a provider; the deployment is disabled", f.Path, prefix)
				f.Fix = fmt.Sprintf("for an OpenAI-compatible server write \"openai/%s\" or \"hosted_vllm/%s\"", name, name)
			}
		}
	}
	return list
}

func atMostOneFile(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("one configuration at a time, %d are given", len(args))
	}
	return nil
}

// validation is the result of config validate.
type validation struct {
	Schema   string            `json:"schema"`
	File     string            `json:"file"`
	Starts   bool              `json:"starts"`
	Models   int               `json:"models"`
	Errors   int               `json:"errors"`
	Warnings int               `json:"warnings"`
	Findings []finding.Finding `json:"findings"`
}

func newValidation(tree *config.Tree, found []finding.Finding) validation {
	v := validation{Schema: "llmgw.config.validate/1", Findings: found}
	if v.Findings == nil {
		v.Findings = []finding.Finding{}
	}
	v.Errors, v.Warnings, _ = finding.Count(found)
	v.Starts = v.Errors == 0
	if tree != nil {
		v.Models = len(tree.Models())
		if files := tree.Files(); len(files) > 0 {
			v.File = files[0].Name
		}
	} else if len(found) > 0 {
		v.File = found[0].Pos.File
	}
	return v
}

func (v validation) write(w io.Writer, format string) error {
	if format == "json" {
		return writeJSON(w, v)
	}
	var b strings.Builder
	for _, f := range v.Findings {
		writeFinding(&b, f)
	}
	switch {
	case v.Errors > 0:
		fmt.Fprintf(&b, "%s: serve would refuse to start: %s, %s\n", v.File, count(v.Errors, "error"), count(v.Warnings, "warning"))
	case v.Warnings > 0:
		fmt.Fprintf(&b, "%s: OK (%s), %s\n", v.File, count(v.Models, "model"), count(v.Warnings, "warning"))
	default:
		fmt.Fprintf(&b, "%s: OK (%s)\n", v.File, count(v.Models, "model"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFinding writes one finding: what is wrong on the first line, where else
// to look and what to do below it, the remedy last.
func writeFinding(b *strings.Builder, f finding.Finding) {
	fmt.Fprintf(b, "%s: %s: %s\n", f.Pos, f.Severity, f.Message)
	if f.Why != "" {
		fmt.Fprintf(b, "    %s\n", f.Why)
	}
	for _, r := range f.Related {
		fmt.Fprintf(b, "    %s: %s\n", r.Pos, r.Message)
	}
	if f.Fix != "" {
		fmt.Fprintf(b, "    fix: %s\n", f.Fix)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
