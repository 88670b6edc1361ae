// Package api answers HTTP requests: one file per family of endpoints. It reads
// a request, asks the other rooms through the interfaces of API (who is
// calling, which deployment, send this, count that), and writes the answer in
// the dialect of the endpoint. It decides nothing about keys, routes or prices,
// and opens no connection itself.
package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// Identifier says who is calling, from the headers alone.
type Identifier interface {
	Identify(r *http.Request) (*call.Identity, *call.Error)
}

// Router finds deployments and makes attempts.
type Router interface {
	Run(ctx context.Context, c *call.Call, p *call.Plan, a call.Attempter) *call.Error
	Has(model string) bool
	// OwnedBy reports whether a team has deployments of its own behind a name.
	OwnedBy(team, model string) bool
	Empty() bool
	// Quota is what is left of a group's limits beside a call that has used
	// tokens; ok is false where it has none.
	Quota(group string, tokens int64) (q call.Quota, ok bool)
	Models() []string
	Deployments() []*call.Deployment
}

// Classifier turns an upstream's failure into what the client sees and the
// router decides by.
type Classifier interface {
	// Status classifies an answer whose status is not a success; body is its
	// beginning.
	Status(d *call.Deployment, status int, header http.Header, body []byte) *call.Error
	// Invalid classifies an answer of success that is not what was asked for.
	Invalid(d *call.Deployment, status int, header http.Header, body []byte) *call.Error
	// Stream classifies the errors of an exchange.
	Stream(d *call.Deployment, err error) *call.Error
	// Transport classifies a failure to exchange messages at all.
	Transport(d *call.Deployment, err error) *call.Error
	// Timeout is the failure of an attempt that took too long.
	Timeout(d *call.Deployment, l call.Limits, stream bool) *call.Error
	// Token classifies why there is no token to call a deployment with.
	Token(d *call.Deployment, err error) *call.Error
}

// Recorder takes what is known about a call when it is over. It must not block
// and must copy what it keeps.
type Recorder interface {
	Record(c *call.Call)
}

