package difftest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/testenv"
)

// redisConfig has a group for each thing that instances share. UPSTREAM, CACHE
// and ROUTER are replaced.
const redisConfig = `model_list:
  - {model_name: plain, litellm_params: {model: openai/plain, api_base: "UPSTREAM/plain/v1", api_key: k}, model_info: {id: P}}
  - {model_name: cool, litellm_params: {model: openai/cool, api_base: "UPSTREAM/coolA/v1", api_key: k}, model_info: {id: coolA}}
  - {model_name: cool, litellm_params: {model: openai/cool, api_base: "UPSTREAM/coolB/v1", api_key: k}, model_info: {id: coolB}}
  - {model_name: chill, litellm_params: {model: openai/chill, api_base: "UPSTREAM/chillA/v1", api_key: k}, model_info: {id: chillA}}
  - {model_name: chill, litellm_params: {model: openai/chill, api_base: "UPSTREAM/chillB/v1", api_key: k}, model_info: {id: chillB}}
  - {model_name: use, litellm_params: {model: openai/use, api_base: "UPSTREAM/useA/v1", api_key: k, rpm: 1000, tpm: 100000}, model_info: {id: useA}}
  - {model_name: lim, litellm_params: {model: openai/lim, api_base: "UPSTREAM/lim/v1", api_key: k, rpm: 6}, model_info: {id: L, rpm: 6}}
  - {model_name: pair, litellm_params: {model: openai/pair, api_base: "UPSTREAM/pairA/v1", api_key: k}, model_info: {id: pairA}}
  - {model_name: pair, litellm_params: {model: openai/pair, api_base: "UPSTREAM/pairB/v1", api_key: k}, model_info: {id: pairB}}
  - {model_name: stay, litellm_params: {model: openai/stay, api_base: "UPSTREAM/stayA/v1", api_key: k}, model_info: {id: stayA}}
  - {model_name: stay, litellm_params: {model: openai/stay, api_base: "UPSTREAM/stayB/v1", api_key: k}, model_info: {id: stayB}}
  - {model_name: sess, litellm_params: {model: openai/sess, api_base: "UPSTREAM/sessA/v1", api_key: k}, model_info: {id: sessA}}
  - {model_name: sess, litellm_params: {model: openai/sess, api_base: "UPSTREAM/sessB/v1", api_key: k}, model_info: {id: sessB}}
  - {model_name: enc, litellm_params: {model: openai/enc, api_base: "UPSTREAM/encA/v1", api_key: k}, model_info: {id: encA}}
  - {model_name: enc, litellm_params: {model: openai/enc, api_base: "UPSTREAM/encB/v1", api_key: k}, model_info: {id: encB}}
general_settings:
  master_key: ` + master + `
  background_health_checks: true
  use_shared_health_check: true
  health_check_interval: 5
COORD
router_settings:
  num_retries: 2
  retry_after: 0
  cooldown_time: 12
  model_group_affinity_config: {pair: [deployment_affinity], stay: [deployment_affinity], sess: [session_affinity], enc: [encrypted_content_affinity]}
ROUTER
litellm_settings:
  request_timeout: 20
CACHE
`

// place is an upstream whose deployments can be told to refuse.
type place struct {
	base string
	mu   sync.Mutex
	hits map[string]int  // calls of chats, without those of health checks
	asks map[string]int  // health checks
	bad  map[string]bool // answers 429
	slow time.Duration   // how long a health check takes
	last map[string]string
}

func newPlace(t *testing.T) *place {
	p := &place{hits: map[string]int{}, asks: map[string]int{}, bad: map[string]bool{}, last: map[string]string{}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id := strings.Split(r.URL.Path, "/")[1]
		p.mu.Lock()
		var wait time.Duration
		if strings.Contains(string(body), "count me") {
			p.hits[id]++
		} else {
			p.asks[id]++
			wait = p.slow
		}
		bad, n := p.bad[id], p.hits[id]
		p.last[id] = string(body)
		p.mu.Unlock()
		time.Sleep(wait)
		w.Header().Set("Content-Type", "application/json")
		if bad {
			w.WriteHeader(http.StatusTooManyRequests)
			io.WriteString(w, `{"error":{"message":"slow down","type":"rate_limit","param":null,"code":null}}`)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/responses") {
			fmt.Fprintf(w, `{"id":"resp_%[1]s","object":"response","created_at":1700000000,"model":"enc","status":"completed","parallel_tool_calls":true,"tool_choice":"auto","tools":[],"output":[{"type":"reasoning","id":"rs_%[1]s","encrypted_content":"secret_%[1]s","summary":[]},{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello","annotations":[]}]}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`, id)
			return
		}
		fmt.Fprintf(w, `{"id":"chatcmpl-%s-%d","object":"chat.completion","created":1700000000,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}`, id, n, id)
	}))
	t.Cleanup(s.Close)
	p.base = s.URL
	return p
}

