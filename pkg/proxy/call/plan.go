package call

import (
	"context"
	"time"
)

// Plan is what routing needs to know of a call.
type Plan struct {
	// Model is the name that the client asked for.
	Model string
	// TeamID is the caller's team: it may use that team's deployments.
	TeamID string
	// Stream says that the client wants a stream.
	Stream bool
	// NumRetries, Timeout and StreamTimeout are the request's own settings, by
	// header or body.
	NumRetries             *int
	Timeout, StreamTimeout time.Duration
	// Fallbacks replace the configured ones when not nil.
	Fallbacks []string
	// Hop is told before the n-th of Fallbacks is tried; it may be nil.
	Hop func(n int)
	// Fail stands in for what the first group would do: nothing is tried there,
	// and the call goes on with its fallbacks.
	Fail *Error
	// KeepErrors gathers the errors of the groups that failed in Call.Failures.
	KeepErrors bool
	// DisableFallbacks ends the call with the first group's error.
	DisableFallbacks bool
	// Tags are the request's routing tags. They are read only where tags route.
	Tags []string
	// UserAgent is the client's. It is read only where it can lead to a deployment.
	UserAgent string
	// InputTokens estimates what the prompt holds, 0 when that cannot be said. It
	// may be nil, and is called only where a limit depends on it.
	InputTokens func() int64
	// Affinity is what ties the call to the deployment of an earlier one; nil
	// where nothing does.
	Affinity *Affinity
	// Foreign says that the call goes with a key of the client's: what becomes of
	// it says nothing of the deployment.
	Foreign bool
	// WebSearch says that the request has a web search tool.
	WebSearch bool
	// ClientGone reports that nobody waits for the answer any more: no further
	// attempt is made. It may be nil.
	ClientGone func() bool
	// Ended is set by the router when an attempt returned Begun. It must be
	// called once, with what became of the answer; Begun says that a bug ended
	// it.
	Ended func(*Error)
}

// Begun is returned by an attempt whose answer has begun to reach the client
// and goes on: nothing else will be tried, and the router gets out of the way.
// Streams wait for minutes; with the router's frames below them each would keep
// a stack of twice the size.
var Begun = &Error{Sent: true, Message: "the answer has begun"}

// Affinity is by what a call may be tied to the deployment of an earlier one.
type Affinity struct {
	// User is the hash of the caller's key, Session what the client calls its
	// session; empty for none.
	User, Session string
	// Deployment is the one that gave the response which the call goes on from.
	Deployment string
	// Origin is the one whose encrypted items the call holds.
	Origin string
	// Prefixes names the beginnings of the prompt that a provider may keep in its
	// cache, the longest first. It may be nil.
	Prefixes func() []string
}

// Claims is where calls claim what they share with others. It is implemented by
// claim.Claims. In a context that has ended nobody else is asked: the answer is
// what this instance knows.
type Claims interface {
	// Held is the deployment that the first of the keys which is claimed is held
	// by, or empty.
	Held(ctx context.Context, keys ...string) string
	// Hold claims a key for a deployment unless another has it, and prolongs it if
	// it is the deployment's own.
	Hold(ctx context.Context, key, id string, ttl time.Duration)
	// Put gives a key to a deployment, whoever had it. It does not block.
	Put(key, id string, ttl time.Duration)
	// Count adds one to a counter of this minute and returns the sum of all
	// instances; ok is false where only this one is known.
	Count(ctx context.Context, key string) (n int64, ok bool)
	// Spent is what a counter of this minute holds, Spend adds to it without
	// blocking.
	Spent(ctx context.Context, key string) (n int64, ok bool)
	Spend(key string, n int64)
}

// Budgets say who has spent what it may. It is implemented by budget.Limiter.
type Budgets interface {
	// Bounds reports whether a deployment can be over budget at all.
	Bounds(d *Deployment) bool
	// Over says why a deployment may not serve a call with these tags; empty when it
	// may. It is asked by requests and must not wait.
	Over(d *Deployment, tags []string) string
}

// Limits bound one attempt.
type Limits struct {
	// Timeout bounds the whole attempt of a call that does not stream.
	Timeout time.Duration
	// Stream bounds the wait for a stream's first event and every later gap.
	Stream time.Duration
	// Total is the longest time for a whole stream, where that has ended it.
	Total time.Duration
}

// Attempter makes one attempt against a deployment. It returns nil when the
// client has its answer, or the error that decides what happens next; an error
// with Sent set ends the call. Begun is not the end: see there.
type Attempter interface {
	Attempt(ctx context.Context, d *Deployment, l Limits) *Error
}

// Cooldown is why a deployment is left out for a while, in the words that other
// instances of the gateway understand.
type Cooldown struct {
	// ID is the deployment's.
	ID string
	// Status is the status of the failure, Reason its message.
	Status int
	Reason string
	// At is when it began, For how long it lasts.
	At  time.Time
	For time.Duration
}

// Failure is a failure that is counted against a number of allowed ones.
type Failure struct {
	// ID is the deployment's, Counter what is counted apart from the rest; empty
	// for the common counter.
	ID, Counter string
	// Allowed is how many there may be within Window.
	Allowed int
	Window  time.Duration
	// Cooldown is what follows when there are more.
	Cooldown Cooldown
}

// Quota is how many requests and tokens a group may serve in a minute, and what
// is left of them; 0 of either for no limit.
type Quota struct {
	Requests, RequestsLeft int64
	Tokens, TokensLeft     int64
}

// DeploymentUsage is what a deployment has served in one minute of the clock.
type DeploymentUsage struct {
	// Minute is the number of minutes since the epoch.
	Minute           int64
	Requests, Tokens int64
}

// Health is what a check has found out about a deployment.
type Health struct {
	Healthy bool
	At      time.Time
	// Reason is why it is not healthy.
	Reason string
}

// SharedCheck is what an instance has found out about a deployment, for others.
type SharedCheck struct {
	ID      string
	Healthy bool
	// Status and Reason say why it is not healthy.
	Status int
	Reason string
	// Model and APIBase say which it is, where details may be told.
	Model, APIBase string
}

// SharedChecks lets one instance at a time ask the deployments.
type SharedChecks interface {
	// Results are those of the last round of any instance, by deployment; ok is
	// false when there is none that still counts.
	Results(ctx context.Context) (results map[string]SharedCheck, ok bool)
	// Keep gives others the results of a round.
	Keep(ctx context.Context, list []SharedCheck)
	// Lock reports whether this instance may ask; Unlock lets others.
	Lock(ctx context.Context) bool
	Unlock(ctx context.Context)
	// Locked reports whether an instance asks, which lasts Patience at the most.
	Locked(ctx context.Context) bool
	Patience() time.Duration
}

// Watcher is told when calls begin and end, to find those that hang. What Begin
// returns is given to End; it may keep nothing of the call but its values.
type Watcher interface {
	Begin(c *Call) any
	End(token any)
}
