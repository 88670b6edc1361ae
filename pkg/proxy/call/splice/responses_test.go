package splice

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const responseStream = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"model\":\"up-2026\",\"status\":\"in_progress\",\"usage\":null}}\n\n" +
	": ping\n\n" +
	"event: response.output_text.delta\r\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Grüße \\n\",\"model\":\"kept\"}\r\n\r\n" +
	"event: response.completed\ndata:{\"type\":\"response.completed\",\"response\":{\"model\":\"up-2026\",\"id\":\"resp_1\",\"usage\":{\"input_tokens\":8,\"output_tokens\":2,\"total_tokens\":10,\"input_tokens_details\":{\"cached_tokens\":4}}}}\n\n"

// feed sends text in pieces and returns everything that came out.
func feedResponse(t *ResponseEvents, text string, pieces ...int) (string, error) {
	var out strings.Builder
	for len(text) > 0 {
		n := len(text)
		if len(pieces) > 0 {
			n, pieces = min(max(pieces[0], 1), len(text)), pieces[1:]
		}
		space := t.Space()
		n = copy(space, text[:n])
		text = text[n:]
		o, err := t.Advance(n)
		out.Write(o)
		if err != nil {
			return out.String(), err
		}
	}
	o, err := t.Finish()
	out.Write(o)
	return out.String(), err
}

func TestResponseEventsChangeNothingButTheModel(t *testing.T) {
	want := strings.ReplaceAll(responseStream, `"up-2026"`, `"fast"`)
	rapid.Check(t, func(t *rapid.T) {
		var r ResponseEvents
		r.Reset("fast")
		got, err := feedResponse(&r, responseStream, rapid.SliceOf(rapid.IntRange(1, 80)).Draw(t, "pieces")...)
		if err != nil || got != want {
			t.Fatalf("%v\n%q\n%q", err, got, want)
		}
		if u := r.Usage(); !r.Done() || u.PromptTokens != 8 || u.CompletionTokens != 2 || u.CachedTokens != 4 || string(r.ID()) != "resp_1" || r.Events() != 3 || r.TextBytes() == 0 {
			t.Fatalf("%+v %q %d", u, r.ID(), r.Events())
		}
	})
	for cut := range len(responseStream) {
		var r ResponseEvents
		r.Reset("fast")
		got, err := feedResponse(&r, responseStream, cut)
		if err != nil || got != want {
			t.Fatalf("cut at %d: %v\n%q", cut, err, got)
		}
	}
	var r ResponseEvents
	r.Reset("")
	if got, err := feedResponse(&r, responseStream); err != nil || got != responseStream {
		t.Errorf("without a model: %v %q", err, got)
	}
}

func TestResponseStreamsThatDoNotEndWell(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		kind       Kind
	}{
		{"nothing", "", Empty},
		{"a comment alone", ": hi\n\n", Empty},
		{"a page", "<html>\n\n<body>", NotStream},
		{"a document", `{"error":{"message":"no"}}`, NotStream},
		{"an error first", "event: error\ndata: {\"type\":\"error\",\"message\":\"overloaded\"}\n\n", Fault},
		{"an error object first", "data: {\"error\":{\"message\":\"overloaded\"}}\n\n", Fault},
		{"cut before its end", responseStream[:len(responseStream)-60], Truncated},
		{"broken JSON", "data: {\"type\":\"response.created\",}\n\n", Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r ResponseEvents
			r.Reset("fast")
			_, err := feedResponse(&r, tt.body)
			var s *StreamError
			if !errors.As(err, &s) || s.Kind != tt.kind {
				t.Errorf("%v", err)
			}
		})
	}
	// The last event may lack its empty line.
	var r ResponseEvents
	r.Reset("fast")
	if got, err := feedResponse(&r, strings.TrimRight(responseStream, "\n")); err != nil || !strings.HasSuffix(got, "\n\n") {
		t.Errorf("%v %q", err, got)
	}
}

func FuzzResponseEvents(f *testing.F) {
	f.Add([]byte(responseStream), 7)
	f.Add([]byte("data: {\"type\":\"error\"}\n\n"), 1)
	f.Add([]byte("data: {\"response\":{\"model\":\"x\"}}\r\n\r\n"), 3)
	f.Fuzz(func(t *testing.T, body []byte, piece int) {
		var whole, cut ResponseEvents
		whole.Reset("m")
		cut.Reset("m")
		a, errA := feedResponse(&whole, string(body))
		pieces := make([]int, 0, len(body))
		for range body {
			pieces = append(pieces, max(1, piece%17))
		}
		b, errB := feedResponse(&cut, string(body), pieces...)
		if (errA == nil) != (errB == nil) || errA == nil && a != b {
			t.Errorf("pieces matter: %v %q, %v %q", errA, a, errB, b)
		}
		var plain ResponseEvents
		plain.Reset("")
		if c, err := feedResponse(&plain, string(body)); err == nil && !bytes.HasPrefix([]byte(c), bytes.TrimRight(body, "\r\n \t")) && len(bytes.TrimSpace(body)) > 0 && !plain.Done() {
			t.Errorf("bytes are lost: %q of %q", c, body)
		}
	})
}
