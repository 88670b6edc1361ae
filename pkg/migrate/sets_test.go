package migrate

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/llmgw/llmgw/internal/testenv"
)

// extras is LiteLLM's own set of the emulated release, from the package that
// `go run ./internal/testenv/fetch extras` puts into the cache.
func extras(t *testing.T) *Set {
	t.Helper()
	list := releases(t)
	return list[len(list)-2]
}

// atHead is a database that LiteLLM's own set of the emulated release was
// deployed to: the chain runs once per process, and each caller gets a copy.
func atHead(t *testing.T) string {
	t.Helper()
	set := extras(t)
	return testenv.PostgresFrom(t, "litellm_head", func(url string) error {
		_, err := provider(t, url, set, Options{}).Deploy(context.Background())
		return err
	})
}

// long reports that all is wanted rather than a sample: `make long`.
func long() bool { return os.Getenv("LLMGW_LONG") != "" }

// sample is every n-th of a list in the gate, every one under `make long`.
func sample(n int) int {
	if long() {
		return 1
	}
	return n
}

// catalogue describes tables as text: columns, constraints and indexes, each a
// line, in an order of its own (the order of columns is not part of it).
func catalogue(t *testing.T, url string, tables []string) map[string][]string {
	t.Helper()
	conn := open(t, url)
	defer conn.Close(context.Background())
	out := map[string][]string{}
	rows, err := conn.Query(context.Background(), `
		SELECT c.relname::text, format('column %s %s %s default %s', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' ELSE 'null' END,
			coalesce(pg_get_expr(d.adbin, d.adrelid), '-')) || coalesce(' collation ' || nullif(a.attcollation::regcollation::text, '"default"'), '')
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND c.relname = ANY($1)
		UNION ALL
		SELECT c.relname::text, format('constraint %s %s', k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
		WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY($1)
		UNION ALL
		SELECT tablename::text, 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY($1)
		UNION ALL
		SELECT tgrelid::regclass::text, 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text = ANY($1)`, tables)
	if err != nil {
		t.Fatal(err)
	}
	var table, line string
	if _, err := pgx.ForEachRow(rows, []any{&table, &line}, func() error { out[table] = append(out[table], line); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, lines := range out {
		slices.Sort(lines)
	}
	return out
}

// ownTables are the tables that our set creates.
func ownTables() []string {
	var list []string
	for _, m := range Own().Migrations {
		for _, found := range regexp.MustCompile(`CREATE TABLE IF NOT EXISTS "(\w+)"`).FindAllStringSubmatch(m.SQL, -1) {
			list = append(list, found[1])
		}
	}
	return list
}

func TestTheOwnSetHasLiteLLMsTablesColumnByColumn(t *testing.T) {
	ours, reference := testenv.Postgres(t), atHead(t)
	deploy(t, ours, Own(), Options{}, "")
	if n := len(history(t, reference)); n < 200 {
		t.Fatalf("LiteLLM's set has %d migrations", n)
	}
	tables := ownTables()
	if len(tables) < 25 {
		t.Fatalf("the own set makes %d tables", len(tables))
	}
	if diff := cmp.Diff(catalogue(t, reference, tables), catalogue(t, ours, tables)); diff != "" {
		t.Errorf("LiteLLM's catalogue and ours differ (-LiteLLM +ours):\n%s", diff)
	}
	// Over LiteLLM's tables our set changes nothing: it is additive.
	before := catalogue(t, reference, tables)
	for _, m := range Own().Migrations {
		sql(t, reference, m.SQL)
	}
	if diff := cmp.Diff(before, catalogue(t, reference, tables)); diff != "" {
		t.Errorf("our set changed LiteLLM's tables:\n%s", diff)
	}
}

func TestTheOwnSetRunsTwiceAndInASchemaOfItsOwn(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, Own(), Options{}, "")
	tables := ownTables()
	before := catalogue(t, url, tables)
	for _, m := range Own().Migrations {
		sql(t, url, m.SQL)
	}
	if diff := cmp.Diff(before, catalogue(t, url, tables)); diff != "" {
		t.Error(diff)
	}
	if len(before) != len(tables) {
		t.Errorf("%d of %d tables are there", len(before), len(tables))
	}
	other := testenv.Postgres(t)
	deploy(t, other+`?schema=my"schema`, Own(), Options{}, "")
	if n := value(t, other, `SELECT count(*) FROM pg_tables WHERE schemaname = 'my"schema'`); n != value(t, url, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`) {
		t.Errorf("%s tables in the other schema", n)
	}
	if n := value(t, other, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); n != "0" {
		t.Errorf("%s tables in public", n)
	}
}

func TestTheOwnSetsNamesAndWordsKeepTheRules(t *testing.T) {
	set := Own()
	if !slices.IsSortedFunc(set.Migrations, func(a, b Migration) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not in the order of the names")
	}
	for _, m := range set.Migrations {
		if !strings.HasPrefix(m.Name, ownPrefix) {
			t.Errorf("%s does not begin with %s", m.Name, ownPrefix)
		}
		for _, st := range scan(m.SQL) {
			if !st.has("IF") || !st.has("EXISTS") || !st.starts("CREATE") {
				t.Errorf("%s: %s is not additive and idempotent", m.Name, st.describe())
			}
		}
	}
}
