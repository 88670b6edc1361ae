package sink

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	begin  = time.Unix(1_700_000_000, 0).UTC()
	target = &call.Deployment{ID: "d1", Group: "chat", Provider: "openai", Model: "gpt-4o-mini", APIBase: "https://up/v1?key=hidden"}
	caller = &call.Identity{KeyHash: "abc", UserID: "u", TeamID: "t"}
)

func good() call.Call {
	return call.Call{
		ID: "call-1", Caller: caller, Route: "/v1/chat/completions", Model: "chat", EndUser: "eve", Stream: true, Start: begin, Deployment: target,
		Attempts: 2, Retries: 1, Status: 200, FirstByte: begin.Add(200 * time.Millisecond), End: begin.Add(1500 * time.Millisecond), UpstreamTime: 1400 * time.Millisecond,
		Usage: call.Usage{PromptTokens: 10, CompletionTokens: 5, TotalTokens: 15, CachedTokens: 4, ReasoningTokens: 2, Known: true},
		Cost:  call.Cost{Input: 0.25, Output: 0.5, Total: 0.75, Known: true}, ClientIP: "10.0.0.1", UserAgent: "sdk/1", Tags: []string{"mine", "User-Agent: sdk"},
		Prompt: []byte(`[{"role":"user","content":"a private thought"}]`), Answer: []byte("data: {}\n\n"),
	}
}

func bad() call.Call {
	c := good()
	c.ID, c.Status, c.Usage, c.Cost, c.Stream, c.FirstByte = "call-2", 500, call.Usage{}, call.Cost{}, false, time.Time{}
	c.Err = &call.Error{Class: call.ClassInternalServer, Status: 500, Message: "it broke with sk-upstream-secret-1234567890"}
	return c
}

