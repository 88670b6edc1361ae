package catalog

import (
	"math"
	"strings"
	"testing"
	"time"
)

var day = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)

// dollars per million tokens, as price pages say it
func perMillion(r Rate) float64 { return math.Round(r.Base*1e12) / 1e6 }

func TestModelsAreFoundByTheNamesPeopleWrite(t *testing.T) {
	for _, c := range []struct {
		name, base string
		vendor, id string
		in, out    float64
		context    int64
	}{
		{"openai/gpt-4o", "", "openai", "gpt-4o", 2.5, 10, 128000},
		{"gpt-4o-mini", "", "openai", "gpt-4o-mini", 0.15, 0.6, 128000},
		{"openai/GPT-4o-2024-08-06", "", "openai", "gpt-4o", 2.5, 10, 128000},
		{"azure/my-deployment", "azure/gpt-4o", "openai", "gpt-4o", 2.5, 10, 128000},
		{"azure/my-deployment", "gpt-4o", "openai", "gpt-4o", 2.5, 10, 128000},
		{"azure/my-deployment", "", "", "", 0, 0, 0},
		{"anthropic/claude-sonnet-4-5-20250929", "", "anthropic", "claude-sonnet-4-5", 3, 15, 200000},
		{"anthropic/claude-sonnet-4-6", "", "anthropic", "claude-sonnet-4-6", 3, 15, 1000000},
		{"groq/llama-3.3-70b-versatile", "", "groq", "llama-3.3-70b-versatile", 0.59, 0.79, 0},
		{"openai/ft:gpt-4o-mini-2024-07-18:org::id", "", "openai", "ft:gpt-4o-mini", 0.3, 1.2, 0},
		{"openai/ft:gpt-3.5-turbo-0125:org::id", "", "openai", "ft:gpt-3.5-turbo-", 3, 6, 0},
		{"azure/d", "azure/eu/gpt-4o", "openai", "gpt-4o", 2.5, 10, 128000},
		{"text-embedding-3-small", "", "openai", "text-embedding-3-small", 0.02, 0, 8192},
		{"hosted_vllm/anything", "", "", "", 0, 0, 0},
		{"nonsense", "", "", "", 0, 0, 0},
		{"", "", "", "", 0, 0, 0},
	} {
		p, l, _, src := modelAt(c.name, c.base, Overrides{}, day)
		if src.Vendor != c.vendor || src.ID != c.id || perMillion(p.Input) != c.in || perMillion(p.Output) != c.out || l.Input != c.context {
			t.Errorf("%s (%s): %s %s, %v in, %v out, %d context; want %s %s, %v, %v, %d", c.name, c.base,
				src.Vendor, src.ID, perMillion(p.Input), perMillion(p.Output), l.Input, c.vendor, c.id, c.in, c.out, c.context)
		}
		if src.Known() != (c.vendor != "") {
			t.Errorf("%s: known %t", c.name, src.Known())
		}
	}
	for _, name := range []string{"bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock/converse/anthropic.claude-3-haiku-20240307-v1:0", "bedrock/us-east-1/amazon.nova-pro-v1:0", "gemini/gemini-2.5-flash", "vertex_ai/gemini-2.5-pro", "mistral/mistral-large-latest", "deepseek/deepseek-chat", "openrouter/openai/gpt-4o", "xai/grok-4", "perplexity/sonar", "cohere/command-r-plus", "vertex_ai/claude-sonnet-4-5@20250929"} {
		if p, _, _, src := Model(name, "", Overrides{}); !src.Known() || p.Input.Base <= 0 {
			t.Errorf("%s: no price (%+v)", name, src)
		}
	}
}

func TestPricesChangeOnTheirDay(t *testing.T) {
	before, _, _, _ := modelAt("anthropic/claude-sonnet-4-6", "", Overrides{}, time.Date(2026, 3, 12, 23, 59, 0, 0, time.UTC))
	after, _, _, _ := modelAt("anthropic/claude-sonnet-4-6", "", Overrides{}, time.Date(2026, 3, 13, 0, 0, 0, 0, time.UTC))
	if len(before.Input.Tiers) != 1 || len(after.Input.Tiers) != 0 {
		t.Errorf("tiers before %v, after %v", before.Input.Tiers, after.Input.Tiers)
	}
}

