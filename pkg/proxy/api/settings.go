package api

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

func headerValue(h http.Header, canonical string) string {
	if v := h[canonical]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// jsonContent refuses bodies that say they are a form. Anything else is taken
// for JSON, as LiteLLM takes it, whatever the Content-Type says.
func jsonContent(h http.Header) *call.Error {
	kind := headerValue(h, "Content-Type")
	if kind == "" || kind == "application/json" {
		return nil
	}
	if t, _, _ := strings.Cut(strings.ToLower(kind), ";"); t != "application/x-www-form-urlencoded" && t != "multipart/form-data" {
		return nil
	}
	return call.NewError(http.StatusBadRequest, "invalid_request_error", "",
		fmt.Sprintf("Invalid request format: Content-Type is %q, expected application/json", kind))
}

// settings reads what the request wants of the gateway itself. Headers win over
// the body.
func (c *chat) settings() *call.Error {
	q, p := &c.request, &c.plan
	err := c.credentials()
	if err != nil {
		return err
	}
	seconds := func(into *time.Duration, members ...splice.Member) {
		for _, m := range members {
			if q.Has(m) && *into == 0 && err == nil {
				*into, err = duration(m.String(), string(q.Raw(m)))
			}
		}
	}
	seconds(&p.Timeout, splice.Timeout, splice.RequestTimeout)
	seconds(&p.StreamTimeout, splice.StreamTimeout)
	for _, m := range [...]splice.Member{splice.NumRetries, splice.MaxRetries} {
		if p.NumRetries != nil || !q.Has(m) || err != nil {
			continue
		}
		var n *int
		if n, err = retries(m.String(), string(q.Raw(m))); n != nil {
			c.retries = *n
			p.NumRetries = &c.retries
		}
	}
	h := c.x.r.Header
	if v := headerValue(h, "X-Litellm-Timeout"); v != "" && err == nil {
		p.Timeout, err = duration("x-litellm-timeout", v)
	}
	if v := headerValue(h, "X-Litellm-Stream-Timeout"); v != "" && err == nil {
		p.StreamTimeout, err = duration("x-litellm-stream-timeout", v)
	}
	if v := headerValue(h, "X-Litellm-Num-Retries"); v != "" && err == nil {
		var n *int
		if n, err = retries("x-litellm-num-retries", v); n != nil {
			c.retries = *n
			p.NumRetries = &c.retries
		}
	}
	if err != nil {
		return err
	}
	if q.Has(splice.Fallbacks) {
		if c.own, err = readFallbacks(q.Raw(splice.Fallbacks)); err != nil {
			return err
		}
		p.Fallbacks = c.own.names
	}
	if c.a.o.ExposeFallbackErrors {
		p.KeepErrors, _ = q.Bool(splice.IncludeFallbackErrors)
	}
	if off, ok := q.Bool(splice.DisableFallbacks); ok {
		p.DisableFallbacks = p.DisableFallbacks || off
	}
	if text, ok := q.Text(splice.MockResponse); ok {
		c.mock, c.mocked = string(text), true
	}
	return c.testing()
}

// maxRetries bounds what a client may ask for.
const maxRetries = 20

// retries reads a number of retries as JSON, header or text have it; null is not
// set.
func retries(name, text string) (*int, *call.Error) {
	text = strings.Trim(strings.TrimSpace(text), `"`)
	if text == "null" || text == "" {
		return nil, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || f < 0 || f != math.Trunc(f) {
		return nil, call.NewError(http.StatusBadRequest, "invalid_request_error", name,
			fmt.Sprintf("%s is %q, expected a whole number", name, text))
	}
	n := int(min(f, maxRetries))
	return &n, nil
}

// duration reads seconds as JSON, header or text have them; null is not set.
func duration(name, text string) (time.Duration, *call.Error) {
	text = strings.Trim(strings.TrimSpace(text), `"`)
	if text == "null" || text == "" {
		return 0, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if f == 0 && err == nil {
		return 0, nil // not set, as LiteLLM reads it
	}
	if err != nil || math.IsNaN(f) || f < 0 {
		return 0, call.NewError(http.StatusBadRequest, "invalid_request_error", name,
			fmt.Sprintf("%s is %q, expected a number of seconds above 0", name, text))
	}
	return time.Duration(min(f, 7*24*3600) * float64(time.Second)), nil
}

func itoa(buf *[]byte, n int) string {
	*buf = strconv.AppendInt((*buf)[:0], int64(n), 10)
	return string(*buf)
}
