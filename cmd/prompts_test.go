package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// said is in everything that people and models say here.
const said = "plantedsaying8Jq"

// TestServingRepeatsNothingThatWasSaid runs the gateway at its most talkative,
// lets calls of every kind go well and go wrong, and searches logs and metrics
// for prompts, answers, tools, file contents, and what an upstream's refusal
// quotes of them.
func TestServingRepeatsNothingThatWasSaid(t *testing.T) {
	// The upstream does what the path below its base says.
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		event := `data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"` + said + `"}}]}` + "\n\n"
		w.Header().Set("X-Request-Id", "req_1")
		switch kind {
		case "good":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"%s"},"text":"%[1]s","finish_reason":"stop"}],"output":[{"type":"message","content":[{"text":"%[1]s"}]}],"text":"%[1]s","data":[{"b64_json":"%[1]s"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`, said)
		case "stream":
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, event+`data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
		case "cut":
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, event+`data: {"id":"c","choices":[{"delta":{"content":"`+said)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "broken":
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, event+`data: {"`+said+"\n\n")
		case "page":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, "<html>you said %s</html>", said)
		case "noise":
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, said+" is no HTTP\r\n\r\n")
			conn.Close()
		case "head":
			conn, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-"+said+" : x\r\n\r\n")
			conn.Close()
		default: // a status
			w.Header().Set("Content-Type", "application/json")
			status := 500
			fmt.Sscan(kind, &status)
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":{"message":"this prompt is refused: %s","type":"%[1]s","code":"%[1]s","param":"%[1]s"}}`, said)
		}
	}))
	upstream.Config.ErrorLog = nil
	defer upstream.Close()

	dir := t.TempDir()
	kinds := []string{"good", "stream", "cut", "broken", "page", "noise", "head", "400", "401", "403", "404", "408", "413", "422", "429", "500", "503"}
	var config strings.Builder
	config.WriteString("model_list:\n")
	for _, kind := range kinds {
		fmt.Fprintf(&config, "- {model_name: %s, litellm_params: {model: openai/m, api_key: k, api_base: %s/%s}}\n", kind, upstream.URL, kind)
	}
	config.WriteString(`general_settings: {master_key: sk-prompts-0123456789}
litellm_settings: {set_verbose: true, num_retries: 1, callbacks: [prometheus], cache: true, cache_params: {type: local}, require_auth_for_metrics_endpoint: false}
router_settings: {disable_cooldowns: true, retry_after: 0}
`)
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("LITELLM_LOG", "DEBUG")
	t.Setenv("INITIAL_RETRY_DELAY", "0.001")
	t.Setenv("MAX_RETRY_DELAY", "0.001")
	t.Setenv("JITTER", "0")
	t.Setenv("XDG_STATE_HOME", dir)

	for _, form := range []string{"false", "true"} {
		t.Run("json_logs="+form, func(t *testing.T) {
			t.Setenv("JSON_LOGS", form)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := l.Addr().String()
			l.Close()
			_, port, _ := net.SplitHostPort(address)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out, errs := &lockedBuffer{}, &lockedBuffer{}
			done := make(chan int, 1)
			go func() {
				done <- execute(ctx, []string{"llmgw", "serve", "-c", "config.yaml", "--host", "127.0.0.1", "--port", port, "--store", "none", "--detailed_debug"},
					Streams{In: strings.NewReader(""), Out: out, Err: errs})
			}()
			ask := func(method, path, kind, body string) string {
				for range 500 {
					req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Authorization", "Bearer sk-prompts-0123456789")
					req.Header.Set("Content-Type", kind)
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						time.Sleep(20 * time.Millisecond)
						continue
					}
					defer resp.Body.Close()
					text, _ := io.ReadAll(resp.Body)
					return string(text)
				}
				t.Fatalf("the gateway does not answer\n%s\n%s", out, errs)
				return ""
			}
			heard := 0
			for _, kind := range kinds {
				for _, stream := range []bool{false, true} {
					for path, rest := range map[string]string{
						"/v1/chat/completions": `"messages":[{"role":"system","content":"%[1]s"},{"role":"user","content":[{"type":"text","text":"%[1]s"},{"type":"image_url","image_url":{"url":"data:image/png;base64,%[1]s"}}]}],"tools":[{"type":"function","function":{"name":"f","description":"%[1]s"}}]`,
						"/v1/completions":      `"prompt":"%[1]s","suffix":"%[1]s"`,
						"/v1/responses":        `"input":"%[1]s","instructions":"%[1]s"`,
						"/v1/embeddings":       `"input":["%[1]s"]`,
					} {
						body := fmt.Sprintf(`{"model":"%s","stream":%v,`, kind, stream) + fmt.Sprintf(rest, said) + "}"
						if strings.Contains(ask("POST", path, "application/json", body), said) {
							heard++
						}
					}
				}
				var form bytes.Buffer
				w := multipart.NewWriter(&form)
				file, _ := w.CreateFormFile("file", "a.mp3")
				io.WriteString(file, said)
				_ = w.WriteField("model", kind)
				_ = w.WriteField("prompt", said)
				w.Close()
				ask("POST", "/v1/audio/transcriptions", w.FormDataContentType(), form.String())
			}
			if heard < 20 {
				t.Errorf("only %d answers held what was said: the upstream's words do not arrive, so nothing was tested", heard)
			}
			for _, body := range []string{
				`{"model":"good","messages":"` + said, `{"model":"good","messages":"` + said + `"} ` + said, `{"model":"good","model":"x","messages":"` + said + `"}`,
				said, `"` + said + `"`, `{"model":"good","timeout":"x","messages":"` + said + `"}`, `{"model":"good","stream":7,"messages":"` + said + `"}`,
				`{"model":"no such model","messages":"` + said + `"}`,
			} {
				ask("POST", "/v1/chat/completions", "application/json", body)
			}
			// Garbage that is not HTTP may be what somebody says, too.
			if c, err := net.Dial("tcp", address); err == nil {
				io.WriteString(c, said+"\r\n\r\n")
				io.Copy(io.Discard, c)
				c.Close()
			}
			if metrics := ask("GET", "/metrics", "text/plain", ""); !strings.Contains(metrics, "litellm_") || strings.Contains(metrics, said) {
				t.Errorf("metrics: %d bytes, %v", len(metrics), strings.Contains(metrics, said))
			}
			for _, path := range []string{"/health/readiness/details", "/model/info", "/cache/ping"} {
				if answer := ask("GET", path, "text/plain", ""); strings.Contains(answer, said) {
					t.Errorf("%s: %s", path, answer)
				}
			}
			cancel()
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Fatal("the gateway does not stop")
			}
			log := out.String() + errs.String()
			if strings.Count(log, "\n") < 50 {
				t.Errorf("only %d lines were logged", strings.Count(log, "\n"))
			}
			for line := range strings.SplitSeq(log, "\n") {
				if strings.Contains(line, said) {
					t.Errorf("the log repeats what was said: %.500s", line)
				}
			}
		})
	}
}
