package route

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// script answers attempts by deployment id; the last entry of a list repeats.
type script struct {
	answers map[string][]*call.Error
	log     []string
	limits  []call.Limits
	models  []string
}

func (s *script) Attempt(_ context.Context, d *call.Deployment, l call.Limits) *call.Error {
	s.log = append(s.log, d.ID)
	s.limits = append(s.limits, l)
	s.models = append(s.models, d.Model)
	list := s.answers[d.ID]
	if len(list) == 0 {
		return nil
	}
	err := list[0]
	if len(list) > 1 {
		s.answers[d.ID] = list[1:]
	}
	return err
}

func failure(class call.Class, retryAfter ...time.Duration) *call.Error {
	e := &call.Error{Class: class, Message: "litellm." + class.String() + ": OpenAIException - no", RetryAfter: -1}
	if len(retryAfter) > 0 {
		e.RetryAfter = retryAfter[0]
	}
	return e
}

// clock stands still unless moved, and counts the time slept.
type clock struct {
	t     time.Time
	slept time.Duration
}

func (c *clock) options(o Options) Options {
	c.t = time.Unix(1_800_000_000, 0)
	o.mono = func() int64 { return c.t.UnixNano() }
	o.wall = func() time.Time { return c.t }
	o.sleep = func(ctx context.Context, d time.Duration) error { c.slept += d; return ctx.Err() }
	return o
}

func d(id, group string, edit ...func(*call.Deployment)) *call.Deployment {
	dep := &call.Deployment{ID: id, Group: group, Model: "m-" + id}
	for _, e := range edit {
		e(dep)
	}
	return dep
}

