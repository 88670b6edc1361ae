package migrate

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/testenv"
)

// everyTable lists the tables of a database, the history aside.
func everyTable(t *testing.T, url string) []string {
	t.Helper()
	return strings.Split(value(t, url, "SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_prisma_migrations'"), ",")
}

// TestTheSchemaTellsHowFarADatabaseIs stops a release's chain at each of its
// migrations, forgets the history, and asks what the schema shows.
func TestTheSchemaTellsHowFarADatabaseIs(t *testing.T) {
	list := releases(t)
	for _, set := range []*Set{list[1], list[len(list)-2]} {
		t.Run(filepath.Base(set.From), func(t *testing.T) {
			url := testenv.Postgres(t)
			deploy(t, url, files(t, nil), Options{}, "")
			conn := open(t, url)
			for i, m := range set.Migrations {
				if _, err := conn.PgConn().Exec(context.Background(), m.SQL).ReadAll(); err != nil {
					t.Fatalf("%s: %v", m.Name, err)
				}
				if i%sample(43) != 0 {
					continue
				}
				for j, d := range detect(set.Migrations, live(t, url)) {
					switch want := map[bool]Presence{true: Present, false: Absent}[j <= i]; {
					case d.State == want:
					case d.Inferred && j <= i && d.State == Absent:
						// Nothing in the schema tells; it runs again.
					default:
						t.Fatalf("at %s: %s is %s, want %s %v", m.Name, d.Name, d.State, want, d.Missing)
					}
				}
			}
		})
	}
}

// TestABaselineAndADeployEndInTheSchemaOfAFreshOne takes states on the way
// without a history, as `db push` and restores leave them.
func TestABaselineAndADeployEndInTheSchemaOfAFreshOne(t *testing.T) {
	list := releases(t)
	set := list[len(list)-2]
	fresh := atHead(t)
	tables := everyTable(t, fresh)
	want := catalogue(t, fresh, tables)
	every := 97
	if long() {
		every = 7
	}
	for i := 19; i < len(set.Migrations); i += every {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			url := testenv.Postgres(t)
			conn := open(t, url)
			for _, m := range set.Migrations[:i+1] {
				if _, err := conn.PgConn().Exec(context.Background(), m.SQL).ReadAll(); err != nil {
					t.Fatalf("%s: %v", m.Name, err)
				}
			}
			deploy(t, url, set, Options{}, "P3005")
			deploy(t, url, set, Options{AutoBaseline: true}, "")
			if diff := cmp.Diff(want, catalogue(t, url, tables)); diff != "" {
				t.Errorf("catalogues (-fresh +baselined):\n%s", diff)
			}
			if r, e := status(t, url, set); e != nil || len(r.Pending) > 0 {
				t.Error(e, r.Pending)
			}
		})
	}
}

func TestBaselineStopsAtWhatIsThereInPart(t *testing.T) {
	set := files(t, map[string]string{
		"1": `CREATE TABLE "A"(id int primary key, note text); CREATE INDEX "A_note" ON "A"(note);`,
		"2": `ALTER TABLE "A" ADD COLUMN more text DEFAULT 'x'; CREATE TABLE "B"(id int);`,
		"3": `CREATE TABLE "C"(id int);`,
	})
	url := testenv.Postgres(t)
	sql(t, url, `CREATE TABLE "A"(id int primary key, note text, more text default 'x');`)
	p := provider(t, url, set, Options{})
	r, err := p.Baseline(context.Background(), BaselineRequest{})
	e := wantCode(t, err, "LM0010")
	if !strings.Contains(e.Message, "1 lacks index A_note; 2 lacks table B") || !strings.Contains(e.Hint, `CREATE INDEX IF NOT EXISTS "A_note" ON "A" ("note")`) {
		t.Errorf("%s\n%s", e.Message, e.Hint)
	}
	if there(t, url, "_prisma_migrations") || len(r.Marked) != 0 {
		t.Error("something was written")
	}
	if r, err = p.Baseline(context.Background(), BaselineRequest{FixMissing: true}); err != nil || !slices.Equal(r.Marked, []string{"1", "2"}) || !slices.Equal(r.Pending, []string{"3"}) {
		t.Fatalf("%v %+v", err, r)
	}
	if !there(t, url, `"B"`) || !there(t, url, `"A_note"`) {
		t.Error("the missing objects were not added")
	}
	wantHistory(t, url, "1: 0,t,f,E", "2: 0,t,f,E")
	_, err = p.Baseline(context.Background(), BaselineRequest{})
	wantCode(t, err, "LM0009")
	if r, err = p.Baseline(context.Background(), BaselineRequest{Repair: true}); err != nil || len(r.Marked) != 0 {
		t.Errorf("%v %+v", err, r)
	}
	deploy(t, url, set, Options{}, "")
	wantHistory(t, url, "1: 0,t,f,E", "2: 0,t,f,E", "3: 1,t,f,N")
}

