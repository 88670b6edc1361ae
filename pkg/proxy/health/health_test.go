package health

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func deployments(ids ...string) func() []*call.Deployment {
	var list []*call.Deployment
	for _, id := range ids {
		list = append(list, &call.Deployment{ID: id, Group: "g" + id[:1]})
	}
	return func() []*call.Deployment { return list }
}

func failing(status int) *call.Error {
	return &call.Error{Class: call.ClassAPIError, Status: status, Message: "no", RetryAfter: -1}
}

func TestRoundsTellTheRouter(t *testing.T) {
	defer goleak.VerifyNone(t)
	var mu sync.Mutex
	told := map[string]time.Duration{}
	asked := map[string]int{}
	broken := map[string]*call.Error{"a1": failing(500), "b1": failing(429), "c1": call.NewError(400, "", "", "cannot be asked")}
	list := deployments("a1", "a2", "b1", "c1", "d1", "e1")
	list()[4].NoHealthCheck = true
	c := New(Options{
		Deployments: list, Background: true, Interval: 20 * time.Millisecond, Groups: []string{"ga", "gb", "gc", "gd"}, IgnoreTransient: true,
		Staleness: time.Minute,
		Probe: func(_ context.Context, d *call.Deployment) *call.Error {
			mu.Lock()
			defer mu.Unlock()
			asked[d.ID]++
			return broken[d.ID]
		},
		Unhealthy: func(id string, d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			told[id] = d
		},
	})
	wait := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			done := ok()
			mu.Unlock()
			if done {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("never: %s", what)
			}
		}
	}
	wait("two rounds", func() bool { return asked["a1"] >= 3 })
	mu.Lock()
	if told["a1"] != time.Minute || told["a2"] != 0 || told["b1"] != 0 {
		t.Errorf("told %v", told)
	}
	if _, ok := told["c1"]; ok {
		t.Error("a deployment that cannot be asked was judged")
	}
	if asked["d1"]+asked["e1"] != 0 {
		t.Errorf("asked %v", asked)
	}
	delete(broken, "a1")
	mu.Unlock()
	wait("it is taken in again", func() bool { return told["a1"] == 0 })
	got := c.Results(t.Context(), "", "")
	if len(got) != 3 || len(c.Results(t.Context(), "ga", "")) != 2 || len(c.Results(t.Context(), "", "a2")) != 1 {
		t.Errorf("results %v", got)
	}
	c.Close()
}

func TestChecksAreAFewAtOnceAndBounded(t *testing.T) {
	defer goleak.VerifyNone(t)
	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprint("x", i))
	}
	list := deployments(ids...)
	for _, d := range list() {
		d.Health.Timeout = 10 * time.Millisecond
	}
	var running, most atomic.Int64
	c := New(Options{Deployments: list, Concurrency: 7, Probe: func(ctx context.Context, _ *call.Deployment) *call.Error {
		for now := running.Add(1); ; {
			old := most.Load()
			if old >= now || most.CompareAndSwap(old, now) {
				break
			}
		}
		defer running.Add(-1)
		<-ctx.Done()
		return failing(408)
	}})
	results := c.Results(t.Context(), "", "")
	if len(results) != 100 || results[0].Err == nil || results[42].Deployment.ID != "x42" {
		t.Errorf("%d results", len(results))
	}
	if most.Load() != 7 {
		t.Errorf("%d checks at once, want 7", most.Load())
	}
	c.Close()
}
