package store

import (
	"context"
	"maps"
	"sync"

	"github.com/llmgw/llmgw/internal/redact"
)

// Memory is a Store that forgets: for machines on which nothing can be written.
type Memory struct {
	mu     sync.Mutex
	key    redact.Secret
	counts map[string]Count
}

var _ Store = (*Memory)(nil)

// MasterKey implements Store.
func (m *Memory) MasterKey(_ context.Context, fresh redact.Secret) (redact.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.key.IsZero() {
		m.key = fresh
	}
	return m.key, nil
}

// AddCounts implements Store.
func (m *Memory) AddCounts(_ context.Context, counts map[string]Count) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.counts == nil {
		m.counts = map[string]Count{}
	}
	for name, c := range counts {
		m.counts[name] = m.counts[name].Add(c)
	}
	return nil
}

// Counts implements Store.
func (m *Memory) Counts(context.Context) (map[string]Count, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.counts), nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }
