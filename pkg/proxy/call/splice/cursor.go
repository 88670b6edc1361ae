package splice

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// MaxDepth is the deepest nesting of arrays and objects that is read.
const MaxDepth = 10_000

// nest remembers for each open container whether it is an object.
// Few bodies need more than the first word; the rest is kept for them, since a
// stream holds on to its own as long as it lasts.
type nest struct {
	low  uint64
	more []uint64 // from level 64 on
}

func (n *nest) set(depth int, object bool) {
	word := &n.low
	if depth >= 64 {
		word = n.deep(depth)
	}
	if object {
		*word |= 1 << (depth & 63)
	} else {
		*word &^= 1 << (depth & 63)
	}
}

// deep returns the word of a level from 64 on.
func (n *nest) deep(depth int) *uint64 {
	w := depth>>6 - 1
	for w >= len(n.more) {
		n.more = append(n.more, 0)
	}
	return &n.more[w]
}

func (n *nest) object(depth int) bool {
	word := n.low
	if depth >= 64 {
		word = n.more[depth>>6-1]
	}
	return word>>(depth&63)&1 == 1
}

// cursor walks JSON text forward. A failure sticks: bad holds the offset of the
// first byte that cannot be, and every later step reports failure as well.
//
// Strings are checked for their escapes but neither for control characters nor
// for valid UTF-8: those pass untouched, the upstream judges them.
type cursor struct {
	b     []byte
	i     int
	depth int
	bad   int // -1 while all is well
	deep  bool
	// lax accepts the numbers NaN, Infinity and -Infinity, which Python writes.
	lax  bool
	nest *nest
}

// fail records the first failure.
func (c *cursor) fail(at int) {
	if c.bad < 0 {
		c.bad = at
	}
}

// space skips white space and reports whether a byte follows.
func (c *cursor) space() bool {
	b, i := c.b, c.i
	for i < len(b) && b[i] <= ' ' {
		if b[i] != ' ' && b[i] != '\n' && b[i] != '\r' && b[i] != '\t' {
			break
		}
		i++
	}
	c.i = i
	return i < len(b)
}

// enter consumes the opening byte of a container at the cursor.
func (c *cursor) enter(open byte) bool {
	if c.bad >= 0 || c.i >= len(c.b) || c.b[c.i] != open {
		c.fail(c.i)
		return false
	}
	if c.depth >= MaxDepth {
		c.deep = true
		c.fail(c.i)
		return false
	}
	c.depth++
	c.i++
	return true
}

// key is a member's name as written, without its quotes.
type key struct {
	start, end int
	escaped    bool
}

// member moves to the value of the next member of the object that was entered.
// It returns false at the closing brace, which it consumes, and on failure.
func (c *cursor) member(first bool) (k key, ok bool) {
	if !c.separator(first, '}') {
		return k, false
	}
	if c.b[c.i] != '"' {
		c.fail(c.i)
		return k, false
	}
	k.start = c.i + 1
	k.escaped = c.text()
	if c.bad >= 0 {
		return k, false
	}
	k.end = c.i - 1
	if !c.space() || c.b[c.i] != ':' {
		c.fail(c.i)
		return k, false
	}
	c.i++
	if !c.space() {
		c.fail(c.i)
		return k, false
	}
	return k, true
}

// first enters the object at the cursor and moves to the value of its first
// member; next moves to the one after it:
//
//	for k, ok := c.first(); ok; k, ok = c.next() {
//
// The body consumes the value. A failure ends the loop.
func (c *cursor) first() (key, bool) {
	if !c.enter('{') {
		return key{}, false
	}
	return c.member(true)
}

func (c *cursor) next() (key, bool) { return c.member(false) }

// element moves to the next element of the array that was entered. It returns
// false at the closing bracket, which it consumes, and on failure.
func (c *cursor) element(first bool) bool { return c.separator(first, ']') }

// separator stands after the opening byte or after a value. It consumes a comma
// where one must be, or the closing byte.
func (c *cursor) separator(first bool, closing byte) bool {
	if c.bad >= 0 {
		return false
	}
	if !c.space() {
		c.fail(c.i)
		return false
	}
	if c.b[c.i] == closing {
		c.i++
		c.depth--
		return false
	}
	if first {
		return true
	}
	if c.b[c.i] != ',' {
		c.fail(c.i)
		return false
	}
	c.i++
	if !c.space() {
		c.fail(c.i)
		return false
	}
	return true
}

// skip moves behind the value at the cursor.
func (c *cursor) skip() bool {
	if c.bad >= 0 {
		return false
	}
	if c.i >= len(c.b) {
		c.fail(c.i)
		return false
	}
	switch c.b[c.i] {
	case '"':
		c.text()
	case '{', '[':
		c.container()
	default:
		c.scalar()
	}
	return c.bad < 0
}

