package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// counting is an upstream that counts and numbers its answers.
func counting(t testing.TB) (base string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	return upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "fail") {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":{"message":"no","type":"invalid_request_error"}}`)
			return
		}
		if strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			for _, e := range strings.SplitAfter(okStream, "\n\n") {
				io.WriteString(w, e)
				w.(http.Flusher).Flush()
				if strings.Contains(string(body), "cut") {
					return
				}
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, strings.Replace(okAnswer, "chatcmpl-1", fmt.Sprint("chatcmpl-", n), 1))
	}), asked
}

// configured runs a gateway of a configuration with one model, fast, at base.
func configured(t testing.TB, base, yaml string, sink func([]call.Call)) string {
	t.Helper()
	c, findings := load(t, "model_list: [{model_name: fast, litellm_params: {model: openai/gpt-4o-mini, api_key: k, api_base: '"+base+"'}}]\n"+yaml)
	for _, f := range findings {
		t.Log(f.Message)
	}
	c.Sink = sink
	_, url := gateway(t, c)
	return url
}

const (
	askOnce   = `{"model":"fast","messages":[{"role":"user","content":"hi"}]}`
	askStream = `{"model":"fast","stream":true,"messages":[{"role":"user","content":"hi"}]}`
)

func TestTheCacheAnswersTheSecondRequest(t *testing.T) {
	base, asked := counting(t)
	var mu sync.Mutex
	var calls []call.Call
	url := configured(t, base, "litellm_settings: {cache: true, cache_params: {type: local}}", func(b []call.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, b...)
	})
	first, body := post(t, url+"/v1/chat/completions", askOnce)
	second, again := post(t, url+"/v1/chat/completions", askOnce)
	if body != again || asked.Load() != 1 {
		t.Errorf("%d requests upstream; %s\nthen %s", asked.Load(), body, again)
	}
	key := first.Header.Get("x-litellm-cache-key")
	if !strings.HasPrefix(key, "llmgw1:") || second.Header.Get("x-litellm-cache-key") != key {
		t.Errorf("keys %q and %q", key, second.Header.Get("x-litellm-cache-key"))
	}
	if id := second.Header.Get("x-litellm-model-id"); id == "" || id != first.Header.Get("x-litellm-model-id") || second.Header.Get("x-litellm-model-group") != "fast" {
		t.Errorf("the second answer names %q %q", id, second.Header.Get("x-litellm-model-group"))
	}
	if second.StatusCode != 200 || second.Header.Get("Content-Type") != "application/json" || second.Header.Get("x-litellm-call-id") == "" {
		t.Errorf("%d %v", second.StatusCode, second.Header)
	}
	for range 3 {
		resp, body := post(t, url+"/v1/chat/completions", askStream)
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") ||
			!strings.Contains(body, `"content":"Hi"`) || !strings.Contains(body, `"finish_reason":"stop"`) || !strings.HasSuffix(body, "data: [DONE]\n\n") ||
			strings.Contains(body, `"total_tokens"`) || strings.Contains(body, "gpt-4o") {
			t.Errorf("%d %v\n%s", resp.StatusCode, resp.Header, body)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("%d requests upstream, want one of each kind", asked.Load())
	}
	for _, refused := range []string{`{"model":"fast","messages":[],"x":"fail"}`, `{"model":"fast","stream":true,"messages":[],"x":"cut"}`} {
		asked.Store(0)
		for range 2 {
			post(t, url+"/v1/chat/completions", refused)
		}
		if asked.Load() < 2 {
			t.Errorf("a failure was kept: %s", refused)
		}
	}
	if resp, body := post(t, url+"/v1/chat/completions", `{"model":"fast","messages":[],"cache":3}`); resp.StatusCode != 400 || !strings.Contains(body, "Invalid 'cache'") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		mu.Lock()
		cached := 0
		for _, c := range calls {
			if c.Cached && c.Usage.TotalTokens == 9 && c.CachedFrom != "" && c.Status == 200 {
				cached++
			}
		}
		mu.Unlock()
		if cached == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls are recorded as cached, want 3", cached)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// admin sends an operator's request.
func admin(t testing.TB, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data)
}

