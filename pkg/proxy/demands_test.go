package proxy

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/auth"
)

func TestWhatEveryCallMustHave(t *testing.T) {
	const (
		noUser = `{"error":{"message":"Authentication Error, 'user' param not passed in. 'enforce_user_param'=True","type":"auth_error","param":"None","code":"401"}}`
		noTags = `{"error":{"message":"Client-side 'metadata.tags' not allowed in request. 'reject_clientside_metadata_tags'=True. Tags can only be set via API key metadata.","type":"bad_request_error","param":"metadata.tags","code":"400"}}`
	)
	missing := func(what string) string {
		return "BadRequest please pass " + what + " in request body. This is a required param"
	}
	chat := func(more string) string {
		return `{"model":"m",` + more + `"messages":[{"role":"user","content":"hi"}]}`
	}
	for _, tt := range []struct {
		name, settings, path, body string
		status                     int
		says                       string
	}{
		{name: "nothing is asked for by default", body: chat(`"metadata":{"tags":["a"]},`), status: 200},
		{name: "a user is missing", settings: "enforce_user_param: true", body: chat(""), status: 401, says: noUser},
		{name: "a user is there", settings: "enforce_user_param: true", body: chat(`"user":"u",`), status: 200},
		{name: "null is a user, as in LiteLLM", settings: "enforce_user_param: true", body: chat(`"user":null,`), status: 200},
		{name: "another spelling of the name", settings: "enforce_user_param: true", body: chat(`"us\u0065r":"u",`), status: 200},
		{name: "every kind of call needs a user", settings: "enforce_user_param: true", path: "/v1/embeddings", body: `{"model":"m","input":"x"}`, status: 401, says: noUser},
		{name: "the user counts before the model", settings: "enforce_user_param: true", body: `{"model":"nobody"}`, status: 401, says: noUser},
		{name: "false asks for nothing", settings: "enforce_user_param: false", body: chat(""), status: 200},
		{name: "tags in metadata", settings: "reject_clientside_metadata_tags: true", body: chat(`"metadata":{"x":1,"tags":["a"]},`), status: 400, says: noTags},
		{name: "tags that are null", settings: "reject_clientside_metadata_tags: true", body: chat(`"metadata":{"tags":null},`), status: 400, says: noTags},
		{name: "other metadata", settings: "reject_clientside_metadata_tags: true", body: chat(`"metadata":{"x":"tags"},`), status: 200},
		{name: "tags beside metadata", settings: "reject_clientside_metadata_tags: true", body: chat(`"tags":["a"],`), status: 200},
		{name: "a parameter is missing", settings: "enforced_params: [user, metadata.team]", body: chat(""), status: 400, says: missing("param=user")},
		{name: "the mapping of a parameter is missing", settings: "enforced_params: [user, metadata.team]", body: chat(`"user":"u",`), status: 400, says: missing("param=metadata")},
		{name: "a parameter within a mapping is missing", settings: "enforced_params: [user, metadata.team]", body: chat(`"user":"u","metadata":{"x":1},`), status: 400, says: missing("param=[metadata][team]")},
		{name: "a mapping that is text", settings: "enforced_params: [metadata.team]", body: chat(`"metadata":"team",`), status: 400, says: missing("param=[metadata][team]")},
		{name: "all parameters are there", settings: "enforced_params: [user, metadata.team]", body: chat(`"user":"u","metadata":{"team":"t"},`), status: 200},
		{name: "a parameter that the gateway does not know", settings: "enforced_params: [vendor]", body: chat(`"vendor":false,`), status: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, findings := load(t, "general_settings: {"+tt.settings+"}\nmodel_list:\n- {model_name: m, litellm_params: {model: openai/m, api_key: k, mock_response: hi}}\n")
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			_, url := gateway(t, c)
			if tt.path == "" {
				tt.path = "/v1/chat/completions"
			}
			status, body := admin(t, "POST", url+tt.path, tt.body)
			if status != tt.status || !strings.Contains(body, tt.says) {
				t.Errorf("%d %s, want %d with %s", status, body, tt.status, tt.says)
			}
		})
	}
}

