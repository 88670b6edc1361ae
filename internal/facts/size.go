package facts

import (
	"fmt"
	"math"
	"math/bits"
)

// GraceSlack is the least time, in seconds, between the end of the longest
// request and SIGKILL.
const GraceSlack = 10

// DefaultPreStop and DefaultShutdownMargin are render's own choice; with the
// seed page's 600 seconds they give its 620.
const (
	DefaultPreStop        = 5
	DefaultShutdownMargin = 15
)

// AutoscalerGraceCap is where Cluster Autoscaler stops waiting for a draining
// pod unless it is configured otherwise.
const AutoscalerGraceCap = 600

// GraceResult is how long a pod needs to end.
type GraceResult struct {
	Need        int // below it requests are cut
	Comfortable int // Need + GraceSlack
	Recommended int // Need + margin: what render writes
	Explanation string
}

// Grace adds up the grace period in whole seconds. With the drain endpoint
// the preStop hook and the signal handler can each wait for the longest
// request.
func Grace(request, preStop Seconds, margin Int, drainEndpoint bool) GraceResult {
	margin = margin.Or(AssumedInt(DefaultShutdownMargin, "margin"))
	t, p := request.Ceil(), preStop.Ceil()
	if drainEndpoint {
		need := sum(t, t)
		return GraceResult{Need: need, Comfortable: sum(need, GraceSlack), Recommended: sum(need, margin.Value),
			Explanation: fmt.Sprintf("2 x %s + %s = %d", request, margin, sum(need, margin.Value))}
	}
	need := sum(t, p)
	return GraceResult{Need: need, Comfortable: sum(need, GraceSlack), Recommended: sum(need, margin.Value),
		Explanation: fmt.Sprintf("%s + %s + %s = %d", preStop, request, margin, sum(need, margin.Value))}
}

// Per worker: what one serving process is given when nothing else is said.
const (
	CPUMilliPerWorker      = 1000
	MemoryPerWorkerLiteLLM = 4 << 30
	// MemoryPerWorkerLLMGW stands until a measurement replaces it.
	MemoryPerWorkerLLMGW = 1 << 30
)

// MemoryPerWorker is the memory of one worker of a target, in bytes.
func MemoryPerWorker(t Target) int64 {
	if t == LLMGW {
		return MemoryPerWorkerLLMGW
	}
	return MemoryPerWorkerLiteLLM
}

// SizeInput is what decides the size of a container. Zero means: the default
// of the target.
type SizeInput struct {
	Target            Target
	Workers           int
	CPUMilliPerWorker int64
	MemoryPerWorker   int64 // bytes
}

// SizeResult is the size of a container; requests equal limits.
type SizeResult struct {
	CPUMilli int64
	Memory   int64 // bytes
	// GoMemLimit is GOMEMLIMIT in bytes, nine tenths of the memory: the
	// runtime starts to collect harder before the kernel kills.
	GoMemLimit int64
	// GoMaxProcs is GOMAXPROCS when it must be written, else 0: the runtime
	// reads the CPU limit itself, but never goes below 2.
	GoMaxProcs int
}

// Size is cpu and memory for a container. For llmgw more workers mean more
// CPU only: it stays one process.
func Size(in SizeInput) SizeResult {
	w := int64(max(1, in.Workers))
	cpu, mem := in.CPUMilliPerWorker, in.MemoryPerWorker
	if cpu <= 0 {
		cpu = CPUMilliPerWorker
	}
	if mem <= 0 {
		mem = MemoryPerWorker(in.Target)
	}
	res := SizeResult{CPUMilli: saturate(cpu, w), Memory: saturate(mem, w)}
	if in.Target == LLMGW {
		res.Memory = mem
		res.GoMemLimit = GoMemLimit(res.Memory)
		if res.CPUMilli <= 1000 {
			res.GoMaxProcs = 1
		}
	}
	return res
}

// GoMemLimit is nine tenths of a memory limit, rounded down.
func GoMemLimit(memory int64) int64 {
	if memory <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(memory), 9)
	q, _ := bits.Div64(hi, lo, 10)
	return int64(q)
}

func saturate(a, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(lo)
}
