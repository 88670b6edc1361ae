package mock

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves a mock and closes both at the end of the test.
func start(t *testing.T, opt Options) (*Mock, *httptest.Server) {
	t.Helper()
	m := New(opt)
	s := httptest.NewServer(m)
	t.Cleanup(func() {
		m.Close()
		s.CloseClientConnections()
		s.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return m, s
}

func post(t *testing.T, url, body string) (*http.Response, string, error) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

type chatAnswerJSON struct {
	ID, Object, Model string
	Choices           []struct {
		Message, Delta struct{ Role, Content string }
		Text           string
		FinishReason   *string `json:"finish_reason"`
	}
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
	}
}

// events reads the data of a stream, which must be well framed.
func events(t *testing.T, body string) []string {
	t.Helper()
	var out []string
	for frame := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		for line := range strings.SplitSeq(frame, "\n") {
			if d, ok := strings.CutPrefix(line, "data: "); ok {
				out = append(out, d)
			} else if !strings.HasPrefix(line, "event: ") {
				t.Fatalf("line %q is no SSE field", line)
			}
		}
	}
	return out
}

const nonce = "0123456789abcdef"

func TestChatAnswerIsWholeAndItsUsageAddsUp(t *testing.T) {
	m, s := start(t, Options{Chunks: 5, Seed: 7})
	body := `{"messages":[{"role":"user","content":"nonce:` + nonce + ` hello \"stream\":true"}],"model":"gpt-4o-mini"}`
	resp, got, err := post(t, s.URL+"/v1/chat/completions", body)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("got %v %v, want 200 with JSON", resp, err)
	}
	var a chatAnswerJSON
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if a.Object != "chat.completion" || a.Model != "gpt-4o-mini" || len(a.Choices) != 1 || *a.Choices[0].FinishReason != "stop" {
		t.Errorf("unexpected answer %s", got)
	}
	if want := nonce + ".0 "; !strings.HasPrefix(a.Choices[0].Message.Content, want) {
		t.Errorf("content %q does not begin with the nonce", a.Choices[0].Message.Content)
	}
	if a.Usage == nil || a.Usage.Completion != 5 || a.Usage.Prompt != (len(body)+3)/4 || a.Usage.Total != a.Usage.Prompt+5 {
		t.Errorf("usage %+v does not add up for a body of %d bytes", a.Usage, len(body))
	}
	st := m.Stats()
	if st.Requests != 1 || st.Answered != 1 || st.Tokens.Completion != 5 || st.BytesIn != uint64(len(body)) || st.BytesOut != uint64(len(got)) {
		t.Errorf("stats %+v", st)
	}
}

func TestStreamHasEveryEventInOrder(t *testing.T) {
	for _, tc := range []struct {
		name string
		opt  Options
	}{
		{"one event a write", Options{Chunks: 7}},
		{"four events a write", Options{Chunks: 7, Coalesce: 4}},
		{"three bytes a write", Options{Chunks: 7, Fragment: 3, UTF8: true}},
		{"paced", Options{Chunks: 7, ITL: Fixed(time.Microsecond), TTFT: Fixed(time.Microsecond)}},
		{"large events", Options{Chunks: 7, ChunkBytes: 8 << 10, UTF8: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, s := start(t, tc.opt)
			_, got, err := post(t, s.URL+"/v1/chat/completions",
				`{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":"nonce:`+nonce+`"}`)
			if err != nil {
				t.Fatal(err)
			}
			ev := events(t, got)
			if len(ev) != 1+7+1+1+1 || ev[len(ev)-1] != "[DONE]" {
				t.Fatalf("%d events: %q", len(ev), ev)
			}
			content := 0
			for i, e := range ev[:len(ev)-1] {
				var a chatAnswerJSON
				if err := json.Unmarshal([]byte(e), &a); err != nil {
					t.Fatalf("event %d: %v in %s", i, err, e)
				}
				switch {
				case i == 0 && a.Choices[0].Delta.Role != "assistant":
					t.Errorf("first event %s has no role", e)
				case i == len(ev)-2 && (len(a.Choices) != 0 || a.Usage == nil || a.Usage.Completion != 7):
					t.Errorf("usage event %s", e)
				case i > 0 && i <= 7:
					if want := fmt.Sprintf("%s.%d ", nonce, content); !strings.HasPrefix(a.Choices[0].Delta.Content, want) {
						t.Errorf("event %d has content %.30q, want it to begin %q", i, a.Choices[0].Delta.Content, want)
					}
					content++
				}
			}
			if st := m.Stats(); st.Streams != (StreamStats{Started: 1, Completed: 1, Events: 10}) {
				t.Errorf("streams %+v", st.Streams)
			}
		})
	}
}

