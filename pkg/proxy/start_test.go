package proxy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/config"
)

// BenchmarkStart is what a configuration costs before the first request: reading
// it, and putting the rooms together. kept is the memory that stays.
func BenchmarkStart(b *testing.B) {
	for _, models := range []int{10, 1000, 10_000} {
		var text strings.Builder
		text.WriteString("model_list:\n")
		for i := range models {
			fmt.Fprintf(&text, "- model_name: model-%d\n  litellm_params: {model: openai/gpt-4o, api_base: 'http://up/v1', api_key: k%d, rpm: 3}\n  model_info: {id: id-%d}\n", i/2, i, i)
		}
		text.WriteString("general_settings: {master_key: sk-bench}\n")
		b.Run(fmt.Sprint(models), func(b *testing.B) {
			b.ReportAllocs()
			var before, after runtime.MemStats
			for b.Loop() {
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&before)
				b.StartTimer()
				tree, _, err := config.Load(config.Sources{Data: []byte(text.String()), File: "c.yaml", Env: config.ProcessEnv(nil)})
				if err != nil {
					b.Fatal(err)
				}
				c, _ := Load(tree, "bench")
				p, err := New(c)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(tree)
				p.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(models), "keptB/model")
		})
	}
}
