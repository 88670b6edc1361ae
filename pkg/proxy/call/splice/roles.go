package splice

import "bytes"

// developer is the role that OpenAI has made of system, as it is written.
var developer = []byte(`"developer"`)

// says reports whether the value of a member may hold the role.
func (r *Request) says(e *entry) bool {
	return bytes.Contains(r.body[e.value:e.end], developer)
}

// appendMessages appends messages with the role developer as system, for
// upstreams that do not know it. What is no list of objects is appended as it
// stands.
func (r *Request) appendMessages(dst []byte, e *entry) []byte {
	c := cursor{b: r.body[:e.end], i: int(e.value), bad: -1, nest: &r.nest}
	from := c.i
	if c.b[c.i] == '[' && c.enter('[') {
		for ok := c.element(true); ok; ok = c.element(false) {
			if c.b[c.i] != '{' {
				c.skip()
				continue
			}
			for k, ok := c.first(); ok; k, ok = c.next() {
				start := c.i
				if !c.skip() {
					break
				}
				if bytes.Equal(c.b[start:c.i], developer) && keyIs(c.b[k.start:k.end], k.escaped, "role") {
					dst = append(dst, c.b[from:start]...)
					dst = append(dst, `"system"`...)
					from = c.i
				}
			}
		}
	}
	return append(dst, r.body[from:e.end]...)
}
