package proxy

import (
	"fmt"
	"hash/fnv"
	"io"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/litellm"
)

// The settings that the page of settings calls implemented change what the
// gateway does, and the others are named at the start: a setting is never
// accepted and forgotten.

// workbench is a configuration in which every setting of the given section can
// show an effect. %s is where the setting is put.
const workbench = `
model_list:
- model_name: g
  litellm_params: {model: openai/gpt-4o, api_key: k%[1]s}
  model_info: {id: one%[2]s}
- model_name: g
  litellm_params: {model: openai/gpt-4o-mini, api_key: k}
  model_info: {id: two}
- model_name: h
  litellm_params: {model: azure/dep, api_base: "https://a.openai.azure.com", api_key: k, api_version: "2024-06-01"}
  model_info: {id: three}
- {model_name: i, litellm_params: {model: openai/keyless}}
- {model_name: i, litellm_params: {model: azure/keyless, api_base: "https://b.openai.azure.com"}}
- {model_name: i, litellm_params: {model: groq/keyless}}
- {model_name: i, litellm_params: {model: xai/keyless}}
- {model_name: i, litellm_params: {model: openrouter/keyless}}
- {model_name: i, litellm_params: {model: databricks/keyless, api_base: "https://c.example"}}
- {model_name: i, litellm_params: {model: amazon_nova/keyless}}
- {model_name: i, litellm_params: {model: cometapi/keyless}}
- {model_name: i, litellm_params: {model: ovhcloud/keyless}}
- {model_name: i, litellm_params: {model: ollama_chat/keyless}}
general_settings: {master_key: sk-workbench%[3]s}
litellm_settings: {%[4]s}
router_settings: {%[5]s}
llmgw: {%[6]s}
%[7]s
`

// bench puts one setting into the workbench.
func bench(section, text string, more map[string]string) string {
	at := map[string]string{}
	for s, t := range more {
		at[s] = t
	}
	if text != "" {
		if at[section] != "" {
			at[section] += ", "
		}
		at[section] += text
	}
	comma := func(s string) string {
		if at[s] == "" {
			return ""
		}
		return ", " + at[s]
	}
	if p := at[litellm.SectionCacheParams]; p != "" {
		at[litellm.SectionLiteLLM] = strings.TrimPrefix(comma(litellm.SectionLiteLLM)+", cache: true, cache_params: {"+p+"}", ", ")
	}
	if p := at[litellm.SectionCoordinationRedis]; p != "" {
		at[litellm.SectionGeneral] = strings.TrimPrefix(comma(litellm.SectionGeneral)+", coordination_redis: {"+p+"}", ", ")
	}
	for _, policy := range []string{"retry_policy", "allowed_fails_policy"} {
		if p := at[policy]; p != "" {
			at[litellm.SectionRouter] = strings.TrimPrefix(comma(litellm.SectionRouter)+", "+policy+": {"+p+"}", ", ")
		}
	}
	return fmt.Sprintf(workbench, comma(litellm.SectionLiteLLMParams), comma(litellm.SectionModelInfo), comma(litellm.SectionGeneral),
		at[litellm.SectionLiteLLM], at[litellm.SectionRouter], at[litellm.SectionLLMGW], at[litellm.SectionTop])
}

// mark is a hash over everything that can be reached from a value, functions
// apart.
func mark(t *testing.T, c any) uint64 {
	t.Helper()
	h := fnv.New64a()
	w := &walker{out: h, seen: map[uintptr]bool{}}
	w.walk(reflect.ValueOf(c), 0)
	return h.Sum64()
}

type walker struct {
	out  io.Writer
	seen map[uintptr]bool
}

