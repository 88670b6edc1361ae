package bench

import (
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Schema names the shape of the JSON report.
const Schema = "llmgw.bench/1"

// Report is the outcome of one run. All times are microseconds.
type Report struct {
	Schema   string        `json:"schema"`
	Meta     Meta          `json:"meta"`
	Plan     PlanSummary   `json:"plan"`
	Targets  []TargetInfo  `json:"targets"`
	Results  []ResultBlock `json:"results"`
	RPS      float64       `json:"rps"`
	Goodput  float64       `json:"goodput"`
	Achieved *float64      `json:"achieved,omitempty"`

	// Sent counts every request, those of preflight, warm-up and drain included;
	// it is what the target's own counter must show.
	Sent       uint64 `json:"sent"`
	Unfinished uint64 `json:"unfinished"`
	Unsent     uint64 `json:"unsent"`    // due in the window and never sent
	Abandoned  uint64 `json:"abandoned"` // left on purpose, warm-up included

	Timeline  []Second   `json:"timeline"`
	Resources *Resources `json:"resources,omitempty"`
	Generator OwnCost    `json:"generator"`
	SLO       []Verdict  `json:"slo,omitempty"`
	Validity  Validity   `json:"validity"`
	Gate      Gate       `json:"gate"`
	Aborted   bool       `json:"aborted"`

	metrics *Metrics
}

// Meta says where and how the run was made.
type Meta struct {
	Version    string            `json:"version"`
	Start      time.Time         `json:"start"`
	Host       string            `json:"host"`
	OS         string            `json:"os"`
	Arch       string            `json:"arch"`
	Go         string            `json:"go"`
	GOMAXPROCS int               `json:"gomaxprocs"`
	OpenFiles  uint64            `json:"open_files,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// PlanSummary is what was sent, as far as two runs must agree on it to be
// compared.
type PlanSummary struct {
	Loop           string            `json:"loop"` // closed or open
	Concurrency    int               `json:"concurrency,omitempty"`
	Rate           float64           `json:"rate,omitempty"`
	Ramp           string            `json:"ramp,omitempty"`
	Arrival        string            `json:"arrival,omitempty"`
	MaxInflight    int               `json:"max_inflight,omitempty"`
	Think          string            `json:"think,omitempty"`
	Duration       string            `json:"duration,omitempty"`
	Requests       uint64            `json:"requests,omitempty"`
	Warmup         string            `json:"warmup"`
	RequestTimeout string            `json:"request_timeout"`
	Scenarios      []ScenarioSummary `json:"scenarios"`
	Model          string            `json:"model"`
	Seed           uint64            `json:"seed"`
	KeepAlive      bool              `json:"keep_alive"`
}

// ScenarioSummary is one scenario of the plan.
type ScenarioSummary struct {
	Name      string  `json:"name"`
	Weight    float64 `json:"weight"`
	BodyBytes int     `json:"body_bytes"` // of the first body
	Bodies    int     `json:"bodies"`
}

// TargetInfo is the target and what it said of itself.
type TargetInfo struct {
	URL string `json:"url"`
	// Echo reports that a mock stands behind the target, so that lost, repeated
	// and mixed-up events can be counted.
	Echo bool `json:"echo"`
}

// ResultBlock is the result of one scenario.
type ResultBlock struct {
	Scenario  string              `json:"scenario"`
	Requests  uint64              `json:"requests"` // measured
	Completed uint64              `json:"completed"`
	Errors    map[string]uint64   `json:"errors"`
	Examples  map[string][]string `json:"examples,omitempty"`
	RPS       float64             `json:"rps"`
	Goodput   float64             `json:"goodput"`
	Streams   uint64              `json:"streams"`
	Events    uint64              `json:"events"`
	Content   uint64              `json:"content_events"`
	Stalls    uint64              `json:"stalls"`
	Lost      uint64              `json:"lost_events"`
	Repeated  uint64              `json:"repeated_events"`
	Crossed   uint64              `json:"crossed"`
	Bytes     ByteCount           `json:"bytes"`
	Tokens    TokenCount          `json:"tokens"`
	Latency   *Quantiles          `json:"latency"` // from the intended start
	Service   *Quantiles          `json:"service"` // from the actual start
	Dispatch  *Quantiles          `json:"dispatch_delay,omitempty"`
	TTFB      *Quantiles          `json:"ttfb,omitempty"`
	TTFT      *Quantiles          `json:"ttft,omitempty"`
	ITL       *Quantiles          `json:"itl,omitempty"`
	TPOT      *Quantiles          `json:"tpot,omitempty"`
}

// ByteCount are bytes of bodies received and of requests sent.
type ByteCount struct {
	In  int64 `json:"in"`
	Out int64 `json:"out"`
}

// TokenCount says who counted: the server, the client (content events), or both.
type TokenCount struct {
	Prompt     uint64 `json:"prompt"`
	Completion uint64 `json:"completion"`
	Source     string `json:"source"`
}

// Quantiles summarise a histogram; HDR is the histogram itself, V2 compressed,
// so that runs can be merged again.
type Quantiles struct {
	Count int64   `json:"count"`
	Min   int64   `json:"min"`
	Mean  float64 `json:"mean"`
	Stdev float64 `json:"stdev"`
	P50   int64   `json:"p50"`
	P75   int64   `json:"p75"`
	P90   int64   `json:"p90"`
	P95   int64   `json:"p95"`
	P99   int64   `json:"p99"`
	P999  int64   `json:"p999"`
	P9999 int64   `json:"p9999"`
	Max   int64   `json:"max"`
	HDR   string  `json:"hdr"`
}

// Resources are what the target's processes used in the window.
type Resources struct {
	PIDs          []int   `json:"pids"`
	CPUSeconds    float64 `json:"cpu_seconds"`
	CPUPerRequest float64 `json:"cpu_us_per_request"`
	CPUPerEvent   float64 `json:"cpu_us_per_event,omitempty"`
	RSSBegin      int64   `json:"rss_begin"`
	RSSEnd        int64   `json:"rss_end"`
	RSSMax        int64   `json:"rss_max"`
	RSSPeak       int64   `json:"rss_peak"` // high-water mark of the processes' lives
	FDs           int     `json:"fds"`
	Threads       int     `json:"threads"`
}

// OwnCost is what the generator itself used.
type OwnCost struct {
	CPUShare float64 `json:"cpu_share"` // of its GOMAXPROCS
	GCShare  float64 `json:"gc_share"`
}

// Validity says whether the numbers mean anything.
type Validity struct {
	OK       bool     `json:"ok"`
	Reasons  []string `json:"reasons,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Gate is the verdict that decides the exit code.
type Gate struct {
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // slo, regression or invalid
}

// Version is set by the command that embeds the package.
var Version = "dev"

func (r *Report) total() *Metrics {
	if r.metrics == nil {
		r.metrics = &Metrics{}
	}
	return r.metrics
}

func quantiles(h *hist) *Quantiles {
	if h.count() == 0 {
		return nil
	}
	v := h.h.ValueAtPercentiles([]float64{50, 75, 90, 95, 99, 99.9, 99.99})
	q := &Quantiles{
		Count: h.h.TotalCount(), Min: h.h.Min(), Max: h.h.Max(), Mean: round(h.h.Mean()), Stdev: round(h.h.StdDev()),
		P50: v[50], P75: v[75], P90: v[90], P95: v[95], P99: v[99], P999: v[99.9], P9999: v[99.99],
	}
	if b, err := h.h.Encode(hdr.V2CompressedEncodingCookieBase); err == nil {
		if _, err := base64.StdEncoding.DecodeString(string(b)); err != nil {
			b = []byte(base64.StdEncoding.EncodeToString(b))
		}
		q.HDR = string(b)
	}
	return q
}

func round(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return math.Round(v*1000) / 1000
}

// report turns the finished run into its report.
func (w *watcher) report(pre preflight, aborted bool) *Report {
	r, p := w.r, w.r.plan
	by, examples := r.merged()
	var total Metrics
	for i := range by {
		total.merge(&by[i])
	}
	host, _ := os.Hostname()
	rep := &Report{
		Schema: Schema,
		Meta: Meta{
			Version: Version, Start: r.base.UTC().Truncate(time.Millisecond), Host: host, OS: runtime.GOOS, Arch: runtime.GOARCH,
			Go: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0), OpenFiles: openFiles(), Labels: p.Labels,
		},
		Plan:    r.summary(pre.Model),
		Targets: []TargetInfo{{URL: p.Target.String(), Echo: pre.Echo}},
		Sent:    r.sent.Load(), Unfinished: r.unfinish.Load(), Unsent: r.unsent.Load(), Abandoned: r.abandoned.Load(),
		Timeline: append([]Second{}, w.seconds...), Aborted: aborted, metrics: &total,
		Generator: OwnCost{CPUShare: round(w.ownEnd.shareSince(w.ownBegin)), GCShare: round(w.ownEnd.gcShareSince(w.ownBegin))},
	}
	seconds := w.measured.Seconds()
	rate := func(n uint64) float64 {
		if seconds <= 0 {
			return 0
		}
		return round(float64(n) / seconds)
	}
	rep.RPS, rep.Goodput = rate(total.InWindow), rate(total.Good)
	if p.Open() {
		due := total.Completed + total.ErrorCount() + r.unfinish.Load() + r.unsent.Load()
		achieved := round(share(total.InWindow, due))
		rep.Achieved = &achieved
	}
	for i := range by {
		m := &by[i]
		b := ResultBlock{
			Scenario: p.Scenarios[i].Scenario.String(), Requests: m.Completed + m.ErrorCount(), Completed: m.Completed,
			Errors: kinds(m), RPS: rate(m.InWindow), Goodput: rate(m.Good), Streams: m.Streams, Events: m.Events,
			Content: m.Content, Stalls: m.Stalls, Lost: m.Lost, Repeated: m.Repeated, Crossed: m.Crossed,
			Bytes:   ByteCount{m.BytesIn, m.BytesOut},
			Tokens:  TokenCount{m.Prompt, m.Tokens, tokenSource(m)},
			Latency: quantiles(&m.scheduled), Service: quantiles(&m.service), TTFB: quantiles(&m.firstByte),
			ITL: quantiles(&m.gap), TPOT: quantiles(&m.perToken),
		}
		if p.Open() {
			b.Dispatch = quantiles(&m.dispatch)
		}
		if p.Scenarios[i].Scenario == ChatStream {
			b.TTFT = quantiles(&m.firstToken)
		}
		if i == 0 && len(examples) > 0 {
			b.Examples = map[string][]string{}
			for k, list := range examples {
				b.Examples[k.String()] = list
			}
		}
		rep.Results = append(rep.Results, b)
	}
	w.resources(rep, &total)
	w.validate(rep, &total)
	for _, t := range p.SLO {
		rep.SLO = append(rep.SLO, t.judge(rep))
	}
	rep.Decide()
	return rep
}

// Decide sets the gate from validity and SLO; an invalid measurement outranks
// a missed SLO, because its numbers mean nothing.
func (r *Report) Decide() {
	r.Gate = Gate{OK: true}
	if slices.ContainsFunc(r.SLO, func(v Verdict) bool { return !v.OK }) {
		r.Gate = Gate{Reason: "slo"}
	}
	if !r.Validity.OK {
		r.Gate = Gate{Reason: "invalid"}
	}
}

func tokenSource(m *Metrics) string {
	switch m.Reported {
	case 0:
		return "client"
	case m.Completed:
		return "server"
	}
	return "mixed"
}

func (r *run) summary(model string) PlanSummary {
	p := r.plan
	s := PlanSummary{
		Loop: "closed", Warmup: p.Warmup.String(), RequestTimeout: p.RequestTimeout.String(), Requests: p.Requests,
		Model: model, Seed: p.Seed, KeepAlive: !p.NoKeepAlive,
	}
	if p.Duration > 0 {
		s.Duration = p.Duration.String()
	}
	if p.Open() {
		s.Loop, s.Rate, s.MaxInflight, s.Arrival = "open", p.Rate, p.MaxInflight, p.Arrival.String()
		if p.Ramp != nil {
			s.Ramp = fmt.Sprintf("%g:%g:%v:%d", p.Ramp.From, p.Ramp.To, p.Ramp.Over, p.Ramp.Steps)
			s.Arrival = "constant"
		}
	} else {
		s.Concurrency = p.Concurrency
		if p.Think[1] > 0 {
			s.Think = fmt.Sprintf("%v..%v", p.Think[0], p.Think[1])
		}
	}
	for i, sc := range p.Scenarios {
		one := ScenarioSummary{Name: sc.Scenario.String(), Weight: sc.Weight, Bodies: len(r.requests[i])}
		if one.Bodies > 0 {
			one.BodyBytes = len(r.requests[i][0].body)
		}
		s.Scenarios = append(s.Scenarios, one)
	}
	return s
}

func (w *watcher) resources(rep *Report, total *Metrics) {
	if len(w.samplers) == 0 {
		return
	}
	res := &Resources{
		PIDs: w.r.plan.PIDs, CPUSeconds: w.end.since(w.begin).Seconds(), RSSBegin: w.begin.rss, RSSEnd: w.end.rss,
		RSSPeak: w.end.peak, FDs: w.end.fds, Threads: w.end.threads, RSSMax: max(w.begin.rss, w.end.rss),
	}
	for _, s := range w.seconds {
		res.RSSMax = max(res.RSSMax, s.RSS)
	}
	// Requests that ended in the window, however they ended: an error costs CPU too.
	if n := total.InWindow + total.ErrorCount(); n > 0 {
		res.CPUPerRequest = round(res.CPUSeconds * 1e6 / float64(n))
	}
	if total.Events > 0 {
		res.CPUPerEvent = round(res.CPUSeconds * 1e6 / float64(total.Events))
	}
	rep.Resources = res
}
