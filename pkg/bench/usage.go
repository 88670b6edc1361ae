package bench

import (
	"runtime"
	"time"
)

// usage is what processes of the target have used so far, and hold now.
type usage struct {
	cpu       time.Duration // in ticks of 10 ms on Linux
	exact     time.Duration // to the nanosecond, without threads that ended; 0 when unknown
	rss, peak int64
	fds       int
	threads   int
}

func (u *usage) add(o usage) {
	u.cpu += o.cpu
	u.exact += o.exact
	u.rss += o.rss
	u.peak += o.peak
	u.fds += o.fds
	u.threads += o.threads
}

// since is the CPU time used between two readings: the exact one where the
// coarse one confirms it, which it does unless a thread has ended.
func (u usage) since(from usage) time.Duration {
	coarse, exact := u.cpu-from.cpu, u.exact-from.exact
	if from.exact > 0 && (coarse-exact).Abs() <= 40*time.Millisecond {
		return exact
	}
	return coarse
}

// ownReading is what the generator itself has used.
type ownReading struct {
	at    time.Time
	cpu   time.Duration
	known bool
	gc    float64 // seconds the world was stopped
}

type ownUsage struct{}

func (ownUsage) read() ownReading {
	r := ownReading{at: time.Now()}
	r.cpu, r.known = ownCPU()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.gc = time.Duration(m.PauseTotalNs).Seconds()
	return r
}

// shareSince is the part of our CPUs that we used between two readings.
func (r ownReading) shareSince(from ownReading) float64 {
	wall := r.at.Sub(from.at)
	if !r.known || !from.known || wall <= 0 {
		return 0
	}
	return float64(r.cpu-from.cpu) / float64(wall) / float64(runtime.GOMAXPROCS(0))
}

func (r ownReading) gcShareSince(from ownReading) float64 {
	wall := r.at.Sub(from.at).Seconds()
	if wall <= 0 {
		return 0
	}
	return (r.gc - from.gc) / wall
}
