package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/llmgw/llmgw/pkg/bench"
)

// direct is the name of the mock, asked without a proxy.
const direct = "direct"

// delay says that a scenario looks at the time a proxy adds, which its load
// must not hide: one connection, or a rate that leaves half of a CPU idle. On a
// machine that others use this is a hint, no result; nginx and the ReverseProxy
// of the same round show what the machine itself adds.
type delay struct {
	what   string
	of     func(*bench.ResultBlock) *bench.Quantiles
	half   bool // at the rate that takes half of llmgw's CPU, which is one alone; else all share all CPUs
	longer int  // times the usual length
}

func latency(b *bench.ResultBlock) *bench.Quantiles    { return b.Latency }
func firstEvent(b *bench.ResultBlock) *bench.Quantiles { return b.TTFT }
func gap(b *bench.ResultBlock) *bench.Quantiles        { return b.ITL }

// load makes the plan of a delay's scenario; nothing for any other.
func (d *delay) load(r *results) (func(*bench.Plan), error) {
	switch {
	case d == nil:
		return nil, nil
	case d.half:
		us := median(r.cell("small", "llmgw").CPU)
		if us == 0 {
			return nil, errors.New("half needs small in the same run: its rate follows from the cost of a request")
		}
		// Users who think between their requests: a generator that has to keep a
		// rate on the CPU that it shares with the mock would measure itself.
		pause := time.Duration(float64(r.Users) * us * 2 * float64(time.Microsecond))
		return func(p *bench.Plan) { p.Think = [2]time.Duration{pause / 2, pause * 3 / 2} }, nil
	}
	return func(p *bench.Plan) { p.Concurrency, p.Duration = 1, p.Duration*time.Duration(max(d.longer, 1)) }, nil
}

// spread lets all processes of the lab run on every CPU, ours included, or puts
// each back on its own. With one connection, a proxy on a CPU of its own is
// mostly a measurement of how long a virtual CPU takes to wake up, four times a
// request.
func (l *lab) spread(on bool) error {
	if _, err := exec.LookPath("taskset"); err != nil {
		return nil // nothing was pinned
	}
	all := fmt.Sprintf("0-%d", cpus()-1)
	move := func(pid int, own string) error {
		if on {
			own = all
		}
		if out, err := exec.Command("taskset", "-a", "-p", "-c", own, strconv.Itoa(pid)).CombinedOutput(); err != nil {
			return fmt.Errorf("move a process between CPUs: %w: %s", err, out)
		}
		return nil
	}
	err := errors.Join(move(os.Getpid(), "0"), move(l.mock.Process.Pid, "0"))
	for _, p := range l.all() {
		err = errors.Join(err, move(p.pid(), "1"))
	}
	return err
}

// delays prints what each proxy adds to the answer of the mock.
func (r *results) delays(w io.Writer) {
	head := true
	for _, s := range scenarios {
		base := r.cell(s.Name, direct)
		if s.delay == nil || len(base.P50) == 0 {
			continue
		}
		if head {
			fmt.Fprintf(w, "\n%-30s %-13s %-26s %-26s %8s %6s\n", "delay, us", "", "median", "99th percentile", "req/s", "failed")
			head = false
		}
		for i, name := range append([]string{direct}, r.proxies...) {
			c, what := r.cell(s.Name, name), ""
			if i == 0 {
				what = s.delay.what
			}
			fmt.Fprintf(w, "%-30s %-13s %-26s %-26s %8.0f %6d\n", what, name, added(c.P50, base.P50, i == 0), added(c.P99, base.P99, i == 0), median(c.RPS), c.Failed)
		}
	}
}

// added is what a proxy's round took beyond the direct one of the same round;
// for the direct one, what it took.
func added(v, base []int64, itself bool) string {
	if itself {
		return spread(floats(v), 0)
	}
	var out []float64
	for i := range min(len(v), len(base)) {
		out = append(out, float64(v[i]-base[i]))
	}
	return "+" + spread(out, 0)
}

func floats(v []int64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