func (w *walker) walk(v reflect.Value, depth int) {
	if depth > 40 || !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		fmt.Fprintf(w.out, "%s %t;", v.Type(), v.IsNil())
	case reflect.Pointer:
		if v.IsNil() {
			fmt.Fprint(w.out, "nil;")
			return
		}
		if w.seen[v.Pointer()] {
			fmt.Fprint(w.out, "again;")
			return
		}
		w.seen[v.Pointer()] = true
		w.walk(v.Elem(), depth+1)
	case reflect.Interface:
		if v.IsNil() {
			fmt.Fprint(w.out, "nil;")
			return
		}
		fmt.Fprintf(w.out, "%s:", v.Elem().Type())
		w.walk(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			fmt.Fprintf(w.out, "%s.%s=", v.Type(), v.Type().Field(i).Name)
			w.walk(v.Field(i), depth+1)
		}
	case reflect.Slice, reflect.Array:
		fmt.Fprintf(w.out, "[%d", v.Len())
		for i := range v.Len() {
			w.walk(v.Index(i), depth+1)
		}
	case reflect.Map:
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return fmt.Sprint(keys[i]) < fmt.Sprint(keys[j]) })
		for _, k := range keys {
			w.walk(k, depth+1)
			w.walk(v.MapIndex(k), depth+1)
		}
	case reflect.Bool:
		fmt.Fprintf(w.out, "%t;", v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		fmt.Fprintf(w.out, "%d;", v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		fmt.Fprintf(w.out, "%d;", v.Uint())
	case reflect.Float32, reflect.Float64:
		fmt.Fprintf(w.out, "%g;", v.Float())
	case reflect.String:
		fmt.Fprintf(w.out, "%q;", v.String())
	}
}

// read is what a configuration makes of the workbench: the hash of the Config,
// and what was said. What deployments say of themselves counts if described.
func read(t *testing.T, yaml string, described bool, env ...string) (uint64, string) {
	t.Helper()
	tree, said, err := config.Load(config.Sources{Data: []byte(yaml), File: "c.yaml", Env: config.ProcessEnv(append([]string{"SLACK_WEBHOOK_URL=https://hooks.example/0", "GENERIC_LOGGER_ENDPOINT=https://logs.example/1"}, env...))})
	if err != nil {
		t.Fatalf("%v\n%s", err, yaml)
	}
	c, loaded := Load(tree, "test")
	if !described {
		for _, d := range c.Deployments {
			d.Info, d.Params = nil, nil
		}
	}
	var b strings.Builder
	for _, text := range ApplyEnvironment(&c, tree.Env().Get) {
		fmt.Fprintln(&b, text)
	}
	for _, f := range append(said, loaded...) {
		fmt.Fprintln(&b, f.Path, f.Message, f.Fix)
	}
	hash := mark(t, c)
	for _, d := range c.Deployments { // prices stand behind a function
		if d.Price != nil {
			hash = hash*31 + mark(t, d.Price(d.Model))
		}
	}
	return hash, b.String()
}

// samples are values for one key, as YAML; the first that changes something
// counts.
func samples(k litellm.Key) []string {
	if s, ok := sampleOf[k.Path()]; ok {
		return s
	}
	switch {
	case len(k.Values) > 0 && k.Type == litellm.List:
		return []string{"[" + k.Values[0] + "]"}
	case len(k.Values) > 0:
		return k.Values
	}
	var list []string
	for _, s := range []struct {
		kind   litellm.Type
		values []string
	}{
		{litellm.Bool, []string{"true", "false"}}, {litellm.Int, []string{"7"}}, {litellm.Sec, []string{"17"}}, {litellm.Float, []string{"1.5"}},
		{litellm.List, []string{"[g]"}}, {litellm.Map, []string{"{a: b}"}}, {litellm.Str, []string{"other"}},
	} {
		if k.Type.Is(s.kind) {
			list = append(list, s.values...)
		}
	}
	if list == nil {
		list = []string{"other", "7", "true"}
	}
	return list
}

