package alert

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// report gathers what the daily report tells of deployments.
type report struct {
	sent, looked time.Time
	of           map[string]*performance
}

type performance struct {
	name, base string
	failed     int
	// seconds were spent on so many calls, each divided by its tokens.
	seconds float64
	calls   int
}

// worst is how many deployments a report names in each list, maxReported how many
// are counted.
const (
	worst       = 5
	maxReported = 10_000
)

func newReport(now time.Time) report {
	return report{sent: now, looked: now, of: map[string]*performance{}}
}

// observe adds a finished call to the report.
func (a *Alerts) observe(c *call.Call) {
	if !a.wants(Daily) || !a.slack() && a.o.Teams.IsZero() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range c.FailedAttempts {
		if f := &c.FailedAttempts[i]; f.Err.Class != call.ClassClientGone {
			if p := a.report.at(f.Deployment); p != nil {
				p.failed++
			}
		}
	}
	if c.Err != nil || c.Cached || c.Deployment == nil {
		return
	}
	if p := a.report.at(c.Deployment); p != nil {
		p.calls++
		p.seconds += c.UpstreamTime.Seconds() / float64(max(c.Usage.CompletionTokens, 1))
	}
}

func (r *report) at(d *call.Deployment) *performance {
	p := r.of[d.ID]
	if p == nil && len(r.of) < maxReported {
		name := d.Configured
		if name == "" {
			name = d.Provider + "/" + d.Model
		}
		p = &performance{name: name, base: base(d)}
		r.of[d.ID] = p
	}
	return p
}

// reportDue tells of the worst deployments when it is time, and begins anew.
// Without a call there is nothing to tell.
func (a *Alerts) reportDue() {
	now := a.o.now()
	a.mu.Lock()
	r := &a.report
	if now.Sub(r.looked) < a.o.ReportCheck || now.Sub(r.sent) < a.o.Report {
		a.mu.Unlock()
		return
	}
	r.looked, r.sent = now, now
	of := r.of
	r.of = map[string]*performance{}
	a.mu.Unlock()
	if len(of) == 0 || !a.wants(Daily) {
		return
	}
	a.raise(Daily, "Low", reportText(of, now, a.o.Report), "")
}

// reportText is LiteLLM's.
func reportText(of map[string]*performance, now time.Time, every time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n\nTime: `%s`s\nHere are today's key metrics 📈: \n\n\n\n*❗️ Top Deployments with Most Failed Requests:*\n\n", unix(now))
	list := func(value func(*performance) float64, line func(i int, p *performance)) {
		all := slices.DeleteFunc(slices.Collect(maps.Values(of)), func(p *performance) bool { return value(p) <= 0 })
		slices.SortFunc(all, func(x, y *performance) int {
			return cmp.Or(cmp.Compare(value(y), value(x)), strings.Compare(x.name, y.name), strings.Compare(x.base, y.base))
		})
		if len(all) == 0 {
			b.WriteString("\tNone\n")
		}
		for i, p := range all[:min(worst, len(all))] {
			line(i+1, p)
		}
	}
	list(func(p *performance) float64 { return float64(p.failed) }, func(i int, p *performance) {
		fmt.Fprintf(&b, "\t%d. Deployment: `%s`, Failed Requests: `%d`,  API Base: `%s`\n", i, p.name, p.failed, p.base)
	})
	b.WriteString("\n\n*😅 Top Slowest Deployments:*\n\n")
	list((*performance).perToken, func(i int, p *performance) {
		rounded := strconv.FormatFloat(math.Round(p.perToken()*1000)/1000, 'f', -1, 64)
		if !strings.Contains(rounded, ".") {
			rounded += ".0"
		}
		fmt.Fprintf(&b, "\t%d. Deployment: `%s`, Latency per output token: `%ss/token`,  API Base: `%s`\n\n", i, p.name, rounded, p.base)
	})
	fmt.Fprintf(&b, "\n\nNext Run is at: `%s`s", unix(now.Add(every)))
	return b.String()
}

// perToken is the mean of what a call took for one token.
func (p *performance) perToken() float64 {
	if p.calls == 0 {
		return 0
	}
	return p.seconds / float64(p.calls)
}

func unix(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMicro())/1e6, 'f', -1, 64)
}
