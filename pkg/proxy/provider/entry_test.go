package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

func read(t testing.TB, yaml string) *Entry {
	t.Helper()
	n, findings, err := config.ParseYAML("config.yaml", []byte(yaml))
	if err != nil || len(findings) > 0 {
		t.Fatalf("%s: %v %v", yaml, findings, err)
	}
	e, err := ReadEntry(n, nil, nil)
	if err != nil {
		t.Fatalf("%s: %v", yaml, err)
	}
	return e
}

func deploy(t testing.TB, yaml string, env map[string]string) *call.Deployment {
	t.Helper()
	e := read(t, yaml)
	e.Getenv = func(name string) string { return env[name] }
	e.UserAgent = "llmgw/test"
	d := new(call.Deployment)
	if err := e.Deploy(d, wire.Chat); err != nil {
		t.Fatalf("%s: %v", yaml, err)
	}
	return d
}

func TestDeploy(t *testing.T) {
	for _, tt := range []struct {
		name, yaml      string
		env             map[string]string
		provider, model string
		url             string
		auth            string
	}{
		{"OpenAI", "{model: openai/gpt-4o-mini, api_key: sk-up}", nil, "openai", "gpt-4o-mini", "https://api.openai.com/v1/chat/completions", "Bearer sk-up"},
		{"a bare name", "{model: gpt-4o}", map[string]string{"OPENAI_API_KEY": "sk-env"}, "openai", "gpt-4o", "https://api.openai.com/v1/chat/completions", "Bearer sk-env"},
		{"a base", "{model: openai/gpt-4o-mini, api_base: 'https://up.example/v1', api_key: sk-up}", nil, "openai", "gpt-4o-mini", "https://up.example/v1/chat/completions", "Bearer sk-up"},
		{"a base by its other name", "{model: openai/m, base_url: 'http://up.example:8000/v1/'}", nil, "openai", "m", "http://up.example:8000/v1/chat/completions", ""},
		{"a base that is the endpoint", "{model: openai/m, api_base: 'https://up.example/v1/chat/completions'}", nil, "openai", "m", "https://up.example/v1/chat/completions", ""},
		{"a base with a query", "{model: openai/m, api_base: 'https://up.example/v1?region=eu'}", nil, "openai", "m", "https://up.example/v1/chat/completions?region=eu", ""},
		{"a base with escapes", "{model: openai/m, api_base: 'https://up.example/a%2Fb/v1'}", nil, "openai", "m", "https://up.example/a%2Fb/v1/chat/completions", ""},
		{"a base from a variable", "{model: openai/m}", map[string]string{"OPENAI_BASE_URL": "https://env.example/v1"}, "openai", "m", "https://env.example/v1/chat/completions", ""},
		{"Groq", "{model: groq/llama-3.3-70b-versatile}", map[string]string{"GROQ_API_KEY": "gsk"}, "groq", "llama-3.3-70b-versatile", "https://api.groq.com/openai/v1/chat/completions", "Bearer gsk"},
		{"a model with slashes", "{model: together_ai/meta-llama/Llama-3-8b}", nil, "together_ai", "meta-llama/Llama-3-8b", "https://api.together.ai/v1/chat/completions", ""},
		{"vLLM", "{model: hosted_vllm/x, api_base: 'http://vllm:8000/v1'}", nil, "hosted_vllm", "x", "http://vllm:8000/v1/chat/completions", ""},
		{"Ollama", "{model: ollama/llama3}", nil, "ollama", "llama3", "http://localhost:11434/v1/chat/completions", ""},
		{"a provider by parameter", "{model: m, custom_llm_provider: deepseek, api_key: k}", nil, "deepseek", "m", "https://api.deepseek.com/beta/chat/completions", "Bearer k"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := deploy(t, tt.yaml, tt.env)
			target := d.Lane.(wire.Lane).Target()
			if d.Provider != tt.provider || d.Model != tt.model || target.URL.String() != tt.url || target.Header.Get("Authorization") != tt.auth {
				t.Errorf("%s %s %s %q", d.Provider, d.Model, target.URL, target.Header.Get("Authorization"))
			}
			if target.Header.Get("Accept") != "application/json" || target.StreamHeader.Get("Accept") != "text/event-stream" ||
				target.Header.Get("Content-Type") != "application/json" || target.Header.Get("User-Agent") != "llmgw/test" {
				t.Errorf("headers %v", target.Header)
			}
		})
	}
}