// sampleOf are values for keys whose type does not say what makes a difference.
var sampleOf = map[string][]string{
	"credential_list":                                                    {"[{credential_name: eu, credential_values: {api_base: 'http://c/v1'}}]"},
	"general_settings.user_url_allowed_hosts":                            {"[a.example]"},
	"general_settings.user_url_validation":                               {"false"},
	"litellm_params.configurable_clientside_auth_params":                 {"[api_key]"},
	"general_settings.allowed_ips":                                       {"[10.0.0.1]"},
	"general_settings.trusted_proxy_ranges":                              {"[10.0.0.0/8]"},
	"general_settings.allowed_routes":                                    {"[/v1/models]"},
	"general_settings.public_routes":                                     {"[/v1/models]"},
	"general_settings.admin_only_routes":                                 {"[/v1/models]"},
	"litellm_settings.callbacks":                                         {"[prometheus]"},
	"litellm_settings.service_callback":                                  {"[prometheus_system]"},
	"litellm_settings.success_callback":                                  {"[prometheus]"},
	"litellm_settings.failure_callback":                                  {"[generic_api]"},
	"litellm_settings.fallbacks":                                         {"[{g: [h]}]"},
	"litellm_settings.context_window_fallbacks":                          {"[{g: [h]}]"},
	"litellm_settings.content_policy_fallbacks":                          {"[{g: [h]}]"},
	"litellm_settings.cache_params":                                      {"{type: local, ttl: 9}, cache: true"},
	"litellm_settings.prometheus_metrics_config":                         {"[{group: a, metrics: [litellm_spend_metric]}]"},
	"litellm_settings.prometheus_latency_buckets":                        {"[1.0, 2.0]"},
	"litellm_settings.prometheus_deployment_and_latency_caller_identity": {"both"},
	"litellm_settings.request_timeout":                                   {"17"},
	"litellm_settings.model_alias_map":                                   {"{a: g}"},
	"router_settings.fallbacks":                                          {"[{g: [h]}]"},
	"router_settings.context_window_fallbacks":                           {"[{g: [h]}]"},
	"router_settings.content_policy_fallbacks":                           {"[{g: [h]}]"},
	"router_settings.retry_policy":                                       {"{TimeoutErrorRetries: 3}"},
	"router_settings.provider_budget_config":                             {"{openai: {budget_limit: 1, time_period: 1d}}"},
	"litellm_settings.tag_budget_config":                                 {"{batch: {max_budget: 1, budget_duration: 1d}}"},
	"router_settings.model_group_retry_policy":                           {"{g: {TimeoutErrorRetries: 3}}"},
	"router_settings.allowed_fails_policy":                               {"{TimeoutErrorAllowedFails: 3}"},
	"router_settings.default_litellm_params":                             {"{top_k: 3}"},
	"litellm_params.organization":                                        {"[org-a, org-b]", "org-a"},
	"router_settings.model_group_alias":                                  {"{a: g}"},
	"router_settings.routing_strategy":                                   {"least-busy"},
	"router_settings.routing_strategy_args":                              {"{ttl: 9}"},
	"router_settings.caching_groups":                                     {"[[g, h]]"},
	"router_settings.cache_kwargs":                                       {"{db: 4}"},
	"general_settings.coordination_redis":                                {"{host: r, port: 1}"},
	"coordination_redis.url":                                             {"redis://r:1"},
	"coordination_redis.startup_nodes":                                   {"[{host: a, port: 1}]"},
	"coordination_redis.sentinel_nodes":                                  {"[[a, 1]], service_name: s"},
	"router_settings.redis_url":                                          {"redis://r:1"},
	"cache_params.type":                                                  {"redis"},
	"cache_params.url":                                                   {"redis://r:1"},
	"cache_params.redis_startup_nodes":                                   {"[{host: a, port: 1}]"},
	"cache_params.startup_nodes":                                         {"[{host: a, port: 1}]"},
	"cache_params.sentinel_nodes":                                        {"[[a, 1]], service_name: s"},
	"litellm_settings.cache":                                             {"true, cache_params: {type: local}"},
	"cache_params.service_name":                                          {"mine"},
	"cache_params.ssl_cert_reqs":                                         {"none"},
	"callback_settings":                                                  {"{generic_api: {callback_type: generic_api, endpoint: 'https://logs.example/2'}}"},
	"llmgw.log_sink":                                                     {"{to: stdout}"},
	"litellm_settings.generic_logger_headers":                            {"{X-Mine: yes}"},
	"general_settings.alerting":                                          {"[slack]"},
	"general_settings.alert_types":                                       {"[db_exceptions]"},
	"general_settings.alert_to_webhook_url":                              {"{db_exceptions: 'https://hooks.example/1'}"},
	"general_settings.alert_type_config":                                 {"{llm_too_slow: {digest: true}}"},
	"general_settings.alerting_args":                                     {"{minor_outage_alert_threshold: 2}"},
	"litellm_params.api_base":                                            {"http://a/v1"},
	"litellm_params.base_url":                                            {"http://a/v1"},
	"litellm_params.custom_llm_provider":                                 {"groq"},
	"litellm_params.additional_drop_params":                              {"[top_p]"},
	"litellm_params.timeout":                                             {"17"},
	"litellm_params.stream_timeout":                                      {"17"},
	"llmgw.tenant_scope":                                                 {"key"},
	"llmgw.compat":                                                       {"litellm-1.83"},
}

