// Command benchmarks measures what llmgw costs: CPU microseconds of its process
// per request and per event, next to nginx and to the tuned ReverseProxy of Go
// (llmgw bench refproxy), in rounds that interleave all of them.
//
// The proxy under test has one CPU to itself and GOMAXPROCS=1; the mock and the
// load share the other. Wall time says nothing on a shared machine, CPU time of
// the proxy's own process does, and its ratio to the other proxies of the same
// round does even more.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/bench"
)

// masterKey is the key of the gateway under test, on loopback and thrown away.
const masterKey = "sk-benchmarks-6c1f0f1d9a8e4b7c"

// scenario is one kind of load.
type scenario struct {
	Name   string
	stream bool
	model  string
	body   int  // bytes
	tokens int  // that the answer is asked for; 0 leaves it to the mock
	same   bool // every request is the same one, for a cache
	told   bool // through gateways that tell of their calls
	delay  *delay
}

var scenarios = []scenario{
	{Name: "small", model: "mock/plain"},
	{Name: "16kb", model: "mock/plain", body: 16_459},
	{Name: "paced", model: "mock/itl-5ms", stream: true},
	{Name: "unpaced", model: "mock/plain", stream: true},
	{Name: "hit", model: "mock/plain", same: true},
	{Name: "told", model: "mock/plain", told: true},
	{Name: "toldpaced", model: "mock/itl-5ms", stream: true, told: true},
	{Name: "alone", model: "mock/plain", delay: &delay{what: "one connection", of: latency}},
	{Name: "first", model: "mock/itl-5ms", stream: true, tokens: 2, delay: &delay{what: "first event, one connection", of: firstEvent}},
	{Name: "gap", model: "mock/itl-20ms", stream: true, delay: &delay{what: "gap of 20 ms, one connection", of: gap, longer: 4}},
	{Name: "half", model: "mock/plain", delay: &delay{what: "half of llmgw's CPU in use", of: latency, half: true}},
}

type options struct {
	bin, out       string
	rounds         int
	warmup, length time.Duration
	users          int
	only           string
	streams, lost  int
	seed           uint64
}

