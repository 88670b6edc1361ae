package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/pkg/bench"
	"github.com/llmgw/llmgw/pkg/bench/report"
	"github.com/llmgw/llmgw/pkg/bench/tui"
)

// Finer exit codes of bench under --detailed-exitcode.
const (
	exitMissedSLO = 10
	exitInvalid   = 12
)

// exitInterrupted is what a shell shows for ^C; in the terminal display ^C is
// a key and no signal.
const exitInterrupted = 130

func newBenchCommand(a *app) *cobra.Command {
	var (
		f   benchFlags
		out *outputFlags
	)
	c := &cobra.Command{
		Use:   "bench TARGET_URL",
		Short: "Load-test a gateway: latency from the intended start, tokens, errors, CPU per request",
		Long: `bench sends requests to a gateway and reports how long they took, when the first
token came and how evenly the others followed, what failed, and (with --pid) how
much CPU the gateway spent on each request.

Two ways to send: a closed loop (-C users, each sends its next request when the
last one ended) or an open loop (-r requests a second, whatever the answers do).
In an open loop latency counts from the moment a request was due, so a gateway
that stalls cannot hide the requests that waited meanwhile.

The numbers are refused (exit 1, with the reason) when this machine made them:
the generator was overloaded, sent late, or ran out of ports.

Exit codes: 0 fine; 1 an --slo was missed or the measurement is invalid (10 and
12 with --detailed-exitcode); 2 wrong options; 3 the target cannot be reached or
does not answer like a gateway; 130 interrupted (what was measured is reported).`,
		Example: `  llmgw bench http://127.0.0.1:4000 --model gpt-4o-mini -C 64 -d 30s
  llmgw bench http://127.0.0.1:4000 --scenario chat-stream -r 200 --slo 'ttft.p95<=300ms' --slo 'errors<=0.1%'
  llmgw bench http://127.0.0.1:4000 --pid $(pidof llmgw) --format json -o run.json`,
		Args: func(c *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usagef("give the base URL of the gateway, as in llmgw bench http://127.0.0.1:4000")
			case 1:
				return nil
			}
			return usagef("takes one target URL; got %q too", args[1])
		},
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := f.plan(a, c, args[0])
			if err != nil {
				return err
			}
			if err := plan.Check(); err != nil {
				return usagef("%w", err)
			}
			if f.dryRun {
				return printPlan(a, &plan)
			}
			if err := f.safety(c.Context(), a, &plan); err != nil {
				return err
			}
			outs, err := out.open(a)
			if err != nil {
				return err
			}
			defer outs.discard()
			bench.Version = buildVersion()
			if f.procs > 0 {
				runtime.GOMAXPROCS(f.procs)
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(400) // a small heap that is collected often costs more than it saves
			}
			rep, err := runWithProgress(c.Context(), a, plan, f.progress)
			if err != nil {
				var down *bench.UnreachableError
				switch {
				case c.Context().Err() != nil:
					return context.Cause(c.Context())
				case errors.Is(err, tui.ErrQuit):
					return withCode(exitInterrupted, err)
				case errors.As(err, &down):
					return unreachable(err)
				}
				return usagef("%w", err)
			}
			err = outs.each(func(w io.Writer, format string) error {
				return report.Write(w, format, rep, w == a.out && a.colorOn(a.outTTY))
			})
			if err == nil {
				err = outs.commit()
			}
			if err != nil {
				return err
			}
			return f.verdict(c.Context(), rep)
		},
	}
	f.declare(c.Flags())
	out = outputVar(c.Flags(), report.Formats...)
	c.AddCommand(newRefProxyCommand(a))
	return c
}

// benchFlags are the flags of bench as they were given.
type benchFlags struct {
	scenarios, headers, slo, labels, keyFile     []string
	think, arrival, ramp, prompts, order, merge  string
	apiKey, apiKeyFile, progress, abandon        string
	config                                       string
	pids                                         []int
	promptTokens, outputTokens, bodyBytes, procs int
	noUnique, dryRun, yes, quota, detailed       bool
	p                                            bench.Plan
}

