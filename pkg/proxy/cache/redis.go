package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/redisconn"
)

const (
	// writeBound is the deadline of one write, which no request waits for.
	writeBound = 2 * time.Second
	// waiting bounds the answers that wait to be written, by number and bytes.
	waiting      = 1024
	waitingBytes = 32 << 20
	writers      = 2
	// closeBound is how long Close waits for the queue.
	closeBound = 2 * time.Second
)

// shared is the level in Redis.
type shared struct {
	guard    *redisconn.Guard
	patience time.Duration
	queue    chan write
	bytes    atomic.Int64
	refused  atomic.Int64
	stop     context.CancelFunc
	done     sync.WaitGroup
}

type write struct {
	key string
	e   *entry
	ttl time.Duration
}

func newShared(o Options) *shared {
	ctx, cancel := context.WithCancel(context.Background())
	s := &shared{guard: o.Redis, patience: o.Patience, queue: make(chan write, waiting), stop: cancel}
	for range writers {
		s.done.Go(func() { s.run(ctx) })
	}
	return s
}

// get reads under the bound. Whatever goes wrong is a miss.
func (s *shared) get(ctx context.Context, key string) *entry {
	var raw []byte
	err := s.guard.Do(ctx, s.patience, func(ctx context.Context, c redis.UniversalClient) (err error) {
		raw, err = c.Get(ctx, key).Bytes()
		return err
	})
	if err != nil {
		return nil
	}
	e, err := decode(raw)
	if err != nil || !time.Now().Before(e.until) {
		return nil
	}
	return e
}

// getAll is get for several keys in one exchange.
func (s *shared) getAll(ctx context.Context, keys []string) []*entry {
	list := make([]*entry, len(keys))
	var commands []redis.Cmder
	err := s.guard.Do(ctx, s.patience, func(ctx context.Context, c redis.UniversalClient) (err error) {
		commands, err = c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, k := range keys {
				p.Get(ctx, k)
			}
			return nil
		})
		return err
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return list
	}
	now := time.Now()
	for i, command := range commands {
		got, ok := command.(*redis.StringCmd)
		if !ok {
			continue
		}
		raw, err := got.Bytes()
		if err != nil {
			continue
		}
		if e, err := decode(raw); err == nil && now.Before(e.until) {
			list[i] = e
		}
	}
	return list
}

// put hands an entry to the writers, or drops it when they cannot keep up.
func (s *shared) put(key string, e *entry, ttl time.Duration) {
	size := int64(len(e.body))
	if s.bytes.Add(size) > waitingBytes {
		s.bytes.Add(-size)
		s.refused.Add(1)
		return
	}
	select {
	case s.queue <- write{key, e, ttl}:
	default:
		s.bytes.Add(-size)
		s.refused.Add(1)
	}
}

func (s *shared) run(ctx context.Context) {
	for w := range s.queue {
		s.bytes.Add(-int64(len(w.e.body)))
		if ttl := time.Until(w.e.until); ttl > 0 && ctx.Err() == nil {
			_ = s.guard.Do(ctx, writeBound, func(ctx context.Context, c redis.UniversalClient) error {
				return c.Set(ctx, w.key, encode(w.e), min(w.ttl, max(ttl, time.Millisecond))).Err()
			})
		}
	}
}

func (s *shared) close() {
	close(s.queue)
	timer := time.AfterFunc(closeBound, s.stop)
	s.done.Wait()
	timer.Stop()
	s.stop()
}
