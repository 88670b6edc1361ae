package metrics

import (
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// label is one of LiteLLM's label names.
type label uint8

const (
	endUser label = iota
	hashedAPIKey
	apiKeyAlias
	team
	teamAlias
	user
	userEmail
	requestedModel
	modelGroup
	model
	litellmModelName
	modelID
	apiBase
	apiProvider
	statusCode
	exceptionStatus
	exceptionClass
	route
	clientIP
	userAgent
	serviceTier
	fallbackModel
	stream
	rateLimitCategory
	rateLimitType
	inputLength
	orgID
	orgAlias
	labels // how many there are
)

var labelNames = [labels]string{
	"end_user", "hashed_api_key", "api_key_alias", "team", "team_alias", "user", "user_email", "requested_model",
	"model_group", "model", "litellm_model_name", "model_id", "api_base", "api_provider", "status_code",
	"exception_status", "exception_class", "route", "client_ip", "user_agent", "service_tier", "fallback_model",
	"stream", "rate_limit_category", "rate_limit_type", "input_sequence_length", "org_id", "org_alias",
}

// none stands for a value that is absent: Python prints it, and dashboards
// filter on it.
const none = "None"

// overflow is every label's value in the series that takes what is beyond the
// limit of series.
const overflow = "other"

// values are what a call's labels say. custom holds the configured labels.
type values struct {
	fixed  [labels]string
	custom []string
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

// clean keeps a value to one line of valid text: it comes from clients.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.ContainsAny(s, "\n\r\u2028\u2029") {
		s = strings.NewReplacer("\n", " ", "\r", "", "\u2028", "", "\u2029", "").Replace(s)
	}
	return strings.Clone(s) // it may be a part of a request's head
}

// caller fills in who has called.
func (v *values) caller(c *call.Call) {
	for i := range v.fixed {
		v.fixed[i] = none
	}
	if id := c.Caller; id != nil {
		v.fixed[hashedAPIKey] = orNone(id.KeyHash)
		v.fixed[user] = orNone(id.UserID)
		v.fixed[team] = orNone(id.TeamID)
	}
	v.fixed[clientIP] = orNone(clean(c.ClientIP))
	v.fixed[userAgent] = orNone(clean(c.UserAgent))
	v.fixed[route] = orNone(c.Route)
	v.fixed[stream] = "False"
	if c.Stream {
		v.fixed[stream] = "True"
	}
}

// groupOf is the model group that a call was served in; a wildcard's is the name
// that was asked for.
func groupOf(c *call.Call, d *call.Deployment) string {
	if strings.Contains(d.Group, "*") {
		return clean(c.Model)
	}
	return d.Group
}

// deployment fills in who has answered.
func (v *values) deployment(d *call.Deployment, group string) {
	v.fixed[modelGroup] = group
	v.fixed[model], v.fixed[litellmModelName] = d.Model, d.Model
	v.fixed[modelID] = d.ID
	v.fixed[apiBase] = base(d)
	v.fixed[apiProvider] = d.Provider
}

func base(d *call.Deployment) string {
	b, _, _ := strings.Cut(d.APIBase, "?")
	return b
}

// failure fills in why an attempt or a call failed.
func (v *values) failure(d *call.Deployment, err *call.Error) {
	v.fixed[exceptionStatus] = strconv.Itoa(err.StatusCode())
	v.fixed[exceptionClass] = exception(d, err)
}

// exception is LiteLLM's name of a failure: the provider's name with a capital,
// a dot, and the class.
func exception(d *call.Deployment, err *call.Error) string {
	switch {
	case err.Class == call.ClassGateway && strings.Contains(err.Message, "Invalid model name"):
		return "ProxyModelNotFoundError"
	case err.Type == "all_deployments_in_cooldown":
		return "RouterRateLimitError"
	case d == nil || d.Provider == "" || err.Class == call.ClassGateway:
		return err.Class.String()
	}
	return strings.ToUpper(d.Provider[:1]) + d.Provider[1:] + "." + err.Class.String()
}

// inputLengths are LiteLLM's classes of prompts.
func inputLengthOf(tokens int64) string {
	switch {
	case tokens < 1000:
		return "0-1k"
	case tokens < 4000:
		return "1k-4k"
	case tokens < 16000:
		return "4k-16k"
	case tokens < 64000:
		return "16k-64k"
	}
	return "64k+"
}

// labelName makes a configured name one that Prometheus takes.
func labelName(s string) string {
	b := []byte(s)
	for i, c := range b {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			b[i] = '_'
		}
	}
	if len(b) == 0 || b[0] >= '0' && b[0] <= '9' {
		b = append([]byte("_"), b...)
	}
	return string(b)
}
