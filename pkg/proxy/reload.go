package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/account"
	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/auth"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/health"
	"github.com/llmgw/llmgw/pkg/proxy/provider"
	"github.com/llmgw/llmgw/pkg/proxy/route"
	"github.com/llmgw/llmgw/pkg/proxy/upstream"
)

// live is what another configuration replaces as one. Requests in flight hold
// on to the one they began with.
type live struct {
	api      *api.API
	probes   http.Handler
	health   *health.Checker
	details  bool
	shutdown time.Duration
	// given is the configuration as it came in.
	given Config
}

// describe prepares what answers say of a deployment. It comes before the router
// gives any of them out.
func describe(deployments []*call.Deployment) {
	for _, d := range deployments {
		if d.Answer == nil {
			d.Answer = api.DeploymentHeaders(d)
		}
	}
}

// compose makes the handlers of a configuration. old is what they replace, nil
// at the start.
func (p *Proxy) compose(c *Config, given Config, old *live) *live {
	o := c.API
	o.Identify = auth.New(c.Auth)
	o.Router = p.router
	o.Upstream, o.Outside = p.upstream, p.outside
	o.Classify = provider.Classifier{}
	o.Record = p.queue
	o.Charge = account.Charge
	o.Log = p.log
	if c.Unpriced {
		o.Demands.Unpriced = p.router.Unpriced
	}
	if c.DrainEndpoint {
		o.Drain = p.drainNow
	}
	if k := p.shared.cache; k != nil {
		o.Cache, o.CacheAdmin = k, k
	}
	o.Health = p
	if len(c.Budgets.Providers) > 0 {
		o.Budgets = p.providerBudgets
	}
	o.Fallbacks = p.router.Fallbacks
	p.observers.handlers(&o, p.config.Listener.Host)
	given.Deployments = nil // not compared, and large
	if old == nil {
		p.keepsContent = o.KeepContent // and so it stays: it follows from what is told about calls
	}
	n := &live{details: c.Health.Details, given: given, shutdown: c.ShutdownTimeout}
	for _, d := range []time.Duration{c.Router.Timeout, route.DefaultTimeout} {
		if n.shutdown <= 0 {
			n.shutdown = d
		}
	}
	if old != nil {
		o.State = old.api.State()
		n.health = old.health
	}
	if n.health == nil || !reflect.DeepEqual(c.Health, old.given.Health) {
		n.health = p.checks(&c.Health)
	}
	n.api = api.New(o)
	n.probes = n.api.HealthOnly()
	return n
}

// Fixed are parts of a gateway that are made at its start and stay until its
// end: a reload leaves them as they are, and says so.
type Fixed string

// The fixed parts.
const (
	FixedCache     Fixed = "the response cache"
	FixedRedis     Fixed = "the connection to Redis"
	FixedUpstream  Fixed = "the way to upstreams"
	FixedTelemetry Fixed = "metrics, callbacks and alerts"
)

// fixed compares the fixed parts of two configurations.
func fixed(a, b *Config) (differ []Fixed) {
	note := func(part Fixed, same bool) {
		if !same {
			differ = append(differ, part)
		}
	}
	note(FixedCache, reflect.DeepEqual(cacheValues(a.Cache), cacheValues(b.Cache)))
	note(FixedRedis, reflect.DeepEqual(redisValues(a.Redis), redisValues(b.Redis)) && a.Breaker.Failures == b.Breaker.Failures && a.Breaker.Recovery == b.Breaker.Recovery)
	up, other := a.Upstream, b.Upstream
	up.Proxy, other.Proxy = nil, nil // functions; they come from variables of the process
	up.TLS, other.TLS = nil, nil     // in use, they change
	note(FixedUpstream, reflect.DeepEqual(up, other) && sameTrust(a.Upstream.TLS, b.Upstream.TLS))
	told, tell := telemetryValues(a.Telemetry), telemetryValues(b.Telemetry)
	note(FixedTelemetry, reflect.DeepEqual(told, tell))
	return differ
}

// telemetryValues is a copy without what the handlers take over, and without the
// name of the instance, which every start and every reload makes up.
func telemetryValues(t Telemetry) Telemetry {
	t.MetricsOpen = false
	if t.OTel != nil {
		o := *t.OTel
		o.Resource = slices.DeleteFunc(slices.Clone(o.Resource), func(r [2]string) bool { return r[0] == "service.instance.id" })
		t.OTel = &o
	}
	return t
}

