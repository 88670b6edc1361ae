package migrate

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/testenv"
)

// The cases of the conformance table that deploy and status decide, by their
// numbers. Each was observed on real Prisma; where we differ on purpose, the
// test says so.

func TestMC01FreshDeploy(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"20250101000000_init": initSQL})
	r := deploy(t, url, set, Options{}, "")
	wantHistory(t, url, "20250101000000_init: 1,t,f,N")
	if len(r.Applied) != 1 || r.Applied[0].Mode != Atomic || len(r.Pending) != 0 || !there(t, url, `"A"`) || !lockFree(t, url) {
		t.Errorf("result %+v", r)
	}
	if got := value(t, url, `SELECT checksum FROM "_prisma_migrations"`); got != Checksum(initSQL) || len(got) != 64 {
		t.Errorf("checksum %s", got)
	}
	want := "id character varying(36) NO , checksum character varying(64) NO , finished_at timestamp with time zone YES , " +
		"migration_name character varying(255) NO , logs text YES , rolled_back_at timestamp with time zone YES , " +
		"started_at timestamp with time zone NO now(), applied_steps_count integer NO 0"
	got := value(t, url, `SELECT string_agg(format('%s %s %s %s', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN attnotnull THEN 'NO' ELSE 'YES' END, pg_get_expr(adbin, adrelid)), ', ' ORDER BY attnum)
		FROM pg_attribute a LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum WHERE attrelid = '"_prisma_migrations"'::regclass AND attnum > 0`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history table: %s", diff)
	}
	if got := value(t, url, `SELECT string_agg(indexdef, ';') FROM pg_indexes WHERE tablename = '_prisma_migrations'`); got != "CREATE UNIQUE INDEX _prisma_migrations_pkey ON public._prisma_migrations USING btree (id)" {
		t.Errorf("indexes: %s", got)
	}
}

func TestMC02SecondDeployFindsNothing(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"init": initSQL})
	deploy(t, url, set, Options{}, "")
	r := deploy(t, url, set, Options{}, "")
	var b strings.Builder
	if err := r.Text(&b, true); err != nil || !strings.Contains(b.String(), "No pending migrations to apply.") {
		t.Errorf("text %q, %v", b.String(), err)
	}
	wantHistory(t, url, "init: 1,t,f,N")
}

func TestMC03EmptyFolderEmptyDatabase(t *testing.T) {
	url := testenv.Postgres(t)
	if r, _ := status(t, url, files(t, nil)); !r.Empty || r.Managed {
		t.Errorf("before: %+v", r)
	}
	deploy(t, url, files(t, nil), Options{}, "")
	wantHistory(t, url)
}

func status(t *testing.T, url string, set *Set) (*StatusResult, *Error) {
	t.Helper()
	r, err := provider(t, url, set, Options{}).Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r, r.Err(false)
}

func states(r *StatusResult) string {
	var list []string
	for _, m := range r.Migrations {
		list = append(list, m.Name+"="+string(m.State))
	}
	return strings.Join(list, " ")
}

func TestMC04StatusInSync(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"init": initSQL})
	deploy(t, url, set, Options{}, "")
	if r, e := status(t, url, set); e != nil || !r.InSync || states(r) != "init=applied" {
		t.Errorf("%v %s", e, states(r))
	}
	// The history without its folders is in sync, too.
	if r, e := status(t, url, files(t, nil)); e != nil || !r.InSync || states(r) != "init=missing" {
		t.Errorf("empty folder: %v %s", e, states(r))
	}
}

func TestMC05StatusPending(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	r, e := status(t, url, files(t, map[string]string{"1": initSQL, "2": "SELECT 1"}))
	if e == nil || states(r) != "1=applied 2=pending" {
		t.Errorf("%v %s", e, states(r))
	}
	wantHistory(t, url, "1: 1,t,f,N")
}

// failing is the folder of MC06: the second file fails in its second
// statement.
func failing(t *testing.T) *Set {
	return files(t, map[string]string{
		"1_init": initSQL,
		"2_bad":  "CREATE TABLE \"B\"(id int);\nCREATE TABLE \"C\"(id int,,);",
		"3_more": `CREATE TABLE "D"(id int);`,
	})
}

