// Package call holds the words that all rooms of the proxy share: who is
// calling (Identity), where a call may go (Deployment), what one request asked
// for and how it went (Call), what it used (Usage), and how it failed (Error).
//
// It is a leaf: it imports no other room, does no I/O and starts nothing. Values
// that travel between goroutines (Identity, Deployment) are immutable once they
// are published.
package call

import (
	"crypto/tls"
	"net/http"
	"regexp"
	"time"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/redact"
)

// MasterKeyAlias stands for the master key wherever a key is named downstream
// (logs, metrics, spend rows): the hash of a master key can be the key that
// decrypts stored secrets, so it must not be spread.
const MasterKeyAlias = "litellm_proxy_master_key"

// Role is what a caller may do besides calling models.
type Role uint8

const (
	// RoleInternalUser may call models and read what is their own.
	RoleInternalUser Role = iota
	// RoleProxyAdmin may do everything.
	RoleProxyAdmin
)

// String returns LiteLLM's name of the role.
func (r Role) String() string {
	if r == RoleProxyAdmin {
		return "proxy_admin"
	}
	return "internal_user"
}

// Identity is who is calling. It is immutable and shared between requests.
type Identity struct {
	// KeyHash is the lower-case hex SHA-256 of the virtual key, or
	// MasterKeyAlias. It is safe to log.
	KeyHash string
	// KeyName is the abbreviated key (sk-...abcd), empty for the master key.
	KeyName string
	// UserID owns the key; the master key belongs to default_user_id.
	UserID string
	// TeamID is empty for personal keys.
	TeamID string
	// Role decides about management routes.
	Role Role
}

// Deployment is one entry of model_list: one upstream target of a model group.
// It is immutable; a reload builds new ones.
type Deployment struct {
	// ID is model_info.id, or derived from the entry when absent.
	ID string
	// Group is model_name: what clients ask for.
	Group string
	// Provider is the wire family ("openai", "groq", "hosted_vllm", ...).
	Provider string
	// Model is the provider model: what is sent upstream.
	Model string
	// Params and Info are litellm_params and model_info as JSON objects, for those
	// who list models; Params is without credentials.
	Params, Info []byte
	// Configured is litellm_params.model as it is written: provider and model.
	Configured string
	// APIBase is the base URL without a trailing slash and without credentials.
	APIBase string
	// APIKey is the provider key; zero sends no Authorization header.
	APIKey redact.Secret
	// Secrets are all that is sent upstream and must not come back in an error
	// text: the key, and headers with a secret's name.
	Secrets []redact.Secret
	// Token is fetched and sent in place of APIKey; nil where nothing has to be.
	Token *Token
	// TLS says how the upstream's certificate is checked; nil means like all
	// others'.
	TLS *tls.Config
	// Region is where the deployment runs, as far as the configuration says; alerts
	// of outages name it.
	Region string
	// Organization is sent as OpenAI-Organization when not empty.
	Organization string
	// ExtraHeaders are added to every upstream request (canonical names).
	ExtraHeaders http.Header
	// MockResponse, when not nil, answers chat calls without an upstream.
	MockResponse *string
	// Mode is model_info.mode: "chat" (also when empty), "embedding", ...
	Mode string

	// Weight, RPM and TPM are the weights of simple-shuffle, in this order.
	Weight, RPM, TPM float64
	// Order prefers deployments with a lower value; 0 means not set.
	Order int
	// NumRetries overrides the router's budget when not nil.
	NumRetries *int
	// Timeout bounds one non-stream attempt, StreamTimeout the first byte and
	// each gap of a streamed one; 0 means the router's value.
	Timeout, StreamTimeout time.Duration
	// Keepalive overrides how long a stream stays silent before a comment is
	// written into it; 0 writes none.
	Keepalive *time.Duration
	// Cooldown overrides the router's cooldown time when not nil; 0 disables.
	Cooldown *time.Duration
	// AllowedFails counts this deployment's failures instead of their rate when
	// it is not nil; AllowedFailsFor does so for the classes it names.
	AllowedFails    *int
	AllowedFailsFor map[Class]int
	// MaxParallel bounds the attempts in flight; 0 does not.
	MaxParallel int
	// MaxInput is the model's context window in tokens, 0 when unknown.
	MaxInput int64
	// TokenPrice is the price of one token read plus one written.
	TokenPrice float64
	// Tags are what requests are matched with where tags route.
	Tags []string
	// TagPatterns are matched with the request's User-Agent header there, written
	// as "User-Agent: value".
	TagPatterns []*regexp.Regexp
	// TagFiltering says for the whole group whether tags route, whatever the
	// router says; nil says nothing.
	TagFiltering *bool
	// FailOpen lets a group that no deployment is left of, because of what tags
	// demand or rule out, serve the call all the same.
	FailOpen bool
	// TeamID is the team that the deployment belongs to, empty for everybody's;
	// TeamName is what that team calls it, empty for Group.
	TeamID, TeamName string
	// Paused takes a deployment out until the configuration says otherwise.
	Paused bool
	// NoWebSearch says that web search tools do not work here.
	NoWebSearch bool
	// NoHealthCheck leaves the deployment out of background checks; Health says
	// how it is checked.
	NoHealthCheck bool
	Health        HealthCheck
	// StreamOptions says that the upstream understands
	// stream_options.include_usage.
	StreamOptions bool
	// Lane is what the handlers have prepared for this deployment (target,
	// rewrite rules); routing passes it along and never looks into it.
	Lane any
	// Lanes leads to the lanes for the other kinds of call.
	Lanes any
	// Answer holds the headers of every answer that this deployment gave, with
	// canonical names; computed once, its values are shared between answers.
	Answer http.Header

	// Price returns the rates of a provider model; nil where nothing is known. It
	// is asked with Model, or with what a wildcard stands for, by every call, and
	// must be a look-up.
	Price func(model string) *catalog.Price

	// KeepModel leaves the provider's model name in the answer (Azure model
	// router deployments).
	KeepModel bool
}

