package difftest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// switched has what TestLiteLLMAnswersAlike leaves off.
const switched = `model_list:
  - model_name: priced
    litellm_params: {model: openai/gpt-4o, api_base: "https://up.example/v1", api_key: k, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}
    model_info: {access_groups: [beta], supports_vision: true}
  - model_name: listed
    litellm_params: {model: openai/gpt-4o, api_base: "https://up.example/v1", api_key: k, extra_headers: {x-entry: e}}
  - model_name: unpriced
    litellm_params: {model: openai/nobody-knows, api_base: "https://up.example/v1", api_key: k}
  - model_name: free
    litellm_params: {model: openai/gpt-4o-free, api_base: "https://up.example/v1", api_key: k, input_cost_per_token: 0, output_cost_per_token: 0}
  - model_name: "any/*"
    litellm_params: {model: "openai/*", api_base: "https://up.example/v1", api_key: k}
  - model_name: dead
    litellm_params: {model: openai/gpt-4o, api_base: "https://up.example/dead", api_key: k}
general_settings:
  master_key: ` + master + `
  include_call_id_in_error_body: true
  expose_fallback_errors_to_caller: true
  forward_llm_provider_auth_headers: true
  forward_client_headers_to_llm_api: true
  allow_public_health_readiness_details: true
  max_in_flight_requests_per_worker: 50
litellm_settings:
  include_cost_in_streaming_usage: true
  block_requests_for_models_without_pricing: true
  add_user_information_to_llm_headers: true
  overwrite_user_with_key_hash: true
  provider_url_destination_allowed_hosts: [good.example]
  fallbacks: [{dead: [priced]}]
  num_retries: 0
router_settings: {num_retries: 0, disable_cooldowns: true}
`

// switchedAnswer is what the upstream answers: with usage, or not at all.
func switchedAnswer(w http.ResponseWriter, r *sent) {
	var body struct {
		Stream bool
		User   string
		Msgs   []struct{ Content string } `json:"messages"`
	}
	_ = json.Unmarshal(r.body, &body)
	const usage = `"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}`
	chunk := func(choices, more string) {
		fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[%s]%s}\n\n", choices, more)
	}
	switch {
	case strings.Contains(r.url, "/dead"):
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"error":{"message":"dead","type":"server_error"}}`)
	case body.Stream:
		w.Header().Set("Content-Type", "text/event-stream")
		chunk(`{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}`, "")
		n := 1
		if len(body.Msgs) > 0 && body.Msgs[0].Content == "repeat" {
			n = 120
		}
		for range n {
			chunk(`{"index":0,"delta":{"content":"again "},"finish_reason":null}`, "")
		}
		chunk(`{"index":0,"delta":{},"finish_reason":"stop"}`, "")
		chunk("", ","+usage)
		fmt.Fprint(w, "data: [DONE]\n\n")
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],`+usage+`}`)
	}
}

// switchedKnown are differences that are meant, beside those of all answers.
var switchedKnown = []difference{
	is(".*", "error.litellm_call_id .*", "every call has another id; ours also has one where no deployment was chosen"),
	is("readiness", "body .*", "what LiteLLM's admin page and its Python callbacks want to know"),
	is("free.*|any.*", "member user .*", "LiteLLM sends user only to models whose parameters it knows"),
	is("repeats.*", "events .*repeating.*", "what the model says is not quoted in an error, which is logged"),
	is("free .*", "header added: x-litellm-response-cost", "0.0 where the configuration says so"),
	is(".* stream with usage", "events (adds|lacks) .*usage.prompt_tokens.*", "the event of usage keeps the upstream's shape; the cost in it is compared apart"),
}

