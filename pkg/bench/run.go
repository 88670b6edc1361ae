package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
)

// Snapshot is the state of a run, for progress displays.
type Snapshot struct {
	Elapsed, Total time.Duration // Total is 0 when a number of requests ends the run
	Warming        bool
	Draining       bool
	Done, Want     uint64 // measured requests; Want is 0 when time ends the run
	InFlight       int64
	RPS            float64 // over the last second
	Errors         uint64
	ErrorKinds     map[string]uint64
	P50, P90, P99  time.Duration // scheduled latency, whole window
	P999, Max      time.Duration
	TTFT50, TTFT99 time.Duration
	ITL50, ITL99   time.Duration
	Dispatch99     time.Duration
	Goodput        float64 // share of completed requests; -1 without terms
	TokensPerSec   float64
	History        []Second
	CPUPerRequest  float64 // microseconds, with PIDs
	RSS            int64
	Verdicts       []Verdict
}

// Second is one second of the run.
type Second struct {
	T        float64 `json:"t"` // seconds since the start, warm-up included
	RPS      float64 `json:"rps"`
	InFlight int64   `json:"inflight"`
	P50      int64   `json:"p50"` // microseconds
	P99      int64   `json:"p99"`
	Errors   uint64  `json:"errors"`
	CPU      float64 `json:"cpu,omitempty"` // of the target, in CPUs
	RSS      int64   `json:"rss,omitempty"`
}

// Run checks the target, sends the plan's requests and reports. It returns an
// *UnreachableError when the target does not pass the preflight, and the report
// of what there is when ctx ends early.
func Run(ctx context.Context, p Plan) (*Report, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	r, err := newRun(&p)
	if err != nil {
		return nil, err
	}
	pre, err := r.preflight(ctx)
	if err != nil {
		return nil, err
	}
	var samplers []*sampler
	for _, pid := range p.PIDs {
		s, err := newSampler(pid)
		if err != nil {
			return nil, err
		}
		samplers = append(samplers, s)
	}
	// Requests outlive the caller's context by the drain.
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	r.from = p.Warmup
	r.to.Store(-1)
	if p.Duration > 0 {
		r.to.Store(int64(p.Warmup + p.Duration))
	}
	r.base = time.Now()
	var users sync.WaitGroup
	if p.Open() {
		users.Go(func() { r.open(newPacer(&p)) })
	} else {
		for u := range p.Concurrency {
			users.Go(func() { r.closed(u) })
		}
	}
	finished := make(chan struct{})
	go func() { users.Wait(); close(finished) }()

	w := &watcher{r: r, samplers: samplers, own: ownUsage{}}
	aborted := w.watch(ctx, finished)
	r.cutAll()
	<-finished
	return w.report(pre, aborted), nil
}

func newRun(p *Plan) (*run, error) {
	r := &run{plan: p, stopped: make(chan struct{}), conns: map[net.Conn]struct{}{}, slack: 100 * time.Microsecond, keep: keepBody}
	r.stallGap.Store(int64(200 * time.Millisecond / time.Microsecond))
	for _, k := range p.Keys {
		r.keys = append(r.keys, k.Reveal())
	}
	r.dialer = p.Dial
	if r.dialer == nil {
		d := &net.Dialer{KeepAlive: 30 * time.Second}
		r.dialer = func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", p.Target.addr) }
	} else {
		r.slack = 0 // a test's clock does not advance while we spin
	}
	if p.Target.URL.Scheme == "https" {
		r.tls = &tls.Config{
			ServerName: p.Target.URL.Hostname(), InsecureSkipVerify: p.Insecure, //nolint:gosec // asked for
			NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(0),
		}
		if p.CAFile != "" {
			pem, err := os.ReadFile(p.CAFile)
			if err != nil {
				return nil, fmt.Errorf("read the CA file: %w", err)
			}
			r.tls.RootCAs = x509.NewCertPool()
			if !r.tls.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("%s: no certificate in it", p.CAFile)
			}
		}
	}
	for range max(1, runtime.GOMAXPROCS(0)) {
		r.shards = append(r.shards, &shard{metrics: make([]Metrics, len(p.Scenarios))})
	}
	total := 0.0
	for _, s := range p.Scenarios {
		total += s.Weight
	}
	sum := 0.0
	for _, s := range p.Scenarios {
		sum += s.Weight
		r.weights = append(r.weights, sum/total)
	}
	return r, nil
}

