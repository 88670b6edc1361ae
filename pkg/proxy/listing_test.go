package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/config"
)

// manyModels is a gateway of n deployments, two to a group, that is not
// listening. A fifth of the models is in no price list.
func manyModels(t testing.TB, n int) *Proxy {
	t.Helper()
	p, err := New(manyConfig(t, n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func manyConfig(t testing.TB, n int) Config {
	t.Helper()
	var text strings.Builder
	text.WriteString("model_list:\n")
	for i := range n {
		model := []string{"openai/gpt-4o", "openai/gpt-4o-mini", "azure/gpt-4", "groq/llama-3.1-8b-instant", fmt.Sprintf("openai/own-%d", i)}[i%5]
		fmt.Fprintf(&text, "- model_name: model-%d\n  litellm_params: {model: %s, api_base: 'http://up/v1', api_key: sk-%08d, rpm: 3, mock_response: hi}\n  model_info: {id: id-%d, mode: chat}\n", i/2, model, i, i)
	}
	text.WriteString("general_settings: {master_key: " + testKey + "}\n")
	tree, _, err := config.Load(config.Sources{Data: []byte(text.String()), File: "c.yaml", Env: config.ProcessEnv(nil)})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := Load(tree, "test")
	return c
}

// discard is a ResponseWriter that keeps the count alone.
type discard struct {
	header http.Header
	status int
	n      int
	// largest is the longest write.
	largest int
}

func (d *discard) Header() http.Header    { return d.header }
func (d *discard) WriteHeader(status int) { d.status = status }
func (d *discard) Write(b []byte) (int, error) {
	d.n += len(b)
	d.largest = max(d.largest, len(b))
	return len(b), nil
}

func list(t testing.TB, h http.Handler, path string) *discard {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+testKey)
	d := &discard{header: http.Header{}}
	h.ServeHTTP(d, r)
	if d.status != http.StatusOK {
		t.Fatalf("%s answers %d", path, d.status)
	}
	return d
}

// listings are the answers that grow with the number of deployments.
var listings = []string{"/model/info", "/v1/models", "/model_group/info", "/health", "/model/info?litellm_model_id=id-77", "/v1/models/model-77"}

// BenchmarkListings is what the listings of 10,000 deployments cost.
func BenchmarkListings(b *testing.B) {
	h := manyModels(b, 10_000).Handler()
	for _, path := range listings {
		b.Run(strings.TrimPrefix(path, "/"), func(b *testing.B) {
			b.ReportAllocs()
			var n int
			for b.Loop() {
				n = list(b, h, path).n
			}
			b.ReportMetric(float64(n), "B/answer")
		})
	}
}

// Allocations of a listing by its number of entries, and at most what it holds
// at once: the answer is never whole in memory.
func TestListingsAreSmallWorkHoweverLongTheyAre(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const models = 2000
	h := manyModels(t, models).Handler()
	for path, ceiling := range map[string]float64{"/model/info": 24, "/v1/models": 4, "/model_group/info": 32} {
		d := list(t, h, path)
		if d.largest > 80<<10 || d.n < 100<<10 || d.header.Get("Content-Length") != "" {
			t.Errorf("%s: %d bytes, %d of them at once, headers %v", path, d.n, d.largest, d.header)
		}
		got := testing.AllocsPerRun(3, func() { list(t, h, path) }) / models
		t.Logf("%s: %.2f allocations per deployment", path, got)
		if got > ceiling {
			t.Errorf("%s: %.2f allocations per deployment, the ceiling is %v", path, got, ceiling)
		}
	}
}

func TestListingsNameEveryDeployment(t *testing.T) {
	const models = 1001
	_, url := gateway(t, manyConfig(t, models))
	var info struct {
		Data []struct {
			Name   string         `json:"model_name"`
			Params map[string]any `json:"litellm_params"`
			Info   map[string]any `json:"model_info"`
		}
	}
	decode := func(path string, into any) {
		t.Helper()
		resp, body := asked(t, url+path, true)
		if err := json.Unmarshal([]byte(body), into); err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %v, %d %v %.200s", path, err, resp.StatusCode, resp.Header, body)
		}
	}
	decode("/v1/model/info", &info)
	if len(info.Data) != models {
		t.Fatalf("%d entries", len(info.Data))
	}
	for i, d := range info.Data {
		if d.Name != fmt.Sprintf("model-%d", i/2) || d.Info["id"] != fmt.Sprintf("id-%d", i) || d.Params["api_base"] != "http://up/v1" || d.Params["api_key"] != nil {
			t.Fatalf("entry %d: %+v", i, d)
		}
		if priced := d.Info["input_cost_per_token"] != nil; priced != (i%5 != 4) {
			t.Fatalf("entry %d: %+v", i, d)
		}
	}
	var names struct {
		Object string
		Data   []struct{ ID, Mode string }
	}
	decode("/v1/models", &names)
	if len(names.Data) != (models+1)/2 || names.Object != "list" || names.Data[500].ID != "model-500" || names.Data[0].Mode != "chat" {
		t.Errorf("%d names, %+v", len(names.Data), names.Data[len(names.Data)-1])
	}
	var groups struct {
		Data []struct {
			Group     string `json:"model_group"`
			Providers []string
			RPM       float64
			Vision    any     `json:"supports_vision"`
			Input     float64 `json:"input_cost_per_token"`
		}
	}
	decode("/model_group/info", &groups)
	if len(groups.Data) != (models+1)/2 || groups.Data[0].RPM != 6 || groups.Data[0].Vision != true || groups.Data[0].Input != 2.5e-06 || groups.Data[500].RPM != 3 {
		t.Errorf("%d groups, %+v", len(groups.Data), groups.Data[0])
	}
	if resp, body := asked(t, url+"/v1/models/model-7", true); resp.ContentLength != int64(len(body)) || !strings.Contains(body, `"id":"model-7"`) {
		t.Errorf("%d %s", resp.ContentLength, body)
	}
}
