package pgurl

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/redact"
)

func parse(t *testing.T, text string, o Options) *Target {
	t.Helper()
	target, err := Parse(redact.New(text), o)
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return target
}

func TestParseReadsAURLAsPrismaDoes(t *testing.T) {
	type want struct {
		User, Password, Host, Database, Schema string
		Port                                   uint16
	}
	tests := map[string]struct {
		url  string
		want want
	}{
		"everything spelled out":                 {"postgresql://u:p@db:6000/app", want{"u", "p", "db", "app", "public", 6000}},
		"the short scheme and defaults":          {"postgres://db", want{"postgres", "", "db", "postgres", "public", 5432}},
		"nothing but a scheme is localhost":      {"postgresql://", want{"postgres", "", "localhost", "postgres", "public", 5432}},
		"a schema":                               {"postgresql://u@db/app?schema=My%20S", want{"u", "", "db", "app", "My S", 5432}},
		"an empty schema is public":              {"postgresql://u@db/app?schema=", want{"u", "", "db", "app", "public", 5432}},
		"encoded characters in the password":     {"postgresql://u%40x:p%2F%3A%23%3F%40@db/app", want{"u@x", "p/:#?@", "db", "app", "public", 5432}},
		"an @ in the password, not encoded":      {"postgresql://u:p@ss@db/app", want{"u", "p@ss", "db", "app", "public", 5432}},
		"a colon in the password, not encoded":   {"postgresql://u:a:b@db/app", want{"u", "a:b", "db", "app", "public", 5432}},
		"a stray percent sign stands for itself": {"postgresql://u:100%@db/app", want{"u", "100%", "db", "app", "public", 5432}},
		"a plus sign in the password stays one":  {"postgresql://u:a+b@db/app", want{"u", "a+b", "db", "app", "public", 5432}},
		"an IPv6 address":                        {"postgresql://u:p@[::1]:5433/app", want{"u", "p", "::1", "app", "public", 5433}},
		"an IPv6 address without a port":         {"postgresql://u:p@[fe80::2]/app", want{"u", "p", "fe80::2", "app", "public", 5432}},
		"a socket folder in the query":           {"postgresql:///app?host=/var/run/postgresql", want{"postgres", "", "/var/run/postgresql", "app", "public", 5432}},
		"a socket folder, encoded":               {"postgresql://u@/app?host=%2Fvar%2Frun", want{"u", "", "/var/run", "app", "public", 5432}},
		"a socket folder in the address":         {"postgresql://u@%2Fvar%2Frun:5433/app", want{"u", "", "/var/run", "app", "public", 5433}},
		"host in the query wins":                 {"postgresql://u@a:5433/app?host=b", want{"u", "", "b", "app", "public", 5433}},
		"white space around it":                  {" postgresql://u:p@db/app\n", want{"u", "p", "db", "app", "public", 5432}},
		"umlauts and spaces in names":            {"postgresql://b%C3%BC@db/m%20y", want{"bü", "", "db", "m y", "public", 5432}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			target := parse(t, tt.url, Options{})
			c := target.Config
			if diff := cmp.Diff(tt.want, want{c.User, c.Password, c.Host, c.Database, target.Schema, c.Port}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRefusesWithoutShowingTheURL(t *testing.T) {
	const secret = "hunter2secret"
	tests := map[string]struct{ url, want string }{
		"empty":                             {"", "is empty"},
		"quoted":                            {`"postgresql://u:` + secret + `@db/app"`, "quotation mark"},
		"no scheme":                         {"u:" + secret + "@db/app", "no scheme"},
		"keyword form":                      {"host=db password=" + secret, "keyword form"},
		"prisma's hosted service":           {"prisma+postgres://x?api_key=" + secret, "hosted service"},
		"sqlite":                            {"sqlite:///" + secret, "'sqlite'"},
		"an unknown scheme may be a secret": {secret + "://x", "unsupported scheme"},
		"java":                              {"jdbc:postgresql://u:" + secret + "@db/app", "jdbc:"},
		"a slash in the password":           {"postgresql://u:" + secret + "/x@db/app", "%2F"},
		"a question mark in the password":   {"postgresql://u:" + secret + "?x@db/app", "%3F"},
		"a hash in the password":            {"postgresql://u:" + secret + "#x@db/app", "%23"},
		"hash and at":                       {"postgresql://u:a@b#" + secret + "@db/app", "%23"},
		"a port that is no number":          {"postgresql://db:" + secret + "/app", "port"},
		"port 0":                            {"postgresql://db:0/app", "port"},
		"port 65536":                        {"postgresql://db:65536/app", "port"},
		"a service link":                    {"postgresql://u@db/app?port=tcp://10.0.0.1:5432", "service link"},
		"a bracket left open":               {"postgresql://u:p@[::1/app", "closing bracket"},
		"a line break inside":               {"postgresql://u:" + secret + "\n@db/app", "line break"},
		"an encoded NUL":                    {"postgresql://u:" + secret + "%00@db/app", "NUL"},
		"a limit that is no number":         {"postgresql://u:" + secret + "@db/app?connection_limit=" + secret, "connection_limit"},
		"a limit of zero":                   {"postgresql://u@db/app?connection_limit=0", "connection_limit"},
		"a negative timeout":                {"postgresql://u@db/app?connect_timeout=-1", "connect_timeout"},
		"not a number at all":               {"postgresql://u@db/app?pool_timeout=NaN", "pool_timeout"},
		"two words on TLS that disagree":    {"postgresql://u@db/app?sslmode=disable&sslaccept=strict", "sslmode=disable"},
		"a CA file that is not there":       {"postgresql://u@db/app?sslcert=/no/such/ca.pem", "/no/such/ca.pem: no such file"},
		"a key without certificate":         {"postgresql://u@db/app?sslkey=/no/such/key.pem", "no sslcert"},
		"an unknown session attribute":      {"postgresql://u@db/app?target_session_attrs=" + secret, "target_session_attrs"},
		"an unknown channel binding":        {"postgresql://u@db/app?channel_binding=" + secret, "channel_binding"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(redact.New(tt.url), Options{})
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("error shows the secret: %q", err)
			}
		})
	}
}

// The configuration keys' part of the precedence is in facts; here is the
// URL's.
func TestPoolLimitSources(t *testing.T) {
	general := func(keys map[string]string) Lookup {
		return func(k string) (string, bool) { v, ok := keys[k]; return v, ok }
	}
	tests := map[string]struct {
		url   string
		keys  map[string]string
		extra map[string]string
		want  int
		given bool
	}{
		"nothing is 10":                                {"postgresql://db/a", nil, nil, 10, false},
		"the URL counts when the key is absent":        {"postgresql://db/a?connection_limit=7", nil, nil, 7, true},
		"the key beats the URL":                        {"postgresql://db/a?connection_limit=7", map[string]string{"database_connection_pool_limit": "20"}, nil, 20, true},
		"extra parameters beat the key":                {"postgresql://db/a?connection_limit=7", map[string]string{"database_connection_pool_limit": "20"}, map[string]string{"connection_limit": "33"}, 33, true},
		"a key that is no number leaves it to the URL": {"postgresql://db/a?connection_limit=7", map[string]string{"database_connection_pool_limit": "true"}, nil, 7, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			override, fill := Settings(general(tt.keys), tt.extra, nil)
			p := parse(t, tt.url, Options{Purpose: Serve, Override: override, Default: fill}).Pool
			if p.Max != tt.want || p.MaxGiven != tt.given {
				t.Errorf("limit %d given %v, want %d %v", p.Max, p.MaxGiven, tt.want, tt.given)
			}
		})
	}
}

func TestPoolTimesHaveServesDefaultsAndFollowTheURL(t *testing.T) {
	p := parse(t, "postgresql://db/a", Options{Purpose: Serve})
	if p.Pool != (Pool{Max: 10, Wait: 60 * time.Second, Idle: 60 * time.Second}) || p.Config.ConnectTimeout != 5*time.Second {
		t.Errorf("defaults: %+v, connect %v", p.Pool, p.Config.ConnectTimeout)
	}
	p = parse(t, "postgresql://db/a?pool_timeout=0&max_idle_connection_lifetime=30&max_connection_lifetime=1.5&connect_timeout=0&socket_timeout=9", Options{Purpose: Serve})
	if p.Pool != (Pool{Max: 10, Idle: 30 * time.Second, Lifetime: 1500 * time.Millisecond}) || p.Config.ConnectTimeout != 0 || p.SocketTimeout != 9*time.Second {
		t.Errorf("from the URL: %+v, connect %v, socket %v", p.Pool, p.Config.ConnectTimeout, p.SocketTimeout)
	}
	pc, err := p.PoolConfig()
	if err != nil {
		t.Fatal(err)
	}
	if pc.MaxConns != 10 || pc.MaxConnIdleTime != 30*time.Second || pc.MaxConnLifetime != 1500*time.Millisecond || pc.ConnConfig.Host != "db" {
		t.Errorf("pool configuration: %+v", pc)
	}
	p = parse(t, "postgresql://db/a?socket_timeout=9", Options{Purpose: Migrate})
	if p.SocketTimeout != 0 || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "socket_timeout") {
		t.Errorf("a migration keeps socket_timeout: %v %v", p.SocketTimeout, p.Notes)
	}
}