func TestBaselineCannotMendAnotherType(t *testing.T) {
	set := files(t, map[string]string{"1": `CREATE TABLE "A"(id int primary key, n bigint not null, s text);`})
	url := testenv.Postgres(t)
	sql(t, url, `CREATE TABLE "A"(id int primary key, s text);`)
	_, err := provider(t, url, set, Options{}).Baseline(context.Background(), BaselineRequest{FixMissing: true})
	e := wantCode(t, err, "LM0010")
	if !strings.Contains(e.Message, "column A.n bigint") {
		t.Error(e)
	}
	if there(t, url, "_prisma_migrations") {
		t.Error("a history was made")
	}
}

func TestBaselineThroughANameWarnsOfWhatIsNotThere(t *testing.T) {
	set := files(t, map[string]string{"1": initSQL, "2": `CREATE TABLE "B"(id int)`, "3": `CREATE TABLE "C"(id int)`})
	url := testenv.Postgres(t)
	sql(t, url, initSQL)
	r, err := provider(t, url, set, Options{DryRun: true}).Baseline(context.Background(), BaselineRequest{Through: "2"})
	if err != nil || len(r.Marked) != 2 || there(t, url, "_prisma_migrations") {
		t.Errorf("dry run: %v %+v", err, r)
	}
	r, err = provider(t, url, set, Options{}).Baseline(context.Background(), BaselineRequest{Through: "2"})
	if err != nil || len(r.Warnings) != 1 || r.Warnings[0].Migration != "2" {
		t.Errorf("%v %+v", err, r)
	}
	wantHistory(t, url, "1: 0,t,f,E", "2: 0,t,f,E")
}

// TestADatabaseOfOursBecomesLiteLLMs turns a database of our own set into one
// that LiteLLM's chain and Prisma accept.
func TestADatabaseOfOursBecomesLiteLLMs(t *testing.T) {
	list := releases(t)
	set := list[len(list)-2]
	url := testenv.Postgres(t)
	deploy(t, url, Own(), Options{}, "")
	sql(t, url, `INSERT INTO "LiteLLM_BudgetTable" (budget_id, created_by, updated_by) VALUES ('kept', 'x', 'x')`)
	deploy(t, url, set, Options{}, "LM0005")
	r, err := provider(t, url, set, Options{}).Baseline(context.Background(), BaselineRequest{FixMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Marked) == 0 || len(r.Added) == 0 {
		t.Errorf("marked %d, added %d", len(r.Marked), len(r.Added))
	}
	deploy(t, url, set, Options{}, "")
	want, have := simulate(set.Migrations), live(t, url)
	for _, d := range want.missingFrom(have) {
		t.Errorf("%s %s: want %q, found %q", d.Kind, d.Label(), d.Expected, d.Found)
	}
	if value(t, url, `SELECT count(*) FROM "LiteLLM_BudgetTable"`) != "1" {
		t.Error("a row is gone")
	}
	if r, e := status(t, url, set); e != nil || len(r.Pending) > 0 {
		t.Error(e, r.Pending)
	}
}
