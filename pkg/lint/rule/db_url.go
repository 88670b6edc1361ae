package rule

import (
	"net/url"
	"slices"
	"strings"
)

func init() {
	register(
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
			ID: "DB008", Name: "migrations-through-pooler", Severity: "warning", Priority: 1, Fix: Manual, Closed: true,
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
	)
}
