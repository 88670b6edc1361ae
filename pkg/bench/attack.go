package bench

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// run is one measurement in progress.
type run struct {
	plan     *Plan
	ctx      context.Context
	tls      *tls.Config
	dialer   func(ctx context.Context) (net.Conn, error)
	requests [][]*request // by scenario
	weights  []float64    // cumulative, the last is 1
	keys     keyring

	base        time.Time
	from        time.Duration
	to          atomic.Int64  // end of the window; below 0 while a number of requests ends it
	slack       time.Duration // spin for so long before a start that is due
	shards      []*shard
	echo        atomic.Bool // the target's upstream writes our nonce into its answers
	validateAll bool
	keep        int // bytes of each body that are kept for a look

	next      atomic.Uint64 // request numbers
	sent      atomic.Uint64
	measured  atomic.Uint64 // requests that began in the window, when a number ends it
	inflight  atomic.Int64
	stallGap  atomic.Int64 // microseconds: a gap above it is a stall
	median    atomic.Int64 // microseconds between content events, from the last tick
	stop      atomic.Bool
	stopped   chan struct{}
	stopOnce  sync.Once
	cut       atomic.Bool // the drain is over: what fails now was ended by us
	unfinish  atomic.Uint64
	unsent    atomic.Uint64
	abandoned atomic.Uint64
	backwards atomic.Bool

	connMu sync.Mutex
	conns  map[net.Conn]struct{}
}

func (r *run) dial(ctx context.Context) (net.Conn, error) { return r.dialer(ctx) }

// track remembers open connections, so that an abort can end what they wait for.
func (r *run) track(c net.Conn, open bool) {
	r.connMu.Lock()
	defer r.connMu.Unlock()
	if open {
		r.conns[c] = struct{}{}
		if r.cut.Load() {
			_ = c.SetDeadline(time.Unix(1, 0))
		}
	} else {
		delete(r.conns, c)
	}
}

// cutAll ends every request in flight.
func (r *run) cutAll() {
	r.cut.Store(true)
	r.connMu.Lock()
	defer r.connMu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
}

// nonce is the mark of request i, the same for the same seed.
func (r *run) nonce(i uint64) (n [16]byte) {
	const digits = "0123456789abcdef"
	x := r.plan.Seed*0x9e3779b97f4a7c15 + i + 1
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	for j := range n {
		n[j] = digits[x>>(60-4*j)&15]
	}
	return n
}

// pick chooses the request to send as number i: scenario and prompt depend on
// the seed and i alone.
func (r *run) pick(i uint64) *request {
	s := 0
	if len(r.weights) > 1 {
		n := r.nonce(i)
		var x uint32
		for _, c := range n[:6] {
			x = x<<4 | uint32(c&15)
		}
		u := float64(x) / (1 << 24)
		for s < len(r.weights)-1 && u >= r.weights[s] {
			s++
		}
	}
	list := r.requests[s]
	if len(list) == 1 {
		return list[0]
	}
	if r.plan.Payload.Shuffle {
		return list[rand.New(rand.NewPCG(r.plan.Seed, i)).IntN(len(list))]
	}
	return list[i%uint64(len(list))]
}

// patience is how long request i waits for its answer: as long as it may, or
// less for the share of requests whose users leave.
func (r *run) patience(i uint64) time.Duration {
	p := r.plan
	if p.Abandon <= 0 || r.validateAll { // the preflight waits
		return p.RequestTimeout
	}
	rng := rand.New(rand.NewPCG(p.Seed, ^i))
	if rng.Float64() >= p.Abandon {
		return p.RequestTimeout
	}
	return min(time.Duration(rng.Int64N(int64(p.AbandonWithin))+1), p.RequestTimeout-1)
}

// stallLimit is how long a stream may be silent.
func (r *run) stallLimit() time.Duration {
	if r.plan.Stall > 0 {
		return r.plan.Stall
	}
	return max(5*time.Second, 10*time.Duration(r.median.Load())*time.Microsecond)
}

// halt lets no further request begin.
func (r *run) halt() {
	r.stopOnce.Do(func() {
		r.stop.Store(true)
		close(r.stopped)
	})
}

func (r *run) window() window { return window{r.from, time.Duration(r.to.Load())} }

// counts reports whether a finished request belongs to the measurement. In an
// open loop that is decided by its intended start, so that a slow one cannot
// leave the statistics by ending late; in a closed loop by its end.
func (r *run) counts(res *Result) bool {
	w := r.window()
	switch {
	case r.plan.Open():
		return w.holds(res.Sched)
	case w.to < 0 || r.plan.Requests > 0:
		return res.Start >= w.from
	}
	return w.holds(res.End)
}

