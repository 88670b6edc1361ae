package otel

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector decodes what it gets with OpenTelemetry's own types.
type collector struct {
	mu      sync.Mutex
	traces  []*tracepb.TracesData
	metrics []*metricspb.MetricsData
	logs    []*logspb.LogsData
	header  http.Header
	paths   []string
	answer  []int
	broken  []error
	grpc    string // the status of gRPC answers
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paths, c.header = append(c.paths, r.URL.Path), r.Header
	if len(c.answer) > 0 {
		w.WriteHeader(c.answer[0])
		c.answer = c.answer[1:]
		return
	}
	gz := r.Header.Get("Content-Encoding") == "gzip"
	rpc := r.Header.Get("Content-Type") == grpcType
	if rpc {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" || len(body) < 5 || int(binary.BigEndian.Uint32(body[1:])) != len(body)-5 {
			c.broken = append(c.broken, io.ErrUnexpectedEOF)
			return
		}
		gz, body = body[0] == 1, body[5:]
	}
	if gz {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(z)
		}
		c.broken = append(c.broken, err)
	}
	var err error
	if strings.Contains(r.URL.Path, "logs") {
		m := &logspb.LogsData{}
		err = proto.Unmarshal(body, m)
		c.logs = append(c.logs, m)
	} else if strings.Contains(r.URL.Path, "metrics") {
		m := &metricspb.MetricsData{}
		err = proto.Unmarshal(body, m)
		c.metrics = append(c.metrics, m)
	} else {
		m := &tracepb.TracesData{}
		err = proto.Unmarshal(body, m)
		c.traces = append(c.traces, m)
	}
	c.broken = append(c.broken, err)
	if rpc {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write([]byte{0, 0, 0, 0, 0})
		w.Header().Set("Grpc-Status", c.grpc)
	}
}

func (c *collector) spans(t *testing.T) (list []*tracepb.Span) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, err := range c.broken {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range c.traces {
		for _, r := range d.ResourceSpans {
			for _, s := range r.ScopeSpans {
				list = append(list, s.Spans...)
			}
		}
	}
	return list
}

func serve(t *testing.T, c *collector) string {
	t.Helper()
	s := httptest.NewUnstartedServer(c)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func start(t *testing.T, o Options) *Exporter {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var (
	begin   = time.Unix(1_700_000_000, 0)
	first   = &call.Deployment{ID: "d1", Group: "chat", Provider: "azure", Model: "gpt-4o", APIBase: "https://one.example/v1?key=hidden"}
	second  = &call.Deployment{ID: "d2", Group: "chat", Provider: "openai", Model: "gpt-4o-mini", APIBase: "http://two.example:8080/v1"}
	failure = &call.Error{Class: call.ClassRateLimit, Status: 429, Message: "slow down, sk-upstream-secret-1234567890"}
)

// retried is a stream that a second deployment answered.
func retried(e *Exporter, parent string) call.Call {
	h := http.Header{}
	if parent != "" {
		h.Set("Traceparent", parent)
		h.Set("Tracestate", "vendor=1")
	}
	c := call.Call{
		ID: "call-1", Caller: &call.Identity{KeyHash: "abc", TeamID: "t"}, Route: "/v1/chat/completions", Model: "chat", EndUser: "eve", Stream: true,
		Start: begin, Deployment: second, Attempts: 2, Retries: 1, Status: 200,
		FailedAttempts: []call.FailedAttempt{{Deployment: first, Err: failure, Start: begin.Add(time.Millisecond), Took: 20 * time.Millisecond}},
		UpstreamStart:  begin.Add(30 * time.Millisecond), UpstreamTime: 900 * time.Millisecond,
		FirstByte: begin.Add(130 * time.Millisecond), End: begin.Add(time.Second),
		Usage: call.Usage{PromptTokens: 10, CompletionTokens: 8, TotalTokens: 18, CachedTokens: 4, ReasoningTokens: 2, Known: true},
		Cost:  call.Cost{Input: 0.25, Output: 0.5, Total: 0.75, Known: true}, ClientIP: "10.0.0.1", UserAgent: "sdk/1",
		Prompt: []byte(`[{"role":"user","content":"a private thought"}]`),
	}
	c.Trace = e.Begin(h)
	c.Trace.AnswerID, c.Trace.Model, c.Trace.Finish = "chatcmpl-1", "gpt-4o-mini-2024-07-18", "stop"
	return c
}

func attributes(list []*v1.KeyValue) map[string]any {
	m := map[string]any{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *v1.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		case *v1.AnyValue_IntValue:
			m[a.Key] = v.IntValue
		case *v1.AnyValue_DoubleValue:
			m[a.Key] = v.DoubleValue
		case *v1.AnyValue_BoolValue:
			m[a.Key] = v.BoolValue
		case *v1.AnyValue_ArrayValue:
			m[a.Key] = v.ArrayValue.Values[0].GetStringValue()
		}
	}
	return m
}

func has(t *testing.T, of string, got, want map[string]any) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s: %s is %v (%[3]T), want %v (%[4]T)", of, key, got[key], value)
		}
	}
}

const clientParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestACallBecomesSpansThatACollectorUnderstands(t *testing.T) {
	for _, tt := range []struct {
		protocol Protocol
		gzip     bool
		path     string
	}{
		{HTTP, false, "/v1/traces"}, {HTTP, true, "/v1/traces"},
		{GRPC, false, traceSignal.method}, {GRPC, true, traceSignal.method},
	} {
		name := string(tt.protocol)
		if tt.gzip {
			name += " compressed"
		}
		t.Run(name, func(t *testing.T) {
			c := &collector{grpc: "0"}
			address := serve(t, c)
			if tt.protocol == HTTP {
				address += "/v1/traces"
			}
			e := start(t, Options{
				Protocol: tt.protocol, Traces: redact.New(address), TraceHeaders: map[string]redact.Secret{"X-Key": redact.New("k")}, Gzip: tt.gzip,
				Resource: [][2]string{{"service.name", "litellm"}}, Sampler: Sampler{Parent: true, Share: 1}, Delay: time.Hour,
				Secrets: redact.NewKnown(redact.New("sk-upstream-secret-1234567890")),
			})
			e.Record([]call.Call{retried(e, clientParent)})
			e.Close() // sends what waits
			spans := c.spans(t)
			if len(spans) != 3 || len(c.paths) != 1 || c.paths[0] != tt.path || c.header.Get("X-Key") != "k" || e.Dropped() != 0 {
				t.Fatalf("%d spans, %v, %d dropped", len(spans), c.paths, e.Dropped())
			}
			if r := attributes(c.traces[0].ResourceSpans[0].Resource.Attributes); r["service.name"] != "litellm" {
				t.Errorf("resource %v", r)
			}
			root, failed, answered := spans[0], spans[1], spans[2]
			if root.Name != "POST /v1/chat/completions" || root.Kind != tracepb.Span_SPAN_KIND_SERVER || hex.EncodeToString(root.TraceId) != "0af7651916cd43dd8448eb211c80319c" ||
				hex.EncodeToString(root.ParentSpanId) != "b7ad6b7169203331" || root.TraceState != "vendor=1" || root.Status != nil ||
				root.StartTimeUnixNano != uint64(begin.UnixNano()) || root.EndTimeUnixNano != uint64(begin.Add(time.Second).UnixNano()) || root.Flags != 0x301 {
				t.Errorf("root %v", root)
			}
			has(t, "root", attributes(root.Attributes), map[string]any{
				"http.request.method": "POST", "http.route": "/v1/chat/completions", "http.response.status_code": int64(200), "client.address": "10.0.0.1",
				"litellm.call_id": "call-1", "litellm.attempted_retries": int64(1), "metadata.user_api_key_hash": "abc", "metadata.user_api_key_end_user_id": "eve",
			})
			for _, s := range []*tracepb.Span{failed, answered} {
				if !bytes.Equal(s.TraceId, root.TraceId) || !bytes.Equal(s.ParentSpanId, root.SpanId) || s.Kind != tracepb.Span_SPAN_KIND_CLIENT || len(s.SpanId) != 8 || s.Flags != 0x101 {
					t.Errorf("attempt %v", s)
				}
			}
			if failed.Name != "chat gpt-4o" || failed.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || !strings.HasPrefix(failed.Status.Message, "slow down") ||
				strings.Contains(failed.Status.Message, "sk-upstream") || failed.EndTimeUnixNano-failed.StartTimeUnixNano != uint64(20*time.Millisecond) {
				t.Errorf("failed attempt %v", failed)
			}
			has(t, "failed attempt", attributes(failed.Attributes), map[string]any{
				"error.type": "RateLimitError", "gen_ai.provider.name": "azure.ai.openai", "gen_ai.system": "azure", "server.address": "one.example", "server.port": int64(443),
			})
			if answered.Name != "chat gpt-4o-mini" || answered.Status != nil {
				t.Errorf("answered %v", answered)
			}
			a := attributes(answered.Attributes)
			has(t, "answered", a, map[string]any{
				"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.request.stream": true,
				"gen_ai.response.id": "chatcmpl-1", "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.finish_reasons": "stop", "gen_ai.usage.input_tokens": int64(10), "gen_ai.usage.output_tokens": int64(8),
				"gen_ai.usage.cache_read.input_tokens": int64(4), "gen_ai.cost.total_cost": 0.75, "server.address": "two.example", "server.port": int64(8080),
				"gen_ai.response.time_to_first_chunk": 0.1,
			})
			if a["gen_ai.input.messages"] != nil || strings.Contains(answered.String()+failed.String(), "private") || strings.Contains(failed.String(), "hidden") {
				t.Errorf("shows too much: %v", spans)
			}
		})
	}
}