func mustNew(t *testing.T, list []*call.Deployment, o Options) *Router {
	t.Helper()
	r, err := New(list, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ptr[T any](v T) *T { return &v }

func TestRetriesAndFallbacks(t *testing.T) {
	tests := []struct {
		name    string
		list    []*call.Deployment
		o       Options
		plan    call.Plan
		answers map[string][]*call.Error
		want    []string // ids in order; "a|b" either
		err     string   // part of the message; "" for success
		sleeps  bool
	}{
		{
			name: "success at once", list: []*call.Deployment{d("a", "g")}, want: []string{"a"},
		},
		{
			name:    "a server error is retried twice by default, then reported with the count",
			list:    []*call.Deployment{d("a", "g")},
			answers: map[string][]*call.Error{"a": {failure(call.ClassInternalServer)}},
			want:    []string{"a", "a", "a"}, sleeps: true,
			err: "litellm.InternalServerError: OpenAIException - no LiteLLM Retried: 2 times, LiteLLM Max Retries: 2",
		},
		{
			name:    "the request's own budget wins",
			list:    []*call.Deployment{d("a", "g", func(x *call.Deployment) { x.NumRetries = ptr(5) })},
			plan:    call.Plan{NumRetries: ptr(0)},
			answers: map[string][]*call.Error{"a": {failure(call.ClassInternalServer)}},
			want:    []string{"a"}, err: "InternalServerError",
		},
		{
			name:    "the deployment's budget is above the router's",
			list:    []*call.Deployment{d("a", "g", func(x *call.Deployment) { x.NumRetries = ptr(1) })},
			answers: map[string][]*call.Error{"a": {failure(call.ClassServiceUnavailable)}},
			want:    []string{"a", "a"}, err: "ServiceUnavailableError", sleeps: true,
		},
		{
			name:    "a bad request is not retried",
			list:    []*call.Deployment{d("a", "g"), d("b", "g")},
			answers: map[string][]*call.Error{"a": {failure(call.ClassBadRequest)}, "b": {failure(call.ClassBadRequest)}},
			want:    []string{"a|b"}, err: "BadRequestError",
		},
		{
			name:    "a retry goes to another deployment, without waiting",
			list:    []*call.Deployment{d("a", "g", weight(1)), d("b", "g", weight(1e-12))},
			answers: map[string][]*call.Error{"a": {failure(call.ClassInternalServer)}},
			want:    []string{"a", "b"},
		},
		{
			name:    "an authentication error is retried only where there is another deployment",
			list:    []*call.Deployment{d("a", "g")},
			answers: map[string][]*call.Error{"a": {failure(call.ClassAuthentication)}},
			want:    []string{"a"}, err: "AuthenticationError",
		},
		{
			name:    "with another deployment it moves there",
			list:    []*call.Deployment{d("a", "g", weight(1)), d("b", "g", weight(1e-12))},
			answers: map[string][]*call.Error{"a": {failure(call.ClassAuthentication)}},
			want:    []string{"a", "b"},
		},
		{
			name:    "not found goes to the fallback at once",
			list:    []*call.Deployment{d("a", "g"), d("b", "h")},
			o:       Options{Fallbacks: []Fallback{{"g", []string{"h"}}}},
			answers: map[string][]*call.Error{"a": {failure(call.ClassNotFound)}},
			want:    []string{"a", "b"},
		},
		{
			name:    "a retry policy retries what the table would not",
			list:    []*call.Deployment{d("a", "g")},
			o:       Options{RetryPolicy: &RetryPolicy{BadRequest: ptr(1)}},
			answers: map[string][]*call.Error{"a": {failure(call.ClassBadRequest)}},
			want:    []string{"a", "a"}, err: "BadRequestError", sleeps: true,
		},
		{
			name:    "a group's policy is above the general one",
			list:    []*call.Deployment{d("a", "g")},
			o:       Options{RetryPolicy: &RetryPolicy{Default: ptr(4)}, GroupRetryPolicy: map[string]*RetryPolicy{"g": {Default: ptr(0)}}},
			answers: map[string][]*call.Error{"a": {failure(call.ClassInternalServer)}},
			want:    []string{"a"}, err: "InternalServerError",
		},
		{
			name: "fallbacks are tried in order after the retries",
			list: []*call.Deployment{d("a", "g"), d("b", "h"), d("c", "i")},
			o:    Options{NumRetries: ptr(1), Fallbacks: []Fallback{{"g", []string{"h", "i"}}}},
			answers: map[string][]*call.Error{
				"a": {failure(call.ClassInternalServer)}, "b": {failure(call.ClassInternalServer)},
			},
			want: []string{"a", "a", "b", "b", "c"}, sleeps: true,
		},
		{
			name: "when the chain fails the first error is reported, with the chain",
			list: []*call.Deployment{d("a", "g"), d("b", "h")},
			o:    Options{NumRetries: ptr(0), Fallbacks: []Fallback{{"g", []string{"h"}}}},
			answers: map[string][]*call.Error{
				"a": {failure(call.ClassRateLimit)}, "b": {failure(call.ClassInternalServer)},
			},
			want: []string{"a", "b"},
			err:  "litellm.RateLimitError: OpenAIException - no. Received Model Group=g\nAvailable Model Group Fallbacks=['h']\nError doing the fallback: litellm.InternalServerError",
		},
		{
			name:    "default fallbacks stand under the star",
			list:    []*call.Deployment{d("a", "g"), d("b", "h")},
			o:       Options{NumRetries: ptr(0), Fallbacks: []Fallback{{"*", []string{"h"}}}},
			answers: map[string][]*call.Error{"a": {failure(call.ClassInternalServer)}},
			want:    []string{"a", "b"},
		},
		{
			name:    "a group's entry is found without its provider",
			list:    []*call.Deployment{d("a", "openai/g"), d("b", "h")},
			o:       Options{NumRetries: ptr(0), Fallbacks: []Fallback{{"g", []string{"h"}}}},
			plan:    call.Plan{Model: "openai/g"},
			answers: map[string][]*call.Error{"a": {failure(call.ClassInternalServer)}},
			want:    []string{"a", "b"},
		},
		{
			name: "a context window error has its own chain and no other",
			list: []*call.Deployment{d("a", "g"), d("b", "h"), d("c", "big")},
			o: Options{
				Fallbacks:              []Fallback{{"g", []string{"h"}}},
				ContextWindowFallbacks: []Fallback{{"g", []string{"big"}}},
			},
			answers: map[string][]*call.Error{"a": {failure(call.ClassContextWindowExceeded)}},
			want:    []string{"a", "c"},
		},
		{
			name: "without an entry in its own chain it is final",
			list: []*call.Deployment{d("a", "g"), d("b", "h")},
			o: Options{
				Fallbacks:              []Fallback{{"g", []string{"h"}}},
				ContextWindowFallbacks: []Fallback{},
			},
			answers: map[string][]*call.Error{"a": {failure(call.ClassContextWindowExceeded)}},
			want:    []string{"a"}, err: "ContextWindowExceededError",
		},
		{
			name:    "the request's own fallbacks replace the configured ones",
			list:    []*call.Deployment{d("a", "g"), d("b", "h"), d("c", "i")},
			o:       Options{NumRetries: ptr(0), Fallbacks: []Fallback{{"g", []string{"h"}}}},
			plan:    call.Plan{Fallbacks: []string{"i"}},
			answers: map[string][]*call.Error{"a": {failure(call.ClassInternalServer)}},
			want:    []string{"a", "c"},
		},
		{
			name:    "disable_fallbacks ends with the group",
			list:    []*call.Deployment{d("a", "g"), d("b", "h")},
			o:       Options{NumRetries: ptr(0), Fallbacks: []Fallback{{"g", []string{"h"}}}},
			plan:    call.Plan{DisableFallbacks: true},
			answers: map[string][]*call.Error{"a": {failure(call.ClassInternalServer)}},
			want:    []string{"a"}, err: "InternalServerError",
		},
		{
			name: "groups that point at each other end",
			list: []*call.Deployment{d("a", "g"), d("b", "h")},
			o:    Options{NumRetries: ptr(0), Fallbacks: []Fallback{{"g", []string{"h"}}, {"h", []string{"g"}}}},
			answers: map[string][]*call.Error{
				"a": {failure(call.ClassInternalServer)}, "b": {failure(call.ClassInternalServer)},
			},
			want: []string{"a", "b"}, err: "Received Model Group=g",
		},
		{
			name: "max_fallbacks bounds the hops",
			list: []*call.Deployment{d("a", "g"), d("b", "h"), d("c", "i")},
			o:    Options{NumRetries: ptr(0), MaxFallbacks: ptr(1), Fallbacks: []Fallback{{"g", []string{"h", "i"}}}},
			answers: map[string][]*call.Error{
				"a": {failure(call.ClassInternalServer)}, "b": {failure(call.ClassInternalServer)},
			},
			want: []string{"a", "b"}, err: "InternalServerError",
		},
		{
			name: "a lower order is tried before a higher one",
			list: []*call.Deployment{
				d("a", "g", func(x *call.Deployment) { x.Order = 2 }), d("b", "g", func(x *call.Deployment) { x.Order = 1 }),
			},
			o:       Options{NumRetries: ptr(0)},
			answers: map[string][]*call.Error{"b": {failure(call.ClassInternalServer)}},
			want:    []string{"b", "a"},
		},
		{
			name:    "an error in mid-stream is final",
			list:    []*call.Deployment{d("a", "g"), d("b", "h")},
			o:       Options{Fallbacks: []Fallback{{"g", []string{"h"}}}},
			answers: map[string][]*call.Error{"a": {{Class: call.ClassInternalServer, Sent: true, Message: "cut", RetryAfter: -1}}},
			want:    []string{"a"}, err: "cut",
		},
		{
			name:    "nobody waits any more: no retry, no fallback",
			list:    []*call.Deployment{d("a", "g"), d("b", "h")},
			o:       Options{Fallbacks: []Fallback{{"g", []string{"h"}}}},
			plan:    call.Plan{ClientGone: func() bool { return true }},
			answers: map[string][]*call.Error{"a": {failure(call.ClassInternalServer)}},
			want:    []string{"a"}, err: "InternalServerError",
		},
		{
			name: "an unknown fallback target is passed over",
			list: []*call.Deployment{d("a", "g"), d("b", "h")},
			o:    Options{NumRetries: ptr(0), Fallbacks: []Fallback{{"g", []string{"gone", "h"}}}},
			answers: map[string][]*call.Error{
				"a": {failure(call.ClassInternalServer)},
			},
			want: []string{"a", "b"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var k clock
			r := mustNew(t, tt.list, k.options(tt.o))
			s := &script{answers: tt.answers}
			if tt.plan.Model == "" {
				tt.plan.Model = "g"
			}
			var c call.Call
			err := r.Run(t.Context(), &c, &tt.plan, s)
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("error %v", err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Message, tt.err)):
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if len(s.log) != len(tt.want) {
				t.Fatalf("attempts %v, want %v", s.log, tt.want)
			}
			for i := range s.log {
				if !slices.Contains(strings.Split(tt.want[i], "|"), s.log[i]) {
					t.Errorf("attempts %v, want %v", s.log, tt.want)
				}
			}
			if (k.slept > 0) != tt.sleeps {
				t.Errorf("slept %s, want sleep: %v", k.slept, tt.sleeps)
			}
			if c.Attempts != len(tt.want) {
				t.Errorf("counted %d attempts of %d", c.Attempts, len(tt.want))
			}
		})
	}
}

func weight(w float64) func(*call.Deployment) {
	return func(d *call.Deployment) { d.Weight = w }
}

func TestNoSleepAfterTheLastAttempt(t *testing.T) {
	var k clock
	r := mustNew(t, []*call.Deployment{d("a", "g")}, k.options(Options{NumRetries: ptr(1)}))
	s := &script{answers: map[string][]*call.Error{"a": {failure(call.ClassInternalServer, 3*time.Second)}}}
	_ = r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, s)
	if k.slept < 3*time.Second || k.slept > 3750*time.Millisecond {
		t.Errorf("slept %s for one retry with Retry-After 3", k.slept)
	}
}

