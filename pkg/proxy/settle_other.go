//go:build !linux

package proxy

import "runtime/debug"

// SettleMemory gives back what only the start or a reload needed. It collects
// garbage; call it when that is over, not while it goes on.
func SettleMemory() { debug.FreeOSMemory() }
