// Package route decides which deployment serves a call, and what happens when
// one does not: retries within the model group, cooldowns, fallbacks to other
// groups, time limits of every attempt. It sends nothing itself: attempts are
// made by the call.Attempter that the caller brings. It knows nothing of HTTP
// handlers, bodies or provider formats.
package route

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Defaults of LiteLLM's router.
const (
	DefaultNumRetries   = 2
	DefaultMaxFallbacks = 5
	DefaultTimeout      = 600 * time.Second
	DefaultCooldown     = 5 * time.Second
	defaultAllowedFails = 3

	defaultInitialDelay = 500 * time.Millisecond
	defaultMaxDelay     = 8 * time.Second
	defaultJitter       = 0.75
	maxRetryAfter       = 60 * time.Second
)

// Options are the router's settings. A nil pointer and the zero value stand for
// the default.
type Options struct {
	// NumRetries is the budget of further attempts in a group; nil means 2.
	NumRetries *int
	// RetryAfter is the least delay before a retry that has to wait.
	RetryAfter time.Duration
	// InitialDelay doubles with every retry up to MaxDelay; 0 means 0.5 s and
	// 8 s. Up to Jitter seconds are added; nil means 0.75.
	InitialDelay, MaxDelay time.Duration
	Jitter                 *float64
	// Timeout bounds one attempt; 0 means 600 s.
	Timeout time.Duration
	// StreamTimeout bounds first byte and gaps of streams; 0 means Timeout.
	StreamTimeout time.Duration
	// CooldownTime is how long a deployment is left out; 0 means 5 s.
	CooldownTime time.Duration
	// DisableCooldowns keeps every deployment in.
	DisableCooldowns bool
	// AllowedFails counts failures within a cooldown time instead of their
	// rate, when it is set and differs from 3.
	AllowedFails *int
	// RetryPolicy and GroupRetryPolicy replace the budget by error class.
	RetryPolicy      *RetryPolicy
	GroupRetryPolicy map[string]*RetryPolicy
	// Fallbacks, ContextWindowFallbacks and ContentPolicyFallbacks name the
	// groups to try after a group. default_fallbacks is the entry "*".
	// The latter two are nil when they are not configured.
	Fallbacks              []Fallback
	ContextWindowFallbacks []Fallback
	ContentPolicyFallbacks []Fallback
	// MaxFallbacks bounds the hops of one call; nil means 5.
	MaxFallbacks *int
	// Aliases are model_group_alias.
	Aliases map[string]Alias
	// Strategy picks among candidates; nil means SimpleShuffle.
	Strategy Strategy

	// now and sleep are replaced in tests.
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
}

// Fallback is one entry of a fallback list: calls of Group go to To in order.
type Fallback struct {
	Group string
	To    []string
}

// Alias is one entry of model_group_alias.
type Alias struct {
	Model string
	// Hidden aliases work but are not listed.
	Hidden bool
}

// Router routes calls. It is safe for concurrent use; Replace swaps what it
// knows, calls in flight finish on what they started with.
type Router struct {
	current atomic.Pointer[snapshot]
}

// New returns a router over deployments in the order of the configuration.
func New(deployments []*call.Deployment, o Options) (*Router, error) {
	r := &Router{}
	if err := r.Replace(deployments, o); err != nil {
		return nil, err
	}
	return r, nil
}

// Replace takes over a new configuration. Deployments that keep their id keep
// their counters and cooldowns.
func (r *Router) Replace(deployments []*call.Deployment, o Options) error {
	s, err := newSnapshot(deployments, o, r.current.Load())
	if err != nil {
		return fmt.Errorf("build the router: %w", err)
	}
	r.current.Store(s)
	return nil
}

// Models returns the names that clients may ask for: groups in the order of the
// configuration, then visible aliases.
func (r *Router) Models() []string { return r.current.Load().listed }

// Has reports whether a name leads to a deployment.
func (r *Router) Has(model string) bool {
	_, ok := r.current.Load().resolve(model)
	return ok
}

// Empty reports whether there is no deployment at all.
func (r *Router) Empty() bool { return len(r.current.Load().nodes) == 0 }

// Run makes attempts until one succeeds or nothing is left to try, and returns
// the error that the client shall see. It fills in the counters of c.
func (r *Router) Run(ctx context.Context, c *call.Call, p *call.Plan, a call.Attempter) *call.Error {
	s := r.current.Load()
	g, ok := s.resolve(p.Model)
	if !ok {
		return unknownModel(p.Model)
	}
	run := run{s: s, c: c, p: p, a: a}
	err := run.group(ctx, g)
	if err == nil || err.Sent || p.DisableFallbacks {
		return err
	}
	return run.fallback(ctx, g, err)
}

// unknownModel is the router's answer for a name that the first check did not
// catch: a fallback target, or a name that a reload has just removed.
func unknownModel(model string) *call.Error {
	return call.NewError(400, "", "", fmt.Sprintf("You passed in model=%s. There is no 'model_name' with this string", model))
}