func fails(n int, class call.Class) (list []*call.Error) {
	for range n {
		list = append(list, failure(class))
	}
	return list
}

func TestNames(t *testing.T) {
	list := []*call.Deployment{
		d("id1", "gpt-4o", func(x *call.Deployment) { x.Model = "gpt-4o-2024" }),
		d("id2", "openai/*", func(x *call.Deployment) { x.Model = "*" }),
		d("id3", "openai/gpt-4*", func(x *call.Deployment) { x.Model = "four-*" }),
		d("id4", "a*-b*", func(x *call.Deployment) { x.Model = "x*y*" }),
		d("id5", "fixed/*", func(x *call.Deployment) { x.Model = "one" }),
		d("id6", "two*of*", func(x *call.Deployment) { x.Model = "only-*" }),
		d("id7", "*-mini"),
	}
	r := mustNew(t, list, Options{Aliases: map[string]Alias{"mine": {Model: "gpt-4o"}, "secret": {Model: "gpt-4o", Hidden: true}, "round": {Model: "about"}, "about": {Model: "round"}}})
	for _, tt := range []struct{ ask, id, model string }{
		{"gpt-4o", "id1", "gpt-4o-2024"},
		{"id1", "id1", "gpt-4o-2024"},
		{"mine", "id1", "gpt-4o-2024"},
		{"secret", "id1", "gpt-4o-2024"},
		{"gpt-4o-2024", "id1", "gpt-4o-2024"},
		{"openai/o1", "id2", "o1"},
		{"openai/gpt-4-turbo", "id3", "four--turbo"},
		{"aX-bY", "id4", "xXyY"},
		{"fixed/anything", "id5", "one"},
		{"two1of2", "id6", "two1of2"},
		{"some-mini", "id7", "m-id7"},
		{"some-mini-2024", "", ""}, // anchored at both ends
		{"unknown", "", ""},
		{"round", "", ""},
	} {
		s := &script{}
		err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: tt.ask}, s)
		switch {
		case tt.id == "" && err == nil:
			t.Errorf("%s led to %v", tt.ask, s.log)
		case tt.id != "" && (err != nil || s.log[0] != tt.id || s.models[0] != tt.model):
			t.Errorf("%s led to %v %v, %v; want %s %s", tt.ask, s.log, s.models, err, tt.id, tt.model)
		}
		if r.Has(tt.ask) != (tt.id != "") {
			t.Errorf("Has(%s) is %v", tt.ask, r.Has(tt.ask))
		}
	}
	if got := r.Models(); !slices.Equal(got, []string{"gpt-4o", "about", "mine", "round"}) {
		t.Errorf("listed %v", got)
	}
}

