package route

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// chiSquare is the 99.9 % quantile of the distribution by degrees of freedom.
var chiSquare = map[int]float64{1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 9: 27.88}

// TestTheShuffleIsFair compares picks from a fixed seed with the weights, for
// whole groups and for groups that have lost a deployment.
func TestTheShuffleIsFair(t *testing.T) {
	for _, tt := range []struct {
		name    string
		weights []float64
		out     int // a deployment that cools down, -1 for none
	}{
		{"ten alike", make([]float64, 10), -1},
		{"by weight", []float64{1, 2, 3, 4, 10}, -1},
		{"small weights", []float64{0.001, 0.002}, -1},
		{"without the heaviest", []float64{1, 2, 3, 4, 10}, 4},
		{"without the only weight the rest are alike", []float64{0, 0, 0, 5}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var list []*call.Deployment
			for i, w := range tt.weights {
				list = append(list, d(fmt.Sprint(i), "g", weight(w)))
			}
			var k clock
			r := mustNew(t, list, k.options(Options{Strategy: SimpleShuffle{random: rand.New(rand.NewPCG(7, 11))}}))
			expected, total := slices.Clone(tt.weights), 0.0
			if tt.out >= 0 {
				r.Cool(fmt.Sprint(tt.out), time.Hour)
				expected[tt.out] = 0
			}
			if slices.Max(expected) == 0 {
				for i := range expected {
					if i != tt.out {
						expected[i] = 1
					}
				}
			}
			for _, e := range expected {
				total += e
			}
			s := &script{}
			const n = 50_000
			for range n {
				if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, s); err != nil {
					t.Fatal(err)
				}
			}
			got := map[string]float64{}
			for _, id := range s.log {
				got[id]++
			}
			x, freedom := 0.0, -1
			for i, e := range expected {
				want := e / total * n
				if want == 0 {
					if got[fmt.Sprint(i)] != 0 {
						t.Errorf("%d was picked %v times", i, got[fmt.Sprint(i)])
					}
					continue
				}
				freedom++
				x += math.Pow(got[fmt.Sprint(i)]-want, 2) / want
			}
			t.Logf("chi-square %.2f with %d degrees of freedom", x, freedom)
			if x > chiSquare[freedom] {
				t.Errorf("chi-square %.2f, beyond %.2f: %v", x, chiSquare[freedom], got)
			}
		})
	}
}

// each runs calls and counts the deployments.
func each(t *testing.T, r *Router, n int, plan call.Plan, a call.Attempter) map[string]int {
	t.Helper()
	count := map[string]int{}
	if plan.Model == "" {
		plan.Model = "g"
	}
	for range n {
		var c call.Call
		_ = r.Run(t.Context(), &c, &plan, attempter(func(ctx context.Context, d *call.Deployment, l call.Limits) *call.Error {
			count[d.ID]++
			if a == nil {
				return nil
			}
			return a.Attempt(ctx, d, l)
		}))
	}
	return count
}

type attempter func(context.Context, *call.Deployment, call.Limits) *call.Error

func (f attempter) Attempt(ctx context.Context, d *call.Deployment, l call.Limits) *call.Error {
	return f(ctx, d, l)
}

func TestLeastBusyPicksTheIdleDeployment(t *testing.T) {
	r := mustNew(t, []*call.Deployment{d("a", "g"), d("b", "g"), d("c", "g")}, Options{Strategy: LeastBusy{}})
	var nested []string
	var attempt attempter
	attempt = func(ctx context.Context, dep *call.Deployment, _ call.Limits) *call.Error {
		nested = append(nested, dep.ID)
		if len(nested) < 3 { // each call begins while the others run
			return r.Run(ctx, &call.Call{}, &call.Plan{Model: "g"}, attempt)
		}
		return nil
	}
	if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, attempt); err != nil {
		t.Fatal(err)
	}
	slices.Sort(nested)
	if !slices.Equal(nested, []string{"a", "b", "c"}) {
		t.Errorf("three calls at once went to %v", nested)
	}
	for _, n := range r.current.Load().nodes {
		if n.state.running.Load() != 0 {
			t.Errorf("%s has %d attempts in flight after the last", n.ID, n.state.running.Load())
		}
	}
}

