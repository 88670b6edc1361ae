package route

import "math/rand/v2"

// Query is what strategies may know of a call.
type Query struct {
	// Now is on the router's clock, Minute counts minutes of the world's.
	Now, Minute int64
	// Stream says that the client wants a stream.
	Stream bool
	tokens func() int64
	known  bool
	count  int64
}

// Tokens estimates the prompt, once.
func (q *Query) Tokens() int64 {
	if !q.known && q.tokens != nil {
		q.count = q.tokens()
	}
	q.known = true
	return q.count
}

// Strategy prepares picking among the deployments of a group.
type Strategy interface {
	// Picker is called once per group when the configuration is taken over.
	Picker(nodes []*Node) Picker
}

// Picker picks one of a group's deployments.
type Picker interface {
	// Pick picks among candidates, a non-empty part of the group's deployments.
	// It returns nil when all of them are over their limits.
	Pick(candidates []*Node, q *Query) *Node
}

// anyPicker is a Picker that needs to know nothing while nothing is left out.
type anyPicker interface {
	// PickAny picks among all of the group's deployments.
	PickAny() *Node
}

// SimpleShuffle picks at random, in proportion to weight, else rpm, else tpm:
// the first of them that any candidate sets.
type SimpleShuffle struct {
	// random is the source of chance; nil means the runtime's, which no two
	// requests wait for.
	random random
}

type random interface {
	IntN(n int) int
	Float64() float64
}

// runtimeRandom protects nothing: it spreads load.
type runtimeRandom struct{}

func (runtimeRandom) IntN(n int) int   { return rand.IntN(n) }   //nolint:gosec // no secret
func (runtimeRandom) Float64() float64 { return rand.Float64() } //nolint:gosec // no secret

// Picker implements Strategy.
func (s SimpleShuffle) Picker(nodes []*Node) Picker {
	if s.random == nil {
		s.random = runtimeRandom{}
	}
	return &shuffle{nodes: nodes, by: metricOf(nodes), random: s.random}
}

type shuffle struct {
	nodes  []*Node
	by     func(*Node) float64 // nil: all alike
	random random
}

func metricOf(nodes []*Node) func(*Node) float64 {
	for _, metric := range []func(*Node) float64{
		func(n *Node) float64 { return n.Weight },
		func(n *Node) float64 { return n.RPM },
		func(n *Node) float64 { return n.TPM },
	} {
		for _, n := range nodes {
			if metric(n) > 0 {
				return metric
			}
		}
	}
	return nil
}

func (s *shuffle) PickAny() *Node {
	if len(s.nodes) == 1 {
		return s.nodes[0]
	}
	return s.pick(s.nodes, s.by)
}

func (s *shuffle) Pick(candidates []*Node, _ *Query) *Node {
	if len(candidates) == 1 {
		return candidates[0]
	}
	// The candidates decide which metric is in use: a weight on a deployment
	// that is out does not make the others equal.
	return s.pick(candidates, metricOf(candidates))
}

func (s *shuffle) pick(nodes []*Node, by func(*Node) float64) *Node {
	if by == nil {
		return nodes[s.random.IntN(len(nodes))]
	}
	total := 0.0
	for _, n := range nodes {
		total += max(by(n), 0)
	}
	at := s.random.Float64() * total
	for _, n := range nodes {
		if w := by(n); w > 0 {
			if at < w {
				return n
			}
			at -= w
		}
	}
	for i := len(nodes) - 1; i >= 0; i-- { // rounding
		if by(nodes[i]) > 0 {
			return nodes[i]
		}
	}
	return nodes[0]
}
