package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/mock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a listener in memory: inside a synctest bubble its connections
// block durably, so the clock jumps and an hour of load takes milliseconds.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.conns <- a:
		return b, nil
	case <-p.done:
		return nil, &net.OpError{Op: "dial", Err: errors.New("closed")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// simulate runs a plan against a handler on a clock of its own.
func simulate(t *testing.T, handler func() http.Handler, edit func(*Plan)) (rep *Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := handler() // its channels must belong to the bubble
		p := *plan(t, func(p *Plan) {
			p.Model = "mock"
			p.Payload.Unique = true
			edit(p)
		})
		ln := newPipes()
		srv := &http.Server{Handler: h}
		served := make(chan struct{})
		go func() { defer close(served); _ = srv.Serve(ln) }()
		p.Dial = ln.dial
		var err error
		rep, err = Run(t.Context(), p)
		_ = srv.Close()
		<-served
		synctest.Wait()
		if err != nil {
			t.Fatal(err)
		}
	})
	return rep
}

// mocked makes a mock inside the bubble and leaves it in *m.
func mocked(m **mock.Mock, opt mock.Options) func() http.Handler {
	return func() http.Handler {
		*m = mock.New(opt)
		return *m
	}
}

func near(t *testing.T, what string, got int64, want time.Duration) {
	t.Helper()
	if d := math.Abs(float64(got) - float64(want.Microseconds())); d > 0.03*float64(want.Microseconds())+100 {
		t.Errorf("%s is %d us, want %v within 3%%", what, got, want)
	}
}

func TestAFixedDelayIsMeasuredAsItIs(t *testing.T) {
	var m *mock.Mock
	rep := simulate(t, mocked(&m, mock.Options{Latency: mock.Fixed(10 * time.Millisecond)}), func(p *Plan) { p.Rate, p.Duration, p.Warmup = 1000, 5*time.Second, time.Second })
	b := rep.Results[0]
	near(t, "p50", b.Latency.P50, 10*time.Millisecond)
	near(t, "p90", b.Latency.P90, 10*time.Millisecond)
	near(t, "p99", b.Latency.P99, 10*time.Millisecond)
	if b.Completed < 4999 || b.Completed > 5001 || *rep.Achieved < 0.99 || math.Abs(rep.RPS-1000) > 5 {
		t.Errorf("%d completed, achieved %v, rps %v; want 5000, 1, 1000", b.Completed, *rep.Achieved, rep.RPS)
	}
	if got := m.Stats(); got.Requests != rep.Sent || got.Answered != rep.Sent {
		t.Errorf("the mock counted %d requests and %d answers, bench sent %d", got.Requests, got.Answered, rep.Sent)
	}
}