func (p *place) set(id string, bad bool) {
	p.mu.Lock()
	p.bad[id] = bad
	p.mu.Unlock()
}

func (p *place) count(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits[id]
}

func (p *place) checks() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.asks {
		n += m
	}
	return n
}

func (p *place) slowly(d time.Duration) {
	p.mu.Lock()
	p.slow = d
	p.mu.Unlock()
}

// shape is a way to name a Redis.
type shape struct {
	namespace            string
	cache, router, coord string
	db                   int
	password             string
}

// neighbours runs both with one Redis between them.
type neighbours struct {
	t            *testing.T
	up           *place
	redis        *redis.Client
	server       *testenv.Server
	theirs, ours proxy
	shape        shape
	serial       int
}

func meet(t *testing.T, s shape) *neighbours {
	t.Helper()
	program := litellmProgram(t)
	var args []string
	if s.password != "" {
		args = []string{"--requirepass", s.password}
	}
	n := &neighbours{t: t, up: newPlace(t), server: testenv.RedisServer(t, args...), shape: s}
	n.redis = redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", n.server.Port), DB: s.db, Password: s.password, DisableIdentity: true})
	t.Cleanup(func() { n.redis.Close() })
	text := strings.NewReplacer("UPSTREAM", n.up.base, "CACHE", s.cache, "ROUTER", s.router, "COORD", s.coord).Replace(redisConfig)
	text = strings.NewReplacer("PORT", fmt.Sprint(n.server.Port)).Replace(text)
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "llmgw")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/llmgw/llmgw").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	n.theirs = process(t, program, file, 2*time.Minute)
	n.ours = process(t, bin, file, 10*time.Second, "serve")
	return n
}

