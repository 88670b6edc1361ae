package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Term is one condition of a service level, such as ttft.p95<=300ms.
type Term struct {
	Metric   string  // p95, ttft.p95, errors, achieved, stalls, rps, cpu, ...
	base     string  // e2e, ttft, itl, tpot; "" for counts
	quantile float64 // percent
	least    bool    // >=
	limit    float64 // microseconds, a share, or a plain number
	text     string
}

// String is the term as it was written.
func (t Term) String() string { return t.text }

// ParseTerm reads METRIC<=VALUE or METRIC>=VALUE. Latencies take a duration,
// errors, stalls and achieved a share, rps, goodput and cpu (microseconds of
// the target per request) a number.
func ParseTerm(text string) (Term, error) {
	compact := strings.ReplaceAll(text, " ", "")
	metric, value, ok := strings.Cut(compact, "<=")
	t := Term{text: compact}
	if !ok {
		if metric, value, ok = strings.Cut(compact, ">="); !ok {
			return t, fmt.Errorf("%q is no condition: write METRIC<=VALUE, as in ttft.p95<=300ms", text)
		}
		t.least = true
	}
	t.Metric = metric
	switch metric {
	case "errors", "stalls", "achieved":
		number, percent := strings.CutSuffix(value, "%")
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || !(v >= 0 && v <= 1e6) {
			return t, fmt.Errorf("%q: %q is no share: write 0.1%% or 0.001", text, value)
		}
		if percent {
			v /= 100
		}
		t.limit = v
		if t.least != (metric == "achieved") {
			return t, fmt.Errorf("%q: %s must be %s its limit", text, metric, map[bool]string{true: ">=", false: "<="}[metric == "achieved"])
		}
		return t, nil
	case "rps", "goodput", "cpu":
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || !(v >= 0) || math.IsInf(v, 0) {
			return t, fmt.Errorf("%q: %q is no number", text, value)
		}
		t.limit = v
		if t.least == (metric == "cpu") {
			return t, fmt.Errorf("%q: %s must be %s its limit", text, metric, map[bool]string{true: "<=", false: ">="}[metric == "cpu"])
		}
		return t, nil
	}
	base, q, dotted := strings.Cut(metric, ".")
	if !dotted {
		base, q = "e2e", metric
	}
	switch base {
	case "e2e", "ttft", "itl", "tpot":
	default:
		return t, fmt.Errorf("%q: unknown metric %s; use e2e, ttft, itl or tpot with .p50 to .p99.99, or errors, stalls, achieved, rps, goodput, cpu", text, base)
	}
	if q == "max" {
		t.quantile = 100
	} else {
		n, err := strconv.ParseFloat(strings.TrimPrefix(q, "p"), 64)
		if err != nil || !strings.HasPrefix(q, "p") || !(n > 0) {
			return t, fmt.Errorf("%q: %q is no quantile: use p50, p90, p95, p99, p99.9 or max", text, q)
		}
		// p999 is p99.9, as wrk, oha and our JSON write it.
		for n > 100 {
			n /= 10
		}
		t.quantile = n
	}
	t.base = base
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return t, fmt.Errorf("%q: %q is no duration: write it with its unit, as in 300ms", text, value)
	}
	if t.least {
		return t, fmt.Errorf("%q: a latency must be <= its limit", text)
	}
	t.limit = float64(d.Microseconds())
	return t, nil
}

// good reports whether one request meets every term that speaks of a request.
func good(terms []Term, r *Result, gaps []int64) bool {
	for i := range terms {
		t := &terms[i]
		switch t.base {
		case "e2e":
			if float64((r.End - r.Sched).Microseconds()) > t.limit {
				return false
			}
		case "ttft":
			if r.FirstToken >= 0 && float64((r.FirstToken-r.Sched).Microseconds()) > t.limit {
				return false
			}
		case "tpot":
			if r.Stream && r.Tokens >= 2 && float64((r.End-r.FirstToken).Microseconds())/float64(r.Tokens-1) > t.limit {
				return false
			}
		case "itl":
			for _, g := range gaps {
				if float64(g) > t.limit {
					return false
				}
			}
		}
	}
	return true
}

// Verdict is a term with what was measured.
type Verdict struct {
	Term  string  `json:"term"`
	Value float64 `json:"value"` // microseconds, a share or a number, as the term
	Shown string  `json:"shown"`
	OK    bool    `json:"ok"`
}

// judge compares the report with one term. A metric that was not measured
// fails its term: a gate must not pass because nothing was there to measure.
func (t Term) judge(r *Report) Verdict {
	v := Verdict{Term: t.text}
	total := r.total()
	switch t.Metric {
	case "errors":
		v.Value = share(total.ErrorCount(), total.ErrorCount()+total.Completed)
	case "stalls":
		v.Value = share(total.StallsIn, total.Streams)
	case "achieved":
		if r.Achieved != nil {
			v.Value = *r.Achieved
		}
	case "rps":
		v.Value = r.RPS
	case "goodput":
		v.Value = r.Goodput
	case "cpu":
		if r.Resources == nil || r.Resources.CPUPerRequest == 0 {
			v.Shown = "not measured"
			return v
		}
		v.Value = r.Resources.CPUPerRequest
	default:
		h := map[string]*hist{"e2e": &total.scheduled, "ttft": &total.firstToken, "itl": &total.gap, "tpot": &total.perToken}[t.base]
		if h.count() == 0 {
			v.Shown = "not measured"
			return v
		}
		d := h.quantile(t.quantile)
		v.Value, v.Shown = float64(d.Microseconds()), ms(d)+"ms"
		v.OK = v.Value <= t.limit
		return v
	}
	switch t.Metric {
	case "errors", "stalls", "achieved":
		v.Shown = fmt.Sprintf("%.3g%%", v.Value*100)
	default:
		v.Shown = fmt.Sprintf("%.1f", v.Value)
	}
	if v.OK = v.Value <= t.limit; t.least {
		v.OK = v.Value >= t.limit
	}
	return v
}

func share(n, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 1000:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

func itoa(n int) string { return strconv.Itoa(n) }