// Options configure an API. All interfaces are required.
type Options struct {
	Identify Identifier
	// Admission says who may ask for what before a key is looked at.
	Admission Admission
	// Demands are what every call of a model must have.
	Demands  Demands
	Router   Router
	Upstream call.Upstream
	Classify Classifier
	Record   Recorder
	// Cache holds answers, CacheAdmin is the same for operators; nil without one.
	Cache      wire.Cache
	CacheAdmin CacheAdmin
	// Health asks deployments whether they work.
	Health Health
	// Budgets are those of providers; nil where none has one.
	Budgets func() []ProviderBudget
	// Fallbacks are the configured fallbacks of a model: general ones, or those
	// for "context_window" and "content_policy". Nil knows none.
	Fallbacks func(model, kind string) []string

	// Metrics serves /metrics; nil when there are none. MetricsOpen needs no key.
	Metrics     http.Handler
	MetricsOpen bool
	// Observe notes what only metrics and traces show of a call; Labels then
	// returns the values of configured labels, and may be nil.
	Observe bool
	// KeepContent keeps prompts and answers for Record, which gives their room
	// back with ReleaseContent.
	KeepContent bool
	// KeepTags keeps the request's tags for Record.
	KeepTags bool
	// Trace begins a call's part of a trace, from the request's head; nil traces
	// nothing. ForwardTrace tells upstreams of it.
	Trace        func(http.Header) *call.Trace
	ForwardTrace bool
	Labels       func(LabelSource) string
	// Stranger is told of requests to a route whose caller was not let in; nil is
	// not.
	Stranger func(route string, err *call.Error)
	// Watch is told of calls while they run; nil is not.
	Watch call.Watcher
	// Charge works out the cost of a call whose usage is known; nil does not.
	Charge func(*call.Call)

	// State is that of the API that this one replaces; nil begins one.
	State *State
	// RootPath is SERVER_ROOT_PATH: the routes answer with and without it.
	RootPath string
	// CORS says which pages may call from a browser; all, unless set.
	CORS CORS
	// Callbacks are the configured callbacks that are served, for readiness.
	Callbacks []string
	// MaxBody bounds request bodies in bytes; 0 means 64 MiB for what is held in
	// memory, and no bound for what passes through.
	MaxBody int64
	// BodyPatience is how long a body may take to arrive; every 64 KiB of it add a
	// second. 0 means 60 s.
	BodyPatience time.Duration
	// MaxAnswer bounds answers that are not streamed; 0 means 256 MiB.
	MaxAnswer int64
	// CompletionModel, ImageModel and ModerationModel are the settings of
	// general_settings that replace the model of requests.
	CompletionModel, ImageModel, ModerationModel string
	// ModelAlias is litellm_settings.model_alias_map.
	ModelAlias map[string]string
	// StreamUsage is general_settings.always_include_stream_usage; nil asks the
	// upstream and hides the answer from clients that did not ask.
	StreamUsage *bool
	// Clients says what callers' headers mean, and which go upstream.
	Clients Clients
	// Routing says what the router wants to know of a request.
	Routing Routing
	// ClientAuth says who may bring a key; Outside is the way to addresses that
	// may not lead inside the network.
	ClientAuth ClientAuth
	Outside    call.Upstream
	// Affinity says what the router wants to know of earlier calls.
	Affinity Affinity
	// CancelOnDisconnect ends the attempt in flight of a call that does not
	// stream when its client leaves.
	CancelOnDisconnect bool
	// AllowMockTesting lets clients ask for made-up failures and delays.
	AllowMockTesting bool
	// MaxInFlight answers 503 above this many requests; 0 does not.
	MaxInFlight int
	// Seats bound the requests that are served at once, others wait; the zero value
	// bounds nothing.
	Seats Seats
	// CallIDInErrors puts the id of the call into the body of its error.
	CallIDInErrors bool
	// ExposeFallbackErrors lets clients ask for the errors of groups that failed.
	ExposeFallbackErrors bool
	// StreamCost puts the cost into the usage that streams report.
	StreamCost bool
	// DetailedTiming says in headers how long the parts of a call took.
	DetailedTiming bool
	// Repeats is how often the model of a stream may say the same in a row; 0 does
	// not count.
	Repeats int
	// SpeechPiece is how much of a sound is passed on at once, at the most; 0 leaves
	// that to what comes.
	SpeechPiece int
	// OpenDetails answers /health/readiness with its details.
	OpenDetails bool
	// HealthyOnly leaves models out of listings that nothing healthy serves.
	HealthyOnly bool
	// Inferred are names that are listed beside the router's.
	Inferred []string
	// AlwaysLog does not let clients keep calls from log targets.
	AlwaysLog bool
	// SpendTags are headers that become tags, NoAgentTags leaves the User-Agent's
	// out.
	SpendTags   []string
	NoAgentTags bool
	// Ping keeps streams alive that stay silent for so long, with comments; 0 does
	// not. A deployment may say otherwise.
	Ping time.Duration
	// Drain begins a drain and returns when nothing is in flight, or the time for
	// it is over; nil takes /health/drain away. DrainToken must come with it,
	// unless it is empty.
	Drain      func(ctx context.Context) (finished int64)
	DrainToken redact.Secret
	// MaxStreamDuration ends every stream after this time; 0 does not.
	MaxStreamDuration time.Duration
	// Database is what readiness says about the database.
	Database func() DatabaseState
	// SchemaMissing names what the database lacks, for a readiness that fails
	// until it is there; nil lacks nothing.
	SchemaMissing func() string
	// Emulated is the LiteLLM release answered as, Build our own version.
	Emulated, Build string
	// HideVersions leaves both out of the answers' headers.
	HideVersions bool
	// NoDocs takes the page of the API away (NO_DOCS), NoRedoc its second address
	// (NO_REDOC), RootRedirect sends / to another page (ROOT_REDIRECT_URL).
	NoDocs, NoRedoc bool
	RootRedirect    string
	// Docs are other paths of these pages, and what they say of themselves.
	Docs DocsPages
	// BlockRobots asks crawlers to keep out, in /robots.txt.
	BlockRobots bool
	// TestService sends a test to where alerts go; known is false where the name
	// is not configured. Nil knows none.
	TestService func(ctx context.Context, name string) (answer any, known bool, err error)
	// LogLevel is what readiness details report.
	LogLevel string
	// PassThrough are the operator's own routes to other services; KeyHeader is
	// the header that holds keys where it replaces all others.
	PassThrough []PassThrough
	KeyHeader   string
	// Access writes access lines; nil writes none.
	Access AccessLog
	// Log is for what operators must know; nil discards.
	Log *slog.Logger
}

