package account

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func priced(t testing.TB, base, provider, model string, rates map[string]string) *call.Deployment {
	t.Helper()
	p := Prices{BaseModel: base}
	for key, value := range rates {
		if !p.Overrides.Set(key, value) {
			t.Fatalf("rate %s is not taken", key)
		}
	}
	return &call.Deployment{Provider: provider, Model: model, Price: p.Lookup(provider, model)}
}

func TestACallCostsWhatItsPriceSays(t *testing.T) {
	known := func(u call.Usage) call.Usage { u.Known = true; return u }
	own := map[string]string{"input_cost_per_token": "1e-3", "output_cost_per_token": "0.002", "cache_read_input_token_cost": "0.0001", "output_cost_per_reasoning_token": "0.01"}
	for _, tt := range []struct {
		name  string
		d     *call.Deployment
		usage call.Usage
		want  float64
		none  bool
	}{
		{name: "by the price list", d: priced(t, "", "openai", "gpt-4o-mini", nil), usage: known(call.Usage{PromptTokens: 17, CompletionTokens: 16}), want: 17*0.15e-6 + 16*0.6e-6},
		{name: "by the base model of an Azure deployment", d: priced(t, "azure/gpt-4o-mini", "azure", "my-deployment", nil), usage: known(call.Usage{PromptTokens: 1000}), want: 0.15e-3},
		{name: "by the rates of the configuration", d: priced(t, "", "openai", "gpt-4o-mini", own), usage: known(call.Usage{PromptTokens: 100, CachedTokens: 40, CompletionTokens: 10, ReasoningTokens: 4}), want: 60*1e-3 + 40*1e-4 + 6*0.002 + 4*0.01},
		{name: "an embedding has no answer", d: priced(t, "", "openai", "text-embedding-3-small", nil), usage: known(call.Usage{PromptTokens: 1000000}), want: 0.02},
		{name: "an image by the piece", d: priced(t, "", "openai", "dall-e", map[string]string{"output_cost_per_image": "0.04"}), usage: known(call.Usage{Images: 3}), want: 0.12},
		{name: "speech by the character", d: priced(t, "", "openai", "tts", map[string]string{"input_cost_per_character": "1.5e-5"}), usage: known(call.Usage{Characters: 1000}), want: 0.015},
		{name: "a transcript by the second", d: priced(t, "", "openai", "whisper", map[string]string{"input_cost_per_second": "0.0001"}), usage: known(call.Usage{Seconds: 12.5}), want: 0.00125},
		{name: "a reranking by the query", d: priced(t, "", "cohere", "rerank", map[string]string{"input_cost_per_query": "0.002"}), usage: known(call.Usage{Queries: 2}), want: 0.004},
		{name: "nothing where no price is known", d: priced(t, "", "openai", "house-model", nil), usage: known(call.Usage{PromptTokens: 5}), none: true},
		{name: "nothing before usage is known", d: priced(t, "", "openai", "gpt-4o-mini", nil), none: true},
		{name: "nothing without a deployment", usage: known(call.Usage{PromptTokens: 5}), none: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := call.Call{Deployment: tt.d, Usage: tt.usage}
			Charge(&c)
			if c.Cost.Known == tt.none || math.Abs(c.Cost.Total-tt.want) > 1e-12 {
				t.Errorf("cost %+v, want %g", c.Cost, tt.want)
			}
		})
	}
}

func TestAnAnswerOfTheCacheIsFree(t *testing.T) {
	c := call.Call{Deployment: priced(t, "", "openai", "gpt-4o-mini", nil), Cached: true, Usage: call.Usage{PromptTokens: 5, Known: true}}
	Charge(&c)
	if !c.Cost.Known || c.Cost.Total != 0 {
		t.Errorf("cost %+v", c.Cost)
	}
}

func TestAWildcardIsChargedByTheNameItStandsFor(t *testing.T) {
	configured := priced(t, "", "openai", "*", nil)
	for _, name := range []string{"gpt-4o-mini", "gpt-4o"} {
		d := *configured
		d.Model = name
		want, _, _, _ := catalog.Model("openai/"+name, "", catalog.Overrides{})
		for range 2 {
			c := call.Call{Deployment: &d, Usage: call.Usage{PromptTokens: 1000, Known: true}}
			Charge(&c)
			if c.Cost.Total != 1000*want.Input.Base || c.Cost.Total == 0 {
				t.Errorf("%s costs %g", name, c.Cost.Total)
			}
		}
	}
}

func TestNamesThatClientsInventFillNoMemory(t *testing.T) {
	d := priced(t, "", "openai", "*", map[string]string{"input_cost_per_token": "1"})
	name := func(i int) string { return "m" + strconv.Itoa(i) }
	first := d.Price(name(0))
	for i := range maxPriced {
		if d.Price(name(i)) == nil {
			t.Fatal("no price")
		}
	}
	if d.Price(name(0)) != first {
		t.Error("the price of an early name was not kept")
	}
	late := d.Price(name(maxPriced))
	if again := d.Price(name(maxPriced)); late == nil || again == nil || late == again {
		t.Error("a name beyond the bound was kept, or has no price")
	}
}

func TestAStreamThatEndsEarlyIsCounted(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name string
		c    call.Call
		want int64
	}{
		{"what was sent counts", call.Call{FirstByte: now, PromptBytes: 400, AnswerBytes: 41}, 111},
		{"a report is better than an estimate", call.Call{FirstByte: now, PromptBytes: 400, AnswerBytes: 40, Usage: call.Usage{TotalTokens: 7, Known: true}}, 7},
		{"a call that never had an answer counts nothing", call.Call{PromptBytes: 400}, 0},
		{"an answer without a word counts nothing", call.Call{FirstByte: now, PromptBytes: 400}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			Estimate(&tt.c)
			if tt.c.Usage.TotalTokens != tt.want || tt.c.Usage.Estimated && !tt.c.Usage.Known {
				t.Errorf("usage %+v, want %d tokens", tt.c.Usage, tt.want)
			}
		})
	}
}

func TestChargingAllocatesNothing(t *testing.T) {
	c := call.Call{Deployment: priced(t, "", "openai", "gpt-4o-mini", nil), Usage: call.Usage{PromptTokens: 100, CompletionTokens: 10, Known: true}}
	if n := testing.AllocsPerRun(100, func() { Charge(&c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCharge(b *testing.B) {
	c := call.Call{Deployment: priced(b, "", "openai", "gpt-4o-mini", nil), Usage: call.Usage{PromptTokens: 100, CompletionTokens: 10, CachedTokens: 20, Known: true}}
	for b.Loop() {
		Charge(&c)
	}
}