func TestMC06AFailingFileLeavesNothing(t *testing.T) {
	for name, bad := range map[string]string{
		"syntax error": "CREATE TABLE \"B\"(id int);\nCREATE TABLE \"C\"(id int,,);",
		"run time":     "CREATE TABLE \"B\"(id int);\n\nSELECT 1/0;",
	} {
		t.Run(name, func(t *testing.T) {
			url := testenv.Postgres(t)
			set := files(t, map[string]string{"1_init": initSQL, "2_bad": bad, "3_more": `CREATE TABLE "D"(id int);`})
			r, err := provider(t, url, set, Options{}).Deploy(context.Background())
			e := wantCode(t, err, "P3018")
			wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,f,T")
			if there(t, url, `"B"`) || there(t, url, `"D"`) || !there(t, url, `"A"`) {
				t.Error("something of the second or third file is there")
			}
			text := e.Error()
			for _, want := range []string{"P3018", "Migration name: 2_bad", "Database error code: " + e.SQLState, "Database error:\nERROR: "} {
				if !strings.Contains(text, want) {
					t.Errorf("%q lacks %q", text, want)
				}
			}
			if name == "syntax error" && (e.SQLState != "42601" || e.Line != 2) {
				t.Errorf("state %s line %d", e.SQLState, e.Line)
			}
			if r.Failed == nil || r.Failed.Name != "2_bad" || len(r.Applied) != 1 || len(r.Pending) != 2 {
				t.Errorf("result %+v", r)
			}
			if !lockFree(t, url) {
				t.Error("the lock is still held")
			}
		})
	}
}

func TestMC07AFailedRowBlocks(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, failing(t), Options{}, "P3018")
	_, err := provider(t, url, failing(t), Options{}).Deploy(context.Background())
	e := wantCode(t, err, "P3009")
	if !strings.HasPrefix(e.Message, "migrate found failed migrations in the target database, new migrations will not be applied.") ||
		!strings.Contains(e.Error(), "The `2_bad` migration started at ") {
		t.Errorf("text: %s", e)
	}
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,f,T")

	// With consent, a row of ours that ran in one transaction may run again.
	fixed := files(t, map[string]string{"1_init": initSQL, "2_bad": `CREATE TABLE "B"(id int)`, "3_more": `CREATE TABLE "D"(id int)`})
	deploy(t, url, fixed, Options{RetryFailed: true}, "")
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,t,T", "2_bad: 1,t,f,N", "3_more: 1,t,f,N")
}

func TestMC07ARowOfAnotherToolIsNotRetried(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1_init": initSQL}), Options{}, "")
	sql(t, url, `INSERT INTO "_prisma_migrations" (id, checksum, migration_name, started_at) VALUES (gen_random_uuid()::text, 'x', '2_bad', now())`)
	deploy(t, url, failing(t), Options{RetryFailed: true}, "P3009")
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,f,N")
}

// Prisma lists only the pending third one here.
func TestMC08StatusShowsTheFailedOneToo(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, failing(t), Options{}, "P3018")
	r, e := status(t, url, failing(t))
	if e == nil || !e.FailedRow() || states(r) != "1_init=applied 2_bad=failed 3_more=pending" {
		t.Errorf("%v %s", e, states(r))
	}
}

func TestMC10DeployGoesOnAfterResolve(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, failing(t), Options{}, "P3018")
	// What `prisma migrate resolve --applied` writes.
	sql(t, url, `UPDATE "_prisma_migrations" SET rolled_back_at = now() WHERE finished_at IS NULL;
		INSERT INTO "_prisma_migrations" (id, checksum, migration_name, started_at, finished_at, logs) VALUES (gen_random_uuid()::text, '`+Checksum(failing(t).Migrations[1].SQL)+`', '2_bad', now(), now(), '')`)
	deploy(t, url, failing(t), Options{}, "")
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,t,T", "2_bad: 0,t,f,E", "3_more: 1,t,f,N")
	if r, e := status(t, url, failing(t)); e != nil || states(r) != "1_init=applied 2_bad=baselined 3_more=applied" {
		t.Errorf("%v %s", e, states(r))
	}
}

// Prisma says "up to date", and then deploy runs the file.
func TestMC12StatusSaysThatARolledBackOneWillRunAgain(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1_init": initSQL, "2_bad": "SELECT 1/0"})
	deploy(t, url, set, Options{}, "P3018")
	sql(t, url, `UPDATE "_prisma_migrations" SET rolled_back_at = now() WHERE finished_at IS NULL`)
	r, e := status(t, url, set)
	if e == nil || states(r) != "1_init=applied 2_bad=rolled_back" || r.InSync {
		t.Errorf("%v %s", e, states(r))
	}
	var out, errs strings.Builder
	if exit, _ := r.PrismaText(&out, &errs); exit != 0 || !strings.Contains(out.String(), "Database schema is up to date!") {
		t.Errorf("in Prisma's words: %d %q %q", exit, out.String(), errs.String())
	}
}

