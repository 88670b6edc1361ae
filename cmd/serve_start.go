package cmd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy"
	"github.com/llmgw/llmgw/pkg/proxy/supervise"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry"
	"github.com/llmgw/llmgw/pkg/store"
	"github.com/llmgw/llmgw/pkg/store/sqlite"
)

// logSettings say what is logged and how.
type logSettings struct {
	level  slog.Level
	access bool
	json   bool
	skip   []string
}

// readLogSettings finds the level: LITELLM_LOG, else the debug switches, else
// warnings. Access lines are printed up to INFO, and while nothing is said.
func readLogSettings(tree *config.Tree, debug, detailed bool, remarks *[]string) logSettings {
	env := tree.Env()
	l := logSettings{level: slog.LevelWarn, access: true, json: tree.LiteLLM().JSONLogs.V}
	switch {
	case detailed:
		l.level = slog.LevelDebug
	case debug:
		l.level = slog.LevelInfo
	}
	if word := env.Get("LITELLM_LOG"); word != "" {
		level, ok := telemetry.ParseLevel(word)
		if !ok {
			*remarks = append(*remarks, fmt.Sprintf("LITELLM_LOG is %q; use DEBUG, INFO, WARNING, ERROR or CRITICAL", word))
		} else {
			l.level = level
			l.access = level <= slog.LevelInfo
		}
	}
	l.skip = strings.Split(env.Get("LITELLM_DISABLE_ACCESS_LOG_PATHS"), ",")
	return l
}

// build makes the proxy of a configuration that is complete but for what the
// process adds.
func (s *settings) build(a *app, g *gateway, c proxy.Config) error {
	out := telemetry.NewWriter(a.err)
	g.closers = append(g.closers, out.Close)
	c.Log = s.logger(a)
	if s.log.access {
		g.access = telemetry.NewAccess(out, s.log.json, s.log.skip)
	}
	s.process(g, &c)
	var err error
	if g.proxy, err = proxy.New(c); err != nil {
		g.close()
		return usagef("%w", err)
	}
	return nil
}

// process adds what the process knows to a configuration: at the start, and to
// each one that replaces another.
func (s *settings) process(g *gateway, c *proxy.Config) {
	if g.access != nil {
		c.API.Access = g.access
	}
	c.API.Emulated, c.API.Build = emulated, buildVersion()
	c.API.LogLevel = telemetry.LevelName(s.log.level)
	c.API.RootPath = s.rootPath
	c.API.MaxInFlight = s.limit
	c.API.SchemaMissing = s.schemaMissing
	c.Listener.Host, c.Listener.Port = s.facts.Host, s.facts.Port
	c.Listener.CertFile, c.Listener.KeyFile = s.facts.CertFile, s.facts.KeyFile
	c.Listener.HealthPort = s.health
	c.Telemetry.MetricsPort, c.Telemetry.ProfilePort = s.facts.MetricsPort, s.profile
	c.Listener.KeepAlive = s.keep
	c.Listener.Bind = g.life.given.Sockets.Listen
	c.Listener.OnRequest = g.life.counter(s)
	c.ShutdownTimeout = s.shutdown
	c.Draining = g.life.given.Draining
}

// newGateway builds the gateway of a configuration.
func newGateway(ctx context.Context, a *app, s *settings, life *life, tree *config.Tree, findings []finding.Finding) (*gateway, error) {
	c, loaded, remarks := loadProxy(ctx, tree)
	g := &gateway{life: life}
	kept, err := s.openStore(ctx, a, g)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		c.Store = kept
	}
	if err := s.build(a, g, c); err != nil {
		return nil, err
	}
	log := s.logger(a)
	g.findings = append(findings, loaded...)
	for _, f := range g.findings {
		logFinding(log, f)
	}
	for _, text := range remarks {
		log.Warn(text)
	}
	if origin := databaseOrigin(tree); origin != "" {
		log.Warn("a database is configured (" + origin + "), but this build does not serve virtual keys and spend yet: only the master key is accepted, and nothing is written to the database")
	}
	return g, nil
}

// loadProxy translates a configuration for the gateway.
func loadProxy(ctx context.Context, tree *config.Tree) (c proxy.Config, findings []finding.Finding, remarks []string) {
	if priced := proxy.LoadCostMap(ctx, tree.Env().Get); priced != "" {
		remarks = append(remarks, priced)
	}
	c, findings = proxy.Load(tree, "llmgw/"+buildVersion())
	// Whoever got past the list of refusals without a key has asked for it.
	c.Auth.Open = c.Auth.MasterKey.IsZero()
	return c, findings, append(remarks, proxy.ApplyEnvironment(&c, tree.Env().Get)...)
}

func logFinding(log *slog.Logger, f finding.Finding) {
	switch f.Severity {
	case finding.Error: // a deployment that is left out
		log.Error(located(f))
	case finding.Warning:
		log.Warn(located(f))
	default:
		log.Info(located(f))
	}
}

