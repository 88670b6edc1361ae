package cmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/render"
	"github.com/llmgw/llmgw/pkg/render/helm"
)

func newRenderCommand(a *app) *cobra.Command {
	c := group(&cobra.Command{
		Use:   "render",
		Short: "Render production manifests whose numbers come from config.yaml",
	})
	c.AddCommand(newRenderK8sCommand(a), newRenderHelmCommand(a))
	return c
}

// renderFlags are the flags of `render k8s` before they mean anything.
type renderFlags struct {
	config, target, output, explain string
	envFile                         string
	requestTimeout                  time.Duration
	ui, noUI, readOnlyFS, validate  bool
	strict, warned                  bool
	hpaMemory                       string
	values                          []string
	o                               render.Options
}

func newRenderK8sCommand(a *app) *cobra.Command {
	var f renderFlags
	c := &cobra.Command{
		Use:   "k8s [-c config.yaml]",
		Short: "Print Deployment, Service, ConfigMap, autoscaler and the rest as plain manifests",
		Long: `Print the manifests that run a gateway in production. Grace period, pool limit,
CPU, memory and autoscaling follow from config.yaml and a few flags; --explain
shows how. The configuration keeps every byte but the derived keys.

Manifests go to standard output, or with -o into one file each (-o DIR) or one
file (-o FILE.yaml). Remarks go to standard error as "LEVEL CODE message".

Exit codes: 0 rendered; 1 warnings under --strict, or overrides that break the
result; 2 wrong input (E-... codes), nothing is written.`,
		Example: `  llmgw render k8s -c config.yaml --max-db-connections 100 | kubectl apply -f -
  llmgw render k8s -c config.yaml --target litellm --litellm-version v1.106.2 -o k8s/
  llmgw render k8s -c config.yaml --explain -o k8s/`,
		Args: cobra.NoArgs,
	}
	f.declare(c.Flags())
	fs := c.Flags()
	fs.StringVarP(&f.o.Namespace, "namespace", "n", "", "namespace to write into the objects (default: none)")
	fs.StringVar(&f.o.Migrations, "migrations", "", "who migrates: job, init, argocd, argocd-sync or none (default: job for llmgw, init for litellm)")
	fs.StringVar(&f.o.Secrets, "secrets", "reference", "where the Secret comes from: reference (it exists), external (an ExternalSecret), template (values to replace)")
	fs.StringVarP(&f.output, "output", "o", "-", "`DIR`, FILE.yaml, or - for standard output")
	c.RunE = func(c *cobra.Command, _ []string) error { return f.run(a, c.Flags()) }
	return c
}

func newRenderHelmCommand(a *app) *cobra.Command {
	f := renderFlags{o: render.Options{Chart: true}}
	c := &cobra.Command{
		Use:   "helm -o DIR [-c config.yaml]",
		Short: "Write a Helm chart with values.yaml made from config.yaml",
		Long: `Write the chart that "render k8s" renders in process, with a values.yaml that
holds what follows from config.yaml and the flags. It needs no other chart, holds
no random values, and installs with Helm 3 and 4:

  helm upgrade --install gateway DIR -n NAMESPACE

Exit codes are those of "render k8s".`,
		Example: `  llmgw render helm -c config.yaml --max-db-connections 100 -o chart/`,
		Args:    cobra.NoArgs,
	}
	f.declare(c.Flags())
	fs := c.Flags()
	fs.StringVar(&f.o.Migrations, "migrations", "", "who migrates: helm-hook, init, argocd, argocd-sync or none (default helm-hook)")
	fs.StringVar(&f.o.Secrets, "secrets", "reference", "where the Secret comes from: reference (it exists) or external (an ExternalSecret)")
	fs.StringVarP(&f.output, "output", "o", "", "`DIR` to write the chart to")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if f.output == "" || f.output == "-" {
			return usagef("render helm needs -o DIR: a chart is a directory")
		}
		return f.run(a, c.Flags())
	}
	return c
}

