//go:build !unix

package mock

import "time"

// cpuTime is not known here; the mock then does not warn about itself.
func cpuTime() (time.Duration, bool) { return 0, false }
