package mock

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limiter counts requests and tokens in minutes of the wall clock that start
// with the first request, as providers' fixed windows do.
type limiter struct {
	rpm, tpm int
	now      func() time.Time

	mu       sync.Mutex
	start    time.Time
	requests int
	tokens   int
}

// take admits a request of so many tokens and sets the headers that tell the
// client where it stands.
func (l *limiter) take(h http.Header, tokens int) bool {
	l.mu.Lock()
	now := l.now()
	if l.start.IsZero() || now.Sub(l.start) >= time.Minute {
		l.start, l.requests, l.tokens = now, 0, 0
	}
	ok := (l.rpm == 0 || l.requests < l.rpm) && (l.tpm == 0 || l.tokens+tokens <= l.tpm)
	if ok {
		l.requests++
		l.tokens += tokens
	}
	requests, used, reset := l.requests, l.tokens, l.start.Add(time.Minute).Sub(now)
	l.mu.Unlock()

	left := strconv.FormatFloat(reset.Seconds(), 'f', 3, 64) + "s"
	if l.rpm > 0 {
		h.Set("X-Ratelimit-Limit-Requests", strconv.Itoa(l.rpm))
		h.Set("X-Ratelimit-Remaining-Requests", strconv.Itoa(l.rpm-requests))
		h.Set("X-Ratelimit-Reset-Requests", left)
	}
	if l.tpm > 0 {
		h.Set("X-Ratelimit-Limit-Tokens", strconv.Itoa(l.tpm))
		h.Set("X-Ratelimit-Remaining-Tokens", strconv.Itoa(l.tpm-used))
		h.Set("X-Ratelimit-Reset-Tokens", left)
	}
	if !ok {
		h.Set("Retry-After", strconv.Itoa(int(reset/time.Second)+1))
	}
	return ok
}
