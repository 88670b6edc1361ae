package live

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ParseObservation reads a recorded observation.
func ParseObservation(data []byte) (*Observation, error) {
	var seen Observation
	if err := json.Unmarshal(data, &seen); err != nil {
		return nil, fmt.Errorf("not a recorded observation: %w", err)
	}
	if seen.Schema != Schema {
		return nil, fmt.Errorf("its schema is %q, not %s", seen.Schema, Schema)
	}
	if seen.At.IsZero() {
		return nil, errors.New("it does not say when it was recorded")
	}
	return &seen, nil
}
