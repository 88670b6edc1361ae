package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
	"time"

	textdiff "github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/report"
	"github.com/llmgw/llmgw/pkg/lint/rule"
	"github.com/llmgw/llmgw/pkg/render"
	"github.com/llmgw/llmgw/pkg/render/helm"
)

func newDoctorCommand(a *app) *cobra.Command {
	var (
		in        doctorInput
		old       doctorKnown
		look      doctorLive
		severity  string
		failOn    string
		duplicate bool
		fix, diff bool
		out       *outputFlags
	)
	c := &cobra.Command{
		Use:   "doctor [PATH...]",
		Short: "Find what will break in configs, environments and manifests",
		Long: `doctor reads LiteLLM-style configs, environment files and Kubernetes manifests
together and says what is wrong, where (file:line:col), why, and what to do.

PATH is a file, a directory, or - for standard input; what a file is, doctor
sees by its content. Without a PATH it checks config.yaml, litellm_config.yaml,
k8s, deploy and *.env of the working directory.

Exit codes: 0 nothing at or above --fail-on; 1 findings at or above it;
2 usage, an input that cannot be read, or nothing to check; 3 --live-required
and a check of a running system could not run.`,
		Example: `  llmgw doctor config.yaml k8s/ --env-file litellm.env --max-connections 400
  helm template gateway ./chart | llmgw doctor -
  llmgw doctor --live --url http://gateway:4000 config.yaml --env-file litellm.env
  llmgw doctor explain DB001`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			o, err := in.options(c.Flags(), a, args)
			if err != nil {
				return err
			}
			if err := look.apply(c.Context(), c.Flags(), a, &o); err != nil {
				return err
			}
			if o.Unsafe && !fix && !diff {
				return usagef("--unsafe says how far --fix and --diff go; give one of them")
			}
			least, err := finding.ParseSeverity(severity)
			if err != nil {
				return usagef("--min-severity: %w", err)
			}
			if _, err := (&lint.Result{}).Fails(failOn); err != nil {
				return usagef("%w", err)
			}
			if err := old.read(c); err != nil {
				return err
			}
			outs, err := out.open(a)
			if err != nil {
				return err
			}
			defer outs.discard()
			r, err := lint.Run(c.Context(), o)
			if r != nil {
				for _, n := range r.Notes {
					a.infof("note: %s", n)
				}
			}
			if err != nil {
				return doctorError(err)
			}
			if fix || diff {
				fixed, failed, err := lint.Fix(c.Context(), o, r)
				if err != nil {
					return doctorError(err)
				}
				for _, f := range failed {
					a.warnf("%s", f)
				}
				if diff {
					return doctorDiff(a, r, fixed)
				}
				for _, f := range fixed {
					if err := f.Write(o.Dir); err != nil {
						return badAnswer(err)
					}
					for _, h := range f.Findings {
						a.infof("fixed %s: %s %s", h.Pos, h.ID, h.Message)
					}
				}
				if len(fixed) > 0 {
					if r, err = lint.Run(c.Context(), o); err != nil {
						return doctorError(err)
					}
				}
			}
			if err := old.apply(a, r); err != nil {
				return err
			}
			if r.FailOn != "" && !c.Flags().Changed("fail-on") {
				failOn = r.FailOn
			}
			err = outs.each(func(w io.Writer, format string) error {
				ro := report.Options{MinSeverity: least, ShowDuplicates: duplicate, Version: buildVersion(), Width: doctorWidth(a), FailOn: failOn}
				switch format {
				case "json":
					return report.JSON(w, r, ro)
				case "github":
					if err := githubSummary(r, ro); err != nil {
						a.warnf("%s", err)
					}
					return report.GitHub(w, r, ro)
				case "sarif":
					return report.SARIF(w, r, ro)
				case "gitlab":
					return report.GitLab(w, r, ro)
				case "junit":
					return report.JUnit(w, r, ro)
				}
				ro.Color = w == a.out && a.colorOn(a.outTTY)
				return report.Text(w, r, ro)
			})
			if err != nil {
				return err
			}
			if err := outs.commit(); err != nil {
				return err
			}
			if err := look.save(); err != nil {
				return err
			}
			if len(r.Problems) > 0 {
				var lines []error
				for _, p := range r.Problems {
					lines = append(lines, fmt.Errorf("%s %s", p.Path, p.Message))
				}
				return usagef("%w", errors.Join(lines...))
			}
			if look.required && r.Missed {
				return unreachable(errors.New("--live-required: a check could not run; --format json lists it under skipped"))
			}
			if fails, _ := r.Fails(failOn); fails {
				return badAnswer(nil)
			}
			return nil
		},
	}
	fs := c.Flags()
	in.declare(fs)
	old.declare(fs)
	look.declare(fs)
	fs.StringVar(&severity, "min-severity", "info", "show findings from this severity on: error, warning, info")
	fs.StringVar(&failOn, "fail-on", "error", "exit 1 from this severity on: error, warning, info, never")
	fs.BoolVar(&duplicate, "show-duplicates", false, "show every occurrence instead of \"+N more\"")
	fs.BoolVar(&fix, "fix", false, "apply the fixes that change nothing but what the finding names")
	fs.BoolVar(&in.o.Unsafe, "unsafe", false, "with --fix or --diff: also the fixes that change what somebody may rely on")
	fs.BoolVar(&diff, "diff", false, "show what --fix would change, and change nothing (exit 1 if it would)")
	out = outputVar(fs, "text", "json", "sarif", "github", "gitlab", "junit")
	c.AddCommand(newDoctorExplainCommand(a), newDoctorRulesCommand(a))
	return c
}

