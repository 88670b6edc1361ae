// Package proxy is the gateway. Only this root package knows all of its rooms
// and puts them together; the rooms share the words of package call and do not
// know each other.
//
// A request walks through them in this order: server (listener), auth (who is
// calling), api (the endpoint's handler, which reads the body), route (which
// deployment), call/wire and provider (the upstream's format), upstream (the
// HTTP client), and account (what it cost).
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/account"
	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/auth"
	"github.com/llmgw/llmgw/pkg/proxy/budget"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/coord"
	"github.com/llmgw/llmgw/pkg/proxy/entra"
	"github.com/llmgw/llmgw/pkg/proxy/route"
	"github.com/llmgw/llmgw/pkg/proxy/server"
	"github.com/llmgw/llmgw/pkg/proxy/upstream"
	"github.com/llmgw/llmgw/pkg/store"
)

// Config is everything the gateway needs to know, in plain values. Where they
// come from (config.yaml, environment, flags) is decided before.
type Config struct {
	// Deployments in the order of the configuration. Their Lane must be set.
	Deployments []*call.Deployment
	Router      route.Options
	Auth        auth.Options
	// API holds the settings of the handlers; its interfaces are set here.
	API api.Options
	// Listener holds the addresses; its handlers are set here.
	Listener server.Options
	Upstream upstream.Options
	// Cache is the response cache, nil without one; Redis is where the router's
	// state is shared, nil where it is not. Breaker guards both.
	Cache   *CacheConfig
	Redis   *RedisConfig
	Breaker redisconn.GuardOptions
	// Health says how deployments are checked.
	Health HealthConfig
	// ShutdownTimeout bounds the drain after a signal; 0 means the router's
	// request timeout.
	ShutdownTimeout time.Duration
	// DrainEndpoint lets a request begin the drain, before the signal. Draining is
	// told of it; nil tells nobody.
	DrainEndpoint bool
	// Budgets bound what providers, deployments and tags may spend.
	Budgets budget.Budgets
	// Unpriced refuses calls of models that have no price.
	Unpriced bool
	Draining func()
	// Telemetry is what is told about calls, and to whom.
	Telemetry Telemetry
	// Sink takes batches of finished calls; nil only counts them.
	Sink func([]call.Call)
	// Store keeps the counts; nil keeps them for the life of the process.
	Store store.Store
	Log   *slog.Logger
}

// Proxy is a gateway that is ready to serve.
type Proxy struct {
	config   Config
	log      *slog.Logger
	live     atomic.Pointer[live]
	router   *route.Router
	upstream *upstream.Client
	outside  *upstream.Client // the way to addresses of clients
	tokens   *entra.Sources   // of deployments that log in
	queue    *account.Queue
	totals   account.Totals
	server   *server.Server
	shared   *shared

	observers   *observers
	storeFailed sync.Once
	// keepsContent says that calls hold prompts and answers until they are told.
	keepsContent bool
	turns        sync.Once
	taking       *coord.Checks // how instances take turns with health checks
	// replacing is held while a configuration takes the place of another.
	replacing sync.Mutex
	// handedOver is closed when another process serves on the sockets.
	handedOver chan struct{}
	handOver   sync.Once
	drainOnce  sync.Once
	drainEnd   time.Time
}

// New puts the rooms together. Close it when it will not Run.
func New(c Config) (*Proxy, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	given := c
	state := openShared(&c)
	state.hooks(&c)
	p := &Proxy{log: c.Log, handedOver: make(chan struct{})}
	observers, err := p.observe(&c, state)
	if err != nil {
		state.close()
		return nil, err
	}
	describe(c.Deployments)
	router, err := route.New(c.Deployments, c.Router)
	if err != nil {
		observers.closeOutputs()
		state.close()
		return nil, err
	}
	state.share(&c, router)
	c.Deployments = nil // the router's, which a reload replaces
	p.config, p.router, p.upstream, p.observers = c, router, upstream.New(c.Upstream), observers
	p.queue = account.NewQueue(account.Options{Sink: p.settle, Refused: func(c *call.Call) { p.live.Load().api.ReleaseContent(c) }})
	p.shared = state
	p.outside = newOutside(c.Upstream)
	p.tokens = entra.New(entra.Options{TLS: c.Upstream.TLS, Proxy: c.Upstream.Proxy, IPv4: c.Upstream.IPv4, Log: c.Log})
	p.tokens.Bind(router.Deployments())
	p.live.Store(p.compose(&c, given, nil))
	return p, nil
}

func (p *Proxy) settle(batch []call.Call) {
	for i := range batch {
		if c := &batch[i]; !c.Cost.Known {
			account.Estimate(c)
			account.Charge(c)
		}
	}
	p.totals.Add(batch)
	if l := p.shared.budgets.Load(); l != nil {
		l.Charge(batch)
	}
	p.observers.settle(batch)
	if p.keepsContent {
		for i := range batch {
			p.live.Load().api.ReleaseContent(&batch[i])
		}
	}
	if p.config.Store != nil {
		p.persist(batch)
	}
	if p.config.Sink != nil {
		p.config.Sink(batch)
	}
}

// persist adds a batch to the stored counts. A store that cannot be written is
// said once; the counts of the process go on.
func (p *Proxy) persist(batch []call.Call) {
	var t account.Totals
	t.Add(batch)
	counts := map[string]store.Count{}
	for name, c := range t.Snapshot() {
		counts[name] = store.Count{Requests: c.Requests, Failed: c.Failed, PromptTokens: c.PromptTokens, CompletionTokens: c.CompletionTokens}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.config.Store.AddCounts(ctx, counts); err != nil {
		p.storeFailed.Do(func() { p.log.Warn("request counts are not kept: " + err.Error()) })
	}
}

// Handler serves all endpoints.
func (p *Proxy) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.live.Load().api.ServeHTTP(w, r) })
}