// sameTrust compares how certificates are checked.
func sameTrust(a, b *tls.Config) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.InsecureSkipVerify != b.InsecureSkipVerify || len(a.Certificates) != len(b.Certificates) || (a.RootCAs == nil) != (b.RootCAs == nil) {
		return false
	}
	for i := range a.Certificates {
		if !slices.EqualFunc(a.Certificates[i].Certificate, b.Certificates[i].Certificate, bytes.Equal) {
			return false
		}
	}
	return a.RootCAs == nil || a.RootCAs.Equal(b.RootCAs)
}

// cacheValues is a copy without the places in the file that values came from.
func cacheValues(c *CacheConfig) *CacheConfig {
	if c == nil {
		return nil
	}
	d := *c
	d.Redis = params(c.Redis)
	return &d
}

func redisValues(c *RedisConfig) *RedisConfig {
	if c == nil {
		return nil
	}
	d := *c
	d.Params = params(c.Params)
	return &d
}

func params(p *redisconn.Params) *redisconn.Params {
	if p == nil {
		return nil
	}
	q := *p
	q.Origins = nil
	return &q
}

// errDraining is why a gateway that ends takes no other configuration.
var errDraining = errors.New("the gateway is draining")

// Replaced says what another configuration has changed.
type Replaced struct {
	// Stay are the parts that differ and that only a restart changes.
	Stay []Fixed
	// Deployments are there now; New are those that were not, Gone those that
	// were and are not.
	Deployments, New, Gone int
}

func (r *Replaced) count(before, after []*call.Deployment) {
	ids := map[string]bool{}
	for _, d := range before {
		ids[d.ID] = true
	}
	r.Deployments, r.Gone = len(after), len(before)
	for _, d := range after {
		if ids[d.ID] {
			r.Gone--
		} else {
			r.New++
		}
	}
}

// targets are where a configuration sends requests.
func targets(c *Config) (list []upstream.Target) {
	for _, d := range c.Deployments {
		lane, _ := d.Lane.(wire.Lane)
		if ways, ok := d.Lanes.(wire.Lanes); ok && lane == nil {
			for op := range wire.Ops {
				if way, err := ways.Lane(op); err == nil {
					lane = way
					break
				}
			}
		}
		if lane != nil {
			t := lane.Target()
			list = append(list, upstream.Target{Scheme: t.URL.Scheme, Host: t.URL.Host, TLS: t.TLS})
		}
	}
	for _, p := range c.API.PassThrough {
		list = append(list, upstream.Target{Scheme: p.Target.Scheme, Host: p.Target.Host})
	}
	return list
}

// Replace takes over another configuration, as Load returns it with what the
// process adds. It is complete before anything is swapped: after an error the
// old one goes on. Deployments that keep their id keep cooldowns, counts and
// latencies.
func (p *Proxy) Replace(c Config) (r Replaced, err error) {
	if !p.replacing.TryLock() {
		return r, errDraining
	}
	defer p.replacing.Unlock()
	old := p.live.Load()
	given := c
	r.Stay = fixed(&old.given, &c)
	r.count(p.router.Deployments(), c.Deployments)
	c.Cache, c.Redis, c.Breaker, c.Upstream = p.config.Cache, p.config.Redis, p.config.Breaker, p.config.Upstream
	c.Log = p.log
	// What stays is what the next configuration is compared with.
	given.Cache, given.Redis, given.Breaker, given.Upstream = old.given.Cache, old.given.Redis, old.given.Breaker, old.given.Upstream
	given.Telemetry = old.given.Telemetry
	p.shared.hooks(&c)
	p.observers.replace(&c)
	describe(c.Deployments)
	before := p.router.Deployments()
	p.tokens.Bind(c.Deployments) // before requests can come to them
	if err := p.router.Replace(c.Deployments, c.Router); err != nil {
		p.tokens.Bind(before)
		return r, err
	}
	p.shared.share(&c, p.router)
	next := p.compose(&c, given, old)
	p.live.Store(next)
	p.upstream.Retain(targets(&c))
	if next.health != old.health {
		old.health.Close()
	}
	return r, nil
}
