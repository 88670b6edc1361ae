package alert

import (
	"net/http"
	"strconv"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// outage counts the errors of one deployment, or of all deployments of a region,
// within a window.
type outage struct {
	from             time.Time
	timeouts, errors int
	told             string
	// members are the deployments of a region that have failed.
	members map[string]bool
}

// maxOutages bounds what is counted at one time.
const maxOutages = 10_000

// count looks for outages: many errors of a server in a short time.
func (a *Alerts) count(f *call.FailedAttempt) {
	status := f.Err.StatusCode()
	if f.Err.Class == call.ClassClientGone || status != http.StatusRequestTimeout && status < 500 {
		return
	}
	d := f.Deployment
	if a.wants(Outage) {
		a.fails(Outage, d.ID, d.ID, a.o.OutageWindow, status, func() string {
			text := field("Model Name", d.Model) + field("Provider", d.Provider)
			if b := base(d); b != "" {
				text += field("API Base", b)
			}
			return text
		})
	}
	if region := d.Region; region != "" && a.wants(Region) {
		a.fails(Region, "\x00"+d.Provider+"\x00"+region, d.ID, a.o.RegionWindow, status, func() string {
			return field("Region Name", region) + field("Provider", d.Provider)
		})
	}
}

func field(name, value string) string { return "*" + name + ":* `" + value + "`\n" }

// fails counts a failure and tells when there are many. Those of a region count
// once two of its deployments have failed.
func (a *Alerts) fails(kind, key, id string, window time.Duration, status int, what func() string) {
	now := a.o.now()
	a.mu.Lock()
	o := a.outages[key]
	if o == nil || now.Sub(o.from) > window {
		if len(a.outages) >= maxOutages {
			clear(a.outages)
		}
		o = &outage{from: now}
		if kind == Region {
			o.members = map[string]bool{}
		}
		a.outages[key] = o
	}
	if o.members != nil && len(o.members) < maxOutages {
		o.members[id] = true
	}
	if status == http.StatusRequestTimeout {
		o.timeouts++
	} else {
		o.errors++
	}
	size, level := "", "Medium"
	switch n := o.timeouts + o.errors; {
	case o.members != nil && len(o.members) < 2:
	case n >= a.o.Minor && o.told == "":
		size = "Minor"
	case n >= a.o.Major && o.told == "Minor":
		size, level = "Major", "High"
	}
	if size != "" {
		o.told = size
	}
	seen := *o
	a.mu.Unlock()
	if size == "" {
		return
	}
	errors := ""
	if seen.timeouts > 0 {
		errors += "\nTimeout Errors: " + strconv.Itoa(seen.timeouts) + "\n"
	}
	if seen.errors > 0 {
		errors += "\nAPI Errors: " + strconv.Itoa(seen.errors) + "\n"
	}
	a.raise(kind, level, "\n\n\n*⚠️ "+size+" Service Outage*\n\n\n"+what()+"\n\n*Errors:*\n"+errors+"\n\n*Last Check:* `0.0s ago`\n\n\n", "")
}
