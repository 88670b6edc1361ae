package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/testenv"
)

func locks(list []Lock) string {
	var out []string
	for _, l := range list {
		new := ""
		if l.New {
			new = " new"
		}
		out = append(out, l.Table+" "+l.Level+new)
	}
	return strings.Join(out, ", ")
}

func rules(list []Hazard, least string) string {
	var out []string
	for _, h := range list {
		if atLeast(h.Severity, least) == h.Severity && h.Rule != "LOCK006" {
			out = append(out, h.Rule+"="+h.Severity)
		}
	}
	return strings.Join(out, " ")
}

func TestEachStatementHasItsHazard(t *testing.T) {
	base := `CREATE TABLE "A"(id int primary key, s varchar(10), n int, t text); CREATE TABLE "LiteLLM_SpendLogs"(id int); CREATE INDEX old ON "A"(s);`
	for sql, want := range map[string]string{
		`CREATE INDEX x ON "A"(n)`:                                                      "LOCK001=warning",
		`CREATE INDEX x ON "LiteLLM_SpendLogs"(id)`:                                     "LOCK001=error",
		`CREATE INDEX CONCURRENTLY x ON "A"(n)`:                                         "",
		`CREATE TABLE "N"(i int); CREATE INDEX x ON "N"(i)`:                             "LOCK001=info",
		`DROP INDEX old`:                                                                "LOCK002=warning",
		`DROP INDEX CONCURRENTLY old`:                                                   "",
		`ALTER TABLE "A" ADD CONSTRAINT f FOREIGN KEY (n) REFERENCES "A"(id)`:           "LOCK003=warning",
		`ALTER TABLE "A" ADD CONSTRAINT f FOREIGN KEY (n) REFERENCES "A"(id) NOT VALID`: "",
		`ALTER TABLE "A" ADD CONSTRAINT u UNIQUE (n)`:                                   "LOCK004=warning",
		`ALTER TABLE "A" ADD CONSTRAINT u UNIQUE USING INDEX old`:                       "",
		`ALTER TABLE "A" ALTER COLUMN n SET NOT NULL`:                                   "LOCK005=warning",
		`ALTER TABLE "A" ALTER COLUMN n TYPE bigint`:                                    "REWR001=warning",
		`ALTER TABLE "A" ALTER s TYPE varchar(20)`:                                      "",
		`ALTER TABLE "A" ALTER s TYPE varchar(5)`:                                       "REWR001=warning",
		`ALTER TABLE "A" ALTER s TYPE text`:                                             "",
		`ALTER TABLE "A" ADD COLUMN c text DEFAULT 'x'`:                                 "",
		`ALTER TABLE "A" ADD COLUMN c uuid DEFAULT gen_random_uuid()`:                   "REWR002=warning",
		`ALTER TABLE "A" ADD COLUMN c serial`:                                           "REWR002=warning",
		`ALTER TABLE "A" ADD COLUMN c int GENERATED ALWAYS AS (n * 2) STORED`:           "REWR002=warning",
		`ALTER TABLE "A" ADD COLUMN c text NOT NULL`:                                    "COMPAT001=error",
		`ALTER TABLE "A" DROP COLUMN n`:                                                 "COMPAT001=error",
		`ALTER TABLE "A" DROP COLUMN IF EXISTS nothing`:                                 "",
		`ALTER TABLE "A" RENAME COLUMN n TO m`:                                          "COMPAT001=error",
		`DROP TABLE "A"`:                                                                "COMPAT001=error",
		`UPDATE "A" SET n = 1`:                                                          "DATA001=warning",
		`INSERT INTO "A" VALUES (1)`:                                                    "DATA001=info",
		`SET lock_timeout = 5`:                                                          "TXN003=warning",
		`SET LOCAL lock_timeout = 5`:                                                    "",
		`BEGIN; SELECT 1`:                                                               "TXN002=error",
		`CREATE INDEX CONCURRENTLY x ON "A"(n); SELECT 1`:                               "TXN001=error",
		`CREATE INDEX IF NOT EXISTS old ON "A"(n)`:                                      "IDX001=error LOCK001=warning",
		`CREATE INDEX IF NOT EXISTS old ON "A"(s)`:                                      "",
		`-- nothing`:     "FILE001=warning",
		"\ufeffSELECT 1": "FILE001=warning",
		`DO $$ BEGIN IF NOT EXISTS (SELECT 1) THEN ALTER TABLE "A" DROP COLUMN n; END IF; END $$`: "COMPAT001=error",
	} {
		list := Lint(files(t, map[string]string{"1": base, "2": sql}), 150000, "1")
		if got := rules(list, severityInfo); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	old := Lint(files(t, map[string]string{"1": base, "2": `ALTER TABLE "A" ADD COLUMN c text DEFAULT 'x'`}), 100000, "1")
	if got := rules(old, severityInfo); got != "REWR002=warning" {
		t.Errorf("before PostgreSQL 11: %q", got)
	}
}

// TestTheLocksAreThoseThatTheServerTakes runs statements in transactions that
// are rolled back and reads pg_locks.
func TestTheLocksAreThoseThatTheServerTakes(t *testing.T) {
	url := testenv.Postgres(t)
	sql(t, url, `CREATE TABLE "A"(id int primary key, n int, s varchar(10)); CREATE INDEX old ON "A"(s); CREATE TABLE "B"(id int); ALTER TABLE "B" ADD CONSTRAINT c CHECK (id > 0) NOT VALID;`)
	for _, text := range []string{
		`CREATE INDEX x ON "A"(n)`, `DROP INDEX old`, `ALTER INDEX old RENAME TO young`,
		`ALTER TABLE "B" ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES "A"(id)`, `ALTER TABLE "A" ADD CONSTRAINT u UNIQUE (n)`,
		`ALTER TABLE "A" ALTER COLUMN n SET NOT NULL`, `ALTER TABLE "A" ALTER COLUMN n TYPE bigint`, `ALTER TABLE "A" ADD COLUMN c text`,
		`ALTER TABLE "A" DROP COLUMN n`, `ALTER TABLE "A" RENAME TO "C"`, `DROP TABLE "B"`, `UPDATE "A" SET n = 1`, `INSERT INTO "A" VALUES (1)`,
		`DELETE FROM "A"`, `TRUNCATE "B"`, `ALTER TABLE "B" VALIDATE CONSTRAINT c`, `REINDEX TABLE "A"`,
	} {
		a := ddl(text)[0]
		conn := open(t, url)
		ctx := context.Background()
		var before uint32
		name := a.table
		if name == "" {
			name = "A"
		}
		if err := conn.QueryRow(ctx, `SELECT to_regclass($1)::oid`, pgx.Identifier{name}.Sanitize()).Scan(&before); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var modes []string
		rows, err := conn.Query(ctx, `SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = ANY(ARRAY[$1::oid, to_regclass('old')::oid, to_regclass('young')::oid])`, before)
		if err != nil {
			t.Fatal(err)
		}
		if modes, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(lockOf(a), " ", "")
		want = map[string]string{"SHARE": "ShareLock", "SHAREROWEXCLUSIVE": "ShareRowExclusiveLock", "SHAREUPDATEEXCLUSIVE": "ShareUpdateExclusiveLock", "ROWEXCLUSIVE": "RowExclusiveLock", "ACCESSEXCLUSIVE": "AccessExclusiveLock"}[want]
		if !slices.Contains(modes, want) {
			t.Errorf("%s takes %v, we say %s", text, modes, want)
		}
		if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		conn.Close(ctx)
	}
}

func TestPlanSaysWhatADeployWouldDo(t *testing.T) {
	url := testenv.Postgres(t)
	list := map[string]string{"1": `CREATE TABLE "A"(id int primary key, n int); CREATE TABLE "P"(i int) PARTITION BY RANGE (i); CREATE TABLE "P1" PARTITION OF "P" FOR VALUES FROM (0) TO (1000000);`}
	deploy(t, url, files(t, list), Options{}, "")
	sql(t, url, `INSERT INTO "A" SELECT g, g FROM generate_series(1, 5000) g; INSERT INTO "P" SELECT g FROM generate_series(1, 700) g; ANALYZE; CREATE TABLE foreign_app(i int);`)
	list["2"] = `CREATE INDEX "A_n" ON "A"(n)`
	list["3"] = `ALTER TABLE "A" ADD COLUMN x text;` + "\n\nALTER TABLE \"A\" DROP COLUMN n"
	list["4"] = `CREATE INDEX CONCURRENTLY "P_i" ON "P"(i)`
	list["5"] = "SELECT 1;\nSELEC 2;"
	set := files(t, list)
	before := history(t, url)
	idler := open(t, url)
	if _, err := idler.Exec(context.Background(), `BEGIN; SELECT 1`); err != nil {
		t.Fatal(err)
	}
	r, err := provider(t, url, set, Options{}).Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Pending, []string{"2", "3", "4", "5"}) || !slices.Equal(r.Foreign, []string{"foreign_app"}) {
		t.Errorf("%v %v", r.Pending, r.Foreign)
	}
	sizes := map[string]int64{}
	for _, f := range r.Tables {
		sizes[f.Name] = f.Rows
	}
	if sizes["A"] != 5000 || sizes["P"] != 700 {
		t.Errorf("%+v", r.Tables)
	}
	var found []string
	for _, m := range r.Migrations {
		found = append(found, m.Name+": "+rules(m.Hazards, severityInfo)+" "+locks(m.Locks)+" "+m.Phase)
	}
	want := []string{
		"2: LOCK001=info A SHARE expand", "3: COMPAT001=error A ACCESS EXCLUSIVE contract",
		"4: PART001=error P SHARE UPDATE EXCLUSIVE expand", "5: FILE001=error  expand",
	}
	if !slices.Equal(found, want) {
		t.Errorf("%q", found)
	}
	if m := r.Migrations[3].Hazards[0]; m.Line != 2 {
		t.Errorf("%+v", m)
	}
	if len(r.Refusals) != 1 || r.Refusals[0].Rule != "COMPAT001" || r.Err() == nil || !r.Err().Refused() {
		t.Errorf("%+v", r.Refusals)
	}
	if got := history(t, url); !slices.Equal(before, got) || !lockFree(t, url) {
		t.Error("plan left something")
	}
	var text strings.Builder
	if err := r.Text(&text); err != nil || !strings.Contains(text.String(), "A deploy would refuse: 1 reason") || !strings.Contains(text.String(), "5000 rows") {
		t.Errorf("%v\n%s", err, &text)
	}
	for _, want := range []string{
		"\n  2  1 statement\n      SHARE on A\n      line 1: info LOCK001: ", "\n  3  2 statements, breaks pods of the release before\n      ACCESS EXCLUSIVE on A\n      line 3: error COMPAT001: ",
		"\n  4  1 statement, outside of a transaction\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
	// What concerns only tables that the plan makes keeps nobody waiting.
	fresh, err := provider(t, testenv.Postgres(t), files(t, map[string]string{"1": `CREATE TABLE "N"(i int)`, "2": `CREATE INDEX x ON "N"(i); ALTER TABLE "N" ADD COLUMN j int`}), Options{}).Plan(context.Background())
	text.Reset()
	if err != nil || locks(fresh.Migrations[1].Locks) != "N SHARE new, N ACCESS EXCLUSIVE new" || fresh.Text(&text) != nil || !strings.Contains(text.String(), "  2  2 statements\n\n2 of 2 touch nothing but tables that these migrations make: nobody waits for them.\n") {
		t.Errorf("%v %+v\n%s", err, fresh.Migrations, &text)
	}
	// The deploy agrees, before any change, and goes ahead with consent.
	_, err = provider(t, url, set, Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "LM0013"); e.Rule != "COMPAT001" || e.Line != 3 || !strings.Contains(e.Hint, "--allow-drop") {
		t.Errorf("%+v", e)
	}
	if valid(t, url, "A_n") != "none" {
		t.Error("something was changed")
	}
	delete(list, "4")
	delete(list, "5")
	deploy(t, url, files(t, list), Options{AllowDrop: true}, "")
}

func TestALargeTableIsNotWrittenAnewWithoutConsent(t *testing.T) {
	url := testenv.Postgres(t)
	list := map[string]string{"1": `CREATE TABLE "A"(id int)`}
	deploy(t, url, files(t, list), Options{}, "")
	// The planner's figures stand for rows that would take long to make.
	sql(t, url, `INSERT INTO "A" SELECT g FROM generate_series(1, 1000) g; ANALYZE "A"; UPDATE pg_class SET reltuples = 5e6 WHERE relname = 'A'`)
	list["2"] = `ALTER TABLE "A" ALTER COLUMN id TYPE bigint`
	_, err := provider(t, url, files(t, list), Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "LM0014"); e.Rule != "REWR001" || !strings.Contains(e.Message, "from integer to bigint") || !strings.Contains(e.Message, "5.0 M rows") {
		t.Errorf("%+v", e)
	}
	wantHistory(t, url, "1: 1,t,f,N")
	deploy(t, url, files(t, list), Options{AcceptRewrite: true}, "")
}

func TestMC51TheOrderOfNamesIsJudged(t *testing.T) {
	list := map[string]string{}
	for _, n := range []string{"10_b", "9_a", "20250101_Z", "20250101_a", "2025010100_x", "A_up", "a_low"} {
		list[n] = "SELECT 1"
	}
	byLocale := []string{"10_b", "20250101_a", "20250101_Z", "2025010100_x", "9_a", "a_low", "A_up"} // as Node 20 orders them
	names := slices.Collect(func(yield func(string) bool) {
		for n := range list {
			if !yield(n) {
				return
			}
		}
	})
	slices.SortFunc(names, localeCompare)
	if !slices.Equal(names, byLocale) {
		t.Error(names)
	}
	if got := orderHazards(files(t, list)); len(got) != 1 || got[0].Rule != "ORD001" || got[0].Migration != "2025010100_x" {
		t.Errorf("%+v", got)
	}
}

func TestDiffFindsWhatIsMissingAndNothingElse(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": `CREATE TABLE "A"(id int primary key, n int not null default 3, t text[] default ARRAY[]::text[]); CREATE INDEX "A_n" ON "A"(n); CREATE TYPE "Mood" AS ENUM ('good', 'bad'); CREATE TABLE "B"(id int references "A"(id), mood "Mood" DEFAULT 'good');`})
	deploy(t, url, set, Options{}, "")
	p := provider(t, url, set, Options{})
	if r, err := p.Diff(context.Background(), DiffRequest{}); err != nil || len(r.Differences) != 0 {
		t.Fatalf("%v %+v", err, r.Differences)
	}
	sql(t, url, `CREATE VIEW v AS SELECT 1 AS x; CREATE TABLE extra(i int); CREATE INDEX own ON "A"(id, n);`)
	if r, err := p.Diff(context.Background(), DiffRequest{Views: true}); err != nil || len(r.Differences) != 3 {
		t.Errorf("%v %+v", err, r.Differences)
	}
	if r, err := p.Diff(context.Background(), DiffRequest{Ignore: []string{"extra", "A.own"}}); err != nil || len(r.Differences) != 0 {
		t.Errorf("%v %+v", err, r.Differences)
	}
	_, err := p.Diff(context.Background(), DiffRequest{Ignore: []string{"["}})
	if e, ok := errors.AsType[*Error](err); !ok || !e.Usage() {
		t.Error(err)
	}
	sql(t, url, `DROP TABLE "B"; DROP TYPE "Mood"; DROP INDEX "A_n"; ALTER TABLE "A" DROP COLUMN t, ALTER COLUMN n DROP DEFAULT;`)
	r, err := p.Diff(context.Background(), DiffRequest{})
	if e := wantCode(t, err, "LM0015"); !e.Drift() || r.Errors != 6 {
		t.Errorf("%v %d %+v", e, r.Errors, r.Differences)
	}
	// The script mends what an addition can mend.
	sql(t, url, r.Script())
	r, err = p.Diff(context.Background(), DiffRequest{})
	wantCode(t, err, "LM0015")
	if r.Errors != 1 || r.Differences[0].Label() != "column A.n" || r.Differences[0].Kind != "different" {
		t.Errorf("%+v", r.Differences)
	}
}

func TestUnlockEndsOnlyAnIdleHolder(t *testing.T) {
	url := testenv.Postgres(t)
	p := provider(t, url, Own(), Options{})
	if r, err := p.Unlock(context.Background(), true, false); err != nil || r.Holder != nil {
		t.Fatalf("%v %+v", err, r)
	}
	holder := open(t, url)
	if _, err := holder.Exec(context.Background(), "SELECT pg_advisory_lock($1)", LockKey); err != nil {
		t.Fatal(err)
	}
	_, err := p.Unlock(context.Background(), false, false)
	if e := wantCode(t, err, "LM0016"); !e.Locked() || !strings.Contains(e.Hint, "--terminate") {
		t.Errorf("%+v", e)
	}
	if r, err := p.Unlock(context.Background(), true, false); err != nil || !r.Terminated || !lockFree(t, url) {
		t.Fatalf("%v %+v", err, r)
	}
	busy := open(t, url)
	if _, err := busy.Exec(context.Background(), "SELECT pg_advisory_lock($1)", LockKey); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = busy.Exec(context.Background(), "SELECT pg_sleep(60)")
	}()
	defer func() { <-ended }() // before the connection is closed
	eventually(t, "the holder is at work", func() bool {
		return value(t, url, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'") == "1"
	})
	_, err = p.Unlock(context.Background(), true, false)
	wantCode(t, err, "LM0016")
	if r, err := p.Unlock(context.Background(), false, true); err != nil || !r.Terminated || !lockFree(t, url) {
		t.Errorf("%v %+v", err, r)
	}
}

func TestADeployTellsListeners(t *testing.T) {
	url := testenv.Postgres(t)
	conn := open(t, url)
	if _, err := conn.Exec(context.Background(), "LISTEN llmgw_schema"); err != nil {
		t.Fatal(err)
	}
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{Notify: true}, "")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n, err := conn.WaitForNotification(ctx)
	if err != nil || n.Payload != "1" {
		t.Errorf("%v %+v", err, n)
	}
}

