package bench

import (
	"fmt"
	"time"
)

// validate refuses numbers that this machine, not the target, has made.
func (w *watcher) validate(rep *Report, m *Metrics) {
	v := &rep.Validity
	refuse := func(format string, args ...any) { v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...)) }
	warn := func(format string, args ...any) { v.Warnings = append(v.Warnings, fmt.Sprintf(format, args...)) }
	p := w.r.plan

	if m.Completed == 0 && w.r.abandoned.Load() == 0 {
		if n := m.ErrorCount(); n > 0 {
			refuse("no request succeeded, %d failed", n)
		} else {
			refuse("no request ended within the window; measure for longer")
		}
	}
	if n := m.Errors[Generator]; n > 0 {
		refuse("%d requests failed for want of ports or open files on this machine", n)
	}
	if p.Open() && m.dispatch.count() > 0 {
		limit := max(time.Millisecond, m.scheduled.quantile(50)/20)
		// Waiting for a free slot is the target's doing, not ours.
		if d := m.dispatch.quantile(99); d > limit && w.peakInflight() < int64(p.MaxInflight) {
			refuse("the generator sent late: dispatch delay p99 is %sms, above %sms", ms(d), ms(limit))
		}
	}
	// Over less than a second these shares are those of starting up, and on a
	// test's clock they mean nothing.
	long := w.measured >= time.Second && p.Dial == nil
	if s := rep.Generator.CPUShare; long && s > 0.85 {
		refuse("the generator used %.0f%% of its CPUs; give it more, or less to do", s*100)
	}
	if s := rep.Generator.GCShare; long && s > 0.01 {
		refuse("the generator's garbage collector stopped it for %.1f%% of the window", s*100)
	}
	if n := m.Errors[Validation]; n > 0 && share(n, m.Completed+m.ErrorCount()) > 0.01 {
		refuse("%d answers failed validation", n)
	}
	if w.r.backwards.Load() {
		refuse("the clock went backwards")
	}
	if w.restarted {
		refuse("the target's process ended or was restarted during the run")
	}
	if m.Crossed > 0 {
		refuse("%d answers belong to other requests", m.Crossed)
	}
	if w.r.unfinish.Load() > 0 {
		warn("%d requests were still running when the drain ended; their latency is not in the statistics", w.r.unfinish.Load())
	}
	if w.r.unsent.Load() > 0 {
		warn("%d requests were due and could not be sent: %d were in flight already", w.r.unsent.Load(), p.MaxInflight)
	}
	if m.Lost+m.Repeated > 0 {
		warn("%d events were lost and %d repeated", m.Lost, m.Repeated)
	}
	v.OK = len(v.Reasons) == 0
}

func (w *watcher) peakInflight() int64 {
	var n int64
	for _, s := range w.seconds {
		n = max(n, s.InFlight)
	}
	return n
}
