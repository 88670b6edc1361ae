package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// client is one virtual user with one connection at a time. It speaks just
// enough HTTP/1.1 to send prepared requests and read any answer, because a
// general client would cost more than the gateways it is to measure.
type client struct {
	r    *run
	conn net.Conn
	br   *bufio.Reader
	in   stamper
	used time.Time // end of the last request on conn
	out  []byte
	sse  eventScanner
	gaps []int64 // of the current request, in microseconds
	keep []byte  // the start of the body, for reports
	full []byte  // the whole body, when it is to be validated

	respHead
	remaining int64 // of the body, or of the current chunk
	state     bodyState
}

type respHead struct {
	status   int
	length   int64 // -1 when unknown
	chunked  bool
	close    bool
	isStream bool
	isJSON   bool
}

type bodyState uint8

const (
	bodyDone bodyState = iota
	bodyLength
	bodyUntilClose
	bodyChunkSize
	bodyChunk
)

// stamper notes when bytes arrived: one clock reading per read, shared by all
// events in it. It also enforces the stall rule, which is per read.
type stamper struct {
	conn  net.Conn
	at    time.Time
	limit time.Time // of the whole request
	stall func() time.Duration
	hit   bool // the deadline that passed was the stall rule's
}

func (s *stamper) Read(b []byte) (int, error) {
	s.hit = false
	if s.stall != nil {
		limit := s.limit
		if d := s.stall(); d > 0 {
			if at := s.at.Add(d); at.Before(limit) {
				limit, s.hit = at, true
			}
		}
		_ = s.conn.SetReadDeadline(limit) // a connection that is gone says so better when it is read
	}
	n, err := s.conn.Read(b)
	s.at = time.Now()
	s.hit = s.hit && errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

const (
	keepBody = 500
	fullBody = 4 << 20
	bufSize  = 8 << 10 // ten thousand streams hold one each
)

// Result is one request as it went.
type Result struct {
	Seq      uint64
	Scenario int

	// Offsets from the start of the run. Sched is the intended start, FirstToken
	// is -1 when no content came.
	Sched, Start, FirstByte, FirstToken, End time.Duration

	Status   int
	Err      ErrorKind
	Detail   string // of an error: its text or the beginning of the body
	BytesIn  int64
	BytesOut int64
	Events   int
	Content  int
	Prompt   int
	Tokens   int
	Reported bool // Tokens come from the server
	Stream   bool

	// Abandoned and Cut requests were ended by us: on purpose, to see what the
	// target makes of it, or because the drain was over. They are no errors.
	Abandoned, Cut bool

	Lost, Repeated, Crossed int
}

// do sends request i and reads its answer. sched is its intended start.
func (c *client) do(q *request, i uint64, sched time.Duration) (res Result) {
	r := c.r
	start := time.Now()
	res = Result{Seq: i, Scenario: q.scenario, Sched: sched, Start: start.Sub(r.base), FirstToken: -1, Stream: q.stream}
	c.gaps, c.keep, c.full = c.gaps[:0], c.keep[:0], c.full[:0]
	patience := r.patience(i)
	fail := func(err error, begun bool) Result {
		res.End = time.Since(r.base)
		if c.in.hit {
			err = errStall
		}
		res.Err, res.Detail = classify(err, begun), sentence(err)
		ours := res.Err == Timeout || res.Err == Reset || res.Err == Truncated || res.Err == Stall
		switch {
		case r.cut.Load() && ours:
			res.Cut = true
		case patience < r.plan.RequestTimeout && res.Err == Timeout:
			res.Abandoned = true
		}
		c.drop()
		return res
	}

	reused := c.conn != nil
	if reused && start.Sub(c.used) > 2*time.Second {
		// Servers close idle connections; a race with that is not an error of the
		// request that follows.
		c.drop()
		reused = false
	}
	limit := start.Add(patience)
	if !reused {
		if err := c.dial(limit); err != nil {
			return fail(err, false)
		}
	}
	c.in.at, c.in.limit, c.in.stall, c.in.hit = start, limit, nil, false
	if err := c.conn.SetDeadline(limit); err != nil {
		return fail(err, false)
	}
	nonce := r.nonce(i)
	c.out = q.appendTo(c.out[:0], r.keys.pick(i), nonce[:])
	n, err := c.conn.Write(c.out)
	res.BytesOut = int64(n)
	if err != nil {
		// A server that refuses early closes before it has read everything; its
		// answer may be there all the same.
		if c.readHead() != nil {
			return fail(err, false)
		}
	} else if err := c.readHead(); err != nil {
		return fail(err, c.br.Buffered() > 0)
	}
	first := c.in.at
	res.FirstByte = first.Sub(r.base)
	res.Status = c.status
	res.Err = statusKind(c.status)
	validate := i%100 == 0 || r.validateAll
	stream := q.stream && res.Err == OK
	if stream {
		if !c.isStream {
			res.Err, res.Detail = Validation, "the answer to a streaming request is not text/event-stream"
		}
		expect := ""
		if r.echo.Load() && q.nonceAt >= 0 {
			expect = string(nonce[:])
		}
		c.sse.reset(expect, validate)
	}

	lastToken := first
	crossed := r.echo.Load() && q.nonceAt >= 0 && !q.stream && res.Err == OK
	for {
		b, err := c.readBody()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fail(err, true)
		}
		res.BytesIn += int64(len(b))
		if len(c.keep) < r.keep {
			c.keep = append(c.keep, b[:min(len(b), r.keep-len(c.keep))]...)
		}
		if !stream {
			if (validate || crossed || q.usage) && len(c.full) < fullBody {
				c.full = append(c.full, b...)
			}
			continue
		}
		content, ok := c.sse.feed(b)
		if !ok {
			return fail(protocolError("an event of more than 64 MiB"), true)
		}
		for range content {
			if res.FirstToken < 0 {
				res.FirstToken = c.in.at.Sub(r.base)
				c.in.stall = r.stallLimit // thinking before the first word is no stall
			} else {
				c.gaps = append(c.gaps, c.in.at.Sub(lastToken).Microseconds())
			}
			lastToken = c.in.at
		}
	}
	end := c.in.at
	res.End = end.Sub(r.base)
	c.used = end
	if c.close || r.plan.NoKeepAlive {
		c.drop()
	}
	switch {
	case res.Err != OK && res.Err != Validation:
		res.Detail = string(c.keep[:min(len(c.keep), keepBody)])
	case stream:
		c.finishStream(&res)
	default:
		c.finishWhole(&res, q, validate, crossed, nonce[:])
	}
	return res
}

