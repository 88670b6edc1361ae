package manifest

import (
	"slices"
	"testing"

	"github.com/llmgw/llmgw/internal/config"
)

func document(t *testing.T, text string) *config.Node {
	t.Helper()
	docs, _, err := config.ParseYAMLDocuments("x.yaml", []byte(text))
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	return docs[0]
}

func TestChartValuesBecomeTheWorkloadThatTheChartMakes(t *testing.T) {
	text := `
replicaCount: 7
numWorkers: 2
autoscaling: {enabled: true, minReplicas: 3}
image: {repository: example.com/litellm, tag: v1.90.0}
db: {useExisting: true}
redis: {enabled: true}
envVars: {LITELLM_LOG: ERROR}
environmentSecrets: [extra]
pdb: {enabled: true}
migrationJob: {hooks: {helm: {enabled: true}}}
`
	list, found := Values("x.yaml", []byte(text), document(t, text))
	if len(found) > 0 || len(list) != 2 {
		t.Fatalf("%d workloads, findings %v", len(list), found)
	}
	w, job := list[0], list[1]
	c := w.Gateway()
	if w.Scaler.Max.Value != 100 || w.Scaler.Min.Value != 3 || w.Replicas.Set {
		t.Errorf("scaler %+v, replicas %+v: the chart leaves replicas to the autoscaler, whose most is 100", w.Scaler, w.Replicas)
	}
	if w.Grace.Value != 90 || w.Grace.Pos.Line != 1 {
		t.Errorf("grace %+v, want the chart's 90 at line 1", w.Grace)
	}
	if !hasFlag(c, "num_workers") || !c.EnvOpen() || len(w.Budgets) != 1 {
		t.Errorf("args %v, open %t, budgets %d", c.Args, c.EnvOpen(), len(w.Budgets))
	}
	for name, want := range map[string]string{"LITELLM_LOG": "ERROR", "PORT": "4000", "DISABLE_SCHEMA_UPDATE": "true"} {
		if v, ok := c.LookupEnv(name); !ok || !v.Known || v.Value != want {
			t.Errorf("%s is %+v, want %s", name, v, want)
		}
	}
	for _, name := range []string{"DATABASE_URL", "PROXY_MASTER_KEY", "REDIS_PASSWORD"} {
		if v, ok := c.LookupEnv(name); !ok || v.Known {
			t.Errorf("%s: %+v, want present and unknown", name, v)
		}
	}
	if job.Migration() == nil || job.Hook != "helm+argocd" {
		t.Errorf("job %+v with hook %q", job.Migration(), job.Hook)
	}
}

func TestAComposeServiceBecomesAWorkload(t *testing.T) {
	text := `
services:
  gw:
    image: ${IMAGE:-ghcr.io/berriai/litellm}:v1
    command: --config "/app/my config.yaml" --num_workers 4
    environment: {A: "${X:-fallback}", B: "${Y}", C: plain}
    env_file: gw.env
    deploy: {replicas: 3, resources: {limits: {cpus: "2", memory: 4g}}}
    stop_grace_period: 10m30s
    read_only: true
    tmpfs: [/tmp]
    depends_on: {migrate: {condition: service_completed_successfully}}
  migrate:
    image: ghcr.io/berriai/litellm:v1
    command: python litellm/proxy/prisma_migration.py
`
	list, found := ComposeServices("x.yaml", []byte(text), document(t, text), func(path string) ([]config.Var, bool) {
		return []config.Var{{Name: "C", Value: "below"}, {Name: "D", Value: path}}, true
	})
	if len(found) > 0 || len(list) != 2 {
		t.Fatalf("%d workloads, findings %v", len(list), found)
	}
	w := list[0]
	c := w.Gateway()
	if c == nil || c.Image.Ref != "ghcr.io/berriai/litellm:v1" || c.Args[1].Text != "/app/my config.yaml" {
		t.Fatalf("container %+v", c)
	}
	if w.Grace.Value != 630 || w.Replicas.Value != 3 || c.Resources.LimitsMemory.Value != 4<<30 || c.Resources.LimitsCPU.Value != 2 {
		t.Errorf("grace %d, replicas %d, memory %v", w.Grace.Value, w.Replicas.Value, c.Resources)
	}
	for name, want := range map[string]string{"A": "fallback", "C": "plain", "D": "gw.env"} {
		if v, _ := c.LookupEnv(name); v.Value != want || !v.Known {
			t.Errorf("%s is %+v, want %q", name, v, want)
		}
	}
	if v, ok := c.LookupEnv("B"); !ok || v.Known {
		t.Errorf("B is %+v, want present and unknown", v)
	}
	if list[1].Migration() == nil || list[1].Hook != "compose" {
		t.Errorf("the migration service is %q with hook %q", list[1].Kind, list[1].Hook)
	}
}

func TestWordsAreCutAsAShellCutsThem(t *testing.T) {
	for line, want := range map[string][]string{
		"":                      nil,
		"a  b":                  {"a", "b"},
		`a "b c" 'd "e'`:        {"a", "b c", `d "e`},
		`a\ b "c\"d"`:           {"a b", `c"d`},
		"--x=\"\" y":            {"--x=", "y"},
		"a \\\n  b":             {"a", "b"},
		`"" open "never closed`: {"", "open", "never closed"},
	} {
		if got := splitWords(line); !slices.Equal(got, want) {
			t.Errorf("%q is cut into %q, want %q", line, got, want)
		}
	}
}

// Whatever stands in values or in a compose file, reading it ends.
func FuzzForeign(f *testing.F) {
	f.Add("replicaCount: x\nautoscaling: {enabled: true}\nimage: [1]\nenvVars: 3\nextraEnvVars: [1, {name: a}]\npdb: []\ndb: 1")
	f.Add("services: {a: {command: 'x \"', environment: [A, B=${C:-}], env_file: [1, {path: x}], tmpfs: /a, volumes: [a, {type: x}], healthcheck: {test: [1]}}}")
	f.Add("config: {files: {config.yaml: 'a: b'}}\nimage: {reference: x}\nautoscaling: {enabled: true}")
	f.Fuzz(func(t *testing.T, text string) {
		docs, _, err := config.ParseYAMLDocuments("x", []byte(text))
		if err != nil {
			return
		}
		for _, d := range docs {
			if d.Kind != config.Map {
				continue
			}
			Values("x", []byte(text), d)
			OwnValues("x", []byte(text), d)
			list, _ := ComposeServices("x", []byte(text), d, func(string) ([]config.Var, bool) { return nil, false })
			for _, w := range list {
				if len(w.Containers) != 1 {
					t.Fatalf("%d containers", len(w.Containers))
				}
			}
		}
	})
}
