package splice

import "bytes"

// nextLine finds the end of the line that starts at t.line: end is behind its
// text, next behind its terminator.
func (t *Tap) nextLine() (end, next int, ok bool) {
	if t.lf < t.line {
		t.lf, t.lfSeen = search(t.buf, '\n', max(t.line, t.lfSeen))
	}
	if t.cr < t.line {
		t.cr, t.crSeen = search(t.buf, '\r', max(t.line, t.crSeen))
	}
	switch {
	case t.lf >= 0 && (t.cr < 0 || t.lf < t.cr):
		return t.lf, t.lf + 1, true
	case t.cr < 0:
		return 0, 0, false
	case t.cr+1 == len(t.buf):
		// Whether a \n follows is not known yet, but the line is complete.
		t.afterCR = true
		return t.cr, t.cr + 1, true
	case t.buf[t.cr+1] == '\n':
		return t.cr, t.cr + 2, true
	}
	return t.cr, t.cr + 1, true
}

// search returns the offset of x from there on, or -1, and how far it looked.
func search(b []byte, x byte, from int) (at, seen int) {
	if n := bytes.IndexByte(b[from:], x); n >= 0 {
		return from + n, from + n + 1
	}
	return -1, len(b)
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// readLine takes note of one line of the current event.
func (t *Tap) readLine(start, end int) {
	if !t.bom {
		t.bom = true
		if bytes.HasPrefix(t.buf[start:end], byteOrderMark) {
			start += len(byteOrderMark)
		}
	}
	line := t.buf[start:end]
	if len(line) >= 4 && string(line[:4]) == "data" && (len(line) == 4 || line[4] == ':') {
		v := min(start+5, end)
		if v < end && t.buf[v] == ' ' {
			v++
		}
		if t.lines == 0 {
			t.data = span{v - t.event, end - t.event}
		} else {
			if t.lines == 1 {
				t.joined = append(t.joined[:0], t.buf[t.event+t.data.start:t.event+t.data.end]...)
			}
			t.joined = append(t.joined, '\n')
			t.joined = append(t.joined, t.buf[v:end]...)
		}
		t.lines++
		return
	}
	if t.events > 0 || t.junk || len(line) == 0 {
		return
	}
	name := line
	if n := bytes.IndexByte(line, ':'); n >= 0 {
		name = line[:n]
	}
	switch string(name) {
	case "", "event", "id", "retry":
		return
	}
	t.junk = true
	// A page or a document instead of a stream: keep it for the message.
	switch first := bytes.TrimLeft(line, " \t"); {
	case len(first) == 0:
	case first[0] == '<' || first[0] == '{' || first[0] == '[':
		t.raw = true
	}
}

// restampLines forwards an event whose data stands in several lines: other
// lines as they are, then the data, one field per line as before.
func (t *Tap) restampLines(event, data []byte, m span) {
	t.respelled = true
	for rest := event; len(rest) > 0; {
		n := bytes.IndexAny(rest, "\r\n")
		next := n + 1
		if n < 0 {
			n, next = len(rest), len(rest)
		} else if rest[n] == '\r' && next < len(rest) && rest[next] == '\n' {
			next++
		}
		if n > 0 && !bytes.HasPrefix(bytes.TrimPrefix(rest[:n], byteOrderMark), []byte("data")) {
			t.out = append(t.out, rest[:n]...)
			t.out = append(t.out, '\n')
		}
		rest = rest[next:]
	}
	t.out = append(t.out, "data: "...)
	for i, x := range data {
		if i == m.start {
			t.out = append(t.out, t.model...)
		}
		if i >= m.start && i < m.end {
			continue
		}
		t.out = append(t.out, x)
		if x == '\n' {
			t.out = append(t.out, "data: "...)
		}
	}
	t.out = append(t.out, "\n\n"...)
}
