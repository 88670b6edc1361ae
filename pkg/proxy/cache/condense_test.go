package cache

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func sse(chunks ...string) string {
	var b strings.Builder
	for _, c := range chunks {
		b.WriteString("data: " + c + "\n\n")
	}
	return b.String() + "data: [DONE]\n\n"
}

func TestAStreamIsKeptAsFewEvents(t *testing.T) {
	const head = `"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt"`
	for _, tt := range []struct{ name, in, want string }{
		{
			"text",
			sse(`{`+head+`,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`,
				`{`+head+`,"choices":[{"index":0,"delta":{"content":"a<b"},"finish_reason":null}]}`,
				`{`+head+`,"choices":[{"index":0,"delta":{"content":"é"},"logprobs":null,"finish_reason":null}]}`,
				`{`+head+`,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`),
			sse(`{"choices":[{"delta":{"content":"a<bé","role":"assistant"},"finish_reason":null,"index":0}],"created":1,"id":"c1","model":"gpt","object":"chat.completion.chunk"}`,
				`{"choices":[{"delta":{},"finish_reason":"stop","index":0}],"created":1,"id":"c1","model":"gpt","object":"chat.completion.chunk"}`),
		},
		{
			"tool calls and usage",
			sse(`{`+head+`,"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"f","arguments":""}}]}}],"usage":null}`,
				`{`+head+`,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}}],"usage":null}`,
				`{`+head+`,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}],"usage":null}`,
				`{`+head+`,"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}`,
				`{`+head+`,"choices":[],"usage":{"total_tokens":3}}`),
			sse(`{"choices":[{"delta":{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"a\":1}","name":"f"},"id":"t1","index":0,"type":"function"}]},"finish_reason":null,"index":0}],"created":1,"id":"c1","model":"gpt","object":"chat.completion.chunk","usage":null}`,
				`{"choices":[{"delta":{},"finish_reason":"tool_calls","index":0}],"created":1,"id":"c1","model":"gpt","object":"chat.completion.chunk","usage":null}`,
				`{"choices":[],"created":1,"id":"c1","model":"gpt","object":"chat.completion.chunk","usage":{"total_tokens":3}}`),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, string(condense([]byte(tt.in)))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAStreamThatCannotBeJoinedIsKeptAsItIs(t *testing.T) {
	for name, in := range map[string]string{
		"logprobs":                sse(`{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[]}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`),
		"an unknown part":         sse(`{"choices":[{"index":0,"delta":{"audio":{"data":"x"}}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`),
		"a usage beside choices":  sse(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"total_tokens":1}}`),
		"a vendor's last word":    sse(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r"}}`),
		"no reason to end":        sse(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`),
		"other events":            "event: response.created\ndata: {}\n\ndata: [DONE]\n\n",
		"no JSON":                 sse("x"),
		"a tool without an index": sse(`{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"t"}]}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`),
	} {
		if got := string(condense([]byte(in))); got != in {
			t.Errorf("%s: became %q", name, got)
		}
	}
	if got := condense([]byte(strings.TrimSuffix(sse(`{}`), "data: [DONE]\n\n"))); got != nil {
		t.Errorf("a stream without an end is kept as %q", got)
	}
}

// heard is what a client makes of a stream.
func heard(t interface{ Fatal(...any) }, stream []byte) (texts map[string]string, reasons map[int]string, usage string) {
	texts, reasons = map[string]string{}, map[int]string{}
	events(stream, func(data []byte) bool {
		if string(data) == "[DONE]" {
			return true
		}
		var c struct {
			Choices []struct {
				Index  int
				Delta  map[string]any
				Reason *string `json:"finish_reason"`
			}
			Usage json.RawMessage
		}
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatal(err)
		}
		for _, ch := range c.Choices {
			for name, v := range ch.Delta {
				if s, ok := v.(string); ok {
					texts[fmt.Sprint(ch.Index, name)] += s
				}
			}
			if ch.Reason != nil {
				reasons[ch.Index] = *ch.Reason
			}
		}
		if len(c.Choices) == 0 {
			usage = string(c.Usage)
		}
		return true
	})
	return texts, reasons, usage
}

func TestAClientHearsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(t, "choices")
		var chunks []string
		role := map[int]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "chunks") {
			i := rapid.IntRange(0, n-1).Draw(t, "choice")
			delta := map[string]string{rapid.SampledFrom([]string{"content", "reasoning_content", "refusal"}).Draw(t, "member"): rapid.String().Draw(t, "text")}
			if !role[i] {
				role[i] = true
				delta["role"] = "assistant"
			}
			chunks = append(chunks, string(encoded(map[string]any{"id": "c", "choices": []any{map[string]any{"index": i, "delta": delta, "finish_reason": nil}}})))
		}
		for i := range n {
			chunks = append(chunks, string(encoded(map[string]any{"id": "c", "choices": []any{map[string]any{"index": i, "delta": map[string]any{}, "finish_reason": "stop"}}})))
		}
		if rapid.Bool().Draw(t, "usage") {
			chunks = append(chunks, `{"id":"c","choices":[],"usage":{"total_tokens":9}}`)
		}
		in := []byte(sse(chunks...))
		out := condense(in)
		texts, reasons, usage := heard(t, in)
		texts2, reasons2, usage2 := heard(t, out)
		for k, v := range texts {
			if v == "" {
				delete(texts, k)
			}
		}
		for k, v := range texts2 {
			if v == "" {
				delete(texts2, k)
			}
		}
		if d := cmp.Diff(texts, texts2); d != "" || !cmp.Equal(reasons, reasons2) || usage != usage2 {
			t.Fatalf("%s\n%v %v\n%s %s", d, reasons, reasons2, usage, usage2)
		}
		if strings.Count(string(out), "\n\n") > 4 {
			t.Fatalf("not condensed: %s", out)
		}
	})
}

func FuzzCondense(f *testing.F) {
	f.Add([]byte(sse(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`)))
	f.Add([]byte("data: [DONE]"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := condense(in)
		if out != nil && !strings.Contains(string(out), "[DONE]") {
			t.Errorf("%q became %q", in, out)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"timestamp":1,"response":"{}","until":2,"usage":[1,2,3,4,5,6]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := decode(raw)
		if err != nil {
			return
		}
		again, err := decode(encode(e))
		if err != nil || string(again.body) != string(e.body) {
			t.Errorf("%q does not survive: %v", raw, err)
		}
	})
}
