package proxy

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// resource is an Azure OpenAI resource and the authority beside it: it takes the
// youngest token only.
type resource struct {
	authority, base string
	asked, called   atomic.Int64
	accepts         atomic.Int64 // the number of the token that is taken
	down            atomic.Int64 // the status of the authority, where it does not work
	seen            sync.Map     // Authorization header -> path
}

func newResource(t *testing.T) *resource {
	r := &resource{}
	r.accepts.Store(1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if status := r.down.Load(); status != 0 {
			w.WriteHeader(int(status))
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired. planted-secret"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token-number-%d","expires_in":3599}`, r.asked.Add(1))
	}))
	t.Cleanup(s.Close)
	r.authority = s.URL
	r.base = strings.TrimSuffix(upstreamFunc(t, func(w http.ResponseWriter, req *http.Request) {
		r.called.Add(1)
		body, _ := io.ReadAll(req.Body)
		auth := req.Header.Get("Authorization")
		r.seen.Store(auth, req.URL.RequestURI())
		w.Header().Set("Content-Type", "application/json")
		switch {
		case auth != fmt.Sprintf("Bearer token-number-%d", r.accepts.Load()):
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":{"code":"401","message":"no access with %s, it is not the right one"}}`, strings.TrimPrefix(auth, "Bearer "))
		case strings.Contains(req.URL.Path, "/audio/transcriptions"):
			io.WriteString(w, `{"text":"hello"}`)
		case bytes.Contains(body, []byte(`"stream":true`)):
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, okStream)
		default:
			io.WriteString(w, okAnswer)
		}
	}), "/v1")
	return r
}

const loginYAML = `
model_list:
- {model_name: m, litellm_params: {model: azure/dep, api_base: '%[1]s', tenant_id: t, client_id: c, client_secret: planted-secret}}
- {model_name: same, litellm_params: {model: azure/other, api_base: '%[1]s', tenant_id: t, client_id: c, client_secret: planted-secret}}
router_settings: {num_retries: 0, disable_cooldowns: true}
`

func (r *resource) gateway(t *testing.T, log io.Writer) (*Proxy, string) {
	t.Helper()
	c, findings := load(t, fmt.Sprintf(loginYAML, r.base), "AZURE_AUTHORITY_HOST="+r.authority)
	if len(findings) != 0 {
		t.Fatal(said(findings))
	}
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	return gateway(t, c)
}

func TestDeploymentsAreCalledWithTokensOfEntra(t *testing.T) {
	r := newResource(t)
	var log lockedLog
	p, url := r.gateway(t, &log)
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			model := []string{"m", "same"}[i%2]
			if resp, body := post(t, url+"/v1/chat/completions", `{"model":"`+model+`","messages":[]}`); resp.StatusCode != 200 {
				t.Errorf("%s: %s", model, body)
			}
		})
	}
	wait.Wait()
	if n := r.asked.Load(); n != 1 {
		t.Errorf("%d tokens for one login", n)
	}
	path, _ := r.seen.Load("Bearer token-number-1")
	if path != "/openai/deployments/dep/chat/completions?api-version=2025-02-01-preview" && path != "/openai/deployments/other/chat/completions?api-version=2025-02-01-preview" {
		t.Errorf("called %v", path)
	}

	// The same configuration, read anew, has the token already.
	c, _ := load(t, fmt.Sprintf(loginYAML, r.base), "AZURE_AUTHORITY_HOST="+r.authority)
	c.Auth.MasterKey = masterKey
	if _, err := p.Replace(c); err != nil {
		t.Fatal(err)
	}
	if resp, body := post(t, url+"/v1/chat/completions", `{"model":"m","messages":[]}`); resp.StatusCode != 200 || r.asked.Load() != 1 {
		t.Errorf("after a reload %d %s, %d tokens", resp.StatusCode, body, r.asked.Load())
	}

	// Whatever is refused for its token gets another, once.
	form := "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\nMP3\r\n--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--x--\r\n"
	for i, ask := range []struct{ name, path, body, kind, want string }{
		{"a whole answer", "/v1/chat/completions", `{"model":"m","messages":[]}`, "application/json", `"content":"Hello"`},
		{"a stream", "/v1/chat/completions", `{"model":"m","messages":[],"stream":true}`, "application/json", "data: [DONE]"},
		{"a form", "/v1/audio/transcriptions", form, "multipart/form-data; boundary=x", "hello"},
	} {
		t.Run(ask.name, func(t *testing.T) {
			r.accepts.Store(r.asked.Load() + 1)
			if i > 0 { // the next token in time, after which one may be dropped again
				c, _ := load(t, strings.ReplaceAll(fmt.Sprintf(loginYAML, r.base), "client_id: c", fmt.Sprintf("client_id: c%d", i)), "AZURE_AUTHORITY_HOST="+r.authority)
				c.Auth.MasterKey = masterKey
				if _, err := p.Replace(c); err != nil {
					t.Fatal(err)
				}
				waitFor(t, func() bool { return r.asked.Load() == int64(2*i+1) })
				r.accepts.Store(int64(2*i + 2))
			}
			called := r.called.Load()
			resp, body := post(t, url+ask.path, ask.body, "Content-Type", ask.kind)
			if resp.StatusCode != 200 || !strings.Contains(body, ask.want) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if n := r.called.Load() - called; n != 2 {
				t.Errorf("%d calls", n)
			}
			// The next refusal is the answer, and says nothing of the token.
			r.accepts.Store(-1)
			resp, body = post(t, url+ask.path, ask.body, "Content-Type", ask.kind)
			if resp.StatusCode != 401 || !strings.Contains(body, "AuthenticationError") || strings.Contains(body, "token-number") {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if n := r.called.Load() - called; n != 3 {
				t.Errorf("%d calls", n)
			}
		})
	}
	if text := log.String(); strings.Contains(text, "planted") || strings.Contains(text, "token-number") {
		t.Errorf("the log tells a secret: %s", text)
	}
}

