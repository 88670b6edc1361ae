package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type lintFinding struct{ ID, Severity, Message string }

// findings are doctor's on one file.
func findings(t *rapid.T, path string, ceiling []string) []lintFinding {
	var stdout, stderr bytes.Buffer
	args := append([]string{"llmgw", "doctor", path, "--format", "json", "--fail-on", "never"}, ceiling...)
	if code := Execute(args, Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}); code != exitFine {
		t.Fatalf("doctor: exit %d: %s", code, stderr.String())
	}
	var report struct{ Findings []lintFinding }
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	return report.Findings
}

// anyConfig draws a configuration as an operator might write it.
func anyConfig(t *rapid.T) (text string, database bool) {
	line := func(b *strings.Builder, odds int, format string, args ...any) {
		if rapid.IntRange(0, odds).Draw(t, format) > 0 {
			fmt.Fprintf(b, format+"\n", args...)
		}
	}
	var b strings.Builder
	b.WriteString("model_list:\n")
	providers := []string{"openai/gpt-4o", "groq/llama-3.3-70b-versatile", "mistral/mistral-large-latest", "hosted_vllm/qwen"}
	for i := range rapid.IntRange(1, 5).Draw(t, "models") {
		model := rapid.SampledFrom(providers).Draw(t, "model")
		fmt.Fprintf(&b, "  - model_name: m%d # a comment\n    litellm_params:\n      model: %s\n      api_key: os.environ/KEY_%d\n", i, model, i)
		if strings.HasPrefix(model, "hosted_vllm") {
			fmt.Fprintf(&b, "      api_base: http://vllm-%d.models.svc:8000/v1\n", i)
		}
	}
	b.WriteString("general_settings:\n  master_key: os.environ/" + rapid.SampledFrom([]string{"LITELLM_MASTER_KEY", "GATEWAY_KEY"}).Draw(t, "key") + "\n")
	if database = rapid.Bool().Draw(t, "database"); database {
		b.WriteString("  database_url: os.environ/" + rapid.SampledFrom([]string{"DATABASE_URL", "PG_URL"}).Draw(t, "url") + "\n")
		b.WriteString("  proxy_batch_write_at: 60\n  maximum_spend_logs_retention_period: \"30d\"\n  disable_error_logs: true\n")
	}
	b.WriteString("  alerting: [\"slack\"]\n")
	timeout := rapid.SampledFrom([]int{30, 60, 300, 600, 900, 1800}).Draw(t, "timeout")
	fmt.Fprintf(&b, "litellm_settings:\n  request_timeout: %d\n  json_logs: true\n", timeout)
	line(&b, 1, "  num_retries: 2")
	line(&b, 1, "  callbacks: [prometheus]")
	if rapid.Bool().Draw(t, "cache") {
		b.WriteString("  cache: true\n  cache_params: {type: redis, host: os.environ/REDIS_HOST, port: os.environ/REDIS_PORT, password: os.environ/REDIS_PASSWORD, ttl: 600}\n")
	}
	b.WriteString("router_settings:\n  redis_host: os.environ/REDIS_HOST\n  redis_port: os.environ/REDIS_PORT\n  redis_password: os.environ/REDIS_PASSWORD\n")
	line(&b, 1, "  routing_strategy: simple-shuffle")
	if database {
		text = strings.Replace(b.String(), "  alerting:", "  use_redis_transaction_buffer: true\n  alerting:", 1)
		return text, true
	}
	return b.String(), false
}

// TestDoctorHasNothingToSayAboutWhatRenderWrites renders any sensible
// configuration with any sensible flags and lints the result: there is nothing
// of severity warning or above in it that is not in the configuration already.
func TestDoctorHasNothingToSayAboutWhatRenderWrites(t *testing.T) {
	dir := t.TempDir()
	rendered := 0
	rapid.Check(t, func(t *rapid.T) {
		if rendered >= 40 && os.Getenv("LLMGW_LONG") == "" {
			return // a sample is enough for the gate; make long takes all
		}
		text, database := anyConfig(t)
		config, out := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "all.yaml")
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"llmgw", "render", "k8s", "-c", config, "-o", out, "--namespace", "gw"}
		flag := func(name string, values ...string) {
			if v := rapid.SampledFrom(append(values, "")).Draw(t, name); v != "" {
				args = append(args, "--"+name, v)
			}
		}
		var ceiling []string
		litellm := rapid.Bool().Draw(t, "litellm")
		if litellm {
			args = append(args, "--target", "litellm", "--litellm-version", "v1.106.2", "--hpa-memory", "off")
			if rapid.Bool().Draw(t, "no-ui") {
				args = append(args, "--no-ui")
			}
			flag("migrations", "init", "argocd", "job")
		} else {
			args = append(args, "--image", rapid.SampledFrom([]string{
				"ghcr.io/llmgw/llmgw:1.0.0",
				"registry.local:5000/llmgw@sha256:" + strings.Repeat("0123456789abcdef", 4),
			}).Draw(t, "image"))
			flag("migrations", "init", "argocd", "job")
			flag("num-workers", "1", "2", "4")
		}
		flag("replicas", "2", "3", "5")
		switch rapid.IntRange(0, 2).Draw(t, "scale") {
		case 0:
			args = append(args, "--no-hpa")
		case 1:
			flag("max-replicas", "6", "12")
		}
		flag("pre-stop-seconds", "5", "15")
		flag("shutdown-margin", "45", "60")
		flag("kube-version", "1.27", "1.29", "1.30", "1.31")
		if database {
			ceiling = []string{"--" + rapid.SampledFrom([]string{"max-db-connections", "max-connections"}).Draw(t, "ceiling"),
				strconv.Itoa(rapid.SampledFrom([]int{300, 500, 1000}).Draw(t, "connections"))}
			args = append(args, ceiling...)
		}

		var stdout, stderr bytes.Buffer
		if code := Execute(args, Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}); code != exitFine {
			t.Fatalf("%v\nexit %d: %s\n%s", args, code, stderr.String(), text)
		}
		rendered++
		// What somebody asked for in spite of render's own word is no surprise.
		said := map[string]bool{
			"DB024":  strings.Contains(stderr.String(), "K-DB-DRAIN-OVERLAP"),
			"MIG011": strings.Contains(stderr.String(), "N-ORDER-BY-HAND"),
		}
		own := findings(t, config, ceiling)
		for _, f := range findings(t, out, ceiling) {
			known := slices.ContainsFunc(own, func(g lintFinding) bool { return g.ID == f.ID })
			if f.Severity == "info" || known || said[f.ID] {
				continue
			}
			t.Errorf("%v\n%s %s: %s\n%s", args, f.Severity, f.ID, f.Message, text)
		}
	})
	if rendered < 15 { // -short draws a fifth of the usual hundred
		t.Errorf("only %d configurations were rendered", rendered)
	}
}
