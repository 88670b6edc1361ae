// Package health asks deployments whether they work: on a timer, and when an
// operator wants to know. How a deployment is asked is the business of the
// function that it is given; what follows from an answer is that of the router.
package health

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Defaults of LiteLLM.
const (
	DefaultInterval = 300 * time.Second
	DefaultTimeout  = 60 * time.Second
	// defaultConcurrency bounds the checks at once where nothing is said: a round
	// over many deployments must not be a burst.
	defaultConcurrency = 32
)

// Options configure a Checker.
type Options struct {
	// Probe makes one request of a deployment.
	Probe func(ctx context.Context, d *call.Deployment) *call.Error
	// Deployments are those to check, when a round begins.
	Deployments func() []*call.Deployment
	// Background checks on a timer, every Interval; 0 means 300 s.
	Background bool
	Interval   time.Duration
	// Concurrency bounds the checks at once.
	Concurrency int
	// Groups limits the background checks to these model groups.
	Groups []string
	// Unhealthy is told of what has been found: how long a deployment is to be
	// left out, 0 when it works. It may be nil.
	Unhealthy func(id string, d time.Duration)
	// Round is told of all results of a round on the timer. It may be nil.
	Round func(states map[string]call.Health)
	// Staleness is how long a result counts; 0 means two intervals.
	Staleness time.Duration
	// IgnoreTransient does not hold rate limits and timeouts against a
	// deployment.
	IgnoreTransient bool
	// Shared lets the instances of a gateway take turns: the rounds on the timer
	// use what another has found while that counts. Details shares addresses and
	// errors with it. It may be nil.
	Shared  call.SharedChecks
	Details bool
	// SkipDisabled leaves deployments that the background does not check out of
	// checks on demand, too.
	SkipDisabled bool
	Log          *slog.Logger
}

// Result is what is known about one deployment.
type Result struct {
	Deployment *call.Deployment
	// Err is why it does not work; nil when it does.
	Err *call.Error
	// At is when it was asked, Took how long the answer was in coming.
	At   time.Time
	Took time.Duration
}

// Checker checks deployments.
type Checker struct {
	o    Options
	stop context.CancelFunc
	done sync.WaitGroup

	mu     sync.Mutex
	last   map[string]Result
	rounds int
}

// New returns a checker; Close it. With Background it begins at once.
func New(o Options) *Checker {
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.Staleness <= 0 {
		o.Staleness = 2 * o.Interval
	}
	if o.Concurrency <= 0 {
		o.Concurrency = defaultConcurrency
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Checker{o: o, stop: cancel, last: map[string]Result{}}
	if o.Background {
		c.done.Go(func() { c.run(ctx) })
	}
	return c
}

// Close ends what is being asked.
func (c *Checker) Close() {
	c.stop()
	c.done.Wait()
}

// Background reports whether there is a timer.
func (c *Checker) Background() bool { return c.o.Background }

func (c *Checker) run(ctx context.Context) {
	for {
		c.round(ctx)
		timer := time.NewTimer(c.o.Interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// looksAfter reports whether the background checks a deployment.
func (c *Checker) looksAfter(d *call.Deployment) bool {
	return !d.NoHealthCheck && (c.o.Groups == nil || slices.Contains(c.o.Groups, d.Group))
}

// round checks what the background looks after.
func (c *Checker) round(ctx context.Context) {
	var list []*call.Deployment
	for _, d := range c.o.Deployments() {
		if c.looksAfter(d) {
			list = append(list, d)
		}
	}
	results := c.gather(ctx, list)
	if ctx.Err() != nil {
		return
	}
	kept := map[string]Result{}
	states := map[string]call.Health{}
	for _, r := range results {
		c.judge(r)
		kept[r.Deployment.ID] = r
		state := call.Health{Healthy: !c.counts(r.Err), At: r.At}
		if !state.Healthy {
			state.Reason = r.Err.Class.String()
		}
		states[r.Deployment.ID] = state
	}
	c.mu.Lock()
	c.last = kept
	c.rounds++
	c.mu.Unlock()
	if c.o.Round != nil {
		c.o.Round(states)
	}
}

// counts reports whether an outcome is held against a deployment.
func (c *Checker) counts(err *call.Error) bool {
	return err != nil && !(c.o.IgnoreTransient && transient(err))
}

// judge tells the router, and the log when something has changed.
func (c *Checker) judge(r Result) {
	d := r.Deployment
	c.mu.Lock()
	before, known := c.last[d.ID]
	c.mu.Unlock()
	switch {
	case r.Err != nil && (!known || before.Err == nil):
		c.o.Log.Warn("a health check failed: " + d.Group + " (" + d.ID + "): " + r.Err.Message)
	case r.Err == nil && known && before.Err != nil:
		c.o.Log.Info("a health check is good again: " + d.Group + " (" + d.ID + ")")
	}
	c.tell(r)
}

// tell lets the router know.
func (c *Checker) tell(r Result) {
	if c.o.Unhealthy == nil {
		return
	}
	out := time.Duration(0)
	if c.counts(r.Err) {
		out = c.o.Staleness
	}
	c.o.Unhealthy(r.Deployment.ID, out)
}

// transient reports whether a failure says more of the moment than of the
// deployment.
func transient(err *call.Error) bool {
	return err.StatusCode() == 408 || err.StatusCode() == 429
}

// ask asks deployments, a few at once, and returns the answers in their order.
// Those that cannot be asked are left out.
func (c *Checker) ask(ctx context.Context, list []*call.Deployment) []Result {
	results := make([]Result, len(list))
	slots := make(chan struct{}, c.o.Concurrency)
	var wait sync.WaitGroup
	for i, d := range list {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wait.Go(func() {
			defer func() { <-slots }()
			timeout := DefaultTimeout
			if d.Health.Timeout > 0 {
				timeout = d.Health.Timeout
			}
			limited, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			begin := time.Now()
			err := c.o.Probe(limited, d)
			results[i] = Result{Deployment: d, Err: err, At: begin, Took: time.Since(begin)}
		})
	}
	wait.Wait()
	return slices.DeleteFunc(results, func(r Result) bool {
		return r.Deployment == nil || r.Err != nil && r.Err.Class == call.ClassGateway
	})
}

// Results are the deployments' states, of one group or one id where they are
// given: those of the last round where there is a timer, else asked now.
func (c *Checker) Results(ctx context.Context, group, id string) []Result {
	var list []*call.Deployment
	for _, d := range c.o.Deployments() {
		if (group == "" || d.Group == group) && (id == "" || d.ID == id) && !(c.o.SkipDisabled && d.NoHealthCheck) {
			list = append(list, d)
		}
	}
	c.mu.Lock()
	use := c.o.Background && c.rounds > 0
	last := c.last
	c.mu.Unlock()
	if !use {
		results := c.ask(ctx, list)
		for _, r := range results {
			// What is shown before the first round has ended must count for calls,
			// too; that round will say it again.
			if c.o.Background && c.looksAfter(r.Deployment) && ctx.Err() == nil {
				c.tell(r)
			}
		}
		return results
	}
	var results []Result
	for _, d := range list {
		if r, ok := last[d.ID]; ok {
			results = append(results, r)
		}
	}
	return results
}

// Unhealthy are the deployments that a check on the timer has found not to work,
// as long as that counts.
func (c *Checker) Unhealthy() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]bool{}
	for id, r := range c.last {
		if c.counts(r.Err) && time.Since(r.At) < c.o.Staleness {
			out[id] = true
		}
	}
	return out
}
