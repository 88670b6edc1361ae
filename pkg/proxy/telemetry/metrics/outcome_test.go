package metrics

import (
	"math"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// want holds shown metrics against what is expected of them.
func want(t *testing.T, m *Metrics, list []shownValue) {
	t.Helper()
	text := shown(t, m)
	for _, w := range list {
		if got := value(t, text, w.name, w.labels...); got != w.value && !(w.value == absent && math.IsNaN(got)) {
			t.Errorf("%s%v is %g, want %g", w.name, w.labels, got, w.value)
		}
	}
}

type shownValue struct {
	name   string
	value  float64
	labels []string
}

// absent is the value of a series that is not shown.
const absent = -1

func TestAClientThatLeavesIsNoFailureOfADeployment(t *testing.T) {
	m := newMetrics(t, Options{})
	gone := &call.Error{Class: call.ClassClientGone}
	m.Record([]call.Call{
		finished(func(c *call.Call) { // in the middle of a stream
			c.Stream, c.Err, c.Status = true, gone, 499
			c.FailedAttempts = []call.FailedAttempt{{Deployment: target, Err: gone}}
		}),
		finished(func(c *call.Call) { c.Status = 499 }), // of a whole answer, which was fetched all the same
		finished(func(c *call.Call) { // before anything came
			c.Err, c.Status, c.FirstByte, c.Usage = gone, 499, time.Time{}, call.Usage{}
		}),
	})
	want(t, m, []shownValue{
		{"litellm_proxy_total_requests_metric_total", 2, []string{`status_code="200"`}},
		{"litellm_proxy_total_requests_metric_total", 1, []string{`status_code="499"`}},
		{"litellm_proxy_failed_requests_metric_total", absent, nil},
		{"litellm_deployment_failure_responses_total", absent, nil},
		{"litellm_deployment_success_responses_total", 2, nil},
		{"litellm_spend_metric_total", 0.5, nil},
		{"litellm_deployment_state", 0, nil},
	})
}

func TestACachedAnswerCountsForTheDeploymentThatGaveIt(t *testing.T) {
	m := newMetrics(t, Options{})
	m.Record([]call.Call{finished(nil), finished(func(c *call.Call) { c.Cached, c.UpstreamTime = true, 0 })})
	want(t, m, []shownValue{
		{"litellm_cache_hits_metric_total", 1, []string{`model="gpt-4o-mini"`, `model_id="d1"`}},
		{"litellm_requests_metric_total", 2, []string{`model_id="d1"`}},
		{"litellm_deployment_success_responses_total", 2, nil},
		{"litellm_llm_api_latency_metric_count", 1, nil},
	})
}

func TestACooldownIsNotForgottenWhenItsCallIsCounted(t *testing.T) {
	now := time.Unix(1000, 0)
	m := newMetrics(t, Options{Now: func() time.Time { return now }})
	failed := finished(func(c *call.Call) {
		c.Err, c.Status = &call.Error{Class: call.ClassRateLimit}, 429
		c.FailedAttempts = []call.FailedAttempt{{Deployment: target, Err: c.Err}}
	})
	m.Cooled(target, 429, 5*time.Second)
	m.Record([]call.Call{failed}) // comes later, behind the queue
	want(t, m, []shownValue{
		{"litellm_deployment_state", 2, []string{`litellm_model_name="gpt-4o-mini"`}},
		{"litellm_deployment_cooled_down_total", 1, []string{`litellm_model_name="chat"`}},
	})
	now = now.Add(6 * time.Second)
	m.Record([]call.Call{failed})
	want(t, m, []shownValue{{"litellm_deployment_state", 1, nil}})
	m.Record([]call.Call{finished(nil)})
	want(t, m, []shownValue{{"litellm_deployment_state", 0, nil}})
}

func TestStrangersAreCountedAndMakeNoSeries(t *testing.T) {
	m := newMetrics(t, Options{})
	for range 3 {
		m.Stranger("/v1/chat/completions", call.NewError(400, "auth_error", call.None, "no"))
	}
	m.Stranger("/v1/models", call.NewError(401, "auth_error", call.None, "no"))
	want(t, m, []shownValue{
		{"litellm_proxy_failed_requests_metric_total", 3, []string{`exception_status="400"`, `client_ip="None"`, `hashed_api_key="None"`, `user_agent="None"`, `route="/v1/chat/completions"`}},
		{"litellm_proxy_total_requests_metric_total", 1, []string{`status_code="401"`, `route="/v1/models"`}},
	})
}

func TestAGroupThatIsPassedOverShows(t *testing.T) {
	m := newMetrics(t, Options{})
	m.Record([]call.Call{
		finished(func(c *call.Call) { c.Model, c.Fallbacks = "other group", 1 }),
		finished(func(c *call.Call) { c.Fallbacks = 1 }), // within the group
	})
	want(t, m, []shownValue{
		{"litellm_deployment_successful_fallbacks_total", 1, []string{`requested_model="other group"`, `fallback_model="chat"`, `exception_class="RouterRateLimitError"`}},
		{"litellm_deployment_failure_responses_total", 1, []string{`model_group="other group"`, `exception_status="None"`}},
	})
}

func TestWhatIsLeftOfALimitIsTheLastThatWasSaid(t *testing.T) {
	m := newMetrics(t, Options{})
	m.Record([]call.Call{finished(func(c *call.Call) { c.RemainingRequests, c.RemainingTokens = "7", "70" }), finished(nil)})
	want(t, m, []shownValue{{"litellm_remaining_requests_metric", 7, nil}, {"litellm_remaining_tokens_metric", 70, nil}})
}

func TestServicesAreToldByTheCallsThatWentThroughThem(t *testing.T) {
	m := newMetrics(t, Options{System: true})
	m.Record([]call.Call{
		finished(func(c *call.Call) {
			c.Queued, c.UpstreamStart = 10*time.Millisecond, c.Start.Add(time.Second)
			c.FailedAttempts = []call.FailedAttempt{{Deployment: target, Err: &call.Error{}, Start: c.Start, Took: 500 * time.Millisecond}}
		}),
	})
	m.System().Redis("async_get_cache", time.Millisecond, "")
	m.System().Redis("async_get_cache", time.Millisecond, "TimeoutError")
	m.System().Picked(time.Microsecond)
	m.System().Authenticated(time.Microsecond)
	want(t, m, []shownValue{
		{"litellm_self_latency_count", 2, []string{`self="self"`}},
		{"litellm_self_latency_sum", 2.5, nil},
		{"litellm_proxy_pre_call_latency_sum", 0.01, nil},
		{"litellm_router_latency_count", 2, nil}, // a choice and a completion
		{"litellm_redis_latency_count", 1, nil},
		{"litellm_redis_total_requests_total", 2, nil},
		{"litellm_redis_failed_requests_total", 1, []string{`error_class="TimeoutError"`, `function_name="async_get_cache"`, `redis="redis"`}},
		{"litellm_auth_total_requests_total", 1, nil},
	})
	if newMetrics(t, Options{}).System() != nil {
		t.Error("services are kept that nobody asked for")
	}
}

func TestCircuitsShowTheirStates(t *testing.T) {
	list := []redisconn.Circuit{{}, {Open: true, Opened: 2, Tried: 1, Timeouts: 5, Refusals: 3}}
	m := newMetrics(t, Options{Circuits: func() []redisconn.Circuit { return list }})
	want(t, m, []shownValue{
		{"litellm_redis_circuit_breaker_state", 1, []string{`state="closed"`}},
		{"litellm_redis_circuit_breaker_state", 1, []string{`state="open"`}},
		{"litellm_redis_circuit_breaker_transitions_total", 2, []string{`state="open"`}},
		{"litellm_redis_circuit_breaker_failures_total", 5, []string{`failure_class="timeout"`}},
		{"litellm_redis_circuit_breaker_failures_total", 3, []string{`failure_class="connectivity"`}},
	})
	list = nil
	want(t, m, []shownValue{{"litellm_redis_circuit_breaker_state", absent, nil}})
}
