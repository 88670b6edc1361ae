// Package budget keeps what providers, deployments and tags have spent within
// their windows, and says who is over budget. Spending is added behind the
// calls; the question is answered from atomic values, without a lock. With Redis
// instances share the sums under LiteLLM's keys, so that both may run beside each
// other; without it each counts for itself. It must not know HTTP or routing.
package budget

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/litellm/duration"
	"github.com/llmgw/llmgw/internal/litellm/pyfmt"
	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// DefaultInterval is LiteLLM's DEFAULT_REDIS_SYNC_INTERVAL.
const DefaultInterval = time.Second

// Budget is what may be spent within a window.
type Budget struct {
	// Limit is in dollars; 0 bounds nothing, as in LiteLLM.
	Limit float64
	// Window is how long one budget lasts, Period its text: part of the key in
	// Redis.
	Window duration.Window
	Period string
}

// Budgets are what a configuration sets.
type Budgets struct {
	Providers, Deployments, Tags map[string]Budget
}

// Any reports whether there is a budget at all.
func (b *Budgets) Any() bool { return len(b.Providers)+len(b.Deployments)+len(b.Tags) > 0 }

// Options configure a Limiter.
type Options struct {
	// Redis is where sums are shared, nil where they are not. Namespace is put
	// before keys.
	Redis     *redisconn.Guard
	Namespace string
	// Interval is how often sums are exchanged; 0 means a second.
	Interval time.Duration
	Log      *slog.Logger

	// now is the clock of the world, mono one that never jumps; tests replace them.
	now  func() time.Time
	mono func() time.Duration
}

// Limiter says who is over budget. Charge, Replace and the exchange with Redis may
// run beside Over.
type Limiter struct {
	o       Options
	table   atomic.Pointer[table]
	mu      sync.Mutex // held by what changes sums, never by a request
	stop    context.CancelFunc
	done    sync.WaitGroup
	reading sync.Mutex // one exchange at a time
}

// table is immutable; its entries live as long as their key is configured.
type table struct {
	providers, deployments, tags map[string]*entry
	order                        []*entry
	names                        []string // providers, in the order of the alphabet
}

// entry is one budget with its sum.
type entry struct {
	Budget
	name             string
	spendKey, begins string

	// spent is the sum of the window that ends at until, on the clock that never
	// jumps; read by requests.
	spent atomic.Uint64
	until atomic.Int64

	// pending is what Redis has not been told yet. Guarded by Limiter.mu.
	pending float64
	// since is when the window began, by the clock of the world.
	since time.Time
}

// New starts a limiter; Close it.
func New(b Budgets, o Options) *Limiter {
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		start := time.Now()
		o.now, o.mono = time.Now, func() time.Duration { return time.Since(start) }
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Limiter{o: o, stop: cancel}
	l.Replace(b)
	if o.Redis != nil {
		l.done.Go(func() { l.run(ctx) })
	}
	return l
}

// Close tells Redis what waits, and stops.
func (l *Limiter) Close() {
	l.stop()
	l.done.Wait()
}

// Replace takes over other budgets. What has been spent under a key that stays is
// kept, also when the limit is another one.
func (l *Limiter) Replace(b Budgets) {
	l.reading.Lock() // what an exchange holds in hand belongs to the old entries
	defer l.reading.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	old := map[string]*entry{}
	if t := l.table.Load(); t != nil {
		for _, e := range t.order {
			old[e.spendKey] = e
		}
	}
	t := &table{}
	fill := func(kind string, from map[string]Budget) map[string]*entry {
		to := make(map[string]*entry, len(from))
		for name, budget := range from {
			e := &entry{Budget: budget, name: name, spendKey: kind + "_spend:" + name + ":" + budget.Period, begins: kind + "_budget_start_time:" + name}
			if was := old[e.spendKey]; was != nil {
				e.spent.Store(was.spent.Load())
				e.until.Store(was.until.Load())
				e.pending, e.since = was.pending, was.since
			} else {
				l.begin(e, l.o.now(), 0)
			}
			to[name] = e
			t.order = append(t.order, e)
		}
		return to
	}
	t.providers, t.deployments, t.tags = fill("provider", b.Providers), fill("deployment", b.Deployments), fill("tag", b.Tags)
	for name := range b.Providers {
		t.names = append(t.names, name)
	}
	slices.Sort(t.names)
	l.table.Store(t)
}

