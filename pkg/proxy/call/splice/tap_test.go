package splice

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// relayed is what became of a stream.
type relayed struct {
	out     string
	kind    Kind
	failed  bool
	body    string
	usage   call.Usage
	events  int
	started bool
	done    bool
	id      string
	finish  string
	text    int
}

// relay sends the pieces through a tap.
func relay(t *Tap, o TapOptions, pieces ...[]byte) relayed {
	t.Reset(o)
	var r relayed
	var err error
	for _, p := range pieces {
		var out []byte
		out, err = t.Feed(p)
		r.out += string(out)
		if err != nil {
			break
		}
	}
	if err == nil {
		var out []byte
		out, err = t.Finish()
		r.out += string(out)
	}
	var s *StreamError
	if errors.As(err, &s) {
		r.failed, r.kind, r.body = true, s.Kind, string(s.Body)
	}
	r.usage, r.events, r.started, r.done = t.Usage(), t.Events(), t.Started(), t.Done()
	r.id, r.finish, r.text = string(t.ID()), string(t.FinishReason()), t.TextBytes()
	return r
}

const (
	roleEvent   = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}` + "\n\n"
	textEvent   = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}` + "\n\n"
	finishEvent = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}` + "\n\n"
	usageEvent  = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}` + "\n\n"
	azureEvent  = `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}` + "\n\n"
)

func restamped(s string) string { return strings.ReplaceAll(s, "gpt-4o-mini-2024-07-18", "fast") }

var fast = TapOptions{Model: "fast"}