func TestLatencyBasedPrefersTheFastAndTriesTheUnknown(t *testing.T) {
	var k clock
	r := mustNew(t, []*call.Deployment{d("slow", "g"), d("fast", "g"), d("new", "g")}, k.options(Options{Strategy: LatencyBased{Buffer: 0.1}}))
	took := map[string]time.Duration{"slow": 2 * time.Second, "fast": time.Second, "new": 1050 * time.Millisecond}
	answer := attempter(func(_ context.Context, dep *call.Deployment, _ call.Limits) *call.Error {
		k.t = k.t.Add(took[dep.ID])
		return nil
	})
	if first := each(t, r, 3, call.Plan{}, answer); first["slow"] != 1 || first["fast"] != 1 || first["new"] != 1 {
		t.Fatalf("the first calls went to %v, want each once", first)
	}
	if rest := each(t, r, 200, call.Plan{}, answer); rest["slow"] != 0 || rest["fast"] == 0 || rest["new"] == 0 {
		t.Errorf("with a buffer of 10 %% calls went to %v, want the fast two", rest)
	}
	// A timeout is slower than anything.
	timeout := &script{answers: map[string][]*call.Error{"fast": {failure(call.ClassTimeout), nil}, "new": {failure(call.ClassTimeout), nil}}}
	each(t, r, 4, call.Plan{NumRetries: ptr(0)}, timeout)
	k.t = k.t.Add(6 * time.Second)
	if rest := each(t, r, 50, call.Plan{}, answer); rest["slow"] != 50 {
		t.Errorf("after timeouts calls went to %v, want slow", rest)
	}
	// What is old is forgotten.
	k.t = k.t.Add(2 * time.Hour)
	if rest := each(t, r, 3, call.Plan{}, answer); len(rest) != 3 {
		t.Errorf("two hours later calls went to %v, want all", rest)
	}
}

func TestLimitsOfAMinute(t *testing.T) {
	limit := func(rpm, tpm float64) func(*call.Deployment) {
		return func(d *call.Deployment) { d.RPM, d.TPM = rpm, tpm }
	}
	answer := func(c *call.Call) call.Attempter {
		return attempter(func(context.Context, *call.Deployment, call.Limits) *call.Error {
			c.Usage = call.Usage{TotalTokens: 10, CompletionTokens: 5, Known: true}
			return nil
		})
	}
	run := func(r *Router, n int) (served map[string]int, last *call.Error) {
		served = map[string]int{}
		for range n {
			var c call.Call
			if err := r.Run(t.Context(), &c, &call.Plan{Model: "g", InputTokens: func() int64 { return 1 }}, answer(&c)); err != nil {
				last = err
				continue
			}
			served[c.Deployment.ID]++
		}
		return served, last
	}
	for _, tt := range []struct {
		name     string
		strategy Strategy
		o        Options
		list     []*call.Deployment
		calls    int
		want     map[string]int
		refused  bool
	}{
		{"v2 stops one below the rpm", UsageV2{}, Options{}, []*call.Deployment{d("a", "g", limit(10, 0))}, 20, map[string]int{"a": 9}, true},
		{"v2 balances tokens", UsageV2{}, Options{}, []*call.Deployment{d("a", "g", limit(1000, 0)), d("b", "g", limit(1000, 0))}, 100, map[string]int{"a": 50, "b": 50}, false},
		{"v2 stops at the tpm", UsageV2{}, Options{}, []*call.Deployment{d("a", "g", limit(0, 100))}, 30, map[string]int{"a": 10}, true},
		{"v1 has the same rule", Usage{}, Options{}, []*call.Deployment{d("a", "g", limit(10, 0))}, 20, map[string]int{"a": 9}, true},
		{"latency stops at the rpm", LatencyBased{}, Options{}, []*call.Deployment{d("a", "g", limit(10, 0))}, 20, map[string]int{"a": 10}, true},
		{"cost takes the cheapest, then the next", CostBased{}, Options{}, []*call.Deployment{
			d("dear", "g", func(d *call.Deployment) { d.TokenPrice = 3 }),
			d("cheap", "g", limit(10, 0), func(d *call.Deployment) { d.TokenPrice = 1 }),
			d("unknown", "g"),
		}, 20, map[string]int{"cheap": 10, "dear": 10}, false},
		{"pre-call checks keep to the rpm", nil, Options{PreCallChecks: true}, []*call.Deployment{d("a", "g", limit(5, 0)), d("b", "g", limit(7, 0))}, 20, map[string]int{"a": 5, "b": 7}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var k clock
			tt.o.Strategy, tt.o.NumRetries = tt.strategy, ptr(0)
			r := mustNew(t, tt.list, k.options(tt.o))
			got, err := run(r, tt.calls)
			for id, want := range tt.want {
				if got[id] != want {
					t.Errorf("%s served %d, want %d", id, got[id], want)
				}
			}
			if (err != nil) != tt.refused {
				t.Fatalf("refused: %v, want %v", err, tt.refused)
			}
			if err != nil && (err.StatusCode() != 429 || err.Header.Get("Retry-After") != "60" || !strings.HasPrefix(err.Message, "No deployments available for selected model")) {
				t.Errorf("refused with %d %v %q", err.StatusCode(), err.Header, err.Message)
			}
			if tt.refused {
				k.t = k.t.Add(time.Minute)
				if again, _ := run(r, 1); len(again) != 1 {
					t.Errorf("the next minute serves nothing")
				}
			}
		})
	}
}

