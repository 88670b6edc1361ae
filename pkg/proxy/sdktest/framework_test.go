package sdktest

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/testenv"
)

// The Vercel AI SDK and LangChain parse what they get with schemas of their
// own, stricter than OpenAI's SDK.
func TestFrameworks(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: runs programs in Python and JavaScript, which are installed the first time; leave -short out for it")
	}
	node, npm := testenv.Need(t, "node"), testenv.Need(t, "npm")
	dir := installed(t, "frameworks-node", []string{"testdata/frameworks/package.json", "testdata/frameworks/scenarios.mjs", "testdata/frameworks/endpoints.mjs"},
		"node_modules/ai/package.json", "npm install with access to a package registry",
		func(dir string) error {
			return run(dir, npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
		})
	u := &upstream{t: t, gone: make(chan struct{}, 2)}
	got := scenarios(t, gateway(t, u), node, filepath.Join(dir, "scenarios.mjs"))
	for _, p := range []string{"openai", "compatible"} {
		const answer = `{"text":"Hello","finish":"stop","usage":{"in":8,"out":2,"total":10},"model":"fast"}`
		expect(t, got, p+"Generate", answer)
		expect(t, got, p+"Stream", answer)
		expect(t, got, p+"Tools", `{"text":"It is sunny.","cities":["Köln","Rom"]}`)
		expect(t, got, p+"Unicode", `"Grüße, 世界 👋"`)
		expect(t, got, p+"Retried", `"second try"`)
		expect(t, got, p+"Aborted", `true`)
		failed(t, got, p+"RateLimit", "AI_APICallError", 429, "Rate limit reached")
		var f struct{ Text, Error string }
		if err := json.Unmarshal(got[p+"Fault"], &f); err != nil || f.Text != "Hel" || !strings.Contains(f.Error, "overloaded") {
			t.Errorf("%sFault: %v: %s", p, err, got[p+"Fault"])
		}
	}
	expect(t, got, "langchainInvoke", `{"text":"Hello","usage":10,"model":"fast"}`)
	expect(t, got, "langchainStream", `{"text":"Hello","usage":10,"finish":"stop"}`)
	expect(t, got, "langchainTools", `[["weather","Köln","call_1"],["weather","Rom","call_2"]]`)
	failed(t, got, "langchainRateLimit", "", 429, "Rate limit reached")
	u.left(t)
	u.left(t)
	got = scenarios(t, gateway(t, &upstream{t: t, others: everything(t)}), node, filepath.Join(dir, "endpoints.mjs"))
	for name, want := range map[string]string{
		"openaiObject": `{"city":"Köln"}`, "compatibleObject": `{"city":"Köln"}`, "openaiCompletion": `true`, "compatibleCompletion": `true`,
		"openaiResponses": `{"text":true,"model":"fast","used":true}`, "openaiResponsesStream": `{"text":true,"finish":"stop"}`,
		"openaiEmbed": `2`, "compatibleEmbed": `2`, "openaiImage": `"image/png"`, "compatibleImage": `"image/png"`,
		"openaiSpeech": `true`, "openaiTranscribe": `"5 bytes of sound"`,
		"langchainStructured": `{"city":"Köln"}`, "langchainResponses": `true`, "langchainCompletion": `true`, "langchainEmbeddings": `[16,2]`,
	} {
		expect(t, got, name, want)
	}
}

// failed checks what a framework says of a refusal.
func failed(t *testing.T, got map[string]json.RawMessage, name, class string, status int, text string) {
	t.Helper()
	var f struct {
		Failed, Message string
		Status          int
	}
	if err := json.Unmarshal(got[name], &f); err != nil {
		t.Errorf("%s: %v: %s", name, err, got[name])
		return
	}
	if class != "" && f.Failed != class || f.Status != status || !strings.Contains(f.Message, text) {
		t.Errorf("%s: %s", name, got[name])
	}
}
