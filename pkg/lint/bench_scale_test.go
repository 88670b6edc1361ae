//go:build unix

package lint_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Configs of 1,250 to 5,000 models: time per model stays the same when the
// work is linear, and 5,000 are to take less than 2 s.
func BenchmarkModels(b *testing.B) {
	for _, n := range []int{1250, 2500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text strings.Builder
			text.WriteString("model_list:\n")
			for i := range n {
				fmt.Fprintf(&text, "  - model_name: m%d\n    litellm_params: {model: openai/gpt-%d, api_key: os.environ/K%d, rpm: 100}\n    model_info: {id: m%d}\n", i, i, i%20, i)
			}
			text.WriteString("general_settings: {master_key: os.environ/MK}\nrouter_settings:\n  fallbacks:\n")
			for i := range n / 5 {
				fmt.Fprintf(&text, "    - m%d: [m%d]\n", i, (i+1)%n)
			}
			benchmark(b, map[string]string{"config.yaml": text.String()})
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/model")
		})
	}
}

// Directories of 250 to 1,000 files, each a deployment with its config.
func BenchmarkFiles(b *testing.B) {
	base, _ := rule.Lookup("K8S006")
	manifest := base.Good.Files()["k8s.yaml"]
	for _, n := range []int{250, 500, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			files := map[string]string{}
			for i := range n {
				files[fmt.Sprintf("team%d/k8s.yaml", i)] = strings.ReplaceAll(manifest, "litellm", fmt.Sprintf("litellm%d", i))
			}
			benchmark(b, files)
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/file")
		})
	}
}

// The same deployments in one directory.
func BenchmarkFlat(b *testing.B) {
	base, _ := rule.Lookup("K8S006")
	manifest := base.Bad.Files()["k8s.yaml"]
	for _, n := range []int{250, 500, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			files := map[string]string{}
			for i := range n {
				files[fmt.Sprintf("team%d.yaml", i)] = strings.ReplaceAll(manifest, "litellm", fmt.Sprintf("litellm%d", i))
			}
			benchmark(b, files)
		})
	}
}

// Every model has something to be found, and something to be fixed.
func BenchmarkFindings(b *testing.B) {
	for _, n := range []int{1250, 2500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var text strings.Builder
			text.WriteString("model_list:\n")
			for i := range n {
				fmt.Fprintf(&text, "  - model_name: m%d\n    litellm_params:\n      model: openai/gpt-%d\n      api_key: os.environ/K\n      max_retries: 3\n", i, i)
			}
			benchmark(b, map[string]string{"config.yaml": text.String()})
		})
	}
}

func benchmark(b *testing.B, files map[string]string) {
	b.Helper()
	dir := b.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		if _, err := lint.Run(context.Background(), lint.Options{Dir: dir, Paths: []string{"."}, NoSettings: true}); err != nil {
			b.Fatal(err)
		}
	}
	// What other programs take does not count in this one.
	b.ReportMetric((processorTime(b)-before).Seconds()/float64(b.N), "cpu-s/op")
}

// Fixing a directory costs two looks at it, not one for each file.
func BenchmarkFix(b *testing.B) {
	for _, n := range []int{100, 200, 400} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			for i := range n {
				text := fmt.Sprintf("model_list: [{model_name: a, litellm_params: {model: openai/a%d, api_key: os.environ/K}}]\nlitellm_settings:\n  set_verbose: true\n  json_logs: true\n", i)
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), []byte(text), 0o644); err != nil {
					b.Fatal(err)
				}
			}
			o := lint.Options{Dir: dir, Paths: []string{"."}, NoSettings: true}
			r, err := lint.Run(context.Background(), o)
			if err != nil {
				b.Fatal(err)
			}
			before := processorTime(b)
			for b.Loop() {
				fixed, failed, err := lint.Fix(context.Background(), o, r)
				if err != nil || len(failed) > 0 || len(fixed) != n {
					b.Fatalf("%d fixed, %q, %v", len(fixed), failed, err)
				}
			}
			b.ReportMetric((processorTime(b)-before).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
