// Package metrics keeps LiteLLM's Prometheus metrics. It is fed with finished
// calls in batches, on one goroutine behind the accounting queue, so that no
// request waits for it; every combination of labels is resolved once and found
// again by one look-up. What is scraped is bounded: beyond the limit of series
// a metric counts into one series whose labels all say "other".
package metrics

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// DefaultMaxSeries bounds the series of one metric. LiteLLM has no bound.
const DefaultMaxSeries = 10000

// Options say what is shown.
type Options struct {
	// Only shows these metrics with these labels; empty shows all. A metric's
	// labels may be empty: all of them.
	Only []Selection
	// Exclude and ExcludeLabels leave metrics and labels out.
	Exclude, ExcludeLabels []string
	// Buckets are those of the latencies; nil means Buckets.
	Buckets []float64
	// EndUsers shows the request's user.
	EndUsers bool
	// Stream, RateLimit and InputLength add labels.
	Stream, RateLimit, InputLength bool
	// CallerIdentity is api_key_alias, user_email or both.
	CallerIdentity string
	// Custom are the names of configured labels, in the order in which
	// call.Call.Labels has their values.
	Custom []string
	// System keeps the metrics of the services that the gateway is made of.
	System bool
	// Budgets are what providers may still spend; nil shows none.
	Budgets func() map[string]float64
	// Circuits are the states of the connections to Redis; nil shows none.
	Circuits func() []redisconn.Circuit
	// MaxSeries bounds the series of one metric; 0 means DefaultMaxSeries.
	MaxSeries int
	// TTL forgets series that nothing has written to for so long; 0 keeps them.
	TTL time.Duration
	// Recognized says whether a model name is one of the configuration's.
	Recognized func(model string) bool
	// InFlight is the number of requests being served.
	InFlight func() int64
	// Seats are the requests that have a seat, that wait for one, and that were
	// turned away; on is false where seats have never been bounded.
	Seats func() (s Seats, on bool)
	// Refused is the number of calls that found no room in the queue.
	Refused func() int64
	// Flush brings what waits into the metrics, before they are shown.
	Flush func()
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Selection is one entry of prometheus_metrics_config.
type Selection struct {
	Metrics, Labels []string
}

// Metrics is the set of all metrics. Record and Expire belong to one goroutine;
// everything else may be called from any.
type Metrics struct {
	o        Options
	registry *prometheus.Registry
	// mu is held per batch, and by the rare events that come from elsewhere.
	mu       sync.Mutex
	families [metricCount]*family
	cells    map[cellKey]*cell
	system   *System // nil where it is not kept
	// cooling is until when deployments are left out.
	cooling map[string]time.Time
	start   time.Time
	expired time.Time
}

// New returns the metrics of a gateway.
func New(o Options) (*Metrics, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxSeries <= 0 {
		o.MaxSeries = DefaultMaxSeries
	}
	if len(o.Buckets) == 0 {
		o.Buckets = Buckets
	}
	if o.Recognized == nil {
		o.Recognized = func(string) bool { return true }
	}
	m := &Metrics{o: o, registry: prometheus.NewRegistry(), cells: map[cellKey]*cell{}, cooling: map[string]time.Time{}, start: o.Now()}
	m.expired = m.start
	for i := range definitions {
		if err := m.add(&definitions[i]); err != nil {
			return nil, err
		}
	}
	if o.Budgets != nil && m.shows("litellm_provider_remaining_budget_metric") {
		m.registry.MustRegister(budgets{o.Budgets})
	}
	if o.Circuits != nil {
		m.registry.MustRegister(circuits{o.Circuits})
	}
	if o.System {
		m.system = m.newSystem()
	}
	m.registry.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics()),
	)
	gauge := func(name, help string, f func() int64) {
		if f != nil && m.shows(name) {
			m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(f()) }))
		}
	}
	gauge("litellm_in_flight_requests", "Requests being served.", o.InFlight)
	if o.Seats != nil {
		m.registry.MustRegister(seatCollector{m})
	}
	if o.Refused != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "llmgw_accounting_refused_total", Help: "Calls that were served but not counted, because the queue was full.",
		}, func() float64 { return float64(o.Refused()) }))
	}
	return m, nil
}

// shows says whether a metric is wanted.
func (m *Metrics) shows(name string) bool {
	if slices.Contains(m.o.Exclude, name) {
		return false
	}
	return len(m.o.Only) == 0 || slices.ContainsFunc(m.o.Only, func(s Selection) bool { return slices.Contains(s.Metrics, name) })
}

