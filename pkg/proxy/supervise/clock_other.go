//go:build !linux

package supervise

func monotonicMicros() int64 { return 0 }
