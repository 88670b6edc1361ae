// Package bench measures a gateway: it sends requests in a closed loop (so
// many users, each waiting for its answer) or an open loop (so many requests a
// second, whatever the answers do), and reports latency from the intended
// start, time to first token, gaps between tokens, errors, and the CPU time
// that the gateway's own process spent. It refuses to vouch for numbers that
// its own machine spoilt.
//
// It must not import other products, and its hot path must not decode JSON.
package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
)

// Plan says what to send where, and for how long. Check completes it.
type Plan struct {
	Target Target
	// Keys are sent in turn as bearer tokens; without any, requests carry none.
	Keys []redact.Secret
	// Model is asked for by every request; when empty, the preflight takes the
	// target's model if it lists exactly one.
	Model string
	// Scenarios with their weights; empty means chat.
	Scenarios []Weighted

	// Concurrency is the number of users of a closed loop, Think their pause
	// between an answer and the next request, uniform between both values.
	Concurrency int
	Think       [2]time.Duration
	// Rate, or Ramp, makes the loop open: requests start when they are due.
	Rate    float64
	Ramp    *Ramp
	Arrival Arrival
	// MaxInflight bounds the requests of an open loop in flight. One that meets
	// the bound waits and keeps its intended start.
	MaxInflight int

	// Duration and Requests end the measurement, whichever comes first. Warmup
	// comes before it and is not counted.
	Duration time.Duration
	Requests uint64
	Warmup   time.Duration
	// RequestTimeout bounds one request, Drain what is still in flight at the end.
	RequestTimeout time.Duration
	Drain          time.Duration
	// Stall ends a stream without an event for so long; 0 means ten times the
	// median gap, at least five seconds.
	Stall time.Duration

	// Abandon is the share of requests whose user leaves at a random moment
	// within AbandonWithin: the target must notice and stop working for them.
	Abandon       float64
	AbandonWithin time.Duration

	Payload Payload
	Headers [][2]string

	NoKeepAlive bool
	Insecure    bool
	CAFile      string

	// PIDs are processes of the target on this machine, sampled with their children.
	PIDs []int
	// SLO terms decide over goodput and over the exit code.
	SLO []Term

	Seed   uint64
	Labels map[string]string

	// Observe receives the state of the run every Refresh, in one goroutine.
	Observe func(Snapshot)
	Refresh time.Duration

	// Dial replaces the network in tests.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Weighted is a scenario and its share of the requests.
type Weighted struct {
	Scenario Scenario
	Weight   float64
}

// Open reports whether the plan is an open loop.
func (p *Plan) Open() bool { return p.Rate > 0 || p.Ramp != nil }

// Check fills defaults and says in one sentence what is wrong with a plan.
func (p *Plan) Check() error {
	if p.Target.URL == nil {
		return errors.New("no target: give the base URL of the gateway, as in http://127.0.0.1:4000")
	}
	if len(p.Scenarios) == 0 {
		p.Scenarios = []Weighted{{Chat, 1}}
	}
	if p.Open() && p.Think[1] > 0 {
		return errors.New("--think belongs to a closed loop; leave it out with --rate")
	}
	if p.Ramp != nil && p.Rate > 0 {
		return errors.New("--rate and --ramp exclude each other")
	}
	if p.Rate != 0 && !validRate(p.Rate) {
		return fmt.Errorf("--rate %v: must be above 0 and at most %.0f requests a second", p.Rate, MaxRate)
	}
	if p.Concurrency == 0 {
		p.Concurrency = 16
	}
	if p.Concurrency < 0 || p.Concurrency > 100_000 {
		return fmt.Errorf("--concurrency %d: must be between 1 and 100000", p.Concurrency)
	}
	if p.MaxInflight == 0 {
		p.MaxInflight = 10_000
	}
	if p.MaxInflight < 0 || p.MaxInflight > 100_000 {
		return fmt.Errorf("--max-inflight %d: must be between 1 and 100000", p.MaxInflight)
	}
	if p.Duration == 0 && p.Requests == 0 {
		p.Duration = 30 * time.Second
	}
	if p.Duration < 0 || p.Duration > 7*24*time.Hour {
		return fmt.Errorf("--duration %v: must be at most a week", p.Duration)
	}
	if p.Warmup < 0 || p.Warmup > time.Hour {
		return fmt.Errorf("--warmup %v: must be at most an hour", p.Warmup)
	}
	if p.RequestTimeout == 0 {
		p.RequestTimeout = 600 * time.Second
	}
	if p.Drain == 0 {
		p.Drain = 30 * time.Second
	}
	if !(p.Abandon >= 0 && p.Abandon <= 1) {
		return fmt.Errorf("the share of abandoned requests, %v, must be between 0%% and 100%%", p.Abandon)
	}
	if p.AbandonWithin == 0 {
		p.AbandonWithin = time.Second
	}
	if p.Refresh == 0 {
		p.Refresh = 250 * time.Millisecond
	}
	for _, t := range p.SLO {
		if strings.HasPrefix(t.Metric, "achieved") && !p.Open() {
			return fmt.Errorf("--slo %s: only an open loop (--rate) has a rate to achieve", t)
		}
	}
	return p.Payload.check()
}

// ParseAbandon reads P% or P%:WITHIN.
func ParseAbandon(text string) (share float64, within time.Duration, err error) {
	percent, limit, has := strings.Cut(text, ":")
	number, ok := strings.CutSuffix(percent, "%")
	share, err = strconv.ParseFloat(number, 64)
	if err != nil || !ok || !(share > 0 && share <= 100) {
		return 0, 0, fmt.Errorf("%q: write a share above 0%%, as in 5%% or 5%%:2s", text)
	}
	within = time.Second
	if has {
		if within, err = time.ParseDuration(limit); err != nil || within <= 0 || within > time.Hour {
			return 0, 0, fmt.Errorf("%q: %q is no duration between 0 and 1h", text, limit)
		}
	}
	return share / 100, within, nil
}
