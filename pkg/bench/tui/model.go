package tui

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"github.com/llmgw/llmgw/pkg/bench"
)

type (
	snapshotMsg bench.Snapshot
	finishedMsg struct{}
)

// model is the screen. It holds the last snapshot and draws it; keys only
// change what is drawn, except those that end the run.
type model struct {
	head    string
	loop    string
	open    bool
	streams bool
	slo     []bench.Term
	quit    func()

	s             bench.Snapshot
	seen          bool
	paused, help  bool
	stopping      bool
	width, height int
	style         styles
}

type styles struct{ title, good, bad, warn, dim lipgloss.Style }

func newModel(p *bench.Plan, colour bool, quit func()) *model {
	names := make([]string, 0, len(p.Scenarios))
	m := &model{open: p.Open(), slo: p.SLO, quit: quit, width: 80, height: 24}
	for _, s := range p.Scenarios {
		names = append(names, s.Scenario.String())
		m.streams = m.streams || s.Scenario == bench.ChatStream
	}
	m.head = fmt.Sprintf("%s  %s", strings.Join(names, "+"), p.Target)
	if p.Model != "" {
		m.head += "  model " + p.Model
	}
	m.loop = fmt.Sprintf("closed, %d users", p.Concurrency)
	if p.Open() {
		m.loop = fmt.Sprintf("open, %g rps", p.Rate)
		if p.Ramp != nil {
			m.loop = fmt.Sprintf("open, %g to %g rps", p.Ramp.From, p.Ramp.To)
		}
	}
	if colour {
		m.style = styles{
			title: lipgloss.NewStyle().Bold(true),
			good:  lipgloss.NewStyle().Foreground(lipgloss.ANSIColor(2)),
			bad:   lipgloss.NewStyle().Foreground(lipgloss.ANSIColor(1)),
			warn:  lipgloss.NewStyle().Foreground(lipgloss.ANSIColor(3)),
			dim:   lipgloss.NewStyle().Faint(true),
		}
	}
	return m
}

func (m *model) Init() tea.Cmd { return nil }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case snapshotMsg:
		if !m.paused {
			m.s, m.seen = bench.Snapshot(msg), true
		}
	case finishedMsg:
		return m, tea.Quit
	case tea.KeyMsg:
		switch msg.String() {
		case "q", "ctrl+c":
			if m.stopping {
				return m, tea.Quit // the run's own drain is bounded; leave the screen to it
			}
			m.stopping = true
			m.quit()
		case "p":
			m.paused = !m.paused
		case "?":
			m.help = !m.help
		}
	}
	return m, nil
}

// View draws the screen in exactly the lines there are.
func (m *model) View() string {
	if m.width < minWidth || m.height < minHeight {
		return "the terminal is too small to draw in; the test goes on\n" + Line(m.s)
	}
	w := min(m.width, 120)
	var lines []string
	add := func(l ...string) { lines = append(lines, l...) }
	add(m.spread(w, m.style.title.Render("llmgw bench")+"  "+m.head, m.loop), m.progress(w))
	switch {
	case m.help:
		add(m.rule(w, "keys"))
		add(hanging(w, "  q, ^C  ", "stop, drain and report; once more: stop waiting for the screen")...)
		add(hanging(w, "  p      ", "pause drawing, the test goes on")...)
		add(hanging(w, "  ?      ", "close this help")...)
		add(m.rule(w, "words"))
		add(hanging(w, "  scheduled E2E  ", "from the moment a request was due to the end of its answer")...)
		add(hanging(w, "  TTFT           ", "from the same moment to the first text")...)
		add(hanging(w, "  ITL            ", "gap between two pieces of text of one stream")...)
		add(hanging(w, "  dispatch       ", "how late this generator sent; above 1 ms it is overloaded")...)
	case !m.seen:
		add("", "  checking the target…")
	default:
		add(m.now(w)...)
		add(m.rule(w, "requests/s, last "+strconv.Itoa(min(len(m.s.History), w-12))+" s"))
		add(m.spark(w)...)
		add(m.errors(w)...)
		add(m.terms(w)...)
	}
	foot := m.rule(w, "q quit  p pause  ? help")
	room := m.height - 1
	if len(lines) > room {
		lines = lines[:room]
	}
	for len(lines) < room {
		lines = append(lines, "")
	}
	return strings.Join(append(lines, foot), "\n")
}

