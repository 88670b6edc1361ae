package cache

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// controls are what a request says about the cache.
type controls struct {
	noCache, noStore, use bool
	ttl, maxAge           time.Duration
	namespace             string
}

// maxNamespace bounds the part of a key that a client chooses.
const maxNamespace = 128

func badControl(name, why string) *call.Error {
	return call.NewError(http.StatusBadRequest, "invalid_request_error", "cache", fmt.Sprintf("Invalid 'cache': %s %s", name, why))
}

// readControls reads the member cache, ttl, caching, metadata.redis_namespace
// and the header Cache-Control.
func readControls(q *wire.CacheQuery) (c controls, err *call.Error) {
	r := q.Request
	if v := q.Header["Cache-Control"]; len(v) > 0 {
		c.header(v[0])
	}
	if n, ok := r.Number(splice.TTL); ok && n > 0 {
		c.ttl = seconds(n)
	}
	if on, ok := r.Bool(splice.Caching); ok {
		if on {
			c.use = true
		} else {
			c.noCache, c.noStore = true, true
		}
	}
	if r.Has(splice.Metadata) {
		var m struct {
			Namespace any `json:"redis_namespace"`
		}
		if json.Unmarshal(r.Raw(splice.Metadata), &m) == nil {
			c.namespace, _ = m.Namespace.(string)
		}
	}
	raw := r.Raw(splice.Cache)
	if raw != nil && string(raw) != "null" {
		var m map[string]any
		if json.Unmarshal(raw, &m) != nil || m == nil {
			return c, call.NewError(http.StatusBadRequest, "invalid_request_error", "cache", "Invalid 'cache': expected an object such as {\"no-cache\": true}")
		}
		if err := c.object(m); err != nil {
			return c, err
		}
	}
	if len(c.namespace) > maxNamespace || strings.ContainsAny(c.namespace, "\r\n\x00") {
		return c, badControl("namespace", fmt.Sprintf("must be at most %d characters on one line", maxNamespace))
	}
	return c, nil
}

func (c *controls) object(m map[string]any) *call.Error {
	for name, value := range m {
		if value == nil {
			continue
		}
		switch name {
		case "no-cache", "no-store", "use-cache":
			on, ok := value.(bool)
			if !ok {
				return badControl(name, "must be true or false")
			}
			switch name {
			case "no-cache":
				c.noCache = on
			case "no-store":
				c.noStore = on
			default:
				c.use = on
			}
		case "ttl", "s-maxage", "s-max-age":
			n, ok := number(value)
			if !ok || n < 0 {
				return badControl(name, "must be a number of seconds")
			}
			if name == "ttl" {
				c.ttl = seconds(n)
			} else {
				c.maxAge = max(seconds(n), 1) // 0 accepts nothing
			}
		case "namespace":
			text, ok := value.(string)
			if !ok {
				return badControl(name, "must be text")
			}
			c.namespace = text
		}
	}
	return nil
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, !math.IsNaN(v)
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil && !math.IsNaN(f)
	}
	return 0, false
}

const longest = 365 * 24 * 3600

func seconds(n float64) time.Duration { return time.Duration(min(n, longest) * float64(time.Second)) }

// header reads Cache-Control, of which LiteLLM takes the life of the entry.
func (c *controls) header(text string) {
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(name, "s-maxage") {
			if n, err := strconv.ParseFloat(strings.Trim(value, `" `), 64); err == nil && n > 0 {
				c.ttl = seconds(n)
			}
		}
	}
}
