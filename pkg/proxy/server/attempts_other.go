//go:build !linux

package server

import "net"

// endListening does nothing here.
func endListening(net.Listener) {}

// ignoreAttempts is not possible here: a connection that is being made at the
// very moment at which the listener closes is reset.
func ignoreAttempts(net.Listener) bool { return false }