func TestUsageEventOnlyWhenAsked(t *testing.T) {
	_, s := start(t, Options{Chunks: 2})
	_, got, err := post(t, s.URL+"/v1/chat/completions", `{"model":"m","stream":true}`)
	if err != nil || strings.Contains(got, "usage") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestMaxTokensCutsTheAnswer(t *testing.T) {
	_, s := start(t, Options{Chunks: 9})
	for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
		_, got, err := post(t, s.URL+path, `{"model":"m","max_tokens":3}`)
		var a chatAnswerJSON
		if err != nil || json.Unmarshal([]byte(got), &a) != nil || a.Usage.Completion != 3 || *a.Choices[0].FinishReason != "length" {
			t.Errorf("%s: got %s, %v", path, got, err)
		}
		_, got, err = post(t, s.URL+path, `{"model":"m","max_tokens":3,"stream":true}`)
		if err != nil || strings.Count(got, `"finish_reason":null`) > 4 || !strings.Contains(got, `"finish_reason":"length"`) {
			t.Errorf("%s: stream %s, %v", path, got, err)
		}
	}
}

func TestNonceComesBackInTheHeader(t *testing.T) {
	_, s := start(t, Options{})
	req, _ := http.NewRequest("POST", s.URL+"/chat/completions", strings.NewReader(`{"model":"m"}`))
	req.Header.Set("x-nonce", "abc-1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.Header.Get("x-nonce") != "abc-1" || !strings.Contains(string(b), `"content":"abc-1.0 `) {
		t.Errorf("header %q, body %s", resp.Header.Get("x-nonce"), b)
	}
}

func TestEmbeddingsAnswerEachInput(t *testing.T) {
	_, s := start(t, Options{})
	for _, tc := range []struct {
		name, body string
		n          int
		kind       string
	}{
		{"one text", `{"model":"e","input":"a, [b]"}`, 1, "[0.25,0.25"},
		{"three texts", `{"model":"e","input":["a","b]","c\""]}`, 3, "[0.25,"},
		{"one list of tokens", `{"model":"e","input":[1,2,3,4]}`, 1, "[0.25,"},
		{"two lists of tokens in base64", `{"model":"e","input":[[1,2],[3]],"encoding_format":"base64","dimensions":2}`, 2, `"8wQ1P/MENT8="`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, got, err := post(t, s.URL+"/v1/embeddings", tc.body)
			var a struct {
				Data []struct {
					Index     int
					Embedding json.RawMessage
				}
			}
			if err != nil || json.Unmarshal([]byte(got), &a) != nil {
				t.Fatalf("%v in %s", err, got)
			}
			if len(a.Data) != tc.n || a.Data[tc.n-1].Index != tc.n-1 || !strings.HasPrefix(string(a.Data[0].Embedding), tc.kind) {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestResponsesStreamEndsWithTheWholeAnswer(t *testing.T) {
	_, s := start(t, Options{Chunks: 3})
	_, whole, err := post(t, s.URL+"/v1/responses", `{"model":"m","input":"hi"}`)
	if err != nil || !json.Valid([]byte(whole)) || !strings.Contains(whole, `"status":"completed"`) {
		t.Fatalf("%v in %s", err, whole)
	}
	_, got, err := post(t, s.URL+"/v1/responses", `{"model":"m","input":"hi","stream":true}`)
	if err != nil {
		t.Fatal(err)
	}
	ev := events(t, got)
	for i, e := range ev {
		var v struct {
			Seq int `json:"sequence_number"`
		}
		if err := json.Unmarshal([]byte(e), &v); err != nil || v.Seq != i {
			t.Errorf("event %d: %v in %s", i, err, e)
		}
	}
	if last := ev[len(ev)-1]; !strings.Contains(last, `"type":"response.completed"`) || !strings.Contains(last, `"output_tokens":3`) {
		t.Errorf("last event %s", last)
	}
}

func TestFaultsStrikeAsNamed(t *testing.T) {
	for _, tc := range []struct {
		kind   string
		stream bool
		check  func(resp *http.Response, body string, err error) error
	}{
		{"429", false, func(r *http.Response, b string, err error) error {
			if err != nil || r.StatusCode != 429 || r.Header.Get("Retry-After") == "" || !strings.Contains(b, `"code":"rate_limit_exceeded"`) {
				return fmt.Errorf("want a 429 with Retry-After")
			}
			return nil
		}},
		{"401", true, func(r *http.Response, b string, err error) error {
			if err != nil || r.StatusCode != 401 || !strings.Contains(b, "invalid_api_key") {
				return fmt.Errorf("want a 401")
			}
			return nil
		}},
		{"close", false, wantNoAnswer}, {"reset", true, wantNoAnswer},
		{"headers-only", false, wantCut("", false)}, {"headers-only", true, wantCut("", true)},
		{"cut", false, wantCut("{", false)}, {"cut", true, wantCut("data: {", true)},
		{"reset-mid", true, wantCut("data: {", true)},
		{"truncate", true, wantTail(func(b string) bool { return !strings.HasSuffix(b, "\n\n") && strings.HasPrefix(b, "data:") })},
		{"truncate", false, wantTail(func(b string) bool { return !json.Valid([]byte(b)) })},
		{"bad-json", false, wantTail(func(b string) bool { return b != "" && !json.Valid([]byte(b)) })},
		{"bad-json", true, wantTail(func(b string) bool { return strings.HasSuffix(b, "data: [DONE]\n\n") })},
		{"no-done", true, wantTail(func(b string) bool { return strings.HasSuffix(b, "}\n\n") })},
		{"error-event", true, wantTail(func(b string) bool { return strings.HasSuffix(b, string(errorEvent)) })},
		{"empty", true, wantTail(func(b string) bool { return b == "" })},
		{"html", true, wantTail(func(b string) bool { return strings.HasPrefix(b, "<!DOCTYPE") })},
		{"wrong-type", true, func(r *http.Response, b string, err error) error {
			if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") || !strings.HasSuffix(b, "[DONE]\n\n") {
				return fmt.Errorf("want a good stream labelled text/plain")
			}
			return nil
		}},
		{"slow-headers", false, wantTail(func(b string) bool { return json.Valid([]byte(b)) })},
		{"slow", false, wantTail(func(b string) bool { return json.Valid([]byte(b)) })},
	} {
		t.Run(fmt.Sprintf("%s stream=%v", tc.kind, tc.stream), func(t *testing.T) {
			f, err := ParseFault(tc.kind)
			if err != nil {
				t.Fatal(err)
			}
			m, s := start(t, Options{Faults: []Fault{f}, Sleep: func(<-chan struct{}, time.Time) bool { return true }})
			resp, body, err := post(t, s.URL+"/v1/chat/completions", fmt.Sprintf(`{"model":"m","stream":%v}`, tc.stream))
			if verr := tc.check(resp, body, err); verr != nil {
				t.Errorf("%v; got %v, %v, body %q", verr, resp, err, body)
			}
			if m.Stats().Faults[tc.kind] == 0 {
				t.Errorf("the fault is not counted: %+v", m.Stats())
			}
		})
	}
}

func wantNoAnswer(r *http.Response, _ string, err error) error {
	if err == nil || r != nil {
		return errors.New("want no answer at all")
	}
	return nil
}

func wantCut(prefix string, _ bool) func(*http.Response, string, error) error {
	return func(r *http.Response, b string, err error) error {
		if err == nil || r == nil || r.StatusCode != 200 || !strings.HasPrefix(b, prefix) {
			return fmt.Errorf("want a 200 cut after %q", prefix)
		}
		return nil
	}
}

func wantTail(good func(string) bool) func(*http.Response, string, error) error {
	return func(r *http.Response, b string, err error) error {
		if err != nil || r.StatusCode != 200 || !good(b) {
			return errors.New("want another body")
		}
		return nil
	}
}

func TestHangAndStallEndWithTheClient(t *testing.T) {
	for _, kind := range []string{"hang", "stall"} {
		t.Run(kind, func(t *testing.T) {
			m, s := start(t, Options{})
			ctx, cancel := context.WithCancel(t.Context())
			req, _ := http.NewRequestWithContext(ctx, "POST", s.URL+"/v1/chat/completions", strings.NewReader(`{"model":"mock/`+kind+`","stream":true}`))
			if kind == "hang" {
				go func() {
					for m.Stats().Faults["hang"] == 0 {
						time.Sleep(time.Millisecond)
					}
					cancel()
				}()
				if resp, err := http.DefaultClient.Do(req); err == nil {
					resp.Body.Close()
					t.Error("a hanging mock answered")
				}
			} else {
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: {") {
					t.Errorf("first line %q, %v", line, err)
				}
				cancel()
				resp.Body.Close()
			}
			for m.Stats().InFlight > 0 { // the test's own deadline ends a mock that never notices
				time.Sleep(time.Millisecond)
			}
		})
	}
}

func TestFaultSharesAreKept(t *testing.T) {
	m := New(Options{Seed: 3, Faults: []Fault{{faultStatus500, 0.2}, {faultStatus429, 0.1}}})
	for range 5000 {
		m.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{"model":"m"}`)))
	}
	st := m.Stats()
	if f := st.Faults["500"]; f < 900 || f > 1100 {
		t.Errorf("%d of 5000 answered 500, want about 1000", f)
	}
	if f := st.Faults["429"]; f < 400 || f > 600 {
		t.Errorf("%d of 5000 answered 429, want about 500", f)
	}
}

