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
