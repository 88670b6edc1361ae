package render_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/render"
	"github.com/llmgw/llmgw/pkg/render/helm"
)

var update = flag.Bool("update", false, "rewrite golden files")

// production is a configuration without anything to complain about.
const production = `# Ours.
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o   # Sweden
      api_key: os.environ/AZURE_API_KEY
      api_base: os.environ/AZURE_API_BASE
  - model_name: "größe"
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}

general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: os.environ/DATABASE_URL
  alerting: ["slack"]
  proxy_batch_write_at: 60
  maximum_spend_logs_retention_period: "30d"

litellm_settings:
  request_timeout: 600
  json_logs: true
  cache: true
  cache_params:
    type: redis
    host: os.environ/REDIS_HOST
    port: os.environ/REDIS_PORT
    password: os.environ/REDIS_PASSWORD
`

const digest = "ghcr.io/berriai/litellm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func tree(t testing.TB, text string) *config.Tree {
	t.Helper()
	tr, _, err := config.Load(config.Sources{Data: []byte(text), File: "config.yaml", KeepReferences: true})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func num(v int, flag string) facts.Int { return facts.NewInt(v, flag, finding.Position{}) }

func budget(v int) facts.Ceiling {
	return facts.Ceiling{Kind: facts.MaxDBConnections, N: num(v, "--max-db-connections")}
}

func server(v int) facts.Ceiling {
	return facts.Ceiling{Kind: facts.MaxConnections, N: num(v, "--max-connections")}
}

func run(t testing.TB, o render.Options, cfg string) (*render.Result, error) {
	t.Helper()
	o.Engine, o.Version = helm.Engine{}, "1.2.3"
	if cfg != "" {
		o.Tree = tree(t, cfg)
	}
	res, err := render.Render(o)
	if res == nil {
		t.Fatal(err)
	}
	return res, err
}

