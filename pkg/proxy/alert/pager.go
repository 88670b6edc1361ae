package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Pager says when PagerDuty calls somebody.
type Pager struct {
	// Key is the integration's routing key; URL is where events go, empty for
	// PagerDuty's own address.
	Key redact.Secret
	URL string
	// Failures within FailureWindow are too many; 0 means 60 and 60 s.
	Failures      int
	FailureWindow time.Duration
	// A call hangs after HangingAfter, 0 means 60 s; Hanging of them within
	// HangingWindow are too many, 0 means 60 and 10 min.
	HangingAfter  time.Duration
	Hanging       int
	HangingWindow time.Duration
}

// PagerDuty is where events go.
const PagerDuty = "https://events.pagerduty.com/v2/enqueue"

// pager counts what PagerDuty is called for.
type pager struct {
	o               Pager
	failures, hangs tally
}

// event is one failure as PagerDuty is told of it. LiteLLM's members about
// budgets are those of keys in a database.
type event struct {
	Type     string  `json:"failure_event_type"`
	Class    string  `json:"error_class"`
	Code     string  `json:"error_code"`
	Provider string  `json:"error_llm_provider"`
	Key      *string `json:"user_api_key_hash"`
	Alias    *string `json:"user_api_key_alias"`
	User     *string `json:"user_api_key_user_id"`
	Team     *string `json:"user_api_key_team_id"`
	EndUser  *string `json:"user_api_key_end_user_id"`
	Route    *string `json:"user_api_key_request_route"`
}

// tally holds the events of a window, until they are too many.
type tally struct {
	mu      sync.Mutex
	limit   int
	window  time.Duration
	list    []noted
	summary string
	due     []event
	many    int
}

type noted struct {
	at time.Time
	event
}

// shownEvents is how many a message shows.
const shownEvents = 5

func newPager(o *Pager) *pager {
	if o == nil {
		return nil
	}
	p := &pager{o: *o}
	whole := func(n *int, def int) {
		if *n <= 0 {
			*n = def
		}
	}
	long := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	whole(&p.o.Failures, 60)
	long(&p.o.FailureWindow, time.Minute)
	long(&p.o.HangingAfter, time.Minute)
	whole(&p.o.Hanging, 60)
	long(&p.o.HangingWindow, 10*time.Minute)
	if p.o.URL == "" {
		p.o.URL = PagerDuty
	}
	p.failures.limit, p.failures.window, p.failures.summary = p.o.Failures, p.o.FailureWindow, "High LLM API Failure Rate"
	p.hangs.limit, p.hangs.window, p.hangs.summary = p.o.Hanging, p.o.HangingWindow, "High Number of Hanging LLM Requests"
	return p
}

// add counts an event. Once there are too many of them they are due, and it
// begins anew.
func (t *tally) add(now time.Time, e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := now.Add(-t.window)
	if i := slices.IndexFunc(t.list, func(n noted) bool { return n.at.After(from) }); i > 0 {
		t.list = slices.Delete(t.list, 0, i)
	} else if i < 0 {
		t.list = t.list[:0]
	}
	t.list = append(t.list, noted{now, e})
	if len(t.list) < t.limit {
		return
	}
	t.many = len(t.list)
	t.due = t.due[:0]
	for _, n := range t.list[max(0, len(t.list)-shownEvents):] {
		t.due = append(t.due, n.event)
	}
	t.list = t.list[:0]
}

// take returns what is due, once.
func (t *tally) take() (many int, list []event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	many, list = t.many, slices.Clone(t.due)
	t.many, t.due = 0, t.due[:0]
	return many, list
}

// pageFailure counts a failed attempt, or a call that reached no deployment.
func (a *Alerts) pageFailure(c *call.Call, d *call.Deployment, err *call.Error) {
	if a.o.Pager == nil || err.Class == call.ClassClientGone {
		return
	}
	e := calledBy(c.Caller, c.Route)
	e.Type, e.Class, e.Code = "failed_response", err.Class.String(), strconv.Itoa(err.StatusCode())
	if d != nil {
		e.Provider = d.Provider
	}
	if c.EndUser != "" {
		e.EndUser = &c.EndUser
	}
	a.pager.failures.add(a.o.now(), e)
}

func hangingEvent(p *pending) event {
	e := calledBy(p.caller, p.route)
	e.Type, e.Class, e.Code, e.Provider = "hanging_response", "HangingRequest", "HangingRequest", "HangingRequest"
	return e
}

func calledBy(who *call.Identity, route string) (e event) {
	some := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	if who != nil {
		e.Key, e.User, e.Team = some(who.KeyHash), some(who.UserID), some(who.TeamID)
	}
	e.Route = some(route)
	return e
}

// page calls somebody, if there is a reason.
func (a *Alerts) page(ctx context.Context) {
	if a.o.Pager == nil {
		return
	}
	for _, t := range []*tally{&a.pager.failures, &a.pager.hangs} {
		many, list := t.take()
		if many == 0 {
			continue
		}
		body, err := json.Marshal(map[string]any{
			"payload": map[string]any{
				"summary":  fmt.Sprintf("%s: %d in the last %s seconds.", t.summary, many, seconds(t.window)),
				"severity": "critical", "source": "LiteLLM Alert", "component": "LiteLLM",
				"custom_details": map[string]any{"recent_errors": list},
			},
			"routing_key": a.pager.o.Key.Reveal(), "event_action": "trigger",
		})
		if err == nil {
			err = a.post(ctx, redact.New(a.pager.o.URL), body)
		}
		if err != nil {
			a.dropped.Add(1)
			a.o.Log.Warn("PagerDuty was not told: " + a.o.Secrets.Text(err.Error(), a.pager.o.Key))
			if a.o.Failed != nil {
				a.o.Failed(1)
			}
		}
	}
}
