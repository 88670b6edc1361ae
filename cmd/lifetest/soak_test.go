//go:build linux

package lifetest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSoak lets answers, streams, streams that clients leave, and reloads run
// for half an hour, or for LLMGW_SOAK, and compares what the process holds
// before and after, with nothing in flight.
func TestSoak(t *testing.T) {
	if !long() {
		t.Skip("a soak takes half an hour: make long, or LLMGW_LONG=1 LLMGW_SOAK=1m")
	}
	span := 30 * time.Minute
	if text := os.Getenv("LLMGW_SOAK"); text != "" {
		var err error
		if span, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	base, conf := upstream(t), filepath.Join(t.TempDir(), "config.yaml")
	config(t, conf, base, 2, "litellm_settings: {callbacks: [prometheus]}")
	profile, metrics := freePort(t), freePort(t)
	p := serve(t, program(t), freePort(t), []string{"LITELLM_LOG=WARNING"}, "--config", conf,
		"--profile-port", strconv.Itoa(profile), "--prometheus-metrics-port", strconv.Itoa(metrics))
	hold := func() held {
		return look(t, p.cmd.Process.Pid, fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/goroutine?debug=1", profile))
	}
	// What the first requests bring along stays: pools, connections, series.
	warm := startLoad(p.url(), 2, 100*time.Millisecond)
	warm.run(300*time.Millisecond, func() { warm.stream(oneShot, true) })
	time.Sleep(min(span/10, 30*time.Second))
	warm.stop(t)
	settle := min(span/10, 60*time.Second) // idle connections to upstreams are closed after 45 s
	time.Sleep(settle)
	before := hold()
	t.Logf("before: %s", before)

	l := startLoad(p.url(), 2, 100*time.Millisecond, fmt.Sprintf("http://127.0.0.1:%d/metrics", metrics))
	l.run(300*time.Millisecond, func() { l.stream(oneShot, true) })
	begin, reloads, refused := time.Now(), 0, 0
	for report := begin.Add(span / 6); time.Since(begin) < span; {
		reloads++
		more := "litellm_settings: {callbacks: [prometheus]}\nrouter_settings: {num_retries: " + strconv.Itoa(reloads%5) + "}"
		if reloads%5 == 0 {
			more, refused = "router_settings: {num_retries: no}", refused+1
		}
		config(t, conf, base, 1+reloads%4, more)
		p.signal(syscall.SIGHUP)
		time.Sleep(2 * time.Second)
		if time.Now().After(report) {
			report = report.Add(span / 6)
			t.Logf("after %s: %s", time.Since(begin).Round(time.Second), hold())
		}
	}
	l.stop(t)
	config(t, conf, base, 2, "litellm_settings: {callbacks: [prometheus]}")
	p.signal(syscall.SIGHUP)
	time.Sleep(settle)
	after := hold()
	t.Logf("after %d reloads (%d refused): %s", reloads, refused, after)
	if got := p.count("configuration reloaded"); got < reloads-refused-1 {
		t.Errorf("%d reloads were taken, %d were meant to be", got, reloads-refused)
	}
	if after.goroutines > before.goroutines+5 {
		t.Errorf("%d goroutines, %d before", after.goroutines, before.goroutines)
	}
	if after.files > before.files+5 {
		t.Errorf("%d descriptors, %d before", after.files, before.files)
	}
	// The collector lets the heap grow to 32 MiB whatever is alive, so what is
	// resident may move within that.
	if after.rss > before.rss+32<<20 {
		t.Errorf("%d bytes resident, %d before", after.rss, before.rss)
	}
	p.stop()
}

// held is what a process holds.
type held struct {
	rss               int64
	goroutines, files int
}

func (h held) String() string {
	return fmt.Sprintf("%.1f MB resident, %d goroutines, %d descriptors", float64(h.rss)/1e6, h.goroutines, h.files)
}

var goroutineTotal = regexp.MustCompile(`goroutine profile: total (\d+)`)

func look(t testing.TB, pid int, goroutines string) (h held) {
	t.Helper()
	resp, err := oneShot.Get(goroutines)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	m := goroutineTotal.FindSubmatch(b)
	if m == nil {
		t.Fatalf("no goroutines in %.200s", b)
	}
	h.goroutines, _ = strconv.Atoi(string(m[1]))
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	h.files = len(files)
	h.rss = resident(t, pid)
	return h
}

// resident is a process's resident memory in bytes.
func resident(t testing.TB, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
