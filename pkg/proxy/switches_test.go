package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// priced are models with a price of their own, one of the list's, of nothing, and
// without any.
const priced = `
model_list:
- {model_name: own, litellm_params: {model: openai/nobody-knows, api_key: k, api_base: 'BASE', input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
- {model_name: listed, litellm_params: {model: openai/gpt-4o, api_key: k, api_base: 'BASE'}}
- {model_name: free, litellm_params: {model: openai/nobody-knows, api_key: k, api_base: 'BASE'}, model_info: {input_cost_per_token: 0}}
- {model_name: unpriced, litellm_params: {model: openai/nobody-knows, api_key: k, api_base: 'BASE'}}
- {model_name: "any/*", litellm_params: {model: "openai/*", api_key: k, api_base: 'BASE'}}
`

func TestTheIDOfACallIsInItsErrorWhereThatIsWanted(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":{"message":"no","code":"odd"}}`)
	})
	for _, on := range []bool{false, true} {
		c, findings := load(t, fmt.Sprintf("general_settings: {include_call_id_in_error_body: %t}\n", on)+strings.ReplaceAll(priced, "BASE", base))
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		_, url := gateway(t, c)
		for _, body := range []string{
			`{"model":"own","messages":[]}`, `{"model":"own","stream":true,"messages":[]}`, `{"model":"nobody","messages":[]}`, `{`,
		} {
			resp, answer := post(t, url+"/v1/chat/completions", body, "X-Litellm-Call-Id", "mine")
			var e struct {
				Error struct {
					ID *string `json:"litellm_call_id"`
				}
			}
			if err := json.Unmarshal([]byte(answer), &e); err != nil || resp.StatusCode < 400 || (e.Error.ID != nil) != on || on && *e.Error.ID != "mine" {
				t.Errorf("on %t, %s: %d %s", on, body, resp.StatusCode, answer)
			}
		}
		if _, answer := post(t, url+"/v1/chat/completions", `{}`, "Authorization", "Bearer sk-wrong"); strings.Contains(answer, "call_id") {
			t.Errorf("a request that is no call yet has an id: %s", answer)
		}
	}
}

// streamed answers a stream with usage, in events that end in end.
func streamed(end string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "dead") {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"error":{"message":"dead"}}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, event := range []string{
			`{"id":"c","object":"chat.completion.chunk","model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":"\"usage\":{\"a\":1}"}}]}`,
			`{"id":"c","object":"chat.completion.chunk","model":"up","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
			`{"id":"c","object":"chat.completion.chunk","model":"up","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":500,"prompt_tokens_details":{"cached_tokens":0},"total_tokens":1500}}`,
			`[DONE]`,
		} {
			io.WriteString(w, "data: "+event+end)
			w.(http.Flusher).Flush()
		}
	}
}

func TestStreamsTellTheirCostWhereThatIsWanted(t *testing.T) {
	const asks = `"stream":true,"stream_options":{"include_usage":true},"messages":[]`
	for _, tt := range []struct {
		name, settings, end, body, want string
	}{
		{"by default they do not", "", "\n\n", `{"model":"own",` + asks + `}`, `"total_tokens":1500}}`},
		{"by the price of the entry", "include_cost_in_streaming_usage: true", "\n\n", `{"model":"own",` + asks + `}`, `"total_tokens":1500,"cost":0.002}}`},
		{"by the price list", "include_cost_in_streaming_usage: true", "\n\n", `{"model":"listed",` + asks + `}`, `"total_tokens":1500,"cost":0.0075}}`},
		{"what costs nothing has no cost", "include_cost_in_streaming_usage: true", "\n\n", `{"model":"free",` + asks + `}`, `"total_tokens":1500}}`},
		{"what nobody has a price for has no cost", "include_cost_in_streaming_usage: true", "\n\n", `{"model":"unpriced",` + asks + `}`, `"total_tokens":1500}}`},
		{"events may end in carriage returns", "include_cost_in_streaming_usage: true", "\r\n\r\n", `{"model":"own",` + asks + `}`, `"total_tokens":1500,"cost":0.002}}`},
		{"who did not ask for usage gets none", "include_cost_in_streaming_usage: true", "\n\n", `{"model":"own","stream":true,"messages":[]}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := upstreamFunc(t, streamed(tt.end))
			c, findings := load(t, "litellm_settings: {"+tt.settings+"}\n"+strings.ReplaceAll(priced, "BASE", base))
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			_, url := gateway(t, c)
			_, body := post(t, url+"/v1/chat/completions", tt.body)
			if !strings.Contains(body, tt.want) || !strings.Contains(body, `"\"usage\":{\"a\":1}"`) || !strings.HasSuffix(body, "data: [DONE]\n\n") ||
				strings.Contains(body, "cost") != strings.Contains(tt.want, "cost") || strings.Contains(body, "1500") != (tt.want != "") {
				t.Error(body)
			}
		})
	}
}

