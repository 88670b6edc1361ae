package facts

import (
	"fmt"
	"math"
)

// What a plan assumes where nothing is measured.
const (
	// RPSPerWorkerLiteLLM is about what LiteLLM publishes for one worker with
	// one CPU; RPSPerWorkerLLMGW is far below what llmgw bench shows. Whoever
	// has measured gives the number.
	RPSPerWorkerLiteLLM = 70
	RPSPerWorkerLLMGW   = 1000
	// PlanUtilization is the share of its capacity at which a pod is planned.
	PlanUtilization = 70
	// A pool below PlanLeastPool makes requests wait for a connection, and one
	// above PlanMostPool is not needed by one process.
	PlanLeastPool = 5
	PlanMostPool  = 20
)

// PlanInput is what a deployment is planned from.
type PlanInput struct {
	Target       Target
	RPS          Int     // at peak
	Latency      Seconds // of a typical request
	Workers      Int     // per pod
	RPSPerWorker Int
	Ceiling      Ceiling
	Surge        Surge
	Runner       MigrationRunner
	Request      Seconds // the longest request
	PreStop      Seconds
}

// PlanResult is a deployment that carries the load.
type PlanResult struct {
	In           PlanInput // with the defaults filled in
	InFlight     int       // requests at the same time, all pods together
	PerPod       int       // of them
	Replicas     int       // to carry the load
	MaxReplicas  int       // for the autoscaler
	Limit        int       // pool limit
	Pool         PoolResult
	NeedsPooler  bool // no pool of a useful size fits the database
	Size         SizeResult
	Grace        GraceResult
	Explanations []string // one line per number
}

// Plan sizes a deployment. Every number it gives fits the others: the pool
// math with its limit and its most replicas is never above the database.
func Plan(in PlanInput) PlanResult {
	in.Workers = Workers(in.Target, in.Workers)
	per := RPSPerWorkerLiteLLM
	if in.Target == LLMGW {
		per = RPSPerWorkerLLMGW
	}
	in.RPSPerWorker = in.RPSPerWorker.Or(AssumedInt(per, "assumed; measure with llmgw bench and give --rps-per-worker"))
	in.Latency = in.Latency.Or(AssumedSeconds(5, "assumed; give --latency"))
	in.Request = in.Request.Or(AssumedSeconds(600, "default"))
	in.PreStop = in.PreStop.Or(AssumedSeconds(DefaultPreStop, "preStop"))
	if !in.Surge.IsSet() {
		in.Surge = DefaultSurge()
	}
	r := PlanResult{In: in}
	r.InFlight = int(math.Ceil(float64(in.RPS.Value) * in.Latency.Value))
	pod := product(in.RPSPerWorker.Value, in.Workers.Value)
	carry := max(1, pod*PlanUtilization/100)
	r.Replicas = max(2, (in.RPS.Value+carry-1)/carry)
	r.PerPod = (r.InFlight + r.Replicas - 1) / r.Replicas
	r.Size = Size(SizeInput{Target: in.Target, Workers: in.Workers.Value})
	r.Grace = Grace(in.Request, in.PreStop, Int{}, false)
	r.MaxReplicas, r.Limit = r.fit()
	r.Pool = Pool(r.poolInput(r.MaxReplicas, r.Limit))
	r.explain()
	return r
}

func (r PlanResult) poolInput(replicas, limit int) PoolInput {
	return PoolInput{
		Target: r.In.Target, Limit: AssumedInt(limit, "planned"), Workers: r.In.Workers, Instances: AssumedInt(replicas, "planned"),
		Surge: r.In.Surge, Runner: r.In.Runner, Ceiling: r.In.Ceiling,
	}
}

// fit looks for room to scale first to twice, then to one and a half times the
// replicas, then to none; the pool gives way before the replicas do.
func (r *PlanResult) fit() (replicas, limit int) {
	most := []int{2 * r.Replicas, (3*r.Replicas + 1) / 2, r.Replicas}
	if r.In.Ceiling.Kind == NoCeiling {
		return most[0], 10
	}
	for _, least := range []int{10, PlanLeastPool} {
		for _, n := range most {
			if l := min(PlanMostPool, Pool(r.poolInput(n, 1)).RecLimit); l >= least {
				return n, l
			}
		}
	}
	r.NeedsPooler = true
	return r.Replicas, PlanLeastPool
}

func (r *PlanResult) explain() {
	in := r.In
	add := func(format string, args ...any) {
		r.Explanations = append(r.Explanations, fmt.Sprintf(format, args...))
	}
	add("in flight    %d = %s requests per second x %s", r.InFlight, in.RPS, in.Latency)
	add("replicas     %d = %s / (%s per worker x %s workers x %d%%), at least 2; %d in flight each", r.Replicas, in.RPS, in.RPSPerWorker, in.Workers, PlanUtilization, r.PerPod)
	add("maxReplicas  %d", r.MaxReplicas)
	switch {
	case r.NeedsPooler:
		add("pool limit   %d, which is too much: %s", r.Limit, r.Pool.ComparisonLine())
		add("             put a pooler in front of the database, or raise max_connections by %d", r.Pool.Short)
	case in.Ceiling.Kind == NoCeiling:
		add("pool limit   %d, which needs %d connections: give --max-connections to see whether they are there", r.Limit, r.Pool.Demand)
	default:
		add("pool limit   %d: %s", r.Limit, r.Pool.ComparisonLine())
	}
	add("cpu          %dm = %dm x %d workers, request and limit", r.Size.CPUMilli, int64(CPUMilliPerWorker), in.Workers.Value)
	add("memory       %s, request and limit", Mebibytes(r.Size.Memory))
	add("grace        %s", r.Grace.Explanation)
}

// Mebibytes writes an amount of memory as Kubernetes does.
func Mebibytes(bytes int64) string {
	if bytes%(1<<30) == 0 {
		return fmt.Sprintf("%dGi", bytes>>30)
	}
	return fmt.Sprintf("%dMi", bytes>>20)
}

// Lines are the plan as settings to paste: for the gateway's config, and for
// the pods.
func (r PlanResult) Lines() (config, pods []string) {
	config = []string{
		"general_settings:",
		fmt.Sprintf("  database_connection_pool_limit: %d", r.Limit),
	}
	if r.In.Target != LLMGW && (r.MaxReplicas >= 10 || r.In.RPS.Value >= 1000) {
		config = append(config, "  use_redis_transaction_buffer: true  # from 10 replicas or 1000 requests per second on")
	}
	config = append(config, "litellm_settings:", fmt.Sprintf("  request_timeout: %d", r.In.Request.Ceil()))
	pods = []string{
		fmt.Sprintf("replicas: %d", r.Replicas),
		fmt.Sprintf("maxReplicas: %d", r.MaxReplicas),
		fmt.Sprintf("terminationGracePeriodSeconds: %d", r.Grace.Recommended),
		"resources:",
		fmt.Sprintf("  requests: {cpu: %dm, memory: %s}", r.Size.CPUMilli, Mebibytes(r.Size.Memory)),
		fmt.Sprintf("  limits: {cpu: %dm, memory: %s}", r.Size.CPUMilli, Mebibytes(r.Size.Memory)),
	}
	return config, pods
}
