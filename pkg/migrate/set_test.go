package migrate

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/llmgw/llmgw/internal/testenv"
)

func TestDeployStopsAfterTheNamedMigration(t *testing.T) {
	url := testenv.Postgres(t)
	list := map[string]string{"1": "SELECT 1", "2": "SELECT 2", "3": "SELECT 3"}
	r := deploy(t, url, files(t, list), Options{To: "2"}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N")
	if len(r.Pending) != 1 || r.Pending[0] != "3" {
		t.Errorf("pending %v", r.Pending)
	}
	// Older ones that came later are still before it.
	list["1b"] = "SELECT 1"
	deploy(t, url, files(t, list), Options{To: "2"}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N", "1b: 1,t,f,N")
	deploy(t, url, files(t, list), Options{To: "1"}, "")
	wantHistory(t, url, "1: 1,t,f,N", "2: 1,t,f,N", "1b: 1,t,f,N")
}

func TestChecksumsOfEarlyPrismaAreKnown(t *testing.T) {
	// 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 with the
	// bytes 01, 0f and 02 short of a zero.
	text, legacy := "x", "2d711642b726b0441627ca9fbac32f5c853fb1903cc4db2258717921a4881"
	if got := legacyChecksum(text); got != legacy || len(got) == 64 {
		t.Errorf("legacy form %s, want %s", got, legacy)
	}
	for stored, want := range map[string]bool{Checksum(text): true, legacy: true, "": false, Checksum("y"): false, strings.ToUpper(Checksum(text)): false} {
		if sameChecksum(stored, text) != want {
			t.Errorf("%q: %v", stored, !want)
		}
	}
}

func TestFilesThatCannotBeUsedAreNamed(t *testing.T) {
	set := readSet(t, fstest.MapFS{
		"1/migration.sql": {Data: []byte("SELECT '\xff'")}, "2/migration.sql": {Data: []byte("a\x00b")}, "3/migration.sql": {Mode: 1 << 31},
		strings.Repeat("n", 256) + "/migration.sql": {Data: []byte("SELECT 1")},
	})
	for i, want := range []string{"not UTF-8", "NUL", "", "longer than the 255"} {
		err := set.Migrations[i].Err
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: %v, want %q", set.Migrations[i].Name, err, want)
		}
	}
	// Broken files of applied migrations do not matter; those of pending ones do.
	url := testenv.Postgres(t)
	_, err := provider(t, url, set, Options{}).Deploy(context.Background())
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.Usage() || !strings.Contains(e.Error(), "1/migration.sql") {
		t.Fatalf("deploy: %v", err)
	}
	if r, _ := status(t, url, files(t, nil)); !r.Empty {
		t.Error("the database was changed")
	}
}

func TestArchivesAreReadWithoutUnpacking(t *testing.T) {
	contents := map[string]string{
		"pkg-1/litellm_proxy_extras/migrations/migration_lock.toml": "provider = \"postgresql\"\n", "pkg-1/litellm_proxy_extras/migrations/1_a/migration.sql": "SELECT 1",
		"pkg-1/litellm_proxy_extras/migrations/2 b/migration.sql": "SELECT 2", "pkg-1/README": "x",
	}
	dir := t.TempDir()
	var z, g bytes.Buffer
	zw, gw := zip.NewWriter(&z), gzip.NewWriter(&g)
	tw := tar.NewWriter(gw)
	for name, text := range contents {
		w, err := zw.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(text))
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = tw.Write([]byte(text))
	}
	zw.Close()
	tw.Close()
	gw.Close()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, path := range []string{write("a.whl", z.Bytes()), write("a.tar.gz", g.Bytes())} {
		s, err := ReadArchive(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Migrations) != 2 || s.Migrations[0].Name != "1_a" || s.Migrations[1].SQL != "SELECT 2" || s.Name != "litellm" || s.Provider != "postgresql" {
			t.Errorf("%s: %+v", path, s)
		}
	}
	for path, want := range map[string]string{
		write("half.whl", z.Bytes()[:z.Len()/2]): "cannot read", write("half.tar.gz", g.Bytes()[:g.Len()/2]): "cannot read",
		write("text.tar.gz", []byte("hello")): "cannot read", write("x.txt", nil): "neither a wheel", filepath.Join(dir, "none.whl"): "no such file",
	} {
		if _, err := ReadArchive(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", filepath.Base(path), err, want)
		}
	}
}

func FuzzLockFile(f *testing.F) {
	for _, s := range []string{"provider = \"postgresql\"\n", "provider=\"x\"", "# c\r\nprovider", "\ufeffprovider = 'a'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadDir(fstest.MapFS{"migration_lock.toml": {Data: []byte(text)}}, "m")
		if err != nil {
			if e, ok := err.(*Error); !ok || !e.Usage() {
				t.Fatalf("%v", err)
			}
			return
		}
		if strings.ContainsAny(s.Provider, "\r\n") {
			t.Errorf("provider %q", s.Provider)
		}
		_ = s.checkProvider()
	})
}
