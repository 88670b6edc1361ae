package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Seats bound the requests that this process serves at once. The zero value
// bounds nothing.
type Seats struct {
	// InFlight are served at once, Queued wait for as long as Wait.
	InFlight, Queued int
	Wait             time.Duration
}

// seats are those of one process. APIs that replace each other share them, unless
// their number has changed.
type seats struct {
	o      Seats
	free   chan struct{} // holds a token for every request that has a seat
	queued atomic.Int64
}

// seatCounts are kept for the life of the process.
type seatCounts struct {
	admitted, queued       atomic.Int64
	queueFull, queueWaited atomic.Int64
	mu                     sync.Mutex
	last                   *seats
}

// seatsFor are the seats that o asks for; nil for none.
func (c *seatCounts) seatsFor(o Seats) *seats {
	if o.InFlight <= 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || c.last.o != o {
		c.last = &seats{o: o, free: make(chan struct{}, o.InFlight)}
	}
	return c.last
}

// needsNoSeat are the paths that must answer when everything is taken.
var needsNoSeat = map[string]bool{
	"/health/liveliness": true, "/health/liveness": true, "/health/readiness": true, "/health/readiness/details": true,
	"/health/backlog": true, "/health/drain": true, "/metrics": true, "/metrics/": true,
}

// take takes a seat, or waits for one. It returns an empty text, or why there
// is none.
func (s *seats) take(ctx context.Context, c *seatCounts) string {
	select {
	case s.free <- struct{}{}:
		c.admitted.Add(1)
		return ""
	default:
	}
	if s.queued.Add(1) > int64(s.o.Queued) {
		s.queued.Add(-1)
		c.queueFull.Add(1)
		return "queue_full"
	}
	c.queued.Add(1)
	defer func() {
		s.queued.Add(-1)
		c.queued.Add(-1)
	}()
	timer := time.NewTimer(s.o.Wait)
	defer timer.Stop()
	select {
	case s.free <- struct{}{}:
		c.admitted.Add(1)
		return ""
	case <-timer.C:
		c.queueWaited.Add(1)
		return "queue_timeout"
	case <-ctx.Done():
		return "gone"
	}
}

func (s *seats) giveBack(c *seatCounts) {
	<-s.free
	c.admitted.Add(-1)
}

// overCapacity answers a request for which there is no seat.
func (a *API) overCapacity(x *exchange, why string) int {
	if why == "gone" {
		return 499
	}
	if x.r.ContentLength != 0 {
		x.w.Header()["Connection"] = closeValue
	}
	x.w.Header()["Retry-After"] = []string{"1"}
	c := &a.state.seats
	message := "Worker at capacity: " + strconv.FormatInt(c.admitted.Load(), 10) + " in-flight, " + strconv.FormatInt(c.queued.Load(), 10) + " queued requests. Retry later."
	writeJSON(x.w, http.StatusServiceUnavailable, []byte(`{"error":{"message":"`+message+`","type":"overloaded_error","code":"503"}}`))
	return http.StatusServiceUnavailable
}

// SeatsBounded reports whether requests have needed a seat since the start.
func (a *API) SeatsBounded() bool {
	c := &a.state.seats
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last != nil
}

// SeatsTaken is the state of the seats: how many are taken, how many requests wait
// for one, and how many were turned away because too many did or it took too long.
func (a *API) SeatsTaken() (admitted, queued, full, waited int64) {
	c := &a.state.seats
	return c.admitted.Load(), c.queued.Load(), c.queueFull.Load(), c.queueWaited.Load()
}
