package api

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// fact is one thing that is known of a model; its value is JSON.
type fact struct {
	name  string
	value []byte
}

// facts are what is known about a deployment's model: the price list, and over
// it what the configuration says. They last until the next call.
type facts struct {
	list []fact
	b    []byte
	at   []int // where the values end in b
}

func (f *facts) begin() {
	f.list, f.b, f.at = f.list[:0], f.b[:0], f.at[:0]
}

func (f *facts) end(name string) {
	f.list, f.at = append(f.list, fact{name: name}), append(f.at, len(f.b))
}

func (f *facts) text(name, text string) {
	if text == "" {
		f.b = append(f.b, "null"...)
	} else {
		f.b = appendText(f.b, text)
	}
	f.end(name)
}

func (f *facts) on(name string, on bool) {
	f.b = strconv.AppendBool(f.b, on)
	f.end(name)
}

func (f *facts) count(name string, n int64) {
	if n > 0 {
		f.b = strconv.AppendInt(f.b, n, 10)
	} else {
		f.b = append(f.b, "null"...)
	}
	f.end(name)
}

func (f *facts) rate(name string, r *catalog.Rate) {
	if r.Set {
		f.b = appendNumber(f.b, r.Base)
	} else {
		f.b = append(f.b, "null"...)
	}
	f.end(name)
}

// of gathers the facts about a deployment.
func (f *facts) of(d *call.Deployment) []fact {
	f.begin()
	var set catalog.Overrides
	var base string
	// The numbers that entries name in litellm_params count, too.
	for _, object := range [...][]byte{d.Info, d.Params} {
		for name, value := range members(object) {
			text, ok := textOf(value)
			if !ok {
				continue
			}
			if string(name) == "base_model" {
				base = text
			}
			set.Set(string(name), text)
		}
	}
	price, limits, caps, _ := catalog.Model(d.Provider+"/"+d.Model, base, set)
	mode := d.Mode
	if mode == "" {
		mode = caps.Mode
	}
	f.b = appendText(f.b, d.Model)
	f.end("key")
	f.b = appendText(f.b, d.Provider)
	f.end("litellm_provider")
	f.text("mode", mode)
	f.count("max_tokens", limits.Output)
	f.count("max_input_tokens", limits.Input)
	f.count("max_output_tokens", limits.Output)
	f.rate("input_cost_per_token", &price.Input)
	f.rate("output_cost_per_token", &price.Output)
	f.rate("cache_read_input_token_cost", &price.CacheRead)
	f.rate("cache_creation_input_token_cost", &price.CacheWrite)
	f.rate("output_cost_per_reasoning_token", &price.Reasoning)
	f.rate("input_cost_per_audio_token", &price.AudioIn)
	f.rate("output_cost_per_audio_token", &price.AudioOut)
	f.rate("output_cost_per_image", &price.Image)
	f.rate("input_cost_per_second", &price.Second)
	f.rate("input_cost_per_character", &price.Character)
	f.rate("input_cost_per_query", &price.Query)
	f.on("supports_function_calling", caps.Tools)
	f.on("supports_parallel_function_calling", caps.Tools)
	f.on("supports_tool_choice", caps.Tools)
	f.on("supports_vision", caps.Vision)
	f.on("supports_pdf_input", caps.PDF)
	f.on("supports_audio_input", caps.AudioIn)
	f.on("supports_audio_output", caps.AudioOut)
	f.on("supports_reasoning", caps.Reasoning)
	f.on("supports_response_schema", caps.Schema)
	f.on("supports_assistant_prefill", caps.Prefill)
	f.on("supports_web_search", caps.WebSearch)
	from := 0
	for i, to := range f.at {
		f.list[i].value, from = f.b[from:to], to
	}
	// The configuration's word is the last; of what the price list does not know it
	// is the only one.
	for name, value := range members(d.Info) {
		i := slices.IndexFunc(f.list, func(x fact) bool { return x.name == string(name) })
		if i >= 0 {
			f.list[i].value = value
		}
	}
	return f.list
}

