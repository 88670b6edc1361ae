package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ParseLevel reads LITELLM_LOG. An unknown word is not a level.
func ParseLevel(word string) (slog.Level, bool) {
	switch strings.ToUpper(strings.TrimSpace(word)) {
	case "DEBUG":
		return slog.LevelDebug, true
	case "INFO":
		return slog.LevelInfo, true
	case "WARNING", "WARN":
		return slog.LevelWarn, true
	case "ERROR":
		return slog.LevelError, true
	case "CRITICAL":
		return slog.LevelError + 4, true
	}
	return 0, false
}

// LevelName is LiteLLM's name of a level.
func LevelName(l slog.Level) string {
	switch {
	case l > slog.LevelError:
		return "CRITICAL"
	case l >= slog.LevelError:
		return "ERROR"
	case l >= slog.LevelWarn:
		return "WARNING"
	case l >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}

// NewLogger returns a logger in LiteLLM's plain form ("12:34:56 - LiteLLM
// Proxy:WARNING: text") or, with asJSON, its JSON records.
func NewLogger(w io.Writer, level slog.Level, asJSON bool) *slog.Logger {
	return slog.New(&handler{w: w, level: level, json: asJSON, mu: &sync.Mutex{}})
}

// handler implements slog.Handler.
type handler struct {
	w     io.Writer
	level slog.Level
	json  bool
	mu    *sync.Mutex
	attrs []slog.Attr
	group string
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append(append([]slog.Attr(nil), h.attrs...), h.prefixed(attrs)...)
	return &c
}

func (h *handler) WithGroup(name string) slog.Handler {
	c := *h
	c.group = h.group + name + "."
	return &c
}

func (h *handler) prefixed(attrs []slog.Attr) []slog.Attr {
	if h.group == "" {
		return attrs
	}
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = slog.Attr{Key: h.group + a.Key, Value: a.Value}
	}
	return out
}

const component = "LiteLLM Proxy"

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	attrs := append([]slog.Attr(nil), h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, h.prefixed([]slog.Attr{a})...)
		return true
	})
	var b []byte
	if h.json {
		b = h.record(r, attrs)
	} else {
		b = fmt.Appendf(b, "%s - %s:%s: %s", r.Time.Format("15:04:05"), component, LevelName(r.Level), oneLine(r.Message))
		for _, a := range attrs {
			text := oneLine(a.Value.Resolve().String())
			if text == "" || strings.ContainsAny(text, " =\"") {
				text = strconv.Quote(text)
			}
			b = fmt.Appendf(b, " %s=%s", a.Key, text)
		}
	}
	b = append(b, '\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.w.Write(b)
	return err
}

func (h *handler) record(r slog.Record, attrs []slog.Attr) []byte {
	m := map[string]any{
		"message":   r.Message,
		"level":     LevelName(r.Level),
		"timestamp": r.Time.Format("2006-01-02T15:04:05.000000"),
		"component": component,
	}
	if r.PC != 0 {
		f, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		m["logger"] = fmt.Sprintf("%s:%d", f.File[strings.LastIndexByte(f.File, '/')+1:], f.Line)
	}
	for _, a := range attrs {
		if _, taken := m[a.Key]; !taken {
			v := a.Value.Resolve()
			switch x := v.Any().(type) {
			case error:
				m[a.Key] = x.Error()
			case time.Duration:
				m[a.Key] = x.String() // with its unit, as in the text
			default:
				m[a.Key] = x
			}
		}
	}
	b, err := plainJSON(m)
	if err != nil { // a value that JSON does not know: its text will do
		for _, a := range attrs {
			m[a.Key] = a.Value.Resolve().String()
		}
		b, _ = plainJSON(m)
	}
	return b
}

// plainJSON leaves < and > readable: positions such as <env> are no HTML.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// oneLine keeps a record on its line: what it quotes may hold anything.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\n\r") {
		return s
	}
	return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s)
}

// Access writes a line for every finished request, in the form of uvicorn's or
// as a JSON record.
type Access struct {
	w    io.Writer
	json bool
	// Skip are paths without a line (LITELLM_DISABLE_ACCESS_LOG_PATHS).
	skip map[string]bool
	bufs sync.Pool
}

// NewAccess returns an access log.
func NewAccess(w io.Writer, asJSON bool, skip []string) *Access {
	a := &Access{w: w, json: asJSON, skip: map[string]bool{}}
	for _, path := range skip {
		if path = strings.TrimSpace(path); path != "" {
			a.skip[path] = true
		}
	}
	a.bufs.New = func() any { b := make([]byte, 0, 256); return &b }
	return a
}

// Line implements the handlers' access log. The query is left out: it may hold
// a key.
func (a *Access) Line(r *http.Request, status int) {
	if a.skip[r.URL.Path] {
		return
	}
	p := a.bufs.Get().(*[]byte)
	b := (*p)[:0]
	path := r.URL.EscapedPath()
	if a.json {
		b = append(b, `{"message":`...)
		b = appendMessage(b, r, path, status)
		b = append(b, `,"level":"INFO","timestamp":"`...)
		b = time.Now().AppendFormat(b, "2006-01-02T15:04:05.000000")
		b = append(b, `","component":"uvicorn.access"}`...)
	} else {
		b = append(b, "INFO:     "...)
		b = append(b, r.RemoteAddr...)
		b = append(b, ` - "`...)
		b = append(b, clean(r.Method)...)
		b = append(b, ' ')
		b = append(b, path...)
		b = append(b, ' ')
		b = append(b, r.Proto...)
		b = append(b, `" `...)
		b = strconv.AppendInt(b, int64(status), 10)
		if text := statusText(status); text != "" {
			b = append(b, ' ')
			b = append(b, text...)
		}
	}
	b = append(b, '\n')
	_, _ = a.w.Write(b)
	*p = b
	a.bufs.Put(p)
}

// appendMessage appends uvicorn's line as a JSON string.
func appendMessage(b []byte, r *http.Request, path string, status int) []byte {
	if !plain(r.RemoteAddr) || !plain(r.Method) || !plain(path) || !plain(r.Proto) {
		text, _ := json.Marshal(fmt.Sprintf(`%s - "%s %s %s" %d`, r.RemoteAddr, r.Method, path, r.Proto, status))
		return append(b, text...)
	}
	b = append(b, '"')
	b = append(b, r.RemoteAddr...)
	b = append(b, ` - \"`...)
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, path...)
	b = append(b, ' ')
	b = append(b, r.Proto...)
	b = append(b, `\" `...)
	b = strconv.AppendInt(b, int64(status), 10)
	return append(b, '"')
}

// plain reports whether a text stands in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func clean(method string) string {
	if len(method) > 32 {
		return method[:32]
	}
	return method
}

func statusText(status int) string {
	if status == 499 {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}
