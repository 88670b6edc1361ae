package rule

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

const (
	general   = "general_settings."
	poolKey   = general + "database_connection_pool_limit"
	retention = general + "maximum_spend_logs_retention_period"
	stockMax  = 97 // 100 connections of a stock Postgres minus the 3 of the superuser
)

// dbModel is a config with a database and nothing else to say about it.
const dbModel = oneModel + `general_settings:
  database_url: os.environ/DATABASE_URL
  database_connection_pool_limit: 10
  disable_error_logs: true
  proxy_batch_write_at: 60
  maximum_spend_logs_retention_period: "30d"
`

func withDB(line string) string { return dbModel + "  " + line + "\n" }

func dbWithout(line string) string { return strings.Replace(dbModel, "  "+line+"\n", "", 1) }

func dbWith(old, line string) string {
	return strings.Replace(dbModel, "  "+old+"\n", "  "+line+"\n", 1)
}

// databaseOf is a URL for examples.
func databaseOf(rest string) string { return "DATABASE_URL=" + rest + "\n" }

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
			Also:   []string{"DB013"},
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
			ID: "DB007", Name: "pooler-prepared-statements", Severity: "error", Priority: 1, Fix: Safe,
			Title:  "prepared statements through a pooler",
			When:   "the database URL leads to PgBouncer or another pooler and prepared statements are not switched off.",
			Why:    "with transaction pooling a cached statement lands on another server connection, which does not know it.",
			Remedy: "write general_settings.database_disable_prepared_statements: true.",
			Source: []string{"LiteLLM configuration guide", "LiteLLM database sizing guide"},
			Bad:    Example{Config: dbModel, Env: databaseOf("postgresql://app:pw@pooler.prod.svc:6432/app")},
			Good:   Example{Config: withDB("database_disable_prepared_statements: true"), Env: databaseOf("postgresql://app:pw@pooler.prod.svc:6432/app")},
			Check: func(u *Unit) []Hit {
				v, url, ok := u.knownURL()
				if !ok || !u.Facts.Pooled || u.On(general+"database_disable_prepared_statements") || u.EnvOn("DATABASE_DISABLE_PREPARED_STATEMENTS") ||
					strings.Contains(url.RawQuery, "pgbouncer=") || u.Node(general+"database_extra_connection_params.pgbouncer") != nil {
					return nil
				}
				h := hitf(v.Pos, v.path("DATABASE_URL"), sevError, "the database URL leads to a pooler, but prepared statements are on")
				h.Edits = u.insert("general_settings", "database_disable_prepared_statements: true")
				return []Hit{h}
			},
		},
		&Rule{
			ID: "DB008", Name: "migrations-through-pooler", Severity: "warning", Priority: 2, Fix: Manual, Closed: true,
			Title:  "migrations would run through the pooler",
			When:   "the database URL leads to a pooler, DIRECT_URL is certainly absent, and this process runs migrations.",
			Why:    "migrations hold an advisory lock for the session, which a transaction pooler does not keep together.",
			Remedy: "give migrations the direct URL in DIRECT_URL.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: withDB("database_disable_prepared_statements: true"), Env: databaseOf("postgresql://app:pw@pooler.prod.svc:6432/app")},
			Good:   Example{Config: withDB("database_disable_prepared_statements: true"), Env: databaseOf("postgresql://app:pw@pooler.prod.svc:6432/app") + "DIRECT_URL=postgresql://app:pw@db.prod.svc:5432/app\n"},
			Check: func(u *Unit) []Hit {
				v, _, ok := u.knownURL()
				return when(ok && u.Facts.Pooled && u.EnvAbsent("DIRECT_URL") && !u.schemaUpdatesOff(), v.Pos, v.path("DATABASE_URL"), sevWarn, "migrations would run through the pooler: DIRECT_URL is not set")
			},
		},
		&Rule{
			ID: "DB009", Name: "unsupported-db-scheme", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "the database is no Postgres",
			When:   "DATABASE_URL or DIRECT_URL has another scheme than postgres or postgresql, or none.",
			Why:    "LiteLLM and llmgw stop at start-up.",
			Remedy: "use a URL that begins with postgresql://.",
			Source: []string{"LiteLLM's database settings"},
			Bad:    Example{Config: dbModel, Env: databaseOf("sqlite:///data/litellm.db")},
			Good:   Example{Config: dbModel, Env: databaseOf("postgresql://u:p@db.prod.svc:5432/litellm")},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, v := range []Val{u.DatabaseURL(), u.variable("DIRECT_URL")} {
					if v.State != Known || strings.TrimSpace(v.Text) == "" {
						continue
					}
					scheme, _, found := strings.Cut(v.Text, "://")
					if found && (strings.EqualFold(scheme, "postgres") || strings.EqualFold(scheme, "postgresql")) {
						continue
					}
					what := "no scheme"
					if found {
						what = "the scheme " + scheme
					}
					out = append(out, hitf(v.Pos, v.path(v.Ref), sevError, "the database URL has %s; only Postgres is supported", what))
				}
				return out
			},
		},
		&Rule{
			ID: "DB010", Name: "db-url-malformed", Severity: "error", Priority: 1, Fix: Unsafe,
			Title:  "the database URL cannot be read",
			When:   "the URL cannot be parsed, has no host, or more than one @ before the host.",
			Why:    "an @ : / # ? or % in the password breaks the URL in ways that look like a DNS error.",
			Remedy: "write the reserved characters of the password as %XX, or give DATABASE_HOST, DATABASE_USERNAME, DATABASE_PASSWORD and DATABASE_NAME.",
			Source: []string{"LiteLLM's database settings"},
			Bad:    Example{Config: dbModel, Env: databaseOf("postgresql://u:p@ss@db.prod.svc:5432/x")},
			Good:   Example{Config: dbModel, Env: databaseOf("postgresql://u:p%40ss@db.prod.svc:5432/x")},
			Check: func(u *Unit) []Hit {
				v := u.DatabaseURL()
				_, rest, ok := strings.Cut(v.Text, "://")
				if v.State != Known || !ok || strings.Contains(v.Text, "$(") {
					return nil
				}
				at := rest
				if i := strings.IndexAny(rest, "/?"); i >= 0 && strings.Contains(rest[:i], "@") {
					at = rest[:i]
				}
				problem := ""
				parsed, err := url.Parse(v.Text)
				switch {
				case strings.Count(at, "@") > 1:
					problem = "has more than one @ before the host"
				case err != nil:
					problem = "cannot be parsed"
				case parsed.Hostname() == "" && !parsed.Query().Has("host"):
					problem = "has no host"
				}
				return when(problem != "", v.Pos, v.path("DATABASE_URL"), sevError, "the database URL %s", problem)
			},
		},
		&Rule{
			ID: "DB011", Name: "db-tls-off", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "the connection to the database is not encrypted",
			When:   "the URL is known, its host is not local, and sslmode is absent, disable, allow or prefer.",
			Why:    "keys and prompts cross the network in clear.",
			Remedy: "append ?sslmode=require, or verify-full with a CA file.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: dbModel, Env: databaseOf("postgresql://u:p@mydb.abc.rds.amazonaws.com/litellm")},
			Good:   Example{Config: dbModel, Env: databaseOf("postgresql://u:p@mydb.abc.rds.amazonaws.com/litellm?sslmode=require")},
			Check: func(u *Unit) []Hit {
				v, url, ok := u.knownURL()
				if !ok || localHost(url.Hostname()) {
					return nil
				}
				mode := url.Query().Get("sslmode")
				if n := u.Setting(general + "database_extra_connection_params.sslmode"); mode == "" && n.Present() {
					mode = n.Text
				}
				if e := u.variable("DATABASE_SSLMODE"); mode == "" && e.Present() {
					mode = e.Text
				}
				off := slices.Contains([]string{"", "disable", "allow", "prefer"}, mode)
				if mode == "" {
					mode = "not set"
				}
				return when(off, v.Pos, v.path("DATABASE_URL"), sevWarn, "the connection to the database is not encrypted: sslmode is %s", mode)
			},
		},
		&Rule{
			ID: "DB012", Name: "spend-batch-interval", Severity: "warning", Priority: 1, Fix: Safe, Off: []Profile{Dev},
			Title:  "spend is written to the database very often",
			When:   "a database is in use, spend logs are on, and proxy_batch_write_at is unset or below 60.",
			Why:    "frequent flushes of every process make the spend tables a hot spot.",
			Remedy: "write general_settings.proxy_batch_write_at: 60; spend shows up a minute later.",
			Source: []string{"LiteLLM production guide, section 1"},
			Bad:    Example{Config: dbWith("proxy_batch_write_at: 60", "proxy_batch_write_at: 10")},
			Good:   Example{Config: dbModel},
			Check: func(u *Unit) []Hit {
				const path = general + "proxy_batch_write_at"
				if u.Config == nil || !u.DatabaseInUse() || u.On(general+"disable_spend_logs") {
					return nil
				}
				v := u.SettingOr(path, "PROXY_BATCH_WRITE_AT")
				n, ok := v.number()
				switch {
				case v.State == Absent:
					h := hitf(u.At(path), path, sevWarn, "proxy_batch_write_at is not set: every process writes spend every 10 seconds")
					h.Edits = u.insert("general_settings", "proxy_batch_write_at: 60")
					return []Hit{h}
				case ok && n < 60:
					h := hitf(u.spanOf(v), v.path("PROXY_BATCH_WRITE_AT"), sevWarn, "every process writes spend every %v seconds", n)
					if v.Node != nil && v.Ref == "" {
						h.Edits = replaceValue(v.Node, "60")
					}
					return []Hit{h}
				}
				return nil
			},
		},
		&Rule{
			ID: "DB013", Name: "transaction-buffer-recommended", Severity: "warning", Priority: 1, Fix: Manual, Target: facts.LiteLLM,
			Title:  "many instances update the same spend rows",
			When:   "10 instances or more, or 1000 requests per second or more, without use_redis_transaction_buffer.",
			Why:    "all instances update the rows of the same keys, users and teams: deadlocks and exhausted connections.",
			Remedy: "set general_settings.use_redis_transaction_buffer: true, with a Redis that persists and does not evict.",
			Source: []string{"LiteLLM production guide", "LiteLLM guide to database deadlocks"},
			Bad:    k8s("maxReplicas: 6", "maxReplicas: 12"),
			Good:   k8sGood("maxReplicas: 6"),
			Also:   []string{"DB003"},
			Check: func(u *Unit) []Hit {
				const path = general + "use_redis_transaction_buffer"
				rps := u.Model.Flags.ExpectedRPS
				if u.Config == nil || !u.DatabaseInUse() || u.On(path) || u.Setting(path).State == Unknown || u.R.Value < 10 && rps.Value < 1000 {
					return nil
				}
				why := u.R.String() + " instances"
				if u.R.Value < 10 {
					why = fmt.Sprintf("%d requests per second", rps.Value)
				}
				return hit(u.At(path), path, sevWarn, why+" write spend to the same rows without use_redis_transaction_buffer")
			},
		},
		&Rule{
			ID: "DB014", Name: "transaction-buffer-without-redis", Severity: "error", Priority: 1, Fix: Manual, Closed: true,
			Title:  "the transaction buffer has no Redis",
			When:   "use_redis_transaction_buffer is true and no Redis is configured anywhere.",
			Why:    "the buffer is not there, and every instance goes on writing to the database directly.",
			Remedy: "configure Redis, or drop the setting.",
			Source: []string{"LiteLLM Redis requirements"},
			Bad:    Example{Config: withDB("use_redis_transaction_buffer: true"), Env: databaseOf("postgresql://u:p@db.prod.svc:5432/x")},
			Good:   Example{Config: withDB("use_redis_transaction_buffer: true"), Env: databaseOf("postgresql://u:p@db.prod.svc:5432/x") + "REDIS_HOST=redis.prod.svc\nREDIS_PORT=6379\nREDIS_PASSWORD=4b1f0c9d7e6a\n"},
			Check: func(u *Unit) []Hit {
				const path = general + "use_redis_transaction_buffer"
				return when(u.On(path) && u.Env.Closed() && !u.RedisInUse(), u.At(path), path, sevError, "use_redis_transaction_buffer is on, but there is no Redis")
			},
		},
		&Rule{
			ID: "DB015", Name: "error-logs-in-db", Severity: "info", Priority: 1, Fix: Safe, Off: []Profile{Dev},
			Title:  "every provider error becomes a database row",
			When:   "a database is in use and neither disable_error_logs nor disable_spend_logs is true.",
			Why:    "a provider outage fills the spend log table. The price of switching it off: errors do not show up in the UI.",
			Remedy: "write general_settings.disable_error_logs: true.",
			Source: []string{"LiteLLM production guide, section 1"},
			Bad:    Example{Config: dbWithout("disable_error_logs: true")},
			Good:   Example{Config: dbModel},
			Check: func(u *Unit) []Hit {
				const path = general + "disable_error_logs"
				if u.Config == nil || !u.DatabaseInUse() || u.On(path) || u.On(general+"disable_spend_logs") {
					return nil
				}
				h := hitf(u.At(path), path, sevInfo, "every provider error becomes a database row")
				if u.Setting(path).State == Absent {
					h.Edits = u.insert("general_settings", "disable_error_logs: true")
				}
				return []Hit{h}
			},
		},
		&Rule{
			ID: "DB016", Name: "spend-logs-unbounded", Severity: "warning", Priority: 1, Fix: Manual, Off: []Profile{Dev},
			Title:  "spend logs are kept for ever",
			When:   "a database is in use, spend logs are on, and no retention period is set.",
			Why:    "the cleanup job exists only when a period is set; hundreds of gigabytes a month have been reported.",
			Remedy: "write general_settings.maximum_spend_logs_retention_period: \"30d\".",
			Source: []string{"LiteLLM guide to spend log deletion", "LiteLLM issue 29466"},
			Bad:    Example{Config: dbWithout(`maximum_spend_logs_retention_period: "30d"`)},
			Good:   Example{Config: dbModel},
			Check: func(u *Unit) []Hit {
				unset := !u.Setting(retention).Present()
				return when(u.Config != nil && u.DatabaseInUse() && unset && !u.On(general+"disable_spend_logs"), u.At(retention), retention, sevWarn, "spend logs are kept for ever: maximum_spend_logs_retention_period is not set")
			},
		},
		&Rule{
			ID: "DB017", Name: "retention-format", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "a retention period that cannot be read",
			When:   "maximum_spend_logs_retention_period or _interval is not a number with s, m, h or d.",
			Why:    "what cannot be read means that nothing is cleaned up.",
			Remedy: "write a number with s, m, h or d, such as \"14d\".",
			Source: []string{"LiteLLM guide to spend log deletion"},
			Bad:    Example{Config: dbWith(`maximum_spend_logs_retention_period: "30d"`, `maximum_spend_logs_retention_period: "2 weeks"`)},
			Good:   Example{Config: dbModel},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, path := range []string{retention, general + "maximum_spend_logs_retention_interval"} {
					v := u.Setting(path)
					if v.State == Known && !durationForm().MatchString(v.Text) {
						out = append(out, hitf(u.spanOf(v), path, sevError, "%q is not a number with s, m, h or d", v.Text))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "DB018", Name: "cleanup-cron-weekday", Severity: "warning", Priority: 2, Fix: Unsafe, Target: facts.LiteLLM,
			Title:  "the weekday of the cleanup is one day off",
			When:   "maximum_spend_logs_cleanup_cron has five fields and a digit in the weekday field.",
			Why:    "LiteLLM's scheduler counts Monday as 0, cron counts Sunday as 0.",
			Remedy: "write the weekday as a word: mon.",
			Source: []string{"LiteLLM guide to spend log deletion"},
			Bad:    Example{Config: withDB(`maximum_spend_logs_cleanup_cron: "30 3 * * 1"`)},
			Good:   Example{Config: withDB(`maximum_spend_logs_cleanup_cron: "30 3 * * mon"`)},
			Check: func(u *Unit) []Hit {
				const path = general + "maximum_spend_logs_cleanup_cron"
				v := u.Setting(path)
				fields := strings.Fields(v.Text)
				return when(v.State == Known && len(fields) == 5 && strings.ContainsAny(fields[4], "0123456789"), u.spanOf(v), path, sevWarn, "weekday %s means another day to LiteLLM's scheduler than to cron", last(fields))
			},
		},
		&Rule{
			ID: "DB019", Name: "prompts-in-spend-logs", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "prompts and answers are stored in the database",
			When:   "store_prompts_in_spend_logs is true and a database is in use.",
			Why:    "rows become about ten times as large, personal data lies unencrypted, and every pod needs more memory.",
			Remedy: "switch it off, or keep it with a short retention and an ignore comment that says why.",
			Source: []string{"LiteLLM database sizing guide", "LiteLLM issues 21908 and 38193"},
			Bad:    Example{Config: withDB("store_prompts_in_spend_logs: true")},
			Good:   Example{Config: withDB("store_prompts_in_spend_logs: false")},
			Check: func(u *Unit) []Hit {
				const path = general + "store_prompts_in_spend_logs"
				return when(u.On(path) && u.DatabaseInUse(), u.At(path), path, sevWarn, "prompts and answers are stored in the database")
			},
		},
		&Rule{
			ID: "DB020", Name: "statement-timeouts-unset", Severity: "info", Priority: 2, Fix: Safe,
			Title:  "a stuck statement holds its locks without limit",
			When:   "a database is in use, more than one process serves, and database_statement_timeout is not set.",
			Why:    "a write that outlives its client keeps its row locks, and later flushes queue behind it.",
			Remedy: "write database_statement_timeout: 60 and database_lock_timeout: 15.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    k8sGood("# database_statement_timeout is not set"),
			Good:   k8s("      disable_error_logs: true\n", "      disable_error_logs: true\n      database_statement_timeout: 60\n      database_lock_timeout: 15\n"),
			Check: func(u *Unit) []Hit {
				const path = general + "database_statement_timeout"
				return when(u.Config != nil && u.DatabaseInUse() && u.Several() && u.Setting(path).State == Absent, u.At(path), path, sevInfo, "database_statement_timeout is not set")
			},
		},
		&Rule{
			ID: "DB021", Name: "lock-timeout-order", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "waiting for a lock can eat the whole statement budget",
			When:   "database_lock_timeout is not below database_statement_timeout.",
			Why:    "a blocked write burns the budget of the statement without doing anything.",
			Remedy: "lower database_lock_timeout.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: withDB("database_statement_timeout: 30\n  database_lock_timeout: 45")},
			Good:   Example{Config: withDB("database_statement_timeout: 60\n  database_lock_timeout: 15")},
			Check: func(u *Unit) []Hit {
				lock, v, ok1 := u.Number(general + "database_lock_timeout")
				statement, _, ok2 := u.Number(general + "database_statement_timeout")
				return when(ok1 && ok2 && lock >= statement, u.spanOf(v), general+"database_lock_timeout", sevWarn, "database_lock_timeout %v is not below database_statement_timeout %v", lock, statement)
			},
		},
		&Rule{
			ID: "DB023", Name: "db-feature-without-db", Severity: "warning", Priority: 2, Fix: Manual, Closed: true,
			Title:  "a setting that needs a database, and there is none",
			When:   "no database is configured and a setting that only a database gives a meaning is on.",
			Why:    "the setting has no effect.",
			Remedy: "add database_url, or delete the setting.",
			Source: []string{"LiteLLM guide to the database"},
			Bad:    Example{Config: oneModel + "general_settings: {store_prompts_in_spend_logs: true}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Good:   Example{Config: oneModel + "general_settings: {store_prompts_in_spend_logs: false}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Check: func(u *Unit) []Hit {
				if !u.Env.Closed() || u.DatabaseInUse() {
					return nil
				}
				var out []Hit
				for _, key := range []string{"store_model_in_db", "use_redis_transaction_buffer", "store_prompts_in_spend_logs", "allow_requests_on_db_unavailable"} {
					out = append(out, when(u.On(general+key), u.At(general+key), general+key, sevWarn, "%s has no effect: there is no database", key)...)
				}
				v := u.Setting(retention)
				return append(out, when(v.Present(), u.At(retention), retention, sevWarn, "maximum_spend_logs_retention_period has no effect: there is no database")...)
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

var durationForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\d+[smhd]$`) })

func last(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

// spanOf is where to report a value: its config entry, or its variable.
func (u *Unit) spanOf(v Val) finding.Position {
	if v.Node != nil && v.Ref == "" {
		return entrySpan(v.Node)
	}
	return v.Pos
}

// knownURL is the database URL, parsed, where its value is known.
func (u *Unit) knownURL() (Val, *url.URL, bool) {
	v := u.DatabaseURL()
	if v.State != Known {
		return v, nil, false
	}
	parsed, err := url.Parse(v.Text)
	if err != nil || parsed.Scheme != "postgres" && parsed.Scheme != "postgresql" {
		return v, nil, false
	}
	return v, parsed, true
}

// localHost reports whether traffic to a host stays on the machine or in the
// cluster.
func localHost(host string) bool {
	host = strings.ToLower(host)
	switch {
	case host == "" || host == "localhost" || strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".svc.cluster.local") || strings.HasSuffix(host, ".local"):
		return true
	case !strings.Contains(host, ".") && !strings.Contains(host, ":"):
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || ip.IsPrivate())
}

func (u *Unit) pool(verdict facts.Verdict, sev finding.Severity, message string) []Hit {
	if !u.DatabaseInUse() || u.Facts.Pooled {
		return nil
	}
	p := facts.Pool(u.Facts.Pool())
	if p.Verdict != verdict {
		return nil
	}
	h := hitf(u.At(poolKey), poolKey, sev, "%s", message)
	h.Detail, h.Props = p.Explain(), poolProps(p)
	h.NoFix = true // the alternatives stand in the detail
	return []Hit{h}
}

func poolProps(p facts.PoolResult) map[string]any {
	props := map[string]any{
		"limit": p.In.Limit.Value, "workers": p.In.Workers.Value, "instances": p.In.Instances.Value, "surge": p.Surge, "demand": p.Demand,
	}
	if p.AvailableKnown {
		props["available"] = p.Available
		props["max_connections"] = p.In.Ceiling.N.Value
	}
	return props
}

func poolUnknown(u *Unit) []Hit {
	if !u.DatabaseInUse() || !u.Several() {
		return nil
	}
	p := facts.Pool(u.Facts.Pool())
	if p.Verdict != facts.Unknown {
		return nil
	}
	sev := sevInfo
	if p.Demand > stockMax && !u.Facts.Pooled {
		sev = sevWarn
	}
	message := fmt.Sprintf("the deployment opens up to %d Postgres connections, and nobody says how many there are", p.Demand)
	if u.Facts.Pooled {
		message = fmt.Sprintf("the deployment opens up to %d connections to the pooler, and nobody says how many it accepts", p.Demand)
	}
	h := hitf(u.At(poolKey), poolKey, sev, "%s", message)
	h.Detail, h.Props = []string{"demand    " + p.DemandLine()}, poolProps(p)
	return []Hit{h}
}

// schemaUpdatesOff reports whether the serving process leaves the schema
// alone.
func (u *Unit) schemaUpdatesOff() bool {
	return u.EnvOn("DISABLE_SCHEMA_UPDATE") || u.EnvMaybe("DISABLE_SCHEMA_UPDATE") || u.On(general+"disable_prisma_schema_update")
}