func TestErrorsOfFallbacksAreToldOnlyWhereThatIsWanted(t *testing.T) {
	base := upstreamFunc(t, streamed("\n\n"))
	yaml := "model_list:\n- {model_name: a, litellm_params: {model: openai/ma, api_key: k, api_base: '" + base + "/dead'}}\n" +
		"- {model_name: b, litellm_params: {model: openai/mb, api_key: k, api_base: '" + base + "'}}\nrouter_settings: {num_retries: 0, fallbacks: [{a: [b]}]}\n"
	for _, on := range []bool{false, true} {
		c, findings := load(t, yaml+fmt.Sprintf("general_settings: {expose_fallback_errors_to_caller: %t}\n", on))
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		_, url := gateway(t, c)
		resp, body := post(t, url+"/v1/chat/completions", `{"model":"a","stream":true,"include_fallback_errors":true,"messages":[]}`)
		header := resp.Header.Get("X-Litellm-Fallback-Errors")
		if (header != "") != on || strings.Contains(body, "litellm-fallback-metadata") != on || resp.Header.Get("X-Litellm-Model-Group") != "b" {
			t.Errorf("on %t: %q %s", on, header, body)
		}
		if !strings.Contains(body, `"model":"b"`) || strings.Contains(body, `"model":"up"`) {
			t.Errorf("the group that answers is not named: %s", body)
		}
		if !on {
			continue
		}
		events := strings.Split(body, "\n\n")
		var e struct {
			Choices  []any
			Fallback struct {
				Model  string              `json:"fallback_model"`
				Errors []map[string]string `json:"errors"`
			} `json:"litellm_fallback"`
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(events[1], "data: ")), &e); err != nil || e.Choices == nil || e.Fallback.Model != "b" || len(e.Fallback.Errors) != 1 || e.Fallback.Errors[0]["code"] != "500" {
			t.Errorf("%v: %s", err, events[1])
		}
		// Who does not ask is told nothing.
		if resp, body := post(t, url+"/v1/chat/completions", `{"model":"a","stream":true,"messages":[]}`); resp.Header.Get("X-Litellm-Fallback-Errors") != "" || strings.Contains(body, "fallback") {
			t.Errorf("%v %s", resp.Header, body)
		}
	}
}

func TestModelsWithoutAPriceAreRefusedWhereThatIsWanted(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	for _, on := range []bool{false, true} {
		c, findings := load(t, fmt.Sprintf("litellm_settings: {block_requests_for_models_without_pricing: %t}\n", on)+strings.ReplaceAll(priced, "BASE", base))
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		_, url := gateway(t, c)
		for model, has := range map[string]bool{"own": true, "listed": true, "free": true, "unpriced": false, "any/gpt-4o": true, "any/nobody-knows": false} {
			want := 200
			if on && !has {
				want = 403
			}
			resp, body := post(t, url+"/v1/chat/completions", `{"model":"`+model+`","messages":[]}`)
			if resp.StatusCode != want || want == 403 && !strings.HasPrefix(body, `{"error":{"message":"Model '`+model+`' has no pricing in the cost map, so litellm cannot price the request. `) {
				t.Errorf("on %t, %s: %d %s", on, model, resp.StatusCode, body)
			}
			if want == 403 && !strings.HasSuffix(body, `"type":"model_cost_map_missing","param":"model","code":"403"}}`) {
				t.Error(body)
			}
		}
		if resp, _ := post(t, url+"/v1/chat/completions", `{"model":"nobody","messages":[]}`); resp.StatusCode != 400 {
			t.Errorf("a model that does not exist: %d", resp.StatusCode)
		}
	}
}

