package sink

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// encode appends a finished call, as one JSON object without a line break, in the
// words of LiteLLM's standard logging payload, which its callbacks send. Members
// that only LiteLLM has are left out. It is written by hand because every call
// pays for it: encoding/json takes several times as long. A test holds the two
// against each other.
func (s *Sink) encode(b []byte, c *call.Call) []byte {
	o := object{b: append(b, '{')}
	model, group, base, provider := valid(c.Model), valid(c.Model), "", (*string)(nil)
	id := (*string)(nil)
	if d := c.Deployment; d != nil {
		provider, id, model = &d.Provider, &d.ID, d.Model
		base, _, _ = strings.Cut(d.APIBase, "?")
		if !strings.Contains(d.Group, "*") {
			group = d.Group
		}
	}
	trace, status, first := c.ID, "success", c.FirstByte
	if c.Trace != nil {
		trace = c.Trace.TraceText()
	}
	if c.Err != nil {
		status = "failure"
	}
	if first.IsZero() {
		first = c.End
	}
	o.text("id", c.ID)
	o.text("trace_id", trace)
	o.text("litellm_call_id", c.ID)
	o.text("call_type", call.OperationOf(c.Route).Type)
	o.flag("stream", c.Stream)
	o.text("status", status)
	o.whole("status_code", int64(c.Status))
	if finite(c.Cost) {
		o.number("response_cost", c.Cost.Total)
		o.open("cost_breakdown")
		o.number("input_cost", c.Cost.Input)
		o.number("output_cost", c.Cost.Output)
		o.number("total_cost", c.Cost.Total)
		o.shut()
	} else {
		o.null("response_cost")
		o.null("cost_breakdown")
	}
	o.perhaps("custom_llm_provider", provider)
	u := &c.Usage
	o.whole("total_tokens", u.TotalTokens)
	o.whole("prompt_tokens", u.PromptTokens)
	o.whole("completion_tokens", u.CompletionTokens)
	o.moment("startTime", c.Start)
	o.moment("endTime", c.End)
	o.moment("completionStartTime", first)
	o.number("response_time", c.End.Sub(c.Start).Seconds())
	o.number("llm_api_duration", c.UpstreamTime.Seconds())
	o.text("model", model)
	o.perhaps("model_id", id)
	o.text("model_group", group)
	o.text("api_base", base)
	o.whole("attempted_retries", int64(c.Retries))
	o.whole("attempted_fallbacks", int64(c.Fallbacks))
	o.flag("cache_hit", c.Cached)
	o.text("end_user", valid(c.EndUser))
	o.text("requester_ip_address", c.ClientIP)
	o.text("user_agent", valid(c.UserAgent))
	o.texts("request_tags", c.Tags)
	s.metadata(&o, c)
	s.failure(&o, c)
	if s.o.Messages {
		o.content("messages", c.Prompt)
		o.content("response", c.Answer)
	}
	if u.Estimated {
		o.flag("usage_estimated", true)
	}
	o.shut()
	return o.b
}

// metadata says who has called, and what was used.
func (s *Sink) metadata(o *object, c *call.Call) {
	o.open("metadata")
	who := c.Caller
	if who == nil || s.o.HideCallers {
		who = &call.Identity{}
	}
	o.text("user_api_key_hash", who.KeyHash)
	o.text("user_api_key_user_id", who.UserID)
	o.text("user_api_key_team_id", who.TeamID)
	o.text("user_api_key_request_route", c.Route)
	u := &c.Usage
	if !u.Known {
		o.null("usage_object")
		o.shut()
		return
	}
	o.open("usage_object")
	o.whole("prompt_tokens", u.PromptTokens)
	o.whole("completion_tokens", u.CompletionTokens)
	o.whole("total_tokens", u.TotalTokens)
	o.some("cached_tokens", u.CachedTokens)
	o.some("cache_creation_tokens", u.CacheWriteTokens)
	o.some("reasoning_tokens", u.ReasoningTokens)
	o.some("input_audio_tokens", u.AudioInTokens)
	o.some("output_audio_tokens", u.AudioOutTokens)
	o.some("input_image_tokens", u.ImageInTokens)
	o.some("output_image_tokens", u.ImageOutTokens)
	if u.Seconds != 0 {
		o.number("seconds", u.Seconds)
	}
	o.some("images", u.Images)
	o.some("characters", u.Characters)
	o.some("search_units", u.Queries)
	o.shut()
	o.shut()
}

