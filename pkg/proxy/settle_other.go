//go:build !linux

package proxy

import "runtime/debug"

// SettleMemory gives back what only the start needed. Call it once, when the
// gateway serves.
func SettleMemory() { debug.FreeOSMemory() }