func TestTap(t *testing.T) {
	used := call.Usage{PromptTokens: 8, CompletionTokens: 1, TotalTokens: 9, Known: true}
	big := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		name, in, want string
		o              TapOptions
		failed         bool
		kind           Kind
		body           string
		usage          call.Usage
		started        bool
	}{
		{name: "usage is stripped and the model restamped", o: TapOptions{Model: "fast", StripUsage: true},
			in:   roleEvent + textEvent + finishEvent + usageEvent + doneEvent,
			want: restamped(roleEvent+textEvent+finishEvent) + doneEvent, usage: used, started: true},
		{name: "usage that the client wants passes", o: fast, in: textEvent + finishEvent + usageEvent + doneEvent,
			want: restamped(textEvent+finishEvent+usageEvent) + doneEvent, usage: used, started: true},
		{name: "nothing to restamp", in: textEvent + finishEvent + doneEvent, want: textEvent + finishEvent + doneEvent, started: true},
		{name: "carriage returns and line feeds", o: fast, in: strings.ReplaceAll(textEvent+finishEvent+doneEvent, "\n", "\r\n"),
			want: restamped(strings.ReplaceAll(textEvent+finishEvent, "\n", "\r\n")) + doneEvent, started: true},
		{name: "carriage returns alone", o: fast, in: strings.ReplaceAll(textEvent+finishEvent+doneEvent, "\n", "\r"),
			want: restamped(strings.ReplaceAll(textEvent+finishEvent, "\n", "\r")) + doneEvent, started: true},
		{name: "no blank behind the colon", o: fast, in: strings.ReplaceAll(textEvent+finishEvent, "data: ", "data:") + "data:[DONE]\n\n",
			want: restamped(strings.ReplaceAll(textEvent+finishEvent, "data: ", "data:")) + doneEvent, started: true},
		{name: "a byte order mark", o: fast, in: "\xef\xbb\xbf" + textEvent + finishEvent + doneEvent,
			want: "\xef\xbb\xbf" + restamped(textEvent+finishEvent) + doneEvent, started: true},
		{name: "comments pass, the first ones with the first event", o: fast,
			in:   ": OPENROUTER PROCESSING\n\n: again\n\n" + textEvent + ": ping\n\n" + finishEvent + doneEvent,
			want: ": OPENROUTER PROCESSING\n\n: again\n\n" + restamped(textEvent) + ": ping\n\n" + restamped(finishEvent) + doneEvent, started: true},
		{name: "other fields pass", o: fast, in: "event: x\nid: 7\nretry: 10\n" + textEvent + finishEvent + doneEvent,
			want: "event: x\nid: 7\nretry: 10\n" + restamped(textEvent+finishEvent) + doneEvent, started: true},
		{name: "data in several lines", o: fast, in: "event: x\ndata: {\"id\":\"a\",\ndata:\"model\":\"up\",\nid: 3\ndata: \"choices\":[{\"finish_reason\":\"stop\"}]}\n\n" + doneEvent,
			want: "event: x\nid: 3\ndata: {\"id\":\"a\",\ndata: \"model\":\"fast\",\ndata: \"choices\":[{\"finish_reason\":\"stop\"}]}\n\n" + doneEvent, started: true},
		{name: "an event of a megabyte", o: fast, in: strings.Replace(textEvent, "Hi", big, 1) + finishEvent + doneEvent,
			want: restamped(strings.Replace(textEvent, "Hi", big, 1)+finishEvent) + doneEvent, started: true},
		{name: "an event beyond the limit", o: TapOptions{MaxEvent: 1 << 16}, in: textEvent + strings.Replace(textEvent, "Hi", big, 1),
			want: textEvent, failed: true, kind: TooLarge, started: true},
		{name: "usage on an event with text passes", o: TapOptions{StripUsage: true},
			in:      `data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}` + "\n\n" + doneEvent,
			want:    `data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}` + "\n\n" + doneEvent,
			usage:   used,
			started: true},
		{name: "the last usage counts", in: strings.Replace(usageEvent, "8", "3", 1) + usageEvent + finishEvent + doneEvent,
			want: strings.Replace(usageEvent, "8", "3", 1) + usageEvent + finishEvent + doneEvent, usage: used, started: true},
		{name: "Groq's usage", in: strings.Replace(finishEvent, `"usage":null`, `"x_groq":{"id":"r","usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}`, 1) + doneEvent,
			want:  strings.Replace(finishEvent, `"usage":null`, `"x_groq":{"id":"r","usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}`, 1) + doneEvent,
			usage: used, started: true},
		{name: "Azure's first event is held back", o: TapOptions{Model: "fast", DropEmpty: true}, in: azureEvent + textEvent + finishEvent + doneEvent,
			want: restamped(textEvent+finishEvent) + doneEvent, started: true},
		{name: "Azure's first event passes where wanted", in: azureEvent + finishEvent + doneEvent, want: azureEvent + finishEvent + doneEvent, started: true},
		{name: "a number that JSON does not have", in: "data: {\"choices\":[{\"logprobs\":NaN,\"finish_reason\":\"stop\"}],\"x\":-Infinity}\n\n" + doneEvent,
			want: "data: {\"choices\":[{\"logprobs\":NaN,\"finish_reason\":\"stop\"}],\"x\":-Infinity}\n\n" + doneEvent, started: true},
		{name: "bytes that are no text", o: fast, in: strings.Replace(textEvent, "Hi", "\xff\xfe\x01", 1) + finishEvent + doneEvent,
			want: restamped(strings.Replace(textEvent, "Hi", "\xff\xfe\x01", 1)+finishEvent) + doneEvent, started: true},
		{name: "data of another kind passes", in: "data: 1\n\ndata:\n\n" + finishEvent + doneEvent, want: "data: 1\n\ndata:\n\n" + finishEvent + doneEvent, started: true},

		{name: "what follows the end is ignored", in: finishEvent + doneEvent + textEvent + "garbage", want: finishEvent + doneEvent, started: true},
		{name: "a missing end mark is added", o: fast, in: textEvent + finishEvent, want: restamped(textEvent+finishEvent) + doneEvent, started: true},
		{name: "the last blank line is missing", o: fast, in: textEvent + finishEvent + "data: [DONE]", want: restamped(textEvent+finishEvent) + doneEvent, started: true},
		{name: "the last line end is missing", in: textEvent + strings.TrimSuffix(finishEvent, "\n\n"), want: textEvent + finishEvent + doneEvent, started: true},
		{name: "half an event behind the finish", in: textEvent + finishEvent + `data: {"id":"c1","mod`, want: textEvent + finishEvent + doneEvent, started: true},

		{name: "nothing", failed: true, kind: Empty},
		{name: "comments and nothing else", in: ": hello\n\n\n\n", failed: true, kind: Empty},
		{name: "an end mark and nothing else", in: doneEvent, failed: true, kind: Empty},
		{name: "cut behind an event", in: textEvent, want: textEvent, failed: true, kind: Truncated, started: true},
		{name: "cut within an event", in: textEvent + `data: {"id":"c1","mod`, want: textEvent, failed: true, kind: Truncated, started: true},
		{name: "cut within the first event", in: `data: {"id":"c1","mod`, failed: true, kind: Empty},
		{name: "an error first", in: ": hello\n\ndata: {\"error\":{\"message\":\"no\",\"code\":503}}\n\n" + textEvent,
			failed: true, kind: Fault, body: `{"error":{"message":"no","code":503}}`},
		{name: "an error in the middle", o: fast, in: textEvent + "data: {\"error\":\"no\"}\n\n" + textEvent, want: restamped(textEvent),
			failed: true, kind: Fault, body: `{"error":"no"}`, started: true},
		{name: "an error within a choice", in: textEvent + "data: {\"choices\":[{\"error\":{\"code\":502,\"message\":\"m\"}}]}\n\n", want: textEvent,
			failed: true, kind: Fault, body: `{"choices":[{"error":{"code":502,"message":"m"}}]}`, started: true},
		{name: "no error", in: "data: {\"error\":null,\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n" + doneEvent,
			want: "data: {\"error\":null,\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n" + doneEvent, started: true},
		{name: "an event that is no JSON", in: textEvent + "data: {\"a\":\n\n" + textEvent, want: textEvent, failed: true, kind: Malformed, body: `{"a":`, started: true},
		{name: "two objects in one event", in: "data: {}{}\n\n", failed: true, kind: Malformed, body: `{}{}`},
		{name: "a page", in: "<!doctype html>\n<html>\n\n<title>x</title>", failed: true, kind: NotStream, body: "<!doctype html>\n<html>\n\n<title>x</title>"},
		{name: "a JSON answer", in: "{\n\"error\":{}}\n", failed: true, kind: NotStream, body: "{\n\"error\":{}}\n"},
		{name: "a JSON answer without a line end", in: `{"error":{}}`, failed: true, kind: NotStream, body: `{"error":{}}`},
		{name: "plain text", in: "upstream connect error", failed: true, kind: NotStream, body: "upstream connect error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tap Tap
			check := func(how string, r relayed) {
				t.Helper()
				if r.out != tt.want {
					t.Errorf("%s:\ngot  %.600q\nwant %.600q", how, r.out, tt.want)
				}
				if r.failed != tt.failed || r.failed && r.kind != tt.kind || tt.body != "" && r.body != tt.body {
					t.Errorf("%s: failed %v, kind %d, body %q", how, r.failed, r.kind, r.body)
				}
				if r.usage != tt.usage || r.started != tt.started {
					t.Errorf("%s: usage %+v, started %v", how, r.usage, r.started)
				}
			}
			in := []byte(tt.in)
			whole := relay(&tap, tt.o, in)
			check("whole", whole)
			if len(in) > 64<<10 {
				check("in pieces", relay(&tap, tt.o, pieces(in, 1000)...))
				return
			}
			check("byte by byte", relay(&tap, tt.o, pieces(in, 1)...))
			for i := range in {
				if r := relay(&tap, tt.o, in[:i], in[i:]); r != whole {
					t.Fatalf("cut at %d (%q|%q): %+v, whole %+v", i, tail(in[:i]), head(in[i:]), r, whole)
				}
			}
		})
	}
}

