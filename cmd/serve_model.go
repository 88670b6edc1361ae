package cmd

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// modelFlags are the flags that stand for a configuration of one model
// (LiteLLM's --model and those that go with it).
type modelFlags struct {
	model, alias, apiBase, apiVersion        string
	headers, temperature, maxTokens, timeout string
}

// withModel are the flags that mean nothing without --model.
var withModel = []string{"alias", "api-base", "api-version", "headers", "temperature", "max-tokens", "request-timeout"}

// modelFile is the name under which messages speak of what --model makes.
const modelFile = "--model"

// oneModel returns the configuration that --model and its companions stand for:
// every name that clients ask for leads to the one model. nil without --model.
func (f *serveFlags) oneModel() ([]byte, error) {
	m := &f.one
	if m.model == "" {
		for _, name := range withModel {
			if f.set.Changed(name) {
				return nil, usagef("--%s goes with --model", name)
			}
		}
		return nil, nil
	}
	if f.config != "" {
		return nil, usagef("--model serves one model without a configuration: drop --config, or put the model into its model_list")
	}
	params := map[string]any{"model": m.model}
	if m.apiBase != "" {
		params["api_base"] = m.apiBase
	}
	if m.apiVersion != "" {
		params["api_version"] = m.apiVersion
	}
	if m.headers != "" {
		var headers map[string]string
		if err := json.Unmarshal([]byte(m.headers), &headers); err != nil {
			return nil, usagef(`--headers: expected a JSON object of texts such as {"X-Team":"a"}`)
		}
		params["extra_headers"] = headers
	}
	for _, n := range []struct {
		flag, text, key string
		low, high       float64
		whole           bool
	}{
		{"temperature", m.temperature, "temperature", 0, 2, false},
		{"max-tokens", m.maxTokens, "max_tokens", 1, 1 << 31, true},
		{"request-timeout", m.timeout, "timeout", 0.001, (1000 * time.Hour).Seconds(), false},
	} {
		if n.text == "" {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSuffix(n.text, "s"), 64)
		if err != nil || !(v >= n.low && v <= n.high) || n.whole && v != float64(int64(v)) {
			return nil, usagef("--%s %q: expected a number from %g to %g", n.flag, n.text, n.low, n.high)
		}
		params[n.key] = v
	}
	name := m.alias
	if name == "" {
		name = m.model
	}
	data, err := json.Marshal(map[string]any{"model_list": []any{
		map[string]any{"model_name": name, "litellm_params": params},
		map[string]any{"model_name": "*", "litellm_params": params},
	}, "llmgw": map[string]any{"startup_doctor": false}}) // it would speak of what nobody has written
	if err != nil {
		return nil, fmt.Errorf("make a configuration of --model: %w", err)
	}
	return data, nil
}