// wants says whether a metric has a label.
func (m *Metrics) wants(metric, label string) bool {
	if slices.Contains(m.o.ExcludeLabels, label) {
		return false
	}
	for _, s := range m.o.Only {
		if slices.Contains(s.Metrics, metric) && len(s.Labels) > 0 {
			return slices.Contains(s.Labels, label)
		}
	}
	return true
}

func (m *Metrics) add(d *definition) error {
	if !m.shows(d.name) {
		return nil
	}
	f := &family{definition: *d, limit: m.o.MaxSeries, series: map[string]*series{}}
	wanted := m.identity(d)
	if d.id == totalRequests && m.o.Stream {
		wanted = append(wanted, stream)
	}
	if d.id == failedRequests && m.o.RateLimit {
		wanted = append(wanted, rateLimitCategory, rateLimitType)
	}
	if m.o.InputLength && (d.id == totalLatency || d.id == apiLatency || d.id == firstToken) {
		wanted = append(wanted, inputLength)
	}
	for _, l := range wanted {
		if name := labelNames[l]; m.wants(d.name, name) {
			f.labels, f.names = append(f.labels, l), append(f.names, name)
		}
	}
	for i, name := range m.o.Custom {
		if name = labelName(name); !d.plain && m.wants(d.name, name) && !slices.Contains(f.names, name) {
			f.custom, f.names = append(f.custom, i), append(f.names, name)
		}
	}
	if d.id == callbackFailures {
		f.names = []string{"callback_name"}
	}
	var c prometheus.Collector
	switch d.kind {
	case counter:
		f.counter = prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.wireName(), Help: d.help}, f.names)
		c = f.counter
	case gauge:
		f.gauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.wireName(), Help: d.help}, f.names)
		c = f.gauge
	case histogram:
		buckets := d.buckets
		if buckets == nil {
			buckets = m.o.Buckets
		}
		f.hist = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.wireName(), Help: d.help, Buckets: buckets}, f.names)
		c = f.hist
	}
	if err := m.registry.Register(c); err != nil {
		return fmt.Errorf("metric %s: %w", d.name, err)
	}
	m.families[d.id] = f
	return nil
}

// identity puts the configured label of a caller in the place of the alias.
func (m *Metrics) identity(d *definition) []label {
	list := slices.Clone(d.labels)
	if !slices.Contains(identity, d.id) {
		return list
	}
	i := slices.Index(list, apiKeyAlias)
	switch m.o.CallerIdentity {
	case "user_email":
		list[i] = userEmail
	case "both":
		list = slices.Insert(list, i+1, userEmail)
	}
	return list
}

// Handler shows the metrics.
func (m *Metrics) Handler() http.Handler {
	show := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.o.Flush != nil {
			m.o.Flush()
		}
		show.ServeHTTP(w, r)
	})
}

// Gatherer is what Handler shows.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Stranger counts a request whose caller was not let in. It tells nothing of the
// caller: who has no key must not make series.
func (m *Metrics) Stranger(route string, err *call.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record(&call.Call{Route: route, Err: err, Status: err.StatusCode()}, m.seconds(m.o.Now()))
}

// Cooled counts a cooldown.
func (m *Metrics) Cooled(d *call.Deployment, status int, lasts time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var v values
	v.deployment(d, d.Group)
	v.fixed[exceptionStatus] = strconv.Itoa(status)
	now := m.seconds(m.o.Now())
	if len(m.cooling) >= m.o.MaxSeries {
		clear(m.cooling)
	}
	m.cooling[d.ID] = m.o.Now().Add(lasts)
	if f := m.families[cooledDown]; f != nil {
		w := v
		w.fixed[litellmModelName] = d.Group // as LiteLLM names it here, and only here
		s := f.at(&w)
		s.used = now
		s.add.Inc()
	}
	if f := m.families[deploymentState]; f != nil {
		s := f.at(&v)
		s.used = now
		s.set.Set(2)
	}
}

// CallbackFailed counts records that a log target did not take.
func (m *Metrics) CallbackFailed(name string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.families[callbackFailures]; f != nil {
		s := f.get([]string{name})
		s.used = m.seconds(m.o.Now())
		s.add.Add(float64(n))
	}
}

func (m *Metrics) seconds(t time.Time) int64 { return int64(t.Sub(m.start) / time.Second) }

// number reads a count that a provider sent.
func number(text string) (float64, bool) {
	if text == "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}