// chat asks and returns status, deployment and the answer's own id.
func (n *neighbours) chat(p proxy, model, text, more string) (status int, deployment, id string) {
	n.t.Helper()
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]%s}`, model, "count me: "+text, more)
	r, err := answer(http.DefaultClient, p.base, ask{method: "POST", path: "/v1/chat/completions", body: body})
	if err != nil {
		n.t.Fatal(err)
	}
	var v struct{ ID string }
	_ = json.Unmarshal(r.body, &v)
	return r.status, r.header.Get("X-Litellm-Model-Id"), v.ID
}

// fresh is a text that nobody has asked before.
func (n *neighbours) fresh() string { n.serial++; return fmt.Sprint("q", n.serial) }

// keys are the keys of Redis and how long each lives.
func (n *neighbours) keys() map[string]time.Duration {
	out := map[string]time.Duration{}
	ctx := context.Background()
	for it := n.redis.Scan(ctx, 0, "*", 1000).Iterator(); it.Next(ctx); {
		out[it.Val()] = n.redis.PTTL(ctx, it.Val()).Val()
	}
	return out
}

// list is what Redis holds, for people.
func (n *neighbours) list() string {
	var lines []string
	for k, ttl := range n.keys() {
		v, _ := n.redis.Get(context.Background(), k).Result()
		lines = append(lines, fmt.Sprintf("%s %s %.160s", k, ttl.Round(time.Second), v))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// key is a name as this Redis has it.
func (n *neighbours) key(name string) string {
	if n.shape.namespace == "" {
		return name
	}
	return n.shape.namespace + ":" + name
}

// settled is longer than either takes to look at what the other has told.
const settled = 2500 * time.Millisecond

// sameMinute leaves enough of the clock's minute for what is counted in one.
func sameMinute(need time.Duration) {
	now := time.Now()
	if left := now.Truncate(time.Minute).Add(time.Minute).Sub(now); left < need {
		time.Sleep(left + 100*time.Millisecond)
	}
}

func (n *neighbours) name(p proxy) string {
	if p == n.theirs {
		return "LiteLLM"
	}
	return "llmgw"
}

// cachesApart: each finds what it has stored itself, and neither finds, changes
// or removes what the other has stored (D33).
func (n *neighbours) cachesApart() {
	t, text := n.t, n.fresh()
	once := func(p proxy, upstream int, want string) string {
		status, _, id := n.chat(p, "plain", text, "")
		time.Sleep(300 * time.Millisecond) // answers are stored behind the call
		if status != 200 || n.up.count("plain") != upstream || want != "" && id != want {
			t.Errorf("cache: %s answered %d %s (want %s), the upstream was asked %d times instead of %d", n.name(p), status, id, want, n.up.count("plain"), upstream)
		}
		return id
	}
	theirs := once(n.theirs, 1, "")
	ours := once(n.ours, 2, "")
	for range 2 {
		once(n.theirs, 2, theirs)
		once(n.ours, 2, ours)
	}
	// A flush of ours leaves theirs and everything else alone (D32).
	before := n.keys()
	r, err := answer(http.DefaultClient, n.ours.base, ask{method: "POST", path: "/cache/flushall", body: "{}"})
	if err != nil || r.status != 200 {
		t.Fatalf("flushall: %d %s %v", r.status, r.body, err)
	}
	after := n.keys()
	for k, ttl := range before {
		_, there := after[k]
		if own := strings.Contains(k, "llmgw1:"); own == there && (own || ttl > 2*time.Second) {
			t.Errorf("cache: after llmgw's flush, is %s there: %v", k, there)
		}
	}
	once(n.theirs, 2, theirs)
	once(n.ours, 3, "")
}

// cooldownsShared: what one leaves out the other does not ask, until its end.
func (n *neighbours) cooldownsShared() {
	for _, tt := range []struct {
		group    string
		from, to proxy
	}{{"cool", n.theirs, n.ours}, {"chill", n.ours, n.theirs}} {
		t, bad := n.t, tt.group+"A"
		n.up.set(bad, true)
		for i := 0; n.up.count(bad) == 0 && i < 60; i++ {
			if status, _, _ := n.chat(tt.from, tt.group, n.fresh(), ""); status != 200 {
				t.Errorf("cooldown: %s answered %d", n.name(tt.from), status)
			}
		}
		n.up.set(bad, false)
		time.Sleep(200 * time.Millisecond)
		key := n.key("deployment:" + bad + ":cooldown")
		value, _ := n.redis.Get(context.Background(), key).Result()
		ttl := n.redis.PTTL(context.Background(), key).Val()
		if ttl < 8*time.Second || ttl > 12*time.Second {
			t.Errorf("cooldown: %s wrote %q for %s, want 12 seconds", n.name(tt.from), value, ttl)
		}
		for _, part := range []string{"exception_received", "status_code", "429", "timestamp", "cooldown_time", "12"} {
			if !strings.Contains(value, part) {
				t.Errorf("cooldown: %s wrote %q without %s", n.name(tt.from), value, part)
			}
		}
		time.Sleep(settled)
		count, asked := n.up.count(bad), 0
		for n.redis.PTTL(context.Background(), key).Val() > 1500*time.Millisecond {
			asked++
			if status, where, _ := n.chat(tt.to, tt.group, n.fresh(), ""); status != 200 || where == bad {
				t.Errorf("cooldown: %s answered %d from %s", n.name(tt.to), status, where)
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n.up.count(bad) != count || asked < 10 {
			t.Errorf("cooldown: %s asked what %s had left out %d times in %d", n.name(tt.to), n.name(tt.from), n.up.count(bad)-count, asked)
		}
		time.Sleep(4 * time.Second)
		for i := 0; n.up.count(bad) == count && i < 60; i++ {
			n.chat(tt.to, tt.group, n.fresh(), "")
		}
		if n.up.count(bad) == count {
			t.Errorf("cooldown: %s does not come back to %s after its end", n.name(tt.to), bad)
		}
	}
}

// usageAddsUp: both count into the same keys of a minute.
func (n *neighbours) usageAddsUp() {
	sameMinute(20 * time.Second)
	t := n.t
	for range 3 {
		n.chat(n.theirs, "use", n.fresh(), "")
	}
	for range 2 {
		n.chat(n.ours, "use", n.fresh(), "")
	}
	time.Sleep(settled)
	minute := time.Now().UTC().Format("15-04")
	for name, want := range map[string]string{
		"useA:openai/use:rpm:": "5", "useA:openai/use:tpm:": "35",
		"global_router:useA:openai/use:rpm:": "5", "global_router:useA:openai/use:tpm:": "35",
	} {
		got, _ := n.redis.Get(context.Background(), n.key(name+minute)).Result()
		if got != want {
			t.Errorf("usage: %s is %q, want %q\n%s", name+minute, got, want, n.list())
		}
	}
	for k := range n.keys() {
		if strings.Contains(k, "global_router:plain") || strings.Contains(k, "global_router:cool") && strings.Contains(k, ":tpm:") {
			t.Errorf("usage: %s counts for all what has no limit, which LiteLLM does not", k)
		}
	}
}

// limitHolds: both together do not pass a limit of requests.
func (n *neighbours) limitHolds(pause time.Duration, least, most int) {
	sameMinute(12*pause + 15*time.Second)
	good := map[string]int{}
	for i := range 12 {
		p := []proxy{n.theirs, n.ours}[i%2]
		if status, _, _ := n.chat(p, "lim", n.fresh(), `,"num_retries":0`); status == 200 {
			good[n.name(p)]++
		} else if status != 429 {
			n.t.Errorf("limit: %s answered %d", n.name(p), status)
		}
		time.Sleep(pause)
	}
	if sum := good["LiteLLM"] + good["llmgw"]; sum < least || sum > most || good["LiteLLM"] == 0 || good["llmgw"] == 0 {
		n.t.Errorf("limit: %v calls passed a limit of 6 in a minute\n%s", good, n.list())
	}
}

// claimsHonoured: a caller, or a session, stays where the other has put it.
func (n *neighbours) claimsHonoured() {
	t := n.t
	for _, tt := range []struct {
		group    string
		from, to proxy
	}{{"pair", n.theirs, n.ours}, {"stay", n.ours, n.theirs}} {
		_, first, _ := n.chat(tt.from, tt.group, n.fresh(), "")
		time.Sleep(300 * time.Millisecond)
		for range 8 {
			if _, got, _ := n.chat(tt.to, tt.group, n.fresh(), ""); got != first {
				t.Errorf("affinity: %s sends the caller to %s, %s to %q", n.name(tt.from), first, n.name(tt.to), got)
			}
		}
	}
	for i := range 10 {
		from, to := n.theirs, n.ours
		if i%2 == 1 {
			from, to = to, from
		}
		session := fmt.Sprintf(`,"metadata":{"session_id":"s%d"}`, i)
		_, first, _ := n.chat(from, "sess", n.fresh(), session)
		time.Sleep(200 * time.Millisecond)
		for range 3 {
			if _, got, _ := n.chat(to, "sess", n.fresh(), session); got != first {
				t.Errorf("affinity: %s sends session %d to %s, %s to %q", n.name(from), i, first, n.name(to), got)
			}
		}
	}
	forms := map[string]int{}
	for k := range n.keys() {
		if strings.Contains(k, "deployment_affinity:v1:") {
			v, _ := n.redis.Get(context.Background(), k).Result()
			forms[strings.TrimSuffix(v[:min(len(v), 14)], "\"")]++
		}
	}
	if len(forms) != 1 {
		t.Errorf("affinity: claims in several forms: %v", forms)
	}
}

// itemsFindBack: encrypted items that one has marked lead the other to where
// they were made, in their own words.
func (n *neighbours) itemsFindBack() {
	t := n.t
	ask := func(p proxy, input string) (body []byte, deployment string) {
		r, err := answer(http.DefaultClient, p.base, ask{method: "POST", path: "/v1/responses", body: `{"model":"enc","store":false,"include":["reasoning.encrypted_content"],"input":` + input + `}`})
		if err != nil || r.status != 200 {
			t.Fatalf("items: %s: %d %s %v", n.name(p), r.status, r.body, err)
		}
		return r.body, r.header.Get("X-Litellm-Model-Id")
	}
	for i := range 12 {
		from, to := n.theirs, n.ours
		if i%2 == 1 {
			from, to = to, from
		}
		body, first := ask(from, fmt.Sprintf("%q", "count me: "+n.fresh()))
		var v struct{ Output []json.RawMessage }
		if err := json.Unmarshal(body, &v); err != nil || len(v.Output) != 2 || !strings.Contains(string(v.Output[0]), `encitem_`) || !strings.Contains(string(v.Output[0]), "litellm_enc:") {
			t.Fatalf("items: %s answered %s", n.name(from), body)
		}
		_, got := ask(to, fmt.Sprintf(`[%s,{"role":"user","content":%q}]`, v.Output[0], "count me: "+n.fresh()))
		n.up.mu.Lock()
		sent := n.up.last[first]
		n.up.mu.Unlock()
		if got != first || !strings.Contains(sent, "rs_"+first) || !strings.Contains(sent, `"secret_`+first) || strings.Contains(sent, "encitem_") {
			t.Errorf("items: %s marked what %s made, %s sent to %s %s", n.name(from), first, n.name(to), got, sent)
		}
	}
}

