//go:build !unix

package bench

import "time"

// ownCPU is not known here; the report then says nothing about the generator.
func ownCPU() (time.Duration, bool) { return 0, false }

func openFiles() uint64 { return 0 }
