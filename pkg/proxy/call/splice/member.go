package splice

// Member names a top-level member of a request that the gateway reads or
// keeps from the upstream. Two of the same in one body are refused.
type Member uint8

// The members that are read. Those after the first block never reach an
// upstream (see Strips).
const (
	other Member = iota // any member that passes untouched

	Model
	Stream
	StreamOptions
	User
	SafetyIdentifier
	Metadata
	Store
	Messages
	Input
	Prompt
	Query
	Documents
	Instructions
	PreviousResponseID
	System
	Tools
	N
	MaxTokens
	MaxCompletionTokens
	MaxOutputTokens

	firstStripped // not a member

	LiteLLMMetadata
	Tags
	Timeout
	RequestTimeout
	StreamTimeout
	NumRetries
	MaxRetries
	Fallbacks
	ContextWindowFallbacks
	ContextWindowFallbackDict
	ContentPolicyFallbacks
	DisableFallbacks
	IncludeFallbackErrors
	Cache
	Caching
	TTL
	NoLog
	MockResponse
	MockTimeout
	MockDelay
	MockToolCalls
	MockTestingFallbacks
	MockTestingContextFallbacks
	MockTestingContextWindowFallbacks
	MockTestingContentPolicyFallbacks
	MockTestingRateLimitError
	DropParams
	AdditionalDropParams
	AllowedOpenAIParams
	Guardrails
	GuardrailConfig
	DisableGlobalGuardrails
	EnforcedParams
	LiteLLMSessionID
	LiteLLMTraceID
	LiteLLMCallID
	CustomLLMProvider
	UserConfig
	APIKey
	APIBase
	BaseURL
	APIVersion

	members // their number
)

// names holds the spelling of each member. Matching is exact: a decoder that
// ignores case would see a second "model" in "Model".
var names = [members]string{
	Model:                             "model",
	Stream:                            "stream",
	StreamOptions:                     "stream_options",
	User:                              "user",
	SafetyIdentifier:                  "safety_identifier",
	Metadata:                          "metadata",
	Store:                             "store",
	Messages:                          "messages",
	Input:                             "input",
	Prompt:                            "prompt",
	Query:                             "query",
	Documents:                         "documents",
	Instructions:                      "instructions",
	PreviousResponseID:                "previous_response_id",
	System:                            "system",
	Tools:                             "tools",
	N:                                 "n",
	MaxTokens:                         "max_tokens",
	MaxCompletionTokens:               "max_completion_tokens",
	MaxOutputTokens:                   "max_output_tokens",
	LiteLLMMetadata:                   "litellm_metadata",
	Tags:                              "tags",
	Timeout:                           "timeout",
	RequestTimeout:                    "request_timeout",
	StreamTimeout:                     "stream_timeout",
	NumRetries:                        "num_retries",
	MaxRetries:                        "max_retries",
	Fallbacks:                         "fallbacks",
	ContextWindowFallbacks:            "context_window_fallbacks",
	ContextWindowFallbackDict:         "context_window_fallback_dict",
	ContentPolicyFallbacks:            "content_policy_fallbacks",
	DisableFallbacks:                  "disable_fallbacks",
	IncludeFallbackErrors:             "include_fallback_errors",
	Cache:                             "cache",
	Caching:                           "caching",
	TTL:                               "ttl",
	NoLog:                             "no-log",
	MockResponse:                      "mock_response",
	MockTimeout:                       "mock_timeout",
	MockDelay:                         "mock_delay",
	MockToolCalls:                     "mock_tool_calls",
	MockTestingFallbacks:              "mock_testing_fallbacks",
	MockTestingContextFallbacks:       "mock_testing_context_fallbacks",
	MockTestingContextWindowFallbacks: "mock_testing_context_window_fallbacks",
	MockTestingContentPolicyFallbacks: "mock_testing_content_policy_fallbacks",
	MockTestingRateLimitError:         "mock_testing_rate_limit_error",
	DropParams:                        "drop_params",
	AdditionalDropParams:              "additional_drop_params",
	AllowedOpenAIParams:               "allowed_openai_params",
	Guardrails:                        "guardrails",
	GuardrailConfig:                   "guardrail_config",
	DisableGlobalGuardrails:           "disable_global_guardrails",
	EnforcedParams:                    "enforced_params",
	LiteLLMSessionID:                  "litellm_session_id",
	LiteLLMTraceID:                    "litellm_trace_id",
	LiteLLMCallID:                     "litellm_call_id",
	CustomLLMProvider:                 "custom_llm_provider",
	UserConfig:                        "user_config",
	APIKey:                            "api_key",
	APIBase:                           "api_base",
	BaseURL:                           "base_url",
	APIVersion:                        "api_version",
}

// String returns the member's name in JSON.
func (m Member) String() string { return names[m] }

// Strips reports whether the member is addressed to the gateway and is never
// sent to an upstream.
func (m Member) Strips() bool { return m > firstStripped && m < members }

// The names are found by length and a hash of three of their bytes: one probe
// and one comparison per member of a body.
const tableSize = 256

var table = buildTable()

func buildTable() (t [tableSize]Member) {
	for m, name := range names {
		if name == "" {
			continue
		}
		h := hash([]byte(name))
		for t[h] != other {
			h = (h + 1) % tableSize
		}
		t[h] = Member(m)
	}
	return t
}

func hash(name []byte) int {
	n := len(name)
	return (n*7 + int(name[0])*31 + int(name[n/2])*5 + int(name[n-1])*17) % tableSize
}

// lookup returns the member called name, or other.
func lookup(name []byte) Member {
	if len(name) == 0 {
		return other
	}
	for h := hash(name); table[h] != other; h = (h + 1) % tableSize {
		if m := table[h]; names[m] == string(name) {
			return m
		}
	}
	return other
}

// hidden are the members of metadata that only the gateway understands.
func hidden(name []byte) bool {
	switch string(name) {
	case "tags", "trace_id", "trace_name", "trace_user_id", "trace_metadata", "generation_id", "generation_name",
		"session_id", "spend_logs_metadata", "alerting_metadata", "requester_metadata", "headers", "endpoint",
		"model_group", "deployment", "model_info", "guardrails", "no-log":
		return true
	}
	const control = "user_api_key"
	return len(name) >= len(control) && string(name[:len(control)]) == control
}