// around are the settings without which another has nothing to act on.
var around = map[string]map[string]string{
	"credential":      {litellm.SectionLiteLLMParams: "litellm_credential_name: eu"},
	"credentials":     {litellm.SectionTop: "credential_list: [{credential_name: other, credential_values: {api_base: 'http://c/v1'}}]"},
	"prometheus":      {litellm.SectionLiteLLM: "callbacks: [prometheus]"},
	"endusers":        {litellm.SectionLiteLLM: "callbacks: [prometheus], enable_end_user_cost_tracking_prometheus_only: true"},
	"posted":          {litellm.SectionLiteLLM: "callbacks: [generic_api]"},
	"alerting":        {litellm.SectionGeneral: "alerting: [slack]"},
	"both namespaces": {litellm.SectionCacheParams: "host: r, port: 1"},
	"cached":          {litellm.SectionLiteLLM: "cache: true, cache_params: {type: local}"},
	"redis":           {litellm.SectionCacheParams: "type: redis, host: r, port: 1"},
	"tls":             {litellm.SectionCacheParams: "type: redis, host: r, port: 1, ssl: true"},
	"sentinel":        {litellm.SectionCacheParams: "type: redis, sentinel_nodes: [[a, 1]], service_name: s"},
	"typed":           {litellm.SectionCacheParams: "type: redis"},
	"local":           {litellm.SectionCacheParams: "namespace: n"},
	"host":            {litellm.SectionRouter: "redis_host: r"},
	"port":            {litellm.SectionRouter: "redis_port: 1"},
	"both":            {litellm.SectionRouter: "redis_host: r, redis_port: 1"},
	"latency":         {litellm.SectionRouter: "routing_strategy: latency-based-routing"},
	"reasoning":       {litellm.SectionModelInfo: "supports_reasoning: true"},
	"coordinating":    {litellm.SectionCoordinationRedis: "host: r, port: 1"},
	"watched":         {litellm.SectionCoordinationRedis: "sentinel_nodes: [[a, 1]], service_name: s"},
	"checked":         {litellm.SectionGeneral: "background_health_checks: true"},
	"seats":           {litellm.SectionGeneral: "max_in_flight_requests_per_worker: 5"},
	"costs":           {litellm.SectionRouter: "routing_strategy: cost-based-routing"},
}

func settingsAround(k litellm.Key) map[string]string {
	is := strings.Contains
	path := k.Path()
	switch {
	case path == "credential_list":
		return around["credential"]
	case path == "litellm_params.litellm_credential_name":
		return around["credentials"]
	case path == "callback_settings", path == "litellm_settings.generic_logger_headers", path == "litellm_settings.turn_off_message_logging", path == "litellm_settings.redact_user_api_key_info":
		return around["posted"]
	case path != "general_settings.alerting" && is(path, "general_settings.alert"), path == "litellm_settings.redact_messages_in_exceptions":
		return around["alerting"]
	case is(path, "prometheus_end_user"), path == "litellm_settings.disable_end_user_cost_tracking_prometheus_only", path == "litellm_settings.disable_end_user_cost_tracking":
		return around["endusers"]
	case is(path, "prometheus"):
		return around["prometheus"]
	case path == "router_settings.caching_groups", path == "llmgw.tenant_scope", path == "llmgw.cache_size_mb":
		return around["cached"]
	case path == "router_settings.redis_host":
		return around["port"]
	case path == "router_settings.redis_port":
		return around["host"]
	case is(path, "router_settings.redis_"), path == "router_settings.cache_kwargs":
		return around["both"]
	case path == "general_settings.max_queued_requests_per_worker", path == "general_settings.admission_queue_timeout_seconds":
		return around["seats"]
	case path == "litellm_settings.default_redis_ttl":
		return around["redis"]
	case path == "router_settings.routing_strategy_args":
		return around["latency"]
	case path == "model_info.health_check_max_tokens_reasoning":
		return around["reasoning"]
	case k.Section != litellm.SectionCacheParams && is(path, "health_check"):
		return around["checked"]
	case k.Section == litellm.SectionCacheParams && k.Name == "type":
		return around["both namespaces"]
	case path == "coordination_redis.sentinel_password", path == "coordination_redis.service_name":
		return around["watched"]
	case k.Section == litellm.SectionCoordinationRedis && !is(path, "_nodes") && !is(path, ".url") && !is(path, ".host"):
		return around["coordinating"]
	case path == "cache_params.namespace", path == "cache_params.mode":
		return around["local"]
	case path == "cache_params.service_name", path == "cache_params.sentinel_password":
		return around["sentinel"]
	case path == "cache_params.sentinel_nodes", path == "cache_params.host", path == "cache_params.url", is(path, "startup_nodes"):
		return around["typed"]
	case is(path, "cache_params.ssl_"):
		return around["tls"]
	case k.Section == litellm.SectionCacheParams:
		return around["redis"]
	}
	return nil
}