func TestMC13AFixedFileRunsAfterRolledBack(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1_init": initSQL, "2_bad": "SELECT 1/0"}), Options{}, "P3018")
	sql(t, url, `UPDATE "_prisma_migrations" SET rolled_back_at = now() WHERE finished_at IS NULL`)
	fixed := files(t, map[string]string{"1_init": initSQL, "2_bad": "SELECT 1"})
	deploy(t, url, fixed, Options{}, "")
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,t,T", "2_bad: 1,t,f,N")
	// Prisma compares with the first row of the name and may call it edited.
	if r, e := status(t, url, fixed); e != nil || states(r) != "1_init=applied 2_bad=applied" || len(r.Warnings) != 0 {
		t.Errorf("%v %s %v", e, states(r), r.Warnings)
	}
}

func TestMC18AnEditedFileIsReported(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	edited := files(t, map[string]string{"1": initSQL + " -- edited"})
	r := deploy(t, url, edited, Options{}, "")
	if len(r.Warnings) != 1 || r.Warnings[0].Migration != "1" || !strings.Contains(r.Warnings[0].Message, "changed after it was applied") {
		t.Errorf("warnings %v", r.Warnings)
	}
	s, e := status(t, url, edited)
	if e != nil || states(s) != "1=edited" || s.Err(true) == nil {
		t.Errorf("status %v %s", e, states(s))
	}
	deploy(t, url, edited, Options{Strict: true}, "LM0008")
	wantHistory(t, url, "1: 1,t,f,N")
}

func TestMC19LineEndsAreNoEdit(t *testing.T) {
	for _, pair := range [][2]string{{"SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n"}, {"SELECT 1;\r\nSELECT 2;\r\n", "SELECT 1;\nSELECT 2;\n"}} {
		url := testenv.Postgres(t)
		deploy(t, url, files(t, map[string]string{"1": pair[0]}), Options{}, "")
		if r := deploy(t, url, files(t, map[string]string{"1": pair[1]}), Options{Strict: true}, ""); len(r.Warnings) != 0 {
			t.Errorf("warnings %v", r.Warnings)
		}
	}
}

func TestMC20ADeletedFolderIsNoted(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL, "2_baseline_diff": "SELECT 1"}), Options{}, "")
	r := deploy(t, url, files(t, map[string]string{}), Options{}, "")
	if len(r.Warnings) != 2 || !strings.Contains(r.Warnings[0].Message, "not in migrations") || !strings.Contains(r.Warnings[1].Message, "harmless") {
		t.Errorf("warnings %v", r.Warnings)
	}
	deploy(t, url, files(t, map[string]string{}), Options{Strict: true}, "LM0008")
	wantHistory(t, url, "1: 1,t,f,N", "2_baseline_diff: 1,t,f,N")
	// Hundreds of them are one warning, and the one that LiteLLM has published
	// under such a name is not among them.
	sql(t, url, `INSERT INTO "_prisma_migrations" (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
		SELECT g::text, 'x', g || '_baseline_diff', now(), now(), 1 FROM generate_series(100, 300) g UNION ALL SELECT 'p', 'x', '20260219181415_baseline_diff', now(), now(), 1`)
	r = deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	if len(r.Warnings) != 2 || r.Warnings[0].Migration != "20260219181415_baseline_diff" || strings.Contains(r.Warnings[0].Message, "harmless") ||
		!strings.HasPrefix(r.Warnings[1].Message, "202 migrations named *_baseline_diff are applied to the database, but not in migrations (written by LiteLLM's own recovery, harmless): 2_baseline_diff, 100_baseline_diff") {
		t.Errorf("warnings %v", r.Warnings)
	}
}