func TestDefaultTimeout(t *testing.T) {
	sec := func(n int) time.Duration { return time.Duration(n) * time.Second }
	for _, tt := range []struct {
		name          string
		o             Options
		edit          func(*call.Deployment)
		plan          call.Plan
		whole, stream time.Duration
	}{
		{name: "600 s unless set", whole: sec(600), stream: sec(600)},
		{name: "a written 6000 is 6000", o: Options{Timeout: sec(6000)}, whole: sec(6000), stream: sec(6000)},
		{name: "stream_timeout is for streams", o: Options{Timeout: sec(60), StreamTimeout: sec(6)}, whole: sec(60), stream: sec(6)},
		{name: "the deployment's wins", o: Options{Timeout: sec(60), StreamTimeout: sec(6)}, edit: func(d *call.Deployment) { d.Timeout, d.StreamTimeout = sec(30), sec(3) }, whole: sec(30), stream: sec(3)},
		{name: "the request's wins over all", o: Options{Timeout: sec(60)}, edit: func(d *call.Deployment) { d.Timeout, d.StreamTimeout = sec(30), sec(3) }, plan: call.Plan{Timeout: sec(2), StreamTimeout: sec(1)}, whole: sec(2), stream: sec(1)},
		{name: "a stream without its own takes the whole column", edit: func(d *call.Deployment) { d.Timeout = sec(30) }, whole: sec(30), stream: sec(30)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dep := d("a", "g")
			if tt.edit != nil {
				tt.edit(dep)
			}
			s := &script{}
			tt.plan.Model = "g"
			if err := mustNew(t, []*call.Deployment{dep}, tt.o).Run(t.Context(), &call.Call{}, &tt.plan, s); err != nil {
				t.Fatal(err)
			}
			if got := s.limits[0]; got.Timeout != tt.whole || got.Stream != tt.stream {
				t.Errorf("limits %+v, want %s and %s", got, tt.whole, tt.stream)
			}
		})
	}
}

