// Package alert tells people about calls that fail, are slow, or hang, about
// outages and, once a day, about the worst deployments: in Slack, or whatever
// takes Slack's webhooks, in Microsoft Teams, and at PagerDuty. Alerts wait in a
// bounded queue, equal ones are joined with a count, and they are sent in batches
// behind the calls. It never shows a prompt or an answer.
package alert

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Kinds of alerts that this build sends.
const (
	Slow      = "llm_too_slow"
	Hanging   = "llm_requests_hanging"
	Exception = "llm_exceptions"
	Cooldown  = "cooldown_deployment"
	Outage    = "outage_alerts"
	Region    = "region_outage_alerts"
	Daily     = "daily_reports"
)

// Kinds are all of them.
var Kinds = []string{Slow, Hanging, Exception, Daily, Cooldown, Outage, Region}

// Options configure alerts.
type Options struct {
	// URL is where alerts go; ByKind is where those of some kinds go instead.
	URL    redact.Secret
	ByKind map[string][]redact.Secret
	// Teams is where they go for Microsoft Teams, beside the others; zero for
	// nowhere.
	Teams redact.Secret
	// Pager calls somebody when much fails or hangs; nil calls nobody.
	Pager *Pager
	// Types are the kinds that are sent; nil sends all but Cooldown, which LiteLLM
	// has as a kind and does not send.
	Types []string
	// Digest are the kinds whose alerts are gathered for so long and become one
	// for every model and address.
	Digest map[string]time.Duration
	// Threshold is when a call is slow, or hangs; 0 means 300 s.
	Threshold time.Duration
	// Interval is how long alerts are collected; 0 means 5 s.
	Interval time.Duration
	// OutageWindow, Minor and Major say how many errors of one deployment within
	// which time are an outage; 0 means 60 s, 5 and 10.
	// RegionWindow is the one for all deployments of a region, 0 means 60 s.
	OutageWindow, RegionWindow time.Duration
	Minor, Major               int
	// Report is how often the worst deployments are told, 0 means 12 h;
	// ReportCheck how often it is looked whether it is time, 0 means 5 min.
	Report, ReportCheck time.Duration
	// Redact keeps the text of errors to ourselves: it may quote a prompt.
	Redact bool
	// Console writes alerts to the log too.
	Console bool
	// ProxyURL is added to every alert, when it is known.
	ProxyURL string
	Secrets  *redact.Known
	Log      *slog.Logger
	// Failed is told of alerts that were not delivered.
	Failed func(n int)

	now func() time.Time
}

const (
	// DefaultThreshold is when a call counts as slow.
	DefaultThreshold = 300 * time.Second
	capacity         = 1000
	patience         = 10 * time.Second
	farewell         = 3 * time.Second
	// perFlush bounds what is sent at once: people read it.
	perFlush = 50
	maxPause = 5 * time.Minute
)

// Alerts sends alerts. Close it.
type Alerts struct {
	o       Options
	client  *http.Client
	dropped atomic.Int64
	watch   watch

	mu      sync.Mutex
	waiting []message
	index   map[string]int // of waiting, by kind and text
	outages map[string]*outage
	digests map[string]*digest
	report  report
	pager   *pager

	stopping context.Context
	stop     context.CancelFunc
	wait     sync.WaitGroup
	// paused is until when the address has asked for quiet.
	paused time.Time
}

type message struct {
	kind, level, text string
	at                time.Time
	count             int
	// form says who it is for.
	form form
}

// form is how an alert is told.
type form uint8

const (
	everywhere form = iota
	// digestForm has its frame already and goes to Slack, teamsForm to Teams alone:
	// the alerts that a digest is made of go there one by one, as from LiteLLM.
	digestForm
	teamsForm
)

// sentAs is the kind under whose name, and to whose addresses, an alert goes.
func sentAs(kind string) string {
	if kind == Region {
		return Outage
	}
	return kind
}

