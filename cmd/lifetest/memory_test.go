//go:build linux

package lifetest

import (
	"path/filepath"
	"strconv"
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
	if end > start+14<<20 {
		t.Errorf("%.1f MB resident after the start, %.1f after %d reloads", float64(start)/1e6, float64(end)/1e6, reloads)
	}
	p.stop()
}
