package call

import (
	"context"
	"time"
)

// Plan is what routing needs to know of a call.
type Plan struct {
	// Model is the name that the client asked for.
	Model string
	// Stream says that the client wants a stream.
	Stream bool
	// NumRetries, Timeout and StreamTimeout are the request's own settings, by
	// header or body.
	NumRetries             *int
	Timeout, StreamTimeout time.Duration
	// Fallbacks replace the configured ones when not nil.
	Fallbacks []string
	// DisableFallbacks ends the call with the first group's error.
	DisableFallbacks bool
	// ClientGone reports that nobody waits for the answer any more: no further
	// attempt is made. It may be nil.
	ClientGone func() bool
}

// Limits bound one attempt.
type Limits struct {
	// Timeout bounds the whole attempt of a call that does not stream.
	Timeout time.Duration
	// Stream bounds the wait for a stream's first event and every later gap.
	Stream time.Duration
}

// Attempter makes one attempt against a deployment. It returns nil when the
// client has its answer, or the error that decides what happens next; an error
// with Sent set ends the call.
type Attempter interface {
	Attempt(ctx context.Context, d *Deployment, l Limits) *Error
}
