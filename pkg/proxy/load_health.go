package proxy

import (
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

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
	if n := g.Get("health_check_interval"); !n.IsNull() {
		h.Interval = l.seconds(n)
	} else if f := l.variable("DEFAULT_HEALTH_CHECK_INTERVAL"); f != nil {
		h.Interval = time.Duration(*f * float64(time.Second))
	}
	l.probes.prompt = l.env.Get("DEFAULT_HEALTH_CHECK_PROMPT")
	if f := l.variable("HEALTH_CHECK_TIMEOUT_SECONDS"); f != nil {
		l.probes.timeout = time.Duration(*f * float64(time.Second))
	}
	l.probes.tokens = l.variable("BACKGROUND_HEALTH_CHECK_MAX_TOKENS")
	l.probes.reasoning = l.variable("BACKGROUND_HEALTH_CHECK_MAX_TOKENS_REASONING")
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
	h.SkipDisabled = on(g.Get("health_check_skip_disabled_background_models"))
	h.Listed, h.AllListed = on(g.Get("model_list_healthy_only")), !r.Get("allowed_fails_policy").IsNull()
	if n := g.Get("model_list_healthy_only"); h.Listed && !h.Background {
		l.report(finding.Warning, n, "model_list_healthy_only has no effect without general_settings.background_health_checks: nothing is known to hide")
	}
	l.c.API.HealthyOnly = h.Listed
	h.Shared = on(g.Get("use_shared_health_check"))
	if f := l.variable("DEFAULT_SHARED_HEALTH_CHECK_TTL"); f != nil {
		h.SharedTTL = time.Duration(*f * float64(time.Second))
	}
	if f := l.variable("DEFAULT_SHARED_HEALTH_CHECK_LOCK_TTL"); f != nil {
		h.SharedLock = time.Duration(*f * float64(time.Second))
	}
	switch n := g.Get("use_shared_health_check"); {
	case !h.Shared:
	case !h.Background:
		l.report(finding.Warning, n, "use_shared_health_check has no effect without general_settings.background_health_checks")
	case l.c.Redis == nil:
		l.report(finding.Warning, n, "use_shared_health_check has no effect without Redis: every instance asks on its own. Set general_settings.coordination_redis, or router_settings.redis_host and redis_port")
	}
	l.c.Health = h
	l.c.Router.HealthRouting = h.Background && on(either("enable_health_check_routing"))
	if n := either("enable_health_check_routing"); on(n) && !h.Background {
		l.report(finding.Warning, n, "enable_health_check_routing has no effect without general_settings.background_health_checks")
	}
}

// probes are what variables say about the checks of all deployments.
type probes struct {
	prompt            string
	timeout           time.Duration
	tokens, reasoning *float64
}

// variable reads a number above 0 that a variable holds; nil when it holds none.
func (l *loader) variable(name string) *float64 {
	text := strings.TrimSpace(l.env.Get(name))
	if text == "" {
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f > 0 && f <= maxSeconds) {
		l.report(finding.Warning, nil, "%s is not a usable number; it is left out", name)
		return nil
	}
	return &f
}

// healthOf reads how a deployment is checked.
func (l *loader) healthOf(d *call.Deployment, m config.Entry) {
	info := m.Info
	d.Health.Model = l.text(info.Get("health_check_model"))
	d.Health.Prompt = l.probes.prompt
	d.Health.Voice = l.text(info.Get("health_check_voice"))
	if d.Health.Timeout = l.seconds(info.Get("health_check_timeout")); d.Health.Timeout == 0 {
		d.Health.Timeout = l.probes.timeout
	}
	d.Health.MaxTokens = l.probeTokens(m)
}

// probeTokens is the longest answer to a check of a deployment, by what is said
// closest to it; 0 leaves it to the model, as for wildcards of which nothing is
// known.
func (l *loader) probeTokens(m config.Entry) int {
	if n := l.whole(m.Info.Get("health_check_max_tokens"), 1, 1e6); n != nil {
		return *n
	}
	name, _ := m.Params.Get("model").Scalar()
	wildcard := strings.Contains(name, "*")
	thinks := l.whole(m.Info.Get("health_check_max_tokens_reasoning"), 1, 1e6)
	other := l.whole(m.Info.Get("health_check_max_tokens_non_reasoning"), 1, 1e6)
	if !wildcard && (thinks != nil || other != nil || l.probes.reasoning != nil) {
		reasons := l.reasons(m)
		switch {
		case reasons && thinks != nil:
			return *thinks
		case !reasons && other != nil:
			return *other
		case reasons && l.probes.reasoning != nil:
			return int(*l.probes.reasoning)
		}
	}
	switch {
	case l.probes.tokens != nil:
		return int(*l.probes.tokens)
	case wildcard:
		return 0
	}
	return probeTokens
}

// reasons says whether a model thinks before it answers.
func (l *loader) reasons(m config.Entry) bool {
	if on := l.flag(m.Info.Get("supports_reasoning")); on != nil {
		return *on
	}
	model, _ := m.Params.Get("model").Scalar()
	base, _ := first(m.Info.Get("base_model"), m.Params.Get("base_model")).Scalar()
	_, _, caps, _ := catalog.Model(model, base, catalog.Overrides{})
	return caps.Reasoning
}
