package budget

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/litellm/duration"
	"github.com/llmgw/llmgw/internal/litellm/pyfmt"
	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func of(limit float64, period string) Budget {
	w, err := duration.Parse(period)
	if err != nil {
		panic(err)
	}
	return Budget{Limit: limit, Window: w, Period: period}
}

func spent(provider, id string, cost float64, tags ...string) []call.Call {
	return []call.Call{{Deployment: &call.Deployment{Provider: provider, ID: id}, Tags: tags, Cost: call.Cost{Total: cost, Known: true}}}
}

// clock is a world whose time a test moves.
type clock struct {
	wall time.Time
	mono time.Duration
}

func (c *clock) options() Options {
	return Options{now: func() time.Time { return c.wall }, mono: func() time.Duration { return c.mono }}
}

func (c *clock) pass(d time.Duration) { c.wall, c.mono = c.wall.Add(d), c.mono+d }

func TestADeploymentIsOverAnyOfItsBudgets(t *testing.T) {
	l := New(Budgets{
		Providers:   map[string]Budget{"openai": of(1, "1d"), "free": of(0, "1d")},
		Deployments: map[string]Budget{"D": of(0.5, "1h")},
		Tags:        map[string]Budget{"batch": of(0.1, "30d")},
	}, Options{})
	defer l.Close()
	d := &call.Deployment{ID: "D", Provider: "groq", Group: "g", Configured: "groq/x"}
	o := &call.Deployment{ID: "O", Provider: "openai"}
	l.Charge(spent("free", "F", 100))
	l.Charge(spent("groq", "D", 0.5))
	l.Charge(spent("openai", "O", 1.25, "batch"))
	failed := spent("openai", "O", 7)
	failed[0].Cached = true
	l.Charge(failed)
	for _, tt := range []struct {
		d    *call.Deployment
		tags []string
		want string
	}{
		{&call.Deployment{ID: "F", Provider: "free"}, nil, ""},
		{&call.Deployment{ID: "X", Provider: "groq"}, []string{"other"}, ""},
		{&call.Deployment{ID: "X", Provider: "groq"}, []string{"batch"}, "Exceeded budget for tag='batch', tag_spend=1.25, tag_budget_limit=0.1\n"},
		{d, nil, "Exceeded budget for deployment model_name: g, litellm_params.model: groq/x, model_id: D: 0.5 >= 1h\n"},
		{o, nil, "Exceeded budget for provider openai: 1.25 >= 1.0\n"},
	} {
		if got := l.Over(tt.d, tt.tags); got != tt.want {
			t.Errorf("%s %v: %q, want %q", tt.d.ID, tt.tags, got, tt.want)
		}
	}
	l.Replace(Budgets{Providers: map[string]Budget{"openai": of(2, "1d")}})
	if got := l.Over(o, nil); got != "" || l.Providers()[0].Spent != 1.25 {
		t.Errorf("after a higher limit: %q, %+v", got, l.Providers())
	}
	l.Replace(Budgets{Providers: map[string]Budget{"openai": of(2, "2d")}})
	if got := l.Providers()[0].Spent; got != 0 {
		t.Errorf("another window begins with %g", got)
	}
}

// TestWindowsAgreeWithAModel moves time, and the clock of the world alone, at
// random beside a model that knows only when the window began.
func TestWindowsAgreeWithAModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := &clock{wall: time.Unix(1.7e9, 0), mono: time.Hour}
		l := New(Budgets{Providers: map[string]Budget{"p": of(10, "60s")}}, c.options())
		begun, sum := c.mono, 0.0
		for range 500 {
			switch r.IntN(4) {
			case 0:
				c.pass(time.Duration(r.IntN(30)) * time.Second)
			case 1:
				c.wall = c.wall.Add(time.Duration(r.IntN(7200)-3600) * time.Second)
			default:
				if c.mono-begun >= time.Minute {
					begun, sum = c.mono, 0
				}
				sum += 1
				l.Charge(spent("p", "x", 1))
			}
			want := sum
			if c.mono-begun >= time.Minute {
				want = 0
			}
			if got := l.Providers()[0].Spent; got != want {
				t.Fatalf("seed %d: %g, want %g", seed, got, want)
			}
			if over := l.Over(&call.Deployment{Provider: "p"}, nil) != ""; over != (want >= 10) {
				t.Fatalf("seed %d: over is %t at %g", seed, over, want)
			}
		}
		l.Close()
	}
}

