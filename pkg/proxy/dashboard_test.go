package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/testenv"
)

const grafana = "../../docs/grafana/"

// panel is a query of the dashboard.
type panel struct{ title, expr string }

func panels(t *testing.T) (list []panel) {
	t.Helper()
	raw, err := os.ReadFile(grafana + "llmgw.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
		for _, q := range p.Targets {
			list = append(list, panel{p.Title, q.Expr})
		}
	}
	for _, v := range dashboard.Templating.List {
		if series, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			series, label, _ := strings.Cut(strings.TrimSuffix(series, ")"), ", ")
			list = append(list, panel{"variable " + v.Name, "count by (" + label + ") (" + series + ")"})
		}
	}
	for i := range list {
		// As Grafana does it for all jobs and models.
		list[i].expr = strings.NewReplacer("$__rate_interval", "10s", "$job", ".*", "$model", ".*").Replace(list[i].expr)
	}
	return list
}

// prometheus scrapes a gateway often, with the repository's alerting rules.
func prometheus(t *testing.T, target string) (query func(expr string) (series int, err error)) {
	t.Helper()
	program := testenv.Need(t, "prometheus")
	dir := t.TempDir()
	rules, err := filepath.Abs(grafana + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 500ms, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n- job_name: llmgw\n  static_configs: [{targets: [%q]}]\n", rules, target)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "--config.file="+file, "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+address, "--log.level=error")
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		client.CloseIdleConnections()
		if t.Failed() {
			t.Log("prometheus: " + output.String())
		}
	})
	return func(expr string) (int, error) {
		resp, err := client.PostForm("http://"+address+"/api/v1/query", url.Values{"query": {expr}})
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		var answer struct {
			Status, Error string
			Data          struct {
				Result []struct{ Value []any }
			}
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return 0, err
		}
		if answer.Status != "success" {
			return 0, fmt.Errorf("%s", answer.Error)
		}
		n := 0
		for _, r := range answer.Data.Result {
			if len(r.Value) == 2 && r.Value[1] != "NaN" {
				n++
			}
		}
		return n, nil
	}
}

// varied is an upstream whose answers have something of everything that the
// metrics tell apart.
func varied(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	text := string(body)
	w.Header().Set("X-Ratelimit-Remaining-Requests", "99")
	w.Header().Set("X-Ratelimit-Remaining-Tokens", "9999")
	const usage = `"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":40,"cache_creation_tokens":10,"audio_tokens":5},"completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":5}}`
	switch {
	case strings.Contains(text, "bad-model"):
		w.WriteHeader(500)
		_, _ = w.Write([]byte(`{"error":{"message":"broken"}}`))
	case strings.HasSuffix(r.URL.Path, "/images/generations"):
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"created":1,"data":[{"url":"http://x/1"},{"url":"http://x/2"}]}`))
	case strings.Contains(text, `"stream":true`):
		w.Header().Set("Content-Type", "text/event-stream")
		time.Sleep(2 * time.Millisecond)
		_, _ = w.Write([]byte("data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\ndata: {\"id\":\"c\",\"choices\":[]," + usage + "}\n\ndata: [DONE]\n\n"))
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}],` + usage + `}`))
	}
}

