package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/llmgw/llmgw/internal/finding"
)

// seen is what an upstream was asked.
type seen struct {
	key, organization, header, program string
	body                               map[string]any
}

// watched is an upstream that answers, and what it was last asked.
func watched(t *testing.T) (base string, last func() seen) {
	var mu sync.Mutex
	var s seen
	base = upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		now := seen{key: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), organization: r.Header.Get("OpenAI-Organization"), header: r.Header.Get("X-Mine"), program: r.UserAgent()}
		if now.key == "" {
			now.key = r.Header.Get("Api-Key")
		}
		_ = json.Unmarshal(body, &now.body)
		mu.Lock()
		s = now
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	return base, func() seen {
		mu.Lock()
		defer mu.Unlock()
		return s
	}
}

func said(findings []finding.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintln(&b, f.Severity, f.Path, f.Message)
	}
	return b.String()
}

func TestEntriesAreLoadedWhereTheyAreMeantFor(t *testing.T) {
	for _, tt := range []struct {
		name, environments, here string
		loaded                   bool
		says                     string
	}{
		{"nothing said", "null", "", true, ""},
		{"here", "[staging, production]", "staging", true, ""},
		{"elsewhere", "[production]", "staging", false, `info model_list[0].model_info.supported_environments model_list[0] "m" is not loaded: LITELLM_ENVIRONMENT is staging`},
		{"nowhere", "[]", "staging", false, "is not loaded"},
		{"the variable is missing", "[production]", "", false, `"m" is disabled: it has model_info.supported_environments, and LITELLM_ENVIRONMENT is not set`},
		{"the variable is no environment", "[production]", "prod", false, `LITELLM_ENVIRONMENT is "prod", which is none of production, staging, development`},
		{"the entry names none", "[staging, prod]", "staging", false, `model_info.supported_environments has "prod", which is none of`},
		{"text in place of a list", "staging", "staging", false, "must be a list of production, staging, development"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, findings := load(t, "model_list:\n- {model_name: m, litellm_params: {model: openai/m, api_key: k, mock_response: hi}, model_info: {supported_environments: "+tt.environments+"}}\n- {model_name: other, litellm_params: {model: openai/o, api_key: k, mock_response: hi}}\n", "LITELLM_ENVIRONMENT="+tt.here)
			if text := said(findings); !strings.Contains(text, tt.says) || tt.says == "" && text != "" {
				t.Errorf("said %s, want %s", text, tt.says)
			}
			_, url := gateway(t, c)
			want := 400
			if tt.loaded {
				want = 200
			}
			resp, body := post(t, url+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
			if resp.StatusCode != want {
				t.Errorf("%d %s, want %d", resp.StatusCode, body, want)
			}
			if _, list := admin(t, "GET", url+"/v1/models", ""); strings.Contains(list, `"id":"m"`) != tt.loaded {
				t.Errorf("listed: %s", list)
			}
		})
	}
}

func TestOrganizationsOfAListAreDeploymentsEach(t *testing.T) {
	base, last := watched(t)
	yaml := fmt.Sprintf(`
model_list:
- {model_name: m, litellm_params: {model: openai/m, api_key: k, api_base: '%[1]s', organization: [org-a, org-b, os.environ/ORG_C]}, model_info: {id: named}}
- {model_name: n, litellm_params: {model: openai/m, api_key: k, api_base: '%[1]s', organization: [org-a, org-b], rpm: 1000000}}
- {model_name: empty, litellm_params: {model: openai/m, api_key: k, api_base: '%[1]s', organization: []}}
`, base)
	c, findings := load(t, yaml, "ORG_C=org-c")
	if text := said(findings); !strings.Contains(text, `"empty" is disabled: organization is a list without entries`) || len(findings) != 1 {
		t.Errorf("said %s", text)
	}
	again, _ := load(t, yaml, "ORG_C=org-c")
	ids := map[string]bool{}
	for i, d := range c.Deployments {
		if ids[d.ID] = true; again.Deployments[i].ID != d.ID {
			t.Errorf("another id after a restart: %s, %s", d.ID, again.Deployments[i].ID)
		}
	}
	if len(ids) != 5 || !ids["named"] {
		t.Errorf("%v", ids)
	}
	_, url := gateway(t, c)
	for model, want := range map[string][]string{"m": {"org-a", "org-b", "org-c"}, "n": {"org-a", "org-b"}} {
		got := map[string]bool{}
		for range 100 {
			if resp, body := post(t, url+"/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"hi"}]}`); resp.StatusCode != 200 {
				t.Fatal(body)
			}
			got[last().organization] = true
		}
		for _, o := range want {
			if !got[o] || len(got) != len(want) {
				t.Errorf("%s went to %v, want %v", model, got, want)
			}
		}
	}
	_, info := admin(t, "GET", url+"/model/info", "")
	var list struct {
		Data []struct {
			Params struct {
				Organization string
				RPM          json.RawMessage
			} `json:"litellm_params"`
		}
	}
	if err := json.Unmarshal([]byte(info), &list); err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, d := range list.Data {
		shown = append(shown, d.Params.Organization)
	}
	if !slices.Equal(shown, []string{"org-a", "org-b", "org-c", "org-a", "org-b"}) || !strings.Contains(info, `"rpm":1000000`) {
		t.Errorf("%v in %s", shown, info)
	}
}