// actedOnElsewhere are the keys that are read before or beside Load, and the
// tests that show what they do.
var actedOnElsewhere = map[string]string{
	"environment_variables": "config: TestReferences",
	"include":               "config: TestInclude",
	"general_settings":      "its keys",
	"litellm_settings":      "its keys",
	"router_settings":       "its keys",
	"llmgw":                 "its keys",
	"general_settings.disable_prisma_schema_update": "serve/startup_migrations",
	"litellm_settings.json_logs":                    "serve/logs",
	"llmgw.startup_doctor":                          "serve/doctor",
	"general_settings.infer_model_from_keys":        "TestModelsOfKeysInTheEnvironmentAreListedWhereThatIsWanted",
	"general_settings.pass_through_endpoints":       "TestPassThroughSendsRequestsOn",
	"general_settings.user_header_mappings":         "TestWhoTheEndUserIs",
	"litellm_settings.model_group_settings":         "TestHeadersOfClientsGoUpstreamOnlyWhereAllowed",
	"litellm_params.max_budget":                     "TestADeploymentOverItsBudgetIsLeftOut",
	"litellm_params.budget_duration":                "TestADeploymentOverItsBudgetIsLeftOut",
	"general_settings.pass_through_request_timeout": "TestPassThroughIsCharged",

	"general_settings.dangerously_allow_unsafe_proxy":              "startcheck: TestReasonsNotToStart",
	"general_settings.dangerously_permit_weak_or_unset_master_key": "startcheck: TestReasonsNotToStart",
}

// shown are keys of model_info that /model/info answers with as they are
// written.
func shown(k litellm.Key) bool { return k.Section == litellm.SectionModelInfo }

var sectionsOfSettings = []string{
	litellm.SectionTop, litellm.SectionGeneral, litellm.SectionLiteLLM, litellm.SectionRouter, litellm.SectionLiteLLMParams,
	litellm.SectionModelInfo, litellm.SectionCacheParams, litellm.SectionRetryPolicy, litellm.SectionAllowedFailsPolicy, litellm.SectionLLMGW,
}

// namesFile are settings that name a file, which is read at once: that it is
// missing is said.
var namesFile = []string{"ssl_certificate", "SSL_CERTIFICATE", "SSL_CERT_FILE"}

func TestEverySettingActsOrIsNamed(t *testing.T) {
	for _, section := range sectionsOfSettings {
		for _, k := range litellm.SectionKeys(section) {
			if k.Status == litellm.Internal || k.Status == litellm.Dead || actedOnElsewhere[k.Path()] != "" {
				continue
			}
			more := settingsAround(k)
			base, before := read(t, bench("", "", more), shown(k))
			changed, named := false, ""
			for _, s := range samples(k) {
				got, said := read(t, bench(k.Section, k.Name+": "+s, more), shown(k))
				changed = changed || got != base || said != before && slices.Contains(namesFile, k.Name)
				if strings.Contains(said, k.Name) {
					named = said
				}
			}
			switch {
			case k.Implemented && !changed:
				t.Errorf("%s is said to be implemented and changes nothing", k.Path())
			case !k.Implemented && named == "" && (k.Section != litellm.SectionModelInfo || k.Listed):
				t.Errorf("%s has no effect and nobody says so", k.Path())
			case k.Needless != "" && k.Status == litellm.Live && !strings.Contains(named, k.Needless):
				t.Errorf("%s has no effect and the reason is not said: %s", k.Path(), named)
			}
		}
	}
}

// disables reports whether a sentence says that something is left out because
// of the key.
func disables(said, name string) bool {
	for line := range strings.Lines(said) {
		if strings.Contains(line, name) && (strings.Contains(line, "is disabled") || strings.Contains(line, "not supported")) {
			return true
		}
	}
	return false
}

func TestEveryKeyThatActsIsMarked(t *testing.T) {
	for _, section := range sectionsOfSettings {
		for _, k := range litellm.SectionKeys(section) {
			if k.Implemented || section == litellm.SectionTop {
				continue
			}
			more := settingsAround(k)
			base, _ := read(t, bench("", "", more), false)
			for _, s := range samples(k) {
				got, said := read(t, bench(k.Section, k.Name+": "+s, more), false)
				if got != base && !disables(said, k.Name) {
					t.Errorf("%s: %s changes what the gateway does, and is not marked as implemented", k.Path(), s)
				}
			}
		}
	}
}
