package migrate

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

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
