// Package claim keeps what calls claim before they are sent: the deployment that
// a caller, a session or a prompt stays with, and a place among a deployment's
// requests of a minute. It keeps it in memory, and in Redis where there is one,
// under LiteLLM's keys and in its form, so that instances of both agree.
//
// Its callers wait for it, so every look into Redis is bounded, and without an
// answer an instance goes on with what it knows itself. It decides nothing:
// what a claim is good for is the router's business.
package claim

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

const (
	// DefaultPatience bounds what a call waits for Redis.
	DefaultPatience = 250 * time.Millisecond
	// countTTL is how long the counts of a minute are kept.
	countTTL = time.Minute
	// waiting bounds what is written behind the calls.
	waiting = 4096
	// mostHeld bounds the claims in memory; clients can invent sessions.
	mostHeld = 200_000
	// fresh is how long a claim that Redis has confirmed is believed without
	// asking again, at most a tenth of its life.
	fresh = 10 * time.Second
)

// Options configure Claims.
type Options struct {
	// Redis is shared with other instances; nil keeps everything in memory.
	Redis *redisconn.Guard
	// Namespace is put before keys, as LiteLLM's cache class does.
	Namespace string
	// Patience bounds what a call waits for Redis; 0 means 250 ms.
	Patience time.Duration
	Log      *slog.Logger

	now func() time.Time // replaced in tests
}

// Claims implements call.Claims.
type Claims struct {
	o       Options
	mu      sync.Mutex
	held    map[string]hold
	behind  chan func(ctx context.Context, r redis.UniversalClient) error
	refused atomic.Int64
	stop    context.CancelFunc
	done    sync.WaitGroup
}

var _ call.Claims = (*Claims)(nil)

// hold is one claim. Its times are read from a monotonic clock: a step of the
// wall clock neither ends nor prolongs a claim.
type hold struct {
	id        string
	until     time.Time
	confirmed time.Time
}

// New returns an empty store; Close it.
func New(o Options) *Claims {
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Claims{o: o, held: map[string]hold{}, stop: cancel}
	if o.Redis != nil {
		c.behind = make(chan func(context.Context, redis.UniversalClient) error, waiting)
		c.done.Go(func() { c.run(ctx) })
	}
	return c
}

// Close writes what waits and stops.
func (c *Claims) Close() {
	c.stop()
	c.done.Wait()
}

func (c *Claims) run(ctx context.Context) {
	for {
		select {
		case f := <-c.behind:
			_ = c.o.Redis.Do(context.WithoutCancel(ctx), time.Second, f)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.Background(), time.Second/2)
			defer cancel()
			for {
				select {
				case f := <-c.behind:
					_ = c.o.Redis.Do(last, time.Second/2, f)
				default:
					return
				}
			}
		}
	}
}

// later does something behind the calls; what finds no room is not done.
func (c *Claims) later(f func(context.Context, redis.UniversalClient) error) {
	select {
	case c.behind <- f:
	default:
		c.refused.Add(1)
	}
}

func (c *Claims) key(name string) string {
	return redisconn.Key(c.o.Namespace, name)
}

// value is LiteLLM's, byte for byte: its script compares texts.
func value(id string) string {
	b, _ := json.Marshal(id)
	return `{"model_id": ` + string(b) + `}`
}

// idOf reads a claim in either form that LiteLLM has written.
func idOf(text string) string {
	var v struct {
		ModelID string `json:"model_id"`
	}
	if json.Unmarshal([]byte(text), &v) == nil {
		return v.ModelID
	}
	var s string
	if json.Unmarshal([]byte(text), &s) == nil {
		return s
	}
	return ""
}

// local is what memory knows of a key.
func (c *Claims) local(key string, now time.Time) (hold, bool) {
	h, ok := c.held[key]
	if ok && !now.Before(h.until) {
		delete(c.held, key)
		return hold{}, false
	}
	return h, ok
}

func (c *Claims) keep(key string, h hold, now time.Time) {
	if _, known := c.held[key]; !known && len(c.held) >= mostHeld {
		c.makeRoom(now)
	}
	c.held[key] = h
}

// makeRoom drops what is over; when nothing is, a tenth of everything, whatever
// comes first.
func (c *Claims) makeRoom(now time.Time) {
	for key, h := range c.held {
		if !now.Before(h.until) {
			delete(c.held, key)
		}
	}
	drop := len(c.held) - mostHeld*9/10
	for key := range c.held {
		if drop--; drop < 0 {
			return
		}
		delete(c.held, key)
	}
}

