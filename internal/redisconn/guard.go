package redisconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Defaults of LiteLLM's circuit breaker.
const (
	DefaultFailures = 5
	DefaultRecovery = 60 * time.Second
)

// ErrOpen says that Redis has failed too often lately and is left alone.
var ErrOpen = errors.New("redis is left alone for a while after repeated failures")

// GuardOptions configure a Guard.
type GuardOptions struct {
	// Failures in a row open the circuit for Recovery; 0 means 5 and 60 s.
	Failures int
	Recovery time.Duration
	// Report is told when the circuit opens, with the cause, and when it closes,
	// with nil. It may be nil and must not block.
	Report func(err error)
	// Skipped is told of every use that does not happen; nil for nobody.
	Skipped func()
}

// Circuit is what a Guard has done so far.
type Circuit struct {
	// Open says that Redis is left alone, HalfOpen that one caller tries it.
	Open, HalfOpen bool
	// Opened, Tried and Closed are how often it turned to each state.
	Opened, Tried, Closed int64
	// Timeouts and Refusals are the failures that counted.
	Timeouts, Refusals int64
}

// Guard keeps a Redis that is gone, slow or hanging from costing more than a
// stated time: every use has a bound, and after some failures there is no use
// at all for a while. Then one caller tries, and the others go on without.
type Guard struct {
	client   redis.UniversalClient
	o        GuardOptions
	start    time.Time
	failures atomic.Int64
	// opened is when the circuit opened, since start, or 0.
	opened  atomic.Int64
	trying  atomic.Bool
	skipped atomic.Int64
	// what Circuit tells: touched where something fails, not on the way of uses.
	opens, tries, closes, timeouts, refusals atomic.Int64
}

// NewGuard guards a client.
func NewGuard(client redis.UniversalClient, o GuardOptions) *Guard {
	if o.Failures <= 0 {
		o.Failures = DefaultFailures
	}
	if o.Recovery <= 0 {
		o.Recovery = DefaultRecovery
	}
	return &Guard{client: client, o: o, start: time.Now().Add(-time.Second)}
}

// Do runs f with the client and a deadline. The client's own timeouts may be
// longer; f's context is what bounds it.
func (g *Guard) Do(ctx context.Context, bound time.Duration, f func(context.Context, redis.UniversalClient) error) error {
	if err := ctx.Err(); err != nil {
		return err // the caller has no time left
	}
	probe := false
	if opened := g.opened.Load(); opened != 0 {
		if time.Since(g.start)-time.Duration(opened) < g.o.Recovery || !g.trying.CompareAndSwap(false, true) {
			g.skipped.Add(1)
			if g.o.Skipped != nil {
				g.o.Skipped()
			}
			return ErrOpen
		}
		probe = true
		g.tries.Add(1)
		defer g.trying.Store(false)
	}
	limited, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	err := f(limited, g.client)
	switch {
	case err == nil, errors.Is(err, redis.Nil), answered(err):
		g.failures.Store(0)
		if g.opened.Swap(0) != 0 {
			g.closes.Add(1)
			if g.o.Report != nil {
				g.o.Report(nil)
			}
		}
	case ctx.Err() != nil:
		// The caller has given up; that says nothing about Redis.
	default:
		n := g.failures.Add(1)
		if TimedOut(err) {
			g.timeouts.Add(1)
		} else {
			g.refusals.Add(1)
		}
		if probe || n >= int64(g.o.Failures) {
			was := g.opened.Swap(int64(time.Since(g.start)))
			if was == 0 || probe {
				g.opens.Add(1)
			}
			if was == 0 && g.o.Report != nil {
				g.o.Report(err)
			}
		}
	}
	return err
}

// TimedOut reports whether an error says that Redis did not answer in time.
func TimedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// answered reports whether an error is the server's answer to the command: a
// server that answers is there.
func answered(err error) bool {
	var e redis.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, prefix := range []string{"LOADING", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "TRYAGAIN", "NOAUTH", "WRONGPASS", "OOM", "MISCONF", "BUSY"} {
		if strings.HasPrefix(e.Error(), prefix) {
			return false
		}
	}
	return true
}

// Open reports whether Redis is left alone at the moment.
func (g *Guard) Open() bool { return g.opened.Load() != 0 }

// Circuit returns what has happened so far.
func (g *Guard) Circuit() Circuit {
	open := g.opened.Load() != 0
	return Circuit{
		Open: open, HalfOpen: open && g.trying.Load(),
		Opened: g.opens.Load(), Tried: g.tries.Load(), Closed: g.closes.Load(), Timeouts: g.timeouts.Load(), Refusals: g.refusals.Load(),
	}
}

// Skipped is how many uses did not happen because the circuit was open.
func (g *Guard) Skipped() int64 { return g.skipped.Load() }

// Client is the client without the guard, for what an operator asks for.
func (g *Guard) Client() redis.UniversalClient { return g.client }

// MinimumVersion is the oldest Redis that is supported.
const MinimumVersion = 7

// Version asks the server for its version.
func (g *Guard) Version(ctx context.Context, bound time.Duration) (text string, major int, err error) {
	err = g.Do(ctx, bound, func(ctx context.Context, c redis.UniversalClient) error {
		info, err := c.Info(ctx, "server").Result()
		if err != nil {
			return err
		}
		for line := range strings.Lines(info) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
				text = v
				head, _, _ := strings.Cut(v, ".")
				major, err = strconv.Atoi(head)
				return err
			}
		}
		return fmt.Errorf("the server's INFO names no version")
	})
	return text, major, err
}