// AccessLog writes one line for a finished request.
type AccessLog interface {
	Line(r *http.Request, status int)
}

// API serves all endpoints. It is an http.Handler.
type API struct {
	o           Options
	routes      map[string]*route
	pass        *passTable
	passLimit   int64 // of bodies that are not held; 0: none
	metricsHint sync.Once
	answer      answerHeaders
	calls       sync.Pool
	state       *State
	content     *content
	seats       *seats // nil bounds nothing
}

type route struct {
	// name is the canonical path, without path values.
	name   string
	method string
	// public routes need no key.
	public bool
	serve  func(a *API, x *exchange) int
	// kind is set for calls of models.
	kind *kind
}

// exchange is one request on its way through a handler.
type exchange struct {
	w     http.ResponseWriter
	r     *http.Request
	route *route
	// path is the request's path below the root path.
	path string
	// value is the path's {model} or {model_id}.
	value  string
	caller *call.Identity
	slot   *inFlightSlot
	seats  *seats // it has one of them
}

// New returns an API.
func New(o Options) *API {
	if o.BodyPatience <= 0 {
		o.BodyPatience = bodyPatience
	}
	passLimit := o.MaxBody
	if o.MaxBody <= 0 {
		o.MaxBody = 64 << 20
	}
	if o.MaxAnswer <= 0 {
		o.MaxAnswer = 256 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.SchemaMissing == nil {
		o.SchemaMissing = func() string { return "" }
	}
	if o.Database == nil {
		o.Database = func() DatabaseState { return DatabaseNone }
	}
	o.RootPath = strings.TrimRight(o.RootPath, "/")
	if o.RootPath != "" && o.RootPath[0] != '/' {
		o.RootPath = "/" + o.RootPath
	}
	if o.State == nil {
		o.State = new(State)
	}
	a := &API{o: o, passLimit: passLimit, routes: routes(), pass: newPassTable(o.PassThrough), state: o.State, content: &o.State.content}
	a.answer = newAnswerHeaders(&o)
	a.seats = a.state.seats.seatsFor(o.Seats)
	if o.NoDocs {
		for _, path := range [...]string{"/docs", "/redoc", "/openapi.json"} {
			delete(a.routes, path)
		}
	}
	if o.NoRedoc {
		delete(a.routes, "/redoc")
	}
	o.Docs.move(a.routes)
	if o.BlockRobots {
		a.routes["/robots.txt"] = &route{name: "/robots.txt", method: http.MethodGet, public: true, serve: serveRobots}
	}
	a.calls.New = func() any { return newChat(a) }
	return a
}

// State is what outlives an API that another replaces while requests run.
type State struct {
	inFlight   inFlight
	calls      atomic.Int64 // counted only where Demands bounds them
	turnedAway atomic.Int64
	seats      seatCounts
	draining   atomic.Bool
	content    content
}

// Drain makes readiness fail, so that no new traffic is sent here; requests are
// still served.
func (a *API) Drain() { a.state.draining.Store(true) }

// State is what an API that replaces this one takes over.
func (a *API) State() *State { return a.state }

// Draining reports whether Drain was called.
func (a *API) Draining() bool { return a.state.draining.Load() }

// InFlight is the number of requests being served, probes apart.
func (a *API) InFlight() int64 { return a.state.inFlight.sum() }

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange{w: w, r: r}
	status := http.StatusInternalServerError
	defer func() {
		if x.slot != nil {
			x.slot.leave()
		}
		if x.seats != nil {
			x.seats.giveBack(&a.state.seats)
		}
		if p := recover(); p != nil {
			status = a.panicked(&x, p)
		}
		if a.o.Access != nil {
			a.o.Access.Line(r, status)
		}
	}()
	if status = a.cors(w, r); status == 0 {
		status = a.dispatch(&x)
	}
}

