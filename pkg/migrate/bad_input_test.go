//go:build unix

package migrate

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/testenv"
)

// TestMC50EachBadInputIsOneSentence holds the whole text of each way in which a
// deploy cannot do its work. What differs from run to run is replaced: {at} is
// the address, {db} the database.
func TestMC50EachBadInputIsOneSentence(t *testing.T) {
	one := map[string]string{"1": initSQL}
	odd := t.TempDir()
	if err := os.MkdirAll(odd+"/1/migration.sql", 0o755); err != nil {
		t.Fatal(err)
	}
	plain := func(t *testing.T) string { return testenv.Postgres(t) }
	deployed := func(list map[string]string) func(t *testing.T) string {
		return func(t *testing.T) string {
			url := testenv.Postgres(t)
			deploy(t, url, files(t, list), Options{}, "")
			return url
		}
	}
	pooler := func(mode string) func(t *testing.T) string {
		return func(t *testing.T) string {
			s := testenv.PostgresServer(t)
			sql(t, s.URL("postgres"), "CREATE DATABASE app")
			return strings.Replace(s.URL("app"), fmt.Sprint(":", s.Port), fmt.Sprint(":", pgbouncer(t, s.URL("app"), mode)), 1)
		}
	}
	for name, tt := range map[string]struct {
		url  func(t *testing.T) string
		list map[string]string
		fsys fs.FS // instead of list
		o    Options
		say  string
	}{
		"a wrong password": {url: func(t *testing.T) string {
			url := testenv.Postgres(t)
			sql(t, url, "CREATE ROLE mc50 LOGIN PASSWORD 'right'")
			t.Cleanup(func() { sql(t, url, "DROP ROLE mc50") })
			return asRole(url, "mc50", "wrong")
		}, say: "P1000: Authentication failed against database server, the provided database credentials for `mc50` are not valid.\nCheck user and password of postgresql://mc50:***@{at}/{db}."},
		"nobody listens": {url: func(*testing.T) string { return "postgresql://u@127.0.0.1:1/x?connect_timeout=60" },
			say: "P1001: Can't reach database server at `127.0.0.1:1`\n\nPlease make sure your database server is running at `127.0.0.1:1`.\nReason: connection refused."},
		"no such host": {url: func(*testing.T) string { return "postgresql://u@no-such-host.invalid/x?connect_timeout=60" },
			say: "P1001: Can't reach database server at `no-such-host.invalid:5432`\n\nPlease make sure your database server is running at `no-such-host.invalid:5432`.\nReason: the host name does not resolve."},
		"no such database": {url: func(t *testing.T) string { return testenv.Postgres(t) + "_not" },
			say: "P1003: Database `{db}_not` does not exist on the server at `{at}`.\nCreate it: createdb {db}_not"},
		"TLS that the server lacks": {url: func(t *testing.T) string { return testenv.Postgres(t) + "?sslmode=require" },
			say: "P1011: Error opening a TLS connection to `{at}`: the server offers no TLS, and the URL requires it"},
		"a database that is read-only": {url: func(t *testing.T) string {
			url := testenv.Postgres(t)
			sql(t, url, "ALTER DATABASE "+value(t, url, "SELECT current_database()")+" SET default_transaction_read_only = on")
			return url
		}, say: "LM0004: postgresql://postgres:***@{at}/{db} is read-only for user `postgres`: default_transaction_read_only is on\nTurn it off for that user or database, or give another one in DIRECT_URL or --database-url."},
		"a replica": {url: func(t *testing.T) string {
			return testenv.PostgresServer(t, testenv.PostgresOptions{Files: map[string][]byte{"standby.signal": {}}, Settings: map[string]string{"hot_standby": "on"}}).URL("postgres")
		}, say: "LM0004: postgresql://postgres:***@{at}/postgres is a read-only replica, and migrations need the primary\nGive the primary's address in DIRECT_URL or --database-url."},
		"a pooler in transaction mode": {url: pooler("transaction"), o: Options{ConnectWait: 20 * time.Second},
			say: "LM0002: postgresql://postgres:***@{at}/app is a transaction pooler: two statements in a row may run on different server sessions, so the advisory lock would be orphaned on one of them and lock everybody out\nGive the database's own address in DIRECT_URL or --database-url."},
		"a file that is not UTF-8": {url: plain, list: map[string]string{"1": "SELECT '\xe4'"}, say: "cannot use migrations/1/migration.sql: the file is not UTF-8 text"},
		"a file that is a folder": {url: plain, fsys: os.DirFS(odd),
			say: "cannot use migrations/1/migration.sql: is a directory"},
		"a folder without a file": {url: plain, fsys: fstest.MapFS{"1/README": {Data: []byte("x")}},
			say: "P3015: Could not find the migration file at migrations/1/migration.sql. Please delete the directory or restore the migration file."},
		"files for another database": {url: plain, fsys: fstest.MapFS{"migration_lock.toml": {Data: []byte(`provider = "mysql"`)}, "1/migration.sql": {Data: []byte("SELECT 1")}},
			say: "P3019: The datasource provider `postgresql` specified in your schema does not match the one specified in the migration_lock.toml, `mysql`. Please remove your current migration directory and start a new migration history with prisma migrate dev. Read more: https://pris.ly/d/migrate-provider-switch"},
		"an edited migration, strict": {url: deployed(one), list: map[string]string{"1": "SELECT 2"}, o: Options{Strict: true},
			say: "LM0008: --strict: changed after it was applied: 1\nNothing was changed. Put the files back as they were applied, or deploy without --strict."},
		"a missing applied migration, strict": {url: deployed(one), list: map[string]string{"2": "SELECT 2"}, o: Options{Strict: true},
			say: "LM0008: --strict: applied but not in the set: 1\nNothing was changed. Put the files back as they were applied, or deploy without --strict."},
		"tables and no history": {url: func(t *testing.T) string {
			url := testenv.Postgres(t)
			sql(t, url, `CREATE TABLE "Old"(id int)`)
			return url
		}, say: "P3005: The database schema is not empty. Read more about how to baseline an existing production database: https://pris.ly/d/migrate-baseline\nSchema \"public\" has 1 table (Old) and no migration history."},
		"another deploy at work": {url: func(t *testing.T) string {
			url := testenv.Postgres(t)
			t.Cleanup(holdLock(t, url))
			return url
		}, o: Options{LockTimeout: 50 * time.Millisecond},
			say: "P1002: The database server at `127.0.0.1`:`{port}` was reached but timed out.\n\nPlease try again.\n\nPlease make sure your database server is running at `127.0.0.1`:`{port}`.\n\n" +
				"Context: Timed out trying to acquire a postgres advisory lock (SELECT pg_advisory_lock(72707369)). Timeout: 50ms. See https://pris.ly/d/migrate-advisory-locking for details.\n" +
				"Another migration is under way: the lock is held by pid {n} (somebody-else) from 127.0.0.1, idle for {n}s, last statement: SELECT pg_advisory_lock(72707369). --wait waits for it."},
		"a file that fails": {url: plain, list: map[string]string{"1": "CREATE TABLE a(i int);\nSELECT 1/0;"},
			say: "P3018: A migration failed to apply. New migrations cannot be applied before the error is recovered from.\n\nMigration name: 1\n\nDatabase error code: 22012\n\nDatabase error:\nERROR: division by zero\nNothing of it was kept. Mend the cause, then llmgw migrate deploy --retry-failed."},
		"a file with its own transactions that fails": {url: plain, list: map[string]string{"1": "BEGIN; CREATE TABLE a(i int); COMMIT; SELECT 1/0;"},
			say: "P3018: A migration failed to apply. New migrations cannot be applied before the error is recovered from.\n\nMigration name: 1\n\nDatabase error code: 22012\n\nDatabase error:\nERROR: division by zero\nIt has transactions of its own, so a part may be kept. Mend the cause and look, then llmgw migrate resolve --rolled-back \"1\" (it runs again) or --applied."},
		"a statement that cannot be read": {url: plain, list: map[string]string{"1": "CREATE TABLE a(i int);\nSELEC 1;"},
			say: "P3018: A migration failed to apply. New migrations cannot be applied before the error is recovered from.\n\nMigration name: 1\n\nDatabase error code: 42601\n\nDatabase error:\nERROR: syntax error at or near \"SELEC\"\n\nPosition:\n  1 CREATE TABLE a(i int);\n  2 SELEC 1;\nAt: 1/migration.sql:2\nNothing of it was kept. Mend the cause, then llmgw migrate deploy --retry-failed."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := tt.url(t)
			var set *Set
			switch {
			case tt.fsys != nil:
				var err error
				if set, err = ReadDir(tt.fsys, "migrations"); err != nil {
					t.Fatal(err)
				}
			case tt.list != nil:
				set = files(t, tt.list)
			default:
				set = files(t, one)
			}
			_, err := provider(t, url, set, tt.o).Deploy(context.Background())
			if err == nil {
				t.Fatal("it went well")
			}
			c, perr := pgx.ParseConfig(url)
			if perr != nil {
				t.Fatal(perr)
			}
			got := err.Error()
			if c.Port != 1 && c.Host == "127.0.0.1" {
				db := strings.TrimSuffix(c.Database, "_not")
				got = strings.NewReplacer(fmt.Sprintf("127.0.0.1:%d", c.Port), "{at}", fmt.Sprintf("`%d`", c.Port), "`{port}`").Replace(got)
				if strings.HasPrefix(db, "test_") {
					got = strings.ReplaceAll(got, db, "{db}")
				}
			}
			got = regexp.MustCompile(`pid \d+|for \d+s`).ReplaceAllStringFunc(got, func(s string) string { return regexp.MustCompile(`\d+`).ReplaceAllString(s, "{n}") })
			if diff := cmp.Diff(tt.say, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Prisma's and LiteLLM's own recovery take "already exists" for "applied".
func TestWhatIsThereAlreadyIsNotTakenForApplied(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	sql(t, url, `ALTER TABLE "A" ADD COLUMN b int`)
	set := files(t, map[string]string{"1": initSQL, "2": `ALTER TABLE "A" ADD COLUMN b int; CREATE TABLE "B"(id int);`})
	_, err := provider(t, url, set, Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "P3018"); e.SQLState != "42701" {
		t.Errorf("%+v", e)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,f,T")
	// Nor may an operator say so while a part of it is missing.
	_, err = provider(t, url, set, Options{}).Resolve(context.Background(), ResolveRequest{Applied: []string{"2"}, Verify: true})
	if e := wantCode(t, err, "LM0011"); !strings.Contains(e.Message, "2 lacks table B") {
		t.Error(e)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,f,T")
}

// TestPartitionedSpendLogsGoThroughTheChain has the table partitioned by time, as
// operators of large installations do, before later releases index it.
func TestPartitionedSpendLogsGoThroughTheChain(t *testing.T) {
	set := extras(t)
	from := -1
	for i, m := range set.Migrations {
		if from < 0 && i > 20 && strings.Contains(m.SQL, "INDEX") && strings.Contains(m.SQL, `ON "LiteLLM_SpendLogs"`) {
			from = i
		}
	}
	if from < 0 {
		t.Fatal("no later migration indexes the spend logs")
	}
	url := testenv.Postgres(t)
	deploy(t, url, set, Options{To: set.Migrations[from-1].Name}, "")
	sql(t, url, `ALTER TABLE "LiteLLM_SpendLogs" RENAME TO old_logs;
		CREATE TABLE "LiteLLM_SpendLogs" (LIKE old_logs INCLUDING DEFAULTS) PARTITION BY RANGE ("startTime");
		ALTER TABLE "LiteLLM_SpendLogs" ADD PRIMARY KEY (request_id, "startTime");
		DROP TABLE old_logs;
		CREATE TABLE logs_2025 PARTITION OF "LiteLLM_SpendLogs" FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
		CREATE TABLE logs_rest PARTITION OF "LiteLLM_SpendLogs" DEFAULT;`)
	r := deploy(t, url, set, Options{OnlineIndexes: true}, "")
	t.Logf("%d migrations behind the partitioning, %v", len(r.Applied), r.Warnings)
	if _, err := provider(t, url, set, Options{}).RepairIndexes(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	if n := value(t, url, `SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT (indisvalid AND indisready)`); n != "0" {
		t.Errorf("%s invalid indexes", n)
	}
	for _, x := range afterMigrations {
		if got := valid(t, url, x.name); got != "true" {
			t.Errorf("%s: %s", x.name, got)
		}
		if n := value(t, url, `SELECT count(*) FROM pg_inherits WHERE inhparent = '"`+x.name+`"'::regclass`); n != "2" {
			t.Errorf("%s is on %s partitions", x.name, n)
		}
	}
	if s, e := status(t, url, set); e != nil || len(s.Pending) != 0 {
		t.Errorf("%v %v", e, s.Pending)
	}
}

// Settings of the role or the database that would mislead a careless reader or
// cut a migration short, as managed services and administrators leave them.
func TestSettingsOfTheRoleDoNotMislead(t *testing.T) {
	url := testenv.Postgres(t)
	db := value(t, url, "SELECT quote_ident(current_database())")
	sql(t, url, fmt.Sprintf(`CREATE ROLE odd LOGIN PASSWORD 'pw'; ALTER DATABASE %[1]s OWNER TO odd; GRANT ALL ON SCHEMA public TO odd;
		ALTER ROLE odd IN DATABASE %[1]s SET search_path = 'app, "$user"'; ALTER ROLE odd IN DATABASE %[1]s SET statement_timeout = '200ms';
		ALTER ROLE odd IN DATABASE %[1]s SET lock_timeout = '1ms'; ALTER ROLE odd IN DATABASE %[1]s SET default_transaction_isolation = 'serializable';
		ALTER ROLE odd IN DATABASE %[1]s SET datestyle = 'German, DMY'; ALTER ROLE odd IN DATABASE %[1]s SET timezone = 'Asia/Kolkata';
		ALTER ROLE odd IN DATABASE %[1]s SET intervalstyle = 'sql_standard'; ALTER ROLE odd IN DATABASE %[1]s SET bytea_output = 'escape'`, db))
	if since(t, url, 14) {
		sql(t, url, fmt.Sprintf("ALTER ROLE odd IN DATABASE %s SET idle_session_timeout = '100ms'", db))
	}
	if since(t, url, 17) {
		sql(t, url, fmt.Sprintf("ALTER ROLE odd IN DATABASE %s SET transaction_timeout = '200ms'", db))
	}
	t.Cleanup(func() { sql(t, url, "REASSIGN OWNED BY odd TO postgres; DROP OWNED BY odd; DROP ROLE odd") })
	as := asRole(url, "odd", "pw")
	set := files(t, map[string]string{"1": initSQL, "2": `SELECT pg_sleep(0.5); CREATE TABLE "B"(id int)`, "3": `CREATE INDEX CONCURRENTLY x ON "A"(id)`})
	deploy(t, as, set, Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N", "3: 1,t,f,N")
	r, e := status(t, as, set)
	if e != nil || !r.InSync || r.Migrations[0].AppliedAt == nil || time.Since(*r.Migrations[0].AppliedAt).Abs() > time.Hour {
		t.Errorf("%v %+v", e, r)
	}
	if _, err := provider(t, as, set, Options{}).Diff(context.Background(), DiffRequest{}); err != nil {
		t.Error(err)
	}
}

func TestAFileThatNamesThePublicSchemaIsSaidBeforeTheFirstChange(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL, "2": "SELECT 1;\nCREATE TABLE \"public\".\"B\"(id int);\nGRANT SELECT ON \"A\" TO PUBLIC;"})
	if r := deploy(t, url, set, Options{DryRun: true}, ""); len(r.Warnings) != 0 {
		t.Errorf("%v", r.Warnings)
	}
	r := deploy(t, url+"?schema=other", set, Options{DryRun: true}, "")
	if len(r.Warnings) != 1 || r.Warnings[0].Migration != "2" || !strings.Contains(r.Warnings[0].Message, `line 2 names the schema "public"`) {
		t.Errorf("%v", r.Warnings)
	}
	if p, err := provider(t, url+"?schema=other", set, Options{}).Plan(context.Background()); err != nil || len(p.Warnings) != 1 {
		t.Errorf("%v %v", err, p.Warnings)
	}
}