// freezing delays every answer until the end of the freeze that it falls into.
func freezing(every, length, normal time.Duration) http.Handler {
	start := time.Now()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if at := time.Since(start) % every; at < length {
			time.Sleep(length - at)
		}
		time.Sleep(normal)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"usage":{"prompt_tokens":1,"completion_tokens":1}}`))
	})
}

// A target that stops for a second every ten seconds makes one tenth of the
// arrivals wait, evenly between 0 and 1 s: p95 is 0.5 s and p99 is 0.9 s. A
// closed loop with one user meets each freeze once and shows nothing of it.
func TestAFreezeIsSeenByTheOpenLoopAndNotByTheClosedOne(t *testing.T) {
	freezes := func() http.Handler { return freezing(10*time.Second, time.Second, 10*time.Millisecond) }
	rep := simulate(t, freezes, func(p *Plan) { p.Rate, p.Duration = 200, 100*time.Second })
	near(t, "open p50", rep.Results[0].Latency.P50, 10*time.Millisecond)
	near(t, "open p95", rep.Results[0].Latency.P95, 510*time.Millisecond)
	near(t, "open p99", rep.Results[0].Latency.P99, 910*time.Millisecond)

	rep = simulate(t, freezes, func(p *Plan) { p.Concurrency, p.Duration = 1, 100*time.Second })
	near(t, "closed p99", rep.Results[0].Latency.P99, 10*time.Millisecond)
}

// With room for one request in flight and 100 ms each, ten a second are done
// and forty a second are due: the wait of each counts from its due time.
func TestABoundOnFlightDelaysAndNeverHides(t *testing.T) {
	var m *mock.Mock
	rep := simulate(t, mocked(&m, mock.Options{Latency: mock.Fixed(100 * time.Millisecond)}), func(p *Plan) { p.Rate, p.MaxInflight, p.Duration, p.Drain = 40, 1, 10*time.Second, time.Second })
	b := rep.Results[0]
	if math.Abs(rep.RPS-10) > 0.3 {
		t.Errorf("rps %v, want 10", rep.RPS)
	}
	near(t, "service p99", b.Service.P99, 100*time.Millisecond)
	// The k-th request ends at k·100 ms and was due at k·25 ms: the waits are even
	// between 0 and 7.5 s.
	near(t, "scheduled p50", b.Latency.P50, 3750*time.Millisecond)
	if math.Abs(*rep.Achieved-0.25) > 0.01 || rep.Unsent < 295 || rep.Unsent > 302 {
		t.Errorf("achieved %v, %d never sent; want 0.25 and about 300", *rep.Achieved, rep.Unsent)
	}
}

func TestStreamsAreMeasuredTokenByToken(t *testing.T) {
	var m *mock.Mock
	opt := mock.Options{TTFT: mock.Fixed(80 * time.Millisecond), ITL: mock.Fixed(20 * time.Millisecond), Chunks: 50}
	rep := simulate(t, mocked(&m, opt), func(p *Plan) {
		p.Scenarios = []Weighted{{ChatStream, 1}}
		p.Rate, p.Duration = 20, 20*time.Second
		term, err := ParseTerm("ttft.p99<=81ms")
		if err != nil {
			t.Fatal(err)
		}
		p.SLO = []Term{term}
	})
	b := rep.Results[0]
	near(t, "ttft", b.TTFT.P99, 80*time.Millisecond)
	near(t, "itl p50", b.ITL.P50, 20*time.Millisecond)
	near(t, "itl p99", b.ITL.P99, 20*time.Millisecond)
	near(t, "tpot", b.TPOT.P50, 20*time.Millisecond)
	near(t, "e2e", b.Latency.P50, 80*time.Millisecond+49*20*time.Millisecond)
	if b.ITL.Count != 49*int64(b.Completed) || b.Content != 50*b.Completed || b.Tokens.Source != "server" {
		t.Errorf("%d gaps, %d content events, tokens by %s in %d streams", b.ITL.Count, b.Content, b.Tokens.Source, b.Completed)
	}
	if b.Lost+b.Repeated+b.Crossed+b.Stalls != 0 || !rep.Targets[0].Echo {
		t.Errorf("a good stream counts as %+v", b)
	}
	if !rep.SLO[0].OK || !rep.Gate.OK {
		t.Errorf("slo %+v, gate %+v, validity %+v", rep.SLO, rep.Gate, rep.Validity)
	}
	if got := m.Stats(); got.Streams.Started != rep.Sent || got.Streams.Completed != rep.Sent || got.Requests != rep.Sent {
		t.Errorf("the mock counted %+v, bench sent %d", got.Streams, rep.Sent)
	}
}

func TestErrorsAreCountedByKindAndStayOutOfLatency(t *testing.T) {
	for _, tc := range []struct {
		fault  string
		stream bool
		kind   ErrorKind
	}{
		{"429", false, HTTP429}, {"401", false, HTTP4xx}, {"500", true, HTTP5xx},
		{"close", false, Reset}, {"cut", false, Truncated}, {"cut", true, Truncated},
		{"truncate", true, Truncated}, {"no-done", true, MissingDone}, {"error-event", true, StreamError},
		{"html", true, Validation}, {"empty", true, MissingDone}, {"hang", false, Timeout}, {"stall", true, Stall},
	} {
		t.Run(fmt.Sprintf("%s stream=%v", tc.fault, tc.stream), func(t *testing.T) {
			f, err := mock.ParseFault(tc.fault + "=30%")
			if err != nil {
				t.Fatal(err)
			}
			// The preflight is the first request; this seed lets it pass.
			var m *mock.Mock
			opt := mock.Options{
				Faults: []mock.Fault{f}, Seed: 2, Latency: mock.Fixed(50 * time.Millisecond),
				TTFT: mock.Fixed(50 * time.Millisecond), ITL: mock.Fixed(time.Millisecond),
			}
			rep := simulate(t, mocked(&m, opt), func(p *Plan) {
				if tc.stream {
					p.Scenarios = []Weighted{{ChatStream, 1}}
				}
				p.Concurrency, p.Requests, p.RequestTimeout, p.Drain = 4, 200, 20*time.Second, 25*time.Second
			})
			b := rep.Results[0]
			if b.Requests != 200 {
				t.Errorf("%d requests, want 200", b.Requests)
			}
			want := m.Stats().Faults[tc.fault]
			if b.Errors[tc.kind.String()] != want || want < 40 || want > 80 || len(b.Errors) != 1 {
				t.Errorf("errors %v, the mock counted %d of %s; want all of them as %s", b.Errors, want, tc.fault, tc.kind)
			}
			if b.Latency.Min < 49_900 || b.Latency.Count != int64(b.Completed) {
				t.Errorf("errors are in the latency: %+v", b.Latency)
			}
		})
	}
}

func TestGatesFailWhatTheyShould(t *testing.T) {
	for _, tc := range []struct {
		term string
		ok   bool
	}{
		{"p95<=11ms", true}, {"p95<=9ms", false}, {"errors<=0.1%", true}, {"achieved>=98%", true}, {"rps>=99", true}, {"rps>=200", false},
		{"ttft.p95<=11ms", true}, {"itl.p50<=1s", false}, {"cpu<=100", false}, {"goodput>=99", true},
	} {
		t.Run(tc.term, func(t *testing.T) {
			term, err := ParseTerm(tc.term)
			if err != nil {
				t.Fatal(err)
			}
			var m *mock.Mock
			rep := simulate(t, mocked(&m, mock.Options{Latency: mock.Fixed(10 * time.Millisecond)}), func(p *Plan) {
				p.Rate, p.Duration, p.SLO = 100, 2*time.Second, []Term{term}
			})
			if rep.SLO[0].OK != tc.ok || rep.Gate.OK != tc.ok {
				t.Errorf("verdict %+v, gate %+v", rep.SLO[0], rep.Gate)
			}
		})
	}
}

func TestAnInterruptedRunReportsWhatThereWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := *plan(t, func(p *Plan) { p.Model, p.Concurrency, p.Duration = "m", 4, time.Hour })
		ln := newPipes()
		m := mock.New(mock.Options{Latency: mock.Fixed(100 * time.Millisecond)})
		srv := &http.Server{Handler: m}
		go func() { _ = srv.Serve(ln) }()
		p.Dial = ln.dial
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+50*time.Millisecond)
		defer cancel()
		rep, err := Run(ctx, p)
		_ = srv.Close()
		synctest.Wait()
		if err != nil || !rep.Aborted {
			t.Fatalf("report %+v, %v", rep, err)
		}
		if b := rep.Results[0]; b.Completed < 390 || b.Completed > 400 || math.Abs(rep.RPS-40) > 1 || rep.Unfinished != 0 {
			t.Errorf("%d completed at %v a second, %d unfinished", b.Completed, rep.RPS, rep.Unfinished)
		}
	})
}

// mixing answers every second request with the previous one's prompt.
type mixing struct{ last string }

func TestMixedUpAnswersMakeARunInvalid(t *testing.T) {
	m := &mixing{}
	n := 0
	var h http.HandlerFunc = func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		i := strings.Index(string(b), nonceMark)
		own := string(b[i+len(nonceMark):][:16])
		answer := own
		if n++; n%2 == 0 {
			answer = m.last
		}
		m.last = own
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"choices":[{"message":{"content":"%s.0 hi"}}],"usage":{"completion_tokens":1}}`, answer)
	}
	rep := simulate(t, func() http.Handler { return h }, func(p *Plan) { p.Concurrency, p.Requests = 1, 100 })
	if rep.Results[0].Crossed != 50 || rep.Validity.OK || rep.Gate.Reason != "invalid" {
		t.Errorf("crossed %d, validity %+v", rep.Results[0].Crossed, rep.Validity)
	}
}

