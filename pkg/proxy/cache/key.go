package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"sync"

	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// mark is in every key of ours. LiteLLM's keys depend on the order in which
// Python holds a call's arguments and on how it prints them, which is no
// contract: neither side reads what the other has written.
const mark = "llmgw1:"

// key names a request: everything in it that reaches an upstream, but for
// metadata, in an order of its own. element, when not nil, stands in place of
// the request's input.
func (c *Cache) key(q *wire.CacheQuery, control controls, element []byte) string {
	type member struct{ name, value []byte }
	var list []member
	q.Request.Each(func(m splice.Member, name, value []byte) {
		if m.Strips() || m == splice.Metadata || m == splice.Model || string(value) == "null" {
			return
		}
		if m == splice.Input && element != nil {
			value = element
		}
		list = append(list, member{name, value})
	})
	slices.SortFunc(list, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	text := keyText.Get().(*[]byte)
	defer keyText.Put(text)
	t := appendField((*text)[:0], q.Kind)
	if group, ok := c.o.Groups[q.Model]; ok {
		t = appendField(t, group)
	} else {
		t = appendField(t, q.Model)
	}
	switch {
	case q.Caller == nil:
	case c.o.Scope == "key":
		t = appendField(t, q.Caller.KeyHash)
	case c.o.Scope == "team":
		t = appendField(t, q.Caller.TeamID)
	}
	for _, m := range list {
		t = appendField(t, m.name)
		begin := len(t)
		t = appendDense(append(t, 0, 0, 0, 0), m.value)
		binary.BigEndian.PutUint32(t[begin:], uint32(len(t)-begin-4))
	}
	sum := sha256.Sum256(t)
	if *text = t; cap(t) > maxKeyText {
		*text = nil
	}
	return c.prefix(control.namespace) + hex.EncodeToString(sum[:])
}

// keyText holds what keys are made of while they are hashed: a few hundred
// bytes as a rule, as much as a request's body at most.
var keyText = sync.Pool{New: func() any { return new([]byte) }}

const maxKeyText = 64 << 10

// appendField appends a text behind its length, which keeps two fields from
// running into each other.
func appendField[T string | []byte](dst []byte, text T) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(text))), text...)
}

// appendDense appends a JSON value without the white space between its parts,
// as json.Compact does. Space that no comma, colon or bracket touches, which no
// valid value has, stays as one blank, so that only valid spellings of one value
// come out equal.
func appendDense(dst, value []byte) []byte {
	structural := func(b byte) bool {
		switch b {
		case '{', '}', '[', ']', ',', ':':
			return true
		}
		return false
	}
	from, quoted := 0, false // what begins at from is not appended yet
	for i := 0; i < len(value); i++ {
		b := value[i]
		switch {
		case b == '"':
			quoted = !quoted
		case quoted && b == '\\':
			i++
		case quoted || b != ' ' && b != '\t' && b != '\n' && b != '\r':
		default:
			end := i + 1
			for end < len(value) && (value[end] == ' ' || value[end] == '\t' || value[end] == '\n' || value[end] == '\r') {
				end++
			}
			dst = append(dst, value[from:i]...)
			if i > 0 && end < len(value) && !structural(value[i-1]) && !structural(value[end]) {
				dst = append(dst, ' ')
			}
			from, i = end, end-1
		}
	}
	return append(dst, value[min(from, len(value)):]...)
}

// prefix is what stands before the hash. The request's namespace lies inside
// the configuration's, so that a flush finds it.
func (c *Cache) prefix(namespace string) string {
	var b strings.Builder
	if c.o.Namespace != "" {
		b.WriteString(c.o.Namespace)
		b.WriteByte(':')
	}
	if namespace != "" && namespace != c.o.Namespace {
		b.WriteString(namespace)
		b.WriteByte(':')
	}
	b.WriteString(mark)
	return b.String()
}

const hashLength = 2 * sha256.Size

// ours reports whether a key of Redis belongs to this cache.
func (c *Cache) ours(key string) bool {
	if c.o.Namespace != "" && !strings.HasPrefix(key, c.o.Namespace+":") {
		return false
	}
	if len(key) < len(mark)+hashLength {
		return false
	}
	head, hash := key[:len(key)-hashLength], key[len(key)-hashLength:]
	if !strings.HasSuffix(head, mark) || len(head) > len(mark) && head[len(head)-len(mark)-1] != ':' {
		return false
	}
	for _, b := range []byte(hash) {
		if (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return true
}
