package provider

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxBody is how much of a refusal's body is worth reading.
const MaxBody = 64 << 10

// maxText bounds the upstream's text within a message.
const maxText = 4 << 10

// refusal is what the body of an error answer says.
type refusal struct {
	message, typ, param, code string
	// inner is an innererror, as it stands in the body.
	inner []byte
	// status is an HTTP status that the body names, 0 if none.
	status int
	// page says that the body was an HTML page.
	page bool
}

// readRefusal reads an error body of any of the shapes in use: OpenAI's error
// object, alone, in a list or within a choice; a bare string; vLLM's and
// Cohere's flat objects; FastAPI's detail; an HTML page; text.
func readRefusal(body []byte) refusal {
	if len(body) > MaxBody {
		body = body[:MaxBody]
	}
	body = bytes.TrimSpace(body)
	var r refusal
	if len(body) > 0 && (body[0] == '{' || body[0] == '[') && r.readJSON(body) {
		r.message = clip(r.message)
		return r
	}
	if len(body) > 0 && body[0] == '<' {
		r.page = true
		r.message = title(body)
		return r
	}
	r.message = clip(string(body))
	return r
}

// object is the part of an error body that is read. All members are raw, since
// every one of them occurs with other types.
type object struct {
	Error   json.RawMessage `json:"error"`
	Message json.RawMessage `json:"message"`
	Detail  json.RawMessage `json:"detail"`
	Type    json.RawMessage `json:"type"`
	Param   json.RawMessage `json:"param"`
	Code    json.RawMessage `json:"code"`
	// Status is what Groq's streams say beside a symbolic code.
	Status json.RawMessage `json:"status_code"`
	// Metadata holds the words of the provider behind OpenRouter.
	Metadata json.RawMessage `json:"metadata"`
	// Inner is what Azure's filter says.
	Inner   json.RawMessage `json:"innererror"`
	Choices []struct {
		Error json.RawMessage `json:"error"`
	} `json:"choices"`
}

func (r *refusal) readJSON(body []byte) bool {
	if body[0] == '[' {
		var list []json.RawMessage
		if json.Unmarshal(body, &list) != nil || len(list) == 0 {
			return false
		}
		first := bytes.TrimSpace(list[0])
		return len(first) > 0 && first[0] == '{' && r.readJSON(first)
	}
	var o object
	if json.Unmarshal(body, &o) != nil {
		// One member of a strange type must not hide the others.
		var all map[string]json.RawMessage
		if json.Unmarshal(body, &all) != nil {
			return false
		}
		o = object{Error: all["error"], Message: all["message"], Detail: all["detail"], Type: all["type"], Param: all["param"], Code: all["code"]}
	}
	if len(o.Error) == 0 || string(o.Error) == "null" {
		for _, c := range o.Choices {
			if len(c.Error) > 0 && string(c.Error) != "null" {
				o.Error = c.Error
				break
			}
		}
	}
	var inner object
	switch {
	case len(o.Error) > 0 && o.Error[0] == '{' && json.Unmarshal(o.Error, &inner) == nil:
		r.fields(&inner)
		if len(inner.Inner) > 0 && inner.Inner[0] == '{' {
			r.inner = inner.Inner
		}
		if r.message = text(inner.Message); r.message == "" {
			r.message = detail(inner.Detail)
		}
		var behind struct {
			Raw json.RawMessage `json:"raw"`
		}
		if json.Unmarshal(inner.Metadata, &behind) == nil {
			if raw := text(behind.Raw); raw != "" && r.message != "" {
				r.message += ": " + raw
			}
		}
	case len(o.Error) > 0 && o.Error[0] == '"':
		r.fields(&o)
		r.message = text(o.Error)
	default:
		r.fields(&o)
	}
	if r.message == "" {
		r.message = text(o.Message)
	}
	if r.message == "" {
		r.message = detail(o.Detail)
	}
	if r.message == "" {
		r.message = string(body)
	}
	return true
}

func (r *refusal) fields(o *object) {
	r.typ, r.param, r.code = text(o.Type), text(o.Param), text(o.Code)
	if n, err := strconv.Atoi(text(o.Status)); err == nil && n >= 400 && n < 600 {
		r.status = n
	}
	if n, err := strconv.Atoi(r.code); err == nil {
		if n >= 400 && n < 600 {
			r.status = n
		}
		r.code = "" // a status, not a symbol
	}
}

// text returns a JSON string's text, a number's digits, and nothing for null
// and for containers.
func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 {
		return ""
	}
	if raw[0] == '"' {
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	}
	if raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' {
		return string(raw)
	}
	return ""
}

// detail reads FastAPI's detail: a text, or a list of what is wrong where.
func detail(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	if s := text(raw); s != "" {
		return s
	}
	var list []struct {
		Loc []json.RawMessage `json:"loc"`
		Msg string            `json:"msg"`
	}
	if json.Unmarshal(raw, &list) == nil {
		var parts []string
		for _, e := range list {
			if e.Msg == "" {
				continue
			}
			var where []string
			for _, l := range e.Loc {
				where = append(where, text(l))
			}
			if len(where) > 0 {
				parts = append(parts, strings.Join(where, ".")+": "+e.Msg)
			} else {
				parts = append(parts, e.Msg)
			}
		}
		if len(parts) > 0 {
			return strings.Join(parts, "; ")
		}
	}
	return string(raw)
}

// title describes an HTML page by its title: a balancer's page is long and says
// little more.
func title(page []byte) string {
	lower := bytes.ToLower(page)
	if a := bytes.Index(lower, []byte("<title>")); a >= 0 {
		a += len("<title>")
		if n := bytes.Index(lower[a:], []byte("</title>")); n >= 0 && a+n <= len(page) {
			if t := strings.Join(strings.Fields(clip(string(page[a:a+n]))), " "); t != "" {
				return t + " (the upstream answered with an HTML page)"
			}
		}
	}
	return "the upstream answered with an HTML page"
}

// clip bounds foreign text and keeps it valid UTF-8.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