// failure says why a call failed.
func (s *Sink) failure(o *object, c *call.Call) {
	e := c.Err
	if e == nil {
		o.null("error_str")
		o.null("error_information")
		return
	}
	text := s.o.Secrets.Text(e.Message)
	if s.o.HideErrors {
		text = e.Class.String() + ": Message not logged. litellm.redact_messages_in_exceptions=True"
	}
	text = valid(text)
	provider := ""
	if c.Deployment != nil {
		provider = c.Deployment.Provider
	}
	o.text("error_str", text)
	o.open("error_information")
	o.text("error_code", strconv.Itoa(e.StatusCode()))
	o.text("error_class", e.Class.String())
	o.text("llm_provider", provider)
	o.text("error_message", text)
	o.shut()
}

// finite reports whether a cost is known and can be written.
func finite(c call.Cost) bool {
	ok := func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
	return c.Known && ok(c.Input) && ok(c.Output) && ok(c.Total)
}

// object appends the members of a JSON object.
type object struct{ b []byte }

func (o *object) name(name string) {
	if last := o.b[len(o.b)-1]; last != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) open(name string) { o.name(name); o.b = append(o.b, '{') }
func (o *object) shut()            { o.b = append(o.b, '}') }
func (o *object) null(name string) { o.name(name); o.b = append(o.b, "null"...) }

func (o *object) text(name, value string) { o.name(name); o.b = appendText(o.b, value) }

func (o *object) texts(name string, list []string) {
	o.name(name)
	o.b = append(o.b, '[')
	for i, text := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendText(o.b, valid(text))
	}
	o.b = append(o.b, ']')
}

func (o *object) perhaps(name string, value *string) {
	if value == nil {
		o.null(name)
		return
	}
	o.text(name, *value)
}

func (o *object) flag(name string, value bool) { o.name(name); o.b = strconv.AppendBool(o.b, value) }

func (o *object) whole(name string, value int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, value, 10)
}

// some leaves out nothing.
func (o *object) some(name string, value int64) {
	if value != 0 {
		o.whole(name, value)
	}
}

// number writes as encoding/json does.
func (o *object) number(name string, f float64) {
	o.name(name)
	form := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	o.b = strconv.AppendFloat(o.b, f, form, -1, 64)
	if n := len(o.b); form == 'e' && o.b[n-4] == 'e' && o.b[n-3] == '-' && o.b[n-2] == '0' {
		o.b[n-2] = o.b[n-1] // e-09 is e-9
		o.b = o.b[:n-1]
	}
}

// moment writes seconds since 1970; 0 where there was none.
func (o *object) moment(name string, t time.Time) {
	if t.IsZero() {
		o.whole(name, 0)
		return
	}
	o.number(name, float64(t.UnixMicro())/1e6)
}

// content is a prompt or an answer as JSON where it is JSON, else as text.
func (o *object) content(name string, raw []byte) {
	switch {
	case len(raw) == 0:
	case json.Valid(raw):
		o.name(name)
		b := bytes.NewBuffer(o.b)
		_ = json.Compact(b, raw) // it is valid
		o.b = b.Bytes()
	default:
		o.text(name, valid(string(raw)))
	}
}

// appendText writes a string; what is not plain is left to encoding/json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			var quoted bytes.Buffer
			e := json.NewEncoder(&quoted)
			e.SetEscapeHTML(false)
			_ = e.Encode(s) // a string always can be
			return append(b, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
