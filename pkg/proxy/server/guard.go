package server

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"time"
)

// guarded is a client's connection on which every request must say in one way
// only where it ends. net/http passes some that two servers in a row can read
// differently: a length beside chunks, a length twice, bare line feeds, folded
// headers, a host in the request line. Behind a proxy that reads them the other way, the rest of one
// client's request would be another's. Such a request is answered 400 by
// net/http, which gets an error in place of its bytes, and the connection ends.
//
// It looks at heads and chunk sizes, and steps over bodies.
type guarded struct {
	net.Conn
	// patience is how long the client may take nothing of what is written to it.
	patience time.Duration
	writeBy  time.Time

	err  error
	step step
	// left is what remains of a body or of a chunk, its line end included.
	left int64
	line []byte // the begin of a line whose end has not come yet

	// Of the head that is being read:
	first   bool // nothing of it has come
	old     bool // HTTP/1.0
	lengths int
	length  int64
	codings int
}

type step uint8

const (
	inHead step = iota
	inBody
	inChunkSize
	inChunk
	inTrailer
)

// maxLine bounds what is kept of a line. net/http's own bound on heads comes
// first.
const maxLine = 2 * maxHeader

var errFraming = errors.New("the request says in two ways where it ends")

func newGuarded(c net.Conn, patience time.Duration) *guarded {
	return &guarded{Conn: c, patience: patience, first: true}
}

// writePiece is what must be taken within the patience.
const writePiece = 256 << 10

// Write implements io.Writer. A client that asks and does not take the answer
// loses its connection: it would hold a goroutine and the answer for ever. The
// deadline is moved only now and then, since that costs more than a look at the
// clock.
func (g *guarded) Write(p []byte) (n int, err error) {
	for {
		if now := time.Now(); g.writeBy.Sub(now) < g.patience {
			g.writeBy = now.Add(2 * g.patience)
			_ = g.SetWriteDeadline(g.writeBy)
		}
		m, err := g.Conn.Write(p[:min(len(p), writePiece)])
		n += m
		if p = p[m:]; err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// Read implements io.Reader. It returns what is good before it fails.
func (g *guarded) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.Conn.Read(p)
	if n > 0 {
		if good, ok := g.look(p[:n]); !ok {
			g.err = errFraming
			if good > 0 {
				return good, nil
			}
			return 0, g.err
		}
	}
	return n, err
}

// CloseWrite lets net/http end a connection without a reset.
func (g *guarded) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// look follows the bytes of a read. When it does not like them it says how many
// belong to what came before.
func (g *guarded) look(b []byte) (good int, ok bool) {
	at, begin := 0, 0
	for at < len(b) {
		switch g.step {
		case inBody, inChunk:
			n := min(g.left, int64(len(b)-at))
			at += int(n)
			if g.left -= n; g.left > 0 {
				return at, true
			}
			if g.step == inBody {
				g.next()
				begin = at
			} else {
				g.step = inChunkSize
			}
			continue
		}
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			if len(g.line)+len(b)-at > maxLine {
				return begin, false
			}
			g.line = append(g.line, b[at:]...)
			return len(b), true
		}
		line := b[at : at+end+1]
		if len(g.line) > 0 {
			g.line = append(g.line, line...)
			line = g.line
		}
		at += end + 1
		ok := len(line) > 1 && line[len(line)-2] == '\r'
		if ok {
			line = line[:len(line)-2]
			ok = bytes.IndexByte(line, '\r') < 0 && g.readLine(line)
		}
		if cap(g.line) > 4<<10 {
			g.line = nil
		}
		g.line = g.line[:0]
		if !ok {
			return begin, false
		}
		if g.step == inHead && g.first {
			begin = at
		}
	}
	return len(b), true
}

// next begins another request.
func (g *guarded) next() {
	g.step, g.first, g.old, g.lengths, g.length, g.codings = inHead, true, false, 0, 0, 0
}

func (g *guarded) readLine(line []byte) bool {
	switch g.step {
	case inChunkSize:
		return g.chunk(line)
	case inTrailer:
		if len(line) == 0 {
			g.next()
			return true
		}
		return line[0] != ' ' && line[0] != '\t' && bytes.IndexByte(line, ':') > 0
	}
	if g.first {
		if len(line) == 0 {
			return true // old clients end bodies so; net/http minds how many
		}
		g.first = false
		g.old = bytes.HasSuffix(line, []byte(" HTTP/1.0"))
		if !g.old && !bytes.HasSuffix(line, []byte(" HTTP/1.1")) {
			return false
		}
		// Addressed as to a forward proxy, which this is not.
		_, target, _ := bytes.Cut(line, []byte(" "))
		return len(target) > 0 && (target[0] == '/' || target[0] == '*')
	}
	if len(line) == 0 {
		return g.endOfHead()
	}
	if line[0] == ' ' || line[0] == '\t' {
		return false
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || line[colon-1] == ' ' || line[colon-1] == '\t' {
		return false
	}
	switch colon {
	case len("Content-Length"):
		if strings.EqualFold(string(line[:colon]), "Content-Length") {
			return g.readLength(bytes.Trim(line[colon+1:], " \t"))
		}
	case len("Transfer-Encoding"):
		if strings.EqualFold(string(line[:colon]), "Transfer-Encoding") {
			g.codings++
			return g.codings == 1 && strings.EqualFold(string(bytes.Trim(line[colon+1:], " \t")), "chunked")
		}
	}
	return true
}

func (g *guarded) readLength(digits []byte) bool {
	g.lengths++
	if g.lengths > 1 || len(digits) == 0 || len(digits) > 18 {
		return false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return false
		}
		g.length = g.length*10 + int64(d-'0')
	}
	return true
}

func (g *guarded) endOfHead() bool {
	switch {
	case g.codings > 0 && (g.lengths > 0 || g.old):
		return false
	case g.codings > 0:
		g.step = inChunkSize
	case g.length > 0:
		g.step, g.left = inBody, g.length
	default:
		g.next()
	}
	return true
}

// chunk reads the line with a chunk's size. Extensions are stepped over.
func (g *guarded) chunk(line []byte) bool {
	size, _, _ := bytes.Cut(line, []byte(";"))
	size = bytes.TrimRight(size, " \t")
	if len(size) == 0 || len(size) > 15 {
		return false
	}
	n := int64(0)
	for _, d := range size {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d|0x20 && d|0x20 <= 'f':
			d = d | 0x20 - 'a' + 10
		default:
			return false
		}
		n = n<<4 | int64(d)
	}
	if n == 0 {
		g.step = inTrailer
		return true
	}
	g.step, g.left = inChunk, n+2 // net/http looks whether these two are a line end
	return true
}