func (f *benchFlags) declare(fs *pflag.FlagSet) {
	p := &f.p
	fs.StringArrayVar(&f.scenarios, "scenario", []string{"chat"}, "what to send, `NAME[=WEIGHT]`: "+strings.Join(bench.ScenarioNames(), ", ")+" or mixed (repeatable)")
	fs.IntVarP(&p.Concurrency, "concurrency", "C", 16, "closed loop: users")
	fs.StringVar(&f.think, "think", "", "closed loop: pause before the next request, `D[..D]`")
	fs.Float64VarP(&p.Rate, "rate", "r", 0, "open loop: requests a second")
	fs.StringVar(&f.arrival, "arrival", "constant", "open loop: constant, poisson or gamma:BURSTINESS")
	fs.StringVar(&f.ramp, "ramp", "", "open loop: rate from A to B, `A:B:DURATION[:STEPS]`")
	fs.IntVar(&p.MaxInflight, "max-inflight", 10_000, "open loop: requests in flight at most; others wait and keep their intended start")
	fs.VarP(configOrUsers{fs, &f.config}, "config", "c", "take model and key from the gateway's configuration `file`; a number is taken as -C")
	durationShort(fs, &p.Duration, "duration", "d", "measure for so long (default 30s, none with -n)")
	fs.Uint64VarP(&p.Requests, "requests", "n", 0, "measure so many requests")
	durationVar(fs, &p.Warmup, "warmup", 5*time.Second, "load before the measurement, not counted; none with fewer than 100 requests")
	durationVar(fs, &p.RequestTimeout, "request-timeout", 600*time.Second, "longest time for one request")
	durationVar(fs, &p.Drain, "drain", 30*time.Second, "longest wait for requests still running at the end")
	durationVar(fs, &p.Stall, "stall", 0, "a stream silent for so long has failed (default ten times the usual gap, at least 5s)")
	fs.StringVar(&f.abandon, "abandon", "", "leave a share of requests at a random moment, `P%[:WITHIN]` as in 5%:2s: does the gateway stop working for them?")
	fs.StringVar(&p.Model, "model", "", "model to ask for (default the target's only one)")
	fs.StringVar(&f.prompts, "prompts", "", "request bodies or prompts from a `FILE` of JSON lines")
	fs.StringVar(&f.order, "prompt-order", "sequential", "order of --prompts: sequential or shuffle")
	fs.IntVar(&f.promptTokens, "prompt-tokens", 32, "length of synthetic prompts, in words")
	fs.IntVar(&f.outputTokens, "output-tokens", 64, "max_tokens to ask for; 0 leaves it out")
	fs.IntVar(&f.bodyBytes, "body-bytes", 0, "pad request bodies to this size")
	fs.BoolVar(&f.noUnique, "no-unique", false, "send the same prompt every time, so that response caches answer")
	fs.StringVar(&f.merge, "body-merge", "", "`JSON` object merged into every body")
	fs.StringArrayVar(&f.headers, "header", nil, "extra `NAME:VALUE` header (repeatable)")
	fs.StringVar(&f.apiKey, "api-key", "", "key for the gateway (better: --api-key-file, LITELLM_API_KEY, LITELLM_MASTER_KEY or OPENAI_API_KEY)")
	fs.StringVar(&f.apiKeyFile, "api-key-file", "", "`FILE` that holds the key")
	fs.StringArrayVar(&f.keyFile, "keys", nil, "`FILE` with one virtual key a line, used in turn")
	fs.BoolVar(&p.NoKeepAlive, "no-keepalive", false, "open a connection for every request")
	fs.BoolVar(&p.Insecure, "insecure", false, "do not check the target's certificate")
	fs.StringVar(&p.CAFile, "ca", "", "`FILE` with the certificates to trust")
	fs.IntSliceVar(&f.pids, "pid", nil, "process of the target on this machine: report its CPU, memory and descriptors (repeatable, Linux)")
	fs.StringArrayVar(&f.slo, "slo", nil, "condition that decides the exit code, such as 'ttft.p95<=300ms' or 'errors<=0.1%' (repeatable)")
	fs.BoolVar(&f.detailed, "detailed-exitcode", false, "exit 10 for a missed --slo, 12 for an invalid measurement")
	fs.StringVar(&f.progress, "progress", "auto", "progress on standard error: auto, tui, plain or none")
	durationVar(fs, &p.Refresh, "refresh", 250*time.Millisecond, "how often the terminal display is drawn")
	fs.Uint64Var(&p.Seed, "seed", 1, "seed of arrivals and prompts")
	fs.StringArrayVar(&f.labels, "label", nil, "`KEY=VALUE` for the report (repeatable)")
	fs.IntVar(&f.procs, "procs", 0, "CPUs for the generator (default all)")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print the plan and one request, send nothing")
	fs.BoolVar(&f.yes, "yes", false, "do not ask before a run against a host that is not local")
	fs.BoolVar(&f.quota, "i-own-this-quota", false, "allow more than 5 requests a second to a provider's own endpoint")
}

