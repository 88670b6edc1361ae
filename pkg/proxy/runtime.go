package proxy

import (
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent suits a process whose live heap is small beside its traffic: less
// than half the collections of Go's default for a few megabytes.
const gcPercent = 400

// memoryShare of the container's limit is given to Go's heap: the rest is for
// stacks, buffers of the kernel and fragmentation.
const memoryShare = 0.9

// TuneRuntime sets the garbage collector for a gateway. What the operator has
// set by GOGC or GOMEMLIMIT stays.
func TuneRuntime(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if getenv("GOMEMLIMIT") == "" {
		if limit, ok := memoryLimit(os.ReadFile); ok {
			debug.SetMemoryLimit(int64(float64(limit) * memoryShare))
		}
	}
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
