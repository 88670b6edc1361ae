package splice

import "github.com/llmgw/llmgw/pkg/proxy/call"

// answer is what one JSON object of an upstream tells: a whole response or one
// event of a stream. Spans point into the text that was read.
type answer struct {
	label
	fault  span // of a member "error" that is not null, here or in a choice
	finish span // of the last finish_reason that is not null, without quotes
	// choices is their number, -1 when there is no such array.
	choices int
	// text is the length of what the model wrote, as JSON text.
	text int
	// content is the text of the last message, without quotes.
	content span
}

// label is what an answer says of itself in every API of OpenAI's.
type label struct {
	model     span // of a string, quotes included
	id        span // of a string, without quotes
	usage     call.Usage
	usageSpan span // of an object
}

// take reads the value of a member of the answer itself if its name is one of
// label's; it leaves any other where it is.
func (l *label) take(c *cursor, k key) bool {
	start := c.i
	// No provider escapes these names; one that did would go unread, not
	// misread.
	switch string(c.b[k.start:k.end]) {
	case "model":
		if c.skip(); c.b[start] == '"' {
			l.model = span{start, c.i}
		}
	case "id":
		if c.skip(); c.b[start] == '"' {
			l.id = span{start + 1, c.i - 1}
		}
	case "usage":
		if u, ok := decodeUsage(c); ok {
			l.usage = u
		}
		if c.b[start] == '{' {
			l.usageSpan = span{start, c.i}
		}
	default:
		return false
	}
	return true
}

// read reads the object at the cursor. The cursor tells whether it failed.
func (a *answer) read(c *cursor) {
	*a = answer{choices: -1}
	for k, ok := c.first(); ok; k, ok = c.next() {
		switch string(c.b[k.start:k.end]) {
		case "choices":
			a.readChoices(c)
		case "x_groq":
			a.readGroq(c)
		case "error":
			a.readFault(c)
		case "id", "model", "usage": // asked here, too: a call for every other name is felt
			a.take(c, k)
		default:
			c.skip()
		}
	}
}

// readFault notes an error unless it is null, false or empty.
func (a *answer) readFault(c *cursor) {
	start := c.i
	if !c.skip() {
		return
	}
	switch string(c.b[start:c.i]) {
	case "null", "false", `""`, "{}":
		return
	}
	a.fault = span{start, c.i}
}

// readGroq reads the place where Groq's streams report usage.
func (a *answer) readGroq(c *cursor) {
	if c.b[c.i] != '{' {
		c.skip()
		return
	}
	for k, ok := c.first(); ok; k, ok = c.next() {
		if string(c.b[k.start:k.end]) != "usage" {
			c.skip()
			continue
		}
		if u, ok := decodeUsage(c); ok && !a.usage.Known {
			a.usage = u
		}
	}
}

func (a *answer) readChoices(c *cursor) {
	if c.b[c.i] != '[' {
		c.skip()
		return
	}
	a.choices = 0
	c.enter('[')
	for first := true; c.element(first); first = false {
		a.choices++
		if c.b[c.i] != '{' {
			c.skip()
			continue
		}
		a.readChoice(c)
	}
}

func (a *answer) readChoice(c *cursor) {
	for k, ok := c.first(); ok; k, ok = c.next() {
		start := c.i
		switch string(c.b[k.start:k.end]) {
		case "finish_reason":
			if c.skip(); c.bad < 0 && c.b[start] == '"' {
				a.finish = span{start + 1, c.i - 1}
			}
		case "delta", "message":
			a.readMessage(c)
		case "text":
			if c.skip(); c.bad < 0 && c.b[start] == '"' {
				a.text += c.i - start - 2
			}
		case "error":
			a.readFault(c)
		default:
			c.skip()
		}
	}
}

// readMessage measures what the model wrote.
func (a *answer) readMessage(c *cursor) {
	if c.b[c.i] != '{' {
		c.skip()
		return
	}
	for k, ok := c.first(); ok; k, ok = c.next() {
		start := c.i
		if !c.skip() {
			return
		}
		switch string(c.b[k.start:k.end]) {
		case "content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call":
			if c.b[start] != 'n' {
				a.text += c.i - start - 2
			}
			if c.b[start] == '"' && c.b[k.start] == 'c' && k.end-k.start == len("content") {
				a.content = span{start + 1, c.i - 1}
			}
		}
	}
}
