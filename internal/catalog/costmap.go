package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
)

// CostMap is a price list in LiteLLM's own form, as LITELLM_MODEL_COST_MAP_URL
// names one: a JSON object of models, whose members are called like the keys
// of model_info.
type CostMap struct {
	entries map[string]json.RawMessage
}

// ParseCostMap reads such a list. Entries are looked into only when they are
// needed; one that is broken counts as missing.
func ParseCostMap(data []byte) (*CostMap, error) {
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("reading the model cost map: %w", err)
	}
	delete(entries, "sample_spec") // a description of the form, not a model
	if len(entries) == 0 {
		return nil, fmt.Errorf("reading the model cost map: it has no models")
	}
	return &CostMap{entries}, nil
}

// costMap is the list in use, or nil.
var costMap atomic.Pointer[CostMap]

// UseCostMap makes Model ask a list before the embedded one; nil takes it
// back. It may be called at any time; calls of Model that run keep the list
// they began with.
func UseCostMap(m *CostMap) { costMap.Store(m) }

// find looks a model up: with its provider in front, then as it is.
func (m *CostMap) find(provider, id string) (Overrides, bool) {
	if m == nil || id == "" {
		return Overrides{}, false
	}
	for _, name := range []string{provider + "/" + id, id, strings.ToLower(id)} {
		raw, ok := m.entries[name]
		if !ok {
			continue
		}
		var members map[string]any
		if json.Unmarshal(raw, &members) != nil {
			continue
		}
		var o Overrides
		for key, value := range members {
			o.Set(key, value)
		}
		return o, true
	}
	return Overrides{}, false
}
