package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// CacheAdmin is what the endpoints under /cache do with a cache.
type CacheAdmin interface {
	// Kind is the configured type, Shared says whether it lies in Redis.
	Kind() string
	Shared() bool
	// Params describe it without secrets.
	Params() map[string]string
	Ping(ctx context.Context) error
	Delete(ctx context.Context, keys []string) error
	Flush(ctx context.Context, everything bool) error
	Info(ctx context.Context) (info map[string]string, clients []string, err error)
}

// cached is the cache's side of one request.
type cached struct {
	ticket wire.CacheTicket
	// events gathers a stream that shall be kept; nil when there is none.
	events *buffer
	// parts are the elements of a list; nil for other requests.
	parts *parts
}

func (k *cached) reset() {
	release(&k.events)
	k.ticket, k.parts = wire.CacheTicket{}, nil
}

// fromCache answers from the cache, and reports whether it did. The error is a
// refusal.
func (c *chat) fromCache(kind string) (bool, *call.Error) {
	if c.a.o.Cache == nil || c.mocked || kind == "" || c.theirs.any() {
		return false, nil
	}
	q := wire.CacheQuery{
		Kind: kind, Request: &c.request, Header: c.x.r.Header, Model: c.call.Model, Stream: c.call.Stream, Caller: c.call.Caller,
	}
	if c.a.o.Router.OwnedBy(c.plan.TeamID, q.Model) {
		q.Model = c.plan.TeamID + "\x00" + q.Model // what others get under that name is another model's
	}
	if c.x.route.kind.op == wire.Embeddings {
		if taken, done, err := c.fromParts(&q); taken || err != nil {
			return done, err
		}
	}
	hit, err := c.a.o.Cache.Lookup(c.x.r.Context(), &q, &c.kept.ticket)
	if err != nil {
		return false, err
	}
	if hit == nil {
		c.call.CacheMissed = true
		if c.kept.ticket.Keep && c.call.Stream {
			c.kept.events = takeBuffer()
		}
		return false, nil
	}
	c.answerHit(hit)
	return true, nil
}

// answerHit sends an answer of the cache.
func (c *chat) answerHit(hit *wire.CacheHit) {
	c.kept.ticket.Keep = false
	c.call.Usage, c.call.Cached, c.call.CachedFrom = hit.Usage, true, hit.ModelID
	c.charge()
	w, h := c.x.w, c.x.w.Header()
	c.a.callHeaders(h, &c.call, &c.values)
	c.cacheKey(h)
	if hit.ModelID != "" {
		h["X-Litellm-Model-Id"] = c.values.one(hit.ModelID)
	}
	h["X-Litellm-Model-Group"] = c.values.one(c.call.Model)
	c.call.FirstByte = time.Now()
	timings(h, &c.call, &c.values, c.call.FirstByte)
	if c.call.Stream {
		h["Content-Type"], h["Cache-Control"], h["X-Accel-Buffering"] = eventType, noCache, noBuffering
	} else {
		h["Content-Type"] = jsonType
		h["Content-Length"] = c.values.one(itoa(&c.values.text, len(hit.Body)))
	}
	c.call.Status = http.StatusOK
	c.addAnswer(hit.Body)
	if _, err := w.Write(hit.Body); err != nil || c.plan.ClientGone() {
		c.call.Status = call.ClassClientGone.Status()
	}
}

// cacheKey names the entry that an answer came from, or goes to.
func (c *chat) cacheKey(h http.Header) {
	if key := c.kept.ticket.Key; key != "" {
		h["X-Litellm-Cache-Key"] = []string{key}
	}
}

// gather adds events to what will be kept.
func (c *chat) gather(out []byte) {
	if c.kept.events == nil {
		return
	}
	if len(c.kept.events.b)+len(out) > c.a.o.Cache.MaxAnswer() {
		release(&c.kept.events)
		return
	}
	c.kept.events.b = append(c.kept.events.b, out...)
}

// keepStream keeps a stream that has ended well.
func (c *chat) keepStream() {
	if c.kept.events != nil {
		c.kept.ticket.ModelID = c.call.Deployment.ID
		c.a.o.Cache.Keep(&c.kept.ticket, c.kept.events.b, c.exchange.Outcome().Usage)
	}
}

