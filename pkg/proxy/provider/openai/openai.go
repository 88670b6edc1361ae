// Package openai speaks with every upstream that understands OpenAI's wire
// format: bodies are spliced, never decoded. It prepares URLs, headers and
// rewrite rules once per deployment; it opens no connection and decides nothing
// about errors.
package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// Options configure the lane of one deployment.
type Options struct {
	// Rewrite holds the deployment's rules for bodies: parameters, dropped
	// members, metadata. Its Model and Usage are set per request.
	Rewrite splice.Rewrite
	// DropEmpty holds back stream events without choices and usage.
	DropEmpty bool
	// RenameMaxTokens says for which models max_tokens is sent by its newer name,
	// max_completion_tokens; nil means for none.
	RenameMaxTokens func(model string) bool
	// UserAgent is sent to the upstream.
	UserAgent string
	// Sent is the name by which the upstream knows a model; nil means its own.
	Sent func(model string) string
	// URL returns where requests for a model go; nil means Endpoint below the
	// deployment's base.
	URL func(op wire.Op, model string) (*url.URL, error)
	// PerModel says that what URL returns depends on the model, which each request
	// names.
	PerModel bool
	// KeyHeader carries the key instead of Authorization.
	KeyHeader string
}

// Reasons reports whether OpenAI's own model of that name refuses max_tokens:
// the o series, and GPT from 5 on except its chat variants. Open-weight models
// of similar names are served by others, who know max_tokens.
func Reasons(model string) bool {
	model = strings.ToLower(model[strings.LastIndexByte(model, '/')+1:])
	if rest, ok := strings.CutPrefix(model, "o"); ok {
		return rest != "" && '1' <= rest[0] && rest[0] <= '9' && (len(rest) == 1 || rest[1] == '-')
	}
	rest, ok := strings.CutPrefix(model, "gpt-")
	return ok && rest != "" && '5' <= rest[0] && rest[0] <= '9' && !strings.Contains(rest, "-chat")
}

// lane implements wire.Lane.
type lane struct {
	op      wire.Op
	target  call.Target
	model   string
	options Options
	// silent is set when the upstream has refused stream_options.
	silent atomic.Bool

	places places // of models, where they have their own
}

var (
	_ wire.Lane      = (*lane)(nil)
	_ wire.Addressed = (*lane)(nil)
)

// paths are appended to the base URL.
var paths = map[wire.Op]string{
	wire.Chat:            "/chat/completions",
	wire.Completions:     "/completions",
	wire.Embeddings:      "/embeddings",
	wire.Responses:       "/responses",
	wire.Moderations:     "/moderations",
	wire.Rerank:          "/rerank",
	wire.Images:          "/images/generations",
	wire.ImageEdits:      "/images/edits",
	wire.ImageVariations: "/images/variations",
	wire.Speech:          "/audio/speech",
	wire.Transcriptions:  "/audio/transcriptions",
	wire.Translations:    "/audio/translations",
}

// exchanges are shared by all lanes: their size depends on traffic, not on the
// number of deployments.
var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// Prepare builds the lane of d for op.
func Prepare(d *call.Deployment, op wire.Op, o Options) (wire.Lane, error) {
	find := o.URL
	if find == nil {
		find = func(op wire.Op, _ string) (*url.URL, error) { return Endpoint(d.APIBase, op) }
	}
	u, err := find(op, d.Model)
	if err != nil {
		return nil, err
	}
	l := &lane{op: op, model: d.Model, options: o}
	l.target.URL, l.target.TLS, l.target.Token = u, d.TLS, d.Token
	accept := "application/json"
	switch op {
	case wire.Speech, wire.Transcriptions, wire.Translations:
		accept = "*/*" // sound, or text in the form that was asked for
	}
	l.target.Header = header(d, o, accept)
	l.target.StreamHeader = header(d, o, "text/event-stream")
	return l, nil
}

// Endpoint returns the URL for op below a base. A query in the base stays; a
// base that names the endpoint of chat completions already, as people paste it,
// is understood.
func Endpoint(base string, op wire.Op) (*url.URL, error) {
	path, ok := paths[op]
	if !ok {
		return nil, fmt.Errorf("kind of call %d has no OpenAI endpoint", op)
	}
	u, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	return below(u, strings.TrimSuffix(strings.TrimRight(u.EscapedPath(), "/"), paths[wire.Chat]), path)
}

// parseBase reads a base URL.
func parseBase(base string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(base))
	if err != nil {
		// The parser's error quotes the URL, which may hold a password.
		return nil, errors.New("api_base is not a URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("api_base must be a URL that starts with http:// or https:// and names a host")
	}
	if u.User != nil {
		return nil, errors.New("api_base holds a user name or password: set api_key or extra_headers instead")
	}
	u.Fragment = ""
	return u, nil
}

// below sets the path of u to one below another, both as they are escaped.
func below(u *url.URL, folder, path string) (*url.URL, error) {
	full := folder + path
	unescaped, err := url.PathUnescape(full)
	if err != nil {
		return nil, errors.New("api_base holds a broken % escape")
	}
	u.Path, u.RawPath = unescaped, full
	return u, nil
}

