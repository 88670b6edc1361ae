package otel

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Sampler decides which calls are traced.
type Sampler struct {
	// Parent follows the decision of a client that has made one.
	Parent bool
	// Share of the rest that is traced, 0 to 1.
	Share float64
}

// Begin starts a call's part of a trace: the client's trace goes on, or a new one
// begins.
func (e *Exporter) Begin(h http.Header) *call.Trace {
	t := &call.Trace{}
	binary.BigEndian.PutUint64(t.Span[:], rand.Uint64()|1)
	parent := ""
	if list := h["Traceparent"]; len(list) == 1 && !e.o.IgnoreParent {
		parent = list[0]
	}
	sampled, ok := parse(parent, t)
	if ok {
		if state := strings.Join(h["Tracestate"], ","); len(state) <= maxState {
			t.State = state
		}
		if e.o.Sampler.Parent {
			t.Sampled = sampled
			return t
		}
	} else {
		binary.BigEndian.PutUint64(t.TraceID[:8], rand.Uint64())
		binary.BigEndian.PutUint64(t.TraceID[8:], rand.Uint64()|1)
	}
	// The same trace is decided on in the same way everywhere: by its id.
	t.Sampled = e.o.Sampler.Share >= 1 ||
		float64(binary.BigEndian.Uint64(t.TraceID[8:])>>1) < e.o.Sampler.Share*(1<<63)
	return t
}

// maxState is as much of tracestate as has to be passed on.
const maxState = 512

// parse reads a traceparent of W3C Trace Context. What is not one is as good as
// none.
func parse(s string, t *call.Trace) (sampled, ok bool) {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || strings.ToLower(s) != s {
		return false, false
	}
	var version, flags [1]byte
	var id [16]byte
	var span [8]byte
	for _, part := range []struct {
		to   []byte
		from string
	}{{version[:], s[:2]}, {id[:], s[3:35]}, {span[:], s[36:52]}, {flags[:], s[53:55]}} {
		if _, err := hex.Decode(part.to, []byte(part.from)); err != nil {
			return false, false
		}
	}
	switch {
	case version[0] == 0xff, version[0] == 0 && len(s) != 55, len(s) > 55 && s[55] != '-', id == [16]byte{}, span == [8]byte{}:
		return false, false
	}
	t.TraceID, t.Parent = id, span
	return flags[0]&1 == 1, true
}