// TestUnsupportedIsDisabled pins D17 of docs/compatibility.md.
func TestUnsupportedIsDisabled(t *testing.T) {
	for _, tt := range []struct{ yaml, provider, says string }{
		{"{model: bedrock/anthropic.claude}", "bedrock", `provider "bedrock" is not supported by this version`},
		{"{model: anthropic/claude-sonnet-4-5, api_base: 'https://up.example'}", "anthropic", `provider "anthropic" is not supported`},
		{"{model: gemini/gemini-2.5-pro}", "gemini", `provider "gemini" is not supported`},
		{"{model: azure/dep}", "azure", "set api_base or AZURE_API_BASE"},
		{"{model: azure/dep, api_base: 'https://r.openai.azure.com', tenant_id: t, client_id: c}", "azure", "no client_secret (or AZURE_CLIENT_SECRET)"},
		{"{model: azure/dep, api_base: 'https://r.openai.azure.com', azure_ad_token: oidc/x}", "azure", "AZURE_CLIENT_ID and AZURE_TENANT_ID must be set"},
		{"{model: m, custom_llm_provider: nonsense, api_base: 'https://up.example'}", "nonsense", `provider "nonsense" is not known`},
		{"{model: no-such-model}", "", "LLM Provider NOT provided. Pass in the LLM provider you are trying to call. You passed model=no-such-model"},
		{"{api_key: x}", "", "LLM Provider NOT provided"},
		{"{model: hosted_vllm/x}", "hosted_vllm", "set api_base"},
		{"{model: openai/x, api_base: 'up.example/v1'}", "openai", "api_base must be a URL"},
		{"{model: openai/x, api_base: 'ftp://up.example/v1'}", "openai", "api_base must be a URL"},
		{"{model: openai/x, api_base: 'https://u:planted@up.example/v1'}", "openai", "api_base holds a user name or password"},
		{"{model: openai/x, api_base: 'https://u:planted@up.example:x/v1'}", "openai", "api_base is not a URL"},
	} {
		d := new(call.Deployment)
		err := read(t, tt.yaml).Deploy(d, wire.Chat)
		var disabled *DisabledError
		if !errors.As(err, &disabled) || disabled.Provider != tt.provider || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", tt.yaml, err)
		}
		if d.Lane != nil {
			t.Errorf("%s has a lane", tt.yaml)
		}
	}
}

func TestEveryProviderOfTheFamilyDeploys(t *testing.T) {
	n := 0
	for _, p := range catalog.Providers() {
		d := new(call.Deployment)
		err := (&Entry{Model: p.Name + "/m", APIBase: "https://up.example/v1"}).Deploy(d, wire.Chat)
		if (err == nil) != p.Supported() {
			t.Errorf("%s: supported %v, %v", p.Name, p.Supported(), err)
		}
		if err == nil {
			n++
		}
	}
	if n < 40 {
		t.Errorf("only %d providers", n)
	}
}

func TestHeaders(t *testing.T) {
	d := deploy(t, `{model: openai/m, organization: org-1, api_key: k, extra_headers: {X-Team: "7", authorization: Basic abc, Host: evil, content-length: "1", "Accept-Encoding": gzip}}`, nil)
	h := d.Lane.(wire.Lane).Target().Header
	if h.Get("Openai-Organization") != "org-1" || h.Get("X-Team") != "7" || h.Get("Authorization") != "Basic abc" {
		t.Errorf("%v", h)
	}
	for _, name := range []string{"Host", "Content-Length"} {
		if h.Get(name) != "" {
			t.Errorf("%s is set", name)
		}
	}
	if h.Get("Accept-Encoding") != "identity" {
		t.Errorf("Accept-Encoding %q", h.Get("Accept-Encoding"))
	}
	h = deploy(t, `{model: openrouter/m}`, map[string]string{"OR_SITE_URL": "https://site", "OR_APP_NAME": "app"}).Lane.(wire.Lane).Target().Header
	if h.Get("Http-Referer") != "https://site" || h.Get("X-Title") != "app" {
		t.Errorf("%v", h)
	}
	for _, yaml := range []string{`{model: openai/m, extra_headers: {"a b": x}}`, `{model: openai/m, extra_headers: {a: "x\ny"}}`, `{model: openai/m, extra_headers: [a]}`, `{model: [x]}`, `{model: openai/m, additional_drop_params: "x"}`, `{model: openai/m, additional_drop_params: ["tools[*].x"]}`} {
		n, _, _ := config.ParseYAML("c", []byte(yaml))
		if _, err := ReadEntry(n, nil, nil); err == nil {
			t.Errorf("%s is read", yaml)
		}
	}
}

