package api

import (
	"cmp"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// serveBacklog says how many requests are being served, this one among them, how
// many wait for a seat, and how many were turned away.
func serveBacklog(a *API, x *exchange) int {
	admitted, queued, full, waited := a.SeatsTaken()
	if a.seats == nil && a.o.MaxInFlight > 0 {
		admitted = a.InFlight()
	}
	writeJSON(x.w, http.StatusOK, marshal(struct {
		InFlight int64 `json:"in_flight_requests"`
		Admitted int64 `json:"admitted_requests"`
		Queued   int64 `json:"queued_requests"`
		Rejected int64 `json:"rejected_requests"`
	}{a.InFlight(), admitted, queued, full + waited + a.state.turnedAway.Load()}))
	return http.StatusOK
}

// services are the names that /health/services knows.
var services = []string{
	"slack_budget_alerts", "langfuse", "langfuse_otel", "slack", "ms_teams", "openmeter", "webhook", "email", "braintrust", "datadog",
	"datadog_llm_observability", "generic_api", "arize", "galileo", "newrelic", "pointfive", "signoz", "sqs", "otel", "langsmith", "datadog_metrics", "custom_callback_api",
}

// serveServices tests a service that alerts or logs go to. Options.TestService
// does it where there is one.
func serveServices(a *API, x *exchange) int {
	q := x.r.URL.Query()
	name := q.Get("service")
	switch {
	case !q.Has("service"):
		writeJSON(x.w, http.StatusUnprocessableEntity, []byte(`{"detail":[{"type":"missing","loc":["query","service"],"msg":"Field required"}]}`))
		return http.StatusUnprocessableEntity
	case !slices.Contains(services, name):
		return writeError(x.w, call.NewError(http.StatusBadRequest, "auth_error", call.None, "{'error': \"Service must be in list. Service="+name+"\"}"))
	}
	if a.o.TestService != nil {
		if answer, known, err := a.o.TestService(x.r.Context(), name); known {
			if err != nil {
				return writeError(x.w, call.NewError(http.StatusInternalServerError, "auth_error", call.None, err.Error()))
			}
			writeJSON(x.w, http.StatusOK, marshal(answer))
			return http.StatusOK
		}
	}
	return writeError(x.w, call.NewError(http.StatusUnprocessableEntity, "auth_error", call.None,
		"{'error': '\""+name+"\" not in proxy config: general_settings. Unable to test this.'}"))
}

func fixed(status int, body string) func(*API, *exchange) int {
	return func(_ *API, x *exchange) int {
		writeJSON(x.w, status, []byte(body))
		return status
	}
}

// listed are the routes by path.
func (a *API) listed() []documented {
	list := make([]documented, 0, len(a.routes)+16)
	for path, rt := range a.routes {
		if rt.name == "/metrics" && a.o.Metrics == nil {
			continue // there are none
		}
		method := rt.method
		if method == "" {
			method = http.MethodGet
		}
		list = append(list, documented{Path: path, Method: method, Public: rt.public, About: about(rt), Canonical: rt.name, Form: form(rt), Inference: rt.kind != nil, op: opOf(rt)})
	}
	for i := range deploymentRoutes {
		rt := &deploymentRoutes[i]
		for _, prefix := range [...]string{"/openai/deployments/{model}", "/engines/{model}"} {
			list = append(list, documented{Path: prefix + rt.kind.tail, Method: http.MethodPost, About: about(rt), Canonical: rt.name, Form: form(rt), Inference: true, op: opOf(rt)})
		}
	}
	for _, path := range [...]string{"/v1/models/{model_id}", "/models/{model_id}"} {
		list = append(list, documented{Path: path, Method: http.MethodGet, About: "One model of the list", Canonical: "/v1/models/{model_id}"})
	}
	for i := range a.o.PassThrough {
		p := &a.o.PassThrough[i]
		path := p.Path
		if p.Subpaths {
			path += "/{path}"
		}
		methods := p.Methods
		if methods == nil {
			methods = []string{http.MethodPost}
		}
		for _, method := range methods {
			list = append(list, documented{Path: path, Method: method, Public: p.Open, About: "Passed on to another service", Canonical: path, Passed: true})
		}
	}
	slices.SortFunc(list, func(x, y documented) int {
		return cmp.Or(cmp.Compare(b2i(!x.Inference), b2i(!y.Inference)), cmp.Compare(x.op, y.op), strings.Compare(x.Canonical, y.Canonical), strings.Compare(x.Path, y.Path))
	})
	return list
}

// form reports whether a route takes multipart forms.
func form(rt *route) bool {
	return rt.kind != nil && rt.kind.serve != nil && rt.kind.op != wire.Speech
}

func opOf(rt *route) wire.Op {
	if rt.kind == nil {
		return 0
	}
	return rt.kind.op
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// documented is a route as the pages for people show it.
type documented struct {
	Path, Method, About, Canonical string
	Public, Form, Inference        bool
	Passed                         bool
	op                             wire.Op // their order
	// Also are the other paths of the same endpoint.
	Also []string
}

// abouts say what a route is for.
var abouts = map[string]string{
	"/v1/models": "The models that may be called", "/model/info": "Deployments with their limits and prices", "/model_group/info": "Model groups with their limits and prices",
	"/health": "Asks every deployment whether it works; this spends money", "/health/liveliness": "Whether the process is alive",
	"/health/readiness": "Whether requests should be sent here", "/health/readiness/details": "Readiness with versions and settings",
	"/health/services": "Tests where alerts go", "/health/backlog": "How many requests are being served", "/health/license": "What LiteLLM says without a license",
	"/health/shared-status": "Whether replicas share health checks", "/provider/budgets": "What providers have spent of their budgets", "/cache/ping": "Whether the cache answers", "/cache/delete": "Deletes entries of the cache",
	"/cache/flushall": "Empties the cache", "/cache/redis/info": "What Redis says about itself", "/metrics": "Metrics for Prometheus", "/": "This page",
	"/routes": "All routes", "/openapi.json": "This page for programs", "/docs": "This page", "/ui": "Says where the admin page of LiteLLM went", "/test": "Answers",
}

func about(rt *route) string {
	if rt.kind != nil {
		return strings.ToUpper(rt.kind.name[:1]) + rt.kind.name[1:] + ", in OpenAI's format"
	}
	return abouts[rt.name]
}

func serveRoutes(a *API, x *exchange) int {
	type entry struct {
		Path     string   `json:"path"`
		Methods  []string `json:"methods"`
		Name     string   `json:"name"`
		Endpoint string   `json:"endpoint"`
	}
	list := []entry{}
	for _, d := range a.listed() {
		list = append(list, entry{d.Path, []string{d.Method}, d.Canonical, d.Canonical})
	}
	writeJSON(x.w, http.StatusOK, marshal(map[string]any{"routes": list}))
	return http.StatusOK
}

func serveOpenAPI(a *API, x *exchange) int {
	paths := map[string]map[string]any{}
	for _, d := range a.listed() {
		op := map[string]any{
			"summary": d.About, "operationId": strings.ToLower(d.Method) + strings.NewReplacer("/", "_", "{", "", "}", "", "-", "_", ".", "_").Replace(d.Path),
			"responses": map[string]any{"200": map[string]string{"description": "Success"}},
		}
		if !d.Public {
			op["security"] = []any{map[string]any{"key": []string{}}}
			op["responses"].(map[string]any)["default"] = map[string]any{
				"description": "An error", "content": map[string]any{"application/json": map[string]any{"schema": map[string]string{"$ref": "#/components/schemas/Error"}}},
			}
		}
		if d.Method == http.MethodPost && d.Inference {
			kind := "application/json"
			if d.Form {
				kind = "multipart/form-data"
			}
			op["requestBody"] = map[string]any{"required": true, "content": map[string]any{kind: map[string]any{"schema": map[string]any{
				"type": "object", "properties": map[string]any{"model": map[string]string{"type": "string"}}, "additionalProperties": true,
			}}}}
		}
		for _, name := range [...]string{"model", "model_id", "path"} {
			if strings.Contains(d.Path, "{"+name+"}") {
				op["parameters"] = []any{map[string]any{"name": name, "in": "path", "required": true, "schema": map[string]string{"type": "string"}}}
			}
		}
		if paths[d.Path] == nil {
			paths[d.Path] = map[string]any{}
		}
		paths[d.Path][strings.ToLower(d.Method)] = op
	}
	text := map[string]any{"type": []string{"string", "null"}}
	document := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]string{
			"title": cmp.Or(a.o.Docs.Title, "llmgw"), "version": cmp.Or(a.o.Build, "dev"),
			"description": cmp.Or(a.o.Docs.Description, "A gateway for large language models that answers as the LiteLLM proxy does."),
		},
		"paths": paths,
		"components": map[string]any{
			"securitySchemes": map[string]any{"key": map[string]string{"type": "http", "scheme": "bearer"}},
			"schemas": map[string]any{"Error": map[string]any{"type": "object", "required": []string{"error"}, "properties": map[string]any{
				"error": map[string]any{"type": "object", "properties": map[string]any{"message": text, "type": text, "param": text, "code": map[string]string{"type": "string"}}},
			}}},
		},
	}
	if a.o.RootPath != "" {
		document["servers"] = []any{map[string]string{"url": a.o.RootPath}}
	}
	writeJSON(x.w, http.StatusOK, marshal(document))
	return http.StatusOK
}

