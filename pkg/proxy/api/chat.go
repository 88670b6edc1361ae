package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// chat is one chat completion on its way through the gateway. It is reused:
// nothing of it may be held beyond run.
type chat struct {
	a      *API
	x      *exchange
	call   call.Call
	plan   call.Plan
	values values

	in, out *buffer // the client's body, and the upstream's
	answer  *buffer // the upstream's, complete
	written *buffer // the client's, complete
	request splice.Request
	// exchange is the attempt being made; nil between attempts.
	exchange wire.Exchange
	live     streaming

	kept cached
	own  fallbacks

	theirs   theirs
	affinity call.Affinity
	// origins are the deployments that the marks of the input's items named;
	// stripped says that the request lacks what the last attempt could not read.
	origins  []string
	stripped bool
	prefixes func() []string
	// named is what prefixes has found, once it has looked; rename says that
	// responses are named together with their deployment.
	named  []string
	looked bool
	rename bool

	// mock is the request's own mock_response.
	mock    string
	mocked  bool
	retries int
	// media is set for calls that send a form or get no JSON.
	media *media
	// measured says that the usage has what the exchange does not know of.
	measured bool
	// wantsUsage outlives the request's body.
	wantsUsage bool
	// limit is the time that the last attempt had.
	limit time.Duration
	late  late
	// ping keeps a silent stream alive; nil unless that is wanted.
	ping *pinger
	// token is the watcher's, while watched.
	token   any
	watched bool
	// entered says that the call has one of the places that Demands bounds.
	entered bool
	// target is where the attempt being made goes.
	target *call.Target
	// bearer is the token of the attempt being made, nil without one; again says
	// that its refusal is a reason to make it once more.
	bearer *call.Bearer
	again  bool
}

// buffer is a byte slice with a stable address, so that pooling it costs no
// allocation.
type buffer struct{ b []byte }

// buffers start small: a thousand streams that begin at once take two of them
// each, and most requests are short.
var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 1<<10)} }}

func takeBuffer() *buffer { return buffers.Get().(*buffer) }

// release gives a buffer back and forgets it.
func release(b **buffer) {
	if *b == nil {
		return
	}
	if kept := keep((*b).b); kept != nil {
		(*b).b = kept
		buffers.Put(*b)
	}
	*b = nil
}

func newChat(a *API) *chat {
	c := &chat{a: a}
	c.plan.ClientGone = func() bool { return c.x.r.Context().Err() != nil }
	c.plan.Hop = c.hop
	c.plan.InputTokens = func() int64 { return promptTokens(&c.request) }
	c.prefixes = func() []string {
		if !c.looked && c.in != nil {
			c.named, c.looked = promptPrefixes(&c.request), true
		}
		return c.named
	}
	return c
}

func serveChat(a *API, x *exchange) int {
	c := a.calls.Get().(*chat)
	status := c.run(x)
	c.reset()
	a.calls.Put(c)
	return status
}

func (c *chat) reset() {
	plan := call.Plan{ClientGone: c.plan.ClientGone, InputTokens: c.plan.InputTokens, Hop: c.plan.Hop}
	release(&c.in)
	release(&c.out)
	release(&c.answer)
	release(&c.written)
	c.x = nil
	c.call = call.Call{}
	c.plan = plan
	c.values.reset()
	c.kept.reset()
	c.mock, c.mocked, c.media, c.measured, c.limit, c.late = "", false, nil, false, 0, late{}
	c.ping = nil
	c.own = fallbacks{}
	c.theirs = theirs{}
	c.affinity, c.named, c.looked, c.rename, c.origins, c.stripped = call.Affinity{}, nil, false, false, nil, false
	_ = c.request.Scan(nil) // lets go of the body
}

// run serves the request and returns the status for the log. Its own frame is
// small, since streams wait above it.
func (c *chat) run(x *exchange) int {
	c.x = x
	if c.a.o.Watch != nil || c.a.o.Demands.MaxParallel > 0 {
		defer c.giveBack() // one deferred call: each takes room in the frame
	}
	err := c.untilBegun()
	if err == call.Begun {
		err = c.follow()
	}
	c.end(err)
	return c.call.Status
}

// untilBegun serves the request up to its end, or up to the first event of a stream,
// for which it returns call.Begun.
func (c *chat) untilBegun() *call.Error {
	x := c.x
	c.call.Caller, c.call.Route, c.call.Start = x.caller, x.route.name, time.Now()
	err := c.prepare()
	if err == nil {
		err = c.enter()
	}
	hit := false
	if err == nil {
		hit, err = c.fromCache(x.route.kind.cache)
	}
	c.a.observe(&c.call, x.r, &c.request)
	if err == nil {
		c.keepPrompt()
	}
	if err != nil || hit {
		return err
	}
	c.call.Queued = time.Since(c.call.Start)
	if w := c.a.o.Watch; w != nil {
		c.watched, c.token = true, w.Begin(&c.call)
	}
	return c.a.o.Router.Run(x.r.Context(), &c.call, &c.plan, c)
}

// giveBack ends the watch over a call and gives its place back, if there were any.
func (c *chat) giveBack() {
	c.unenter()
	if c.watched {
		c.a.o.Watch.End(c.token)
		c.watched, c.token = false, nil
	}
}

// end answers with the error that is not answered yet, and keeps the record.
func (c *chat) end(err *call.Error) {
	c.call.Err = err
	began := c.stopPings()
	switch {
	case err == nil || err.Sent:
	case began:
		c.failInStream(err)
	default:
		c.fail(err)
	}
	if c.x.r.Context().Err() != nil && c.call.Status == 0 {
		c.call.Status = call.ClassClientGone.Status()
	}
	c.call.End = time.Now()
	c.a.o.Record.Record(&c.call)
}