func TestOtherInstancesCount(t *testing.T) {
	var k clock
	r := mustNew(t, []*call.Deployment{d("a", "g", func(d *call.Deployment) { d.RPM = 10 }), d("b", "g", func(d *call.Deployment) { d.RPM = 10 })},
		k.options(Options{Strategy: UsageV2{}}))
	r.Others("a", call.DeploymentUsage{Minute: utcMinute(k.t), Requests: 9, Tokens: 5})
	if got := each(t, r, 5, call.Plan{}, nil); got["a"] != 0 || got["b"] != 5 {
		t.Errorf("calls went to %v, want b alone", got)
	}
	seen := map[string]call.DeploymentUsage{}
	r.Usage(func(d *call.Deployment, u call.DeploymentUsage) { seen[d.ID] = u })
	if len(seen) != 1 || seen["b"].Requests != 5 {
		t.Errorf("own use %v, want 5 requests of b and nothing of others", seen)
	}
}

func TestSlotsOfADeployment(t *testing.T) {
	slots := func(n int) func(*call.Deployment) { return func(d *call.Deployment) { d.MaxParallel = n } }
	r := mustNew(t, []*call.Deployment{d("a", "g", slots(2)), d("b", "g", slots(1)), d("c", "h")},
		Options{NumRetries: ptr(0), Fallbacks: []Fallback{{"g2", []string{"h"}}}})
	var running, most [3]atomic.Int64
	var refused atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, attempter(func(_ context.Context, dep *call.Deployment, _ call.Limits) *call.Error {
					i := dep.ID[0] - 'a'
					now := running[i].Add(1)
					raise(&most[i], now)
					time.Sleep(100 * time.Microsecond)
					running[i].Add(-1)
					return nil
				}))
				if err == nil {
					continue
				}
				refused.Add(1)
				if err.StatusCode() != 429 || !strings.Contains(err.Message, "Deployment has all max_parallel_requests slots in use.") {
					t.Errorf("refused with %d %q", err.StatusCode(), err.Message)
				}
			}
		})
	}
	wg.Wait()
	if most[0].Load() != 2 || most[1].Load() != 1 || refused.Load() == 0 {
		t.Errorf("at most %d and %d attempts at once, want 2 and 1; %d refused", most[0].Load(), most[1].Load(), refused.Load())
	}
	for _, n := range r.current.Load().nodes {
		if n.state.running.Load() != 0 {
			t.Errorf("%s keeps %d slots", n.ID, n.state.running.Load())
		}
	}
}