// New starts alerts.
func New(o Options) *Alerts {
	if o.Threshold <= 0 {
		o.Threshold = DefaultThreshold
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	if o.OutageWindow <= 0 {
		o.OutageWindow = time.Minute
	}
	if o.Minor <= 0 {
		o.Minor = 5
	}
	if o.Major <= 0 {
		o.Major = 10
	}
	if o.RegionWindow <= 0 {
		o.RegionWindow = time.Minute
	}
	if o.Report <= 0 {
		o.Report = 12 * time.Hour
	}
	if o.ReportCheck <= 0 {
		o.ReportCheck = 5 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	a := &Alerts{
		o: o, index: map[string]int{}, outages: map[string]*outage{}, digests: map[string]*digest{}, report: newReport(o.now()), pager: newPager(o.Pager),
		client: &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	a.stopping, a.stop = context.WithCancel(context.Background())
	a.wait.Go(a.run)
	a.wait.Go(a.look)
	return a
}

// Close sends what waits, and stops.
func (a *Alerts) Close() {
	a.stop()
	a.wait.Wait()
	a.client.CloseIdleConnections()
}

// Dropped is how many alerts found no room or no taker.
func (a *Alerts) Dropped() int64 { return a.dropped.Load() }

// run sends what waits. It is apart from the look for calls that hang, so that a
// webhook that hangs does not hide them.
func (a *Alerts) run() {
	ticker := time.NewTicker(a.o.Interval)
	defer ticker.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// The last alerts must not hold up the end for long, nor may one that is
	// being sent when it comes.
	defer context.AfterFunc(a.stopping, func() { time.AfterFunc(farewell, cancel) })()
	for {
		select {
		case <-ticker.C:
			a.reportDue()
			a.digested(false)
			a.flush(ctx, false)
			a.page(ctx)
		case <-a.stopping.Done():
			a.digested(true)
			a.flush(ctx, true)
			a.page(ctx)
			return
		}
	}
}

func (a *Alerts) look() {
	shortest := a.o.Threshold
	if a.o.Pager != nil {
		shortest = min(shortest, a.pager.o.HangingAfter)
	}
	ticker := time.NewTicker(max(shortest/2, 10*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.hanging()
		case <-a.stopping.Done():
			return
		}
	}
}

// wants says whether a kind is sent.
func (a *Alerts) wants(kind string) bool {
	if a.o.Types == nil {
		return kind != Cooldown
	}
	return slices.Contains(a.o.Types, kind)
}

// slack reports whether alerts go to Slack.
func (a *Alerts) slack() bool { return !a.o.URL.IsZero() || len(a.o.ByKind) > 0 }

// raise puts an alert into the queue; equal ones are counted. A digest is made of
// those of one group.
func (a *Alerts) raise(kind, level, text, group string) {
	if !a.wants(kind) || !a.slack() && a.o.Teams.IsZero() {
		return
	}
	text = a.o.Secrets.Text(text)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.gather(kind, level, text, group):
		a.put(kind, level, text, everywhere)
	case !a.o.Teams.IsZero():
		a.put(kind, level, text, teamsForm)
	}
}

// put adds to the queue. The caller holds the lock.
func (a *Alerts) put(kind, level, text string, f form) {
	key := kind + "\x00" + text
	if i, ok := a.index[key]; ok {
		a.waiting[i].count++
		return
	}
	if len(a.waiting) >= capacity {
		a.dropped.Add(1)
		return
	}
	a.index[key] = len(a.waiting)
	a.waiting = append(a.waiting, message{kind, level, text, a.o.now(), 1, f})
}

// Record looks at finished calls.
func (a *Alerts) Record(batch []call.Call) {
	for i := range batch {
		c := &batch[i]
		for j := range c.FailedAttempts {
			a.count(&c.FailedAttempts[j])
			a.pageFailure(c, c.FailedAttempts[j].Deployment, c.FailedAttempts[j].Err)
		}
		a.observe(c)
		switch took := c.End.Sub(c.Start); {
		case c.Err != nil:
			a.failed(c)
		case took > a.o.Threshold:
			model := c.Model
			if c.Deployment != nil && c.Deployment.Model != "" {
				model = c.Deployment.Model // as LiteLLM names it here
			}
			what := request(model, c.Deployment)
			a.raise(Slow, "Low", fmt.Sprintf("`Responses are slow - %ss response time > Alerting threshold: %ss`%s",
				rounded(took), seconds(a.o.Threshold), what), what)
		}
	}
}

// failed tells of a call that failed for other reasons than its client.
func (a *Alerts) failed(c *call.Call) {
	switch c.Err.Class {
	case call.ClassGateway:
		if c.Err.Type != "all_deployments_in_cooldown" {
			return
		}
	case call.ClassClientGone, call.ClassBadRequest, call.ClassUnprocessableEntity,
		call.ClassContextWindowExceeded, call.ClassContentPolicyViolation, call.ClassUnsupportedParams:
		return
	}
	text := c.Err.Message
	if a.o.Redact {
		text = c.Err.Class.String() + ": Message not logged. litellm.redact_messages_in_exceptions=True"
	}
	const longest = 2000
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	where := ""
	if d := c.Deployment; d != nil {
		configured := d.Configured
		if configured == "" {
			configured = d.Provider + "/" + d.Model
		}
		where = "\nModel: " + configured + "\nAPI Base: `" + base(d) + "`\nmodel_group: `" + named(c.Model) + "`\n\ndeployment: `" + configured + "`\n"
	} else {
		where = "\nmodel_group: `" + named(c.Model) + "`\n"
	}
	a.raise(Exception, "High", "LLM API call failed: `"+text+where+"`", "")
}

// Cooled tells that a deployment is left out for a while.
func (a *Alerts) Cooled(d *call.Deployment, c call.Cooldown) {
	a.raise(Cooldown, "Low", fmt.Sprintf("Router: Cooling down Deployment:\nModel Name: `%s`\nAPI Base: `%s`\nCooldown Time: `%s seconds`\nException Status Code: `%d`",
		d.Group, base(d), seconds(c.For), c.Status), "")
}

func base(d *call.Deployment) string {
	b, _, _ := strings.Cut(d.APIBase, "?")
	return b
}

// request names a call without its content.
func request(model string, d *call.Deployment) string {
	at := "None"
	if d != nil {
		at = base(d)
	}
	return "\nRequest Model: `" + named(model) + "`\nAPI Base: `" + at + "`"
}

// named shortens a name that a client may have chosen, and keeps it in its frame.
func named(model string) string {
	if len(model) > 200 {
		model = model[:200]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(model, "`", "'"), "")
}

// rounded prints like Python's round(x, 2) of a float.
func rounded(d time.Duration) string {
	if text := seconds(d); strings.Contains(text, ".") {
		return text
	}
	return seconds(d) + ".0"
}

// seconds prints a whole number of them without a point.
func seconds(d time.Duration) string {
	f := math.Round(d.Seconds()*100) / 100
	if f == math.Trunc(f) {
		return fmt.Sprintf("%.0f", f)
	}
	return strings.TrimRight(fmt.Sprintf("%.2f", f), "0")
}

// Types are the kinds that are sent.
func (a *Alerts) Types() []string {
	if a.o.Types == nil {
		return slices.DeleteFunc(slices.Clone(Kinds), func(k string) bool { return k == Cooldown })
	}
	return a.o.Types
}
