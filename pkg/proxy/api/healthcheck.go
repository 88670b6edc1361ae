package api

import (
	"context"
	"net/http"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Health asks deployments whether they work.
type Health interface {
	// Checked returns the state of all deployments, or of one group or id.
	Checked(ctx context.Context, group, id string) []Checked
	// Unlisted are the names behind which nothing works, true for those.
	Unlisted() map[string]bool
	// SharedStatus says how instances take turns with health checks: nil when
	// they are not to, false when they cannot.
	SharedStatus(ctx context.Context) any
}

// Checked is the state of one deployment.
type Checked struct {
	Deployment *call.Deployment
	// Err is why it does not work; nil when it does.
	Err *call.Error
	// Hidden keeps addresses and errors to ourselves.
	Hidden bool
}

// serveHealth asks every deployment, or tells what the last background check
// found. It spends money and is no probe for orchestrators.
func serveHealth(a *API, x *exchange) int {
	q := x.r.URL.Query()
	if a.o.Health == nil || a.o.Router.Empty() {
		return writeDetail(x, http.StatusInternalServerError, "Model list not initialized")
	}
	id, group := q.Get("model_id"), q.Get("model")
	if id != "" && !a.o.Router.Has(id) {
		return writeDetail(x, http.StatusNotFound, "Model with ID "+id+" not found")
	}
	type endpoint struct {
		Model   string `json:"model"`
		APIBase string `json:"api_base,omitempty"`
		ID      string `json:"model_id"`
		Error   string `json:"error,omitempty"`
	}
	answer := struct {
		Healthy   []endpoint `json:"healthy_endpoints"`
		Unhealthy []endpoint `json:"unhealthy_endpoints"`
		Good      int        `json:"healthy_count"`
		Bad       int        `json:"unhealthy_count"`
	}{Healthy: []endpoint{}, Unhealthy: []endpoint{}}
	for _, c := range a.o.Health.Checked(x.r.Context(), group, id) {
		e := endpoint{Model: c.Deployment.Configured, ID: c.Deployment.ID}
		if e.Model == "" {
			e.Model = c.Deployment.Model
		}
		if !c.Hidden {
			e.APIBase = c.Deployment.APIBase
		}
		if c.Err == nil {
			answer.Healthy = append(answer.Healthy, e)
			continue
		}
		if !c.Hidden {
			e.Error = c.Err.Message
		}
		answer.Unhealthy = append(answer.Unhealthy, e)
	}
	answer.Good, answer.Bad = len(answer.Healthy), len(answer.Unhealthy)
	writeJSON(x.w, http.StatusOK, marshal(answer))
	return http.StatusOK
}

// serveSharedStatus says whether instances share their health checks.
func serveSharedStatus(a *API, x *exchange) int {
	type answer struct {
		Enabled   bool   `json:"shared_health_check_enabled"`
		Available *bool  `json:"redis_available,omitempty"`
		Message   string `json:"message,omitempty"`
		Status    any    `json:"status,omitempty"`
	}
	var out answer
	var status any
	if a.o.Health != nil {
		status = a.o.Health.SharedStatus(x.r.Context())
	}
	switch status {
	case nil:
		out.Message = "Shared health check is not enabled"
	case false:
		out.Enabled, out.Available, out.Message = true, new(bool), "Redis is not configured"
	default:
		out.Enabled, out.Status = true, status
	}
	writeJSON(x.w, http.StatusOK, marshal(out))
	return http.StatusOK
}

// writeDetail answers as LiteLLM's endpoint does where it raises an error with
// an object.
func writeDetail(x *exchange, status int, text string) int {
	writeJSON(x.w, status, marshal(map[string]map[string]string{"detail": {"error": text}}))
	return status
}
