package sink

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// record is what a record holds, for encoding/json: the reference of the encoder
// by hand.
type record struct {
	ID             string   `json:"id"`
	TraceID        string   `json:"trace_id"`
	CallID         string   `json:"litellm_call_id"`
	CallType       string   `json:"call_type"`
	Stream         bool     `json:"stream"`
	Status         string   `json:"status"`
	StatusCode     int      `json:"status_code"`
	ResponseCost   *float64 `json:"response_cost"`
	CostBreakdown  *costs   `json:"cost_breakdown"`
	Provider       *string  `json:"custom_llm_provider"`
	TotalTokens    int64    `json:"total_tokens"`
	PromptTokens   int64    `json:"prompt_tokens"`
	Completion     int64    `json:"completion_tokens"`
	StartTime      float64  `json:"startTime"`
	EndTime        float64  `json:"endTime"`
	FirstTime      float64  `json:"completionStartTime"`
	ResponseTime   float64  `json:"response_time"`
	UpstreamTime   float64  `json:"llm_api_duration"`
	Model          string   `json:"model"`
	ModelID        *string  `json:"model_id"`
	ModelGroup     string   `json:"model_group"`
	APIBase        string   `json:"api_base"`
	Retries        int      `json:"attempted_retries"`
	Fallbacks      int      `json:"attempted_fallbacks"`
	CacheHit       bool     `json:"cache_hit"`
	EndUser        string   `json:"end_user"`
	IP             string   `json:"requester_ip_address"`
	UserAgent      string   `json:"user_agent"`
	Tags           []string `json:"request_tags"`
	Metadata       metadata `json:"metadata"`
	ErrorText      *string  `json:"error_str"`
	Error          *failure `json:"error_information"`
	Messages       any      `json:"messages,omitempty"`
	Response       any      `json:"response,omitempty"`
	UsageEstimated bool     `json:"usage_estimated,omitempty"`
}

type costs struct {
	Input  float64 `json:"input_cost"`
	Output float64 `json:"output_cost"`
	Total  float64 `json:"total_cost"`
}

type metadata struct {
	KeyHash string `json:"user_api_key_hash"`
	UserID  string `json:"user_api_key_user_id"`
	TeamID  string `json:"user_api_key_team_id"`
	Route   string `json:"user_api_key_request_route"`
	Usage   *usage `json:"usage_object"`
}

type usage struct {
	Prompt     int64   `json:"prompt_tokens"`
	Completion int64   `json:"completion_tokens"`
	Total      int64   `json:"total_tokens"`
	Cached     int64   `json:"cached_tokens,omitempty"`
	CacheWrite int64   `json:"cache_creation_tokens,omitempty"`
	Reasoning  int64   `json:"reasoning_tokens,omitempty"`
	AudioIn    int64   `json:"input_audio_tokens,omitempty"`
	AudioOut   int64   `json:"output_audio_tokens,omitempty"`
	ImageIn    int64   `json:"input_image_tokens,omitempty"`
	ImageOut   int64   `json:"output_image_tokens,omitempty"`
	Seconds    float64 `json:"seconds,omitempty"`
	Images     int64   `json:"images,omitempty"`
	Characters int64   `json:"characters,omitempty"`
	Queries    int64   `json:"search_units,omitempty"`
}

type failure struct {
	Code     string `json:"error_code"`
	Class    string `json:"error_class"`
	Provider string `json:"llm_provider"`
	Message  string `json:"error_message"`
}

