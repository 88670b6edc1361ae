package cmd

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// A file that is being written is not read half-way; a link that leads elsewhere
// is a change, as in a mounted ConfigMap.
func TestAChangeIsSeenWhenItIsComplete(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := write("one", "1"), write("two", "second")
	link := filepath.Join(dir, "config.yaml")
	if err := os.Symlink(one, link); err != nil {
		t.Skipf("no symbolic link can be made here (%v), so that a mounted ConfigMap cannot be played: run the test on an ordinary Linux", err)
	}
	var changes atomic.Int32
	done, ended := make(chan struct{}), make(chan struct{})
	const step = 20 * time.Millisecond
	go func() {
		defer close(ended)
		watch(func() []string { return []string{link, filepath.Join(dir, "absent")} }, func() { changes.Add(1) }, done, step)
	}()
	defer func() { close(done); <-ended }()
	expect := func(n int32) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); changes.Load() != n; time.Sleep(step / 4) {
			if time.Now().After(deadline) {
				t.Fatalf("%d changes seen, want %d", changes.Load(), n)
			}
		}
	}
	time.Sleep(3 * step)
	expect(0)
	f, err := os.OpenFile(one, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // never still for two looks
		if _, err := f.WriteString("more"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(step / 4)
	}
	f.Close()
	expect(1)
	next := filepath.Join(dir, "next")
	if err := os.Symlink(two, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, link); err != nil {
		t.Fatal(err)
	}
	expect(2)
	write("absent", "now it is there")
	expect(3)
	time.Sleep(3 * step)
	expect(3)
}