// openStore opens what --store names; nil when nothing is kept.
func (s *settings) openStore(ctx context.Context, a *app, g *gateway) (store.Store, error) {
	if s.store == "none" {
		return nil, nil
	}
	db, err := sqlite.Open(ctx, s.store)
	switch {
	case err == nil:
		g.closers = append(g.closers, func() { _ = db.Close() })
		return db, nil
	case s.storeAsked:
		return nil, usagef("--store: %w", err)
	}
	a.warnf("state is not kept (%v)", err)
	s.store = "none"
	return nil, nil
}

func (s *settings) logger(a *app) *slog.Logger {
	return telemetry.NewLogger(a.err, s.log.level, s.log.json)
}

func located(f finding.Finding) string {
	text := redact.Text(sentence(f))
	if !f.Pos.IsZero() {
		text = f.Pos.String() + ": " + text
	}
	if f.Fix != "" && !strings.Contains(text, f.Fix) {
		text = strings.TrimSuffix(text, ".") + "; " + f.Fix
	}
	return text
}

// databaseOrigin says where a database URL comes from, or nothing.
func databaseOrigin(tree *config.Tree) string {
	if n := tree.Get("general_settings.database_url"); !n.IsNull() {
		return "general_settings.database_url"
	}
	for _, name := range []string{"DATABASE_URL", "DATABASE_HOST"} {
		if tree.Env().Get(name) != "" {
			return name
		}
	}
	return ""
}

// newZeroGateway builds the gateway that needs no configuration.
func newZeroGateway(ctx context.Context, a *app, s *settings, life *life, tree *config.Tree) (*gateway, error) {
	getenv := tree.Env().Get
	c, providers := proxy.ZeroConfig(getenv, "llmgw/"+buildVersion())
	for _, name := range providers {
		s.wildcards = append(s.wildcards, name+"/*")
	}
	for _, text := range proxy.ApplyEnvironment(&c, getenv) {
		a.warnf("%s", text)
	}
	g := &gateway{life: life}
	kept, err := s.openStore(ctx, a, g)
	if err != nil {
		return nil, err
	}
	if kept == nil {
		kept = &store.Memory{}
	}
	key, err := kept.MasterKey(ctx, proxy.NewKey())
	if err != nil {
		g.close()
		return nil, usagef("%w", err)
	}
	c.Auth.MasterKey = key
	c.Store = kept
	if err := s.build(a, g, c); err != nil {
		return nil, err
	}
	s.masterKey = key
	return g, nil
}

// announce says where the gateway is, and what it serves.
func (g *gateway) announce(a *app, s *settings) {
	if g.life.given.Role == supervise.Worker {
		return // as the first one has said
	}
	scheme := "http"
	if s.facts.CertFile != "" {
		scheme = "https"
	}
	addr := g.proxy.Addr()
	host := s.facts.Host
	if host == "" {
		host = defaultHost
	}
	base := scheme + "://" + net.JoinHostPort(host, strconv.Itoa(addr.Port)) + strings.TrimRight(s.rootPath, "/")
	switch {
	case s.zero:
	case a.records != nil && !a.quiet:
		a.records.Info("Proxy initialized with Config", "models", g.proxy.Models())
	default:
		a.infof("LiteLLM: Proxy initialized with Config, Set models:")
		for _, name := range g.proxy.Models() {
			a.infof("    %s", name)
		}
	}
	a.infof("INFO:     llmgw %s running on %s, answering as LiteLLM %s (Press CTRL+C to quit)", buildVersion(), base, litellm.Compat)
	if probes := g.proxy.HealthAddr(); probes != nil {
		a.infof("INFO:     health routes on port %d", probes.Port)
	}
	if metrics := g.proxy.MetricsAddr(); metrics != nil {
		a.infof("INFO:     metrics on port %d, without a key", metrics.Port)
	}
	if profiles := g.proxy.ProfileAddr(); profiles != nil {
		a.infof("INFO:     profiles on http://%s/debug/pprof/, for this machine only", profiles)
	}
	if s.zero {
		fmt.Fprint(a.out, firstRequest(base, s, g.proxy.Models()))
	}
}

// firstRequest is what a person needs to try the gateway.
func firstRequest(base string, s *settings, models []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "llmgw is running without a configuration.\n\n")
	fmt.Fprintf(&b, "  URL     %s\n", base)
	fmt.Fprintf(&b, "  key     %s\n", s.masterKey.Reveal())
	fmt.Fprintf(&b, "  models  %s\n", strings.Join(slices.Concat(models, s.wildcards), ", "))
	if s.store != "none" {
		fmt.Fprintf(&b, "  state   %s\n", s.store)
	}
	fmt.Fprintf(&b, "\nTry it:\n\n  curl %s/v1/chat/completions -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}'\n\n",
		base, s.masterKey.Reveal(), proxy.ZeroChatModel)
	return b.String()
}
