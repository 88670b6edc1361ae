package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/route"
)

func load(t testing.TB, yaml string, env ...string) (Config, []finding.Finding) {
	t.Helper()
	tree, _, err := config.Load(config.Sources{Data: []byte(yaml), File: "config.yaml", Env: config.ProcessEnv(env)})
	if err != nil {
		t.Fatal(err)
	}
	return Load(tree, "test")
}

func TestRouterSettingsReachTheRouter(t *testing.T) {
	c, findings := load(t, `
model_list:
- model_name: g
  litellm_params: {model: openai/gpt-4o, api_key: k, rpm: 30, tags: [eu, paid], cooldown_time: 0, timeout: 9, stream_timeout: 4, order: 2}
  model_info: {id: same, allowed_fails: 4, allowed_fails_policy: {BadRequestErrorAllowedFails: 1}, blocked: true, supports_web_search: false, disable_background_health_check: true, max_input_tokens: 1234}
- model_name: g
  litellm_params: {model: openai/gpt-4o-mini, api_key: k, tpm: 5000, request_timeout: 8}
  model_info: {id: same}
- model_name: h
  litellm_params: {model: openai/mine, api_key: k, max_parallel_requests: 3, rpm: 100}
  model_info: {base_model: gpt-4o}
- model_name: i
  litellm_params: {model: openai/gpt-4o, api_key: k}
router_settings:
  routing_strategy: latency-based-routing
  routing_strategy_args: {ttl: 60, lowest_latency_buffer: 0.5, max_latency_list_size: 5}
  allowed_fails: 2
  allowed_fails_policy: {TimeoutErrorAllowedFails: 7, Nonsense: 1}
  enable_pre_call_checks: true
  enable_tag_filtering: true
  tag_filtering_match_any: false
  default_max_parallel_requests: 11
  fallbacks: []
  context_window_fallbacks: []
  default_fallbacks: [h]
litellm_settings:
  allowed_fails: 9
  num_retries: 4
  fallbacks: [{g: [i]}]
llmgw: {max_cooldown_time: 90}
`, "ROUTER_MAX_FALLBACKS=3", "DEFAULT_COOLDOWN_TIME_SECONDS=8")
	o := c.Router
	two, four, nine, three := 2, 4, 9, 3
	want := route.Options{
		NumRetries: &four, Timeout: 600 * time.Second, CooldownTime: 8 * time.Second, MaxCooldown: 90 * time.Second,
		AllowedFails: &two, GlobalAllowedFails: &nine, AllowedFailsPolicy: route.AllowedFailsPolicy{call.ClassTimeout: 7},
		Fallbacks:    []route.Fallback{{Group: "g", To: []string{"i"}}, {Group: "*", To: []string{"h"}}},
		MaxFallbacks: &three, Strategy: route.LatencyBased{TTL: time.Minute, Buffer: 0.5, Samples: 5},
		TagFiltering: true, MatchAllTags: true, PreCallChecks: true,
	}
	o.Provider = nil
	if d := cmp.Diff(want, o, cmp.FilterPath(func(p cmp.Path) bool {
		name := p.Last().String()
		return name == ".mono" || name == ".wall" || name == ".sleep"
	}, cmp.Ignore())); d != "" {
		t.Error(d)
	}
	first, second, azure, plain := c.Deployments[0], c.Deployments[1], c.Deployments[2], c.Deployments[3]
	if first.RPM != 30 || first.MaxParallel != 30 || len(first.Tags) != 2 || first.Cooldown == nil || *first.Cooldown != 0 ||
		*first.AllowedFails != 4 || first.AllowedFailsFor[call.ClassBadRequest] != 1 || !first.Paused || !first.NoWebSearch ||
		!first.NoHealthCheck || first.MaxInput != 1234 || first.Timeout != 9*time.Second || first.StreamTimeout != 4*time.Second || first.Order != 2 {
		t.Errorf("%+v", first)
	}
	if second.MaxParallel != 30 || second.Timeout != 8*time.Second || second.ID == first.ID {
		t.Errorf("%+v", second)
	}
	if azure.MaxParallel != 3 || azure.MaxInput < 100_000 {
		t.Errorf("%+v", azure)
	}
	if plain.MaxParallel != 11 {
		t.Errorf("%+v", plain)
	}
	if !c.API.Routing.Tags || !c.API.Routing.WebSearch {
		t.Errorf("%+v", c.API.Routing)
	}
	var texts []string
	for _, f := range findings {
		texts = append(texts, f.Message)
	}
	all := strings.Join(texts, "\n")
	for _, part := range []string{`model_info.id "same" of model_list[1] is also the id of`, "Nonsense is not a field"} {
		if !strings.Contains(all, part) {
			t.Errorf("nothing says %q in:\n%s", part, all)
		}
	}
	if strings.Contains(all, "has no effect") {
		t.Errorf("something is said to have no effect:\n%s", all)
	}
}

func TestEveryStrategyOfTheConfigurationIsServed(t *testing.T) {
	for _, name := range []string{"simple-shuffle", "least-busy", "usage-based-routing", "usage-based-routing-v2", "latency-based-routing", "cost-based-routing"} {
		c, findings := load(t, "model_list: [{model_name: g, litellm_params: {model: openai/gpt-4o, api_key: k}}]\nrouter_settings: {routing_strategy: "+name+"}")
		if c.Router.Strategy == nil || len(findings) > 0 {
			t.Errorf("%s: %v, %v", name, c.Router.Strategy, findings)
		}
	}
}

func TestAWildcardThatEndsInTextIsNamed(t *testing.T) {
	_, findings := load(t, `model_list:
- {model_name: '*-mini', litellm_params: {model: openai/*, api_key: k}}
- {model_name: 'openai/*', litellm_params: {model: openai/*, api_key: k}}`)
	if len(findings) != 1 || !strings.Contains(findings[0].Message, `Write "*-mini*"`) {
		t.Errorf("%v", findings)
	}
}
