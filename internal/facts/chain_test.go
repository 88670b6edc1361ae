package facts

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/llmgw/llmgw/internal/finding"
)

func s(v float64, text string) Seconds { return NewSeconds(v, text, finding.Position{}) }

func group(name string, timeout float64, fallbacks ...string) ChainGroup {
	g := ChainGroup{Name: name, Fallbacks: fallbacks}
	if timeout > 0 {
		g.Deployments = []ChainDeployment{{Timeout: s(timeout, "timeout")}}
	}
	return g
}

func TestChainWorkedExamples(t *testing.T) {
	t.Parallel()
	seed := ChainInput{Request: s(600, "request_timeout"), PreStop: s(5, "preStop sleep"), Grace: s(620, "terminationGracePeriodSeconds"),
		LBIdle: s(630, "nginx proxy-read-timeout"), Groups: []ChainGroup{group("fake-openai-endpoint", 0)}}
	cases := []struct {
		name     string
		in       ChainInput
		broken   []string
		sum      float64
		attempts int
	}{
		{"seed values hold", seed, nil, 600, 1},
		{"same with the default grace period", with(seed, func(in *ChainInput) { in.Grace = AssumedSeconds(30, "Kubernetes default") }), []string{"I7"}, 600, 1},
		{"balancer and grace below the request", ChainInput{Request: s(300, "request_timeout"), PreStop: s(20, "preStop sleep"), Grace: s(310, "grace"), LBIdle: s(90, "ALB")},
			[]string{"I4", "I5", "I7"}, 0, 0},
		{"retries and fallbacks multiply", ChainInput{Retries: n(4, "num_retries"), Groups: []ChainGroup{group("a", 500, "b", "c"), group("b", 300), group("c", 100)}},
			[]string{"I3"}, 4500, 15},
		{"big falls back to small", ChainInput{Retries: n(1, "num_retries"), Groups: []ChainGroup{group("big", 240, "small"), group("small", 90)}},
			[]string{"I3"}, 660, 4},
		{"a shorter big fits the client", ChainInput{Retries: n(1, "num_retries"), Groups: []ChainGroup{group("big", 210, "small"), group("small", 90)}},
			nil, 600, 4},
		{"drain endpoint", ChainInput{Request: s(300, "request_timeout"), Grace: s(95, "grace"), DrainEndpoint: true, DrainTimeout: s(45, "GRACEFUL_SHUTDOWN_TIMEOUT")},
			[]string{"I7", "I9"}, 0, 0},
		{"ping keeps the stream, not the call", ChainInput{Request: s(300, "request_timeout"), LBIdle: s(60, "ALB default"), Ping: s(15, "sse_keepalive_ping_interval_seconds")},
			[]string{"I4"}, 0, 0},
		{"the stream limit above the attempt", ChainInput{Groups: []ChainGroup{{Name: "a", Deployments: []ChainDeployment{{Timeout: s(60, "timeout"), StreamTimeout: s(90, "stream_timeout")}}}}},
			[]string{"I1"}, 60, 1},
		{"milliseconds by mistake", ChainInput{Groups: []ChainGroup{group("a", 60000)}}, []string{"I2"}, 60000, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := Chain(c.in)
			var ids []string
			for _, b := range r.Broken {
				if !slices.Contains(ids, b.ID) {
					ids = append(ids, b.ID)
				}
			}
			slices.Sort(ids)
			if diff := cmp.Diff(c.broken, ids); diff != "" {
				t.Errorf("broken conditions: %s\n%+v", diff, r.Broken)
			}
			if w, ok := worst(r); ok && (w.Sum != c.sum || w.Attempts != c.attempts) {
				t.Errorf("worst chain %s in %d attempts, want %v in %d", w.SumText(), w.Attempts, c.sum, c.attempts)
			}
		})
	}
}

func with(in ChainInput, change func(*ChainInput)) ChainInput { change(&in); return in }

func TestChainSumsUseExplicitRetriesAndShowTheDefault(t *testing.T) {
	t.Parallel()
	r := Chain(ChainInput{Request: s(600, "request_timeout"), Groups: []ChainGroup{group("a", 0)}})
	if g := r.Groups[0]; g.Sum != 600 || g.DefaultSum != 1800 || g.DefaultAttempts != 3 {
		t.Errorf("%+v", g)
	}
	if r.IsBroken("I3") {
		t.Error("the seed's own values are reported as too long for the client")
	}
}

func TestChainStopsAtMaxFallbacks(t *testing.T) {
	t.Parallel()
	g := ChainGroup{Name: "a", Fallbacks: []string{"b", "c", "d", "e", "f", "g", "h"}}
	if r := Chain(ChainInput{Groups: []ChainGroup{g}}); len(r.Groups[0].Steps) != 6 {
		t.Errorf("%d steps, want the group and 5 fallbacks", len(r.Groups[0].Steps))
	}
	if r := Chain(ChainInput{Groups: []ChainGroup{g}, MaxFallbacks: n(2, "max_fallbacks")}); len(r.Groups[0].Steps) != 3 {
		t.Errorf("%d steps, want 3", len(r.Groups[0].Steps))
	}
}

