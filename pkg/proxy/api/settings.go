package api

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
	for _, m := range [...]splice.Member{splice.APIBase, splice.BaseURL, splice.APIKey} {
		if q.Has(m) {
			return call.NewError(http.StatusUnauthorized, "auth_error", call.None, fmt.Sprintf(
				"Authentication Error, Rejected Request: %s is not allowed in request body. Enable with `general_settings::allow_client_side_credentials` on proxy config.yaml.", m))
		}
	}
	var err *call.Error
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
		if n, ok := q.Number(m); ok && p.NumRetries == nil {
			c.retries = int(min(max(n, 0), maxRetries))
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
		n, e := strconv.Atoi(strings.TrimSpace(v))
		if e != nil || n < 0 {
			return call.NewError(http.StatusBadRequest, "invalid_request_error", "x-litellm-num-retries",
				fmt.Sprintf("x-litellm-num-retries is %q, expected a whole number", v))
		}
		c.retries = min(n, maxRetries)
		p.NumRetries = &c.retries
	}
	if err != nil {
		return err
	}
	if q.Has(splice.Fallbacks) {
		if p.Fallbacks, err = fallbackNames(q.Raw(splice.Fallbacks)); err != nil {
			return err
		}
	}
	p.DisableFallbacks, _ = q.Bool(splice.DisableFallbacks)
	if text, ok := q.Text(splice.MockResponse); ok {
		c.mock, c.mocked = string(text), true
	}
	return nil
}

// maxRetries bounds what a client may ask for.
const maxRetries = 20

// duration reads seconds as JSON, header or text have them; null is not set.
func duration(name, text string) (time.Duration, *call.Error) {
	text = strings.Trim(strings.TrimSpace(text), `"`)
	if text == "null" || text == "" {
		return 0, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f <= 0 {
		return 0, call.NewError(http.StatusBadRequest, "invalid_request_error", name,
			fmt.Sprintf("%s is %q, expected a number of seconds above 0", name, text))
	}
	return time.Duration(min(f, 7*24*3600) * float64(time.Second)), nil
}

// fallbackNames reads the request's own fallbacks: names, or objects that name
// a model.
func fallbackNames(raw []byte) ([]string, *call.Error) {
	bad := func(why string) ([]string, *call.Error) {
		return nil, call.NewError(http.StatusBadRequest, "invalid_request_error", "fallbacks", "Invalid 'fallbacks': "+why)
	}
	if string(raw) == "null" {
		return nil, nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return bad("expected a list of model names")
	}
	names := make([]string, 0, len(list))
	for i, item := range list {
		var name string
		if json.Unmarshal(item, &name) == nil {
			names = append(names, name)
			continue
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(item, &object) != nil || json.Unmarshal(object["model"], &name) != nil {
			return bad(fmt.Sprintf("entry %d is neither a model name nor an object with a model", i))
		}
		if len(object) > 1 {
			return bad(fmt.Sprintf("entry %d changes members besides model, which this gateway does not support", i))
		}
		names = append(names, name)
	}
	return names, nil
}

func itoa(buf *[]byte, n int) string {
	*buf = strconv.AppendInt((*buf)[:0], int64(n), 10)
	return string(*buf)
}
