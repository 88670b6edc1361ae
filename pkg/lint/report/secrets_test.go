package report_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/report"
)

// No secret of an input is shown, wherever it stands and whatever the format:
// not in quoted lines, not in messages, not in sums.
func TestNoReportShowsASecret(t *testing.T) {
	const planted = "Tr0ub4dorAnd3CorrectHorse"
	encoded := base64.StdEncoding.EncodeToString([]byte(planted))
	files := map[string]string{
		"config.yaml": `model_list:
  - {model_name: a, litellm_params: {model: opnai/a, api_base: "https://user:PLANTED@host/v1", api_key: PLANTED, max_retries: 2}}
  - model_name: b
    litellm_params:
      model: openai/b
      api_key: "PLANTED"
      extra_headers: {Authorization: "Bearer PLANTED"}
general_settings:
  master_key: sk-PLANTED   # llmgw:ignore SEC005
  database_url: postgresql://u:PLANTED@db.example.com:notaport/x?connection_limit=99
  database_connection_pool_limit: 100
  pass_through_endpoints: [{path: /x, target: "https://t/x", headers: {Authorization: "Bearer PLANTED"}, auth: false}]
litellm_settings: {set_verbose: true, cache: true, cache_params: {password: PLANTED, host: redis.example.com}}
router_settings: {redis_password: PLANTED, redis_host: redis.example.com, redis_url: "redis://:PLANTED@redis.example.com:6379"}
environment_variables: {LANGFUSE_SECRET_KEY: PLANTED}
`,
		"gw.env": "LITELLM_SALT_KEY=PLANTED\nDATABASE_URL='postgresql://u:PLANTED@db.example.com/x?sslmode=disable'\nUI_PASSWORD=PLANTED # weak\nREDIS_URL=redis://:PLANTED@h:6379\n",
		"k8s.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: litellm}
spec:
  template:
    spec:
      containers:
        - name: litellm
          image: litellm:latest
          args: ["--num_workers", "$(nproc)"]
          env:
            - {name: OPENAI_API_KEY, value: PLANTED}
            - name: DATABASE_URL
              value: "postgresql://u:PLANTED@db/x"
          envFrom: [{secretRef: {name: s}}, {configMapRef: {name: c}}]
---
apiVersion: v1
kind: Secret
metadata: {name: s}
data: {LITELLM_MASTER_KEY: ENCODED}
stringData: {UI_PASSWORD: PLANTED, LITELLM_LOG: DEBUG}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data:
  SLACK_WEBHOOK_URL: https://hooks.slack.com/services/PLANTED
  ANTHROPIC_API_KEY: PLANTED
  config.yaml: "general_settings:\n  master_key: PLANTED\nlitellm_settings: {cache: true, cache_params: {type: redis, host: h, some_secret: 'PLANTED', x_token: \"PLANTED\"}}"
  other.yaml: |
    general_settings:
      master_key: PLANTED
      database_url: "postgresql://u:PLANTED@db/x"
`,
		"broken.yaml":  "general_settings:\n\tmaster_key: sk-PLANTED\n",
		"broken2.yaml": "general_settings:\n  master_key: \"sk-PLANTED\n  api_key: PLANTED\n",
		"twice.yaml":   "general_settings:\n  master_key: sk-PLANTED\n  master_key: sk-PLANTED2\n",
	}
	o := lint.Options{Dir: t.TempDir(), NoSettings: true, EnvFiles: []string{"gw.env"}, Paths: []string{"."}}
	for name, text := range files {
		text = strings.NewReplacer("PLANTED", planted, "ENCODED", encoded).Replace(text)
		if err := os.WriteFile(filepath.Join(o.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := lint.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) < 20 {
		t.Fatalf("only %d findings: the inputs do not provoke enough", len(r.Findings))
	}
	for name, write := range map[string]func(b *bytes.Buffer) error{
		"text":   func(b *bytes.Buffer) error { return report.Text(b, r, report.Options{ShowDuplicates: true}) },
		"colour": func(b *bytes.Buffer) error { return report.Text(b, r, report.Options{Color: true, Width: 60}) },
		"json":   func(b *bytes.Buffer) error { return report.JSON(b, r, report.Options{}) },
		"github": func(b *bytes.Buffer) error { return report.GitHub(b, r, report.Options{}) },
		"sarif":  func(b *bytes.Buffer) error { return report.SARIF(b, r, report.Options{}) },
		"sums":   func(b *bytes.Buffer) error { return report.Sums(b, r, true, true) },
		"diff": func(b *bytes.Buffer) error {
			for name := range files {
				b.WriteString(report.Masked(r, name, string(r.Sources[name])))
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if strings.Contains(line, planted) || strings.Contains(line, encoded) || strings.Contains(line, "CorrectHorse") {
					t.Errorf("shows it: %s", line)
				}
			}
		})
	}
}
