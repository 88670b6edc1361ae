package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
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
	teams    map[teamModel]*group
	patterns patterns
	listed   []string
	// first is the group that serves names which nothing else serves.
	first *group
	// counts is set where the strategy looks at attempts in flight and usage.
	counts bool
	// limited is set where a deployment has a limit of requests or tokens.
	limited bool
	bound   sync.Map // wildcard names -> *group
	bounds  atomic.Int32
}

// teamModel is a name that means something to one team alone.
type teamModel struct{ team, name string }

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
	// filtered is set where candidates must pass more than their cooldown, slots
	// where attempts in flight are bounded.
	filtered, slots bool
	// budgets is set where a deployment can be over budget.
	budgets bool
	// tags is set where tags route.
	tags bool
	// ties is set where calls may stay with the deployment of earlier ones.
	ties bool
	// coolUntil is never before the end of any cooldown of the group, on the
	// router's clock: while it lies in the past the fast path needs
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

// state outlives reloads, by deployment id. Its times are on the router's clock.
type state struct {
	coolUntil      atomic.Int64
	unhealthyUntil atomic.Int64
	countsFrom     atomic.Int64
	ok, fail       atomic.Int64 // since countsFrom
	running        atomic.Int64 // attempts in flight
	use            usage
	speed          speeds

	failsMu sync.Mutex
	fails   map[call.Class]failCounter
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
	_, shuffles := o.Strategy.(SimpleShuffle)
	if o.FailureShare <= 0 {
		o.FailureShare = failureShare
	}
	if o.FailureMinimum <= 0 {
		o.FailureMinimum = failureMinimum
	}
	if o.SingleFailureVolume <= 0 {
		o.SingleFailureVolume = singleFailureVolume
	}
	if o.mono == nil {
		o.mono = monotonic
	}
	if o.wall == nil {
		o.wall = time.Now
	}
	if o.sleep == nil {
		o.sleep = sleep
	}
	s := &snapshot{
		o:       o,
		groups:  map[string]*group{},
		ids:     map[string]*group{},
		byModel: map[string]*group{},
		teams:   map[teamModel]*group{},
		counts:  !shuffles || o.PreCallChecks || o.EnforceLimits,
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
		s.limited = s.limited || d.RPM > 0 || d.TPM > 0
		s.nodes = append(s.nodes, n)
		if d.TeamID != "" {
			s.addTeam(n)
			continue
		}
		g := s.groups[d.Group]
		if g == nil {
			g = &group{name: d.Group, coolUntil: new(atomic.Int64)}
			s.groups[d.Group] = g
			if d.Group != "*" && !strings.Contains(d.Group, "*") {
				s.listed = append(s.listed, d.Group)
			} else {
				s.patterns.add(newPattern(g))
			}
		}
		g.nodes = append(g.nodes, n)
		s.ids[d.ID] = &group{name: d.Group, nodes: []*Node{n}, byID: true}
		names := []string{d.Model}
		if d.Configured != "" && d.Configured != d.Model {
			names = append(names, d.Configured)
		}
		for _, name := range names {
			m := s.byModel[name]
			if m == nil {
				m = &group{name: name}
				s.byModel[name] = m
			}
			m.nodes = append(m.nodes, n)
		}
	}
	for _, set := range []map[string]*group{s.groups, s.ids, s.byModel} {
		for _, g := range set {
			s.finish(g)
		}
	}
	for _, g := range s.teams {
		s.finish(g)
	}
	for _, n := range s.nodes {
		if n.group == nil {
			n.group = s.groups[n.Group]
		}
		if until := n.state.coolUntil.Load(); until > n.group.coolUntil.Load() {
			n.group.coolUntil.Store(until)
		}
	}
	s.patterns.sort()
	aliases := make([]string, 0, len(o.Aliases))
	for name, a := range o.Aliases {
		if !a.Hidden && s.groups[name] == nil {
			aliases = append(aliases, name)
		}
	}
	slices.Sort(aliases)
	for _, f := range o.Fallbacks {
		if f.Group == "*" && len(f.To) > 0 && len(s.patterns.all) > 0 {
			s.first = s.groups[f.To[0]]
			break
		}
	}
	s.listed = append(s.listed, aliases...)
	return s, nil
}

