package proxy

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/otel"
)

const otelOn = "litellm_settings: {callbacks: [otel]}\n"

func TestOpenTelemetryIsReadFromLiteLLMsVariables(t *testing.T) {
	for _, tt := range []struct {
		name            string
		env             []string
		protocol        otel.Protocol
		traces, metrics string
		headers         map[string]string
		warns           string
		events          string
	}{
		{name: "without an address spans are printed", protocol: otel.Console},
		{name: "an address is enough", env: []string{"OTEL_ENDPOINT=http://c:4318"}, protocol: otel.HTTP, traces: "http://c:4318/v1/traces"},
		{name: "an address may name the signal", env: []string{"OTEL_EXPORTER=otlp_http", "OTEL_ENDPOINT=https://api.example/v1/traces/", "OTEL_HEADERS=x-team=abc=,Authorization=Basic%20Zm9v"},
			protocol: otel.HTTP, traces: "https://api.example/v1/traces", headers: map[string]string{"x-team": "abc=", "Authorization": "Basic Zm9v"}},
		{name: "OpenTelemetry's own names win", env: []string{"OTEL_EXPORTER=console", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "OTEL_ENDPOINT=http://no", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c/v1/metrics",
			"LITELLM_OTEL_INTEGRATION_ENABLE_METRICS=true"}, protocol: otel.HTTP, traces: "http://c/v1/traces", metrics: "http://c/v1/metrics"},
		{name: "an address of one signal is taken as it is", env: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t/x", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=b", "OTEL_HEADERS=a=c"},
			protocol: otel.HTTP, traces: "http://t/x", headers: map[string]string{"a": "b"}},
		{name: "gRPC without a scheme is encrypted", env: []string{"OTEL_EXPORTER=otlp_grpc", "OTEL_ENDPOINT=c:4317"}, protocol: otel.GRPC, traces: "https://c:4317"},
		{name: "gRPC may be plain", env: []string{"OTEL_EXPORTER=grpc", "OTEL_ENDPOINT=http://c:4317"}, protocol: otel.GRPC, traces: "http://c:4317"},
		{name: "another exporter is an error", env: []string{"OTEL_EXPORTER=jaeger"}, warns: `OTEL_EXPORTER is "jaeger"`},
		{name: "an address that is none is an error", env: []string{"OTEL_ENDPOINT=collector"}, warns: "OTEL_ENDPOINT is not an http(s) URL"},
		{name: "events go beside", env: []string{"OTEL_ENDPOINT=http://c:4318", "LITELLM_OTEL_INTEGRATION_ENABLE_EVENTS=true", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=EVENT_ONLY"},
			protocol: otel.HTTP, traces: "http://c:4318/v1/traces", events: "http://c:4318/v1/logs with content"},
		{name: "events without what was said", env: []string{"OTEL_ENDPOINT=http://c:4318", "LITELLM_OTEL_INTEGRATION_ENABLE_EVENTS=true", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://l/x"},
			protocol: otel.HTTP, traces: "http://c:4318/v1/traces", events: "http://l/x"},
		{name: "OpenTelemetry can be switched off as a whole", env: []string{"OTEL_SDK_DISABLED=true", "OTEL_ENDPOINT=http://c:4318"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, findings := load(t, otelOn, tt.env...)
			var texts []string
			for _, f := range findings {
				texts = append(texts, f.Message)
			}
			if all := strings.Join(texts, "\n"); !strings.Contains(all, tt.warns) || strings.Contains(all, "otel") && tt.warns == "" {
				t.Errorf("findings: %s", all)
			}
			o := c.Telemetry.OTel
			if o == nil {
				if tt.protocol != "" {
					t.Fatal("nothing is sent")
				}
				return
			}
			events := o.Logs.Reveal()
			if o.EventContent {
				events += " with content"
			}
			if events != tt.events {
				t.Errorf("events go to %q", events)
			}
			if o.Protocol != tt.protocol || o.Traces.Reveal() != tt.traces || o.Metrics.Reveal() != tt.metrics {
				t.Errorf("%s to %s and %s", o.Protocol, o.Traces.Reveal(), o.Metrics.Reveal())
			}
			for name, want := range tt.headers {
				if got := o.TraceHeaders[name].Reveal(); got != want {
					t.Errorf("header %s: %q", name, got)
				}
			}
		})
	}
}

func TestSpansAreSampledNamedAndDiscreetAsTheVariablesSay(t *testing.T) {
	c, _ := load(t, otelOn, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.5", "OTEL_SERVICE_NAME=gw", "OTEL_ENVIRONMENT_NAME=test", "OTEL_RESOURCE_ATTRIBUTES=team=a%20b,service.name=no",
		"OTEL_IGNORE_CONTEXT_PROPAGATION=true", "OTEL_BSP_SCHEDULE_DELAY=250", "OTEL_BSP_MAX_QUEUE_SIZE=9", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY")
	o := c.Telemetry.OTel
	resource := map[string]string{}
	for _, a := range o.Resource {
		resource[a[0]] = a[1]
	}
	if o.Sampler != (otel.Sampler{Share: 0.5}) || !o.IgnoreParent || o.Delay != 250*time.Millisecond || o.Capacity != 9 || !o.Messages ||
		resource["service.name"] != "gw" || resource["deployment.environment"] != "test" || resource["model_id"] != "gw" || resource["team"] != "a b" || resource["service.instance.id"] == "" {
		t.Errorf("%+v %v", o, resource)
	}
	c, _ = load(t, "litellm_settings: {callbacks: [otel], turn_off_message_logging: true}\ncallback_settings: {otel: {message_logging: true}}\n", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true")
	if o := c.Telemetry.OTel; o.Messages || !o.HideErrors || o.Sampler != (otel.Sampler{Parent: true, Share: 1}) {
		t.Errorf("%+v", o)
	}
}

func TestATraceGoesThroughTheGateway(t *testing.T) {
	var mu sync.Mutex
	var seen []http.Header
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		seen = append(seen, r.Header.Clone())
		n := len(seen)
		mu.Unlock()
		if n == 1 {
			w.WriteHeader(500)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"chatcmpl-9","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`))
	})
	var spans []*tracepb.Span
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var d tracepb.TracesData
		if err := proto.Unmarshal(body, &d); err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, s := range d.ResourceSpans {
			spans = append(spans, s.ScopeSpans[0].Spans...)
		}
	}))
	t.Cleanup(collector.Close)
	c, _ := load(t, `
model_list:
- {model_name: m, litellm_params: {model: openai/gpt-4o-mini, api_base: `+base+`, api_key: k}, model_info: {id: a}}
- {model_name: m, litellm_params: {model: openai/gpt-4o-mini, api_base: `+base+`, api_key: k}, model_info: {id: b}}
litellm_settings: {callbacks: [otel], forward_traceparent_to_llm_provider: true, num_retries: 2}
`, "OTEL_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=10")
	c.Auth.MasterKey = redact.New(testKey)
	delay := 0.0
	c.Router.Jitter = &delay
	_, url := gateway(t, c)
	post(t, url+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"x"}]}`,
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate", "vendor=1")
	waitFor(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(spans) >= 3
	})
	mu.Lock()
	if len(seen) != 2 || len(spans) != 3 {
		t.Fatalf("%d attempts, %d spans", len(seen), len(spans))
	}
	for i, h := range seen {
		want := "00-0af7651916cd43dd8448eb211c80319c-" + hex.EncodeToString(spans[i+1].SpanId) + "-01"
		if got := h.Get("Traceparent"); got != want || h.Get("Tracestate") != "vendor=1" {
			t.Errorf("attempt %d was sent %q, its span is %s", i+1, got, want)
		}
	}
	for _, s := range spans {
		if hex.EncodeToString(s.TraceId) != "0af7651916cd43dd8448eb211c80319c" || s.EndTimeUnixNano <= s.StartTimeUnixNano {
			t.Errorf("span %v", s)
		}
	}
	named := map[string]string{}
	for _, a := range spans[2].Attributes {
		named[a.Key] = a.Value.GetStringValue()
	}
	if named["gen_ai.request.model"] != "gpt-4o-mini" || named["gen_ai.response.model"] != "gpt-4o-mini-2024-07-18" || named["gen_ai.response.id"] != "chatcmpl-9" {
		t.Errorf("the answer's span says %v", named)
	}
	spans = nil
	mu.Unlock()
	if _, body := asked(t, url+"/health/services?service=otel", true); body != `{"status":"success","message":"Mock LLM request made - check otel."}` {
		t.Errorf("services: %s", body)
	}
	waitFor(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(spans) == 1
	})
}

func TestUpstreamsLearnNothingOfTracesUnlessTold(t *testing.T) {
	for _, tt := range []struct{ settings, want string }{
		{"{}", ""},
		{"{forward_traceparent_to_llm_provider: true}", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	} {
		got := "not called"
		base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("Traceparent")
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"id":"c","object":"chat.completion","choices":[]}`))
		})
		c, _ := load(t, "model_list:\n- {model_name: m, litellm_params: {model: openai/gpt-4o-mini, api_base: "+base+", api_key: k}}\nlitellm_settings: "+tt.settings+"\n")
		c.Auth.MasterKey = redact.New(testKey)
		_, url := gateway(t, c)
		post(t, url+"/v1/chat/completions", `{"model":"m","messages":[]}`, "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		if got != tt.want {
			t.Errorf("%s: the upstream was sent %q", tt.settings, got)
		}
	}
}
