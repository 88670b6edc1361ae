package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/testenv"
)

// TestInstancesTakeTurnsWithHealthChecks: one instance asks a round, the others
// use what it has found, in LiteLLM's keys.
func TestInstancesTakeTurnsWithHealthChecks(t *testing.T) {
	var probed atomic.Int64
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), DefaultProbePrompt) {
			probed.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(string(body), `"bad"`) {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"error":{"message":"the engine is dead"}}`)
			return
		}
		io.WriteString(w, okAnswer)
	})
	s := testenv.RedisServer(t)
	yaml := fmt.Sprintf(`
model_list:
- {model_name: fast, litellm_params: {model: openai/good, api_key: k, api_base: '%[1]s'}, model_info: {id: good}}
- {model_name: fast, litellm_params: {model: openai/bad, api_key: k, api_base: '%[1]s'}, model_info: {id: bad}}
general_settings:
  background_health_checks: true
  health_check_interval: 0.05
  enable_health_check_routing: true
  use_shared_health_check: true
  coordination_redis: {host: 127.0.0.1, port: %[2]d}
`, base, s.Port)
	var urls []string
	for range 3 {
		c, findings := load(t, yaml)
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		urls = append(urls, started(t, c))
	}
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port)})
	defer client.Close()
	// Before its first round an instance asks when it is asked.
	waitFor(t, func() bool { return client.Exists(t.Context(), "health_check_results").Val() == 1 })
	time.Sleep(time.Second)
	first := probed.Load()
	waitFor(t, func() bool {
		for _, url := range urls {
			if _, body := get(t, url+"/health", "Authorization", "Bearer "+testKey); !strings.Contains(body, `"unhealthy_count":1`) || !strings.Contains(body, `"healthy_count":1`) {
				return false
			}
		}
		return true
	})
	time.Sleep(300 * time.Millisecond) // several rounds of each
	// Without turns it would be six a round, a hundred by now. An instance that a
	// busy machine keeps from Redis for longer than a check waits asks by itself.
	if n := probed.Load(); first < 2 || first > 4 || n > first+4 {
		t.Errorf("three instances asked %d times for two deployments, then %d", first, n)
	}
	for _, url := range urls {
		for range 10 {
			if resp, body := post(t, url+"/v1/chat/completions", askOnce); resp.StatusCode != 200 || resp.Header.Get("X-Litellm-Model-Id") != "good" {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
		}
	}
	var inner string
	if err := json.Unmarshal([]byte(client.Get(t.Context(), "health_check_results").Val()), &inner); err != nil || !strings.Contains(inner, `"model_id":"bad"`) {
		t.Errorf("%v in %s", err, inner)
	}
	_, body := get(t, urls[0]+"/health/shared-status", "Authorization", "Bearer "+testKey)
	for _, want := range []string{`"shared_health_check_enabled":true`, `"redis_available":true`, `"lock_ttl":60`, `"cache_ttl":300`, `"cache_available":true`, `"last_checked_by":"pod_`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s lacks %s", body, want)
		}
	}
}