// checksShared: one asks the deployments while the other sleeps; that one wakes
// in the midst of it, waits, takes the results, and asks nobody.
func (n *neighbours) checksShared() {
	t, ctx := n.t, context.Background()
	const deployments = 15
	for _, tt := range []struct{ from, to proxy }{{n.theirs, n.ours}, {n.ours, n.theirs}} {
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			// The round of the start is to be over: its checks are not counted.
			if n.redis.Exists(ctx, n.key("health_check_results")).Val() == 1 && n.redis.Exists(ctx, n.key("health_check_lock")).Val() == 0 {
				break
			}
		}
		halt(t, tt.to)
		n.up.slowly(2 * time.Second)
		n.redis.Del(ctx, n.key("health_check_results"))
		before := n.up.checks()
		var lock string
		var ttl time.Duration
		for end := time.Now().Add(40 * time.Second); lock == "" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			lock, _ = n.redis.Get(ctx, n.key("health_check_lock")).Result()
			ttl = n.redis.PTTL(ctx, n.key("health_check_lock")).Val()
		}
		if !strings.HasPrefix(lock, `"pod_`) || ttl < 50*time.Second || ttl > time.Minute {
			t.Errorf("health: %s holds the lock %q for %s", n.name(tt.from), lock, ttl)
		}
		wake(t, tt.to)
		var results string
		for end := time.Now().Add(60 * time.Second); results == "" && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			results, _ = n.redis.Get(ctx, n.key("health_check_results")).Result()
		}
		ttl = n.redis.PTTL(ctx, n.key("health_check_results")).Val()
		if !strings.Contains(results, strings.Trim(lock, `"`)) || ttl < 4*time.Minute || ttl > 5*time.Minute {
			t.Errorf("health: %s left %.200q for %s", n.name(tt.from), results, ttl)
		}
		n.up.slowly(0)
		time.Sleep(12 * time.Second) // two rounds more
		if got := n.up.checks() - before; got != deployments {
			t.Errorf("health: while %s asked and %s waited, %d checks of %d deployments were made", n.name(tt.from), n.name(tt.to), got, deployments)
		}
		if left, _ := n.redis.Get(ctx, n.key("health_check_lock")).Result(); left != "" {
			t.Errorf("health: the lock %q of %s is still there", left, n.name(tt.from))
		}
		r, err := answer(http.DefaultClient, tt.to.base, ask{method: "GET", path: "/health/shared-status"})
		if err != nil || !strings.Contains(string(r.body), strings.Trim(lock, `"`)) {
			t.Errorf("health: %s says %d %s %v, want last_checked_by %s", n.name(tt.to), r.status, r.body, err, lock)
		}
	}
}

