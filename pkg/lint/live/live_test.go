package live

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/atrest"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

const salt = "salt-of-the-test-9Yh3qLw2"

// model reads a config and its environment as doctor does.
func model(t *testing.T, text, env string) *rule.Model {
	t.Helper()
	dir := t.TempDir()
	o := lint.Options{Dir: dir, Paths: []string{"config.yaml"}}
	files := map[string]string{"config.yaml": text}
	if env != "" {
		files["litellm.env"], o.EnvFiles = env, []string{"litellm.env"}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := lint.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r.Model
}

func quick(o Options) Options {
	o.Timeout, o.gap = 20*time.Second, 50*time.Millisecond
	return o
}

func exec(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// tables are the parts of LiteLLM's schema that doctor asks.
var tables = []string{
	`CREATE TABLE "_prisma_migrations" (id text, checksum text, finished_at timestamptz, migration_name text, logs text, rolled_back_at timestamptz, started_at timestamptz DEFAULT now(), applied_steps_count int DEFAULT 0)`,
	`CREATE TABLE "LiteLLM_SpendLogs" (request_id text PRIMARY KEY, "startTime" timestamp)`,
	`CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, expires timestamp)`,
	`CREATE TABLE "LiteLLM_DailyUserSpend" (id text PRIMARY KEY, api_key text)`,
	`CREATE TABLE "LiteLLM_ProxyModelTable" (model_id text PRIMARY KEY, litellm_params jsonb)`,
	`CREATE TABLE "LiteLLM_Config" (param_name text PRIMARY KEY, param_value jsonb)`,
}

const plainConfig = `model_list: []
general_settings:
  master_key: sk-4b1f0c9d7e6a5832c1d0e9f8a7b6c5d4
  maximum_spend_logs_retention_period: 30d
`

func found(hits []rule.Hit) map[string]rule.Hit {
	out := map[string]rule.Hit{}
	for _, h := range hits {
		if old, ok := out[h.ID]; !ok || h.Severity > old.Severity {
			out[h.ID] = h
		}
	}
	return out
}

// Each case puts a healthy database into one bad state; only the named rules
// speak then, and none does without it.
func TestPostgresInABadStateIsFound(t *testing.T) {
	cipher := func(key string) string {
		k, err := atrest.NewKeys(redact.New(key))
		if err != nil {
			t.Fatal(err)
		}
		text, err := atrest.Seal(redact.New("sk-upstream-key-that-must-not-be-seen"), k, atrest.V2)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	sum := sha256.Sum256([]byte(salt))
	good := []string{
		`INSERT INTO "_prisma_migrations" (migration_name, checksum, finished_at) VALUES ('001_init', 'aa', now())`,
		`INSERT INTO "LiteLLM_SpendLogs" VALUES ('r', now())`,
		`INSERT INTO "LiteLLM_ProxyModelTable" VALUES ('m', '{"api_key": "` + cipher(salt) + `"}')`,
	}
	for _, tt := range []struct {
		name       string
		config     string
		statements []string
		want       map[string]string // rule, and what its message says
	}{
		{name: "a healthy database", want: map[string]string{}},
		{
			name:       "a failed migration",
			statements: []string{`INSERT INTO "_prisma_migrations" (migration_name, checksum) VALUES ('002_bad', 'bb')`},
			want:       map[string]string{"MIG008": "002_bad", "MIG010": "002_bad"},
		},
		{
			name:       "an unapplied migration",
			statements: []string{`DELETE FROM "_prisma_migrations"`},
			want:       map[string]string{"MIG009": "001_init"},
		},
		{
			name:       "no history at all",
			statements: []string{`DROP TABLE "_prisma_migrations"`},
			want:       map[string]string{"MIG009": "no history"},
		},
		{
			name:       "migrations of a newer release, and an edited one",
			statements: []string{`UPDATE "_prisma_migrations" SET checksum = 'xx'`, `INSERT INTO "_prisma_migrations" (migration_name, checksum, finished_at) VALUES ('999_future', 'cc', now())`},
			want:       map[string]string{"MIG010": "001_init"},
		},
		{
			name:       "old data",
			statements: []string{`INSERT INTO "LiteLLM_SpendLogs" VALUES ('old', now() - interval '62 days')`},
			want:       map[string]string{"RUN018": "62 days"},
		},
		{
			name:       "a large table",
			statements: []string{`UPDATE pg_class SET reltuples = 60000000 WHERE relname = 'LiteLLM_SpendLogs'`},
			want:       map[string]string{"RUN016": "60 million"},
		},
		{
			name:       "values of another salt",
			statements: []string{`INSERT INTO "LiteLLM_ProxyModelTable" VALUES ('n', '{"api_key": "` + cipher("another") + `"}')`},
			want:       map[string]string{"RUN019": "1 of 2"},
		},
		{
			name:       "the salt's hash among the keys",
			statements: []string{`INSERT INTO "LiteLLM_VerificationToken" VALUES ('` + hex.EncodeToString(sum[:]) + `')`},
			want:       map[string]string{"RUN034": "LiteLLM_VerificationToken"},
		},
		{
			name:       "more keys than the cache holds",
			statements: []string{`INSERT INTO "LiteLLM_VerificationToken" SELECT 'k' || n FROM generate_series(1, 300) n`},
			want:       map[string]string{"PRF013": "300 are active"},
		},
		{
			name:       "a stored switch against the file",
			config:     plainConfig + "  store_model_in_db: true\n  alerting: [slack]\n",
			statements: []string{`INSERT INTO "LiteLLM_Config" VALUES ('general_settings', '{"store_model_in_db": false, "alerting": ["slack"]}')`},
			want:       map[string]string{"RUN035": "switches it off"},
		},
		{
			name:       "keys that the database overrides",
			config:     plainConfig + "  store_model_in_db: true\n  alerting: [slack]\n",
			statements: []string{`INSERT INTO "LiteLLM_Config" VALUES ('general_settings', '{"alerting": ["email"]}')`},
			want:       map[string]string{"RUN035": "overrides alerting"},
		},
		{
			name: "partitions that end",
			statements: []string{`DROP TABLE "LiteLLM_SpendLogs"`,
				`CREATE TABLE "LiteLLM_SpendLogs" (request_id text, "startTime" timestamptz) PARTITION BY RANGE ("startTime")`,
				fmt.Sprintf(`CREATE TABLE p1 PARTITION OF "LiteLLM_SpendLogs" FOR VALUES FROM ('2020-01-01') TO ('%s')`, time.Now().Add(72*time.Hour).Format(time.DateOnly))},
			want: map[string]string{"RUN036": time.Now().Add(72 * time.Hour).UTC().Format(time.DateOnly)[:7]},
		},
		{
			name:   "a gateway that lets requests through without it",
			config: plainConfig + "  allow_requests_on_db_unavailable: true\n",
			want:   map[string]string{"RUN033": "worth trying"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := testenv.Postgres(t)
			exec(t, url, append(append(slices.Clone(tables), good...), tt.statements...)...)
			if tt.config == "" {
				tt.config = plainConfig
			}
			m := model(t, tt.config, "LITELLM_SALT_KEY="+salt+"\n")
			seen := Observe(t.Context(), m, quick(Options{DatabaseURL: redact.New(url), Set: []Migration{{"001_init", "aa"}}, SetName: "litellm"}))
			if seen.Postgres == nil || seen.Postgres.Failure != nil {
				t.Fatalf("not reached: %+v", seen.Postgres)
			}
			seen.Postgres.Settings["autovacuum"] = "on" // test servers run without
			texts := map[string]string{}
			for _, h := range Judge(seen, m) {
				if texts[h.ID] += h.Message + "\n"; tt.want[h.ID] == "" {
					t.Errorf("%s speaks as well: %s", h.ID, h.Message)
				}
			}
			for id, says := range tt.want {
				if !strings.Contains(texts[id], says) {
					t.Errorf("%s does not say %q: %q", id, says, texts[id])
				}
			}
			again := replay(t, seen)
			if a, b := Judge(seen, m), Judge(again, m); len(a) != len(b) {
				t.Errorf("replayed it says %d things instead of %d", len(b), len(a))
			}
		})
	}
}

// replay writes an observation and reads it back; it must hold no secret.
func replay(t *testing.T, seen *Observation) *Observation {
	t.Helper()
	data, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{testenv.Password, salt, "sk-upstream"} {
		if strings.Contains(string(data), secret) {
			t.Errorf("the observation holds %s", secret)
		}
	}
	again, err := ParseObservation(data)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestSessionsThatBlockAndFillPostgresAreFound(t *testing.T) {
	server := testenv.PostgresServer(t, testenv.PostgresOptions{Settings: map[string]string{
		"max_connections": "12", "superuser_reserved_connections": "2", "autovacuum": "off",
	}})
	url := server.URL("postgres")
	exec(t, url, `CREATE TABLE "LiteLLM_SpendLogs" (request_id text PRIMARY KEY, "startTime" timestamp)`, `INSERT INTO "LiteLLM_SpendLogs" VALUES ('r', now())`)
	var held []*pgx.Conn
	for range 8 {
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	defer func() {
		for _, c := range held {
			c.Close(context.Background())
		}
	}()
	for _, c := range held[:2] {
		if _, err := c.Exec(t.Context(), "BEGIN"); err != nil {
			t.Fatal(err)
		}
	}
	lock := `SELECT * FROM "LiteLLM_SpendLogs" WHERE request_id = 'r' FOR UPDATE`
	if _, err := held[0].Exec(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	waiting, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _, _ = held[1].Exec(waiting, lock) }()
	defer func() { cancel(); <-done }()
	time.Sleep(300 * time.Millisecond)

	seen := Observe(t.Context(), nil, quick(Options{DatabaseURL: redact.New(url)}))
	p := seen.Postgres
	if len(p.Blocked) != 1 || len(p.Blocked[0].By) != 1 || len(p.Idle) != 1 {
		t.Fatalf("blocked %+v idle %+v", p.Blocked, p.Idle)
	}
	got := found(Judge(seen, nil))
	if h := got["RUN013"]; h.Severity.String() != "warning" || !strings.Contains(h.Message, "9 of 10 connections") {
		t.Errorf("RUN013: %+v", h)
	}
	if got["RUN017"].Message != "autovacuum is off" {
		t.Errorf("RUN017: %q", got["RUN017"].Message)
	}
	if _, ok := got["RUN014"]; ok {
		t.Error("RUN014 speaks after less than a second")
	}
	// The same sessions a minute later.
	p.Blocked[0].Seconds, p.Idle[0].Seconds = 75, 75
	var texts []string
	for _, h := range Judge(seen, nil) {
		if h.ID == "RUN014" {
			texts = append(texts, h.Severity.String()+" "+h.Message)
		}
	}
	if all := strings.Join(texts, "\n"); len(texts) != 2 || !strings.Contains(all, "error pid") || !strings.Contains(all, "warning pid") || !strings.Contains(all, "idle in a transaction for 75 s") {
		t.Errorf("RUN014: %q", texts)
	}
	if most, _, _ := seen.Ceiling(); most.Value != 12 {
		t.Errorf("the ceiling is %v", most)
	}
	// A server without room is a finding, with the stage.
	for range 20 {
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			break
		}
		held = append(held, c)
	}
	h := found(Judge(Observe(t.Context(), nil, quick(Options{DatabaseURL: redact.New(url)})), nil))["RUN011"]
	if !strings.Contains(h.Message, "too many clients") {
		t.Errorf("RUN011: %q", h.Message)
	}
}

func TestDeadlocksBetweenTwoLooksAreFound(t *testing.T) {
	url := testenv.Postgres(t)
	exec(t, url, `CREATE TABLE d (n int)`, `INSERT INTO d VALUES (1), (2)`)
	o := quick(Options{DatabaseURL: redact.New(url)})
	o.gap = 2 * time.Second
	result := make(chan *Observation)
	go func() { result <- Observe(context.Background(), nil, o) }()
	time.Sleep(500 * time.Millisecond)
	var both [2]*pgx.Conn
	for i := range both {
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		both[i] = c
		for _, s := range []string{"SET deadlock_timeout = '50ms'", "BEGIN", fmt.Sprintf("UPDATE d SET n = n WHERE n = %d", i+1)} {
			if _, err := c.Exec(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	errs := make(chan error, 2)
	for i, c := range both {
		go func() {
			_, err := c.Exec(context.Background(), fmt.Sprintf("UPDATE d SET n = n WHERE n = %d", 2-i))
			_, _ = c.Exec(context.Background(), "ROLLBACK")
			errs <- err
		}()
	}
	if a, b := <-errs, <-errs; a == nil && b == nil {
		t.Fatal("no deadlock")
	}
	for _, c := range both {
		c.Close(context.Background()) // the counter is told at the end
	}
	seen := <-result
	if h := found(Judge(seen, nil))["RUN015"]; !strings.Contains(h.Message, "1 deadlocks") {
		t.Errorf("RUN015: %q, %+v", h.Message, seen.Postgres.Deadlocks)
	}
}

func TestAnUnreachablePostgresIsAFindingThatNamesTheStage(t *testing.T) {
	server := testenv.PostgresServer(t)
	url := server.URL("postgres")
	exec(t, url, `CREATE ROLE app LOGIN PASSWORD 'right'`)
	host := fmt.Sprintf("%s:%d", server.Host, server.Port)
	for _, tt := range []struct{ name, url, stage string }{
		{"a name that does not resolve", "postgres://u:p@database.invalid/x", "name"},
		{"a port without a server", "postgres://u:p@127.0.0.1:1/x", "network"},
		{"a wrong password", "postgres://app:wrong@" + host + "/postgres", "login"},
		{"a server without TLS", "postgres://app:right@" + host + "/postgres?sslmode=require", "tls"},
		{"a URL that is none", "mysql://u:p@h/x", "settings"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hits := Judge(Observe(t.Context(), nil, quick(Options{DatabaseURL: redact.New(tt.url)})), nil)
			if h := found(hits)["RUN011"]; h.Path != tt.stage || len(hits) != 1 {
				t.Errorf("stage %q: %s", h.Path, h.Message)
			}
		})
	}
}

func TestRedisInABadStateIsFound(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		config string
		do     func(t *testing.T, url string)
		before string
		want   map[string]string
	}{
		{name: "a healthy server", want: map[string]string{}},
		{
			name: "an evicting server", args: []string{"--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"},
			do: fill, want: map[string]string{"RUN022": "evicted"},
		},
		{
			name: "a full server", args: []string{"--maxmemory", "3mb", "--maxmemory-policy", "noeviction"},
			do: fill, want: map[string]string{"RUN022": "makes writes fail"},
		},
		{
			name: "a policy that loses spend", args: []string{"--maxmemory-policy", "allkeys-lru", "--appendonly", "no"},
			config: plainConfig + "  use_redis_transaction_buffer: true\n",
			want:   map[string]string{"RUN022": "allkeys-lru", "RDS008": "append-only"},
		},
		{
			name: "a user without the channel", before: "ACL SETUSER default resetchannels",
			want: map[string]string{"RDS004": "may not subscribe"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := testenv.RedisServer(t, tt.args...).URL("0")
			if tt.before != "" {
				command(t, url, tt.before)
			}
			var m *rule.Model
			if tt.config != "" {
				m = model(t, tt.config, "")
			}
			stop := make(chan struct{})
			ended := make(chan struct{})
			o := quick(Options{RedisURL: redact.New(url)})
			go func() {
				defer close(ended)
				for tt.do != nil {
					select {
					case <-stop:
						return
					default:
						tt.do(t, url)
					}
				}
			}()
			if tt.do != nil {
				time.Sleep(300 * time.Millisecond)
				o.gap = time.Second
			}
			seen := Observe(t.Context(), m, o)
			close(stop)
			<-ended
			seen.Redis.P99 = 0 // a test machine may be slow
			got := found(Judge(seen, m))
			for id, says := range tt.want {
				all := ""
				for _, h := range Judge(seen, m) {
					if h.ID == id {
						all += h.Message
					}
				}
				if !strings.Contains(all, says) {
					t.Errorf("%s does not say %q: %q", id, says, all)
				}
			}
			for id, h := range got {
				if tt.want[id] == "" {
					t.Errorf("%s speaks as well: %s", id, h.Message)
				}
			}
		})
	}
}

// gateway is a stand-in whose answers a test chooses.
func gateway(t *testing.T, answers map[string]int, version string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if r.Header.Get("Authorization") != "" {
			path += " " + r.Header.Get("Authorization")[7:]
		}
		w.Header().Set("x-litellm-version", version)
		code, ok := answers[path]
		if !ok {
			code = map[string]int{"/health/liveliness": 200, "/health/readiness": 200, "/v1/models": 401, "/v1/models sk-1234": 401}[path]
		}
		if code == 0 {
			code = 404
		}
		if path == "/login" && code == 303 {
			w.Header().Set("Location", "/ui/")
		}
		if strings.HasPrefix(path, "/v1/chat") {
			w.Header().Set("x-litellm-overhead-duration-ms", "180")
		}
		w.WriteHeader(code)
		if path == "/health/readiness" {
			fmt.Fprintf(w, `{"status":"healthy","db":"Not connected","litellm_version":%q}`, version)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestAGatewayInABadStateIsFound(t *testing.T) {
	database := plainConfig + "  database_url: postgres://u:p@127.0.0.1:1/x\n  allow_requests_on_db_unavailable: true\n"
	for _, tt := range []struct {
		name    string
		answers map[string]int
		config  string
		o       Options
		public  bool
		want    []string
	}{
		{name: "a healthy gateway"},
		{name: "one that is not alive", answers: map[string]int{"/health/liveliness": 500}, want: []string{"RUN001"}},
		{name: "one that is not ready", answers: map[string]int{"/health/readiness": 503}, config: database, want: []string{"RUN002", "RUN011"}},
		{name: "one without its database", config: database, want: []string{"RUN003", "RUN011"}},
		{name: "one without keys", answers: map[string]int{"/v1/models": 200, "/v1/models sk-1234": 200}, want: []string{"RUN004"}},
		{name: "one with the tutorial's key", answers: map[string]int{"/v1/models sk-1234": 200}, want: []string{"RUN005"}},
		{name: "one with the tutorial's login", answers: map[string]int{"/login": 303}, o: Options{AuthProbe: true}, want: []string{"RUN006"}},
		{name: "one with open documentation", answers: map[string]int{"/docs": 200}, want: []string{"RUN008"}},
		{name: "open metrics inside", answers: map[string]int{"/metrics": 200}},
		{name: "open metrics and headers outside", answers: map[string]int{"/metrics": 200}, public: true, want: []string{"RUN009", "RUN010"}},
		{name: "a slow one", answers: map[string]int{"/v1/chat/completions": 200}, o: Options{Probe: "m"}, want: []string{"RUN026"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := gateway(t, tt.answers, "1.95.2")
			o := quick(tt.o)
			o.URLs = []string{s.URL}
			o.public = func(netip.Addr) bool { return tt.public }
			var m *rule.Model
			if tt.config != "" {
				m = model(t, tt.config, "")
			}
			var got []string
			for id := range found(Judge(Observe(t.Context(), m, o), m)) {
				got = append(got, id)
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestReplicasOfDifferentVersionsAreFound(t *testing.T) {
	a, b := gateway(t, nil, "1.95.2"), gateway(t, nil, "1.93.0")
	seen := Observe(t.Context(), nil, quick(Options{URLs: []string{a.URL, b.URL}}))
	if h := found(Judge(seen, nil))["RUN028"]; !strings.Contains(h.Message, "1.93.0") {
		t.Errorf("RUN028: %q", h.Message)
	}
}

func TestUpstreamsAreLookedAtWithoutARequest(t *testing.T) {
	asked := 0
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Authorization") != "Bearer sk-upstream" {
			t.Errorf("the key is %q", r.Header.Get("Authorization"))
		}
		w.WriteHeader(401)
	}))
	defer secure.Close()
	config := func(base, more string) string {
		return "model_list:\n  - model_name: a\n    litellm_params: {model: openai/x, api_key: sk-upstream, api_base: \"" + base + "\"" + more + "}\n"
	}
	for _, tt := range []struct {
		name, config string
		models       bool
		says         string
	}{
		{"a port without a server", config("http://127.0.0.1:1", ""), false, "no connection"},
		{"a name that does not resolve", config("https://up.invalid/v1", ""), false, "name does not resolve"},
		{"an unknown authority", config(secure.URL, ""), false, "TLS fails"},
		{"a certificate that nobody checks", config(secure.URL, ", ssl_verify: false"), false, ""},
		{"a key that is rejected", config(secure.URL, ", ssl_verify: false"), true, "rejects the key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := model(t, tt.config, "")
			seen := Observe(t.Context(), m, quick(Options{Models: tt.models}))
			got := ""
			for _, h := range Judge(seen, m) {
				got += h.ID + " " + h.Message
				if h.Pos.Line != 3 {
					t.Errorf("it points at %s", h.Pos)
				}
			}
			if tt.says == "" && got != "" || !strings.Contains(got, tt.says) {
				t.Errorf("it says %q", got)
			}
		})
	}
	if asked != 1 {
		t.Errorf("%d requests were sent, one was allowed", asked)
	}
	j := &judge{seen: &Observation{At: time.Now()}}
	j.upstream(Upstream{Address: "https://u:443", TLS: &Certificate{"TLS 1.3", time.Now().Add(3 * 24 * time.Hour)}})
	if len(j.hits) != 1 || !strings.Contains(j.hits[0].Message, "ends in 3 days") {
		t.Errorf("a certificate near its end: %v", j.hits)
	}
}

func TestLogsAreLookedThrough(t *testing.T) {
	text := "INFO: 10.0.0.1 - \"POST /chat/completions HTTP/1.1\" 200 OK\n" +
		strings.Repeat("x", 3*maxLine) + "\n" +
		"10:02:11 - LiteLLM Proxy:DEBUG: utils.py:340 - sk-secret\n" +
		"[Errno 30] Read-only file system: '/app/x'\n" +
		"Error code: P2024\nFATAL: too many clients already\n"
	l, err := ReadLog("gateway.log", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	got := found(Judge(&Observation{Logs: []Log{l}}, nil))
	for id, line := range map[string]int{"RUN007": 3, "RUN030": 4, "RUN032": 5} {
		if got[id].Pos.Line != line {
			t.Errorf("%s points at %s", id, got[id].Pos)
		}
	}
	quiet, _ := ReadLog("gateway.log", strings.NewReader("INFO: DEBUGGER attached\n"))
	if len(quiet.Count) != 0 {
		t.Errorf("a quiet log says %v", quiet.Count)
	}
}

// What no server can be put into within a test is judged from its numbers.
func TestNumbersBeyondTheThresholdsAreFound(t *testing.T) {
	now := time.Now()
	old := now.Add(-9 * 24 * time.Hour)
	no := false
	for _, tt := range []struct {
		name, id, severity string
		seen               Observation
	}{
		{"an old Postgres", "RUN012", "warning", Observation{Postgres: &Postgres{Settings: map[string]string{"server_version_num": "120019", "server_version": "12.19"}}}},
		{"dead rows", "RUN017", "warning", Observation{Postgres: &Postgres{Tables: []Table{{Name: "LiteLLM_SpendLogs", Live: 2_000_000, Dead: 1_500_000}}}}},
		{"a vacuum long ago", "RUN017", "warning", Observation{Postgres: &Postgres{Tables: []Table{{Name: "LiteLLM_SpendLogs", Live: 10, Dead: 5000, Autovacuum: &old}}}}},
		{"no TLS to another host", "RUN031", "warning", Observation{Postgres: &Postgres{TLS: &no}}},
		{"an old Redis", "RUN021", "error", Observation{Redis: &Redis{Info: map[string]string{"redis_version": "6.2.14"}}}},
		{"an old Valkey", "RUN021", "error", Observation{Redis: &Redis{Info: map[string]string{"redis_version": "7.2.4", "valkey_version": "7.1.0"}}}},
		{"a slow Redis", "RUN023", "error", Observation{Redis: &Redis{P99: 31}}},
		{"a slower Redis", "RUN023", "warning", Observation{Redis: &Redis{P99: 8}}},
		{"many clients of Redis", "RUN022", "warning", Observation{Redis: &Redis{Info: map[string]string{"maxclients": "100", "connected_clients": "90"}}}},
		{"a cluster behind one address", "RDS003", "warning", Observation{Redis: &Redis{ClusterFor: "single", Info: map[string]string{"redis_mode": "cluster"}}}},
		{"clocks apart", "RUN024", "error", Observation{Redis: &Redis{Clock: &Clock{Ahead: 40, Error: 0.1}}}},
		{"clocks a little apart", "RUN024", "warning", Observation{Postgres: &Postgres{Clock: &Clock{Ahead: -4, Error: 0.1}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.seen.At = now
			hits := Judge(&tt.seen, nil)
			if len(hits) != 1 || hits[0].ID != tt.id || hits[0].Severity.String() != tt.severity {
				t.Errorf("got %+v", hits)
			}
		})
	}
	fine := Observation{At: now, Redis: &Redis{P99: 4, Clock: &Clock{Ahead: 2.05, Error: 0.1}, Info: map[string]string{"redis_version": "7.0.1"}}}
	if hits := Judge(&fine, nil); len(hits) != 0 {
		t.Errorf("a good state says %v", hits)
	}
}

func TestAHangingGatewayEndsWithTheTimeout(t *testing.T) {
	block := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block }))
	defer s.Close()
	defer close(block)
	o := Options{URLs: []string{s.URL}, Timeout: 500 * time.Millisecond}
	start := time.Now()
	seen := Observe(t.Context(), nil, o)
	if h := found(Judge(seen, nil))["RUN001"]; !strings.Contains(h.Message, "no answer in time") {
		t.Errorf("RUN001: %q", h.Message)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if !slices.ContainsFunc(seen.Missed, func(m Missed) bool { return m.ID == "RUN004" && m.Wanted }) {
		t.Errorf("missed: %v", seen.Missed)
	}
}

// A Redis that does not answer is a finding that says why, and nothing else is
// asked of it.
func TestAnUnreachableRedisIsAFindingThatNamesTheStage(t *testing.T) {
	given, err := url.Parse(testenv.RedisServer(t, "--requirepass", "right-password").URL("0"))
	if err != nil {
		t.Fatal(err)
	}
	locked, wrong := "redis://"+given.Host+"/0", "redis://:wrong-password@"+given.Host+"/0"
	for name, c := range map[string]struct{ url, says string }{
		"a port without a server": {"redis://127.0.0.1:1/0", "no connection"},
		"no password":             {locked, "the login is refused"},
		"the wrong password":      {wrong, "the login is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := Observe(t.Context(), nil, quick(Options{RedisURL: redact.New(c.url)}))
			var got []string
			for _, h := range Judge(seen, nil) {
				got = append(got, h.ID+" "+h.Message)
			}
			if len(got) != 1 || !strings.HasPrefix(got[0], "RUN020 ") || !strings.Contains(got[0], c.says) {
				t.Errorf("it says %q, want RUN020 with %s", got, c.says)
			}
			if text := fmt.Sprint(got, seen); strings.Contains(text, "wrong-password") {
				t.Errorf("it shows the password: %s", text)
			}
			if !slices.ContainsFunc(seen.Missed, func(m Missed) bool { return m.ID == "RUN021" && m.Wanted }) {
				t.Errorf("missed %+v", seen.Missed)
			}
		})
	}
}
