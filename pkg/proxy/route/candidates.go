package route

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// pick chooses a deployment, avoiding the one that has just failed where there
// is another. The deployment's slot is taken.
func (r *run) pick(ctx context.Context, g *group, order int, failed *Node) (*Node, *call.Error) {
	now := r.s.o.mono()
	if failed == nil && !g.hasOrder && !g.slots && !r.s.counts &&
		(g.byID || !g.filtered && g.coolUntil != nil && g.coolUntil.Load() <= now) {
		if p, ok := g.picker.(anyPicker); ok {
			return p.PickAny(), nil
		}
	}
	var space [16]*Node
	candidates, err := r.candidates(space[:0], g, now, order)
	if err != nil {
		return nil, err
	}
	if failed != nil && len(candidates) > 1 {
		candidates = slices.DeleteFunc(candidates, func(n *Node) bool { return n.state == failed.state })
	}
	if failed == nil && (!g.hasOrder || order == g.orders[0]) && r.ties(g) {
		// A retry goes elsewhere: what has just failed is no place to stay.
		if n := r.tied(ctx, g, candidates); n != nil {
			candidates = append(candidates[:0], n)
		}
	}
	q := Query{Now: now, Minute: utcMinute(r.s.o.wall()), Stream: r.p.Stream, tokens: r.p.InputTokens}
	for len(candidates) > 0 {
		n := g.picker.Pick(candidates, &q)
		if n == nil {
			return nil, r.s.overLimits(r.p.Model)
		}
		if !g.slots && !r.s.counts {
			return n, nil
		}
		if n.take() {
			if r.s.counts {
				n.state.use.add(q.Minute, 1, 0)
			}
			if r.s.o.EnforceLimits {
				if err := r.admit(ctx, n, q.Minute); err != nil {
					n.state.running.Add(-1)
					r.s.failed(n, err, false)
					return nil, err
				}
			}
			return n, nil
		}
		candidates = slices.DeleteFunc(candidates, func(other *Node) bool { return other == n })
	}
	return nil, slotsTaken(g)
}

// take takes one of the deployment's slots.
func (n *Node) take() bool {
	running := n.state.running.Add(1)
	if n.MaxParallel > 0 && running > int64(n.MaxParallel) {
		n.state.running.Add(-1)
		return false
	}
	return true
}

// candidates appends the deployments that may serve the call, at one order, or
// says why there is none. The filters run in LiteLLM's order.
func (r *run) candidates(list []*Node, g *group, now int64, order int) ([]*Node, *call.Error) {
	s := r.s
	if g.byID {
		return append(list, g.nodes[0]), nil // cooldowns do not count there
	}
	web, healthy := r.p.WebSearch, s.o.HealthRouting
	if healthy {
		healthy = slices.ContainsFunc(g.nodes, func(n *Node) bool { return n.state.unhealthyUntil.Load() <= now })
	}
	sick := func(n *Node) bool {
		return web && n.NoWebSearch || healthy && n.state.unhealthyUntil.Load() > now
	}
	for _, n := range g.nodes {
		if n.state.coolUntil.Load() <= now && !sick(n) {
			list = append(list, n)
		}
	}
	if len(list) == 0 && s.o.HealthRouting && s.o.AllowedFailsPolicy != nil {
		// Background checks say it works: that is above what calls have seen.
		for _, n := range g.nodes {
			if !sick(n) {
				list = append(list, n)
			}
		}
	}
	if g.filtered {
		list = slices.DeleteFunc(list, func(n *Node) bool { return n.Paused })
		var err *call.Error
		if s.o.PreCallChecks && len(list) > 0 {
			if list, err = r.preCall(list, now); err != nil {
				return nil, err
			}
		}
		if g.tags && len(list) > 0 {
			if list, err = r.tagged(list, g); err != nil {
				return nil, err
			}
		}
	}
	if g.budgets && len(list) > 0 {
		var err *call.Error
		if list, err = r.withinBudget(list); err != nil {
			return nil, err
		}
	}
	if g.hasOrder {
		list = slices.DeleteFunc(list, func(n *Node) bool { return n.Order != order })
	}
	if len(list) == 0 {
		return nil, s.noneLeft(r.p.Model, g, now)
	}
	return list, nil
}

// left reports whether another attempt in the group would find a deployment.
func (r *run) left(g *group, order int) bool {
	var space [16]*Node
	list, _ := r.candidates(space[:0], g, r.s.o.mono(), order)
	return len(list) > 0
}