// declare declares the flags that both forms share.
func (f *renderFlags) declare(fs *pflag.FlagSet) {
	o := &f.o
	fs.StringVarP(&f.config, "config", "c", "", "LiteLLM's config `file`; - is standard input (default: the production example)")
	fs.StringVar(&f.target, "target", "llmgw", "what runs in the pods: llmgw or litellm")
	fs.StringVar(&o.Image, "image", "", "image `reference` with tag or digest (default: this release of llmgw)")
	fs.StringVar(&o.LiteLLMVersion, "litellm-version", "", "`tag` of LiteLLM's image, for --target litellm")
	fs.StringVar(&o.Name, "name", "", "base name of the objects (default: the target)")

	fs.Int("replicas", 3, "pods, or the least of them under autoscaling")
	fs.Int("max-replicas", 0, "most pods; 0 means no autoscaling (default: derived, else 10)")
	fs.BoolVar(&o.NoHPA, "no-hpa", false, "no autoscaling")
	fs.BoolVar(&o.AllowSingle, "allow-single", false, "accept --replicas 1")
	fs.Int("num-workers", 1, "workers per pod; for llmgw only the CPU grows with them")

	fs.Int("max-db-connections", 0, "database connections that the gateway may open")
	fs.Int("max-connections", 0, "Postgres' own max_connections, shared with others")
	fs.Int("db-reserve", 0, "connections of these that are not the gateway's (default 3 with --max-connections, else 0)")
	fs.Int("pool-limit", 0, "database_connection_pool_limit to write (default: derived, else the configuration's)")

	durationVar(fs, &f.requestTimeout, "request-timeout", 0, "longest request; written into the configuration (default: the configuration's, else 600s)")
	fs.Int("pre-stop-seconds", facts.DefaultPreStop, "wait before SIGTERM, for balancers to notice")
	fs.Int("shutdown-margin", facts.DefaultShutdownMargin, "seconds between the longest request and SIGKILL")
	fs.Int("hpa-cpu", 60, "CPU utilization to scale at, in percent")
	fs.StringVar(&f.hpaMemory, "hpa-memory", "80", "memory utilization to scale at, in percent, or off")
	fs.StringVar(&o.CPUPerWorker, "cpu-per-worker", "", "CPU of one worker (default 1)")
	fs.StringVar(&o.MemoryPerWorker, "memory-per-worker", "", "memory of one worker (default 1Gi for llmgw, 4Gi for litellm)")

	fs.BoolVar(&f.readOnlyFS, "read-only-fs", true, "read-only root file system")
	fs.BoolVar(&f.ui, "ui", false, "admin UI, for --target litellm (default there)")
	fs.BoolVar(&f.noUI, "no-ui", false, "no admin UI, for --target litellm")
	fs.Int("run-as-user", 0, "user and group id (default 65532 for llmgw, 101 for litellm)")

	fs.StringVar(&o.SecretName, "secret-name", "", "name of the Secret (default NAME-secrets)")
	fs.StringVar(&o.SecretStore, "secret-store", "", "`NAME[,Kind]` of the store, for --secrets external")
	fs.BoolVar(&o.AllowPlaintext, "allow-plaintext-secrets", false, "leave credentials in the ConfigMap")
	fs.BoolVar(&o.ExtractSecrets, "extract-secrets", false, "replace credentials in the configuration by os.environ/ references")
	fs.StringSliceVar(&o.OptionalEnv, "optional-env", nil, "`name` of a variable the Secret need not hold (repeatable)")
	fs.BoolVar(&o.WithDB, "with-db", false, "the gateway uses a database though the configuration names none")
	fs.StringVar(&f.envFile, "env-file", "", "`file` whose names are checked against the variables that the pods need; its values are never rendered")
	fs.Int("max-requests-before-restart", 0, "recycle a worker after so many requests, for --target litellm")
	fs.BoolVar(&o.RunGunicorn, "run-gunicorn", false, "run workers under Gunicorn, for --target litellm")

	fs.StringArrayVarP(&f.values, "values", "f", nil, "values `file` laid over the derived ones (repeatable)")
	fs.StringArrayVar(&o.Overrides.Set, "set", nil, "`key=value` laid over the derived values, in Helm's syntax (repeatable)")
	fs.StringArrayVar(&o.Overrides.SetString, "set-string", nil, "the same with a text `key=value` (repeatable)")
	fs.StringArrayVar(&o.Overrides.JSON, "set-json", nil, "the same with a JSON `key=value` (repeatable)")
	fs.StringVar(&o.KubeVersion, "kube-version", "1.31", "Kubernetes release to render for")
	fs.StringVar(&f.explain, "explain", "", "show how each number came about: `text` or json (standard error, or standard output with -o)")
	fs.Lookup("explain").NoOptDefVal = "text"
	fs.BoolVar(&f.strict, "strict", false, "warnings are errors")
	fs.BoolVar(&f.validate, "validate", true, "check the result against its own rules")
}