func TestTheConfigurationsNumbersWin(t *testing.T) {
	var o Overrides
	for key, value := range map[string]any{
		"input_cost_per_token": "3e-7", "output_cost_per_token": 0, "cache_creation_input_token_cost_above_1hr": 1e-6,
		"output_cost_per_token_above_200k_tokens": 5e-6, "max_input_tokens": 1000, "max_tokens": 7, "max_output_tokens": "9",
		"supports_vision": false, "mode": "responses",
	} {
		if !o.Set(key, value) {
			t.Errorf("%s is not taken", key)
		}
	}
	for key, value := range map[string]any{"input_cost_per_token": "free", "output_cost_per_token": -1.0, "api_key": "x", "max_input_tokens": math.Inf(1), "supports_vision": "yes", "input_cost_per_token_above_k_tokens": 1, "mode": 3} {
		if o.Set(key, value) {
			t.Errorf("%s: %v is taken", key, value)
		}
	}
	p, l, caps, src := Model("anthropic/claude-sonnet-4-5", "", o)
	if p.Input.Base != 3e-7 || len(p.Input.Tiers) != 0 {
		t.Errorf("input %+v: the list's tiers must not survive a configured price", p.Input)
	}
	below, _ := p.Output.of(200_000)
	above, _ := p.Output.of(200_001)
	if !p.Output.Set || p.Output.Base != 0 || below != 0 || above != 5e-6 {
		t.Errorf("output %+v", p.Output)
	}
	if p.CacheWrite1h.Base != 1e-6 || p.CacheRead.Base == 0 {
		t.Errorf("cache write %+v, read %+v", p.CacheWrite1h, p.CacheRead)
	}
	if l.Input != 1000 || l.Output != 9 || caps.Vision || caps.Mode != "responses" || !caps.Tools || !src.Config || src.Vendor != "anthropic" {
		t.Errorf("%+v %+v %+v", l, caps, src)
	}
	if _, _, _, src := Model("hosted_vllm/x", "", Overrides{}); src.Known() {
		t.Errorf("a model nobody knows: %+v", src)
	}
}

