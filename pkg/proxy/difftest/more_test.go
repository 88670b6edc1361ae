package difftest

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"strings"
)

// form is a multipart body as the SDKs send it: the file first. Fields come in
// pairs; a field "file:NAME" is a file.
func form(fields ...string) (body string, header map[string]string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	for i := 0; i < len(fields); i += 2 {
		if name, ok := strings.CutPrefix(fields[i], "file:"); ok {
			part, err := w.CreateFormFile(name, "a."+map[bool]string{true: "png", false: "mp3"}[name != "file"])
			must(err)
			_, err = part.Write([]byte(fields[i+1]))
			must(err)
			continue
		}
		must(w.WriteField(fields[i], fields[i+1]))
	}
	must(w.Close())
	return b.String(), map[string]string{"Content-Type": w.FormDataContentType()}
}

// mediaAsks are about images, sound, moderation and reranking.
func mediaAsks() (list []ask) {
	post := func(name, path, body string) {
		list = append(list, ask{name: name, method: http.MethodPost, path: path, body: body})
	}
	upload := func(name, path string, fields ...string) {
		body, header := form(fields...)
		list = append(list, ask{name: name, method: http.MethodPost, path: path, body: body, headers: header})
	}
	for _, p := range []string{"/v1/images/generations", "/images/generations"} {
		post("images "+p, p, obj("model", "image", "prompt", "a cat"))
	}
	post("images two", "/v1/images/generations", obj("model", "image", "prompt", "a cat", "n", 2, "size", "1024x1024"))
	post("images under the name of a chat model", "/v1/images/generations", obj("model", "gpt-4o", "prompt", "a cat"))
	post("images without a prompt", "/v1/images/generations", obj("model", "image"))
	post("images unknown model", "/v1/images/generations", obj("model", "nope", "prompt", "a cat"))
	post("images without a model", "/v1/images/generations", obj("prompt", "a cat"))
	upload("image edit", "/v1/images/edits", "file:image", "PNG", "prompt", "a hat", "model", "image")
	upload("image edit /images/edits", "/images/edits", "file:image", "PNG", "prompt", "a hat", "model", "image")
	upload("image edit unknown model", "/v1/images/edits", "file:image", "PNG", "prompt", "a hat", "model", "nope")
	upload("image edit without an image", "/v1/images/edits", "prompt", "a hat", "model", "image")
	upload("image variation", "/v1/images/variations", "file:image", "PNG", "model", "image")

	for _, p := range []string{"/v1/audio/speech", "/audio/speech"} {
		post("speech "+p, p, obj("model", "tts", "input", "hello there", "voice", "alloy"))
	}
	post("speech without a voice", "/v1/audio/speech", obj("model", "tts", "input", "hello"))
	post("speech without input", "/v1/audio/speech", obj("model", "tts", "voice", "alloy"))
	post("speech unknown model", "/v1/audio/speech", obj("model", "nope", "input", "hello", "voice", "alloy"))
	for _, p := range []string{"/v1/audio/transcriptions", "/audio/transcriptions"} {
		upload("transcription "+p, p, "file:file", "sound", "model", "whisper")
	}
	upload("transcription text", "/v1/audio/transcriptions", "file:file", "sound", "model", "whisper", "response_format", "text")
	upload("transcription verbose", "/v1/audio/transcriptions", "file:file", "sound", "model", "whisper", "response_format", "verbose_json", "timestamp_granularities[]", "word")
	upload("transcription model first", "/v1/audio/transcriptions", "model", "whisper", "file:file", "sound")
	upload("transcription unknown model", "/v1/audio/transcriptions", "file:file", "sound", "model", "nope")
	upload("transcription without a model", "/v1/audio/transcriptions", "file:file", "sound")
	upload("transcription without a file", "/v1/audio/transcriptions", "model", "whisper")
	post("transcription as JSON", "/v1/audio/transcriptions", obj("model", "whisper"))
	upload("translation", "/v1/audio/translations", "file:file", "sound", "model", "whisper")

	for _, p := range []string{"/v1/moderations", "/moderations"} {
		post("moderations "+p, p, obj("model", "moderate", "input", "hi"))
	}
	post("moderations list", "/v1/moderations", obj("model", "moderate", "input", []string{"a", "b"}))
	post("moderations without a model", "/v1/moderations", obj("input", "hi"))
	post("moderations without input", "/v1/moderations", obj("model", "moderate"))
	post("moderations unknown model", "/v1/moderations", obj("model", "nope", "input", "hi"))
	for _, p := range []string{"/v1/rerank", "/rerank", "/v2/rerank"} {
		post("rerank "+p, p, obj("model", "rank", "query", "q", "documents", []string{"a", "b"}, "top_n", 1))
	}
	post("rerank unknown model", "/v1/rerank", obj("model", "nope", "query", "q", "documents", []string{"a"}))
	post("rerank without documents", "/v1/rerank", obj("model", "rank", "query", "q"))
	return list
}

