// Package entra gets tokens of Entra ID for deployments that have no key: for an
// application with a secret, a certificate or the word of another issuer, for a
// user with a password, for the identity of the machine. Workspaces of Databricks
// give tokens in the same way, and get them here, too.
//
// Tokens are fetched ahead of time and behind the requests, once for all
// deployments with the same login. A request waits only where there is no valid
// token at all, and takes no lock where there is one. The package decides
// nothing about requests: it says why there is no token, and others make an
// answer of it.
package entra

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Options configure Sources.
type Options struct {
	// TLS says how certificates are checked; nil means by the system's
	// authorities.
	TLS *tls.Config
	// Proxy chooses an outbound proxy; nil means none. The metadata services of
	// machines are never asked through one: it would be another machine's.
	Proxy func(*http.Request) (*url.URL, error)
	// IPv4 reaches hosts over that alone.
	IPv4 bool
	// Log is told of failures, once for each time that a token was asked for in
	// vain; nil tells nobody.
	Log *slog.Logger

	// pace is how long things take; tests have less patience.
	pace pace
}

// pace is how long is waited for what.
type pace struct {
	try, fetch            time.Duration // one question, and all of one fetch
	probe                 time.Duration // connecting to a metadata service
	retry                 time.Duration // before the second question
	firstPause, lastPause time.Duration // between fetches that failed
}

var usual = pace{
	try: 10 * time.Second, fetch: 30 * time.Second, probe: 2 * time.Second, retry: 500 * time.Millisecond,
	firstPause: time.Second, lastPause: time.Minute,
}

// Sources keeps one source for each login in use.
type Sources struct {
	o      Options
	ctx    context.Context
	cancel context.CancelFunc
	direct *http.Client // to metadata services
	client *http.Client
	wait   sync.WaitGroup

	mu     sync.Mutex
	known  map[key]*source
	closed bool
}

// New returns Sources without any.
func New(o Options) *Sources {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.pace == (pace{}) {
		o.pace = usual
	}
	s := &Sources{o: o, known: map[key]*source{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	network := func(n string) string {
		if o.IPv4 && n == "tcp" {
			return "tcp4"
		}
		return n
	}
	dialer, near := &net.Dialer{Timeout: o.pace.try}, &net.Dialer{Timeout: o.pace.probe}
	client := func(d *net.Dialer, proxy func(*http.Request) (*url.URL, error), idle int) *http.Client {
		return &http.Client{
			Transport: &http.Transport{
				Proxy: proxy, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: idle, DisableKeepAlives: true,
				DialContext:           func(ctx context.Context, n, a string) (net.Conn, error) { return d.DialContext(ctx, network(n), a) },
				ResponseHeaderTimeout: o.pace.try, MaxResponseHeaderBytes: 64 << 10,
			},
			// What is sent is secret: it goes where it was meant to go.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	s.client, s.direct = client(dialer, o.Proxy, 1), client(near, nil, 1)
	return s
}

// Bind gives the tokens of deployments their sources, and begins to fetch those
// that are not there yet. What earlier deployments asked for and these do not is
// no longer refreshed; it serves those who still hold it.
func (s *Sources) Bind(deployments []*call.Deployment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	used := map[key]*source{}
	for _, d := range deployments {
		if d.Token == nil {
			continue
		}
		k := keyOf(&d.Token.Login)
		src := used[k]
		if src == nil {
			if src = s.known[k]; src == nil {
				src = &source{all: s, login: d.Token.Login}
			}
			used[k] = src
		}
		d.Token.Bind(src)
	}
	for k, old := range s.known {
		if used[k] == nil {
			old.release()
		}
	}
	s.known = used
	for _, src := range used {
		src.hold()
	}
}

// Close ends what is being fetched and waits for it.
func (s *Sources) Close() {
	s.mu.Lock()
	s.closed = true
	for _, src := range s.known {
		src.release()
	}
	s.mu.Unlock()
	s.cancel()
	s.wait.Wait()
	s.client.CloseIdleConnections()
	s.direct.CloseIdleConnections()
}
