package provider

import (
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

var rateLimit = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)rate[\s_-]*limit`)
})

// decide returns the class of a refusal, the text that LiteLLM repeats in
// front of the provider's name, and the status for the client (0 means the
// class's own). Providers disagree on statuses, so well-known texts go first.
func decide(status int, r refusal) (class call.Class, inner string, own int) {
	// Only what the provider says counts: its message, type and code. The body
	// as a whole may quote the prompt.
	said := r.message + "\n" + r.typ + "\n" + r.code
	lower := strings.ToLower(said)
	has := func(s string) bool { return strings.Contains(said, s) }
	refused := status >= 400 && status < 500 || status == 0

	switch {
	case has("Request Timeout Error"), has("Request timed out"), has("Timed out generating response"),
		has("The read operation timed out"):
		return call.ClassTimeout, "Timeout Error: ", timeoutStatus(status)
	case status == http.StatusTooManyRequests:
		return call.ClassRateLimit, "RateLimitError: ", 0
	case limited(status) && (rateLimit().MatchString(said) || strings.Contains(lower, "service tier capacity exceeded")):
		return call.ClassRateLimit, "RateLimitError: ", 0
	case refused && tooLong(lower, r.code):
		return call.ClassContextWindowExceeded, "ContextWindowExceededError: ", 0
	case refused && has("model_not_found"):
		if status == http.StatusNotFound && !strings.Contains(r.message, "does not exist") {
			return call.ClassNotFound, "NotFoundError: ", 0
		}
		return call.ClassNotFound, "", clientStatus(status)
	case has("A timeout occurred"):
		return call.ClassTimeout, "", timeoutStatus(status)
	case refused && unsafePrompt(said, lower):
		return call.ClassContentPolicyViolation, "ContentPolicyViolationError: ", 0
	case has("Web server is returning an unknown error"), has("The server had an error processing your request."):
		return call.ClassInternalServer, "", 0
	case (status == http.StatusRequestEntityTooLarge || status == 0) && has("Request too large"):
		return call.ClassRateLimit, "RateLimitError: ", 0
	}
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return call.ClassBadRequest, "", status
	case http.StatusUnauthorized:
		return call.ClassAuthentication, "AuthenticationError: ", 0
	case http.StatusForbidden:
		return call.ClassPermissionDenied, "", 0
	case http.StatusNotFound:
		return call.ClassNotFound, "NotFoundError: ", 0
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return call.ClassTimeout, "Timeout Error: ", timeoutStatus(status)
	case http.StatusInternalServerError:
		return call.ClassInternalServer, "InternalServerError: ", 0
	case http.StatusBadGateway:
		return call.ClassBadGateway, "BadGatewayError: ", 0
	case http.StatusServiceUnavailable:
		return call.ClassServiceUnavailable, "ServiceUnavailableError: ", 0
	}
	if status >= 400 && status < 600 {
		return call.ClassAPIError, "APIError: ", status
	}
	// A redirect or an informal status: nobody asked for that.
	return call.ClassAPIError, "APIError: ", http.StatusBadGateway
}

// limited reports whether a status leaves room for a rate limit. A refusal with
// another status that mentions one may be quoting the prompt, and retrying it
// would repeat what cannot succeed.
func limited(status int) bool {
	switch status {
	case 0, http.StatusTooManyRequests, http.StatusServiceUnavailable, 529:
		return true
	}
	return false
}

func timeoutStatus(status int) int {
	if status == http.StatusGatewayTimeout {
		return status
	}
	return http.StatusRequestTimeout
}

// clientStatus keeps the upstream's word where it is about the request.
func clientStatus(status int) int {
	if status >= 400 && status < 500 {
		return status
	}
	return 0
}

// tooLong recognises a prompt beyond the model's window. text is lower case.
func tooLong(text, code string) bool {
	if code == "context_length_exceeded" {
		return true
	}
	if strings.Contains(text, "string_above_max_length") ||
		strings.Contains(text, "invalid 'user'") && strings.Contains(text, "string too long") {
		return false
	}
	for _, phrase := range []string{
		"exceed context limit",
		"this model's maximum context length is",
		"string too long. expected a string with maximum length",
		"model's maximum context limit",
		"is longer than the model's context length",
		"input tokens exceed the configured limit",
		"`inputs` tokens + `max_new_tokens` must be",
		"exceeds the available context size",
		"exceeds the maximum number of tokens allowed",
		"prompt is too long",
	} {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return strings.Contains(text, "current length is") && strings.Contains(text, "while limit is") ||
		strings.Contains(text, "maximum input length is") && strings.Contains(text, "tokens")
}

// unsafePrompt recognises a refusal for reasons of content.
func unsafePrompt(said, lower string) bool {
	return strings.Contains(lower, "content_policy_violation") ||
		strings.Contains(said, "Invalid prompt") && strings.Contains(said, "violating our usage policy") ||
		strings.Contains(said, "request was rejected as a result of the safety system") ||
		strings.Contains(lower, "responsibleaipolicyviolation") ||
		strings.Contains(lower, "content management policy")
}