func (c *client) finishStream(res *Result) {
	s := &c.sse
	res.Events, res.Content = s.events, s.content
	res.Prompt, res.Tokens, res.Reported = s.prompt, s.tokens, s.reported
	if !s.reported {
		res.Tokens = s.content
	}
	if s.nonce != "" && s.reported && s.done && s.tokens > s.next {
		s.lost += s.tokens - s.next // the tail
	}
	res.Lost, res.Repeated, res.Crossed = s.lost, s.repeated, s.crossed
	switch {
	case res.Err != OK:
	case s.failed:
		res.Err, res.Detail = StreamError, string(s.errText)
	case len(bytes.TrimSpace(s.buf)) > 0:
		res.Err, res.Detail = Truncated, "the stream ends in the middle of an event"
	case !s.done:
		res.Err, res.Detail = MissingDone, "the stream ends without [DONE]"
	case s.invalid:
		res.Err, res.Detail = Validation, "an event is not JSON"
	case s.after:
		res.Err, res.Detail = Validation, "there are events after [DONE]"
	case s.content == 0:
		res.Err, res.Detail = Validation, "the stream has no content"
	}
}

func (c *client) finishWhole(res *Result, q *request, validate, crossed bool, nonce []byte) {
	if res.FirstToken = res.FirstByte; res.BytesIn == 0 && !q.health {
		res.Err, res.Detail = Validation, "the answer is empty"
		return
	}
	if q.usage {
		if k := bytes.LastIndex(c.full, usageKey); k >= 0 {
			var ok bool
			if res.Tokens, ok = numberAfter(c.full[k:], `"completion_tokens"`); ok {
				res.Reported = true
			}
			res.Prompt, _ = numberAfter(c.full[k:], `"prompt_tokens"`)
		}
	}
	if crossed && !bytes.Contains(c.full, nonce) {
		res.Crossed++
	}
	if validate && !q.health {
		switch {
		case !c.isJSON:
			res.Err, res.Detail = Validation, "the answer is not application/json: "+string(c.keep[:min(len(c.keep), keepBody)])
		case len(c.full) < fullBody && !json.Valid(c.full):
			res.Err, res.Detail = Validation, "the answer is not JSON: "+string(c.keep[:min(len(c.keep), keepBody)])
		}
	}
}

func (c *client) dial(limit time.Time) error {
	ctx, cancel := context.WithDeadline(c.r.ctx, limit)
	defer cancel()
	conn, err := c.r.dial(ctx)
	if err != nil {
		return err
	}
	if cfg := c.r.tls; cfg != nil {
		t := tls.Client(conn, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return err
		}
		conn = t
	}
	c.conn = conn
	c.in.conn = conn
	if c.br == nil {
		c.br = newReader(&c.in)
	} else {
		c.br.Reset(&c.in)
	}
	c.r.track(conn, true)
	return nil
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, bufSize) }

// drop closes the connection; the next request opens a new one.
func (c *client) drop() {
	if c.conn != nil {
		c.r.track(c.conn, false)
		_ = c.conn.Close()
		c.conn = nil
	}
}

