package startcheck

import (
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

const goodKey = "LITELLM_MASTER_KEY=sk-a-long-and-random-planted-key"

func load(t *testing.T, yaml string, env ...string) *config.Tree {
	t.Helper()
	tree, _, err := config.Load(config.Sources{Data: []byte(yaml + "\n"), File: "c.yaml", Env: config.ProcessEnv(env)})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestReasonsNotToStart(t *testing.T) {
	withKey := []string{goodKey}
	for _, c := range []struct {
		name  string
		yaml  string
		env   []string
		facts Facts
		want  []string // position and beginning of each sentence; none: it starts
	}{
		{"a good configuration", "model_list: [{model_name: a, litellm_params: {model: openai/x}}]", withKey, Facts{}, nil},
		{"an empty one with a key", "{}", withKey, Facts{}, nil},

		{"no master key", "{}", nil, Facts{}, []string{"c.yaml:1:1 there is no master key"}},
		{"no master key, with the section", "litellm_settings: {}\ngeneral_settings: {}", nil, Facts{}, []string{"c.yaml:2:1 there is no master key"}},
		{"an empty master key", "general_settings: {master_key: ''}", nil, Facts{}, []string{"c.yaml:1:20 the master key is empty"}},
		{"a null master key does not fall back", "general_settings: {master_key: }", withKey, Facts{}, []string{"c.yaml:1:20 general_settings.master_key is null"}},
		{"a reference to a missing variable does not fall back", "general_settings: {master_key: os.environ/TYPO}", withKey, Facts{},
			[]string{"c.yaml:1:20 general_settings.master_key: environment variable TYPO is not set (LITELLM_MASTER_KEY is set; did you mean it?)"}},
		{"a sample key", "general_settings: {master_key: sk-1234}", nil, Facts{}, []string{"c.yaml:1:20 the master key is a sample"}},
		{"a sample key in a variable", "{}", []string{"LITELLM_MASTER_KEY=sk-1234"}, Facts{}, []string{"<env> the master key in LITELLM_MASTER_KEY is a sample"}},
		{"a sample key by reference", "general_settings: {master_key: os.environ/K}", []string{"K=sk-1234"}, Facts{}, []string{"c.yaml:1:20 the master key in K is a sample"}},
		{"a list as the key", "general_settings: {master_key: [a]}", nil, Facts{}, []string{"c.yaml:1:20 general_settings.master_key is a list"}},
		{"a sample key on loopback", "general_settings: {master_key: sk-1234}", nil, Facts{Host: "127.0.0.1"}, nil},
		{"a sample key on loopback by name", "general_settings: {master_key: sk-1234}", nil, Facts{Host: "localhost"}, nil},
		{"a sample key on loopback, IPv6", "general_settings: {master_key: sk-1234}", nil, Facts{Host: "::1"}, nil},
		{"a sample key on an address of the network", "general_settings: {master_key: sk-1234}", nil, Facts{Host: "10.0.0.1"}, []string{"c.yaml:1:20 the master key is a sample"}},
		{"no key, --insecure-no-auth", "{}", nil, Facts{InsecureNoAuth: true}, nil},
		{"no key, allowed by one variable", "{}", []string{"LITELLM_DANGEROUSLY_ALLOW_UNSAFE_PROXY=true"}, Facts{}, nil},
		{"no key, allowed by the other variable", "{}", []string{"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=True"}, Facts{}, nil},
		{"no key, the variable says no", "{}", []string{"LITELLM_DANGEROUSLY_ALLOW_UNSAFE_PROXY=false"}, Facts{}, []string{"c.yaml:1:1 there is no master key"}},
		{"no key, allowed by one setting", "general_settings: {dangerously_allow_unsafe_proxy: true}", nil, Facts{}, nil},
		{"no key, allowed by the other setting", "general_settings: {dangerously_permit_weak_or_unset_master_key: true}", nil, Facts{}, nil},

		{"a database that is not Postgres", "general_settings: {database_url: 'sqlite:///x.db'}", withKey, Facts{},
			[]string{"c.yaml:1:20 general_settings.database_url uses unsupported scheme 'sqlite'. LiteLLM's database features (virtual keys, store_model_in_db, spend tracking) require PostgreSQL"}},
		{"a database URL without a scheme", "{}", []string{goodKey, "DATABASE_URL=llm:planted@db/llm"}, Facts{}, []string{"<env> DATABASE_URL uses unsupported scheme '<missing scheme>'"}},
		{"a password where the scheme should be", "{}", []string{goodKey, "DATABASE_URL=planted!@://x"}, Facts{}, []string{"<env> DATABASE_URL uses unsupported scheme '<missing scheme>'"}},
		{"a direct URL of another kind", "{}", []string{goodKey, "DIRECT_URL=mysql://u:planted@db/llm"}, Facts{}, []string{"<env> DIRECT_URL uses unsupported scheme 'mysql'"}},
		{"Postgres by either name", "{}", []string{goodKey, "DATABASE_URL=postgres://u:p@db/llm", "DIRECT_URL=PostgreSQL://u:p@db/llm"}, Facts{}, nil},
		{"an unresolved database URL", "general_settings: {database_url: os.environ/DB}", withKey, Facts{}, []string{"c.yaml:1:34 general_settings.database_url: environment variable DB is not set"}},
		{"an empty salt with a database", "{}", []string{goodKey, "DATABASE_URL=postgresql://u:p@db/llm", "LITELLM_SALT_KEY="}, Facts{}, []string{"<env> LITELLM_SALT_KEY is set but empty"}},
		{"an empty salt without a database", "{}", []string{goodKey, "LITELLM_SALT_KEY="}, Facts{}, nil},
		{"IAM and Entra together", "{}", []string{goodKey, "IAM_TOKEN_DB_AUTH=True"}, Facts{AzurePostgresqlAuth: true}, []string{"<env> --iam-token-db-auth and --azure-postgresql-auth are both on"}},
		{"IAM, not in this build", "{}", withKey, Facts{IAMTokenDBAuth: true}, []string{"<args>:1 --iam-token-db-auth (IAM_TOKEN_DB_AUTH) is not supported"}},
		{"Entra, not in this build", "{}", []string{goodKey, "AZURE_POSTGRESQL_AUTH=true"}, Facts{}, []string{"<env> --azure-postgresql-auth (AZURE_POSTGRESQL_AUTH) is not supported"}},
		{"db push in production", "{}", []string{goodKey, "LITELLM_MODE=PRODUCTION"}, Facts{UsePrismaDBPush: true}, []string{"<args>:1 --use-prisma-db-push can drop columns"}},
		{"db push elsewhere", "{}", withKey, Facts{UsePrismaDBPush: true}, nil},

		{"a Python hook", "general_settings: {custom_auth: my.auth}", withKey, Facts{}, []string{"c.yaml:1:20 general_settings.custom_auth names Python code"}},
		{"every other Python hook", "general_settings: {custom_key_generate: a.b, custom_key_update: a.b, custom_sso: a.b, custom_ui_sso_sign_in_handler: a.b, custom_team_metadata_validate: a.b}", withKey, Facts{},
			[]string{"c.yaml:1:20 general_settings.custom_key_generate", "c.yaml:1:46 general_settings.custom_key_update", "c.yaml:1:70 general_settings.custom_sso",
				"c.yaml:1:87 general_settings.custom_ui_sso_sign_in_handler", "c.yaml:1:123 general_settings.custom_team_metadata_validate"}},
		{"a hook of the worker", "{}", []string{goodKey, "LITELLM_WORKER_STARTUP_HOOKS=a:b"}, Facts{}, []string{"<env> LITELLM_WORKER_STARTUP_HOOKS names Python code"}},
		{"JWT", "general_settings: {enable_jwt_auth: true}", withKey, Facts{}, []string{"c.yaml:1:20 general_settings.enable_jwt_auth: JWT authentication is not supported"}},
		{"JWT switched off", "general_settings: {enable_jwt_auth: false, litellm_jwtauth: {}}", withKey, Facts{}, nil},
		{"OAuth2 and RBAC", "general_settings: {enable_oauth2_auth: true, enable_oauth2_proxy_auth: 'true', enforce_rbac: true, oauth2_config_mappings: {a: b}}", withKey, Facts{},
			[]string{"c.yaml:1:20 ", "c.yaml:1:46 ", "c.yaml:1:80 ", "c.yaml:1:100 "}},

		{"a default guardrail", "guardrails: [{guardrail_name: g, litellm_params: {guardrail: presidio, mode: pre_call, default_on: true}}]", withKey, Facts{},
			[]string{"c.yaml:1:88 guardrail g (presidio) is on by default and not supported by this build: traffic would go out unfiltered"}},
		{"a default guardrail of the older form", "litellm_settings: {guardrails: [{pi: {callbacks: [lakera], default_on: true}}]}", withKey, Facts{}, []string{"c.yaml:1:60 guardrail pi is on by default"}},
		{"a guardrail on request", "guardrails: [{guardrail_name: g, litellm_params: {guardrail: presidio, default_on: false}}]", withKey, Facts{}, nil},
		{"a default guardrail, allowed to be missing", "guardrails: [{guardrail_name: g, litellm_params: {guardrail: presidio, default_on: true}}]", withKey, Facts{AllowMissingGuardrails: true}, nil},
		{"a default guardrail this build has", "guardrails: [{guardrail_name: g, litellm_params: {guardrail: presidio, default_on: true}}]", withKey, Facts{Guardrails: []string{"presidio"}}, nil},

		{"a secret manager", "general_settings: {key_management_system: aws_secret_manager}", withKey, Facts{}, []string{"c.yaml:1:20 general_settings.key_management_system: aws_secret_manager is not supported"}},
		{"a secret manager nobody has", "general_settings: {key_management_system: vlaut}", withKey, Facts{}, []string{"c.yaml:1:20 Invalid Key Management System selected"}},
		{"a secret manager this build has", "general_settings: {key_management_system: hashicorp_vault}", withKey, Facts{KeyManagement: []string{"hashicorp_vault"}}, nil},
		{"the older switches", "general_settings: {use_google_kms: true, use_azure_key_vault: true}", []string{goodKey, "USE_AWS_KMS=True"}, Facts{}, []string{"<env> USE_AWS_KMS", "c.yaml:1:20 general_settings.use_google_kms", "c.yaml:1:42 general_settings.use_azure_key_vault"}},

		{"half a TLS pair", "{}", withKey, Facts{CertFile: "c.pem"}, []string{"<args>:1 Both --ssl_certfile_path and --ssl_keyfile_path are required for SSL."}},
		{"the other half", "{}", withKey, Facts{KeyFile: "k.pem"}, []string{"<args>:1 Both --ssl_certfile_path and --ssl_keyfile_path are required for SSL."}},
		{"both halves", "{}", withKey, Facts{CertFile: "c.pem", KeyFile: "k.pem"}, nil},
		{"metrics on the port of the gateway", "{}", withKey, Facts{Port: 4000, MetricsPort: 4000}, []string{"<args>:1 --prometheus_metrics_port must differ from --port"}},

		{"a bad routing strategy", "router_settings: {routing_strategy: random}", withKey, Facts{}, []string{"c.yaml:1:19 Invalid routing_strategy: 'random'. Valid options: ['simple-shuffle', "}},
		{"a list as the routing strategy", "router_settings: {routing_strategy: [a]}", withKey, Facts{}, []string{"c.yaml:1:19 Invalid routing_strategy: '['a']'"}},
		{"every good one", "router_settings: {routing_strategy: latency-based-routing}", withKey, Facts{}, nil},
		{"health checks in the router", "router_settings: {health_check_interval: 3, health_check_concurrency: 1}", withKey, Facts{},
			[]string{"c.yaml:1:19 'health_check_interval' is NOT a valid router_settings parameter. Please move it to 'general_settings'.", "c.yaml:1:45 'health_check_concurrency'"}},
		{"fallbacks of two keys and of text", "model_list: [{model_name: a, litellm_params: {model: m}}, {model_name: b, litellm_params: {model: m}}]\nrouter_settings: {fallbacks: [{a: [b], b: [a]}, a]}", withKey, Facts{},
			[]string{"c.yaml:2:31 Dictionary '{'a': ['b'], 'b': ['a']}' must have exactly one key, but has 2 keys.", "c.yaml:2:49 Item 'a' is not a dictionary."}},
		{"fallbacks of the library section", "litellm_settings: {context_window_fallbacks: [a]}", withKey, Facts{}, []string{"c.yaml:1:47 Item 'a' is not a dictionary."}},
		{"an empty mapping", "router_settings: {content_policy_fallbacks: [{}]}", withKey, Facts{}, []string{"c.yaml:1:46 Dictionary '{}' must have exactly one key, but has 0 keys."}},
		{"fallbacks that are no list", "router_settings: {fallbacks: {a: [b]}}", withKey, Facts{}, []string{"c.yaml:1:19 router_settings.fallbacks is a mapping"}},
		{"the router's good list hides the other", "router_settings: {fallbacks: [{a: [b]}]}\nlitellm_settings: {fallbacks: [x]}", withKey, Facts{}, nil},

		{"models that nobody could call", "model_list: [a, {litellm_params: {model: m}}, {model_name: a}, {model_name: a, litellm_params: [x]}, {model_name: a, litellm_params: {}}, {model_name: a, litellm_params: {model: [x]}}]", withKey, Facts{},
			[]string{"c.yaml:1:14 model_list[0] is text", "c.yaml:1:18 model_list[1] has no model_name", "c.yaml:1:48 model_list[2] has no litellm_params", "c.yaml:1:80 model_list[3].litellm_params is a list",
				"c.yaml:1:103 model_list[4].litellm_params has no model", "c.yaml:1:172 model_list[5].litellm_params.model is a list"}},
		{"a model from a missing variable", "model_list: [{model_name: a, litellm_params: {model: os.environ/M}}]", withKey, Facts{}, []string{"c.yaml:1:54 model_list[0].litellm_params.model: environment variable M is not set"}},
		{"agentic loops below one", "model_list: [{model_name: a, litellm_params: {model: m, max_agentic_loops: 0}}]", withKey, Facts{}, []string{"c.yaml:1:57 model_list[0].litellm_params.max_agentic_loops must be at least 1"}},
		{"agentic loops that are no number", "model_list: [{model_name: a, litellm_params: {model: m, max_agentic_loops: few}}]", withKey, Facts{}, []string{"c.yaml:1:57 model_list[0].litellm_params.max_agentic_loops must be an integer"}},
		{"sections of the wrong shape", "general_settings: [a]\nrouter_settings: x\nlitellm_settings: 1\nmodel_list: {a: b}\nenvironment_variables: [a]", withKey, Facts{},
			[]string{"c.yaml:1:1 general_settings is a list", "c.yaml:2:1 router_settings is text", "c.yaml:3:1 litellm_settings is an integer", "c.yaml:4:1 model_list is a mapping", "c.yaml:5:1 environment_variables is a list"}},
		{"null sections", "general_settings:\nrouter_settings:\nlitellm_settings:\nmodel_list:\nenvironment_variables:", withKey, Facts{}, nil},

		{"a coordination Redis that is no mapping", "general_settings: {coordination_redis: h}", withKey, Facts{}, []string{"c.yaml:1:20 general_settings.coordination_redis must be a mapping of Redis connection params"}},
		{"a coordination Redis without a target", "general_settings: {coordination_redis: {port: 6379}}", withKey, Facts{},
			[]string{"c.yaml:1:20 general_settings.coordination_redis needs a connection target: set one of host, url, startup_nodes, or sentinel_nodes"}},
		{"a coordination Redis", "general_settings: {coordination_redis: {host: h}}", withKey, Facts{}, nil},
		{"a report in hours", "general_settings: {spend_report_frequency: 12h}", withKey, Facts{}, []string{"c.yaml:1:20 spend_report_frequency must be a positive number of days, e.g., '1d', '7d'"}},
		{"a report every zero days", "general_settings: {spend_report_frequency: 0d}", withKey, Facts{}, []string{"c.yaml:1:20 spend_report_frequency must be"}},
		{"a report in days", "general_settings: {spend_report_frequency: 7d}", withKey, Facts{}, nil},
		{"a metric that does not exist", "litellm_settings: {callbacks: [prometheus], prometheus_metrics_config: [{group: g, metrics: [litellm_spend_metric, bogus]}]}", withKey, Facts{},
			[]string{`c.yaml:1:116 litellm_settings.prometheus_metrics_config[0].metrics[1]: there is no metric "bogus"`}},
		{"the same without the callback", "litellm_settings: {prometheus_metrics_config: [{metrics: [bogus]}]}", withKey, Facts{}, nil},

		{"numbers that are none", "general_settings: {database_connection_pool_limit: ten, proxy_batch_write_at: [1]}\nlitellm_settings: {request_timeout: 10m}\nrouter_settings: {num_retries: 2.5, timeout: .nan, allowed_fails: true, retry_policy: {TimeoutErrorRetries: x}}\nmodel_list: [{model_name: a, litellm_params: {model: m, rpm: many}}]", withKey, Facts{},
			[]string{`c.yaml:1:20 general_settings.database_connection_pool_limit: "ten" is not an integer`, "c.yaml:1:57 general_settings.proxy_batch_write_at: a list is not ",
				`c.yaml:2:20 litellm_settings.request_timeout: "10m" is not a number`, "c.yaml:3:19 router_settings.num_retries: 2.5 is not an integer", "c.yaml:3:37 router_settings.timeout: .nan is not a number",
				"c.yaml:3:52 router_settings.allowed_fails: true is not an integer", `c.yaml:3:88 router_settings.retry_policy.TimeoutErrorRetries: "x" is not an integer`, `c.yaml:4:57 model_list[0].litellm_params.rpm: "many" is not an integer`}},
		{"numbers as text", "general_settings: {database_connection_pool_limit: '10'}\nlitellm_settings: {request_timeout: 6e2}\nrouter_settings: {num_retries: 3.0, timeout: os.environ/T}", []string{goodKey, "T=30"}, Facts{}, nil},
		{"a number from a variable that holds something else", "router_settings: {timeout: os.environ/T}", []string{goodKey, "T=planted"}, Facts{}, []string{"c.yaml:1:19 router_settings.timeout: the value of variable T is not a number"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Check(load(t, c.yaml, c.env...), c.facts)
			for i := 0; i < max(len(got), len(c.want)); i++ {
				switch {
				case i >= len(got):
					t.Errorf("missing: %s", c.want[i])
				case i >= len(c.want):
					t.Errorf("unexpected: %s %s", got[i].Pos, got[i].Message)
				case !strings.HasPrefix(got[i].Pos.String()+" "+got[i].Message, c.want[i]):
					t.Errorf("got  %s %s\nwant %s", got[i].Pos, got[i].Message, c.want[i])
				}
			}
			for _, f := range got {
				if f.Severity != finding.Error || f.Fix == "" {
					t.Errorf("a refusal needs severity error and a fix: %+v", f)
				}
				if strings.Contains(f.Message+f.Fix+f.Why, "planted") || strings.Contains(f.Message, "sk-1234") {
					t.Errorf("a secret is shown: %s", f.Message)
				}
			}
			if len(got) > 0 != Refused(got) {
				t.Error("Refused says otherwise")
			}
		})
	}
}

func TestWhatIsAllowedIsSaid(t *testing.T) {
	models := "model_list: [{model_name: a, litellm_params: {model: m}}]\n"
	for _, c := range []struct {
		name  string
		yaml  string
		env   []string
		facts Facts
		want  []string
	}{
		{"nothing", models, []string{goodKey}, Facts{}, nil},
		{"a sample key on loopback", "general_settings: {master_key: sk-1234}", nil, Facts{Host: "127.0.0.1"},
			[]string{"the master key is a sample from documentation that everybody knows; this is allowed because only this machine can connect to 127.0.0.1"}},
		{"the override in force", "{}", nil, Facts{InsecureNoAuth: true}, []string{"there is no master key: requests would need no key; --insecure-no-auth allows it"}},
		{"a missing guardrail", "guardrails: [{guardrail_name: g, litellm_params: {guardrail: x, default_on: true}}]", []string{goodKey}, Facts{AllowMissingGuardrails: true}, []string{"guardrail g (x) is on by default"}},
		{"fallbacks to nowhere", models + "router_settings: {fallbacks: [{a: [b, a]}], context_window_fallbacks: [{c: [a]}]}", []string{goodKey}, Facts{},
			[]string{`fallbacks: "b" is not in model_list`, `context_window_fallbacks: "c" is not in model_list`}},
		{"default fallbacks to nowhere", models + "litellm_settings: {default_fallbacks: [b]}", []string{goodKey}, Facts{}, []string{`fallbacks: "b" is not in model_list`}},
		{"an alias to nowhere", models + "router_settings: {model_group_alias: {b: c, d: {model: e, hidden: true}}}", []string{goodKey}, Facts{},
			[]string{`model_group_alias: "b" leads to "c", which is not in model_list`, `model_group_alias: "d" leads to "e"`}},
		{"aliases in a circle", models + "router_settings: {model_group_alias: {b: c, c: b}}", []string{goodKey}, Facts{},
			[]string{`model_group_alias: "b" leads back to itself`, `model_group_alias: "c" leads back to itself`}},
		{"an alias to an alias, and to an upstream's name", models + "router_settings: {model_group_alias: {b: c, c: a, d: m}}", []string{goodKey}, Facts{}, nil},
		{"fallbacks to an alias", models + "router_settings: {model_group_alias: {b: a}, fallbacks: [{a: [b]}, {'*': [{model: b}]}]}", []string{goodKey}, Facts{}, nil},
		{"fallbacks that a wildcard may serve", "model_list: [{model_name: '*', litellm_params: {model: '*'}}]\nrouter_settings: {fallbacks: [{a: [b]}]}", []string{goodKey}, Facts{}, nil},
		{"fallbacks that the database may hold", models + "router_settings: {fallbacks: [{a: [b]}]}", []string{goodKey, "STORE_MODEL_IN_DB=True"}, Facts{}, nil},
		{"half a Redis", "router_settings: {redis_host: h}", []string{goodKey}, Facts{}, []string{"router_settings.redis_host without redis_port: state is not shared between replicas"}},
		{"the other half", "router_settings: {redis_port: 6379}", []string{goodKey}, Facts{}, []string{"router_settings.redis_port without redis_host"}},
		{"a URL that beats the host", "router_settings: {redis_host: h, redis_port: 1}\nlitellm_settings: {cache: true, cache_params: {type: redis, host: h}}", []string{goodKey, "REDIS_URL=redis://planted@x"}, Facts{},
			[]string{"REDIS_URL stands beside redis_host, which counts here", "REDIS_URL stands beside host, which counts here"}},
		{"cluster nodes that beat the host", "router_settings: {redis_host: h, redis_port: 1}", []string{goodKey, "REDIS_CLUSTER_NODES=[]"}, Facts{}, []string{"REDIS_CLUSTER_NODES overrides redis_host; unset it"}},
		{"a cache without a type", "litellm_settings: {cache: true, cache_params: {host: h}}", []string{goodKey}, Facts{}, []string{`cache_params has host but no type: LiteLLM uses an in-memory cache here; add "type: redis"`}},
		{"a cache without a type and without a host", "litellm_settings: {cache: true, cache_params: {ttl: 1}}", []string{goodKey}, Facts{}, nil},
		{"a quoted cache switch", "litellm_settings: {cache: 'true'}", []string{goodKey}, Facts{}, []string{"litellm_settings.cache is text"}},
		{"a buffer without Redis", "general_settings: {use_redis_transaction_buffer: true}", []string{goodKey}, Facts{}, []string{"use_redis_transaction_buffer without Redis: spend is written to the database directly"}},
		{"a word that LiteLLM reads otherwise", "{}", []string{goodKey, "DISABLE_SCHEMA_UPDATE=1"}, Facts{}, []string{`DISABLE_SCHEMA_UPDATE="1" means true here but false to LiteLLM`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := load(t, c.yaml, c.env...)
			if refusals := Check(tree, c.facts); len(refusals) > 0 {
				t.Errorf("refused: %+v", refusals)
			}
			got := All(tree, c.facts)
			if len(got) != len(c.want) {
				t.Fatalf("%+v", got)
			}
			for i, f := range got {
				if !strings.HasPrefix(f.Message, c.want[i]) || f.Severity != finding.Warning {
					t.Errorf("got  %s\nwant %s", f.Message, c.want[i])
				}
				if strings.Contains(f.Message+f.Fix, "planted") {
					t.Errorf("a secret is shown: %s", f.Message)
				}
			}
		})
	}
}

func TestWithoutAFileTheMissingKeyIsOneOfTheEnvironment(t *testing.T) {
	tree, _, err := config.Load(config.Sources{Env: config.ProcessEnv([]string{"STORE_MODEL_IN_DB=True"})})
	if err != nil {
		t.Fatal(err)
	}
	refusals := Check(tree, Facts{})
	if len(refusals) != 1 || refusals[0].Pos.String() != "<env>" {
		t.Errorf("%v", refusals)
	}
}

func TestASlipInANeededKeyIsNamed(t *testing.T) {
	for yaml, want := range map[string]string{
		"model_list: [{model_name: a, litellm_parms: {model: m}}]":             "litellm_parms stands there: did you mean litellm_params?",
		"model_list: [{modelname: a, litellm_params: {model: m}}]":             "modelname stands there: did you mean model_name?",
		"model_list: [{model_name: a, litellm_params: {modl: m, api_key: x}}]": "modl stands there: did you mean model?",
		"model_list: [{model_name: a}]":                                        "add litellm_params: with model: provider/model",
		"model_list: [{model_name: a, litellm_params: {temperature: 1}}]":      "add model: provider/model",
	} {
		refusals := Check(load(t, yaml, goodKey), Facts{})
		if len(refusals) != 1 || refusals[0].Fix != want {
			t.Errorf("%s:\n got %v\nwant the fix %q", yaml, refusals, want)
		}
	}
}

func TestTheLastLineAboutTheMasterKeyIsTheFix(t *testing.T) {
	for _, f := range Check(load(t, "general_settings: {master_key: sk-1234}"), Facts{}) {
		if !strings.HasPrefix(f.Fix, "set your own: export LITELLM_MASTER_KEY=") || !strings.Contains(f.Fix, "master_key: os.environ/LITELLM_MASTER_KEY") {
			t.Error(f.Fix)
		}
	}
}

func TestAReportSaysEachThingOnce(t *testing.T) {
	tree, loaded, err := config.Load(config.Sources{Data: []byte("general_settings: {master_key: os.environ/TYPO, alerts: []}\n"), File: "c", Env: config.ProcessEnv(nil)})
	if err != nil {
		t.Fatal(err)
	}
	report := Report(loaded, Check(tree, Facts{}))
	if len(report) != 2 || report[0].Severity != finding.Error || report[0].Path != "general_settings.master_key" || report[1].Path != "general_settings.alerts" {
		t.Errorf("%+v", report)
	}
}

func TestLoopbackAddresses(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.8.8.8": true, "::1": true, "[::1]": true, "localhost": true, "::ffff:127.0.0.1": true,
		"": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "localhost.example.com": false, "127.0.0.1.example.com": false,
	} {
		if Loopback(host) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("general_settings: {master_key: sk-1234, coordination_redis: {}, spend_report_frequency: 1}\nmodel_list: [{model_name: a, litellm_params: {model: m}}]\n")
	f.Add("router_settings: {fallbacks: [{a: [b], c: d}, e, {f: [{model: g, api_key: planted-secret}]}], routing_strategy: x}\nguardrails: [{litellm_params: {default_on: true}}]\n")
	f.Add("litellm_settings: {guardrails: [{a: {default_on: true}}], callbacks: prometheus, prometheus_metrics_config: [{metrics: [a]}]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		tree, loaded, err := config.Load(config.Sources{Data: []byte(text), File: "c", Env: config.ProcessEnv([]string{"PLANTED=planted-secret-in-a-variable"}), ReadFile: func(string) ([]byte, error) { return nil, nil }})
		if err != nil {
			return
		}
		for _, f := range Report(loaded, All(tree, Facts{})) {
			if f.Message == "" || strings.Contains(f.Message+f.Fix, "planted-secret-in-a-variable") {
				t.Fatalf("%+v", f)
			}
		}
	})
}

// A hostile file does not fill the memory with what is said of it, and what it
// says a thousand times does not hide what it says once.
func TestManyBadEntriesAreCounted(t *testing.T) {
	tree := load(t, "model_list: ["+strings.Repeat("1,", 30_000)+"]\ngeneral_settings: {master_key: sk-1234}")
	found := Check(tree, Facts{})
	counts := map[string]int{}
	key := false
	for _, f := range found {
		counts[f.ID]++
		key = key || strings.HasPrefix(f.Message, "the master key is a sample")
	}
	if !key {
		t.Error("the sample key is not named")
	}
	for id, n := range counts {
		if n > 2*most {
			t.Errorf("%d findings of %s", n, id)
		}
	}
	if len(found) < most {
		t.Errorf("only %d findings", len(found))
	}
}
