package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// checkPrivileges looks for what would stop the pending files half-way: no
// right to create in the schema, or tables that belong to somebody else. It
// comes before the first change and says what to grant.
func (s *session) checkPrivileges(ctx context.Context, scripts []script) error {
	var user string
	var can bool
	object, name := "schema", s.p.target.Schema
	sql := "SELECT current_user::text, has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1"
	if !s.schemaThere {
		object, name = "database", s.p.target.Config.Database
		sql = "SELECT current_user::text, has_database_privilege(oid, 'CREATE') FROM pg_database WHERE datname = $1"
	}
	if err := s.conn.QueryRow(ctx, sql, name).Scan(&user, &can); err != nil {
		return s.failure(ctx, "checking privileges", err)
	}
	e := &Error{Code: "P3018", SQLState: "42501", kind: kindRefused, Rule: "PRIV001", Migration: "(none begun)"}
	if !can {
		e.Message = fmt.Sprintf("permission denied for %s %s", object, name)
		e.Hint = fmt.Sprintf("Nothing was changed. As its owner run: GRANT CREATE ON %s %s TO %s;", strings.ToUpper(object), pgx.Identifier{name}.Sanitize(), pgx.Identifier{user}.Sanitize())
		return e
	}
	var schemas, tables []string
	for _, sc := range scripts {
		for _, st := range sc.statements {
			for _, t := range st.altered() {
				if t[0] == "" {
					t[0] = s.p.target.Schema
				}
				schemas, tables = append(schemas, t[0]), append(tables, t[1])
			}
		}
	}
	rows, err := s.conn.Query(ctx, `SELECT DISTINCT n.nspname::text, c.relname::text FROM unnest($1::text[], $2::text[]) AS w(schema, name)
		JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
		WHERE c.relkind IN ('r', 'p') AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1, 2`, schemas, tables)
	if err != nil {
		return s.failure(ctx, "checking the owners of tables", err)
	}
	var foreign, fixes []string
	var schema, table string
	if _, err := pgx.ForEachRow(rows, []any{&schema, &table}, func() error {
		foreign = append(foreign, fmt.Sprintf("%q", table))
		fixes = append(fixes, fmt.Sprintf("ALTER TABLE %s OWNER TO %s;", pgx.Identifier{schema, table}.Sanitize(), pgx.Identifier{user}.Sanitize()))
		return nil
	}); err != nil {
		return s.failure(ctx, "checking the owners of tables", err)
	}
	if len(foreign) == 0 {
		return nil
	}
	e.Message = "must be owner of table " + strings.Join(foreign, ", ")
	e.Hint = "Nothing was changed. Migrate as the owner, or as a superuser run: " + strings.Join(fixes, " ")
	return e
}

// altered names the tables that the statement can only change as their owner,
// each as schema (perhaps empty) and name.
func (st statement) altered() (tables [][2]string) {
	if x, ok := st.index(); ok {
		return [][2]string{{x.tableSchema, x.table}}
	}
	i := 0
	skip := func(words ...string) bool {
		for _, w := range words {
			if i >= len(st.tokens) || st.tokens[i].kind != tokenWord || st.tokens[i].text != w {
				return false
			}
			i++
		}
		return true
	}
	if !st.starts("ALTER", "TABLE") && !st.starts("DROP", "TABLE") {
		return nil
	}
	drop := st.tokens[0].text == "DROP"
	i = 2
	if i < len(st.tokens) && slices.Contains([]string{"IF", "ONLY", "ALL"}, st.tokens[i].text) && st.tokens[i].kind == tokenWord {
		switch st.tokens[i].text {
		case "ALL": // ALTER TABLE ALL IN TABLESPACE
			return nil
		case "IF":
			if !skip("IF", "EXISTS") {
				return nil
			}
		}
		if i < len(st.tokens) && st.tokens[i].text == "ONLY" {
			i++
		}
	}
	for {
		schema, name := st.qualified(&i)
		if name == "" {
			return tables
		}
		tables = append(tables, [2]string{schema, name})
		if !drop || i >= len(st.tokens) || st.tokens[i].text != "," {
			return tables
		}
		i++
	}
}
