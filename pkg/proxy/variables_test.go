package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/litellm"
)

// readByCommand are the variables that the command reads before or beside Load,
// and where that is shown.
var readByCommand = []string{
	"CONFIG_FILE_PATH", "LITELLM_MODE", "LITELLM_LOG", "JSON_LOGS", "DISABLE_SCHEMA_UPDATE", "LITELLM_MIGRATION_DIR",
	"KEEPALIVE_TIMEOUT", "HOST", "PORT", "PROMETHEUS_METRICS_PORT", "SSL_KEYFILE_PATH", "SSL_CERTFILE_PATH", "DEBUG", "DETAILED_DEBUG",
	"LIMIT_CONCURRENCY", "SERVER_ROOT_PATH", "GRACEFUL_SHUTDOWN_TIMEOUT", "LITELLM_DANGEROUSLY_ALLOW_UNSAFE_PROXY",
	"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "SEPARATE_HEALTH_APP", "SEPARATE_HEALTH_PORT",
	"LLMGW_MIGRATE_DATABASE_URL", "DIRECT_URL", "LITELLM_DISABLE_ACCESS_LOG_PATHS", "LITELLM_API_KEY", "NUM_WORKERS",
	"LITELLM_MODEL_COST_MAP_URL", "LITELLM_LOCAL_MODEL_COST_MAP", // TestPricesComeFromTheListThatTheVariableNames
	"MAX_REQUESTS_BEFORE_RESTART", "MAX_REQUESTS_BEFORE_RESTART_JITTER", // lifetest: TestWorkersAreReplacedUnderLoad
	"NO_PROXY", "no_proxy", // they change what a function answers: TestOutboundProxy
}

// wordsFor are values that a variable can act on, where its type does not say.
var wordsFor = map[string]string{
	"GENERIC_LOGGER_ENDPOINT": "https://logs.example/2", "GENERIC_LOGGER_HEADERS": "X-Mine=1",
	"REDIS_URL": "redis://other:9", "REDIS_CLUSTER_NODES": `[{"host":"c","port":1}]`, "REDIS_SENTINEL_NODES": `[["s",1]]`,
	"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://p:1", "http_proxy": "http://p:1", "https_proxy": "http://p:1",
	"AZURE_AUTHORITY_HOST": "login.microsoftonline.us", "AZURE_CREDENTIAL": "ManagedIdentityCredential",
	"DOCS_URL": "/d", "REDOC_URL": "/r", "OPENAPI_URL": "/o",
	"LITELLM_ENVIRONMENT": "staging", "SSL_VERIFY": "false", "LITELLM_CORS_ORIGINS": "https://a", "REDIS_SSL_CERT_REQS": "none", "JITTER": "0.5",
}

// needs are the variables without which another has nothing to act on.
var needs = map[string][]string{
	"GENERIC_LOGGER_HEADERS": {"GENERIC_LOGGER_ENDPOINT=https://logs.example/1"},
	"DEFAULT_BATCH_SIZE":     {"GENERIC_LOGGER_ENDPOINT=https://logs.example/1"}, "DEFAULT_FLUSH_INTERVAL_SECONDS": {"GENERIC_LOGGER_ENDPOINT=https://logs.example/1"},
	"REDIS_SERVICE_NAME": {`REDIS_SENTINEL_NODES=[["s",1]]`}, "REDIS_SENTINEL_NODES": {"REDIS_SERVICE_NAME=s"},
	"REDIS_SENTINEL_PASSWORD": {`REDIS_SENTINEL_NODES=[["s",1]]`, "REDIS_SERVICE_NAME=s"},
	"REDIS_SOCKET_TIMEOUT":    {`REDIS_SENTINEL_NODES=[["s",1]]`, "REDIS_SERVICE_NAME=s"},
	"REDIS_SSL_CERT_REQS":     {"REDIS_SSL=true"}, "REDIS_SSL_CA_CERTS": {"REDIS_SSL=true"}, "REDIS_SSL_CERTFILE": {"REDIS_SSL=true"},
	"REDIS_SSL_KEYFILE": {"REDIS_SSL=true"}, "REDIS_SSL_CHECK_HOSTNAME": {"REDIS_SSL=true"},
	"AZURE_TENANT_ID": {"AZURE_CLIENT_ID=c", "AZURE_CLIENT_SECRET=s"}, "AZURE_CLIENT_ID": {"AZURE_TENANT_ID=t", "AZURE_CLIENT_SECRET=s"},
	"AZURE_CLIENT_SECRET": {"AZURE_TENANT_ID=t", "AZURE_CLIENT_ID=c"}, "AZURE_SCOPE": {"AZURE_TENANT_ID=t", "AZURE_CLIENT_ID=c", "AZURE_CLIENT_SECRET=s"},
	"AZURE_AUTHORITY_HOST": {"AZURE_TENANT_ID=t", "AZURE_CLIENT_ID=c", "AZURE_CLIENT_SECRET=s"},
	"AZURE_USERNAME":       {"AZURE_CLIENT_ID=c", "AZURE_PASSWORD=p"}, "AZURE_PASSWORD": {"AZURE_CLIENT_ID=c", "AZURE_USERNAME=u"},
	"AZURE_FEDERATED_TOKEN_FILE": {"AZURE_TENANT_ID=t", "AZURE_CLIENT_ID=c"}, "AZURE_CREDENTIAL": {"AZURE_TENANT_ID=t", "AZURE_CLIENT_ID=c", "AZURE_FEDERATED_TOKEN_FILE=/f"},
	"AZURE_CERTIFICATE_PATH":         {"AZURE_TENANT_ID=t", "AZURE_CLIENT_ID=c", "AZURE_CREDENTIAL=CertificateCredential"},
	"AZURE_CERTIFICATE_PASSWORD":     {"AZURE_TENANT_ID=t", "AZURE_CLIENT_ID=c", "AZURE_CREDENTIAL=CertificateCredential", "AZURE_CERTIFICATE_PATH=/p"},
	"ACTIONS_ID_TOKEN_REQUEST_URL":   {"ACTIONS_ID_TOKEN_REQUEST_TOKEN=t"},
	"ACTIONS_ID_TOKEN_REQUEST_TOKEN": {"ACTIONS_ID_TOKEN_REQUEST_URL=https://gh"},
	"DATABRICKS_CLIENT_ID":           {"DATABRICKS_CLIENT_SECRET=s"}, "DATABRICKS_CLIENT_SECRET": {"DATABRICKS_CLIENT_ID=c"},
	"SNOWFLAKE_JWT": {"SNOWFLAKE_ACCOUNT_ID=a"}, "ROOT_REDIRECT_URL": {"DOCS_URL=/docs"}, "DOCS_URL": {"ROOT_REDIRECT_URL=https://a"},
}

