package migrate

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

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

func TestMC27AFileWithItsOwnTransaction(t *testing.T) {
	url := testenv.Postgres(t)
	r := deploy(t, url, files(t, map[string]string{"1": "BEGIN; CREATE TABLE a(i int); COMMIT; CREATE TABLE b(i int);"}), Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N")
	if r.Applied[0].Mode != Native || !there(t, url, "a") || !there(t, url, "b") {
		t.Errorf("%+v", r.Applied)
	}
}

func TestMC28AFileWithItsOwnTransactionThatFails(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": "BEGIN; CREATE TABLE a(i int); COMMIT; CREATE TABLE b(i int); SELECT 1/0;"}), Options{}, "P3018")
	wantHistory(t, url, "1: 0,f,f,T")
	if !there(t, url, "a") || there(t, url, "b") {
		t.Error("a must be there, b must not")
	}
	// Its own COMMIT kept a part: running it again by itself would be a guess.
	deploy(t, url, files(t, map[string]string{"1": "SELECT 1"}), Options{RetryFailed: true}, "P3009")
}

// Prisma says success, exit 0, with nothing committed.
func TestMC29BeginWithoutCommitIsRefused(t *testing.T) {
	url := testenv.Postgres(t)
	_, err := provider(t, url, files(t, map[string]string{"0": initSQL, "1": "\nBEGIN; CREATE TABLE a(i int);"}), Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "P3018"); e.Rule != "TXN002" || e.Line != 2 || !e.Refused() {
		t.Errorf("%+v", e)
	}
	// Known from the file, so nothing at all was begun.
	if there(t, url, "_prisma_migrations") || there(t, url, `"A"`) {
		t.Error("something was changed")
	}
}

// The tokenizer refuses all it can see; what gets past it is seen by its
// effect on the session.
func TestMC29ATransactionLeftOpenIsFailed(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, nil), Options{}, "") // the history table
	ctx := context.Background()
	for i, mode := range []Mode{Native, Bare} {
		s, err := provider(t, url, files(t, nil), Options{}).connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = s.apply(ctx, Migration{Name: fmt.Sprint(i)}, script{sql: "BEGIN; CREATE TABLE a(i int)", mode: mode})
		e := wantCode(t, err, "P3018")
		if e.Rule != "TXN002" || !strings.Contains(e.Message, "left a transaction open") || there(t, url, "a") {
			t.Errorf("%s: %+v", mode, e)
		}
		s.close()
	}
	wantHistory(t, url, "0: 0,f,f,T", "1: 0,f,f,T")
}

func TestMC30OneConcurrentIndex(t *testing.T) {
	url := testenv.Postgres(t)
	r := deploy(t, url, files(t, map[string]string{"1": initSQL, "2": "-- why\nCREATE INDEX CONCURRENTLY \"A_idx\" ON \"A\"(id);\n-- done\n"}), Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N")
	if r.Applied[1].Mode != Bare || value(t, url, `SELECT indisvalid FROM pg_index WHERE indexrelid = '"A_idx"'::regclass`) != "true" {
		t.Errorf("%+v", r.Applied)
	}
}

func TestMC31TwoConcurrentIndexesInAFile(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL, "2": "CREATE INDEX CONCURRENTLY x ON \"A\"(id);\nCREATE INDEX CONCURRENTLY y ON \"A\"(id);"})
	_, err := provider(t, url, set, Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "P3018"); e.Rule != "TXN001" || e.SQLState != "25001" || e.Migration != "2" {
		t.Errorf("%+v", e)
	}
	if there(t, url, "_prisma_migrations") {
		t.Error("something was begun")
	}
}