func TestShuffleFollowsTheWeights(t *testing.T) {
	share := func(list []*call.Deployment) map[string]float64 {
		r := mustNew(t, list, Options{})
		s := &script{}
		const n = 20000
		for range n {
			if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, s); err != nil {
				t.Fatal(err)
			}
		}
		out := map[string]float64{}
		for _, id := range s.log {
			out[id] += 1.0 / n
		}
		return out
	}
	rpm := func(v float64) func(*call.Deployment) { return func(d *call.Deployment) { d.RPM = v } }
	for _, tt := range []struct {
		name string
		list []*call.Deployment
		want map[string]float64
	}{
		{"alike without a metric", []*call.Deployment{d("a", "g"), d("b", "g")}, map[string]float64{"a": 0.5, "b": 0.5}},
		{"by weight", []*call.Deployment{d("a", "g", weight(9)), d("b", "g", weight(1))}, map[string]float64{"a": 0.9, "b": 0.1}},
		{"a missing weight is 0", []*call.Deployment{d("a", "g", weight(9)), d("b", "g")}, map[string]float64{"a": 1}},
		{"rpm where no weight is set", []*call.Deployment{d("a", "g", rpm(300)), d("b", "g", rpm(100))}, map[string]float64{"a": 0.75, "b": 0.25}},
		{"weight is above rpm", []*call.Deployment{d("a", "g", rpm(1000), weight(1)), d("b", "g", weight(3))}, map[string]float64{"a": 0.25, "b": 0.75}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := share(tt.list)
			for id, want := range tt.want {
				if math.Abs(got[id]-want) > 0.02 { // more than five standard deviations
					t.Errorf("%s got %.3f of the calls, want %.2f", id, got[id], want)
				}
			}
		})
	}
}

func TestAPickAllocatesNothing(t *testing.T) {
	r := mustNew(t, []*call.Deployment{d("a", "g"), d("b", "g", weight(2)), d("c", "g")}, Options{})
	var nothing noop
	var c call.Call
	plan := &call.Plan{Model: "g"}
	if n := testing.AllocsPerRun(200, func() {
		if err := r.Run(t.Context(), &c, plan, nothing); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations per call, want at most 1 (the run itself)", n)
	}
}

type noop struct{}

func (noop) Attempt(context.Context, *call.Deployment, call.Limits) *call.Error { return nil }

func TestAnAnswerThatGoesOnIsCountedAtItsEnd(t *testing.T) {
	for _, tt := range []struct {
		name    string
		end     *call.Error
		failed  int
		cooling bool
	}{
		{"well", nil, 0, false},
		{"with a failure", failure(call.ClassRateLimit), 1, true},
		{"by a bug", call.Begun, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var cl clock
			r := mustNew(t, []*call.Deployment{d("a", "g", func(x *call.Deployment) { x.MaxParallel = 1 }), d("b", "g")}, cl.options(Options{Strategy: LeastBusy{}}))
			s := &script{answers: map[string][]*call.Error{"a": {call.Begun}, "b": {call.Begun}}}
			c, p := call.Call{}, call.Plan{Model: "g"}
			if err := r.Run(t.Context(), &c, &p, s); err != call.Begun || c.Attempts != 1 || len(c.FailedAttempts) != 0 {
				t.Fatalf("%v after %d attempts, %d of them failed", err, c.Attempts, len(c.FailedAttempts))
			}
			n := r.current.Load().node(c.Deployment.ID)
			if got := n.state.running.Load(); got != 1 {
				t.Fatalf("%d answers are on their way", got)
			}
			p.Ended(tt.end)
			if got := n.state.running.Load(); got != 0 {
				t.Errorf("%d answers are on their way after the end", got)
			}
			if len(c.FailedAttempts) != tt.failed || (len(r.Cooling()) > 0) != tt.cooling {
				t.Errorf("%d failed, cooling %v", len(c.FailedAttempts), r.Cooling())
			}
		})
	}
}
