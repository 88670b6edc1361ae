package proxy

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/upstream"
)

// TestDrainDeadlineAnswersPlainCalls: a call of any kind whose answer has not
// begun when the drain's deadline comes hears so, in the proxy's envelope.
func TestDrainDeadlineAnswersPlainCalls(t *testing.T) {
	sound, kind := form(t, "model", "fast")
	calls := []struct{ name, path, body, kind string }{
		{"chat", "/v1/chat/completions", `{"model":"fast","messages":[]}`, ""},
		{"chat whose stream has not begun", "/v1/chat/completions", `{"model":"fast","messages":[],"stream":true}`, ""},
		{"completions", "/v1/completions", `{"model":"fast","prompt":"x"}`, ""},
		{"embeddings", "/v1/embeddings", `{"model":"fast","input":"x"}`, ""},
		{"responses", "/v1/responses", `{"model":"fast","input":"x"}`, ""},
		{"images", "/v1/images/generations", `{"model":"fast","prompt":"x"}`, ""},
		{"moderations", "/v1/moderations", `{"model":"fast","input":"x"}`, ""},
		{"rerank", "/v1/rerank", `{"model":"fast","query":"q","documents":["a"]}`, ""},
		{"speech", "/v1/audio/speech", `{"model":"fast","input":"x"}`, ""},
		{"sound", "/v1/audio/transcriptions", sound, kind},
		{"a body beyond one write", "/v1/chat/completions", `{"model":"fast","messages":[{"role":"user","content":"` + strings.Repeat("x", 1<<20) + `"}]}`, ""},
	}
	for name, way := range map[string]struct {
		upstream upstream.Options
		secure   bool // TLS and HTTP/2 towards the client
	}{
		"own client":                        {},
		"net/http, as by an outbound proxy": {upstream: upstream.Options{NetHTTP: true}},
		"clients of HTTP/2":                 {secure: true},
	} {
		t.Run(name, func(t *testing.T) {
			var reached, left atomic.Int32
			hang := make(chan struct{})
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				reached.Add(1)
				select {
				case <-r.Context().Done():
					left.Add(1)
				case <-hang:
				}
			}))
			defer up.Close()
			defer close(hang)
			c := Config{
				Deployments: []*call.Deployment{entry(t, up.URL)}, Upstream: way.upstream,
				ShutdownTimeout: 100 * time.Millisecond,
			}
			scheme, client := "http", &http.Client{Transport: &http.Transport{}}
			if way.secure {
				c.Listener.CertFile, c.Listener.KeyFile = testenv.Certificate(t, "localhost")
				scheme, client = "https", &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}} //nolint:gosec // the test's own certificate
			}
			defer client.CloseIdleConnections()
			p, _, stop, ended := startGateway(t, c)
			type answer struct {
				status int
				proto  string
				body   []byte
				err    error
			}
			answers := make([]chan answer, len(calls))
			for i, tt := range calls {
				answers[i] = make(chan answer, 1)
				go func() {
					req, _ := http.NewRequest(http.MethodPost, scheme+"://"+p.Addr().String()+tt.path, strings.NewReader(tt.body))
					req.Header.Set("Authorization", "Bearer "+testKey)
					req.Header.Set("Content-Type", "application/json")
					if tt.kind != "" {
						req.Header.Set("Content-Type", tt.kind)
					}
					resp, err := client.Do(req)
					if err != nil {
						answers[i] <- answer{err: err}
						return
					}
					defer resp.Body.Close()
					body, err := io.ReadAll(resp.Body)
					answers[i] <- answer{resp.StatusCode, resp.Proto, body, err}
				}()
			}
			waitFor(t, func() bool { return int(reached.Load()) == len(calls) })
			stop()
			if cut, ok := (<-ended).(*CutError); !ok || cut.Requests != int64(len(calls)) {
				t.Errorf("run: %v, want %d requests cut", cut, len(calls))
			}
			for i, tt := range calls {
				a := <-answers[i]
				var e struct {
					Error struct{ Message, Type, Code string }
				}
				if a.err != nil || a.status != http.StatusServiceUnavailable || json.Unmarshal(a.body, &e) != nil ||
					!strings.HasPrefix(e.Error.Message, "The gateway is shutting down and had to cut this request: ") || e.Error.Code != "503" {
					t.Errorf("%s: %d %s, %v", tt.name, a.status, a.body, a.err)
				}
				if way.secure && a.proto != "HTTP/2.0" {
					t.Errorf("%s: %s", tt.name, a.proto)
				}
			}
			waitFor(t, func() bool { return int(left.Load()) == len(calls) })
		})
	}
}
