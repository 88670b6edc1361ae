package otel

import (
	"encoding/binary"
	"math"
)

// message is an encoded protobuf message. OTLP needs a handful of field types:
// a module for them, and the SDK above it, would cost six megabytes of binary.
type message []byte

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func (m *message) tag(field, wire int) { *m = binary.AppendUvarint(*m, uint64(field)<<3|uint64(wire)) } //nolint:gosec // small

func (m *message) varint(field int, v uint64) {
	m.tag(field, wireVarint)
	*m = binary.AppendUvarint(*m, v)
}

func (m *message) fixed64(field int, v uint64) {
	m.tag(field, wireFixed64)
	*m = binary.LittleEndian.AppendUint64(*m, v)
}

func (m *message) fixed32(field int, v uint32) {
	m.tag(field, wireFixed32)
	*m = binary.LittleEndian.AppendUint32(*m, v)
}

func (m *message) double(field int, v float64) { m.fixed64(field, math.Float64bits(v)) }

func (m *message) bytes(field int, v []byte) {
	m.tag(field, wireBytes)
	*m = binary.AppendUvarint(*m, uint64(len(v)))
	*m = append(*m, v...)
}

func (m *message) text(field int, v string) {
	m.tag(field, wireBytes)
	*m = binary.AppendUvarint(*m, uint64(len(v)))
	*m = append(*m, v...)
}

// nested writes a message within the message. Its length stands before it and is
// known after it, so it is moved to make room.
func (m *message) nested(field int, write func(*message)) {
	m.tag(field, wireBytes)
	start := len(*m)
	write(m)
	var room [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(room[:], uint64(len(*m)-start))
	*m = append(*m, room[:n]...)
	copy((*m)[start+n:], (*m)[start:len(*m)-n])
	copy((*m)[start:], room[:n])
}

// attr is an attribute. The kinds of values are those that are used.
type attr struct {
	key   string
	value any // string, int64, float64, bool, []string, []attr
}

func (m *message) attributes(field int, list []attr) {
	for i := range list {
		m.nested(field, func(m *message) {
			m.text(1, list[i].key)
			m.nested(2, func(m *message) { m.any(list[i].value) })
		})
	}
}

func (m *message) any(value any) {
	switch v := value.(type) {
	case string:
		m.text(1, v)
	case bool:
		n := uint64(0)
		if v {
			n = 1
		}
		m.varint(2, n)
	case int64:
		m.varint(3, uint64(v)) //nolint:gosec // two's complement is what the format wants
	case float64:
		m.double(4, v)
	case []attr:
		m.nested(6, func(m *message) { m.attributes(1, v) })
	case []string:
		m.nested(5, func(m *message) {
			for _, s := range v {
				m.nested(1, func(m *message) { m.text(1, s) })
			}
		})
	}
}