func TestPreflightStopsBeforeABrokenTarget(t *testing.T) {
	for _, tc := range []struct {
		name   string
		h      http.HandlerFunc
		stream bool
		want   string
	}{
		{"wrong key", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(401)
			_, _ = w.Write([]byte(`{"error":"no sk-planted-secret-1234567890"}`))
		}, false, "answers 401"},
		{"web page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>hello</html>"))
		}, false, "not application/json"},
		{"no stream", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{}`))
		}, true, "not text/event-stream"},
		{"stream of nothing", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte("data: {\"choices\":[]}\n\ndata: [DONE]\n\n"))
		}, true, "no content"},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"a":`))
		}, false, "closes the connection"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := httptest.NewServer(tc.h)
			defer s.Close()
			target, err := ParseTarget(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			p := Plan{Target: target, Model: "m", Keys: []redact.Secret{redact.New("sk-planted-secret-1234567890")}, Duration: time.Second}
			if tc.stream {
				p.Scenarios = []Weighted{{ChatStream, 1}}
			}
			_, err = Run(t.Context(), p)
			var down *UnreachableError
			if !errors.As(err, &down) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want an UnreachableError with %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "planted") {
				t.Errorf("the error shows a key: %v", err)
			}
		})
	}
}

func TestTheOwnProcessIsSampled(t *testing.T) {
	s, err := newSampler(os.Getpid())
	if err != nil {
		t.Skipf("a process cannot be looked at here (%v): run the test on Linux, with /proc", err)
	}
	u, err := s.read()
	if err != nil || u.rss == 0 || u.threads == 0 || u.fds == 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := newSampler(1 << 30); err == nil || !strings.Contains(err.Error(), "no such process") {
		t.Errorf("error %v", err)
	}
}

func TestUsersWhoLeaveAreNeitherErrorsNorLatency(t *testing.T) {
	var m *mock.Mock
	opt := mock.Options{ITL: mock.Fixed(5 * time.Millisecond), Chunks: 50}
	rep := simulate(t, mocked(&m, opt), func(p *Plan) {
		p.Scenarios = []Weighted{{ChatStream, 1}}
		p.Concurrency, p.Requests, p.Abandon, p.AbandonWithin = 4, 400, 0.5, 200*time.Millisecond
	})
	b := rep.Results[0]
	if rep.Abandoned < 160 || rep.Abandoned > 240 || b.Completed+rep.Abandoned != 400 || len(b.Errors) != 0 {
		t.Errorf("%d left, %d completed, errors %v", rep.Abandoned, b.Completed, b.Errors)
	}
	if got := m.Stats().Streams; got.Completed != b.Completed+1 || got.Cancelled+got.Completed != got.Started {
		t.Errorf("the mock counted %+v, bench %d completed and a preflight", got, b.Completed)
	}
}