// exchange sends a body through the lane of a deployment.
func request(t testing.TB, d *call.Deployment, body string, ask bool) string {
	t.Helper()
	var r splice.Request
	if err := r.Scan([]byte(body)); err != nil {
		t.Fatal(err)
	}
	x := d.Lane.(wire.Lane).Open(wire.Options{Request: &r, AskUsage: ask})
	defer x.Close()
	out, err := x.AppendRequest(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestSpliceForwardsUnknown pins D26 of docs/compatibility.md: upstreams judge
// parameters, the gateway does not.
func TestSpliceForwardsUnknown(t *testing.T) {
	d := deploy(t, "{model: openai/gpt-4o, drop_params: true}", nil)
	const body = `{"model":"gpt-4o","reasoning_effort":"high","x_vendor":{"deep":[1.0,2e3]},"logit_bias":{"1":-100},"frequency_penalty":0.0}`
	if got := request(t, d, body, false); got != body {
		t.Errorf("%s", got)
	}
}

func TestConfiguredParameters(t *testing.T) {
	d := deploy(t, `{model: openai/up, api_key: k, rpm: 5, tags: [a], input_cost_per_token: 0.1, timeout: 3,
  temperature: 0.5, top_k: 5, stop: [a, "b"], vendor_switch: {on: yes, list: [1, 2.5, ~, "ü<"]}, extra_body: {enable_thinking: false, top_k: 7},
  additional_drop_params: [seed]}`, nil)
	got := request(t, d, `{"model":"m","temperature":1.0,"seed":3}`, false)
	want := `{"model":"up","temperature":1.0,"top_k":5,"stop":["a","b"],"vendor_switch":{"list":[1,2.5,null,"ü<"],"on":true},"enable_thinking":false}`
	if got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
}

func TestReasoningModelsGetTheLimitByItsNewerName(t *testing.T) {
	for model, renamed := range map[string]bool{
		"openai/o1": true, "openai/o3-mini": true, "openai/o4-mini-2025-04-16": true, "openai/gpt-5": true, "openai/gpt-5.2-pro": true, "openai/openai/o3": true,
		"openai/gpt-5-chat-latest": false, "openai/gpt-5.2-chat-latest": false, "openai/gpt-4o": false, "openai/gpt-4.1": false, "openai/gpt-oss-120b": false,
		"openai/olmo-2": false, "openai/o": false, "openai/o100x": false, "openai/chatgpt-4o-latest": false, "groq/openai/gpt-5": false, "hosted_vllm/o3": false,
	} {
		got := request(t, deploy(t, "{model: "+model+", api_base: 'http://up/v1'}", nil), `{"model":"m","max_tokens":5}`, false)
		if strings.Contains(got, `"max_completion_tokens":5`) != renamed || strings.Contains(got, `"max_tokens":5`) == renamed {
			t.Errorf("%s: %s", model, got)
		}
	}
	// A configured limit takes the same name, and counts only where the client
	// has set neither.
	d := deploy(t, "{model: openai/o3, max_tokens: 9}", nil)
	for in, want := range map[string]string{
		`{"model":"m"}`:                           `{"model":"o3","max_completion_tokens":9}`,
		`{"model":"m","max_tokens":5}`:            `{"model":"o3","max_completion_tokens":5}`,
		`{"model":"m","max_completion_tokens":6}`: `{"model":"o3","max_completion_tokens":6}`,
	} {
		if got := request(t, d, in, false); got != want {
			t.Errorf("%s becomes %s", in, got)
		}
	}
}

func TestVendorsOfTheRegistryGetTheLimitByItsOlderName(t *testing.T) {
	for model, want := range map[string]string{
		"synthetic/m": `{"model":"m","max_tokens":5}`, "nano-gpt/m": `{"model":"m","max_tokens":5}`, "poe/m": `{"model":"m","max_tokens":5}`,
		"publicai/m": `{"model":"m","max_tokens":5}`, "openrouter/m": `{"model":"m","max_completion_tokens":5}`, "hosted_vllm/m": `{"model":"m","max_completion_tokens":5}`,
	} {
		if got := request(t, deploy(t, "{model: "+model+", api_base: 'http://up/v1'}", nil), `{"model":"m","max_completion_tokens":5}`, false); got != want {
			t.Errorf("%s: %s", model, got)
		}
	}
}

func TestUpstreamsThatRefuseStreamOptionsAreRemembered(t *testing.T) {
	const refusal = `{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}`
	const own = `{"model":"m","stream":true}`
	d := deploy(t, "{model: openai/up}", nil)
	var r, wants splice.Request
	if err := errors.Join(r.Scan([]byte(own)), wants.Scan([]byte(`{"model":"m","stream":true,"stream_options":{"include_usage":true}}`))); err != nil {
		t.Fatal(err)
	}
	send := func(r *splice.Request, status int, body string) (again bool) {
		x := d.Lane.(wire.Lane).Open(wire.Options{Request: r, AskUsage: true})
		defer x.Close()
		if _, err := x.AppendRequest(nil); err != nil {
			t.Fatal(err)
		}
		if again = x.Refused(status, []byte(body)); again && x.Refused(status, []byte(body)) {
			t.Error("asks for a third attempt")
		}
		return again
	}
	for name, again := range map[string]bool{
		"the client's own stream_options": send(&wants, 422, refusal),
		"another refusal":                 send(&r, 400, `{"error":{"message":"no"}}`),
		"another status":                  send(&r, 500, refusal),
	} {
		if again {
			t.Errorf("%s makes it try again", name)
		}
	}
	if got := request(t, d, own, true); !strings.Contains(got, "stream_options") {
		t.Errorf("%s", got)
	}
	if !send(&r, 422, refusal) {
		t.Error("does not try again")
	}
	if got := request(t, d, own, true); got != `{"model":"up","stream":true}` {
		t.Errorf("%s", got)
	}
	if send(&r, 422, refusal) {
		t.Error("tries again without having asked")
	}
}

func TestMetadata(t *testing.T) {
	const body = `{"model":"m","store":true,"metadata":{"tags":["x"],"team":"a"}}`
	for yaml, want := range map[string]string{
		"{model: openai/m}": `{"model":"m","store":true,"metadata":{"team":"a"}}`,
		"{model: groq/m}":   `{"model":"m","store":true}`,
		"{model: litellm_proxy/m, api_base: 'http://up/'}": body,
	} {
		if got := request(t, deploy(t, yaml, nil), body, false); got != want {
			t.Errorf("%s: %s", yaml, got)
		}
	}
}

func TestEmbeddingsGetNoChatParameters(t *testing.T) {
	e := read(t, "{model: openai/text-embedding-3-small, temperature: 1, dimensions: 256, vendor: 1}")
	d := new(call.Deployment)
	if err := e.Deploy(d, wire.Embeddings); err != nil {
		t.Fatal(err)
	}
	if got := request(t, d, `{"model":"e","input":"x"}`, false); got != `{"model":"text-embedding-3-small","input":"x","dimensions":256,"vendor":1}` {
		t.Errorf("%s", got)
	}
	if u := d.Lane.(wire.Lane).Target().URL.Path; u != "/v1/embeddings" {
		t.Error(u)
	}
	if d.StreamOptions {
		t.Error("an embedding that streams")
	}
}

func TestTheResponsesAPIGetsNoParametersOfChatsAlone(t *testing.T) {
	e := read(t, "{model: openai/m, temperature: 1, max_tokens: 5, seed: 7, user: u, vendor: 1}")
	d := new(call.Deployment)
	if err := e.Deploy(d, wire.Responses); err != nil {
		t.Fatal(err)
	}
	if got := request(t, d, `{"model":"r","input":"x"}`, false); got != `{"model":"m","input":"x","temperature":1,"user":"u","vendor":1}` {
		t.Errorf("%s", got)
	}
}

func TestStreamsAreAskedForUsageWhereLiteLLMAsks(t *testing.T) {
	for model, want := range map[string]bool{"openai/m": true, "groq/m": true, "mistral/m": false, "perplexity/m": false, "deepseek/m": true} {
		if d := deploy(t, "{model: "+model+"}", nil); d.StreamOptions != want {
			t.Errorf("%s: %v", model, d.StreamOptions)
		}
	}
}

// The vectors that every release must reproduce byte for byte.
func TestGoldenVectors(t *testing.T) {
	d := deploy(t, "{model: openai/gpt-4o-mini, api_base: 'https://up.example/v1', api_key: sk-up}", nil)
	const (
		oai1     = `{"messages":[{"role":"user","content":"hi"}],"temperature":1.0,"x_unknown":{"a":[1,2]}, "model" : "fast"}`
		oai1Up   = `{"messages":[{"role":"user","content":"hi"}],"temperature":1.0,"x_unknown":{"a":[1,2]}, "model" : "gpt-4o-mini"}`
		answer   = `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}`
		oai3     = `{"model":"fast","stream":true,"messages":[{"role":"user","content":"hi"}]}`
		oai3Up   = `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true}}`
		oai3Head = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18",`
	)
	if got := request(t, d, oai1, false); got != oai1Up || len(got) != 112 {
		t.Errorf("OAI-1 request: %s", got)
	}
	if got := request(t, d, oai3, true); got != oai3Up {
		t.Errorf("OAI-3 request: %s", got)
	}
	var r splice.Request
	if err := r.Scan([]byte(oai3)); err != nil {
		t.Fatal(err)
	}
	x := d.Lane.(wire.Lane).Open(wire.Options{Request: &r, Restamp: "fast", AskUsage: true, HideUsage: true})
	defer x.Close()
	got, err := x.AppendAnswer(nil, []byte(answer))
	if want := strings.Replace(answer, "gpt-4o-mini-2024-07-18", "fast", 1); err != nil || string(got) != want {
		t.Errorf("OAI-1 answer: %s, %v", got, err)
	}
	x2 := d.Lane.(wire.Lane).Open(wire.Options{Request: &r, Restamp: "fast", AskUsage: true, HideUsage: true})
	defer x2.Close()
	chunks := oai3Head + `"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}` + "\n\n" +
		oai3Head + `"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}` + "\n\n" +
		oai3Head + `"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}` + "\n\n"
	usage := oai3Head + `"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}` + "\n\n"
	in := chunks + usage + "data: [DONE]\n\n"
	n := copy(x2.Space(), in)
	out, err := x2.Advance(n)
	if want := strings.ReplaceAll(chunks, "gpt-4o-mini-2024-07-18", "fast") + "data: [DONE]\n\n"; err != nil || n != len(in) || string(out) != want {
		t.Errorf("OAI-3 stream: %s, %v", out, err)
	}
	if o := x2.Outcome(); o.Usage != (call.Usage{PromptTokens: 8, CompletionTokens: 1, TotalTokens: 9, Known: true}) || string(o.FinishReason) != "stop" {
		t.Errorf("OAI-3 outcome: %+v", o)
	}
	e := call.AsError(r.Scan([]byte(`{"model":"fast","messages":[],"model":"gpt-5-pro"}`)))
	if e == nil || e.StatusCode() != 400 || e.Type != "invalid_request_error" || e.Param != "model" || !strings.Contains(e.Message, `duplicate key "model"`) {
		t.Errorf("OAI-5: %v", e)
	}
	e = Classifier{}.Status(d, 429, http.Header{"Retry-After": {"7"}}, []byte(`{"error":{"message":"Rate limit reached for gpt-4o-mini","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`))
	if e.StatusCode() != 429 || e.Type != "throttling_error" || e.Header.Get("Retry-After") != "7" ||
		!strings.Contains(e.Message, "litellm.RateLimitError") || !strings.Contains(e.Message, "OpenAIException - Rate limit reached for gpt-4o-mini") {
		t.Errorf("OAI-7: %+v", e)
	}
}

// TestGoldenOAI3 pins D23 of docs/compatibility.md, with TestGoldenAZ3: the event
// with the usage has no choices, so that nobody counts an answer twice, and
// reaches only the client that has asked for it.
func TestGoldenOAI3(t *testing.T) {
	const (
		head  = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18",`
		text  = head + `"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}],"usage":null}` + "\n\n"
		usage = head + `"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}` + "\n\n"
		done  = "data: [DONE]\n\n"
	)
	d := deploy(t, "{model: openai/gpt-4o-mini, api_base: 'https://up.example/v1', api_key: sk-up}", nil)
	for name, tt := range map[string]struct{ body, want string }{
		"asked for by the client": {`{"model":"fast","stream":true,"stream_options":{"include_usage":true}}`, text + usage + done},
		"asked for by us alone":   {`{"model":"fast","stream":true}`, text + done},
	} {
		t.Run(name, func(t *testing.T) {
			var r splice.Request
			if err := r.Scan([]byte(tt.body)); err != nil {
				t.Fatal(err)
			}
			x := d.Lane.(wire.Lane).Open(wire.Options{Request: &r, Restamp: "fast", AskUsage: !r.WantsUsage(), HideUsage: !r.WantsUsage()})
			defer x.Close()
			if body, _ := x.AppendRequest(nil); !strings.Contains(string(body), `"stream_options":{"include_usage":true}`) {
				t.Errorf("the upstream is not asked for the usage: %s", body)
			}
			n := copy(x.Space(), text+usage+done)
			out, err := x.Advance(n)
			if want := strings.ReplaceAll(tt.want, "gpt-4o-mini-2024-07-18", "fast"); err != nil || string(out) != want {
				t.Errorf("got  %s, %v\nwant %s", out, err, want)
			}
			if u := x.Outcome().Usage; u.TotalTokens != 9 || !u.Known {
				t.Errorf("usage %+v", u)
			}
		})
	}
}

// One exchange after another on one lane: nothing of the last shows through.
func TestExchangesForget(t *testing.T) {
	d := deploy(t, "{model: openai/m}", nil)
	lane := d.Lane.(wire.Lane)
	var streamed, plain splice.Request
	if err := errors.Join(streamed.Scan([]byte(`{"model":"a","stream":true}`)), plain.Scan([]byte(`{"model":"a"}`))); err != nil {
		t.Fatal(err)
	}
	x := lane.Open(wire.Options{Request: &streamed})
	n := copy(x.Space(), "data: {\"id\":\"i\",\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"total_tokens\":5}}\n\n")
	if _, err := x.Advance(n); err != nil {
		t.Fatal(err)
	}
	x.Close()
	x = lane.Open(wire.Options{Request: &plain})
	if o := x.Outcome(); o.Usage.Known || len(o.ID) > 0 || o.Events > 0 {
		t.Errorf("%+v", o)
	}
	if _, err := x.AppendAnswer(nil, []byte(`{"error":{"message":"m"}}`)); err == nil {
		t.Error("a fault is an answer")
	}
	x.Close()
}

func TestEntrySecretsAreNotPrinted(t *testing.T) {
	e := Entry{Model: "openai/m", APIKey: redact.New("planted-secret")}
	d := new(call.Deployment)
	if err := e.Deploy(d, wire.Chat); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(e.APIKey)
	if text := fmt.Sprintf("%v %+v %s %v", e, e, b, err); strings.Contains(text, "planted") {
		t.Error(text)
	}
}

func BenchmarkExchange(b *testing.B) {
	d := deploy(b, "{model: openai/up, api_key: k}", nil)
	lane := d.Lane.(wire.Lane)
	body := []byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
	answer := []byte(`{"id":"c","model":"up","choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	var r splice.Request
	var out, in []byte
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Scan(body); err != nil {
			b.Fatal(err)
		}
		x := lane.Open(wire.Options{Request: &r, Restamp: "m"})
		out, _ = x.AppendRequest(out[:0])
		in, _ = x.AppendAnswer(in[:0], answer)
		if !x.Outcome().Usage.Known {
			b.Fatal("no usage")
		}
		x.Close()
	}
	if !bytes.Contains(out, []byte(`"up"`)) || !bytes.Contains(in, []byte(`"m"`)) {
		b.Fatal("wrong")
	}
}
