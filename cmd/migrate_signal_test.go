//go:build unix

package cmd

import (
	"bytes"
	"context"
	"errors"
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

// startProgram runs this test binary as llmgw.
func startProgram(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "llmgw")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd := exec.Command(link, args...)
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, &errs
}

func TestMigrateEndsCleanlyOnSignals(t *testing.T) {
	dir := migrationFolder(t, map[string]string{"1": "CREATE TABLE half(i int); SELECT pg_sleep(60)"})
	for sig, want := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130, syscall.SIGKILL: -1} {
		t.Run(sig.String(), func(t *testing.T) {
			url := testenv.Postgres(t)
			conn, err := pgx.Connect(context.Background(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			ask := func(sql string) string {
				var out string
				if err := conn.QueryRow(context.Background(), "SELECT ("+sql+")::text").Scan(&out); err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
				return out
			}
			wait := func(what, sql, want string) {
				t.Helper()
				deadline := time.Now().Add(20 * time.Second)
				for ask(sql) != want {
					if time.Now().After(deadline) {
						t.Fatalf("never: %s", what)
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
			cmd, errs := startProgram(t, "migrate", "deploy", "--database-url", url, "--migrations-dir", dir)
			wait("the sleep runs", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()", "1")
			begin := time.Now()
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			code := 0
			if ee, ok := errors.AsType[*exec.ExitError](err); ok {
				code = ee.ExitCode()
			}
			if code != want || time.Since(begin) > 15*time.Second {
				t.Errorf("exit %d after %v, want %d\n%s", code, time.Since(begin), want, errs)
			}
			// Killed outright, nobody asks the server to stop: it notices by itself.
			wait("the server stops", "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'llmgw-migrate%' AND datname = current_database()", "0")
			row := ask(`SELECT format('%s %s %s', applied_steps_count, finished_at IS NOT NULL, coalesce(logs, 'NULL')) FROM "_prisma_migrations"`)
			rowWant := "0 f llmgw: cancelled by " + map[syscall.Signal]string{syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT"}[sig] + ", rolled back"
			if sig == syscall.SIGKILL {
				rowWant = "0 f NULL"
			} else if !strings.Contains(errs.String(), "LM1430: cancelled by SIG") {
				t.Errorf("stderr: %s", errs)
			}
			if row != rowWant {
				t.Errorf("row %q, want %q", row, rowWant)
			}
			if ask("SELECT to_regclass('half') IS NULL") != "true" {
				t.Error("half of the migration is there")
			}
			// The next deploy needs no operator; after SIGKILL it needs consent.
			fixed := migrationFolder(t, map[string]string{"1": "CREATE TABLE half(i int)"})
			next := []string{"deploy", "-q", "--database-url", url, "--migrations-dir", fixed}
			if sig == syscall.SIGKILL {
				if code, _, errs := runMigrate(t, next...); code != 1 || !strings.Contains(errs, "--retry-failed") {
					t.Errorf("after SIGKILL: exit %d: %s", code, errs)
				}
				next = append(next, "--retry-failed")
			}
			if code, _, errs := runMigrate(t, next...); code != 0 {
				t.Errorf("next deploy: exit %d: %s", code, errs)
			}
		})
	}
}
