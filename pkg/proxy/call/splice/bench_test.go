package splice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// bodies are requests of the sizes in which performance is measured.
func bodies() map[string][]byte {
	chat := func(content string) []byte {
		b, err := json.Marshal(map[string]any{
			"model": "fast", "stream": true, "temperature": 0.7, "user": "u-1", "metadata": map[string]string{"session": "s"},
			"messages": []map[string]string{{"role": "system", "content": "You are helpful."}, {"role": "user", "content": content}},
		})
		if err != nil {
			panic(err)
		}
		return b
	}
	var turns []string
	for i := range 200 {
		turns = append(turns, fmt.Sprintf(`{"role":"user","content":"turn %d says \"something\" of ninety bytes or so, with a\nline end in it, as people do"}`, i))
	}
	return map[string][]byte{
		"200B":       chat("Say hello."),
		"16KB":       chat(strings.Repeat("lorem ipsum dolor sit amet, ", 16<<10/28)),
		"16KB-turns": []byte(`{"messages":[` + strings.Join(turns, ",") + `],"stream":true,"model":"fast"}`),
		"100KB-code": chat(strings.Repeat("\tif x := m[\"key\"]; x != \"\" {\n\t\treturn \"a\\\\b\"\n\t}\n", 100<<10/70)),
		"1MB":        chat(strings.Repeat("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=", 1<<20/36)),
	}
}

var benchRewrite = Rewrite{Model: "gpt-4o-mini-2024-07-18", Usage: true}

func BenchmarkScan(b *testing.B) {
	for name, body := range bodies() {
		b.Run(name, func(b *testing.B) {
			var r Request
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Scan(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkScanAndAppend(b *testing.B) {
	for name, body := range bodies() {
		b.Run(name, func(b *testing.B) {
			var r Request
			var out []byte
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Scan(body); err != nil {
					b.Fatal(err)
				}
				out = r.Append(out[:0], &benchRewrite)
			}
		})
	}
}

func BenchmarkResponse(b *testing.B) {
	body := []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("word ", 300) + `","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":300,"total_tokens":308,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}`)
	var r Response
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Scan(body); err != nil {
			b.Fatal(err)
		}
		out = r.Append(out[:0], "fast")
	}
}

func BenchmarkTapEvent(b *testing.B) {
	event := []byte(textEvent)
	for _, n := range []int{1, 16} {
		b.Run(fmt.Sprintf("%d-per-read", n), func(b *testing.B) {
			var t Tap
			t.Reset(TapOptions{Model: "fast", StripUsage: true})
			in := bytes.Repeat(event, n)
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				m := copy(t.Space(), in)
				if out, err := t.Advance(m); err != nil || len(out) == 0 {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
		})
	}
}

func BenchmarkResponseEvents(b *testing.B) {
	created := "event: response.created\ndata: " + `{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1700000000,"status":"in_progress","model":"gpt-4o-mini-2024-07-18","output":[],"usage":null}}` + "\n\n"
	delta := "event: response.output_text.delta\ndata: " + `{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"delta":" word","logprobs":[]}` + "\n\n"
	for name, event := range map[string]string{"created": created, "delta": delta} {
		b.Run(name, func(b *testing.B) {
			var t ResponseEvents
			t.Reset("fast")
			b.ReportAllocs()
			b.SetBytes(int64(len(event)))
			for b.Loop() {
				if out, err := t.Advance(copy(t.Space(), event)); err != nil || len(out) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}

// The ceilings of what one request may allocate here. Raising one takes a
// commit that says why.
func TestAllocationCeilings(t *testing.T) {
	for name, body := range bodies() {
		var r Request
		out := make([]byte, 0, len(body)+1024)
		if n := testing.AllocsPerRun(100, func() {
			if err := r.Scan(body); err != nil {
				t.Fatal(err)
			}
			out = r.Append(out[:0], &benchRewrite)
		}); n > 0 {
			t.Errorf("request of %s: %v allocations", name, n)
		}
	}
	answer := []byte(`{"id":"c","model":"m","choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}`)
	var r Response
	var out []byte
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Scan(answer); err != nil {
			t.Fatal(err)
		}
		out = r.Append(out[:0], "fast")
	}); n > 0 {
		t.Errorf("answer: %v allocations", n)
	}
	var tap Tap
	stream := []byte(roleEvent + strings.Repeat(textEvent, 50) + finishEvent + usageEvent + doneEvent)
	if n := testing.AllocsPerRun(100, func() {
		tap.Reset(TapOptions{Model: "fast", StripUsage: true})
		for rest := stream; len(rest) > 0; {
			k := copy(tap.Space(), rest[:min(len(rest), 700)])
			rest = rest[k:]
			if _, err := tap.Advance(k); err != nil {
				t.Fatal(err)
			}
		}
	}); n > 0 && !raceEnabled { // the race detector makes pools forget
		t.Errorf("stream of 54 events: %v allocations", n)
	}
}