func (r *run) prepareAll(model string) error {
	r.requests = nil
	for i, s := range r.plan.Scenarios {
		list, err := prepare(r.plan, i, s.Scenario, model)
		if err != nil {
			return err
		}
		r.requests = append(r.requests, list)
	}
	return nil
}

// watcher follows a run: it publishes snapshots, keeps the timeline and ends
// the window.
type watcher struct {
	r        *run
	samplers []*sampler
	own      ownUsage

	seconds   []Second
	lastTick  time.Duration
	rps       float64
	tokRate   float64
	lastTok   uint64
	begin     usage // the target's at the start of the window
	end       usage
	ownBegin  ownReading
	ownEnd    ownReading
	measured  time.Duration // length of the window as it was
	drained   time.Duration
	restarted bool
}

// watch returns whether the run was aborted. It ends when all requests ended or
// the drain is over.
func (w *watcher) watch(ctx context.Context, finished <-chan struct{}) (aborted bool) {
	r, p := w.r, w.r.plan
	tick := time.NewTicker(p.Refresh)
	defer tick.Stop()
	begun := p.Warmup == 0
	if begun {
		w.beginWindow()
	}
	warm := newTimer(p.Warmup, !begun)
	defer warm.Stop()
	over := newTimer(p.Warmup+p.Duration, p.Duration > 0)
	defer over.Stop()
	halted := r.stopped
	var drain <-chan time.Time
	interrupted := ctx.Done()
	endWindow := func() {
		if !begun {
			begun = true
			w.beginWindow()
		}
		w.endWindow()
		drain = time.After(min(p.Drain, p.RequestTimeout+time.Second))
		halted = nil
	}
	for {
		select {
		case <-warm.C:
			begun = true
			w.beginWindow()
		case <-over.C:
			r.halt()
		case <-halted:
			endWindow()
		case <-interrupted:
			aborted, interrupted = true, nil
			r.to.Store(int64(time.Since(r.base)))
			r.halt()
			if drain != nil {
				drain = time.After(0) // waiting already: do not wait longer
			}
		case <-finished:
			if halted != nil {
				endWindow()
			}
			w.drained = time.Since(r.base) - r.from - w.measured
			return aborted
		case <-drain:
			w.drained = time.Since(r.base) - r.from - w.measured
			return aborted
		case <-tick.C:
			w.tick(begun, halted == nil)
		}
	}
}

func newTimer(d time.Duration, on bool) *time.Timer {
	t := time.NewTimer(d)
	if !on {
		t.Stop()
	}
	return t
}

func (w *watcher) beginWindow() {
	w.begin = w.sample()
	w.ownBegin = w.own.read()
}

func (w *watcher) endWindow() {
	w.end = w.sample()
	w.ownEnd = w.own.read()
	to := time.Since(w.r.base)
	if w.r.to.Load() < 0 || w.r.plan.Requests > 0 {
		w.r.to.Store(int64(to))
	}
	w.measured = max(min(to, time.Duration(w.r.to.Load()))-w.r.from, 0)
	w.second(to)
}

func (w *watcher) sample() usage {
	var u usage
	for _, s := range w.samplers {
		one, err := s.read()
		if err != nil {
			w.restarted = true
			continue
		}
		u.add(one)
	}
	return u
}

// tick publishes a snapshot and, once a second, a point of the timeline.
func (w *watcher) tick(begun, draining bool) {
	now := time.Since(w.r.base)
	if now-w.lastTick >= time.Second && !draining {
		w.second(now)
	}
	if w.r.plan.Observe != nil {
		w.r.plan.Observe(w.snapshot(now, !begun, draining))
	}
}

