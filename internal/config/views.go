package config

import (
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"iter"
)

// General is the typed view of general_settings. Keys it does not hold are read
// from Node.
type General struct {
	Node *Node // nil when absent

	// MasterKey falls back to LITELLM_MASTER_KEY only when the key is absent: a
	// null, or a reference to a missing variable, does not.
	MasterKey Value[redact.Secret]
	// DatabaseURL is the setting, else DATABASE_URL. Package pgurl assembles one
	// from DATABASE_HOST and its kin.
	DatabaseURL Value[redact.Secret]

	DatabaseConnectionPoolLimit Value[int]
	DatabaseConnectionTimeout   Value[float64] // seconds to wait for a pooled connection
	DisablePrismaSchemaUpdate   Value[bool]

	AllowRequestsOnDBUnavailable Value[bool]
	StoreModelInDB               Value[bool]
	ProxyBatchWriteAt            Value[float64] // seconds
	UseRedisTransactionBuffer    Value[bool]
	DisableSpendLogs             Value[bool]
	DisableErrorLogs             Value[bool]
	StorePromptsInSpendLogs      Value[bool]
	SpendLogsRetention           Value[string] // duration
	UserAPIKeyCacheTTL           Value[float64]

	MaxParallelRequests       Value[int] // per key
	GlobalMaxParallelRequests Value[int]
	MaxRequestSizeMB          Value[int]
	MaxResponseSizeMB         Value[int]

	BackgroundHealthChecks Value[bool]
	HealthCheckInterval    Value[float64]
	HealthCheckDetails     Value[bool]

	Alerting          Value[[]string]
	AlertingThreshold Value[float64]

	UseXForwardedFor          Value[bool]
	AllowClientCredentials    Value[bool]
	AlwaysIncludeStreamUsage  Value[bool]
	LiteLLMKeyHeaderName      Value[string]
	ForwardClientHeaders      Value[bool]
	CompletionModel           Value[string]
	KeyManagementSystem       Value[string]
	PassThroughRequestTimeout Value[float64]
}

// General returns the typed view of general_settings.
func (t *Tree) General() General {
	v := t.view("general_settings")
	g := General{
		Node:                        v.node,
		DatabaseURL:                 v.secret("database_url", "DATABASE_URL"),
		DatabaseConnectionPoolLimit: v.int("database_connection_pool_limit", 10),
		DatabaseConnectionTimeout:   v.float("database_connection_timeout", 60),
		DisablePrismaSchemaUpdate:   v.bool("disable_prisma_schema_update", false, "DISABLE_SCHEMA_UPDATE"),

		AllowRequestsOnDBUnavailable: v.bool("allow_requests_on_db_unavailable", false),
		StoreModelInDB:               v.bool("store_model_in_db", false),
		ProxyBatchWriteAt:            v.float("proxy_batch_write_at", 10, "PROXY_BATCH_WRITE_AT"),
		UseRedisTransactionBuffer:    v.bool("use_redis_transaction_buffer", false),
		DisableSpendLogs:             v.bool("disable_spend_logs", false),
		DisableErrorLogs:             v.bool("disable_error_logs", false),
		StorePromptsInSpendLogs:      v.bool("store_prompts_in_spend_logs", false),
		SpendLogsRetention:           v.duration("maximum_spend_logs_retention_period", ""),
		UserAPIKeyCacheTTL:           v.float("user_api_key_cache_ttl", 60),

		MaxParallelRequests:       v.int("max_parallel_requests", 0),
		GlobalMaxParallelRequests: v.int("global_max_parallel_requests", 0),
		MaxRequestSizeMB:          v.int("max_request_size_mb", 0),
		MaxResponseSizeMB:         v.int("max_response_size_mb", 0),

		BackgroundHealthChecks: v.bool("background_health_checks", false),
		HealthCheckInterval:    v.float("health_check_interval", 300, "DEFAULT_HEALTH_CHECK_INTERVAL"),
		HealthCheckDetails:     v.bool("health_check_details", true),

		Alerting:          v.words("alerting"),
		AlertingThreshold: v.float("alerting_threshold", 600),

		UseXForwardedFor:          v.bool("use_x_forwarded_for", false),
		AllowClientCredentials:    v.bool("allow_client_side_credentials", false),
		AlwaysIncludeStreamUsage:  v.bool("always_include_stream_usage", false),
		LiteLLMKeyHeaderName:      v.text("litellm_key_header_name", ""),
		ForwardClientHeaders:      v.bool("forward_client_headers_to_llm_api", false),
		CompletionModel:           v.text("completion_model", ""),
		KeyManagementSystem:       v.text("key_management_system", ""),
		PassThroughRequestTimeout: v.float("pass_through_request_timeout", 600),
	}
	// The environment wins over the file for this one (a row in the database wins
	// over both).
	if store := (view{tree: t, section: v.section}).bool("store_model_in_db", false, "STORE_MODEL_IN_DB"); store.Set() && !store.Bad {
		store.Pos, store.Path = g.StoreModelInDB.Pos, g.StoreModelInDB.Path
		g.StoreModelInDB = store
	}
	if v.node.Has("master_key") {
		g.MasterKey = v.secret("master_key")
	} else {
		g.MasterKey = v.secret("master_key", "LITELLM_MASTER_KEY")
	}
	return g
}