func client(t *testing.T) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(testenv.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func shared(c *redis.Client, b Budget) *Limiter {
	return New(Budgets{Providers: map[string]Budget{"openai": b}}, Options{Redis: redisconn.NewGuard(c, redisconn.GuardOptions{}), Namespace: "ns", Interval: time.Hour})
}

func TestInstancesShareTheirSumsUnderLiteLLMsKeys(t *testing.T) {
	c := client(t)
	ctx := t.Context()
	b := of(1, "1d")
	one, two := shared(c, b), shared(c, b)
	defer one.Close()
	defer two.Close()
	one.Sync(ctx)
	two.Sync(ctx)
	if got := c.Get(ctx, "ns:provider_spend:openai:1d").Val(); got != "0.0" {
		t.Errorf("a budget begins with %q", got)
	}
	one.Charge(spent("openai", "x", 0.75))
	two.Charge(spent("openai", "x", 0.5))
	one.Sync(ctx)
	two.Sync(ctx)
	one.Sync(ctx)
	for name, l := range map[string]*Limiter{"one": one, "two": two} {
		if got := l.Providers()[0].Spent; got != 1.25 {
			t.Errorf("%s knows of %g", name, got)
		}
	}
	if got := c.Get(ctx, "ns:provider_spend:openai:1d").Val(); got != "1.25" {
		t.Errorf("Redis has %q", got)
	}
	for _, key := range []string{"ns:provider_spend:openai:1d", "ns:provider_budget_start_time:openai"} {
		if ttl := c.TTL(ctx, key).Val(); ttl < 23*time.Hour || ttl > 24*time.Hour {
			t.Errorf("%s lasts %s", key, ttl)
		}
	}
	// Redis loses its memory: the sum is not lost with it.
	c.FlushAll(ctx)
	one.Sync(ctx)
	two.Sync(ctx)
	if got := two.Providers()[0].Spent; got != 1.25 {
		t.Errorf("after a flush %g", got)
	}
}

func TestAWindowThatAnotherBeganLongAgoIsOver(t *testing.T) {
	c := client(t)
	ctx := t.Context()
	c.Set(ctx, "ns:provider_budget_start_time:openai", pyfmt.Float(float64(time.Now().Add(-2*time.Hour).Unix())), 0)
	c.Set(ctx, "ns:provider_spend:openai:1h", "9.5", 0)
	l := shared(c, of(1, "1h"))
	defer l.Close()
	l.Charge(spent("openai", "x", 0.25))
	l.Sync(ctx)
	if got := l.Providers()[0]; got.Spent != 0.25 || got.Left < 59*time.Minute {
		t.Errorf("%+v", got)
	}
}

func TestStrangeValuesInRedisNeitherStopNorForgiveABudget(t *testing.T) {
	for _, v := range []string{"", "NaN", "inf", "-1e300", "1e308", "{}", "None", "\x00\xff", "99999999999999999999999999"} {
		for _, which := range []string{"provider_spend:openai:1d", "provider_budget_start_time:openai"} {
			c := client(t)
			ctx := t.Context()
			l := shared(c, of(1, "1d"))
			l.Sync(ctx)
			l.Charge(spent("openai", "x", 2))
			c.Set(ctx, "ns:"+which, v, 0)
			for range 3 {
				l.Sync(ctx)
			}
			if got := l.Providers()[0].Spent; got != 2 {
				t.Errorf("%s=%q: %g has been spent", which, v, got)
			}
			c.Del(ctx, "ns:"+which)
			c.RPush(ctx, "ns:"+which, "a list")
			for range 3 {
				l.Sync(ctx)
			}
			if got := l.Providers()[0].Spent; got != 2 {
				t.Errorf("%s is a list: %g has been spent", which, got)
			}
			if got := c.Get(ctx, "ns:provider_spend:openai:1d").Val(); got != "2.0" && got != "2" {
				t.Errorf("%s: Redis has %q in the end", which, got)
			}
			l.Close()
		}
	}
}

func TestSpendingWaitsForRedis(t *testing.T) {
	s := testenv.RedisServer(t)
	c := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port), MaxRetries: -1})
	defer c.Close()
	l := shared(c, of(1, "1d"))
	defer l.Close()
	l.Sync(t.Context())
	s.Stop()
	l.Charge(spent("openai", "x", 2))
	l.Sync(t.Context())
	if got := l.Providers()[0].Spent; got != 2 {
		t.Errorf("without Redis %g", got)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if got := l.table.Load().order[0].pending; got != 2 {
		t.Errorf("%g waits to be told", got)
	}
}

func FuzzValuesOfRedis(f *testing.F) {
	for _, s := range []string{"0.0", "1.5", "1e-07", "'2'", "NaN", "1795852092.364715", "-1", "0x1p3", ""} {
		f.Add(s)
	}
	now := time.Unix(1.7e9, 0)
	f.Fuzz(func(t *testing.T, s string) {
		if sum, ok := amount(s); ok && !(sum >= 0 && sum <= longest) {
			t.Errorf("%q is %g dollars", s, sum)
		}
		if at, ok := began(s, now); ok && (at.After(now) || at.Before(time.Unix(0, 0))) {
			t.Errorf("%q is %s", s, at)
		}
	})
}
