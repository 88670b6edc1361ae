package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestARequestsOwnFallbacksMayChangeIt(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		bodies = append(bodies, string(body))
		n := len(bodies)
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if n < 4 {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"error":{"message":"dead – tot","type":"server_error"}}`)
			return
		}
		io.WriteString(w, okAnswer)
	})
	yaml := "router_settings: {num_retries: 0}\ngeneral_settings: {expose_fallback_errors_to_caller: true}\n"
	c, _ := load(t, "model_list:\n"+
		"- {model_name: a, litellm_params: {model: openai/ma, api_key: k, api_base: '"+base+"'}}\n"+
		"- {model_name: b, litellm_params: {model: openai/mb, api_key: k, api_base: '"+base+"'}}\n"+
		"- {model_name: c, litellm_params: {model: openai/mc, api_key: k, api_base: '"+base+"'}}\n"+
		"- {model_name: d, litellm_params: {model: openai/md, api_key: k, api_base: '"+base+"'}}\n"+yaml)
	_, url := gateway(t, c)
	resp, body := post(t, url+"/v1/chat/completions", `{"model":"a","messages":[{"role":"user","content":"long"}],"include_fallback_errors":true,"fallbacks":["b",{"model":"c","messages":[{"role":"user","content":"short"}],"temperature":0,"stream":true},{"model":"d"}]}`)
	if resp.StatusCode != 200 || resp.Header.Get("x-litellm-attempted-fallbacks") != "3" {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	want := []string{
		`{"model":"ma","messages":[{"role":"user","content":"long"}]}`,
		`{"model":"mb","messages":[{"role":"user","content":"long"}]}`,
		`{"messages":[{"role":"user","content":"short"}],"model":"mc","temperature":0}`,
		`{"model":"md","messages":[{"role":"user","content":"long"}]}`,
	}
	for i := range want {
		if i >= len(bodies) || bodies[i] != want[i] {
			t.Errorf("attempt %d sent %v\nwant %s", i, bodies, want[i])
		}
	}
	header := resp.Header.Get("x-litellm-fallback-errors")
	var list []map[string]any
	if err := json.Unmarshal([]byte(header), &list); err != nil || len(list) != 3 || list[0]["code"] != "500" || !strings.Contains(fmt.Sprint(list[0]["message"]), "dead – tot") {
		t.Errorf("errors of the fallbacks: %q, %v", header, err)
	}
	for _, bad := range []string{
		`{"model":"a","messages":[],"fallbacks":[{"model":"b","api_base":"http://evil"}]}`,
		`{"model":"a","messages":[],"fallbacks":[{"model":"b","api_key":"x"}]}`,
	} {
		if resp, body := post(t, url+"/v1/chat/completions", bad); resp.StatusCode != 401 {
			t.Errorf("%s: %d %s", bad, resp.StatusCode, body)
		}
	}
	if resp, _ := post(t, url+"/v1/chat/completions", `{"model":"a","messages":[],"fallbacks":[{"temperature":1}]}`); resp.StatusCode != 400 {
		t.Errorf("a fallback without a model: %d", resp.StatusCode)
	}
}