func TestFormsMustHaveWhatEveryCallMustHave(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"text":"hello"}`)
	})
	c, _ := load(t, "general_settings: {enforce_user_param: true, enforced_params: [language]}\nmodel_list:\n- {model_name: w, litellm_params: {model: openai/whisper-1, api_key: k, api_base: '"+base+"'}, model_info: {mode: audio_transcription}}\n")
	_, url := gateway(t, c)
	for _, tt := range []struct {
		name   string
		fields []string
		status int
		says   string
	}{
		{"no user", nil, 401, "'user' param not passed in"},
		{"no language", []string{"user"}, 400, "please pass param=language in request body"},
		{"both", []string{"user", "language"}, 200, "hello"},
	} {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		f, _ := w.CreateFormFile("file", "a.wav")
		io.WriteString(f, "RIFF")
		w.WriteField("model", "w")
		for _, name := range tt.fields {
			w.WriteField(name, "x")
		}
		w.Close()
		req, _ := http.NewRequest("POST", url+"/v1/audio/transcriptions", &b)
		req.Header.Set("Authorization", "Bearer "+testKey)
		req.Header.Set("Content-Type", w.FormDataContentType())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.says) {
			t.Errorf("%s: %d %s", tt.name, resp.StatusCode, body)
		}
	}
}

func TestRoutesForAdministratorsAlone(t *testing.T) {
	const yaml = "general_settings: {master_key: " + testKey + ", admin_only_routes: [/v1/models, '/health*', /metrics], public_routes: [/health/services]}\nmodel_list:\n- {model_name: m, litellm_params: {model: openai/m, api_key: k, mock_response: hi}}\n"
	ask := func(url, path string) (int, string) { return admin(t, "GET", url+path, "") }
	c, _ := load(t, yaml)
	_, closed := gateway(t, c)
	// Without a master key everybody is an internal user, and nobody an
	// administrator.
	c.Auth = auth.Options{Open: true}
	_, open := gateway(t, c)
	for _, path := range []string{"/v1/models", "/health"} {
		if status, body := ask(closed, path); status != 200 {
			t.Errorf("an administrator: %s: %d %s", path, status, body)
		}
		want := `{"error":{"message":"user not allowed to access this route. Route=` + path + ` is an admin only route","type":"auth_error","param":"None","code":"403"}}`
		if status, body := ask(open, path); status != 403 || body != want {
			t.Errorf("another: %s: %d %s, want %s", path, status, body, want)
		}
	}
	for path, want := range map[string]int{"/models": 200, "/health/liveliness": 200, "/health/services?service=x": 422} {
		if status, body := ask(open, path); status == 403 {
			t.Errorf("%s: %d %s, want about %d", path, status, body, want)
		}
	}
}

// TestCallsOfAllCallersAreBounded holds calls up at their upstream, streamed and
// not, and watches the next one turned away, and let in once one has ended.
func TestCallsOfAllCallersAreBounded(t *testing.T) {
	hold, reached := make(chan struct{}), make(chan struct{}, 8)
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		wait := func() {
			if strings.Contains(string(body), "wait") {
				reached <- struct{}{}
				<-hold
			}
		}
		if strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, strings.SplitAfter(okStream, "\n\n")[0])
			w.(http.Flusher).Flush()
			wait()
			io.WriteString(w, strings.Join(strings.SplitAfter(okStream, "\n\n")[1:], ""))
			return
		}
		wait()
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	c, findings := load(t, fmt.Sprintf("general_settings: {global_max_parallel_requests: 2}\nmodel_list:\n- {model_name: m, litellm_params: {model: openai/m, api_key: k, api_base: '%s'}}\n", base))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	_, url := gateway(t, c)
	chat := func(stream bool, text string) (*http.Response, string) {
		return post(t, url+"/v1/chat/completions", fmt.Sprintf(`{"model":"m","stream":%t,"messages":[{"role":"user","content":%q}]}`, stream, text))
	}
	var done sync.WaitGroup
	statuses := make([]int, 2)
	for i, stream := range []bool{false, true} {
		done.Go(func() {
			resp, _ := chat(stream, "wait")
			statuses[i] = resp.StatusCode
		})
		<-reached
	}
	resp, body := chat(false, "third")
	want := `{"error":{"message":"Max parallel request limit reached Hit Global Limit: Limit=2, current: 2","type":"throttling_error","param":null,"code":"429"}}`
	if resp.StatusCode != 429 || body != want || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v, want %s", resp.StatusCode, body, resp.Header, want)
	}
	if status, _ := admin(t, "GET", url+"/v1/models", ""); status != 200 {
		t.Errorf("other requests than calls of models: %d", status)
	}
	close(hold)
	done.Wait()
	if !slices.Equal(statuses, []int{200, 200}) {
		t.Errorf("%v", statuses)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if resp, body = chat(false, "fourth"); resp.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the places are not given back: %d %s", resp.StatusCode, body)
		}
	}
	// A refused request must not keep its place.
	for range 5 {
		chat(false, "")
		post(t, url+"/v1/chat/completions", `{"model":"m","messages":[]`)
	}
	if resp, body := chat(true, "last"); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
