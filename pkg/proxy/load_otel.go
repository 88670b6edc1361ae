package proxy

import (
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/otel"
)

// otel reads where traces and metrics go: LiteLLM's variables and those of
// OpenTelemetry, in LiteLLM's order.
func (l *loader) otel() {
	s := l.tree.Section("litellm_settings")
	if l.isOn(s.Get("forward_traceparent_to_llm_provider")) {
		l.c.API.ForwardTrace = true
	}
	if !l.callback("otel") || l.envTrue("OTEL_SDK_DISABLED") {
		return
	}
	o := &otel.Options{
		To: os.Stdout, Sampler: otel.Sampler{Parent: true, Share: 1}, IgnoreParent: l.envTrue("OTEL_IGNORE_CONTEXT_PROPAGATION"),
		HideCallers: l.tree.LiteLLM().RedactUserAPIKeyInfo.V,
		HideErrors:  l.isOn(s.Get("redact_messages_in_exceptions")) || l.tree.LiteLLM().TurnOffMessageLogging.V,
		CAFile:      l.env.Get("OTEL_EXPORTER_OTLP_CERTIFICATE"),
		Gzip:        l.env.Get("OTEL_EXPORTER_OTLP_COMPRESSION") == "gzip",
		Delay:       l.milliseconds("OTEL_BSP_SCHEDULE_DELAY"), MetricInterval: l.milliseconds("OTEL_METRIC_EXPORT_INTERVAL"),
		Batch: int(l.envNumber("OTEL_BSP_MAX_EXPORT_BATCH_SIZE")), Capacity: int(l.envNumber("OTEL_BSP_MAX_QUEUE_SIZE")),
	}
	o.Messages, o.EventContent = l.otelContent()
	o.Delta = l.temporality()
	l.sampler(o)
	l.resource(o)
	if !l.otelTarget(o) {
		return
	}
	l.c.Telemetry.OTel = o
}

// either is the first of the variables that is set.
func (l *loader) either(names ...string) string {
	for _, name := range names {
		if v := strings.TrimSpace(l.env.Get(name)); v != "" {
			return v
		}
	}
	return ""
}

func (l *loader) envTrue(name string) bool {
	return strings.EqualFold(strings.TrimSpace(l.env.Get(name)), "true")
}

func (l *loader) milliseconds(name string) time.Duration {
	return time.Duration(l.envNumber(name) * float64(time.Millisecond))
}

// otelTarget reads the protocol, the addresses and the headers.
func (l *loader) otelTarget(o *otel.Options) bool {
	word := l.either("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER")
	base := l.either("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_ENDPOINT")
	traces, metrics, logs := l.either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), l.either("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"), l.either("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT")
	if (word == "" || word == "console") && base+traces != "" {
		word = "otlp_http" // an address says that something shall be sent
	}
	headers := l.otelHeaders(l.either("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_HEADERS"))
	o.TraceHeaders, o.MetricHeaders, o.LogHeaders = headers, headers, headers
	if own := l.either("OTEL_EXPORTER_OTLP_TRACES_HEADERS"); own != "" {
		o.TraceHeaders = l.otelHeaders(own)
	}
	wantsMetrics := l.envTrue("LITELLM_OTEL_INTEGRATION_ENABLE_METRICS")
	wantsEvents := l.envTrue("LITELLM_OTEL_INTEGRATION_ENABLE_EVENTS")
	switch word {
	case "", "console":
		o.Protocol = otel.Console
		if wantsMetrics || wantsEvents {
			l.report(finding.Warning, nil, "OpenTelemetry's metrics and events are sent to a collector only: set OTEL_ENDPOINT")
		}
		return true
	case "otlp_http", "http/protobuf", "http/json":
		o.Protocol = otel.HTTP
		if base == "" {
			base = "http://localhost:4318"
		}
		if traces == "" {
			traces = signalAddress(base, "traces")
		}
		if metrics == "" {
			metrics = signalAddress(base, "metrics")
		}
		if logs == "" {
			logs = signalAddress(base, "logs")
		}
	case "otlp_grpc", "grpc":
		o.Protocol = otel.GRPC
		if base == "" {
			base = "http://localhost:4317"
		}
		scheme := "https://"
		if l.envTrue("OTEL_EXPORTER_OTLP_INSECURE") {
			scheme = "http://"
		}
		for _, to := range []*string{&traces, &metrics, &logs} {
			if *to == "" {
				*to = base
			}
			if !strings.Contains(*to, "://") {
				*to = scheme + *to
			}
		}
	default:
		l.report(finding.Error, nil, "OTEL_EXPORTER is %q; use otlp_http, otlp_grpc or console; no traces are sent", word)
		return false
	}
	for _, to := range []string{traces, metrics, logs} {
		if u, err := url.Parse(to); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			l.report(finding.Error, nil, "OTEL_ENDPOINT is not an http(s) URL; no traces are sent")
			return false
		}
	}
	o.Traces = redact.New(traces)
	if wantsMetrics {
		o.Metrics = redact.New(metrics)
	}
	if wantsEvents {
		o.Logs = redact.New(logs)
	}
	return true
}

