package proxy

import (
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// The garbage collector of a gateway. An idle one has a few megabytes alive,
// beside which traffic makes much garbage: Go's default of collecting when the
// heap has doubled would collect all the time. One that holds a thousand
// streams has tens of megabytes alive and makes little. So the heap may grow to
// a size, and above it by a share.
const (
	gcHeap       = 32 << 20 // bytes, live and garbage, of a small heap
	gcMaxPercent = 400
	gcMinPercent = 20
)

// memoryShare of the container's limit is given to Go's heap: the rest is for
// stacks, buffers of the kernel and fragmentation.
const memoryShare = 0.9

// TuneRuntime sets the garbage collector for a gateway. What the operator has
// set by GOGC or GOMEMLIMIT stays.
func TuneRuntime(getenv func(string) string) {
	if getenv("GOGC") == "" {
		tuneCollector()
	}
	if getenv("GOMEMLIMIT") == "" {
		if limit, ok := memoryLimit(os.ReadFile); ok {
			debug.SetMemoryLimit(int64(float64(limit) * memoryShare))
		}
	}
}

// tuneCollector sets the percentage now and after every collection.
func tuneCollector() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	current := 0
	var after func(*collection)
	after = func(*collection) {
		metrics.Read(live)
		if p := gcPercent(live[0].Value.Uint64()); p != current {
			current = p
			debug.SetGCPercent(p)
		}
		// The next collection finds this unreachable, and calls again.
		runtime.SetFinalizer(&collection{}, after)
	}
	after(nil)
}

// collection is garbage from the start. It holds a pointer, so that it has its
// own place in memory and does not live on with a neighbour.
type collection struct{ _ *byte }

// gcPercent is the garbage to allow beside a live heap, in percent of it.
func gcPercent(live uint64) int {
	p := uint64(0)
	if live < gcHeap {
		p = (gcHeap - live) * 100 / max(live, 1)
	}
	p = min(max(p, gcMinPercent), gcMaxPercent)
	return int(p / 5 * 5) // a change costs a moment's stop
}

// memoryLimit reads the limit of the process's control group, of either
// version.
func memoryLimit(read func(string) ([]byte, error)) (int64, bool) {
	own, _ := read("/proc/self/cgroup")
	files := []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0":
			files = append(files, path.Join("/sys/fs/cgroup", parts[2], "memory.max"))
		case strings.Contains(","+parts[1]+",", ",memory,"):
			files = append(files, path.Join("/sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"))
		}
	}
	least := int64(0)
	for _, file := range files {
		text, err := read(file)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		// "max" is no number, and version 1 writes a huge one for no limit.
		if err == nil && n > 0 && n < 1<<60 && (least == 0 || n < least) {
			least = n
		}
	}
	return least, least > 0
}
