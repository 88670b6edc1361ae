package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/store"
)

func open(t *testing.T, path string) *DB {
	t.Helper()
	s, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestKeyAndCountsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%3F#", "llmgw.db")
	s := open(t, path)
	first, err := s.MasterKey(t.Context(), redact.New("sk-first"))
	if err != nil || first.Reveal() != "sk-first" {
		t.Fatal(first.Reveal(), err)
	}
	add := map[string]store.Count{"m": {Requests: 2, Failed: 1, PromptTokens: 3, CompletionTokens: 4}}
	for range 2 {
		if err := s.AddCounts(t.Context(), add); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s = open(t, path)
	second, err := s.MasterKey(t.Context(), redact.New("sk-second"))
	if err != nil || second.Reveal() != "sk-first" {
		t.Errorf("after a restart the key is %q, %v", second.Reveal(), err)
	}
	got, err := s.Counts(t.Context())
	if err != nil || got["m"] != (store.Count{Requests: 4, Failed: 2, PromptTokens: 6, CompletionTokens: 8}) {
		t.Errorf("counts %v, %v", got, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
}

func TestProcessesThatStartTogetherAgreeOnTheKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "llmgw.db")
	var wg sync.WaitGroup
	keys := make([]string, 8)
	for i := range keys {
		wg.Go(func() {
			s, err := Open(context.Background(), path)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			k, err := s.MasterKey(context.Background(), redact.New(fmt.Sprint("sk-", i)))
			if err != nil {
				t.Error(err)
			}
			keys[i] = k.Reveal()
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] || k == "" {
			t.Fatalf("keys differ: %v", keys)
		}
	}
}

func TestAFileThatIsNoDatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "llmgw.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestAFileOfANewerReleaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "llmgw.db")
	s := open(t, path)
	if _, err := s.db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer llmgw") {
		t.Errorf("got %v", err)
	}
}
