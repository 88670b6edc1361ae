package api

import (
	"net/http"
	"slices"
	"strings"
)

// CORS says which pages may call the API from a browser
// (LITELLM_CORS_ORIGINS, LITELLM_CORS_ALLOW_CREDENTIALS).
type CORS struct {
	// Origins are allowed; none, or one that is *, allows all.
	Origins []string
	// Credentials lets pages send cookies and HTTP authentication. With every
	// origin allowed that is on only when asked for.
	Credentials bool
}

// any reports whether every origin is allowed.
func (c *CORS) any() bool { return len(c.Origins) == 0 || slices.Contains(c.Origins, "*") }

// exposed are the headers of an answer that a page's script may read.
var exposed = []string{strings.Join([]string{
	"x-litellm-call-id", "x-litellm-model-id", "x-litellm-model-group", "x-litellm-model-api-base", "x-litellm-version",
	"x-litellm-response-cost", "x-litellm-response-duration-ms", "x-litellm-overhead-duration-ms", "x-litellm-cache-key",
	"x-litellm-attempted-retries", "x-litellm-attempted-fallbacks", "x-litellm-applied-guardrails", "x-litellm-semantic-filter",
	"x-litellm-semantic-filter-tools", "x-litellm-adaptive-router-model", "x-litellm-guardrail-scan-id", "x-litellm-guardrail-scan-metadata",
	"retry-after", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
}, ", ")}

const corsMethods = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"

// cors writes the headers that let a page of another origin read the answer,
// and answers a browser's question whether it may ask. It reports the status of
// that answer, 0 where there is more to do.
func (a *API) cors(w http.ResponseWriter, r *http.Request) int {
	origin := headerValue(r.Header, "Origin")
	if origin == "" {
		return 0
	}
	c := &a.o.CORS
	h := w.Header()
	allowed := c.any() || slices.Contains(c.Origins, origin)
	if !c.any() || c.Credentials {
		h.Add("Vary", "Origin")
	}
	if allowed {
		value := origin
		if c.any() && !c.Credentials {
			value = "*"
		}
		h["Access-Control-Allow-Origin"] = []string{value}
		if c.Credentials {
			h["Access-Control-Allow-Credentials"] = []string{"true"}
		}
	}
	if r.Method != http.MethodOptions || headerValue(r.Header, "Access-Control-Request-Method") == "" {
		if allowed {
			h["Access-Control-Expose-Headers"] = exposed
		}
		return 0
	}
	status, text := http.StatusOK, "OK"
	if allowed {
		h["Access-Control-Allow-Methods"] = []string{corsMethods}
		h["Access-Control-Max-Age"] = []string{"600"}
		if asked := headerValue(r.Header, "Access-Control-Request-Headers"); asked != "" {
			h["Access-Control-Allow-Headers"] = []string{asked}
		}
	} else {
		status, text = http.StatusBadRequest, "Disallowed CORS origin"
	}
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
	return status
}
