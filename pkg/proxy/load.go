package proxy

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/account"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/provider"
	"github.com/llmgw/llmgw/pkg/proxy/upstream"
)

// Load translates a configuration into a Config. What it cannot use it leaves
// out and reports: a deployment that cannot serve is disabled by name, the
// others start. Findings of severity Error are reasons for `serve --strict` to
// refuse; whether serve starts at all is decided by package startcheck before.
func Load(tree *config.Tree, userAgent string) (Config, []finding.Finding) {
	l := loader{tree: tree, env: tree.Env(), userAgent: userAgent}
	if own := l.env.Get("LITELLM_USER_AGENT"); own != "" {
		l.userAgent = own
	}
	l.general()
	l.certificates()
	l.router()
	l.cache()
	l.healthChecks()
	l.telemetry()
	l.sinks()
	l.otel()
	l.callbacks()
	l.alerts()
	l.settings()
	l.models()
	l.budgets()
	l.programs()
	l.defaults()
	l.passThrough()
	l.clients()
	l.unserved()
	return l.c, l.findings
}

type loader struct {
	tree      *config.Tree
	env       *config.Env
	userAgent string
	c         Config
	findings  []finding.Finding
	pinged    bool
	probes    probes
	upstreams provider.Settings

	client string // the file of the client certificate
	trusts map[upstream.Trust]*tls.Config
}

func (l *loader) report(s finding.Severity, n *config.Node, format string, args ...any) {
	f := finding.Finding{Severity: s, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		f.Pos, f.Path = n.Where(), n.Path()
	}
	l.findings = append(l.findings, f)
}

// first returns the first of the nodes that is there and not null.
func first(nodes ...*config.Node) *config.Node {
	for _, n := range nodes {
		if !n.IsNull() {
			return n
		}
	}
	return nil
}

func (l *loader) general() {
	g := l.tree.Section("general_settings")
	s := l.tree.Section("litellm_settings")
	own := l.tree.Section("llmgw")
	switch key := g.Get("master_key"); {
	case key != nil:
		l.c.Auth.MasterKey = key.Secret()
	default:
		l.c.Auth.MasterKey = secretOf(l.env, "LITELLM_MASTER_KEY")
	}
	l.c.Auth.KeyHeader = l.text(g.Get("litellm_key_header_name"))
	l.admission(g)
	l.c.API.CompletionModel = l.text(g.Get("completion_model"))
	l.c.API.ImageModel = l.text(g.Get("image_generation_model"))
	l.c.API.ModerationModel = l.text(g.Get("moderation_model"))
	l.c.API.StreamUsage = l.flag(g.Get("always_include_stream_usage"))
	l.c.API.MaxBody = l.megabytes(g.Get("max_request_size_mb"))
	l.c.API.MaxAnswer = l.megabytes(g.Get("max_response_size_mb"))
	if on := l.flag(g.Get("cancel_on_disconnect")); on != nil {
		l.c.API.CancelOnDisconnect = *on
	}
	if on := l.flag(g.Get("block_robots")); on != nil {
		l.c.API.BlockRobots = *on
	}
	l.switches(g, s)
	if on := l.flag(s.Get("force_ipv4")); on != nil {
		l.c.Upstream.IPv4 = *on
	}
	if on := l.flag(g.Get("dangerously_allow_mock_testing_request_params")); on != nil {
		l.c.API.AllowMockTesting = *on
	}
	if n := s.Get("sse_keepalive_ping_interval_seconds"); !n.IsNull() {
		if f := l.number(n, 0, maxSeconds); f != nil {
			l.c.API.Ping = l.pings(n, *f)
		}
	}
	if on := l.flag(g.Get("enable_drain_endpoint")); on != nil {
		l.c.DrainEndpoint = *on
	}
	if token := g.Get("drain_endpoint_token"); !token.IsNull() {
		l.c.API.DrainToken = token.Secret()
	} else {
		l.c.API.DrainToken = secretOf(l.env, "DRAIN_ENDPOINT_TOKEN")
	}
	if on := l.flag(own.Get("version_headers")); on != nil {
		l.c.API.HideVersions = !*on
	}
	for _, item := range s.Get("model_alias_map").Items() {
		if to, ok := item.Str(); ok {
			if l.c.API.ModelAlias == nil {
				l.c.API.ModelAlias = map[string]string{}
			}
			l.c.API.ModelAlias[item.Key] = to
			continue
		}
		l.report(finding.Warning, item, "%s must be a model name", item.Path())
	}
}

