package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// routes returns the endpoints with a fixed path.
func routes() map[string]*route {
	table := map[string]*route{}
	add := func(rt route, paths ...string) {
		rt.name = paths[0]
		for _, p := range paths {
			table[p] = &rt
		}
	}
	for i := range kinds {
		k := &kinds[i]
		serve := serveChat
		if k.serve != nil {
			serve = k.serve
		}
		add(route{method: http.MethodPost, serve: serve, kind: k}, k.paths...)
	}
	add(route{method: http.MethodGet, serve: serveModels}, "/v1/models", "/models")
	add(route{public: true, serve: serveLiveness}, "/health/liveliness", "/health/liveness")
	add(route{public: true, serve: serveReadiness}, "/health/readiness")
	add(route{method: http.MethodGet, public: true, serve: serveDrain}, "/health/drain")
	add(route{method: http.MethodGet, serve: serveReadinessDetails}, "/health/readiness/details")
	add(route{method: http.MethodGet, public: true, serve: serveHome}, "/")
	add(route{method: http.MethodGet, public: true, serve: serveDocs}, "/docs", "/redoc")
	add(route{method: http.MethodGet, public: true, serve: serveOpenAPI}, "/openapi.json")
	add(route{method: http.MethodGet, public: true, serve: serveRoutes}, "/routes")
	add(route{method: http.MethodGet, public: true, serve: serveUI}, "/ui", "/ui/")
	add(route{method: http.MethodGet, public: true, serve: fixed(http.StatusOK, `{"route":"/test"}`)}, "/test")
	add(route{method: http.MethodGet, serve: serveModelInfo}, "/model/info", "/v1/model/info")
	add(route{method: http.MethodGet, serve: serveModelGroups}, "/model_group/info")
	add(route{method: http.MethodGet, serve: serveBacklog}, "/health/backlog")
	add(route{method: http.MethodGet, serve: serveServices}, "/health/services")
	add(route{method: http.MethodGet, serve: fixed(http.StatusOK, `{"has_license":false,"license_type":"community","expiration_date":null,"allowed_features":[],"limits":{"max_users":null,"max_teams":null}}`)}, "/health/license")
	add(route{method: http.MethodGet, serve: serveSharedStatus}, "/health/shared-status")
	add(route{method: http.MethodGet, serve: fixed(http.StatusInternalServerError, `{"detail":{"error":"Database not initialized"}}`)}, "/health/history", "/health/latest")
	add(route{method: http.MethodGet, public: true, serve: serveMetrics}, "/metrics", "/metrics/")
	add(route{method: http.MethodGet, serve: serveHealth}, "/health")
	add(route{method: http.MethodGet, serve: serveProviderBudgets}, "/provider/budgets")
	add(route{method: http.MethodGet, serve: serveCachePing}, "/cache/ping")
	add(route{method: http.MethodPost, serve: serveCacheDelete}, "/cache/delete")
	add(route{method: http.MethodPost, serve: serveCacheFlush}, "/cache/flushall")
	add(route{method: http.MethodGet, serve: serveCacheInfo}, "/cache/redis/info")
	return table
}

var (
	modelRoute  = route{name: "/v1/models/{model_id}", method: http.MethodGet, serve: serveModel}
	absentRoute = route{name: "other", serve: serveAbsent}
)

// match finds the endpoints whose path holds a value.
func match(path string) (*route, string) {
	for _, prefix := range [...]string{"/v1/models/", "/models/"} {
		if id, ok := strings.CutPrefix(path, prefix); ok && id != "" && !strings.Contains(id, ":") {
			return &modelRoute, id
		}
	}
	for _, prefix := range [...]string{"/openai/deployments/", "/engines/", "/v1/engines/"} {
		rest, ok := strings.CutPrefix(path, prefix)
		if !ok {
			continue
		}
		for i := range deploymentRoutes {
			rt := &deploymentRoutes[i]
			// A model name may hold one slash.
			if model, ok := strings.CutSuffix(rest, rt.kind.tail); ok && model != "" && strings.Count(model, "/") <= 1 {
				return rt, model
			}
		}
	}
	if absent(path) {
		return &absentRoute, ""
	}
	return nil, ""
}

