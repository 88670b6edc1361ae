package live

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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
