package proxy

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// trap is a server that nobody may call.
func trap(t *testing.T) (base string, called *atomic.Int32) {
	t.Helper()
	called = new(atomic.Int32)
	base = upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		called.Add(1)
		t.Errorf("the trap was called: %s %s with key %q", r.Method, r.URL, r.Header.Get("Authorization"))
	})
	return base, called
}

// TestAClientCannotChooseWhereItsRequestGoes: no member, header, query, path or
// model name leads elsewhere than the configuration says, and none brings
// another key.
func TestAClientCannotChooseWhereItsRequestGoes(t *testing.T) {
	elsewhere, _ := trap(t)
	var mu sync.Mutex
	var got []string
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = append(got, fmt.Sprint(r.Host, r.URL, r.Header, string(b)))
		mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer sk-upstream" {
			t.Errorf("another key was sent: %v", r.Header)
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	_, url := gateway(t, Config{Deployments: []*call.Deployment{entry(t, strings.TrimSuffix(base, "/v1"))}})

	ways := map[string]string{ // endpoint -> members of a good request
		"/v1/chat/completions":   `"model":"fast","messages":[]`,
		"/v1/completions":        `"model":"fast","prompt":"x"`,
		"/v1/embeddings":         `"model":"fast","input":"x"`,
		"/v1/responses":          `"model":"fast","input":"x"`,
		"/v1/moderations":        `"model":"fast","input":"x"`,
		"/v1/rerank":             `"model":"fast","query":"x","documents":["y"]`,
		"/v1/images/generations": `"model":"fast","prompt":"x"`,
		"/v1/audio/speech":       `"model":"fast","input":"x","voice":"alloy"`,
	}
	refused := []string{
		`"api_base":"%s"`, `"base_url":"%s"`, `"api_key":"sk-evil"`, `"api_base":null`, `"api\u005fbase":"%s"`, `"\u0061pi_key":"x"`,
		`"user_config":{"model_list":[{"model_name":"fast","litellm_params":{"model":"openai/x","api_base":"%s","api_key":"sk-evil"}}]}`,
	}
	for path, members := range ways {
		for _, m := range refused {
			if strings.Contains(m, "%s") {
				m = fmt.Sprintf(m, elsewhere)
			}
			for _, body := range []string{"{" + m + "," + members + "}", "{" + members + "," + m + "}"} {
				got = nil
				resp, answer := post(t, url+path, body)
				if resp.StatusCode != 401 || !strings.Contains(answer, "is not allowed in request body") || len(got) > 0 {
					t.Errorf("%s %s: %d %s, upstream %v", path, body, resp.StatusCode, answer, got)
				}
			}
		}
		// What is not refused does not work either, and what is addressed to a
		// gateway does not reach the upstream.
		stripped := fmt.Sprintf(`"api_version":"%s","custom_llm_provider":"azure"`, elsewhere)
		got = nil
		if resp, answer := post(t, url+path, "{"+stripped+","+members+"}"); resp.StatusCode != 200 && path != "/v1/audio/speech" || len(got) != 1 || strings.Contains(got[0], elsewhere) {
			t.Errorf("%s: %d %s, upstream %v", path, resp.StatusCode, answer, got)
		}
		nested := fmt.Sprintf(`"metadata":{"api_base":"%s","api_key":"sk-evil","user_api_key":"x"},"litellm_params":{"api_base":"%[1]s"},"Api_base":"%[1]s","extra_body":{"base_url":"%[1]s"},"proxy":"%[1]s"`, elsewhere)
		header := []string{"X-Litellm-Api-Base", elsewhere, "X-Forwarded-Host", strings.TrimPrefix(elsewhere, "http://"), "X-Original-Url", elsewhere, "Host", "evil.example", "Proxy", elsewhere, "X-Litellm-Endpoint", elsewhere}
		got = nil
		post(t, url+path+"?api_base="+elsewhere+"&base_url="+elsewhere+"&api_key=sk-evil", "{"+nested+","+members+"}", header...)
		if len(got) != 1 {
			t.Errorf("%s: the upstream was asked %d times", path, len(got))
		}
	}
	for _, body := range []string{
		fmt.Sprintf(`{"model":"%s","messages":[]}`, elsewhere),
		fmt.Sprintf(`{"model":"openai/%s","messages":[]}`, elsewhere),
		`{"model":"fast@evil.example","messages":[]}`,
		`{"model":"../fast","messages":[]}`,
		fmt.Sprintf(`{"model":"none","messages":[],"fallbacks":[{"model":"fast","api_base":"%s"}]}`, elsewhere),
		fmt.Sprintf(`{"model":"fast","messages":[],"fallbacks":[{"model":"fast","api_key":"x","base_url":"%s"}]}`, elsewhere),
		fmt.Sprintf(`{"model":"fast","messages":[],"context_window_fallback_dict":{"fast":"%s"},"fallbacks":["%[1]s"],"mock_testing_fallbacks":true}`, elsewhere),
	} {
		resp, answer := post(t, url+"/v1/chat/completions", body)
		if resp.StatusCode == 200 && !strings.Contains(body, "context_window_fallback_dict") {
			t.Errorf("%s: %s", body, answer)
		}
	}
	for _, path := range []string{"/openai/deployments/" + strings.ReplaceAll(elsewhere, "/", "%2F") + "/chat/completions", "/engines/..%2f..%2fx/chat/completions", "//evil.example/v1/chat/completions", "/v1/../v1/chat/completions"} {
		if resp, answer := post(t, url+path, `{"messages":[]}`); resp.StatusCode < 300 {
			t.Errorf("%s: %d %s", path, resp.StatusCode, answer)
		}
	}
	// Addresses within a prompt are the upstream's to fetch or to refuse.
	got = nil
	image := fmt.Sprintf(`{"model":"fast","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"%s"}}]}]}`, elsewhere)
	if resp, answer := post(t, url+"/v1/chat/completions", image); resp.StatusCode != 200 || len(got) != 1 || !strings.Contains(got[0], elsewhere) {
		t.Errorf("%d %s, upstream %v", resp.StatusCode, answer, got)
	}
	// Forms.
	for _, field := range []string{"api_base", "base_url", "api_key"} {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		file, _ := w.CreateFormFile("file", "a.mp3")
		io.WriteString(file, "x")
		_ = w.WriteField("model", "fast")
		_ = w.WriteField(field, elsewhere)
		w.Close()
		got = nil
		if resp, answer := post(t, url+"/v1/audio/transcriptions", b.String(), "Content-Type", w.FormDataContentType()); resp.StatusCode != 401 || len(got) > 0 {
			t.Errorf("%s in a form: %d %s", field, resp.StatusCode, answer)
		}
	}
}

