package route

import (
	"cmp"
	"slices"
	"strings"
)

// pattern is a group whose model_name holds stars. It matches whole names: a
// pattern that matched only the beginning would serve another model than the
// one asked for.
type pattern struct {
	group    *group
	parts    []string // the text between the stars
	length   int      // of the regular expression that LiteLLM makes of it
	specials int
	rank     int
}

func newPattern(g *group) *pattern {
	p := &pattern{group: g, parts: strings.Split(g.name, "*")}
	for _, c := range g.name {
		switch {
		case c == '*': // becomes (.*)
			p.length += 4
			p.specials += 3
		case c < 128 && strings.ContainsRune("()[]{}?+-|^$\\.&~# \t\n\r\v\f", c):
			p.length += 2
			p.specials++ // the backslash
			if strings.ContainsRune("+?\\^$|()", c) {
				p.specials++
			}
		default:
			p.length++
		}
	}
	return p
}

// patterns finds the pattern of a name. Patterns are kept by the text before
// their first star, so that the cost of a name depends on how many lengths of
// such texts there are, not on how many patterns.
type patterns struct {
	by      map[string][]*pattern
	lengths []int
	all     []*pattern
}

func (ps *patterns) add(p *pattern) { ps.all = append(ps.all, p) }

// sort orders them: the longest text first (a character that a regular
// expression escapes counts two), then the one with more special characters,
// then the configuration's order.
func (ps *patterns) sort() {
	slices.SortStableFunc(ps.all, func(a, b *pattern) int {
		return cmp.Or(cmp.Compare(b.length, a.length), cmp.Compare(b.specials, a.specials))
	})
	ps.by = map[string][]*pattern{}
	for i, p := range ps.all {
		p.rank = i
		before := p.parts[0]
		if ps.by[before] == nil && !slices.Contains(ps.lengths, len(before)) {
			ps.lengths = append(ps.lengths, len(before))
		}
		ps.by[before] = append(ps.by[before], p)
	}
	slices.Sort(ps.lengths)
}

// find returns the group bound to a name, or nil.
func (ps *patterns) find(s *snapshot, name string) *group {
	var best *pattern
	var captured []string
	for _, n := range ps.lengths {
		if n > len(name) {
			break
		}
		for _, p := range ps.by[name[:n]] {
			if best != nil && p.rank > best.rank {
				break
			}
			if c, ok := p.match(name); ok {
				best, captured = p, c
				break
			}
		}
	}
	if best == nil {
		return nil
	}
	return best.bind(s, name, captured)
}

// match returns what the stars stand for. Each star but the last takes as much
// as it can, like LiteLLM's (.*).
func (p *pattern) match(name string) (captured []string, ok bool) {
	rest, ok := strings.CutPrefix(name, p.parts[0])
	if !ok {
		return nil, false
	}
	captured = make([]string, len(p.parts)-1)
	if !capture(rest, p.parts[1:], captured) {
		return nil, false
	}
	return captured, true
}

// capture matches "star, parts[0], star, parts[1], ..." against all of rest.
func capture(rest string, parts []string, out []string) bool {
	part := parts[0]
	if len(parts) == 1 {
		if !strings.HasSuffix(rest, part) {
			return false
		}
		out[0] = rest[:len(rest)-len(part)]
		return true
	}
	for end := len(rest); end >= 0; {
		i := strings.LastIndex(rest[:end], part)
		if i < 0 {
			return false
		}
		if capture(rest[i+len(part):], parts[1:], out[1:]) {
			out[0] = rest[:i]
			return true
		}
		end = i + len(part) - 1
		if part == "" {
			end = i - 1
		}
	}
	return false
}

// bind returns the pattern's group with the provider models filled in. The
// nodes share the state of the configured ones.
func (p *pattern) bind(s *snapshot, name string, captured []string) *group {
	g := &group{
		name: name, hasOrder: p.group.hasOrder, orders: p.group.orders,
		filtered: p.group.filtered, budgets: p.group.budgets, tags: p.group.tags, slots: p.group.slots, ties: p.group.ties, coolUntil: p.group.coolUntil,
	}
	for _, n := range p.group.nodes {
		d := *n.Deployment
		d.Model = substitute(n.Model, name, captured)
		g.nodes = append(g.nodes, &Node{Deployment: &d, state: n.state, group: p.group})
	}
	g.picker = s.o.Strategy.Picker(g.nodes)
	return g
}

// substitute puts the k-th capture in place of the model's k-th star. A model
// without a star is fixed; one with fewer stars than there are captures yields
// the client's text.
func substitute(model, name string, captured []string) string {
	stars := strings.Count(model, "*")
	switch {
	case stars == 0:
		return model
	case stars < len(captured):
		return name
	}
	var b strings.Builder
	for _, text := range captured {
		before, after, _ := strings.Cut(model, "*")
		b.WriteString(before)
		b.WriteString(text)
		model = after
	}
	b.WriteString(model)
	return b.String()
}
