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
)

// succeeded counts a success of this minute. Two goroutines that turn the
// minute together may lose a count, which moves a rate, not a decision about
// money.
func (s *snapshot) succeeded(n *Node) {
	n.state.turn(s.o.now())
	n.state.ok.Add(1)
}

func (st *state) turn(now time.Time) {
	minute := now.Unix() / 60
	if old := st.minute.Load(); old != minute && st.minute.CompareAndSwap(old, minute) {
		st.ok.Store(0)
		st.fail.Store(0)
	}
}

// failed counts a failed attempt and takes the deployment out if the table says
// so. Every attempt counts: only that sees a burst.
func (s *snapshot) failed(n *Node, err *call.Error) {
	if err.Class == call.ClassClientGone {
		return
	}
	now := s.o.now()
	n.state.turn(now)
	n.state.fail.Add(1)
	d := s.cooldownTime(n.Deployment, err)
	if d <= 0 || !s.cools(n, n.group, err, now, d) {
		return
	}
	until := now.Add(d).UnixNano()
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
// router's.
func (s *snapshot) cooldownTime(d *call.Deployment, err *call.Error) time.Duration {
	switch {
	case d.Cooldown != nil:
		return *d.Cooldown
	case err.RetryAfter >= 0:
		return err.RetryAfter
	}
	return s.o.CooldownTime
}

func (s *snapshot) cools(n *Node, g *group, err *call.Error, now time.Time, cooldown time.Duration) bool {
	status := statusOf(err)
	switch {
	case s.o.DisableCooldowns,
		err.Class == call.ClassAPIConnection,
		err.Class == call.ClassGateway:
		return false
	case status >= 400 && status < 500 &&
		status != http.StatusUnauthorized && status != http.StatusNotFound &&
		status != http.StatusRequestTimeout && status != http.StatusTooManyRequests:
		return false
	}
	if s.o.AllowedFails != nil && *s.o.AllowedFails != defaultAllowedFails {
		from := n.state.failsFrom.Load()
		if now.UnixNano()-from > int64(cooldown) && n.state.failsFrom.CompareAndSwap(from, now.UnixNano()) {
			n.state.fails.Store(0)
		}
		return n.state.fails.Add(1) > int64(*s.o.AllowedFails)
	}
	fail, ok := n.state.fail.Load(), n.state.ok.Load()
	several := len(g.nodes) > 1
	switch {
	case status == http.StatusTooManyRequests && several:
		return true
	case ok == 0 && fail >= singleFailureVolume:
		return true
	case several && fail+ok >= failureMinimum && float64(fail) > failureShare*float64(fail+ok):
		return true
	}
	return !retryableStatus(status)
}