func TestProgramsAreRoutedByPatterns(t *testing.T) {
	base, last := watched(t)
	entry := func(group, model, more string) string {
		return fmt.Sprintf("- {model_name: %s, litellm_params: {model: openai/%s, api_key: k, api_base: '%s', %s}}\n", group, model, base, more)
	}
	list := "model_list:\n" + entry("m", "code", `tag_regex: ["^User-Agent: coder/"]`) + entry("m", "rest", "tags: [default]") + entry("bad", "bad", `tag_regex: ["(["]`) + entry("ahead", "ahead", `tag_regex: ["(?!x)"]`)
	c, findings := load(t, list+"router_settings: {enable_tag_filtering: true}\n")
	text := said(findings)
	for _, want := range []string{`"bad" is disabled: tag_regex has "([", which cannot be used`, `"ahead" is disabled: tag_regex has "(?!x)", which cannot be used`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	_, url := gateway(t, c)
	for program, want := range map[string]string{"coder/1.0": "code", "curl/8": "rest"} {
		if resp, body := post(t, url+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, "User-Agent", program); resp.StatusCode != 200 || last().body["model"] != want {
			t.Errorf("%s: %d %s %v", program, resp.StatusCode, body, last())
		}
	}
	// An entry can say so for its group.
	c, findings = load(t, "model_list:\n"+entry("m", "code", `tag_regex: ["^User-Agent: coder/"]`)+strings.Replace(entry("m", "rest", "tags: [default]"), "]}", "]}, model_info: {enable_tag_filtering: true}", 1))
	if len(findings) > 0 || !c.API.Routing.Tags || !c.API.Routing.UserAgent {
		t.Errorf("%v %+v", findings, c.API.Routing)
	}
	_, url = gateway(t, c)
	for program, want := range map[string]string{"coder/1.0": "code", "curl/8": "rest"} {
		if resp, body := post(t, url+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, "User-Agent", program); resp.StatusCode != 200 || last().body["model"] != want {
			t.Errorf("%s: %d %s %v", program, resp.StatusCode, body, last())
		}
	}
	// Where tags do not route, a pattern is no reason to lose a deployment.
	c, findings = load(t, list)
	if text := said(findings); strings.Contains(text, "disabled") || !strings.Contains(text, "tag_regex[0] is no pattern that can be used here") || len(c.Deployments) != 4 || c.API.Routing.UserAgent {
		t.Errorf("%s", text)
	}
}

func TestDefaultsOfAllRequests(t *testing.T) {
	base, last := watched(t)
	c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: m, litellm_params: {model: openai/m, api_key: own, api_base: '%[1]s', temperature: 0.9, top_p: 0.5, extra_body: {mine: 1}}}
router_settings:
  default_litellm_params: {temperature: 0.3, top_p: null, vendor: 5, api_key: from-defaults, organization: org, extra_headers: {X-Mine: here}, extra_body: {theirs: 1}, timeout: 3, api_base: 'http://elsewhere'}
`, base))
	text := said(findings)
	for _, key := range []string{"timeout", "api_base"} {
		if !strings.Contains(text, "router_settings.default_litellm_params."+key+" has no effect") {
			t.Errorf("nobody speaks of %s: %s", key, text)
		}
	}
	if len(findings) != 2 {
		t.Error(text)
	}
	_, url := gateway(t, c)
	ask := func(more string) seen {
		if resp, body := post(t, url+"/v1/chat/completions", `{"model":"m",`+more+`"messages":[{"role":"user","content":"hi"}]}`); resp.StatusCode != 200 {
			t.Fatal(body)
		}
		return last()
	}
	s := ask("")
	if s.key != "from-defaults" || s.organization != "org" || s.header != "here" || s.body["temperature"] != 0.3 || s.body["top_p"] != 0.5 || s.body["vendor"] != 5.0 || s.body["theirs"] != 1.0 || s.body["mine"] != nil {
		t.Errorf("%+v", s)
	}
	if s := ask(`"temperature":0.7,`); s.body["temperature"] != 0.7 {
		t.Errorf("the request does not win: %+v", s)
	}
}

func TestKeysAndAddressesOfAllEntries(t *testing.T) {
	base, last := watched(t)
	c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: plain, litellm_params: {model: openai/m}}
- {model_name: own, litellm_params: {model: openai/m, api_key: planted-own, organization: org-own}}
- {model_name: absent, litellm_params: {model: openai/m, litellm_credential_name: nowhere}}
- {model_name: groq, litellm_params: {model: groq/m, api_base: '%[1]s'}}
litellm_settings: {openai_key: os.environ/MINE, groq_key: planted-groq, api_base: '%[1]s', organization: org-all}
`, base), "MINE=planted-mine", "OPENAI_API_KEY=planted-env", "LITELLM_USER_AGENT=mine/1")
	if text := said(findings); len(findings) != 1 || !strings.Contains(text, `credential_list has no "nowhere"; the entry is served without it, as in LiteLLM`) || strings.Contains(text, "planted") {
		t.Errorf("said %s", text)
	}
	_, url := gateway(t, c)
	for model, want := range map[string][2]string{"plain": {"planted-mine", "org-all"}, "own": {"planted-own", "org-own"}, "absent": {"planted-mine", "org-all"}, "groq": {"planted-groq", ""}} {
		if resp, body := post(t, url+"/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"hi"}]}`); resp.StatusCode != 200 {
			t.Fatal(body)
		}
		if s := last(); s.key != want[0] || s.organization != want[1] || s.program != "mine/1" {
			t.Errorf("%s: %+v, want %v", model, s, want)
		}
	}
	if _, info := admin(t, "GET", url+"/model/info", ""); strings.Contains(info, "planted") {
		t.Errorf("a key is shown: %s", info)
	}
}