func TestWhatLiteLLMFoundIsUsed(t *testing.T) {
	s := testenv.RedisServer(t)
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port)})
	defer client.Close()
	inner := fmt.Sprintf(`{"healthy_endpoints": [{"model": "openai/good", "api_base": "http://x/v1", "model_id": "good"}], "unhealthy_endpoints": [{"model": "openai/bad", "error": "litellm.InternalServerError: dead", "exception_status": 500, "model_id": "bad"}], "healthy_count": 1, "unhealthy_count": 1, "timestamp": %d.25, "checked_by": "pod_1"}`, time.Now().Unix())
	outer, _ := json.Marshal(inner)
	client.Set(t.Context(), "health_check_results", outer, time.Minute)
	var asked atomic.Int64
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: fast, litellm_params: {model: openai/good, api_key: k, api_base: '%[1]s'}, model_info: {id: good}}
- {model_name: fast, litellm_params: {model: openai/bad, api_key: k, api_base: '%[1]s'}, model_info: {id: bad}}
- {model_name: new, litellm_params: {model: openai/new, api_key: k, api_base: '%[1]s'}, model_info: {id: new}}
general_settings: {background_health_checks: true, enable_health_check_routing: true, use_shared_health_check: true, coordination_redis: {url: 'redis://127.0.0.1:%[2]d'}}
`, base, s.Port))
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	url := started(t, c)
	waitFor(t, func() bool { return asked.Load() == 1 })
	time.Sleep(time.Second) // the round ends
	waitFor(t, func() bool {
		_, body := get(t, url+"/health", "Authorization", "Bearer "+testKey)
		return strings.Contains(body, "InternalServerError: dead") && strings.Contains(body, `"healthy_count":2`)
	})
	if n := asked.Load(); n != 1 {
		t.Errorf("%d deployments were asked, one was missing", n)
	}
}

// TestAnInstanceThatEndsWhileItAsksStopsNobody: its lock is over after a time,
// or is gone with it.
func TestAnInstanceThatEndsWhileItAsksStopsNobody(t *testing.T) {
	s := testenv.RedisServer(t)
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port)})
	defer client.Close()
	client.Set(t.Context(), "health_check_lock", `"pod_1"`, 500*time.Millisecond)
	base, asked := counting(t)
	c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: fast, litellm_params: {model: openai/good, api_key: k, api_base: '%s'}, model_info: {id: good}}
general_settings: {background_health_checks: true, use_shared_health_check: true, coordination_redis: {host: 127.0.0.1, port: %d}}
`, base, s.Port), "DEFAULT_SHARED_HEALTH_CHECK_LOCK_TTL=1")
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	started(t, c)
	waitFor(t, func() bool { return asked.Load() > 0 })
}

func TestSharingHealthChecksNeedsRedisAndATimer(t *testing.T) {
	for yaml, want := range map[string]string{
		"general_settings: {use_shared_health_check: true}":                                 "has no effect without general_settings.background_health_checks",
		"general_settings: {use_shared_health_check: true, background_health_checks: true}": "has no effect without Redis",
	} {
		c, findings := load(t, "model_list: [{model_name: m, litellm_params: {model: openai/x, api_key: k, mock_response: hi}}]\n"+yaml)
		if len(findings) != 1 || !strings.Contains(findings[0].Message, want) {
			t.Errorf("%s: %v", yaml, findings)
		}
		_, url := gateway(t, c)
		_, body := get(t, url+"/health/shared-status", "Authorization", "Bearer "+testKey)
		if !strings.Contains(body, `"redis_available":false,"message":"Redis is not configured"`) {
			t.Errorf("%s", body)
		}
	}
}

// TestTheRouterAloneCanAskForACache in memory, and in its own Redis.
func TestTheRouterAloneCanAskForACache(t *testing.T) {
	s := testenv.RedisServer(t)
	for _, settings := range []string{"cache_responses: true", fmt.Sprintf("cache_responses: true, redis_host: 127.0.0.1, redis_port: %d", s.Port)} {
		base, asked := counting(t)
		c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: fast, litellm_params: {model: openai/good, api_key: k, api_base: '%s'}}
router_settings: {%s}
`, base, settings))
		if len(findings) > 0 {
			t.Fatal(findings)
		}
		url := started(t, c)
		waitFor(t, func() bool { // an answer is kept behind the call
			before := asked.Load()
			resp, body := post(t, url+"/v1/chat/completions", askOnce)
			if resp.StatusCode != 200 {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
			return asked.Load() == before && resp.Header.Get("X-Litellm-Cache-Key") != ""
		})
		before := asked.Load()
		for range 5 {
			post(t, url+"/v1/chat/completions", askOnce)
		}
		if asked.Load() != before {
			t.Errorf("%s: the upstream was asked again", settings)
		}
	}
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port)})
	defer client.Close()
	if keys := client.Keys(t.Context(), "llmgw1:*").Val(); len(keys) != 1 {
		t.Errorf("Redis has %v", keys)
	}
}
