package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// snapshot is everything that routing reads. It never changes after it is
// published, apart from the atomics in state.
type snapshot struct {
	o        Options
	nodes    []*Node
	groups   map[string]*group
	ids      map[string]*group
	byModel  map[string]*group // litellm_params.model -> its deployments
	patterns []*pattern        // most specific first
	listed   []string
}

// group is the deployments behind one name.
type group struct {
	name  string
	nodes []*Node
	// byID is a group of one deployment asked for by its id: cooldowns do not
	// count there.
	byID bool
	// hasOrder says that deployments differ in their order.
	hasOrder bool
	orders   []int
	// coolUntil is never before the end of any cooldown of the group, in
	// nanoseconds since the epoch: while it lies in the past the fast path needs
	// to look at no deployment. It is nil where the nodes may belong to several
	// groups; then they are always looked at. Groups bound to a wildcard share
	// their pattern's.
	coolUntil *atomic.Int64
	picker    Picker
}

// Node is one deployment with its routing state.
type Node struct {
	*call.Deployment
	state *state
	group *group // as configured
}

// state outlives reloads, by deployment id.
type state struct {
	coolUntil atomic.Int64 // nanoseconds since the epoch
	minute    atomic.Int64
	ok, fail  atomic.Int64 // of minute
	fails     atomic.Int64 // since failsFrom, for allowed_fails
	failsFrom atomic.Int64
}

func newSnapshot(deployments []*call.Deployment, o Options, old *snapshot) (*snapshot, error) {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.CooldownTime <= 0 {
		o.CooldownTime = DefaultCooldown
	}
	if o.InitialDelay <= 0 {
		o.InitialDelay = defaultInitialDelay
	}
	if o.MaxDelay <= 0 {
		o.MaxDelay = defaultMaxDelay
	}
	if o.Jitter == nil {
		jitter := defaultJitter
		o.Jitter = &jitter
	}
	if o.Strategy == nil {
		o.Strategy = SimpleShuffle{}
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.sleep == nil {
		o.sleep = sleep
	}
	s := &snapshot{
		o:       o,
		groups:  map[string]*group{},
		ids:     map[string]*group{},
		byModel: map[string]*group{},
	}
	states := map[string]*state{}
	if old != nil {
		for _, n := range old.nodes {
			states[n.ID] = n.state
		}
	}
	seen := map[string]bool{}
	for _, d := range deployments {
		if seen[d.ID] {
			return nil, fmt.Errorf("two deployments have the id %q", d.ID)
		}
		seen[d.ID] = true
		st := states[d.ID]
		if st == nil {
			st = &state{}
		}
		n := &Node{Deployment: d, state: st}
		s.nodes = append(s.nodes, n)
		g := s.groups[d.Group]
		if g == nil {
			g = &group{name: d.Group, coolUntil: new(atomic.Int64)}
			s.groups[d.Group] = g
			if d.Group != "*" && !strings.Contains(d.Group, "*") {
				s.listed = append(s.listed, d.Group)
			} else {
				s.patterns = append(s.patterns, newPattern(g))
			}
		}
		g.nodes = append(g.nodes, n)
		s.ids[d.ID] = &group{name: d.Group, nodes: []*Node{n}, byID: true}
		m := s.byModel[d.Model]
		if m == nil {
			m = &group{name: d.Model}
			s.byModel[d.Model] = m
		}
		m.nodes = append(m.nodes, n)
	}
	for _, set := range []map[string]*group{s.groups, s.ids, s.byModel} {
		for _, g := range set {
			s.finish(g)
		}
	}
	for _, n := range s.nodes {
		n.group = s.groups[n.Group]
		if until := n.state.coolUntil.Load(); until > n.group.coolUntil.Load() {
			n.group.coolUntil.Store(until)
		}
	}
	slices.SortStableFunc(s.patterns, func(a, b *pattern) int {
		return cmp.Or(cmp.Compare(len(b.text), len(a.text)), cmp.Compare(b.specials, a.specials))
	})
	aliases := make([]string, 0, len(o.Aliases))
	for name, a := range o.Aliases {
		if !a.Hidden && s.groups[name] == nil {
			aliases = append(aliases, name)
		}
	}
	slices.Sort(aliases)
	s.listed = append(s.listed, aliases...)
	return s, nil
}

func (s *snapshot) finish(g *group) {
	for _, n := range g.nodes {
		if !slices.Contains(g.orders, n.Order) {
			g.orders = append(g.orders, n.Order)
		}
	}
	slices.SortFunc(g.orders, compareOrder)
	g.hasOrder = len(g.orders) > 1
	g.picker = s.o.Strategy.Picker(g.nodes)
}

// compareOrder sorts deployments without an order last.
func compareOrder(a, b int) int {
	if (a == 0) != (b == 0) {
		return cmp.Compare(b2i(a == 0), b2i(b == 0))
	}
	return cmp.Compare(a, b)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// resolve finds the group behind a name.
func (s *snapshot) resolve(model string) (*group, bool) {
	if g := s.groups[model]; g != nil && (len(s.o.Aliases) == 0 || s.o.Aliases[model].Model == "") {
		return g, true
	}
	if g := s.ids[model]; g != nil {
		return g, true
	}
	name := model
	for range 8 { // an alias may lead to an alias; a circle ends
		a, ok := s.o.Aliases[name]
		if !ok || a.Model == "" {
			break
		}
		name = a.Model
	}
	if g := s.groups[name]; g != nil {
		return g, true
	}
	for _, p := range s.patterns {
		if captured, ok := p.match(name); ok {
			return p.bind(s, name, captured), true
		}
	}
	if g := s.byModel[name]; g != nil {
		return g, true
	}
	return nil, false
}
