package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

// TestTwoGatewaysShareACooldown lets one gateway find out that a deployment
// refuses, and watches the other leave it alone.
func TestTwoGatewaysShareACooldown(t *testing.T) {
	var bad, good atomic.Int64
	refuse := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		bad.Add(1)
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, `{"error":{"message":"slow down"}}`)
	})
	serve := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		good.Add(1)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	s := testenv.RedisServer(t)
	yaml := fmt.Sprintf(`
model_list:
- {model_name: fast, litellm_params: {model: openai/a, api_key: k, api_base: '%s', rpm: 1000}, model_info: {id: bad}}
- {model_name: fast, litellm_params: {model: openai/b, api_key: k, api_base: '%s', rpm: 1000}, model_info: {id: good}}
router_settings: {redis_host: 127.0.0.1, redis_port: %d, routing_strategy: usage-based-routing-v2}
`, refuse, serve, s.Port)
	var urls []string
	for range 2 {
		c, findings := load(t, yaml)
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		c.Redis.Interval = 20 * time.Millisecond
		c.Auth.MasterKey = masterKey
		p, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(p.Handler())
		t.Cleanup(func() {
			server.Close()
			begin := time.Now()
			p.Close()
			if d := time.Since(begin); d > 30*time.Second {
				t.Errorf("closing took %s without Redis", d)
			}
		})
		urls = append(urls, server.URL)
	}
	for bad.Load() == 0 {
		if resp, body := post(t, urls[0]+"/v1/chat/completions", askOnce); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	time.Sleep(300 * time.Millisecond)
	before := bad.Load()
	for range 30 {
		if resp, body := post(t, urls[1]+"/v1/chat/completions", askOnce); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	if bad.Load() != before {
		t.Errorf("the second gateway asked the deployment %d times that the first had left out", bad.Load()-before)
	}
	// Without Redis each goes on alone.
	s.Stop()
	for _, url := range urls {
		begin := time.Now()
		if resp, body := post(t, url+"/v1/chat/completions", askOnce); resp.StatusCode != 200 || !strings.Contains(body, "Hello") {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("a request took %s without Redis", d)
		}
	}
}
