package proxy

import (
	"math"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/route"
)

func (l *loader) router() {
	r := l.tree.Section("router_settings")
	s := l.tree.Section("litellm_settings")
	view := l.tree.Router()
	// router_settings wins over litellm_settings where both have a name.
	either := func(name string) *config.Node { return first(r.Get(name), s.Get(name)) }
	// A list that is empty counts as absent.
	list := func(name string) *config.Node {
		for _, n := range []*config.Node{r.Get(name), s.Get(name)} {
			if !n.IsNull() && (n.Len() > 0 || n.IsScalar()) {
				return n
			}
		}
		return nil
	}
	o := &l.c.Router
	o.NumRetries = l.whole(either("num_retries"), 0, 1000)
	if o.NumRetries == nil && view.NumRetries.V >= 0 && view.NumRetries.V <= 1000 {
		o.NumRetries = &view.NumRetries.V // DEFAULT_MAX_RETRIES, else 2
	}
	o.RetryAfter = l.seconds(r.Get("retry_after"))
	if v := l.tree.LiteLLM().RequestTimeout.V; v > 0 && v <= maxSeconds {
		o.Timeout = time.Duration(v * float64(time.Second))
	}
	if t := l.seconds(r.Get("timeout")); t > 0 {
		o.Timeout = t
	}
	o.StreamTimeout = l.seconds(r.Get("stream_timeout"))
	o.CooldownTime = l.seconds(r.Get("cooldown_time"))
	if v := view.CooldownTime.V; o.CooldownTime == 0 && v > 0 && v <= maxSeconds {
		o.CooldownTime = time.Duration(v * float64(time.Second)) // DEFAULT_COOLDOWN_TIME_SECONDS, else 5
	}
	o.MaxCooldown = l.seconds(l.tree.Section("llmgw").Get("max_cooldown_time"))
	on := func(n *config.Node) bool {
		b := l.flag(n)
		return b != nil && *b
	}
	o.DisableCooldowns = on(r.Get("disable_cooldowns"))
	o.AllowedFails = l.whole(r.Get("allowed_fails"), 0, 1e9)
	o.GlobalAllowedFails = l.whole(s.Get("allowed_fails"), 0, 1e9)
	o.AllowedFailsPolicy = l.allowedFails(r.Get("allowed_fails_policy"))
	o.PreCallChecks = on(r.Get("enable_pre_call_checks"))
	o.TagFiltering = on(r.Get("enable_tag_filtering"))
	if one := l.flag(r.Get("tag_filtering_match_any")); one != nil {
		o.MatchAllTags = !*one
	}
	l.c.API.Routing.Tags = o.TagFiltering
	o.TagPrefix = l.text(r.Get("tag_routing_prefix"))
	o.MaxFallbacks = l.whole(either("max_fallbacks"), 0, 1000)
	if o.MaxFallbacks == nil && view.MaxFallbacks.V >= 0 && view.MaxFallbacks.V <= 1000 {
		o.MaxFallbacks = &view.MaxFallbacks.V // ROUTER_MAX_FALLBACKS, else 5
	}
	o.Fallbacks = l.fallbacks(list("fallbacks"))
	if n := list("default_fallbacks"); n != nil {
		o.Fallbacks = append(o.Fallbacks, route.Fallback{Group: "*", To: l.names(n)})
	}
	o.ContextWindowFallbacks = l.fallbacks(list("context_window_fallbacks"))
	o.ContentPolicyFallbacks = l.fallbacks(list("content_policy_fallbacks"))
	o.RetryPolicy = l.retryPolicy(r.Get("retry_policy"))
	for _, n := range r.Get("model_group_retry_policy").Items() {
		if o.GroupRetryPolicy == nil {
			o.GroupRetryPolicy = map[string]*route.RetryPolicy{}
		}
		o.GroupRetryPolicy[n.Key] = l.retryPolicy(n)
	}
	for _, n := range r.Get("model_group_alias").Items() {
		var a route.Alias
		if n.Kind == config.Map {
			a.Model = l.text(n.Get("model"))
			if on := l.flag(n.Get("hidden")); on != nil {
				a.Hidden = *on
			}
		} else {
			a.Model = l.text(n)
		}
		if a.Model == "" {
			l.report(finding.Warning, n, "%s names no model; it is left out", n.Path())
			continue
		}
		if o.Aliases == nil {
			o.Aliases = map[string]route.Alias{}
		}
		o.Aliases[n.Key] = a
	}
	o.Provider = func(model string) string {
		provider, _, reason := catalog.Split(model, catalog.Params{})
		if !reason.Found() {
			return ""
		}
		return provider
	}
	l.strategy(r)
	l.checks(r)
}