// header builds the headers of every request of a deployment. Client headers
// are not part of it: none passes unless a setting says so.
func header(d *call.Deployment, o Options, accept string) http.Header {
	h := make(http.Header, 6+len(d.ExtraHeaders))
	h.Set("Content-Type", "application/json")
	h.Set("Accept", accept)
	// Bytes are spliced, so they must arrive as they are.
	h.Set("Accept-Encoding", "identity")
	if o.UserAgent != "" {
		h.Set("User-Agent", o.UserAgent)
	}
	switch {
	case d.APIKey.IsZero():
	case o.KeyHeader != "":
		h.Set(o.KeyHeader, d.APIKey.Reveal())
	default:
		h.Set("Authorization", "Bearer "+d.APIKey.Reveal())
	}
	if d.Organization != "" {
		h.Set("Openai-Organization", d.Organization)
	}
	for name, values := range d.ExtraHeaders {
		switch name = http.CanonicalHeaderKey(name); name {
		case "Content-Length", "Transfer-Encoding", "Connection", "Host", "Accept-Encoding", "Content-Type":
			continue // what frames or encodes our own body is not theirs to set
		}
		h[name] = values
	}
	return h
}

// Target implements wire.Lane.
func (l *lane) Target() *call.Target { return &l.target }

// Open implements wire.Lane.
func (l *lane) Open(o wire.Options) wire.Exchange {
	x := exchanges.Get().(*exchange)
	x.lane, x.o = l, o
	x.complete, x.asked = false, false
	x.stream = o.Request.Streams() && l.op.Streams()
	switch {
	case x.stream && l.op == wire.Responses:
		x.events.Reset(o.Restamp)
		x.events.Name(o.Name)
		x.events.Seal(o.Seal)
	case x.stream:
		x.tap.Reset(splice.TapOptions{Model: o.Restamp, StripUsage: o.HideUsage, DropEmpty: l.options.DropEmpty, Repeats: o.Repeats})
	}
	return x
}

// exchange implements wire.Exchange.
type exchange struct {
	lane     *lane
	o        wire.Options
	complete bool // a whole answer was scanned
	stream   bool // tap belongs to this attempt
	asked    bool // stream_options are the gateway's, not the client's
	response splice.Response
	tap      splice.Tap
	events   splice.ResponseEvents // instead of tap, for the Responses API
}

var _ wire.Exchange = (*exchange)(nil)

func (x *exchange) AppendRequest(dst []byte) ([]byte, error) {
	w := x.lane.options.Rewrite
	w.Model = x.o.Model
	if w.Model == "" {
		w.Model = x.lane.model
	}
	if sent := x.lane.options.Sent; sent != nil {
		w.Model = sent(w.Model)
	}
	w.Usage = x.o.AskUsage && !x.lane.silent.Load()
	x.asked = w.Usage && x.stream && !x.o.Request.WantsUsage()
	if rename := x.lane.options.RenameMaxTokens; rename != nil {
		w.RenameMaxTokens = rename(w.Model)
	}
	if x.o.User != "" {
		value, err := json.Marshal(x.o.User)
		if err != nil {
			return dst, err
		}
		params := make([]splice.Param, 0, len(w.Params)+1)
		for _, p := range w.Params {
			if p.Name != "user" {
				params = append(params, p)
			}
		}
		w.Params = append(params, splice.Param{Name: "user", Value: value, Override: true})
	}
	return x.o.Request.Append(dst, &w), nil
}

func (x *exchange) AppendAnswer(dst, answer []byte) ([]byte, error) {
	x.complete = true
	if x.o.Seal != nil {
		answer = x.o.Seal(answer)
	}
	if err := x.response.Scan(answer); err != nil {
		return dst, err
	}
	// A response that failed is an answer in the Responses API.
	if f := x.response.Fault(); f != nil && x.lane.op != wire.Responses {
		return dst, &wire.Fault{Body: answer}
	}
	if x.o.Name != nil {
		return x.response.AppendNamed(dst, x.o.Restamp, x.o.Name), nil
	}
	return x.response.Append(dst, x.o.Restamp), nil
}

// scanner is what reads a stream.
type scanner interface {
	Space() []byte
	Advance(n int) ([]byte, error)
	Finish() ([]byte, error)
	Idle()
	Done() bool
}

func (x *exchange) scanner() scanner {
	if x.lane.op == wire.Responses {
		return &x.events
	}
	return &x.tap
}

func (x *exchange) Space() []byte                 { return x.scanner().Space() }
func (x *exchange) Advance(n int) ([]byte, error) { return x.scanner().Advance(n) }
func (x *exchange) Finish() ([]byte, error)       { return x.scanner().Finish() }
func (x *exchange) Idle()                         { x.scanner().Idle() }
func (x *exchange) Done() bool                    { return x.scanner().Done() }

// Refused implements wire.Exchange: an upstream that does not know
// stream_options is not asked for usage again. The setting is forgotten with
// the lane, at the next load of the configuration.
func (x *exchange) Refused(status int, body []byte) bool {
	if !x.asked || status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
		return false
	}
	if !bytes.Contains(body, []byte("stream_options")) && !bytes.Contains(body, []byte("include_usage")) {
		return false
	}
	x.asked = false
	x.lane.silent.Store(true)
	return true
}

func (x *exchange) Outcome() wire.Outcome {
	if x.complete {
		r := &x.response
		return wire.Outcome{Usage: r.Usage(), ID: r.ID(), Model: r.Model(), FinishReason: r.FinishReason(), TextBytes: r.TextBytes()}
	}
	if !x.stream {
		return wire.Outcome{}
	}
	if x.lane.op == wire.Responses {
		e := &x.events
		return wire.Outcome{Usage: e.Usage(), ID: e.ID(), Model: e.NamedModel(), TextBytes: e.TextBytes(), Events: e.Events()}
	}
	t := &x.tap
	return wire.Outcome{
		Usage: t.Usage(), ID: t.ID(), Model: t.NamedModel(), FinishReason: t.FinishReason(), TextBytes: t.TextBytes(), Events: t.Events(),
	}
}

func (x *exchange) Close() {
	x.tap.Close()
	x.events.Close()
	x.lane = nil
	x.o = wire.Options{}
	x.response.Reset()
	exchanges.Put(x)
}
