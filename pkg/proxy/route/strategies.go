package route

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// LeastBusy picks the deployment with the fewest attempts in flight here, at
// random among equals.
type LeastBusy struct{}

// Picker implements Strategy.
func (LeastBusy) Picker([]*Node) Picker { return leastBusy{} }

type leastBusy struct{}

func (leastBusy) Pick(candidates []*Node, _ *Query) *Node {
	return least(candidates, func(n *Node) float64 { return float64(n.state.running.Load()) })
}

// least is the candidate with the smallest value, at random among equals.
func least(candidates []*Node, value func(*Node) float64) *Node {
	var best *Node
	lowest, equals := 0.0, 0
	for _, n := range candidates {
		v := value(n)
		switch {
		case best == nil || v < lowest:
			best, lowest, equals = n, v, 1
		case v == lowest:
			if equals++; rand.IntN(equals) == 0 { //nolint:gosec // load balancing, no secret
				best = n
			}
		}
	}
	return best
}

// within drops the candidates that a call would take over their tpm or rpm. It
// sorts in place and keeps the order.
func within(candidates []*Node, q *Query, over func(n *Node, requests, tokens int64) bool) []*Node {
	return slices.DeleteFunc(candidates, func(n *Node) bool {
		if n.TPM <= 0 && n.RPM <= 0 {
			return false
		}
		requests, tokens := n.state.use.total(q.Minute)
		return over(n, requests, tokens)
	})
}

// overNext reports whether one more request is over a deployment's limits.
func overNext(q *Query) func(*Node, int64, int64) bool {
	return func(n *Node, requests, tokens int64) bool {
		return n.TPM > 0 && float64(tokens+q.Tokens()) > n.TPM || n.RPM > 0 && float64(requests+1) > n.RPM
	}
}

// UsageV2 picks the deployment with the fewest tokens of this minute, all
// instances together. Like LiteLLM's it leaves a deployment out one request
// below its rpm.
type UsageV2 struct{}

// Picker implements Strategy.
func (UsageV2) Picker([]*Node) Picker { return usagePicker{} }

// Usage is the older form of the same rule, whose counts are this instance's.
type Usage struct{}

// Picker implements Strategy.
func (Usage) Picker([]*Node) Picker { return usagePicker{local: true} }

type usagePicker struct{ local bool }

func (p usagePicker) Pick(candidates []*Node, q *Query) *Node {
	count := func(n *Node) (int64, int64) {
		if p.local {
			return n.state.use.own(q.Minute)
		}
		return n.state.use.total(q.Minute)
	}
	candidates = slices.DeleteFunc(candidates, func(n *Node) bool {
		requests, tokens := count(n)
		return n.TPM > 0 && float64(tokens+q.Tokens()) > n.TPM || n.RPM > 0 && float64(requests+1) >= n.RPM
	})
	return least(candidates, func(n *Node) float64 {
		_, tokens := count(n)
		return float64(tokens)
	})
}

// CostBased picks the deployment with the cheapest tokens that is within its
// limits, the first among equals.
type CostBased struct{}

// Picker implements Strategy.
func (CostBased) Picker([]*Node) Picker { return costBased{} }

type costBased struct{}

func (costBased) Pick(candidates []*Node, q *Query) *Node {
	candidates = within(candidates, q, overNext(q))
	if len(candidates) == 0 {
		return nil
	}
	return slices.MinFunc(candidates, func(a, b *Node) int { return cmp.Compare(a.price(), b.price()) })
}

// unknownPrice is what a deployment without a price counts as, per token.
const unknownPrice = 10.0

func (n *Node) price() float64 {
	if n.TokenPrice > 0 {
		return n.TokenPrice
	}
	return unknownPrice
}

// LatencyBased picks among the deployments that have answered fastest lately.
type LatencyBased struct {
	// TTL is how long a deployment is judged by its last answers; 0 means an
	// hour.
	TTL time.Duration
	// Buffer is how much slower than the fastest a deployment may be, as a part
	// of it.
	Buffer float64
	// Samples is how many answers count; 0 means 10, the most is maxSamples.
	Samples int
}

const (
	defaultSamples = 10
	maxSamples     = 32
	// slowest is the sample of an attempt that timed out.
	slowest = 1000.0
)

// Picker implements Strategy.
func (l LatencyBased) Picker([]*Node) Picker {
	if l.TTL <= 0 {
		l.TTL = time.Hour
	}
	return l
}

func (l LatencyBased) samples() int {
	if l.Samples <= 0 {
		return defaultSamples
	}
	return min(l.Samples, maxSamples)
}

// Pick implements Picker. A deployment that has not been used counts as
// infinitely fast, so that it is tried.
func (l LatencyBased) Pick(candidates []*Node, q *Query) *Node {
	candidates = within(candidates, q, overNext(q))
	if len(candidates) == 0 {
		return nil
	}
	fastest := math.Inf(1)
	speeds := make([]float64, len(candidates))
	for i, n := range candidates {
		speeds[i] = n.state.speed.of(q.Stream, q.Now, int64(l.TTL))
		fastest = min(fastest, speeds[i])
	}
	var chosen *Node
	equals := 0
	for i, n := range candidates {
		if speeds[i] <= fastest*(1+l.Buffer) {
			if equals++; rand.IntN(equals) == 0 { //nolint:gosec // load balancing, no secret
				chosen = n
			}
		}
	}
	return chosen
}

// speeds are a deployment's last answers: seconds per token, of the whole answer
// and until its first.
type speeds struct{ whole, first atomic.Pointer[ring] }

// ring is the last few samples. Writers may overwrite each other's, which loses
// a sample of an average.
type ring struct {
	at      atomic.Int64 // of the last sample, on the router's clock
	n       atomic.Uint64
	samples []atomic.Uint64
}

func (s *speeds) add(into *atomic.Pointer[ring], now int64, size int, v float64) {
	r := into.Load()
	if r == nil || len(r.samples) != size {
		r = &ring{samples: make([]atomic.Uint64, size)}
		into.Store(r)
	}
	r.samples[(r.n.Add(1)-1)%uint64(size)].Store(math.Float64bits(v))
	r.at.Store(now)
}

func (r *ring) mean(now, ttl int64) (mean float64, ok bool) {
	if r == nil || now-r.at.Load() > ttl {
		return 0, false
	}
	n := min(r.n.Load(), uint64(len(r.samples)))
	if n == 0 {
		return 0, false
	}
	for i := range n {
		mean += math.Float64frombits(r.samples[i].Load())
	}
	return mean / float64(n), true
}

// of is the mean of what counts for a call.
func (s *speeds) of(stream bool, now, ttl int64) float64 {
	if stream {
		if v, ok := s.first.Load().mean(now, ttl); ok {
			return v
		}
	}
	v, _ := s.whole.Load().mean(now, ttl)
	return v
}

// Strategies are the words for routing_strategy.
var Strategies = map[string]Strategy{
	"simple-shuffle":         SimpleShuffle{},
	"least-busy":             LeastBusy{},
	"usage-based-routing":    Usage{},
	"usage-based-routing-v2": UsageV2{},
	"latency-based-routing":  LatencyBased{},
	"cost-based-routing":     CostBased{},
}