func head(b []byte) []byte { return b[:min(len(b), 12)] }
func tail(b []byte) []byte { return b[max(0, len(b)-12):] }

func pieces(b []byte, n int) (list [][]byte) {
	for len(b) > n {
		list = append(list, b[:n])
		b = b[n:]
	}
	return append(list, b)
}

func TestTapTellsWhatTheStreamSaid(t *testing.T) {
	var tap Tap
	r := relay(&tap, fast, []byte(azureEvent+roleEvent+textEvent+finishEvent+usageEvent+doneEvent))
	if r.id != "c1" || r.finish != "stop" || r.text != 2 || r.events != 5 || !r.done {
		t.Errorf("%+v", r)
	}
	// A new stream starts from nothing.
	r = relay(&tap, TapOptions{}, []byte(textEvent))
	if r.id != "c1" || r.finish != "" || r.usage.Known || r.events != 1 || r.out != textEvent {
		t.Errorf("%+v", r)
	}
}

// Each event goes out when its blank line is there, not when the next begins.
func TestTapHoldsNothingBack(t *testing.T) {
	for _, end := range []string{"\n", "\r\n", "\r"} {
		var tap Tap
		tap.Reset(fast)
		for i, e := range []string{textEvent, textEvent, finishEvent, doneEvent} {
			in := strings.ReplaceAll(e, "\n", end)
			want := restamped(in)
			if e == doneEvent {
				want = doneEvent
			}
			out, err := tap.Feed([]byte(in))
			if err != nil || string(out) != want {
				t.Errorf("event %d with %q: %q, %v", i, end, out, err)
			}
		}
		if !tap.Done() {
			t.Error("not done")
		}
	}
}