// durationShort is durationVar with a one-letter name and no default.
func durationShort(fs *pflag.FlagSet, d *time.Duration, name, short, usage string) {
	fs.VarP(durationFlag{d}, name, short, usage)
}

func (f *benchFlags) plan(a *app, c *cobra.Command, target string) (bench.Plan, error) {
	p := f.p
	var err error
	if p.Target, err = bench.ParseTarget(target); err != nil {
		return p, usagef("%w", err)
	}
	for _, s := range f.scenarios {
		list, err := bench.ParseScenario(s)
		if err != nil {
			return p, usagef("--scenario: %w", err)
		}
		p.Scenarios = append(p.Scenarios, list...)
	}
	if p.Arrival, err = bench.ParseArrival(f.arrival); err != nil {
		return p, usagef("--arrival: %w", err)
	}
	changed := c.Flags().Changed
	open := changed("rate") || f.ramp != ""
	for flag, wantsOpen := range map[string]bool{"arrival": true, "max-inflight": true, "concurrency": false, "think": false} {
		if changed(flag) && open != wantsOpen {
			if wantsOpen {
				return p, usagef("--%s belongs to an open loop: give --rate too, or leave it out", flag)
			}
			return p, usagef("--%s belongs to a closed loop: leave it out with --rate or --ramp", flag)
		}
	}
	if changed("rate") && p.Rate == 0 {
		return p, usagef("--rate 0: must be above 0")
	}
	if changed("concurrency") && p.Concurrency < 1 {
		return p, usagef("--concurrency %d: must be at least 1", p.Concurrency)
	}
	if changed("requests") && p.Requests == 0 {
		return p, usagef("--requests 0: must be at least 1")
	}
	if changed("duration") && p.Duration == 0 {
		return p, usagef("--duration 0: must be above 0")
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"request-timeout", p.RequestTimeout}, {"drain", p.Drain}, {"refresh", p.Refresh}} {
		if d.value < 10*time.Millisecond {
			return p, usagef("--%s %v: must be at least 10ms", d.flag, d.value)
		}
	}
	if f.ramp != "" {
		r, err := bench.ParseRamp(f.ramp)
		if err != nil {
			return p, usagef("--ramp: %w", err)
		}
		p.Ramp = &r
	}
	if f.think != "" {
		lo, hi, ranged := strings.Cut(f.think, "..")
		if p.Think[0], err = parseDuration(lo); err == nil {
			if p.Think[1] = p.Think[0]; ranged {
				p.Think[1], err = parseDuration(hi)
			}
		}
		if err != nil || p.Think[1] < p.Think[0] {
			return p, usagef("--think %s: write a duration, or two as in 100ms..2s", f.think)
		}
	}
	if f.abandon != "" {
		if p.Abandon, p.AbandonWithin, err = bench.ParseAbandon(f.abandon); err != nil {
			return p, usagef("--abandon: %w", err)
		}
	}
	if p.Requests > 0 && p.Requests < 100 && !changed("warmup") {
		p.Warmup = 0
	}
	for _, text := range f.slo {
		t, err := bench.ParseTerm(text)
		if err != nil {
			return p, usagef("--slo: %w", err)
		}
		p.SLO = append(p.SLO, t)
	}
	for _, text := range f.headers {
		h, err := bench.ParseHeader(text)
		if err != nil {
			return p, usagef("--header: %w", err)
		}
		p.Headers = append(p.Headers, h)
	}
	for _, text := range f.labels {
		k, v, ok := strings.Cut(text, "=")
		if !ok || k == "" {
			return p, usagef("--label %s: write KEY=VALUE", text)
		}
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		p.Labels[k] = v
	}
	for _, pid := range f.pids {
		if pid < 1 {
			return p, usagef("--pid %d: a process number is above 0", pid)
		}
	}
	p.PIDs = f.pids
	switch f.progress {
	case "auto", "tui", "plain", "none":
	default:
		return p, usagef("--progress %s: use auto, tui, plain or none", f.progress)
	}
	if f.procs < 0 || f.procs > 4096 {
		return p, usagef("--procs %d: must be between 1 and 4096", f.procs)
	}
	if f.promptTokens < 1 {
		return p, usagef("--prompt-tokens %d: must be at least 1", f.promptTokens)
	}
	if err := f.payload(&p); err != nil {
		return p, err
	}
	configured := ""
	if f.config != "" {
		if configured, err = f.fromConfig(a, &p); err != nil {
			return p, err
		}
	}
	return p, f.keys(&p, configured)
}

