package rule

import (
	"fmt"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

func init() {
	register(
		&Rule{
			ID: "DB001", Name: "pool-exceeds-max", Severity: "error", Priority: 1, Fix: Unsafe,
			Title:  "the deployment can open more Postgres connections than the server accepts",
			When:   "pool limit x workers x (instances + surge), and what migrations need, is above what the database has left, and no pooler is in between.",
			Why:    "\"too many clients already\" hits authentication first, long before any CPU limit.",
			Remedy: "lower the pool limit or the number of replicas, run one worker per pod, or put a pooler in between.",
			Source: []string{"LiteLLM production guide, section 1", "LiteLLM database sizing guide", "LiteLLM issues 14325, 18708 and 18780"},
			Bad:    k8s("maxReplicas: 6", "maxReplicas: 30").flags(Flags{MaxConnections: facts.NewInt(200, "--max-connections", finding.Position{})}),
			Good:   k8sGood("maxReplicas: 6").flags(Flags{MaxConnections: facts.NewInt(200, "--max-connections", finding.Position{})}),
			Also:   map[string]string{"DB013": "so many replicas write spend that the buffer is worth having"},
			Check: func(u *Unit) []Hit {
				return u.pool(facts.Exceeds, sevError, "the deployment can open more Postgres connections than the server accepts")
			},
		},
		&Rule{
			ID: "DB002", Name: "pool-headroom-low", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "the connection pools leave less than a fifth of the server free",
			When:   "demand is within what is available, but above 80% of it.",
			Why:    "an open psql, an exporter, a second release or a failover needs slots too.",
			Remedy: "lower the pool limit or the number of replicas.",
			Source: []string{"prisma/orm issue 7120", "LiteLLM database sizing guide"},
			Bad:    k8s("maxReplicas: 6", "maxReplicas: 8").flags(Flags{MaxConnections: facts.NewInt(100, "--max-connections", finding.Position{})}),
			Good:   k8sGood("maxReplicas: 6").flags(Flags{MaxConnections: facts.NewInt(100, "--max-connections", finding.Position{})}),
			Check: func(u *Unit) []Hit {
				return u.pool(facts.LowHeadroom, sevWarn, "the connection pools leave less than a fifth of the server free")
			},
		},
		&Rule{
			ID: "DB003", Name: "pool-max-unknown", Severity: "warning/info", Priority: 1, Fix: Manual,
			Title:  "nobody says how many connections the database accepts",
			When:   "a database is in use, more than one process serves, and the ceiling is not known. warning when demand is above a stock Postgres' 97 and no pooler is in between, info otherwise.",
			Why:    "the number is worth seeing even when the ceiling is not known.",
			Remedy: "pass --max-connections (Postgres' own setting) or --max-db-connections (what the gateway may open).",
			Source: []string{"LiteLLM production guide, section 1"},
			Bad:    k8s("maxReplicas: 6", "maxReplicas: 20"),
			Good:   k8s("maxReplicas: 6", "maxReplicas: 20").flags(Flags{MaxConnections: facts.NewInt(860, "--max-connections", finding.Position{})}),
			Check:  poolUnknown,
		},
		&Rule{
			ID: "DB004", Name: "url-connection-limit-overridden", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "the connection_limit of DATABASE_URL does not count",
			When:   "DATABASE_URL carries a connection_limit that differs from the limit in effect.",
			Why:    "LiteLLM overwrites the URL's number with the configured one, or with 10: people believe they have 25 and have 10.",
			Remedy: "write general_settings.database_connection_pool_limit instead.",
			Source: []string{"LiteLLM's launcher"},
			Bad:    Example{Config: dbModel, Env: databaseOf("postgresql://u:p@db.prod.svc:5432/litellm?connection_limit=25")},
			Good:   Example{Config: dbModel, Env: databaseOf("postgresql://u:p@db.prod.svc:5432/litellm")},
			Check: func(u *Unit) []Hit {
				src := u.Facts.LimitSources
				if !src.URL.IsSet() || src.URL.Value == u.Facts.Limit.Value {
					return nil
				}
				v := u.DatabaseURL()
				h := hitf(v.Pos, v.path("DATABASE_URL"), sevWarn, "the URL says connection_limit=%d, but %s is in effect", src.URL.Value, u.Facts.Limit)
				h.Fix = fmt.Sprintf("write general_settings.database_connection_pool_limit: %d if that is what was meant, and drop it from the URL.", src.URL.Value)
				return []Hit{h}
			},
		},
		&Rule{
			ID: "DB005", Name: "pool-limit-implicit", Severity: "info", Priority: 1, Fix: Safe,
			Title:  "the pool limit is not written down",
			When:   "a database is in use and database_connection_pool_limit is not set.",
			Why:    "every process opens up to 10 connections; the number that everything else multiplies should be visible.",
			Remedy: "write database_connection_pool_limit: 10.",
			Source: []string{"LiteLLM production guide, section 1"},
			Bad:    Example{Config: dbWithout("database_connection_pool_limit: 10")},
			Good:   Example{Config: dbModel},
			Check: func(u *Unit) []Hit {
				unset := !u.Facts.LimitSources.Key.IsSet() && !u.Facts.LimitSources.Extra.IsSet() && u.Setting(poolKey).State == Absent
				if u.Config == nil || !u.DatabaseInUse() || !unset || u.Target == facts.LLMGW && u.Facts.LimitSources.URL.IsSet() {
					return nil
				}
				h := hitf(u.At(poolKey), poolKey, sevInfo, "database_connection_pool_limit is not set: every process opens up to %d connections", u.Facts.Limit.Value)
				h.Edits = u.insert("general_settings", "database_connection_pool_limit: 10")
				return []Hit{h}
			},
		},
		&Rule{
			ID: "DB006", Name: "pool-limit-out-of-range", Severity: "error/warning", Priority: 1, Fix: Manual,
			Title:  "an unusual pool limit",
			When:   "database_connection_pool_limit is 0 or less (error), below 5 or above 50 (warning).",
			Why:    "below 5 authentication queues for a connection; above 50 one process can drain the server.",
			Remedy: "choose 10 to 20.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: dbWith("database_connection_pool_limit: 10", "database_connection_pool_limit: 100")},
			Good:   Example{Config: dbModel},
			Check: func(u *Unit) []Hit {
				n, v, ok := u.Number(poolKey)
				if !ok {
					return nil
				}
				sev := sevWarn
				if n <= 0 {
					sev = sevError
				}
				return when(n < 5 || n > 50, entrySpan(v.Node), poolKey, sev, "database_connection_pool_limit is %v; 10 to 20 is usual", n)
			},
		},
		&Rule{
			ID: "DB024", Name: "drain-overlap", Severity: "warning", Priority: 2, Fix: Manual, Target: facts.LiteLLM,
			Title:  "pods that are still draining and their successors may exceed the database together",
			When:   "the pools of twice the instances and the surge are above what the database has left, although a rollout alone fits.",
			Why:    "a pod that drains keeps its pool until its last request ends, up to terminationGracePeriodSeconds.",
			Remedy: "leave room for it: a smaller pool limit, or a pooler.",
			Source: []string{"Kubernetes, pod termination"},
			Bad:    k8sGood("maxReplicas: 6").flags(Flags{MaxDBConnections: facts.NewInt(120, "--max-db-connections", finding.Position{})}),
			Good:   k8sGood("maxReplicas: 6").flags(Flags{MaxDBConnections: facts.NewInt(140, "--max-db-connections", finding.Position{})}),
			Check: func(u *Unit) []Hit {
				if !u.DatabaseInUse() {
					return nil
				}
				p := facts.Pool(u.Facts.Pool())
				if !p.AvailableKnown || p.Verdict == facts.Exceeds || u.Facts.Pooled || p.Drain <= p.Available {
					return nil
				}
				h := hitf(u.At(poolKey), poolKey, sevWarn, "while old pods drain, the pools can reach %d of %d connections", p.Drain, p.Available)
				return []Hit{h}
			},
		},
	)
}
