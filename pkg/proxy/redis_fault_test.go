package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/testenv"
)

// viaSlow is a way to a port on which every answer takes a time.
func viaSlow(t *testing.T, port int, delay time.Duration) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.Map
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				c.Close()
				continue
			}
			open.Store(c, true)
			open.Store(up, true)
			go func() { _, _ = io.Copy(up, c); up.Close() }()
			go func() {
				defer c.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := up.Read(buf)
					if err != nil {
						return
					}
					time.Sleep(delay)
					if _, err := c.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// cluster makes one of two servers, with all slots on the first.
func cluster(t *testing.T) (first, second *testenv.Server) {
	t.Helper()
	first, second = testenv.RedisServer(t, "--cluster-enabled", "yes"), testenv.RedisServer(t, "--cluster-enabled", "yes")
	a, b := redisTo(t, first), redisTo(t, second)
	must(t, a.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err())
	must(t, b.Do(t.Context(), "CLUSTER", "MEET", "127.0.0.1", first.Port).Err())
	ready := func(c *redis.Client) bool {
		info, _ := c.ClusterInfo(t.Context()).Result()
		return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2") && strings.Contains(info, "cluster_slots_assigned:16384")
	}
	for end := time.Now().Add(20 * time.Second); !ready(a) || !ready(b); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the cluster does not come together")
		}
	}
	return first, second
}

func redisTo(t *testing.T, s *testenv.Server) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port)})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestARedisThatFailsCostsAStatedTimeAtMost lets Redis fail in every way while
// it holds the cache, the affinities and the counts of limits, and measures what
// requests notice of it. -v prints the table of docs/operations.md.
func TestARedisThatFailsCostsAStatedTimeAtMost(t *testing.T) {
	const calls, clients = 160, 8
	for _, tt := range []struct {
		name string
		// way is where the gateway looks for Redis; nil means the server itself.
		way func(t *testing.T, s *testenv.Server) string
		// breaks happens between the first request and the measured ones.
		breaks func(t *testing.T, s *testenv.Server)
		// opens says that Redis is to be left alone after a few looks in vain.
		opens bool
	}{
		{name: "well", breaks: func(*testing.T, *testenv.Server) {}},
		{name: "killed", breaks: func(_ *testing.T, s *testenv.Server) { s.Stop() }, opens: true},
		{name: "paused", breaks: func(t *testing.T, s *testenv.Server) {
			must(t, s.Signal(syscall.SIGSTOP))
			t.Cleanup(func() { _ = s.Signal(syscall.SIGCONT) })
		}, opens: true},
		{name: "answers in 100 ms", way: func(t *testing.T, s *testenv.Server) string {
			return single(viaSlow(t, s.Port, 100*time.Millisecond))
		}, breaks: func(*testing.T, *testenv.Server) {}},
		{name: "answers in 200 ms", way: func(t *testing.T, s *testenv.Server) string {
			return single(viaSlow(t, s.Port, 200*time.Millisecond))
		}, breaks: func(*testing.T, *testenv.Server) {}},
		{name: "answers in 1 s", way: func(t *testing.T, s *testenv.Server) string {
			return single(viaSlow(t, s.Port, time.Second))
		}, breaks: func(*testing.T, *testenv.Server) {}, opens: true},
		{name: "full", breaks: func(t *testing.T, s *testenv.Server) {
			c := redisTo(t, s)
			must(t, c.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
			must(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
		}},
		{name: "a replica that only reads", breaks: func(t *testing.T, s *testenv.Server) {
			must(t, redisTo(t, s).Do(t.Context(), "REPLICAOF", "127.0.0.1", 1).Err())
		}},
		{name: "its password has changed", breaks: func(t *testing.T, s *testenv.Server) {
			c := redisTo(t, s)
			must(t, c.ConfigSet(t.Context(), "requirepass", "another").Err())
			_ = c.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no").Err()
		}, opens: true},
		{name: "loads or is busy", breaks: func(t *testing.T, s *testenv.Server) {
			c := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port), ReadTimeout: time.Minute, MaxRetries: -1})
			must(t, c.ConfigSet(t.Context(), "busy-reply-threshold", "50").Err())
			go func() { _ = c.Eval(t.Context(), "while true do end", nil).Err(); _ = c.Close() }()
			time.Sleep(200 * time.Millisecond)
			t.Cleanup(func() { _ = redisTo(t, s).ScriptKill(t.Context()).Err() })
		}, opens: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := testenv.RedisServer(t)
			where := single(s.Port)
			if tt.way != nil {
				where = tt.way(t, s)
			}
			url := onRedis(t, where)
			if tt.way == nil {
				ask(t, url, 0)
			}
			tt.breaks(t, s)
			first := ask(t, url, 1)
			m := measure(t, url, calls, clients)
			t.Logf("| %s | %s | %s |", tt.name, first.Round(time.Millisecond), m)
			if m.worst > 10*time.Second {
				t.Errorf("a request took %s", m.worst)
			}
			// Once the circuit is open nobody waits: at most five looks fail, and
			// those that were under way beside them.
			if tt.opens && m.half > 200*time.Millisecond {
				t.Errorf("half of the requests took longer than %s while Redis should be left alone", m.half)
			}
		})
	}
	t.Run("a slot that moves", func(t *testing.T) {
		first, second := cluster(t)
		url := onRedis(t, fmt.Sprintf("redis_startup_nodes: [{host: 127.0.0.1, port: %d}]", first.Port))
		ask(t, url, 0)
		a, b := redisTo(t, first), redisTo(t, second)
		to, err := b.Do(t.Context(), "CLUSTER", "MYID").Text()
		must(t, err)
		// All slots go over, and the clients' maps are wrong for every key.
		must(t, a.FlushAll(t.Context()).Err())
		for slot := range 16384 {
			must(t, b.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", to).Err())
			if err := a.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", to).Err(); err != nil {
				// What was written meanwhile stays behind.
				must(t, a.FlushAll(t.Context()).Err())
				must(t, a.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", to).Err())
			}
		}
		one := ask(t, url, 1)
		m := measure(t, url, calls, clients)
		t.Logf("| a slot that moves | %s | %s |", one.Round(time.Millisecond), m)
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if n := b.DBSize(t.Context()).Val(); n > 10 {
				break
			}
			if time.Now().After(end) {
				t.Fatal("nothing arrives where the slots are now")
			}
		}
	})
}

