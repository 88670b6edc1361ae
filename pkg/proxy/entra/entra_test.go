package entra

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a token endpoint, and whatever else is asked on the way to one.
type authority struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]

	mu    sync.Mutex
	forms []url.Values
	heads []http.Header
	paths []string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		a.mu.Lock()
		a.forms, a.heads, a.paths = append(a.forms, r.Form), append(a.heads, r.Header), append(a.paths, r.URL.Path)
		a.mu.Unlock()
		n := a.asked.Add(1)
		if h := a.answer.Load(); h != nil {
			(*h)(w, r)
			return
		}
		fmt.Fprintf(w, `{"token_type":"Bearer","access_token":"token-%d","expires_in":3599}`, n)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *authority) say(h http.HandlerFunc) { a.answer.Store(&h) }

// fixed answers always the same.
func fixed(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// quick has little patience.
var quick = pace{try: 900 * time.Millisecond, fetch: 4 * time.Second, probe: 300 * time.Millisecond, retry: time.Millisecond, firstPause: 40 * time.Millisecond, lastPause: 80 * time.Millisecond}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func sources(t *testing.T, p pace) (*Sources, *lines) {
	t.Helper()
	log := &lines{}
	s := New(Options{Log: slog.New(slog.NewTextHandler(log, nil)), pace: p})
	t.Cleanup(s.Close)
	return s, log
}

const secret = "s3cret-of-the-application"

func (a *authority) login() call.Login {
	return call.Login{Way: call.LoginSecret, Authority: a.URL, Tenant: "t1", Client: "c1", Scope: "https://x/.default", Secret: redact.New(secret)}
}

func deployment(l call.Login) *call.Deployment {
	return &call.Deployment{Token: &call.Token{Login: l}}
}

func get(t *testing.T, d *call.Deployment) *call.Bearer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	b, err := d.Token.Bearer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestEachWayAsksAsItsFormSays(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(" word-of-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokenAnswer := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/google"):
			fmt.Fprint(w, "word-of-google")
		case strings.HasPrefix(r.URL.Path, "/github"):
			fmt.Fprint(w, `{"value":"word-of-github"}`)
		case strings.HasPrefix(r.URL.Path, "/metadata"), strings.HasPrefix(r.URL.Path, "/msi"):
			fmt.Fprintf(w, `{"access_token":"token-of-machine","expires_in":"3599","expires_on":"%d"}`, time.Now().Add(time.Hour).Unix())
		default:
			fmt.Fprint(w, `{"access_token":"token","expires_in":3599}`)
		}
	}
	a.say(tokenAnswer)
	asserted := func(word string) url.Values {
		return url.Values{
			"client_id": {"c1"}, "grant_type": {"client_credentials"}, "scope": {"https://x/.default"}, "client_assertion": {word},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}
	}
	machine := call.Login{Way: call.LoginManaged, Host: a.URL, Scope: "https://x/.default"}
	for _, tt := range []struct {
		name   string
		change func(l *call.Login)
		path   string
		form   url.Values
		header [2]string
	}{
		{"a secret", func(l *call.Login) {}, "/t1/oauth2/v2.0/token", url.Values{"client_id": {"c1"}, "client_secret": {secret}, "grant_type": {"client_credentials"}, "scope": {"https://x/.default"}}, [2]string{"Content-Type", "application/x-www-form-urlencoded"}},
		{"a password", func(l *call.Login) {
			l.Way, l.User, l.Secret, l.Tenant = call.LoginPassword, "u@x.org", redact.New("p&w"), "organizations"
		}, "/organizations/oauth2/v2.0/token", url.Values{"client_id": {"c1"}, "grant_type": {"password"}, "scope": {"https://x/.default"}, "username": {"u@x.org"}, "password": {"p&w"}}, [2]string{}},
		{"a word from a variable", func(l *call.Login) {
			l.Way, l.Assertion = call.LoginAssertion, call.Assertion{From: call.AssertionValue, Value: redact.New("word")}
		}, "/t1/oauth2/v2.0/token", asserted("word"), [2]string{}},
		{"a word from a file", func(l *call.Login) {
			l.Way, l.Assertion = call.LoginAssertion, call.Assertion{From: call.AssertionFile, Path: file, Dirs: []string{dir}}
		}, "/t1/oauth2/v2.0/token", asserted("word-of-a-file"), [2]string{}},
		{"a word of Google's", func(l *call.Login) {
			l.Way, l.Assertion = call.LoginAssertion, call.Assertion{From: call.AssertionGoogle, URL: a.URL + "/google", Audience: "api://A"}
		}, "/t1/oauth2/v2.0/token", asserted("word-of-google"), [2]string{}},
		{"a word of GitHub's", func(l *call.Login) {
			l.Way, l.Assertion = call.LoginAssertion, call.Assertion{From: call.AssertionGitHub, URL: a.URL + "/github?a=1", Value: redact.New("gh"), Audience: "api://A"}
		}, "/t1/oauth2/v2.0/token", asserted("word-of-github"), [2]string{}},
		{"a word of the machine's", func(l *call.Login) {
			l.Way, l.Assertion = call.LoginAssertion, call.Assertion{From: call.AssertionLogin, Login: &machine}
		}, "/t1/oauth2/v2.0/token", asserted("token-of-machine"), [2]string{}},
		{"the machine", func(l *call.Login) { *l = machine }, "/metadata/identity/oauth2/token", url.Values{"api-version": {"2018-02-01"}, "resource": {"https://x"}}, [2]string{"Metadata", "true"}},
		{"an identity given to the machine", func(l *call.Login) { *l = machine; l.Client = "mi" }, "/metadata/identity/oauth2/token", url.Values{"api-version": {"2018-02-01"}, "resource": {"https://x"}, "client_id": {"mi"}}, [2]string{"Metadata", "true"}},
		{"the identity of an app", func(l *call.Login) {
			*l = machine
			l.Endpoint, l.Secret = a.URL+"/msi", redact.New("head")
		}, "/msi", url.Values{"api-version": {"2019-08-01"}, "resource": {"https://x"}}, [2]string{"X-Identity-Header", "head"}},
		{"a workspace", func(l *call.Login) {
			*l = call.Login{Way: call.LoginWorkspace, Endpoint: a.URL + "/oidc/v1/token", Client: "c1", Scope: "all-apis", Secret: redact.New(secret)}
		}, "/oidc/v1/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"all-apis"}}, [2]string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("c1:"+secret))}},
		{"the second of a chain", func(l *call.Login) {
			*l = call.Login{Way: call.LoginChain, Chain: []call.Login{{Way: call.LoginManaged, Host: "http://127.0.0.1:1", Scope: "https://x/.default"}, machine}}
		}, "/metadata/identity/oauth2/token", url.Values{"api-version": {"2018-02-01"}, "resource": {"https://x"}}, [2]string{"Metadata", "true"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := sources(t, quick)
			l := a.login()
			tt.change(&l)
			d := deployment(l)
			s.Bind([]*call.Deployment{d})
			b := get(t, d)
			if !strings.HasPrefix(b.Header[0], "Bearer token") {
				t.Errorf("header %q", b.Header)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			last := len(a.forms) - 1
			if got, want := a.forms[last].Encode(), tt.form.Encode(); got != want || a.paths[last] != tt.path {
				t.Errorf("%s %s\nwant %s %s", a.paths[last], got, tt.path, want)
			}
			if got := a.heads[last].Get(tt.header[0]); got != tt.header[1] {
				t.Errorf("header %s: %q", tt.header[0], got)
			}
		})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, path := range a.paths {
		switch path {
		case "/google":
			if a.forms[i].Get("audience") != "api://A" || a.heads[i].Get("Metadata-Flavor") != "Google" {
				t.Errorf("google: %v %v", a.forms[i], a.heads[i])
			}
		case "/github":
			if f := a.forms[i]; f.Get("audience") != "api://A" || f.Get("a") != "1" || a.heads[i].Get("Authorization") != "Bearer gh" {
				t.Errorf("github: %v %v", a.forms[i], a.heads[i])
			}
		}
	}
}

func TestOneFetchServesAllWhoWait(t *testing.T) {
	a := newAuthority(t)
	release := make(chan struct{})
	a.say(func(w http.ResponseWriter, r *http.Request) {
		<-release
		fmt.Fprint(w, `{"access_token":"token","expires_in":3599}`)
	})
	s, _ := sources(t, pace{try: 5 * time.Second, fetch: 10 * time.Second, probe: time.Second, retry: time.Millisecond, firstPause: time.Second, lastPause: time.Second})
	// Two deployments with the same login, and one for something else.
	other := a.login()
	other.Scope = "https://y/.default"
	list := []*call.Deployment{deployment(a.login()), deployment(a.login()), deployment(other)}
	s.Bind(list)
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() { get(t, list[i%3]) })
	}
	time.Sleep(20 * time.Millisecond)
	close(release)
	wait.Wait()
	if n := a.asked.Load(); n != 2 {
		t.Errorf("asked %d times for two logins", n)
	}
	if get(t, list[0]) != get(t, list[1]) || get(t, list[0]) == get(t, list[2]) {
		t.Error("who shares a token with whom?")
	}
}