func TestTagsRoute(t *testing.T) {
	tags := func(list ...string) func(*call.Deployment) { return func(d *call.Deployment) { d.Tags = list } }
	list := []*call.Deployment{d("free", "g", tags("free")), d("paid", "g", tags("paid", "eu")), d("def", "g", tags("default")), d("none", "g")}
	untagged := []*call.Deployment{d("x", "g"), d("y", "g")}
	asked := func(pattern string, list ...string) func(*call.Deployment) {
		return func(d *call.Deployment) { d.Tags, d.TagPatterns = list, []*regexp.Regexp{regexp.MustCompile(pattern)} }
	}
	const coder = "^User-Agent: coder/"
	programs := []*call.Deployment{d("code", "g", asked(coder)), d("def", "g", tags("default")), d("none", "g"), d("both", "g", asked("strict", "s"))}
	only := []*call.Deployment{d("code", "g", asked(coder))}
	for _, tt := range []struct {
		name string
		list []*call.Deployment
		tags []string
		all  bool
		want string // ids, or the error
		ua   string
	}{
		{"a pattern leads the program to its deployment", programs, nil, false, "code", "coder/1.2"},
		{"a pattern matches anywhere", programs, nil, false, "both", "x-strict"},
		{"another program goes to the default", programs, nil, false, "def", "curl"},
		{"a program without a name goes to the default", programs, nil, false, "def", ""},
		{"a tag and a pattern each lead somewhere", programs, []string{"s"}, false, "both code", "coder/1.2"},
		{"an unknown tag does not keep the pattern away", programs, []string{"else"}, false, "code", "coder/1.2"},
		{"a pattern is no way around tags that must all be there", programs, []string{"else"}, true, "def", "x-strict"},
		{"a pattern where all tags must be there", programs, []string{"else"}, true, "code", "coder/1.2"},
		{"another program and no default is an error", only, nil, false, "!", "curl"},
		{"the program alone", only, nil, false, "code", "coder/1.2"},
		{"a requirement counts before the pattern", only, []string{"&q"}, false, "!", "coder/1.2"},
		{"an exclusion beside a pattern", programs, []string{"!s"}, false, "code", "coder/1.2"},
		{"no program is known to a group without default", only, nil, false, "code", ""},
		{"a tag leads to its deployment", list, []string{"free"}, false, "free", ""},
		{"any of several", list, []string{"free", "paid"}, false, "free paid", ""},
		{"all of several", list, []string{"paid", "eu"}, true, "paid", ""},
		{"all of several that nobody has together", list, []string{"paid", "free"}, true, "!", ""},
		{"no tag leads to the default", list, nil, false, "def", ""},
		{"an unknown tag leads to the default", list, []string{"else"}, false, "def", ""},
		{"no tag and no default leads anywhere", untagged, nil, false, "x y", ""},
		{"an unknown tag and no default is an error", untagged, []string{"else"}, false, "!", ""},
		{"an exclusion leaves the default", list, []string{"!free"}, false, "def", ""},
		{"a requirement", list, []string{"&eu"}, false, "paid", ""},
		{"a requirement and an exclusion that contradict", list, []string{"&eu", "!paid"}, false, "!", ""},
		{"an exclusion beside a tag", list, []string{"paid", "!eu"}, false, "!", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := mustNew(t, tt.list, Options{TagFiltering: true, MatchAllTags: tt.all})
			var last *call.Error
			got := map[string]bool{}
			for range 60 {
				s := &script{}
				if last = r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g", Tags: tt.tags, UserAgent: tt.ua}, s); last == nil {
					got[s.log[0]] = true
				}
			}
			if tt.want == "!" {
				if last == nil || last.StatusCode() != 401 || !strings.HasPrefix(last.Message, "Not allowed to access model due to tags configuration") {
					t.Errorf("went to %v, %v", got, last)
				}
				return
			}
			var ids []string
			for id := range got {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			if strings.Join(ids, " ") != tt.want {
				t.Errorf("went to %v (%v), want %s", ids, last, tt.want)
			}
		})
	}
}

