package render_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/render"
	"github.com/llmgw/llmgw/pkg/render/helm"
)

// tampering is an engine whose chart has a mistake: one text stands in place
// of another in one template's result.
type tampering struct {
	helm.Engine
	template, old, new string
	hits               *int
}

func (e tampering) Render(chart fs.FS, r render.Release, values map[string]any) (map[string]string, error) {
	texts, err := e.Engine.Render(chart, r, values)
	for path, text := range texts {
		if strings.HasSuffix(path, e.template) {
			*e.hits += strings.Count(text, e.old)
			text = strings.ReplaceAll(text, e.old, e.new)
			if strings.Contains(e.new, "name: x,") {
				text = strings.ReplaceAll(text, "\n      volumes:", "\n      volumes:\n        - {name: x, emptyDir: {sizeLimit: 1Mi}}")
			}
			texts[path] = text
		}
	}
	return texts, err
}

// TestEveryRuleIsKept breaks the chart in one place per rule: the result must
// be refused for that reason.
func TestEveryRuleIsKept(t *testing.T) {
	t.Parallel()
	litellm := render.Options{Target: facts.LiteLLM, Image: digest}
	argo := render.Options{Migrations: "argocd", Secrets: "external", SecretStore: "vault"}
	cases := []struct {
		rule               string
		o                  render.Options
		template, old, new string
	}{
		{"SELECTOR", render.Options{}, "service.yaml", "component: gateway\n  ports", "component: other\n  ports"},
		{"SELECTOR", render.Options{}, "poddisruptionbudget.yaml", "      app.kubernetes.io/component: gateway\n", ""},
		{"GRACE", render.Options{}, "deployment.yaml", "terminationGracePeriodSeconds: 620", "terminationGracePeriodSeconds: 614"},
		{"GRACE", litellm, "deployment.yaml", "GRACEFUL_SHUTDOWN_TIMEOUT\n              value: \"600\"", "GRACEFUL_SHUTDOWN_TIMEOUT\n              value: \"30\""},
		{"DB", render.Options{Ceiling: budget(100)}, "deployment.yaml", "maxSurge: 1", "maxSurge: 5"},
		{"REPLICAS", render.Options{}, "deployment.yaml", "minReadySeconds: 5", "minReadySeconds: 5\n  replicas: 3"},
		{"HOOK", argo, "job.yaml", "annotations:", "annotations:\n    helm.sh/hook: pre-install"},
		{"HOOK", argo, "serviceaccount.yaml", "argocd.argoproj.io/sync-wave", "example.com/wave"},
		{"HOOK", argo, "secret.yaml", "argocd.argoproj.io/sync-wave", "example.com/wave"},
		{"CONFIG", render.Options{}, "deployment.yaml", "- name: OPENAI_API_KEY", "- name: OPENAI_KEY"},
		{"TOKEN", render.Options{}, "deployment.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true"},
		{"LINKS", render.Options{}, "job.yaml", "enableServiceLinks: false", "enableServiceLinks: true"},
		{"SECURITY", render.Options{}, "deployment.yaml", "type: RuntimeDefault", "type: Unconfined"},
		{"SECURITY", render.Options{}, "job.yaml", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"},
		{"SECURITY", litellm, "deployment.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"},
		{"SCRATCH", litellm, "deployment.yaml", "emptyDir: {sizeLimit: 500Mi}", "emptyDir: {medium: Memory}"},
		{"SCRATCH", litellm, "deployment.yaml", "emptyDir: {sizeLimit: 500Mi}", "emptyDir: {sizeLimit: 5Gi}"},
		{"SCRATCH", litellm, "deployment.yaml", "mountPath: /app/cache", "mountPath: /elsewhere"},
		{"SCRATCH", render.Options{}, "deployment.yaml", "          volumeMounts:", "          volumeMounts:\n            - {name: x, mountPath: /x}"},
		{"RESOURCES", render.Options{}, "deployment.yaml", "requests:\n              cpu: \"1\"", "requests:\n              cpu: \"2\""},
		{"RESOURCES", render.Options{}, "job.yaml", "memory: \"64Mi\"", "memory: \"0\""},
		{"PROBE", render.Options{}, "deployment.yaml", "path: /health/readiness", "path: /health"},
		{"PROBE", render.Options{}, "deployment.yaml", "path: /health/liveliness", "path: /health/readiness"},
		{"PROBE", render.Options{}, "deployment.yaml", "port: http", "port: web"},
		{"PROBE", render.Options{}, "deployment.yaml", "startupProbe", "x"},
		{"PROBE", render.Options{}, "deployment.yaml", "periodSeconds: 10", "periodSeconds: 0"},
		{"ENV", render.Options{}, "deployment.yaml", "- name: POD_NAME", "- name: LITELLM_LOG"},
		{"SCHEMA", render.Options{}, "deployment.yaml", "DISABLE_SCHEMA_UPDATE\n              value: \"true\"", "DISABLE_SCHEMA_UPDATE\n              value: \"false\""},
		{"SCHEMA", render.Options{}, "job.yaml", "DISABLE_SCHEMA_UPDATE\n              value: \"false\"", "DISABLE_SCHEMA_UPDATE\n              value: \"true\""},
		{"IMAGE", render.Options{}, "job.yaml", "llmgw:1.2.3", "llmgw:1.2.4"},
		{"EMPTY", render.Options{}, "deployment.yaml", "restartPolicy: Always", "restartPolicy: Always\n      nodeSelector: {}"},
		{"PODS", render.Options{}, "deployment.yaml", "kind: Deployment", "kind: ReplicaSet"},
	}
	for _, c := range cases {
		t.Run(c.rule+" "+c.old, func(t *testing.T) {
			t.Parallel()
			hits := 0
			o := c.o
			o.Engine = tampering{template: c.template, old: c.old, new: c.new, hits: &hits}
			o.Version, o.Tree = "1.2.3", tree(t, production)
			res, err := render.Render(o)
			if hits == 0 {
				t.Fatal("the text to break is not there")
			}
			if !errors.Is(err, render.ErrInvalid) || !slices.Contains(codes(res, finding.Error), "E-RULE-"+c.rule) {
				t.Errorf("error %v, findings %+v", err, res.Findings)
			}
			// Without validation the same result is handed out.
			o.WithoutValidate = true
			if _, err := render.Render(o); err != nil {
				t.Errorf("unchecked: %v", err)
			}
		})
	}
}