func TestATokenIsRefreshedAheadAndNobodyWaits(t *testing.T) {
	a := newAuthority(t)
	var slow atomic.Bool
	a.say(func(w http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":4}`, a.asked.Load())
	})
	s, _ := sources(t, quick)
	d := deployment(a.login())
	s.Bind([]*call.Deployment{d})
	first := get(t, d)
	slow.Store(true)
	for end := time.Now().Add(5500 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		// A context that has ended cannot wait.
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := d.Token.Bearer(ended); err != nil {
			t.Fatalf("a request would have waited: %v", err)
		}
	}
	if get(t, d) == first || a.asked.Load() < 2 {
		t.Errorf("after its lifetime there is no other token; asked %d times", a.asked.Load())
	}
	if n := a.asked.Load(); n > 6 {
		t.Errorf("asked %d times in two lifetimes", n)
	}
}

func TestFailuresAreSaidClearlyAndBounded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		asks   int64
		final  bool
		says   []string
	}{
		{"a wrong secret", fixed(401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Ensure `+secret+` is right. Trace ID: 1 Correlation ID: 2"}`), 1, true, []string{"application c1 of tenant t1", "answered 401", "AADSTS7000215", "check client_id and its secret"}},
		{"an unknown tenant", fixed(400, `{"error":"invalid_request","error_description":"AADSTS90002: Tenant 't1' not found.\r\nTrace ID: 1"}`), 1, true, []string{"answered 400", "check tenant_id"}},
		{"a wrong scope", fixed(400, `{"error":"invalid_scope","error_description":"AADSTS70011"}`), 1, true, []string{"check azure_scope"}},
		{"nothing there", fixed(404, `not here`), 1, true, []string{"answered 404", "check AZURE_AUTHORITY_HOST and tenant_id"}},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, 1, true, []string{"answered 307"}},
		{"temporarily", fixed(400, `{"error":"temporarily_unavailable"}`), tries, false, []string{"answered 400"}},
		{"broken", fixed(503, `<html>`), tries, false, []string{"answered 503"}},
		{"a page", fixed(200, `<html>log in to the network</html>`), tries, false, []string{"not a token", "another server in the way"}},
		{"no token", fixed(200, `{"expires_in":3599}`), tries, false, []string{"without access_token"}},
		{"a token of two lines", fixed(200, `{"access_token":"a\nb","expires_in":3599}`), tries, false, []string{"without access_token"}},
		{"no lifetime", fixed(200, `{"access_token":"t"}`), tries, false, []string{"without expires_in"}},
		{"expired", fixed(200, `{"access_token":"t","expires_in":0}`), tries, false, []string{"expired already", "clock"}},
		{"expired by the clock", fixed(200, `{"access_token":"t","expires_on":"1000000"}`), tries, false, []string{"expired already", "clock"}},
		{"a hanging one", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, tries, false, []string{"no answer in time", "can be reached"}},
		{"one that ends connections", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, tries, false, []string{"connection was lost"}},
		{"an endless answer", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
					return
				}
			}
		}, tries, false, []string{"not a token"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAuthority(t)
			a.say(tt.answer)
			p := quick
			p.firstPause, p.lastPause = time.Hour, time.Hour
			s, log := sources(t, p)
			d := deployment(a.login())
			s.Bind([]*call.Deployment{d})
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			for range 3 { // who comes during the pause gets the same answer, at once
				_, err := d.Token.Bearer(ctx)
				var e *call.TokenError
				if !errors.As(err, &e) {
					t.Fatalf("%v", err)
				}
				if e.Final != tt.final {
					t.Errorf("final %v", e.Final)
				}
				for _, text := range tt.says {
					if !strings.Contains(e.Text, text) {
						t.Errorf("%q does not say %q", e.Text, text)
					}
				}
				if strings.Contains(e.Text, secret) || strings.Contains(log.String(), secret) {
					t.Errorf("the secret is told: %s %s", e.Text, log.String())
				}
			}
			if n := a.asked.Load(); n != tt.asks && !(tt.name == "one that ends connections" && n >= tt.asks) {
				t.Errorf("asked %d times, want %d", n, tt.asks)
			}
			until(t, "one line in the log", func() bool { return strings.Count(log.String(), "\n") == 1 })
			if text := log.String(); !strings.Contains(text, "next attempt in") {
				t.Errorf("log %s", text)
			}
		})
	}
	t.Run("a file that is not there", func(t *testing.T) {
		a := newAuthority(t)
		s, _ := sources(t, quick)
		l := a.login()
		l.Way, l.Assertion = call.LoginAssertion, call.Assertion{From: call.AssertionFile, Path: filepath.Join(t.TempDir(), "none")}
		d := deployment(l)
		s.Bind([]*call.Deployment{d})
		if _, err := d.Token.Bearer(context.Background()); err == nil || !strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a machine without an identity", func(t *testing.T) {
		a := newAuthority(t)
		a.say(fixed(400, `{"error":"invalid_request","error_description":"Identity not found"}`))
		s, _ := sources(t, quick)
		d := deployment(call.Login{Way: call.LoginManaged, Host: a.URL, Client: "mi", Scope: "x"})
		s.Bind([]*call.Deployment{d})
		if _, err := d.Token.Bearer(context.Background()); err == nil || !strings.Contains(err.Error(), "Identity not found") || !strings.Contains(err.Error(), "AZURE_CLIENT_ID") {
			t.Errorf("%v", err)
		}
	})
}

