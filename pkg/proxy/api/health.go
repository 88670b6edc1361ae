package api

import "net/http"

// DatabaseState is what readiness says about the database.
type DatabaseState uint8

const (
	// DatabaseNone is the state without a database.
	DatabaseNone DatabaseState = iota
	// DatabaseConnected answers.
	DatabaseConnected
	// DatabaseDown is configured and does not answer.
	DatabaseDown
	// DatabaseTolerated is DatabaseDown with allow_requests_on_db_unavailable.
	DatabaseTolerated
)

func (s DatabaseState) text() string {
	switch s {
	case DatabaseConnected:
		return "connected"
	case DatabaseDown, DatabaseTolerated:
		return "disconnected"
	default:
		return "Not connected"
	}
}

// serveLiveness touches nothing: a database outage must not kill pods.
func serveLiveness(_ *API, x *exchange) int {
	if done, status := probeMethod(x); done {
		return status
	}
	writeJSON(x.w, http.StatusOK, []byte(`"I'm alive!"`))
	return http.StatusOK
}

func serveReadiness(a *API, x *exchange) int {
	if done, status := probeMethod(x); done {
		return status
	}
	if missing := a.o.SchemaMissing(); missing != "" {
		return schemaMissing(x, missing)
	}
	if a.o.OpenDetails {
		return serveReadinessDetails(a, x)
	}
	state := a.o.Database()
	status := http.StatusOK
	if state == DatabaseDown || a.Draining() {
		status = http.StatusServiceUnavailable
	}
	writeJSON(x.w, status, []byte(`{"status":"healthy","db":"`+state.text()+`"}`))
	return status
}

func serveReadinessDetails(a *API, x *exchange) int {
	if missing := a.o.SchemaMissing(); missing != "" {
		return schemaMissing(x, missing)
	}
	status := http.StatusOK
	state := a.o.Database()
	if state == DatabaseDown || a.Draining() {
		status = http.StatusServiceUnavailable
	}
	var kind *string
	if a.o.CacheAdmin != nil {
		name := a.o.CacheAdmin.Kind()
		kind = &name
	}
	writeJSON(x.w, status, marshal(struct {
		Status           string   `json:"status"`
		DB               string   `json:"db"`
		Cache            *string  `json:"cache"`
		LiteLLMVersion   string   `json:"litellm_version"`
		LLMGWVersion     string   `json:"llmgw_version"`
		SuccessCallbacks []string `json:"success_callbacks"`
		Aiohttp          bool     `json:"use_aiohttp_transport"`
		LogLevel         string   `json:"log_level"`
		DetailedDebug    bool     `json:"is_detailed_debug"`
	}{
		Status: "healthy", DB: state.text(), Cache: kind, LiteLLMVersion: a.o.Emulated, LLMGWVersion: a.o.Build,
		SuccessCallbacks: append([]string{}, a.o.Callbacks...), LogLevel: a.o.LogLevel, DetailedDebug: a.o.LogLevel == "DEBUG",
	}))
	return status
}

// schemaMissing is a readiness that fails because the database lacks a table. No
// setting makes it pass: allow_requests_on_db_unavailable is about a database
// that cannot be reached.
func schemaMissing(x *exchange, what string) int {
	writeJSON(x.w, http.StatusServiceUnavailable, marshal(struct {
		Status  string `json:"status"`
		DB      string `json:"db"`
		Missing string `json:"missing"`
	}{"unhealthy", "connected", what}))
	return http.StatusServiceUnavailable
}

// probeMethod answers everything but a GET of a probe.
func probeMethod(x *exchange) (done bool, status int) {
	switch x.r.Method {
	case http.MethodGet:
		return false, 0
	case http.MethodOptions:
		h := x.w.Header()
		h["Allow"] = []string{"GET, OPTIONS"}
		h["Access-Control-Allow-Methods"] = []string{"GET, OPTIONS"}
		h["Access-Control-Allow-Headers"] = []string{"*"}
		x.w.WriteHeader(http.StatusOK)
		return true, http.StatusOK
	}
	return true, methodNotAllowed(x, &route{method: "GET, OPTIONS"})
}

// HealthOnly serves the probes alone, for a listener of their own.
func (a *API) HealthOnly() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange{w: w, r: r, path: r.URL.Path}
		if rt := a.routes[x.path]; rt != nil && rt.public && x.path != "/" {
			x.route = rt
			rt.serve(a, &x)
			return
		}
		a.unknownPath(&x)
	})
}
