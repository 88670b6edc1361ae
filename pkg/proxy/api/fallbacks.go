package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// fallbacks are a request's own.
type fallbacks struct {
	names []string
	// changes are what a target wants changed in the request, nil for nothing.
	changes []map[string]json.RawMessage
	changed bool // the request is not what the client sent
}

// readFallbacks reads the request's own fallbacks: names, or objects that name a
// model and members that replace the request's.
func readFallbacks(raw []byte) (f fallbacks, err *call.Error) {
	bad := func(why string) (fallbacks, *call.Error) {
		return fallbacks{}, call.NewError(http.StatusBadRequest, "invalid_request_error", "fallbacks", "Invalid 'fallbacks': "+why)
	}
	if string(raw) == "null" {
		return fallbacks{}, nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return bad("expected a list of model names")
	}
	f.names = make([]string, 0, len(list))
	for i, item := range list {
		var name string
		if json.Unmarshal(item, &name) == nil {
			f.names, f.changes = append(f.names, name), append(f.changes, nil)
			continue
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(item, &object) != nil || json.Unmarshal(object["model"], &name) != nil {
			return bad(fmt.Sprintf("entry %d is neither a model name nor an object with a model", i))
		}
		for _, m := range clientCredentials {
			if _, ok := object[m.String()]; ok {
				return fallbacks{}, credentialRefused(m.String())
			}
		}
		delete(object, "model")
		delete(object, "stream") // the answer's form is settled
		if len(object) == 0 {
			object = nil
		}
		f.names, f.changes = append(f.names, name), append(f.changes, object)
	}
	return f, nil
}

// clientCredentials are members by which a client would choose where a request
// goes, or with what.
var clientCredentials = [...]splice.Member{splice.APIBase, splice.BaseURL, splice.APIKey, splice.UserConfig}

func credentialRefused(member string) *call.Error {
	return call.NewError(http.StatusUnauthorized, "auth_error", call.None, fmt.Sprintf(
		"Authentication Error, Rejected Request: %s is not allowed in request body. Where requests go and with which key is the operator's to say.", member))
}

// hop makes the request what the n-th of its own fallbacks wants.
func (c *chat) hop(n int) {
	if n >= len(c.own.changes) || c.in == nil {
		return
	}
	changes := c.own.changes[n]
	if changes == nil && !c.own.changed {
		return
	}
	c.own.changed = changes != nil
	c.kept.parts, c.kept.ticket.Keep = nil, false // the answer is to another request
	body := c.in.b
	if changes != nil {
		var whole map[string]json.RawMessage
		if json.Unmarshal(body, &whole) != nil {
			return // it has been scanned, so it can be read
		}
		for name, v := range changes {
			whole[name] = v
		}
		body, _ = json.Marshal(whole)
	}
	if c.request.Scan(body) != nil {
		// What was to be changed makes no request: the client's own is tried.
		_ = c.request.Scan(c.in.b)
	}
}

// fallbackErrors are the errors of the groups that failed, for the header that a
// client can ask for.
func fallbackErrors(list []*call.Error) string {
	type failure struct {
		Message string  `json:"message"`
		Type    *string `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}
	const most = 8
	out := make([]failure, 0, min(len(list), most))
	for _, e := range list[:min(len(list), most)] {
		out = append(out, failure{Message: clip(e.Message), Type: nullable(e.Type), Param: nullable(e.Param), Code: fmt.Sprint(e.StatusCode())})
	}
	return string(marshalASCII(out))
}

// clip keeps a header from growing with what an upstream says.
func clip(s string) string {
	const most = 500
	if len(s) > most {
		return s[:most]
	}
	return s
}

// marshalASCII is JSON that fits into a header.
func marshalASCII(v any) []byte {
	raw, _ := json.Marshal(v)
	out := make([]byte, 0, len(raw))
	for _, r := range string(raw) {
		if r < 128 {
			out = append(out, byte(r))
			continue
		}
		if r > 0xffff {
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			continue
		}
		out = fmt.Appendf(out, `\u%04x`, r)
	}
	return out
}
