package route

import (
	"context"
	"fmt"
	"math/rand/v2"
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
	// waited is what looks at claims have taken so far.
	waited time.Duration
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
		if r.over(err) ||
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
		node, err := r.choose(ctx, g, order, failed)
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
		r.c.Deployment, r.c.UpstreamStart, r.c.UpstreamTime = node.Deployment, time.Time{}, 0
		if r.ties(g) && len(g.nodes) > 1 {
			r.tie(ctx, node)
		}
		if err = r.attempt(ctx, g, node); err == nil || err == call.Begun {
			if r.ties(g) && len(g.nodes) > 1 {
				r.served(node)
			}
			return err
		}
		r.c.FailedAttempts = append(r.c.FailedAttempts, call.FailedAttempt{Deployment: node.Deployment, Err: err, Start: r.c.UpstreamStart, Took: r.c.UpstreamTime})
		if r.over(err) {
			return err
		}
		last, failed = err, node
		budget, byPolicy := r.s.budget(r.p, g.name, node.Deployment, err)
		r.c.MaxRetries = budget
		if n >= budget || !byPolicy && !r.retryable(g, order, err) {
			return withRetries(err, n, budget)
		}
		if !r.wait(ctx, g, order, err, n) {
			return err
		}
	}
}

// choose picks a deployment, and says how long that took where somebody asks.
func (r *run) choose(ctx context.Context, g *group, order int, failed *Node) (*Node, *call.Error) {
	tell := r.s.o.OnPick
	if tell == nil {
		return r.pick(ctx, g, order, failed)
	}
	begin := time.Now()
	n, err := r.pick(ctx, g, order, failed)
	if err == nil {
		tell(time.Since(begin))
	}
	return n, err
}

// attempt makes one attempt and counts what became of it.
func (r *run) attempt(ctx context.Context, g *group, n *Node) *call.Error {
	limits, callers := r.s.limits(r.p, n.Deployment)
	o := outcome{n: n, foreign: r.p.Foreign, callers: callers, counted: g.slots || r.s.counts}
	begun := false
	if o.counted {
		o.begin = r.s.o.mono()
		defer func() {
			if !begun {
				n.state.running.Add(-1) // a panic must not keep the slot
			}
		}()
	}
	err := r.a.Attempt(ctx, n.Deployment, limits)
	if begun = err == call.Begun; begun {
		r.begun(o)
		return err
	}
	r.s.count(r.c, r.p.Stream, o, err)
	return err
}

// outcome is what is needed to count what became of an attempt.
type outcome struct {
	n       *Node
	begin   int64
	foreign bool // with a key of the client's
	callers bool // the time limit was the caller's
	counted bool // the attempt has taken a slot
}

// begun leaves the counting to the end of the answer.
func (r *run) begun(o outcome) {
	s, c, stream := r.s, r.c, r.p.Stream
	r.p.Ended = func(err *call.Error) {
		if o.counted {
			o.n.state.running.Add(-1)
		}
		if err == call.Begun {
			return
		}
		if err != nil {
			c.FailedAttempts = append(c.FailedAttempts, call.FailedAttempt{Deployment: o.n.Deployment, Err: err, Start: c.UpstreamStart, Took: c.UpstreamTime})
		}
		s.count(c, stream, o, err)
	}
}

// count keeps what became of an attempt.
func (s *snapshot) count(c *call.Call, stream bool, o outcome, err *call.Error) {
	switch {
	case o.foreign:
		return
	case err == nil:
		s.succeeded(o.n)
	default:
		s.failed(o.n, err, o.callers)
	}
	if o.counted {
		s.measure(c, stream, o.n, o.begin, err)
	} else if s.limited && err == nil && (o.n.RPM > 0 || o.n.TPM > 0) {
		o.n.state.use.add(utcMinute(s.o.wall()), 1, c.Usage.TotalTokens)
	}
}

// measure keeps what strategies want to know of an attempt.
func (s *snapshot) measure(c *call.Call, stream bool, n *Node, begin int64, err *call.Error) {
	if !s.counts {
		if s.limited && err == nil && (n.RPM > 0 || n.TPM > 0) {
			n.state.use.add(utcMinute(s.o.wall()), 1, c.Usage.TotalTokens)
		}
		return
	}
	if tokens := c.Usage.TotalTokens; err == nil && tokens > 0 {
		minute := utcMinute(s.o.wall())
		n.state.use.add(minute, 0, tokens)
		if s.o.EnforceLimits && s.o.Claims != nil && n.TPM > 0 {
			if _, v2 := s.o.Strategy.(UsageV2); !v2 {
				s.o.Claims.Spend(limitKey(n, "tpm", minute), tokens)
			}
		}
	}
	l, ok := s.o.Strategy.(LatencyBased)
	if !ok {
		return
	}
	now := s.o.mono()
	size := l.samples()
	switch {
	case err == nil:
		per := float64(max(c.Usage.CompletionTokens, 1))
		n.state.speed.add(&n.state.speed.whole, now, size, time.Duration(now-begin).Seconds()/per)
		if stream && !c.FirstByte.IsZero() {
			// The answer's end is now; what followed the first byte is no waiting.
			first := time.Duration(now-begin) - time.Since(c.FirstByte)
			n.state.speed.add(&n.state.speed.first, now, size, max(first.Seconds(), 0)/per)
		}
	case err.Class == call.ClassTimeout:
		n.state.speed.add(&n.state.speed.whole, now, size, slowest)
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

// over reports whether a call ends with what an attempt has brought.
func (r *run) over(err *call.Error) bool {
	return err == nil || err.Sent || err.Class == call.ClassClientGone || r.gone()
}

func (r *run) gone() bool { return r.p.ClientGone != nil && r.p.ClientGone() }

// limits are the time limits of one attempt: the first that is set of the
// request's, the deployment's, the router's. callers says that the one that
// counts is the request's.
func (s *snapshot) limits(p *call.Plan, d *call.Deployment) (l call.Limits, callers bool) {
	firstSet := func(list ...time.Duration) (time.Duration, bool) {
		for i, t := range list {
			if t > 0 {
				return t, i == 0
			}
		}
		return 0, false
	}
	whole, own := firstSet(p.Timeout, d.Timeout, s.o.Timeout)
	l.Timeout, callers = whole, own
	stream, ownStream := firstSet(p.StreamTimeout, d.StreamTimeout, s.o.StreamTimeout)
	if l.Stream = stream; stream == 0 {
		l.Stream, ownStream = whole, own
	}
	if p.Stream {
		callers = ownStream
	}
	return l, callers
}

// wait sleeps before a retry, unless another deployment can be tried at once.
// It reports whether the call goes on.
func (r *run) wait(ctx context.Context, g *group, order int, err *call.Error, retried int) bool {
	if len(g.nodes) > 1 && r.left(g, order) {
		return ctx.Err() == nil
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
