package route

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Kinds are the ways in which a call is tied to the deployment of an earlier
// one.
type Kinds struct {
	// User ties the calls of one key, Session those of one session of a key,
	// Response those that go on from a response, Encrypted those that hold what
	// only a deployment can read.
	User, Session, Response, Encrypted bool
}

func (k Kinds) any() bool { return k.User || k.Session || k.Response || k.Encrypted }

// Affinity says which calls stay with a deployment. The zero value ties none.
type Affinity struct {
	Kinds
	// Groups replaces Kinds for the model groups that it names.
	Groups map[string]Kinds
	// Prompt ties calls whose prompts begin alike, as far as a client marks them
	// for a provider's cache.
	Prompt bool
	// TTL is how long a caller or a session stays; 0 means an hour.
	TTL time.Duration
}

const (
	// DefaultAffinity is how long a caller stays with a deployment.
	DefaultAffinity = time.Hour
	// promptAffinity is how long providers keep a prompt.
	promptAffinity = 300 * time.Second
	affinityKey    = "deployment_affinity:v1:"
)

func (a *Affinity) of(group string) Kinds {
	if k, ok := a.Groups[group]; ok {
		return k
	}
	return a.Kinds
}

// Any reports whether anything of any group is tied.
func (a *Affinity) Any() bool {
	if a.Prompt || a.Kinds.any() {
		return true
	}
	for _, k := range a.Groups {
		if k.any() {
			return true
		}
	}
	return false
}

// on reports whether anything of a group is tied.
func (a *Affinity) on(group string) bool { return a.Prompt || a.of(group).any() }

// ties reports whether a choice among candidates may already be made.
func (r *run) ties(g *group) bool { return g.ties && r.p.Affinity != nil && r.s.o.Claims != nil }

// tied is the candidate that an earlier call of the caller's was served by, or
// nil. Where candidates have several names nothing is known of a caller.
func (r *run) tied(ctx context.Context, g *group, list []*Node) *Node {
	a, o := r.p.Affinity, &r.s.o.Affinity
	find := func(id string) *Node {
		for _, n := range list {
			if id != "" && n.ID == id {
				return n
			}
		}
		return nil
	}
	kinds := o.of(g.name)
	if kinds.Response {
		if n := find(a.Deployment); n != nil {
			return n
		}
	}
	if kinds.Encrypted {
		if n := find(a.Origin); n != nil {
			return n
		}
	}
	if len(list) < 2 {
		return nil
	}
	if name := list[0].Group; sameGroup(list, name) {
		if kinds.Session && a.Session != "" {
			if n := find(r.held(ctx, sessionKey(name, a))); n != nil {
				return n
			}
		}
		if kinds.User && a.User != "" {
			if n := find(r.held(ctx, userKey(name, a))); n != nil {
				return n
			}
		}
	}
	if o.Prompt && a.Prefixes != nil {
		if keys := a.Prefixes(); len(keys) > 0 {
			return find(r.held(ctx, keys...))
		}
	}
	return nil
}

// mostWaited bounds what a call waits for claims, all its attempts together:
// when it is used up no more is asked, and the call goes on with what this
// instance knows. One look that has begun may still take its own time.
const mostWaited = 250 * time.Millisecond

// ended is a context in which nothing is asked any more.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// look is the context for a look at claims, which began now.
func (r *run) look(ctx context.Context) (context.Context, time.Time) {
	if r.waited >= mostWaited {
		ctx = ended
	}
	return ctx, time.Now()
}

func (r *run) held(ctx context.Context, keys ...string) string {
	ctx, begin := r.look(ctx)
	id := r.s.o.Claims.Held(ctx, keys...)
	r.waited += time.Since(begin)
	return id
}

func (r *run) hold(ctx context.Context, key, id string, ttl time.Duration) {
	ctx, begin := r.look(ctx)
	r.s.o.Claims.Hold(ctx, key, id, ttl)
	r.waited += time.Since(begin)
}

func (r *run) count(ctx context.Context, of func(context.Context, string) (int64, bool), key string) (int64, bool) {
	ctx, begin := r.look(ctx)
	n, ok := of(ctx, key)
	r.waited += time.Since(begin)
	return n, ok
}