func TestEveryVariableActsOrIsNamed(t *testing.T) {
	var models strings.Builder
	for _, p := range catalog.Providers() {
		if p.Supported() {
			fmt.Fprintf(&models, "- {model_name: %q, litellm_params: {model: %q}}\n", p.Name, p.Name+"/model")
			if p.Base == "" {
				fmt.Fprintf(&models, "- {model_name: %q, litellm_params: {model: %q, api_base: 'https://there.example/v1'}}\n", p.Name, p.Name+"/model")
			}
		}
	}
	models.WriteString("- {model_name: thinks, litellm_params: {model: openai/o3-mini, api_key: k}}\n")
	for _, source := range []string{"circleci/x", "circleci_v2/x", "github/x", "file//run/secrets/x"} {
		fmt.Fprintf(&models, "- {model_name: logs in, litellm_params: {model: azure/in, api_base: 'https://a.openai.azure.com', tenant_id: t, client_id: c, azure_ad_token: %s}}\n", "oidc/"+source)
	}
	models.WriteString("- {model_name: staged, litellm_params: {model: openai/staged, api_key: k}, model_info: {supported_environments: [staging]}}\n")
	yaml := fmt.Sprintf("model_list:\n%slitellm_settings: {enable_azure_ad_token_refresh: true, cache: true, callbacks: [generic_api, sumologic, rubrik, qualifire_eval, prometheus]}\ngeneral_settings: {alerting: [slack, ms_teams, pagerduty], alert_to_webhook_url: {db_exceptions: a}}\n", models.String())
	bases, before := map[string]uint64{}, map[string]string{}
	redis := []string{"REDIS_HOST=r", "REDIS_PORT=6379"}
	for _, v := range litellm.Env() {
		if v.Group == "package" || v.Group == "database" || slices.Contains(readByCommand, v.Name) || v.Effect == litellm.RefusedEffect {
			continue
		}
		if strings.Contains(v.Name, "OTEL_") {
			continue // an exporter has an identity of its own every time: its own tests
		}
		value := wordsFor[v.Name]
		switch {
		case value != "":
		case v.Type == litellm.Bool:
			value = "true"
		case v.Type == litellm.Int || v.Type == litellm.Sec || v.Type == litellm.Float:
			value = "7"
		case strings.Contains(v.Name, "BASE") || strings.Contains(v.Name, "ENDPOINT"):
			value = "https://elsewhere.example/v1"
		default:
			value = "other"
		}
		env := append(append([]string{"LITELLM_MASTER_KEY=sk-workbench"}, redis...), needs[v.Name]...)
		around := strings.Join(env, " ")
		base, ok := bases[around]
		if !ok {
			base, before[around] = read(t, yaml, false, env...)
			bases[around] = base
		}
		got, said := read(t, yaml, false, append(env, v.Name+"="+value)...)
		if slices.Contains(namesFile, v.Name) && said != before[around] {
			got = base + 1
		}
		named := strings.Contains(said, v.Name)
		switch {
		case v.Effect == litellm.NoEffect:
			if got != base {
				t.Errorf("%s is said to have no effect and changes something", v.Name)
			}
		case v.Implemented && got == base:
			t.Errorf("%s is said to be implemented and changes nothing", v.Name)
		case !v.Implemented && got != base:
			t.Errorf("%s changes what the gateway does, and is not marked as implemented", v.Name)
		case !v.Implemented && !named && !elsewhere(v):
			t.Errorf("%s has no effect and nobody says so", v.Name)
		}
	}
}
