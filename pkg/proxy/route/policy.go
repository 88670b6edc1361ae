package route

import "github.com/llmgw/llmgw/pkg/proxy/call"

// AllowedFailsPolicy is how many failures of a class a deployment may have
// within a cooldown time before it is left out.
type AllowedFailsPolicy map[call.Class]int

// AllowedFailsFields are the names of a policy's fields in the configuration.
var AllowedFailsFields = map[string]call.Class{
	"BadRequestErrorAllowedFails":             call.ClassBadRequest,
	"AuthenticationErrorAllowedFails":         call.ClassAuthentication,
	"TimeoutErrorAllowedFails":                call.ClassTimeout,
	"RateLimitErrorAllowedFails":              call.ClassRateLimit,
	"ContentPolicyViolationErrorAllowedFails": call.ClassContentPolicyViolation,
	"InternalServerErrorAllowedFails":         call.ClassInternalServer,
	"ServiceUnavailableErrorAllowedFails":     call.ClassServiceUnavailable,
	"BadGatewayErrorAllowedFails":             call.ClassBadGateway,
	"NotFoundErrorAllowedFails":               call.ClassNotFound,
}

// allowed finds the entry for a class: its own, else that of the class it is a
// kind of.
func allowed(policy map[call.Class]int, class call.Class) (n int, ok bool) {
	if len(policy) == 0 {
		return 0, false
	}
	if n, ok = policy[class]; ok {
		return n, true
	}
	switch class {
	case call.ClassContentPolicyViolation, call.ClassContextWindowExceeded, call.ClassUnsupportedParams:
		n, ok = policy[call.ClassBadRequest]
	}
	return n, ok
}
