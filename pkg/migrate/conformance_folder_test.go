package migrate

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/testenv"
)

// Prisma sends the mark and fails with 42601.
func TestMC34AByteOrderMarkIsNotSent(t *testing.T) {
	url := testenv.Postgres(t)
	r := deploy(t, url, files(t, map[string]string{"1": "\ufeff" + initSQL}), Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N")
	if value(t, url, `SELECT checksum FROM "_prisma_migrations"`) != Checksum("\ufeff"+initSQL) || len(r.Warnings) != 1 {
		t.Errorf("warnings %v", r.Warnings)
	}
}

func TestMC35WindowsLineEnds(t *testing.T) {
	url := testenv.Postgres(t)
	text := "CREATE TABLE a(i int);\r\n-- x\r\nCREATE TABLE b(i int);\r\n"
	deploy(t, url, files(t, map[string]string{"1": text}), Options{}, "")
	if got := value(t, url, `SELECT checksum FROM "_prisma_migrations"`); got != Checksum(text) {
		t.Errorf("checksum %s", got)
	}
}

func TestMC36EmptyFiles(t *testing.T) {
	url := testenv.Postgres(t)
	r := deploy(t, url, files(t, map[string]string{"1": "", "2": "-- nothing\n/* at all */"}), Options{}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N")
	if len(r.Warnings) != 2 || value(t, url, `SELECT checksum FROM "_prisma_migrations" WHERE migration_name = '1'`) != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("warnings %v", r.Warnings)
	}
}

// Prisma applies what comes before and then stops.
func TestMC37AFolderWithoutAFileStopsBeforeAnyChange(t *testing.T) {
	url := testenv.Postgres(t)
	set := readSet(t, fstest.MapFS{"1/migration.sql": {Data: []byte(initSQL)}, "2/README": {Data: []byte("x")}})
	_, err := provider(t, url, set, Options{}).Deploy(context.Background())
	if e := wantCode(t, err, "P3015"); !strings.HasPrefix(e.Message, "Could not find the migration file at migrations/2/migration.sql. Please delete the directory or restore the migration file.") {
		t.Errorf("text %s", e)
	}
	if there(t, url, "_prisma_migrations") {
		t.Error("something was begun")
	}
	if r, e := status(t, url, set); e == nil || states(r) != "1=pending 2=pending" {
		t.Errorf("status %v %s", e, states(r))
	}
}

func TestMC38StrayFilesAndHiddenFolders(t *testing.T) {
	url := testenv.Postgres(t)
	set := readSet(t, fstest.MapFS{
		"1/migration.sql": {Data: []byte(initSQL)}, ".hidden/migration.sql": {Data: []byte("SELECT 1")}, "README.md": {Data: []byte("x")}, "x.sql": {Data: []byte("SELECT 1/0")},
		"..data/migration.sql": {Data: []byte("SELECT 1/0")}, // what Kubernetes puts beside a mounted ConfigMap
		"1/nested/deeper.sql":  {Data: []byte("SELECT 1/0")},
	})
	r := deploy(t, url, set, Options{}, "")
	wantHistory(t, url, ".hidden: 1,t,f,N", "1: 1,t,f,N")
	if len(r.Warnings) != 1 || r.Warnings[0].Rule != "FILE001" {
		t.Errorf("warnings %v", r.Warnings)
	}
}

func TestMC39LockFiles(t *testing.T) {
	for name, tt := range map[string]struct{ lock, code, found string }{
		"mysql":       {`provider = "mysql"`, "P3019", "`mysql`"},
		"no line":     {"# nothing\n", "P3019", "`<PROVIDER NOT FOUND>`"},
		"no spaces":   {`provider="postgresql"`, "", ""},
		"as written":  {"# Please do not edit\r\nprovider = \"postgresql\"\r\n", "", ""},
		"no file":     {"", "", ""},
		"second line": {"provider = \"postgresql\"\nprovider = \"mysql\"\n", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := fstest.MapFS{"1/migration.sql": {Data: []byte("SELECT 1")}}
			if tt.lock != "" {
				m["migration_lock.toml"] = &fstest.MapFile{Data: []byte(tt.lock)}
			}
			_, err := provider(t, testenv.Postgres(t), readSet(t, m), Options{}).Deploy(context.Background())
			if e := wantCode(t, err, tt.code); e != nil && !strings.Contains(e.Message, tt.found) {
				t.Errorf("text %s", e)
			}
		})
	}
}

func TestMC51NamesOrderByTheirBytes(t *testing.T) {
	url := testenv.Postgres(t)
	list := map[string]string{}
	for _, n := range []string{"10_b", "9_a", "20250101_Z", "20250101_a", "2025010100_x", "A_up", "a_low", "with a space"} {
		list[n] = "SELECT 1"
	}
	r := deploy(t, url, files(t, list), Options{}, "")
	var got []string
	for _, a := range r.Applied {
		got = append(got, a.Name)
	}
	if diff := cmp.Diff([]string{"10_b", "2025010100_x", "20250101_Z", "20250101_a", "9_a", "A_up", "a_low", "with a space"}, got); diff != "" {
		t.Error(diff)
	}
}
