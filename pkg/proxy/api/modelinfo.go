package api

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// facts are what is known about a deployment's model: the price list, and over
// it what the configuration says.
func facts(d *call.Deployment) map[string]any {
	own := map[string]any{}
	_ = json.Unmarshal(d.Info, &own)   // written by ourselves
	_ = json.Unmarshal(d.Params, &own) // the numbers that entries name there; the rest is left out below
	var set catalog.Overrides
	for name, v := range own {
		if raw, err := json.Marshal(v); err == nil && raw[0] != '{' && raw[0] != '[' {
			text := string(raw)
			if s, ok := v.(string); ok {
				text = s
			}
			set.Set(name, text)
		}
	}
	base, _ := own["base_model"].(string)
	price, limits, caps, _ := catalog.Model(d.Provider+"/"+d.Model, base, set)
	info := map[string]any{
		"key": d.Model, "litellm_provider": d.Provider, "mode": d.Mode,
		"max_tokens": nil, "max_input_tokens": nil, "max_output_tokens": nil,
		"supports_function_calling": caps.Tools, "supports_tool_choice": caps.Tools, "supports_vision": caps.Vision, "supports_pdf_input": caps.PDF,
		"supports_audio_input": caps.AudioIn, "supports_audio_output": caps.AudioOut, "supports_reasoning": caps.Reasoning,
		"supports_response_schema": caps.Schema, "supports_assistant_prefill": caps.Prefill, "supports_web_search": caps.WebSearch,
	}
	if d.Mode == "" {
		info["mode"] = nil
		if caps.Mode != "" {
			info["mode"] = caps.Mode
		}
	}
	if limits.Input > 0 {
		info["max_input_tokens"] = limits.Input
	}
	if limits.Output > 0 {
		info["max_output_tokens"], info["max_tokens"] = limits.Output, limits.Output
	}
	for name, rate := range map[string]catalog.Rate{
		"input_cost_per_token": price.Input, "output_cost_per_token": price.Output, "cache_read_input_token_cost": price.CacheRead,
		"cache_creation_input_token_cost": price.CacheWrite, "output_cost_per_reasoning_token": price.Reasoning,
		"input_cost_per_audio_token": price.AudioIn, "output_cost_per_audio_token": price.AudioOut, "output_cost_per_image": price.Image,
		"input_cost_per_second": price.Second, "input_cost_per_character": price.Character, "input_cost_per_query": price.Query,
	} {
		info[name] = nil
		if rate.Set {
			info[name] = rate.Base
		}
	}
	return info
}

// modelInfo is one entry of /model/info.
type modelInfo struct {
	Name   string          `json:"model_name"`
	Params json.RawMessage `json:"litellm_params"`
	Info   map[string]any  `json:"model_info"`
}

func newModelInfo(d *call.Deployment) modelInfo {
	m := modelInfo{Name: d.Group, Params: d.Params, Info: facts(d)}
	if len(m.Params) == 0 {
		m.Params = marshal(map[string]string{"model": d.Provider + "/" + d.Model})
	}
	_ = json.Unmarshal(d.Info, &m.Info) // the configuration's word is the last
	m.Info["id"], m.Info["db_model"] = d.ID, false
	return m
}

// serveModelInfo lists deployments, or the one that litellm_model_id names.
func serveModelInfo(a *API, x *exchange) int {
	id := x.r.URL.Query().Get("litellm_model_id")
	list := []modelInfo{}
	for _, d := range a.o.Router.Deployments() {
		if id == "" || d.ID == id {
			list = append(list, newModelInfo(d))
		}
	}
	if id != "" && len(list) == 0 {
		return writeDetail(x, http.StatusBadRequest, "Model id = "+id+" not found on litellm proxy")
	}
	writeJSON(x.w, http.StatusOK, marshal(map[string]any{"data": list}))
	return http.StatusOK
}

// serveModelGroups tells what the deployments of each group have in common: the
// widest of the limits, and what one of them can do.
func serveModelGroups(a *API, x *exchange) int {
	want := x.r.URL.Query().Get("model_group")
	type group struct {
		name      string
		providers []string
		merged    map[string]any
		rpm, tpm  float64
	}
	var order []*group
	groups := map[string]*group{}
	for _, d := range a.o.Router.Deployments() {
		if want != "" && d.Group != want {
			continue
		}
		g := groups[d.Group]
		if g == nil {
			g = &group{name: d.Group, merged: map[string]any{}}
			groups[d.Group] = g
			order = append(order, g)
		}
		if !slices.Contains(g.providers, d.Provider) {
			g.providers = append(g.providers, d.Provider)
		}
		g.rpm, g.tpm = g.rpm+d.RPM, g.tpm+d.TPM
		merge(g.merged, newModelInfo(d).Info)
	}
	list := []map[string]any{}
	for _, g := range order {
		m := map[string]any{"model_group": g.name, "providers": g.providers, "rpm": amount(g.rpm), "tpm": amount(g.tpm)}
		for _, name := range groupFacts {
			m[name] = g.merged[name]
		}
		list = append(list, m)
	}
	writeJSON(x.w, http.StatusOK, marshal(map[string]any{"data": list}))
	return http.StatusOK
}

// groupFacts are those of a model's facts that a group has, too.
var groupFacts = []string{
	"mode", "max_input_tokens", "max_output_tokens", "input_cost_per_token", "output_cost_per_token", "supports_function_calling",
	"supports_vision", "supports_web_search", "supports_reasoning",
}

// amount is null for 0.
func amount(f float64) any {
	if f == 0 {
		return nil
	}
	return f
}

// merge keeps the larger of two numbers and what is true.
func merge(into, from map[string]any) {
	for name, v := range from {
		old, ok := into[name]
		if !ok || old == nil {
			into[name] = v
			continue
		}
		switch v := v.(type) {
		case bool:
			b, _ := old.(bool)
			into[name] = b || v
		case int64:
			if n, ok := old.(int64); ok {
				into[name] = max(n, v)
			}
		case float64:
			if n, ok := old.(float64); ok {
				into[name] = max(n, v)
			}
		}
	}
}
