package api

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// TestBeginningsOfAPromptAreNamedAsInLiteLLM: the names were observed; two kinds
// of instances that share a Redis find each other's.
func TestBeginningsOfAPromptAreNamedAsInLiteLLM(t *testing.T) {
	const mark = `"cache_control":{"type":"ephemeral"}`
	body := `{"model":"m","messages":[{"role":"system","content":[{"type":"text","text":"Long Grüße \"q\" 😀 \\ <b>\n` + strings.Repeat("abcd ", 1200) + `",` + mark + `}]},
	{"content":"hi","role":"user"},
	{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
	{"role":"tool","tool_call_id":"c1","content":"42"},{"role":"tool","tool_call_id":"c2","content":"43"},
	{"role":"user","content":[{"type":"text","text":"one","n":1.5,"flag":true},{"text":"two","type":"text",` + mark + `},{"type":"text","text":"three"}]}]}`
	var q splice.Request
	if err := q.Scan([]byte(body)); err != nil {
		t.Fatal(err)
	}
	got := promptPrefixes(&q)
	want := []string{
		"ca1c7bd1aae32f3570a031e280e610cc48101a687b855cb8c10435044f345bb4",
		"28b100cfdf3b678f3638399ae515eede82c5e5c68100c21196816b070087c7fd",
		"fa2d6ac9d27b2e58a50a2b22af0f449ebcf214ba31b54a11378db75a027f0972",
		"5d9f525edbbaecbc2fa1d31fa5a8599fddce44993bdd1d15d2efec389323348d",
		"5e7e1203642dc31f4c3ab8d5552a4c66b642acbbf072be2e2a9511cbb8653a1b",
		"aa776849f62160b8fcdd5a41c0f644f92a56b0ae93bb13dc103a069733585c1b",
		"3922e1e51f56587d0af048a63af259edffe143dcd68f0f395d85315576e1edf7",
	}
	for i := range want {
		want[i] = "deployment:" + want[i] + ":prompt_caching"
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestPromptsThatNoProviderKeepsHaveNoNames(t *testing.T) {
	long := strings.Repeat("abcd ", 1200)
	for name, body := range map[string]string{
		"no mark":          `{"messages":[{"role":"user","content":"` + long + `"}]}`,
		"too short":        `{"messages":[{"role":"user","content":"x","cache_control":{"type":"ephemeral"}}]}`,
		"another mark":     `{"messages":[{"role":"user","content":"` + long + `","cache_control":{"type":"other"}}]}`,
		"no list":          `{"messages":{"cache_control":"` + long + `"}}`,
		"no messages":      `{"input":"cache_control"}`,
		"a list of texts":  `{"messages":["` + long + `","\"cache_control\""]}`,
		"a mark as a text": `{"messages":[{"role":"user","content":"` + long + ` \"cache_control\""}]}`,
	} {
		var q splice.Request
		if err := q.Scan([]byte(body)); err != nil {
			t.Fatal(name, err)
		}
		if got := promptPrefixes(&q); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestASessionIsWhatAHeaderOrTheMetadataSays(t *testing.T) {
	for _, tt := range []struct {
		name, body, want string
		header           []string
	}{
		{"nothing", `{}`, "", nil},
		{"metadata", `{"metadata":{"session_id":"m"}}`, "m", nil},
		{"a number", `{"metadata":{"session_id":7}}`, "7", nil},
		{"LiteLLM's metadata first", `{"metadata":{"session_id":"m"},"litellm_metadata":{"session_id":"l"}}`, "l", nil},
		{"the body's own member does not count", `{"litellm_session_id":"b"}`, "", nil},
		{"a header above all", `{"metadata":{"session_id":"m"}}`, "h", []string{"X-Litellm-Session-Id", "h"}},
		{"the trace above the session", `{}`, "t", []string{"X-Litellm-Session-Id", "h", "X-Litellm-Trace-Id", "t"}},
		{"a vendor's header", `{}`, "e96634a3-fa28", []string{"X-Claude-Code-Session-Id", "e96634a3-fa28"}},
		{"a vendor's header that is no id", `{}`, "", []string{"X-Claude-Code-Session-Id", "short"}},
		{"a header without a vendor", `{}`, "12345678", []string{"X-Session-Id", "12345678"}},
	} {
		var q splice.Request
		if err := q.Scan([]byte(tt.body)); err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		for i := 0; i+1 < len(tt.header); i += 2 {
			h.Set(tt.header[i], tt.header[i+1])
		}
		if got := sessionOf(&q, h); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzResponseIDs(f *testing.F) {
	f.Add("resp_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVyOm9wZW5haTttb2RlbF9pZDpBO3Jlc3BvbnNlX2lkOnJlc3BfdXAxOTEwMQ==", "openai", "A", "resp_up19101")
	f.Fuzz(func(t *testing.T, sealed, provider, deployment, id string) {
		openResponseID(sealed)
		if strings.Contains(provider+deployment, ";") || id == "" {
			return
		}
		gotID, gotDeployment, ok := openResponseID(sealResponseID(provider, deployment, id))
		if !ok || gotID != id || gotDeployment != deployment {
			t.Errorf("%q %q became %q %q %v", deployment, id, gotDeployment, gotID, ok)
		}
	})
}

func TestResponseIDsAreLiteLLMs(t *testing.T) {
	const sealed = "resp_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVyOm9wZW5haTttb2RlbF9pZDpBO3Jlc3BvbnNlX2lkOnJlc3BfdXAxOTEwMQ=="
	if got := sealResponseID("openai", "A", "resp_up19101"); got != sealed {
		t.Errorf("sealed %s", got)
	}
	if id, d, ok := openResponseID(sealed); !ok || id != "resp_up19101" || d != "A" {
		t.Errorf("opened %q %q %v", id, d, ok)
	}
	for _, s := range []string{"", "resp_abc", "resp_bGl0ZWxsbTpj!", "bGl0ZWxsbTpj", "resp_" + base64.StdEncoding.EncodeToString([]byte("litellm:custom_llm_provider:x")), "resp_" + base64.StdEncoding.EncodeToString([]byte("litellm:custom;model_id:x;response_id:"))} {
		if id, d, ok := openResponseID(s); ok {
			t.Errorf("%q opened as %q %q", s, id, d)
		}
	}
}