// doctorInput are the flags that say what to check and what no file says.
type doctorInput struct {
	o             lint.Options
	profile       string
	target        string
	maxConn       int
	maxDBConn     int
	reserve       int
	superuser     int
	reserved      int
	other         int
	instances     int
	rps           int
	clientTimeout time.Duration
	lbIdle        time.Duration
	chart         render.Overrides
	values        []string
	bouncers      int
	bouncerPool   int
}

func (d *doctorInput) declare(fs *pflag.FlagSet) {
	fs.StringVarP(&d.o.ConfigPath, "config", "c", "", "a gateway config, whatever the file looks like")
	fs.StringVar(&d.o.StdinName, "stdin-filename", "", "name of standard input in findings")
	fs.StringArrayVar(&d.o.EnvFiles, "env-file", nil, "environment of the gateway as KEY=VALUE lines (repeatable)")
	fs.StringVar(&d.o.Flags.Args, "args", "", "launcher arguments of the gateway, as one text")
	fs.StringVar(&d.target, "target", "", "what runs: litellm or llmgw (default: seen from the image)")
	fs.StringVar(&d.o.Flags.Version, "litellm-version", "", "LiteLLM release that runs (default: seen from the image tag)")
	fs.StringVar(&d.profile, "profile", "", "production, dev or vpc (default production)")
	fs.IntVar(&d.maxConn, "max-connections", 0, "Postgres' max_connections")
	fs.IntVar(&d.maxDBConn, "max-db-connections", 0, "connections that the gateway may open in all")
	fs.IntVar(&d.reserve, "db-reserve", 0, "connections of max_connections that are not the gateway's (default 3)")
	fs.IntVar(&d.superuser, "superuser-reserved", 0, "Postgres' superuser_reserved_connections (default 3)")
	fs.IntVar(&d.reserved, "reserved", 0, "Postgres' reserved_connections")
	fs.IntVar(&d.other, "other-connections", 0, "connections of other clients of the database")
	fs.IntVar(&d.bouncers, "pgbouncer-max-client-conn", 0, "clients that the pooler in front of Postgres accepts (max_client_conn)")
	fs.IntVar(&d.bouncerPool, "pgbouncer-pool-size", 0, "connections that the pooler opens (pool_size and reserve_pool_size)")
	fs.StringVar(&d.o.Flags.Container, "container", "", "the container that runs the gateway, where its image does not tell: `namespace/name/container`")
	fs.IntVar(&d.instances, "instances", 0, "largest number of instances, where no manifest says it")
	fs.IntVar(&d.rps, "expected-rps", 0, "requests per second at peak")
	durationVar(fs, &d.clientTimeout, "client-timeout", 0, "how long clients wait (default 600s, the OpenAI SDK's)")
	durationVar(fs, &d.lbIdle, "lb-idle", 0, "idle or read timeout of the balancer in front")
	fs.IntVar(&d.o.Flags.MaxAttempts, "max-attempts", 0, "attempts that one request may cause (default 12)")
	fs.StringArrayVarP(&d.values, "values", "f", nil, "values `file` for the charts among the inputs (repeatable)")
	fs.StringArrayVar(&d.chart.Set, "set", nil, "a value for the charts, `key=value` (repeatable)")
	fs.StringArrayVar(&d.chart.SetString, "set-string", nil, "a value that is text, `key=value` (repeatable)")
	fs.StringArrayVar(&d.chart.JSON, "set-json", nil, "a value in JSON, `key=json` (repeatable)")
	fs.StringSliceVar(&d.o.Only, "only", nil, "check these rules or groups only")
	fs.StringSliceVar(&d.o.Skip, "skip", nil, "leave these rules or groups out")
	fs.BoolVar(&d.o.NoInlineIgnores, "no-inline-ignores", false, "take no notice of llmgw:ignore comments and annotations")
}