// TestARedirectOfAnUpstreamIsNotFollowed: it would take prompt and key
// elsewhere, a cloud's metadata for one. The client gets an error, not the
// address.
func TestARedirectOfAnUpstreamIsNotFollowed(t *testing.T) {
	elsewhere, called := trap(t)
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		for _, location := range []string{elsewhere + "/steal", "http://169.254.169.254/latest/meta-data/", "//evil.example/", "/v1/chat/completions"} {
			var asked atomic.Int32
			base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				io.Copy(io.Discard, r.Body)
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			})
			retries := 0
			c := Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}}
			c.Router.NumRetries = &retries
			_, url := gateway(t, c)
			for _, stream := range []bool{false, true} {
				asked.Store(0)
				resp, answer := post(t, url+"/v1/chat/completions", fmt.Sprintf(`{"model":"fast","stream":%v,"messages":[]}`, stream))
				if resp.StatusCode < 400 || resp.Header.Get("Location") != "" || !strings.HasPrefix(answer, `{"error":{`) {
					t.Errorf("%d to %s, stream %v: the client got %d %v %s", status, location, stream, resp.StatusCode, resp.Header, answer)
				}
				if asked.Load() != 1 {
					t.Errorf("%d to %s, stream %v: the upstream was asked %d times", status, location, stream, asked.Load())
				}
			}
		}
	}
	if called.Load() != 0 {
		t.Error("a redirect was followed")
	}
}