// Held implements call.Claims.
func (c *Claims) Held(ctx context.Context, keys ...string) string {
	now := c.o.now()
	c.mu.Lock()
	for _, key := range keys {
		if h, ok := c.local(key, now); ok {
			c.mu.Unlock()
			return h.id
		}
	}
	c.mu.Unlock()
	if c.o.Redis == nil || len(keys) == 0 {
		return ""
	}
	id := ""
	_ = c.o.Redis.Do(ctx, c.o.Patience, func(ctx context.Context, r redis.UniversalClient) error {
		// One by one: the keys of a cluster may lie on several nodes.
		commands, err := r.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, key := range keys {
				p.Get(ctx, c.key(key))
			}
			return nil
		})
		for _, cmd := range commands {
			if got, ok := cmd.(*redis.StringCmd); ok && id == "" {
				id = idOf(got.Val())
			}
		}
		return err
	})
	return id
}

// claimScript lets the first one that claims a key have it. Who claims what is
// there already keeps it alive.
const claimScript = `local held = redis.call('GET', KEYS[1])
if held == false then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return ARGV[1]
end
if held == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return held`

// Hold implements call.Claims.
func (c *Claims) Hold(ctx context.Context, key, id string, ttl time.Duration) {
	now := c.o.now()
	c.mu.Lock()
	before, known := c.local(key, now)
	if c.o.Redis == nil {
		if !known || before.id == id {
			c.keep(key, hold{id: id, until: now.Add(ttl)}, now)
		}
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	if known && now.Sub(before.confirmed) < min(fresh, ttl/10) {
		return
	}
	winner := ""
	err := c.o.Redis.Do(ctx, c.o.Patience, func(ctx context.Context, r redis.UniversalClient) error {
		text, err := r.Eval(ctx, claimScript, []string{c.key(key)}, value(id), max(ttl, time.Millisecond).Milliseconds()).Text()
		winner = idOf(text)
		return err
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && winner != "":
		c.keep(key, hold{id: winner, until: now.Add(ttl), confirmed: now}, now)
	case !known || before.id == id:
		c.keep(key, hold{id: id, until: now.Add(ttl)}, now)
	}
}

// Put implements call.Claims.
func (c *Claims) Put(key, id string, ttl time.Duration) {
	now := c.o.now()
	c.mu.Lock()
	c.keep(key, hold{id: id, until: now.Add(ttl), confirmed: now}, now)
	c.mu.Unlock()
	if c.o.Redis != nil {
		c.later(func(ctx context.Context, r redis.UniversalClient) error {
			return r.Set(ctx, c.key(key), value(id), ttl).Err()
		})
	}
}

// add increments a counter and gives it a life if it has none yet, in one step.
const add = `local n = redis.call('INCRBYFLOAT', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return n`

// Count implements call.Claims.
func (c *Claims) Count(ctx context.Context, key string) (n int64, ok bool) {
	if c.o.Redis == nil {
		return 0, false
	}
	err := c.o.Redis.Do(ctx, c.o.Patience, func(ctx context.Context, r redis.UniversalClient) error {
		text, err := r.Eval(ctx, add, []string{c.key(key)}, 1, countTTL.Milliseconds()).Text()
		n = number(text)
		return err
	})
	return n, err == nil
}

// Spent implements call.Claims.
func (c *Claims) Spent(ctx context.Context, key string) (n int64, ok bool) {
	if c.o.Redis == nil {
		return 0, false
	}
	err := c.o.Redis.Do(ctx, c.o.Patience, func(ctx context.Context, r redis.UniversalClient) error {
		text, err := r.Get(ctx, c.key(key)).Result()
		n = number(text)
		if err == redis.Nil {
			return nil
		}
		return err
	})
	return n, err == nil
}

// Spend implements call.Claims.
func (c *Claims) Spend(key string, n int64) {
	if c.o.Redis != nil && n > 0 {
		c.later(func(ctx context.Context, r redis.UniversalClient) error {
			return r.Eval(ctx, add, []string{c.key(key)}, n, countTTL.Milliseconds()).Err()
		})
	}
}

// number reads a counter; 0 is what is none.
func number(text string) int64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1e15) {
		return 0
	}
	return int64(f)
}