func TestRequestsWaitForASeat(t *testing.T) {
	for _, tt := range []struct {
		name, settings string
		want           int // of the second request
		body, counted  string
	}{
		{
			"too many wait already", "max_queued_requests_per_worker: 0", 503,
			`{"error":{"message":"Worker at capacity: 1 in-flight, 0 queued requests. Retry later.","type":"overloaded_error","code":"503"}}`,
			`litellm_admission_rejected_requests_total{reason="queue_full"} 1`,
		},
		{
			"it takes too long", "admission_queue_timeout_seconds: 0.2", 503,
			`{"error":{"message":"Worker at capacity: 1 in-flight, 0 queued requests. Retry later.","type":"overloaded_error","code":"503"}}`,
			`litellm_admission_rejected_requests_total{reason="queue_timeout"} 1`,
		},
		{"a seat becomes free", "admission_queue_timeout_seconds: 60", 200, "", "litellm_admission_queued_requests 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			release := make(chan struct{})
			begun := make(chan struct{})
			base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
				if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "slow") {
					close(begun)
					<-release
				}
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, okAnswer)
			})
			c, findings := load(t, "litellm_settings: {callbacks: [prometheus]}\ngeneral_settings: {max_in_flight_requests_per_worker: 1, "+tt.settings+"}\n"+strings.ReplaceAll(priced, "BASE", base))
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			p, url := gateway(t, c)
			var done sync.WaitGroup
			call := func(word string, want int, body string) {
				resp, answer := post(t, url+"/v1/chat/completions", `{"model":"own","messages":["`+word+`"]}`)
				if resp.StatusCode != want || body != "" && answer != body || want == 503 && resp.Header.Get("Retry-After") != "1" {
					t.Errorf("%d %v %s", resp.StatusCode, resp.Header, answer)
				}
			}
			done.Go(func() { call("slow", 200, "") })
			<-begun
			// Probes and metrics need no seat.
			for _, path := range []string{"/health/liveliness", "/health/readiness", "/health/backlog", "/metrics"} {
				if status, body := admin(t, "GET", url+path, ""); status != 200 || path == "/health/backlog" && !strings.Contains(body, `"admitted_requests":1,"queued_requests":0`) {
					t.Errorf("%s: %d %s", path, status, body)
				}
			}
			if tt.want == 200 {
				done.Go(func() { call("quick", 200, "") })
				for _, queued, _, _ := p.live.Load().api.SeatsTaken(); queued == 0; _, queued, _, _ = p.live.Load().api.SeatsTaken() {
					time.Sleep(time.Millisecond)
				}
				if status, _ := admin(t, "GET", url+"/v1/models", ""); status == 200 {
					t.Error("other requests need no seat")
				}
			} else {
				call("quick", tt.want, tt.body)
			}
			close(release)
			done.Wait()
			_, text := admin(t, "GET", url+"/metrics", "")
			for _, want := range []string{"litellm_admission_admitted_requests 0", "litellm_admission_queued_requests 0", tt.counted} {
				if !strings.Contains(text, want) {
					t.Errorf("%s is missing", want)
				}
			}
		})
	}
	for settings, want := range map[string]string{
		"max_in_flight_requests_per_worker: 0": "max_in_flight_requests_per_worker must be a number", "max_queued_requests_per_worker: 3": "has no effect without",
		"max_in_flight_requests_per_worker: 2, admission_queue_timeout_seconds: 0": "must be above 0", "max_in_flight_requests_per_worker: 2, max_queued_requests_per_worker: many": "is left out with it",
	} {
		if c, findings := load(t, "general_settings: {"+settings+"}\n"); !strings.Contains(said(findings), want) || c.API.Seats.InFlight != 0 {
			t.Errorf("%s: %s", settings, said(findings))
		}
	}
}

