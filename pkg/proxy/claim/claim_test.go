package claim

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/internal/testenv"
)

// clock is a monotonic clock that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestTheFirstToClaimHasItUntilItsTimeIsOver(t *testing.T) {
	defer goleak.VerifyNone(t)
	k := &clock{at: time.Now()}
	c := New(Options{now: k.now})
	defer c.Close()
	ctx := t.Context()
	held := func(want string) {
		t.Helper()
		if got := c.Held(ctx, "missing", "key"); got != want {
			t.Errorf("held by %q, want %q", got, want)
		}
	}
	held("")
	c.Hold(ctx, "key", "a", time.Minute)
	c.Hold(ctx, "key", "b", time.Minute)
	held("a")
	k.at = k.at.Add(40 * time.Second)
	c.Hold(ctx, "key", "a", time.Minute) // prolongs it
	k.at = k.at.Add(40 * time.Second)
	c.Hold(ctx, "key", "b", time.Minute) // does not
	held("a")
	k.at = k.at.Add(21 * time.Second)
	held("")
	c.Hold(ctx, "key", "b", time.Minute)
	held("b")
	c.Put("key", "c", time.Minute)
	held("c")
	if _, ok := c.Count(ctx, "n"); ok {
		t.Error("a count without Redis claims to be everybody's")
	}
}

// TestStepsOfTheWallClockMoveNoClaim: times carry the monotonic reading, which a
// step does not touch.
func TestStepsOfTheWallClockMoveNoClaim(t *testing.T) {
	c := New(Options{})
	defer c.Close()
	c.Hold(t.Context(), "key", "a", time.Hour)
	h := c.held["key"]
	if h.until.Round(0) == h.until {
		t.Error("the end of a claim has no monotonic reading")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	k := &clock{at: time.Now()}
	c := New(Options{now: k.now})
	defer c.Close()
	for i := range mostHeld + 10 {
		c.Put(fmt.Sprint(i), "a", time.Minute)
	}
	if n := len(c.held); n > mostHeld {
		t.Errorf("%d claims are held", n)
	}
	k.at = k.at.Add(2 * time.Minute)
	for i := range mostHeld {
		c.Put(fmt.Sprint("new", i), "a", time.Minute)
	}
	if c.Held(t.Context(), fmt.Sprint("new", mostHeld-1)) != "a" {
		t.Error("the last claim is not held")
	}
}

func twoWithRedis(t *testing.T) (a, b *Claims, r *redis.Client) {
	t.Helper()
	s := testenv.RedisServer(t)
	o := &redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port)}
	r = redis.NewClient(o)
	t.Cleanup(func() { r.Close() })
	made := func() *Claims {
		c := New(Options{Redis: redisconn.NewGuard(r, redisconn.GuardOptions{}), Namespace: "ns"})
		t.Cleanup(c.Close)
		return c
	}
	return made(), made(), r
}

func TestInstancesAgreeThroughRedis(t *testing.T) {
	a, b, r := twoWithRedis(t)
	ctx := t.Context()
	a.Hold(ctx, "key", "one", time.Minute)
	b.Hold(ctx, "key", "two", time.Minute)
	for i, c := range []*Claims{a, b} {
		if got := c.Held(ctx, "key"); got != "one" {
			t.Errorf("instance %d holds %q", i, got)
		}
	}
	if got := r.Get(ctx, "ns:key").Val(); got != `{"model_id": "one"}` {
		t.Errorf("Redis has %q", got)
	}
	r.Set(ctx, "ns:plain", `"old form"`, time.Minute)
	if got := a.Held(ctx, "none", "plain"); got != "old form" {
		t.Errorf("a bare text is read as %q", got)
	}
	r.Set(ctx, "ns:broken", `{"model_id": 7`, time.Minute)
	if got := a.Held(ctx, "broken"); got != "" {
		t.Errorf("what is no claim is read as %q", got)
	}
	for i := range 3 {
		if n, ok := []*Claims{a, b}[i%2].Count(ctx, "count"); !ok || n != int64(i+1) {
			t.Errorf("count %d is %d %v", i, n, ok)
		}
	}
	if ttl := r.TTL(ctx, "ns:count").Val(); ttl <= 0 || ttl > time.Minute {
		t.Errorf("the counter lasts %s", ttl)
	}
	a.Spend("tokens", 5)
	b.Spend("tokens", 6)
	b.Put("given", "x", time.Minute)
	deadline := time.Now().Add(5 * time.Second)
	for {
		n, ok := a.Spent(ctx, "tokens")
		if ok && n == 11 && a.Held(ctx, "given") == "x" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("spent %d %v, given to %q", n, ok, a.Held(ctx, "given"))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestAClaimOfLiteLLMsIsProlongedNotReplaced: the script answers with what was first,
// text for text.
func TestAClaimOfLiteLLMsIsProlongedNotReplaced(t *testing.T) {
	a, _, r := twoWithRedis(t)
	ctx := t.Context()
	r.Set(ctx, "ns:key", `{"model_id": "one"}`, time.Second)
	a.Hold(ctx, "key", "one", time.Hour)
	if ttl := r.TTL(ctx, "ns:key").Val(); ttl < time.Minute {
		t.Errorf("the claim lasts %s", ttl)
	}
	a.Hold(ctx, "key", "two", time.Hour)
	if got := a.Held(ctx, "key"); got != "one" {
		t.Errorf("held by %q", got)
	}
}

func TestWithoutAnAnswerAnInstanceGoesOnAlone(t *testing.T) {
	s := testenv.RedisServer(t)
	r := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port), MaxRetries: -1})
	defer r.Close()
	c := New(Options{Redis: redisconn.NewGuard(r, redisconn.GuardOptions{Failures: 2, Recovery: time.Minute})})
	defer c.Close()
	s.Stop()
	ctx := t.Context()
	begin := time.Now()
	for range 50 {
		c.Hold(ctx, "key", "a", time.Minute)
		if got := c.Held(ctx, "key"); got != "a" {
			t.Fatalf("held by %q", got)
		}
		if _, ok := c.Count(ctx, "n"); ok {
			t.Fatal("a count came out of a Redis that is gone")
		}
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("50 rounds took %s", d)
	}
}
