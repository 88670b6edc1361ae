package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/startcheck"
	"github.com/llmgw/llmgw/pkg/proxy"
)

// load reads the configuration with everything around it: variables, --env-file,
// .env, references.
func (f *serveFlags) load(stdin io.Reader) (*config.Tree, []finding.Finding, error) {
	env := config.ProcessEnv(os.Environ())
	if err := readEnvFile(env, f.envFile); err != nil {
		return nil, nil, err
	}
	if err := readProviders(f.providers); err != nil {
		return nil, nil, err
	}
	one, err := f.oneModel()
	if err != nil {
		return nil, nil, err
	}
	return config.Load(config.Sources{
		Path: f.config, Data: one, File: modelFile, VariableWins: !f.validateConfig, Env: env, DotEnv: true, Stdin: stdin,
	})
}

// check adds the reasons not to serve a configuration, and the warnings.
func (s *settings) check(tree *config.Tree, findings []finding.Finding) []finding.Finding {
	checked := s.facts
	if s.zero {
		checked.Host = "127.0.0.1" // a key is made for this start, wherever it listens
	}
	if s.strictEnv {
		refuseMissing(findings)
	}
	return startcheck.Report(findings, startcheck.All(tree, checked))
}

// reloader reads the configuration anew while the gateway runs.
type reloader struct {
	ctx  context.Context
	a    *app
	f    *serveFlags
	s    *settings
	tree *config.Tree // what is served, without its models
	// said are the findings that have been logged, errors among them: an entry
	// that was disabled at the start does not keep others from being reloaded.
	said map[string]bool
	// watched are the files to look at for --reload.
	watched atomic.Pointer[[]string]
}

func (r *reloader) remember(list []finding.Finding) {
	r.said = map[string]bool{}
	for _, f := range list {
		r.said[f.Message] = true
	}
}

// keep holds on to what the next configuration is compared with.
func (r *reloader) keep(tree *config.Tree) {
	tree.Forget("model_list")
	r.tree = tree
	files := r.f.watched(tree)
	r.watched.Store(&files)
}

// errStdin is why a configuration from a pipe cannot be reloaded.
var errStdin = errors.New("the configuration came through standard input, which cannot be read again; give a file")

// reload replaces the configuration by what is on disk now. It is complete and
// without an error before anything changes; otherwise one report says why the
// old one stays.
func (g *gateway) reload() {
	r := g.reloader
	defer g.settle.after(aMoment) // a file that is refused is read, too
	log := r.s.logger(r.a)
	g.proxy.ReloadCertificate()
	if r.s.zero {
		log.Warn("a reload was asked for (SIGHUP), but the gateway runs without a configuration")
		return
	}
	tree, findings, reasons, err := r.read()
	if err == nil && len(reasons) == 0 {
		var c proxy.Config
		var loaded []finding.Finding
		var remarks []string
		c, loaded, remarks = loadProxy(r.ctx, tree)
		r.s.process(g, &c)
		for _, f := range errorsOf(loaded) {
			if !r.said[f.Message] {
				reasons = append(reasons, f)
			}
		}
		if len(reasons) == 0 {
			var did proxy.Replaced
			if did, err = g.proxy.Replace(c); err == nil {
				r.report(log, tree, did, append(findings, loaded...), remarks)
				return
			}
		}
	}
	log.Error(refusal(reasons, err))
}

// read loads and judges what is on disk.
func (r *reloader) read() (tree *config.Tree, findings, reasons []finding.Finding, err error) {
	if r.f.fromStdin(r.tree) {
		return nil, nil, nil, errStdin
	}
	tree, findings, err = r.f.load(strings.NewReader(""))
	if err != nil {
		return nil, nil, errorsOf(findings), err
	}
	findings = r.s.check(tree, findings)
	if startcheck.Refused(findings) {
		return nil, nil, errorsOf(findings), nil
	}
	if _, err = r.f.settings(tree); err != nil {
		return nil, nil, nil, err
	}
	if !r.f.strict {
		return tree, findings, nil, nil
	}
	found, err := examine(r.ctx, tree, findings)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("--strict: %w", err)
	}
	for _, h := range found.hits {
		if h.Severity == finding.Error {
			reasons = append(reasons, finding.Finding{Severity: finding.Error, Pos: h.Pos, Message: h.ID + ": " + h.Message})
		}
	}
	return tree, findings, reasons, nil
}