// container skips a whole object or array.
func (c *cursor) container() {
	b := c.b
	base := c.depth
	object := false
value:
	for {
		// At the first byte of a value.
		switch b[c.i] {
		case '{', '[':
			if c.depth >= MaxDepth {
				c.deep = true
				c.fail(c.i)
				return
			}
			object = b[c.i] == '{'
			c.nest.set(c.depth, object)
			c.depth++
			c.i++
			if !c.space() {
				c.fail(c.i)
				return
			}
			if object && b[c.i] != '}' {
				if !c.name() {
					return
				}
				continue value
			}
			if !object && b[c.i] != ']' {
				continue value
			}
		case '"':
			c.text()
		default:
			c.scalar()
		}
		// Behind a value, or at the closing byte of an empty container.
		for {
			if c.bad >= 0 {
				return
			}
			if !c.space() {
				c.fail(c.i)
				return
			}
			switch b[c.i] {
			case ',':
				c.i++
				if !c.space() {
					c.fail(c.i)
					return
				}
				if object && !c.name() {
					return
				}
				continue value
			case '}', ']':
				if object != (b[c.i] == '}') {
					c.fail(c.i)
					return
				}
				c.i++
				c.depth--
				if c.depth == base {
					return
				}
				object = c.nest.object(c.depth - 1)
			default:
				c.fail(c.i)
				return
			}
		}
	}
}

// name skips a member's name and its colon, up to the first byte of the value.
func (c *cursor) name() bool {
	if c.b[c.i] != '"' {
		c.fail(c.i)
		return false
	}
	c.text()
	if c.bad >= 0 {
		return false
	}
	if !c.space() || c.b[c.i] != ':' {
		c.fail(c.i)
		return false
	}
	c.i++
	if !c.space() {
		c.fail(c.i)
		return false
	}
	return true
}

const (
	ones     = 0x0101010101010101
	tops     = 0x8080808080808080
	quotes   = '"' * ones
	slashes  = '\\' * ones
	swarSpan = 32 // bytes tried by words before the vector search takes over
)

// text skips the string at the cursor and reports whether it holds escapes.
func (c *cursor) text() (escaped bool) {
	b := c.b
	i := c.i + 1
	quote := -1 // the next quote, escaped or not, when it is known to be at or behind i
	for {
		// Most strings are names and short values, and text is often full of
		// escapes: look at a few words first.
		found := false
		for stop := i + swarSpan; i < stop && i+8 <= len(b); i += 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			q, s := w^quotes, w^slashes
			// The lowest set top bit of each term is exact: it marks the first match.
			if hit := ((q - ones) &^ q & tops) | ((s - ones) &^ s & tops); hit != 0 {
				i += bits.TrailingZeros64(hit) >> 3
				found = true
				break
			}
		}
		if !found {
			// A long stretch: search it by vectors, for the quote only once.
			if quote < i {
				n := bytes.IndexByte(b[i:], '"')
				if n < 0 {
					c.fail(len(b))
					return escaped
				}
				quote = i + n
			}
			if n := bytes.IndexByte(b[i:quote], '\\'); n >= 0 {
				i += n
			} else {
				i = quote
			}
		}
		if b[i] == '"' {
			c.i = i + 1
			return escaped
		}
		escaped = true
		if i++; i >= len(b) {
			c.fail(i)
			return escaped
		}
		switch b[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i++
		case 'u':
			if i+5 > len(b) {
				c.fail(len(b))
				return escaped
			}
			if !hex4(b[i+1 : i+5]) {
				c.fail(i)
				return escaped
			}
			i += 5
		default:
			c.fail(i)
			return escaped
		}
	}
}

func hex4(b []byte) bool {
	for _, x := range b {
		if !('0' <= x && x <= '9' || 'a' <= x|0x20 && x|0x20 <= 'f') {
			return false
		}
	}
	return true
}

// scalar skips a number or one of the literals.
func (c *cursor) scalar() {
	b, i := c.b, c.i
	switch b[i] {
	case 't':
		c.literal("true")
		return
	case 'f':
		c.literal("false")
		return
	case 'n':
		c.literal("null")
		return
	case 'N':
		if c.lax {
			c.literal("NaN")
			return
		}
	case 'I':
		if c.lax {
			c.literal("Infinity")
			return
		}
	}
	if b[i] == '-' {
		i++
		if c.lax && i < len(b) && b[i] == 'I' {
			c.i = i
			c.literal("Infinity")
			return
		}
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && '1' <= b[i] && b[i] <= '9':
		i = digits(b, i)
	default:
		c.fail(i)
		return
	}
	if i < len(b) && b[i] == '.' {
		start := i + 1
		if i = digits(b, start); i == start {
			c.fail(i)
			return
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start := i
		if i = digits(b, start); i == start {
			c.fail(i)
			return
		}
	}
	c.i = i
}

func digits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

func (c *cursor) literal(word string) {
	if len(c.b)-c.i < len(word) || string(c.b[c.i:c.i+len(word)]) != word {
		c.fail(c.i)
		return
	}
	c.i += len(word)
}