func TestNothingUnknownReachesTheServer(t *testing.T) {
	p := parse(t, "postgresql://u:pw@db/a?schema=s&connection_limit=3&pgbouncer=true&zzz=secret1&aaa=secret2&application_name=mine&options=-c%20x.y%3D1&a%20b=3", Options{Purpose: Serve, Version: "1.2"})
	want := map[string]string{"application_name": "mine", "options": "-c x.y=1"}
	if diff := cmp.Diff(want, p.Config.RuntimeParams); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"(unreadable name)", "aaa", "zzz"}, p.Ignored); diff != "" {
		t.Error(diff)
	}
	if w := p.IgnoredWarning(); strings.Contains(w, "secret") || !strings.Contains(w, "parameters") {
		t.Errorf("warning: %s", w)
	}
	if got := parse(t, "postgresql://db/a", Options{Purpose: Serve, Version: "1.2"}).Config.RuntimeParams["application_name"]; got != "llmgw-serve/1.2" {
		t.Errorf("application_name = %s", got)
	}
}

func TestAnAnnouncedPoolerGetsNoPreparedStatements(t *testing.T) {
	for url, want := range map[string]pgx.QueryExecMode{
		"postgresql://db/a":                        pgx.QueryExecModeCacheStatement,
		"postgresql://db/a?pgbouncer=true":         pgx.QueryExecModeExec,
		"postgresql://db/a?pgbouncer=false":        pgx.QueryExecModeCacheStatement,
		"postgresql://db/a?statement_cache_size=0": pgx.QueryExecModeExec,
	} {
		if got := parse(t, url, Options{Purpose: Serve}).Config.DefaultQueryExecMode; got != want {
			t.Errorf("%s: mode %v, want %v", url, got, want)
		}
	}
	if got := parse(t, "postgresql://db/a", Options{Purpose: Migrate}).Config.DefaultQueryExecMode; got != pgx.QueryExecModeSimpleProtocol {
		t.Errorf("migrate: mode %v", got)
	}
}

