package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/budget"
	"github.com/llmgw/llmgw/pkg/proxy/cache"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/claim"
	"github.com/llmgw/llmgw/pkg/proxy/coord"
	"github.com/llmgw/llmgw/pkg/proxy/health"
	"github.com/llmgw/llmgw/pkg/proxy/route"
)

// shared is what instances of the gateway share, and the connections to it. A
// Redis that is not there when the gateway starts is no reason not to start.
type shared struct {
	log *slog.Logger
	// opening is held while guards changes, and while it is looked through.
	opening sync.Mutex
	guards  map[*redisconn.Params]*redisconn.Guard
	cache   *cache.Cache
	claims  *claim.Claims                  // made when a configuration first wants some
	budgets atomic.Pointer[budget.Limiter] // made when a configuration first has some
	coord   atomic.Pointer[coord.Coord]
	told    *coord.Options // what coord was made of
	// watch is told of commands where somebody asks for them; nil without.
	watch  *redisWatch
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// openShared opens what a configuration asks for.
func openShared(c *Config) *shared {
	s := &shared{log: c.Log, guards: map[*redisconn.Params]*redisconn.Guard{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if c.Telemetry.System && (c.Telemetry.Metrics != nil || c.Telemetry.MetricsPort != 0) {
		s.watch = &redisWatch{}
	}
	if c.Cache != nil {
		o := c.Cache.Options
		o.Log = c.Log
		ready := true
		if c.Cache.Redis != nil {
			o.Redis = s.guard(c.Cache.Redis, c.Breaker)
			ready = o.Redis != nil
			if d := c.Cache.Redis.SocketTimeout; d > 0 && d < cache.DefaultPatience {
				o.Patience = d
			}
		}
		if ready {
			s.cache = cache.New(o)
		}
	}
	return s
}

// hooks makes a router tell what others shall know.
func (s *shared) hooks(c *Config) {
	s.claim(c)
	s.budget(c)
	if c.Redis == nil || s.guard(c.Redis.Params, c.Breaker) == nil {
		return
	}
	s.attach(&c.Router)
}

// claim gives a router that ties calls to deployments, or enforces their limits,
// the place where claims are kept.
func (s *shared) claim(c *Config) {
	if !c.Router.Affinity.Any() && !c.Router.EnforceLimits {
		return
	}
	if s.claims == nil {
		o := claim.Options{Log: c.Log}
		if c.Redis != nil {
			o.Redis, o.Namespace = s.guard(c.Redis.Params, c.Breaker), c.Redis.Namespace
		}
		s.claims = claim.New(o)
	}
	c.Router.Claims = s.claims
}

// budget gives a router the budgets of its configuration. Sums of keys that stay
// are kept.
func (s *shared) budget(c *Config) {
	l := s.budgets.Load()
	switch {
	case l != nil:
		l.Replace(c.Budgets)
	case c.Budgets.Any():
		o := budget.Options{Log: c.Log}
		if c.Redis != nil {
			o.Redis, o.Namespace = s.guard(c.Redis.Params, c.Breaker), c.Redis.Namespace
		}
		l = budget.New(c.Budgets, o)
		s.budgets.Store(l)
	}
	if c.Budgets.Any() {
		c.Router.Budgets = l
	}
}

// providerBudgets are shown to whoever asks for them.
func (p *Proxy) providerBudgets() (list []api.ProviderBudget) {
	p.queue.Flush() // what has just been spent
	for _, b := range p.shared.budgets.Load().Providers() {
		list = append(list, api.ProviderBudget{Provider: b.Provider, Limit: b.Budget.Limit, Spent: b.Spent, Period: b.Budget.Period, Reset: time.Now().Add(b.Left)})
	}
	return list
}

// remaining is what is left of the budgets of providers.
func (s *shared) remaining() map[string]float64 {
	l := s.budgets.Load()
	if l == nil {
		return nil
	}
	left := map[string]float64{}
	for _, b := range l.Providers() {
		left[b.Provider] = b.Budget.Limit - b.Spent
	}
	return left
}

// attach sets the hooks of a router's options. Whoever gives the router other
// options while it runs attaches them first, or the router goes on alone.
func (s *shared) attach(o *route.Options) {
	o.OnCooldown = func(d call.Cooldown) {
		if c := s.coord.Load(); c != nil {
			c.Cooled(d)
		}
	}
	o.OnFailure = func(f call.Failure) {
		if c := s.coord.Load(); c != nil {
			c.Failed(f)
		}
	}
}

// share begins to share the state of a router that was made with hooks.
func (s *shared) share(c *Config, router *route.Router) {
	if c.Redis == nil {
		return
	}
	g := s.guard(c.Redis.Params, c.Breaker)
	if g == nil {
		return
	}
	_, v2 := c.Router.Strategy.(route.UsageV2)
	staleness := time.Duration(0)
	if c.Router.HealthRouting {
		if staleness = c.Health.Staleness; staleness <= 0 {
			staleness = 2 * max(c.Health.Interval, 0)
		}
		if staleness == 0 {
			staleness = 2 * health.DefaultInterval
		}
	}
	o := coord.Options{
		Redis: g, Router: router, Namespace: c.Redis.Namespace, Interval: c.Redis.Interval, Usage: true, UsageV2: v2, Health: staleness, Log: c.Log,
	}
	if s.told != nil && *s.told == o {
		return
	}
	s.told = &o
	if old := s.coord.Swap(coord.New(o)); old != nil {
		old.Close()
	}
}

// guard opens a Redis once for all who use it; nil, and said, when its
// certificates cannot be read.
func (s *shared) guard(p *redisconn.Params, o redisconn.GuardOptions) *redisconn.Guard {
	s.opening.Lock()
	defer s.opening.Unlock()
	if g, ok := s.guards[p]; ok {
		return g
	}
	name := p.String()
	o.Report = func(err error) {
		if err == nil {
			s.log.Info("Redis answers again: " + name)
			return
		}
		s.log.Warn("Redis is left alone for a while, requests go on without it: " + name + ": " + redact.Text(err.Error()))
	}
	client, err := redisconn.Open(p)
	if err != nil {
		s.log.Error("Redis is not used: " + err.Error())
		s.guards[p] = nil
		return nil
	}
	if s.watch != nil {
		client.AddHook(s.watch)
		o.Skipped = s.watch.skipped
	}
	g := redisconn.NewGuard(client, o)
	s.guards[p] = g
	s.wait.Go(func() { s.checkVersion(g, name) })
	return g
}

// circuits are the states of the connections to Redis.
func (s *shared) circuits() (list []redisconn.Circuit) {
	s.opening.Lock()
	defer s.opening.Unlock()
	for _, g := range s.guards {
		if g != nil {
			list = append(list, g.Circuit())
		}
	}
	return list
}

// checkVersion warns of servers that are too old.
func (s *shared) checkVersion(g *redisconn.Guard, name string) {
	text, major, err := g.Version(s.ctx, 5*time.Second)
	switch {
	case s.ctx.Err() != nil:
	case err != nil:
		s.log.Warn(fmt.Sprintf("Redis does not answer at the start, requests go on without it: %s: %s", name, redact.Text(err.Error())))
	case major < redisconn.MinimumVersion:
		s.log.Warn(fmt.Sprintf("Redis %s is older than %d.0, which LiteLLM and llmgw ask for: %s", text, redisconn.MinimumVersion, name))
	}
}

func (s *shared) close() {
	s.cancel()
	s.wait.Wait()
	if c := s.coord.Load(); c != nil {
		c.Close()
	}
	if l := s.budgets.Load(); l != nil {
		l.Close()
	}
	if s.claims != nil {
		s.claims.Close()
	}
	if s.cache != nil {
		s.cache.Close()
	}
	for _, g := range s.guards {
		if g != nil {
			_ = g.Client().Close()
		}
	}
}
