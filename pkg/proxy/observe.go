package proxy

import (
	"net"

	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/metrics"
)

// Telemetry is what is told about calls, and to whom.
type Telemetry struct {
	// Metrics are the Prometheus metrics; nil keeps none. Custom are their
	// configured labels.
	Metrics *metrics.Options
	Custom  metrics.Custom
	// MetricsOpen shows them without a key, MetricsPort on a port of its own.
	MetricsOpen bool
	MetricsPort int
	// ProfilePort serves profiles on the loopback; 0 does not.
	ProfilePort int
}

// observers are the parts that calls are told to.
type observers struct {
	c       *Telemetry
	metrics *metrics.Metrics
	sides   []*telemetry.Side
	port    *net.TCPAddr
	profile *net.TCPAddr
	// deployments by their id, for events that name one.
	deployments map[string]*call.Deployment
}

// observe prepares what is told about calls, and lets the router tell what only
// it knows.
func (p *Proxy) observe(c *Config) (*observers, error) {
	o := &observers{c: &c.Telemetry, deployments: map[string]*call.Deployment{}}
	if o.c.MetricsPort != 0 && o.c.Metrics == nil {
		o.c.Metrics = &metrics.Options{}
	}
	if o.c.Metrics == nil {
		return o, nil
	}
	for _, d := range c.Deployments {
		o.deployments[d.ID] = d
	}
	m := *o.c.Metrics
	m.Recognized = func(model string) bool { return p.router.Has(model) }
	m.InFlight = func() int64 { return p.api.InFlight() }
	m.Refused = func() int64 { return p.queue.Refused() }
	m.Flush = func() { p.queue.Flush() }
	var err error
	if o.metrics, err = metrics.New(m); err != nil {
		return nil, err
	}
	tell := c.Router.OnCooldown
	c.Router.OnCooldown = func(d call.Cooldown) {
		if target := o.deployments[d.ID]; target != nil {
			o.metrics.Cooled(target, d.Status)
		}
		if tell != nil {
			tell(d)
		}
	}
	return o, nil
}

// handlers tells the API what to note and to show.
func (o *observers) handlers(a *api.Options, host string) {
	if o.metrics == nil {
		return
	}
	a.Observe = true
	a.Metrics = o.metrics.Handler()
	ip := net.ParseIP(host)
	a.MetricsOpen = o.c.MetricsOpen || host == "localhost" || ip != nil && ip.IsLoopback()
	if len(o.c.Custom.Metadata)+len(o.c.Custom.Tags) > 0 {
		custom := o.c.Custom
		a.Labels = func(l api.LabelSource) string { return custom.Values(l.Metadata(), l.Tags) }
	}
}

// listen opens the listeners beside the gateway's.
func (o *observers) listen(host string) error {
	if o.c.MetricsPort != 0 {
		s, err := telemetry.ListenSide("the metrics port", host, o.c.MetricsPort, telemetry.OnlyMetrics(o.metrics.Handler()))
		if err != nil {
			return err
		}
		o.sides, o.port = append(o.sides, s), s.Addr()
	}
	if o.c.ProfilePort != 0 {
		s, err := telemetry.ListenSide("the profile port", "127.0.0.1", o.c.ProfilePort, telemetry.Profiles())
		if err != nil {
			return err
		}
		o.sides, o.profile = append(o.sides, s), s.Addr()
	}
	return nil
}

// settle tells a batch of finished calls.
func (o *observers) settle(batch []call.Call) {
	if o.metrics != nil {
		o.metrics.Record(batch)
	}
}

func (o *observers) close() {
	for _, s := range o.sides {
		s.Close()
	}
	o.sides = nil
}

// MetricsAddr and ProfileAddr are the addresses of the listeners beside the
// gateway's, nil without them.
func (p *Proxy) MetricsAddr() *net.TCPAddr { return p.observers.port }

// ProfileAddr is where profiles are.
func (p *Proxy) ProfileAddr() *net.TCPAddr { return p.observers.profile }
