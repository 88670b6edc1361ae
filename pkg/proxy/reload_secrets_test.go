package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// heard is a server that keeps what it is sent, by path.
type heard struct {
	mu    sync.Mutex
	texts map[string]string
}

func (h *heard) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	h.texts[r.URL.Path] += string(body)
	h.mu.Unlock()
}

func (h *heard) at(path string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.texts[path]
}

// What a reload brings is as secret as what was there at the start: an upstream
// that quotes the key of another deployment must not bring it into an alert, a
// record or a span. Keys of before stay secret, too.
func TestSecretsThatAReloadBringsAreMasked(t *testing.T) {
	h := &heard{texts: map[string]string{}}
	ears := httptest.NewServer(h)
	t.Cleanup(ears.Close)
	base := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, `{"error":{"message":"marker: planted-first planted-second planted-pass are wrong"}}`)
	})
	configuration := func(key string) Config {
		c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: fast, litellm_params: {model: openai/x, api_base: %q, api_key: plain-key}}
- {model_name: other, litellm_params: {model: openai/x, api_base: %q, api_key: %s}}
litellm_settings: {callbacks: [otel, generic_api], num_retries: 0}
general_settings:
  master_key: %s
  alerting: [slack]
  pass_through_endpoints: [{path: /passed, target: %q, headers: {Authorization: os.environ/PASS}}]
`, base, base, key, testKey, base), "SLACK_WEBHOOK_URL="+ears.URL+"/slack", "GENERIC_LOGGER_ENDPOINT="+ears.URL+"/sink", "OTEL_ENDPOINT="+ears.URL, "OTEL_BSP_SCHEDULE_DELAY=10",
			"PASS="+map[bool]string{true: "planted-pass", false: "other-pass"}[key == "planted-second"])
		for _, f := range findings {
			t.Log(f.Message)
		}
		c.Telemetry.Alerts.Interval, c.Telemetry.Sinks[0].Interval = 10*time.Millisecond, 10*time.Millisecond
		return c
	}
	p, url := gateway(t, configuration("planted-first"))
	if _, err := p.Replace(configuration("planted-second")); err != nil {
		t.Fatal(err)
	}
	if resp, body := post(t, url+"/v1/chat/completions", `{"model":"fast","messages":[]}`); resp.StatusCode != 500 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for _, path := range []string{"/slack", "/sink", "/v1/traces"} {
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(h.at(path), "marker"); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s has heard %q", path, h.at(path))
			}
		}
		if text := h.at(path); strings.Contains(text, "planted") || !strings.Contains(text, "*** *** ***") {
			t.Errorf("%s has heard %q", path, text)
		}
	}
}

// The connections to a deployment that a reload takes away are closed.
func TestAReloadClosesConnectionsOfDeploymentsThatAreGone(t *testing.T) {
	ended := make(chan struct{}, 4)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	with := func(base, extra string) Config {
		c, _ := load(t, fmt.Sprintf("model_list:\n- {model_name: fast, litellm_params: {model: openai/x, api_base: %q, api_key: k}}\ngeneral_settings:\n  master_key: %s\n%s", base, testKey, extra))
		return c
	}
	p, url := gateway(t, with(s.URL, ""))
	ask := func(path string) {
		t.Helper()
		if resp, body := post(t, url+path, `{"model":"fast","messages":[]}`); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	ask("/v1/chat/completions")
	// A comment, and a service that is passed on to: neither takes the host away.
	for _, c := range []Config{with(s.URL, "# the same"), with("http://127.0.0.1:9", fmt.Sprintf("  pass_through_endpoints: [{path: /passed, target: %q}]\n", s.URL))} {
		if _, err := p.Replace(c); err != nil {
			t.Fatal(err)
		}
	}
	ask("/passed")
	select {
	case <-ended:
		t.Fatal("the connection of a host that stays was closed")
	default:
	}
	if _, err := p.Replace(with("http://127.0.0.1:9", "")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the connection of the host that is gone is still open")
	}
}
