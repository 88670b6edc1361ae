package call

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// Target is where a deployment is reached for one kind of call. It is computed
// once per deployment, immutable, and shared by all requests.
type Target struct {
	// URL is complete, query included.
	URL *url.URL
	// Header is sent with every request, credentials included. Values are not
	// copied per request.
	Header http.Header
	// StreamHeader is Header for streamed calls (another Accept).
	StreamHeader http.Header
	// TLS says how the upstream's certificate is checked; nil means as the
	// client was told.
	TLS *tls.Config
	// Token is sent besides; nil where the headers are all there is. Headers puts
	// both together.
	Token *Token
	with  atomic.Pointer[authorized]
}

// Request is one upstream attempt, ready to be sent.
type Request struct {
	Method string
	URL    *url.URL
	Header http.Header
	// Once says that URL is this request's alone and not worth remembering.
	Once bool
	// TLS is the target's. Connections are kept apart by it.
	TLS *tls.Config
	// Body is sent with an exact Content-Length. It must stay untouched until
	// the Lease says Done or, if it never does, for ever.
	Body []byte
	// Upload is sent instead of Body where it is not nil, as it is read: Length
	// bytes, or when that is less than zero until it ends. Such a request is sent
	// once. Upload is closed when it is not read any more, which may be after the
	// answer.
	Upload io.ReadCloser
	Length int64
	// Deadline bounds the whole exchange, the reading of the body included; zero
	// does not. It is cheaper than a context that ends by itself.
	Deadline time.Time
}

// Response is an upstream's answer, its body still unread.
type Response struct {
	Status int
	Header http.Header
	// Length is the announced length of Body, -1 when unknown.
	Length int64
	// Body must be closed. Closing it before its end gives up the connection.
	Body io.ReadCloser
}

// Waiter is a Body that can wait for its next bytes before it is given a buffer
// for them.
type Waiter interface {
	// Wait returns when Read will not wait: there is something to read, or the
	// body has ended, or the wait has failed, which Read will tell.
	Wait()
}

// Upstream sends one request and returns when the head of its answer is there.
// The context ends the whole exchange, the reading of the body included.
//
// It is the seam behind which the HTTP client can be replaced: nothing above it
// knows net/http's client.
type Upstream interface {
	Do(ctx context.Context, r *Request) (Response, Lease, error)
}

// Lease says whether the upstream client still reads a request's body: an
// upstream may answer before it has read everything.
type Lease interface {
	// Done reports whether nothing reads the body any more. Once it has said so
	// the lease is over and must not be used again. It is called only after Do
	// has returned.
	Done() bool
}
