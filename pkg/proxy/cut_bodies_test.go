package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry"
)

// TestDrainDeadlineAnswersWhereverItFalls: while the body is still arriving, while
// the answer is, between retries and fallbacks, and in what is passed through, the
// client gets the proxy's envelope and the access line says so.
func TestDrainDeadlineAnswersWhereverItFalls(t *testing.T) {
	file, kind := form(t, "model", "fast")
	asJSON := "application/json"
	for _, tt := range []struct {
		name, path, kind, body string
		begins                 bool // the upstream begins to answer before it hangs
		slow                   bool // the client has not sent its whole body
	}{
		{name: "a chat", path: "/v1/chat/completions", kind: asJSON, body: `{"model":"fast","messages":[]}`},
		{name: "a chat whose answer has begun upstream", path: "/v1/chat/completions", kind: asJSON, body: `{"model":"fast","messages":[]}`, begins: true},
		{name: "a request that is passed through", path: "/pass", kind: asJSON, body: `{"a":1}`},
		{name: "a large body that is passed through", path: "/pass", kind: asJSON, body: `"` + strings.Repeat("a", 1<<20) + `"`},
		{name: "a chat that is still arriving", path: "/v1/chat/completions", kind: asJSON, body: `{"model":"fast",`, slow: true},
		{name: "a form that is still arriving", path: "/v1/audio/transcriptions", kind: kind, body: file[:len(file)/2], slow: true},
		{name: "a body to pass through that is still arriving", path: "/pass", kind: asJSON, body: `"` + strings.Repeat("a", 1<<20), slow: true},
	} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(tt.name+" over "+protocol, func(t *testing.T) {
				var asked atomic.Bool
				base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
					asked.Store(true)
					io.Copy(io.Discard, r.Body)
					if tt.begins {
						w.Header().Set("Content-Type", "application/json")
						w.Header().Set("Content-Length", "100")
						io.WriteString(w, `{"id":"c1",`)
						w.(http.Flusher).Flush()
					}
					<-r.Context().Done()
				})
				c, _ := load(t, strings.ReplaceAll(`
model_list:
- {model_name: fast, litellm_params: {model: openai/a, api_base: BASE, api_key: sk-upstream}}
- {model_name: fast, litellm_params: {model: openai/b, api_base: BASE, api_key: sk-upstream}}
- {model_name: other, litellm_params: {model: openai/c, api_base: BASE, api_key: sk-upstream}}
router_settings: {num_retries: 3, fallbacks: [{fast: [other]}]}
general_settings:
  master_key: `+testKey+`
  pass_through_endpoints:
  - {path: /pass, target: BASE}
`, "BASE", base))
				access := &lines{}
				c.API.Access = telemetry.NewAccess(access, false, nil)
				c.ShutdownTimeout = 50 * time.Millisecond
				client := &http.Client{}
				scheme := "http"
				if protocol == "HTTP/2.0" {
					scheme = "https"
					c.Listener.CertFile, c.Listener.KeyFile = testenv.Certificate(t, "localhost")
					client.Transport = &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a test's own
				} else {
					client.Transport = &http.Transport{}
				}
				p, url, stop, ended := startGateway(t, c)
				url = scheme + strings.TrimPrefix(url, "http")
				defer client.CloseIdleConnections()

				var body io.Reader = strings.NewReader(tt.body)
				if tt.slow {
					r, w := io.Pipe()
					defer w.Close()
					go io.WriteString(w, tt.body)
					body = r
				}
				req, err := http.NewRequestWithContext(context.Background(), "POST", url+tt.path, body)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+testKey)
				req.Header.Set("Content-Type", tt.kind)
				go func() {
					waitFor(t, func() bool { return p.live.Load().api.InFlight() == 1 && (tt.slow || asked.Load()) })
					stop()
				}()
				resp, err := client.Do(req)
				if err != nil {
					t.Fatalf("the client heard nothing: %v", err)
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				if want := `{"error":{"message":"The gateway is shutting down and had to cut this request: `; err != nil || resp.StatusCode != 503 ||
					resp.Proto != protocol || !strings.HasPrefix(string(text), want) || !strings.HasSuffix(string(text), `"code":"503"}}`) {
					t.Errorf("the client heard %s %d %q, %v", resp.Proto, resp.StatusCode, text, err)
				}
				err = <-ended
				if cut, ok := err.(*CutError); !ok || cut.Requests != 1 {
					t.Errorf("run: %v, want one request cut", err)
				}
				if line := access.text(); !strings.Contains(line, tt.path) || !strings.Contains(line, " 503 ") {
					t.Errorf("the access line is %q", line)
				}
			})
		}
	}
}
