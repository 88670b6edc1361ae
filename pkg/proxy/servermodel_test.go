package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/mock"
	"github.com/llmgw/llmgw/pkg/proxy/api"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// TestTheServersOwnModelReplacesTheClients holds the settings against LiteLLM's
// order for each kind of call.
func TestTheServersOwnModelReplacesTheClients(t *testing.T) {
	m := mock.New(mock.Options{Seed: 1})
	up := httptest.NewServer(m)
	t.Cleanup(up.Close)
	t.Cleanup(m.Close)
	completion, image, moderation := api.Options{CompletionModel: "fast"}, api.Options{ImageModel: "fast"}, api.Options{ModerationModel: "fast"}
	for _, c := range []struct {
		name    string
		options api.Options
		path    string
		body    string
		served  bool
	}{
		{"chat", completion, "/v1/chat/completions", `{"model":"absent","messages":[]}`, true},
		{"chat, over the path", completion, "/engines/absent/chat/completions", `{"messages":[]}`, true},
		{"embeddings", completion, "/v1/embeddings", `{"model":"absent","input":"a"}`, true},
		{"images do not take it", completion, "/v1/images/generations", `{"model":"absent","prompt":"a"}`, false},
		{"moderations do not take it", completion, "/v1/moderations", `{"model":"absent","input":"a"}`, false},
		{"images", image, "/v1/images/generations", `{"model":"absent","prompt":"a"}`, true},
		{"images, under the path", image, "/openai/deployments/absent/images/generations", `{"prompt":"a"}`, false},
		{"chat does not take that of images", image, "/v1/chat/completions", `{"model":"absent","messages":[]}`, false},
		{"moderations", moderation, "/v1/moderations", `{"model":"absent","input":"a"}`, true},
		{"chat does not take that of moderations", moderation, "/v1/chat/completions", `{"model":"absent","messages":[]}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, url := gateway(t, Config{API: c.options, Deployments: []*call.Deployment{entry(t, up.URL)}})
			r, err := http.NewRequest(http.MethodPost, url+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+testKey)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, _ := io.ReadAll(resp.Body)
			if served := resp.StatusCode == http.StatusOK; served != c.served {
				t.Errorf("%d %s", resp.StatusCode, answer)
			}
		})
	}
}
