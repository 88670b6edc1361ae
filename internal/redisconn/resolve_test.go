package redisconn

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

func parse(t testing.TB, text string) *config.Node {
	t.Helper()
	n, findings, err := config.ParseYAML("config.yaml", []byte(text))
	if err != nil || len(findings) > 0 {
		t.Fatalf("%s: %v, %v", text, findings, err)
	}
	return n
}

func environ(lines ...string) *config.Env { return config.ProcessEnv(lines) }

// summary shows what was resolved, the secrets too.
func summary(p *Params) string {
	s := p.String()
	if p.Username != "" {
		s += " user " + p.Username
	}
	if !p.Password.IsZero() {
		s += " password " + p.Password.Reveal()
	}
	if !p.SentinelPassword.IsZero() {
		s += " sentinel password " + p.SentinelPassword.Reveal()
	}
	return s
}

func messages(list []finding.Finding) (texts []string) {
	for _, f := range list {
		texts = append(texts, f.Severity.String()+": "+f.Message)
	}
	slices.Sort(texts)
	return texts
}

func TestFromCache(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		env        []string
		want       string
		says       []string // beginnings, sorted
	}{
		{name: "host and port", yaml: "{host: r1, port: 6380, password: pw, username: u, db: 3}", want: "single r1:6380 db 3 user u password pw"},
		{name: "the usual port", yaml: "{host: r1}", want: "single r1:6379 db 0"},
		{name: "an IPv6 host", yaml: "{host: '::1', port: 1}", want: "single [::1]:1 db 0"},
		{name: "all from the environment", env: []string{"REDIS_HOST=r2", "REDIS_PORT=6381", "REDIS_PASSWORD=pw", "REDIS_DB=1"}, want: "single r2:6381 db 1 password pw"},
		{name: "the configuration wins key by key", yaml: "{host: r1, port: '6380'}", env: []string{"REDIS_HOST=r2", "REDIS_PASSWORD=pw"}, want: "single r1:6380 db 0 password pw"},
		{name: "empty variables are not set", yaml: "{host: r1}", env: []string{"REDIS_URL=", "REDIS_PORT= "}, want: "single r1:6379 db 0"},
		{name: "a URL", yaml: `{url: "redis://u:p%40w@r3:7000/2"}`, want: "single r3:7000 db 2 user u password p@w"},
		{name: "a URL with TLS", yaml: `{url: "rediss://:pw@r3"}`, want: "single r3:6379 db 0 tls password pw"},
		{name: "a URL beside the rest", yaml: `{url: "redis://r3", host: r1, port: 1, password: pw, username: u, db: 2, ssl: true}`, want: "single r3:6379 db 0 user u",
			says: []string{"warning: db is ignored", "warning: host is ignored", "warning: password is ignored", "warning: port is ignored", "warning: ssl is ignored"}},
		{name: "a URL in the environment", env: []string{"REDIS_URL=redis://r3:1", "REDIS_HOST=r2", "REDIS_PASSWORD=pw"}, want: "single r3:1 db 0"},
		{name: "a URL in the environment beside a server in the configuration", yaml: "{host: r1, port: 2}", env: []string{"REDIS_URL=redis://r3:1"}, want: "single r1:2 db 0",
			says: []string{"warning: REDIS_URL is set beside a Redis server"}},
		{name: "a socket", yaml: `{url: "unix:///run/redis.sock?db=2"}`, want: "single /run/redis.sock db 2"},
		{name: "options in the URL", yaml: `{url: "redis://r3?db=4&socket_timeout=2.5&protocol=3&max_connections=7"}`, want: "single r3:6379 db 4"},
		{name: "TLS", yaml: "{host: r1, ssl: true}", want: "single r1:6379 db 0 tls"},
		{name: "no TLS", yaml: "{host: r1, ssl: false}", env: []string{"REDIS_SSL=True"}, want: "single r1:6379 db 0"},
		{name: "TLS from the environment", yaml: "{host: r1}", env: []string{"REDIS_SSL=True"}, want: "single r1:6379 db 0 tls"},
		{name: "a cluster", yaml: "{redis_startup_nodes: [{host: c1, port: 7001}, {host: c2, port: '7002'}], password: pw, ssl: true}", want: "cluster c1:7001,c2:7002 tls password pw"},
		{name: "a cluster by its other name", yaml: "{startup_nodes: [{host: c1, port: 7001}]}", want: "cluster c1:7001"},
		{name: "a cluster from the environment beside a server", yaml: "{host: r1, port: 2, db: 1}", env: []string{`REDIS_CLUSTER_NODES=[{"host":"c1","port":7001}]`}, want: "cluster c1:7001",
			says: []string{"warning: db is ignored", "warning: host is ignored"}},
		{name: "sentinels", yaml: "{sentinel_nodes: [[s1, 26379], [s2, '26380']], service_name: main, sentinel_password: spw, password: pw, db: 1}",
			want: "sentinel s1:26379,s2:26380 service main db 1 password pw sentinel password spw"},
		{name: "sentinels from the environment", env: []string{`REDIS_SENTINEL_NODES=[["s1", 26379]]`, "REDIS_SERVICE_NAME=main", "REDIS_SENTINEL_PASSWORD=spw"},
			want: "sentinel s1:26379 service main db 0 sentinel password spw"},

		{name: "nothing", want: "no Redis", says: []string{"error: Either 'host' or 'url' must be specified for redis."}},
		{name: "sentinels without a service", yaml: "{sentinel_nodes: [[s1, 26379]]}", want: "no Redis", says: []string{"error: Both 'sentinel_nodes' and 'service_name'"}},
		{name: "sentinels that are no pairs", yaml: "{sentinel_nodes: [s1], service_name: m}", want: "no Redis", says: []string{"error: the list of Redis servers must be a list such as"}},
		{name: "a cluster that is no JSON", env: []string{"REDIS_CLUSTER_NODES=c1:7001"}, want: "no Redis", says: []string{"error: REDIS_CLUSTER_NODES must be a list such as"}},
		{name: "a cluster without nodes", yaml: "{startup_nodes: []}", want: "no Redis", says: []string{"error: the list of nodes of the Redis cluster is empty"}},
		{name: "a port that is none", yaml: "{host: r1, port: http}", want: "no Redis", says: []string{"error: the Redis port is not a number"}},
		{name: "a port of a service link", yaml: "{host: r1}", env: []string{"REDIS_PORT=tcp://10.0.0.1:6379"}, want: "no Redis", says: []string{"error: REDIS_PORT is an address (tcp://…), not a port: Kubernetes"}},
		{name: "a URL that cannot be read", yaml: `{url: "redis://:p%w@r"}`, want: "no Redis", says: []string{"error: the Redis URL cannot be read"}},
		{name: "a URL of another kind", yaml: `{url: "http://r"}`, want: "no Redis", says: []string{"error: the Redis URL must begin with redis://"}},
		{name: "an unknown option", yaml: `{url: "redis://r?tiemout=1"}`, want: "single r:6379 db 0", says: []string{`warning: the option "tiemout" in the Redis URL`}},
		{name: "TLS options without TLS", yaml: `{url: "redis://r?ssl_cert_reqs=none"}`, want: "single r:6379 db 0", says: []string{"warning: ssl_cert_reqs in the Redis URL has no effect"}},
		{name: "a login that is not supported", yaml: "{host: r, gcp_service_account: x}", want: "no Redis", says: []string{"error: gcp_service_account asks for a Redis login with Google Cloud"}},
		{name: "a login that is off", yaml: "{host: r, aws_iam_auth: false}", want: "single r:6379 db 0"},
		{name: "numbers that are none", yaml: "{host: r, db: x, socket_timeout: -1, max_connections: 0, ssl: true, ssl_cert_reqs: maybe}", want: "no Redis",
			says: []string{"error: max_connections is not", "error: socket_timeout is not", "error: ssl_cert_reqs must be", "error: the Redis database"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var node *config.Node
			if tt.yaml != "" {
				node = parse(t, tt.yaml)
			}
			p, findings := FromCache(node, environ(tt.env...))
			if got := summary(p); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			check(t, findings, tt.says)
		})
	}
}