// LiteLLM is the typed view of litellm_settings.
type LiteLLM struct {
	Node *Node // nil when absent

	RequestTimeout Value[float64] // seconds; 600 unless set, a written 6000 is 6000
	NumRetries     Value[int]
	DropParams     Value[bool]
	ModifyParams   Value[bool]

	JSONLogs                    Value[bool]
	SetVerbose                  Value[bool]
	TurnOffMessageLogging       Value[bool]
	RedactUserAPIKeyInfo        Value[bool]
	RequireAuthForMetrics       Value[bool]
	Callbacks, SuccessCallbacks Value[[]string]
	FailureCallbacks            Value[[]string]

	Cache                Value[bool]
	CacheParams          *Node
	EnableRedisAuthCache Value[bool]

	MaxBudget      Value[float64]
	BudgetDuration Value[string]

	SSLVerify Value[string] // "true", "false", or the path of a CA bundle
}

// LiteLLM returns the typed view of litellm_settings.
func (t *Tree) LiteLLM() LiteLLM {
	v := t.view("litellm_settings")
	return LiteLLM{
		Node:           v.node,
		RequestTimeout: t.requestTimeout(),
		NumRetries:     v.int("num_retries", 2),
		DropParams:     v.bool("drop_params", false, "LITELLM_DROP_PARAMS"),
		ModifyParams:   v.bool("modify_params", false, "LITELLM_MODIFY_PARAMS"),

		JSONLogs:              v.bool("json_logs", false, "JSON_LOGS"),
		SetVerbose:            v.bool("set_verbose", false),
		TurnOffMessageLogging: v.bool("turn_off_message_logging", false),
		RedactUserAPIKeyInfo:  v.bool("redact_user_api_key_info", false),
		RequireAuthForMetrics: v.bool("require_auth_for_metrics_endpoint", true),
		Callbacks:             v.words("callbacks"),
		SuccessCallbacks:      v.words("success_callback"),
		FailureCallbacks:      v.words("failure_callback"),

		Cache:                v.bool("cache", false),
		CacheParams:          v.node.Get("cache_params"),
		EnableRedisAuthCache: v.bool("enable_redis_auth_cache", false),

		MaxBudget:      v.float("max_budget", 0),
		BudgetDuration: v.duration("budget_duration", ""),

		SSLVerify: v.sslVerify(),
	}
}

// sslVerify lets the environment win over the file, as LiteLLM does.
func (v view) sslVerify() Value[string] {
	word := func(n *Node) (string, bool) {
		if b, ok := n.Bool(); ok {
			if b {
				return "true", true
			}
			return "false", true
		}
		return n.Scalar()
	}
	if s := read(view{tree: v.tree, section: v.section}, "ssl_verify", "true", word, "SSL_VERIFY"); s.Set() {
		return s
	}
	return read(v, "ssl_verify", "true", word)
}

// requestTimeout takes zero for unset.
func (t *Tree) requestTimeout() Value[float64] {
	v := t.view("litellm_settings")
	timeout := v.float("request_timeout", 600, "REQUEST_TIMEOUT")
	return positive(timeout, func() Value[float64] { return view{tree: t, section: v.section}.float("request_timeout", 600) })
}