func TestRecordsHoldWhatLiteLLMsDo(t *testing.T) {
	traced := good()
	traced.Trace = &call.Trace{TraceID: [16]byte{15: 7}}
	for _, tt := range []struct {
		name string
		o    Options
		c    call.Call
	}{
		{"success", Options{}, good()},
		{"failure", Options{Secrets: redact.NewKnown(redact.New("sk-upstream-secret-1234567890"))}, bad()},
		{"content", Options{Messages: true}, traced},
		{"discreet", Options{HideCallers: true, HideErrors: true}, bad()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Sink{o: tt.o}
			var pretty bytes.Buffer
			b := s.encode(nil, &tt.c)
			if err := json.Indent(&pretty, b, "", "  "); err != nil || bytes.ContainsRune(b, '\n') {
				t.Fatalf("%v in %q", err, b)
			}
			if text := string(b); strings.Contains(text, "hidden") || strings.Contains(text, "sk-upstream") || !tt.o.Messages && strings.Contains(text, "private") {
				t.Errorf("shows what it must not: %s", text)
			}
			path := filepath.Join("testdata", tt.name+".json")
			if *update {
				_ = os.MkdirAll("testdata", 0o755)
				if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// endpoint keeps the bodies it is sent.
type endpoint struct {
	mu     sync.Mutex
	bodies []string
	header http.Header
	answer []int // one status after the other; then 200
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.header = r.Header
	e.bodies = append(e.bodies, string(body))
	if len(e.answer) > 0 {
		w.WriteHeader(e.answer[0])
		e.answer = e.answer[1:]
	}
}

func started(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func calls(n int) (list []call.Call) {
	for i := range n {
		c := good()
		c.ID = fmt.Sprintf("call-%d", i)
		list = append(list, c)
	}
	return list
}

func TestEachFormatReachesTheEndpoint(t *testing.T) {
	for _, tt := range []struct {
		format Format
		bodies int
		split  func(string) []string
	}{
		{Array, 1, func(s string) (list []string) {
			var raw []json.RawMessage
			_ = json.Unmarshal([]byte(s), &raw)
			for _, r := range raw {
				list = append(list, string(r))
			}
			return list
		}},
		{Lines, 1, func(s string) []string { return strings.Split(s, "\n") }},
		{Single, 3, func(s string) []string { return []string{s} }},
	} {
		t.Run(string(tt.format), func(t *testing.T) {
			e := &endpoint{}
			srv := httptest.NewServer(e)
			defer srv.Close()
			s := started(t, Options{URL: redact.New(srv.URL), Headers: map[string]redact.Secret{"Authorization": redact.New("Bearer x")}, Format: tt.format, Interval: time.Hour})
			s.Record(calls(3))
			s.Close() // a drain sends what waits
			var ids []string
			for _, body := range e.bodies {
				for _, text := range tt.split(body) {
					var r struct{ ID string }
					if err := json.Unmarshal([]byte(text), &r); err != nil {
						t.Fatalf("%v in %q", err, text)
					}
					ids = append(ids, r.ID)
				}
			}
			if len(e.bodies) != tt.bodies || strings.Join(ids, " ") != "call-0 call-1 call-2" || e.header.Get("Authorization") != "Bearer x" {
				t.Errorf("%d bodies with %v, %v", len(e.bodies), ids, e.header)
			}
		})
	}
}

func TestAFullBatchDoesNotWait(t *testing.T) {
	e := &endpoint{}
	srv := httptest.NewServer(e)
	defer srv.Close()
	s := started(t, Options{URL: redact.New(srv.URL), Batch: 2, Interval: time.Hour})
	defer s.Close()
	s.Record(calls(2))
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		e.mu.Lock()
		n := len(e.bodies)
		e.mu.Unlock()
		if n == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d bodies", n)
		}
	}
}

func TestRefusalsAreTriedAgainOnlyWhereThatHelps(t *testing.T) {
	for _, tt := range []struct {
		name          string
		answer        []int
		bodies, fails int
	}{
		{"a busy endpoint gets the batch again", []int{503, 429}, 3, 0},
		{"one that stays away loses it", []int{500, 500, 500, 500}, 3, 2},
		{"a refusal is final", []int{401}, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &endpoint{answer: tt.answer}
			srv := httptest.NewServer(e)
			defer srv.Close()
			failed := 0
			var log strings.Builder
			s := started(t, Options{
				Name: "generic_api", URL: redact.New(srv.URL + "/secret-path"), Retries: 2, RetryDelay: time.Millisecond, Interval: 10 * time.Millisecond,
				Failed: func(n int) { failed += n }, Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			s.Record(calls(2))
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
				e.mu.Lock()
				n := len(e.bodies)
				e.mu.Unlock()
				if n >= tt.bodies {
					break
				}
			}
			s.Close()
			if len(e.bodies) != tt.bodies || failed != tt.fails || s.Dropped() != int64(tt.fails) {
				t.Errorf("%d bodies, %d lost", len(e.bodies), failed)
			}
			if text := log.String(); (tt.fails > 0) != strings.Contains(text, "records for generic_api are lost") || strings.Contains(text, "secret-path") {
				t.Errorf("log: %s", text)
			}
		})
	}
}

func TestAnEndpointThatHangsHoldsUpNothingAndFillsNoMemory(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer srv.Close()
	s := started(t, Options{URL: redact.New(srv.URL), Interval: 5 * time.Millisecond, Batch: 10, MaxBytes: 20_000, Timeout: time.Minute})
	time.Sleep(10 * time.Millisecond)
	const all = 1000
	begin := time.Now()
	for range all / 10 {
		s.Record(calls(10))
	}
	s.mu.Lock()
	size := s.size
	s.mu.Unlock()
	if took := time.Since(begin); took > 5*time.Second || size > 20_000 || s.Dropped() == 0 {
		t.Errorf("took %s, %d bytes wait, %d dropped", took, size, s.Dropped())
	}
	begin = time.Now()
	s.Close()
	if took := time.Since(begin); took > farewell+2*time.Second || s.Dropped() != all {
		t.Errorf("the end took %s, %d of %d are counted as lost", took, s.Dropped(), all)
	}
}

func TestAFileIsAppendedToAndFollowsItsRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	if err := os.WriteFile(path, []byte("{\"id\":\"before\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := started(t, Options{File: path, Interval: 5 * time.Millisecond})
	s.Record(calls(1))
	lines := func(p string, n int) string {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if raw, _ := os.ReadFile(p); bytes.Count(raw, []byte("\n")) >= n {
				return string(raw)
			}
		}
		t.Fatalf("%s has no %d lines", p, n)
		return ""
	}
	if text := lines(path, 2); !strings.HasPrefix(text, `{"id":"before"}`) || !strings.Contains(text, `"call-0"`) {
		t.Errorf("got %s", text)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.Record(calls(1))
	lines(path, 1)
	s.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := New(Options{Name: "log_sink", File: filepath.Join(path, "below")}); err == nil || !strings.Contains(err.Error(), "log_sink cannot be opened") {
		t.Errorf("error %v", err)
	}
}

func TestOnlyTheChosenCallsAreWritten(t *testing.T) {
	quiet := good()
	quiet.ID, quiet.NoLog = "quiet", true
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"all but those that ask for silence", Options{}, "call-1 call-2"},
		{"failures", Options{NoSuccess: true}, "call-2"},
		{"successes", Options{NoFailure: true}, "call-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.o.To = &out
			s := started(t, tt.o)
			s.Record([]call.Call{good(), bad(), quiet})
			s.Close()
			var ids []string
			for line := range strings.Lines(out.String()) {
				var r struct{ ID string }
				_ = json.Unmarshal([]byte(line), &r)
				ids = append(ids, r.ID)
			}
			if got := strings.Join(ids, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzRecordsAreJSON(f *testing.F) {
	f.Add("model", "user", "broke", []byte(`[{"a":1}]`))
	f.Add("\xff\n", "\x00\"", "\u2028", []byte("{"))
	f.Fuzz(func(t *testing.T, model, user, message string, body []byte) {
		c := bad()
		c.Model, c.EndUser, c.UserAgent, c.Prompt, c.Answer = model, user, user, body, body
		c.Err.Message = message
		s := &Sink{o: Options{Messages: true}}
		b := s.encode(nil, &c)
		if !json.Valid(b) || bytes.ContainsAny(b, "\n\r") {
			t.Fatalf("%q", b)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	s := &Sink{o: Options{Batch: 1 << 30, MaxBytes: 1 << 62}}
	batch := []call.Call{good()}
	b.ReportAllocs()
	for b.Loop() {
		s.Record(batch)
		s.waiting = s.waiting[:0]
	}
}
