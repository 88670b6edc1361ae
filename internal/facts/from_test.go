package facts

import (
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/manifest"
)

func load(t *testing.T, text string) *config.Tree {
	t.Helper()
	tree, _, err := config.Load(config.Sources{Data: []byte(text), File: "config.yaml", KeepReferences: true})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func workloads(t *testing.T, text string) []*manifest.Workload {
	t.Helper()
	objects, _, err := manifest.Parse("k8s.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	list, _ := manifest.Workloads(objects)
	return list
}

const config1 = `
model_list:
  - model_name: big
    litellm_params: {model: openai/a, timeout: 240}
  - model_name: small
    litellm_params: {model: openai/b, timeout: 90, stream_timeout: 20}
  - model_name: small
    litellm_params: {model: openai/c, timeout: 60, stream_timeout: 30}
general_settings:
  database_url: os.environ/DATABASE_URL
  database_connection_pool_limit: 15
litellm_settings:
  request_timeout: 300
  fallbacks: [{big: [small, other]}]
router_settings:
  num_retries: 1
`

const manifests1 = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: litellm, namespace: llm}
spec:
  replicas: 3
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector: {matchLabels: {app: litellm}}
  template:
    metadata: {labels: {app: litellm}}
    spec:
      terminationGracePeriodSeconds: 620
      containers:
        - name: litellm
          image: ghcr.io/berriai/litellm:v1.80.0
          args: [--config, /app/config.yaml, --num_workers, "4"]
          lifecycle: {preStop: {exec: {command: [sh, -c, "sleep 5"]}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: litellm, namespace: llm}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: litellm}
  minReplicas: 2
  maxReplicas: 6
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: llm, annotations: {argocd.argoproj.io/hook: PreSync}}
spec:
  template:
    spec:
      containers:
        - name: m
          image: ghcr.io/berriai/litellm:v1.80.0
          command: [python, litellm/proxy/prisma_migration.py]
`

func TestFromTakesEachFactFromItsFirstSource(t *testing.T) {
	t.Parallel()
	d := From(Flags{Instances: n(50, "--instances")}, load(t, config1), workloads(t, manifests1))
	ints := map[string]struct {
		got  Int
		want int
		from string
	}{
		"workers":   {d.Workers, 4, "--num_workers"},
		"instances": {d.Instances, 6, "HPA maxReplicas"},
		"least":     {d.MinInstances, 2, "HPA minReplicas"},
		"limit":     {d.Limit, 15, "database_connection_pool_limit"},
		"retries":   {d.Retries, 1, "num_retries"},
	}
	for name, c := range ints {
		if c.got.Value != c.want || c.got.Text != c.from || c.got.Pos.Line == 0 {
			t.Errorf("%s: %s at %s, want %d (%s)", name, c.got, c.got.Pos, c.want, c.from)
		}
	}
	if d.Target != LiteLLM || d.Surge.Of(6) != 1 || d.Runner != HookRunner || d.DatabaseURL != "general_settings.database_url" || d.Pooled {
		t.Errorf("target %s, surge %d, runner %d, database from %q, pooled %v", d.Target, d.Surge.Of(6), d.Runner, d.DatabaseURL, d.Pooled)
	}
	if d.Request.Value != 300 || d.PreStop.Value != 5 || d.Grace.Value != 620 || d.KeepAlive.Value != 5 {
		t.Errorf("request %s, preStop %s, grace %s, keep-alive %s", d.Request, d.PreStop, d.Grace, d.KeepAlive)
	}
	r := Chain(d.Chain())
	if w, _ := worst(r); w.SumText() != "240 x 2 + 90 x 2 + 300 x 2 = 1260" || !r.IsBroken("I3") {
		t.Errorf("chain of %s: %s", w.Group, w.SumText())
	}
	if g := r.Groups[1]; g.Group != "small" || g.FirstByte.Value != 30 || len(r.Groups) != 2 {
		t.Errorf("%+v", r.Groups)
	}
	if p := Pool(d.Pool()); p.Demand != 15*4*7 {
		t.Errorf("demand %d", p.Demand)
	}
}

func TestFromWithoutManifests(t *testing.T) {
	t.Parallel()
	d := From(Flags{Target: LLMGW, Instances: n(3, "--instances"), NumWorkers: n(4, "--num-workers")}, load(t, "general_settings: {}\n"), nil)
	if d.Workers.Value != 1 || d.Instances.Value != 3 || d.Surge.Of(3) != 0 || d.Limit.Value != 10 || !d.Limit.Assumed || d.Grace.IsSet() || d.Request.Value != 600 || d.DatabaseURL != "" {
		t.Errorf("%+v", d)
	}
	if d := From(Flags{}, nil, nil); d.Target != LiteLLM || d.Instances.Value != 1 {
		t.Errorf("nothing at all: %+v", d)
	}
}

func TestFromReadsThePoolLimitOfTheURL(t *testing.T) {
	t.Parallel()
	url := "postgresql://u:p%40ss@pgbouncer.db:6432/x?connection_limit=25&sslmode=require"
	env := config.NewEnv(true)
	env.Set(config.Var{Name: "DATABASE_URL", Value: url, Known: true, Source: "environment"})
	tree, _, err := config.Load(config.Sources{Data: []byte("model_list: []\n"), File: "config.yaml", Env: env})
	if err != nil {
		t.Fatal(err)
	}
	d := From(Flags{Target: LLMGW}, tree, nil)
	if d.Limit.Value != 25 || !d.Pooled || d.DatabaseURL != "DATABASE_URL" {
		t.Errorf("limit %s, pooled %v, from %q", d.Limit, d.Pooled, d.DatabaseURL)
	}
	if d := From(Flags{Target: LiteLLM}, tree, nil); d.Limit.Value != 10 {
		t.Errorf("LiteLLM overwrites the URL's limit: %s", d.Limit)
	}
}

func TestFallbacksOfAGroup(t *testing.T) {
	t.Parallel()
	models := "model_list:\n- {model_name: a, litellm_params: {model: openai/a}}\n- {model_name: b, litellm_params: {model: openai/b}}\n"
	cases := []struct{ name, settings, a, b string }{
		{"by name", "litellm_settings: {fallbacks: [{a: [b, c]}]}", "b c", ""},
		{"the router's list wins", "litellm_settings: {fallbacks: [{a: [x]}]}\nrouter_settings: {fallbacks: [{a: [b]}]}", "b", ""},
		{"a star for the others", "router_settings: {fallbacks: [{'*': [b, c]}, {a: [c]}]}", "c", "c"},
		{"default_fallbacks", "litellm_settings: {default_fallbacks: [b]}", "b", ""},
		{"one name instead of a list", "litellm_settings: {fallbacks: [{a: b}]}", "b", ""},
		{"the first entry counts", "litellm_settings: {fallbacks: [{a: [b]}, {a: [c]}]}", "b", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := From(Flags{}, load(t, models+c.settings+"\n"), nil).Groups
			if got := strings.Join(g[0].Fallbacks, " "); got != c.a {
				t.Errorf("a falls back to %q, want %q", got, c.a)
			}
			if got := strings.Join(g[1].Fallbacks, " "); got != c.b {
				t.Errorf("b falls back to %q, want %q", got, c.b)
			}
			if len(g[0].Fallbacks) > 0 && g[0].FallbackPos.Line == 0 {
				t.Error("the fallbacks have no position")
			}
		})
	}
}

func TestFromReadsTheBalancer(t *testing.T) {
	t.Parallel()
	base := manifests1 + `---