func TestMC21DivergedHistories(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL, "2": "SELECT 1"}), Options{}, "")
	set := files(t, map[string]string{"1": initSQL, "3": "SELECT 1"})
	r, e := status(t, url, set)
	if e == nil || !r.Diverged || r.LastCommon != "1" || states(r) != "1=applied 3=pending 2=missing" {
		t.Errorf("%v %+v", e, r)
	}
	var out, errs strings.Builder
	if exit, _ := r.PrismaText(&out, &errs); exit != 1 || !strings.Contains(errs.String(), "The last common migration is: 1\n\nThe migration have not yet been applied:\n3\n\nThe migration from the database are not found locally in prisma/migrations:\n2\n") {
		t.Errorf("%d %q", exit, errs.String())
	}
	deploy(t, url, set, Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N", "3: 1,t,f,N")
}

func TestMC22AnOlderNameInsertedLaterIsAppliedWithANote(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL, "3": "SELECT 1"}), Options{}, "")
	r := deploy(t, url, files(t, map[string]string{"1": initSQL, "2": "SELECT 1", "3": "SELECT 1"}), Options{}, "")
	if len(r.Warnings) != 1 || r.Warnings[0].Migration != "2" || !strings.Contains(r.Warnings[0].Message, "out of order") {
		t.Errorf("warnings %v", r.Warnings)
	}
	wantHistory(t, url, "1: 1,t,f,N", "3: 1,t,f,N", "2: 1,t,f,N")
}

func TestMC23TablesWithoutAHistory(t *testing.T) {
	url := testenv.Postgres(t)
	sql(t, url, `CREATE TABLE "Old"(id int)`)
	set := files(t, map[string]string{"1": initSQL})
	_, err := provider(t, url, set, Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "P3005"); !strings.HasPrefix(e.Message, "The database schema is not empty. Read more about how to baseline an existing production database: https://pris.ly/d/migrate-baseline") {
		t.Errorf("text %s", e)
	}
	if there(t, url, "_prisma_migrations") {
		t.Error("the history table was created")
	}
	r, e := status(t, url, set)
	if e == nil || !e.Unmanaged() || r.Managed || r.Empty {
		t.Errorf("status %v", e)
	}
}

func TestMC24ThingsThatAreNoTablesDoNotCount(t *testing.T) {
	url := testenv.Postgres(t)
	sql(t, url, `CREATE VIEW v AS SELECT 1 AS x; CREATE TYPE e AS ENUM ('a'); CREATE SCHEMA other; CREATE TABLE other.t(id int); CREATE TABLE spatial_ref_sys(id int)`)
	deploy(t, url, files(t, map[string]string{"init": initSQL}), Options{}, "")
	wantHistory(t, url, "init: 1,t,f,N")
}

// Prisma does not see partitioned tables and deploys.
func TestMC25APartitionedTableCounts(t *testing.T) {
	url := testenv.Postgres(t)
	sql(t, url, `CREATE TABLE parts(id int) PARTITION BY RANGE (id)`)
	deploy(t, url, files(t, map[string]string{"init": initSQL}), Options{}, "P3005")
}

func TestMC26DeployAfterABaseline(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"init": initSQL})
	deploy(t, url, files(t, nil), Options{}, "") // the history table
	sql(t, url, initSQL+`INSERT INTO "_prisma_migrations" (id, checksum, migration_name, started_at, finished_at, logs) VALUES (gen_random_uuid()::text, '`+Checksum(initSQL)+`', 'init', now(), now(), '')`)
	deploy(t, url, set, Options{}, "")
	wantHistory(t, url, "init: 0,t,f,E")
}

func TestMC47AFailedRowWithoutItsFolderBlocksToo(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, failing(t), Options{}, "P3018")
	set := files(t, map[string]string{"1_init": initSQL})
	deploy(t, url, set, Options{}, "P3009")
	sql(t, url, `UPDATE "_prisma_migrations" SET rolled_back_at = now() WHERE finished_at IS NULL`)
	deploy(t, url, set, Options{}, "")
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,t,T")
}

func TestMC48AnUnfinishedRowBesideAnAppliedOne(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL})
	deploy(t, url, set, Options{}, "")
	sql(t, url, `INSERT INTO "_prisma_migrations" (id, checksum, migration_name, started_at) VALUES (gen_random_uuid()::text, 'x', '1', now())`)
	deploy(t, url, set, Options{}, "P3009")
	if r, e := status(t, url, set); e == nil || states(r) != "1=failed" {
		t.Errorf("%v %s", e, states(r))
	}
}

func TestMC54ADatabaseAheadOfTheSet(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL, "2": "SELECT 1"}), Options{}, "")
	r := deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	if len(r.Warnings) != 1 || r.Warnings[0].Migration != "2" {
		t.Errorf("warnings %v", r.Warnings)
	}
}
