package facts

import (
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/finding"
)

func given(n int, text string) Int { return NewInt(n, text, finding.Position{}) }

// Whatever is asked for, the numbers of a plan fit each other, or the plan
// says that they do not.
func TestEveryPlanFitsItsDatabase(t *testing.T) {
	for _, target := range []Target{LiteLLM, LLMGW} {
		for _, rps := range []int{0, 1, 49, 50, 500, 5000, 100000} {
			for _, ceiling := range []int{1, 10, 100, 400, 860, 5000} {
				for _, workers := range []int{1, 4} {
					for _, runner := range []MigrationRunner{NoRunner, HookRunner} {
						p := Plan(PlanInput{Target: target, RPS: given(rps, "--expected-rps"), Workers: given(workers, "w"), Runner: runner,
							Ceiling: Ceiling{Kind: MaxConnections, N: given(ceiling, "--max-connections")}})
						if carry := p.Replicas * p.In.Workers.Value * p.In.RPSPerWorker.Value * PlanUtilization / 100; carry < rps {
							t.Errorf("%s %d rps: %d replicas carry %d", target, rps, p.Replicas, carry)
						}
						if p.MaxReplicas < p.Replicas || p.Limit < PlanLeastPool || p.Limit > PlanMostPool {
							t.Errorf("%s %d rps, %d connections: replicas %d to %d, limit %d", target, rps, ceiling, p.Replicas, p.MaxReplicas, p.Limit)
						}
						if fits := p.Pool.Verdict == Fits; fits == p.NeedsPooler && p.Pool.Verdict != LowHeadroom {
							t.Errorf("%s %d rps, %d connections: %s, pooler %v", target, rps, ceiling, p.Pool.ComparisonLine(), p.NeedsPooler)
						}
					}
				}
			}
		}
	}
}

func TestAPlanShowsEveryNumberWithItsOrigin(t *testing.T) {
	p := Plan(PlanInput{Target: LiteLLM, RPS: given(500, "--expected-rps"), Latency: NewSeconds(3, "--latency", finding.Position{}),
		RPSPerWorker: given(80, "--rps-per-worker"), Ceiling: Ceiling{Kind: MaxConnections, N: given(400, "--max-connections")}})
	text := strings.Join(p.Explanations, "\n")
	for _, want := range []string{
		"1500 = 500 (--expected-rps) requests per second x 3 (--latency)",
		"9 = 500 (--expected-rps) / (80 (--rps-per-worker) per worker x 1 (default) workers x 70%)",
		"memory       4Gi", "5 (preStop) + 600 (default) + 15 (margin) = 620",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	config, pods := p.Lines()
	for _, want := range []string{"database_connection_pool_limit: 13", "use_redis_transaction_buffer: true", "request_timeout: 600"} {
		if !strings.Contains(strings.Join(config, "\n"), want) {
			t.Errorf("%q is not in %q", want, config)
		}
	}
	if all := strings.Join(pods, "\n"); !strings.Contains(all, "replicas: 9") || !strings.Contains(all, "terminationGracePeriodSeconds: 620") {
		t.Errorf("pods: %s", all)
	}
}
