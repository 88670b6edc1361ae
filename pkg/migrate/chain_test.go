package migrate

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/testenv"
)

// TestChainOfReleases upgrades one database through all releases in the cache,
// compares it after each with what the release's statements make of an empty one
// (TestTheReaderOfStatementsSeesWhatTheServerMakesOfThem holds those against the
// server), and finds nothing to do the second time.
func TestChainOfReleases(t *testing.T) {
	list := releases(t)
	url := testenv.Postgres(t)
	for _, set := range list {
		t.Run(filepath.Base(set.From), func(t *testing.T) {
			r := deploy(t, url, set, Options{}, "")
			if again := deploy(t, url, set, Options{}, ""); len(again.Applied) != 0 {
				t.Errorf("the second deploy applied %d", len(again.Applied))
			}
			want, have := simulate(set.Migrations), live(t, url)
			for _, d := range want.missingFrom(have) {
				t.Errorf("%s %s: a fresh one has %q, the upgraded one %q", d.Kind, d.Label(), d.Expected, d.Found)
			}
			// Releases wrote their own baseline_diff folders and dropped them later, and
			// rewrote files, so the upgraded one may have more, never less.
			t.Logf("%d applied, %d found; the fresh one lacks %d things", len(r.Applied), r.Found, len(want.extraIn(have)))
		})
	}
}

// TestChainFromEachIntermediateState stops at migrations on the way, goes on,
// and ends where a run in one go ends.
func TestChainFromEachIntermediateState(t *testing.T) {
	set := extras(t)
	whole := atHead(t)
	tables := everyTable(t, whole)
	want := catalogue(t, whole, tables)
	rows := `SELECT string_agg(format('%s %s %s %s %s', migration_name, checksum, applied_steps_count, finished_at IS NULL, logs IS NULL), E'\n' ORDER BY started_at) FROM "_prisma_migrations"`
	wantRows := value(t, whole, rows)
	every := sample(103)
	n := 0
	for i := 1; i < len(set.Migrations)-1; i += every {
		url := testenv.Postgres(t)
		deploy(t, url, set, Options{To: set.Migrations[i].Name}, "")
		r := deploy(t, url, set, Options{}, "")
		if len(r.Applied) != len(set.Migrations)-1-i {
			t.Errorf("from %s: %d applied", set.Migrations[i].Name, len(r.Applied))
		}
		if diff := cmp.Diff(want, catalogue(t, url, tables)); diff != "" {
			t.Errorf("from %s:\n%s", set.Migrations[i].Name, diff)
		}
		if diff := cmp.Diff(wantRows, value(t, url, rows)); diff != "" {
			t.Errorf("history from %s:\n%s", set.Migrations[i].Name, diff)
		}
		n++
	}
	t.Logf("%d intermediate states, all equal to the run in one go", n)
}

// TestChainByTurns lets Prisma and llmgw apply the releases alternately; the
// other one is content each time.
func TestChainByTurns(t *testing.T) {
	p := newPeer(t)
	list := releases(t)
	url, prismas := testenv.Postgres(t), testenv.Postgres(t)
	for i, set := range []*Set{list[1], list[3], list[5], list[6]} {
		text := map[string]string{}
		for _, m := range set.Migrations {
			text[m.Name] = m.SQL
		}
		folder := p.folder(text)
		if got := p.run(prismas, "apply", folder); got != "" {
			t.Fatalf("Prisma alone: %q", got)
		}
		if i%2 == 0 {
			if got := p.run(url, "apply", folder); got != "" {
				t.Fatalf("Prisma: %q", got)
			}
			if r := deploy(t, url, set, Options{}, ""); len(r.Applied) != 0 {
				t.Errorf("%d applied behind Prisma", len(r.Applied))
			}
			continue
		}
		deploy(t, url, set, Options{}, "")
		if got := p.run(url, "apply", folder); got != "" {
			t.Errorf("Prisma behind us: %q", got)
		}
		if r, err := provider(t, url, set, Options{}).Status(context.Background()); err != nil || !r.InSync {
			t.Errorf("%v %v", err, r.Pending)
		}
	}
	var tables []string
	if err := json.Unmarshal([]byte(value(t, prismas, "SELECT json_agg(tablename) FROM pg_tables WHERE schemaname = 'public'")), &tables); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(catalogue(t, prismas, tables), catalogue(t, url, tables)); diff != "" {
		t.Errorf("catalogues (-Prisma alone +by turns):\n%s", diff)
	}
}