// signalAddress is the address of a signal below that of a collector, which may
// be written with the path of another one.
func signalAddress(base, signal string) string {
	base = strings.TrimRight(base, "/")
	if signal == "traces" && strings.Contains(base, "/v2/trace/otlp") { // Splunk's
		return base
	}
	for _, other := range []string{"traces", "metrics", "logs"} {
		if rest, ok := strings.CutSuffix(base, "/v1/"+other); ok {
			base = rest
		}
	}
	return strings.TrimSuffix(base, "/v1") + "/v1/" + signal
}

// otelHeaders reads "name=value,name=value"; values may be percent-encoded.
func (l *loader) otelHeaders(list string) map[string]redact.Secret {
	headers := map[string]redact.Secret{}
	for pair := range strings.SplitSeq(list, ",") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || strings.TrimSpace(name) == "" {
			continue
		}
		value = strings.TrimSpace(value)
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		headers[strings.TrimSpace(name)] = redact.New(value)
	}
	return headers
}

// otelContent reports whether spans and events hold prompts and answers: only
// where that is asked for, and not turned off.
func (l *loader) otelContent() (spans, events bool) {
	if l.tree.LiteLLM().TurnOffMessageLogging.V {
		return false, false
	}
	switch strings.ToUpper(l.either("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")) {
	case "SPAN_ONLY":
		return true, false
	case "EVENT_ONLY":
		return false, true
	case "SPAN_AND_EVENT", "TRUE", "1":
		return true, true
	case "":
		on := l.isOn(l.tree.Section("callback_settings").Get("otel").Get("message_logging"))
		return on, on
	}
	return false, false
}

// temporality reports whether metrics are sent as what was counted since the last
// time. Both delta and lowmemory mean that for histograms, and there are no others.
func (l *loader) temporality() (delta bool) {
	const name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
	switch word := strings.ToLower(l.either(name)); word {
	case "", "cumulative":
	case "delta", "lowmemory":
		return true
	default:
		l.report(finding.Warning, nil, "%s must be cumulative, delta or lowmemory, not %q; metrics are cumulative", name, word)
	}
	return false
}

// sampler reads OTEL_TRACES_SAMPLER.
func (l *loader) sampler(o *otel.Options) {
	name := l.either("OTEL_TRACES_SAMPLER")
	own, follows := strings.CutPrefix(name, "parentbased_")
	o.Sampler.Parent = follows || name == ""
	switch own {
	case "", "always_on":
	case "always_off":
		o.Sampler.Share = 0
	case "traceidratio":
		if text := l.either("OTEL_TRACES_SAMPLER_ARG"); text != "" {
			f, err := strconv.ParseFloat(text, 64)
			if err != nil || !(f >= 0 && f <= 1) {
				l.report(finding.Warning, nil, "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1; every call is traced")
				return
			}
			o.Sampler.Share = f
		}
	default:
		l.report(finding.Warning, nil, "OTEL_TRACES_SAMPLER %q is not known; every call is traced", name)
		o.Sampler.Parent = true
	}
}

// resource describes this process.
func (l *loader) resource(o *otel.Options) {
	add := func(key, value string) {
		for i := range o.Resource {
			if o.Resource[i][0] == key {
				o.Resource[i][1] = value
				return
			}
		}
		o.Resource = append(o.Resource, [2]string{key, value})
	}
	name := l.either("OTEL_SERVICE_NAME")
	if name == "" {
		name = "litellm"
	}
	model := l.either("OTEL_MODEL_ID")
	if model == "" {
		model = name
	}
	environment := l.either("OTEL_ENVIRONMENT_NAME")
	if environment == "" {
		environment = "production"
	}
	add("service.name", name)
	add("deployment.environment", environment)
	add("model_id", model)
	add("telemetry.sdk.language", "go")
	add("telemetry.sdk.name", "llmgw")
	host, _ := os.Hostname() // without one the process is known by its instance
	if host != "" {
		add("host.name", host)
	}
	// Metrics that only grow must not be mixed up with those of other processes.
	add("service.instance.id", host+"-"+strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	for pair := range strings.SplitSeq(l.env.Get("OTEL_RESOURCE_ATTRIBUTES"), ",") {
		if key, value, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(key) != "" {
			if plain, err := url.PathUnescape(strings.TrimSpace(value)); err == nil {
				add(strings.TrimSpace(key), plain)
			}
		}
	}
	if n := l.either("OTEL_SERVICE_NAME"); n != "" {
		add("service.name", n)
	}
}