// fail answers with an error.
func (c *chat) fail(err *call.Error) {
	if err.Class == call.ClassClientGone && err.Status == 0 {
		c.call.Status = err.Class.Status()
		return
	}
	h := c.x.w.Header()
	upstreamHeaders(h, err.Provider, err.Secrets)
	c.a.callHeaders(h, &c.call, &c.values)
	timings(h, &c.call, &c.values, time.Now())
	if err == fieldRequired {
		c.call.Status = http.StatusUnprocessableEntity
		writeJSON(c.x.w, c.call.Status, []byte(`{"detail":[{"type":"missing","loc":["body","file"],"msg":"Field required"}]}`))
		return
	}
	h["X-Litellm-Response-Cost"] = nothing
	if c.limit > 0 {
		h["X-Litellm-Timeout"] = []string{strconv.FormatFloat(c.limit.Seconds(), 'f', -1, 64)}
	}
	id := ""
	if c.a.o.CallIDInErrors {
		id = c.call.ID
	}
	c.call.Status = writeCallError(c.x.w, err, id)
}

// secrets are what must not come back from the upstream in use.
func (c *chat) secrets() []redact.Secret {
	switch {
	case c.call.Deployment == nil:
		return nil
	case c.theirs.made != nil:
		return c.theirs.made.Secrets
	}
	return c.call.Deployment.Secrets
}

// nothing is what a call that failed costs.
var nothing = []string{"0"}

// refused classifies an upstream's refusal, and keeps its headers for the client.
func (c *chat) refused(d *call.Deployment, resp *call.Response, body []byte) *call.Error {
	if c.bearer != nil { // which the upstream may repeat
		own := *d
		own.Secrets = append(slices.Clip(d.Secrets), c.bearer.Token)
		d = &own
	}
	e := c.a.o.Classify.Status(d, resp.Status, resp.Header, body)
	e.Provider, e.Secrets = resp.Header, d.Secrets
	c.again = c.learns(d, resp.Status, body)
	return e
}

// prepare reads the request.
func (c *chat) prepare() *call.Error {
	x := c.x
	if c.call.ID = headerValue(x.r.Header, "X-Litellm-Call-Id"); c.call.ID == "" || len(c.call.ID) > 256 {
		c.call.ID = newID()
	}
	if c.media != nil && c.media.form {
		if err := c.readForm(); err != nil {
			return err
		}
		if op := x.route.kind.op; !c.media.file && (op == wire.Transcriptions || op == wire.Translations) {
			return fieldRequired
		}
		_ = c.request.Scan(noMembers)
	} else if err := c.readJSON(); err != nil {
		return err
	}
	if err := c.demands(); err != nil {
		return err
	}
	if err := c.settings(); err != nil {
		return err
	}
	c.call.Model = clipName(c.model())
	c.call.Stream = c.request.Streams() && x.route.kind.op.Streams()
	c.wantsUsage = c.request.WantsUsage()
	c.plan.Model, c.plan.Stream = c.call.Model, c.call.Stream
	if x.caller != nil {
		c.plan.TeamID = x.caller.TeamID
	}
	routing(c.a.o.Routing, &c.plan, &c.request, x.r.Header)
	c.continued()
	if o := c.a.o.Affinity; o != (Affinity{}) {
		c.tie(o)
	}
	c.call.EndUser = clipName(c.endUser())
	if err := c.priced(); err != nil {
		return err
	}
	if err := c.addressed(); err != nil {
		return err
	}
	if !c.a.o.Router.Has(c.plan.Model) {
		if c.a.o.Router.Empty() {
			return call.NewError(http.StatusInternalServerError, call.None, call.None, "No models configured on proxy")
		}
		return invalidModel(x.route.kind.label, c.call.Model)
	}
	return x.route.kind.missing(&c.request)
}

// noMembers is the request of a call whose members are a form's.
var noMembers = []byte("{}")

func (c *chat) readJSON() *call.Error {
	x := c.x
	if err := jsonContent(x.r.Header); err != nil {
		x.w.Header()["Connection"] = closeValue
		return err
	}
	c.in = takeBuffer()
	var err *call.Error
	if c.in.b, err = c.a.readBody(x.w, x.r, c.in.b, c.a.o.MaxBody); err != nil {
		return err
	}
	if err := c.request.Scan(c.in.b); err != nil {
		return call.AsError(err)
	}
	return nil
}

// model is what the request is about: the server's own choice, the path's, the
// body's, in LiteLLM's order for the kind of call.
func (c *chat) model() string {
	o := &c.a.o
	first, last := o.CompletionModel, ""
	switch c.x.route.kind.op {
	case wire.Images:
		first, last = "", o.ImageModel
	case wire.ImageEdits:
		last = o.ImageModel
	case wire.Moderations:
		first, last = "", o.ModerationModel
	case wire.Transcriptions, wire.Translations:
		first = ""
	}
	name := first
	if name == "" {
		name = c.x.value
	}
	if name == "" {
		name = last
	}
	if name == "" && c.media != nil {
		name = c.media.model
	}
	if name == "" {
		text, ok := c.request.Text(splice.Model)
		if !ok {
			return call.None // as LiteLLM prints a missing model
		}
		name = string(text)
	}
	if to := c.a.o.ModelAlias[name]; to != "" {
		return to
	}
	return name
}

// maxName bounds what a client calls a model or its user: names go into errors,
// logs and metrics.
const maxName = 1 << 10

func clipName(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "") + "..."
}

func invalidModel(route, model string) *call.Error {
	return call.NewError(http.StatusBadRequest, call.None, call.None,
		"{'error': '"+route+": Invalid model name passed in model="+model+
			". Call `/v1/models` to view available models for your key.'}")
}
