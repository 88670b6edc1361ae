package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// example loads one of the complete configurations.
func example(t *testing.T, name string, env ...string) *Tree {
	t.Helper()
	tree, findings := mustLoad(t, Sources{Path: "testdata/examples/" + name + ".yaml", VariableWins: true, Env: environ(env...)})
	for _, f := range findings {
		if f.ID != "CFG007" && f.ID != "CFG013" {
			t.Errorf("%s: %s", f.Pos, f.Message)
		}
	}
	return tree
}

func TestTheSmallExample(t *testing.T) {
	tree := example(t, "small", "LITELLM_MASTER_KEY=sk-local-1234", "OPENAI_API_KEY=sk-x", "LITELLM_MODE=PRODUCTION")
	models := tree.Models()
	if len(models) != 2 || models[1].MockResponse.V != "pong" || models[0].APIKey.V.Reveal() != "sk-x" || models[1].APIKey.V.Reveal() != "not-used" {
		t.Errorf("%+v", models)
	}
	router := tree.Router()
	if router.NumRetries.V != 2 || router.CooldownTime.V != 5 || router.RoutingStrategy.V != "simple-shuffle" || router.Timeout.V != 600 || router.AllowedFails.V != 3 || router.MaxFallbacks.V != 5 {
		t.Errorf("%+v", router)
	}
	if general := tree.General(); general.MasterKey.V.Reveal() != "sk-local-1234" || general.MasterKey.Origin.String() != "variable LITELLM_MASTER_KEY (environment) by testdata/examples/small.yaml:17:15" {
		t.Errorf("%s", general.MasterKey.Origin)
	}
	if !tree.LiteLLM().DropParams.V || tree.UsesDatabase() || tree.UsesRedis() || tree.CacheType() != "" {
		t.Error("drop_params, or a database or a Redis out of nowhere")
	}
	if s := fmt.Sprintf("%+v %v %#v", models, tree.General(), tree.General()); strings.Contains(s, "sk-x\"") || strings.Contains(s, "{sk-") {
		t.Errorf("a secret is printed: %s", s)
	}
}

func TestTheMediumExample(t *testing.T) {
	tree := example(t, "medium", "LITELLM_MASTER_KEY=sk-m", "DATABASE_URL=postgresql://u:p@h/d", "REDIS_HOST=r", "REDIS_PORT=6379", "REDIS_PASSWORD=p", "DISABLE_SCHEMA_UPDATE=true")
	m := tree.Models()
	if len(m) != 4 || m[0].Name.V != m[1].Name.V || m[0].RPM.V != 600 || m[1].RPM.V != 300 {
		t.Errorf("%+v", m)
	}
	if m[0].Timeout.V != 120 || m[0].StreamTimeout.V != 30 || m[1].Timeout.Set() || m[0].BaseModel.V != "azure/gpt-4o-2024-08-06" || m[3].Mode.V != "embedding" || m[0].APIVersion.V != "2024-10-21" {
		t.Errorf("%+v", m[0])
	}
	g := tree.General()
	if g.DatabaseConnectionPoolLimit.V != 10 || !g.DatabaseConnectionPoolLimit.Set() || g.ProxyBatchWriteAt.V != 60 || !g.DisableErrorLogs.V || g.AllowRequestsOnDBUnavailable.V || !g.AllowRequestsOnDBUnavailable.Set() ||
		g.AlertingThreshold.V != 300 || !g.DisablePrismaSchemaUpdate.V || g.SpendLogsRetention.V != "30d" || cmp.Diff(g.Alerting.V, []string{"slack"}) != "" {
		t.Errorf("%+v", g)
	}
	r := tree.Router()
	if r.Timeout.V != 300 || r.CooldownTime.V != 30 || !r.EnablePreCallChecks.V || len(r.Fallbacks) != 1 || r.Fallbacks[0].Targets[0].Group != "gpt-4o-mini" || len(r.ContextWindowFallbacks) != 1 {
		t.Errorf("%+v", r)
	}
	if port, ok := tree.Get("router_settings.redis_port").Int(); !ok || port != 6379 {
		t.Error("a port from a variable is not a number")
	}
	if !tree.UsesRedis() || !tree.UsesDatabase() || tree.CacheType() != "redis" || !tree.LiteLLM().JSONLogs.V {
		t.Error("Redis, database, cache or logs")
	}
}