// strategy reads routing_strategy, whose words have been checked before serving
// starts.
func (l *loader) strategy(r *config.Node) {
	n := r.Get("routing_strategy")
	name := l.text(n)
	if name == "" {
		return
	}
	s, ok := route.Strategies[name]
	if !ok {
		l.report(finding.Warning, n, "routing_strategy %q is not served by this build; simple-shuffle is used", name)
		return
	}
	if latency, ok := s.(route.LatencyBased); ok {
		args := r.Get("routing_strategy_args")
		latency.TTL = l.seconds(args.Get("ttl"))
		if f := l.number(args.Get("lowest_latency_buffer"), 0, 1e6); f != nil {
			latency.Buffer = *f
		}
		if i := l.whole(args.Get("max_latency_list_size"), 1, 1e6); i != nil {
			latency.Samples = *i
		}
		s = latency
	}
	l.c.Router.Strategy = s
}

// fallbacks reads a list of one-key mappings. Its shape has been checked before
// serving starts; what is wrong nevertheless is left out by name.
func (l *loader) fallbacks(n *config.Node) []route.Fallback {
	if n.IsNull() {
		return nil
	}
	list := []route.Fallback{} // not nil: configured
	for _, item := range n.Items() {
		if item.Kind != config.Map || item.Len() != 1 {
			l.report(finding.Warning, item, "%s must be a mapping of one model to its fallbacks; it is left out", item.Path())
			continue
		}
		entry := item.Items()[0]
		list = append(list, route.Fallback{Group: entry.Key, To: l.names(entry)})
	}
	return list
}

func (l *loader) names(n *config.Node) (names []string) {
	if s, ok := n.Str(); ok {
		return []string{s}
	}
	for _, item := range n.Items() {
		if s, ok := item.Str(); ok {
			names = append(names, s)
			continue
		}
		l.report(finding.Warning, item, "%s must be a model name; it is left out", item.Path())
	}
	return names
}

func (l *loader) retryPolicy(n *config.Node) *route.RetryPolicy {
	if n.IsNull() {
		return nil
	}
	p := &route.RetryPolicy{}
	fields := map[string]**int{
		"BadRequestErrorRetries": &p.BadRequest, "AuthenticationErrorRetries": &p.Authentication,
		"TimeoutErrorRetries": &p.Timeout, "RateLimitErrorRetries": &p.RateLimit,
		"ContentPolicyViolationErrorRetries": &p.ContentPolicy, "InternalServerErrorRetries": &p.InternalServer,
		"ServiceUnavailableErrorRetries": &p.ServiceUnavailable, "NotFoundErrorRetries": &p.NotFound,
		"DefaultRetries": &p.Default,
	}
	for _, item := range n.Items() {
		field, ok := fields[item.Key]
		if !ok {
			continue // said by the reader of the file
		}
		*field = l.whole(item, 0, 1000)
	}
	return p
}

// allowedFails reads a policy by class of error; nil when there is none.
func (l *loader) allowedFails(n *config.Node) map[call.Class]int {
	if n.IsNull() {
		return nil
	}
	policy := map[call.Class]int{}
	for _, item := range n.Items() {
		class, ok := route.AllowedFailsFields[item.Key]
		if !ok {
			l.report(finding.Warning, item, "%s is not a field of a policy for allowed fails", item.Path())
			continue
		}
		if i := l.whole(item, 0, 1e9); i != nil {
			policy[class] = *i
		}
	}
	return policy
}