func TestReadinessIsInDetailWhereThatIsWanted(t *testing.T) {
	for _, on := range []bool{false, true} {
		c, _ := load(t, fmt.Sprintf("general_settings: {allow_public_health_readiness_details: %t}\n", on))
		_, url := gateway(t, c)
		if resp, body := asked(t, url+"/health/readiness", false); resp.StatusCode != 200 || strings.Contains(body, "litellm_version") != on || !strings.HasPrefix(body, `{"status":"healthy","db":"Not connected"`) {
			t.Errorf("on %t: %d %s", on, resp.StatusCode, body)
		}
	}
}

// headed keeps what an upstream was sent last.
func headed(t *testing.T) (base string, last func() (http.Header, map[string]any)) {
	var mu sync.Mutex
	var header http.Header
	var body map[string]any
	base = upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		header, body = r.Header, nil
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	return base, func() (http.Header, map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		return header, body
	}
}

func TestUpstreamsAreToldWhoAsksWhereThatIsWanted(t *testing.T) {
	base, last := headed(t)
	for _, on := range []bool{false, true} {
		c, findings := load(t, fmt.Sprintf("litellm_settings: {add_user_information_to_llm_headers: %t}\n", on)+strings.ReplaceAll(priced, "BASE", base))
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		_, url := gateway(t, c)
		post(t, url+"/v1/chat/completions", `{"model":"own","user":"line\nbreak","messages":[]}`)
		h, _ := last()
		for name, want := range map[string]string{
			"x-litellm-user_api_key_hash": "litellm_proxy_master_key", "x-litellm-user_api_key_user_id": "default_user_id", "x-litellm-user_api_key_spend": "0.0",
			"x-litellm-user_api_key_request_route": "/v1/chat/completions", "x-litellm-user_api_key_end_user_id": "linebreak", "x-litellm-user_api_key_auth_metadata": "{}",
		} {
			if got := h.Get(name); on && got != want || !on && got != "" {
				t.Errorf("on %t: %s is %q", on, name, got)
			}
		}
		if text := fmt.Sprint(h); strings.Contains(text, testKey) {
			t.Errorf("the key went upstream: %s", text)
		}
	}
}

func TestTheKeyHashIsTheUserWhereThatIsWanted(t *testing.T) {
	base, last := headed(t)
	for _, on := range []bool{false, true} {
		c, findings := load(t, fmt.Sprintf("litellm_settings: {overwrite_user_with_key_hash: %t}\n", on)+strings.ReplaceAll(priced, "BASE", base)+
			"- {model_name: fixed, litellm_params: {model: openai/fixed, api_key: k, api_base: '"+base+"', user: entry}}\n")
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		_, url := gateway(t, c)
		for body, without := range map[string]any{`{"model":"own","messages":[]}`: nil, `{"model":"own","user":"me","messages":[]}`: "me", `{"model":"fixed","messages":[]}`: "entry"} {
			want := without
			if on {
				want = "litellm_proxy_master_key"
			}
			resp, answer := post(t, url+"/v1/chat/completions", body)
			if _, got := last(); resp.StatusCode != 200 || got["user"] != want {
				t.Errorf("on %t, %s: user %v, %d %s", on, body, got["user"], resp.StatusCode, answer)
			}
		}
	}
}

