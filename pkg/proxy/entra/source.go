package entra

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// key tells logins apart.
type key [sha256.Size]byte

func keyOf(l *call.Login) (k key) {
	h := sha256.New()
	write(h, l)
	h.Sum(k[:0])
	return k
}

func write(w io.Writer, l *call.Login) {
	fmt.Fprintf(w, "%d %q %q %q %q %q %q %q %q %q\n", l.Way, l.Authority, l.Tenant, l.Client, l.Scope, l.Secret.Reveal(), l.User, l.Path, l.Endpoint, l.Host)
	a := &l.Assertion
	fmt.Fprintf(w, "%d %q %q %q %q %q\n", a.From, a.Value.Reveal(), a.Path, a.Dirs, a.URL, a.Audience)
	if a.Login != nil {
		write(w, a.Login)
	}
	for i := range l.Chain {
		write(w, &l.Chain[i])
	}
}

// token is one that was fetched. Its times are of the monotonic clock: a wall
// clock that is wrong or jumps does not change them.
type token struct {
	bearer           *call.Bearer
	refresh, expires time.Time
}

// source gets the tokens of one login.
type source struct {
	all   *Sources
	login call.Login
	now   atomic.Pointer[token]

	mu     sync.Mutex
	flight *flight // in the air, or the last that failed
	held   bool    // deployments of today use it: it is refreshed by itself
	timer  *time.Timer
	// spare was dropped because an upstream refused it, which it does also for
	// other reasons: it serves again when no other can be had.
	spare   *token
	dropped bool // since the last token that came in time
	failed  int  // fetches in a row
	again   time.Time
}

// flight is one fetch.
type flight struct {
	done chan struct{}
	err  error
}

// Bearer implements call.TokenSource.
func (s *source) Bearer(ctx context.Context) (*call.Bearer, error) {
	for {
		t, now := s.now.Load(), time.Now()
		if t != nil && now.Before(t.expires) {
			if !now.Before(t.refresh) {
				s.begin() // for a timer that is late
			}
			return t.bearer, nil
		}
		f := s.begin()
		if f == nil {
			continue // there is another by now
		}
		select {
		case <-f.done:
			if f.err != nil {
				return nil, f.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Refused implements call.TokenSource. A token is dropped once: when the next is
// refused as well, it is not for its age.
func (s *source) Refused(b *call.Bearer) bool {
	s.mu.Lock()
	t := s.now.Load()
	if t == nil || t.bearer != b {
		s.mu.Unlock()
		return true // somebody else was told first
	}
	if s.dropped {
		s.mu.Unlock()
		return false
	}
	s.dropped, s.spare = true, t
	s.now.Store(nil)
	s.mu.Unlock()
	s.all.o.Log.Info("an upstream has refused the token of " + describe(&s.login) + ": another is fetched, once")
	s.begin()
	return true
}

// begin returns the fetch in the air. Where there is none it starts one, unless
// one has just failed: then that one is the answer until its pause is over, or a
// token was refused. It is nil where a valid token needs none.
func (s *source) begin() *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if f := s.flight; f != nil {
		select {
		case <-f.done:
			if now.Before(s.again) && s.spare == nil {
				return f
			}
		default:
			return f
		}
	}
	if t := s.now.Load(); t != nil && now.Before(t.refresh) {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	s.flight = f
	if s.all.ctx.Err() != nil {
		f.err = &call.TokenError{Text: "the gateway is shutting down: no token is fetched any more"}
		close(f.done)
		return f
	}
	s.all.wait.Add(1)
	go s.fly(f)
	return f
}

// fly fetches a token and says what came of it.
func (s *source) fly(f *flight) {
	defer s.all.wait.Done()
	p := &s.all.o.pace
	ctx, cancel := context.WithTimeout(s.all.ctx, p.fetch)
	defer cancel()
	g, err := s.all.fetch(ctx, &s.login)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(f.done)
	if err != nil {
		f.err = err
		s.failed++
		pause := min(p.firstPause<<min(s.failed-1, 10), p.lastPause)
		s.again = time.Now().Add(pause)
		if t := s.spare; t != nil && time.Now().Before(t.expires) {
			s.now.CompareAndSwap(nil, t)
		}
		s.spare = nil
		s.schedule(s.again)
		if s.all.ctx.Err() == nil {
			s.tell(err, pause)
		}
		return
	}
	if s.failed > 0 {
		s.all.o.Log.Info("there is a token for " + describe(&s.login) + " again")
	}
	s.dropped = s.spare != nil
	s.flight, s.failed, s.spare = nil, 0, nil
	t := &token{bearer: call.NewBearer(redact.New(g.token)), refresh: g.refresh(), expires: g.expires()}
	s.now.Store(t)
	s.schedule(t.refresh)
}

// tell writes one line for a fetch that failed.
func (s *source) tell(err error, pause time.Duration) {
	var e *call.TokenError
	text := err.Error()
	if errors.As(err, &e) {
		text = e.Text
	}
	next := fmt.Sprintf("; next attempt in %s", pause.Round(time.Second))
	if t := s.now.Load(); t != nil {
		if left := time.Until(t.expires); left > 0 {
			s.all.o.Log.Warn(text + next + fmt.Sprintf(", the token at hand is good for %s", left.Round(time.Second)))
			return
		}
	}
	s.all.o.Log.Error(text + next)
}

// schedule sets when a fetch begins by itself. s.mu is held.
func (s *source) schedule(at time.Time) {
	if s.timer != nil {
		s.timer.Stop()
	}
	if !s.held || s.all.ctx.Err() != nil {
		return
	}
	s.timer = time.AfterFunc(max(time.Until(at), 10*time.Millisecond), func() { s.begin() })
}

// hold begins to refresh.
func (s *source) hold() {
	s.mu.Lock()
	already := s.held
	s.held = true
	t := s.now.Load()
	if already {
		s.mu.Unlock()
		return
	}
	if t != nil {
		s.schedule(t.refresh)
	}
	s.mu.Unlock()
	if t == nil {
		s.begin()
	}
}

// release ends it.
func (s *source) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	if s.timer != nil {
		s.timer.Stop()
	}
}

// grant is what was fetched.
type grant struct {
	token string
	asked time.Time // before the question was sent
	life  time.Duration
	soon  time.Duration // when the issuer wants to be asked again; 0 where it says nothing
}

// refresh is at four fifths of the lifetime, a little earlier by chance, so that
// many gateways do not ask at once; or when the issuer says.
func (g *grant) refresh() time.Time {
	d := g.life * 4 / 5
	if g.soon > 0 && g.soon < d {
		d = g.soon
	}
	return g.asked.Add(d - time.Duration(rand.Int64N(int64(d/20)+1)))
}

// expires is a little before the end, for the way to the upstream.
func (g *grant) expires() time.Time {
	return g.asked.Add(g.life - min(g.life/10, 30*time.Second))
}
