package migrate

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/testenv"
)

func valid(t *testing.T, url, index string) string {
	t.Helper()
	return value(t, url, `SELECT coalesce((SELECT indisvalid::text FROM pg_index WHERE indexrelid = to_regclass('"`+index+`"')), 'none')`)
}

func TestMC31ASplitFileRunsStatementByStatement(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY "A_1" ON "A"(id); SELECT 1; CREATE INDEX CONCURRENTLY "A_2" ON "A"(id);`})
	deploy(t, url, set, Options{}, "P3018")
	r := deploy(t, url, set, Options{SplitConcurrent: true}, "")
	if valid(t, url, "A_1") != "true" || valid(t, url, "A_2") != "true" || r.Applied[len(r.Applied)-1].Mode != Split {
		t.Errorf("%+v", r.Applied)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N")
	// What ran before a failure is kept, and said to be.
	_, err := provider(t, url, files(t, map[string]string{"1": initSQL, "2": "SELECT 1", "3": `CREATE INDEX CONCURRENTLY "A_3" ON "A"(id); SELECT 1/0;`}), Options{SplitConcurrent: true}).Deploy(context.Background())
	if e := wantCode(t, err, "P3018"); e.Hint != "1 statement of it ran and is kept." || e.SQLState != "22012" {
		t.Errorf("%+v", e)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N", "3: 0,f,f,T")
}

func TestIndexOnlyFilesAreBuiltOnlineAtTheEnd(t *testing.T) {
	url := testenv.Postgres(t)
	first := map[string]string{"1": `CREATE TABLE "A"(id int primary key, n int); CREATE INDEX "A_old" ON "A"(n);`}
	deploy(t, url, files(t, first), Options{}, "")
	sql(t, url, `INSERT INTO "A" SELECT g, g FROM generate_series(1, 100) g`)
	list := map[string]string{"1": first["1"],
		"2": `DROP INDEX IF EXISTS "A_old"; CREATE INDEX IF NOT EXISTS "A_new" ON "A"(n, id DESC);`,
		"3": `ALTER TABLE "A" ADD COLUMN more text;`,
		"4": `CREATE UNIQUE INDEX "A_unique" ON "A"(id, n)`,
		"5": `CREATE INDEX "A_more" ON "A"(more); CREATE INDEX "A_more2" ON "A"(more);`,
	}
	rec := newRecorder()
	r := deploy(t, url, files(t, list), Options{OnlineIndexes: true, OnEvent: rec.on}, "")
	var order, modes []string
	for _, a := range r.Applied {
		order, modes = append(order, a.Name), append(modes, string(a.Mode))
	}
	if !slices.Equal(order, []string{"3", "4", "2", "5"}) || !slices.Equal(modes, []string{"atomic", "online", "online", "online"}) {
		t.Error(order, modes)
	}
	for index, want := range map[string]string{"A_old": "none", "A_new": "true", "A_unique": "true", "A_more": "true", "A_more2": "true"} {
		if got := valid(t, url, index); got != want {
			t.Errorf("%s: %s, want %s", index, got, want)
		}
	}
	if got := value(t, url, `SELECT checksum FROM "_prisma_migrations" WHERE migration_name = '2'`); got != Checksum(list["2"]) {
		t.Error("another checksum")
	}
	if s, e := status(t, url, files(t, list)); e != nil || s.Err(true) != nil {
		t.Error(e)
	}
}

func TestMC52AnIndexOnAPartitionedTableIsBuiltForEachPartition(t *testing.T) {
	url := testenv.Postgres(t)
	list := map[string]string{"1": `CREATE TABLE "P"(i int, n int) PARTITION BY RANGE (i);
		CREATE TABLE "P1" PARTITION OF "P" FOR VALUES FROM (0) TO (10);
		CREATE TABLE "P2" PARTITION OF "P" FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (n);
		CREATE TABLE "P21" PARTITION OF "P2" FOR VALUES FROM (0) TO (10);`}
	deploy(t, url, files(t, list), Options{}, "")
	sql(t, url, `INSERT INTO "P" VALUES (1, 1), (11, 1)`)
	list["2"] = `CREATE INDEX CONCURRENTLY "P_n_idx" ON "P"(n)`
	deploy(t, url, files(t, list), Options{}, "P3018")
	r := deploy(t, url, files(t, list), Options{OnlineIndexes: true}, "")
	if valid(t, url, "P_n_idx") != "true" || valid(t, url, "P1_n_idx") != "true" || valid(t, url, "P21_n_idx") != "true" {
		t.Errorf("%s %s %s", valid(t, url, "P_n_idx"), valid(t, url, "P1_n_idx"), valid(t, url, "P21_n_idx"))
	}
	if len(r.Applied) != 1 || r.Applied[0].Mode != Online {
		t.Errorf("%+v", r.Applied)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N")
}

func TestMC53AnInvalidIndexIsRepairedWhereThatIsAskedFor(t *testing.T) {
	for name, o := range map[string]Options{"plain": {RepairInvalid: true}, "online": {RepairInvalid: true, OnlineIndexes: true}} {
		t.Run(name, func(t *testing.T) {
			url := testenv.Postgres(t)
			breakIndex(t, url)
			set := files(t, map[string]string{"1": initSQL, "2": `CREATE INDEX CONCURRENTLY IF NOT EXISTS "A_idx" ON "A"(id)`})
			deploy(t, url, set, Options{}, "P3018")
			deploy(t, url, set, o, "")
			if valid(t, url, "A_idx") != "true" || !strings.Contains(value(t, url, `SELECT pg_get_indexdef('"A_idx"'::regclass)`), "(id)") {
				t.Error("not repaired")
			}
		})
	}
}

// breakIndex leaves table A with two rows and an invalid index A_idx.
func breakIndex(t *testing.T, url string) {
	t.Helper()
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	sql(t, url, `INSERT INTO "A" VALUES (1), (2)`)
	if _, err := open(t, url).Exec(context.Background(), `CREATE UNIQUE INDEX CONCURRENTLY "A_idx" ON "A"((1))`); err == nil {
		t.Fatal("the build should fail")
	}
}

func TestIndexMigrationsAreRecordedAndPrintedWhereThatIsAskedFor(t *testing.T) {
	url := testenv.Postgres(t)
	list := map[string]string{"1": initSQL, "2": `CREATE INDEX "A_idx" ON "A"(id)`, "3": `ALTER TABLE "A" ADD COLUMN n int`}
	set := files(t, list)
	r := deploy(t, url, set, Options{SkipIndexMigrations: true}, "")
	if len(r.Skipped) != 1 || r.Skipped[0].SQL[0] != `CREATE INDEX CONCURRENTLY IF NOT EXISTS "A_idx" ON "public"."A" ("id");` {
		t.Errorf("%+v", r.Skipped)
	}
	wantHistory(t, url, "1: 1,t,f,N", "2: 0,t,f,T", "3: 1,t,f,N")
	if valid(t, url, "A_idx") != "none" {
		t.Error("the index was built")
	}
	// repair-indexes finds it later, and builds it.
	found, err := provider(t, url, set, Options{}).RepairIndexes(context.Background(), false)
	if e := wantCode(t, err, "LM0012"); !e.Pending() || len(found.Indexes) != 1 || found.Indexes[0].State != "missing" {
		t.Errorf("%v %+v", e, found)
	}
	found, err = provider(t, url, set, Options{}).RepairIndexes(context.Background(), true)
	if err != nil || !found.Indexes[0].Done || valid(t, url, "A_idx") != "true" {
		t.Errorf("%v %+v", err, found)
	}
	if found, err = provider(t, url, set, Options{}).RepairIndexes(context.Background(), false); err != nil || len(found.Indexes) != 0 {
		t.Errorf("%v %+v", err, found)
	}
}

func TestRepairIndexesRebuildsWhatIsInvalidAndLeavesOthersAlone(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, files(t, map[string]string{"1": initSQL}), Options{}, "")
	sql(t, url, `INSERT INTO "A" VALUES (1), (1 + 1); CREATE TABLE foreign_app (i int); INSERT INTO foreign_app VALUES (1), (2);`)
	conn := open(t, url)
	for _, text := range []string{`CREATE UNIQUE INDEX CONCURRENTLY "A_idx" ON "A"((id / 10))`, `CREATE UNIQUE INDEX CONCURRENTLY theirs ON foreign_app((1))`} {
		if _, err := conn.Exec(context.Background(), text); err == nil {
			t.Fatal("the build should fail")
		}
	}
	set := files(t, map[string]string{"1": initSQL})
	p := provider(t, url, set, Options{})
	// It still cannot be built: the rows are the same.
	r, err := p.RepairIndexes(context.Background(), true)
	if err == nil || !strings.Contains(err.Error(), "23505") {
		t.Errorf("%v", err)
	}
	if r.Indexes[0].Done {
		t.Error("it says done")
	}
	if valid(t, url, "A_idx") != "none" {
		t.Error("an invalid index is left")
	}
	if valid(t, url, "theirs") != "false" {
		t.Error("another program's index was touched")
	}
}

func TestRepairIndexesBuildsWhatLiteLLMBuildsAtItsStart(t *testing.T) {
	url, set := atHead(t), extras(t)
	r, err := provider(t, url, set, Options{}).RepairIndexes(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range afterMigrations {
		if valid(t, url, x.name) != "true" {
			t.Errorf("%s: %s; did %+v", x.name, valid(t, url, x.name), r.Indexes)
		}
	}
	if again, err := provider(t, url, set, Options{}).RepairIndexes(context.Background(), false); err != nil {
		t.Errorf("%v %+v", err, again)
	}
}