func TestPromptsAreInSpansOnlyWhereThatIsAskedFor(t *testing.T) {
	c := &collector{}
	e := start(t, Options{Protocol: HTTP, Traces: redact.New(serve(t, c)), Sampler: Sampler{Share: 1}, Messages: true, HideCallers: true, HideErrors: true})
	quiet := retried(e, "")
	quiet.NoLog = true
	e.Record([]call.Call{retried(e, ""), quiet})
	e.Close()
	spans := c.spans(t)
	if a := attributes(spans[2].Attributes); a["gen_ai.input.messages"] != `[{"role":"user","content":"a private thought"}]` {
		t.Errorf("got %v", a)
	}
	if a := attributes(spans[5].Attributes); a["gen_ai.input.messages"] != nil {
		t.Errorf("got %v", a)
	}
	if a := attributes(spans[0].Attributes); a["metadata.user_api_key_hash"] != nil || spans[1].Status.Message != "RateLimitError" {
		t.Errorf("got %v, %v", a, spans[1].Status)
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	c := &collector{}
	url := serve(t, c)
	e := start(t, Options{Protocol: HTTP, Traces: redact.New(url + "/v1/traces"), Metrics: redact.New(url + "/v1/metrics"), Resource: [][2]string{{"service.name", "litellm"}}})
	e.Record([]call.Call{retried(e, ""), retried(e, "")})
	e.Close()
	if len(c.metrics) != 1 {
		t.Fatalf("%d exports", len(c.metrics))
	}
	got := map[string]*metricspb.Metric{}
	for _, m := range c.metrics[0].ResourceMetrics[0].ScopeMetrics[0].Metrics {
		got[m.Name] = m
	}
	for name, want := range map[string]struct {
		unit string
		sum  float64
	}{
		"gen_ai.client.token.usage": {"{token}", 20}, "gen_ai.client.operation.duration": {"s", 2}, "gen_ai.usage.cost": {"USD", 1.5},
		"gen_ai.server.time_to_first_token": {"s", 0.2}, "gen_ai.server.time_per_output_token": {"s", 0.2}, "gen_ai.client.response.duration": {"s", 1.8},
	} {
		m := got[name]
		if m == nil || m.Unit != want.unit || m.GetHistogram().AggregationTemporality != metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE {
			t.Fatalf("%s: %v", name, m)
		}
		for _, p := range m.GetHistogram().DataPoints {
			a, sum := attributes(p.Attributes), want.sum
			if name == "gen_ai.client.token.usage" && a["gen_ai.token.type"] == "output" {
				sum = 16
			}
			n := uint64(0)
			for _, b := range p.BucketCounts {
				n += b
			}
			if p.Count != 2 || n != 2 || len(p.BucketCounts) != len(p.ExplicitBounds)+1 || math.Abs(p.GetSum()-sum) > 1e-9 || a["gen_ai.request.model"] != "gpt-4o-mini" || a["gen_ai.response.model"] != "gpt-4o-mini-2024-07-18" || a["gen_ai.provider.name"] != "openai" {
				t.Errorf("%s: %v", name, p)
			}
			if name == "gen_ai.client.token.usage" && a["gen_ai.token.type"] == "input" && p.BucketCounts[2] != 2 { // 4 < 10 <= 16
				t.Errorf("buckets %v", p.BucketCounts)
			}
		}
	}
	if len(got["gen_ai.client.token.usage"].GetHistogram().DataPoints) != 2 {
		t.Error("not one point for input and one for output")
	}
}

// With delta, each export has what is new; what a collector did not take comes with
// the next.
func TestMetricsMayBeSentAsWhatIsNew(t *testing.T) {
	var mu sync.Mutex
	refuse := false
	var counts []uint64
	var spans [][2]uint64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var got metricspb.MetricsData
		if err := proto.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if refuse {
			w.WriteHeader(400) // is not tried again
			return
		}
		n, span := uint64(0), [2]uint64{}
		for _, m := range got.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			if m.Name == "gen_ai.client.operation.duration" {
				p := m.GetHistogram().DataPoints[0]
				n, span = p.Count, [2]uint64{p.StartTimeUnixNano, p.TimeUnixNano}
				if m.GetHistogram().AggregationTemporality != metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA {
					t.Error(m)
				}
			}
		}
		counts, spans = append(counts, n), append(spans, span)
	}))
	t.Cleanup(s.Close)
	e := start(t, Options{Protocol: HTTP, Traces: redact.New(s.URL), Metrics: redact.New(s.URL), Delta: true, MetricInterval: time.Hour, Delay: time.Hour})
	send := func(calls int) {
		for range calls {
			e.mu.Lock()
			c := retried(e, "")
			e.meter.record(&c)
			e.mu.Unlock()
		}
		e.flushMetrics(t.Context())
	}
	send(2)
	refuse = true
	send(3)
	refuse = false
	send(1)
	send(0)
	e.Close()
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(counts, []uint64{2, 4}) || spans[1][0] != spans[0][1] || spans[1][1] <= spans[1][0] {
		t.Errorf("%v in %v", counts, spans)
	}
}

