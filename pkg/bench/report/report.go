// Package report writes the result of a load test for people (text, markdown)
// and for programs (json, csv). It decides nothing: every number and verdict
// comes from the report it is given.
package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/pkg/bench"
)

// Formats are the words Write understands, the default first.
var Formats = []string{"text", "json", "csv", "md"}

// Write writes a report in one of Formats. colour concerns text alone.
func Write(w io.Writer, format string, r *bench.Report, colour bool) error {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	case "csv":
		return writeCSV(w, r)
	case "md":
		return writeMarkdown(w, r)
	}
	return writeText(w, r, colour)
}

// row is one metric of one scenario.
type row struct {
	name string
	q    *bench.Quantiles
}

func rows(r *bench.Report, b *bench.ResultBlock) []row {
	latency := "service latency"
	if r.Plan.Loop == "open" {
		latency = "scheduled latency"
	}
	list := []row{{latency, b.Latency}}
	if r.Plan.Loop == "open" {
		list = append(list, row{"service latency", b.Service})
	}
	if b.Streams == 0 {
		list = append(list, row{"first byte", b.TTFB})
	}
	list = append(list, row{"TTFT", b.TTFT}, row{"ITL (gap)", b.ITL}, row{"TPOT", b.TPOT}, row{"dispatch delay", b.Dispatch})
	out := list[:0]
	for _, l := range list {
		if l.q != nil {
			out = append(out, l)
		}
	}
	return out
}

func loop(p *bench.PlanSummary) string {
	if p.Loop == "closed" {
		s := fmt.Sprintf("closed loop, %d users", p.Concurrency)
		if p.Think != "" {
			s += ", think " + p.Think
		}
		return s
	}
	if p.Ramp != "" {
		return "open loop, ramp " + p.Ramp
	}
	return fmt.Sprintf("open loop, %g requests/s, %s arrivals", p.Rate, p.Arrival)
}

func length(p *bench.PlanSummary) string {
	var parts []string
	if p.Duration != "" {
		parts = append(parts, p.Duration)
	}
	if p.Requests > 0 {
		parts = append(parts, fmt.Sprintf("%d requests", p.Requests))
	}
	return strings.Join(parts, " or ") + " after " + p.Warmup + " warm-up"
}

