package facts

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/llmgw/llmgw/internal/finding"
)

func n(v int, text string) Int { return NewInt(v, text, finding.Position{}) }

func maxConnections(v int) Ceiling {
	return Ceiling{Kind: MaxConnections, N: n(v, "--max-connections")}
}

func percent(p int) Surge { return Surge{Percent: p, IsPercent: true} }
func pods(c int) Surge    { return Surge{Count: c} }

func TestPoolWorkedExamples(t *testing.T) {
	t.Parallel()
	type want struct {
		steady, rollout, demand, available, share int
		verdict                                   Verdict
		limit, instances                          int
	}
	cases := []struct {
		name string
		in   PoolInput
		want want
	}{
		{"seed example on stock Postgres", PoolInput{
			Limit: n(10, "k"), Workers: n(4, "w"), Instances: n(3, "r"), Surge: pods(1), Ceiling: maxConnections(100)},
			want{120, 160, 160, 97, 165, Exceeds, 4, 0}},
		{"one worker per pod", PoolInput{
			Limit: n(10, "k"), Workers: n(1, "w"), Instances: n(6, "r"), Surge: pods(1), Runner: HookRunner, Ceiling: maxConnections(150)},
			want{60, 70, 70, 147, 48, Fits, 16, 10}},
		{"chart defaults on RDS 8 GB", PoolInput{
			Limit: n(10, "k"), Workers: n(1, "w"), Instances: n(100, "r"), Surge: DefaultSurge(), Ceiling: maxConnections(860)},
			want{1000, 1250, 1250, 857, 146, Exceeds, 5, 54}},
		{"tight", PoolInput{
			Limit: n(15, "k"), Workers: n(1, "w"), Instances: n(10, "r"), Surge: pods(1), Runner: JobRunner,
			Ceiling: Ceiling{Kind: MaxConnections, N: n(200, "--max-connections"), Other: n(5, "--other-connections")}},
			want{150, 165, 167, 192, 87, LowHeadroom, 13, 9}},
		{"Azure, workers multiply", PoolInput{
			Limit: n(20, "k"), Workers: n(4, "w"), Instances: n(20, "r"), Surge: percent(25),
			Ceiling: Ceiling{Kind: MaxConnections, N: n(1718, "--max-connections"), Reserved: n(15, "--reserved"), SuperuserReserved: n(0, "--superuser-reserved")}},
			want{1600, 2000, 2000, 1703, 117, Exceeds, 13, 13}},
		{"Azure, one worker and more pods", PoolInput{
			Limit: n(20, "k"), Workers: n(1, "w"), Instances: n(40, "r"), Surge: percent(25),
			Ceiling: Ceiling{Kind: MaxConnections, N: n(1718, "--max-connections"), Reserved: n(15, "--reserved"), SuperuserReserved: n(0, "--superuser-reserved")}},
			want{800, 1000, 1000, 1703, 59, Fits, 27, 54}},
		{"the seed's arithmetic with a database budget", PoolInput{
			Target: LLMGW, Limit: n(9, "k"), Workers: n(4, "w"), Instances: n(10, "r"), Surge: pods(1), Runner: JobRunner,
			Ceiling: Ceiling{Kind: MaxDBConnections, N: n(100, "--max-db-connections")}},
			want{90, 99, 99, 100, 99, Fits, 9, 10}},
		{"the same server by its own setting", PoolInput{
			Target: LLMGW, Limit: n(9, "k"), Instances: n(10, "r"), Surge: pods(1), Runner: JobRunner, Ceiling: maxConnections(100)},
			want{90, 99, 101, 97, 104, Exceeds, 6, 7}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := Pool(c.in)
			got := want{r.Steady, r.Rollout, r.Demand, r.Available, r.Share(), r.Verdict, r.RecLimit, r.RecInstances}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestPoolBehindPgBouncer(t *testing.T) {
	t.Parallel()
	in := PoolInput{
		Limit: n(15, "k"), Workers: n(4, "w"), Instances: n(3, "r"), Surge: NoSurge("no surge", finding.Position{}),
		Ceiling: maxConnections(120),
		Pooler: &Pooler{Instances: n(2, "poolers"), MaxClientConn: n(500, "max_client_conn"), PoolSize: n(30, "default_pool_size"),
			ReservePool: n(5, "reserve_pool_size"), DirectRunner: n(2, "migrations"), BypassingOther: n(10, "--other-connections")},
	}
	r := Pool(in)
	if r.Demand != 180 || r.PoolerClients != 1000 || r.PoolerServer != 82 || r.Available != 117 || r.Verdict != Fits {
		t.Errorf("demand %d, clients %d, server %d, available %d, %s", r.Demand, r.PoolerClients, r.PoolerServer, r.Available, r.Verdict)
	}
	in.Pooler = &Pooler{}
	if r := Pool(in); r.Verdict != Unknown {
		t.Errorf("pooler without sizes: %s, want unknown", r.Verdict)
	}
	in.Pooler = &Pooler{MaxClientConn: n(100, "max_client_conn"), PoolSize: n(20, "default_pool_size")}
	if r := Pool(in); r.Verdict != Exceeds || r.Short != 80 {
		t.Errorf("180 clients on 100: %s, short by %d", r.Verdict, r.Short)
	}
}

func TestPoolTextIsTheContractText(t *testing.T) {
	t.Parallel()
	r := Pool(PoolInput{
		Target: LiteLLM, Limit: n(10, "database_connection_pool_limit"), Workers: n(2, "--num_workers"),
		Instances: n(30, "HPA maxReplicas"), Surge: Surge{Percent: 25, IsPercent: true, Origin: Origin{Text: "maxSurge 25%"}},
		Ceiling: maxConnections(400),
	})
	want := `demand    10 (database_connection_pool_limit) x 2 (--num_workers) x (30 (HPA maxReplicas) + 8 (maxSurge 25%)) = 760
available 400 (max_connections, --max-connections) - 3 (superuser_reserved_connections, Postgres default) - 0 (reserved_connections) - 0 (other clients, not measured) = 397
760 > 397: short by 363. Steady state without a rollout: 600.
fix, any one:
  pool limit    4 is the largest value that fits with 20% headroom: small, prefer one of the next two
  maxReplicas   at most 12 with this limit and these workers
  num_workers   1 worker per pod: demand 380, fits without headroom (DB002); with maxReplicas 24: 300
  pooler        PgBouncer in transaction mode + database_disable_prepared_statements: true`
	if diff := cmp.Diff(want, strings.Join(r.Explain(), "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestPoolLimitSources(t *testing.T) {
	t.Parallel()
	extra, key, url := n(7, "extra"), n(10, "key"), n(25, "url")
	cases := []struct {
		name   string
		target Target
		in     PoolLimitInput
		want   int
	}{
		{"llmgw: nothing written is 10", LLMGW, PoolLimitInput{}, 10},
		{"llmgw: the URL counts when it is alone", LLMGW, PoolLimitInput{URL: url}, 25},
		{"llmgw: the key beats the URL", LLMGW, PoolLimitInput{Key: key, URL: url}, 10},
		{"llmgw: the extra parameter beats both", LLMGW, PoolLimitInput{Extra: extra, Key: key, URL: url}, 7},
		{"litellm: the URL never counts", LiteLLM, PoolLimitInput{URL: url}, 10},
		{"litellm: the extra parameter beats the key", LiteLLM, PoolLimitInput{Extra: extra, Key: key}, 7},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := PoolLimit(c.target, c.in); got.Value != c.want || !got.IsSet() {
				t.Errorf("got %v, want %d", got, c.want)
			}
		})
	}
}

func TestPoolOfLLMGWCountsOneProcess(t *testing.T) {
	t.Parallel()
	in := PoolInput{Target: LLMGW, Limit: n(10, "k"), Workers: n(8, "--num-workers"), Instances: n(3, "r"), Surge: pods(1)}
	if r := Pool(in); r.Demand != 40 || r.Drain != 70 {
		t.Errorf("demand %d, drain %d; want 40, 70", r.Demand, r.Drain)
	}
}

func drawInput(t *rapid.T) PoolInput {
	c := func(max int, label string) Int {
		return n(rapid.OneOf(rapid.IntRange(0, max), rapid.IntRange(0, math.MaxInt)).Draw(t, label), label)
	}
	s := Surge{Count: rapid.IntRange(0, 50).Draw(t, "surge"), Percent: rapid.IntRange(0, 200).Draw(t, "percent"), IsPercent: rapid.Bool().Draw(t, "is percent")}
	return PoolInput{
		Target: LiteLLM, Limit: c(100, "limit"), Workers: c(16, "workers"), Instances: c(200, "instances"), Surge: s,
		Runner:  MigrationRunner(rapid.IntRange(0, 2).Draw(t, "runner")),
		Ceiling: Ceiling{Kind: CeilingKind(rapid.IntRange(1, 2).Draw(t, "kind")), N: c(5000, "ceiling")},
	}
}

func TestPoolGrowsWithEveryFactor(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		base := Pool(in)
		if base.Demand < base.Steady || base.Drain < base.Rollout || base.Demand < 0 {
			t.Fatalf("steady %d, rollout %d, demand %d, drain %d", base.Steady, base.Rollout, base.Demand, base.Drain)
		}
		for _, grow := range []func(*PoolInput){
			func(i *PoolInput) { i.Limit.Value += min(3, math.MaxInt-i.Limit.Value) },
			func(i *PoolInput) { i.Workers.Value += min(3, math.MaxInt-i.Workers.Value) },
			func(i *PoolInput) { i.Instances.Value += min(3, math.MaxInt-i.Instances.Value) },
			func(i *PoolInput) { i.Surge.Count++; i.Surge.Percent++ },
		} {
			more := in
			grow(&more)
			r := Pool(more)
			if r.Demand < base.Demand || r.Drain < base.Drain || r.Verdict < base.Verdict {
				t.Fatalf("more of something: demand %d after %d, verdict %s after %s", r.Demand, base.Demand, r.Verdict, base.Verdict)
			}
		}
	})
}

func TestPoolRecommendationsAreTheLargestThatFit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Limit.Value, in.Workers.Value = in.Limit.Value%200+1, in.Workers.Value%16+1
		in.Instances.Value, in.Ceiling.N.Value = in.Instances.Value%500+1, in.Ceiling.N.Value%5000
		r := Pool(in)
		if r.RecLimit > 0 {
			fit := in
			fit.Limit.Value = r.RecLimit
			if v := Pool(fit).Verdict; v != Fits {
				t.Fatalf("recommended limit %d: %s", r.RecLimit, v)
			}
		}
		if r.RecInstances > 0 && in.Runner == NoRunner {
			fit := in
			fit.Instances.Value = r.RecInstances
			if v := Pool(fit).Verdict; v != Fits {
				t.Fatalf("recommended instances %d: %s", r.RecInstances, v)
			}
			fit.Instances.Value++
			if v := Pool(fit).Verdict; v == Fits {
				t.Fatalf("one more than the recommended %d instances fits too", r.RecInstances)
			}
		}
		if text := strings.Join(r.Explain(), "\n"); strings.Contains(text, "%!") {
			t.Fatalf("broken text: %s", text)
		}
	})
}
