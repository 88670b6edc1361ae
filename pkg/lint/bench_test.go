package lint_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/lint"
)

// A config of ten thousand lines; the aim is 150 ms.
func BenchmarkTenThousandLines(b *testing.B) {
	var text strings.Builder
	text.WriteString("model_list:\n")
	for i := range 3300 {
		fmt.Fprintf(&text, "  - model_name: m%d\n    litellm_params: {model: openai/gpt-%d, api_key: os.environ/K%d, rpm: 100}\n    model_info: {id: m%d}\n", i%400, i, i%20, i)
	}
	text.WriteString("general_settings: {master_key: os.environ/MK}\nrouter_settings:\n  fallbacks:\n")
	for i := range 400 {
		fmt.Fprintf(&text, "    - m%d: [m%d]\n", i, (i+1)%400)
	}
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := lint.Run(context.Background(), lint.Options{Dir: dir, Paths: []string{"config.yaml"}}); err != nil {
			b.Fatal(err)
		}
	}
}
