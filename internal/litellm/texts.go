package litellm

import (
	"fmt"
	"strings"

	"github.com/llmgw/llmgw/internal/litellm/pyfmt"
)

// The error texts below are LiteLLM's, because operators and scripts look for
// them.

// RoutingStrategies are the valid words of router_settings.routing_strategy, in
// the order in which LiteLLM lists them.
func RoutingStrategies() []string {
	k, _ := LookupKey(SectionRouter, "routing_strategy")
	return k.Values
}

// InvalidRoutingStrategy is the error for a routing_strategy that is none.
func InvalidRoutingStrategy(value string) string {
	return fmt.Sprintf("Invalid routing_strategy: %s. Valid options: %s. Check 'router_settings.routing_strategy' in your config.yaml or the 'routing_strategy' parameter if using the Router SDK directly.",
		pyfmt.Repr(value), pyfmt.Repr(RoutingStrategies()))
}

// NotARouterSetting is the warning for an unknown key of router_settings.
func NotARouterSetting(key string) string {
	return fmt.Sprintf("Key '%s' is not a valid argument for Router.__init__(). Ignoring this key.", key)
}

// HealthCheckInRouter is the error for health_check_interval and
// health_check_concurrency under router_settings.
func HealthCheckInRouter(key string) string {
	return fmt.Sprintf("'%s' is NOT a valid router_settings parameter. Please move it to 'general_settings'.", key)
}

// FallbackNotMapping is the error for a fallback that is not a mapping; item
// is its value as Python would print it.
func FallbackNotMapping(item string) string {
	return fmt.Sprintf("Item '%s' is not a dictionary.", item)
}

// FallbackManyKeys is the error for a fallback of no or several keys.
func FallbackManyKeys(item string, keys int) string {
	return fmt.Sprintf("Dictionary '%s' must have exactly one key, but has %d keys.", item, keys)
}

// The texts about the configuration file and single settings.
const (
	EmptyConfig              = "Config cannot be None or Empty."
	IncludeNotList           = "'include' must be a list of file paths"
	InvalidKeyManagement     = "Invalid Key Management System selected"
	SpendReportInDays        = "spend_report_frequency must be specified in days, e.g., '1d', '7d'"
	CoordinationRedisNotMap  = "general_settings.coordination_redis must be a mapping of Redis connection params"
	CoordinationRedisNowhere = "general_settings.coordination_redis needs a connection target: set one of host, url, startup_nodes, or sentinel_nodes"
	RedisNowhere             = "Either 'host' or 'url' must be specified for redis."
	ClusterNodesNotJSON      = "REDIS_CLUSTER_NODES environment variable is not valid JSON. Please ensure it's properly formatted."
	HalfTLS                  = "Both --ssl_certfile_path and --ssl_keyfile_path are required for SSL."
	MetricsPortEqualsPort    = "--prometheus_metrics_port must differ from --port"
	ValidateNeedsConfig      = "--validate_config requires --config <path>"
	SetupComplete            = "LiteLLM: Setup complete. Skipping server startup as requested."
	NoMasterKey              = "LITELLM_MASTER_KEY is not set! All requests will be treated as INTERNAL_USER with no admin access. Set LITELLM_MASTER_KEY for production use."
)

// ConfigNotFound and IncludeNotFound are the errors for files that are missing.
func ConfigNotFound(path string) string { return "Config file not found: " + path }

// IncludeNotFound is the error for an included file that is missing.
func IncludeNotFound(path string) string { return "Included file not found: " + path }

// ConfigOK is the line of --validate_config for a good configuration.
func ConfigOK(models int) string { return fmt.Sprintf("LiteLLM: config OK (%d models)", models) }

// ConfigFailed is the line of --validate_config for a bad one.
func ConfigFailed(reason string) string { return "LiteLLM: config validation failed: " + reason }

// BlockedVariable is the line for a name that environment_variables may not
// set.
func BlockedVariable(name string) string {
	return "Skipping blocked environment variable key: " + name
}

// UnsupportedScheme is the error for a database address of another engine.
// variable names where the address came from; scheme is empty when there is
// none, and then nothing of the address is shown.
func UnsupportedScheme(variable, scheme string) string {
	if scheme == "" {
		scheme = "<missing scheme>"
	}
	return fmt.Sprintf("%s uses unsupported scheme '%s'. LiteLLM's database features (virtual keys, store_model_in_db, spend tracking) require PostgreSQL; use a 'postgresql://' connection string. SQLite and other engines are not supported. See https://docs.litellm.ai/docs/proxy/virtual_keys", variable, scheme)
}

// blocked are the names that environment_variables may not set.
const blocked = " PATH LD_PRELOAD LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_INSERT_LIBRARIES PYTHONPATH PYTHONSTARTUP PYTHONHOME HOME USER SHELL LOGNAME NO_PROXY no_proxy "

// Blocked reports whether environment_variables may not set a name.
func Blocked(name string) bool {
	return name != "" && !strings.Contains(name, " ") && strings.Contains(blocked, " "+name+" ")
}