func writeText(w io.Writer, r *bench.Report, colour bool) error {
	p := printer{w: w, colour: colour}
	names := make([]string, 0, len(r.Plan.Scenarios))
	for _, s := range r.Plan.Scenarios {
		n := s.Name
		if len(r.Plan.Scenarios) > 1 {
			n += fmt.Sprintf("=%g", s.Weight)
		}
		names = append(names, n)
	}
	p.line("%s  %s", p.bold(strings.Join(names, " ")), r.Targets[0].URL)
	model := ""
	if r.Plan.Model != "" {
		model = "  model " + r.Plan.Model
	}
	p.line("%s; %s%s  seed %d", loop(&r.Plan), length(&r.Plan), model, r.Plan.Seed)
	if r.Plan.Loop == "closed" {
		p.line("closed loop: no more than %d requests queue at the server; percentiles are service times", r.Plan.Concurrency)
	}
	if r.Aborted {
		p.line("%s", p.yellow("! interrupted: this is what there was"))
	}
	for i := range r.Results {
		b := &r.Results[i]
		p.line("")
		head := fmt.Sprintf("%d completed, %d failed, %.1f requests/s", b.Completed, b.Requests-b.Completed, b.RPS)
		if len(r.SLO) > 0 {
			head += fmt.Sprintf(", goodput %.1f/s", b.Goodput)
		}
		if r.Achieved != nil && len(r.Results) == 1 {
			head += fmt.Sprintf(", %.1f%% of the schedule", *r.Achieved*100)
		}
		p.line("%s  %s", p.bold(b.Scenario), head)
		if list := rows(r, b); len(list) > 0 {
			p.line("  %-18s %9s %9s %9s %9s %9s %9s %9s", "ms", "min", "p50", "p90", "p95", "p99", "p99.9", "max")
			for _, l := range list {
				p.line("  %-18s %9s %9s %9s %9s %9s %9s %9s", l.name, ms(l.q.Min), ms(l.q.P50), ms(l.q.P90), ms(l.q.P95), ms(l.q.P99), ms(l.q.P999), ms(l.q.Max))
			}
		}
		if b.Tokens.Completion > 0 {
			p.line("  tokens             %d completion (counted by the %s), %d prompt", b.Tokens.Completion, b.Tokens.Source, b.Tokens.Prompt)
		}
		if b.Streams > 0 {
			p.line("  streams            %d, %d events, %d stalls", b.Streams, b.Events, b.Stalls)
			if r.Targets[0].Echo {
				p.line("  events             %d lost, %d repeated, %d of other requests", b.Lost, b.Repeated, b.Crossed)
			}
		} else if r.Targets[0].Echo && b.Scenario != "embeddings" {
			p.line("  answers            %d of other requests", b.Crossed)
		}
		for _, k := range sorted(b.Errors) {
			p.line("  %s %d", p.red(fmt.Sprintf("✖ %-16s", k)), b.Errors[k])
			for _, e := range b.Examples[k] {
				p.line("      %s", clip(e, 160))
			}
		}
	}
	p.line("")
	if res := r.Resources; res != nil {
		s := fmt.Sprintf("target process  cpu %.0f us/request", res.CPUPerRequest)
		if res.CPUPerEvent > 0 {
			s += fmt.Sprintf(" (%.1f us/event)", res.CPUPerEvent)
		}
		p.line("%s, %.2f s in all", s, res.CPUSeconds)
		p.line("                rss %s -> %s, highest %s; %d threads, %d descriptors", mb(res.RSSBegin), mb(res.RSSEnd), mb(res.RSSMax), res.Threads, res.FDs)
	}
	p.line("generator       cpu %.0f%% of %d, gc pauses %.2f%%; %d requests sent in all", r.Generator.CPUShare*100, r.Meta.GOMAXPROCS, r.Generator.GCShare*100, r.Sent)
	if r.Abandoned > 0 {
		p.line("abandoned       %d requests, on purpose", r.Abandoned)
	}
	for _, v := range r.SLO {
		mark := p.green("✔")
		if !v.OK {
			mark = p.red("✖")
		}
		p.line("%s %s  measured %s", mark, v.Term, v.Shown)
	}
	for _, warning := range r.Validity.Warnings {
		p.line("%s", p.yellow("! "+warning))
	}
	if !r.Validity.OK {
		p.line("%s", p.red("INVALID: do not use these numbers"))
		for _, reason := range r.Validity.Reasons {
			p.line("%s", p.red("✖ "+reason))
		}
	}
	return p.err
}

// printer keeps the first write error, so that the layout reads without noise.
type printer struct {
	w      io.Writer
	colour bool
	err    error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) paint(code, s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *printer) bold(s string) string   { return p.paint("1", s) }
func (p *printer) red(s string) string    { return p.paint("31", s) }
func (p *printer) green(s string) string  { return p.paint("32", s) }
func (p *printer) yellow(s string) string { return p.paint("33", s) }

func ms(us int64) string {
	v := float64(us) / 1000
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case v < 1000:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

func mb(b int64) string { return strconv.FormatInt(int64(math.Round(float64(b)/(1<<20))), 10) + " MB" }

// clip makes foreign text one line of printable characters.
func clip(s string, n int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' }), " ")
	if r := []rune(s); len(r) > n {
		s = string(r[:n]) + "…"
	}
	return s
}

func sorted(m map[string]uint64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return m[keys[i]] > m[keys[j]] || m[keys[i]] == m[keys[j]] && keys[i] < keys[j] })
	return keys
}

