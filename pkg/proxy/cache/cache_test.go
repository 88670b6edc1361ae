package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

func query(t testing.TB, body string) *wire.CacheQuery {
	t.Helper()
	r := &splice.Request{}
	if err := r.Scan([]byte(body)); err != nil {
		t.Fatal(err)
	}
	return &wire.CacheQuery{Kind: "completion", Request: r, Model: "gpt", Stream: r.Streams(), Header: map[string][]string{}}
}

const hello = `{"model":"gpt","messages":[{"role":"user","content":"hi"}],"temperature":0.2}`

func open(t testing.TB, o Options) *Cache {
	t.Helper()
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

// ask looks a body up; it keeps answer when there is none.
func ask(t testing.TB, c *Cache, body, answer string) (got string, ticket wire.CacheTicket) {
	t.Helper()
	hit, err := c.Lookup(t.Context(), query(t, body), &ticket)
	if err != nil {
		t.Fatal(err)
	}
	if hit != nil {
		return string(hit.Body), ticket
	}
	if answer != "" {
		c.Keep(&ticket, []byte(answer), call.Usage{PromptTokens: 3, TotalTokens: 3, Known: true})
	}
	return "", ticket
}

// TestKeyNamespace pins D33 of docs/compatibility.md.
func TestKeyNamespace(t *testing.T) {
	key := func(o Options, body string) string {
		_, ticket := ask(t, open(t, o), body, "")
		return ticket.Key
	}
	plain := key(Options{}, hello)
	if !strings.HasPrefix(plain, "llmgw1:") || len(plain) != len("llmgw1:")+64 {
		t.Errorf("key %q", plain)
	}
	const spaced = `{"tools": [],"model":"gpt", "messages":[ {"role":"user", "content":"hi  \"there\""} ], "temperature":0.2 }`
	if got := key(Options{}, spaced); got != "llmgw1:1da99d8500e5576138a5e44e4845ef3f400985d52a49d70ab5365e6776c18f9f" {
		t.Errorf("key %q: entries that another version has kept are not found", got)
	}
	if got := key(Options{Namespace: "prod"}, hello); got != "prod:"+plain {
		t.Errorf("with a namespace %q, want prod: and the same", got)
	}
	with := func(member string) string { return hello[:len(hello)-1] + "," + member + "}" }
	if got := key(Options{Namespace: "prod"}, with(`"cache":{"namespace":"mine"}`)); got != "prod:mine:"+plain {
		t.Errorf("with a namespace of the request %q", got)
	}
	for name, tt := range map[string]struct {
		body string
		same bool
	}{
		"another order":                {`{"temperature":0.2,"messages":[{"role":"user","content":"hi"}],"model":"gpt"}`, true},
		"spaces":                       {`{ "model":"gpt", "messages":[ {"role":"user", "content":"hi"} ], "temperature":0.2 }`, true},
		"a null":                       {with(`"top_p":null`), true},
		"metadata":                     {with(`"metadata":{"a":1}`), true},
		"what the gateway strips":      {with(`"timeout":3`), true},
		"another temperature":          {strings.Replace(hello, "0.2", "0.3", 1), false},
		"another message":              {strings.Replace(hello, "hi", "ho", 1), false},
		"a user":                       {with(`"user":"u"`), false},
		"a vendor's parameter":         {with(`"top_k":3`), false},
		"a stream":                     {with(`"stream":true`), false},
		"a value that runs into names": {`{"model":"gpt","messages":[{"role":"user","content":"hi"}],"temperature":0.2,"x":"1","y":"2"}`, false},
	} {
		if got := key(Options{}, tt.body); (got == plain) != tt.same {
			t.Errorf("%s: same key: %v", name, got == plain)
		}
	}
	groups := open(t, Options{Groups: map[string]string{"gpt": "a,b", "other": "a,b"}})
	q := query(t, hello)
	var one, two wire.CacheTicket
	_, _ = groups.Lookup(t.Context(), q, &one)
	q.Model = "other"
	_, _ = groups.Lookup(t.Context(), q, &two)
	if one.Key != two.Key {
		t.Error("models of one caching group have different keys")
	}
	for scope, same := range map[string]bool{"": true, "key": false, "team": true} {
		c := open(t, Options{Scope: scope})
		q := query(t, hello)
		q.Caller = &call.Identity{KeyHash: "k1", TeamID: "t"}
		_, _ = c.Lookup(t.Context(), q, &one)
		q.Caller = &call.Identity{KeyHash: "k2", TeamID: "t"}
		_, _ = c.Lookup(t.Context(), q, &two)
		if (one.Key == two.Key) != same {
			t.Errorf("tenant_scope %q: two keys of a team share: %v", scope, one.Key == two.Key)
		}
	}
}

func TestControlsOfARequest(t *testing.T) {
	with := func(control string) string { return hello[:len(hello)-1] + `,"cache":` + control + "}" }
	for _, tt := range []struct {
		name          string
		o             Options
		first, second string
		hit           bool
		err           string
	}{
		{name: "the same again is a hit", first: hello, second: hello, hit: true},
		{name: "no-store keeps nothing", first: with(`{"no-store":true}`), second: hello},
		{name: "no-cache does not read", first: hello, second: with(`{"no-cache":true}`)},
		{name: "no-cache writes", first: with(`{"no-cache":true}`), second: hello, hit: true},
		{name: "s-maxage takes the young", first: hello, second: with(`{"s-maxage":60}`), hit: true},
		{name: "s-maxage refuses the old", first: hello, second: with(`{"s-maxage":0.01}`)},
		{name: "s-max-age is the same", first: hello, second: with(`{"s-max-age":0.01}`)},
		{name: "a namespace of its own", first: hello, second: with(`{"namespace":"x"}`)},
		{name: "the same namespace", first: with(`{"namespace":"x"}`), second: with(`{"namespace":"x"}`), hit: true},
		{name: "ttl ends an entry", first: with(`{"ttl":0.01}`), second: hello},
		{name: "opt-in without asking", o: Options{OptIn: true}, first: hello, second: hello},
		{name: "opt-in asked for", o: Options{OptIn: true}, first: with(`{"use-cache":true}`), second: with(`{"use-cache":true}`), hit: true},
		{name: "caching: false stays away", first: hello[:len(hello)-1] + `,"caching":false}`, second: hello},
		{name: "other call types stay away", o: Options{CallTypes: []string{"aembedding"}}, first: hello, second: hello},
		{name: "acompletion is a completion", o: Options{CallTypes: []string{"acompletion"}}, first: hello, second: hello, hit: true},
		{name: "null says nothing", first: with("null"), second: hello, hit: true},
		{name: "unknown words are passed over", first: with(`{"supports":1}`), second: hello, hit: true},
		{name: "a text is refused", first: with(`"no-cache"`), err: "expected an object"},
		{name: "a word for a switch is refused", first: with(`{"no-cache":"yes"}`), err: "no-cache must be true or false"},
		{name: "a negative ttl is refused", first: with(`{"ttl":-1}`), err: "ttl must be a number"},
		{name: "a long namespace is refused", first: with(`{"namespace":"` + strings.Repeat("x", 200) + `"}`), err: "at most 128"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := open(t, tt.o)
			var ticket wire.CacheTicket
			_, err := c.Lookup(t.Context(), query(t, tt.first), &ticket)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Message, tt.err) || err.StatusCode() != 400 {
					t.Errorf("%v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.Keep(&ticket, []byte(`{"a":1}`), call.Usage{})
			time.Sleep(20 * time.Millisecond)
			got, _ := ask(t, c, tt.second, "")
			if (got != "") != tt.hit {
				t.Errorf("hit: %v, want %v", got != "", tt.hit)
			}
		})
	}
}

func TestLifeOfAnEntry(t *testing.T) {
	s := time.Second
	for _, tt := range []struct {
		name string
		o    Options
		body string
		want time.Duration
	}{
		{"ten minutes in memory", Options{}, hello, 600 * s},
		{"the configuration's", Options{TTL: 5 * s}, hello, 5 * s},
		{"that of the backend is above it", Options{TTL: 5 * s, MemoryTTL: 7 * s}, hello, 7 * s},
		{"the request's is above all", Options{TTL: 5 * s, MemoryTTL: 7 * s}, hello[:len(hello)-1] + `,"cache":{"ttl":9}}`, 9 * s},
	} {
		if _, ticket := ask(t, open(t, tt.o), tt.body, ""); ticket.TTL != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, ticket.TTL, tt.want)
		}
	}
	q := query(t, hello)
	q.Header["Cache-Control"] = []string{"public, s-maxage=42"}
	var ticket wire.CacheTicket
	if _, err := open(t, Options{}).Lookup(t.Context(), q, &ticket); err != nil || ticket.TTL != 42*s {
		t.Errorf("by header: %s, %v", ticket.TTL, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const bound = 1 << 20
	c := open(t, Options{Memory: bound})
	answer := strings.Repeat("x", 2000)
	for i := range 5000 {
		ask(t, c, fmt.Sprintf(`{"model":"gpt","messages":[],"seed":%d}`, i), answer)
	}
	s := c.Stats()
	if s.MemoryBytes > bound || s.MemoryBytes < bound/2 || s.MemoryEntries < 200 {
		t.Errorf("%d entries in %d bytes, the bound is %d", s.MemoryEntries, s.MemoryBytes, bound)
	}
	if got, _ := ask(t, c, `{"model":"gpt","messages":[],"seed":4999}`, ""); got == "" {
		t.Error("the latest entry is gone")
	}
	if got, _ := ask(t, c, `{"model":"gpt","messages":[],"seed":0}`, ""); got != "" {
		t.Error("the oldest entry is still there")
	}
	ask(t, c, hello, strings.Repeat("x", bound))
	if now := c.Stats(); now.MemoryEntries != s.MemoryEntries {
		t.Error("an answer as large as the cache drove out others")
	}
}

func guard(t testing.TB, yaml string, o redisconn.GuardOptions) *redisconn.Guard {
	t.Helper()
	n, _, err := config.ParseYAML("c.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	p, findings := redisconn.FromCache(n, config.ProcessEnv(nil))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	client, err := redisconn.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return redisconn.NewGuard(client, o)
}

// TestRedisOfEveryKind keeps and finds answers in one server by URL and by
// parts, behind sentinels, and in a cluster.
func TestRedisOfEveryKind(t *testing.T) {
	single := testenv.RedisServer(t, "--requirepass", "p@ss")
	clustered := testenv.RedisServer(t, "--cluster-enabled", "yes")
	node := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", clustered.Port)})
	t.Cleanup(func() { _ = node.Close() })
	if err := node.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if info, _ := node.ClusterInfo(t.Context()).Result(); strings.Contains(info, "cluster_state:ok") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	watched := testenv.RedisServer(t)
	for name, yaml := range map[string]string{
		"parts":    fmt.Sprintf("{host: 127.0.0.1, port: %d, password: p@ss}", single.Port),
		"url":      fmt.Sprintf("{url: 'redis://:p%%40ss@127.0.0.1:%d/1'}", single.Port),
		"cluster":  fmt.Sprintf("{redis_startup_nodes: [{host: 127.0.0.1, port: %d}]}", clustered.Port),
		"sentinel": fmt.Sprintf("{sentinel_nodes: [[127.0.0.1, %d]], service_name: main}", sentinel(t, watched.Port)),
	} {
		t.Run(name, func(t *testing.T) {
			g := guard(t, yaml, redisconn.GuardOptions{})
			one := open(t, Options{Redis: g, Namespace: "ns[*]", Patience: 5 * time.Second, Kind: "redis"})
			two := open(t, Options{Redis: g, Namespace: "ns[*]", Patience: 5 * time.Second, MemoryTTL: time.Minute})
			ask(t, one, hello, `{"answer":"é <&>"}`)
			deadline := time.Now().Add(5 * time.Second)
			var got string
			for got == "" && time.Now().Before(deadline) {
				got, _ = ask(t, two, hello, "")
			}
			if got != `{"answer":"é <&>"}` {
				t.Fatalf("the other instance finds %q", got)
			}
			_, ticket := ask(t, one, hello, "")
			client := g.Client()
			if ttl := client.PTTL(t.Context(), ticket.Key).Val(); ttl <= 0 || ttl > DefaultRedisTTL {
				t.Errorf("it lives %s", ttl)
			}
			var raw map[string]any
			if err := json.Unmarshal([]byte(client.Get(t.Context(), ticket.Key).Val()), &raw); err != nil || raw["response"] == nil || raw["timestamp"] == nil {
				t.Errorf("stored as %v, %v", raw, err)
			}
			if err := one.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			if _, _, err := one.Info(t.Context()); err != nil {
				t.Error(err)
			}
			// Deleting and flushing leave what is not the cache's.
			foreign := []string{"spend:key:abc", "ns[*]:deployment:x:cooldown", "other:" + ticket.Key, "ns[*]:llmgw1:short"}
			for _, k := range foreign {
				if err := client.Set(t.Context(), k, "1", 0).Err(); err != nil {
					t.Fatal(err)
				}
			}
			if err := one.Delete(t.Context(), []string{"spend:key:abc"}); err == nil {
				t.Error("a foreign key was deleted")
			}
			if err := one.Delete(t.Context(), []string{ticket.Key}); err != nil {
				t.Error(err)
			}
			if got, _ := ask(t, one, hello, ""); got != "" {
				t.Error("a deleted entry is still there")
			}
			if got, _ := ask(t, two, hello, ""); got == "" {
				t.Error("the second level in memory did not keep it")
			}
			if err := two.Flush(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if got, _ := ask(t, two, hello, ""); got != "" {
				t.Error("a flushed entry is still there")
			}
			if n := client.Exists(t.Context(), foreign[0]).Val(); n != 1 {
				t.Error("a flush took a foreign key")
			}
			for _, k := range foreign {
				if client.Exists(t.Context(), k).Val() != 1 {
					t.Errorf("a flush took %s", k)
				}
			}
			if err := one.Flush(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if client.Exists(t.Context(), foreign[0]).Val() != 0 {
				t.Error("?all=true left something")
			}
		})
	}
}

// sentinel runs a sentinel that watches a server.
func sentinel(t *testing.T, watched int) int {
	t.Helper()
	program := testenv.Need(t, "redis-server")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "sentinel monitor main 127.0.0.1 %d 1\n", watched), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess(program, []string{program, conf, "--sentinel", "--port", fmt.Sprint(port), "--bind", "127.0.0.1"}, &os.ProcAttr{Dir: filepath.Dir(conf)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Kill()
		_, _ = p.Wait()
	})
	for range 400 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return port
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("the sentinel does not answer")
	return 0
}

// TestAHangingRedisCostsNoMoreThanTheBound stops a real server in mid-life.
func TestAHangingRedisCostsNoMoreThanTheBound(t *testing.T) {
	s := testenv.RedisServer(t)
	const patience = 100 * time.Millisecond
	reports := make(chan error, 10)
	g := guard(t, fmt.Sprintf("{host: 127.0.0.1, port: %d}", s.Port), redisconn.GuardOptions{
		Failures: 3, Recovery: 500 * time.Millisecond, Report: func(err error) { reports <- err },
	})
	c := open(t, Options{Redis: g, Patience: patience})
	ask(t, c, hello, `{"a":1}`)
	for got := ""; got == ""; got, _ = ask(t, c, hello, "") {
		time.Sleep(time.Millisecond)
	}
	if err := s.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Signal(syscall.SIGCONT) })
	var took []time.Duration
	skipped := g.Skipped()
	for range 20 {
		begin := time.Now()
		if got, _ := ask(t, c, hello, ""); got != "" {
			t.Fatal("an answer from a server that does not run")
		}
		took = append(took, time.Since(begin))
	}
	t.Logf("lookups took %v", took)
	// Three wait, and perhaps one more that tries whether it is back; a busy
	// machine may need longer than the recovery, so that more of them try.
	if n := g.Skipped() - skipped; n < 10 {
		t.Errorf("%d of 20 lookups did not wait, the circuit opens after 3", n)
	}
	// The scheduler of a busy machine adds to the deadline.
	if worst := slices.Max(took); worst > patience+5*time.Second {
		t.Errorf("a lookup took %s, the bound is %s", worst, patience)
	}
	if err := <-reports; err == nil {
		t.Error("the circuit closed before it opened")
	}
	_ = s.Signal(syscall.SIGCONT)
	deadline := time.Now().Add(10 * time.Second)
	for got := ""; got == ""; got, _ = ask(t, c, hello, `{"c":1}`) {
		if time.Now().After(deadline) {
			t.Fatal("a server that runs again is not used")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := <-reports; err != nil {
		t.Errorf("reported %v when it answered again", err)
	}
}

func TestARedisThatIsGoneFailsNothing(t *testing.T) {
	s := testenv.RedisServer(t)
	g := guard(t, fmt.Sprintf("{host: 127.0.0.1, port: %d}", s.Port), redisconn.GuardOptions{})
	c := open(t, Options{Redis: g})
	ask(t, c, hello, `{"a":1}`)
	s.Stop()
	for range 50 {
		begin := time.Now()
		ask(t, c, hello, `{"a":1}`)
		if d := time.Since(begin); d > DefaultPatience+2*time.Second {
			t.Errorf("a lookup took %s", d)
		}
	}
	if !g.Open() {
		t.Error("the circuit is not open")
	}
	for range 5000 { // more than the queue holds
		ask(t, c, hello, `{"a":1}`)
	}
}

func TestWhatOthersWroteIsAMiss(t *testing.T) {
	g := guard(t, "{url: '"+testenv.Redis(t)+"'}", redisconn.GuardOptions{})
	c := open(t, Options{Redis: g, Patience: 5 * time.Second})
	_, ticket := ask(t, c, hello, "")
	for _, value := range []string{"", "x", "{}", `{"timestamp":1,"response":7}`, `{"timestamp":1,"response":"{}","until":2}`, `{"timestamp":-1,"response":"{}","until":1e300}`} {
		if err := g.Client().Set(t.Context(), ticket.Key, value, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if got, _ := ask(t, c, hello, ""); got != "" {
			t.Errorf("%q was answered with %q", value, got)
		}
	}
	if err := g.Client().LPush(t.Context(), ticket.Key+"x", "1").Err(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseWritesWhatWaitsAndLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	n, _, _ := config.ParseYAML("c.yaml", []byte("{url: '"+testenv.Redis(t)+"'}"))
	p, _ := redisconn.FromCache(n, config.ProcessEnv(nil))
	client, err := redisconn.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Redis: redisconn.NewGuard(client, redisconn.GuardOptions{}), Patience: 5 * time.Second})
	var last wire.CacheTicket
	for i := range 200 {
		_, last = ask(t, c, fmt.Sprintf(`{"model":"gpt","messages":[],"seed":%d}`, i), `{"a":1}`)
	}
	c.Close()
	if n, _ := client.DBSize(context.Background()).Result(); n != 200 || client.Exists(context.Background(), last.Key).Val() != 1 {
		t.Errorf("%d of 200 answers were written", n)
	}
	_ = client.Close()
}

// BenchmarkLookup compares the ways to name a Redis: they are one client in the
// end and must run at one speed.
func BenchmarkLookup(b *testing.B) {
	s := testenv.RedisServer(b)
	for _, bb := range []struct{ name, yaml string }{
		{"url", fmt.Sprintf("{url: 'redis://127.0.0.1:%d/0'}", s.Port)},
		{"host and port", fmt.Sprintf("{host: 127.0.0.1, port: %d}", s.Port)},
		{"memory", ""},
	} {
		b.Run(bb.name, func(b *testing.B) {
			o := Options{Patience: 5 * time.Second}
			if bb.yaml != "" {
				o.Redis = guard(b, bb.yaml, redisconn.GuardOptions{})
			}
			c := open(b, o)
			ask(b, c, hello, `{"a":1}`)
			for got := ""; got == ""; got, _ = ask(b, c, hello, "") {
			}
			q := query(b, hello)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				var t wire.CacheTicket
				for pb.Next() {
					if hit, _ := c.Lookup(context.Background(), q, &t); hit == nil {
						b.Fatal("a miss")
					}
				}
			})
			b.StopTimer()
			if o.Redis != nil {
				b.ReportMetric(float64(o.Redis.Client().PoolStats().TotalConns), "conns")
			}
		})
	}
}
