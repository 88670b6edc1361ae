package upstream

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// closing is a server that tells of connections that ended.
func closing(t *testing.T, h http.HandlerFunc) (base string, ended chan struct{}) {
	t.Helper()
	ended = make(chan struct{}, 10)
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, ended
}

func (c *Client) count() int { return len(*c.hosts.Load()) }

func soon(t *testing.T, what string, ended chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatalf("%s is still open", what)
	}
}

func TestWhatNobodyWantsIsForgottenAndItsConnectionsClosed(t *testing.T) {
	for _, netHTTP := range []bool{false, true} {
		release := make(chan struct{})
		stays, stayed := closing(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
		goes, gone := closing(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				w.(http.Flusher).Flush()
				<-release
			}
			io.WriteString(w, "ok")
		})
		c := client(t, Options{NetHTTP: netHTTP, IdleTimeout: 40 * time.Millisecond})
		if !netHTTP { // there the transport's own time limit closes what becomes idle later
			c.o.IdleTimeout = time.Hour
		}
		slow, lease, err := c.Do(t.Context(), &call.Request{Method: "GET", URL: parse(t, goes+"/slow"), Deadline: time.Now().Add(5 * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		for _, base := range []string{stays, goes} {
			if _, body, err := ask(t, c, base, ""); err != nil || body != "ok" {
				t.Fatal(body, err)
			}
		}
		if c.count() != 2 {
			t.Fatalf("%d hosts", c.count())
		}
		u := parse(t, stays)
		c.Retain([]Target{{Scheme: u.Scheme, Host: u.Host}})
		soon(t, "the idle connection", gone)
		if c.count() != 1 {
			t.Errorf("%d hosts", c.count())
		}
		// A request in flight comes to its end, and its connection with it.
		close(release)
		if body, err := io.ReadAll(slow.Body); err != nil || string(body) != "ok" {
			t.Errorf("%q, %v", body, err)
		}
		slow.Body.Close()
		lease.Done()
		soon(t, "the connection of the request in flight", gone)
		if !netHTTP {
			select {
			case <-stayed:
				t.Error("the connection of the host that stays was closed")
			default:
			}
		}
	}
}

// A request of the configuration before may ask for a host that is gone.
func TestAHostThatIsAskedForLateIsForgottenWhenItIsIdle(t *testing.T) {
	base, ended := closing(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	c := client(t, Options{IdleTimeout: 30 * time.Millisecond})
	c.Retain(nil)
	if _, _, err := ask(t, c, base, ""); err != nil {
		t.Fatal(err)
	}
	soon(t, "the connection", ended)
	for deadline := time.Now().Add(5 * time.Second); c.count() > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d hosts are kept", c.count())
		}
	}
}
