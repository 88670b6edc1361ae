package health

import (
	"context"
	"net/http"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// defaultPoll is how often an instance that waits for another looks, more often
// where the wait is short.
const defaultPoll = 5 * time.Second

// gather makes the results of a round: it asks, or takes what another instance
// has found. What that has not looked after is asked here.
func (c *Checker) gather(ctx context.Context, list []*call.Deployment) []Result {
	s := c.o.Shared
	if s == nil {
		return c.ask(ctx, list)
	}
	if found, ok := s.Results(ctx); ok {
		return c.taken(ctx, list, found)
	}
	if s.Lock(ctx) {
		defer s.Unlock(context.WithoutCancel(ctx))
		results := c.ask(ctx, list)
		if ctx.Err() == nil {
			s.Keep(ctx, c.told(results))
		}
		return results
	}
	poll := min(defaultPoll, max(s.Patience()/10, 50*time.Millisecond))
	for end := time.Now().Add(s.Patience()); time.Now().Before(end); {
		timer := time.NewTimer(poll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if found, ok := s.Results(ctx); ok {
			return c.taken(ctx, list, found)
		}
		if !s.Locked(ctx) {
			break // who asked is gone, or Redis is
		}
	}
	c.o.Log.Warn("no instance shared the results of its health checks in time; this one asks on its own")
	return c.ask(ctx, list)
}

// taken are results of another instance, and our own for what it left out.
func (c *Checker) taken(ctx context.Context, list []*call.Deployment, found map[string]call.SharedCheck) []Result {
	var results []Result
	var missing []*call.Deployment
	now := time.Now()
	for _, d := range list {
		s, ok := found[d.ID]
		if !ok {
			missing = append(missing, d)
			continue
		}
		r := Result{Deployment: d, At: now}
		if !s.Healthy {
			r.Err = failure(s)
		}
		results = append(results, r)
	}
	if len(missing) > 0 {
		results = append(results, c.ask(ctx, missing)...)
	}
	return results
}

// failure is the error of another instance.
func failure(s call.SharedCheck) *call.Error {
	reason := s.Reason
	if reason == "" {
		reason = "another instance found that it does not work"
	}
	e := call.NewError(s.Status, "", "", reason)
	switch s.Status {
	case http.StatusRequestTimeout:
		e.Class = call.ClassTimeout
	case http.StatusTooManyRequests:
		e.Class = call.ClassRateLimit
	default:
		e.Class = call.ClassAPIError
	}
	return e
}

// told is a round in words for others.
func (c *Checker) told(results []Result) []call.SharedCheck {
	list := make([]call.SharedCheck, 0, len(results))
	for _, r := range results {
		s := call.SharedCheck{ID: r.Deployment.ID, Healthy: r.Err == nil, Model: r.Deployment.Configured}
		if c.o.Details {
			s.APIBase = r.Deployment.APIBase
		}
		if r.Err != nil {
			s.Status = r.Err.StatusCode()
			if c.o.Details {
				s.Reason = r.Err.Message
			}
		}
		list = append(list, s)
	}
	return list
}
