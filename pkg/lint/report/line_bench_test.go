package report_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/report"
)

// A config of one line in which every entry is a finding: the report of each is
// to cost the same however long the line is.
func BenchmarkOneLine(b *testing.B) {
	for name, entry := range map[string]string{"ones": "1,", "secrets": "{litellm_params: {api_key: sk-a1b2c3d4e5f6}}, "} {
		for _, n := range []int{20_000, 100_000} {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				dir := b.TempDir()
				text := "model_list: [" + strings.Repeat(entry, n) + "]\n"
				if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o644); err != nil {
					b.Fatal(err)
				}
				r, err := lint.Run(context.Background(), lint.Options{Dir: dir, Paths: []string{"config.yaml"}, NoSettings: true})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ReportMetric(float64(len(r.Findings)), "findings")
				for b.Loop() {
					if err := report.Text(io.Discard, r, report.Options{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