func (f *benchFlags) payload(p *bench.Plan) error {
	p.Payload = bench.Payload{PromptTokens: f.promptTokens, OutputTokens: f.outputTokens, BodyBytes: f.bodyBytes, Unique: !f.noUnique}
	if f.outputTokens <= 0 {
		p.Payload.OutputTokens = -1
	}
	switch f.order {
	case "sequential":
	case "shuffle":
		p.Payload.Shuffle = true
	default:
		return usagef("--prompt-order %s: use sequential or shuffle", f.order)
	}
	if f.prompts != "" {
		file, err := os.Open(f.prompts)
		if err != nil {
			return usagef("--prompts %s: %s", f.prompts, reason(err))
		}
		defer file.Close()
		if p.Payload.Prompts, err = bench.ReadPrompts(f.prompts, file); err != nil {
			return usagef("--prompts: %w", err)
		}
	}
	var err error
	if p.Payload.Merge, err = bench.ParseMerge(f.merge); err != nil {
		return usagef("--body-merge: %w", err)
	}
	return nil
}

// keys finds the key: the flags, the configuration, then the environment in
// LiteLLM's order.
func (f *benchFlags) keys(p *bench.Plan, configured string) error {
	given := 0
	for _, on := range []bool{f.apiKey != "", f.apiKeyFile != "", len(f.keyFile) > 0} {
		if on {
			given++
		}
	}
	if given > 1 {
		return usagef("--api-key, --api-key-file and --keys exclude each other")
	}
	text := f.apiKey
	switch {
	case len(f.keyFile) > 0:
		for _, name := range f.keyFile {
			b, err := os.ReadFile(name)
			if err != nil {
				return usagef("--keys %s: %s", name, reason(err))
			}
			keys, err := bench.ReadKeys(name, b)
			if err != nil {
				return usagef("--keys: %w", err)
			}
			p.Keys = append(p.Keys, keys...)
		}
		return nil
	case f.apiKeyFile != "":
		b, err := os.ReadFile(f.apiKeyFile)
		if err != nil {
			return usagef("--api-key-file %s: %s", f.apiKeyFile, reason(err))
		}
		if text = strings.TrimSpace(string(b)); text == "" {
			return usagef("--api-key-file %s: the file is empty", f.apiKeyFile)
		}
	}
	if text == "" {
		text = configured
	}
	for _, name := range []string{"LITELLM_API_KEY", "LITELLM_MASTER_KEY", "OPENAI_API_KEY"} {
		if text != "" {
			break
		}
		text = strings.TrimSpace(os.Getenv(name))
	}
	if text == "" {
		return nil
	}
	keys, err := bench.ReadKeys("the key", []byte(text))
	if err != nil {
		return usagef("%w", err)
	}
	if len(keys) > 1 {
		return usagef("the key has more than one line; for several keys use --keys")
	}
	p.Keys = keys
	return nil
}

