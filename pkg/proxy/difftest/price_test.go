package difftest

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/llmgw/llmgw/internal/catalog"
)

// priced is a call with the rates that its model is given.
type priced struct {
	Rates      map[string]float64 `json:"rates"`
	Prompt     int64              `json:"prompt"`
	Cached     int64              `json:"cached"`
	Written    int64              `json:"written"`
	AudioIn    int64              `json:"audio_in"`
	Completion int64              `json:"completion"`
	Reasoning  int64              `json:"reasoning"`
	AudioOut   int64              `json:"audio_out"`
}

// judge asks LiteLLM for the cost of each call on its standard input.
const judge = `
import json, sys, litellm
from litellm import ModelResponse, Usage, completion_cost
from litellm.types.utils import PromptTokensDetailsWrapper as P, CompletionTokensDetailsWrapper as C
out = []
for i, c in enumerate(json.load(sys.stdin)):
    name = f"priced-{i}"
    litellm.register_model({name: dict(c["rates"], litellm_provider="openai", mode="chat")})
    r = ModelResponse(model=name)
    r.usage = Usage(prompt_tokens=c["prompt"], completion_tokens=c["completion"], total_tokens=c["prompt"] + c["completion"],
        prompt_tokens_details=P(cached_tokens=c["cached"] or None, audio_tokens=c["audio_in"] or None, cache_creation_tokens=c["written"] or None),
        completion_tokens_details=C(reasoning_tokens=c["reasoning"] or None, audio_tokens=c["audio_out"] or None))
    out.append(completion_cost(completion_response=r, model=name, custom_llm_provider="openai"))
print("\n" + json.dumps(out))
`

// TestTheSameRatesGiveTheSameCost gives both sides random rates and usages: with
// and without rates for parts, below, at and above the border of a long prompt.
func TestTheSameRatesGiveTheSameCost(t *testing.T) {
	program := litellmProgram(t)
	random := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // repeatable on purpose
	pick := func(from ...int64) int64 { return from[random.IntN(len(from))] }
	optional := []string{
		"cache_read_input_token_cost", "cache_creation_input_token_cost", "output_cost_per_reasoning_token", "input_cost_per_audio_token", "output_cost_per_audio_token",
	}
	var calls []priced
	for range 300 {
		rate := func() float64 { return math.Round(random.Float64()*1e5) / 1e9 }
		c := priced{Rates: map[string]float64{"input_cost_per_token": rate(), "output_cost_per_token": rate()}, Prompt: pick(10, 1000, 200_000, 200_001, 300_000), Completion: pick(0, 7, 500)}
		for _, key := range optional {
			if random.IntN(2) == 0 {
				c.Rates[key] = rate()
			}
		}
		if random.IntN(2) == 0 {
			c.Rates["input_cost_per_token_above_200k_tokens"], c.Rates["output_cost_per_token_above_200k_tokens"] = rate(), rate()
		}
		c.Cached, c.Written, c.AudioIn = pick(0, c.Prompt/4), pick(0, c.Prompt/5), pick(0, c.Prompt/10)
		c.Reasoning, c.AudioOut = pick(0, c.Completion/3), pick(0, c.Completion/5)
		calls = append(calls, c)
	}
	input, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(program), "python"), "-c", judge)
	cmd.Env = append(os.Environ(), "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_LOG=ERROR")
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("LiteLLM: %v", err)
	}
	out = bytes.TrimSpace(out)
	var costs []float64
	if err := json.Unmarshal(out[bytes.LastIndexByte(out, '\n')+1:], &costs); err != nil || len(costs) != len(calls) {
		t.Fatalf("%d costs, %v", len(costs), err)
	}
	for i, c := range calls {
		var o catalog.Overrides
		for key, value := range c.Rates {
			o.Set(key, value)
		}
		price, _, _, _ := catalog.Model("openai/priced-by-the-test", "", o)
		got := price.Cost(catalog.Usage{
			Prompt: c.Prompt, CacheRead: c.Cached, CacheWrite: c.Written, AudioIn: c.AudioIn, Completion: c.Completion, Reasoning: c.Reasoning, AudioOut: c.AudioOut,
		}).Total
		if math.Abs(got-costs[i]) > 1e-9*math.Max(got, costs[i])+1e-15 {
			t.Errorf("%+v costs %g, in LiteLLM %g", c, got, costs[i])
		}
	}
}
