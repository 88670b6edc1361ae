package catalog

import (
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// testdata/costs.tsv holds what the emulated release charges for the same
// calls; tools/prices/costs.py writes it.
func TestCostsAreLiteLLMs(t *testing.T) {
	data, err := os.ReadFile("testdata/costs.tsv")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if line[0] == '#' || c[0] == "rates" {
			continue
		}
		n++
		var o Overrides
		for pair := range strings.SplitSeq(c[0], ",") {
			key, value, _ := strings.Cut(pair, "=")
			if !o.Set(key, value) {
				t.Fatalf("rate %s is not taken", pair)
			}
		}
		var u Usage
		fields := map[string]*int64{
			"prompt": &u.Prompt, "cached": &u.CacheRead, "written": &u.CacheWrite, "audio_in": &u.AudioIn,
			"completion": &u.Completion, "reasoning": &u.Reasoning, "audio_out": &u.AudioOut,
		}
		for pair := range strings.SplitSeq(c[1], ",") {
			if key, value, ok := strings.Cut(pair, "="); ok {
				if *fields[key], err = strconv.ParseInt(value, 10, 64); err != nil {
					t.Fatal(err)
				}
			}
		}
		price, _, _, _ := Model("nobody/knows", "", o)
		got := price.Cost(u)
		in, _ := strconv.ParseFloat(c[2], 64)
		out, _ := strconv.ParseFloat(c[3], 64)
		if math.Abs(got.Input-in) > 0.001 || math.Abs(got.Output-out) > 0.001 {
			t.Errorf("%s\n  for %s: %g and %g, LiteLLM charges %g and %g", c[1], c[0], got.Input, got.Output, in, out)
		}
	}
	if n < 250 {
		t.Errorf("only %d calls", n)
	}
}

func TestWhatIsPaidByThePieceHasAPrice(t *testing.T) {
	for _, tt := range []struct {
		model string
		used  Usage
		want  float64
		none  bool
	}{
		{model: "openai/tts-1", used: Usage{Characters: 1_000_000}, want: 15},
		{model: "openai/tts-1-hd-1106", used: Usage{Characters: 1000}, want: 0.03},
		{model: "azure/tts-1", used: Usage{Characters: 1000}, want: 0.015},
		{model: "openai/whisper-1", used: Usage{Seconds: 60}, want: 0.006},
		{model: "openai/dall-e-2", used: Usage{Images: 3, ImageSize: "256x256"}, want: 0.048},
		{model: "openai/dall-e-3", used: Usage{Images: 1}, want: 0.04},
		{model: "openai/dall-e-3", used: Usage{Images: 1, ImageQuality: "standard", ImageSize: "1024x1792"}, want: 0.08},
		{model: "openai/dall-e-3", used: Usage{Images: 1, ImageQuality: "hd", ImageSize: "1024x1024"}, want: 0.08},
		{model: "openai/dall-e-3", used: Usage{Images: 2, ImageQuality: "hd", ImageSize: "1792x1024"}, want: 0.24},
		{model: "cohere/rerank-v3.5", used: Usage{Queries: 5}, want: 0.01},
		{model: "azure_ai/rerank-v4.0-pro", used: Usage{Queries: 1}, want: 0.0025},
		{model: "openai/gpt-image-1", used: Usage{Prompt: 1_000_000, Images: 1}, want: 5},
		// Paid by tokens that the answer does not name: no price, not none to pay.
		{model: "openai/gpt-4o-mini-tts", used: Usage{Characters: 1000}, none: true},
		{model: "openai/gpt-image-1", used: Usage{Images: 1}, none: true},
	} {
		p, _, _, src := Model(tt.model, "", Overrides{})
		if !src.Known() || p.Covers(tt.used) == tt.none {
			t.Errorf("%s: known %t, covered %t", tt.model, src.Known(), p.Covers(tt.used))
		}
		if got := p.Cost(tt.used).Total; !tt.none && math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%s with %+v costs %v, want %v", tt.model, tt.used, got, tt.want)
		}
	}
	// The configuration's price is for every kind.
	var o Overrides
	o.Set("output_cost_per_image", 0.5)
	if p, _, _, _ := Model("openai/dall-e-3", "", o); p.Cost(Usage{Images: 1, ImageQuality: "hd"}).Total != 0.5 {
		t.Error("the list's price of a kind survives the configuration's price")
	}
}
