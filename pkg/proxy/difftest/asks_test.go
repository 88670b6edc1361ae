package difftest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ask is one request to both proxies.
type ask struct {
	name    string
	method  string
	path    string
	headers map[string]string // beside the master key and JSON; an empty value takes one away
	body    string
}

// Every way of the upstream to misbehave, as pkg/mock names them. Those that
// hang are left out: both sides would wait for the timeout.
var faults = []string{
	"400", "401", "403", "404", "408", "413", "422", "429", "500", "502", "503", "504", "529",
	"close", "reset", "headers-only", "cut", "empty", "html", "html-502", "bad-json", "wrong-type",
}

var streamFaults = []string{
	"400", "401", "429", "500", "503", "close", "headers-only", "cut", "reset-mid", "truncate", "no-done", "empty", "html", "html-502", "error-event", "wrong-type",
}

func obj(pairs ...any) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		v, err := json.Marshal(pairs[i+1])
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%q:%s", pairs[i], v)
	}
	return b.String() + "}"
}

type raw = json.RawMessage

var hi = raw(`[{"role":"user","content":"hi"}]`)

func asks() []ask {
	var list []ask
	post := func(name, path, body string) {
		list = append(list, ask{name: name, method: "POST", path: path, body: body})
	}
	with := func(name, path, body string, headers map[string]string) {
		list = append(list, ask{name: name, method: "POST", path: path, body: body, headers: headers})
	}
	get := func(name, path string) { list = append(list, ask{name: name, method: "GET", path: path}) }
	const chat = "/v1/chat/completions"

	// Chat completions, good.
	for _, p := range []string{chat, "/chat/completions", "/engines/gpt-4o/chat/completions", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"} {
		post("chat "+p, p, obj("model", "gpt-4o", "messages", hi))
		post("chat stream "+p, p, obj("model", "gpt-4o", "messages", hi, "stream", true))
	}
	for name, extra := range map[string]string{
		"usage asked for":    `"stream":true,"stream_options":{"include_usage":true}`,
		"usage declined":     `"stream":true,"stream_options":{"include_usage":false}`,
		"stream false":       `"stream":false`,
		"stream null":        `"stream":null`,
		"max_tokens":         `"max_tokens":3`,
		"max completion":     `"max_completion_tokens":3`,
		"two choices":        `"n":2`,
		"tools":              `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],"tool_choice":"auto"`,
		"logprobs":           `"logprobs":true,"top_logprobs":2`,
		"response format":    `"response_format":{"type":"json_object"}`,
		"user":               `"user":"someone"`,
		"metadata":           `"metadata":{"tags":["a"],"x":"y"}`,
		"seed and stop":      `"seed":1,"stop":["x"]`,
		"temperature":        `"temperature":0.5,"top_p":1`,
		"unknown member":     `"vendor_option":{"a":1}`,
		"gateway members":    `"num_retries":0,"timeout":5`,
		"no-log":             `"no-log":true`,
		"cache controls":     `"cache":{"no-cache":true}`,
		"mock response":      `"mock_response":"pong"`,
		"mock streamed":      `"mock_response":"pong pong pong","stream":true`,
		"fallbacks given":    `"fallbacks":["gpt-4o"]`,
		"tags":               `"tags":["a"]`,
		"user is a number":   `"user":1`,
		"hot":                `"temperature":"hot"`,
		"stream is a word":   `"stream":"yes"`,
		"metadata is a word": `"metadata":"x"`,
		"n is a word":        `"n":"two"`,
	} {
		post("chat "+name, chat, `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],`+extra+`}`)
	}

	// Chat completions, bad.
	for name, body := range map[string]string{
		"no messages": obj("model", "gpt-4o"), "messages null": obj("model", "gpt-4o", "messages", nil), "messages empty": obj("model", "gpt-4o", "messages", raw(`[]`)),
		"messages text": obj("model", "gpt-4o", "messages", "hi"), "no model": obj("messages", hi), "model null": obj("model", nil, "messages", hi),
		"model empty": obj("model", "", "messages", hi), "model number": obj("model", 5, "messages", hi), "model unknown": obj("model", "nope", "messages", hi),
		"model unknown streamed": obj("model", "nope", "messages", hi, "stream", true), "nothing": "", "half": `{"model":"gpt-4o",`, "list": `[]`, "text": `"x"`, "number": `5`, "null": `null`,
		"trailing comma": `{"model":"gpt-4o","messages":[],}`, "trailing text": `{"model":"gpt-4o","messages":[]} x`, "not JSON": `hello`,
		"invalid UTF-8": "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", "api_base given": obj("model", "gpt-4o", "messages", hi, "api_base", "http://127.0.0.1:1/"),
		"lone surrogate": `{"model":"gpt-4o","messages":[{"role":"user","content":"\ud800"}]}`, "mock error": obj("model", "gpt-4o", "messages", hi, "mock_response", "litellm.RateLimitError"),
	} {
		post("chat bad "+name, chat, body)
	}
	with("chat as text", chat, obj("model", "gpt-4o", "messages", hi), map[string]string{"Content-Type": "text/plain"})
	with("chat without a type", chat, obj("model", "gpt-4o", "messages", hi), map[string]string{"Content-Type": ""})
	with("chat with a charset", chat, obj("model", "gpt-4o", "messages", hi), map[string]string{"Content-Type": "application/json; charset=utf-8"})

	// Who asks.
	for name, h := range map[string]map[string]string{
		"nobody": {"Authorization": ""}, "no scheme": {"Authorization": master}, "basic": {"Authorization": "Basic abc"}, "empty bearer": {"Authorization": "Bearer "},
		"small bearer": {"Authorization": "bearer " + master}, "unknown key": {"Authorization": "Bearer sk-unknown"}, "no sk": {"Authorization": "Bearer hello"},
		"x-api-key": {"Authorization": "", "x-api-key": master}, "api-key": {"Authorization": "", "api-key": master}, "x-litellm-api-key": {"Authorization": "", "x-litellm-api-key": master},
		"x-litellm-api-key with Bearer": {"Authorization": "", "x-litellm-api-key": "Bearer " + master}, "x-goog-api-key": {"Authorization": "", "x-goog-api-key": master},
		"two keys": {"x-api-key": "sk-other"}, "Ocp": {"Authorization": "", "Ocp-Apim-Subscription-Key": master},
	} {
		with("key: "+name, chat, obj("model", "gpt-4o", "messages", hi), h)
		list = append(list, ask{name: "models, key: " + name, method: "GET", path: "/v1/models", headers: h})
	}
	// What a caller says in headers.
	for name, h := range map[string]map[string]string{
		"timeout": {"x-litellm-timeout": "5"}, "stream timeout": {"x-litellm-stream-timeout": "5"}, "retries": {"x-litellm-num-retries": "0"}, "call id": {"x-litellm-call-id": "my-id"},
		"tags": {"x-litellm-tags": "a,b"}, "bad timeout": {"x-litellm-timeout": "soon"}, "end user": {"x-litellm-end-user-id": "u"}, "organization": {"OpenAI-Organization": "o"}, "origin": {"Origin": "https://app.example"},
		"traceparent": {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	} {
		with("chat header "+name, chat, obj("model", "gpt-4o", "messages", hi), h)
	}

	// What upstreams do.
	for _, f := range faults {
		post("fault "+f, chat, obj("model", "group/mock/"+f, "messages", hi))
	}
	for _, f := range streamFaults {
		post("fault streamed "+f, chat, obj("model", "group/mock/"+f, "messages", hi, "stream", true))
	}
	for _, f := range []string{"400", "429", "500", "cut"} {
		post("embeddings fault "+f, "/v1/embeddings", obj("model", "group/mock/"+f, "input", "x"))
		post("completions fault "+f, "/v1/completions", obj("model", "group/mock/"+f, "prompt", "x"))
		post("responses fault "+f, "/v1/responses", obj("model", "group/mock/"+f, "input", "x"))
	}

	// The other inference endpoints.
	for _, p := range []string{"/v1/completions", "/completions", "/engines/gpt-4o/completions"} {
		post("completions "+p, p, obj("model", "gpt-4o", "prompt", "hi"))
	}
	post("completions stream", "/v1/completions", obj("model", "gpt-4o", "prompt", "hi", "stream", true))
	post("completions list of prompts", "/v1/completions", obj("model", "gpt-4o", "prompt", []string{"a", "b"}))
	post("completions without a prompt", "/v1/completions", obj("model", "gpt-4o"))
	post("completions unknown model", "/v1/completions", obj("model", "nope", "prompt", "x"))
	for _, p := range []string{"/v1/embeddings", "/embeddings", "/engines/embed/embeddings", "/openai/deployments/embed/embeddings?api-version=2024-10-21"} {
		post("embeddings "+p, p, obj("model", "embed", "input", "hi"))
	}
	post("embeddings list", "/v1/embeddings", obj("model", "embed", "input", []string{"a", "b"}))
	post("embeddings tokens", "/v1/embeddings", obj("model", "embed", "input", []int{1, 2}))
	post("embeddings base64", "/v1/embeddings", obj("model", "embed", "input", "x", "encoding_format", "base64"))
	post("embeddings without input", "/v1/embeddings", obj("model", "embed"))
	post("embeddings unknown model", "/v1/embeddings", obj("model", "nope", "input", "x"))
	for _, p := range []string{"/v1/responses", "/responses"} {
		post("responses "+p, p, obj("model", "gpt-4o", "input", "hi"))
		post("responses stream "+p, p, obj("model", "gpt-4o", "input", "hi", "stream", true))
	}
	post("responses without input", "/v1/responses", obj("model", "gpt-4o"))
	post("responses unknown model", "/v1/responses", obj("model", "nope", "input", "x"))

	// Lists and health.
	for _, p := range []string{
		"/v1/models", "/models", "/v1/models/gpt-4o", "/models/gpt-4o", "/v1/models/nope", "/model/info", "/v1/model/info", "/model_group/info", "/v1/model/info?litellm_model_id=nope",
		"/health/liveliness", "/health/liveness", "/health/readiness", "/health/readiness/details", "/health/backlog", "/health/services?service=slack", "/health/services?service=nope", "/health/services",
		"/routes", "/nope", "/v1/nope", "/v1/chat/completions", "/test",
	} {
		get("get "+p, p)
	}
	for _, p := range []string{"/health/readiness", "/health/readiness/details", "/routes", "/health", "/model/info"} {
		list = append(list, ask{name: "nobody gets " + p, method: "GET", path: p, headers: map[string]string{"Authorization": ""}})
	}
	for _, m := range []string{"OPTIONS", "HEAD", "DELETE"} {
		list = append(list, ask{name: m + " on chat", method: m, path: chat})
	}
	list = append(list, ask{name: "preflight", method: "OPTIONS", path: chat, headers: map[string]string{"Authorization": "", "Origin": "https://app.example", "Access-Control-Request-Method": "POST"}})
	list = append(list, mediaAsks()...)
	list = append(list, absentAsks()...)
	return append(list, controlAsks()...)
}
