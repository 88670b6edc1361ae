package migrate

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

// TestMC49ThroughAPoolerByConsent: each file is one transaction with a lock that
// ends with it.
func TestMC49ThroughAPoolerByConsent(t *testing.T) {
	s := testenv.PostgresServer(t)
	sql(t, s.URL("postgres"), "CREATE DATABASE pooled")
	direct := s.URL("pooled")
	pooled := strings.Replace(direct, fmt.Sprint(":", s.Port), fmt.Sprint(":", pgbouncer(t, direct, "transaction")), 1)
	o := Options{AllowPooler: true, ConnectWait: 20 * time.Second, LockTimeout: 300 * time.Millisecond}
	list := map[string]string{"1": initSQL, "2": `SET work_mem = '1MB'; ALTER TABLE "A" ADD COLUMN n int`}
	r := deploy(t, pooled, files(t, list), o, "")
	if len(r.Applied) != 2 || !r.Database.Pooler || !lockFree(t, direct) {
		t.Errorf("%+v", r)
	}
	wantHistory(t, direct, "1: 1,t,f,N", "2: 1,t,f,N")
	list["3"] = `CREATE TABLE "B"(id int); SELECT 1/0`
	deploy(t, pooled, files(t, list), o, "P3018")
	wantHistory(t, direct, "1: 1,t,f,N", "2: 1,t,f,N", "3: 0,f,f,T")
	if there(t, direct, `"B"`) {
		t.Error("a part of the failed file was kept")
	}
	deploy(t, pooled, files(t, list), o, "P3009")
	sql(t, direct, `UPDATE "_prisma_migrations" SET rolled_back_at = now() WHERE finished_at IS NULL`)
	list["3"] = `CREATE INDEX CONCURRENTLY x ON "A"(n)`
	deploy(t, pooled, files(t, list), o, "LM0002")
	list["3"] = "SELECT 3"
	// Who holds the lock is respected, and it is not kept afterwards.
	holder := open(t, direct)
	if _, err := holder.Exec(context.Background(), "SELECT pg_advisory_lock($1)", LockKey); err != nil {
		t.Fatal(err)
	}
	deploy(t, pooled, files(t, list), o, "P1002")
	holder.Close(context.Background())
	eventually(t, "the lock is free", func() bool { return lockFree(t, direct) })
	deploy(t, pooled, files(t, list), o, "")
	if !lockFree(t, direct) {
		t.Error("a lock was left behind")
	}
}
