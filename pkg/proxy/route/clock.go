package route

import "time"

// started is what the router's clock counts from.
var started = time.Now()

// monotonic is the time since the process began, in nanoseconds. Cooldowns and
// windows live on it, so that a step of the wall clock neither ends nor prolongs
// one.
func monotonic() int64 { return int64(time.Since(started)) }

// utcMinute is the minute that pods and other gateways agree on.
func utcMinute(wall time.Time) int64 { return wall.Unix() / 60 }
