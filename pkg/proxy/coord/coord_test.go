package coord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// fake is a router that notes what it is told.
type fake struct {
	mu     sync.Mutex
	list   []*call.Deployment
	cooled map[string]time.Duration
	used   map[string]call.DeploymentUsage
	others map[string]call.DeploymentUsage
	sick   map[string]time.Duration
}

func (f *fake) Unhealthy(id string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sick[id] = d
}

func (f *fake) unhealthy(id string) (time.Duration, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.sick[id]
	return d, ok
}

func newFake(ids ...string) *fake {
	f := &fake{cooled: map[string]time.Duration{}, used: map[string]call.DeploymentUsage{}, others: map[string]call.DeploymentUsage{}, sick: map[string]time.Duration{}}
	for _, id := range ids {
		f.list = append(f.list, &call.Deployment{ID: id, Configured: "openai/gpt", RPM: 100})
	}
	return f
}

func (f *fake) Deployments() []*call.Deployment { return f.list }

func (f *fake) Cool(id string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cooled[id] = d
}

func (f *fake) Usage(visit func(*call.Deployment, call.DeploymentUsage)) {
	f.mu.Lock()
	used := maps.Clone(f.used)
	f.mu.Unlock()
	for _, d := range f.list {
		if u, ok := used[d.ID]; ok {
			visit(d, u)
		}
	}
}

func (f *fake) Others(id string, u call.DeploymentUsage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.others[id] = u
}

func (f *fake) use(id string, u call.DeploymentUsage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used[id] = u
}

func (f *fake) cooling(id string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cooled[id]
}

func (f *fake) rest(id string) call.DeploymentUsage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.others[id]
}

