package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/pkg/bench"
)

var update = flag.Bool("update", false, "rewrite golden files")

func sample() *bench.Report {
	q := func(base int64) *bench.Quantiles {
		return &bench.Quantiles{Count: 100, Min: base, Mean: float64(base) * 2, Stdev: 1.5, P50: base * 2, P75: base * 3, P90: base * 4, P95: base * 5, P99: base * 6, P999: base * 7, P9999: base * 8, Max: base * 9, HDR: "HIST"}
	}
	achieved := 0.995
	return &bench.Report{
		Schema: bench.Schema,
		Meta:   bench.Meta{Version: "dev", Start: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Host: "pod|1", OS: "linux", Arch: "amd64", Go: "go1.26", GOMAXPROCS: 2},
		Plan: bench.PlanSummary{
			Loop: "open", Rate: 200, Arrival: "poisson", Duration: "30s", Warmup: "5s", Model: "m", Seed: 1,
			Scenarios: []bench.ScenarioSummary{{Name: "chat-stream", Weight: 1, BodyBytes: 200, Bodies: 1}},
		},
		Targets:  []bench.TargetInfo{{URL: "http://gw:4000", Echo: true}},
		RPS:      199.1,
		Achieved: &achieved,
		Results: []bench.ResultBlock{{
			Scenario: "chat-stream", Requests: 103, Completed: 100, RPS: 199.1, Goodput: 198, Streams: 103, Events: 5100, Content: 5000, Stalls: 1,
			Errors: map[string]uint64{"http_429": 2, "reset": 1}, Examples: map[string][]string{"http_429": {"429 {\"error\":\n\x1b[31m{\"message\":\"a|b <x>\"}}"}},
			Bytes: bench.ByteCount{In: 1000, Out: 200}, Tokens: bench.TokenCount{Prompt: 700, Completion: 5000, Source: "server"},
			Latency: q(1000), Service: q(900), Dispatch: q(1), TTFB: q(10), TTFT: q(100_000), ITL: q(20), TPOT: q(21),
		}},
		Sent: 1103, Timeline: []bench.Second{{T: 1, RPS: 200}},
		Resources: &bench.Resources{PIDs: []int{7}, CPUSeconds: 1.25, CPUPerRequest: 168.4, CPUPerEvent: 3.2, RSSBegin: 40 << 20, RSSEnd: 61 << 20, RSSMax: 62 << 20, FDs: 99, Threads: 8},
		Generator: bench.OwnCost{CPUShare: 0.31, GCShare: 0.002},
		SLO:       []bench.Verdict{{Term: "ttft.p95<=300ms", Value: 500_000, Shown: "500.0ms"}, {Term: "errors<=5%", Value: 0.029, Shown: "2.91%", OK: true}},
		Validity:  bench.Validity{Reasons: []string{"the generator sent late"}, Warnings: []string{"2 requests were still running"}},
		Gate:      bench.Gate{Reason: "invalid"},
	}
}

func TestFormats(t *testing.T) {
	for _, format := range Formats {
		t.Run(format, func(t *testing.T) {
			var b bytes.Buffer
			if err := Write(&b, format, sample(), false); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "sample."+format)
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("%s differs (-want +got):\n%s", path, diff)
			}
			if format != "json" && strings.Contains(b.String(), "\x1b") {
				t.Error("foreign text reaches the terminal as it is")
			}
		})
	}
}

func TestJSONNamesItsSchemaFirst(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, "json", sample(), false); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "{\n  \"schema\": \"llmgw.bench/1\",") || !json.Valid(b.Bytes()) {
		t.Errorf("begins %.60q", b.String())
	}
}

func TestCSVHasEqualRows(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, "csv", sample(), false); err != nil {
		t.Fatal(err)
	}
	if rows, err := csv.NewReader(&b).ReadAll(); err != nil || len(rows) < 10 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestColourIsOnlyASecondChannel(t *testing.T) {
	var plain, colour bytes.Buffer
	_ = Write(&plain, "text", sample(), false)
	_ = Write(&colour, "text", sample(), true)
	stripped := colour.String()
	for _, code := range []string{"0", "1", "31", "32", "33"} {
		stripped = strings.ReplaceAll(stripped, "\x1b["+code+"m", "")
	}
	if stripped != plain.String() || colour.Len() == plain.Len() {
		t.Error("the coloured report says something else than the plain one")
	}
}