// Totals is what has been served so far.
func (p *Proxy) Totals() map[string]account.Count { return p.totals.Snapshot() }

// Listen binds the addresses.
func (p *Proxy) Listen() error {
	o := p.config.Listener
	o.Handler = p.Handler()
	o.Health = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.live.Load().probes.ServeHTTP(w, r) })
	o.InFlight = p.live.Load().api.InFlight // of all that replace it, too
	o.Log, o.Cut = p.log, call.ErrCut
	o.OnCut = func() { p.upstream.Cut(); p.outside.Cut() }
	s, err := server.Listen(o)
	if err != nil {
		return err
	}
	p.server = s
	if err := p.observers.listen(o.Host, o.Bind); err != nil {
		s.Close()
		p.observers.close()
		return err
	}
	return nil
}

// Addr is the address that Listen bound.
func (p *Proxy) Addr() *net.TCPAddr { return p.server.Addr() }

// HealthAddr is the address of the probes' own listener, nil without one.
func (p *Proxy) HealthAddr() *net.TCPAddr { return p.server.HealthAddr() }

// Models are the names that clients may ask for, patterns apart.
func (p *Proxy) Models() []string { return p.router.Models() }

// ReloadCertificate reads the TLS certificate anew, and says so in the log.
func (p *Proxy) ReloadCertificate() {
	if p.config.Listener.CertFile == "" {
		return
	}
	if err := p.server.Reload(); err != nil {
		p.log.Error("the old TLS certificate stays in use: " + err.Error())
		return
	}
	p.log.Info("the TLS certificate was read anew")
}

// CutError says that a drain ended with requests unfinished.
type CutError struct {
	Requests int64
	After    time.Duration
}

// Error is the sentence for the log.
func (e *CutError) Error() string {
	if e.Requests == 1 {
		return fmt.Sprintf("1 request was cut: it had not finished %s after the signal", e.After)
	}
	return fmt.Sprintf("%d requests were cut: they had not finished %s after the signal", e.Requests, e.After)
}

// HandOver makes Run drain because another process serves on the sockets: they
// are given up at once, and readiness stays.
func (p *Proxy) HandOver() { p.handOver.Do(func() { close(p.handedOver) }) }

// Run serves until ctx ends, then drains: readiness fails, requests in flight
// finish, and what still runs at the deadline is cut, which is a *CutError.
func (p *Proxy) Run(ctx context.Context) error {
	if p.server == nil {
		return errors.New("run before listen")
	}
	gone := false
	served := make(chan error, 1)
	go func() { served <- p.server.Serve() }()
	defer p.Close()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	case <-p.handedOver:
		gone = true
	}
	p.replacing.Lock() // and never again: what drains is not replaced
	now := p.live.Load()
	if gone {
		p.observers.close() // another process shows its own
	} else {
		now.api.Drain()
	}
	begin := time.Now()
	p.log.Info("draining", "in_flight", now.api.InFlight(), "deadline", now.shutdown)
	deadline, cancel := context.WithDeadline(context.WithoutCancel(ctx), p.drainUntil(now))
	defer cancel()
	cut := p.server.Drain(deadline, gone)
	<-served
	if cut > 0 {
		return &CutError{Requests: cut, After: time.Since(begin).Round(time.Millisecond)}
	}
	return nil
}

// drainUntil is the deadline of the drain: the endpoint and the signal share one,
// which the first of them begins.
func (p *Proxy) drainUntil(now *live) time.Time {
	p.drainOnce.Do(func() { p.drainEnd = time.Now().Add(now.shutdown) })
	return p.drainEnd
}

// BeginDrain makes readiness fail, and answers end their connections; requests are
// served all the same.
func (p *Proxy) BeginDrain() {
	p.live.Load().api.Drain()
	if p.server != nil {
		p.server.EndConnections()
	}
}

// drainNow is what the endpoint does: readiness fails, answers end their
// connections, and it waits for what is in flight. The process goes on until it
// gets the signal.
func (p *Proxy) drainNow(ctx context.Context) (finished int64) {
	now := p.live.Load()
	if p.config.Draining != nil {
		p.config.Draining()
	}
	p.BeginDrain()
	ctx, cancel := context.WithDeadline(ctx, p.drainUntil(now))
	defer cancel()
	begin := now.api.InFlight()
	p.log.Info("draining, as /health/drain was asked to", "in_flight", begin, "deadline", now.shutdown)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for now.api.InFlight() > 0 {
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	return max(begin-now.api.InFlight(), 0)
}

// Close ends what New has started.
func (p *Proxy) Close() {
	p.observers.close()
	p.live.Load().health.Close()
	p.queue.Close()
	p.observers.closeOutputs()
	p.shared.close()
	p.tokens.Close()
	p.upstream.Close()
	p.outside.Close()
}

// Secrets returns what must never be printed, for the masking of foreign text.
func (c *Config) Secrets() []redact.Secret {
	list := append([]redact.Secret{c.Auth.MasterKey}, c.redisSecrets()...)
	for _, d := range c.Deployments {
		list = append(list, d.Secrets...)
	}
	for _, p := range c.API.PassThrough {
		list = append(list, p.Secrets...)
	}
	return list
}