func (m *model) progress(w int) string {
	s := &m.s
	var share float64
	right := ""
	switch {
	case s.Total > 0:
		share = float64(s.Elapsed) / float64(s.Total)
		right = fmt.Sprintf("%s/%s", clock(s.Elapsed), clock(s.Total))
	case s.Want > 0:
		share = float64(s.Done) / float64(s.Want)
		right = fmt.Sprintf("%d/%d", s.Done, s.Want)
	}
	switch {
	case m.stopping || s.Draining:
		right += "  draining"
	case s.Warming:
		right += "  warm-up"
	}
	if m.paused {
		right += "  PAUSED"
	}
	return bar(share, w-lipgloss.Width(right)-3) + "  " + right
}

var blocks = []rune("▏▎▍▌▋▊▉█")

// bar is a horizontal bar of so many cells, drawn in eighths.
func bar(share float64, cells int) string {
	if cells < 1 {
		return ""
	}
	eighths := int(min(max(share, 0), 1) * float64(cells) * 8)
	b := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		b += string(blocks[rest-1])
	}
	return b + strings.Repeat("·", cells-lipgloss.Width(b))
}

func (m *model) now(w int) []string {
	s := &m.s
	leftWidth, nameWidth, column := 22, 14, 9
	if w < leftWidth+nameWidth+4*column {
		leftWidth, nameWidth, column = 20, 10, 7
	}
	latency := [][5]string{{"", "p50", "p90", "p99", "max"}}
	name := "E2E"
	if m.open && nameWidth > 13 {
		name = "scheduled E2E"
	}
	latency = append(latency, [5]string{name, ms(s.P50), ms(s.P90), ms(s.P99), ms(s.Max)})
	if m.streams {
		latency = append(latency,
			[5]string{"TTFT", ms(s.TTFT50), "", ms(s.TTFT99), ""},
			[5]string{"ITL (gap)", ms(s.ITL50), "", ms(s.ITL99), ""})
	}
	if m.open {
		late := ms(s.Dispatch99)
		if s.Dispatch99 > time.Millisecond {
			late = "! " + late
		}
		latency = append(latency, [5]string{"dispatch", "", "", late, ""})
	}
	left := []string{
		pair("rps", fmt.Sprintf("%.1f", s.RPS)),
		pair("in flight", strconv.FormatInt(s.InFlight, 10)),
		pair("done", strconv.FormatUint(s.Done-s.Errors, 10)),
		pair("errors", m.paint(s.Errors > 0, m.style.bad, strconv.FormatUint(s.Errors, 10))),
	}
	if s.TokensPerSec > 0 {
		left = append(left, pair("tok/s", fmt.Sprintf("%.0f", s.TokensPerSec)))
	}
	if s.Goodput >= 0 {
		left = append(left, pair("goodput", fmt.Sprintf("%.1f%%", s.Goodput*100)))
	}
	if s.CPUPerRequest > 0 {
		left = append(left, pair("cpu/req", fmt.Sprintf("%.0f us", s.CPUPerRequest)), pair("rss", fmt.Sprintf("%d MB", s.RSS>>20)))
	}
	out := []string{m.rule(w, "now"+strings.Repeat(" ", leftWidth-6)+"latency, ms")}
	for i := range max(len(left), len(latency)) {
		l := ""
		if i < len(left) {
			l = left[i]
		}
		l += strings.Repeat(" ", max(0, leftWidth-lipgloss.Width(l)))
		if i < len(latency) {
			r := latency[i]
			l += fmt.Sprintf("%-*s", nameWidth, r[0])
			for _, v := range r[1:] {
				l += fmt.Sprintf("%*s", column, v)
			}
		}
		out = append(out, strings.TrimRight(l, " "))
	}
	return out
}