// nothingStays: what is left when both have ended, ends.
func (n *neighbours) nothingStays() {
	end(n.theirs)
	end(n.ours)
	for k, ttl := range n.keys() {
		if ttl == -1 { // none; -2 is one that has just ended
			n.t.Errorf("left without an end: %s", k)
		}
	}
	n.t.Log("left behind:\n" + n.list())
}

// TestLiteLLMAndLLMGWShareARedis is a rolling swap: both serve the same
// configuration before one upstream, with one Redis between them.
func TestLiteLLMAndLLMGWShareARedis(t *testing.T) {
	t.Run("a cache by host and port with a password and a namespace", func(t *testing.T) {
		t.Parallel()
		n := meet(t, shape{
			namespace: "ns", password: "geheim",
			cache:  "  cache: true\n  cache_params: {type: redis, host: 127.0.0.1, port: PORT, password: geheim, namespace: ns, ttl: 120}",
			router: "  routing_strategy: usage-based-routing-v2",
		})
		n.cachesApart()
		n.cooldownsShared()
		n.usageAddsUp()
		n.limitHolds(1200*time.Millisecond, 5, 6)
		n.claimsHonoured()
		n.checksShared()
		n.nothingStays()
	})
	t.Run("a router by URL with a database and a password", func(t *testing.T) {
		t.Parallel()
		const url = `"redis://:geheim@127.0.0.1:PORT/3"`
		n := meet(t, shape{
			db: 3, password: "geheim",
			router: "  redis_url: " + url + "\n  optional_pre_call_checks: [enforce_model_rate_limits]",
			coord:  "  coordination_redis: {url: " + url + "}",
			cache:  "  cache: true\n  cache_params: {type: redis, url: " + url + "}",
		})
		n.cachesApart()
		n.itemsFindBack()
		n.limitHolds(100*time.Millisecond, 6, 6)
		n.cooldownsShared()
		n.claimsHonoured()
		n.checksShared()
		n.nothingStays()
	})
	t.Run("coordination_redis alone", func(t *testing.T) {
		t.Parallel()
		n := meet(t, shape{coord: "  coordination_redis: {host: 127.0.0.1, port: PORT}"})
		n.checksShared()
		n.cooldownsShared()
		n.claimsHonoured()
		n.nothingStays()
	})
}