// appendModelInfo writes one entry of /model/info.
func appendModelInfo(b []byte, f *facts, d *call.Deployment) []byte {
	b = appendText(append(b, `{"model_name":`...), d.Group)
	b = append(b, `,"litellm_params":`...)
	if len(d.Params) > 0 {
		b = append(b, d.Params...)
	} else {
		b = append(appendText(append(b, `{"model":`...), d.Provider+"/"+d.Model), '}')
	}
	b = appendText(append(b, `,"model_info":{"id":`...), d.ID)
	b = append(b, `,"db_model":false`...)
	list := f.of(d)
	for i := range list {
		b = append(append(append(b, ',', '"'), list[i].name...), '"', ':')
		b = append(b, list[i].value...)
	}
	for name, value := range members(d.Info) {
		if string(name) == "id" || string(name) == "db_model" || slices.ContainsFunc(list, func(x fact) bool { return x.name == string(name) }) {
			continue
		}
		b = append(append(append(b, ',', '"'), name...), '"', ':')
		b = append(b, value...)
	}
	return append(b, "}}"...)
}

// serveModelInfo lists deployments, or the one that litellm_model_id names.
func serveModelInfo(a *API, x *exchange) int {
	id := x.r.URL.Query().Get("litellm_model_id")
	l := newListing(x.w, `{"data":[`)
	var f facts
	found := false
	hidden := a.hidden(x)
	for _, d := range a.o.Router.Deployments() {
		if id != "" && d.ID != id {
			continue
		}
		found = true
		if id == "" && hidden[d.Group] {
			continue
		}
		if !l.entry() {
			break
		}
		l.b = appendModelInfo(l.b, &f, d)
	}
	if id != "" && !found {
		return writeDetail(x, http.StatusBadRequest, "Model id = "+id+" not found on litellm proxy")
	}
	return l.end("]}")
}

// groupFacts are those of a model's facts that a group has, too.
var groupFacts = [...]string{
	"mode", "max_input_tokens", "max_output_tokens", "input_cost_per_token", "output_cost_per_token", "supports_function_calling",
	"supports_parallel_function_calling", "supports_vision", "supports_web_search", "supports_reasoning",
}

// modelGroup is what the deployments of a group have in common.
type modelGroup struct {
	name      string
	providers []string
	rpm, tpm  float64
	facts     [len(groupFacts)][]byte
}

// add keeps the larger of two numbers and what is true.
func (g *modelGroup) add(list []fact) {
	for i, name := range groupFacts {
		at := slices.IndexFunc(list, func(x fact) bool { return x.name == name })
		if at < 0 {
			continue
		}
		switch old, now := g.facts[i], list[at].value; {
		case old == nil || string(old) == "null" || string(now) == "true" && string(old) == "false" || larger(now, old):
			g.facts[i] = append(old[:0], now...)
		}
	}
}

// larger compares two numbers; it is false when one is none.
func larger(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return false
	}
	x, err1 := strconv.ParseFloat(string(a), 64)
	y, err2 := strconv.ParseFloat(string(b), 64)
	return err1 == nil && err2 == nil && x > y
}

// serveModelGroups tells what the deployments of each group have in common: the
// widest of the limits, and what one of them can do.
func serveModelGroups(a *API, x *exchange) int {
	want := x.r.URL.Query().Get("model_group")
	var order []*modelGroup
	groups := map[string]*modelGroup{}
	var f facts
	for _, d := range a.o.Router.Deployments() {
		if want != "" && d.Group != want {
			continue
		}
		g := groups[d.Group]
		if g == nil {
			g = &modelGroup{name: d.Group}
			groups[d.Group] = g
			order = append(order, g)
		}
		if !slices.Contains(g.providers, d.Provider) {
			g.providers = append(g.providers, d.Provider)
		}
		g.rpm, g.tpm = g.rpm+d.RPM, g.tpm+d.TPM
		g.add(f.of(d))
	}
	l := newListing(x.w, `{"data":[`)
	for _, g := range order {
		if !l.entry() {
			break
		}
		l.b = g.append(l.b)
	}
	return l.end("]}")
}

func (g *modelGroup) append(b []byte) []byte {
	b = appendText(append(b, `{"model_group":`...), g.name)
	b = append(b, `,"providers":[`...)
	for i, name := range g.providers {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, name)
	}
	b = appendAmount(append(b, `],"rpm":`...), g.rpm)
	b = appendAmount(append(b, `,"tpm":`...), g.tpm)
	for i, name := range groupFacts {
		b = append(append(append(b, ',', '"'), name...), '"', ':')
		b = append(b, g.facts[i]...)
	}
	return append(b, '}')
}

// appendAmount writes null for 0.
func appendAmount(b []byte, f float64) []byte {
	if f == 0 {
		return append(b, "null"...)
	}
	return appendNumber(b, f)
}