// addTeam adds a deployment that one team has for itself: it has no part in the
// groups of others, and cannot be asked for by its id or model.
func (s *snapshot) addTeam(n *Node) {
	name := n.TeamName
	if name == "" {
		name = n.Group
	}
	key := teamModel{n.TeamID, name}
	g := s.teams[key]
	if g == nil {
		g = &group{name: name, coolUntil: new(atomic.Int64)}
		s.teams[key] = g
	}
	g.nodes = append(g.nodes, n)
	n.group = g
}

func (s *snapshot) finish(g *group) {
	for _, n := range g.nodes {
		if !slices.Contains(g.orders, n.Order) {
			g.orders = append(g.orders, n.Order)
		}
		g.slots = g.slots || n.MaxParallel > 0
		g.filtered = g.filtered || n.Paused || n.NoWebSearch
		g.budgets = g.budgets || s.o.Budgets != nil && s.o.Budgets.Bounds(n.Deployment)
	}
	slices.SortFunc(g.orders, compareOrder)
	g.hasOrder = len(g.orders) > 1
	g.tags = s.o.TagFiltering
	if i := slices.IndexFunc(g.nodes, func(n *Node) bool { return n.TagFiltering != nil }); i >= 0 {
		g.tags = *g.nodes[i].TagFiltering // of several the first
	}
	g.filtered = g.filtered || g.budgets || g.tags || s.o.PreCallChecks || s.o.HealthRouting
	if g.ties = s.ties(g); g.ties {
		g.filtered = true
	}
	g.picker = s.o.Strategy.Picker(g.nodes)
}

// ties reports whether calls of a group may be tied to a deployment.
func (s *snapshot) ties(g *group) bool {
	if s.o.Affinity.on(g.name) {
		return true
	}
	for _, n := range g.nodes {
		if s.o.Affinity.on(n.Group) {
			return true
		}
	}
	return false
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

// resolve finds the group behind a name, for a caller of a team.
func (s *snapshot) resolve(model, team string) (*group, bool) {
	if team != "" && len(s.teams) > 0 {
		if g := s.teams[teamModel{team, model}]; g != nil {
			return g, true
		}
	}
	if g := s.groups[model]; g != nil && (len(s.o.Aliases) == 0 || s.o.Aliases[model].Model == "") {
		return g, true
	}
	if g := s.ids[model]; g != nil {
		return g, true
	}
	name := model
	for range maxAliases { // an alias may lead to an alias; a circle ends
		a, ok := s.o.Aliases[name]
		if !ok || a.Model == "" {
			break
		}
		name = a.Model
	}
	if g := s.groups[name]; g != nil {
		return g, true
	}
	if g := s.wildcard(name); g != nil {
		return g, true
	}
	if g := s.byModel[name]; g != nil {
		return g, true
	}
	return s.first, s.first != nil
}

// maxAliases bounds a chain of aliases.
const maxAliases = 8

// maxBound is how many names of wildcards are remembered with their group:
// clients can invent names.
const maxBound = 4096

// wildcard finds the group of the most specific pattern that matches a name, or
// the name with its provider in front.
func (s *snapshot) wildcard(name string) *group {
	if len(s.patterns.lengths) == 0 {
		return nil
	}
	if g, ok := s.bound.Load(name); ok {
		return g.(*group)
	}
	g := s.patterns.find(s, name)
	if g == nil && s.o.Provider != nil && !strings.Contains(name, "/") {
		if provider := s.o.Provider(name); provider != "" {
			g = s.patterns.find(s, provider+"/"+name)
		}
	}
	if g != nil && s.bounds.Load() < maxBound {
		if other, loaded := s.bound.LoadOrStore(name, g); loaded {
			return other.(*group)
		}
		s.bounds.Add(1)
	}
	return g
}