func TestTapGoesOnAfterManyComments(t *testing.T) {
	var tap Tap
	many := strings.Repeat(": "+strings.Repeat("x", 1000)+"\n\n", 100)
	r := relay(&tap, TapOptions{}, []byte(many+finishEvent+doneEvent))
	if r.failed || len(r.out) > maxHeld+len(finishEvent+doneEvent) || !strings.HasSuffix(r.out, finishEvent+doneEvent) {
		t.Errorf("failed %v, %d bytes", r.failed, len(r.out))
	}
}

func TestTapKeepsNoLargeBuffers(t *testing.T) {
	var tap Tap
	relay(&tap, fast, []byte(strings.Replace(textEvent, "Hi", strings.Repeat("x", 1<<20), 1)+finishEvent+doneEvent))
	tap.Reset(fast)
	if cap(tap.buf) > keepBuffer || cap(tap.out) > keepBuffer {
		t.Errorf("keeps %d and %d bytes", cap(tap.buf), cap(tap.out))
	}
}

// A megabyte that arrives in small reads must not be searched again and again.
func TestTapIsLinear(t *testing.T) {
	for name, filler := range map[string]string{"text": "x", "carriage returns": "\r"} {
		in := []byte("data: " + strings.Repeat(filler, 8<<20))
		var tap Tap
		tap.Reset(TapOptions{})
		for _, p := range pieces(in, 1000) {
			if _, err := tap.Feed(p); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		var events ResponseEvents
		events.Reset("")
		for rest := in; len(rest) > 0; {
			n := copy(events.Space(), rest[:min(1000, len(rest))])
			rest = rest[n:]
			if _, err := events.Advance(n); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// line draws parts of streams, well formed and not.
var line = rapid.SampledFrom([]string{
	roleEvent, textEvent, finishEvent, usageEvent, azureEvent, doneEvent, ": ping\n\n", "event: x\n", "data: {\"a\":1,\n", "data: \"model\":\"m\"}\n",
	"\n", "\r", "\r\n", "\r\r", "data: 1\n\n", "data:\n", "junk\n", "data: {\"error\":{\"message\":\"m\"}}\n\n", "data: {\"model\":\"ü\xff\"}\r\n\r\n", "<html>", "{\"a\":1}\n",
	"data: {\"choices\":[{\"finish_reason\":\"length\"}],\"model\":\"gpt-4o-mini-2024-07-18\"}\r\r", "\xef\xbb\xbf", "data", "data: [DO",
})

func TestTapDoesNotDependOnCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := []byte(strings.Join(rapid.SliceOfN(line, 0, 12).Draw(t, "lines"), ""))
		o := TapOptions{
			Model:      rapid.SampledFrom([]string{"", "fast", "a-longer-name-than-the-one-before"}).Draw(t, "model"),
			StripUsage: rapid.Bool().Draw(t, "strip"),
			DropEmpty:  rapid.Bool().Draw(t, "drop"),
		}
		var tap Tap
		whole := relay(&tap, o, in)
		var cut [][]byte
		for rest := in; len(rest) > 0; {
			n := rapid.IntRange(1, min(len(rest), 40)).Draw(t, "n")
			cut = append(cut, rest[:n])
			rest = rest[n:]
		}
		if got := relay(&tap, o, cut...); got != whole {
			t.Fatalf("in pieces %+v\nwhole %+v", got, whole)
		}
		if !whole.failed && !strings.Contains(whole.out, "[DONE]") {
			t.Fatalf("a clean end without an end mark: %q", whole.out)
		}
		if whole.failed && !whole.started && whole.out != "" {
			t.Fatal("output before the start")
		}
	})
}

// TestTapAtEveryPairOfCuts is the exhaustive form.
func TestTapAtEveryPairOfCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: tries 170,000 pairs of cuts; leave -short out for it")
	}
	in := []byte(strings.ReplaceAll(": x\n\n"+textEvent+finishEvent+usageEvent+doneEvent, "\n", "\r\n"))
	o := TapOptions{Model: "fast", StripUsage: true}
	var tap Tap
	whole := relay(&tap, o, in)
	for i := range in {
		for j := i; j < len(in); j++ {
			if r := relay(&tap, o, in[:i], in[i:j], in[j:]); r != whole {
				t.Fatalf("cut at %d and %d: %+v", i, j, r)
			}
		}
	}
}

