package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
)

const nonceText = "0123456789abcdef"

func contentEvent(i int) string {
	return fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":\"%s.%d w\"}}]}\n\n", nonceText, i)
}

func TestEventsAreFoundHoweverTheyAreCut(t *testing.T) {
	stream := ": ping\n\n" +
		"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n" +
		contentEvent(0) + strings.ReplaceAll(contentEvent(1), "\n", "\r\n") +
		"event: x\ndata: {\"choices\": [{\"delta\": {\"content\": \"" + nonceText + ".2 spaced\"}}]}\n\n" +
		"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n" +
		"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n" +
		"data: [DONE]\n\n"
	for size := 1; size <= len(stream); size++ {
		var s eventScanner
		s.reset(nonceText, true)
		content := 0
		for b := []byte(stream); len(b) > 0; b = b[min(size, len(b)):] {
			n, ok := s.feed(b[:min(size, len(b))])
			if !ok {
				t.Fatal("refused")
			}
			content += n
		}
		if content != 3 || s.content != 3 || s.events != 6 || !s.done || s.invalid || s.after || s.tokens != 3 || s.prompt != 7 || s.lost+s.repeated+s.crossed != 0 {
			t.Fatalf("pieces of %d bytes: %+v", size, s)
		}
	}
}

func TestLostRepeatedAndForeignEventsAreCounted(t *testing.T) {
	for _, tc := range []struct {
		name                    string
		events                  []string
		lost, repeated, crossed int
	}{
		{"in order", []string{contentEvent(0), contentEvent(1)}, 0, 0, 0},
		{"two lost", []string{contentEvent(0), contentEvent(3)}, 2, 0, 0},
		{"first lost", []string{contentEvent(1)}, 1, 0, 0},
		{"one twice", []string{contentEvent(0), contentEvent(0), contentEvent(1)}, 0, 1, 0},
		{"another's", []string{contentEvent(0), strings.Replace(contentEvent(1), "abcdef", "fedcba", 1)}, 0, 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s eventScanner
			s.reset(nonceText, false)
			s.feed([]byte(strings.Join(tc.events, "")))
			if s.lost != tc.lost || s.repeated != tc.repeated || s.crossed != tc.crossed {
				t.Errorf("lost %d, repeated %d, crossed %d", s.lost, s.repeated, s.crossed)
			}
		})
	}
}

func TestContentIsTextOrToolCallsAndNothingElse(t *testing.T) {
	for data, want := range map[string]bool{
		`{"choices":[{"delta":{"content":"a"}}]}`:                                   true,
		`{"choices":[{"delta":{"content": "a"}}]}`:                                  true,
		`{"choices":[{"delta":{"content":null,"reasoning_content":"hm"}}]}`:         true,
		`{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}`:                      true,
		`{"choices":[{"text":"a"}]}`:                                                true,
		`{"type":"response.output_text.delta","delta":"a"}`:                         true,
		`{"choices":[{"delta":{"role":"assistant","content":""}}]}`:                 false,
		`{"choices":[{"delta":{"content":null}}]}`:                                  false,
		`{"choices":[{"delta":{"tool_calls":[]}}]}`:                                 false,
		`{"choices":[{"delta":{},"finish_reason":"stop"}]}`:                         false,
		`{"choices":[],"usage":{"completion_tokens":3,"content":1}}`:                false,
		`{"error":{"message":"no"}}`:                                                false,
		`{"choices":[{"delta":{"role":"assistant","content":"","refusal":null}}]} `: false,
	} {
		if got := hasContent([]byte(data)); got != want {
			t.Errorf("%s: content %v, want %v", data, got, want)
		}
	}
}

// FuzzEvents feeds one stream whole and in pieces: the findings must be equal.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(contentEvent(0)+"data: [DONE]\n\n"), uint8(3))
	f.Add([]byte("data:\r\n\r\n\n\n\ndata: {\"usage\":{\"completion_tokens\":99999999999999}}\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		var whole, pieces eventScanner
		whole.reset(nonceText, true)
		pieces.reset(nonceText, true)
		whole.feed(stream)
		step := int(size)%32 + 1
		for b := stream; len(b) > 0; b = b[min(step, len(b)):] {
			pieces.feed(b[:min(step, len(b))])
		}
		whole.from, pieces.from = 0, 0
		if a, b := fmt.Sprintf("%q", whole.buf), fmt.Sprintf("%q", pieces.buf); a != b {
			t.Fatalf("rests differ: %s and %s", a, b)
		}
		whole.buf, pieces.buf = nil, nil
		if a, b := fmt.Sprintf("%+v", whole), fmt.Sprintf("%+v", pieces); a != b {
			t.Fatalf("pieces of %d bytes: %s, whole: %s", step, b, a)
		}
	})
}

