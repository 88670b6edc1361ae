package facts

import "fmt"

// Explain is the worked arithmetic in the words of the message: demand,
// available, comparison and, when something is wrong, what to change. Every
// factor carries its origin; alternatives are computed.
func (r PoolResult) Explain() []string {
	lines := []string{"demand    " + r.DemandLine()}
	if !r.AvailableKnown {
		return lines
	}
	if r.In.Pooler != nil {
		return append(lines, r.poolerLines()...)
	}
	lines = append(lines, "available "+r.AvailableLine(), r.ComparisonLine())
	if fixes := r.Fixes(); len(fixes) > 0 {
		lines = append(lines, "fix, any one:")
		for _, f := range fixes {
			lines = append(lines, "  "+f)
		}
	}
	return lines
}

// DemandLine is the product that decides, with the origin of each factor.
func (r PoolResult) DemandLine() string {
	in := r.In
	if in.Runner == HookRunner && r.Job > 0 && r.Demand > r.Rollout {
		return fmt.Sprintf("%s x %s x %s + %d (migration Job) = %d", in.Limit, in.Workers, in.Instances, r.Job, r.Demand)
	}
	line := fmt.Sprintf("%s x %s x (%s + %d%s)", in.Limit, in.Workers, in.Instances, r.Surge, in.Surge.label())
	if in.Runner == JobRunner && r.Job > 0 {
		line += fmt.Sprintf(" + %d (migration Job)", r.Job)
	}
	return fmt.Sprintf("%s = %d", line, r.Demand)
}

func (s Surge) label() string {
	switch {
	case s.Text != "":
		return " (" + s.Text + ")"
	case s.IsPercent:
		return fmt.Sprintf(" (maxSurge %d%%)", s.Percent)
	default:
		return " (maxSurge)"
	}
}

// AvailableLine is what may be used of the ceiling, with the origin of each
// term.
func (r PoolResult) AvailableLine() string {
	c := r.In.Ceiling
	var line string
	if c.Kind == MaxConnections {
		line = fmt.Sprintf("%d (max_connections, %s)", c.N.Value, c.N.Text)
	} else {
		line = fmt.Sprintf("%d (%s, what the gateway may open)", c.N.Value, c.N.Text)
	}
	switch {
	case c.Reserve.IsSet():
		line += fmt.Sprintf(" - %s", c.Reserve)
	case c.Kind == MaxDBConnections:
		return line
	default:
		line += fmt.Sprintf(" - %s - %s - %s", c.SuperuserReserved, c.Reserved, c.Other)
	}
	return fmt.Sprintf("%s = %d", line, r.Available)
}

// ComparisonLine is demand against available, in one sentence.
func (r PoolResult) ComparisonLine() string {
	steady := fmt.Sprintf("Steady state without a rollout: %d.", r.Steady)
	switch r.Verdict {
	case Exceeds:
		return fmt.Sprintf("%d > %d: short by %d. %s", r.Demand, r.Available, r.Short, steady)
	case LowHeadroom:
		return fmt.Sprintf("%d <= %d: fits, but %d%% is in use and 20%% should stay free. %s", r.Demand, r.Available, r.Share(), steady)
	case Fits:
		return fmt.Sprintf("%d <= %d: fits, %d%% is in use. %s", r.Demand, r.Available, r.Share(), steady)
	default:
		return steady
	}
}

// Share is demand in percent of what is available, rounded; 0 when nothing is.
func (r PoolResult) Share() int {
	if r.Available <= 0 {
		return 0
	}
	return (r.Demand*200 + r.Available) / (2 * r.Available)
}

// headroom is the clause that a recommendation ends with.
func (r PoolResult) headroom() string {
	if r.In.Ceiling.Kind == MaxConnections {
		return " with 20% headroom"
	}
	return ""
}

// Fixes are the alternatives, each computed for this deployment; none when it
// fits.
func (r PoolResult) Fixes() []string {
	if r.In.Pooler != nil || (r.Verdict != Exceeds && r.Verdict != LowHeadroom) {
		return nil
	}
	var out []string
	add := func(label, format string, args ...any) {
		out = append(out, fmt.Sprintf("%-13s %s", label, fmt.Sprintf(format, args...)))
	}
	oneWorker := r.In.Workers.Value > 1
	switch {
	case r.RecLimit >= 5:
		add("pool limit", "%d is the largest value that fits%s", r.RecLimit, r.headroom())
	case r.RecLimit > 0 && oneWorker:
		add("pool limit", "%d is the largest value that fits%s: small, prefer one of the next two", r.RecLimit, r.headroom())
	case r.RecLimit > 0:
		add("pool limit", "%d is the largest value that fits%s: small, prefer fewer replicas or a pooler", r.RecLimit, r.headroom())
	default:
		add("pool limit", "no value fits with %d processes", product(r.In.Workers.Value, sum(r.In.Instances.Value, r.Surge)))
	}
	switch {
	case r.RecInstances > 0:
		add("maxReplicas", "at most %d with this limit and these workers", r.RecInstances)
	case oneWorker:
		add("maxReplicas", "no replica count fits with %d workers per pod", r.In.Workers.Value)
	default:
		add("maxReplicas", "no replica count fits with this limit")
	}
	if oneWorker {
		add("num_workers", "1 worker per pod: %s", r.oneWorker())
	}
	add("pooler", "PgBouncer in transaction mode + database_disable_prepared_statements: true")
	return out
}

func (r PoolResult) oneWorker() string {
	d := r.OneWorkerDemand
	switch {
	case d*10 <= r.In.Ceiling.usableTimes10():
		return fmt.Sprintf("demand %d, fits%s", d, r.headroom())
	case d <= r.Available:
		return fmt.Sprintf("demand %d, fits without headroom (DB002)%s", d, r.oneWorkerInstances())
	default:
		return fmt.Sprintf("demand %d, still short by %d%s", d, d-r.Available, r.oneWorkerInstances())
	}
}

func (r PoolResult) oneWorkerInstances() string {
	n := r.OneWorkerInstances
	if n == 0 {
		return ""
	}
	_, _, demand := r.In.demand(r.In.Limit.Value, 1, n)
	return fmt.Sprintf("; with maxReplicas %d: %d", n, demand)
}

func (r PoolResult) poolerLines() []string {
	p := r.In.Pooler
	if !p.known() {
		return []string{"behind a pooler whose sizes are not known: the sum cannot be judged"}
	}
	return []string{
		fmt.Sprintf("clients   %d %s %d = %s x %s", r.Demand, compare(r.PoolerClientOK), r.PoolerClients, p.MaxClientConn, p.Instances),
		fmt.Sprintf("server    %s x %s x (%s + %s) + %s + %s = %d", p.Instances, p.Pairs, p.PoolSize,
			p.ReservePool.Or(AssumedInt(0, "reserve_pool_size, default")),
			p.DirectRunner.Or(AssumedInt(0, "migrations")),
			p.BypassingOther.Or(AssumedInt(0, "other clients past the pooler, not measured")), r.PoolerServer),
		"available " + r.AvailableLine(),
		fmt.Sprintf("%d %s %d", r.PoolerServer, compare(r.PoolerServerOK), r.Available),
	}
}

func compare(fits bool) string {
	if fits {
		return "<="
	}
	return ">"
}
