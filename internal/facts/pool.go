package facts

import (
	"sort"

	"github.com/llmgw/llmgw/internal/finding"
)

// Surge is how many pods a rolling update adds: a count, or a percentage of
// the replicas rounded up.
type Surge struct {
	Count   int
	Percent int
	// IsPercent says which of the two counts.
	IsPercent bool
	Origin
}

// DefaultSurge is what Kubernetes does when maxSurge is not written.
func DefaultSurge() Surge {
	return Surge{Percent: 25, IsPercent: true, Origin: Origin{Text: "maxSurge 25%, Kubernetes default", Assumed: true}}
}

// NoSurge is the Recreate strategy, or a platform without rolling updates.
func NoSurge(text string, pos finding.Position) Surge {
	return Surge{Origin: Origin{Text: text, Pos: pos}}
}

// Of is the surge in pods for a number of instances.
func (s Surge) Of(instances int) int {
	if !s.IsPercent {
		return max(0, s.Count)
	}
	if instances <= 0 || s.Percent <= 0 {
		return 0
	}
	return min(huge, (product(instances, s.Percent)+99)/100)
}

// MigrationRunner is what else opens connections during a rollout.
type MigrationRunner int

const (
	// NoRunner: nothing, or pods that migrate before they open their pool.
	NoRunner MigrationRunner = iota
	// HookRunner: a Job that ends before the new pods start.
	HookRunner
	// JobRunner: a plain Job that may run beside the new pods.
	JobRunner
)

// migrationConnections is what one migration run holds: the advisory lock and
// the work.
const migrationConnections = 2

// CeilingKind tells the two quantities apart that people call the limit.
type CeilingKind int

const (
	// NoCeiling: nobody said.
	NoCeiling CeilingKind = iota
	// MaxConnections is Postgres' own setting: others live there too, and a
	// fifth of it should stay free.
	MaxConnections
	// MaxDBConnections is the database budget: what the gateway may open.
	MaxDBConnections
)

// Ceiling is how many connections there are to share.
type Ceiling struct {
	Kind CeilingKind
	N    Int
	// Reserve is one number for everything that is not the gateway's; when it
	// is not set, the three below count (MaxConnections only).
	Reserve           Int
	SuperuserReserved Int
	Reserved          Int
	Other             Int
}

// Pooler describes PgBouncer and its kin in front of Postgres.
type Pooler struct {
	Instances      Int
	MaxClientConn  Int
	PoolSize       Int // default_pool_size
	ReservePool    Int // reserve_pool_size
	Pairs          Int // (database, user) pairs; 1 when unset
	DirectRunner   Int // connections of migrations that bypass the pooler
	BypassingOther Int
}

func (p *Pooler) known() bool { return p.MaxClientConn.IsSet() && p.PoolSize.IsSet() }

// PoolInput is what the pool math needs. Unset numbers get the labelled
// defaults: limit 10, one worker, one instance.
type PoolInput struct {
	Target    Target
	Limit     Int
	Workers   Int
	Instances Int
	Surge     Surge
	Runner    MigrationRunner
	Ceiling   Ceiling
	Pooler    *Pooler
}

// Verdict is the answer of the pool math.
type Verdict int

const (
	// Unknown: no ceiling is known.
	Unknown Verdict = iota
	// Fits: demand is within what is available.
	Fits
	// LowHeadroom: it fits, but leaves less than a fifth free.
	LowHeadroom
	// Exceeds: demand is above what is available.
	Exceeds
)

func (v Verdict) String() string {
	return [...]string{"unknown", "fits", "low headroom", "exceeds"}[v]
}

// PoolResult is the worked sum. Counts saturate at 2^52.
type PoolResult struct {
	In PoolInput // with the defaults filled in and Workers as it counts for the target

	Surge   int // pods
	Job     int // connections of the migration runner
	Steady  int // L*W*R
	Rollout int // L*W*(R+S)
	Demand  int // what counts: the larger of the moments above
	Drain   int // L*W*(2R+S): old pods still draining while all new ones run

	Available      int
	AvailableKnown bool
	Verdict        Verdict
	Short          int // Demand - Available when it exceeds

	// RecLimit is the largest pool limit that fits, RecInstances the largest
	// number of instances, each with everything else as it is; 0 when none
	// does. With MaxConnections both keep 20% free.
	RecLimit     int
	RecInstances int
	// OneWorkerDemand and OneWorkerInstances answer the same with one worker
	// per pod.
	OneWorkerDemand    int
	OneWorkerInstances int

	// Behind a pooler: the two sides that replace the check above.
	PoolerClients  int // what the poolers accept
	PoolerServer   int // what the poolers open
	PoolerServerOK bool
	PoolerClientOK bool
}

// PoolLimitInput holds the places that may state a pool limit.
type PoolLimitInput struct {
	Extra Int // database_extra_connection_params.connection_limit
	Key   Int // database_connection_pool_limit
	URL   Int // connection_limit of DATABASE_URL
}

// PoolLimit is the limit that takes effect. LiteLLM overwrites the one in the
// URL even by its default; llmgw does what was written.
func PoolLimit(target Target, in PoolLimitInput) Int {
	limit := in.Extra.Or(in.Key)
	if target == LLMGW {
		limit = limit.Or(in.URL)
	}
	return limit.Or(AssumedInt(DefaultPoolLimit, "default"))
}

