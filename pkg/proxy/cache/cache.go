// Package cache answers what has been answered before, as LiteLLM's response
// cache does: in the memory of this process, in Redis, or in both. It knows
// requests and answers as bytes; what an answer means is not its business,
// except that a stream is stored as the few events a client needs.
//
// It never fails a request, and never delays one by more than Options.Patience:
// Redis is read under a deadline and behind a circuit breaker, and written by
// goroutines of its own from a bounded queue.
package cache

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// Defaults.
const (
	DefaultMemoryTTL  = 600 * time.Second
	DefaultRedisTTL   = 60 * time.Second
	DefaultMemorySize = 64 << 20
	// DefaultPatience is the longest that a request waits for Redis.
	DefaultPatience = 250 * time.Millisecond
	// maxAnswer is the longest answer that is kept.
	maxAnswer = 4 << 20
)

// Options configure a Cache.
type Options struct {
	// Redis is the shared level; nil keeps answers in memory alone. The cache
	// does not close it.
	Redis *redisconn.Guard
	// Patience bounds the wait for Redis; 0 means 250 ms.
	Patience time.Duration
	// Memory is the size of the level in memory in bytes; 0 means 64 MiB. With
	// Redis there is such a level only when MemoryTTL is set.
	Memory int64
	// MaxItem is the size of the largest entry there; 0 means what fits.
	MaxItem int64
	// TTL is cache_params.ttl, MemoryTTL default_in_memory_ttl, RedisTTL
	// default_in_redis_ttl; 0 means not set.
	TTL, MemoryTTL, RedisTTL time.Duration
	// Namespace is cache_params.namespace.
	Namespace string
	// OptIn is mode: default_off: only requests that ask for it use the cache.
	OptIn bool
	// CallTypes is supported_call_types; nil means all.
	CallTypes []string
	// Groups is caching_groups: models that share answers, each with the name of
	// its group.
	Groups map[string]string
	// Scope says who shares answers: everybody when empty, else those of one
	// "key" or one "team".
	Scope string
	// Kind is cache_params.type, for the answers of the admin endpoints.
	Kind string
	Log  *slog.Logger
}

// Cache implements wire.Cache.
type Cache struct {
	o      Options
	memory *memory
	shared *shared

	hits, misses atomic.Int64
}

var _ wire.Cache = (*Cache)(nil)

// New starts a cache; Close it.
func New(o Options) *Cache {
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemorySize
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cache{o: o}
	if o.Redis == nil || o.MemoryTTL > 0 {
		c.memory = newMemory(o.Memory, o.MaxItem)
	}
	if o.Redis != nil {
		c.shared = newShared(o)
	}
	return c
}

// Close writes what waits for Redis, for a short while, and stops.
func (c *Cache) Close() {
	if c.shared != nil {
		c.shared.close()
	}
}

// MaxAnswer implements wire.Cache.
func (c *Cache) MaxAnswer() int { return maxAnswer }

// Stats are counters since the start.
type Stats struct {
	Hits, Misses int64
	// Refused is how many answers were not written to Redis because the queue
	// was full, Skipped how many uses the circuit breaker did not let through.
	Refused, Skipped int64
	MemoryBytes      int64
	MemoryEntries    int
}

// Stats returns the counters.
func (c *Cache) Stats() Stats {
	s := Stats{Hits: c.hits.Load(), Misses: c.misses.Load()}
	if c.memory != nil {
		s.MemoryEntries, s.MemoryBytes = c.memory.size()
	}
	if c.shared != nil {
		s.Refused, s.Skipped = c.shared.refused.Load(), c.o.Redis.Skipped()
	}
	return s
}

// Supports reports whether calls of a kind are cached.
func (c *Cache) Supports(kind string) bool {
	return c.o.CallTypes == nil || slices.Contains(c.o.CallTypes, kind) || slices.Contains(c.o.CallTypes, "a"+kind)
}

// Lookup implements wire.Cache.
func (c *Cache) Lookup(ctx context.Context, q *wire.CacheQuery, t *wire.CacheTicket) (*wire.CacheHit, *call.Error) {
	control, read, err := c.begin(q, t)
	if err != nil || !read && !t.Keep {
		return nil, err
	}
	t.Key = c.key(q, control, nil)
	if !read {
		return nil, nil
	}
	return c.judge(c.get(ctx, t.Key), control), nil
}

// LookupParts implements wire.Cache.
func (c *Cache) LookupParts(ctx context.Context, q *wire.CacheQuery, elements [][]byte, t *wire.CacheTicket) ([]*wire.CacheHit, *call.Error) {
	control, read, err := c.begin(q, t)
	if err != nil || !read && !t.Keep {
		return nil, err
	}
	t.Parts = make([]string, len(elements))
	for i, e := range elements {
		t.Parts[i] = c.key(q, control, e)
	}
	t.Key = t.Parts[0]
	hits := make([]*wire.CacheHit, len(elements))
	if !read {
		return hits, nil
	}
	for i, e := range c.getAll(ctx, t.Parts) {
		hits[i] = c.judge(e, control)
	}
	return hits, nil
}