apiVersion: v1
kind: Service
metadata: {name: litellm, namespace: llm}
spec: {selector: {app: litellm}, ports: [{port: 4000}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: litellm
  namespace: llm
  annotations: {ANNOTATION}
spec:
  ingressClassName: CLASS
  defaultBackend: {service: {name: litellm, port: {number: 4000}}}
`
	cases := []struct {
		name, annotation, class string
		want                    float64
	}{
		{"nginx annotation", `nginx.ingress.kubernetes.io/proxy-read-timeout: "630"`, "nginx", 630},
		{"ALB attribute", `alb.ingress.kubernetes.io/load-balancer-attributes: "a.b=c,idle_timeout.timeout_seconds=90"`, "alb", 90},
		{"class default", `x: y`, "nginx", 60},
		{"unknown class takes the flag", `x: y`, "other", 45},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := replace(base, "ANNOTATION", c.annotation, "CLASS", c.class)
			d := From(Flags{LBIdle: s(45, "--lb-idle")}, load(t, config1), workloads(t, text))
			if d.LBIdle.Value != c.want {
				t.Errorf("got %s, want %v", d.LBIdle, c.want)
			}
		})
	}
}

func replace(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

// FuzzFrom: whatever the files say, the facts can be gathered and every sum
// can be written down.
func FuzzFrom(f *testing.F) {
	f.Add(config1, manifests1)
	f.Add("router_settings: {num_retries: -5, fallbacks: [a, {b: 1}, [c]], timeout: 1e400}", "kind: List")
	f.Add("general_settings: {database_url: 'postgres://a:b@c:6432/d?connection_limit=9999999999999999999'}", manifests1)
	f.Fuzz(func(t *testing.T, cfg, objects string) {
		tree, _, err := config.Load(config.Sources{Data: []byte(cfg), File: "config.yaml", KeepReferences: true})
		if err != nil {
			return
		}
		parsed, _, err := manifest.Parse("k8s.yaml", []byte(objects))
		if err != nil {
			return
		}
		list, _ := manifest.Workloads(parsed)
		for _, target := range []Target{"", LLMGW} {
			d := From(Flags{Target: target, Ceiling: maxConnections(100)}, tree, list)
			p := Pool(d.Pool())
			text := strings.Join(p.Explain(), "\n") + strings.Join(Chain(d.Chain()).Ladder(), "\n")
			if p.Demand < 0 || strings.Contains(text, "%!") || strings.Contains(text, "NaN") {
				t.Fatalf("%s", text)
			}
		}
	})
}
