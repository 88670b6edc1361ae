package migrate

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/testenv"
)

func TestScanCutsWhereTheServerDoes(t *testing.T) {
	tests := map[string]struct {
		sql  string
		want []string
	}{
		"two statements":                          {"SELECT 1; SELECT 2", []string{"SELECT 1", "SELECT 2"}},
		"empty ones do not count":                 {";; SELECT 1;;\n;", []string{"SELECT 1"}},
		"comments alone are nothing":              {"-- a;\n/* b; */", nil},
		"a comment in front is not the statement": {"-- a\nSELECT 1 -- b", []string{"SELECT 1 -- b"}},
		"nested comments":                         {"/* a /* b; */ c; */ SELECT 1", []string{"SELECT 1"}},
		"strings":                                 {"SELECT 'a;''b;'; SELECT 2", []string{"SELECT 'a;''b;'", "SELECT 2"}},
		"a backslash in a plain string":           {`SELECT 'a\'; SELECT 2`, []string{`SELECT 'a\'`, "SELECT 2"}},
		"a backslash in an escape string":         {`SELECT E'a\';'; SELECT 2`, []string{`SELECT E'a\';'`, "SELECT 2"}},
		"an escape string over two lines":         {"SELECT e'a'\n '\\';'; SELECT 2", []string{"SELECT e'a'\n '\\';'", "SELECT 2"}},
		"an escape string next to another":        {`SELECT E'a' '\'; SELECT 2`, []string{`SELECT E'a' '\'`, "SELECT 2"}}, // an error to the server, after the cut
		"quoted names":                            {`SELECT ";"";"; SELECT 2`, []string{`SELECT ";"";"`, "SELECT 2"}},
		"names with unicode escapes":              {`SELECT U&"\0041;" , u&'b;'; SELECT 2`, []string{`SELECT U&"\0041;" , u&'b;'`, "SELECT 2"}},
		"bit and national strings":                {"SELECT B'1', x'a;', N';'; SELECT 2", []string{"SELECT B'1', x'a;', N';'", "SELECT 2"}},
		"dollar quotes":                           {"SELECT $$a;'$$; SELECT 2", []string{"SELECT $$a;'$$", "SELECT 2"}},
		"dollar quotes with tags":                 {"DO $a$ ; $b$ ; $$ ; $b$ $a$; SELECT 2", []string{"DO $a$ ; $b$ ; $$ ; $b$ $a$", "SELECT 2"}},
		"a dollar sign inside a word":             {"SELECT a$b$c; SELECT $1$2", []string{"SELECT a$b$c", "SELECT $1$2"}},
		"a tag that begins with a digit is none":  {"SELECT $1a$; SELECT 2", []string{"SELECT $1a$", "SELECT 2"}},
		"parentheses":                             {"CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b); SELECT 2", []string{"CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b)", "SELECT 2"}},
		"a body in the standard's form": {"CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 3; END; SELECT 2",
			[]string{"CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 3; END", "SELECT 2"}},
		"begin outside of a function":            {"BEGIN; SELECT 1; END", []string{"BEGIN", "SELECT 1", "END"}},
		"minus minus inside an operator":         {"SELECT 1+--;\n2; SELECT 2", []string{"SELECT 1+--;\n2", "SELECT 2"}},
		"an open string runs to the end":         {"SELECT 'a; SELECT 2", []string{"SELECT 'a; SELECT 2"}},
		"an open comment runs to the end":        {"SELECT 1; /* a; SELECT 2", []string{"SELECT 1"}},
		"an open dollar quote runs to the end":   {"SELECT $x$ a; SELECT 2", []string{"SELECT $x$ a; SELECT 2"}},
		"a stray closing parenthesis":            {"SELECT 1); SELECT 2", []string{"SELECT 1)", "SELECT 2"}},
		"windows line ends":                      {"SELECT 1;\r\n-- x\r\nSELECT 2;\r\n", []string{"SELECT 1", "SELECT 2"}},
		"other scripts in words":                 {"SELECT ünï; SELECT 表", []string{"SELECT ünï", "SELECT 表"}},
		"an e at the end of a word is no escape": {`SELECT * FROM table'\'; SELECT 2`, []string{`SELECT * FROM table'\'`, "SELECT 2"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, st := range scan(tt.sql) {
				got = append(got, tt.sql[st.start:st.end])
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrepareChoosesTheMode(t *testing.T) {
	tests := map[string]struct {
		sql  string
		mode Mode
		rule string
	}{
		"ordinary statements":                    {"CREATE TABLE a(); INSERT INTO a DEFAULT VALUES", Atomic, ""},
		"nothing":                                {"", Atomic, ""},
		"one concurrent index":                   {"-- why\nCREATE INDEX CONCURRENTLY x ON a(b);", Bare, ""},
		"one concurrent unique index":            {"create unique index concurrently if not exists x on a(b)", Bare, ""},
		"the word in a string does not count":    {"COMMENT ON INDEX x IS 'CREATE INDEX CONCURRENTLY'", Atomic, ""},
		"an index named concurrently, in quotes": {`CREATE INDEX "concurrently" ON a(b)`, Atomic, ""},
		"drop index concurrently":                {"DROP INDEX CONCURRENTLY x", Bare, ""},
		"reindex concurrently":                   {"REINDEX (VERBOSE) INDEX CONCURRENTLY x", Bare, ""},
		"reindex with the option":                {"REINDEX (CONCURRENTLY) INDEX x", Bare, ""},
		"reindex table":                          {"REINDEX TABLE x", Atomic, ""},
		"reindex database":                       {"REINDEX (VERBOSE) DATABASE x", Bare, ""},
		"vacuum":                                 {"VACUUM ANALYZE a", Bare, ""},
		"alter system":                           {"ALTER SYSTEM SET x = 1", Bare, ""},
		"create database":                        {"CREATE DATABASE x", Bare, ""},
		"detach concurrently":                    {"ALTER TABLE a DETACH PARTITION b CONCURRENTLY", Bare, ""},
		"refresh concurrently may stay inside":   {"REFRESH MATERIALIZED VIEW CONCURRENTLY x", Atomic, ""},
		"cluster everything":                     {"CLUSTER", Bare, ""},
		"cluster a table":                        {"CLUSTER a USING b", Atomic, ""},
		"a procedure alone may commit":           {"CALL p()", Bare, ""},
		"a procedure among others may not":       {"CALL p(); SELECT 1", Atomic, ""},
		"a block that commits":                   {"DO $$ BEGIN INSERT INTO a VALUES (1); COMMIT; END $$", Bare, ""},
		"a block that does not":                  {"DO $$ BEGIN RAISE NOTICE 'COMMIT'; END $$", Atomic, ""},
		"its own transaction":                    {"BEGIN; SELECT 1; COMMIT;", Native, ""},
		"start transaction":                      {"START TRANSACTION; SELECT 1; END", Native, ""},
		"rolled back to a savepoint":             {"BEGIN; SAVEPOINT a; ROLLBACK TO a; COMMIT", Native, ""},
		"two concurrent indexes":                 {"CREATE INDEX CONCURRENTLY x ON a(b); CREATE INDEX CONCURRENTLY y ON a(b)", Atomic, "TXN001"},
		"a concurrent index and another":         {"SELECT 1;\nVACUUM;", Atomic, "TXN001"},
		"begun and not ended":                    {"BEGIN; SELECT 1;", Native, "TXN002"},
		"ended and begun again":                  {"BEGIN; COMMIT AND CHAIN; SELECT 1", Native, "TXN002"},
		"ended without chain":                    {"BEGIN; COMMIT AND NO CHAIN; SELECT 1", Native, ""},
		"only rolled back to a savepoint":        {"BEGIN; SAVEPOINT a; ROLLBACK TO SAVEPOINT a", Native, "TXN002"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := prepare(Migration{Name: "m", SQL: tt.sql})
			rule := ""
			if s.refusal != nil {
				rule = s.refusal.Rule
			}
			if s.mode != tt.mode || rule != tt.rule {
				t.Errorf("mode %s rule %q, want %s %q", s.mode, rule, tt.mode, tt.rule)
			}
		})
	}
}

// The modes are right when the server agrees: what is said to refuse a
// transaction must refuse it, and what is run in one must not.
func TestTheServerAgreesOnWhatCannotRunInATransaction(t *testing.T) {
	url := testenv.Postgres(t)
	sql(t, url, `CREATE TABLE a(b int PRIMARY KEY); CREATE INDEX x ON a(b); CREATE MATERIALIZED VIEW v AS SELECT 1 AS i; CREATE UNIQUE INDEX ON v(i);
		CREATE TABLE p(i int) PARTITION BY RANGE (i); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (2);
		CREATE PROCEDURE plain() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'; ALTER TABLE a CLUSTER ON a_pkey; CREATE TYPE e AS ENUM ('a')`)
	conn := open(t, url)
	for _, text := range []string{
		"CREATE INDEX CONCURRENTLY y ON a(b)", "DROP INDEX CONCURRENTLY x", "REINDEX INDEX CONCURRENTLY x", "REINDEX (VERBOSE, CONCURRENTLY) INDEX x", "REINDEX INDEX x",
		"REINDEX SCHEMA public", "REINDEX TABLE a", "VACUUM a", "ALTER SYSTEM SET work_mem = '4MB'", "CREATE DATABASE mc_x", "CREATE TABLESPACE t LOCATION '/nonexistent'",
		"ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY", "ALTER TABLE p DETACH PARTITION p1", "REFRESH MATERIALIZED VIEW CONCURRENTLY v", "CLUSTER", "CLUSTER a",
		"CALL plain()", "DO 'BEGIN COMMIT; END'", "DO 'BEGIN PERFORM 1; END'", "ALTER TYPE e ADD VALUE 'b'", "CREATE TABLE z()", "ANALYZE a", "LOCK TABLE a", "CHECKPOINT", "DISCARD TEMP",
	} {
		if _, err := conn.PgConn().Exec(context.Background(), "BEGIN").ReadAll(); err != nil {
			t.Fatal(err)
		}
		_, err := conn.PgConn().Exec(context.Background(), text).ReadAll()
		refused := isState(err, "25001") || isState(err, "2D000")
		if _, err := conn.PgConn().Exec(context.Background(), "ROLLBACK").ReadAll(); err != nil {
			t.Fatal(err)
		}
		if isState(err, "42601") && !since(t, url, 14) {
			continue // a form that this server does not know yet
		}
		if mode := prepare(Migration{SQL: text}).mode; (mode == Bare) != refused {
			t.Errorf("%s: mode %s, and the server refuses a transaction: %v (%v)", text, mode, refused, err)
		}
	}
}

func TestIndexReadsTheStatement(t *testing.T) {
	tests := map[string]createdIndex{
		`CREATE INDEX Foo ON Bar(x)`: {name: "foo", table: "bar"},
		`CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "Foo" ON public."Bar" USING gin (x)`: {name: "Foo", table: "Bar", tableSchema: "public", ifNotExists: true, concurrently: true},
		`CREATE INDEX ON ONLY "S"."T"(x)`:   {table: "T", tableSchema: "S"},
		`CREATE INDEX CONCURRENTLY ON t(x)`: {table: "t", concurrently: true},
		`CREATE TABLE t(x int)`:             {},
		`CREATE INDEX`:                      {},
		`CREATE INDEX x`:                    {},
	}
	for text, want := range tests {
		got, ok := scan(text)[0].index()
		if ok != (want.table != "") || ok && got != want {
			t.Errorf("%s: %+v %v", text, got, ok)
		}
	}
}

func TestLineOfCountsCharacters(t *testing.T) {
	text := "äöü\r\n漢字\n\nx"
	for position, want := range map[int32]int{0: 0, -1: 0, 1: 1, 5: 1, 6: 2, 9: 3, 10: 4, 99: 4} {
		if got := lineOf(text, position); got != want {
			t.Errorf("position %d: line %d, want %d", position, got, want)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{
		"SELECT 1; SELECT 2", "E'\\''; 'a' /* /* */ */ -- x\n$a$ ; $a$", `U&"x" $1 $$ $$ "a""b"`, "CREATE FUNCTION f() BEGIN ATOMIC CASE END; END; x", "((;", "B'", "e'a'\n'b'",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last := 0
		for _, st := range scan(text) {
			if st.start < last || st.end < st.start || st.end > len(text) || len(st.tokens) == 0 {
				t.Fatalf("statement %d..%d after %d of %d", st.start, st.end, last, len(text))
			}
			last = st.end
			for _, tok := range st.tokens {
				if tok.pos < st.start || tok.pos > st.end {
					t.Fatalf("token at %d outside of %d..%d", tok.pos, st.start, st.end)
				}
			}
			// A statement by itself is one statement still.
			if again := scan(text[st.start:st.end]); len(again) > 1 {
				t.Fatalf("%q is cut again into %d", text[st.start:st.end], len(again))
			}
		}
		_ = prepare(Migration{SQL: text})
		if !sameChecksum(Checksum(text), strings.ReplaceAll(text, "\r\n", "\n")) && !strings.Contains(text, "\r") {
			t.Error("checksum")
		}
	})
}

// FuzzScanAgainstTheServer compares the number of statements with what
// PostgreSQL counts, for texts that it accepts. Run it with -fuzz where there
// is a server; the seeds run always.
func FuzzScanAgainstTheServer(f *testing.F) {
	for _, s := range []string{
		"SELECT 1; SELECT 2;", "SELECT 'a;b', E'\\';' ; SELECT $$;$$", "SELECT 1 /* ; /* ; */ */ ; -- ;\nSELECT \";\" FROM (SELECT 1 AS \";\") x",
		"SELECT e'a'\n';'", "SELECT 1 AS a$b; SELECT $x$;$x$", "SELECT U&'\\0061;'", ";;", "SELECT B'1';SELECT 1e5;SELECT 1.5", "select 'a'--x\n'b;'",
	} {
		f.Add(s)
	}
	conn := open(f, testenv.Postgres(f))
	f.Fuzz(func(t *testing.T, text string) {
		upper := strings.ToUpper(text)
		if strings.ContainsRune(text, 0) || len(text) > 500 || !strings.HasPrefix(strings.TrimSpace(upper), "SELECT") ||
			strings.Contains(upper, "SLEEP") || strings.Contains(upper, "COPY") || strings.Contains(upper, "INTO") {
			t.Skip()
		}
		ctx := context.Background()
		if _, err := conn.PgConn().Exec(ctx, "BEGIN READ ONLY").ReadAll(); err != nil {
			t.Fatal(err)
		}
		n := 0
		results := conn.PgConn().Exec(ctx, text)
		for results.NextResult() {
			if _, err := results.ResultReader().Close(); err == nil {
				n++
			}
		}
		err := results.Close()
		if _, rerr := conn.PgConn().Exec(ctx, "ROLLBACK").ReadAll(); rerr != nil {
			t.Fatal(rerr)
		}
		if err != nil {
			t.Skip()
		}
		if got := len(scan(text)); got != n {
			t.Errorf("%q: %d statements, the server ran %d", text, got, n)
		}
	})
}

// FuzzDDL reads anything as statements, applies what they say to a schema, and
// judges it: none of it may fail.
func FuzzDDL(f *testing.F) {
	for _, m := range Own().Migrations {
		f.Add(m.SQL)
	}
	f.Add(`ALTER TABLE a ADD COLUMN b int, DROP c, RENAME TO d; CREATE INDEX ON x((lower(y)) DESC NULLS LAST) WHERE z IS NULL`)
	f.Add(`DO $$ BEGIN IF 1 THEN ALTER TABLE a DROP CONSTRAINT b; END IF; END $$; CREATE TYPE t AS ENUM ('a''b'); ALTER TYPE t ADD VALUE 'c' BEFORE 'd'`)
	f.Fuzz(func(t *testing.T, sql string) {
		m := Migration{Name: "1", SQL: sql}
		live := simulate([]Migration{m})
		Lint(&Set{Migrations: []Migration{m}}, 150000, "")
		detect([]Migration{m}, live)
		for _, d := range append(live.missingFrom(newModel()), newModel().missingFrom(live)...) {
			_ = d.Label()
		}
		for _, d := range live.missingFrom(live) {
			if d.Kind == "missing" { // what no server would take may have a name twice
				t.Errorf("a schema lacks what it has: %+v", d)
			}
		}
	})
}