func writeCSV(w io.Writer, r *bench.Report) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"target", "scenario", "metric", "unit", "count", "min", "mean", "stdev", "p50", "p75", "p90", "p95", "p99", "p999", "p9999", "max"})
	for i := range r.Results {
		b := &r.Results[i]
		for _, m := range []row{
			{"latency", b.Latency}, {"service", b.Service}, {"dispatch_delay", b.Dispatch}, {"ttfb", b.TTFB},
			{"ttft", b.TTFT}, {"itl", b.ITL}, {"tpot", b.TPOT},
		} {
			if m.q == nil {
				continue
			}
			rec := []string{r.Targets[0].URL, b.Scenario, m.name, "us", strconv.FormatInt(m.q.Count, 10), strconv.FormatInt(m.q.Min, 10), number(m.q.Mean), number(m.q.Stdev)}
			for _, v := range []int64{m.q.P50, m.q.P75, m.q.P90, m.q.P95, m.q.P99, m.q.P999, m.q.P9999, m.q.Max} {
				rec = append(rec, strconv.FormatInt(v, 10))
			}
			_ = c.Write(rec)
		}
		counts := [][3]string{
			{"requests", "count", strconv.FormatUint(b.Requests, 10)}, {"completed", "count", strconv.FormatUint(b.Completed, 10)},
			{"rps", "1/s", number(b.RPS)},
		}
		for _, k := range sorted(b.Errors) {
			counts = append(counts, [3]string{"error_" + k, "count", strconv.FormatUint(b.Errors[k], 10)})
		}
		if r.Resources != nil && len(r.Results) == 1 {
			counts = append(counts, [3]string{"cpu_per_request", "us", number(r.Resources.CPUPerRequest)}, [3]string{"rss_max", "bytes", strconv.FormatInt(r.Resources.RSSMax, 10)})
		}
		for _, m := range counts {
			rec := make([]string, 16)
			rec[0], rec[1], rec[2], rec[3], rec[4] = r.Targets[0].URL, b.Scenario, m[0], m[1], m[2]
			_ = c.Write(rec)
		}
	}
	c.Flush()
	return c.Error()
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func writeMarkdown(w io.Writer, r *bench.Report) error {
	p := printer{w: w}
	p.line("### llmgw bench: %s", cell(r.Targets[0].URL))
	p.line("")
	p.line("%s; %s; seed %d.", loop(&r.Plan), length(&r.Plan), r.Plan.Seed)
	if !r.Validity.OK {
		p.line("")
		p.line("**Invalid measurement:** %s.", cell(strings.Join(r.Validity.Reasons, "; ")))
	}
	for i := range r.Results {
		b := &r.Results[i]
		p.line("")
		p.line("**%s**: %d completed, %d failed, %.1f requests/s", b.Scenario, b.Completed, b.Requests-b.Completed, b.RPS)
		if list := rows(r, b); len(list) > 0 {
			p.line("")
			p.line("| ms | min | p50 | p90 | p95 | p99 | p99.9 | max |")
			p.line("|---|--:|--:|--:|--:|--:|--:|--:|")
			for _, l := range list {
				p.line("| %s | %s | %s | %s | %s | %s | %s | %s |", l.name, ms(l.q.Min), ms(l.q.P50), ms(l.q.P90), ms(l.q.P95), ms(l.q.P99), ms(l.q.P999), ms(l.q.Max))
			}
		}
		if len(b.Errors) > 0 {
			p.line("")
			p.line("| error | count | first seen |")
			p.line("|---|--:|---|")
			for _, k := range sorted(b.Errors) {
				first := ""
				if len(b.Examples[k]) > 0 {
					first = b.Examples[k][0]
				}
				p.line("| %s | %d | %s |", k, b.Errors[k], cell(clip(first, 120)))
			}
		}
	}
	if res := r.Resources; res != nil {
		p.line("")
		p.line("Target process: %.0f us CPU per request, %.2f s in all, highest RSS %s.", res.CPUPerRequest, res.CPUSeconds, mb(res.RSSMax))
	}
	if len(r.SLO) > 0 {
		p.line("")
		p.line("| SLO | measured | met |")
		p.line("|---|--:|---|")
		for _, v := range r.SLO {
			p.line("| %s | %s | %s |", cell(v.Term), v.Shown, map[bool]string{true: "yes", false: "**no**"}[v.OK])
		}
	}
	p.line("")
	p.line("%s, %s/%s, %s, GOMAXPROCS %d, llmgw %s, %s.", cell(r.Meta.Host), r.Meta.OS, r.Meta.Arch, r.Meta.Go, r.Meta.GOMAXPROCS, r.Meta.Version, r.Meta.Start.Format("2006-01-02 15:04 MST"))
	return p.err
}

// cell keeps foreign text inside its table cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ", "<", "&lt;", "`", "'").Replace(s)
}
