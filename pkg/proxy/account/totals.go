package account

import (
	"maps"
	"sync"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Count is what is known about the calls of one model name.
type Count struct {
	Requests, Failed               int64
	PromptTokens, CompletionTokens int64
	// Cost is in dollars.
	Cost float64
}

// Totals adds up calls by model name. It is a sink for Queue.
type Totals struct {
	mu sync.Mutex
	by map[string]Count
}

// maxModels bounds the names that are told apart: wildcards let clients invent
// them.
const maxModels = 1000

// Add counts a batch.
func (t *Totals) Add(batch []call.Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]Count{}
	}
	for i := range batch {
		c := &batch[i]
		name := c.Model
		if c.Deployment == nil {
			name = "" // never reached a model: the name may be anything
		}
		n, known := t.by[name]
		if !known && len(t.by) >= maxModels {
			name = ""
			n = t.by[name]
		}
		n.Requests++
		if c.Err != nil {
			n.Failed++
		}
		n.PromptTokens += c.Usage.PromptTokens
		n.CompletionTokens += c.Usage.CompletionTokens
		n.Cost += c.Cost.Total
		t.by[name] = n
	}
}

// Snapshot returns the counts by model name; "" holds calls that reached none.
func (t *Totals) Snapshot() map[string]Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.by)
}

// Take returns the counts and starts again from zero.
func (t *Totals) Take() map[string]Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	by := t.by
	t.by = nil
	return by
}
