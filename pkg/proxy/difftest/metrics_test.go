package difftest

import (
	"maps"
	"net/http"
	"net/http/httptest"
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
general_settings: {master_key: ` + master + `}
router_settings: {num_retries: 0, disable_cooldowns: true}
litellm_settings: {request_timeout: 20, num_retries: 0, callbacks: [prometheus], fallbacks: [{bad: [chat]}]}
`

// without are LiteLLM's metrics that this build does not show, and why.
var without = map[string]string{
	"litellm_total_users": "database", "litellm_active_users": "database", "litellm_teams_count": "database",
	"litellm_check_batch_cost_jobs_polled": "batches", "litellm_check_batch_cost_last_run_timestamp": "batches",
	"litellm_remaining_user_budget_metric": "database", "litellm_remaining_api_key_budget_metric": "database",
	"litellm_cache_misses_metric_total":               "LiteLLM counts streams as misses also where there is no cache",
	"litellm_remaining_requests_metric":               "shown where the provider says it; LiteLLM also derives it from rpm and tpm",
	"litellm_remaining_tokens_metric":                 "the same",
	"litellm_overhead_with_guardrails_latency_metric": "guardrails",
	"litellm_remaining_api_key_requests_for_model":    "key limits", "litellm_remaining_api_key_tokens_for_model": "key limits",
}

// TestMetricsAreLiteLLMs sends the same calls to both and compares the names of
// metrics, their kinds, labels, buckets, and the labels' values.
func TestMetricsAreLiteLLMs(t *testing.T) {
	program := os.Getenv("LLMGW_LITELLM")
	if program == "" {
		program = filepath.Join(testenv.CacheDir(t), "litellm", "bin", "litellm")
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("difftest: skipped, LiteLLM is not installed: run make differential, or set LLMGW_LITELLM to its executable")
	}
	if out, err := exec.Command(filepath.Join(filepath.Dir(program), "python"), "-c", "import prometheus_client").CombinedOutput(); err != nil {
		t.Skipf("difftest: skipped, LiteLLM has no prometheus_client: pip install it beside LiteLLM, or name its directory in PYTHONPATH (%.80s)", out)
	}
	m := mock.New(mock.Options{Seed: 1})
	up := httptest.NewServer(m)
	t.Cleanup(up.Close)
	t.Cleanup(m.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(metricsConfig, "UPSTREAM", up.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "llmgw")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/llmgw/llmgw").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	theirs := scrape(t, process(t, program, file, 2*time.Minute))
	ours := scrape(t, process(t, bin, file, 10*time.Second, "serve"))
	compared := 0
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
			if !slices.Contains(os, s) {
				t.Errorf("%s lacks {%s}", name, s)
			}
		}
		for _, s := range os {
			if !slices.Contains(ls, strings.ReplaceAll(s, ",model=other", ",model=unheard of")) {
				t.Errorf("%s adds {%s}", name, s)
			}
		}
		if l.GetType() == dto.MetricType_HISTOGRAM {
			if a, b := bounds(l), bounds(o); !slices.Equal(a, b) {
				t.Errorf("%s has buckets %v, ours %v", name, a, b)
			}
		}
	}
	if compared < 20 {
		t.Errorf("only %d metrics were compared", compared)
	}
	for _, name := range []string{"litellm_spend_metric_total", "litellm_total_tokens_metric_total"} {
		if a, b := sum(theirs[name]), sum(ours[name]); a == 0 || a/b < 0.999 || a/b > 1.001 {
			t.Errorf("%s is %g, ours %g", name, a, b)
		}
	}
	t.Logf("%d metrics were compared", compared)
}

// scrape makes calls and returns the metrics after them.
func scrape(t *testing.T, p proxy) map[string]*dto.MetricFamily {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second}
	for _, body := range []string{
		`{"model":"chat","user":"u1","messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"chat","stream":true,"messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"priced","messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"bad","messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"bad","disable_fallbacks":true,"messages":[{"role":"user","content":"hi"}]}`,
		`{"model":"unheard of","messages":[{"role":"user","content":"hi"}]}`,
	} {
		if _, err := answer(client, p.base, ask{method: "POST", path: "/v1/chat/completions", body: body, headers: map[string]string{"User-Agent": "probe/1"}}); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Second) // LiteLLM counts in the background
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
		total += m.GetCounter().GetValue()
	}
	return total
}
