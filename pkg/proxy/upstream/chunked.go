package upstream

import (
	"bytes"
	"io"
)

// chunked is where the reading of a chunked body stands. It is as strict as
// net/http: chunk lines end in CRLF, a sender that says much less than it
// frames is cut off.
type chunked struct {
	left  uint64 // of the current chunk
	state chunkState
	// waste is by how much the framing has exceeded what is fair.
	waste    int64
	trailers int
}

type chunkState uint8

const (
	atSize chunkState = iota
	inData
	afterData
	inTrailers
)

const (
	// fairFrame bytes of framing for a chunk, and twice its data, are nothing
	// that anybody minds: streams of single bytes exist.
	fairFrame   = 16
	maxWaste    = 16 << 10
	maxTrailers = 64
)

// read reads data into p. It waits only while it has nothing to return. io.EOF
// means that the body was read to the end of its trailer.
func (c *chunked) read(in *source, p []byte) (n int, err error) {
	for {
		switch c.state {
		case inData:
			if n == len(p) || n > 0 && in.empty() {
				return n, nil
			}
			m, err := in.Read(p[n : n+int(min(uint64(len(p)-n), c.left))])
			n += m
			if c.left -= uint64(m); c.left == 0 {
				c.state = afterData
			}
			if err != nil {
				return n, cutOff(err)
			}
		case afterData:
			if n > 0 && len(in.bytes()) < 2 {
				return n, nil
			}
			if err := in.need(2); err != nil {
				return n, cutOff(err)
			}
			if b := in.bytes(); b[0] != '\r' || b[1] != '\n' {
				return n, bad("a chunk that does not end where it should")
			}
			in.skip(2)
			c.state = atSize
		default:
			if n > 0 && !in.hasLine() {
				return n, nil
			}
			line, err := in.line()
			if err != nil {
				if err == errLongLine {
					err = bad("a line without end between chunks")
				}
				return n, cutOff(err)
			}
			if c.state == atSize {
				err = c.size(line)
			} else {
				err = c.trailer(line)
			}
			if err != nil {
				return n, err
			}
		}
	}
}

func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// size reads the line in front of a chunk.
func (c *chunked) size(line []byte) error {
	digits, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.IndexByte(digits, '\r') >= 0 {
		return bad("a chunk size that does not end in CRLF")
	}
	digits, _, _ = bytes.Cut(digits, []byte(";")) // extensions mean nothing here
	digits = bytes.TrimRight(digits, " \t")
	if len(digits) == 0 || len(digits) > 16 {
		return bad("no chunk size")
	}
	n := uint64(0)
	for _, d := range digits {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d|0x20 && d|0x20 <= 'f':
			d = d | 0x20 - 'a' + 10
		default:
			return bad("no chunk size")
		}
		n = n<<4 | uint64(d)
	}
	fair := fairFrame + 2*int64(min(n, 1<<32))
	if c.waste = max(c.waste+int64(len(line))-fair, 0); c.waste > maxWaste {
		return bad("chunks of much framing and little data")
	}
	c.left, c.state = n, inData
	if n == 0 {
		c.state = inTrailers
	}
	return nil
}

// trailer reads a line after the last chunk. What it says is thrown away, but
// what is no header is no trailer either: then this is not the end of the answer
// that we think it is.
func (c *chunked) trailer(line []byte) error {
	text := bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
	if len(text) == 0 {
		return io.EOF
	}
	if c.trailers++; c.trailers >= maxTrailers {
		return bad("a trailer without end")
	}
	if name, value, ok := bytes.Cut(text, []byte(":")); !ok || !token(string(name)) || !printable(string(value)) {
		return bad("a trailer that is no header")
	}
	return nil
}
