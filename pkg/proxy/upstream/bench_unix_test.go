//go:build unix

package upstream

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func startBenchmarkUpstream(b *testing.B) string {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), benchmarkUpstream+"=1")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(line)
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkClients pairs our client with net/http's: blocks of requests of
// both take turns in one run, and what counts is the CPU time of this process
// per request. The upstream is another process.
func BenchmarkClients(b *testing.B) {
	base := startBenchmarkUpstream(b)
	for _, bb := range []struct {
		name, path string
		body       int
	}{{"small", "/0", 199}, {"16KB", "/0", 16_459}, {"100KB", "/0", 100 << 10}, {"50events", "/50", 199}, {"50pacedevents", "/50/paced", 199}} {
		b.Run(bb.name, func(b *testing.B) {
			const users, each = 32, 8
			request := &call.Request{
				Method: "POST", URL: parse(b, base+bb.path), Body: []byte(strings.Repeat("x", bb.body)),
				Header: http.Header{
					"Content-Type": {"application/json"}, "Accept": {"application/json"}, "Accept-Encoding": {"identity"},
					"User-Agent": {"llmgw/1"}, "Authorization": {"Bearer sk-0123456789abcdef0123456789abcdef"},
				},
			}
			block := func(c *Client) time.Duration {
				before := cpu(b)
				var wg sync.WaitGroup
				for range users {
					wg.Go(func() {
						space := make([]byte, 8<<10)
						for range each {
							r := *request
							r.Deadline = time.Now().Add(time.Minute)
							resp, lease, err := c.Do(b.Context(), &r)
							if err != nil {
								b.Error(err)
								return
							}
							for err == nil {
								_, err = resp.Body.Read(space)
							}
							resp.Body.Close()
							lease.Done()
							if err != io.EOF {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				return cpu(b) - before
			}
			clients := [2]*Client{client(b, Options{}), client(b, Options{NetHTTP: true})}
			var spent [2]time.Duration
			for _, c := range clients {
				block(c)
			}
			n := 0
			for b.Loop() {
				for i := range clients {
					i = (i + n) % 2
					spent[i] += block(clients[i])
				}
				n++
			}
			per := func(i int) float64 { return float64(spent[i].Microseconds()) / float64(n*users*each) }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(per(0), "own-cpu-µs/req")
			b.ReportMetric(per(1), "nethttp-cpu-µs/req")
			b.ReportMetric(per(0)/per(1), "own/nethttp")
		})
	}
}