// TestSquawkFindsWhatWeFind compares our judgement with squawk's, another
// linter with PostgreSQL's own grammar, rule by rule.
func TestSquawkFindsWhatWeFind(t *testing.T) {
	squawk := testenv.NeedFile(t, filepath.Join(testenv.CacheDir(t), "squawk", "node_modules", ".bin", "squawk"), "squawk", "go run ./internal/testenv/fetch squawk")
	same := map[string]string{
		"require-concurrent-index-creation": "LOCK001", "require-concurrent-index-deletion": "LOCK002", "adding-foreign-key-constraint": "LOCK003",
		"constraint-missing-not-valid": "LOCK003", "disallowed-unique-constraint": "LOCK004", "adding-not-nullable-field": "LOCK005", "changing-column-type": "REWR001",
		"ban-drop-column": "COMPAT001", "ban-drop-table": "COMPAT001", "renaming-column": "COMPAT001", "renaming-table": "COMPAT001", "adding-required-field": "COMPAT001",
		"ban-concurrent-index-creation-in-transaction": "TXN001", "ban-uncommitted-transaction": "TXN002",
	}
	for text, want := range map[string]string{
		`CREATE INDEX x ON "A"(n);`: "LOCK001", `CREATE INDEX CONCURRENTLY x ON "A"(n);`: "", `DROP INDEX old;`: "LOCK002",
		`ALTER TABLE "A" ADD CONSTRAINT f FOREIGN KEY (n) REFERENCES "B"(id);`: "LOCK003", `ALTER TABLE "A" ADD CONSTRAINT f FOREIGN KEY (n) REFERENCES "B"(id) NOT VALID;`: "",
		`ALTER TABLE "A" ADD CONSTRAINT u UNIQUE (n);`: "LOCK004", `ALTER TABLE "A" ALTER COLUMN n SET NOT NULL;`: "LOCK005", `ALTER TABLE "A" ALTER COLUMN n TYPE bigint;`: "REWR001",
		`ALTER TABLE "A" DROP COLUMN n;`: "COMPAT001", `DROP TABLE "A";`: "COMPAT001", `ALTER TABLE "A" RENAME COLUMN n TO m;`: "COMPAT001", `ALTER TABLE "A" RENAME TO "C";`: "COMPAT001",
		`ALTER TABLE "A" ADD COLUMN c text NOT NULL;`: "COMPAT001", `ALTER TABLE "A" ADD COLUMN c text DEFAULT 'x';`: "", `BEGIN; SELECT 1;`: "TXN002",
	} {
		file := filepath.Join(t.TempDir(), "migration.sql")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _ := exec.Command(squawk, "--reporter=json", "--pg-version=15", file).Output()
		var found []struct {
			Rule string `json:"rule_name"`
		}
		if err := json.Unmarshal(out, &found); err != nil {
			t.Fatalf("squawk said %q: %v", out, err)
		}
		theirs := map[string]bool{}
		for _, f := range found {
			if rule, known := same[f.Rule]; known {
				theirs[rule] = true
			}
		}
		ours := map[string]bool{}
		base := `CREATE TABLE "A"(id int primary key, n int); CREATE TABLE "B"(id int primary key); CREATE INDEX old ON "A"(n);`
		for _, h := range Lint(files(t, map[string]string{"1": base, "2": text}), 150000, "1") {
			if slices.Contains([]string{"LOCK001", "LOCK002", "LOCK003", "LOCK004", "LOCK005", "REWR001", "COMPAT001", "TXN001", "TXN002"}, h.Rule) {
				ours[h.Rule] = true
			}
		}
		if want != "" && !(theirs[want] && ours[want]) || want == "" && len(theirs)+len(ours) > 0 {
			t.Errorf("%s: want %q, squawk %v (%s), we %v", text, want, theirs, out, ours)
		}
	}
}