// Workers is the number of serving processes that counts for a target: llmgw
// is one process whatever it is told.
func Workers(target Target, stated Int) Int {
	if target == LLMGW {
		return AssumedInt(1, "one process")
	}
	return stated.Or(AssumedInt(1, "default"))
}

func (in PoolInput) filled() PoolInput {
	in.Limit = in.Limit.Or(AssumedInt(DefaultPoolLimit, "default"))
	in.Workers = Workers(in.Target, in.Workers)
	in.Instances = in.Instances.Or(AssumedInt(1, "default"))
	c := &in.Ceiling
	if c.Kind == MaxConnections && !c.Reserve.IsSet() {
		c.SuperuserReserved = c.SuperuserReserved.Or(AssumedInt(3, "superuser_reserved_connections, Postgres default"))
		c.Reserved = c.Reserved.Or(AssumedInt(0, "reserved_connections"))
		c.Other = c.Other.Or(AssumedInt(0, "other clients, not measured"))
	}
	return in
}

// available is what the gateway may use of the ceiling; it can be negative.
func (c Ceiling) available() int {
	a := min(c.N.Value, huge)
	if c.Reserve.IsSet() {
		return a - min(c.Reserve.Value, huge)
	}
	if c.Kind == MaxDBConnections {
		return a
	}
	return a - min(c.SuperuserReserved.Value, huge) - min(c.Reserved.Value, huge) - min(c.Other.Value, huge)
}

// usable is the available part times the headroom: the share times ten, so
// that no float rounds a connection away.
func (c Ceiling) usableTimes10() int {
	a := max(0, c.available())
	if c.Kind == MaxConnections {
		return a * 8
	}
	return a * 10
}

// runner is what a migration run adds. A database budget is the gateway's
// own: the Job is not counted against it.
func (in PoolInput) runner() int {
	if in.Runner == NoRunner || in.Ceiling.Kind == MaxDBConnections {
		return 0
	}
	return migrationConnections
}

// demand is the peak for a limit, workers and instances.
func (in PoolInput) demand(limit, workers, instances int) (steady, rollout, peak int) {
	steady = product(limit, workers, instances)
	rollout = product(limit, workers, sum(instances, in.Surge.Of(instances)))
	if in.Runner == HookRunner {
		return steady, rollout, max(rollout, sum(steady, in.runner()))
	}
	return steady, rollout, sum(rollout, in.runner())
}

// Pool does the pool math.
func Pool(input PoolInput) PoolResult {
	in := input.filled()
	l, w, r := in.Limit.Value, in.Workers.Value, in.Instances.Value
	res := PoolResult{In: in, Surge: in.Surge.Of(r), Job: in.runner()}
	res.Steady, res.Rollout, res.Demand = in.demand(l, w, r)
	res.Drain = product(l, w, sum(r, r, res.Surge))
	if in.Ceiling.Kind == NoCeiling {
		return res
	}
	res.Available, res.AvailableKnown = in.Ceiling.available(), true
	if in.Pooler != nil {
		return res.behindPooler()
	}
	switch {
	case res.Demand > res.Available:
		res.Verdict, res.Short = Exceeds, res.Demand-res.Available
	case res.Demand*10 > in.Ceiling.usableTimes10():
		res.Verdict = LowHeadroom
	default:
		res.Verdict = Fits
	}
	usable := in.Ceiling.usableTimes10()
	if per := product(w, sum(r, res.Surge)); per > 0 {
		if rest := usable - res.Job*10; rest > 0 {
			res.RecLimit = rest / 10 / per
		}
	}
	res.RecInstances = in.largestInstances(l, w, usable)
	_, _, res.OneWorkerDemand = in.demand(l, 1, r)
	res.OneWorkerInstances = in.largestInstances(l, 1, usable)
	return res
}

// largestInstances is the largest R for which L*W*(R+S(R)) stays within the
// usable connections. The left side grows with R, so it can be searched.
func (in PoolInput) largestInstances(limit, workers, usableTimes10 int) int {
	if product(limit, workers) == 0 {
		return 0
	}
	bound := usableTimes10/10/product(limit, workers) + 1
	return sort.Search(bound+1, func(r int) bool {
		_, rollout, _ := in.demand(limit, workers, r+1)
		return rollout*10 > usableTimes10
	})
}

func (r PoolResult) behindPooler() PoolResult {
	p := *r.In.Pooler
	if !p.known() {
		return r
	}
	p.Instances = p.Instances.Or(AssumedInt(1, "default"))
	p.Pairs = p.Pairs.Or(AssumedInt(1, "one database and user"))
	r.In.Pooler = &p
	r.PoolerClients = product(p.MaxClientConn.Value, p.Instances.Value)
	r.PoolerServer = sum(
		product(p.Instances.Value, p.Pairs.Value, sum(p.PoolSize.Value, p.ReservePool.Value)),
		p.DirectRunner.Value, p.BypassingOther.Value)
	r.PoolerClientOK = r.Demand <= r.PoolerClients
	r.PoolerServerOK = r.PoolerServer <= r.Available
	switch {
	case !r.PoolerClientOK:
		r.Verdict, r.Short = Exceeds, r.Demand-r.PoolerClients
	case !r.PoolerServerOK:
		r.Verdict, r.Short = Exceeds, r.PoolerServer-r.Available
	default:
		r.Verdict = Fits
	}
	return r
}