func TestAnOutageShorterThanTheTokenIsNotNoticed(t *testing.T) {
	a := newAuthority(t)
	a.say(fixed(200, `{"access_token":"good","expires_in":3599,"refresh_in":1}`))
	s, log := sources(t, quick)
	d := deployment(a.login())
	s.Bind([]*call.Deployment{d})
	get(t, d)
	a.say(fixed(503, ""))
	until(t, "a failure in the log", func() bool { return strings.Contains(log.String(), "the token at hand is good for") })
	if b := get(t, d); b.Token.Reveal() != "good" {
		t.Errorf("token %s", b.Token.Reveal())
	}
	a.say(fixed(200, `{"access_token":"better","expires_in":3599}`))
	until(t, "the next token", func() bool { return get(t, d).Token.Reveal() == "better" })
	until(t, "the end of the outage in the log", func() bool { return strings.Contains(log.String(), "again") })
}

func TestARefusedTokenIsDroppedOnce(t *testing.T) {
	a := newAuthority(t)
	s, _ := sources(t, quick)
	d := deployment(a.login())
	s.Bind([]*call.Deployment{d})
	first := get(t, d)
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if !d.Token.Refused(first) {
				t.Error("nobody fetches another")
			}
			if get(t, d) == first {
				t.Error("the same token again")
			}
		})
	}
	wait.Wait()
	if n := a.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	if second := get(t, d); d.Token.Refused(second) || get(t, d) != second {
		t.Error("the second is dropped, too")
	}
	if n := a.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestARefusedTokenServesOnWhereThereIsNoOther(t *testing.T) {
	a := newAuthority(t)
	s, _ := sources(t, quick)
	d := deployment(a.login())
	s.Bind([]*call.Deployment{d})
	first := get(t, d)
	a.say(fixed(401, `{"error":"invalid_client"}`))
	if !d.Token.Refused(first) {
		t.Fatal("not dropped")
	}
	until(t, "the old token", func() bool {
		b, err := d.Token.Bearer(context.Background())
		return err == nil && b == first
	})
}

