package otel

import (
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

const (
	kindServer = 2
	kindClient = 3

	statusError = 2
)

// span is one span before it is encoded.
type span struct {
	trace        [16]byte
	id, parent   [8]byte
	state        string
	name         string
	kind         uint64
	start, end   time.Time
	attrs        []attr
	failed       bool
	why          string
	parentIsAfar bool
}

func (s *span) set(key string, value any) { s.attrs = append(s.attrs, attr{key, value}) }

func (s *span) text(key, value string) {
	if value != "" {
		s.set(key, strings.ToValidUTF8(value, "\uFFFD"))
	}
}

func (s *span) count(key string, value int64) {
	if value > 0 {
		s.set(key, value)
	}
}

// providers are the conventions' names of providers where LiteLLM's differ.
var providers = map[string]string{
	"azure": "azure.ai.openai", "azure_ai": "azure.ai.inference", "bedrock": "aws.bedrock", "vertex_ai": "gcp.vertex_ai",
	"gemini": "gcp.gemini", "mistral": "mistral_ai", "xai": "x_ai", "watsonx": "ibm.watsonx.ai",
}

func providerName(p string) string {
	if name := providers[p]; name != "" {
		return name
	}
	return p
}

// spans are those of a call: one for the request to the gateway, one for each
// attempt at an upstream.
func (e *Exporter) spans(c *call.Call) []span {
	t := c.Trace
	root := span{
		trace: t.TraceID, id: t.Span, parent: t.Parent, state: t.State, name: "POST " + c.Route, kind: kindServer, start: c.Start, end: c.End,
		attrs: make([]attr, 0, 24), parentIsAfar: t.Parent != [8]byte{},
	}
	root.set("http.request.method", "POST")
	root.set("http.route", c.Route)
	root.set("http.response.status_code", int64(c.Status))
	root.text("client.address", c.ClientIP)
	root.text("user_agent.original", c.UserAgent)
	root.text("litellm.call_id", c.ID)
	root.text("litellm.model_group", c.Model)
	root.set("litellm.cache_hit", c.Cached)
	root.set("litellm.attempted_retries", int64(c.Retries))
	root.set("litellm.attempted_fallbacks", int64(c.Fallbacks))
	e.caller(&root, c)
	if c.Err != nil {
		root.set("error.type", c.Err.Class.String())
		root.failed = c.Status >= 500 // the client's mistakes are not ours
		if root.failed {
			root.why = e.why(c.Err)
		}
	}
	list := []span{root}
	for i := range c.FailedAttempts {
		f := &c.FailedAttempts[i]
		if f.Start.IsZero() {
			continue // it was refused before it was sent
		}
		s := e.attempt(c, f.Deployment, i+1)
		s.start, s.end = f.Start, f.Start.Add(f.Took)
		s.failed, s.why = true, e.why(f.Err)
		s.set("error.type", f.Err.Class.String())
		s.set("http.response.status_code", int64(f.Err.StatusCode()))
		list = append(list, s)
	}
	if d := c.Deployment; d != nil && c.Err == nil && !c.Cached {
		s := e.attempt(c, d, c.Attempts)
		s.start, s.end = c.UpstreamStart, c.UpstreamStart.Add(c.UpstreamTime)
		if c.UpstreamStart.IsZero() {
			s.start, s.end = c.Start, c.End // nobody was called: a mock
		}
		e.answer(&s, c)
		list = append(list, s)
	}
	return list
}

func (e *Exporter) caller(s *span, c *call.Call) {
	if id := c.Caller; id != nil && !e.o.HideCallers {
		s.text("metadata.user_api_key_hash", id.KeyHash)
		s.text("metadata.user_api_key_user_id", id.UserID)
		s.text("metadata.user_api_key_team_id", id.TeamID)
	}
	s.text("metadata.user_api_key_end_user_id", c.EndUser)
}

func (e *Exporter) why(err *call.Error) string {
	if e.o.HideErrors {
		return err.Class.String()
	}
	text := e.o.Secrets.Text(err.Message)
	const longest = 1000
	if len(text) > longest {
		text = text[:longest]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// attempt is the span of one attempt, without what became of it.
func (e *Exporter) attempt(c *call.Call, d *call.Deployment, n int) span {
	op := call.OperationOf(c.Route).GenAI
	s := span{
		trace: c.Trace.TraceID, id: c.Trace.Attempt(n), parent: c.Trace.Span, state: c.Trace.State,
		name: op + " " + d.Model, kind: kindClient, attrs: make([]attr, 0, 24),
	}
	s.set("gen_ai.operation.name", op)
	s.text("gen_ai.provider.name", providerName(d.Provider))
	s.text("gen_ai.system", d.Provider)
	s.text("gen_ai.request.model", d.Model)
	if c.Stream {
		s.set("gen_ai.request.stream", true)
	}
	if h := e.hostOf(d.APIBase); h.name != "" {
		s.set("server.address", h.name)
		s.count("server.port", h.port)
	}
	s.text("litellm.model_id", d.ID)
	s.text("litellm.call_id", c.ID)
	return s
}

// host is where an upstream is.
type host struct {
	name string
	port int64
}

// maxHosts bounds the addresses that are remembered.
const maxHosts = 10_000

// hostOf takes an address apart, once.
func (e *Exporter) hostOf(base string) host {
	if h, ok := e.hosts.Load(base); ok {
		return h.(host)
	}
	u, err := url.Parse(base)
	if err != nil {
		return host{}
	}
	h := host{u.Hostname(), map[string]int64{"http": 80, "https": 443}[u.Scheme]}
	if p, err := strconv.ParseInt(u.Port(), 10, 32); err == nil {
		h.port = p
	}
	if e.known.Add(1) <= maxHosts {
		e.hosts.Store(base, h)
	}
	return h
}

// answer adds what an answer was like.
func (e *Exporter) answer(s *span, c *call.Call) {
	s.text("gen_ai.response.id", c.Trace.AnswerID)
	s.text("gen_ai.response.model", c.Trace.Model)
	if c.Trace.Finish != "" {
		s.set("gen_ai.response.finish_reasons", []string{strings.ToValidUTF8(c.Trace.Finish, "\uFFFD")})
	}
	if u := &c.Usage; u.Known {
		s.set("gen_ai.usage.input_tokens", u.PromptTokens)
		s.set("gen_ai.usage.output_tokens", u.CompletionTokens)
		s.set("gen_ai.usage.total_tokens", u.TotalTokens)
		s.count("gen_ai.usage.cache_read.input_tokens", u.CachedTokens)
		s.count("gen_ai.usage.cache_creation.input_tokens", u.CacheWriteTokens)
		s.count("gen_ai.usage.reasoning.output_tokens", u.ReasoningTokens)
		if u.Estimated {
			s.set("litellm.usage_estimated", true)
		}
	}
	if c.Stream && !c.FirstByte.IsZero() && !c.UpstreamStart.IsZero() {
		s.set("gen_ai.response.time_to_first_chunk", c.FirstByte.Sub(c.UpstreamStart).Seconds())
	}
	if c.Cost.Known {
		s.set("gen_ai.cost.input_cost", c.Cost.Input)
		s.set("gen_ai.cost.output_cost", c.Cost.Output)
		s.set("gen_ai.cost.total_cost", c.Cost.Total)
	}
	if e.o.Messages && !c.NoLog {
		s.text("gen_ai.input.messages", string(c.Prompt))
		s.text("gen_ai.output.messages", string(c.Answer))
	}
}

// Flags of a span: bit 0 is sampled, bits 8 and 9 say whether its parent is in
// another process.
const (
	flagSampled  = 1
	flagHasAfar  = 1 << 8
	flagParentIs = 1 << 9
)

func (s *span) encode() []byte {
	m := make(message, 0, 1024) // what a span of a chat takes
	m.bytes(1, s.trace[:])
	m.bytes(2, s.id[:])
	if s.state != "" {
		m.text(3, s.state)
	}
	if s.parent != [8]byte{} {
		m.bytes(4, s.parent[:])
	}
	m.text(5, s.name)
	m.varint(6, s.kind)
	m.fixed64(7, nanos(s.start))
	m.fixed64(8, nanos(s.end))
	m.attributes(9, s.attrs)
	if s.failed {
		m.nested(15, func(m *message) {
			if s.why != "" {
				m.text(2, s.why)
			}
			m.varint(3, statusError)
		})
	}
	flags := uint32(flagSampled | flagHasAfar)
	if s.parentIsAfar {
		flags |= flagParentIs
	}
	m.fixed32(16, flags)
	return m
}

func nanos(t time.Time) uint64 { return uint64(max(t.UnixNano(), 0)) } //nolint:gosec // not negative

// line is a span for people: one line of JSON.
func (s *span) line() []byte {
	attrs := make(map[string]any, len(s.attrs))
	for _, a := range s.attrs {
		attrs[a.key] = a.value
	}
	kind, status := "SERVER", "UNSET"
	if s.kind == kindClient {
		kind = "CLIENT"
	}
	if s.failed {
		status = "ERROR"
	}
	var parent *string
	if s.parent != [8]byte{} {
		p := "0x" + hex.EncodeToString(s.parent[:])
		parent = &p
	}
	b, err := json.Marshal(map[string]any{
		"name": s.name, "kind": "SpanKind." + kind, "parent_id": parent, "start_time": s.start.UTC().Format(time.RFC3339Nano), "end_time": s.end.UTC().Format(time.RFC3339Nano),
		"context":    map[string]string{"trace_id": "0x" + hex.EncodeToString(s.trace[:]), "span_id": "0x" + hex.EncodeToString(s.id[:]), "trace_state": s.state},
		"status":     map[string]string{"status_code": status, "description": s.why},
		"attributes": attrs,
	})
	if err != nil {
		return nil // a number that is none; there is nobody to tell
	}
	return append(b, '\n')
}
