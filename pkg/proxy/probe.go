package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/health"
	"github.com/llmgw/llmgw/pkg/proxy/provider"
)

// HealthConfig is what general_settings says about health checks.
type HealthConfig struct {
	Background      bool
	Interval        time.Duration
	Concurrency     int
	Groups          []string
	Staleness       time.Duration
	IgnoreTransient bool
	// Details shows addresses and errors in the answer of /health.
	Details bool
}

// DefaultProbePrompt is what a deployment is asked.
const DefaultProbePrompt = "test from litellm"

const (
	probeTokens = 5
	probeAnswer = 1 << 20
)

// errCannotAsk says that a deployment is not one that can be checked here.
var errCannotAsk = call.NewError(http.StatusBadRequest, "", "", "health checks do not know how to ask this deployment")

// probe makes one small request of a deployment, past the router: a check must
// reach what calls do not.
func (p *Proxy) probe(ctx context.Context, d *call.Deployment) *call.Error {
	if d.MockResponse != nil {
		return nil
	}
	lane, members := probeWay(d)
	model := d.Health.Model
	if lane == nil || model == "" && strings.Contains(d.Model, "*") {
		return errCannotAsk
	}
	if model == "" {
		model = d.Model
	} else if _, bare, found := strings.Cut(model, d.Provider+"/"); found {
		model = bare
	}
	members["model"] = model
	body, _ := json.Marshal(members)
	var request splice.Request
	if err := request.Scan(body); err != nil {
		return call.AsError(err)
	}
	var classify provider.Classifier
	exchange := lane.Open(wire.Options{Request: &request, Model: model})
	defer exchange.Close()
	out, err := exchange.AppendRequest(nil)
	if err != nil {
		return classify.Stream(d, err)
	}
	begin := time.Now()
	deadline, _ := ctx.Deadline()
	resp, lease, err := p.upstream.Do(ctx, &call.Request{
		Method: http.MethodPost, URL: lane.Target().URL, TLS: lane.Target().TLS, Header: lane.Target().Header, Body: out, Deadline: deadline,
	})
	defer lease.Done()
	late := func() bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }
	limits := call.Limits{Timeout: time.Since(begin)}
	if err != nil {
		if late() {
			return classify.Timeout(d, limits, false)
		}
		return classify.Transport(d, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, probeAnswer))
	switch {
	case resp.Status < 200 || resp.Status >= 300:
		return classify.Status(d, resp.Status, resp.Header, answer)
	case err != nil && late():
		return classify.Timeout(d, limits, false)
	case err != nil:
		return classify.Transport(d, err)
	}
	if _, err := exchange.AppendAnswer(nil, answer); err != nil {
		if errors.Is(err, splice.ErrNotJSON) {
			return classify.Invalid(d, resp.Status, resp.Header, answer)
		}
		return classify.Stream(d, err)
	}
	return nil
}

// probeWay is the way to ask a deployment of its mode, and what is asked; nil
// for modes that need a file, or answer with one.
func probeWay(d *call.Deployment) (wire.Lane, map[string]any) {
	tokens := d.Health.MaxTokens
	if tokens <= 0 {
		tokens = probeTokens
	}
	var op wire.Op
	var members map[string]any
	switch d.Mode {
	case "", "chat":
		lane, _ := d.Lane.(wire.Lane)
		return lane, map[string]any{"max_tokens": tokens, "messages": []map[string]string{{"role": "user", "content": DefaultProbePrompt}}}
	case "completion":
		op, members = wire.Completions, map[string]any{"max_tokens": tokens, "prompt": DefaultProbePrompt}
	case "embedding":
		op, members = wire.Embeddings, map[string]any{"input": []string{DefaultProbePrompt}}
	case "responses":
		op, members = wire.Responses, map[string]any{"input": DefaultProbePrompt}
	case "rerank":
		op, members = wire.Rerank, map[string]any{"query": DefaultProbePrompt, "documents": []string{"a text"}}
	case "moderation", "moderations":
		op, members = wire.Moderations, map[string]any{"input": DefaultProbePrompt}
	case "image_generation":
		op, members = wire.Images, map[string]any{"prompt": DefaultProbePrompt}
	default:
		return nil, nil
	}
	ways, ok := d.Lanes.(wire.Lanes)
	if !ok {
		return nil, nil
	}
	lane, err := ways.Lane(op)
	if err != nil {
		return nil, nil
	}
	return lane, members
}

// checks starts the health checks that a configuration asks for.
func (p *Proxy) checks(h *HealthConfig) *health.Checker {
	round := func(states map[string]call.Health) {
		if c := p.shared.coord.Load(); c != nil {
			c.Checked(states)
		}
	}
	return health.New(health.Options{
		Probe: p.probe, Deployments: p.router.Deployments, Background: h.Background, Interval: h.Interval, Concurrency: h.Concurrency,
		Groups: h.Groups, Staleness: h.Staleness, IgnoreTransient: h.IgnoreTransient, Unhealthy: p.router.Unhealthy, Round: round, Log: p.log,
	})
}

// Checked implements api.Health.
func (p *Proxy) Checked(ctx context.Context, group, id string) []api.Checked {
	now := p.live.Load()
	var list []api.Checked
	for _, r := range now.health.Results(ctx, group, id) {
		c := api.Checked{Deployment: r.Deployment, Err: r.Err, Hidden: !now.details}
		list = append(list, c)
	}
	return list
}

// healthChecks reads what general_settings, or router_settings, say about
// health checks.
func (l *loader) healthChecks() {
	g, r := l.tree.Section("general_settings"), l.tree.Section("router_settings")
	either := func(name string) *config.Node { return first(g.Get(name), r.Get(name)) }
	on := func(n *config.Node) bool {
		b := l.flag(n)
		return b != nil && *b
	}
	h := HealthConfig{Background: on(g.Get("background_health_checks")), Details: true}
	h.Interval = l.seconds(g.Get("health_check_interval"))
	if n := l.whole(g.Get("health_check_concurrency"), 1, 1e6); n != nil {
		h.Concurrency = *n
	}
	if n := either("background_health_check_model_groups"); n != nil {
		h.Groups = append([]string{}, l.names(n)...)
	}
	h.Staleness = l.seconds(either("health_check_staleness_threshold"))
	h.IgnoreTransient = on(either("health_check_ignore_transient_errors"))
	if details := l.flag(g.Get("health_check_details")); details != nil {
		h.Details = *details
	}
	l.c.Health = h
	l.c.Router.HealthRouting = h.Background && on(either("enable_health_check_routing"))
	if n := either("enable_health_check_routing"); on(n) && !h.Background {
		l.report(finding.Warning, n, "enable_health_check_routing has no effect without general_settings.background_health_checks")
	}
}

// healthOf reads how a deployment is checked.
func (l *loader) healthOf(d *call.Deployment, info *config.Node) {
	d.Health.Model = l.text(info.Get("health_check_model"))
	d.Health.Timeout = l.seconds(info.Get("health_check_timeout"))
	if n := l.whole(info.Get("health_check_max_tokens"), 1, 1e6); n != nil {
		d.Health.MaxTokens = *n
	}
}