func check(t *testing.T, findings []finding.Finding, says []string) {
	t.Helper()
	got := messages(findings)
	ok := len(got) == len(says)
	for i := range got {
		ok = ok && strings.HasPrefix(got[i], says[i])
	}
	if !ok {
		t.Errorf("says %q, want %q", got, says)
	}
}

func TestFromRouter(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		env        []string
		want       string
		says       []string
	}{
		{name: "nothing", yaml: "{num_retries: 2}", env: []string{"REDIS_HOST=r2", "REDIS_PORT=1"}, want: "no Redis"},
		{name: "host and port", yaml: "{redis_host: r1, redis_port: 6380, redis_password: pw}", want: "single r1:6380 db 0 password pw"},
		{name: "host alone", yaml: "{redis_host: r1}", env: []string{"REDIS_PORT=1"}, want: "no Redis", says: []string{"warning: router_settings.redis_host is set without redis_port"}},
		{name: "port alone", yaml: "{redis_port: 1}", want: "no Redis", says: []string{"warning: router_settings.redis_port is set without redis_host"}},
		{name: "a URL", yaml: `{redis_url: "redis://r3:1/2"}`, want: "single r3:1 db 2"},
		{name: "more arguments", yaml: "{redis_host: r1, redis_port: 1, redis_db: 1, cache_kwargs: {db: 5, ssl: 'yes', max_connections: 100}}", want: "single r1:1 db 5 tls"},
		{name: "a cluster in the environment", yaml: "{redis_host: r1, redis_port: 1}", env: []string{`REDIS_CLUSTER_NODES=[{"host":"c1","port":7001}]`}, want: "cluster c1:7001",
			says: []string{"warning: host is ignored"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, findings := FromRouter(parse(t, tt.yaml), environ(tt.env...))
			if got := summary(p); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			check(t, findings, tt.says)
		})
	}
}

