package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// maxForm bounds a multipart body. It is held in memory whole: clients send the
// file before the model that says where it goes, and another attempt needs it
// again.
const maxForm = 32 << 20

// media is what a call has besides chat's when it sends a form, or is answered
// with something else than JSON.
type media struct {
	form  bool
	model string // of the form
	parts []formPart
	// fields are all of the form's, where Demands reads them.
	fields []formField
	file   bool // one of them is called so
	// broken is set when the answer had begun and cannot be completed: the
	// connection must not end as if it were whole.
	broken bool
}

// fieldRequired is the failure of a form without a file, which LiteLLM's
// framework answers in its own form.
var fieldRequired = call.NewError(http.StatusUnprocessableEntity, "invalid_request_error", "file", "file: Field required")

type formPart struct {
	header textproto.MIMEHeader
	data   []byte
}

// serveMedia serves speech, transcriptions and the image endpoints that take
// files.
func serveMedia(a *API, x *exchange) int {
	c := a.calls.Get().(*chat)
	m := &media{form: x.route.kind.op != wire.Speech}
	c.media = m
	status := c.run(x)
	c.reset()
	a.calls.Put(c)
	if m.broken {
		panic(http.ErrAbortHandler)
	}
	return status
}

// gatewayFields are form fields for the gateway alone.
var gatewayFields = []string{
	"timeout", "request_timeout", "num_retries", "fallbacks", "context_window_fallbacks", "mock_response", "mock_timeout", "metadata", "litellm_metadata",
	"tags", "cache", "no-log", "caching", "ttl", "custom_llm_provider", "guardrails", "litellm_session_id", "litellm_trace_id", "drop_params",
}

// readForm reads a multipart body, takes the model out of it and leaves out
// what is the gateway's.
func (c *chat) readForm() *call.Error {
	x, m := c.x, c.media
	kind := headerValue(x.r.Header, "Content-Type")
	invalid := func(param, message string) *call.Error {
		return call.NewError(http.StatusBadRequest, "invalid_request_error", param, message)
	}
	mediaType, params, err := mime.ParseMediaType(kind)
	if err != nil || mediaType != "multipart/form-data" || params["boundary"] == "" {
		x.w.Header()["Connection"] = closeValue
		return invalid("", "Invalid request format: Content-Type is "+strconv.Quote(kind)+", expected multipart/form-data with a boundary")
	}
	tooLarge := func() *call.Error {
		x.w.Header()["Connection"] = closeValue
		return call.NewError(http.StatusRequestEntityTooLarge, "invalid_request_error", "", "Request size is too large. Forms are taken up to "+megabytes(maxForm)+" MB")
	}
	if x.r.ContentLength > maxForm {
		return tooLarge()
	}
	in := takeBuffer()
	defer release(&in)
	var failure *call.Error
	if in.b, failure = c.a.readBody(x.w, x.r, in.b, maxForm); failure != nil {
		if int64(len(in.b)) > maxForm {
			return tooLarge()
		}
		return failure
	}
	form := multipart.NewReader(bytes.NewReader(in.b), params["boundary"])
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return invalid("request_body", "Invalid request format: the multipart body is broken")
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return invalid("request_body", "Invalid request format: the multipart body ends too early")
		}
		name := part.FormName()
		if c.a.o.Demands.reads() {
			m.fields = append(m.fields, formField{name, data})
		}
		switch {
		case name == "model" && part.FileName() == "":
			if m.model != "" {
				return invalid("model", `Invalid request format: duplicate key "model" in request body`)
			}
			m.model = string(data)
			continue
		case name == "api_key" || name == "api_base" || name == "base_url" || name == "user_config":
			return credentialRefused(name)
		case slices.Contains(gatewayFields, name):
			continue
		}
		m.parts = append(m.parts, formPart{part.Header, data})
		m.file = m.file || name == "file"
	}
	return nil
}

