package store_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/store"
	"github.com/llmgw/llmgw/pkg/store/sqlite"
)

// kinds are all stores: what one promises, each keeps.
func kinds(t *testing.T) map[string]store.Store {
	t.Helper()
	file, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]store.Store{"memory": &store.Memory{}, "sqlite": file}
}

func TestTheFirstMasterKeyStays(t *testing.T) {
	for name, s := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			defer s.Close()
			var mu sync.Mutex
			seen := map[string]bool{}
			var wait sync.WaitGroup
			for _, fresh := range []string{"sk-a", "sk-b", "sk-c", "sk-d"} {
				wait.Go(func() {
					key, err := s.MasterKey(t.Context(), redact.New(fresh))
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					seen[key.Reveal()] = true
					mu.Unlock()
				})
			}
			wait.Wait()
			if len(seen) != 1 {
				t.Errorf("processes that start together got %d keys", len(seen))
			}
			again, err := s.MasterKey(t.Context(), redact.New("sk-later"))
			if err != nil || !seen[again.Reveal()] {
				t.Errorf("a later start got another key (%v)", err)
			}
		})
	}
}

func TestCountsAddUp(t *testing.T) {
	for name, s := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			defer s.Close()
			if got, err := s.Counts(t.Context()); err != nil || len(got) != 0 {
				t.Errorf("a new store holds %v, %v", got, err)
			}
			if err := s.AddCounts(t.Context(), nil); err != nil {
				t.Error(err)
			}
			var wait sync.WaitGroup
			for range 20 {
				wait.Go(func() {
					err := s.AddCounts(context.WithoutCancel(t.Context()), map[string]store.Count{
						"gpt": {Requests: 1, PromptTokens: 10, CompletionTokens: 2},
						"":    {Requests: 1, Failed: 1},
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			got, err := s.Counts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := (store.Count{Requests: 20, PromptTokens: 200, CompletionTokens: 40}); got["gpt"] != want {
				t.Errorf("gpt: %+v, want %+v", got["gpt"], want)
			}
			if want := (store.Count{Requests: 20, Failed: 20}); got[""] != want || len(got) != 2 {
				t.Errorf("no model: %+v, want %+v", got[""], want)
			}
			got["gpt"] = store.Count{}
			if again, _ := s.Counts(t.Context()); again["gpt"] == (store.Count{}) {
				t.Error("what Counts returns is not a copy")
			}
		})
	}
}
