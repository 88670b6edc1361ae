package api

import (
	"net/http"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// ProviderBudget is what a provider may spend, and what it has spent.
type ProviderBudget struct {
	Provider     string
	Limit, Spent float64
	Period       string
	// Reset is when the next window begins.
	Reset time.Time
}

// serveProviderBudgets shows what providers have spent of their budgets.
func serveProviderBudgets(a *API, x *exchange) int {
	if a.o.Budgets == nil {
		return writeError(x.w, call.NewError(http.StatusInternalServerError, "internal_server_error", call.None,
			"No provider budget config found. Please set a provider budget config in the router settings. https://docs.litellm.ai/docs/proxy/provider_budget_routing"))
	}
	type state struct {
		Limit  float64 `json:"budget_limit"`
		Period string  `json:"time_period"`
		Spent  float64 `json:"spend"`
		Reset  string  `json:"budget_reset_at"`
	}
	providers := map[string]state{}
	for _, b := range a.o.Budgets() {
		providers[b.Provider] = state{b.Limit, b.Period, b.Spent, b.Reset.UTC().Format("2006-01-02T15:04:05.000000-07:00")}
	}
	writeJSON(x.w, http.StatusOK, marshal(map[string]any{"providers": providers}))
	return http.StatusOK
}