// appendForm writes the form for an upstream, the model first.
func (m *media) appendForm(dst []byte, model string) ([]byte, string) {
	b := bytes.NewBuffer(dst)
	w := multipart.NewWriter(b)
	// A bytes.Buffer takes everything.
	_ = w.WriteField("model", model)
	for _, p := range m.parts {
		if out, err := w.CreatePart(p.header); err == nil {
			_, _ = out.Write(p.data)
		}
	}
	_ = w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// attemptMedia makes one attempt, whatever the answer is made of.
func (c *chat) attemptMedia(ctx context.Context, d *call.Deployment, l call.Limits) *call.Error {
	if d.MockResponse != nil {
		return unfit(c.call.Model, "it answers with mock_response, which is text")
	}
	lane, failure := c.lane(d)
	if failure != nil {
		return failure
	}
	if c.out == nil {
		c.out = takeBuffer()
	}
	failure = c.exchangedMedia(ctx, d, lane, l)
	if c.repeats(failure) {
		failure = c.exchangedMedia(ctx, d, lane, l)
	}
	return failure
}

// exchangedMedia sends the request and serves what comes back.
func (c *chat) exchangedMedia(ctx context.Context, d *call.Deployment, lane wire.Lane, l call.Limits) *call.Error {
	begin := time.Now()
	c.call.UpstreamStart = begin
	header, failure := c.authorized(ctx, ctx, d, lane, l, false)
	if failure != nil {
		return failure
	}
	if c.media.form {
		model := d.Model
		var kind string
		c.out.b, kind = c.media.appendForm(c.out.b[:0], model)
		header = header.Clone()
		header.Set("Content-Type", kind)
	} else {
		exchange := lane.Open(wire.Options{Request: &c.request, Model: d.Model})
		var err error
		c.out.b, err = exchange.AppendRequest(c.out.b[:0])
		exchange.Close()
		if err != nil {
			return c.a.o.Classify.Stream(d, err)
		}
	}
	resp, lease, err := c.send(ctx, header, begin.Add(l.Timeout))
	if err != nil {
		return c.broken(ctx, ctx, d, l, err)
	}
	defer resp.Body.Close()
	defer func() { c.call.UpstreamTime = time.Since(begin) }()
	if c.answer == nil {
		c.answer = takeBuffer()
	}
	if resp.Status < 200 || resp.Status >= 300 {
		c.answer.b, _ = readAnswer(resp.Body, resp.Length, c.answer.b, errorBodyLimit)
		c.sent(lease)
		return c.refused(d, &resp, c.answer.b)
	}
	kind := headerValue(resp.Header, "Content-Type")
	switch t, _, _ := mime.ParseMediaType(kind); t {
	case "application/json", "":
		return c.mediaJSON(ctx, d, l, &resp, lease)
	case "text/html": // a balancer's page: nothing that was asked for
		c.answer.b, _ = readAnswer(resp.Body, resp.Length, c.answer.b, errorBodyLimit)
		c.sent(lease)
		return c.a.o.Classify.Invalid(d, resp.Status, resp.Header, c.answer.b)
	}
	return c.mediaBytes(ctx, d, l, &resp, lease, kind)
}

// mediaJSON passes an answer on that says what it used.
func (c *chat) mediaJSON(ctx context.Context, d *call.Deployment, l call.Limits, resp *call.Response, lease call.Lease) *call.Error {
	var err error
	c.answer.b, err = readAnswer(resp.Body, resp.Length, c.answer.b, c.a.o.MaxAnswer)
	c.sent(lease)
	if err != nil {
		return c.broken(ctx, ctx, d, l, err)
	}
	var scan splice.Response
	if err := scan.Scan(c.answer.b); err != nil {
		return c.a.o.Classify.Invalid(d, resp.Status, resp.Header, c.answer.b[:min(len(c.answer.b), errorBodyLimit)])
	}
	if f := scan.Fault(); f != nil {
		return c.a.o.Classify.Stream(d, &wire.Fault{Body: c.answer.b})
	}
	c.call.Usage = scan.Usage()
	c.writeAnswer(resp.Header, c.answer.b)
	return nil
}

// mediaBytes passes on an answer of any other kind as it comes: sound, subtitles,
// events. Until its first bytes are there nothing is sent; a short one is sent when
// it is whole.
func (c *chat) mediaBytes(ctx context.Context, d *call.Deployment, l call.Limits, resp *call.Response, lease call.Lease, kind string) *call.Error {
	piece := takeBuffer()
	defer release(&piece)
	if cap(piece.b) < 32<<10 {
		piece.b = make([]byte, 0, 32<<10)
	}
	space := piece.b[:cap(piece.b)]
	if n := c.a.o.SpeechPiece; n > 0 && c.x.route.kind.op == wire.Speech {
		space = space[:min(n, len(space))]
	}
	begun := false
	for {
		n, err := 0, error(nil)
		if !begun && resp.Length > 0 && resp.Length <= int64(len(space)) {
			if n, err = io.ReadFull(resp.Body, space[:resp.Length]); err != nil {
				n = 0
			}
		} else {
			n, err = resp.Body.Read(space)
		}
		if n > 0 {
			if !begun {
				begun = true
				c.beginMedia(resp, lease, kind)
			}
			if _, werr := c.x.w.Write(space[:n]); werr != nil {
				c.call.Status = call.ClassClientGone.Status()
				e := clientGone(werr)
				e.Sent = true
				return e
			}
			if f, ok := c.x.w.(http.Flusher); ok && resp.Length < 0 {
				f.Flush()
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && begun:
			return nil
		case errors.Is(err, io.EOF):
			c.sent(lease)
			return c.a.o.Classify.Invalid(d, resp.Status, resp.Header, nil)
		default:
			failure := c.broken(ctx, ctx, d, l, err)
			if !begun {
				c.sent(lease)
				return failure
			}
			if f, ok := c.x.w.(http.Flusher); ok {
				f.Flush() // what came is the client's
			}
			failed := *failure
			failed.Sent, c.media.broken = true, true
			return &failed
		}
	}
}

func (c *chat) beginMedia(resp *call.Response, lease call.Lease, kind string) {
	c.sent(lease)
	h := c.x.w.Header()
	upstreamHeaders(h, resp.Header, c.secrets())
	c.measure(nil)
	c.charge()
	c.a.callHeaders(h, &c.call, &c.values)
	c.call.FirstByte = time.Now()
	timings(h, &c.call, &c.values, c.call.FirstByte)
	h["Content-Type"] = []string{kind}
	if resp.Length >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(resp.Length, 10)}
	}
	c.call.Status = http.StatusOK
	c.x.w.WriteHeader(http.StatusOK)
}
