package migrate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

// resolve marks; code "" is success.
func resolve(t testing.TB, url string, set *Set, q ResolveRequest, code string) *ResolveResult {
	t.Helper()
	r, err := provider(t, url, set, Options{}).Resolve(context.Background(), q)
	if code == "" {
		if err != nil {
			t.Fatalf("resolve: %v", err)
		}
		return r
	}
	wantCode(t, err, code)
	return r
}

func applied(names ...string) ResolveRequest    { return ResolveRequest{Applied: names} }
func rolledBack(names ...string) ResolveRequest { return ResolveRequest{RolledBack: names} }

func TestMC09AFailedMigrationIsMarkedApplied(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, failing(t), Options{}, "P3018")
	if r := resolve(t, url, failing(t), applied("2_bad"), ""); !slices.Equal(r.Applied, []string{"2_bad"}) {
		t.Errorf("%+v", r)
	}
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,t,T", "2_bad: 0,t,f,E")
	if got := value(t, url, `SELECT checksum || ' ' || (started_at = finished_at)::text FROM "_prisma_migrations" WHERE logs = ''`); got != Checksum(failing(t).Migrations[1].SQL)+" true" {
		t.Error(got)
	}
	if !lockFree(t, url) {
		t.Error("the lock is still held")
	}
	// MC10: and the deploy goes on behind it.
	deploy(t, url, failing(t), Options{}, "")
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,t,T", "2_bad: 0,t,f,E", "3_more: 1,t,f,N")
}

func TestMC11MC13MC14AFailedMigrationIsMarkedRolledBackAndRunsFixed(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, failing(t), Options{}, "P3018")
	if r := resolve(t, url, failing(t), rolledBack("2_bad"), ""); !slices.Equal(r.RolledBack, []string{"2_bad"}) {
		t.Errorf("%+v", r)
	}
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,t,T")
	if !strings.Contains(value(t, url, `SELECT logs FROM "_prisma_migrations" WHERE rolled_back_at IS NOT NULL`), "P3018") {
		t.Error("the reason of the failure is gone")
	}
	if r := resolve(t, url, failing(t), rolledBack("2_bad"), ""); !slices.Equal(r.Unchanged, []string{"2_bad"}) {
		t.Errorf("%+v", r)
	}
	fixed := files(t, map[string]string{"1_init": initSQL, "2_bad": "SELECT 1"})
	deploy(t, url, fixed, Options{}, "")
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,t,T", "2_bad: 1,t,f,N")
	resolve(t, url, fixed, rolledBack("2_bad"), "")
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,t,T", "2_bad: 1,t,f,N")
}

func TestMC15WhatCannotBeMarkedRolledBack(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL})
	resolve(t, url, set, rolledBack("1"), "LM0003")
	deploy(t, url, set, Options{}, "")
	resolve(t, url, set, rolledBack("1"), "P3012")
	resolve(t, url, set, rolledBack("2"), "P3011")
	wantHistory(t, url, "1: 1,t,f,N")
}

func TestMC16WhatCannotBeMarkedApplied(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL})
	deploy(t, url, set, Options{}, "")
	resolve(t, url, set, applied("1"), "P3008")
	resolve(t, url, set, applied("2"), "P3017")
	wantHistory(t, url, "1: 1,t,f,N")
}

func TestMC26ABaselineByHand(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"init": initSQL})
	sql(t, url, initSQL)
	deploy(t, url, set, Options{}, "P3005")
	resolve(t, url, set, applied("init"), "")
	deploy(t, url, set, Options{}, "")
	wantHistory(t, url, "init: 0,t,f,E")
}

func TestMC47AFailedMigrationWhoseFolderIsGone(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, failing(t), Options{}, "P3018")
	set := files(t, map[string]string{"1_init": initSQL})
	deploy(t, url, set, Options{}, "P3009")
	resolve(t, url, set, applied("2_bad"), "P3017")
	resolve(t, url, set, rolledBack("2_bad"), "")
	deploy(t, url, set, Options{}, "")
	wantHistory(t, url, "1_init: 1,t,f,N", "2_bad: 0,f,t,T")
}

func TestResolveMarksSeveralInOneTransaction(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL, "2": "SELECT 2", "3": "SELECT 3", "4": "SELECT 4"})
	resolve(t, url, set, applied("1", "2", "nothing"), "P3017")
	if there(t, url, "_prisma_migrations") {
		t.Error("something was written")
	}
	resolve(t, url, set, ResolveRequest{Applied: []string{"2"}, Reason: "by hand"}, "")
	if r := resolve(t, url, set, ResolveRequest{AllThrough: "3"}, ""); !slices.Equal(r.Applied, []string{"1", "3"}) {
		t.Errorf("%+v", r)
	}
	wantHistory(t, url, "2: 0,t,f,T", "1: 0,t,f,E", "3: 0,t,f,E")
	if r := resolve(t, url, set, ResolveRequest{AllThrough: "3"}, ""); len(r.Applied) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestResolveKeepsTheReasonBesideTheFailure(t *testing.T) {
	url := testenv.Postgres(t)
	deploy(t, url, failing(t), Options{}, "P3018")
	resolve(t, url, failing(t), ResolveRequest{RolledBack: []string{"2_bad"}, Reason: "cleaned by hand"}, "")
	if logs := value(t, url, `SELECT logs FROM "_prisma_migrations" WHERE rolled_back_at IS NOT NULL`); !strings.Contains(logs, "P3018") || !strings.HasSuffix(logs, "\ncleaned by hand") {
		t.Error(logs)
	}
}

