package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/config"
)

func read(t *testing.T, text string) []*Workload {
	t.Helper()
	objects, _, err := Parse("k8s.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	w, findings := Workloads(objects)
	for _, f := range findings {
		t.Logf("%s %s", f.Pos, f.Message)
	}
	return w
}

const deployment = `# Source: gateway/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: llm}
spec:
  replicas: 3
  strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}
  selector: {matchLabels: {app: gw}}
  template:
    metadata: {labels: {app: gw, tier: api}}
    spec:
      terminationGracePeriodSeconds: 620
      securityContext: {runAsNonRoot: true}
      containers:
        - name: exporter
          image: prom/statsd
          env: [{name: LITELLM_LOG, value: INFO}]
        - name: main
          image: registry.example.com:5000/berriai/litellm:v1.91.4@sha256:abc
          args: ["--config", "/app/config.yaml"]
          env:
            - {name: A, value: one}
            - {name: B, value: "$(A)-$(C)-$$(A)"}
            - {name: C, value: late}
            - {name: D, valueFrom: {secretKeyRef: {name: s, key: d}}}
            - {name: E, value: "x$(D)"}
            - {name: A, value: two}
            - {name: F, valueFrom: {configMapKeyRef: {name: cm, key: f}}}
          envFrom:
            - configMapRef: {name: cm}
            - secretRef: {name: missing}
          lifecycle: {preStop: {exec: {command: [/bin/sh, -c, "nginx -s quit; sleep 5"]}}}
          resources: {requests: {cpu: 500m, memory: 2.5Gi}, limits: {memory: 4Gi}}
          readinessProbe: {httpGet: {path: /health/readiness, port: http}, timeoutSeconds: 10}
          volumeMounts: [{name: config, mountPath: /app, readOnly: true}]
      volumes: [{name: config, configMap: {name: cm}}, {name: tmp, emptyDir: {sizeLimit: 64Mi}}]
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: ConfigMap
    metadata: {name: cm, namespace: llm}
    data: {f: from-cm, G: all}
  - apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: gw}
    spec:
      scaleTargetRef: {kind: Deployment, name: gw}
      maxReplicas: 12
      metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
  - apiVersion: v1
    kind: Service
    metadata: {name: gw}
    spec: {selector: {app: gw}}
  - apiVersion: networking.k8s.io/v1
    kind: Ingress
    metadata: {name: gw}
    spec: {rules: [{http: {paths: [{backend: {service: {name: gw}}}]}}]}
  - apiVersion: policy/v1
    kind: PodDisruptionBudget
    metadata: {name: gw}
    spec: {selector: {matchExpressions: [{key: tier, operator: In, values: [api, web]}]}}
`

func TestADeploymentBecomesFacts(t *testing.T) {
	w := read(t, deployment)
	if len(w) != 1 {
		t.Fatalf("%d workloads", len(w))
	}
	g := w[0]
	c := g.Gateway()
	if c == nil || c.Name.Value != "main" || c.Target != "litellm" {
		t.Fatalf("gateway container %+v", c)
	}
	if diff := cmp.Diff(Image{Ref: c.Image.Ref, Repo: "registry.example.com:5000/berriai/litellm", Tag: "v1.91.4", Digest: "sha256:abc", Set: true, Pos: c.Image.Pos}, c.Image); diff != "" {
		t.Error(diff)
	}
	env := map[string]string{}
	for _, v := range c.Env {
		env[v.Name] = v.Value
		if !v.Known {
			env[v.Name] = "?"
		}
	}
	want := map[string]string{"A": "two", "B": "one-$(C)-$(A)", "C": "late", "D": "?", "E": "?", "F": "from-cm", "G": "all", "f": "from-cm"}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Error(diff)
	}
	if !c.EnvOpen() {
		t.Error("an envFrom that is not among the inputs leaves the environment open")
	}
	if !c.PreStop.Known || c.PreStop.Seconds != 5 || !c.PreStop.Shell {
		t.Errorf("preStop %+v", c.PreStop)
	}
	if r := c.Resources; r.RequestsCPU.Value != 0.5 || r.RequestsMemory.Value != 2.5*(1<<30) || r.LimitsCPU.Set || r.LimitsMemory.Text != "4Gi" {
		t.Errorf("resources %+v", r)
	}
	if !c.Security.RunAsNonRoot.True() {
		t.Error("the pod's runAsNonRoot counts for its containers")
	}
	if g.Scaler == nil || g.Scaler.Max.Value != 12 || g.Scaler.Min.Set || g.Scaler.Metrics[0].Target.Value != 70 {
		t.Errorf("scaler %+v", g.Scaler)
	}
	if len(g.Services) != 1 || len(g.Ingresses) != 1 || len(g.Budgets) != 1 {
		t.Errorf("services %d, ingresses %d, budgets %d", len(g.Services), len(g.Ingresses), len(g.Budgets))
	}
	if g.Object.Source != "gateway/templates/deployment.yaml" {
		t.Errorf("source %q", g.Object.Source)
	}
	if p := g.Grace.Pos; p.Line != 12 || p.Col != 7 {
		t.Errorf("grace at %s", p)
	}
}

