package metrics

import (
	"fmt"
	"io"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

var target = &call.Deployment{ID: "d1", Group: "chat", Provider: "openai", Model: "gpt-4o-mini", APIBase: "http://up/v1?key=x", RPM: 10, TPM: 1000}

// finished is a call as the gateway records it.
func finished(edit func(*call.Call)) call.Call {
	begin := time.Unix(1000, 0)
	c := call.Call{
		Caller: &call.Identity{KeyHash: call.MasterKeyAlias, UserID: "default_user_id"}, Route: "/v1/chat/completions",
		Model: "chat", EndUser: "alice", Deployment: target, Status: 200, Start: begin, FirstByte: begin.Add(time.Second), End: begin.Add(3 * time.Second),
		UpstreamTime: 2 * time.Second, ClientIP: "10.0.0.1", UserAgent: "probe/1",
		Usage: call.Usage{PromptTokens: 8, CompletionTokens: 4, TotalTokens: 12, CachedTokens: 3, Known: true}, Cost: call.Cost{Total: 0.25, Known: true},
	}
	if edit != nil {
		edit(&c)
	}
	return c
}

func newMetrics(t testing.TB, o Options) *Metrics {
	t.Helper()
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func shown(t testing.TB, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	b, _ := io.ReadAll(w.Body)
	return string(b)
}

// value returns what a series shows; the pattern is a part of its labels.
func value(t testing.TB, text, name string, labels ...string) (v float64) {
	t.Helper()
	v = math.NaN()
lines:
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue lines
			}
		}
		if !math.IsNaN(v) {
			t.Errorf("more than one series of %s has %v", name, labels)
		}
		if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func TestACallIsShownUnderLiteLLMsNames(t *testing.T) {
	m := newMetrics(t, Options{})
	m.Record([]call.Call{finished(nil), finished(func(c *call.Call) { c.Stream = true })})
	text := shown(t, m)
	for name, want := range map[string]float64{
		"litellm_spend_metric_total": 0.5, "litellm_total_tokens_metric_total": 24, "litellm_input_tokens_metric_total": 16,
		"litellm_output_tokens_metric_total": 8, "litellm_input_cached_tokens_metric_total": 6, "litellm_requests_metric_total": 2,
		"litellm_deployment_success_responses_total": 2, "litellm_deployment_state": 0, "litellm_deployment_rpm_limit": 10,
		"litellm_request_total_latency_metric_count": 2, "litellm_request_total_latency_metric_sum": 6, "litellm_llm_api_latency_metric_sum": 4,
		// A second of three was not the upstream's: in seconds, whatever the help text of others says.
		"litellm_overhead_latency_metric_sum":              2,
		"litellm_llm_api_time_to_first_token_metric_count": 1, "litellm_deployment_latency_per_output_token_count": 2,
		"litellm_provider_cache_read_input_tokens_metric_total": 6,
	} {
		if got := value(t, text, name); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %g, want %g", name, got, want)
		}
	}
	if !strings.Contains(text, `litellm_requests_metric_total{api_key_alias="None",api_provider="openai",client_ip="10.0.0.1",end_user="None",hashed_api_key="litellm_proxy_master_key",model="gpt-4o-mini",model_id="d1",org_alias="None",org_id="None",requested_model="chat",team="None",team_alias="None",user="default_user_id",user_agent="probe/1",user_email="None"} 2`) {
		t.Errorf("labels differ:\n%s", text)
	}
	if strings.Contains(text, "key=x") {
		t.Error("a query of the api base is shown")
	}
}