func TestTagsRouteInOneGroup(t *testing.T) {
	on := func(yes bool, list ...string) func(*call.Deployment) {
		return func(d *call.Deployment) {
			if d.Tags = list; yes {
				d.TagFiltering = &yes
			}
		}
	}
	off := func(list ...string) func(*call.Deployment) {
		return func(d *call.Deployment) { d.Tags, d.TagFiltering = list, new(bool) }
	}
	list := []*call.Deployment{
		d("a", "g", on(true, "a")), d("b", "g", on(false, "b", "default")),
		d("c", "h", on(false, "a")), d("d", "h", on(false, "b")),
		d("e", "w-*", on(true, "a")),
		d("f", "off", off("a")), d("x", "off", on(false, "b")),
	}
	for _, tt := range []struct {
		name, model string
		all         bool
		tags        []string
		want        string
	}{
		{"where an entry says so", "g", false, []string{"a"}, "a"},
		{"a tag with the prefix", "g", false, []string{"route-a"}, "a"},
		{"no tag", "g", false, nil, "b"},
		{"an unknown tag", "g", false, []string{"zz"}, "b"},
		{"an unknown tag that is meant for routing", "g", false, []string{"route-zz"}, "!"},
		{"a requirement with the prefix", "g", false, []string{"route-&b"}, "b"},
		{"an exclusion with the prefix", "g", false, []string{"route-!b", "zz"}, "!"},
		{"not in another group", "h", false, []string{"a"}, "c d"},
		{"in a group of names", "w-x", false, []string{"b"}, "!"},
		{"in a group of names, with its tag", "w-x", false, []string{"a"}, "e"},
		{"everywhere", "h", true, []string{"a"}, "c"},
		{"everywhere but where an entry says otherwise", "off", true, []string{"a"}, "f x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := mustNew(t, list, Options{TagFiltering: tt.all, TagPrefix: "route-"})
			got := map[string]bool{}
			for range 60 {
				s := &script{}
				if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: tt.model, Tags: tt.tags}, s); err != nil {
					got["!"] = true
					continue
				}
				got[s.log[0]] = true
			}
			var ids []string
			for id := range got {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			if strings.Join(ids, " ") != tt.want {
				t.Errorf("went to %v, want %s", ids, tt.want)
			}
		})
	}
}

func TestPreCallChecksLeaveOutSmallContexts(t *testing.T) {
	size := func(n int64) func(*call.Deployment) { return func(d *call.Deployment) { d.MaxInput = n } }
	list := []*call.Deployment{d("small", "g", size(100)), d("large", "g", size(10_000)), d("huge", "h", size(1_000_000))}
	o := Options{PreCallChecks: true, ContextWindowFallbacks: []Fallback{{"g", []string{"h"}}}}
	for tokens, want := range map[int64]string{50: "small large", 5000: "large", 50_000: "huge"} {
		r := mustNew(t, list, o)
		got := each(t, r, 50, call.Plan{InputTokens: func() int64 { return tokens }}, nil)
		for _, id := range strings.Fields(want) {
			if got[id] == 0 {
				t.Errorf("%d tokens went to %v, want %s", tokens, got, want)
			}
			delete(got, id)
		}
		if len(got) > 0 {
			t.Errorf("%d tokens went to %v too", tokens, got)
		}
	}
	o.ContextWindowFallbacks = nil
	err := mustNew(t, list, o).Run(t.Context(), &call.Call{}, &call.Plan{Model: "g", InputTokens: func() int64 { return 50_000 }}, noop{})
	if err == nil || err.Class != call.ClassContextWindowExceeded || err.StatusCode() != 400 || !strings.Contains(err.Message, "Max Input Tokens=10000, Got=50000") {
		t.Errorf("%v", err)
	}
}

func TestHealthChecksLeaveOut(t *testing.T) {
	var k clock
	list := []*call.Deployment{d("a", "g"), d("b", "g")}
	r := mustNew(t, list, k.options(Options{HealthRouting: true, AllowedFailsPolicy: AllowedFailsPolicy{}}))
	r.Unhealthy("a", 10*time.Minute)
	if got := each(t, r, 30, call.Plan{}, nil); got["a"] != 0 {
		t.Errorf("an unhealthy deployment served %d", got["a"])
	}
	r.Unhealthy("b", 10*time.Minute)
	if got := each(t, r, 60, call.Plan{}, nil); got["a"] == 0 || got["b"] == 0 {
		t.Errorf("with all of them unhealthy calls went to %v, want both", got)
	}
	r.Unhealthy("b", 0)
	r.Cool("b", time.Minute)
	if got := each(t, r, 30, call.Plan{}, nil); got["b"] != 30 {
		t.Errorf("a cooldown of the only healthy deployment must give way to its check: %v", got)
	}
	k.t = k.t.Add(11 * time.Minute)
	if got := each(t, r, 60, call.Plan{}, nil); got["a"] == 0 {
		t.Error("a stale check must not count")
	}
	ignored := mustNew(t, list, Options{})
	ignored.Unhealthy("a", time.Hour)
	if got := each(t, ignored, 60, call.Plan{}, nil); got["a"] == 0 {
		t.Error("checks must not count where they are not asked for")
	}
}

