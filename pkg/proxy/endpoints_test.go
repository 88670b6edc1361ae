package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/mock"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/provider"
)

// entry is a deployment as a configuration makes it, for every kind of call.
func entry(t testing.TB, base string) *call.Deployment {
	t.Helper()
	d := &call.Deployment{ID: "d1", Group: "fast"}
	e := provider.Entry{Model: "openai/up-model", APIBase: base, APIKey: redact.New("sk-upstream")}
	if err := e.Deploy(d, wire.Chat); err != nil {
		t.Fatal(err)
	}
	return d
}

// mockGateway is a gateway in front of the scripted upstream.
func mockGateway(t *testing.T) string {
	t.Helper()
	m := mock.New(mock.Options{Seed: 1})
	up := httptest.NewServer(m)
	t.Cleanup(up.Close)
	t.Cleanup(m.Close)
	_, url := gateway(t, Config{Deployments: []*call.Deployment{entry(t, up.URL)}})
	return url
}

// TestEveryEndpointOfTheFormat asks each endpoint under each of its paths.
func TestEveryEndpointOfTheFormat(t *testing.T) {
	url := mockGateway(t)
	for _, tt := range []struct {
		paths string // with commas
		body  string
		want  string // a part of the answer
	}{
		{"/v1/chat/completions,/chat/completions,/engines/fast/chat/completions,/openai/deployments/fast/chat/completions", `{"model":"fast","messages":[]}`, `"model":"fast"`},
		{"/v1/completions,/completions,/engines/fast/completions,/openai/deployments/fast/completions?api-version=1", `{"model":"fast","prompt":"x"}`, `"object":"text_completion"`},
		{"/v1/completions", `{"model":"fast","prompt":"x","stream":true}`, "data: [DONE]"},
		{"/v1/embeddings,/embeddings,/engines/fast/embeddings,/openai/deployments/fast/embeddings", `{"model":"fast","input":["a","b"]}`, `"model":"fast"`},
		{"/v1/responses,/responses,/openai/v1/responses", `{"model":"fast","input":"x"}`, `"model":"fast"`},
		{"/v1/responses", `{"model":"fast","input":"x","stream":true}`, "event: response.completed"},
		{"/v1/moderations,/moderations", `{"model":"fast","input":"x"}`, `"model":"fast"`},
		{"/v1/rerank,/rerank,/v2/rerank", `{"model":"fast","query":"q","documents":["a","b"],"top_n":1}`, `"relevance_score":1`},
		{"/v1/images/generations,/images/generations,/openai/deployments/fast/images/generations", `{"model":"fast","prompt":"a cat","n":2}`, `"b64_json"`},
		{"/v1/audio/speech,/audio/speech", `{"model":"fast","input":"hello","voice":"alloy"}`, "PNG"},
	} {
		for path := range strings.SplitSeq(tt.paths, ",") {
			body := tt.body
			if strings.Contains(path, "/fast/") { // the path says it
				body = strings.Replace(body, `"model":"fast",`, "", 1)
			}
			resp, answer := post(t, url+path, body)
			if resp.StatusCode != 200 || !strings.Contains(answer, tt.want) || strings.Contains(answer, "up-") {
				t.Errorf("%s: %d %.300s", path, resp.StatusCode, answer)
			}
			if resp.Header.Get("X-Litellm-Call-Id") == "" || resp.Header.Get("X-Litellm-Model-Group") != "fast" {
				t.Errorf("%s: headers %v", path, resp.Header)
			}
		}
	}
	resp, sound := post(t, url+"/v1/audio/speech", `{"model":"fast","input":"`+strings.Repeat("long ", 400)+`"}`)
	if resp.Header.Get("Content-Type") != "audio/mpeg" || len(sound) < 10_000 || strings.Count(sound, "PNG")*70 != len(sound) {
		t.Errorf("sound: %d bytes of %s", len(sound), resp.Header.Get("Content-Type"))
	}
	// The model of the first and the last event is the client's, and no other.
	_, events := post(t, url+"/v1/responses", `{"model":"fast","input":"x","stream":true}`)
	if strings.Count(events, `"model":"fast"`) != 3 || !strings.HasSuffix(events, "\n\n") || strings.Contains(events, "[DONE]") {
		t.Errorf("events: %s", events)
	}
}

