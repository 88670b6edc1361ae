package route

import (
	"sync/atomic"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// usage counts what a deployment has served in one minute of the clock: here,
// and what others say of theirs. A step of the clock begins a new minute, which
// forgets counts and harms nobody. Two goroutines that turn the minute together
// may lose a count.
type usage struct {
	minute, requests, tokens            atomic.Int64
	otherMinute, otherReqs, otherTokens atomic.Int64
}

func (u *usage) add(minute, requests, tokens int64) {
	if old := u.minute.Load(); old != minute && u.minute.CompareAndSwap(old, minute) {
		u.requests.Store(0)
		u.tokens.Store(0)
	}
	if requests != 0 {
		u.requests.Add(requests)
	}
	if tokens != 0 {
		u.tokens.Add(tokens)
	}
}

// own is what this instance has sent.
func (u *usage) own(minute int64) (requests, tokens int64) {
	if u.minute.Load() != minute {
		return 0, 0
	}
	return u.requests.Load(), u.tokens.Load()
}

// total adds what other instances have sent, as far as it is known.
func (u *usage) total(minute int64) (requests, tokens int64) {
	requests, tokens = u.own(minute)
	if u.otherMinute.Load() == minute {
		requests += u.otherReqs.Load()
		tokens += u.otherTokens.Load()
	}
	return requests, tokens
}

// others replaces what is known of other instances.
func (u *usage) others(d call.DeploymentUsage) {
	u.otherReqs.Store(max(d.Requests, 0))
	u.otherTokens.Store(max(d.Tokens, 0))
	u.otherMinute.Store(d.Minute)
}