// Router is the typed view of router_settings, with the keys of litellm_settings
// that stand in when the router has none.
type Router struct {
	Node *Node // nil when absent

	RoutingStrategy  Value[string]
	NumRetries       Value[int]
	MaxFallbacks     Value[int]
	Timeout          Value[float64] // seconds; litellm_settings.request_timeout when unset
	StreamTimeout    Value[float64] // 0 when unset
	RetryAfter       Value[float64]
	AllowedFails     Value[int]
	CooldownTime     Value[float64]
	DisableCooldowns Value[bool]

	EnablePreCallChecks        Value[bool]
	EnableTagFiltering         Value[bool]
	DefaultMaxParallelRequests Value[int]

	Fallbacks              []Fallback // with default_fallbacks as the last, for "*"
	ContextWindowFallbacks []Fallback
	ContentPolicyFallbacks []Fallback
	Aliases                []Alias

	RetryPolicy, ModelGroupRetryPolicy, AllowedFailsPolicy *Node
}

// Fallback names the model groups to try, in order, when a group fails.
type Fallback struct {
	Group   string // "*" for any
	Targets []Target
	Node    *Node // the list of targets as written
}

// Target is one fallback: a model group, or a mapping of parameters with the
// group under "model".
type Target struct {
	Group string
	Node  *Node
}

// Alias is one entry of model_group_alias.
type Alias struct {
	Name   string
	Group  string
	Hidden bool
	Node   *Node
}

// Router returns the typed view of router_settings.
func (t *Tree) Router() Router {
	v, lib := t.view("router_settings"), t.view("litellm_settings")
	r := Router{
		Node:            v.node,
		RoutingStrategy: v.text("routing_strategy", "simple-shuffle"),
		MaxFallbacks:    either(v, lib, "max_fallbacks", 5, asInt, "ROUTER_MAX_FALLBACKS"),
		NumRetries:      either(v, lib, "num_retries", 2, asInt, "DEFAULT_MAX_RETRIES"),
		AllowedFails:    either(v, lib, "allowed_fails", 3, asInt),
		Timeout:         positive(v.float("timeout", 0), t.requestTimeout),
		StreamTimeout:   v.float("stream_timeout", 0),
		RetryAfter:      v.float("retry_after", 0),
		CooldownTime: positive(v.float("cooldown_time", 0), func() Value[float64] {
			return view{tree: t, section: v.section}.float("cooldown_time", 5, "DEFAULT_COOLDOWN_TIME_SECONDS")
		}),
		DisableCooldowns: v.bool("disable_cooldowns", false),

		EnablePreCallChecks:        v.bool("enable_pre_call_checks", false),
		EnableTagFiltering:         v.bool("enable_tag_filtering", false),
		DefaultMaxParallelRequests: v.int("default_max_parallel_requests", 0),

		ContextWindowFallbacks: fallbacks(v, lib, "context_window_fallbacks"),
		ContentPolicyFallbacks: fallbacks(v, lib, "content_policy_fallbacks"),
		Fallbacks:              fallbacks(v, lib, "fallbacks"),

		RetryPolicy:           v.node.Get("retry_policy"),
		ModelGroupRetryPolicy: v.node.Get("model_group_retry_policy"),
		AllowedFailsPolicy:    v.node.Get("allowed_fails_policy"),
	}
	if n := nonEmpty(v, lib, "default_fallbacks"); n != nil {
		r.Fallbacks = append(r.Fallbacks, Fallback{Group: "*", Targets: targets(n), Node: n})
	}
	for _, n := range v.node.Get("model_group_alias").Items() {
		a := Alias{Name: n.Key, Node: n}
		if n.Kind == Map {
			a.Group, _ = n.Get("model").Scalar()
			a.Hidden, _ = n.Get("hidden").Bool()
		} else {
			a.Group, _ = n.Scalar()
		}
		if a.Group != "" {
			r.Aliases = append(r.Aliases, a)
		}
	}
	return r
}

// either reads a key of router_settings, else of litellm_settings.
func either[T any](v, lib view, key string, def T, get func(*Node) (T, bool), variables ...string) Value[T] {
	if own := read(v, key, def, get); own.Set() {
		return own
	}
	if theirs := read(lib, key, def, get); theirs.Set() {
		return theirs
	}
	return read(v, key, def, get, variables...)
}

// nonEmpty returns a list of router_settings, or of litellm_settings when the
// router's is empty or absent. The two are not merged.
func nonEmpty(v, lib view, key string) *Node {
	for _, s := range []view{v, lib} {
		if n := s.node.Get(key); n.Len() > 0 {
			return n
		}
	}
	return nil
}

func fallbacks(v, lib view, key string) []Fallback {
	var list []Fallback
	for _, item := range nonEmpty(v, lib, key).Items() {
		if item.Kind != Map {
			continue // package startcheck refuses it
		}
		for _, n := range item.children {
			list = append(list, Fallback{Group: n.Key, Targets: targets(n), Node: n})
		}
	}
	return list
}