func client(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

const pace = 10 * time.Millisecond

func start(t testing.TB, o Options, c redis.UniversalClient) *Coord {
	t.Helper()
	o.Redis, o.Interval = redisconn.NewGuard(c, redisconn.GuardOptions{Recovery: 50 * time.Millisecond}), pace
	co := New(o)
	t.Cleanup(co.Close)
	return co
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestACooldownReachesOtherInstances(t *testing.T) {
	for _, ns := range []string{"", "prod"} {
		c := client(t, testenv.Redis(t))
		here, there := newFake("d1", "d2"), newFake("d1", "d2")
		one := start(t, Options{Router: here, Namespace: ns}, c)
		start(t, Options{Router: there, Namespace: ns}, c)
		at := time.Now()
		one.Cooled(call.Cooldown{ID: "d1", Status: 429, Reason: "litellm.RateLimitError: " + strings.Repeat("é", 100), At: at, For: 30 * time.Second})
		eventually(t, "the other instance hears of it", func() bool { return there.cooling("d1") > 0 })
		if got := there.cooling("d1"); got > 30*time.Second || got < 20*time.Second {
			t.Errorf("left out for %s", got)
		}
		if there.cooling("d2") != 0 {
			t.Error("another deployment is left out too")
		}
		key := "deployment:d1:cooldown"
		if ns != "" {
			key = ns + ":" + key
		}
		var value map[string]any
		if err := json.Unmarshal([]byte(c.Get(t.Context(), key).Val()), &value); err != nil {
			t.Fatal(err)
		}
		if value["status_code"] != "429" || value["cooldown_time"] != 30.0 || len([]rune(value["exception_received"].(string))) != reasonLength {
			t.Errorf("stored %v", value)
		}
		if ttl := c.PTTL(t.Context(), key).Val(); ttl > 30*time.Second || ttl < 20*time.Second {
			t.Errorf("it lives %s", ttl)
		}
	}
}

// TestWhatLiteLLMWrites reads values as a running LiteLLM stores them, word for
// word but for the times.
func TestWhatLiteLLMWrites(t *testing.T) {
	now := time.Unix(1_795_817_380, 0)
	const at = "1795817377.1637995"
	for _, tt := range []struct {
		text string
		want time.Duration
	}{
		{`{'exception_received': 'litellm.RateLimitError: it\'s "busy"', 'status_code': '429', 'timestamp': ` + at + `, 'cooldown_time': 30.0}`, 27163 * time.Millisecond},
		{`{"exception_received": "x", "status_code": "429", "timestamp": ` + at + `, "cooldown_time": 20.0}`, 17163 * time.Millisecond},
		{`{'timestamp': ` + at + `, 'cooldown_time': 2}`, -837 * time.Millisecond},
		{`{"timestamp": 9999999999, "cooldown_time": 20}`, 20 * time.Second}, // a clock that is ahead
		{`{"timestamp": "` + at + `", "cooldown_time": "20"}`, 17163 * time.Millisecond},
		{`{"cooldown_time": 20}`, 0}, {`[]`, 0}, {`nonsense`, 0}, {``, 0}, {`{"timestamp": 1e300, "cooldown_time": 1}`, 0},
		{`{"timestamp": ` + at + `, "cooldown_time": 1e300}`, 0}, {`{"timestamp": ` + at + `, "cooldown_time": -5}`, 0},
	} {
		if got := remaining(tt.text, now); (got - tt.want).Abs() > 2*time.Millisecond {
			t.Errorf("%s\nlasts %s, want %s", tt.text, got, tt.want)
		}
	}
}

func FuzzRemaining(f *testing.F) {
	f.Add(`{'exception_received': 'x', 'timestamp': 1795817377.5, 'cooldown_time': 30.0}`)
	f.Add(`{"timestamp": 1795817377.5, "cooldown_time": 30.0}`)
	f.Fuzz(func(t *testing.T, text string) {
		if got := remaining(text, time.Unix(1_795_817_380, 0)); got > maxCooldown*time.Second {
			t.Errorf("%q lasts %s", text, got)
		}
	})
}

func TestFailuresAreCountedTogether(t *testing.T) {
	c := client(t, testenv.Redis(t))
	here, there := newFake("d1"), newFake("d1")
	one, two := start(t, Options{Router: here, Namespace: "ns"}, c), start(t, Options{Router: there, Namespace: "ns"}, c)
	failure := func() call.Failure {
		return call.Failure{ID: "d1", Counter: "Timeout", Allowed: 3, Window: time.Minute, Cooldown: call.Cooldown{ID: "d1", Status: 408, At: time.Now(), For: time.Minute}}
	}
	one.Failed(failure())
	one.Failed(failure())
	two.Failed(failure())
	const key = "ns:deployment:d1:allowed_fails:Timeout"
	eventually(t, "three failures are counted", func() bool { return c.Get(t.Context(), key).Val() == "3" })
	if here.cooling("d1") != 0 || there.cooling("d1") != 0 {
		t.Error("as many as are allowed took it out")
	}
	two.Failed(failure())
	eventually(t, "one more takes it out everywhere", func() bool { return here.cooling("d1") > 0 && there.cooling("d1") > 0 })
	if ttl := c.TTL(t.Context(), key).Val(); ttl <= 0 || ttl > time.Minute {
		t.Errorf("the counter lives %s", ttl)
	}
}

func TestUsageAddsUpOnce(t *testing.T) {
	c := client(t, testenv.Redis(t))
	here, there := newFake("d1"), newFake("d1")
	start(t, Options{Router: here, Usage: true, UsageV2: true}, c)
	start(t, Options{Router: there, Usage: true, UsageV2: true}, c)
	minute := time.Now().Unix() / 60
	for i := range int64(40) {
		here.use("d1", call.DeploymentUsage{Minute: minute, Requests: i + 1, Tokens: 10 * (i + 1)})
		there.use("d1", call.DeploymentUsage{Minute: minute, Requests: 2 * (i + 1), Tokens: 5 * (i + 1)})
		time.Sleep(time.Millisecond)
	}
	eventually(t, "each knows of the other", func() bool {
		a, b := here.rest("d1"), there.rest("d1")
		return a.Requests == 80 && a.Tokens == 200 && b.Requests == 40 && b.Tokens == 400
	})
	text := minuteText(minute)
	for key, want := range map[string]string{
		"d1:openai/gpt:rpm:" + text: "120", "d1:openai/gpt:tpm:" + text: "600",
		"global_router:d1:openai/gpt:rpm:" + text: "120", "global_router:d1:openai/gpt:tpm:" + text: "600",
	} {
		time.Sleep(3 * pace)
		if got := c.Get(t.Context(), key).Val(); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
		if ttl := c.TTL(t.Context(), key).Val(); ttl <= 0 || ttl > time.Minute {
			t.Errorf("%s lives %s", key, ttl)
		}
	}
}

// TestNothingIsCountedTwiceWhenRedisFails stops, kills and restarts the server
// while counts go up.
func TestNothingIsCountedTwiceWhenRedisFails(t *testing.T) {
	s := testenv.RedisServer(t)
	o, _ := redis.ParseURL(s.URL("0"))
	o.DialTimeout, o.ReadTimeout = 200*time.Millisecond, 200*time.Millisecond
	o.MaxRetries = -1
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	f := newFake("d1")
	co := start(t, Options{Router: f, Usage: true}, c)
	minute := time.Now().Unix()/60 + 1000 // no turn of the minute in the test
	n := int64(0)
	count := func(steps int) {
		for range steps {
			n++
			f.use("d1", call.DeploymentUsage{Minute: minute, Requests: n})
			time.Sleep(2 * time.Millisecond)
		}
	}
	key := "global_router:d1:openai/gpt:rpm:" + minuteText(minute)
	count(50)
	_ = s.Signal(syscall.SIGSTOP)
	count(100)
	_ = s.Signal(syscall.SIGCONT)
	count(100)
	got := func() int64 {
		v, _ := strconv.ParseInt(c.Get(context.Background(), key).Val(), 10, 64)
		return v
	}
	eventually(t, "counts arrive again", func() bool { return got() > 100 })
	count(50)
	time.Sleep(300 * time.Millisecond)
	if v := got(); v > n {
		t.Errorf("%d requests are counted of %d", v, n)
	}
	s.Stop() // dials fail: what was not sent is told later
	count(50)
	s.Start(t)
	eventually(t, "what was held back arrives", func() bool { return got() >= 50 })
	time.Sleep(5 * pace)
	if v := got(); v > n {
		t.Errorf("%d requests are counted of %d", v, n)
	}
	if co.Refused() != 0 {
		t.Errorf("%d events were refused", co.Refused())
	}
}

func TestNobodyWaitsForAHangingRedis(t *testing.T) {
	s := testenv.RedisServer(t)
	_ = s.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { _ = s.Signal(syscall.SIGCONT) })
	c := client(t, s.URL("0"))
	co := New(Options{Redis: redisconn.NewGuard(c, redisconn.GuardOptions{}), Router: newFake("d1")})
	begin := time.Now()
	for range 3 * waiting {
		co.Cooled(call.Cooldown{ID: "d1", At: begin, For: time.Minute})
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("telling took %s", d)
	}
	if co.Refused() == 0 {
		t.Error("the queue has no bound")
	}
	_ = s.Signal(syscall.SIGCONT)
	co.Close()
}

func TestManyDeploymentsAndAClusterAreRead(t *testing.T) {
	s := testenv.RedisServer(t, "--cluster-enabled", "yes")
	node := client(t, fmt.Sprintf("redis://127.0.0.1:%d", s.Port))
	if err := node.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cluster is ready", func() bool {
		info, _ := node.ClusterInfo(t.Context()).Result()
		return strings.Contains(info, "cluster_state:ok")
	})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{fmt.Sprintf("127.0.0.1:%d", s.Port)}})
	t.Cleanup(func() { _ = cluster.Close() })
	var ids []string
	for i := range 1200 {
		ids = append(ids, fmt.Sprint("d", i))
	}
	here, there := newFake(ids...), newFake(ids...)
	one := start(t, Options{Router: here}, cluster)
	start(t, Options{Router: there}, cluster)
	for _, id := range []string{"d0", "d600", "d1199"} {
		one.Cooled(call.Cooldown{ID: id, At: time.Now(), For: time.Minute})
	}
	eventually(t, "all three arrive", func() bool {
		return there.cooling("d0") > 0 && there.cooling("d600") > 0 && there.cooling("d1199") > 0
	})
}