func TestPausedDeploymentsServeNothing(t *testing.T) {
	pause := func(d *call.Deployment) { d.Paused = true }
	if got := each(t, mustNew(t, []*call.Deployment{d("a", "g", pause), d("b", "g")}, Options{}), 30, call.Plan{}, nil); got["a"] != 0 || got["b"] != 30 {
		t.Errorf("calls went to %v", got)
	}
	err := mustNew(t, []*call.Deployment{d("a", "g", pause)}, Options{}).Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, noop{})
	if err == nil || err.StatusCode() != 429 || err.Type != "rate_limit_error" || strings.Contains(err.Message, "are in cooldown") {
		t.Errorf("%+v", err)
	}
}

// BenchmarkRun shows that a call costs the same with ten models as with ten
// thousand.
func BenchmarkRun(b *testing.B) {
	for _, models := range []int{10, 10_000} {
		var plain, wild []*call.Deployment
		for i := range models {
			for j := range 2 {
				plain = append(plain, d(fmt.Sprint(i, "-", j), fmt.Sprint("model-", i)))
				wild = append(wild, d(fmt.Sprint(i, "-", j), fmt.Sprint("p", i, "/*")))
			}
		}
		for _, bb := range []struct {
			name, model string
			list        []*call.Deployment
			o           Options
		}{
			{"exact", "model-7", plain, Options{}},
			{"wildcard", "p7/some-model", wild, Options{}},
			{"unknown name", "q7/some-model", wild, Options{}},
			{"usage v2", "model-7", plain, Options{Strategy: UsageV2{}}},
		} {
			r, err := New(bb.list, bb.o)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/%d", bb.name, models), func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					var c call.Call
					plan := call.Plan{Model: bb.model}
					for pb.Next() {
						_ = r.Run(context.Background(), &c, &plan, noop{})
					}
				})
			})
		}
	}
}

func TestADeploymentOfATeamServesThatTeamAlone(t *testing.T) {
	team := func(name string) func(*call.Deployment) {
		return func(d *call.Deployment) { d.TeamID, d.TeamName = "t1", name }
	}
	list := []*call.Deployment{d("all", "gpt"), d("own", "internal-name", team("gpt")), d("same", "mine", team(""))}
	o := Options{NumRetries: ptr(0), Fallbacks: []Fallback{{"gpt", []string{"mine"}}}}
	r := mustNew(t, list, o)
	for _, tt := range []struct{ team, model, want string }{
		{"", "gpt", "all"}, {"t2", "gpt", "all"}, {"t1", "gpt", "own"}, {"t1", "mine", "same"},
		{"", "mine", ""}, {"t2", "mine", ""}, {"", "own", ""}, {"", "m-own", ""}, {"", "internal-name", ""}, {"t2", "internal-name", ""},
	} {
		s := &script{}
		err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: tt.model, TeamID: tt.team}, s)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("%q of team %q went to %v", tt.model, tt.team, s.log)
		case tt.want != "" && (err != nil || s.log[0] != tt.want):
			t.Errorf("%q of team %q went to %v, %v; want %s", tt.model, tt.team, s.log, err, tt.want)
		}
	}
	s := &script{answers: map[string][]*call.Error{"all": {failure(call.ClassInternalServer)}}}
	if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "gpt"}, s); err == nil || slices.Contains(s.log, "same") {
		t.Errorf("a fallback led a stranger to a team's deployment: %v", s.log)
	}
	if slices.Contains(r.Models(), "mine") || !r.Has("mine") {
		t.Errorf("models %v, has mine: %v", r.Models(), r.Has("mine"))
	}
	if !r.OwnedBy("t1", "gpt") || r.OwnedBy("t1", "else") || r.OwnedBy("t2", "gpt") || r.OwnedBy("", "gpt") {
		t.Error("who owns what")
	}
	r.Cool("own", time.Hour)
	if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "gpt", TeamID: "t1", DisableFallbacks: true}, &script{}); err == nil || err.StatusCode() != 429 {
		t.Errorf("a cooldown of a team's deployment: %v", err)
	}
}