// form is a multipart body with the file before the model, as clients send it.
func form(t *testing.T, fields ...string) (string, string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	file, err := w.CreateFormFile("file", "a.mp3")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(file, strings.Repeat("\x00\xff", 500))
	for i := 0; i < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	return b.String(), w.FormDataContentType()
}

func TestFormsGoToTheModelTheyName(t *testing.T) {
	url := mockGateway(t)
	for _, path := range []string{"/v1/audio/transcriptions", "/audio/transcriptions", "/v1/audio/translations", "/openai/deployments/fast/audio/transcriptions"} {
		fields := []string{"model", "fast", "language", "de"}
		if strings.Contains(path, "/fast/") {
			fields = fields[2:]
		}
		body, kind := form(t, fields...)
		resp, answer := post(t, url+path, body, "Content-Type", kind)
		if resp.StatusCode != 200 || !strings.Contains(answer, `"text":"1000 bytes of sound"`) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, answer)
		}
	}
	body, kind := form(t, "response_format", "srt", "model", "fast")
	if resp, answer := post(t, url+"/v1/audio/transcriptions", body, "Content-Type", kind); answer != "1000 bytes of sound\n" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("text: %v %q", resp.Header, answer)
	}
	for _, path := range []string{"/v1/images/edits", "/v1/images/variations"} {
		body, kind := form(t, "prompt", "x", "model", "fast")
		if resp, answer := post(t, url+path, body, "Content-Type", kind); resp.StatusCode != 200 || !strings.Contains(answer, "b64_json") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, answer)
		}
	}
}

func TestFormsThatAreRefused(t *testing.T) {
	url := mockGateway(t)
	good, kind := form(t, "model", "fast")
	other, otherKind := form(t, "model", "nobody")
	twice, twiceKind := form(t, "model", "fast", "model", "other")
	base, baseKind := form(t, "model", "fast", "api_base", "http://evil")
	none, noneKind := form(t)
	for _, tt := range []struct {
		name, body, kind string
		status           int
		message          string
	}{
		{"JSON", `{"model":"fast"}`, "application/json", 400, "expected multipart/form-data"},
		{"no boundary", good, "multipart/form-data", 400, "with a boundary"},
		{"cut", good[:len(good)/2], kind, 400, "ends too early"},
		{"of another boundary", good, kind + "x", 400, "is broken"},
		{"an unknown model", other, otherKind, 400, "Invalid model name passed in model=nobody"},
		{"no model", none, noneKind, 400, "Invalid model name passed in model=None"},
		{"two models", twice, twiceKind, 400, "duplicate key"},
		{"a client's own upstream", base, baseKind, 401, "api_base is not allowed"},
		{"too large", good + strings.Repeat("x", 33<<20), kind, 413, "up to 32.0 MB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, answer := post(t, url+"/v1/audio/transcriptions", tt.body, "Content-Type", tt.kind)
			var e struct{ Error struct{ Message string } }
			if err := json.Unmarshal([]byte(answer), &e); err != nil {
				t.Fatalf("no envelope: %q", answer)
			}
			if resp.StatusCode != tt.status || !strings.Contains(e.Error.Message, tt.message) {
				t.Errorf("%d %s", resp.StatusCode, answer)
			}
		})
	}
}

func TestSoundThatBreaksOffDoesNotEndWell(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "audio/mpeg")
		io.WriteString(w, "some sound")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	_, url := gateway(t, Config{Deployments: []*call.Deployment{entry(t, base)}})
	req, _ := http.NewRequest("POST", url+"/v1/audio/speech", strings.NewReader(`{"model":"fast","input":"x"}`))
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err == nil || string(got) != "some sound" {
		t.Errorf("%q, %v", got, err)
	}
}