// readHead reads a status line and headers, skipping 1xx answers.
func (c *client) readHead() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
			return protocolError("the answer is not HTTP/1.1: " + quoteStart(line))
		}
		status, err := strconv.Atoi(string(line[9:12]))
		if err != nil || status < 100 {
			return protocolError("the status line is malformed: " + quoteStart(line))
		}
		c.respHead = respHead{status: status, length: -1, close: line[7] == '0'}
		for total := 0; ; {
			line, err := c.line()
			if err != nil {
				return midway(err)
			}
			if len(line) == 0 {
				break
			}
			if total += len(line); total > 256<<10 {
				return protocolError("the head of the answer is larger than 256 KiB")
			}
			if err := c.header(line); err != nil {
				return err
			}
		}
		if status >= 200 {
			break
		}
	}
	switch {
	case c.status == 204 || c.status == 304:
		c.state = bodyDone
	case c.chunked:
		c.state, c.remaining = bodyChunkSize, 0
	case c.length >= 0:
		c.state, c.remaining = bodyLength, c.length
		if c.length == 0 {
			c.state = bodyDone
		}
	default:
		c.state, c.close = bodyUntilClose, true
	}
	return nil
}

func (c *client) header(line []byte) error {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return protocolError("a header is malformed: " + quoteStart(line))
	}
	value := bytes.TrimSpace(line[i+1:])
	switch i {
	case len("content-length"):
		if equalFold(line[:i], "content-length") {
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 {
				return protocolError("Content-Length is not a number: " + quoteStart(value))
			}
			c.length = n
		}
	case len("transfer-encoding"):
		if equalFold(line[:i], "transfer-encoding") && containsFold(value, "chunked") {
			c.chunked = true
		}
	case len("connection"):
		if equalFold(line[:i], "connection") && containsFold(value, "close") {
			c.close = true
		}
	case len("content-type"):
		if equalFold(line[:i], "content-type") {
			c.isStream = hasPrefixFold(value, "text/event-stream")
			c.isJSON = hasPrefixFold(value, "application/json")
		}
	}
	return nil
}

// readBody returns the next bytes of the body that are at hand, reading only
// when none are; io.EOF ends it in good order.
func (c *client) readBody() ([]byte, error) {
	for {
		switch c.state {
		case bodyDone:
			return nil, io.EOF
		case bodyLength, bodyChunk:
			b, err := c.some(c.remaining)
			if err != nil {
				return nil, midway(err)
			}
			if c.remaining -= int64(len(b)); c.remaining == 0 {
				if c.state == bodyLength {
					c.state = bodyDone
				} else {
					c.state = bodyChunkSize
					c.remaining = -1 // the CRLF after the chunk is still to come
				}
			}
			return b, nil
		case bodyUntilClose:
			b, err := c.some(1 << 30)
			if err == io.EOF {
				c.state = bodyDone
			}
			return b, err
		case bodyChunkSize:
			if err := c.chunkSize(); err != nil {
				return nil, err
			}
		}
	}
}

func (c *client) chunkSize() error {
	if c.remaining < 0 {
		line, err := c.line()
		if err != nil {
			return midway(err)
		}
		if len(line) != 0 {
			return protocolError("a chunk is longer than its size")
		}
	}
	line, err := c.line()
	if err != nil {
		return midway(err)
	}
	digits, _, _ := strings.Cut(string(line), ";")
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 16, 64)
	if err != nil || n < 0 {
		return protocolError("a chunk size is malformed: " + quoteStart(line))
	}
	if n > 0 {
		c.state, c.remaining = bodyChunk, n
		return nil
	}
	for {
		line, err := c.line()
		if err != nil {
			return midway(err)
		}
		if len(line) == 0 {
			c.state, c.remaining = bodyDone, 0
			return nil
		}
	}
}

// some returns buffered bytes, at most limit of them, after one read if there
// are none. They are valid until the next call.
func (c *client) some(limit int64) ([]byte, error) {
	if c.br.Buffered() == 0 {
		if _, err := c.br.Peek(1); err != nil {
			return nil, err
		}
	}
	n := int(min(int64(c.br.Buffered()), limit))
	b, err := c.br.Peek(n)
	if err != nil {
		return nil, err
	}
	_, err = c.br.Discard(n)
	return b, err
}

// line reads one line without its end.
func (c *client) line() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return nil, protocolError("a line of the answer is longer than 8 KiB")
	}
	if err != nil {
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// midway turns an end between messages into an end within one.
func midway(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func quoteStart(b []byte) string { return fmt.Sprintf("%.60q", b) }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// equalFold compares with lower-case ASCII text without allocating.
func equalFold(b []byte, s string) bool { return len(b) == len(s) && hasPrefixFold(b, s) }

func hasPrefixFold(b []byte, s string) bool {
	if len(b) < len(s) {
		return false
	}
	for i := range len(s) {
		if lower(b[i]) != s[i] {
			return false
		}
	}
	return true
}

func containsFold(b []byte, s string) bool {
	for i := 0; i+len(s) <= len(b); i++ {
		if hasPrefixFold(b[i:], s) {
			return true
		}
	}
	return false
}
