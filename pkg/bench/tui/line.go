// Package tui shows a running load test: a full screen on a terminal, a line
// of text elsewhere. It draws what it is told and never touches the data path.
package tui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/bench"
)

// Line is the state of a run in one line, for logs.
func Line(s bench.Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "t=%ds rps=%.1f inflight=%d ok=%d err=%d", int(s.Elapsed/time.Second), s.RPS, s.InFlight, s.Done-s.Errors, s.Errors)
	if s.Max > 0 {
		fmt.Fprintf(&b, " e2e_p50=%sms p99=%sms", ms(s.P50), ms(s.P99))
	}
	if s.TTFT50 > 0 {
		fmt.Fprintf(&b, " ttft_p50=%sms", ms(s.TTFT50))
	}
	if s.CPUPerRequest > 0 {
		fmt.Fprintf(&b, " cpu=%.0fus/req", s.CPUPerRequest)
	}
	if s.RSS > 0 {
		fmt.Fprintf(&b, " rss=%dMB", s.RSS>>20)
	}
	switch {
	case s.Draining:
		b.WriteString(" draining")
	case s.Warming:
		b.WriteString(" warm-up")
	}
	return b.String()
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
