package upstream

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// readHead reads the head of an answer, and prepares its body. Interim answers
// are passed over. nothing says that not a byte came.
func (c *conn) readHead(b *body, method string) (resp call.Response, nothing bool, err error) {
	if err := c.in.need(1); err != nil {
		return resp, true, fmt.Errorf("read the answer: %w", err)
	}
	for range 10 {
		raw, err := c.headText()
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return resp, false, fmt.Errorf("read the head of the answer: %w", err)
		}
		head, err := parseHead(string(raw))
		if err != nil {
			return resp, false, err
		}
		if head.status >= 100 && head.status < 200 {
			if head.status == http.StatusSwitchingProtocols {
				return resp, false, fmt.Errorf("%w: it switches protocols", errBadAnswer)
			}
			continue
		}
		b.reuse = head.keep
		resp = call.Response{Status: head.status, Header: head.header, Length: head.length, Body: b}
		switch {
		case method == http.MethodHead:
		case head.status == http.StatusNoContent || head.status == http.StatusNotModified:
			resp.Length = 0
		case head.chunked:
			b.framed = true
			resp.Length = -1
		default:
			b.left = head.length
			if head.length < 0 {
				b.reuse = false
			}
		}
		return resp, false, nil
	}
	return resp, false, fmt.Errorf("%w: too many interim answers", errBadAnswer)
}

// headText returns everything up to the empty line. It is usually all in the
// buffer.
func (c *conn) headText() ([]byte, error) {
	var long []byte
	for {
		buffered := c.in.bytes()
		if n := endOfHead(buffered); n > 0 && long == nil {
			c.in.skip(n)
			return buffered[:n], nil
		}
		if len(buffered) < readBuffer && long == nil {
			if err := c.in.need(len(buffered) + 1); err != nil {
				return nil, err
			}
			continue
		}
		line, err := c.in.line()
		long = append(long, line...)
		switch {
		case len(long) > maxHead:
			return nil, fmt.Errorf("%w: its head is larger than %d bytes", errBadAnswer, maxHead)
		case err != nil && err != errLongLine:
			return nil, err
		case err == nil && endOfHead(long[max(0, len(long)-4):]) > 0:
			return long, nil
		}
	}
}

// endOfHead returns the length of the head in b, its empty line included, or 0.
func endOfHead(b []byte) int {
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return 0
		}
		at += n + 1
		switch {
		case at < len(b) && b[at] == '\n':
			return at + 1
		case at+1 < len(b) && b[at] == '\r' && b[at+1] == '\n':
			return at + 2
		}
	}
}

// head is a parsed head.
type head struct {
	status  int
	header  http.Header
	length  int64 // -1 when not given
	chunked bool
	keep    bool // the connection can be used again
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errBadAnswer}, args...)...)
}

// parseHead reads a head. It is strict where two readers could disagree about
// where the body ends: then the connection would carry one answer's bytes into
// another's.
func parseHead(text string) (h head, err error) {
	line, rest := cutLine(text)
	version, status, ok := strings.Cut(line, " ")
	switch {
	case !ok || len(status) < 3 || len(status) > 3 && status[3] != ' ':
		return h, bad("no status line")
	case version == "HTTP/1.1":
		h.keep = true
	case version != "HTTP/1.0":
		return h, bad("its version is not HTTP/1.1")
	}
	for _, d := range []byte(status[:3]) {
		if d < '0' || d > '9' {
			return h, bad("no status")
		}
		h.status = h.status*10 + int(d-'0')
	}
	if h.status < 100 {
		return h, bad("no status")
	}
	h.length = -1
	lines := strings.Count(rest, "\n")
	h.header = make(http.Header, lines)
	values := make([]string, 0, lines)
	for {
		line, rest = cutLine(rest)
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !token(name) {
			return h, bad("a header without a name")
		}
		value = strings.Trim(value, " \t")
		if !printable(value) {
			return h, bad("a header with control characters")
		}
		name = canonical(name)
		repeated := name == "Content-Length" && h.length >= 0
		if err := h.frame(name, value); err != nil {
			return h, err
		}
		if repeated {
			continue // it says the same
		}
		if had := h.header[name]; had != nil {
			h.header[name] = append(had[:len(had):len(had)], value)
			continue
		}
		values = append(values, value)
		h.header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if h.chunked && version == "HTTP/1.0" {
		return h, bad("chunks over HTTP/1.0")
	}
	if h.chunked && h.length >= 0 {
		// The length does not count, and whoever sent both is not to be trusted
		// with another request.
		h.length, h.keep = -1, false
		delete(h.header, "Content-Length")
	}
	return h, nil
}

// frame reads the headers that say where the body ends.
func (h *head) frame(name, value string) error {
	switch name {
	case "Content-Length":
		n := int64(0)
		if value == "" || len(value) > 18 {
			return bad("no Content-Length")
		}
		for _, d := range []byte(value) {
			if d < '0' || d > '9' {
				return bad("no Content-Length")
			}
			n = n*10 + int64(d-'0')
		}
		if h.length >= 0 && h.length != n {
			return bad("two lengths")
		}
		h.length = n
	case "Transfer-Encoding":
		if h.chunked || !strings.EqualFold(value, "chunked") {
			return bad("a transfer encoding other than chunked")
		}
		h.chunked = true
	case "Connection":
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), "close") {
				h.keep = false
			}
		}
	}
	return nil
}

func cutLine(s string) (line, rest string) {
	line, rest, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c|0x20 && c|0x20 <= 'z' || c == '-' || '0' <= c && c <= '9' {
			continue
		}
		if !strings.ContainsRune("!#$%&'*+.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// names remembers canonical forms, since upstreams repeat the same few. It is
// bounded: an upstream that invents names must not fill the memory.
var (
	names     sync.Map // string -> string
	nameCount atomic.Int32
)

func canonical(name string) string {
	if c, ok := names.Load(name); ok {
		return c.(string)
	}
	c := http.CanonicalHeaderKey(name)
	if nameCount.Load() < 1024 {
		name = strings.Clone(name)
		if c == name {
			c = name
		}
		if _, loaded := names.LoadOrStore(name, strings.Clone(c)); !loaded {
			nameCount.Add(1)
		}
	}
	return c
}