func TestTheLargeExample(t *testing.T) {
	tree := example(t, "large", "LITELLM_MASTER_KEY=sk-m", "COHERE_AUTH_HEADER=Bearer x")
	m := tree.Models()
	if len(m) != 8 || m[6].Name.V != "llama-internal" || m[7].APIKey.V.Reveal() != "none" || m[6].Pos().File != "testdata/examples/models.selfhosted.yaml" {
		t.Errorf("%+v", m)
	}
	if cost, ok := m[7].Params.Get("input_cost_per_token").Number(); !ok || cost != 1e-7 {
		t.Error("1e-7 is text to YAML 1.1 and still a price")
	}
	r := tree.Router()
	if r.NumRetries.V != 1 || r.NumRetries.Path != "litellm_settings.num_retries" || len(r.Fallbacks) != 2 || r.Fallbacks[1].Group != "*" || r.Fallbacks[1].Targets[0].Group != "chat-fast" {
		t.Errorf("%+v", r)
	}
	if len(r.Aliases) != 2 || r.Aliases[0].Group != "chat-large" || r.Aliases[0].Hidden || !r.Aliases[1].Hidden || r.Aliases[1].Group != "chat-fast" {
		t.Errorf("%+v", r.Aliases)
	}
	if header, _ := tree.Get("general_settings.pass_through_endpoints[0].headers.Authorization").Str(); header != "Bearer x" {
		t.Errorf("header %q", header)
	}
	if tree.Env().Get("OTEL_EXPORTER") != "otlp_http" || !tree.General().StoreModelInDB.V || m[2].CooldownTime.V != 10 || m[3].Weight.V != 1 || m[0].Order.V != 1 {
		t.Error("environment_variables, store_model_in_db, cooldown, weight or order")
	}
}