// refusal is the one report of a reload that did not happen.
func refusal(reasons []finding.Finding, err error) string {
	const stays = "the configuration was not reloaded, the old one stays in use"
	if len(reasons) == 0 {
		return stays + ": " + redact.Text(err.Error())
	}
	var b strings.Builder
	b.WriteString(stays + ", for " + countOf(len(reasons), "reason") + ":")
	for i, f := range reasons {
		fmt.Fprintf(&b, " (%d) %s", i+1, located(f))
	}
	return b.String()
}

// report says what a reload has changed, and what it could not change.
func (r *reloader) report(log *slog.Logger, tree *config.Tree, did proxy.Replaced, findings []finding.Finding, remarks []string) {
	for _, f := range findings {
		if !r.said[f.Message] && f.Severity != finding.Info {
			logFinding(log, f)
		}
	}
	for _, text := range remarks {
		log.Warn(text)
	}
	changed, restart := proxy.Changes(r.tree, tree)
	var names []string
	for _, n := range changed {
		names = append(names, n.Path())
	}
	text := fmt.Sprintf("configuration reloaded: %s (%d new, %d gone)", countOf(did.Deployments, "deployment"), did.New, did.Gone)
	if len(names) > 0 {
		text += ", changed settings: " + strings.Join(names, ", ")
	}
	r.say(text)
	if late := r.needRestart(tree, did.Stay, restart); len(late) > 0 {
		log.Warn("only a restart changes these settings, the old values stay in use: " + strings.Join(late, "; "))
	}
	r.keep(tree)
	r.remember(findings)
}

// needRestart names what differs and stays as it is.
func (r *reloader) needRestart(tree *config.Tree, stay []proxy.Fixed, nodes []*config.Node) (late []string) {
	named := map[string]bool{}
	for _, n := range nodes {
		name := n.Path()
		if !n.Where().IsZero() {
			name += " (" + n.Where().String() + ")"
		}
		late = append(late, name)
		for _, k := range proxy.RestartKeys {
			if k.Matches(n.Path()) {
				named[k.Why] = true
			}
		}
	}
	if now, err := r.f.settings(tree); err == nil {
		late = append(late, r.s.differ(now)...)
	}
	for _, part := range stay {
		if !named[string(part)] {
			late = append(late, "what variables say about "+string(part))
		}
	}
	return late
}

// differ names the settings of the process that are not what they were: the
// variables behind them may stand in .env or environment_variables.
func (s *settings) differ(now *settings) (names []string) {
	for _, f := range []struct {
		name  string
		equal bool
	}{
		{"HOST", s.facts.Host == now.facts.Host},
		{"PORT", s.facts.Port == now.facts.Port},
		{"PROMETHEUS_METRICS_PORT", s.facts.MetricsPort == now.facts.MetricsPort},
		{"SEPARATE_HEALTH_PORT", s.health == now.health},
		{"SSL_CERTFILE_PATH", s.facts.CertFile == now.facts.CertFile},
		{"SSL_KEYFILE_PATH", s.facts.KeyFile == now.facts.KeyFile},
		{"KEEPALIVE_TIMEOUT", s.keep == now.keep},
		{"GRACEFUL_SHUTDOWN_TIMEOUT", s.shutdown == now.shutdown},
		{"LIMIT_CONCURRENCY", s.limit == now.limit},
		{"MAX_REQUESTS_BEFORE_RESTART", s.recycle == now.recycle},
		{"MAX_REQUESTS_BEFORE_RESTART_JITTER", s.recycleJitter == now.recycleJitter},
		{"JSON_LOGS", s.log.json == now.log.json},
		{"SERVER_ROOT_PATH", s.rootPath == now.rootPath},
		{"LITELLM_LOG", s.log.level == now.log.level && s.log.access == now.log.access},
		{"LITELLM_DISABLE_ACCESS_LOG_PATHS", strings.Join(s.log.skip, ",") == strings.Join(now.log.skip, ",")},
	} {
		if !f.equal {
			names = append(names, f.name)
		}
	}
	return names
}

// say prints what operators want to see at every level.
func (r *reloader) say(text string) {
	r.a.infof("INFO:     %s", text)
}
