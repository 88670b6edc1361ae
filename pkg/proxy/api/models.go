package api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// appendModel writes one entry of the model list: what is known of the model
// behind a name, by its first deployment, else by the name itself. Created and
// owner are constants of LiteLLM, whatever the provider.
func appendModel(b []byte, id string, d *call.Deployment, metadata func([]byte) []byte) []byte {
	var mode string
	var input, output int64
	ask := [3]string{2: id}
	if d != nil {
		for name, value := range members(d.Info) {
			if string(name) == "base_model" {
				ask[0], _ = textOf(value)
			}
		}
		mode, input, ask[1] = d.Mode, d.MaxInput, d.Provider+"/"+d.Model
	}
	for _, name := range ask {
		if name == "" {
			continue
		}
		if _, limits, caps, source := catalog.Model(name, "", catalog.Overrides{}); source.Known() {
			mode = cmp.Or(mode, caps.Mode)
			input, output = cmp.Or(input, limits.Input), limits.Output
			break
		}
	}
	b = appendText(append(b, `{"id":`...), id)
	b = append(b, `,"object":"model","created":1677610602,"owned_by":"openai"`...)
	if mode != "" {
		b = appendText(append(b, `,"mode":`...), mode)
	}
	if input != 0 {
		b = strconv.AppendInt(append(b, `,"max_input_tokens":`...), input, 10)
	}
	if output != 0 {
		b = strconv.AppendInt(append(b, `,"max_output_tokens":`...), output, 10)
	}
	if metadata != nil {
		b = metadata(b)
	}
	return append(b, '}')
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

// fallbackTypes are the kinds of fallbacks that a listing can show.
var fallbackTypes = []string{"general", "context_window", "content_policy"}

// names are what the listings name: the router's models, and those of providers
// whose key is there.
func (a *API) names(x *exchange) []string {
	names := a.o.Router.Models()
	var groups []string
	q := x.r.URL.Query()
	include, only := switchedOn(q, "include_model_access_groups"), switchedOn(q, "only_model_access_groups")
	if include || only {
		groups = a.accessGroups()
	}
	if only {
		return slices.DeleteFunc(groups, func(name string) bool { return !include && !slices.Contains(names, name) })
	}
	if len(groups)+len(a.o.Inferred) == 0 {
		return names
	}
	names = slices.Clone(names)
	for _, name := range slices.Concat(groups, a.o.Inferred) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// accessGroups are the groups that the configuration puts models into.
func (a *API) accessGroups() (groups []string) {
	for _, d := range a.o.Router.Deployments() {
		for name, value := range members(d.Info) {
			var list []string
			if string(name) != "access_groups" || json.Unmarshal(value, &list) != nil {
				continue
			}
			for _, group := range list {
				if !slices.Contains(groups, group) {
					groups = append(groups, group)
				}
			}
		}
	}
	return groups
}

// switchedOn reads a switch of a query.
func switchedOn(q url.Values, name string) bool {
	on, err := strconv.ParseBool(q.Get(name))
	return err == nil && on
}

// hidden are the names that a listing leaves out because nothing behind them
// works, where that is wanted. They can be called all the same.
func (a *API) hidden(x *exchange) map[string]bool {
	if a.o.Health == nil {
		return nil
	}
	if !a.o.HealthyOnly && !switchedOn(x.r.URL.Query(), "healthy_only") {
		return nil
	}
	return a.o.Health.Unlisted()
}

func serveModels(a *API, x *exchange) int {
	groups := a.firsts()
	q := x.r.URL.Query()
	if kind := q.Get("fallback_type"); kind != "" && q.Get("include_metadata") == "true" && !slices.Contains(fallbackTypes, kind) {
		return detail(x.w, http.StatusBadRequest, "Invalid fallback_type. Must be one of: ['general', 'context_window', 'content_policy']")
	}
	l := newListing(x.w, `{"data":[`)
	hidden := a.hidden(x)
	for _, name := range a.names(x) {
		if hidden[name] {
			continue
		}
		if !l.entry() {
			break
		}
		var metadata func([]byte) []byte
		if q.Get("include_metadata") == "true" {
			metadata = func(b []byte) []byte {
				chain := []string{}
				if a.o.Fallbacks != nil {
					chain = append(chain, a.o.Fallbacks(name, q.Get("fallback_type"))...)
				}
				b = append(append(b, `,"metadata":{"fallbacks":`...), marshal(chain)...)
				return append(b, '}')
			}
		}
		l.b = appendModel(l.b, name, groups[name], metadata)
	}
	return l.end(`],"object":"list"}`)
}

func serveModel(a *API, x *exchange) int {
	if !slices.Contains(a.names(x), x.value) || a.hidden(x)[x.value] {
		return detail(x.w, http.StatusNotFound, "The model `"+x.value+"` does not exist or is not accessible")
	}
	var first *call.Deployment
	list := a.o.Router.Deployments()
	if i := slices.IndexFunc(list, func(d *call.Deployment) bool { return d.Group == x.value }); i >= 0 {
		first = list[i]
	}
	writeJSON(x.w, http.StatusOK, appendModel(nil, x.value, first, nil))
	return http.StatusOK
}
