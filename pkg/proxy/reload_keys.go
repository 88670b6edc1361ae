package proxy

import (
	"strings"

	"github.com/llmgw/llmgw/internal/config"
)

// RestartKey is a setting, or a family of settings, that only a restart
// changes.
type RestartKey struct {
	// Path is section.name; a * at its end stands for anything.
	Path string
	// Why says what was made of it when the gateway started.
	Why string
}

// RestartKeys are all of them: every other setting that is served is changed by
// a reload. A test holds the list against what the settings are loaded into.
var RestartKeys = []RestartKey{
	{"litellm_settings.cache", string(FixedCache)},
	{"litellm_settings.cache_params", string(FixedCache)},
	{"litellm_settings.default_redis_ttl", string(FixedCache)},
	{"llmgw.cache_size_mb", string(FixedCache)},
	{"llmgw.tenant_scope", string(FixedCache)},
	{"router_settings.caching_groups", string(FixedCache)},
	{"router_settings.cache_responses", string(FixedCache)},
	{"general_settings.coordination_redis", string(FixedRedis)},
	{"router_settings.redis_*", string(FixedRedis)},
	{"router_settings.cache_kwargs", string(FixedRedis)},
	{"litellm_settings.callbacks", string(FixedTelemetry)},
	{"litellm_settings.success_callback", string(FixedTelemetry)},
	{"litellm_settings.failure_callback", string(FixedTelemetry)},
	{"litellm_settings.service_callback", string(FixedTelemetry)},
	{"litellm_settings.prometheus_*", string(FixedTelemetry)},
	{"litellm_settings.custom_prometheus_*", string(FixedTelemetry)},
	{"litellm_settings.enable_end_user_cost_tracking_prometheus_only", string(FixedTelemetry)},
	{"litellm_settings.disable_end_user_cost_tracking_prometheus_only", string(FixedTelemetry)},
	{"litellm_settings.disable_end_user_cost_tracking", string(FixedTelemetry)},
	{"llmgw.compat", string(FixedTelemetry)},
	{"litellm_settings.ssl_verify", string(FixedUpstream)},
	{"litellm_settings.ssl_certificate", string(FixedUpstream)},
	{"litellm_settings.force_ipv4", string(FixedUpstream)},
	{"litellm_settings.turn_off_message_logging", string(FixedTelemetry)},
	{"llmgw.log_sink", string(FixedTelemetry)},
	{"litellm_settings.redact_user_api_key_info", string(FixedTelemetry)},
	{"litellm_settings.generic_logger_headers", string(FixedTelemetry)},
	{"callback_settings", string(FixedTelemetry)},
	{"general_settings.alert*", string(FixedTelemetry)},
	{"litellm_settings.redact_messages_in_exceptions", string(FixedTelemetry)},
	{"litellm_settings.json_logs", "the form of log lines"},
	{"general_settings.database_*", "the database"},
	{"general_settings.disable_prisma_schema_update", "the check of the schema before the start"},
	{"llmgw.startup_doctor", "doctor's rules, which run at the start"},
}

// Matches reports whether a setting is of the family.
func (k RestartKey) Matches(path string) bool {
	if prefix, open := strings.CutSuffix(k.Path, "*"); open {
		return strings.HasPrefix(path, prefix)
	}
	return path == k.Path || strings.HasPrefix(path, k.Path+".")
}

// Changes compares two configurations: the settings outside model_list that
// differ, and those among them that only a restart changes.
func Changes(before, after *config.Tree) (changed, restart []*config.Node) {
	for _, section := range sectionsOf(before, after) {
		if section == "model_list" {
			continue
		}
		a, b := before.Root().Get(section), after.Root().Get(section)
		for _, n := range union(a, b) {
			was, is := a.Get(n.Key), b.Get(n.Key)
			if same(was, is) {
				continue
			}
			changed = append(changed, n)
			for _, k := range RestartKeys {
				if k.Matches(section + "." + n.Key) {
					restart = append(restart, n)
					break
				}
			}
		}
	}
	return changed, restart
}

func sectionsOf(trees ...*config.Tree) (names []string) {
	seen := map[string]bool{}
	for _, t := range trees {
		for _, n := range t.Root().Items() {
			if !seen[n.Key] {
				seen[n.Key] = true
				names = append(names, n.Key)
			}
		}
	}
	return names
}

// union is the members of b, and of a what b lacks.
func union(a, b *config.Node) []*config.Node {
	list := append([]*config.Node{}, b.Items()...)
	for _, n := range a.Items() {
		if b.Get(n.Key) == nil {
			list = append(list, n)
		}
	}
	return list
}

// same compares what two nodes say, whatever their place and their form.
func same(a, b *config.Node) bool {
	switch {
	case a.IsNull() || b.IsNull():
		return a.IsNull() && b.IsNull()
	case a.Kind != b.Kind || a.Len() != b.Len() || a.IsScalar() != b.IsScalar():
		return false
	case a.IsScalar():
		return a.Secret().Reveal() == b.Secret().Reveal()
	}
	for i, n := range a.Items() {
		other := b.At(i)
		if a.Kind == config.Map {
			other = b.Get(n.Key)
		}
		if !same(n, other) {
			return false
		}
	}
	return true
}
