package bench

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// usage is what processes of the target have used so far, and hold now.
type usage struct {
	cpu       time.Duration
	rss, peak int64
	fds       int
	threads   int
}

func (u *usage) add(o usage) {
	u.cpu += o.cpu
	u.rss += o.rss
	u.peak += o.peak
	u.fds += o.fds
	u.threads += o.threads
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
	sample := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() == metrics.KindFloat64Histogram {
		h := sample[0].Value.Float64Histogram()
		for i, n := range h.Counts {
			// The upper edge, or the lower one of the last, unbounded bucket.
			edge := h.Buckets[i+1]
			if edge > 1e6 {
				edge = h.Buckets[i]
			}
			r.gc += float64(n) * edge
		}
	}
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
