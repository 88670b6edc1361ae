package render_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/render"
)

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestWriteDirReplacesOnlyItsOwnFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "k8s")
	write := func(o render.Options) ([]string, error) {
		res, err := run(t, o, production)
		if err != nil {
			t.Fatal(err)
		}
		return res.WriteDir(dir)
	}
	first, err := write(render.Options{Image: "ghcr.io/llmgw/llmgw:1.0.0"})
	if err != nil || len(first) != 8 {
		t.Fatalf("%v: %v", err, first)
	}
	mine := filepath.Join(dir, "mine.yaml")
	if err := os.WriteFile(mine, []byte("kind: Mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Another image makes another Job: the old one's file must not stay.
	second, err := write(render.Options{Image: "ghcr.io/llmgw/llmgw:1.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), strings.Join(append(second, "mine.yaml"), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Another deployment in the same directory leaves this one alone.
	if _, err := write(render.Options{Name: "other"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(second, "mine.yaml") {
		if !strings.Contains(names(t, dir), name) {
			t.Errorf("%s is gone", name)
		}
	}
}

func TestWriteDirRefusesForeignFilesBeforeItWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	foreign := filepath.Join(dir, "05-service-llmgw.yaml")
	if err := os.WriteFile(foreign, []byte("kind: Service\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := run(t, render.Options{}, production)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := res.WriteDir(dir); err == nil || !strings.Contains(err.Error(), "05-service-llmgw.yaml was not written by llmgw render") {
		t.Errorf("error %v", err)
	}
	if got := names(t, dir); got != "05-service-llmgw.yaml" {
		t.Errorf("the directory holds %s", got)
	}
	file := filepath.Join(dir, "all.yaml")
	if err := os.WriteFile(file, []byte("precious\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := res.WriteFile(file); err == nil {
		t.Error("a foreign file was replaced")
	}
}

func TestTheSecretTemplateIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	res, err := run(t, render.Options{Secrets: "template"}, production)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(stream(t, res), "REPLACE_ME") {
		t.Error("the Secret is in the stream")
	}
	if _, err := res.WriteDir(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "secret-template.yaml")
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "DATABASE_URL: REPLACE_ME") {
		t.Fatalf("%v\n%s", err, data)
	}
	filled := strings.ReplaceAll(string(data), "REPLACE_ME", "filled-in")
	if err := os.WriteFile(path, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, secrets := range []string{"template", "reference"} {
		res, err := run(t, render.Options{Secrets: secrets}, production)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := res.WriteDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != filled {
		t.Errorf("what was filled in is gone: %v", err)
	}
}