// Prisma dies of 40P01 here, or kills the waiter.
func TestMC32AConcurrentIndexWhileAnotherToolWaitsInsideTheLock(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL})
	deploy(t, url, set, Options{}, "")
	set = files(t, map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY "A_idx" ON "A"(id)`})
	rec := newRecorder()
	waiterDone := make(chan error, 1)
	// The waiter does what Prisma does: it blocks inside the statement, with a
	// snapshot.
	o := Options{Wait: true, LockTimeout: time.Minute}
	started := make(chan struct{})
	o.OnEvent = func(e Event) {
		rec.on(e)
		if e.Event != EventMigrationStarted || rec.count(EventMigrationStarted) > 1 {
			return
		}
		conn := open(t, url)
		go func() {
			_, err := conn.Exec(context.Background(), "SELECT pg_advisory_lock(72707369)")
			if err == nil {
				_, err = conn.Exec(context.Background(), "SELECT pg_advisory_unlock(72707369)")
			}
			waiterDone <- err
		}()
		eventually(t, "the other tool waits", func() bool {
			return value(t, url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "1"
		})
		close(started)
	}
	deploy(t, url, set, o, "")
	<-started
	waiterErr := <-waiterDone
	got := history(t, url)
	if waiterErr == nil {
		// We were the victim, gave up the lock, and did it again.
		if diff := cmp.Diff([]string{"1: 1,t,f,N", "2: 0,f,t,T", "2: 1,t,f,N"}, got); diff != "" {
			t.Error(diff)
		}
		if rec.count(EventLockAcquired) != 2 {
			t.Errorf("the lock was taken %d times, want 2", rec.count(EventLockAcquired))
		}
	} else if diff := cmp.Diff([]string{"1: 1,t,f,N", "2: 1,t,f,N"}, got); diff != "" {
		t.Error(diff) // the server chose the waiter
	}
	if value(t, url, `SELECT indisvalid FROM pg_index WHERE indexrelid = '"A_idx"'::regclass`) != "true" {
		t.Error("the index is not valid")
	}
	if !lockFree(t, url) {
		t.Error("the lock is still held")
	}
}

func TestMC33FunctionsAndDoBlocks(t *testing.T) {
	url := testenv.Postgres(t)
	g := "CREATE FUNCTION g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 ELSE 2 END; SELECT 2; END;"
	if !since(t, url, 14) {
		g = "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1; SELECT 2;';"
	}
	r := deploy(t, url, files(t, map[string]string{"1": `
CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $body$ BEGIN /* ; */ RETURN 1; END; $body$;
DO $$ BEGIN PERFORM f(); EXECUTE 'CREATE TABLE made(i int)'; END $$;
` + g + `
INSERT INTO made VALUES (f()), (g());`}), Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N")
	if r.Applied[0].Mode != Atomic || r.Applied[0].Statements != 4 || value(t, url, "SELECT sum(i) FROM made") != "3" {
		t.Errorf("%+v", r.Applied)
	}
}

// Prisma sends the mark and fails with 42601.
func TestMC34AByteOrderMarkIsNotSent(t *testing.T) {
	url := testenv.Postgres(t)
	r := deploy(t, url, files(t, map[string]string{"1": "\ufeff" + initSQL}), Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N")
	if value(t, url, `SELECT checksum FROM "_prisma_migrations"`) != Checksum("\ufeff"+initSQL) || len(r.Warnings) != 1 {
		t.Errorf("warnings %v", r.Warnings)
	}
}

func TestMC35WindowsLineEnds(t *testing.T) {
	url := testenv.Postgres(t)
	text := "CREATE TABLE a(i int);\r\n-- x\r\nCREATE TABLE b(i int);\r\n"
	deploy(t, url, files(t, map[string]string{"1": text}), Options{}, "")
	if got := value(t, url, `SELECT checksum FROM "_prisma_migrations"`); got != Checksum(text) {
		t.Errorf("checksum %s", got)
	}
}

func TestMC36EmptyFiles(t *testing.T) {
	url := testenv.Postgres(t)
	r := deploy(t, url, files(t, map[string]string{"1": "", "2": "-- nothing\n/* at all */"}), Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N")
	if len(r.Warnings) != 2 || value(t, url, `SELECT checksum FROM "_prisma_migrations" WHERE migration_name = '1'`) != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("warnings %v", r.Warnings)
	}
}

// Prisma applies what comes before and then stops.
func TestMC37AFolderWithoutAFileStopsBeforeAnyChange(t *testing.T) {
	url := testenv.Postgres(t)
	set := readSet(t, fstest.MapFS{"1/migration.sql": {Data: []byte(initSQL)}, "2/README": {Data: []byte("x")}})
	_, err := provider(t, url, set, Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "P3015"); !strings.HasPrefix(e.Message, "Could not find the migration file at migrations/2/migration.sql. Please delete the directory or restore the migration file.") {
		t.Errorf("text %s", e)
	}
	if there(t, url, "_prisma_migrations") {
		t.Error("something was begun")
	}
	if r, e := status(t, url, set); e == nil || states(r) != "1=pending 2=pending" {
		t.Errorf("status %v %s", e, states(r))
	}
}

func TestMC38StrayFilesAndHiddenFolders(t *testing.T) {
	url := testenv.Postgres(t)
	set := readSet(t, fstest.MapFS{
		"1/migration.sql": {Data: []byte(initSQL)}, ".hidden/migration.sql": {Data: []byte("SELECT 1")}, "README.md": {Data: []byte("x")}, "x.sql": {Data: []byte("SELECT 1/0")},
		"..data/migration.sql": {Data: []byte("SELECT 1/0")}, // what Kubernetes puts beside a mounted ConfigMap
		"1/nested/deeper.sql":  {Data: []byte("SELECT 1/0")},
	})
	r := deploy(t, url, set, Options{}, "")
	wantHistory(t, url, ".hidden: 1,t,f,N", "1: 1,t,f,N")
	if len(r.Warnings) != 1 || r.Warnings[0].Rule != "FILE001" {
		t.Errorf("warnings %v", r.Warnings)
	}
}

func TestMC39LockFiles(t *testing.T) {
	for name, tt := range map[string]struct{ lock, code, found string }{
		"mysql":       {`provider = "mysql"`, "P3019", "`mysql`"},
		"no line":     {"# nothing\n", "P3019", "`<PROVIDER NOT FOUND>`"},
		"no spaces":   {`provider="postgresql"`, "", ""},
		"as written":  {"# Please do not edit\r\nprovider = \"postgresql\"\r\n", "", ""},
		"no file":     {"", "", ""},
		"second line": {"provider = \"postgresql\"\nprovider = \"mysql\"\n", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := fstest.MapFS{"1/migration.sql": {Data: []byte("SELECT 1")}}
			if tt.lock != "" {
				m["migration_lock.toml"] = &fstest.MapFile{Data: []byte(tt.lock)}
			}
			_, err := provider(t, testenv.Postgres(t), readSet(t, m), Options{}).Deploy(context.Background())
			if e := wantCode(t, err, tt.code); e != nil && !strings.Contains(e.Message, tt.found) {
				t.Errorf("text %s", e)
			}
		})
	}
}

// holdLock takes the advisory lock on a session of its own until the test ends
// or release is called.
func holdLock(t *testing.T, url string) (release func()) {
	t.Helper()
	conn := open(t, url+"?application_name=somebody-else")
	if _, err := conn.Exec(context.Background(), "SELECT pg_advisory_lock(72707369)"); err != nil {
		t.Fatal(err)
	}
	return func() { conn.Close(context.Background()) }
}

func TestMC40ALockHeldTooLong(t *testing.T) {
	url := testenv.Postgres(t)
	release := holdLock(t, url)
	set := files(t, map[string]string{"1": initSQL})
	_, err := provider(t, url, set, Options{LockTimeout: 300 * time.Millisecond}).Deploy(context.Background())
	e := wantCode(t, err, "P1002")
	if !e.Locked() || !strings.Contains(e.Error(), "Context: Timed out trying to acquire a postgres advisory lock (SELECT pg_advisory_lock(72707369)). Timeout: 300ms.") ||
		!strings.Contains(e.Hint, "somebody-else") || !strings.Contains(e.Hint, "pid ") || !strings.Contains(e.Hint, "--wait") {
		t.Errorf("text %s", e)
	}
	if there(t, url, "_prisma_migrations") {
		t.Error("something was begun without the lock")
	}
	r, _ := status(t, url, set)
	if r.Holder == nil || r.Holder.ApplicationName != "somebody-else" {
		t.Errorf("status does not show the holder: %+v", r.Holder)
	}
	// With --wait it goes on as soon as the lock is free.
	rec := newRecorder()
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, set, Options{Wait: true, OnEvent: rec.on}).Deploy(context.Background())
		done <- err
	}()
	rec.wait(t, EventLockWait)
	// It waits outside of any statement, so that a concurrent build elsewhere
	// is not held up.
	if n := value(t, url, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'llmgw-migrate%' AND backend_xmin IS NOT NULL"); n != "0" {
		t.Errorf("%s waiting sessions hold a snapshot", n)
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantHistory(t, url, "1: 1,t,f,N")
}

func TestMC41ManyDeploysAtOnce(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL, "2": `CREATE TABLE b(i int); SELECT pg_sleep(0.05)`, "3": `CREATE INDEX CONCURRENTLY x ON b(i)`})
	const n = 5
	errs := make(chan error, n)
	applied := make(chan int, n)
	for range n {
		go func() {
			r, err := provider(t, url, set, Options{Wait: true}).Deploy(context.Background())
			applied <- len(r.Applied)
			errs <- err
		}()
	}
	total := 0
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
		total += <-applied
	}
	if total != 3 {
		t.Errorf("%d migrations applied in all, want 3", total)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N", "3: 1,t,f,N")
}

// sleeping reports that some session executes pg_sleep.
func sleeping(t *testing.T, url string) bool {
	return value(t, url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'") == "1"
}

// Prisma leaves the statement running and the row unfinished.
func TestMC42ASignalCancelsAndLeavesNothing(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL, "2": `CREATE TABLE b(i int); SELECT pg_sleep(60)`, "3": "SELECT 1"})
	ctx, cancel := context.WithCancelCause(context.Background())
	o := Options{CancelledBy: func(cause error) string { return cause.Error() }}
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, set, o).Deploy(ctx)
		done <- err
	}()
	eventually(t, "the sleep runs", func() bool { return sleeping(t, url) })
	begin := time.Now()
	cancel(fmt.Errorf("SIGTERM"))
	e := wantCode(t, <-done, "LM1430")
	if !e.Cancelled() || e.Cause != "SIGTERM" || time.Since(begin) > 10*time.Second {
		t.Errorf("%+v after %v", e, time.Since(begin))
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T")
	if got := value(t, url, `SELECT logs FROM "_prisma_migrations" WHERE migration_name = '2'`); got != "llmgw: cancelled by SIGTERM, rolled back" {
		t.Errorf("logs %q", got)
	}
	if there(t, url, "b") || !lockFree(t, url) {
		t.Error("the table is there or the lock is held")
	}
	// The next run needs nobody.
	deploy(t, url, files(t, map[string]string{"1": initSQL, "2": `CREATE TABLE b(i int)`, "3": "SELECT 1"}), Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T", "2: 1,t,f,N", "3: 1,t,f,N")
}

func TestMC42ASignalDuringAConcurrentIndex(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	// An open transaction with a snapshot holds the build up.
	blocker := open(t, url)
	if _, err := blocker.Exec(context.Background(), `BEGIN ISOLATION LEVEL REPEATABLE READ`); err != nil {
		t.Fatal(err)
	}
	if _, err := blocker.Exec(context.Background(), `SELECT * FROM "A"`); err != nil {
		t.Fatal(err)
	}
	set := files(t, map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY "A_idx" ON "A"(id)`})
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, set, Options{CancelledBy: func(error) string { return "SIGINT" }}).Deploy(ctx)
		done <- err
	}()
	eventually(t, "the build waits", func() bool {
		return value(t, url, `SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'`) == "1"
	})
	cancel(fmt.Errorf("interrupted"))
	// Dropping the invalid index waits for the same transaction, if done
	// concurrently.
	eventually(t, "the drop waits too", func() bool {
		return value(t, url, `SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DROP INDEX CONC%' AND wait_event_type = 'Lock'`) == "1"
	})
	if _, err := blocker.Exec(context.Background(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-done, "LM1430")
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,f,t,T")
	if there(t, url, `"A_idx"`) {
		t.Error("the invalid index was left behind")
	}
	deploy(t, url, set, Options{}, "")
	if value(t, url, `SELECT indisvalid FROM pg_index WHERE indexrelid = '"A_idx"'::regclass`) != "true" {
		t.Error("the index is not valid")
	}
}