// preCall leaves out what is too small for the prompt, and what has had its
// requests of this minute.
func (r *run) preCall(list []*Node, now int64) ([]*Node, *call.Error) {
	tokens, counted := int64(0), false
	var tooSmall strings.Builder
	limited := false
	minute := utcMinute(r.s.o.wall())
	var kept []*Node
	for _, n := range list {
		if n.MaxInput > 0 && r.p.InputTokens != nil {
			if !counted {
				tokens, counted = r.p.InputTokens(), true
			}
			if tokens > n.MaxInput {
				fmt.Fprintf(&tooSmall, "Model=%s, Max Input Tokens=%d, Got=%d", n.Model, n.MaxInput, tokens)
				continue
			}
		}
		if _, v2 := r.s.o.Strategy.(UsageV2); n.RPM > 0 && !v2 {
			if requests, _ := n.state.use.total(minute); float64(requests) >= n.RPM {
				limited = true
				continue
			}
		}
		kept = append(kept, n)
	}
	switch {
	case len(kept) > 0:
		return kept, nil
	case limited:
		return nil, r.s.overLimits(r.p.Model)
	}
	e := call.NewError(http.StatusBadRequest, call.None, call.None,
		"litellm.ContextWindowExceededError: litellm._pre_call_checks: Context Window exceeded for given call. No models have context window large enough for this call.\n"+tooSmall.String())
	e.Class = call.ClassContextWindowExceeded
	return nil, e
}

// withinBudget leaves out who has spent what it may.
func (r *run) withinBudget(list []*Node) ([]*Node, *call.Error) {
	var why strings.Builder
	list = slices.DeleteFunc(list, func(n *Node) bool {
		reason := r.s.o.Budgets.Over(n.Deployment, r.p.Tags)
		why.WriteString(reason)
		return reason != ""
	})
	if len(list) > 0 {
		return list, nil
	}
	return nil, call.NewError(http.StatusTooManyRequests, "internal_server_error", "", "No deployments available - crossed budget: "+why.String())
}

// tagged keeps the deployments that a call's tags lead to.
func (r *run) tagged(list []*Node, g *group) ([]*Node, *call.Error) {
	var required, excluded, wanted, confirmed []string
	known := false
	for _, t := range r.p.Tags {
		meant := false
		if prefix := r.s.o.TagPrefix; prefix != "" {
			if t, meant = strings.CutPrefix(t, prefix); meant {
				confirmed = append(confirmed, strings.TrimLeft(t, "&!"))
			}
		}
		switch {
		case len(t) > 1 && t[0] == '&':
			required = append(required, t[1:])
		case len(t) > 1 && t[0] == '!':
			excluded = append(excluded, t[1:])
		default:
			wanted = append(wanted, t)
			known = known || meant
		}
	}
	has := func(n *Node, t string) bool { return slices.Contains(n.Tags, t) }
	allowed := make([]*Node, 0, len(list))
	for _, n := range list {
		if !slices.ContainsFunc(excluded, func(t string) bool { return has(n, t) }) &&
			!slices.ContainsFunc(required, func(t string) bool { return !has(n, t) }) {
			allowed = append(allowed, n)
		}
	}
	tagged := func(from []*Node, t string) (out []*Node) {
		for _, n := range from {
			if has(n, t) {
				out = append(out, n)
			}
		}
		return out
	}
	const fallback = "default"
	header := ""
	if r.p.UserAgent != "" && slices.ContainsFunc(allowed, func(n *Node) bool { return len(n.TagPatterns) > 0 }) {
		header = "User-Agent: " + r.p.UserAgent
	}
	if len(wanted) == 0 && (header == "" || len(required) > 0) {
		if len(required) == 0 {
			// Where some are tagged for everybody, the others are not.
			if defaults := tagged(list, fallback); len(defaults) > 0 {
				allowed = slices.DeleteFunc(allowed, func(n *Node) bool { return !has(n, fallback) })
			}
		}
		if len(allowed) == 0 {
			return r.failOpen(list, required, excluded, confirmed)
		}
		return allowed, nil
	}
	var matching []*Node
	for _, n := range allowed {
		match := func(t string) bool { return has(n, t) }
		miss := func(t string) bool { return !has(n, t) }
		all := r.s.o.MatchAllTags
		switch {
		case len(wanted) > 0 && all && !slices.ContainsFunc(wanted, miss), !all && slices.ContainsFunc(wanted, match):
			matching = append(matching, n)
		case header == "" || all && len(n.Tags) > 0: // the header is no way around tags that must all be there
		case slices.ContainsFunc(n.TagPatterns, func(p *regexp.Regexp) bool { return p.MatchString(header) }):
			matching = append(matching, n)
		}
	}
	if len(matching) > 0 {
		return matching, nil
	}
	// A tag of the group that leads nowhere now is an error; one that the group
	// has never heard of is no reason to refuse where there is a default.
	known = known || slices.ContainsFunc(g.nodes, func(n *Node) bool {
		return slices.ContainsFunc(wanted, func(t string) bool { return has(n, t) })
	})
	if defaults := tagged(allowed, fallback); len(defaults) > 0 && !known {
		return defaults, nil
	}
	return r.failOpen(list, required, excluded, confirmed)
}