// fixedConn gives a fixed answer to anything.
type fixedConn struct {
	net.Conn
	r io.Reader
}

func (c fixedConn) Read(b []byte) (int, error)       { return c.r.Read(b) }
func (c fixedConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c fixedConn) Close() error                     { return nil }
func (c fixedConn) SetDeadline(time.Time) error      { return nil }
func (c fixedConn) SetReadDeadline(time.Time) error  { return nil }
func (c fixedConn) SetWriteDeadline(time.Time) error { return nil }

func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n0\r\n\r\n",
		"HTTP/1.0 500 no\r\n\r\nbye", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "\r\n", "HTTP/1.1 204 x\r\n\r\n",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, answer []byte, stream bool) {
		target, _ := ParseTarget("http://127.0.0.1:1")
		r := &run{
			plan: &Plan{Target: target, RequestTimeout: time.Second}, conns: map[net.Conn]struct{}{},
			stopped: make(chan struct{}), base: time.Now(), keep: keepBody, ctx: t.Context(),
		}
		c := &client{r: r}
		c.conn = fixedConn{r: bytes.NewReader(answer)}
		c.in.conn, c.used = c.conn, time.Now()
		c.br = newReader(&c.in)
		q := &request{nonceAt: -1, stream: stream, head: []byte("GET / HTTP/1.1\r\n"), tail: []byte("\r\n")}
		res := c.do(q, 0, 0)
		if res.Err == OK && (res.Status < 200 || res.Status > 299) {
			t.Fatalf("status %d counts as success", res.Status)
		}
		if res.Err == OK && stream && res.Content == 0 {
			t.Fatal("a stream without content counts as success")
		}
		if res.End < res.Start {
			t.Fatal("the answer ended before it began")
		}
	})
}

func TestTargetsAreReadAndWrongOnesExplained(t *testing.T) {
	for _, tc := range []struct{ text, path, err string }{
		{"http://gw:4000", "/v1/chat/completions", ""},
		{"http://gw:4000/", "/v1/chat/completions", ""},
		{"https://gw/v1", "/v1/chat/completions", ""},
		{"https://gw/team/v1/", "/team/v1/chat/completions", ""},
		{"gw:4000", "", "with its scheme"},
		{"http://", "", "no host"},
		{"http://gw:port", "", "invalid port"},
		{"ws://gw", "", "must be http or https"},
		{"http://gw?x=1", "", "no query"},
		{"http://u:p@gw", "", "not in the URL"},
		{"http://\x7f", "", "no URL"},
	} {
		target, err := ParseTarget(tc.text)
		switch {
		case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("%q: error %v, want one with %q", tc.text, err, tc.err)
		case tc.err == "" && (err != nil || target.path(ChatStream.path()) != tc.path):
			t.Errorf("%q: path %q, %v", tc.text, target.path(ChatStream.path()), err)
		}
	}
}

func TestPaidAndPrivateTargetsAreTold(t *testing.T) {
	for _, tc := range []struct {
		host           string
		provider, ours bool
	}{
		{"api.openai.com", true, false}, {"API.OpenAI.com.", true, false}, {"me.openai.azure.com", true, false},
		{"us-east5-aiplatform.googleapis.com", true, false}, {"bedrock-runtime.us-east-1.amazonaws.com", true, false},
		{"127.0.0.1", false, true}, {"[::1]", false, true}, {"10.1.2.3", false, true}, {"gw", false, true},
		{"gw.prod.svc", false, true}, {"gw.prod.svc.cluster.local", false, true}, {"192.0.2.1", false, false}, {"localhost", false, true},
	} {
		target := Target{URL: &url.URL{Scheme: "http", Host: tc.host}}
		if target.Provider() != tc.provider {
			t.Errorf("%s: provider %v", tc.host, target.Provider())
		}
		if !tc.provider && target.Private(t.Context()) != tc.ours {
			t.Errorf("%s: private %v", tc.host, !tc.ours)
		}
	}
}

