package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/bench"
)

// Cell is what one proxy did in one scenario, round by round.
type Cell struct {
	Scenario string    `json:"scenario"`
	Proxy    string    `json:"proxy"`
	CPU      []float64 `json:"cpu_us_per_request"`
	PerEvent []float64 `json:"cpu_us_per_event,omitempty"`
	RPS      []float64 `json:"rps"`
	P50      []int64   `json:"p50_us"`
	P99      []int64   `json:"p99_us"`
	Failed   uint64    `json:"failed"`
	Wrong    uint64    `json:"wrong_events"` // lost, repeated or of another request
}

// Memory is what a proxy holds.
type Memory struct {
	Proxy   string `json:"proxy"`
	Idle    int64  `json:"idle_bytes"`
	Streams int64  `json:"streams_bytes,omitempty"`
	Done    uint64 `json:"streams_completed,omitempty"`
	Failed  uint64 `json:"failed"`
}

// Lost counts the streams that did not arrive whole.
type Lost struct {
	Proxy   string `json:"proxy"`
	Streams uint64 `json:"streams"`
	Lost    uint64 `json:"lost"`
	Why     string `json:"why,omitempty"`
}

type results struct {
	Schema  string   `json:"schema"`
	Start   string   `json:"start"`
	Machine string   `json:"machine"`
	Go      string   `json:"go"`
	Rounds  int      `json:"rounds"`
	Length  string   `json:"length"`
	Users   int      `json:"users"`
	Seed    uint64   `json:"seed"`
	ReadyMS float64  `json:"serve_ready_ms"`
	Cells   []*Cell  `json:"cells"`
	Memory  []Memory `json:"memory"`
	Lost    []Lost   `json:"lost"`
	Left    []Left   `json:"left"`
	Notes   []string `json:"notes,omitempty"`

	streams int
	proxies []string
}

func newResults(o options, l *lab) *results {
	r := &results{
		Schema: "llmgw.benchmarks/1", Start: time.Now().UTC().Format(time.RFC3339), Machine: machine(), Go: runtime.Version(),
		Rounds: o.rounds, Length: o.length.String(), Users: o.users, Seed: o.seed,
		ReadyMS: float64(l.ready.Microseconds()) / 1000, Notes: l.notes, streams: o.streams,
	}
	for _, p := range l.proxies {
		r.proxies = append(r.proxies, p.name)
		r.Memory = append(r.Memory, Memory{Proxy: p.name, Idle: p.idle})
	}
	return r
}

// cell finds what was measured, an empty cell where nothing was.
func (r *results) cell(scenario, proxy string) *Cell {
	for _, c := range r.Cells {
		if c.Scenario == scenario && c.Proxy == proxy {
			return c
		}
	}
	return &Cell{Scenario: scenario, Proxy: proxy}
}

func (r *results) add(_ int, s scenario, proxy string, rep *bench.Report) {
	c, b := r.cell(s.Name, proxy), &rep.Results[0]
	if len(c.RPS) == 0 {
		r.Cells = append(r.Cells, c)
	}
	c.CPU = append(c.CPU, rep.Resources.CPUPerRequest)
	if s.stream {
		c.PerEvent = append(c.PerEvent, rep.Resources.CPUPerEvent)
	}
	c.RPS = append(c.RPS, b.RPS)
	q := b.Latency
	if s.delay != nil {
		q = s.delay.of(b)
	}
	if q != nil {
		c.P50, c.P99 = append(c.P50, q.P50), append(c.P99, q.P99)
	}
	c.Failed += b.Requests - b.Completed
	c.Wrong += b.Lost + b.Repeated + b.Crossed
}

func (r *results) memory(p *proxy, rep *bench.Report) {
	for i := range r.Memory {
		if m := &r.Memory[i]; m.Proxy == p.name {
			m.Streams, m.Done, m.Failed = rep.Resources.RSSMax, rep.Results[0].Completed, rep.Results[0].Requests-rep.Results[0].Completed
		}
	}
}

func (r *results) lost(proxy string, rep *bench.Report) {
	b := &rep.Results[0]
	l := Lost{Proxy: proxy, Streams: b.Requests, Lost: b.Requests - b.Completed + b.Lost + b.Repeated + b.Crossed + rep.Unfinished}
	for k, n := range b.Errors {
		l.Why += fmt.Sprintf("%s %d ", k, n)
	}
	l.Why = strings.TrimSpace(l.Why)
	r.Lost = append(r.Lost, l)
}