func FuzzTap(f *testing.F) {
	f.Add([]byte(roleEvent+textEvent+finishEvent+usageEvent+doneEvent), uint8(7), true)
	f.Add([]byte("data: {\"a\":1}\r\rdata: [DONE]\r\n\r\n"), uint8(1), false)
	f.Add([]byte("<html>\n\n"), uint8(3), false)
	f.Fuzz(func(t *testing.T, in []byte, n uint8, strip bool) {
		var tap Tap
		o := TapOptions{Model: "fast", StripUsage: strip, MaxEvent: 1 << 20}
		whole := relay(&tap, o, in)
		if got := relay(&tap, o, pieces(in, int(n)+1)...); got != whole {
			t.Fatalf("in pieces of %d: %+v\nwhole %+v", int(n)+1, got, whole)
		}
	})
}

func TestResponse(t *testing.T) {
	const body = `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}`
	var r Response
	if err := r.Scan([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if got := string(r.Append(nil, "fast")); got != restamped(body) {
		t.Errorf("restamped: %s", got)
	}
	if got := string(r.Append(nil, "")); got != body {
		t.Errorf("not restamped: %s", got)
	}
	if u := r.Usage(); u != (call.Usage{PromptTokens: 8, CompletionTokens: 1, TotalTokens: 9, Known: true}) {
		t.Errorf("usage %+v", u)
	}
	if string(r.ID()) != "chatcmpl-1" || string(r.Model()) != "gpt-4o-mini-2024-07-18" || string(r.FinishReason()) != "stop" || r.TextBytes() != 5 || r.Fault() != nil {
		t.Errorf("id %s, model %s, finish %s, text %d, fault %s", r.ID(), r.Model(), r.FinishReason(), r.TextBytes(), r.Fault())
	}
	for _, body := range []string{``, `[]`, `<html>`, `{"id":1`, `{"id":1}x`, `null`} {
		if err := r.Scan([]byte(body)); !errors.Is(err, ErrNotJSON) {
			t.Errorf("%q: %v", body, err)
		}
	}
	for body, fault := range map[string]string{
		`{"error":{"message":"x"}}`:               `{"message":"x"}`,
		`{"choices":[{"error":{"code":502}}]}`:    `{"code":502}`,
		`{"error":null,"choices":[{"index":0}]}`:  ``,
		`{"error":{},"model":"m","choices":null}`: ``,
	} {
		if err := r.Scan([]byte(body)); err != nil || string(r.Fault()) != fault {
			t.Errorf("%s: %s, %v", body, r.Fault(), err)
		}
	}
	if err := r.Scan([]byte(`{"choices":[]}`)); err != nil || string(r.Append(nil, "fast")) != `{"choices":[]}` {
		t.Error("an answer without a model is changed")
	}
}

func TestDecodeUsage(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		want      call.Usage
		ok        bool
	}{
		{"OpenAI's", `{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":7,"accepted_prediction_tokens":0}}`,
			call.Usage{PromptTokens: 10, CompletionTokens: 20, TotalTokens: 30, CachedTokens: 4, ReasoningTokens: 7, Known: true}, true},
		{"the responses API's", `{"input_tokens":10,"output_tokens":20,"total_tokens":30,"input_tokens_details":{"cached_tokens":4},"output_tokens_details":{"reasoning_tokens":7}}`,
			call.Usage{PromptTokens: 10, CompletionTokens: 20, TotalTokens: 30, CachedTokens: 4, ReasoningTokens: 7, Known: true}, true},
		{"DeepSeek's", `{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2}`,
			call.Usage{PromptTokens: 10, CompletionTokens: 2, TotalTokens: 12, CachedTokens: 8, Known: true}, true},
		{"LiteLLM's extras", `{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"cache_creation_input_tokens":3,"cache_read_input_tokens":4}`,
			call.Usage{PromptTokens: 10, CompletionTokens: 2, TotalTokens: 12, CachedTokens: 4, CacheWriteTokens: 3, Known: true}, true},
		{"without a total", `{"prompt_tokens":10,"completion_tokens":2}`, call.Usage{PromptTokens: 10, CompletionTokens: 2, TotalTokens: 12, Known: true}, true},
		{"embeddings'", `{"prompt_tokens":10,"total_tokens":10}`, call.Usage{PromptTokens: 10, TotalTokens: 10, Known: true}, true},
		{"floating point", `{"prompt_tokens":10.0,"completion_tokens":2.0,"total_tokens":12.0}`, call.Usage{PromptTokens: 10, CompletionTokens: 2, TotalTokens: 12, Known: true}, true},
		{"nulls", `{"prompt_tokens":null,"completion_tokens":null,"prompt_tokens_details":null}`, call.Usage{}, false},
		{"nonsense", `{"prompt_tokens":-5,"completion_tokens":"x","total_tokens":99999999999999999999999}`, call.Usage{}, false},
		{"empty", `{}`, call.Usage{}, false},
		{"null", `null`, call.Usage{}, false},
		{"a list", `[1]`, call.Usage{}, false},
		{"nothing", ``, call.Usage{}, false},
		{"half", `{"prompt_tokens":10`, call.Usage{}, false},
	} {
		if got, ok := decodeUsage(&cursor{b: []byte(tt.raw), bad: -1, lax: true, nest: &nest{}}); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v, %v", tt.name, got, ok)
		}
	}
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte(`{"id":"c","model":"m","choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var r Response
		if r.Scan(body) != nil {
			return
		}
		if got := r.Append(nil, ""); !bytes.Equal(got, body) {
			t.Fatal("changes bytes")
		}
		if m := r.Model(); m != nil {
			want := bytes.Replace(body, append(append([]byte{'"'}, m...), '"'), []byte(`"fast"`), 1)
			if out := r.Append(nil, "fast"); len(out) != len(body)-len(m)+4 && len(want) > 0 {
				t.Fatalf("%q becomes %q", body, out)
			}
		}
	})
}

func ExampleTap() {
	var t Tap
	t.Reset(TapOptions{Model: "fast"})
	out, _ := t.Feed([]byte("data: {\"model\":\"up-1\",\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DO"))
	fmt.Printf("%q\n", out)
	out, _ = t.Feed([]byte("NE]\n\n"))
	fmt.Printf("%q\n", out)
	// Output:
	// "data: {\"model\":\"fast\",\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n"
	// "data: [DONE]\n\n"
}

// An event of several data lines is written anew, with an end of its own. The
// line feed that belongs to its last carriage return must not follow it.
func TestTapWritesTheEndOfARewrittenEventOnce(t *testing.T) {
	in := "data: {\"choices\":[],\r\ndata: \"model\":\"m\"}\r\n\r\n"
	var whole, cut Tap
	want := relay(&whole, fast, []byte(in)).out
	got := relay(&cut, fast, []byte(in[:len(in)-1]), []byte("\n")).out
	if got != want || !strings.HasSuffix(got, "}\n\n") {
		t.Errorf("cut %q\nwhole %q", got, want)
	}
}