func TestSameSeedSameFaults(t *testing.T) {
	run := func() (codes []int) {
		m := New(Options{Seed: 11, Faults: []Fault{{faultStatus500, 0.5}}})
		for range 50 {
			w := httptest.NewRecorder()
			m.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{}`)))
			codes = append(codes, w.Code)
		}
		return codes
	}
	if a, b := fmt.Sprint(run()), fmt.Sprint(run()); a != b {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
}

func TestRequestsOverTheLimitGet429UntilTheMinuteIsOver(t *testing.T) {
	now := time.Unix(1000, 0)
	m := New(Options{RPM: 2, TPM: 1000, Now: func() time.Time { return now }})
	ask := func(body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body)))
		return w
	}
	for i, want := range []int{200, 200, 429} {
		w := ask(`{"model":"m"}`)
		if w.Code != want {
			t.Fatalf("request %d: status %d, want %d", i, w.Code, want)
		}
		if i == 0 && w.Header().Get("X-Ratelimit-Remaining-Requests") != "1" {
			t.Errorf("headers %v", w.Header())
		}
		if i == 2 && w.Header().Get("Retry-After") != "61" {
			t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
		}
	}
	now = now.Add(time.Minute)
	if w := ask(`{"model":"m"}`); w.Code != 200 {
		t.Errorf("after a minute: status %d", w.Code)
	}
	if w := ask(`{"model":"` + strings.Repeat("x", 8000) + `"}`); w.Code != 429 {
		t.Errorf("over the token limit: status %d", w.Code)
	}
}

func TestBadRequestsGetProviderShapedErrors(t *testing.T) {
	m := New(Options{})
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"no JSON", "POST", "/v1/chat/completions", "hello", 400},
		{"half an object", "POST", "/v1/chat/completions", `{"model":"m"`, 400},
		{"trailing text", "POST", "/v1/chat/completions", `{"model":"m"} x`, 400},
		{"unknown path", "POST", "/v1/nothing", `{}`, 404},
		{"unknown page", "GET", "/v1/nothing", "", 404},
		{"wrong method", "DELETE", "/v1/chat/completions", "", 405},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			m.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body)))
			var e struct{ Error apiError }
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != tc.status || e.Error.Message == "" {
				t.Errorf("status %d, body %s", w.Code, w.Body)
			}
		})
	}
}

func TestResetClearsTheCounters(t *testing.T) {
	m := New(Options{})
	m.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{}`)))
	m.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/__reset", nil))
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", "/__stats", nil))
	var st Stats
	if err := json.Unmarshal(w.Body.Bytes(), &st); err != nil || st.Requests != 0 || st.Answered != 0 || st.BytesOut != 0 {
		t.Errorf("%v: %s", err, w.Body)
	}
}