func TestCloseLeavesNothingAndTellsWhatWaits(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	o, _ := redis.ParseURL(testenv.Redis(t))
	c := redis.NewClient(o)
	co := New(Options{Redis: redisconn.NewGuard(c, redisconn.GuardOptions{}), Router: newFake("d1")})
	for i := range 50 {
		co.Cooled(call.Cooldown{ID: fmt.Sprint("d", i), At: time.Now(), For: time.Minute})
	}
	co.Close()
	if n := c.DBSize(context.Background()).Val(); n != 50 {
		t.Errorf("%d of 50 cooldowns were told", n)
	}
	_ = c.Close()
}

func TestNeverSent(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {redisconn.ErrOpen, true}, {context.DeadlineExceeded, false}, {errors.New("x"), false},
		{fmt.Errorf("wrapped: %w", &net.OpError{Op: "dial"}), true}, {&net.OpError{Op: "read"}, false},
	} {
		if got := neverSent(tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}

func TestResultsOfHealthChecksAreShared(t *testing.T) {
	c := client(t, testenv.Redis(t))
	here, there := newFake("d1", "d2", "d3"), newFake("d1", "d2", "d3")
	one := start(t, Options{Router: here, Health: time.Minute, Namespace: "ns"}, c)
	two := start(t, Options{Router: there, Health: time.Minute, Namespace: "ns"}, c)
	// As LiteLLM writes it, in either notation, with an entry that is too old.
	now := float64(time.Now().Unix())
	c.Set(t.Context(), "ns:"+healthKey, fmt.Sprintf(`{'d3': {'is_healthy': False, 'timestamp': %f, 'reason': 'x'}, 'old': {'is_healthy': False, 'timestamp': 1.0, 'reason': ''}, 'odd': 3}`, now), 0)
	eventually(t, "what LiteLLM found is known", func() bool { d, _ := here.unhealthy("d3"); return d > 50*time.Second && d <= time.Minute })
	one.Checked(map[string]call.Health{"d1": {At: time.Now(), Reason: "InternalServerError"}})
	two.Checked(map[string]call.Health{"d2": {Healthy: true, At: time.Now()}})
	eventually(t, "each knows what the other found", func() bool {
		sick, _ := there.unhealthy("d1")
		well, known := here.unhealthy("d2")
		return sick > 0 && known && well == 0
	})
	one.Checked(map[string]call.Health{"d1": {Healthy: true, At: time.Now()}})
	eventually(t, "it is well again everywhere", func() bool { d, _ := there.unhealthy("d1"); return d == 0 })
	var all map[string]map[string]any
	if err := json.Unmarshal([]byte(c.Get(t.Context(), "ns:"+healthKey).Val()), &all); err != nil || len(all) != 3 || all["d1"]["is_healthy"] != true || all["old"] != nil {
		t.Errorf("%v, %v", all, err)
	}
	if ttl := c.TTL(t.Context(), "ns:"+healthKey).Val(); ttl < time.Minute || ttl > 90*time.Second {
		t.Errorf("it lives %s", ttl)
	}
	none := newFake("d3")
	start(t, Options{Router: none, Namespace: "ns"}, c).Checked(map[string]call.Health{"d9": {At: time.Now()}})
	time.Sleep(5 * pace)
	if _, ok := none.unhealthy("d3"); ok || strings.Contains(c.Get(t.Context(), "ns:"+healthKey).Val(), "d9") {
		t.Error("results are shared although nobody asked")
	}
}

func FuzzReadHealth(f *testing.F) {
	f.Add(`{"d": {"is_healthy": false, "timestamp": 1795817377.5, "reason": "x"}}`)
	f.Add(`{'d': {'is_healthy': True, 'timestamp': 1795817377.5, 'reason': ''}}`)
	f.Fuzz(func(_ *testing.T, text string) { readHealth(text) })
}
