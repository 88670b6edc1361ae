package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/redact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLevelsAreReadInLiteLLMsWords(t *testing.T) {
	for word, want := range map[string]string{
		"DEBUG": "DEBUG", "debug": "DEBUG", " Info ": "INFO", "WARNING": "WARNING", "warn": "WARNING", "ERROR": "ERROR", "critical": "CRITICAL",
	} {
		level, ok := ParseLevel(word)
		if !ok || LevelName(level) != want {
			t.Errorf("%q is %s, %t; want %s", word, LevelName(level), ok, want)
		}
	}
	for _, word := range []string{"", "verbose", "10", "TRACE"} {
		if level, ok := ParseLevel(word); ok {
			t.Errorf("%q was read as %s", word, LevelName(level))
		}
	}
}

func TestARecordStaysOnItsLine(t *testing.T) {
	secret := redact.New("sk-planted-secret")
	for _, c := range []struct {
		name        string
		level       slog.Level
		log         func(*slog.Logger)
		plain, json string // what follows the time; a part of the object
	}{
		{"below the level", slog.LevelWarn, func(l *slog.Logger) { l.Info("x") }, "", ""},
		{"a warning", slog.LevelWarn, func(l *slog.Logger) { l.Warn("x") }, "LiteLLM Proxy:WARNING: x\n", `"level":"WARNING"`},
		{"text of several lines", slog.LevelInfo, func(l *slog.Logger) { l.Error("a\nb\r\nc") }, `LiteLLM Proxy:ERROR: a\nb\r\nc` + "\n", `"message":"a\nb\r\nc"`},
		{"values", slog.LevelInfo, func(l *slog.Logger) { l.Info("x", "a", 1, "b", "two words", "c", "") }, `LiteLLM Proxy:INFO: x a=1 b="two words" c=""` + "\n", `"b":"two words"`},
		{"values of a group", slog.LevelInfo, func(l *slog.Logger) { l.With("k", 1).WithGroup("g").With("m", 2).Info("x", "a", 3) }, "LiteLLM Proxy:INFO: x k=1 g.m=2 g.a=3\n", `"g.m":2`},
		{"an error", slog.LevelInfo, func(l *slog.Logger) { l.Info("x", "err", errors.New("no\nway")) }, `LiteLLM Proxy:INFO: x err=no\nway` + "\n", `"err":"no\nway"`},
		{"a secret", slog.LevelInfo, func(l *slog.Logger) { l.Info("x", "key", secret) }, "LiteLLM Proxy:INFO: x key=***\n", `"key":"***"`},
		{"a value that JSON does not know", slog.LevelInfo, func(l *slog.Logger) { l.Info("\x00\xff", "n", struct{ C chan int }{}) }, "LiteLLM Proxy:INFO: \x00\xff n={<nil>}\n", `"n":"{<nil>}"`},
		{"a value under the name of a field", slog.LevelInfo, func(l *slog.Logger) { l.Info("x", "level", "mine") }, "LiteLLM Proxy:INFO: x level=mine\n", `"level":"INFO"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var plain, record bytes.Buffer
			c.log(NewLogger(&plain, c.level, false))
			c.log(NewLogger(&record, c.level, true))
			if c.plain == "" {
				if plain.Len()+record.Len() > 0 {
					t.Errorf("written: %q %q", plain.String(), record.String())
				}
				return
			}
			if _, text, _ := strings.Cut(plain.String(), " - "); text != c.plain {
				t.Errorf("plain\n got %q\nwant %q", text, c.plain)
			}
			if strings.Count(record.String(), "\n") != 1 || !json.Valid(record.Bytes()) || !strings.Contains(record.String(), c.json) {
				t.Errorf("record %q does not hold %q", record.String(), c.json)
			}
			if all := plain.String() + record.String(); strings.Contains(all, secret.Reveal()) {
				t.Error("a secret was written")
			}
		})
	}
}

func TestAccessLinesSayWhoAskedForWhatAndNoMore(t *testing.T) {
	for _, c := range []struct {
		name, method, target string
		status               int
		want                 string
	}{
		{"an ordinary request", "POST", "/v1/chat/completions", 200, `INFO:     192.0.2.1:1234 - "POST /v1/chat/completions HTTP/1.1" 200 OK` + "\n"},
		{"the query may hold a key", "GET", "/v1/models?key=sk-planted", 401, `INFO:     192.0.2.1:1234 - "GET /v1/models HTTP/1.1" 401 Unauthorized` + "\n"},
		{"a path cannot break the line", "GET", "/a%0Ab%22%20c", 404, `INFO:     192.0.2.1:1234 - "GET /a%0Ab%22%20c HTTP/1.1" 404 Not Found` + "\n"},
		{"a client that left", "POST", "/x", 499, `INFO:     192.0.2.1:1234 - "POST /x HTTP/1.1" 499 Client Closed Request` + "\n"},
		{"a status without a name", "GET", "/x", 599, `INFO:     192.0.2.1:1234 - "GET /x HTTP/1.1" 599` + "\n"},
		{"a method without an end", strings.Repeat("A", 1000), "/x", 405, `INFO:     192.0.2.1:1234 - "` + strings.Repeat("A", 32) + ` /x HTTP/1.1" 405 Method Not Allowed` + "\n"},
		{"a path that is left out", "GET", "/health/liveliness?x", 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var plain, record bytes.Buffer
			r := httptest.NewRequest(c.method, c.target, nil)
			skip := []string{"/health/liveliness ", "", "/metrics"}
			NewAccess(&plain, false, skip).Line(r, c.status)
			NewAccess(&record, true, skip).Line(r, c.status)
			if plain.String() != c.want {
				t.Errorf("\n got %q\nwant %q", plain.String(), c.want)
			}
			if c.want == "" {
				if record.Len() > 0 {
					t.Errorf("record %q", record.String())
				}
				return
			}
			var m map[string]string
			if err := json.Unmarshal(record.Bytes(), &m); err != nil || m["level"] != "INFO" || m["component"] != "uvicorn.access" || !strings.Contains(m["message"], fmt.Sprint(c.status)) {
				t.Errorf("record %q: %v", record.String(), err)
			}
			if strings.Contains(record.String(), "planted") {
				t.Errorf("record %q holds the query", record.String())
			}
		})
	}
}

// gate is an output that stands still until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	text bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(b)
}

func TestLinesArriveWholeAndInOrder(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	w := NewWriter(g)
	var want strings.Builder
	for i := range 20_000 { // more than one flush
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		if n, err := io.WriteString(w, line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.Close()
	if g.text.String() != want.String() || w.Dropped() != 0 {
		t.Errorf("%d bytes arrived of %d, %d dropped", g.text.Len(), want.Len(), w.Dropped())
	}
}

func TestAStalledOutputHoldsNobodyUpAndIsCounted(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	w := NewWriter(g)
	line := []byte(strings.Repeat("x", 1023) + "\n")
	const lines = 3 * maxBacklog / 1024
	for range lines { // would hang here if it waited
		_, _ = w.Write(line)
	}
	if w.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
	close(g.open)
	w.Close()
	if got := int64(strings.Count(g.text.String(), "\n")); got+w.Dropped() != lines || g.text.Len() > 3*maxBacklog {
		t.Errorf("%d written and %d dropped of %d", got, w.Dropped(), lines)
	}
}

func TestALineIsWrittenWithoutTheNext(t *testing.T) {
	read, write := io.Pipe()
	w := NewWriter(write)
	defer w.Close()
	_, _ = io.WriteString(w, "alone\n")
	b := make([]byte, 64)
	if n, err := read.Read(b); err != nil || string(b[:n]) != "alone\n" { // waits for the writer's own timer
		t.Errorf("%q, %v", b[:n], err)
	}
	_ = read.Close()
}

func TestSideListenersServeOnlyTheirOwn(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") })
	side, err := ListenSide("the metrics port", nil, "127.0.0.1", 0, OnlyMetrics(metrics))
	if err != nil {
		t.Fatal(err)
	}
	defer side.Close()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]int{"/metrics": 200, "/metrics/": 200, "/": 404, "/v1/models": 404, "/metrics/x": 404} {
		resp, err := client.Get("http://" + side.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if _, err := ListenSide("the profile port", nil, "127.0.0.1", side.Addr().Port, metrics); err == nil || !strings.Contains(err.Error(), "the profile port cannot listen on") {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestProfilesAreForThisMachineOnly(t *testing.T) {
	h := Profiles()
	for host, want := range map[string]int{
		"localhost": 200, "localhost:6060": 200, "127.0.0.1:6060": 200, "127.9.9.9": 200, "[::1]:6060": 200,
		"evil.example": 403, "evil.example:6060": 403, "192.0.2.7:6060": 403, "localhost.evil.example": 403, "": 403,
	} {
		r := httptest.NewRequest("GET", "/debug/pprof/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: %d, want %d", host, w.Code, want)
		}
	}
	r := httptest.NewRequest("GET", "http://localhost/debug/pprof/cmdline", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if strings.Contains(w.Body.String(), "test.") { // arguments may hold keys
		t.Errorf("the command line is served: %q", w.Body.String())
	}
}

// A connection that was made before the end is answered, also when its request
// comes while the listener is being closed.
func TestASideListenerAnswersWhatHasConnected(t *testing.T) {
	side, err := ListenSide("the metrics port", nil, "127.0.0.1", 0, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") }))
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", side.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for side.open.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	done := make(chan struct{})
	go func() { side.Close(); close(done) }()
	time.Sleep(50 * time.Millisecond)
	io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") || !strings.HasSuffix(string(answer), "here") {
		t.Errorf("%q, %v", answer, err)
	}
	<-done
}