func codes(res *render.Result, least finding.Severity) []string {
	var out []string
	for _, f := range res.Findings {
		if f.Severity >= least {
			out = append(out, f.ID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func stream(t testing.TB, res *render.Result) string {
	t.Helper()
	var buf bytes.Buffer
	if _, err := res.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func no() *bool { v := false; return &v }

// fixture is one way to call render that must give a valid result.
type fixture struct {
	name   string
	o      render.Options
	golden bool
}

// fixtures cover each target, each way to migrate, each kind of Secret, with
// and without autoscaling, on old and new Kubernetes.
func fixtures() []fixture {
	litellm := func(o render.Options) render.Options {
		o.Target, o.LiteLLMVersion = facts.LiteLLM, "v1.106.2"
		return o
	}
	list := []fixture{
		{"llmgw defaults", render.Options{}, true},
		{"llmgw with a database budget", render.Options{Ceiling: budget(100), Namespace: "llm"}, false},
		{"llmgw with the server's limit", render.Options{Ceiling: server(100)}, false},
		{"llmgw on old Kubernetes", render.Options{KubeVersion: "1.27", Migrations: "init"}, true},
		{"llmgw with argocd and external secrets", render.Options{Migrations: "argocd", Secrets: "external", SecretStore: "vault,SecretStore"}, true},
		{"llmgw fixed size", render.Options{NoHPA: true, Replicas: num(2, "--replicas"), Migrations: "none", Secrets: "template", NumWorkers: num(4, "--num-workers")}, true},
		{"litellm with ui", litellm(render.Options{Namespace: "llm"}), true},
		{"litellm without ui, by digest", render.Options{Target: facts.LiteLLM, Image: digest, UI: no(), Migrations: "job", HPAMemory: num(0, "--hpa-memory")}, true},
		{"litellm with workers", litellm(render.Options{NumWorkers: num(4, "--num-workers"), MaxRequests: num(10000, "m"), RunGunicorn: true, Migrations: "argocd"}), false},
		{"litellm with a writable root", litellm(render.Options{WritableRoot: true, Migrations: "argocd-sync", Secrets: "external", SecretStore: "vault"}), false},
		{"litellm with an own user", litellm(render.Options{RunAsUser: num(10101, "--run-as-user"), KubeVersion: "1.30", Name: "gateway"}), false},
	}
	return list
}

func TestFixturesRenderValidAndStable(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			res, err := run(t, f.o, production)
			if err != nil {
				t.Fatalf("%v: %+v", err, res.Findings)
			}
			got := stream(t, res)
			again, _ := run(t, f.o, production)
			if diff := cmp.Diff(got, stream(t, again)); diff != "" {
				t.Errorf("a second run differs: %s", diff)
			}
			if !f.golden {
				return
			}
			if res.Secret != nil {
				got += "=== secret-template.yaml\n" + string(res.Secret.YAML)
			}
			for _, fd := range res.Findings {
				got += fmt.Sprintf("=== %s %s %s\n", fd.Severity, fd.ID, fd.Message)
			}
			path := filepath.Join("testdata", strings.NewReplacer(" ", "_", ",", "").Replace(f.name)+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheDatabaseRule(t *testing.T) {
	t.Parallel()
	limit := "general_settings: {master_key: os.environ/K, database_url: os.environ/DATABASE_URL, database_connection_pool_limit: 10}\nlitellm_settings: {request_timeout: 600}\n"
	free := strings.Replace(limit, ", database_connection_pool_limit: 10", "", 1)
	cases := []struct {
		name  string
		cfg   string
		o     render.Options
		limit string // in the rendered configuration; empty: none written
		most  string
		codes []string // of warnings and errors
	}{
		{"a budget alone gives the limit", free, render.Options{Ceiling: budget(100)}, "9", "10", nil},
		{"the server's own setting keeps a fifth free and counts the Job", free, render.Options{Ceiling: server(100)}, "6", "10", nil},
		{"a reserve is taken off first", free, render.Options{Ceiling: facts.Ceiling{Kind: facts.MaxDBConnections, N: num(100, "--max-db-connections"), Reserve: num(20, "--db-reserve")}}, "7", "10", nil},
		{"more replicas leave less for each", free, render.Options{Ceiling: budget(100), MaxReplicas: num(24, "--max-replicas")}, "4", "24", nil},
		{"a tiny limit is a warning", free, render.Options{Ceiling: budget(24)}, "2", "10", []string{"K-DB-SMALL"}},
		{"no limit fits", free, render.Options{Ceiling: budget(100), MaxReplicas: num(100, "--max-replicas")}, "", "", []string{"E-DB-BUDGET"}},
		{"a huge budget is capped", free, render.Options{Ceiling: budget(5000)}, "50", "10", nil},
		{"a budget and a limit give the replicas", limit, render.Options{Ceiling: budget(100)}, "10", "9", nil},
		{"the flag is a limit too", free, render.Options{Ceiling: budget(100), PoolLimit: num(20, "--pool-limit")}, "20", "4", nil},
		{"too little for the least replicas", limit, render.Options{Ceiling: budget(39)}, "", "", []string{"E-DB-OVER"}},
		{"all three fit", limit, render.Options{Ceiling: budget(110), MaxReplicas: num(10, "--max-replicas")}, "10", "10", nil},
		{"all three do not fit", limit, render.Options{Ceiling: budget(109), MaxReplicas: num(10, "--max-replicas")}, "", "", []string{"E-DB-OVER"}},
		{"without autoscaling the replicas are given", limit, render.Options{Ceiling: budget(39), NoHPA: true}, "", "", []string{"E-DB-OVER"}},
		{"it fits, with little left of the server", limit, render.Options{Ceiling: server(120), MaxReplicas: num(10, "--max-replicas")}, "10", "10", []string{"K-DB-HEADROOM"}},
		{"nothing is known", limit, render.Options{}, "10", "10", nil},
		{"workers multiply for LiteLLM", free, render.Options{Target: facts.LiteLLM, Image: digest, Ceiling: budget(200), NumWorkers: num(4, "--num-workers"), HPAMemory: num(0, "off")}, "4", "10", []string{"K-DB-DRAIN-OVERLAP", "K-WORKERS"}},
		{"workers do not multiply for llmgw", free, render.Options{Ceiling: budget(100), NumWorkers: num(4, "--num-workers")}, "9", "10", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res, err := run(t, c.o, c.cfg)
			if diff := cmp.Diff(c.codes, codes(res, finding.Warning)); diff != "" {
				t.Fatalf("%s\n%+v", diff, res.Findings)
			}
			if refused := slices.ContainsFunc(c.codes, func(s string) bool { return strings.HasPrefix(s, "E-") }); refused {
				if !errors.Is(err, render.ErrRefused) {
					t.Errorf("error %v, want %v", err, render.ErrRefused)
				}
				return
			}
			out := stream(t, res)
			if want := "database_connection_pool_limit: " + c.limit; !strings.Contains(out, want) {
				t.Errorf("the rendered configuration lacks %q", want)
			}
			if !c.o.NoHPA && !strings.Contains(out, "maxReplicas: "+c.most+"\n") {
				t.Errorf("maxReplicas is not %s", c.most)
			}
		})
	}
}

func TestThePodHasTimeForTheLastFlush(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, settings string
		margin         facts.Int
		want           int
	}{
		{"spend is written often", "litellm_settings: {request_timeout: 600}\ngeneral_settings: {proxy_batch_write_at: 60}", facts.Int{}, 5 + 600 + 15},
		{"as rarely as the longest request", "litellm_settings: {request_timeout: 60}\ngeneral_settings: {proxy_batch_write_at: 60}", facts.Int{}, 5 + 60 + 15},
		{"more rarely", "litellm_settings: {request_timeout: 30}\ngeneral_settings: {proxy_batch_write_at: 60}", facts.Int{}, 5 + 30 + 45},
		{"written as text", "litellm_settings: {request_timeout: 30}\ngeneral_settings: {proxy_batch_write_at: \"60\"}", facts.Int{}, 5 + 30 + 45},
		{"a stated margin stands", "litellm_settings: {request_timeout: 30}\ngeneral_settings: {proxy_batch_write_at: 60}", num(20, "--shutdown-margin"), 5 + 30 + 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res, err := run(t, render.Options{ShutdownMargin: c.margin}, c.settings)
			if err != nil {
				t.Fatal(err)
			}
			if text := fmt.Sprintf("terminationGracePeriodSeconds: %d\n", c.want); !strings.Contains(stream(t, res), text) {
				t.Errorf("no %q in the result", text)
			}
		})
	}
}

func TestBudgetErrorSaysHowManyFit(t *testing.T) {
	t.Parallel()
	res, _ := run(t, render.Options{Ceiling: budget(100), MaxReplicas: num(100, "--max-replicas")}, production)
	want := "100 connections / (101 instances x 1 worker) < 1; at most 99 replicas fit, or raise --max-db-connections"
	if res.Findings[0].Message != want {
		t.Errorf("got %q", res.Findings[0].Message)
	}
}

func TestBadCombinations(t *testing.T) {
	t.Parallel()
	small := "general_settings: {master_key: os.environ/K}\nlitellm_settings: {request_timeout: 600}\n"
	cases := []struct {
		name string
		cfg  string
		o    render.Options
		want []string
	}{
		{"litellm without an image", small, render.Options{Target: facts.LiteLLM}, []string{"E-IMAGE", "K-HPA-MEM"}},
		{"no image reference", small, render.Options{Image: "not an image"}, []string{"E-IMAGE"}},
		{"a moving tag", small, render.Options{Image: "ghcr.io/berriai/litellm:main-stable"}, []string{"K-IMAGE-MOVING"}},
		{"one replica", small, render.Options{Replicas: num(1, "--replicas")}, []string{"E-REPLICAS"}},
		{"one replica on purpose", small, render.Options{Replicas: num(1, "--replicas"), AllowSingle: true}, nil},
		{"no replica", small, render.Options{Replicas: num(0, "--replicas")}, []string{"E-REPLICAS"}},
		{"a negative number of replicas", small, render.Options{Replicas: num(-3, "--replicas")}, []string{"E-REPLICAS"}},
		{"more replicas than the most", small, render.Options{Replicas: num(5, "--replicas"), MaxReplicas: num(4, "--max-replicas")}, []string{"E-REPLICAS"}},
		{"no autoscaling, but a most", small, render.Options{NoHPA: true, MaxReplicas: num(4, "--max-replicas")}, []string{"E-REPLICAS"}},
		{"no workers", small, render.Options{NumWorkers: num(0, "--num-workers")}, []string{"E-WORKERS"}},
		{"ui of llmgw", small, render.Options{UI: no()}, []string{"E-FLAG-TARGET"}},
		{"gunicorn of llmgw", small, render.Options{RunGunicorn: true}, []string{"E-FLAG-TARGET"}},
		{"recycling of llmgw", small, render.Options{MaxRequests: num(1, "m")}, []string{"E-FLAG-TARGET"}},
		{"hooks nobody runs", small, render.Options{Migrations: "helm-hook"}, []string{"E-HOOK-PLAIN"}},
		{"unknown mode", small, render.Options{Migrations: "sometimes"}, []string{"E-MIGRATIONS"}},
		{"old Kubernetes", small, render.Options{KubeVersion: "1.26"}, []string{"E-KUBE"}},
		{"no Kubernetes", small, render.Options{KubeVersion: "newest"}, []string{"E-KUBE"}},
		{"no store for the external secret", small, render.Options{Secrets: "external"}, []string{"E-SECRET-STORE"}},
		{"unknown kind of secret", small, render.Options{Secrets: "vault"}, []string{"E-SECRETS"}},
		{"root", small, render.Options{RunAsUser: num(0, "--run-as-user")}, []string{"E-USER"}},
		{"a percentage above 100", small, render.Options{HPACPU: num(160, "--hpa-cpu")}, []string{"E-HPA"}},
		{"no CPU", small, render.Options{CPUPerWorker: "0"}, []string{"E-RESOURCES"}},
		{"memory in words", small, render.Options{MemoryPerWorker: "lots"}, []string{"E-RESOURCES"}},
		{"a name that is no name", small, render.Options{Name: "My_Gateway"}, []string{"E-NAME"}},
		{"a name that is too long", small, render.Options{Name: strings.Repeat("a", 53)}, []string{"E-NAME"}},
		{"no time for a request", small, render.Options{RequestTimeout: facts.NewSeconds(0, "--request-timeout", finding.Position{})}, []string{"E-TIMEOUT"}},
		{"no margin", small, render.Options{ShutdownMargin: num(3, "--shutdown-margin")}, []string{"E-TIMEOUT"}},
		{"a timeout that is text", "litellm_settings: {request_timeout: soon}", render.Options{}, []string{"E-TIMEOUT"}},
		{"a timeout below zero", "litellm_settings: {request_timeout: -1}", render.Options{}, []string{"E-TIMEOUT"}},
		{"an hour and more", small, render.Options{RequestTimeout: facts.NewSeconds(7200, "--request-timeout", finding.Position{})}, []string{"K-GRACE-LONG"}},
		{"no timeout", "general_settings: {master_key: os.environ/K}\n", render.Options{}, []string{"K-TIMEOUT-DEFAULT"}},
		{"a limit that is text", "general_settings: {database_connection_pool_limit: ten}\nlitellm_settings: {request_timeout: 600}", render.Options{}, []string{"E-DB-LIMIT"}},
		{"a limit that nobody knows here", "general_settings: {database_connection_pool_limit: os.environ/POOL}\nlitellm_settings: {request_timeout: 600}", render.Options{Ceiling: budget(100)}, []string{"E-DB-LIMIT"}},
		{"a value that would be a second key", small, render.Options{Overrides: render.Overrides{JSON: []string{`config.path="/etc/x\nevil: true"`}}}, []string{"E-VALUES"}},
		{"a limit of zero", small, render.Options{PoolLimit: num(0, "--pool-limit")}, []string{"E-DB-LIMIT"}},
		{"a budget of zero", small, render.Options{Ceiling: budget(0)}, []string{"E-DB-BUDGET"}},
		{"a literal key", "general_settings: {master_key: sk-abcdef}\nlitellm_settings: {request_timeout: 600}", render.Options{}, []string{"E-PLAINTEXT"}},
		{"a password in a URL", "general_settings: {database_url: 'postgres://u:secret@db/x'}\nlitellm_settings: {request_timeout: 600}", render.Options{}, []string{"E-PLAINTEXT"}},
		{"a key by its looks", "litellm_settings: {request_timeout: 600, x: sk-proj-aaaaaaaaaaaaaaaaaaaaaaaaaaaa}", render.Options{}, []string{"E-PLAINTEXT"}},
		{"usage based routing", small + "router_settings: {routing_strategy: usage-based-routing}\n", render.Options{}, []string{"K-ROUTING"}},
		{"redis by URL under LiteLLM", small + "router_settings: {redis_url: os.environ/REDIS_URL}\n", render.Options{Target: facts.LiteLLM, Image: digest}, []string{"K-HPA-MEM", "K-REDIS-URL"}},
		{"a variable nobody can have", small + "x: os.environ/two words\n", render.Options{}, []string{"E-ENV-NAME"}},
		{"an optional variable nobody wants", small, render.Options{OptionalEnv: []string{"NOPE"}}, []string{"E-ENV-NAME"}},
		{"a value of the wrong kind", small, render.Options{Overrides: render.Overrides{Set: []string{"replicas=many"}}}, []string{"E-VALUES", "K-OVERRIDE"}},
		{"a value nobody knows", small, render.Options{Overrides: render.Overrides{Set: []string{"replicaz=4"}}}, []string{"E-VALUES"}},
		{"a values file that is a list", small, render.Options{Overrides: render.Overrides{Files: []render.ValuesFile{{Name: "v.yaml", Data: []byte("- a")}}}}, []string{"E-VALUES"}},
		{"an override of a derived number", small, render.Options{Overrides: render.Overrides{Set: []string{"replicas=4"}}}, []string{"K-OVERRIDE"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res, err := run(t, c.o, c.cfg)
			if diff := cmp.Diff(c.want, codes(res, finding.Warning)); diff != "" {
				t.Fatalf("%s\n%+v", diff, res.Findings)
			}
			bad := slices.ContainsFunc(c.want, func(s string) bool { return strings.HasPrefix(s, "E-") })
			if bad != (err != nil) {
				t.Errorf("error %v", err)
			}
			if len(res.Objects) > 0 == (err != nil) {
				t.Errorf("%d objects with error %v", len(res.Objects), err)
			}
			for _, f := range res.Findings {
				if strings.ContainsAny(f.Message, "\n") || strings.Contains(f.Message, "secret@") || strings.Contains(f.Message, "sk-") && strings.Contains(f.Message, "aaaa") {
					t.Errorf("message %q", f.Message)
				}
			}
		})
	}
}

func TestOverridesCannotBreakTheRules(t *testing.T) {
	t.Parallel()
	cases := []struct{ set, rule string }{
		{"shutdownMargin=1", "E-RULE-GRACE"},
		{"replicas=1", "E-RULE-REPLICAS"},
		{"autoscaling.maxReplicas=50", "E-RULE-DB"},
		{"extraEnv.OPENAI_API_KEY=abc", "E-RULE-ENV"},
		{"extraEnv.HTTP_PROXY=http://u:p@proxy", "E-RULE-ENV"},
		{"extraEnv.DISABLE_SCHEMA_UPDATE=maybe", "E-RULE-SCHEMA"},
		{"goMemLimit=99999999999B", "E-RULE-RESOURCES"},
		{"readOnlyRootFilesystem=false", "E-RULE-SECURITY"},
		{`config.files.config\.yaml=x: os.environ/NOT_THERE`, "E-RULE-CONFIG"},
		{`config.files.config\.yaml=api_key: plain`, "E-RULE-CONFIG"},
	}
	for _, c := range cases {
		t.Run(c.set, func(t *testing.T) {
			t.Parallel()
			o := render.Options{Ceiling: budget(100), Overrides: render.Overrides{Set: []string{c.set}}}
			res, err := run(t, o, production)
			if !errors.Is(err, render.ErrInvalid) || !slices.Contains(codes(res, finding.Error), c.rule) {
				t.Errorf("error %v, findings %+v", err, res.Findings)
			}
			if len(res.Objects) > 0 {
				t.Error("there is a result all the same")
			}
		})
	}
}

func TestSecretsAreMovedOut(t *testing.T) {
	t.Parallel()
	cfg := `model_list:
- model_name: a b
  litellm_params: {model: openai/x, api_key: "sk-one"} # flow
- model_name: a b
  litellm_params: {model: openai/x, api_key: sk-two}
- model_name: c
  litellm_params: {model: openai/x, api_key: 'sk-one'}
general_settings:
  master_key: sk-1234 # the key
  database_url: postgresql://u:pw@db/litellm
litellm_settings: {request_timeout: 600}
environment_variables:
  LANGFUSE_SECRET_KEY: lf-secret
  PLAIN: x
`
	res, err := run(t, render.Options{ExtractSecrets: true}, cfg)
	if err != nil {
		t.Fatalf("%v %+v", err, res.Findings)
	}
	want := []string{"A_B_API_KEY", "A_B_API_KEY_2", "DATABASE_URL", "LANGFUSE_SECRET_KEY", "LITELLM_MASTER_KEY", "LITELLM_SALT_KEY"}
	if diff := cmp.Diff(want, res.SecretKeys); diff != "" {
		t.Error(diff)
	}
	out := stream(t, res)
	for _, secret := range []string{"sk-one", "sk-two", "sk-1234", "pw@", "lf-secret"} {
		if strings.Contains(out, secret) {
			t.Errorf("%s is still there", secret)
		}
	}
	for _, kept := range []string{"api_key: os.environ/A_B_API_KEY} # flow", "master_key: os.environ/LITELLM_MASTER_KEY # the key", "PLAIN: x"} {
		if !strings.Contains(out, kept) {
			t.Errorf("%q is not there", kept)
		}
	}
}

func TestTheMigrationReachesTheDatabaseTheConfigurationNames(t *testing.T) {
	t.Parallel()
	res, err := run(t, render.Options{}, "general_settings: {master_key: os.environ/K, database_url: os.environ/GATEWAY_DB}\nlitellm_settings: {request_timeout: 5}\nx: os.environ/DIRECT_URL\n")
	if err != nil {
		t.Fatal(err)
	}
	out := stream(t, res)
	if !strings.Contains(out, "- name: DATABASE_URL\n          valueFrom:\n            secretKeyRef:\n              key: GATEWAY_DB\n") {
		t.Errorf("the Job does not get the URL from GATEWAY_DB:\n%s", out)
	}
	if diff := cmp.Diff([]string{"DIRECT_URL", "GATEWAY_DB", "K", "LITELLM_SALT_KEY"}, res.SecretKeys); diff != "" {
		t.Error(diff)
	}
}

func TestSwitchingTheTargetKeepsNames(t *testing.T) {
	t.Parallel()
	names := func(o render.Options) []string {
		o.Name, o.Migrations = "gateway", "argocd"
		res, err := run(t, o, production)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, o := range res.Objects {
			out = append(out, o.Kind+"/"+o.Name)
		}
		return append(out, res.SecretName)
	}
	ours, theirs := names(render.Options{}), names(render.Options{Target: facts.LiteLLM, Image: digest})
	if diff := cmp.Diff(ours, theirs); diff != "" {
		t.Error(diff)
	}
}

func TestNoConfigurationRendersTheExample(t *testing.T) {
	t.Parallel()
	res, err := run(t, render.Options{}, "")
	if err != nil || len(res.Objects) < 8 || !slices.Contains(codes(res, finding.Info), "K-NO-CONFIG") {
		t.Errorf("%v, %d objects, %v", err, len(res.Objects), codes(res, finding.Info))
	}
}

func TestKnownEnvironmentIsCheckedByName(t *testing.T) {
	t.Parallel()
	env := config.NewEnv(true)
	for _, name := range []string{"AZURE_API_KEY", "AZURE_API_BASE", "OPENAI_API_KEY", "LITELLM_MASTER_KEY", "DATABASE_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"} {
		env.Set(config.Var{Name: name, Value: "v-" + name, Known: true})
	}
	res, err := run(t, render.Options{KnownEnv: env, OptionalEnv: []string{"SLACK_WEBHOOK_URL"}}, production)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"K-SALT"}, codes(res, finding.Warning)); diff != "" {
		t.Error(diff)
	}
	if out := stream(t, res); strings.Contains(out, "v-AZURE") || !strings.Contains(out, "optional: true") {
		t.Error("a value was rendered, or the optional variable is not optional")
	}
}

func TestExplainNamesEveryOrigin(t *testing.T) {
	t.Parallel()
	res, err := run(t, render.Options{Ceiling: server(100)}, production)
	if err != nil {
		t.Fatal(err)
	}
	var text, object bytes.Buffer
	if err := errors.Join(res.ExplainText(&text), res.ExplainJSON(&object)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"database_connection_pool_limit        6 = floor((0.8 x 97 - 2) / ((10 + 1) x 1))",
		"600 request_timeout at config.yaml:19:3",
		"100 --max-connections",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the explanation lacks %q:\n%s", want, text.String())
		}
	}
	if !strings.HasPrefix(object.String(), "{\n  \"schema\": \"llmgw.render.explain/1\",") {
		t.Errorf("%.80s", object.String())
	}
}

// FuzzRender: any configuration either renders to objects that keep every
// rule, or is refused with a reason of one line that shows no value.
func FuzzRender(f *testing.F) {
	for _, seed := range []string{
		production, "", "{}", "general_settings: null", "litellm_settings: {request_timeout: 1e3}", "x: !!binary aGk=",
		"general_settings:\n  database_url: postgres://u:p@h/d\n", "include: [a.yaml]", "environment_variables: {A: os.environ/B}",
		"litellm_settings: {request_timeout: .inf}", "a: \"\\0\\x07\"", "a: os.environ/", "general_settings: {alerting: slack}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tr, _, err := config.Load(config.Sources{Data: []byte(text), File: "config.yaml", KeepReferences: true})
		if err != nil {
			return
		}
		res, err := render.Render(render.Options{Engine: helm.Engine{}, Version: "1.2.3", Tree: tr, ExtractSecrets: true})
		if errors.Is(err, render.ErrInvalid) {
			t.Fatalf("%q: %+v", text, res.Findings)
		}
		if err == nil && len(res.Objects) < 6 {
			t.Fatalf("%q: %d objects", text, len(res.Objects))
		}
		for _, fd := range res.Findings {
			if err != nil && strings.Contains(fd.Message, "\n") {
				t.Fatalf("%q: message %q", text, fd.Message)
			}
		}
	})
}
