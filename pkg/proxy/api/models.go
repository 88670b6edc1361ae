package api

import "net/http"

// modelObject is one entry of the model list. Created and owner are constants
// of LiteLLM, whatever the provider.
type modelObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func newModelObject(id string) modelObject {
	return modelObject{ID: id, Object: "model", Created: 1677610602, OwnedBy: "openai"}
}

func serveModels(a *API, x *exchange) int {
	list := struct {
		Data   []modelObject `json:"data"`
		Object string        `json:"object"`
	}{Data: []modelObject{}, Object: "list"}
	for _, name := range a.o.Router.Models() {
		list.Data = append(list.Data, newModelObject(name))
	}
	writeJSON(x.w, http.StatusOK, marshal(list))
	return http.StatusOK
}

func serveModel(a *API, x *exchange) int {
	for _, name := range a.o.Router.Models() {
		if name == x.value {
			writeJSON(x.w, http.StatusOK, marshal(newModelObject(name)))
			return http.StatusOK
		}
	}
	return detail(x.w, http.StatusNotFound, "The model `"+x.value+"` does not exist or is not accessible")
}