// stated reads a number flag that the user gave; unset ones stay unset, so
// that the derivation knows what was said.
func stated(fs *pflag.FlagSet, name string) facts.Int {
	if !fs.Changed(name) {
		return facts.Int{}
	}
	v, err := fs.GetInt(name)
	if err != nil {
		panic("cmd: " + err.Error())
	}
	return facts.NewInt(v, "--"+name, finding.Position{})
}

func (f *renderFlags) options(a *app, fs *pflag.FlagSet) (render.Options, error) {
	o := f.o
	o.Engine, o.Version = helm.Engine{}, buildVersion()
	target, ok := facts.ParseTarget(f.target)
	if !ok {
		return o, usagef("--target %s: use llmgw or litellm", f.target)
	}
	o.Target = target
	o.Replicas, o.MaxReplicas, o.NumWorkers = stated(fs, "replicas"), stated(fs, "max-replicas"), stated(fs, "num-workers")
	o.PoolLimit, o.PreStop, o.ShutdownMargin = stated(fs, "pool-limit"), stated(fs, "pre-stop-seconds"), stated(fs, "shutdown-margin")
	o.HPACPU, o.RunAsUser, o.MaxRequests = stated(fs, "hpa-cpu"), stated(fs, "run-as-user"), stated(fs, "max-requests-before-restart")
	if fs.Changed("request-timeout") {
		o.RequestTimeout = facts.NewSeconds(f.requestTimeout.Seconds(), "--request-timeout", finding.Position{})
	}
	switch n, err := strconv.Atoi(f.hpaMemory); {
	case f.hpaMemory == "off":
		o.HPAMemory = facts.NewInt(0, "--hpa-memory", finding.Position{})
	case err != nil || n < 1:
		return o, usagef("--hpa-memory %s: use a percentage or off", f.hpaMemory)
	case fs.Changed("hpa-memory"):
		o.HPAMemory = facts.NewInt(n, "--hpa-memory", finding.Position{})
	}
	switch budget, server := stated(fs, "max-db-connections"), stated(fs, "max-connections"); {
	case budget.IsSet() && server.IsSet():
		return o, usagef("--max-db-connections and --max-connections are two ways to say one thing; give one")
	case budget.IsSet():
		o.Ceiling = facts.Ceiling{Kind: facts.MaxDBConnections, N: budget, Reserve: stated(fs, "db-reserve")}
	case server.IsSet():
		o.Ceiling = facts.Ceiling{Kind: facts.MaxConnections, N: server, Reserve: stated(fs, "db-reserve")}
	case fs.Changed("db-reserve"):
		return o, usagef("--db-reserve needs --max-connections or --max-db-connections to be taken from")
	}
	if f.ui && f.noUI {
		return o, usagef("--ui and --no-ui contradict each other")
	}
	if fs.Changed("ui") || fs.Changed("no-ui") {
		ui := f.ui && !f.noUI
		if !fs.Changed("ui") {
			ui = !f.noUI
		}
		o.UI = &ui
	}
	if f.explain != "" && f.explain != "text" && f.explain != "json" {
		return o, usagef("--explain %s: use text or json", f.explain)
	}
	if o.AllowPlaintext && o.ExtractSecrets {
		return o, usagef("--allow-plaintext-secrets and --extract-secrets contradict each other")
	}
	o.WritableRoot, o.WithoutValidate = !f.readOnlyFS, !f.validate
	return o, f.read(a, &o)
}

