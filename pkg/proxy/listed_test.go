package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/sink"
)

// namesOf are the ids of a listing.
func namesOf(t *testing.T, body string) (names []string) {
	t.Helper()
	var list struct {
		Data []struct {
			ID   string
			Name string `json:"model_name"`
		}
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for _, m := range list.Data {
		names = append(names, m.ID+m.Name)
	}
	return names
}

func TestModelsThatNothingServesAreNotListedWhereThatIsWanted(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/bad") && sick.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	yaml := strings.ReplaceAll(`
model_list:
- {model_name: dead, litellm_params: {model: openai/m, api_key: k, api_base: 'BASE/bad'}}
- {model_name: half, litellm_params: {model: openai/m, api_key: k, api_base: 'BASE/bad'}}
- {model_name: half, litellm_params: {model: openai/m, api_key: k, api_base: 'BASE'}}
- {model_name: unchecked, litellm_params: {model: openai/m, api_key: k, api_base: 'BASE/bad'}, model_info: {disable_background_health_check: true}}
- {model_name: well, litellm_params: {model: openai/m, api_key: k, api_base: 'BASE'}}
`, "BASE", base)
	all, alive := "dead half unchecked well", "half unchecked well"
	for _, tt := range []struct{ name, general, router, always, asked string }{
		{"by default all are listed", "background_health_checks: true", "", all, all},
		{"where the setting is on", "background_health_checks: true, model_list_healthy_only: true", "", alive, alive},
		{"where the client asks and health decides about routes", "background_health_checks: true, enable_health_check_routing: true", "", all, alive},
		{"where failures are counted in another way all are", "background_health_checks: true, model_list_healthy_only: true", "allowed_fails_policy: {TimeoutErrorAllowedFails: 9}", all, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, findings := load(t, "general_settings: {health_check_interval: 3600, "+tt.general+"}\nrouter_settings: {"+tt.router+"}\n"+yaml)
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			p, url := gateway(t, c)
			for end := time.Now().Add(10 * time.Second); len(p.live.Load().health.Unhealthy()) < 2; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("no round ends")
				}
			}
			for path, want := range map[string]string{"/v1/models": tt.always, "/v1/models?healthy_only=true": tt.asked, "/v1/models?healthy_only=false": tt.always} {
				status, body := admin(t, "GET", url+path, "")
				if got := strings.Join(namesOf(t, body), " "); status != 200 || got != want {
					t.Errorf("%s: %d %s, want %s", path, status, got, want)
				}
			}
			_, body := admin(t, "GET", url+"/v1/model/info", "")
			if got := slices.Contains(namesOf(t, body), "dead"); got != (tt.always == all) {
				t.Errorf("/v1/model/info: %s", body)
			}
			want := 200
			if tt.always != all {
				want = 404
			}
			if status, body := admin(t, "GET", url+"/v1/models/dead", ""); status != want {
				t.Errorf("/v1/models/dead: %d %s", status, body)
			}
			// What is hidden can be called.
			sick.Store(false)
			defer sick.Store(true)
			if resp, body := post(t, url+"/v1/chat/completions", `{"model":"dead","messages":[]}`); resp.StatusCode != 200 {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	if _, findings := load(t, "general_settings: {model_list_healthy_only: true}\n"); !strings.Contains(said(findings), "model_list_healthy_only has no effect without general_settings.background_health_checks") {
		t.Error(said(findings))
	}
}

func TestModelsOfKeysInTheEnvironmentAreListedWhereThatIsWanted(t *testing.T) {
	const yaml = "model_list: [{model_name: gpt-4o, litellm_params: {model: openai/gpt-4o, api_key: k}}]\ngeneral_settings: {infer_model_from_keys: %t}\n"
	for _, on := range []bool{false, true} {
		c, findings := load(t, fmt.Sprintf(yaml, on), "GROQ_API_KEY=k", "OPENAI_API_KEY=k")
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		_, url := gateway(t, c)
		_, body := admin(t, "GET", url+"/v1/models", "")
		names := namesOf(t, body)
		groq := slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "groq/") })
		if groq != on || slices.Contains(names, "gpt-4o-mini") != on || names[0] != "gpt-4o" || slices.Contains(names[1:], "gpt-4o") ||
			slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "mistral/") || strings.HasSuffix(n, "-") }) {
			t.Errorf("on %t: %v", on, names)
		}
	}
}

func TestHealthLeavesOutWhatTheBackgroundLeavesOutWhereThatIsWanted(t *testing.T) {
	var mu sync.Mutex
	var voices []string
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Voice string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		mu.Lock()
		voices = append(voices, body.Voice)
		mu.Unlock()
		w.Header().Set("Content-Type", "audio/mpeg")
		io.WriteString(w, "\xff\xfbsound")
	})
	for _, on := range []bool{false, true} {
		c, findings := load(t, fmt.Sprintf("general_settings: {health_check_skip_disabled_background_models: %t}\nmodel_list:\n", on)+
			"- {model_name: one, litellm_params: {model: openai/tts-1, api_key: k, api_base: '"+base+"'}, model_info: {mode: audio_speech, health_check_voice: nova}}\n"+
			"- {model_name: two, litellm_params: {model: openai/tts-1, api_key: k, api_base: '"+base+"'}, model_info: {id: second, mode: audio_speech, disable_background_health_check: true}}\n")
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		_, url := gateway(t, c)
		voices = nil
		_, body := admin(t, "GET", url+"/health", "")
		slices.Sort(voices)
		want := "alloy nova"
		if on {
			want = "nova"
		}
		if got := strings.Join(voices, " "); got != want || strings.Contains(body, "second") == on || !strings.Contains(body, `"unhealthy_count":0`) {
			t.Errorf("on %t: voices %s, %s", on, got, body)
		}
	}
}

func TestWhatModelInfoSaysIsShownAndSilent(t *testing.T) {
	c, findings := load(t, `
model_list:
- model_name: m
  litellm_params: {model: openai/nobody-knows, api_key: k}
  model_info: {access_groups: [beta], max_tokens: 77, max_output_tokens: 66, max_input_tokens: 55, supports_function_calling: true, supports_reasoning: true, supports_vision: true,
    supports_parallel_function_calling: true, supports_audio_input: true, supports_audio_output: true, supports_pdf_input: true, supports_prompt_caching: true, supports_response_schema: true,
    supports_system_messages: true, supports_tool_choice: true, supports_assistant_prefill: true, supports_web_search: true, anything: {else: 1}}`)
	if len(findings) > 0 {
		t.Fatal(said(findings))
	}
	_, url := gateway(t, c)
	_, body := admin(t, "GET", url+"/model/info", "")
	for _, want := range []string{
		`"access_groups":["beta"]`, `"max_tokens":77`, `"max_output_tokens":66`, `"max_input_tokens":55`, `"supports_function_calling":true`, `"supports_reasoning":true`, `"supports_vision":true`,
		`"supports_parallel_function_calling":true`, `"supports_audio_input":true`, `"supports_audio_output":true`, `"supports_pdf_input":true`, `"supports_prompt_caching":true`,
		`"supports_response_schema":true`, `"supports_system_messages":true`, `"supports_tool_choice":true`, `"supports_assistant_prefill":true`, `"anything":{"else":1}`,
	} {
		if strings.Count(body, want) != 1 {
			t.Errorf("%s: %s", want, body)
		}
	}
	_, body = admin(t, "GET", url+"/model_group/info", "")
	for _, want := range []string{`"max_output_tokens":66`, `"max_input_tokens":55`, `"supports_function_calling":true`, `"supports_parallel_function_calling":true`, `"supports_reasoning":true`, `"supports_vision":true`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s: %s", want, body)
		}
	}
	for query, want := range map[string]string{"": "m", "?include_model_access_groups=true": "m beta", "?include_model_access_groups=true&only_model_access_groups=true": "beta", "?only_model_access_groups=true": ""} {
		_, body := admin(t, "GET", url+"/v1/models"+query, "")
		if got := strings.Join(namesOf(t, body), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestTagsOfCallsAreThoseTheOperatorWants(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	base := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	for _, tt := range []struct {
		settings, said string
		want           []string // nil: the call is not told at all
	}{
		{"", "", nil},
		{"global_disable_no_log_param: true", "", []string{"mine", "User-Agent: sdk", "User-Agent: sdk/1"}},
		{"global_disable_no_log_param: true, disable_add_user_agent_to_request_tags: true", "", []string{"mine"}},
		{"global_disable_no_log_param: true, extra_spend_tag_headers: [x-project, X-Absent]", "", []string{"mine", "User-Agent: sdk", "User-Agent: sdk/1", "x-project: p1"}},
		{"global_disable_no_log_param: true, extra_spend_tag_headers: [authorization, 'a b']", "holds keys", []string{"mine", "User-Agent: sdk", "User-Agent: sdk/1"}},
	} {
		_ = os.Remove(path)
		c, findings := load(t, "litellm_settings: {"+tt.settings+"}\n"+strings.ReplaceAll(priced, "BASE", base))
		if (tt.said == "") != (len(findings) == 0) || !strings.Contains(said(findings), tt.said) {
			t.Fatal(said(findings))
		}
		c.Auth.MasterKey = redact.New(testKey)
		c.Telemetry.Sinks = []sink.Options{{Name: "log_sink", File: path}}
		p, url := gateway(t, c)
		post(t, url+"/v1/chat/completions", `{"model":"own","no-log":true,"tags":["mine"],"messages":[]}`, "User-Agent", "sdk/1", "X-Project", "p1")
		p.queue.Flush()
		for _, s := range p.observers.sinks {
			s.Close()
		}
		p.observers.sinks = nil
		raw, _ := os.ReadFile(path)
		var r struct {
			Tags []string `json:"request_tags"`
		}
		_ = json.Unmarshal(raw, &r)
		if !slices.Equal(r.Tags, tt.want) || strings.Contains(string(raw), testKey) {
			t.Errorf("%s: %v, want %v", tt.settings, r.Tags, tt.want)
		}
	}
}

func TestSpeechIsPassedOnInPiecesOfTheSizeThatIsWanted(t *testing.T) {
	sound := strings.Repeat("sound", 5000)
	base := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		io.WriteString(w, sound)
	})
	c, _ := load(t, strings.ReplaceAll(priced, "BASE", base))
	ApplyEnvironment(&c, func(name string) string { return map[string]string{"AUDIO_SPEECH_CHUNK_SIZE": "7"}[name] })
	if c.API.SpeechPiece != 7 {
		t.Fatal(c.API.SpeechPiece)
	}
	_, url := gateway(t, c)
	if resp, body := post(t, url+"/v1/audio/speech", `{"model":"own","input":"hi","voice":"alloy"}`); resp.StatusCode != 200 || body != sound {
		t.Errorf("%d, %d bytes of %d", resp.StatusCode, len(body), len(sound))
	}
}

func TestAModelThatRepeatsItselfIsCut(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct{ User string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i, word := range strings.Split(body.User, ",") {
			piece, _ := json.Marshal(word)
			fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%s}}]}\n\n", piece)
			if i%3 == 0 {
				w.(http.Flusher).Flush()
			}
		}
		io.WriteString(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	})
	again := func(word string, n int) string { return strings.TrimSuffix(strings.Repeat(word+",", n), ",") }
	for _, tt := range []struct {
		name, limit, says string
		pieces            int // that arrive
		cut               bool
	}{
		{"a hundred times is as often as it may", "", again("again", 100), 100, false},
		{"once more is once too often", "", again("again", 101), 100, true},
		{"what has two characters counts for nothing", "", again("ab", 300), 300, false},
		{"so do two from beyond the basic plane", "", again("\U0001f600\U0001f600", 300), 300, false},
		{"another word begins anew", "", again("again", 60) + ",other," + again("again", 60), 121, false},
		{"the variable says how often", "3", again("\n\n\n", 9), 3, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := load(t, strings.ReplaceAll(priced, "BASE", base))
			ApplyEnvironment(&c, func(name string) string { return map[string]string{"REPEATED_STREAMING_CHUNK_LIMIT": tt.limit}[name] })
			_, url := gateway(t, c)
			ask, _ := json.Marshal(map[string]any{"model": "own", "stream": true, "user": tt.says, "messages": []string{}})
			resp, body := post(t, url+"/v1/chat/completions", string(ask))
			const failure = `data: {"error":{"message":"litellm.InternalServerError: The model is repeating the same chunk.","type":"internal_server_error","param":"None","code":"500"}}` + "\n\n"
			if n := strings.Count(body, `"content"`); resp.StatusCode != 200 || n != tt.pieces || strings.HasSuffix(body, failure) != tt.cut || strings.HasSuffix(body, "data: [DONE]\n\n") == tt.cut {
				t.Errorf("%d, %d pieces, %s", resp.StatusCode, n, body[max(len(body)-400, 0):])
			}
		})
	}
}

func TestAGroupMayServeWhatItsTagsRuleOut(t *testing.T) {
	base, last := watched(t)
	yaml := func(open string) string {
		return "router_settings: {enable_tag_filtering: true}\nmodel_list:\n" +
			"- {model_name: m, litellm_params: {model: openai/eu, api_key: k, api_base: '" + base + "', tags: [eu]}, model_info: {" + open + "}}\n" +
			"- {model_name: m, litellm_params: {model: openai/rest, api_key: k, api_base: '" + base + "', tags: [us, default]}}\n"
	}
	for _, tt := range []struct {
		name, open, tags, want string // empty: refused
	}{
		{"by default it does not", "", `["&eu","&us"]`, ""},
		{"where one of it allows that", "allow_fail_open: true", `["&eu","&us"]`, "rest"},
		{"also what is excluded", "allow_fail_open: true", `["!eu","!us"]`, "rest"},
		{"false allows nothing", "allow_fail_open: false", `["!eu","!us"]`, ""},
		{"a tag that is made up does not open what another keeps", "allow_fail_open: true", `["&eu","&nobody-has-this"]`, ""},
		{"tags that are all made up keep nothing", "allow_fail_open: true", `["&nobody-has-this"]`, "rest"},
		{"what tags lead to stays", "allow_fail_open: true", `["&eu"]`, "eu"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, findings := load(t, yaml(tt.open))
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			_, url := gateway(t, c)
			resp, body := post(t, url+"/v1/chat/completions", `{"model":"m","tags":`+tt.tags+`,"messages":[]}`)
			if tt.want == "" && (resp.StatusCode != 401 || !strings.Contains(body, "Not allowed to access model due to tags configuration")) || tt.want != "" && (resp.StatusCode != 200 || last().body["model"] != tt.want) {
				t.Errorf("%d %s, %v", resp.StatusCode, body, last().body)
			}
		})
	}
}
