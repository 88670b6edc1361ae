package rule

import (
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
)

func init() {
	register(
		&Rule{
			ID: "RDS007", Name: "redis-eviction", Severity: "error/warning", Priority: 2, Fix: Manual,
			Title:  "Redis throws live data away",
			When:   "a Redis container runs with --maxmemory-policy allkeys-...: error with use_redis_transaction_buffer, warning otherwise.",
			Why:    "counters and queued spend are live data; evicting them loses accounting.",
			Remedy: "size it for noeviction, or use volatile-ttl where the response cache shares the instance.",
			Source: []string{"LiteLLM database sizing guide"},
			Bad:    k8s("", redisDeployment("redis:7.4-alpine\n          args: [\"--maxmemory-policy\", \"allkeys-lru\"]")),
			Good:   k8s("", redisDeployment("redis:7.4-alpine\n          args: [\"--maxmemory-policy\", \"noeviction\"]")),
			Check: func(u *Unit) []Hit {
				sev := sevWarn
				if u.On(general + "use_redis_transaction_buffer") {
					sev = sevError
				}
				var out []Hit
				for _, w := range u.redisWords() {
					if w.after == "--maxmemory-policy" && strings.HasPrefix(w.Text, "allkeys-") || strings.Contains(w.Text, "--maxmemory-policy allkeys-") {
						out = append(out, hitf(w.Pos, "args", sev, "Redis evicts whatever it likes: %s", w.Text))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RDS008", Name: "redis-no-persistence", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "queued spend dies with Redis",
			When:   "use_redis_transaction_buffer is true and the Redis container among the inputs is not started with --appendonly yes.",
			Why:    "a restart of Redis loses spend that was already acknowledged.",
			Remedy: "start Redis with --appendonly yes.",
			Source: []string{"LiteLLM database sizing guide"},
			Bad:    k8s("", redisDeployment("redis:7.4-alpine\n          args: [\"--save\", \"\"]")).and("      disable_error_logs: true\n", "      disable_error_logs: true\n      use_redis_transaction_buffer: true\n"),
			Good:   k8s("", redisDeployment("redis:7.4-alpine\n          args: [\"--appendonly\", \"yes\"]")).and("      disable_error_logs: true\n", "      disable_error_logs: true\n      use_redis_transaction_buffer: true\n"),
			Check: func(u *Unit) []Hit {
				if !u.On(general + "use_redis_transaction_buffer") {
					return nil
				}
				var out []Hit
				for _, c := range u.Model.index().redis {
					line := ""
					for _, a := range c.Words() {
						line += a.Text + " "
					}
					if !strings.Contains(line, "--appendonly yes") {
						out = append(out, hitf(orPos(c.ArgsPos, c.Name.Pos), "args", sevWarn, "Redis is not started with --appendonly yes: a restart loses queued spend"))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RDS016", Name: "cache-without-ttl", Severity: "info", Priority: 2, Fix: Manual,
			Title:  "cached answers never expire by themselves",
			When:   "the Redis cache is on and cache_params has no ttl.",
			Why:    "answers stay until Redis is full.",
			Remedy: "set cache_params.ttl.",
			Source: []string{"LiteLLM caching guide"},
			Bad:    Example{Config: oneModel + "litellm_settings: {cache: true, cache_params: {type: redis, host: os.environ/REDIS_HOST, port: os.environ/REDIS_PORT}}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {cache: true, cache_params: {type: redis, host: os.environ/REDIS_HOST, port: os.environ/REDIS_PORT, ttl: 600}}\n"},
			Check: func(u *Unit) []Hit {
				p := u.Node(cachePar)
				return when(u.redisCache() && p.Get("ttl").IsNull() && p.Get("default_in_redis_ttl").IsNull(), u.At(settings+"cache"), settings+"cache", sevInfo, "cached answers have no ttl")
			},
		},
	)
}

type redisWord struct {
	Text, after string
	Pos         finding.Position
}

// redisWords are the arguments of the Redis containers among the inputs, each
// with the word before it.
func (u *Unit) redisWords() []redisWord {
	var out []redisWord
	for _, c := range u.Model.index().redis {
		before := ""
		for _, a := range c.Words() {
			out = append(out, redisWord{a.Text, before, a.Pos})
			before = a.Text
		}
	}
	return out
}