// begin starts a window. The end is put on the clock that never jumps: a jump of
// the other neither ends a window nor prolongs it.
func (l *Limiter) begin(e *entry, since time.Time, spent float64) {
	now := l.o.now()
	e.since = since
	left := e.Window.After(since).Sub(now)
	left = min(max(left, 0), e.Window.Length(now))
	e.until.Store(int64(l.o.mono() + left))
	e.spent.Store(math.Float64bits(spent))
}

// current is what has been spent in the window that runs.
func (e *entry) current(mono time.Duration) float64 {
	if int64(mono) >= e.until.Load() {
		return 0
	}
	return math.Float64frombits(e.spent.Load())
}

func (e *entry) over(mono time.Duration) (spent float64, over bool) {
	spent = e.current(mono)
	return spent, e.Limit != 0 && spent >= e.Limit
}

// Bounds reports whether a budget can ever leave a deployment out.
func (l *Limiter) Bounds(d *call.Deployment) bool {
	t := l.table.Load()
	return len(t.tags) > 0 || t.providers[d.Provider] != nil || t.deployments[d.ID] != nil
}

// Over says why a deployment may not serve a call with these tags, in LiteLLM's
// words; empty when it may.
func (l *Limiter) Over(d *call.Deployment, tags []string) string {
	t, mono := l.table.Load(), l.o.mono()
	if e := t.providers[d.Provider]; e != nil {
		if spent, over := e.over(mono); over {
			return fmt.Sprintf("Exceeded budget for provider %s: %s >= %s\n", d.Provider, pyfmt.Float(spent), pyfmt.Float(e.Limit))
		}
	}
	if e := t.deployments[d.ID]; e != nil {
		if spent, over := e.over(mono); over {
			return fmt.Sprintf("Exceeded budget for deployment model_name: %s, litellm_params.model: %s, model_id: %s: %s >= %s\n", d.Group, d.Configured, d.ID, pyfmt.Float(spent), e.Period)
		}
	}
	if len(t.tags) == 0 {
		return ""
	}
	var why strings.Builder
	for _, tag := range tags {
		if e := t.tags[tag]; e != nil {
			if spent, over := e.over(mono); over {
				fmt.Fprintf(&why, "Exceeded budget for tag='%s', tag_spend=%s, tag_budget_limit=%s\n", tag, pyfmt.Float(spent), pyfmt.Float(e.Limit))
			}
		}
	}
	return why.String()
}

// Charge adds what finished calls cost to the budgets of those who served them.
func (l *Limiter) Charge(batch []call.Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table.Load()
	for i := range batch {
		c := &batch[i]
		if c.Deployment == nil || c.Cached || !c.Cost.Known || !(c.Cost.Total > 0) || math.IsInf(c.Cost.Total, 0) {
			continue
		}
		l.add(t.providers[c.Deployment.Provider], c.Cost.Total)
		l.add(t.deployments[c.Deployment.ID], c.Cost.Total)
		for _, tag := range c.Tags {
			l.add(t.tags[tag], c.Cost.Total)
		}
	}
}

func (l *Limiter) add(e *entry, cost float64) {
	if e == nil {
		return
	}
	if int64(l.o.mono()) >= e.until.Load() {
		e.pending = 0 // what the last window has not told is of no use to the next
		l.begin(e, l.o.now(), 0)
	}
	if l.o.Redis != nil {
		e.pending += cost
	}
	e.spent.Store(math.Float64bits(math.Float64frombits(e.spent.Load()) + cost))
}

// State is what is known of a provider's budget.
type State struct {
	Provider string
	Budget   Budget
	Spent    float64
	// Left is how long the window still lasts; 0 when none runs.
	Left time.Duration
}

// Providers are the budgets of providers.
func (l *Limiter) Providers() []State {
	t, mono := l.table.Load(), l.o.mono()
	list := make([]State, 0, len(t.names))
	for _, name := range t.names {
		e := t.providers[name]
		list = append(list, State{name, e.Budget, e.current(mono), max(time.Duration(e.until.Load())-mono, 0)})
	}
	return list
}