// write prints the table and stores it beside the numbers.
func (r *results) write(dir string) error {
	f, err := os.Create(filepath.Join(dir, "latest.txt"))
	if err != nil {
		return err
	}
	defer f.Close()
	r.table(io.MultiWriter(os.Stdout, f))
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "latest.json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	return f.Close()
}

func (r *results) table(w io.Writer) {
	fmt.Fprintf(w, "CPU microseconds of the proxy's process; median [lowest-highest] of %d rounds of %s, %d connections\n", r.Rounds, r.Length, r.Users)
	fmt.Fprintf(w, "%s, %s, %s; one CPU and GOMAXPROCS=1 for the proxy\n", r.Machine, r.Go, r.Start)
	fmt.Fprintf(w, "ratios are of the same round: median [lowest-highest]\n\n")
	for _, s := range scenarios {
		if s.delay != nil || s.told || len(r.cell(s.Name, r.proxies[0]).CPU) == 0 {
			continue
		}
		unit := "us/request"
		if s.stream {
			unit = "us/event"
		}
		fmt.Fprintf(w, "%-8s %-13s %-24s %-20s %-20s %8s %7s %6s %6s\n", s.Name, "", unit, "x ReverseProxy", "x nginx", "req/s", "p99 ms", "failed", "wrong")
		for _, name := range append(slices.Clip(r.proxies), cachedName) {
			c := r.cell(s.Name, name)
			if len(c.CPU) == 0 {
				continue
			}
			fmt.Fprintf(w, "%-8s %-13s %-24s %-20s %-20s %8.0f %7.1f %6d %6d\n", "", c.Proxy, spread(c.cost(), 1),
				spread(ratio(c, r.cell(s.Name, "ReverseProxy")), 2), spread(ratio(c, r.cell(s.Name, "nginx")), 2), median(c.RPS), median(floats(c.P99))/1000, c.Failed, c.Wrong)
		}
	}
	r.told(w)
	r.delays(w)
	fmt.Fprintf(w, "\n%-22s %12s %20s %24s\n", "", "RSS idle", fmt.Sprintf("at %d streams", r.streams), "streams lost")
	for _, m := range r.Memory {
		streams, lost := "-", "-"
		if m.Streams > 0 {
			streams = fmt.Sprintf("%.1f MB", float64(m.Streams)/(1<<20))
			if m.Failed > 0 {
				streams += fmt.Sprintf(" (%d failed)", m.Failed)
			}
		}
		for _, l := range r.Lost {
			if l.Proxy == m.Proxy {
				lost = fmt.Sprintf("%d of %d %s", l.Lost, l.Streams, l.Why)
			}
		}
		fmt.Fprintf(w, "%-22s %9.1f MB %20s %24s\n", m.Proxy, float64(m.Idle)/(1<<20), streams, lost)
	}
	if len(r.Left) > 0 {
		fmt.Fprintf(w, "\nclients that leave in mid-stream\n")
		for _, l := range r.Left {
			fmt.Fprintf(w, "%-22s %d left, upstream went on for %d, still open %d, other streams wrong %d\n", l.Proxy, l.Left, l.Ignored, l.Open, l.Wrong)
		}
	}
	fmt.Fprintf(w, "\nllmgw serve ready %.0f ms after its start\n", r.ReadyMS)
	for _, n := range r.Notes {
		fmt.Fprintln(w, n)
	}
}

// cost is per event for streams, per request else.
func (c *Cell) cost() []float64 {
	if len(c.PerEvent) > 0 {
		return c.PerEvent
	}
	return c.CPU
}

func ratio(c, to *Cell) []float64 {
	a, b := c.cost(), to.cost()
	var out []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			out = append(out, a[i]/b[i])
		}
	}
	return out
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

func spread(v []float64, digits int) string {
	if len(v) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f [%.*f-%.*f]", digits, median(v), digits, slices.Min(v), digits, slices.Max(v))
}

// cpus counts those of the machine; NumCPU counts only those we are pinned to.
func cpus() int {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.NumCPU()
	}
	return strings.Count("\n"+string(b), "\nprocessor")
}

func machine() string {
	name := "unknown CPU"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			name = strings.TrimSpace(strings.TrimLeft(line, " \t:"))
		}
	}
	kernel := runtime.GOOS
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = "Linux " + strings.TrimSpace(string(b))
	}
	load := ""
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 0 {
			load = ", load average " + f[0]
		}
	}
	return fmt.Sprintf("%d x %s, %s%s", cpus(), name, kernel, load)
}