func sameGroup(list []*Node, name string) bool {
	for _, n := range list {
		if n.Group != name {
			return false
		}
	}
	return true
}

// tie claims a deployment for the caller and its session, before the call is
// sent: what follows at once is to find it.
func (r *run) tie(ctx context.Context, n *Node) {
	a, o := r.p.Affinity, &r.s.o.Affinity
	kinds := o.of(n.Group)
	ttl := o.TTL
	if ttl <= 0 {
		ttl = DefaultAffinity
	}
	if o.Prompt && a.Prefixes != nil {
		a.Prefixes() // while the prompt is there
	}
	if kinds.User && a.User != "" {
		r.hold(ctx, userKey(n.Group, a), n.ID, ttl)
	}
	if kinds.Session && a.Session != "" {
		r.hold(ctx, sessionKey(n.Group, a), n.ID, ttl)
	}
}

// served notes who has the prompt in its cache now.
func (r *run) served(n *Node) {
	a, o := r.p.Affinity, &r.s.o.Affinity
	if !o.Prompt || a.Prefixes == nil {
		return
	}
	if keys := a.Prefixes(); len(keys) > 0 {
		r.s.o.Claims.Put(keys[0], n.ID, promptAffinity)
	}
}

func userKey(group string, a *call.Affinity) string {
	return affinityKey + group + ":" + hashed(a.User)
}

func sessionKey(group string, a *call.Affinity) string {
	user := "unscoped"
	if a.User != "" {
		user = hashed(a.User)
	}
	return affinityKey + "session:" + group + ":" + user + ":" + a.Session
}

// hashed keeps what is a hash already.
func hashed(user string) string {
	if _, err := hex.DecodeString(user); err == nil && len(user) == 64 {
		return strings.ToLower(user)
	}
	sum := sha256.Sum256([]byte(user))
	return hex.EncodeToString(sum[:])
}

// admit holds a deployment to its tpm and rpm of this minute. The request has
// been counted here; where there is a Redis the sum of all instances counts.
// With usage-based-routing-v2 the sums are known already.
func (r *run) admit(ctx context.Context, n *Node, minute int64) *call.Error {
	if n.TPM <= 0 && n.RPM <= 0 {
		return nil
	}
	requests, tokens := n.state.use.total(minute)
	claims := r.s.o.Claims
	if _, v2 := r.s.o.Strategy.(UsageV2); v2 {
		claims = nil
	}
	if n.TPM > 0 {
		if claims != nil && float64(tokens) < n.TPM {
			if all, ok := r.count(ctx, claims.Spent, limitKey(n, "tpm", minute)); ok {
				tokens = max(tokens, all)
			}
		}
		if float64(tokens) >= n.TPM {
			return overLimit("TPM", n.TPM, tokens)
		}
	}
	if n.RPM > 0 {
		if claims != nil {
			if all, ok := r.count(ctx, claims.Count, limitKey(n, "rpm", minute)); ok {
				requests = max(requests, all)
			}
		}
		if float64(requests) > n.RPM {
			return overLimit("RPM", n.RPM, requests)
		}
	}
	return nil
}

// limitKey is LiteLLM's name for a deployment's count of a minute.
func limitKey(n *Node, what string, minute int64) string {
	name := n.Configured
	if name == "" {
		name = n.Model
	}
	return n.ID + ":" + name + ":" + what + ":" + time.Unix(minute*60, 0).UTC().Format("15-04")
}

func overLimit(what string, limit float64, used int64) *call.Error {
	e := call.NewError(http.StatusTooManyRequests, "throttling_error", "",
		fmt.Sprintf("litellm.RateLimitError: Model rate limit exceeded. %s limit=%s, current usage=%d", what, plain(limit), used))
	e.Class = call.ClassRateLimit
	e.Header = http.Header{"Llm_provider-Retry-After": {"60"}}
	return e
}

func plain(f float64) string {
	if f == float64(int64(f)) {
		return fmt.Sprint(int64(f))
	}
	return fmt.Sprint(f)
}
