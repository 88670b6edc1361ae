package api

import (
	"encoding/json"
	"net/http"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// modelObject is one entry of the model list. Created and owner are constants
// of LiteLLM, whatever the provider.
type modelObject struct {
	ID        string         `json:"id"`
	Object    string         `json:"object"`
	Created   int64          `json:"created"`
	OwnedBy   string         `json:"owned_by"`
	Mode      string         `json:"mode,omitempty"`
	MaxInput  int64          `json:"max_input_tokens,omitempty"`
	MaxOutput int64          `json:"max_output_tokens,omitempty"`
	Metadata  *modelMetadata `json:"metadata,omitempty"`
}

type modelMetadata struct {
	Fallbacks []string `json:"fallbacks"`
}

// newModelObject says what is known of the model behind a name: by its first
// deployment, else by the name itself.
func newModelObject(id string, d *call.Deployment) modelObject {
	m := modelObject{ID: id, Object: "model", Created: 1677610602, OwnedBy: "openai"}
	ask := []string{id}
	if d != nil {
		var own struct {
			Base string `json:"base_model"`
		}
		_ = json.Unmarshal(d.Info, &own) // written by ourselves
		m.Mode, m.MaxInput = d.Mode, d.MaxInput
		ask = []string{own.Base, d.Provider + "/" + d.Model, id}
	}
	for _, name := range ask {
		if name == "" {
			continue
		}
		if _, limits, caps, source := catalog.Model(name, "", catalog.Overrides{}); source.Known() {
			if m.Mode == "" {
				m.Mode = caps.Mode
			}
			if m.MaxInput == 0 {
				m.MaxInput = limits.Input
			}
			m.MaxOutput = limits.Output
			break
		}
	}
	return m
}

// firsts are the first deployments of groups.
func (a *API) firsts() map[string]*call.Deployment {
	list := a.o.Router.Deployments()
	out := make(map[string]*call.Deployment, len(list))
	for _, d := range list {
		if out[d.Group] == nil {
			out[d.Group] = d
		}
	}
	return out
}

func serveModels(a *API, x *exchange) int {
	list := struct {
		Data   []modelObject `json:"data"`
		Object string        `json:"object"`
	}{Data: []modelObject{}, Object: "list"}
	groups := a.firsts()
	q := x.r.URL.Query()
	for _, name := range a.o.Router.Models() {
		m := newModelObject(name, groups[name])
		if q.Get("include_metadata") == "true" {
			m.Metadata = &modelMetadata{Fallbacks: []string{}}
			if a.o.Fallbacks != nil {
				if chain := a.o.Fallbacks(name, q.Get("fallback_type")); chain != nil {
					m.Metadata.Fallbacks = chain
				}
			}
		}
		list.Data = append(list.Data, m)
	}
	writeJSON(x.w, http.StatusOK, marshal(list))
	return http.StatusOK
}

func serveModel(a *API, x *exchange) int {
	for _, name := range a.o.Router.Models() {
		if name == x.value {
			writeJSON(x.w, http.StatusOK, marshal(newModelObject(name, a.firsts()[name])))
			return http.StatusOK
		}
	}
	return detail(x.w, http.StatusNotFound, "The model `"+x.value+"` does not exist or is not accessible")
}