// second closes one point of the timeline.
func (w *watcher) second(now time.Duration) {
	r := w.r
	width := (now - w.lastTick).Seconds()
	if width < 0.05 {
		return
	}
	var recent hist
	var ok, bad, tokens uint64
	var gaps hist
	for _, s := range r.shards {
		s.mu.Lock()
		part := s.recent
		s.recent = hist{}
		ok += s.recentOK
		bad += s.recentErr
		s.recentOK, s.recentErr = 0, 0
		var open []hist
		for i := range s.metrics {
			open = append(open, s.metrics[i].gap.clone())
			tokens += s.metrics[i].Tokens
		}
		s.mu.Unlock()
		recent.merge(&part)
		for i := range open {
			gaps.merge(&open[i])
		}
	}
	w.rps = float64(ok) / width
	w.tokRate = float64(tokens-w.lastTok) / width
	w.lastTick, w.lastTok = now, tokens
	if gaps.count() > 0 {
		median := gaps.quantile(50).Microseconds()
		r.median.Store(median)
		r.stallGap.Store(max(10*median, 200_000))
	}
	point := Second{
		T: now.Seconds(), RPS: w.rps, InFlight: r.inflight.Load(),
		P50: recent.quantile(50).Microseconds(), P99: recent.quantile(99).Microseconds(), Errors: bad,
	}
	for _, s := range w.samplers {
		if u, err := s.read(); err == nil {
			point.CPU += s.rate(u, now)
			point.RSS += u.rss
		}
	}
	w.seconds = append(w.seconds, point)
}

// merged adds up all shards. Workers wait only while a shard is copied.
func (r *run) merged() (byScenario []Metrics, examples map[ErrorKind][]string) {
	byScenario = make([]Metrics, len(r.plan.Scenarios))
	var all shard
	for _, s := range r.shards {
		s.mu.Lock()
		copies := make([]Metrics, len(s.metrics))
		for i := range s.metrics {
			copies[i] = s.metrics[i].clone()
		}
		for k, list := range s.examples {
			for _, e := range list {
				all.example(k, 0, redact.Text(e, r.plan.Keys...))
			}
		}
		s.mu.Unlock()
		for i := range copies {
			byScenario[i].merge(&copies[i])
		}
	}
	return byScenario, all.examples
}

func (w *watcher) snapshot(now time.Duration, warming, draining bool) Snapshot {
	r := w.r
	by, _ := r.merged()
	var m Metrics
	for i := range by {
		m.merge(&by[i])
	}
	s := Snapshot{
		Elapsed: now, Warming: warming, Draining: draining,
		Done: m.Completed + m.ErrorCount(), Want: r.plan.Requests, InFlight: r.inflight.Load(), RPS: w.rps,
		Errors: m.ErrorCount(), ErrorKinds: kinds(&m),
		P50: m.scheduled.quantile(50), P90: m.scheduled.quantile(90), P99: m.scheduled.quantile(99),
		P999: m.scheduled.quantile(99.9), Max: m.scheduled.quantile(100),
		TTFT50: m.firstToken.quantile(50), TTFT99: m.firstToken.quantile(99),
		ITL50: m.gap.quantile(50), ITL99: m.gap.quantile(99), Dispatch99: m.dispatch.quantile(99),
		Goodput: -1, TokensPerSec: w.tokRate, History: w.seconds,
	}
	if r.plan.Duration > 0 {
		s.Total = r.plan.Warmup + r.plan.Duration
	}
	if len(r.plan.SLO) > 0 {
		s.Goodput = share(m.Good, m.InWindow+m.ErrorCount())
		rep := &Report{metrics: &m}
		if elapsed := (now - r.from).Seconds(); elapsed > 0 {
			rep.RPS = float64(m.InWindow) / elapsed
			rep.Goodput = float64(m.Good) / elapsed
		}
		for _, t := range r.plan.SLO {
			if t.Metric == "achieved" || t.Metric == "cpu" {
				continue // known at the end
			}
			s.Verdicts = append(s.Verdicts, t.judge(rep))
		}
	}
	if len(w.samplers) > 0 && m.Completed > 0 && !draining {
		u := w.sample()
		s.CPUPerRequest = float64(u.since(w.begin).Microseconds()) / float64(m.Completed+m.ErrorCount())
		s.RSS = u.rss
	}
	return s
}

func kinds(m *Metrics) map[string]uint64 {
	out := map[string]uint64{}
	for k, n := range m.Errors {
		if n > 0 {
			out[ErrorKind(k).String()] = n
		}
	}
	return out
}