// begin reads what a request says about the cache, and fills in the ticket but
// for the key. It says whether entries may be read.
func (c *Cache) begin(q *wire.CacheQuery, t *wire.CacheTicket) (control controls, read bool, err *call.Error) {
	*t = wire.CacheTicket{}
	if !c.Supports(q.Kind) {
		return control, false, nil
	}
	if control, err = readControls(q); err != nil {
		return control, false, err
	}
	if c.o.OptIn && !control.use {
		return control, false, nil
	}
	t.Keep, t.Stream = !control.noStore, q.Stream
	t.TTL = c.ttl(control)
	return control, !control.noCache, nil
}

// judge makes a hit of an entry that is young enough.
func (c *Cache) judge(e *entry, control controls) *wire.CacheHit {
	if e == nil || control.maxAge > 0 && time.Since(e.at) > control.maxAge {
		c.misses.Add(1)
		return nil
	}
	c.hits.Add(1)
	return &wire.CacheHit{Body: e.body, Usage: e.usage, ModelID: e.model}
}

// getAll is get for several keys, with one wait for Redis.
func (c *Cache) getAll(ctx context.Context, keys []string) []*entry {
	list := make([]*entry, len(keys))
	var missing []string
	var at []int
	for i, k := range keys {
		if c.memory != nil {
			list[i] = c.memory.get(k)
		}
		if list[i] == nil && c.shared != nil {
			missing, at = append(missing, k), append(at, i)
		}
	}
	if len(missing) == 0 {
		return list
	}
	for i, e := range c.shared.getAll(ctx, missing) {
		list[at[i]] = e
		if e != nil && c.memory != nil {
			c.memory.set(missing[i], e, min(c.o.MemoryTTL, time.Until(e.until)))
		}
	}
	return list
}

// get asks memory, then Redis.
func (c *Cache) get(ctx context.Context, key string) *entry {
	if c.memory != nil {
		if e := c.memory.get(key); e != nil {
			return e
		}
	}
	if c.shared == nil {
		return nil
	}
	e := c.shared.get(ctx, key)
	if e != nil && c.memory != nil {
		c.memory.set(key, e, min(c.o.MemoryTTL, time.Until(e.until)))
	}
	return e
}

// ttl is how long an answer is kept: the request's word, the configuration's,
// the default of where it is kept.
func (c *Cache) ttl(control controls) time.Duration {
	own := c.o.RedisTTL
	def := DefaultRedisTTL
	if c.o.Redis == nil {
		own, def = c.o.MemoryTTL, DefaultMemoryTTL
	}
	for _, d := range []time.Duration{control.ttl, own, c.o.TTL} {
		if d > 0 {
			return d
		}
	}
	return def
}

// Keep implements wire.Cache.
func (c *Cache) Keep(t *wire.CacheTicket, body []byte, usage call.Usage) {
	if !t.Keep || len(body) == 0 || len(body) > maxAnswer {
		return
	}
	if t.Stream {
		if body = condense(body); body == nil { // a copy
			return
		}
	} else {
		body = slices.Clone(body)
	}
	c.put(t, t.Key, body, usage)
}

// KeepPart implements wire.Cache.
func (c *Cache) KeepPart(t *wire.CacheTicket, n int, body []byte, usage call.Usage) {
	if t.Keep && len(body) > 0 && len(body) <= maxAnswer {
		c.put(t, t.Parts[n], slices.Clone(body), usage)
	}
}

// put keeps a body of its own under a key.
func (c *Cache) put(t *wire.CacheTicket, key string, body []byte, usage call.Usage) {
	if t.TTL <= 0 {
		return
	}
	now := time.Now()
	e := &entry{body: body, at: now, until: now.Add(t.TTL), usage: usage, model: t.ModelID}
	if c.memory != nil {
		ttl := t.TTL
		if c.shared != nil {
			ttl = min(ttl, c.o.MemoryTTL)
		}
		c.memory.set(key, e, ttl)
	}
	if c.shared != nil {
		c.shared.put(key, e, t.TTL)
	}
}

// Params describe the configuration in LiteLLM's words, without secrets.
func (c *Cache) Params() map[string]string {
	p := map[string]string{"type": c.o.Kind, "mode": "default_on"}
	if c.o.OptIn {
		p["mode"] = "default_off"
	}
	if c.o.Namespace != "" {
		p["namespace"] = c.o.Namespace
	}
	if c.o.TTL > 0 {
		p["ttl"] = strconv.FormatFloat(c.o.TTL.Seconds(), 'f', -1, 64)
	}
	return p
}
