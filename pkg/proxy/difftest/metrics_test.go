package difftest

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/mock"
)

const metricsConfig = `model_list:
  - model_name: chat
    litellm_params: {model: openai/gpt-4o-mini, api_base: "UPSTREAM/v1", api_key: k, rpm: 100000, tpm: 1000000}
    model_info: {id: dep-1}
  - model_name: priced
    litellm_params: {model: openai/house, api_base: "UPSTREAM/v1", api_key: k, input_cost_per_token: 0.001, output_cost_per_token: "2e-3"}
    model_info: {id: dep-2}
  - model_name: bad
    litellm_params: {model: openai/mock/500, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {id: dep-3}
  - model_name: limited
    litellm_params: {model: openai/mock/429, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {id: dep-4}
  - model_name: slow
    litellm_params: {model: openai/mock/latency-2s, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {id: dep-5}
  - model_name: paced
    litellm_params: {model: openai/mock/itl-200ms, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {id: dep-6}
  - model_name: embed
    litellm_params: {model: openai/text-embedding-3-small, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {id: dep-7, mode: embedding}
  - model_name: image
    litellm_params: {model: openai/dall-e-3, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {id: dep-8, mode: image_generation}
  - model_name: worse
    litellm_params: {model: openai/mock/503, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {id: dep-9}
general_settings: {master_key: ` + master + `}
router_settings: {num_retries: 0, allowed_fails: 0, cooldown_time: 600}
litellm_settings:
  request_timeout: 20
  num_retries: 0
  callbacks: [prometheus]
  service_callback: [prometheus_system]
  fallbacks: [{bad: [chat]}]
  cache: true
  cache_params: {type: redis, host: "REDISHOST", port: "REDISPORT", supported_call_types: [acompletion, completion]}
`

// without are LiteLLM's metrics that this build does not show, and why.
var without = map[string]string{
	"litellm_total_users": "database", "litellm_active_users": "database", "litellm_teams_count": "database",
	"litellm_check_batch_cost_jobs_polled": "batches", "litellm_check_batch_cost_last_run_timestamp": "batches",
	"litellm_remaining_user_budget_metric": "database", "litellm_remaining_api_key_budget_metric": "database",
	"litellm_remaining_api_key_requests_for_model": "key limits", "litellm_remaining_api_key_tokens_for_model": "key limits",
}

// differs is a series that only one of both shows, and why that is meant. The
// metric may end in a star.
type differs struct {
	metric string
	labels string // a part of the labels
	theirs bool   // LiteLLM shows it
	why    string
}

var meant = []differs{
	{"litellm_cache_misses_metric_total", "", false, "every miss counts, not those of streams alone"},
	{"litellm_deployment_state", "litellm_model_name=bad", true, "a cooldown shows in the one series of its deployment; LiteLLM opens another under the group's name, which stays 2"},
	{"litellm_deployment_state", "litellm_model_name=limited", true, "the same"},
	{"litellm_deployment_state", "litellm_model_name=worse", true, "the same"},
	{"litellm_deployment_state", "api_provider=,litellm_model_name=", true, "api_provider is named for embeddings and images, too"},
	{"litellm_deployment_state", "model_id=dep-7", false, "the same"},
	{"litellm_deployment_state", "model_id=dep-8", false, "the same"},
	{"*", "exception_class=Exception,", true, "a caller who is not let in is nobody: no address, no key, no model, whose body is not read"},
	{"*", "2ab06c", true, "the same"},
	{"litellm_proxy_total_requests_metric_total", "hashed_api_key=None", true, "the same"},
	{"litellm_deployment_total_requests_total", "hashed_api_key=None", true, "the same"},
	{"litellm_llm_api_failed_requests_metric_total", "hashed_api_key=None", true, "the same"},
	{"*", "hashed_api_key=None", false, "the same"},
	{"*", "exception_class=RouterRateLimitError,exception_status=None", true, "a refusal by cooldown has its status, 429"},
	{"*", "exception_class=RouterRateLimitError,exception_status=429", false, "the same"},
	{"litellm_proxy_total_requests_metric_total", "requested_model=limited,route=/v1/chat/completions,status_code=None", true, "the same"},
	{"litellm_proxy_total_requests_metric_total", "requested_model=limited,route=/v1/chat/completions,status_code=429", false, "the same"},
	{"*", "requested_model=,", true, "a body that is no JSON came from somebody"},
	{"*", "requested_model=,", false, "the same"},
	{"litellm_overhead*", "model_id=dep-8", false, "images have overhead, too"},
	{"litellm_overhead*", "model_id=dep-6", false, "and so has a stream whose client left"},
	{"litellm_request_queue_time_seconds", "model_id=dep-8", false, "images wait as other calls do"},
}