func TestTheEndpointsOfTheCache(t *testing.T) {
	base, asked := counting(t)
	s := testenv.RedisServer(t, "--requirepass", "s3cret-redis")
	url := configured(t, base, fmt.Sprintf("litellm_settings: {cache: true, cache_params: {type: redis, host: 127.0.0.1, port: %d, password: s3cret-redis, namespace: prod}}", s.Port), nil)
	resp, _ := post(t, url+"/v1/chat/completions", askOnce)
	key := resp.Header.Get("x-litellm-cache-key")
	if !strings.HasPrefix(key, "prod:llmgw1:") {
		t.Fatalf("key %q", key)
	}
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port), Password: "s3cret-redis"})
	t.Cleanup(func() { _ = client.Close() })
	stored := func() bool { return client.Exists(t.Context(), key).Val() == 1 }
	for deadline := time.Now().Add(5 * time.Second); !stored() && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if !stored() {
		t.Fatal("the answer is not in Redis")
	}
	if _, _ = post(t, url+"/v1/chat/completions", askOnce); asked.Load() != 1 {
		t.Errorf("%d requests upstream", asked.Load())
	}
	status, body := admin(t, "GET", url+"/cache/ping", "")
	var ping map[string]any
	if json.Unmarshal([]byte(body), &ping); status != 200 || ping["status"] != "healthy" || ping["cache_type"] != "redis" ||
		ping["ping_response"] != true || ping["set_cache_response"] != "success" || ping["litellm_cache_params"] == nil {
		t.Errorf("ping: %d %s", status, body)
	}
	if strings.Contains(body, "s3cret") {
		t.Errorf("ping shows the password: %s", body)
	}
	if status, body = admin(t, "GET", url+"/cache/redis/info", ""); status != 200 || !strings.Contains(body, `"redis_version"`) || strings.Contains(body, "s3cret") {
		t.Errorf("info: %d %s", status, body)
	}
	client.Set(t.Context(), "spend:key:x", "1", 0)
	if status, body = admin(t, "POST", url+"/cache/delete", `{"keys":["`+key+`"]}`); status != 200 || body != `{"status":"success"}` || stored() {
		t.Errorf("delete: %d %s, stored %v", status, body, stored())
	}
	if status, body = admin(t, "POST", url+"/cache/delete", `nonsense`); status != 400 {
		t.Errorf("delete with nonsense: %d %s", status, body)
	}
	client.Set(t.Context(), key, "x", 0)
	if status, body = admin(t, "POST", url+"/cache/flushall", ""); status != 200 || stored() || client.Exists(t.Context(), "spend:key:x").Val() != 1 {
		t.Errorf("flushall: %d %s", status, body)
	}
	if status, _ = admin(t, "POST", url+"/cache/flushall?all=true", ""); status != 200 || client.DBSize(t.Context()).Val() != 0 {
		t.Errorf("flushall of everything: %d", status)
	}
	s.Stop()
	if status, body = admin(t, "GET", url+"/cache/ping", ""); status != 503 || !strings.Contains(body, "cache_ping_error") || strings.Contains(body, "s3cret") {
		t.Errorf("ping of nobody: %d %s", status, body)
	}
}

func TestWithoutACacheItsEndpointsSaySo(t *testing.T) {
	base, _ := counting(t)
	url := configured(t, base, "", nil)
	for _, tt := range []struct{ method, path, text string }{
		{"GET", "/cache/ping", "cache_ping_error"}, {"POST", "/cache/delete", "Cache not initialized"},
		{"POST", "/cache/flushall", "Cache not initialized"}, {"GET", "/cache/redis/info", "Cache not initialized"},
	} {
		if status, body := admin(t, tt.method, url+tt.path, "{}"); status != 503 || !strings.Contains(body, tt.text) {
			t.Errorf("%s: %d %s", tt.path, status, body)
		}
	}
}

