package otel

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

const (
	someMessages = `[{"role":"system","content":"be nice"},{"role":"user","content":[{"type":"text","text":"hi"}]},{"role":"tool","id":"t1","content":null}]`
	someStream   = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Good \"}},{\"index\":1,\"delta\":{\"content\":\"No\"}}]}\n\n: ping\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"day\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
)

// eventsOf are the events that a collector has got.
func (c *collector) eventsOf(t *testing.T) (list []*logspb.LogRecord) {
	t.Helper()
	_ = c.spans(t) // what could not be decoded is told
	for _, d := range c.logs {
		for _, r := range d.ResourceLogs {
			for _, s := range r.ScopeLogs {
				list = append(list, s.LogRecords...)
			}
		}
	}
	return list
}

// plainOf is a value as Go has it.
func plainOf(v *v1.AnyValue) any {
	switch x := v.GetValue().(type) {
	case *v1.AnyValue_StringValue:
		return x.StringValue
	case *v1.AnyValue_IntValue:
		return x.IntValue
	case *v1.AnyValue_KvlistValue:
		m := map[string]any{}
		for _, kv := range x.KvlistValue.Values {
			m[kv.Key] = plainOf(kv.Value)
		}
		return m
	}
	return nil
}

func TestMessagesBecomeEventsThatACollectorUnderstands(t *testing.T) {
	for _, content := range []bool{true, false} {
		t.Run(fmt.Sprint("content ", content), func(t *testing.T) {
			c := &collector{}
			url := serve(t, c)
			e := start(t, Options{Protocol: HTTP, Traces: redact.New(url + "/v1/traces"), Logs: redact.New(url + "/v1/logs"), Sampler: Sampler{Share: 1}, EventContent: content})
			if !e.Messages() {
				t.Fatal("no prompts are kept, which events are made of")
			}
			stream := retried(e, "")
			stream.Prompt, stream.Answer = []byte(someMessages), []byte(someStream)
			whole := retried(e, "")
			whole.Stream, whole.Prompt = false, []byte(`[{"role":"user","content":"cut off`)
			whole.Answer = []byte(`{"choices":[{"index":0,"finish_reason":"length","message":{"role":"assistant","content":"Well"}}]}`)
			private := retried(e, "")
			private.NoLog, private.Prompt, private.Answer = true, []byte(someMessages), whole.Answer
			embedding := retried(e, "")
			embedding.Route = "/v1/embeddings"
			e.Record([]call.Call{stream, whole, private, embedding})
			e.Close()
			list := c.eventsOf(t)
			if len(list) != 6 { // three messages, two choices of the stream, one of the other
				t.Fatalf("%d events: %v", len(list), list)
			}
			span := stream.Trace.Attempt(2)
			for _, r := range list[:5] {
				if hex.EncodeToString(r.TraceId) != stream.Trace.TraceText() || !bytes.Equal(r.SpanId, span[:]) || r.SeverityText != "INFO" || r.SeverityNumber != logspb.SeverityNumber_SEVERITY_NUMBER_INFO || r.TimeUnixNano == 0 {
					t.Errorf("event %v", r)
				}
			}
			want := func(i int, attrs, body map[string]any) {
				t.Helper()
				got := map[string]any{}
				for _, kv := range list[i].Attributes {
					got[kv.Key] = plainOf(kv.Value)
				}
				if a, b := fmt.Sprint(got), fmt.Sprint(attrs); a != b {
					t.Errorf("event %d has %s, want %s", i, a, b)
				}
				if a, b := fmt.Sprint(plainOf(list[i].Body)), fmt.Sprint(body); a != b {
					t.Errorf("event %d says %s, want %s", i, a, b)
				}
			}
			type m = map[string]any
			if !content {
				want(0, m{"event_name": "gen_ai.content.prompt", "gen_ai.system": "openai"}, m{"role": "system"})
				want(3, m{"event_name": "gen_ai.content.completion", "gen_ai.system": "openai", "index": int64(0), "finish_reason": "stop"}, m{"index": int64(0), "finish_reason": "stop", "message": m{"role": "assistant"}})
				for _, secret := range []string{"be nice", "Good", "Well"} {
					if strings.Contains(fmt.Sprint(list), secret) {
						t.Errorf("%q is in an event", secret)
					}
				}
				return
			}
			want(0, m{"event_name": "gen_ai.content.prompt", "gen_ai.system": "openai", "gen_ai.prompt": "be nice"}, m{"role": "system", "content": "be nice"})
			want(1, m{"event_name": "gen_ai.content.prompt", "gen_ai.system": "openai", "gen_ai.prompt": `[{"type":"text","text":"hi"}]`}, m{"role": "user", "content": `[{"type":"text","text":"hi"}]`})
			want(2, m{"event_name": "gen_ai.content.prompt", "gen_ai.system": "openai", "id": "t1"}, m{"role": "tool"})
			want(3, m{"event_name": "gen_ai.content.completion", "gen_ai.system": "openai", "index": int64(0), "finish_reason": "stop", "message.content": "Good day"}, m{"index": int64(0), "finish_reason": "stop", "message": m{"role": "assistant", "content": "Good day"}})
			want(4, m{"event_name": "gen_ai.content.completion", "gen_ai.system": "openai", "index": int64(1), "message.content": "No"}, m{"index": int64(1), "message": m{"role": "assistant", "content": "No"}})
			want(5, m{"event_name": "gen_ai.content.completion", "gen_ai.system": "openai", "index": int64(0), "finish_reason": "length", "message.content": "Well"}, m{"index": int64(0), "finish_reason": "length", "message": m{"role": "assistant", "content": "Well"}})
		})
	}
}

func TestACallMakesABoundedNumberOfEvents(t *testing.T) {
	e := &Exporter{o: Options{Logs: redact.New("http://x")}}
	c := retried(e, "")
	c.Prompt = []byte("[" + strings.TrimSuffix(strings.Repeat(`{"role":"user","content":"x"},`, 5*maxEvents), ",") + "]")
	var answer strings.Builder
	for i := range 5 * maxEvents {
		fmt.Fprintf(&answer, "data: {\"choices\":[{\"index\":%d,\"delta\":{}}]}\n\n", i)
	}
	c.Answer = []byte(answer.String())
	if n := len(e.events(&c)); n != 2*maxEvents {
		t.Errorf("%d events", n)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(someMessages), []byte(someStream), true)
	f.Add([]byte("[]"), []byte(`{"choices":[{}]}`), false)
	f.Fuzz(func(t *testing.T, prompt, answer []byte, stream bool) {
		e := &Exporter{o: Options{Logs: redact.New("http://x"), EventContent: true}}
		c := retried(e, "")
		c.Prompt, c.Answer, c.Stream = prompt, answer, stream
		for _, r := range e.events(&c) {
			_ = r.encode()
		}
	})
}