func TestAListOfTheOperatorsIsAskedFirst(t *testing.T) {
	m, err := ParseCostMap([]byte(`{"sample_spec": {}, "openai/gpt-4o": {"input_cost_per_token": 1e-3, "output_cost_per_token": "2e-3", "max_input_tokens": 7, "max_output_tokens": 8, "supports_vision": false, "mode": "chat", "litellm_provider": "openai"},
		"private": {"input_cost_per_token": 5, "input_cost_per_token_above_200k_tokens": 6}, "broken": 3}`))
	if err != nil || len(m.entries) != 3 {
		t.Fatalf("%v, %v", m, err)
	}
	UseCostMap(m)
	defer UseCostMap(nil)
	p, l, c, src := Model("gpt-4o", "", Overrides{Numbers: map[string]float64{"output_cost_per_token": 9}})
	if p.Input.Base != 1e-3 || p.Output.Base != 9 || l.Input != 7 || l.Output != 8 || c.Vision || !c.Tools || !src.Map || !src.Config || p.CacheRead.Set {
		t.Errorf("%+v %+v %+v %+v", p, l, c, src)
	}
	if p, _, _, src := Model("hosted_vllm/private", "", Overrides{}); p.Input.Base != 5 || len(p.Input.Tiers) != 1 || p.Input.Tiers[0] != (Tier{200_000, 6}) || !src.Known() {
		t.Errorf("%+v %+v", p, src)
	}
	if _, _, _, src := Model("hosted_vllm/broken", "", Overrides{}); src.Known() {
		t.Errorf("%+v", src)
	}
	if _, _, _, src := Model("openai/gpt-4o-mini", "", Overrides{}); src.Vendor != "openai" {
		t.Errorf("the embedded list is not asked: %+v", src)
	}
	for _, text := range []string{"", "[]", "{}", `{"sample_spec": {}}`, "{"} {
		if _, err := ParseCostMap([]byte(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func TestCost(t *testing.T) {
	rate := func(x float64) Rate { return Rate{Base: x, Set: true} }
	plain := Price{Input: rate(1), Output: rate(10)}
	full := Price{Input: rate(1), Output: rate(10), CacheRead: rate(0.1), CacheWrite: rate(1.25), CacheWrite1h: rate(2), Reasoning: rate(20), AudioIn: rate(5), AudioOut: rate(50)}
	tiers := Price{Input: Rate{Base: 1, Tiers: []Tier{{100, 2}, {200, 3}}, Set: true}, Output: Rate{Base: 10, Tiers: []Tier{{100, 20}}, Set: true}, CacheRead: rate(0.5)}
	for _, c := range []struct {
		name    string
		price   Price
		use     Usage
		in, out float64
	}{
		{"nothing used", full, Usage{}, 0, 0},
		{"text in and out", plain, Usage{Prompt: 100, Completion: 10}, 100, 100},
		{"cached tokens are part of the prompt", full, Usage{Prompt: 100, CacheRead: 60}, 40 + 6, 0},
		{"cache writes have their own rate", full, Usage{Prompt: 100, CacheRead: 10, CacheWrite: 50}, 40 + 1 + 62.5, 0},
		{"hour-long writes cost more", full, Usage{Prompt: 100, CacheWrite: 50, CacheWrite1h: 20}, 50 + 30*1.25 + 20*2, 0},
		{"without an hour rate they cost the usual", Price{CacheWrite: rate(3)}, Usage{Prompt: 50, CacheWrite: 50, CacheWrite1h: 20}, 150, 0},
		{"cached tokens without a rate are text", plain, Usage{Prompt: 100, CacheRead: 60, CacheWrite: 20, CacheWrite1h: 5}, 100, 0},
		{"cached tokens with a rate of nothing are free", Price{Input: rate(1), CacheRead: Rate{Set: true}}, Usage{Prompt: 100, CacheRead: 60}, 40, 0},
		{"parts beyond the total are cut", full, Usage{Prompt: 100, CacheRead: 80, AudioIn: 50}, 8 + 20*5, 0},
		{"sound without a rate is text", plain, Usage{Prompt: 100, AudioIn: 50}, 100, 0},
		{"reasoning has its own rate", full, Usage{Completion: 100, Reasoning: 40}, 0, 60*10 + 40*20},
		{"reasoning without a rate is text", plain, Usage{Completion: 100, Reasoning: 40}, 0, 1000},
		{"reported text counts", full, Usage{Completion: 100, Reasoning: 40, TextOut: 50}, 0, 50*10 + 40*20},
		{"spoken answers", full, Usage{Completion: 100, AudioOut: 30}, 0, 70*10 + 30*50},
		{"at the edge of a tier the base holds", tiers, Usage{Prompt: 100, Completion: 1}, 100, 10},
		{"above it the tier holds for all tokens", tiers, Usage{Prompt: 101, Completion: 1, CacheRead: 1}, 200 + 0.5, 20},
		{"the highest tier wins", tiers, Usage{Prompt: 201}, 603, 0},
		{"nonsense counts are nothing", full, Usage{Prompt: -5, CacheRead: -1, Completion: -7, Reasoning: 9}, 0, 0},
		{"seconds and calls", Price{Second: rate(0.5), Request: rate(7)}, Usage{Seconds: 4}, 9, 0},
	} {
		got := c.price.Cost(c.use)
		if math.Abs(got.Input-c.in) > 1e-9 || math.Abs(got.Output-c.out) > 1e-9 || got.Total != got.Input+got.Output {
			t.Errorf("%s: %+v, want %v in, %v out", c.name, got, c.in, c.out)
		}
	}
}

func TestCapabilitiesGoByTheName(t *testing.T) {
	for _, c := range []struct {
		name string
		mode string
		out  int64
		want Capabilities
	}{
		{"openai/gpt-4o", "chat", 16384, Capabilities{Mode: "chat", Tools: true, Vision: true, PDF: true, Schema: true}},
		{"bedrock/us.anthropic.claude-3-haiku-20240307-v1:0", "chat", 4096, Capabilities{Mode: "chat", Tools: true, Vision: true, Prefill: true}},
		{"openrouter/anthropic/claude-3.5-sonnet", "chat", 8192, Capabilities{Mode: "chat", Tools: true, Vision: true, PDF: true, Prefill: true}},
		{"openai/text-embedding-3-large", "embedding", 0, Capabilities{Mode: "embedding"}},
		{"openai/whisper-1", "audio_transcription", 0, Capabilities{Mode: "audio_transcription"}},
		{"cohere/rerank-v3.5", "rerank", 0, Capabilities{Mode: "rerank"}},
		{"hosted_vllm/some-model", "", 0, Capabilities{}},
	} {
		_, l, caps, _ := Model(c.name, "", Overrides{})
		if caps != c.want || l.Output != c.out {
			t.Errorf("%s: %+v, out %d", c.name, caps, l.Output)
		}
	}
	if _, _, caps, _ := Model("anthropic/claude-test-1", "", Overrides{}); !caps.Adaptive {
		t.Error("a Claude nobody knows is not adaptive")
	}
	if _, l, caps, _ := Model("azure/prod", "gpt-4.1", Overrides{}); !caps.Vision || l.Output != 32768 {
		t.Errorf("a base model decides what a deployment can do: %+v, %+v", caps, l)
	}
}

func TestThePriceListHoldsTogether(t *testing.T) {
	version, date := Embedded()
	if version == "" || !strings.Contains(Licence, version) || !strings.Contains(Licence, "MIT") {
		t.Errorf("version %q, licence %.80q", version, Licence)
	}
	if d, err := time.Parse(time.DateOnly, date); err != nil || d.After(time.Now()) {
		t.Errorf("date %q", date)
	}
	n, high := 0, 0
	for vendor, list := range embedded().byVendor {
		for _, m := range list {
			n++
			if len(m.match) == 0 {
				t.Errorf("%s %s matches nothing", vendor, m.id)
			}
			for i, v := range m.prices {
				if i > 0 && v.from <= m.prices[i-1].from {
					t.Errorf("%s %s: prices out of order", vendor, m.id)
				}
			}
			if p := m.at("9999"); p.Output.Base > 0.001 {
				high++
			}
		}
	}
	if n < 1500 || high > 5 {
		t.Errorf("%d models, %d of them dearer than 1000 dollars a million tokens", n, high)
	}
	if _, err := readModels([]byte("not gzip")); err == nil {
		t.Error("a broken list is read")
	}
}

func FuzzCostIsNeverNegativeNorMoreThanTheDearestRate(f *testing.F) {
	f.Add(int64(100), int64(60), int64(50), int64(20), int64(10), int64(30), int64(5))
	f.Fuzz(func(t *testing.T, prompt, read, write, write1h, audio, completion, reasoning int64) {
		lim := int64(1 << 40)
		if prompt > lim || completion > lim {
			return
		}
		one := Rate{Base: 1, Set: true}
		p := Price{Input: one, Output: one, CacheRead: one, CacheWrite: one, CacheWrite1h: one, AudioIn: one, Reasoning: one}
		c := p.Cost(Usage{Prompt: prompt, CacheRead: read, CacheWrite: write, CacheWrite1h: write1h, AudioIn: audio, Completion: completion, Reasoning: reasoning})
		if c.Input != float64(max(prompt, 0)) || c.Output != float64(max(completion, 0)) {
			t.Errorf("at one dollar a token %d in and %d out cost %+v", prompt, completion, c)
		}
	})
}

func FuzzReadPrice(f *testing.F) {
	f.Add("in=3:200000=6,out=15")
	f.Add("hour=0.36")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readPrice(text)
		if err == nil {
			p.Cost(Usage{Prompt: 10, Completion: 10})
		}
	})
}

func BenchmarkUnpackPriceList(b *testing.B) {
	for b.Loop() {
		if _, err := readModels([]byte(modelsGZ)); err != nil {
			b.Fatal(err)
		}
	}
}

func TestCostAllocatesNothing(t *testing.T) {
	p, _, _, _ := Model("openai/gpt-4o", "", Overrides{})
	u := Usage{Prompt: 1000, CacheRead: 100, Completion: 50, Reasoning: 10}
	if n := testing.AllocsPerRun(100, func() { p.Cost(u) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCost(b *testing.B) {
	p, _, _, _ := Model("openai/gpt-4o", "", Overrides{})
	u := Usage{Prompt: 1000, CacheRead: 100, Completion: 50, Reasoning: 10}
	for b.Loop() {
		p.Cost(u)
	}
}

func BenchmarkModel(b *testing.B) {
	for _, name := range []string{"openai/gpt-4o", "groq/llama-3.1-8b-instant", "openai/nobody-knows-this-one"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Model(name, "", Overrides{})
			}
		})
	}
}