func TestClientsBringTheirOwnKeysWhereThatIsWanted(t *testing.T) {
	base, last := headed(t)
	all := []string{"X-Api-Key", "sk-theirs", "X-Goog-Api-Key", "goog", "X-Mine", "1", "Api-Key", "azure"}
	for _, tt := range []struct {
		name, settings string
		header         []string
		key, own, goog string // what goes upstream
	}{
		{"by default nothing of theirs passes", "", all, "Bearer k", "", ""},
		{"nor with other headers alone", "forward_client_headers_to_llm_api: true", all, "Bearer k", "", ""},
		{"their key replaces ours", "forward_llm_provider_auth_headers: true", all, "Bearer sk-theirs", "", ""},
		{"with other headers it is also passed as it came", "forward_llm_provider_auth_headers: true, forward_client_headers_to_llm_api: true", all, "Bearer sk-theirs", "sk-theirs", "goog"},
		{"the gateway's key is not theirs", "forward_llm_provider_auth_headers: true, forward_client_headers_to_llm_api: true", []string{"Authorization", "", "X-Api-Key", testKey}, "Bearer k", "", ""},
		{"nor sent twice", "forward_llm_provider_auth_headers: true, forward_client_headers_to_llm_api: true", []string{"X-Api-Key", testKey}, "Bearer k", "", ""},
		{"nor in a header of its own", "forward_llm_provider_auth_headers: true, forward_client_headers_to_llm_api: true, litellm_key_header_name: X-Api-Key", []string{"X-Api-Key", "Bearer " + testKey, "Authorization", "Bearer sk-other"}, "Bearer k", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, findings := load(t, "general_settings: {master_key: "+testKey+", "+tt.settings+"}\n"+strings.ReplaceAll(priced, "BASE", base))
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			_, url := gateway(t, c)
			resp, body := post(t, url+"/v1/chat/completions", `{"model":"own","messages":[]}`, tt.header...)
			h, _ := last()
			if resp.StatusCode != 200 || h.Get("Authorization") != tt.key || h.Get("X-Api-Key") != tt.own || h.Get("X-Goog-Api-Key") != tt.goog || h.Get("Api-Key") != "" {
				t.Errorf("%d %s, upstream got %v", resp.StatusCode, body, h)
			}
			if strings.Contains(fmt.Sprint(h), testKey) {
				t.Errorf("the gateway's key went upstream: %v", h)
			}
		})
	}
}

func TestEveryCallCarriesTheHeadersOfTheSettings(t *testing.T) {
	base, last := headed(t)
	c, findings := load(t, "litellm_settings: {headers: {x-static: all, x-own: settings, content-length: 3, \"bad name\": x}}\n"+strings.ReplaceAll(priced, "BASE", base)+
		"- {model_name: fixed, litellm_params: {model: openai/fixed, api_key: k, api_base: '"+base+"', extra_headers: {x-own: entry}}}\n")
	if text := said(findings); len(findings) != 2 || !strings.Contains(text, "content-length is left out") || !strings.Contains(text, "cannot be a header; it is left out") {
		t.Fatal(text)
	}
	_, url := gateway(t, c)
	for model, own := range map[string]string{"own": "settings", "fixed": "entry"} {
		post(t, url+"/v1/chat/completions", `{"model":"`+model+`","messages":[]}`)
		if h, body := last(); h.Get("X-Static") != "all" || h.Get("X-Own") != own || body == nil {
			t.Errorf("%s: %v", model, h)
		}
	}
}