func pair(name, value string) string { return fmt.Sprintf("  %-10s", name) + value }

func (m *model) paint(on bool, st lipgloss.Style, s string) string {
	if on {
		return st.Render(s)
	}
	return s
}

var sparks = []rune("▁▂▃▄▅▆▇█")

// spark draws the rate of the last seconds, the scale at its right.
func (m *model) spark(w int) []string {
	h := m.s.History
	if n := w - 12; len(h) > n {
		h = h[len(h)-n:]
	}
	top := 0.0
	for _, p := range h {
		top = max(top, p.RPS)
	}
	var b strings.Builder
	for _, p := range h {
		i := 0
		if top > 0 {
			i = int(p.RPS / top * float64(len(sparks)-1))
		}
		b.WriteRune(sparks[i])
	}
	return []string{m.spread(w, "  "+b.String(), fmt.Sprintf("max %.0f", top))}
}

func (m *model) errors(w int) []string {
	if len(m.s.ErrorKinds) == 0 {
		return nil
	}
	kinds := make([]string, 0, len(m.s.ErrorKinds))
	for k := range m.s.ErrorKinds {
		kinds = append(kinds, k)
	}
	sort.Slice(kinds, func(i, j int) bool {
		a, b := m.s.ErrorKinds[kinds[i]], m.s.ErrorKinds[kinds[j]]
		return a > b || a == b && kinds[i] < kinds[j]
	})
	for i, k := range kinds {
		kinds[i] = fmt.Sprintf("%s %d", k, m.s.ErrorKinds[k])
	}
	return []string{m.rule(w, "errors"), m.style.bad.Render(cut("  "+strings.Join(kinds, "   "), w))}
}

func (m *model) terms(w int) []string {
	if len(m.s.Verdicts) == 0 {
		return nil
	}
	out := []string{m.rule(w, "slo")}
	line := ""
	for _, v := range m.s.Verdicts {
		mark, st := "✔", m.style.good
		if !v.OK {
			mark, st = "✖", m.style.bad
		}
		item := st.Render(mark) + " " + v.Term + " " + v.Shown
		if line != "" && lipgloss.Width(line)+3+lipgloss.Width(item) > w-2 {
			out = append(out, "  "+line)
			line = ""
		}
		if line != "" {
			line += "   "
		}
		line += item
	}
	return append(out, "  "+line)
}

func (m *model) rule(w int, title string) string {
	t := "── " + title + " "
	return m.style.dim.Render(t + strings.Repeat("─", max(0, w-lipgloss.Width(t))))
}

// spread puts one text at each end of a line.
func (m *model) spread(w int, left, right string) string {
	left = cut(left, w-lipgloss.Width(right)-2)
	return left + strings.Repeat(" ", max(1, w-lipgloss.Width(left)-lipgloss.Width(right))) + right
}

// hanging breaks a text into lines of w cells that begin below each other, behind
// the head of the first.
func hanging(w int, head, text string) []string {
	indent := strings.Repeat(" ", lipgloss.Width(head))
	line, empty := head, true
	var out []string
	for word := range strings.FieldsSeq(text) {
		if !empty && lipgloss.Width(line)+1+lipgloss.Width(word) > w {
			out, line, empty = append(out, line), indent, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	return append(out, line)
}

// cut shortens a line to so many cells. Lines with colour in them are short
// enough by construction.
func cut(s string, n int) string {
	if lipgloss.Width(s) <= n || strings.Contains(s, "\x1b") {
		return s
	}
	r := []rune(s)
	for len(r) > 0 && lipgloss.Width(string(r)) > n-1 {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}

func clock(d time.Duration) string {
	s := int(d / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}
