package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// slowly answers a stream with a silence before its first event and one after.
func slowly(t testing.TB, silence time.Duration) string {
	return upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(silence)
		w.Header().Set("Content-Type", "text/event-stream")
		first, rest, _ := strings.Cut(okStream, "\n\n")
		io.WriteString(w, first+"\n\n")
		w.(http.Flusher).Flush()
		time.Sleep(silence)
		io.WriteString(w, rest)
	})
}

// refusing fails after a silence.
func refusing(t testing.TB, silence time.Duration) string {
	return upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(silence)
		http.Error(w, `{"error":{"message":"out of order"}}`, http.StatusInternalServerError)
	})
}

const streamBody = `{"model":"fast","stream":true,"messages":[{"role":"user","content":"hi"}]}`

func TestASilentStreamGetsComments(t *testing.T) {
	const silence = 300 * time.Millisecond
	never, none := time.Duration(0), 0
	slow := deployment(t, "slow", slowly(t, silence))
	off := deployment(t, "off", slowly(t, silence))
	off.Keepalive = &never
	for name, tt := range map[string]struct {
		every       time.Duration
		deployments []*call.Deployment
		status      int
		check       func(body string) bool
	}{
		"before the first event and after it": {50 * time.Millisecond, []*call.Deployment{slow}, 200, func(b string) bool {
			head, tail, _ := strings.Cut(b, "data: ")
			return strings.Count(head, ": ping\n\n") >= 2 && strings.Count(tail, ": ping\n\n") >= 2 && strings.HasSuffix(b, "data: [DONE]\n\n") && len(strings.ReplaceAll(head, ": ping\n\n", "")) == 0
		}},
		"none unless they are on":            {0, []*call.Deployment{slow}, 200, func(b string) bool { return !strings.Contains(b, "ping") && strings.HasSuffix(b, "[DONE]\n\n") }},
		"none where a deployment wants none": {50 * time.Millisecond, []*call.Deployment{off}, 200, func(b string) bool { return !strings.Contains(b, "ping") }},
		"a failure after a comment is an event": {50 * time.Millisecond, []*call.Deployment{deployment(t, "bad", refusing(t, silence))}, 200, func(b string) bool {
			return strings.HasPrefix(b, ": ping\n\n") && strings.Contains(b, "data: {\"error\":{") && strings.Contains(b, "out of order") && !strings.Contains(b, "[DONE]")
		}},
		"a failure before a comment has its status": {10 * time.Second, []*call.Deployment{deployment(t, "bad", refusing(t, 0))}, 500, func(b string) bool {
			return strings.HasPrefix(b, `{"error"`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Deployments: tt.deployments, API: api.Options{Ping: tt.every}}
			c.Router.NumRetries = &none
			_, url := gateway(t, c)
			resp, body := post(t, url+"/v1/chat/completions", streamBody)
			if resp.StatusCode != tt.status || !tt.check(body) {
				t.Errorf("got %d %q", resp.StatusCode, body)
			}
			if strings.HasPrefix(body, ": ping") && (resp.Header.Get("X-Litellm-Call-Id") == "" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")) {
				t.Errorf("the head of a ping is %v", resp.Header)
			}
		})
	}
}

// A comment commits to nothing: another deployment can still answer.
func TestAnotherAttemptFollowsAComment(t *testing.T) {
	first, second := deployment(t, "bad", refusing(t, 200*time.Millisecond)), deployment(t, "good", slowly(t, 0))
	first.Group = "broken"
	c := Config{Deployments: []*call.Deployment{first, second}, API: api.Options{Ping: 50 * time.Millisecond}}
	none := 0
	c.Router.NumRetries = &none
	_, url := gateway(t, c)
	resp, body := post(t, url+"/v1/chat/completions", `{"model":"broken","stream":true,"messages":[],"fallbacks":["fast"]}`)
	if resp.StatusCode != 200 || !strings.HasPrefix(body, ": ping\n\n") || strings.Contains(body, "error") || !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
}

func TestPingSettings(t *testing.T) {
	c, findings := load(t, `
model_list:
- {model_name: a, litellm_params: {model: openai/x, api_key: k, keepalive_seconds: 0}}
- {model_name: b, litellm_params: {model: openai/x, api_key: k, keepalive_seconds: 9000}}
- {model_name: c, litellm_params: {model: openai/x, api_key: k}}
litellm_settings: {sse_keepalive_ping_interval_seconds: 15}
`)
	if c.API.Ping != 15*time.Second || *c.Deployments[0].Keepalive != 0 || *c.Deployments[1].Keepalive != 300*time.Second || c.Deployments[2].Keepalive != nil {
		t.Errorf("ping %s, deployments %v %v %v", c.API.Ping, c.Deployments[0].Keepalive, c.Deployments[1].Keepalive, c.Deployments[2].Keepalive)
	}
	said := 0
	for _, f := range findings {
		if strings.Contains(f.Message, "arrives as an event under status 200") {
			said++
		}
	}
	if said != 1 {
		t.Errorf("what follows for errors is said %d times", said)
	}
}

func TestTheDrainEndpointWaitsForWhatIsInFlight(t *testing.T) {
	base := slowly(t, 200*time.Millisecond)
	_, url := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d", base)}})
	if status, _ := get(t, url+"/health/drain"); status != 404 {
		t.Errorf("without enable_drain_endpoint: %d", status)
	}
	c := Config{Deployments: []*call.Deployment{deployment(t, "d", base)}, DrainEndpoint: true, API: api.Options{DrainToken: redact.New("drain-token")}}
	_, url = gateway(t, c)
	for _, token := range []string{"", "drain-tokem"} {
		if status, body := get(t, url+"/health/drain", "X-Drain-Token", token); status != 401 || !strings.Contains(body, "Invalid or missing X-Drain-Token") {
			t.Errorf("token %q: %d %s", token, status, body)
		}
	}
	if status, _ := get(t, url+"/health/readiness"); status != 200 {
		t.Errorf("readiness %d after tokens that are wrong", status)
	}
	ended := make(chan string)
	go func() {
		_, body := post(t, url+"/v1/chat/completions", streamBody)
		ended <- body
	}()
	time.Sleep(100 * time.Millisecond)
	status, body := get(t, url+"/health/drain", "X-Drain-Token", "drain-token")
	if status != 200 || body != `{"status":"drained","drained_requests":1}` {
		t.Errorf("drained: %d %s", status, body)
	}
	if whole := <-ended; !strings.HasSuffix(whole, "data: [DONE]\n\n") {
		t.Errorf("the stream in flight was cut: %s", whole)
	}
	if status, _ := get(t, url+"/health/readiness"); status != 503 {
		t.Errorf("readiness %d while draining", status)
	}
	if status, _ := get(t, url+"/health/liveliness"); status != 200 {
		t.Errorf("liveness %d while draining", status)
	}
}

func TestDrainSettings(t *testing.T) {
	c, _ := load(t, "general_settings: {enable_drain_endpoint: true, drain_endpoint_token: from-file}\n", "DRAIN_ENDPOINT_TOKEN=from-env")
	if !c.DrainEndpoint || c.API.DrainToken.Reveal() != "from-file" {
		t.Errorf("%t, token %q", c.DrainEndpoint, c.API.DrainToken.Reveal())
	}
	c, _ = load(t, "general_settings: {enable_drain_endpoint: true}\n", "DRAIN_ENDPOINT_TOKEN=from-env")
	if c.API.DrainToken.Reveal() != "from-env" {
		t.Errorf("token %q", c.API.DrainToken.Reveal())
	}
}

// get asks without a key.
func get(t testing.TB, url string, header ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