func TestWithoutATokenTheAnswerSaysWhy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int64
		want   int
		says   string
	}{
		{"a secret that has expired", 401, 401, "litellm.AuthenticationError: AuthenticationError: AzureException - no token of Entra ID for application c of tenant t:"},
		{"an authority that does not work", 503, 500, "litellm.InternalServerError: InternalServerError: AzureException - no token of Entra ID for application c of tenant t:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResource(t)
			r.down.Store(tt.status)
			var log lockedLog
			_, url := r.gateway(t, &log)
			for _, stream := range []string{"false", "true"} {
				resp, body := post(t, url+"/v1/chat/completions", `{"model":"m","messages":[],"stream":`+stream+`}`)
				if resp.StatusCode != tt.want || !strings.Contains(body, tt.says) || !strings.Contains(body, fmt.Sprint("answered ", tt.status)) {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				if strings.Contains(body, "planted") {
					t.Errorf("the secret is told: %s", body)
				}
			}
			if r.called.Load() != 0 {
				t.Error("the resource was called without a token")
			}
			waitFor(t, func() bool { return strings.Contains(log.String(), "next attempt in") })
			if text := log.String(); strings.Contains(text, "planted") {
				t.Errorf("the log tells the secret: %s", text)
			}
		})
	}
}

func TestARequestDoesNotWaitLongerForATokenThanForAnAnswer(t *testing.T) {
	hanging := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	c, _ := load(t, `
model_list:
- {model_name: m, litellm_params: {model: azure/dep, api_base: 'http://127.0.0.1:1', tenant_id: t, client_id: c, client_secret: planted-secret, timeout: 0.2, stream_timeout: 0.2}}
router_settings: {num_retries: 0}
`, "AZURE_AUTHORITY_HOST="+hanging.URL)
	_, url := gateway(t, c)
	for _, stream := range []string{"false", "true"} {
		resp, body := post(t, url+"/v1/chat/completions", `{"model":"m","messages":[],"stream":`+stream+`}`)
		if resp.StatusCode != 408 || !strings.Contains(body, "Timeout") {
			t.Errorf("stream %s: %d %s", stream, resp.StatusCode, body)
		}
	}
}

// What an upstream does not know is left out, and the request is sent once more
// in the same attempt; the deployment remembers.
func TestAnUpstreamThatRefusesStreamOptionsIsAskedWithout(t *testing.T) {
	var with, without atomic.Int64
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte("stream_options")) {
			with.Add(1)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			io.WriteString(w, `{"error":{"message":"Unrecognized request argument supplied: stream_options","type":"invalid_request_error"}}`)
			return
		}
		without.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, okStream)
	})
	c, _ := load(t, `
model_list:
- {model_name: m, litellm_params: {model: azure/dep, api_base: '`+strings.TrimSuffix(base, "/v1")+`', api_key: k}}
router_settings: {num_retries: 0}
`)
	_, url := gateway(t, c)
	for range 2 {
		if resp, body := post(t, url+"/v1/chat/completions", `{"model":"m","messages":[],"stream":true}`); resp.StatusCode != 200 || !strings.Contains(body, "[DONE]") {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
	if with.Load() != 1 || without.Load() != 2 {
		t.Errorf("asked %d times with, %d times without", with.Load(), without.Load())
	}
	// A client's own stream_options are the client's mistake.
	if resp, body := post(t, url+"/v1/chat/completions", `{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}`); resp.StatusCode != 400 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestAWildcardOfAzureIsServed(t *testing.T) {
	r := newResource(t)
	c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: 'azure/*', litellm_params: {model: 'azure/*', api_base: '%s', tenant_id: t, client_id: c, client_secret: planted-secret}}
router_settings: {num_retries: 0, disable_cooldowns: true}
`, r.base), "AZURE_AUTHORITY_HOST="+r.authority)
	if len(findings) != 0 {
		t.Fatal(said(findings))
	}
	_, url := gateway(t, c)
	for model, path := range map[string]string{"azure/one": "/openai/deployments/one/chat/completions", "azure/two": "/openai/deployments/two/chat/completions"} {
		resp, body := post(t, url+"/v1/chat/completions", `{"model":"`+model+`","messages":[]}`)
		if resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		if got, _ := r.seen.Load("Bearer token-number-1"); !strings.HasPrefix(fmt.Sprint(got), path+"?") {
			t.Errorf("%s: called %v", model, got)
		}
	}
	if resp, body := post(t, url+"/v1/chat/completions", `{"model":"azure/..","messages":[]}`); resp.StatusCode != 400 || r.called.Load() != 2 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
