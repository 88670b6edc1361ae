package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/coord"
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
	// Shared lets instances take turns through Redis; SharedTTL is how long a
	// round counts, SharedLock how long an instance may take for one.
	Shared bool
	// SkipDisabled leaves deployments that the background does not check out of
	// /health, too.
	SkipDisabled bool
	// Listed lets listings leave out what does not work; AllListed keeps them from
	// that, because failures are counted in another way.
	Listed, AllListed     bool
	SharedTTL, SharedLock time.Duration
}

// DefaultProbePrompt is what a deployment is asked.
const DefaultProbePrompt = "test from litellm"

// probeTokens bound the answer where nobody says otherwise; LiteLLM asks for as
// many, which is the least that some APIs take.
const (
	probeTokens = 16
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
	late := func() bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }
	target, err := wire.TargetFor(lane, model)
	if err != nil {
		return classify.Stream(d, err)
	}
	header, bearer, err := target.Headers(ctx, false)
	if err != nil {
		if late() {
			return classify.Timeout(d, call.Limits{Timeout: time.Since(begin)}, false)
		}
		return classify.Token(d, err)
	}
	resp, lease, err := p.upstream.Do(ctx, &call.Request{Method: http.MethodPost, URL: target.URL, TLS: target.TLS, Header: header, Body: out, Deadline: deadline})
	defer lease.Done()
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
		if resp.Status == http.StatusUnauthorized && bearer != nil {
			target.Token.Refused(bearer)
		}
		return classify.Status(d, resp.Status, resp.Header, answer)
	case err != nil && late():
		return classify.Timeout(d, limits, false)
	case err != nil:
		return classify.Transport(d, err)
	}
	if d.Mode == "audio_speech" {
		return nil // sound
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
	prompt := d.Health.Prompt
	if prompt == "" {
		prompt = DefaultProbePrompt
	}
	bounded := func(members map[string]any) map[string]any {
		if tokens := d.Health.MaxTokens; tokens > 0 {
			members["max_tokens"] = tokens
		}
		return members
	}
	var op wire.Op
	var members map[string]any
	switch d.Mode {
	case "", "chat":
		lane, _ := d.Lane.(wire.Lane)
		return lane, bounded(map[string]any{"messages": []map[string]string{{"role": "user", "content": prompt}}})
	case "completion":
		op, members = wire.Completions, bounded(map[string]any{"prompt": prompt})
	case "embedding":
		op, members = wire.Embeddings, map[string]any{"input": []string{prompt}}
	case "responses":
		op, members = wire.Responses, map[string]any{"input": prompt}
	case "rerank":
		op, members = wire.Rerank, map[string]any{"query": prompt, "documents": []string{"a text"}}
	case "moderation", "moderations":
		op, members = wire.Moderations, map[string]any{"input": prompt}
	case "audio_speech":
		voice := d.Health.Voice
		if voice == "" {
			voice = "alloy"
		}
		op, members = wire.Speech, map[string]any{"input": prompt, "voice": voice}
	case "image_generation":
		op, members = wire.Images, map[string]any{"prompt": prompt}
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
	var turns call.SharedChecks
	if s := p.sharedChecks(h); s != nil && h.Background {
		turns = s
	}
	return health.New(health.Options{
		Shared: turns, Details: h.Details, SkipDisabled: h.SkipDisabled,
		Probe: p.probe, Deployments: p.router.Deployments, Background: h.Background, Interval: h.Interval, Concurrency: h.Concurrency,
		Groups: h.Groups, Staleness: h.Staleness, IgnoreTransient: h.IgnoreTransient, Unhealthy: p.router.Unhealthy, Round: round, Log: p.log,
	})
}

// sharedChecks are how instances take turns; nil where they do not.
func (p *Proxy) sharedChecks(h *HealthConfig) *coord.Checks {
	r := p.config.Redis
	if !h.Shared || r == nil {
		return nil
	}
	g := p.shared.guard(r.Params, p.config.Breaker)
	if g == nil {
		return nil
	}
	p.turns.Do(func() { p.taking = coord.NewChecks(g, r.Namespace, h.SharedTTL, h.SharedLock) })
	return p.taking
}

// SharedStatus implements api.Health.
func (p *Proxy) SharedStatus(ctx context.Context) any {
	h := p.live.Load().given.Health
	if !h.Shared {
		return nil
	}
	if s := p.sharedChecks(&h); s != nil {
		return s.Status(ctx)
	}
	return false
}

// Unlisted implements api.Health.
func (p *Proxy) Unlisted() map[string]bool {
	now := p.live.Load()
	h := &now.given.Health
	if h.AllListed || !h.Listed && !now.given.Router.HealthRouting {
		return nil
	}
	bad := now.health.Unhealthy()
	if len(bad) == 0 {
		return nil
	}
	unlisted := map[string]bool{}
	for _, d := range p.router.Deployments() {
		for _, name := range [...]string{d.Group, d.TeamName} {
			if all, known := unlisted[name]; name != "" && (all || !known) {
				unlisted[name] = bad[d.ID]
			}
		}
	}
	return unlisted
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