// safety keeps a slip of the fingers from spending money or from loading
// someone else's machine.
func (f *benchFlags) safety(ctx context.Context, a *app, p *bench.Plan) error {
	if p.Target.Provider() && !f.quota {
		if rate := p.Rate; !p.Open() || p.Ramp != nil || rate > 5 {
			return usagef("%s is a provider's own endpoint and every request costs money: stay at --rate 5 or below, or say --i-own-this-quota", p.Target.URL.Host)
		}
	}
	if f.yes || p.Target.Private(ctx) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	question := fmt.Sprintf("%s is not on this machine or a private network. %s.", p.Target.URL.Host, describe(p))
	in, tty := a.in.(*os.File)
	if !tty || !isTerminal(in) {
		return usagef("%s Say --yes to run it", question)
	}
	fmt.Fprintf(a.err, "%s Run it? [y/N] ", question)
	answer := make(chan string, 1)
	go func() {
		var s string
		_, _ = fmt.Fscanln(in, &s)
		answer <- s
	}()
	select {
	case s := <-answer:
		if s = strings.ToLower(s); s == "y" || s == "yes" {
			return nil
		}
		return usagef("not run")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// describe says how much a plan sends.
func describe(p *bench.Plan) string {
	s := fmt.Sprintf("The plan: %d users without pause", p.Concurrency)
	if p.Open() {
		s = fmt.Sprintf("The plan: %g requests a second", p.Rate)
		if p.Ramp != nil {
			s = fmt.Sprintf("The plan: up to %g requests a second", max(p.Ramp.From, p.Ramp.To))
		}
	}
	if p.Duration > 0 {
		s += fmt.Sprintf(" for %v", p.Warmup+p.Duration)
	}
	if p.Requests > 0 {
		s += fmt.Sprintf(", %d requests", p.Requests)
	}
	return s
}

func printPlan(a *app, p *bench.Plan) error {
	sample, err := bench.Sample(p)
	if err != nil {
		return usagef("%w", err)
	}
	_, err = fmt.Fprintf(a.out, "%s against %s, warm-up %v\n\n%s\n", describe(p), p.Target, p.Warmup, sample)
	return err
}

// verdict turns the gate into an exit code.
func (f *benchFlags) verdict(ctx context.Context, rep *bench.Report) error {
	if rep.Aborted {
		code := exitInterrupted
		if sig, ok := errors.AsType[signalError](context.Cause(ctx)); ok {
			code = sig.code()
		}
		return withCode(code, nil)
	}
	if rep.Gate.OK {
		return nil
	}
	code := exitBad
	if f.detailed {
		code = exitMissedSLO
		if rep.Gate.Reason == "invalid" {
			code = exitInvalid
		}
	}
	return withCode(code, nil)
}

func newRefProxyCommand(a *app) *cobra.Command {
	var (
		host     string
		port     int
		upstream string
	)
	c := &cobra.Command{
		Use:   "refproxy --upstream URL",
		Short: "Run the yardstick of comparisons: Go's standard reverse proxy, tuned",
		Long: `refproxy forwards everything to one upstream with Go's httputil.ReverseProxy and
does nothing else. Measure it beside a gateway: the ratio of CPU per request says
what the gateway's own work costs, and does not change with the machine.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if upstream == "" {
				return usagef("needs --upstream with the URL to forward to")
			}
			t, err := bench.ParseTarget(upstream)
			if err != nil {
				return usagef("--upstream: %w", err)
			}
			if port < 0 || port > 65535 {
				return usagef("--port %d: a port is a number from 0 to 65535", port)
			}
			ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				return usagef("%s", listenProblem(host, port, err))
			}
			fmt.Fprintf(a.out, "http://%s\n", ln.Addr())
			return bench.ServeRefProxy(c.Context(), ln, t.URL)
		},
	}
	c.Flags().StringVar(&host, "host", "127.0.0.1", "address to listen on")
	c.Flags().IntVar(&port, "port", 9100, "port to listen on; 0 takes a free one")
	c.Flags().StringVar(&upstream, "upstream", "", "`URL` to forward to")
	return c
}
