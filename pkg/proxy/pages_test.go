package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/proxy/api"
)

// asked gets a path with the master key, or without one.
func asked(t *testing.T, url string, key bool) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key {
		req.Header.Set("Authorization", "Bearer "+testKey)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestModelInfoNamesLimitsAndPricesAndNoCredentials(t *testing.T) {
	c, findings := load(t, `
model_list:
  - model_name: fast
    litellm_params: {model: openai/gpt-4o, api_key: sk-planted-1, api_base: "https://up.example/v1", extra_headers: {X-Token: planted-2}, organization: org-1, rpm: 10}
    model_info: {id: d1, note: kept, input_cost_per_token: 0.5}
  - model_name: fast
    litellm_params: {model: azure/dep, api_key: planted-3, api_base: "https://r.openai.azure.com", client_secret: planted-4, rpm: 5}
    model_info: {id: d2, base_model: azure/gpt-4o}
general_settings: {master_key: `+testKey+`}`)
	for _, f := range findings {
		t.Log(f.Message)
	}
	_, url := gateway(t, c)
	for _, path := range []string{"/model/info", "/v1/model/info"} {
		resp, body := asked(t, url+path, true)
		if resp.StatusCode != 200 || strings.Contains(body, "planted") {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		var list struct {
			Data []struct {
				Name   string         `json:"model_name"`
				Params map[string]any `json:"litellm_params"`
				Info   map[string]any `json:"model_info"`
			}
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Data) != 2 {
			t.Fatalf("%v: %s", err, body)
		}
		first, second := list.Data[0], list.Data[1]
		if first.Name != "fast" || first.Params["model"] != "openai/gpt-4o" || first.Params["api_base"] != "https://up.example/v1" || first.Info["id"] != "d1" ||
			first.Info["db_model"] != false || first.Info["note"] != "kept" || first.Info["input_cost_per_token"] != 0.5 || first.Info["max_input_tokens"] != 128000.0 || first.Info["mode"] != "chat" {
			t.Errorf("%+v", first)
		}
		if second.Info["input_cost_per_token"] != 2.5e-06 || second.Info["litellm_provider"] != "azure" {
			t.Errorf("%+v", second)
		}
	}
	if _, body := asked(t, url+"/model/info?litellm_model_id=d2", true); strings.Count(body, `"model_name"`) != 1 || !strings.Contains(body, `"id":"d2"`) {
		t.Error(body)
	}
	if resp, body := asked(t, url+"/model/info?litellm_model_id=nope", true); resp.StatusCode != 400 || body != `{"detail":{"error":"Model id = nope not found on litellm proxy"}}` {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := asked(t, url+"/model/info", false); resp.StatusCode != 401 {
		t.Errorf("without a key: %d", resp.StatusCode)
	}
	_, body := asked(t, url+"/model_group/info", true)
	var groups struct{ Data []map[string]any }
	if err := json.Unmarshal([]byte(body), &groups); err != nil || len(groups.Data) != 1 || groups.Data[0]["model_group"] != "fast" || groups.Data[0]["rpm"] != 15.0 || groups.Data[0]["max_input_tokens"] != 128000.0 {
		t.Errorf("%v %s", err, body)
	}
}

func TestPagesNeedNothingFromElsewhere(t *testing.T) {
	_, url := gateway(t, Config{API: api.Options{RootPath: "/llm", Emulated: "1.2.3", Build: "v9"}})
	for _, path := range []string{"/", "/docs", "/llm/", "/llm/docs", "/llm/redoc"} {
		resp, body := asked(t, url+path, false)
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || resp.Header.Get("Content-Security-Policy") == "" ||
			!strings.Contains(body, "<code>/llm/v1/chat/completions</code>") || strings.Contains(body, "<script") || strings.Contains(body, "src=") {
			t.Errorf("%s: %d %v\n%s", path, resp.StatusCode, resp.Header, body)
		}
		if links := strings.Count(body, "//") - strings.Count(body, "http://"+strings.TrimPrefix(url, "http://")); links != 0 {
			t.Errorf("%s: %d addresses of other hosts", path, links)
		}
	}
	resp, body := asked(t, url+"/llm/openapi.json", false)
	var doc struct {
		OpenAPI string
		Servers []struct{ URL string }
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || resp.StatusCode != 200 || doc.OpenAPI != "3.1.0" || len(doc.Servers) != 1 || doc.Servers[0].URL != "/llm" {
		t.Fatalf("%v %d %s", err, resp.StatusCode, body)
	}
	for _, path := range []string{"/v1/chat/completions", "/engines/{model}/embeddings", "/openai/deployments/{model}/chat/completions", "/v1/audio/transcriptions"} {
		if doc.Paths[path]["post"] == nil {
			t.Errorf("%s is not described", path)
		}
	}
	if resp, body := asked(t, url+"/llm/ui", false); resp.StatusCode != 404 || !strings.Contains(body, "admin page") || !strings.Contains(body, `href="/llm/docs"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if _, body := asked(t, url+"/llm/routes", false); !strings.Contains(body, `{"path":"/v1/rerank","methods":["POST"]`) {
		t.Error(body)
	}
}

func TestOperatorsAnswers(t *testing.T) {
	_, url := gateway(t, Config{API: api.Options{NoDocs: true}})
	for path, want := range map[string]string{
		"/health/backlog":                `200 {"in_flight_requests":1,"admitted_requests":0,"queued_requests":0,"rejected_requests":0}`,
		"/health/services":               `422 {"detail":[{"type":"missing","loc":["query","service"],"msg":"Field required"}]}`,
		"/health/services?service=slack": `422 {"error":{"message":"{'error': '\"slack\" not in proxy config: general_settings. Unable to test this.'}","type":"auth_error","param":"None","code":"422"}}`,
		"/health/license":                `200 {"has_license":false,"license_type":"community","expiration_date":null,"allowed_features":[],"limits":{"max_users":null,"max_teams":null}}`,
		"/health/latest":                 `500 {"detail":{"error":"Database not initialized"}}`,
		"/v1/models/nope":                "404 {\"detail\":\"The model `nope` does not exist or is not accessible\"}",
		"/":                              `200 "LiteLLM: RUNNING"`,
		"/docs":                          `404 {"detail":"Not Found"}`,
	} {
		resp, body := asked(t, url+path, true)
		if got := resp.Status[:4] + body; got != want {
			t.Errorf("%s: %s\nwant %s", path, got, want)
		}
	}
	if resp, body := asked(t, url+"/health/services?service=nope", true); resp.StatusCode != 400 || !strings.Contains(body, "Service must be in list. Service=nope") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestCrawlersAndSecondPages(t *testing.T) {
	c, _ := load(t, "general_settings: {block_robots: true}\n")
	ApplyEnvironment(&c, func(name string) string { return map[string]string{"NO_REDOC": "true"}[name] })
	_, url := gateway(t, c)
	if resp, body := asked(t, url+"/robots.txt", false); resp.StatusCode != 200 || body != "User-agent: *\nDisallow: /" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	for path, want := range map[string]int{"/docs": 200, "/openapi.json": 200, "/redoc": 404} {
		if resp, _ := asked(t, url+path, false); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	c, _ = load(t, "general_settings: {block_robots: false}\n")
	ApplyEnvironment(&c, func(name string) string { return map[string]string{"NO_OPENAPI": "true"}[name] })
	_, url = gateway(t, c)
	for _, path := range []string{"/robots.txt", "/docs", "/openapi.json", "/redoc"} {
		if resp, _ := asked(t, url+path, false); resp.StatusCode != 404 {
			t.Errorf("%s: %d, want 404", path, resp.StatusCode)
		}
	}
}
