package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/testenv"
)

// runMigrate runs the whole program as a user would, with a clean environment.
func runMigrate(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	for _, name := range []string{
		"LLMGW_MIGRATE_DATABASE_URL", "DIRECT_URL", "DATABASE_URL", "DATABASE_HOST", "CONFIG_FILE_PATH", "LITELLM_MIGRATION_DIR",
		"PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK", "LITELLM_PRISMA_MIGRATE_DEPLOY_TIMEOUT",
	} {
		if os.Getenv(name) != "" && !strings.HasPrefix(os.Getenv(name), keep) {
			t.Setenv(name, "")
		}
	}
	var out, errs bytes.Buffer
	code = Execute(append([]string{"llmgw", "migrate"}, args...), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	if strings.Contains(out.String()+errs.String(), testenv.Password) {
		t.Errorf("llmgw migrate %s shows the password", strings.Join(args, " "))
	}
	return code, out.String(), errs.String()
}

// keep marks values that a test has set on purpose.
const keep = "postgresql://postgres"

func migrationFolder(t *testing.T, list map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, sql := range list {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "migration.sql"), []byte(sql), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMigrateDeployBringsAnEmptyDatabaseToTheOwnSet(t *testing.T) {
	url := testenv.Postgres(t)
	code, out, errs := runMigrate(t, "deploy", "--database-url", url)
	if code != 0 || !strings.Contains(out, "All migrations have been successfully applied.") || !strings.Contains(errs, ":***@") ||
		!strings.Contains(errs, "(from --database-url)") || !strings.Contains(errs, "applying llmgw_0003_virtual_keys") {
		t.Fatalf("exit %d\n%s\n%s", code, out, errs)
	}
	if code, out, _ = runMigrate(t, "deploy", "--database-url", url); code != 0 || !strings.Contains(out, "No pending migrations to apply.") {
		t.Errorf("again: exit %d\n%s", code, out)
	}
	if code, out, _ = runMigrate(t, "status", "--database-url", url); code != 0 || !strings.Contains(out, "Database schema is up to date!") || !strings.Contains(out, "llmgw_0001_budgets_and_access") {
		t.Errorf("status: exit %d\n%s", code, out)
	}
	if code, out, _ = runMigrate(t, "status", "--check", "-q", "--database-url", url); code != 0 || out != "" {
		t.Errorf("status --check: exit %d\n%s", code, out)
	}
}

func TestMigrateJSONIsOneObjectAndJSONLIsEvents(t *testing.T) {
	url := testenv.Postgres(t)
	dir := migrationFolder(t, map[string]string{"1_init": "CREATE TABLE a(i int);", "2_bad": "SELECT 1/0;"})
	code, out, errs := runMigrate(t, "deploy", "--database-url", url, "--migrations-dir", dir, "--format", "json")
	var got struct {
		Schema, Command string
		OK              bool
		ExitCode        int `json:"exit_code"`
		Found           int
		Applied         []struct{ Name, Mode string }
		Pending         []string
		Failed          struct{ Name, Code, SQLState, Message string }
		Lock            struct{ Key int }
		Database        struct {
			Name, Schema  string
			ServerVersion string `json:"server_version"`
		}
	}
	dec := json.NewDecoder(strings.NewReader(out))
	if err := dec.Decode(&got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if dec.More() {
		t.Errorf("more than one object:\n%s", out)
	}
	if code != 1 || got.ExitCode != 1 || got.OK || got.Schema != "llmgw.migrate.deploy/1" || got.Found != 2 || len(got.Applied) != 1 || got.Applied[0].Mode != "atomic" ||
		got.Failed.Name != "2_bad" || got.Failed.Code != "P3018" || got.Failed.SQLState != "22012" || got.Lock.Key != 72707369 || got.Database.ServerVersion == "" {
		t.Errorf("exit %d: %+v", code, got)
	}
	if !strings.HasPrefix(out, "{\n  \"schema\": \"llmgw.migrate.deploy/1\"") || !strings.Contains(errs, "Migration name: 2_bad") {
		t.Errorf("stdout %.60s, stderr %s", out, errs)
	}

	url = testenv.Postgres(t)
	_, out, _ = runMigrate(t, "deploy", "--database-url", url, "--migrations-dir", dir, "--format", "jsonl")
	var events []string
	for line := range strings.Lines(out) {
		var e struct{ Event, Schema string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, e.Event)
	}
	want := "lock_acquired planned migration_started statement_done migration_finished migration_started migration_failed summary"
	if got := strings.Join(events, " "); got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	code, out, _ = runMigrate(t, "status", "--database-url", url, "--migrations-dir", dir, "--format", "json")
	if code != 1 || !strings.HasPrefix(out, "{\n  \"schema\": \"llmgw.migrate.status/1\"") || !strings.Contains(out, `"state": "failed"`) {
		t.Errorf("status: exit %d\n%s", code, out)
	}
}

func TestMigrateExitCodes(t *testing.T) {
	ok := migrationFolder(t, map[string]string{"1": "CREATE TABLE a(i int)"})
	bad := migrationFolder(t, map[string]string{"1": "CREATE TABLE a(i int)", "2": "SELECT 1/0"})
	refused := migrationFolder(t, map[string]string{"1": "BEGIN; SELECT 1"})
	latin := migrationFolder(t, map[string]string{"1": "SELECT '\xe4'"})
	without := t.TempDir()
	if err := os.Mkdir(filepath.Join(without, "1_nothing"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "postgresql://u:" + testenv.Password + "@" + l.Addr().String() + "/x"
	l.Close()
	prepared := func(folders ...string) func(t *testing.T) string {
		return func(t *testing.T) string {
			url := testenv.Postgres(t)
			for _, f := range folders {
				runMigrate(t, "deploy", "-q", "--database-url", url, "--migrations-dir", f)
			}
			return url
		}
	}
	tests := map[string]struct {
		url  func(t *testing.T) string
		args []string
		code int
		say  string // in what the user sees
	}{
		"applied":                       {prepared(), []string{"deploy", "--migrations-dir", ok}, 0, "1 migration found"},
		"failed":                        {prepared(), []string{"deploy", "--migrations-dir", bad}, 1, "division by zero"},
		"failed, in detail":             {prepared(), []string{"deploy", "--migrations-dir", bad, "--detailed-exitcode"}, 11, "P3018"},
		"blocked":                       {prepared(bad), []string{"deploy", "--migrations-dir", bad}, 1, "P3009"},
		"blocked, in detail":            {prepared(bad), []string{"deploy", "--migrations-dir", bad, "--detailed-exitcode"}, 11, "P3009"},
		"refused":                       {prepared(), []string{"deploy", "--migrations-dir", refused}, 1, "TXN002"},
		"refused, in detail":            {prepared(), []string{"deploy", "--migrations-dir", refused, "--detailed-exitcode"}, 16, "TXN002"},
		"status pending":                {prepared(), []string{"status", "--migrations-dir", ok}, 1, "1 migration is pending"},
		"status pending, in detail":     {prepared(), []string{"status", "--migrations-dir", ok, "--detailed-exitcode"}, 10, "pending"},
		"status failed, in detail":      {prepared(bad), []string{"status", "--migrations-dir", bad, "--detailed-exitcode"}, 11, "has failed"},
		"status check says only errors": {prepared(), []string{"status", "--migrations-dir", ok, "--check", "-q"}, 1, "1 migration pending"},
		"status of an unknown head":     {prepared(), []string{"status", "--migrations-dir", ok, "--min-head", "9"}, 2, "--min-head 9"},
		"status up to a head":           {prepared(ok), []string{"status", "--migrations-dir", bad, "--min-head", "1"}, 0, "2"},
		"status below a head":           {prepared(ok), []string{"status", "--migrations-dir", bad, "--min-head", "2"}, 1, "pending"},
		"no such database":              {func(t *testing.T) string { return testenv.Postgres(t) + "_not" }, []string{"deploy", "--migrations-dir", ok}, 3, "P1003"},
		"nobody there":                  {func(*testing.T) string { return gone }, []string{"deploy", "--migrations-dir", ok, "--connect-wait", "0"}, 3, "connection refused"},
		"nobody there, in Prisma's way": {func(*testing.T) string { return gone }, []string{"deploy", "--migrations-dir", ok, "--connect-wait", "0", "--prisma-compat"}, 1, "Error: P1001\n\nCan't reach database server at"},
		"nobody there, status":          {func(*testing.T) string { return gone }, []string{"status", "--migrations-dir", ok, "--connect-wait", "0"}, 3, "P1001"},
		"a name that does not resolve":  {func(*testing.T) string { return "postgresql://u@no-such-host.invalid/x" }, []string{"deploy", "--migrations-dir", ok, "--connect-wait", "0"}, 3, "does not resolve"},
		"TLS that the server lacks":     {func(t *testing.T) string { return testenv.Postgres(t) + "?sslmode=require" }, []string{"deploy", "--migrations-dir", ok}, 3, "offers no TLS"},
		"an edited migration, strict":   {prepared(ok), []string{"deploy", "--strict", "--migrations-dir", migrationFolder(t, map[string]string{"1": "SELECT 2"})}, 1, "changed after it was applied: 1"},
		"an edited migration":           {prepared(ok), []string{"deploy", "--migrations-dir", migrationFolder(t, map[string]string{"1": "SELECT 2"})}, 0, "warning: 1: the file was changed"},
		"a missing applied migration":   {prepared(bad), []string{"status", "--migrations-dir", ok}, 1, "failed"},
		"an empty folder":               {prepared(), []string{"deploy", "--migrations-dir", t.TempDir()}, 0, "holds no migrations"},
		"no such folder":                {prepared(), []string{"deploy", "--migrations-dir", "/no/such"}, 2, "/no/such does not exist"},
		"a file for a folder":           {prepared(), []string{"deploy", "--migrations-dir", "migrate_test.go"}, 2, "is a file"},
		"a file that is not UTF-8":      {prepared(), []string{"deploy", "--migrations-dir", latin}, 2, "not UTF-8"},
		"a folder without a file":       {prepared(), []string{"deploy", "--migrations-dir", without}, 1, "P3015"},
		"a package that is none":        {prepared(), []string{"deploy", "--migrations-from", "migrate_test.go"}, 2, "neither a wheel"},
		"a package that is not there":   {prepared(), []string{"deploy", "--migrations-from", "/no/such.whl"}, 2, "no such file"},
		"two sources":                   {prepared(), []string{"deploy", "--migrations-from", "x.whl", "--migrations-dir", ok}, 2, "drop one"},
		"the own set from files":        {prepared(), []string{"deploy", "--set", "llmgw", "--migrations-dir", ok}, 2, "reads no files"},
		"LiteLLM's set without files":   {prepared(), []string{"deploy", "--set", "litellm"}, 2, "litellm-proxy-extras"},
		"an unknown set":                {prepared(), []string{"deploy", "--set", "x"}, 2, "--set x"},
		"the own set on LiteLLM's":      {prepared(ok), []string{"deploy"}, 2, "LM0007"},
		"files on the own set's": {func(t *testing.T) string {
			u := testenv.Postgres(t)
			runMigrate(t, "deploy", "-q", "--database-url", u)
			return u
		}, []string{"deploy", "--migrations-dir", ok}, 2, "LM0005"},
		"a limit in the future":      {prepared(), []string{"deploy", "--migrations-dir", bad, "--to", "1"}, 0, "still pending: 2"},
		"a limit that is unknown":    {prepared(), []string{"deploy", "--migrations-dir", ok, "--to", "7"}, 2, "--to 7"},
		"a dry run":                  {prepared(), []string{"deploy", "--migrations-dir", bad, "--dry-run"}, 0, "Would apply 2 migrations"},
		"a deadline":                 {prepared(), []string{"deploy", "--timeout", "300ms", "--migrations-dir", migrationFolder(t, map[string]string{"1": "SELECT pg_sleep(30)"})}, 1, "cancelled by --timeout"},
		"negative retries":           {prepared(), []string{"deploy", "--max-retries", "-1"}, 2, "negative"},
		"an unsupported scheme":      {func(*testing.T) string { return "mysql://u:" + testenv.Password + "@h/x" }, []string{"deploy"}, 2, "unsupported scheme 'mysql'"},
		"in Prisma's words":          {prepared(), []string{"deploy", "--migrations-dir", ok, "--prisma-compat"}, 0, "1 migration found in prisma/migrations"},
		"in Prisma's words, pending": {prepared(), []string{"status", "--migrations-dir", ok, "--prisma-compat"}, 1, "Following migration have not yet been applied:\n1\n\nTo apply migrations in development run prisma migrate dev."},
		"in Prisma's words, not managed": {func(t *testing.T) string {
			u := testenv.Postgres(t)
			runMigrate(t, "deploy", "-q", "--database-url", u)
			return u + "?schema=other"
		}, []string{"status", "--prisma-compat"}, 1, "Following migrations have not yet been applied"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := append(tt.args, "--database-url", tt.url(t))
			code, out, errs := runMigrate(t, args...)
			if code != tt.code || !strings.Contains(out+errs, tt.say) {
				t.Errorf("exit %d, want %d and %q\nstdout: %s\nstderr: %s", code, tt.code, tt.say, out, errs)
			}
			if strings.Contains(errs, "goroutine") || strings.Contains(errs, "pgconn") || strings.Contains(errs, "%!") {
				t.Errorf("stderr speaks of our insides: %s", errs)
			}
		})
	}
}

func TestMigrateFindsTheDatabase(t *testing.T) {
	url := testenv.Postgres(t)
	dir := migrationFolder(t, map[string]string{"1": "SELECT 1"})
	t.Setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/not-this-one")
	configFile := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(configFile, []byte("general_settings:\n  database_url: os.environ/MY_DB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A reference that does not resolve must not fall through to DATABASE_URL.
	if code, _, errs := runMigrate(t, "status", "-c", configFile, "--migrations-dir", dir); code != 2 || !strings.Contains(errs, "MY_DB, which is not set") {
		t.Errorf("exit %d: %s", code, errs)
	}
	t.Setenv("MY_DB", url)
	code, _, errs := runMigrate(t, "deploy", "-c", configFile, "--migrations-dir", dir)
	if code != 0 || !strings.Contains(errs, "(from general_settings.database_url (") || !strings.Contains(errs, "config.yaml:2:") || !strings.Contains(errs, "DATABASE_URL names another database") {
		t.Errorf("from the configuration: exit %d: %s", code, errs)
	}
	t.Setenv("DIRECT_URL", url)
	t.Setenv("MY_DB", "postgresql://postgres@127.0.0.1:1/not-this-one")
	if code, _, errs := runMigrate(t, "status", "-c", configFile, "--migrations-dir", dir); code != 0 || !strings.Contains(errs, "(from DIRECT_URL)") {
		t.Errorf("from DIRECT_URL: exit %d: %s", code, errs)
	}
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DIRECT_URL", "postgresql://postgres@127.0.0.1:1/not-this-one")
	if code, _, errs := runMigrate(t, "status", "--database-url-file", file, "--migrations-dir", dir); code != 0 {
		t.Errorf("from a file: exit %d: %s", code, errs)
	}
}

func TestMigrateTakesLiteLLMsFilesFromTheirFolder(t *testing.T) {
	url := testenv.Postgres(t)
	base := t.TempDir()
	if err := os.MkdirAll(filepath.Join(base, "migrations", "20250101000000_theirs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "migrations", "20250101000000_theirs", "migration.sql"), []byte("CREATE TABLE theirs(i int)"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	t.Setenv("LITELLM_MIGRATION_DIR", base)
	code := Execute([]string{"llmgw", "migrate", "deploy", "--database-url", url, "--format", "json"}, Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	if code != 0 || !strings.Contains(out.String(), `"set": "litellm"`) || !strings.Contains(out.String(), "20250101000000_theirs") {
		t.Errorf("exit %d\n%s\n%s", code, out.String(), errs.String())
	}
	// The volume of LiteLLM's chart is empty at first; then our own set is used.
	t.Setenv("LITELLM_MIGRATION_DIR", t.TempDir())
	out.Reset()
	code = Execute([]string{"llmgw", "migrate", "deploy", "--database-url", testenv.Postgres(t), "--format", "json"}, Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	if code != 0 || !strings.Contains(out.String(), `"set": "llmgw"`) {
		t.Errorf("empty folder: exit %d\n%s\n%s", code, out.String(), errs.String())
	}
}

// A question that the server refuses is not an answer.
func TestMigrateStatusDoesNotSayFineWhereItCouldNotLook(t *testing.T) {
	url := testenv.Postgres(t)
	dir := migrationFolder(t, map[string]string{"1": "CREATE TABLE a(i int)"})
	runMigrate(t, "deploy", "-q", "--database-url", url, "--migrations-dir", dir)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "CREATE ROLE blind LOGIN PASSWORD 'pw'"); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = conn.Exec(context.Background(), "DROP ROLE blind") }()
	blind := strings.Replace(url, "postgres:"+testenv.Password, "blind:pw", 1)
	for _, command := range []string{"status", "diff", "wait"} {
		code, out, errs := runMigrate(t, command, "--database-url", blind, "--migrations-dir", dir, "--timeout", "2s")
		if code == 0 || strings.Contains(out, "up to date") || strings.Contains(out, "0 differences") || !strings.Contains(errs, "permission denied for table _prisma_migrations") {
			t.Errorf("%s: exit %d\n%s\n%s", command, code, out, errs)
		}
	}
}

// MC17: no mark, two marks, an empty name.
func TestMC17ResolveWantsOneKindOfMark(t *testing.T) {
	for name, args := range map[string][]string{
		"none": {}, "both": {"--applied", "1", "--rolled-back", "2"}, "empty": {"--applied", ""}, "through and rolled back": {"--all-through", "1", "--rolled-back", "2"},
	} {
		args = append([]string{"resolve", "--database-url", "postgresql://u@127.0.0.1:1/x"}, args...)
		if code, _, errs := runMigrate(t, args...); code != 2 || !strings.Contains(errs, "--applied") {
			t.Errorf("%s: %d %s", name, code, errs)
		}
		if code, _, _ := runMigrate(t, append(args, "--prisma-compat")...); code != 1 {
			t.Errorf("%s as Prisma: %d", name, code)
		}
	}
}

// Every command answers in JSON with its schema first, alone on standard output.
func TestMigrateCommandsAnswerInJSON(t *testing.T) {
	url := testenv.Postgres(t)
	dir := migrationFolder(t, map[string]string{"1": "CREATE TABLE a(i int)", "2": "CREATE TABLE b(i int)"})
	for _, v := range []struct {
		args []string
		code int
	}{
		{[]string{"plan"}, 0}, {[]string{"resolve", "--applied", "1"}, 0}, {[]string{"deploy"}, 0}, {[]string{"diff", "--detailed-exitcode"}, 13}, {[]string{"wait"}, 0},
		{[]string{"baseline"}, 1}, {[]string{"baseline", "--detailed-exitcode"}, 16}, {[]string{"unlock"}, 0}, {[]string{"repair-indexes"}, 0}, {[]string{"status"}, 0}, {[]string{"lint"}, 0}, {[]string{"plan", "--offline"}, 0},
		{[]string{"resolve", "--applied", "1"}, 1}, {[]string{"plan", "--offline", "--pg-version", "3"}, 2}, {[]string{"baseline", "--through", "9"}, 2},
	} {
		args := append(v.args, "--format", "json", "--migrations-dir", dir)
		if v.args[0] != "lint" {
			args = append(args, "--database-url", url)
		}
		code, out, errs := runMigrate(t, args...)
		if code != v.code {
			t.Errorf("%v: exit %d, want %d\n%s", v.args, code, v.code, errs)
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(out), &object); err != nil {
			t.Errorf("%v: %v in %q", v.args, err, out)
			continue
		}
		if want := "llmgw.migrate." + v.args[0] + "/1"; code != 2 && (object["schema"] != want || !strings.HasPrefix(strings.TrimSpace(out), "{\n  \"schema\": \""+want)) {
			t.Errorf("%v: schema %v", v.args, object["schema"])
		}
		if strings.Contains(out+errs, testenv.Password) {
			t.Errorf("%v shows the password", v.args)
		}
	}
}