// TestNothingInRedisNeedsVersion7: the commands of a busy gateway are older than
// the oldest server that somebody may have.
func TestNothingInRedisNeedsVersion7(t *testing.T) {
	s := testenv.RedisServer(t)
	url := onRedis(t, single(s.Port))
	for i := range 20 {
		ask(t, url, i)
	}
	time.Sleep(1500 * time.Millisecond)
	c := redisTo(t, s)
	stats, err := c.Info(t.Context(), "commandstats").Result()
	must(t, err)
	seen := 0
	for line := range strings.Lines(stats) {
		name, ok := strings.CutPrefix(line, "cmdstat_")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, ":")
		name, _, _ = strings.Cut(name, "|")
		docs, err := c.Do(t.Context(), "COMMAND", "DOCS", name).Result()
		must(t, err)
		since := ""
		if m, ok := docs.(map[any]any); ok {
			if d, ok := m[name].(map[any]any); ok {
				since, _ = d["since"].(string)
			}
		}
		seen++
		if since == "" || since >= "6.2" {
			t.Errorf("%s is of version %q", name, since)
		}
	}
	if seen < 5 {
		t.Errorf("only %d commands were seen:\n%s", seen, stats)
	}
}

func single(port int) string { return fmt.Sprintf("host: 127.0.0.1, port: %d", port) }

// onRedis is a gateway that keeps in Redis all that it can.
func onRedis(t *testing.T, where string) string {
	t.Helper()
	a, _, _ := twin(t, "a")
	b, _, _ := twin(t, "b")
	c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: pair, litellm_params: {model: openai/gpt, api_key: k, api_base: '%s', rpm: 100000, tpm: 10000000}, model_info: {id: A}}
- {model_name: pair, litellm_params: {model: openai/gpt, api_key: k, api_base: '%s', rpm: 100000, tpm: 10000000}, model_info: {id: B}}
router_settings: {optional_pre_call_checks: [deployment_affinity, session_affinity, enforce_model_rate_limits]}
litellm_settings: {cache: true, cache_params: {type: redis, %s}}
`, a, b, where))
	for _, f := range findings {
		t.Log(f.Message)
	}
	return started(t, c)
}

// ask sends a request that nobody has sent, in a session of its own, and says how
// long it took.
func ask(t *testing.T, url string, n int) time.Duration {
	begin := time.Now()
	resp, body := post(t, url+"/v1/chat/completions", fmt.Sprintf(`{"model":"pair","seed":%d,"messages":[{"role":"user","content":"x"}],"metadata":{"session_id":"s%d"}}`, n, n))
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	return time.Since(begin)
}

// measured is what a run of requests took.
type measured struct{ half, most, worst time.Duration }

func (m measured) String() string {
	round := func(d time.Duration) string {
		if d >= 10*time.Millisecond {
			return d.Round(time.Millisecond).String()
		}
		return d.Round(100 * time.Microsecond).String()
	}
	return fmt.Sprintf("%s | %s | %s", round(m.half), round(m.most), round(m.worst))
}

func measure(t *testing.T, url string, calls, clients int) measured {
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for j := range calls / clients {
				d := ask(t, url, 1000+i*calls+j)
				mu.Lock()
				all = append(all, d)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(all)
	return measured{all[len(all)/2], all[len(all)*95/100], all[len(all)-1]}
}