// one sends request i on c and records it.
func (r *run) one(c *client, s *shard, i uint64, sched time.Duration) *Result {
	r.inflight.Add(1)
	r.sent.Add(1)
	res := c.do(r.pick(i), i, sched)
	r.inflight.Add(-1)
	if res.End < res.Start {
		r.backwards.Store(true)
	}
	if res.Cut {
		r.unfinish.Add(1)
		return &res
	}
	if res.Abandoned {
		r.abandoned.Add(1)
		return &res
	}
	g := len(r.plan.SLO) > 0 && res.Err == OK && good(r.plan.SLO, &res, c.gaps)
	s.mu.Lock()
	if r.counts(&res) {
		s.metrics[res.Scenario].add(&res, c.gaps, r.window(), r.stallGap.Load(), g)
		s.example(res.Err, res.Status, res.Detail)
	}
	if res.Err == OK {
		s.recentOK++
		s.recent.record((res.End - res.Sched).Microseconds())
	} else {
		s.recentErr++
	}
	s.mu.Unlock()
	return &res
}

// closed runs one user of a closed loop.
func (r *run) closed(user int) {
	c := &client{r: r}
	defer c.drop()
	s := r.shards[user%len(r.shards)]
	think := r.plan.Think
	rng := rand.New(rand.NewPCG(r.plan.Seed, uint64(user)+1))
	for !r.stop.Load() {
		now := time.Since(r.base)
		if r.plan.Requests > 0 && now >= r.from && r.measured.Add(1) > r.plan.Requests {
			r.halt()
			return
		}
		res := r.one(c, s, r.next.Add(1)-1, now)
		pause := think[0]
		if think[1] > think[0] {
			pause += time.Duration(rng.Int64N(int64(think[1] - think[0])))
		}
		if res.Err == Connect || res.Err == Generator {
			pause = max(pause, 20*time.Millisecond) // do not spin against a closed door
		}
		if pause > 0 && !r.sleep(pause) {
			return
		}
	}
}

// sleep waits; false means that the run stopped meanwhile.
func (r *run) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.stopped:
		return false
	}
}

type job struct {
	i     uint64
	sched time.Duration
}

// open paces requests: each is handed to an idle sender, or to a new one while
// fewer than MaxInflight exist, or waits for one. Its intended start stays what
// the schedule says, however late it is sent.
func (r *run) open(pacer Pacer) {
	jobs := make(chan job)
	var senders sync.WaitGroup
	var idle atomic.Int64
	count := 0
	defer func() {
		close(jobs)
		senders.Wait()
	}()
	for last := time.Duration(0); ; {
		at := pacer.Next()
		if to := time.Duration(r.to.Load()); to >= 0 && at > to {
			<-r.stopped // nothing is due any more; the end of the window halts the run
			return
		}
		if r.plan.Requests > 0 && at >= r.from && r.measured.Add(1) > r.plan.Requests {
			r.halt()
			return
		}
		if !r.until(at, at-last) {
			r.overdue(at, pacer)
			return
		}
		last = at
		j := job{r.next.Add(1) - 1, at}
		if idle.Load() <= 0 && count < r.plan.MaxInflight {
			n := count
			count++
			senders.Go(func() {
				c := &client{r: r}
				defer c.drop()
				s := r.shards[n%len(r.shards)]
				for {
					r.one(c, s, j.i, j.sched)
					idle.Add(1)
					var ok bool
					if j, ok = <-jobs; !ok {
						return
					}
				}
			})
			continue
		}
		select {
		case jobs <- j:
			idle.Add(-1)
		case <-r.stopped:
			r.overdue(at, pacer)
			return
		}
	}
}

// overdue counts what the schedule held until the end and was not sent.
func (r *run) overdue(at time.Duration, pacer Pacer) {
	for to := time.Duration(r.to.Load()); at <= to; at = pacer.Next() {
		r.unsent.Add(1)
	}
}

// until waits for the offset at. Timers wake late by about as much as a fast
// request takes, so the last stretch is spent yielding, unless requests follow
// each other so fast that it would cost a CPU.
func (r *run) until(at, gap time.Duration) bool {
	slack := r.slack
	if gap < 10*slack {
		slack = 0
	}
	if d := at - time.Since(r.base); d > slack {
		if !r.sleep(d - slack) {
			return false
		}
	}
	for time.Since(r.base) < at {
		if r.stop.Load() {
			return false
		}
		runtime.Gosched()
	}
	return !r.stop.Load()
}
