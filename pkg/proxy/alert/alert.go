// Package alert tells people about calls that fail, are slow, or hang: in Slack,
// or whatever takes Slack's webhooks. Alerts wait in a bounded queue, equal ones
// are joined with a count, and they are sent in batches behind the calls. It
// never shows a prompt or an answer.
package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
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
)

// Kinds are all of them.
var Kinds = []string{Slow, Hanging, Exception, Cooldown, Outage}

// Options configure alerts.
type Options struct {
	// URL is where alerts go; ByKind is where those of some kinds go instead.
	URL    redact.Secret
	ByKind map[string][]redact.Secret
	// Types are the kinds that are sent; nil sends all.
	Types []string
	// Threshold is when a call is slow, or hangs; 0 means 300 s.
	Threshold time.Duration
	// Interval is how long alerts are collected; 0 means 5 s.
	Interval time.Duration
	// OutageWindow, Minor and Major say how many errors of one deployment within
	// which time are an outage; 0 means 60 s, 5 and 10.
	OutageWindow time.Duration
	Minor, Major int
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

	stopping context.Context
	stop     context.CancelFunc
	wait     sync.WaitGroup
	// paused is until when the address has asked for quiet.
	paused time.Time
}

type message struct {
	kind, level, text string
	extra             string
	at                time.Time
	count             int
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
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	a := &Alerts{
		o: o, index: map[string]int{}, outages: map[string]*outage{},
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
			a.flush(ctx, false)
		case <-a.stopping.Done():
			a.flush(ctx, true)
			return
		}
	}
}

func (a *Alerts) look() {
	ticker := time.NewTicker(max(a.o.Threshold/2, 10*time.Millisecond))
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
	return a.o.Types == nil || slices.Contains(a.o.Types, kind)
}

// raise puts an alert into the queue; equal ones are counted.
func (a *Alerts) raise(kind, level, text, extra string) {
	if !a.wants(kind) {
		return
	}
	text = a.o.Secrets.Text(text)
	a.mu.Lock()
	defer a.mu.Unlock()
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
	a.waiting = append(a.waiting, message{kind, level, text, extra, a.o.now(), 1})
}

// Record looks at finished calls.
func (a *Alerts) Record(batch []call.Call) {
	for i := range batch {
		c := &batch[i]
		for j := range c.FailedAttempts {
			a.count(&c.FailedAttempts[j])
		}
		switch took := c.End.Sub(c.Start); {
		case c.Err != nil:
			a.failed(c)
		case took > a.o.Threshold:
			a.raise(Slow, "Low", fmt.Sprintf("`Responses are slow - %ss response time > Alerting threshold: %ss`%s",
				seconds(took), seconds(a.o.Threshold), request(c.Model, c.Deployment)), "")
		}
	}
}

