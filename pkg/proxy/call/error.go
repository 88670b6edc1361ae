package call

import (
	"errors"
	"net/http"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
)

// Class is the kind of a failure. Its name appears in messages (as
// "litellm.<Class>: ...") and clients match on it; it decides status, retry and
// cooldown.
type Class uint8

// The classes, with the status that a client gets unless an Error says
// otherwise.
const (
	// ClassAPIError is anything the others do not name.
	ClassAPIError Class = iota
	ClassBadRequest
	ClassContextWindowExceeded
	ClassContentPolicyViolation
	ClassUnsupportedParams
	ClassAuthentication
	ClassPermissionDenied
	ClassNotFound
	ClassTimeout
	ClassUnprocessableEntity
	ClassRateLimit
	ClassInternalServer
	ClassBadGateway
	ClassServiceUnavailable
	// ClassAPIConnection is a failure without an upstream status: DNS, TCP,
	// TLS, reset.
	ClassAPIConnection
	// ClassAPIResponseValidation is an answer that could not be read.
	ClassAPIResponseValidation
	// ClassClientGone is logged as 499 and never sent.
	ClassClientGone
	// ClassGateway is a failure of the gateway itself, before or without an
	// upstream; its message carries no class and no provider.
	ClassGateway
)

var classes = [...]struct {
	name   string
	status int
}{
	ClassAPIError:               {"APIError", http.StatusInternalServerError},
	ClassBadRequest:             {"BadRequestError", http.StatusBadRequest},
	ClassContextWindowExceeded:  {"ContextWindowExceededError", http.StatusBadRequest},
	ClassContentPolicyViolation: {"ContentPolicyViolationError", http.StatusBadRequest},
	ClassUnsupportedParams:      {"UnsupportedParamsError", http.StatusBadRequest},
	ClassAuthentication:         {"AuthenticationError", http.StatusUnauthorized},
	ClassPermissionDenied:       {"PermissionDeniedError", http.StatusForbidden},
	ClassNotFound:               {"NotFoundError", http.StatusNotFound},
	ClassTimeout:                {"Timeout", http.StatusRequestTimeout},
	ClassUnprocessableEntity:    {"UnprocessableEntityError", http.StatusUnprocessableEntity},
	ClassRateLimit:              {"RateLimitError", http.StatusTooManyRequests},
	ClassInternalServer:         {"InternalServerError", http.StatusInternalServerError},
	ClassBadGateway:             {"BadGatewayError", http.StatusBadGateway},
	ClassServiceUnavailable:     {"ServiceUnavailableError", http.StatusServiceUnavailable},
	ClassAPIConnection:          {"APIConnectionError", http.StatusInternalServerError},
	ClassAPIResponseValidation:  {"APIResponseValidationError", http.StatusInternalServerError},
	ClassClientGone:             {"ClientDisconnected", 499},
	ClassGateway:                {"ProxyException", http.StatusInternalServerError},
}

// String returns LiteLLM's exception name.
func (c Class) String() string {
	if int(c) < len(classes) {
		return classes[c].name
	}
	return "APIError"
}

// Status returns the status a client gets for the class.
func (c Class) Status() int {
	if int(c) < len(classes) {
		return classes[c].status
	}
	return http.StatusInternalServerError
}

// ErrCut is the cause with which the deadline of a drain ends a request.
var ErrCut = errors.New("the gateway is shutting down and had to cut this request")

// None is the text that LiteLLM sends in type and param where it turned a
// Python None into text. The empty string is sent as JSON null.
const None = "None"

// Error is one failure as the client will see it, with what the router needs
// to decide what comes next.
type Error struct {
	// Class decides retry and cooldown.
	Class Class
	// Status is the status for the client; 0 means Class.Status().
	Status int
	// Upstream is the status that the upstream answered; 0 when there was none.
	Upstream int
	// Message is the whole message of the envelope, class and provider included.
	Message string
	// Type and Param are the envelope's members; "" is sent as null.
	Type, Param string
	// Code is the upstream's symbolic code, kept in provider_specific_fields.
	Code string
	// Inner is the upstream's innererror, a JSON object that says which filter
	// refused, or nil.
	Inner []byte
	// Fields is a JSON object that stands for provider_specific_fields in place of
	// Code and Inner, or nil.
	Fields []byte
	// RetryAfter is the upstream's Retry-After; negative when it gave none.
	RetryAfter time.Duration
	// Header holds answer headers to pass on (retry-after, x-should-retry, ...).
	Header http.Header
	// Provider holds the headers of the upstream's refusal, nil without one.
	Provider http.Header
	// Secrets must not be shown of Provider.
	Secrets []redact.Secret
	// Sent says that bytes of the answer had reached the client already.
	Sent bool
	// Err is the cause, for logs.
	Err error
}

// NewError returns a gateway failure with the status, type and param given.
func NewError(status int, typ, param, message string) *Error {
	return &Error{Class: ClassGateway, Status: status, Type: typ, Param: param, Message: message, RetryAfter: -1}
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// StatusCode is the status that the client gets.
func (e *Error) StatusCode() int {
	if e.Status != 0 {
		return e.Status
	}
	return e.Class.Status()
}

// AsError returns the *Error in err's chain, or nil.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