// TestSwitchesThatAreOnActAlike asks both with everything on that the other test
// leaves off, and compares what clients get and what upstreams are sent.
func TestSwitchesThatAreOnActAlike(t *testing.T) {
	theirs, ours := beside(t, switched, []string{"LITELLM_DETAILED_TIMING=true", "REDOC_URL=/reference", "OPENAPI_URL=/schema.json", "DOCS_URL=/manual"}, switchedAnswer)
	const chat = "/v1/chat/completions"
	var list []ask
	post := func(name, body string, header ...string) {
		h := map[string]string{}
		for i := 0; i < len(header); i += 2 {
			h[header[i]] = header[i+1]
		}
		list = append(list, ask{name: name, method: http.MethodPost, path: chat, body: body, headers: h})
	}
	messages := `"messages":[{"role":"user","content":"hi"}]`
	for _, model := range []string{"priced", "listed", "free", "unpriced", "any/gpt-4o", "any/nobody-knows", "dead", "any/http://169.254.169.254/x", "http://bad.example/x"} {
		post(model+" plain", `{"model":"`+model+`",`+messages+`}`)
		post(model+" stream", `{"model":"`+model+`","stream":true,`+messages+`}`)
		post(model+" stream with usage", `{"model":"`+model+`","stream":true,"stream_options":{"include_usage":true},`+messages+`}`)
		post(model+" with its errors", `{"model":"`+model+`","include_fallback_errors":true,`+messages+`}`)
		post(model+" streams its errors", `{"model":"`+model+`","include_fallback_errors":true,"stream":true,`+messages+`}`)
	}
	post("dead without fallbacks", `{"model":"dead","disable_fallbacks":true,`+messages+`}`)
	post("dead streams without fallbacks", `{"model":"dead","disable_fallbacks":true,"stream":true,`+messages+`}`)
	post("fallback that is an address", `{"model":"priced","fallbacks":["http://bad.example"],`+messages+`}`)
	post("a user of its own", `{"model":"priced","user":"me",`+messages+`}`)
	post("a key of the client's", `{"model":"priced",`+messages+`}`, "X-Api-Key", "sk-theirs", "X-Mine", "1", "X-Goog-Api-Key", "goog")
	post("the gateway's key as x-api-key", `{"model":"priced",`+messages+`}`, "X-Api-Key", master, "Authorization", "")
	post("repeats itself", `{"model":"priced","stream":true,"messages":[{"role":"user","content":"repeat"}]}`)
	get := func(name, path string, header map[string]string) {
		list = append(list, ask{name: name, method: http.MethodGet, path: path, headers: header})
	}
	open := map[string]string{"Authorization": ""}
	get("readiness", "/health/readiness", open)
	for _, page := range []string{"/", "/manual", "/reference", "/schema.json", "/docs", "/redoc", "/openapi.json"} {
		get("page "+page, page, open)
	}
	get("backlog", "/health/backlog", nil)

	unknown, seen := 0, map[string]bool{}
	explain := func(name, d string) bool {
		for _, k := range switchedKnown {
			if k.ask.MatchString(name) && k.what.MatchString(d) {
				seen[k.id()] = true
				return true
			}
		}
		return knownAs("chat "+name, d) != "" || alsoKnown.MatchString(d)
	}
	for _, a := range list {
		var got [2]reply
		var saw [2]*sent
		for i, s := range [...]*side{theirs, ours} {
			s.world.take()
			r, err := answer(s.client, s.base, a)
			if err != nil {
				s.client.CloseIdleConnections()
				if r, err = answer(s.client, s.base, a); err != nil {
					t.Fatalf("%s: %v", a.name, err)
				}
			}
			got[i] = r
			if list := s.world.take(); len(list) > 0 {
				saw[i] = list[len(list)-1]
			}
		}
		all := differences(got[0], got[1])
		if a.method == http.MethodPost {
			all = append(all, calls(saw[0], saw[1], got[0], got[1])...)
		}
		if l, o := costs.FindAllString(string(got[0].body), -1), costs.FindAllString(strings.ReplaceAll(string(got[1].body), `"cost": `, `"cost":`), -1); fmt.Sprint(l) != fmt.Sprint(o) {
			all = append(all, fmt.Sprintf("cost %v, ours %v", l, o))
		}
		for _, d := range all {
			if explain(a.name, d) {
				t.Logf("%s: %s (known)", a.name, d)
				continue
			}
			unknown++
			t.Errorf("%s: %s", a.name, d)
		}
	}
	for _, k := range switchedKnown {
		if !seen[k.id()] {
			t.Errorf("no longer a difference: %s", k.id())
		}
	}
	t.Logf("%d requests, %d differences that no entry explains", len(list), unknown)
}

// costs finds the cost in a usage.
var costs = regexp.MustCompile(`"cost":[0-9.e-]+`)

// alsoKnown are differences of every answer, which the other test explains by the
// names of its own questions.
var alsoKnown = regexp.MustCompile(`^header (missing|added): (x-frame-options|content-security-policy|x-content-type-options|vary|x-llmgw-version)$`)
