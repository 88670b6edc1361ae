package coord

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// healthKey holds what all instances have found out, by deployment.
const healthKey = "litellm:health_check:deployment_health_state"

// healthValue is LiteLLM's, member by member.
type healthValue struct {
	Healthy   bool    `json:"is_healthy"`
	Timestamp float64 `json:"timestamp"`
	Reason    string  `json:"reason"`
}

// merge adds results to those of others, which may look after other
// deployments, and drops what is too old for anybody.
func (c *Coord) merge(ctx context.Context, states map[string]call.Health) {
	key := c.key(healthKey)
	life := c.o.Health + c.o.Health/2
	_ = c.o.Redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		change := func(tx *redis.Tx) error {
			text, err := tx.Get(ctx, key).Result()
			if err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
			value, _ := json.Marshal(merged(readHealth(text), states, time.Now(), life))
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Set(ctx, key, value, max(life, time.Second))
				return nil
			})
			return err
		}
		for range attempts {
			// Another instance may write between the reading and the writing.
			if err := r.Watch(ctx, change, key); !errors.Is(err, redis.TxFailedErr) {
				return err
			}
		}
		return nil
	})
}

// attempts bounds how often a result is merged anew.
const attempts = 10

func merged(old, states map[string]call.Health, now time.Time, life time.Duration) map[string]healthValue {
	all := map[string]healthValue{}
	for id, h := range old {
		if now.Sub(h.At) < life {
			all[id] = healthValue{h.Healthy, float64(h.At.UnixMicro()) / 1e6, h.Reason}
		}
	}
	for id, h := range states {
		all[id] = healthValue{h.Healthy, float64(h.At.UnixMicro()) / 1e6, h.Reason}
	}
	return all
}

// readHealth asks what others have found.
func (c *Coord) readHealth(ctx context.Context) {
	if c.o.Health <= 0 {
		return
	}
	raw, err := c.get(ctx, []string{c.key(healthKey)})
	if err != nil {
		return
	}
	now := time.Now()
	for id, h := range readHealth(raw[0]) {
		left := min(c.o.Health-now.Sub(h.At), c.o.Health)
		if h.Healthy || left <= 0 {
			left = 0
		}
		c.o.Router.Unhealthy(id, left)
	}
}

// readHealth reads the shared results; what is none is left out.
func readHealth(text string) map[string]call.Health {
	out := map[string]call.Health{}
	for id, v := range readDict(text) {
		m := members(v)
		healthy, ok1 := m["is_healthy"].(bool)
		at, ok2 := number(m["timestamp"])
		if !ok1 || !ok2 || !(at > 0 && at < 1e12) {
			continue
		}
		reason, _ := m["reason"].(string)
		out[id] = call.Health{Healthy: healthy, At: time.UnixMicro(int64(at * 1e6)), Reason: reason}
	}
	return out
}