func unixFloat(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

// reference writes a call as encoding/json does.
func (s *Sink) reference(b *bytes.Buffer, c *call.Call) {
	r := record{
		ID: c.ID, TraceID: c.ID, CallID: c.ID, CallType: call.OperationOf(c.Route).Type, Stream: c.Stream, Status: "success", StatusCode: c.Status,
		TotalTokens: c.Usage.TotalTokens, PromptTokens: c.Usage.PromptTokens, Completion: c.Usage.CompletionTokens, UsageEstimated: c.Usage.Estimated,
		StartTime: unixFloat(c.Start), EndTime: unixFloat(c.End), FirstTime: unixFloat(c.FirstByte), ResponseTime: c.End.Sub(c.Start).Seconds(), UpstreamTime: c.UpstreamTime.Seconds(),
		Model: valid(c.Model), ModelGroup: valid(c.Model), Retries: c.Retries, Fallbacks: c.Fallbacks, CacheHit: c.Cached,
		EndUser: valid(c.EndUser), IP: c.ClientIP, UserAgent: valid(c.UserAgent), Tags: []string{},
	}
	for _, t := range c.Tags {
		r.Tags = append(r.Tags, valid(t))
	}
	if c.FirstByte.IsZero() {
		r.FirstTime = r.EndTime
	}
	if c.Trace != nil {
		r.TraceID = c.Trace.TraceText()
	}
	if c.Cost.Known {
		r.ResponseCost, r.CostBreakdown = &c.Cost.Total, &costs{c.Cost.Input, c.Cost.Output, c.Cost.Total}
	}
	provider := ""
	if d := c.Deployment; d != nil {
		provider = d.Provider
		r.Provider, r.ModelID, r.Model = &d.Provider, &d.ID, d.Model
		r.APIBase, _, _ = strings.Cut(d.APIBase, "?")
		if !strings.Contains(d.Group, "*") {
			r.ModelGroup = d.Group
		}
	}
	r.Metadata.Route = c.Route
	if id := c.Caller; id != nil && !s.o.HideCallers {
		r.Metadata.KeyHash, r.Metadata.UserID, r.Metadata.TeamID = id.KeyHash, id.UserID, id.TeamID
	}
	if u := &c.Usage; u.Known {
		r.Metadata.Usage = &usage{
			u.PromptTokens, u.CompletionTokens, u.TotalTokens, u.CachedTokens, u.CacheWriteTokens, u.ReasoningTokens,
			u.AudioInTokens, u.AudioOutTokens, u.ImageInTokens, u.ImageOutTokens, u.Seconds, u.Images, u.Characters, u.Queries,
		}
	}
	if e := c.Err; e != nil {
		r.Status = "failure"
		text := s.o.Secrets.Text(e.Message)
		if s.o.HideErrors {
			text = e.Class.String() + ": Message not logged. litellm.redact_messages_in_exceptions=True"
		}
		text = valid(text)
		r.ErrorText = &text
		r.Error = &failure{strconv.Itoa(e.StatusCode()), e.Class.String(), provider, text}
	}
	if s.o.Messages {
		r.Messages, r.Response = contentAny(c.Prompt), contentAny(c.Answer)
	}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(&r); err != nil {
		// Only a number that is none could be the reason: the costs.
		r.ResponseCost, r.CostBreakdown = nil, nil
		_ = e.Encode(&r)
	}
	b.Truncate(b.Len() - 1)
}

func contentAny(raw []byte) any {
	switch {
	case len(raw) == 0:
		return nil
	case json.Valid(raw):
		return json.RawMessage(raw)
	}
	return valid(string(raw))
}

func FuzzRecordsAreWhatEncodingJSONMakesOfThem(f *testing.F) {
	f.Add("chat", "agent/1", "it broke\n\"x\" <\u2028>", []byte(`{"a": [1, 2 ]}`), []byte("data: x\n\n"), int64(12), 0.25, uint16(0xffff))
	f.Add("", "\xff\x00\x1f", "", []byte{}, []byte("null"), int64(0), 1e-9, uint16(0))
	f.Add("m", "a", "b", []byte(`"<&>"`), []byte(" "), int64(-3), math.NaN(), uint16(7))
	f.Add("m", "a", "b", []byte(`[]`), []byte(`{"x":1e400}`), int64(1<<60), 1e21, uint16(1<<9|1<<3))
	f.Fuzz(func(t *testing.T, model, agent, message string, prompt, answer []byte, n int64, cost float64, bits uint16) {
		on := func(i int) bool { return bits>>i&1 == 1 }
		start := time.UnixMicro(1_700_000_000_000_000 + n%1e12)
		c := call.Call{ID: "id", Route: "/v1/chat/completions", Model: model, EndUser: message, UserAgent: agent, Tags: []string{agent, model}[:n%3&2], ClientIP: "::1", Status: int(n % 600), Stream: on(0), Start: start, End: start.Add(time.Duration(n % 1e10)), UpstreamTime: time.Duration(n % 1e9), Prompt: prompt, Answer: answer, Cached: on(1), Retries: int(n % 9)}
		s := &Sink{o: Options{Messages: on(2), HideCallers: on(3), HideErrors: on(4)}}
		if on(5) {
			c.Deployment = &call.Deployment{ID: agent, Provider: model, Model: message, Group: "g", APIBase: "http://a/v1?" + agent}
			if on(6) {
				c.Deployment.Group = "g/*"
			}
		}
		if on(7) {
			c.Caller = &call.Identity{KeyHash: "h", UserID: agent, TeamID: model}
		}
		if on(8) {
			c.Usage = call.Usage{Known: true, Estimated: on(1), PromptTokens: n, CompletionTokens: n / 2, TotalTokens: n + n/2, CachedTokens: n % 3, CacheWriteTokens: n % 5, ReasoningTokens: n % 7, AudioInTokens: n % 2, Seconds: math.Trunc(cost) / 8, Images: n % 4, Characters: n % 11, Queries: n % 13}
			if s := c.Usage.Seconds; math.IsNaN(s) || math.IsInf(s, 0) {
				c.Usage.Seconds = 0
			}
		}
		if on(9) {
			c.Cost = call.Cost{Known: true, Input: cost / 2, Output: cost / 3, Total: cost}
		}
		if on(10) {
			c.Err = &call.Error{Class: call.ClassRateLimit, Message: message}
		}
		if on(11) {
			c.FirstByte = start.Add(time.Millisecond)
		}
		var want bytes.Buffer
		s.reference(&want, &c)
		got := s.encode(nil, &c)
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s\nwant\n%s", got, want.Bytes())
		}
		if bytes.ContainsRune(got, '\n') || !json.Valid(got) {
			t.Errorf("no record on one line: %s", got)
		}
	})
}