func TestFailuresAreCountedByAttemptAndByCall(t *testing.T) {
	other := *target
	other.ID, other.Group = "d2", "spare"
	failure := &call.Error{Class: call.ClassRateLimit}
	m := newMetrics(t, Options{Recognized: func(name string) bool { return name == "chat" }})
	m.Record([]call.Call{
		finished(func(c *call.Call) { // a fallback that helped
			c.Deployment, c.Fallbacks = &other, 1
			c.FailedAttempts = []call.FailedAttempt{{Deployment: target, Err: failure}, {Deployment: target, Err: failure}}
		}),
		finished(func(c *call.Call) { // one that did not
			c.Deployment, c.Fallbacks, c.Err, c.Status, c.Usage = &other, 1, failure, 429, call.Usage{}
			c.FailedAttempts = []call.FailedAttempt{{Deployment: target, Err: failure}, {Deployment: &other, Err: failure}}
		}),
		finished(func(c *call.Call) { // an unknown model
			c.Deployment, c.Model, c.Status, c.Usage = nil, "made up by a client", 400, call.Usage{}
			c.Err = call.NewError(400, call.None, call.None, "{'error': '/chat/completions: Invalid model name passed in model=x'}")
		}),
	})
	text := shown(t, m)
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"litellm_deployment_failure_responses_total", []string{`model_id="d1"`, `exception_class="Openai.RateLimitError"`, `exception_status="429"`}, 3},
		{"litellm_deployment_failure_responses_total", []string{`model_id="d2"`}, 1},
		{"litellm_deployment_failure_responses_total", []string{`model_id=""`, `requested_model="other"`, `exception_class="ProxyModelNotFoundError"`}, 1},
		{"litellm_deployment_successful_fallbacks_total", []string{`requested_model="chat"`, `fallback_model="spare"`}, 1},
		{"litellm_deployment_failed_fallbacks_total", []string{`requested_model="chat"`, `fallback_model="spare"`}, 1},
		{"litellm_proxy_failed_requests_metric_total", []string{`requested_model="chat"`}, 1},
		{"litellm_proxy_failed_requests_metric_total", []string{`requested_model="other"`}, 1},
		{"litellm_deployment_state", []string{`model_id="d1"`}, 1},
	} {
		if got := value(t, text, tt.name, tt.labels...); got != tt.want {
			t.Errorf("%s%v is %g, want %g", tt.name, tt.labels, got, tt.want)
		}
	}
	if strings.Contains(text, "made up") {
		t.Error("a name that a client made up is a label")
	}
	m.Cooled(target, 429, time.Minute)
	text = shown(t, m)
	if got := value(t, text, "litellm_deployment_cooled_down_total", `exception_status="429"`); got != 1 {
		t.Errorf("cooled down %g times", got)
	}
	if got := value(t, text, "litellm_deployment_state", `model_id="d1"`); got != 2 {
		t.Errorf("state %g of a deployment that is left out", got)
	}
}

func TestSeriesAreBoundedAndNothingIsLost(t *testing.T) {
	const limit, calls = 50, 500
	m := newMetrics(t, Options{MaxSeries: limit})
	for i := range calls {
		m.Record([]call.Call{finished(func(c *call.Call) { c.UserAgent = fmt.Sprint("agent/", i) })})
	}
	if n := testutil.CollectAndCount(m.families[requests].counter); n > limit+1 {
		t.Errorf("%d series", n)
	}
	text := shown(t, m)
	if got := value(t, text, "litellm_requests_metric_total", `api_key_alias="other"`, `user_agent="other"`); got != calls-limit {
		t.Errorf("the overflow series has %g, want %d", got, calls-limit)
	}
	if len(m.cells) > 2*limit {
		t.Errorf("%d cells", len(m.cells))
	}
}

func TestSeriesThatNothingWritesToAreForgotten(t *testing.T) {
	now := time.Unix(0, 0)
	m := newMetrics(t, Options{TTL: 10 * time.Minute, Now: func() time.Time { return now }})
	m.Record([]call.Call{finished(func(c *call.Call) { c.UserAgent = "old" })})
	now = now.Add(8 * time.Minute)
	m.Record([]call.Call{finished(func(c *call.Call) { c.UserAgent = "new" })})
	now = now.Add(5 * time.Minute)
	m.Record([]call.Call{finished(func(c *call.Call) { c.UserAgent = "new" })})
	text := shown(t, m)
	if strings.Contains(text, `user_agent="old"`) {
		t.Error("the old series is there")
	}
	if got := value(t, text, "litellm_requests_metric_total", `user_agent="new"`); got != 2 {
		t.Errorf("the other series has %g", got)
	}
}

