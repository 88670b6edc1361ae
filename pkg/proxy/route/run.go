package route

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// run is one call on its way through groups and deployments.
type run struct {
	s *snapshot
	c *call.Call
	p *call.Plan
	a call.Attempter

	depth int
	tried []string // groups, the first one included
}

// group makes attempts in one group, at its lowest order first.
func (r *run) group(ctx context.Context, g *group) *call.Error {
	if !g.hasOrder {
		return r.attempts(ctx, g, 0)
	}
	var err *call.Error
	for i, order := range g.orders {
		if i > 0 {
			r.c.Fallbacks++
		}
		err = r.attempts(ctx, g, order)
		if err == nil || err.Sent || r.gone() ||
			err.Class == call.ClassContextWindowExceeded || err.Class == call.ClassContentPolicyViolation {
			return err
		}
	}
	return err
}

// attempts makes the first attempt and its retries. order is 0 where the
// group's deployments do not differ in it.
func (r *run) attempts(ctx context.Context, g *group, order int) *call.Error {
	var failed *Node
	var last *call.Error
	for n := 0; ; n++ {
		node, err := r.pick(g, order, failed)
		if err != nil {
			if last != nil {
				return last
			}
			return err
		}
		r.c.Attempts++
		if n > 0 {
			r.c.Retries++
		}
		r.c.Deployment = node.Deployment
		err = r.a.Attempt(ctx, node.Deployment, r.s.limits(r.p, node.Deployment))
		if err == nil {
			r.s.succeeded(node)
			return nil
		}
		r.s.failed(node, err)
		if err.Sent || err.Class == call.ClassClientGone || r.gone() {
			return err
		}
		last, failed = err, node
		budget, byPolicy := r.s.budget(r.p, g.name, node.Deployment, err)
		if n >= budget || !byPolicy && !r.s.retryable(r.p, g, order, err) {
			return withRetries(err, n, budget)
		}
		if !r.wait(ctx, g, order, err, n) {
			return err
		}
	}
}

// withRetries notes in the message how often the call was repeated. Errors may
// be shared, so it works on a copy.
func withRetries(err *call.Error, retried, budget int) *call.Error {
	if retried == 0 {
		return err
	}
	e := *err
	e.Message += fmt.Sprintf(" LiteLLM Retried: %d times", retried)
	if budget > 0 {
		e.Message += fmt.Sprintf(", LiteLLM Max Retries: %d", budget)
	}
	return &e
}

func (r *run) gone() bool { return r.p.ClientGone != nil && r.p.ClientGone() }

// pick chooses a deployment, avoiding the one that has just failed where there
// is another.
func (r *run) pick(g *group, order int, failed *Node) (*Node, *call.Error) {
	now := r.s.o.now().UnixNano()
	if failed == nil && order == 0 && (g.byID || g.coolUntil != nil && g.coolUntil.Load() <= now) {
		return g.picker.PickAny(), nil
	}
	var space [16]*Node
	candidates := g.candidates(space[:0], now, order)
	if len(candidates) == 0 {
		return nil, r.s.noneLeft(r.p.Model, g, now)
	}
	if failed != nil && len(candidates) > 1 {
		candidates = slices.DeleteFunc(candidates, func(n *Node) bool { return n.state == failed.state })
	}
	return g.picker.Pick(candidates), nil
}

// candidates appends the group's deployments that are not cooling down, at one
// order.
func (g *group) candidates(list []*Node, now int64, order int) []*Node {
	for _, n := range g.nodes {
		if g.byID || n.state.coolUntil.Load() <= now && (!g.hasOrder || n.Order == order) {
			list = append(list, n)
		}
	}
	return list
}

// noneLeft is the answer when every deployment of a group is cooling down.
// Clients match on its beginning, up to the first comma.
func (s *snapshot) noneLeft(model string, g *group, now int64) *call.Error {
	least := int64(s.o.CooldownTime)
	var ids []string
	for _, n := range g.nodes {
		if until := n.state.coolUntil.Load(); until > now {
			ids = append(ids, "'"+n.ID+"'")
			if len(ids) == 1 || until-now < least {
				least = until - now
			}
		}
	}
	wait := time.Duration(least)
	seconds := int64((wait + time.Second - 1) / time.Second)
	e := call.NewError(429, "all_deployments_in_cooldown", "", fmt.Sprintf(
		"No deployments available for selected model, Try again in %d seconds. All deployments for selected model are in cooldown. Passed model=%s. pre-call-checks=False, cooldown_list=[%s]",
		seconds, model, strings.Join(ids, ", ")))
	e.Class = call.ClassRateLimit
	e.RetryAfter = time.Duration(seconds) * time.Second
	e.Header = map[string][]string{"Retry-After": {fmt.Sprint(seconds)}}
	return e
}

// limits are the time limits of one attempt: the first that is set of the
// request's, the deployment's, the router's.
func (s *snapshot) limits(p *call.Plan, d *call.Deployment) call.Limits {
	firstSet := func(list ...time.Duration) time.Duration {
		for _, t := range list {
			if t > 0 {
				return t
			}
		}
		return 0
	}
	whole := firstSet(p.Timeout, d.Timeout, s.o.Timeout)
	return call.Limits{
		Timeout: whole,
		Stream:  firstSet(p.StreamTimeout, d.StreamTimeout, s.o.StreamTimeout, whole),
	}
}

// wait sleeps before a retry, unless another deployment can be tried at once.
// It reports whether the call goes on.
func (r *run) wait(ctx context.Context, g *group, order int, err *call.Error, retried int) bool {
	if len(g.nodes) > 1 {
		var space [16]*Node
		if len(g.candidates(space[:0], r.s.o.now().UnixNano(), order)) > 0 {
			return ctx.Err() == nil
		}
	}
	o := &r.s.o
	jitter := time.Duration(*o.Jitter * rand.Float64() * float64(time.Second)) //nolint:gosec // spreads load, no secret
	delay := min(max(o.InitialDelay<<min(retried, 10), o.RetryAfter), o.MaxDelay) + jitter
	if err.RetryAfter > 0 && err.RetryAfter <= maxRetryAfter {
		delay = err.RetryAfter + jitter
	}
	return o.sleep(ctx, delay) == nil && !r.gone()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
