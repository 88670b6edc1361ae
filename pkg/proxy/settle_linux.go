package proxy

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// SettleMemory gives back what only the start or a reload needed: the heap of
// reading the configuration, and the pages of the program file that initialised
// packages the gateway does not use (rendering, linting). Pages that are needed
// again come back from the page cache by themselves. It collects garbage; call it
// when that is over, not while it goes on.
func SettleMemory() {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for _, r := range programRanges(string(maps), program) {
		// Only mappings of the file that nobody can have written to: their
		// contents are the file's.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, r[0], r[1]-r[0], unix.MADV_DONTNEED)
	}
}

// programRanges are the address ranges of read-only mappings of a file.
func programRanges(maps, program string) (out [][2]uintptr) {
	for line := range strings.Lines(maps) {
		f := strings.Fields(line)
		if len(f) < 6 || strings.Join(f[5:], " ") != program || f[1] != "r-xp" && f[1] != "r--p" {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && begin < end {
			out = append(out, [2]uintptr{uintptr(begin), uintptr(end)})
		}
	}
	return out
}
