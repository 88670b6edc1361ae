package supervise

import "golang.org/x/sys/unix"

func monotonicMicros() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano() / 1000
}
