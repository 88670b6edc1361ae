package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// embedder answers with the length of each text, and notes what it was asked.
func embedder(t testing.TB) (base string, asked func() []string) {
	var mu sync.Mutex
	var list []string
	base = upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Input json.RawMessage `json:"input"`
		}
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &q)
		mu.Lock()
		list = append(list, string(q.Input))
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(string(q.Input), "broken") {
			io.WriteString(w, `{"object":"list","data":[],"model":"m","usage":{"prompt_tokens":0,"total_tokens":0}}`)
			return
		}
		var texts []string
		if json.Unmarshal(q.Input, &texts) != nil {
			texts = []string{string(q.Input)}
		}
		var data []string
		for i, text := range texts {
			data = append(data, fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":[%d.5]}`, i, len(text)))
		}
		// In another order than asked, as the index allows.
		if len(data) > 1 {
			data[0], data[1] = data[1], data[0]
		}
		fmt.Fprintf(w, `{"object":"list","data":[%s],"model":"m","usage":{"prompt_tokens":%d,"total_tokens":%d}}`, strings.Join(data, ","), 3*len(texts), 3*len(texts))
	})
	return base, func() []string {
		mu.Lock()
		defer mu.Unlock()
		out := list
		list = nil
		return out
	}
}

func TestAListOfEmbeddingsIsKeptInParts(t *testing.T) {
	base, asked := embedder(t)
	calls := make(chan call.Call, 100)
	for name, params := range map[string]string{
		"memory": "{type: local}",
		"redis":  "{type: redis, url: '" + testenv.Redis(t) + "', default_in_memory_ttl: 60}",
	} {
		t.Run(name, func(t *testing.T) {
			url := configured(t, base, "litellm_settings: {cache: true, cache_params: "+params+"}", func(b []call.Call) {
				for _, c := range b {
					calls <- c
				}
			})
			asked()
			type answer struct {
				Object string `json:"object"`
				Model  string `json:"model"`
				Data   []struct {
					Index     int       `json:"index"`
					Embedding []float64 `json:"embedding"`
				} `json:"data"`
				Usage struct {
					Prompt int `json:"prompt_tokens"`
				} `json:"usage"`
			}
			embed := func(input string, want string, upstream ...string) answer {
				t.Helper()
				resp, body := post(t, url+"/v1/embeddings", `{"model":"fast","input":`+input+`}`)
				var a answer
				if err := json.Unmarshal([]byte(body), &a); err != nil || resp.StatusCode != 200 {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
				got := make([]string, len(a.Data))
				for _, d := range a.Data {
					got[d.Index] = fmt.Sprint(d.Embedding)
				}
				if strings.Join(got, " ") != want || a.Object != "list" || a.Model != "fast" {
					t.Errorf("%s: %s", input, body)
				}
				if now := asked(); fmt.Sprint(now) != fmt.Sprint(upstream) {
					t.Errorf("%s: upstream was asked %q, want %q", input, now, upstream)
				}
				return a
			}
			embed(`["a","bb"]`, "[1.5] [2.5]", `["a","bb"]`)
			if a := embed(`["a","bb"]`, "[1.5] [2.5]"); a.Usage.Prompt != 6 {
				t.Errorf("usage %d", a.Usage.Prompt)
			}
			embed(`["bb","a","a"]`, "[2.5] [1.5] [1.5]")
			if a := embed(`["ccc","a","dddd","bb"]`, "[3.5] [1.5] [4.5] [2.5]", `["ccc","dddd"]`); a.Usage.Prompt != 6 {
				t.Errorf("usage of what was asked: %d", a.Usage.Prompt)
			}
			embed(`["dddd"]`, "[4.5]")
			embed(`"whole"`, "[7.5]", `"whole"`) // a text is no list
			embed(`"whole"`, "[7.5]")
			// What cannot be merged is an error, not a wrong answer.
			if resp, body := post(t, url+"/v1/embeddings", `{"model":"fast","input":["a","broken"],"num_retries":0}`); resp.StatusCode < 500 {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			asked()
			resp, _ := post(t, url+"/v1/embeddings", `{"model":"fast","input":["a","bb"],"cache":{"no-cache":true}}`)
			if now := asked(); resp.StatusCode != 200 || len(now) != 1 || now[0] != `["a","bb"]` {
				t.Errorf("no-cache asked %q", now)
			}
		})
	}
}