func targets(n *Node) []Target {
	items := n.Items()
	if n.Kind != List {
		items = []*Node{n}
	}
	var list []Target
	for _, c := range items {
		t := Target{Node: c}
		if c.Kind == Map {
			t.Group, _ = c.Get("model").Scalar()
		} else {
			t.Group, _ = c.Scalar()
		}
		if t.Group != "" {
			list = append(list, t)
		}
	}
	return list
}

// Entry is one entry of model_list, as it is written.
type Entry struct {
	Index  int
	Node   *Node // the entry
	Params *Node // litellm_params; nil when absent or not a mapping
	Info   *Node // model_info; nil when absent or not a mapping
}

// ModelName is model_name, what clients send; empty when it is missing or not
// known here.
func (e Entry) ModelName() string {
	n := e.Node.Get("model_name")
	if n.IsNull() || n.Unknown {
		return ""
	}
	name, _ := n.Scalar()
	return name
}

// Model is one entry of model_list with its settings read.
type Model struct {
	Entry

	Name          Value[string] // model_name, what clients send
	ProviderModel Value[string] // litellm_params.model
	Provider      Value[string] // custom_llm_provider
	APIKey        Value[redact.Secret]
	APIBase       Value[string]
	APIVersion    Value[string]

	Timeout             Value[float64] // 0 when unset
	StreamTimeout       Value[float64] // 0 when unset
	MaxRetries          Value[int]
	RPM, TPM, Weight    Value[int] // 0 when unset
	Order               Value[int]
	MaxParallelRequests Value[int]
	CooldownTime        Value[float64]
	MockResponse        Value[string]

	ID        Value[string]
	Mode      Value[string]
	BaseModel Value[string]
}

// Pos is where to point at for the entry as a whole: its first key.
func (e Entry) Pos() finding.Position {
	if first := e.Node.At(0); first != nil && e.Node.Kind == Map {
		return first.Where()
	}
	return e.Node.Where()
}

// Models returns the entries of model_list in file order, incomplete ones too.
// Reading all settings of each costs; who needs few of them uses Entries.
func (t *Tree) Models() []Model {
	var models []Model
	for e := range t.Entries() {
		models = append(models, t.model(e))
	}
	return models
}

// Entries yields the entries of model_list in file order, incomplete ones too.
func (t *Tree) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		items := t.Section("model_list")
		if items.Len() == 0 || items.Kind != List {
			return
		}
		for i, n := range items.children {
			entry := mapping(n)
			if !yield(Entry{Index: i, Node: n, Params: mapping(entry.Get("litellm_params")), Info: mapping(entry.Get("model_info"))}) {
				return
			}
		}
	}
}

func (t *Tree) model(e Entry) Model {
	m := Model{Entry: e}
	entry := view{tree: t, section: e.Node.Path(), node: mapping(e.Node)}
	params := view{tree: t, section: entry.section + ".litellm_params", node: e.Params}
	info := view{tree: t, section: entry.section + ".model_info", node: e.Info}
	m.Name = entry.text("model_name", "")
	m.ProviderModel = params.text("model", "")
	m.Provider = params.text("custom_llm_provider", "")
	m.APIKey = params.secret("api_key")
	m.APIBase = params.text("api_base", "")
	if !m.APIBase.Set() {
		if other := params.text("base_url", ""); other.Set() {
			m.APIBase = other
		}
	}
	m.APIVersion = params.text("api_version", "")
	m.Timeout = params.float("timeout", 0)
	m.StreamTimeout = params.float("stream_timeout", 0)
	m.MaxRetries = params.int("max_retries", 0)
	m.RPM = params.int("rpm", 0)
	m.TPM = params.int("tpm", 0)
	m.Weight = params.int("weight", 0)
	m.Order = params.int("order", 0)
	m.MaxParallelRequests = params.int("max_parallel_requests", 0)
	m.CooldownTime = params.float("cooldown_time", 0)
	m.MockResponse = params.text("mock_response", "")
	m.ID = info.text("id", "")
	m.Mode = info.text("mode", "")
	m.BaseModel = info.text("base_model", "")
	return m
}

// mapping returns n if it is a mapping, else nil.
func mapping(n *Node) *Node {
	if n == nil || n.Kind != Map {
		return nil
	}
	return n
}