func TestMC42ASignalDuringAFileWithItsOwnTransactions(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": `BEGIN; CREATE TABLE b(i int); COMMIT; SELECT pg_sleep(60)`})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := provider(t, url, set, Options{}).Deploy(ctx)
		done <- err
	}()
	eventually(t, "the sleep runs", func() bool { return sleeping(t, url) })
	cancel()
	if e := wantCode(t, <-done, "LM1430"); !strings.Contains(e.Message, "left as failed") {
		t.Errorf("text %s", e)
	}
	wantHistory(t, url, "1: 0,f,f,T")
}

// In Prisma a SET reaches the next file.
func TestMC43SettingsDoNotReachTheNextFile(t *testing.T) {
	url := testenv.Postgres(t)
	sql(t, url, "CREATE ROLE mc43")
	t.Cleanup(func() { sql(t, url, "DROP OWNED BY mc43; DROP ROLE mc43") })
	deploy(t, url, files(t, map[string]string{
		"1": "SET lock_timeout = 100; SET TimeZone = 'Asia/Tokyo'; CREATE TABLE one AS SELECT current_setting('lock_timeout') AS l",
		"2": "CREATE TABLE two AS SELECT current_setting('lock_timeout') AS l, current_setting('TimeZone') AS z, current_user::text AS u",
		"3": "BEGIN; SET lock_timeout = 100; COMMIT",
		"4": "CREATE TABLE four AS SELECT current_setting('lock_timeout') AS l",
		"5": "GRANT CREATE ON SCHEMA public TO mc43; SET ROLE mc43; CREATE TABLE five AS SELECT current_user::text AS u",
		"6": "CREATE TABLE six AS SELECT current_user::text AS u",
	}), Options{DDLLockTimeout: 7 * time.Second}, "")
	for query, want := range map[string]string{
		"SELECT l FROM one": "100ms", "SELECT l FROM two": "7s", "SELECT z FROM two": "UTC", "SELECT u FROM two": "postgres", "SELECT l FROM four": "7s",
		"SELECT u FROM five": "mc43", "SELECT u FROM six": "postgres",
	} {
		if got := value(t, url, query); got != want {
			t.Errorf("%s = %s, want %s", query, got, want)
		}
	}
}

