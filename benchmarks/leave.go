package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/llmgw/llmgw/pkg/bench"
)

// Left is what becomes of streams whose clients leave long before the end: the
// upstream must be told, or it works (and costs) for nobody.
type Left struct {
	Proxy   string `json:"proxy"`
	Left    uint64 `json:"left"`
	Ignored uint64 `json:"ignored"` // streams the upstream sent to the end all the same
	Open    int64  `json:"open"`    // still being sent two seconds later
	Wrong   uint64 `json:"wrong_events"`
}

// mockStats is the part of the mock's counters that matters here.
type mockStats struct {
	Streams struct {
		Started, Completed, Cancelled uint64
	}
	InFlight int64 `json:"in_flight"`
}

func (l *lab) stats() (s mockStats, err error) {
	resp, err := http.Get(l.mockURL + "/__stats")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&s)
	return s, err
}

// leave abandons half of the streams within 200 ms of their 250, so that none
// of them can have ended by itself.
func (l *lab) leave(ctx context.Context, o options, p *proxy) (Left, error) {
	before, err := l.stats()
	if err != nil {
		return Left{}, fmt.Errorf("read the mock's counters: %w", err)
	}
	rep, err := measure(ctx, o, p, scenario{Name: "left", stream: true, model: "mock/itl-5ms"}, func(plan *bench.Plan) {
		plan.Duration, plan.Warmup, plan.Requests = 0, 0, 2000
		plan.Abandon, plan.AbandonWithin = 0.5, 200*time.Millisecond
	})
	if err != nil {
		return Left{}, err
	}
	var after mockStats
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if after, err = l.stats(); err != nil {
			return Left{}, fmt.Errorf("read the mock's counters: %w", err)
		}
		if after.InFlight == 0 || time.Now().After(deadline) {
			break
		}
	}
	b := &rep.Results[0]
	whole := b.Completed + 1 // and the preflight
	out := Left{Proxy: p.name, Left: rep.Abandoned, Open: after.InFlight, Wrong: b.Lost + b.Repeated + b.Crossed + b.Requests - b.Completed}
	if sent := after.Streams.Completed - before.Streams.Completed; sent > whole {
		out.Ignored = sent - whole
	}
	return out, nil
}