func TestTimeouts(t *testing.T) {
	type limits struct {
		Socket, Connect, Pool time.Duration
		Connections           int
	}
	get := func(p *Params) limits {
		return limits{p.SocketTimeout, p.ConnectTimeout, p.PoolTimeout, p.MaxConnections}
	}
	s := time.Second
	for _, tt := range []struct {
		name, yaml string
		env        []string
		want       limits
	}{
		{"defaults", "{host: r}", nil, limits{5 * s, 5 * s, 5 * s, 50}},
		{"from the configuration", "{host: r, socket_timeout: 0.5, socket_connect_timeout: '2', max_connections: 100}", nil, limits{s / 2, 2 * s, 5 * s, 100}},
		{"a variable that has no effect", "{host: r}", []string{"REDIS_SOCKET_TIMEOUT=0.1"}, limits{5 * s, 5 * s, 5 * s, 50}},
		{"a variable for sentinels", "{sentinel_nodes: [[s, 1]], service_name: m}", []string{"REDIS_SOCKET_TIMEOUT=0.1"}, limits{s / 10, s / 10, 5 * s, 50}},
		{"variables", "{host: r}", []string{"REDIS_MAX_CONNECTIONS=9", "REDIS_SOCKET_CONNECT_TIMEOUT=3", "REDIS_CONNECTION_POOL_TIMEOUT=1"}, limits{5 * s, 3 * s, s, 9}},
		{"from the URL", `{url: "redis://r?socket_timeout=2&socket_connect_timeout=3&max_connections=7", socket_timeout: 9}`, nil, limits{2 * s, 3 * s, 5 * s, 7}},
		{"beside the URL", `{url: "redis://r", socket_timeout: 9, max_connections: 8}`, nil, limits{9 * s, 9 * s, 5 * s, 8}},
	} {
		p, findings := FromCache(parse(t, tt.yaml), environ(tt.env...))
		if len(findings) > 0 {
			t.Errorf("%s: %v", tt.name, findings)
		}
		if d := cmp.Diff(tt.want, get(p)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func TestOriginsAndPositions(t *testing.T) {
	node := parse(t, "host: r1\nport: 6380\nssl: true\n")
	p, _ := FromCache(node, environ("REDIS_PASSWORD=pw"))
	if o := p.Origins["host"]; o.Kind != config.FromFile {
		t.Errorf("host from %v", o)
	}
	if o := p.Origins["password"]; o.Kind != config.FromVariable || o.Name != "REDIS_PASSWORD" {
		t.Errorf("password from %v", o)
	}
	if _, ok := p.Origins["url"]; ok {
		t.Error("an origin of what is not set")
	}
	_, findings := FromCache(parse(t, "host: r1\nport: 99999\n"), environ())
	if len(findings) != 1 || findings[0].Pos.Line != 2 {
		t.Errorf("%v", findings)
	}
}

func TestValuesThatCannotBeKnown(t *testing.T) {
	env := environ("REDIS_HOST=r1")
	env.Set(config.Var{Name: "REDIS_PASSWORD", Source: "deployment"})
	env.Set(config.Var{Name: "REDIS_PORT", Source: "deployment"})
	p, findings := FromCache(nil, env)
	if len(findings) > 0 || p.Mode != Single || !slices.Equal(p.Unknown, []string{"port", "password"}) {
		t.Errorf("%v, %v, unknown %v", p, findings, p.Unknown)
	}
}

func TestNoSecretIsPrinted(t *testing.T) {
	for _, yaml := range []string{
		"{host: r, password: hunter2hunter2, sentinel_password: hunter2hunter2}",
		`{url: "redis://u:hunter2hunter2@r:70000"}`,
		`{url: "redis://u:hunter2hunter2%zz@r"}`,
		`{url: "ftp://u:hunter2hunter2@r"}`,
		`{url: "redis://u:hunter2hunter2@r/x"}`,
		`{url: "redis://r?password=hunter2hunter2&x=1"}`,
	} {
		p, findings := FromCache(parse(t, yaml), environ())
		if text := fmt.Sprintf("%v %+v %#v %v", p, *p, *p, findings); strings.Contains(text, "hunter2") {
			t.Errorf("%s: %s", yaml, text)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{"redis://u:p@h:1/2?db=3", "rediss://[::1]:6379", "unix:///x?db=1", "redis://h?socket_timeout=1e3", "redis://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, findings := FromCache(nil, environ("REDIS_URL="+text))
		failed := slices.ContainsFunc(findings, func(f finding.Finding) bool { return f.Severity == finding.Error })
		if failed != (p.Mode == None) {
			t.Errorf("%q: %v with %v", text, p, findings)
		}
		if p.Mode != None && len(p.Addresses) != 1 {
			t.Errorf("%q: addresses %v", text, p.Addresses)
		}
	})
}