func TestAnEmbeddedConfigKeepsThePositionsOfItsFile(t *testing.T) {
	const file = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  other: x\n  config.yaml: |\n    # ümlaut\n    model_list: []\n    general_settings:\n      master_key: sk-1234\n  last.yml: >\n    model_list: []\n"
	objects, _, err := Parse("cm.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	configs := objects[0].EmbeddedConfigs([]byte(file))
	if len(configs) != 2 || !configs[0].Exact || configs[1].Exact {
		t.Fatalf("%+v", configs)
	}
	doc, _, err := config.ParseYAML("cm.yaml", configs[0].Text)
	if err != nil {
		t.Fatal(err)
	}
	key := doc.Lookup("general_settings.master_key")
	if p := key.KeyPos; p.Line != 10 || p.Col != 7 || file[p.Offset:p.End] != "master_key" {
		t.Errorf("key at %s %d-%d", p, p.Offset, p.End)
	}
	if p := key.Pos; file[p.Offset:p.End] != "sk-1234" {
		t.Errorf("value %q", file[p.Offset:p.End])
	}
}

func TestDocumentsAreClassifiedByTheirContent(t *testing.T) {
	for text, want := range map[string]Class{
		"model_list: []":                     GatewayConfig,
		"router_settings: {}":                GatewayConfig,
		"apiVersion: v1\nkind: Service":      Kubernetes,
		"apiVersion: x\nkind: Kustomization": Kustomization,
		"resources: [a.yaml]":                Kustomization,
		"replicaCount: 2":                    HelmValues,
		"db: {useExisting: true}":            HelmValues,
		"proxy_config: {model_list: []}":     HelmValues,
		"services: {a: {image: x}}":          Compose,
		"include: [a.yaml]":                  GatewayConfig,
		"hello: world":                       Unknown,
		"[a]":                                Unknown,
		"":                                   Empty,
		"{}":                                 Empty,
		"services: {a: {}}\ngeneral_settings: {}":   GatewayConfig,
		"apiVersion: v1\nkind: List\nmodel_list: 1": Kubernetes,
	} {
		docs, _, err := config.ParseYAMLDocuments("x", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got := Empty
		if len(docs) > 0 {
			got = Classify(docs[0])
		}
		if got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

func TestQuantities(t *testing.T) {
	for text, want := range map[string]float64{"1": 1, "500m": 0.5, "2.5Gi": 2.5 * (1 << 30), "1e3": 1000, "512M": 512e6, "128Ki": 131072, "0": 0} {
		if got, ok := ParseQuantity(text); !ok || got != want {
			t.Errorf("%s is %v %t, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "Gi", "-1", "4 Gi", "4GiB", "0x10", "inf", "NaN", "1_000", "four"} {
		if v, ok := ParseQuantity(text); ok {
			t.Errorf("%q is %v", text, v)
		}
	}
}

// Nothing that YAML can say makes the reader panic.
func FuzzWorkloads(f *testing.F) {
	f.Add(deployment)
	f.Add("apiVersion: v1\nkind: ConfigMap\ndata: {config.yaml: \"a: b\"}")
	f.Add("apiVersion: apps/v1\nkind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{command: [a, [b]], env: {a: b}, resources: []}]}}}}}")
	f.Add("apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nspec: {scaleTargetRef: [], targetCPUUtilizationPercentage: x}")
	f.Fuzz(func(t *testing.T, text string) {
		objects, _, err := Parse("x.yaml", []byte(text))
		if err != nil {
			return
		}
		workloads, findings := Workloads(objects)
		for _, w := range workloads {
			w.Gateway()
			w.Migration()
			for _, c := range w.Containers {
				if c.PreStop.Known && c.PreStop.Seconds < 0 {
					t.Fatal("negative time")
				}
			}
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
		for _, f := range findings {
			if f.Pos.Line < 1 || f.Pos.Line > lines {
				t.Fatalf("finding at %s of %d lines", f.Pos, lines)
			}
		}
		for _, o := range objects {
			if o.FirstLine < 1 || o.LastLine > lines+1 {
				t.Fatalf("object at %d-%d of %d", o.FirstLine, o.LastLine, lines)
			}
			for _, e := range o.EmbeddedConfigs([]byte(text)) {
				if e.Exact && len(e.Text) != len(text) {
					t.Fatal("a blanked file of another length")
				}
			}
		}
	})
}
