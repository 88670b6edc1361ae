package proxy

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/alert"
	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/metrics"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/otel"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/sink"
)

// Telemetry is what is told about calls, and to whom.
type Telemetry struct {
	// Metrics are the Prometheus metrics; nil keeps none. Custom are their
	// configured labels.
	Metrics *metrics.Options
	Custom  metrics.Custom
	// System adds the metrics of Redis, the router and what else the gateway is
	// made of.
	System bool
	// MetricsOpen shows them without a key, MetricsPort on a port of its own.
	MetricsOpen bool
	MetricsPort int
	// Sinks are where calls are written as JSON.
	Sinks []sink.Options
	// OTel is where traces and metrics go; nil sends none.
	OTel *otel.Options
	// Alerts are sent to Slack; nil sends none.
	Alerts *alert.Options
	// ProfilePort serves profiles on the loopback; 0 does not.
	ProfilePort int
}

// observers are the parts that calls are told to.
type observers struct {
	c       *Telemetry
	metrics *metrics.Metrics
	alerts  *alert.Alerts
	sinks   []*sink.Sink
	otel    *otel.Exporter
	sides   []*telemetry.Side
	port    *net.TCPAddr
	profile *net.TCPAddr
	// secrets are what no output may show.
	secrets *redact.Known
	// deployments by their id, for events that name one.
	deployments atomic.Pointer[map[string]*call.Deployment]
}

// observe prepares what is told about calls, and lets the router tell what only
// it knows.
func (p *Proxy) observe(c *Config, state *shared) (*observers, error) {
	o := &observers{c: &c.Telemetry, secrets: redact.NewKnown(c.Secrets()...)}
	if o.c.MetricsPort != 0 && o.c.Metrics == nil {
		o.c.Metrics = &metrics.Options{}
	}
	if err := o.outputs(c); err != nil {
		o.closeOutputs()
		return nil, err
	}
	if o.c.Metrics == nil {
		o.listens(c)
		return o, nil
	}
	m := *o.c.Metrics
	m.Recognized = func(model string) bool { return p.router.Has(model) }
	m.InFlight = func() int64 { return p.live.Load().api.InFlight() }
	m.Seats = func() (s metrics.Seats, on bool) {
		a := p.live.Load().api
		s.Admitted, s.Queued, s.Full, s.Waited = a.SeatsTaken()
		return s, a.SeatsBounded()
	}
	m.Refused = func() int64 { return p.queue.Refused() }
	m.Flush = func() { p.queue.Flush() }
	m.System = o.c.System
	m.Circuits = state.circuits
	m.Budgets = state.remaining
	var err error
	if o.metrics, err = metrics.New(m); err != nil {
		o.closeOutputs()
		return nil, err
	}
	if state.watch != nil {
		state.watch.system.Store(o.metrics.System())
	}
	o.listens(c)
	return o, nil
}

// listens makes the router of a configuration tell of its cooldowns, and of how
// long it took to choose where that is asked for.
func (o *observers) listens(c *Config) {
	deployments := map[string]*call.Deployment{}
	for _, d := range c.Deployments {
		deployments[d.ID] = d
	}
	o.deployments.Store(&deployments)
	if o.metrics != nil && o.metrics.System() != nil {
		c.Router.OnPick = o.metrics.System().Picked
	}
	if o.c.Metrics == nil && o.alerts == nil {
		return
	}
	tell := c.Router.OnCooldown
	c.Router.OnCooldown = func(d call.Cooldown) {
		o.cooled(d)
		if tell != nil {
			tell(d)
		}
	}
}

// replace turns to another configuration, as far as that goes while running.
func (o *observers) replace(c *Config) {
	o.c.MetricsOpen = c.Telemetry.MetricsOpen
	o.secrets.Replace(c.Secrets())
	o.listens(c)
}

// outputs opens what calls are sent to.
func (o *observers) outputs(c *Config) error {
	for _, s := range o.c.Sinks {
		name := s.Name
		s.Log, s.Secrets = c.Log, o.secrets
		s.Failed = func(n int) { o.callbackFailed(name, n) }
		opened, err := sink.New(s)
		if err != nil {
			return err
		}
		o.sinks = append(o.sinks, opened)
	}
	if o.c.OTel != nil {
		t := *o.c.OTel
		t.Log, t.Secrets = c.Log, o.secrets
		t.Failed = func(n int) { o.callbackFailed("otel", n) }
		var err error
		if o.otel, err = otel.New(t); err != nil {
			return err
		}
	}
	if o.c.Alerts != nil {
		a := *o.c.Alerts
		a.Log, a.Secrets = c.Log, o.secrets
		a.Failed = func(n int) { o.callbackFailed("slack", n) } // LiteLLM's name for all channels
		o.alerts = alert.New(a)
	}
	return nil
}

func (o *observers) callbackFailed(name string, n int) {
	if o.metrics != nil {
		o.metrics.CallbackFailed(name, n)
	}
}

func (o *observers) cooled(d call.Cooldown) {
	target := (*o.deployments.Load())[d.ID]
	if target == nil {
		return
	}
	if o.metrics != nil {
		o.metrics.Cooled(target, d.Status, d.For)
	}
	if o.alerts != nil {
		o.alerts.Cooled(target, d)
	}
}