func TestChainLadder(t *testing.T) {
	t.Parallel()
	r := Chain(ChainInput{
		Request: s(600, "request_timeout"), RouterTimeout: s(500, "router_settings.timeout"), Retries: n(4, "num_retries"),
		Groups:  []ChainGroup{{Name: "a", Fallbacks: []string{"b"}}, group("b", 300)},
		PreStop: s(5, "preStop sleep"), Grace: s(90, "terminationGracePeriodSeconds"),
	})
	want := `client     600 (OpenAI SDK default)
   |
gateway    600 (request_timeout)
   |       preStop 5 (preStop sleep)
   |       grace   90 (terminationGracePeriodSeconds)   <-- I7 600 (request_timeout) + 5 + 10 = 615 > 90 (terminationGracePeriodSeconds): SIGKILL during the drain
   |
   +-- group a: 500 x 5 + 300 x 5 = 4000 s in 10 attempts   <-- I3 500 x 5 + 300 x 5 = 4000 > 600 (OpenAI SDK default): the client has left
   |     +-> upstream a: 500 (router_settings.timeout) x 5
   |     +-> fallback b: 300 (timeout) x 5
   |
   +-- group b: 300 x 5 = 1500 s in 5 attempts   <-- I3 300 x 5 = 1500 > 600 (OpenAI SDK default): the client has left
         +-> upstream b: 300 (timeout) x 5`
	if diff := cmp.Diff(want, strings.Join(r.Ladder(), "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestChainGrowsWithRetriesAndTimeouts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := ChainInput{Retries: n(rapid.IntRange(0, 20).Draw(t, "retries"), "num_retries"), Groups: []ChainGroup{
			group("a", rapid.Float64Range(0, 900).Draw(t, "a"), "b", "missing"), group("b", rapid.Float64Range(0, 900).Draw(t, "b")),
		}}
		base := Chain(in)
		more := in
		more.Retries.Value++
		grown := Chain(more)
		for i := range base.Groups {
			if grown.Groups[i].Sum < base.Groups[i].Sum || grown.Groups[i].Attempts <= base.Groups[i].Attempts {
				t.Fatalf("one more retry: %s after %s", grown.Groups[i].SumText(), base.Groups[i].SumText())
			}
		}
	})
}

func TestGraceOfTheSeedPage(t *testing.T) {
	t.Parallel()
	g := Grace(s(600, "request_timeout"), s(5, "preStop"), Int{}, false)
	if g.Recommended != 620 || g.Comfortable != 615 || g.Need != 605 {
		t.Errorf("%+v", g)
	}
	if want := "5 (preStop) + 600 (request_timeout) + 15 (margin) = 620"; g.Explanation != want {
		t.Errorf("%s, want %s", g.Explanation, want)
	}
	if g := Grace(s(600, "request_timeout"), s(0, "drain"), Int{}, true); g.Recommended != 1215 {
		t.Errorf("with the drain endpoint: %+v", g)
	}
	if g := Grace(s(0.2, "request_timeout"), s(5, "preStop"), Int{}, false); g.Need != 6 {
		t.Errorf("part of a second is a second: %+v", g)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		in   SizeInput
		want SizeResult
	}{
		{"one LiteLLM worker", SizeInput{Target: LiteLLM}, SizeResult{CPUMilli: 1000, Memory: 4 << 30}},
		{"four LiteLLM workers", SizeInput{Target: LiteLLM, Workers: 4}, SizeResult{CPUMilli: 4000, Memory: 16 << 30}},
		{"llmgw", SizeInput{Target: LLMGW, Workers: 1}, SizeResult{CPUMilli: 1000, Memory: 1 << 30, GoMemLimit: 966367641, GoMaxProcs: 1}},
		{"llmgw with four workers scales the CPU only", SizeInput{Target: LLMGW, Workers: 4}, SizeResult{CPUMilli: 4000, Memory: 1 << 30, GoMemLimit: 966367641}},
		{"half a CPU still needs GOMAXPROCS", SizeInput{Target: LLMGW, CPUMilliPerWorker: 500}, SizeResult{CPUMilli: 500, Memory: 1 << 30, GoMemLimit: 966367641, GoMaxProcs: 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := Size(c.in); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSizeNeverOverflows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := SizeInput{Target: rapid.SampledFrom([]Target{LiteLLM, LLMGW}).Draw(t, "target"), Workers: rapid.Int().Draw(t, "workers"),
			CPUMilliPerWorker: rapid.Int64().Draw(t, "cpu"), MemoryPerWorker: rapid.Int64().Draw(t, "memory")}
		r := Size(in)
		if r.CPUMilli <= 0 || r.Memory <= 0 || r.GoMemLimit < 0 || r.GoMemLimit > r.Memory {
			t.Fatalf("%+v", r)
		}
	})
}

// worst is the group with the largest sum; false when there is no group.
func worst(r ChainResult) (GroupChain, bool) {
	if len(r.Groups) == 0 {
		return GroupChain{}, false
	}
	w := r.Groups[0]
	for _, g := range r.Groups[1:] {
		if g.Sum > w.Sum {
			w = g
		}
	}
	return w, true
}
