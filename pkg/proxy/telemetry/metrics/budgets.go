package metrics

import "github.com/prometheus/client_golang/prometheus"

// budgets shows what providers may still spend.
type budgets struct{ left func() map[string]float64 }

var budgetLeft = prometheus.NewDesc("litellm_provider_remaining_budget_metric", "Dollars that are left of a provider's budget.", []string{"api_provider"}, nil)

// Describe implements prometheus.Collector.
func (budgets) Describe(to chan<- *prometheus.Desc) { to <- budgetLeft }

// Collect implements prometheus.Collector.
func (b budgets) Collect(to chan<- prometheus.Metric) {
	for provider, left := range b.left() {
		to <- prometheus.MustNewConstMetric(budgetLeft, prometheus.GaugeValue, left, provider)
	}
}