// handlers tells the API what to note and to show.
func (o *observers) handlers(a *api.Options, host string) {
	a.Observe = o.metrics != nil || len(o.sinks) > 0 || o.otel != nil
	a.KeepTags = a.KeepTags || len(o.sinks) > 0
	a.KeepContent = slices.ContainsFunc(o.sinks, (*sink.Sink).Messages) || o.otel != nil && o.otel.Messages()
	if o.otel != nil {
		a.Trace = o.otel.Begin
	}
	if o.alerts != nil {
		a.Watch = o.alerts
	}
	a.TestService = o.test
	if o.metrics == nil {
		return
	}
	a.Metrics = o.metrics.Handler()
	a.Stranger = o.metrics.Stranger
	if system := o.metrics.System(); system != nil {
		a.Identify = timedIdentifier{a.Identify, system}
	}
	ip := net.ParseIP(host)
	a.MetricsOpen = o.c.MetricsOpen || host == "localhost" || ip != nil && ip.IsLoopback()
	if len(o.c.Custom.Metadata)+len(o.c.Custom.Tags) > 0 {
		custom := o.c.Custom
		a.Labels = func(l api.LabelSource) string { return custom.Values(l.Metadata(), l.Tags) }
	}
}

// timedIdentifier counts who was let in, and how long that took.
type timedIdentifier struct {
	of     api.Identifier
	system *metrics.System
}

// Identify implements api.Identifier.
func (t timedIdentifier) Identify(r *http.Request) (*call.Identity, *call.Error) {
	begin := time.Now()
	who, err := t.of.Identify(r)
	if err == nil {
		t.system.Authenticated(time.Since(begin))
	}
	return who, err
}

// test sends something to a service that is configured, so that an operator sees
// it arrive.
func (o *observers) test(ctx context.Context, name string) (answer any, known bool, err error) {
	now := time.Now()
	mock := call.Call{
		ID: "health-services", Route: "/v1/chat/completions", Model: "openai/litellm-mock-response-model", EndUser: "litellm:/health/services",
		Start: now, End: now, Status: http.StatusOK,
	}
	for _, s := range o.sinks {
		if s.Name() == name {
			s.Record([]call.Call{mock})
			return mockMade(name), true, nil
		}
	}
	if name == "otel" && o.otel != nil {
		mock.Trace = o.otel.Begin(http.Header{})
		mock.Trace.Sampled = true
		o.otel.Record([]call.Call{mock})
		return mockMade(name), true, nil
	}
	if name != "slack" && name != "slack_budget_alerts" || o.alerts == nil {
		return nil, false, nil
	}
	if err := o.alerts.Test(ctx); err != nil {
		return nil, true, err
	}
	return struct {
		Status  string   `json:"status"`
		Types   []string `json:"alert_types"`
		Message string   `json:"message"`
	}{"success", o.alerts.Types(), "Mock Slack Alert sent, verify Slack Alert Received on your channel"}, true, nil
}

// mockMade is LiteLLM's answer where a record of a call that never was is sent.
func mockMade(name string) any {
	return struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}{"success", "Mock LLM request made - check " + name + "."}
}

// listen opens the listeners beside the gateway's.
func (o *observers) listen(host string, bind func(name, address string) (net.Listener, error)) error {
	open := func(name string) func(string) (net.Listener, error) {
		if bind == nil {
			return nil
		}
		return func(address string) (net.Listener, error) { return bind(name, address) }
	}
	if o.c.MetricsPort != 0 {
		s, err := telemetry.ListenSide("the metrics port", open("metrics"), host, o.c.MetricsPort, telemetry.OnlyMetrics(o.metrics.Handler()))
		if err != nil {
			return err
		}
		o.sides, o.port = append(o.sides, s), s.Addr()
	}
	if o.c.ProfilePort != 0 {
		s, err := telemetry.ListenSide("the profile port", open("profile"), "127.0.0.1", o.c.ProfilePort, telemetry.Profiles())
		if err != nil {
			return err
		}
		o.sides, o.profile = append(o.sides, s), s.Addr()
	}
	return nil
}

// settle tells a batch of finished calls.
func (o *observers) settle(batch []call.Call) {
	for i := range batch {
		if c := &batch[i]; c.CachedFrom != "" && c.Deployment == nil {
			c.Deployment = o.answered(c)
		}
	}
	if o.metrics != nil {
		o.metrics.Record(batch)
	}
	if o.alerts != nil {
		o.alerts.Record(batch)
	}
	for _, s := range o.sinks {
		s.Record(batch)
	}
	if o.otel != nil {
		o.otel.Record(batch)
	}
}

// answered is the deployment that the cached answer of a call came from; a
// wildcard's has the name that it stands for.
func (o *observers) answered(c *call.Call) *call.Deployment {
	d := (*o.deployments.Load())[c.CachedFrom]
	if d == nil || !strings.Contains(d.Model, "*") {
		return d
	}
	named := *d
	_, named.Model, _ = strings.Cut(c.Model, "/")
	if named.Model == "" {
		named.Model = c.Model
	}
	return &named
}

func (o *observers) close() {
	for _, s := range o.sides {
		s.Close()
	}
	o.sides = nil
}

// closeOutputs sends what waits. Nothing may be settled afterwards.
func (o *observers) closeOutputs() {
	if o.alerts != nil {
		o.alerts.Close()
		o.alerts = nil
	}
	for _, s := range o.sinks {
		s.Close()
	}
	o.sinks = nil
	if o.otel != nil {
		o.otel.Close()
		o.otel = nil
	}
}

// MetricsAddr and ProfileAddr are the addresses of the listeners beside the
// gateway's, nil without them.
func (p *Proxy) MetricsAddr() *net.TCPAddr { return p.observers.port }

// ProfileAddr is where profiles are.
func (p *Proxy) ProfileAddr() *net.TCPAddr { return p.observers.profile }
