//go:build unix

package cmd

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/testenv"
)

// served is a serve under test.
type served struct {
	t    *testing.T
	base string
	cmd  *exec.Cmd
	errs interface{ String() string }
}

func startServe(t *testing.T, url string, env []string, args ...string) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("general_settings:\n  master_key: sk-a-long-and-unusual-key\n  database_url: os.environ/DATABASE_URL\nmodel_list: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DATABASE_URL", url)
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	cmd, errs := startProgram(t, append([]string{"serve", "-c", file, "--host", "127.0.0.1", "--port", fmt.Sprint(port), "--store", "none"}, args...)...)
	return &served{t, fmt.Sprintf("http://127.0.0.1:%d", port), cmd, errs}
}

// until polls a path for a status and returns the body.
func (s *served) until(path string, status int) string {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	last := ""
	for time.Now().Before(deadline) {
		resp, err := http.Get(s.base + path)
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == status {
				return string(body)
			}
			last = fmt.Sprint(resp.StatusCode, " ", string(body))
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("%s never answered %d: %s\n%s", path, status, last, s.errs)
	return ""
}

// stop ends it and waits, so that its messages can be read.
func (s *served) stop() string {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	return s.errs.String()
}

func askDatabase(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var out *string
	if err := conn.QueryRow(context.Background(), "SELECT ("+sql+")::text").Scan(&out); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if out == nil {
		return "NULL"
	}
	return *out
}

const tableCount = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"

func TestServeSetsUpAnEmptySchemaBeforeItListens(t *testing.T) {
	url := testenv.Postgres(t)
	s := startServe(t, url, nil)
	s.until("/health/readiness", 200)
	if askDatabase(t, url, tableCount) == "0" {
		t.Error("no table was made")
	}
	if errs := s.stop(); !strings.Contains(errs, "the database's schema is set up") {
		t.Error(errs)
	}
}

func TestServeLeavesASchemaWithTablesAlone(t *testing.T) {
	url := testenv.Postgres(t)
	askDatabase(t, url, "SELECT 1")
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), `CREATE TABLE theirs(i int)`); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, url, nil)
	body := s.until("/health/readiness", 503)
	if !strings.Contains(body, `"missing":"table \"LiteLLM_`) {
		t.Error(body)
	}
	if body := s.until("/health/liveliness", 200); !strings.Contains(body, "alive") {
		t.Error(body)
	}
	if got := askDatabase(t, url, tableCount); got != "1" {
		t.Errorf("%s tables", got)
	}
	// Once somebody has migrated, it is ready without a restart.
	if code, _, errs := runMigrate(t, "deploy", "--set", "llmgw", "--auto-baseline", "--database-url", url); code != 0 {
		t.Fatal(errs)
	}
	s.until("/health/readiness", 200)
	errs := s.stop()
	for _, want := range []string{"the database is left as it is", "not ready: table", "the database's schema is complete: ready"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not in\n%s", want, errs)
		}
	}
}

func TestServeMigratesWhereItIsToldTo(t *testing.T) {
	for name, v := range map[string]struct {
		env  []string
		args []string
		want bool
	}{
		"--migrate":                           {args: []string{"--migrate"}, want: true},
		"the variable says false":             {env: []string{"DISABLE_SCHEMA_UPDATE=false"}, want: true},
		"the variable says true":              {env: []string{"DISABLE_SCHEMA_UPDATE=true"}},
		"the variable says 1":                 {env: []string{"DISABLE_SCHEMA_UPDATE=1"}},
		"--migrate is over the variable":      {env: []string{"DISABLE_SCHEMA_UPDATE=true"}, args: []string{"--migrate"}, want: true},
		"nothing is said, one is applied":     {},
		"--skip_server_startup does and ends": {args: []string{"--skip_server_startup"}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			url := testenv.Postgres(t)
			// The first migration of our own set is applied; the others are pending.
			if code, _, errs := runMigrate(t, "deploy", "--set", "llmgw", "--to", "llmgw_0001_budgets_and_access", "--database-url", url); code != 0 {
				t.Fatal(errs)
			}
			before := askDatabase(t, url, tableCount)
			s := startServe(t, url, v.env, v.args...)
			switch {
			case len(v.args) > 0 && v.args[0] == "--skip_server_startup":
				if err := s.cmd.Wait(); err != nil {
					t.Errorf("%v\n%s", err, s.errs)
				}
			case v.want:
				s.until("/health/readiness", 200)
			default:
				s.until("/health/readiness", 503)
			}
			if migrated := askDatabase(t, url, tableCount) != before; migrated != v.want {
				t.Errorf("migrated: %v, want %v\n%s", migrated, v.want, s.stop())
			}
			s.stop()
		})
	}
}

func TestServeEndsWhenAMigrationThatWasAskedForFails(t *testing.T) {
	url := testenv.Postgres(t)
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), `CREATE TABLE theirs(i int)`); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, url, nil, "--migrate")
	if err := s.cmd.Wait(); err == nil || s.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(s.errs.String(), "P3005") {
		t.Errorf("%v\n%s", err, s.errs)
	}
	gone := startServe(t, "postgresql://u:p@127.0.0.1:1/none", nil, "--migrate=false")
	gone.until("/health/liveliness", 200)
	gone.stop()
}

// With --require-schema the tables are not enough: the last migration must be
// there, too.
func TestServeWithRequireSchemaWaitsForTheHead(t *testing.T) {
	url := testenv.Postgres(t)
	if code, _, errs := runMigrate(t, "deploy", "--set", "llmgw", "--database-url", url); code != 0 {
		t.Fatal(errs)
	}
	// All tables are there, and one migration is said not to be.
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), `UPDATE "_prisma_migrations" SET rolled_back_at = now(), finished_at = NULL WHERE migration_name = 'llmgw_0006_daily_spend'`); err != nil {
		t.Fatal(err)
	}
	plain := startServe(t, url, nil)
	plain.until("/health/readiness", 200)
	plain.stop()
	s := startServe(t, url, nil, "--require-schema")
	if body := s.until("/health/readiness", 503); !strings.Contains(body, "1 migration pending") {
		t.Error(body)
	}
	s.until("/health/liveliness", 200)
	if code, _, errs := runMigrate(t, "deploy", "--set", "llmgw", "--database-url", url); code != 0 {
		t.Fatal(errs)
	}
	s.until("/health/readiness", 200)
	s.stop()
}
