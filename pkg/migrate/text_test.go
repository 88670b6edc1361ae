package migrate

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/testenv"
)

// TestPrismaTextsAreThoseOfItsCLI holds what `prisma migrate` 6.19.3 prints in
// the same situation, its datasource line left out.
func TestPrismaTextsAreThoseOfItsCLI(t *testing.T) {
	two := map[string]string{"1_init": initSQL, "2_more": "SELECT 1"}
	fails := map[string]string{"1_init": initSQL, "2_fail": "SELECT 1/0", "3_after": "SELECT 1"}
	failsLast := map[string]string{"1_init": initSQL, "2_fail": "SELECT 1/0"}
	tests := map[string]struct {
		before map[string]string // deployed first
		sql    string
		now    map[string]string
		exit   int
		out    string
		errs   string
	}{
		"pending": {nil, "", two, 1, `2 migrations found in prisma/migrations
Following migrations have not yet been applied:
1_init
2_more

To apply migrations in development run prisma migrate dev.
To apply migrations in production run prisma migrate deploy.
`, ""},
		"in sync":               {two, "", two, 0, "2 migrations found in prisma/migrations\n\nDatabase schema is up to date!\n", ""},
		"missing in the folder": {two, "", map[string]string{"1_init": initSQL}, 0, "1 migration found in prisma/migrations\n\nDatabase schema is up to date!\n", ""},
		"diverged": {two, "", map[string]string{"1_init": initSQL, "3_new": "SELECT 3"}, 1, "2 migrations found in prisma/migrations\n", `Your local migration history and the migrations table from your database are different:

The last common migration is: 1_init

The migration have not yet been applied:
3_new

The migration from the database are not found locally in prisma/migrations:
2_more
`},
		"failed, and one pending": {fails, "", fails, 1, `3 migrations found in prisma/migrations
Following migration have not yet been applied:
3_after

To apply migrations in development run prisma migrate dev.
To apply migrations in production run prisma migrate deploy.
`, ""},
		"failed": {failsLast, "", failsLast, 1, "2 migrations found in prisma/migrations\n", `Following migration have failed:
2_fail

During development if the failed migration(s) have not been deployed to a production database you can then fix the migration(s) and run prisma migrate dev.

The failed migration(s) can be marked as rolled back or applied:
      
- If you rolled back the migration(s) manually:
prisma migrate resolve --rolled-back "2_fail"

- If you fixed the database manually (hotfix):
prisma migrate resolve --applied "2_fail"

Read more about how to resolve migration issues in a production database:
https://pris.ly/d/migrate-resolve
`},
		"nothing there": {nil, "", nil, 1, "No migration found in prisma/migrations\n", "The current database is not managed by Prisma Migrate.\n        \nRead more about how to baseline an existing production database:\nhttps://pris.ly/d/migrate-baseline\n"},
		"tables, no history": {nil, "CREATE TABLE x(i int)", map[string]string{"1_init": initSQL}, 1, `1 migration found in prisma/migrations
Following migration have not yet been applied:
1_init

To apply migrations in development run prisma migrate dev.
To apply migrations in production run prisma migrate deploy.
`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			url := testenv.Postgres(t)
			if tt.before != nil {
				_, _ = provider(t, url, files(t, tt.before), Options{}).Deploy(context.Background())
			}
			if tt.sql != "" {
				sql(t, url, tt.sql)
			}
			r, err := provider(t, url, files(t, tt.now), Options{}).Status(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			var out, errs strings.Builder
			exit, err := r.PrismaText(&out, &errs)
			if err != nil {
				t.Fatal(err)
			}
			_, text, _ := strings.Cut(out.String(), "\n\n")
			if diff := cmp.Diff(tt.out, text); diff != "" || exit != tt.exit {
				t.Errorf("exit %d, want %d; standard output:\n%s", exit, tt.exit, diff)
			}
			if diff := cmp.Diff(tt.errs, errs.String()); diff != "" {
				t.Errorf("standard error:\n%s", diff)
			}
		})
	}
}

func TestPrismaTextOfADeploy(t *testing.T) {
	url := testenv.Postgres(t)
	r := deploy(t, url, files(t, map[string]string{"1_init": initSQL, "2_more": "SELECT 1"}), Options{}, "")
	var out strings.Builder
	if err := r.PrismaText(&out, true); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(out.String(), "\n\n")
	want := "2 migrations found in prisma/migrations\n\nApplying migration `1_init`\nApplying migration `2_more`\n\nThe following migration(s) have been applied:\n\nmigrations/\n" +
		"  └─ 1_init/\n    └─ migration.sql\n  └─ 2_more/\n    └─ migration.sql\n      \nAll migrations have been successfully applied.\n"
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
}
