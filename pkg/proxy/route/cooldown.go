package route

import (
	"net/http"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

const (
	failureShare        = 0.5  // DEFAULT_FAILURE_THRESHOLD_PERCENT
	failureMinimum      = 5    // DEFAULT_FAILURE_THRESHOLD_MINIMUM_REQUESTS
	singleFailureVolume = 1000 // SINGLE_DEPLOYMENT_TRAFFIC_FAILURE_THRESHOLD
	rateWindow          = int64(time.Minute)
)

// succeeded counts a success.
func (s *snapshot) succeeded(n *Node) {
	n.state.turn(s.o.mono())
	n.state.ok.Add(1)
}

// turn begins a new minute of counts when the old one is over: sixty seconds
// from the first count. Two goroutines that turn it together may lose a count,
// which moves a rate, not a decision about money.
func (st *state) turn(now int64) {
	if from := st.countsFrom.Load(); (from == 0 || now-from >= rateWindow) && st.countsFrom.CompareAndSwap(from, max(now, 1)) {
		st.ok.Store(0)
		st.fail.Store(0)
	}
}

// failed counts a failed attempt and takes the deployment out if the table says
// so. Every attempt counts: only that sees a burst.
// A limit that the caller set itself says nothing about the deployment.
func (s *snapshot) failed(n *Node, err *call.Error, callersLimit bool) {
	if err.Class == call.ClassClientGone || err.Class == call.ClassGateway {
		return
	}
	now := s.o.mono()
	n.state.turn(now)
	n.state.fail.Add(1)
	if callersLimit && err.Class == call.ClassTimeout {
		return
	}
	d := s.cooldownTime(n.Deployment, err)
	if d <= 0 {
		return
	}
	cools, counted := s.cools(n, n.group, err, now)
	if !cools && (counted == nil || s.o.OnFailure == nil) {
		return
	}
	cooldown := call.Cooldown{ID: n.ID, Status: statusOf(err), Reason: err.Message, At: time.Now(), For: d}
	if !cools {
		counted.Cooldown = cooldown
		s.o.OnFailure(*counted)
		return
	}
	n.cool(now + int64(d))
	if s.o.OnCooldown != nil {
		s.o.OnCooldown(cooldown)
	}
}

// cool leaves a deployment out until a time of the router's clock.
func (n *Node) cool(until int64) {
	raise(&n.state.coolUntil, until)
	if n.group.coolUntil != nil {
		raise(n.group.coolUntil, until)
	}
}

func raise(v interface {
	Load() int64
	CompareAndSwap(old, new int64) bool
}, to int64,
) {
	for {
		old := v.Load()
		if old >= to || v.CompareAndSwap(old, to) {
			return
		}
	}
}

// cooldownTime is the deployment's, else what the upstream asked for, else the
// router's. MaxCooldown bounds what an upstream may ask for.
func (s *snapshot) cooldownTime(d *call.Deployment, err *call.Error) time.Duration {
	switch {
	case d.Cooldown != nil:
		return *d.Cooldown
	case err.RetryAfter >= 0:
		if s.o.MaxCooldown > 0 {
			return min(err.RetryAfter, s.o.MaxCooldown)
		}
		return err.RetryAfter
	}
	return s.o.CooldownTime
}

// coolable reports whether a failure says anything about the deployment's
// health: connection errors and most refusals do not.
func coolable(err *call.Error, status int) bool {
	if err.Class == call.ClassAPIConnection {
		return false
	}
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusNotFound, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return status < 400 || status >= 500
}

// cools decides about a failure. Where failures are counted against a number,
// it also says so: others may have seen some too.
func (s *snapshot) cools(n *Node, g *group, err *call.Error, now int64) (bool, *call.Failure) {
	if s.o.DisableCooldowns {
		return false, nil
	}
	status := statusOf(err)
	several := len(g.nodes) > 1
	own, explicit := allowed(n.AllowedFailsFor, err.Class)
	if !coolable(err, status) && !explicit {
		return false, nil
	}
	count := func(class call.Class, name string, window time.Duration, most int) (bool, *call.Failure) {
		return n.state.count(class, now, window) > int64(most), &call.Failure{ID: n.ID, Counter: name, Allowed: most, Window: window}
	}
	// The deployment's own rule is above the router's.
	if n.AllowedFails != nil || n.AllowedFailsFor != nil {
		window := s.o.CooldownTime
		if n.Cooldown != nil {
			window = *n.Cooldown
		}
		switch {
		case explicit:
			return count(err.Class, err.Class.String(), window, own)
		case n.AllowedFails != nil && !several:
			return false, nil
		case n.AllowedFails != nil:
			return count(generic, "generic", window, *n.AllowedFails)
		}
		return count(generic, "", window, s.allowedFails(err.Class))
	}
	_, named := allowed(s.o.AllowedFailsPolicy, err.Class)
	if status == http.StatusPaymentRequired && !several && !named {
		return false, nil
	}
	if s.o.AllowedFailsPolicy != nil || s.o.AllowedFails != nil && *s.o.AllowedFails != s.globalAllowedFails() {
		return count(generic, "", s.o.CooldownTime, s.allowedFails(err.Class))
	}
	fail, ok := n.state.fail.Load(), n.state.ok.Load()
	switch {
	case status == http.StatusTooManyRequests && several:
		return true, nil
	case ok == 0 && fail >= int64(s.o.SingleFailureVolume):
		return true, nil
	case several && fail+ok >= int64(s.o.FailureMinimum) && float64(fail) > s.o.FailureShare*float64(fail+ok):
		return true, nil
	}
	return !retryableStatus(status), nil
}

// allowedFails is the router's number for a class.
func (s *snapshot) allowedFails(class call.Class) int {
	if n, ok := allowed(s.o.AllowedFailsPolicy, class); ok {
		return n
	}
	if s.o.AllowedFails != nil {
		return *s.o.AllowedFails
	}
	return s.globalAllowedFails()
}

// globalAllowedFails is what router_settings.allowed_fails must differ from to
// count at all.
func (s *snapshot) globalAllowedFails() int {
	if s.o.GlobalAllowedFails != nil {
		return *s.o.GlobalAllowedFails
	}
	return defaultAllowedFails
}

// generic is the counter of failures whose class has none of its own.
const generic = call.ClassAPIError

// failCounter counts failures within a time from the first.
type failCounter struct{ from, n int64 }

// count adds one and returns how many there are. It is called on failures only,
// so a lock here is none that every request takes.
func (st *state) count(class call.Class, now int64, window time.Duration) int64 {
	st.failsMu.Lock()
	defer st.failsMu.Unlock()
	c, ok := st.fails[class]
	if !ok || now-c.from >= int64(window) {
		c = failCounter{from: now}
	}
	c.n++
	if st.fails == nil {
		st.fails = map[call.Class]failCounter{}
	}
	st.fails[class] = c
	return c.n
}