func TestATokenSurvivesAReload(t *testing.T) {
	a := newAuthority(t)
	s, _ := sources(t, quick)
	before := deployment(a.login())
	s.Bind([]*call.Deployment{before})
	first := get(t, before)
	after := deployment(a.login())
	s.Bind([]*call.Deployment{after})
	if get(t, after) != first || a.asked.Load() != 1 {
		t.Errorf("another token after the reload; asked %d times", a.asked.Load())
	}
	changed := a.login()
	changed.Secret = redact.New("another")
	last := deployment(changed)
	s.Bind([]*call.Deployment{last})
	if get(t, last) == first || a.asked.Load() != 2 {
		t.Error("another secret has the same token")
	}
	if get(t, after) != first {
		t.Error("a request of before has lost its token")
	}
	s.Bind(nil)
	if len(s.known) != 0 {
		t.Errorf("%d sources for nobody", len(s.known))
	}
}

func TestClosingEndsWhatIsFetched(t *testing.T) {
	a := newAuthority(t)
	a.say(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s, log := sources(t, usual)
	d := deployment(a.login())
	s.Bind([]*call.Deployment{d})
	until(t, "a question", func() bool { return a.asked.Load() == 1 })
	done := make(chan error, 1)
	go func() {
		_, err := d.Token.Bearer(context.Background())
		done <- err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.Token.Bearer(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	s.Close()
	if err := <-done; err == nil {
		t.Error("a token out of nothing")
	}
	if _, err := d.Token.Bearer(context.Background()); err == nil {
		t.Error("a token after the end")
	}
	if text := log.String(); text != "" {
		t.Errorf("the end is told as a failure: %s", text)
	}
}

func TestACertificateSignsForItsApplication(t *testing.T) {
	a := newAuthority(t)
	pemFile, cert := rsaCertificate(t)
	s, _ := sources(t, quick)
	l := a.login()
	l.Way, l.Path, l.Secret = call.LoginCertificate, pemFile, redact.Secret{}
	d := deployment(l)
	s.Bind([]*call.Deployment{d})
	get(t, d)
	a.mu.Lock()
	word := a.forms[0].Get("client_assertion")
	a.mu.Unlock()
	verify(t, word, cert, a.URL+"/t1/oauth2/v2.0/token")
}

func BenchmarkBearer(b *testing.B) {
	a := &authority{}
	a.Server = httptest.NewServer(fixed(200, `{"access_token":"good","expires_in":3599}`))
	defer a.Close()
	s := New(Options{})
	defer s.Close()
	d := deployment(a.login())
	s.Bind([]*call.Deployment{d})
	target := &call.Target{Header: http.Header{"A": {"b"}}, Token: d.Token}
	if _, _, err := target.Headers(context.Background(), false); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := target.Headers(context.Background(), false); err != nil {
				b.Fatal(err)
			}
		}
	})
}