// absentAsks are endpoints of LiteLLM that this build does not serve, and some
// that need a database.
func absentAsks() (list []ask) {
	for _, p := range []string{
		"/v1/files", "/v1/batches", "/v1/fine_tuning/jobs", "/v1/assistants", "/v1/vector_stores", "/v1/responses/resp_1", "/v1/responses/resp_1/input_items",
		"/key/info", "/key/list", "/user/info", "/team/list", "/spend/logs", "/global/spend", "/budget/list", "/tag/list", "/organization/list", "/customer/list",
		"/health/license", "/health/shared-status", "/health/history", "/health/latest", "/cache/ping", "/cache/redis/info", "/active/callbacks",
	} {
		list = append(list, ask{name: "absent GET " + p, method: http.MethodGet, path: p})
	}
	for p, body := range map[string]string{
		"/v1/messages":                          `{"model":"gpt-4o","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
		"/v1/messages/count_tokens":             `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`,
		"/v1beta/models/gpt-4o:generateContent": `{"contents":[{"parts":[{"text":"hi"}]}]}`,
		"/utils/token_counter":                  `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`,
		"/key/generate":                         `{}`,
		"/cache/delete":                         `{"keys":["a"]}`,
		"/cache/flushall":                       ``,
	} {
		list = append(list, ask{name: "absent POST " + p, method: http.MethodPost, path: p, body: body})
	}
	return list
}

// controlAsks are about what callers say to the gateway itself, and about
// parameters.
func controlAsks() (list []ask) {
	chat := func(name, extra string, headers map[string]string) {
		list = append(list, ask{
			name: "control " + name, method: http.MethodPost, path: "/v1/chat/completions", headers: headers,
			body: `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]` + strings.TrimSuffix(","+extra, ",") + `}`,
		})
	}
	for name, extra := range map[string]string{
		"parameter the model lacks":          `"reasoning_effort":"low"`,
		"parameter the model lacks, dropped": `"reasoning_effort":"low","drop_params":true`,
		"parameter the model lacks, allowed": `"reasoning_effort":"low","allowed_openai_params":["reasoning_effort"]`,
		"additional_drop_params":             `"temperature":0.1,"additional_drop_params":["temperature"]`,
		"extra_body":                         `"extra_body":{"top_k":5}`,
		"top_k":                              `"top_k":5`,
		"thinking":                           `"thinking":{"type":"enabled","budget_tokens":10}`,
		"web search":                         `"web_search_options":{}`,
		"functions":                          `"functions":[{"name":"f","parameters":{}}],"function_call":"auto"`,
		"parallel tools":                     `"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"parallel_tool_calls":false`,
		"tools that are none":                `"tools":"x"`,
		"a JSON schema":                      `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object","properties":{},"additionalProperties":false},"strict":true}}`,
		"logit bias":                         `"logit_bias":{"1":2}`,
		"service tier":                       `"service_tier":"flex"`,
		"store":                              `"store":true,"metadata":{"a":"b"}`,
		"retries":                            `"num_retries":1`,
		"max_retries":                        `"max_retries":1`,
		"retries as a word":                  `"num_retries":"many"`,
		"timeout as a word":                  `"timeout":"soon"`,
		"timeout 0":                          `"timeout":0`,
		"timeout negative":                   `"timeout":-1`,
		"request_timeout":                    `"request_timeout":5`,
		"stream_timeout":                     `"stream_timeout":5,"stream":true`,
		"fallbacks unknown":                  `"fallbacks":["nope"]`,
		"fallbacks that are none":            `"fallbacks":"x"`,
		"fallbacks tested":                   `"mock_testing_fallbacks":true,"fallbacks":["other"]`,
		"fallbacks tested, none":             `"mock_testing_fallbacks":true`,
		"context fallbacks tested":           `"mock_testing_context_fallbacks":true`,
		"disable_fallbacks":                  `"disable_fallbacks":true`,
		"rate limit tested":                  `"mock_testing_rate_limit_error":true`,
		"cache no-store":                     `"cache":{"no-store":true}`,
		"cache that is none":                 `"cache":"x"`,
		"caching":                            `"caching":true`,
		"guardrails":                         `"guardrails":[]`,
		"litellm_metadata":                   `"litellm_metadata":{"a":"b"}`,
		"litellm_session_id":                 `"litellm_session_id":"s"`,
		"metadata as JSON text":              `"metadata":"{\"a\":1}"`,
		"tags that are none":                 `"tags":"x"`,
		"user null":                          `"user":null`,
		"api_key given":                      `"api_key":"sk-other"`,
		"base_url given":                     `"base_url":"http://127.0.0.1:1"`,
		"api_version given":                  `"api_version":"x"`,
		"user_config given":                  `"user_config":{}`,
		"custom_llm_provider given":          `"custom_llm_provider":"openai"`,
		"max_tokens as a word":               `"max_tokens":"x"`,
		"max_tokens negative":                `"max_tokens":-1`,
	} {
		chat(name, extra, nil)
	}
	for name, h := range map[string]map[string]string{
		"spend logs metadata":     {"x-litellm-spend-logs-metadata": `{"a":1}`},
		"spend logs metadata bad": {"x-litellm-spend-logs-metadata": `{`},
		"customer":                {"x-litellm-customer-id": "c"},
		"session":                 {"x-litellm-session-id": "s"},
		"trace":                   {"x-litellm-trace-id": "t"},
		"agent":                   {"x-litellm-agent-id": "t"},
		"retries bad":             {"x-litellm-num-retries": "many"},
		"stream timeout bad":      {"x-litellm-stream-timeout": "many"},
		"cache control":           {"Cache-Control": "no-cache"},
		"redaction":               {"x-litellm-enable-message-redaction": "true"},
		"encoding":                {"Accept-Encoding": "gzip"},
		"accept":                  {"Accept": "text/html"},
	} {
		chat("header "+name, "", h)
	}
	post := func(name, path, body string) {
		list = append(list, ask{name: "control " + name, method: http.MethodPost, path: path, body: body})
	}
	post("chat by the id of a deployment", "/v1/chat/completions", obj("model", "id-1", "messages", hi))
	post("chat for a model of another mode", "/v1/chat/completions", obj("model", "embed", "messages", hi))
	post("chat for the name with its provider", "/v1/chat/completions", obj("model", "openai/gpt-4o", "messages", hi))
	post("deployment path with a slash", "/openai/deployments/group/mock/chat/completions", obj("messages", hi))
	post("deployment path unknown", "/openai/deployments/nope/chat/completions", obj("messages", hi))
	post("deployment path beats body", "/openai/deployments/gpt-4o/chat/completions", obj("model", "nope", "messages", hi))
	post("engine unknown", "/engines/nope/chat/completions", obj("messages", hi))
	post("embeddings dimensions", "/v1/embeddings", obj("model", "embed", "input", "x", "dimensions", 8))
	post("embeddings wrong type", "/v1/embeddings", obj("model", "embed", "input", 5))
	post("embeddings empty list", "/v1/embeddings", obj("model", "embed", "input", []string{}))
	post("embeddings half", "/v1/embeddings", `{"model":`)
	post("completions half", "/v1/completions", `{"model":`)
	post("responses half", "/v1/responses", `{"model":`)
	post("completions n", "/v1/completions", obj("model", "gpt-4o", "prompt", "x", "n", 2, "max_tokens", 3, "echo", true))
	post("completions usage", "/v1/completions", obj("model", "gpt-4o", "prompt", "x", "stream", true, "stream_options", raw(`{"include_usage":true}`)))
	post("responses items", "/v1/responses", obj("model", "gpt-4o", "input", raw(`[{"role":"user","content":[{"type":"input_text","text":"hi"}]}]`), "instructions", "be brief", "max_output_tokens", 20))
	post("responses tools", "/v1/responses", obj("model", "gpt-4o", "input", "hi", "tools", raw(`[{"type":"function","name":"f","parameters":{"type":"object","properties":{}}}]`)))
	post("responses previous", "/v1/responses", obj("model", "gpt-4o", "input", "hi", "previous_response_id", "resp_x"))
	post("models with POST", "/v1/models", `{}`)
	list = append(list,
		ask{name: "control models with metadata", method: http.MethodGet, path: "/v1/models?include_metadata=true"},
		ask{name: "control model group", method: http.MethodGet, path: "/model_group/info?model_group=gpt-4o"},
		ask{name: "control model group unknown", method: http.MethodGet, path: "/model_group/info?model_group=nope"},
		ask{name: "control page", method: http.MethodGet, path: "/", headers: map[string]string{"Authorization": ""}},
		ask{name: "control openapi", method: http.MethodGet, path: "/openapi.json", headers: map[string]string{"Authorization": ""}},
		ask{name: "control redoc", method: http.MethodGet, path: "/redoc", headers: map[string]string{"Authorization": ""}},
		ask{name: "control trailing slash", method: http.MethodGet, path: "/v1/models/"},
		ask{name: "control double slash", method: http.MethodGet, path: "//v1/models"},
		ask{name: "control liveness with OPTIONS", method: http.MethodOptions, path: "/health/liveliness"},
		ask{name: "control readiness with HEAD", method: http.MethodHead, path: "/health/readiness"},
		ask{name: "control public hub", method: http.MethodGet, path: "/public/model_hub", headers: map[string]string{"Authorization": ""}},
		ask{name: "control metrics", method: http.MethodGet, path: "/metrics"},
	)
	return list
}
