package provider

import (
	"testing"

	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

func TestVendorsGetTheirOwnForm(t *testing.T) {
	const chat = `{"model":"g","messages":[{"role":"developer","content":"x"}],"max_completion_tokens":5}`
	for _, tt := range []struct {
		name, yaml string
		op         wire.Op
		body       string
		url, want  string
	}{
		{"Fireworks", "{model: fireworks_ai/llama, api_key: k}", wire.Chat, chat, "https://api.fireworks.ai/inference/v1/chat/completions", `{"model":"accounts/fireworks/models/llama","messages":[{"role":"system","content":"x"}],"max_tokens":5}`},
		{"Fireworks, text", "{model: fireworks_ai/llama, api_key: k}", wire.Completions, `{"model":"g"}`, "https://api.fireworks.ai/inference/v1/completions", `{"model":"accounts/fireworks/models/llama"}`},
		{"Fireworks, embeddings", "{model: fireworks_ai/nomic, api_key: k}", wire.Embeddings, `{"model":"g"}`, "https://api.fireworks.ai/inference/v1/embeddings", `{"model":"nomic"}`},
		{"Perplexity", "{model: perplexity/sonar, api_key: k}", wire.Chat, `{"model":"g"}`, "https://api.perplexity.ai/chat/completions", `{"model":"sonar"}`},
		{"Perplexity, embeddings", "{model: perplexity/e, api_key: k}", wire.Embeddings, `{"model":"g"}`, "https://api.perplexity.ai/v1/embeddings", `{"model":"e"}`},
		{"Perplexity, embeddings below a base", "{model: perplexity/e, api_key: k, api_base: 'https://p.example/v1'}", wire.Embeddings, `{"model":"g"}`, "https://p.example/v1/embeddings", `{"model":"e"}`},
		{"DataRobot", "{model: datarobot/d, api_key: k}", wire.Chat, `{"model":"g"}`, "https://app.datarobot.com/api/v2/genai/llmgw/chat/completions/", `{"model":"d"}`},
		{"MiniMax", "{model: minimax/m, api_key: k, api_base: 'https://m.example'}", wire.Chat, `{"model":"g"}`, "https://m.example/v1/chat/completions", `{"model":"m"}`},
		{"OpenAI knows developers", "{model: openai/gpt-4o, api_key: k}", wire.Chat, chat, "https://api.openai.com/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"developer","content":"x"}],"max_completion_tokens":5}`},
		{"OpenRouter", "{model: openrouter/o, api_key: k}", wire.Chat, chat, "https://openrouter.ai/api/v1/chat/completions", `{"model":"o","messages":[{"role":"system","content":"x"}],"max_completion_tokens":5}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := deploy(t, tt.yaml, nil)
			lane, err := d.Lanes.(wire.Lanes).Lane(tt.op)
			if err != nil {
				t.Fatal(err)
			}
			if got := lane.Target().URL.String(); got != tt.url {
				t.Errorf("called %s, want %s", got, tt.url)
			}
			var r splice.Request
			if err := r.Scan([]byte(tt.body)); err != nil {
				t.Fatal(err)
			}
			x := lane.Open(wire.Options{Request: &r})
			defer x.Close()
			if got, err := x.AppendRequest(nil); err != nil || string(got) != tt.want {
				t.Errorf("sent %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestFireworksNames(t *testing.T) {
	for model, want := range map[string]string{
		"accounts/mine/models/m": "accounts/mine/models/m", "FW-Kimi": "FW-Kimi", "accounts/a/models/m#accounts/a/deployments/d": "accounts/a/models/m#accounts/a/deployments/d", "m#d": "m#d",
		"models/m": "accounts/fireworks/models/m", "routers/r": "accounts/fireworks/routers/r", "glm-fast": "accounts/fireworks/routers/glm-fast",
		"auto": "accounts/fireworks/routers/auto", "firerouter/x": "accounts/fireworks/routers/firerouter/x", "llama-v3p1-8b-instruct": "accounts/fireworks/models/llama-v3p1-8b-instruct",
	} {
		if got := fireworksName(model); got != want {
			t.Errorf("%s: %s, want %s", model, got, want)
		}
	}
}