// HealthCheck says how a deployment is asked whether it works.
type HealthCheck struct {
	// Model is asked for instead of the deployment's; wildcards need one.
	Model string
	// Prompt is what is asked; empty is the default. Voice reads it aloud.
	Prompt, Voice string
	// Timeout bounds the check, 0 means 60 s; MaxTokens bounds the answer, 0 does
	// not.
	Timeout   time.Duration
	MaxTokens int
}

// Usage is what an answer reports it used.
type Usage struct {
	PromptTokens     int64
	CompletionTokens int64
	TotalTokens      int64
	// CachedTokens is the part of PromptTokens read from the provider's cache.
	CachedTokens int64
	// CacheWriteTokens is the part of PromptTokens written to that cache.
	CacheWriteTokens int64
	// ReasoningTokens is the part of CompletionTokens spent on reasoning.
	ReasoningTokens int64
	// AudioInTokens and ImageInTokens are parts of PromptTokens, AudioOutTokens
	// and ImageOutTokens of CompletionTokens.
	AudioInTokens, ImageInTokens, AudioOutTokens, ImageOutTokens int64
	// Seconds of sound, Images made, Characters read aloud and Queries (search
	// units of a reranking) are what calls use that are not paid by the token.
	Seconds    float64
	Images     int64
	Characters int64
	Queries    int64
	// ImageQuality and ImageSize are what was asked of an image; other words than
	// prices may depend on are left out.
	ImageQuality, ImageSize string
	// Known is false while the upstream has reported nothing.
	Known bool
	// Estimated says that the numbers were counted here, not reported.
	Estimated bool
}

// Cost is what a call costs, in dollars. Known is false where no price is known.
type Cost struct {
	Input, Output, Total float64
	Known                bool
}

// Call is one client request on its way through the rooms. It belongs to the
// goroutine that serves the request; it becomes a value for the accounting
// queue when the request is done.
type Call struct {
	// ID is x-litellm-call-id.
	ID string
	// Caller is nil only on public routes.
	Caller *Identity
	// Route is the route pattern without path values ("/v1/chat/completions").
	Route string
	// Model is the model name that the client asked for.
	Model string
	// EndUser is the request's user.
	EndUser string
	// Stream says that the client wants server-sent events.
	Stream bool
	// Start is when the request's head had been read.
	Start time.Time

	// Deployment served the last attempt; nil when none was chosen.
	Deployment *Deployment
	// Attempts counts upstream attempts, Retries those after the first in a
	// group, Fallbacks the moves to another group.
	Attempts, Retries, Fallbacks int
	// MaxRetries is the budget that Retries came out of.
	MaxRetries int
	// Group is the group that a fallback led to, empty without one.
	Group string
	// Failures are the errors of the groups before the last, where the plan asks
	// for them.
	Failures []*Error
	// Status is what the client got; 499 when it left before an answer.
	Status int
	// FirstByte and End are when the answer began and was complete.
	FirstByte, End time.Time
	// UpstreamStart is when the last attempt was sent, UpstreamTime how long it
	// took until its answer's end.
	UpstreamStart time.Time
	UpstreamTime  time.Duration
	// Usage is what the answer reported, or what was counted in its place.
	Usage Usage
	// Cost is the price of Usage.
	Cost Cost
	// PromptBytes and AnswerBytes are the lengths of what the model read and
	// wrote, as far as they are known: an answer that ends early reports no usage.
	PromptBytes, AnswerBytes int
	// Cached says that the answer had been given before: nothing was called, and
	// Usage is what it used then.
	Cached bool
	// CachedFrom is the id of the deployment that the cached answer came from.
	CachedFrom string
	// Err is why the call failed; nil on success.
	Err *Error
	// FailedAttempts are the attempts that failed, in order.
	FailedAttempts []FailedAttempt

	// Queued is how long it took from Start to the first attempt.
	Queued time.Duration
	// CacheMissed says that the response cache was asked and had no answer.
	CacheMissed bool
	// ClientIP and UserAgent say where the request came from.
	ClientIP, UserAgent string
	// Labels are the values of configured metric labels, joined by NUL.
	Labels string
	// Tags are the request's, where a log target shows them.
	Tags []string
	// RemainingRequests and RemainingTokens are what the upstream said is left of
	// its limits, or what the router knows to be left of the group's.
	RemainingRequests, RemainingTokens string
	// NoLog says that the client wants log targets not to be told.
	NoLog bool
	// Trace is nil for calls that are not traced.
	Trace *Trace
	// Prompt and Answer are the bodies, where a log target was asked to have
	// them; each may be shortened.
	Prompt, Answer []byte
}

// ServedBy is the model group that was tried last.
func (c *Call) ServedBy() string {
	if c.Group != "" {
		return c.Group
	}
	return c.Model
}

// FailedAttempt is one attempt that failed.
type FailedAttempt struct {
	Deployment *Deployment
	Err        *Error
	// Start is when it was sent, zero when it never was; Took how long it lasted.
	Start time.Time
	Took  time.Duration
}
