package route

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// The reference below is the rules of cooldowns, retries, fallbacks and time
// limits written down a second time, with maps and lists, one call at a time,
// and no thought of speed. The router makes its random choices; what it did is
// recorded, and the reference replays the record: wherever it has a choice it
// takes the router's, if the rules allow it.

// step is one thing that the router did.
type step struct {
	id     string // of the deployment tried; empty for a sleep
	limits call.Limits
	err    *call.Error
	at     time.Duration // when the attempt ended, or the sleep began
	sleep  time.Duration
}

type refCounter struct {
	from time.Duration
	n    int
}

type reference struct {
	t      *rapid.T
	o      Options
	groups map[string][]*call.Deployment
	until  map[string]time.Duration // end of cooldown
	ok     map[string]int
	fail   map[string]int
	since  map[string]time.Duration // of the counts
	fails  map[string]refCounter

	log []step
	now time.Duration
}

func (m *reference) problem(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf(format+" (of %d steps left: %+v)", append(args, len(m.log), m.log)...)
}

func (m *reference) take() step {
	m.t.Helper()
	if len(m.log) == 0 {
		m.problem("the router stopped where the rules go on")
	}
	s := m.log[0]
	m.log = m.log[1:]
	return s
}

// healthy are the deployments of a group that are not cooling, at an order; -1
// is any order.
func (m *reference) healthy(group string, order int) (ids []string) {
	for _, d := range m.groups[group] {
		if m.until[d.ID] <= m.now && (order < 0 || d.Order == order) {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

func (m *reference) deployment(id string) *call.Deployment {
	for _, list := range m.groups {
		for _, d := range list {
			if d.ID == id {
				return d
			}
		}
	}
	return nil
}

func in(status int, list ...int) bool { return slices.Contains(list, status) }

// noDeployment stands for the 429 of a group that has nobody left.
var noDeployment = &call.Error{Class: call.ClassRateLimit, Message: "No deployments available", RetryAfter: -1}

// after counts an attempt that ended now.
func (m *reference) after(d *call.Deployment, err *call.Error, callersLimit bool) {
	if err != nil && err.Class == call.ClassClientGone {
		return
	}
	if from, seen := m.since[d.ID]; !seen || m.now-from >= time.Minute {
		m.since[d.ID], m.ok[d.ID], m.fail[d.ID] = m.now, 0, 0
	}
	if err == nil {
		m.ok[d.ID]++
		return
	}
	m.fail[d.ID]++
	cooldown := 5 * time.Second
	if m.o.CooldownTime > 0 {
		cooldown = m.o.CooldownTime
	}
	router := cooldown
	if err.RetryAfter >= 0 {
		cooldown = err.RetryAfter
		if m.o.MaxCooldown > 0 && cooldown > m.o.MaxCooldown {
			cooldown = m.o.MaxCooldown
		}
	}
	if d.Cooldown != nil {
		cooldown, router = *d.Cooldown, *d.Cooldown
	}
	if cooldown == 0 || m.o.DisableCooldowns || callersLimit && err.Class == call.ClassTimeout || err.Class == call.ClassAPIConnection {
		return
	}
	status := err.StatusCode()
	if status >= 400 && status < 500 && !in(status, 401, 402, 404, 408, 429) {
		return
	}
	several := len(m.groups[d.Group]) > 1
	count := func(allowed int, window time.Duration) bool {
		c := m.fails[d.ID]
		if c.n == 0 || m.now-c.from >= window {
			c = refCounter{from: m.now}
		}
		c.n++
		m.fails[d.ID] = c
		return c.n > allowed
	}
	var cool bool
	switch {
	case d.AllowedFails != nil:
		cool = several && count(*d.AllowedFails, router)
	case m.o.AllowedFailsPolicy != nil || m.o.AllowedFails != nil && *m.o.AllowedFails != 3:
		allowed := 3
		if m.o.AllowedFails != nil {
			allowed = *m.o.AllowedFails
		}
		if n, ok := m.o.AllowedFailsPolicy[err.Class]; ok {
			allowed = n
		}
		window := 5 * time.Second
		if m.o.CooldownTime > 0 {
			window = m.o.CooldownTime
		}
		cool = count(allowed, window)
	default:
		f, o := m.fail[d.ID], m.ok[d.ID]
		cool = status == 429 && several ||
			o == 0 && f >= 1000 ||
			several && f+o >= 5 && f > o ||
			!in(status, 408, 409, 429) && status < 500
	}
	if cool && m.now+cooldown > m.until[d.ID] {
		m.until[d.ID] = m.now + cooldown
	}
}

// group replays a group's attempts at one order.
func (m *reference) group(p *call.Plan, group string, order int) *call.Error {
	var last *call.Error
	failed := ""
	for n := 0; ; n++ {
		ids := m.healthy(group, order)
		if len(ids) == 0 {
			if last != nil {
				return last
			}
			return noDeployment
		}
		s := m.take()
		if s.id == "" {
			m.problem("a sleep of %s where an attempt is due", s.sleep)
		}
		if len(ids) > 1 {
			ids = slices.DeleteFunc(ids, func(id string) bool { return id == failed })
		}
		if !slices.Contains(ids, s.id) {
			m.problem("%s was tried, allowed are %v", s.id, ids)
		}
		d := m.deployment(s.id)
		callers := m.checkLimits(p, d, s.limits)
		m.now = s.at
		m.after(d, s.err, callers)
		if s.err == nil || s.err.Sent || s.err.Class == call.ClassClientGone {
			return s.err
		}
		last, failed = s.err, s.id
		if !m.again(p, group, order, d, s.err, n) {
			return s.err
		}
		m.sleep(group, order, s.err, n)
	}
}

func (m *reference) checkLimits(p *call.Plan, d *call.Deployment, got call.Limits) (callers bool) {
	whole := 600 * time.Second
	for _, v := range []time.Duration{m.o.Timeout, d.Timeout, p.Timeout} {
		if v > 0 {
			whole = v
		}
	}
	stream := time.Duration(0)
	for _, v := range []time.Duration{m.o.StreamTimeout, d.StreamTimeout, p.StreamTimeout} {
		if v > 0 {
			stream = v
		}
	}
	callers = p.Timeout > 0
	if p.Stream {
		callers = p.StreamTimeout > 0 || stream == 0 && p.Timeout > 0
	}
	if stream == 0 {
		stream = whole
	}
	if got.Timeout != whole || got.Stream != stream {
		m.problem("limits %+v, want %s and %s", got, whole, stream)
	}
	return callers
}

// again says whether a failure is worth another attempt in its group.
func (m *reference) again(p *call.Plan, group string, order int, d *call.Deployment, err *call.Error, used int) bool {
	budget, policy := 2, false
	for _, n := range []*int{m.o.NumRetries, d.NumRetries, p.NumRetries} {
		if n != nil {
			budget = *n
		}
	}
	if r := m.o.RetryPolicy; r != nil && (p.NumRetries == nil || *p.NumRetries > 0) {
		n := map[call.Class]*int{
			call.ClassTimeout: r.Timeout, call.ClassRateLimit: r.RateLimit, call.ClassInternalServer: r.InternalServer,
			call.ClassBadRequest: r.BadRequest, call.ClassContextWindowExceeded: r.BadRequest,
			call.ClassContentPolicyViolation: r.ContentPolicy, call.ClassAuthentication: r.Authentication, call.ClassNotFound: r.NotFound,
		}[err.Class]
		if err.Class == call.ClassContentPolicyViolation && n == nil {
			n = r.BadRequest
		}
		if n == nil {
			n = r.Default
		}
		if n != nil {
			budget, policy = *n, true
		}
	}
	if used >= budget {
		return false
	}
	if policy {
		return true
	}
	left := len(m.healthy(group, order))
	status := err.StatusCode()
	switch {
	case err.Class == call.ClassContextWindowExceeded && m.o.ContextWindowFallbacks != nil:
		return false
	case err.Class == call.ClassContentPolicyViolation && m.o.ContentPolicyFallbacks != nil:
		return false
	case !in(status, 408, 409, 429, 401, 403) && status < 500:
		return false
	case in(status, 401, 403) && len(m.groups[group]) <= 1:
		return false
	}
	return left > 0
}

// sleep replays the wait before a retry.
func (m *reference) sleep(group string, order int, err *call.Error, used int) {
	if len(m.groups[group]) > 1 && len(m.healthy(group, order)) > 0 {
		return
	}
	s := m.take()
	if s.id != "" {
		m.problem("%s was tried at once where a wait is due", s.id)
	}
	least := 500 * time.Millisecond << used
	least = min(max(least, m.o.RetryAfter), 8*time.Second)
	if err.RetryAfter > 0 && err.RetryAfter <= time.Minute {
		least = err.RetryAfter
	}
	if s.sleep < least || s.sleep > least+750*time.Millisecond {
		m.problem("a wait of %s, want %s and at most 0.75 s more", s.sleep, least)
	}
	m.now += s.sleep
}

// orders tries a group at each of its orders.
func (m *reference) orders(p *call.Plan, group string) *call.Error {
	var list []int
	for _, d := range m.groups[group] {
		if !slices.Contains(list, d.Order) {
			list = append(list, d.Order)
		}
	}
	if len(list) == 1 {
		return m.group(p, group, -1)
	}
	slices.SortFunc(list, func(a, b int) int {
		switch {
		case a == 0:
			return 1
		case b == 0:
			return -1
		}
		return a - b
	})
	var err *call.Error
	for _, order := range list {
		err = m.group(p, group, order)
		if err == nil || err.Sent || in(int(err.Class), int(call.ClassContextWindowExceeded), int(call.ClassContentPolicyViolation), int(call.ClassClientGone)) {
			break
		}
	}
	return err
}

// serve replays a whole call.
func (m *reference) serve(p *call.Plan) *call.Error {
	err := m.orders(p, p.Model)
	if err == nil || err.Sent || p.DisableFallbacks {
		return err
	}
	hops := 0
	return m.fallback(p, p.Model, err, &hops, map[string]bool{p.Model: true})
}

func (m *reference) fallback(p *call.Plan, group string, first *call.Error, hops *int, tried map[string]bool) *call.Error {
	if first.Class == call.ClassClientGone {
		return first
	}
	list := m.o.Fallbacks
	switch {
	case first.Class == call.ClassContextWindowExceeded && m.o.ContextWindowFallbacks != nil:
		list = m.o.ContextWindowFallbacks
	case first.Class == call.ClassContentPolicyViolation && m.o.ContentPolicyFallbacks != nil:
		list = m.o.ContentPolicyFallbacks
	}
	var chain []string
	for _, f := range list {
		if f.Group == "*" {
			chain = f.To
		}
	}
	for _, f := range list {
		if f.Group == group {
			chain = f.To
			break
		}
	}
	if p.Fallbacks != nil {
		chain = p.Fallbacks
	}
	most := 5
	if m.o.MaxFallbacks != nil {
		most = *m.o.MaxFallbacks
	}
	for _, name := range chain {
		if tried[name] {
			continue
		}
		if *hops >= most {
			break
		}
		*hops++
		tried[name] = true
		if m.groups[name] == nil {
			continue
		}
		err := m.orders(p, name)
		if err != nil && !err.Sent && err.Class != call.ClassClientGone {
			err = m.fallback(p, name, err, hops, tried)
		}
		if err == nil || err.Sent || err.Class == call.ClassClientGone {
			return err
		}
	}
	return first
}

// world is the router under test with its clock.
type world struct {
	now time.Duration
	log []step
	t   *rapid.T
	// outcome draws what becomes of an attempt.
	outcome func() (*call.Error, time.Duration)
}

func (w *world) Attempt(_ context.Context, d *call.Deployment, l call.Limits) *call.Error {
	err, took := w.outcome()
	w.now += took
	w.log = append(w.log, step{id: d.ID, limits: l, err: err, at: w.now})
	if len(w.log) > 500 {
		w.t.Fatalf("the call does not end: %+v", w.log[:20])
	}
	return err
}

func draws(t *rapid.T) func() (*call.Error, time.Duration) {
	classes := []call.Class{
		call.ClassInternalServer, call.ClassInternalServer, call.ClassRateLimit, call.ClassTimeout, call.ClassAuthentication,
		call.ClassNotFound, call.ClassBadRequest, call.ClassPermissionDenied, call.ClassContextWindowExceeded,
		call.ClassContentPolicyViolation, call.ClassAPIConnection, call.ClassServiceUnavailable, call.ClassClientGone,
	}
	return func() (*call.Error, time.Duration) {
		took := time.Duration(rapid.IntRange(0, 3000).Draw(t, "took ms")) * time.Millisecond
		if rapid.IntRange(0, 2).Draw(t, "fails") == 0 {
			return nil, took
		}
		class := rapid.SampledFrom(classes).Draw(t, "class")
		err := &call.Error{Class: class, Message: "litellm." + class.String() + ": OpenAIException - no", RetryAfter: -1}
		if class == call.ClassRateLimit || class == call.ClassServiceUnavailable {
			err.RetryAfter = time.Duration(rapid.SampledFrom([]int{-1, -1, 0, 1, 20, 90}).Draw(t, "retry after")) * time.Second
			err.RetryAfter = max(err.RetryAfter, -1)
		}
		err.Sent = rapid.IntRange(0, 20).Draw(t, "sent") == 0
		return err, took
	}
}

func maybe[T any](t *rapid.T, name string, values ...T) *T {
	if i := rapid.IntRange(-1, len(values)-1).Draw(t, name); i >= 0 {
		return &values[i]
	}
	return nil
}

func sometimes(t *rapid.T, name string, d time.Duration) time.Duration {
	if rapid.Bool().Draw(t, name) {
		return d
	}
	return 0
}

func drawOptions(t *rapid.T, groups []string) Options {
	sec := func(name string, values ...int) time.Duration {
		if v := maybe(t, name, values...); v != nil {
			return time.Duration(*v) * time.Second
		}
		return 0
	}
	fallbacks := func(name string) []Fallback {
		if rapid.Bool().Draw(t, name) {
			return nil
		}
		list := []Fallback{}
		for _, g := range append(groups, "*") {
			if rapid.Bool().Draw(t, name+" of "+g) {
				list = append(list, Fallback{Group: g, To: rapid.SliceOfN(rapid.SampledFrom(append(groups, "gone")), 1, 3).Draw(t, "to")})
			}
		}
		return list
	}
	o := Options{
		NumRetries: maybe(t, "num_retries", 0, 1, 3), RetryAfter: sec("retry_after", 1, 20),
		Timeout: sec("timeout", 6000, 30), StreamTimeout: sec("stream_timeout", 3), CooldownTime: sec("cooldown_time", 1, 30),
		MaxCooldown:      sec("max_cooldown_time", 10),
		DisableCooldowns: rapid.IntRange(0, 9).Draw(t, "disable_cooldowns") == 0,
		AllowedFails:     maybe(t, "allowed_fails", 0, 1, 3), MaxFallbacks: maybe(t, "max_fallbacks", 0, 1, 2),
		Fallbacks: fallbacks("fallbacks"), ContextWindowFallbacks: fallbacks("context"), ContentPolicyFallbacks: fallbacks("content"),
	}
	if rapid.IntRange(0, 2).Draw(t, "policy") == 0 {
		o.RetryPolicy = &RetryPolicy{
			BadRequest: maybe(t, "bad request", 0, 1), RateLimit: maybe(t, "rate limit", 0, 4), Timeout: maybe(t, "timeouts", 2),
			ContentPolicy: maybe(t, "content policy", 1), InternalServer: maybe(t, "server", 0, 1), Default: maybe(t, "default", 0, 2),
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "fails policy") == 0 {
		o.AllowedFailsPolicy = AllowedFailsPolicy{}
		for _, class := range []call.Class{call.ClassTimeout, call.ClassRateLimit, call.ClassInternalServer} {
			if n := maybe(t, "allowed of "+class.String(), 0, 2); n != nil {
				o.AllowedFailsPolicy[class] = *n
			}
		}
	}
	return o
}

func drawDeployments(t *rapid.T, groups []string) (list []*call.Deployment) {
	for _, g := range groups {
		ordered := rapid.IntRange(0, 3).Draw(t, "ordered") == 0
		for i := range rapid.IntRange(1, 4).Draw(t, "deployments of "+g) {
			d := &call.Deployment{ID: fmt.Sprint(g, i), Group: g, Model: "m"}
			if ordered {
				d.Order = rapid.IntRange(0, 2).Draw(t, "order")
			}
			d.Weight = float64(rapid.IntRange(0, 2).Draw(t, "weight"))
			d.NumRetries = maybe(t, "deployment's num_retries", 0, 3)
			d.AllowedFails = maybe(t, "deployment's allowed_fails", 1)
			if v := maybe(t, "deployment's cooldown", 0, 2); v != nil && rapid.Bool().Draw(t, "own cooldown") {
				c := time.Duration(*v) * time.Second
				d.Cooldown = &c
			}
			if rapid.IntRange(0, 3).Draw(t, "own timeout") == 0 {
				d.Timeout = 7 * time.Second
				d.StreamTimeout = sometimes(t, "own stream_timeout", 4*time.Second)
			}
			list = append(list, d)
		}
	}
	return list
}

// TestTheRouterAgreesWithTheRules runs random calls against random routers, with
// steps of time, cooldowns from elsewhere and reloads between them.
func TestTheRouterAgreesWithTheRules(t *testing.T) {
	groups := []string{"g", "h", "i"}
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, now: time.Second}
		w.outcome = draws(t)
		m := &reference{
			t: t, until: map[string]time.Duration{}, ok: map[string]int{}, fail: map[string]int{},
			since: map[string]time.Duration{}, fails: map[string]refCounter{},
		}
		options := func() Options {
			o := drawOptions(t, groups)
			m.o = o
			o.Strategy = SimpleShuffle{random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
			o.mono = func() int64 { return int64(w.now) }
			o.sleep = func(_ context.Context, d time.Duration) error {
				w.log = append(w.log, step{sleep: d, at: w.now})
				w.now += d
				return nil
			}
			return o
		}
		list := drawDeployments(t, groups)
		m.groups = map[string][]*call.Deployment{}
		for _, d := range list {
			m.groups[d.Group] = append(m.groups[d.Group], d)
		}
		r, err := New(list, options())
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				w.now += time.Duration(rapid.SampledFrom([]int{1, 5, 20, 40, 50, 60, 90}).Draw(t, "later")) * time.Second
				continue
			case 1:
				d := rapid.SampledFrom(list).Draw(t, "cooled")
				r.Cool(d.ID, 3*time.Second)
				if !m.o.DisableCooldowns {
					m.until[d.ID] = max(m.until[d.ID], w.now+3*time.Second)
				}
				continue
			case 2:
				if err := r.Replace(list, options()); err != nil {
					t.Fatal(err)
				}
				continue
			}
			p := &call.Plan{
				Model: rapid.SampledFrom(groups).Draw(t, "model"), Stream: rapid.Bool().Draw(t, "stream"),
				NumRetries:       maybe(t, "call's num_retries", 0, 1),
				DisableFallbacks: rapid.IntRange(0, 5).Draw(t, "disable_fallbacks") == 0,
			}
			if rapid.IntRange(0, 4).Draw(t, "call's timeout") == 0 {
				p.Timeout = 2 * time.Second
				p.StreamTimeout = sometimes(t, "call's stream_timeout", time.Second)
			}
			if rapid.IntRange(0, 6).Draw(t, "call's fallbacks") == 0 {
				p.Fallbacks = []string{"i", "g"}
			}
			m.now, w.log = w.now, nil
			var c call.Call
			got := r.Run(t.Context(), &c, p, w)
			m.log = w.log
			want := m.serve(p)
			if len(m.log) > 0 {
				m.problem("the router went on where the rules stop with %v", want)
			}
			if m.now != w.now {
				t.Fatalf("the rules end at %s, the router at %s", m.now, w.now)
			}
			switch {
			case (got == nil) != (want == nil):
				t.Fatalf("the router says %v, the rules %v", got, want)
			case got != nil && (got.Class != want.Class || !strings.HasPrefix(got.Message, want.Message)):
				t.Fatalf("the router says %v, the rules %v", got, want)
			}
			for _, d := range list {
				cooling := r.Cooling()[d.ID]
				if left := max(m.until[d.ID]-w.now, 0); cooling != left {
					t.Fatalf("%s is left out for %s, by the rules for %s", d.ID, cooling, left)
				}
			}
		}
	})
}
