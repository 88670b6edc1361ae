package alert

import (
	"fmt"
	"time"
)

// digest gathers the alerts of one kind about one model and address.
type digest struct {
	kind, level, first string
	count              int
	from, to           time.Time
}

// gather keeps an alert for a digest, if its kind has one; it reports whether it
// did. The caller holds the lock.
func (a *Alerts) gather(kind, level, text, group string) bool {
	if kind = sentAs(kind); a.o.Digest[kind] <= 0 || !a.slack() {
		return false
	}
	now := a.o.now()
	key := kind + "\x00" + group
	d := a.digests[key]
	if d == nil {
		if len(a.digests) >= capacity {
			a.dropped.Add(1)
			return true
		}
		d = &digest{kind: kind, level: level, first: text, from: now}
		a.digests[key] = d
	}
	d.count++
	d.to = now
	return true
}

// digested puts digests whose time has come into the queue; at the end all of
// them.
func (a *Alerts) digested(all bool) {
	now := a.o.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, d := range a.digests {
		if !all && now.Sub(d.from) < a.o.Digest[d.kind] {
			continue
		}
		const stamp = "2006-01-02 15:04:05"
		a.put(d.kind, d.level, fmt.Sprintf("Alert type: `%s` (Digest)\nLevel: `%s`\nStart: `%s`\nEnd: `%s`\nCount: `%d`\n\nMessage: %s",
			d.kind, d.level, d.from.Format(stamp), d.to.Format(stamp), d.count, d.first), digestForm)
		delete(a.digests, key)
	}
}