func TestEveryPanelOfTheDashboardShowsSomething(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a Prometheus scrapes for some seconds; leave -short out for it")
	}
	testenv.Need(t, "prometheus")
	server := testenv.RedisServer(t)
	redis, err := url.Parse(server.URL("0"))
	if err != nil {
		t.Fatal(err)
	}
	base := upstreamFunc(t, varied)
	gone := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	model := func(name, model, more string) string {
		return "- {model_name: " + name + ", litellm_params: {model: openai/" + model + ", api_base: " + base + ", api_key: k" + more + "}}\n"
	}
	c, findings := load(t, `
model_list:
`+model("chat", "gpt-4o-mini", ", rpm: 100000, tpm: 10000000")+model("bad", "bad-model", "")+model("worse", "bad-model-2", "")+model("pictures", "dall-e-3", "")+`
router_settings: {num_retries: 0, fallbacks: [{bad: [worse, chat]}], cooldown_time: 0.2, allowed_fails: 0}
litellm_settings: {callbacks: [prometheus, generic_api], service_callback: [prometheus_system], cache: true, cache_params: {type: redis, host: `+redis.Hostname()+`, port: `+redis.Port()+`}, enable_end_user_cost_tracking_prometheus_only: true}
`, "GENERIC_LOGGER_ENDPOINT="+gone, "DEFAULT_FLUSH_INTERVAL_SECONDS=0.2")
	for _, f := range findings {
		t.Log(f.Message)
	}
	c.Auth.MasterKey = redact.New(testKey)
	_, gw := gateway(t, c)
	query := prometheus(t, strings.TrimPrefix(gw, "http://"))
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			ask := func(path, body string) { post(t, gw+path, body) }
			ask("/v1/chat/completions", fmt.Sprintf(`{"model":"chat","user":"eve","messages":[{"role":"user","content":"%d"}]}`, i))
			ask("/v1/chat/completions", fmt.Sprintf(`{"model":"chat","stream":true,"messages":[{"role":"user","content":"s%d"}]}`, i))
			ask("/v1/chat/completions", `{"model":"chat","messages":[{"role":"user","content":"the same"}]}`)
			ask("/v1/chat/completions", fmt.Sprintf(`{"model":"bad","messages":[{"role":"user","content":"%d"}]}`, i))
			ask("/v1/chat/completions", fmt.Sprintf(`{"model":"worse","messages":[{"role":"user","content":"%d"}]}`, i))
			ask("/v1/images/generations", `{"model":"pictures","prompt":"a cat"}`)
			ask("/v1/chat/completions", `{"model":"nobody","messages":[]}`)
		}
	})
	defer load.Wait()
	defer close(stop)
	all := panels(t)
	if len(all) < 40 {
		t.Fatalf("only %d queries", len(all))
	}
	open := map[panel]string{}
	for _, p := range all {
		open[p] = "was not asked"
	}
	stopped := false
	for end := time.Now().Add(60 * time.Second); len(open) > 0 && time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if !stopped && !slices.ContainsFunc(slices.Collect(maps.Keys(open)), func(p panel) bool { return !strings.Contains(p.expr, "litellm_redis_failed") }) {
			server.Stop() // what is left shows a Redis that fails
			stopped = true
		}
		for p := range open {
			switch n, err := query(p.expr); {
			case err != nil && strings.Contains(err.Error(), "refused"):
				open[p] = err.Error()
			case err != nil:
				t.Errorf("%s: %s\n%s", p.title, err, p.expr)
				delete(open, p)
			case n > 0:
				delete(open, p)
			default:
				open[p] = "no data"
			}
		}
	}
	for p, why := range open {
		t.Errorf("%s: %s\n%s", p.title, why, p.expr)
	}
	// The alerting rules stand on the same metrics: each name in them exists here.
	rules, err := os.ReadFile(grafana + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, word := range strings.FieldsFunc(string(rules), func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z')
	}) {
		if strings.HasPrefix(word, "litellm_") && word != "litellm_settings" && word != "litellm_model_name" || strings.HasPrefix(word, "llmgw_") {
			names[word] = true
		}
	}
	for name := range names {
		if n, err := query(name); err != nil || n == 0 {
			t.Errorf("alerts.yaml: %s: %d series, %v", name, n, err)
		}
	}
	if len(names) < 8 {
		t.Errorf("only %d metrics in alerts.yaml: %v", len(names), names)
	}
}

func TestTheAlertingRulesAreRulesAndFire(t *testing.T) {
	program := testenv.Need(t, "promtool")
	for _, args := range [][]string{{"check", "rules", grafana + "alerts.yaml"}, {"test", "rules", grafana + "alerts_test.yaml"}} {
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