// shortestPing keeps a mistaken unit from flooding clients; as in LiteLLM.
const shortestPing, longestPing = time.Second, 300 * time.Second

// pings reads after how much silence a stream gets a comment. What follows for
// errors is said once.
func (l *loader) pings(n *config.Node, seconds float64) time.Duration {
	if seconds == 0 {
		return 0
	}
	if !l.pinged {
		l.pinged = true
		l.report(finding.Warning, n, "%s: a stream that stays silent gets a comment, also before its first event; an error after that arrives as an event under status 200", n.Path())
	}
	return min(max(time.Duration(seconds*float64(time.Second)), shortestPing), longestPing)
}

// text reads a string setting.
func (l *loader) text(n *config.Node) string {
	if n.IsNull() {
		return ""
	}
	s, ok := n.Str()
	if !ok {
		l.report(finding.Warning, n, "%s must be text, not %s; it is left out", n.Path(), n.Kind)
	}
	return s
}

// flag reads a boolean setting; nil when it is absent.
func (l *loader) flag(n *config.Node) *bool {
	if n.IsNull() {
		return nil
	}
	b, ok := n.Bool()
	if !ok {
		l.report(finding.Warning, n, "%s must be true or false, not %s; it is left out", n.Path(), n.Kind)
		return nil
	}
	return &b
}

// number reads a numeric setting within bounds; nil when it is absent or wrong.
func (l *loader) number(n *config.Node, low, high float64) *float64 {
	if n.IsNull() {
		return nil
	}
	f, ok := n.Number()
	if !ok || math.IsNaN(f) || f < low || f > high {
		what := fmt.Sprintf("from %g to %g", low, high)
		if high >= math.MaxFloat64 {
			what = fmt.Sprintf("of at least %g", low)
		}
		l.report(finding.Warning, n, "%s must be a number %s; it is left out", n.Path(), what)
		return nil
	}
	return &f
}

func (l *loader) whole(n *config.Node, low, high float64) *int {
	f := l.number(n, low, high)
	if f == nil {
		return nil
	}
	i := int(*f)
	return &i
}

const maxSeconds = 365 * 24 * 3600

// seconds reads a number of seconds; 0 when it is absent.
func (l *loader) seconds(n *config.Node) time.Duration {
	f := l.number(n, 0, maxSeconds)
	if f == nil {
		return 0
	}
	return time.Duration(*f * float64(time.Second))
}

func (l *loader) megabytes(n *config.Node) int64 {
	f := l.number(n, 0, 1<<20)
	if f == nil {
		return 0
	}
	return max(int64(*f*(1<<20)), 1)
}

func (l *loader) models() {
	ids := map[string]*config.Node{}
	for m := range l.tree.Entries() {
		disabled := func(err error) {
			name, _ := m.Node.Get("model_name").Scalar()
			l.report(finding.Error, first(m.Params.Get("model"), m.Node), "model_list[%d] %q is disabled: %s", m.Index, name, err)
		}
		loaded, err := l.inEnvironment(m)
		if err != nil {
			disabled(err)
		}
		if !loaded {
			continue
		}
		organizations, err := organizations(m.Params)
		if err != nil {
			disabled(err)
			continue
		}
		for i, organization := range organizations {
			d, err := l.deployment(m, organization)
			if err != nil {
				disabled(err)
				break
			}
			if before, taken := ids[d.ID]; taken {
				if id, _ := m.Info.Get("id").Scalar(); id != "" && before != m.Node {
					l.report(finding.Warning, m.Node, "model_info.id %q of model_list[%d] is also the id of the entry at %s; this one gets another", id, m.Index, before.Where())
				}
				d.ID = entryID(m.Node, m.Index)
				if i > 0 {
					d.ID = entryID(m.Node, m.Index, *organization)
				}
			}
			ids[d.ID] = m.Node
			l.deploymentBudget(d.ID, m.Params)
			l.c.Deployments = append(l.c.Deployments, d)
		}
	}
}

