package difftest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCPUPerRequest reports what a request costs LiteLLM and llmgw in CPU time
// of their own processes, in interleaved rounds over the same upstream. It
// asserts nothing: the figures are for README.md and for whoever wonders.
func TestCPUPerRequest(t *testing.T) {
	theirs, ours := start(t)
	const rounds, users = 5, 8
	for _, stream := range []bool{false, true} {
		body := obj("model", "gpt-4o", "messages", hi, "stream", stream)
		name := "chat"
		if stream {
			name = "chat, streamed, 16 events"
		}
		var l, o, ratio []float64
		for round := range rounds + 1 {
			lc := cost(t, theirs, body, users, 200)
			oc := cost(t, ours, body, users, 4000)
			if round > 0 { // the first warms both up
				l, o, ratio = append(l, lc), append(o, oc), append(ratio, lc/oc)
			}
		}
		t.Logf("%s: LiteLLM %s us, llmgw %s us, ratio %s (median [lowest-highest] of %d rounds, %d connections)",
			name, spread(l, 0), spread(o, 1), spread(ratio, 0), rounds, users)
	}
}

func spread(v []float64, digits int) string {
	sort.Float64s(v)
	f := func(x float64) string { return strconv.FormatFloat(x, 'f', digits, 64) }
	return fmt.Sprintf("%s [%s-%s]", f(v[len(v)/2]), f(v[0]), f(v[len(v)-1]))
}

// cost sends n requests over a number of connections and returns the CPU
// microseconds that the proxy's process group spent on each.
func cost(t *testing.T, p proxy, body string, users, n int) float64 {
	t.Helper()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: users}}
	defer client.CloseIdleConnections()
	before := cpu(t, p.group)
	var wg sync.WaitGroup
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	for range users {
		wg.Go(func() {
			for range work {
				req, err := http.NewRequest("POST", p.base+"/v1/chat/completions", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+master)
				req.Header.Set("Content-Type", "application/json")
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("status %d: %v", resp.StatusCode, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(cpu(t, p.group)-before) / 1e3 / float64(n)
}

// cpu is the time in nanoseconds that the processes of a group have run,
// threads that ended not counted.
func cpu(t *testing.T, group int) (total int64) {
	t.Helper()
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) < 3 || f[2] != strconv.Itoa(group) {
			continue
		}
		tasks, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "task", "*", "schedstat"))
		for _, task := range tasks {
			text, err := os.ReadFile(task)
			if err != nil {
				continue
			}
			ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			total += ns
		}
	}
	return total
}