func main() {
	var o options
	var quick, full bool
	flag.StringVar(&o.bin, "bin", "bin/llmgw", "the binary to measure")
	flag.StringVar(&o.out, "out", "benchmarks/out", "directory for latest.txt and latest.json")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds")
	flag.DurationVar(&o.warmup, "warmup", time.Second, "warm-up of each measurement")
	flag.DurationVar(&o.length, "length", 2*time.Second, "length of each measurement")
	flag.IntVar(&o.users, "users", 64, "connections")
	flag.StringVar(&o.only, "only", "", "scenarios to run, comma-separated (small,16kb,paced,unpaced,hit,told,toldpaced,alone,first,gap,half,memory,lost,left)")
	flag.IntVar(&o.streams, "streams", 1000, "concurrent streams of the memory measurement")
	flag.IntVar(&o.lost, "lost", 10_000, "streams of the count of lost ones")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of the order")
	flag.BoolVar(&quick, "quick", false, "two short rounds, 2,000 streams: a look, not a result")
	flag.BoolVar(&full, "full", false, "ten rounds of 3 s")
	flag.Parse()
	if quick {
		o.rounds, o.warmup, o.length, o.lost = 2, 500*time.Millisecond, time.Second, 2000
	}
	if full {
		o.rounds, o.length = 10, 3*time.Second
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func (o *options) wants(name string) bool {
	if o.only == "" {
		return true
	}
	for w := range strings.SplitSeq(o.only, ",") {
		if strings.TrimSpace(w) == name {
			return true
		}
	}
	return false
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "llmgw-benchmarks-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	lab := &lab{dir: dir, bin: bin}
	defer lab.stop()
	if err := lab.startMock(ctx); err != nil {
		return err
	}
	if err := lab.startProxies(ctx); err != nil {
		return err
	}
	if o.wants("told") || o.wants("toldpaced") {
		if err := lab.startTold(ctx); err != nil {
			return fmt.Errorf("start llmgw serve with everything on: %w", err)
		}
	}

	res := newResults(o, lab)
	rng := rand.New(rand.NewPCG(o.seed, 1))
	for round := range o.rounds {
		for _, s := range scenarios {
			if !o.wants(s.Name) {
				continue
			}
			proxies := lab.of(s)
			edit, err := s.delay.load(res)
			if err != nil {
				return err
			}
			if s.delay != nil && !s.delay.half {
				if err := lab.spread(true); err != nil {
					return err
				}
			}
			for _, i := range rng.Perm(len(proxies)) {
				p := proxies[i]
				fmt.Fprintf(os.Stderr, "\rround %d/%d  %-8s %-14s", round+1, o.rounds, s.Name, p.name)
				rep, err := measure(ctx, o, p, s, edit)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", p.name, s.Name, err)
				}
				res.add(round, s, p.name, rep)
			}
			if s.delay != nil && !s.delay.half {
				if err := lab.spread(false); err != nil {
					return err
				}
			}
		}
	}
	for _, p := range lab.proxies {
		if o.wants("memory") {
			fmt.Fprintf(os.Stderr, "\r%-40s", fmt.Sprintf("%d streams through %s", o.streams, p.name))
			rep, err := measure(ctx, o, p, scenario{Name: "memory", stream: true, model: "mock/itl-50ms"}, func(plan *bench.Plan) {
				plan.Concurrency, plan.Warmup, plan.Duration = o.streams, 3*time.Second, 4*time.Second
			})
			if err != nil {
				return fmt.Errorf("%s, %d streams: %w", p.name, o.streams, err)
			}
			res.memory(p, rep)
		}
		if o.wants("lost") {
			fmt.Fprintf(os.Stderr, "\r%-40s", fmt.Sprintf("counting streams lost by %s", p.name))
			rep, err := measure(ctx, o, p, scenario{Name: "lost", stream: true, model: "mock/plain"}, func(plan *bench.Plan) {
				plan.Duration, plan.Warmup, plan.Requests = 0, 0, uint64(o.lost)
			})
			if err != nil {
				return fmt.Errorf("%s, lost streams: %w", p.name, err)
			}
			res.lost(p.name, rep)
		}
		if o.wants("left") {
			fmt.Fprintf(os.Stderr, "\r%-40s", fmt.Sprintf("leaving streams of %s", p.name))
			left, err := lab.leave(ctx, o, p)
			if err != nil {
				return fmt.Errorf("%s, clients that leave: %w", p.name, err)
			}
			res.Left = append(res.Left, left)
		}
	}
	fmt.Fprintf(os.Stderr, "\r%-40s\r", "")
	return res.write(o.out)
}

// measure sends one scenario through one proxy.
func measure(ctx context.Context, o options, p *proxy, s scenario, edit func(*bench.Plan)) (*bench.Report, error) {
	target, err := bench.ParseTarget(p.url)
	if err != nil {
		return nil, err
	}
	plan := bench.Plan{
		Target: target, Keys: []redact.Secret{redact.New(masterKey)}, Model: s.model,
		Scenarios: []bench.Weighted{{Scenario: bench.Chat, Weight: 1}}, Concurrency: o.users,
		Warmup: o.warmup, Duration: o.length, RequestTimeout: 30 * time.Second, Drain: 5 * time.Second,
		Payload: bench.Payload{PromptTokens: 6, OutputTokens: cmp.Or(s.tokens, -1), BodyBytes: s.body, Unique: !s.same},
		PIDs:    []int{p.pid()}, Seed: 1,
	}
	if s.stream {
		plan.Scenarios[0].Scenario = bench.ChatStream
	}
	if edit != nil {
		edit(&plan)
	}
	rep, err := bench.Run(ctx, plan)
	if err != nil {
		return nil, err
	}
	if rep.Aborted {
		return nil, context.Cause(ctx)
	}
	return rep, nil
}
