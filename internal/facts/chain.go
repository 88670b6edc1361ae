package facts

import (
	"fmt"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
)

// DefaultRetries is what the router does when nothing sets num_retries. Sums
// that decide something use explicit values only.
const DefaultRetries = 2

// DefaultMaxFallbacks is how many hops a request makes at most.
const DefaultMaxFallbacks = 5

// DefaultClientTimeout is the OpenAI SDK's own limit in seconds.
const DefaultClientTimeout = 600

// ChainDeployment is one deployment's part in the time chain.
type ChainDeployment struct {
	Timeout       Seconds // litellm_params.timeout
	StreamTimeout Seconds // litellm_params.stream_timeout
}

// ChainGroup is one model group with its fallbacks.
type ChainGroup struct {
	Name        string
	Pos         finding.Position // the first model_name of the group
	Deployments []ChainDeployment
	Fallbacks   []string         // names of model groups, in order
	FallbackPos finding.Position // the entry that lists them
}

// ChainInput is what bounds one request in time. Unset values are unknown:
// the balancer, the ping and the grace period then take no part.
type ChainInput struct {
	Request             Seconds // request_timeout; 600 when unset
	RouterTimeout       Seconds
	RouterStreamTimeout Seconds
	Retries             Int // explicit num_retries
	MaxFallbacks        Int
	Client              Seconds
	Groups              []ChainGroup

	LBIdle        Seconds // balancer's idle or read timeout
	Ping          Seconds // SSE keep-alive ping
	PreStop       Seconds
	Grace         Seconds // terminationGracePeriodSeconds
	DrainEndpoint bool
	DrainTimeout  Seconds // GRACEFUL_SHUTDOWN_TIMEOUT
}

// ChainStep is one group's turn: so many attempts of so many seconds.
type ChainStep struct {
	Group    string
	Attempt  Seconds
	Attempts int
	Sum      float64
}

// GroupChain is the worst case of one model group.
type GroupChain struct {
	Group       string
	Pos         finding.Position
	FallbackPos finding.Position
	Attempt     Seconds // the longest single attempt
	FirstByte   Seconds // how long a stream may take to start
	Steps       []ChainStep
	Attempts    int
	Sum         float64 // seconds; back-off sleeps are not counted
	// DefaultAttempts and DefaultSum are the same with the router's own
	// retries, when num_retries is not written; equal to the above otherwise.
	DefaultAttempts int
	DefaultSum      float64
}

// Inequality is one condition of the time chain that does not hold.
type Inequality struct {
	ID    string // I3
	Group string // for those that concern one model group
	Text  string // "4500 > 600: ..."
}

// ChainResult is the worked chain.
type ChainResult struct {
	In     ChainInput // with the defaults filled in
	Groups []GroupChain
	Broken []Inequality
}

func (in ChainInput) filled() ChainInput {
	in.Request = in.Request.Or(AssumedSeconds(DefaultRequestTimeout, "request_timeout, assumed"))
	in.Client = in.Client.Or(AssumedSeconds(DefaultClientTimeout, "OpenAI SDK default"))
	in.MaxFallbacks = in.MaxFallbacks.Or(AssumedInt(DefaultMaxFallbacks, "max_fallbacks, default"))
	return in
}

// attempt is the longest attempt in a group and its longest wait for a first
// byte. A group that no deployment serves takes the request timeout.
func (in ChainInput) attempt(g *ChainGroup) (attempt, first Seconds) {
	base := in.RouterTimeout.Or(in.Request)
	if g == nil || len(g.Deployments) == 0 {
		return base, in.RouterStreamTimeout.Or(base)
	}
	for i, d := range g.Deployments {
		a := d.Timeout.Or(base)
		f := d.StreamTimeout.Or(in.RouterStreamTimeout).Or(a)
		if i == 0 || a.Value > attempt.Value {
			attempt = a
		}
		if i == 0 || f.Value > first.Value {
			first = f
		}
	}
	return attempt, first
}

// Chain adds up, per model group, every attempt that one request can cause,
// and checks the sums against what waits for them.
func Chain(input ChainInput) ChainResult {
	in := input.filled()
	res := ChainResult{In: in}
	byName := map[string]*ChainGroup{}
	for i := range in.Groups {
		if _, twice := byName[in.Groups[i].Name]; !twice {
			byName[in.Groups[i].Name] = &in.Groups[i]
		}
	}
	tries := 1 + clampRetries(in.Retries.Value)
	defaultTries := tries
	if !in.Retries.IsSet() {
		defaultTries = 1 + DefaultRetries
	}
	for i := range in.Groups {
		g := &in.Groups[i]
		c := GroupChain{Group: g.Name, Pos: g.Pos, FallbackPos: g.FallbackPos}
		c.Attempt, c.FirstByte = in.attempt(g)
		names := append([]string{g.Name}, g.Fallbacks[:min(len(g.Fallbacks), max(0, in.MaxFallbacks.Value))]...)
		for _, name := range names {
			a, _ := in.attempt(byName[name])
			step := ChainStep{Group: name, Attempt: a, Attempts: tries, Sum: a.Value * float64(tries)}
			c.Steps = append(c.Steps, step)
			c.Attempts += tries
			c.Sum += step.Sum
			c.DefaultAttempts += defaultTries
			c.DefaultSum += a.Value * float64(defaultTries)
		}
		res.Groups = append(res.Groups, c)
	}
	res.check()
	return res
}

// clampRetries keeps an absurd number from overflowing a sum.
func clampRetries(v int) int { return min(max(v, 0), 1<<20) }

// SumText is "500 x 5 + 300 x 5 + 100 x 5 = 4500".
func (g GroupChain) SumText() string {
	parts := make([]string, len(g.Steps))
	for i, s := range g.Steps {
		parts[i] = fmt.Sprintf("%s x %d", number(s.Attempt.Value), s.Attempts)
	}
	return strings.Join(parts, " + ") + " = " + number(g.Sum)
}

func (r *ChainResult) breaks(id, group, format string, args ...any) {
	r.Broken = append(r.Broken, Inequality{ID: id, Group: group, Text: fmt.Sprintf(format, args...)})
}

// IsBroken reports whether a condition fails for any group.
func (r ChainResult) IsBroken(id string) bool {
	for _, b := range r.Broken {
		if b.ID == id {
			return true
		}
	}
	return false
}

func (r *ChainResult) check() {
	in := r.In
	for _, g := range r.Groups {
		if g.FirstByte.Value > g.Attempt.Value {
			r.breaks("I1", g.Group, "%s > %s: the limit on a stream's start can never fire", g.FirstByte, g.Attempt)
		}
		if g.Attempt.Value < 1 || g.Attempt.Value > 6000 {
			r.breaks("I2", g.Group, "an attempt of %s is outside 1 to 6000 seconds", g.Attempt)
		}
		// A single attempt without a retry is request_timeout itself, which
		// other conditions judge.
		if g.Attempts > 1 && g.Sum > in.Client.Value {
			r.breaks("I3", g.Group, "%s > %s: the client has left", g.SumText(), in.Client)
		}
	}
	if in.LBIdle.IsSet() {
		if in.Request.Value > in.LBIdle.Value {
			r.breaks("I4", "", "%s > %s: the balancer answers 504 while the upstream still works", in.Request, in.LBIdle)
			if !in.Ping.IsSet() || in.Ping.Value >= in.LBIdle.Value {
				r.breaks("I5", "", "no keep-alive ping below %s: a stream is cut before its first token", in.LBIdle)
			}
		}
	}
	if in.Grace.IsSet() {
		if need := in.Request.Value + in.PreStop.Value + GraceSlack; need > in.Grace.Value {
			r.breaks("I7", "", "%s + %s + %d = %s > %s: SIGKILL during the drain", in.Request, number(in.PreStop.Value), GraceSlack, number(need), in.Grace)
		}
	}
	if in.DrainEndpoint {
		drain := in.DrainTimeout.Or(AssumedSeconds(30, "GRACEFUL_SHUTDOWN_TIMEOUT, default"))
		if drain.Value < in.Request.Value {
			r.breaks("I9", "", "%s < %s: the drain gives up early", drain, in.Request)
		}
		if in.Grace.IsSet() && 2*drain.Value+GraceSlack > in.Grace.Value {
			r.breaks("I9", "", "2 x %s + %d = %s > %s: the endpoint and the signal can each wait in full", drain, GraceSlack, number(2*drain.Value+GraceSlack), in.Grace)
		}
	}
}

// Ladder is the chain as `doctor explain --chain` draws it, from the client down
// to the upstreams: one hop a line, the broken condition marked. Sums with the
// router's default retries stand beside the explicit ones where they differ.
func (r ChainResult) Ladder() []string {
	in := r.In
	const down = "   |"
	lines := []string{"client     " + in.Client.String(), down}
	if in.LBIdle.IsSet() {
		lines = append(lines, "balancer   "+in.LBIdle.String()+r.mark("I4", "")+r.mark("I5", ""), down)
	}
	lines = append(lines, "gateway    "+in.Request.String())
	if in.PreStop.IsSet() {
		lines = append(lines, down+"       preStop "+in.PreStop.String())
	}
	if in.Grace.IsSet() {
		lines = append(lines, down+"       grace   "+in.Grace.String()+r.mark("I7", "")+r.mark("I9", ""))
	}
	for i, g := range r.Groups {
		side := down
		if i == len(r.Groups)-1 {
			side = "    "
		}
		line := fmt.Sprintf("%s: %s s in %s", g.Group, g.SumText(), attempts(g.Attempts))
		if g.DefaultAttempts != g.Attempts {
			line += fmt.Sprintf("; %s s in %s with the default num_retries %d", number(g.DefaultSum), attempts(g.DefaultAttempts), DefaultRetries)
		}
		lines = append(lines, down, "   +-- group "+line+r.mark("I3", g.Group))
		if g.FirstByte.Value != g.Attempt.Value {
			lines = append(lines, fmt.Sprintf("%s     first byte %s%s", side, g.FirstByte, r.mark("I1", g.Group)))
		}
		for i, s := range g.Steps {
			word := "upstream"
			if i > 0 {
				word = "fallback"
			}
			lines = append(lines, fmt.Sprintf("%s     +-> %s %s: %s x %d%s", side, word, s.Group, s.Attempt, s.Attempts, r.markIf(i == 0, "I2", g.Group)))
		}
	}
	return lines
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

func (r ChainResult) markIf(yes bool, id, group string) string {
	if !yes {
		return ""
	}
	return r.mark(id, group)
}

func (r ChainResult) mark(id, group string) string {
	var out strings.Builder
	for _, b := range r.Broken {
		if b.ID == id && b.Group == group {
			fmt.Fprintf(&out, "   <-- %s %s", b.ID, b.Text)
		}
	}
	return out.String()
}