func TestModelsThatClientsInventFillNoMemory(t *testing.T) {
	m := newMeter(begin)
	for i := range 3 * maxPoints {
		d := *second
		d.Model = "m" + time.Duration(i).String()
		m.record(&call.Call{Deployment: &d, Route: "/v1/embeddings", Start: begin, End: begin.Add(time.Second)})
	}
	if n := len(m.points[duration]); n != maxPoints+1 {
		t.Errorf("%d points", n)
	}
	if p := m.points[duration][pointKey{overflow: true}]; p == nil || p.count != 2*maxPoints || p.key.attributes()[0].key != "otel.metric.overflow" {
		t.Errorf("overflow %v", p)
	}
}

func TestTheSamplerDecides(t *testing.T) {
	off := strings.TrimSuffix(clientParent, "1") + "0"
	for _, tt := range []struct {
		name    string
		o       Options
		parent  string
		sampled bool
		follows bool
	}{
		{"a client that traces is followed", Options{Sampler: Sampler{Parent: true, Share: 0}}, clientParent, true, true},
		{"a client that does not is followed too", Options{Sampler: Sampler{Parent: true, Share: 1}}, off, false, true},
		{"without a client the share counts", Options{Sampler: Sampler{Parent: true, Share: 1}}, "", true, false},
		{"the share may be nothing", Options{Sampler: Sampler{Share: 0}}, clientParent, false, true},
		{"a client's trace can be left", Options{Sampler: Sampler{Parent: true, Share: 1}, IgnoreParent: true}, off, true, false},
		{"what is not a trace begins a new one", Options{Sampler: Sampler{Parent: true, Share: 1}}, "00-nonsense", true, false},
		{"zeros are not a trace", Options{Sampler: Sampler{Parent: true, Share: 1}}, "00-00000000000000000000000000000000-b7ad6b7169203331-01", true, false},
		{"version ff is not a trace", Options{Sampler: Sampler{Parent: true, Share: 1}}, "ff" + clientParent[2:], true, false},
		{"capitals are not a trace", Options{Sampler: Sampler{Parent: true, Share: 1}}, strings.ToUpper(clientParent), true, false},
		{"a later version may be longer", Options{Sampler: Sampler{Parent: true, Share: 0}}, "01" + clientParent[2:] + "-what", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &Exporter{o: tt.o}
			h := http.Header{}
			if tt.parent != "" {
				h.Set("Traceparent", tt.parent)
			}
			tr := e.Begin(h)
			if follows := tr.TraceText() == "0af7651916cd43dd8448eb211c80319c"; tr.Sampled != tt.sampled || follows != tt.follows || tr.Span == [8]byte{} {
				t.Errorf("got %+v", tr)
			}
		})
	}
	e := &Exporter{o: Options{Sampler: Sampler{Share: 0.25}}}
	n := 0
	for range 4000 {
		if e.Begin(http.Header{}).Sampled {
			n++
		}
	}
	if n < 850 || n > 1150 { // five standard deviations
		t.Errorf("%d of 4000 at a quarter", n)
	}
}

func TestAttemptsHaveSpansOfTheirOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := &call.Trace{Sampled: rapid.Bool().Draw(t, "sampled")}
		copy(tr.Span[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "span"))
		tr.TraceID[15] = 1
		a, b := tr.Attempt(1), tr.Attempt(2)
		var back call.Trace
		sampled, ok := parse(tr.Header(1), &back)
		if a == b || !ok || sampled != tr.Sampled || back.Parent != a || back.TraceID != tr.TraceID {
			t.Fatalf("%x %x %s", a, b, tr.Header(1))
		}
	})
}

