package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

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
	h := sha256.New()
	field := func(text string) {
		// A length in front keeps two fields from running into each other.
		var n [4]byte
		n[0], n[1], n[2], n[3] = byte(len(text)>>24), byte(len(text)>>16), byte(len(text)>>8), byte(len(text))
		h.Write(n[:])
		h.Write([]byte(text))
	}
	field(q.Kind)
	if group, ok := c.o.Groups[q.Model]; ok {
		field(group)
	} else {
		field(q.Model)
	}
	switch {
	case q.Caller == nil:
	case c.o.Scope == "key":
		field(q.Caller.KeyHash)
	case c.o.Scope == "team":
		field(q.Caller.TeamID)
	}
	var space bytes.Buffer
	for _, m := range list {
		space.Reset()
		if json.Compact(&space, m.value) != nil {
			space.Write(m.value)
		}
		field(string(m.name))
		field(space.String())
	}
	sum := h.Sum(nil)
	return c.prefix(control.namespace) + hex.EncodeToString(sum)
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
