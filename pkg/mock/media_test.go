package mock

import (
	"strings"
	"testing"
	"time"
)

func TestEveryKindOfCallHasFaultsAndDelays(t *testing.T) {
	_, s := start(t, Options{Latency: Fixed(30 * time.Millisecond)})
	bodies := map[string]string{
		"/v1/images/generations": `"prompt":"x"`, "/v1/audio/speech": `"input":"x"`, "/v1/moderations": `"input":"x"`, "/v1/rerank": `"query":"q","documents":["a"]`,
	}
	for path, rest := range bodies {
		ask := func(model string) (int, string, error) {
			resp, body, err := post(t, s.URL+path, `{"model":"`+model+`",`+rest+`}`)
			if resp == nil {
				return 0, body, err
			}
			return resp.StatusCode, body, err
		}
		begin := time.Now()
		status, good, err := ask("m")
		if status != 200 || good == "" || err != nil || time.Since(begin) < 30*time.Millisecond {
			t.Errorf("%s: %d %q %v after %v", path, status, good, err, time.Since(begin))
		}
		for model, want := range map[string]int{"mock/500": 500, "mock/429": 429, "mock/html": 200, "mock/html-502": 502} {
			if status, body, _ := ask(model); status != want || body == good {
				t.Errorf("%s %s: %d %q", path, model, status, body)
			}
		}
		if status, body, err := ask("mock/bad-json"); status != 200 || err != nil || body == "" || !strings.HasPrefix(strings.ReplaceAll(good, `"m"`, `"mock/bad-json"`), body) || len(body) > len(good) {
			t.Errorf("%s bad-json: %d %q %v", path, status, body, err)
		}
		if status, body, _ := ask("mock/empty"); status != 200 || body != "" {
			t.Errorf("%s empty: %d %q", path, status, body)
		}
		for _, model := range []string{"mock/close", "mock/reset", "mock/cut", "mock/headers-only"} {
			if _, body, err := ask(model); err == nil {
				t.Errorf("%s %s: a whole answer %q", path, model, body)
			}
		}
	}
}