func TestWhatIsShownCanBeChosen(t *testing.T) {
	custom := Custom{Metadata: []string{"metadata.foo", "metadata.a.b"}, Tags: []string{"prod", "User-Agent: curl/*"}}
	for _, tt := range []struct {
		name        string
		o           Options
		has, hasNot []string
	}{
		{"only some metrics and labels", Options{Only: []Selection{{[]string{"litellm_requests_metric"}, []string{"model", "user"}}}},
			[]string{`litellm_requests_metric_total{model="gpt-4o-mini",user="default_user_id"} 1`}, []string{"litellm_spend_metric"}},
		{"metrics and labels left out", Options{Exclude: []string{"litellm_spend_metric"}, ExcludeLabels: []string{"client_ip", "user_agent"}},
			[]string{"litellm_requests_metric_total"}, []string{"litellm_spend_metric", "10.0.0.1", "probe/1"}},
		{"end users", Options{EndUsers: true}, []string{`end_user="alice"`}, nil},
		{"streams", Options{Stream: true}, []string{`stream="False"`}, nil},
		{"prompt lengths", Options{InputLength: true}, []string{`input_sequence_length="0-1k"`}, nil},
		{"the caller's address", Options{CallerIdentity: "user_email"}, []string{`litellm_deployment_total_requests_total{api_base="http://up/v1",api_provider="openai",client_ip`}, nil},
		{"own buckets", Options{Buckets: []float64{1, 7}}, []string{`le="7"`}, []string{`litellm_llm_api_latency_metric_bucket{api_key_alias="None",api_provider="openai",end_user="None",hashed_api_key="litellm_proxy_master_key",model="gpt-4o-mini",model_group="chat",model_id="d1",org_alias="None",org_id="None",requested_model="chat",service_tier="None",team="None",team_alias="None",user="default_user_id",le="2"`}},
		{"own labels", Options{Custom: custom.Names()}, []string{`metadata_a_b="deep",metadata_foo="bar"`, `tag_User_Agent__curl__="true",tag_prod="false"`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMetrics(t, tt.o)
			m.Record([]call.Call{finished(func(c *call.Call) {
				if tt.o.Custom != nil {
					c.Labels = custom.Values([][]byte{[]byte(`{"foo":"bar","a":{"b":"deep"}}`)}, func() []string { return []string{"User-Agent: curl/8"} })
				}
			})})
			text := shown(t, m)
			for _, want := range tt.has {
				if !strings.Contains(text, want) {
					t.Errorf("lacks %s\n%s", want, text)
				}
			}
			for _, not := range tt.hasNot {
				if strings.Contains(text, not) {
					t.Errorf("has %s", not)
				}
			}
		})
	}
}

func TestHostileValuesKeepTheTextWhole(t *testing.T) {
	m := newMetrics(t, Options{})
	m.Record([]call.Call{finished(func(c *call.Call) { c.UserAgent = "a\"} 1\nlitellm_fake 3\xff\u2028" })})
	if text := shown(t, m); strings.Contains(text, "\nlitellm_fake") {
		t.Error("a value made a line of its own")
	}
}

// TestMasterKeyAlias pins D31 of docs/compatibility.md for labels.
func TestMasterKeyAlias(t *testing.T) {
	m := newMetrics(t, Options{})
	m.Record([]call.Call{finished(nil)})
	if got := value(t, shown(t, m), "litellm_requests_metric_total", `hashed_api_key="litellm_proxy_master_key"`); got != 1 {
		t.Errorf("the master key's alias has %g calls", got)
	}
}

func TestACallThatWasSeenBeforeAllocatesNothing(t *testing.T) {
	m := newMetrics(t, Options{})
	batch := []call.Call{finished(nil)}
	m.Record(batch)
	if n := testing.AllocsPerRun(100, func() { m.Record(batch) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	m := newMetrics(b, Options{})
	batch := []call.Call{finished(nil)}
	b.ReportAllocs()
	for b.Loop() {
		m.Record(batch)
	}
}
