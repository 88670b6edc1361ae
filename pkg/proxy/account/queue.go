// Package account takes finished calls off the hot path and counts them. A call
// is handed over as one value; what becomes of it (counters now, spend rows with
// a database) happens on another goroutine, in batches. It never makes a request
// wait: when it cannot keep up it refuses, and counts what it refused.
package account

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Options configure a Queue.
type Options struct {
	// Sink takes batches, one at a time. The slice is reused after it returns.
	Sink func(batch []call.Call)
	// Refused is told of a call that finds no room; it may be nil.
	Refused func(c *call.Call)
	// Capacity bounds the calls that wait, over all shards; 0 means 65536.
	Capacity int
	// Delay is how long calls are collected before they are handed over; 0
	// means 200 ms.
	Delay time.Duration
}

// Queue is a bounded queue in shards, so that requests on different CPUs do not
// meet. Each shard has a lock, held for one copy.
type Queue struct {
	sink    func([]call.Call)
	delay   time.Duration
	shards  []shard
	limit   int
	refuse  func(*call.Call)
	refused atomic.Int64
	wake    chan struct{}
	flush   chan chan struct{}
	stop    chan struct{}
	done    chan struct{}
}

type shard struct {
	mu      sync.Mutex
	waiting []call.Call
	_       [64]byte
}

// NewQueue starts a queue; Close it.
func NewQueue(o Options) *Queue {
	if o.Capacity <= 0 {
		o.Capacity = 1 << 16
	}
	if o.Delay <= 0 {
		o.Delay = 200 * time.Millisecond
	}
	n := min(4*runtime.GOMAXPROCS(0), 64)
	q := &Queue{
		sink:   o.Sink,
		refuse: o.Refused,
		delay:  o.Delay,
		shards: make([]shard, n),
		limit:  max(o.Capacity/n, 1),
		wake:   make(chan struct{}, 1),
		flush:  make(chan chan struct{}),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	go q.run()
	return q
}

// Record hands over a finished call by value.
func (q *Queue) Record(c *call.Call) {
	s := &q.shards[rand.Uint32()%uint32(len(q.shards))] //nolint:gosec // spreads load, no secret
	s.mu.Lock()
	n := len(s.waiting)
	if n < q.limit {
		s.waiting = append(s.waiting, *c)
	}
	s.mu.Unlock()
	switch {
	case n >= q.limit:
		q.refused.Add(1)
		if q.refuse != nil {
			q.refuse(c)
		}
	case n == 0, n == q.limit/2:
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// Refused is the number of calls that found no room.
func (q *Queue) Refused() int64 { return q.refused.Load() }

// Flush hands over what waits, and returns when that is done.
func (q *Queue) Flush() {
	done := make(chan struct{})
	select {
	case q.flush <- done:
		select {
		case <-done:
		case <-q.done:
		}
	case <-q.done:
	}
}

// Close hands over what waits and stops. No Record may follow.
func (q *Queue) Close() {
	close(q.stop)
	<-q.done
}

// run sleeps while nothing waits, so that an idle gateway does not wake up.
func (q *Queue) run() {
	defer close(q.done)
	var spare []call.Call
	for {
		select {
		case <-q.wake:
		case done := <-q.flush:
			spare = q.drain(spare)
			close(done)
			continue
		case <-q.stop:
			q.drain(spare)
			return
		}
		timer := time.NewTimer(q.delay)
		var done chan struct{}
		select {
		case <-timer.C:
		case <-q.wake: // a shard is half full
		case done = <-q.flush:
		case <-q.stop:
		}
		timer.Stop()
		spare = q.drain(spare)
		if done != nil {
			close(done)
		}
	}
}

// drain hands over every shard's calls, and returns an empty slice for the next
// round.
func (q *Queue) drain(spare []call.Call) []call.Call {
	for i := range q.shards {
		s := &q.shards[i]
		s.mu.Lock()
		batch := s.waiting
		s.waiting = spare
		s.mu.Unlock()
		if len(batch) > 0 {
			q.sink(batch)
			clear(batch)
		}
		spare = batch[:0]
		if cap(spare) > 4096 {
			spare = nil // a burst must not pin its memory
		}
	}
	return spare
}