func TestWhatACollectorRefusesIsTriedAgainWhereThatHelpsAndCounted(t *testing.T) {
	for _, tt := range []struct {
		name         string
		answer       []int
		asks, failed int
	}{
		{"a busy collector gets the spans again", []int{503}, 2, 0},
		{"a refusal is final", []int{401}, 1, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &collector{answer: tt.answer}
			failed := 0
			var log strings.Builder
			e := start(t, Options{Protocol: HTTP, Traces: redact.New(serve(t, c) + "/v1/traces?key=secret-path"), Sampler: Sampler{Share: 1}, Failed: func(n int) { failed += n }, Log: slog.New(slog.NewTextHandler(&log, nil))})
			e.Record([]call.Call{retried(e, "")})
			e.Close()
			if len(c.paths) != tt.asks || failed != tt.failed || e.Dropped() != int64(tt.failed) || strings.Contains(log.String(), "secret-path") || (tt.failed > 0) != strings.Contains(log.String(), "data are lost") {
				t.Errorf("asked %d times, %d lost, log %s", len(c.paths), failed, log.String())
			}
		})
	}
	t.Run("a collector that speaks no gRPC is told of", func(t *testing.T) {
		c := &collector{grpc: "12"} // unimplemented
		var log strings.Builder
		e := start(t, Options{Protocol: GRPC, Traces: redact.New(serve(t, c)), Sampler: Sampler{Share: 1}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		e.Record([]call.Call{retried(e, "")})
		e.Close()
		if e.Dropped() != 3 || !strings.Contains(log.String(), "gRPC status 12") {
			t.Errorf("%d lost, log %s", e.Dropped(), log.String())
		}
	})
}

func TestACollectorThatHangsHoldsUpNothing(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer srv.Close()
	e := start(t, Options{Protocol: HTTP, Traces: redact.New(srv.URL), Sampler: Sampler{Share: 1}, Delay: 5 * time.Millisecond, Capacity: 60, Timeout: time.Minute})
	time.Sleep(10 * time.Millisecond)
	begin := time.Now()
	for range 1000 {
		e.Record([]call.Call{retried(e, "")})
	}
	if took := time.Since(begin); took > 5*time.Second || e.Dropped() == 0 {
		t.Errorf("took %s, %d dropped", took, e.Dropped())
	}
	begin = time.Now()
	e.Close()
	if took := time.Since(begin); took > farewell+2*time.Second {
		t.Errorf("the end took %s", took)
	}
}

func TestWithoutACollectorSpansArePrinted(t *testing.T) {
	var out bytes.Buffer
	e := start(t, Options{Protocol: Console, To: &out, Sampler: Sampler{Share: 1}})
	e.Record([]call.Call{retried(e, clientParent)})
	e.Close()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines: %s", len(lines), out.String())
	}
	var s struct {
		Name    string
		Parent  string `json:"parent_id"`
		Context struct {
			TraceID string `json:"trace_id"`
		}
	}
	if err := json.Unmarshal([]byte(lines[0]), &s); err != nil || s.Parent != "0xb7ad6b7169203331" || s.Context.TraceID != "0x0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("%v %s", err, lines[0])
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(clientParent)
	f.Add("00-")
	f.Fuzz(func(t *testing.T, s string) {
		var tr call.Trace
		sampled, ok := parse(s, &tr)
		if !ok {
			return
		}
		flags, err := hex.DecodeString(s[53:55])
		if err != nil || hex.EncodeToString(tr.TraceID[:]) != s[3:35] || hex.EncodeToString(tr.Parent[:]) != s[36:52] || sampled != (flags[0]&1 == 1) {
			t.Fatalf("%q became %+v", s, tr)
		}
	})
}

func BenchmarkRecordSpans(b *testing.B) {
	e := &Exporter{o: Options{Protocol: HTTP, Traces: redact.New("http://x"), Sampler: Sampler{Share: 1}, Capacity: 1 << 30, Batch: 1 << 30}, meter: newMeter(begin)}
	answered := retried(e, "")
	answered.FailedAttempts = nil
	for _, of := range []struct {
		name string
		c    call.Call
	}{{"answered", answered}, {"retried", retried(e, "")}} {
		b.Run(of.name, func(b *testing.B) {
			batch := []call.Call{of.c}
			b.ReportAllocs()
			for b.Loop() {
				e.Record(batch)
				e.waiting, e.size = e.waiting[:0], 0
			}
		})
	}
}