func TestThePhasesOfACallAreTimedWhereThatIsWanted(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(30 * time.Millisecond)
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"stream":true`) {
			streamed("\n\n")(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	for word, on := range map[string]bool{"": false, "false": false, "true": true} {
		c, _ := load(t, strings.ReplaceAll(priced, "BASE", base))
		ApplyEnvironment(&c, func(name string) string { return map[string]string{"LITELLM_DETAILED_TIMING": word}[name] })
		_, url := gateway(t, c)
		for _, body := range []string{`{"model":"own","messages":[]}`, `{"model":"own","stream":true,"messages":[]}`} {
			resp, _ := post(t, url+"/v1/chat/completions", body)
			number := func(name string) (f float64) {
				_, _ = fmt.Sscan(resp.Header.Get("X-Litellm-"+name), &f)
				return f
			}
			total, upstream := number("Response-Duration-Ms"), number("Timing-Llm-Api-Ms")
			if on != (upstream >= 30) || on != (number("Timing-Pre-Processing-Ms") > 0) || upstream > total {
				t.Errorf("%q: %s: %v", word, body, resp.Header)
			}
			if number("Overhead-Duration-Ms") > total-30 {
				t.Errorf("%s: the upstream's time counts as ours: %v", body, resp.Header)
			}
		}
	}
}

func TestThePagesOfTheAPIAreWhereTheyAreWanted(t *testing.T) {
	variables := map[string]string{"DOCS_URL": "/manual", "REDOC_URL": "/reference", "OPENAPI_URL": "/schema.json", "DOCS_TITLE": "Our <gateway>", "DOCS_DESCRIPTION": "Ask & tell"}
	var c Config
	if remarks := ApplyEnvironment(&c, func(name string) string { return variables[name] }); len(remarks) > 0 {
		t.Fatal(remarks)
	}
	_, url := gateway(t, c)
	for path, want := range map[string]string{
		"/manual": "<h1>Our &lt;gateway&gt;</h1>\n<p>Ask &amp; tell</p>", "/reference": `<a href="/schema.json">`, "/schema.json": `"title":"Our <gateway>"`, "/": `"LiteLLM: RUNNING"`,
		"/docs": "", "/redoc": "", "/openapi.json": "", "/routes": `"path":"/manual"`, "/ui": `href="/manual"`,
	} {
		resp, body := asked(t, url+path, false)
		if want == "" && resp.StatusCode != 404 || path != "/ui" && want != "" && resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.300s", path, resp.StatusCode, body)
		}
	}
	// A path that has a meaning keeps it, and what is none is said.
	c = Config{}
	remarks := ApplyEnvironment(&c, func(name string) string {
		return map[string]string{"DOCS_URL": "/v1/models", "REDOC_URL": "reference"}[name]
	})
	if len(remarks) != 1 || !strings.Contains(remarks[0], "REDOC_URL is no path") {
		t.Error(remarks)
	}
	_, url = gateway(t, c)
	if resp, body := asked(t, url+"/v1/models", true); resp.StatusCode != 200 || !strings.HasPrefix(body, `{"data":[`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestNamesThatAreAddressesAreRefused(t *testing.T) {
	base, last := headed(t)
	c, findings := load(t, "litellm_settings: {provider_url_destination_allowed_hosts: [Good.example, 'https://strict.example:8443']}\n"+strings.ReplaceAll(priced, "BASE", base))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	_, url := gateway(t, c)
	for model, allowed := range map[string]bool{
		"any/http://169.254.169.254/latest": false, "any/HTTPS://x.example": false, "http://x.example": false, "own, any/http://x.example": false,
		"any/http://good.example/m": true, "any/https://good.example:9/m": true, "any/http://user@good.example/m": false,
		"any/https://strict.example:8443/m": true, "any/https://strict.example/m": false, "any/http://strict.example:8443/m": false, "any/ftp://x": true,
	} {
		resp, body := post(t, url+"/v1/chat/completions", `{"model":"`+model+`","messages":[]}`)
		refused := resp.StatusCode == 400 && strings.HasPrefix(body, `{"error":{"message":"invalid_request","type":"invalid_request_error","param":null,"code":"400","provider_specific_fields":{"error":"invalid_request","param":"model","message":"URL-valued 'model' is not allowed.`)
		if refused == allowed || allowed && resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", model, resp.StatusCode, body)
		}
		if _, got := last(); allowed && !strings.HasSuffix(model, fmt.Sprint(got["model"])) {
			t.Errorf("%s went as %v", model, got["model"])
		}
	}
	resp, body := post(t, url+"/v1/chat/completions", `{"model":"own","fallbacks":["http://x.example"],"messages":[]}`)
	if resp.StatusCode != 401 || !strings.Contains(body, "Rejected Request: URL-valued fallback destination 'http://x.example' is not allowed.") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