func TestResolveVerifiesThatTheObjectsAreThere(t *testing.T) {
	set := files(t, map[string]string{
		"1": initSQL,
		"2": `ALTER TABLE "A" ADD COLUMN n int; CREATE INDEX "A_n" ON "A"(n);`,
		"3": `DROP INDEX "A_n";`,
		"4": `UPDATE "A" SET n = 1;`,
	})
	url := testenv.Postgres(t)
	sql(t, url, initSQL+`ALTER TABLE "A" ADD COLUMN n int;`)
	_, err := provider(t, url, set, Options{}).Resolve(context.Background(), ResolveRequest{Applied: []string{"1", "2"}, Verify: true})
	if e := wantCode(t, err, "LM0011"); !strings.Contains(e.Message, "2 lacks index A_n") {
		t.Error(e)
	}
	if there(t, url, "_prisma_migrations") {
		t.Error("something was written")
	}
	// What a later one drops need not be there when that is applied, too.
	resolve(t, url, set, ResolveRequest{AllThrough: "4", Verify: true}, "")
	wantHistory(t, url, "1: 0,t,f,E", "2: 0,t,f,E", "3: 0,t,f,E", "4: 0,t,f,E")
}

func TestResolveWaitsForNobodyWhoHoldsTheLock(t *testing.T) {
	url := testenv.Postgres(t)
	sql(t, url, initSQL)
	holder := open(t, url)
	if _, err := holder.Exec(context.Background(), "SELECT pg_advisory_lock($1)", LockKey); err != nil {
		t.Fatal(err)
	}
	_, err := provider(t, url, files(t, map[string]string{"1": initSQL}), Options{LockTimeout: 100 * time.Millisecond}).Resolve(context.Background(), applied("1"))
	wantCode(t, err, "P1002")
}

func TestWaitEndsWhenTheMigrationsAreThere(t *testing.T) {
	url := testenv.Postgres(t)
	set := files(t, map[string]string{"1": initSQL, "2": "SELECT 2"})
	r := newRecorder()
	p := provider(t, url, set, Options{OnEvent: r.on})
	done := make(chan error, 1)
	go func() { _, err := p.Wait(context.Background(), ""); done <- err }()
	r.wait(t, EventWaiting)
	deploy(t, url, set, Options{}, "")
	if err := <-done; err != nil {
		t.Error(err)
	}
	// Ahead is fine, and so is a head that one needs no more than.
	if _, err := provider(t, url, files(t, map[string]string{"1": initSQL}), Options{}).Wait(context.Background(), ""); err != nil {
		t.Error(err)
	}
	more := files(t, map[string]string{"1": initSQL, "2": "SELECT 2", "3": "SELECT 3"})
	if _, err := provider(t, url, more, Options{}).Wait(context.Background(), "2"); err != nil {
		t.Error(err)
	}
	// When the time ends between two looks, or in a later look, it is known what
	// is pending.
	for _, inALook := range []bool{false, true} {
		ctx, cancel := context.WithCancelCause(context.Background())
		writer := open(t, url)
		o := Options{OnEvent: func(e Event) {
			if e.Event != EventWaiting || !inALook {
				cancel(context.DeadlineExceeded)
				return
			}
			if _, err := writer.PgConn().Exec(ctx, `BEGIN; LOCK "_prisma_migrations"`).ReadAll(); err != nil {
				t.Error(err)
			}
			go func() {
				eventually(t, "the second look waits", func() bool { return value(t, url, "SELECT count(*) FROM pg_locks WHERE NOT granted") == "1" })
				cancel(context.DeadlineExceeded)
			}()
		}}
		found, err := provider(t, url, more, o).Wait(ctx, "")
		if e, ok := errors.AsType[*Error](err); !ok || !e.Pending() || !strings.Contains(e.Message, "the time is over: 1 migration pending") || found == nil {
			t.Errorf("at the end of the time, in a look: %v: %v %v", inALook, err, found)
		}
		cancel(nil)
		writer.Close(context.Background())
	}
	_, err := provider(t, url, more, Options{}).Wait(context.Background(), "9")
	if e, ok := errors.AsType[*Error](err); !ok || !e.Usage() {
		t.Errorf("unknown head: %v", err)
	}
}

// TestAnUnaskedSetGivesWayToTheManifest: on a database of LiteLLM's our own set
// is not what is meant.
func TestAnUnaskedSetGivesWayToTheManifest(t *testing.T) {
	list := releases(t)
	set, older := list[len(list)-2], list[len(list)-3]
	url := testenv.Postgres(t)
	deploy(t, url, older, Options{}, "")
	o := Options{Auto: true}
	_, err := provider(t, url, Own(), o).Deploy(context.Background())
	if e := wantCode(t, err, "LM0007"); !strings.Contains(e.Message, "migrations of LiteLLM ") {
		t.Error(e)
	}
	deploy(t, url, set, Options{Strict: true}, "")
	r, err := provider(t, url, Own(), o).Deploy(context.Background())
	if err != nil || r.Set != "litellm" || len(r.Applied) != 0 {
		t.Errorf("%v %+v", err, r)
	}
	s, err := provider(t, url, Own(), o).Status(context.Background())
	if err != nil || s.Err(true) != nil || len(s.Edited) > 0 {
		t.Errorf("%v %v %v", err, s.Err(true), s.Edited)
	}
	if _, err := provider(t, url, Own(), o).Wait(context.Background(), ""); err != nil {
		t.Error(err)
	}
	deploy(t, url, Own(), Options{}, "LM0007")
	// An earlier form of a file is not an edit: LiteLLM rewrote it.
	old := testenv.Postgres(t)
	deploy(t, old, list[0], Options{}, "")
	if r := deploy(t, old, set, Options{Strict: true}, ""); len(r.Applied) == 0 {
		t.Errorf("%+v", r)
	}
}
