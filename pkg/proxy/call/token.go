package call

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/llmgw/llmgw/internal/redact"
)

// LoginWay is how a token of Entra ID is got.
type LoginWay uint8

// The ways to a token.
const (
	// LoginSecret is an application with its secret.
	LoginSecret LoginWay = iota + 1
	// LoginPassword is a user with a password, in the name of an application.
	LoginPassword
	// LoginAssertion is an application that another issuer vouches for.
	LoginAssertion
	// LoginCertificate is an application with a certificate.
	LoginCertificate
	// LoginManaged is the identity of the machine or of the service that the
	// process runs in.
	LoginManaged
	// LoginWorkspace is an application with its secret at a workspace of
	// Databricks, whose tokens are not Entra's but got in the same way.
	LoginWorkspace
	// LoginChain is the first of a list that can be used here.
	LoginChain
)

// AssertionFrom is where the word of another issuer is found.
type AssertionFrom uint8

// The places of assertions.
const (
	// AssertionValue was in a variable.
	AssertionValue AssertionFrom = iota + 1
	// AssertionFile is read anew for each token: whoever writes it replaces it.
	AssertionFile
	// AssertionGoogle is asked of Google's metadata server.
	AssertionGoogle
	// AssertionGitHub is asked of GitHub Actions.
	AssertionGitHub
	// AssertionLogin is a token of Entra ID itself.
	AssertionLogin
)

// Assertion says where the word of another issuer is found.
type Assertion struct {
	From     AssertionFrom
	Value    redact.Secret // AssertionValue; for AssertionGitHub what it is asked with
	Path     string        // AssertionFile
	Dirs     []string      // the file must lie in one of them, where there are any
	URL      string        // AssertionGitHub
	Audience string
	Login    *Login // AssertionLogin
}

// Login says how a token is got, and for what. Deployments with the
// same one share one token.
type Login struct {
	Way LoginWay
	// Authority is the address below which tenants are found, without a slash at
	// its end.
	Authority, Tenant, Client string
	Scope                     string
	// Secret is the application's, the user's password, or the password of the
	// certificate's file.
	Secret    redact.Secret
	User      string
	Path      string // of the certificate
	Assertion Assertion
	// Endpoint is where a managed identity is asked for, and Secret is sent along;
	// empty is the machine's own metadata service, or Host in its place. For a
	// workspace it is where tokens are fetched.
	Endpoint, Host string
	Chain          []Login
}

// Secrets are what a login must not show.
func (l *Login) Secrets() []redact.Secret {
	var list []redact.Secret
	for _, s := range []redact.Secret{l.Secret, l.Assertion.Value} {
		if !s.IsZero() {
			list = append(list, s)
		}
	}
	if l.Assertion.Login != nil {
		list = append(list, l.Assertion.Login.Secrets()...)
	}
	for i := range l.Chain {
		list = append(list, l.Chain[i].Secrets()...)
	}
	return list
}

// Bearer is one token, as it is sent. It is immutable; two that are the same
// pointer are the same token.
type Bearer struct {
	Token redact.Secret
	// Header is the value of the Authorization header.
	Header []string
}

// NewBearer makes the header of a token.
func NewBearer(token redact.Secret) *Bearer {
	return &Bearer{Token: token, Header: []string{"Bearer " + token.Reveal()}}
}

// TokenSource gets tokens for one login. All methods are safe for concurrent
// use.
type TokenSource interface {
	// Bearer returns a token that is valid now, without waiting where there is
	// one. Else it waits for the one that is being fetched, until ctx ends: the
	// error is the context's, or a *TokenError.
	Bearer(ctx context.Context) (*Bearer, error)
	// Refused says that an upstream did not take a token. It reports whether the
	// next one will be another.
	Refused(b *Bearer) bool
}

// TokenError says why there is no token.
type TokenError struct {
	// Final says that asking again will not help until somebody mends what is
	// configured.
	Final bool
	// Text is a whole sentence without secrets.
	Text string
}

// Error returns the sentence.
func (e *TokenError) Error() string { return e.Text }

// Token is what a deployment is called with that has no key of its own: a
// bearer token which somebody fetches.
type Token struct {
	Login  Login
	source atomic.Pointer[TokenSource]
}

// Bind says where tokens come from. It is called before the deployment is
// given out.
func (t *Token) Bind(s TokenSource) { t.source.Store(&s) }

var errUnbound = errors.New("nothing fetches the deployment's tokens")

// Bearer returns a token, as [TokenSource.Bearer] does.
func (t *Token) Bearer(ctx context.Context) (*Bearer, error) {
	s := t.source.Load()
	if s == nil {
		return nil, errUnbound
	}
	return (*s).Bearer(ctx)
}

// Refused is [TokenSource.Refused].
func (t *Token) Refused(b *Bearer) bool {
	s := t.source.Load()
	return s != nil && (*s).Refused(b)
}

// authorized are the headers of a target with one token.
type authorized struct {
	bearer         *Bearer
	header, stream http.Header
}

// Headers returns what a request is sent with, and the token in it; nil is none.
// It copies nothing while the token stays the same.
func (t *Target) Headers(ctx context.Context, stream bool) (http.Header, *Bearer, error) {
	if t.Token == nil {
		if stream {
			return t.StreamHeader, nil, nil
		}
		return t.Header, nil, nil
	}
	b, err := t.Token.Bearer(ctx)
	if err != nil {
		return nil, nil, err
	}
	w := t.with.Load()
	if w == nil || w.bearer != b {
		w = &authorized{b, t.Header.Clone(), t.StreamHeader.Clone()}
		for _, h := range []http.Header{w.header, w.stream} {
			if h != nil {
				h["Authorization"] = b.Header
			}
		}
		t.with.Store(w)
	}
	if stream {
		return w.stream, b, nil
	}
	return w.header, b, nil
}
