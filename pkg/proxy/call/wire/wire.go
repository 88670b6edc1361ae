// Package wire is how handlers speak with upstreams of any format. A [Lane] is
// one deployment prepared for one kind of call; it is built when a
// configuration is loaded, and shared by all requests. An [Exchange] is one
// attempt on that lane and holds the state of its translation; it belongs to one
// goroutine.
//
// The package holds interfaces and small values only. Handlers import it instead
// of the provider room, which implements it.
package wire

import (
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// Op is a kind of call.
type Op uint8

// The kinds of call that a lane can be prepared for.
const (
	Chat Op = iota
	Completions
	Embeddings
	Responses
	Moderations
	Rerank
	Images
	ImageEdits
	ImageVariations
	Speech
	Transcriptions
	Translations

	// Ops is their number.
	Ops
)

// Streams reports whether calls of the kind may be streamed as events.
func (o Op) Streams() bool {
	return o == Chat || o == Completions || o == Responses
}

// Lanes are the ways to one deployment, one for each kind of call.
type Lanes interface {
	// Lane returns the way for a kind of call, or why there is none, in words for
	// the client.
	Lane(o Op) (Lane, error)
}

// Borrower makes deployments that differ in whose they are.
type Borrower interface {
	// Borrow returns d with a key of a client's, and its address where that is not
	// empty.
	Borrow(d *call.Deployment, key redact.Secret, base string) (*call.Deployment, error)
}

// Lane is the prepared way to one deployment. It is immutable.
type Lane interface {
	// Target is where requests go.
	Target() *call.Target
	// Open begins one attempt. Close the exchange when the attempt is over.
	Open(o Options) Exchange
}

// Addressed is a lane to many models that are found at addresses of their own.
type Addressed interface {
	// TargetFor returns where requests for a model go, or why there is no such
	// place, in words for the client.
	TargetFor(model string) (*call.Target, error)
}

// TargetFor is where requests for a model go on any lane.
func TargetFor(l Lane, model string) (*call.Target, error) {
	if a, ok := l.(Addressed); ok {
		return a.TargetFor(model)
	}
	return l.Target(), nil
}

// Options say what one attempt needs.
type Options struct {
	// Request is the client's body. It stays unchanged until Close.
	Request *splice.Request
	// Model is the provider model for this request when it is not the
	// deployment's own (wildcard deployments); empty means the deployment's.
	Model string
	// Restamp is the model name that the client sees; empty leaves the
	// provider's.
	Restamp string
	// Name gives an answer of the Responses API another id than the upstream's,
	// which is JSON text without quotes; nil leaves it.
	Name func(id []byte) string
	// Seal edits an answer of the Responses API, or the JSON of one of its events,
	// before anything else reads it; nil leaves it.
	Seal func(answer []byte) []byte
	// User replaces the request's user where it is not empty.
	User string
	// AskUsage makes a streamed call ask the upstream for usage.
	AskUsage bool
	// Repeats is how often a model may say the same in a row; 0 does not count.
	Repeats int
	// HideUsage keeps the usage event from the client.
	HideUsage bool
}

// Exchange is one attempt: AppendRequest once, then either AppendAnswer with
// the complete answer, or the stream's methods.
type Exchange interface {
	// AppendRequest appends the upstream's body to dst.
	AppendRequest(dst []byte) ([]byte, error)
	// AppendAnswer appends the client's body for a complete answer of success.
	// The error is splice.ErrNotJSON, a *Fault, or a *call.Error.
	AppendAnswer(dst, answer []byte) ([]byte, error)

	// Space returns room for the next read of a stream, Advance takes the n bytes
	// read there and returns what goes to the client, Finish says that the body
	// has ended. Nothing comes out before the first event that goes to the
	// client. Output is valid until the next call and good even when an error
	// comes with it. The error is a *splice.StreamError or a *call.Error.
	Space() []byte
	Advance(n int) ([]byte, error)
	Finish() ([]byte, error)
	// Idle says that all output has been used and that the next read may take a
	// while.
	Idle()
	// Done reports that the stream is complete: what follows is ignored.
	Done() bool

	// Refused learns from a refusal. It reports true when the lane has learned
	// to send this request differently: AppendRequest once more, and the same
	// attempt may be made again at once. It is true at most once per exchange.
	Refused(status int, body []byte) bool

	// Outcome is what the answer said about itself, so far.
	Outcome() Outcome
	// Close gives the exchange back. Nothing that it returned may be used then.
	Close()
}

// Outcome is what an answer says about itself.
type Outcome struct {
	Usage call.Usage
	// ID is the answer's id, Model what the upstream calls the model, FinishReason
	// the last one; all are valid until Close.
	ID, Model, FinishReason []byte
	// TextBytes is the length of what the model wrote, for an estimate when the
	// upstream reported no usage.
	TextBytes int
	// Events counts the events of a stream.
	Events int
}

// Fault is an error that an upstream put into an answer of status 200.
type Fault struct{ Body []byte }

// Error says what happened without quoting the upstream.
func (*Fault) Error() string { return "the upstream reported an error with status 200" }