// options turns the flags into what lint takes.
func (d *doctorInput) options(flags *pflag.FlagSet, a *app, paths []string) (lint.Options, error) {
	o := d.o
	o.Paths, o.Stdin = paths, a.in
	over := d.chart
	for _, name := range d.values {
		data, err := os.ReadFile(name)
		if err != nil {
			return o, usagef("cannot read --values %s: %s", name, reason(err))
		}
		over.Files = append(over.Files, render.ValuesFile{Name: name, Data: data})
	}
	o.Chart = func(files fs.FS) (map[string]string, error) {
		engine := helm.Engine{Lenient: true}
		values, err := engine.Override(nil, over)
		if err != nil {
			return nil, err
		}
		return engine.Render(files, render.Release{Name: "litellm", Namespace: "default", Service: "Helm", KubeVersion: "1.31"}, values)
	}
	if d.target != "" {
		t, ok := facts.ParseTarget(d.target)
		if !ok {
			return o, usagef("--target %s: use litellm or llmgw", d.target)
		}
		o.Flags.Target = t
	}
	if d.profile != "" {
		p, err := rule.ParseProfile(d.profile)
		if err != nil {
			return o, usagef("--profile: %w", err)
		}
		o.Flags.Profile = p
	}
	for _, f := range []struct {
		name  string
		value int
		to    *facts.Int
		least int
	}{
		{"max-connections", d.maxConn, &o.Flags.MaxConnections, 1}, {"max-db-connections", d.maxDBConn, &o.Flags.MaxDBConnections, 1},
		{"db-reserve", d.reserve, &o.Flags.DBReserve, 0}, {"superuser-reserved", d.superuser, &o.Flags.SuperuserReserved, 0},
		{"reserved", d.reserved, &o.Flags.Reserved, 0}, {"other-connections", d.other, &o.Flags.OtherConnections, 0},
		{"pgbouncer-max-client-conn", d.bouncers, &o.Flags.PgBouncerClients, 1}, {"pgbouncer-pool-size", d.bouncerPool, &o.Flags.PgBouncerPool, 1},
		{"instances", d.instances, &o.Flags.Instances, 1}, {"expected-rps", d.rps, &o.Flags.ExpectedRPS, 0},
	} {
		if !flags.Changed(f.name) {
			continue
		}
		if f.value < f.least || f.value > math.MaxInt32 {
			return o, usagef("--%s %d: must be %d or more, and not above %d", f.name, f.value, f.least, math.MaxInt32)
		}
		*f.to = facts.NewInt(f.value, "--"+f.name, finding.Position{File: "<args>"})
	}
	if flags.Changed("max-attempts") && o.Flags.MaxAttempts < 1 {
		return o, usagef("--max-attempts %d: must be 1 or more", o.Flags.MaxAttempts)
	}
	if flags.Changed("max-connections") && flags.Changed("max-db-connections") {
		return o, usagef("--max-connections is Postgres' own setting, --max-db-connections what the gateway may open of it: give one of them")
	}
	if flags.Changed("pgbouncer-max-client-conn") != flags.Changed("pgbouncer-pool-size") {
		return o, usagef("--pgbouncer-max-client-conn and --pgbouncer-pool-size are the two sides of one pooler: give both")
	}
	if n := strings.Count(o.Flags.Container, "/"); o.Flags.Container != "" && n != 2 {
		return o, usagef("--container %s: write namespace/name/container; without a namespace, /name/container", o.Flags.Container)
	}
	if flags.Changed("client-timeout") {
		o.Flags.ClientTimeout = facts.NewSeconds(d.clientTimeout.Seconds(), "--client-timeout", finding.Position{})
	}
	if flags.Changed("lb-idle") {
		o.Flags.LBIdle = facts.NewSeconds(d.lbIdle.Seconds(), "--lb-idle", finding.Position{})
	}
	return o, nil
}

// doctorError gives an error of lint its exit code: whatever kept it from a
// result was the input.
func doctorError(err error) error {
	if _, ok := errors.AsType[signalError](err); ok {
		return err
	}
	return usagef("%w", err)
}