// routing reads what the router wants to know of a deployment.
func (l *loader) routing(d *call.Deployment, m config.Entry) {
	p, info := m.Params, m.Info
	d.Configured, _ = p.Get("model").Scalar()
	limit := func(name string) float64 {
		if f := l.number(first(p.Get(name), info.Get(name)), 0, math.MaxFloat64); f != nil {
			return *f
		}
		return 0
	}
	if f := l.number(p.Get("weight"), 0, math.MaxFloat64); f != nil {
		d.Weight = *f
	}
	d.RPM, d.TPM = limit("rpm"), limit("tpm")
	if n := l.whole(first(p.Get("order"), info.Get("order")), 0, 1e6); n != nil {
		d.Order = *n
	}
	d.NumRetries = l.whole(p.Get("num_retries"), 0, 1000)
	d.Timeout = l.seconds(first(p.Get("timeout"), p.Get("request_timeout")))
	d.StreamTimeout = l.seconds(p.Get("stream_timeout"))
	if n := p.Get("keepalive_seconds"); !n.IsNull() {
		if f := l.number(n, 0, maxSeconds); f != nil {
			t := l.pings(n, *f)
			d.Keepalive = &t
		}
	}
	if n := first(p.Get("cooldown_time"), info.Get("cooldown_time")); !n.IsNull() {
		t := l.seconds(n)
		d.Cooldown = &t
	}
	d.AllowedFails = l.whole(info.Get("allowed_fails"), 0, 1e9)
	d.AllowedFailsFor = l.allowedFails(info.Get("allowed_fails_policy"))
	d.TeamID, d.TeamName = l.text(info.Get("team_id")), l.text(info.Get("team_public_model_name"))
	d.Tags = l.names(p.Get("tags"))
	d.FailOpen = set(l.flag(info.Get("allow_fail_open")), true)
	if d.TagFiltering = l.flag(info.Get("enable_tag_filtering")); d.TagFiltering != nil && *d.TagFiltering {
		l.c.API.Routing.Tags = true
	}
	is := func(name string, value bool) bool {
		b := l.flag(info.Get(name))
		return b != nil && *b == value
	}
	d.Paused = is("blocked", true)
	d.NoWebSearch = is("supports_web_search", false)
	l.c.API.Routing.WebSearch = l.c.API.Routing.WebSearch || d.NoWebSearch
	d.NoHealthCheck = is("disable_background_health_check", true)
	l.wildcard(d.Group, m.Node.Get("model_name"))
	l.healthOf(d, m)
	d.MaxParallel = l.parallel(p)
	o := &l.c.Router
	_, byCost := o.Strategy.(route.CostBased)
	if !o.PreCallChecks && !byCost {
		return
	}
	var own catalog.Overrides
	for _, section := range []*config.Node{p, info} {
		for _, n := range section.Items() {
			if text, ok := n.Scalar(); ok {
				own.Set(n.Key, text)
			}
		}
	}
	model, _ := p.Get("model").Scalar()
	base, _ := first(info.Get("base_model"), p.Get("base_model")).Scalar()
	price, limits, _, _ := catalog.Model(model, base, own)
	d.MaxInput = limits.Input
	// A price per token, as the list has it for short prompts.
	cost := price.Cost(catalog.Usage{Prompt: 1, Completion: 1})
	d.TokenPrice = cost.Total
}

// parallel is how many attempts a deployment takes at once: what is written,
// else what follows from its limits a minute, else the router's number.
func (l *loader) parallel(p *config.Node) int {
	number := func(n *config.Node) *float64 { return l.number(n, 0, 1e9) }
	if f := number(p.Get("max_parallel_requests")); f != nil {
		return int(*f)
	}
	if f := number(p.Get("rpm")); f != nil {
		return int(*f)
	}
	if f := number(p.Get("tpm")); f != nil {
		return max(int(*f/1000*6), 1)
	}
	if f := number(l.tree.Section("router_settings").Get("default_max_parallel_requests")); f != nil {
		return int(*f)
	}
	return 0
}

// wildcard warns of a pattern that matches less than in LiteLLM, where only its
// beginning counts.
func (l *loader) wildcard(name string, n *config.Node) {
	if strings.Contains(name, "*") && !strings.HasSuffix(name, "*") {
		l.report(finding.Warning, n, "model_name %q matches whole names here; in LiteLLM it also matches names that go on after it. Write %q for that", name, name+"*")
	}
}