// keepAnswer keeps a complete answer.
func (c *chat) keepAnswer(body []byte) {
	if c.kept.ticket.Keep && c.kept.ticket.Parts == nil {
		c.kept.ticket.ModelID = c.call.Deployment.ID
		c.a.o.Cache.Keep(&c.kept.ticket, body, c.exchange.Outcome().Usage)
	}
}

const noCacheText = "Cache not initialized. litellm.cache is None"

// adminCache returns the cache for an operator's request, or answers.
func adminCache(a *API, x *exchange) CacheAdmin {
	if x.caller.Role != call.RoleProxyAdmin {
		writeError(x.w, call.NewError(http.StatusForbidden, "auth_error", call.None, "Only proxy admins can use the endpoints of the cache"))
		return nil
	}
	return a.o.CacheAdmin
}

// asText marshals what clients of LiteLLM find as text inside JSON.
func asText(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}

func serveCachePing(a *API, x *exchange) int {
	k := adminCache(a, x)
	unwell := func(message string, params map[string]string) int {
		// In the order and with the spaces of Python's json.dumps.
		return writeError(x.w, call.NewError(http.StatusServiceUnavailable, "cache_ping_error", "cache_ping",
			`{"message": `+asText(message)+`, "litellm_cache_params": `+asText(asText(params))+`, "health_check_cache_params": "{}"}`))
	}
	switch {
	case x.caller.Role != call.RoleProxyAdmin:
		return http.StatusForbidden
	case k == nil:
		return unwell(noCacheText, map[string]string{})
	}
	answer := map[string]any{"status": "healthy", "cache_type": k.Kind(), "litellm_cache_params": asText(k.Params())}
	if k.Shared() {
		if err := k.Ping(x.r.Context()); err != nil {
			a.o.Log.Warn("the cache does not answer: " + err.Error())
			return unwell("Service Unhealthy", k.Params())
		}
		answer["ping_response"], answer["set_cache_response"] = true, "success"
	}
	writeJSON(x.w, http.StatusOK, marshal(answer))
	return http.StatusOK
}

var success = []byte(`{"status":"success"}`)

func serveCacheDelete(a *API, x *exchange) int {
	k := adminCache(a, x)
	switch {
	case x.caller.Role != call.RoleProxyAdmin:
		return http.StatusForbidden
	case k == nil:
		return detail(x.w, http.StatusServiceUnavailable, noCacheText)
	}
	var body struct {
		Keys []string `json:"keys"`
	}
	raw, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(raw, &body)
	}
	if err != nil {
		return detail(x.w, http.StatusBadRequest, `Cache Delete Failed(expected a body such as {"keys": ["..."]})`)
	}
	if err := k.Delete(x.r.Context(), body.Keys); err != nil {
		return detail(x.w, http.StatusInternalServerError, "Cache Delete Failed("+err.Error()+")")
	}
	writeJSON(x.w, http.StatusOK, success)
	return http.StatusOK
}

func serveCacheFlush(a *API, x *exchange) int {
	k := adminCache(a, x)
	switch {
	case x.caller.Role != call.RoleProxyAdmin:
		return http.StatusForbidden
	case k == nil:
		return detail(x.w, http.StatusServiceUnavailable, noCacheText)
	}
	if err := k.Flush(x.r.Context(), x.r.URL.Query().Get("all") == "true"); err != nil {
		return detail(x.w, http.StatusServiceUnavailable, "Service Unhealthy ("+err.Error()+")")
	}
	writeJSON(x.w, http.StatusOK, success)
	return http.StatusOK
}

func serveCacheInfo(a *API, x *exchange) int {
	k := adminCache(a, x)
	switch {
	case x.caller.Role != call.RoleProxyAdmin:
		return http.StatusForbidden
	case k == nil:
		return detail(x.w, http.StatusServiceUnavailable, noCacheText)
	}
	info, clients, err := k.Info(x.r.Context())
	if err != nil {
		return detail(x.w, http.StatusServiceUnavailable, "Service Unhealthy ("+err.Error()+")")
	}
	n := len(clients)
	if clients == nil {
		n, clients = -1, []string{"CLIENT LIST command not available on this Redis instance"}
	}
	writeJSON(x.w, http.StatusOK, marshal(map[string]any{"num_clients": n, "clients": clients, "info": info}))
	return http.StatusOK
}