func newDoctorExplainCommand(a *app) *cobra.Command {
	var in doctorInput
	var pool, chain, plan bool
	var latency time.Duration
	var perWorker int
	c := &cobra.Command{
		Use:   "explain RULE | --pool [PATH...] | --chain [PATH...] | --plan [PATH...]",
		Short: "Explain a rule, show the sums for the given inputs, or plan a deployment",
		Example: `  llmgw doctor explain DB001
  llmgw doctor explain --pool config.yaml k8s/ --max-connections 400
  llmgw doctor explain --chain config.yaml k8s/
  llmgw doctor explain --plan --expected-rps 500 --latency 3s --max-connections 400`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range []string{"latency", "rps-per-worker"} {
				if c.Flags().Changed(name) && !plan {
					return usagef("--%s needs --plan", name)
				}
			}
			if !pool && !chain && !plan {
				if len(args) != 1 {
					return usagef("say which rule: llmgw doctor explain DB001, or --pool, --chain or --plan")
				}
				r, ok := rule.Lookup(args[0])
				if !ok {
					if near := rule.Nearest(args[0]); near != "" {
						return usagef("there is no rule %s; did you mean %s?", args[0], near)
					}
					return usagef("there is no rule %s; llmgw doctor rules lists them", args[0])
				}
				return report.Explain(a.out, r)
			}
			o, err := in.options(c.Flags(), a, args)
			if err != nil {
				return err
			}
			if plan {
				if o.Flags.ExpectedRPS.Value < 1 {
					return usagef("--plan needs --expected-rps: the requests per second at peak")
				}
				if c.Flags().Changed("latency") && latency <= 0 || c.Flags().Changed("rps-per-worker") && (perWorker < 1 || perWorker > math.MaxInt32) {
					return usagef("--latency and --rps-per-worker must be above 0")
				}
			}
			r, err := lint.Run(c.Context(), o)
			if errors.Is(err, lint.ErrNothing) && plan && len(args) == 0 && o.ConfigPath == "" {
				r, err = &lint.Result{Model: rule.NewModel(o.Flags, nil, nil, nil, nil)}, nil // a deployment that is not there yet
			}
			if err != nil {
				return doctorError(err)
			}
			if len(r.Problems) > 0 {
				return usagef("%s %s", r.Problems[0].Path, r.Problems[0].Message)
			}
			if plan {
				in := facts.PlanInput{}
				if latency > 0 {
					in.Latency = facts.NewSeconds(latency.Seconds(), "--latency", finding.Position{})
				}
				if perWorker > 0 {
					in.RPSPerWorker = facts.NewInt(perWorker, "--rps-per-worker", finding.Position{})
				}
				return report.Plan(a.out, r, in)
			}
			return report.Sums(a.out, r, pool, chain)
		},
	}
	in.declare(c.Flags())
	c.Flags().BoolVar(&pool, "pool", false, "the database connections of the given deployment, worked out")
	c.Flags().BoolVar(&plan, "plan", false, "a deployment for --expected-rps and the database: pool limit, replicas, memory, grace period")
	durationVar(c.Flags(), &latency, "latency", 0, "time of a typical request, for --plan (default 5s)")
	c.Flags().IntVar(&perWorker, "rps-per-worker", 0, "what one worker carries, for --plan (default 70 for litellm, 1000 for llmgw)")
	c.Flags().BoolVar(&chain, "chain", false, "the chain of timeouts of the given deployment, worked out")
	return c
}

func newDoctorRulesCommand(a *app) *cobra.Command {
	var out *outputFlags
	c := &cobra.Command{
		Use:   "rules",
		Short: "List the rules",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			outs, err := out.open(a)
			if err != nil {
				return err
			}
			defer outs.discard()
			err = outs.each(func(w io.Writer, format string) error {
				switch format {
				case "json":
					return report.RulesJSON(w)
				case "md":
					return report.RulesMarkdown(w)
				}
				return report.RulesText(w)
			})
			if err != nil {
				return err
			}
			return outs.commit()
		},
	}
	out = outputVar(c.Flags(), "text", "json", "md")
	return c
}

// doctorDiff prints the fixes as a unified diff, secrets in its context masked.
func doctorDiff(a *app, r *lint.Result, fixed []lint.Fixed) error {
	for _, f := range fixed {
		text := textdiff.Diff("a/"+f.Path, f.Old, "b/"+f.Path, f.New)
		if _, err := io.WriteString(a.out, report.Masked(r, f.Path, string(text))); err != nil {
			return err
		}
	}
	if len(fixed) > 0 {
		return badAnswer(nil)
	}
	return nil
}

// doctorWidth is the number of columns to wrap text to.
func doctorWidth(a *app) int {
	if f, ok := a.out.(*os.File); ok && a.outTTY {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w >= 40 {
			return min(w, 140)
		}
	}
	return 100
}