func TestBodiesAreValidAndAsLongAsAskedFor(t *testing.T) {
	for _, tc := range []struct {
		name string
		s    Scenario
		edit func(*Payload)
		want []string
		not  string
	}{
		{"chat", Chat, nil, []string{`"content":"nonce:`, `"max_tokens":64`, `"model":"m"`}, "stream"},
		{"stream", ChatStream, nil, []string{`"stream":true`, `"include_usage":true`}, ""},
		{"padded", Chat, func(p *Payload) { p.BodyBytes = 16_459 }, nil, ""},
		{"embeddings", Embeddings, nil, []string{`"input":"nonce:`}, "max_tokens"},
		{"no limit, no nonce", Completions, func(p *Payload) { p.OutputTokens, p.Unique = -1, false }, []string{`"prompt":"`}, "nonce"},
		{"own messages", ChatStream, func(p *Payload) {
			p.Prompts = []json.RawMessage{[]byte(`{"model":"own","stream":false,"messages":[{"role":"system","content":[]},{"role":"user","content":"<hi>"}]}`)}
		}, []string{`"model":"own"`, `"content":"nonce:0000000000000000 <hi>"`, `"stream":true`}, ""},
		{"own prompt", Chat, func(p *Payload) { p.Prompts = []json.RawMessage{[]byte(`{"prompt":"hi"}`)} }, []string{`"messages":[{"role":"user","content":"nonce:0000000000000000 hi"}]`}, `"prompt"`},
		{"merged", Chat, func(p *Payload) { p.Merge = map[string]json.RawMessage{"user": []byte(`"u1"`)} }, []string{`"user":"u1"`}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := plan(t, func(p *Plan) {
				p.Payload.Unique = true
				p.Keys = []redact.Secret{redact.New("sk-a"), redact.New("sk-b")}
				if tc.edit != nil {
					tc.edit(&p.Payload)
				}
			})
			list, err := prepare(p, 0, tc.s, "m")
			if err != nil {
				t.Fatal(err)
			}
			body := string(list[0].body)
			if !json.Valid(list[0].body) {
				t.Fatalf("not JSON: %s", body)
			}
			for _, w := range tc.want {
				if !strings.Contains(body, w) {
					t.Errorf("%s is not in %s", w, body)
				}
			}
			if tc.not != "" && strings.Contains(body, tc.not) {
				t.Errorf("%s is in %s", tc.not, body)
			}
			if n := p.Payload.BodyBytes; n > 0 && len(body) != n {
				t.Errorf("%d bytes, want %d", len(body), n)
			}
			wire := string(list[0].appendTo(nil, "sk-b", []byte(nonceText)))
			if !strings.Contains(wire, "\r\nAuthorization: Bearer sk-b\r\n") || !strings.HasSuffix(strings.Split(wire, "\r\n\r\n")[0], fmt.Sprintf("Content-Length: %d", len(body))) {
				t.Errorf("request %q", wire)
			}
			if p.Payload.Unique && !strings.Contains(wire, "nonce:"+nonceText) {
				t.Errorf("the nonce is not in %q", wire)
			}
		})
	}
}

func FuzzParseFlags(f *testing.F) {
	for _, s := range []string{"ttft.p95<=300ms", "errors<=0.1%", "10:200:60s:5", "gamma:0.5", "http://gw:4000/v1", "x-a: b", "chat=3", `{"prompt":"x"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if term, err := ParseTerm(s); err == nil && !(term.quantile >= 0 && term.quantile <= 100) {
			t.Fatalf("%q: quantile %v", s, term.quantile)
		}
		if r, err := ParseRamp(s); err == nil {
			if at := r.at(10); !(at >= 0) {
				t.Fatalf("%q: the tenth request is due at %v", s, at)
			}
		}
		_, _ = ParseArrival(s)
		_, _ = ParseTarget(s)
		_, _ = ParseScenario(s)
		_, _ = ParseMerge(s)
		if h, err := ParseHeader(s); err == nil && strings.ContainsAny(h[0]+h[1], "\r\n") {
			t.Fatalf("%q makes two headers", s)
		}
		if list, err := ReadPrompts("f", strings.NewReader(s)); err == nil {
			p := Payload{Unique: true, Prompts: list}
			if p.check() != nil {
				return
			}
			for _, sc := range []Scenario{Chat, ChatStream, Completions, Embeddings} {
				for _, prompt := range list {
					if b, err := makeBody(&p, sc, "m", prompt, 1); err == nil && !json.Valid(b) {
						t.Fatalf("%q makes the body %s", s, b)
					}
				}
			}
		}
	})
}
