package metrics

import "github.com/prometheus/client_golang/prometheus"

// Seats is how requests stand that need a seat to be served.
type Seats struct {
	Admitted, Queued int64
	// Full and Waited were turned away: too many waited, or it took too long.
	Full, Waited int64
}

// seatCollector shows the seats where they are bounded, as LiteLLM does.
type seatCollector struct{ m *Metrics }

var (
	seatsAdmitted = prometheus.NewDesc("litellm_admission_admitted_requests", "Requests that have a seat.", nil, nil)
	seatsQueued   = prometheus.NewDesc("litellm_admission_queued_requests", "Requests that wait for a seat.", nil, nil)
	seatsRejected = prometheus.NewDesc("litellm_admission_rejected_requests_total", "Requests that got no seat.", []string{"reason"}, nil)
)

// Describe implements prometheus.Collector. What is shown depends on settings
// that a reload changes.
func (seatCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c seatCollector) Collect(out chan<- prometheus.Metric) {
	s, on := c.m.o.Seats()
	if !on {
		return
	}
	show := func(d *prometheus.Desc, name string, kind prometheus.ValueType, n int64, labels ...string) {
		if c.m.shows(name) {
			out <- prometheus.MustNewConstMetric(d, kind, float64(n), labels...)
		}
	}
	show(seatsAdmitted, "litellm_admission_admitted_requests", prometheus.GaugeValue, s.Admitted)
	show(seatsQueued, "litellm_admission_queued_requests", prometheus.GaugeValue, s.Queued)
	for reason, n := range map[string]int64{"queue_full": s.Full, "queue_timeout": s.Waited} {
		if n > 0 {
			show(seatsRejected, "litellm_admission_rejected_requests_total", prometheus.CounterValue, n, reason)
		}
	}
}
