package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// serveMetrics shows the metrics, on both spellings of the path: scrapers do not
// follow redirects alike. They name teams and keys, so they need a key.
func serveMetrics(a *API, x *exchange) int {
	if a.o.Metrics == nil {
		return a.unknownPath(x)
	}
	open, refusal := a.admit(x)
	if refusal != nil {
		return a.refuse(x, refusal)
	}
	if !a.o.MetricsOpen && !open {
		if err := a.identify(x, x.r); err != nil {
			a.metricsHint.Do(func() {
				a.o.Log.Warn("/metrics was asked for without a valid key: give the scraper one (authorization in scrape_configs), open a port for it with --prometheus-metrics-port, or set litellm_settings.require_auth_for_metrics_endpoint to false")
			})
			writeJSON(x.w, http.StatusUnauthorized, marshal("Unauthorized access to metrics endpoint: "+err.Message))
			return http.StatusUnauthorized
		}
	}
	a.o.Metrics.ServeHTTP(x.w, x.r)
	return http.StatusOK
}

// LabelSource is what configured labels are taken from.
type LabelSource struct {
	api     *API
	request *splice.Request
	header  http.Header
}

// Metadata returns the request's metadata: the members "metadata" and
// "litellm_metadata" as they came.
func (l LabelSource) Metadata() (list [][]byte) {
	for _, m := range [...]splice.Member{splice.Metadata, splice.LiteLLMMetadata} {
		if l.request.Has(m) {
			list = append(list, l.request.Raw(m))
		}
	}
	return list
}

// Tags returns the request's tags: its own, the program's, and those of headers
// that the operator has named.
func (l LabelSource) Tags() []string {
	tags := requestTags(l.request, l.header)
	if agent := headerValue(l.header, "User-Agent"); agent != "" && !l.api.o.NoAgentTags {
		if name, _, found := strings.Cut(agent, "/"); found {
			tags = append(tags, "User-Agent: "+name)
		}
		tags = append(tags, "User-Agent: "+agent)
	}
	for _, name := range l.api.o.SpendTags {
		if v := headerValue(l.header, http.CanonicalHeaderKey(name)); v != "" {
			tags = append(tags, name+": "+v)
		}
	}
	return tags
}

// observe notes where a request came from and what its labels are.
func (a *API) observe(c *call.Call, r *http.Request, q *splice.Request) {
	if a.o.KeepTags {
		c.Tags = LabelSource{a, q, r.Header}.Tags()
	}
	if !a.o.Observe {
		return
	}
	if a.o.Trace != nil {
		c.Trace = a.o.Trace(r.Header)
	}
	c.NoLog = !a.o.AlwaysLog && q.Has(splice.NoLog) && string(q.Raw(splice.NoLog)) == "true"
	c.ClientIP = a.o.Admission.ClientIP(r)
	c.UserAgent = headerValue(r.Header, "User-Agent")
	if a.o.Labels != nil {
		c.Labels = a.o.Labels(LabelSource{a, q, r.Header})
	}
}

// remaining tells the client what is left of the group's limits where the
// upstream does not say what is left of its own, and notes either for metrics.
func (c *chat) remaining(h, upstream http.Header) {
	requests, tokens := headerValue(upstream, "X-Ratelimit-Remaining-Requests"), headerValue(upstream, "X-Ratelimit-Remaining-Tokens")
	if requests == "" || tokens == "" {
		if q, ok := c.a.o.Router.Quota(c.call.Deployment.Group, c.call.Usage.TotalTokens); ok {
			set := func(limit, left int64, limitName, leftName string, noted *string) {
				if limit > 0 {
					*noted = strconv.FormatInt(left, 10)
					h[limitName], h[leftName] = []string{strconv.FormatInt(limit, 10)}, []string{*noted}
				}
			}
			set(q.Requests, q.RequestsLeft, "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", &requests)
			set(q.Tokens, q.TokensLeft, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", &tokens)
		}
	}
	if c.a.o.Observe {
		c.call.RemainingRequests, c.call.RemainingTokens = requests, tokens
	}
}

// traced adds a call's place in its trace to what an upstream is sent. Without a
// trace of our own the client's goes on as it came.
func (c *chat) traced(header http.Header) http.Header {
	parent, state := headerValue(c.x.r.Header, "Traceparent"), headerValue(c.x.r.Header, "Tracestate")
	if t := c.call.Trace; t != nil {
		parent, state = t.Header(c.call.Attempts), t.State
	}
	if parent == "" {
		return header
	}
	header = header.Clone()
	header["Traceparent"] = []string{parent}
	if state != "" {
		header["Tracestate"] = []string{state}
	}
	return header
}