func TestWhereASettingComesFrom(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		env        []string
		get        func(*Tree) string
		want       string
	}{
		{"the router's own retries", "router_settings: {num_retries: 0}\nlitellm_settings: {num_retries: 4}", nil, func(t *Tree) string { return show(t.Router().NumRetries) }, "0 c:1:32"},
		{"the library's retries", "litellm_settings: {num_retries: 4}", nil, func(t *Tree) string { return show(t.Router().NumRetries) }, "4 c:1:33"},
		{"retries by variable", "{}", []string{"DEFAULT_MAX_RETRIES=7"}, func(t *Tree) string { return show(t.Router().NumRetries) }, "7 variable DEFAULT_MAX_RETRIES (environment)"},
		{"a written 6000 is 6000", "litellm_settings: {request_timeout: 6000}", nil, func(t *Tree) string { return show(t.Router().Timeout) }, "6000 c:1:37"},
		{"nothing written is 600", "{}", nil, func(t *Tree) string { return show(t.Router().Timeout) }, "600 default"},
		{"a timeout of zero is unset", "router_settings: {timeout: 0}\nlitellm_settings: {request_timeout: '30'}", nil, func(t *Tree) string { return show(t.Router().Timeout) }, "30 c:2:37"},
		{"a timeout by variable", "{}", []string{"REQUEST_TIMEOUT=45"}, func(t *Tree) string { return show(t.LiteLLM().RequestTimeout) }, "45 variable REQUEST_TIMEOUT (environment)"},
		{"a cooldown of zero is the default", "router_settings: {cooldown_time: 0}", nil, func(t *Tree) string { return show(t.Router().CooldownTime) }, "5 default"},
		{"a bad number is the default, and bad", "router_settings: {num_retries: x}", nil, func(t *Tree) string { return fmt.Sprint(show(t.Router().NumRetries), t.Router().NumRetries.Bad) }, "2 c:1:32true"},
		{"store_model_in_db: the environment wins", "general_settings: {store_model_in_db: true}", []string{"STORE_MODEL_IN_DB=False"}, func(t *Tree) string { return show(t.General().StoreModelInDB) }, "false variable STORE_MODEL_IN_DB (environment)"},
		{"drop_params: a false word is false", "{}", []string{"LITELLM_DROP_PARAMS=False"}, func(t *Tree) string { return show(t.LiteLLM().DropParams) }, "false variable LITELLM_DROP_PARAMS (environment)"},
		{"ssl_verify: the environment wins", "litellm_settings: {ssl_verify: true}", []string{"SSL_VERIFY=False"}, func(t *Tree) string { return show(t.LiteLLM().SSLVerify) }, "false variable SSL_VERIFY (environment)"},
		{"ssl_verify may be a file", "litellm_settings: {ssl_verify: /ca.pem}", nil, func(t *Tree) string { return show(t.LiteLLM().SSLVerify) }, "/ca.pem c:1:32"},
		{"disable_prisma_schema_update wins over the variable", "general_settings: {disable_prisma_schema_update: false}", []string{"DISABLE_SCHEMA_UPDATE=true"}, func(t *Tree) string { return show(t.General().DisablePrismaSchemaUpdate) }, "false c:1:50"},
		{"DISABLE_SCHEMA_UPDATE=1 disables", "{}", []string{"DISABLE_SCHEMA_UPDATE=1"}, func(t *Tree) string { return show(t.General().DisablePrismaSchemaUpdate) }, "true variable DISABLE_SCHEMA_UPDATE (environment)"},
		{"a single callback as text", "litellm_settings: {callbacks: prometheus}", nil, func(t *Tree) string { return show(t.LiteLLM().Callbacks) }, "[prometheus] c:1:31"},
		{"an empty list of the router yields to the library", "router_settings: {fallbacks: []}\nlitellm_settings: {fallbacks: [{a: [b]}]}", nil, func(t *Tree) string { return fmt.Sprint(len(t.Router().Fallbacks)) }, "1"},
		{"a fallback given as text", "router_settings: {fallbacks: [{a: b}]}", nil, func(t *Tree) string { return t.Router().Fallbacks[0].Targets[0].Group }, "b"},
		{"base_url stands in for api_base", "model_list: [{litellm_params: {base_url: x}}]", nil, func(t *Tree) string { return show(t.Models()[0].APIBase) }, "x c:1:42"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, _ := mustLoad(t, Sources{Data: []byte(c.yaml + "\n"), File: "c", Env: environ(c.env...)})
			if got := c.get(tree); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func show[T any](v Value[T]) string { return fmt.Sprint(v.V, " ", v.Origin) }

func TestViewsOfNonsenseDoNotPanic(t *testing.T) {
	for _, yaml := range []string{
		"general_settings: [a]\nrouter_settings: 1\nlitellm_settings: x\nmodel_list: {a: b}\n",
		"model_list: [a, 1, ~, [b], {litellm_params: [x], model_info: 1}]\n",
		"router_settings: {fallbacks: {a: b}, model_group_alias: [a], default_fallbacks: {a: b}, retry_policy: 1}\n",
		"general_settings:\nrouter_settings:\nlitellm_settings:\nmodel_list:\n", "",
	} {
		tree, _ := mustLoad(t, Sources{Data: []byte(yaml), File: "c", Env: environ()})
		tree.General()
		tree.LiteLLM()
		tree.Router()
		for _, m := range tree.Models() {
			_ = m.Pos()
		}
		tree.Effective()
	}
}

func TestEffectiveLeavesTheTreeAlone(t *testing.T) {
	data, err := os.ReadFile("testdata/examples/medium.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tree, _ := mustLoad(t, Sources{Data: data, File: "c", Env: environ()})
	before := fmt.Sprint(pyValue(tree.Root()))
	root := tree.Effective()
	if fmt.Sprint(pyValue(tree.Root())) != before {
		t.Error("the tree was changed")
	}
	n := root.Lookup("general_settings.health_check_details")
	if n == nil || n.Origin.Kind != FromDefault || root.Lookup("router_settings.num_retries").Origin.Kind != FromFile {
		t.Error("defaults or origins are missing")
	}
}

func TestWhatCountsAsASecret(t *testing.T) {
	const yaml = `model_list:
  - litellm_params: {api_key: a, aws_secret_access_key: b, vertex_credentials: {x: c}, extra_headers: {Y: d}, api_base: os.environ/BASE, custom: os.environ/X, timeout: os.environ/N,
      input_cost_per_token: 0.1, max_tokens: 5, model: "openai/x"}
general_settings: {master_key: e, database_url: "postgresql://u:pw@h/d", user_api_key_cache_ttl: 6, litellm_key_header_name: X-Key, alert_to_webhook_url: {a: [https://h]}}
environment_variables: {LANGFUSE_SECRET_KEY: f, OTEL_EXPORTER: g, SLACK_WEBHOOK_URL: https://hooks.slack.com/services/h}
router_settings: {redis_password: i, redis_host: os.environ/HOST, redis_port: os.environ/N}
mcp_servers: {s: {env: {ANY: j}, auth_value: k, url: "https://x/"}}
`
	tree, _ := mustLoad(t, Sources{Data: []byte(yaml), File: "c", Env: environ("BASE=https://u:pw@x/v1", "X=hidden", "N=5", "HOST=redis")})
	p := "model_list[0].litellm_params."
	for path, want := range map[string]string{
		p + "api_key": "***", p + "aws_secret_access_key": "***", p + "vertex_credentials.x": "***", p + "extra_headers.Y": "***", p + "api_base": "https://u:***@x/v1",
		p + "custom": "***", p + "timeout": "5", p + "input_cost_per_token": "0.1", p + "max_tokens": "5", p + "model": "openai/x",
		"general_settings.master_key": "***", "general_settings.database_url": "postgresql://u:***@h/d", "general_settings.user_api_key_cache_ttl": "6",
		"general_settings.litellm_key_header_name": "X-Key", "general_settings.alert_to_webhook_url.a[0]": "***",
		"environment_variables.LANGFUSE_SECRET_KEY": "***", "environment_variables.OTEL_EXPORTER": "g", "environment_variables.SLACK_WEBHOOK_URL": "***",
		"router_settings.redis_password": "***", "router_settings.redis_host": "redis", "router_settings.redis_port": "5",
		"mcp_servers.s.env.ANY": "***", "mcp_servers.s.auth_value": "***", "mcp_servers.s.url": "https://x/",
	} {
		if got := tree.Get(path).Display(); got != want {
			t.Errorf("%s is shown as %q, want %q", path, got, want)
		}
	}
}