// deployment reads one entry of model_list, for one organization of a list where
// there is one.
func (l *loader) deployment(m config.Entry, organization *string) (*call.Deployment, error) {
	name, ok := m.Node.Get("model_name").Scalar()
	if n := m.Node.Get("model_name"); !ok && !n.IsNull() {
		return nil, fmt.Errorf("model_name must be text, not %s", n.Kind)
	}
	if name == "" {
		return nil, errors.New("model_name is missing")
	}
	p := m.Params
	d := &call.Deployment{Group: name, Mode: l.text(m.Info.Get("mode")), Region: l.text(p.Get("region_name"))}
	if id, ok := m.Info.Get("id").Scalar(); ok && id != "" {
		d.ID = id
	} else if d.ID = entryID(m.Node, -1); organization != nil {
		d.ID = entryID(m.Node, -1, *organization)
	}
	l.routing(d, m)
	if err := l.tagPatterns(d, p.Get("tag_regex")); err != nil {
		return nil, err
	}
	d.TLS = l.ownTrust(p.Get("ssl_verify"), name)
	e, err := provider.ReadEntry(p, l.credential(p), l.tree.Get("router_settings.default_litellm_params"))
	if err != nil {
		return nil, err
	}
	if organization != nil && e.Organization == "" {
		e.Organization = *organization
	}
	e.Getenv, e.UserAgent, e.Settings = l.env.Get, l.userAgent, l.upstreams
	e.BaseModel, _ = first(m.Info.Get("base_model"), p.Get("base_model")).Scalar()
	if n := p.Get("mock_response"); !n.IsNull() {
		text, ok := n.Scalar()
		if !ok {
			return nil, fmt.Errorf("mock_response must be text, not %s", n.Kind)
		}
		d.MockResponse = &text
	}
	switch err := e.Deploy(d, wire.Chat); {
	case err != nil && d.MockResponse == nil:
		return nil, err
	case d.Mode != "" && d.Mode != "chat" && d.Mode != "responses":
		d.Lane = nil // listed, but not for chat completions
	}
	l.describe(d, m, organization)
	d.Price = l.prices(m).Lookup(d.Provider, d.Model)
	d.KeepModel = strings.Contains(d.Model, "model-router") || strings.Contains(d.Model, "model_router")
	return d, nil
}

// credential is the entry of credential_list that a deployment names; nil when
// it names none.
func (l *loader) credential(p *config.Node) *config.Node {
	n := p.Get("litellm_credential_name")
	name := l.text(n)
	if name == "" {
		return nil
	}
	for _, item := range l.tree.Section("credential_list").Items() {
		if text, _ := item.Get("credential_name").Scalar(); text == name {
			return item.Get("credential_values")
		}
	}
	l.report(finding.Warning, n, "%s: credential_list has no %q; the entry is served without it, as in LiteLLM: with keys of litellm_settings or of variables", n.Path(), name)
	return nil
}

// prices is what an entry says about its price; where it says nothing the price
// list is asked.
func (l *loader) prices(m config.Entry) account.Prices {
	p := account.Prices{}
	for _, section := range []*config.Node{m.Params, m.Info} {
		for _, n := range section.Items() {
			if text, ok := n.Scalar(); ok {
				p.Overrides.Set(n.Key, text)
			}
		}
	}
	p.BaseModel, _ = first(m.Info.Get("base_model"), m.Params.Get("base_model")).Scalar()
	return p
}

// entryID names an entry without model_info.id by what it says, so that the
// name survives a restart. Secrets are part of the hash, which does not show
// them; salt tells equal entries apart.
func entryID(n *config.Node, salt int, more ...string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", salt)
	for item := range n.Walk() {
		text, _ := item.Scalar()
		if item.IsScalar() {
			text = item.Secret().Reveal()
		}
		fmt.Fprintf(h, "%q %q\n", item.Path()[len(n.Path()):], text)
	}
	for _, text := range more {
		fmt.Fprintf(h, "%q\n", text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func secretOf(env *config.Env, name string) redact.Secret { return redact.New(env.Get(name)) }
