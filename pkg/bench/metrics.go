package bench

import (
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Histograms hold microseconds from 1 to an hour with three significant digits.
const (
	histMin    = 1
	histMax    = int64(time.Hour / time.Microsecond)
	histDigits = 3
)

// hist is a histogram that takes its memory with its first value: most of a
// scenario's histograms stay empty.
type hist struct{ h *hdr.Histogram }

func (h *hist) record(us int64) {
	if h.h == nil {
		h.h = hdr.New(histMin, histMax, histDigits)
	}
	if us < 0 {
		us = 0
	}
	_ = h.h.RecordValue(min(us, histMax)) // in range by construction
}

func (h *hist) merge(from *hist) {
	if from.h == nil || from.h.TotalCount() == 0 {
		return
	}
	if h.h == nil {
		h.h = from.h.Clone()
		return
	}
	h.h.Merge(from.h)
}

func (h *hist) clone() hist {
	if h.h == nil || h.h.TotalCount() == 0 {
		return hist{}
	}
	return hist{h.h.Clone()}
}

func (h *hist) quantile(percent float64) time.Duration {
	if h.h == nil {
		return 0
	}
	return time.Duration(h.h.ValueAtPercentile(percent)) * time.Microsecond
}

func (h *hist) count() int64 {
	if h.h == nil {
		return 0
	}
	return h.h.TotalCount()
}

// Metrics are the counts and histograms of one scenario. They are kept in
// shards and merged; merging is exact.
type Metrics struct {
	Completed  uint64 // without error, latencies below
	InWindow   uint64 // of those, ended inside the window
	Good       uint64 // of those in the window, met every per-request SLO
	Errors     [kindCount]uint64
	Events     uint64
	Content    uint64
	BytesIn    int64
	BytesOut   int64
	Prompt     uint64
	Tokens     uint64
	Reported   uint64 // requests whose tokens the server counted
	Lost       uint64
	Repeated   uint64
	Crossed    uint64
	Stalls     uint64 // gaps far above the usual one
	StallsIn   uint64 // streams that had one
	Streams    uint64
	scheduled  hist
	service    hist
	dispatch   hist
	firstByte  hist
	firstToken hist
	gap        hist
	perToken   hist
}

// clone copies the histograms too.
func (m *Metrics) clone() Metrics {
	c := *m
	for _, h := range []*hist{&c.scheduled, &c.service, &c.dispatch, &c.firstByte, &c.firstToken, &c.gap, &c.perToken} {
		*h = h.clone()
	}
	return c
}

func (m *Metrics) merge(from *Metrics) {
	m.Completed += from.Completed
	m.InWindow += from.InWindow
	m.Good += from.Good
	for i := range m.Errors {
		m.Errors[i] += from.Errors[i]
	}
	m.Events += from.Events
	m.Content += from.Content
	m.BytesIn += from.BytesIn
	m.BytesOut += from.BytesOut
	m.Prompt += from.Prompt
	m.Tokens += from.Tokens
	m.Reported += from.Reported
	m.Lost += from.Lost
	m.Repeated += from.Repeated
	m.Crossed += from.Crossed
	m.Stalls += from.Stalls
	m.StallsIn += from.StallsIn
	m.Streams += from.Streams
	m.scheduled.merge(&from.scheduled)
	m.service.merge(&from.service)
	m.dispatch.merge(&from.dispatch)
	m.firstByte.merge(&from.firstByte)
	m.firstToken.merge(&from.firstToken)
	m.gap.merge(&from.gap)
	m.perToken.merge(&from.perToken)
}

// ErrorCount is the number of requests that ended in any error.
func (m *Metrics) ErrorCount() uint64 {
	var n uint64
	for _, e := range m.Errors {
		n += e
	}
	return n
}

// add counts one measured request. Errors stay out of every latency: a fast
// error must not make a gateway look fast.
func (m *Metrics) add(r *Result, gaps []int64, window window, stallGap int64, good bool) {
	m.BytesIn += r.BytesIn
	m.BytesOut += r.BytesOut
	m.Events += uint64(r.Events)
	m.Content += uint64(r.Content)
	m.Lost += uint64(r.Lost)
	m.Repeated += uint64(r.Repeated)
	m.Crossed += uint64(r.Crossed)
	if r.Stream {
		m.Streams++
	}
	if r.Err != OK {
		m.Errors[r.Err]++
		return
	}
	m.Completed++
	if window.holds(r.End) {
		m.InWindow++
		if good {
			m.Good++
		}
	}
	m.Prompt += uint64(r.Prompt)
	m.Tokens += uint64(r.Tokens)
	if r.Reported {
		m.Reported++
	}
	m.scheduled.record((r.End - r.Sched).Microseconds())
	m.service.record((r.End - r.Start).Microseconds())
	m.dispatch.record((r.Start - r.Sched).Microseconds())
	m.firstByte.record((r.FirstByte - r.Sched).Microseconds())
	if r.FirstToken >= 0 {
		m.firstToken.record((r.FirstToken - r.Sched).Microseconds())
	}
	if r.Stream && r.Tokens >= 2 && r.FirstToken >= 0 {
		m.perToken.record((r.End - r.FirstToken).Microseconds() / int64(r.Tokens-1))
	}
	stalls := uint64(0)
	for _, g := range gaps {
		m.gap.record(g)
		if g > stallGap {
			stalls++
		}
	}
	if stalls > 0 {
		m.Stalls += stalls
		m.StallsIn++
	}
}

// window is the measured time, as offsets from the start of the run. An open
// end means that a number of requests ends it.
type window struct{ from, to time.Duration }

func (w window) holds(t time.Duration) bool { return t >= w.from && (w.to < 0 || t <= w.to) }

// shard is the part of the metrics that one group of workers writes to.
type shard struct {
	mu        sync.Mutex
	metrics   []Metrics // by scenario
	recent    hist      // scheduled latency since the last tick
	recentOK  uint64
	recentErr uint64
	examples  map[ErrorKind][]string
	_         [64]byte // shards of different CPUs do not share a cache line
}

const maxExamples = 3

func (s *shard) example(k ErrorKind, status int, detail string) {
	if detail == "" || k == OK {
		return
	}
	if s.examples == nil {
		s.examples = map[ErrorKind][]string{}
	}
	if status > 0 && status != 200 {
		detail = itoa(status) + " " + detail
	}
	for _, e := range s.examples[k] {
		if e == detail {
			return
		}
	}
	if len(s.examples[k]) < maxExamples {
		s.examples[k] = append(s.examples[k], detail)
	}
}
