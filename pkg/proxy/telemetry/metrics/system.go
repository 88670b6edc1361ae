package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// System are the metrics of what the gateway is made of and leans on, LiteLLM's
// callback "prometheus_system": a latency, a count and a count of failures each.
// LiteLLM has more of them, for parts that exist only with a database.
type System struct {
	redis, self, router, auth, preCall *service
}

// service has one label, whose name and value are its own name.
type service struct {
	latency prometheus.Observer
	total   prometheus.Counter
	failed  *prometheus.CounterVec
}

// newSystem registers the metrics of the services.
func (m *Metrics) newSystem() *System {
	add := func(name string) *service {
		labels := prometheus.Labels{name: name}
		buckets := m.o.Buckets
		latency := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "litellm_" + name + "_latency", Help: "Seconds that " + name + " took.", ConstLabels: labels, Buckets: buckets,
		})
		total := prometheus.NewCounter(prometheus.CounterOpts{
			Name: "litellm_" + name + "_total_requests_total", Help: "Uses of " + name + ", failed ones included.", ConstLabels: labels,
		})
		failed := prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "litellm_" + name + "_failed_requests_total", Help: "Uses of " + name + " that failed.", ConstLabels: labels,
		}, []string{"error_class", "function_name"})
		m.registry.MustRegister(latency, total, failed)
		return &service{latency, total, failed}
	}
	return &System{redis: add("redis"), self: add("self"), router: add("router"), auth: add("auth"), preCall: add("proxy_pre_call")}
}

func (s *service) took(d time.Duration) {
	s.latency.Observe(max(d, 0).Seconds())
	s.total.Inc()
}

func (s *service) fail(class, function string) {
	s.failed.WithLabelValues(class, function).Inc()
	s.total.Inc()
}

// System returns the metrics of the services; nil where they are not kept.
func (m *Metrics) System() *System { return m.system }

// Redis counts a command, under the name of LiteLLM's function that it does the
// work of; class is that of its error, empty when there was none. Both come from
// short lists.
func (s *System) Redis(function string, took time.Duration, class string) {
	if class != "" {
		s.redis.fail(class, function)
		return
	}
	s.redis.took(took)
}

// Picked counts a choice of a deployment.
func (s *System) Picked(took time.Duration) { s.router.took(took) }

// Authenticated counts a caller who was let in.
func (s *System) Authenticated(took time.Duration) { s.auth.took(took) }

// record counts what a finished call tells of the parts that it went through.
func (s *System) record(c *call.Call) {
	if c.Caller == nil {
		return // the call was refused before its body was read
	}
	before := c.Queued
	if c.Cached {
		before = c.FirstByte.Sub(c.Start)
	}
	if before > 0 {
		s.preCall.took(before)
	}
	for i := range c.FailedAttempts {
		if a := &c.FailedAttempts[i]; !a.Start.IsZero() {
			s.self.took(a.Took)
		}
	}
	if c.Err != nil || c.UpstreamStart.IsZero() {
		return
	}
	answered := c.UpstreamStart.Add(c.UpstreamTime)
	if c.Stream && !c.FirstByte.IsZero() {
		answered = c.FirstByte // as LiteLLM: until the stream begins
	}
	s.self.took(answered.Sub(c.UpstreamStart))
	if c.Route == "/v1/chat/completions" {
		s.router.took(answered.Sub(c.Start.Add(c.Queued)))
	}
}

// circuits shows the circuit breakers before Redis, which count for themselves.
type circuits struct{ list func() []redisconn.Circuit }

var (
	circuitState = prometheus.NewDesc("litellm_redis_circuit_breaker_state", "Circuit breakers before Redis that are in a state.", []string{"state"}, nil)
	circuitTurns = prometheus.NewDesc("litellm_redis_circuit_breaker_transitions_total", "How often a circuit breaker before Redis turned to a state.", []string{"state"}, nil)
	circuitFails = prometheus.NewDesc("litellm_redis_circuit_breaker_failures_total", "Failures of Redis that count for a circuit breaker.", []string{"failure_class"}, nil)
)

// Describe implements prometheus.Collector.
func (circuits) Describe(to chan<- *prometheus.Desc) {
	to <- circuitState
	to <- circuitTurns
	to <- circuitFails
}

// Collect implements prometheus.Collector.
func (c circuits) Collect(to chan<- prometheus.Metric) {
	list := c.list()
	if len(list) == 0 {
		return
	}
	var all redisconn.Circuit
	var closed, open, half float64
	for _, one := range list {
		switch {
		case one.HalfOpen:
			half++
		case one.Open:
			open++
		default:
			closed++
		}
		all.Opened, all.Tried, all.Closed = all.Opened+one.Opened, all.Tried+one.Tried, all.Closed+one.Closed
		all.Timeouts, all.Refusals = all.Timeouts+one.Timeouts, all.Refusals+one.Refusals
	}
	// A state shows from the first time that it was one, as LiteLLM does it.
	show := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, always bool, label string) {
		if always || value > 0 {
			to <- prometheus.MustNewConstMetric(d, kind, value, label)
		}
	}
	show(circuitState, prometheus.GaugeValue, closed, true, "closed")
	show(circuitState, prometheus.GaugeValue, open, all.Opened > 0, "open")
	show(circuitState, prometheus.GaugeValue, half, all.Tried > 0, "half_open")
	show(circuitTurns, prometheus.CounterValue, float64(all.Closed), false, "closed")
	show(circuitTurns, prometheus.CounterValue, float64(all.Opened), false, "open")
	show(circuitTurns, prometheus.CounterValue, float64(all.Tried), false, "half_open")
	show(circuitFails, prometheus.CounterValue, float64(all.Refusals), false, "connectivity")
	show(circuitFails, prometheus.CounterValue, float64(all.Timeouts), false, "timeout")
}
