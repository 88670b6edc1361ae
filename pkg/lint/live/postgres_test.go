package live

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/atrest"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/testenv"
)

// tables are the parts of LiteLLM's schema that doctor asks.
var tables = []string{
	`CREATE TABLE "_prisma_migrations" (id text, checksum text, finished_at timestamptz, migration_name text, logs text, rolled_back_at timestamptz, started_at timestamptz DEFAULT now(), applied_steps_count int DEFAULT 0)`,
	`CREATE TABLE "LiteLLM_SpendLogs" (request_id text PRIMARY KEY, "startTime" timestamp)`,
	`CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, expires timestamp)`,
	`CREATE TABLE "LiteLLM_DailyUserSpend" (id text PRIMARY KEY, api_key text)`,
	`CREATE TABLE "LiteLLM_ProxyModelTable" (model_id text PRIMARY KEY, litellm_params jsonb)`,
	`CREATE TABLE "LiteLLM_Config" (param_name text PRIMARY KEY, param_value jsonb)`,
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