// Prisma loses its own table: P1014.
func TestMC44ASearchPathOfTheFilesOwn(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{
		"1": "CREATE SCHEMA other; SET search_path = other; CREATE TABLE there(i int)",
		"2": "CREATE TABLE here(i int)",
	}), Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N")
	if !there(t, url, "other.there") || !there(t, url, "public.here") {
		t.Error("the tables are in the wrong places")
	}
}

func TestMC45AStatementTimeoutOfTheFilesOwn(t *testing.T) {
	url := testenv.Postgres(t)
	_, err := provider(t, url, files(t, map[string]string{"1": "SET statement_timeout = 50; SELECT pg_sleep(5)"}), Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "P3018"); e.SQLState != "57014" || e.Cancelled() {
		t.Errorf("%+v", e)
	}
	wantHistory(t, url, "1: 0,f,f,T")
}

func TestMC46ARoleThatMayNotCreate(t *testing.T) {
	url := testenv.Postgres(t)
	sql(t, url, "CREATE ROLE mc46 LOGIN PASSWORD 'pw46'; GRANT USAGE ON SCHEMA public TO mc46; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	t.Cleanup(func() { sql(t, url, "DROP OWNED BY mc46; DROP ROLE mc46") })
	set := files(t, map[string]string{"1": initSQL})
	_, err := provider(t, asRole(url, "mc46", "pw46"), set, Options{}).Deploy(context.Background())
	e := wantCode(t, err, "P3018")
	if e.SQLState != "42501" || !strings.Contains(e.Error(), "permission denied for schema public") || !strings.Contains(e.Hint, `GRANT CREATE ON SCHEMA "public" TO "mc46"`) {
		t.Errorf("%s", e)
	}
	if there(t, url, "_prisma_migrations") {
		t.Error("something was begun")
	}
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

func TestMC51NamesOrderByTheirBytes(t *testing.T) {
	url := testenv.Postgres(t)
	list := map[string]string{}
	for _, n := range []string{"10_b", "9_a", "20250101_Z", "20250101_a", "2025010100_x", "A_up", "a_low", "with a space"} {
		list[n] = "SELECT 1"
	}
	r := deploy(t, url, files(t, list), Options{}, "")
	var got []string
	for _, a := range r.Applied {
		got = append(got, a.Name)
	}
	if diff := cmp.Diff([]string{"10_b", "2025010100_x", "20250101_Z", "20250101_a", "9_a", "A_up", "a_low", "with a space"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMC52AConcurrentIndexOnAPartitionedTable(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": "CREATE TABLE p(i int) PARTITION BY RANGE (i)", "2": "CREATE INDEX CONCURRENTLY x ON p(i)"})
	_, err := provider(t, url, set, Options{}).Deploy(context.Background())
	e := wantCode(t, err, "P3018")
	if e.Rule != "PART001" || e.SQLState != "0A000" || !e.Refused() {
		t.Errorf("%+v", e)
	}
	wantHistory(t, url, "1: 1,t,f,N") // refused before it began, so no row
}

func TestMC53IfNotExistsOverAnInvalidIndex(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	sql(t, url, `INSERT INTO "A" VALUES (1), (2)`)
	// A unique index on a constant cannot be built, and stays behind invalid.
	conn := open(t, url)
	if _, err := conn.Exec(context.Background(), `CREATE UNIQUE INDEX CONCURRENTLY "A_idx" ON "A"((1))`); err == nil {
		t.Fatal("the build should fail")
	}
	for _, sql := range []string{`CREATE INDEX CONCURRENTLY IF NOT EXISTS "A_idx" ON "A"(id)`, `SELECT 1; CREATE INDEX IF NOT EXISTS "A_idx" ON public."A"(id)`} {
		_, err := provider(t, url, files(t, map[string]string{"1": initSQL, "2": sql}), Options{}).Deploy(context.Background())
		if e := wantCode(t, err, "P3018"); e.Rule != "IDX001" || !strings.Contains(e.Hint, `DROP INDEX CONCURRENTLY "public"."A_idx"`) {
			t.Errorf("%+v", e)
		}
		wantHistory(t, url, "1: 1,t,f,N")
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
