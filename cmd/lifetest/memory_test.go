//go:build linux

package lifetest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Reading a configuration takes memory that serving it does not: the start and
// every reload give it back. A gateway that keeps what it read of 2,000 models
// has 20 MB more with each of the first reloads.
func TestReloadsGiveTheirMemoryBack(t *testing.T) {
	base, conf := upstream(t), filepath.Join(t.TempDir(), "config.yaml")
	write := func(n int) {
		config(t, conf, base, 2000, "router_settings: {num_retries: "+strconv.Itoa(n%5)+"}")
	}
	write(0)
	p := serve(t, program(t), freePort(t), []string{"LITELLM_LOG=WARNING"}, "--config", conf)
	rss := func() int64 { return resident(t, p.cmd.Process.Pid) }
	// lowest is what is left a moment after something, when nothing else happens.
	lowest := func() int64 {
		low := rss()
		for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			low = min(low, rss())
		}
		return low
	}
	start := lowest()
	const reloads = 8
	for n := 1; n <= reloads; n++ {
		write(n)
		p.signal(syscall.SIGHUP)
		until(t, 10*time.Second, func() bool { return p.count("configuration reloaded") == n }, "reload "+strconv.Itoa(n))
	}
	end := lowest()
	t.Logf("%.1f MB resident after the start, %.1f after %d reloads", float64(start)/1e6, float64(end)/1e6, reloads)
	if end > start+start/4+10<<20 { // the race detector has a share of everything
		t.Errorf("%.1f MB resident after the start, %.1f after %d reloads", float64(start)/1e6, float64(end)/1e6, reloads)
	}
	p.stop()
}

// peak is the most memory that a process has held since it was last asked for.
func peak(t testing.TB, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "VmHWM:")
	if !ok {
		t.Skip("/proc/PID/status has no VmHWM here, so that the peak of a process cannot be read: run the test on an ordinary Linux")
	}
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200); err != nil {
		t.Skip("/proc/PID/clear_refs cannot be written here, so that a peak cannot be measured anew: run the test as root on an ordinary Linux: ", err)
	}
	return n << 10
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// What passes through is not held: four uploads of 100 MB at a time take some
// buffers, whether their length is known or not.
func TestLargeUploadsPassThroughInLittleMemory(t *testing.T) {
	const size, uploads = 100 << 20, 4
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	}))
	t.Cleanup(up.Close)
	conf := filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf("general_settings:\n  master_key: %s\n  pass_through_endpoints: [{path: /up, target: %q}]\nllmgw: {startup_doctor: false}\n", key, up.URL)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, program(t), freePort(t), []string{"LITELLM_LOG=WARNING"}, "--config", conf)
	time.Sleep(500 * time.Millisecond) // the start's memory is given back
	peak(t, p.cmd.Process.Pid)
	before := resident(t, p.cmd.Process.Pid)
	for _, length := range []int64{size, -1} {
		var all sync.WaitGroup
		for range uploads {
			all.Go(func() {
				req, _ := http.NewRequest("POST", p.url()+"/up", io.LimitReader(zeros{}, size))
				req.Header.Set("Authorization", "Bearer "+key)
				req.ContentLength = length
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(body) != fmt.Sprint(size, " <nil>") {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
			})
		}
		all.Wait()
	}
	http.DefaultClient.CloseIdleConnections()
	most := peak(t, p.cmd.Process.Pid)
	t.Logf("%.1f MB resident before, %.1f at most during %d uploads of 100 MB", float64(before)/1e6, float64(most)/1e6, uploads)
	if most > before+24<<20 {
		t.Errorf("%.1f MB resident before, %.1f at most", float64(before)/1e6, float64(most)/1e6)
	}
	p.stop()
}
