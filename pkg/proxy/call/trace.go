package call

import (
	"encoding/binary"
	"encoding/hex"
)

// Trace is a call's place in a distributed trace, in the terms of W3C Trace
// Context. Only calls that are traced have one.
type Trace struct {
	TraceID [16]byte
	// Parent is the client's span, zero without one; Span is the call's own.
	Parent, Span [8]byte
	Sampled      bool
	// State is the client's tracestate; it is passed on as it came.
	State string
	// AnswerID, Model and Finish are what the answer said about itself; Model is
	// the upstream's name.
	AnswerID, Model, Finish string
}

// TraceText is the trace's id as people write it.
func (t *Trace) TraceText() string { return hex.EncodeToString(t.TraceID[:]) }

// Attempt is the span of the n-th attempt. It is computed, so that whoever sends
// the attempt and whoever tells of it later agree without keeping it.
func (t *Trace) Attempt(n int) (id [8]byte) {
	x := binary.BigEndian.Uint64(t.Span[:]) + uint64(n)*0x9e3779b97f4a7c15 //nolint:gosec // a name, not a secret
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	binary.BigEndian.PutUint64(id[:], max(x, 1))
	return id
}

// Header is the traceparent that the n-th attempt takes to its upstream.
func (t *Trace) Header(n int) string {
	span := t.Attempt(n)
	b := append(make([]byte, 0, 55), "00-"...)
	b = hex.AppendEncode(b, t.TraceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, span[:])
	if t.Sampled {
		return string(append(b, "-01"...))
	}
	return string(append(b, "-00"...))
}