// A prepared answer is copied, not built: this ceiling keeps it so.
func TestAnsweringAllocatesLittle(t *testing.T) {
	m := New(Options{Chunks: 50})
	body := `{"model":"m","messages":[{"role":"user","content":"nonce:` + nonce + ` hi"}]}`
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	w := &discard{h: http.Header{}}
	rd := strings.NewReader("")
	r.Body = io.NopCloser(rd)
	n := testing.AllocsPerRun(200, func() {
		rd.Reset(body)
		m.ServeHTTP(w, r)
	})
	if n > 8 {
		t.Errorf("%v allocations for one answer, ceiling 8", n)
	}
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}

func BenchmarkChat(b *testing.B) {
	for _, stream := range []bool{false, true} {
		b.Run(fmt.Sprintf("stream=%v", stream), func(b *testing.B) {
			m := New(Options{Chunks: 50})
			body := fmt.Sprintf(`{"model":"m","stream":%v,"messages":[{"role":"user","content":"nonce:%s hi"}]}`, stream, nonce)
			r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
			w := &discard{h: http.Header{}}
			rd := strings.NewReader("")
			r.Body = io.NopCloser(rd)
			b.ReportAllocs()
			for b.Loop() {
				rd.Reset(body)
				m.ServeHTTP(w, r)
			}
		})
	}
}

func TestModelNamesSelectDelays(t *testing.T) {
	for _, tc := range []struct {
		model string
		want  time.Duration
	}{{"mock/itl-20ms", 40 * time.Millisecond}, {"mock/itl-20ms/any", 40 * time.Millisecond}, {"mock/ttft-3s", 3 * time.Second}, {"mock/itl-soon", 0}, {"mock/", 0}} {
		var last, first time.Time
		m := New(Options{Chunks: 3, Sleep: func(_ <-chan struct{}, until time.Time) bool {
			last = until
			return true
		}})
		first = time.Now()
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{"stream":true,"model":"`+tc.model+`"}`)))
		got := time.Duration(0)
		if !last.IsZero() {
			got = last.Sub(first)
		}
		if got < tc.want || got > tc.want+time.Second {
			t.Errorf("%s: the last wait ends after %v, want %v", tc.model, got, tc.want)
		}
	}
}
