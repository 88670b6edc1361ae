package proxy

import (
	"math"
	"slices"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/metrics"
)

// callbacks reports whether a name is among the callbacks for successes or for
// all calls.
func (l *loader) callback(name string) bool {
	s := l.tree.LiteLLM()
	return slices.Contains(s.Callbacks.V, name) || slices.Contains(s.SuccessCallbacks.V, name)
}

// telemetry reads what is told about calls, and to whom.
func (l *loader) telemetry() {
	s := l.tree.Section("litellm_settings")
	if l.callback("prometheus") {
		l.c.Telemetry.Metrics = l.metrics(s)
	}
	l.services(s.Get("service_callback"))
	l.c.Telemetry.MetricsOpen = !l.tree.LiteLLM().RequireAuthForMetrics.V
	compat := l.tree.Section("llmgw").Get("compat")
	switch l.text(compat) {
	default:
		l.report(finding.Warning, compat, "%s must be latest or litellm-1.83; latest is used", compat.Path())
	case "", "latest":
	case "litellm-1.83":
		if s.Get("require_auth_for_metrics_endpoint").IsNull() {
			l.c.Telemetry.MetricsOpen = true // as that release does
		}
		if m := l.c.Telemetry.Metrics; m != nil && m.Buckets == nil {
			m.Buckets = metrics.OldBuckets
		}
	}
}

// services reads who is told of the services that the gateway is made of.
func (l *loader) services(n *config.Node) {
	for _, name := range l.names(n) {
		switch name {
		case "prometheus_system":
			l.c.Telemetry.System = true
			if l.c.Telemetry.Metrics == nil && !l.callback("prometheus") {
				l.report(finding.Warning, n, "%s: prometheus_system is shown on /metrics, which litellm_settings.callbacks: [prometheus] or --prometheus-metrics-port switches on", n.Path())
			}
		default:
			l.report(finding.Warning, n, "%s: %q is told nothing of Redis and the other services by llmgw; prometheus_system keeps metrics of them", n.Path(), name)
		}
	}
}

func scalar(n *config.Node) []*config.Node {
	if n != nil && n.IsScalar() {
		return []*config.Node{n}
	}
	return nil
}

func (l *loader) metrics(s *config.Node) *metrics.Options {
	on := func(name string) bool {
		b := l.flag(s.Get(name))
		return b != nil && *b
	}
	o := &metrics.Options{
		Exclude: l.names(s.Get("prometheus_exclude_metrics")), ExcludeLabels: l.names(s.Get("prometheus_exclude_labels")),
		EndUsers: on("enable_end_user_cost_tracking_prometheus_only") && !on("disable_end_user_cost_tracking_prometheus_only") && !on("disable_end_user_cost_tracking"),
		Stream:   on("prometheus_emit_stream_label"), RateLimit: on("prometheus_emit_rate_limit_labels"),
		InputLength: on("prometheus_emit_input_sequence_length_label"),
	}
	for _, g := range s.Get("prometheus_metrics_config").Items() {
		o.Only = append(o.Only, metrics.Selection{Metrics: l.names(g.Get("metrics")), Labels: l.names(g.Get("include_labels"))})
	}
	for _, n := range s.Get("prometheus_latency_buckets").Items() {
		if f := l.number(n, 0, math.Inf(1)); f != nil && !math.IsInf(*f, 0) {
			o.Buckets = append(o.Buckets, *f)
		}
	}
	slices.Sort(o.Buckets)
	o.Buckets = slices.Compact(o.Buckets)
	if n := s.Get("prometheus_deployment_and_latency_caller_identity"); !n.IsNull() {
		o.CallerIdentity = l.text(n)
		if !slices.Contains([]string{"api_key_alias", "user_email", "both"}, o.CallerIdentity) {
			l.report(finding.Warning, n, "%s must be api_key_alias, user_email or both; api_key_alias is used", n.Path())
			o.CallerIdentity = ""
		}
	}
	limit := func(name string) float64 {
		if f := l.number(s.Get(name), 0, maxSeconds); f != nil {
			return *f
		}
		return 0
	}
	o.MaxSeries = int(limit("prometheus_metrics_max_series_per_metric"))
	o.TTL = time.Duration(limit("prometheus_metrics_ttl_seconds") * float64(time.Second))
	if o.EndUsers {
		// LiteLLM bounds only the series with end users unless told otherwise.
		if n := int(limit("prometheus_end_user_metrics_max_series_per_metric")); n > 0 && o.MaxSeries == 0 {
			o.MaxSeries = n
		}
		if o.TTL == 0 {
			o.TTL = time.Hour
			if f := limit("prometheus_end_user_metrics_ttl_seconds"); f > 0 {
				o.TTL = time.Duration(f * float64(time.Second))
			}
		}
	}
	c := metrics.Custom{Metadata: l.names(s.Get("custom_prometheus_metadata_labels")), Tags: l.names(s.Get("custom_prometheus_tags"))}
	o.Custom = c.Names()
	l.c.Telemetry.Custom = c
	return o
}
