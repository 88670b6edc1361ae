package bench

import (
	"fmt"
	"strconv"
	"strings"
)

// Scenario is a kind of request.
type Scenario uint8

// The scenarios.
const (
	Chat Scenario = iota
	ChatStream
	Completions
	Embeddings
	Models
	Health
	scenarioCount
)

var scenarioNames = [scenarioCount]string{"chat", "chat-stream", "completions", "embeddings", "models", "health"}

func (s Scenario) String() string { return scenarioNames[s] }

func (s Scenario) path() string {
	switch s {
	case Chat, ChatStream:
		return "/v1/chat/completions"
	case Completions:
		return "/v1/completions"
	case Embeddings:
		return "/v1/embeddings"
	case Models:
		return "/v1/models"
	}
	return "/health/readiness"
}

// body reports whether the scenario sends one.
func (s Scenario) body() bool { return s < Models }

// ScenarioNames lists all scenarios.
func ScenarioNames() []string { return scenarioNames[:] }

// ParseScenario reads NAME or NAME=WEIGHT; the name mixed stands for the three
// model scenarios in a usual share.
func ParseScenario(text string) ([]Weighted, error) {
	name, weight, has := strings.Cut(text, "=")
	w := 1.0
	if has {
		v, err := strconv.ParseFloat(weight, 64)
		if err != nil || !(v > 0 && v <= 1e6) {
			return nil, fmt.Errorf("%q: the weight must be a number above 0", text)
		}
		w = v
	}
	if name == "mixed" {
		return []Weighted{{ChatStream, 0.7 * w}, {Chat, 0.2 * w}, {Embeddings, 0.1 * w}}, nil
	}
	for i, n := range scenarioNames {
		if n == name {
			return []Weighted{{Scenario(i), w}}, nil
		}
	}
	return nil, fmt.Errorf("%q is no scenario: use %s or mixed", name, strings.Join(scenarioNames[:], ", "))
}
