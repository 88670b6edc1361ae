package wire

import (
	"context"
	"net/http"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// CacheQuery is a request that may have been answered before.
type CacheQuery struct {
	// Kind is the kind of call in the words of supported_call_types, without the
	// "a" of asynchronous ones: "completion", "embedding".
	Kind    string
	Request *splice.Request
	Header  http.Header
	// Model is the model name that the client asked for.
	Model  string
	Stream bool
	Caller *call.Identity
}

// CacheTicket is what a lookup has found out: the key of the request, and
// whether its answer shall be kept. The zero value keeps nothing.
type CacheTicket struct {
	// Key is sent as x-litellm-cache-key; empty when the cache is not concerned.
	Key string
	// Keep says that the answer shall be kept for TTL.
	Keep   bool
	TTL    time.Duration
	Stream bool
	// Parts are the keys of a list's elements.
	Parts []string
	// ModelID is the deployment that answered; the handler sets it before Keep.
	ModelID string
}

// CacheHit is an answer that was given before.
type CacheHit struct {
	// Body is a JSON answer, or all events of a stream. It must not be changed.
	Body []byte
	// Usage is what it used then, ModelID the deployment that gave it.
	Usage   call.Usage
	ModelID string
}

// Cache holds answers. All methods are safe for concurrent use; none of them
// fails a request, and none takes longer than the bound that the cache states.
type Cache interface {
	// Lookup fills in the ticket and returns a hit, or nil. The error is a
	// refusal of what the request says about the cache.
	Lookup(ctx context.Context, q *CacheQuery, t *CacheTicket) (*CacheHit, *call.Error)
	// Keep keeps a complete answer of success. It copies body and returns at
	// once.
	Keep(t *CacheTicket, body []byte, usage call.Usage)
	// LookupParts is Lookup for a request whose input is a list: every element has
	// an entry of its own. It returns a hit or nil for each; the ticket's Parts
	// are their keys, and no Parts mean that the cache is not concerned.
	LookupParts(ctx context.Context, q *CacheQuery, elements [][]byte, t *CacheTicket) ([]*CacheHit, *call.Error)
	// KeepPart keeps the answer to one element.
	KeepPart(t *CacheTicket, n int, body []byte, usage call.Usage)
	// MaxAnswer is the length of the longest answer that is kept.
	MaxAnswer() int
}