func (d *differs) matches(metric, labels string, theirs bool) bool {
	begin, open := strings.CutSuffix(d.metric, "*")
	return d.theirs == theirs && (metric == d.metric || open && strings.HasPrefix(metric, begin)) && strings.Contains(labels, d.labels)
}

// TestMetricsAreLiteLLMs sends the same calls to both and compares the names of
// metrics, their kinds, labels, buckets, and the labels' values.
func TestMetricsAreLiteLLMs(t *testing.T) {
	program := litellmProgram(t)
	if out, err := exec.Command(filepath.Join(filepath.Dir(program), "python"), "-c", "import prometheus_client").CombinedOutput(); err != nil {
		t.Skipf("difftest: skipped, LiteLLM has no prometheus_client: pip install it beside LiteLLM, or name its directory in PYTHONPATH (%.80s)", out)
	}
	m := mock.New(mock.Options{Seed: 1})
	up := httptest.NewServer(m)
	t.Cleanup(up.Close)
	t.Cleanup(m.Close)
	dir := t.TempDir()
	// Each has a Redis of its own: they would share cooldowns.
	file := func(name string) string {
		redis, err := url.Parse(testenv.RedisServer(t).URL("0"))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		text := strings.NewReplacer("UPSTREAM", up.URL, "REDISHOST", redis.Hostname(), "REDISPORT", redis.Port()).Replace(metricsConfig)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bin := filepath.Join(dir, "llmgw")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/llmgw/llmgw").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	theirs := scrape(t, process(t, program, file("theirs.yaml"), 2*time.Minute))
	ours := scrape(t, process(t, bin, file("ours.yaml"), 10*time.Second, "serve"))
	compared, seen := 0, map[int]bool{}
	explained := func(metric, labels string, their bool) bool {
		for i := range meant {
			if meant[i].matches(metric, labels, their) {
				seen[i] = true
				return true
			}
		}
		return false
	}
	for name, l := range theirs {
		if !strings.HasPrefix(name, "litellm_") || strings.HasSuffix(name, "_created") || len(l.Metric) == 0 || without[name] != "" {
			continue
		}
		compared++
		o := ours[name]
		if o == nil {
			t.Errorf("metric missing: %s", name)
			continue
		}
		if l.GetType() != o.GetType() {
			t.Errorf("%s is a %s, ours a %s", name, l.GetType(), o.GetType())
			continue
		}
		ls, os := sets(l), sets(o)
		for _, s := range ls {
			// A name that no model has is a client's choice: ours is "other".
			s = strings.ReplaceAll(s, "model=unheard of", "model=other")
			if !slices.Contains(os, s) && !explained(name, s, true) {
				t.Errorf("%s lacks {%s}", name, s)
			}
		}
		for _, s := range os {
			if !slices.Contains(ls, strings.ReplaceAll(s, ",model=other", ",model=unheard of")) && !explained(name, s, false) {
				t.Errorf("%s adds {%s}", name, s)
			}
		}
		if l.GetType() == dto.MetricType_HISTOGRAM {
			if a, b := bounds(l), bounds(o); !slices.Equal(a, b) {
				t.Errorf("%s has buckets %v, ours %v", name, a, b)
			}
		}
	}
	for name := range ours {
		if strings.HasPrefix(name, "litellm_") && theirs[name] == nil {
			t.Errorf("%s is none of LiteLLM's", name)
		}
	}
	if compared < 35 {
		t.Errorf("only %d metrics were compared", compared)
	}
	for i := range meant {
		if !seen[i] {
			t.Errorf("no longer a difference: %+v", meant[i])
		}
	}
	for name, apart := range map[string]float64{
		"litellm_spend_metric_total": 0.01, "litellm_total_tokens_metric_total": 0.01, "litellm_requests_metric_total": 0,
		"litellm_proxy_total_requests_metric_total": 0, "litellm_proxy_failed_requests_metric_total": 0, "litellm_deployment_failure_responses_total": 0,
		"litellm_deployment_success_responses_total": 0, "litellm_cache_hits_metric_total": 0, "litellm_deployment_cooled_down_total": 0,
		"litellm_auth_total_requests_total": 0.1,
	} {
		if a, b := sum(theirs[name]), sum(ours[name]); a == 0 || b < a*(1-apart) || b > a*(1+apart) {
			t.Errorf("%s is %g, ours %g", name, a, b)
		}
	}
	t.Logf("%d metrics were compared", compared)
}

// scrape makes calls of all kinds and returns the metrics after them.
func scrape(t *testing.T, p proxy) map[string]*dto.MetricFamily {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second}
	agent := map[string]string{"User-Agent": "probe/1"}
	post := func(path, body string, headers map[string]string) {
		h := maps.Clone(agent)
		maps.Copy(h, headers)
		if _, err := answer(client, p.base, ask{method: "POST", path: path, body: body, headers: h}); err != nil {
			t.Fatal(err)
		}
	}
	chat := func(body string) { post("/v1/chat/completions", body, nil) }
	chat(`{"model":"chat","user":"u1","messages":[{"role":"user","content":"hi"}]}`)
	time.Sleep(time.Second) // LiteLLM writes to its cache in the background
	chat(`{"model":"chat","user":"u1","messages":[{"role":"user","content":"hi"}]}`)
	chat(`{"model":"chat","stream":true,"messages":[{"role":"user","content":"hi there"}]}`)
	chat(`{"model":"priced","messages":[{"role":"user","content":"hi"}]}`)
	chat(`{"model":"bad","messages":[{"role":"user","content":"one"}]}`)
	time.Sleep(time.Second)
	chat(`{"model":"bad","messages":[{"role":"user","content":"two"}]}`) // in cooldown
	chat(`{"model":"worse","messages":[{"role":"user","content":"one"}]}`)
	chat(`{"model":"limited","messages":[{"role":"user","content":"hi"}]}`)
	time.Sleep(300 * time.Millisecond)
	chat(`{"model":"limited","messages":[{"role":"user","content":"hi"}]}`) // in cooldown
	chat(`{"model":"unheard of","messages":[{"role":"user","content":"hi"}]}`)
	chat(`{"model":"chat","messages":`)
	post("/v1/embeddings", `{"model":"embed","input":"hi"}`, nil)
	post("/v1/images/generations", `{"model":"image","prompt":"a cat"}`, nil)
	post("/v1/chat/completions", `{"model":"chat","messages":[]}`, map[string]string{"Authorization": "Bearer sk-wrong"})
	post("/v1/chat/completions", `{"model":"chat","messages":[]}`, map[string]string{"Authorization": ""})
	leave(t, p, `{"model":"paced","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
	leave(t, p, `{"model":"slow","messages":[{"role":"user","content":"hi"}]}`)
	time.Sleep(4 * time.Second) // LiteLLM counts in the background
	r, err := answer(client, p.base, ask{method: "GET", path: "/metrics/"})
	if err != nil || r.status != 200 {
		t.Fatalf("metrics: %v, status %d", err, r.status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(r.body)))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// leave asks and goes away before the end of the answer.
func leave(t *testing.T, p proxy, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + master}, "Content-Type": {"application/json"}, "User-Agent": {"probe/1"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // before it began
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

// sets are the label values of all series; addresses differ by the upstream
// alone, which both share.
func sets(f *dto.MetricFamily) []string {
	all := map[string]bool{}
	for _, m := range f.Metric {
		var list []string
		for _, l := range m.Label {
			list = append(list, l.GetName()+"="+l.GetValue())
		}
		slices.Sort(list)
		all[strings.Join(list, ",")] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func bounds(f *dto.MetricFamily) (list []float64) {
	for _, b := range f.Metric[0].Histogram.Bucket {
		if b.GetUpperBound() < 1e300 {
			list = append(list, b.GetUpperBound())
		}
	}
	return list
}

func sum(f *dto.MetricFamily) (total float64) {
	for _, m := range f.GetMetric() {
		if slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetValue() == "dall-e-3" }) {
			continue // the price of an image is each list's own
		}
		total += m.GetCounter().GetValue()
	}
	return total
}
