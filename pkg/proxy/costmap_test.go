package proxy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/catalog"
)

func TestPricesComeFromTheListThatTheVariableNames(t *testing.T) {
	t.Cleanup(func() { catalog.UseCostMap(nil) })
	body, status := `{"openai/gpt-4o": {"input_cost_per_token": 0.5, "output_cost_per_token": 0.25}}`, http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	for _, c := range []struct {
		name   string
		env    map[string]string
		body   string
		status int
		used   bool
		remark string
	}{
		{"no variable", nil, body, 200, false, ""},
		{"the list", map[string]string{"LITELLM_MODEL_COST_MAP_URL": s.URL}, body, 200, true, ""},
		{"local prices are asked for", map[string]string{"LITELLM_MODEL_COST_MAP_URL": s.URL, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}, body, 200, false, ""},
		{"no list", map[string]string{"LITELLM_MODEL_COST_MAP_URL": s.URL}, "[]", 200, false, "others are used: reading the model cost map"},
		{"an error", map[string]string{"LITELLM_MODEL_COST_MAP_URL": s.URL}, body, 404, false, "404 Not Found"},
		{"no address", map[string]string{"LITELLM_MODEL_COST_MAP_URL": "prices.json"}, body, 200, false, "not an http or https address"},
		{"nobody there", map[string]string{"LITELLM_MODEL_COST_MAP_URL": "http://127.0.0.1:1/"}, body, 200, false, "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, status = c.body, c.status
			remark := LoadCostMap(context.Background(), func(n string) string { return c.env[n] })
			if !strings.Contains(remark, c.remark) || remark != "" && c.remark == "" {
				t.Errorf("says %q", remark)
			}
			price, _, _, _ := catalog.Model("openai/gpt-4o", "", catalog.Overrides{})
			if got := price.Cost(catalog.Usage{Prompt: 1}).Total; (got == 0.5) != c.used {
				t.Errorf("a token costs %g", got)
			}
		})
	}
}