// failOpen is what serves a call whose tags leave nothing: where one of the group
// allows that, those tagged for everybody, or all. A tag that the caller has made
// up must not open what the others would have kept to some.
func (r *run) failOpen(list []*Node, required, excluded, confirmed []string) ([]*Node, *call.Error) {
	if !slices.ContainsFunc(list, func(n *Node) bool { return n.FailOpen }) {
		return nil, r.noTag()
	}
	var known []string
	for _, t := range required {
		if slices.Contains(confirmed, t) || slices.ContainsFunc(list, func(n *Node) bool { return slices.Contains(n.Tags, t) }) {
			known = append(known, t)
		}
	}
	var defaults []*Node
	for _, n := range list {
		has := func(t string) bool { return slices.Contains(n.Tags, t) }
		misses := func(t string) bool { return !has(t) }
		if len(known) > 0 && len(known) < len(required) && !slices.ContainsFunc(known, misses) && !slices.ContainsFunc(excluded, has) {
			return nil, r.noTag()
		}
		if has("default") {
			defaults = append(defaults, n)
		}
	}
	if len(defaults) > 0 {
		return defaults, nil
	}
	return list, nil
}

// pyList prints names as Python prints a list of texts.
func pyList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "'" + n + "'"
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func (r *run) noTag() *call.Error {
	return call.NewError(http.StatusUnauthorized, "internal_server_error", "", fmt.Sprintf(
		"Not allowed to access model due to tags configuration. Passed model=%s and tags=%s", r.p.Model, pyList(r.p.Tags)))
}

// noneLeft is the answer when no deployment of a group may serve. Clients match
// on its beginning, up to the first comma.
func (s *snapshot) noneLeft(model string, g *group, now int64) *call.Error {
	least := int64(s.o.CooldownTime)
	var ids []string
	for _, n := range g.nodes {
		if until := n.state.coolUntil.Load(); until > now {
			ids = append(ids, n.ID)
			if len(ids) == 1 || until-now < least {
				least = until - now
			}
		}
	}
	seconds := int64((time.Duration(least) + time.Second - 1) / time.Second)
	kind, reason := "rate_limit_error", ""
	if len(ids) == len(g.nodes) {
		kind, reason = "all_deployments_in_cooldown", " All deployments for selected model are in cooldown."
	}
	checks := "False"
	if s.o.PreCallChecks {
		checks = "True"
	}
	return busy(kind, seconds, fmt.Sprintf("No deployments available for selected model, Try again in %d seconds.%s Passed model=%s. pre-call-checks=%s, cooldown_list=%s",
		seconds, reason, model, checks, pyList(ids)))
}

// overLimits is the answer when every deployment has had its requests or tokens
// of this minute.
func (s *snapshot) overLimits(model string) *call.Error {
	return busy("rate_limit_error", 60, "No deployments available for selected model. Passed model="+model+
		". Every deployment is over its rpm or tpm limit of this minute")
}

// slotsTaken is the answer when every deployment has as many calls in flight as
// it may have.
func slotsTaken(g *group) *call.Error {
	n := g.nodes[0]
	return busy("rate_limit_error", 1, fmt.Sprintf("litellm.RateLimitError: Deployment has all max_parallel_requests slots in use. "+
		"Deployment model_group=%s, id=%s already has max_parallel_requests=%d requests in flight. "+
		"Raise max_parallel_requests (or the rpm/tpm it is derived from) for this deployment", g.name, n.ID, n.MaxParallel))
}

// busy is a refusal of the router itself.
func busy(kind string, seconds int64, message string) *call.Error {
	e := call.NewError(http.StatusTooManyRequests, kind, "", message)
	e.Class = call.ClassRateLimit
	e.RetryAfter = time.Duration(seconds) * time.Second
	e.Header = http.Header{"Retry-After": {fmt.Sprint(seconds)}}
	return e
}