func TestTheEnvironmentOfLibpqHasNoSay(t *testing.T) {
	for k, v := range map[string]string{
		"PGHOST": "evil", "PGPASSWORD": "evil", "PGSSLMODE": "nonsense", "PGAPPNAME": "evil", "PGOPTIONS": "-c x=y",
		"PGTARGETSESSIONATTRS": "nonsense", "PGCONNECT_TIMEOUT": "nonsense", "PGSSLROOTCERT": "/no/such",
	} {
		t.Setenv(k, v)
	}
	c := parse(t, "postgresql://u@db/a", Options{}).Config
	if c.Host != "db" || c.Password != "" || c.RuntimeParams["options"] != "" || c.RuntimeParams["application_name"] != "llmgw" || c.ValidateConnect != nil {
		t.Errorf("the environment shows: %+v %v", c.Host, c.RuntimeParams)
	}
	t.Setenv("PGSERVICE", "nowhere")
	if _, err := Parse(redact.New("postgresql://u@db/a"), Options{}); err == nil || !strings.Contains(err.Error(), "PGSERVICE") {
		t.Errorf("PGSERVICE: %v", err)
	}
}

func TestPoolersAreGuessedFromTheAddress(t *testing.T) {
	for url, want := range map[string]bool{
		"postgresql://db/a": false, "postgresql://db/a?pgbouncer=true": true, "postgresql://db:6432/a": true,
		"postgresql://ep-x-pooler.eu.aws.neon.tech/a": true, "postgresql://ep-x.eu.aws.neon.tech/a": false,
		"postgresql://aws-0-eu.pooler.supabase.com:6543/a": true, "postgresql://aws-0-eu.pooler.supabase.com:5432/a": false,
		"postgresql://x.proxy-abc.eu-west-1.rds.amazonaws.com/a": true, "postgresql://pgbouncer.svc/a": true,
	} {
		if reason, got := parse(t, url, Options{}).Pooled(); got != want || (reason != "") != want {
			t.Errorf("%s: %v %q, want %v", url, got, reason, want)
		}
	}
}

