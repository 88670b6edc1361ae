package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/alert"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/metrics"
)

func TestAFailedCallReachesSlackWithoutItsPrompt(t *testing.T) {
	texts := make(chan string, 10)
	slack := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct{ Text string }
		_ = json.NewDecoder(r.Body).Decode(&m)
		texts <- m.Text
	}))
	t.Cleanup(slack.Close)
	base := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	retries := 0
	c := Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}}
	c.Router.NumRetries = &retries
	c.Telemetry.Alerts = &alert.Options{URL: redact.New(slack.URL), Interval: 20 * time.Millisecond}
	c.Telemetry.Metrics = &metrics.Options{}
	_, url := gateway(t, c)
	post(t, url+"/v1/chat/completions", `{"model":"fast","messages":[{"role":"user","content":"a private thought"}]}`)
	select {
	case text := <-texts:
		if !strings.Contains(text, "LLM API call failed: `litellm.InternalServerError") || strings.Contains(text, "private thought") || strings.Contains(text, testKey) {
			t.Errorf("got %s", text)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("no alert")
	}
	req, _ := http.NewRequest("GET", url+"/health/services?service=slack", nil)
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || !strings.Contains(string(body), `{"status":"success","alert_types":["llm_too_slow",`) {
		t.Errorf("services: %d %s", resp.StatusCode, body)
	}
	if text := <-texts; !strings.Contains(text, "This is a test slack alert message") {
		t.Errorf("got %s", text)
	}
	// What was recorded a moment ago is shown at once.
	req, _ = http.NewRequest("GET", url+"/metrics", nil)
	resp, err = http.DefaultClient.Do(req) // the listener is on the loopback
	if err != nil {
		t.Fatal(err)
	}
	body, _ = io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(body), `litellm_deployment_failure_responses_total{`) {
		t.Errorf("metrics: %s", body)
	}
}
