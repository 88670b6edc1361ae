//go:build !unix

package upstream

// nothingToRead cannot tell here: a connection that has died shows at its next
// use, and the request is sent anew.
func nothingToRead(uintptr) bool { return true }
