// Package mock is a scripted upstream: an HTTP handler that answers like an
// OpenAI-compatible provider, with delays, chunk pacing, rate limits and
// faults of the caller's choice. Users point a gateway at it to measure the
// gateway; llmgw's own tests use it as their upstream.
//
// It never decodes a request body beyond the members it reacts to, and it
// answers from pieces prepared in advance, so that its own cost stays far
// below that of any gateway in front of it. It must not import other products,
// open connections, or keep request bodies.
package mock

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options says how the mock behaves. The zero value answers at once, with
// sixteen chunks of one word and without faults.
type Options struct {
	// Latency is the delay before the answer of a request that does not stream.
	Latency Dist
	// TTFT is the delay before the first event of a stream.
	TTFT Dist
	// ITL is the gap between two content events of a stream. Gaps are counted
	// from the schedule, not from the previous write, so they do not drift.
	ITL Dist

	// Chunks is the number of content events of a stream and the number of
	// completion tokens of every answer; 0 means 16. A max_tokens in the
	// request that is lower cuts the answer short.
	Chunks int
	// ChunkBytes is the length of the text of one content event; 0 means one word.
	ChunkBytes int
	// UTF8 makes the text of two-, three- and four-byte characters.
	UTF8 bool
	// Text, when set, is the answer; it is split evenly over the chunks.
	Text string

	// Fragment splits every write of a stream into writes of so many bytes, each
	// flushed on its own; 0 leaves writes whole.
	Fragment int
	// Coalesce puts so many events into one write; below 2 each event is a write.
	Coalesce int

	// Models are listed by GET /v1/models; empty means "mock". Any model name is
	// answered. A name "mock/KIND" selects the fault KIND for that request, and
	// "mock/itl-20ms" (or ttft-, latency-) a delay; both may end in "/anything".
	Models []string

	// Faults share the requests that name no fault themselves.
	Faults []Fault
	// RPM and TPM limit requests and tokens per minute; 0 means no limit.
	RPM, TPM int

	// Seed makes delays, faults and text repeatable.
	Seed uint64

	// Now and Sleep replace the clock in tests. Sleep returns early with false
	// when done is closed.
	Now   func() time.Time
	Sleep func(done <-chan struct{}, until time.Time) bool
}

// Mock is the handler. Create it with New.
type Mock struct {
	opt    Options
	limit  *limiter
	chunks []string

	answers [routeCount]answers
	seq     atomic.Uint64
	stats   counters
	models  []byte

	quit     chan struct{}
	quitOnce sync.Once
}

var _ http.Handler = (*Mock)(nil)

// New prepares a mock. It panics on nothing: options out of range take the
// nearest sensible value, because the command line checks them first.
func New(opt Options) *Mock {
	if opt.Chunks <= 0 {
		opt.Chunks = 16
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Sleep == nil {
		opt.Sleep = sleepUntil
	}
	if len(opt.Models) == 0 {
		opt.Models = []string{"mock"}
	}
	m := &Mock{opt: opt, quit: make(chan struct{})}
	m.chunks = makeText(opt)
	m.models = modelList(opt.Models)
	if opt.RPM > 0 || opt.TPM > 0 {
		m.limit = &limiter{rpm: opt.RPM, tpm: opt.TPM, now: opt.Now}
	}
	return m
}

// Close ends every request that hangs or waits, so that a server can shut down
// at once. The mock keeps answering afterwards, without delays.
func (m *Mock) Close() { m.quitOnce.Do(func() { close(m.quit) }) }

// maxBody bounds what one request may make us hold.
const maxBody = 64 << 20

var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 32<<10); return &b }}

// ServeHTTP routes by the end of the path, so that a base URL with or without
// /v1, and Azure's longer form, all work.
func (m *Mock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if r.Method == http.MethodPost {
		switch {
		case strings.HasSuffix(path, "/chat/completions"):
			m.call(w, r, routeChat)
		case strings.HasSuffix(path, "/completions"):
			m.call(w, r, routeCompletions)
		case strings.HasSuffix(path, "/embeddings"):
			m.call(w, r, routeEmbeddings)
		case strings.HasSuffix(path, "/responses"):
			m.call(w, r, routeResponses)
		case m.media(w, r):
		case path == "/__reset":
			m.stats.reset()
			w.WriteHeader(http.StatusNoContent)
		default:
			m.stats.notFound.Add(1)
			writeError(w, http.StatusNotFound, "Invalid URL (POST "+path+")")
		}
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		writeError(w, http.StatusMethodNotAllowed, "Method "+r.Method+" is not allowed here")
		return
	}
	switch {
	case strings.HasSuffix(path, "/models"):
		m.stats.models.Add(1)
		writeJSON(w, http.StatusOK, m.models)
	case path == "/__stats":
		writeJSON(w, http.StatusOK, m.stats.json())
	case path == "/" || strings.HasPrefix(path, "/health"):
		writeJSON(w, http.StatusOK, []byte(`{"status":"healthy"}`+"\n"))
	default:
		m.stats.notFound.Add(1)
		writeError(w, http.StatusNotFound, "Invalid URL (GET "+path+")")
	}
}

// call answers one request of a model route.
func (m *Mock) call(w http.ResponseWriter, r *http.Request, route route) {
	n := m.seq.Add(1)
	m.stats.routes[route].Add(1)
	m.stats.inflight.Add(1)
	defer m.stats.inflight.Add(-1)

	buf := bodies.Get().(*[]byte)
	body, err := readBody((*buf)[:0], r)
	defer func() {
		if cap(body) <= 256<<10 {
			*buf = body[:0]
			bodies.Put(buf)
		}
	}()
	if err != nil {
		m.stats.unread.Add(1)
		if errors.Is(err, errTooLarge) {
			writeError(w, http.StatusRequestEntityTooLarge, "The request body is larger than 64 MiB.")
		} else {
			writeError(w, http.StatusBadRequest, "The request body could not be read.")
		}
		return
	}
	m.stats.bytesIn.Add(uint64(len(body)))

	p, ok := peek(body)
	if !ok {
		m.stats.invalid.Add(1)
		writeError(w, http.StatusBadRequest, "We could not parse the JSON body of your request.")
		return
	}
	c := &exchange{m: m, w: w, r: r, n: n, route: route, peek: p, bodyLen: len(body)}
	c.nonce = findNonce(body)
	if h := r.Header["X-Nonce"]; len(h) == 1 && len(h[0]) <= 128 {
		w.Header()["X-Nonce"] = h
		if c.nonce == "" && validNonce(h[0]) {
			c.nonce = h[0]
		}
	}
	c.run()
}

var errTooLarge = errors.New("request body is too large")

func readBody(dst []byte, r *http.Request) ([]byte, error) {
	if n := r.ContentLength; n > maxBody {
		return dst, errTooLarge
	} else if n > int64(cap(dst)) {
		dst = make([]byte, 0, n+1)
	}
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Body.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
		if len(dst) > maxBody {
			return dst, errTooLarge
		}
	}
}

// jsonType is shared by all answers; net/http copies the slice header, never
// its content.
var jsonType = []string{"application/json"}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	_, _ = w.Write(body) // a client that left is the client's business
}

func sleepUntil(done <-chan struct{}, until time.Time) bool {
	d := time.Until(until)
	if d <= 0 {
		select {
		case <-done:
			return false
		default:
			return true
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}
