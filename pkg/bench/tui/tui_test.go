package tui

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/pkg/bench"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testPlan(t *testing.T, open bool) *bench.Plan {
	t.Helper()
	target, err := bench.ParseTarget("http://gw:4000")
	if err != nil {
		t.Fatal(err)
	}
	p := &bench.Plan{Target: target, Model: "gpt-4o-mini", Duration: time.Minute, Scenarios: []bench.Weighted{{Scenario: bench.ChatStream, Weight: 1}}}
	if open {
		p.Rate = 200
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

func testSnapshot() bench.Snapshot {
	s := bench.Snapshot{
		Elapsed: 37 * time.Second, Total: time.Minute, Done: 7000, InFlight: 83, RPS: 199.8, Errors: 3,
		ErrorKinds: map[string]uint64{"http_429": 2, "stall": 1}, Goodput: 0.996, TokensPerSec: 9990,
		P50: 412 * time.Millisecond, P90: 455 * time.Millisecond, P99: 498700 * time.Microsecond, Max: 702 * time.Millisecond,
		TTFT50: 61300 * time.Microsecond, TTFT99: 102500 * time.Microsecond, ITL50: 20 * time.Millisecond, ITL99: 24 * time.Millisecond,
		Dispatch99: 200 * time.Microsecond, CPUPerRequest: 168, RSS: 61 << 20,
		Verdicts: []bench.Verdict{{Term: "ttft.p95<=100ms", Shown: "82.0ms", OK: true}, {Term: "itl.p99<=20ms", Shown: "23.9ms"}},
	}
	for i := range 37 {
		s.History = append(s.History, bench.Second{RPS: min(200, float64(i*20))})
	}
	return s
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

func TestScreens(t *testing.T) {
	for _, tc := range []struct {
		name          string
		open          bool
		width, height int
		keys          string
		snapshot      *bench.Snapshot
	}{
		{"open_80x24", true, 80, 24, "", ptr(testSnapshot())},
		{"closed_120x30", false, 120, 30, "", ptr(testSnapshot())},
		{"small_60x15", true, 60, 15, "", ptr(testSnapshot())},
		{"too_small", true, 50, 10, "", ptr(testSnapshot())},
		{"help", true, 80, 24, "?", ptr(testSnapshot())},
		{"help_60x15", true, 60, 15, "?", ptr(testSnapshot())},
		{"before_the_first_number", true, 80, 24, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var m tea.Model = newModel(testPlan(t, tc.open), false, func() {})
			m, _ = m.Update(tea.WindowSizeMsg{Width: tc.width, Height: tc.height})
			if tc.snapshot != nil {
				m, _ = m.Update(snapshotMsg(*tc.snapshot))
			}
			for _, k := range tc.keys {
				m, _ = m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{k}})
			}
			view := m.View()
			lines := strings.Split(view, "\n")
			if len(lines) > tc.height {
				t.Errorf("%d lines in a terminal of %d", len(lines), tc.height)
			}
			for i, l := range lines {
				if w := lipgloss.Width(l); w > tc.width && tc.width >= minWidth {
					t.Errorf("line %d is %d cells wide in a terminal of %d: %q", i, w, tc.width, l)
				}
			}
			golden(t, tc.name+".txt", view+"\n")
		})
	}
}

func ptr[T any](v T) *T { return &v }

func TestKeysStopPauseAndHelp(t *testing.T) {
	stops := 0
	var m tea.Model = newModel(testPlan(t, true), false, func() { stops++ })
	m, _ = m.Update(snapshotMsg(testSnapshot()))
	m, _ = m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("p")})
	later := testSnapshot()
	later.RPS = 1
	m, _ = m.Update(snapshotMsg(later))
	if !strings.Contains(m.View(), "199.8") || !strings.Contains(m.View(), "PAUSED") {
		t.Error("a paused screen changed")
	}
	m, cmd := m.Update(tea.KeyMsg{Type: tea.KeyCtrlC})
	if stops != 1 || cmd != nil || !strings.Contains(m.View(), "draining") {
		t.Errorf("^C stopped %d times", stops)
	}
	_, cmd = m.Update(tea.KeyMsg{Type: tea.KeyCtrlC})
	if stops != 1 || cmd == nil {
		t.Error("a second ^C must leave the screen and nothing else")
	}
}

// The whole program: what Run draws, and that the report passes through.
func TestRunDrawsAndReturnsTheReport(t *testing.T) {
	var out bytes.Buffer
	in, keys := io.Pipe()
	defer in.Close()
	want := &bench.Report{Aborted: true}
	rep, err := Run(t.Context(), Options{Output: &out, Input: in}, *testPlan(t, true), func(ctx context.Context, p bench.Plan) (*bench.Report, error) {
		p.Observe(testSnapshot())
		go func() { _, _ = keys.Write([]byte("q")) }()
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), ErrQuit) {
			t.Errorf("the run ended by %v", context.Cause(ctx))
		}
		return want, nil
	})
	if rep != want || err != nil {
		t.Errorf("got %v, %v", rep, err)
	}
	if !strings.Contains(out.String(), "llmgw bench") || !strings.Contains(out.String(), "\x1b[?1049l") {
		t.Error("the screen was not drawn, or not left")
	}
}

func TestARunThatFailsEndsTheScreen(t *testing.T) {
	wrong := errors.New("no such host")
	in, _ := io.Pipe()
	defer in.Close()
	_, err := Run(t.Context(), Options{Output: io.Discard, Input: in}, *testPlan(t, false), func(context.Context, bench.Plan) (*bench.Report, error) {
		return nil, wrong
	})
	if !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
}

func TestLine(t *testing.T) {
	want := "t=37s rps=199.8 inflight=83 ok=6997 err=3 e2e_p50=412.0ms p99=498.7ms ttft_p50=61.3ms cpu=168us/req rss=61MB"
	if got := Line(testSnapshot()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
