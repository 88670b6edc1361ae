package splice

import (
	"strconv"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Measure adds to u what an answer says it used and that is not counted in
// tokens: the images in its data, the seconds of sound that were written down,
// the search units of a reranking. It reports whether there was anything.
func Measure(raw []byte, u *call.Usage) (found bool) {
	var n nest
	c := cursor{b: raw, bad: -1, lax: true, nest: &n}
	if !c.space() || c.b[c.i] != '{' {
		return false
	}
	read := *u
	c.object(func(name string) {
		switch name {
		case "data":
			if c.b[c.i] != '[' {
				c.skip()
				return
			}
			c.enter('[')
			for first := true; c.element(first); first = false {
				read.Images++
				c.skip()
			}
			found = found || read.Images > 0
		case "duration":
			found = c.seconds(&read.Seconds) || found
		case "usage":
			c.object(func(name string) {
				switch name {
				case "seconds", "duration_seconds":
					found = c.seconds(&read.Seconds) || found
				case "search_units":
					read.Queries, found = c.count(read.Queries, found)
				default:
					c.skip()
				}
			})
		case "meta":
			c.object(func(name string) {
				if name != "billed_units" {
					c.skip()
					return
				}
				c.object(func(name string) {
					if name != "search_units" {
						c.skip()
						return
					}
					read.Queries, found = c.count(read.Queries, found)
				})
			})
		default:
			c.skip()
		}
	})
	if c.bad >= 0 || !found {
		return false
	}
	*u = read
	return true
}

// object visits the members of the object at the cursor; visit must consume each
// value. Anything else is skipped.
func (c *cursor) object(visit func(name string)) {
	if c.b[c.i] != '{' {
		c.skip()
		return
	}
	for k, ok := c.first(); ok; k, ok = c.next() {
		visit(string(c.b[k.start:k.end]))
		if c.bad >= 0 {
			return
		}
	}
}

// seconds reads a number of seconds, which some servers write as text.
func (c *cursor) seconds(to *float64) bool {
	start := c.i
	if !c.skip() {
		return false
	}
	text := c.b[start:c.i]
	if len(text) >= 2 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(f >= 0 && f < 1e9) {
		return false
	}
	*to = f
	return true
}
