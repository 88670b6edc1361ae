package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/metrics"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/sink"
)

func TestCallbacksThatPostRecordsAreServedAndOthersNamed(t *testing.T) {
	c, findings := load(t, `
litellm_settings:
  callbacks: [prometheus, generic_api, langfuse, mine]
  success_callback: [sumologic]
  failure_callback: [later]
  generic_logger_headers: {X-Team: platform}
callback_settings:
  mine: {callback_type: generic_api, endpoint: os.environ/MINE_URL, headers: {Authorization: os.environ/MINE_KEY}, event_types: [llm_api_failure], log_format: ndjson, max_retries: 4, message_logging: true}
  later: {callback_type: generic_api}
llmgw:
  log_sink: {to: stdout, batch_size: 7, max_queue_mb: 2, flush_interval: 1.5}
`, "GENERIC_LOGGER_ENDPOINT=https://logs.example/in", "GENERIC_LOGGER_HEADERS=a=b, c = d=e", "SUMOLOGIC_WEBHOOK_URL=https://sumo.example/x", "MINE_URL=https://mine.example/", "MINE_KEY=Bearer secret-of-mine")
	byName := map[string]sink.Options{}
	for _, o := range c.Telemetry.Sinks {
		byName[o.Name] = o
	}
	if len(byName) != 4 {
		t.Fatalf("%d sinks", len(byName))
	}
	if o := byName["generic_api"]; o.URL.Reveal() != "https://logs.example/in" || o.Headers["a"].Reveal() != "b" || o.Headers["c"].Reveal() != "d=e" || o.Headers["X-Team"].Reveal() != "platform" || o.Messages || o.NoSuccess || o.NoFailure {
		t.Errorf("generic_api: %+v", o)
	}
	if o := byName["sumologic"]; o.Format != sink.Lines || !o.NoFailure || o.URL.Reveal() != "https://sumo.example/x" {
		t.Errorf("sumologic: %+v", o)
	}
	if o := byName["mine"]; !o.NoSuccess || o.NoFailure || o.Retries != 4 || !o.Messages || o.Format != sink.Lines || o.Headers["Authorization"].Reveal() != "Bearer secret-of-mine" {
		t.Errorf("mine: %+v", o)
	}
	if o := byName["log_sink"]; o.To != os.Stdout || o.Batch != 7 || o.MaxBytes != 2<<20 || o.Interval.Seconds() != 1.5 || o.Retries != 3 {
		t.Errorf("log_sink: %+v", o)
	}
	var texts []string
	for _, f := range findings {
		texts = append(texts, f.Message)
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{`callback "langfuse" is not part of llmgw`, `callback "later" sends nothing: callback_settings.later.endpoint is not set`} {
		if !strings.Contains(all, want) {
			t.Errorf("lacks %q:\n%s", want, all)
		}
	}
	if strings.Contains(all, "secret-of-mine") || strings.Contains(all, `"generic_api"`) {
		t.Errorf("says too much: %s", all)
	}
}

func TestMessagesAreNotLoggedWhereThatIsTurnedOff(t *testing.T) {
	c, _ := load(t, `
litellm_settings: {callbacks: [generic_api], turn_off_message_logging: true, redact_user_api_key_info: true}
callback_settings: {generic_api: {message_logging: true}}
llmgw: {log_sink: calls.jsonl}
`, "GENERIC_LOGGER_ENDPOINT=https://logs.example/in")
	if len(c.Telemetry.Sinks) != 2 {
		t.Fatalf("%d sinks", len(c.Telemetry.Sinks))
	}
	for _, o := range c.Telemetry.Sinks {
		if o.Messages || !o.HideCallers || !o.HideErrors {
			t.Errorf("%s: %+v", o.Name, o)
		}
	}
	if c.Telemetry.Sinks[1].File != "calls.jsonl" {
		t.Errorf("file %q", c.Telemetry.Sinks[1].File)
	}
}

func TestEveryCallBecomesALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), "fail"):
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"error":{"message":"no such thing","type":"invalid_request_error"}}`))
		case strings.Contains(string(body), `"stream":true`):
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte("data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a secret answer\"}}]}\n\ndata: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\ndata: [DONE]\n\n"))
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a secret answer"}}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`))
		}
	})
	for _, tt := range []struct {
		name    string
		content bool
	}{{"without prompts and answers", false}, {"with them where they are asked for", true}} {
		t.Run(tt.name, func(t *testing.T) {
			_ = os.Remove(path)
			c, _ := load(t, `
model_list:
- {model_name: m, litellm_params: {model: openai/gpt-4o-mini, api_base: `+base+`, api_key: sk-upstream-secret-0001}}
`)
			c.Auth.MasterKey = redact.New(testKey)
			c.Telemetry.Sinks = []sink.Options{{Name: "log_sink", File: path, Messages: tt.content}}
			p, url := gateway(t, c)
			post(t, url+"/v1/chat/completions", `{"model":"m","user":"eve","messages":[{"role":"user","content":"a private thought"}]}`, "User-Agent", "sdk/1")
			post(t, url+"/v1/chat/completions", `{"model":"m","stream":true,"messages":[{"role":"user","content":"a private thought"}]}`)
			post(t, url+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"fail"}]}`)
			post(t, url+"/v1/chat/completions", `{"model":"m","no-log":true,"messages":[{"role":"user","content":"quiet"}]}`)
			p.queue.Flush()
			for _, s := range p.observers.sinks {
				s.Close() // as a drain does
			}
			p.observers.sinks = nil
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			type record struct {
				Status       string
				Model        string
				Stream       bool
				TotalTokens  int                    `json:"total_tokens"`
				Cost         float64                `json:"response_cost"`
				Provider     string                 `json:"custom_llm_provider"`
				UserAgent    string                 `json:"user_agent"`
				IP           string                 `json:"requester_ip_address"`
				EndUser      string                 `json:"end_user"`
				Error        struct{ Class string } `json:"error_information"`
				ResponseTime float64                `json:"response_time"`
			}
			var list []record
			for line := range strings.Lines(string(raw)) {
				var r record
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
				list = append(list, r)
			}
			if len(list) != 3 {
				t.Fatalf("%d records: %s", len(list), raw)
			}
			for _, r := range list {
				if r.Model != "gpt-4o-mini" || r.Provider != "openai" || r.IP != "127.0.0.1" || r.ResponseTime <= 0 ||
					(r.Status == "success") != (r.TotalTokens == 5 && r.Cost > 0) {
					t.Errorf("record %+v", r)
				}
			}
			text := string(raw)
			if strings.Contains(text, "private thought") != tt.content || strings.Contains(text, "secret answer") != tt.content ||
				strings.Contains(text, testKey) || strings.Contains(text, "sk-upstream") || !strings.Contains(text, `"user_agent":"sdk/1"`) || !strings.Contains(text, `"end_user":"eve"`) {
				t.Errorf("got %s", text)
			}
		})
	}
}

func TestLostRecordsAreCountedInAMetric(t *testing.T) {
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }))
	t.Cleanup(gone.Close)
	c, _ := load(t, `
model_list:
- {model_name: m, litellm_params: {model: openai/gpt-4o-mini, api_key: k, mock_response: hi}}
litellm_settings: {callbacks: [prometheus, generic_api]}
`, "GENERIC_LOGGER_ENDPOINT="+gone.URL, "DEFAULT_FLUSH_INTERVAL_SECONDS=0.01")
	c.Auth.MasterKey = redact.New(testKey)
	if c.Telemetry.Metrics == nil {
		c.Telemetry.Metrics = &metrics.Options{}
	}
	_, url := gateway(t, c)
	post(t, url+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"x"}]}`)
	if _, body := asked(t, url+"/health/services?service=generic_api", true); body != `{"status":"success","message":"Mock LLM request made - check generic_api."}` {
		t.Errorf("services: %s", body)
	}
	waitFor(t, func() bool {
		_, body := asked(t, url+"/metrics", true)
		return strings.Contains(body, `litellm_callback_logging_failures_metric_total{callback_name="generic_api"} 2`)
	})
}