func TestATargetPrintsWithoutItsPassword(t *testing.T) {
	const secret = "pa$$w0rd"
	tests := map[string]string{
		"postgresql://u:pa%24%24w0rd@db:5433/app?schema=s&sslpassword=pa$$w0rd": "postgresql://u:***@db:5433/app?schema=s",
		"postgresql://u:pa$$w0rd@a:1,b:2/app":                                   "postgresql://u:***@a:1,b:2/app",
		"postgresql://u:pa$$w0rd@/app?host=/run":                                "postgresql://u:***@/app?host=/run",
		"postgresql://u@[::1]/app":                                              "postgresql://u@[::1]:5432/app",
	}
	for url, want := range tests {
		target := parse(t, url, Options{})
		if got := target.String(); got != want {
			t.Errorf("String() = %s, want %s", got, want)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if out := fmt.Sprintf(verb, target); strings.Contains(out, secret) {
				t.Errorf("%s prints the password: %s", verb, out)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"postgresql://u:p@db:5432/app?schema=x&connection_limit=1", "postgres://[::1]:1/x", "postgresql:///a?host=/x",
		"postgresql://u:%zz%@h,h2:1/d?sslmode=verify-full&a=%", "postgresql://a:b@c:d@e/f#g", "x://", "postgresql://%00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range []Purpose{Serve, Migrate} {
			target, err := Parse(redact.New(text), Options{Purpose: p})
			if err != nil {
				if err.Error() == "" {
					t.Error("an error without words")
				}
				continue
			}
			// A translated URL is complete and prints as a URL that means the same.
			c := target.Config
			if c.Host == "" || c.Port == 0 || c.User == "" || c.Database == "" || target.Schema == "" || target.Pool.Max < 1 {
				t.Errorf("incomplete: %v", target)
			}
			for name := range c.RuntimeParams {
				if name != "application_name" && name != "options" {
					t.Errorf("%q would reach the server", name)
				}
			}
			if len(c.Password) > 7 && strings.Contains(target.String(), c.Password) &&
				!strings.Contains(c.User+c.Host+c.Database+target.Schema, c.Password) && !strings.Contains(strings.Replace(text, c.Password, "", 1), c.Password) {
				t.Errorf("prints its password: %s", target)
			}
		}
	})
}
