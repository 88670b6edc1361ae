package startcheck

import (
	"slices"

	"github.com/llmgw/llmgw/internal/config"
)

// metrics are the names that prometheus_metrics_config may select.
var metrics = []string{
	"litellm_proxy_total_requests_metric", "litellm_proxy_failed_requests_metric", "litellm_requests_metric",
	"litellm_spend_metric", "litellm_total_tokens_metric", "litellm_input_tokens_metric", "litellm_output_tokens_metric",
	"litellm_request_total_latency_metric", "litellm_llm_api_latency_metric", "litellm_llm_api_time_to_first_token_metric",
	"litellm_request_queue_time_seconds", "litellm_overhead_latency_metric",
	"litellm_remaining_requests_metric", "litellm_remaining_tokens_metric",
	"litellm_deployment_state", "litellm_deployment_tpm_limit", "litellm_deployment_rpm_limit", "litellm_deployment_cooled_down",
	"litellm_deployment_total_requests", "litellm_deployment_success_responses", "litellm_deployment_failure_responses",
	"litellm_deployment_latency_per_output_token", "litellm_deployment_successful_fallbacks", "litellm_deployment_failed_fallbacks",
	"litellm_remaining_team_budget_metric", "litellm_team_max_budget_metric", "litellm_team_budget_remaining_hours_metric",
	"litellm_remaining_api_key_budget_metric", "litellm_api_key_max_budget_metric", "litellm_api_key_budget_remaining_hours_metric",
	"litellm_remaining_user_budget_metric", "litellm_user_max_budget_metric", "litellm_user_budget_remaining_hours_metric",
	"litellm_remaining_org_budget_metric", "litellm_org_max_budget_metric", "litellm_org_budget_remaining_hours_metric",
	"litellm_remaining_api_key_requests_for_model", "litellm_remaining_api_key_tokens_for_model",
	"litellm_provider_remaining_budget_metric",
	"litellm_cache_hits_metric", "litellm_cache_misses_metric", "litellm_cached_tokens_metric",
	"litellm_guardrail_latency_seconds", "litellm_guardrail_errors_total", "litellm_guardrail_requests_total",
	"litellm_callback_logging_failures_metric", "litellm_in_flight_requests", "litellm_llm_api_failed_requests_metric",
	"litellm_pod_lock_manager_size", "litellm_in_memory_daily_spend_update_queue_size", "litellm_redis_daily_spend_update_queue_size",
	"litellm_in_memory_spend_update_queue_size", "litellm_redis_spend_update_queue_size",
}

// prometheus refuses names of metrics that do not exist: the dashboard they were
// chosen for would stay empty, and LiteLLM stops on them.
func (c *checker) prometheus() {
	if !slices.Contains(c.tree.LiteLLM().Callbacks.V, "prometheus") &&
		!slices.Contains(c.tree.LiteLLM().SuccessCallbacks.V, "prometheus") {
		return
	}
	groups := c.tree.Section("litellm_settings").Get("prometheus_metrics_config")
	if groups.IsNull() {
		return
	}
	if groups.Kind != config.List {
		c.refuse(groups.Where(), groups.Path(), "CFG006", groups.Path()+" is "+groups.Kind.String()+", a list is expected", "write - group: ... and metrics: below it")
		return
	}
	for _, g := range groups.Items() {
		for _, m := range g.Get("metrics").Items() {
			if name, ok := m.Scalar(); ok && !m.Unknown && !slices.Contains(metrics, name) {
				c.refuse(m.Where(), m.Path(), "CFG006", m.Path()+": there is no metric "+quote(name), "correct the name, or delete the line")
			}
		}
	}
}