// absentPrefixes are LiteLLM's endpoints that this build does not serve. They
// are answered as such, with a key: a client must be able to tell "not in this
// gateway" from "you have mistyped the path".
var absentPrefixes = [...]string{
	"/completions", "/embeddings", "/responses", "/messages", "/images", "/audio", "/moderations", "/rerank",
	"/files", "/batches", "/fine_tuning", "/realtime", "/assistants", "/threads", "/vector_stores", "/videos",
	"/containers", "/ocr", "/search", "/rag", "/skills", "/mcp", "/agents", "/interactions", "/a2a", "/guardrails",
	"/utils", "/engines", "/openai", "/openai_passthrough", "/azure", "/azure_ai", "/anthropic", "/bedrock",
	"/vertex_ai", "/vertex-ai", "/gemini", "/cohere", "/mistral", "/vllm", "/langfuse", "/assemblyai",
	"/key", "/user", "/team", "/organization", "/customer", "/end_user", "/budget", "/tag", "/model", "/model_group",
	"/credentials", "/spend", "/global", "/cache", "/health", "/metrics", "/config", "/settings", "/cursor", "/models",
	"/invitation", "/sso", "/login", "/get", "/public", "/memory-usage-in-mem-cache", "/active", "/prompts", "/policies", "/scim", "/audit", "/access_group",
}

func absent(path string) bool {
	for _, version := range [...]string{"", "/v1", "/v2", "/v1beta"} {
		rest, ok := strings.CutPrefix(path, version)
		if !ok {
			continue
		}
		for _, prefix := range absentPrefixes {
			if tail, ok := strings.CutPrefix(rest, prefix); ok && (tail == "" || tail[0] == '/') {
				return true
			}
		}
	}
	return false
}

// Serves reports whether the gateway answers a path itself.
func Serves(path string) bool {
	if routes()[path] != nil {
		return true
	}
	rt, _ := match(path)
	return rt != nil && rt != &absentRoute
}

func serveAbsent(a *API, x *exchange) int {
	return a.refuse(x, call.NewError(http.StatusNotImplemented, "not_implemented_error", call.None, fmt.Sprintf(
		"%s is an endpoint of LiteLLM that this version of llmgw does not serve; GET %s/routes lists what it serves", x.path, a.o.RootPath)))
}

// withoutSlash is where a path with a slash too many leads, as LiteLLM's
// framework redirects it; empty when that is nowhere.
func (a *API) withoutSlash(x *exchange) string {
	path, ok := strings.CutSuffix(x.path, "/")
	if !ok || path == "" || strings.HasSuffix(path, "/") {
		return ""
	}
	if rt, _ := match(path); a.routes[path] == nil && (rt == nil || rt == &absentRoute) {
		return ""
	}
	u := *x.r.URL
	u.Path = strings.TrimSuffix(u.Path, "/")
	u.RawPath = strings.TrimSuffix(u.RawPath, "/")
	if strings.HasPrefix(u.Path, "//") {
		return "" // it would lead to another host
	}
	return u.RequestURI() // without a host: the client's own is kept
}

// unknownPath answers as LiteLLM's framework does.
func (a *API) unknownPath(x *exchange) int {
	if x.r.ContentLength != 0 {
		x.w.Header()["Connection"] = closeValue
	}
	return detail(x.w, http.StatusNotFound, "Not Found")
}

func methodNotAllowed(x *exchange, rt *route) int {
	if x.r.ContentLength != 0 {
		x.w.Header()["Connection"] = closeValue
	}
	x.w.Header()["Allow"] = []string{rt.method}
	return detail(x.w, http.StatusMethodNotAllowed, "Method Not Allowed")
}