// panicked turns a bug into an answer: the request ends, the process does not.
func (a *API) panicked(x *exchange, p any) int {
	if p == http.ErrAbortHandler {
		panic(p)
	}
	a.o.Log.Error("internal error", "path", x.r.URL.Path, "panic", redact.Text(fmt.Sprint(p)))
	if x.w.Header()["Content-Type"] != nil {
		// The answer has begun: it must not end as if it were whole.
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = recover() }()
	writeJSON(x.w, http.StatusInternalServerError, []byte(`{"error":{"message":"Internal server error","type":"internal_server_error"}}`))
	return http.StatusInternalServerError
}

func (a *API) dispatch(x *exchange) int {
	x.path = x.r.URL.Path
	if a.o.RootPath != "" {
		if rest, ok := strings.CutPrefix(x.path, a.o.RootPath); ok && (rest == "" || rest[0] == '/') {
			x.path = rest
		}
	}
	if x.path == "" {
		x.path = "/"
	}
	if s := a.seats; s != nil && !needsNoSeat[x.path] {
		x.slot = a.state.inFlight.enter() // a drain waits for those that wait, too
		if why := s.take(x.r.Context(), &a.state.seats); why != "" {
			return a.overCapacity(x, why)
		}
		x.seats = s
	}
	rt := a.routes[x.path]
	if rt == nil {
		rt, x.value = match(x.path)
	}
	if a.pass != nil && (rt == nil || rt == &absentRoute) {
		if status, taken := a.passThrough(x); taken {
			return status
		}
	}
	if rt == nil || rt == &absentRoute {
		if to := a.withoutSlash(x); to != "" {
			x.w.Header()["Location"] = []string{to}
			x.w.WriteHeader(http.StatusTemporaryRedirect)
			return http.StatusTemporaryRedirect
		}
	}
	if rt == nil {
		return a.unknownPath(x)
	}
	x.route = rt
	if rt.method != "" && x.r.Method != rt.method {
		return methodNotAllowed(x, rt)
	}
	if !rt.public {
		// Probes do not count: they go on while a drain waits for the rest.
		if x.slot == nil {
			x.slot = a.state.inFlight.enter()
		}
		if err := a.overloaded(); err != nil {
			return a.refuse(x, err)
		}
		open, err := a.admit(x)
		if err != nil {
			return a.refuse(x, err)
		}
		if x.caller = unknown; !open {
			if err = a.identify(x, x.r); err != nil {
				if a.o.Stranger != nil {
					a.o.Stranger(rt.name, err)
				}
				return a.refuse(x, err)
			}
		}
	}
	return rt.serve(a, x)
}

// overloaded refuses calls beyond the limit.
func (a *API) overloaded() *call.Error {
	if limit := a.o.MaxInFlight; limit > 0 && a.state.inFlight.sum() > int64(limit) {
		a.state.turnedAway.Add(1)
		return unavailable("Too many requests in flight; try again in a moment")
	}
	return nil
}

func unavailable(message string) *call.Error {
	e := call.NewError(http.StatusServiceUnavailable, "service_unavailable_error", call.None, message)
	e.Header = http.Header{"Retry-After": {"1"}}
	return e
}

// refuse answers before the body has been read. The connection ends when there
// is a body, so that nobody can make the server read what it will not use.
func (a *API) refuse(x *exchange, err *call.Error) int {
	if x.r.ContentLength != 0 {
		x.w.Header()["Connection"] = closeValue
	}
	return writeError(x.w, err)
}

var closeValue = []string{"close"}
