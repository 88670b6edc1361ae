package rule

import (
	"fmt"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
)

func init() {
	register(
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
			ID: "DB013", Name: "transaction-buffer-recommended", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "many instances update the same spend rows",
			When:   "10 instances or more, or 1000 requests per second or more, without use_redis_transaction_buffer.",
			Why:    "all instances update the rows of the same keys, users and teams: deadlocks and exhausted connections.",
			Remedy: "set general_settings.use_redis_transaction_buffer: true, with a Redis that persists and does not evict.",
			Source: []string{"LiteLLM production guide", "LiteLLM guide to database deadlocks"},
			Bad:    k8s("maxReplicas: 6", "maxReplicas: 12"),
			Good:   k8sGood("maxReplicas: 6"),
			Also:   map[string]string{"DB003": "more replicas, and no ceiling is given"},
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
	)
}