// failed tells of a call that failed for other reasons than its client.
func (a *Alerts) failed(c *call.Call) {
	switch c.Err.Class {
	case call.ClassGateway, call.ClassClientGone, call.ClassBadRequest, call.ClassUnprocessableEntity,
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
	a.raise(Exception, "High", "LLM API call failed: `"+text+"`"+request(c.Model, c.Deployment), "")
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
	if len(model) > 200 {
		model = model[:200]
	}
	return "\nRequest Model: `" + strings.ToValidUTF8(strings.ReplaceAll(model, "`", "'"), "") + "`\nAPI Base: `" + at + "`"
}

// seconds prints like Python's round(x, 2) of a float.
func seconds(d time.Duration) string {
	f := math.Round(d.Seconds()*100) / 100
	if f == math.Trunc(f) {
		return fmt.Sprintf("%.0f", f)
	}
	return strings.TrimRight(fmt.Sprintf("%.2f", f), "0")
}

// outage counts the errors of one deployment within a window.
type outage struct {
	from                     time.Time
	timeouts, errors, others int
	told                     string
}

// count looks for outages: many errors of a server in a short time.
func (a *Alerts) count(f *call.FailedAttempt) {
	status := f.Err.StatusCode()
	if f.Err.Class == call.ClassClientGone || status != http.StatusRequestTimeout && status < 500 || !a.wants(Outage) {
		return
	}
	now := a.o.now()
	a.mu.Lock()
	o := a.outages[f.Deployment.ID]
	if o == nil || now.Sub(o.from) > a.o.OutageWindow {
		if len(a.outages) > 10_000 {
			clear(a.outages)
		}
		o = &outage{from: now}
		a.outages[f.Deployment.ID] = o
	}
	switch {
	case status == http.StatusRequestTimeout:
		o.timeouts++
	case f.Err.Class == call.ClassAPIError:
		o.others++
	default:
		o.errors++
	}
	size, level := "", "Medium"
	switch n := o.timeouts + o.errors + o.others; {
	case n >= a.o.Major && o.told != "Major":
		size, level = "Major", "High"
	case n >= a.o.Minor && o.told == "":
		size = "Minor"
	}
	if size != "" {
		o.told = size
	}
	seen := *o
	a.mu.Unlock()
	if size == "" {
		return
	}
	d := f.Deployment
	a.raise(Outage, level, fmt.Sprintf("\n*⚠️ %s Service Outage*\n\n*Model Name:* `%s`\n*Provider:* `%s`\n*API Base:* `%s`\n\n*Errors:*\nTimeout Errors: %d\nAPI Errors: %d\nUnknown Errors: %d\n\n*Last Check:* `%ss ago`",
		size, d.Group, d.Provider, base(d), seen.timeouts, seen.errors, seen.others, seconds(now.Sub(seen.from))), "")
}

// Types are the kinds that are sent.
func (a *Alerts) Types() []string {
	if a.o.Types == nil {
		return Kinds
	}
	return a.o.Types
}

// testTexts are LiteLLM's, which people search their channels for.
var testTexts = map[string]string{
	Exception: "LLM Exception test alert", Slow: "LLM Too Slow test alert", Hanging: "LLM Requests Hanging test alert", Outage: "Outage Alert Exception test alert",
	"db_exceptions": "DB Exception test alert", "daily_reports": "Daily Reports test alert",
}

// Test sends an alert at once, to every address there is, and says whether it
// was taken.
func (a *Alerts) Test(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if len(a.o.ByKind) == 0 {
		return a.send(ctx, message{kind: "budget_alerts", level: "Low", text: "This is a test slack alert message", at: a.o.now(), count: 1})
	}
	for _, kind := range slices.Sorted(maps.Keys(a.o.ByKind)) {
		if a.o.Types != nil && !slices.Contains(a.o.Types, kind) {
			continue
		}
		text := testTexts[kind]
		if text == "" {
			text = "Budget Alert test alert"
		}
		if err := a.send(ctx, message{kind: kind, level: "Low", text: text, at: a.o.now(), count: 1}); err != nil {
			return err
		}
	}
	return nil
}

// flush sends what waits. An address that asks for quiet is given it; one that
// cannot be reached loses the alerts, counted, and is told of only once.
func (a *Alerts) flush(ctx context.Context, last bool) {
	if !last && a.o.now().Before(a.paused) {
		return
	}
	list := a.take(last)
	lost := 0
	var why error
	for i, m := range list {
		err := a.send(ctx, m)
		var busy *busyError
		switch {
		case errors.As(err, &busy) && !last:
			a.paused = a.o.now().Add(busy.after)
			a.putBack(list[i:])
			list = nil
		case err != nil:
			lost++
			why = err
		}
		if list == nil {
			break
		}
	}
	if lost > 0 {
		a.dropped.Add(int64(lost))
		a.o.Log.Warn("alerts were not delivered: "+a.o.Secrets.Text(why.Error(), a.secrets()...), "count", lost)
		if a.o.Failed != nil {
			a.o.Failed(lost)
		}
	}
}

// take removes the next alerts from the queue.
func (a *Alerts) take(all bool) []message {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.waiting)
	if !all {
		n = min(n, perFlush)
	}
	list := a.waiting[:n:n]
	a.queue(slices.Clone(a.waiting[n:]))
	return list
}

func (a *Alerts) putBack(list []message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list = append(slices.Clone(list), a.waiting...)
	if n := len(list) - capacity; n > 0 {
		a.dropped.Add(int64(n))
		list = list[:capacity]
	}
	a.queue(list)
}

// queue replaces what waits. The caller holds the lock.
func (a *Alerts) queue(list []message) {
	a.waiting = list
	clear(a.index)
	for i := range list {
		a.index[list[i].kind+"\x00"+list[i].text] = i
	}
}

// busyError is an address that asks for quiet.
type busyError struct{ after time.Duration }

func (e *busyError) Error() string { return "the address of alerts asks to wait " + e.after.String() }

// secrets are those of the alerts alone.
func (a *Alerts) secrets() []redact.Secret {
	list := []redact.Secret{a.o.URL}
	for _, urls := range a.o.ByKind {
		list = append(list, urls...)
	}
	return list
}

// text frames an alert as LiteLLM does.
func (a *Alerts) text(m message) string {
	text := fmt.Sprintf("Alert type: `%s`\nLevel: `%s`\nTimestamp: `%s`\n\nMessage: %s%s", m.kind, m.level, m.at.Format("15:04:05"), m.text, m.extra)
	if a.o.ProxyURL != "" {
		text += "\n\nProxy URL: `" + a.o.ProxyURL + "`"
	}
	if m.count > 1 {
		text = fmt.Sprintf("[Num Alerts: %d]\n\n%s", m.count, text)
	}
	return text
}

// send posts an alert to its addresses.
func (a *Alerts) send(ctx context.Context, m message) error {
	text := a.text(m)
	if a.o.Console {
		a.o.Log.Warn("alert: " + text)
	}
	urls := a.o.ByKind[m.kind]
	if len(urls) == 0 {
		urls = []redact.Secret{a.o.URL}
	}
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return err
	}
	for _, url := range urls {
		if err := a.post(ctx, url, body); err != nil {
			return err
		}
	}
	return nil
}

func (a *Alerts) post(ctx context.Context, url redact.Secret, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url.Reveal(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the address of alerts cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("send the alert: %s", redact.Text(err.Error(), url))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode == http.StatusTooManyRequests {
		after := 30 * time.Second
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n >= 0 {
			after = min(time.Duration(n)*time.Second, maxPause)
		}
		return &busyError{after}
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the address of alerts answered %s", resp.Status)
	}
	return nil
}
