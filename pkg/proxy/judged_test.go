package proxy

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestAParameterThatTheUpstreamRefusesIsTheUpstreams400: D26 as a client sees it.
func TestAParameterThatTheUpstreamRefusesIsTheUpstreams400(t *testing.T) {
	var asked atomic.Int64
	var body atomic.Value
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body.Store(string(b))
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		if !strings.Contains(string(b), "thinking") {
			io.WriteString(w, okAnswer)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":{"message":"Unrecognized request argument supplied: thinking","type":"invalid_request_error","param":"thinking","code":"unknown_parameter"}}`)
	})
	for _, settings := range []string{"", "\nlitellm_settings: {drop_params: true}"} {
		asked.Store(0)
		url := configured(t, base, "router_settings: {num_retries: 3, retry_after: 0}"+settings, nil)
		resp, got := post(t, url+"/v1/chat/completions", `{"model":"fast","thinking":{"type":"enabled"},"messages":[]}`)
		t.Log(got)
		for _, part := range []string{`Unrecognized request argument supplied: thinking`, "BadRequestError", `"code":"400"`, `"param":"thinking"`, `unknown_parameter`} {
			if !strings.Contains(got, part) {
				t.Errorf("%q lacks %s", got, part)
			}
		}
		if resp.StatusCode != 400 || asked.Load() != 1 || !strings.Contains(body.Load().(string), `"thinking":{"type":"enabled"}`) {
			t.Errorf("%d, asked %d times with %s", resp.StatusCode, asked.Load(), body.Load())
		}
		// Nothing is cooled down by it.
		if resp, got := post(t, url+"/v1/chat/completions", askOnce); resp.StatusCode != 200 {
			t.Errorf("the next request: %d %s", resp.StatusCode, got)
		}
	}
}
