// Package store keeps what must outlive a process: so far the generated master
// key and the request counts of a gateway that runs without a configuration.
// Keys, teams and spend join them with a database. The interface is here, its
// kinds in packages of their own, so that a command links only what it opens.
package store

import (
	"context"

	"github.com/llmgw/llmgw/internal/redact"
)

// Count is what has been served under one model name.
type Count struct {
	Requests, Failed               int64
	PromptTokens, CompletionTokens int64
}

// Add returns the sum of both.
func (c Count) Add(o Count) Count {
	return Count{
		c.Requests + o.Requests, c.Failed + o.Failed,
		c.PromptTokens + o.PromptTokens, c.CompletionTokens + o.CompletionTokens,
	}
}

// Store keeps state. It is safe for concurrent use.
type Store interface {
	// MasterKey returns the key kept under this name, and keeps fresh when there
	// is none: of several processes that start together, all get the same.
	MasterKey(ctx context.Context, fresh redact.Secret) (redact.Secret, error)
	// AddCounts adds to the counts by model name.
	AddCounts(ctx context.Context, counts map[string]Count) error
	// Counts returns all counts.
	Counts(ctx context.Context) (map[string]Count, error)
	// Close ends all work.
	Close() error
}
