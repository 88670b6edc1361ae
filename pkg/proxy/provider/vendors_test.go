package provider

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// vendors are LiteLLM's rows: provider, default address, variable of the base,
// variables of the key in the order in which they are tried.
const vendors = `
openai https://api.openai.com/v1 OPENAI_BASE_URL OPENAI_API_KEY
groq https://api.groq.com/openai/v1 GROQ_API_BASE GROQ_API_KEY
mistral https://api.mistral.ai/v1 MISTRAL_API_BASE MISTRAL_AZURE_API_KEY,MISTRAL_API_KEY
deepseek https://api.deepseek.com/beta DEEPSEEK_API_BASE DEEPSEEK_API_KEY
together_ai https://api.together.xyz/v1 TOGETHER_AI_API_BASE TOGETHER_API_KEY,TOGETHER_AI_API_KEY,TOGETHERAI_API_KEY,TOGETHER_AI_TOKEN
fireworks_ai https://api.fireworks.ai/inference/v1 FIREWORKS_API_BASE FIREWORKS_API_KEY,FIREWORKS_AI_API_KEY,FIREWORKSAI_API_KEY,FIREWORKS_AI_TOKEN
openrouter https://openrouter.ai/api/v1 OPENROUTER_API_BASE OPENROUTER_API_KEY
xai https://api.x.ai/v1 XAI_API_BASE XAI_API_KEY
perplexity https://api.perplexity.ai PERPLEXITY_API_BASE PERPLEXITYAI_API_KEY,PERPLEXITY_API_KEY
deepinfra https://api.deepinfra.com/v1/openai DEEPINFRA_API_BASE DEEPINFRA_API_KEY
cerebras https://api.cerebras.ai/v1 CEREBRAS_API_BASE CEREBRAS_API_KEY
nvidia_nim https://integrate.api.nvidia.com/v1 NVIDIA_NIM_API_BASE NVIDIA_NIM_API_KEY
ollama http://localhost:11434/v1 OLLAMA_API_BASE OLLAMA_API_KEY
sambanova https://api.sambanova.ai/v1 SAMBANOVA_API_BASE SAMBANOVA_API_KEY
moonshot https://api.moonshot.ai/v1 MOONSHOT_API_BASE MOONSHOT_API_KEY
dashscope https://dashscope-intl.aliyuncs.com/compatible-mode/v1 DASHSCOPE_API_BASE DASHSCOPE_API_KEY
zai https://api.z.ai/api/paas/v4 ZAI_API_BASE ZAI_API_KEY
minimax https://api.minimax.io/v1 MINIMAX_API_BASE MINIMAX_API_KEY
volcengine https://ark.cn-beijing.volces.com/api/v3 VOLCENGINE_API_BASE VOLCENGINE_API_KEY
meta_llama https://api.llama.com/compat/v1 LLAMA_API_BASE LLAMA_API_KEY
nebius https://api.studio.nebius.ai/v1 NEBIUS_API_BASE NEBIUS_API_KEY
novita https://api.novita.ai/v3/openai NOVITA_API_BASE NOVITA_API_KEY
friendliai https://api.friendli.ai/serverless/v1 FRIENDLI_API_BASE FRIENDLIAI_API_KEY,FRIENDLI_TOKEN
github https://models.inference.ai.azure.com GITHUB_API_BASE GITHUB_API_KEY
wandb https://api.inference.wandb.ai/v1 WANDB_API_BASE WANDB_API_KEY
codestral https://codestral.mistral.ai/v1 CODESTRAL_API_BASE CODESTRAL_API_KEY
hosted_vllm - HOSTED_VLLM_API_BASE HOSTED_VLLM_API_KEY
lm_studio - LM_STUDIO_API_BASE LM_STUDIO_API_KEY
litellm_proxy - LITELLM_PROXY_API_BASE LITELLM_PROXY_API_KEY
xinference - XINFERENCE_API_BASE XINFERENCE_API_KEY
vercel_ai_gateway https://ai-gateway.vercel.sh/v1 - VERCEL_AI_GATEWAY_API_KEY
empower https://app.empower.dev/api/v1 EMPOWER_API_BASE EMPOWER_API_KEY
featherless_ai https://api.featherless.ai/v1 FEATHERLESS_API_BASE FEATHERLESS_AI_API_KEY,FEATHERLESS_API_KEY
nscale https://inference.api.nscale.com/v1 NSCALE_API_BASE NSCALE_API_KEY
lambda_ai https://api.lambda.ai/v1 LAMBDA_API_BASE LAMBDA_API_KEY
hyperbolic https://api.hyperbolic.xyz/v1 - HYPERBOLIC_API_KEY
v0 https://api.v0.dev/v1 - V0_API_KEY
publicai https://api.publicai.co/v1 PUBLICAI_API_BASE PUBLICAI_API_KEY
veniceai https://api.venice.ai/api/v1 - VENICE_AI_API_KEY
scaleway https://api.scaleway.ai/v1 - SCW_SECRET_KEY
poe https://api.poe.com/v1 - POE_API_KEY
sarvam https://api.sarvam.ai/v1 - SARVAM_API_KEY
aihubmix https://aihubmix.com/v1 AIHUBMIX_API_BASE AIHUBMIX_API_KEY
`

func TestEveryVendorIsCalledAsItsRowSays(t *testing.T) {
	deploy := func(e Entry, env map[string]string) (*call.Deployment, error) {
		e.Getenv = func(name string) string { return env[name] }
		d := &call.Deployment{ID: "d", Group: "g"}
		return d, e.Deploy(d, wire.Chat)
	}
	n := 0
	for line := range strings.Lines(vendors) {
		f := strings.Fields(line)
		if len(f) != 4 {
			continue
		}
		n++
		name, base, baseVar, keys := f[0], f[1], f[2], strings.Split(f[3], ",")
		if base == "-" {
			if _, err := deploy(Entry{Model: name + "/m", APIKey: redact.New("k")}, nil); err == nil {
				t.Errorf("%s has no address of its own and is deployed without one", name)
			}
			base = "http://127.0.0.1:1/v1"
		}
		// Each variable of the key works alone; the first that is set wins.
		all := map[string]string{}
		if baseVar != "-" {
			all[baseVar] = base
		}
		for i := len(keys) - 1; i >= 0; i-- {
			all[keys[i]] = "key-of-" + keys[i]
			d, err := deploy(Entry{Model: name + "/m/x"}, all)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			target := d.Lane.(wire.Lane).Target()
			if want := base + "/chat/completions"; target.URL.String() != want {
				t.Errorf("%s goes to %s, want %s", name, target.URL, want)
			}
			if got := target.Header.Get("Authorization"); got != "Bearer key-of-"+keys[i] {
				t.Errorf("%s with %s: %q", name, keys[i], got)
			}
			if d.Provider != name || d.Model != "m/x" {
				t.Errorf("%s is %s, %s", name, d.Provider, d.Model)
			}
		}
		if baseVar != "-" {
			d, err := deploy(Entry{Model: name + "/m"}, map[string]string{baseVar: "https://own.example/v1", keys[0]: "k"})
			if err != nil || d.Lane.(wire.Lane).Target().URL.String() != "https://own.example/v1/chat/completions" {
				t.Errorf("%s with %s: %v %+v", name, baseVar, err, d)
			}
		}
		d, err := deploy(Entry{Model: name + "/m", APIBase: "https://entry.example/v1", APIKey: redact.New("entry-key")}, all)
		if err != nil || d.Lane.(wire.Lane).Target().URL.Host != "entry.example" || d.Lane.(wire.Lane).Target().Header.Get("Authorization") != "Bearer entry-key" {
			t.Errorf("%s: the entry's own address and key: %v", name, err)
		}
	}
	if n < 43 {
		t.Errorf("%d rows", n)
	}
	d, err := deploy(Entry{Model: "sarvam/m"}, map[string]string{"SARVAM_API_KEY": "k"})
	if err != nil || d.Lane.(wire.Lane).Target().Header.Get("Api-Subscription-Key") != "k" {
		t.Errorf("sarvam's own header: %v %v", err, d.Lane.(wire.Lane).Target().Header)
	}
}

// TestAVendorOfTheOperatorsOwn goes the whole way of a --providers file.
func TestAVendorOfTheOperatorsOwn(t *testing.T) {
	var got struct {
		header http.Header
		body   string
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got.header, got.body = r.Header.Clone(), string(b)
	}))
	defer up.Close()
	list, err := catalog.ReadProviders([]byte(`{"acme": {"base_url": "` + up.URL + `/v1", "api_key_env": "ACME_KEY", "param_mappings": {"max_completion_tokens": "max_tokens"}, "headers": {"x-acme-key": "{api_key}"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	catalog.UseProviders(list)
	defer catalog.UseProviders(nil)
	d := &call.Deployment{}
	e := Entry{Model: "acme/big", Getenv: func(name string) string { return map[string]string{"ACME_KEY": "k1"}[name] }}
	if err := e.AddParam("max_completion_tokens", 9); err != nil {
		t.Fatal(err)
	}
	if err := e.Deploy(d, wire.Chat); err != nil {
		t.Fatal(err)
	}
	lane := d.Lane.(wire.Lane)
	for body, want := range map[string]string{
		`{"model":"x","messages":[],"max_completion_tokens":5}`:                `{"model":"big","messages":[],"max_tokens":5}`,
		`{"model":"x","messages":[],"max_completion_tokens":5,"max_tokens":7}`: `{"model":"big","messages":[],"max_tokens":5}`,
		`{"model":"x","messages":[],"max_tokens":5}`:                           `{"model":"big","messages":[],"max_tokens":5}`,
		`{"model":"x","messages":[]}`:                                          `{"model":"big","messages":[],"max_tokens":9}`,
	} {
		var q splice.Request
		if err := q.Scan([]byte(body)); err != nil {
			t.Fatal(err)
		}
		x := lane.Open(wire.Options{Request: &q, Model: d.Model})
		out, err := x.AppendRequest(nil)
		x.Close()
		if err != nil || string(out) != want || !json.Valid(out) {
			t.Errorf("%s becomes %s (%v), want %s", body, out, err, want)
		}
		req, _ := http.NewRequest("POST", lane.Target().URL.String(), strings.NewReader(string(out)))
		req.Header = lane.Target().Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got.body != want || got.header.Get("X-Acme-Key") != "k1" {
			t.Errorf("upstream: %s %v", got.body, got.header)
		}
	}
}
