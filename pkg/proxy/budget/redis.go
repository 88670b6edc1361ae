package budget

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/litellm/pyfmt"
	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/redis/go-redis/v9"
)

const (
	// bound is the deadline of one exchange with Redis, which no request waits for.
	bound = time.Second
	// batch is how many budgets one exchange takes.
	batch = 250
	// longest is what a sum or a time in Redis may be to be believed.
	longest = 1e15
)

func (l *Limiter) run(ctx context.Context) {
	ticker := time.NewTicker(l.o.Interval)
	defer ticker.Stop()
	l.Sync(ctx)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.Background(), bound/2)
			l.Sync(last)
			cancel()
			return
		case <-ticker.C:
			l.Sync(ctx)
		}
	}
}

// Sync tells Redis what has been spent here, and learns the sums.
func (l *Limiter) Sync(ctx context.Context) {
	l.reading.Lock()
	defer l.reading.Unlock()
	list := l.table.Load().order
	for len(list) > 0 && ctx.Err() == nil {
		some := list[:min(batch, len(list))]
		list = list[len(some):]
		if l.exchange(ctx, some) != nil {
			return
		}
	}
}

func (l *Limiter) key(name string) string {
	return redisconn.Key(l.o.Namespace, name)
}

// told is what one exchange tells of one budget.
type told struct {
	spend     float64
	since     time.Time
	fresh     bool // the window begins with this exchange
	absent    bool // Redis knows of none, others may begin it at the same time
	own       float64
	increment *redis.FloatCmd
	get       *redis.StringCmd
}

// exchange reads when windows began, begins those that have not, adds what waits
// and reads the sums. What Redis did not answer waits for the next time.
func (l *Limiter) exchange(ctx context.Context, list []*entry) error {
	starts := make([]*redis.StringCmd, len(list))
	err := l.o.Redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		return outside(r.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, e := range list {
				starts[i] = p.Get(ctx, l.key(e.begins))
			}
			return nil
		}))
	})
	if err != nil {
		return err
	}
	now := l.o.now()
	tells := make([]told, len(list))
	l.mu.Lock()
	for i, e := range list {
		if int64(l.o.mono()) >= e.until.Load() {
			e.pending = 0
			l.begin(e, now, 0)
		}
		t := &tells[i]
		var known bool
		t.since, known = began(starts[i].Val(), now)
		switch {
		case !known:
			// A Redis that has lost its keys learns what is known here.
			t.absent, t.since, t.own = starts[i].Val() == "" && errors.Is(starts[i].Err(), redis.Nil), e.since, e.current(l.o.mono())-e.pending
			t.fresh = !t.absent
		case !e.Window.After(t.since).After(now):
			t.fresh, t.since = true, now
		}
		t.spend, e.pending = e.pending, 0
	}
	l.mu.Unlock()
	err = l.o.Redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		return outside(r.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, e := range list {
				t, key := &tells[i], l.key(e.spendKey)
				left := min(e.Window.After(t.since).Sub(now), e.Window.Length(now))
				left = max(left.Truncate(time.Second), time.Second)
				start := pyfmt.Float(float64(t.since.UnixMicro()) / 1e6)
				switch {
				case t.fresh:
					p.Set(ctx, l.key(e.begins), start, left)
					p.Set(ctx, key, pyfmt.Float(t.own+t.spend), left)
				case t.absent:
					p.SetNX(ctx, l.key(e.begins), start, left)
					p.SetNX(ctx, key, pyfmt.Float(max(t.own, 0)), left)
				}
				if !t.fresh && t.spend > 0 {
					t.increment = p.IncrByFloat(ctx, key, t.spend)
					p.Expire(ctx, key, left)
				}
				t.get = p.Get(ctx, key)
			}
			return nil
		}))
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range list {
		t := &tells[i]
		if err != nil {
			e.pending += t.spend // as in LiteLLM: rather twice than never
			continue
		}
		l.learn(ctx, e, t)
	}
	return err
}

// learn takes over the sum that all instances have.
func (l *Limiter) learn(ctx context.Context, e *entry, t *told) {
	sum, ok := amount(t.get.Val())
	switch {
	case ok:
		l.begin(e, t.since, sum+e.pending)
	case t.increment != nil && t.increment.Err() != nil || t.get.Err() != nil && !errors.Is(t.get.Err(), redis.Nil), t.get.Val() != "":
		// Something else lies under the key: this instance's sum takes its place.
		own, key := e.current(l.o.mono()), l.key(e.spendKey)
		left := max(e.Window.After(t.since).Sub(l.o.now()).Truncate(time.Second), time.Second)
		_ = l.o.Redis.Do(context.WithoutCancel(ctx), bound, func(ctx context.Context, r redis.UniversalClient) error {
			return r.Set(ctx, key, pyfmt.Float(own-e.pending), left).Err()
		})
	}
}

// outside is the error of an exchange that Redis did not answer; what it says of a
// single command is read there.
func outside(commands []redis.Cmder, err error) error {
	var answer redis.Error
	if err == nil || errors.As(err, &answer) {
		return nil
	}
	return err
}

// amount reads a sum of dollars.
func amount(s string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.Trim(s, "\"' \t\n"), 64)
	return f, err == nil && f >= 0 && f <= longest
}

// began reads when a window began. A time in the future, which the clock of
// another machine may write, is now.
func began(s string, now time.Time) (time.Time, bool) {
	f, ok := amount(s)
	if !ok || f <= 0 || f > 1e11 {
		return time.Time{}, false
	}
	at := time.UnixMicro(int64(math.Round(f * 1e6)))
	if at.After(now) {
		at = now
	}
	return at, true
}