// docsPage needs nothing from anywhere: it is read in closed networks.
var docsPage = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:2rem 1.5rem 4rem;color:#1c2733;background:#fff}
h1{margin:0 0 .2rem;font-size:1.7rem}h2{margin:2.2rem 0 .4rem;font-size:1.15rem}p{margin:.4rem 0}
table{border-collapse:collapse;width:100%;table-layout:fixed}td{text-align:left;padding:.45rem .8rem .45rem 0;border-bottom:1px solid #dde3ea;vertical-align:top}
td:first-child{width:4.2rem}td:nth-child(2){width:52%;overflow-wrap:anywhere}
code,pre{font:13px/1.55 ui-monospace,"DejaVu Sans Mono",monospace}pre{background:#f3f6f9;padding:.8rem 1rem;overflow:auto;border-radius:6px}
.m{display:inline-block;width:3.6rem;text-align:center;border-radius:4px;color:#fff;font:600 11px/1.75 system-ui,sans-serif;background:#5b6673}.POST{background:#22744b}.GET{background:#2b5fa8}
.k{color:#5a6877}.also{font-size:12px;color:#5a6877;margin:.1rem 0 0}.also code{font-size:12px}.key{font-size:12px;border:1px solid currentColor;border-radius:3px;padding:0 .3rem;margin-left:.4rem}a{color:#2b5fa8}
@media(prefers-color-scheme:dark){body{background:#14191f;color:#dfe6ee}pre{background:#1f262e}td{border-color:#2c3742}.k,.also{color:#9fadbb}a{color:#85b4f0}}
</style></head><body>
<h1>{{.Title}}</h1>{{if .Description}}
<p>{{.Description}}</p>{{end}}
<p class="k">{{if .Build}}{{.Build}}, {{end}}answers as LiteLLM {{.Emulated}}. For programs: <a href="{{.Root}}{{.OpenAPI}}">openapi.json</a>, <a href="{{.Root}}/routes">routes</a></p>
<pre>curl {{.Origin}}{{.Root}}/v1/chat/completions \
  -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \
  -d '{"model": "MODEL", "messages": [{"role": "user", "content": "Hello"}]}'</pre>
<p class="k">MODEL is a name from <code>{{.Root}}/v1/models</code>. Errors are JSON: <code>{"error": {"message", "type", "param", "code"}}</code>.</p>
{{range .Groups}}{{if .Routes}}<h2>{{.Title}}</h2><table>{{range .Routes}}<tr><td><span class="m {{.Method}}">{{.Method}}</span></td><td><code>{{$.Root}}{{.Path}}</code>{{if .Also}}<p class="also">also {{range $i, $p := .Also}}{{if $i}}, {{end}}<code>{{$.Root}}{{$p}}</code>{{end}}</p>{{end}}</td><td class="k">{{.About}}{{if .Form}} (multipart form){{end}}{{if .Public}}<span class="key">no key</span>{{end}}</td></tr>{{end}}</table>
{{end}}{{end}}</body></html>
`))

// DocsPages say where the pages of the API are and what they are called; what is
// empty is as it is without.
type DocsPages struct {
	// Docs, Redoc and OpenAPI are paths, Title and Description texts.
	Docs, Redoc, OpenAPI string
	Title, Description   string
}

// move gives the pages the paths that the operator wants.
func (d *DocsPages) move(routes map[string]*route) {
	for _, page := range [...]struct{ from, to string }{{"/docs", d.Docs}, {"/redoc", d.Redoc}, {"/openapi.json", d.OpenAPI}} {
		rt := routes[page.from]
		if page.to == "" || page.to == page.from || rt == nil || routes[page.to] != nil && page.to != "/" {
			continue // what answers there already goes on doing so
		}
		moved := *rt
		moved.name = page.to
		routes[page.to] = &moved
		delete(routes, page.from)
	}
}

// serveRobots asks crawlers to keep out.
func serveRobots(_ *API, x *exchange) int {
	h := x.w.Header()
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write([]byte("User-agent: *\nDisallow: /"))
	return http.StatusOK
}

func serveDocs(a *API, x *exchange) int {
	type group struct {
		Title  string
		Routes []documented
	}
	page := struct {
		Build, Emulated, Root, Origin, Title, Description, OpenAPI string
		Groups                                                     []group
	}{Title: cmp.Or(a.o.Docs.Title, "llmgw"), Description: a.o.Docs.Description, OpenAPI: cmp.Or(a.o.Docs.OpenAPI, "/openapi.json"), Build: a.o.Build, Emulated: a.o.Emulated, Root: a.o.RootPath, Origin: "http://" + x.r.Host, Groups: []group{{Title: "Models"}, {Title: "Passed on to other services"}, {Title: "Operation"}}}
	if a.o.HideVersions {
		page.Build = ""
	}
	if x.r.TLS != nil || headerValue(x.r.Header, "X-Forwarded-Proto") == "https" {
		page.Origin = "https://" + x.r.Host
	}
	for _, d := range a.listed() {
		n := 2
		switch {
		case d.Passed:
			n = 1
		case d.Inference || d.Canonical == "/v1/models" || d.Canonical == "/v1/models/{model_id}" || d.Canonical == "/model/info" || d.Canonical == "/model_group/info":
			n = 0
		}
		g := &page.Groups[n]
		// One row for an endpoint, its other names beneath; the canonical one first.
		if last := len(g.Routes) - 1; last >= 0 && g.Routes[last].Canonical == d.Canonical && g.Routes[last].Method == d.Method {
			row := &g.Routes[last]
			other := d.Path
			if d.Path == d.Canonical {
				row.Path, other = d.Path, row.Path
			}
			row.Also = append(row.Also, other)
			slices.SortFunc(row.Also, func(x, y string) int {
				return cmp.Or(cmp.Compare(strings.Count(x, "{"), strings.Count(y, "{")), strings.Compare(x, y))
			})
			continue
		}
		g.Routes = append(g.Routes, d)
	}
	return writePage(x, http.StatusOK, func(b *strings.Builder) error { return docsPage.Execute(b, page) })
}

// writePage sends a page for browsers, with the headers that protect it.
func writePage(x *exchange, status int, render func(*strings.Builder) error) int {
	var b strings.Builder
	if err := render(&b); err != nil {
		return writeError(x.w, call.NewError(http.StatusInternalServerError, "internal_server_error", "", "The page could not be written"))
	}
	h := x.w.Header()
	h["Content-Type"] = []string{"text/html; charset=utf-8"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["X-Frame-Options"] = []string{"DENY"}
	h["Content-Security-Policy"] = []string{"default-src 'none'; style-src 'unsafe-inline'"}
	x.w.WriteHeader(status)
	_, _ = x.w.Write([]byte(b.String())) // the client is gone: nothing is left to tell it
	return status
}

var uiPage = template.Must(template.New("ui").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>llmgw</title><style>body{font:16px/1.6 system-ui,sans-serif;margin:3rem auto;max-width:38rem;padding:0 1rem}</style></head><body>
<h1>No admin page here</h1>
<p>llmgw answers as the LiteLLM proxy does, but has no web interface. Models and settings stand in the configuration file.
LiteLLM's own admin page keeps working where LiteLLM itself runs.</p>
<p><a href="{{.}}">What this gateway serves</a></p></body></html>
`))

func serveUI(a *API, x *exchange) int {
	return writePage(x, http.StatusNotFound, func(b *strings.Builder) error { return uiPage.Execute(b, a.o.RootPath+cmp.Or(a.o.Docs.Docs, "/docs")) })
}

// serveHome is the page of the API, or a way to another.
func serveHome(a *API, x *exchange) int {
	if a.o.RootRedirect != "" {
		x.w.Header()["Location"] = []string{a.o.RootRedirect}
		x.w.WriteHeader(http.StatusTemporaryRedirect)
		return http.StatusTemporaryRedirect
	}
	if !a.o.NoDocs && a.o.Docs.Docs == "" {
		return serveDocs(a, x)
	}
	writeJSON(x.w, http.StatusOK, []byte(`"LiteLLM: RUNNING"`))
	return http.StatusOK
}