// TestAHangingRedisDelaysNoRequestBeyondTheBound stops Redis under load: every
// request is served, and hardly any is late.
func TestAHangingRedisDelaysNoRequestBeyondTheBound(t *testing.T) {
	base, _ := counting(t)
	s := testenv.RedisServer(t)
	c, _ := load(t, fmt.Sprintf("model_list: [{model_name: fast, litellm_params: {model: openai/gpt-4o-mini, api_key: k, api_base: '%s'}}]\nlitellm_settings: {cache: true, cache_params: {type: redis, host: 127.0.0.1, port: %d}}", base, s.Port))
	p, url := gateway(t, c)
	post(t, url+"/v1/chat/completions", askOnce)
	if err := s.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Signal(syscall.SIGCONT) })
	var worst atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 40 {
				begin := time.Now()
				resp, body := post(t, url+"/v1/chat/completions", fmt.Sprintf(`{"model":"fast","messages":[],"seed":%d}`, i*1000+j))
				took := time.Since(begin)
				if resp.StatusCode != 200 {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				for old := worst.Load(); int64(took) > old && !worst.CompareAndSwap(old, int64(took)); old = worst.Load() {
				}
			}
		})
	}
	wg.Wait()
	// All lookups but those before the circuit opened; writes wait elsewhere.
	skipped := p.shared.cache.Stats().Skipped
	t.Logf("%d uses of Redis were skipped in 320 requests, the longest took %s", skipped, time.Duration(worst.Load()))
	if skipped < 250 {
		t.Errorf("%d uses of a Redis that hangs were skipped in 320 requests", skipped)
	}
	if time.Duration(worst.Load()) > 10*time.Second {
		t.Errorf("a request took %s, the bound of the cache is 250 ms", time.Duration(worst.Load()))
	}
}

// oldRedis answers like a server of version 6.
func oldRedis(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					switch text := strings.ToLower(string(buf[:n])); {
					case strings.Contains(text, "hello"):
						io.WriteString(c, "-ERR unknown command 'HELLO'\r\n")
					case strings.Contains(text, "info"):
						info := "# Server\r\nredis_version:6.2.14\r\n"
						fmt.Fprintf(c, "$%d\r\n%s\r\n", len(info), info)
					default:
						io.WriteString(c, "+OK\r\n")
					}
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func TestAnOldRedisIsNamedAtTheStart(t *testing.T) {
	c, _ := load(t, fmt.Sprintf("model_list: []\nlitellm_settings: {cache: true, cache_params: {type: redis, host: 127.0.0.1, port: %d}}", oldRedis(t)))
	log := &lines{}
	c.Log = log.logger()
	gateway(t, c)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.text(), "Redis 6.2.14 is older than 7.0"); {
		if time.Now().After(deadline) {
			t.Fatalf("the log says %q", log.text())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestOtherKindsAreCachedAndKeptApart(t *testing.T) {
	var asked atomic.Int64
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, `data: {"id":"c1","object":"text_completion","model":"m","choices":[{"index":0,"text":"a","finish_reason":null}]}`+"\n\n"+
				`data: {"id":"c1","object":"text_completion","model":"m","choices":[{"index":0,"text":"b","finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q,"object":"list","model":"m","data":[],"results":[],"choices":[],"usage":{"prompt_tokens":1,"total_tokens":1}}`, r.URL.Path)
	})
	url := configured(t, base, "litellm_settings: {cache: true, cache_params: {type: local, supported_call_types: [acompletion, atext_completion, aembedding, arerank]}}", nil)
	same := `{"model":"fast","input":"x","prompt":"x","messages":[],"query":"x","documents":[]}`
	for i, path := range []string{"/v1/chat/completions", "/v1/completions", "/v1/embeddings"} {
		first, one := post(t, url+path, same)
		_, two := post(t, url+path, same)
		if first.StatusCode != 200 || one != two || !strings.Contains(one, path) || asked.Load() != int64(i+1) {
			t.Errorf("%s: %d %s\n%s after %d requests", path, first.StatusCode, one, two, asked.Load())
		}
	}
	asked.Store(0)
	stream := `{"model":"fast","prompt":"x","stream":true}`
	_, one := post(t, url+"/v1/completions", stream)
	_, two := post(t, url+"/v1/completions", stream)
	if one != two || !strings.Contains(one, `"text":"b"`) || asked.Load() != 1 {
		t.Errorf("%s\n%s after %d requests", one, two, asked.Load())
	}
	asked.Store(0)
	for range 2 {
		post(t, url+"/v1/responses", same)
		post(t, url+"/v1/moderations", same)
	}
	if asked.Load() != 4 {
		t.Errorf("%d of 4 requests of kinds that are not cached went upstream", asked.Load())
	}
}
