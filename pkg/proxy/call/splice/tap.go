package splice

import (
	"bytes"
	"unicode/utf8"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// DefaultMaxEvent bounds one event of a stream: images and audio travel in
// single events of megabytes.
const DefaultMaxEvent = 16 << 20

const maxHeld = 16 << 10 // of comments in front of the first event

// doneEvent ends a stream.
const doneEvent = "data: [DONE]\n\n"

// TapOptions say how one stream is changed on its way.
type TapOptions struct {
	// Model is put into every event that names a model; empty leaves them.
	Model string
	// StripUsage holds back the usage event, for clients that did not ask.
	StripUsage bool
	// DropEmpty holds back events without choices and without usage, which
	// Azure sends first and which crash clients.
	DropEmpty bool
	// MaxEvent bounds one event; 0 means DefaultMaxEvent.
	MaxEvent int
	// Repeats is how often a model may say the same in a row, by pieces of more
	// than two characters; 0 does not count.
	Repeats int
}

// Tap relays one stream of server-sent events of the OpenAI kind. Bytes go in
// by Space and Advance (or Feed), whole events come out as soon as their blank
// line is there, and Finish says how the stream ended. The result does not
// depend on where the bytes were cut.
//
// Until the first event that goes to the client nothing comes out, so that a
// caller which sends its status with the first output can still answer with an
// error status.
//
// The slices that Advance, Feed and Finish return are valid until the next call.
type Tap struct {
	opts  TapOptions
	model []byte // quoted
	named []byte // what the upstream calls it

	buffers // buf[event:] is not yet relayed
	// event is the start of the current event, line of the current line.
	event, line int
	// lf and cr are the next line ends from line on, when known; lfSeen and
	// crSeen are how far the search got.
	lf, cr, lfSeen, crSeen int
	// data is the value of the event's first data line, relative to event.
	data  span
	lines int // data lines of the event
	// afterCR says that a line end \r was the last byte read: a \n that follows
	// belongs to it. tail says what becomes of it at the end of an event.
	afterCR bool
	tail    tailAction
	// respelled says that the event went out with an end of our own.
	respelled bool
	held      []byte // comments in front of the first event
	joined    []byte // data of an event with several data lines
	started   bool   // output has been produced
	bom       bool   // the first line has been looked at
	junk      bool   // lines that no event stream has
	raw       bool   // the body is no event stream at all
	done      bool   // [DONE] was seen
	err       error

	last    []byte // what the model said last, and how often in a row
	repeats int

	answer   answer
	nest     nest
	events   int
	usage    call.Usage
	text     int
	id       []byte
	finish   []byte
	finished bool
}

type tailAction uint8

const (
	tailInside tailAction = iota // the \n is part of the current event
	tailForward
	tailDrop
)

// Reset makes the tap ready for a new stream. It keeps buffers of usual size.
func (t *Tap) Reset(o TapOptions) {
	if o.MaxEvent <= 0 {
		o.MaxEvent = DefaultMaxEvent
	}
	// Zeroed in place: a literal would first be built on the stack, and 2 KB
	// there double the stack of every stream.
	t.Close()
	model, held, joined, id, finish, named, last := t.model[:0], keep(t.held), keep(t.joined), keep(t.id), keep(t.finish), keep(t.named), keep(t.last)
	*t = Tap{}
	t.opts, t.model, t.held, t.joined, t.id, t.finish, t.named, t.last = o, model, held, joined, id, finish, named, last
	if o.Model != "" {
		t.model = appendQuoted(t.model, o.Model)
	}
	t.lf, t.cr = -1, -1
}

func keep(b []byte) []byte {
	if cap(b) > keepBuffer {
		return nil
	}
	return b[:0]
}

// Space returns room for the next read.
func (t *Tap) Space() []byte {
	t.takeInput()
	free := cap(t.buf) - len(t.buf)
	if free < firstBuffer/2 && t.event > 0 {
		t.compact()
		free = cap(t.buf) - len(t.buf)
	}
	if free < firstBuffer/2 {
		t.grow()
	}
	return t.buf[len(t.buf):cap(t.buf)]
}

// compact moves what is not yet relayed to the front.
func (t *Tap) compact() {
	d := t.event
	n := copy(t.buf, t.buf[d:])
	t.buf = t.buf[:n]
	t.event = 0
	t.line -= d
	t.lfSeen = max(t.lfSeen-d, 0)
	t.crSeen = max(t.crSeen-d, 0)
	if t.lf >= 0 {
		t.lf -= d
	}
	if t.cr >= 0 {
		t.cr -= d
	}
}

// Advance takes the first n bytes of the last Space and returns what goes to
// the client. After an error the output that comes with it is still good; more
// input is ignored.
func (t *Tap) Advance(n int) (out []byte, err error) {
	t.clearOutput()
	t.advance(n)
	return t.out, t.err
}

// Feed is Advance for bytes that lie elsewhere.
func (t *Tap) Feed(p []byte) (out []byte, err error) {
	t.clearOutput()
	for len(p) > 0 && t.err == nil {
		n := copy(t.Space(), p)
		p = p[n:]
		t.advance(n)
	}
	return t.out, t.err
}

func (t *Tap) advance(n int) {
	if t.err != nil || t.done {
		return // what follows the end is of no interest
	}
	filled := n > 0 && len(t.buf)+n == cap(t.buf)
	t.buf = t.buf[:len(t.buf)+n]
	if t.raw {
		t.limitRaw()
		return
	}
	for t.err == nil && !t.done {
		if t.afterCR && t.line < len(t.buf) {
			t.afterCR = false
			if t.buf[t.line] == '\n' {
				t.line++
				switch t.tail {
				case tailForward:
					t.emit(t.buf[t.line-1 : t.line])
					t.event = t.line
				case tailDrop:
					t.event = t.line
				}
			}
			t.tail = tailInside
		}
		end, next, ok := t.nextLine()
		if !ok {
			break
		}
		start := t.line
		t.line = next
		if end > start {
			t.readLine(start, end)
			if t.raw {
				t.limitRaw()
				return
			}
			continue
		}
		t.respelled = false
		forward := t.readEvent(t.buf[t.event:t.line])
		if t.afterCR {
			t.tail = tailDrop
			if forward && !t.respelled {
				t.tail = tailForward
			}
		}
		t.event, t.lines = t.line, 0
	}
	switch {
	case t.err != nil || t.done:
	case t.event == len(t.buf):
		// Nothing is left over: start at the front again, and with more room
		// when the upstream has more to say than fits.
		if filled {
			t.room = min(2*cap(t.buf), fullBuffer)
		}
		t.giveInput()
		t.event, t.line, t.lfSeen, t.crSeen, t.lf, t.cr = 0, 0, 0, 0, -1, -1
	case len(t.buf)-t.event > t.opts.MaxEvent:
		t.err = &StreamError{Kind: TooLarge}
	}
}

// limitRaw bounds what is kept of a body that is no event stream.
func (t *Tap) limitRaw() {
	if body := t.buf[t.event:]; len(body) > keepBuffer {
		t.err = &StreamError{Kind: NotStream, Body: bytes.Clone(body[:keepBuffer])}
	}
}

// readEvent handles one event with its terminator, and reports whether it was
// forwarded.
func (t *Tap) readEvent(event []byte) (forward bool) {
	var data []byte
	switch t.lines {
	case 0: // a comment, or an event that says nothing
		t.emit(event)
		return true
	case 1:
		data = event[t.data.start:t.data.end]
	default:
		data = t.joined
	}
	switch first(data) {
	case '{':
		return t.readObject(event, data)
	case '[':
		if string(bytes.TrimSpace(data)) == "[DONE]" {
			if t.events == 0 {
				t.err = &StreamError{Kind: Empty}
				return false
			}
			// In one spelling: whether a line feed follows the last carriage return
			// is not worth waiting for.
			t.done = true
			t.start()
			t.out = append(t.out, doneEvent...)
			return true
		}
	}
	// Not of this protocol; the client may know what it is.
	t.events++
	t.start()
	t.out = append(t.out, event...)
	return true
}

// first returns the first byte that is not white space, or 0.
func first(data []byte) byte {
	for _, x := range data {
		if x != ' ' && x != '\t' && x != '\n' && x != '\r' {
			return x
		}
	}
	return 0
}

// emit forwards what is no event, or holds it until there is one.
func (t *Tap) emit(raw []byte) {
	switch {
	case t.started:
		t.out = append(t.out, raw...)
	case len(t.held)+len(raw) <= maxHeld:
		t.held = append(t.held, raw...)
	}
}

// start lets go of what was held back.
func (t *Tap) start() {
	if !t.started {
		t.started = true
		t.out = append(t.out, t.held...)
		t.held = t.held[:0]
	}
}

// readObject handles an event that holds a JSON object.
func (t *Tap) readObject(event, data []byte) (forward bool) {
	c := cursor{b: data, bad: -1, lax: true, nest: &t.nest}
	c.space()
	t.answer.read(&c)
	a := &t.answer
	if c.bad >= 0 || c.space() {
		t.err = &StreamError{Kind: Malformed, Body: bytes.Clone(data[:min(len(data), 512)])}
		return false
	}
	if a.usage.Known {
		t.usage = a.usage // also with an error: the tokens are paid for
	}
	if a.fault.end != 0 {
		t.err = &StreamError{Kind: Fault, Body: bytes.Clone(data)}
		return false
	}
	if t.opts.Repeats > 0 && t.repeating(data[a.content.start:a.content.end], a.choices) {
		t.err = &StreamError{Kind: Repeating}
		return false
	}
	t.events++
	t.text += a.text
	if len(t.id) == 0 && a.id.end > a.id.start {
		t.id = append(t.id, data[a.id.start:a.id.end]...)
	}
	if m := a.model; len(t.named) == 0 && m.end > m.start+2 {
		t.named = append(t.named, data[m.start+1:m.end-1]...)
	}
	if a.finish.end != 0 {
		t.finished = true
		t.finish = append(t.finish[:0], data[a.finish.start:a.finish.end]...)
	}
	if a.choices <= 0 {
		if a.usageSpan.end != 0 {
			if t.opts.StripUsage {
				return false
			}
		} else if a.choices == 0 && t.opts.DropEmpty {
			return false
		}
	}
	t.start()
	m := a.model
	switch {
	case len(t.model) == 0 || m.end == 0 || bytes.Equal(data[m.start:m.end], t.model):
		t.out = append(t.out, event...)
	case t.lines == 1:
		at := t.data.start
		t.out = append(t.out, event[:at+m.start]...)
		t.out = append(t.out, t.model...)
		t.out = append(t.out, event[at+m.end:]...)
	default:
		t.restampLines(event, data, m)
	}
	return true
}

// repeating reports whether the model has said the same too often in a row.
func (t *Tap) repeating(said []byte, choices int) bool {
	switch {
	case choices <= 0:
		return false // usage, and what else is no piece of the answer
	case len(t.last) > 0 && bytes.Equal(said, t.last):
		t.repeats++
		return t.repeats > t.opts.Repeats
	case short(said):
		t.last, t.repeats = t.last[:0], 0
	default:
		t.last, t.repeats = append(t.last[:0], said...), 1
	}
	return false
}

// short reports whether JSON text has two characters at the most.
func short(text []byte) bool {
	var room [24]byte // two escaped characters from beyond the basic plane
	return len(text) <= len(room) && utf8.RuneCount(appendUnescaped(room[:0], text)) <= 2
}

// Finish tells the tap that the upstream's body has ended, however it did, and
// returns what is left to send: the last event when only its blank line was
// missing, and the end mark when the answer was complete without one. An error
// means that the stream did not end well.
func (t *Tap) Finish() (out []byte, err error) {
	t.clearOutput()
	if t.err != nil || t.done {
		return nil, t.err
	}
	if t.raw {
		t.err = &StreamError{Kind: NotStream, Body: bytes.Clone(t.buf[t.event:])}
		return nil, t.err
	}
	t.finishEvent()
	switch {
	case t.err != nil || t.done:
	case t.events == 0 && t.junk:
		body := bytes.Clone(append(t.held, t.buf[t.event:]...))
		t.err = &StreamError{Kind: NotStream, Body: body[:min(len(body), 4<<10)]}
	case t.events == 0:
		t.err = &StreamError{Kind: Empty}
	case t.finished:
		t.done = true
		t.start()
		t.out = append(t.out, doneEvent...)
	default:
		t.err = &StreamError{Kind: Truncated}
	}
	return t.out, t.err
}

// finishEvent reads the event that the end of the body cut off, if all of its
// data is there.
func (t *Tap) finishEvent() {
	if t.line < len(t.buf) {
		start := t.line
		t.line = len(t.buf)
		t.readLine(start, len(t.buf))
		if t.raw {
			t.err = &StreamError{Kind: NotStream, Body: bytes.Clone(t.buf[t.event:])}
			return
		}
	}
	if t.lines == 0 {
		return
	}
	data := t.joined
	if t.lines == 1 {
		data = t.buf[t.event+t.data.start : t.event+t.data.end]
	}
	c := cursor{b: data, bad: -1, lax: true, nest: &t.nest}
	complete := string(bytes.TrimSpace(data)) == "[DONE]" ||
		c.space() && data[c.i] == '{' && c.skip() && !c.space()
	if !complete {
		return
	}
	event := append(bytes.TrimRight(t.buf[t.event:], "\r\n"), "\n\n"...)
	t.readEvent(event)
}

// Started reports whether output has been produced.
func (t *Tap) Started() bool { return t.started }

// Done reports whether the end mark has been sent; what the upstream sends
// after it is ignored.
func (t *Tap) Done() bool { return t.done }

// Events returns the number of data events read.
func (t *Tap) Events() int { return t.events }

// Usage returns the last usage that the stream reported.
func (t *Tap) Usage() call.Usage { return t.usage }

// TextBytes returns the length of what the model wrote, for an estimate of its
// tokens when the upstream reported none.
func (t *Tap) TextBytes() int { return t.text }

// ID returns the stream's id, valid until Reset.
func (t *Tap) ID() []byte { return t.id }

// NamedModel is what the upstream calls the model, as JSON text without quotes.
func (t *Tap) NamedModel() []byte { return t.named }

// FinishReason returns the last finish_reason, valid until Reset; it is empty
// while there was none.
func (t *Tap) FinishReason() []byte { return t.finish }
