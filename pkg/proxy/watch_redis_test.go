package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	neturl "net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/testenv"
)

// metric reads one value off /metrics; -1 where it is not shown.
func metric(text, series string) float64 {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return -1
	}
	return f
}

func shownAt(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

func TestServicesAreCountedWhereTheyAreAskedFor(t *testing.T) {
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprint("prometheus_system ", on), func(t *testing.T) {
			server := testenv.RedisServer(t)
			address, err := neturl.Parse(server.URL("0"))
			if err != nil {
				t.Fatal(err)
			}
			host, port := address.Hostname(), address.Port()
			services := "[]"
			if on {
				services = "[prometheus_system]"
			}
			base, _ := counting(t)
			url := configured(t, base, "litellm_settings: {callbacks: [prometheus], service_callback: "+services+", cache: true, cache_params: {type: redis, host: '"+host+"', port: '"+port+"'}}", nil)
			for i := range 5 {
				if resp, body := post(t, url+"/v1/chat/completions", fmt.Sprintf(`{"model":"fast","messages":[{"role":"user","content":"%d"}]}`, i)); resp.StatusCode != 200 {
					t.Fatal(body)
				}
			}
			text := shownAt(t, url)
			if !on {
				if strings.Contains(text, "litellm_redis_latency") || strings.Contains(text, "litellm_router_") || strings.Contains(text, "litellm_auth_") {
					t.Error("services are shown that nobody asked for")
				}
				return
			}
			for series, least := range map[string]float64{
				`litellm_redis_latency_count{redis="redis"}`: 5, `litellm_redis_total_requests_total{redis="redis"}`: 5,
				`litellm_self_latency_count{self="self"}`: 5, `litellm_self_total_requests_total{self="self"}`: 5,
				// A choice and a completion each.
				`litellm_router_latency_count{router="router"}`: 10, `litellm_router_total_requests_total{router="router"}`: 10,
				`litellm_auth_latency_count{auth="auth"}`: 5, `litellm_auth_latency_bucket{auth="auth",le="0.005"}`: 5,
				`litellm_proxy_pre_call_latency_count{proxy_pre_call="proxy_pre_call"}`: 5,
				`litellm_redis_circuit_breaker_state{state="closed"}`:                   1,
			} {
				if got := metric(text, series); got < least {
					t.Errorf("%s is %g, want %g or more", series, got, least)
				}
			}
			server.Stop()
			for i := range 8 {
				if resp, body := post(t, url+"/v1/chat/completions", fmt.Sprintf(`{"model":"fast","messages":[{"role":"user","content":"gone %d"}]}`, i)); resp.StatusCode != 200 {
					t.Fatal(body)
				}
			}
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				text = shownAt(t, url)
				failed := 0.0
				for _, class := range []string{"ConnectionError", "TimeoutError"} { // which of them the bound of a look-up decides
					failed += max(metric(text, `litellm_redis_failed_requests_total{error_class="`+class+`",function_name="async_get_cache",redis="redis"}`), 0)
				}
				refused := metric(text, `litellm_redis_failed_requests_total{error_class="RedisCircuitBreakerOpenError",function_name="post_call_redis_batch",redis="redis"}`)
				if failed >= 1 && refused >= 1 && metric(text, `litellm_redis_circuit_breaker_state{state="open"}`) == 1 &&
					metric(text, `litellm_redis_circuit_breaker_state{state="closed"}`) == 0 && metric(text, `litellm_redis_circuit_breaker_transitions_total{state="open"}`) == 1 {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("a Redis that is gone does not show: %g failed, %g not tried\n%s", failed, refused, regexp.MustCompile(`(?m)^litellm_redis.*`).FindAllString(text, -1))
				}
			}
		})
	}
}

func TestAnErrorOfRedisHasTheNameThatPythonGivesIt(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{redis.Nil, ""},
		{context.DeadlineExceeded, "TimeoutError"},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, "ConnectionError"},
		{io.EOF, "ConnectionError"},
		{context.Canceled, "CancelledError"},
	} {
		if got := errorClass(tt.err); got != tt.want {
			t.Errorf("%v is %q, want %q", tt.err, got, tt.want)
		}
	}
}
