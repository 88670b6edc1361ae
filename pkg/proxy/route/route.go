// Package route decides which deployment serves a call, and what happens when
// one does not: retries within the model group, cooldowns, fallbacks to other
// groups, time limits of every attempt. It sends nothing itself: attempts are
// made by the call.Attempter that the caller brings. It knows nothing of HTTP
// handlers, bodies or provider formats.
package route

import (
	"bytes"
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
	// MaxCooldown bounds a cooldown that an upstream asks for; 0 does not.
	MaxCooldown time.Duration
	// AllowedFails counts failures within a cooldown time instead of their
	// rate, when it is set and differs from GlobalAllowedFails, by default 3.
	AllowedFails, GlobalAllowedFails *int
	// AllowedFailsPolicy does so by class when it is not nil.
	AllowedFailsPolicy AllowedFailsPolicy
	// FailureShare is the part of a minute's calls from which a deployment is
	// left out, once there are FailureMinimum; SingleFailureVolume is how many
	// failures without a success take out even the only one. 0 means 0.5, 5 and
	// 1000.
	FailureShare                        float64
	FailureMinimum, SingleFailureVolume int
	// OnCooldown is told of every cooldown that begins here; it must not block.
	OnCooldown func(call.Cooldown)
	// OnFailure is told of every failure that is counted against allowed ones and
	// has not led to a cooldown here; it must not block.
	OnFailure func(call.Failure)
	// OnPick is told how long each choice of a deployment took; nil measures
	// nothing.
	OnPick func(time.Duration)
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

	// TagFiltering routes by tags; MatchAllTags wants a deployment to have all
	// of a request's tags instead of any.
	TagFiltering, MatchAllTags bool
	// TagPrefix is taken off tags that have it; a tag with it is meant for routing,
	// so that it is an error where it leads nowhere.
	TagPrefix string
	// PreCallChecks leaves out deployments whose context window or rpm a call
	// would exceed.
	PreCallChecks bool
	// HealthRouting leaves out deployments that background checks found broken.
	HealthRouting bool
	// Affinity keeps calls with the deployment of earlier ones. EnforceLimits
	// refuses calls to a deployment that has had its tpm or rpm of this minute,
	// whatever the strategy. Claims is where both keep their books; nil keeps
	// limits for this instance alone, and ties nothing.
	Affinity      Affinity
	EnforceLimits bool
	Claims        call.Claims
	// Budgets leave out what has spent its budget; nil leaves out nothing.
	Budgets call.Budgets
	// Provider guesses the provider of a bare model name, for wildcards such as
	// openai/*; nil guesses none.
	Provider func(model string) string

	// mono is the router's clock, wall the one of the world, sleep waits; they
	// are replaced in tests.
	mono  func() int64
	wall  func() time.Time
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

// Has reports whether a name leads to a deployment, for whomever.
func (r *Router) Has(model string) bool {
	s := r.current.Load()
	if _, ok := s.resolve(model, ""); ok {
		return true
	}
	for key := range s.teams {
		if key.name == model {
			return true
		}
	}
	return false
}

// OwnedBy reports whether a team has deployments of its own behind a name: its
// answers are not those of the group of that name.
func (r *Router) OwnedBy(team, model string) bool {
	s := r.current.Load()
	return team != "" && len(s.teams) > 0 && s.teams[teamModel{team, model}] != nil
}

// Unpriced reports whether a name leads to deployments of which none has a price:
// neither the configuration nor the price list names one. A price of 0 counts
// only where the configuration names it.
func (r *Router) Unpriced(model, team string) bool {
	g, ok := r.current.Load().resolve(model, team)
	if !ok {
		return false
	}
	for _, n := range g.nodes {
		if namesPrice(n.Params) || namesPrice(n.Info) {
			return false
		}
		if n.Price != nil {
			if p := n.Price(n.Model); p != nil && p.Charges() {
				return false
			}
		}
	}
	return true
}

// namesPrice reports whether a part of an entry says what something costs.
func namesPrice(object []byte) bool {
	return bytes.Contains(object, []byte(`cost_per_`)) || bytes.Contains(object, []byte(`"tiered_pricing"`))
}

// Cool leaves a deployment out for a time, as another instance has found.
func (r *Router) Cool(id string, d time.Duration) {
	s := r.current.Load()
	if n := s.node(id); n != nil && d > 0 && !s.o.DisableCooldowns {
		n.cool(s.o.mono() + int64(d))
	}
}

// node finds a deployment by its id.
func (s *snapshot) node(id string) *Node {
	if g := s.ids[id]; g != nil {
		return g.nodes[0]
	}
	for _, g := range s.teams {
		for _, n := range g.nodes {
			if n.ID == id {
				return n
			}
		}
	}
	return nil
}

// Unhealthy leaves a deployment out for a time because a background check
// failed; 0 takes it in again. It matters only with HealthRouting.
func (r *Router) Unhealthy(id string, d time.Duration) {
	s := r.current.Load()
	if n := s.node(id); n != nil {
		until := int64(0)
		if d > 0 {
			until = s.o.mono() + int64(d)
		}
		n.state.unhealthyUntil.Store(until)
	}
}

// Cooling returns how long each deployment that is left out stays so.
func (r *Router) Cooling() map[string]time.Duration {
	s := r.current.Load()
	now := s.o.mono()
	list := map[string]time.Duration{}
	for _, n := range s.nodes {
		if until := n.state.coolUntil.Load(); until > now {
			list[n.ID] = time.Duration(until - now)
		}
	}
	return list
}

// Deployments are all deployments in the order of the configuration.
func (r *Router) Deployments() []*call.Deployment {
	s := r.current.Load()
	list := make([]*call.Deployment, len(s.nodes))
	for i, n := range s.nodes {
		list[i] = n.Deployment
	}
	return list
}

// Usage calls visit for each deployment that has been used this minute, with
// what this instance has sent it.
func (r *Router) Usage(visit func(d *call.Deployment, u call.DeploymentUsage)) {
	s := r.current.Load()
	minute := utcMinute(s.o.wall())
	for _, n := range s.nodes {
		requests, tokens := n.state.use.own(minute)
		if requests > 0 || tokens > 0 {
			visit(n.Deployment, call.DeploymentUsage{Minute: minute, Requests: requests, Tokens: tokens})
		}
	}
}

// Others says what other instances have sent to a deployment.
func (r *Router) Others(id string, u call.DeploymentUsage) {
	if n := r.current.Load().node(id); n != nil {
		n.state.use.others(u)
	}
}

// Empty reports whether there is no deployment at all.
func (r *Router) Empty() bool { return len(r.current.Load().nodes) == 0 }

// Run makes attempts until one succeeds or nothing is left to try, and returns
// the error that the client shall see. It fills in the counters of c.
func (r *Router) Run(ctx context.Context, c *call.Call, p *call.Plan, a call.Attempter) *call.Error {
	s := r.current.Load()
	g, ok := s.resolve(p.Model, p.TeamID)
	if !ok {
		return unknownModel(p.Model)
	}
	run := run{s: s, c: c, p: p, a: a}
	err := p.Fail
	if err == nil {
		err = run.group(ctx, g)
	}
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
