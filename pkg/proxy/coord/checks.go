package coord

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

const (
	// DefaultChecksTTL is DEFAULT_SHARED_HEALTH_CHECK_TTL, DefaultChecksLock
	// DEFAULT_SHARED_HEALTH_CHECK_LOCK_TTL.
	DefaultChecksTTL  = 300 * time.Second
	DefaultChecksLock = 60 * time.Second

	resultsKey = "health_check_results"
	lockKey    = "health_check_lock"
)

// Checks lets one instance at a time ask the deployments, and gives the others
// its results, in LiteLLM's keys and form.
type Checks struct {
	redis     *redisconn.Guard
	namespace string
	id        string
	ttl, lock time.Duration
}

var _ call.SharedChecks = (*Checks)(nil)

// NewChecks returns them; 0 means the default.
func NewChecks(g *redisconn.Guard, namespace string, ttl, lock time.Duration) *Checks {
	if ttl <= 0 {
		ttl = DefaultChecksTTL
	}
	if lock <= 0 {
		lock = DefaultChecksLock
	}
	var b [8]byte
	_, _ = rand.Read(b[:])
	return &Checks{redis: g, namespace: namespace, id: "pod_" + hex.EncodeToString(b[:]), ttl: ttl, lock: lock}
}

func (c *Checks) key(name string) string {
	return redisconn.Key(c.namespace, name)
}

// endpointValue is one deployment in LiteLLM's form.
type endpointValue struct {
	Model   string `json:"model,omitempty"`
	APIBase string `json:"api_base,omitempty"`
	ID      string `json:"model_id"`
	Error   string `json:"error,omitempty"`
	Status  int    `json:"exception_status,omitempty"`
}

// resultsValue is a round in LiteLLM's form.
type resultsValue struct {
	Healthy   []endpointValue `json:"healthy_endpoints"`
	Unhealthy []endpointValue `json:"unhealthy_endpoints"`
	Good      int             `json:"healthy_count"`
	Bad       int             `json:"unhealthy_count"`
	Timestamp float64         `json:"timestamp"`
	By        string          `json:"checked_by"`
}

// load reads the last round while it counts. LiteLLM writes a JSON text within a
// JSON text.
func (c *Checks) load(ctx context.Context) (v resultsValue, ok bool) {
	text, err := c.text(ctx, resultsKey)
	if err != nil || text == "" {
		return v, false
	}
	var inner string
	if json.Unmarshal([]byte(text), &inner) == nil {
		text = inner
	}
	if json.Unmarshal([]byte(text), &v) != nil {
		return v, false
	}
	age := time.Since(time.UnixMicro(int64(v.Timestamp * 1e6)))
	return v, age <= c.ttl // another's clock may be ahead; the key ends in any case
}

// text reads a key; what is not there is empty.
func (c *Checks) text(ctx context.Context, name string) (text string, err error) {
	err = c.redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		var err error
		if text, err = r.Get(ctx, c.key(name)).Result(); errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	})
	return text, err
}

// Results implements call.SharedChecks.
func (c *Checks) Results(ctx context.Context) (map[string]call.SharedCheck, bool) {
	v, ok := c.load(ctx)
	if !ok {
		return nil, false
	}
	out := map[string]call.SharedCheck{}
	for _, e := range v.Healthy {
		out[e.ID] = call.SharedCheck{ID: e.ID, Healthy: true}
	}
	for _, e := range v.Unhealthy {
		status := e.Status
		if status == 0 {
			status = 500
		}
		out[e.ID] = call.SharedCheck{ID: e.ID, Status: status, Reason: e.Error}
	}
	return out, true
}

// Keep implements call.SharedChecks.
func (c *Checks) Keep(ctx context.Context, list []call.SharedCheck) {
	v := resultsValue{Healthy: []endpointValue{}, Unhealthy: []endpointValue{}, Timestamp: float64(time.Now().UnixMicro()) / 1e6, By: c.id}
	for _, s := range list {
		e := endpointValue{Model: s.Model, APIBase: s.APIBase, ID: s.ID, Error: s.Reason, Status: s.Status}
		if s.Healthy {
			v.Healthy = append(v.Healthy, e)
		} else {
			v.Unhealthy = append(v.Unhealthy, e)
		}
	}
	v.Good, v.Bad = len(v.Healthy), len(v.Unhealthy)
	inner, _ := json.Marshal(v)
	outer, _ := json.Marshal(string(inner))
	_ = c.redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		return r.Set(ctx, c.key(resultsKey), outer, c.ttl).Err()
	})
}

func (c *Checks) owner() string { return `"` + c.id + `"` }

// Lock implements call.SharedChecks.
func (c *Checks) Lock(ctx context.Context) (mine bool) {
	err := c.redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		err := r.SetArgs(ctx, c.key(lockKey), c.owner(), redis.SetArgs{Mode: "NX", TTL: c.lock}).Err()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		mine = err == nil
		return err
	})
	return mine && err == nil
}

// Unlock implements call.SharedChecks. A lock that has become another's stays.
func (c *Checks) Unlock(ctx context.Context) {
	const release = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`
	_ = c.redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		return r.Eval(ctx, release, []string{c.key(lockKey)}, c.owner()).Err()
	})
}

// Locked implements call.SharedChecks.
func (c *Checks) Locked(ctx context.Context) bool {
	text, err := c.text(ctx, lockKey)
	return err == nil && text != ""
}

// Patience implements call.SharedChecks.
func (c *Checks) Patience() time.Duration { return c.lock }

// Status is what /health/shared-status says.
type Status struct {
	ID        string   `json:"pod_id"`
	Available bool     `json:"redis_available"`
	LockTTL   int      `json:"lock_ttl"`
	CacheTTL  int      `json:"cache_ttl"`
	Owner     *string  `json:"lock_owner"`
	Locked    bool     `json:"lock_in_progress"`
	Cached    bool     `json:"cache_available"`
	Age       *float64 `json:"cache_age_seconds,omitempty"`
	By        string   `json:"last_checked_by,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// Status asks how the sharing goes.
func (c *Checks) Status(ctx context.Context) Status {
	s := Status{ID: c.id, Available: true, LockTTL: int(c.lock.Seconds()), CacheTTL: int(c.ttl.Seconds())}
	text, err := c.text(ctx, lockKey)
	if err != nil {
		s.Error = "Redis does not answer"
		return s
	}
	if text != "" {
		owner := text
		_ = json.Unmarshal([]byte(text), &owner)
		s.Owner, s.Locked = &owner, true
	}
	if v, ok := c.load(ctx); ok {
		age := time.Since(time.UnixMicro(int64(v.Timestamp * 1e6))).Seconds()
		s.Cached, s.Age, s.By = true, &age, v.By
	}
	return s
}
