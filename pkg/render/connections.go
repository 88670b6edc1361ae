package render

import (
	"fmt"
	"strconv"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

// The range in which a pool limit per process makes sense; outside it doctor
// warns.
const (
	poolLimitLow  = 3
	poolLimitHigh = 50
)

// connections decides the pool limit and the number of replicas from what is
// given: the ceiling alone yields the limit, the ceiling and a limit yield the
// replicas, all three are checked.
func (p *plan) connections() {
	limitPath := "general_settings.database_connection_pool_limit"
	stated := p.o.PoolLimit
	if stated.IsSet() {
		if stated.Value < 1 || stated.Value > 100000 {
			p.fail("E-DB-LIMIT", "--pool-limit %d: use 1 or more", stated.Value)
			return
		}
		if p.facts.LimitSources.Extra.IsSet() {
			p.fail("E-DB-LIMIT", "--pool-limit has no effect while the configuration sets database_extra_connection_params.connection_limit")
			return
		}
		p.edits[limitPath] = strconv.Itoa(stated.Value)
	} else if !p.facts.Limit.Assumed {
		stated = p.facts.Limit
	}
	if node := p.key(limitPath); node.IsScalar() && (p.facts.LimitSources.Key.Value < 1 || !p.facts.LimitSources.Key.IsSet()) && reference(node) == "" {
		p.note(finding.Error, "E-DB-LIMIT", node.Where(), "database_connection_pool_limit is not a positive whole number")
		return
	}
	if node := p.key(limitPath); node.IsScalar() && reference(node) != "" && !stated.IsSet() && p.o.Ceiling.Kind != facts.NoCeiling {
		p.note(finding.Error, "E-DB-LIMIT", node.Where(), "database_connection_pool_limit is a reference that is not known here (pass --pool-limit)")
		return
	}
	if c := p.o.Ceiling; c.Kind != facts.NoCeiling && (c.N.Value < 1 || c.N.Value > 1<<20) {
		p.fail("E-DB-BUDGET", "%s %d: use 1 or more", c.N.Text, c.N.Value)
		return
	} else if c.Reserve.IsSet() && (c.Reserve.Value < 0 || c.Reserve.Value >= c.N.Value) {
		p.fail("E-DB-BUDGET", "--db-reserve %d of %d leaves no connection", c.Reserve.Value, c.N.Value)
		return
	}

	p.most = p.replicas
	if p.hpa {
		p.most = p.o.MaxReplicas
		if !p.most.IsSet() {
			p.most = facts.AssumedInt(max(p.replicas.Value, 10), "maxReplicas, default")
		}
	}
	if p.hpa && !p.o.MaxReplicas.IsSet() && (p.o.Ceiling.Kind == facts.NoCeiling || !stated.IsSet()) {
		p.explain.add("maxReplicas", strconv.Itoa(p.most.Value), fmt.Sprintf("max(%d, 10)", p.replicas.Value), fromInt(p.replicas))
	}
	in := facts.PoolInput{
		Target: p.target, Limit: stated, Workers: p.workers, Instances: p.most, Runner: p.runner(), Ceiling: p.o.Ceiling,
		Surge: facts.Surge{Count: 1, Origin: facts.Origin{Text: "maxSurge", Assumed: true}},
	}
	r := facts.Pool(in)
	in = r.In
	switch {
	case in.Ceiling.Kind == facts.NoCeiling:
	case !stated.IsSet():
		r = p.deriveLimit(in, r)
		if !p.failed() {
			p.edits[limitPath] = strconv.Itoa(r.In.Limit.Value)
		}
	case p.hpa && !p.o.MaxReplicas.IsSet():
		if r.RecInstances < p.replicas.Value {
			p.fail("E-DB-OVER", "%s; at most %d replicas fit", over(r, p.replicas.Value), r.RecInstances)
			return
		}
		in.Instances = facts.NewInt(r.RecInstances, "most that fit", finding.Position{})
		p.most = in.Instances
		r = facts.Pool(in)
		p.explain.add("maxReplicas", strconv.Itoa(p.most.Value), fmt.Sprintf("floor(%s / (%d x %d)) - 1", p.usable(r), in.Workers.Value, in.Limit.Value), p.ceilingSources(r)...)
	case r.Verdict == facts.Exceeds:
		p.fail("E-DB-OVER", "%s", over(r, r.In.Instances.Value))
		return
	case r.Verdict == facts.LowHeadroom:
		p.warn("K-DB-HEADROOM", "%d of %d connections is more than 80%%: others need some too", r.Demand, r.Available)
	}
	p.pool, p.limit = r, r.In.Limit
	if p.failed() || !p.database {
		return
	}
	p.explain.add("database connections", strconv.Itoa(r.Demand), r.DemandLine())
	if r.AvailableKnown {
		p.explain.add("available connections", strconv.Itoa(r.Available), r.AvailableLine())
	} else {
		p.info("K-DB-TOTAL", "up to %d database connections: (%d + %d) x %d x %d (--max-db-connections checks it)", r.Rollout, r.In.Instances.Value, r.Surge, r.In.Workers.Value, r.In.Limit.Value)
	}
	if p.target == facts.LiteLLM && r.AvailableKnown && r.Drain > r.Available {
		p.warn("K-DB-DRAIN-OVERLAP", "during a full rollout pods that still drain keep theirs: (2 x %d + %d) x %d x %d = %d > %d", r.In.Instances.Value, r.Surge, r.In.Workers.Value, r.In.Limit.Value, r.Drain, r.Available)
	}
}

// deriveLimit finds the pool limit that the ceiling allows.
func (p *plan) deriveLimit(in facts.PoolInput, r facts.PoolResult) facts.PoolResult {
	limit := r.RecLimit
	if limit < 1 {
		probe := in
		probe.Limit.Value = 1
		p.fail("E-DB-BUDGET", "%d connections / (%d instances x %d worker%s) < 1; at most %d replicas fit, or raise %s",
			max(0, r.Available), in.Instances.Value+r.Surge, in.Workers.Value, plural(in.Workers.Value), facts.Pool(probe).RecInstances, in.Ceiling.N.Text)
		return r
	}
	formula := fmt.Sprintf("floor(%s / ((%d + %d) x %d))", p.usable(r), in.Instances.Value, r.Surge, in.Workers.Value)
	if limit > poolLimitHigh {
		p.info("N-POOL-CAP", "a pool limit of %d would fit; %d is written, since one process with more can use up the server", limit, poolLimitHigh)
		formula = fmt.Sprintf("min(%d, %s)", poolLimitHigh, formula)
		limit = poolLimitHigh
	}
	if limit < poolLimitLow {
		p.warn("K-DB-SMALL", "a pool limit of %d makes requests wait for connections (fewer replicas, or a pooler)", limit)
	}
	in.Limit = facts.NewInt(limit, "derived", finding.Position{})
	out := facts.Pool(in)
	p.explain.add("database_connection_pool_limit", strconv.Itoa(limit), formula, p.ceilingSources(out)...)
	return out
}

// usable is the part of a formula that stands for the connections to share.
func (p *plan) usable(r facts.PoolResult) string {
	if r.In.Ceiling.Kind == facts.MaxDBConnections {
		return strconv.Itoa(r.Available)
	}
	if r.Job > 0 {
		return fmt.Sprintf("(0.8 x %d - %d)", r.Available, r.Job)
	}
	return fmt.Sprintf("0.8 x %d", r.Available)
}

func (p *plan) ceilingSources(r facts.PoolResult) []Source {
	c := r.In.Ceiling
	out := []Source{fromInt(c.N)}
	for _, n := range []facts.Int{c.Reserve, c.SuperuserReserved, c.Reserved, c.Other} {
		if n.IsSet() {
			out = append(out, fromInt(n))
		}
	}
	out = append(out, fromInt(r.In.Instances), sourceOf(strconv.Itoa(r.Surge), r.In.Surge.Origin), fromInt(r.In.Workers))
	if r.In.Limit.Text != "derived" {
		out = append(out, fromInt(r.In.Limit))
	}
	return out
}

func over(r facts.PoolResult, instances int) string {
	demand := (instances + r.Surge) * r.In.Workers.Value * r.In.Limit.Value
	job := ""
	if r.In.Runner == facts.JobRunner && r.Job > 0 {
		demand, job = demand+r.Job, fmt.Sprintf(" + %d", r.Job)
	}
	sign := ">"
	if demand <= r.Available {
		sign = "> 80% of"
	}
	return fmt.Sprintf("(%d+%d) x %d x %d%s = %d %s %d", instances, r.Surge, r.In.Workers.Value, r.In.Limit.Value, job, demand, sign, r.Available)
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