// read loads the files that the flags name.
func (f *renderFlags) read(a *app, o *render.Options) error {
	if f.config != "" {
		tree, found, err := config.Load(config.Sources{Path: f.config, Stdin: a.in, KeepReferences: true})
		f.warned = f.report(a, found)
		if err != nil {
			if len(found) > 0 { // they say it, with place and remedy
				return &exitError{exitUsage, nil}
			}
			return usagef("%w", err)
		}
		o.Tree = tree
	}
	for _, name := range f.values {
		data, err := os.ReadFile(name)
		if err != nil {
			return usagef("cannot read %s: %s", name, reason(err))
		}
		o.Overrides.Files = append(o.Overrides.Files, render.ValuesFile{Name: name, Data: data})
	}
	if f.envFile != "" {
		data, err := os.ReadFile(f.envFile)
		if err != nil {
			return usagef("cannot read %s: %s", f.envFile, reason(err))
		}
		o.KnownEnv = config.NewEnv(true)
		vars, found := config.ParseDotEnv(f.envFile, data)
		f.report(a, found)
		for _, v := range vars {
			o.KnownEnv.Set(v)
		}
	}
	return nil
}

// report prints findings as LEVEL CODE message, and says whether a warning
// was among them.
func (f *renderFlags) report(a *app, found []finding.Finding) (warned bool) {
	for _, fd := range found {
		if fd.Severity == finding.Info && a.quiet {
			continue
		}
		warned = warned || fd.Severity >= finding.Warning
		line := fd.Severity.String()
		if fd.ID != "" {
			line += " " + fd.ID
		}
		if !fd.Pos.IsZero() {
			line += " " + fd.Pos.String() + ":"
		}
		line += " " + fd.Message
		if fd.Fix != "" {
			line += " (" + fd.Fix + ")"
		}
		fmt.Fprintln(a.err, line)
	}
	return warned
}

func (f *renderFlags) run(a *app, fs *pflag.FlagSet) error {
	o, err := f.options(a, fs)
	if err != nil {
		return err
	}
	res, err := render.Render(o)
	if res == nil {
		return err
	}
	warned := f.report(a, res.Findings) || f.warned
	switch {
	case errors.Is(err, render.ErrInvalid):
		return badAnswer(err)
	case err != nil:
		return usagef("%w", err)
	case warned && f.strict:
		return badAnswer(errors.New("nothing was written: there are warnings, and --strict is on"))
	case res.Secret != nil && !f.toDir():
		return usagef("--secrets template needs -o DIR: a Secret never shares a stream with other objects")
	}
	if err := f.write(a, res); err != nil {
		return usagef("%w", err)
	}
	if res.SecretExists && len(res.SecretKeys) > 0 {
		a.infof("info N-SECRET the Secret %s must hold: %s", res.SecretName, strings.Join(res.SecretKeys, ", "))
	}
	return f.writeExplanation(a, res)
}

// toDir reports whether -o names a directory.
func (f *renderFlags) toDir() bool { return f.output != "-" && !f.toFile() }

func (f *renderFlags) toFile() bool {
	if f.o.Chart {
		return false
	}
	ext := strings.ToLower(filepath.Ext(f.output))
	if ext != ".yaml" && ext != ".yml" {
		return false
	}
	info, err := os.Stat(f.output)
	return err != nil || !info.IsDir()
}

func (f *renderFlags) write(a *app, res *render.Result) error {
	switch {
	case f.output == "":
		return errors.New("-o needs a path")
	case f.output == "-":
		_, err := res.WriteTo(a.out)
		return err
	case f.toFile():
		return res.WriteFile(f.output)
	}
	names, err := f.writeDir(res)
	if err == nil {
		a.infof("wrote %d files to %s", len(names), f.output)
	}
	return err
}

func (f *renderFlags) writeDir(res *render.Result) ([]string, error) {
	if f.o.Chart {
		return res.WriteChart(f.output)
	}
	return res.WriteDir(f.output)
}

func (f *renderFlags) writeExplanation(a *app, res *render.Result) error {
	w := a.err
	if f.output != "-" {
		w = a.out
	}
	switch f.explain {
	case "json":
		return res.ExplainJSON(w)
	case "text":
		return res.ExplainText(w)
	}
	return nil
}
