package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// TestEveryRouteAnswersUnderTheRootPath asks each route that /routes lists with
// and without SERVER_ROOT_PATH: both answer alike.
func TestEveryRouteAnswersUnderTheRootPath(t *testing.T) {
	up := echoServer(t)
	c, _ := load(t, `{general_settings: {master_key: `+testKey+`, pass_through_endpoints: [{path: /own, target: "`+up.URL+`/x", include_subpath: true}]}}`, "SERVER_ROOT_PATH=/llm/")
	c.API.RootPath, c.API.Emulated = "/llm/", "1.2.3"
	c.Deployments = []*call.Deployment{entry(t, up.URL)}
	_, url := gateway(t, c)
	_, body := asked(t, url+"/llm/routes", false)
	var list struct {
		Routes []struct {
			Path    string
			Methods []string
		}
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Routes) < 70 {
		t.Fatalf("%v: %d routes", err, len(list.Routes))
	}
	ask := func(method, path string) (int, string, http.Header) {
		body := ""
		if method == http.MethodPost {
			body = `{"model":"nobody"}`
		}
		req, _ := http.NewRequest(method, url+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+testKey)
		resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), resp.Header
	}
	// Pages that say they are not here, and an endpoint that is off unless asked for.
	absent := map[string]bool{"/ui": true, "/ui/": true, "/health/drain": true}
	for _, r := range list.Routes {
		path := strings.NewReplacer("{model}", "nobody", "{model_id}", "fast", "{path}", "below").Replace(r.Path)
		plain, without, _ := ask(r.Methods[0], path)
		status, with, _ := ask(r.Methods[0], "/llm"+path)
		if status != plain || status == 404 && !absent[path] || status == 501 {
			t.Errorf("%s %s: %d, under the root path %d: %.200s | %.200s", r.Methods[0], path, plain, status, without, with)
		}
	}
	for path, want := range map[string]string{"/llm/v1/models/": "/llm/v1/models", "/v1/models/": "/v1/models", "/llm/health/": "/llm/health", "/llm/v1/chat/completions/?x=1": "/llm/v1/chat/completions?x=1"} {
		if status, _, h := ask("GET", path); status != 307 || h.Get("Location") != want {
			t.Errorf("%s: %d to %q", path, status, h.Get("Location"))
		}
	}
	for _, path := range []string{"/llmx/v1/models", "/llm/llm/v1/models", "/other/v1/models", "//v1/models", "//evil.example/v1/models/"} {
		if status, _, h := ask("GET", path); status != 404 {
			t.Errorf("%s: %d %v", path, status, h)
		}
	}
	if _, _, h := ask("POST", "/llm/own/below"); !strings.HasSuffix(h.Get("X-Litellm-Model-Api-Base"), "/x/below") {
		t.Errorf("a pass-through endpoint: %v", h)
	}
}

func TestTheRootLeadsWhereTheOperatorSays(t *testing.T) {
	_, url := gateway(t, Config{API: api.Options{RootPath: "/llm", RootRedirect: "https://pages.example/llm"}})
	for _, path := range []string{"/", "/llm", "/llm/"} {
		resp, _ := asked(t, url+path, false)
		if resp.StatusCode != 307 || resp.Header.Get("Location") != "https://pages.example/llm" {
			t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
		}
	}
	if resp, _ := asked(t, url+"/llm/docs", false); resp.StatusCode != 200 {
		t.Errorf("the page of the API: %d", resp.StatusCode)
	}
}
